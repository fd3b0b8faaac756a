"""Single images: the functional names, the generator's own transforms, and the image helpers."""

import inspect
import io
import itertools
import math
import re

import numpy as np
import pytest
from PIL import Image
from reference import (
    EXACT,
    FUNCTIONS,
    IMAGE_HELPERS,
    TRANSFORM,
    Tolerance,
    assert_images_close,
    assert_same,
    assert_same_error,
    decision_edges,
    fastaug_library,
    images,
    keras_library,
    pixel_scale,
    run_both,
    source_coordinates,
)
from scipy import ndimage

LAST = {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
FIRST = {"row_axis": 1, "col_axis": 2, "channel_axis": 0}
AXES = pytest.mark.parametrize("axes", [LAST, FIRST, {}], ids=["last", "first", "default"])
NEUTRAL = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1}
UNFLIPPED = {"flip_horizontal": False, "flip_vertical": False}

PARAMETERS = {
    "none": {},
    "theta": {"theta": 33.0},
    "quarter turn": {"theta": 90},
    "half turn": {"theta": 180},
    "tx": {"tx": 2.4},
    "ty": {"ty": -1.6},
    "whole pixels": {"tx": 2, "ty": -3},
    "shear": {"shear": 21.0},
    "zx": {"zx": 0.7},
    "zy": {"zy": 1.9},
    "mirrored by zoom": {"zx": -1, "zy": 1},
    "all": {"theta": -50, "tx": 1.5, "ty": 2.5, "shear": 14, "zx": 1.2, "zy": 0.6},
}


def image(axes=LAST, dtype="float32", height=8, width=11, channels=3):
    data_format = "channels_last" if axes is LAST else "channels_first"
    return images(1, height, width, channels, dtype, data_format)[0]


def compare_image(function, *, tolerance=TRANSFORM, excluded=None, stream="keras"):
    """Both libraries' images, which must be new or the same object alike; returns Keras's."""
    actual, expected = run_both(function, stream=stream)
    assert expected.error is None, repr(expected.error)
    assert_images_close(actual.value, expected.value, tolerance, excluded)
    return expected.value


# --------------------------------------------------------------------- apply_affine_transform


@AXES
@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS.keys())
@pytest.mark.parametrize("order", range(6))
def test_affine_parameters(parameters, order, axes):
    x = image(axes, width=12)
    edges = decision_edges(8, 12, NEUTRAL | UNFLIPPED | parameters, "nearest", order)
    assert edges.mean() < 0.02
    compare_image(
        lambda library: library.apply_affine_transform(x, **parameters, **axes, order=order),
        excluded=edges[..., None] if axes is LAST else edges[None],
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int32", "uint16", "bool"])
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "constant", "wrap", "grid-wrap"])
def test_affine_dtypes(fill_mode, order, dtype):
    """Integers come out as SciPy rounds them: at most one level at a very near decision."""
    x = image(dtype=dtype)
    whole = np.dtype(dtype).kind in "uib"
    tolerance = TRANSFORM.scaled(pixel_scale(x))
    if whole and order:
        tolerance = Tolerance(level=1.0, fraction=0.01)
    compare_image(
        lambda library: library.apply_affine_transform(
            x,
            theta=20,
            tx=1.3,
            ty=0.4,
            zx=1.5,
            **LAST,
            fill_mode=fill_mode,
            cval=1.0,
            order=order,
        ),
        tolerance=EXACT if whole and order == 0 else tolerance,
    )


@pytest.mark.parametrize("fill_mode", ["constant", "grid-constant"])
def test_affine_cval(fill_mode):
    x = image()
    result = compare_image(
        lambda library: library.apply_affine_transform(
            x, tx=30.0, **LAST, fill_mode=fill_mode, cval=77.5
        )
    )
    assert np.all(result == 77.5)


