"""Settings of a generator, checked once, and the work of a batch, as far as the core does it.

Between the generator, which holds what a user has set, and `_core`, which takes typed buffers and
believes what it is told. Knows nothing of order, seeds or prefetching.
"""

import numpy as np

from fastaug import _core
from fastaug.data.sources import NO_DRAWS
from fastaug.defaults import floatx, image_data_format
from fastaug.keras_api.compile import compile_program
from fastaug.keras_api.params import ParameterSampler
from fastaug.keras_api.recognise import affine_map, apply_elementwise, channel_map, is_elementwise
from fastaug.keras_api.settings import Settings, makes_bytes, stays_in_levels
from fastaug.keras_api.standardization import Standardization
from fastaug.keras_api.warp import AroundWarp, border_name, check_order, choose
from fastaug.ops.base import OpList, as_ops, size_and_channels
from fastaug.program.chunks import chunked_job


def augmentation_for(generator, source, data_format, dtype) -> "Augmentation | None":
    """Returns what a generator does to the images of a source, as it is now set.

    Args:
        generator: An `ImageDataGenerator`.
        source: Where the images come from.
        data_format: 'channels_last' or 'channels_first', the layout of images and batches.
        dtype: Type of the batches.

    Returns:
        None: The generator has to be asked for each image, in the calling thread.

    Raises:
        TypeError: If the ops are not defined for the type of the images.
        ValueError: If the ops need other channels or another size.
    """
    channels = source.shape[0 if data_format == "channels_first" else 2]
    if (
        dtype not in (np.float32, np.uint8)
        or generator.dtype != dtype
        or generator.data_format != data_format
        or (generator.brightness_range is not None and not _brightens(channels, data_format))
        or (dtype == np.uint8 and not makes_bytes(generator, source, floatx()))
    ):
        return None
    ops = ops_of(generator, source)
    if ops is not None:
        check_ops(ops, source, data_format)
    of_bytes = is_of_bytes(source)
    return Augmentation(
        generator, source.shape, data_format, dtype, source.in_floatx, ops, of_bytes
    )


def _brightens(channels, data_format):
    """Keras reads images in its defaults here, and Pillow knows 1, 3 or 4 channels."""
    return data_format == image_data_format() and channels in (1, 3, 4) and floatx() == "float32"


def is_of_bytes(source):
    """Whether images are bytes for ops: uint8 ones, and those of files, grey ones too."""
    return source.dtype == np.uint8 or source.in_floatx


def ops_of(generator, source=None) -> OpList | None:
    """Returns the ops of a generator's `augment`, or None.

    Args:
        generator: A generator of any kind.
        source: Where the images come from; a crop that is done there is left out. Or None.

    Raises:
        TypeError: If one is no op.
        ValueError: If there are several crops.
    """
    augment = getattr(generator, "augment", None)
    if augment is None:
        return None
    ops = as_ops(augment)
    if source is not None and source.crop is not None:
        ops = [op for op in ops if not op.is_crop]
    return OpList(ops)


def check_ops(ops, source, data_format):
    """Raises what ops have against the images of a source.

    Args:
        ops: An `OpList`.
        source: Where the images come from.
        data_format: Their layout.

    Raises:
        TypeError: If an op is not defined for their type.
        ValueError: If an op needs other channels or another size.
    """
    dtype = np.dtype(np.uint8) if is_of_bytes(source) else source.dtype
    ops.check(dtype, *size_and_channels(source.shape, data_format == "channels_first"))


