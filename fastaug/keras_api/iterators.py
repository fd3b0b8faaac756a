"""The iterators that Keras trainers and `for` loops see: arguments and delegation only."""

import copy
import operator
import os
import pathlib
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, Self

import numpy as np

from fastaug.data.carried import Carried
from fastaug.data.images import array_to_img
from fastaug.data.lazy import LazyArray, lazily
from fastaug.data.sources import source_of
from fastaug.defaults import dataset_class, floatx, image_data_format
from fastaug.keras_api.advice import about_images, about_split
from fastaug.keras_api.batches import BatchMaker
from fastaug.keras_api.order import NEXT, Order
from fastaug.keras_api.settings import check_dtype
from fastaug.keras_api.streams import (
    LateStream,
    can_stand,
    global_stream,
    lent_to_user_code,
    renew_lock,
)
from fastaug.log import tell
from fastaug.run.locks import renew_in_child
from fastaug.typing import (
    Array,
    Batch,
    DataFormat,
    DTypeLike,
    Integer,
    Path,
    SeveralInputs,
    Subset,
    SupportsArray,
    Values,
)
from fastaug.warn import UsageWarning, warn

if TYPE_CHECKING:
    from keras.utils import PyDataset

    from fastaug.keras_api.generator import ImageDataGenerator
else:
    PyDataset = dataset_class()


def check_batch_size(batch_size):
    """Checks a number of samples.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is less than 1.
    """
    try:
        too_small = operator.index(batch_size) < 1
    except TypeError:
        raise TypeError(f"`batch_size` should be an integer. Received: {batch_size=}") from None
    if too_small:
        raise ValueError(f"`batch_size` should be at least 1. Received: {batch_size=}")


def _check_seed(seed):
    """Raises what the first batch would raise of a seed; a note has the seed."""
    if seed is None or (isinstance(seed, int) and 0 <= seed < 1 << 32):
        return
    try:
        np.random.RandomState(seed + 0)  # as the number of batches is added
    except (TypeError, ValueError) as error:
        error.add_note(f"Received: {seed=}")
        raise


def _order_attribute(name, doc, check=None) -> Any:
    def get(self):
        return getattr(self._order, name)

    def set_(self, value):
        if check is not None:
            check(value)
        if "_order" not in vars(self):  # a subclass sets it before it calls Iterator's __init__
            self._renew_in_child()
            self._order = Order(n=0, batch_size=1, shuffle=False, seed=None)
        with self._order_lock:  # not `lock`, which who sets it may hold
            self._order = self._order.changed(**{name: value})

    return property(get, set_, doc=doc)