def test_affine_positional_arguments():
    x = image(FIRST)
    compare_image(
        lambda library: library.apply_affine_transform(
            x, 20, 1, 2, 5, 0.9, 1.1, 1, 2, 0, "reflect", 3.0, 1
        )
    )


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))), ids=str)
def test_affine_axes_in_any_order(axes):
    """Rows and columns may change places; channels must be first or last."""
    x = image(height=6, width=6, channels=6)

    def scenario(library):
        return library.apply_affine_transform(x, theta=25, tx=1.0, zx=1.3, **axes_by_name)

    axes_by_name = dict(zip(("row_axis", "col_axis", "channel_axis"), axes, strict=True))
    if axes[2] == 1:
        assert_same_error(scenario, ValueError)
    else:
        compare_image(scenario)


@pytest.mark.parametrize(
    "arguments",
    [
        {"row_axis": 0, "col_axis": 0, "channel_axis": 2},
        {"row_axis": 1, "col_axis": 2, "channel_axis": 2},
        {"row_axis": 1, "col_axis": 2, "channel_axis": 3},
        {"row_axis": -3, "col_axis": -2, "channel_axis": -1},
        {"row_axis": 0, "col_axis": 2, "channel_axis": 1},
    ],
)
def test_affine_bad_axes(arguments):
    assert_same_error(
        lambda library: library.apply_affine_transform(image(), theta=5, **arguments), ValueError
    )


@pytest.mark.parametrize("shape", [(8, 9), (2, 8, 9, 3), (8,)])
def test_affine_bad_rank(shape):
    error = assert_same_error(
        lambda library: library.apply_affine_transform(np.zeros(shape), theta=5), ValueError
    )
    assert "multi-channel 2D images" in str(error)


@pytest.mark.parametrize("arguments", [{"order": 6}, {"order": -1}, {"fill_mode": "bogus"}])
def test_affine_bad_interpolation(arguments):
    def scenario(library):
        return library.apply_affine_transform(image(), theta=5, **LAST, **arguments)

    actual, expected = run_both(lambda library: _type_of_error(scenario, library))
    assert actual.value is expected.value is RuntimeError


def _type_of_error(scenario, library):
    try:
        scenario(library)
    except Exception as error:
        return type(error)
    return None


def test_affine_without_geometry_returns_its_argument():
    x = image()
    for library in (fastaug_library(), keras_library()):
        assert library.apply_affine_transform(x, **LAST) is x


def test_affine_leaves_its_argument_alone():
    x = image()
    before = x.copy()
    result = fastaug_library().apply_affine_transform(x, theta=45, **LAST)
    assert not np.shares_memory(result, x)
    np.testing.assert_array_equal(x, before)
    assert np.any(result != before)


def test_a_quarter_turn_of_a_square_is_a_transpose_and_a_flip():
    x = image(height=9, width=9)
    turned = fastaug_library().apply_affine_transform(x, theta=90, **LAST, order=1)
    np.testing.assert_allclose(turned, np.rot90(x), atol=0.01)
    assert np.abs(np.rot90(x, 1) - np.rot90(x, -1)).max() > 1


@pytest.mark.parametrize("layout", ["transposed", "strided", "big-endian", "read only"])
def test_affine_memory_layouts(layout):
    x = {
        "transposed": image(FIRST).transpose(1, 2, 0),
        "strided": np.repeat(image(), 3, axis=1)[:, ::3][::-1],
        "big-endian": image().astype(">f4"),
        "read only": image().copy(),
    }[layout]
    if layout == "read only":
        x.flags.writeable = False
    compare_image(lambda library: library.apply_affine_transform(x, theta=31, zy=0.8, **LAST))


@pytest.mark.parametrize("parameters", list(PARAMETERS.values())[1:], ids=list(PARAMETERS)[1:])
@pytest.mark.parametrize(("height", "width"), [(8, 11), (11, 8), (9, 9)])
def test_the_independent_coordinates_are_keras_s(parameters, height, width):
    """The helper that decides which pixels to leave out agrees with Keras's matrices."""
    x = image(height=height, width=width, channels=1)
    expected = keras_library().apply_affine_transform(x, **parameters, **LAST)
    rows, columns = source_coordinates(height, width, NEUTRAL | parameters)
    sampled = ndimage.map_coordinates(x[..., 0], [rows, columns], order=1, mode="nearest")
    np.testing.assert_allclose(sampled, expected[..., 0], atol=1e-3)


