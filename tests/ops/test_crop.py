"""Crops: where they lie, beside boxes that are drawn here, and their pixels, beside Pillow's."""

import pickle

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import fastaug
from fastaug import _core
from fastaug.keras_api.params import affine_row
from fastaug.ops.base import Draws

SAMPLES = np.arange(400)


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def boxes_by_hand(numbers, height, width, scale, ratio):
    """What `RandomResizedCrop.get_params` of torchvision does, with the numbers of one sample."""
    area, log_ratio = height * width, np.log(ratio)
    for attempt in range(10):
        target = area * (scale[0] + (scale[1] - scale[0]) * numbers[2 * attempt])
        shape = np.exp(log_ratio[0] + (log_ratio[1] - log_ratio[0]) * numbers[2 * attempt + 1])
        w, h = round(float(np.sqrt(target * shape))), round(float(np.sqrt(target / shape)))
        if 0 < w <= width and 0 < h <= height:
            top = int(numbers[20] * (height - h + 1))
            return top, int(numbers[21] * (width - w + 1)), h, w
    in_ratio = width / height
    if in_ratio < min(ratio):
        w, h = width, round(width / min(ratio))
    elif in_ratio > max(ratio):
        w, h = round(height * max(ratio)), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize(
    ("size", "scale", "ratio"),
    [
        ((60, 80), (0.08, 1.0), (3 / 4, 4 / 3)),
        ((30, 200), (0.5, 1.0), (0.9, 1.1)),  # most boxes do not fit, and some samples have none
        ((200, 30), (0.9, 1.0), (0.9, 1.1)),
        ((50, 50), (0.99, 1.0), (0.5, 0.6)),
        ((50, 50), (0.9, 1.0), (0.9, 1.1)),  # some are as high or as wide as the image
        ((1, 1), (0.08, 1.0), (0.1, 10)),
    ],
)
def test_resized_crops_lie_where_torchvision_s_do(size, scale, ratio):
    op = fastaug.RandomResizedCrop(16, scale=scale, ratio=ratio)
    draws = Draws(3, 1, SAMPLES, op.name, size, 3)
    columns, numbers = op.draw(draws), draws.uniform(22)
    for row, own in zip(columns, numbers, strict=True):
        assert tuple(row[:4]) == boxes_by_hand(own, *size, scale, ratio)
    top, left, height, width = columns[:, :4].T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= size[0]).all()
    assert (left + width <= size[1]).all()


def test_a_box_has_a_pixel_at_least():
    op = fastaug.RandomResizedCrop(4, scale=(1, 1), ratio=(3, 4))
    assert op.bind(0, 0, 0)(5, 1) == (0, 2, 1, 3)
    op = fastaug.RandomResizedCrop(4, scale=(1, 1), ratio=(0.1, 0.2))
    assert op.bind(0, 0, 0)(1, 5) == (2, 0, 3, 1)


@pytest.mark.parametrize("size", [(20, 16), (19, 18), (18, 15)])
def test_what_is_not_augmented_takes_the_middle(size):
    """As torchvision's `center_crop`, halves to the even number."""
    op = fastaug.RandomCrop((13, 11), fill=5).unaugmented()
    x = picture(*size)
    top, left = round((size[0] - 13) / 2), round((size[1] - 11) / 2)
    np.testing.assert_array_equal(op(x), x[top : top + 13, left : left + 11])


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (1, 3)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_resized_crops_are_pillow_s(interpolation, size):
    op = fastaug.RandomResizedCrop(size, interpolation=interpolation)
    x = picture(37, 61)
    for seed in range(20):
        left, top, right, bottom = op.bind(seed, 0, 0)(37, 61)
        part = Image.fromarray(x).crop((left, top, right, bottom))
        filter_ = getattr(Image.Resampling, interpolation.upper())
        expected = np.asarray(part.resize(size[::-1], filter_))
        difference = np.abs(op(x, seed=seed).astype(int) - expected)
        # Pillow 13 does the rows first in some cases, others never
        assert difference.max() <= 1


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_resized_crops_have_any_channels(channels):
    op, x = fastaug.RandomResizedCrop(9), picture(20, 30, channels)
    crop = op(x, seed=4)
    for k in range(channels):
        np.testing.assert_array_equal(crop[..., k], op(x[..., k], seed=4))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16"])
@pytest.mark.parametrize(
    ("arguments", "padding"),
    [
        ({}, (0, 0, 0, 0)),
        ({"padding": 4}, (4, 4, 4, 4)),
        ({"padding": (2, 3), "fill": 9}, (2, 3, 2, 3)),
        ({"padding": (1, 2, 3, 4), "fill": 200}, (1, 2, 3, 4)),
    ],
)
def test_crops_are_parts_of_the_padded_image(arguments, padding, dtype):
    op, x = fastaug.RandomCrop((12, 15), **arguments), picture(20, 16).astype(dtype)
    left, top, right, bottom = padding
    fill = arguments.get("fill", 0)
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=fill)
    places = set()
    for seed in range(300):
        numbers = Draws(seed, 0, np.zeros(1, np.int64), op.name, (20, 16), 3).uniform(2)[0]
        i = int(numbers[0] * (len(padded) - 12 + 1))
        j = int(numbers[1] * (padded.shape[1] - 15 + 1))
        places.add((i, j))
        crop = op(x, seed=seed)
        assert crop.dtype == ("uint8" if dtype == "uint8" else "float32")
        np.testing.assert_array_equal(crop, padded[i : i + 12, j : j + 15])
    assert {i for i, _ in places} == set(range(len(padded) - 11))
    assert {j for _, j in places} == set(range(padded.shape[1] - 14))


