"""Settings and arrays that change between two batches: each has effect from the next one on."""

import numpy as np
import pytest
from reference import (
    STANDARD,
    TRANSFORM,
    Tolerance,
    assert_batches_equal,
    images,
    images_of,
    run_both,
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
    item,
)


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


# By the core, and image by image.
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@AHEAD
@SEEDS
@DTYPES
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_settings_changed_between_batches_hold_from_the_next_batch_on(change, dtype, seed, options):
    script = [NEXT, NEXT, *change, NEXT, NEXT, item(1), NEXT]
    start = FLIPS | {"rescale": 1 / 2, "dtype": dtype}
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
@DTYPES
@pytest.mark.parametrize(("error", "name", "bad", "good"), ERRORS.values(), ids=ERRORS.keys())
def test_a_bad_setting_on_the_way_costs_its_own_batch(
    error, name, bad, good, dtype, shuffle, options
):
    """The batch that raised is gone, as in Keras, and the next one is the one after it."""
    start = FLIPS | {"rotation_range": 20, "dtype": dtype}
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
@SEEDS
def test_a_method_that_is_replaced_on_the_way(seed, options):
    def replace(generator):
        generator.standardize = lambda x: 2 * x

    def put_back(generator):
        del generator.standardize

    script = [NEXT, NEXT, ("do", replace), NEXT, NEXT, ("do", put_back), *[NEXT] * 3]
    compare_script(script, seed=seed, options=options)


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
