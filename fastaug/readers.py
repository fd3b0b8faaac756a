"""Readers of image files: paths in, images in shared slots out.

    FileReader.job ──► _core.Batch ──► slots that wait ──► reader: read_file, decode_bytes
    (an iterator's)    (its threads)                           │  a process, a thread or a call
          ▲                 ▲◄──── images, or why there is none ┘  in a user's pool
          └ errors          └ event
    DecodePool ── watches over processes: who died or hangs, over which file

A file goes from the batch to the reader and back through memory alone (`_ring.h` says how): neither
Python nor a lock of the program's is on its way. Python in the program begins batches, and deals
with those who die and with what cannot be read.

A reader has one file at a time. When its process dies, the file is read again by the one that takes
its place, and before it reads anything else. A second crash is the file's fault. A process that was
killed may have been killed for any reason, so it takes a few more of these to blame the file.

What is raised over a file comes back as the name of its type, its text and arguments.

Readers import neither Keras nor TensorFlow; in processes they ignore Ctrl-C and end with their
parent.
"""

import ast
import builtins
import collections
import concurrent.futures
import contextlib
import ctypes
import dataclasses
import functools
import json
import multiprocessing.pool
import numbers
import os
import sys
import threading
import time
import weakref
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFile

from fastaug import _core
from fastaug.decode import Target, decode_bytes, read_file
from fastaug.processes import ProcessPool
from fastaug.shared_memory import Address, SharedMemory, attach, is_gone
from fastaug.threads import at_exit, usable_cores

# The order of enum fa_kind in _ring.h.
PROCESSES, THREADS, USERS = range(3)

# Seconds without work after which a process or a thread ends; the next batch starts another.
IDLE_SECONDS = 60
_THREAD_IDLE_SECONDS = 1.0

_POLL_SECONDS = 0.2

# How often a file's process may end before the file is blamed: by itself, or killed.
_CRASHES = 2
_KILLS = 6

# How many processes of each number may die one after the other without any file begun.
_BREAKS = 5

# Seconds that a file which nobody waits for any more may keep its process.
_GRACE_SECONDS = 1.0

# Seconds to wait for threads when the program ends: a read may hang.
_EXIT_SECONDS = 2.0

# Bytes of a slot, at least: what was wrong with a file has to go into it.
_SLOT_BYTES = 8192

# Files that a call in a user's pool reads at most.
_CALL_FILES = 16

# Of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# The largest threshold that glibc takes; larger pictures give their memory back.
_KEPT_BYTES = 32 << 20


# ---- what went wrong, as bytes ------------------------------------------------------------------


def _literal(values):
    """Returns values as text that `ast.literal_eval` reads; raises ValueError if there is none."""
    text = repr(values)
    if ast.literal_eval(text) != values:
        raise ValueError
    return text


