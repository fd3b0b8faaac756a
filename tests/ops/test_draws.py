"""What ops draw, beside the published ranges and torchvision's way, with one sample's numbers."""

import fractions
import itertools
import math
import re

import numpy as np
import pytest
from scipy import stats

import fastaug
from fastaug import _core
from fastaug.ops.base import Draws, Op, columns_of
from fastaug.ops.policy import op_of

SAMPLES = np.arange(4000)
SLOT = columns_of(None)
SMALL = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def draws_of(op, size=(60, 80), samples=SAMPLES, channels=3):
    return Draws(11, 0, samples, op.name, size, channels)


# ---- ColorJitter ---------------------------------------------------------------------------------


def test_jitter_draws_factors_and_their_order():
    op = fastaug.ColorJitter(brightness=0.4, contrast=(0.5, 3), saturation=2, hue=0.1)
    slots = op.draw(draws_of(op)).reshape(len(SAMPLES), 4, SLOT)
    names = np.array(_core.IMAGE_OPS)[slots[:, :, 0].astype(int)]
    ranges = {"brightness": (0.6, 1.4), "contrast": (0.5, 3), "saturation": (0, 3)}
    for name, (low, high) in (ranges | {"hue": (-0.1, 0.1)}).items():
        factors = slots[:, :, 1][names == f"adjust_{name}"]
        assert len(factors) == len(SAMPLES)  # once for each image
        assert stats.kstest(factors, stats.uniform(low, high - low).cdf).pvalue > 0.01
        first = slots[:, 0, 1][names[:, 0] == f"adjust_{name}"]  # whatever its factor is
        assert stats.kstest(first, stats.uniform(low, high - low).cdf).pvalue > 0.001
    orders, counts = np.unique(names, axis=0, return_counts=True)
    assert len(orders) == math.factorial(4)
    assert stats.chisquare(counts).pvalue > 0.01


def test_jitter_of_nothing_does_nothing():
    np.testing.assert_array_equal(fastaug.ColorJitter()(SMALL), SMALL)


# ---- noise ---------------------------------------------------------------------------------------


def noise_of(seed, shape=(256, 256, 3), mean=0.0, sigma=0.1):
    zeros = np.zeros(shape, np.float32)
    return fastaug.GaussianNoise(mean, sigma, clip=False)(zeros, seed=seed)


def test_noise_is_normal():
    noise = noise_of(1, mean=0.02).ravel().astype(float)
    assert abs(noise.mean() - 0.02 * 255) < 0.2
    assert abs(noise.std() - 25.5) < 0.2
    assert abs(stats.kurtosis(noise)) < 0.05
    assert abs(stats.skew(noise)) < 0.03
    assert stats.kstest(noise, stats.norm(5.1, 25.5).cdf).pvalue > 0.01
    assert np.abs(noise - 5.1).max() > 4 * 25.5


def test_noise_is_in_parts_of_255():
    np.testing.assert_array_equal(noise_of(1, (3, 4, 1), mean=-1.0, sigma=0.0), -255)
    np.testing.assert_allclose(noise_of(1, mean=0.0, sigma=1.0), 10 * noise_of(1), rtol=1e-5)


def test_noise_of_channels_neighbours_and_images_is_independent():
    noise = noise_of(1)
    pairs = [(noise[..., a], noise[..., b]) for a, b in ((0, 1), (1, 2), (0, 2))]
    pairs += [(noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1]), (noise, noise_of(2))]
    flat = noise.ravel()
    pairs += [(flat[k:], flat[:-k]) for k in (1, 2, 127, 128, 129, 255, 256)]
    for a, b in pairs:
        for p, q in ((a, b), (np.abs(a), np.abs(b))):
            assert abs(np.corrcoef(p.ravel(), q.ravel())[0, 1]) < 0.015


def test_noise_does_not_depend_on_how_values_lie():
    np.testing.assert_array_equal(
        noise_of(3, (16, 20, 3)).ravel(), noise_of(3, (40, 24, 1)).ravel()
    )


