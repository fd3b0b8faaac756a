"""A user's code, called for each image: always in the thread that asks for the batch.

Either the preprocessing function, on images that the threads have warped, or the generator itself,
for all that is done to an image. Called as Keras would, with the global `np.random` where Keras
would have it; what prepares that is `batches`, and the batches here are its own. Errors name the
function, and what it returned.
"""

import itertools
import sys

import numpy as np

from fastaug import _core
from fastaug.keras_api.function_results import name_function, returned
from fastaug.keras_api.params import row_of, unmoved
from fastaug.keras_api.single_images import SingleImages
from fastaug.keras_api.standardization import FOR_FLOATS, standardize
from fastaug.keras_api.streams import drawn_from, global_stream, lent_to_user_code, seeded
from fastaug.keras_api.transforms import transform_image
from fastaug.run.array_pool import COUNTS_REFERENCES


def call_for_each(
    generator,
    source,
    batch,
    image_of,
    images,
    start,
    bad_image,
    ops=None,
    params=None,
    results=None,
):
    """Asks a generator for each image of a batch from a place on, as Keras does.

    Args:
        generator: An `ImageDataGenerator` of any kind, or None: images stay as they are.
        source: Where the images come from.
        batch: The batch; its `errors` get those of images that cannot be read, and its table the
            rows that are drawn.
        image_of: Function of a place in the batch that returns its image.
        images: Array for the finished images.
        start: The first place.
        bad_image: Function to call with the position and the exception of such an image.
        ops: `SingleImages` of the batch, or None.
        params: Parameters of the first image, if they have been drawn.
        results: `Results` that look at the images, or None.
    """
    function = getattr(generator, "preprocessing_function", None)
    transform = getattr(generator, "_transform_own", None) or getattr(
        generator, "apply_transform", None
    )
    with _core.KeptMemory():
        for i in range(start, len(batch.index)):
            try:
                image = image_of(i)
            except Exception as error:
                batch.errors[i] = error
                bad_image(int(batch.index[i]), error)
                if params is None and generator is not None:
                    # left out, but drawn for: the others stay as they were
                    generator.get_random_transform(ops.shape if ops else source.shape)
                params = None
                continue
            if generator is None:
                if results is not None:
                    results.add(image)
                images[i] = image
                continue
            if ops is not None:
                image = ops.before(i, image)
            if params is None:
                params = generator.get_random_transform(image.shape)
            batch.table[i] = row_of(params)
            image = transform(image, params)
            if ops is not None:
                image = ops.after(i, image)
            result = generator.standardize(image)
            if results is not None:
                results.add(result)
            _put(result, images, i, None, function)
            params = None


def is_without_calls(generator, source):
    """Whether a generator makes the images of an array without any code of the user's."""
    overridden = getattr(generator, "_overrides_methods", None)
    return (
        overridden is not None
        and not overridden()
        and not generator.preprocessing_function
        and not source.in_floatx
        and isinstance(source.images, np.ndarray)
        and not getattr(generator, "augment", None)
    )


def make_in_place(generator, sampler, source, batch, images, stream):
    """Makes images, of which no code of the user's sees any before, in their place in the batch.

    In the type of the batch, as Keras does. Nothing is copied that is not transformed.

    Args:
        generator: An `ImageDataGenerator` that `is_without_calls`.
        sampler: What draws the parameters that are set now.
        source: Where the images come from.
        batch: The batch, whose table gets what is drawn.
        images: Array for the finished images.
        stream: What to draw from.
    """
    first = generator.channel_axis == 1
    row_axis, col_axis = generator.row_axis - 1, generator.col_axis - 1
    standardizes = any(getattr(generator, name) for name in FOR_FLOATS)
    if sampler.only_flips and not standardizes:
        batch.table = sampler.draw(stream, len(images), 1, 1)
        _core.place(source.images, batch.index, batch.table, images, first)
        return
    with _core.KeptMemory():
        for i, position in enumerate(batch.index):
            # one by one: if an image fails, the stream is left where Keras leaves it
            if sampler.only_flips:
                table, image = sampler.draw(stream, 1, 1, 1), images[i]
                batch.table[i] = table[0]
                _core.place(source.images, batch.index[i : i + 1], table, images[i : i + 1], first)
                _put(standardize(generator, image), images, i, image, None)
                continue
            params = sampler.draw_one(stream, source.shape, row_axis, col_axis)
            batch.table[i] = row_of(params)
            image = source.image(position, images.dtype)
            image = transform_image(generator, image, params, in_place=True)
            _put(standardize(generator, image) if standardizes else image, images, i, None, None)


# How often another image is drawn, before all are tried.
_DRAWS = 100


def replace_images(spec, batch, images, places, bad_image):
    """Puts other images of the set into a batch, with their masks, where some could not be read.

    They and their parameters are drawn from a stream of their own, so that the others stay as they
    were. It begins with the number of the first image that is replaced, and that of the batch.

    Args:
        spec: `BatchSpec`, what the batch is made of.
        batch: The batch; its `index` gets the positions of the other images.
        images: Array of the finished images.
        places: Places in the batch.
        bad_image: As for `call_for_each`.

    Raises:
        OSError: If no image can be read.
    """
    generator, order, table = spec.generator, batch.before, unmoved(len(places))
    draws = spec.draws_of(order)
    numbers = int(batch.index[places[0]]), order.total_batches_seen, order.seed or 0
    stream = seeded([number % (1 << 32) for number in numbers])
    for row, place in zip(table, places, strict=True):
        position, image = _another_image(spec, bad_image, draws, stream)
        with lent_to_user_code(stream):
            if generator is not None:
                ops = SingleImages.of(generator, spec.source, draws, np.array([position]))
                if ops is not None:
                    image = ops.before(0, image)
                params = generator.get_random_transform(image.shape)
                row[:] = row_of(params)
                image = generator.apply_transform(image, params)
                if ops is not None:
                    image = ops.after(0, image)
                image = generator.standardize(image)
            images[place] = image
            batch.index[place] = position
    ops, index = spec.moves(), batch.index[places]
    table = spec.with_moves(table, ops, draws, index)
    for field, masks in zip(spec.fields, batch.masks, strict=True):
        job, _, made = field.job(index, table, 0, ops, draws)
        job.run()
        job.wait()
        masks[places] = made


