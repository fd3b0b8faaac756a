"""The settings of a generator that decide what becomes of an image, checked and compared.

Somebody may set any of them at any time, or change a list or an array in place. Knows nothing of
how they are carried out.
"""

import numbers
import operator
from typing import Any

import numpy as np

from fastaug import _core
from fastaug.keras_backend import floatx, image_data_format
from fastaug.warn import UsageWarning, warn
from fastaug.warp import border_name

# The attributes of a generator that turn levels into other numbers, which no integer holds.
FOR_FLOATS = (
    "rescale",
    "samplewise_center",
    "samplewise_std_normalization",
    "featurewise_center",
    "featurewise_std_normalization",
    "zca_whitening",
)

# What `fit` has to find out for some of them.
STATISTICS = {
    "featurewise_center": "mean",
    "featurewise_std_normalization": "std",
    "zca_whitening": "zca_whitening_matrix",
}

# All those that decide what becomes of an image.
SETTINGS = (
    "dtype",
    "data_format",
    "rotation_range",
    "width_shift_range",
    "height_shift_range",
    "shear_range",
    "zoom_range",
    "channel_shift_range",
    "brightness_range",
    "horizontal_flip",
    "vertical_flip",
    "fill_mode",
    "cval",
    "interpolation_order",
    "warp",
    "preprocessing_function",
    *FOR_FLOATS,
    *STATISTICS.values(),
)

_values_of = operator.attrgetter(*SETTINGS)

# Somebody may change statistics in place. Above this size a copy to compare with is too much.
_COPIED_BYTES = 1 << 14
_SUMS = 1021


def check_dtype(generator, dtype, in_floatx):
    """Says which setting makes floats for batches of integers.

    Keras cannot change an integer image in place by a float. If it has made floats of the image
    before, the batch gets their whole part. A `preprocessing_function` may do anything, and so may
    a subclass.

    Args:
        generator: An `ImageDataGenerator`.
        dtype: Type of the batches.
        in_floatx: Whether Keras has the images as floats until they go into the batch.

    Raises:
        TypeError: If no batch could be made.
    """
    if (
        np.dtype(dtype).kind not in "biu"
        or generator.preprocessing_function
        or generator._overrides_methods()
    ):
        return
    for name in FOR_FLOATS:
        value = getattr(generator, name)
        statistic = getattr(generator, STATISTICS.get(name, name))
        # one that is missing is warned of at every batch
        whole = name == "rescale" and isinstance(value, numbers.Integral)
        if not value or whole or statistic is None:
            continue
        advice = (
            f"Received: {name}={value!r}. Leave it to the model, such as a "
            '`keras.layers.Rescaling` or `Normalization` layer, or use dtype="float32".'
        )
        makes = f"`{name}` makes floats, "
        if in_floatx or generator.channel_shift_range != 0 or generator.brightness_range:
            text = f"{makes}of which batches of {np.dtype(dtype)} keep the whole part. {advice}"
            warn(text, UsageWarning)
        else:
            raise TypeError(f"{makes}which batches of {np.dtype(dtype)} cannot hold. {advice}")


def makes_bytes(generator, source, default_float):
    """Whether the core makes uint8 batches as a generator is set, of the images of a source.

    Args:
        generator: An `ImageDataGenerator`.
        source: Where the images come from.
        default_float: Keras's floatx.
    """
    if (
        source.dtype != np.uint8
        or generator.preprocessing_function
        or generator.interpolation_order > 1
        or generator.warp == "opencv"
        or any(getattr(generator, name) for name in FOR_FLOATS)
    ):
        return False
    # what a byte makes of a float outside 0..255 is the processor's affair
    return not source.in_floatx or (default_float == "float32" and stays_in_levels(generator))


def stays_in_levels(generator):
    """Whether a warp of values from 0 to 255 gives no others."""
    border, order = border_name(generator.fill_mode), generator.interpolation_order
    return order <= 1 and ("constant" not in border or 0 <= generator.cval <= 255)


class Settings:
    """What a generator is set to at one time, and Keras's defaults.

    Args:
        generator: An `ImageDataGenerator`.
        dtype: Type of the batches.
    """

    def __init__(self, generator, dtype):
        values = _values_of(generator)
        self._frozen = tuple([_frozen(value) for value in values])
        self._remember(values)
        self._dtype = np.dtype(dtype)
        self._defaults = image_data_format(), floatx()
        self._unfitted = generator._unfitted()

    def are_of(self, generator, dtype) -> bool:
        """Whether all is the same now: equal means the same batches."""
        if self._dtype != dtype or self._defaults != (image_data_format(), floatx()):
            return False
        if not _core.same_attributes(generator, SETTINGS, self._values, self._items):
            values = _values_of(generator)
            if self._frozen != tuple([_frozen(value) for value in values]):
                return False
            self._remember(values)
        changeable = self._changeable
        return not changeable or all(_frozen(value) == frozen for value, frozen in changeable)

    def warn_unfitted(self):
        """Warns of statistics that are asked for and not there, as Keras does on every image."""
        for message in self._unfitted:
            warn(message)

    def _remember(self, values):
        """Takes the very objects for these settings, to be told quickly from others."""
        items: list[Any] = [None] * len(values)
        self._changeable = []  # what has to be looked into each time
        for k, value in enumerate(values):
            if type(value) is list and not any(isinstance(v, list | np.ndarray) for v in value):
                items[k] = tuple(value)
            elif isinstance(value, list | np.ndarray):
                self._changeable.append((value, self._frozen[k]))
        self._values, self._items = values, tuple(items)


def _frozen(value):
    """Two settings may be equal and not mean the same: 1 pixel to pick from, 1.0 to shift by."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, _content(value))
    if isinstance(value, (list, tuple)):
        return tuple([_frozen(item) for item in value])
    return (type(value), value)


def _content(array):
    """Returns what compares the content of arrays: the bytes or, of a large one, sums of them."""
    if array.nbytes <= _COPIED_BYTES or array.dtype.hasobject:
        return array.tobytes()
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    words = data[: data.size // 8 * 8].view(np.uint64)
    table = words[: words.size // _SUMS * _SUMS].reshape(-1, _SUMS)
    # each sum takes every so many words, so that a change of their order shows too
    sums = np.add.reduce(table, axis=0)
    return sums.tobytes() + data[8 * table.size :].tobytes()
