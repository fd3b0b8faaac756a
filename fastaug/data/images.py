"""Single images to and from Pillow and files: the helpers of `keras.utils`, without Keras."""

import io
import os
import pathlib
from typing import IO, Any

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from fastaug.defaults import floatx, standardize_data_format
from fastaug.typing import (
    Array,
    ColorMode,
    DataFormat,
    DTypeLike,
    Interpolation,
    Path,
    Size,
    SupportsArray,
    Values,
)
from fastaug.warn import warn

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "hamming": Image.Resampling.HAMMING,
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}


# NumPy takes longer to look up a name.
_FLOATS = {name: np.dtype(name) for name in ("float16", "float32", "float64")}

_MODES = {"rgb": "RGB", "rgba": "RGBA"}


def array_to_img(
    x: Values,
    data_format: DataFormat | None = None,
    scale: bool = True,
    dtype: DTypeLike | None = None,
) -> Image.Image:
    """Makes a Pillow image from an array.

    Args:
        x: Anything NumPy can read as `(height, width, channels)`, or with the channels first;
            1, 3 or 4 channels.
        data_format: 'channels_last' or 'channels_first'. None: Keras's default.
        scale: Whether to stretch the values to 0..255 first. If not, they are truncated to uint8;
            one channel with a value above 255 becomes int32.
        dtype: Type to compute in. None: Keras's floatx.

    Returns:
        A Pillow image of mode RGBA, RGB, L or I.

    Raises:
        ValueError: If the rank is not 3, or the number of channels not 1, 3 or 4.

    Example:
        >>> fastaug.array_to_img(x[0], scale=False).size
        (32, 32)
    """
    layout = standardize_data_format(data_format)
    array = np.asarray(x, dtype=dtype or floatx())
    if array.ndim != 3:
        raise ValueError(
            "Expected image array to have rank 3 (single image). "
            f"Got array with shape: {array.shape}"
        )
    if layout == "channels_first":
        array = array.transpose(1, 2, 0)
    if scale:
        array = stretched(array)
    channels = array.shape[2]
    if channels == 3:  # `fromarray` comes to the same
        pixels = array.astype(np.uint8, order="C")
        return Image.frombytes("RGB", (array.shape[1], array.shape[0]), pixels)
    if channels == 4:
        return Image.fromarray(array.astype(np.uint8))
    if channels == 1:
        return Image.fromarray(array[:, :, 0].astype(np.int32 if array.max() > 255 else np.uint8))
    raise ValueError(f"Unsupported channel number: {channels}")


def stretched(x):
    """Returns an array of floats with its values stretched to 0..255."""
    x = x - x.min()
    highest = x.max()
    if highest != 0:
        x /= highest
    x *= 255
    return x


def img_to_array(
    img: Image.Image | SupportsArray,
    data_format: DataFormat | None = None,
    dtype: DTypeLike | None = None,
) -> Array:
    """Makes an array from a Pillow image.

    Args:
        img: A Pillow image, or an array of rank 2 or 3 with the channels last.
        data_format: Layout of the result, 'channels_last' or 'channels_first'. None: Keras's
            default.
        dtype: Type of the result. None: Keras's floatx.

    Returns:
        An array of rank 3.

    Raises:
        ValueError: If the rank is neither 2 nor 3.

    Example:
        >>> fastaug.img_to_array(fastaug.load_img("photos/ants/0.jpg")).shape
        (20, 30, 3)
    """
    # Keras is asked only for what is not given: decode processes give both
    layout = standardize_data_format(data_format)
    kind = dtype or _FLOATS.get(name := floatx(), name)
    if type(img) is not np.ndarray and isinstance(img, Image.Image) and img.mode == "RGB":
        pixels = np.frombuffer(img.tobytes(), np.uint8)  # NumPy would ask for more first
        x = pixels.reshape(img.height, img.width, 3).astype(kind)
    else:
        x = np.asarray(img, dtype=kind)
    if x.ndim != 3:
        if x.ndim != 2:
            raise ValueError(f"Unsupported image shape: {x.shape}")
        x = x[:, :, np.newaxis]
    return x if layout == "channels_last" else x.transpose(2, 0, 1)


