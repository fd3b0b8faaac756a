"""Arrays that are carried to other processes: those of files as where they lie, not what they hold.

    Carried(array) ── pickle ──► path, place in the file, shape, type ──► Carried(the same array)

A copy within the process (`copy.copy`) has the array itself.
"""

import copy
import mmap
import pathlib

import numpy as np

from fastaug.data.lazy import LazyArray

# numpy opens "w+" by making the file anew.
_MODES = {"r": "r", "r+": "r+", "w+": "r+"}


class Carried:
    """An array on its way.

    Args:
        array: Any object: arrays in memory go with all that they hold.

    Attributes:
        array: The array; after unpickling, opened again where it came from a file.

    Raises:
        OSError: On unpickling, if the file cannot be opened.
    """

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        array = self.array
        if isinstance(array, LazyArray):
            return _rows, (Carried(array.array), array.start, len(array))
        if (place := _place_in_a_file(array)) is not None:
            return _mapped, place
        if (place := _place_in_hdf5(array)) is not None:
            return _of_hdf5, place
        return Carried, (array,)

    def __deepcopy__(self, memo):
        """Copies what is in the memory alone."""
        array = self.array
        array = array.array if isinstance(array, LazyArray) else array
        if _is_of_hdf5(array) or _place_in_a_file(array) is not None:
            return self
        return Carried(copy.deepcopy(self.array, memo))


def _place_in_a_file(array):
    """Returns the arguments of `_mapped` for an array that is part of a file, or None."""
    mapped = array if isinstance(array, np.ndarray) else None
    while mapped is not None and not (isinstance(mapped, np.memmap) and mapped._mmap is not None):
        mapped = getattr(mapped, "base", None)
    if (
        mapped is None
        or mapped.filename is None
        or mapped.mode not in _MODES  # "c": what was written is in the memory alone
        or array.dtype.hasobject
        or not array.size
        or not pathlib.Path(mapped.filename).is_file()
    ):
        return None
    low, high = np.lib.array_utils.byte_bounds(array)
    whole, _ = np.lib.array_utils.byte_bounds(np.frombuffer(mapped._mmap, np.uint8))
    first = mapped.offset - mapped.offset % mmap.ALLOCATIONGRANULARITY  # of the mapped bytes
    start = array.__array_interface__["data"][0] - low
    return (
        mapped.filename,
        _MODES[mapped.mode],
        first + low - whole,
        high - low,
        isinstance(array, np.memmap),
        (array.shape, array.dtype, start, array.strides),
    )


def _mapped(path, mode, offset, size, is_memmap, layout):
    """Opens a part of a file again."""
    part = np.memmap(path, np.uint8, mode, offset, (size,))
    shape, dtype, start, strides = layout
    if not is_memmap:
        return Carried(np.ndarray(shape, dtype, part, start, strides))
    array = np.ndarray.__new__(np.memmap, shape, dtype, part, start, strides)
    array.__array_finalize__(part)
    return Carried(array)


def _is_of_hdf5(array):
    return type(array).__module__.startswith("h5py.")


def _place_in_hdf5(array):
    """Returns the arguments of `_of_hdf5` for a data set of h5py, or None."""
    if not _is_of_hdf5(array) or not array.name:
        return None
    path = pathlib.Path(array.file.filename).absolute()
    return (str(path), array.name) if path.is_file() else None  # not in the memory


def _of_hdf5(path, name):
    """Opens a data set again."""
    import h5py

    return Carried(h5py.File(path, "r")[name])


def _rows(carried, start, count):
    return Carried(LazyArray(carried.array, start, start + count))
