"""What all ops share: parameters of a batch, steps of the core, and use on a single image."""

import collections
import copy
import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from fastaug import _core
from fastaug.ops.random import uniform
from fastaug.typing import Array, Integer


@dataclasses.dataclass(frozen=True)
class Draws:
    """What an op draws for some samples: numbers that belong to them, and what it may depend on.

    Args:
        seed: Seed of all.
        epoch: Number of the epoch.
        samples: int64 array, the position of each sample in its set.
        name: Name of the op.
        size: Height and width of the images when the op gets them.
        channels: Channels of the images.
    """

    seed: int
    epoch: int
    samples: np.ndarray
    name: str
    size: tuple[int, int]
    channels: int

    def __len__(self) -> int:
        return len(self.samples)

    def uniform(self, count: int) -> np.ndarray:
        """Returns the first numbers in [0, 1) of each sample, float64 `(samples, count)`."""
        return uniform(self.seed, self.epoch, self.samples, self.name, count)

    def of(self, name: str) -> Self:
        """Returns what an op draws that is a part of this one."""
        return dataclasses.replace(self, name=f"{self.name}/{name}")


class Op:
    """Something that may be done to an image: a small frozen object.

    A subclass is a frozen dataclass with a field `p`, the probability with which it is done. It
    implements `steps` and `draw`.

    An op works on the scale of 0 to 255, on uint8 images, or on float images if it is defined for
    them.
    """

    p: float = 1.0

    # Whether it comes before Keras's transforms, as it takes a part of the source.
    is_crop: ClassVar[bool] = False
    # Whether it takes it of a whole picture, where that is read from a file, and resizes it.
    is_of_picture: ClassVar[bool] = False
    # Whether float images may be given, as far as this class is asked.
    takes_floats: ClassVar[bool] = True

    @property
    def steps(self) -> tuple[str | None, ...]:
        """The core's ops that it is made of, one after the other; None: a slot."""
        raise NotImplementedError

    @property
    def kernels(self) -> tuple[str, ...]:
        """All ops of the core that it may use."""
        return tuple([step for step in self.steps if step is not None])

    @property
    def name(self) -> str:
        """Name of its random stream: images depend on it."""
        return type(self).__name__

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the columns of its steps, float64 `(samples, columns)`, as if `p` were 1."""
        raise NotImplementedError

    def check_size(self, size: tuple[int, int]) -> None:
        """Raises a ValueError if images of a height and width cannot be worked on."""

    def size_after(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the height and width of the images that a crop makes."""
        raise NotImplementedError

    def unaugmented(self) -> "Op":
        """Returns what stands for a crop where images are not augmented: it draws nothing."""
        raise NotImplementedError

    def table(self, draws: Draws) -> np.ndarray:
        """Returns the columns of its steps; NaN in the first of each step where it is not done."""
        columns = self.draw(draws)
        if self.p < 1:
            off = draws.of("p").uniform(1)[:, 0] >= self.p
            starts, _ = layout(self.steps)
            columns[np.ix_(off, np.array(starts, dtype=int))] = np.nan
        return columns

    def __call__(self, image: Array, seed: Integer | None = None) -> Array:
        """Does it to one image.

        Args:
            image: `(height, width, channels)` or `(height, width)`, uint8 or float, on the scale of
                0 to 255; channels last.
            seed: Seed of what is drawn, the same for the same image. None: from `np.random`.

        Returns:
            A new image of the same type: uint8, or float32.

        Raises:
            ValueError: If the image has another rank, or channels that the op does not know.
            TypeError: If it is of another type, or of floats, for which the op is not defined; if
                the seed is no integer.

        Example:
            >>> fastaug.Posterize(bits=1)(np.array([[3, 200]], dtype="uint8"))
            array([[  0, 128]], dtype=uint8)
        """
        image = np.asarray(image)
        if image.ndim not in (2, 3):
            raise ValueError(f"Expected an image of rank 2 or 3. Received shape: {image.shape}")
        if seed is None:
            seed = np.random.randint(1 << 62, dtype=np.int64)
        pixels = image if image.ndim == 3 else image[..., np.newaxis]
        out = apply_ops([self], pixels, operator.index(seed))
        return out if image.ndim == 3 else out[..., 0]