class Augmentation:
    """What a generator does to the images of one shape.

    Args:
        generator: An `ImageDataGenerator`.
        shape: Shape of one image, of rank 3.
        data_format: 'channels_last' or 'channels_first', the layout of images and batches.
        dtype: Type of the batches, float32, or uint8 where `makes_bytes`.
        in_floatx: Whether Keras has the images as floats until they go into the batch.
        ops: The `OpList` of what is done beside Keras's transforms, or None.
        of_bytes: Whether the images are bytes for the ops.
        fitted: Whether to standardize with the generator's statistics, or none.

    Attributes:
        settings: What the generator was set to.
        ops: The `OpList` of its `augment`, or None.
        height: Height of a finished image.
        width: Width of a finished image.
        standardization: Of them, what is done to the values at the end.

    Raises:
        RuntimeError: If `fill_mode` or `interpolation_order` is not one that SciPy has.
    """

    def __init__(
        self,
        generator,
        shape,
        data_format,
        dtype=np.float32,
        in_floatx=False,
        ops=None,
        of_bytes=False,
        fitted=True,
    ):
        self.settings = Settings(generator, dtype)
        self.sampler = ParameterSampler.of(generator)
        channels_first = data_format == "channels_first"
        self._source_size, self._channels = size_and_channels(shape, channels_first)
        channels = self._channels
        self.ops = ops
        self.height, self.width = self._source_size
        if self.ops is not None:
            self.height, self.width = self.ops.size_after(self._source_size)
        border = border_name(generator.fill_mode)
        check_order(generator.interpolation_order)
        order, cval = generator.interpolation_order, generator.cval

        # What has to be called for each image, with pieces of a batch, or not at all.
        self.function = generator.preprocessing_function or None
        self._elementwise = affine = None
        mapped = channel_map(self.function, channels, data_format)
        if mapped is not None:
            self.function = None
        elif is_elementwise(self.function):
            self._elementwise, self.function = self.function, None
            if stays_in_levels(generator):
                affine = affine_map(self._elementwise, channels)

        self.standardization = Standardization(generator, channels, channels_first, fitted)
        size = self.height, self.width, channels
        settings = {
            "channels_first": channels_first,
            "order": order,
            "border": border,
            "cval": cval,
            **self.standardization.for_core,
            "is_bytes": dtype == np.uint8,
            "truncates": in_floatx,
        }
        self._warp = choose(generator.warp, order, border, size)
        self.program = self._compile(size, mapped, settings, of_bytes)
        # for images of 8 bits
        self._affine_program = affine and self._compile(size, affine, settings, of_bytes)

    def _compile(self, size, function, settings, of_bytes):
        """Returns the program of Keras's transforms, the ops and what comes after them."""
        if self.ops is None:
            program = compile_program(*size, function=function, **settings)
            if self._warp is None:
                return program
            around = AroundWarp(self._warp, program, settings["channels_first"])
            return compile_program(*size, function=function, **settings, by_image=around)

        rounds = {"rounds": of_bytes}

        def make(**part):
            return compile_program(*size, function=function, **settings | rounds | part)

        return self.ops.program(make, of_bytes)

    def __str__(self):
        """Returns what makes the batches, in words."""
        warp = "fused" if self._warp is None else "OpenCV's"
        function = getattr(self.function, "__name__", type(self.function).__name__)
        calls = f"; {function} is called for each image" if self.function is not None else ""
        return f"in the core, with the {warp} warp{calls}"

    def draw(self, rng, count):
        """Returns a parameter table for `count` images, drawn from a stream."""
        return self.sampler.draw(rng, count, self.height, self.width)

    def from_doubles(self, doubles):
        """Returns the table that `draw` would have made from these numbers in [0, 1)."""
        return self.sampler.from_doubles(doubles, self.height, self.width)

    def with_ops(self, table, seed, epoch, index):
        """Returns a parameter table with the columns of `augment` beside Keras's.

        Args:
            table: What `draw` returned.
            seed: Seed of what the ops draw.
            epoch: Number of the epoch.
            index: int64 array, the position of each image in the source.
        """
        if self.ops is None:
            return table
        return self.ops.table(table, seed, epoch, index, self._source_size, self._channels)

    def is_core_work(self, source, standardize=True) -> bool:
        """Whether the core does all of a batch without the GIL.

        Args:
            source: Where the images come from.
            standardize: As for `job`.
        """
        program, function = self._program_for(source, standardize)
        return (
            source.array is not None
            and program.by_image is None
            and function is None
            and not (standardize and self.standardization.has_rest)
        )

    def core_job(self, source, index, table, outs, standardize=True, seeds=None):
        """Returns the work of one batch or more, of which `is_core_work`.

        Args:
            source: Where the images come from.
            index: int64 array, the position of each image in the source.
            table: Parameter table with a row for each image, or None, to draw it with the work.
            outs: An array for the finished images of each batch, all of one length but the last.
            standardize: As for `job`.
            seeds: What to seed a stream with before the draws of each batch, in 0..2**32 - 1.
        """
        program, _ = self._program_for(source, standardize)
        draws = None if seeds is None else self.sampler.draws_of(self.height, self.width)
        return _core.Batch(program, source.array, index, table, outs, standardize, draws, seeds)

    def _program_for(self, source, standardize):
        """Returns the program for images of a source, and a function to call on the batch after."""
        function = self._elementwise if standardize else None
        if function is not None and self._affine_program is not None and source.dtype == np.uint8:
            return self._affine_program, None
        return self.program, function

    def job(self, source, index, table, out, workers, standardize=True, draws=NO_DRAWS):
        """Returns the work of a batch, in chunks for `workers` threads, and begins to read it.

        Args:
            source: Where the images come from.
            index: int64 array, the position of each image in the source.
            table: Parameter table with a row for each image.
            out: Array for the finished images, of the type of the batches.
            workers: Number of threads that the chunks are for.
            standardize: Whether to standardize; not, if a function comes before it.
            draws: Seed and epoch of what is drawn when an image is read.

        Returns:
            `(job, errors)`: a job for `ThreadPool.submit`; errors is a dict that will have, when
            the job is done, an exception for each place whose image could not be read.
        """
        if self.is_core_work(source, standardize):
            return self.core_job(source, index, table, [out], standardize), {}
        program, function = self._program_for(source, standardize)

        def augment(images, positions, rows, result):
            in_core = standardize and function is None
            _core.augment(program, images, positions, rows, None, result, 0, len(result), in_core)

        def apply(result):
            apply_elementwise(function, result, self.standardization.is_on)
            _core.standardize(program, result, 0, len(result))

        rest = self.standardization.rest
        then = (lambda: rest(out)) if standardize and self.standardization.has_rest else None
        after = apply if function is not None else None
        if workers and source.has_readers:
            in_core = standardize and function is None
            job = source.job(program, index, table, out, in_core, after, then, draws)
            return job, job.errors
        return chunked_job(source, index, draws, table, out, workers, augment, after, then)

    def standardize(self, out):
        """Standardizes finished images in place."""
        _core.standardize(self.program, out, 0, len(out))
        self.standardization.rest(out)