class Iterator(PyDataset, Generic[Batch]):
    """Base class of iterators over batches of images, as in Keras.

    A subclass implements `_get_batches_of_transformed_samples(index_array)`. It draws from the
    global `np.random`, which a seed puts in its place for the time of each batch. A context
    manager, which closes the iterator when left.

    Args:
        n: Number of samples, from 0.
        batch_size: Samples in a batch, from 1.
        shuffle: Whether to take each epoch in a new random order.
        seed: Seed of the order and the draws, or None to go on in the global stream.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of `keras.utils.PyDataset`.

    Raises:
        ValueError: If `batch_size` is less than 1, or `seed` none that NumPy takes.
        TypeError: If one of them is of a wrong type.

    Example:
        >>> class Squares(fastaug.Iterator):
        ...     def _get_batches_of_transformed_samples(self, index_array):
        ...         return index_array**2
        >>> next(Squares(n=5, batch_size=3, shuffle=False, seed=None))
        array([0, 1, 4])
    """

    white_list_formats = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

    n: int = _order_attribute("n", "Number of samples.")
    batch_size: int = _order_attribute("batch_size", "Samples in a batch.", check_batch_size)
    seed: Integer | None = _order_attribute("seed", "Seed, or None.")
    shuffle: bool = _order_attribute("shuffle", "Whether each epoch is shuffled.")
    batch_index: int = _order_attribute("batch_index", "Batches of this epoch that `next` gave.")
    total_batches_seen: int = _order_attribute("total_batches_seen", "Batches given in all.")
    index_array: Array | None = _order_attribute(
        "index_array", "This epoch's order; None before the first."
    )
    _index_generator = None

    def __init__(
        self,
        n: int,
        batch_size: Integer,
        shuffle: bool,
        seed: Integer | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._renew_in_child()
        renew_in_child(self)
        check_batch_size(batch_size)
        _check_seed(seed)
        size: Any = batch_size  # an integer of any kind, as the seed
        number: Any = seed
        self._order = Order(n=n, batch_size=size, shuffle=shuffle, seed=number)
        self._own_stream = None

    def _renew_in_child(self):
        self._order_lock = threading.Lock()
        self.lock = threading.Lock()
        if isinstance(getattr(self, "_own_stream", None), np.random.RandomState):
            renew_lock(self._own_stream)

    def __getstate__(self):
        """A copy stands where this iterator stands, and goes on by itself."""
        state = vars(self) | {"lock": None, "_order_lock": None}
        order, stream = self._order, self._own_stream
        state["_order"] = order.changed(index_array=copy.copy(order.index_array))
        made = stream.made() if isinstance(stream, LateStream) else stream
        state["_own_stream"] = copy.deepcopy(made)
        return state

    def __setstate__(self, state):
        vars(self).update(state)
        self._renew_in_child()
        renew_in_child(self)

    @property
    def index_generator(self) -> Generator[Array, None, None]:
        """An endless generator of the samples of each next batch; may be replaced."""
        return self._index_generator or self._flow_index()

    @index_generator.setter
    def index_generator(self, generator):
        self._index_generator = generator

    def _flow_index(self):
        """Begins an epoch, and yields the samples of each next batch."""
        with self._order_lock:
            self._order = self._order.changed(started=False)
        while True:
            yield self._step(NEXT)

    def __len__(self) -> int:
        return len(self._order)

    def __repr__(self) -> str:
        """Returns what it iterates over, in words."""
        if "_order" not in vars(self):  # in the middle of its own __init__
            return super().__repr__()
        order = self._order
        parts = [
            *self._described(),
            f"batch_size={order.batch_size}",
            f"shuffle={order.shuffle}",
            f"seed={order.seed}",
        ]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _described(self):
        """Yields what there is to say of the samples."""
        yield f"{self._order.n} samples"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._index_generator is not None:
            return self._drawn_batch(lambda: next(self._index_generator))
        return self._drawn_batch(lambda: self._step(NEXT))

    def __getitem__(self, idx: int) -> Batch:
        idx = self._from_the_start(idx)
        return self._drawn_batch(lambda: self._step(idx))

    def _from_the_start(self, idx):
        """Returns a position in the epoch, of which a negative one counts from the end.

        Raises:
            ValueError: If it lies before the first batch.
        """
        if idx >= 0:
            return idx
        length = len(self)
        if idx < -length:
            raise ValueError(
                f"Asked to retrieve element {idx}, but the Sequence has length {length}"
            )
        return idx + length

    def close(self) -> None:
        """Ends what runs for this iterator; here nothing does."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def _stream(self):
        """The stream that the next draws come from; before the first batch, the global one."""
        public = global_stream()
        if self.seed is None or self._own_stream is None or not can_stand(public):
            return public
        own = self._own_stream
        return own.made() if isinstance(own, LateStream) else own

    def _drawn_batch(self, step):
        """Makes a batch in a subclass's own way, which draws from the global `np.random`."""
        if self.seed is not None and self._own_stream is None:
            self._own_stream = np.random.RandomState(0)
        with lent_to_user_code(self._stream):
            with self.lock:
                index_array = step()
            return self._get_batches_of_transformed_samples(index_array)

    def _step(self, item):
        index_array, order = self._order.draw(item, global_stream(), self._begun_epoch)
        with self._order_lock:
            self._order = order
        return index_array

    def _begun_epoch(self, order, stream):
        with self._order_lock:
            self._order = order
        self._set_index_array()
        return self._order

    def on_epoch_end(self) -> None:
        """Takes the next epoch in a new order, if shuffled."""
        with lent_to_user_code(self._stream), self.lock:
            self._set_index_array()

    def _set_index_array(self):
        """Begins an epoch, from the global stream; a subclass may have its own order."""
        self.index_array = self._order.reshuffled(global_stream()).index_array

    def reset(self) -> None:
        """Makes the next batch the first of a new epoch."""
        self.batch_index = 0

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Batch:
        raise NotImplementedError

    def _plain_batches(self):
        """Returns the shape of an image, and batches of all images once, not augmented.

        Raises:
            TypeError: If only the subclass knows its images.
        """
        raise TypeError(f"The images of a {type(self).__name__} are known to nobody else")


class AugmentingIterator(Iterator[Batch]):
    """What the iterators over arrays and over files share: batches made ahead, on all cores.

    Endless in a `for` loop and with `next`; `it[i]` is batch `i` of an epoch, `it[-1]` the last.
    A subclass sets `image_data_generator`, `data_format`, `dtype`, `save_to_dir`, `save_prefix` and
    `save_format` first, and implements `_with_labels`.

    Args:
        source: Where the images come from.
        batch_size: Samples in a batch.
        shuffle: Whether to take each epoch in a new random order.
        seed: Seed, or None.
        hash_limit: Bound of the numbers in the names of saved files.

    Raises:
        TypeError: If the batches are of integers, and a setting of the generator needs floats.
    """

    image_data_generator: "ImageDataGenerator"
    data_format: DataFormat
    dtype: DTypeLike
    save_to_dir: Path | None
    save_prefix: str
    save_format: str
    _maker: Any = None
    _replaces = False  # whether other images take the place of those that cannot be read

    def __init__(self, source, batch_size, shuffle, seed, hash_limit):
        super().__init__(len(source), batch_size, shuffle, seed)
        if self.save_to_dir and not isinstance(self.save_to_dir, str | os.PathLike):
            raise TypeError(
                f"`save_to_dir` should be a path. Received: save_to_dir={self.save_to_dir!r}"
            )
        generator = self.image_data_generator
        if hasattr(generator, "_overrides_methods"):  # one of ours
            check_dtype(generator, self.dtype, source.in_floatx)
        self._hash_limit = hash_limit
        self._maker = self._new_maker(source)
        # A subclass with its own idea of a batch gets Keras's way of asking for one.
        self._asks_itself = any(
            getattr(type(self), name) is not getattr(AugmentingIterator, name)
            for name in ("_get_batches_of_transformed_samples", "_set_index_array")
        )

    def _described(self):
        generator = self.image_data_generator
        shape = "x".join(map(str, self._maker.source.shape)) if self._maker else "unknown shape"
        yield f"{self._order.n} images of {shape}"
        yield from self._described_labels()
        yield f"dtype={np.dtype(self.dtype).name}"
        yield f"workers={getattr(generator, '_threads', 0)}"

    def _described_labels(self):
        """Yields what there is to say of the labels."""
        return ()

    def _new_maker(self, source):
        generator = self.image_data_generator
        return BatchMaker(
            source,
            generator,
            self.data_format,
            self.dtype,
            workers=getattr(generator, "_threads", 0),
            prefetch=getattr(generator, "prefetch", 0),
        )

    def __getstate__(self):
        return super().__getstate__() | {"_maker": None}

    @property
    def num_batches(self) -> int:
        """Number of batches in an epoch. Trainers read it before they shuffle the batches."""
        if self._maker is not None:
            self._maker.epoch_order.num_batches_read()
        return super().num_batches

    def close(self) -> None:
        """Ends the threads and drops what was prepared ahead.

        The iterator stays where it is; the next batch starts threads again.
        """
        with self.lock, self._maker.lock:
            self._maker.stop()

    def __next__(self) -> Batch:
        if self._asks_itself or self._index_generator is not None:
            return super().__next__()
        return self._take(NEXT)

    def __getitem__(self, idx: int) -> Batch:
        if self._asks_itself:
            return super().__getitem__(idx)
        return self._take(self._from_the_start(idx))

    def _take(self, item, fills=True):
        try:
            with self.lock:
                with self._maker.lock:
                    self._follow()
                    batch = self._maker.take(self._order, item)
                # in one store each, so that an interrupt leaves no half-made state
                self._own_stream = batch.stream
                with self._order_lock:
                    self._order = batch.order
            tell()
            finished = self._maker.finish(batch, self._bad_image, self._replaces, fills)
            return self._finished(*finished)
        # also an interrupt: nothing runs on behind an exception, but for a job of small batches
        except BaseException:
            self.close()
            raise

    def _follow(self):
        """Takes on what a user may have changed in the iterator; under the maker's lock."""
        self._maker.follow(
            self.image_data_generator, self.dtype, self._hash_limit if self.save_to_dir else None
        )

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Batch:
        with self._maker.lock:  # not `lock`, which who calls this may hold
            self._follow()
            batch = self._maker.make(index_array)
        return self._finished(*self._maker.finish(batch, self._bad_image, self._replaces))

    def _plain_batches(self):
        return self._maker.source.shape, self._read_plain()

    def _plain_copy(self):
        """Returns a copy for reading each image once."""
        return copy.copy(self)

    def _read_plain(self):
        from fastaug.keras_api.generator import ImageDataGenerator

        plain, generator = self._plain_copy(), self.image_data_generator
        options = {name: getattr(generator, name, None) for name in ("workers", "pool")}
        # what float32 holds as it is
        plain.dtype = np.result_type(self._maker.source.dtype, np.float32)
        plain.image_data_generator = ImageDataGenerator(
            data_format=self.data_format, dtype=plain.dtype, **options
        )
        plain._order = Order(len(self._maker.source), self.batch_size, shuffle=False, seed=0)
        plain.save_to_dir, plain._own_stream = None, None
        plain._maker = plain._new_maker(plain._maker.source)
        plain._with_labels = lambda images, index: images
        try:
            for item in range(len(plain)):
                yield AugmentingIterator._take(plain, item, fills=False)
        finally:
            plain.close()

    def _finished(self, images, index, hashes):
        if self.save_to_dir:
            folder = pathlib.Path(self.save_to_dir)
            for image, position, number in zip(images, index, hashes, strict=True):
                name = f"{self.save_prefix}_{position}_{number}.{self.save_format}"
                array_to_img(image, self.data_format, scale=True).save(folder / name)
        return self._with_labels(images, index)

    def _with_labels(self, images, index):
        raise NotImplementedError

    def _bad_image(self, position, error):
        raise error


class NumpyArrayIterator(AugmentingIterator[Batch]):
    """Iterates over images in an array, augmented on all cores.

    Args:
        x: Images, of rank 4 in `data_format`, any real type; kept as it is. An array that is not in
            memory, such as one of h5py, zarr or dask, is read a batch at a time. Or `(x, extra)`,
            where extra is an array or a list of arrays of the same length, handed out with the
            images in a tuple.
        y: Labels, or None.
        image_data_generator: An `ImageDataGenerator`.
        batch_size: Samples in a batch.
        shuffle: Whether to take each epoch in a new random order.
        sample_weight: Weights, or None.
        seed: Seed of the order and the parameters. None: both come from the global `np.random`.
        data_format: 'channels_last' or 'channels_first'. None: Keras's default.
        save_to_dir: Folder to write each augmented image to, or None.
        save_prefix: Prefix of the names of these files.
        save_format: Format of these files.
        subset: 'training' or 'validation', if the generator has a `validation_split`.
        ignore_class_split: Whether the two subsets may have different labels.
        dtype: Type of the batches. None: Keras's floatx.

    Raises:
        ValueError: If lengths or rank do not fit, there are no images, or the subset is unknown.

    Example:
        >>> generator = fastaug.ImageDataGenerator(horizontal_flip=True)
        >>> with fastaug.NumpyArrayIterator(x, y, generator, batch_size=4) as iterator:
        ...     images, labels = next(iterator)
        >>> images.shape, labels
        ((4, 32, 32, 3), array([0, 1, 2, 3]))
    """

    def __init__(
        self,
        x: SupportsArray | SeveralInputs,
        y: Values | None,
        image_data_generator: "ImageDataGenerator",
        batch_size: Integer = 32,
        shuffle: bool = False,
        sample_weight: Values | None = None,
        seed: Integer | None = None,
        data_format: DataFormat | None = None,
        save_to_dir: Path | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: Subset | None = None,
        ignore_class_split: bool = False,
        dtype: DTypeLike | None = None,
    ) -> None:
        layout = image_data_format() if data_format is None else data_format
        self.dtype = floatx() if dtype is None else dtype
        images: Any = x
        x_misc: list[Any] = []
        if isinstance(x, tuple | list):
            extra = x[1] if isinstance(x[1], list) else [x[1]]
            images, x_misc = x[0], [_kept_or_array(xx) for xx in extra]
            for xx in x_misc:
                if len(images) != len(xx):
                    raise ValueError(
                        "All of the arrays in `x` should have the same length. Found a pair with: "
                        f"len(x[0]) = {len(images)}, len(x[?]) = {len(xx)}"
                    )
        images = lazily(images)
        labels: Any = y
        weights: Any = sample_weight
        for name, argument, values in (("y", "labels", labels), ("sample_weight", "", weights)):
            if values is not None and len(images) != len(values):
                title = f"`{name}` ({argument})" if argument else f"`{name}`"
                raise ValueError(
                    f"`x` (images tensor) and {title} should have the same length. "
                    f"Found: x.shape = {np.shape(images)}, {name}.shape = {np.shape(values)}"
                )
        if subset is not None:
            if subset not in ("training", "validation"):
                raise ValueError(
                    f'Invalid subset name: {subset}; expected "training" or "validation".'
                )
            split = int(len(images) * image_data_generator._validation_split)
            if (
                labels is not None
                and not ignore_class_split
                and not np.array_equal(np.unique(labels[:split]), np.unique(labels[split:]))
            ):
                raise ValueError(
                    "Training and validation subsets have different number of classes after the "
                    "split. If your numpy arrays are sorted by the label, you might want to "
                    "shuffle them."
                )
            part = slice(split) if subset == "validation" else slice(split, None)
            images, x_misc = _part(images, part), [_part(xx, part) for xx in x_misc]
            labels = None if labels is None else labels[part]

        images = _as_images(images, self.dtype)
        self.x_misc = x_misc
        if images.ndim != 4:
            raise ValueError(
                "Input data in `NumpyArrayIterator` should have rank 4. You passed an array with "
                f"shape {images.shape}"
            )
        advice = list(about_split(image_data_generator, subset, len(images)))
        if images.size == 0:
            text = (
                "Input data in `NumpyArrayIterator` should have at least one image and one pixel. "
                f"You passed an array with shape {images.shape}"
            )
            raise ValueError(". ".join([text, *advice]))
        channels_axis = 3 if layout == "channels_last" else 1
        channels = images.shape[channels_axis]
        if channels not in (1, 3, 4):
            warn(
                "NumpyArrayIterator is set to use the data format convention "
                f'"{layout}" (channels on axis {channels_axis}), i.e. expected either 1, 3, '
                f"or 4 channels on axis {channels_axis}. However, it was passed an array with "
                f"shape {images.shape} ({channels} channels).",
            )
        self.y: Array | None = None if labels is None else np.asarray(labels)
        self.sample_weight: Array | None = None if weights is None else np.asarray(weights)
        self.image_data_generator = image_data_generator
        self.data_format = layout
        self.save_to_dir = save_to_dir
        self.save_prefix = save_prefix
        self.save_format = save_format
        super().__init__(source_of(images), batch_size, shuffle, seed, hash_limit=1e4)
        for text in [*advice, *about_images(image_data_generator, images, self.dtype)]:
            warn(text, UsageWarning)

    def __getstate__(self):
        return super().__getstate__() | {
            "_early_x": Carried(self.x),
            "x_misc": [Carried(xx) for xx in self.x_misc],
            "y": Carried(self.y),
            "sample_weight": Carried(self.sample_weight),
        }

    def __setstate__(self, state):
        arrays = {name: state[name].array for name in ("_early_x", "y", "sample_weight")}
        arrays["x_misc"] = [carried.array for carried in state["x_misc"]]
        super().__setstate__(state | arrays)
        self._maker = self._new_maker(source_of(vars(self).pop("_early_x")))

    @property
    def x(self) -> Any:
        """The images; replacing them takes effect with the next batch."""
        return self._early_x if self._maker is None else self._maker.source.images

    @x.setter
    def x(self, images: SupportsArray) -> None:
        if self._maker is None:
            self._early_x = images
            return
        with self.lock, self._maker.lock:
            self._maker.source = source_of(images)

    def _described_labels(self):
        for name in ("y", "sample_weight"):
            values = getattr(self, name, None)
            if values is not None:
                yield f"{name} of shape {np.shape(values)}"

    def _with_labels(self, images, index):
        if self.x_misc:
            images = (images, *[xx[index] for xx in self.x_misc])
        if self.y is None:
            return images
        if self.sample_weight is None:
            return images, self.y[index]
        return images, self.y[index], self.sample_weight[index]


def _kept_or_array(values):
    """Returns an extra input: what is not in memory stays where it is."""
    values = lazily(values)
    return values if isinstance(values, LazyArray) else np.asarray(values)


def _part(values, rows):
    return values.part(rows) if isinstance(values, LazyArray) else values[rows]


def _as_images(x, dtype):
    """Returns an array as it is; what is no array of real numbers is converted as Keras does."""
    if isinstance(x, LazyArray) and x.dtype.kind in "biuf":
        return x
    if type(x) not in (np.ndarray, np.memmap):  # a masked array, for one, loses its mask
        x = np.asarray(x)
    if x.dtype.kind in "biuf":
        return x
    try:
        return np.asarray(x, dtype=dtype)
    except (TypeError, ValueError) as error:
        error.add_note(f"The images are of dtype {x.dtype} and shape {x.shape}: {x!r:.200}")
        raise
