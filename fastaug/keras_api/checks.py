"""Arguments of a generator, checked where they are given: Keras's first batch would fail on them.

What Keras takes passes: None for a range that is off, numbers of any kind, arrays of one number.
"""

import concurrent.futures
import multiprocessing.pool
import numbers
from typing import Any

import numpy as np

from fastaug.ops.base import Op, OpList, as_ops
from fastaug.ops.mix import Mix

_DIM_ORDERINGS = {"default": None, "tf": "channels_last", "th": "channels_first"}

_RANGES = (
    "rotation_range",
    "width_shift_range",
    "height_shift_range",
    "brightness_range",
    "shear_range",
    "zoom_range",
    "channel_shift_range",
)


def check_settings(generator) -> None:
    """Checks the types of a generator's settings, and that its ranges are finite.

    Args:
        generator: An `ImageDataGenerator` with all its attributes.

    Raises:
        TypeError: If one is of a wrong type.
        OverflowError: If a range is NaN or infinite.
    """
    for name in ("rotation_range", "shear_range", "cval"):
        check_number(name, getattr(generator, name), none_allowed=True)
    for name in ("channel_shift_range", "zca_epsilon"):
        check_number(name, getattr(generator, name))
    for name in ("width_shift_range", "height_shift_range"):
        value = getattr(generator, name)
        is_list = _are_numbers(value) and not isinstance(
            value, np.ndarray
        )  # neither true nor false
        if not (value is None or _is_number(value) or is_list):
            raise _wrong_type(name, "a number or a list of numbers", value)
    if generator.brightness_range is not None and not _are_numbers(generator.brightness_range):
        raise _wrong_type("brightness_range", "two numbers", generator.brightness_range)
    rescale = generator.rescale
    if not (rescale is None or _is_number(rescale) or _is_array(rescale)):
        raise _wrong_type("rescale", "a number", rescale)
    function = generator.preprocessing_function
    if function and not callable(function):
        raise _wrong_type("preprocessing_function", "a function", function)
    _check_dtype(generator.dtype)
    for name in _RANGES:
        _check_finite(name, getattr(generator, name))


def checked_ops(augment: Any, warp: str) -> tuple[Op, ...] | None:
    """Returns `augment` as a tuple of ops; None: there are none.

    Raises:
        TypeError: If one is no op.
        ValueError: If there are several crops, or a warp in Python.
    """
    if augment is None:
        return None
    ops = tuple(as_ops(augment))
    OpList(ops)
    if warp == "opencv":
        raise ValueError(f'`warp="opencv"` has no `augment`. Received: {augment=}')
    return ops or None


def checked_mix(mix: Any) -> Mix | None:
    """Returns `mix`, or that of its name.

    Raises:
        TypeError: If it mixes no batches.
        ValueError: If none has the name.
    """
    if isinstance(mix, str):
        from fastaug.ops.policy import op_of

        return op_of(mix, Mix)
    if mix is not None and not isinstance(mix, Mix):
        raise TypeError(
            "`mix` should be such as fastaug.MixUp(0.2), or one of some as in "
            f"fastaug.OneOf(fastaug.MixUp(0.2), fastaug.CutMix()). Received: mix={mix!r}"
        )
    return mix


def check_number(name: str, value: Any, none_allowed: bool = False) -> None:
    """Checks that an argument is a number.

    Raises:
        TypeError: If it is none.
    """
    if not (_is_number(value) or (none_allowed and value is None)):
        raise _wrong_type(name, "a number", value)


def checked_data_format(data_format, dim_ordering):
    """Returns the layout that `dim_ordering` or `data_format` names; None: neither does.

    Raises:
        ValueError: If `dim_ordering` is unknown, or both name different ones.
    """
    if dim_ordering is None:
        return data_format
    if dim_ordering not in _DIM_ORDERINGS:
        raise ValueError(
            f"Invalid dim_ordering: {dim_ordering}; expected one of: {sorted(_DIM_ORDERINGS)}"
        )
    named = _DIM_ORDERINGS[dim_ordering]
    if None not in (named, data_format) and named != data_format:
        raise ValueError(
            f"dim_ordering={dim_ordering!r} means data_format={named!r}. "
            f"Received: data_format={data_format!r}"
        )
    return named or data_format


def checked_count(name, value, none_allowed=False):
    """Returns an argument that counts something as an int.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is negative.
    """
    if value is None and none_allowed:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` should be an integer. Received: {value!r}")
    if value < 0:
        raise ValueError(f"`{name}` should not be negative. Received: {value}")
    return int(value)


def checked_pool_size(pool):
    """Returns how many workers a user's pool has; None: there is none.

    Raises:
        TypeError: If it is no pool.
        ValueError: If it is a pool that is closed, or a negative number.
        RuntimeError: If it is an executor that was shut down.
    """
    if pool is None:
        return None
    if isinstance(pool, multiprocessing.pool.Pool):  # a ThreadPool is one too
        if pool._state != multiprocessing.pool.RUN:
            raise ValueError(f"Pool not running. Received: pool={pool!r}")
        return pool._processes
    if isinstance(pool, concurrent.futures.Executor):
        if getattr(pool, "_shutdown", False) or getattr(pool, "_shutdown_thread", False):
            raise RuntimeError(
                f"cannot schedule new futures after shutdown. Received: pool={pool!r}"
            )
        return getattr(pool, "_max_workers", None)
    if isinstance(pool, bool) or not isinstance(pool, numbers.Integral):
        raise TypeError(
            "`pool` should be a multiprocessing pool, an executor or an integer. "
            f"Received: {pool!r}"
        )
    return checked_count("pool", pool)


def _is_number(value):
    if isinstance(value, np.ndarray):
        return value.size == 1 and value.dtype.kind in "biuf"
    if isinstance(value, str | bytes | bytearray):
        return False
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _are_numbers(values):
    try:
        return np.ndim(values) == 1 and all(_is_number(value) for value in values)
    except ValueError:  # nested ones of several lengths
        return False


def _is_array(values):
    try:
        return np.asarray(values).dtype.kind in "biuf"
    except ValueError:
        return False


def _check_dtype(dtype):
    try:
        kind = np.dtype(dtype).kind
    except TypeError:
        kind = "O"
    if kind in "OSUmM":
        raise _wrong_type("dtype", "a type of numbers", dtype)


def _check_finite(name, value):
    """Raises what NumPy raises on drawing from such a range."""
    if value is not None and not np.all(np.isfinite(np.asarray(value, dtype=np.float64))):
        raise OverflowError(f"Range exceeds valid bounds. Received: {name}={value}")


def _wrong_type(name, expected, value):
    return TypeError(f"`{name}` should be {expected}. Received: {name}={value!r}")