def test_decision_edges_are_found():
    shift = NEUTRAL | UNFLIPPED | {"tx": 0.5}
    assert decision_edges(4, 5, shift, "nearest", 0).all()
    assert not decision_edges(4, 5, shift, "nearest", 1).any()
    whole = NEUTRAL | UNFLIPPED | {"tx": 1}
    edges = decision_edges(4, 5, whole, "constant", 1)
    # Rows 0 and 3 lie on the border; so do the columns that come from 0 and 4.
    assert edges[[0, 3]].all() and edges[:, 3].all() and not edges[1:3, :3].any()
    flipped = decision_edges(4, 5, whole | {"flip_horizontal": True}, "constant", 1)
    np.testing.assert_array_equal(flipped, edges[:, ::-1])
    assert not decision_edges(4, 5, NEUTRAL | UNFLIPPED, "constant", 0).any()


# --------------------------------------------------------------------- the random functions


RANDOM = {
    "random_rotation": [(30,), (0,), (-12.5,)],
    "random_shift": [(0.2, 0.3), (0, 0), (0.5, 0.0), (2, 1)],
    "random_shear": [(20,), (0.0,)],
    "random_zoom": [((0.6, 1.5),), ([1, 1],), ([0.9, 0.9],)],
}


@AXES
@pytest.mark.parametrize(
    ("name", "arguments"), [(name, a) for name, several in RANDOM.items() for a in several]
)
def test_random_geometry(name, arguments, axes):
    x = image(axes)
    compare_image(lambda library: getattr(library, name)(x, *arguments, **axes))


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "constant", "wrap"])
def test_random_geometry_settings(name, order, fill_mode):
    x = image()
    arguments = RANDOM[name][0]
    result = compare_image(
        lambda library: getattr(library, name)(
            x, *arguments, 0, 1, 2, fill_mode, 5.0, interpolation_order=order
        )
    )
    assert np.any(result != x)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int32"])
@pytest.mark.parametrize("intensity", [20, -33.3, 0, 500.0])
def test_channel_shift(axis, dtype, intensity):
    x = image(dtype=dtype)
    compare_image(
        lambda library: library.apply_channel_shift(x, intensity, axis),
        tolerance=Tolerance(relative=1e-6),
    )


def test_channel_shift_default_axis_and_argument():
    x = image()
    before = x.copy()
    result = compare_image(lambda library: library.apply_channel_shift(x, 12.0), tolerance=EXACT)
    np.testing.assert_array_equal(x, before)
    assert np.any(result != x)


@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("intensity_range", [30, 12.5, 0])
def test_random_channel_shift(axis, intensity_range):
    x = image()
    compare_image(
        lambda library: library.random_channel_shift(x, intensity_range, channel_axis=axis),
        tolerance=Tolerance(relative=1e-6),
    )


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("brightness", [0.0, 0.4, 1.0, 1.7, 1])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int32"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_brightness(channels, dtype, brightness, scale):
    x = image(dtype=dtype, channels=channels)
    compare_image(
        lambda library: library.apply_brightness_shift(x, brightness, scale),
        tolerance=Tolerance(relative=1e-6),
    )


def test_brightness_scales_by_default():
    x = image() / 4
    result = compare_image(lambda library: library.apply_brightness_shift(x, 1.0), tolerance=EXACT)
    assert result.max() > x.max() * 2


@pytest.mark.parametrize("arguments", [((0.4, 1.6),), ([1, 1],), ((0, 2), False)])
def test_random_brightness(arguments):
    x = image()
    compare_image(
        lambda library: library.random_brightness(x, *arguments),
        tolerance=Tolerance(relative=1e-6),
    )


