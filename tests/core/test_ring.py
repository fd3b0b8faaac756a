"""Rings in shared memory at their own level: claims, deaths, cancellation, wake-ups, limits."""

import gc
import itertools
import random
import struct
import threading
import time

import numpy as np
import pytest
from rings import PATIENCE, Player, Program, pixels, reader_process

from fastaug import _core
from fastaug.data.readers import PROCESSES, USERS

# Where a control block has the number of threads that warp.
WARPING_AT = 64


@pytest.fixture
def program():
    return Program()


def finish_all(program, batch, *players):
    """Reads and works until a batch has ended."""
    end = time.monotonic() + PATIENCE
    while not batch.wait(0):
        for player in players:
            player.read_all()
        program.work()
        assert time.monotonic() < end


def put_claims_back(program, by):
    """As if readers of the one ring had died before they moved `claimed` on."""
    claims = program.control.claims()
    # `submitted`, which may be the same, comes before it
    at = program.memory.buffer[:].rindex(struct.pack("<Q", claims))
    program.memory.buffer[at : at + 8] = struct.pack("<Q", claims - by)
    assert program.control.claims() == claims - by


# ---------------------------------------------------------------------------- claims


def test_files_are_claimed_in_their_order(program):
    ring = program.ring(slots=4)
    batch, out = program.batch(ring, [5, 3, 9, 1])
    player = Player(program).knows(ring)
    found = [player.take() for _ in range(4)]
    assert [ring.path(slot) for _, slot in found] == [b"5", b"3", b"9", b"1"]
    assert player.take(0) is None
    for _, slot in found:
        player.read(ring, slot)
    assert not batch.wait(0)
    program.work()
    assert batch.wait(0)
    np.testing.assert_array_equal(out, pixels([5, 3, 9, 1]))
    assert batch.failures() == []
    program.check_slots(ring)


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 7, 64])
@pytest.mark.parametrize("each", [None, 1, 3])
def test_more_images_than_slots(program, slots, each):
    ring = program.ring(slots)
    files = random.Random(1).sample(range(1000), 23)
    batch, outs = program.batch(ring, files, each=each)
    finish_all(program, batch, Player(program).knows(ring))
    np.testing.assert_array_equal(np.concatenate(outs) if each else outs, pixels(files))
    program.check_slots(ring)


def test_batches_share_the_slots_in_their_order(program):
    ring = program.ring(slots=3)
    player = Player(program).knows(ring)
    batches = [program.batch(ring, range(5 * k, 5 * k + 5)) for k in range(4)]
    assert ring.wanted == 20
    files = []
    while len(files) < 20:
        files += player.read_all()
        program.work()
    assert files == list(range(20))
    assert ring.wanted == 0
    for k, (batch, out) in enumerate(batches):
        assert batch.wait(0)
        np.testing.assert_array_equal(out, pixels(range(5 * k, 5 * k + 5)))


