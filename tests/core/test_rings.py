"""Several rings in one control block, who may work, Python's part of a batch, and forks."""

import gc
import os
import pathlib
import struct
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from rings import IDENTITY, PATIENCE, SHAPE, SLOT_BYTES, Player, Program, pixels, reader_process
from waiting import wait_until

from fastaug import _core
from fastaug.data.readers import PROCESSES, THREADS, USERS

# Where a control block has the number of threads that warp.
WARPING_AT = 64


@pytest.fixture
def program():
    return Program()


def reopened(program, ring, **options):
    """Closes a ring, the only one of a list, and opens another one in its entry."""
    entry, generation = ring[0].entry, ring[0].generation
    program.control.close(ring.pop())
    gc.collect()
    new = program.ring(**options)
    assert new.entry == entry and new.generation != generation
    return new


def seen_from_elsewhere(program, ring):
    """A ring as another process sees it."""
    other = _core.Ring(ring.view.memory.buffer)
    other.view = ring.view
    _core.Control(program.memory.buffer).join(other, ring.entry, ring.generation)
    return other


# ---------------------------------------------------------------------------- several rings


def test_two_rings(program):
    rings = [program.ring(slots=2), program.ring(slots=3)]
    batches = [program.batch(ring, range(10 * k, 10 * k + 7)) for k, ring in enumerate(rings)]
    player = Player(program).knows(*rings)
    for k, (batch, out) in enumerate(batches):
        while not batch.wait(0):
            player.read_all()
            program.work()
        np.testing.assert_array_equal(out, pixels(range(10 * k, 10 * k + 7)))
    for ring in rings:
        program.check_slots(ring)


def test_each_kind_has_its_rings(program):
    kinds = PROCESSES, THREADS, USERS
    rings = [program.ring(kind=kind) for kind in kinds]
    for k, ring in enumerate(rings):
        program.batch(ring, [k])
    assert [program.control.has_work(kind) for kind in kinds] == [True] * 3
    assert Player(program, kind=THREADS).knows(*rings).read_all() == [1]
    assert [program.control.has_work(kind) for kind in kinds] == [True, False, True]
    assert Player(program, kind=PROCESSES).knows(*rings).read_all() == [0]
    assert [program.control.has_work(kind) for kind in kinds] == [False, False, True]


def test_a_process_that_still_has_a_ring_which_is_gone(program):
    """It lets go of it, and what it was at has no place in the one that is there now."""
    ring = [program.ring(slots=2)]
    program.batch(ring[0], [1, 2])
    with reader_process(program) as run:
        run("old = take()")
        new = reopened(program, ring, slots=3)
        batch, out = program.batch(new, [11, 12, 13])
        run("read(*old)")
        assert run("found = take(); print(found[0].path(found[1]))") == ["b'11'"]
        assert new.held_by(0)
        run("assert found[0] is not old[0]; read(*found)")
        run("read(*take()); read(*take())")
        assert run("print(take(0))") == ["None"]
    program.work()
    assert batch.wait(0)
    np.testing.assert_array_equal(out, pixels([11, 12, 13]))
    program.check_slots(new)


def test_a_reader_in_a_user_s_pool_whose_ring_is_gone(program):
    """It sees no work, whatever the numbers of the ring in its place are."""
    ring = [program.ring(slots=2, kind=USERS)]
    old = seen_from_elsewhere(program, ring[0])
    program.batch(ring[0], [1, 2, 3])
    slot = old.claim()
    assert old.file(slot) == 1 and old.wanted == 2
    new = reopened(program, ring, slots=2, kind=USERS)
    batch, _ = program.batch(new, [4, 5])
    assert old.claim() is None and old.wanted == 0
    old.finish(slot)
    assert new.wanted == 2
    assert [new.file(slot) for slot in iter(new.claim, None)] == [4, 5]
    assert old.claim() is None
    batch.cancel()


