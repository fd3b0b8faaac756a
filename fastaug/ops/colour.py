"""Ops on the values of pixels."""

import dataclasses

import numpy as np

from fastaug.ops.base import Draws, Op, check_number, check_probability

__all__: list[str] = ["Posterize", "Solarize"]


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
        check_number("bits", self.bits, 0, 8)
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

    As `torchvision.transforms.v2.RandomSolarize` and `PIL.ImageOps.solarize`. For uint8 images of
    one or three channels.

    Args:
        threshold: The least value that is inverted, from 0 to 256.
        p: Probability with which an image is solarized.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If an argument is of another type; with an image, if that is not uint8.

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
