"""Image sets: crops of the photographs inside scikit-image's wheel, or a CIFAR-10 file."""

import zipfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

# Only photographs that the wheel itself carries: nothing is fetched.
PHOTOGRAPHS = (
    "astronaut", "chelsea", "coffee", "rocket", "stereo_motorcycle", "retina",
    "immunohistochemistry", "hubble_deep_field",
)  # fmt: skip
SEED = 20


class ImageFileError(ValueError):
    """A file of images that holds something else than was expected."""


@dataclass(frozen=True)
class ImageSet:
    """Images and labels, and where they come from."""

    x: np.ndarray  # of shape (n, size, size, 3), uint8
    y: np.ndarray  # n labels
    source: str  # one line for people

    def first(self, count):
        """Returns the first images as a set of their own."""
        return replace(self, x=self.x[:count], y=self.y[:count])


@lru_cache
def load_photographs():
    """Returns the photographs as a list of RGB arrays of dtype uint8, in PHOTOGRAPHS' order."""
    from skimage import data

    photographs = []
    for name in PHOTOGRAPHS:
        photograph = getattr(data, name)()
        if isinstance(photograph, tuple):  # a stereo pair and its depth: the left view
            photograph = photograph[0]
        photographs.append(np.ascontiguousarray(photograph[..., :3]))
    return photographs


def random_crop(rng, photograph, height, width):
    """Cuts a crop at a random place and scale, and shrinks it to height x width pixels.

    A crop is at least half as large as the largest of its shape, and never enlarged, so that even a
    small image shows a scene and not a patch of one colour.
    """
    whole_height, whole_width = photograph.shape[:2]
    most = min(whole_height, whole_width * height // width)
    rows = int(rng.integers(max(height, most // 2), most, endpoint=True))
    columns = rows * width // height
    top = int(rng.integers(whole_height - rows, endpoint=True))
    left = int(rng.integers(whole_width - columns, endpoint=True))
    crop = photograph[top : top + rows, left : left + columns]
    return cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)


def make_set(size, count):
    """Cuts square crops of size x size pixels, at random places and scales.

    Returns an ImageSet whose labels are the indexes of the photographs.
    """
    rng = np.random.default_rng(SEED)
    photographs = load_photographs()
    x = np.empty((count, size, size, 3), np.uint8)
    y = np.arange(count) % len(photographs)
    for image, label in zip(x, y, strict=True):
        image[:] = random_crop(rng, photographs[label], size, size)
    return ImageSet(x, y, f"{count:,} crops of {len(photographs)} photographs")


def centre_crops(size, count):
    """Returns the largest centred square of the first photographs, each at size x size pixels."""
    crops = []
    for photograph in load_photographs()[:count]:
        height, width = photograph.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = photograph[top : top + side, left : left + side]
        crops.append(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA))
    return crops


def load_cifar10(path):
    """Reads the training images of CIFAR-10.

    Args:
        path: An .npz file with `x_train`, of shape (n, 32, 32, 3) and dtype uint8, and `y_train`.

    Raises:
        ImageFileError: If the file is not there or does not hold that.
    """
    expected = (
        "expected an .npz file with x_train (shape (n, 32, 32, 3), dtype uint8) "
        "and y_train (n labels)"
    )
    try:
        with np.load(path) as arrays:
            missing = {"x_train", "y_train"} - set(arrays.files)
            if missing:
                raise ImageFileError(
                    f"{path}: {expected}; it lacks {' and '.join(sorted(missing))}, "
                    f"and holds {', '.join(sorted(arrays.files)) or 'nothing'}"
                )
            x, y = arrays["x_train"], arrays["y_train"]
    except OSError as error:
        raise ImageFileError(f"{path}: {expected}; {error.strerror or error}") from error
    except ImageFileError:
        raise
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ImageFileError(f"{path}: {expected}; this is no file of plain arrays") from error
    if x.dtype != np.uint8 or x.shape[1:] != (32, 32, 3) or not len(x):
        raise ImageFileError(f"{path}: {expected}; x_train has shape {x.shape}, dtype {x.dtype}")
    if len(y) != len(x):
        raise ImageFileError(f"{path}: {expected}; x_train has {len(x)} images, y_train {len(y)}")
    return ImageSet(x, y, f"{len(x):,} images of CIFAR-10 ({Path(path).name})")
