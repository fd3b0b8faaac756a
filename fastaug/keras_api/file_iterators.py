"""Iterators over image files: their arguments, and labels from an index."""

import copy
import dataclasses
import itertools
import numbers
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastaug.data.dataframe import DataFrameIndex, as_one_array
from fastaug.data.decode import CHANNELS, Target
from fastaug.data.decode_pool import decode_pool
from fastaug.data.directory import OTHER_FORMATS, DirectoryIndex, labels_of
from fastaug.data.images import can_read
from fastaug.data.masks import labels_of_files, masks_of_dataframe, masks_of_directory
from fastaug.data.sources import FileSource
from fastaug.defaults import floatx, image_data_format
from fastaug.keras_api.advice import about_folders, about_rows, about_split, about_validation
from fastaug.keras_api.augmenting import FOR_PREDICT, AugmentingIterator
from fastaug.keras_api.iterator import check_batch_size
from fastaug.keras_api.program import ops_of
from fastaug.ops.crop import RandomResizedCrop
from fastaug.ops.mix import count_classes, label_floats
from fastaug.program.fields import MaskField, Masks
from fastaug.typing import (
    Array,
    Batch,
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
    Size,
    Subset,
)
from fastaug.warn import UsageWarning, warn

if TYPE_CHECKING:
    import pandas

    from fastaug.keras_api.generator import ImageDataGenerator


def _index_attribute(name) -> Any:
    def get(self):
        return getattr(self._index, name)

    def set_(self, value):
        setattr(self._index, name, value)

    return property(get, set_)


def _checked_size(target_size):
    """Returns a `target_size` as a tuple.

    Raises:
        TypeError: If it is no sequence of integers.
        ValueError: If it has not two of them, from 1 on.
    """
    size = () if isinstance(target_size, str | bytes) else target_size
    size = tuple(size) if isinstance(size, Iterable) else ()
    if not size or not all(
        isinstance(side, numbers.Integral) and not isinstance(side, bool) for side in size
    ):
        error: type[Exception] = TypeError
    elif len(size) != 2 or min(size) < 1:
        error = ValueError
    else:
        return size
    raise error(
        "`target_size` should be (height, width), two integers from 1 on; the channels come from "
        f"`color_mode`. Received: target_size={target_size!r}"
    )


