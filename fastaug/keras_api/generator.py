"""`ImageDataGenerator`: what a user sets, the flows that come of it, and work on single images."""

import concurrent.futures
import copy
import inspect
import math
import multiprocessing.pool
import numbers
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastaug._core import divide, flip, mean_of, multiply, std_of, subtract
from fastaug.data.sources import ArraySource
from fastaug.defaults import floatx, image_data_format
from fastaug.keras_api import transforms
from fastaug.keras_api.advice import about_keywords
from fastaug.keras_api.augment import Augmentation
from fastaug.keras_api.checks import check_number, check_settings
from fastaug.keras_api.fitting import statistics_of
from fastaug.keras_api.functions import name_function, returned
from fastaug.keras_api.params import KeptSampler
from fastaug.keras_api.settings import STATISTICS
from fastaug.keras_api.streams import global_stream
from fastaug.keras_api.warp import border_name, check_engine, check_order
from fastaug.run.threads import MOST_THREADS, shared_pool, usable_cores
from fastaug.typing import (
    Array,
    ClassMode,
    ClassNames,
    ColorMode,
    DataFormat,
    DataFrameClassMode,
    Decoder,
    DimOrdering,
    DTypeLike,
    FillMode,
    Integer,
    Interpolation,
    OnError,
    Path,
    Preprocessing,
    SeveralInputs,
    Size,
    Subset,
    SupportsArray,
    Values,
    Warp,
)
from fastaug.warn import UsageWarning, warn

if TYPE_CHECKING:
    import pandas

    from fastaug.keras_api.file_iterators import DataFrameIterator, DirectoryIterator
    from fastaug.keras_api.iterators import Iterator, NumpyArrayIterator

_DIM_ORDERINGS = {"default": None, "tf": "channels_last", "th": "channels_first"}

# Methods that work on one image; a subclass may have its own.
_ON_SINGLE_IMAGES = frozenset(
    ("get_random_transform", "apply_transform", "random_transform", "standardize")
)
_methods_of = operator.attrgetter(*_ON_SINGLE_IMAGES)

# Of rows, columns and channels, in a batch.
_AXES = ((1, 2, 3), (2, 3, 1))

# Keras's warnings about old arguments of `flow_from_dataframe`, in its order.
_DEPRECATED = {
    "has_ext": "has_ext is deprecated, filenames in the dataframe have to match the exact "
    "filenames in disk.",
    "sort": "sort is deprecated, batches will be created in thesame order than the filenames "
    "provided if `shuffle`is set to `False`.",
    "class_mode": '`class_mode="other"` is deprecated, please use `class_mode="raw"`.',
    "drop_duplicates": "drop_duplicates is deprecated, you can drop duplicates by using the "
    "pandas.DataFrame.drop_duplicates method.",
}


