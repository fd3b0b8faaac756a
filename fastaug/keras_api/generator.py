"""`ImageDataGenerator`: what a user sets, and work on single images."""

import concurrent.futures
import functools
import inspect
import multiprocessing.pool
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from fastaug.defaults import floatx, image_data_format
from fastaug.keras_api.checks import (
    check_number,
    check_settings,
    checked_count,
    checked_data_format,
    checked_mix,
    checked_ops,
    checked_pool_size,
)
from fastaug.keras_api.fitting import (
    augment_in_core,
    statistics_of_array,
    statistics_of_iterator,
)
from fastaug.keras_api.flows import Flows
from fastaug.keras_api.function_results import returned
from fastaug.keras_api.keyed import augment_keyed
from fastaug.keras_api.params import KeptSampler
from fastaug.keras_api.standardization import standardize
from fastaug.keras_api.streams import global_stream
from fastaug.keras_api.transforms import transform_image
from fastaug.keras_api.warp import border_name, check_engine, check_order
from fastaug.ops.base import Augment
from fastaug.ops.mix import Mix
from fastaug.run.threads import MOST_THREADS, shared_pool, usable_cores
from fastaug.typing import (
    Array,
    DataFormat,
    DimOrdering,
    DTypeLike,
    FillMode,
    Integer,
    Preprocessing,
    SupportsArray,
    Warp,
)
from fastaug.warn import warn

if TYPE_CHECKING:
    from fastaug.keras_api.iterator import Iterator

# Methods that work on one image; a subclass may have its own.
_ON_SINGLE_IMAGES = frozenset(
    ("get_random_transform", "apply_transform", "random_transform", "standardize")
)
_methods_of = operator.attrgetter(*_ON_SINGLE_IMAGES)


