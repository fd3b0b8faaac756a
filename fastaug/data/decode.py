"""One image file to the pixels of `keras.utils.load_img`, in memory that the caller lends.

Owns the choice of decoder. Pillow is the reference and reads everything; OpenCV, where there is
one, is faster and reads only those files whose pixels are known to come out the same. Runs in
worker processes: must never import Keras, and knows nothing of slots, batches or processes.

What was measured (OpenCV 4.11 to 5.0, Pillow 13), and so decides here:

- On whole 8-bit Huffman-coded JPEGs of one or three components the two decoders agree bit for bit.
- OpenCV draws half a gray picture for a truncated JPEG, where Pillow raises.
- Pillow's NEAREST takes whole rows and columns, which Pillow itself tells for a line of numbers; to
  pick them takes less than half the time of OpenCV's `INTER_NEAREST_EXACT`, which does not take the
  same ones from a box cut out of an image.
- The other filters are Pillow's own; the core has them to the last bit, in a quarter of the time.
"""

import dataclasses
import functools
import importlib
import io
import re
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from PIL import Image

from fastaug import _core, opencv
from fastaug.data import images

CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}

# Pillow's modes of masks, and the type of their labels.
_LABELS = {
    "1": "uint8",
    "L": "uint8",
    "P": "uint8",
    "I;16": "uint16",
    "I;16B": "uint16",
    "I": "int32",
    "F": "float32",
}

cv2 = opencv.find()

# Pillow's weights of "L" over 2**16, and its half for rounding. float32 holds every one of these
# products and sums exactly, so the floor of this product is Pillow's integer arithmetic.
_TO_GRAY = np.array([[19595, 38470, 7471, 0x8000]], np.float32) / 2**16


