"""What the iterators over arrays and files share: they hand out batches that are made ahead."""

import copy
import dataclasses
import operator
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastaug.data.images import array_to_img
from fastaug.keras_api.batches import BatchMaker
from fastaug.keras_api.checks import checked_mix
from fastaug.keras_api.iterator import Iterator
from fastaug.keras_api.order import NEXT, Order, RankOrder
from fastaug.keras_api.program import check_ops, ops_of
from fastaug.keras_api.settings import check_dtype, check_follows
from fastaug.keras_api.unaugmented import Unaugmented
from fastaug.log import tell
from fastaug.ops.base import Draws, size_and_channels
from fastaug.ops.mix import Mixing, check_weights, count_classes
from fastaug.typing import Array, Batch, DataFormat, DTypeLike, Path

if TYPE_CHECKING:
    from fastaug.adapters.torch import TorchBatches
    from fastaug.keras_api.generator import ImageDataGenerator

# What an error about missing labels of a mix ends with.
FOR_PREDICT = ". To predict, write augment=False"


class AugmentingIterator(Iterator[Batch]):
    """What the iterators over arrays and over files share: batches made ahead, on all cores.

    Endless in a `for` loop and with `next`; `it[i]` is batch `i` of an epoch, `it[-1]` the last.
    A subclass sets `image_data_generator`, `augment`, `data_format`, `dtype`, `save_to_dir`,
    `save_prefix` and `save_format` first, has `sample_weight`, and implements `_with_labels`,
    `_is_labelled`, `_check_mix`, `_mixable` and, if it has masks, `_mask_fields`.

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
    sample_weight: Any
    save_to_dir: Path | None
    save_prefix: str
    save_format: str
    _maker: Any = None
    _checked_mix = None  # the last one of which labels were checked
    _counted = None  # labels, and their number of classes
    _classes_of_all = 0  # the number in both subsets, where they may differ
    _own_seed: int | None = None  # of what ops draw without a seed, once there are some
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
        augment, mix = getattr(generator, "augment", None), self._mix
        self._draw_own_seed()
        if augment is not None:
            check_ops(ops_of(generator, source), source, self.data_format)
        if mix is not None and self._shapes_labels:
            self._check_mixing(mix)
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
            check_follows(generator)
        return BatchMaker(
            source,
            generator,
            self.data_format,
            self.dtype,
            workers=getattr(generator, "_threads", 0),
            prefetch=getattr(generator, "prefetch", 0),
            fields=fields,
        )

    def _draw_own_seed(self):
        """Draws what stands for the seed of ops and mixes, if there are some and it is missing."""
        has_ops = getattr(self.image_data_generator, "augment", None) is not None
        if (
            self._own_seed is None
            and self._order.seed is None
            and self.augment
            and (has_ops or self._mix is not None)
        ):
            self._own_seed = int(np.random.randint(1 << 62, dtype=np.int64))

    def _mask_fields(self, source):
        """Returns the `MaskField` of each of the masks that go with the images of a source."""
        return ()

    def __getstate__(self):
        return super().__getstate__() | {"_maker": None, "_counted": None}

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

    def to_tf(self) -> Any:
        """Returns the batches as a `tf.data.Dataset`.

        It is one epoch long, and has a length: `fit` needs no `steps_per_epoch`. Each time that it
        is iterated, it gives the next epoch of this iterator, one time after the other. Large
        batches are handed over without a copy. tf.data's autotuning is off: with it, `fit` may idle
        for long after its last epoch.

        Returns:
            A `tf.data.Dataset` of whole batches as `next` gives them, of fixed types and shapes but
            for the number of samples.

        Raises:
            ImportError: If there is no TensorFlow.
            TypeError: If a subclass has its own way to make a batch.

        Example:
            >>> generator = fastaug.ImageDataGenerator(rotation_range=20)
            >>> dataset = generator.flow(x, y, batch_size=4, seed=1).to_tf()
            >>> len(dataset), dataset.element_spec[0].shape
            (3, TensorShape([None, 32, 32, 3]))
        """
        from fastaug.adapters.tf import dataset_of

        prefetch = getattr(self.image_data_generator, "prefetch", 0)
        return dataset_of(self, self._empty_batch(), prefetch)

    def to_torch(self, rank: int = 0, world_size: int = 1) -> "TorchBatches":
        """Returns the batches as a dataset of PyTorch, one epoch long.

        To be iterated as it is, or by `DataLoader(dataset, batch_size=None)`, without workers: the
        threads do the work already. The tensors share the memory of the arrays. Each time that it
        is iterated, it gives the next epoch of this iterator, or that of `set_epoch`.

        Args:
            rank: Which of `world_size` processes this one is, from 0.
            world_size: Number of processes, each of which gets a part of the batches of an epoch:
                from one `seed` the same ones as in one process, each once. If their number is not
                a multiple of `world_size`, the last have the samples of the first. With more than
                one process, the dataset leaves this iterator where it is.

        Returns:
            A `torch.utils.data.IterableDataset` of whole batches, in the layout of `data_format`,
            with `len` and `set_epoch(epoch)`.

        Raises:
            ImportError: If there is no PyTorch.
            ValueError: If `rank` is not in 0..world_size - 1, or there are several processes and
                no seed.
            TypeError: If one of them is no integer.

        Example:
            >>> generator = fastaug.ImageDataGenerator(rotation_range=20)
            >>> dataset = generator.flow(x, y, batch_size=4, seed=1).to_torch()
            >>> for images, labels in dataset:
            ...     break
            >>> images.shape, labels.dtype
            (torch.Size([4, 32, 32, 3]), torch.int64)
        """
        from fastaug.adapters.torch import TorchBatches

        return TorchBatches(self._of_rank(rank, world_size))

    def _of_rank(self, rank, world_size):
        """Returns an iterator over the batches of one of several processes."""
        rank, world_size = operator.index(rank), operator.index(world_size)
        if not 0 <= rank < world_size:
            raise ValueError(
                f"`rank` should be in 0..world_size - 1. Received: {rank=}, {world_size=}"
            )
        if world_size == 1:
            return self
        if self.seed is None:
            raise ValueError(
                "Several processes need a `seed`, from which they draw the same order. Received: "
                f"seed=None, {world_size=}"
            )
        part, order = copy.copy(self), self._order
        fields = {each.name: getattr(order, each.name) for each in dataclasses.fields(Order)}
        part._order = RankOrder(**fields, rank=rank, world_size=world_size)
        part._begin_epoch(order.next_epoch())
        return part

    def _begin_epoch(self, epoch=None):
        """Makes the next batch the first of an epoch.

        Args:
            epoch: Its number, from 0. None: the first of which no batch was handed out.
        """
        with self._order_lock:
            self._order = self._order.at_epoch(self._order.next_epoch() if epoch is None else epoch)

    def _empty_batch(self):
        """Returns a batch without samples, of the types and shapes of all others.

        Raises:
            TypeError: If only the subclass knows its batches.
        """
        if self._asks_itself:
            raise TypeError(f"The batches of a {type(self).__name__} are known to nobody else")
        return self._get_batches_of_transformed_samples(np.empty(0, dtype=np.int64))

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
        self._draw_own_seed()
        hash_limit = self._hash_limit if self.save_to_dir else None
        self._maker.follow(self._generator, self.dtype, hash_limit, self._own_seed or 0)

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Batch:
        with self._maker.lock:  # not `lock`, which who calls this may hold
            self._follow()
            batch = self._maker.make(index_array, self._order)
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
        """Returns a batch, mixed if the generator says so; else with labels of the same form.

        Args:
            made: The batch.
            index: int64 array, its samples.
            batch: What the maker knows of it.
        """
        mix = self._mix
        if mix is None or not self._shapes_labels:
            return made
        if mix != self._checked_mix:  # set since this was made
            self._check_mixing(mix)
        images, labels, *weights = made
        if not self.augment:
            return (images, self._mixable(labels, mix), *weights)
        first = self.data_format == "channels_first"
        size, channels = size_and_channels(images.shape[1:], first)
        draws = self._maker.draws_of(batch)
        mixing = Mixing.of(mix, Draws(*draws, index, mix.name, size, channels))
        mixed = mixing.labels(self._mixable(labels, mix), *(weights or [None]))
        return (mixing.images(images, first), *mixed[: 1 + len(weights)])

    @property
    def _mix(self):
        """What mixes the batches, as the generator is set now, or None."""
        return checked_mix(getattr(self.image_data_generator, "mix", None))

    @property
    def _shapes_labels(self):
        """Whether the generator's `mix` has labels to work on; to mix without any is an error."""
        return self.augment or self._is_labelled

    @property
    def _is_labelled(self):
        """Whether the batches have labels."""
        raise NotImplementedError

    def _check_mixing(self, mix):
        """Raises an error if labels or weights cannot be mixed."""
        self._check_mix(mix)
        if self.sample_weight is not None:
            check_weights(self.sample_weight)
        self._checked_mix = mix

    def _check_mix(self, mix):
        """Raises an error if labels cannot be mixed."""
        raise NotImplementedError

    def _mixable(self, labels, mix):
        """Returns the labels of a batch as floats that can be mixed."""
        raise NotImplementedError

    def _classes_of(self, labels):
        """Returns how many classes integer labels have, of both subsets, or 0."""
        if self._counted is None or self._counted[0] is not labels:
            self._counted = labels, count_classes(labels)
        return self._counted[1] and max(self._counted[1], self._classes_of_all)

    def _float_type(self):
        """The type of labels that are mixed."""
        return self.dtype if np.dtype(self.dtype).kind == "f" else np.dtype(np.float32)

    def _bad_image(self, position, error):
        raise error
