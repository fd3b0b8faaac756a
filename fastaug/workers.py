"""Decode processes: files in, images in shared slots out.

    thread ── Reading.read ◄──────────────── marks and pixels ───────────── slot
      │                                                                        ▲
      └─► ProcessPool.submit ──► paths, slot number ──► decode process ── decode ┘

A batch is read in pieces of a few files, each a `Reading`. A reading waits for a free slot, is
sent to a process, and is waited for by the thread that warps its images, which then frees the slot.
Slots are handed out in the order of asking: the batch that is needed first is decoded first.

When a process dies, what it had done is kept, as the marks in the slot tell, and the rest is sent
to another. The file that it was reading is read again, after a crash in a process in which nothing
else has run. A second crash is the file's fault. A process that was killed may have been killed for
any reason, so it takes a few more of these to blame the file.

Workers import neither Keras nor TensorFlow, ignore Ctrl-C and end with their parent.
"""

import collections
import concurrent.futures
import contextlib
import ctypes
import multiprocessing.pool
import numbers
import os
import pickle
import sys
import threading
import time
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFile

from fastaug.decode import decode
from fastaug.processes import ProcessPool
from fastaug.slots import DONE, FAILED, STARTED, WAITING, Ring, attach

_POLL_SECONDS = 0.2

# How often a file's process may end before the file is blamed: by itself, or killed.
_CRASHES = 2
_KILLS = 6

# Processes of a reading that may die one after the other without any file begun or done.
_BREAKS = 5

# Of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# The largest threshold that glibc takes; larger pictures give their memory back.
_KEPT_BYTES = 32 << 20

# Seconds that a file which nobody waits for any more may keep its process.
_GRACE_SECONDS = 1.0


# ---- in a decode process ----------------------------------------------------------------------


def start_worker():
    """Makes a fresh process a decode process: no threads of OpenCV's, quiet libraries."""
    cv2.setNumThreads(1)
    _keep_freed_memory()
    _silence_libraries()


def _keep_freed_memory():
    """Makes glibc keep the memory of one picture for the next; elsewhere nothing.

    Otherwise it goes back to the system, which clears every page of it before it comes again: a
    fifth of the time of decoding. Set by mallopt(3).
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


class PillowSettings(NamedTuple):
    """What a user may set in Pillow at any time, and another process does not know of."""

    process: int  # whose they are
    limit: int | None
    load_truncated: bool

    @classmethod
    def current(cls):
        """Returns those of this process."""
        return cls(os.getpid(), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)

    def is_changed(self):
        """Whether they are not those that Pillow comes with."""
        return (self.limit, self.load_truncated) != _PILLOW_COMES_WITH

    def apply(self):
        """Makes them this process's too."""
        if self.process != os.getpid():  # a user's pool may be one of threads
            Image.MAX_IMAGE_PIXELS = self.limit
            ImageFile.LOAD_TRUNCATED_IMAGES = self.load_truncated