@dataclasses.dataclass(frozen=True)
class Target:
    """What every file of a data set is turned into; the arguments of `load_img`.

    Attributes:
        height: Rows of the result.
        width: Columns of the result.
        color_mode: 'rgb', 'rgba' or 'grayscale'.
        interpolation: 'nearest', 'bilinear', 'bicubic', 'hamming', 'box' or 'lanczos'.
        keep_aspect_ratio: Whether to cut the image, about its centre, to the shape of the target
            before resizing.
        labels: Name of the type of the labels, if the files are masks: then they are resized by
            'nearest', and the result has their bytes. None: they are images.
    """

    height: int
    width: int
    color_mode: str
    interpolation: str = "nearest"
    keep_aspect_ratio: bool = False
    labels: str | None = None

    def __post_init__(self):
        """Refuses what could never be decoded into."""
        if self.color_mode not in CHANNELS:
            raise ValueError(
                f'color_mode must be "grayscale", "rgb", or "rgba", not {self.color_mode!r}'
            )
        images.check_interpolation(self.interpolation)
        if self.height < 1 or self.width < 1:
            raise ValueError(
                f"height and width must be at least 1, not {self.height} and {self.width}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a decoded image, `(height, width, channels)`; of a mask's bytes."""
        if self.labels is not None:
            return self.height, self.width, np.dtype(self.labels).itemsize
        return self.height, self.width, CHANNELS[self.color_mode]

    @property
    def dtype(self) -> np.dtype:
        """Type of a decoded image: 16- and 32-bit gray images keep their values, so float32."""
        is_float = self.color_mode == "grayscale" and self.labels is None
        return np.dtype(np.float32 if is_float else np.uint8)


class Crop(Protocol):
    """What draws the part of each picture that is decoded, and resized to the target.

    Attributes:
        about: What makes it anew in another process, as JSON has it: `[module, class, arguments]`.
    """

    about: list[Any]

    def bind(self, seed: int, epoch: int, sample: int) -> Callable[[int, int], "Box"]:
        """Returns a function of the height and width of a sample's picture.

        It returns `(left, top, right, bottom)`, whole numbers.
        """


Box = tuple[int, int, int, int]


def crop_of(about: list[Any]) -> Crop:
    """Makes a `Crop` from its `about`."""
    module, name, arguments = about
    return getattr(importlib.import_module(module), name)(**arguments)


def decode(path, target: Target, out: np.ndarray) -> None:
    """Reads one image file into `out`.

    The pixels are those of Keras's `img_to_array(load_img(path, ...))`, bit for bit.

    Args:
        path: The file; a path as a string, bytes or `pathlib.Path`.
        target: Size, colour mode and filter.
        out: C-contiguous array of `target.shape` and `target.dtype`. After an error its contents
            mean nothing.

    Raises:
        ValueError: If `out` does not fit `target`.
        Exception: What Keras's `load_img` raises for this file, of the same type and with the path
            in its text: an `OSError` for a file that is missing, truncated or no image,
            `PIL.Image.DecompressionBombError` for one that is too large.
    """
    if out.shape != target.shape or out.dtype != target.dtype:
        raise ValueError(
            f"out should have shape {target.shape} and dtype {target.dtype}, "
            f"not {out.shape} and {out.dtype}"
        )
    if not out.flags.c_contiguous:
        raise ValueError(f"out should be C-contiguous, not of strides {out.strides}")
    decode_bytes(read_file(path), path, target, out)


def read_file(path, file=None) -> bytes:
    """Returns the bytes of a file; raises what `decode` raises.

    Args:
        path: The file.
        file: What is known of it: its bytes, or a descriptor, which is closed; or None.
    """
    if type(file) is bytes:
        return file
    try:
        with open(path if file is None else file, "rb", buffering=0) as opened:  # noqa: PTH123
            return opened.read()
    except Exception as error:
        _put_path(error, path)
        raise


def decode_bytes(
    data: bytes,
    path,
    target: Target,
    out: np.ndarray,
    box_of: Callable[[int, int], Box] | None = None,
) -> None:
    """Does what `decode` does, with the bytes of a file.

    Args:
        data: The bytes.
        path: For the text of errors.
        target: As for `decode`.
        out: As for `decode`.
        box_of: Function of the picture's height and width that returns what is cut out of it before
            it is resized, with the target's filter, whatever its size; None: nothing is.
    """
    try:
        if target.labels is not None:
            _decode_labels(data, target, box_of, out)
        elif box_of is not None:
            _decode_part(data, target, box_of, out)
        elif not _decode_with_opencv(data, target, out):
            _decode_with_pillow(data, target, out)
    except Exception as error:
        _put_path(error, path)
        raise


def _decode_part(data, target, box_of, out):
    """Decodes a part of any picture."""
    jpeg = None if cv2 is None else _opencv_can(data)
    if jpeg is not None:
        whole = dataclasses.replace(target, height=jpeg[0], width=jpeg[1])
        pixels = np.empty(whole.shape, whole.dtype)
        if _decode_with_opencv(data, whole, pixels):
            left, top, right, bottom = box_of(*jpeg[:2])
            part = pixels[top:bottom, left:right]
            if part.dtype == np.uint8:
                _resample(part, target, out)
            else:  # gray pictures of more than 8 bits are Pillow's
                out[...] = _resampled(part.astype(np.uint8), target)
            return
    img = images.load_img(io.BytesIO(data), target.color_mode)
    img = img.crop(box_of(img.height, img.width))
    img = images.resize_img(img, (target.height, target.width), target.interpolation, False)
    out[...] = images.img_to_array(img, "channels_last", out.dtype)


def labels_in(img):
    """Returns the name of the type of the labels in a Pillow image.

    Raises:
        ValueError: If a pixel has more than one value.
    """
    if img.mode not in _LABELS:
        raise ValueError(
            f"A mask has one label for each pixel, in one of Pillow's modes {', '.join(_LABELS)}. "
            f"This file has the mode {img.mode}"
        )
    return _LABELS[img.mode]


def _decode_labels(data, target, box_of, out):
    """Decodes the bytes of a mask to those of its labels; of a palette to its numbers."""
    img: Image.Image = Image.open(io.BytesIO(data))
    if labels_in(img) != target.labels:
        raise ValueError(
            f"A mask of {labels_in(img)}, among masks of {target.labels}. A flow has one type"
        )
    size = target.height, target.width
    if box_of is not None:
        img = img.crop(box_of(img.height, img.width))
    if img.size != size[::-1]:
        img = images.resize_img(img, size, "nearest", target.keep_aspect_ratio)
    out.view(target.labels)[..., 0] = np.asarray(img)


def _decode_with_pillow(data, target, out):
    """Decodes the bytes of any file that Keras reads."""
    img = images.load_img(io.BytesIO(data), target.color_mode)
    if img.size != (target.width, target.height):
        if _core_can_resize(target) and img.mode in ("RGB", "L"):
            img.load()
            out[...] = _resampled(np.atleast_3d(np.asarray(img)), target)
            return
        size = target.height, target.width
        img = images.resize_img(img, size, target.interpolation, target.keep_aspect_ratio)
    # An image of the right mode and size is still lazy: this is where a truncated one raises.
    out[...] = images.img_to_array(img, "channels_last", out.dtype)


def _decode_with_opencv(data, target, out):
    """Decodes the bytes of a file if OpenCV is known to do it as Pillow does; returns whether."""
    jpeg = None if cv2 is None else _opencv_can(data)
    if jpeg is None:
        return False
    height, width, has_metadata = jpeg
    # Keras looks at the filter and the aspect ratio only if the size differs.
    resize = (height, width) != (target.height, target.width)
    if resize and target.interpolation != "nearest" and not _core_can_resize(target):
        return False
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    if has_metadata:
        Image.open(io.BytesIO(data))  # metadata that Pillow chokes on are an error in Keras
    rgb = target.color_mode == "rgb"
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if pixels is None or pixels.shape != (height, width, 3):
            return False
        if resize and (target.interpolation == "nearest" or target.color_mode != "grayscale"):
            # Resizing first is the same as last here, and leaves less to convert.
            small = out if rgb else np.empty((target.height, target.width, 3), np.uint8)
            if target.interpolation == "nearest":
                _core.pick_pixels(pixels, *_nearest_pixels((height, width), target), small)
            else:
                _resample(pixels, target, small)
            pixels = small
    except cv2.error:  # Pillow may read it; if not, the error has to be Pillow's
        return False
    if target.color_mode == "rgba":
        cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA, dst=out)
    elif target.color_mode == "grayscale":
        # Not IMREAD_GRAYSCALE: the file's own luma is not what Pillow computes from its RGB.
        gray = cv2.transform(pixels.astype(np.float32), _TO_GRAY)
        np.floor(gray, out=gray)
        if pixels.shape[:2] != out.shape[:2]:  # Pillow resizes what it has converted
            gray = _resampled(gray.astype(np.uint8)[..., np.newaxis], target)[..., 0]
        out[..., 0] = gray
    elif pixels is not out:
        out[...] = pixels
    return True