def test_a_reader_lets_go_of_a_ring_that_is_closed(program):
    """Also where it sleeps, and there is no other work."""
    ring = program.ring(kind=THREADS)
    other = seen_from_elsewhere(program, ring)
    batch, _ = program.batch(ring, [1])
    player = Player(program, kind=THREADS)
    player.rings[ring.entry] = other
    player.read_all()
    program.work()
    batch.wait()
    known = weakref.ref(other)
    del other, player.rings[ring.entry]
    thread = threading.Thread(target=player.reader.next, args=(PATIENCE,), daemon=True)
    thread.start()
    time.sleep(0.1)
    program.control.close(ring)
    wait_until(lambda: known() is None, "it was let go")
    program.control.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_the_batches_of_a_ring_that_is_closed_end(program):
    ring = program.ring(slots=2)
    batches = [program.batch(ring, range(4))[0] for _ in range(2)]
    program.control.close(ring)
    for batch in batches:
        with pytest.raises(RuntimeError, match="not read any more"):
            batch.wait(PATIENCE)
    assert not program.control.has_work(PROCESSES)
    assert program.control.entry(ring.entry)[0] == 0


def test_an_entry_is_used_again_when_nothing_looks_at_it(program):
    first = program.ring()
    entry = first.entry
    program.control.close(first)
    second = program.ring()  # a batch may still have a hold of the first
    assert second.entry != entry
    del first
    gc.collect()
    third = program.ring()
    assert third.entry == entry


def test_generations_begin_anew(program):
    """After as many rings in one entry as there are numbers."""
    ring = program.ring()
    numbers = struct.pack("<Q", program.control.claims())
    memory = program.memory.buffer
    program.control.close(ring)
    del ring
    last = struct.pack("<Q", 0xFFFF << 48)
    at = memory[:].index(numbers)
    memory[at : at + 8] = last
    at = memory[:].index(numbers)
    memory[at : at + 8] = last
    ring = program.ring()
    assert ring.generation == 1
    batch, out = program.batch(ring, [1, 2])
    assert Player(program).knows(ring).read_all() == [1, 2]
    program.work()
    assert batch.wait(0)
    np.testing.assert_array_equal(out, pixels([1, 2]))


def test_what_there_is_no_room_for(program):
    rings = [program.ring(slots=1, files=1)]
    try:
        while len(rings) < 2000:
            rings.append(program.ring(slots=1, files=1))
    except OSError as error:
        assert "More than 1024 iterators" in str(error)
    assert len(rings) == 1024
    ring = rings[-1]
    assert program.batch(ring, [0])[0]
    assert ring.claim() is not None
    memory = bytearray(_core.Ring.bytes_for(1, 64, 1, 1, 0))
    offsets = np.array([0, 1], np.uint64)
    fresh = _core.Ring.create(memory, 1, 64, offsets, b"x", b"")
    with pytest.raises(OSError, match="longer than 191 bytes: aaa"):
        program.control.open(fresh, 0, b"a" * 192, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 64, [0, 1], b"x"), "0 slots of 64 bytes"),
        ((1, 65, [0, 1], b"x"), "1 slots of 65 bytes"),
        ((1, 64, [0, 2], b"x"), "the end of the names"),
    ],
)
def test_rings_that_are_refused(arguments, message):
    slots, slot_bytes, offsets, names = arguments
    with pytest.raises(ValueError, match=message):
        _core.Ring.create(
            bytearray(1 << 16), slots, slot_bytes, np.array(offsets, np.uint64), names, b""
        )


def test_memory_that_is_too_small():
    with pytest.raises(ValueError, match="No room for a ring in 8 bytes"):
        _core.Ring(bytearray(8))
    with pytest.raises(ValueError, match="No room for 9 slots"):
        _core.Ring.create(bytearray(512), 9, 64, np.array([0, 1], np.uint64), b"x", b"")
    with pytest.raises(ValueError, match="No room for a control block"):
        _core.Control(bytearray(64), 1, 1)
    with pytest.raises(ValueError, match="No room for 2 readers"):
        _core.Control(bytearray(_core.Control.bytes_for(1)), 2, 2)
    for readers in 0, _core.MOST_READERS + 1:
        with pytest.raises(ValueError, match="1 to 1023 readers"):
            _core.Control(bytearray(1 << 20), readers, 2)


def test_arguments_that_do_not_fit(program):
    ring, foreign = program.ring(slots=2, files=5), Program().ring(slots=2, files=5)
    table = np.tile(np.array(IDENTITY), (1, 1))
    out, plan = np.zeros((1, *SHAPE), np.float32), _core.Program(*SHAPE)

    def batch(images, file):
        return _core.Batch(plan, images, np.array([file]), table, [out], ring=ring)

    for images in foreign.view.images, ring.view.images[:1], ring.view.images.copy():
        with pytest.raises(ValueError, match="images of a ring that is open"):
            batch(images, 0)
    for file in -1, 5:
        with pytest.raises(IndexError, match="out of bounds for 5 files"):
            batch(ring.view.images, file)
    with pytest.raises(ValueError, match="threads of a queue"):
        batch(ring.view.images, 0).run()
    with pytest.raises(ValueError, match="There are 2 readers"):
        _core.Reader(program.control, 2, 0)
    with pytest.raises(ValueError, match="readers"):
        _core.Reader(program.control, 0, USERS)
    for call in ring.file, ring.path, ring.finish:
        with pytest.raises(IndexError, match="2 slots"):
            call(2)


