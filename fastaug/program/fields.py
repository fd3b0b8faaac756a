"""What goes with an image and is moved by its row of the table: masks.

    Masks ──► MaskField ──► job(index, table) ──► masks of a batch, made beside its images

Only places count for a mask: the steps on values are not for it, nor does it draw anything. Nearest
pixels are picked as bytes, so that labels of any type stay what they are.
"""

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from fastaug import _core
from fastaug.data.carried import Carried
from fastaug.data.lazy import LazyArray, lazily
from fastaug.data.sources import NO_DRAWS, for_the_core, source_of
from fastaug.program.chunks import chunked_job
from fastaug.run.array_pool import ArrayPool
from fastaug.typing import Path, SupportsArray

# Large arrays of masks that are kept to be used again.
_KEPT_ARRAYS = 8


class Masks:
    """Marks masks in `y`, or as the `class_mode` of files: they go where their images go.

    A mask is moved by the rotation, shift, shear, zoom and flips of its image, and by what crops or
    moves pixels in `augment`. Its values are labels: no brightness, no rescaling or other change of
    values is for them, and they keep their type. What lies outside of it is `fill`, also where the
    image shows its border again (`fill_mode="nearest"`): nobody has labelled that.

    Args:
        data: Masks of shape `(images, height, width)`, or of rank 4 in the generator's
            `data_format`, any real type; kept as it is, and read a batch at a time if it is not in
            memory. Or, as a `class_mode`, the folder of mask files.
        fill: Value outside of a mask, such as the label that a loss ignores.
        interpolation: 'nearest', or 'linear' for masks of floats, or of uint8, which are rounded.

    Raises:
        ValueError: If `interpolation` is not one of these.
        TypeError: If `fill` is no number.

    Example:
        >>> generator = fastaug.ImageDataGenerator(rotation_range=20, rescale=1 / 255)
        >>> masks = (x[..., 0] > 128).astype("uint8")
        >>> targets = {"mask": fastaug.Masks(masks, fill=255), "class": y}
        >>> flow = generator.flow(x, targets, batch_size=8)
        >>> images, targets = next(flow)
        >>> targets["mask"].shape, targets["mask"].dtype, targets["class"].shape
        ((8, 32, 32), dtype('uint8'), (8,))
    """

    def __init__(
        self,
        data: SupportsArray | Path,
        fill: float = 0,
        interpolation: Literal["nearest", "linear"] = "nearest",
    ) -> None:
        if interpolation not in ("nearest", "linear"):
            raise ValueError(
                f'Invalid interpolation: {interpolation!r}; expected "nearest" or "linear"'
            )
        if not isinstance(fill, int | float | np.number | np.bool_):
            raise TypeError(f"`fill` should be a number. Received: fill={fill!r}")
        kept: Any = data if isinstance(data, str | os.PathLike) else lazily(data)
        if not isinstance(kept, str | os.PathLike | LazyArray):
            kept = np.asarray(kept)
        self.data = kept
        self.fill = fill
        self.interpolation = interpolation

    def __repr__(self) -> str:
        """Returns the arguments, an array by its type and shape."""
        shown = repr(self.data)
        if not self.is_folder:
            shown = f"<{self.data.dtype} of shape {self.data.shape}>"
        return f"Masks({shown}, fill={self.fill}, interpolation={self.interpolation!r})"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"data": Carried(self.data)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state | {"data": state["data"].array})

    def __len__(self) -> int:
        return len(self.array)

    @property
    def is_folder(self) -> bool:
        """Whether the masks are files."""
        return isinstance(self.data, str | os.PathLike)

    @property
    def array(self) -> Any:
        """The array of the masks.

        Raises:
            TypeError: If the masks are files.
        """
        if self.is_folder:
            raise TypeError(f"A folder of masks is a class_mode, not a leaf of `y`: {self}")
        return self.data

    @property
    def folder(self) -> str:
        """The folder of the files.

        Raises:
            TypeError: If the masks are an array.
        """
        if not self.is_folder:
            raise TypeError(f"As a class_mode, masks are a folder of files. Received: {self}")
        return os.fspath(self.data)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        kind: np.dtype[Any] = self.array.dtype
        return kind

    def part(self, rows: slice) -> "Masks":
        """Returns the masks of some rows."""
        data = self.data.part(rows) if isinstance(self.data, LazyArray) else self.data[rows]
        return Masks(data, self.fill, self.interpolation)


def is_structure(targets: object) -> bool:
    """Whether targets are masks, or have leaves: a dict, or a tuple or list with such in it."""
    if isinstance(targets, tuple | list):
        return any(is_structure(each) for each in targets)
    return isinstance(targets, dict | Masks)


def map_leaves(function: Callable[[Any], Any], targets: Any) -> Any:
    """Returns a structure with what a function makes of each leaf; a list becomes a tuple.

    Args:
        function: Takes a leaf.
        targets: A leaf, or what `is_structure`.
    """
    if isinstance(targets, dict):
        return {name: map_leaves(function, each) for name, each in targets.items()}
    if isinstance(targets, tuple | list) and is_structure(targets):  # trainers refuse lists
        return tuple([map_leaves(function, each) for each in targets])
    return function(targets)


def masks_in(targets: Any) -> Iterator[Masks]:
    """Yields the leaves that are masks, in the order of `map_leaves`."""
    found: list[Any] = []
    map_leaves(found.append, targets)
    return (leaf for leaf in found if isinstance(leaf, Masks))


