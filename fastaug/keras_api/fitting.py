"""The statistics of a data set: `ImageDataGenerator.fit`.

Of an array, as Keras computes them. Of what an iterator reads, images that are not in memory
together, of all of them once, in float64.
"""

import contextlib
import math
import pathlib

import numpy as np

from fastaug.data.directory import Progress
from fastaug.data.sources import ArraySource
from fastaug.keras_api.program import Augmentation
from fastaug.keras_api.streams import global_stream
from fastaug.run.cgroups import free_memory
from fastaug.run.threads import finish, shared_pool
from fastaug.warn import warn

_BAR = 30  # characters

# Matrices of the size of the whitening one that are in memory at once, at most.
_MATRICES = 3


def statistics_of_array(generator, x, augment, seed):
    """Yields the statistics of an array, by Keras's expressions.

    Args:
        generator: An `ImageDataGenerator`.
        x: Images, of rank 4.
        augment: Function that takes images and returns augmented ones to be measured, or None.
        seed: Seed for `np.random.seed`, or None.

    Yields:
        The name of the generator's attribute, and the value.

    Raises:
        ValueError: If the rank is not 4.
    """
    images = np.array(x, dtype=generator.dtype)
    if images.ndim != 4:
        raise ValueError(
            f"Input to `.fit()` should have rank 4. Got array with shape: {images.shape}"
        )
    axis = generator.channel_axis
    channels = images.shape[axis]
    if channels not in (1, 3, 4):
        warn(
            "Expected input to be images (as Numpy array) following the data format "
            f'convention "{generator.data_format}" (channels on axis {axis}), i.e. '
            f"expected either 1, 3 or 4 channels on axis {axis}. However, it was "
            f"passed an array with shape {images.shape} ({channels} channels).",
        )
    if seed is not None:
        np.random.seed(seed)
    if generator.rescale:
        images *= generator.rescale
    if augment is not None:
        images = augment(images)

    axes = (0, generator.row_axis, generator.col_axis)
    broadcast_shape = [1, 1, 1]
    broadcast_shape[axis - 1] = channels
    if generator.featurewise_center:
        mean = np.reshape(np.mean(images, axis=axes), broadcast_shape)
        yield "mean", mean
        images -= mean
    if generator.featurewise_std_normalization:
        std = np.reshape(np.std(images, axis=axes), broadcast_shape)
        yield "std", std
        images /= std + 1e-6
    if generator.zca_whitening:
        n = len(images)
        flat = np.reshape(images, (n, -1))
        u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
        whitening = (u * (np.sqrt(n) / (s + generator.zca_epsilon))).dot(u.T)
        yield "zca_whitening_matrix", whitening


def statistics_of_iterator(generator, iterator, augment):
    """Yields the statistics of the images that an iterator reads, in float64.

    Args:
        generator: An `ImageDataGenerator`.
        iterator: An iterator of fastaug.
        augment: Whether augmented images are asked for, which there are not.

    Yields:
        The name of the generator's attribute, and the value.

    Raises:
        TypeError: If the iterator is of another kind.
        ValueError: If it has no images or another `data_format`, or is to be augmented.
        MemoryError: If there is no room for a whitening matrix.
    """
    if not hasattr(iterator, "_plain_batches"):
        raise TypeError(
            "`fit` takes an array, or an iterator of fastaug over an array or files. "
            f"Received: x={iterator!r}"
        )
    if augment:
        raise ValueError("`fit` augments no images of an iterator; give them as an array")
    shape, batches = iterator._plain_batches()
    if iterator.data_format != generator.data_format:
        raise ValueError(
            f"The iterator has data_format={iterator.data_format!r}, and the generator "
            f"{generator.data_format!r}"
        )
    axis = generator.channel_axis - 1
    found = statistics_of(
        batches, shape, axis, iterator.n, generator.rescale, generator.zca_whitening
    )
    kind = np.dtype(generator.dtype)
    kind = kind if kind.kind == "f" else np.dtype(np.float64)
    mean, std = 0.0, 1.0
    if generator.featurewise_center:
        mean = found.mean
        yield "mean", mean.astype(kind)
    if generator.featurewise_std_normalization:
        std = found.std + 1e-6
        yield "std", found.std.astype(kind)
    if generator.zca_whitening:
        yield "zca_whitening_matrix", found.whitening(mean, std, generator.zca_epsilon)


def augment_in_core(generator, images, out, workers):
    """Makes random transforms of images, in turn, until there are as many as are wanted.

    Args:
        generator: An `ImageDataGenerator`, whose settings the core can do.
        images: float32 array of images.
        out: float32 array for the transforms.
        workers: Number of threads.
    """
    augmentation = Augmentation(generator, images.shape[1:], generator.data_format, fitted=False)
    index = np.arange(len(out), dtype=np.int64) % len(images)
    table = augmentation.draw(global_stream(), len(out))
    source = ArraySource(images)
    job, _ = augmentation.job(source, index, table, out, workers, standardize=False)
    finish(job, shared_pool(workers) if workers else None)