def test_an_image_that_is_too_small():
    x = picture(5, 20)
    with pytest.raises(ValueError, match=r"RandomCrop\(size=\(8, 8\).*at least.*\(5, 20\)"):
        fastaug.RandomCrop(8)(x)
    crop = fastaug.RandomCrop(8, pad_if_needed=True, fill=7)(x, seed=1)
    assert crop.shape == (8, 8, 3)
    inside = (crop != 7).any(axis=(1, 2))
    assert 0 < inside.sum() <= 5
    # an image that is large enough is not padded
    np.testing.assert_array_equal(
        fastaug.RandomCrop(5, pad_if_needed=True)(x, seed=3), fastaug.RandomCrop(5)(x, seed=3)
    )


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: fastaug.RandomCrop(0), ValueError, "size=0"),
        (lambda: fastaug.RandomCrop(2.5), TypeError, "size=2.5"),
        (lambda: fastaug.RandomCrop((1, 2, 3)), TypeError, "(1, 2, 3)"),
        (lambda: fastaug.RandomCrop(True), TypeError, "size=True"),
        (lambda: fastaug.RandomCrop(3, padding=-1), ValueError, "padding=-1"),
        (lambda: fastaug.RandomCrop(3, padding=(1, 2, 3)), TypeError, "(1, 2, 3)"),
        (lambda: fastaug.RandomCrop(3, padding=0.5), TypeError, "padding=0.5"),
        (lambda: fastaug.RandomCrop(3, fill="red"), TypeError, "fill='red'"),
        (lambda: fastaug.RandomCrop(3, pad_if_needed="no"), TypeError, "pad_if_needed='no'"),
        (lambda: fastaug.RandomResizedCrop("8"), TypeError, "size='8'"),
        (lambda: fastaug.RandomResizedCrop(8, scale=(0, 1)), ValueError, "scale=0"),
        (lambda: fastaug.RandomResizedCrop(8, scale=(0.5, 1.5)), ValueError, "scale=1.5"),
        (lambda: fastaug.RandomResizedCrop(8, scale=(0.9, 0.5)), ValueError, "(0.9, 0.5)"),
        (lambda: fastaug.RandomResizedCrop(8, scale=0.5), TypeError, "scale=0.5"),
        (lambda: fastaug.RandomResizedCrop(8, ratio=(0, 1)), ValueError, "ratio=0"),
        (lambda: fastaug.RandomResizedCrop(8, interpolation="nearest"), ValueError, "'nearest'"),
    ],
)
def test_wrong_arguments(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)


def test_floats_are_not_resized():
    with pytest.raises(TypeError, match=r"RandomResizedCrop.*uint8.*float32"):
        fastaug.RandomResizedCrop(8)(np.zeros((9, 9, 3), "float32"))


@pytest.mark.parametrize(
    "op", [fastaug.RandomCrop(3, padding=1), fastaug.RandomResizedCrop((2, 5))]
)
def test_they_are_values(op):
    other = pickle.loads(pickle.dumps(op))
    assert op == other
    assert hash(op) == hash(other)
    assert eval(repr(op), vars(fastaug)) == op
    assert op != type(op)(7)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_what_is_magnified_and_warped_is_interpolated_once(data_format):
    """Beside SciPy at the coordinates of both; what shrinks is resized before it is warped."""
    x = picture(40, 50)[np.newaxis].repeat(30, axis=0)
    op = fastaug.RandomResizedCrop((34, 38), scale=(0.2, 1.0))
    settings = {"rotation_range": 30, "zoom_range": 0.2, "fill_mode": "nearest", "dtype": "uint8"}
    generator = fastaug.ImageDataGenerator(**settings, augment=op, data_format=data_format)
    first = data_format == "channels_first"
    given = x.transpose(0, 3, 1, 2) if first else x
    with generator.flow(given, batch_size=30, seed=2, shuffle=False) as flow:
        batch = next(flow)
    np.random.seed(2)
    shape = (3, 34, 38) if first else (34, 38, 3)
    magnified = 0
    for k, image in enumerate(batch.transpose(0, 2, 3, 1) if first else batch):
        params = generator.get_random_transform(shape)
        left, top, right, bottom = op.bind(2, 0, k)(40, 50)
        part = x[k, top:bottom, left:right]
        if part.shape[0] <= 34 and part.shape[1] <= 38:
            magnified += 1
            table = affine_row(params["theta"], zx=params["zx"], zy=params["zy"])
            m = _core.affine_matrices(table, 34, 38)[0]
            rows, columns = np.mgrid[:34, :38]
            at = np.einsum("ij,jkl->ikl", m[:, :2], np.stack([rows, columns])) + m[:, 2, None, None]
            at[0] = (at[0] + 0.5) * part.shape[0] / 34 - 0.5
            at[1] = (at[1] + 0.5) * part.shape[1] / 38 - 0.5
            expected = np.stack(
                [
                    ndimage.map_coordinates(part[..., c].astype(float), at, order=1, mode="nearest")
                    for c in range(3)
                ],
                axis=-1,
            )
        else:
            resized = np.asarray(Image.fromarray(part).resize((38, 34), Image.Resampling.BILINEAR))
            plain = fastaug.ImageDataGenerator(**settings | {"dtype": "float32"})
            expected = plain.apply_transform(resized.astype("float32"), params)
        assert np.abs(image - expected).max() <= 1.01
    assert 10 < magnified < 30