def _another_image(spec, bad_image, draws, stream):
    """Returns `(position, image)` of an image that can be read, drawn from a stream.

    Nobody has `np.random` while it waits.
    """
    source = spec.source

    def draw():
        with drawn_from(stream) as generator:
            return generator.randint(len(source))

    errors = {}
    for position in itertools.chain((draw() for _ in range(_DRAWS)), range(len(source))):
        if position in errors:
            continue
        try:
            image = source.images_of(np.array([position]), spec.dtype, draws)(0)
            for field in spec.fields:
                field.check(position)
            return position, image
        except Exception as error:
            errors[position] = error
            bad_image(int(position), error)
    raise OSError(f"None of the {len(source)} files can be read") from errors[position]


class FunctionCalls:
    """Calls the preprocessing functions of one iterator, and remembers what was seen of them.

    Args:
        arrays: `ArrayPool` for batches.
    """

    def __init__(self, arrays):
        self._arrays = arrays
        self._draws = None  # the function that was seen to draw
        self._keeps = None  # and the one that was seen to keep an image, or a part of it

    def were_drawing(self, function):
        """Whether a function was seen to draw from `np.random`."""
        return self._draws is not None and self._draws is function

    def apply(self, generator, source, batch, bad_image, ops, draws):
        """Calls the function on each image, as the stream is left by the one before.

        The rows of the table are drawn again, one by one, from the stream that the function sees.
        They differ only if the function draws from it; then the rest is made image by image.

        Args:
            generator: An `ImageDataGenerator`.
            source: Where the images come from.
            batch: A batch whose images are warped.
            bad_image: As for `call_for_each`.
            ops: Function without arguments that returns the `SingleImages` of the batch, or None.
            draws: Seed and epoch of what is drawn when an image is read.

        Returns:
            The array of the finished images.
        """
        augmentation = batch.augmentation
        function = augmentation.function
        # A result takes the place of its image, which is at hand: but not if somebody has that.
        in_place = COUNTS_REFERENCES and self._keeps is not function
        images = batch.images
        if not in_place:
            images = self._arrays.array(images.shape, images.dtype)
        kept_memory = _core.KeptMemory()
        standardized = False

        def image_of(place):
            # not by readers: while this thread waited, another could have `np.random`
            if place in batch.errors:
                raise batch.errors[place]
            return source.image(batch.index[place], batch.images.dtype, draws)

        for i in range(len(images)):
            image = _shown(batch.images[i])
            drawn_anew = _draw_again(batch, i)
            if drawn_anew is not None:
                self._draws, batch.has_new_rows = function, True
                if not standardized:
                    augmentation.standardize(images[:i])
                call_for_each(
                    generator, source, batch, image_of, images, i, bad_image, ops(), drawn_anew
                )
                return images
            if i in batch.errors:
                images[i] = 0
                continue
            references = sys.getrefcount(image)
            with kept_memory:
                result = returned(function, function(image), image, generator.channel_axis)
            if result is image:
                references += 1
            if images is batch.images and sys.getrefcount(image) != references:
                self._keeps = function
                images = self._arrays.array(images.shape, images.dtype)
                images[:i] = batch.images[:i]
            if not standardized and not (
                type(result) is np.ndarray
                and result.dtype == np.float32
                and result.shape == image.shape
            ):
                # in the result's own type, as Keras does
                augmentation.standardize(images[:i])
                standardized = True
            if standardized:
                result = standardize(generator, result)
            # A call, because Python gives a line to what comes after it, the way back to the next
            # image: IPython fails on a traceback of an interrupt in an instruction without a line.
            _put(result, images, i, image if images is batch.images else None, function)
        if not standardized:
            augmentation.standardize(images)
        return images


def _shown(image):
    """Returns a view that a function may be given: whatever is made of it holds on to it.

    NumPy refers a view of a view to the array that both are of, but to nothing that is no array.
    """
    return np.asarray(memoryview(image))


def _put(result, images, i, there, function):
    """Puts an image into a batch, unless it is the array that is there."""
    if result is there:
        return
    try:
        if type(result) is np.ndarray:
            _core.convert(result, images[i])
        else:
            images[i] = result
    except (TypeError, ValueError) as error:
        if function:
            name_function(error, function, result)
        raise


def _draw_again(batch, i):
    """Draws one row where the stream now stands; None if it is the row drawn before."""
    augmentation, stream = batch.augmentation, global_stream()
    if batch.doubles is not None:
        doubles = stream.random_sample(augmentation.sampler.doubles)
        if doubles.item(0) == batch.doubles[i]:
            return None
        row = augmentation.from_doubles(doubles[np.newaxis])[0]
    else:
        row = augmentation.draw(stream, 1)[0]
        if np.array_equal(row, batch.table[i], equal_nan=True):
            return None
    return augmentation.sampler.to_dict(row)
