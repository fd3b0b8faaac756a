"""Ops on the values of pixels."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastaug import _core
from fastaug.ops.base import (
    Draws,
    Op,
    PlainOp,
    between,
    check_bool,
    check_integer,
    check_number,
    check_pair,
    check_probability,
    columns_of,
    key_columns,
    set_fields,
)

__all__: list[str] = [
    "ColorJitter",
    "GaussianNoise",
    "Grayscale",
    "Invert",
    "Posterize",
    "Solarize",
]

_Range = float | Sequence[float]
_ADJUSTMENTS = ("brightness", "contrast", "saturation", "hue")


@dataclasses.dataclass(frozen=True)
class ColorJitter(Op):
    """Changes brightness, contrast, saturation and hue, in a random order.

    As `torchvision.transforms.v2.ColorJitter`, and so are the formulas. For uint8 and float images
    of one channel, whose saturation and hue stay, or three.

    Args:
        brightness: Least and greatest factor, 0 or more; or a number `v` for `(max(0, 1 - v),
            1 + v)`. None: it stays.
        contrast: The same, of the distance from the mean grey of the image.
        saturation: The same, of the distance from the grey of each pixel.
        hue: Least and greatest part of the circle of hues to turn, from -0.5 to 0.5; or a number
            `v` for `(-v, v)`.
        p: Probability with which an image is changed.

    Raises:
        ValueError: If a number is outside its range; with images, if they have other channels.
        TypeError: If an argument is of another type.

    Example:
        >>> jitter = fastaug.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
        >>> jitter(x[0].astype("uint8"), seed=1).shape
        (32, 32, 3)
    """

    brightness: _Range | None = None
    contrast: _Range | None = None
    saturation: _Range | None = None
    hue: _Range | None = None
    p: float = 1.0

    def __post_init__(self) -> None:
        for name in _ADJUSTMENTS:
            value = getattr(self, name)
            if isinstance(value, list):
                set_fields(self, **{name: tuple(value)})
            _range_of(name, value)
        check_probability(self.p)

    @property
    def steps(self) -> tuple[None, ...]:
        """Slots, as their order is random."""
        return (None,) * len(_ADJUSTMENTS)

    @property
    def kernels(self) -> tuple[str, ...]:
        """All ops of the core that it may use."""
        return tuple([f"adjust_{name}" for name in _ADJUSTMENTS])

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns for each slot which op it is, and its factor."""
        numbers = draws.uniform(2 * len(_ADJUSTMENTS))
        order = numbers[:, len(_ADJUSTMENTS) :].argsort(axis=1)
        columns = np.full((len(draws), len(_ADJUSTMENTS), columns_of(None)), np.nan)
        for k, name in enumerate(_ADJUSTMENTS):
            pair = _range_of(name, getattr(self, name))
            if pair is not None:
                columns[order == k, 0] = _core.IMAGE_OPS.index(f"adjust_{name}")
                columns[order == k, 1] = between(pair, numbers[:, k])
        return columns.reshape(len(draws), -1)


def _range_of(name: str, value: Any) -> tuple[float, float] | None:
    """Returns the least and the greatest that a number, a pair or None stands for."""
    if value is None:
        return None
    low, high = (-0.5, 0.5) if name == "hue" else (0, np.inf)
    if isinstance(value, Sequence):
        return check_pair(name, value, low, high)
    check_number(name, value, 0, high)
    return (-value, value) if name == "hue" else (max(0.0, 1.0 - value), 1.0 + value)