class ImageDataGenerator(Flows):
    """Makes batches of randomly augmented images: Keras's `ImageDataGenerator` on every core.

    The arguments up to `dtype` are Keras's, with the same meaning, order and defaults; the same
    seed gives the same images. The order of work is: affine transform, channel shift, flips,
    brightness, `preprocessing_function`, rescale, samplewise and featurewise standardization, ZCA.

    Args:
        featurewise_center: Whether to subtract the mean of the data set, per channel; see `fit`.
        samplewise_center: Whether to subtract each image's own mean.
        featurewise_std_normalization: Whether to divide by the standard deviation of the data set.
        samplewise_std_normalization: Whether to divide each image by its own standard deviation.
        zca_whitening: Whether to apply ZCA whitening; see `fit`.
        zca_epsilon: Epsilon of the whitening.
        rotation_range: Degrees, from -rotation_range to rotation_range.
        width_shift_range: A float below 1 is a fraction of the width, from 1.0 on pixels; an int
            `n` picks from 0..n-1 pixels, a list one of its values, both with a random sign.
        height_shift_range: The same for the height.
        brightness_range: Two factors to pick from between, or None.
        shear_range: Shear angle in degrees.
        zoom_range: `[low, high]`, or a float `z` for `[1 - z, 1 + z]`; below 1 magnifies.
        channel_shift_range: Intensity to add to all channels, at most, on the scale of the images.
        fill_mode: 'nearest', 'reflect', 'constant' or 'wrap', or another mode of `scipy.ndimage`.
        cval: Value outside the image, for the constant modes.
        horizontal_flip: Whether to flip half of the images left to right.
        vertical_flip: Whether to flip half of the images upside down.
        rescale: Factor for each value, or None.
        preprocessing_function: Takes a float image of rank 3 and returns one of the same shape, or
            None. Called in the thread that asks for a batch.
        data_format: 'channels_last' or 'channels_first'. None: Keras's default.
        validation_split: Fraction of the data, in (0, 1), for `subset="validation"`.
        interpolation_order: Order of the spline that interpolates, 0 to 5.
        dtype: Type of the batches. None: Keras's floatx. float32 is fast, and so is uint8 for uint8
            images, without `preprocessing_function`; others are made image by image, as Keras
            does. Batches of integers cannot be rescaled or standardized: `flow` raises a TypeError,
            or warns where Keras keeps the whole part.
        workers: Number of threads. None: one for each core that this process may use, no more than
            the CPU quota of its container. 0: all work in the calling thread. It changes the
            speed, never the images.
        prefetch: Number of batches to prepare ahead. Small ones are made several at a time, up to 8
            or 4 MB, and two such runs ahead. 0: none.
        pool: In place of `workers`: a `multiprocessing` Pool or ThreadPool, a
            `concurrent.futures` executor, or an int. For images in memory it only says how many
            threads to use.
        dim_ordering: 'tf' or 'th' in place of `data_format`, as in Keras 1; 'default' for None.
        warp: What interpolates: 'fused', fastaug's own; 'opencv', for order 1 and sides up to 256
            pixels, with OpenCV 5; 'auto' the fused one, by measurement.
        augment: An op, such as `fastaug.Posterize(4)`, its name, if it needs no arguments, or a
            function of an image and a `numpy.random.Generator`; or a list of such. They are done to
            each image after Keras's transforms and before `preprocessing_function`, on the scale of
            0 to 255: to the bytes of uint8 images and files, else to floats. A crop comes before
            Keras's transforms. What they draw belongs to seed, epoch and sample: it is the same for
            every batch size and number of workers, and takes nothing from Keras's streams.
        mix: What mixes the images of a finished batch, and their labels: `fastaug.MixUp(0.2)`,
            `fastaug.CutMix(1.0)`, one of their names, or `fastaug.OneOf` of them. Integer labels
            become one row of floats for each, sample weights those with which a loss is right. A
            flow that does not augment has labels of the same form.

    Raises:
        ValueError: If an argument is not one of the above, or `pool` is closed.
        RuntimeError: If `fill_mode` or `interpolation_order` is not one that SciPy has, or `pool`
            is an executor that was shut down.
        OverflowError: If a range is NaN or infinite.
        TypeError: If an argument is of a wrong type.
        ImportError: If `warp` is 'opencv', and there is no OpenCV that is new enough.

    Example:
        >>> generator = fastaug.ImageDataGenerator(rotation_range=20, horizontal_flip=True)
        >>> for images, labels in generator.flow(x, y, batch_size=32):
        ...     break
        >>> images.shape, labels.shape
        ((10, 32, 32, 3), (10,))
    """

    # A `KeptSampler`, and the `ThreadPool` of `apply`: no copy has them.
    __slots__ = ("_apply_pool", "_sampler")

    # An instance has these only where they are others: Keras has 28 attributes beside the last, and
    # from the thirtieth on, CPython 3.11 finds every one more slowly.
    workers: int | None = None
    prefetch: int = 2
    pool: multiprocessing.pool.Pool | concurrent.futures.Executor | int | None = None
    warp: Warp = "auto"
    augment: Augment | None = None
    mix: Mix | str | None = None
    _pool_size: int | None = None
    _validation_split: Any = 0.0

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: float | Sequence[float] = 0.0,
        height_shift_range: float | Sequence[float] = 0.0,
        brightness_range: tuple[float, float] | list[float] | None = None,
        shear_range: float = 0.0,
        zoom_range: float | Sequence[float] = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: FillMode = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Preprocessing | None = None,
        data_format: DataFormat | None = None,
        validation_split: float | None = 0.0,
        interpolation_order: int = 1,
        dtype: DTypeLike | None = None,
        *,
        workers: int | None = None,
        prefetch: int = 2,
        pool: multiprocessing.pool.Pool | concurrent.futures.Executor | int | None = None,
        dim_ordering: DimOrdering | None = None,
        warp: Warp = "auto",
        augment: Augment | None = None,
        mix: Mix | str | None = None,
    ) -> None:
        data_format = checked_data_format(data_format, dim_ordering)
        if data_format is None:
            data_format = image_data_format()
        if dtype is None:
            dtype = floatx()

        self.featurewise_center = featurewise_center
        self.samplewise_center = samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening = zca_whitening
        self.zca_epsilon = zca_epsilon
        self.rotation_range = rotation_range
        self.width_shift_range = width_shift_range
        self.height_shift_range = height_shift_range
        self.shear_range = shear_range
        self.zoom_range = zoom_range
        self.channel_shift_range = channel_shift_range
        self.fill_mode = fill_mode
        self.cval = cval
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rescale = rescale
        self.preprocessing_function = preprocessing_function
        self.dtype = dtype
        self.interpolation_order = interpolation_order

        if data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                '`data_format` should be `"channels_last"` (channel after row and column) or '
                '`"channels_first"` (channel before row and column). '
                f"Received: {data_format}"
            )
        self.data_format = data_format
        if data_format == "channels_first":
            self.channel_axis, self.row_axis, self.col_axis = 1, 2, 3
        else:
            self.row_axis, self.col_axis, self.channel_axis = 1, 2, 3
        check_number("validation_split", validation_split, none_allowed=True)
        if validation_split and not 0 < validation_split < 1:
            raise ValueError(
                "`validation_split` must be strictly between 0 and 1. "
                f" Received: {validation_split}"
            )

        self.mean: Array | None = None
        self.std: Array | None = None
        self.zca_whitening_matrix: Array | None = None

        if isinstance(zoom_range, float | int):
            zoom_range = [1 - zoom_range, 1 + zoom_range]
        try:
            bounds = len(zoom_range)
        except TypeError as error:
            error.add_note(f"Received: {zoom_range=}")
            raise
        if bounds == 2 and all(isinstance(val, float | int) for val in zoom_range):
            self.zoom_range = [zoom_range[0], zoom_range[1]]
        else:
            raise ValueError(
                "`zoom_range` should be a float or a tuple or list of two floats. "
                f"Received: {zoom_range}"
            )
        if zca_whitening:
            if not featurewise_center:
                self.featurewise_center = True
                warn(
                    "This ImageDataGenerator specifies `zca_whitening`, which overrides setting "
                    "of `featurewise_center`.",
                )
            if featurewise_std_normalization:
                self.featurewise_std_normalization = False
                warn(
                    "This ImageDataGenerator specifies `zca_whitening` which overrides setting "
                    "of`featurewise_std_normalization`.",
                )
        for std, center in (
            ("featurewise_std_normalization", "featurewise_center"),
            ("samplewise_std_normalization", "samplewise_center"),
        ):
            given = {
                "featurewise_std_normalization": featurewise_std_normalization,
                "featurewise_center": featurewise_center,
                "samplewise_std_normalization": samplewise_std_normalization,
                "samplewise_center": samplewise_center,
            }
            if given[std] and not given[center]:
                setattr(self, center, True)
                warn(
                    f"This ImageDataGenerator specifies `{std}`, which overrides setting of "
                    f"`{center}`.",
                )
        if brightness_range is not None and (
            not isinstance(brightness_range, tuple | list) or len(brightness_range) != 2
        ):
            raise ValueError(
                "`brightness_range should be tuple or list of two floats. "
                f"Received: {brightness_range}"
            )
        self.brightness_range = brightness_range

        check_settings(self)
        border_name(fill_mode)
        check_order(interpolation_order)
        check_engine(warp)
        own = {
            "warp": warp,
            "augment": checked_ops(augment, warp),
            "mix": checked_mix(mix),
            "workers": checked_count("workers", workers, none_allowed=True),
            "prefetch": checked_count("prefetch", prefetch),
            "pool": pool,
            "_pool_size": checked_pool_size(pool),
            "_validation_split": validation_split,
        }
        for name, value in own.items():
            before = getattr(self, name)
            if value is not before and (type(value), value) != (type(before), before):
                setattr(self, name, value)
        self._sampler = KeptSampler()

    def __repr__(self) -> str:
        """Returns the arguments that are not the default."""
        defaults = {"data_format": image_data_format(), "dtype": floatx(), "zoom_range": [1, 1]}
        parts = []
        for name, parameter in _PARAMETERS.items():
            attribute = "_validation_split" if name == "validation_split" else name
            default = defaults.get(name, parameter.default)
            value = getattr(self, attribute, default)
            if not _same(value, default):
                # a function by its name alone, an array in one line
                text = getattr(value, "__qualname__", None) or " ".join(repr(value).split())
                parts.append(f"{name}={text if len(text) <= 80 else text[:77] + '...'}")
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def _threads(self):
        """Number of threads of a flow; 0: everything in the calling thread."""
        workers = self.workers
        if workers is None:
            workers = usable_cores() if self._pool_size is None else self._pool_size
        return min(workers, MOST_THREADS)

    def standardize(self, x: Array) -> Array:
        """Applies `preprocessing_function` and the standardization, in place where it can.

        Args:
            x: Float image of rank 3, or a batch of them.

        Returns:
            The standardized images; `x` itself unless a function or ZCA made a new array.

        Raises:
            TypeError: If `preprocessing_function` returns None.

        Example:
            >>> generator = fastaug.ImageDataGenerator(rescale=1 / 255)
            >>> generator.standardize(np.full((1, 1, 3), 51.0))
            array([[[0.2, 0.2, 0.2]]])
        """
        if self.preprocessing_function:
            result = self.preprocessing_function(x)
            x = returned(self.preprocessing_function, result, x, self.channel_axis)
        if (
            self.rescale
            or self.samplewise_center
            or self.samplewise_std_normalization
            or self.featurewise_center
            or self.featurewise_std_normalization
            or self.zca_whitening
        ):
            return standardize(self, x)
        return x

    def get_random_transform(
        self, img_shape: Sequence[int], seed: Integer | None = None
    ) -> dict[str, Any]:
        """Draws the parameters of a transform from the global `np.random`.

        Args:
            img_shape: Shape of the image, of rank 3 in `data_format`.
            seed: Seed for `np.random.seed`, or None.

        Returns:
            A dict for `apply_transform`: theta, tx, ty, shear, zx, zy, flip_horizontal,
            flip_vertical, channel_shift_intensity, brightness. tx and ty are in pixels.

        Example:
            >>> generator = fastaug.ImageDataGenerator(rotation_range=20)
            >>> round(generator.get_random_transform((32, 32, 3), seed=1)["theta"], 3)
            -3.319
        """
        if seed is not None:
            np.random.seed(seed)
        return self._current_sampler().draw_one(
            global_stream(), img_shape, self.row_axis - 1, self.col_axis - 1
        )

    def _current_sampler(self):
        """Returns what draws the parameters that are set now."""
        try:
            kept = self._sampler
        except AttributeError:  # a copy
            kept = self._sampler = KeptSampler()
        return kept.of(self)

    def apply_transform(self, x: Array, transform_parameters: Mapping[str, Any]) -> Array:
        """Transforms an image by given parameters.

        Args:
            x: Image of rank 3 in `data_format`.
            transform_parameters: Dict as from `get_random_transform`; what is not in it is not
                done.

        Returns:
            An image of the same shape.

        Example:
            >>> image = x[0].astype("float32")
            >>> fastaug.ImageDataGenerator().apply_transform(image, {"theta": 40, "zx": 0.5}).shape
            (32, 32, 3)
        """
        return transform_image(self, x, transform_parameters, in_place=False)

    def _transform_own(self, x, transform_parameters):
        """Calls `apply_transform` for an image that nobody else has, which may be changed."""
        if getattr(self.apply_transform, "__func__", None) is not _APPLY_TRANSFORM:
            return self.apply_transform(x, transform_parameters)
        return transform_image(self, x, transform_parameters, in_place=True)

    def random_transform(self, x: Array, seed: Integer | None = None) -> Array:
        """Transforms an image by parameters drawn from the global `np.random`.

        Args:
            x: Image of rank 3 in `data_format`.
            seed: Seed for `np.random.seed`, or None.

        Returns:
            An image of the same shape.

        Example:
            >>> fastaug.ImageDataGenerator(zoom_range=0.2).random_transform(x[0], seed=1).shape
            (32, 32, 3)
        """
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    @overload
    def apply(
        self,
        images: SupportsArray | Sequence[SupportsArray],
        targets: None = None,
        *,
        keys: Sequence[Integer | str] | Array,
        seed: Integer = 0,
    ) -> Array: ...
    @overload
    def apply(
        self,
        images: SupportsArray | Sequence[SupportsArray],
        targets: Any,
        *,
        keys: Sequence[Integer | str] | Array,
        seed: Integer = 0,
    ) -> tuple[Array, Any]: ...
    def apply(
        self,
        images: SupportsArray | Sequence[SupportsArray],
        targets: Any = None,
        *,
        keys: Sequence[Integer | str] | Array,
        seed: Integer = 0,
    ) -> Array | tuple[Array, Any]:
        """Augments and standardizes images, each with random numbers of its own.

        They are drawn from a stream that is seeded with the image's key. So an image comes out the
        same whatever is asked for with it, in which order, in which process and on which machine.
        Nothing depends on `np.random` or moves it, and Keras is not imported. A
        `preprocessing_function` is called in the calling thread, image by image.

        Args:
            images: Array of rank 4 in `data_format`, or a list of images of one shape.
            targets: `fastaug.Masks`, or a dict, tuple or list in which some are, of any depth: they
                go where their images go. Other leaves stay as they are. Or None.
            keys: An integer or a string for each image, such as its number or its path.
            seed: Another one gives other random numbers, such as for the next epoch.

        Returns:
            New array of the generator's `dtype`, of the same shape unless an op of `augment` crops;
            with targets, `(images, targets)`.

        Raises:
            ValueError: If the images are not of rank 4 or of one shape, if there is not a key or a
                mask for each, or if the generator has a `mix`, which needs the images of a batch.
            TypeError: If a key is of another type; if the generator makes integers, and a setting
                needs floats; if it has its own `apply_transform`, which masks cannot follow.

        Example:
            >>> generator = fastaug.ImageDataGenerator(rotation_range=20)
            >>> images = generator.apply(x, keys=range(10))
            >>> np.array_equal(images[3:5], generator.apply(x[3:5], keys=[3, 4]))
            True
        """
        workers = self._threads
        # held for the next call, so that its threads are there
        self._apply_pool = shared_pool(workers) if workers else None
        made = augment_keyed(self, images, targets, keys, seed, self._apply_pool)
        return made[0] if targets is None else made

    def batch_function(
        self,
        image: str = "image",
        mask: str | None = None,
        key: str = "id",
        *,
        seed: Integer = 0,
        fill: float = 0,
    ) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """Returns `apply` as a function of columns, for Ray Data or Hugging Face's datasets.

        It can be pickled, and sent to other machines. In a task of Ray it has as many threads as
        the task has CPUs.

        Args:
            image: Name of the column of images: an array, or a list of arrays or of Pillow's
                images, of one shape.
            mask: Name of a column of masks, which go with the images, in the same forms. Or None.
            key: Name of the column of keys, integers or strings that tell the images apart, from
                which their random numbers come.
            seed: As for `apply`.
            fill: Value outside of a mask.

        Returns:
            A function of a mapping of columns, which returns a dict of them with the images
            augmented and the masks moved, and the other columns as they are.

        Example:
            >>> function = fastaug.ImageDataGenerator(zoom_range=0.2).batch_function()
            >>> columns = function({"image": list(x), "id": range(10), "label": y})
            >>> columns["image"].shape, columns["label"] is y
            ((10, 32, 32, 3), True)
        """
        from fastaug.adapters.columns import BatchFunction

        return BatchFunction(self, image, mask, key, seed, fill)

    def fit(
        self,
        x: "SupportsArray | list[Any] | Iterator[Any]",
        augment: bool = False,
        rounds: int = 1,
        seed: Integer | None = None,
    ) -> None:
        """Computes the statistics that featurewise standardization and ZCA need.

        Of an array, they come of the same NumPy expressions as Keras's, in the generator's type, so
        that the figures are the same. Of an iterator, in float64, its images are read once, where
        they are. `rescale` is applied before, `preprocessing_function` is not.

        Args:
            x: Images of rank 4 in `data_format`; or an iterator over an array or files, such as
                `flow_from_directory` returns, of which the images count as they are, not as its
                batches have them. It stays where it is.
            augment: Whether to compute them from images of an array that Keras's transforms have
                augmented; ops of the generator's `augment` are left out.
            rounds: How often to augment each image.
            seed: Seed for `np.random.seed`, or None.

        Raises:
            ValueError: If the rank is not 4; if an iterator has no images or another `data_format`,
                or is to be augmented.
            TypeError: If an iterator is of another kind.
            MemoryError: If `zca_whitening` of images of such a size needs more memory than is free.

        Example:
            >>> generator = fastaug.ImageDataGenerator(featurewise_center=True)
            >>> generator.fit(x)
            >>> generator.mean.shape
            (1, 1, 3)
        """
        if hasattr(x, "__next__"):
            found = statistics_of_iterator(self, x, augment)
        else:
            augmented = functools.partial(self._augmented, rounds) if augment else None
            found = statistics_of_array(self, x, augmented, seed)
        for name, value in found:
            setattr(self, name, value)

    def _augmented(self, rounds, images):
        """Returns `rounds` random transforms of each image."""
        count = rounds * len(images)
        out = np.zeros((count, *images.shape[1:]), dtype=self.dtype)
        if (
            self._overrides_methods()
            or out.dtype != np.float32
            or self.brightness_range is not None
        ):
            for i in range(count):
                out[i] = self.random_transform(images[i % len(images)])
        elif out.size:
            augment_in_core(self, images, out, self._threads)
        return out

    def _overrides_methods(self):
        """Whether a subclass has its own way with single images, which a flow then has to ask."""
        return (
            not vars(self).keys().isdisjoint(_ON_SINGLE_IMAGES)
            or _methods_of(type(self)) != _OUR_METHODS
        )

    def __getstate__(self):
        """A pool stays in its process; a copy has as many threads."""
        return {name: value for name, value in vars(self).items() if name != "pool"}


_OUR_METHODS = _methods_of(ImageDataGenerator)
_APPLY_TRANSFORM = ImageDataGenerator.apply_transform
_PARAMETERS = inspect.signature(ImageDataGenerator).parameters


def _same(value, default):
    try:
        return value is default or bool(np.all(value == default))
    except ValueError:  # arrays that cannot be compared
        return False
