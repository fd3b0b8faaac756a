"""Types of the extension module; the code is in ``_core.pyx``, the loops in ``kernels``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

BORDERS: tuple[str, ...]
"""Names of the border rules, which are those of ``scipy.ndimage``."""

COLUMNS: tuple[str, ...]
"""Names of the columns of a parameter table, those of Keras's ``get_random_transform``."""

IDENTITY: npt.NDArray[np.float64]
"""The parameters of an image that stays as it is: a table of one row, read-only."""

CONVERTED: tuple[np.dtype[Any], ...]
"""Types of images that are made float32 before all else, in native byte order."""

_Images = npt.NDArray[Any] | Sequence[npt.NDArray[Any]]

def simd_variants() -> tuple[str, ...]:
    """Names of the variants of the pixel loops that this processor runs, the best one last.

    All of them give the same bits. The best one is in use.
    """

def select_simd(variant: str) -> None:
    """Makes the core use one of `simd_variants()` from now on, for tests and benchmarks.

    Raises:
        ValueError: If the processor does not run it.
    """

OPS: tuple[str, ...]
"""Names of the ops that a step may have, those of the table in `kernels/ops.h`."""

IMAGE_OPS: tuple[str, ...]
"""Names of the ops of an `augment` list, those of the table in `kernels/image_ops.h`."""

IMAGE_OP_COLUMNS: dict[str, int]
"""Columns of each; the last two of one that moves pixels are the order of interpolation, 0 or 1,
and the value outside."""

CROP_COLUMNS: int
"""Columns of a crop."""

OPS_OF_FLOATS: frozenset[str]
"""Those of them that are defined for float images, too."""

OPS_THAT_MOVE: frozenset[str]
"""Those of them that move pixels."""

OPS_OF_COLOURS: frozenset[str]
"""Those of them that need one channel or three."""

@final
class Program:
    """What is done to the images of a batch: where samples are taken, and steps on their values.

    A step is a dict: `op` is one of `OPS`; `column`, where the op has any, its first in the
    parameter table, and NaN there means that the step is off for an image. The others are
    constants:

    - `channel_shift`, a column: adds an intensity, within the extrema of the image.
    - `brightness`, a column: a factor, as `PIL.ImageEnhance.Brightness` has it.
    - `linear`: multiplies by `scale` and adds `offset`, a value for each channel, which are put in
      reversed order before that if `reverses_channels`.
    - `rescale`: multiplies by `factor`.
    - `sample_center`, `sample_std`: subtracts an image's mean, divides by its standard deviation
      + 1e-6.
    - `normalize`: subtracts `offset` and then multiplies by `scale`, a value for each channel, or
      None.

    Args:
        height: Height of a finished image, from 1.
        width: Width of a finished image, from 1.
        channels: Channels of an image, from 1.
        steps: What is done to the values after the warp and the flips.
        standardization: What is done after that, and later if a caller says so; the same for all
            images.
        function: A step that comes before the standardization, and is not repeated by
            `standardize`; or None.
        channels_first: Whether source and output are `(channels, height, width)`.
        is_bytes: Whether batches are uint8, of uint8 images; else float32.
        truncates: Whether bytes are made of float32 images after all steps, by truncation; else of
            images that were rounded first.
        order: Interpolation order of the warp, 0 to 5.
        border: One of `BORDERS`.
        cval: Value outside, for the two constant borders.
        fill: A pixel, a byte for each channel: each of the result is the nearest one of the source,
            byte for byte, or this one where its centre is more than half a pixel outside. Then
            `order`, `border` and `cval` mean nothing. None: values are interpolated.
        columns: Columns of the parameter table, of which those of `COLUMNS` come first.
        augment: None, or what is done to images between `steps` and what comes after them: pairs of
            one of `IMAGE_OPS` and its first column in the table, NaN in which means that it is off;
            or of None, a slot: its first column has the number of an op in `IMAGE_OPS`, and those
            of that op follow. uint8 images are bytes there, others floats on the same scale; an op
            that is not one of `OPS_OF_FLOATS` leaves floats as they are.
        crop: The first of `CROP_COLUMNS` columns, or None: the top, the left, the height and the
            width of a part of the source, in pixels; the number in `FILTERS` of how it is resized,
            which only uint8 images can be; and the value outside the source. NaN: no crop.
        rounds: Whether float images become bytes before `augment`, as uint8 ones are.
        only_moves: Whether the ops of `augment` that do not move pixels are left out, and the order
            and the value outside of those that do are the program's own: for a mask.

        by_image: None, or `by_image(image, row, standardize, out)`, which does all to an image: it
            gets the source, its row of the table, whether to standardize, and where the result
            goes. Called with the GIL.

    Raises:
        ValueError: If a size, an order, a border, an op or a shape of values is not one of the
            above, `fill` is given for a batch that is not of bytes, channels last, without steps, a
            step of a uint8 batch needs floats, a step of the standardization needs pixels:
            `brightness`, `linear`; or an op of `OPS_OF_COLOURS` gets other than one or three
            channels.
        IndexError: If a column is outside the table.
        TypeError: If a step has constants that no op has.
    """

    def __new__(
        cls,
        height: int,
        width: int,
        channels: int,
        steps: Iterable[dict[str, Any]] = ...,
        standardization: Iterable[dict[str, Any]] = ...,
        *,
        function: dict[str, Any] | None = None,
        channels_first: bool = False,
        is_bytes: bool = False,
        truncates: bool = False,
        order: int = 1,
        border: str = "nearest",
        cval: float = 0.0,
        fill: bytes | None = None,
        columns: int = ...,
        augment: Iterable[tuple[str | None, int]] | None = None,
        crop: int | None = None,
        rounds: bool = False,
        only_moves: bool = False,
        by_image: Callable[..., object] | None = None,
    ) -> Program: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def columns(self) -> int: ...
    @property
    def is_bytes(self) -> bool: ...
    @property
    def by_image(self) -> Callable[..., object] | None: ...

