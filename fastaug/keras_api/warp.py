"""Which warp runs for which settings, and the one that is a call into another library.

A warp has one meaning, whoever computes it: ``warp(image, matrix, out)`` samples ``image`` at
``matrix[:, :2] @ (row, column) + matrix[:, 2]`` for each (row, column) of ``out``, with the border
rules of ``scipy.ndimage``. Images are float32 ``(height, width, channels)``.

========  ==========================================================================================
fused     every order, border, size and number of channels; in the core, without the GIL, in one
          pass with what comes before and after it
OpenCV    order 1, the borders that OpenCV has, 1, 3 or 4 channels, sides up to 256 pixels
========  ==========================================================================================

Images of other types are warped in doubles, to the bits of ``scipy.ndimage``: `like_scipy`.
"""

import functools
import itertools
import operator
import threading

import numpy as np

from fastaug import _core, opencv
from fastaug._core import BORDERS
from fastaug.keras_api.params import affine_row
from fastaug.run.locks import renew_in_child

# The border names of scipy.ndimage; the second is another name of the first.
_ALIASES = {"grid-mirror": "reflect"}

_OPENCV_BORDERS = {
    "nearest": "BORDER_REPLICATE",
    "reflect": "BORDER_REFLECT",
    "mirror": "BORDER_REFLECT_101",
    "grid-wrap": "BORDER_WRAP",
}

# OpenCV computes coordinates in float32: past these, of the image and of the coordinates, pixels of
# a noisy image would be more than 0.01 off.
_OPENCV_LARGEST_SIDE = 256
_OPENCV_FARTHEST = 256

ENGINES = ("auto", "fused", "opencv")


def border_name(fill_mode):
    """Returns the name in ``_core.BORDERS`` of a ``fill_mode``.

    Raises:
        RuntimeError: If it is not a mode of ``scipy.ndimage``, as there.
    """
    name = _ALIASES.get(fill_mode, fill_mode) if isinstance(fill_mode, str) else fill_mode
    if name not in BORDERS:
        raise RuntimeError(
            f"boundary mode not supported. Received: fill_mode={fill_mode!r}; expected one of "
            f"{sorted((*BORDERS, *_ALIASES))}"
        )
    return name


def check_order(order):
    """Raises what ``scipy.ndimage`` raises on an interpolation order outside 0..5.

    Raises:
        TypeError: If the order is not a whole number.
        RuntimeError: If it is not 0 to 5.
    """
    try:
        known = operator.index(order) in range(6)
    except TypeError:
        raise TypeError(
            f"`interpolation_order` should be an integer. Received: interpolation_order={order!r}"
        ) from None
    if not known:
        raise RuntimeError(
            f"spline order not supported. Received: interpolation_order={order!r}; expected 0 to 5"
        )


def check_engine(engine):
    """Raises on a `warp` argument that is not one of `ENGINES`, or is not there.

    Raises:
        ValueError: If it is not one of them.
        ImportError: If it is OpenCV, and there is none that is new enough.
    """
    if engine not in ENGINES:
        raise ValueError(f"Invalid warp: {engine!r}; expected one of: {ENGINES}")
    if engine == "opencv":
        opencv.require()


def choose(engine, order, border, shape):
    """Returns the warp for images: None for the fused one, else a function; see `AroundWarp`.

    Args:
        engine: One of `ENGINES`. 'auto' is 'fused', at no size clearly slower, as
            ``bench/compare.py`` measures; 'opencv' is OpenCV where it has what is asked for, to
            the contract's 0.01, else 'fused'.
        order: Interpolation order, 0 to 5.
        border: One of ``_core.BORDERS``.
        shape: `(height, width, channels)`.

    Raises:
        ImportError: If it is OpenCV's, and there is none that is new enough.
    """
    if (
        engine == "opencv"
        and order == 1
        and border in _OPENCV_BORDERS
        and shape[2] in (1, 3, 4)
        and max(shape[:2]) <= _OPENCV_LARGEST_SIDE
    ):
        return OpenCV(border)
    return None


_FIRST = np.zeros(1, dtype=np.int64)
_GEOMETRY = len(("theta", "tx", "ty", "shear", "zx", "zy"))
_FLIP_H, _FLIP_V = (_core.COLUMNS.index(name) for name in ("flip_horizontal", "flip_vertical"))


