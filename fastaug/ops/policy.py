"""Policies: ops that draw which op is done."""

import dataclasses
import importlib
import inspect
import pkgutil
from typing import Any

import numpy as np

import fastaug.ops
from fastaug import _core
from fastaug.ops.base import (
    Call,
    Draws,
    Op,
    check_integer,
    check_probability,
    columns_of,
    set_fields,
)

__all__: list[str] = ["RandAugment", "Sometimes", "TrivialAugment"]


def op_of(name: str, kinds: Any = Op) -> Any:
    """Returns the op of a name: that of its class in lower case, with the default arguments.

    Args:
        name: The name.
        kinds: `Op`, or `Mix`, or both in a tuple: what it may be.

    Raises:
        ValueError: If none that needs no arguments has it.

    Example:
        >>> op_of("trivialaugment")
        TrivialAugment(bins=31)
    """
    found: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for info in pkgutil.iter_modules(fastaug.ops.__path__):
        module = importlib.import_module(f"fastaug.ops.{info.name}")
        for key in getattr(module, "__all__", ()):
            kind = getattr(module, key)
            arguments = inspect.signature(kind).parameters.values()
            if issubclass(kind, kinds):
                needs_none = all(argument.default is not argument.empty for argument in arguments)
                (found if needs_none else others)[key.lower()] = kind
    if name not in found:
        text = f"Expected one of {sorted(found)}. Received: {name!r}"
        if name.lower() in others:
            kind = others[name.lower()].__name__
            text += f", which needs arguments: write fastaug.{kind}(...)"
        raise ValueError(text)
    return found[name]()


@dataclasses.dataclass(frozen=True)
class Sometimes(Op):
    """Does an op to some images only.

    Args:
        op: The op, or its name; not a crop.
        p: Probability with which it is done to an image, from 0 to 1; its own `p` comes after it.

    Raises:
        ValueError: If `p` is no probability, the op is a crop, or there is none of its name.
        TypeError: If it is no op.

    Example:
        >>> fastaug.Sometimes("trivialaugment", p=0.5)
        Sometimes(op=TrivialAugment(bins=31), p=0.5)
    """

    op: Op
    p: float = 0.5

    def __init__(self, op: Op | str, p: float = 0.5) -> None:
        if isinstance(op, str):
            op = op_of(op)
        if not isinstance(op, Op) or isinstance(op, Call):
            raise TypeError(f"`op` should be an op or a name of one. Received: op={op!r}")
        if op.is_crop:
            raise ValueError(f"`op` should not be a crop. Received: op={op!r}")
        check_probability(p)
        set_fields(self, op=op, p=p)

    @property
    def steps(self) -> tuple[str | None, ...]:
        """Those of the op."""
        return self.op.steps

    @property
    def kernels(self) -> tuple[str, ...]:
        """Those of the op."""
        return self.op.kernels

    def check_size(self, size: tuple[int, int]) -> None:
        """Raises a ValueError if the op cannot be done to images of a size."""
        self.op.check_size(size)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns what the op draws."""
        return self.op.table(draws.of(self.op.name))


class _Magnitudes(Op):
    """A choice from torchvision's list of ops, each with one of some magnitudes.

    A subclass has the greatest magnitudes of the geometric and colour ops, and how many bits
    posterizing takes away at most.
    """

    bins: int
    _shear: float
    _rotate: float
    _factor: float
    _bits: int

    @property
    def kernels(self) -> tuple[str, ...]:
        """All ops of the core that it may use."""
        return tuple(sorted({kernel for kernel, _ in _CHOICES.values() if kernel}))

    def _translate(self, side):
        """Returns the greatest way along a side of an image, in pixels."""
        raise NotImplementedError

    def magnitudes(self, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Returns the magnitudes of each op that has some, float64 `(bins,)`, by its name.

        Args:
            size: Height and width of the images.
        """
        bins, last = np.arange(self.bins), self.bins - 1
        greatest = {
            "ShearX": self._shear,
            "ShearY": self._shear,
            "TranslateX": self._translate(size[1]),
            "TranslateY": self._translate(size[0]),
            "Rotate": self._rotate,
            **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), self._factor),
        }
        # divided last: a way or a threshold that is a whole number is exactly that
        found = {name: most * bins / last for name, most in greatest.items()}
        found["Posterize"] = np.rint(8 - self._bits * bins / last)
        found["Solarize"] = 255 * (last - bins) / last
        return found

    def _slots(self, choices, bins, signs, size):
        """Returns the columns of slots, float64 `(slots, columns)`.

        Args:
            choices: Number of each slot's op in the list, int array.
            bins: Which of its magnitudes it has, int array.
            signs: Whether the magnitude is negative, for those that have a sign.
            size: Height and width of the images.
        """
        columns = np.full((len(choices), columns_of(None)), np.nan)
        magnitudes = self.magnitudes(size)
        for number, (name, (kernel, numbers_of)) in enumerate(_CHOICES.items()):
            which = np.flatnonzero(choices == number)
            if kernel is None or not len(which):
                continue
            strength = magnitudes.get(name, np.zeros(self.bins))[bins[which]]
            if name in _SIGNED:
                strength = np.where(signs[which], -strength, strength)
            columns[which, 0] = _core.IMAGE_OPS.index(kernel)
            for k, value in enumerate(numbers_of(strength, *size), start=1):
                columns[which, k] = value
        return columns