@final
class Sources:
    """The images that the batches of a program come from.

    Args:
        program: The program.
        images: An array of images, of rank 4, or a sequence of arrays of rank 3, each of its own
            size: uint8, float32 or a type of `CONVERTED`, in the layout of the program, with the
            pixels of a row (channels first: of a row of a plane) next to each other. Only read.

    Raises:
        TypeError: If they are of another type, or not uint8 where the batches are.
        ValueError: If they do not have the layout above or the channels of the program.
    """

    def __new__(cls, program: Program, images: _Images) -> Sources: ...

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
        undrawn: The parameters by name, as they are if undrawn. None: they are not named.
        kinds: What makes of a parameter, for each number, the one that has a name: a function of a
            float, None for the float itself; of a flip a factor of whether there is one.

    Raises:
        ValueError: If the lengths do not fit, or there is nothing to choose from.
        IndexError: If a column is not one of the table.
    """

    def __new__(
        cls,
        columns: Sequence[int],
        low: Sequence[float],
        spread: Sequence[float],
        flips: Sequence[float],
        scale: Sequence[float] | npt.NDArray[np.float64],
        base: Sequence[float] | npt.NDArray[np.float64],
        choices: Mapping[int, int | Sequence[float]],
        *,
        undrawn: dict[str, Any] | None = None,
        kinds: tuple[Any, ...] = (),
    ) -> Draws: ...
    def draw(self, stream: np.random.RandomState, count: int) -> npt.NDArray[np.float64]:
        """Draws for some images, number by number as `stream.random_sample` and `choice` do.

        Args:
            stream: The stream, over any bit generator.
            count: Number of images.

        Returns:
            float64 `(count, len(COLUMNS))`.
        """

    def draw_dict(
        self,
        stream: np.random.RandomState,
        tx_scale: float | None = None,
        ty_scale: float | None = None,
    ) -> dict[str, Any]:
        """Draws for one image, as `draw` does.

        Args:
            stream: The stream, over any bit generator.
            tx_scale: A further factor of `tx`, or None.
            ty_scale: A further factor of `ty`, or None.

        Returns:
            The parameters by name, in the order of `undrawn`.
        """

    def to_dict(self, row: npt.NDArray[np.float64]) -> dict[str, Any]:
        """Returns the parameters of a row of a table by name."""

    def table(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Makes of numbers what `draw` makes of those that it draws.

        Args:
            values: float64 `(images, len(columns))`.

        Returns:
            float64 `(images, len(COLUMNS))`.

        Raises:
            ValueError: If there are not as many numbers for an image.
        """