def save_img(
    path: Path | IO[bytes],
    x: Values,
    data_format: DataFormat | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Writes an array as an image file.

    Args:
        path: Path or file object.
        x: Array as for `array_to_img`.
        data_format: Layout of the array. None: Keras's default.
        file_format: Format of the file. None: by the extension of the path.
        scale: Whether to stretch the values to 0..255.
        **kwargs: For Pillow's `Image.save`.

    Example:
        >>> fastaug.save_img("first.png", x[0], scale=False)
    """
    if file_format is None and isinstance(path, str | pathlib.Path):
        file_format = pathlib.Path(path).suffix[1:].lower()
    if file_format and file_format.lower() == "jpg":
        file_format = "jpeg"
    img = array_to_img(x, data_format=data_format, scale=scale)
    if img.mode == "RGBA" and file_format == "jpeg":
        warn("The JPEG format does not support RGBA images, converting to RGB.")
        img = img.convert("RGB")
    img.save(path, format=file_format, **kwargs)


def check_interpolation(interpolation):
    """Raises Keras's error on a filter that `load_img` does not have.

    Raises:
        ValueError: If it does not.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"Invalid interpolation method {interpolation} specified. Supported methods are "
            f"{', '.join(INTERPOLATIONS)}"
        )


def can_read(ending):
    """Whether Pillow reads files of an ending: it may be without the decoder or the plugin.

    Args:
        ending: Ending in lower case, without its dot.
    """
    if ending in ("jp2", "j2k"):  # registered also without a decoder
        return "jpg_2000" in features.get_supported()
    return Image.registered_extensions().get(f".{ending}") in Image.OPEN


def load_img(
    path: str | bytes | pathlib.Path | io.BytesIO,
    color_mode: ColorMode = "rgb",
    target_size: Size | None = None,
    interpolation: Interpolation = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image.Image:
    """Reads an image file with Pillow.

    Args:
        path: Path, or an `io.BytesIO` with the file in it.
        color_mode: 'rgb', 'rgba' or 'grayscale'; 16- and 32-bit gray images keep their values.
        target_size: `(height, width)` to resize to, or None.
        interpolation: 'nearest', 'bilinear', 'bicubic', 'hamming', 'box' or 'lanczos'.
        keep_aspect_ratio: Whether to cut the image, about its centre, to the shape of the target
            before resizing.

    Returns:
        A Pillow image.

    Raises:
        TypeError: If `path` is neither a path nor a BytesIO.
        ValueError: If `color_mode` or `interpolation` is not one of the above.
        OSError: If the file cannot be read.

    Example:
        >>> fastaug.load_img("photos/ants/0.jpg", target_size=(64, 48)).size  # width first
        (48, 64)
    """
    img: Image.Image
    if isinstance(path, io.BytesIO):
        img = Image.open(path)
    elif isinstance(path, pathlib.Path | bytes | str):
        if isinstance(path, pathlib.Path):
            path = str(path.resolve())
        with open(path, "rb") as file:  # noqa: PTH123 (bytes are paths too)
            data = io.BytesIO(file.read())
        try:
            img = Image.open(data)
        except UnidentifiedImageError:  # it knows no path, and would name an object
            text = f"cannot identify image file {os.fsdecode(path)!r}"
            raise UnidentifiedImageError(text) from None
    else:
        raise TypeError(f"path should be path-like or io.BytesIO, not {type(path)}")

    if color_mode == "grayscale":
        if img.mode not in ("L", "I;16", "I"):
            img = img.convert("L")
    elif color_mode in ("rgb", "rgba"):
        if img.mode != _MODES[color_mode]:
            img = img.convert(_MODES[color_mode])
    else:
        raise ValueError('color_mode must be "grayscale", "rgb", or "rgba"')
    if target_size is None or img.size == (target_size[1], target_size[0]):
        return img
    return resize_img(img, target_size, interpolation, keep_aspect_ratio)


def resize_img(img, target_size, interpolation, keep_aspect_ratio):
    """Returns a Pillow image resized; the arguments are those of `load_img`."""
    check_interpolation(interpolation)
    box = aspect_box(img.size, target_size) if keep_aspect_ratio else None
    return img.resize((target_size[1], target_size[0]), INTERPOLATIONS[interpolation], box=box)


def aspect_box(size, target_size):
    """Returns the largest box about the centre that has the shape of the target.

    Args:
        size: `(width, height)` of the image.
        target_size: `(height, width)`.

    Returns:
        `(left, top, right, bottom)` in whole pixels.
    """
    width, height = size
    target_height, target_width = target_size
    crop_height = min(height, (width * target_height) // target_width)
    crop_width = min(width, (height * target_width) // target_height)
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return left, top, left + crop_width, top + crop_height
