"""Batches that are prepared before somebody asks for them.

It is a guess: that the next call asks for what comes next (`epoch_order.py`), with the settings,
the order and the stream as they were left. When the call comes, the guess is checked against all of
them. What was guessed wrong is thrown away, so a batch never depends on prefetching. Small batches
that follow each other are one job: handing each over by itself, and waking up for it, would take a
good part of the time that it needs.
"""

import collections
import logging

import numpy as np

from fastaug.keras_api.order import NEXT
from fastaug.keras_api.streams import global_stream, position, step_over
from fastaug.log import note

# After this many wrong guesses in a row, no more guessing for a while.
_WRONG_GUESSES = 3
_PAUSE = 32

# Small batches that follow each other are one job, of so many bytes, and of so many at most.
_RUN_BYTES = 1 << 22
_LONGEST_RUN = 8


def run_length(nbytes: int) -> int:
    """Returns how many batches of a size are one job, where one can be several.

    Args:
        nbytes: Bytes of a batch.
    """
    return min(max(_RUN_BYTES // max(nbytes, 1), 1), _LONGEST_RUN)


class Guesses:
    """The batches of one iterator that are prepared ahead, and whether they are what comes next.

    Args:
        spec: `BatchSpec`, what they are made of.
        starter: `Starter` that starts them.
        arrays: `ArrayPool`, of which more has to be kept the more are prepared.
        epoch_order: `EpochOrder`, in which items are asked for.
        prefetch: Number of batches to prepare; of small ones more.
    """

    def __init__(self, spec, starter, arrays, epoch_order, prefetch):
        self._ahead = collections.deque()
        self._spec = spec
        self._starter = starter
        self._arrays = arrays
        self._epoch_order = epoch_order
        self._prefetch = prefetch
        self._enough = prefetch and 1  # above which no more are begun
        self._last_run = 0  # the job of the batch that was handed out last
        self._wrong = 0
        self._pause = 0

    def __len__(self):
        return len(self._ahead)

    def __iter__(self):
        return iter(self._ahead)

    def __del__(self):
        for batch in self._ahead:
            batch.job.cancel()

    def take(self, augmentation, order, item):
        """Returns the batch that is asked for, if it was guessed; else all guesses are dropped.

        Args:
            augmentation: The settings as they are now.
            order: The order as it is now.
            item: Position in the epoch, or NEXT.
        """
        if not self._ahead:
            return None
        batch = self._ahead[0]
        change = self._change_since(batch, augmentation, order, item)
        if change is None:
            self._wrong = 0
            return self._ahead.popleft()
        note(
            logging.INFO,
            "%d batches were prepared that nobody asked for: %s",
            len(self._ahead),
            change,
        )
        self.drop()
        self._wrong += 1
        if self._wrong >= _WRONG_GUESSES:
            self._wrong = 0
            self._pause = _PAUSE
            note(logging.INFO, "No batches are prepared ahead for the next %d", _PAUSE)
        return None

    def _change_since(self, batch, augmentation, order, item):
        """Returns in words why a guess was wrong; None: it was right, and the stream is stepped."""
        if batch.augmentation is not augmentation:
            return "the generator's settings have changed"
        if batch.item != item or not batch.before.same(order):
            return "another batch is the next one"
        spec = self._spec
        if batch.read_with != spec.source.read_with() or batch.paths != spec.paths_of(batch.index):
            return "the files, or how they are read, have changed"
        if batch.job.is_lost():
            return "their threads are gone"
        if (
            np.asarray(batch.place, dtype=np.int64).tobytes() != batch.index.tobytes()
            or batch.hash_limit != spec.hash_limit
            or not self._step_global_stream(batch)
        ):
            return "the random numbers, or the order, have changed"
        return None

    def _step_global_stream(self, batch):
        """Steps the global stream over a guessed batch, if it stands where the guess began."""
        if batch.stream_before is None:
            return True
        return step_over(global_stream(), batch.stream_before, batch.stream_start)

    def prepare(self, augmentation, batch, foreseen):
        """Prepares what may come after the batch that is handed out.

        Args:
            augmentation: The settings as they are now.
            batch: That batch.
            foreseen: Whether the order of the next ones is known.
        """
        self._last_run = batch.run
        if len(self._ahead) >= self._enough:
            return
        if self._pause:
            self._pause -= 1
            return
        if not foreseen:
            return
        length = run_length(batch.images.nbytes)
        # of small ones another run, so that there is work while those of one are handed out
        self._enough = self._prefetch if length == 1 else max(self._prefetch, length + 1)
        if not self._spec.is_core_work(augmentation):  # each is a job of its own
            self._enough = self._enough if self._spec.source.has_readers else self._prefetch
            length = 1
        self._arrays.kept = self._enough + length + 3
        if self._ahead:
            batch = self._ahead[-1]
        while len(self._ahead) < self._enough:
            order, items, before = batch.order, [NEXT] * length, None
            if batch.item is not NEXT:
                items = self._epoch_order.following(len(self._ahead), length)
                if not items:
                    return
            if order.seed is None:
                before = batch.stream_after or position(global_stream())
            try:
                batches = self._starter.start(augmentation, order, items, before)
            except Exception:  # a guess must not fail: if it is right, the call itself will
                return
            if before is not None:
                for batch in batches:
                    batch.stream_before, before = before, batch.stream_after
            self._ahead.extend(batches)
            batch = batches[-1]

    def drop(self):
        """Throws all of them away."""
        for batch in self._ahead:
            if batch.run != self._last_run:  # that is waited for, or done
                batch.job.cancel()
        self._ahead.clear()