HAMMER = """
files = []
while (found := take()) is not None:
    file = found[0].file(found[1])
    assert read(*found)
    if file == 0:
        break
    files.append(file)
print(files)
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_each_file_is_read_once(workers, seed):
    """By processes and threads together, while some of the batches are given up."""
    program = Program(readers=5, cores=8)
    ring = program.ring(slots=7, files=20_000)
    crew = workers(program.tasks, 2)
    rng, lists = random.Random(seed), [[], [], []]
    numbers = iter(range(1, 20_000))

    def read(number):
        player = Player(program, number).knows(ring)
        while (found := player.take()) is not None:
            file = ring.file(found[1])
            assert player.read(*found)
            if file == 0:  # the sign to end
                return
            lists[number].append(file)

    threads = [threading.Thread(target=read, args=(k,), daemon=True) for k in range(3)]
    with reader_process(program, 3) as first, reader_process(program, 4) as second:
        for run in first, second:
            run(f"exec({HAMMER!r})", wait=False)
        for thread in threads:
            thread.start()
        whole, given_up = [], []
        for _ in range(300):
            asked = []
            for _ in range(rng.randint(1, 4)):
                files = list(itertools.islice(numbers, rng.randint(1, 20)))
                asked.append((files, *program.batch(ring, files)))
            for files, batch, out in asked:
                if rng.random() < 0.3:
                    batch.cancel()
                    assert batch.wait(PATIENCE)
                    given_up += files
                else:
                    assert batch.wait(PATIENCE)
                    np.testing.assert_array_equal(out, pixels(files))
                    whole += files
        for _ in range(5):
            assert program.batch(ring, [0])[0].wait(PATIENCE)
        lists += [eval(run.wait_for("done")[0]) for run in (first, second)]
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    once = list(itertools.chain(*lists))
    assert len(set(once)) == len(once)
    assert set(whole) <= set(once) <= {*whole, *given_up}
    assert any(lists[:3]) and any(lists[3:])
    crew.end()
    program.check_slots(ring)


def test_claims_are_moved_on_by_others(program):
    """A reader that died after its claim and before it counted that."""
    ring = program.ring(slots=4)
    batch, out = program.batch(ring, [1, 2, 3])
    first, second = (Player(program, k).knows(ring) for k in range(2))
    found = first.take()
    put_claims_back(program, 1)
    assert second.read_all() == [2, 3]
    first.read(*found)
    program.work()
    assert batch.wait(0)
    np.testing.assert_array_equal(out, pixels([1, 2, 3]))


def test_claims_are_moved_on_by_the_program(program):
    """Or there would be no room for what is asked for next."""
    ring = program.ring(slots=2)
    batch, out = program.batch(ring, [1, 2, 3, 4])
    player = Player(program).knows(ring)
    found = [player.take(), player.take()]
    put_claims_back(program, 2)
    for each in found:
        player.read(*each)
    program.work()
    assert player.read_all() == [3, 4]
    program.work()
    assert batch.wait(0)
    np.testing.assert_array_equal(out, pixels([1, 2, 3, 4]))


def test_the_paths_are_any_bytes(program):
    paths = [bytes(range(1, 256)), b"", b"\n", b"x" * 70_000, "ü".encode()]
    ring = program.ring(slots=5, paths=paths)
    batch, _ = program.batch(ring, range(5))
    slots = list(iter(ring.claim, None))
    assert [ring.path(slot) for slot in slots] == paths
    assert [ring.file(slot) for slot in slots] == list(range(5))
    assert ring.about == b"about"
    batch.cancel()


def test_a_reader_without_a_record(program):
    """What a call in a user's pool does."""
    ring = program.ring(slots=2, kind=USERS)
    batch, out = program.batch(ring, [7, 8, 9])
    assert Player(program).knows(ring).take(0) is None  # not its kind
    assert ring.waiting() is not None
    assert ring.wanted == 3
    slots = [ring.claim(), ring.claim()]
    assert ring.claim() is None and ring.waiting() is None
    before = ring.progress()
    ring.view.images[slots[0]] = 7
    assert ring.finish(slots[0])
    assert ring.progress() != before
    assert not ring.finish(slots[0])  # it is not held any more
    assert ring.finish(slots[1], b"why")
    program.work()
    slot = ring.claim()
    assert ring.file(slot) == 9 and ring.wanted == 0
    ring.view.images[slot] = 9
    assert ring.finish(slot)
    program.work()
    assert batch.wait(0)
    assert batch.failures() == [(1, b"why")]
    np.testing.assert_array_equal(out[[0, 2]], pixels([7, 9]))
    assert not out[1].any()


def test_what_a_reader_is_busy_with(program):
    ring = program.ring(slots=2)
    program.batch(ring, range(6))
    player = Player(program, 1).knows(ring)
    seen = [program.control.busy(1)]
    for _ in range(6):
        found = player.take()
        seen.append(program.control.busy(1))
        assert program.control.busy(0) == 0
        player.read(*found)
        program.work()
    assert seen[0] == 0 and len(set(seen)) == 7
    assert player.take(0) is None
    assert program.control.busy(1) == 0


# ---------------------------------------------------------------------------- deaths


def test_a_death_before_a_claim(program):
    """It takes nothing with it, nor the wake-up of another one once it is forgotten."""
    ring = program.ring()
    with reader_process(program) as run:
        run("take()", wait=False)
        time.sleep(0.5)  # it sleeps, and is counted as asleep
        run.process.kill()
        run.process.wait()
    assert ring.held_by(0) is None
    program.control.forget(0)
    player, read = Player(program, 1).knows(ring), threading.Event()

    def read_one():
        player.read(*player.take())
        read.set()

    threading.Thread(target=read_one, daemon=True).start()
    time.sleep(0.2)
    batch, out = program.batch(ring, [3])
    assert read.wait(PATIENCE / 2)
    program.work()
    assert batch.wait(0)
    np.testing.assert_array_equal(out, pixels([3]))


def killed_with(program):
    """Has a process take a file and die with it; returns the slot and the file."""
    with reader_process(program) as run:
        [line] = run("found = take(); print(found[1], found[0].file(found[1]))")
        run.process.kill()
        run.process.wait()
    return tuple(map(int, line.split()))


