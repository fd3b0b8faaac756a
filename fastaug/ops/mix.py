"""Ops on finished batches: each image is mixed with another one of its batch, and so are labels."""

import dataclasses
from typing import Any

import numpy as np

from fastaug import _core
from fastaug.ops.base import Draws, check_integer, check_number

__all__: list[str] = ["CutMix", "MixUp"]


class Mix:
    """Something that mixes the images of a batch: a small frozen object.

    A subclass implements `draw`.
    """

    num_classes: int | None
    label_smoothing: float

    @property
    def name(self) -> str:
        """Name of its random stream: images depend on it."""
        return type(self).__name__

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the columns of `_core.mix`; the first is the part of the image itself."""
        raise NotImplementedError

    def _check(self, alpha=1.0):
        check_number("alpha", alpha, np.nextafter(0, 1), np.finfo(float).max)
        check_number("label_smoothing", self.label_smoothing, 0, 1)
        if self.num_classes is not None:
            check_integer("num_classes", self.num_classes, 1, np.iinfo(np.int64).max)


@dataclasses.dataclass(frozen=True)
class MixUp(Mix):
    """Blends each image of a batch with another one, and their labels.

    As `torchvision.transforms.v2.MixUp`, after Zhang et al., "mixup: Beyond Empirical Risk
    Minimization" (2018), with a weight for each image: `w * image + (1 - w) * other`, w drawn from
    Beta(alpha, alpha). In uint8 batches it is rounded.

    Args:
        alpha: Parameter of the distribution, above 0: below 1, one of the two is seen more.
        num_classes: Number of classes of labels that are whole numbers. None: that of the flow; of
            integers in an array, the greatest label + 1.
        label_smoothing: What of a label is shared out to all classes, from 0 to 1.

    Raises:
        ValueError: If a number is outside its range.
        TypeError: If an argument is of another type.

    Example:
        >>> generator = fastaug.ImageDataGenerator(mix=fastaug.MixUp(0.2))
        >>> images, labels = next(generator.flow(x, y, batch_size=4, seed=1))
        >>> labels.shape, labels.sum(axis=1)
        ((4, 10), array([1., 1., 1., 1.], dtype=float32))
    """

    alpha: float = 1.0
    num_classes: int | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        self._check(self.alpha)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the weights, and no box."""
        columns = np.full((len(draws), _core.MIX_COLUMNS), np.nan)
        columns[:, 0] = _beta(self.alpha, draws.uniform(1)[:, 0])
        return columns


@dataclasses.dataclass(frozen=True)
class CutMix(Mix):
    """Puts a box of another image of the batch into each image, and mixes labels by its area.

    As `torchvision.transforms.v2.CutMix`, after Yun et al., "CutMix: Regularization Strategy to
    Train Strong Classifiers with Localizable Features" (2019), with a box for each image: its
    centre is uniform, its sides are those of the image times sqrt(1 - w), w drawn from Beta(alpha,
    alpha), cut at the border; labels are mixed by what it covers.

    Args:
        alpha: Parameter of the distribution, above 0: 1 is uniform.
        num_classes: Number of classes of labels that are whole numbers. None: that of the flow; of
            integers in an array, the greatest label + 1.
        label_smoothing: What of a label is shared out to all classes, from 0 to 1.

    Raises:
        ValueError: If a number is outside its range.
        TypeError: If an argument is of another type.

    Example:
        >>> generator = fastaug.ImageDataGenerator(mix=fastaug.CutMix(1.0))
        >>> images, labels = next(generator.flow(x, y, batch_size=4, seed=1))
        >>> images.shape, labels.shape
        ((4, 32, 32, 3), (4, 10))
    """

    alpha: float = 1.0
    num_classes: int | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        self._check(self.alpha)

    def draw(self, draws: Draws) -> np.ndarray:
        """Returns the parts that are left, and the boxes."""
        height, width = draws.size
        numbers = draws.uniform(3)
        half = 0.5 * np.sqrt(1 - _beta(self.alpha, numbers[:, 0]))
        columns = np.empty((len(draws), _core.MIX_COLUMNS))
        for k, side in enumerate((height, width)):
            centre, reach = np.floor(numbers[:, 1 + k] * side), np.floor(half * side)
            columns[:, 1 + k] = np.maximum(centre - reach, 0)
            columns[:, 3 + k] = np.minimum(centre + reach, side)
        area = (columns[:, 3] - columns[:, 1]) * (columns[:, 4] - columns[:, 2])
        columns[:, 0] = 1 - area / (height * width)
        return columns


def _beta(alpha, numbers):
    """Returns what of Beta(alpha, alpha) belongs to numbers in [0, 1)."""
    from scipy import special  # takes longer to import than all of fastaug

    return special.betaincinv(alpha, alpha, numbers)


