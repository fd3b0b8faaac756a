"""What a `preprocessing_function` returned: checked, and named where no image can be made of it."""

import numpy as np


def returned(function, result, image, channel_axis):
    """Returns what a `preprocessing_function` returned.

    Args:
        function: The function.
        result: What it returned.
        image: What it was given, or a batch of it.
        channel_axis: Axis of the channels in a batch.

    Raises:
        TypeError: If it is None, of which NumPy would make an image of NaN.
        ValueError: If it is an array with fewer values than pixels, of which NumPy would make
            stripes. One number is a colour, as in Keras.
    """
    if type(result) is np.ndarray and result.shape == getattr(image, "shape", None):
        return result
    if result is None:
        raise TypeError(
            f"The preprocessing_function {name_of(function)} returned None; it should return an "
            "image"
        )
    if isinstance(result, np.ndarray) and isinstance(image, np.ndarray):
        pixels = image.size // max(image.shape[channel_axis - 4], 1)
        if result.size < pixels:
            raise ValueError(
                f"The preprocessing_function {name_of(function)} got an image of shape "
                f"{image.shape} and returned {_kind_of(result)}"
            )
    return result


def name_function(error, function, result):
    """Adds to an error what a `preprocessing_function` returned, of which no image can be made.

    As a note: the text stays NumPy's, as in Keras.
    """
    error.add_note(f"The preprocessing_function {name_of(function)} returned: {_kind_of(result)}")


def _kind_of(result):
    if isinstance(result, np.ndarray):
        return f"an array of shape {result.shape} and dtype {result.dtype}"
    return type(result).__name__


def name_of(function):
    """Returns what to call a function in a text."""
    return getattr(function, "__name__", None) or repr(function)
