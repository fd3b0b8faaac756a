"""Ways of walking through an iterator: each gives Keras's batches and leaves Keras's counters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    TRANSFORM,
    assert_batches_equal,
    assert_same,
    assert_same_error,
    fastaug_library,
    images,
    keras_library,
    run_both,
    take,
)
from walks import (
    AHEAD,
    FLIPS,
    LABELS,
    NEXT,
    SEEDS,
    SHUFFLE,
    N,
    compare_script,
    counters,
    item,
    play,
)

SCRIPTS = {
    "next, three epochs": [NEXT] * 9,
    "items in order, two epochs": [item(i) for i in (0, 1, 2, 0, 1, 2)],
    "items in order with the end of an epoch": [
        step for _ in range(3) for step in (item(0), item(1), item(2), ("end", 0))
    ],
    "items in any order": [item(i) for i in (2, 0, 0, 1, 2, 1, 1, 0)],
    "the last item first": [item(2), item(2), NEXT, item(0)],
    "a NumPy index": [item(np.int64(1)), item(np.int32(0)), item(True)],
    "next, then items": [NEXT, item(0), item(1), item(2), NEXT, NEXT, NEXT],
    "items, then next": [item(1), NEXT, item(1), NEXT, NEXT, item(0), NEXT],
    "reset in the middle": [NEXT, NEXT, ("reset", 0), NEXT, NEXT, NEXT, NEXT],
    "reset at once": [("reset", 0), NEXT, ("reset", 0), NEXT, ("reset", 0), ("reset", 0), NEXT],
    "reset between items": [item(0), ("reset", 0), item(1), NEXT],
    "end of an epoch in the middle": [NEXT, ("end", 0), NEXT, NEXT, NEXT, NEXT],
    "end of an epoch twice": [NEXT, ("end", 0), ("end", 0), NEXT, item(1)],
    "training": [item(0), item(1), item(2)] + [item(i) for i in range(3)] + [("end", 0), NEXT],
    "batch_index set": [NEXT, ("set", 0, "batch_index", 2), NEXT, NEXT, NEXT],
    "batch_index beyond the end": [NEXT, ("set", 0, "batch_index", 7), NEXT, NEXT],
    "batch_index back to zero": [NEXT, NEXT, ("set", 0, "batch_index", 0), NEXT, NEXT],
    "total_batches_seen set": [NEXT, ("set", 0, "total_batches_seen", 50), NEXT, item(1), NEXT],
    "shuffle off": [NEXT, ("set", 0, "shuffle", False), NEXT, NEXT, NEXT, NEXT],
    "shuffle on": [NEXT, ("set", 0, "shuffle", True), NEXT, NEXT, NEXT, NEXT],
    "batch_size set": [NEXT, ("set", 0, "batch_size", 3), NEXT, NEXT, NEXT, item(3)],
    "index_array set": [NEXT, ("set", 0, "index_array", np.arange(N)[::-1]), NEXT, item(0), NEXT],
    "index_array forgotten": [item(0), ("set", 0, "index_array", None), item(0), item(1), NEXT],
}


@AHEAD
@SEEDS
@SHUFFLE
def test_the_first_next_begins_at_the_beginning(seed, shuffle, options):
    """Whatever batch_index was set to before."""
    for beginning in ([], [item(1)]):
        compare_script(
            [*beginning, ("set", 0, "batch_index", 2), NEXT, NEXT],
            seed=seed,
            shuffle=shuffle,
            options=options,
        )


@AHEAD
@SEEDS
@SHUFFLE
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_walks(script, seed, shuffle, options):
    compare_script(script, seed=seed, shuffle=shuffle, options=options)


@AHEAD
@SHUFFLE
def test_the_end_of_an_epoch_before_its_beginning(shuffle, options):
    script = [("end", 0), item(0), item(1), ("end", 0), ("end", 0), NEXT, item(0)]
    compare_script(script, shuffle=shuffle, options=options)


@AHEAD
@pytest.mark.parametrize("value", [None, 5, 99])
@SEEDS
def test_the_seed_of_an_iterator_may_be_changed(seed, value, options):
    script = [NEXT, NEXT, ("set", 0, "seed", value), NEXT, NEXT, NEXT, item(0), NEXT]

    def scenario(library):
        return play(library, script, seed=seed)

    actual, expected = run_both(
        scenario, options=options, stream="keras" if seed is value is None else None
    )
    if seed is not None and value is None:
        # Keras goes on from the stream its own seeding left behind; ours was never seeded.
        assert_batches_equal(actual.value[0][:2], expected.value[0][:2])
    else:
        assert_batches_equal(actual.value[0], expected.value[0])
        assert_same(actual.value[1], expected.value[1])


# --------------------------------------------------------------------- any walk at all


def steps(iterators):
    """Any step but those on the global stream, for the first ``iterators`` iterators."""
    k = st.integers(0, iterators - 1)
    return st.one_of(
        st.builds(lambda k: ("next", k), k),
        st.builds(lambda k: ("next", k), k),
        st.builds(lambda k, i: ("item", k, i), k, st.integers(0, 2)),
        st.builds(lambda name, k: (name, k), st.sampled_from(["reset", "end"]), k),
        st.builds(lambda k, i: ("set", k, "batch_index", i), k, st.integers(0, 2)),
        st.builds(lambda k, i: ("set", k, "total_batches_seen", i), k, st.integers(0, 9)),
        st.builds(lambda on: ("generator", "horizontal_flip", on), st.booleans()),
        st.builds(lambda s: ("generator", "channel_shift_range", s), st.sampled_from([0, 20.0])),
    )


stream_step = st.one_of(st.just(("draw",)), st.builds(lambda s: ("reseed", s), st.integers(0, 3)))


@settings(max_examples=40)
@given(
    script=st.lists(st.one_of(steps(2), stream_step), min_size=1, max_size=14),
    shuffle=st.booleans(),
    prefetch=st.integers(0, 3),
)
def test_any_unseeded_walk(script, shuffle, prefetch):
    compare_script(
        [NEXT, *script],
        iterators=2,
        tolerance=TRANSFORM,
        shuffle=shuffle,
        options={"workers": 2, "prefetch": prefetch},
    )


@settings(max_examples=40)
@given(
    script=st.lists(steps(1), min_size=1, max_size=14),
    seed=st.integers(0, 1000),
    shuffle=st.booleans(),
    prefetch=st.integers(0, 3),
)
def test_any_seeded_walk(script, seed, shuffle, prefetch):
    compare_script(
        [NEXT, *script],
        tolerance=TRANSFORM,
        seed=seed,
        shuffle=shuffle,
        options={"workers": 2, "prefetch": prefetch},
    )


# --------------------------------------------------------------------- what an iterator shows

SHOWN = (
    "n",
    "batch_size",
    "seed",
    "shuffle",
    "batch_index",
    "total_batches_seen",
    "index_array",
    "data_format",
    "dtype",
    "save_to_dir",
    "save_prefix",
    "save_format",
    "white_list_formats",
    "workers",
    "use_multiprocessing",
    "max_queue_size",
    "num_batches",
)


@pytest.mark.parametrize(
    "flow",
    [{}, {"batch_size": 3, "seed": 4, "shuffle": False}, {"batch_size": 1000}],
    ids=["defaults", "given", "large batch"],
)
def test_attributes_of_a_new_iterator(flow):
    def scenario(library):
        iterator = library.generator().flow(images(), LABELS, **flow)
        shown = {name: getattr(iterator, name) for name in SHOWN}
        shown |= {"len": len(iterator), "y": iterator.y, "weight": iterator.sample_weight}
        shown |= {"x": np.asarray(iterator.x, dtype="float64"), "misc": iterator.x_misc}
        library.close(iterator)
        return shown

    actual, expected = run_both(scenario)
    assert_same(actual.value, expected.value)


def test_an_iterator_knows_its_generator():
    generator = fastaug_library().generator()
    with generator.flow(images()) as iterator:
        assert iterator.image_data_generator is generator


@pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (8, 4), (1, 4), (10, 1), (3, 100)])
def test_length_is_the_ceiling(n, batch_size):
    generator = fastaug_library().generator()
    with generator.flow(images(n=n), batch_size=batch_size) as iterator:
        expected = keras_library().generator().flow(images(n=n), batch_size=batch_size)
        assert len(iterator) == len(expected) == -(-n // batch_size)


def test_iter_is_the_iterator_itself_and_never_ends():
    with fastaug_library().generator().flow(images(), batch_size=5, seed=0) as iterator:
        assert iter(iterator) is iterator
        seen = sum(1 for _, _ in zip(range(7), iterator, strict=False))
        assert seen == 7


@pytest.mark.parametrize("index", [3, 4, 1000])
@pytest.mark.parametrize("started", [True, False])
def test_an_item_beyond_the_end(index, started):
    def scenario(library):
        iterator = library.generator(**FLIPS).flow(images(), batch_size=4, seed=0)
        try:
            if started:
                next(iterator)
            return iterator[index]
        finally:
            library.close(iterator)

    message = str(assert_same_error(scenario, ValueError))
    assert message == f"Asked to retrieve element {index}, but the Sequence has length 3"


def test_an_item_beyond_the_end_does_not_count():
    def scenario(library):
        iterator = library.generator(**FLIPS).flow(images(), batch_size=4, seed=0)
        try:
            batches = take(iterator, 1)
            with pytest.raises(ValueError, match="Asked to retrieve element 3"):
                iterator[3]
            return batches + take(iterator, 3), iterator.total_batches_seen
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="untouched")
    assert_batches_equal(actual.value[0], expected.value[0])
    assert actual.value[1] == expected.value[1] == 4


@pytest.mark.parametrize("index", ["0", None, slice(0, 2)])
def test_an_item_that_is_no_number(index):
    def scenario(library):
        iterator = library.generator().flow(images(), batch_size=4, seed=0)
        try:
            return iterator[index]
        finally:
            library.close(iterator)

    assert_same_error(scenario, TypeError)


# --------------------------------------------------------------------- the classes themselves


@pytest.mark.parametrize("seed", [None, 4])
def test_the_array_iterator_takes_keras_s_own_generator(seed):
    """Any object with the three methods for single images will do."""

    def scenario(library):
        theirs = keras_library().generator(rotation_range=20, **FLIPS)
        iterator = library.NumpyArrayIterator(images(), LABELS, theirs, batch_size=4, seed=seed)
        try:
            return take(iterator, 4)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="keras" if seed is None else "untouched")
    assert_batches_equal(actual.value, expected.value)


@pytest.mark.parametrize("name", ["Iterator", "NumpyArrayIterator"])
def test_every_iterator_can_be_closed(name):
    """Also the base class, so that all of them may be used alike."""
    iterator_class = getattr(fastaug_library(), name)
    assert callable(iterator_class.close)
    assert callable(iterator_class.__enter__) and callable(iterator_class.__exit__)


def test_a_subclass_of_the_base_iterator():
    """Any source of batches can be built on the base class, as in Keras."""

    def scenario(library):
        class Indices(library.Iterator):
            def _get_batches_of_transformed_samples(self, index_array):
                return np.array(index_array) * 10, np.random.random()

        iterator = Indices(7, 3, True, None)
        batches = take(iterator, 5) + [iterator[1], iterator[0]]
        iterator.on_epoch_end()
        iterator.reset()
        batches += take(iterator, 2)
        shown = len(iterator), iterator.n, iterator.batch_size, iterator.shuffle, iterator.seed
        return batches, shown, counters(iterator)

    actual, expected = run_both(scenario)
    assert_same(actual.value, expected.value)


def test_the_base_iterator_leaves_the_batches_to_subclasses():
    def scenario(library):
        return next(library.Iterator(7, 3, False, 0))

    assert_same_error(scenario, NotImplementedError)


def test_a_subclass_may_finish_the_batches():

    def scenario(library):
        class Signed(library.NumpyArrayIterator):
            def _get_batches_of_transformed_samples(self, index_array):
                x, y = super()._get_batches_of_transformed_samples(index_array)
                return x - 128, -y

        iterator = Signed(
            images(), LABELS, library.generator(**FLIPS), batch_size=4, shuffle=True, seed=3
        )
        try:
            return take(iterator, 4) + [iterator[1]]
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="untouched")
    assert_batches_equal(actual.value, expected.value)


@pytest.mark.parametrize("dtype", [None, "float64"])
@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
def test_the_array_iterator_by_itself(dtype, data_format):
    """Built without ``flow``: its own defaults, not those of ``flow``."""
    x = images(data_format=data_format or "channels_last")

    def scenario(library):
        generator = library.generator(data_format=data_format, **FLIPS)
        iterator = library.NumpyArrayIterator(
            x, LABELS, generator, data_format=data_format, dtype=dtype
        )
        try:
            return take(iterator, 2), iterator.shuffle, iterator.batch_size, iterator.seed
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario)
    assert_batches_equal(actual.value[0], expected.value[0])
    assert_same(actual.value[1:], expected.value[1:])


@AHEAD
@SEEDS
def test_replacing_the_generator_of_indices(options, seed):
    def begin_anew(iterator):
        iterator.index_generator = iterator._flow_index()

    def own_order(iterator):
        iterator.index_generator = iter([[3, 1], [0], [9, 8, 7, 6]])

    script = [NEXT, ("do", begin_anew, 0), NEXT, NEXT, item(1), NEXT, NEXT]
    compare_script(script, seed=seed, options=options)
    compare_script([NEXT, ("do", own_order, 0), *[NEXT] * 3], seed=seed, options=options)


@AHEAD
@pytest.mark.parametrize("kind", [list, lambda order: np.array(order, np.int32)])
def test_an_order_of_ones_own(options, kind):
    order = ("set", 0, "index_array", kind([5, 4, 3, 2, 1, 0, 9, 8, 7, 6]))
    compare_script([NEXT, order, item(0), item(1), item(2), NEXT, NEXT, NEXT, ("draw",)],
                   options=options)  # fmt: skip


def test_attributes_set_before_those_of_the_base_class():
    def scenario(library):
        class Own(library.Iterator):
            def __init__(self, x, size):
                self.x, self.batch_size, self.seed = x, size, 9
                assert self.batch_size == size
                super().__init__(len(x), size, False, 1)

            def _get_batches_of_transformed_samples(self, index_array):
                return self.x[index_array]

        class OwnArrays(library.NumpyArrayIterator):
            def __init__(self, x, generator):
                self.x = x[:5]
                assert len(self.x) == 5
                super().__init__(self.x, None, generator, batch_size=2)

        flows = [Own(images(n=4), 3), OwnArrays(images(n=6), library.generator())]
        return [next(flow) for flow in flows for _ in range(4)]

    actual, expected = run_both(scenario, stream=None)
    assert_batches_equal(actual.value, expected.value)


@pytest.mark.parametrize("function", [False, 0, [], ()])
def test_a_preprocessing_function_that_is_none(function):
    actual, expected = run_both(
        lambda library: next(
            library.generator(preprocessing_function=function).flow(images(), shuffle=False)
        )
    )
    assert_batches_equal([actual.value], [expected.value])


def test_arrays_of_other_classes():
    """As in Keras, their data are what counts."""
    x = images(n=4)

    def masked(image):
        return np.ma.array(image, mask=image > 100)

    def scenario(library, **settings):
        hidden = np.ma.array(x, mask=x > 100)
        shifted = library.generator(channel_shift_range=40, dtype="float64")
        halved = library.generator(rescale=0.5, preprocessing_function=masked)
        return [next(shifted.flow(hidden, seed=1)), next(halved.flow(x, seed=1))]

    actual, expected = run_both(scenario, stream=None)
    assert_batches_equal(actual.value, expected.value, TRANSFORM)
