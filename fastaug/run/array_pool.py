"""Memory of batches, used again. Knows of no batch: a reference count tells who has it."""

import math
import sys
import threading

import numpy as np

from fastaug.run.locks import renew_in_child

# Bytes of an array that comes from the system anew each time.
_WORTH_KEEPING = 1 << 20

# Where an array begins that TensorFlow takes for a tensor as it is; others it copies.
_ALIGNMENT = 64

# Without a global lock, reference counts are not the whole truth.
COUNTS_REFERENCES = getattr(sys, "_is_gil_enabled", lambda: True)()


def _with_references(arrays):
    """Yields each array with the number of references to it."""
    for array in arrays:
        yield array, sys.getrefcount(array)


# Those of an array that only its list has. Versions of Python differ in what they count.
_UNUSED = next(_with_references([np.empty(1)]))[1]


class ArrayPool:
    """Memory for batches, used again when nobody has the batch any more.

    A new array of many megabytes comes from the system page by page, each of them cleared first,
    which takes a fifth of the time of augmenting into it.

    Args:
        kept: How many large arrays to keep, at most.
    """

    def __init__(self, kept):
        self.kept = kept
        self._arrays = []
        self._renew_in_child()
        renew_in_child(self)

    def _renew_in_child(self):
        self._lock = threading.Lock()

    def array(self, shape, dtype):
        """Returns an array of any content; if large, an aligned view, of an owner that is kept."""
        count = math.prod(shape) * dtype.itemsize
        if count < _WORTH_KEEPING or not COUNTS_REFERENCES:
            return np.empty(shape, dtype)
        with self._lock:
            for owner, references in _with_references(self._arrays):
                # a view, or what was made of it, is one more
                if references <= _UNUSED and owner.size == count + _ALIGNMENT:
                    break
            else:
                owner = np.empty(count + _ALIGNMENT, np.uint8)
                self._arrays = [*self._arrays, owner][-self.kept :]
            start = -owner.ctypes.data % _ALIGNMENT
            return owner[start : start + count].view(dtype).reshape(shape)

    def clear(self):
        """Forgets all of them."""
        self._arrays = []