# Not as this module finds them: a user may have changed them before.
_PILLOW_COMES_WITH = (1024**3 // 4 // 3, False)


def _silence_libraries():
    """Keeps what libjpeg writes to the error output, past Python, from the user's screen."""
    errors = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(errors, "w", buffering=1)


def decode_into_slot(address, slot, first, paths, target, settings):
    """Decodes some files into a slot of shared memory.

    Args:
        address: Address of the ring.
        slot: Number of the slot.
        first: Position of the first file in the slot.
        paths: Files.
        target: What to decode them into.
        settings: `PillowSettings` of the parent, or None to leave those of the process.

    Returns:
        `{position: exception}` of the files that could not be read.
    """
    if settings is not None:
        settings.apply()
    view = attach(address)
    errors = {}
    for position, path in enumerate(paths, first):
        view.marks[slot, position] = STARTED
        error = decode_into(path, target, view.images[slot, position])
        if error is not None:
            errors[position] = error
        view.marks[slot, position] = DONE if error is None else FAILED
    return errors


def decode_into(path, target, out):
    """Decodes a file into an array, in either layout.

    Returns:
        The exception, in a form that crosses processes, or None.
    """
    try:
        if out.shape == target.shape:
            decode(path, target, out)
        else:
            image = np.empty(target.shape, target.dtype)
            decode(path, target, image)
            out[...] = image.transpose(2, 0, 1)
    except Exception as error:
        out[...] = 0
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return OSError(f"{path}: {type(error).__name__}: {error}")
        return error
    return None


# ---- in the parent ----------------------------------------------------------------------------


class UserPool:
    """A user's pool or executor in the place of our own. It cannot be replaced if it breaks.

    Args:
        pool: A `multiprocessing` Pool or ThreadPool, or a `concurrent.futures` executor.
    """

    def __init__(self, pool):
        self._pool = pool
        self._follows = False

    def follows(self, settings):
        """Whether the pool's processes have the settings of this one.

        They may have been made with others: these are theirs until somebody changes those here.
        """
        self._follows = self._follows or settings.is_changed()
        return self._follows

    def submit(self, function, *arguments, **_):
        """Does what `ProcessPool.submit` does, without looking after the process."""
        if not isinstance(self._pool, multiprocessing.pool.Pool):
            return self._pool.submit(function, *arguments)
        future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()  # what is in a Pool cannot be taken back
        self._pool.apply_async(
            function, arguments, callback=future.set_result, error_callback=future.set_exception
        )
        return future

    def has_ended(self):
        """Whether it was closed for good: a Pool that is terminated drops what it was given."""
        return getattr(self._pool, "_state", None) == "TERMINATE"

    def error(self):
        """Returns what to raise if a worker is dead or hangs: whose pool it is has to know."""
        return RuntimeError(f"A worker of the given pool died or hangs: {self._pool!r}")


_pools: dict[int, ProcessPool] = {}
_pools_lock = threading.Lock()


def shared_decode_pool(size: int) -> ProcessPool:
    """Returns the program's pool of that size."""
    with _pools_lock:
        if size not in _pools:
            _pools[size] = ProcessPool(size, start_worker, tuple)
        return _pools[size]


def _at_fork():
    global _pools_lock
    _pools_lock = threading.Lock()  # a thread that the child does not have may hold it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_fork)


def decode_pool(decoder, workers, user_pool):
    """Returns what decodes files for an iterator; None: the threads themselves.

    Args:
        decoder: 'processes' or 'threads'.
        workers: Number of processes; 0: the calling thread decodes.
        user_pool: The user's pool in their place, or None. An int is no pool.

    Raises:
        ValueError: If `decoder` is neither.
    """
    if decoder not in ("processes", "threads"):
        raise ValueError(f'Invalid decoder: {decoder!r}; expected "processes" or "threads"')
    if decoder == "threads" or workers == 0:
        return None
    if user_pool is None or isinstance(user_pool, numbers.Integral):
        return shared_decode_pool(workers)
    return UserPool(user_pool)


def _whole_paths(paths):
    """Returns paths that a process in another folder can open too."""
    if all(map(os.path.isabs, paths)):
        return paths
    folder = os.getcwd()  # noqa: PTH109 (strings)
    return [os.path.join(folder, path) for path in paths]  # noqa: PTH118


class SlotReader:
    """Reads files through decode processes, a bounded number at a time.

    Args:
        target: What to decode files into.
        shape: Shape of an image in a slot, in either layout.
        pool: A `ProcessPool` or `UserPool`.
        slots: Number of slots.
        images: Images in a slot.
        timeout: Seconds without any progress after which a read is given up.
    """

    def __init__(self, target, shape, pool, slots, images, timeout):
        self.target = target
        self.timeout = timeout
        self.pool = pool
        self.ring = Ring(slots, images, shape, target.dtype)
        self._process = os.getpid()
        self._slots = slots
        self._lost = 0
        self._lock = threading.Lock()
        self._free = list(range(slots))
        self._waiting = collections.deque()

    def is_usable(self):
        """Whether it is neither a copy in a forked process nor has lost slots."""
        return not (self.is_copy() or self._lost)

    def is_copy(self):
        """Whether this is a copy in a forked process: the slots are the parent's alone."""
        return self._process != os.getpid()

    def open(self, paths):
        """Begins to read files, at most as many as a slot has images.

        Returns:
            A `Reading`.
        """
        reading = Reading(self, paths)
        try:
            with self._lock:
                self._waiting.append(reading)
            self.hand_out()
        except BaseException:
            reading.cancel()
            raise
        return reading

    def free(self, slot):
        """Takes a slot back; `hand_out` lends it again."""
        with self._lock:
            self._free.append(slot)

    def lose(self):
        """Does without a slot from now on: somebody may go on writing to it."""
        with self._lock:
            self._lost += 1

    def hand_out(self):
        """Lends the free slots to those who wait, in their order.

        Raises:
            RuntimeError: If there will never be a free slot.
        """
        while True:
            reading = None
            try:
                with self._lock:
                    while self._waiting and self._waiting[0].cancelled:
                        self._waiting.popleft()
                    if self._lost >= self._slots:
                        raise RuntimeError("No memory is left that no process may write to")
                    if not self._waiting or not self._free:
                        return
                    reading = self._waiting[0]
                    reading.slot = self._free.pop()
                    self._waiting.popleft()
                reading.send()
            except KeyboardInterrupt:
                # whose it was: nobody knows how far it came, so it gets another slot
                self.lose()
                with self._lock:
                    if reading is not None and not reading.is_sent and reading not in self._waiting:
                        self._waiting.appendleft(reading)
                raise


class Reading:
    """Some files on their way into a slot.

    Args:
        reader: The `SlotReader` that lends the slot.
        paths: The files.
    """

    def __init__(self, reader, paths):
        self.slot = None
        self.cancelled = False
        self._reader = reader
        self._paths = paths
        self._errors = {}
        self._error = None
        self._sent = threading.Event()
        self._lock = threading.Lock()
        self._future = None
        self._freed = False
        self._lost = False
        self._in_use = False
        self._progress = None  # marks when they last changed, and since when they are so
        self._deaths = collections.Counter()  # of processes that read the file at a position
        self._crashes = collections.Counter()  # those that were not killed from outside
        self._breaks = 0

    def send(self):
        """Sends the files to a process; called once there is a slot."""
        with self._lock:
            if not self._freed:
                try:
                    self._marks[:] = WAITING
                    self._send(0, len(self._paths))
                except Exception as error:  # the thread that waits will raise it
                    self._error = error
            else:  # cancelled on its way here
                self._reader.free(self.slot)
            self._sent.set()

    @property
    def is_sent(self):
        """Whether `send` has come to its end."""
        return self._sent.is_set()

    def read(self):
        """Waits for the files.

        Returns:
            `(images, positions, errors)`: the slot's images, the positions of the files in them,
            and `{position: exception}` for the files that could not be read; theirs are zero.

        Raises:
            RuntimeError: If processes cannot be started, or the user's own pool has died.
        """
        with self._lock:
            self._check_wanted()
            self._in_use = True
        while not self._sent.wait(_POLL_SECONDS):
            self._check_wanted()
            self._reader.hand_out()
        if self._error is not None:
            raise self._error
        while True:
            try:
                self._errors.update(self._wait())
            except concurrent.futures.BrokenExecutor as death:
                self._check_wanted()
                self._recover(death)
            left = np.flatnonzero((self._marks == WAITING) | (self._marks == STARTED))
            if not len(left):
                break
            # what comes after it may lie beyond a file that must not be read again
            gap = np.flatnonzero(np.diff(left) > 1)
            self._send(int(left[0]), int(left[gap[0] if len(gap) else -1]) + 1, again=True)
        positions = np.arange(len(self._paths), dtype=np.int64)
        return self._reader.ring.view.images[self.slot], positions, self._errors

    def release(self):
        """Gives the slot back, once no process writes to it."""
        if self._reader.is_copy():
            return
        with self._lock:
            if self._freed:
                return
            self._freed = True
            if self.slot is None or not self._sent.is_set() or self._lost:
                return
        if self._future is None or self._future.done():
            self._reader.free(self.slot)
            self._reader.hand_out()
        else:
            # in a thread of the executor, which must not be made to submit anything
            reader, slot = self._reader, self.slot
            self._future.add_done_callback(lambda _: reader.free(slot))

    def cancel(self):
        """Gives the files up; the slot comes back when nobody uses it any more."""
        if self._reader.is_copy():  # nothing to lend, and its locks may be held for ever
            return
        self.cancelled = True
        with self._lock:
            in_use = self._in_use
        if self._future is not None:
            self._future.cancel()
        if not in_use:  # else the thread that reads will release it
            self.release()

    def _check_wanted(self):
        if self.cancelled:
            raise RuntimeError("This batch is not wanted any more")

    @property
    def _marks(self):
        return self._reader.ring.view.marks[self.slot, : len(self._paths)]

    def _send(self, start, stop, again=False):
        self._progress = None
        paths, settings = self._paths[start:stop], PillowSettings.current()
        if isinstance(self._reader.pool, UserPool):
            paths = _whole_paths(paths)
            if not self._reader.pool.follows(settings):
                settings = None
        self._future = self._reader.pool.submit(
            decode_into_slot,
            self._reader.ring.address,
            self.slot,
            start,
            paths,
            self._reader.target,
            settings,
            is_stuck=self._is_stuck,
            first=again,  # somebody waits for it
            fresh=any(self._crashes[position] for position in range(start, stop)),
        )

    def _wait(self):
        """Returns the errors of a call.

        Raises:
            BrokenExecutor: If the process that ran it is dead.
            RuntimeError: If the user's pool is broken or hangs.
        """
        users = isinstance(self._reader.pool, UserPool)
        future = self._future
        while True:
            try:
                return future.result(timeout=_POLL_SECONDS)
            except TimeoutError as error:
                if future.done():
                    if future.exception() is error:  # the call's own
                        raise
                    continue
            except concurrent.futures.BrokenExecutor as death:
                if not users:
                    raise
                self._lose()
                raise self._reader.pool.error() from death
            self._check_wanted()
            # our own pool asks for itself
            if users and (self._is_stuck() or self._reader.pool.has_ended()):
                self._lose()
                raise self._reader.pool.error()

    def _lose(self):
        self._lost = True
        self._reader.lose()

    def _is_stuck(self):
        """Whether no file was begun or done for too long; asked while a process works on it."""
        marks, now = self._marks.tobytes(), time.monotonic()
        if self._progress is None or self._progress[0] != marks:
            self._progress = marks, now
        patience = self._reader.timeout
        if self.cancelled:
            patience = min(patience, _GRACE_SECONDS)
        return now - self._progress[1] > patience

    def _fail(self, position, error):
        self._errors[position] = error
        self._reader.ring.view.images[self.slot, position] = 0
        self._marks[position] = FAILED

    def _recover(self, death):
        """Decides after a death what is to be read again, and which file cannot be read."""
        # the report of a failure may have died with the process: have it made again
        for position in np.flatnonzero(self._marks == FAILED):
            if int(position) not in self._errors:
                self._marks[position] = WAITING
        begun = np.flatnonzero(self._marks == STARTED)
        if not len(begun):
            self._breaks += 1
            if self._breaks > _BREAKS:
                raise RuntimeError(
                    f"Decode processes died {self._breaks} times before they read {self._paths[0]}"
                ) from death
        for position in begun.tolist():
            self._breaks = 0
            self._blame(position, death)

    def _blame(self, position, death):
        path = self._paths[position]
        if death.stuck:
            seconds = self._reader.timeout
            self._fail(position, TimeoutError(f"{path}: not read within {seconds} seconds"))
            return
        self._deaths[position] += 1
        self._crashes[position] += not death.from_outside
        deaths = self._deaths[position]
        if self._crashes[position] >= _CRASHES or deaths >= _KILLS:
            self._fail(
                position,
                OSError(f"{path}: the process that read it died {deaths} times ({death.reason})"),
            )
        else:
            self._marks[position] = WAITING
