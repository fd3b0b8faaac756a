"""The ops of `augment` where a batch is made image by image, around Keras's transforms of each."""

import numpy as np

from fastaug import _core
from fastaug.keras_api.params import unmoved
from fastaug.keras_api.program import check_ops, is_of_bytes, ops_of
from fastaug.ops.base import as_bytes, size_and_channels


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
        first = data_format == "channels_first"
        size, channels = size_and_channels(source.shape, first)
        kind = np.dtype(np.uint8 if is_of_bytes(source) else np.float32)
        check_ops(ops, source, data_format)
        keras = unmoved(len(index))
        self._table = ops.table(keras, *draws, index, size, channels)
        self.shape = ops.shape_after(source.shape, data_format)
        height, width = ops.size_after(size)

        def program_of(some, is_bytes):
            settings = {"channels_first": first, "is_bytes": is_bytes}

            def make(**part):
                return _core.Program(height, width, channels, **settings | part)

            return some.program(make, is_bytes)

        self._crop = ops.crop and program_of(ops.only_crop(), source.dtype == np.uint8)
        self._rest = program_of(ops.without_crop(), kind == np.uint8)

    @classmethod
    def of(cls, generator, source, draws, index):
        """Returns what does the ops of a generator of any kind, or None, if there are none."""
        ops = ops_of(generator, source)
        return ops and cls(ops, source, generator.data_format, draws, index)

    def before(self, place, image):
        """Returns what Keras's transforms get of the image at a place."""
        return image if self._crop is None else self._run(place, image, self._crop)

    def after(self, place, image):
        """Returns what standardization gets, of what these transforms have made of the image."""
        return self._run(place, image, self._rest)

    def _run(self, place, image, program):
        given = np.asarray(image)
        if program.is_bytes and given.dtype != np.uint8:
            given = as_bytes(given)
        kind = np.uint8 if program.is_bytes else np.float32
        images = np.ascontiguousarray(given, dtype=kind)[np.newaxis]
        out = np.empty((1, *self.shape), kind)
        row = np.ascontiguousarray(self._table[place : place + 1])
        _core.augment(program, images, np.zeros(1, np.int64), row, None, out, 0, 1)
        return out[0].astype(image.dtype, copy=False)