class Statistics:
    """Sums over images, and what `fit` makes of them.

    Args:
        shape: Shape of an image.
        channel_axis: Axis of its channels.
        expected: Number of images that will come, at most.
        whitens: Whether to prepare a whitening matrix.

    Raises:
        MemoryError: If there is no room for the whitening matrix.
    """

    def __init__(self, shape, channel_axis, expected, whitens):
        self._shape = shape
        self._last = channel_axis == 2
        self._broadcast = [-1 if axis == channel_axis else 1 for axis in range(3)]
        self._images = self._pixels = 0
        self._shift = self._line = None  # about the mean, so that sums of squares stay small
        self._sum = self._squares = 0.0
        self._size = math.prod(shape)
        self._whitens = whitens
        self._rows: list[np.ndarray] | None = None
        if not whitens:
            return
        needed, there = _MATRICES * 8 * self._size**2, _available_memory()
        if there is not None and needed > there:
            size = "x".join(map(str, shape))
            raise MemoryError(
                f"ZCA whitening of images of {size} needs matrices of {self._size} x {self._size} "
                f"numbers, {needed / 1e9:.1f} GB of memory, and {there / 1e9:.1f} GB are free. "
                "Take smaller images, or leave out `zca_whitening`."
            )
        if expected <= self._size:
            self._rows = []  # all of them take less than their products
        else:
            self._products = np.zeros((self._size, self._size))
            self._row_sum = np.zeros(self._size)

    def add(self, images, rescale=None):
        """Adds an array of images, and multiplies them before if wished."""
        rows = np.empty((len(images), self._size)) if self._whitens else None
        for place, image in enumerate(images):  # one at a time stays in the cache
            values = image.astype(np.float64)
            if rescale:
                values *= rescale
            if self._shift is None:
                axes = (0, 1) if self._last else (1, 2)
                self._shift = values.mean(axis=axes).reshape(self._broadcast)
                self._line = self._shift
                if self._last:  # NumPy is slow with lines as short as a pixel
                    self._line = np.broadcast_to(self._shift, (1, *self._shape[1:])).copy()
            values -= self._line
            if rows is not None:
                rows[place] = values.reshape(-1)
            self._sum = self._sum + self._of_channels(values)
            values *= values
            self._squares = self._squares + self._of_channels(values)
        self._images += len(images)
        self._pixels += len(images) * self._size // self._shape[2 if self._last else 0]
        if rows is None:
            return
        if self._rows is not None:
            self._rows.append(rows)
        else:
            self._products += rows.T @ rows
            self._row_sum += rows.sum(axis=0)

    def _of_channels(self, values):
        """Returns the sum of each channel of an image."""
        if not self._last:
            return values.reshape(self._shape[0], -1).sum(axis=1)
        # over long lines first, which NumPy does fastest
        return values.reshape(len(values), -1).sum(axis=0).reshape(-1, self._shape[2]).sum(axis=0)

    @property
    def mean(self):
        """Mean of each channel, to be broadcast over an image."""
        return self._shift + (self._sum / self._pixels).reshape(self._broadcast)

    @property
    def std(self):
        """Standard deviation of each channel, likewise."""
        mean = self._sum / self._pixels
        variance = np.maximum(self._squares / self._pixels - mean**2, 0)
        return np.sqrt(variance).reshape(self._broadcast)

    def whitening(self, mean, std, epsilon):
        """Returns the whitening matrix.

        Args:
            mean: What is subtracted of each image before: `mean` or 0.
            std: What it is divided by then: a deviation or 1.
            epsilon: What is added to each singular value.
        """
        offset, scale = (
            np.broadcast_to(values, self._shape).reshape(-1)
            for values in (mean - self._shift, 1 / np.asarray(std))
        )
        if self._rows is not None:
            rows = (np.concatenate(self._rows) - offset) * scale
            u, s, _ = np.linalg.svd(rows.T, full_matrices=False)
        else:
            products = self._products
            products -= np.outer(self._row_sum, offset)
            products -= np.outer(offset, self._row_sum - self._images * offset)
            products *= scale[:, np.newaxis]
            products *= scale
            values, u = np.linalg.eigh(products)
            # no more than there are images, as the singular values of their matrix
            first = max(0, self._size - self._images)
            u, s = u[:, first:], np.sqrt(np.maximum(values[first:], 0))
        return (u * (np.sqrt(self._images) / (s + epsilon))) @ u.T


def statistics_of(batches, shape, channel_axis, expected, rescale, whitens):
    """Returns the statistics of images, and shows on a terminal how far they are.

    Args:
        batches: Iterable of arrays of images.
        shape: Shape of an image.
        channel_axis: Axis of its channels.
        expected: Number of images.
        rescale: Factor, or None.
        whitens: Whether to prepare a whitening matrix.

    Raises:
        MemoryError: If there is no room for the whitening matrix.
        ValueError: If there is no image.
    """
    statistics = Statistics(shape, channel_axis, expected, whitens)

    def line(count):
        done = _BAR * count // max(expected, 1)
        return f"fit: {count:,} of {expected:,} images [{'=' * done:<{_BAR}}]"

    count = 0
    with Progress(line) as progress:
        for batch in batches:
            statistics.add(batch, rescale)
            count += len(batch)
            progress.add(len(batch))
    if not count:
        raise ValueError("There are no images to fit to")
    return statistics


def _available_memory():
    """Returns how many bytes of memory the program can have; None: who knows."""
    limits = [free_memory()]
    with contextlib.suppress(OSError, StopIteration):
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvail"))
        limits.append(int(line.split()[1]) * 1024)
    return min((limit for limit in limits if limit is not None), default=None)