class MaskField:
    """The masks of an iterator's images.

    Args:
        masks: The `Masks`.
        shape: Shape of a mask in a batch.
        dtype: Type of its labels.
        size: `(height, width)` of an image.
        channels_first: Whether the channels of a mask, if it has any, come first.
        source: Where they come from: bytes of labels, or None for the array that they are.

    Attributes:
        shape, dtype: Of a mask in a batch.

    Raises:
        TypeError: If the masks are no numbers, or of a type that has no interpolation.
        ValueError: If they have another rank or size, or `fill` is not of their type.
    """

    def __init__(self, masks, shape, dtype, size, channels_first, source=None):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._channels_first = channels_first and len(self.shape) == 3
        self._picks = masks.interpolation == "nearest"
        if self.dtype.kind not in "biuf":
            raise TypeError(f"Masks should be of a real type. Received: {masks}")
        if len(self.shape) not in (2, 3):
            raise ValueError(f"Masks should have rank 3 or 4. Received: {masks}")
        own_size = self.shape[1:] if self._channels_first else self.shape[:2]
        if own_size != tuple(size):
            raise ValueError(
                f"Masks should have the size of their images, {size[0]} x {size[1]}. "
                f"Received: {masks}"
            )
        if not self._picks and self.dtype.kind != "f" and self.dtype != np.uint8:
            raise TypeError(
                "Interpolation 'linear' is for masks of floats or uint8, not of "
                f"{self.dtype}. Received: {masks}"
            )
        fill = np.array(masks.fill)
        with np.errstate(all="ignore"):
            pixel = fill.astype(self.dtype)
        if self.dtype.kind != "f" and pixel != fill:
            raise ValueError(f"fill should be a value of {self.dtype}. Received: {masks}")
        if source is None:
            source = source_of(masks.data, np.ascontiguousarray if self._picks else for_the_core)
        self._source = source
        self._arrays = ArrayPool(_KEPT_ARRAYS)
        channels = 1 if self._channels_first else int(np.prod(self.shape[2:]))
        if self._picks:
            self._values = np.dtype(np.uint8)
            values = channels * self.dtype.itemsize
            rule: dict[str, Any] = {"fill": pixel.tobytes() * channels}
        else:
            self._values = np.dtype(np.uint8 if self.dtype == np.uint8 else np.float32)
            values = channels
            rule = {"border": "grid-constant", "cval": float(pixel)}
        is_bytes = self._values == np.uint8
        self._size, self._rule = tuple(size), {"is_bytes": is_bytes, **rule}
        self._channels = values
        self._program = _core.Program(*size, values, **self._rule)
        self._moving = None, None  # ops, and the program that moves masks by them

    def _program_of(self, ops):
        """Returns the program that moves masks as their images."""
        if ops is None:
            return self._program
        known, program = self._moving  # of another thread, perhaps: whole in any case
        if known is not ops:
            size = ops.size_after(self._size)
            program = _core.Program(*size, self._channels, **self._rule, **ops.for_masks())
            self._moving = ops, program
        return program

    def shape_after(self, ops):
        """Returns the shape of a mask in a batch."""
        if ops is None:
            return self.shape
        height, width = ops.size_after(self._size)
        if self._channels_first:
            return (self.shape[0], height, width)
        return (height, width, *self.shape[2:])

    def job(self, index, table, workers, ops=None, draws=NO_DRAWS):
        """Returns the work of a batch, and begins to read its masks.

        Args:
            index: int64 array, the position of each image.
            table: Parameter table with a row for each image.
            workers: Number of threads that it is for; 0: it is for the calling one.
            ops: `OpList` that moves the images, too, or None.
            draws: Seed and epoch of what is drawn when a mask is read.

        Returns:
            `(job, errors, masks)`: a job for `ThreadPool.submit`, and what will be there when it is
            done: errors is a dict with an exception for each place whose mask could not be read;
            masks is the array of the masks.
        """
        shape, program = (len(index), *self.shape_after(ops)), self._program_of(ops)
        masks = self._arrays.array(shape, self.dtype)
        out, then = masks, None
        if not self._picks and self._values != self.dtype:
            out = np.empty(shape, self._values)
            then = functools.partial(np.copyto, masks, out, casting="same_kind")
        if workers and self._source.has_readers:
            (plane,) = self._planes(out)
            job = self._source.job(program, index, table, plane, False, None, then, draws)
            return job, job.errors, masks
        work = functools.partial(self._work, program)
        return *chunked_job(
            self._source, index, draws, table, out, workers, work, None, then
        ), masks

    def check(self, position):
        """Reads one mask, and raises what is wrong with its file."""
        _, _, errors = self._source.open(np.array([position])).read()
        for error in errors.values():
            raise error

    def close(self):
        """Gives back what is kept for the next batch."""
        self._arrays.clear()
        self._source.close()

    def _planes(self, masks):
        """Returns views of masks as the program has them: pixels of values, channels last."""
        if masks.ndim == 3 or self._channels_first:
            masks = masks[..., np.newaxis]
        if self._picks:
            masks = masks.view(np.uint8)
        return masks.swapaxes(0, 1) if self._channels_first else [masks]

    def _work(self, program, images, positions, rows, result):
        if self._picks:
            images = images.view(self.dtype)
        images = images.reshape(len(images), *self.shape)
        for image, plane in zip(self._planes(images), self._planes(result), strict=True):
            out = plane if plane.flags.c_contiguous else np.empty_like(plane)
            _core.augment(program, image, positions, rows, None, out, 0, len(out), False)
            if out is not plane:
                plane[...] = out
