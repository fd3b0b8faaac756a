"""What the iterators over arrays and files share: they hand out batches that are made ahead."""

import copy
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastaug.data.images import array_to_img
from fastaug.keras_api.batches import BatchMaker
from fastaug.keras_api.iterator import Iterator
from fastaug.keras_api.order import NEXT, Order
from fastaug.keras_api.program import ops_of
from fastaug.keras_api.settings import check_dtype
from fastaug.keras_api.unaugmented import Unaugmented
from fastaug.log import tell
from fastaug.ops.base import Draws
from fastaug.ops.mix import Mixing
from fastaug.typing import Array, Batch, DataFormat, DTypeLike, Path

if TYPE_CHECKING:
    from fastaug.keras_api.generator import ImageDataGenerator


class AugmentingIterator(Iterator[Batch]):
    """What the iterators over arrays and over files share: batches made ahead, on all cores.

    Endless in a `for` loop and with `next`; `it[i]` is batch `i` of an epoch, `it[-1]` the last.
    A subclass sets `image_data_generator`, `augment`, `data_format`, `dtype`, `save_to_dir`,
    `save_prefix` and `save_format` first, and implements `_with_labels`, `_is_labelled`,
    `_check_mix`, `_mixable` and, if it has masks, `_mask_fields`.

    Args:
        source: Where the images come from.
        batch_size: Samples in a batch.
        shuffle: Whether to take each epoch in a new random order.
        seed: Seed, or None.
        hash_limit: Bound of the numbers in the names of saved files.

    Raises:
        TypeError: If the batches are of integers, and a setting of the generator needs floats; if
            `augment` is no bool.
    """

    image_data_generator: "ImageDataGenerator"
    augment: bool
    data_format: DataFormat
    dtype: DTypeLike
    save_to_dir: Path | None
    save_prefix: str
    save_format: str
    _maker: Any = None
    _own_seed = 0  # of what the ops of `augment` draw, without a seed
    _replaces = False  # whether other images take the place of those that cannot be read

    def __init__(self, source, batch_size, shuffle, seed, hash_limit):
        super().__init__(len(source), batch_size, shuffle, seed)
        if self.save_to_dir and not isinstance(self.save_to_dir, str | os.PathLike):
            raise TypeError(
                f"`save_to_dir` should be a path. Received: save_to_dir={self.save_to_dir!r}"
            )
        if not isinstance(self.augment, bool):
            raise TypeError(
                "`augment` of an iterator should be True or False; ops are given to the generator. "
                f"Received: augment={self.augment!r}"
            )
        generator = self._generator
        if hasattr(generator, "_overrides_methods"):  # one of ours
            check_dtype(generator, self.dtype, source.in_floatx)
        self._hash_limit = hash_limit
        augment, mix = getattr(generator, "augment", None), getattr(generator, "mix", None)
        if seed is None and self.augment and (augment is not None or mix is not None):
            self._own_seed = int(np.random.randint(1 << 62, dtype=np.int64))
        if augment is not None:
            self._check_ops(source)
        if mix is not None and self._shapes_labels:
            self._check_mix(mix)
        self._maker = self._new_maker(source)
        # A subclass with its own idea of a batch gets Keras's way of asking for one.
        self._asks_itself = any(
            getattr(type(self), name) is not getattr(AugmentingIterator, name)
            for name in ("_get_batches_of_transformed_samples", "_set_index_array")
        )

    @property
    def _generator(self):
        """What makes the images, as far as the batches know: a generator of any kind, or None."""
        generator = self.image_data_generator
        return generator if self.augment or generator is None else Unaugmented(generator)

    def _described(self):
        generator = self.image_data_generator
        shape = "x".join(map(str, self._maker.source.shape)) if self._maker else "unknown shape"
        yield f"{self._order.n} images of {shape}"
        yield from self._described_labels()
        yield f"dtype={np.dtype(self.dtype).name}"
        yield f"workers={getattr(generator, '_threads', 0)}"

    def _described_labels(self):
        """Yields what there is to say of the labels."""
        return ()

    def _new_maker(self, source):
        generator = self._generator
        fields = self._mask_fields(source)
        if fields:
            _check_follows(generator)
        return BatchMaker(
            source,
            generator,
            self.data_format,
            self.dtype,
            workers=getattr(generator, "_threads", 0),
            prefetch=getattr(generator, "prefetch", 0),
            fields=fields,
            own_seed=self._own_seed,
        )

    def _check_ops(self, source):
        """Raises what the ops of `augment` have against the images of a source."""
        first = self.data_format == "channels_first"
        channels, *size = source.shape if first else (source.shape[2], *source.shape[:2])
        ops_of(self._generator, source).check(source.dtype, tuple(size), channels)

    def _mask_fields(self, source):
        """Returns the `MaskField` of each of the masks that go with the images of a source."""
        return ()

    def __getstate__(self):
        return super().__getstate__() | {"_maker": None}

    @property
    def num_batches(self) -> int:
        """Number of batches in an epoch. Trainers read it before they shuffle the batches."""
        if self._maker is not None:
            self._maker.epoch_order.num_batches_read()
        return super().num_batches

    def close(self) -> None:
        """Ends the threads and drops what was prepared ahead.

        The iterator stays where it is; the next batch starts threads again.
        """
        if self._maker is None:  # it was never made whole
            return
        with self.lock, self._maker.lock:
            self._maker.stop()

    def __next__(self) -> Batch:
        if self._asks_itself or self._index_generator is not None:
            return super().__next__()
        return self._take(NEXT)

    def __getitem__(self, idx: int) -> Batch:
        if self._asks_itself:
            return super().__getitem__(idx)
        return self._take(self._from_the_start(idx))

    def _take(self, item, fills=True):
        try:
            with self.lock:
                with self._maker.lock:
                    self._follow()
                    batch = self._maker.take(self._order, item)
                # in one store each, so that an interrupt leaves no half-made state
                self._own_stream = batch.stream
                with self._order_lock:
                    self._order = batch.order
            tell()
            finished = self._maker.finish(batch, self._bad_image, self._replaces, fills)
            return self._mixed(self._finished(*finished), finished[1], batch)
        # also an interrupt: nothing runs on behind an exception, but for a job of small batches
        except BaseException:
            self.close()
            raise

    def _follow(self):
        """Takes on what a user may have changed in the iterator; under the maker's lock."""
        self._maker.follow(
            self._generator, self.dtype, self._hash_limit if self.save_to_dir else None
        )

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Batch:
        with self._maker.lock:  # not `lock`, which who calls this may hold
            self._follow()
            batch = self._maker.make(index_array)
        finished = self._maker.finish(batch, self._bad_image, self._replaces)
        return self._mixed(self._finished(*finished), finished[1], batch)

    def _plain_batches(self):
        return self._maker.source.shape, self._read_plain()

    def _plain_copy(self):
        """Returns a copy for reading each image once."""
        return copy.copy(self)

    def _read_plain(self):
        from fastaug.keras_api.generator import ImageDataGenerator

        plain, generator = self._plain_copy(), self.image_data_generator
        options = {name: getattr(generator, name, None) for name in ("workers", "pool")}
        # what float32 holds as it is
        plain.dtype = np.result_type(self._maker.source.dtype, np.float32)
        plain.image_data_generator = ImageDataGenerator(
            data_format=self.data_format, dtype=plain.dtype, **options
        )
        plain._order = Order(len(self._maker.source), self.batch_size, shuffle=False, seed=0)
        plain.save_to_dir, plain._own_stream = None, None
        plain._mask_fields = lambda source: ()
        plain._with_labels = lambda images, index, masks: images
        plain._maker = plain._new_maker(plain._maker.source)
        try:
            for item in range(len(plain)):
                yield AugmentingIterator._take(plain, item, fills=False)
        finally:
            plain.close()

    def _finished(self, images, index, hashes, masks):
        if self.save_to_dir:
            folder = pathlib.Path(self.save_to_dir)
            for image, position, number in zip(images, index, hashes, strict=True):
                name = f"{self.save_prefix}_{position}_{number}.{self.save_format}"
                array_to_img(image, self.data_format, scale=True).save(folder / name)
        return self._with_labels(images, index, masks)

    def _with_labels(self, images, index, masks):
        raise NotImplementedError

    def _mixed(self, made, index, batch):
        """Returns a batch, mixed if the generator says so; else with labels of the same form."""
        mix = getattr(self.image_data_generator, "mix", None)
        if mix is None or not self._shapes_labels:
            return made
        images, labels, *weights = made
        if not self.augment:
            return (images, self._mixable(labels, mix), *weights)
        first = self.data_format == "channels_first"
        channels, *size = images.shape[1:] if first else (images.shape[3], *images.shape[1:3])
        draws = Draws(*self._maker.draws_of(batch), index, mix.name, tuple(size), channels)
        mixing = Mixing.of(mix, draws)
        mixed = mixing.labels(self._mixable(labels, mix), *(weights or [None]))
        return (mixing.images(images, first), *mixed[: 1 + len(weights)])

    @property
    def _shapes_labels(self):
        """Whether the generator's `mix` has labels to work on; to mix without any is an error."""
        return self.augment or self._is_labelled

    @property
    def _is_labelled(self):
        """Whether the batches have labels."""
        raise NotImplementedError

    def _check_mix(self, mix):
        """Raises an error if labels cannot be mixed."""
        raise NotImplementedError

    def _mixable(self, labels, mix):
        """Returns the labels of a batch as floats that can be mixed."""
        raise NotImplementedError

    def _float_type(self):
        """The type of labels that are mixed."""
        return self.dtype if np.dtype(self.dtype).kind == "f" else np.dtype(np.float32)

    def _bad_image(self, position, error):
        raise error


def _check_follows(generator):
    """Checks that masks can follow the images of a generator.

    Raises:
        TypeError: If it moves them in a way of its own.
    """
    from fastaug.keras_api.generator import ImageDataGenerator

    if not isinstance(generator, ImageDataGenerator):
        return
    moves = getattr(generator.apply_transform, "__func__", None)
    if moves is not ImageDataGenerator.apply_transform:
        raise TypeError(
            "Masks follow the parameters of `get_random_transform`, as `apply_transform` of "
            f"ImageDataGenerator has them. {type(generator).__name__} has one of its own"
        )