class ImageDataGenerator:
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

    _sampler = None  # a `KeptSampler`, once it was needed

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
    ) -> None:
        data_format = _data_format(data_format, dim_ordering)
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
        self._validation_split: Any = validation_split

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
        self.warp = warp
        self.workers = _checked_count("workers", workers, none_allowed=True)
        self.prefetch = _checked_count("prefetch", prefetch)
        self.pool = pool
        self._pool_size = _pool_size(pool)

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

    # fmt: off
    @overload
    def flow(
        self, x: SupportsArray, y: None = None, batch_size: Integer = 32,
        shuffle: bool = True, sample_weight: Values | None = None, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        ignore_class_split: bool = False, subset: Subset | None = None,
    ) -> "NumpyArrayIterator[Array]": ...
    @overload
    def flow(
        self, x: SupportsArray, y: Values, batch_size: Integer = 32, shuffle: bool = True,
        sample_weight: None = None, seed: Integer | None = None, save_to_dir: Path | None = None,
        save_prefix: str = "", save_format: str = "png", ignore_class_split: bool = False,
        subset: Subset | None = None,
    ) -> "NumpyArrayIterator[tuple[Array, Array]]": ...
    @overload
    def flow(
        self, x: SupportsArray, y: Values, batch_size: Integer = 32, shuffle: bool = True,
        sample_weight: Values = ..., seed: Integer | None = None, save_to_dir: Path | None = None,
        save_prefix: str = "", save_format: str = "png", ignore_class_split: bool = False,
        subset: Subset | None = None,
    ) -> "NumpyArrayIterator[tuple[Array, Array, Array]]": ...
    @overload
    def flow(
        self, x: SeveralInputs, y: None = None, batch_size: Integer = 32,
        shuffle: bool = True, sample_weight: Values | None = None, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        ignore_class_split: bool = False, subset: Subset | None = None,
    ) -> "NumpyArrayIterator[tuple[Array, ...]]": ...
    @overload
    def flow(
        self, x: SeveralInputs, y: Values, batch_size: Integer = 32, shuffle: bool = True,
        sample_weight: None = None, seed: Integer | None = None, save_to_dir: Path | None = None,
        save_prefix: str = "", save_format: str = "png", ignore_class_split: bool = False,
        subset: Subset | None = None,
    ) -> "NumpyArrayIterator[tuple[tuple[Array, ...], Array]]": ...
    @overload
    def flow(
        self, x: SeveralInputs, y: Values, batch_size: Integer = 32, shuffle: bool = True,
        sample_weight: Values = ..., seed: Integer | None = None, save_to_dir: Path | None = None,
        save_prefix: str = "", save_format: str = "png", ignore_class_split: bool = False,
        subset: Subset | None = None,
    ) -> "NumpyArrayIterator[tuple[tuple[Array, ...], Array, Array]]": ...
    # fmt: on
    def flow(
        self,
        x: SupportsArray | SeveralInputs,
        y: Values | None = None,
        batch_size: Integer = 32,
        shuffle: bool = True,
        sample_weight: Values | None = None,
        seed: Integer | None = None,
        save_to_dir: Path | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: Subset | None = None,
    ) -> "NumpyArrayIterator[Any]":
        """Iterates over augmented batches of images in memory.

        Args:
            x: Images, of rank 4 in `data_format`, any real type; kept as it is. An array that is
                not in memory, such as one of h5py, zarr or dask, is read a batch at a time. Or
                `(x, extra)`, where extra is an array or a list of arrays of the same length, handed
                out with the images in a tuple.
            y: Labels, or None.
            batch_size: Samples in a batch.
            shuffle: Whether to take each epoch in a new random order.
            sample_weight: Weights, or None.
            seed: Seed of the order and the parameters. None: both come from the global `np.random`.
            save_to_dir: Folder to write each augmented image to, or None.
            save_prefix: Prefix of the names of these files.
            save_format: Format of these files.
            ignore_class_split: Whether the two subsets may have different labels.
            subset: 'training' or 'validation', if the generator has a `validation_split`.

        Returns:
            A `NumpyArrayIterator` over `x`, `(x, y)` or `(x, y, sample_weight)`, where the images
            are a new array of the generator's `dtype`, or `(images, extra, ...)`. A trainer takes
            a tuple of two for inputs and labels: to predict from several inputs, give `y` too.

        Raises:
            ValueError: If lengths or rank do not fit, there are no images, or the subset is
                unknown.

        Example:
            >>> generator = fastaug.ImageDataGenerator(horizontal_flip=True)
            >>> flow = generator.flow(x, y, batch_size=4, seed=1)
            >>> images, labels = next(flow)
            >>> images.shape, images.dtype, labels.shape
            ((4, 32, 32, 3), dtype('float32'), (4,))
        """
        from fastaug.keras_api.iterators import (
            NumpyArrayIterator,  # imports Keras, for its base class
        )

        return NumpyArrayIterator(
            x,
            y,
            self,
            batch_size=batch_size,
            shuffle=shuffle,
            sample_weight=sample_weight,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            ignore_class_split=ignore_class_split,
            subset=subset,
            dtype=self.dtype,
        )

    # fmt: off
    @overload
    def flow_from_directory(
        self, directory: Path, target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None, *, class_mode: None,
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        follow_links: bool = False, subset: Subset | None = None,
        interpolation: Interpolation = "nearest", keep_aspect_ratio: bool = False,
        decoder: Decoder | None = None, on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None,
    ) -> "DirectoryIterator[Array]": ...
    @overload
    def flow_from_directory(
        self, directory: Path, target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None, class_mode: ClassMode = "categorical",
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        follow_links: bool = False, subset: Subset | None = None,
        interpolation: Interpolation = "nearest", keep_aspect_ratio: bool = False, *,
        decoder: Decoder | None = None, on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None,
    ) -> "DirectoryIterator[tuple[Array, Array]]": ...
    # fmt: on
    def flow_from_directory(
        self,
        directory: Path,
        target_size: Size = (256, 256),
        color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None,
        class_mode: ClassMode | None = "categorical",
        batch_size: Integer = 32,
        shuffle: bool = True,
        seed: Integer | None = None,
        save_to_dir: Path | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: Subset | None = None,
        interpolation: Interpolation = "nearest",
        keep_aspect_ratio: bool = False,
        *,
        decoder: Decoder | None = None,
        on_error: OnError = "raise",
        timeout: float = 60,
        formats: str | Iterable[str] | None = None,
    ) -> "DirectoryIterator[Any]":
        """Iterates over augmented batches of image files in a folder with a folder for each class.

        Prints how many images and classes it found. Files are decoded in processes or threads,
        ahead of time, to the pixels that Keras gets.

        Args:
            directory: The folder that has the folders.
            target_size: `(height, width)` of the images.
            color_mode: 'rgb', 'rgba' or 'grayscale'.
            classes: Names of the folders to use, in the order of their labels. None: all, sorted.
            class_mode: 'categorical' (one-hot labels), 'binary' or 'sparse' (numbers), 'input' (the
                images themselves) or None (no labels).
            batch_size: Samples in a batch.
            shuffle: Whether to take each epoch in a new random order.
            seed: Seed of the order and the parameters. None: both come from the global `np.random`.
            save_to_dir: Folder to write each augmented image to, or None.
            save_prefix: Prefix of the names of these files.
            save_format: Format of these files.
            follow_links: Whether to enter linked folders.
            subset: 'training' or 'validation', if the generator has a `validation_split`.
            interpolation: 'nearest', 'bilinear', 'bicubic', 'lanczos', 'box' or 'hamming'.
            keep_aspect_ratio: Whether to cut images to the shape of the target before resizing.
            decoder: 'processes' or 'threads': what decodes the files. None: 'processes', but
                'threads' on Windows.
            on_error: 'raise', or what is done about files that cannot be read, which `bad_files`
                lists: 'skip' leaves them out, 'replace' takes another file of the set for each. A
                batch of which nothing is left has one other.
            timeout: Seconds after which a file that does not come is given up.
            formats: Endings of files to read beside Keras's, such as 'webp', 'gif' (the first
                picture), 'avif' or 'jp2': one or some. What a file is, its content tells.

        Returns:
            A `DirectoryIterator`, endless, over `(images, labels)`; over images alone for
            `class_mode=None`. Images are an array of shape `(batch_size, height, width, channels)`,
            or `(batch_size, channels, height, width)`, of the generator's `dtype`; the last batch
            of an epoch may be shorter. Labels are of shape `(batch_size, classes)` if categorical,
            else `(batch_size,)`.

        Raises:
            ValueError: If an argument is not one of the above.
            TypeError: If an argument is of a wrong type, or batches of integers are to be rescaled
                or standardized.
            OSError: If the directory cannot be listed; with a batch, if a file cannot be read.

        Example:
            >>> generator = fastaug.ImageDataGenerator(rotation_range=20, rescale=1 / 255)
            >>> flow = generator.flow_from_directory("photos", target_size=(224, 224), batch_size=8)
            Found 13 images belonging to 3 classes.
            >>> images, labels = next(flow)
            >>> images.shape, labels.shape
            ((8, 224, 224, 3), (8, 3))
        """
        from fastaug.keras_api.file_iterators import (
            DirectoryIterator,  # imports Keras, for its base class
        )

        return DirectoryIterator(
            directory,
            self,
            target_size=target_size,
            color_mode=color_mode,
            keep_aspect_ratio=keep_aspect_ratio,
            classes=classes,
            class_mode=class_mode,
            data_format=self.data_format,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            follow_links=follow_links,
            subset=subset,
            interpolation=interpolation,
            dtype=self.dtype,
            decoder=decoder,
            on_error=on_error,
            timeout=timeout,
            formats=formats,
        )

    # fmt: off
    @overload
    def flow_from_dataframe(
        self, dataframe: "pandas.DataFrame", directory: Path | None = None,
        x_col: str = "filename", y_col: str | Sequence[str] | None = "class",
        weight_col: str | None = None, target_size: Size = (256, 256),
        color_mode: ColorMode = "rgb", classes: ClassNames | None = None, *, class_mode: None,
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        subset: Subset | None = None, interpolation: Interpolation = "nearest",
        validate_filenames: bool = True, decoder: Decoder | None = None,
        on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None,
    ) -> "DataFrameIterator[Array]": ...
    @overload
    def flow_from_dataframe(
        self, dataframe: "pandas.DataFrame", directory: Path | None = None,
        x_col: str = "filename", y_col: str | Sequence[str] | None = "class",
        weight_col: None = None, target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None, *, class_mode: Literal["multi_output"],
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        subset: Subset | None = None, interpolation: Interpolation = "nearest",
        validate_filenames: bool = True, decoder: Decoder | None = None,
        on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None,
    ) -> "DataFrameIterator[tuple[Array, tuple[Array, ...]]]": ...
    @overload
    def flow_from_dataframe(
        self, dataframe: "pandas.DataFrame", directory: Path | None = None,
        x_col: str = "filename", y_col: str | Sequence[str] | None = "class",
        weight_col: str = ..., target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None, *, class_mode: Literal["multi_output"],
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        subset: Subset | None = None, interpolation: Interpolation = "nearest",
        validate_filenames: bool = True, decoder: Decoder | None = None,
        on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None,
    ) -> "DataFrameIterator[tuple[Array, tuple[Array, ...], Array]]": ...
    @overload
    def flow_from_dataframe(
        self, dataframe: "pandas.DataFrame", directory: Path | None = None,
        x_col: str = "filename", y_col: str | Sequence[str] | None = "class",
        weight_col: None = None, target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None, class_mode: ClassMode | Literal["raw"] = "categorical",
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        subset: Subset | None = None, interpolation: Interpolation = "nearest",
        validate_filenames: bool = True, *, decoder: Decoder | None = None,
        on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None,
    ) -> "DataFrameIterator[tuple[Array, Array]]": ...
    @overload
    def flow_from_dataframe(
        self, dataframe: "pandas.DataFrame", directory: Path | None = None,
        x_col: str = "filename", y_col: str | Sequence[str] | None = "class",
        weight_col: str = ..., target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None, class_mode: ClassMode | Literal["raw"] = "categorical",
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        subset: Subset | None = None, interpolation: Interpolation = "nearest",
        validate_filenames: bool = True, *, decoder: Decoder | None = None,
        on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None,
    ) -> "DataFrameIterator[tuple[Array, Array, Array]]": ...
    # fmt: on
    def flow_from_dataframe(
        self,
        dataframe: "pandas.DataFrame",
        directory: Path | None = None,
        x_col: str = "filename",
        y_col: str | Sequence[str] | None = "class",
        weight_col: str | None = None,
        target_size: Size = (256, 256),
        color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None,
        class_mode: DataFrameClassMode | None = "categorical",
        batch_size: Integer = 32,
        shuffle: bool = True,
        seed: Integer | None = None,
        save_to_dir: Path | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: Subset | None = None,
        interpolation: Interpolation = "nearest",
        validate_filenames: bool = True,
        *,
        decoder: Decoder | None = None,
        on_error: OnError = "raise",
        timeout: float = 60,
        formats: str | Iterable[str] | None = None,
        **kwargs: Any,
    ) -> "DataFrameIterator[Any]":
        """Iterates over augmented batches of the image files that a dataframe names.

        Prints how many images and classes it found. The dataframe stays as it is.

        Args:
            dataframe: A pandas dataframe with a row for each image.
            directory: Folder that the paths start from. None: they are whole paths.
            x_col: Column of the paths.
            y_col: Column of the labels, or a list of columns.
            weight_col: Column of the sample weights, or None.
            target_size: `(height, width)` of the images.
            color_mode: 'rgb', 'rgba' or 'grayscale'.
            classes: The classes to use, in the order of their labels. None: all, sorted.
            class_mode: 'categorical' (one-hot labels; rows with lists have several), 'binary' or
                'sparse' (numbers), 'raw' (the column's values, or those of several columns: vectors
                and pandas's own numbers as one array, words in a column of categories as their
                codes), 'multi_output' (a tuple of such values), 'input' (the images themselves) or
                None (no labels).
            batch_size: Samples in a batch.
            shuffle: Whether to take each epoch in a new random order.
            seed: Seed of the order and the parameters. None: both come from the global `np.random`.
            save_to_dir: Folder to write each augmented image to, or None.
            save_prefix: Prefix of the names of these files.
            save_format: Format of these files.
            subset: 'training' or 'validation', if the generator has a `validation_split`.
            interpolation: 'nearest', 'bilinear', 'bicubic', 'lanczos', 'box' or 'hamming'.
            validate_filenames: Whether to leave out, with a warning, rows whose path is no image
                file.
            decoder: 'processes' or 'threads': what decodes the files. None: 'processes', but
                'threads' on Windows.
            on_error: 'raise', or what is done about files that cannot be read, which `bad_files`
                lists: 'skip' leaves them out, 'replace' takes another file of the set for each. A
                batch of which nothing is left has one other.
            timeout: Seconds after which a file that does not come is given up.
            formats: Endings of files to read beside Keras's, such as 'webp', 'gif' (the first
                picture), 'avif' or 'jp2': one or some. What a file is, its content tells.
            **kwargs: Keras's old `has_ext`, `sort` and `drop_duplicates`, which are taken with a
                warning and have no effect; so are unknown ones.

        Returns:
            A `DataFrameIterator`, endless, over `(images, labels)`, or `(images, labels, weights)`
            with `weight_col`; over images alone for `class_mode=None`. Images are an array of shape
            `(batch_size, height, width, channels)`, or `(batch_size, channels, height, width)`, of
            the generator's `dtype`; the last batch of an epoch may be shorter.

        Raises:
            ValueError: If an argument is not one of the above.
            TypeError: If an argument, or a value in a column, is of a wrong type.
            KeyError: If a column is missing.
            OSError: With a batch, if a file cannot be read.

        Example:
            >>> frame = pandas.DataFrame({"filename": ["ants/0.jpg", "bees/1.jpg"], "size": [3, 5]})
            >>> flow = fastaug.ImageDataGenerator().flow_from_dataframe(
            ...     frame, "photos", y_col="size", class_mode="raw", shuffle=False
            ... )
            Found 2 validated image filenames.
            >>> images, sizes = next(flow)
            >>> images.shape, sizes
            ((2, 256, 256, 3), array([3, 5]))
        """
        from fastaug.keras_api.file_iterators import (
            DataFrameIterator,  # imports Keras, for its base class
        )

        for name, text in _DEPRECATED.items():
            if name == "class_mode" and class_mode == "other":
                class_mode = "raw"
            elif name not in kwargs:
                continue
            warn(text, DeprecationWarning)
        unknown = [name for name in kwargs if name not in _DEPRECATED]
        for text in about_keywords(unknown, inspect.signature(self.flow_from_dataframe).parameters):
            warn(text, UsageWarning)
        return DataFrameIterator(
            dataframe,
            directory,
            self,
            x_col=x_col,
            y_col=y_col,
            weight_col=weight_col,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            data_format=self.data_format,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            subset=subset,
            interpolation=interpolation,
            validate_filenames=validate_filenames,
            dtype=self.dtype,
            decoder=decoder,
            on_error=on_error,
            timeout=timeout,
            formats=formats,
        )

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
            return self._normalize(x)
        return x

    def _normalize(self, x):
        """Does what `standardize` does after `preprocessing_function`."""
        try:
            if self.rescale:
                x = multiply(x, self.rescale)
            if self.samplewise_center:
                x = subtract(x, mean_of(x))
            if self.samplewise_std_normalization:
                x = divide(x, std_of(x) + 1e-6)
            if self.featurewise_center and self.mean is not None:
                x = subtract(x, self.mean)
            if self.featurewise_std_normalization and self.std is not None:
                x = divide(x, self.std + 1e-6)
            if self.zca_whitening and self.zca_whitening_matrix is not None:
                flat = x.reshape(-1, math.prod(x.shape[-3:]))
                x = np.reshape(flat @ self.zca_whitening_matrix, x.shape)
        except (TypeError, ValueError) as error:
            if self.preprocessing_function:
                name_function(error, self.preprocessing_function, x)
            raise
        if self.featurewise_center or self.featurewise_std_normalization or self.zca_whitening:
            for message in self._unfitted():
                warn(message)
        return x

    def _unfitted(self):
        """Returns Keras's warning for each statistic that is asked for and not there."""
        return [
            f"This ImageDataGenerator specifies `{setting}`, but it hasn't been fit on any "
            "training data. Fit it first by calling `.fit(numpy_data)`."
            for setting, statistic in STATISTICS.items()
            if getattr(self, setting) and getattr(self, statistic) is None
        ]

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
        return self._draw_parameters(global_stream(), img_shape)

    def _draw_parameters(self, stream, shape):
        """Draws the parameters of a transform from a stream."""
        sampler = self._current_sampler()
        return sampler.one.draw_dict(
            stream,
            shape[self.row_axis - 1] if sampler.scales_tx else None,
            shape[self.col_axis - 1] if sampler.scales_ty else None,
        )

    def _current_sampler(self):
        """Returns what draws the parameters that are set now."""
        kept = self._sampler
        if kept is None:
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
        return self._transform(x, transform_parameters, False)

    def _transform_own(self, x, transform_parameters):
        """Calls `apply_transform` for an image that nobody else has, which may be changed."""
        if getattr(self.apply_transform, "__func__", None) is not _APPLY_TRANSFORM:
            return self.apply_transform(x, transform_parameters)
        # by anything else but the layouts that there are, views know what is meant
        in_place = (self.row_axis, self.col_axis, self.channel_axis) in _AXES
        return self._transform(x, transform_parameters, in_place)

    def _transform(self, x, transform_parameters, in_place):
        get = transform_parameters.get
        row_axis, col_axis = self.row_axis - 1, self.col_axis - 1
        channel_axis = self.channel_axis - 1
        x = transforms.apply_affine_transform(
            x,
            get("theta", 0),
            get("tx", 0),
            get("ty", 0),
            get("shear", 0),
            get("zx", 1),
            get("zy", 1),
            row_axis,
            col_axis,
            channel_axis,
            self.fill_mode,
            self.cval,
            self.interpolation_order,
        )
        if get("channel_shift_intensity") is not None:
            x = transforms.apply_channel_shift(
                x, transform_parameters["channel_shift_intensity"], channel_axis
            )
        horizontal, vertical = get("flip_horizontal", False), get("flip_vertical", False)
        if in_place and (horizontal or vertical) and x.flags.c_contiguous:
            flip(x, channel_axis == 0, bool(horizontal), bool(vertical))
        else:
            if horizontal:
                x = transforms.flip_axis(x, col_axis)
            if vertical:
                x = transforms.flip_axis(x, row_axis)
        if get("brightness") is not None:
            x = transforms.apply_brightness_shift(x, transform_parameters["brightness"], False)
        return x

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
            augment: Whether to compute them from randomly augmented images, of an array.
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
            self._fit_iterator(x, augment)
            return
        images = np.array(x, dtype=self.dtype)
        if images.ndim != 4:
            raise ValueError(
                f"Input to `.fit()` should have rank 4. Got array with shape: {images.shape}"
            )
        channels = images.shape[self.channel_axis]
        if channels not in (1, 3, 4):
            warn(
                "Expected input to be images (as Numpy array) following the data format "
                f'convention "{self.data_format}" (channels on axis {self.channel_axis}), i.e. '
                f"expected either 1, 3 or 4 channels on axis {self.channel_axis}. However, it was "
                f"passed an array with shape {images.shape} ({channels} channels).",
            )
        if seed is not None:
            np.random.seed(seed)
        if self.rescale:
            images *= self.rescale
        if augment:
            images = self._augmented(images, rounds)

        axes = (0, self.row_axis, self.col_axis)
        broadcast_shape = [1, 1, 1]
        broadcast_shape[self.channel_axis - 1] = channels
        if self.featurewise_center:
            self.mean = np.reshape(np.mean(images, axis=axes), broadcast_shape)
            images -= self.mean
        if self.featurewise_std_normalization:
            self.std = np.reshape(np.std(images, axis=axes), broadcast_shape)
            images /= self.std + 1e-6
        if self.zca_whitening:
            n = len(images)
            flat = np.reshape(images, (n, -1))
            u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
            self.zca_whitening_matrix = (u * (np.sqrt(n) / (s + self.zca_epsilon))).dot(u.T)

    def _fit_iterator(self, iterator, augment):
        if not hasattr(iterator, "_plain_batches"):
            raise TypeError(
                "`fit` takes an array, or an iterator of fastaug over an array or files. "
                f"Received: x={iterator!r}"
            )
        if augment:
            raise ValueError("`fit` augments no images of an iterator; give them as an array")
        shape, batches = iterator._plain_batches()
        if iterator.data_format != self.data_format:
            raise ValueError(
                f"The iterator has data_format={iterator.data_format!r}, and the generator "
                f"{self.data_format!r}"
            )
        axis = self.channel_axis - 1
        found = statistics_of(batches, shape, axis, iterator.n, self.rescale, self.zca_whitening)
        kind = np.dtype(self.dtype)
        kind = kind if kind.kind == "f" else np.dtype(np.float64)
        mean, std = 0.0, 1.0
        if self.featurewise_center:
            mean = found.mean
            self.mean = mean.astype(kind)
        if self.featurewise_std_normalization:
            std = found.std + 1e-6
            self.std = found.std.astype(kind)
        if self.zca_whitening:
            self.zca_whitening_matrix = found.whitening(mean, std, self.zca_epsilon)

    def _augmented(self, x, rounds):
        """Returns `rounds` random transforms of each image."""
        n = len(x)
        out = np.zeros((rounds * n, *x.shape[1:]), dtype=self.dtype)
        if (
            self._overrides_methods()
            or out.dtype != np.float32
            or self.brightness_range is not None
        ):
            for i in range(rounds * n):
                out[i] = self.random_transform(x[i % n])
        elif out.size:
            unfitted = copy.copy(self)  # statistics of before have no part in this
            unfitted.mean = unfitted.std = unfitted.zca_whitening_matrix = None
            augmentation = Augmentation(unfitted, x.shape[1:], self.data_format)
            index = np.tile(np.arange(n, dtype=np.int64), rounds)
            table = augmentation.draw(global_stream(), rounds * n)
            job, _ = augmentation.job(
                ArraySource(x), index, table, out, self._threads, standardize=False
            )
            if self._threads:
                pool = shared_pool(self._threads)
                pool.submit(job)
            else:
                job.run()
            try:
                job.wait()
            except BaseException:  # an interrupt: leave the rest
                job.cancel()
                raise
        return out

    def _overrides_methods(self):
        """Whether a subclass has its own way with single images, which a flow then has to ask."""
        return (
            not vars(self).keys().isdisjoint(_ON_SINGLE_IMAGES)
            or _methods_of(type(self)) != _OUR_METHODS
        )

    def __getstate__(self):
        """A pool stays in its process; a copy has as many threads."""
        return {**vars(self), "pool": None, "_sampler": None}


