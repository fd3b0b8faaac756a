"""Which file is blamed for a death or a hang, and what becomes of it and of all others.

The readers are played: no process runs, and time is what the test says.
"""

import gc
import signal
import types

import numpy as np
import pytest
from PIL import Image, ImageFile

from fastaug import _core
from fastaug.data import decode_pool, file_reader
from fastaug.data.decode import Target
from fastaug.data.decode_pool import GRACE_SECONDS, DecodePool
from fastaug.data.file_reader import FileReader, Paths
from fastaug.data.readers import CALL_FILES, PROCESSES, _attach_to, read_some
from fastaug.run.processes import Death
from fastaug.run.records import record_of
from fastaug.run.shared_memory import attach, is_gone
from fastaug.run.threads import ThreadPool

PATIENCE = 60

SEGV, KILL, TERM = (Death(-number) for number in (signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM))
STUCK = Death(-signal.SIGKILL, stuck=True)

SIZE = (4, 4, 3)


class Readers:
    """A pool of processes that the test plays, one action at a time."""

    kind = PROCESSES

    def __init__(self, size):
        self.decode_pool = DecodePool(size)
        self.decode_pool.warps = ThreadPool(size)  # not those of another pool of this size
        self.control = self.decode_pool.control
        self.at = {}
        self.players = [self._new(number) for number in range(size)]

    def _new(self, number):
        return _core.Reader(self.control, number, PROCESSES)

    def begin(self, reader, count):
        """Nobody has to be started."""

    def wait(self, batch, reader):
        assert batch.wait(PATIENCE)

    def take(self, number=0):
        """Has a reader begin a file; returns its position, or None."""
        while isinstance(found := self.players[number].next(0), int):
            self.players[number].attach(found, self.rings[found])
        if found is None:
            return None
        self.at[number] = found
        return found[0].file(found[1])

    def finish(self, number=0, error=None):
        """Has it end the file."""
        ring, slot = self.at.pop(number)
        ring.view.images[slot] = ring.file(slot) + 1
        self.players[number].finish(ring, slot, None if error is None else record_of(error))

    def die(self, number=0, death=SEGV):
        """Has it die, and another take its place."""
        self.decode_pool.died(number, death)
        self.players[number] = self._new(number)

    def read_all(self, number=0):
        files = []
        while (file := self.take(number)) is not None:
            files.append(file)
            self.finish(number)
        return files

    @property
    def rings(self):
        return {reader.ring.entry: reader.ring for reader in self.decode_pool._live_readers()}


class Files:
    """Files that only have names, and the reader of an iterator over them."""

    def __init__(self, readers, count=40, slots=32, timeout=10, name="f"):
        self.paths = [f"/nowhere/{name}{k}.jpg" for k in range(count)]
        self.readers = readers
        self.reader = FileReader(
            Paths(self.paths), Target(*SIZE[:2], "rgb"), SIZE, readers, slots, timeout
        )

    def ask(self, files):
        """Begins a batch of files."""
        index = np.array(files, np.int64)
        out = np.full((len(files), *SIZE), -1, np.float32)
        table = np.tile(np.array([0, 0, 0, 0, 1, 1, 0, 0, np.nan, np.nan]), (len(files), 1))
        job = self.reader.job(_core.Program(*SIZE), index, table, out, True)
        self.readers.decode_pool.warps.submit(job)
        return job, out

    def check(self, job, out, files, **errors):
        """Waits for a batch; these files, and no others, must have these errors."""
        job.wait()
        bad = {files.index(int(name[1:])): error for name, error in errors.items()}
        assert set(job.errors) == set(bad)
        for place, (kind, *words) in bad.items():
            error = job.errors[place]
            assert type(error) is kind
            assert self.paths[files[place]] in str(error)
            for word in words:
                assert word in str(error)
            assert not out[place].any()
        for place in set(range(len(files))) - set(bad):
            assert (out[place] == files[place] + 1).all(), place


