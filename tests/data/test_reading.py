"""Who reads files: the defaults, threads that come and go, and no Python for each file."""

import contextlib
import functools
import gc
import os
import pathlib
import re
import sys
import threading
import weakref
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import trees
from PIL import Image
from scripts import check_script
from waiting import library_threads, wait_until

import fastaug
from fastaug import _core
from fastaug.data import decode_pool, readers
from fastaug.data.decode import Target
from fastaug.data.decode_pool import DecodePool, UserPool
from fastaug.data.file_reader import FileReader, Paths
from fastaug.data.readers import PROCESSES, THREADS, USERS

PATIENCE = 60


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Some hundred files."""
    return trees.plain_tree(tmp_path_factory.mktemp("tree"), (70, 70, 70))


def flow(tree, batch_size=8, decoder=None, interpolation="nearest", timeout=60, **options):
    options = {"workers": 2, "prefetch": 0} | options
    if "pool" in options:
        del options["workers"]
    generator = fastaug.ImageDataGenerator(rotation_range=20, **options)
    return generator.flow_from_directory(
        str(tree),
        target_size=(17, 23),
        class_mode=None,
        batch_size=batch_size,
        shuffle=False,
        seed=1,
        decoder=decoder,
        interpolation=interpolation,
        timeout=timeout,
    )


# ---------------------------------------------------------------------------- what is chosen


@pytest.fixture
def begun(monkeypatch):
    """The kinds of readers that batches were begun with."""
    kinds = set()

    def watch(kind_of_pool):
        begin = kind_of_pool.begin

        @functools.wraps(begin)
        def watched(self, *arguments):
            kinds.add(self.kind)
            return begin(self, *arguments)

        monkeypatch.setattr(kind_of_pool, "begin", watched)

    watch(decode_pool._OwnPool)
    watch(UserPool)
    return kinds


@pytest.mark.parametrize(
    ("decoder", "platform", "kind"),
    [
        (None, "linux", PROCESSES),
        (None, "darwin", PROCESSES),
        (None, "win32", THREADS),
        ("processes", "linux", PROCESSES),
        ("processes", "win32", THREADS),
        ("threads", "linux", THREADS),
        ("threads", "win32", THREADS),
    ],
)
def test_what_decodes(tree, begun, monkeypatch, decoder, platform, kind):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", platform)
        with flow(tree, decoder=decoder, workers=5) as iterator:  # a pool of this test alone
            assert len(next(iterator)) == 8
    assert begun == {kind}


@pytest.mark.parametrize(("decoder", "kind"), [(None, USERS), ("threads", THREADS)])
def test_what_decodes_where_there_is_a_pool(tree, begun, decoder, kind):
    with ThreadPoolExecutor(2) as pool, flow(tree, decoder=decoder, pool=pool) as iterator:
        assert len(next(iterator)) == 8
    assert begun == {kind}


def test_what_decodes_without_workers(tree, begun):
    with flow(tree, workers=0) as iterator:
        assert len(next(iterator)) == 8
    assert begun == set()


@pytest.mark.parametrize("decoder", ["processes", "threads"])
def test_pillow_s_limit_holds_for_many_files_in_one_go(tree, decoder, monkeypatch):
    """Whatever it was when the readers were started."""
    with flow(tree, 16, decoder=decoder, workers=1, interpolation="bilinear") as iterator:
        for _ in range(2):
            monkeypatch.setattr(
                Image, "MAX_IMAGE_PIXELS", 100
            )  # of which twice as many are too many
            with pytest.raises(Image.DecompressionBombError, match=r"ants/0\.jpg"):
                iterator[0]
            for limit in None, 1000:
                monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
                images = iterator[0]
                assert len(images) == 16 and images.any((1, 2, 3)).all()


def test_a_user_s_pool_that_hung_and_does_no_more(tree, monkeypatch, tmp_path):
    """What its calls still have is not what later batches wait for."""
    root, released, hangs = trees.plain_tree(tmp_path, (2,)), threading.Event(), [True]
    read_file = readers.read_file

    def hang(path, file):
        if hangs[0]:
            released.wait(PATIENCE)
        return read_file(path, file)

    monkeypatch.setattr(readers, "read_file", hang)
    with ThreadPoolExecutor(8) as pool, flow(root, 2, pool=pool, timeout=0.1) as iterator:
        for _ in range(6):  # more than there are slots
            with pytest.raises(RuntimeError, match="died or hangs"):
                iterator[0]
        hangs.clear()
        hangs.append(False)
        try:
            assert len(iterator[0]) == 2
        finally:
            released.set()


@pytest.mark.parametrize(("batch_size", "prefetch"), [(64, 0), (4, 12)])
def test_a_user_s_pool_reads_all_of_it(tree, tmp_path, batch_size, prefetch):
    """More files than one call does, and more than there are slots."""
    root = tree if batch_size == 64 else trees.plain_tree(tmp_path, (4,))
    flow_of = functools.partial(flow, root, batch_size, prefetch=prefetch)
    with flow_of(workers=0) as iterator:
        expected = [next(iterator) for _ in range(20)]
    with ThreadPoolExecutor(2) as pool, flow_of(pool=pool, timeout=10) as iterator:
        for images in expected:
            np.testing.assert_array_equal(next(iterator), images)


class BrokenPool(Executor):
    """An executor whose workers die over each call."""

    error = BrokenExecutor("dead")

    def submit(self, *_):
        future = Future()
        future.set_exception(self.error)
        return future


def rings_after(use):
    """The slots of iterators that are there after a call, and were not before."""
    before = set(readers.own_rings)
    use()
    gc.collect()
    return set(readers.own_rings) - before


class ClosedPool(BrokenPool):
    """One that takes no calls any more."""

    def submit(self, *_):
        raise self.error


@pytest.mark.parametrize("kind", [BrokenPool, ClosedPool])
def test_a_user_s_pool_that_breaks_keeps_no_slots(tree, kind):
    """Though it keeps its error, as `concurrent.futures` does for all calls."""
    pool = kind()

    def use():
        with pytest.raises(RuntimeError, match="died or hangs") as caught:
            next(flow(tree, pool=pool, timeout=3600))
        assert caught.value.__cause__ is pool.error

    assert rings_after(use) == set()


class StrangeError(Exception):
    """Cannot be made from its arguments."""

    def __init__(self, one, two):
        super().__init__(one)


@pytest.mark.parametrize(
    ("error", "kind"), [(KeyError("one"), KeyError), (StrangeError(1, 2), RuntimeError)]
)
def test_what_a_call_in_a_user_s_pool_raises(tree, error, kind):
    """It comes to whoever waits, and keeps no slots."""

    class Pool(BrokenPool):
        pass

    Pool.error = error
    pool, found = Pool(), []

    def use():
        with pytest.raises(kind) as caught:
            next(flow(tree, pool=pool, timeout=3600))
        found.append(str(caught.value))

    assert rings_after(use) == set()
    assert str(error) in found[0]


def test_a_user_s_pool_that_breaks(tree):
    """That is seen at once, not after the timeout."""
    with flow(tree, pool=BrokenPool(), timeout=3600) as iterator:
        with pytest.raises(RuntimeError, match="the given pool died or hangs") as caught:
            next(iterator)
        assert isinstance(caught.value.__cause__, BrokenExecutor)


def test_a_user_s_pool_that_is_terminated_while_a_batch_waits(tree, monkeypatch):
    """It drops what it was given, and says nothing."""
    reading, released, errors = threading.Event(), threading.Event(), []

    def hang(path, _file):
        reading.set()
        released.wait(PATIENCE)
        raise FileNotFoundError(path)

    monkeypatch.setattr(readers, "read_file", hang)
    pool = ThreadPool(1)

    def wait():
        try:
            next(iterator)
        except RuntimeError as error:
            errors.append(str(error))

    with flow(tree, pool=pool, timeout=3600) as iterator:
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        try:
            assert reading.wait(PATIENCE)
            ending = threading.Thread(target=pool.terminate, daemon=True)
            ending.start()
            waiting.join(PATIENCE / 2)
            assert len(errors) == 1 and "the given pool died or hangs" in errors[0]
        finally:
            released.set()
            ending.join(PATIENCE)


FORKED_POOL = """
import multiprocessing, sys, time
from PIL import Image
import fastaug

