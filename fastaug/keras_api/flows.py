"""The flows of a generator: its settings and the arguments of a flow make an iterator."""

import functools
import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from fastaug.keras_api.advice import about_keywords
from fastaug.program.fields import Masks
from fastaug.typing import (
    Array,
    ClassMode,
    ClassNames,
    ColorMode,
    DataFormat,
    DataFrameClassMode,
    Decoder,
    DTypeLike,
    Integer,
    Interpolation,
    OnError,
    Path,
    SeveralInputs,
    Size,
    Subset,
    SupportsArray,
    Values,
)
from fastaug.warn import UsageWarning, warn

if TYPE_CHECKING:
    import pandas

    from fastaug.keras_api.array_iterator import NumpyArrayIterator
    from fastaug.keras_api.file_iterators import DataFrameIterator, DirectoryIterator

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


class Flows:
    """What `ImageDataGenerator` has of flows."""

    data_format: DataFormat
    dtype: DTypeLike

    # fmt: off
    @overload
    def flow(
        self, x: SupportsArray, y: None = None, batch_size: Integer = 32,
        shuffle: bool = True, sample_weight: Values | None = None, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        ignore_class_split: bool = False, subset: Subset | None = None, *, augment: bool = True,
    ) -> "NumpyArrayIterator[Array]": ...
    @overload
    def flow(
        self, x: SupportsArray, y: Values, batch_size: Integer = 32, shuffle: bool = True,
        sample_weight: None = None, seed: Integer | None = None, save_to_dir: Path | None = None,
        save_prefix: str = "", save_format: str = "png", ignore_class_split: bool = False,
        subset: Subset | None = None, *, augment: bool = True,
    ) -> "NumpyArrayIterator[tuple[Array, Array]]": ...
    @overload
    def flow(
        self, x: SupportsArray, y: Values, batch_size: Integer = 32, shuffle: bool = True,
        sample_weight: Values = ..., seed: Integer | None = None, save_to_dir: Path | None = None,
        save_prefix: str = "", save_format: str = "png", ignore_class_split: bool = False,
        subset: Subset | None = None, *, augment: bool = True,
    ) -> "NumpyArrayIterator[tuple[Array, Array, Array]]": ...
    @overload
    def flow(
        self, x: SeveralInputs, y: None = None, batch_size: Integer = 32,
        shuffle: bool = True, sample_weight: Values | None = None, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        ignore_class_split: bool = False, subset: Subset | None = None, *, augment: bool = True,
    ) -> "NumpyArrayIterator[tuple[Array, ...]]": ...
    @overload
    def flow(
        self, x: SeveralInputs, y: Values, batch_size: Integer = 32, shuffle: bool = True,
        sample_weight: None = None, seed: Integer | None = None, save_to_dir: Path | None = None,
        save_prefix: str = "", save_format: str = "png", ignore_class_split: bool = False,
        subset: Subset | None = None, *, augment: bool = True,
    ) -> "NumpyArrayIterator[tuple[tuple[Array, ...], Array]]": ...
    @overload
    def flow(
        self, x: SeveralInputs, y: Values, batch_size: Integer = 32, shuffle: bool = True,
        sample_weight: Values = ..., seed: Integer | None = None, save_to_dir: Path | None = None,
        save_prefix: str = "", save_format: str = "png", ignore_class_split: bool = False,
        subset: Subset | None = None, *, augment: bool = True,
    ) -> "NumpyArrayIterator[tuple[tuple[Array, ...], Array, Array]]": ...
    @overload
    def flow(
        self, x: SupportsArray | SeveralInputs, y: Masks | dict[str, Any],
        batch_size: Integer = 32, shuffle: bool = True, sample_weight: None = None,
        seed: Integer | None = None, save_to_dir: Path | None = None, save_prefix: str = "",
        save_format: str = "png", ignore_class_split: bool = False, subset: Subset | None = None,
        *, augment: bool = True,
    ) -> "NumpyArrayIterator[tuple[Any, Any]]": ...
    @overload
    def flow(
        self, x: SupportsArray | SeveralInputs, y: Masks | dict[str, Any],
        batch_size: Integer = 32, shuffle: bool = True, sample_weight: Values = ...,
        seed: Integer | None = None, save_to_dir: Path | None = None, save_prefix: str = "",
        save_format: str = "png", ignore_class_split: bool = False, subset: Subset | None = None,
        *, augment: bool = True,
    ) -> "NumpyArrayIterator[tuple[Any, Any, Array]]": ...
    @overload
    def flow(
        self, x: SupportsArray | SeveralInputs, y: Values | Masks | dict[str, Any] | None = None,
        batch_size: Integer = 32, shuffle: bool = True, sample_weight: Values | None = None,
        seed: Integer | None = None, save_to_dir: Path | None = None, save_prefix: str = "",
        save_format: str = "png", ignore_class_split: bool = False, *, subset: Literal["both"],
        augment: bool = True,
    ) -> "tuple[NumpyArrayIterator[Any], NumpyArrayIterator[Any]]": ...
    # fmt: on
    def flow(
        self,
        x: SupportsArray | SeveralInputs,
        y: Values | Masks | dict[str, Any] | None = None,
        batch_size: Integer = 32,
        shuffle: bool = True,
        sample_weight: Values | None = None,
        seed: Integer | None = None,
        save_to_dir: Path | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: Subset | Literal["both"] | None = None,
        *,
        augment: bool = True,
    ) -> "NumpyArrayIterator[Any] | tuple[NumpyArrayIterator[Any], NumpyArrayIterator[Any]]":
        """Iterates over augmented batches of images in memory.

        Args:
            x: Images, of rank 4 in `data_format`, any real type; kept as it is. An array that is
                not in memory, such as one of h5py, zarr or dask, is read a batch at a time. Or
                `(x, extra)`, where extra is an array or a list of arrays of the same length, handed
                out with the images in a tuple.
            y: Labels, or None. Or `fastaug.Masks`, which go where their images go, or a dict or
                tuple of labels and masks, of any depth.
            batch_size: Samples in a batch.
            shuffle: Whether to take each epoch in a new random order.
            sample_weight: Weights, or None.
            seed: Seed of the order and the parameters. None: both come from the global `np.random`.
            save_to_dir: Folder to write each augmented image to, or None.
            save_prefix: Prefix of the names of these files.
            save_format: Format of these files.
            ignore_class_split: Whether the two subsets may have different labels.
            subset: 'training' or 'validation', if the generator has a `validation_split`; or, in a
                method of the generator, 'both' for a pair of iterators, of which the second neither
                augments nor shuffles.
            augment: Whether to augment. If not, nothing but the order is drawn, and images are only
                standardized; if the generator's `augment` has a crop, it is done without chance.

        Returns:
            A `NumpyArrayIterator` over `x`, `(x, y)` or `(x, y, sample_weight)`, where the images
            are a new array of the generator's `dtype`, or `(images, extra, ...)`. A trainer takes
            a tuple of two for inputs and labels: to predict from several inputs, give `y` too.
            `y` has the structure that it was given in, but tuples for lists.

        Raises:
            ValueError: If lengths, rank or the size of masks do not fit, there are no images, or
                the subset is unknown.
            TypeError: If masks cannot follow, as the generator has its own `apply_transform`.

        Example:
            >>> generator = fastaug.ImageDataGenerator(horizontal_flip=True)
            >>> flow = generator.flow(x, y, batch_size=4, seed=1)
            >>> images, labels = next(flow)
            >>> images.shape, images.dtype, labels.shape
            ((4, 32, 32, 3), dtype('float32'), (4,))
        """
        generator: Any = self  # an `ImageDataGenerator`
        # imports Keras, for its base class
        from fastaug.keras_api.array_iterator import NumpyArrayIterator

        make = functools.partial(
            NumpyArrayIterator,
            x,
            y,
            generator,
            batch_size=batch_size,
            sample_weight=sample_weight,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            ignore_class_split=ignore_class_split,
            dtype=self.dtype,
        )
        return _of_subsets(make, subset, shuffle, augment)

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
        formats: str | Iterable[str] | None = None, augment: bool = True,
    ) -> "DirectoryIterator[Array]": ...
    @overload
    def flow_from_directory(
        self, directory: Path, target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None, class_mode: ClassMode | Masks = "categorical",
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        follow_links: bool = False, subset: Subset | None = None,
        interpolation: Interpolation = "nearest", keep_aspect_ratio: bool = False, *,
        decoder: Decoder | None = None, on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None, augment: bool = True,
    ) -> "DirectoryIterator[tuple[Array, Array]]": ...
    @overload
    def flow_from_directory(
        self, directory: Path, target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None, class_mode: ClassMode | Masks | None = "categorical",
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        follow_links: bool = False, *, subset: Literal["both"],
        interpolation: Interpolation = "nearest", keep_aspect_ratio: bool = False,
        decoder: Decoder | None = None, on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None, augment: bool = True,
    ) -> "tuple[DirectoryIterator[Any], DirectoryIterator[Any]]": ...
    # fmt: on
    def flow_from_directory(
        self,
        directory: Path,
        target_size: Size = (256, 256),
        color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None,
        class_mode: ClassMode | Masks | None = "categorical",
        batch_size: Integer = 32,
        shuffle: bool = True,
        seed: Integer | None = None,
        save_to_dir: Path | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: Subset | Literal["both"] | None = None,
        interpolation: Interpolation = "nearest",
        keep_aspect_ratio: bool = False,
        *,
        decoder: Decoder | None = None,
        on_error: OnError = "raise",
        timeout: float = 60,
        formats: str | Iterable[str] | None = None,
        augment: bool = True,
    ) -> "DirectoryIterator[Any] | tuple[DirectoryIterator[Any], DirectoryIterator[Any]]":
        """Iterates over augmented batches of image files in a folder with a folder for each class.

        Prints how many images and classes it found. Files are decoded in processes or threads,
        ahead of time, to the pixels that Keras gets.

        Args:
            directory: The folder that has the folders.
            target_size: `(height, width)` of the images.
            color_mode: 'rgb', 'rgba' or 'grayscale'.
            classes: Names of the folders to use, in the order of their labels. None: all, sorted.
            class_mode: 'categorical' (one-hot labels), 'binary' or 'sparse' (numbers), 'input' (the
                images themselves) or None (no labels). Or `fastaug.Masks`: the mask files in a
                folder, each with the path of its image there but for the ending.
            batch_size: Samples in a batch.
            shuffle: Whether to take each epoch in a new random order.
            seed: Seed of the order and the parameters. None: both come from the global `np.random`.
            save_to_dir: Folder to write each augmented image to, or None.
            save_prefix: Prefix of the names of these files.
            save_format: Format of these files.
            follow_links: Whether to enter linked folders.
            subset: 'training' or 'validation', if the generator has a `validation_split`; or, in a
                method of the generator, 'both' for a pair of iterators, of which the second neither
                augments nor shuffles.
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
            augment: Whether to augment. If not, nothing but the order is drawn, and images are only
                standardized; if the generator's `augment` has a crop, it is done without chance.

        Returns:
            A `DirectoryIterator`, endless, over `(images, labels)`; over images alone for
            `class_mode=None`. Images are an array of shape `(batch_size, height, width, channels)`,
            or `(batch_size, channels, height, width)`, of the generator's `dtype`; the last batch
            of an epoch may be shorter. Labels are of shape `(batch_size, classes)` if categorical,
            else `(batch_size,)`; masks, of one channel, have the type that the files need.

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
        generator: Any = self  # an `ImageDataGenerator`
        # imports Keras, for its base class
        from fastaug.keras_api.file_iterators import DirectoryIterator

        make = functools.partial(
            DirectoryIterator,
            directory,
            generator,
            target_size=target_size,
            color_mode=color_mode,
            keep_aspect_ratio=keep_aspect_ratio,
            classes=classes,
            class_mode=class_mode,
            data_format=self.data_format,
            batch_size=batch_size,
            seed=seed,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            follow_links=follow_links,
            interpolation=interpolation,
            dtype=self.dtype,
            decoder=decoder,
            on_error=on_error,
            timeout=timeout,
            formats=formats,
        )
        return _of_subsets(make, subset, shuffle, augment)

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
        formats: str | Iterable[str] | None = None, augment: bool = True,
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
        formats: str | Iterable[str] | None = None, augment: bool = True,
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
        formats: str | Iterable[str] | None = None, augment: bool = True,
    ) -> "DataFrameIterator[tuple[Array, tuple[Array, ...], Array]]": ...
    @overload
    def flow_from_dataframe(
        self, dataframe: "pandas.DataFrame", directory: Path | None = None,
        x_col: str = "filename", y_col: str | Sequence[str] | None = "class",
        weight_col: None = None, target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None,
        class_mode: ClassMode | Masks | Literal["raw"] = "categorical",
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        subset: Subset | None = None, interpolation: Interpolation = "nearest",
        validate_filenames: bool = True, *, decoder: Decoder | None = None,
        on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None, augment: bool = True,
    ) -> "DataFrameIterator[tuple[Array, Array]]": ...
    @overload
    def flow_from_dataframe(
        self, dataframe: "pandas.DataFrame", directory: Path | None = None,
        x_col: str = "filename", y_col: str | Sequence[str] | None = "class",
        weight_col: str = ..., target_size: Size = (256, 256), color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None,
        class_mode: ClassMode | Masks | Literal["raw"] = "categorical",
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png",
        subset: Subset | None = None, interpolation: Interpolation = "nearest",
        validate_filenames: bool = True, *, decoder: Decoder | None = None,
        on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None, augment: bool = True,
    ) -> "DataFrameIterator[tuple[Array, Array, Array]]": ...
    @overload
    def flow_from_dataframe(
        self, dataframe: "pandas.DataFrame", directory: Path | None = None,
        x_col: str = "filename", y_col: str | Sequence[str] | None = "class",
        weight_col: str | None = None, target_size: Size = (256, 256),
        color_mode: ColorMode = "rgb", classes: ClassNames | None = None,
        class_mode: DataFrameClassMode | Masks | None = "categorical",
        batch_size: Integer = 32, shuffle: bool = True, seed: Integer | None = None,
        save_to_dir: Path | None = None, save_prefix: str = "", save_format: str = "png", *,
        subset: Literal["both"], interpolation: Interpolation = "nearest",
        validate_filenames: bool = True, decoder: Decoder | None = None,
        on_error: OnError = "raise", timeout: float = 60,
        formats: str | Iterable[str] | None = None, augment: bool = True,
    ) -> "tuple[DataFrameIterator[Any], DataFrameIterator[Any]]": ...
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
        class_mode: DataFrameClassMode | Masks | None = "categorical",
        batch_size: Integer = 32,
        shuffle: bool = True,
        seed: Integer | None = None,
        save_to_dir: Path | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: Subset | Literal["both"] | None = None,
        interpolation: Interpolation = "nearest",
        validate_filenames: bool = True,
        *,
        decoder: Decoder | None = None,
        on_error: OnError = "raise",
        timeout: float = 60,
        formats: str | Iterable[str] | None = None,
        augment: bool = True,
        **kwargs: Any,
    ) -> "DataFrameIterator[Any] | tuple[DataFrameIterator[Any], DataFrameIterator[Any]]":
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
                None (no labels). Or `fastaug.Masks`: mask files, whose paths in their folder are
                in the column `y_col`, or for None those of the images but for the ending.
            batch_size: Samples in a batch.
            shuffle: Whether to take each epoch in a new random order.
            seed: Seed of the order and the parameters. None: both come from the global `np.random`.
            save_to_dir: Folder to write each augmented image to, or None.
            save_prefix: Prefix of the names of these files.
            save_format: Format of these files.
            subset: 'training' or 'validation', if the generator has a `validation_split`; or, in a
                method of the generator, 'both' for a pair of iterators, of which the second neither
                augments nor shuffles.
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
            augment: Whether to augment. If not, nothing but the order is drawn, and images are only
                standardized; if the generator's `augment` has a crop, it is done without chance.
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
        generator: Any = self  # an `ImageDataGenerator`
        # imports Keras, for its base class
        from fastaug.keras_api.file_iterators import DataFrameIterator

        for name, text in _DEPRECATED.items():
            if name == "class_mode" and class_mode == "other":
                class_mode = "raw"
            elif name not in kwargs:
                continue
            warn(text, DeprecationWarning)
        unknown = [name for name in kwargs if name not in _DEPRECATED]
        for text in about_keywords(unknown, inspect.signature(self.flow_from_dataframe).parameters):
            warn(text, UsageWarning)
        make = functools.partial(
            DataFrameIterator,
            dataframe,
            directory,
            generator,
            x_col=x_col,
            y_col=y_col,
            weight_col=weight_col,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            data_format=self.data_format,
            batch_size=batch_size,
            seed=seed,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            interpolation=interpolation,
            validate_filenames=validate_filenames,
            dtype=self.dtype,
            decoder=decoder,
            on_error=on_error,
            timeout=timeout,
            formats=formats,
        )
        return _of_subsets(make, subset, shuffle, augment)


def _of_subsets(make, subset, shuffle, augment):
    """Returns what `make` makes of a subset, or of 'both' a pair: for training, for validation."""
    if subset != "both":
        return make(subset=subset, shuffle=shuffle, augment=augment)
    training = make(subset="training", shuffle=shuffle, augment=augment)
    return training, make(subset="validation", shuffle=False, augment=False)
