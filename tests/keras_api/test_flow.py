"""Whole flows over arrays beside Keras's: every argument, every kind of input and setting."""

import itertools

import numpy as np
import pytest
from execution import EXECUTIONS, open_execution
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    BRIGHTNESS,
    EXACT,
    FLIPS,
    GEOMETRY,
    STANDARD,
    TRANSFORM,
    Tolerance,
    assert_batches_equal,
    assert_same,
    assert_same_error,
    compare_flow,
    fastaug_library,
    flow_scenario,
    images,
    images_of,
    keras_library,
    pixel_scale,
    run,
    run_both,
    take,
)

import fastaug

LABELS = np.arange(10) * 11
BOTH_FORMATS = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])


# --------------------------------------------------------------------- one setting at a time

TRANSFORMS = {
    "rotation": {"rotation_range": 180},
    "width shift": {"width_shift_range": 0.3},
    "height shift": {"height_shift_range": 0.3},
    "shear": {"shear_range": 40},
    "zoom": {"zoom_range": (0.5, 2.0)},
    "horizontal flip": {"horizontal_flip": True},
    "vertical flip": {"vertical_flip": True},
    "channel shift": {"channel_shift_range": 60},
    "channel shift after a turn": {"rotation_range": 30, "channel_shift_range": 60.0},
    "all together": GEOMETRY | {"channel_shift_range": 25},
}


@BOTH_FORMATS
@pytest.mark.parametrize("seed", [None, 11])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_each_transform(transform, seed, data_format):
    compare_flow(
        images(data_format=data_format),
        LABELS,
        settings=transform | {"data_format": data_format},
        tolerance=TRANSFORM,
        batch_size=4,
        seed=seed,
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_flips_alone_do_not_change_a_single_bit(dtype):
    compare_flow(images(dtype=dtype), LABELS, settings=FLIPS, tolerance=EXACT, batch_size=4)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_no_setting_at_all_returns_the_images(dtype):
    x = images(dtype=dtype)
    expected = compare_flow(x, settings={}, batch_size=10, batches=1, shuffle=False, active=False)
    np.testing.assert_array_equal(expected.value[0], x)


# --------------------------------------------------------------------- interpolation, borders

FILL_MODES = [
    "nearest",
    "reflect",
    "constant",
    "wrap",
    "mirror",
    "grid-wrap",
    "grid-mirror",
    "grid-constant",
]


@BOTH_FORMATS
@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_every_order_and_border(fill_mode, order, data_format):
    wide = {"rotation_range": 60, "zoom_range": (0.6, 2.5), "width_shift_range": 0.6}
    compare_flow(
        images(n=8, height=11, width=7, data_format=data_format),
        settings=wide
        | {"fill_mode": fill_mode, "interpolation_order": order, "data_format": data_format},
        tolerance=TRANSFORM,
        edges=True,
        batch_size=5,
        seed=2,
    )


@pytest.mark.parametrize("cval", [0, 7, 128.5, -40.0, 300])
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", ["constant", "grid-constant"])
def test_constant_border_values(fill_mode, order, cval):
    transform = {"rotation_range": 60, "zoom_range": (1, 2)}
    expected = compare_flow(
        images(),
        settings=transform | {"fill_mode": fill_mode, "cval": cval, "interpolation_order": order},
        tolerance=TRANSFORM,
        edges=True,
        batch_size=5,
    )
    assert any(np.any(np.abs(batch - cval) < 1e-3) for batch in expected.value)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("sides", [(6, 5), (70, 80)], ids=str)
@pytest.mark.parametrize(
    ("fill_mode", "shift"), [("nearest", 1e10), ("nearest", 1e18), ("constant", 1e300)]
)
def test_unreachable_sources(fill_mode, shift, sides, order):
    """No coordinate is too large: the nearest edge, or the constant.

    SciPy itself loses the sign of coordinates beyond 64-bit integers.
    """
    height, width = sides
    x = images(n=4, height=height, width=width)
    settings = {
        "width_shift_range": [shift],
        "fill_mode": fill_mode,
        "interpolation_order": order,
        "cval": 9.0,
    }
    expected = compare_flow(x, settings=settings, tolerance=EXACT, batch_size=4, seed=8, batches=1)
    if fill_mode == "constant":
        assert np.all(expected.value[0] == 9)


@pytest.mark.parametrize("order", [0, 1])
def test_a_constant_that_is_no_number(order):
    """NaN marks what lies outside."""
    expected = compare_flow(
        images(),
        settings={
            "rotation_range": 40,
            "fill_mode": "constant",
            "cval": np.nan,
            "interpolation_order": order,
        },
        tolerance=TRANSFORM,
        edges=True,
        batch_size=5,
        seed=8,
    )
    assert 0 < np.isnan(expected.value[0]).mean() < 0.9


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("order", [0, 1, 3])
def test_far_outside_the_image(fill_mode, order):
    """Sources many image sizes away."""
    compare_flow(
        images(height=6, width=5),
        settings={
            "zoom_range": (3, 9),
            "width_shift_range": 40.0,
            "height_shift_range": [25.5, 60.25],
            "fill_mode": fill_mode,
            "interpolation_order": order,
            "cval": 9.0,
        },
        tolerance=TRANSFORM,
        edges=True,
        batch_size=5,
        seed=8,
    )


SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (2, 7), (3, 3), (16, 16), (17, 8), (33, 70)]