def state_of(generator: np.random.MT19937) -> bytes:
    """Returns the state of a generator: as it lies in memory.

    Raises:
        TypeError: If it is of another kind.
        RuntimeError: If this NumPy has another layout there than the core knows.
    """

def set_state(generator: np.random.MT19937, state: bytes, expected: bytes | None = None) -> bool:
    """Sets what `state_of` returned.

    Args:
        generator: The generator.
        state: The state.
        expected: What the state has to be before, or None. No other thread draws in between.

    Returns:
        Whether it was that.

    Raises:
        ValueError: If they are none.
        TypeError, RuntimeError: As from `state_of`.
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

def same_items(some: list[Any], others: tuple[Any, ...], index: npt.NDArray[np.int64]) -> bool:
    """Whether two sequences have the very same items at some indices; False if one is too short."""

def philox_uniform(
    seed: int, stream: int, epoch: int, samples: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) that belong to samples, whoever asks for them and when.

    Row i is what `numpy.random.Generator(numpy.random.Philox(key=[seed, stream], counter=[0, 0,
    epoch, samples[i]])).random(count)` returns.

    Args:
        seed: First word of the key, from 0 to 2**64 - 1.
        stream: Second word of the key.
        epoch: Third word of the counter.
        samples: Last word of the counter, for each row; negative ones modulo 2**64.
        count: Numbers in a row.

    Returns:
        float64 `(len(samples), count)`.
    """

MIX_COLUMNS: int
"""Columns of a mix."""

