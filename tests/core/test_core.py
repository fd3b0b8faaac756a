"""The core against SciPy, NumPy and Pillow: warps, borders, value shifts, standardization."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from programs import keras_program
from scipy import ndimage

from fastaug import _core
from fastaug.keras_api.warp import AroundWarp, OpenCV

SETTINGS = settings(deadline=None, max_examples=60, derandomize=True)
OFF = {
    "theta": 0,
    "tx": 0,
    "ty": 0,
    "shear": 0,
    "zx": 1,
    "zy": 1,
    "flip_horizontal": 0,
    "flip_vertical": 0,
    "channel_shift_intensity": np.nan,
    "brightness": np.nan,
}
IDENTITY = np.array([[[1.0, 0, 0], [0, 1, 0]]])


def table_of(**params):
    return np.array([[{**OFF, **params}[name] for name in _core.COLUMNS]], dtype=np.float64)


def run(image, table=None, matrix=None, standardize=True, **plan):
    """One image through `_core.augment`."""
    table = table_of() if table is None else table
    channels_first = plan.get("channels_first", False)
    channels, height, width = image.shape if channels_first else (image.shape[2], *image.shape[:2])
    if matrix is None:
        matrix = _core.affine_matrices(table, height, width)
    out = np.full((1, *image.shape), np.nan, dtype=np.float32)
    _core.augment(
        keras_program(height, width, channels, **plan),
        image[np.newaxis],
        np.zeros(1, dtype=np.int64),
        table,
        matrix,
        out,
        0,
        1,
        standardize,
    )
    return out[0]


def scipy_warp(image, matrix, order, mode, cval=0.0):
    planes = [
        ndimage.affine_transform(
            image[..., k].astype(np.float32), matrix[:, :2], matrix[:, 2],
            order=order, mode=mode, cval=cval,
        )
        for k in range(image.shape[2])
    ]  # fmt: skip
    return np.stack(planes, axis=-1)


def near_an_edge(matrix, shape, order, mode):
    """Pixels whose coordinate lies within 1e-6 of where the result jumps."""
    rows, columns = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    edge = np.zeros(shape[:2], dtype=bool)
    for m, n in zip(matrix, shape[:2], strict=True):
        c = m[0] * rows + m[1] * columns + m[2]
        if order == 0:
            edge |= np.abs(c - np.floor(c) - 0.5) < 1e-6
        if mode in ("constant", "wrap"):
            period = max(n - 1, 1)
            edge |= np.abs(c / period - np.round(c / period)) * period < 1e-6
    return edge


def images(draw, dtype, low=1, high=40):
    height, width = draw(st.integers(low, high)), draw(st.integers(low, high))
    channels = draw(st.sampled_from([1, 2, 3, 3, 4, 5]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (rng.random((height, width, channels)) * 255).astype(dtype)


@st.composite
def warps(draw):
    image = images(draw, draw(st.sampled_from([np.uint8, np.float32])))
    number = st.floats(-1.5, 1.5, allow_nan=False, width=32)
    shift = st.floats(-60, 60, allow_nan=False, width=32)
    matrix = np.array(
        [[draw(number), draw(number), draw(shift)], [draw(number), draw(number), draw(shift)]]
    )
    return image, matrix


@SETTINGS
@given(warps(), st.sampled_from(_core.BORDERS), st.integers(0, 5), st.booleans(), st.booleans())
def test_warp_is_scipys(case, border, order, flip_horizontal, flip_vertical):
    image, matrix = case
    table = table_of(tx=1, flip_horizontal=flip_horizontal, flip_vertical=flip_vertical)
    out = run(image, table, matrix[np.newaxis], order=order, border=border, cval=7.5)
    if flip_vertical:
        out = out[::-1]
    if flip_horizontal:
        out = out[:, ::-1]
    expected = scipy_warp(image, matrix, order, border, cval=7.5)
    compared = ~near_an_edge(matrix, image.shape, order, border)
    np.testing.assert_allclose(out[compared], expected[compared], atol=2e-3, rtol=0)


@pytest.mark.parametrize("border", _core.BORDERS)
@pytest.mark.parametrize("size", [(7, 12, 3), (12, 7, 1), (9, 9, 4), (1, 5, 3), (2, 2, 2)])
def test_quarter_turn_is_a_transpose_and_a_flip(border, size):
    image = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    height, width = size[:2]
    side = min(height, width)
    # source (row, column) = (column, side - 1 - row): exact in every border
    matrix = np.array([[[0.0, 1, 0], [-1, 0, side - 1]]])
    out = run(image, table_of(theta=90), matrix, border=border)
    np.testing.assert_array_equal(
        out[:side, :side], np.rot90(image[:side, :side]).astype(np.float32)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("border", _core.BORDERS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_whole_shifts_move_pixels_exactly(dtype, order, border, channels):
    image = (np.random.default_rng(1).random((11, 17, channels)) * 255).astype(dtype)
    matrix = np.array([[[1.0, 0, 2], [0, 1, 3]]])
    out = run(image, table_of(tx=1), matrix, order=order, border=border)
    # a + 1 * (b - a), the last row and column of a blend, is b but for a rounding; a sum of splines
    # is a pixel but for several
    rounding = 2e-7 if order > 1 or (order == 1 and dtype is np.float32) else 0
    np.testing.assert_allclose(
        out[:9, :14], image[2:, 3:].astype(np.float32), rtol=rounding, atol=255 * rounding
    )


@pytest.mark.parametrize("width", [*range(1, 20), 31, 32, 33, 63, 64, 65])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_width(width, channels):
    image = np.random.default_rng(width).integers(0, 256, (5, width, channels), dtype=np.uint8)
    table = table_of(theta=17, zx=0.9, zy=1.2, tx=0.4, ty=-1.3)
    matrix = _core.affine_matrices(table, 5, width)
    expected = scipy_warp(image, matrix[0], 1, "reflect")
    np.testing.assert_allclose(run(image, table, border="reflect"), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("flip_horizontal", [0, 1])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("border", _core.BORDERS)
def test_rows_that_are_only_in_part_inside(border, order, channels, flip_horizontal):
    """Wide ones: left of the image, inside and right of it, each in a way of its own."""
    rng = np.random.default_rng(5)
    for height, width in [(30, 90), (90, 200), (20, 700)]:
        image = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
        for theta in (3, -25, 80, 178):
            table = table_of(theta=theta, zx=1.1, zy=0.9, tx=4.3, flip_horizontal=flip_horizontal)
            matrix = _core.affine_matrices(table, height, width)[0]
            out = run(image, table, order=order, border=border, cval=7.5)
            if flip_horizontal:
                out = out[:, ::-1]
            expected = scipy_warp(image, matrix, order, border, cval=7.5)
            compared = ~near_an_edge(matrix, image.shape, order, border)
            np.testing.assert_allclose(out[compared], expected[compared], atol=2e-3, rtol=0)


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("border", _core.BORDERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (2, 9), (3, 3), (5, 4)])
def test_splines_through_a_few_pixels(size, border, order):
    """Each has a part in every sample, and so has what SciPy makes of the border."""
    rng = np.random.default_rng(7)
    image = 255 * rng.integers(0, 2, (*size, 3), dtype=np.uint8)
    for scale in (0.3, 1.0, 4.0):
        for shift in (0, 0.25, -0.75, 2.5, -4.75, 14.75, -13.5, 40.25):
            matrix = np.array([[scale, 0.1, shift - 0.01], [0.2, -scale, shift + 0.013]])
            out = run(
                image, table_of(tx=1), matrix[np.newaxis], order=order, border=border, cval=99
            )
            expected = scipy_warp(image, matrix, order, border, cval=99)
            np.testing.assert_allclose(out, expected, atol=4e-5, rtol=0)


@pytest.mark.parametrize("theta", [90, -90, 180, -180, 270])
@pytest.mark.parametrize("border", ["constant", "wrap"])
@pytest.mark.parametrize("order", range(6))
def test_turns_that_end_on_the_border(order, border, theta):
    """The last digit of a coordinate says whether it lies outside, and it is SciPy's digit."""
    for size in (16, 45, 128):
        image = np.random.default_rng(size).integers(0, 256, (size, size, 1), dtype=np.uint8)
        table = table_of(theta=theta)
        matrix = _core.affine_matrices(table, size, size)
        out = run(image, table, matrix, order=order, border=border, cval=-100)
        expected = scipy_warp(image, matrix[0], order, border, cval=-100)
        np.testing.assert_allclose(out, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("border", _core.BORDERS)
@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("size", [(1, 1, 3), (2, 3, 1), (16, 16, 3), (33, 5, 4)])
def test_any_matrix_is_safe(dtype, border, order, size):
    """Huge, tiny and NaN coordinates read no pixel outside the image."""
    image = np.full(size, 9, dtype=dtype)
    for values in ([1e300] * 6, [-1e300] * 6, [np.nan] * 6, [np.inf] * 6, [1e-300] * 6,
                   [1, 0, 1e9, 0, 1, -1e9], [0] * 6, [1e18, -1e18, 0, 1, 1, 2**31]):  # fmt: skip
        matrix = np.array(values, dtype=np.float64).reshape(1, 2, 3)
        out = run(image, table_of(tx=1), matrix, order=order, border=border, cval=5.0)
        # a spline overshoots beside a step, and SciPy's is not exact for a few reflected pixels
        beyond = 1.0 if order > 1 else 0.0
        assert np.isin(out, [5, 9]).all() or (
            (border == "grid-constant" or (border == "reflect" and order > 1))
            and np.all((out >= 5 - beyond) & (out <= 9 + beyond))
        )


@SETTINGS
@given(st.data())
def test_matrices_are_the_product_of_four(data):
    height, width = data.draw(st.integers(1, 50)), data.draw(st.integers(1, 50))
    angle = st.floats(-400, 400, allow_nan=False)
    zoom = st.floats(0.1, 3, allow_nan=False)
    p = {
        "theta": data.draw(angle), "tx": data.draw(angle), "ty": data.draw(angle),
        "shear": data.draw(angle), "zx": data.draw(zoom), "zy": data.draw(zoom),
    }  # fmt: skip
    t, s = np.deg2rad(p["theta"]), np.deg2rad(p["shear"])
    product = (
        np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
        @ np.array([[1, 0, p["tx"]], [0, 1, p["ty"]], [0, 0, 1]])
        @ np.array([[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]])
        @ np.diag([p["zx"], p["zy"], 1])
    )
    x, y = height / 2 - 0.5, width / 2 - 0.5
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = (x, y), (-x, -y)
    whole = (there @ product @ back)[[1, 0]][:, [1, 0, 2]]
    np.testing.assert_allclose(
        _core.affine_matrices(table_of(**p), height, width)[0], whole, atol=1e-9, rtol=1e-9
    )


@pytest.mark.parametrize("border", ["nearest", "reflect", "mirror", "grid-wrap"])
@pytest.mark.parametrize("flip", [{}, {"flip_horizontal": 1}, {"flip_vertical": 1}])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels_first", [False, True])
def test_opencv_has_the_same_meaning(border, flip, channels, dtype, channels_first):
    image = (np.random.default_rng(2).random((90, 121, channels)) * 255).astype(dtype)
    if channels_first:
        image = np.ascontiguousarray(image.transpose(2, 0, 1))
    table = table_of(theta=25, zx=0.8, zy=1.1, tx=4.5, shear=9, channel_shift_intensity=20, **flip)
    built_in = run(image, table, border=border, channels_first=channels_first, rescale=0.5)
    size = image.shape[1:] if channels_first else image.shape[:2]
    plan = {"border": border, "channels_first": channels_first, "rescale": 0.5}
    around = AroundWarp(OpenCV(border), keras_program(*size, channels, **plan), channels_first)
    opencv = run(image, table, **plan, by_image=around)
    np.testing.assert_allclose(opencv, built_in, atol=0.01, rtol=0)


@pytest.fixture
def best_simd():
    """Leaves the core as it was."""
    yield
    _core.select_simd(_core.simd_variants()[-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("border", _core.BORDERS)
def test_simd_variants_give_the_same_bits(dtype, channels, border, best_simd):
    rng = np.random.default_rng(6)
    assert _core.simd_variants()[0] == "plain"
    for height, width in [(1, 1), (2, 2), (3, 9), (8, 15), (17, 16), (5, 33), (40, 131), (3, 300)]:
        image = (rng.random((height, width, channels)) * 255).astype(dtype)
        table = table_of(
            theta=40, zx=0.7, zy=1.1, tx=0.3, channel_shift_intensity=12, flip_horizontal=1
        )
        results = []
        for variant in _core.simd_variants():
            _core.select_simd(variant)
            results.append(run(image, table, border=border, rescale=1 / 255))
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


def test_an_unknown_simd_variant_is_refused():
    with pytest.raises(ValueError, match="sse9"):
        _core.select_simd("sse9")


def test_python_code_that_fails():
    def by_image(image, row, standardize, out):
        raise RuntimeError("no image today")

    image = np.zeros((4, 4, 3), dtype=np.uint8)
    with pytest.raises(RuntimeError, match="no image today"):
        run(image, table_of(theta=3), by_image=by_image)


@SETTINGS
@given(st.data(), st.booleans(), st.booleans())
def test_flips_without_geometry(data, horizontal, vertical):
    image = images(data.draw, data.draw(st.sampled_from([np.uint8, np.float32])))
    out = run(image, table_of(flip_horizontal=horizontal, flip_vertical=vertical))
    expected = image[::-1] if vertical else image
    expected = expected[:, ::-1] if horizontal else expected
    np.testing.assert_array_equal(out, expected.astype(np.float32))


@SETTINGS
@given(st.data(), st.floats(-300, 300, allow_nan=False, width=32))
def test_channel_shift_stays_in_the_images_range(data, intensity):
    image = images(data.draw, np.float32) - np.float32(data.draw(st.integers(0, 255)))
    out = run(image, table_of(channel_shift_intensity=intensity))
    expected = np.clip(image + np.float32(intensity), image.min(), image.max())
    np.testing.assert_array_equal(out, expected)


@SETTINGS
@given(st.data(), st.floats(-1, 4, allow_nan=False))
def test_brightness_is_pillows(data, factor):
    channels = data.draw(st.sampled_from([1, 3, 4]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    image = (rng.random((13, 9, channels)) * 255).astype(np.float32)
    pillow = Image.fromarray(image.astype(np.uint8).squeeze())
    expected = np.asarray(ImageEnhance.Brightness(pillow).enhance(factor)).reshape(image.shape)
    out = run(image, table_of(brightness=factor))
    np.testing.assert_array_equal(out, expected.astype(np.float32))


@SETTINGS
@given(st.data(), st.booleans(), st.booleans(), st.booleans())
def test_standardization(data, center, std, channels_first):
    image = images(data.draw, np.float32, low=2)
    if channels_first:
        image = np.ascontiguousarray(image.transpose(2, 0, 1))
    channels = image.shape[0 if channels_first else 2]
    shape = (channels, 1, 1) if channels_first else (1, 1, channels)
    rng = np.random.default_rng(3)
    mean, scale = (rng.random(channels).astype(np.float32) for _ in range(2))
    out = run(
        image, rescale=1 / 127, sample_center=center, sample_std=std,
        feature_mean=mean, feature_scale=scale, channels_first=channels_first,
    )  # fmt: skip
    expected = image.astype(np.float64) / 127
    if center:
        expected -= expected.mean()
    if std:
        expected /= expected.std() + 1e-6
    expected = (expected - mean.reshape(shape)) * scale.reshape(shape)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    later = run(image, standardize=False, channels_first=channels_first)[np.newaxis]
    np.testing.assert_array_equal(later[0], image)
    height, width = image.shape[1:] if channels_first else image.shape[:2]
    plan = keras_program(
        height, width, channels, channels_first=channels_first, rescale=1 / 127,
        sample_center=center, sample_std=std, feature_mean=mean, feature_scale=scale,
    )  # fmt: skip
    _core.standardize(plan, later, 0, 1)
    np.testing.assert_array_equal(later[0], out)


def test_channels_first_is_the_same_turned():
    image = np.random.default_rng(4).integers(0, 256, (21, 14, 3), dtype=np.uint8)
    table = table_of(theta=30, zx=0.7, flip_horizontal=1, channel_shift_intensity=9, brightness=1.2)
    last = run(image, table)
    first = run(np.ascontiguousarray(image.transpose(2, 0, 1)), table, channels_first=True)
    np.testing.assert_array_equal(first.transpose(1, 2, 0), last)


def batch_arguments(count=4, batch=3):
    plan = keras_program(5, 6, 3)
    images = np.random.default_rng(5).integers(0, 256, (count, 5, 6, 3), dtype=np.uint8)
    table = np.repeat(table_of(), batch, axis=0)
    return [
        plan, images, np.arange(batch, dtype=np.int64), table, np.repeat(IDENTITY, batch, axis=0),
        np.zeros((batch, 5, 6, 3), dtype=np.float32),
    ]  # fmt: skip


def test_a_slice_writes_only_its_own_images():
    arguments = batch_arguments()
    arguments[2] = np.array([3, 0, 2])
    _core.augment(*arguments, 1, 2)
    images, out = arguments[1], arguments[5]
    np.testing.assert_array_equal(out[1], images[0])
    assert not out[0].any() and not out[2].any()
    _core.augment(*arguments, 2, 2)
    assert not out[2].any()


@pytest.mark.parametrize(
    ("position", "change", "error", "text"),
    [
        (1, lambda a: a.astype(np.complex64), TypeError, "complex64"),
        (1, lambda a: a[..., :2], ValueError, r"\(4, 5, 6, 2\)"),
        (1, lambda a: a[0], ValueError, r"\(5, 6, 3\)"),
        (1, lambda a: a[:, :0], ValueError, r"\(4, 0, 6, 3\)"),
        (1, lambda a: a[:, :, ::-1], ValueError, "contiguous"),
        (2, lambda a: a + 2, IndexError, "index 4 is out of bounds for 4 images"),
        (2, lambda a: a - 1, IndexError, "index -1 is out of bounds"),
        (2, lambda a: a[:2], ValueError, "slice 0:3"),
        (3, lambda a: np.ascontiguousarray(a[:, :5]), ValueError, "parameter table"),
        (3, lambda a: a[:2], ValueError, "slice 0:3"),
        (4, lambda a: a[:2], ValueError, "slice 0:3"),
        (5, lambda a: a.astype(np.float64), ValueError, "float64"),
        (5, lambda a: a[:, :, ::-1], ValueError, "contiguous"),
        (5, lambda a: a[:2], ValueError, "slice 0:3"),
    ],
)
def test_wrong_buffers_are_refused(position, change, error, text):
    arguments = batch_arguments()
    _core.augment(*arguments, 0, 3)
    arguments[position] = change(arguments[position])
    with pytest.raises(error, match=text):
        _core.augment(*arguments, 0, 3)


def test_read_only_images_are_read_and_a_read_only_batch_is_refused():
    arguments = batch_arguments()
    arguments[1].flags.writeable = False
    _core.augment(*arguments, 0, 3)
    np.testing.assert_array_equal(arguments[5], arguments[1][:3])
    arguments[5].flags.writeable = False
    with pytest.raises(ValueError, match="contiguous float32 batch"):
        _core.augment(*arguments, 0, 3)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"images": np.float32}, TypeError, "uint8 images for a uint8 batch.*float32"),
        ({"order": 3}, ValueError, "order=3"),
        ({"rescale": 0.5}, ValueError, "cannot be standardized"),
        ({"sample_center": True}, ValueError, "cannot be standardized"),
        ({"sample_std": True}, ValueError, "cannot be standardized"),
        ({"feature_mean": [1, 2, 3]}, ValueError, "cannot be standardized"),
        ({"feature_scale": [1, 2, 3]}, ValueError, "cannot be standardized"),
        (
            {"function_scale": [1, 2, 3], "function_offset": [0, 0, 0]},
            ValueError,
            "cannot be standardized",
        ),
        ({"slice": 2}, ValueError, "contiguous uint8 batch"),
    ],
    ids=str,
)
@pytest.mark.parametrize("whole", [False, True], ids=["a slice", "a batch"])
def test_batches_of_bytes_that_are_refused(change, error, text, whole):
    arguments = batch_arguments()
    step = change.get("slice", 1)
    plan = {name: value for name, value in change.items() if name not in ("images", "slice")}
    arguments[1] = arguments[1].astype(change.get("images", np.uint8))
    arguments[5] = np.zeros((3 * step, 5, 6, 3), dtype=np.uint8)[::step]
    with pytest.raises(error, match=text):
        arguments[0] = keras_program(5, 6, 3, is_bytes=True, **plan)
        if whole:
            _core.Batch(*arguments[:4], [arguments[5]])
        else:
            _core.augment(*arguments, 0, 3)


def run_to_bytes(image, table, **plan):
    height, width, channels = image.shape
    out = np.full((1, *image.shape), 99, dtype=np.uint8)
    _core.augment(
        keras_program(height, width, channels, is_bytes=True, **plan), image[np.newaxis],
        np.zeros(1, dtype=np.int64), table, None, out, 0, 1,
    )  # fmt: skip
    return out[0]


@pytest.mark.parametrize("truncates", [False, True])
@pytest.mark.parametrize("simd", _core.simd_variants())
def test_bytes_are_made_of_the_floats(truncates, simd, best_simd):
    """Rounded as SciPy rounds, or truncated; with a border whose value no byte holds."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (19, 53, 3), dtype=np.uint8)
    _core.select_simd(simd)
    for cval in (0, -300, 254.4, 254.5, 1e30, np.nan, np.inf):
        table = table_of(theta=rng.uniform(-40, 40), tx=3.3, flip_vertical=1)
        plan = {"border": "grid-constant", "cval": cval}
        floats = run(image, table, **plan)
        expected = np.nan_to_num(floats, nan=0) + np.float32(0 if truncates else 0.5)
        expected = expected.clip(0, 255).astype(np.uint8)
        found = run_to_bytes(image, table, truncates=truncates, **plan)
        np.testing.assert_array_equal(found, expected)


NEARLY = [12.0 - 1e-9, -1e-18, 1e-18, -12.0 + 1e-9, 0.0, 254.5, 255.0, 300, -300, np.inf, -np.inf]


@pytest.mark.parametrize("intensity", NEARLY)
@pytest.mark.parametrize("brightness", [None, 1.0, 1.7])
def test_shifted_bytes_are_shifted_in_double(intensity, brightness):
    """And Pillow gets them by way of float32."""
    image = np.arange(30, 246, dtype=np.uint8).reshape(6, 9, 4)
    shifted = np.clip(image + np.float64(intensity), 30, 245)
    expected = shifted.astype(np.uint8)
    if brightness is not None:
        levels = shifted.astype(np.float32).astype(np.uint8)
        expected = (np.float32(brightness) * levels).clip(0, 255).astype(np.uint8)
        expected[..., 3] = levels[..., 3]
    table = table_of(channel_shift_intensity=intensity, brightness=brightness or np.nan)
    np.testing.assert_array_equal(run_to_bytes(image, table), expected)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"height": 0}, "0 x 6 x 3"),
        ({"channels": -1}, "5 x 6 x -1"),
        ({"order": 6}, "order=6"),
        ({"order": -1}, "order=-1"),
        ({"feature_mean": [1.0, 2.0]}, r"\(2,\)"),
        ({"border": "elsewhere"}, "elsewhere|not in tuple"),
        ({"height": 2**31}, "2147483648"),
    ],
)
def test_plans_name_what_is_wrong(change, text):
    arguments = {"height": 5, "width": 6, "channels": 3, **change}
    with pytest.raises(ValueError, match=text):
        keras_program(**arguments)


def draws(**changes):
    arguments = {
        "columns": [1, 7], "low": [0.0, 0.0], "spread": [1.0, 1.0], "flips": [1.0, 1.0],
        "scale": [1.0] * len(_core.COLUMNS), "base": [0.0] * len(_core.COLUMNS), "choices": {},
    }  # fmt: skip
    return _core.Draws(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"low": [0.0]}, ValueError, "2 columns, 1 and 2 bounds"),
        ({"columns": [0] * 11, "low": [0] * 11, "spread": [0] * 11}, ValueError, "at most 10"),
        ({"scale": [1.0]}, ValueError, "Received: 1, 10, 2"),
        ({"flips": []}, ValueError, "Received: 10, 10, 0"),
        ({"columns": [1, 10]}, IndexError, "column 10"),
        ({"columns": [-1, 1]}, IndexError, "column -1"),
        ({"choices": {1: []}}, ValueError, "nothing to choose from"),
        ({"choices": {1: 0}}, ValueError, "nothing to choose from"),
        ({"choices": {1: [[1, 2]]}}, ValueError, "number or a sequence"),
    ],
)
def test_draws_name_what_is_wrong(changes, error, text):
    with pytest.raises(error, match=text):
        draws(**changes)


def test_a_program_and_draws_stay_what_they_are():
    """What C reads of them could be gone in the middle of a batch."""
    program = keras_program(5, 6, 3, rescale=0.5)
    program.__init__(7, 8, 1)
    assert program.shape == (5, 6, 3)
    image = np.full((1, 5, 6, 3), 8, np.float32)
    _core.augment(program, image, np.zeros(1, np.int64), table_of(), None, image, 0, 1)
    assert (image == 4).all()
    ours, stream = draws(choices={1: [3.0, 5.0]}), np.random.RandomState(1)
    expected = ours.draw(np.random.RandomState(1), 9)
    ours.__init__([0], [0.0], [9.0], [0.0, 0.0], *[[2.0] * len(_core.COLUMNS)] * 2, {0: [7.0] * 99})
    np.testing.assert_array_equal(ours.draw(stream, 9), expected)


@pytest.mark.parametrize("cls", [_core.Program, _core.Draws, _core.Batch, _core.Sources])
def test_no_object_is_half_made(cls):
    with pytest.raises(TypeError, match="argument"):
        cls.__new__(cls)


@pytest.mark.parametrize("wrong", ["another seed", "another place"])
@pytest.mark.parametrize(
    "use", ["state_of(np.random.MT19937(0))", "Draws([], [], [], [1, 1], [0] * 10, [0] * 10, {})"]
)
def test_another_layout_of_a_generator_is_refused(wrong, use):
    """The memory of NumPy's MT19937 is read and made; a NumPy to come may have another one."""
    script = f"""
import numpy as np
from fastaug import _core
real = np.random.RandomState
def other(seed):
    stream = real(seed + ({wrong!r} == "another seed"))
    if {wrong!r} == "another place":
        stream.random_sample()
    return stream
np.random.RandomState = other
for _ in range(2):
    try:
        _core.{use}
    except RuntimeError as error:
        print(error)
"""
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.stdout.count("states of MT19937 in NumPy") == 2, found.stderr


def test_other_generators_have_no_such_state():
    for call in _core.state_of, lambda generator: _core.set_state(generator, b""):
        with pytest.raises(TypeError, match=r"Expected an MT19937.*PCG64"):
            call(np.random.PCG64(0))


def test_draws_take_as_many_numbers_as_they_have_columns():
    with pytest.raises(ValueError, match=r"Expected 2 values for each image\. Received: 3"):
        draws().table(np.zeros((4, 3)))
    table = draws().table(np.array([[0.25, 0.4], [0.5, 0.6]]))
    np.testing.assert_array_equal(table[:, [1, 7]], [[0.25, 1], [0.5, 0]])


def test_attributes_are_compared_with_as_many_values():
    for values, items in (((np.pi,), (None, None)), ((np.pi, np.e), (None,))):
        with pytest.raises(ValueError, match=r"Expected 2 values\. Received"):
            _core.same_attributes(np, ("pi", "e"), values, items)
    assert _core.same_attributes(np, ("pi", "e"), (np.pi, np.e), (None, None))
    assert not _core.same_attributes(np, ("pi", "e"), (np.pi, np.pi), (None, None))


@pytest.mark.parametrize("change", [None, "set", "append", "clear"])
def test_lists_are_compared_by_what_is_in_them(change):
    owner = types.SimpleNamespace(zoom=[0.5, 1.5], name="a")
    names, values = ("name", "zoom"), (owner.name, owner.zoom)
    items = (None, tuple(owner.zoom))
    if change == "set":
        owner.zoom[1] = 1.25
    elif change:
        getattr(owner.zoom, change)(*[2.0] * (change == "append"))
    assert _core.same_attributes(owner, names, values, items) == (change is None)


def test_stub_matches_the_extension():
    result = subprocess.run(
        [
            sys.executable, "-m", "mypy.stubtest", "fastaug._core",
            "--mypy-config-file", Path(__file__).parent.parent.parent / "pyproject.toml",
        ],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