def record_of(error: BaseException, room: int = _SLOT_BYTES - 4) -> bytes:
    """Returns an exception as at most `room` bytes, for `error_of` in another process."""
    kind = type(error).__module__, type(error).__qualname__
    filename = getattr(error, "filename", None) if isinstance(error, OSError) else None
    try:
        record = _literal((*kind, error.args, filename)).encode("utf-8", "surrogatepass")
        if len(record) <= room:
            return record
    except (SyntaxError, ValueError):
        pass
    text = str(error)
    while True:  # escaped, a character may take several bytes
        record = repr((*kind, (text,), None)).encode("utf-8", "surrogatepass")
        if len(record) <= room:
            return record
        text = text[: len(text) // 2]


def error_of(record: bytes) -> Exception:
    """Returns the exception of a record; an OSError if its type is not known here."""
    module, name, arguments, filename = ast.literal_eval(record.decode("utf-8", "surrogatepass"))
    kind: Any = sys.modules.get(module, builtins)
    for part in name.split("."):
        kind = getattr(kind, part, None)
    try:
        if not issubclass(kind, Exception):
            raise TypeError
        error = kind(*arguments)
    except Exception:
        return OSError(f"{' '.join(map(str, arguments))} ({name})")
    if filename is not None:
        error.filename = filename
    return error


# ---- reading ------------------------------------------------------------------------------------


class PillowSettings(NamedTuple):
    """What a user may set in Pillow at any time, and another process does not know of."""

    limit: int | None
    load_truncated: bool

    @classmethod
    def current(cls):
        """Returns those of this process."""
        return cls(Image.MAX_IMAGE_PIXELS, bool(ImageFile.LOAD_TRUNCATED_IMAGES))


# Not as this module finds them: a user may have changed them before.
_PILLOW_COMES_WITH = PillowSettings(1024**3 // 4 // 3, False)


class _View:
    """A ring's images as arrays, and how to read files into them."""

    def __init__(self, ring, memory, is_ours):
        about = json.loads(ring.about)
        self.is_ours = is_ours
        self.target = Target(*about["target"])
        self.folder = None if is_ours else about["folder"]
        offset, stride = ring.images_at
        shape = tuple(about["shape"])
        inner = np.empty((1, *shape), self.target.dtype).strides[1:]
        self.images = np.ndarray(
            (ring.slots, *shape), self.target.dtype, memory, offset, (stride, *inner)
        )

    def read(self, ring, slot, join=False):
        """Reads the file of a slot.

        Args:
            ring: The ring.
            slot: The slot.
            join: Whether to put the folder before a path, and not to go there.

        Returns:
            `(record, seconds)`: what is wrong, or None, and how long the disk took.
        """
        if not self.is_ours:
            _take_on(ring.pillow)
        start = reading = time.perf_counter()
        out = self.images[slot]
        try:
            path = os.fsdecode(ring.path(slot))
            if self.folder is not None:
                if join:
                    path = os.path.join(self.folder, path)  # noqa: PTH118
                else:
                    _go_to(self.folder)
            data = read_file(path)
            reading = time.perf_counter()
            _decode_into(data, path, self.target, out)
        except Exception as error:
            return record_of(error), reading - start
        return None, reading - start


_taken_on = None


def _take_on(settings):
    """Makes `PillowSettings` of another process this one's too; None: they stay as they are."""
    global _taken_on
    if settings is not None and settings != _taken_on:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = _taken_on = settings


_here = None


def _go_to(folder):
    """Makes a folder the current one of this process: paths may be relative to it."""
    global _here
    if folder != _here:
        with contextlib.suppress(FileNotFoundError):  # then no file will be found either
            os.chdir(folder)
        _here = folder


def decode_into(path, target, out):
    """Decodes a file into an array, in either layout.

    Raises:
        Exception: Whatever is wrong with the file.
    """
    _decode_into(read_file(path), path, target, out)


def _decode_into(data, path, target, out):
    if out.shape == target.shape:
        decode_bytes(data, path, target, out)
    else:
        image = np.empty(target.shape, target.dtype)
        decode_bytes(data, path, target, image)
        out[...] = image.transpose(2, 0, 1)


_own_rings: "weakref.WeakValueDictionary[Address, _core.Ring]" = weakref.WeakValueDictionary()


def _ring_at(address):
    """Returns the ring in some memory; raises OSError if that is gone."""
    ring = _own_rings.get(address)
    if ring is None:
        memory = attach(address)
        ring = _core.Ring(memory)
        ring.view = _View(ring, memory, is_ours=False)
    return ring


def serve(control: _core.Control, reader: _core.Reader, idle_seconds: float):
    """Reads files until there were none for a time.

    Args:
        control: The control block.
        reader: Who reads, in it.
        idle_seconds: That time.
    """
    while (found := reader.next(idle_seconds)) is not None:
        if isinstance(found, int):
            _attach_to(control, reader, found)
            continue
        ring, slot = found
        start = time.perf_counter()
        record, seconds = ring.view.read(ring, slot)
        reader.finish(ring, slot, record, seconds, time.perf_counter() - start)
        del found, ring


def _attach_to(control, reader, entry):
    """Has a reader see the ring of an entry, unless that is gone meanwhile."""
    generation, path, device, inode, size = control.entry(entry)
    if not generation:
        return
    try:
        ring = _ring_at(Address(os.fsdecode(path), device, inode, size))
    except OSError:
        if control.entry(entry)[0] == generation:
            raise
        return
    if not ring.view.is_ours:
        control.join(ring, entry, generation)
    reader.attach(entry, ring)


# ---- in a decode process ------------------------------------------------------------------------


def prepare_process(number, address, idle_seconds):
    """Makes a fresh process a reader: no threads of OpenCV's, quiet libraries.

    Args:
        number: Number of the reader.
        address: Address of the control block.
        idle_seconds: Seconds without work after which it ends.

    Returns:
        A function without arguments that reads files.
    """
    cv2.setNumThreads(1)
    _keep_freed_memory()
    _silence_libraries()
    control = _core.Control(attach(Address(*address)))
    reader = _core.Reader(control, number, PROCESSES)
    return functools.partial(serve, control, reader, idle_seconds)


def _keep_freed_memory():
    """Makes glibc keep the memory of one picture for the next; elsewhere nothing.

    Otherwise it goes back to the system, which clears every page of it before it comes again: a
    fifth of the time of decoding. Set by mallopt(3).
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


def _silence_libraries():
    """Keeps what libjpeg writes to the error output, past Python, from the user's screen."""
    errors = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(errors, "w", buffering=1)


# ---- in a user's pool -----------------------------------------------------------------------------

_attached: dict[Address, Any] = {}
_attached_lock = threading.Lock()


def read_some(control_address, ring_address, entry, generation):
    """Reads some files of a ring, as long as batches wait for any.

    Args:
        control_address: Address of the control block.
        ring_address: Address of the ring.
        entry: Number of the ring in the control block.
        generation: And its generation.
    """
    ring = _own_rings.get(ring_address)
    if ring is None:  # not a pool of threads
        with _attached_lock:
            for known in list(_attached):
                if known not in (control_address, ring_address) and is_gone(known):
                    del _attached[known]
            if ring_address not in _attached:
                if control_address not in _attached:
                    _attached[control_address] = _core.Control(attach(control_address))
                ring = _ring_at(ring_address)
                _attached[control_address].join(ring, entry, generation)
                _attached[ring_address] = ring
            ring = _attached[ring_address]
    for _ in range(_CALL_FILES):
        while (slot := ring.claim()) is None:
            if not ring.wanted:
                return
            time.sleep(0.001)  # until a slot is free
        record, _seconds = ring.view.read(ring, slot, join=True)
        ring.finish(slot, record)


class UserPool:
    """A user's pool or executor in the place of our own. It cannot be replaced if it breaks.

    Args:
        pool: A `multiprocessing` Pool or ThreadPool, or a `concurrent.futures` executor.
        workers: Number of threads of the iterator that reads through it.
    """

    kind = USERS

    def __init__(self, pool, workers):
        self._pool = pool
        self._decode_pool = shared_decode_pool(workers)
        self.control = self._decode_pool.control

    def begin(self, reader, count):
        """Has the pool read some files that a batch waits for."""
        self._settle(reader)
        arguments = (
            self._decode_pool.address,
            reader.address,
            reader.ring.entry,
            reader.ring.generation,
        )
        for _ in range(-(-count // _CALL_FILES)):
            reader.calls.append(self._submit(read_some, *arguments))

    def _submit(self, function, *arguments):
        if not isinstance(self._pool, multiprocessing.pool.Pool):
            return self._pool.submit(function, *arguments)
        future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()  # what is in a Pool cannot be taken back
        self._pool.apply_async(
            function, arguments, callback=future.set_result, error_callback=future.set_exception
        )
        return future

    def _settle(self, reader):
        """Forgets the calls that have returned, and raises what one of them has raised."""
        while reader.calls and reader.calls[0].done():
            future = reader.calls.popleft()
            try:
                future.result()
            except concurrent.futures.BrokenExecutor as death:
                raise self._error() from death

    def _check(self, reader):
        """Looks whether the pool still reads; asked while a batch waits.

        Raises:
            RuntimeError: If a worker of the pool is dead or hangs.
            Exception: What a call in the pool has raised.
        """
        self._settle(reader)
        # a Pool that is terminated drops what it was given
        if getattr(self._pool, "_state", None) == "TERMINATE" or reader.is_stuck():
            raise self._error()

    def _error(self):
        return RuntimeError(f"A worker of the given pool died or hangs: {self._pool!r}")

    def wait(self, batch, reader):
        """Waits for a batch; whose pool it is has to look after it."""
        reader.begin_watch()
        while not batch.wait(_POLL_SECONDS):
            try:
                self._check(reader)
            except Exception as error:
                reader.ring.fail_batches(error)
                reader.is_broken = True


# ---- our own readers ------------------------------------------------------------------------------


class DecodePool:
    """Readers of our own, of a number: processes and threads, which start when there is work.

    Args:
        size: Number of processes, and of threads, at most.
    """

    def __init__(self, size):
        self.size = size
        memory = SharedMemory(_core.Control.bytes_for(size))
        self.address = memory.address
        self.control = _core.Control(memory.buffer, size, usable_cores())
        self._memory = memory
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._readers: list[weakref.ref] = []
        self._breaks = 0
        self._claims = 0
        self._seen: dict[int, tuple[int, float]] = {}

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
            wanted = min(self.size, self.control.limit)
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

    def may_end(self, thread):
        """Lets a thread without work end; returns whether it may."""
        with self._lock:
            if self.control.has_work(THREADS) and thread.number < self.control.limit:
                return False
            self._threads.discard(thread)
            return True

    def close(self):
        """Ends the threads, when the program ends."""
        self.control.stop()
        end = time.monotonic() + _EXIT_SECONDS
        for thread in list(self._threads):
            thread.join(max(0, end - time.monotonic()))

    # ---- what the processes' thread asks and tells ----

    def wants(self, number):
        """Whether a process should run."""
        return self.control.owes(number) or (
            number < self.control.limit and self.control.has_work(PROCESSES)
        )

    def is_stuck(self, number):
        """Whether a process has been at one file for too long."""
        busy, now = self.control.busy(number), time.monotonic()
        seen, since = self._seen.get(number, (0, now))
        if not busy or busy != seen:
            self._seen[number] = busy, now
            return False
        patience = _GRACE_SECONDS  # nobody wants it any more
        for reader in self._live_readers():
            wanted = reader.patience_with(number)
            if wanted is not None:
                patience = wanted
        return now - since > patience

    def died(self, number, death):
        """Finds out what a dead process was at, and has it done again or blames the file."""
        self._seen.pop(number, None)
        held = any([reader.reader_died(number, death) for reader in self._live_readers()])
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

    def begin(self, reader, count):
        """Sees to it that somebody reads the files that a batch waits for."""
        if self.kind == THREADS:
            self.decode_pool.start_threads()
        else:
            self.decode_pool.processes.wake()

    def wait(self, batch, reader):
        """Waits for a batch."""
        batch.wait()


_pools: dict[int, DecodePool] = {}
_pools_lock = threading.Lock()


def shared_decode_pool(size: int) -> DecodePool:
    """Returns the program's pool of that size."""
    with _pools_lock:
        if size not in _pools:
            _pools[size] = DecodePool(size)
        return _pools[size]


def _at_fork():
    global _pools_lock, _attached_lock
    _pools_lock, _attached_lock = threading.Lock(), threading.Lock()
    _pools.clear()  # their readers are the parent's
    _own_rings.clear()


def _close():
    for pool in list(_pools.values()):
        pool.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_fork)
at_exit(_close)


def default_decoder() -> str:
    """Returns what reads files where nobody says: 'processes', or 'threads' on Windows."""
    return "threads" if sys.platform == "win32" else "processes"


def decode_pool(decoder, workers, user_pool):
    """Returns what decodes files for an iterator; None: the calling thread.

    Args:
        decoder: 'processes' or 'threads'; None: `default_decoder`.
        workers: Number of processes; 0: the calling thread decodes.
        user_pool: The user's pool in their place, or None. An int is no pool.

    Raises:
        ValueError: If `decoder` is neither.
    """
    if decoder is None:
        decoder = default_decoder()
    if decoder not in ("processes", "threads"):
        raise ValueError(f'Invalid decoder: {decoder!r}; expected "processes" or "threads"')
    if workers == 0:
        return None
    workers = min(workers, _core.MOST_READERS)
    if decoder == "threads":
        return functools.partial(_OwnPool, workers, THREADS)
    if user_pool is None or isinstance(user_pool, numbers.Integral):
        return functools.partial(_OwnPool, workers, PROCESSES)
    return functools.partial(UserPool, user_pool, workers)


class FileReader:
    """Reads the files of one iterator into slots, as batches ask for them.

    Args:
        filepaths: The files.
        target: What to decode them into.
        shape: Shape of an image in a slot, in either layout.
        pool: What reads them.
        slots: Number of slots.
        timeout: Seconds after which a reader that is still at the same file is given up.

    Raises:
        OSError: If there is no memory for the slots.
    """

    def __init__(self, filepaths, target, shape, pool, slots, timeout):
        self.pool = pool
        self.timeout = timeout
        self.is_broken = False
        self.calls = collections.deque()  # in the user's pool
        self._process = os.getpid()
        self._deaths = collections.Counter()  # of processes that read what a slot was for
        self._crashes = collections.Counter()  # those that were not killed from outside
        self._progress = None
        self._paths = filepaths
        names = [os.fsencode(path) for path in filepaths]
        offsets = np.zeros(len(names) + 1, np.uint64)
        np.cumsum([len(name) for name in names], out=offsets[1:])
        self.folder = folder_of(filepaths)
        about = json.dumps(
            {"target": dataclasses.astuple(target), "shape": list(shape), "folder": self.folder}
        ).encode()
        image_bytes = int(np.prod(shape)) * target.dtype.itemsize
        slot_bytes = -(-max(image_bytes, _SLOT_BYTES) // 64) * 64
        joined = b"".join(names)
        memory = SharedMemory(
            _core.Ring.bytes_for(slots, slot_bytes, len(names), len(joined), len(about))
        )
        self.address = memory.address
        self.ring = _core.Ring.create(memory.buffer, slots, slot_bytes, offsets, joined, about)
        self.ring.view = _View(self.ring, memory.buffer, is_ours=True)
        self._memory = memory
        _own_rings[self.address] = self.ring
        path, device, inode, _ = self.address
        self.pool.control.open(self.ring, pool.kind, os.fsencode(path), device, inode)
        # takes no lock: the garbage collector may come here while any thread holds one
        self._finalizer = weakref.finalize(self, self.pool.control.close, self.ring)
        if pool.kind == PROCESSES:
            pool.decode_pool.add(self)

    def is_usable(self):
        """Whether it is neither a copy in a forked process nor broken."""
        return self._process == os.getpid() and not self.is_broken

    def path(self, slot):
        """The path of the file that a slot is for."""
        return self._paths[self.ring.file(slot)]

    def job(self, plan, index, table, out, standardize, after=None, then=None):
        """Returns the work of a batch, for the threads.

        Args:
            plan: A `_core.Plan`.
            index: int64 array, the position of each file.
            table: Parameter table with a row for each image.
            out: Array for the finished images.
            standardize: Whether to standardize.
            after: Function to call with some of the finished images after each other, or None.
            then: Function to call after all of them, or None.
        """
        settings = PillowSettings.current()
        self.pool.control.pillow = settings
        # A user's processes may have been made with others: these are theirs until somebody changes
        # those here.
        if self.pool.kind == PROCESSES or settings != _PILLOW_COMES_WITH:
            self.ring.follow_pillow()
        batch = _core.Batch(
            plan, self.ring.view.images, index, table, [out], standardize,
            ring=self.ring, after=after, then=then,
        )  # fmt: skip
        return FileJob(self, batch, len(index))

    # ---- the user's pool ----

    def begin_watch(self):
        """Makes the time without any progress begin now."""
        self._progress = None

    def is_stuck(self):
        """Whether no file was begun or done for too long; asked while a batch waits."""
        marks, now = self.ring.progress(), time.monotonic()
        if self._progress is None or self._progress[0] != marks:
            self._progress = marks, now
        return now - self._progress[1] > self.timeout

    # ---- our own processes ----

    def patience_with(self, number):
        """Seconds that a reader may be at the file that it has of here; None: it has none."""
        held = self.ring.held_by(number)
        if held is None:
            return None
        _, word = held
        return min(self.timeout, _GRACE_SECONDS) if _core.is_abandoned(word) else self.timeout

    def reader_died(self, number, death):
        """Decides what becomes of the file that a dead reader had, if it is one of these.

        Returns:
            Whether it had one.
        """
        held = self.ring.held_by(number)
        if held is None:
            return False
        slot, word = held
        path = self.path(slot)
        request = slot, word >> 16
        if death.stuck:
            error = TimeoutError(f"{path}: not read within {self.timeout} seconds")
        else:
            self._deaths[request] += 1
            self._crashes[request] += not death.from_outside
            deaths = self._deaths[request]
            if self._crashes[request] < _CRASHES and deaths < _KILLS:
                self.ring.redo(slot, number)
                return True
            error = OSError(f"{path}: the process that read it died {deaths} times ({death.reason})")
        del self._deaths[request], self._crashes[request]
        self.ring.fail(slot, record_of(error))
        return True


class FileJob:
    """The work of a batch of files: what `threads.Job` is for other batches.

    Args:
        reader: The `FileReader`.
        batch: The work, a `_core.Batch`.
        count: Number of files.

    Attributes:
        errors: After `wait`, `{place: exception}` of the images that could not be read, which are
            zero.
    """

    def __init__(self, reader, batch, count):
        self.errors = {}
        self._reader = reader
        self._batch = batch
        self._count = count

    def put_into(self, tasks):
        """Hands the batch to the threads of a queue; returns how many of them can have a part."""
        parts = self._batch.put_into(tasks)
        try:
            self._reader.pool.begin(self._reader, self._count)
        except BaseException:
            self._batch.cancel()
            raise
        return parts

    def cancel(self):
        """Lets the images that have not begun come to nothing."""
        self._batch.cancel()

    def is_lost(self):
        """Whether this is a copy in a forked process: no thread here will ever work on it."""
        return self._batch.is_lost()

    def wait(self):
        """Waits for the end.

        Raises:
            RuntimeError: If there are no readers.
            BaseException: What Python's part of the work raised.
        """
        self._reader.pool.wait(self._batch, self._reader)
        self._batch.wait()
        for place, record in self._batch.failures():
            self.errors[place] = error_of(record)


def folder_of(filepaths):
    """Returns the folder that paths are relative to: the current one; None if none of them is."""
    return None if all(map(os.path.isabs, filepaths)) else current_folder()


def current_folder():
    """Returns the current folder, or None if it was removed."""
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return None