by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))


@by_shape
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_any_shape(fill_mode, order, shape):
    height, width = shape
    compare_flow(
        images(n=4, height=height, width=width),
        settings=GEOMETRY | {"fill_mode": fill_mode, "interpolation_order": order, "cval": 50.0},
        tolerance=TRANSFORM,
        edges=True,
        batch_size=4,
        seed=1,
    )


SIDES = [(63, 65), (64, 64), (65, 256), (256, 100), (150, 257)]
MIDDLING = {
    "geometry": GEOMETRY,
    "strong": {"rotation_range": 180, "zoom_range": (0.05, 6), "shear_range": 60},
    "far away": {"width_shift_range": 3000.0, "height_shift_range": [2000.3, 10_000.2]},
}


@pytest.mark.parametrize("transform", MIDDLING.values(), ids=MIDDLING.keys())
@pytest.mark.parametrize("channels", [1, 3, 4, 2])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.filterwarnings("ignore:NumpyArrayIterator is set to use:UserWarning")
def test_middling_images(sides, fill_mode, channels, transform):
    """Noise changes by up to 255 a pixel, so an inexact coordinate shows at once."""
    height, width = sides
    compare_flow(
        images(n=3, height=height, width=width, channels=channels),
        settings=transform | {"fill_mode": fill_mode, "cval": 20.0},
        tolerance=TRANSFORM,
        edges=True,
        batch_size=3,
        batches=1,
        seed=9,
    )


@pytest.mark.parametrize("transform", MIDDLING.values(), ids=MIDDLING.keys())
@pytest.mark.parametrize("sides", [(9, 13), (64, 64), (65, 256), (150, 257)], ids=str)
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("warp", ["fused", "opencv"])
def test_every_engine(warp, fill_mode, order, sides, transform):
    """Each keeps to the contract, or leaves what it cannot do to another."""
    height, width = sides
    compare_flow(
        images(n=2, height=height, width=width),
        settings=transform | {"fill_mode": fill_mode, "interpolation_order": order},
        options={"warp": warp},
        tolerance=TRANSFORM,
        edges=True,
        batch_size=2,
        batches=1,
        seed=9,
    )


@pytest.mark.parametrize("shape", [(317, 643), (2, 40_000), (40_000, 3)], ids=str)
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "constant"])
def test_large_images_lose_no_precision(fill_mode, order, shape):
    height, width = shape
    settings = GEOMETRY if min(shape) > 3 else {"width_shift_range": 0.2, "zoom_range": 0.3}
    compare_flow(
        images(n=2, height=height, width=width),
        settings=settings | {"fill_mode": fill_mode, "interpolation_order": order},
        tolerance=TRANSFORM,
        edges=True,
        batch_size=2,
        batches=2,
        seed=6,
    )


# --------------------------------------------------------------------- channels and data formats


@BOTH_FORMATS
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_any_number_of_channels(channels, order, data_format):
    expected = compare_flow(
        images(channels=channels, data_format=data_format),
        settings=GEOMETRY
        | {"channel_shift_range": 30, "data_format": data_format, "interpolation_order": order},
        tolerance=TRANSFORM,
        edges=True,
        batch_size=4,
        seed=4,
    )
    assert bool(expected.warnings) == (channels not in (1, 3, 4))


# --------------------------------------------------------------------- kinds of input

