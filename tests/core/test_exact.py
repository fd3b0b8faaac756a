"""The warp of images that are not float32 has the bits of SciPy's, and so have its types."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

import fastaug
from fastaug import _core
from fastaug.keras_api import warp

TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float64")
SHAPES = ((7, 5, 3), (5, 8, 1), (6, 4, 4), (3, 9, 2), (1, 6, 3), (6, 1, 3), (1, 1, 1), (2, 2, 5))

MATRICES = {
    "a turn": [[0.9, -0.3, 1.7], [0.4, 1.1, -2.6]],
    "halves": [[0.5, 0, 0.5], [0, 0.5, -0.5]],
    "upside down": [[-1, 0, 6], [0, -1, 4]],
    "a quarter": [[0, 1, 0], [-1, 0, 4]],
    "far away": [[1, 0, 1000.25], [0, 1, -1000.75]],
    "large": [[13.7, 2.2, -20], [-3.1, 11.9, 8]],
    "to one point": [[0, 0, 2], [0, 0, 1]],
    "between": [[1, 0, 1e-16], [0, 1, -1e-16]],
    "the last pixel": [[1, 0, np.nextafter(0, 1)], [0, 1, np.nextafter(0, -1)]],
}


def scipys(image, matrix, order, border, cval, channels_first):
    planes = np.moveaxis(image, 0 if channels_first else 2, 0)
    warped = [
        ndimage.affine_transform(
            plane, matrix[:, :2], matrix[:, 2], order=order, mode=border, cval=cval
        )
        for plane in planes
    ]
    return np.stack(warped, axis=0 if channels_first else 2)


def picture(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(scale=100, size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def assert_same_bits(got, want):
    assert got is not None
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    nan = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(got), nan)
    np.testing.assert_array_equal(got[~nan], want[~nan])
    np.testing.assert_array_equal(np.signbit(got[~nan]), np.signbit(want[~nan]))


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())
@pytest.mark.parametrize("border", _core.BORDERS)
@pytest.mark.parametrize("order", [0, 1])
def test_shapes_and_layouts(order, border, matrix):
    matrix = np.array(matrix, np.float64)
    for shape, channels_first in itertools.product(SHAPES, (False, True)):
        image = picture(shape, np.float64)
        if channels_first:
            image = np.ascontiguousarray(np.moveaxis(image, 2, 0))
        got = _core.exact_warp(image, matrix, order, border, 0.3, channels_first)
        assert_same_bits(got, scipys(image, matrix, order, border, 0.3, channels_first))


@pytest.mark.parametrize("border", _core.BORDERS)
@pytest.mark.parametrize("order", [0, 1])
def test_any_matrix(order, border):
    rng = np.random.default_rng(3)
    for seed in range(60):
        shape = (*rng.integers(1, 12, 2), rng.integers(1, 5))
        image = picture(shape, np.float64, seed)
        scale = rng.choice([1, 1, 1, 10])
        matrix = np.hstack([np.eye(2) + rng.normal(scale=scale, size=(2, 2)),
                            rng.normal(scale=8, size=(2, 1))])  # fmt: skip
        if seed % 3 == 0:  # whole numbers and halves, which lie on an edge
            matrix = np.round(2 * matrix) / 2
        got = _core.exact_warp(image, matrix, order, border, -7.25, False)
        assert_same_bits(got, scipys(image, matrix, order, border, -7.25, False))


@pytest.mark.parametrize("border", ["nearest", "grid-wrap", "constant", "grid-constant"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("dtype", TYPES)
def test_types(dtype, order, border):
    matrix = np.array(MATRICES["a turn"])
    for seed, cval in enumerate((0, 0.5, 1.5, -0.5, -1.5, 1e30, -1e30, 2.0**63, 300)):
        image = picture((9, 7, 3), dtype, seed)
        if seed % 2:
            image = np.full_like(image, 3)
        args = (image, matrix, order, border, cval, False)
        limit = {"int64": 2.0**63, "uint64": 2.0**64}.get(dtype, np.inf)
        beyond = cval >= limit and "constant" in border
        assert (_core.exact_warp(*args) is None) == beyond
        assert_same_bits(warp.like_scipy(*args), scipys(*args))


@pytest.mark.parametrize("dtype", TYPES[:-1])
def test_the_largest_and_the_smallest_of_a_type(dtype):
    """What is no number of the type is for SciPy to decide: C does not say."""
    info, matrix = np.iinfo(dtype), np.array(MATRICES["a turn"])
    for value, cval in itertools.product((info.min, info.max), (info.min, info.max, np.nan)):
        image = np.full((5, 6, 2), value, dtype)
        args = (image, matrix, 1, "constant", cval, True)
        assert_same_bits(warp.like_scipy(*args), scipys(*args))
        large = info.bits == 64 and info.max in (value, cval)
        assert (_core.exact_warp(*args) is None) == (large or np.isnan(cval))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("order", [0, 1])
def test_pixels_that_are_not_finite(order, value):
    for border in _core.BORDERS:
        image = picture((6, 5, 2), np.float64)
        image[2, 3, 0] = image[0, 0, 1] = value
        for matrix in MATRICES.values():
            args = (np.array(matrix, np.float64), order, border, value, False)
            with np.errstate(invalid="ignore"):
                assert_same_bits(_core.exact_warp(image, *args), scipys(image, *args))


LAYOUTS = {
    "every other": lambda image: image[::2, ::2],
    "turned round": lambda image: image[::-1, ::-1],
    "transposed": lambda image: image.transpose(1, 0, 2),
    "Fortran": np.asfortranarray,
    "broadcast": lambda image: np.broadcast_to(image[:, :1], image.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("dtype", ["int32", "float64"])
def test_images_that_do_not_lie_in_one_piece(layout, dtype):
    image = layout(picture((8, 6, 3), dtype))
    before = image.copy()
    args = (np.array(MATRICES["a turn"]), 1, "reflect", 0.0, False)
    got = _core.exact_warp(image, *args)
    assert_same_bits(got, scipys(image, *args))
    assert got.flags.c_contiguous and got.flags.writeable
    np.testing.assert_array_equal(image, before)


def test_a_matrix_that_is_a_view():
    image, matrix = picture((6, 7, 3), np.float64), np.array(MATRICES["a turn"])
    view = np.asfortranarray(matrix)[::-1][::-1]
    args = (1, "nearest", 0.0, False)
    assert_same_bits(_core.exact_warp(image, view, *args), scipys(image, matrix, *args))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e300, 2.0**31])
@pytest.mark.parametrize("place", list(itertools.product(range(2), range(3))))
def test_coordinates_beyond_bounds_are_left_to_scipy(place, number):
    matrix = np.array(MATRICES["a turn"])
    matrix[place] = number
    image = picture((4, 5, 3), "uint16")
    assert _core.exact_warp(image, matrix, 1, "nearest", 0.0, False) is None


@pytest.mark.parametrize("order", [2, 5])
def test_other_orders_are_left_to_scipy(order):
    image, matrix = picture((6, 7, 3), "int32"), np.array(MATRICES["a turn"])
    assert _core.exact_warp(image, matrix, order, "mirror", 0.0, False) is None
    got = warp.like_scipy(image, matrix, order, "mirror", 0.0, False)
    assert_same_bits(got, scipys(image, matrix, order, "mirror", 0.0, False))


@pytest.mark.parametrize("dtype", ["bool", ">i4", ">f8", "float16", "longdouble", "complex128"])
def test_other_types_are_left_to_scipy(dtype):
    image = (picture((6, 7, 3), "uint8") > 100).astype(dtype)
    matrix = np.array(MATRICES["a turn"])
    assert _core.exact_warp(image, matrix, 1, "nearest", 0.0, False) is None
    if dtype in ("bool", ">i4", ">f8"):  # those that SciPy takes
        got = warp.like_scipy(image, matrix, 1, "nearest", 0.0, False)
        assert_same_bits(got, scipys(image, matrix, 1, "nearest", 0.0, False))


@pytest.mark.parametrize(
    ("image", "matrix", "border"),
    [
        (np.zeros((3, 3)), np.eye(2, 3), "nearest"),
        (np.zeros((3, 3, 1)), np.eye(3), "nearest"),
        (np.zeros((3, 3, 1)), np.eye(2), "nearest"),
        (np.zeros((3, 3, 1)), np.eye(2, 3), "bogus"),
    ],
)
def test_what_is_refused(image, matrix, border):
    with pytest.raises(ValueError, match=r"rank 3|not in tuple"):
        _core.exact_warp(image, matrix, 1, border, 0.0, False)


def test_no_image_at_all():
    assert _core.exact_warp(np.zeros((3, 0, 2)), np.eye(2, 3), 1, "nearest", 0.0, False) is None


def test_it_is_the_core_that_warps(monkeypatch):
    """As long as it has SciPy's bits; else SciPy does."""
    assert warp._gives_scipys_bits()
    image, arguments = picture((9, 7, 3), "int32"), (20, 1, 2, 5, 0.9, 1.1, 0, 1, 2)
    expected = fastaug.apply_affine_transform(image, *arguments)

    def never(*args):
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(warp, "_by_scipy", never)
        np.testing.assert_array_equal(fastaug.apply_affine_transform(image, *arguments), expected)
    monkeypatch.setattr(warp._core, "exact_warp", lambda *args: np.zeros((9, 8, 1)))
    warp._gives_scipys_bits.cache_clear()
    try:
        assert not warp._gives_scipys_bits()
        np.testing.assert_array_equal(fastaug.apply_affine_transform(image, *arguments), expected)
    finally:
        warp._gives_scipys_bits.cache_clear()
