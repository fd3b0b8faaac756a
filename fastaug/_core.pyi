"""Types of the extension module; the code is in ``_core.pyx``, the loops in ``_pixels.h``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

BORDERS: tuple[str, ...]
"""Names of the border rules, which are those of ``scipy.ndimage``."""

COLUMNS: tuple[str, ...]
"""Names of the columns of a parameter table, those of Keras's ``get_random_transform``."""

_Warp = Callable[
    [npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.float32]], object
]

def simd_variants() -> tuple[str, ...]:
    """Names of the variants of the pixel loops that this processor runs, the best one last.

    All of them give the same bits. The best one is in use.
    """

def select_simd(variant: str) -> None:
    """Makes the core use one of `simd_variants()` from now on, for tests and benchmarks.

    Raises:
        ValueError: If the processor does not run it.
    """

@final
class Plan:
    """What is the same for all images of a batch.

    Args:
        height: Height of an image, from 1.
        width: Width of an image, from 1.
        channels: Channels of an image, from 1.
        channels_first: Whether source and output are `(channels, height, width)`.
        order: Interpolation order of the built-in warp, 0 to 5.
        border: One of `BORDERS`.
        cval: Value outside, for the two constant borders.
        rescale: Factor for each value, or None.
        sample_center: Whether to subtract an image's mean.
        sample_std: Whether to divide by an image's standard deviation + 1e-6.
        feature_mean: A value for each channel to subtract, or None.
        feature_scale: A value for each channel to multiply by, or None.
        function_scale: A value for each channel to multiply by before any of these, or None.
        function_offset: A value for each channel to add then, or None.
        function_reverses: Whether to turn the channels round before that.
        truncates: Whether a uint8 batch is made of float32 images, which were shifted before, by
            truncation; else of images that were rounded first, and shifted after that.
        warp: None for the built-in warp, else `warp(image, matrix, out)`: both images float32
            `(height, width, channels)`, the matrix float64 `(2, 3)` from output to source
            coordinates, (row, column), flips included. Called with the GIL.

    Raises:
        ValueError: If a size, an order, a border or a shape of values is not one of the above.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        *,
        channels_first: bool = False,
        order: int = 1,
        border: str = "nearest",
        cval: float = 0.0,
        rescale: float | None = None,
        sample_center: bool = False,
        sample_std: bool = False,
        feature_mean: npt.ArrayLike | None = None,
        feature_scale: npt.ArrayLike | None = None,
        function_scale: npt.ArrayLike | None = None,
        function_offset: npt.ArrayLike | None = None,
        function_reverses: bool = False,
        truncates: bool = False,
        warp: _Warp | None = None,
    ) -> None: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def warp(self) -> _Warp | None: ...

@final
class Draws:
    """The form of the numbers that an image draws, and the table that becomes of them.

    Args:
        columns: The column of the table of each number, in the order of the draws.
        low: As many lower bounds; a parameter is `low + spread * number`.
        spread: As many ranges.
        flips: What a horizontal and a vertical flip are if their parameter is below 0.5; else 0.
        scale: A factor for each column of the table.
        base: The row that the other columns come from.
        choices: For the columns whose number is one of several, with a sign drawn after it: how
            many there are, from 0 on, or a sequence of them. They are drawn by `draw` alone.

    Raises:
        ValueError: If the lengths do not fit, or there is nothing to choose from.
        IndexError: If a column is not one of the table.
    """

    def __init__(
        self,
        columns: Sequence[int],
        low: Sequence[float],
        spread: Sequence[float],
        flips: Sequence[float],
        scale: Sequence[float] | npt.NDArray[np.float64],
        base: Sequence[float] | npt.NDArray[np.float64],
        choices: Mapping[int, int | Sequence[float]],
    ) -> None: ...
    def draw(self, stream: np.random.RandomState, count: int) -> npt.NDArray[np.float64]:
        """Draws for some images, number by number as `stream.random_sample` and `choice` do.

        Args:
            stream: The stream, over any bit generator.
            count: Number of images.

        Returns:
            float64 `(count, len(COLUMNS))`.
        """

    def table(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Makes of numbers what `draw` makes of those that it draws.

        Args:
            values: float64 `(images, len(columns))`.

        Returns:
            float64 `(images, len(COLUMNS))`.

        Raises:
            ValueError: If there are not as many numbers for an image.
        """

def same_attributes(
    owner: object,
    names: tuple[str, ...],
    values: tuple[object, ...],
    items: tuple[tuple[object, ...] | None, ...],
) -> bool:
    """Whether attributes of an object are these very objects.

    Args:
        owner: The object.
        names: Names of attributes.
        values: As many objects.
        items: For each of them None or, if it is a list, the very objects that have to be in it.

    Raises:
        ValueError: If they are not as many.
        AttributeError: If there is no such attribute.
    """

def affine_matrices(
    table: npt.NDArray[np.float64], height: int, width: int
) -> npt.NDArray[np.float64]:
    """Matrices from output to source coordinates, as Keras makes them from its parameters.

    Rotation . shift . shear . zoom about ((height, width) / 2 - 0.5), x and y swapped at the end,
    without the flips.

    Args:
        table: Parameter table, float64 `(images, len(COLUMNS))`.
        height: Height of an image.
        width: Width of an image.

    Returns:
        float64 `(images, 2, 3)`: source (row, column) = m[:, :2] @ (row, column) + m[:, 2].

    Raises:
        ValueError: If the table has another number of columns.
    """