def test_random_rectangles_have_all_values():
    op = fastaug.Erasing(p=1, scale=(0.5, 0.5), ratio=(1, 1), value="random")
    out = op(np.zeros((200, 200, 3), np.uint8), seed=4)
    counts = np.bincount(out[out.any(axis=2)].ravel(), minlength=256)
    assert stats.chisquare(counts).pvalue > 0.01


def test_a_blur_has_width_and_height():
    stripes = np.repeat([[0, 0, 90, 0, 200, 0, 0]], 7, axis=0).astype(np.uint8)
    np.testing.assert_array_equal(fastaug.GaussianBlur((1, 5), sigma=1.0)(stripes), stripes)
    blurred = fastaug.GaussianBlur((5, 1), sigma=1.0)(stripes)
    assert (blurred != stripes).all(axis=0).any()
    np.testing.assert_array_equal(blurred, blurred[:1].repeat(7, axis=0))


def test_a_blur_needs_more_than_half_of_its_window():
    op = fastaug.GaussianBlur((7, 5), sigma=1.0)
    assert op(np.zeros((3, 4), np.uint8)).shape == (3, 4)
    for small in ((2, 4), (3, 3)):
        with pytest.raises(ValueError, match=r"larger than half of its window"):
            op(np.zeros(small, np.uint8))


# ---- Erasing -------------------------------------------------------------------------------------


def box_by_hand(numbers, height, width, scale, ratio):
    """What `RandomErasing` of torchvision does, with the numbers of one sample."""
    for attempt in range(10):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * numbers[2 * attempt])
        low, high = np.log(ratio)
        shape = np.exp(low + (high - low) * numbers[2 * attempt + 1])
        h, w = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if h < height and w < width:
            return (
                int(numbers[20] * (height - h + 1)),
                int(numbers[21] * (width - w + 1)),
                h,
                w,
            )
    return None


@pytest.mark.parametrize(
    ("size", "scale", "ratio"),
    [
        ((60, 80), (0.02, 0.33), (0.3, 3.3)),
        ((20, 200), (0.08, 0.5), (0.3, 2.0)),  # many do not fit
        ((50, 50), (0.9, 1.0), (0.9, 1.1)),
        ((1, 9), (0.0, 1.0), (0.3, 3.3)),
    ],
)
def test_rectangles_lie_where_torchvision_s_do(size, scale, ratio):
    op = fastaug.Erasing(1, scale, ratio)
    draws = draws_of(op, size)
    found = 0
    for row, numbers in zip(op.draw(draws), draws.uniform(23), strict=True):
        box = box_by_hand(numbers, *size, scale, ratio)
        if box is None:
            assert np.isnan(row[0])
        else:
            assert tuple(row[:4]) == box
            assert box[0] + box[2] <= size[0]
            assert box[1] + box[3] <= size[1]
            found += 1
    assert found or size == (1, 9)


def test_random_rectangles_have_a_key_of_their_own():
    op = fastaug.Erasing(1, value="random")
    draws = draws_of(op)
    keys, numbers = op.draw(draws)[:, 5], draws.uniform(23)
    np.testing.assert_array_equal(keys, np.floor(numbers[:, 22] * 2.0**53))  # 0 to 21: the box


def test_values_of_channels():
    image = np.full((8, 8, 3), 50, np.uint8)
    erased = fastaug.Erasing(1, scale=(0.3, 0.3), value=(1, 2, 3))(image, seed=0)
    assert {tuple(pixel) for pixel in erased.reshape(-1, 3)} == {(50, 50, 50), (1, 2, 3)}
    with pytest.raises(ValueError, match=r"each of 1 channels. Received: value=\(1, 2, 3\)"):
        fastaug.Erasing(1, value=(1, 2, 3))(image[..., :1])


# ---- geometry ------------------------------------------------------------------------------------


def coefficients(start, end):
    """torchvision's `_get_perspective_coeffs`: from corners of the result to those of the image."""
    rows, values = [], []
    for (x, y), (u, v) in zip(end, start, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows, float), np.array(values, float))


