"""What iterators and their user draw from `np.random`, and user code that draws from it."""

import queue
import threading
import time
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import trees
from reference import (
    STANDARD,
    TRANSFORM,
    assert_batches_equal,
    assert_same,
    fastaug_library,
    images,
    run_both,
)
from walks import (
    AHEAD,
    BATCH,
    FLIPS,
    NEXT,
    SEEDS,
    SHUFFLE,
    N,
    compare_script,
    item,
    play,
)

import fastaug
from fastaug.data.sources import FileSource
from fastaug.keras_api import streams


@AHEAD
@SHUFFLE
def test_own_draws_between_batches(shuffle, options):
    """The user and an unseeded iterator take turns on the same stream."""
    script = [("draw",), NEXT, ("draw",), ("draw",), NEXT, NEXT, ("draw",), item(1), ("draw",)]
    script += [("end", 0), ("draw",), NEXT, ("draw",)]
    compare_script(
        script,
        generator_settings=FLIPS | {"rotation_range": 20, "channel_shift_range": 9},
        tolerance=TRANSFORM,
        shuffle=shuffle,
        options=options,
    )


@AHEAD
def test_own_normal_deviates_between_batches(options):
    """NumPy makes them in pairs; the second waits for its turn through any number of batches."""
    compare_script([("normal",), NEXT, NEXT, ("normal",), ("normal",), NEXT] * 3, options=options)


@AHEAD
@SEEDS
@pytest.mark.parametrize(
    "change",
    [("dtype", "float64"), ("data_format", "channels_first")],
    ids=lambda change: change[0],
)
def test_settings_that_an_iterator_has_of_its_own_may_change_in_the_generator(
    change, seed, options
):
    script = [NEXT, NEXT, ("generator", *change), NEXT, NEXT, item(1), NEXT]
    settings = FLIPS | {"rescale": 1 / 3}
    compare_script(
        script, generator_settings=settings, seed=seed, tolerance=STANDARD, options=options
    )


def add_normal(image):
    return image + np.random.normal()


@AHEAD
def test_a_seeded_flow_neither_uses_nor_loses_the_deviate_that_numpy_holds_back(options):
    """Its function sees the flow's own stream, and the user's is as if there were no flow."""
    script = [("reseed", 3), ("normal",), NEXT, NEXT, NEXT]
    settings = FLIPS | {"preprocessing_function": add_normal}
    compare_script(script, generator_settings=settings, seed=5, options=options)
    compare_script(
        [("reseed", 3), NEXT, NEXT], generator_settings=settings, seed=5, options=options
    )

    ours = fastaug_library(options)
    _, notes = play(ours, [*script, ("normal",)] * 2, generator_settings=settings, seed=5)
    drawn = [note for note in notes if isinstance(note, float)]
    pair = np.random.RandomState(3).normal(size=2).tolist()
    assert drawn == pair * 2


@AHEAD
def test_a_function_of_a_seeded_flow_cannot_replace_the_generator(options):
    """The next batch's function would find another one; the user's is as it was."""

    def replace(image):
        np.random.set_bit_generator(np.random.PCG64(1))
        return image

    usual = np.random.get_bit_generator()
    np.random.seed(3)
    iterator = fastaug.ImageDataGenerator(preprocessing_function=replace, **options).flow(
        images(n=N, height=4, width=6), batch_size=BATCH, seed=5
    )
    with pytest.raises(ValueError, match="cannot replace its generator"):
        next(iterator)
    assert np.random.get_bit_generator() is usual
    assert np.random.random() == np.random.RandomState(3).random_sample()


class Values:
    """Statistics of another library, which compare as arrays do."""

    def __init__(self, value):
        self.values = np.full((1, 1, 3), value, dtype="float32")

    def __array__(self, dtype=None, copy=None):
        return self.values.astype(dtype or self.values.dtype)

    def __rsub__(self, other):
        return other - self.values

    def __eq__(self, other):
        return self.values == np.asarray(other)

    __hash__ = None


@AHEAD
def test_statistics_that_compare_value_by_value(options):
    changes = [("generator", "mean", Values(value)) for value in (3.0, 9.0)]
    script = [changes[0], NEXT, NEXT, changes[1], NEXT, NEXT]
    settings = FLIPS | {"featurewise_center": True}
    compare_script(script, generator_settings=settings, tolerance=STANDARD, options=options)