@dataclasses.dataclass(frozen=True)
class Mixing:
    """How the images of one batch are mixed.

    Attributes:
        order: int64 array; each image is mixed with the one after it, the last with the first.
        table: Columns of `_core.mix`.
    """

    order: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, mix: Mix, draws: Draws) -> "Mixing":
        """Draws how a batch is mixed: it depends on which samples are in it, not on their order."""
        order = np.argsort(draws.of("partner").uniform(1)[:, 0], kind="stable")
        table = mix.draw(draws)
        if len(order) == 1:
            table[:, 0] = 1
        return cls(order, table)

    @property
    def others(self) -> np.ndarray:
        """Which image each one is mixed with, int64."""
        others = np.empty_like(self.order)
        others[self.order] = np.roll(self.order, -1)
        return others

    def images(self, images: np.ndarray, channels_first: bool) -> np.ndarray:
        """Returns the mixed images; those that are given may be changed."""
        if images.dtype in (np.uint8, np.float32):
            _core.mix(images, self.order, self.table, channels_first)
            return images
        mixed = images.copy()
        for image, other, (part, *box) in zip(mixed, images[self.others], self.table, strict=True):
            if np.isnan(box[0]):
                blend = part * image + (1 - part) * other  # doubles, as `part` is one
                image[...] = np.floor(blend + 0.5) if images.dtype.kind in "iu" else blend
            else:
                top, left, bottom, right = map(int, box)
                box_of = slice(top, bottom), slice(left, right)
                inside = (slice(None), *box_of) if channels_first else (*box_of, slice(None))
                image[inside] = other[inside]
        return mixed

    def labels(
        self, labels: np.ndarray, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns mixed labels and weights, with which a loss that is linear in labels is right.

        Args:
            labels: Floats, one row for each image.
            weights: A weight for each image, or None.

        Raises:
            TypeError: If weights are no numbers.
            ValueError: If there is more than one for an image.
        """
        own = self.table[:, 0].reshape(-1, *[1] * (labels.ndim - 1))
        others = self.others
        if weights is None:
            mixed = own * labels + (1 - own) * labels[others]
            return mixed.astype(labels.dtype), None
        check_weights(weights)
        each = weights.reshape(len(weights))
        part = self.table[:, 0] * each
        rest = (1 - self.table[:, 0]) * each[others]
        both = part + rest
        share = np.divide(part, both, out=self.table[:, 0].copy(), where=both != 0)
        share = share.reshape(own.shape)
        mixed = share * labels + (1 - share) * labels[others]
        kind = np.result_type(weights.dtype, np.float32)  # whole numbers do not stay whole
        return mixed.astype(labels.dtype), both.astype(kind).reshape(weights.shape)


def check_weights(weights: np.ndarray) -> None:
    """Raises an error unless there is one number for each image.

    Raises:
        TypeError: If weights are no numbers.
        ValueError: If there is more than one for an image.
    """
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"Sample weights are mixed as numbers. Received: {weights.dtype}")
    if weights.size != len(weights):
        raise ValueError(
            "To be mixed, an image has one sample weight. Received weights of shape "
            f"{weights.shape}"
        )


def count_classes(labels: Any) -> int:
    """Returns how many classes integer labels have: the greatest + 1; 0 of others."""
    numbers = np.asarray(labels)
    return int(numbers.max()) + 1 if numbers.dtype.kind in "iu" and numbers.size else 0


def label_floats(labels: Any, mix: Mix, classes: int, dtype: Any) -> np.ndarray:
    """Returns labels as floats that can be mixed.

    Args:
        labels: One label for each image: integers, or numbers, or vectors of such.
        mix: What mixes them.
        classes: Number of classes of integers, if `mix` has none.
        dtype: Type of the floats.

    Raises:
        TypeError: If they are of another kind.
        ValueError: If one is no class.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biuf":
        raise TypeError(f"{mix!r} mixes labels that are numbers. Received labels of {labels.dtype}")
    if mix.num_classes and labels.dtype.kind == "f" and labels.size == len(labels):
        if (labels != np.trunc(labels)).any():
            raise ValueError(
                f"{mix!r} has `num_classes`, which is for labels that are whole numbers. Received: "
                f"{labels!r:.200}"
            )
        labels = labels.astype(np.int64)
    if labels.ndim == 2 and labels.shape[1] == 1 and labels.dtype.kind in "iu":
        labels = labels[:, 0]
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        count = mix.num_classes or classes
        if len(labels) and not 0 <= labels.min() <= labels.max() < count:
            raise ValueError(
                f"{mix!r} mixes labels from 0 to {count}, that one not included. Received labels "
                f"from {labels.min()} to {labels.max()}"
            )
        rows = np.zeros((len(labels), count), dtype=dtype)
        rows[np.arange(len(labels)), labels] = 1
        labels = rows
    elif mix.num_classes and labels.shape[-1] != mix.num_classes:
        raise ValueError(
            f"{mix!r} has another number of classes than labels of shape {labels.shape}"
        )
    labels = labels.astype(dtype)
    if mix.label_smoothing:
        if labels.ndim == 1:
            raise ValueError(
                f"{mix!r} smooths labels that have a number for each class. Received labels of "
                f"shape {labels.shape}"
            )
        labels *= 1 - mix.label_smoothing
        labels += np.asarray(mix.label_smoothing / labels.shape[-1], dtype=dtype)
    return labels
