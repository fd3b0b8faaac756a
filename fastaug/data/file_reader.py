"""The files of an iterator on their way to its batches.

    FileReader.job ──► _core.Batch ──► slots that wait ──► readers
    (an iterator's)    (its threads)                           │
          ▲                 ▲◄──── images, or why there is none ┘
          └ errors          └ event

A file goes from the batch to the reader and back through memory alone: neither Python nor a lock
of the program's is on its way. Python in the program begins batches, and deals with what cannot be
read.

When the process of a reader dies, its file is read again by the one that takes its place, before
that reads anything else. A second crash is the file's fault. A process that was killed may have
been killed for any reason, so it takes a few more of these to blame the file.
"""

import collections
import dataclasses
import json
import os
import time
import weakref

import numpy as np

from fastaug import _core
from fastaug.data.decode_pool import GRACE_SECONDS
from fastaug.data.readers import PILLOW_COMES_WITH, PROCESSES, PillowSettings, View, own_rings
from fastaug.run.records import MOST_BYTES, error_of, record_of
from fastaug.run.shared_memory import SharedMemory

# Bytes of a slot, at least: what was wrong with a file has to go into it.
_SLOT_BYTES = MOST_BYTES + 4

# How often a file's process may end before the file is blamed: by itself, or killed.
_CRASHES = 2
_KILLS = 6


# Whether anybody has changed Pillow's settings, as far as was seen.
_was_changed = False


class Paths:
    """The paths of some files, and the bytes that a ring has of them.

    Args:
        filepaths: The files.

    Attributes:
        items: A tuple of the paths.
        names: Their bytes, one after the other.
        offsets: Where each begins in these, and the end.
    """

    def __init__(self, filepaths):
        self.items = tuple(filepaths)
        names = [_encoded(path) for path in self.items]
        self.offsets = np.zeros(len(names) + 1, np.uint64)
        np.cumsum([len(name) for name in names], out=self.offsets[1:])
        self.names = b"".join(names)
        self._are_absolute = all(map(os.path.isabs, self.items))

    def folder(self):
        """Returns the folder that they are relative to, the current one, or None."""
        return None if self._are_absolute else current_folder()


class FileReader:
    """Reads the files of one iterator into slots, as batches ask for them.

    Args:
        paths: The `Paths` of the files.
        target: What to decode them into.
        shape: Shape of an image in a slot, in either layout.
        pool: What reads them.
        slots: Number of slots.
        timeout: Seconds after which a reader that is still at the same file is given up.
        crop: What draws the part of each picture that is decoded, or None; see `Crop` in
            `decode.py`.
        reads: Name of a module whose `read_into(path, file, out)` reads a file in the place of
            decoding it, and returns how many seconds the disk took. None: files are decoded.

    Raises:
        OSError: If there is no memory for the slots.
    """

    def __init__(self, paths, target, shape, pool, slots, timeout, crop=None, reads=None):
        self.pool = pool
        self.timeout = timeout
        self.calls = collections.deque()  # in the user's pool
        self._process = os.getpid()
        self._deaths = collections.Counter()  # of processes that read what a slot was for
        self._crashes = collections.Counter()  # those that were not killed from outside
        self._progress = None
        self._paths = paths.items
        self.folder = paths.folder()
        about = json.dumps(
            {
                "target": dataclasses.astuple(target),
                "shape": list(shape),
                "folder": self.folder,
                "crop": crop and crop.about,
                "reads": reads,
            },
            default=int,  # sides may be of any integer type
        ).encode()
        image_bytes = int(np.prod(shape)) * target.dtype.itemsize
        slot_bytes = -(-max(image_bytes, _SLOT_BYTES) // 64) * 64
        memory = SharedMemory(
            _core.Ring.bytes_for(slots, slot_bytes, len(paths.items), len(paths.names), len(about))
        )
        self.address = memory.address
        self.ring = _core.Ring.create(
            memory.buffer, slots, slot_bytes, paths.offsets, paths.names, about
        )
        self.ring.view = View(self.ring, memory.buffer, is_ours=True)
        self.ring.open_files(relative=True)
        self._memory = memory
        own_rings[self.address] = self.ring
        path, device, inode, _ = self.address
        self.pool.control.open(self.ring, pool.kind, os.fsencode(path), device, inode)
        # takes no lock: the garbage collector may come here while any thread holds one
        self._finalizer = weakref.finalize(self, self.pool.control.close, self.ring)
        if pool.kind == PROCESSES:
            pool.decode_pool.add(self)

    def is_usable(self):
        """Whether it is no copy in a forked process, nor lacks a file format."""
        return self._process == os.getpid() and self.pool.is_right()

    def has_paths_of(self, filepaths, index):
        """Whether the files of an index are still the same: a user may change the list in place."""
        return type(filepaths) is not list or _core.same_items(filepaths, self._paths, index)

    def path(self, slot):
        """The path of the file that a slot is for."""
        return self._paths[self.ring.file(slot)]

    def job(self, program, index, table, out, standardize, after=None, then=None, draws=(0, 0)):
        """Returns the work of a batch, for the threads.

        Args:
            program: A `_core.Program`.
            index: int64 array, the position of each file.
            table: Parameter table with a row for each image.
            out: Array for the finished images.
            standardize: Whether to standardize.
            after: Function to call with some of the finished images after each other, or None.
            then: Function to call after all of them, or None.
            draws: `(seed, epoch)` of what is drawn for the files, from 0 to 2**64 - 1.
        """
        settings = PillowSettings.current()
        self.pool.control.pillow = settings
        # A user's processes may have been made with others: these are theirs until somebody changes
        # those here, in any iterator.
        global _was_changed
        _was_changed = _was_changed or settings != PILLOW_COMES_WITH
        if self.pool.kind == PROCESSES or _was_changed:
            self.ring.follow_pillow()
        batch = _core.Batch(
            program, self.ring.view.images, index, table, [out], standardize,
            ring=self.ring, file_draws=draws, after=after, then=then,
        )  # fmt: skip
        return FileJob(self, batch, len(index))

    # ---- the user's pool ----

    def begin_watch(self):
        """Makes the time without any progress begin now."""
        self._progress = None

    def is_stuck(self):
        """Whether no file was begun or done for too long; asked while a batch waits."""
        marks, now = self.ring.progress(), time.monotonic()
        progress = self._progress  # another thread's wait may begin now
        if progress is None or progress[0] != marks:
            self._progress = progress = marks, now
        return now - progress[1] > self.timeout

    def timeout_of(self, path):
        """Returns the error of a file that does not come."""
        return TimeoutError(f"{path}: not read within {self.timeout} seconds")

    # ---- our own processes ----

    def patience_with(self, number):
        """Seconds that a reader may be at the file that it has of here; None: it has none."""
        held = self.ring.held_by(number)
        if held is None:
            return None
        _, word = held
        return min(self.timeout, GRACE_SECONDS) if _core.is_abandoned(word) else self.timeout

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
        request = slot, word >> 16, self.ring.file(slot)
        if death.stuck:
            error = self.timeout_of(path)
        else:
            self._deaths[request] += 1
            self._crashes[request] += not death.from_outside
            deaths = self._deaths[request]
            if self._crashes[request] < _CRASHES and deaths < _KILLS:
                self.ring.redo(slot, number)
                return True
            error = OSError(
                f"{path}: the process that read it died {deaths} times ({death.reason})"
            )
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


def _encoded(path):
    """Returns a path as bytes; one that no file can have stays one that no file has."""
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")


def current_folder():
    """Returns the current folder; "", which is none, if it was removed."""
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return ""