class AroundWarp:
    """`by_image` of a program: a warp in Python between what the core does to an image.

    Args:
        warp: The warp.
        program: A program that does the same with the fused warp.
        channels_first: Whether images are in planes.
    """

    def __init__(self, warp, program, channels_first):
        self._warp = warp
        self._program = program
        self._first = channels_first

    def __call__(self, image, row, standardize, out):
        """Makes a finished image of a source, with the parameters of a row."""
        if not np.array_equal(row[:_GEOMETRY], _core.IDENTITY[0, :_GEOMETRY]):
            image = self._warped(image, row)
            row[: _FLIP_V + 1] = _core.IDENTITY[0, : _FLIP_V + 1]
        _core.augment(
            self._program, image[np.newaxis], _FIRST, row[np.newaxis], None, out[np.newaxis], 0, 1,
            standardize,
        )  # fmt: skip

    def _warped(self, image, row):
        pixels = image.transpose(1, 2, 0) if self._first else image
        pixels = np.ascontiguousarray(pixels, dtype=np.float32)
        height, width = pixels.shape[:2]
        (matrix,) = _core.affine_matrices(row[np.newaxis], height, width)
        # A flip of the output turns the coordinate that the matrix is given.
        for axis, column, side in (0, _FLIP_V, height), (1, _FLIP_H, width):
            if row[column] != 0:
                matrix[:, 2] += matrix[:, axis] * (side - 1)
                matrix[:, axis] = -matrix[:, axis]
        warped = np.empty(pixels.shape, dtype=np.float32)
        self._warp(pixels, matrix, warped)
        return np.ascontiguousarray(warped.transpose(2, 0, 1)) if self._first else warped


class _OneThreadEach:
    """Turns OpenCV's own threads off while any of ours is in it; the setting is the program's."""

    def __init__(self):
        self._threads = None
        self._renew_in_child()
        renew_in_child(self)

    def _renew_in_child(self):
        self._lock = threading.Lock()
        self._inside = 0  # the threads that are in it are not in a forked child

    def __enter__(self):
        cv2 = opencv.require()
        with self._lock:
            if self._inside == 0:
                self._threads = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._inside += 1

    def __exit__(self, *exc_info):
        cv2 = opencv.require()
        with self._lock:
            self._inside -= 1
            # a number that somebody has set in the meantime stays
            if self._inside == 0 and cv2.getNumThreads() == 1:
                cv2.setNumThreads(self._threads)


_one_thread_each = _OneThreadEach()


class OpenCV:
    """``cv2.warpAffine``, bilinear. It drops the GIL while it works.

    An image whose corners lie too far away for it is left to the fused warp.
    """

    def __init__(self, border):
        self._border_name = border
        self._border = getattr(opencv.require(), _OPENCV_BORDERS[border])

    def __call__(self, image, matrix, out):
        """Warps ``image`` into ``out``."""
        height, width = out.shape[:2]
        corners = matrix @ [[0, 0, height, height], [0, width, 0, width], [1, 1, 1, 1]]
        if not np.abs(corners).max() <= _OPENCV_FARTHEST:
            self._warp_fused(image, matrix, out)
            return
        # (row, column) to OpenCV's (x, y)
        swapped = matrix[::-1][:, [1, 0, 2]]
        cv2 = opencv.require()
        with _one_thread_each:
            result = cv2.warpAffine(
                image,
                swapped,
                (width, height),
                dst=out,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=self._border,
            )
        if not np.shares_memory(result, out):
            out[:] = result.reshape(out.shape)

    def _warp_fused(self, image, matrix, out):
        table = affine_row(tx=1)  # anything but no geometry
        program = _core.Program(*image.shape, border=self._border_name)
        _core.augment(
            program, image[np.newaxis], _FIRST, table, matrix[np.newaxis], out[np.newaxis], 0, 1
        )


def like_scipy(image, matrix, order, border, cval, channels_first):
    """Warps an image in doubles, to the bits of ``scipy.ndimage.affine_transform``.

    Args:
        image: Array of rank 3, any type that SciPy takes.
        matrix: float64 `(2, 3)`.
        order: Interpolation order, 0 to 5.
        border: One of ``_core.BORDERS``.
        cval: Value outside, for the constant borders.
        channels_first: Whether the channels are the first axis, or else the last.

    Returns:
        A new array of the image's shape and type.
    """
    if _gives_scipys_bits():
        warped = _core.exact_warp(image, matrix, order, border, cval, channels_first)
        if warped is not None:
            return warped
    return _by_scipy(image, matrix, order, border, cval, channels_first)


def _by_scipy(image, matrix, order, border, cval, channels_first):
    from scipy import ndimage

    out = np.empty(image.shape, image.dtype.newbyteorder("="))
    linear, offset = np.ascontiguousarray(matrix[:, :2]), matrix[:, 2]
    for k in range(image.shape[0 if channels_first else 2]):
        place = k if channels_first else (..., k)
        ndimage.affine_transform(
            image[place], linear, offset, output=out[place], order=order, mode=border, cval=cval
        )
    return out


@functools.cache
def _gives_scipys_bits() -> bool:
    """Whether the core has SciPy's bits here: a compiler may have contracted its a * b + c."""
    image = np.random.RandomState(0).random_sample((9, 8, 1))
    matrix = np.array([[0.9, -0.3, 1.7], [0.4, 1.1, -2.6]])
    for order, border in itertools.product((0, 1), BORDERS):
        warped = _core.exact_warp(image, matrix, order, border, 0.3, False)
        expected = _by_scipy(image, matrix, order, border, 0.3, False)
        if warped is None or not np.array_equal(warped, expected):
            return False
    return True