@AHEAD
def test_many_draws_between_batches_and_then_none(options):
    """Preparing ahead in vain for a long time changes nothing, nor does starting again."""
    compare_script([NEXT, ("draw",)] * 45 + [NEXT] * 9, options=options)


@AHEAD
@SEEDS
@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.Philox, np.random.SFC64])
def test_another_kind_of_generator_behind_the_stream(options, seed, kind):
    """NumPy lets a user put any bit generator behind np.random."""

    def scenario(library):
        usual = np.random.get_bit_generator()
        np.random.set_bit_generator(kind(5))
        script = [NEXT, ("draw",), NEXT, ("draw",), item(1), NEXT, ("end", 0), NEXT, ("draw",)]
        try:
            return play(library, script, seed=seed)
        finally:
            np.random.set_bit_generator(usual)

    actual, expected = run_both(scenario, options=options)
    assert_batches_equal(actual.value[0], expected.value[0])
    assert_same(actual.value[1], expected.value[1])


@AHEAD
@SHUFFLE
def test_seeding_the_stream_between_batches(shuffle, options):
    script = [("reseed", 3), NEXT, ("reseed", 4), NEXT, NEXT, ("reseed", 3), NEXT, NEXT, NEXT]
    batches = compare_script(script * 2, shuffle=shuffle, options=options)
    assert len(batches) == 12


@AHEAD
def test_a_seeded_iterator_is_immune_to_the_global_stream(options):
    script = [NEXT, ("reseed", 4), NEXT, ("reseed", 4), NEXT, NEXT, ("reseed", 0), item(2)]
    batches = compare_script(script, seed=8, options=options)
    plain = compare_script([step for step in script if step[0] != "reseed"], seed=8)
    assert_batches_equal(batches, plain)


@AHEAD
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_seeded_iterator_does_not_touch_the_global_stream(shuffle, options):
    """Step by step, the user's own numbers are those of a program without an iterator."""
    np.random.seed(0)
    undisturbed = np.random.random(9)
    np.random.seed(0)
    generator = fastaug_library(options).generator(
        rotation_range=20, channel_shift_range=5, horizontal_flip=True
    )
    with generator.flow(images(), batch_size=4, seed=1, shuffle=shuffle) as iterator:
        own = []
        for step in (next, next, next, next, lambda it: it[1], lambda it: it.reset(), next):
            own.append(np.random.random())
            step(iterator)
        own.append(np.random.random())
    own.append(np.random.random())
    np.testing.assert_array_equal(own, undisturbed)


@AHEAD
@SHUFFLE
def test_two_iterators_take_turns_on_the_stream(shuffle, options):
    script = [("next", k) for k in (0, 1, 0, 0, 1, 1, 1, 0)] + [
        ("item", 1, 2),
        ("next", 0),
        ("draw",),
        ("item", 0, 0),
        ("end", 1),
        ("next", 1),
    ]
    compare_script(script, iterators=2, shuffle=shuffle, options=options)


@AHEAD
def test_two_seeded_iterators_do_not_disturb_each_other(options):
    script = [("next", k) for k in (0, 1, 0, 0, 1, 1, 1, 0, 1, 0)]
    compare_script(script, iterators=2, seed=40, options=options)


@AHEAD
def test_an_iterator_left_in_the_middle_has_drawn_no_more_than_it_gave(options):
    """What is prepared ahead has not been taken from the global stream."""
    script = [NEXT, ("next", 1), ("draw",), NEXT, ("draw",)]
    compare_script(script, iterators=2, options=options)


def test_a_seeded_iterator_of_ones_own_and_another_kind_of_generator():
    def scenario(library):
        base = library.Iterator

        class Own(base):
            def _get_batches_of_transformed_samples(self, index_array):
                return index_array, np.random.random(2)

        usual = np.random.get_bit_generator()
        np.random.set_bit_generator(np.random.PCG64(5))
        try:
            return [next(own) for own in [Own(5, 2, True, 3)] for _ in range(5)]
        finally:
            np.random.set_bit_generator(usual)

    actual, expected = run_both(scenario)
    assert_batches_equal(actual.value, expected.value)


def test_threads_that_wait_for_each_other_in_user_code():
    """A flow of flows asks them in threads of its own; nothing of ours makes them wait."""

    def scenario(library):
        def flow(seed):
            generator = library.generator(preprocessing_function=lambda image: image + 1)
            return generator.flow(images(n=6), batch_size=2, shuffle=False, seed=seed)

        parts = [flow(None), flow(None)]

        class Pair(library.Iterator):
            def _get_batches_of_transformed_samples(self, index_array):
                with ThreadPool(2) as pool:
                    return pool.map_async(next, parts).get(timeout=60)

        return next(Pair(6, 2, False, None))

    actual, expected = run_both(scenario)
    assert type(actual.value) is type(expected.value) is list
    assert_batches_equal(actual.value, expected.value)