def mix(
    images: npt.NDArray[np.float32] | npt.NDArray[np.uint8],
    order: npt.NDArray[np.int64],
    table: npt.NDArray[np.float64],
    channels_first: bool,
) -> None:
    """Mixes each image of a batch with the one that comes after it in an order, in place.

    With the last one comes the first, as it was. Without the GIL.

    Args:
        images: `(batch, height, width, channels)` or `(batch, channels, height, width)`, uint8 or
            float32, contiguous.
        order: int64 `(batch,)`: each image once.
        table: float64 `(batch, MIX_COLUMNS)`: the part of the image itself in a blend, and top,
            left, bottom and right of the box that comes from the other instead; NaN in the top: a
            blend. Bytes are rounded.
        channels_first: The layout of the images.

    Raises:
        ValueError: If a shape or a type does not fit.
        IndexError: If an index or a box is out of bounds.
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
    program: Program,
    images: _Images,
    index: npt.NDArray[np.int64],
    table: npt.NDArray[np.float64],
    matrices: npt.NDArray[np.float64] | None,
    out: npt.NDArray[np.float32] | npt.NDArray[np.uint8],
    start: int,
    stop: int,
    standardize: bool = True,
) -> None:
    """Augments images `index[start:stop]` into `out[start:stop]`.

    The warp or flips, the steps and the standardization of the program. Runs without the GIL, but
    for a program with `by_image`, which makes its own matrices.

    Args:
        program: What is done.
        images: What it is done to; see `Sources`.
        index: int64, position in `images` of each image of the batch.
        table: float64 `(batch, program.columns)`.
        matrices: float64 `(batch, 2, 3)`, as from `affine_matrices`. None: those of the table.
        out: Of the type of the program, `(batch,) + program.shape`, contiguous.
        start: First image of the slice.
        stop: End of the slice.
        standardize: False leaves the standardization to a later call of `standardize`.

    Raises:
        TypeError: If the images are of a type that is not read.
        ValueError: If an array does not have the layout above, or `out` is uint8 and
            standardization is asked for.
        IndexError: If an index is outside `images`.
    """

MOST_READERS: int
"""Readers of a kind that a control block has room for."""

def is_abandoned(word: int) -> bool:
    """Whether nobody wants what a slot with this word is for; see `Ring.held_by`."""

@final
class MemoryFile:
    """A file in memory, on Linux, which is open as long as this object lives, in this process.

    Args:
        name: What the system's lists of open files show.

    Attributes:
        fd: Its descriptor.
        path: Where other processes find it.

    Raises:
        OSError: If there can be no more open files, or the system has none in memory.
    """

    fd: int
    path: str

    def __new__(cls, name: bytes) -> MemoryFile: ...

@final
class Control:
    """What the readers of some rings and their program tell each other, in shared memory.

    Which rings there are, who may work, who sleeps; `kernels/ring.h` says who writes what. There
    are as many readers in processes as in threads. The threads of a `TaskQueue` work on what they
    read.

    Args:
        memory: A writeable buffer of `Control.bytes_for(readers)` bytes, zero, or one in which
            there is a control block.
        readers: Number of readers of each kind, if the control block is to be made.
        cores: How many of them may work at a time, unless they wait for the disk.

    Raises:
        ValueError: If there is no room, or the number is not from 1 to `MOST_READERS`.
    """

    def __new__(
        cls, memory: Any, readers: int | None = None, cores: int | None = None
    ) -> Control: ...
    @staticmethod
    def bytes_for(readers: int) -> int:
        """Bytes of a control block."""

    @property
    def limit(self) -> int:
        """Readers and warping threads that may work at a time."""

    def wanted(self, kind: int) -> int:
        """Readers of a kind that there should be: `limit`, and one for each that hangs."""

    @property
    def warping(self) -> int:
        """Threads of the program that are at work."""

    pillow: tuple[int | None, bool]
    """Pillow's `(MAX_IMAGE_PIXELS, LOAD_TRUNCATED_IMAGES)` in the program."""

    def open(self, ring: Ring, kind: int, path: bytes, device: int, inode: int) -> None:
        """Makes a new ring known to the readers, and this process the one that has its slots.

        Args:
            ring: The ring.
            kind: Who reads its files, an `fa_kind`.
            path: Of its memory, for those in other processes.
            device: Of the file there.
            inode: Likewise.

        Raises:
            OSError: If the path is too long, or there are too many rings.
        """

    def close(self, ring: Ring) -> None:
        """Makes a ring unknown: its batches end, and its readers let go of it.

        Takes no lock that is held while Python objects are made.
        """

    def entry(self, k: int) -> tuple[int, bytes, int, int, int]:
        """Returns `(generation, path, device, inode, size)` of the memory of a ring; 0: none."""

    def join(self, ring: Ring, k: int, generation: int) -> None:
        """Makes a ring that this process has mapped the one of an entry."""

    def wake(self) -> None:
        """Wakes all who may wait for something: after the death of a reader."""

    def stop(self) -> None:
        """Has the readers in threads come to an end."""

    def allowed(self, kind: int) -> int:
        """Readers of a kind that may take a file now."""

    def account(self, reading: float, in_all: float) -> None:
        """Takes the seconds of a file into account, and those for which the disk was waited for."""

    def account_thread(self, seconds: float) -> None:
        """Takes the seconds of a core into account that a reader in a thread took for a file.

        Threads that need few of them hold the GIL for much of the time: fewer are allowed.
        """

    def has_work(self, kind: int) -> bool:
        """Whether files wait for a reader of a kind."""

    def claims(self) -> int:
        """A number that changes when a reader takes a file."""

    def busy(self, reader: int) -> int:
        """What a reader is busy with: a number that is another one for each file, or 0."""

    def owes(self, reader: int) -> bool:
        """Whether a reader has a file to read before all else."""

    def forget(self, reader: int) -> None:
        """Makes a dead reader's record that of the next one; what it owes stays."""