def test_a_queue_and_a_control_block_belong_together(program):
    ring, foreign = program.ring(), Program().ring()
    program.batch(ring, [1])
    with pytest.raises(ValueError, match="another control block"):
        program.batch(foreign, [1])


def test_a_queue_that_is_gone_makes_room_for_another(program):
    program.batch(program.ring(), [1])[0].cancel()
    program.tasks = _core.TaskQueue()
    ring = program.ring()
    batch, out = program.batch(ring, [2])
    assert Player(program).knows(ring).read_all() == [2]
    program.work()
    assert batch.wait(0)
    np.testing.assert_array_equal(out, pixels([2]))


# ---------------------------------------------------------------------------- who may work


def test_readers_above_the_limit_take_nothing():
    program = Program(readers=4, cores=2)
    ring = program.ring(slots=8)
    batch, _ = program.batch(ring, range(8))
    players = [Player(program, k).knows(ring) for k in range(4)]
    assert program.control.limit == 2
    assert players[3].take(0.01) is None and players[2].take(0.01) is None
    assert players[1].take(0) and players[0].take(0)
    batch.cancel()


def set_warping(program, count):
    program.memory.buffer[WARPING_AT : WARPING_AT + 4] = struct.pack("<I", count)


def warping(program):
    return struct.unpack("<I", program.memory.buffer[WARPING_AT : WARPING_AT + 4])[0]


def test_readers_leave_the_cores_to_those_who_warp():
    """But one of them may go on in any case."""
    program = Program(readers=3, cores=3)
    ring = program.ring(slots=8)
    batch, _ = program.batch(ring, range(8))
    players = [Player(program, k).knows(ring) for k in range(3)]
    for count, may in (1, 2), (2, 1), (3, 1), (50, 1), (0, 3):
        set_warping(program, count)
        took = [player.take(0) is not None for player in players]
        assert took == [k < may for k in range(3)]
    batch.cancel()


def test_a_reader_is_woken_when_it_may_work():
    """After a warp, though nothing was asked for since."""
    program = Program(readers=2, cores=2)
    ring = program.ring(slots=8)
    set_warping(program, 1)
    batch, _ = program.batch(ring, [1])
    low, high = (Player(program, k).knows(ring) for k in range(2))
    low.read_all()
    program.batch(ring, [2])
    done = threading.Event()

    def read():
        high.read(*high.take())
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert not done.wait(0.2)
    set_warping(program, 0)
    program.work()
    assert batch.wait(0)
    assert done.wait(PATIENCE / 2)