def test_a_death_over_a_file_that_is_read_again(program):
    ring = program.ring(slots=4)
    batch, out = program.batch(ring, [4, 5, 6])
    slot, file = killed_with(program)
    assert file == 4
    assert program.control.busy(0)
    held, word = ring.held_by(0)
    assert held == slot and not _core.is_abandoned(word)
    assert ring.held_by(1) is None
    ring.redo(slot, 0)
    program.control.forget(0)
    assert program.control.busy(0) == 0
    assert program.control.owes(0) and not program.control.owes(1)
    assert Player(program, 1).knows(ring).read_all() == [5, 6]  # no other one takes it
    program.work()
    assert not batch.wait(0)
    assert Player(program, 0).knows(ring).read_all() == [4]
    assert not program.control.owes(0)
    program.work()
    assert batch.wait(0)
    np.testing.assert_array_equal(out, pixels([4, 5, 6]))
    program.check_slots(ring)


def test_a_file_is_read_again_before_all_others(program):
    ring = program.ring(slots=4)
    program.batch(ring, [4, 5, 6])
    slot, _ = killed_with(program)
    ring.redo(slot, 0)
    assert Player(program, 0).knows(ring).read_all() == [4, 5, 6]


def test_a_death_over_a_file_that_is_blamed(program):
    ring = program.ring(slots=4)
    batch, out = program.batch(ring, [4, 5, 6])
    slot, _ = killed_with(program)
    ring.fail(slot, b"it kills")
    assert ring.held_by(0) is None
    assert Player(program, 0).knows(ring).read_all() == [5, 6]
    program.work()
    assert batch.wait(0)
    assert batch.failures() == [(0, b"it kills")]
    assert not out[0].any()
    np.testing.assert_array_equal(out[1:], pixels([5, 6]))
    program.check_slots(ring)


@pytest.mark.parametrize("again", [True, False])
def test_a_death_over_a_file_that_nobody_wants(program, again):
    ring = program.ring(slots=2)
    given_up, _ = program.batch(ring, [4, 5])
    slot, _ = killed_with(program)
    given_up.cancel()
    held, word = ring.held_by(0)
    assert held == slot and _core.is_abandoned(word)
    if again:
        ring.redo(slot, 0)
    else:
        ring.fail(slot, b"it kills")
    batch, out = program.batch(ring, [6, 7, 8])
    finish_all(program, batch, Player(program).knows(ring))
    assert batch.failures() == []
    np.testing.assert_array_equal(out, pixels([6, 7, 8]))
    program.check_slots(ring)


def test_a_file_to_be_read_again_that_another_has_begun(program):
    """As it may, where the dead one had not counted its claim."""
    ring = program.ring(slots=4)
    program.batch(ring, [4, 5])
    slot, _ = killed_with(program)
    put_claims_back(program, 1)
    ring.redo(slot, 0)
    first, second = (Player(program, k).knows(ring) for k in range(2))
    found = second.take()
    assert ring.file(found[1]) == 4
    assert first.read_all() == [5]
    assert ring.held_by(1)[0] == slot and not program.control.owes(0)
    assert second.read(*found)


def test_what_was_to_be_read_again_of_a_ring_that_is_gone(program):
    """Another ring in its place has nothing to do with it."""
    ring = program.ring(slots=2)
    program.batch(ring, [1])
    ring.redo(Player(program).knows(ring).take()[1], 0)
    entry = ring.entry
    program.control.close(ring)
    del ring
    gc.collect()
    ring = program.ring(slots=2)
    assert ring.entry == entry
    batch, _ = program.batch(ring, [2, 3])
    assert program.control.owes(0)
    player = Player(program).knows(ring)
    assert player.read_all() == [2, 3]
    assert not program.control.owes(0)
    program.work()
    assert batch.wait(0)


def test_a_slot_that_was_taken_from_its_reader(program):
    ring = program.ring()
    program.batch(ring, [1])
    player = Player(program).knows(ring)
    found = player.take()
    ring.fail(found[1], b"too late")
    assert not player.read(*found)


# ---------------------------------------------------------------------------- cancellation


def test_slots_of_a_batch_that_is_given_up(program):
    """Done, started, waiting or without a slot: all come back, and are used again."""
    ring = program.ring(slots=4)
    player = Player(program).knows(ring)
    for _ in range(50):
        batch, out = program.batch(ring, range(9))
        done, started = player.take(), player.take()
        player.read(*done)
        batch.cancel()
        assert batch.wait(0)
        assert not program.control.has_work(PROCESSES)
        assert ring.wanted == 0
        assert player.take(0) is None
        assert player.read(*started)
        assert (out == -1).all()
    program.check_slots(ring)


