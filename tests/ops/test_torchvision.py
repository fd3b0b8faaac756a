"""Ops beside torchvision itself, where it is installed: bytes, floats and the tables of policies.

A difference that is allowed has its reason beside it.
"""

import numpy as np
import pytest

import fastaug
from fastaug.ops.base import Draws
from fastaug.ops.policy import _CHOICES
from tests.ops.test_references import (
    KERNELS,
    OPS,
    affine,
    images,
    run_core,
    steps_of,
    takes_floats,
)

torch = pytest.importorskip("torch", exc_type=ImportError)
transforms = pytest.importorskip("torchvision.transforms.v2", exc_type=ImportError)
functional = transforms.functional

OF_TORCHVISION = {
    "adjust_brightness": functional.adjust_brightness,
    "adjust_contrast": functional.adjust_contrast,
    "adjust_hue": functional.adjust_hue,
    "adjust_saturation": functional.adjust_saturation,
    "autocontrast": lambda i, _: functional.autocontrast(i),
    "equalize": lambda i, _: functional.equalize(i),
    "gaussian_blur": lambda i, height, width, sigma: functional.gaussian_blur(
        i, [int(width), int(height)], [sigma, sigma]
    ),
    "grayscale": lambda i, _: functional.rgb_to_grayscale(i, len(i)),
    "invert": lambda i, _: functional.invert(i),
    "posterize": lambda i, bits: functional.posterize(i, int(bits)),
    "sharpness": functional.adjust_sharpness,
    "solarize": lambda i, threshold: (
        functional.solarize(i, threshold if i.dtype == torch.uint8 else threshold / 255)
        if threshold <= 255
        else i
    ),
}
# Sums of floats in another order, and weights of whole numbers, may cross a half or a whole number.
ROUNDED = {"adjust_contrast", "adjust_hue", "adjust_saturation", "gaussian_blur"}


def tensor_of(image):
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    return tensor if image.dtype == np.uint8 else tensor / 255


def array_of(tensor):
    array = tensor.numpy().transpose(1, 2, 0)
    return array if array.dtype == np.uint8 else array * 255


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("kernel", sorted(OF_TORCHVISION))
def test_pixels_are_torchvision_s(kernel, dtype):
    assert kernel in KERNELS
    compared = values = apart = 0
    for op in OPS:
        if dtype != "uint8" and not takes_floats(op):
            continue
        for image, seed in images(op, dtype):
            for name, columns in steps_of(op, image, seed):
                if name != kernel:
                    continue
                own = run_core([(kernel, columns)], image[np.newaxis])[0]
                wanted = array_of(OF_TORCHVISION[kernel](tensor_of(image), *columns.tolist()))
                difference = np.abs(own.astype(float) - wanted)
                limit = 1 if dtype == "uint8" else 5e-4
                if kernel == "autocontrast" and dtype != "uint8":  # it enlarges what 1 / 255 loses
                    limit *= 255 / max(np.ptp(image, axis=(0, 1)).min(), 1e-3)
                assert difference.max() <= limit, (columns, image.shape)
                compared += 1
                values += image.size
                apart += np.count_nonzero(difference)
    if dtype == "uint8":
        assert apart <= (0.01 * values if kernel in ROUNDED else 0)
    assert compared > 10 or kernel in ("equalize", "posterize")


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [(32, 48), (45, 31)])
def test_perspective_is_torchvision_s(size, interpolation):
    """Inside; at the border torchvision weighs pixels twice by what of them is in the image."""
    height, width = size
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    start = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    op = fastaug.Perspective(0.6, p=1, interpolation=interpolation, fill=40)
    mode = getattr(transforms.InterpolationMode, interpolation.upper())
    inside = 0
    for seed in range(20):
        draws = Draws(seed, 0, np.zeros(1, np.int64), op.name, size, 3)
        end = op.corners(draws.uniform(8), *size)[0].tolist()
        wanted = array_of(functional.perspective(tensor_of(image), start, end, mode, fill=40))
        white = torch.full((1, height, width), 255.0)
        whole = functional.perspective(white, start, end, mode, fill=0)[0].numpy() == 255
        outside = functional.perspective(white, start, end, mode, fill=0)[0].numpy() == 0
        own = op(image, seed=seed).astype(int)
        difference = np.abs(own - wanted).max(axis=2)
        if interpolation == "nearest":  # float32 finds another pixel where two are equally near
            assert np.mean(difference[whole] > 0) < 0.03
        else:
            assert difference[whole].max() <= 1
        assert np.mean((own[outside] != 40).any(axis=1)) < 0.02
        inside += whole.sum()
    assert inside > 20 * height * width / 4


@pytest.mark.parametrize("bins", [31, 10])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fastaug.TrivialAugment, transforms.TrivialAugmentWide),
        (fastaug.RandAugment, transforms.RandAugment),
    ],
)
def test_policies_are_torchvision_s(ours, theirs, bins):
    size = (60, 83)
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    policy, other = ours(bins=bins), theirs(num_magnitude_bins=bins)
    assert list(other._AUGMENTATION_SPACE) == list(_CHOICES)
    for number, (name, (magnitudes_of, signed)) in enumerate(other._AUGMENTATION_SPACE.items()):
        magnitudes = magnitudes_of(bins, *size)
        if magnitudes is not None:  # those of float32 may be 15.999999 where ours are 16
            own_magnitudes = policy.magnitudes(size)[name] / (255 if name == "Solarize" else 1)
            np.testing.assert_allclose(own_magnitudes, magnitudes.numpy(), rtol=1e-6)
        for k in range(bins if magnitudes is not None else 1):
            for sign in (1, -1) if signed else (1,):
                slot = policy._slots(np.array([number]), np.array([k]), np.array([sign < 0]), size)[
                    0
                ]
                own = run_core([] if np.isnan(slot[0]) else [(None, slot)], image[np.newaxis])[0]
                magnitude = 0.0 if magnitudes is None else sign * float(own_magnitudes[k])
                wanted = array_of(
                    other._apply_image_or_video_transform(
                        tensor_of(image), name, magnitude, other.interpolation, other._fill
                    )
                )
                difference = np.abs(own.astype(int) - wanted)
                moves = name[:5] in ("Shear", "Trans", "Rotat")
                if moves:  # where two pixels are equally near, float32 finds either
                    ties = np.isnan(affine(image.astype(float), *slot[1:9]))
                    assert not difference[~ties].any(), (name, magnitude)
                else:  # torch rounds a product and a sum at once: at tenths that may cross a level
                    assert difference.max() <= (name in ("Color", "Contrast", "Sharpness"))
                    assert np.mean(difference > 0) < 0.03, (name, magnitude)