ERRORS = {
    "brightness, one number": lambda lib: lib.random_brightness(image(), (0.5,)),
    "brightness, three numbers": lambda lib: lib.random_brightness(image(), (0.5, 1, 2)),
    "brightness, a scalar": lambda lib: lib.random_brightness(image(), 0.5),
    "brightness, two channels": lambda lib: lib.apply_brightness_shift(image(channels=2), 0.5),
    "brightness, rank 2": lambda lib: lib.apply_brightness_shift(image()[0], 0.5),
    "zoom, one number": lambda lib: lib.random_zoom(image(), (0.5,)),
    "zoom, a scalar": lambda lib: lib.random_zoom(image(), 0.5),
    "rotation, rank 2": lambda lib: lib.random_rotation(image()[0], 20),
    "shear, bad axes": lambda lib: lib.random_shear(image(), 20, 0, 0, 2),
}


@pytest.mark.parametrize("call", ERRORS.values(), ids=ERRORS.keys())
def test_errors_of_the_functions(call):
    assert_same_error(call)


@pytest.mark.parametrize("name", FUNCTIONS + IMAGE_HELPERS)
def test_signatures_of_the_functions(name):
    ours = inspect.signature(getattr(fastaug_library(), name)).parameters.values()
    theirs = inspect.signature(getattr(keras_library(), name)).parameters.values()
    assert [(p.name, p.default, p.kind) for p in ours] == [
        (p.name, p.default, p.kind) for p in theirs
    ]


# --------------------------------------------------------------------- the generator's transforms

TRANSFORM_PARAMETERS = {
    "empty": {},
    "theta": {"theta": 30},
    "unknown keys": {"theta": 30, "blur": 3},
    "flips": {"flip_horizontal": True, "flip_vertical": True},
    "flip as int": {"flip_horizontal": 1, "flip_vertical": 0},
    "channel shift": {"channel_shift_intensity": 30.0},
    "no channel shift": {"channel_shift_intensity": None, "brightness": None},
    "channel shift of nothing": {"channel_shift_intensity": 0},
    "brightness": {"brightness": 0.6},
    "all": {
        "theta": 10,
        "tx": 1,
        "ty": -2.5,
        "shear": 4,
        "zx": 1.1,
        "zy": 0.9,
        "flip_horizontal": True,
        "flip_vertical": True,
        "channel_shift_intensity": -12.0,
    },
}


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("axes", [LAST, FIRST], ids=["last", "first"])
@pytest.mark.parametrize(
    "parameters", TRANSFORM_PARAMETERS.values(), ids=TRANSFORM_PARAMETERS.keys()
)
def test_apply_transform(parameters, axes, dtype):
    if "brightness" in parameters and axes is FIRST:
        axes = LAST
    x = image(axes, dtype)
    before = x.copy()
    settings = {"data_format": "channels_last" if axes is LAST else "channels_first"}
    tolerance = Tolerance(level=1.0, fraction=0.01) if dtype == "uint8" else TRANSFORM
    compare_image(
        lambda library: library.generator(**settings).apply_transform(x, parameters),
        tolerance=tolerance,
    )
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "wrap"])
def test_apply_transform_uses_the_generator_s_interpolation(fill_mode, order):
    settings = {"fill_mode": fill_mode, "interpolation_order": order, "cval": 31.0}
    x = image()
    compare_image(
        lambda library: library.generator(**settings).apply_transform(
            x, {"theta": 41, "zx": 1.4, "ty": 0.3}
        )
    )


@pytest.mark.parametrize("seed", [None, 0, 77])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_transform(seed, dtype):
    x = image(dtype=dtype)

    def scenario(library):
        generator = library.generator(
            rotation_range=30,
            width_shift_range=0.1,
            zoom_range=0.2,
            horizontal_flip=True,
            channel_shift_range=10.0,
        )
        return np.stack([generator.random_transform(x, seed=seed) for _ in range(3)])

    result = compare_image(scenario)
    assert np.any(result[0] != x)
    assert (seed is None) == bool(np.any(result[0] != result[1]))


def test_apply_transform_of_a_bad_rank():
    assert_same_error(
        lambda library: library.generator().apply_transform(image()[0], {"theta": 5}), ValueError
    )


# --------------------------------------------------------------------- arrays and pictures


def picture(x):
    """All there is to a picture."""
    return type(x), x.mode, x.size, np.asarray(x)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int32"])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
