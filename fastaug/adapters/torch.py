"""Batches as a dataset of PyTorch."""

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info


class TorchBatches(IterableDataset[Any]):
    """One epoch of an iterator, in whole batches of tensors.

    Args:
        iterator: An iterator of fastaug.
    """

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator
        self._epoch: int | None = None

    def __len__(self) -> int:
        return len(self._iterator)

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration that of an epoch, whatever was iterated before.

        Args:
            epoch: Number of the epoch, from 0. Without a seed, no two of one number are the same.

        Raises:
            ValueError: If it is negative.
            TypeError: If it is no integer.
        """
        if operator.index(epoch) < 0:
            raise ValueError(f"`epoch` should be 0 or more. Received: {epoch=}")
        self._epoch = operator.index(epoch)

    def __iter__(self) -> Iterator[Any]:
        if get_worker_info() is not None:
            raise RuntimeError(
                "fastaug's threads make the batches already, and each worker of a DataLoader would "
                "make all of them once more. Use DataLoader(dataset, batch_size=None), with "
                "num_workers=0."
            )
        epoch, self._epoch = self._epoch, None
        self._iterator._begin_epoch(epoch)
        for _ in range(len(self)):
            yield _as_tensors(next(self._iterator))


def _as_tensors(batch):
    if isinstance(batch, np.ndarray):
        return torch.from_numpy(batch)
    if isinstance(batch, dict):
        return {name: _as_tensors(part) for name, part in batch.items()}
    return type(batch)(_as_tensors(part) for part in batch)