@final
class Ring:
    """Slots for decoded images and the paths of files, in shared memory.

    Args:
        memory: A writeable buffer in which there is a ring.

    Attributes:
        view: Whatever who has the ring wants to know of it.
        failure: What `Batch.wait` raises for the batches that `fail_batches` has ended.

    Raises:
        ValueError: If there is none.
    """

    view: Any
    failure: BaseException | None

    def __new__(cls, memory: Any) -> Ring: ...
    @staticmethod
    def bytes_for(
        slots: int, slot_bytes: int, files: int, name_bytes: int, about_bytes: int
    ) -> int:
        """Bytes of a ring; the arguments are the numbers of those of `create`."""

    @staticmethod
    def create(
        memory: Any,
        slots: int,
        slot_bytes: int,
        offsets: npt.NDArray[np.uint64],
        names: bytes,
        about: bytes,
    ) -> Ring:
        """Makes a ring in memory that is zero.

        Args:
            memory: A writeable buffer of `bytes_for` bytes.
            slots: Number of slots, from 1.
            slot_bytes: Bytes of a slot, a multiple of 64.
            offsets: Where the path of each file begins in `names`, and the end of the last.
            names: The paths.
            about: What readers have to know of the images; for `about`.

        Raises:
            ValueError: If they do not fit.
        """

    @property
    def about(self) -> bytes:
        """What readers have to know of the images."""

    @property
    def images_at(self) -> tuple[int, int]:
        """Bytes before the first slot, and from one slot to the next."""

    @property
    def entry(self) -> int:
        """Number of the ring in its control block."""

    @property
    def generation(self) -> int:
        """Tells the ring from others that had or will have the same entry."""

    @property
    def slots(self) -> int:
        """Number of slots."""

    @property
    def pillow(self) -> tuple[int | None, bool] | None:
        """Pillow's settings of the program, or None where readers are to have their own."""

    def open_files(self, relative: bool) -> None:
        """Has readers in this process open files before they have the GIL.

        Args:
            relative: Whether those with a relative path too.
        """

    def follow_pillow(self) -> None:
        """Has the readers take on Pillow's settings of the program."""

    @property
    def wanted(self) -> int:
        """Images of batches that are still to be read; 0 if the ring is closed."""

    def file(self, slot: int) -> int:
        """The number of the file that a slot is for."""

    def draws(self, slot: int) -> tuple[int, int]:
        """Seed and epoch of what a reader draws for the file of a slot."""

    def path(self, slot: int) -> bytes:
        """The path of the file that a slot is for."""

    def waiting(self) -> int | None:
        """A slot whose file no reader has begun, or None."""

    def progress(self) -> bytes:
        """Bytes that change when a reader begins or ends a file."""

    def claim(self) -> int | None:
        """Takes the next file for a reader without a record; returns its slot, or None."""

    def finish(self, slot: int, record: bytes | None = None) -> bool:
        """Does what `Reader.finish` does, for a reader without a record."""

    def held_by(self, reader: int) -> tuple[int, int] | None:
        """`(slot, word)` of what a reader has begun and not ended, or None."""

    def fail(self, slot: int, record: bytes) -> None:
        """Says why there is no image, in the place of a reader that is dead."""

    def redo(self, slot: int, reader: int) -> None:
        """Has a dead reader's file read again, before all else, by who takes a reader's place."""

    def fail_batches(self, error: BaseException) -> None:
        """Ends all batches that wait for files of this ring; `Batch.wait` raises the error."""

@final
class Reader:
    """One who reads the files of rings.

    Args:
        control: The control block.
        index: The reader's number, among those of its kind.
        kind: 0: it is a process; 1: a thread of the program.

    Raises:
        ValueError: If there is no such reader.
    """

    def __new__(cls, control: Control, index: int, kind: int) -> Reader: ...
    def next(self, timeout: float) -> tuple[Ring, int] | int | None:
        """Waits for a file, without the GIL.

        Args:
            timeout: Seconds without any work after which to give up.

        Returns:
            `(ring, slot)` of a file that is this reader's now; the number of an entry whose ring
            has to be given to `attach` first; or None after the time.
        """

    def account(self, reading: float) -> None:
        """Takes the time of the file from `next` into account, before `finish`.

        Args:
            reading: Seconds that the disk has taken since `next` has returned.
        """

    def take_file(self) -> bytes | int | None:
        """Returns the contents of the file from `next`, if it is a small one.

        Returns:
            The bytes; the descriptor of a large file that is open, to be closed by the caller; or
            None: nothing is known of it.
        """

    def attach(self, entry: int, ring: Ring) -> None:
        """Makes a ring the one of an entry that `next` has returned."""

    def finish(
        self,
        ring: Ring,
        slot: int,
        record: bytes | None = None,
    ) -> bool:
        """Says what became of a file.

        Args:
            ring: As from `next`.
            slot: Likewise.
            record: Why there is no image; None: it is in the slot.

        Returns:
            False if the slot was taken from the reader.

        Raises:
            ValueError: If the record is too long for the slot.
        """