def test_array_to_img(channels, dtype, scale, data_format):
    x = images(1, 6, 9, channels, dtype, data_format or "channels_last")[0]
    if dtype == "int32" and not scale:
        x = np.abs(x) % (256 if channels > 1 else 1000)
    before = x.copy()
    actual, expected = run_both(
        lambda library: picture(library.array_to_img(x, data_format=data_format, scale=scale))
    )
    assert expected.error is None
    assert_same(actual.value, expected.value)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "x",
    [np.zeros((4, 5, 3)), np.full((4, 5, 1), 9.0), np.ones((2, 3, 3)).tolist()],
    ids=["zeros", "constant", "nested lists"],
)
def test_array_to_img_special_arrays(x):
    actual, expected = run_both(lambda library: picture(library.array_to_img(x)))
    assert_same(actual.value, expected.value)


def test_array_to_img_dtype():
    x = np.full((3, 4, 1), 200.7)
    x[0, 0] = 0.1
    actual, expected = run_both(lambda library: picture(library.array_to_img(x, dtype="uint8")))
    assert_same(actual.value, expected.value)


@pytest.mark.parametrize(
    "arguments",
    [
        (np.zeros((4, 5)),),
        (np.zeros((2, 4, 5, 3)),),
        (np.zeros((4, 5, 2)),),
        (np.zeros((4, 5, 5)),),
        (np.zeros((4, 5, 3)), "bogus"),
        (np.zeros((5, 4, 3)), "channels_first"),
    ],
)
def test_array_to_img_errors(arguments):
    assert_same_error(lambda library: library.array_to_img(*arguments), ValueError)


MODES = ["L", "RGB", "RGBA", "I", "F", "P", "1", "LA", "CMYK"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", [None, "uint8", "float64"])
def test_img_to_array(mode, data_format, dtype):
    source = Image.fromarray(image(dtype="uint8")).convert(mode)
    actual, expected = run_both(
        lambda library: library.img_to_array(source, data_format=data_format, dtype=dtype)
    )
    assert expected.value.ndim == 3
    assert_same(actual.value, expected.value)


def test_img_to_array_of_an_array():
    actual, expected = run_both(lambda library: library.img_to_array(image()[..., 0]))
    assert_same(actual.value, expected.value)


@pytest.mark.parametrize(
    "arguments", [(np.zeros((2, 3, 4, 5)),), (np.zeros(3),), (np.zeros((3, 4)), "bogus")]
)
def test_img_to_array_errors(arguments):
    assert_same_error(lambda library: library.img_to_array(*arguments), ValueError)


COMMON = ("RGB", "L")


@pytest.fixture(scope="module")
def picture_files(tmp_path_factory):
    """One file of each format and mode."""
    folder = tmp_path_factory.mktemp("pictures")
    source = Image.fromarray(image(dtype="uint8", height=14, width=19))
    files = {}
    for suffix, mode in itertools.product(("png", "jpg", "bmp", "tif", "ppm"), COMMON):
        files[f"{suffix} {mode}"] = folder / f"{mode}.{suffix}"
        source.convert(mode).save(files[f"{suffix} {mode}"])
    for mode in ("RGBA", "P", "1", "I;16"):
        files[f"png {mode}"] = folder / f"{mode.replace(';', '')}.png"
        if mode == "I;16":
            rows = np.arange(14 * 19, dtype="uint16").reshape(14, 19) * 200
            Image.fromarray(rows).save(files["png I;16"])
        else:
            source.convert(mode).save(files[f"png {mode}"])
    return files


FILES = [f"{suffix} {mode}" for suffix in ("png", "jpg", "bmp", "tif", "ppm") for mode in COMMON]
FILES += [f"png {mode}" for mode in ("RGBA", "P", "1", "I;16")]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
def test_load_img(file, color_mode, picture_files):
    actual, expected = run_both(
        lambda library: picture(library.load_img(picture_files[file], color_mode=color_mode))
    )
    assert expected.error is None
    assert_same(actual.value[1:], expected.value[1:])


@pytest.mark.parametrize(
    "interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
)
@pytest.mark.parametrize("target_size", [(7, 9), (30, 11), (14, 19), [5, 40]])
@pytest.mark.parametrize("keep_aspect_ratio", [False, True])
@pytest.mark.parametrize("file", ["png RGB", "jpg L", "png RGBA"])
def test_load_img_resized(file, target_size, interpolation, keep_aspect_ratio, picture_files):
    actual, expected = run_both(
        lambda library: picture(
            library.load_img(
                picture_files[file],
                target_size=target_size,
                interpolation=interpolation,
                keep_aspect_ratio=keep_aspect_ratio,
            )
        )
    )
    assert expected.value[2] == (target_size[1], target_size[0])
    assert_same(actual.value[1:], expected.value[1:])


@pytest.mark.parametrize(
    "kind", [str, lambda path: str(path).encode(), "BytesIO"], ids=["str", "bytes", "BytesIO"]
)
def test_load_img_kinds_of_path(kind, picture_files):
    path = picture_files["png RGB"]

    def scenario(library):
        source = io.BytesIO(path.read_bytes()) if kind == "BytesIO" else kind(path)
        return picture(library.load_img(source))

    actual, expected = run_both(scenario)
    assert expected.error is None
    assert_same(actual.value[1:], expected.value[1:])


LOAD_ERRORS = {
    "missing": lambda lib, path: lib.load_img(path.with_name("missing.png")),
    "no path": lambda lib, path: lib.load_img(12),
    "color mode": lambda lib, path: lib.load_img(path, color_mode="bogus"),
    "interpolation": lambda lib, path: lib.load_img(
        path, target_size=(3, 3), interpolation="bogus"
    ),
    "no picture": lambda lib, path: lib.load_img(path.with_name("text.png")),
}


@pytest.mark.parametrize("call", LOAD_ERRORS.values(), ids=LOAD_ERRORS.keys())
def test_load_img_errors(call, picture_files):
    path = picture_files["png RGB"]
    path.with_name("text.png").write_text("no picture")
    actual, expected = run_both(lambda library: _error_of(call, library, path))
    assert expected.value is not None
    kind, text = expected.value
    # Keras names the bytes of the file in the place of its path
    text = re.sub(r"<_io.BytesIO object at 0x\w+>", repr(str(path.with_name("text.png"))), text)
    assert actual.value == (kind, text)


def _error_of(call, library, path):
    try:
        call(library, path)
    except Exception as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "tiff"])
