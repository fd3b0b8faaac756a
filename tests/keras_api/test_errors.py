"""Errors and warnings: Keras's own types and texts, and what fastaug refuses at once."""

import inspect
import re
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
from execution import SPAWN
from reference import (
    assert_all_seen,
    assert_batches_equal,
    assert_same_error,
    fastaug_library,
    flow_scenario,
    images,
    keras_image,
    keras_library,
    run_both,
    take,
)

import fastaug

# --------------------------------------------------------------------- signatures

NEW_ARGUMENTS = {"workers": None, "prefetch": 2, "pool": None, "dim_ordering": None}


def parameters(function):
    return [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]


def test_arguments_of_the_generator():
    """Keras's, in Keras's order with Keras's defaults, then the new ones by keyword only."""
    theirs = parameters(keras_image.ImageDataGenerator)
    ours = parameters(fastaug.ImageDataGenerator)
    assert ours[: len(theirs)] == theirs
    extra = {name: default for name, default, _ in ours[len(theirs) :]}
    assert NEW_ARGUMENTS.items() <= extra.items()
    assert {kind for *_, kind in ours[len(theirs) :]} == {inspect.Parameter.KEYWORD_ONLY}


METHODS = [
    "fit",
    "standardize",
    "random_transform",
    "get_random_transform",
    "apply_transform",
]


@pytest.mark.parametrize("name", METHODS)
def test_arguments_of_the_methods(name):
    ours = getattr(fastaug.ImageDataGenerator, name)
    assert parameters(ours) == parameters(getattr(keras_image.ImageDataGenerator, name))


def test_arguments_of_flow():
    """Keras's, then the new one by keyword only."""
    theirs = parameters(keras_image.ImageDataGenerator.flow)
    ours = parameters(fastaug.ImageDataGenerator.flow)
    assert ours == [*theirs, ("augment", True, inspect.Parameter.KEYWORD_ONLY)]


@pytest.mark.parametrize("name", ["Iterator", "NumpyArrayIterator"])
def test_arguments_of_the_iterators(name):
    theirs = parameters(getattr(keras_image, name))
    assert parameters(getattr(fastaug, name))[: len(theirs)] == theirs


def test_attributes_of_a_generator():
    """Every attribute that Keras's generator has, with the same value."""
    settings = {
        "rotation_range": 10,
        "zoom_range": 0.25,
        "zca_whitening": True,
        "featurewise_std_normalization": True,
        "brightness_range": (0.5, 1),
        "validation_split": 0.2,
        "data_format": "channels_first",
        "width_shift_range": [1, 2],
    }

    def scenario(library):
        names = vars(keras_image.ImageDataGenerator(**settings)).keys()
        generator = library.generator(**settings)
        return {name: getattr(generator, name) for name in names}

    actual, expected = run_both(scenario)
    assert len(expected.value) > 25
    assert actual.value == expected.value


# --------------------------------------------------------------------- the constructor

BAD_SETTINGS = {
    "data_format": {"data_format": "bogus"},
    "data_format, empty": {"data_format": ""},
    "data_format, a number": {"data_format": 3},
    "validation_split, too large": {"validation_split": 1.5},
    "validation_split, one": {"validation_split": 1},
    "validation_split, negative": {"validation_split": -0.1},
    "zoom_range, one": {"zoom_range": (1,)},
    "zoom_range, three": {"zoom_range": [1, 2, 3]},
    "zoom_range, text": {"zoom_range": "ab"},
    "zoom_range, mixed": {"zoom_range": (1, "a")},
    "zoom_range, None": {"zoom_range": None},
    "zoom_range, float32": {"zoom_range": np.float32(0.5)},
    "zoom_range, float32 pair": {"zoom_range": np.array([0.5, 1], dtype="float32")},
    "brightness_range, a number": {"brightness_range": 0.5},
    "brightness_range, one": {"brightness_range": (0.5,)},
    "brightness_range, three": {"brightness_range": [0.5, 1, 2]},
    "brightness_range, text": {"brightness_range": "ab"},
    "brightness_range, array": {"brightness_range": np.array([0.5, 1.0])},
    "unknown argument": {"rotation": 5},
}


