"""Random parameters: seeded draws to a table with one row for each image, and how rows are read.

Owns the order and the form of the draws, which follow Keras's ``get_random_transform`` draw for
draw, so that the same stream gives the same numbers. Knows nothing of pixels; the matrices that go
with a table are ``_core.affine_matrices``.

A table is a float64 array of shape ``(images, len(COLUMNS))``; NaN stands for Keras's ``None`` in
the two columns that can be switched off.
"""

import operator
import os
from typing import Any

import numpy as np

from fastaug import _core
from fastaug._core import COLUMNS, IDENTITY
from fastaug.keras_api.snapshot import Snapshot

_THETA, _TX, _TY, _SHEAR, _ZX, _ZY, _FLIP_H, _FLIP_V, _CHANNEL, _BRIGHTNESS = range(len(COLUMNS))

# The attributes of a generator that decide what is drawn.
RANGES = (
    "rotation_range",
    "height_shift_range",
    "width_shift_range",
    "shear_range",
    "zoom_range",
    "horizontal_flip",
    "vertical_flip",
    "channel_shift_range",
    "brightness_range",
)

# To ask NumPy what it would draw from; a new one takes longer than all else about a small image.
_ANY_STREAM = np.random.RandomState(0)


def _at_fork():
    global _ANY_STREAM
    # a thread that the child does not have may hold its lock
    _ANY_STREAM = np.random.RandomState(0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_fork)


# What Keras's dictionary holds for a transform that is switched off.
_UNDRAWN: dict[str, Any] = dict(
    zip(COLUMNS, (0, 0, 0, 0, 1, 1, None, None, None, None), strict=True)
)


