"""Where a batch begins: its samples and parameters are drawn, and threads get the work.

An iterator with a seed draws from private streams, seeded for each batch; where nothing else of a
batch is drawn, the threads do that. One without draws from the global `np.random`.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastaug.keras_api.order import NEXT, Order
from fastaug.keras_api.program import Augmentation
from fastaug.keras_api.streams import (
    LateStream,
    Stream,
    can_stand,
    global_stream,
    lent_generator,
    position,
)
from fastaug.run.threads import JobGroup, shared_pool


@dataclasses.dataclass(eq=False, slots=True)
class Batch:
    """A batch under way, and what has to hold for it to be the one that is asked for."""

    augmentation: Augmentation | None
    item: object  # what `it[item]` asked for, or NEXT
    before: Order
    order: Order  # after it
    index: np.ndarray
    place: np.ndarray  # where the index was read, in the order
    hash_limit: float | None
    read_with: object  # what the images depend on beside the settings
    stream: Stream | LateStream | None = None  # after it, if it is a private one
    table: np.ndarray | None = None
    hashes: Sequence[int] = ()
    images: np.ndarray | None = None
    job: Any = None  # with those of other batches, if it is one of several
    run: int = 0  # which job that is
    alone: bool = True
    errors: dict[int, Exception] = dataclasses.field(default_factory=dict)  # of images not read
    masks: list[np.ndarray] = dataclasses.field(default_factory=list)  # for each field
    mask_errors: list[dict[int, Exception]] = dataclasses.field(default_factory=list)
    has_new_rows: bool = False  # since the work of its masks began, if it has
    stream_before: bytes | None = None  # where the global stream has to be, if it was guessed
    stream_start: bytes | None = None  # where it goes on: before the parameters, if a function
    stream_after: bytes | None = None  # may draw; and where it is after them
    doubles: list[float] | None = None  # first number of each row, if the function does not draw
    pool: Any = None  # its threads, which live until nobody waits for the batch
    paths: list | None = None  # of its files, when they began to be read

    def mask_jobs(self, spec, workers):
        """Returns the work of its masks, a job for each field; by its table as it is now."""
        if not spec.fields:
            return []
        ops, draws = spec.moves(), spec.draws_of(self.before)
        table = spec.with_moves(self.table, ops, draws, self.index)
        made = [field.job(self.index, table, workers, ops, draws) for field in spec.fields]
        self.masks = [masks for _, _, masks in made]
        self.mask_errors = [errors for _, errors, _ in made]
        return [job for job, _, _ in made]


class Starter:
    """Starts the batches of one iterator.

    Args:
        spec: `BatchSpec`, what they are made of.
        arrays: `ArrayPool` for them.
        workers: Number of threads; 0: everything in the calling thread.
    """

    def __init__(self, spec, arrays, workers):
        self._spec = spec
        self._arrays = arrays
        self._workers = workers
        self._pool = None
        self._runs = itertools.count(1)

    def stop(self):
        """Drops the threads. The next batch starts them again."""
        self._pool = None

    def start(self, augmentation, order, items, before=None):
        """Starts some batches of an epoch, at least one.

        Args:
            augmentation: The settings; None: the generator has to be asked for each image.
            order: The order before the first.
            items: Position of each in the epoch, or NEXT.
            before: Where the global stream has to be before the first; None: it is there now.

        Returns:
            A list of `Batch`, which have one job: up to the end of an epoch or a short batch. Only
            one, if it draws from a private stream now, as that is seeded for each.
        """
        if order.seed is not None and can_stand(global_stream()):
            if self._draws_late(augmentation, order, items[0]):
                batches = self._drawn(augmentation, order, items, None)
            else:
                with lent_generator() as generator:
                    batches = self._drawn(augmentation, order, items[:1], generator)
        elif before is None:
            batches = self._drawn(augmentation, order, items, global_stream())
        else:
            with lent_generator(before) as generator:
                batches = self._drawn(augmentation, order, items, generator)
        if augmentation is not None:
            self._hand_over(batches)
        return batches

    def start_of(self, augmentation, index, order):
        """Starts a batch of any index, drawn from the global stream.

        Args:
            augmentation: The settings; None: the generator has to be asked for each image.
            index: Its samples.
            order: The order of the iterator, which counts this batch already, as Keras's does.
        """
        order = order.changed(total_batches_seen=max(order.total_batches_seen - 1, 0))
        batch = self._new_batch(augmentation, NEXT, order, order, index, global_stream())
        if augmentation is not None:
            self._hand_over([batch])
        return batch

    def _draws_late(self, augmentation, order, item):
        """Whether the threads can seed and draw for themselves."""
        seed = order.next_seed()
        return (
            augmentation is not None
            and augmentation.ops is None
            and isinstance(seed, int | np.integer)
            and 0 <= seed < 1 << 32
            and not order.begins_epoch(item)
            and self._spec.is_core_work(augmentation)
        )

    def _drawn(self, augmentation, order, items, generator):
        """Returns new batches, drawn from a generator, or late if that is None."""
        batches = []
        for item in items:
            short = batches and len(batches[-1].index) < order.batch_size
            if short or (batches and order.begins_epoch(item)):
                break
            if generator is None:
                index, after = order.step(item)
            else:
                index, after = order.draw(item, generator)
            batches.append(self._new_batch(augmentation, item, order, after, index, generator))
            order = after
        return batches

    def _new_batch(self, augmentation, item, before, after, index, generator):
        spec, own_index = self._spec, np.array(index, dtype=np.int64)
        batch = Batch(
            augmentation,
            item,
            before,
            after,
            own_index,
            index,
            spec.hash_limit,
            spec.source.read_with(),
        )
        if generator is None:
            batch.stream = LateStream(before.next_seed(), augmentation.draw, len(index))
        else:
            if augmentation is not None:
                self._draw(batch, generator)
            if before.seed is not None and generator is not global_stream():
                batch.stream = Stream(batch.stream_start or position(generator))
        if augmentation is not None:
            shape = spec.shape(augmentation)
            batch.images = self._arrays.array((len(index), *shape), spec.dtype)
            batch.paths = spec.paths_of(own_index)
        return batch

    def _draw(self, batch, generator):
        """Draws the parameters of a batch now."""
        if batch.augmentation.function is None:
            self._draw_table(batch, generator)
            if generator is not global_stream():
                batch.stream_start = batch.stream_after = position(generator)
            return
        # Where the function draws too, only the first row is sure: the real draws are made between
        # the calls, and these are what they are if it does not.
        batch.stream_start = position(generator)
        with lent_generator(batch.stream_start) as drawing:
            doubles = batch.augmentation.sampler.doubles
            if doubles:
                drawn = drawing.random_sample((len(batch.index), doubles))
                batch.doubles = drawn[:, 0].tolist()
                batch.table = batch.augmentation.from_doubles(drawn)
            self._draw_table(batch, drawing)
            batch.stream_after = position(drawing)

    def _draw_table(self, batch, generator):
        count = len(batch.index)
        if batch.table is None:
            batch.table = batch.augmentation.draw(generator, count)
        batch.hashes = self._spec.draw_hashes(generator, count)

    def _table_of(self, batch):
        """Returns the parameter table of a batch for the core."""
        draws = self._spec.draws_of(batch.before)
        return batch.augmentation.with_ops(batch.table, *draws, batch.index)

    def _hand_over(self, batches):
        """Hands the work of batches to the threads, as one job."""
        first, source = batches[0], self._spec.source
        augmentation = first.augmentation
        if len(batches) > 1 or first.table is None:
            late = first.table is None
            job = augmentation.core_job(
                source,
                np.concatenate([batch.index for batch in batches]),
                None if late else np.concatenate([self._table_of(batch) for batch in batches]),
                [batch.images for batch in batches],
                seeds=[batch.before.next_seed() for batch in batches] if late else None,
            )
        else:
            job, first.errors = augmentation.job(
                source,
                first.index,
                self._table_of(first),
                first.images,
                self._workers,
                standardize=augmentation.function is None,
                draws=self._spec.draws_of(first.before),
            )
            if self._spec.fields:
                job = JobGroup([job, *first.mask_jobs(self._spec, self._workers)])
        run = next(self._runs)
        for batch in batches:
            batch.job, batch.run = job, run
            batch.alone = len(batches) == 1
        try:
            if self._workers == 0:
                job.run()
            else:
                if self._pool is None:
                    self._pool = shared_pool(self._workers)
                for batch in batches:
                    batch.pool = self._pool
                self._pool.submit(job)
        except BaseException:
            job.cancel()
            raise