@final
class Batch:
    """The work of a whole batch, or of several: what `augment` does, by the threads of a queue.

    The arrays are kept until no thread works on them, and must not change until then.

    Args:
        program: What is done; with `by_image` only where there is a ring.
        images: As for `augment`.
        index: int64 `(batch,)`, contiguous.
        table: float64 `(batch, program.columns)`, contiguous. None: the threads draw it.
        outs: The results, in one array or in several, each as for `augment` and as long as the
            first, but for the last one, which may be shorter.
        standardize: As for `augment`.
        draws: How to draw the table.
        seeds: What to seed an MT19937 with before the draws for each array, in 0..2**32 - 1.
        ring: What the images come through: then `images` are those of its slots, and `index` are
            numbers of files.
        file_draws: Seed and epoch of what readers draw for these files, from 0 to 2**64 - 1.
        after: Function to call, in the threads, with some of the results after each other.
        then: Function to call after all of them, in the thread of the last.

    Raises:
        TypeError: As from `augment`.
        ValueError: As from `augment`, or if there is `by_image` and no ring, or neither a table
            nor a seed for each array.
        IndexError: If an index is outside `images`.
        OverflowError: If a seed is out of range.
    """

    def __new__(
        cls,
        program: Program,
        images: _Images,
        index: npt.NDArray[np.int64],
        table: npt.NDArray[np.float64] | None,
        outs: Sequence[npt.NDArray[np.float32] | npt.NDArray[np.uint8]],
        standardize: bool = True,
        draws: Draws | None = None,
        seeds: Sequence[int] | None = None,
        *,
        ring: Ring | None = None,
        file_draws: tuple[int, int] = (0, 0),
        after: Callable[[npt.NDArray[Any]], object] | None = None,
        then: Callable[[], object] | None = None,
    ) -> Batch: ...
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
        """Cancels the images that no thread has begun."""

    def is_lost(self) -> bool:
        """Whether this is a copy in a forked process: no thread here will ever work on it."""

    def wait(self, timeout: float = -1.0) -> bool:
        """Waits until no thread works on it any more. An interrupt comes through.

        Args:
            timeout: Seconds to wait at most; negative: any time.

        Returns:
            False after that time.

        Raises:
            MemoryError: If a thread had none to work in.
            BaseException: What `after`, `then` or `by_image` has raised, or `Ring.failure`.
        """

    def failures(self) -> list[tuple[int, bytes]]:
        """Returns `(position, record)` of each image that could not be read, once it has ended."""

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

