"""Preprocessing functions that need no Python call for each image.

Two kinds: those that a user declares elementwise, which are called with long pieces of a batch, in
the threads that make it, unless they turn out to be a factor and an addend; and Keras's own
`preprocess_input`. Factors and addends are the core's work. What is neither is called for each
image, in the thread that asks for the batch.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fastaug.defaults import image_data_format
from fastaug.keras_api.function_results import name_function, name_of

_Function = TypeVar("_Function", bound=Callable[..., Any])

_MARK = "_fastaug_elementwise"

# Values in a piece: their temporaries stay in the cache.
_PIECE_VALUES = 1 << 16

_KERAS_APPLICATIONS = "keras.src.applications."


def elementwise(function: _Function) -> _Function:
    """Declares that a `preprocessing_function` works on each value by itself.

    Such a function is not called for each image: it gets pieces of a batch, in any thread. One that
    takes all values from 0 to 255 by the same factor and addend, as is found out by asking it for
    many of them, is not called at all for images of 8 bits: the core does the same arithmetic.

    Args:
        function: Takes a one-dimensional float32 array of any length, which it may change, and
            returns an array of that length. What becomes of a value must always be the same, and
            must not depend on its place or on other values; so none that subtracts one value for
            each channel.

    Returns:
        The function, marked; or, if it cannot be marked, one that calls it.

    Example:
        >>> @fastaug.elementwise
        ... def scale(x):
        ...     return x / 127.5 - 1
        >>> generator = fastaug.ImageDataGenerator(preprocessing_function=scale)
        >>> round(float(generator.flow(x, seed=1)[0].max()), 2)
        1.0
    """
    marked: Any = function
    try:
        setattr(marked, _MARK, True)
    except (AttributeError, TypeError):  # a ufunc or a builtin
        marked = functools.partial(function)
        setattr(marked, _MARK, True)
    return marked


def is_elementwise(function):
    """Whether a function was declared `elementwise`."""
    return getattr(function, _MARK, False)


def apply_elementwise(function, out, floats):
    """Applies a function that was declared `elementwise`.

    Args:
        function: The function.
        out: float32 array, contiguous, which is changed.
        floats: Whether only floats will do as its result, as something is to be done with them.

    Raises:
        ValueError: If the result has another shape.
        TypeError: If it has to be floats and is not.
    """
    values = out.reshape(-1)
    for start in range(0, values.size, _PIECE_VALUES):
        piece = values[start : start + _PIECE_VALUES]
        result = function(piece)
        if result is piece:
            continue
        if np.shape(result) != piece.shape:
            raise ValueError(
                f"The elementwise {name_of(function)} got values of shape {piece.shape} and "
                f"returned {np.shape(result)}"
            )
        if floats and not np.issubdtype(np.asarray(result).dtype, np.floating):
            raise TypeError(
                f"The elementwise {name_of(function)} returned {np.asarray(result).dtype}, which "
                "cannot be standardized in place"
            )
        try:
            piece[...] = result
        except (TypeError, ValueError) as error:
            name_function(error, function, result)
            raise


class ChannelMap(NamedTuple):
    """A factor and an addend for each channel.

    Attributes:
        scale: Factor of each channel of the result.
        offset: Addend of each channel of the result.
        reverses: Whether the channels are turned round before, RGB to BGR.
    """

    scale: np.ndarray
    offset: np.ndarray
    reverses: bool


# Values from 0 to 255 that an elementwise function is asked for: whole ones and many between.
_ASKED = np.linspace(0, 255, 255 * 64 + 1, dtype=np.float32)

# How close it has to be, in units of the range of its results: float32 rounds on the way.
_CLOSE = 2e-6


def affine_map(function, channels):
    """Returns what an elementwise function does to values from 0 to 255, or None.

    Args:
        function: A function that was declared elementwise.
        channels: Number of channels, for the result.
    """
    try:
        values = np.asarray(function(_ASKED.copy()))
    except Exception:  # it will raise where it is called for the images
        return None
    if values.shape != _ASKED.shape or values.dtype.kind != "f":
        return None
    values = values.astype(np.float64)
    offset = values[0]
    scale = (values[-1] - offset) / 255
    if not np.all(np.abs(scale * _ASKED + offset - values) <= _CLOSE * np.ptp(values)):  # or NaN
        return None
    return ChannelMap(np.full(channels, scale), np.full(channels, offset), False)


def channel_map(function, channels, data_format):
    """Returns what a `preprocess_input` of `keras.applications` does to an image, or None.

    The function is asked, with an image of numbers; an answer that is no such map, or another
    function, gives None.

    Args:
        function: A preprocessing function.
        channels: Number of channels.
        data_format: Layout of the images. The function takes them to be in Keras's default.
    """
    if not _is_of_keras(function) or data_format != image_data_format():
        return None
    axis = 2 if data_format == "channels_last" else 0
    image = np.moveaxis(np.random.RandomState(0).random_sample((4, 5, channels)) * 255, 2, axis)
    try:
        result = function(image.copy())
    except Exception:  # not with so many channels
        return None
    if type(result) is not np.ndarray or result.shape != image.shape:
        return None
    x, y = (np.moveaxis(values, axis, 0).reshape(channels, -1) for values in (image, result))
    for reverses in (False, True):
        source = x[::-1] if reverses else x
        rows = np.arange(channels)
        low, high = source.argmin(axis=1), source.argmax(axis=1)
        scale = (y[rows, high] - y[rows, low]) / (source[rows, high] - source[rows, low])
        offset = y[rows, low] - scale * source[rows, low]
        if np.allclose(scale[:, None] * source + offset[:, None], y, rtol=1e-9, atol=1e-9):
            return ChannelMap(scale, offset, reverses)
    return None


def _is_of_keras(function):
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__name__", None)
    return (
        module.startswith(_KERAS_APPLICATIONS)
        and name == "preprocess_input"
        and getattr(sys.modules.get(module), name, None) is function
    )
