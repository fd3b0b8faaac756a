"""Finished batches: streams of random numbers, and what is prepared ahead.

    Order ──► table of parameters ──► Job on the threads ──► preprocessing_function ──► batch
    (stream)  (stream)                (warp ... standardize)  (calling thread)

Batches are prepared ahead on a guess: that the next call asks for what comes next
(`epoch_order.py`), with the settings, the order and the stream as they were left. When the call
comes, the guess is checked against all of them. A wrong guess is thrown away and the batch made
anew, so a batch never depends on prefetching. Small batches that follow each other are one job:
handing each over by itself, and waking up for it, would take a good part of the time that it needs.

An iterator with a seed draws from private generators, seeded for each batch; where nothing else of
a batch is drawn, the threads do that. One without draws from the global `np.random`, which is
advanced only by the batches that are handed out.
"""

import collections
import dataclasses
import itertools
import logging
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastaug import _core
from fastaug.keras_api.advice import Results
from fastaug.keras_api.epoch_order import EpochOrder
from fastaug.keras_api.order import NEXT, Order
from fastaug.keras_api.params import KeptSampler
from fastaug.keras_api.program import Augmentation, augmentation_for
from fastaug.keras_api.streams import (
    LateStream,
    can_stand,
    global_stream,
    lent_to_user_code,
    position,
    put,
    step_over,
)
from fastaug.keras_api.user_code import (
    FunctionCalls,
    call_for_each,
    is_without_calls,
    make_in_place,
    replace_images,
)
from fastaug.log import note
from fastaug.run.array_pool import ArrayPool
from fastaug.run.locks import renew_in_child
from fastaug.run.threads import shared_pool
from fastaug.warn import UsageWarning, warn

# After this many wrong guesses in a row, no more guessing for a while.
_WRONG_GUESSES = 3
_PAUSE = 32

# Small batches that follow each other are one job, of so many bytes, and of so many at most.
_RUN_BYTES = 1 << 22
_LONGEST_RUN = 8

_NOTHING = object()


@dataclasses.dataclass(eq=False, slots=True)
class _Lease:
    """A private stream that a batch has, and whether nothing will be drawn for it any more."""

    stream: np.random.RandomState
    ended: bool = False


@dataclasses.dataclass(eq=False, slots=True)
class _Batch:
    """A batch under way, and what has to hold for it to be the one that is asked for."""

    augmentation: Augmentation | None
    item: object  # what `it[item]` asked for, or NEXT
    before: Order
    order: Order  # after it
    index: np.ndarray
    place: np.ndarray  # where the index was read, in the order
    hash_limit: float | None
    stream: np.random.RandomState | LateStream  # after it
    table: np.ndarray | None = None
    hashes: Sequence[int] = ()
    images: np.ndarray | None = None
    job: Any = None  # with those of other batches, if it is one of several
    run: int = 0  # which job that is
    alone: bool = True
    errors: dict[int, Exception] = dataclasses.field(default_factory=dict)  # of images not read
    stream_before: bytes | None = None  # where the global stream had to be, if it was guessed
    stream_start: bytes | None = None  # where the parameters begin, if a function may draw
    stream_after: bytes | None = None
    doubles: list[float] | None = None  # first number of each row, if the function does not draw
    lease: _Lease | None = None
    pool: Any = None  # its threads, which live until nobody waits for the batch
    read_with: object = None  # what the images depend on beside the settings
    paths: list | None = None  # of its files, when they began to be read