class _FileIterator(AugmentingIterator[Batch]):
    """What the iterators over files share: the arguments about files, and labels from an index."""

    bad_files: list[str]
    class_indices: dict[str, int]
    class_mode: DataFrameClassMode | Masks | None
    color_mode: ColorMode
    directory: Path
    filenames: list[str]
    image_shape: tuple[int, int, int]
    interpolation: Interpolation
    keep_aspect_ratio: bool
    on_error: OnError
    samples: int
    subset: Subset | None
    target_size: tuple[int, int]

    def __init__(
        self,
        index,
        advice,
        batch_size,
        shuffle,
        seed,
        *,
        decoder,
        on_error,
        timeout,
        masks,
        mask_paths,
    ):
        self._index = index
        self._mask_paths = mask_paths
        for name in ("directory", "class_mode", "filenames", "samples", "class_indices",
                     "num_classes"):  # fmt: skip
            if hasattr(index, name):
                setattr(self, name, getattr(index, name))
        if masks is not None:
            self.class_mode = masks
        if on_error not in ("raise", "skip", "replace"):
            raise ValueError(
                f'Invalid on_error: {on_error!r}; expected "raise", "skip" or "replace"'
            )
        if not (isinstance(timeout, numbers.Real) and timeout > 0):
            raise ValueError(f"Invalid timeout: {timeout!r}; expected seconds, more than 0")
        check_batch_size(batch_size)
        self.on_error = on_error
        self.bad_files = []
        self._known_bad = set()
        self._decoder, self._timeout = decoder, timeout
        self._reading = self._new_reading(batch_size)
        source = self._new_source(index.filepaths)
        super().__init__(source, batch_size, shuffle, seed, hash_limit=1e7)
        generator = self.image_data_generator
        split = about_split(generator, self.subset, len(index))
        validation = about_validation(generator, self.subset, self.augment)
        for text in itertools.chain(split, validation, advice):
            warn(text, UsageWarning)

    def _new_reading(self, batch_size):
        """Returns what `FileSource` has to know of how files are read."""
        generator = self.image_data_generator
        workers = getattr(generator, "_threads", 0)
        return {
            "pool": decode_pool(self._decoder, workers, getattr(generator, "pool", None)),
            "workers": workers,
            "batch_size": batch_size,
            "timeout": self._timeout,
        }

    def __getstate__(self):
        changed = {"_reading": None, "_index": copy.copy(self._index)}
        bad = {"bad_files": list(self.bad_files), "_known_bad": set(self._known_bad)}
        return super().__getstate__() | changed | bad

    def __setstate__(self, state):
        super().__setstate__(state)
        self._reading = self._new_reading(self.batch_size)
        self._maker = self._new_maker(self._new_source(self.filepaths))

    def _formats_with(self, formats):
        """Returns the endings to read: Keras's, or a subclass's own, and others.

        Raises:
            TypeError: If an ending is no string.
            ValueError: If Pillow cannot read such files.
        """
        if formats is None:
            return self.white_list_formats
        given = (formats,) if isinstance(formats, str) else formats
        if not isinstance(given, Iterable) or not all(isinstance(each, str) for each in given):
            raise TypeError(f"`formats` should be endings of files. Received: {formats=}")
        endings = [ending.lower().removeprefix(".") for ending in given]
        for ending in endings:
            if can_read(ending):
                continue
            if ending in OTHER_FORMATS:
                raise ValueError(f"This Pillow does not read .{ending}. Received: {formats=}")
            # a plugin may yet come
            warn(f"Pillow knows no files that end in .{ending}. Received: {formats=}", UsageWarning)
        return tuple(dict.fromkeys((*self.white_list_formats, *endings)))

    def _target(self):
        size, crop = _checked_size(self.target_size), self._crop()
        if crop is not None:
            return Target(*size, self.color_mode, crop.interpolation)
        return Target(*size, self.color_mode, self.interpolation, self.keep_aspect_ratio)

    def _new_source(self, filepaths):
        return FileSource(
            filepaths, self._target(), self.data_format, **self._reading, crop=self._crop()
        )

    def _crop(self):
        """Returns the crop of `augment` that is taken of a picture before it is resized, or None.

        Raises:
            ValueError: If it makes images of another size than `target_size`.
            TypeError: If it is of a class of the user's, which who reads the files does not have.
        """
        ops = ops_of(self._generator)
        crop = ops and ops.crop
        if crop is not None and not crop.is_of_picture:
            crop = None
        if crop is not None and type(crop).__module__ != RandomResizedCrop.__module__:
            raise TypeError(
                f"Files are read where classes of a program are not: {crop!r} should be a "
                f"RandomResizedCrop itself. Received: {type(crop).__qualname__}"
            )
        if crop is not None and crop.size != tuple(self.target_size):
            raise ValueError(
                f"{crop!r} makes images of {crop.size}: `target_size` should be the same. "
                f"Received: target_size={tuple(self.target_size)}"
            )
        return crop

    def _follow(self):
        super()._follow()
        source, paths = self._maker.source, self.filepaths
        same_paths = source.filepaths is paths or list(source.filepaths) == list(paths)
        target, crop = self._target(), self._crop()
        if not same_paths and self._mask_paths:
            raise ValueError("The files of an iterator with masks cannot be replaced")
        if not same_paths or source.target != target or source.crop != crop:
            self._maker.source = source = self._new_source(paths)
            self._maker.replace_fields(self._mask_fields(source))

    def _mask_fields(self, source):
        if not self._mask_paths:
            return ()
        labels = labels_of_files(self._mask_paths)
        target = dataclasses.replace(source.target, labels=labels)
        masks = FileSource(
            self._mask_paths, target, "channels_last", **self._reading, crop=source.crop
        )
        size = target.height, target.width
        first = self.data_format == "channels_first"
        shape = (1, *size) if first else (*size, 1)
        return [MaskField(self.class_mode, shape, labels, size, first, masks)]

    @property
    def filepaths(self) -> list[str]:
        """Paths of the images, in the order of `filenames`."""
        return self._index.filepaths

    # Keras's own name of what `filepaths` returns, which recipes set.
    _filepaths = _index_attribute("filepaths")

    @property
    def labels(self) -> Any:
        """Labels of all images."""
        return self._index.labels

    @property
    def sample_weight(self) -> Array | None:
        """Weights of all images, or None."""
        return self._index.sample_weight

    @property
    def classes(self) -> Any:
        """Labels as numbers; may be replaced."""
        return self._index.classes

    @classes.setter
    def classes(self, classes: Any) -> None:
        self._index.classes = classes

    def _set_file_arguments(
        self,
        image_data_generator,
        target_size,
        color_mode,
        data_format,
        save_to_dir,
        save_prefix,
        save_format,
        subset,
        interpolation,
        keep_aspect_ratio,
        dtype,
        augment,
    ):
        self.image_data_generator = image_data_generator
        self.augment = augment
        self.target_size = _checked_size(target_size)
        self.keep_aspect_ratio = keep_aspect_ratio
        if color_mode not in CHANNELS:
            raise ValueError(
                f'Invalid color mode: {color_mode}; expected "rgb", "rgba", or "grayscale".'
            )
        self.color_mode = color_mode
        self.data_format = image_data_format() if data_format is None else data_format
        self.dtype = floatx() if dtype is None else dtype
        channels = (CHANNELS[color_mode],)
        self.image_shape = (
            self.target_size + channels
            if self.data_format == "channels_last"
            else channels + self.target_size
        )
        self.save_to_dir = save_to_dir
        self.save_prefix = save_prefix
        self.save_format = save_format
        self.interpolation = interpolation
        self.subset = subset
        self.split = None
        if subset is not None:
            validation_split = image_data_generator._validation_split
            if subset not in ("training", "validation"):
                raise ValueError(
                    f'Invalid subset name: {subset};expected "training" or "validation"'
                )
            self.split = (0, validation_split) if subset == "validation" else (validation_split, 1)

    def _described_labels(self):
        if getattr(self, "class_indices", None) is not None:
            yield f"{len(self.class_indices)} classes"
        yield f"class_mode={self.class_mode!r}"
        yield f"directory={str(self.directory)!r}"

    @property
    def _is_labelled(self):
        return self.class_mode is not None

    def _check_mix(self, mix):
        if self.class_mode not in ("categorical", "sparse", "binary", "raw"):
            raise TypeError(
                f"{mix!r} needs labels that can be mixed. Received: class_mode={self.class_mode!r}"
                f"{FOR_PREDICT if self.class_mode is None else ''}"
            )
        self._mixable(labels_of(self, range(min(self.samples, 1)), self.dtype), mix)

    def _mixable(self, labels, mix):
        classes = 0
        if self.class_mode == "sparse" or (self.class_mode == "binary" and mix.num_classes):
            labels, classes = labels.astype(np.int64), len(self.class_indices)
        elif self.class_mode == "raw":
            classes = self._classes_of(self.labels)
        return label_floats(labels, mix, classes, self._float_type())

    def _with_labels(self, images, index, masks):
        if self.class_mode is None:
            return images
        if isinstance(self.class_mode, Masks):
            (labels,) = masks
        elif self.class_mode == "input":
            labels = images.copy()
        else:
            labels = labels_of(self, index, self.dtype)
        if self.class_mode == "multi_output":
            labels = tuple(labels)  # a trainer on TensorFlow refuses a list
        if self.sample_weight is None:
            return images, labels
        return images, labels, self.sample_weight[index]

    def _plain_copy(self):
        plain = super()._plain_copy()
        if plain.on_error == "replace":
            plain.on_error = "skip"
        return plain

    @property
    def _replaces(self):
        return self.on_error == "replace"

    def _bad_image(self, position, error):
        if self.on_error == "raise":
            raise error
        path = self.filepaths[position]
        if path not in self._known_bad:
            self._known_bad.add(path)
            self.bad_files.append(path)
            how = "Replaced" if self._replaces else "Left out"
            warn(f"{how} a file that cannot be read: {error}")


