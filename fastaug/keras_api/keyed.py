"""Images whose random numbers belong to keys: the same whatever else is in a batch.

Keras has no such thing: it draws for image after image from one stream. Here each image has a
stream of its own, seeded with a hash of its key, from which its parameters are drawn as Keras draws
them. Nothing is kept from call to call, and Keras is not imported.
"""

import hashlib
import numbers
import operator
from collections.abc import Iterable

import numpy as np

from fastaug import _core
from fastaug.data.sources import ArraySource
from fastaug.defaults import imports_no_keras
from fastaug.keras_api.params import row_of
from fastaug.keras_api.settings import check_dtype
from fastaug.keras_api.single_images import SingleImages
from fastaug.keras_api.spec import BatchSpec
from fastaug.keras_api.streams import lent_generator, lent_to_user_code, seeded
from fastaug.program.fields import MaskField
from fastaug.run.threads import finish


def augment_keyed(generator, images, masks, keys, seed, pool):
    """Returns augmented images and their masks; see `ImageDataGenerator.apply`.

    Args:
        generator: An `ImageDataGenerator`.
        images: Array of rank 4, or images of rank 3, of one shape.
        masks: `Masks`, or None.
        keys: An integer or a string for each image.
        seed: An integer.
        pool: `ThreadPool` to work on, or None for the calling thread.
    """
    images, dtype = _as_array(images), np.dtype(generator.dtype)
    draws = operator.index(seed), 0
    samples = np.array(_numbers(keys, draws[0]), dtype=np.int64)
    seeds = (samples & 0xFFFFFFFF).tolist()
    if len(seeds) != len(images):
        raise ValueError(
            f"Expected a key for each image. Received: {len(images)} images, {len(seeds)} keys"
        )
    source = ArraySource(images)
    with imports_no_keras():
        check_dtype(generator, dtype, source.in_floatx)
        fields = [] if masks is None else [_field_of(masks, source, generator)]
        spec = BatchSpec(source, generator, generator.data_format, dtype, fields)
        augmentation = spec.augmentation()
        out = np.empty((len(seeds), *spec.shape(augmentation)), dtype)
        if augmentation is None or augmentation.function is not None:
            ops = SingleImages.of(generator, source, draws, samples)
            table = _make_one_by_one(generator, source, seeds, ops, out)
            return out, _moved(spec, table, draws, samples)
        table = np.empty((len(seeds), len(_core.COLUMNS)))
        with lent_generator() as stream:
            for place, number in enumerate(seeds):
                stream.seed(number)
                table[place] = augmentation.draw(stream, 1)
        moved = _moved(spec, table, draws, samples)
        table = augmentation.with_ops(table, *draws, samples)
        workers = 0 if pool is None else pool.size
        job, _ = augmentation.job(source, np.arange(len(seeds)), table, out, workers)
        finish(job, pool)
        augmentation.standardization.warn_unfitted()
    return out, moved


def _field_of(masks, source, generator):
    first = generator.data_format == "channels_first"
    size = source.shape[1:] if first else source.shape[:2]
    if len(masks.data) != len(source):
        raise ValueError(f"Expected a mask for each image. Received: {len(source)} images, {masks}")
    return MaskField(masks, masks.shape[1:], masks.dtype, size, first)


def _moved(spec, table, draws, samples):
    """Returns the masks of the images, or None."""
    ops = spec.moves()
    for field in spec.fields:
        rows = spec.with_moves(table, ops, draws, samples)
        job, _, made = field.job(np.arange(len(samples)), rows, 0, ops, draws)
        finish(job, None)
        return made
    return None


def _make_one_by_one(generator, source, seeds, ops, out):
    """Makes images as Keras does: where a user's code is called, or a type is not the core's.

    Returns:
        Their parameter table.
    """
    table = np.empty((len(seeds), len(_core.COLUMNS)))
    for place, number in enumerate(seeds):
        image = source.image(place, out.dtype)
        if ops is not None:
            image = ops.before(place, image)
        with lent_to_user_code(seeded(number)), _core.KeptMemory():
            params = generator.get_random_transform(image.shape)
            table[place] = row_of(params)
            image = generator.apply_transform(image, params)
            if ops is not None:
                image = ops.after(place, image)
            out[place] = generator.standardize(image)
    return table


def _as_array(images):
    try:
        array = np.asarray(images)
    except ValueError as error:
        error.add_note("The images of one call should have one shape")
        raise
    if array.ndim != 4 or array.dtype.kind not in "biuf":
        raise ValueError(
            "Expected images of one shape, with height, width and channels. Received: an array of "
            f"shape {array.shape} and dtype {array.dtype}"
        )
    return array


def _numbers(keys, seed):
    """Returns a number of 64 bits for each key, the same in every process."""
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise TypeError(f"Expected a key for each image. Received: {keys=}")
    return [_number_of(key, seed) for key in keys]


def _number_of(key, seed):
    if not isinstance(key, str | numbers.Integral):
        raise TypeError(f"A key should be an integer or a string. Received: {key!r}")
    text = f"{seed} {key}".encode(errors="surrogateescape")  # names of files may be any bytes
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)