def _box_of(size, target):
    """Returns what of an image of `(height, width)` is resized: `(left, top, right, bottom)`."""
    height, width = size
    if target.keep_aspect_ratio:
        return images.aspect_box((width, height), (target.height, target.width))
    return 0, 0, width, height


def _resample(pixels, target, out):
    """Resizes an image of uint8 as Pillow does, by one of the filters that the core has."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = _box_of((height, width), target)
    less, narrower = height - target.height, width - target.width
    rows_first = _passes_of_pillow() == "rows first" and less > max(0, 2 * narrower)
    rows = _weights(target.interpolation, height, top, bottom, target.height)
    columns = _weights(target.interpolation, width, left, right, target.width)
    _core.resample(pixels, rows, columns, out, rows_first)


def _resampled(pixels, target):
    """Returns what `_resample` makes."""
    out = np.empty((target.height, target.width, pixels.shape[2]), np.uint8)
    _resample(pixels, target, out)
    return out


_weights = functools.lru_cache(maxsize=256)(_core.ResampleWeights)


def _core_can_resize(target):
    """Whether the core has the filter of a target, as Pillow has it."""
    return target.interpolation in _core.FILTERS and _passes_of_pillow() is not None


@functools.cache
def _passes_of_pillow():
    """Asks Pillow in which order it resizes rows and columns, as it rounds what is between.

    Returns:
        'columns first'; 'rows first' where an image loses more than twice as many rows as columns,
        as from Pillow 13 on; None: in another way.
    """
    image = (np.arange(24 * 9 * 3) * 7919 % 256).astype(np.uint8).reshape(24, 9, 3)
    rows, columns = _weights("lanczos", 24, 0, 24, 5), _weights("lanczos", 9, 0, 9, 7)
    expected = np.asarray(Image.fromarray(image).resize((7, 5), Image.Resampling.LANCZOS))
    for name, rows_first in ("rows first", True), ("columns first", False):
        out = np.empty((5, 7, 3), np.uint8)
        _core.resample(image, rows, columns, out, rows_first)
        if np.array_equal(out, expected):
            return name
    return None


def _nearest_pixels(size, target):
    """Returns the rows and columns of an image of `(height, width)` that NEAREST takes."""
    height, width = size
    left, top, right, bottom = _box_of(size, target)
    return (
        _nearest_along(height, top, bottom, target.height),
        _nearest_along(width, left, right, target.width),
    )


@functools.lru_cache(maxsize=4096)
def _nearest_along(length, start, stop, target):
    """Asks Pillow which pixels of a line its NEAREST takes from a stretch of it."""
    line = Image.fromarray(np.arange(length, dtype=np.int32)[np.newaxis])
    box = (start, 0, stop, 1)
    return np.asarray(line.resize((target, 1), Image.Resampling.NEAREST, box=box))[0].copy()


def _opencv_can(data):
    """Returns what `read_jpeg` knows of a file that OpenCV decodes as Pillow does, or None."""
    limit = Image.MAX_IMAGE_PIXELS  # above it Pillow warns or raises
    return _core.read_jpeg(data, -1 if limit is None else int(max(0, min(limit, 2**62))))


# What Pillow calls a file that it has as bytes.
_BYTES = re.compile(r" <_io\.BytesIO object at \w+>")


def _put_path(error, path):
    """Puts the path of the file into the text of an error, which can be pickled as before."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.filename is None:  # the others name it already
            error.filename = path
        return
    name = path.decode(errors="replace") if isinstance(path, bytes) else str(path)
    text = _BYTES.sub("", str(error))
    if isinstance(error, UnicodeError):  # composes its text from five arguments, the last one free
        error.reason = f"{name}: {error.reason}"
        error.args = (*error.args[:-1], error.reason)
        return
    error.args = (f"{name}: {text}",)
    if isinstance(error, SyntaxError):  # keeps its text here too
        error.msg = error.args[0]
