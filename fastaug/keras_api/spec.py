"""What the batches of an iterator are made of, and into; a user may change it between two."""

import numbers

import numpy as np

from fastaug.keras_api.program import Augmentation, augmentation_for, ops_of
from fastaug.keras_api.streams import can_stand, global_stream
from fastaug.ops.base import size_and_channels
from fastaug.ops.random import key_of


class BatchSpec:
    """Source, settings and type of an iterator's batches, as they are now.

    Args:
        source: Where the images come from.
        generator: An `ImageDataGenerator` of any kind, or None: images stay as they are.
        data_format: Layout of images and batches.
        dtype: Type of the batches.
        fields: `MaskField` of each of the masks that go with the images.

    Attributes:
        hash_limit: Bound of the numbers drawn for file names, or None to draw none.
        own_seed: Seed of what the ops of `augment` draw, where the iterator has none.
    """

    def __init__(self, source, generator, data_format, dtype, fields=()):
        self._source = source
        self.fields = fields
        self.generator = generator
        self._data_format = data_format
        self.dtype = np.dtype(dtype)
        self.hash_limit = None
        self.own_seed = 0
        self._augmentation = None

    def draws_of(self, order):
        """Returns `(seed, epoch)` of what ops draw for the batch after an order.

        An epoch is as many batches as the set has, in whatever order they are asked for.
        """
        seed = self.own_seed if order.seed is None else order.seed
        if not isinstance(seed, numbers.Integral):  # NumPy takes sequences, too
            seed = key_of(str(np.asarray(seed).tolist()))
        return int(seed), order.total_batches_seen // max(len(order), 1)

    def moves(self):
        """Returns the `OpList` of `augment`, where it moves the pixels of masks, or None."""
        ops = ops_of(self.generator, self.source)
        return ops if ops is not None and ops.moves else None

    def with_moves(self, table, ops, draws, index):
        """Returns a parameter table for masks.

        Args:
            table: Keras's columns.
            ops: What `moves` returned.
            draws: What `draws_of` returned.
            index: int64 array, the position of each image in the source.
        """
        if ops is None:
            return table
        first = self._data_format == "channels_first"
        return ops.table(table, *draws, index, *size_and_channels(self.source.shape, first))

    def shape(self, augmentation):
        """Returns the shape of a finished image, with what `augmentation` returned."""
        if augmentation is not None:
            return augmentation.program.shape
        ops = ops_of(self.generator, self.source)
        if ops is None:
            return self.source.shape
        return ops.shape_after(self.source.shape, self._data_format)

    @property
    def source(self):
        """Where the images come from."""
        return self._source

    @source.setter
    def source(self, source):
        self._source = source
        self._augmentation = None

    def augmentation(self) -> Augmentation | None:
        """Returns the settings as they are now; the same object as long as they are the same.

        None: The generator has to be asked for each image.
        """
        generator = self.generator
        overridden = getattr(generator, "_overrides_methods", None)
        if overridden is None or overridden() or not can_stand(global_stream()):
            return None
        try:
            if self._augmentation is None or not self._augmentation.settings.are_of(
                generator, self.dtype
            ):
                self._augmentation = augmentation_for(
                    generator, self._source, self._data_format, self.dtype
                )
        except (RuntimeError, TypeError, ValueError, OverflowError):
            # the image that is in need of the setting will say what is wrong
            self._augmentation = None
        return self._augmentation

    def is_core_work(self, augmentation):
        """Whether the core does all of a batch: then it can draw late, with others in one job."""
        return (
            augmentation.function is None
            and not self.fields
            and self.hash_limit is None
            and augmentation.is_core_work(self._source)
        )

    def paths_of(self, index):
        """Returns the files of some images, in a list that may be changed in place, or None."""
        paths = getattr(self._source, "filepaths", None)
        return None if paths is None else [paths[position] for position in index]

    def draw_hashes(self, stream, count):
        """Draws the numbers of the names of files that images are saved in."""
        if self.hash_limit is None:
            return []
        return [stream.randint(self.hash_limit) for _ in range(count)]
