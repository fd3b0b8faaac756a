"""Where images come from: arrays and files, as an index. No pixels of its own.

A source has `shape` and `dtype` of one image, `len`, `array`, an array of all images that the core
can read where it lies, or None, `in_floatx`, whether Keras works on the images in its floatx,
whatever the type of the batches, `cut(index, count)`, which returns the places of an index that
are best read together, about so many lists of them, or None, if that makes no difference,
`open(index, draws)`, which begins to read some images, `image(position, dtype, draws)`, which
reads one, and `images_of(index, dtype, draws)`, a function that returns the image of a place in the
index; `draws` is seed and epoch of what is drawn when an image is read. What `open` returns has

    read()     waits; any thread may call it. Returns (images, positions, errors): the images of the
               index are images[positions]; errors is {place in the index: exception}
    release()  says that the images are no longer needed
    cancel()   says that they never will be
"""

import threading

import numpy as np

from fastaug import _core
from fastaug.data.file_reader import FileReader, Paths, current_folder
from fastaug.data.lazy import LazyArray, lazily
from fastaug.data.readers import PillowSettings, decode_into
from fastaug.defaults import floatx
from fastaug.run.locks import renew_in_child
from fastaug.run.threads import finish, shared_pool

NO_DRAWS = (0, 0)

# In native byte order.
_READ_WHERE_THEY_LIE = (np.uint8, np.float32, np.bool_, *_core.CONVERTED)


def for_the_core(images):
    """Returns images in a type and a layout that the core reads."""
    return np.ascontiguousarray(images, np.uint8 if images.dtype == np.uint8 else np.float32)


def source_of(images, converted=for_the_core):
    """Returns the source of images in an array of any kind.

    Args:
        images: The array.
        converted: Function that returns images in a form to be read, where they are copied.
    """
    images = lazily(images)
    kind = LazySource if isinstance(images, LazyArray) else ArraySource
    return kind(images, converted)


class ArraySource:
    """Images in an array, left as it is: no copy, no conversion, a memmap stays on the disk.

    Args:
        images: Array of rank 4. Images are read where they lie, unless they are not contiguous or
            not in native byte order: then they are copied, a slice of a batch at a time.
        converted: As for `source_of`.
    """

    in_floatx = False
    has_readers = False
    crop = None

    def __init__(self, images, converted=for_the_core):
        self.images = images
        self.converted = converted
        self.shape, self.dtype = images.shape[1:], images.dtype
        contiguous = np.empty((1, *self.shape), dtype=images.dtype).strides[1:]
        direct = (
            images.dtype in _READ_WHERE_THEY_LIE
            and images.flags.aligned
            and all(
                size <= 1 or stride == expected
                for size, stride, expected in zip(
                    self.shape, images.strides[1:], contiguous, strict=True
                )
            )
        )
        self.array = np.asarray(images) if direct else None
        if direct and images.dtype == np.bool_:
            self.array = self.array.view(np.uint8)

    def __len__(self):
        return len(self.images)

    def read_with(self):
        """What the images depend on beside the array: nothing."""

    def image(self, position, dtype, draws=NO_DRAWS):
        """Returns one image as a new array of a type."""
        image = np.empty(self.shape, dtype)
        _core.convert(self.images[position], image)
        return image

    def images_of(self, index, dtype, draws=NO_DRAWS):
        """Returns a function of a place in an index, which returns its image."""
        return lambda place: self.image(index[place], dtype)

    def close(self):
        """There is nothing to give back."""

    def cut(self, index, count):
        """Any images can be read together."""

    def open(self, index, draws=NO_DRAWS):
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
        return self._source.converted(images), np.arange(len(images), dtype=np.int64), {}

    def release(self):
        pass

    cancel = release


class LazySource(ArraySource):
    """Images in an array that is not in memory: those of a batch are read by the threads.

    Args:
        images: `LazyArray` of images.
        converted: As for `source_of`.
    """

    array = None

    def __init__(self, images, converted=for_the_core):
        self.rows = images
        self.converted = converted
        self.images = images.given
        self.shape, self.dtype = images.shape[1:], images.dtype

    def __len__(self):
        return len(self.rows)

    def image(self, position, dtype, draws=NO_DRAWS):
        """Returns one image as a new array of a type."""
        return self.rows[position].astype(dtype)

    def images_of(self, index, dtype, draws=NO_DRAWS):
        """Reads the images of an index, and returns a function of a place, which returns one."""
        images, positions = self.rows.read(index)
        return lambda place: images[positions[place]].astype(dtype)

    def cut(self, index, count):
        """Returns lists of places, which have no chunk of the array in common."""
        chunks = self.rows.chunks_of(index)
        order = np.argsort(chunks, kind="stable")
        starts = np.flatnonzero(np.diff(chunks[order], prepend=-1))
        wanted = np.arange(1, count) * len(index) // count
        cuts = np.unique(starts[np.minimum(np.searchsorted(starts, wanted), len(starts) - 1)])
        return [np.sort(places) for places in np.split(order, cuts[cuts > 0])]

    def open(self, index, draws=NO_DRAWS):
        """Begins to read the images of an index, an int64 array."""
        return _LazyReading(self, index)


class _LazyReading(_ArrayReading):
    __slots__ = ()

    def read(self):
        images, positions = self._source.rows.read(self._index)
        return self._source.converted(images), positions, {}


# Bytes that the slots of an iterator take, at most, as long as there are two.
_RING_BYTES = 256 << 20

_MOST_SLOTS = 1024

