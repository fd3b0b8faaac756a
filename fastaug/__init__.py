"""Keras's `ImageDataGenerator` on every core: same arguments, same seed, same images.

    from fastaug import ImageDataGenerator

Names are imported when they are first used: importing fastaug imports neither NumPy nor Keras.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastaug.data.directory import list_pictures, validate_filename
    from fastaug.data.images import array_to_img, img_to_array, load_img, save_img
    from fastaug.keras_api.array_iterator import NumpyArrayIterator
    from fastaug.keras_api.file_iterators import DataFrameIterator, DirectoryIterator
    from fastaug.keras_api.generator import ImageDataGenerator
    from fastaug.keras_api.iterator import Iterator
    from fastaug.keras_api.recognise import elementwise
    from fastaug.keras_api.transforms import (
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
    from fastaug.ops import area as _area
    from fastaug.ops import choice as _choice
    from fastaug.ops import colour as _colour
    from fastaug.ops import crop as _crop
    from fastaug.ops import geometry as _geometry
    from fastaug.ops import mix as _mix
    from fastaug.ops import policy as _policy
    from fastaug.ops.area import *  # noqa: F403
    from fastaug.ops.choice import *  # noqa: F403
    from fastaug.ops.colour import *  # noqa: F403
    from fastaug.ops.crop import *  # noqa: F403
    from fastaug.ops.geometry import *  # noqa: F403
    from fastaug.ops.mix import *  # noqa: F403
    from fastaug.ops.policy import *  # noqa: F403
    from fastaug.program.fields import Masks
    from fastaug.show.monitor import SysMonitor
    from fastaug.show.plotting import plot_images
    from fastaug.warn import UsageWarning

__version__ = "0.1.0"

_HOMES = {
    "DataFrameIterator": "keras_api.file_iterators",
    "DirectoryIterator": "keras_api.file_iterators",
    "ImageDataGenerator": "keras_api.generator",
    "Iterator": "keras_api.iterator",
    "Masks": "program.fields",
    "NumpyArrayIterator": "keras_api.array_iterator",
    "SysMonitor": "show.monitor",
    "UsageWarning": "warn",
    "apply_affine_transform": "keras_api.transforms",
    "apply_brightness_shift": "keras_api.transforms",
    "apply_channel_shift": "keras_api.transforms",
    "array_to_img": "data.images",
    "elementwise": "keras_api.recognise",
    "img_to_array": "data.images",
    "list_pictures": "data.directory",
    "load_img": "data.images",
    "plot_images": "show.plotting",
    "random_brightness": "keras_api.transforms",
    "random_channel_shift": "keras_api.transforms",
    "random_rotation": "keras_api.transforms",
    "random_shear": "keras_api.transforms",
    "random_shift": "keras_api.transforms",
    "random_zoom": "keras_api.transforms",
    "save_img": "data.images",
    "validate_filename": "data.directory",
}

__all__ = [
    "DataFrameIterator",
    "DirectoryIterator",
    "ImageDataGenerator",
    "Iterator",
    "Masks",
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


#: Modules of the vocabulary. What is in their `__all__` is a public name, too.
_OPS = ("area", "choice", "colour", "crop", "geometry", "mix", "policy")

if TYPE_CHECKING:
    __all__ += _area.__all__
    __all__ += _choice.__all__
    __all__ += _colour.__all__
    __all__ += _crop.__all__
    __all__ += _geometry.__all__
    __all__ += _mix.__all__
    __all__ += _policy.__all__
else:  # made when somebody asks: their modules import NumPy
    _OTHERS = globals().pop("__all__")


def _module(home):
    try:
        return importlib.import_module(f"{__name__}.{home}")
    except ImportError as error:
        # the checkout's folder comes before the installed package
        if error.name in (__name__, f"{__name__}._core"):
            folder = __path__[0]  # noqa: F405
            error.add_note(f"fastaug is not built in {folder}: pip install -e .")
        raise


def _load(name):
    if name in _HOMES:
        value = getattr(_module(_HOMES[name]), name)
    elif name == "__all__":
        value = sorted([*_OTHERS, *_names_of_ops()])
    elif name[:1].isupper() and name in _names_of_ops():  # lower case: a module, or nothing
        value = _names_of_ops()[name]
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _names_of_ops():
    modules = [_module(f"ops.{name}") for name in _OPS]
    return {name: getattr(module, name) for module in modules for name in module.__all__}


if not TYPE_CHECKING:  # a checker would take every name for one of ours
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *_load("__all__")})