class DirectoryIterator(_FileIterator[Batch]):
    """Iterates over images in folders, one for each class, decoded and augmented on all cores.

    Args:
        directory: The folder that has the folders.
        image_data_generator: An `ImageDataGenerator`.
        target_size: `(height, width)` of the images.
        color_mode: 'rgb', 'rgba' or 'grayscale'.
        classes: Names of the folders to use, in the order of their labels. None: all, sorted.
        class_mode: 'categorical' (one-hot labels), 'binary' or 'sparse' (numbers), 'input' (the
            images themselves) or None (no labels). Or `fastaug.Masks`: the mask files in a folder,
            each with the path of its image there but for the ending.
        batch_size: Samples in a batch.
        shuffle: Whether to take each epoch in a new random order.
        seed: Seed of the order and the parameters. None: both come from the global `np.random`.
        data_format: 'channels_last' or 'channels_first'. None: Keras's default.
        save_to_dir: Folder to write each augmented image to, or None.
        save_prefix: Prefix of the names of these files.
        save_format: Format of these files.
        follow_links: Whether to enter linked folders.
        subset: 'training' or 'validation', if the generator has a `validation_split`; or, in a
            method of the generator, 'both' for a pair of iterators, of which the second neither
            augments nor shuffles.
        interpolation: 'nearest', 'bilinear', 'bicubic', 'lanczos', 'box' or 'hamming'.
        keep_aspect_ratio: Whether to cut images to the shape of the target before resizing.
        dtype: Type of the batches. None: Keras's floatx.
        decoder: 'processes' or 'threads': what decodes the files. None: 'processes', but
            'threads' on Windows.
        on_error: 'raise', or what is done about files that cannot be read, which `bad_files` lists:
            'skip' leaves them out, 'replace' takes another file of the set for each. A batch of
            which nothing is left has one other.
        timeout: Seconds after which a file that does not come is given up.
        formats: Endings of files to read beside Keras's, such as 'webp', 'gif' (the first picture),
            'avif' or 'jp2': one or some. What a file is, its content tells.
        augment: Whether to augment. If not, nothing but the order is drawn, and images are only
            standardized; if the generator's `augment` has a crop, it is done without chance.

    Raises:
        ValueError: If an argument is not one of the above.
        TypeError: If `target_size` is no pair of integers.
        OSError: If the directory cannot be listed.

    Example:
        >>> generator = fastaug.ImageDataGenerator(rescale=1 / 255)
        >>> with fastaug.DirectoryIterator("photos", generator, (64, 64), batch_size=4) as iterator:
        ...     images, labels = next(iterator)
        Found 13 images belonging to 3 classes.
        >>> images.shape, labels.shape, iterator.class_indices
        ((4, 64, 64, 3), (4, 3), {'ants': 0, 'bees': 1, 'cats': 2})
    """

    allowed_class_modes = DirectoryIndex.allowed_class_modes
    num_classes: int

    def __init__(
        self,
        directory: Path,
        image_data_generator: "ImageDataGenerator",
        target_size: Size = (256, 256),
        color_mode: ColorMode = "rgb",
        classes: ClassNames | None = None,
        class_mode: ClassMode | Masks | None = "categorical",
        batch_size: Integer = 32,
        shuffle: bool = True,
        seed: Integer | None = None,
        data_format: DataFormat | None = None,
        save_to_dir: Path | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: Subset | None = None,
        interpolation: Interpolation = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: DTypeLike | None = None,
        *,
        decoder: Decoder | None = None,
        on_error: OnError = "raise",
        timeout: float = 60,
        formats: str | Iterable[str] | None = None,
        augment: bool = True,
    ) -> None:
        self._set_file_arguments(
            image_data_generator,
            target_size,
            color_mode,
            data_format,
            save_to_dir,
            save_prefix,
            save_format,
            subset,
            interpolation,
            keep_aspect_ratio,
            dtype,
            augment,
        )
        masks = class_mode if isinstance(class_mode, Masks) else None
        index = DirectoryIndex(
            directory,
            classes=classes,
            class_mode=class_mode if masks is None else None,
            split=self.split,
            follow_links=follow_links,
            formats=self._formats_with(formats),
        )
        mask_paths = [] if masks is None else masks_of_directory(index, masks.folder, follow_links)
        super().__init__(
            index,
            about_folders(index),
            batch_size,
            shuffle,
            seed,
            decoder=decoder,
            on_error=on_error,
            timeout=timeout,
            masks=masks,
            mask_paths=mask_paths,
        )