@pytest.mark.parametrize("settings", BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys())
def test_bad_settings(settings):
    def scenario(library):
        try:
            library.generator(**settings)
        except TypeError as error:
            # The name of the class is part of Python's own text.
            raise TypeError(str(error).replace("RecordingGenerator", "Generator")) from error

    if "rotation" in settings:
        with pytest.raises(TypeError, match="unexpected keyword argument 'rotation'"):
            fastaug.ImageDataGenerator(**settings)
    else:
        assert_same_error(scenario)


def test_too_many_positional_arguments():
    with pytest.raises(TypeError, match="positional argument"):
        fastaug.ImageDataGenerator(*range(24))


OVERRIDING = {
    "whitening": {"zca_whitening": True},
    "whitening and center": {"zca_whitening": True, "featurewise_center": True},
    "whitening and std": {"zca_whitening": True, "featurewise_std_normalization": True},
    "whitening, center and std": {
        "zca_whitening": True,
        "featurewise_center": True,
        "featurewise_std_normalization": True,
    },
    "featurewise std": {"featurewise_std_normalization": True},
    "samplewise std": {"samplewise_std_normalization": True},
    "both std": {"samplewise_std_normalization": True, "featurewise_std_normalization": True},
}


@pytest.mark.parametrize("settings", OVERRIDING.values(), ids=OVERRIDING.keys())
def test_warnings_of_settings_that_imply_others(settings):
    flags = [
        "featurewise_center",
        "featurewise_std_normalization",
        "samplewise_center",
        "samplewise_std_normalization",
        "zca_whitening",
    ]

    def scenario(library):
        generator = library.generator(**settings)
        return [getattr(generator, flag) for flag in flags]

    actual, expected = run_both(scenario)
    assert len(expected.warnings) == {
        ("zca_whitening", "featurewise_center"): 0,
        ("zca_whitening", "featurewise_std_normalization"): 3,
        ("samplewise_std_normalization", "featurewise_std_normalization"): 2,
    }.get(tuple(settings), 1)
    assert actual.warnings == expected.warnings
    assert actual.value == expected.value


# --------------------------------------------------------------------- flow and fit

X = images()
Y = np.arange(10)

BAD_FLOWS = {
    "rank 3": {"x": X[0]},
    "rank 5": {"x": X[None]},
    "rank 2": {"x": X[0, 0]},
    "y too short": {"x": X, "y": Y[:-1]},
    "y too long": {"x": X, "y": np.arange(11).tolist()},
    "y of rank 2": {"x": X, "y": np.zeros((4, 2))},
    "sample_weight": {"x": X, "y": Y, "sample_weight": np.ones(3)},
    "sample_weight list": {"x": X, "sample_weight": [1.0, 2.0]},
    "extra input": {"x": [X, Y[:5]]},
    "second extra input": {"x": (X, [Y, Y[:5]]), "y": Y},
    "list of images": {"x": list(X)},
    "nested lists": {"x": X.tolist()},
    "a list of one": {"x": [X]},
    "subset": {"x": X, "y": Y, "subset": "test"},
    "subset without split": {"x": X, "y": Y, "subset": "validation"},
    "classes": {"x": X, "y": Y, "subset": "training", "validation_split": 0.3},
    "classes of a validation set": {
        "x": X,
        "y": Y.tolist(),
        "subset": "validation",
        "validation_split": 0.3,
    },
    "None": {"x": None},
    "a number": {"x": 3},
}

NO_NUMBERS = {
    "text": np.array([[[["a"]]]]),
    "objects": np.full((3, 4, 4, 3), object(), dtype=object),
    "text in objects": np.full((3, 4, 4, 3), "pixel", dtype=object),
    "dictionaries": np.full((3, 4, 4, 3), {}, dtype=object),
}


def bad_flow(arguments):
    arguments = dict(arguments)
    settings = {"horizontal_flip": True}
    settings["validation_split"] = arguments.pop("validation_split", 0.0)
    return flow_scenario(**arguments, settings=settings, seed=0)


@pytest.mark.parametrize("arguments", BAD_FLOWS.values(), ids=BAD_FLOWS.keys())
def test_bad_flows(arguments):
    assert_same_error(bad_flow(arguments))