@pytest.mark.parametrize("size", [(60, 80), (33, 21), (7, 8)])
def test_perspective_is_torchvision_s(size):
    height, width = size
    op = fastaug.Perspective(0.5, p=1)
    draws = draws_of(op, size, SAMPLES[:200])
    corners = op.corners(draws.uniform(8), *size)
    start = [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)]
    for row, end in zip(op.draw(draws), corners, strict=True):
        a, b, c, d, e, f, g, h = coefficients(start, end)
        for x, y in [(0.5, 0.5), (width / 2, 3.0), (width - 0.5, height - 0.5)]:
            scale = g * x + h * y + 1
            expected = (d * x + e * y + f) / scale, (a * x + b * y + c) / scale
            down, right = y - height / 2, x - width / 2
            own = np.append(row[:8], 1).reshape(3, 3) @ [down, right, 1]
            got = own[0] / own[2] + height / 2, own[1] / own[2] + width / 2
            np.testing.assert_allclose(got, expected, atol=1e-8)


@pytest.mark.parametrize("scale", [0.5, 0.99])
def test_corners_move_as_far_as_torchvision_s(scale):
    op = fastaug.Perspective(scale)
    corners = op.corners(draws_of(op).uniform(8), 60, 81)
    down, right = (
        int(scale * 30) + 1,
        int(scale * 40) + 1,
    )  # randint(0, that), or the last of a side
    for k, (is_right, is_low) in enumerate([(0, 0), (1, 0), (1, 1), (0, 1)]):
        x, y = corners[:, k].T
        assert set(x) == set(range((81 - right) * is_right, (81 - right) * is_right + right))
        assert set(y) == set(range((60 - down) * is_low, (60 - down) * is_low + down))


def test_perspective_of_an_image_that_has_none():
    image = np.array([[[7]]], np.uint8)
    np.testing.assert_array_equal(fastaug.Perspective(p=1)(image), image)


def test_quarter_turns_are_exact_and_equally_likely():
    op = fastaug.Rot90()
    image = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    turned = [np.rot90(image, k).tobytes() for k in range(4)]
    counts = np.bincount(
        [turned.index(op(image, seed=seed).tobytes()) for seed in range(400)], minlength=4
    )
    assert stats.chisquare(counts).pvalue > 0.01
    with pytest.raises(ValueError, match=r"square images. Received images of \(4, 5\)"):
        op(image[:4])


# ---- policies ------------------------------------------------------------------------------------

#: torchvision's tables: the greatest magnitude of each op, and whether it may be negative.
WIDE = {
    "ShearX": (0.99, True),
    "ShearY": (0.99, True),
    "TranslateX": (32.0, True),
    "TranslateY": (32.0, True),
    "Rotate": (135.0, True),
    "Brightness": (0.99, True),
    "Color": (0.99, True),
    "Contrast": (0.99, True),
    "Sharpness": (0.99, True),
}
NARROW = dict.fromkeys(WIDE, (0.9, True)) | {
    "ShearX": (0.3, True),
    "ShearY": (0.3, True),
    "TranslateX": (150 / 331 * 80, True),
    "TranslateY": (150 / 331 * 60, True),
    "Rotate": (30.0, True),
}


def named(slot, size=(60, 80)):
    """torchvision's name and magnitude of a slot's columns."""
    if np.isnan(slot[0]):
        return "Identity", 0
    kernel, (a, b, c, d, _, f, *_) = _core.IMAGE_OPS[int(slot[0])], slot[1:9]
    colours = {"brightness": "Brightness", "saturation": "Color", "contrast": "Contrast"}
    if kernel == "affine":
        assert tuple(slot[7:9]) == (0, 0)  # nearest, and black outside
        if a != 1:
            return "Rotate", np.degrees(np.arctan2(-b, a)) * -1
        if d:
            np.testing.assert_allclose(f, d * size[0] / 2)
            return "ShearX", d
        if b:
            np.testing.assert_allclose(c, b * size[1] / 2)
            return "ShearY", b
        return ("TranslateX", -f) if f else ("TranslateY", -c)
    if kernel.startswith("adjust_"):
        return colours[kernel.removeprefix("adjust_")], a - 1
    if kernel == "sharpness":
        return "Sharpness", a - 1
    names = {"autocontrast": "AutoContrast", "equalize": "Equalize"}
    return names.get(kernel, kernel.capitalize()), a


