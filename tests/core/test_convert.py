"""What the core does with arrays of any type is what NumPy does, and only faster."""

import itertools
import warnings

import numpy as np
import pytest

from fastaug import _core

TYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "float32", "float64", "longdouble",
)  # fmt: skip
FLOATS = ("float16", "float32", "float64")


def special(dtype):
    """Returns values of a type, among them its limits and those of the others."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(1)
    if dtype.kind == "b":
        return np.array([False, True, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        values = [info.min, info.min + 1, 0, 1, 2, 255, info.max - 1, info.max]
        values = [*values, *rng.integers(info.min, info.max, 50, dtype, endpoint=True)]
        return np.array([value for value in values if info.min <= value <= info.max], dtype)
    values = [0.0, -0.0, 1.0, 0.5, -1.5, 254.5, 1 / 3, 2.0**-14, 2.0**-24, 2.0**-25, 2.0**-26]
    values += [65504.0, 65519.9, 65520.0, -65520.0, 3e38, 1e300, 5e-324, np.inf, -np.inf, np.nan]
    # in the middle between two of float16, and next to it
    middle = 1 + 2.0**-11 + np.array([0, 2.0**-10])
    values += [*middle, *np.nextafter(middle, 0), *np.nextafter(middle, 9)]
    values += [2.0**31, -(2.0**31), 2.0**63, 2.0**64, -1.0, 256.0, -129.0]
    values += list(rng.normal(scale=1e-6, size=40)) + list(rng.normal(scale=1000, size=40))
    with np.errstate(over="ignore"):
        return np.array(values).astype(dtype)


def as_image(values, channels=3):
    size = -(-len(values) // (2 * channels)) * 2 * channels
    return np.resize(values, size).reshape(2, -1, channels)


def assert_identical(got, want):
    """To the bit, but for the payload of NaN."""
    assert got.dtype == want.dtype
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


def with_warnings(function, *arguments):
    """Returns the result and the texts of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*arguments)
    return result, sorted(str(warning.message) for warning in caught)


def assigned(source, out):
    out[...] = source


LAYOUTS = {
    "in one piece": lambda image: image,
    "flipped": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned": lambda image: image[::-1, ::-1, ::-1],
    "transposed": lambda image: image.transpose(1, 0, 2),
    "channels turned": lambda image: image.transpose(2, 0, 1)[:, :, ::-1],
    "every other": lambda image: image[:, ::2],
    "broadcast": lambda image: np.broadcast_to(image[:1], (4, *image.shape[1:])),
}


@pytest.mark.parametrize(("kind", "out_kind"), [*itertools.product(TYPES, TYPES)])
def test_every_pair_of_types(kind, out_kind):
    """Values that do not fit become what NumPy makes of them, with its warnings."""
    image = as_image(special(kind))
    for layout in LAYOUTS.values():
        source = layout(image)
        want, got = np.empty(source.shape, out_kind), np.empty(source.shape, out_kind)
        _, expected = with_warnings(assigned, source, want)
        _, warned = with_warnings(_core.convert, source, got)
        assert_identical(got, want)
        assert warned == expected


@pytest.mark.parametrize("out_kind", FLOATS)
@pytest.mark.parametrize("kind", ["uint8", "int64", *FLOATS])
@pytest.mark.parametrize("layout", [key for key in LAYOUTS if key != "broadcast"])
def test_into_an_array_that_does_not_lie_in_one_piece(layout, kind, out_kind):
    layout = LAYOUTS[layout]
    shape = layout(np.zeros((4, 6, 3))).shape
    source = np.resize(special(kind), shape)
    want, got = np.zeros((4, 6, 3), out_kind), np.zeros((4, 6, 3), out_kind)
    _, expected = with_warnings(assigned, source, layout(want))
    _, warned = with_warnings(_core.convert, source, layout(got))
    assert_identical(got, want)
    assert warned == expected


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "float32", "float64"])
def test_pixels_of_any_size(dtype, channels):
    image = np.random.default_rng(0).integers(0, 200, (5, 7, channels)).astype(dtype)
    for layout in LAYOUTS.values():
        source = layout(image)
        out = np.empty(source.shape, dtype)
        _core.convert(source, out)
        np.testing.assert_array_equal(out, source)


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize(("kind", "out_kind"), [("float32", "float16"), ("uint8", "uint8")])
def test_arrays_without_values(kind, out_kind, part):
    shape = [2, 3, 4]
    shape[part] = 0
    out = np.empty(shape, out_kind)
    _core.convert(np.empty(shape, kind)[::-1], out)
    assert out.size == 0


@pytest.mark.parametrize("turn", [np.s_[::-1], np.s_[:, ::-1], np.s_[:, :, ::-1]])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_an_array_into_its_own_memory(dtype, turn):
    image = np.arange(5 * 6 * 3).reshape(5, 6, 3).astype(dtype)
    want = image[turn].copy()
    _core.convert(image[turn], image)
    np.testing.assert_array_equal(image, want)


