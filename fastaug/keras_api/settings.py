"""The settings of a generator that decide what becomes of an image, checked and compared.

Somebody may set any of them at any time, or change a list or an array in place. Knows nothing of
how they are carried out.
"""

import numbers

import numpy as np

from fastaug.defaults import floatx, image_data_format
from fastaug.keras_api.snapshot import Snapshot
from fastaug.keras_api.standardization import FOR_FLOATS, STATISTICS
from fastaug.keras_api.warp import border_name
from fastaug.warn import UsageWarning, warn

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
    "augment",
    "preprocessing_function",
    *FOR_FLOATS,
    *STATISTICS.values(),
)


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


def check_follows(generator):
    """Checks that masks can follow the images of a generator.

    Raises:
        TypeError: If it moves them in a way of its own.
    """
    from fastaug.keras_api.generator import ImageDataGenerator

    if not isinstance(generator, ImageDataGenerator):
        return
    moves = getattr(generator.apply_transform, "__func__", None)
    if moves is not ImageDataGenerator.apply_transform:
        raise TypeError(
            "Masks follow the parameters of `get_random_transform`, as `apply_transform` of "
            f"ImageDataGenerator has them. {type(generator).__name__} has one of its own"
        )


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
        self._snapshot = Snapshot(generator, SETTINGS)
        self._dtype = np.dtype(dtype)
        self._defaults = image_data_format(), floatx()

    def are_of(self, generator, dtype) -> bool:
        """Whether all is the same now: equal means the same batches."""
        return (
            self._dtype == dtype
            and self._defaults == (image_data_format(), floatx())
            and self._snapshot.is_of(generator)
        )