@pytest.fixture
def readers():
    return Readers(2)


MANY = list(range(16))


def test_a_crash_and_all_others_are_read(readers):
    """An unreadable file before the one that kills its reader, good ones after it."""
    files = Files(readers)
    job, out = files.ask(MANY)
    for file in range(16):
        assert readers.take() == file
        if file == 3:
            readers.finish(error=OSError(f"{files.paths[3]}: unreadable"))
        elif file == 7:
            readers.die()
            assert readers.control.owes(0)
            assert readers.take() == 7  # once more, before all else
            readers.die()
        else:
            readers.finish()
    assert readers.take() is None
    files.check(job, out, MANY, f3=(OSError, "unreadable"), f7=(OSError, "died 2 times", "SIGSEGV"))


def test_a_file_that_kills_once(readers):
    files = Files(readers)
    job, out = files.ask(MANY)
    assert readers.take() == 0
    readers.die()
    assert readers.read_all() == MANY
    files.check(job, out, MANY)


@pytest.mark.parametrize("death", [KILL, TERM], ids=["KILL", "TERM"])
def test_a_kill_may_have_any_reason(readers, death):
    """Six of them over one file are too many."""
    files = Files(readers)
    job, out = files.ask(MANY)
    readers.take(), readers.finish()
    for _ in range(5):
        assert readers.take() == 1
        readers.die(death=death)
    assert readers.take() == 1
    readers.finish()
    for _ in range(6):
        assert readers.take() == 2
        readers.die(death=death)
    assert readers.read_all() == MANY[3:]
    files.check(job, out, MANY, f2=(OSError, "died 6 times", death.reason))


def test_a_crash_among_kills(readers):
    files = Files(readers)
    job, out = files.ask(MANY)
    for death in KILL, SEGV, KILL:
        assert readers.take() == 0
        readers.die(death=death)
    assert readers.take() == 0
    readers.die(death=SEGV)
    assert readers.read_all() == MANY[1:]
    files.check(job, out, MANY, f0=(OSError, "died 4 times", "SIGSEGV"))


def test_deaths_are_counted_for_each_time_that_a_file_is_asked_for(readers):
    """In one slot, one after the other: what was counted has an end with the file."""
    files = Files(readers, slots=2)
    for round_ in range(4):
        for file in 5, 6:
            job, out = files.ask([file])
            assert readers.take() == file
            readers.die()
            assert readers.take() == file
            if round_ % 2 and file == 5:
                readers.die()
                files.check(job, out, [file], f5=(OSError, "died 2 times"))
            else:
                readers.finish()
                files.check(job, out, [file])


def test_two_readers_die_over_two_files(readers):
    files = Files(readers)
    job, out = files.ask(MANY)
    assert (readers.take(0), readers.take(1)) == (0, 1)
    readers.die(1)
    readers.die(0)
    assert (readers.take(1), readers.take(0)) == (1, 0)
    readers.die(1)
    readers.finish(0)
    assert readers.read_all(0) == MANY[2:]
    files.check(job, out, MANY, f1=(OSError, "died 2 times"))


def test_the_file_is_that_of_the_iterator_whose_it_is(readers):
    files, others = Files(readers, name="a"), Files(readers, name="b")
    jobs = [files.ask(MANY)]
    assert readers.take(0) == 0
    for file in range(1, 16):
        assert readers.take(1) == file
        readers.finish(1)
    jobs.append(others.ask(MANY))
    assert readers.take(1) == 0  # the other's
    for _ in range(2):
        readers.die(1)
        readers.take(1)
    readers.finish(1), readers.finish(0)
    assert readers.read_all() == MANY[2:]
    files.check(*jobs[0], MANY)
    others.check(*jobs[1], MANY, f0=(OSError, "died 2 times"))