@pytest.mark.parametrize("x", NO_NUMBERS.values(), ids=NO_NUMBERS.keys())
def test_images_that_are_no_numbers(x):
    """NumPy's own error, as in Keras; what was given may be added to its text."""
    with pytest.raises((TypeError, ValueError)) as theirs:
        keras_image.ImageDataGenerator().flow(x)
    with pytest.raises(theirs.type) as ours:
        fastaug.ImageDataGenerator().flow(x)
    assert type(ours.value) is theirs.type
    assert str(ours.value).startswith(str(theirs.value))


def test_a_bad_flow_is_refused_before_any_batch():
    with pytest.raises(ValueError, match="should have rank 4"):
        fastaug.ImageDataGenerator().flow(X[0])


def test_objects_that_are_numbers_are_images():
    """As NumPy converts them, so does Keras."""
    x = np.array(images(n=3, height=3, width=3), dtype=object)
    actual, expected = run_both(
        flow_scenario(x, settings={}, seed=0, batch_size=2), stream="untouched"
    )
    assert expected.error is None
    np.testing.assert_array_equal(actual.value[0], expected.value[0])


@pytest.mark.parametrize("seed", [-1, 2**32, "a", 1.5, (), [1, 2]])
def test_bad_seeds(seed):
    assert_same_error(flow_scenario(X, settings={}, seed=seed))


def test_a_seed_that_ends_within_the_epoch():
    """The sum of seed and count leaves the range with the second batch."""

    def scenario(library):
        iterator = library.generator(horizontal_flip=True).flow(
            X, batch_size=4, seed=2**32 - 1, shuffle=False
        )
        try:
            batch = next(iterator)
            with pytest.raises(ValueError, match="Seed must be between"):
                next(iterator)
            return batch
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="untouched")
    np.testing.assert_array_equal(actual.value, expected.value)


BAD_FITS = {
    "rank 3": X[0],
    "rank 5": X[None],
    "rank 1": [1.0, 2.0],
    "text": np.array(["a"]),
    "objects": np.full((3, 4, 4, 3), object(), dtype=object),
}


@pytest.mark.parametrize("x", BAD_FITS.values(), ids=BAD_FITS.keys())
def test_bad_fits(x):
    assert_same_error(lambda library: library.generator(featurewise_center=True).fit(x))


@pytest.mark.parametrize("channels", [2, 5, 7, 1, 3, 4])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("method", ["flow", "fit"])
def test_warning_of_unusual_channels(channels, data_format, method):
    x = images(channels=channels, data_format=data_format)

    def scenario(library):
        generator = library.generator(data_format=data_format)
        result = getattr(generator, method)(x)
        if method == "flow":
            library.close(result)

    actual, expected = run_both(scenario)
    assert len(expected.warnings) == (channels not in (1, 3, 4))
    assert actual.warnings == expected.warnings


def test_warning_of_the_wrong_data_format():
    x = images(data_format="channels_first")
    actual, expected = run_both(
        flow_scenario(x, settings={"horizontal_flip": True}, seed=0), stream="untouched"
    )
    assert len(expected.warnings) == 1
    assert "13 channels" in actual.warnings[0][1]
    assert_batches_equal(actual.value, expected.value)


# --------------------------------------------------------------------- refused by fastaug at once


@pytest.mark.parametrize("fill_mode", ["bogus", "", "NEAREST", None, 3])
def test_unknown_fill_mode(fill_mode):
    with pytest.raises(RuntimeError, match="boundary mode not supported") as caught:
        fastaug.ImageDataGenerator(fill_mode=fill_mode)
    assert str(fill_mode) in str(caught.value)


@pytest.mark.parametrize("order", [-1, 6, 100])
def test_unknown_interpolation_order(order):
    with pytest.raises(RuntimeError, match="spline order not supported"):
        fastaug.ImageDataGenerator(interpolation_order=order)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float64("nan")])
@pytest.mark.parametrize(
    "name",
    [
        "rotation_range",
        "width_shift_range",
        "height_shift_range",
        "shear_range",
        "zoom_range",
        "channel_shift_range",
    ],
)
def test_ranges_that_are_not_finite(name, value):
    with pytest.raises(OverflowError) as caught:
        fastaug.ImageDataGenerator(**{name: value})
    assert name in str(caught.value)
    assert str(float(value)).lstrip("-") in str(caught.value)


