"""A choice among ops, or among what mixes batches."""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from fastaug.ops.base import Call, Draws, Op, as_op, check_number, layout, numbered
from fastaug.ops.mix import Mix
from fastaug.ops.policy import op_of

__all__: list[str] = ["OneOf"]


if TYPE_CHECKING:

    class _Choice(Op, Mix):
        """What a choice is, depending on what there is to choose from."""
else:
    _Choice = object


class OneOf(_Choice):
    """Does one of some ops to each image, or mixes it in one of some ways.

    As `torchvision.transforms.v2.RandomChoice`, for each image.

    Args:
        *choices: Ops or their names, but no crops, for `augment`; or `MixUp` and `CutMix`, or their
            names, for `mix`. These have the same `num_classes` and `label_smoothing`.
        weights: How likely each is, in relation to the others. None: all the same.

    Raises:
        TypeError: If one is neither an op nor a mix, or both are there.
        ValueError: If there is none, one is a crop, mixes differ in their labels, or weights are
            not one for each, from 0 on.

    Example:
        >>> op = fastaug.OneOf(fastaug.Posterize(3), "equalize", weights=[3, 1])
        >>> op(x[0].astype("uint8"), seed=1).shape
        (32, 32, 3)
        >>> fastaug.ImageDataGenerator(mix=fastaug.OneOf(fastaug.MixUp(0.2), fastaug.CutMix())).mix
        OneOf(MixUp(alpha=0.2, num_classes=None, label_smoothing=0.0), CutMix(alpha=1.0, \
num_classes=None, label_smoothing=0.0))
    """

    choices: tuple[Any, ...]
    weights: tuple[float, ...] | None

    def __new__(cls, *choices: Any, weights: Any = None) -> "OneOf":
        """Makes a choice of the kind of what is to choose from."""
        given = [_choice_of(each) for each in choices]
        if not given:
            raise ValueError("Expected something to choose from. Received: OneOf()")
        mixes = [isinstance(each, Mix) for each in given]
        for each in given:
            if not isinstance(each, Op | Mix) or isinstance(each, Call) or any(mixes) != all(mixes):
                raise TypeError(
                    "OneOf has ops, or what mixes batches, not both, and no functions. Received: "
                    f"{each!r} among {len(given)}"
                )
            if isinstance(each, Op) and each.is_crop:
                raise ValueError(f"OneOf has no crops. Received: {each!r}")
        if all(mixes) and len({(each.num_classes, each.label_smoothing) for each in given}) > 1:
            raise ValueError(
                "Mixes of OneOf should have the same `num_classes` and `label_smoothing`. "
                f"Received: {given}"
            )
        self = object.__new__(_OneOfMixes if all(mixes) else _OneOfOps)
        object.__setattr__(self, "choices", tuple(given))
        object.__setattr__(self, "weights", _checked_weights(weights, len(given)))
        return self

    def __setattr__(self, name, value):
        raise AttributeError(f"cannot assign to field {name!r}")

    def __repr__(self) -> str:
        parts = [repr(each) for each in self.choices]
        if self.weights is not None:
            parts.append(f"weights={self.weights}")
        return f"OneOf({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OneOf):
            return NotImplemented
        return (self.choices, self.weights) == (other.choices, other.weights)

    def __hash__(self) -> int:
        return hash((self.choices, self.weights))

    def __reduce__(self):
        return functools.partial(OneOf, weights=self.weights), self.choices

    @property
    def name(self) -> str:
        """Name of its random stream: images depend on it."""
        return "OneOf"

    def _chosen(self, draws):
        """Returns which is chosen for each sample."""
        bounds = np.cumsum(self.weights or [1.0] * len(self.choices))
        return np.searchsorted(bounds, draws.uniform(1)[:, 0] * bounds[-1], side="right")

    def _named(self):
        """Returns pairs of a choice and the name of its stream."""
        return zip(self.choices, numbered([each.name for each in self.choices]), strict=True)


class _OneOfOps(OneOf, Op):
    @property
    def steps(self):
        return sum((each.steps for each in self.choices), ())

    @property
    def kernels(self):
        return tuple(sorted({kernel for each in self.choices for kernel in each.kernels}))

    def check_size(self, size):
        for each in self.choices:
            each.check_size(size)

    def draw(self, draws: Draws) -> np.ndarray:
        chosen, parts = self._chosen(draws), []
        for k, (each, name) in enumerate(self._named()):
            table = each.table(draws.of(name))
            starts, _ = layout(each.steps)
            table[np.ix_(chosen != k, np.array(starts, dtype=int))] = np.nan
            parts.append(table)
        return np.hstack(parts)


class _OneOfMixes(OneOf, Mix):
    @property
    def num_classes(self):
        return self.choices[0].num_classes

    @property
    def label_smoothing(self):
        return self.choices[0].label_smoothing

    def draw(self, draws: Draws) -> np.ndarray:
        tables = [each.draw(draws.of(name)) for each, name in self._named()]
        return np.stack(tables)[self._chosen(draws), np.arange(len(draws))]


def _choice_of(given):
    """Returns what stands for an op or a mix as such, if it does."""
    if isinstance(given, str):
        return op_of(given, (Op, Mix))
    return given if isinstance(given, Mix) else as_op(given)


def _checked_weights(weights, count):
    """Returns weights as a tuple, or None."""
    if weights is None:
        return None
    values = tuple(weights)
    for value in values:
        check_number("weights", value, 0, np.finfo(float).max)
    if len(values) != count or not 0 < sum(values) < np.inf:
        raise ValueError(f"`weights` should be one for each of {count}. Received: {weights=}")
    return tuple(float(value) for value in values)
