"""Arrays that are not in memory, such as h5py's, zarr's and dask's: rows of them, when asked for.

    LazyArray.read ──► rows in rising order, each once ──► a slice for each chunk, or one call

Knows none of the libraries. A file gives its rows fastest in their order, and a compressed chunk of
it is decompressed as a whole, whatever is wanted of it. HDF5 takes lists of rows, but one slice
after the other is up to 300 times as fast; zarr and dask read the chunks of one call side by side.
"""

import numbers

import numpy as np

# What arrays in memory have.
_IN_MEMORY = ("__array_interface__", "__array_struct__", "__cuda_array_interface__", "__dlpack__")


def lazily(x):
    """Returns an array that is not in memory as a `LazyArray`, anything else as it is."""
    shape = getattr(x, "shape", None)
    if (
        isinstance(x, LazyArray | np.ndarray | np.generic)
        or not isinstance(getattr(x, "dtype", None), np.dtype)
        or not isinstance(shape, tuple)
        or len(shape) < 2  # no images; pandas has such
        or not all(isinstance(size, numbers.Integral) for size in shape)
        or not hasattr(x, "__getitem__")
        or any(hasattr(x, name) for name in _IN_MEMORY)
    ):
        return x
    return LazyArray(x, 0, shape[0])


class LazyArray:
    """Some rows, one after the other, of an array that is not in memory.

    Rows are read when they are asked for, by any index that NumPy takes for one axis, and
    `np.asarray` reads all of them.

    Args:
        array: Has `shape`, `dtype` and `__getitem__` for slices of the first axis.
        start: The first row.
        stop: The row after the last.

    Attributes:
        array, start: As given.
        shape: Shape of these rows together.
        dtype: Type of the values.
    """

    def __init__(self, array, start, stop):
        self.array = array
        self.start = start
        self.shape = (max(stop - start, 0), *array.shape[1:])
        self.dtype = array.dtype
        self._chunks = _chunks_of(array)

    def __len__(self):
        return self.shape[0]

    @property
    def ndim(self):
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self):
        """Number of values."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def given(self):
        """The array itself if these are all of its rows, else this object."""
        return self.array if len(self) == self.array.shape[0] else self

    def part(self, rows):
        """Returns the rows of a slice with a step of 1, of which none is read."""
        start, stop, _ = rows.indices(len(self))
        return LazyArray(self.array, self.start + start, self.start + stop)

    def __getitem__(self, key):
        """Reads rows, as an array."""
        if not (isinstance(key, np.ndarray) and key.dtype.kind in "iu" and key.ndim == 1):
            key = np.arange(len(self))[key]
        images, positions = self.read(np.ravel(key))
        return images[positions].reshape(*np.shape(key), *self.shape[1:])

    def __array__(self, dtype=None, copy=None):
        """Reads all rows."""
        if copy is False:
            raise ValueError("The rows are not in memory: to read them makes a copy")
        return np.asarray(self[:], dtype=dtype)

    def chunks_of(self, index):
        """Returns the number of the chunk that each row of an index lies in."""
        return self._chunks_with(self._rows(index))

    def read(self, index):
        """Reads the rows of an index, each of them once, in the order that they lie in.

        Args:
            index: Positions, in any order; negative ones count from the end.

        Returns:
            `(rows, positions)`: the rows of the index are `rows[positions]`.

        Raises:
            IndexError: If there is no such row.
            Exception: What the array raises.
        """
        rows, positions = np.unique(self._rows(index), return_inverse=True)
        if not len(rows):
            return np.empty((0, *self.shape[1:]), self.dtype), positions
        if hasattr(self.array, "oindex"):  # zarr
            return np.asarray(self.array.oindex[rows]), positions
        if hasattr(self.array, "__dask_graph__"):
            return np.asarray(self.array[rows]), positions
        new = (np.diff(rows) > 1) & (np.diff(self._chunks_with(rows)) > 0)
        pieces = [self._piece(part) for part in np.split(rows, np.flatnonzero(new) + 1)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces), positions

    def _piece(self, rows):
        """Reads rows by one slice, and drops what lies between them."""
        first, last = int(rows[0]), int(rows[-1])
        piece = np.asarray(self.array[first : last + 1])
        return piece if len(rows) == last + 1 - first else piece[rows - first]

    def _chunks_with(self, rows):
        if self._chunks is None:
            return rows
        if isinstance(self._chunks, int):
            return rows // self._chunks
        return np.searchsorted(self._chunks, rows, side="right")

    def _rows(self, index):
        """Returns the rows of the whole array that an index means."""
        index = np.asarray(index, dtype=np.int64)
        wrong = (index < -len(self)) | (index >= len(self))
        if wrong.any():
            raise IndexError(
                f"index {index[wrong][0]} is out of bounds for axis 0 with size {len(self)}"
            )
        return np.where(index < 0, index + len(self), index) + self.start


def _chunks_of(array):
    """Returns the rows of a chunk, where the chunks end, or None where there are none."""
    chunks = getattr(array, "chunks", None)
    if not isinstance(chunks, tuple) or not chunks:
        return None
    if isinstance(chunks[0], numbers.Integral):
        return max(int(chunks[0]), 1)
    return np.cumsum(chunks[0])
