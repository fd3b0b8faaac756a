"""What reads image files: paths in, images in shared slots out.

    slot WAITING ──► claim ──► read_file ──► decode_bytes ──► slot DONE, or FAILED and a record

A reader runs in a process, in a thread of the program or in a user's pool. What it is to read next
and where that goes is in memory that is shared with the program (`kernels/ring.h` says how); it has
one file at a time. Readers import neither Keras nor TensorFlow. In processes they ignore Ctrl-C and
end with their parent.
"""

import contextlib
import ctypes
import functools
import importlib
import json
import os
import sys
import threading
import time
import weakref
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from fastaug import _core, opencv
from fastaug.data.decode import Target, crop_of, decode_bytes, read_file
from fastaug.run.records import record_of
from fastaug.run.shared_memory import Address, attach, is_gone

# The order of enum fa_kind in kernels/ring.h.
PROCESSES, THREADS, USERS = range(3)

# Files that a call in a user's pool reads at most.
CALL_FILES = 16

# Of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# The largest threshold that glibc takes; larger pictures give their memory back.
_KEPT_BYTES = 32 << 20


class PillowSettings(NamedTuple):
    """What a user may set in Pillow at any time, and another process does not know of."""

    limit: int | None
    load_truncated: bool

    @classmethod
    def current(cls):
        """Returns those of this process."""
        return cls(Image.MAX_IMAGE_PIXELS, bool(ImageFile.LOAD_TRUNCATED_IMAGES))


# Not as this module finds them: a user may have changed them before.
PILLOW_COMES_WITH = PillowSettings(1024**3 // 4 // 3, False)


class View:
    """A ring's images as arrays, and how to read files into them."""

    def __init__(self, ring, memory, is_ours):
        about = json.loads(ring.about)
        self.is_ours = is_ours
        self.target = Target(*about["target"])
        self.folder = None if is_ours else about["folder"]
        self._reads = about["reads"]
        self._crop = about["crop"] and crop_of(about["crop"])
        offset, stride = ring.images_at
        shape = tuple(about["shape"])
        inner = np.empty((1, *shape), self.target.dtype).strides[1:]
        self.images = np.ndarray(
            (ring.slots, *shape), self.target.dtype, memory, offset, (stride, *inner)
        )

    def read(self, ring, slot, file=None, join=False):
        """Reads the file of a slot.

        Args:
            ring: The ring.
            slot: The slot.
            file: The contents of the file, or where it is open; None: it is opened here.
            join: Whether to put the folder before a path, and not to go there.

        Returns:
            `(record, seconds)`: what is wrong, or None, and how long the disk took here.
        """
        if not self.is_ours:
            _take_on(ring.pillow)
        seconds = 0.0
        out = self.images[slot]
        try:
            path = os.fsdecode(ring.path(slot))
            if file is None and self.folder is not None and not os.path.isabs(path):  # noqa: PTH117
                if join and self.folder:
                    path = os.path.join(self.folder, path)  # noqa: PTH118
                else:
                    _go_to(self.folder, path)
            if self._reads is not None:
                seconds = importlib.import_module(self._reads).read_into(path, file, out)
                return None, seconds
            start = time.perf_counter()
            data = read_file(path, file)
            seconds = time.perf_counter() - start
            box_of = self._crop and self._crop.bind(*ring.draws(slot), ring.file(slot))
            _decode_into(data, path, self.target, out, box_of)
        except Exception as error:
            return record_of(error), seconds
        except KeyboardInterrupt:  # of who uses the pool
            raise
        except BaseException as error:  # a thread that ends here would be waited for
            error = OSError(f"{path}: {error} ({type(error).__name__})")
            return record_of(error), seconds
        return None, seconds


_taken_on = None


def _take_on(settings):
    """Makes `PillowSettings` of another process this one's too; None: they stay as they are."""
    global _taken_on
    if settings is not None and settings != _taken_on:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = _taken_on = settings


_here = None


def _go_to(folder, path):
    """Makes a folder the current one of this process: a path is relative to it.

    Raises:
        FileNotFoundError: If the folder is gone, and with it the file.
    """
    global _here
    if folder != _here:
        try:
            os.chdir(folder)
        except FileNotFoundError as error:
            raise FileNotFoundError(error.errno, error.strerror, path) from None
        _here = folder


def decode_into(path, target, out, box_of=None):
    """Decodes a file into an array, in either layout.

    Args:
        path: The file.
        target: What to decode it into.
        out: The array.
        box_of: As for `decode_bytes`.

    Raises:
        Exception: Whatever is wrong with the file.
    """
    _decode_into(read_file(path), path, target, out, box_of)


def _decode_into(data, path, target, out, box_of):
    if out.shape == target.shape:
        decode_bytes(data, path, target, out, box_of)
    else:
        image = np.empty(target.shape, target.dtype)
        decode_bytes(data, path, target, image, box_of)
        out[...] = image.transpose(2, 0, 1)


own_rings: "weakref.WeakValueDictionary[Address, _core.Ring]" = weakref.WeakValueDictionary()


def _ring_at(address):
    """Returns the ring in some memory; raises OSError if that is gone."""
    ring = own_rings.get(address)
    if ring is None:
        memory = attach(address)
        ring = _core.Ring(memory)
        ring.view = View(ring, memory, is_ours=False)
        ring.open_files(relative=False)  # View.read goes to their folder
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
        record, seconds = ring.view.read(ring, slot, reader.take_file())
        reader.account(seconds)
        reader.finish(ring, slot, record)
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
    cv2 = opencv.find()
    if cv2 is not None:
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


# ---- in a user's pool ---------------------------------------------------------------------------

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
    ring = own_rings.get(ring_address)
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
    for _ in range(CALL_FILES):
        while (slot := ring.claim()) is None:
            if not ring.wanted:
                return
            time.sleep(0.001)  # until a slot is free
        record, _seconds = ring.view.read(ring, slot, join=True)
        ring.finish(slot, record)


def _at_fork():
    global _attached_lock
    _attached_lock = threading.Lock()
    own_rings.clear()  # they are the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_fork)