def convert(source: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """Does `out[...] = source`, many times as fast as NumPy from and to float16."""

def place(
    images: npt.NDArray[Any],
    index: npt.NDArray[np.int64],
    table: npt.NDArray[np.float64],
    out: npt.NDArray[Any],
    channels_first: bool,
) -> None:
    """Puts images into a batch, `convert`ed, and flips them there.

    Args:
        images: Images of any type, of rank 4.
        index: int64, which of them.
        table: Parameter table with a row for each, of which only the flips count.
        out: The batch, contiguous, of any type.
        channels_first: Whether the channels are the first axis of an image, or else the last.

    Raises:
        ValueError: If lengths or shapes do not fit.
        IndexError: If there is no such image.
    """

def flip(image: npt.NDArray[Any], channels_first: bool, horizontal: bool, vertical: bool) -> None:
    """Flips an image in place.

    Args:
        image: Contiguous, of rank 3, of any type.
        channels_first: Whether the channels are the first axis, or else the last.
        horizontal: Whether to turn it left to right.
        vertical: Whether to turn it upside down.

    Raises:
        ValueError: If it is no such array.
    """

def multiply(x: Any, values: Any) -> Any:
    """Does `x *= values`, as fast as it can be done, and returns `x`.

    Args:
        x: What NumPy takes; fast if an array of floats that lies in one piece.
        values: What NumPy takes; fast if a Python number, or an array of floats of at most the size
            of those of `x`, with one axis, at most, of more than one value.
    """

def subtract(x: Any, values: Any) -> Any:
    """Does `x -= values`, like `multiply`."""

def divide(x: Any, values: Any) -> Any:
    """Does `x /= values`, like `multiply`."""

def mean_of(x: Any) -> Any:
    """Returns `np.mean(x, keepdims=True)`; of float32 and float64 a float, summed in doubles."""

def std_of(x: Any) -> Any:
    """Returns `np.std(x, keepdims=True)`, like `mean_of`."""

def brighten(image: npt.NDArray[np.float32], factor: float) -> None:
    """Makes of an image what Pillow's `ImageEnhance.Brightness` makes of its values, in place.

    Args:
        image: float32 `(height, width, channels)`, contiguous, with values from 0 to 255, which are
            truncated to whole numbers. The last of four channels keeps its own.
        factor: Factor.

    Raises:
        ValueError: If it is no such array.
    """

def exact_warp(
    image: npt.NDArray[Any],
    matrix: npt.NDArray[np.float64],
    order: int,
    border: str,
    cval: float,
    channels_first: bool,
) -> npt.NDArray[Any] | None:
    """Warps an image in doubles, as `scipy.ndimage.affine_transform` does channel by channel.

    Args:
        image: Image of rank 3.
        matrix: float64 `(2, 3)` from output to source coordinates, (row, column).
        order: Interpolation order.
        border: One of `BORDERS`.
        cval: Value outside, for the two constant borders.
        channels_first: Whether the channels are the first axis, or else the last.

    Returns:
        A new image of the same type; None if the order is neither 0 nor 1, the type is none of
        float64 and the integers, or coordinates go beyond 2**31.

    Raises:
        ValueError: If the rank, the matrix or the border is not one of the above.
    """

def standardize(program: Program, out: npt.NDArray[np.float32], start: int, stop: int) -> None:
    """Standardizes `out[start:stop]` in place, as the program says.

    Args:
        program: What is done; its batches are float32.
        out: float32 `(batch,) + program.shape`, contiguous.
        start: First image of the slice.
        stop: End of the slice.

    Raises:
        ValueError: If the batch does not have the layout above.
    """

FILTERS: tuple[str, ...]
"""Names of the filters that `ResampleWeights` knows, which are Pillow's."""

@final
class ResampleWeights:
    """The weights of the pixels along one axis of an image that is resized, as Pillow has them.

    Args:
        filter_: One of `FILTERS`.
        length: Pixels of the image along the axis.
        start: Where the stretch that is resized begins, in pixels.
        stop: Where it ends.
        size: Pixels of the result.

    Raises:
        ValueError: If a filter or a size is not one of these, or the stretch is not in the image.
        MemoryError: If there are too many weights.
    """

    def __new__(
        cls, filter_: str, length: int, start: float, stop: float, size: int
    ) -> ResampleWeights: ...

def resample(
    image: npt.NDArray[np.uint8],
    rows: ResampleWeights,
    columns: ResampleWeights,
    out: npt.NDArray[np.uint8],
    rows_first: bool = False,
) -> None:
    """Resizes an image, to the bits of Pillow's `Image.resize`, without the GIL.

    Args:
        image: `(height, width, channels)`, each row in one piece.
        rows: The weights along the height.
        columns: The weights along the width.
        out: `(rows, columns, channels)`, contiguous.
        rows_first: Whether the pass along the rows is the first: what it makes is rounded.

    Raises:
        ValueError: If an array is another one, or the two share memory.
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