def test_a_hang_is_a_timeout(readers):
    files = Files(readers, timeout=7)
    job, out = files.ask(MANY)
    assert readers.take() == 0
    readers.die(death=STUCK)
    assert not readers.control.owes(0)
    assert readers.read_all() == MANY[1:]
    files.check(job, out, MANY, f0=(TimeoutError, "not read within 7 seconds"))


def test_a_death_over_nothing(readers):
    files = Files(readers)
    job, out = files.ask(MANY)
    readers.die()
    assert not readers.control.owes(0)
    assert readers.read_all(1) == MANY
    files.check(job, out, MANY)


def test_what_a_dead_reader_was_at_is_forgotten(readers):
    files = Files(readers)
    files.ask(MANY)
    readers.take()
    assert readers.control.busy(0)
    readers.decode_pool.died(0, SEGV)
    assert not readers.control.busy(0)


def test_a_file_that_nobody_wants_is_not_read_again(readers):
    files = Files(readers, slots=2)
    job, _ = files.ask(MANY)
    readers.take()
    job.cancel()
    readers.die()
    job, out = files.ask(MANY)
    seen = []
    while len(seen) < 16:
        seen += readers.read_all()
    assert seen == MANY
    files.check(job, out, MANY)


# ---------------------------------------------------------------------------- who hangs


@pytest.fixture
def clock(monkeypatch):
    """What time it is for the pool."""
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(decode_pool.time, "monotonic", lambda: clock.now)
    return clock


def stuck_after(readers, clock, number=0, most=60):
    """Seconds after which a reader is seen to hang, looked at twice a second; None: never."""
    for step in range(2 * most):
        if readers.decode_pool.is_stuck(number):
            return step / 2
        clock.now += 0.5
    return None


def test_a_reader_at_one_file_for_too_long(readers, clock):
    files = Files(readers, timeout=10)
    assert stuck_after(readers, clock) is None  # there is none
    files.ask([0, 1])
    readers.take()
    assert stuck_after(readers, clock, most=9) is None
    readers.finish()
    readers.take()
    assert stuck_after(readers, clock, 1) is None  # another reader
    assert stuck_after(readers, clock) == 10.5
    assert readers.decode_pool.is_stuck(0)


def test_another_file_is_another_time(readers, clock):
    files = Files(readers, timeout=10)
    files.ask(MANY)
    for _ in range(5):
        readers.take()
        assert stuck_after(readers, clock, most=9) is None
        readers.finish()
    readers.take()
    assert stuck_after(readers, clock) == 10.5


def test_the_same_file_for_the_next_reader_is_another_time(readers, clock):
    files = Files(readers, timeout=10)
    files.ask(MANY)
    readers.take()
    assert stuck_after(readers, clock, most=9) is None
    readers.die()
    readers.take()
    assert stuck_after(readers, clock) == 10.5


def test_a_reader_that_takes_nothing(readers, clock):
    """It was stopped while it slept: it is replaced, and the next one reads all."""
    files = Files(readers, timeout=10)
    job, out = files.ask(MANY)
    assert stuck_after(readers, clock) == 10.5
    readers.die(0, STUCK)
    assert readers.read_all() == MANY
    files.check(job, out, MANY)
    assert stuck_after(readers, clock) is None


def test_a_reader_that_takes_nothing_while_others_do(readers, clock):
    files = Files(readers, timeout=10)
    files.ask(MANY)
    for _ in range(5):
        assert stuck_after(readers, clock, 1, most=9) is None
        readers.take()
        readers.finish()
    assert stuck_after(readers, clock, 1) == 10.5


def test_a_reader_that_was_stopped_before_it_said_what_it_is_at(readers, clock):
    files = Files(readers, timeout=10)
    job, out = files.ask([0])
    readers.take()
    readers.control.forget(0)
    assert stuck_after(readers, clock) == 10.5
    readers.die(0, STUCK)
    assert readers.read_all() == [0]
    files.check(job, out, [0])


