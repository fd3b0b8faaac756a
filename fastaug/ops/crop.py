"""Ops that take a part of an image, before Keras's transforms."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from fastaug import _core
from fastaug.ops.base import Draws, Op, check_bool, check_number, check_pair, set_fields

__all__: list[str] = ["RandomCrop", "RandomResizedCrop"]

_Size = int | Sequence[int]


@dataclasses.dataclass(frozen=True)
class RandomCrop(Op):
    """Takes a part of an image, of one size, at a random place.

    As `torchvision.transforms.v2.RandomCrop`. It comes before Keras's transforms, which get images
    of the new size. For uint8 and float images; of files, those that were resized to `target_size`.
    A flow that does not augment takes the middle.

    Args:
        size: Height and width of the part, or one number for both.
        padding: Pixels that are put around the image before: one number, two (left and right, top
            and bottom) or four (left, top, right, bottom). None: no pixels.
        pad_if_needed: Whether an image that is too small is padded on both sides.
        fill: Value of the pixels around the image.

    Raises:
        ValueError: If a number is outside its range; with images, if they are smaller than `size`.
        TypeError: If an argument is of another type.

    Example:
        >>> fastaug.RandomCrop(28, padding=4)(x[0]).shape
        (28, 28, 3)
    """

    size: tuple[int, int]
    padding: tuple[int, int, int, int] | None = None
    pad_if_needed: bool = False
    fill: float = 0

    is_crop: ClassVar[bool] = True

    def __init__(
        self,
        size: _Size,
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: float = 0,
    ) -> None:
        check_number("fill", fill, -math.inf, math.inf)
        check_bool("pad_if_needed", pad_if_needed)
        set_fields(
            self,
            size=_checked_size(size),
            padding=_checked_padding(padding),
            pad_if_needed=pad_if_needed,
            fill=fill,
        )

    @property
    def steps(self) -> tuple[str, ...]:
        """None: the core has crops beside its ops."""
        return ()

    def size_after(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the size of the part."""
        return self.size

    def check_size(self, size: tuple[int, int]) -> None:
        """Raises a ValueError if images of a size are too small."""
        padded = self._padded(size)[2:]
        if padded[0] < self.size[0] or padded[1] < self.size[1]:
            raise ValueError(
                f"{self!r} needs images of at least {self.size}, padding included. Received images "
                f"of {tuple(size)}: use `pad_if_needed=True`"
            )

    def _padded(self, size):
        """Returns top and left of the padded image, and its size."""
        left, top, right, bottom = self.padding or (0, 0, 0, 0)
        if self.pad_if_needed:
            more = max(0, self.size[0] - size[0] - top - bottom)
            wider = max(0, self.size[1] - size[1] - left - right)
            top, bottom, left, right = top + more, bottom + more, left + wider, right + wider
        return -top, -left, size[0] + top + bottom, size[1] + left + right

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the columns of the core's crop."""
        top, left, height, width = self._padded(draws.size)
        numbers = draws.uniform(2)
        columns = np.empty((len(draws), _core.CROP_COLUMNS))
        columns[:, 0] = top + np.floor(numbers[:, 0] * (height - self.size[0] + 1))
        columns[:, 1] = left + np.floor(numbers[:, 1] * (width - self.size[1] + 1))
        columns[:, 2:] = *self.size, 0, self.fill
        return columns

    def unaugmented(self) -> "CenterCrop":
        """Returns what takes the middle."""
        return CenterCrop(**dataclasses.asdict(self))


class CenterCrop(RandomCrop):
    """Takes the middle of an image, of which `RandomCrop` takes any part."""

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the columns of the core's crop."""
        columns = np.empty((len(draws), _core.CROP_COLUMNS))
        columns[:, :2] = np.rint((np.array(draws.size) - self.size) / 2)
        columns[:, 2:] = *self.size, 0, self.fill
        return columns


