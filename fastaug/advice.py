"""What a user surely did not mean, and what to write in its place: the texts of `UsageWarning`.

Each function tells the conditions under which nothing useful comes of settings and data, and yields
a text for each that is met. Where what comes is of use, though odd, it says nothing. Warning is
left to the caller, once for an iterator.
"""

import numpy as np

# Images of an array to look at: a data set may be larger than the memory.
_LOOKED_AT = 16


def about_images(generator, images, dtype):
    """Yields what is wrong with images in memory for a generator and its batches.

    Args:
        generator: An `ImageDataGenerator` of any kind, or None.
        images: Array of rank 4.
        dtype: Type of the batches.
    """
    dtype = np.dtype(dtype)
    # who has methods of their own may do anything
    own_way = getattr(generator, "_overrides_methods", lambda: True)()
    brightens = images.dtype.kind == "f" and not own_way and generator.brightness_range
    narrows = dtype.kind in "iu" and not np.can_cast(images.dtype, dtype)
    if not (brightens or narrows):
        return
    low, high, whole = _range_of(images)
    if brightens and low >= 0 and 0 < high <= 1:
        yield (
            "`brightness_range` works on values from 0 to 255; these images have values from "
            f"{low:g} to {high:g}, which it makes black. Give the images as 0 to 255, such as "
            "x * 255, and divide with rescale=1/255, which comes after it."
        )
    limits = np.iinfo(dtype) if narrows else None
    if limits is not None and (low < limits.min or high > limits.max):
        yield (
            f"Images of {images.dtype} with values from {low:g} to {high:g} do not fit into "
            f"batches of dtype={str(dtype)!r}: the values wrap round. Bring them into "
            f'{limits.min} to {limits.max} before, or use dtype="float32".'
        )
    elif limits is not None and not whole and low >= 0 and 0 < high <= 1:
        yield (
            f"Images with values from {low:g} to {high:g} become black in batches of "
            f"dtype={str(dtype)!r}, which keep the whole part of each value. Give the images as 0 "
            'to 255, such as x * 255, or use dtype="float32".'
        )


def _range_of(images):
    """Returns the smallest and the largest value of some images, and whether all are whole."""
    count = min(len(images), _LOOKED_AT)
    chosen = [np.asarray(images[len(images) * k // count]) for k in range(count)]
    with np.errstate(invalid="ignore"):
        low, high = min(image.min() for image in chosen), max(image.max() for image in chosen)
        whole = all(np.array_equal(image, np.trunc(image)) for image in chosen)
    return low, high, whole