def test_trivialaugment_draws_what_torchvision_s_does():
    op = fastaug.TrivialAugment()
    found = {}
    for slot in op.draw(draws_of(op)):
        name, magnitude = named(slot)
        found.setdefault(name, []).append(magnitude)
    # a shear, a turn or a way of 0 cannot be told from each other, and count as translations
    counts = {name: len(values) for name, values in found.items()}
    assert set(counts) == {
        *WIDE,
        *("Identity", "Posterize", "Solarize", "AutoContrast", "Equalize"),
    }
    assert min(counts.values()) > 0.8 * len(SAMPLES) / 14
    signs = []
    for name, (most, _) in WIDE.items():
        allowed = np.linspace(0, most, 31)
        if name.startswith("Translate"):
            allowed = np.trunc(allowed)
        values = np.array(found[name])
        assert np.abs(np.abs(values)[:, None] - allowed).min(axis=1).max() < 1e-9
        assert np.abs(values).max() == pytest.approx(most)
        signs.append(values[values != 0] < 0)
    signs = np.concatenate(signs)
    assert stats.binomtest(int(signs.sum()), len(signs)).pvalue > 0.001
    # torch.arange(31) / (30 / 6), from 8, to the nearest
    assert set(found["Posterize"]) == {2, 3, 4, 5, 6, 7, 8}
    np.testing.assert_allclose(sorted(set(found["Solarize"])), 255 * np.linspace(0, 1, 31))


@pytest.mark.parametrize(("magnitude", "bins"), [(9, 31), (30, 31), (4, 10)])
def test_randaugment_draws_what_torchvision_s_does(magnitude, bins):
    op = fastaug.RandAugment(3, magnitude, bins)
    slots = op.draw(draws_of(op)).reshape(-1, SLOT)
    found = {}
    for slot in slots:
        name, value = named(slot)
        found.setdefault(name, []).append(value)
    assert len(found) == 14
    counts = [len(values) for values in found.values()]
    assert stats.chisquare(counts).pvalue > 0.01
    part = magnitude / (bins - 1)
    for name, (most, _) in NARROW.items():
        wanted = int(most * part) if name.startswith("Translate") else most * part
        np.testing.assert_allclose(np.abs(found[name]), wanted)
        assert 0.4 < np.mean(np.array(found[name]) < 0) < 0.6
    assert set(found["Posterize"]) == {round(8 - magnitude / ((bins - 1) / 4))}
    np.testing.assert_allclose(found["Solarize"], 255 * (1 - part))


def inverse_affine(centre, angle, translate, shear):
    """torchvision's `_get_inverse_affine_matrix`, x and y from the middle, for a scale of 1."""
    turn, sx, sy = np.radians([angle, *shear])
    a, c = np.cos(turn - sy) / np.cos(sy), np.sin(turn - sy) / np.cos(sy)
    b, d = -a * np.tan(sx) - np.sin(turn), np.cos(turn) - c * np.tan(sx)
    matrix = np.array([[d, -b], [-c, a]])
    return np.column_stack([matrix, centre - matrix @ (np.add(centre, translate))])


@pytest.mark.parametrize("op", [fastaug.TrivialAugment(), fastaug.RandAugment()], ids=repr)
def test_signs_and_centres_of_moves_are_torchvision_s(op):
    height, width = 60, 80
    names = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]
    corner = np.array([-width / 2, -height / 2])  # center=[0, 0] of shears
    for name, is_negative, k in itertools.product(names, (False, True), (1, 17, 30)):
        number = np.array([names.index(name) + 1])
        (slot,) = op._slots(number, np.array([k]), np.array([is_negative]), (height, width))
        m = op.magnitudes((height, width))[name][k] * (-1 if is_negative else 1)
        slope = np.degrees(np.arctan(m))
        expected = {
            "ShearX": inverse_affine(corner, 0, (0, 0), (slope, 0)),
            "ShearY": inverse_affine(corner, 0, (0, 0), (0, slope)),
            "TranslateX": inverse_affine((0, 0), 0, (int(m), 0), (0, 0)),
            "TranslateY": inverse_affine((0, 0), 0, (0, int(m)), (0, 0)),
            "Rotate": inverse_affine((0, 0), -m, (0, 0), (0, 0)),  # F.rotate turns the other way
        }[name]
        rows_first = expected[::-1][:, [1, 0, 2]]
        np.testing.assert_allclose(slot[1:7].reshape(2, 3), rows_first, atol=1e-12)


