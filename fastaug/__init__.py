"""Keras's `ImageDataGenerator` on every core: same arguments, same seed, same images.

    from fastaug import ImageDataGenerator

Names are imported when they are first used: importing fastaug imports neither NumPy nor Keras.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastaug.directory import list_pictures, validate_filename
    from fastaug.file_iterators import DataFrameIterator, DirectoryIterator
    from fastaug.functions import elementwise
    from fastaug.generator import ImageDataGenerator
    from fastaug.images import array_to_img, img_to_array, load_img, save_img
    from fastaug.iterators import Iterator, NumpyArrayIterator
    from fastaug.monitor import SysMonitor
    from fastaug.plotting import plot_images
    from fastaug.transforms import (
        apply_affine_transform,
        apply_brightness_shift,
        apply_channel_shift,
        random_brightness,
        random_channel_shift,
        random_rotation,
        random_shear,
        random_shift,
        random_zoom,
    )
    from fastaug.warn import UsageWarning

__version__ = "0.1.0"

_HOMES = {
    "DataFrameIterator": "file_iterators",
    "DirectoryIterator": "file_iterators",
    "ImageDataGenerator": "generator",
    "Iterator": "iterators",
    "NumpyArrayIterator": "iterators",
    "SysMonitor": "monitor",
    "UsageWarning": "warn",
    "apply_affine_transform": "transforms",
    "apply_brightness_shift": "transforms",
    "apply_channel_shift": "transforms",
    "array_to_img": "images",
    "elementwise": "functions",
    "img_to_array": "images",
    "list_pictures": "directory",
    "load_img": "images",
    "plot_images": "plotting",
    "random_brightness": "transforms",
    "random_channel_shift": "transforms",
    "random_rotation": "transforms",
    "random_shear": "transforms",
    "random_shift": "transforms",
    "random_zoom": "transforms",
    "save_img": "images",
    "validate_filename": "directory",
}

__all__ = [
    "DataFrameIterator",
    "DirectoryIterator",
    "ImageDataGenerator",
    "Iterator",
    "NumpyArrayIterator",
    "SysMonitor",
    "UsageWarning",
    "apply_affine_transform",
    "apply_brightness_shift",
    "apply_channel_shift",
    "array_to_img",
    "elementwise",
    "img_to_array",
    "list_pictures",
    "load_img",
    "plot_images",
    "random_brightness",
    "random_channel_shift",
    "random_rotation",
    "random_shear",
    "random_shift",
    "random_zoom",
    "save_img",
    "validate_filename",
]


def _load(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ImportError as error:
        if error.name == __name__:  # the checkout's folder comes before the installed package
            error.add_note(f"fastaug is not built in {__path__[0]}: pip install -e .")
        raise
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # a checker would take every name for one of ours
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
