"""Ways of walking through an iterator: each gives Keras's batches and leaves Keras's counters.

A script is a list of steps, played on Keras's iterators and on fastaug's from the same global
stream; after every step the batches drawn, the user's own numbers and the counters must agree.
"""

import threading
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    EXACT,
    STANDARD,
    TRANSFORM,
    Tolerance,
    assert_batches_equal,
    assert_same,
    assert_same_error,
    fastaug_library,
    images,
    images_of,
    keras_library,
    run_both,
    take,
)

import fastaug

N, BATCH = 10, 4
LABELS = np.arange(N)
FLIPS = {"horizontal_flip": True, "vertical_flip": True}
SEEDS = pytest.mark.parametrize("seed", [None, 17])
SHUFFLE = pytest.mark.parametrize("shuffle", [True, False])
AHEAD = pytest.mark.parametrize(
    "options",
    [{}, {"workers": 0, "prefetch": 0}, {"workers": 2, "prefetch": 4}, {"workers": 1}],
    ids=str,
)


def counters(iterator):
    """A copy of what an iterator shows of its state."""
    order = iterator.index_array
    return (
        int(iterator.batch_index),
        int(iterator.total_batches_seen),
        None if order is None else [int(i) for i in order],
    )


def play(library, script, *, generator_settings=FLIPS, seed=None, shuffle=True, iterators=1):
    """Play a script of steps; returns the batches and everything else that came to light.

    Steps: ("next", k), ("item", k, i), ("reset", k), ("end", k), ("set", k, name, value) on the
    k-th iterator; ("generator", name, value) on its generator; ("fit", x); ("do", f) with the
    generator or ("do", f, k) with the k-th iterator; ("fails", error) for a next that raises; and
    on the global stream ("draw",), ("normal",) and ("reseed", s).
    """
    generator = library.generator(**generator_settings)
    x = images(n=N, height=4, width=6)
    flows = [
        generator.flow(
            x if k == 0 else x[::-1],
            LABELS + 100 * k,
            batch_size=BATCH,
            seed=None if seed is None else seed + k,
            shuffle=shuffle,
        )
        for k in range(iterators)
    ]
    batches, notes = [], []
    try:
        for step, *arguments in script:
            if step == "next":
                batches.append(next(flows[arguments[0]]))
            elif step == "item":
                batches.append(flows[arguments[0]][arguments[1]])
            elif step == "reset":
                flows[arguments[0]].reset()
            elif step == "end":
                flows[arguments[0]].on_epoch_end()
            elif step == "set":
                setattr(flows[arguments[0]], *arguments[1:])
            elif step == "generator":
                setattr(generator, *arguments)
            elif step == "do":
                arguments[0](generator if len(arguments) == 1 else flows[arguments[1]])
            elif step == "fails":
                with pytest.raises(arguments[0]) as caught:
                    next(flows[0])
                notes.append(caught.type)
            elif step == "fit":
                generator.fit(arguments[0])
            elif step == "draw":
                notes.append(np.random.random())
            elif step == "normal":
                notes.append(np.random.normal())
            elif step == "reseed":
                np.random.seed(arguments[0])
            else:
                raise AssertionError(f"unknown step {step}")
            notes.append([step, *(counters(flow) for flow in flows)])
    finally:
        for flow in flows:
            library.close(flow)
    return batches, notes


def compare_script(script, *, tolerance=EXACT, options=None, seed=None, **arguments):
    """Both libraries give the same batches, notes and end of the stream; returns Keras's."""
    actual, expected = run_both(
        lambda library: play(library, script, seed=seed, **arguments),
        options=options,
        stream="keras" if seed is None else None,
    )
    assert expected.error is None
    assert_batches_equal(actual.value[0], expected.value[0], tolerance)
    assert_same(actual.value[1], expected.value[1])
    return expected.value[0]


NEXT = ("next", 0)


def item(i):
    return ("item", 0, i)


