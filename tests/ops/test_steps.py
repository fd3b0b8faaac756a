"""Steps of the core that follow each other, and images that only some loops of a kernel see."""

import itertools

import numpy as np
import pytest

import fastaug
from fastaug import _core
from fastaug.ops.base import Draws
from tests.ops.test_references import KERNELS, alone, mapped, picture, run_core

SHEARS = [(1, 0.3, 1, 0, 1, 0), (1, 0, 0, 0.2, 1, -2)]


@pytest.fixture(params=_core.simd_variants())
def variant(request):
    _core.select_simd(request.param)
    yield request.param
    _core.select_simd(_core.simd_variants()[-1])


def moves(*sampling):
    """Two shears, each with an order of interpolation and a fill."""
    return [
        ("affine", np.array([*shear, *each])) for shear, each in zip(SHEARS, sampling, strict=True)
    ]


def one_by_one(steps, image):
    for kernel, columns in steps:
        image = alone(kernel, columns, image)
    return image


@pytest.mark.parametrize("first", [0, 1])
def test_moves_that_follow_each_other_are_one(first):
    image = picture(23, 31, 3, dtype="float32")
    steps = moves((1, 40), (1, 40))
    steps = steps[first:] + steps[:first]
    matrices = [np.vstack([columns[:6].reshape(2, 3), [0, 0, 1]]) for _, columns in steps]
    expected = mapped(image, matrices[0] @ matrices[1], 1, 40)
    np.testing.assert_allclose(run_core(steps, image[np.newaxis])[0], expected, atol=1e-3)
    between = ("invert", np.array([np.nan]))  # one that is off does not part them
    got = run_core([steps[0], between, steps[1]], image[np.newaxis])[0]
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(
    "matrix",
    [
        (1, 0, 0.6, 0, 1, -0.3),
        (1, 0, -3.7, 0, 1, 30.6),
        (0.8137, 0, 0.3, 0.2519, 1, 2.1),  # each row as it is
        (1.2071, 0, 0.01, -0.7013, 1, -14.2),
        (0.9071, 0.1013, 0.3, 0, 1.3017, 0.2),
    ],
)
def test_moves_by_parts_of_pixels(matrix, order, dtype):
    image = picture(23, 31, 3, dtype=dtype)
    columns = np.array([*matrix, order, 77.0])
    apart = np.abs(alone("affine", columns, image) - KERNELS["affine"](image, *columns))
    assert not (apart > (1e-3 if dtype == "float32" else order)).any()  # NaN: equally near
    assert np.isnan(apart).mean() < 0.1


@pytest.mark.parametrize("sampling", [((1, 40), (1, 90)), ((1, 40), (0, 40)), ((0, 0), (1, 0))])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_moves_of_other_pixels_or_fill_are_done_apart(sampling, dtype):
    image = picture(23, 31, 3, dtype=dtype)
    steps = moves(*sampling)
    out = run_core(steps, image[np.newaxis])[0]
    np.testing.assert_array_equal(out, one_by_one(steps, image))


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_done_before_a_move_is_not_done_to_its_fill(channels, order):
    image = picture(23, 31, channels)
    steps = [("invert", np.zeros(1)), moves((order, 40), (1, 0))[0]]
    out = run_core(steps, image[np.newaxis])[0]
    np.testing.assert_array_equal(out, one_by_one(steps, image))
    assert (out == 40).any()


@pytest.mark.parametrize("other", [0, 1, 2])
def test_a_channel_that_differs_from_two_that_are_the_same(other, variant):
    image = picture(17, 23, 1).repeat(3, axis=2) // 2 + 30
    image[..., other] = image[..., other] // 3 + 90
    expected = KERNELS["autocontrast"](image, 0)
    np.testing.assert_array_equal(fastaug.AutoContrast()(image), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_of_more_pixels_than_are_summed_at_a_time(channels):
    image = np.full((1500, 1500, channels), 20, np.uint8)
    image[:600] = 200
    columns = np.array([0.5])
    expected = KERNELS["adjust_contrast"](image, *columns)
    np.testing.assert_array_equal(alone("adjust_contrast", columns, image), expected)


OF_ANY_CHANNELS = [
    fastaug.Erasing(1, value=7),
    fastaug.Erasing(1, value="random"),
    fastaug.GaussianBlur((7, 5), sigma=1.5),
    fastaug.GaussianNoise(sigma=0.2),
    fastaug.Perspective(p=1, fill=9),
    fastaug.Perspective(p=1, interpolation="nearest", fill=9),
    fastaug.Sharpness(3),
]


@pytest.mark.parametrize("op", OF_ANY_CHANNELS, ids=repr)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_each_of_any_channels_is_that_of_the_reference(op, dtype, variant):
    for channels, seed in itertools.product((2, 4, 5), range(3)):
        image = picture(21, 19, channels, seed, dtype)
        draws = Draws(seed, 0, np.zeros(1, np.int64), op.name, image.shape[:2], channels)
        (columns,), reference = op.table(draws), KERNELS[op.steps[0]]
        if isinstance(op, fastaug.Sharpness):  # Pillow takes the second of two for alpha
            wanted = np.dstack(
                [reference(image[..., k : k + 1], *columns) for k in range(channels)]
            )
        else:
            wanted = reference(image, *columns)
        apart = np.abs(op(image, seed=seed) - np.asarray(wanted, dtype=float))
        limit = 1 if dtype == "uint8" else 0.03 if op.steps[0] == "gaussian_noise" else 3e-4
        assert not (apart > limit).any()  # NaN: two pixels are equally near


@pytest.mark.parametrize("values", [(1, 2), (1, 2, 3, 4)])
def test_each_channel_is_erased_by_its_value(values):
    image = np.full((12, 14, len(values)), 50, np.uint8)
    for kind in (np.uint8, np.float32):
        erased = fastaug.Erasing(1, (0.3, 0.3), value=values)(image.astype(kind), seed=0)
        pixels = {tuple(pixel) for pixel in erased.reshape(-1, len(values)).astype(int)}
        assert pixels == {values, (50,) * len(values)}


@pytest.mark.parametrize("size", [3, 5, 11])
def test_what_is_even_stays_so_when_it_is_blurred(size, variant):
    """The weights of whole numbers have a sum of 1, whatever they are."""
    for value, sigma in itertools.product((0, 1, 128, 254, 255), (0.3, 0.7, 1.1, 1.9, 4.0)):
        image = np.full((19, 37, 3), value, np.uint8)
        np.testing.assert_array_equal(fastaug.GaussianBlur(size, sigma)(image), image)


@pytest.mark.parametrize("factor", [-3e9, 5e9, 1e20])
@pytest.mark.parametrize("kernel", ["adjust_saturation", "sharpness"])
def test_factors_of_which_products_are_no_integers(variant, kernel, factor):
    image = picture(16, 40, 3)
    expected = KERNELS[kernel](image, factor)
    assert np.isin(expected[1:-1, 1:-1], [0, 255]).mean() > 0.9  # nearly all are clipped
    apart = alone(kernel, np.array([factor]), image) != expected
    assert np.count_nonzero(apart) < 0.01 * image.size
