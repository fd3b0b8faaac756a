"""What is done to an image after the `preprocessing_function`, and the statistics that it takes.

A generator has the values in attributes, which anybody may set. Single images are standardized with
what they are now, and batches with a copy, `Standardization`: what is prepared ahead is made with
the values of before.
"""

import math

import numpy as np

from fastaug._core import divide, mean_of, multiply, std_of, subtract
from fastaug.keras_api.function_results import name_function
from fastaug.warn import warn

# The attributes of a generator that turn levels into other numbers, which no integer holds.
FOR_FLOATS = (
    "rescale",
    "samplewise_center",
    "samplewise_std_normalization",
    "featurewise_center",
    "featurewise_std_normalization",
    "zca_whitening",
)

# What `fit` has to find out for some of them.
STATISTICS = {
    "featurewise_center": "mean",
    "featurewise_std_normalization": "std",
    "zca_whitening": "zca_whitening_matrix",
}


def standardize(generator, x):
    """Standardizes one image or a batch of floats as a generator is set, in place where it can.

    Nothing is copied from the generator: that would take as long as a small image.

    Args:
        generator: An `ImageDataGenerator`.
        x: Array of images.

    Returns:
        The images; `x` itself unless ZCA made a new array.
    """
    try:
        if generator.rescale:
            x = multiply(x, generator.rescale)
        if generator.samplewise_center:
            x = subtract(x, mean_of(x))
        if generator.samplewise_std_normalization:
            x = divide(x, std_of(x) + 1e-6)
        if generator.featurewise_center and generator.mean is not None:
            x = subtract(x, generator.mean)
        if generator.featurewise_std_normalization and generator.std is not None:
            x = divide(x, generator.std + 1e-6)
        if generator.zca_whitening and generator.zca_whitening_matrix is not None:
            flat = x.reshape(-1, math.prod(x.shape[-3:]))
            x = np.reshape(flat @ generator.zca_whitening_matrix, x.shape)
    except (TypeError, ValueError) as error:
        if generator.preprocessing_function:
            name_function(error, generator.preprocessing_function, x)
        raise
    if (
        generator.featurewise_center
        or generator.featurewise_std_normalization
        or generator.zca_whitening
    ):
        warn_unfitted(_missing(generator))
    return x


def _missing(generator):
    """Returns the settings whose statistics are not there."""
    return [
        setting
        for setting, statistic in STATISTICS.items()
        if getattr(generator, setting) and getattr(generator, statistic) is None
    ]


def warn_unfitted(settings):
    """Warns, as Keras does on every image, of settings whose statistics are not there."""
    for setting in settings:
        warn(
            f"This ImageDataGenerator specifies `{setting}`, but it hasn't been fit on any "
            "training data. Fit it first by calling `.fit(numpy_data)`."
        )


class Standardization:
    """What a generator is set to do to batches at one time, and has the statistics for.

    Args:
        generator: An `ImageDataGenerator`.
        channels: Channels of an image.
        channels_first: Whether they are the first axis, or else the last.
        fitted: Whether to take its statistics, or none.

    Attributes:
        for_core: What the core does, as arguments of `compile_program`.
        has_rest: Whether `rest` does anything after that.
        is_on: Whether anything is asked for at all.

    Raises:
        ValueError: If the statistics are of a higher rank than an image.
    """

    def __init__(self, generator, channels, channels_first, fitted=True):
        mean, std, whitening = (
            getattr(generator, statistic) if fitted and getattr(generator, setting) else None
            for setting, statistic in STATISTICS.items()
        )
        self._missing = _missing(generator)
        if any(np.ndim(values) > 3 for values in (mean, std)):
            raise ValueError("Statistics of rank 4 do not go into an image")
        # Statistics with one value for each channel go into the core; whatever else a user may
        # have set is left to NumPy, after it.
        core_mean, core_std = (
            _per_channel(values, channels, channels_first) for values in (mean, std)
        )
        if (core_mean is None) == (mean is None) and (core_std is None) == (std is None):
            mean = std = None
        else:
            core_mean = core_std = None
        self._mean = None if mean is None else np.array(mean)
        self._std = None if std is None else np.array(std)
        self._whitening = whitening
        self.has_rest = any(values is not None for values in (mean, std, whitening))
        self.is_on = any(getattr(generator, name) for name in FOR_FLOATS)
        self.for_core = {
            "rescale": generator.rescale or None,
            "sample_center": bool(generator.samplewise_center),
            "sample_std": bool(generator.samplewise_std_normalization),
            "feature_mean": core_mean,
            "feature_std": core_std,
        }

    def rest(self, out):
        """Does in place what the core leaves, to images that it has standardized."""
        if self._mean is not None:
            out -= self._mean
        if self._std is not None:
            out /= self._std + 1e-6
        if self._whitening is not None and len(out):
            flat = out.reshape(len(out), math.prod(out.shape[1:]))
            flat[:] = flat @ self._whitening

    def warn_unfitted(self):
        """Warns of statistics that are asked for and not there."""
        warn_unfitted(self._missing)


def _per_channel(values, channels, channels_first):
    """Returns statistics as one value for each channel, or None where there are others."""
    if values is None:
        return None
    values = np.asarray(values)
    shape = (channels, 1, 1) if channels_first else (1, 1, channels)
    try:
        return np.broadcast_to(values, shape).reshape(channels).astype(np.float32)
    except ValueError:
        return None
