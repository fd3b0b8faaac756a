"""The multiprocessing method as a Keras dataset, to train from."""

import numpy as np
from keras_reference import PyDataset

POLL = 0.2  # seconds


class PoolDataset(PyDataset):
    """Batches whose images a process pool augments, shuffled anew for every epoch.

    Args:
        pool: A `multiprocessing.Pool`, whose workers call `work` with a task.
        work: That function.
        task: Function from the number of an image to its task.
        y: Labels.
        batch_size: Images in a batch.
        seed: Seed of the order.
    """

    def __init__(self, pool, work, task, y, batch_size, seed):
        super().__init__()
        self._pool, self._work, self._task = pool, work, task
        self._y, self._batch_size = y, batch_size
        self._rng = np.random.default_rng(seed)
        self._closed = False
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self._y) // self._batch_size)

    def __getitem__(self, number):
        start = number * self._batch_size
        indexes = self._order[start : start + self._batch_size]
        result = self._pool.map_async(self._work, [self._task(i) for i in indexes])
        while not result.ready():
            # Keras may ask in a thread of its own, and a pool that is ended never answers
            if self._closed:
                raise RuntimeError("the dataset was closed")
            result.wait(POLL)
        return np.array(result.get()), self._y[indexes]

    def on_epoch_end(self):
        self._order = self._rng.permutation(len(self._y))

    def close(self):
        """Ends the waiting for a batch."""
        self._closed = True