@pytest.mark.parametrize("bins", [31, 16, 10, 7, 2])
def test_magnitudes_that_are_whole_numbers_are_exact(bins):
    """Else a value at a threshold is not inverted, and a way is a pixel too short."""
    wide = fastaug.TrivialAugment(bins).magnitudes((60, 80))
    narrow = fastaug.RandAugment(2, 1, bins).magnitudes((331, 662))
    for k in range(bins):
        part = fractions.Fraction(k, bins - 1)
        for own, wanted in [
            (wide["Solarize"], 255 * (1 - part)),
            (wide["TranslateX"], 32 * part),
            (narrow["Solarize"], 255 * (1 - part)),
            (narrow["TranslateY"], 150 * part),
            (narrow["TranslateX"], 300 * part),
        ]:
            assert own[k] == float(wanted) if wanted.denominator == 1 else own[k] != int(own[k])


def test_ops_of_an_image_are_drawn_apart():
    op = fastaug.RandAugment(2)
    first, second = op.draw(draws_of(op)).reshape(-1, 2, SLOT)[:, :, 0].T
    assert 0.05 < np.mean(np.nan_to_num(first) == np.nan_to_num(second)) < 0.25


def test_no_ops_at_all():
    np.testing.assert_array_equal(fastaug.RandAugment(0)(SMALL), SMALL)


def test_names_of_ops():
    assert op_of("trivialaugment") == fastaug.TrivialAugment()
    assert op_of("randaugment") == fastaug.RandAugment(2, 9, 31)
    assert op_of("autocontrast") == fastaug.AutoContrast()
    with pytest.raises(ValueError, match=r"'trivialaugment'.*Received: 'TrivialAugment'"):
        op_of("TrivialAugment")


def test_names_of_ops_that_need_arguments():
    with pytest.raises(ValueError, match=r"Received: 'posterize', .*fastaug\.Posterize\(\.\.\.\)"):
        fastaug.OneOf("equalize", "posterize")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: fastaug.MixUp(0), "`alpha` should be above 0 and finite. Received: alpha=0"),
        (lambda: fastaug.ColorJitter(-1), "`brightness` should be 0 or more. Received: brightness"),
        (lambda: fastaug.Posterize(9), "`bits` should be from 0 to 8. Received: bits=9"),
        (
            lambda: fastaug.RandomResizedCrop(8, scale=(0, 1)),
            "`scale` should be above 0, up to 1.0. Received: scale=0",
        ),
    ],
)
def test_numbers_outside_their_limits(make, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        make()


def test_sometimes_draws_its_own_number():
    op = fastaug.Sometimes(fastaug.Erasing(0.5), p=0.5)
    off = np.isnan(op.table(draws_of(op))[:, 0])
    assert 0.71 < off.mean() < 0.79


def test_sometimes_nothing():
    nothing = fastaug.Sometimes(fastaug.RandAugment(num_ops=0), p=0.5)
    np.testing.assert_array_equal(nothing(SMALL, seed=1), SMALL)


@pytest.mark.parametrize("seed", [1.5, "1", [1]])
def test_seeds_of_an_image_are_integers(seed):
    with pytest.raises(TypeError, match="integer"):
        fastaug.ColorJitter(0.5)(SMALL, seed=seed)
    jitter = fastaug.ColorJitter(0.5)
    wide = jitter(SMALL, seed=np.uint64(1 << 63))
    np.testing.assert_array_equal(wide, jitter(SMALL, seed=1 << 63))


@pytest.mark.parametrize(
    ("steps", "columns", "text"),
    [
        (("erasing",), 3, r"10 columns.*\(1, 3\)"),
        (("posterize",), 2, r"1 columns.*\(1, 2\)"),
        (("posterise",), 1, "'posterise'"),
    ],
)
def test_columns_of_an_op_of_ones_own(steps, columns, text):
    class Own(Op):
        @property
        def steps(self):
            return steps

        def draw(self, draws):
            return np.zeros((len(draws), columns))

    with pytest.raises(ValueError, match=text):
        Own()(SMALL, seed=1)
