"""`plot_images`: a look at what an iterator gives."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastaug.show.monitor import pyplot
from fastaug.typing import DataFormat

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_images(
    iterator: Iterator[Any],
    count: int | None = 16,
    columns: int | None = None,
    *,
    titles: Sequence[object] | None = None,
    data_format: DataFormat | None = None,
    cell: float = 1.6,
) -> "Figure":
    """Takes the next batch and draws its images in a grid, their labels above them.

    The batch is used up. Its range of values is told from its own smallest and largest: 0..1,
    -1..1, 0..255, or anything else, which is stretched.

    Args:
        iterator: An iterator over batches: x, (x, y) or (x, y, weights), with x of shape
            (n, height, width, channels) or channels first, or of (n, height, width), or a list or
            tuple that begins with such an array; 1, 3 or 4 channels.
        count: Number of images, at most; None: the whole batch.
        columns: Images in a row. None: about as many as rows.
        titles: Texts for the images in place of their labels.
        data_format: 'channels_last' or 'channels_first'. None: the iterator's own, else whichever
            axis has 1, 3 or 4 entries.
        cell: Inches for an image.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the batch has no images, or they have another rank or number of channels.

    Example:
        >>> figure = fastaug.plot_images(generator.flow(x, y), count=9)
        >>> figure.savefig("batch.png")
    """
    plt = pyplot()
    images, labels = _split(next(iterator))
    if getattr(iterator, "y", labels) is None:  # what comes with the images is another input
        labels = None
    if data_format is None:
        data_format = getattr(iterator, "data_format", None)
    images = displayable(images, data_format)
    if count is not None:
        images = images[:count]
    if titles is None:
        titles = label_texts(labels, getattr(iterator, "class_indices", None), len(images))
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    room = 0.3 if any(titles) else 0  # inches above a row
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(cell * columns, (cell * images.shape[1] / images.shape[2] + room) * rows),
        squeeze=False,
        layout="constrained",
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, title in zip(grid.flat, images, _padded(titles, len(images)), strict=False):
        gray = image.shape[-1] == 1
        axes.imshow(image[..., 0] if gray else image, cmap="gray" if gray else None, vmin=0, vmax=1)
        if title:
            axes.set_title(title, fontsize=8)
    return figure


def _split(batch):
    """Returns a batch's images and its labels, or None for no labels."""
    # a tuple is (x, y, ...); a list is several inputs, the images first
    images, labels = (
        (batch[0], batch[1] if len(batch) > 1 else None)
        if isinstance(batch, tuple)
        else (batch, None)
    )
    if isinstance(images, list | tuple):
        images = images[0]
    return np.asarray(images), labels


def displayable(images, data_format=None):
    """Returns a batch of images as floats of 0..1, channels last.

    Args:
        images: Array of shape (n, height, width, channels), with the channels first, or
            (n, height, width); any real type and range.
        data_format: 'channels_last', 'channels_first', or None to tell it from the shape.

    Returns:
        A float32 array of shape (n, height, width, channels), of 1, 3 or 4 channels.

    Raises:
        ValueError: If there are no images, or they have another rank or number of channels.
    """
    shape = images.shape
    if images.ndim == 3:
        images = images[..., np.newaxis]
    elif images.ndim == 4 and (
        data_format == "channels_first"
        or (data_format is None and shape[3] not in (1, 3, 4) and shape[1] in (1, 3, 4))
    ):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or not images.size or images.shape[3] not in (1, 3, 4):
        raise ValueError(
            "Expected a batch of images of rank 4 with 1, 3 or 4 channels, or of rank 3. "
            f"Got an array with shape: {shape}"
        )
    low, high = _range(images)
    images = np.nan_to_num((images.astype(np.float32) - low) / np.float32(high - low or 1))
    return images.clip(0, 1)


def _range(images):
    """Returns the values that are to be black and white."""
    if images.dtype == np.bool_:
        return 0.0, 1.0
    if images.dtype == np.uint8:
        return 0.0, 255.0
    finite = images[np.isfinite(images)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    slack = 1e-3  # interpolation may overshoot a little
    for least, most in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if least - slack * most <= low and high <= most * (1 + slack):
            return least, most
    return low, high


def label_texts(labels, class_indices, count):
    """Returns texts for labels: the class's name or number, a number, or nothing.

    Args:
        labels: One label for each image: a number, a text, or a one-hot or multi-hot row; or None.
        class_indices: The number of each class, by its name, or None.
        count: Number of images.
    """
    if labels is None or isinstance(labels, list | tuple):
        return [""] * count
    labels = np.asarray(labels)[:count]
    names = {number: str(name) for name, number in (class_indices or {}).items()}
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all():
        chosen = [np.flatnonzero(row) for row in labels]
        return [", ".join(names.get(int(i), str(i)) for i in row) for row in chosen]
    if labels.ndim != 1:
        return [""] * count  # images, boxes: nothing for a line of text
    if labels.dtype.kind not in "biuf":
        return [str(label) for label in labels]
    return [names.get(label, f"{label:g}") for label in labels.tolist()]


def _padded(titles, count):
    titles = [str(title) for title in titles]
    return (titles + [""] * count)[:count]