class ParameterSampler:
    """Draws the parameters of ``ImageDataGenerator`` settings.

    Args:
        rotation_range, height_shift_range, width_shift_range, shear_range, zoom_range,
            horizontal_flip, vertical_flip, channel_shift_range, brightness_range: As the attributes
            of ``ImageDataGenerator``; a flip that is None is not even drawn for.

    Attributes:
        doubles: How many doubles an image takes from the stream; None where that is not fixed.
        one: Draws for single images, of any size:
        scales_tx: whether its `tx` are fractions of the height,
        scales_ty: and its `ty` of the width.
        only_flips: Whether an image is flipped at most.
        does_nothing: Whether it is not even that.
    """

    def __init__(
        self,
        *,
        rotation_range,
        height_shift_range,
        width_shift_range,
        shear_range,
        zoom_range,
        horizontal_flip,
        vertical_flip,
        channel_shift_range,
        brightness_range,
    ):
        self._flips = {_FLIP_H: horizontal_flip, _FLIP_V: vertical_flip}
        self._choices: dict[int, Any] = {}
        self._fractions: list[int] = []
        self._zooms = not (zoom_range[0] == 1 and zoom_range[1] == 1)
        uniform: list[tuple[int, float, float]] = []
        if rotation_range:
            uniform.append((_THETA, -rotation_range, rotation_range))
        for column, shift in ((_TX, height_shift_range), (_TY, width_shift_range)):
            if not _is_on(shift):
                continue
            if _is_choice(shift):
                self._choices[column] = shift
                uniform.append((column, 0.0, 1.0))
            else:
                uniform.append((column, -shift, shift))
            if np.max(shift) < 1:
                self._fractions.append(column)
        if shear_range:
            uniform.append((_SHEAR, -shear_range, shear_range))
        if self._zooms:
            uniform += [(_ZX, zoom_range[0], zoom_range[1]), (_ZY, zoom_range[0], zoom_range[1])]
        uniform += [(flip, 0.0, 1.0) for flip, on in self._flips.items() if on is not None]
        if channel_shift_range != 0:
            uniform.append((_CHANNEL, -channel_shift_range, channel_shift_range))
        if brightness_range is not None:
            uniform.append((_BRIGHTNESS, brightness_range[0], brightness_range[1]))
        self._columns = [column for column, _, _ in uniform]
        self.doubles = None if self._choices else len(uniform)
        self._low = np.array([_float(low) for _, low, _ in uniform])
        high = np.array([_float(high) for _, _, high in uniform])
        with np.errstate(over="ignore", invalid="ignore"):
            self._spread = high - self._low
        too_wide = np.flatnonzero(~np.isfinite(self._spread))
        if too_wide.size:
            column, low, high = uniform[too_wide[0]]
            raise OverflowError(
                f"Range exceeds valid bounds. Received: {COLUMNS[column]} from {low} to {high}"
            )
        self._draws: dict[tuple[int, int], _core.Draws] = {}
        self.scales_tx, self.scales_ty = (column in self._fractions for column in (_TX, _TY))
        self.only_flips = {_FLIP_H, _FLIP_V}.issuperset(self._columns)
        self.does_nothing = self.only_flips and not any(self._flips.values())
        self.one = self.draws_of(1, 1)

    def draw(self, rng: np.random.RandomState, count: int, height: int, width: int) -> np.ndarray:
        """Draws the parameters of some images, in Keras's order.

        The rows are filled from the stream just as one call of ``uniform`` or ``choice`` for each
        number would do it: ``uniform(a, b)`` is ``a + (b - a) * random_sample()``.

        Args:
            rng: The stream; it is left where Keras would leave it.
            count: Number of images.
            height: Height of an image, which scales fractional height shifts.
            width: Width of an image, likewise.

        Returns:
            A parameter table of shape ``(count, len(COLUMNS))``.
        """
        return self.draws_of(height, width).draw(rng, count)

    def draw_one(self, rng, shape, row_axis: int, col_axis: int) -> dict[str, Any]:
        """Draws Keras's dictionary for one image.

        Args:
            rng: As for `draw`.
            shape: Shape of the image, of which only what scales a shift is asked for.
            row_axis: Which number of it is the height.
            col_axis: And which is the width.
        """
        return self.one.draw_dict(
            rng,
            shape[row_axis] if self.scales_tx else None,
            shape[col_axis] if self.scales_ty else None,
        )

    def from_doubles(self, doubles: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns the table that `draw` would have made from `random_sample`'s numbers.

        Args:
            doubles: Numbers in [0, 1), of shape `(count, self.doubles)`.
            height: As for `draw`.
            width: As for `draw`.
        """
        return self.draws_of(height, width).table(doubles)

    @classmethod
    def of(cls, generator) -> "ParameterSampler":
        """Returns what draws the parameters that a generator is set to."""
        return cls(**{name: getattr(generator, name) for name in RANGES})

    def draws_of(self, height: int, width: int) -> _core.Draws:
        """Returns how the core draws for images of a size."""
        draws = self._draws.get((height, width))
        if draws is None:
            scale = np.ones(len(COLUMNS))
            for column in self._fractions:
                scale[column] = height if column == _TX else width
            flips = [float(bool(on)) for on in self._flips.values()]
            choices = {column: _values_of(shift) for column, shift in self._choices.items()}
            draws = _core.Draws(
                self._columns,
                self._low,
                self._spread,
                flips,
                scale,
                IDENTITY[0],
                choices,
                undrawn=_UNDRAWN,
                kinds=tuple([self._kind_of(column) for column in self._columns]),
            )
            self._draws[height, width] = draws
        return draws

    def _kind_of(self, column):
        """Returns what gives a number Keras's type."""
        if column in self._choices:
            return np.result_type(np.asarray(self._choices[column]), np.int64).type
        return np.float64 if column in (_ZX, _ZY) else self._flips.get(column)

    def to_dict(self, row: np.ndarray) -> dict[str, Any]:
        """Returns one row of a table as Keras's dictionary, with Keras's types."""
        return self.one.to_dict(row)


class KeptSampler:
    """The sampler of a generator, made anew when one of its settings has changed.

    A copy of the generator, pickled or not, begins without one.
    """

    __slots__ = ("_kept",)

    def __init__(self):
        self._kept = None

    def of(self, generator) -> ParameterSampler:
        """Returns what draws the parameters that a generator is set to now."""
        kept = self._kept
        if kept is None or not kept[0].is_of(generator):
            # first what it is for: a setting that another thread changes meanwhile is not missed
            kept = Snapshot(generator, RANGES), ParameterSampler.of(generator)
            self._kept = kept
        return kept[1]

    def __reduce__(self):
        return KeptSampler, ()


def unmoved(count) -> np.ndarray:
    """Returns a table for images that stay as they are."""
    return np.repeat(IDENTITY, count, axis=0)


def row_of(parameters) -> np.ndarray:
    """Returns the row that moves an image as Keras's dictionary does, with nothing for its values.

    Args:
        parameters: Dict as from `get_random_transform`; what is not in it is not done.
    """
    row = IDENTITY[0].copy()
    for column in range(_FLIP_V + 1):
        value = parameters.get(COLUMNS[column])
        if value is not None:
            row[column] = value
    return row


def affine_row(theta=0, tx=0, ty=0, shear=0, zx=1, zy=1) -> np.ndarray:
    """Returns a table with one row, of an affine transform and nothing else.

    Raises:
        ValueError: If a parameter is not finite.
    """
    table = IDENTITY.copy()
    geometry = table[0, _THETA : _ZY + 1]
    geometry[:] = theta, tx, ty, shear, zx, zy
    if not np.isfinite(geometry).all():
        column = int(np.flatnonzero(~np.isfinite(geometry))[0])
        raise ValueError(
            f"Expected a finite number. Received: {COLUMNS[column]}={geometry[column]}"
        )
    return table


def _float(number):
    """Returns a number of any kind, or an array of one, as a float."""
    return float(number.item() if isinstance(number, np.ndarray) else number)


def _is_on(shift):
    """Keras's own test: a number or a list that is not empty; an array of one number."""
    return bool(shift)


def _is_choice(shift):
    """Whether NumPy takes a value for something to choose from, as Keras asks it."""
    try:
        _ANY_STREAM.choice(shift)
    except ValueError:
        return False
    return True


def _values_of(shift):
    """What NumPy chooses from: a number of integers, or some numbers."""
    array = np.asarray(shift)
    return operator.index(array.item()) if array.ndim == 0 else array