class DataFrameIterator(_FileIterator[Batch]):
    """Iterates over images that a dataframe names, decoded and augmented on all cores.

    Args:
        dataframe: A pandas dataframe with a row for each image.
        directory: Folder that the paths start from. None: they are whole paths.
        image_data_generator: An `ImageDataGenerator`.
        x_col: Column of the paths.
        y_col: Column of the labels, or a list of columns.
        weight_col: Column of the sample weights, or None.
        target_size: `(height, width)` of the images.
        color_mode: 'rgb', 'rgba' or 'grayscale'.
        classes: The classes to use, in the order of their labels. None: all, sorted.
        class_mode: 'categorical' (one-hot labels; rows with lists have several), 'binary' or
            'sparse' (numbers), 'raw' (the column's values, or those of several columns: vectors and
            pandas's own numbers as one array, words in a column of categories as their codes),
            'multi_output' (a tuple of such values), 'input' (the images themselves) or None (no
            labels). Or `fastaug.Masks`: mask files, whose paths in their folder are in the column
            `y_col`, or for None those of the images but for the ending.
        batch_size: Samples in a batch.
        shuffle: Whether to take each epoch in a new random order.
        seed: Seed of the order and the parameters. None: both come from the global `np.random`.
        data_format: 'channels_last' or 'channels_first'.
        save_to_dir: Folder to write each augmented image to, or None.
        save_prefix: Prefix of the names of these files.
        save_format: Format of these files.
        subset: 'training' or 'validation', if the generator has a `validation_split`; or, in a
            method of the generator, 'both' for a pair of iterators, of which the second neither
            augments nor shuffles.
        interpolation: 'nearest', 'bilinear', 'bicubic', 'lanczos', 'box' or 'hamming'.
        keep_aspect_ratio: Whether to cut images to the shape of the target before resizing.
        dtype: Type of the batches.
        validate_filenames: Whether to leave out, with a warning, rows whose path is no image file.
        decoder: 'processes' or 'threads': what decodes the files. None: 'processes', but
            'threads' on Windows.
        on_error: 'raise', or what is done about files that cannot be read, which `bad_files` lists:
            'skip' leaves them out, 'replace' takes another file of the set for each. A batch of
            which nothing is left has one other.
        timeout: Seconds after which a file that does not come is given up.
        formats: Endings of files to read beside Keras's, such as 'webp', 'gif' (the first picture),
            'avif' or 'jp2': one or some. What a file is, its content tells.
        augment: Whether to augment. If not, nothing but the order is drawn, and images are only
            standardized; if the generator's `augment` has a crop, it is done without chance.

    Raises:
        ValueError: If an argument is not one of the above.
        TypeError: If a column holds values of a wrong type, or `target_size` other than integers.

    Example:
        >>> names = ["ants/0.jpg", "bees/1.jpg"]
        >>> frame = pandas.DataFrame({"filename": names, "class": ["a", "b"]})
        >>> generator = fastaug.ImageDataGenerator()
        >>> iterator = fastaug.DataFrameIterator(frame, "photos", generator, class_mode="binary")
        Found 2 validated image filenames belonging to 2 classes.
        >>> images, labels = next(iterator)
        >>> images.shape, labels.shape
        ((2, 256, 256, 3), (2,))
    """

    allowed_class_modes = DataFrameIndex.allowed_class_modes

    # Keras's own names of what `labels` and `sample_weight` return, which recipes set.
    _targets = _index_attribute("_targets")
    _sample_weight = _index_attribute("sample_weight")

    def __init__(
        self,
        dataframe: "pandas.DataFrame",
        directory: Path | None = None,
        image_data_generator: "ImageDataGenerator | None" = None,
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
        data_format: DataFormat | None = "channels_last",
        save_to_dir: Path | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: Subset | None = None,
        interpolation: Interpolation = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: DTypeLike | None = "float32",
        validate_filenames: bool = True,
        *,
        decoder: Decoder | None = None,
        on_error: OnError = "raise",
        timeout: float = 60,
        formats: str | Iterable[str] | None = None,
        augment: bool = True,
    ) -> None:
        self._set_file_arguments(
            image_data_generator,
            target_size,
            color_mode,
            data_format,
            save_to_dir,
            save_prefix,
            save_format,
            subset,
            interpolation,
            keep_aspect_ratio,
            dtype,
            augment,
        )
        masks = class_mode if isinstance(class_mode, Masks) else None
        kept_class_mode: Any = class_mode
        if masks is not None:
            kept_class_mode = None if y_col is None else "raw"
        index = DataFrameIndex(
            dataframe,
            directory=directory,
            x_col=x_col,
            y_col=y_col,
            weight_col=weight_col,
            classes=classes,
            class_mode=kept_class_mode,
            split=self.split,
            validate_filenames=validate_filenames,
            formats=self._formats_with(formats),
        )
        mask_paths: list[str] = []
        if masks is not None:
            mask_paths = masks_of_dataframe(index, masks.folder, y_col, validate_filenames)
        if class_mode == "raw":
            index._targets = as_one_array(index._targets)
            if self.split is not None:
                self._classes_of_all = count_classes(as_one_array(index.unsplit_targets))
            del index.unsplit_targets
        if index.sample_weight is not None:
            index.sample_weight = as_one_array(index.sample_weight)
        super().__init__(
            index,
            about_rows(index),
            batch_size,
            shuffle,
            seed,
            decoder=decoder,
            on_error=on_error,
            timeout=timeout,
            masks=masks,
            mask_paths=mask_paths,
        )
