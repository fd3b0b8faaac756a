"""Which samples come next: the order of an iterator, as values that do not change."""

import dataclasses
import operator

import numpy as np

# Asks for the next batch, where another position in the epoch could stand.
NEXT = object()


@dataclasses.dataclass(eq=False, slots=True)  # a frozen one takes three times as long to make
class Order:
    """The state of Keras's `Iterator`. A step makes another one of it and leaves it as it is.

    Attributes:
        n: Number of samples.
        batch_size: Samples in a batch.
        shuffle: Whether each epoch is a new permutation.
        seed: Seed of the first batch, or None to go on in the stream.
        batch_index: Batches handed out in this epoch by `next`.
        total_batches_seen: Batches handed out in all, which the seed counts on.
        index_array: This epoch's order, int64, or None before the first batch.
        started: Whether `next` was called; its first call begins an epoch in any case.
    """

    n: int
    batch_size: int
    shuffle: bool
    seed: int | None
    batch_index: int = 0
    total_batches_seen: int = 0
    index_array: np.ndarray | None = None
    started: bool = False

    def changed(self, **fields) -> "Order":
        """Returns one with other values of some fields."""
        return dataclasses.replace(self, **fields)

    def same(self, other) -> bool:
        """Whether the next batches of both are the same."""
        return self is other or (
            self.index_array is other.index_array and _compared(self) == _compared(other)
        )

    def __len__(self):
        return (self.n + self.batch_size - 1) // self.batch_size

    def reshuffled(self, stream) -> "Order":
        """Returns the order of a new epoch, from a stream."""
        return self.changed(
            index_array=stream.permutation(self.n) if self.shuffle else np.arange(self.n)
        )

    def next(self, stream, begin_epoch=reshuffled):
        """Returns the samples of the next batch and the order after it.

        The last batch of an epoch may be short.

        Args:
            stream: A `Stream`.
            begin_epoch: Function of the order and the stream that returns the order of a new epoch.
        """
        order = self if self.started else self.changed(started=True, batch_index=0)
        order._seed(stream)
        if order.batch_index == 0:
            order = begin_epoch(order, stream)
        n, size, samples = order.n, order.batch_size, order.index_array
        start = order.batch_index * size % n if n else 0
        after = Order(
            n,
            size,
            order.shuffle,
            order.seed,
            order.batch_index + 1 if n > start + size else 0,
            order.total_batches_seen + 1,
            samples,
            order.started,
        )
        return samples[start : start + size], after

    def item(self, position, stream, begin_epoch=reshuffled):
        """Returns the samples of one batch of the epoch and the order after it.

        Args:
            position: Which batch.
            stream: A `Stream`.
            begin_epoch: As for `next`.

        Raises:
            ValueError: If there are not that many batches.
        """
        if position >= len(self):
            raise ValueError(
                f"Asked to retrieve element {position}, but the Sequence has length {len(self)}"
            )
        self._seed(stream)
        after = self.changed(total_batches_seen=self.total_batches_seen + 1)
        if after.index_array is None:
            after = begin_epoch(after, stream)
        size = after.batch_size
        return after.index_array[size * position : size * (position + 1)], after

    def _seed(self, stream):
        if self.seed is not None:
            stream.seed(self.seed + self.total_batches_seen)


_compared = operator.attrgetter(
    *(field.name for field in dataclasses.fields(Order) if field.name != "index_array")
)
