"""Ops that need a whole image, or the neighbours of a pixel."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastaug.ops.base import (
    Draws,
    Op,
    PlainOp,
    between,
    check_number,
    check_pair,
    check_probability,
    key_columns,
    set_fields,
)

__all__: list[str] = ["AutoContrast", "Equalize", "Erasing", "GaussianBlur", "Sharpness"]


@dataclasses.dataclass(frozen=True)
class AutoContrast(PlainOp):
    """Stretches the values of each channel to the range of 0 to 255.

    As `torchvision.transforms.v2.RandomAutocontrast`; `PIL.ImageOps.autocontrast` differs by at
    most one level. For uint8 and float images of one or three channels.

    Args:
        p: Probability with which an image is stretched.

    Raises:
        ValueError: If `p` is no probability; with images, if they have other channels.

    Example:
        >>> fastaug.AutoContrast()(np.array([[50, 75, 100]], dtype="uint8"))
        array([[  0, 127, 254]], dtype=uint8)
    """

    kernel = "autocontrast"


@dataclasses.dataclass(frozen=True)
class Equalize(PlainOp):
    """Makes the histogram of each channel flat.

    As `torchvision.transforms.v2.RandomEqualize` and `PIL.ImageOps.equalize`. For uint8 images of
    one or three channels.

    Args:
        p: Probability with which an image is equalized.

    Raises:
        ValueError: If `p` is no probability; with images, if they have other channels.
        TypeError: With images, if they are not uint8.

    Example:
        >>> image = np.repeat([[10, 20, 30, 40]], 255, axis=0).astype("uint8")
        >>> fastaug.Equalize()(image)[0]
        array([  0,  85, 170, 255], dtype=uint8)
    """

    kernel = "equalize"


_LARGEST_WINDOW = 255


@dataclasses.dataclass(frozen=True)
class GaussianBlur(Op):
    """Blurs an image by a Gaussian window; what is outside the image is mirrored.

    As `torchvision.transforms.v2.GaussianBlur`. For uint8 and float images larger than half of the
    window.

    Args:
        kernel_size: Width and height of the window in pixels, or one number for both: odd, up to
            255.
        sigma: Least and greatest standard deviation in pixels, above 0 and up to 1000, or one
            number.
        p: Probability with which an image is blurred.

    Raises:
        ValueError: If a number is outside its range; with images, if they are too small.
        TypeError: If an argument is of another type.

    Example:
        >>> image = np.array([[0, 90, 0], [0, 90, 0]], dtype="uint8")
        >>> fastaug.GaussianBlur(kernel_size=3, sigma=1.0)(image)
        array([[49, 41, 49],
               [49, 41, 49]], dtype=uint8)
    """

    kernel_size: tuple[int, int]
    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 1.0

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        sigma: float | Sequence[float] = (0.1, 2.0),
        p: float = 1.0,
    ) -> None:
        sizes = tuple(kernel_size) if isinstance(kernel_size, list | tuple) else (kernel_size,) * 2
        if len(sizes) != 2 or not all(
            isinstance(size, int | np.integer) and not isinstance(size, bool) for size in sizes
        ):
            raise TypeError(
                f"`kernel_size` should be an integer or (width, height). Received: {kernel_size=}"
            )
        if not all(1 <= size <= _LARGEST_WINDOW and size % 2 for size in sizes):
            raise ValueError(
                f"`kernel_size` should be odd, from 1 to {_LARGEST_WINDOW}. Received: "
                f"{kernel_size=}"
            )
        pair = sigma if isinstance(sigma, list | tuple) else (sigma, sigma)
        if isinstance(sigma, int | float | np.number):
            check_number("sigma", sigma, 1e-3, 1000)
        check_probability(p)
        set_fields(
            self,
            kernel_size=(int(sizes[0]), int(sizes[1])),
            sigma=check_pair("sigma", pair, 1e-3, 1000),
            p=p,
        )

    @property
    def steps(self) -> tuple[str, ...]:
        """The core's op."""
        return ("gaussian_blur",)

    def check_size(self, size: tuple[int, int]) -> None:
        """Raises a ValueError if images of a size are too small to be mirrored."""
        if size[0] <= self.kernel_size[1] // 2 or size[1] <= self.kernel_size[0] // 2:
            raise ValueError(
                f"{self!r} needs images larger than half of its window. Received images of "
                f"{tuple(size)}"
            )

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the height and width of the window, and the standard deviation."""
        columns = np.empty((len(draws), 3))
        columns[:, :2] = self.kernel_size[::-1]
        columns[:, 2:] = between(self.sigma, draws.uniform(1))
        return columns


@dataclasses.dataclass(frozen=True)
class Sharpness(Op):
    """Makes an image sharper, or smoother; the outermost pixels stay.

    As `torchvision.transforms.v2.RandomAdjustSharpness` and `PIL.ImageEnhance.Sharpness`. For uint8
    and float images.

    Args:
        factor: 0 makes an image smooth, 1 leaves it, 2 makes it twice as sharp; up to 1000.
        p: Probability with which an image is changed.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If an argument is of another type.

    Example:
        >>> image = np.array([[9, 9, 9], [9, 35, 9], [9, 9, 9]], dtype="uint8")
        >>> fastaug.Sharpness(factor=2.0)(image)
        array([[ 9,  9,  9],
               [ 9, 51,  9],
               [ 9,  9,  9]], dtype=uint8)
    """

    factor: float
    p: float = 1.0

    def __post_init__(self) -> None:
        check_number("factor", self.factor, 0, 1000)
        check_probability(self.p)

    @property
    def steps(self) -> tuple[str, ...]:
        """The core's op."""
        return ("sharpness",)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the factor."""
        return np.full((len(draws), 1), float(self.factor))


_ATTEMPTS = 10
_MOST_VALUES = 4


@dataclasses.dataclass(frozen=True)
class Erasing(Op):
    """Covers a rectangle.

    As `torchvision.transforms.v2.RandomErasing`: ten times an area and a shape are drawn, and the
    first rectangle that is smaller than the image is covered; if none is, nothing. The image's mask
    is not covered. For uint8 and float images.

    Args:
        p: Probability with which a rectangle is covered.
        scale: Least and greatest part of the image's area, from 0 to 1.
        ratio: Least and greatest height over width, above 0.
        value: Value of the rectangle, from 0 to 255; a value for each of up to four channels; or
            'random', for whole numbers from 0 to 255, each value its own and each as likely
            (torchvision's are normal, and nearly all of them 0 in a uint8 image).

    Raises:
        ValueError: If an argument is outside its range; with images, if there is neither one value
            nor one for each channel.
        TypeError: If an argument is of another type.

    Example:
        >>> erasing = fastaug.Erasing(p=1, scale=(0.25, 0.25), ratio=(1, 1), value=7)
        >>> int((erasing(np.zeros((8, 8), dtype="uint8")) == 7).sum())
        16
    """

    p: float = 0.5
    scale: Sequence[float] = (0.02, 0.33)
    ratio: Sequence[float] = (0.3, 3.3)
    value: float | Sequence[float] | str = 0

    def __post_init__(self) -> None:
        check_probability(self.p)
        scale = check_pair("scale", self.scale, 0, 1)
        ratio = check_pair("ratio", self.ratio, np.nextafter(0, 1), math.inf)
        set_fields(self, scale=scale, ratio=ratio, value=_checked_value(self.value))

    @property
    def steps(self) -> tuple[str, ...]:
        """The core's op."""
        return ("erasing",)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the rectangles, whether they are noise, its key, and the values."""
        numbers = draws.uniform(2 * _ATTEMPTS + 3)
        columns = np.empty((len(draws), 6 + _MOST_VALUES))
        columns[:, :4] = self.boxes(numbers, *draws.size)
        columns[:, 4] = self.value == "random"
        columns[:, 5] = key_columns(numbers[:, -1])
        columns[:, 6:] = self._values(draws.channels)
        return columns

    def boxes(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns rectangles, float64 `(n, 4)`: top, left, height, width; NaN: none.

        Args:
            numbers: Numbers in [0, 1), `(n, 22)` or more: area and shape of ten attempts, and the
                place.
            height: Height of the images.
            width: Width of the images.
        """
        areas = height * width * between(self.scale, numbers[:, 0:20:2])
        logs = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratios = np.exp(between(logs, numbers[:, 1:20:2]))
        heights, widths = np.rint(np.sqrt(areas * ratios)), np.rint(np.sqrt(areas / ratios))
        fits = (heights < height) & (widths < width)
        first = np.arange(len(numbers)), fits.argmax(axis=1)
        boxes = np.empty((len(numbers), 4))
        boxes[:, 2], boxes[:, 3] = heights[first], widths[first]
        boxes[:, 0] = np.floor(numbers[:, 20] * (height - boxes[:, 2] + 1))
        boxes[:, 1] = np.floor(numbers[:, 21] * (width - boxes[:, 3] + 1))
        boxes[~fits.any(axis=1)] = np.nan
        return boxes

    def _values(self, channels):
        """Returns the values of the core's columns, which channels take one after the other."""
        if not isinstance(self.value, tuple):
            return 0.0 if self.value == "random" else self.value
        if len(self.value) not in (1, channels):
            raise ValueError(
                f"`value` should be one number or one for each of {channels} channels. Received: "
                f"value={self.value!r}"
            )
        return np.resize(self.value, _MOST_VALUES)


def _checked_value(value: Any) -> Any:
    if isinstance(value, str):
        if value != "random":
            raise ValueError(f"`value` should be numbers or 'random'. Received: {value=}")
        return value
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    for number in values:
        check_number("value", number, 0, 255)
    if not 1 <= len(values) <= _MOST_VALUES:
        raise ValueError(f"`value` should have 1 to {_MOST_VALUES} numbers. Received: {value=}")
    return values if isinstance(value, list | tuple) else value