def augment(
    plan: Plan,
    images: npt.NDArray[Any],
    index: npt.NDArray[np.int64],
    table: npt.NDArray[np.float64],
    matrices: npt.NDArray[np.float64] | None,
    out: npt.NDArray[np.float32] | npt.NDArray[np.uint8],
    start: int,
    stop: int,
    standardize: bool = True,
) -> None:
    """Augments images `index[start:stop]` into `out[start:stop]`.

    Warp or flips, channel shift, brightness, and the standardization that the plan names. Runs
    without the GIL, but for a warp in Python.

    Args:
        plan: Settings and the shape of an image.
        images: uint8 or float32, `(any number,) + plan.shape`, each image contiguous; only read.
        index: int64, position in `images` of each image of the batch.
        table: float64 `(batch, len(COLUMNS))`.
        matrices: float64 `(batch, 2, 3)`, as from `affine_matrices`. None: those of the table.
        out: float32 or, of uint8 images, uint8, `(batch,) + plan.shape`, contiguous.
        start: First image of the slice.
        stop: End of the slice.
        standardize: False leaves the standardization to a later call of `standardize`.

    Raises:
        TypeError: If the images are neither uint8 nor float32, or not uint8 where `out` is.
        ValueError: If an array does not have the layout above, or `out` is uint8 and the plan has a
            warp in Python, or standardization that is asked for.
        IndexError: If an index is outside `images`.
    """

@final
class Batch:
    """The work of a whole batch, or of several: what `augment` does, by the threads of a queue.

    The arrays are kept until no thread works on them, and must not change until then.

    Args:
        plan: Settings and the shape of an image; its warp has to be the built-in one.
        images: As for `augment`.
        index: int64 `(batch,)`, contiguous.
        table: float64 `(batch, len(COLUMNS))`, contiguous. None: the threads draw it.
        outs: The results, in one array or in several, each as for `augment` and as long as the
            first, but for the last one, which may be shorter.
        standardize: As for `augment`.
        draws: How to draw the table.
        seeds: What to seed an MT19937 with before the draws for each array, in 0..2**32 - 1.

    Raises:
        TypeError: As from `augment`.
        ValueError: As from `augment`, or if the warp is one in Python, or there is neither a table
            nor a seed for each array.
        IndexError: If an index is outside `images`.
        OverflowError: If a seed is out of range.
    """

    def __init__(
        self,
        plan: Plan,
        images: npt.NDArray[Any],
        index: npt.NDArray[np.int64],
        table: npt.NDArray[np.float64] | None,
        outs: Sequence[npt.NDArray[np.float32] | npt.NDArray[np.uint8]],
        standardize: bool = True,
        draws: Draws | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None: ...
    def run(self) -> None:
        """Works in this thread. An interrupt comes through between images.

        Raises:
            ValueError: If the batch is in a queue.
        """

    def put_into(self, queue: TaskQueue) -> int:
        """Hands itself to the threads of a queue; returns how many of them can have a part.

        Raises:
            ValueError: If the batch was in a queue before.
        """

    def cancel(self) -> None:
        """Lets the images that no thread has begun come to nothing."""

    def is_lost(self) -> bool:
        """Whether this is a copy in a forked process: no thread here will ever work on it."""

    def wait(self) -> None:
        """Waits until no thread works on it any more. An interrupt comes through.

        Raises:
            MemoryError: If a thread had none to work in.
        """

@final
class KeptMemory:
    """A context in which large arrays of the thread have memory that is kept when they are gone.

    The next array of the same size gets it again. NumPy sees to it that an array gives its memory
    back where it came from, however long it lives.
    """

    def __enter__(self) -> None: ...
    def __exit__(self, *exc_info: object) -> None: ...
    @staticmethod
    def release() -> None:
        """Gives the memory that is kept back to the system."""

@final
class TaskQueue:
    """A queue of work for threads: batches, which need no GIL, and calls into Python."""

    def __init__(self) -> None: ...
    def put(self, call: Callable[[], object] | None) -> None:
        """Hands a call, or None, to the threads: one of them gets it from `get`."""

    def get(self, timeout: float) -> Callable[[], object] | None:
        """Works on batches, without the GIL, until there is a call, and returns it.

        Args:
            timeout: Seconds without any work after which to give up.

        Raises:
            queue.Empty: After that time.
        """

    def empty(self) -> bool:
        """Whether a thread that asked now would have to wait."""

    def clear(self) -> None:
        """Drops the calls, and the images of batches, that no thread has begun."""

def standardize(plan: Plan, out: npt.NDArray[np.float32], start: int, stop: int) -> None:
    """Standardizes `out[start:stop]` in place, as the plan says.

    Args:
        plan: Settings and the shape of an image.
        out: float32 `(batch,) + plan.shape`, contiguous.
        start: First image of the slice.
        stop: End of the slice.

    Raises:
        ValueError: If the batch does not have the layout above.
    """

def read_jpeg(data: bytes, most_pixels: int) -> tuple[int, int, bool] | None:
    """Tells whether OpenCV decodes a JPEG as Pillow does, from its segments.

    Args:
        data: The bytes of a file.
        most_pixels: Above how many it is left to Pillow; negative: never for that.

    Returns:
        `(height, width, has_metadata)`, the last whether there are such as Pillow reads in Python,
        where it can stumble; or None if Pillow has to decode these bytes.
    """

def pick_pixels(
    image: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int32],
    columns: npt.NDArray[np.int32],
    out: npt.NDArray[np.uint8],
) -> None:
    """Copies the pixels at some rows and columns of an image: a nearest-neighbour resize.

    Args:
        image: uint8 `(height, width, 3)`, contiguous.
        rows: int32, the row to take for each row of `out`.
        columns: int32, the same for columns, ascending.
        out: uint8 `(len(rows), len(columns), 3)`, contiguous.

    Raises:
        ValueError: If the shapes do not fit.
        IndexError: If a row or column is outside the image, or the columns do not ascend.
    """