pool = multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1)
iterator = fastaug.ImageDataGenerator(pool=pool, prefetch=0).flow_from_directory(
    sys.argv[1], target_size=(17, 23), class_mode=None, batch_size=4, timeout=20)
sizes = []
for limit in (None, 100, None, 100):
    Image.MAX_IMAGE_PIXELS = limit
    try:
        sizes.append(len(iterator[0]))
    except Image.DecompressionBombError:
        sizes.append("too large")
    time.sleep(0.5)  # the next worker is there, with the settings of now
print(sizes)
iterator.close()
pool.terminate()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_user_s_pool_that_is_forked_with_the_slots(tree):
    """A worker has copies of what is the program's; it goes by what is shared."""
    assert check_script(FORKED_POOL, arguments=[tree]).splitlines()[-1] == (
        "[4, 'too large', 4, 'too large']"
    )


# ---------------------------------------------------------------------------- Python's work


class Calls:
    """Counts what Python runs, in this thread and all that are started meanwhile."""

    def __init__(self):
        self.count = 0

    def __call__(self, frame, event, argument):
        # the watch over processes looks at them now and then, whatever the batch
        if event in ("call", "c_call") and threading.current_thread().name != "decode-processes":
            self.count += 1

    def __enter__(self):
        threading.setprofile(self)
        sys.setprofile(self)
        return self

    def __exit__(self, *exc_info):
        sys.setprofile(None)
        threading.setprofile(None)


