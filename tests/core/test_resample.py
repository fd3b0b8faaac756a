"""Resizing in the core is Pillow's, bit for bit, in every SIMD variant."""

import numpy as np
import pytest
from PIL import Image

from fastaug import _core
from fastaug.data import decode

VARIANTS = _core.simd_variants()


@pytest.fixture(autouse=True)
def _best_variant():
    yield
    _core.select_simd(VARIANTS[-1])


def in_core(image, size, name, box=None):
    """Resizes as `Image.resize` does; the arguments are its own."""
    height, width = image.shape[:2]
    left, top, right, bottom = box or (0, 0, width, height)
    less = height - size[1]
    rows_first = less > max(0, 2 * (width - size[0])) and decode._passes_of_pillow() == "rows first"
    rows = _core.ResampleWeights(name, height, top, bottom, size[1])
    columns = _core.ResampleWeights(name, width, left, right, size[0])
    out = np.full((size[1], size[0], image.shape[2]), 99, np.uint8)
    _core.resample(image, rows, columns, out, rows_first)
    return out


def by_pillow(image, size, name, box=None):
    image = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    resized = image.resize(size, Image.Resampling[name.upper()], box=box)
    return np.asarray(resized).reshape(size[1], size[0], -1)


def drawn_box(rng, width, height):
    left, top = rng.random() * width * 0.4, rng.random() * height * 0.4
    right = left + (width - left) * rng.random()
    bottom = top + (height - top) * rng.random()
    box = [float(np.float32(value)) for value in (left, top, right, bottom)]
    return [0.0, 0.0, float(width), float(height)] if rng.random() < 0.5 else box


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", _core.FILTERS)
def test_pixels_are_those_of_pillow(name, variant):
    """Larger, smaller, both; boxes of whole pixels and of parts; as large as the source."""
    _core.select_simd(variant)
    rng = np.random.default_rng(_core.FILTERS.index(name))
    for case in range(300):
        height, width, *size = (int(v) for v in rng.integers(1, 90, 4))
        size[0] = width if case % 10 == 0 else size[0]
        size[1] = height if case % 10 == 1 else size[1]
        image = rng.integers(0, 256, (height, width, int(rng.choice([1, 3, 3]))), dtype=np.uint8)
        image = (image > 127).astype(np.uint8) * 255 if case % 3 == 0 else image
        box = drawn_box(rng, width, height)
        np.testing.assert_array_equal(
            in_core(image, size, name, box), by_pillow(image, size, name, box), err_msg=str(case)
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_large_images_and_many_taps(variant):
    _core.select_simd(variant)
    rng = np.random.default_rng(3)
    for shape, size in ((1200, 900), (7, 5)), ((3, 9000), (2, 3)), ((5000, 2), (40, 3)):
        image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        for name in ("bilinear", "lanczos"):
            np.testing.assert_array_equal(
                in_core(image, size, name), by_pillow(image, size, name), err_msg=name
            )


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_that_are_apart_are_read_no_further_than_they_go(variant):
    """A cut of an image is what its copy is, up against the end of its memory."""
    _core.select_simd(variant)
    whole = np.random.default_rng(4).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for cut in whole[3:, 7:], whole[:30, :20], whole[5:6, 3:9]:
        for size in (9, 11), (80, 90), (cut.shape[1], 5), (5, cut.shape[0]):
            np.testing.assert_array_equal(
                in_core(cut, size, "bicubic"), in_core(cut.copy(), size, "bicubic")
            )


def test_what_is_not_resized_is_copied():
    image = np.random.default_rng(5).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(in_core(image, (5, 4), "lanczos"), image)


def weights(length=6, size=3, name="box", start=0, stop=None):
    return _core.ResampleWeights(name, length, start, length if stop is None else stop, size)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "nearest"}, "box.*Received: 'nearest'"),
        ({"size": 0}, "0 pixels"),
        ({"length": 0}, "stretch of 0"),
        ({"start": -1}, "-1.0 to 6.0"),
        ({"stop": 7}, "0.0 to 7.0"),
        ({"start": 4, "stop": 3}, "4.0 to 3.0"),
        ({"stop": float("nan")}, "nan"),
    ],
    ids=str,
)
def test_weights_that_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        weights(**change)


@pytest.mark.parametrize(
    ("image", "out", "text"),
    [
        (np.zeros((6, 6, 3)), np.zeros((3, 3, 3), np.uint8), "float64"),
        (np.zeros((6, 6), np.uint8), np.zeros((3, 3, 3), np.uint8), "rank 3"),
        (np.zeros((5, 6, 3), np.uint8), np.zeros((3, 3, 3), np.uint8), "6 x 6.*5, 6, 3"),
        (np.zeros((6, 6, 3), np.uint8)[:, ::-1], np.zeros((3, 3, 3), np.uint8), "strides"),
        (np.zeros((6, 6, 3), np.uint8), np.zeros((3, 4, 3), np.uint8), r"\(3, 3, 3\)"),
        (np.zeros((6, 6, 3), np.uint8), np.zeros((3, 3, 6), np.uint8)[..., ::2], "contiguous"),
    ],
    ids=range(6),
)
def test_arrays_that_are_refused(image, out, text):
    with pytest.raises(ValueError, match=text):
        _core.resample(image, weights(), weights(), out)
    memory = np.zeros((6, 6, 3), np.uint8)
    with pytest.raises(ValueError, match="share memory"):
        _core.resample(memory, weights(), weights(), memory.reshape(-1)[:27].reshape(3, 3, 3))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["box", "bilinear", "hamming"])
def test_images_that_grow(name, variant):
    """Sums of coordinates are rounded: of 3 pixels to 47, the middle one has three taps."""
    _core.select_simd(variant)
    rng = np.random.default_rng(3)
    for width, size in [(3, 47), *rng.integers(1, [40, 160], (60, 2)).tolist()]:
        image = rng.integers(0, 256, (3, width, 3), np.uint8)
        expected = by_pillow(image, (size, 5), name)
        np.testing.assert_array_equal(in_core(image, (size, 5), name), expected)
