"""The readers of the program: processes, threads, or a user's pool. Who runs, who died, who hangs.

    FileJob ──► begin ──► processes or threads are there, or calls in the user's pool
    ProcessPool ── who died or hangs ──► DecodePool ──► FileReader: over which file

What the readers do is in `readers`, and which files there are in `file_reader`.
"""

import functools
import logging
import multiprocessing.pool
import multiprocessing.spawn
import numbers
import os
import pathlib
import re
import sys
import threading
import time
import weakref
from concurrent.futures import BrokenExecutor, CancelledError, Future

from PIL import Image

from fastaug import _core, opencv
from fastaug.data.readers import (
    CALL_FILES,
    PROCESSES,
    THREADS,
    USERS,
    prepare_process,
    read_some,
    serve,
)
from fastaug.log import note
from fastaug.run.processes import ProcessPool
from fastaug.run.shared_memory import SharedMemory
from fastaug.run.threads import at_exit, usable_cores

# Seconds without work after which a process or a thread ends; the next batch starts another.
IDLE_SECONDS = 60
_THREAD_IDLE_SECONDS = 1.0

_POLL_SECONDS = 0.2

# Seconds between two looks at our own readers by who waits for them.
_LOOK_SECONDS = 1.0

# How many processes of each number may die one after the other without any file begun.
_BREAKS = 5

# Seconds that a file which nobody waits for any more may keep its process.
GRACE_SECONDS = 1.0

# Seconds to wait for threads when the program ends: a read may hang.
_EXIT_SECONDS = 2.0


