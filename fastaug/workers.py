"""Decode processes: files in, images in shared slots out.

    thread ── Reading.read ◄──────────────── marks and pixels ───────────── slot
      │                                                                        ▲
      └─► DecodePool.submit ──► paths, slot number ──► decode process ── decode ┘

A batch is read in pieces of a few files, each a `Reading`. A reading waits for a free slot, is
sent to a process, and is waited for by the thread that warps its images, which then frees the slot.
Slots are handed out in the order of asking: the batch that is needed first is decoded first.

When a process dies, loky notices and breaks the pool, and a new one takes its place. What was done
is kept, as the marks in the slot tell. What had not begun is sent again. A file that was being read
is read once more, alone in a process of its own: if that dies too, it is the file's fault.

Workers import neither Keras nor TensorFlow, ignore Ctrl-C and end with their parent.
"""

import collections
import concurrent.futures
import contextlib
import multiprocessing.pool
import os
import pickle
import signal
import sys
import threading
import time

import cv2
import numpy as np
from PIL import Image, ImageFile

from fastaug.decode import decode
from fastaug.slots import DONE, FAILED, STARTED, WAITING, Ring, attach

# Seconds after which processes without work end; the next reading starts them again.
IDLE_SECONDS = 60

_POLL_SECONDS = 0.2

# Pools that may break one after the other without a single file done in between.
_BREAKS = 5


# ---- in a decode process ----------------------------------------------------------------------


def start_worker(parent, settings):
    """Makes a fresh process a decode process: no Ctrl-C, no threads of OpenCV's, no orphan.

    Args:
        parent: Process to end with.
        settings: From `pillow_settings` in the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    cv2.setNumThreads(1)
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = settings
    _silence_libraries()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def pillow_settings():
    """Returns what a user may have set in Pillow, and a fresh process does not know of."""
    return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES


def _silence_libraries():
    """Keeps what libjpeg writes to the error output, past Python, from the user's screen."""
    errors = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(errors, "w", buffering=1)


def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def decode_into_slot(address, slot, first, paths, target):
    """Decodes some files into a slot of shared memory.

    Args:
        address: Address of the ring.
        slot: Number of the slot.
        first: Position of the first file in the slot.
        paths: Files.
        target: What to decode them into.

    Returns:
        `{position: exception}` of the files that could not be read.
    """
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


class DecodePool:
    """Processes of our own, started when they are needed; use `shared_decode_pool` to get one.

    Args:
        size: Number of processes.
    """

    def __init__(self, size):
        self.size = size
        self._lock = threading.Lock()
        self._executor = None
        self._process = os.getpid()

    def submit(self, *task):
        """Sends `decode_into_slot(*task)` to a process.

        Returns:
            `(future, executor)`.
        """
        for _ in range(_BREAKS):
            executor = self._current()
            try:
                with _without_interrupts():
                    return executor.submit(decode_into_slot, *task), executor
            except (concurrent.futures.BrokenExecutor, RuntimeError):
                self.retire(executor)
        raise RuntimeError(f"Decode processes could not be started {_BREAKS} times in a row")

    def retire(self, executor):
        """Lets a new executor take the place of one that is broken, or hangs."""
        with self._lock:
            if self._executor is not executor:
                return
            self._executor = None
        # killed one by one: loky's own kill_workers tells other calls of a shutdown, not of a death
        for pid in list(executor._processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        executor.shutdown(wait=True)

    def _current(self):
        with self._lock:
            if self._executor is None or self._process != os.getpid():
                self._process = os.getpid()
                self._executor = _executor(self.size)
            return self._executor


@contextlib.contextmanager
def _without_interrupts():
    """Holds back Ctrl-C while processes start: they take the mask on, until they ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class UserPool:
    """A user's pool or executor in the place of our own. It cannot be replaced if it breaks.

    Args:
        pool: A `multiprocessing` Pool or ThreadPool, or a `concurrent.futures` executor.
    """

    def __init__(self, pool):
        self._pool = pool

    def submit(self, *task):
        """Does what `DecodePool.submit` does."""
        if not isinstance(self._pool, multiprocessing.pool.Pool):
            return self._pool.submit(decode_into_slot, *task), self._pool
        future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()  # what is in a Pool cannot be taken back
        self._pool.apply_async(
            decode_into_slot, task, callback=future.set_result, error_callback=future.set_exception
        )
        return future, self._pool

    def retire(self, executor):
        """Raises: whose pool it is has to know.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"A worker of the given pool died or hangs: {self._pool!r}")


_pools: dict[int, DecodePool] = {}
_pools_lock = threading.Lock()


def shared_decode_pool(size: int) -> DecodePool:
    """Returns the program's pool of that size."""
    with _pools_lock:
        if size not in _pools:
            _pools[size] = DecodePool(size)
        return _pools[size]


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
    if user_pool is None or isinstance(user_pool, int):
        return shared_decode_pool(workers)
    return UserPool(user_pool)


def _executor(size):
    import loky  # after a look at arrays only, nobody has to wait for it

    return loky.ProcessPoolExecutor(
        max_workers=size,
        timeout=IDLE_SECONDS,
        initializer=start_worker,
        initargs=(os.getpid(), pillow_settings()),
    )


