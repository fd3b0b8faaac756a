"""Each op beside an independent implementation: Pillow, SciPy, or torchvision's formula in NumPy.

A new op needs one row in `ROWS`: everything below is asked of all rows.
"""

import collections
import colorsys
import dataclasses
import functools
import importlib
import itertools
import pickle
import pkgutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

import fastaug
import fastaug.ops
from fastaug import _core
from fastaug.ops.base import Draws, Op, layout

SIZES = [(1, 1), (1, 7), (2, 3), (5, 4), (13, 9), (33, 64), (67, 45), (5, 300)]
SEEDS = range(6)


@dataclasses.dataclass
class Row:
    """What there is to say of an op.

    Args:
        ops: Some of them, of various arguments.
        kernels: An implementation of each of the core's ops that are new with it: a function of an
            image, (height, width, channels), and the columns. Bytes have to be the same, but for
            those of `ROUNDED`.
        bad: Arguments that are not taken, the error, and what its text says.
    """

    ops: list
    kernels: dict = dataclasses.field(default_factory=dict)
    bad: list = dataclasses.field(default_factory=list)


# ---- references ----------------------------------------------------------------------------------


def of_pillow(function):
    """Makes a reference of a function of one of Pillow's images."""

    def reference(image, *columns):
        pixels = image[..., 0] if image.shape[2] == 1 else image
        return np.asarray(function(Image.fromarray(pixels), *columns)).reshape(image.shape)

    return reference


def by_type(of_bytes, of_floats):
    """Makes a reference of one for bytes and one for floats."""

    def reference(image, *columns):
        return (of_bytes if image.dtype == np.uint8 else of_floats)(image, *columns)

    return reference


def clipped(values, like):
    """Values as torchvision returns them: of bytes, without their fraction."""
    values = np.clip(values, 0, 255)
    return np.floor(values) if like.dtype == np.uint8 else values


def grey_of(image):
    if image.shape[2] == 1:
        return image.astype(np.float32)
    grey = image.astype(np.float32) @ np.array([0.2989, 0.587, 0.114], dtype=np.float32)
    return (np.floor(grey) if image.dtype == np.uint8 else grey)[..., np.newaxis]


def saturated(image, factor):
    return image if image.shape[2] == 1 else blended(image, grey_of(image), factor)


def blended(image, other, factor):
    return clipped(image * np.float32(factor) + other * np.float32(1 - factor), image)


def turned_hue(image, part):
    if image.shape[2] == 1:
        return image
    out = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*image[place].astype(float) / 255)
        out[place] = colorsys.hsv_to_rgb((h + part) % 1, s, v)
    return np.floor(out * 255.999) if image.dtype == np.uint8 else out * 255


def stretched(image, _):
    low, high = (extreme(axis=(0, 1)).astype(np.float32) for extreme in (image.min, image.max))
    scale = np.where(high > low, (high - low) * np.float32(1 / 255), np.float32(1))
    return clipped((image - np.where(high > low, low, np.float32(0))) / scale, image)


def blurred(image, height, width, sigma):
    out = image.astype(float)
    for axis, size in enumerate((height, width)):
        x = np.arange(size) - size // 2
        window = np.exp(-(x**2) / (2 * sigma**2))
        out = ndimage.correlate1d(out, window / window.sum(), axis=axis, mode="mirror")
    return np.rint(out) if image.dtype == np.uint8 else out


def sharpened(image, factor):
    window = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]])[..., np.newaxis] / 13
    out = image.astype(float)
    smooth = ndimage.correlate(out, window)
    out[1:-1, 1:-1] += (1 - factor) * (smooth - out)[1:-1, 1:-1]
    return np.clip(out, 0, 255)


