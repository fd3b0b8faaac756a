"""Where images come from: arrays and files, as an index. No pixels of its own.

A source has `shape` and `dtype` of one image, `len`, `array`, an array of all images that the core
can read where it lies, or None, `in_floatx`, whether Keras works on the images in its floatx,
whatever the type of the batches, `slice_length`, how many images to ask for at a time (None: any
number), `open(index)`, which begins to read some images, and `image(position, dtype)`, which reads
one. What `open` returns has

    read()     waits; any thread may call it. Returns (images, positions, errors): the images of the
               index are images[positions]; errors is {place in the index: exception}
    release()  says that the images are no longer needed
    cancel()   says that they never will be
"""

import numpy as np

from fastaug.keras_backend import floatx
from fastaug.workers import SlotReader, decode_into


class ArraySource:
    """Images in an array, left as it is: no copy, no conversion, a memmap stays on the disk.

    Args:
        images: Array of rank 4. uint8 and float32 images are read where they lie; other types, and
            images that are not contiguous, are converted a slice of a batch at a time.
    """

    in_floatx = False
    slice_length = None

    def __init__(self, images):
        self.images = images
        self.shape, self.dtype = images.shape[1:], images.dtype
        contiguous = np.empty((1, *self.shape), dtype=images.dtype).strides[1:]
        direct = (
            images.dtype in (np.uint8, np.float32)  # in native byte order
            and images.flags.aligned
            and all(
                size <= 1 or stride == expected
                for size, stride, expected in zip(
                    self.shape, images.strides[1:], contiguous, strict=True
                )
            )
        )
        self.array = np.asarray(images) if direct else None

    def __len__(self):
        return len(self.images)

    def image(self, position, dtype):
        """Returns one image as a new array of a type."""
        return self.images[position].astype(dtype)

    def close(self):
        """There is nothing to give back."""

    def open(self, index):
        """Begins to read the images of an index, an int64 array."""
        return _ArrayReading(self, index)


class _ArrayReading:
    __slots__ = ("_index", "_source")

    def __init__(self, source, index):
        self._source = source
        self._index = index

    def read(self):
        if self._source.array is not None:
            return self._source.array, self._index, {}
        images = self._source.images[self._index]
        dtype = np.uint8 if images.dtype == np.uint8 else np.float32
        positions = np.arange(len(images), dtype=np.int64)
        return np.ascontiguousarray(images, dtype=dtype), positions, {}

    def release(self):
        pass

    cancel = release


# Bytes that the slots of an iterator take, at most, as long as each holds an image.
_RING_BYTES = 256 << 20


class FileSource:
    """Image files, decoded when they are asked for.

    Args:
        filepaths: The files.
        target: What to decode them into.
        data_format: Layout of the images.
        pool: Decode processes, a `ProcessPool` or `UserPool`. None: the thread that reads decodes.
        workers: Number of threads that read.
        batch_size: Images that are asked for at a time.
        timeout: Seconds without any progress after which a decode process is given up.
    """

    array = None
    in_floatx = True

    def __init__(self, filepaths, target, data_format, pool, workers, batch_size, timeout):
        self.filepaths = filepaths
        self.target = target
        self.dtype = target.dtype
        height, width, channels = target.shape
        last = data_format == "channels_last"
        self.shape = (height, width, channels) if last else (channels, height, width)
        self._pool = pool
        self._timeout = timeout
        self._reader = None
        image_bytes = height * width * channels * target.dtype.itemsize
        share = -(-batch_size // max(1, 2 * workers))
        self._slots = 2 * workers + 4
        self.slice_length = max(1, min(16, share, _RING_BYTES // self._slots // image_bytes))

    def __len__(self):
        return len(self.filepaths)

    def image(self, position, dtype):
        """Returns one image, decoded by the calling thread, in Keras's floatx: as Keras reads it.

        Raises:
            Exception: Whatever is wrong with the file.
        """
        image = np.empty(self.shape, self.target.dtype)
        error = decode_into(self.filepaths[position], self.target, image)
        if error is not None:
            raise error
        return image.astype(floatx())

    def open(self, index):
        """Begins to read the files of an index, at most `slice_length`."""
        paths = [self.filepaths[position] for position in index]
        if self._pool is None:
            return _DirectReading(paths, self.target, self.shape)
        if self._reader is None or not self._reader.is_usable():
            self._reader = SlotReader(
                self.target, self.shape, self._pool, self._slots, self.slice_length, self._timeout
            )
        return self._reader.open(paths)

    def close(self):
        """Gives the slots back. The next `open` makes new ones."""
        self._reader = None


class _DirectReading:
    """Files that the reading thread decodes itself."""

    __slots__ = ("_paths", "_shape", "_target")

    def __init__(self, paths, target, shape):
        self._paths = paths
        self._target = target
        self._shape = shape

    def read(self):
        images = np.empty((len(self._paths), *self._shape), self._target.dtype)
        errors = {}
        for place, path in enumerate(self._paths):
            error = decode_into(path, self._target, images[place])
            if error is not None:
                errors[place] = error
        return images, np.arange(len(images), dtype=np.int64), errors

    def release(self):
        pass

    cancel = release