DTYPES = [
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "int64",
    "uint32",
    "bool",
    "float16",
    "float32",
    "float64",
    ">u2",
    ">i4",
    ">f4",
    ">f8",
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("generator_dtype", ["float32", "float64"])
@pytest.mark.parametrize("transform", [FLIPS, GEOMETRY], ids=["flips", "geometry"])
def test_dtypes(dtype, generator_dtype, transform):
    x = images(dtype="int32").astype("int8") if dtype == "int8" else images(dtype=dtype)
    tolerance = EXACT if transform is FLIPS else TRANSFORM.scaled(pixel_scale(x))
    expected = compare_flow(
        x, LABELS, settings=transform | {"dtype": generator_dtype}, tolerance=tolerance, seed=0
    )
    assert images_of(expected.value[0]).dtype == generator_dtype


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float64"), np.float64, "f4", "double"])
def test_a_dtype_need_not_be_a_string(dtype):
    compare_flow(images(), settings=FLIPS | {"dtype": dtype}, tolerance=EXACT, seed=0)


@pytest.mark.parametrize("dtype", ["float16", "int32", "int64", "longdouble"])
@pytest.mark.parametrize(
    "transform",
    [FLIPS, {"rotation_range": 20}, {"rescale": 2}, {"channel_shift_range": 20}],
    ids=lambda transform: next(iter(transform)),
)
def test_unusual_dtypes_of_the_generator(dtype, transform):
    """Whatever Keras makes of them, be it an error; but float16 is warped, see test_float16."""
    if dtype == "float16" and "rotation_range" in transform:
        transform = {"rotation_range": 0}
    actual, expected = run_both(
        flow_scenario(images(), settings=transform | {"dtype": dtype}, batch_size=4, seed=0),
        stream="untouched",
    )
    if expected.error is None:
        assert_batches_equal(actual.value, expected.value, EXACT)
    else:
        assert next(iter(transform)) in ("rotation_range", "rescale")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize(
    "settings",
    [FLIPS, {"rescale": 0.5}, {"samplewise_center": True}, {"channel_shift_range": 20.0}],
    ids=lambda settings: next(iter(settings)),
)
def test_pixels_that_are_no_numbers(settings, value):
    x = images(dtype="float32")
    x[3, 2, 1, 0] = value
    actual, expected = run_both(
        flow_scenario(x, settings=settings, batch_size=4, seed=0, shuffle=False),
        stream="untouched",
    )
    assert_batches_equal(actual.value, expected.value, STANDARD)
    assert any(np.any(np.abs(batch) > 1e20) or np.any(np.isnan(batch)) for batch in expected.value)


def _memmap(x, folder):
    path = folder / "images.raw"
    x.tofile(path)
    return np.memmap(path, dtype=x.dtype, mode="r", shape=x.shape)


def _read_only(x, folder):
    x = x.copy()
    x.flags.writeable = False
    return x


def _unaligned(x, folder):
    raw = np.empty(x.nbytes + 1, dtype="uint8")[1:]
    view = raw.view(x.dtype).reshape(x.shape)
    view[...] = x
    assert x.dtype.itemsize == 1 or not view.flags.aligned
    return view


LAYOUTS = {
    "every second column, mirrored": lambda x, folder: np.repeat(x, 2, axis=2)[:, :, ::2][:, ::-1],
    "reversed samples": lambda x, folder: x[::-1],
    "every second sample": lambda x, folder: np.repeat(x, 2, axis=0)[::2],
    "transposed": lambda x, folder: np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(
        0, 2, 3, 1
    ),
    "fortran order": lambda x, folder: np.asfortranarray(x),
    "one channel of several": lambda x, folder: np.concatenate([x, x], axis=3)[..., 2:3],
    "one column": lambda x, folder: np.concatenate([x, x], axis=2)[:, :, 4:5],
    "one image, repeated": lambda x, folder: np.broadcast_to(x[:1], x.shape),
    "memory map": _memmap,
    "read only": _read_only,
    "unaligned": _unaligned,
}


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int32"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_memory_layouts(layout, dtype, tmp_path):
    x = layout(images(dtype=dtype), tmp_path)
    before = np.array(x)
    compare_flow(x, LABELS, settings=FLIPS, tolerance=EXACT, batch_size=4, seed=0)
    compare_flow(
        x,
        LABELS,
        settings=GEOMETRY,
        tolerance=TRANSFORM.scaled(pixel_scale(x)),
        batch_size=4,
        seed=0,
    )
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "y",
    [
        LABELS.tolist(),
        tuple(LABELS.tolist()),
        LABELS.astype("float16"),
        np.eye(10, dtype="float32"),
        np.array(list("abcdefghij")),
        np.array([None, 1, "b", 2.5] + [0] * 6, dtype=object),
        [[i, i + 1] for i in range(10)],
        np.arange(10 * 2 * 3).reshape(10, 2, 3)[:, ::-1],
        np.arange(10)[::-1],
        images(dtype="float32"),
    ],
    ids=[
        "list",
        "tuple",
        "float16",
        "one-hot",
        "strings",
        "objects",
        "nested lists",
        "rank 3",
        "reversed",
        "images",
    ],
)
def test_labels_of_any_kind(y):
    expected = compare_flow(images(), y, settings=FLIPS, tolerance=EXACT, batch_size=4, seed=0)
    assert type(expected.value[0]) is tuple


WEIGHTS = np.linspace(0, 1, 10)
EXTRA = np.arange(20).reshape(10, 2)


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize(
    ("extra", "y", "sample_weight"),
    [
        (None, None, None),
        (None, LABELS, None),
        (None, LABELS, WEIGHTS),
        (None, LABELS, WEIGHTS.tolist()),
        (None, None, WEIGHTS),
        (EXTRA, None, None),
        (EXTRA, LABELS, None),
        (EXTRA, LABELS, WEIGHTS),
        ([EXTRA], LABELS, None),
        ([EXTRA, EXTRA[:, 0] * 2.5], LABELS, WEIGHTS),
        ([EXTRA.tolist(), images(seed=8)], LABELS, None),
        (images(seed=8), None, WEIGHTS),
    ],
)
def test_structures_of_a_batch(extra, y, sample_weight, seed):
    x = images() if extra is None else [images(), extra]
    arguments = {
        "settings": FLIPS,
        "tolerance": EXACT,
        "batch_size": 4,
        "seed": seed,
        "sample_weight": sample_weight,
    }
    compare_flow(x, y, **arguments)
    if extra is not None:
        compare_flow(tuple(x), y, **arguments)


def test_a_list_of_images_is_refused_as_in_keras():
    """Keras takes a list for an array with extra inputs."""
    message = assert_same_error(flow_scenario(list(images()), settings=FLIPS), ValueError)
    assert "rank 4" in str(message)


def test_nested_lists_beside_an_extra_input():
    """Keras converts such a list and then fails on it; here it is what its array would be."""
    flow = {"settings": FLIPS, "seed": 0, "batch_size": 4}
    listed, array = (
        run(flow_scenario([x, EXTRA], LABELS, **flow), fastaug_library())
        for x in (images(dtype="float64").tolist(), images(dtype="float64"))
    )
    assert listed.error is None
    assert_batches_equal(listed.value, array.value)