@pytest.mark.parametrize("name", ["zoom_range", "brightness_range"])
@pytest.mark.parametrize("value", [(float("nan"), 1.0), [1.0, float("inf")]])
def test_pairs_that_are_not_finite(name, value):
    with pytest.raises(OverflowError) as caught:
        fastaug.ImageDataGenerator(**{name: value})
    assert name in str(caught.value)
    assert re.search("nan|inf", str(caught.value))


@pytest.mark.parametrize(
    "name", ["rotation_range", "width_shift_range", "shear_range", "channel_shift_range"]
)
def test_a_range_that_is_too_wide(name):
    def scenario(library):
        return library.generator(**{name: 1.5e308}).get_random_transform((3, 3, 3))

    with pytest.raises(OverflowError):
        scenario(keras_library())
    with pytest.raises(OverflowError, match=r"1.5e\+308"):
        scenario(fastaug_library())


def test_a_brightness_that_is_no_number():
    for library in (keras_library(), fastaug_library()):
        with pytest.raises(TypeError):
            next(library.generator(brightness_range=[1, None]).flow(X))


@pytest.mark.parametrize("flip", ["yes", 2, [0]])
def test_flips_that_are_true(flip):
    settings = {"horizontal_flip": flip, "vertical_flip": ""}
    actual, expected = run_both(lambda library: next(library.generator(**settings).flow(X)))
    np.testing.assert_array_equal(actual.value, expected.value)


@pytest.mark.parametrize("order", [None, 0.5, "a", 1.0])
def test_an_order_that_is_no_whole_number(order):
    with pytest.raises(TypeError):
        fastaug.ImageDataGenerator(interpolation_order=order)
    keras_generator = keras_library().generator(rotation_range=9, interpolation_order=order)
    with pytest.raises(TypeError):
        next(keras_generator.flow(X))


def test_a_random_transform_for_no_shape():
    actual, expected = run_both(
        lambda library: library.generator(rotation_range=9).get_random_transform(())
    )
    assert expected.value["theta"] != 0
    assert actual.value == expected.value


def test_keras_raises_the_same_type_for_ranges_that_are_not_finite():
    def scenario(library):
        return library.generator(rotation_range=float("nan")).get_random_transform((3, 3, 3))

    def type_of_error(library):
        with pytest.raises(OverflowError) as caught:
            scenario(library)
        return caught.type

    actual, expected = run_both(type_of_error)
    assert actual.value is expected.value is OverflowError


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 0, 4, 3), (4, 4, 0, 3), (4, 4, 4, 0)], ids=str)
@pytest.mark.filterwarnings("ignore:NumpyArrayIterator is set to use:UserWarning")
def test_an_empty_array(shape):
    with pytest.raises(ValueError) as caught:
        fastaug.ImageDataGenerator(horizontal_flip=True).flow(np.zeros(shape, dtype="uint8"))
    assert str(shape) in str(caught.value)


def test_a_test_that_looks_at_keras_alone_does_not_pass():
    actual, expected = run_both(lambda library: library.name)
    assert expected.value == "keras"
    with pytest.raises(AssertionError, match="does not look at"):
        assert_all_seen()
    assert actual.value == "fastaug"
    assert_all_seen()


def test_an_empty_subset():
    with pytest.raises(ValueError) as caught:
        fastaug.ImageDataGenerator(validation_split=0.01).flow(X, subset="validation")
    assert str((0, 9, 13, 3)) in str(caught.value)


# --------------------------------------------------------------------- the new arguments


@pytest.mark.parametrize("name", ["workers", "prefetch"])
class TestCounts:
    @pytest.mark.parametrize("value", [-1, -100])
    def test_negative(self, name, value):
        with pytest.raises(ValueError, match=name) as caught:
            fastaug.ImageDataGenerator(**{name: value})
        assert str(value) in str(caught.value)

    @pytest.mark.parametrize("value", [1.5, "2", [2]])
    def test_no_integer(self, name, value):
        with pytest.raises(TypeError, match=name):
            fastaug.ImageDataGenerator(**{name: value})

    @pytest.mark.parametrize("value", [np.int64(2), 0, 1, 16])
    def test_integers(self, name, value):
        generator = fastaug.ImageDataGenerator(horizontal_flip=True, **{name: value})
        with generator.flow(X, seed=0) as iterator:
            assert len(take(iterator, 2)) == 2