@dataclasses.dataclass(frozen=True)
class PlainOp(Op):
    """An op of the core's that has no parameters but its probability."""

    p: float = 1.0

    kernel: ClassVar[str]

    def __post_init__(self) -> None:
        check_probability(self.p)

    @property
    def steps(self) -> tuple[str, ...]:
        """The core's op."""
        return (self.kernel,)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns a column that says that it is done."""
        return np.zeros((len(draws), 1))


@dataclasses.dataclass(frozen=True)
class Call(Op):
    """A function of the user's, which is called for each image with the GIL, in the threads.

    Args:
        function: `function(image, rng)` returns an image of the same shape; `rng` is a
            `numpy.random.Generator` that belongs to seed, epoch and sample.
    """

    function: Callable[[Array, np.random.Generator], Array]

    @property
    def steps(self) -> tuple[str, ...]:
        """None: it stands between those of the core."""
        return ()

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the key of each sample's generator."""
        return draws.uniform(2)

    def apply(self, image: Array, key: np.ndarray) -> Array:
        """Calls the function.

        Raises:
            TypeError: If it returns None.
            ValueError: If it returns an image of another shape.
        """
        words = (key * (1 << 53)).astype(np.uint64)
        result = self.function(image, np.random.Generator(np.random.Philox(key=words)))
        name = getattr(self.function, "__qualname__", repr(self.function))
        if result is None:
            raise TypeError(f"{name} of `augment` returned None: it should return the image")
        result = np.asarray(result)
        if result.shape != image.shape:
            raise ValueError(
                f"{name} of `augment` returned shape {result.shape} for an image of shape "
                f"{image.shape}"
            )
        if image.dtype == np.uint8 and result.dtype != np.uint8:
            return as_bytes(result)
        return result.astype(image.dtype, copy=False)


def as_bytes(image: Array) -> Array:
    """Returns an image on the scale of 0 to 255 as uint8, rounded and clipped."""
    return np.clip(np.floor(image + 0.5), 0, 255).astype(np.uint8)


# What `augment` may be.
_OneOp = Op | str | Callable[[Array, np.random.Generator], Array]
Augment = _OneOp | Sequence[_OneOp]


def size_and_channels(shape: Sequence[int], channels_first: bool) -> tuple[tuple[int, int], int]:
    """Returns height and width of an image of a shape, and its channels."""
    if channels_first:
        return (shape[1], shape[2]), shape[0]
    return (shape[0], shape[1]), shape[2]


def check_probability(p: Any) -> None:
    """Raises a ValueError unless it is a number from 0 to 1."""
    if not isinstance(p, int | float | np.number) or not 0 <= p <= 1:
        raise ValueError(f"`p` should be a probability, from 0 to 1. Received: p={p!r}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raises a ValueError, or a TypeError, unless it is a number from low to high."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"`{name}` should be a number. Received: {name}={value!r}")
    if not low <= value <= high:
        is_open = low == np.nextafter(0, 1)
        if high < np.finfo(float).max:
            limits = f"above 0, up to {high}" if is_open else f"from {low} to {high}"
        else:
            limits = "above 0" if is_open else f"{low} or more"
            limits += " and finite" if high < math.inf else ""
        raise ValueError(f"`{name}` should be {limits}. Received: {name}={value!r}")