# --------------------------------------------------------------------- order and batches


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("seed", [None, 0, 123, 2**32 - 40, np.int64(9)])
@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 25])
def test_order_and_sizes_over_three_epochs(batch_size, seed, shuffle):
    length = -(-10 // batch_size)
    expected = compare_flow(
        images(height=3, width=4),
        LABELS,
        settings=FLIPS,
        tolerance=EXACT,
        batch_size=batch_size,
        seed=seed,
        shuffle=shuffle,
        batches=3 * length,
    )
    labels = np.concatenate([y for _, y in expected.value]).reshape(3, 10)
    np.testing.assert_array_equal(np.sort(labels, axis=1), np.tile(LABELS, (3, 1)))
    assert (labels != LABELS).any() == shuffle


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("n", [1, 2])
def test_very_few_images(n, seed):
    compare_flow(
        images(n=n), settings=GEOMETRY, tolerance=TRANSFORM, batch_size=2, batches=5, seed=seed
    )


def test_positional_arguments_mean_what_they_mean_in_keras():
    def scenario(library):
        generator = library.generator(False, False, False, False, False, 1e-6, 30, 0.1, 0.2)
        iterator = generator.flow(images(), LABELS, 4, False, WEIGHTS, 77)
        try:
            return take(iterator, 3)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="untouched")
    assert_batches_equal(actual.value, expected.value, TRANSFORM)


# --------------------------------------------------------------------- subsets


@pytest.mark.parametrize("subset", ["training", "validation"])
@pytest.mark.parametrize("split", [0.1, 0.25, 0.5, 0.999])
@pytest.mark.parametrize(
    ("extra", "y", "sample_weight"),
    [
        (None, None, None),
        (None, np.zeros(10), None),
        (None, np.zeros(10), WEIGHTS),
        ([EXTRA, EXTRA[:, 0]], np.zeros(10).tolist(), WEIGHTS),
    ],
)
def test_subsets(subset, split, extra, y, sample_weight):
    compare_flow(
        images() if extra is None else [images(), extra],
        y,
        settings=FLIPS | {"validation_split": split},
        tolerance=EXACT,
        subset=subset,
        sample_weight=sample_weight,
        batch_size=3,
        seed=3,
        batches=7,
        usage=subset == "validation",
    )


@pytest.mark.parametrize("subset", ["training", "validation"])
def test_ignore_class_split(subset):
    expected = compare_flow(
        images(),
        LABELS,
        settings=FLIPS | {"validation_split": 0.3},
        tolerance=EXACT,
        subset=subset,
        ignore_class_split=True,
        shuffle=False,
        batch_size=16,
        seed=3,
        batches=1,
        usage=subset == "validation",
    )
    kept = LABELS[:3] if subset == "validation" else LABELS[3:]
    np.testing.assert_array_equal(expected.value[0][1], kept)


# --------------------------------------------------------------------- brightness