def random_bits(key, count):
    """The core's numbers, in NumPy; see noise.h."""
    key = int(key) * 0x9E3779B97F4A7C15 % 2**64
    x = np.arange(count, dtype=np.uint32) ^ np.uint32(key % 2**32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= np.uint32(key >> 32)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def with_noise(image, mean, deviation, clips, key):
    bits = random_bits(key, -(-image.size // 256) * 256).reshape(-1, 2, 128)
    radius = np.sqrt(-2 * np.log(((bits[:, :1] >> np.uint32(1)) + 0.5) / 2**31))
    angle = 2 * np.pi * bits[:, 1:].view(np.int32) / 2**32
    normal = np.concatenate([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    noise = mean + deviation * normal.ravel()[: image.size].reshape(image.shape)
    if image.dtype == np.uint8:
        out = image + np.trunc(noise)
        return np.clip(out, 0, 255) if clips else out % 256
    return np.clip(image + noise, 0, 255) if clips else image + noise


def erased(image, top, left, height, width, is_noise, key, *values):
    out = image.copy()
    box = np.s_[int(top) : int(top + height), int(left) : int(left + width)]
    noise = (random_bits(key, image.size) >> np.uint32(24)).reshape(image.shape)
    out[box] = noise[box] if is_noise else np.resize(values, image.shape[2])
    return out


def mapped(image, matrix, order, fill):
    """An image through a 3 x 3 matrix of rows and columns from its centre.

    NaN: two pixels are equally near.
    """
    height, width = image.shape[:2]
    centre = (np.array([height, width]) - 1) / 2
    places = np.indices((height, width)).reshape(2, -1) - centre[:, np.newaxis]
    source = matrix @ np.vstack([places, np.ones(height * width)])
    source = source[:2] / source[2] + centre[:, np.newaxis]
    ties = np.zeros(height * width, bool)
    if order == 0:
        ties = (np.abs((source + 0.5) - np.rint(source + 0.5)) < 1e-9).any(axis=0)
        source = np.floor(source + 0.5)
    out = [
        ndimage.map_coordinates(
            channel.astype(float), source, order=int(order), mode="grid-constant", cval=fill
        )
        for channel in np.moveaxis(image, 2, 0)
    ]
    out = np.stack(out, axis=-1)
    out[ties] = np.nan
    out = out.reshape(image.shape)
    return np.floor(out + 0.5) if image.dtype == np.uint8 else out


def affine(image, a, b, c, d, e, f, order, fill):
    return mapped(image, np.array([[a, b, c], [d, e, f], [0, 0, 1]]), order, fill)


def perspective(image, *columns):
    return mapped(image, np.append(columns[:8], 1).reshape(3, 3), *columns[8:])


# ---- the table -----------------------------------------------------------------------------------

BAD_P = ({"p": 1.5}, ValueError, "p=1.5")

ROWS = {
    "AutoContrast": Row(
        [fastaug.AutoContrast()],
        {"autocontrast": stretched},
        bad=[BAD_P],
    ),
    "ColorJitter": Row(
        [
            fastaug.ColorJitter(brightness=(0.0, 2.0)),
            fastaug.ColorJitter(contrast=(0.0, 3.0)),
            fastaug.ColorJitter(saturation=(0.0, 3.0)),
            fastaug.ColorJitter(hue=0.5),
            fastaug.ColorJitter(hue=(-0.5, -0.4)),
            fastaug.ColorJitter(0.4, 0.4, 0.4, 0.1),
            fastaug.ColorJitter(0.4, hue=[0.1, 0.2]),
        ],
        {
            "adjust_brightness": lambda i, f: clipped(i * np.float32(f), i),
            "adjust_contrast": lambda i, f: blended(i, grey_of(i).mean(dtype=np.float64), f),
            "adjust_saturation": saturated,
            "adjust_hue": turned_hue,
        },
        bad=[
            ({"brightness": -0.5}, ValueError, "brightness=-0.5"),
            ({"contrast": (1.2, 0.8)}, ValueError, "contrast=(1.2, 0.8)"),
            ({"saturation": (1, 2, 3)}, TypeError, "saturation=(1, 2, 3)"),
            ({"hue": 0.6}, ValueError, "hue=0.6"),
            ({"hue": (-0.7, 0)}, ValueError, "hue=-0.7"),
            ({"brightness": "bright"}, TypeError, "brightness='bright'"),
            BAD_P,
        ],
    ),
    "Equalize": Row(
        [fastaug.Equalize()],
        {"equalize": of_pillow(lambda i, _: ImageOps.equalize(i))},
        bad=[BAD_P],
    ),
    "Erasing": Row(
        [
            fastaug.Erasing(1, value=7),
            fastaug.Erasing(1, value="random"),
            fastaug.Erasing(1.0, scale=[0.1, 0.9], ratio=(0.1, 0.2), value=[200]),
        ],
        {"erasing": erased},
        bad=[
            BAD_P,
            ({"scale": (0.5, 1.5)}, ValueError, "scale=1.5"),
            ({"ratio": (0, 1)}, ValueError, "ratio=0"),
            ({"ratio": 1}, TypeError, "ratio=1"),
            ({"value": 256}, ValueError, "value=256"),
            ({"value": "noise"}, ValueError, "value='noise'"),
            ({"value": (1,) * 5}, ValueError, "value=(1, 1, 1, 1, 1)"),
        ],
    ),
    "GaussianBlur": Row(
        [
            fastaug.GaussianBlur(1),
            fastaug.GaussianBlur(3, sigma=0.8),
            fastaug.GaussianBlur((5, 3), sigma=[1, 3]),
            fastaug.GaussianBlur((7, 11)),
        ],
        {"gaussian_blur": blurred},
        bad=[
            ({"kernel_size": 3, "p": 2}, ValueError, "p=2"),
            ({"kernel_size": 4}, ValueError, "kernel_size=4"),
            ({"kernel_size": 257}, ValueError, "kernel_size=257"),
            ({"kernel_size": (3, 5, 7)}, TypeError, "kernel_size=(3, 5, 7)"),
            ({"kernel_size": 3, "sigma": 0}, ValueError, "sigma=0"),
            ({"kernel_size": 3, "sigma": (2, 1)}, ValueError, "sigma=(2, 1)"),
        ],
    ),
    "GaussianNoise": Row(
        [
            fastaug.GaussianNoise(),
            fastaug.GaussianNoise(mean=0.1, sigma=0.02),
            fastaug.GaussianNoise(sigma=0.5, clip=False),
        ],
        {"gaussian_noise": with_noise},
        bad=[
            BAD_P,
            ({"mean": 2}, ValueError, "mean=2"),
            ({"sigma": -0.1}, ValueError, "sigma=-0.1"),
            ({"clip": 1}, TypeError, "clip=1"),
        ],
    ),
    "Grayscale": Row(
        [fastaug.Grayscale()],
        {"grayscale": lambda i, _: np.broadcast_to(grey_of(i), i.shape)},
        bad=[BAD_P],
    ),
    "Invert": Row(
        [fastaug.Invert()],
        {"invert": by_type(of_pillow(lambda i, _: ImageOps.invert(i)), lambda i, _: 255 - i)},
        bad=[BAD_P],
    ),
    "Perspective": Row(
        [
            fastaug.Perspective(p=1),
            fastaug.Perspective(0.2, p=1, fill=200),
            fastaug.Perspective(0.8, p=1, interpolation="nearest", fill=9),
        ],
        {"perspective": perspective},
        bad=[
            BAD_P,
            ({"distortion_scale": 1.1}, ValueError, "distortion_scale=1.1"),
            ({"interpolation": "cubic"}, ValueError, "interpolation='cubic'"),
            ({"interpolation": []}, ValueError, "interpolation=[]"),
            ({"fill": 300}, ValueError, "fill=300"),
        ],
    ),
    "Posterize": Row(
        [fastaug.Posterize(bits) for bits in range(9)],
        {
            "posterize": lambda i, bits: (
                of_pillow(ImageOps.posterize)(i, int(bits)) if bits else 0 * i
            )
        },
        bad=[
            ({"bits": 9}, ValueError, "bits=9"),
            ({"bits": "4"}, TypeError, "bits='4'"),
            ({"bits": 2.5}, TypeError, "bits=2.5"),
            ({"bits": 4, "p": -1}, ValueError, "p=-1"),
        ],
    ),
    "RandAugment": Row(
        [fastaug.RandAugment(1, 30), fastaug.RandAugment(3, 20), fastaug.RandAugment(bins=10)],
        bad=[
            ({"num_ops": -1}, ValueError, "num_ops=-1"),
            ({"magnitude": 31}, ValueError, "magnitude=31"),
            ({"bins": 1.5}, TypeError, "bins=1.5"),
        ],
    ),
    "Rot90": Row([fastaug.Rot90()], {"affine": affine}, bad=[BAD_P]),
    "Sharpness": Row(
        [fastaug.Sharpness(factor) for factor in (0, 0.5, 1.9, 5)],
        {
            "sharpness": by_type(
                of_pillow(lambda i, factor: ImageEnhance.Sharpness(i).enhance(factor)), sharpened
            )
        },
        bad=[
            ({"factor": -1}, ValueError, "factor=-1"),
            ({"factor": None}, TypeError, "factor=None"),
            ({"factor": 1, "p": 2}, ValueError, "p=2"),
        ],
    ),
    "Solarize": Row(
        [fastaug.Solarize(threshold) for threshold in (0, 100, 127.5, 256)],
        {
            "solarize": by_type(
                of_pillow(lambda i, threshold: ImageOps.solarize(i, threshold)),
                lambda i, threshold: np.where(i >= threshold, 255 - i, i),
            )
        },
        bad=[
            ({"threshold": 257}, ValueError, "threshold=257"),
            ({"threshold": True}, TypeError, "threshold=True"),
            ({"threshold": 1, "p": 2}, ValueError, "p=2"),
        ],
    ),
    "Sometimes": Row(
        [
            fastaug.Sometimes(fastaug.Posterize(2), p=1),
            fastaug.Sometimes("trivialaugment", p=1),
            fastaug.Sometimes(fastaug.Erasing(0.5), p=1),
        ],
        bad=[
            ({"op": "unknown"}, ValueError, "'unknown'"),
            ({"op": "posterize"}, ValueError, "'posterize'"),  # it has no default for its bits
            ({"op": 3}, TypeError, "op=3"),
            ({"op": fastaug.RandomCrop(2)}, ValueError, "op=RandomCrop(size=(2, 2)"),
            ({"op": "equalize", "p": 2}, ValueError, "p=2"),
        ],
    ),
    "TrivialAugment": Row(
        [fastaug.TrivialAugment(), fastaug.TrivialAugment(bins=5)],
        bad=[
            ({"bins": 1}, ValueError, "bins=1"),
            ({"bins": 3.5}, TypeError, "bins=3.5"),
        ],
    ),
}

KERNELS = {name: function for row in ROWS.values() for name, function in row.kernels.items()}

# Parts of the bytes that may be one level apart: sums that are rounded otherwise cross a whole
# number, or a half.
ROUNDED = {
    "adjust_contrast": 5e-4,
    "adjust_hue": 5e-4,
    "gaussian_blur": 0.01,
    "gaussian_noise": 5e-4,
    "perspective": 5e-4,
}
# How far floats may be apart: the core's sines and logarithms of noise are series.
FLOATS_APART = dict.fromkeys(KERNELS, 3e-4) | {"gaussian_noise": 0.03}

OPS = [op for row in ROWS.values() for op in row.ops]

IDENTITIES = (fastaug.Posterize(8), fastaug.Solarize(256), fastaug.GaussianBlur(1))

each_op = pytest.mark.parametrize("op", OPS, ids=repr)
each_row = pytest.mark.parametrize("name", ROWS)


# ---- helpers -------------------------------------------------------------------------------------


@functools.cache
def picture(height, width, channels, seed=0, dtype="uint8"):
    """Noise, of few values at times, or a smooth image."""
    rng = np.random.default_rng([seed, height, width, channels])
    image = rng.integers(0, [256, 256, 9][seed % 3], (height, width, channels)).astype(float)
    if seed % 3 == 1:
        image = ndimage.gaussian_filter(image, (3, 3, 0)) * 2
    image = np.clip(image, 0, 255).astype(np.uint8)
    if dtype != "uint8":
        image = np.clip(image + rng.uniform(-0.5, 0.5, image.shape), 0, 255).astype(dtype)
    image.flags.writeable = False
    return image


def images(op, dtype="uint8"):
    """Images that an op can be done to, each with a seed."""
    for size in SIZES:
        if isinstance(op, fastaug.Rot90):
            size = (size[0], size[0])
        try:
            op.check_size(size)
        except ValueError:
            continue
        for channels in (1, 3):
            for seed in SEEDS:
                yield picture(*size, channels, seed, dtype), seed


def steps_of(op, image, seed):
    """Names and columns of the core's ops that are done to an image."""
    draws = Draws(seed, 0, np.zeros(1, np.int64), op.name, image.shape[:2], image.shape[2])
    (row,) = op.table(draws)
    for kernel, start in zip(op.steps, layout(op.steps)[0], strict=True):
        if np.isnan(row[start]):
            continue
        if kernel is None:
            kernel, start = _core.IMAGE_OPS[int(row[start])], start + 1
        yield kernel, row[start : start + _core.IMAGE_OP_COLUMNS[kernel]]


def run_core(steps, images, *, channels_first=False, only_moves=False, order=1, cval=0.0):
    """Images through ops of the core, each with its columns."""
    names, columns = [], [np.array([0, 0, 0, 0, 1, 1, 0, 0, np.nan, np.nan])]
    for kernel, numbers in steps:
        names.append((kernel, sum(map(len, columns))))
        columns.append(numbers)
    row = np.concatenate(columns)
    shape = images.shape[1:]
    channels, height, width = shape if channels_first else (shape[2], *shape[:2])
    program = _core.Program(
        height,
        width,
        channels,
        is_bytes=images.dtype == np.uint8,
        channels_first=channels_first,
        augment=names,
        columns=len(row),
        only_moves=only_moves,
        order=order,
        cval=cval,
    )
    out = np.empty_like(images)
    table = np.tile(row, (len(images), 1))
    _core.augment(program, images, np.arange(len(images)), table, None, out, 0, len(images))
    return out


def alone(kernel, columns, image):
    return run_core([(kernel, columns)], image[np.newaxis])[0]


def is_move(kernel):
    return kernel in ("affine", "perspective")


def takes_floats(op):
    return set(op.kernels) <= _core.OPS_OF_FLOATS


@pytest.fixture(params=_core.simd_variants())
def variant(request):
    _core.select_simd(request.param)
    yield request.param
    _core.select_simd(_core.simd_variants()[-1])


# ---- pixels --------------------------------------------------------------------------------------


def test_every_op_has_a_row():
    found = {}
    for info in pkgutil.iter_modules(fastaug.ops.__path__):
        module = importlib.import_module(f"fastaug.ops.{info.name}")
        found |= {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    ops = {name for name, kind in found.items() if issubclass(kind, Op) and not kind.is_crop}
    assert ops == set(ROWS)
    assert set(KERNELS) == set(_core.IMAGE_OPS)
    for name in ROWS:
        assert getattr(fastaug, name) is found[name]
        assert {type(op).__name__ for op in ROWS[name].ops} == {name}


def check_against_references(op, dtype):
    """Each step against its reference, and all of them against the op."""
    done = 0
    values, rounded = collections.Counter(), collections.Counter()
    for image, seed in images(op, dtype):
        expected, kernels = image, []
        for kernel, columns in steps_of(op, image, seed):
            before, expected = expected, alone(kernel, columns, expected)
            wanted = KERNELS[kernel](before, *columns)
            apart = np.abs(expected - np.asarray(wanted, dtype=float))
            if kernel == "gaussian_noise" and not columns[2]:  # they wrap around
                apart = np.minimum(apart, 256 - apart)
            limit = FLOATS_APART[kernel] if dtype != "uint8" else kernel in ROUNDED
            assert not (apart > limit).any(), (kernel, columns, image.shape, seed)
            values[kernel] += image.size
            rounded[kernel] += np.count_nonzero(apart > 0)  # NaN: two pixels are equally near
            kernels.append(kernel)
            done += 1
        if not any(is_move(a) and is_move(b) for a, b in itertools.pairwise(kernels)):
            result = op(image, seed=seed)
            assert result.dtype == image.dtype
            np.testing.assert_array_equal(result, expected)
    assert done > 20
    if dtype == "uint8":
        assert all(rounded[name] <= ROUNDED.get(name, 0) * values[name] for name in values)


@each_op
def test_bytes_are_those_of_the_reference(op, variant):
    check_against_references(op, "uint8")


@pytest.mark.parametrize("op", [*filter(takes_floats, OPS)], ids=repr)
def test_floats_are_those_of_the_reference(op):
    check_against_references(op, "float32")


@pytest.mark.parametrize(
    ("op", "function"),
    [
        (fastaug.AutoContrast(), ImageOps.autocontrast),
        (fastaug.Grayscale(), lambda image: image.convert("L").convert(image.mode)),
    ],
    ids=repr,
)
def test_pillow_is_at_most_one_level_apart(op, function):
    for image, _ in images(op):
        assert np.abs(op(image).astype(int) - of_pillow(function)(image)).max() <= 1


@pytest.mark.parametrize("op", [op for op in OPS if not takes_floats(op)], ids=repr)
def test_ops_of_bytes_say_so(op):
    with pytest.raises(TypeError, match="float32") as caught:
        op(picture(5, 4, 3, dtype="float32"))
    assert repr(op) in str(caught.value)


@each_op
def test_variants_give_the_same_bytes(op):
    chosen = [*images(op)][-len(SEEDS) :]
    results = []
    for name in _core.simd_variants():
        _core.select_simd(name)
        results.append([op(image, seed=seed) for image, seed in chosen])
    for other in results[1:]:
        for image, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@each_op
def test_images_in_planes_are_the_same(op, dtype):
    if dtype != "uint8" and not takes_floats(op):
        return
    for image, seed in [*images(op, dtype)][-len(SEEDS) :]:
        steps = [*steps_of(op, image, seed)]
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))[np.newaxis]
        out = run_core(steps, planes, channels_first=True)[0]
        np.testing.assert_array_equal(out.transpose(1, 2, 0), op(image, seed=seed))


@each_op
def test_masks_are_only_moved(op):
    for image, seed in [*images(op)][-len(SEEDS) :]:
        steps = [*steps_of(op, image, seed)]
        out = run_core(steps, image[np.newaxis], only_moves=True, order=0, cval=77.0)[0]
        moves = [(kernel, columns.copy()) for kernel, columns in steps if is_move(kernel)]
        for _, columns in moves:
            columns[-2:] = 0, 77
        np.testing.assert_array_equal(out, run_core(moves, image[np.newaxis])[0])


@each_op
def test_channels_that_are_neither_grey_nor_colours(op):
    image = picture(9, 9, 2)
    if _core.OPS_OF_COLOURS.isdisjoint(op.kernels):
        assert op(image, seed=1).shape == image.shape
    else:
        with pytest.raises(ValueError, match=r"one channel or three. Received: 2"):
            op(image)


@each_op
def test_an_image_of_two_axes_is_one_of_one_channel(op):
    image = picture(9, 9, 1)
    np.testing.assert_array_equal(op(image[..., 0], seed=3), op(image, seed=3)[..., 0])


# ---- what is drawn -------------------------------------------------------------------------------


@each_op
def test_probability(op):
    if "p" not in {field.name for field in dataclasses.fields(op)}:
        return
    image = picture(16, 16, 3)
    samples = np.arange(1000)
    draws = Draws(5, 0, samples, op.name, image.shape[:2], 3)
    starts = layout(op.steps)[0]
    never, half = (dataclasses.replace(op, p=p) for p in (0.0, 0.5))
    for seed in SEEDS:
        np.testing.assert_array_equal(never(image, seed=seed), image)
    table = half.table(draws)
    off = np.isnan(table[:, starts]).all(axis=1)
    always = dataclasses.replace(op, p=1.0).table(draws)
    extra = np.isnan(always[:, starts]).all(axis=1)
    assert 0.42 < np.mean(off[~extra]) < 0.58
    np.testing.assert_array_equal(table[~off], always[~off])


@each_op
def test_it_changes_images(op):
    is_identity = op in IDENTITIES
    image = picture(32, 32, 3) // 2 + 50
    changed = [not np.array_equal(op(image, seed=seed), image) for seed in range(30)]
    assert sum(changed) == 0 if is_identity else sum(changed) >= 10


@each_op
def test_same_seed_same_image(op):
    image = picture(16, 16, 3)
    first = [op(image, seed=seed) for seed in range(8)]
    second = [pickle.loads(pickle.dumps(op))(image, seed=seed) for seed in range(8)]
    np.testing.assert_array_equal(first, second)
    draws = Draws(0, 0, np.arange(8), op.name, image.shape[:2], 3)
    draws_something = len(np.unique(np.nan_to_num(op.table(draws)), axis=0)) > 4
    if draws_something and op not in IDENTITIES:
        assert len({out.tobytes() for out in first}) > 1


@each_op
def test_samples_do_not_depend_on_each_other(op):
    draws = Draws(7, 2, np.arange(20), op.name, (16, 16), 3)
    some = dataclasses.replace(draws, samples=np.array([3, 19, 0]))
    np.testing.assert_array_equal(op.table(some), op.table(draws)[[3, 19, 0]])


# ---- objects -------------------------------------------------------------------------------------


@each_op
def test_ops_are_values(op):
    same = eval(repr(op), vars(fastaug) | {name: getattr(fastaug, name) for name in ROWS})
    for other in (same, pickle.loads(pickle.dumps(op)), dataclasses.replace(op)):
        assert other == op
        assert hash(other) == hash(op)
        assert repr(other) == repr(op)
    with pytest.raises(dataclasses.FrozenInstanceError):
        op.p = 0.3


@each_row
def test_ops_of_a_kind_differ(name):
    ops = ROWS[name].ops
    assert len(set(ops)) == len(ops)


@each_row
def test_bad_arguments(name):
    for arguments, error, text in ROWS[name].bad:
        with pytest.raises(error) as caught:
            getattr(fastaug, name)(**arguments)
        assert text in str(caught.value), arguments
    assert ROWS[name].bad


def test_a_hue_of_floats_out_of_range_is_that_of_the_clipped():
    image = picture(9, 8, 3, dtype="float32") * 2 - 100
    jitter = fastaug.ColorJitter(hue=(0.3, 0.3))
    np.testing.assert_array_equal(jitter(image), jitter(np.clip(image, 0, 255)))


@pytest.mark.filterwarnings("error")
def test_a_hue_of_nearly_no_colour():
    """The inverse of a range that is as small as a float may be is infinite."""
    image = np.full((4, 4, 3), 1e-44, dtype=np.float32)
    image[..., 0] = 2e-44
    turned = fastaug.ColorJitter(hue=(0.3, 0.3))(image)
    assert (turned <= 2e-44).all()
    assert (turned > 0).any()