def test_another_type_in_the_same_memory():
    memory = np.arange(60, dtype=np.float32)
    source, out = memory.view(np.float16)[:60].reshape(4, 5, 3), memory.reshape(4, 5, 3)
    want = source.astype(np.float32)
    _core.convert(source, out)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("dtype", [">f4", ">f2", ">i4", "complex64", "object", "U3"])
def test_types_that_are_none_of_the_core_s(dtype):
    source = np.arange(12).reshape(2, 2, 3).astype(dtype)
    for out_kind in ("float16", "float32", dtype):
        want, got = np.empty(source.shape, out_kind), np.empty(source.shape, out_kind)
        want[...] = got[...] = 0
        _, expected = with_warnings(assigned, source[::-1], want)
        _, warned = with_warnings(_core.convert, source[::-1], got)
        np.testing.assert_array_equal(got, want)
        assert warned == expected


@pytest.mark.parametrize("kind", ["float16", "float32"])
@pytest.mark.parametrize("out_kind", ["float16", "float32", "int8"])
def test_shapes_are_broadcast_or_refused(kind, out_kind):
    out = np.zeros((2, 3, 4), out_kind)
    _core.convert(np.full((3, 1), 2, kind), out)
    np.testing.assert_array_equal(out, 2)
    with pytest.raises(ValueError, match="could not broadcast"):
        _core.convert(np.zeros((2, 4, 3), kind), out)


def test_a_read_only_array_is_refused():
    out = np.zeros((2, 3, 1), np.float16)
    out.flags.writeable = False
    for kind in FLOATS:
        with pytest.raises(ValueError, match="read-only"):
            _core.convert(np.ones((2, 3, 1), kind), out)
    np.testing.assert_array_equal(out, 0)


@pytest.mark.parametrize("source", [1, None, [1.0]])
def test_only_arrays_are_converted(source):
    with pytest.raises(TypeError):
        _core.convert(source, np.zeros(1))


# ------------------------------------------------------------------- place and flip


def table_of(flips):
    table = np.zeros((len(flips), len(_core.COLUMNS)))
    table[:, 6:8] = flips
    return table


FLIPS = ((0, 0), (1, 0), (0, 1), (1, 1))


def flipped(image, flips, channels_first):
    rows, columns = (1, 2) if channels_first else (0, 1)
    for axis, flip in ((columns, flips[0]), (rows, flips[1])):
        image = np.flip(image, axis) if flip else image
    return image


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 40])
def test_images_are_placed_and_flipped(channels, dtype, channels_first):
    shape = (channels, 5, 6) if channels_first else (5, 6, channels)
    images = np.random.default_rng(2).integers(0, 250, (7, *shape)).astype(dtype)
    index = np.array([3, -1, 0, 3])
    for kind in ("float32", "float16", dtype):
        out = np.empty((4, *shape), kind)
        _core.place(images, index, table_of(FLIPS), out, channels_first)
        for k, flips in enumerate(FLIPS):
            want = flipped(images[index[k]], flips, channels_first).astype(kind)
            np.testing.assert_array_equal(out[k], want)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 1, 3), (1, 9, 1), (65, 3, 1), (3, 65, 2)])
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("flips", FLIPS)
def test_flips_of_any_size(flips, channels_first, shape):
    image = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    want = flipped(image, flips, channels_first).copy()
    _core.flip(image, channels_first, *map(bool, flips))
    np.testing.assert_array_equal(image, want)


def test_what_place_and_flip_refuse():
    images, out = np.zeros((2, 4, 5, 3)), np.zeros((1, 4, 5, 3))
    place = _core.place
    with pytest.raises(IndexError):
        place(images, np.array([2]), table_of([(0, 0)]), out, False)
    with pytest.raises(ValueError, match="for 1 images"):
        place(images, np.array([0, 1]), table_of(FLIPS[:2]), out, False)
    with pytest.raises(ValueError, match="for 1 images"):
        place(images, np.array([0]), np.zeros((1, 9)), out, False)
    with pytest.raises(ValueError, match="could not broadcast"):
        place(images, np.array([0]), table_of([(0, 0)]), np.zeros((1, 5, 4, 3)), False)
    for image in (np.zeros((3, 3)), np.zeros((3, 4, 2))[:, ::2]):
        with pytest.raises(ValueError, match="contiguous image of rank 3"):
            _core.flip(image, False, True, False)


# ---------------------------------------------------------------- arithmetic in place