@dataclasses.dataclass(frozen=True)
class GaussianNoise(Op):
    """Adds normal noise, for each value its own.

    As `torchvision.transforms.v2.GaussianNoise`; the noise of uint8 images loses its fraction, as
    there. For uint8 and float images.

    Args:
        mean: Mean of the noise in parts of 255, from -1 to 1.
        sigma: Standard deviation in parts of 255, from 0 to 1.
        clip: Whether values stay within 0 to 255; else uint8 values wrap around.
        p: Probability with which an image gets noise.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If an argument is of another type.

    Example:
        >>> image = np.full((100, 100), 100, dtype="uint8")
        >>> round(fastaug.GaussianNoise(sigma=0.04)(image, seed=1).std())
        10
    """

    mean: float = 0.0
    sigma: float = 0.1
    clip: bool = True
    p: float = 1.0

    def __post_init__(self) -> None:
        check_number("mean", self.mean, -1, 1)
        check_number("sigma", self.sigma, 0, 1)
        check_bool("clip", self.clip)
        check_probability(self.p)

    @property
    def steps(self) -> tuple[str, ...]:
        """The core's op."""
        return ("gaussian_noise",)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns mean and deviation, whether values are clipped, and the key of the noise."""
        columns = np.empty((len(draws), 4))
        columns[:, :3] = 255 * self.mean, 255 * self.sigma, self.clip
        columns[:, 3:] = key_columns(draws.uniform(1))
        return columns


@dataclasses.dataclass(frozen=True)
class Grayscale(PlainOp):
    """Makes an image grey, by the luma of ITU-R BT.601; it keeps its channels.

    As `torchvision.transforms.v2.RandomGrayscale`. For uint8 and float images of one or three
    channels.

    Args:
        p: Probability with which an image becomes grey.

    Raises:
        ValueError: If `p` is no probability; with images, if they have other channels.

    Example:
        >>> fastaug.Grayscale()(np.array([[[255, 0, 0]]], dtype="uint8"))
        array([[[76, 76, 76]]], dtype=uint8)
    """

    kernel = "grayscale"


@dataclasses.dataclass(frozen=True)
class Invert(PlainOp):
    """Inverts each value: 255 minus it.

    As `torchvision.transforms.v2.RandomInvert` and `PIL.ImageOps.invert`. For uint8 and float
    images of one or three channels.

    Args:
        p: Probability with which an image is inverted.

    Raises:
        ValueError: If `p` is no probability; with images, if they have other channels.

    Example:
        >>> fastaug.Invert()(np.array([[0, 200]], dtype="uint8"))
        array([[255,  55]], dtype=uint8)
    """

    kernel = "invert"


@dataclasses.dataclass(frozen=True)
class Posterize(Op):
    """Keeps the highest bits of each value.

    As `torchvision.transforms.v2.RandomPosterize` and `PIL.ImageOps.posterize`. For uint8 images of
    one or three channels.

    Args:
        bits: Bits to keep, from 0 to 8.
        p: Probability with which an image is posterized.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If an argument is of another type; with an image, if that is not uint8.

    Example:
        >>> fastaug.Posterize(bits=2)(np.array([[70, 200]], dtype="uint8"))
        array([[ 64, 192]], dtype=uint8)
    """

    bits: int
    p: float = 1.0

    def __post_init__(self) -> None:
        check_integer("bits", self.bits, 0, 8)
        check_probability(self.p)

    @property
    def steps(self) -> tuple[str, ...]:
        """The core's op."""
        return ("posterize",)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the bits."""
        return np.full((len(draws), 1), float(self.bits))


@dataclasses.dataclass(frozen=True)
class Solarize(Op):
    """Inverts all values from a threshold on.

    As `torchvision.transforms.v2.RandomSolarize` and `PIL.ImageOps.solarize`. For uint8 and float
    images of one or three channels.

    Args:
        threshold: The least value that is inverted, from 0 to 256.
        p: Probability with which an image is solarized.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If an argument is of another type.

    Example:
        >>> fastaug.Solarize(threshold=128)(np.array([[70, 200]], dtype="uint8"))
        array([[70, 55]], dtype=uint8)
    """

    threshold: float
    p: float = 1.0

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, 0, 256)
        check_probability(self.p)

    @property
    def steps(self) -> tuple[str, ...]:
        """The core's op."""
        return ("solarize",)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the threshold."""
        return np.full((len(draws), 1), float(self.threshold))