def check_integer(name: str, value: Any, low: int, high: int) -> None:
    """Raises a ValueError, or a TypeError, unless it is an integer from low to high."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"`{name}` should be an integer. Received: {name}={value!r}")
    check_number(name, value, low, high)


def check_bool(name: str, value: Any) -> None:
    """Raises a TypeError unless it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` should be a bool. Received: {name}={value!r}")


def check_pair(name: str, pair: Any, low: float, high: float) -> tuple[float, float]:
    """Returns two numbers from low to high, the first at most the second, or raises an error."""
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise TypeError(f"`{name}` should be two numbers. Received: {name}={pair!r}")
    for number in pair:
        check_number(name, number, low, high)
    if pair[0] > pair[1]:
        raise ValueError(
            f"`{name}` should be the least and the greatest. Received: {name}={pair!r}"
        )
    return float(pair[0]), float(pair[1])


def set_fields(op: "Op", /, **fields: Any) -> None:
    """Sets fields of a frozen op while it is made."""
    for name, value in fields.items():
        object.__setattr__(op, name, value)


def between(pair: Sequence[float], numbers: np.ndarray) -> np.ndarray:
    """Returns numbers between two, of numbers in [0, 1)."""
    return pair[0] + (pair[1] - pair[0]) * numbers


def key_columns(numbers: np.ndarray) -> np.ndarray:
    """Returns what numbers in [0, 1) are as keys of the core's noise: whole numbers below 2**53."""
    return np.floor(numbers * 2.0**53)


def as_op(op: Any) -> Any:
    """Returns what stands for an op in a list as an op, if it does: its name, or a function.

    Raises:
        ValueError: If no op that needs no arguments has the name.
    """
    if isinstance(op, str):
        from fastaug.ops.policy import op_of

        return op_of(op)
    if not isinstance(op, Op | type) and callable(op):
        return Call(op)
    return op


def as_ops(given: Any) -> list[Op]:
    """Returns an op, a name or a function, or a list of such, as a list of ops.

    Raises:
        TypeError: If one is none of these.
        ValueError: If no op that needs no arguments has a name.
    """
    ops = [as_op(op) for op in (given if isinstance(given, list | tuple) else [given])]
    for op in ops:
        if not isinstance(op, Op):
            raise TypeError(
                "Expected an op, such as fastaug.Posterize(4), or a function of an image and a "
                f"generator of random numbers. Received: {op!r}"
            )
    return ops


def numbered(names: Sequence[str]) -> list[str]:
    """Returns names of streams: the second of one name is 'name#1'."""
    counts: collections.Counter[str] = collections.Counter()
    found = []
    for name in names:
        found.append(f"{name}#{counts[name]}" if counts[name] else name)
        counts[name] += 1
    return found


def columns_of(step: str | None) -> int:
    """Returns the number of columns of a step.

    Raises:
        ValueError: If the core has no such op.
    """
    if step is None:
        return 1 + max(_core.IMAGE_OP_COLUMNS.values())
    if step not in _core.IMAGE_OP_COLUMNS:
        raise ValueError(f"Expected one of {_core.IMAGE_OPS}. Received: {step!r}")
    return _core.IMAGE_OP_COLUMNS[step]


def layout(steps: Sequence[str | None]) -> tuple[list[int], int]:
    """Returns the first column of each step, and how many columns all have."""
    starts, columns = [], 0
    for step in steps:
        starts.append(columns)
        columns += columns_of(step)
    return starts, columns


# An op of one column that does nothing to a mask, between others that move it.
_NO_MOVE = "invert"


class OpList:
    """Ops that are done to images one after the other, as the core knows them.

    Args:
        given: An op, a name or a function, or a list of such, of which one may be a crop.

    Attributes:
        calls: The functions among them, and the first column of each.
        columns: Columns of the parameter table, Keras's included.
        crop: The crop, or None.

    Raises:
        TypeError: If one is no op.
        ValueError: If there are several crops.
    """

    def __init__(self, given: Any) -> None:
        ops = as_ops(given)
        crops = [op for op in ops if op.is_crop]
        if len(crops) > 1:
            raise ValueError(f"Only one op may crop. Received: {crops}")
        self.crop = crops[0] if crops else None
        self._ops = [op for op in ops if not op.is_crop]
        self.columns = len(_core.COLUMNS)
        self._names = numbered([op.name for op in self._ops])
        self._widths: list[int] = []  # columns of each op
        self.calls: list[tuple[Call, int]] = []
        parts: list[list[tuple[str | None, int]]] = [[]]
        for op in self._ops:
            starts, columns = layout(op.steps)
            if isinstance(op, Call):
                self.calls.append((op, self.columns))
                parts.append([])
                columns = 2
            parts[-1] += [
                (step, self.columns + k) for step, k in zip(op.steps, starts, strict=True)
            ]
            self.columns += columns
            self._widths.append(columns)
        crop = self.columns if self.crop else None
        self.columns += _core.CROP_COLUMNS if self.crop else 0
        self._parts: list[dict[str, Any]] = [
            {"augment": steps, "crop": None, "columns": self.columns} for steps in parts
        ]
        self._parts[0]["crop"] = crop

    @property
    def moves(self) -> bool:
        """Whether pixels may go elsewhere, and masks with them."""
        slots_or_moves = {None, *_core.OPS_THAT_MOVE}
        return self.crop is not None or any(
            step in slots_or_moves for part in self._parts for step, _ in part["augment"]
        )

    def for_masks(self) -> dict[str, Any]:
        """Returns the arguments of `_core.Program` that move a mask as its image."""
        steps = list(self._parts[0]["augment"])
        for part, (_, column) in zip(self._parts[1:], self.calls, strict=True):
            # an image is interpolated before a function, and so is its mask
            steps += [(_NO_MOVE, column), *part["augment"]]
        return {**self._parts[0], "augment": steps, "only_moves": True}

    def only_crop(self) -> Self:
        """Returns the same with the same table, of which only the crop is done."""
        other = copy.copy(self)
        other.calls, other._parts = [], [self._parts[0] | {"augment": []}]
        return other

    def without_crop(self) -> Self:
        """Returns the same with the same table, of which the crop is not done."""
        other = copy.copy(self)
        other._parts = [self._parts[0] | {"crop": None}, *self._parts[1:]]
        return other

    def program(self, make: Callable[..., _core.Program], is_bytes: bool) -> _core.Program:
        """Returns the program that does all.

        Args:
            make: Function that returns a program, of arguments of `_core.Program` beside its own.
            is_bytes: Whether the images are of bytes between the parts.
        """
        if not self.calls:
            return make(**self._parts[0])
        programs = [make(**part, is_bytes=is_bytes) for part in self._parts[:-1]]
        programs.append(make(**self._parts[-1]))
        return make(columns=self.columns, by_image=_ByImage(programs, self.calls))

    def check(self, dtype: np.dtype, size: tuple[int, int], channels: int) -> None:
        """Raises an error if images of a type, a height and width and channels cannot be worked on.

        Raises:
            TypeError: If the type is no real number, or one of the ops is not defined for floats.
            ValueError: If an op needs other channels or another size.
        """
        if dtype.kind not in "biuf":
            raise TypeError(f"Expected images of real numbers. Received: {dtype}")
        if self.crop is not None:
            self.crop.check_size(size)
        final = self.size_after(size)
        for op in [*self._ops, *([self.crop] if self.crop else [])]:
            floats = set(op.kernels) - _core.OPS_OF_FLOATS
            if dtype != np.uint8 and (floats or not op.takes_floats):
                raise TypeError(f"{op!r} is defined for uint8 images. Received: {dtype}")
            if channels not in (1, 3) and not _core.OPS_OF_COLOURS.isdisjoint(op.kernels):
                raise ValueError(f"{op!r} needs one channel or three. Received: {channels}")
            if op is not self.crop:
                op.check_size(final)

    def size_after(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the height and width of the images that become of those of a size."""
        return self.crop.size_after(size) if self.crop else size

    def shape_after(self, shape: tuple[int, int, int], data_format: str) -> tuple[int, int, int]:
        """Returns the shape of the images that become of those of a shape."""
        first = data_format == "channels_first"
        size, channels = size_and_channels(shape, first)
        height, width = self.size_after(size)
        return (channels, height, width) if first else (height, width, channels)

    def table(
        self,
        keras: np.ndarray,
        seed: int,
        epoch: int,
        samples: np.ndarray,
        size: tuple[int, int],
        channels: int,
    ) -> np.ndarray:
        """Returns the parameter table of some images.

        Args:
            keras: Keras's columns, float64 `(samples, len(_core.COLUMNS))`.
            seed: Seed of all that is drawn.
            epoch: Number of the epoch.
            samples: int64 array, the position of each image in its set.
            size: Height and width of the sources.
            channels: Channels of the images.
        """
        parts = [keras]
        final = self.size_after(size)
        drawn = list(zip(self._ops, self._names, self._widths, strict=True))
        if self.crop:
            drawn.append((self.crop, self.crop.name, _core.CROP_COLUMNS))
        for op, name, width in drawn:
            seen = size if op is self.crop else final
            columns = op.table(Draws(seed, epoch, samples, name, seen, channels))
            if columns.shape != (len(samples), width):
                raise ValueError(
                    f"{op!r} should draw {width} columns for each of {len(samples)} images. It "
                    f"returned an array of shape {columns.shape}"
                )
            parts.append(columns)
        return np.hstack(parts)


class _ByImage:
    """Does to an image what the core cannot do alone: functions between its parts."""

    def __init__(self, programs, calls):
        self._programs = programs
        self._calls = calls

    def __call__(self, image, row, standardize, out):
        for k, program in enumerate(self._programs):
            is_last = program is self._programs[-1]
            dtype = np.uint8 if program.is_bytes else np.float32
            result = out if is_last else np.empty(program.shape, dtype)
            _core.augment(
                program, image[np.newaxis], _FIRST, row[np.newaxis], None, result[np.newaxis], 0, 1,
                standardize and is_last,
            )  # fmt: skip
            row[: _core.IDENTITY.shape[1]] = _core.IDENTITY
            if not is_last:
                call, column = self._calls[k]
                image = np.ascontiguousarray(call.apply(result, row[column : column + 2]))


_FIRST = np.zeros(1, dtype=np.int64)


def apply_ops(ops: Sequence[Op], image: Array, seed: int) -> Array:
    """Does ops to one image, (height, width, channels); see `Op.__call__`."""
    op_list, program = _compiled(tuple(ops), image.dtype, image.shape)
    table = op_list.table(_core.IDENTITY, seed, 0, _FIRST, image.shape[:2], image.shape[2])
    is_bytes = image.dtype == np.uint8
    out = np.empty((1, *program.shape), dtype=np.uint8 if is_bytes else np.float32)
    images = np.ascontiguousarray(image, None if is_bytes else np.float32)[np.newaxis]
    _core.augment(program, images, _FIRST, table, None, out, 0, 1)
    return out[0]


@functools.lru_cache(maxsize=64)
def _compiled(ops, dtype, shape):
    """Returns the `OpList` and the program of ops, for one image of a type and a shape."""
    op_list, is_bytes = OpList(ops), dtype == np.uint8
    size, channels = shape[:2], shape[2]
    op_list.check(dtype, size, channels)
    height, width = op_list.size_after(size)

    def make(**part):
        return _core.Program(height, width, channels, **{"is_bytes": is_bytes} | part)

    return op_list, op_list.program(make, is_bytes)
