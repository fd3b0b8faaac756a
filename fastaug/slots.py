"""Memory that two processes see: slots that decode processes write and threads read.

    parent                                   decode process
    Ring ── creates ──► memory file ◄── maps ── attach(ring.address)
      lends slots (a few images each)           writes images and marks
      takes them back

The parent creates the memory and is the only one to say who may write where. On Linux it is a file
without a name: a child opens it through the parent's open file, and it is gone with the last
process that has it open, however that ends. Elsewhere it is a temporary file, removed with the
ring. Only addresses and slot numbers cross the process boundary. Knows nothing of decoding.
"""

import mmap
import os
import tempfile
import threading
import weakref
from typing import NamedTuple

import numpy as np

# Marks of the images of a slot, written by the decode process.
WAITING, STARTED, DONE, FAILED = range(4)


class Address(NamedTuple):
    """What another process needs to see a ring."""

    path: str
    identity: tuple[int, int]  # device and inode: a path may come to mean another file
    slots: int
    images: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def offset(self):
        """Where the images begin, after the marks, on a page of their own."""
        return -(-self.slots * self.images // mmap.PAGESIZE) * mmap.PAGESIZE

    @property
    def size(self):
        """Bytes in all."""
        values = self.slots * self.images * int(np.prod(self.shape))
        return self.offset + values * np.dtype(self.dtype).itemsize


class View(NamedTuple):
    """A ring's memory as arrays."""

    marks: np.ndarray  # uint8, (slots, images)
    images: np.ndarray  # (slots, images, *shape)


class Ring:
    """Slots for decoded images.

    Args:
        slots: Number of slots.
        images: Images in a slot.
        shape: Shape of an image.
        dtype: Type of an image.

    Raises:
        OSError: If there is no memory for them.
    """

    def __init__(self, slots, images, shape, dtype):
        draft = Address("", (0, 0), slots, images, tuple(shape), np.dtype(dtype).str)
        fd, path, remove = _create(draft.size)
        status = os.fstat(fd)
        self.address = draft._replace(path=path, identity=(status.st_dev, status.st_ino))
        self.view = _view(fd, self.address)
        _own[self.address] = self
        self._finalizer = weakref.finalize(self, _close, fd, remove, os.getpid())


def attach(address: Address) -> View:
    """Returns a ring of another process as arrays; maps it once.

    Raises:
        OSError: If the ring is gone.
    """
    ring = _own.get(address)
    if ring is not None:  # a user's pool is one of threads: no second mapping, to be kept too long
        return ring.view
    with _attached_lock:
        for known in list(_attached):
            if known != address and _identity(known.path) != known.identity:
                del _attached[known]  # its ring is gone: give the memory back
        if address not in _attached:
            fd = os.open(address.path, os.O_RDWR)
            try:
                status = os.fstat(fd)
                if (status.st_dev, status.st_ino) != address.identity:
                    raise FileNotFoundError(f"The slots at {address.path} are gone")
                _attached[address] = _view(fd, address)
            finally:
                os.close(fd)
        return _attached[address]


_own: "weakref.WeakValueDictionary[Address, Ring]" = weakref.WeakValueDictionary()
_attached: dict[Address, View] = {}
_attached_lock = threading.Lock()


def _view(fd, address):
    memory = mmap.mmap(fd, address.size)
    marks = np.frombuffer(memory, np.uint8, address.slots * address.images)
    images = np.frombuffer(memory, address.dtype, offset=address.offset)
    return View(
        marks.reshape(address.slots, address.images),
        images.reshape(address.slots, address.images, *address.shape),
    )


def _create(size):
    """Returns `(fd, path, path to remove or None)` of a file with memory behind every byte."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):  # noqa: PTH112
        fd = os.memfd_create("fastaug")
        path, remove = f"/proc/{os.getpid()}/fd/{fd}", None
    else:
        fd, path = tempfile.mkstemp(prefix="fastaug-")
        remove = path
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)  # an error now, not a SIGBUS later
        else:
            os.ftruncate(fd, size)
    except BaseException as error:
        _close(fd, remove, os.getpid())
        if isinstance(error, OSError):
            raise OSError(
                error.errno, f"No memory for {size} bytes of decoded images: {error.strerror}"
            ) from error
        raise
    return fd, path, remove


def _close(fd, remove, process):
    if process != os.getpid():
        return  # a copy in a forked child, which is none of its business
    os.close(fd)
    if remove is not None:
        os.unlink(remove)  # noqa: PTH108


def _identity(path):
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino
