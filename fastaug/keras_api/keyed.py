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
from fastaug.keras_api.settings import check_dtype, check_follows
from fastaug.keras_api.single_images import SingleImages
from fastaug.keras_api.spec import BatchSpec
from fastaug.keras_api.streams import lent_generator, lent_to_user_code, seeded
from fastaug.ops.base import size_and_channels
from fastaug.program.fields import MaskField, Masks, map_leaves, masks_in
from fastaug.run.threads import finish


def augment_keyed(generator, images, targets, keys, seed, pool):
    """Returns augmented images and their targets; see `ImageDataGenerator.apply`.

    Args:
        generator: An `ImageDataGenerator`.
        images: Array of rank 4, or images of rank 3, of one shape.
        targets: A structure of which the leaves that are `Masks` go with the images.
        keys: An integer or a string for each image.
        seed: An integer.
        pool: `ThreadPool` to work on, or None for the calling thread.
    """
    if generator.mix is not None:
        raise ValueError(
            f"`mix` is for the images of a batch, and here each is by itself: {generator.mix!r}"
        )
    source, dtype = ArraySource(_as_array(images)), np.dtype(generator.dtype)
    draws = operator.index(seed), 0
    samples = np.array(_numbers(keys, draws[0]), dtype=np.int64)
    masks = list(masks_in(targets))
    for what, count in (("keys", len(samples)), *(("masks", len(each)) for each in masks)):
        if count != len(source):
            raise ValueError(f"Received: {len(source)} images, {count} {what}")
    with imports_no_keras():
        check_dtype(generator, dtype, source.in_floatx)
        if masks:
            check_follows(generator)
        fields = [_field_of(each, source.shape, generator.data_format) for each in masks]
        spec = BatchSpec(source, generator, generator.data_format, dtype, fields)
        augmentation = spec.augmentation()
        out = np.empty((len(source), *spec.shape(augmentation)), dtype)
        if augmentation is None or augmentation.function is not None:
            table = _make_one_by_one(generator, source, draws, samples, out)
        else:
            table = _make_in_core(augmentation, source, draws, samples, out, pool)
        made = iter(_make_masks(spec, table, draws, samples, pool))
    return out, map_leaves(lambda leaf: next(made) if isinstance(leaf, Masks) else leaf, targets)


def _make_in_core(augmentation, source, draws, samples, out, pool):
    """Makes images on threads; returns Keras's columns of their parameters."""
    table = np.empty((len(samples), len(_core.COLUMNS)))
    with lent_generator() as stream:
        for place, sample in enumerate(samples):
            stream.seed(_stream_seed(sample))
            table[place] = augmentation.draw(stream, 1)
    rows = augmentation.with_ops(table, *draws, samples)
    workers = 0 if pool is None else pool.size
    job, _ = augmentation.job(source, np.arange(len(samples)), rows, out, workers)
    finish(job, pool)
    augmentation.standardization.warn_unfitted()
    return table


def _make_one_by_one(generator, source, draws, samples, out):
    """Does the same as Keras does: where a user's code is called, or a type is not the core's."""
    ops = SingleImages.of(generator, source, draws, samples)
    table = np.empty((len(samples), len(_core.COLUMNS)))
    for place, sample in enumerate(samples):
        image = source.image(place, out.dtype)
        if ops is not None:
            image = ops.before(place, image)
        with lent_to_user_code(seeded(_stream_seed(sample))), _core.KeptMemory():
            params = generator.get_random_transform(image.shape)
            table[place] = row_of(params)
            image = generator.apply_transform(image, params)
            if ops is not None:
                image = ops.after(place, image)
            out[place] = generator.standardize(image)
    return table


def _field_of(masks, shape, data_format):
    first = data_format == "channels_first"
    size, _ = size_and_channels(shape, first)
    return MaskField(masks, masks.shape[1:], masks.dtype, size, first)


def _make_masks(spec, table, draws, samples, pool):
    """Yields the masks of each field, moved as their images were."""
    ops = spec.moves()
    rows = spec.with_moves(table, ops, draws, samples)
    for field in spec.fields:
        workers = 0 if pool is None else pool.size
        job, _, masks = field.job(np.arange(len(samples)), rows, workers, ops, draws)
        finish(job, pool)
        yield masks


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


def _stream_seed(sample):
    """Returns what Keras's stream for an image is seeded with."""
    return int(sample) & 0xFFFFFFFF