def test_user_code_of_iterators_without_a_seed_runs_at_the_same_time():
    together = threading.Barrier(2, timeout=60)

    def function(image):
        together.wait()
        return image

    flows = [
        fastaug.ImageDataGenerator(preprocessing_function=function).flow(images(n=1))
        for _ in range(2)
    ]
    with ThreadPool(2) as pool:
        assert len(pool.map_async(next, flows).get(timeout=60)) == 2


@SEEDS
def test_one_lock_after_the_other(seed):
    """One thread holds the iterator's lock and makes a batch; another asks for one."""
    generator = fastaug.ImageDataGenerator(preprocessing_function=lambda image: image)
    flow = generator.flow(images(n=8), batch_size=2, seed=seed)

    def by_hand():
        for _ in range(20):
            with flow.lock:
                flow._get_batches_of_transformed_samples(next(flow.index_generator))

    def by_next():
        for _ in range(20):
            next(flow)

    threads = [threading.Thread(target=target, daemon=True) for target in (by_hand, by_next)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("draws", [False, True])
def test_a_function_that_waits_for_another_iterator(draws):
    """Its queue is fed from an iterator in another thread, whose function needs `np.random` too."""
    fed = queue.Queue()

    def waits(image):
        return image + fed.get(timeout=60)

    def feeds(image):
        if draws:
            np.random.uniform()
        fed.put(1.0)
        return image

    def flow(function, seed):
        generator = fastaug.ImageDataGenerator(preprocessing_function=function)
        return generator.flow(images(n=4), batch_size=2, shuffle=False, seed=seed)

    before = np.random.get_state()[1].tobytes()
    with ThreadPool(2) as pool:
        waiter, feeder = flow(waits, 1), flow(feeds, 2)
        waiting = pool.apply_async(lambda: [next(waiter) for _ in range(2)])
        fed.put(1.0)  # now it has `np.random` and waits for more
        feeding = pool.apply_async(lambda: [next(feeder) for _ in range(2)])
        batches = waiting.get(timeout=60)
        expected = feeding.get(timeout=60)
    for batch, plain in zip(batches, expected, strict=True):
        assert np.array_equal(batch, plain + 1)
    assert np.random.get_state()[1].tobytes() == before


def test_functions_that_work_wait_for_each_other(monkeypatch):
    """However long: each draws from its own stream, and nobody takes it away."""
    monkeypatch.setattr(streams, "_PATIENCE_SECONDS", 0.05)

    def function(image):
        first = np.random.uniform()
        end = time.thread_time() + 0.15
        while time.thread_time() < end:
            pass
        return image * 0 + np.array([first, np.random.uniform(), 0], np.float32)

    def flow(seed):
        generator = fastaug.ImageDataGenerator(preprocessing_function=function)
        return generator.flow(images(n=2), batch_size=2, shuffle=False, seed=seed)

    alone = [next(flow(seed)) for seed in (1, 2)]
    with ThreadPool(2) as pool:
        together = pool.map(next, [flow(1), flow(2)])
    for pair in zip(together, alone, strict=True):
        assert np.array_equal(*pair)


class OneByOne(fastaug.ImageDataGenerator):
    """Is asked for each image."""

    def apply_transform(self, x, transform_parameters):
        return super().apply_transform(x, transform_parameters)


def test_nobody_has_the_stream_while_files_are_read(tmp_path, monkeypatch):
    """Who waits for readers does not work: another thread would be given `np.random`."""
    root, loans = trees.plain_tree(tmp_path), []
    trees.text(root / "ants" / "0.jpg")
    read = FileSource.read

    def seen(*arguments):
        loans.append(list(streams._holders))
        return read(*arguments)

    monkeypatch.setattr(FileSource, "read", seen)
    with OneByOne(rotation_range=9, workers=2).flow_from_directory(
        root, target_size=(8, 8), batch_size=1, shuffle=False, seed=1, on_error="skip"
    ) as iterator:
        with pytest.warns(UserWarning, match=r"0\.jpg"):
            iterator[0]
        iterator[1]
    assert len(loans) >= 3 and not any(loans)