def calls_for(tree, batch_size, **options):
    """Calls in this process for a batch, at least."""
    wait_until(lambda: not library_threads(), "threads that are not watched ended", PATIENCE)
    with Calls() as calls, flow(tree, batch_size, **options) as iterator:
        counts = []
        for k in [0, 1, 2, 1, 0, 2, 1, 0]:
            before = calls.count
            assert len(iterator[k]) == batch_size
            counts.append(calls.count - before)
    return min(counts)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_no_python_for_each_file(tree, prefetch):
    """What this process does for a batch does not grow with it."""
    few, many = (calls_for(tree, size, prefetch=prefetch) for size in (8, 64))
    assert few > 10  # something is counted
    assert many <= few


def test_the_count_of_calls_can_fail(tree):
    few, many = (calls_for(tree, size, decoder="threads") for size in (8, 64))
    assert many > few + 56


# ---------------------------------------------------------------------------- threads


class Threads:
    """Threads of a pool of its own that read files which only have names, when they may."""

    kind = THREADS

    def __init__(self, size, monkeypatch):
        self.decode_pool = DecodePool(size)
        self.control = self.decode_pool.control
        self.tasks = _core.TaskQueue()
        self.reading, self.may_read = threading.Semaphore(0), threading.Semaphore(0)

        def read_file(path, _file):
            self.reading.release()
            assert self.may_read.acquire(timeout=PATIENCE)
            raise FileNotFoundError(path)

        monkeypatch.setattr(readers, "read_file", read_file)
        paths = Paths([f"/nowhere/{k}" for k in range(100)])
        self.files = FileReader(paths, Target(2, 2, "rgb"), (2, 2, 3), self, 50, 10)

    def begin(self, reader, count):
        self.decode_pool.start_threads()

    def wait(self, batch, reader):
        assert batch.wait(PATIENCE)

    def ask(self, count):
        out = np.empty((count, 2, 2, 3), np.float32)
        table = np.zeros((count, 10))
        job = self.files.job(_core.Program(2, 2, 3), np.arange(count), table, out, True)
        job.put_into(self.tasks)
        return job


@pytest.fixture
def threads(monkeypatch):
    made = []

    def make(size):
        made.append(Threads(size, monkeypatch))
        return made[-1]

    yield make
    for each in made:
        for _ in range(200):
            each.may_read.release()
        each.decode_pool.close()
        assert not [thread for thread in each.decode_pool._threads if thread.is_alive()]


