"""Memory that several processes see, without a name in any folder where that can be.

    program                                          reader
    SharedMemory ── creates ──► memory file ◄── maps ── attach(address)

On Linux it is a file without a name: another process opens it through the program's open file, and
it is gone with the last process that has it open, however that ends. Elsewhere it is a temporary
file, removed with the object. Only addresses cross the process boundary. What is in the memory is
`readers`'s affair.
"""

import itertools
import mmap
import os
import sys
import tempfile
import weakref
from typing import NamedTuple

from fastaug import _core


class Address(NamedTuple):
    """What another process needs to see the memory."""

    path: str
    device: int
    inode: int  # a path may come to mean another file
    size: int


class SharedMemory:
    """Some bytes, zero at first.

    Args:
        size: How many.
        name: What the system's lists of open files show.

    Attributes:
        address: `Address`.
        buffer: The bytes, as an object with the buffer interface.

    Raises:
        OSError: If there is no memory for them.
    """

    def __init__(self, size, name="fastaug"):
        if sys.platform == "win32":  # there, only threads read files
            self.address = Address(f"memory {next(_numbers)}", 0, 0, size)
            self.buffer = mmap.mmap(-1, size)
            return
        self._file = file = _create(name)
        _allocate(file.fd, size)
        status = os.fstat(file.fd)
        self.address = Address(file.path, status.st_dev, status.st_ino, size)
        self.buffer = mmap.mmap(file.fd, size)


def attach(address: Address) -> mmap.mmap:
    """Returns the memory of another process.

    Raises:
        OSError: If it is gone.
    """
    fd = os.open(address.path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    try:
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != (address.device, address.inode):
            raise FileNotFoundError(f"The memory at {address.path} is gone")
        return mmap.mmap(fd, address.size)
    finally:
        os.close(fd)


def is_gone(address: Address) -> bool:
    """Whether the process that created the memory has given it back."""
    try:
        status = os.stat(address.path)  # noqa: PTH116
    except OSError:
        return True
    return (status.st_dev, status.st_ino) != (address.device, address.inode)


_numbers = itertools.count(1)


def fill_standard_files() -> None:
    """Opens the null device in the place of standard files that are closed, as in a daemon.

    What is opened next would have their numbers, and libraries would write to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            fd = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(fd, fd == number)
            if fd != number:  # taken by another thread meanwhile
                os.close(fd)


def _create(name):
    """Returns an open file with `fd` and `path`, which goes with its object."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):  # noqa: PTH112
        fill_standard_files()
        return _core.MemoryFile(os.fsencode(name))
    return _TemporaryFile(name)


class _TemporaryFile:
    def __init__(self, name):
        self.fd, self.path = tempfile.mkstemp(prefix=f"{name}-")
        self._finalizer = weakref.finalize(self, _remove, self.fd, self.path, os.getpid())


def _remove(fd, path, process):
    if process != os.getpid():
        return  # a copy in a forked child, which is none of its business
    os.close(fd)
    os.unlink(path)  # noqa: PTH108


def _allocate(fd, size):
    """Gives a file memory behind every byte."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)  # an error now, not a SIGBUS later
        else:
            os.ftruncate(fd, size)
    except OSError as error:
        raise OSError(
            error.errno, f"No memory for {size} bytes of decoded images: {error.strerror}"
        ) from error
