"""The ops of `augment` where a batch is made image by image, around Keras's transforms of each."""

import numpy as np

from fastaug import _core
from fastaug.keras_api.program import is_of_bytes, ops_of
from fastaug.ops.base import NOTHING


class SingleImages:
    """Does the ops of `augment` to the images of one batch.

    uint8 sources and files are bytes for them, rounded and clipped; others float32.

    Args:
        ops: The `OpList`.
        source: Where the images come from.
        data_format: Layout of the images.
        draws: `(seed, epoch)` of what the ops draw.
        index: int64 array, the position of each image in the source.
    """

    def __init__(self, ops, source, data_format, draws, index):
        self._ops = ops
        self._draws = draws
        self._first = data_format == "channels_first"
        self._source_type = np.dtype(np.uint8 if source.dtype == np.uint8 else np.float32)
        self._type = np.dtype(np.uint8) if is_of_bytes(source) else np.dtype(np.float32)
        channels, *size = source.shape if self._first else (source.shape[2], *source.shape[:2])
        self.shape = ops.shape_after(source.shape, data_format)
        ops.check(self._type, tuple(size), channels)
        keras = np.repeat(NOTHING, len(index), axis=0)
        self._table = ops.table(keras, *draws, index, tuple(size), channels)

    @classmethod
    def of(cls, generator, source, draws, index):
        """Returns what does the ops of a generator of any kind, or None, if there are none."""
        ops = ops_of(generator, source)
        return ops and cls(ops, source, generator.data_format, draws, index)

    def before(self, place, image):
        """Returns what Keras's transforms get of the image at a place."""
        if self._ops.crop is None:
            return image
        return self._run(place, image, self._ops.only_crop(), self._source_type)

    def after(self, place, image):
        """Returns what standardization gets, of what these transforms have made of the image."""
        return self._run(place, image, self._ops.without_crop(), self._type)

    def _run(self, place, image, ops, kind):
        given = np.asarray(image)
        if kind == np.uint8 and given.dtype != np.uint8:
            given = np.clip(np.floor(given + 0.5), 0, 255)
        height, width = self.shape[1:] if self._first else self.shape[:2]
        channels = self.shape[0 if self._first else 2]
        settings = {"channels_first": self._first, "is_bytes": kind == np.uint8}

        def make(**part):
            return _core.Program(height, width, channels, **settings | part)

        program = ops.program(make, kind == np.uint8)
        images = np.ascontiguousarray(given, dtype=kind)[np.newaxis]
        out = np.empty((1, *self.shape), kind)
        row = np.ascontiguousarray(self._table[place : place + 1])
        _core.augment(program, images, np.zeros(1, np.int64), row, None, out, 0, 1)
        return out[0].astype(image.dtype, copy=False)
