"""Types of arguments and results; import them to annotate code of your own.

Example:
    >>> from fastaug.typing import Array, ClassMode
    >>> def gray(image: Array) -> Array: ...
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # type checkers bring it; only this one has defaults

    Batch = TypeVar("Batch", covariant=True, default=Any)
else:
    from typing import TypeVar

    Batch = TypeVar("Batch", covariant=True)

Array: TypeAlias = npt.NDArray[Any]
"""A NumPy array of any type and shape."""

Path: TypeAlias = str | os.PathLike[str]

ClassMode: TypeAlias = Literal["categorical", "binary", "sparse", "input"]
"""A `class_mode` of folders that gives labels; None gives none."""

ClassNames: TypeAlias = list[str] | tuple[str, ...]
"""Names of classes, in the order of their labels; no string, which is a sequence of letters."""

ColorMode: TypeAlias = Literal["rgb", "rgba", "grayscale"]

DataFormat: TypeAlias = Literal["channels_last", "channels_first"]

DataFrameClassMode: TypeAlias = ClassMode | Literal["raw", "multi_output"]

Decoder: TypeAlias = Literal["processes", "threads"]

DTypeLike: TypeAlias = str | type[Any] | np.dtype[Any]

DimOrdering: TypeAlias = Literal["tf", "th", "default"]

FillMode: TypeAlias = Literal[
    "nearest", "reflect", "constant", "wrap", "mirror", "grid-constant", "grid-mirror", "grid-wrap"
]
"""What lies outside an image, in the words of `scipy.ndimage`."""

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"]
"""The filters of Pillow that resize files."""

OnError: TypeAlias = Literal["raise", "skip", "replace"]

Preprocessing: TypeAlias = Callable[[Array], "SupportsArray"]
"""A `preprocessing_function`."""

Integer: TypeAlias = int | np.integer[Any]

Size: TypeAlias = tuple[int, int] | list[int]
"""`(height, width)`."""

Subset: TypeAlias = Literal["training", "validation"]

Warp: TypeAlias = Literal["auto", "fused", "opencv"]


class SupportsArray(Protocol):
    """What NumPy can make an array of: one of its own, or one of h5py, zarr, dask, pandas, ..."""

    def __array__(self) -> Any:
        """Returns the values as a NumPy array."""


SeveralInputs: TypeAlias = tuple[SupportsArray, SupportsArray | list[Any]] | list[Any]
"""Images and other inputs of a model: `(images, extra)` or `(images, [extra, ...])`."""

Values: TypeAlias = SupportsArray | Sequence[Any]
"""Labels or weights: one of something for each image."""
