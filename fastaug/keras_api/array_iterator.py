"""The iterator over images in an array: its arguments, labels and weights."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastaug.data.carried import Carried
from fastaug.data.lazy import LazyArray, lazily
from fastaug.data.sources import source_of
from fastaug.defaults import floatx, image_data_format
from fastaug.keras_api.advice import about_images, about_split, about_validation
from fastaug.keras_api.augmenting import FOR_PREDICT, AugmentingIterator
from fastaug.ops.base import size_and_channels
from fastaug.ops.mix import count_classes, label_floats
from fastaug.program.fields import MaskField, Masks, is_structure, map_leaves, masks_in
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
    from fastaug.keras_api.generator import ImageDataGenerator


class NumpyArrayIterator(AugmentingIterator[Batch]):
    """Iterates over images in an array, augmented on all cores.

    Args:
        x: Images, of rank 4 in `data_format`, any real type; kept as it is. An array that is not in
            memory, such as one of h5py, zarr or dask, is read a batch at a time. Or `(x, extra)`,
            where extra is an array or a list of arrays of the same length, handed out with the
            images in a tuple.
        y: Labels, or None. Or `fastaug.Masks`, which go where their images go, or a dict or tuple
            of labels and masks, of any depth.
        image_data_generator: An `ImageDataGenerator`.
        batch_size: Samples in a batch.
        shuffle: Whether to take each epoch in a new random order.
        sample_weight: Weights, or None.
        seed: Seed of the order and the parameters. None: both come from the global `np.random`.
        data_format: 'channels_last' or 'channels_first'. None: Keras's default.
        save_to_dir: Folder to write each augmented image to, or None.
        save_prefix: Prefix of the names of these files.
        save_format: Format of these files.
        subset: 'training' or 'validation', if the generator has a `validation_split`; or, in a
            method of the generator, 'both' for a pair of iterators, of which the second neither
            augments nor shuffles.
        ignore_class_split: Whether the two subsets may have different labels.
        dtype: Type of the batches. None: Keras's floatx.
        augment: Whether to augment. If not, nothing but the order is drawn, and images are only
            standardized; if the generator's `augment` has a crop, it is done without chance.

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
        y: Values | Masks | dict[str, Any] | None,
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
        *,
        augment: bool = True,
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
        leaves: list[Any] = []
        map_leaves(leaves.append, labels)
        checked = [*(("y", "labels", leaf) for leaf in leaves), ("sample_weight", "", weights)]
        for name, argument, values in checked:
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
                and not is_structure(labels)
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
            labels = None if labels is None else map_leaves(lambda y: _part(y, part), labels)

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
        self.y = None if labels is None else map_leaves(_kept_target, labels)
        if subset is not None and ignore_class_split and not is_structure(y):
            self._classes_of_all = count_classes(y)
        self.sample_weight: Array | None = None if weights is None else np.asarray(weights)
        self.image_data_generator = image_data_generator
        self.augment = augment
        self.data_format = layout
        self.save_to_dir = save_to_dir
        self.save_prefix = save_prefix
        self.save_format = save_format
        super().__init__(source_of(images), batch_size, shuffle, seed, hash_limit=1e4)
        advice += about_validation(image_data_generator, subset, augment)
        for text in [*advice, *about_images(self._generator, images, self.dtype)]:
            warn(text, UsageWarning)

    def __getstate__(self):
        return super().__getstate__() | {
            "_early_x": Carried(self.x),
            "x_misc": [Carried(xx) for xx in self.x_misc],
            "_y": map_leaves(_carried, self.y),
            "sample_weight": Carried(self.sample_weight),
        }

    def __setstate__(self, state):
        arrays = {name: state[name].array for name in ("_early_x", "sample_weight")}
        arrays["_y"] = map_leaves(_brought, state["_y"])
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
            self._has_new_masks = True

    @property
    def y(self) -> Any:
        """Labels, masks or a structure of them; may be replaced, from the next batch on."""
        return self._y

    @y.setter
    def y(self, y: Any) -> None:
        self._y = y
        self._classes_of_all = 0
        self._has_new_masks = self._maker is not None

    def _follow(self):
        super()._follow()
        if self._has_new_masks:
            self._maker.replace_fields(self._mask_fields(self._maker.source))
            self._has_new_masks = False

    def _described_labels(self):
        for name in ("y", "sample_weight"):
            values = getattr(self, name, None)
            if is_structure(values):
                yield f"{name}={map_leaves(_described, values)}"
            elif values is not None:
                yield f"{name} of shape {np.shape(values)}"

    @property
    def _is_labelled(self):
        return self.y is not None

    def _check_mix(self, mix):
        if not isinstance(self.y, np.ndarray):
            hint = FOR_PREDICT if self.y is None else ""
            raise TypeError(f"{mix!r} needs labels in one array. Received: y={self.y!r:.200}{hint}")
        if self.x_misc:
            raise TypeError(f"{mix!r} cannot mix inputs beside the images")
        labels = self.y
        if labels.dtype.kind in "iu" and labels.size == len(labels):
            # These stand for all: a row of floats for every label may be many gigabytes.
            labels = labels[[labels.argmin(), labels.argmax()]]
        self._mixable(labels, mix)

    def _mixable(self, labels, mix):
        return label_floats(labels, mix, self._classes_of(self.y), self._float_type())

    def _mask_fields(self, source):
        first = self.data_format == "channels_first"
        size, _ = size_and_channels(source.shape, first)
        return [
            MaskField(masks, masks.shape[1:], masks.dtype, size, first)
            for masks in masks_in(self.y)
        ]

    def _with_labels(self, images, index, masks):
        if self.x_misc:
            images = (images, *[xx[index] for xx in self.x_misc])
        if self.y is None:
            return images
        made = iter(masks)
        y = map_leaves(lambda leaf: next(made) if isinstance(leaf, Masks) else leaf[index], self.y)
        if self.sample_weight is None:
            return images, y
        return images, y, self.sample_weight[index]


def _kept_or_array(values):
    """Returns an extra input: what is not in memory stays where it is."""
    values = lazily(values)
    return values if isinstance(values, LazyArray) else np.asarray(values)


def _part(values, rows):
    return values.part(rows) if isinstance(values, LazyArray | Masks) else values[rows]


def _described(leaf):
    return leaf if isinstance(leaf, Masks) else np.shape(leaf)


def _kept_target(values):
    return values if isinstance(values, Masks) else np.asarray(values)


def _carried(values):
    return values if isinstance(values, Masks) else Carried(values)


def _brought(values):
    return values.array if isinstance(values, Carried) else values


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