def run_length(nbytes: int) -> int:
    """Returns how many batches of a size are one job, where one can be several.

    Args:
        nbytes: Bytes of a batch.
    """
    return min(max(_RUN_BYTES // max(nbytes, 1), 1), _LONGEST_RUN)


class BatchMaker:
    """Makes the batches of one iterator.

    Args:
        source: Where the images come from.
        generator: An `ImageDataGenerator` of any kind, or None: images stay as they are.
        data_format: Layout of images and batches.
        dtype: Type of the batches.
        workers: Number of threads; 0: everything in the calling thread.
        prefetch: Number of batches to prepare ahead.

    Attributes:
        lock: To be held for all calls but `finish`.
        epoch_order: The order of the items that are asked for.
    """

    def __init__(self, source, generator, data_format, dtype, workers, prefetch):
        self._source = source
        self._generator = generator
        self._data_format = data_format
        self._dtype = np.dtype(dtype)
        self._workers = workers
        self._prefetch = prefetch if workers else 0
        self._hash_limit = None
        # those ahead, the one in the making, twice if a function keeps its images, the user's
        self._arrays = ArrayPool(self._prefetch + 4)
        self._pool = None
        self._augmentation = None
        self._sampler = KeptSampler()
        self._told = _NOTHING  # the last settings that the log knows of
        self._ahead = collections.deque()
        self._enough = self._prefetch and 1  # batches ahead, above which no more are begun
        self._spare_streams = []
        self._leases = collections.deque()
        self._runs = itertools.count(1)
        self._last_run = 0
        self.epoch_order = EpochOrder()
        self._wrong = 0
        self._pause = 0
        self._calls = FunctionCalls(self._arrays)
        self._results = Results(dtype)
        self._renew_in_child()
        renew_in_child(self)
        self._current_augmentation()

    def _renew_in_child(self):
        self.lock = threading.Lock()
        # a thread that the child does not have may hold their locks
        self._spare_streams.clear()
        self._leases.clear()

    @property
    def source(self):
        """Where the images come from."""
        return self._source

    @source.setter
    def source(self, source):
        self._drop_guesses()
        self._source = source
        self._augmentation = None

    def follow(self, generator, dtype, hash_limit):
        """Takes on what a user may have changed in the iterator.

        Args:
            generator: An `ImageDataGenerator` of any kind, or None.
            dtype: Type of the batches.
            hash_limit: Bound of the numbers drawn for file names, or None to draw none.
        """
        self._generator = generator
        self._dtype = np.dtype(dtype)
        self._hash_limit = hash_limit

    def stop(self):
        """Drops what was prepared ahead, and the threads. The next batch starts them again."""
        self._drop_guesses()
        self._pool = None
        self._arrays.clear()
        _core.KeptMemory.release()
        self._source.close()

    def __del__(self):
        # a failed constructor may come here without its attributes
        for batch in getattr(self, "_ahead", ()):
            batch.job.cancel()

    def take(self, order, item=NEXT):
        """Starts the batch that is asked for, and those that may come after it.

        Args:
            order: State of the iterator.
            item: Position in the epoch, or NEXT.

        Returns:
            A batch for `finish`, with the iterator's state after it and its stream.
        """
        augmentation = self._current_augmentation()
        if augmentation is not self._told:
            self._told = augmentation
            how = "image by image, as Keras does" if augmentation is None else str(augmentation)
            note(logging.INFO, "Batches of %s are made %s", self._dtype, how)
        batch = None
        if augmentation is not None and self._ahead:
            batch = self._matching(order, item, augmentation)
        if batch is None:
            (batch,) = self._start(
                augmentation, order, [item], self._stream_for(augmentation, order, item)
            )
        foreseen = item is NEXT or self.epoch_order.asked(item, len(order))
        self._last_run = batch.run
        if augmentation is not None:
            self._look_ahead(augmentation, batch, foreseen)
        if order.seed is not None and type(batch.stream) is not LateStream:
            self._lease_stream(batch)
        return batch

    def _lease_stream(self, batch):
        """Notes a private stream, to be taken again: a new one takes long to make."""
        if batch.stream is global_stream():
            return
        batch.lease = _Lease(batch.stream)
        self._leases.append(batch.lease)
        if len(self._leases) > 2:  # the iterator may still be at the one before
            lease = self._leases.popleft()
            if lease.ended:
                self._spare_streams.append(lease.stream)

    def make(self, index):
        """Starts a batch of any index, drawn from the global stream, for `finish`."""
        order = Order(n=0, batch_size=1, shuffle=False, seed=None)
        batch = self._new_batch(
            self._current_augmentation(), NEXT, order, order, index, global_stream()
        )
        if batch.augmentation is not None:
            self._hand_over([batch])
        return batch

    def finish(self, batch, bad_image, replaces=False, fills=True):
        """Waits for a batch.

        Args:
            batch: What `take` returned.
            bad_image: Function to call with the position and the exception of each image that
                could not be read; it raises, or the image is left out.
            replaces: Whether another image takes the place of one that is left out.
            fills: Whether one does in any case if there would be none at all.

        Returns:
            `(images, index, hashes)`: the array for the user, its samples, and a number for each
            file name.
        """
        augmentation = batch.augmentation
        hashes = batch.hashes
        if augmentation is None:
            images = self._arrays.array((len(batch.index), *self._source.shape), self._dtype)
            if is_without_calls(self._generator, self._source):
                sampler = self._sampler.of(self._generator)
                make_in_place(self._generator, sampler, self._source, batch, images)
                hashes = self._draw_hashes(batch.stream, len(images))
            else:
                results = self._results if self._results.wanted(self._generator) else None
                with lent_to_user_code(batch.stream, batch.stream_start):
                    call_for_each(
                        self._generator, self._source, batch, images, 0, bad_image, results=results
                    )
                    hashes = self._draw_hashes(global_stream(), len(images))
                if results is not None:
                    for text in results.advice(self._generator):
                        warn(text, UsageWarning)
        else:
            try:
                batch.job.wait()
            except BaseException:  # Ctrl-C among others: nobody will ask for it again
                if batch.alone:
                    batch.job.cancel()
                raise
            images = batch.images
            if augmentation.function is not None:
                with lent_to_user_code(batch.stream, batch.stream_start):
                    images = self._calls.apply(self._generator, self._source, batch, bad_image)
                    hashes = self._draw_hashes(global_stream(), len(images))
            augmentation.standardization.warn_unfitted()
        if batch.lease is not None:
            batch.lease.ended = True
        if not batch.errors:
            return images, batch.index, hashes
        for place in sorted(batch.errors):
            bad_image(int(batch.index[place]), batch.errors[place])
        good = [place for place in range(len(images)) if place not in batch.errors]
        if replaces or (fills and not good):
            places = sorted(batch.errors) if replaces else [0]
            replace_images(self._generator, self._source, batch, images, places, bad_image)
            good = sorted([*good, *places])
        return images[good], batch.index[good], [hashes[k] for k in good] if hashes else hashes

    # ---- settings ----

    def _current_augmentation(self):
        """The settings as they are now; None: the generator has to be asked for each image."""
        generator = self._generator
        overridden = getattr(generator, "_overrides_methods", None)
        if (
            overridden is None
            or overridden()
            or not can_stand(global_stream())
            or self._calls.were_drawing(generator.preprocessing_function)
        ):
            self._drop_guesses()
            return None
        try:
            if self._augmentation is None or not self._augmentation.settings.are_of(
                generator, self._dtype
            ):
                self._augmentation = augmentation_for(
                    generator, self._source, self._data_format, self._dtype
                )
        except (RuntimeError, TypeError, ValueError, OverflowError):
            # the image that is in need of the setting will say what is wrong
            self._augmentation = None
        if self._augmentation is None:
            self._drop_guesses()
        return self._augmentation

    # ---- starting batches ----

    def _stream_for(self, augmentation, order, item):
        """Returns what to draw a batch from: a stream, or None if its draws can be made late."""
        if order.seed is None or not can_stand(global_stream()):
            return global_stream()
        seed = order.next_seed()
        if (
            augmentation is not None
            and isinstance(seed, int | np.integer)
            and 0 <= seed < 1 << 32
            and not order.begins_epoch(item)
            and self._is_core_work(augmentation)
        ):
            return None
        return self._fresh_stream()

    def _is_core_work(self, augmentation):
        """Whether the core does all of a batch: then it can draw late, with others in one job."""
        return (
            augmentation.function is None
            and self._hash_limit is None
            and augmentation.is_core_work(self._source)
        )

    def _start(self, augmentation, order, items, stream):
        """Starts some batches of an epoch, at least one.

        Args:
            augmentation: The settings.
            order: The order before the first.
            items: Position of each in the epoch, or NEXT.
            stream: What to draw them from. None: late, from the seed of each. A private stream,
                which is seeded for each batch, is for the first one.

        Returns:
            A list of `_Batch`, which have one job: up to the end of an epoch or a short batch.
        """
        batches = []
        if stream is not None and order.seed is not None:
            items = items[:1]
        for item in items:
            short = batches and len(batches[-1].index) < order.batch_size
            if short or (batches and order.begins_epoch(item)):
                break
            if stream is None:
                index, after = order.step(item)
                stands = LateStream(order.next_seed(), augmentation.draw, len(index))
            else:
                index, after = order.draw(item, stream)
                stands = stream
            batches.append(self._new_batch(augmentation, item, order, after, index, stands))
            order = after
        if augmentation is not None:
            self._hand_over(batches)
        return batches

    def _new_batch(self, augmentation, item, before, after, index, stream):
        own_index = np.array(index, dtype=np.int64)
        batch = _Batch(
            augmentation, item, before, after, own_index, index, self._hash_limit, stream
        )
        batch.read_with = self._source.read_with()
        if augmentation is not None:
            if type(stream) is not LateStream:
                self._draw(batch)
            batch.images = self._arrays.array((len(index), *self._source.shape), self._dtype)
            batch.paths = self._paths_of(own_index)
        return batch

    def _paths_of(self, index):
        """Returns the files of some images, in a list that may be changed in place, or None."""
        paths = getattr(self._source, "filepaths", None)
        return None if paths is None else [paths[position] for position in index]

    def _hand_over(self, batches):
        """Hands the work of batches to the threads, as one job."""
        first = batches[0]
        augmentation = first.augmentation
        if len(batches) > 1 or first.table is None:
            late = first.table is None
            job = augmentation.core_job(
                self._source,
                np.concatenate([batch.index for batch in batches]),
                None if late else np.concatenate([batch.table for batch in batches]),
                [batch.images for batch in batches],
                seeds=[batch.before.next_seed() for batch in batches] if late else None,
            )
        else:
            job, first.errors = augmentation.job(
                self._source,
                first.index,
                first.table,
                first.images,
                self._workers,
                standardize=augmentation.function is None,
            )
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

    def _draw(self, batch):
        """Draws the parameters of a batch now."""
        augmentation, count = batch.augmentation, len(batch.index)
        stream = drawing = batch.stream
        function = augmentation.function is not None
        if function:
            # Where the function draws too, only the first row is sure: the real draws are made
            # between the calls, and these are what they are if it does not.
            batch.stream_start = position(stream)
            drawing = self._fresh_stream()
            put(drawing, batch.stream_start)
            if augmentation.sampler.doubles:
                doubles = drawing.random_sample((count, augmentation.sampler.doubles))
                batch.doubles = doubles[:, 0].tolist()
                batch.table = augmentation.from_doubles(doubles)
        if batch.table is None:
            batch.table = augmentation.draw(drawing, count)
        batch.hashes = self._draw_hashes(drawing, count)
        if function:
            batch.stream_after = position(drawing)
            self._spare_streams.append(drawing)
        elif batch.before.seed is None and stream is not global_stream():
            batch.stream_after = position(stream)

    def _draw_hashes(self, stream, count):
        if self._hash_limit is None:
            return []
        return [stream.randint(self._hash_limit) for _ in range(count)]

    def _fresh_stream(self):
        return self._spare_streams.pop() if self._spare_streams else np.random.RandomState(0)

    # ---- guessing ahead ----

    def _look_ahead(self, augmentation, batch, foreseen):
        if len(self._ahead) >= self._enough:
            return
        if self._pause:
            self._pause -= 1
            return
        if not foreseen:
            return
        length = run_length(batch.images.nbytes)
        # of small ones another run, so that there is work while those of one are handed out
        self._enough = self._prefetch if length == 1 else max(self._prefetch, length + 1)
        if not self._is_core_work(augmentation):  # each is a job of its own
            self._enough = self._enough if self._source.has_readers else self._prefetch
            length = 1
        self._arrays.kept = self._enough + length + 3
        if self._ahead:
            batch = self._ahead[-1]
        while len(self._ahead) < self._enough:
            order, items = batch.order, [NEXT] * length
            if batch.item is not NEXT:
                items = self.epoch_order.following(len(self._ahead), length)
                if not items:
                    return
            stream, before = self._stream_for(augmentation, order, items[0]), None
            if order.seed is None:
                stream, before = self._fresh_stream(), batch.stream_after
                if before is None:
                    before = position(batch.stream)
                put(stream, before)
            try:
                batches = self._start(augmentation, order, items, stream)
            except Exception:  # a guess must not fail: if it is right, the call itself will
                return
            if before is not None:
                for batch in batches:
                    batch.stream_before, before = before, batch.stream_after
                self._spare_streams.append(stream)
            self._ahead.extend(batches)
            batch = batches[-1]

    def _matching(self, order, item, augmentation):
        """Returns the batch that was guessed right, or None after dropping all guesses."""
        batch = self._ahead[0]
        if (
            batch.augmentation is augmentation
            and batch.item == item
            and batch.before.same(order)
            and np.asarray(batch.place, dtype=np.int64).tobytes() == batch.index.tobytes()
            and batch.hash_limit == self._hash_limit
            and batch.read_with == self._source.read_with()
            and batch.paths == self._paths_of(batch.index)
            and not batch.job.is_lost()
            and self._step_global_stream(batch)
        ):
            if batch.stream_before is not None:
                batch.stream = global_stream()
            self._wrong = 0
            return self._ahead.popleft()
        note(
            logging.INFO,
            "%d batches were prepared that nobody asked for: %s",
            len(self._ahead),
            self._what_changed(batch, order, item, augmentation),
        )
        self._drop_guesses()
        self._wrong += 1
        if self._wrong >= _WRONG_GUESSES:
            self._wrong = 0
            self._pause = _PAUSE
            note(logging.INFO, "No batches are prepared ahead for the next %d", _PAUSE)
        return None

    def _what_changed(self, batch, order, item, augmentation):
        """Returns in words why a guess was wrong."""
        if batch.augmentation is not augmentation:
            return "the generator's settings have changed"
        if batch.item != item or not batch.before.same(order):
            return "another batch is the next one"
        if batch.read_with != self._source.read_with() or batch.paths != self._paths_of(
            batch.index
        ):
            return "the files, or how they are read, have changed"
        if batch.job.is_lost():
            return "their threads are gone"
        return "the random numbers, or the order, have changed"

    def _step_global_stream(self, batch):
        """Steps the global stream over a guessed batch, if it stands where the guess began."""
        if batch.stream_before is None:
            return True
        return step_over(
            global_stream(), batch.stream_before, batch.stream_start or batch.stream_after
        )

    def _drop_guesses(self):
        for batch in self._ahead:
            if batch.run != self._last_run:  # that is waited for, or done
                batch.job.cancel()
        self._ahead.clear()