_OUR_METHODS = _methods_of(ImageDataGenerator)
_APPLY_TRANSFORM = ImageDataGenerator.apply_transform
_PARAMETERS = inspect.signature(ImageDataGenerator).parameters


def _same(value, default):
    try:
        return value is default or bool(np.all(value == default))
    except ValueError:  # arrays that cannot be compared
        return False


def _data_format(data_format, dim_ordering):
    if dim_ordering is None:
        return data_format
    if dim_ordering not in _DIM_ORDERINGS:
        raise ValueError(
            f"Invalid dim_ordering: {dim_ordering}; expected one of: {sorted(_DIM_ORDERINGS)}"
        )
    named = _DIM_ORDERINGS[dim_ordering]
    if None not in (named, data_format) and named != data_format:
        raise ValueError(
            f"dim_ordering={dim_ordering!r} means data_format={named!r}. "
            f"Received: data_format={data_format!r}"
        )
    return named or data_format


def _checked_count(name, value, none_allowed=False):
    if value is None and none_allowed:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` should be an integer. Received: {value!r}")
    if value < 0:
        raise ValueError(f"`{name}` should not be negative. Received: {value}")
    return int(value)


def _pool_size(pool):
    """Returns how many workers a user's pool has; None: there is none."""
    if pool is None:
        return None
    if isinstance(pool, multiprocessing.pool.Pool):  # a ThreadPool is one too
        if pool._state != multiprocessing.pool.RUN:
            raise ValueError(f"Pool not running. Received: pool={pool!r}")
        return pool._processes
    if isinstance(pool, concurrent.futures.Executor):
        if getattr(pool, "_shutdown", False) or getattr(pool, "_shutdown_thread", False):
            raise RuntimeError(
                f"cannot schedule new futures after shutdown. Received: pool={pool!r}"
            )
        return getattr(pool, "_max_workers", None)
    if isinstance(pool, bool) or not isinstance(pool, numbers.Integral):
        raise TypeError(
            "`pool` should be a multiprocessing pool, an executor or an integer. "
            f"Received: {pool!r}"
        )
    return _checked_count("pool", pool)
