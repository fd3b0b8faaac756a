"""What the core has no arithmetic for: image by image, with NumPy and SciPy, in the threads.

For batches of float64. A `preprocessing_function` and a generator with methods of a user's own are
not for threads: they are called as Keras calls them, in `calls`.
"""

import copy

import numpy as np

from fastaug.keras_backend import floatx, image_data_format
from fastaug.params import ParameterSampler
from fastaug.settings import STATISTICS, Settings
from fastaug.slices import sliced_job

# Images in a slice, at most: an interrupt waits for the slices that have begun.
_LONGEST_SLICE = 8


def can_be_made_by_image(generator, source, dtype) -> bool:
    """Whether batches of a type are made here, of the images of a source.

    Args:
        generator: An `ImageDataGenerator` without methods of a user's own.
        source: Where the images come from.
        dtype: Type of the batches.
    """
    channels = source.shape[generator.channel_axis - 1]
    return (
        dtype == np.float64
        and not generator.preprocessing_function
        # Keras reads an image in its defaults here, and Pillow knows so many channels
        and (
            generator.brightness_range is None
            or (generator.data_format == image_data_format() and channels in (1, 3, 4))
        )
    )


class ByImage:
    """What a generator's methods for single images do to the images of one source.

    In place of an `Augmentation`, with those of its methods that batches without a function need.

    Args:
        generator: An `ImageDataGenerator`.
        source: Where the images come from.
        dtype: Type of the batches.

    Raises:
        Exception: What the generator raises on an image, if a setting is no good.
    """

    function = None

    def __init__(self, generator, source, dtype):
        self.settings = Settings(generator, dtype)
        self.sampler = ParameterSampler.of(generator)
        self._generator = _as_it_is(generator)
        self._dtype = np.dtype(floatx() if source.in_floatx else dtype)
        self._height = source.shape[generator.row_axis - 1]
        self._width = source.shape[generator.col_axis - 1]
        # A setting that fails does so here, and not after the draws for a whole batch.
        self._augmented(np.zeros(source.shape, self._dtype), {"theta": 1.0})

    def draw(self, rng, count):
        """Returns a parameter table for `count` images, drawn from a stream."""
        return self.sampler.draw(rng, count, self._height, self._width)

    def is_core_work(self, source) -> bool:
        """Whether the core does all of a batch of images of a source: never."""
        return False

    def job(self, source, index, table, out, workers, standardize=True):
        """Returns what `Augmentation.job` returns; standardization is part of the work."""
        slices = max(2 * workers, -(-len(index) // _LONGEST_SLICE))
        return sliced_job(source, index, table, out, slices, self._work, as_is=True)

    def _work(self, images, positions, table, out, errors):
        for place, position in enumerate(positions):
            if place in errors:  # that image will be left out
                continue
            image = images[position].astype(self._dtype)
            out[place] = self._augmented(image, self.sampler.to_dict(table[place]))

    def _augmented(self, image, params):
        return self._generator.standardize(self._generator.apply_transform(image, params))


def _as_it_is(generator):
    """Returns a copy that a user cannot change, which does not warn of missing statistics."""
    kept = copy.copy(generator)
    for setting, statistic in STATISTICS.items():
        values = getattr(generator, statistic)
        if values is None:
            setattr(kept, setting, False)
        elif setting != "zca_whitening":  # that is large, and a change of it makes another copy
            setattr(kept, statistic, np.array(values))
    return kept
