"""Transforms of a single image: the functional names that Keras has beside `ImageDataGenerator`.

An image is an array of rank 3, channels first unless the axes say otherwise, as in Keras. float32
goes through the core, and so does float16, which SciPy refuses; other types go through SciPy. The
result has the image's own type.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import ImageEnhance

from fastaug import _core
from fastaug.data.images import array_to_img, img_to_array, stretched
from fastaug.defaults import floatx, image_data_format
from fastaug.keras_api.params import affine_row
from fastaug.keras_api.streams import global_stream
from fastaug.keras_api.warp import border_name, check_order, like_scipy
from fastaug.typing import Array, FillMode

_FIRST = np.zeros(1, dtype=np.int64)

# Of rows, columns and channels, in a batch.
_AXES = ((1, 2, 3), (2, 3, 1))


def apply_affine_transform(
    x: Array,
    theta: float = 0,
    tx: float = 0,
    ty: float = 0,
    shear: float = 0,
    zx: float = 1,
    zy: float = 1,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: FillMode = "nearest",
    cval: float = 0.0,
    order: int = 1,
) -> Array:
    """Applies an affine transform: rotation . shift . shear . zoom about the centre.

    Args:
        x: Image of rank 3, any real type.
        theta: Rotation in degrees.
        tx: Shift along the height, in pixels.
        ty: Shift along the width, in pixels.
        shear: Shear in degrees.
        zx: Zoom along the height; below 1 magnifies.
        zy: Zoom along the width.
        row_axis: Axis of the rows.
        col_axis: Axis of the columns.
        channel_axis: Axis of the channels, 0 or 2.
        fill_mode: A border mode of `scipy.ndimage`: 'nearest', 'reflect', 'constant', 'wrap', ...
        cval: Value outside, for the constant modes.
        order: Interpolation order, 0 to 5.

    Returns:
        An image of the same shape and type; `x` itself if nothing was asked for.

    Raises:
        ValueError: If the axes or the rank do not fit, or a parameter is not finite.
        RuntimeError: If `fill_mode` or `order` is not one that SciPy has.

    Example:
        >>> fastaug.apply_affine_transform(x[0], 40, row_axis=0, col_axis=1, channel_axis=2).shape
        (32, 32, 3)
    """
    axes = {row_axis, col_axis, channel_axis}
    if len(axes) != 3:
        raise ValueError("'row_axis', 'col_axis', and 'channel_axis' must be distinct")
    if axes != {0, 1, 2}:
        raise ValueError(f"Invalid axis' indices: {axes - {0, 1, 2}}")
    if x.ndim != 3:
        raise ValueError("Input arrays must be multi-channel 2D images.")
    if channel_axis not in (0, 2):
        raise ValueError("Channels are allowed and the first and last dimensions.")
    if is_neutral(theta, tx, ty, shear, zx, zy):
        return x
    table = affine_row(theta, tx, ty, shear, zx, zy)
    border = border_name(fill_mode)
    check_order(order)
    height, width, channels_first = x.shape[row_axis], x.shape[col_axis], channel_axis == 0
    turned = col_axis < row_axis  # Keras then leaves x and y as they are

    if x.dtype not in (np.float32, np.float16) or not x.size:
        matrix = _matrix_of(theta, tx, ty, shear, zx, zy, height, width)
        matrix = matrix[:2] if turned else matrix[[1, 0]][:, [1, 0, 2]]
        return like_scipy(x, matrix, order, border, cval, channels_first)
    matrix = _core.affine_matrices(table, height, width)
    if turned:
        matrix = np.ascontiguousarray(matrix[:, ::-1][:, :, [1, 0, 2]])
    channels, height, width = x.shape if channels_first else (x.shape[2], *x.shape[:2])
    program = _core.Program(
        height,
        width,
        channels,
        channels_first=channels_first,
        order=order,
        border=border,
        cval=cval,
    )
    out = np.empty((1, *x.shape), dtype=np.float32)
    images = np.ascontiguousarray(x)[np.newaxis]
    _core.augment(program, images, _FIRST, table, matrix, out, 0, 1)
    if x.dtype == np.float32:
        return out[0]
    result = np.empty(x.shape, x.dtype)
    _core.convert(out[0], result)
    return result


def is_neutral(theta, tx, ty, shear, zx, zy):
    """Whether an affine transform leaves an image as it is."""
    return theta == 0 and tx == 0 and ty == 0 and shear == 0 and zx == 1 and zy == 1


def _matrix_of(theta, tx, ty, shear, zx, zy, height, width):
    """Returns what `_core.affine_matrices` returns, but for the order of x and y.

    To the last digit as Keras has it: whether a float64 is 255 or the next one after it decides
    what Keras does about the brightness.
    """
    turn, slant = np.deg2rad(theta), np.deg2rad(shear)
    steps = [
        (theta != 0, [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0]]),
        (tx != 0 or ty != 0, [[1, 0, tx], [0, 1, ty]]),
        (shear != 0, [[1, -np.sin(slant), 0], [0, np.cos(slant), 0]]),
        (zx != 1 or zy != 1, [[zx, 0, 0], [0, zy, 0]]),
    ]
    product = functools.reduce(np.dot, [_whole(rows) for is_on, rows in steps if is_on])
    x, y = height / 2 - 0.5, width / 2 - 0.5
    there, back = _whole([[1, 0, x], [0, 1, y]]), _whole([[1, 0, -x], [0, 1, -y]])
    return np.dot(np.dot(there, product), back)


def _whole(rows):
    return np.array([*rows, [0, 0, 1]], dtype=np.float64)


def apply_channel_shift(x: Array, intensity: float, channel_axis: int = 0) -> Array:
    """Adds an intensity to all channels, clipped to the image's own range.

    Args:
        x: Image of rank 3.
        intensity: What to add.
        channel_axis: Axis of the channels; it changes nothing, as the intensity is the same.

    Returns:
        An image of the same shape.

    Example:
        >>> fastaug.apply_channel_shift(np.array([[[0.0, 10.0]]]), 5)
        array([[[ 5., 10.]]])
    """
    low, high = x.min(), x.max()
    shifted = x + intensity
    return np.minimum(np.maximum(shifted, low, out=shifted), high, out=shifted)


_BACK = slice(None, None, -1)
_TURNED = [(*[slice(None)] * axis, _BACK) for axis in range(3)]


def flip_axis(x: Array, axis: int) -> Array:
    """Turns an image round along an axis, from 0.

    Args:
        x: Image of rank 3.
        axis: The axis.

    Returns:
        A view of it.
    """
    return np.asarray(x)[_TURNED[axis]]


def apply_brightness_shift(x: Array, brightness: float, scale: bool = True) -> Array:
    """Changes the brightness as Pillow's `ImageEnhance.Brightness` does.

    Args:
        x: Image of rank 3 with 1, 3 or 4 channels in Keras's default layout.
        brightness: Factor; 0 is black, 1 the image itself.
        scale: Whether to stretch the values to 0..255. If not, an image outside 0..255 is
            stretched for the change and brought back afterwards.

    Returns:
        An image of the same shape, in Keras's floatx.

    Raises:
        ValueError: If the number of channels is not 1, 3 or 4.

    Example:
        >>> fastaug.apply_brightness_shift(np.full((1, 1, 3), 100.0), 0.5, scale=False)
        array([[[50., 50., 50.]]], dtype=float32)
    """
    low, high = np.min(x), np.max(x)
    stretches = bool(low < 0 or high > 255)
    shape = np.shape(x)
    if (
        len(shape) == 3
        and shape[2] in (1, 3, 4)
        and math.isfinite(float(high) - float(low))
        and (image_data_format(), floatx()) == ("channels_last", "float32")
    ):
        result = np.array(x, dtype=np.float32, order="C")
        if stretches or scale:
            result = stretched(result)
        _core.brighten(result, brightness)
    else:
        image = array_to_img(x, scale=stretches or scale)
        result = img_to_array(ImageEnhance.Brightness(image).enhance(brightness))
    if stretches and not scale:
        return result / 255 * (high - low) + low
    return result


def transform_image(generator, x, parameters, in_place):
    """Transforms an image as `ImageDataGenerator.apply_transform` does.

    Args:
        generator: An `ImageDataGenerator`, which says where the axes are and what is outside.
        x: Image of rank 3.
        parameters: Dict as from `get_random_transform`.
        in_place: Whether the image may be changed, as nobody else has it.

    Returns:
        An image of the same shape.
    """
    get = parameters.get
    row_axis, col_axis = generator.row_axis - 1, generator.col_axis - 1
    channel_axis = generator.channel_axis - 1
    x = apply_affine_transform(
        x,
        get("theta", 0),
        get("tx", 0),
        get("ty", 0),
        get("shear", 0),
        get("zx", 1),
        get("zy", 1),
        row_axis,
        col_axis,
        channel_axis,
        generator.fill_mode,
        generator.cval,
        generator.interpolation_order,
    )
    if get("channel_shift_intensity") is not None:
        x = apply_channel_shift(x, parameters["channel_shift_intensity"], channel_axis)
    horizontal, vertical = get("flip_horizontal", False), get("flip_vertical", False)
    if (
        in_place
        and (horizontal or vertical)
        # by anything else but the layouts that there are, views know what is meant
        and (generator.row_axis, generator.col_axis, generator.channel_axis) in _AXES
        and x.flags.c_contiguous
    ):
        _core.flip(x, channel_axis == 0, bool(horizontal), bool(vertical))
    else:
        if horizontal:
            x = flip_axis(x, col_axis)
        if vertical:
            x = flip_axis(x, row_axis)
    if get("brightness") is not None:
        x = apply_brightness_shift(x, parameters["brightness"], False)
    return x


def random_rotation(
    x: Array,
    rg: float,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: FillMode = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:
    """Rotates by an angle drawn from `np.random`, uniform in -rg..rg degrees.

    Args:
        x: Image of rank 3, any real type.
        rg: Degrees, at most, to either side.
        row_axis: Axis of the rows.
        col_axis: Axis of the columns.
        channel_axis: Axis of the channels, 0 or 2.
        fill_mode: A border mode of `scipy.ndimage`: 'nearest', 'reflect', 'constant', 'wrap', ...
        cval: Value outside, for the constant modes.
        interpolation_order: Interpolation order, 0 to 5.

    Returns:
        An image of the same shape and type.

    Raises:
        ValueError: If the axes or the rank do not fit.
        RuntimeError: If `fill_mode` or `interpolation_order` is not one that SciPy has.

    Example:
        >>> fastaug.random_rotation(x[0], 20, row_axis=0, col_axis=1, channel_axis=2).shape
        (32, 32, 3)
    """
    theta = global_stream().uniform(-rg, rg)
    return apply_affine_transform(
        x,
        theta=theta,
        row_axis=row_axis,
        col_axis=col_axis,
        channel_axis=channel_axis,
        fill_mode=fill_mode,
        cval=cval,
        order=interpolation_order,
    )


def random_shift(
    x: Array,
    wrg: float,
    hrg: float,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: FillMode = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:
    """Shifts by fractions of height and width drawn from `np.random`, up to `hrg` and `wrg`.

    Args:
        x: Image of rank 3, any real type.
        wrg: Fraction of the width, at most, to either side.
        hrg: Fraction of the height, at most, to either side.
        row_axis: Axis of the rows.
        col_axis: Axis of the columns.
        channel_axis: Axis of the channels, 0 or 2.
        fill_mode: A border mode of `scipy.ndimage`: 'nearest', 'reflect', 'constant', 'wrap', ...
        cval: Value outside, for the constant modes.
        interpolation_order: Interpolation order, 0 to 5.

    Returns:
        An image of the same shape and type.

    Raises:
        ValueError: If the axes or the rank do not fit.
        RuntimeError: If `fill_mode` or `interpolation_order` is not one that SciPy has.

    Example:
        >>> fastaug.random_shift(x[0], 0.1, 0.2, row_axis=0, col_axis=1, channel_axis=2).shape
        (32, 32, 3)
    """
    tx = global_stream().uniform(-hrg, hrg) * x.shape[row_axis]
    ty = global_stream().uniform(-wrg, wrg) * x.shape[col_axis]
    return apply_affine_transform(
        x,
        tx=tx,
        ty=ty,
        row_axis=row_axis,
        col_axis=col_axis,
        channel_axis=channel_axis,
        fill_mode=fill_mode,
        cval=cval,
        order=interpolation_order,
    )


def random_shear(
    x: Array,
    intensity: float,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: FillMode = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:
    """Shears by an angle drawn from `np.random`, uniform in -intensity..intensity degrees.

    Args:
        x: Image of rank 3, any real type.
        intensity: Degrees, at most, to either side.
        row_axis: Axis of the rows.
        col_axis: Axis of the columns.
        channel_axis: Axis of the channels, 0 or 2.
        fill_mode: A border mode of `scipy.ndimage`: 'nearest', 'reflect', 'constant', 'wrap', ...
        cval: Value outside, for the constant modes.
        interpolation_order: Interpolation order, 0 to 5.

    Returns:
        An image of the same shape and type.

    Raises:
        ValueError: If the axes or the rank do not fit.
        RuntimeError: If `fill_mode` or `interpolation_order` is not one that SciPy has.

    Example:
        >>> fastaug.random_shear(x[0], 5, row_axis=0, col_axis=1, channel_axis=2).shape
        (32, 32, 3)
    """
    shear = global_stream().uniform(-intensity, intensity)
    return apply_affine_transform(
        x,
        shear=shear,
        row_axis=row_axis,
        col_axis=col_axis,
        channel_axis=channel_axis,
        fill_mode=fill_mode,
        cval=cval,
        order=interpolation_order,
    )


def random_zoom(
    x: Array,
    zoom_range: Sequence[float],
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: FillMode = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:
    """Zooms by two factors drawn from `np.random`, uniform in `zoom_range`, (low, high).

    Args:
        x: Image of rank 3, any real type.
        zoom_range: `(low, high)`; below 1 magnifies.
        row_axis: Axis of the rows.
        col_axis: Axis of the columns.
        channel_axis: Axis of the channels, 0 or 2.
        fill_mode: A border mode of `scipy.ndimage`: 'nearest', 'reflect', 'constant', 'wrap', ...
        cval: Value outside, for the constant modes.
        interpolation_order: Interpolation order, 0 to 5.

    Returns:
        An image of the same shape and type.

    Raises:
        ValueError: If the axes or the rank do not fit, or `zoom_range` is not two numbers.
        RuntimeError: If `fill_mode` or `interpolation_order` is not one that SciPy has.

    Example:
        >>> fastaug.random_zoom(x[0], (0.8, 1.2), row_axis=0, col_axis=1, channel_axis=2).shape
        (32, 32, 3)
    """
    if len(zoom_range) != 2:
        raise ValueError(
            f"`zoom_range` should be a tuple or list of two floats. Received: {zoom_range}"
        )
    zx, zy = 1, 1
    if not (zoom_range[0] == 1 and zoom_range[1] == 1):
        zx, zy = global_stream().uniform(zoom_range[0], zoom_range[1], 2)
    return apply_affine_transform(
        x,
        zx=zx,
        zy=zy,
        row_axis=row_axis,
        col_axis=col_axis,
        channel_axis=channel_axis,
        fill_mode=fill_mode,
        cval=cval,
        order=interpolation_order,
    )


def random_channel_shift(x: Array, intensity_range: float, channel_axis: int = 0) -> Array:
    """Shifts the channels by an intensity drawn from `np.random`, up to `intensity_range`.

    Args:
        x: Image of rank 3.
        intensity_range: The largest intensity, to either side.
        channel_axis: Axis of the channels; it changes nothing, as the intensity is the same.

    Returns:
        An image of the same shape, of floats.

    Raises:
        OverflowError: If the range is not finite.

    Example:
        >>> fastaug.random_channel_shift(x[0], 20).shape
        (32, 32, 3)
    """
    intensity = global_stream().uniform(-intensity_range, intensity_range)
    return apply_channel_shift(x, intensity, channel_axis=channel_axis)


def random_brightness(x: Array, brightness_range: Sequence[float], scale: bool = True) -> Array:
    """Changes the brightness by a factor drawn from `np.random`, uniform in `brightness_range`.

    Args:
        x: Image of rank 3 with 1, 3 or 4 channels in Keras's default layout.
        brightness_range: `(low, high)`; 0 is black, 1 the image itself.
        scale: Whether to stretch the values to 0..255. If not, an image outside 0..255 is stretched
            for the change and brought back afterwards.

    Returns:
        An image of the same shape, in Keras's floatx.

    Raises:
        ValueError: If `brightness_range` is not two numbers, or there are not 1, 3 or 4 channels.

    Example:
        >>> fastaug.random_brightness(x[0], (0.5, 1.5)).shape
        (32, 32, 3)
    """
    if len(brightness_range) != 2:
        raise ValueError(
            f"`brightness_range should be tuple or list of two floats. Received: {brightness_range}"
        )
    factor = global_stream().uniform(brightness_range[0], brightness_range[1])
    return apply_brightness_shift(x, factor, scale)