CLOSED_POOLS = {
    "ThreadPool closed": (lambda: ThreadPool(1), "close", ValueError),
    "ThreadPool terminated": (lambda: ThreadPool(1), "terminate", ValueError),
    "Pool closed": (lambda: SPAWN.Pool(1), "close", ValueError),
    "ThreadPoolExecutor": (lambda: ThreadPoolExecutor(1), "shutdown", RuntimeError),
    "ProcessPoolExecutor": (
        lambda: ProcessPoolExecutor(1, mp_context=SPAWN),
        "shutdown",
        RuntimeError,
    ),
}


@pytest.mark.parametrize(("make", "end", "error"), CLOSED_POOLS.values(), ids=CLOSED_POOLS.keys())
def test_a_pool_that_has_ended(make, end, error):
    pool = make()
    getattr(pool, end)()
    try:
        with pytest.raises(error):
            fastaug.ImageDataGenerator(pool=pool)
    finally:
        if hasattr(pool, "join"):
            pool.terminate()
            pool.join()


@pytest.mark.parametrize("value", ["bogus", "TF", 3, ""])
def test_unknown_dim_ordering(value):
    with pytest.raises(ValueError) as caught:
        fastaug.ImageDataGenerator(dim_ordering=value)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize(
    ("dim_ordering", "data_format"), [("th", "channels_last"), ("tf", "channels_first")]
)
def test_contradicting_dim_ordering(dim_ordering, data_format):
    with pytest.raises(ValueError) as caught:
        fastaug.ImageDataGenerator(dim_ordering=dim_ordering, data_format=data_format)
    assert dim_ordering in str(caught.value) and data_format in str(caught.value)


@pytest.mark.parametrize(
    ("dim_ordering", "data_format", "result"),
    [
        (None, None, "channels_last"),
        ("default", None, "channels_last"),
        ("tf", None, "channels_last"),
        ("th", None, "channels_first"),
        ("th", "channels_first", "channels_first"),
        ("tf", "channels_last", "channels_last"),
        ("default", "channels_first", "channels_first"),
    ],
)
def test_dim_ordering(dim_ordering, data_format, result):
    generator = fastaug_library().generator(dim_ordering=dim_ordering, data_format=data_format)
    assert generator.data_format == result


def test_default_dim_ordering_follows_keras(keras_config):
    keras_config.set_image_data_format("channels_first")
    assert fastaug.ImageDataGenerator(dim_ordering="default").data_format == "channels_first"
    assert fastaug.ImageDataGenerator(dim_ordering="tf").data_format == "channels_last"


def warnings_of_an_unfitted_generator():
    fastaug.ImageDataGenerator(zca_whitening=True).standardize(np.zeros((4, 4, 3), np.float32))


def warnings_of_a_batch_of_an_unfitted_generator():
    generator = fastaug.ImageDataGenerator(featurewise_center=True, workers=1)
    next(generator.flow(images(4), batch_size=2))


def warnings_of_an_array_of_five_channels():
    fastaug.ImageDataGenerator().flow(np.zeros((2, 4, 4, 5), np.uint8))


def warnings_of_a_statistic_that_needs_another():
    fastaug.ImageDataGenerator(featurewise_std_normalization=True)


@pytest.mark.parametrize(
    "function",
    [
        warnings_of_an_unfitted_generator,
        warnings_of_a_batch_of_an_unfitted_generator,
        warnings_of_an_array_of_five_channels,
        warnings_of_a_statistic_that_needs_another,
    ],
)
def test_a_warning_is_of_the_user_s_line(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    code = function.__code__
    lines = {line for _, _, line in code.co_lines()}
    assert caught
    assert all(warning.filename == __file__ for warning in caught)
    assert all(warning.lineno in lines for warning in caught)