def test_a_reader_that_does_not_take_what_it_has_to_read_again(readers, clock):
    files = Files(readers, timeout=10)
    job, out = files.ask([0])
    readers.take()
    readers.die()
    assert stuck_after(readers, clock, 1) is None  # it is not for that one
    assert stuck_after(readers, clock) == 10.5
    readers.die(0, STUCK)
    assert readers.read_all() == [0]
    files.check(job, out, [0])


@pytest.mark.parametrize("timeout", [0.5, 10])
def test_a_file_that_nobody_wants_has_little_time(readers, clock, timeout):
    files = Files(readers, timeout=timeout)
    job, _ = files.ask(MANY)
    readers.take()
    job.cancel()
    assert stuck_after(readers, clock) == min(timeout, GRACE_SECONDS) + 0.5


def test_a_file_of_an_iterator_that_is_gone_has_little_time(readers, clock):
    files = Files(readers, timeout=10)
    kept = files.reader.ring  # as the process has it
    job, _ = files.ask(MANY)
    readers.take()
    job.cancel()
    del files, job
    gc.collect()
    assert kept is not None and not readers.decode_pool._live_readers()
    assert stuck_after(readers, clock) == GRACE_SECONDS + 0.5


def test_progress_of_those_who_have_no_record(readers, monkeypatch):
    """Of a user's pool: files that are begun or ended, by whomever."""
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(file_reader.time, "monotonic", lambda: clock.now)
    files = Files(readers, timeout=10)
    job, _ = files.ask(MANY)
    reader, ring = files.reader, files.reader.ring
    assert not reader.is_stuck()
    for _ in range(3):
        clock.now += 9
        slot = ring.claim()
        assert not reader.is_stuck()
        clock.now += 9
        ring.finish(slot)
        assert not reader.is_stuck()
    clock.now += 10
    assert not reader.is_stuck()
    clock.now += 1
    assert reader.is_stuck()
    reader.begin_watch()
    assert not reader.is_stuck()
    job.cancel()


def test_a_call_in_a_user_s_pool_has_an_end(readers):
    """The user may have other work for it."""
    files = Files(readers)
    job, _ = files.ask(range(40))
    ring = files.reader.ring
    address = files.reader.address
    read_some(readers.decode_pool.address, address, ring.entry, ring.generation)
    assert ring.wanted == 40 - CALL_FILES
    for _ in range(2):
        read_some(readers.decode_pool.address, address, ring.entry, ring.generation)
    assert ring.wanted == 0
    job.wait()
    assert {type(error) for error in job.errors.values()} == {FileNotFoundError}
    assert len(job.errors) == 40


# ---------------------------------------------------------------------------- who runs


def test_which_processes_are_wanted():
    readers = Readers(4)
    pool, limit = readers.decode_pool, readers.control.limit
    wanted = lambda: [number for number in range(4) if pool.wants(number)]  # noqa: E731
    files = Files(readers)
    assert wanted() == []
    job, _ = files.ask(MANY)
    assert wanted() == list(range(limit))
    last = limit - 1
    assert readers.take(last) == 0
    job.cancel()
    readers.finish(last)
    assert wanted() == []
    job, out = files.ask([1, 2])
    assert [readers.take(0), readers.take(1 if limit > 1 else 0)] == [1, 2]
    readers.finish(0)
    assert wanted() == []
    readers.die(1)
    assert wanted() == [1]  # it owes a file
    assert readers.take(1) == 2
    readers.finish(1)
    files.check(job, out, [1, 2])


def test_processes_that_die_before_they_begin(readers):
    """Not for ever: the batch ends with an error that says what it waited for."""
    files, others = Files(readers), Files(readers, name="o")
    begun = others.ask([5])  # nobody is waited for there
    assert readers.take(1) == 5
    job, _ = files.ask(MANY)
    for _ in range(10):
        readers.die()
        assert not job._batch.wait(0)
    readers.die()  # the first came after a ring was opened, which is progress
    readers.die(death=Death(3, text="why"))
    with pytest.raises(RuntimeError, match=r"died 11 times .*f0.jpg.*exit status 3: why"):
        job.wait()
    readers.finish(1)
    others.check(*begun, [5])
    job, out = files.ask(MANY)  # it goes on
    assert readers.read_all() == MANY
    files.check(job, out, MANY)