def test_threads_end_without_work_and_come_again(threads):
    pool = threads(2)
    limit = pool.control.limit
    for _ in range(2):
        job = pool.ask(10)
        for _ in range(limit):
            assert pool.reading.acquire(timeout=PATIENCE)
        running = pool.decode_pool._threads
        assert {thread.number for thread in running} == set(range(limit))
        pool.ask(1).cancel()
        assert len(running) == limit  # no second one of a number
        for _ in range(20):
            pool.may_read.release()
        pool.tasks.put(None)
        wait_until(lambda: not pool.control.has_work(THREADS), "all are read", PATIENCE)
        wait_until(lambda: not pool.decode_pool._threads, "the threads ended", PATIENCE)
        job.cancel()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_file_that_never_comes_to_a_thread(tmp_path):
    """It is named after the timeout; the others are read, until no thread is left."""
    root = trees.plain_tree(tmp_path, (12,))

    def plain_flow(workers, **arguments):
        generator = fastaug.ImageDataGenerator(workers=workers, prefetch=0)
        return generator.flow_from_directory(
            str(root), target_size=(9, 8), class_mode=None, batch_size=4, shuffle=False, **arguments
        )

    with plain_flow(0) as iterator:
        expected = [iterator[k] for k in range(3)]
        fifo = pathlib.Path(iterator.filepaths[5])
    fifo.unlink()
    os.mkfifo(fifo)
    try:
        # a number of threads that no other test has, as these will not come back
        with plain_flow(3, decoder="threads", timeout=0.5) as iterator:
            pool = decode_pool.shared_decode_pool(3)
            for _ in range(3):
                for k in (0, 2):
                    np.testing.assert_array_equal(iterator[k], expected[k])
                with pytest.raises(TimeoutError, match=re.escape(f"{fifo}: not read within 0.5")):
                    iterator[1]
            assert len(pool._threads) == 3
            with pytest.raises(RuntimeError, match=f"No thread is left.*{re.escape(str(fifo))}"):
                iterator[0]
    finally:
        with contextlib.suppress(OSError):
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))


def test_a_thread_without_work_holds_nothing(threads, monkeypatch):
    """The slots go with the iterator, not with the end of the thread."""
    monkeypatch.setattr(decode_pool, "_THREAD_IDLE_SECONDS", PATIENCE)
    pool = threads(1)
    job = pool.ask(1)
    pool.may_read.release()
    wait_until(lambda: not pool.control.has_work(THREADS), "it is begun", PATIENCE)
    job.cancel()
    known = weakref.ref(pool.files.ring)
    del job, pool.files
    gc.collect()
    wait_until(lambda: known() is None, "the slots are gone", PATIENCE / 2)
    assert pool.decode_pool._threads


def test_a_thread_may_not_end_while_there_is_work(threads, monkeypatch):
    """It came between the last look and the end; whoever asked for it has not started another."""
    pool = threads(2)
    monkeypatch.setattr(pool, "begin", lambda *_: None)
    thread = decode_pool._ThreadReader(pool.decode_pool, 0)
    outside = decode_pool._ThreadReader(pool.decode_pool, pool.control.limit)
    pool.decode_pool._threads |= {thread, outside}
    job = pool.ask(3)
    assert not pool.decode_pool.may_end(thread)
    assert pool.decode_pool.may_end(outside)  # it would never be given any
    assert pool.decode_pool._threads == {thread}
    job.cancel()
    assert pool.decode_pool.may_end(thread)
    assert pool.decode_pool._threads == set()


def test_threads_end_with_the_program_though_there_is_work(threads):
    """With the file that they are at."""
    pool = threads(2)
    job = pool.ask(30)
    assert pool.reading.acquire(timeout=PATIENCE)
    running = list(pool.decode_pool._threads)
    closing = threading.Thread(target=pool.decode_pool.close)
    closing.start()
    wait_until(lambda: pool.decode_pool._is_closed, "it is closed", PATIENCE)
    for _ in range(len(running)):
        pool.may_read.release()
    closing.join(PATIENCE)
    for thread in running:
        thread.join(PATIENCE / 6)
        assert not thread.is_alive()
    assert pool.control.has_work(THREADS)
    job.cancel()
