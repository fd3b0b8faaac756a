"""The order in which a trainer will ask for the batches of an epoch, known before it asks.

By default `fit` has the batches of a `PyDataset` shuffled. In Keras 3.15
(`keras/src/trainers/data_adapters/py_dataset_adapter.py`) `PyDatasetAdapter._finite_generator`, or
`OrderedEnqueuer._run` in a thread of its own where the dataset has `workers`, reads `num_batches`,
and straight after it shuffles the numbers below with the global `random`. With Keras's pull request
23044 it is `random.Random(epoch)` that shuffles. `evaluate`, `predict`, and `fit` with
`shuffle=False`, ask in sequence.

So where the global `random` stands is noted whenever `num_batches` is read, and nothing is drawn
from it. If it stands elsewhere when an item is asked for that was not expected, the shuffle is made
once more in a private generator, from where the global one stood. It was Keras's if the private one
then stands where the global one does, or if its first number is the item. All of it is a guess,
which `batches.py` checks like its others.
"""

import collections
import random
from collections.abc import Sequence

# Threads ask in an order that is about the expected one: so far off an item may be. After one was,
# and in the epoch after it, so many have to come as expected before there is a guess.
_NEAR = 16

# What the first epoch of a training may count as, and so many numbers after that of the last epoch.
_FIRST_EPOCHS = range(3)
_NEXT_EPOCHS = 2

# After so many shuffles in vain they are made for two items of an epoch at most: one for each would
# take longer than the batches.
_VAIN = 2


class EpochOrder:
    """What an iterator is asked for, and what it will be asked for next."""

    def __init__(self) -> None:
        # A trainer reads more often than it shuffles, also in two threads at a time.
        self._readings: collections.deque[tuple] = collections.deque(maxlen=4)
        self._items: Sequence[int] = range(0)
        self._place = 0  # in the items, of the one that is expected
        self._last = -1
        self._wanting = 0  # items that have to come as expected before there is a guess
        self._was_near = False  # whether one was near the expected one, in this epoch
        self._epoch = -1  # the last one whose number was the seed of a shuffle
        self._vain = 0
        self._rest = 0  # items to come that no shuffle is made for

    def num_batches_read(self) -> None:
        """Notes that somebody has read the number of batches, and may shuffle. Takes no lock."""
        self._readings.append(random.getstate())

    def asked(self, item: int, count: int) -> bool:
        """Notes what is asked for, in one thread at a time.

        Args:
            item: Position in the epoch.
            count: Number of batches in the epoch.

        Returns:
            Whether `following` is worth a guess.
        """
        last, self._last = self._last, item
        if self._readings and not self._expects(item):
            self._search(item, count)
        if self._expects(item):
            self._place += 1
            self._wanting = max(self._wanting - 1, 0)
        elif item == 0 or item == last + 1:  # in sequence
            self._items, self._place, self._wanting = range(count), item + 1, 0
        else:
            self._wanting = _NEAR
            near = self._items[self._place : self._place + _NEAR]
            if item in near:
                self._place += near.index(item) + 1
                self._was_near = True
        return not self._wanting

    def following(self, start: int, most: int) -> Sequence[int]:
        """Returns the items that are expected next, up to the end of the epoch.

        Args:
            start: How many of them to leave out.
            most: How many to return at most.
        """
        start += self._place
        return self._items[start : start + most]

    def _expects(self, item):
        return self._place < len(self._items) and self._items[self._place] == item

    def _search(self, item, count):
        """Takes on the shuffle that was made after one of the last readings, if there was one."""
        now = later = random.getstate()
        before = []  # states that were left: pairs of one and whether it is of the last reading
        newest = True
        while self._readings:
            state = self._readings.pop()
            if state != later:
                before.append((state, newest))
            later, newest = state, False
        if self._rest:
            self._rest -= 1
            return
        items = self._shuffle_of_the_global(before, now, item, count)
        if items is None and item != 0:  # in sequence, but for one epoch in so many
            items = self._shuffle_of_an_epoch(item, count)
        if items is not None:
            self._items, self._place = items, 0
            self._wanting, self._was_near = _NEAR * self._was_near, False
            self._vain = 0
        elif before or item != 0:
            self._vain += 1
            if self._vain > _VAIN:
                self._rest = count // 2

    def _shuffle_of_the_global(self, before, now, item, count):
        generator = random.Random()
        for state, newest in before:
            generator.setstate(state)
            items = _shuffled(count, generator)
            if generator.getstate() == now or (newest and items[0] == item):
                return items
        return None

    def _shuffle_of_an_epoch(self, item, count):
        following = range(self._epoch + 1, self._epoch + 1 + _NEXT_EPOCHS)
        for epoch in dict.fromkeys([*following, *_FIRST_EPOCHS]):
            items = _shuffled(count, random.Random(epoch))
            if items[0] == item:
                self._epoch = epoch
                return items
        return None


def _shuffled(count, generator):
    items = list(range(count))
    generator.shuffle(items)
    return items