OPERATIONS = {
    "multiply": (_core.multiply, lambda x, values: x.__imul__(values)),
    "subtract": (_core.subtract, lambda x, values: x.__isub__(values)),
    "divide": (_core.divide, lambda x, values: x.__itruediv__(values)),
}
VALUES = {
    "a number": 1 / 255,
    "a whole number": 3,
    "a NumPy number": np.float32(0.7),
    "a wide NumPy number": np.float64(1 / 3),
    "one in an array": np.full((1, 1, 1), 0.3),
    "channels": np.array([0.3, 1.7, 2.1]),
    "channels of rank 3": np.array([[[0.3, 1.7, 2.1]]]),
    "rows": np.linspace(1, 2, 6).reshape(6, 1, 1),
    "columns": np.linspace(1, 2, 7).reshape(7, 1),
    "a plane": np.linspace(1, 2, 42).reshape(6, 7, 1),
    "a picture": np.linspace(1, 2, 126).reshape(6, 7, 3),
    "nothing": 0.0,
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize("dtype", [*FLOATS, "longdouble"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_arithmetic_is_numpy_s(name, dtype, values):
    ours, numpys = OPERATIONS[name]
    image = np.random.default_rng(4).normal(scale=50, size=(6, 7, 3)).astype(dtype)
    image[0, 0, 0], image[1, 1, 1], image[2, 2, 2] = np.nan, np.inf, 0
    kinds = (*FLOATS, "int32") if isinstance(values, np.ndarray) else (None,)
    for kind, layout in itertools.product(kinds, (LAYOUTS["in one piece"], LAYOUTS["flipped"])):
        given = values if kind is None else values.astype(kind)
        want, got = image.copy(), image.copy()
        with np.errstate(all="ignore"):
            numpys(layout(want), given)
            result = ours(view := layout(got), given)
        assert result is view
        assert_identical(got, want)


@pytest.mark.parametrize("size", [*range(1, 70, 7), 1000])
@pytest.mark.parametrize("start", range(5))
def test_arithmetic_at_any_address(size, start):
    for dtype in FLOATS:
        memory = np.linspace(1, 2, size + start).astype(dtype)
        want = memory.copy()
        want[start:] *= 1.5
        _core.multiply(memory[start:], 1.5)
        np.testing.assert_array_equal(memory, want)


@pytest.mark.parametrize("name", OPERATIONS)
def test_arithmetic_with_nothing_in_it(name):
    for shape, values in (((2, 3, 0), np.zeros(0)), ((0, 2, 3), np.ones(3)), ((0, 1, 1), 2.0)):
        image = np.zeros(shape, np.float32)
        assert OPERATIONS[name][0](image, values) is image


@pytest.mark.parametrize("name", OPERATIONS)
def test_arithmetic_that_numpy_refuses(name):
    ours, numpys = OPERATIONS[name]
    read_only = np.ones((2, 2, 3), np.float32)
    read_only.flags.writeable = False
    refused = [
        (np.ones((2, 2, 3), np.uint8), 0.5),
        (read_only, 2.0),
        (np.ones((2, 2, 3), np.float32), np.ones(2)),
        (np.ones((2, 2, 1), np.float32), np.ones((1, 1, 3))),
        (np.ones((2, 3), np.float32), np.ones((1, 2, 3))),
        (np.ones((2, 2, 3), np.float32), "a"),
        (np.ones((2, 2, 3), np.float32), np.ones(3, np.complex64)),
    ]
    for x, values in refused:
        with pytest.raises((TypeError, ValueError)) as theirs:
            numpys(x.copy() if x.flags.writeable else x, values)
        with pytest.raises(theirs.type):
            ours(x, values)


@pytest.mark.parametrize("dtype", [*FLOATS, "int32", "uint8"])
def test_mean_and_standard_deviation(dtype):
    rng = np.random.default_rng(6)
    for size in (1, 3, 7, 8, 9, 64, 1001):
        x = rng.uniform(0, 5, (size, 1, 3)).astype(dtype)  # the sum is a float16 too
        for layout in (LAYOUTS["in one piece"], LAYOUTS["upside down"]):
            view = layout(x)
            tolerance = {"float16": 2e-3, "float32": 1e-5}.get(dtype, 1e-12)
            exact = view.astype(np.float64)
            mean, std = np.ravel(_core.mean_of(view)), np.ravel(_core.std_of(view))
            np.testing.assert_allclose(mean, [exact.mean()], rtol=tolerance)
            np.testing.assert_allclose(std, [exact.std()], rtol=tolerance, atol=tolerance)


def test_mean_of_large_numbers():
    """Summed in doubles: float32 would lose the last digits."""
    x = np.full((1000, 1000, 1), 16777216.0, np.float32)
    x[::2] += 2
    assert _core.mean_of(x) == 16777217.0
    assert _core.std_of(x - np.float32(16770000)) == 1.0
    assert np.isnan(_core.mean_of(np.array([1.0, np.nan])))