@pytest.mark.parametrize("scale", [True, False])
def test_save_img(channels, suffix, scale, tmp_path):
    x = image(channels=channels)

    def scenario(library):
        path = tmp_path / f"{library.name}.{suffix}"
        library.save_img(path, x, scale=scale)
        return path.read_bytes()

    actual, expected = run_both(scenario)
    assert expected.error is None
    assert bool(expected.warnings) == (channels == 4 and suffix in ("jpg", "jpeg"))
    assert actual.value == expected.value


def test_save_img_to_a_file_object_with_options():
    x = image(FIRST)

    def scenario(library):
        file = io.BytesIO()
        library.save_img(file, x, data_format="channels_first", file_format="jpg", quality=31)
        return file.getvalue()

    actual, expected = run_both(scenario)
    assert len(expected.value) > 100
    assert actual.value == expected.value


def test_the_helpers_follow_the_global_settings(keras_config):
    keras_config.set_image_data_format("channels_first")
    keras_config.set_floatx("float64")
    x = image(FIRST)

    def scenario(library):
        made = library.array_to_img(x)
        return picture(made), library.img_to_array(made)

    actual, expected = run_both(scenario)
    assert expected.value[1].shape == x.shape
    assert expected.value[1].dtype == "float64"
    assert_same(actual.value, expected.value)


def test_a_picture_survives_the_round_trip(tmp_path):
    x = image(dtype="uint8").astype("float32")
    library = fastaug_library()
    library.save_img(str(tmp_path / "image.png"), x, scale=False)
    loaded = library.img_to_array(library.load_img(str(tmp_path / "image.png")))
    np.testing.assert_array_equal(loaded, x)
    assert math.isclose(loaded.max(), x.max())