def test_a_started_slot_is_not_lent_before_it_is_given_back(program):
    ring = program.ring(slots=2)
    player = Player(program).knows(ring)
    given_up, _ = program.batch(ring, [1, 2])
    _, slot = player.take()
    given_up.cancel()
    batch, out = program.batch(ring, [3, 4])
    other = ring.claim()
    assert other != slot and ring.claim() is None
    assert player.read(ring, slot)
    program.work()
    assert ring.claim() == slot
    for each, file in (other, 3), (slot, 4):
        ring.view.images[each] = file
        assert ring.finish(each)
    program.work()
    assert batch.wait(0)
    np.testing.assert_array_equal(out, pixels([3, 4]))
    program.check_slots(ring)


def test_the_batch_behind_one_that_is_given_up(program):
    ring = program.ring(slots=2)
    first, _ = program.batch(ring, range(10, 20))
    second, out = program.batch(ring, [1, 2, 3])
    assert ring.wanted == 13
    first.cancel()
    assert ring.wanted == 3
    player = Player(program).knows(ring)
    assert player.read_all() == [1, 2]
    finish_all(program, second, player)
    np.testing.assert_array_equal(out, pixels([1, 2, 3]))


def test_a_slot_that_is_used_again_has_a_new_place_in_the_order(program):
    ring = program.ring(slots=4)
    batches = [program.batch(ring, [file]) for file in (1, 2, 3)]
    batches.pop(1)[0].cancel()
    batches.append(program.batch(ring, [4]))  # in the same slot
    assert Player(program).knows(ring).read_all() == [1, 3, 4]
    program.work()
    for (batch, out), file in zip(batches, (1, 3, 4), strict=True):
        assert batch.wait(0)
        np.testing.assert_array_equal(out, pixels([file]))


def test_what_is_asked_for_has_room_in_the_order(program):
    """A slot that is free is no such room, as long as nobody has begun what was asked for first."""
    ring = program.ring(slots=3)
    batches = [program.batch(ring, [file]) for file in (1, 2, 3)]
    batches.pop(1)[0].cancel()
    batches.append(program.batch(ring, [4]))
    player = Player(program).knows(ring)
    assert player.read_all() == [1, 3]
    program.work()
    assert player.read_all() == [4]
    program.work()
    assert all(batch.wait(0) for batch, _ in batches)


def test_batches_of_a_ring_that_fails(program):
    """Theirs alone; what they had is given back."""
    ring, other = program.ring(slots=2), program.ring(slots=2)
    failing = [program.batch(ring, range(5))[0] for _ in range(2)]
    calm, out = program.batch(other, [1, 2, 3])
    player = Player(program).knows(ring, other)
    player.read(*player.take())
    error = RuntimeError("no readers")
    ring.fail_batches(error)
    for batch in failing:
        with pytest.raises(RuntimeError) as caught:
            batch.wait()
        assert str(caught.value) == "no readers"
    assert error.__traceback__ is None  # the ring has it, and would keep the frames
    finish_all(program, calm, player)
    np.testing.assert_array_equal(out, pixels([1, 2, 3]))
    batch, out = program.batch(ring, [4, 5, 6])
    finish_all(program, batch, player)
    np.testing.assert_array_equal(out, pixels([4, 5, 6]))
    program.check_slots(ring)


# ---------------------------------------------------------------------------- failures


def test_images_that_could_not_be_read(program):
    """Their records are kept, the results are zero, and all others are right."""
    ring = program.ring(slots=4)
    files = list(range(1, 24))
    batch, out = program.batch(ring, files)
    player = Player(program).knows(ring)
    while not batch.wait(0):
        while (found := player.take(0)) is not None:
            file = ring.file(found[1])
            player.read(*found, b"%d is bad" % file if file % 3 == 0 or file in (1, 23) else None)
        program.work()
    bad = {place: b"%d is bad" % file for place, file in enumerate(files)
           if file % 3 == 0 or file in (1, 23)}  # fmt: skip
    failures = batch.failures()
    assert dict(failures) == bad and len(failures) == len(bad)
    good = [place for place in range(len(files)) if place not in bad]
    np.testing.assert_array_equal(out[good], pixels(files)[good])
    assert not out[list(bad)].any()
    program.check_slots(ring)
