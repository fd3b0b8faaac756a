"""Which samples come next: the order of an iterator, as values that do not change."""

import dataclasses
import operator

import numpy as np

from fastaug.keras_api.streams import reseed

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

    def next_seed(self) -> int | None:
        """Returns what the stream is seeded with before the next batch, or None."""
        return None if self.seed is None else self.seed + self.total_batches_seen

    def next_epoch(self) -> int:
        """Returns the number, from 0, of the first epoch of which no batch was handed out."""
        return -(-self.total_batches_seen // max(len(self), 1))

    def at_epoch(self, epoch: int) -> "Order":
        """Returns the order before the first batch that `next` gives of an epoch, from 0."""
        return self.changed(total_batches_seen=epoch * len(self), batch_index=0)

    def begins_epoch(self, item) -> bool:
        """Whether a new epoch begins with a batch: NEXT, or a position in the epoch."""
        if item is NEXT:
            return self.batch_index == 0 or not self.started
        return self.index_array is None

    def reshuffled(self, rng) -> "Order":
        """Returns the order of a new epoch, from a stream."""
        return self.changed(
            index_array=rng.permutation(self.n) if self.shuffle else np.arange(self.n)
        )

    def step(self, item):
        """Returns the samples of a batch of the epoch, and the order after it.

        The last batch of an epoch may be short.

        Args:
            item: NEXT, or a position in the epoch.

        Raises:
            ValueError: If there are not that many batches.
        """
        self._check(item)
        n, size, samples, batch_index = self.n, self.batch_size, self.index_array, self.batch_index
        if item is NEXT:
            start = batch_index * size % n if n else 0
            batch_index = batch_index + 1 if n > start + size else 0
        else:
            start = size * item
        after = Order(
            n,
            size,
            self.shuffle,
            self.seed,
            batch_index,
            self.total_batches_seen + 1,
            samples,
            self.started,
        )
        return samples[start : start + size], after

    def _check(self, item):
        if item is not NEXT and item >= len(self):
            raise ValueError(
                f"Asked to retrieve element {item}, but the Sequence has length {len(self)}"
            )

    def draw(self, item, rng, begin_epoch=reshuffled):
        """Seeds a stream, begins an epoch if it is time, and steps; returns what `step` returns.

        Args:
            item: NEXT, or a position in the epoch.
            rng: The stream.
            begin_epoch: Function of the order and the stream that returns the order of a new epoch.

        Raises:
            ValueError: If there are not that many batches.
        """
        order = self
        if item is NEXT and not order.started:
            order = order.changed(started=True, batch_index=0)
        order._check(item)
        seed = order.next_seed()
        if seed is not None:
            reseed(rng, seed)
        if order.begins_epoch(item):
            counted = item is not NEXT  # what begins the epoch sees this batch counted, in Keras
            order = begin_epoch(
                order.changed(total_batches_seen=order.total_batches_seen + counted), rng
            )
            order = order.changed(total_batches_seen=order.total_batches_seen - counted)
        return order.step(item)


@dataclasses.dataclass(eq=False, slots=True)
class RankOrder(Order):
    """The batches of one of several processes: of those of an `Order` with a seed, every so many.

    Batch `k` of an epoch is batch `k * world_size + rank` of all, with its samples and its draws.
    Each process has as many; if they do not come out even, the last have the samples of the first.
    They are asked for by `next` alone.

    Attributes:
        rank: Which process it is.
        world_size: How many there are.
    """

    rank: int = 0
    world_size: int = 1

    def __len__(self):
        return -(-Order.__len__(self) // self.world_size)

    def _number(self):
        """Returns which of all batches of the epoch is this process's next one."""
        return (self.batch_index * self.world_size + self.rank) % Order.__len__(self)

    def _seed_of(self, number):
        epoch = self.total_batches_seen // len(self)
        return self.seed + epoch * Order.__len__(self) + number

    def next_seed(self):
        """Returns what the stream is seeded with before the next batch."""
        return self._seed_of(self._number())

    def step(self, item=NEXT):
        """Returns the samples of the next batch, and the order after it."""
        start = self._number() * self.batch_size
        after = self.changed(
            total_batches_seen=self.total_batches_seen + 1,
            batch_index=(self.batch_index + 1) % len(self),
        )
        return self.index_array[start : start + self.batch_size], after

    def draw(self, item, rng, begin_epoch=Order.reshuffled):
        """Does what `Order.draw` does; all processes draw the order of an epoch from one seed."""

        def begin(order, rng):
            reseed(rng, order._seed_of(0))
            order = begin_epoch(order, rng)
            if order._number():  # else it goes on in the stream of the order, as one process does
                reseed(rng, order.next_seed())
            return order

        return Order.draw(self, item, rng, begin)


_compared = operator.attrgetter(
    *(field.name for field in dataclasses.fields(Order) if field.name != "index_array")
)