class UserPool:
    """A user's pool or executor in the place of our own. It cannot be replaced if it breaks.

    Args:
        pool: A `multiprocessing` Pool or ThreadPool, or a `concurrent.futures` executor.
        workers: Number of threads of the iterator that reads through it.
    """

    kind = USERS

    def is_right(self):
        """Whether these readers know all formats that this process knows."""
        return not has_foreign_plugins()

    def __init__(self, pool, workers):
        self._pool = pool
        self._decode_pool = shared_decode_pool(workers)
        self.control = self._decode_pool.control

    def begin(self, reader, count):
        """Has the pool read some files that a batch waits for."""
        if (error := self._settle(reader)) is not None:
            raise error
        arguments = (
            self._decode_pool.address,
            reader.address,
            reader.ring.entry,
            reader.ring.generation,
        )
        for _ in range(-(-count // CALL_FILES)):
            reader.calls.append(self._submit(read_some, *arguments))

    def _submit(self, function, *arguments):
        if not isinstance(self._pool, multiprocessing.pool.Pool):
            try:
                return self._pool.submit(function, *arguments)
            except BrokenExecutor as error:
                # the pool may keep it, and with its traceback these frames
                raise self._error() from error.with_traceback(None)
        future = Future()
        future.set_running_or_notify_cancel()  # what is in a Pool cannot be taken back
        self._pool.apply_async(
            function, arguments, callback=future.set_result, error_callback=future.set_exception
        )
        return future

    def _settle(self, reader):
        """Forgets the calls that have returned; returns what one of them has raised, or None."""
        while reader.calls:
            try:
                future = reader.calls.popleft()
            except IndexError:  # another thread was faster
                return None
            if not future.done():
                reader.calls.appendleft(future)
                return None
            # not raised here: the pool may keep it, and with its traceback this frame
            error = CancelledError() if future.cancelled() else future.exception()
            if isinstance(error, BrokenExecutor):
                broken = self._error()
                broken.__cause__ = error
                return broken
            if error is not None:
                return error
        return None

    def _failure(self, reader):
        """Returns why nothing more will be read, or None; asked while a batch waits."""
        if (error := self._settle(reader)) is not None:
            return error
        # a Pool that is terminated drops what it was given
        if getattr(self._pool, "_state", None) == "TERMINATE" or reader.is_stuck():
            return self._error()
        return None

    def _error(self):
        return RuntimeError(f"A worker of the given pool died or hangs: {self._pool!r}")

    def wait(self, batch, reader):
        """Waits for a batch; whose pool it is has to look after it."""
        reader.begin_watch()
        while not batch.wait(_POLL_SECONDS):
            self.control.wake()  # another queue's threads may have been woken for this one
            if (error := self._failure(reader)) is not None:
                reader.ring.fail_batches(error)


class DecodePool:
    """Readers of our own, of a number: processes and threads, which start when there is work.

    Args:
        size: Number of processes, and of threads, at most.
    """

    def __init__(self, size):
        self.size = size
        memory = SharedMemory(_core.Control.bytes_for(size), "fastaug-control")
        self.address = memory.address
        self.control = _core.Control(memory.buffer, size, usable_cores())
        self._memory = memory
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._is_closed = False
        self._readers: list[weakref.ref] = []
        self._breaks = 0
        self._claims = 0
        self._seen: dict[int, tuple[int, float]] = {}
        self._hung: dict[int, tuple[int, str]] = {}  # what threads were busy with, and its path

    @functools.cached_property
    def processes(self):
        """The processes, of which none runs before it is wanted."""
        arguments = tuple(self.address), IDLE_SECONDS
        return ProcessPool(self.size, prepare_process, arguments, self)

    def add(self, reader):
        """Remembers an iterator's reader: whose files they are that processes die over."""
        with self._lock:
            known = [other for other in self._readers if other() is not None]
            self._readers = [*known, weakref.ref(reader)]

    def _live_readers(self):
        return [reader for reader in (known() for known in self._readers) if reader is not None]

    # ---- threads ----

    def start_threads(self):
        """Sees to it that there are as many threads as can work."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError("No thread is started any more: the program is ending")
            wanted = self.control.wanted(THREADS)
            taken = {thread.number for thread in self._threads}
            for number in range(wanted):
                if number not in taken:
                    thread = _ThreadReader(self, number)
                    self._threads.add(thread)
                    try:
                        thread.start()
                    except RuntimeError:
                        self._threads.discard(thread)
                        if not self._threads:  # with fewer, the work gets done too
                            raise

    def hang_of_threads(self, reader):
        """Returns the error of a batch of a reader's that threads leave, or None if none is known.

        It is the file of one of them, or of another batch: a thread cannot be ended.
        """
        for number in range(self.size, 2 * self.size):  # after those of the processes
            held = reader.ring.held_by(number)
            if held is not None and not _core.is_abandoned(held[1]):
                path = reader.path(held[0])
                self._hung[number] = self.control.busy(number), path
                return reader.timeout_of(path)
        for number, (busy, path) in self._hung.items():
            if self.control.busy(number) == busy:
                return RuntimeError(
                    f"No thread is left to read files: one is still at {path}. "
                    'decoder="processes" gives such a file up'
                )
        return None

    def may_end(self, thread):
        """Lets a thread without work end; returns whether it may."""
        with self._lock:
            has_work = self.control.has_work(THREADS) and thread.number < self.control.wanted(
                THREADS
            )
            if has_work and not self._is_closed:
                return False
            self._threads.discard(thread)
            return True

    def close(self):
        """Ends the threads, when the program ends."""
        self._is_closed = True
        self.control.stop()
        end = time.monotonic() + _EXIT_SECONDS
        for thread in list(self._threads):
            thread.join(max(0, end - time.monotonic()))

    # ---- what the processes' thread asks and tells ----

    def wants(self, number):
        """Whether a process should run."""
        return self.control.owes(number) or (
            self.control.has_work(PROCESSES) and number < self.control.wanted(PROCESSES)
        )

    def is_stuck(self, number):
        """Whether a process has been at one file for too long, or leaves what there is to read."""
        readers = self._live_readers()
        patiences = [reader.patience_with(number) for reader in readers]
        held = [patience for patience in patiences if patience is not None]
        mark = self.control.busy(number)
        if mark:
            patience = max(held, default=GRACE_SECONDS)  # nobody wants it any more
        elif held or self.wants(number):
            # it may have been stopped before it said what it does; while others go on, it can wait
            mark = -1 - self.control.claims()
            patience = max((reader.timeout for reader in readers), default=0)
        now = time.monotonic()
        seen, since = self._seen.get(number, (0, now))
        if not mark or mark != seen:
            self._seen[number] = mark, now
            return False
        return now - since > patience

    def died(self, number, death):
        """Finds out what a dead process was at, and has it done again or blames the file."""
        seen = self._seen.pop(number, None)
        if death.stuck and seen is not None and seen[0] != self.control.busy(number):
            death.stuck = False  # it came through, and was killed over another file
        held = any(reader.reader_died(number, death) for reader in self._live_readers())
        self.control.forget(number)
        claims = self.control.claims()
        if held or claims != self._claims or death.status == 0:
            self._breaks = 0
        elif self.control.has_work(PROCESSES):
            self._breaks += 1
            if self._breaks > _BREAKS * self.size:
                self._give_up(death)
        self._claims = claims
        self.control.wake()

    def _give_up(self, death):
        for reader in self._live_readers():
            slot = reader.ring.waiting()
            if slot is not None and reader.pool.kind == PROCESSES:
                reader.ring.fail_batches(
                    RuntimeError(
                        f"Decode processes died {self._breaks} times before they read "
                        f"{reader.path(slot)} ({death.reason})"
                    )
                )
        self._breaks = 0

    def failed(self, error):
        """Ends the batches that wait for processes which cannot be started."""
        for reader in self._live_readers():
            if reader.pool.kind == PROCESSES:
                reader.ring.fail_batches(error)


class _ThreadReader(threading.Thread):
    """A reader in a thread of the program."""

    def __init__(self, pool, number):
        super().__init__(name="fastaug-decode", daemon=True)
        self._pool = pool
        self.number = number

    def run(self):
        control = self._pool.control
        while True:
            serve(control, _core.Reader(control, self.number, THREADS), _THREAD_IDLE_SECONDS)
            if self._pool.may_end(self):
                return


class _OwnPool:
    """Readers of our own, of one kind."""

    def __init__(self, size, kind):
        self.kind = kind
        self.decode_pool = shared_decode_pool(size)
        self.control = self.decode_pool.control

    def is_right(self):
        """Whether these readers know all formats that this process knows."""
        return self.kind == THREADS or not has_foreign_plugins()

    def begin(self, reader, count):
        """Sees to it that somebody reads the files that a batch waits for."""
        if self.kind == THREADS:
            self.decode_pool.start_threads()
        else:
            self.decode_pool.processes.wake()

    def wait(self, batch, reader):
        """Waits for a batch; where readers hang, others come in their place.

        A thread cannot be ended, and keeps its slot: all that waits for its file fails.
        """
        reader.begin_watch()
        while not batch.wait(_LOOK_SECONDS):
            self.begin(reader, 0)
            self.control.wake()  # another queue's threads may have been woken for this one
            if self.kind == THREADS and reader.is_stuck():
                error = self.decode_pool.hang_of_threads(reader)
                if error is not None:
                    reader.ring.fail_batches(error)


_pools: dict[int, DecodePool] = {}
_pools_lock = threading.Lock()


def shared_decode_pool(size: int) -> DecodePool:
    """Returns the program's pool of that size."""
    with _pools_lock:
        if size not in _pools:
            _pools[size] = DecodePool(size)
        return _pools[size]


def _at_fork():
    global _pools_lock
    _pools_lock = threading.Lock()
    _pools.clear()  # their readers are the parent's


def _close():
    for pool in list(_pools.values()):
        pool.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_fork)
at_exit(_close)


def can_start_processes() -> bool:
    """Whether the executable that would be started is a Python that can run this package.

    It is not in a frozen application, which would start itself again, nor in a program that has
    Python in it. On Windows there are no processes of this kind.
    """
    executable = os.fsdecode(multiprocessing.spawn.get_executable() or "")
    names = [pathlib.Path(path).name for path in (executable, os.path.realpath(executable))]
    return (
        sys.platform != "win32"
        and not getattr(sys, "frozen", False)
        and os.access(executable, os.X_OK)
        and any(_PYTHON.match(name) for name in names)
    )


_PYTHON = re.compile("python|pypy|graalpy", re.IGNORECASE)


def has_foreign_plugins() -> bool:
    """Whether Pillow was taught other formats in this process, which others would not know."""
    return any(
        not getattr(factory, "__module__", "").startswith("PIL.")
        for factory, _ in Image.OPEN.values()
    )


def decode_pool(decoder, workers, user_pool):
    """Returns a function that returns what decodes files; None: the calling thread does.

    Args:
        decoder: 'processes' or 'threads'; None: 'processes'. They become threads where they cannot
            be started.
        workers: Number of processes; 0: the calling thread decodes.
        user_pool: The user's pool in their place, or None. An int is no pool.

    Raises:
        ValueError: If `decoder` is neither.
    """
    if decoder not in ("processes", "threads", None):
        raise ValueError(f'Invalid decoder: {decoder!r}; expected "processes" or "threads"')
    if workers == 0:
        return None
    has_pool = user_pool is not None and not isinstance(user_pool, numbers.Integral)

    def make():
        # under the source's lock
        jpegs = "OpenCV" if opencv.find() is not None else "Pillow"
        if decoder == "threads" or has_foreign_plugins() or not (has_pool or can_start_processes()):
            why = ", in the place of processes," if decoder != "threads" else ""
            note(logging.INFO, "%d threads%s read the files, JPEGs with %s", workers, why, jpegs)
            return _OwnPool(workers, THREADS)
        if has_pool:
            kind = type(user_pool).__name__
            note(logging.INFO, "A given %s reads the files, JPEGs with %s", kind, jpegs)
            return UserPool(user_pool, workers)
        note(logging.INFO, "Up to %d processes read the files, JPEGs with %s", workers, jpegs)
        return _OwnPool(workers, PROCESSES)

    return make