class SlotReader:
    """Reads files through decode processes, a bounded number at a time.

    Args:
        target: What to decode files into.
        shape: Shape of an image in a slot, in either layout.
        pool: A `DecodePool` or `UserPool`.
        slots: Number of slots.
        images: Images in a slot.
        timeout: Seconds without any progress after which a read is given up.
    """

    def __init__(self, target, shape, pool, slots, images, timeout):
        self.target = target
        self.timeout = timeout
        self.pool = pool
        self.ring = Ring(slots, images, shape, target.dtype)
        self.process = os.getpid()
        self.lost_slots = False
        self._lock = threading.Lock()
        self._free = list(range(slots))
        self._waiting = collections.deque()

    def is_usable(self):
        """Whether it is neither a copy in a forked process nor has lost slots to a hung worker."""
        return self.process == os.getpid() and not self.lost_slots

    def open(self, paths):
        """Begins to read files, at most as many as a slot has images.

        Returns:
            A `Reading`.
        """
        reading = Reading(self, paths)
        with self._lock:
            self._waiting.append(reading)
        self.hand_out()
        return reading

    def free(self, slot):
        """Takes a slot back; `hand_out` lends it again."""
        with self._lock:
            self._free.append(slot)

    def hand_out(self):
        """Lends the free slots to those who wait, in their order."""
        while True:
            with self._lock:
                while self._waiting and self._waiting[0].cancelled:
                    self._waiting.popleft()
                if not self._waiting or not self._free:
                    return
                reading, slot = self._waiting.popleft(), self._free.pop()
                reading.slot = slot
            reading.send()


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
        self._future = self._executor = None
        self._freed = False
        self._in_use = False

    def send(self):
        """Sends the files to a process; called once there is a slot."""
        with self._lock:
            if not self._freed:
                try:
                    self._marks[:] = WAITING
                    self._send(0, len(self._paths))
                except BaseException as error:  # the thread that waits will raise it
                    self._error = error
            else:  # cancelled on its way here
                self._reader.free(self.slot)
            self._sent.set()

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
        breaks = 0
        while True:
            if self._error is not None:
                raise self._error
            done = self._done()
            try:
                self._errors.update(self._wait(self._future, self._executor))
            except concurrent.futures.BrokenExecutor:
                self._recover()
            if self._done() == len(self._paths):
                break
            breaks = 0 if self._done() > done else breaks + 1
            if breaks > _BREAKS:
                raise RuntimeError(
                    f"Decode processes died {breaks} times in a row over {self._paths}"
                )
            self._send_what_is_left()
        positions = np.arange(len(self._paths), dtype=np.int64)
        return self._reader.ring.view.images[self.slot], positions, self._errors

    def release(self):
        """Gives the slot back, once no process writes to it."""
        with self._lock:
            if self._freed:
                return
            self._freed = True
            if self.slot is None or not self._sent.is_set():
                return
        if self._reader.lost_slots:
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

    def _done(self):
        return int(np.count_nonzero((self._marks == DONE) | (self._marks == FAILED)))

    def _send(self, start, stop):
        self._future, self._executor = self._reader.pool.submit(
            self._reader.ring.address, self.slot, start, self._paths[start:stop],
            self._reader.target,
        )  # fmt: skip

    def _wait(self, future, executor):
        """Returns the errors of a call, or gives up a file that nothing more is heard of."""
        progress, since = None, time.monotonic()
        while True:
            try:
                return future.result(timeout=_POLL_SECONDS)
            except concurrent.futures.TimeoutError:
                if future.done():  # just now, or it is the call's own error
                    return future.result()
            self._check_wanted()
            marks = self._marks.tobytes()
            if marks != progress:
                progress, since = marks, time.monotonic()
            elif time.monotonic() - since > self._reader.timeout:
                self._give_up()
                raise concurrent.futures.BrokenExecutor

    def _give_up(self):
        """Marks the file that is being read as one that cannot be read."""
        for position in np.flatnonzero(self._marks == STARTED):
            self._fail(
                position,
                TimeoutError(
                    f"{self._paths[position]}: not read within {self._reader.timeout} seconds"
                ),
            )

    def _fail(self, position, error):
        self._errors[int(position)] = error
        self._reader.ring.view.images[self.slot, position] = 0
        self._marks[position] = FAILED

    def _recover(self):
        """Replaces the processes after a death, and reads alone what was being read."""
        self._retire(self._reader.pool, self._executor)
        # the report of a failure may have died with the process: have it made again
        for position in np.flatnonzero(self._marks == FAILED):
            if int(position) not in self._errors:
                self._marks[position] = WAITING
        for position in np.flatnonzero(self._marks == STARTED):
            self._read_alone(int(position))

    def _retire(self, pool, executor):
        try:
            pool.retire(executor)
        except BaseException:
            self._reader.lost_slots = True  # somebody may go on writing to this one
            raise

    def _send_what_is_left(self):
        left = np.flatnonzero((self._marks == WAITING) | (self._marks == STARTED))
        # one stretch; what is done in between is simply done again
        self._send(int(left[0]), int(left[-1]) + 1)

    def _read_alone(self, position):
        path = self._paths[position]
        self._marks[position] = WAITING
        pool = DecodePool(1)
        try:
            for _ in range(_BREAKS):
                future, executor = pool.submit(
                    self._reader.ring.address, self.slot, position, [path], self._reader.target
                )
                try:
                    self._errors.update(self._wait(future, executor))
                    return
                except concurrent.futures.BrokenExecutor:
                    self._retire(pool, executor)
                    if self._marks[position] == FAILED:  # given up after a timeout
                        return
                    if self._marks[position] == STARTED:
                        break
            self._fail(position, OSError(f"{path}: the process that read it died, twice"))
        finally:
            if pool._executor is not None:
                pool._executor.shutdown(wait=False)