def _affine(a, b, c, d, e, f):
    """Columns of an affine map of rows and columns, nearest and 0 outside; see _core."""
    return a, b, c, d, e, f, 0, 0


def _turn(degrees):
    """Columns of a turn counterclockwise."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return _affine(c, s, 0, -s, c, 0)


def _one_plus(m, height, width):
    return (1 + m,)


# Ops of both policies: the core's op, and its columns for magnitudes, and height and width of the
# images. Shears are from the upper left corner.
_CHOICES: dict[str, tuple[str | None, Any]] = {
    "Identity": (None, None),
    "ShearX": ("affine", lambda m, height, width: _affine(1, 0, 0, m, 1, m * height / 2)),
    "ShearY": ("affine", lambda m, height, width: _affine(1, m, m * width / 2, 0, 1, 0)),
    "TranslateX": ("affine", lambda m, height, width: _affine(1, 0, 0, 0, 1, -np.trunc(m))),
    "TranslateY": ("affine", lambda m, height, width: _affine(1, 0, -np.trunc(m), 0, 1, 0)),
    "Rotate": ("affine", lambda m, height, width: _turn(m)),
    "Brightness": ("adjust_brightness", _one_plus),
    "Color": ("adjust_saturation", _one_plus),
    "Contrast": ("adjust_contrast", _one_plus),
    "Sharpness": ("sharpness", _one_plus),
    "Posterize": ("posterize", lambda m, height, width: (m,)),
    "Solarize": ("solarize", lambda m, height, width: (m,)),
    "AutoContrast": ("autocontrast", lambda m, height, width: (0,)),
    "Equalize": ("equalize", lambda m, height, width: (0,)),
}
_SIGNED = frozenset(list(_CHOICES)[1:10])


_MOST_BINS = 1000


@dataclasses.dataclass(frozen=True)
class TrivialAugment(_Magnitudes):
    """Does one op of a list to each image, of a random magnitude.

    As `torchvision.transforms.v2.TrivialAugmentWide`: Identity, ShearX, ShearY, TranslateX,
    TranslateY, Rotate, Brightness, Color, Contrast, Sharpness, Posterize, Solarize, AutoContrast
    and Equalize, each as likely; nearest pixels, and 0 outside. From Müller and Hutter,
    "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation" (2021). For uint8 images of
    one or three channels.

    Args:
        bins: Number of magnitudes, from 2 to 1000.

    Raises:
        ValueError: If it is outside its range; with images, if they have other channels.
        TypeError: If it is no integer; with images, if they are not uint8.

    Example:
        >>> fastaug.TrivialAugment()(x[0].astype("uint8"), seed=1).shape
        (32, 32, 3)
    """

    bins: int = 31

    _shear = 0.99
    _rotate = 135.0
    _factor = 0.99
    _bits = 6

    def __post_init__(self) -> None:
        check_integer("bins", self.bins, 2, _MOST_BINS)

    def _translate(self, side):
        return 32.0

    @property
    def steps(self) -> tuple[None]:
        """A slot."""
        return (None,)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the core's op, and its columns."""
        numbers = draws.uniform(3)
        choices = np.floor(numbers[:, 0] * len(_CHOICES)).astype(int)
        bins = np.floor(numbers[:, 1] * self.bins).astype(int)
        return self._slots(choices, bins, numbers[:, 2] < 0.5, draws.size)


@dataclasses.dataclass(frozen=True)
class RandAugment(_Magnitudes):
    """Does some ops of a list to each image, of one magnitude.

    As `torchvision.transforms.v2.RandAugment`, with the ops of `TrivialAugment`, each as likely
    each time. From Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced
    search space" (2019). For uint8 images of one or three channels.

    Args:
        num_ops: Number of ops that are done one after the other, from 0 to 100.
        magnitude: Which of the magnitudes, from 0 to `bins - 1`.
        bins: Number of magnitudes, from 2 to 1000.

    Raises:
        ValueError: If a number is outside its range; with images, if they have other channels.
        TypeError: If one is no integer; with images, if they are not uint8.

    Example:
        >>> fastaug.RandAugment(num_ops=2, magnitude=9)(x[0].astype("uint8"), seed=1).shape
        (32, 32, 3)
    """

    num_ops: int = 2
    magnitude: int = 9
    bins: int = 31

    _shear = 0.3
    _rotate = 30.0
    _factor = 0.9
    _bits = 4

    def __post_init__(self) -> None:
        check_integer("num_ops", self.num_ops, 0, 100)
        check_integer("bins", self.bins, 2, _MOST_BINS)
        check_integer("magnitude", self.magnitude, 0, self.bins - 1)

    def _translate(self, side):
        return 150.0 / 331.0 * side

    @property
    def steps(self) -> tuple[None, ...]:
        """Slots."""
        return (None,) * self.num_ops

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the core's ops, and their columns."""
        numbers = draws.uniform(2 * self.num_ops).reshape(-1, 2)
        choices = np.floor(numbers[:, 0] * len(_CHOICES)).astype(int)
        bins = np.full(len(numbers), self.magnitude)
        slots = self._slots(choices, bins, numbers[:, 1] < 0.5, draws.size)
        return slots.reshape(len(draws), -1)