# Bytes that they take, at least, unless the files are few: small images come many at a time.
_SMALL_RING_BYTES = 4 << 20


class FileSource:
    """Image files, decoded when they are asked for.

    Args:
        filepaths: The files.
        target: What to decode them into.
        data_format: Layout of the images.
        pool: What `decode_pool` returns. None: the thread that reads decodes.
        workers: Number of threads that read.
        batch_size: Images that are asked for at a time.
        timeout: Seconds after which a process that is still at the same file is given up.
        crop: What draws the part of each picture that is decoded, a `Crop`, or None.
    """

    array = None
    in_floatx = True

    def __init__(
        self, filepaths, target, data_format, pool, workers, batch_size, timeout, crop=None
    ):
        self.filepaths = filepaths
        self.target = target
        self.crop = crop
        self.dtype = target.dtype
        height, width, channels = target.shape
        self._is_last = data_format == "channels_last"
        self.shape = (height, width, channels) if self._is_last else (channels, height, width)
        self._pool = pool
        self._workers = workers
        self._reading = None  # the program of `read` and its threads, kept
        self._renew_in_child()
        renew_in_child(self)
        self._timeout = timeout
        self._reader = None
        self._paths = None  # kept: those of a million files take seconds to make
        image_bytes = height * width * channels * target.dtype.itemsize
        slots = max(2 * batch_size, 4 * workers, _SMALL_RING_BYTES // image_bytes)
        slots = min(slots, 2 * len(filepaths), _RING_BYTES // image_bytes, _MOST_SLOTS)
        self._slots = max(slots, 2)

    def __len__(self):
        return len(self.filepaths)

    def read_with(self):
        """What the images depend on beside the files: what a user may set in Pillow at any time."""
        return PillowSettings.current()

    def image(self, position, dtype, draws=NO_DRAWS):
        """Returns one image, decoded by the calling thread, in Keras's floatx: as Keras reads it.

        Raises:
            Exception: Whatever is wrong with the file.
        """
        image = np.empty(self.shape, self.target.dtype)
        self.decode_into(position, image, draws)
        return image.astype(floatx())

    def decode_into(self, position, image, draws):
        """Decodes a file into an array in the calling thread."""
        box_of = self.crop and self.crop.bind(*draws, int(position))
        decode_into(self.filepaths[position], self.target, image, box_of)

    def images_of(self, index, dtype, draws=NO_DRAWS):
        """Returns a function of a place in an index, which returns its image.

        Readers read all of them: the calling thread survives a file that crashes a decoder, or
        never comes.
        """
        if not self.has_readers:
            return lambda place: self.image(index[place], dtype, draws)
        images, errors = self.read(index, draws)

        def image_of(place):
            if place in errors:
                raise errors[place]
            return images[place].astype(floatx())

        return image_of

    def read(self, index, draws):
        """Has the readers read the files of an index, or reads them here, if there are none.

        Returns:
            `(images, errors)`: the images, in the type of the source, and `{place: exception}` of
            those that could not be read, which are zero.
        """
        if not self.has_readers:
            return self._read_here(index, draws)
        reading = self._reading
        if reading is None:
            program = _core.Program(
                *self.target.shape,
                channels_first=not self._is_last,
                is_bytes=self.target.dtype == np.uint8,
            )
            reading = self._reading = program, shared_pool(self._workers)
        program, threads = reading
        images = np.empty((len(index), *self.shape), self.target.dtype)
        table = np.repeat(_core.IDENTITY, len(index), axis=0)
        job = self.job(program, index, table, images, False, draws=draws)
        finish(job, threads)
        return images, job.errors

    def _read_here(self, index, draws):
        images = np.zeros((len(index), *self.shape), self.dtype)
        errors = {}
        for place, position in enumerate(index):
            try:
                self.decode_into(position, images[place], draws)
            except Exception as error:
                images[place] = 0
                errors[place] = error
        return images, errors

    @property
    def has_readers(self):
        """Whether others read the files: processes, or threads that can be left behind."""
        return self._pool is not None

    def job(self, program, index, *arguments, **options):
        """Returns the work of a batch; see `FileReader.job`."""
        with self._lock:
            reader = self._reader
            if (
                reader is None
                or not reader.is_usable()
                or not reader.has_paths_of(self.filepaths, index)
                or (reader.folder is not None and reader.folder != current_folder())
            ):
                if self._paths is None or self._paths.items != tuple(self.filepaths):
                    self._paths = Paths(self.filepaths)
                reader = self._reader = FileReader(
                    self._paths,
                    self.target,
                    self.shape,
                    self._pool(),
                    self._slots,
                    self._timeout,
                    self.crop,
                )
        return reader.job(program, index, *arguments, **options)

    def _renew_in_child(self):
        self._lock = threading.Lock()

    def cut(self, index, count):
        """Any files can be read together."""

    def open(self, index, draws=NO_DRAWS):
        """Begins to read the files of an index, for the thread that reads."""
        return _FilesReading(index, self, draws)

    def close(self):
        """Gives the slots and the threads back. What comes next makes new ones."""
        self._reader = self._reading = None


class _FilesReading:
    """Files that are read when they are asked for."""

    __slots__ = ("_draws", "_index", "_source")

    def __init__(self, index, source, draws):
        self._index = index
        self._source = source
        self._draws = draws

    def read(self):
        images, errors = self._source.read(self._index, self._draws)
        return images, np.arange(len(images), dtype=np.int64), errors

    def release(self):
        pass

    cancel = release
