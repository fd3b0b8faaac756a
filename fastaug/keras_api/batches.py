"""Finished batches: who begins them, guesses what comes next, and finishes them.

    Order ──► table of parameters ──► Job on the threads ──► preprocessing_function ──► batch
    (stream)  (stream)                (warp ... standardize)  (calling thread)
    └──────────── starting.py, guessing.py ────────────────┘  └──────── finishing.py ────────┘

The global `np.random` is advanced only by the batches that are handed out.
"""

import logging
import threading

import numpy as np

from fastaug import _core
from fastaug.keras_api.epoch_order import EpochOrder
from fastaug.keras_api.finishing import Finisher
from fastaug.keras_api.guessing import Guesses
from fastaug.keras_api.order import NEXT
from fastaug.keras_api.spec import BatchSpec
from fastaug.keras_api.starting import Starter
from fastaug.log import note
from fastaug.run.array_pool import ArrayPool
from fastaug.run.locks import renew_in_child

_NOTHING = object()


class BatchMaker:
    """Makes the batches of one iterator.

    Args:
        source: Where the images come from.
        generator: An `ImageDataGenerator` of any kind, or None: images stay as they are.
        data_format: Layout of images and batches.
        dtype: Type of the batches.
        workers: Number of threads; 0: everything in the calling thread.
        prefetch: Number of batches to prepare ahead.
        fields: `MaskField` of each of the masks that go with the images.

    Attributes:
        lock: To be held for all calls but `finish`.
        epoch_order: The order of the items that are asked for.
    """

    def __init__(self, source, generator, data_format, dtype, workers, prefetch, fields=()):
        prefetch = prefetch if workers else 0
        # those ahead, the one in the making, twice if a function keeps its images, the user's
        self._arrays = ArrayPool(prefetch + 4)
        self._spec = BatchSpec(source, generator, data_format, dtype, fields)
        self._starter = Starter(self._spec, self._arrays, workers)
        self.epoch_order = EpochOrder()
        self._guesses = Guesses(self._spec, self._starter, self._arrays, self.epoch_order, prefetch)
        self._finisher = Finisher(self._spec, self._arrays)
        self._told = _NOTHING  # the last settings that the log knows of
        self._renew_in_child()
        renew_in_child(self)
        self._augmentation()

    def _renew_in_child(self):
        self.lock = threading.Lock()

    @property
    def source(self):
        """Where the images come from."""
        return self._spec.source

    @source.setter
    def source(self, source):
        self._guesses.drop()
        self._spec.source = source

    def replace_fields(self, fields):
        """Takes the masks of the next batches from elsewhere."""
        self._guesses.drop()
        self._spec.fields = fields

    def follow(self, generator, dtype, hash_limit, own_seed):
        """Takes on what a user may have changed in the iterator.

        Args:
            generator: An `ImageDataGenerator` of any kind, or None.
            dtype: Type of the batches.
            hash_limit: Bound of the numbers drawn for file names, or None to draw none.
            own_seed: Seed of what the ops of `augment` draw, where the iterator has none.
        """
        self._spec.generator = generator
        self._spec.dtype = np.dtype(dtype)
        self._spec.hash_limit = hash_limit
        self._spec.own_seed = own_seed

    def stop(self):
        """Drops what was prepared ahead, and the threads. The next batch starts them again."""
        self._guesses.drop()
        self._starter.stop()
        self._arrays.clear()
        _core.KeptMemory.release()
        for each in (self.source, *self._spec.fields):
            each.close()

    def take(self, order, item=NEXT):
        """Starts the batch that is asked for, and those that may come after it.

        Args:
            order: State of the iterator.
            item: Position in the epoch, or NEXT.

        Returns:
            A batch for `finish`, with the iterator's state after it and its stream.
        """
        augmentation = self._augmentation()
        if augmentation is not self._told:
            self._told = augmentation
            how = "image by image, as Keras does" if augmentation is None else str(augmentation)
            note(logging.INFO, "Batches of %s are made %s", self._spec.dtype, how)
        batch = self._guesses.take(augmentation, order, item)
        if batch is None:
            (batch,) = self._starter.start(augmentation, order, [item])
        foreseen = item is NEXT or self.epoch_order.asked(item, len(order))
        if augmentation is not None:
            self._guesses.prepare(augmentation, batch, foreseen)
        return batch

    def draws_of(self, batch):
        """Returns `(seed, epoch)` of what ops draw for a batch."""
        return self._spec.draws_of(batch.before)

    def make(self, index, order):
        """Starts a batch of any index, drawn from the global stream, for `finish`.

        Args:
            index: Its samples.
            order: State of the iterator, with this batch.
        """
        return self._starter.start_of(self._augmentation(), index, order)

    def finish(self, batch, bad_image, replaces=False, fills=True):
        """Waits for a batch.

        Args:
            batch: What `take` returned.
            bad_image: Function to call with the position and the exception of each image that
                could not be read; it raises, or the image is left out.
            replaces: Whether another image takes the place of one that is left out.
            fills: Whether one does in any case if there would be none at all.

        Returns:
            `(images, index, hashes, masks)`: the array for the user, its samples, a number for
            each file name, and an array for each field.
        """
        return self._finisher.finish(batch, bad_image, replaces, fills)

    def _augmentation(self):
        """The settings as they are now; None: the generator has to be asked for each image."""
        function = getattr(self._spec.generator, "preprocessing_function", None)
        drew = self._finisher.calls.were_drawing(function)
        augmentation = None if drew else self._spec.augmentation()
        if augmentation is None:
            self._guesses.drop()
        return augmentation