def _smooth(n=6, height=40, width=52, channels=3, scale=1.0, offset=0.0):
    """Smooth images: what a photograph is, unlike noise."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width][..., None]
    phase = rng.random((n, 1, 1, channels)) * 6
    pixels = 127.5 + 127.4 * np.sin(0.11 * y + 0.07 * x + phase)
    return (pixels * scale + offset).astype("float32")


@pytest.mark.parametrize("brightness", [(0.3, 1.0), (1.0, 2.0), (0, 3), [1, 1], (-0.5, 0.5)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "bool"])
def test_brightness_alone_is_exact(brightness, channels, dtype):
    compare_flow(
        images(channels=channels, dtype=dtype),
        settings={"brightness_range": brightness, "horizontal_flip": True},
        tolerance=EXACT,
        batch_size=4,
        seed=0,
    )


@pytest.mark.parametrize("dtype", ["int32", "uint16"])
@pytest.mark.parametrize("generator_dtype", ["float32", "float64"])
def test_brightness_beyond_the_bytes_is_rescaled(dtype, generator_dtype):
    x = images(dtype=dtype)
    compare_flow(
        x,
        settings={"brightness_range": (0.4, 1.3), "dtype": generator_dtype},
        tolerance=Tolerance(relative=1e-6, level=np.ptp(x) / 255, fraction=0.005),
        batch_size=4,
        seed=0,
    )


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (2, -100)], ids=["bytes", "wider"])
def test_brightness_after_geometry(order, fill_mode, scale, offset):
    geometry = {"rotation_range": 25, "zoom_range": 0.2, "width_shift_range": 0.1}
    compare_flow(
        _smooth(scale=scale, offset=offset),
        settings=geometry
        | {
            "brightness_range": (0.4, 1.0),
            "channel_shift_range": 20,
            "interpolation_order": order,
            "fill_mode": fill_mode,
        },
        tolerance=BRIGHTNESS.scaled(scale),
        batch_size=6,
        seed=0,
    )


def test_brightness_of_bytes_after_geometry():
    compare_flow(
        np.round(_smooth()).astype("uint8"),
        settings=GEOMETRY | {"brightness_range": (0.4, 1.0)},
        tolerance=BRIGHTNESS,
        batch_size=6,
        seed=0,
    )


@pytest.mark.parametrize(
    ("height", "width", "channels"), [(6, 4, 3), (6, 3, 3), (5, 1, 1), (6, 8, 3)]
)
def test_brightness_takes_the_last_axis_for_channels(height, width, channels):
    """Keras turns the image into a picture of the global format, whatever its own format is."""

    def scenario(library):
        generator = library.generator(brightness_range=(0.5, 0.9), data_format="channels_first")
        iterator = generator.flow(
            images(height=height, width=width, channels=channels, data_format="channels_first"),
            seed=0,
            batch_size=4,
        )
        try:
            return take(iterator, 2)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream=None)
    assert (expected.error is not None) == (width == 8)
    if expected.error is None:
        assert_batches_equal(actual.value, expected.value, EXACT)


def test_brightness_follows_the_global_data_format(keras_config):
    keras_config.set_image_data_format("channels_first")
    compare_flow(
        images(data_format="channels_first"),
        settings={"brightness_range": (0.5, 1.5)},
        tolerance=EXACT,
        seed=0,
    )


@pytest.mark.parametrize("channels", [2, 5])
def test_brightness_of_a_number_of_channels_without_a_picture(channels):
    error = assert_same_error(
        flow_scenario(images(channels=channels), settings={"brightness_range": (0.5, 1)}, seed=1),
        ValueError,
    )
    assert str(error) == f"Unsupported channel number: {channels}"


# --------------------------------------------------------------------- standardizing

NORMALISING = {
    "rescale": {"rescale": 1 / 255},
    "rescale int": {"rescale": 2},
    "rescale none": {"rescale": 0},
    "samplewise center": {"samplewise_center": True},
    "samplewise both": {"samplewise_center": True, "samplewise_std_normalization": True},
    "featurewise center": {"featurewise_center": True},
    "featurewise both": {"featurewise_center": True, "featurewise_std_normalization": True},
    "all but whitening": {
        "rescale": 1 / 127.5,
        "samplewise_center": True,
        "samplewise_std_normalization": True,
        "featurewise_center": True,
        "featurewise_std_normalization": True,
    },
    "whitening": {"zca_whitening": True, "featurewise_center": True},
    "whitening of rescaled": {
        "zca_whitening": True,
        "featurewise_center": True,
        "zca_epsilon": 1e-3,
        "rescale": 1 / 255,
    },
}


@BOTH_FORMATS
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int32"])
@pytest.mark.parametrize("generator_dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalising", NORMALISING.values(), ids=NORMALISING.keys())
def test_standardizing(normalising, dtype, generator_dtype, data_format):
    shape = {"height": 4, "width": 3, "data_format": data_format}
    compare_flow(
        images(n=7, dtype=dtype, **shape),
        settings=normalising
        | {"data_format": data_format, "dtype": generator_dtype, "horizontal_flip": True},
        tolerance=STANDARD,
        fit_on=images(n=120, dtype=dtype, seed=5, **shape),
        batch_size=4,
        seed=0,
    )


@pytest.mark.parametrize("normalising", NORMALISING.values(), ids=NORMALISING.keys())
def test_standardizing_after_geometry(normalising):
    """An error of the pixels is magnified by the standardization at most as computed here."""
    fit_on = images(n=400, height=5, width=4, seed=5)
    library = keras_library()
    generator = library.generator(**normalising)
    generator.fit(fit_on)
    factor = abs(normalising.get("rescale") or 1.0)
    if normalising.get("samplewise_std_normalization"):
        factor = 1 / 20
    if generator.std is not None:
        factor /= generator.std.min()
    if generator.zca_whitening_matrix is not None:
        factor *= np.abs(generator.zca_whitening_matrix).sum(axis=0).max()
    tolerance = Tolerance(absolute=0.01 * factor, relative=1e-5)
    expected = compare_flow(
        images(n=7, height=5, width=4),
        settings=normalising | GEOMETRY,
        tolerance=tolerance,
        fit_on=fit_on,
        batch_size=4,
        seed=0,
    )
    assert tolerance.absolute < 0.05 * max(np.abs(batch).max() for batch in expected.value)


def test_flat_images_are_not_divided_by_zero():
    x = np.full((4, 5, 6, 3), 77, dtype="uint8")
    compare_flow(
        x,
        settings={
            "samplewise_center": True,
            "samplewise_std_normalization": True,
            "rotation_range": 10,
        },
        tolerance=Tolerance(absolute=1e-3),
        seed=0,
    )


# --------------------------------------------------------------------- preprocessing_function


def to_unit(image):
    return (image / 255.0 - 0.5) * 2


def to_float64(image):
    return image.astype("float64") * 1.5


def in_place(image):
    image *= 0.5
    image += 1
    return image


def to_uint8(image):
    return image.astype("uint8")


def one_number(image):
    return image.mean()


def one_channel(image):
    return image[..., :1]


def mirrored_view(image):
    return image[:, ::-1]


def a_list(image):
    return image.tolist()


FUNCTIONS = [
    to_unit,
    to_float64,
    in_place,
    to_uint8,
    one_number,
    one_channel,
    mirrored_view,
    a_list,
    np.sqrt,
]


@pytest.mark.parametrize("seed", [None, 21])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_preprocessing_functions(function, dtype, seed):
    x = images(dtype=dtype)
    before = x.copy()
    compare_flow(
        x,
        LABELS,
        settings=FLIPS | {"preprocessing_function": function},
        tolerance=STANDARD,
        batch_size=4,
        seed=seed,
    )
    np.testing.assert_array_equal(x, before)


def now_and_then_drawing(image):
    return image * np.float32(np.random.random()) if image[0, 0, 0] > 128 else image


def now_and_then_float64(image):
    return image.astype("float64") if image[0, 0, 0] > 128 else image


@pytest.mark.parametrize("seed", [None, 2])
@pytest.mark.parametrize(
    "function",
    [to_unit, to_float64, in_place, mirrored_view, now_and_then_float64, now_and_then_drawing],
    ids=lambda f: f.__name__,
)
def test_preprocessing_comes_before_standardizing(function, seed):
    compare_flow(
        images(),
        settings=FLIPS
        | {
            "preprocessing_function": function,
            "rescale": 1 / 255,
            "samplewise_center": True,
            "samplewise_std_normalization": True,
        },
        tolerance=STANDARD,
        batch_size=4,
        seed=seed,
    )


@pytest.mark.parametrize("function", [to_unit, in_place], ids=lambda f: f.__name__)
def test_preprocessing_after_geometry(function):
    compare_flow(
        images(),
        settings=GEOMETRY | {"preprocessing_function": function, "channel_shift_range": 10},
        tolerance=TRANSFORM,
        batch_size=4,
        seed=2,
    )


def noisy(image):
    """An odd number of normal deviates: one is kept for the next call."""
    return image + np.random.normal(size=image.shape) * np.random.randint(1, 4)


def sometimes_noisy(image):
    return image + np.random.random() if image[0, 0, 0] > 128 else image


def rarely_noisy(image):
    return image + np.random.random(3) if image[0, 0, 0] > 220 else image


def reseeding(image):
    np.random.seed(int(image[0, 0, 0]))
    return image * np.random.random()


def drawing_and_putting_back(image):
    state = np.random.get_state()
    image = image * np.random.random()
    np.random.set_state(state)
    return image


DRAWING = [noisy, sometimes_noisy, rarely_noisy, reseeding, drawing_and_putting_back]


@pytest.mark.parametrize("options", [{}, {"workers": 0, "prefetch": 0}, {"prefetch": 4}], ids=str)
@pytest.mark.parametrize("seed", [None, 6])
@pytest.mark.parametrize("batch_size", [3, 4])
@pytest.mark.parametrize("function", DRAWING, ids=lambda function: function.__name__)
@pytest.mark.parametrize("choices", [False, True], ids=["fractions", "choices"])
def test_preprocessing_that_draws_from_the_global_stream(
    choices, function, batch_size, seed, options
):
    """It sees the stream where Keras has left it: after the draws for its own image."""
    assert 9 * 13 * 3 % 2 == 1
    shift = {"width_shift_range": [1, 2]} if choices else {}

    def scenario(library):
        generator = library.generator(
            **GEOMETRY | shift, channel_shift_range=5.0, preprocessing_function=function
        )
        iterator = generator.flow(images(), LABELS, batch_size=batch_size, seed=seed)
        try:
            batches = take(iterator, 7)
            iterator.on_epoch_end()
            return batches + [iterator[1], iterator[0], next(iterator)]
        finally:
            library.close(iterator)

    actual, expected = run_both(
        scenario, options=options, stream="keras" if seed is None else "untouched"
    )
    assert_batches_equal(actual.value, expected.value, TRANSFORM)


@pytest.mark.parametrize("size", [8, 300], ids=["small", "large"])
@pytest.mark.parametrize(
    "keeps", ["it", "a view", "a view of a view", "memoryview", "from the 5th"]
)
@pytest.mark.parametrize("returns_its_argument", [True, False])
def test_preprocessing_may_keep_the_images_it_was_given(returns_its_argument, keeps, size):
    """Kept images are never written over by later ones, nor by what the function makes of them."""

    def scenario(library):
        kept, calls = [], itertools.count()

        def keep(image):
            if keeps == "every other":
                if next(calls) % 2:
                    return image
                kept.append(image)
            elif keeps == "a view":
                kept.append(image[::-1, :, :2])
            elif keeps == "a view of a view":
                kept.append(image[2:][:, 1])
            elif keeps == "memoryview":
                kept.append(memoryview(image))
            elif keeps == "it" or next(calls) >= 5:
                kept.append(image)
            return image if returns_its_argument else image * 2

        generator = library.generator(**FLIPS, preprocessing_function=keep)
        iterator = generator.flow(images(6, size, size), batch_size=4, seed=1, shuffle=False)
        try:
            batches = take(iterator, 4)
        finally:
            library.close(iterator)
        return batches, [np.array(image) for image in kept[:11]]

    actual, expected = run_both(scenario, stream="untouched")
    assert_batches_equal(actual.value[0], expected.value[0], EXACT)
    assert len(expected.value[1]) >= 5
    assert_same(actual.value[1], expected.value[1])


@pytest.mark.parametrize("function", [in_place, np.negative], ids=["in place", "anew"])
def test_a_function_that_keeps_nothing_needs_no_second_batch(function):
    with fastaug.ImageDataGenerator(preprocessing_function=function).flow(images()) as iterator:
        take(iterator, 3)
        assert iterator._maker._finisher.calls._keeps is None


def now_and_then_reversed_view(image):
    return image[::-1] if image[0, 0, 0] > 128 else image


@pytest.mark.parametrize("size", [8, 300], ids=["small", "large"])
@pytest.mark.parametrize(
    "function",
    [mirrored_view, in_place, one_channel, now_and_then_reversed_view],
    ids=lambda f: f.__name__,
)
def test_preprocessing_that_returns_its_argument_or_a_view(function, size):
    compare_flow(
        images(6, size, size),
        settings=FLIPS | {"preprocessing_function": function, "rescale": 1 / 255},
        batch_size=4,
        seed=1,
        batches=4,
    )


def test_preprocessing_is_given_one_writable_float_image_in_order():
    def scenario(library):
        seen = []

        def note(image):
            seen.append((type(image), image.dtype, image.shape, image.flags.writeable, image[0, 0]))
            return image

        generator = library.generator(preprocessing_function=note)
        iterator = generator.flow(images(), batch_size=4, seed=1)
        try:
            take(iterator, 3)
        finally:
            library.close(iterator)
        return seen[:10]

    actual, expected = run_both(scenario, stream="untouched")
    assert len(expected.value) == 10
    assert_same(actual.value, expected.value)


def wrong_shape(image):
    return image[:-1]


def wrong_rank(image):
    return np.stack([image, image])


def no_array(image):
    return "image"


@pytest.mark.parametrize("function", [wrong_shape, wrong_rank, no_array])
def test_preprocessing_with_an_unusable_result(function):
    assert_same_error(
        flow_scenario(images(), settings={"preprocessing_function": function}, seed=0), ValueError
    )


def test_preprocessing_to_integers_cannot_be_rescaled_in_place():
    assert_same_error(
        flow_scenario(
            images(), settings={"preprocessing_function": to_uint8, "rescale": 0.5}, seed=0
        ),
        TypeError,
    )


# --------------------------------------------------------------------- save_to_dir


def _save(library, folder, x, generator_settings, **flow):
    """Names of the files after each batch, and the pictures at the end."""
    from PIL import Image

    folder = folder / library.name
    folder.mkdir()
    generator = library.generator(**generator_settings)
    iterator = generator.flow(x, save_to_dir=str(folder), **flow)
    names = []
    try:
        for _ in range(4):
            next(iterator)
            names.append(sorted(path.name for path in folder.iterdir()))
    finally:
        library.close(iterator)
    pictures = {name: Image.open(folder / name) for name in names[-1]}
    modes = [(name, picture.format, picture.mode) for name, picture in pictures.items()]
    return names, modes, {name: np.asarray(picture) for name, picture in pictures.items()}


@pytest.mark.parametrize("seed", [None, 12])
@pytest.mark.parametrize(
    ("save_format", "save_prefix"), [("png", ""), ("jpeg", "aug"), ("bmp", "a_b")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_saved_pictures(save_format, save_prefix, channels, seed, tmp_path):
    x = images(channels=channels)
    actual, expected = run_both(
        lambda library: _save(
            library,
            tmp_path,
            x,
            FLIPS | {"rescale": 1 / 255},
            batch_size=4,
            seed=seed,
            save_format=save_format,
            save_prefix=save_prefix,
        ),
        stream="keras" if seed is None else "untouched",
    )
    assert len(expected.value[2]) > 10
    assert_same(actual.value, expected.value)


@BOTH_FORMATS
def test_saved_pictures_after_geometry(data_format, tmp_path):
    x = images(data_format=data_format)
    actual, expected = run_both(
        lambda library: _save(
            library, tmp_path, x, GEOMETRY | {"data_format": data_format}, batch_size=4, seed=0
        ),
        stream="untouched",
    )
    assert_same(actual.value[:2], expected.value[:2])
    assert expected.value[2]
    for name, picture in expected.value[2].items():
        difference = actual.value[2][name].astype(int) - picture
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("seed", [None, 12])
@pytest.mark.parametrize("options", [{}, {"workers": 0, "prefetch": 0}, {"prefetch": 4}], ids=str)
def test_saving_begun_and_ended_on_the_way(options, seed, tmp_path):
    """The names are drawn from the stream, so that the batches themselves depend on it."""

    def scenario(library):
        folder = tmp_path / library.name
        folder.mkdir()
        iterator = library.generator(**FLIPS).flow(images(), LABELS, batch_size=4, seed=seed)
        try:
            batches = take(iterator, 2)
            iterator.save_to_dir = str(folder)
            batches += take(iterator, 3)
            iterator.save_to_dir = None
            batches += take(iterator, 2)
            iterator.save_prefix, iterator.save_to_dir = "late", str(folder)
            return batches + take(iterator, 2), sorted(path.name for path in folder.iterdir())
        finally:
            library.close(iterator)

    actual, expected = run_both(
        scenario, options=options, stream="keras" if seed is None else "untouched"
    )
    assert len(expected.value[1]) > 10
    assert_same(actual.value, expected.value)


def test_saving_to_a_missing_folder(tmp_path):
    error = assert_same_error(
        flow_scenario(images(), settings={}, seed=0, save_to_dir=str(tmp_path / "missing")),
        FileNotFoundError,
    )
    assert "missing" in str(error)


# --------------------------------------------------------------------- independence


def test_batches_are_owned_by_the_caller():
    """A batch is writable memory of its own that later batches neither share nor change."""
    x = images(dtype="float32")
    library = fastaug_library({"workers": 2, "prefetch": 2})
    iterator = library.generator(**FLIPS).flow([x, EXTRA], LABELS, batch_size=4, seed=0)
    try:
        batches = take(iterator, 6)
        copies = [(images_of(b).copy(), b[0][1].copy(), b[1].copy()) for b in batches]
        take(iterator, 6)
        for ([first, second], y), copy in zip(batches, copies, strict=True):
            assert first.flags.c_contiguous and first.flags.writeable
            assert_same((first, second, y), copy)
            assert not np.shares_memory(first, x)
        for a, b in itertools.combinations([images_of(batch) for batch in batches], 2):
            assert not np.shares_memory(a, b)
        before = x.copy(), EXTRA.copy(), LABELS.copy()
        for [first, second], y in batches:
            first[...] = -1
            second[...] = -1
            y[...] = -1
        iterator.reset()
        take(iterator, 3)
        assert_same((x, EXTRA, LABELS), before)
        assert all(np.all(images_of(batch) == -1) for batch in batches)
        assert not np.any(images_of(next(iterator)) == -1)
    finally:
        iterator.close()


EXECUTION_SETTINGS = {
    "geometry": GEOMETRY | {"channel_shift_range": 20},
    "splines": {"rotation_range": 30, "interpolation_order": 3, "fill_mode": "reflect"},
    "brightness": {"brightness_range": (0.5, 1.0), "horizontal_flip": True},
    "standardized": {"samplewise_center": True, "samplewise_std_normalization": True} | GEOMETRY,
    "function": {"preprocessing_function": to_unit, "rotation_range": 20},
}


@pytest.mark.parametrize("seed", [None, 31])
@pytest.mark.parametrize("transform", EXECUTION_SETTINGS.values(), ids=EXECUTION_SETTINGS.keys())
@pytest.mark.parametrize("execution", EXECUTIONS, ids=str)
def test_results_never_depend_on_how_the_work_is_done(execution, transform, seed):
    """Bit for bit the same for any number of threads, any prefetching and any pool."""
    x = images(n=13, height=64, width=80)  # large enough for a batch to be cut
    scenario = flow_scenario(x, np.arange(13), settings=transform, batch_size=8, seed=seed)
    alone = run(scenario, fastaug_library({"workers": 0, "prefetch": 0}))
    expected = run(scenario, keras_library())
    with open_execution(execution) as options:
        actual = run(scenario, fastaug_library(options))
    for result in (alone, expected, actual):
        if result.error is not None:
            raise result.error
    assert_same(actual.value, alone.value)
    assert_same(actual.stream, alone.stream)
    if seed is None:
        assert_same(actual.stream, expected.stream)
    factor = 0.1 if "samplewise_center" in transform else 1
    assert_batches_equal(actual.value, expected.value, TRANSFORM.scaled(factor))


@pytest.mark.parametrize("execution", EXECUTIONS, ids=str)
def test_the_kind_of_execution_is_no_matter_to_subsets_and_saving(execution, tmp_path):
    with open_execution(execution) as options:
        actual, expected = run_both(
            lambda library: _save(
                library,
                tmp_path,
                [images(n=12), np.arange(12)],
                FLIPS | {"validation_split": 0.25},
                subset="training",
                batch_size=4,
            ),
            options=options,
        )
    assert_same(actual.value, expected.value)


# --------------------------------------------------------------------- anything at all

any_flow = st.fixed_dictionaries(
    {
        "height": st.integers(1, 12),
        "width": st.integers(1, 12),
        "channels": st.sampled_from([1, 3, 4]),
        "dtype": st.sampled_from(["uint8", "float32", "int32"]),
        "n": st.integers(1, 6),
    }
)
any_transform = st.fixed_dictionaries(
    {},
    optional={
        "rotation_range": st.integers(0, 180),
        "width_shift_range": st.one_of(st.floats(0, 2), st.integers(0, 5)),
        "height_shift_range": st.one_of(st.floats(0, 2), st.lists(st.integers(-4, 4), max_size=3)),
        "shear_range": st.floats(0, 60),
        "zoom_range": st.tuples(st.floats(0.3, 1), st.floats(1, 3)),
        "channel_shift_range": st.floats(0, 90),
        "horizontal_flip": st.booleans(),
        "vertical_flip": st.booleans(),
        "fill_mode": st.sampled_from(["nearest", "reflect", "mirror", "grid-wrap"]),
        "interpolation_order": st.sampled_from([1, 1, 3]),
        "rescale": st.sampled_from([None, 1 / 255]),
        "dtype": st.sampled_from(["float32", "float64"]),
    },
)


@settings(max_examples=60)
@given(
    shape=any_flow,
    transform=any_transform,
    batch_size=st.integers(1, 7),
    shuffle=st.booleans(),
    seed=st.one_of(st.none(), st.integers(0, 10_000)),
    workers=st.integers(0, 3),
    prefetch=st.integers(0, 3),
)
def test_any_flow(shape, transform, batch_size, shuffle, seed, workers, prefetch):
    x = images(**shape)
    factor = max(pixel_scale(x), 1e-3) * (transform.get("rescale") or 1)
    compare_flow(
        x,
        np.arange(len(x)),
        settings=transform,
        tolerance=TRANSFORM.scaled(factor),
        options={"workers": workers, "prefetch": prefetch},
        active=False,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
    )
