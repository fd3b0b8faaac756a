"""Where a batch is finished, in the thread that asks for it: its work is waited for, or done.

A user's code is called here (`user_code.py`), and images that could not be read are left out or
replaced.
"""

from fastaug.keras_api.advice import Results
from fastaug.keras_api.params import KeptSampler, unmoved
from fastaug.keras_api.single_images import SingleImages
from fastaug.keras_api.streams import drawn_from, global_stream, lent_to_user_code
from fastaug.keras_api.user_code import (
    FunctionCalls,
    call_for_each,
    is_without_calls,
    make_in_place,
    replace_images,
)
from fastaug.warn import UsageWarning, warn


class Finisher:
    """Finishes the batches of one iterator.

    Args:
        spec: `BatchSpec`, what they are made of.
        arrays: `ArrayPool` for them.

    Attributes:
        calls: What was seen of the preprocessing functions.
    """

    def __init__(self, spec, arrays):
        self._spec = spec
        self._arrays = arrays
        self._sampler = KeptSampler()
        self._results = Results(spec.dtype)
        self.calls = FunctionCalls(arrays)

    def finish(self, batch, bad_image, replaces, fills):
        """Waits for a batch; see `BatchMaker.finish`."""
        if batch.augmentation is None:
            batch.table, batch.has_new_rows = unmoved(len(batch.index)), True
            images, hashes = self._made_one_by_one(batch, bad_image)
        else:
            images, hashes = self._made_by_threads(batch, bad_image)
        if batch.has_new_rows:
            for job in batch.mask_jobs(self._spec, 0):
                job.run()
                job.wait()
        batch.errors = {
            k: v for each in (*batch.mask_errors, batch.errors) for k, v in each.items()
        }
        if not batch.errors:
            return images, batch.index, hashes, batch.masks
        for place in sorted(batch.errors):
            bad_image(int(batch.index[place]), batch.errors[place])
        good = [place for place in range(len(images)) if place not in batch.errors]
        if replaces or (fills and not good):
            spec, places = self._spec, sorted(batch.errors) if replaces else [0]
            replace_images(spec, batch, images, places, bad_image)
            good = sorted([*good, *places])
        masks = [each[good] for each in batch.masks]
        return (
            images[good],
            batch.index[good],
            [hashes[k] for k in good] if hashes else hashes,
            masks,
        )

    def _made_one_by_one(self, batch, bad_image):
        spec = self._spec
        generator, source, count = spec.generator, spec.source, len(batch.index)
        images = self._arrays.array((count, *spec.shape(None)), spec.dtype)
        if is_without_calls(generator, source):
            sampler = self._sampler.of(generator)
            with drawn_from(batch.stream) as stream:
                make_in_place(generator, sampler, source, batch, images, stream)
                return images, spec.draw_hashes(stream, count)
        results = self._results if self._results.wanted(generator) else None
        # before: while this thread waits, another could have `np.random`
        image_of = source.images_of(batch.index, images.dtype, spec.draws_of(batch.before))
        with lent_to_user_code(batch.stream):
            ops = self._ops_of(batch)
            call_for_each(
                generator, source, batch, image_of, images, 0, bad_image, ops, results=results
            )
            hashes = spec.draw_hashes(global_stream(), count)
        if results is not None:
            for text in results.advice(generator):
                warn(text, UsageWarning)
        return images, hashes

    def _ops_of(self, batch):
        spec = self._spec
        draws = spec.draws_of(batch.before)
        return SingleImages.of(spec.generator, spec.source, draws, batch.index)

    def _made_by_threads(self, batch, bad_image):
        spec, augmentation = self._spec, batch.augmentation
        try:
            batch.job.wait()
        except BaseException:  # Ctrl-C among others: nobody will ask for it again
            if batch.alone:
                batch.job.cancel()
            raise
        images, hashes = batch.images, batch.hashes
        if augmentation.function is not None:
            with lent_to_user_code(batch.stream):
                images = self.calls.apply(
                    spec.generator,
                    spec.source,
                    batch,
                    bad_image,
                    lambda: self._ops_of(batch),
                    spec.draws_of(batch.before),
                )
                hashes = spec.draw_hashes(global_stream(), len(images))
        augmentation.standardization.warn_unfitted()
        return images, hashes