def test_those_who_warp_are_counted(workers):
    """As long as they do so."""
    program, shape = Program(readers=2, cores=2), (800, 800, 3)
    slot_bytes = -(-int(np.prod(shape)) // 64) * 64
    ring = program.ring(slots=2, slot_bytes=slot_bytes)
    offset, stride = ring.images_at
    images = np.ndarray(
        (2, *shape), np.uint8, ring.view.memory.buffer, offset, (stride, 2400, 3, 1)
    )
    table = np.tile(np.array([30.0, *IDENTITY[1:]]), (8, 1))
    out = np.zeros((8, *shape), np.float32)
    plan = _core.Program(*shape, order=3)
    workers(program.tasks, 1)
    seen, end = set(), time.monotonic() + PATIENCE
    while seen != {0, 1}:
        batch = _core.Batch(plan, images, np.arange(8), table, [out], ring=ring)
        batch.put_into(program.tasks)
        while not batch.wait(0):
            if (slot := ring.claim()) is not None:
                ring.finish(slot)
            seen.add(warping(program))
        wait_until(lambda: warping(program) == 0, "it is over")
        assert seen <= {0, 1} and time.monotonic() < end


def play(program, ring, rounds, share):
    """Has all readers that may work read files, of which the disk takes a share of the time."""
    players = [Player(program, k).knows(ring) for k in range(8)]
    for _ in range(rounds):
        batch, _ = program.batch(ring, range(ring.slots))
        while not batch.wait(0):
            for player in players:
                if (found := player.take(0)) is not None:
                    program.control.account(share, 1)
                    player.reader.finish(*found)
            program.work()


def test_the_limit_follows_the_disk():
    """Readers that wait for it leave their core to others, and come back to it."""
    program = Program(readers=8, cores=2)
    ring = program.ring(slots=16)
    play(program, ring, 10, 0.05)
    assert program.control.limit == 2
    play(program, ring, 100, 0.55)
    assert program.control.limit == 4
    play(program, ring, 100, 0.9)
    assert program.control.limit == 8
    play(program, ring, 200, 0.05)
    assert program.control.limit == 2


def test_threads_that_would_wait_for_the_gil_are_not_let_in():
    """Processes are, whatever the time of a file, and so are threads that need long for one."""
    program = Program(readers=16, cores=16)
    assert [program.control.allowed(kind) for kind in (PROCESSES, THREADS)] == [16, 16]
    for seconds, allowed in (30e-6, 1), (800e-6, 16), (110e-6, 3), (50e-6, 2), (0.2, 16):
        for _ in range(1000):
            program.control.account_thread(seconds)
        assert [program.control.allowed(kind) for kind in (PROCESSES, THREADS)] == [16, allowed]


@pytest.mark.parametrize("seconds", [0, -1e-6, 1e13, np.nan, np.inf])
def test_times_of_a_clock_that_stands_or_jumps_let_no_thread_wait(seconds):
    program = Program(readers=16, cores=16)
    for known, allowed in (0, 16), (50e-6, 2):
        for _ in range(1000):
            program.control.account_thread(known)
        for _ in range(10):
            program.control.account_thread(seconds)
        assert program.control.allowed(THREADS) == allowed


@pytest.mark.parametrize(("kind", "allowed"), [(PROCESSES, 16), (THREADS, 1)])
def test_a_reader_takes_the_time_of_its_core_into_account(kind, allowed):
    """Next to none here: a thread which does nothing else would hold the GIL all the time."""
    program = Program(readers=16, cores=16)
    ring = program.ring(kind=kind)
    player = Player(program, kind=kind).knows(ring)
    for _ in range(300):
        program.batch(ring, [1])
        found = player.take()
        player.reader.account(0)
        player.reader.finish(*found)
        program.work()
    assert program.control.allowed(kind) == allowed


def test_a_reader_takes_the_time_of_the_disk_into_account():
    """What it tells, beside the time that the file has taken."""
    program = Program(readers=8, cores=2)
    ring = program.ring()
    player = Player(program).knows(ring)
    for share, limit in (0.9, 8), (0.0, 2):
        for _ in range(400):
            program.batch(ring, [1])
            found = player.take()
            start = time.perf_counter()
            time.sleep(0.0005)
            player.reader.account(share * (time.perf_counter() - start))
            player.reader.finish(*found)
            program.work()
        assert program.control.limit == limit


SMALL = 1 << 16  # bytes of a file that is not small any more

CONTENTS = {
    "nothing": b"",
    "a byte": b"x",
    "zeros": bytes(1000),
    "one less": b"abc" * (SMALL // 3),
    "as much": b"abcd" * (SMALL // 4),
    "large": b"abcde" * SMALL,
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_small_file_is_read_before_the_gil_is_taken(program, tmp_path, name):
    """Where a large one is open is told."""
    path = tmp_path / "file"
    path.write_bytes(CONTENTS[name])
    ring = program.ring(paths=[bytes(path), b"other"])
    ring.open_files(False)
    player = Player(program).knows(ring)
    for _ in range(3):
        program.batch(ring, [0])
        found = player.take()
        file = player.reader.take_file()
        if len(CONTENTS[name]) < SMALL:
            assert file == CONTENTS[name]
        else:
            with os.fdopen(file, "rb") as opened:
                assert opened.read() == CONTENTS[name]
        player.reader.finish(*found)
        program.work()


def test_what_is_not_opened(program, tmp_path, monkeypatch):
    """A folder, a FIFO, what is not there, odd and relative paths; and no descriptor is lost."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large").write_bytes(bytes(2 * SMALL))
    (tmp_path / "here").write_bytes(b"contents")
    os.mkfifo(tmp_path / "fifo")
    folder = bytes(tmp_path)
    long = folder + b"/" + b"./" * 2048 + b"here"
    paths = [folder, folder + b"/no", b"", b"no\0where", folder + b"/here\0", long, b"here"]
    paths.append(folder + b"/fifo")
    ring = program.ring(paths=[*paths, folder + b"/large"])
    players = [Player(program).knows(ring)]
    descriptors = pathlib.Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))

    def take(file):
        program.batch(ring, [file])
        found = players[0].take()
        taken = players[0].reader.take_file()
        players[0].reader.finish(*found)
        program.work()
        return taken

    assert take(paths.index(b"here")) is None  # nobody has said that files are to be opened
    ring.open_files(False)
    assert [take(k) for k in range(len(paths))] == [None] * len(paths)
    for _ in range(3):
        opened = take(len(paths))
        assert (descriptors / str(opened)).readlink().parent == tmp_path
        os.close(opened)
    ring.open_files(True)
    assert take(paths.index(b"here")) == b"contents"
    for _ in range(10):  # a reader closes what nobody has taken
        program.batch(ring, [len(paths)])
        players[0].reader.finish(*players[0].take())
        program.work()
    assert len(list(descriptors.iterdir())) == before + 1
    players.clear()
    assert len(list(descriptors.iterdir())) == before


def test_a_writer_of_a_fifo_waits_for_python(program, tmp_path):
    """It would find nobody if a reader opened the FIFO and left it again."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ring = program.ring(paths=[bytes(fifo)])
    ring.open_files(False)
    player = Player(program).knows(ring)
    writer = threading.Thread(target=fifo.write_bytes, args=(b"contents",))
    writer.start()
    program.batch(ring, [0])
    found = player.take()
    assert player.reader.take_file() is None
    writer.join(0.3)
    assert writer.is_alive()
    assert fifo.read_bytes() == b"contents"
    writer.join(PATIENCE)
    player.reader.finish(*found)
    program.work()


def test_no_more_readers_than_there_are():
    program = Program(readers=2, cores=8)
    assert program.control.limit == 2
    ring = program.ring()
    player = Player(program).knows(ring)
    for reading, in_all in [(0, 0), (0.9, 1), (1, 1), (5, 1)] * 40:
        program.batch(ring, [1])
        found = player.take()
        program.control.account(reading, in_all)
        player.reader.finish(*found)
        program.work()
        assert program.control.limit == 2


def test_readers_in_threads_are_told_to_end(program):
    ring = program.ring()
    results = []

    def wait():
        results.append(Player(program, kind=THREADS).reader.next(2 * PATIENCE))

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    time.sleep(0.1)
    program.control.stop()
    thread.join(PATIENCE / 2)
    assert results == [None]
    program.batch(ring, [1])
    assert Player(program).knows(ring).read_all() == [1]  # a process ends in another way


# ---------------------------------------------------------------------------- Python's part


def test_python_has_a_part(program):
    """`after` for pieces that are one after the other, `then` once and last."""
    ring = program.ring(slots=4)  # chunks of two
    calls, files = [], [1, 2, 3, 4, 5, 6, 7]

    def after(part):
        calls.append(part.copy())
        part += 100

    batch, outs = program.batch(ring, files, each=3, after=after, then=lambda: calls.append("then"))
    player = Player(program).knows(ring)
    while not batch.wait(0):
        player.read_all()
        program.work()
    assert calls.pop() == "then"
    np.testing.assert_array_equal(np.concatenate(calls), pixels(files))
    np.testing.assert_array_equal(np.concatenate(outs), pixels(files) + 100)
    assert max(map(len, calls)) <= 2
    program.check_slots(ring)


def test_files_are_read_while_python_has_its_part(program):
    """The slots of a chunk are given back, and a reader that sleeps is woken, before `after`."""
    ring = program.ring(slots=1)
    read = [threading.Event() for _ in range(3)]
    calls = []

    def run():
        player = Player(program).knows(ring)
        for event in read:
            player.read(*player.take())
            event.set()

    def after(_):
        calls.append(len(calls))
        if calls[-1] < 2:
            assert read[calls[-1] + 1].wait(PATIENCE / 2)

    threading.Thread(target=run, daemon=True).start()
    batch, _ = program.batch(ring, [1, 2, 3], after=after)
    for event in read:
        assert event.wait(PATIENCE)
        time.sleep(0.05)  # lets the reader fall asleep
        program.work()
    assert batch.wait(0) and calls == [0, 1, 2]


def test_python_code_for_each_image(program):
    ring = program.ring(slots=4)
    seen = []

    def by_image(image, row, standardize, out):
        seen.append((image[0, 0, 0], row.tolist()))
        out[...] = image + 1

    batch, out = program.batch(ring, [1, 2, 3, 4, 5], by_image=by_image)
    player = Player(program).knows(ring)
    while not batch.wait(0):
        while (found := player.take(0)) is not None:
            player.read(*found, b"bad" if ring.file(found[1]) == 4 else None)
        program.work()
    np.testing.assert_array_equal(out[[0, 1, 2, 4]], pixels([1, 2, 3, 5]) + 1)
    assert not out[3].any()
    assert batch.failures() == [(3, b"bad")]
    assert [value for value, _ in seen] == [1, 2, 3, 5]
    assert all(np.array_equal(row, [30.0, *IDENTITY[1:]], equal_nan=True) for _, row in seen)
    program.check_slots(ring)


class Mine(BaseException):
    pass


@pytest.mark.parametrize("where", ["after", "then", "by_image"])
@pytest.mark.parametrize("threads", [0, 2])
def test_what_python_raises(program, workers, where, threads):
    """It comes out of `wait`, once; no slot is lost, and later batches are right."""
    ring = program.ring(slots=4)
    crew = workers(program.tasks, threads)

    def fail(*_):
        raise Mine

    player = Player(program).knows(ring)
    for _ in range(5):
        batch, _ = program.batch(ring, range(9), **{where: fail})
        end = time.monotonic() + PATIENCE
        with pytest.raises(Mine):
            while not batch.wait(0):
                player.read_all()
                if not threads:
                    program.work()
                assert time.monotonic() < end
        assert batch.wait(0)
        assert not program.control.has_work(PROCESSES)
    batch, out = program.batch(ring, range(9))
    while not batch.wait(0):
        player.read_all()
        if not threads:
            program.work()
    np.testing.assert_array_equal(out, pixels(range(9)))
    crew.end()
    program.check_slots(ring)


def test_results_are_not_kept(program):
    ring = program.ring()
    batch, out = program.batch(ring, [1, 2])
    before = sys.getrefcount(out)
    assert Player(program).knows(ring).read_all() == [1, 2]
    program.work()
    batch.wait()
    assert sys.getrefcount(out) == before - 1
    given_up, out = program.batch(ring, [1, 2])
    given_up.cancel()
    given_up.wait()
    assert sys.getrefcount(out) == before - 1


# ---------------------------------------------------------------------------- the rest


def test_how_long_a_record_may_be(program):
    ring = program.ring(slots=2)
    batch, _ = program.batch(ring, [1, 2])
    player = Player(program).knows(ring)
    first, second = player.take(), player.take()
    with pytest.raises(ValueError, match="No room for 61 bytes in a slot of 64"):
        player.read(*first, bytes(SLOT_BYTES - 3))
    with pytest.raises(ValueError, match="No room"):
        ring.fail(first[1], bytes(SLOT_BYTES - 3))
    longest = bytes(range(1, SLOT_BYTES - 3))
    assert player.read(*first, longest)
    assert player.read(*second, b"")
    program.work()
    assert batch.wait(0)
    assert sorted(batch.failures()) == [(0, longest), (1, b"")]


def test_pillow_s_settings_cross_over(program):
    ring = program.ring()
    elsewhere = seen_from_elsewhere(program, ring)
    assert program.control.pillow == (None, False)
    assert elsewhere.pillow is None  # each has its own
    ring.follow_pillow()
    for given, seen in [
        ((178956970, False), (178956970, False)),
        ((None, True), (None, True)),
        ((-5, False), (0, False)),
        ((2**80, 1), (2**62, True)),
    ]:
        program.control.pillow = given
        assert elsewhere.pillow == seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_forked_child_leaves_the_ring_alone(program):
    ring = program.ring(slots=2)
    batch, out = program.batch(ring, [1, 2, 3])
    found = Player(program).knows(ring).take()
    before = program.memory.buffer[:], ring.progress()
    child = os.fork()
    if not child:
        status = 1
        try:
            program.control.close(ring)
            batch.cancel()
            ring.fail_batches(RuntimeError())
            del ring, batch, found
            program.tasks = program.control = None
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert (program.memory.buffer[:], ring.progress()) == before
    player = Player(program).knows(ring)
    player.read(*found)
    while not batch.wait(0):
        player.read_all()
        program.work()
    np.testing.assert_array_equal(out, pixels([1, 2, 3]))
    program.check_slots(ring)