SCRIPTS = {
    "next, three epochs": [NEXT] * 9,
    "items in order, two epochs": [item(i) for i in (0, 1, 2, 0, 1, 2)],
    "items in order with the end of an epoch": [
        step for _ in range(3) for step in (item(0), item(1), item(2), ("end", 0))
    ],
    "items in any order": [item(i) for i in (2, 0, 0, 1, 2, 1, 1, 0)],
    "the last item first": [item(2), item(2), NEXT, item(0)],
    "items from the end": [item(-1), item(-2), item(-3), NEXT, item(-2)],
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


# --------------------------------------------------------------------- the global stream


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


# --------------------------------------------------------------------- settings changed on the way


def halve(image):
    return image / 2


def negate(image):
    return -image


def set_mean(generator):
    """An array of its own for each run of a script, as it is changed in place."""
    generator.mean = np.full((1, 1, 3), 9.0, dtype="float32")


CHANGES = {
    "rescale": [("generator", "rescale", 0.25)],
    "no rescale": [("generator", "rescale", None)],
    "preprocessing_function": [("generator", "preprocessing_function", halve)],
    "mean": [
        ("generator", "featurewise_center", True),
        ("generator", "mean", np.full((1, 1, 3), 9.0, dtype="float32")),
    ],
    "std": [
        ("generator", "featurewise_std_normalization", True),
        ("generator", "std", np.full((1, 1, 3), 9.0, dtype="float32")),
    ],
    "samplewise_center": [("generator", "samplewise_center", True)],
    "rotation_range": [("generator", "rotation_range", 40)],
    "zoom_range": [("generator", "zoom_range", [0.5, 2])],
    "horizontal_flip": [("generator", "horizontal_flip", False)],
    "width_shift_range": [("generator", "width_shift_range", [1, 2])],
    "channel_shift_range": [("generator", "channel_shift_range", 30.0)],
    "brightness_range": [("generator", "brightness_range", (0.2, 0.9))],
    "fill_mode": [
        ("generator", "rotation_range", 40),
        NEXT,
        ("generator", "fill_mode", "reflect"),
        NEXT,
        ("generator", "interpolation_order", 3),
    ],
    "cval": [
        ("generator", "rotation_range", 40),
        ("generator", "fill_mode", "grid-constant"),
        NEXT,
        ("generator", "cval", 77.0),
    ],
    "samplewise std alone": [
        ("generator", "samplewise_std_normalization", True),
        ("generator", "samplewise_center", False),
    ],
    "an int for a float": [
        ("generator", "width_shift_range", 1.0),
        NEXT,
        NEXT,
        ("generator", "width_shift_range", 1),
    ],
    "an item of a list": [("do", lambda generator: generator.zoom_range.__setitem__(0, 0.5))],
    "the mean in place": [
        ("generator", "featurewise_center", True),
        ("do", set_mean),
        NEXT,
        NEXT,
        ("do", lambda generator: generator.mean.__iadd__(np.float32(30))),
    ],
    "two functions": [
        ("generator", "preprocessing_function", halve),
        NEXT,
        ("generator", "preprocessing_function", negate),
        NEXT,
        ("generator", "preprocessing_function", None),
    ],
}


@AHEAD
@SEEDS
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_settings_changed_between_batches_hold_from_the_next_batch_on(change, seed, options):
    script = [NEXT, NEXT, *change, NEXT, NEXT, item(1), NEXT]
    start = FLIPS | {"rescale": 1 / 2}
    tolerance = Tolerance(absolute=0.01, relative=1e-5)
    changed = compare_script(
        script, generator_settings=start, seed=seed, tolerance=tolerance, options=options
    )
    plain = [step for step in script if step[0] not in ("generator", "do")]
    unchanged = compare_script(plain, generator_settings=start, seed=seed, options=options)
    assert_batches_equal(changed[:2], unchanged[:2])
    assert any(
        np.any(images_of(a) != images_of(b)) for a, b in zip(changed, unchanged, strict=True)
    )


ERRORS = {
    "fill_mode": (RuntimeError, "fill_mode", "bogus", "nearest"),
    "interpolation_order": (RuntimeError, "interpolation_order", 9, 1),
    "rotation_range": (OverflowError, "rotation_range", float("nan"), 20),
    "zoom_range": (TypeError, "zoom_range", None, (0.9, 1.1)),
    "preprocessing_function": (TypeError, "preprocessing_function", 3, None),
    "rescale": (TypeError, "rescale", "a", 0.5),
}


@AHEAD
@SHUFFLE
@pytest.mark.parametrize(("error", "name", "bad", "good"), ERRORS.values(), ids=ERRORS.keys())
def test_a_bad_setting_on_the_way_costs_its_own_batch(error, name, bad, good, shuffle, options):
    """The batch that raised is gone, as in Keras, and the next one is the one after it."""
    start = FLIPS | {"rotation_range": 20}
    script = [NEXT, ("generator", name, bad), ("fails", error), ("generator", name, good)]
    batches = compare_script(
        script + [NEXT, NEXT, item(1), NEXT],
        generator_settings=start,
        seed=3,
        shuffle=shuffle,
        tolerance=TRANSFORM,
        options=options,
    )
    assert len(batches) == 5


REPLACED = {
    "y": ("y", LABELS * 3),
    "x": ("x", images(n=N, height=4, width=6, dtype="float32", seed=12)),
    "x_misc": ("x_misc", [LABELS * 2]),
    "sample_weight": ("sample_weight", np.linspace(0, 1, N)),
}


@AHEAD
@SEEDS
@pytest.mark.parametrize(("name", "value"), REPLACED.values(), ids=REPLACED.keys())
def test_arrays_of_an_iterator_may_be_replaced(name, value, seed, options):
    script = [NEXT, NEXT, ("set", 0, name, value), NEXT, NEXT, item(1)]
    compare_script(script, seed=seed, options=options)


@AHEAD
@SEEDS
def test_the_order_may_be_changed_in_place(seed, options):
    script = [NEXT, ("do", lambda iterator: iterator.index_array.sort(), 0), NEXT, NEXT, item(0)]
    compare_script(script, seed=seed, options=options)


@AHEAD
@SEEDS
@pytest.mark.parametrize(
    "flags",
    [
        {"featurewise_center": True, "featurewise_std_normalization": True},
        {"zca_whitening": True, "featurewise_center": True},
    ],
    ids=["featurewise", "whitening"],
)
def test_fit_after_flow(flags, seed, options):
    """The iterator exists, and may have begun, before the generator knows any statistics."""
    fit_on = images(n=150, height=4, width=6, seed=2)
    script = [("fit", fit_on), NEXT, NEXT, ("fit", fit_on[::3] / 3), NEXT, item(0)]
    for beginning in ([], [NEXT]):
        batches = compare_script(
            beginning + script,
            generator_settings=FLIPS | flags,
            seed=seed,
            tolerance=STANDARD,
            options=options,
        )
        assert len(batches) == len(beginning) + 4


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


@AHEAD
@pytest.mark.parametrize("side", [4, 60])
def test_statistics_changed_in_place(options, side):
    """Few values and many; added to, replaced by others, put in another order."""
    x = images(n=6, height=side, width=side)

    def scenario(library):
        generator = library.generator(featurewise_center=True, horizontal_flip=True)
        generator.mean = np.arange(side * side * 3, dtype="float32").reshape(side, side, 3)
        flow = generator.flow(x, batch_size=1, shuffle=False, seed=1)
        batches = [next(flow), next(flow)]
        generator.mean += 1
        batches += [next(flow), next(flow)]
        generator.mean[:] = generator.mean[::-1].copy()
        batches += [next(flow), next(flow)]
        generator.mean[0, 1, 2] = 1000
        batches += [next(flow), next(flow)]
        generator.mean[-1, -1, -1] = 1000
        batches += [next(flow), next(flow)]
        library.close(flow)
        return batches

    actual, expected = run_both(scenario, options=options, stream=None)
    assert_batches_equal(actual.value, expected.value, STANDARD)


@AHEAD
def test_settings_changed_behind_the_attributes(options):
    def scenario(library):
        generator = library.generator(rescale=1.0)
        flow = generator.flow(images(n=6), batch_size=1, shuffle=False)
        batches = [next(flow)]
        vars(generator).update(rescale=2.0)
        batches.append(next(flow))
        generator.__dict__["rescale"] = 3.0
        batches.append(next(flow))
        library.close(flow)
        return batches

    actual, expected = run_both(scenario, options=options)
    assert_batches_equal(actual.value, expected.value, STANDARD)


@AHEAD
def test_a_class_that_is_changed_afterwards(options, monkeypatch):
    def double(self, x):
        return 2 * x

    def scenario(library):
        monkeypatch.setattr(type(library.generator()), "standardize", double)
        flow = library.generator().flow(images(n=6), batch_size=2, shuffle=False)
        batches = [next(flow), next(flow)]
        library.close(flow)
        return batches

    actual, expected = run_both(scenario, options=options)
    assert_batches_equal(actual.value, expected.value)


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
    assert_batches_equal([actual.value], [expected.value])


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