@pytest.mark.parametrize("progress", ["a file", "a claim", "an end", "a held file"])
def test_deaths_with_progress_between(readers, progress):
    """Any number of them."""
    files = Files(readers, count=100)
    everything = list(range(90))
    job, out = files.ask(everything)
    seen = []
    for _ in range(30):
        readers.die()
        if progress == "a file":
            seen.append(readers.take())
        elif progress == "a claim":
            seen.append(readers.take(1))
            readers.die(0)
            readers.finish(1)
            continue
        elif progress == "an end":
            readers.die(death=Death(0))
            continue
        else:  # the same one again and again
            seen.append(readers.take())
            for _ in range(5):
                readers.die(death=KILL)
                for _ in range(3):
                    readers.die()
                assert readers.take() == seen[-1]
        readers.finish()
    assert not job._batch.wait(0)
    while len(seen) < 90:
        seen += readers.read_all()
    assert seen == everything
    files.check(job, out, everything)


def test_processes_that_cannot_be_started(readers):
    files, others = Files(readers), Files(readers)
    jobs = files.ask(MANY)[0], others.ask(MANY)[0]
    readers.decode_pool.failed(RuntimeError("not started"))
    for job in jobs:
        with pytest.raises(RuntimeError, match="not started"):
            job.wait()


# ---------------------------------------------------------------------------- an iterator's files


def test_memory_at_a_path_that_has_become_another_s(readers):
    """A path is that of an open file, whose number is soon that of the next one."""
    address = Files(readers).reader.address
    files = Files(readers)
    other = files.reader.address
    assert len(attach(other)) == other.size
    with pytest.raises(FileNotFoundError, match="is gone"):
        attach(other._replace(inode=address.inode))
    with pytest.raises(FileNotFoundError):
        attach(other._replace(path="/nowhere"))
    assert is_gone(other._replace(inode=address.inode)) and not is_gone(other)


@pytest.mark.parametrize("closed", [True, False])
def test_a_reader_that_comes_too_late_for_a_ring(closed):
    """That is no error, if the ring was closed since it looked."""
    entries = iter([(1, b"/nowhere", 0, 0, 64), (0 if closed else 1, b"/nowhere", 0, 0, 64)])
    control = types.SimpleNamespace(entry=lambda _: next(entries))
    if closed:
        _attach_to(control, None, 0)
    else:
        with pytest.raises(FileNotFoundError):
            _attach_to(control, None, 0)


@pytest.mark.parametrize("cycle", [False, True])
def test_a_reader_that_is_dropped_closes_its_ring(readers, cycle):
    files = Files(readers)
    job, _ = files.ask(MANY)
    entry = files.reader.ring.entry
    if cycle:
        files.reader.me = files.reader
    job.cancel()
    del job, files
    gc.collect()
    assert readers.control.entry(entry)[0] == 0
    assert not readers.control.has_work(PROCESSES)


def test_pillow_s_settings_go_with_every_batch(readers, monkeypatch):
    files = Files(readers)
    for limit, truncated in (5, True), (None, False), (1 << 20, True):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
        job, _ = files.ask(MANY)
        assert files.reader.ring.pillow == (limit, truncated)
        job.cancel()


def test_a_batch_that_cannot_begin_gives_its_slots_back(readers, monkeypatch):
    files = Files(readers)

    def fail(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(readers, "begin", fail, raising=False)
    with pytest.raises(RuntimeError, match="new thread"):
        files.ask(MANY)
    monkeypatch.undo()
    assert not readers.control.has_work(PROCESSES)
    job, out = files.ask(MANY)
    assert readers.read_all() == MANY
    files.check(job, out, MANY)