_ATTEMPTS = 10


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop(Op):
    """Takes a part of an image, of random size, shape and place, and resizes it to one size.

    As `torchvision.transforms.v2.RandomResizedCrop`: ten times an area and a shape are drawn, and
    the first box that fits into the image is taken; if none does, the largest in the middle of a
    shape that is allowed. Resized as Pillow does it, antialiased, for uint8 images. It comes before
    Keras's transforms, which get images of the new size. Of files it takes a part of the whole
    picture, as large as that is: `target_size` has to be `size`. A flow that does not augment
    resizes the whole.

    Args:
        size: Height and width of the result, or one number for both.
        scale: Least and greatest part of the image's area, above 0 and at most 1.
        ratio: Least and greatest width over height, above 0.
        interpolation: 'bilinear', 'bicubic', 'lanczos', 'box' or 'hamming'; of files, too, in place
            of the flow's.

    Raises:
        ValueError: If a number or a name is not one of the above.
        TypeError: If an argument is of another type; with images, if they are not uint8.

    Example:
        >>> fastaug.RandomResizedCrop(24)(x[0].astype("uint8")).shape
        (24, 24, 3)
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"

    is_crop: ClassVar[bool] = True
    is_of_picture: ClassVar[bool] = True
    takes_floats: ClassVar[bool] = False

    def __init__(
        self,
        size: _Size,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: Literal["bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear",
    ) -> None:
        if interpolation not in _core.FILTERS:
            raise ValueError(
                f"`interpolation` should be one of {_core.FILTERS}. Received: {interpolation=}"
            )
        set_fields(
            self,
            size=_checked_size(size),
            scale=check_pair("scale", scale, np.nextafter(0, 1), 1.0),
            ratio=check_pair("ratio", ratio, np.nextafter(0, 1), math.inf),
            interpolation=interpolation,
        )

    @property
    def steps(self) -> tuple[str, ...]:
        """None: the core has crops beside its ops."""
        return ()

    def size_after(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the size of the result."""
        return self.size

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the columns of the core's crop."""
        columns = np.empty((len(draws), _core.CROP_COLUMNS))
        columns[:, :4] = self.boxes(draws.uniform(2 * _ATTEMPTS + 2), *draws.size)
        columns[:, 4:] = _core.FILTERS.index(self.interpolation), 0
        return columns

    def boxes(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns boxes, int64 `(n, 4)`: top, left, height, width.

        Args:
            numbers: Numbers in [0, 1), `(n, 22)`: area and shape of ten attempts, and the place.
            height: Height of the images.
            width: Width of the images.
        """
        low, high = self.scale
        areas = height * width * (low + (high - low) * numbers[:, 0:20:2])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratios = np.exp(low + (high - low) * numbers[:, 1:20:2])
        widths, heights = np.rint(np.sqrt(areas * ratios)), np.rint(np.sqrt(areas / ratios))
        fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
        first = np.arange(len(numbers)), fits.argmax(axis=1)
        boxes = np.zeros((len(numbers), 4))
        boxes[:, 2], boxes[:, 3] = heights[first], widths[first]
        boxes[:, 0] = np.floor(numbers[:, 20] * (height - boxes[:, 2] + 1))
        boxes[:, 1] = np.floor(numbers[:, 21] * (width - boxes[:, 3] + 1))
        boxes[~fits.any(axis=1)] = self._middle(height, width)
        return boxes.astype(np.int64)

    def _middle(self, height, width):
        """Returns the largest box in the middle of an image that has an allowed shape."""
        least, greatest = self.ratio
        high, wide = height, width
        if width / height < least:
            high = max(round(width / least), 1)
        elif width / height > greatest:
            wide = max(round(height * greatest), 1)
        return (height - high) // 2, (width - wide) // 2, high, wide

    def unaugmented(self) -> "Resize":
        """Returns what takes the whole image."""
        return Resize(**dataclasses.asdict(self))

    @property
    def about(self) -> list[Any]:
        """What makes it anew in another process: module, class and arguments."""
        return [__name__, type(self).__name__, dataclasses.asdict(self)]

    def bind(
        self, seed: int, epoch: int, sample: int
    ) -> Callable[[int, int], tuple[int, int, int, int]]:
        """Returns a function of height and width of a sample's picture that returns the box.

        It returns `(left, top, right, bottom)`.
        """
        return functools.partial(_box, self, seed, epoch, sample)


class Resize(RandomResizedCrop):
    """Resizes a whole image, of which `RandomResizedCrop` takes a part."""

    def boxes(self, numbers: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns boxes as large as the image; see `RandomResizedCrop.boxes`."""
        return np.tile([0, 0, height, width], (len(numbers), 1))


def _box(crop, seed, epoch, sample, height, width):
    sample = np.array([sample], dtype=np.int64)
    draws = Draws(seed, epoch, sample, crop.name, (height, width), 3)
    top, left, high, wide = crop.draw(draws)[0, :4].astype(int).tolist()
    return left, top, left + wide, top + high


def _checked_size(size):
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(
        isinstance(side, int | np.integer) and not isinstance(side, bool) for side in sides
    ):
        raise TypeError(f"`size` should be an integer or (height, width). Received: size={size!r}")
    if min(sides) < 1:
        raise ValueError(f"`size` should be at least 1. Received: size={size!r}")
    return int(sides[0]), int(sides[1])


def _checked_padding(padding):
    """Returns left, top, right and bottom, or None."""
    if padding is None:
        return None
    numbers = tuple(padding) if isinstance(padding, Sequence) else (padding,)
    if len(numbers) not in (1, 2, 4) or not all(
        isinstance(number, int | np.integer) and not isinstance(number, bool) for number in numbers
    ):
        raise TypeError(
            f"`padding` should be one, two or four integers. Received: padding={padding!r}"
        )
    if min(numbers) < 0:
        raise ValueError(f"`padding` should be at least 0. Received: padding={padding!r}")
    left, top, right, bottom = (int(number) for number in numbers * (4 // len(numbers)))
    return left, top, right, bottom
