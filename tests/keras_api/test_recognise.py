"""Preprocessing functions that are not called for each image: declared ones, and Keras's own."""

import functools
import importlib
import pkgutil
import threading

import keras
import numpy as np
import pytest
import trees
from reference import (
    STANDARD,
    TRANSFORM,
    Tolerance,
    assert_batches_equal,
    fastaug_library,
    images,
    keras_library,
    run_both,
    take,
)

import fastaug

GEOMETRY = {"rotation_range": 30, "shear_range": 9, "horizontal_flip": True}
SETTINGS = {
    "alone": {},
    "rescale": {"rescale": 1 / 3},
    "shift": {"channel_shift_range": 30},
    "shift and rescale": {"channel_shift_range": 30, "rescale": 1 / 3},
    "sample": {"samplewise_center": True, "samplewise_std_normalization": True},
    "feature": {"featurewise_center": True, "featurewise_std_normalization": True},
    "whitening": {"featurewise_center": True, "zca_whitening": True},
    "brightness": {"brightness_range": (0.5, 1.0), "rotation_range": 0, "shear_range": 0},
    "constant": {"fill_mode": "constant", "cval": 9.0, "rotation_range": 30, "shear_range": 0},
    "spline": {"interpolation_order": 3},
    "opencv": {},
}
each_setting = pytest.mark.parametrize("name", SETTINGS)
AHEAD = pytest.mark.parametrize(
    "options", [{"workers": 0}, {"workers": 1}, {"workers": 2, "prefetch": 4}], ids=str
)


def preprocess_inputs():
    """Every one that Keras has, by the module of its network."""
    package = importlib.import_module("keras.src.applications")
    for module in pkgutil.iter_modules(package.__path__):
        name = f"{package.__name__}.{module.name}"
        if not name.endswith("_test"):
            function = getattr(importlib.import_module(name), "preprocess_input", None)
            if function is not None:
                yield pytest.param(function, id=module.name)


def scenario_of(function, settings, x=None, statistics=True, seed=5):
    """Some batches of a flow with that function."""
    x = images(n=40, height=6, width=5) if x is None else x

    def scenario(library):
        extra = {"warp": "opencv"} if settings is SETTINGS["opencv"] else {}
        extra = extra if library.name == "fastaug" else {}
        generator = library.generator(
            **GEOMETRY | settings, preprocessing_function=function, **extra
        )
        if statistics and generator.featurewise_center:
            generator.fit(x, augment=True, seed=3)
        flow = generator.flow(x, batch_size=16, seed=seed)
        batches = take(flow, 4)
        library.close(flow)
        return batches

    return scenario


def compare(scenario, options=None):
    """Values of about 1, 0.01 of 255 apart at most: the warp's part, and that of float32."""
    actual, expected = run_both(scenario, options=options, stream=None)
    scale = max(1.0, *(float(np.abs(batch).max()) for batch in expected.value))
    assert_batches_equal(actual.value, expected.value, Tolerance(absolute=1e-4 * scale))


def asks_for_each_image(**settings):
    x = images(n=4, data_format=settings.get("data_format", "channels_last"))
    flow = fastaug.ImageDataGenerator(**settings).flow(x)
    augmentation = flow._maker._augmentation()
    return augmentation.function is not None


# --------------------------------------------------------------------- Keras's own


@pytest.mark.parametrize("function", list(preprocess_inputs()))
def test_every_preprocess_input_is_known_and_does_what_it_does(function):
    assert not asks_for_each_image(preprocessing_function=function)
    compare(scenario_of(function, {}))


@each_setting
@pytest.mark.parametrize("network", ["resnet", "mobilenet", "densenet"])  # the three modes
def test_preprocess_input_among_other_settings(network, name):
    function = getattr(keras.applications, network).preprocess_input
    compare(scenario_of(function, SETTINGS[name]))


@AHEAD
@pytest.mark.parametrize("network", ["resnet", "mobilenet", "densenet"])
@pytest.mark.parametrize("default", ["channels_first", "channels_last"])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_preprocess_input_and_layouts(network, default, data_format, options, keras_config):
    """It takes images to be in Keras's default layout, whatever the generator's."""
    keras_config.set_image_data_format(default)
    function = getattr(keras.applications, network).preprocess_input
    x = images(n=40, height=6, width=5, data_format=data_format)
    settings = {"data_format": data_format, "rescale": 0.5}
    assert asks_for_each_image(preprocessing_function=function, data_format=data_format) == (
        default != data_format
    )
    compare(scenario_of(function, settings, x), options)


def test_the_default_layout_changes_between_batches(keras_config):
    function = keras.applications.resnet.preprocess_input
    x = images(n=8, height=3, width=3)

    def scenario(library):
        flow = library.generator(preprocessing_function=function).flow(x, batch_size=2, seed=1)
        batches = take(flow, 2)
        keras_config.set_image_data_format("channels_first")
        batches += take(flow, 2)
        keras_config.set_image_data_format("channels_last")
        library.close(flow)
        return batches

    compare(scenario)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("network", ["mobilenet", "efficientnet"])
def test_preprocess_input_for_other_channels(network, channels):
    function = getattr(keras.applications, network).preprocess_input
    compare(scenario_of(function, {}, images(n=20, height=6, width=5, channels=channels)))


def test_preprocess_input_in_a_function_of_ones_own_is_called_for_each_image():
    def function(image):
        return keras.applications.resnet.preprocess_input(image) * 2

    assert asks_for_each_image(preprocessing_function=function)
    compare(scenario_of(function, {}))


def test_a_function_that_only_has_the_name_is_called():
    def preprocess_input(image):
        return image * 0

    preprocess_input.__module__ = "keras.src.applications.resnet"
    assert asks_for_each_image(preprocessing_function=preprocess_input)
    compare(scenario_of(preprocess_input, {}))


# --------------------------------------------------------------------- declared elementwise


def halve(x):
    x = x / 255
    x -= 0.5
    return x * 2


def soften(x):
    x = np.sqrt(np.abs(x) + 1)
    x -= 0.5
    return x * 2


@AHEAD
@each_setting
def test_elementwise(name, options):
    compare(scenario_of(fastaug.elementwise(soften), SETTINGS[name]), options)


@pytest.mark.parametrize("result", ["float64", "float16", "int32", "uint8", "bool"])
def test_elementwise_of_another_type(result):
    @fastaug.elementwise
    def function(x):
        return (x / 2).astype(result)

    scenario = scenario_of(function, {"rotation_range": 0, "shear_range": 0})
    actual, expected = run_both(scenario, stream=None)
    assert_batches_equal(actual.value, expected.value, STANDARD)


def test_elementwise_in_place():
    @fastaug.elementwise
    def function(x):
        x -= 7
        return x

    compare(scenario_of(function, {}))


@pytest.mark.parametrize("function", [np.sqrt, functools.partial(np.add, 3), abs], ids=str)
def test_elementwise_of_what_takes_no_mark(function):
    compare(scenario_of(fastaug.elementwise(function), {}))


def test_elementwise_keeps_the_function():
    function = fastaug.elementwise(halve)
    assert function is halve
    assert fastaug.elementwise(np.sqrt)(np.float32(9)) == 3


def test_elementwise_is_called_with_pieces_in_the_threads():
    seen = []

    @fastaug.elementwise
    def function(x):
        seen.append((threading.current_thread().name, x.shape, x.dtype))
        return np.abs(x - 9)

    generator = fastaug.ImageDataGenerator(preprocessing_function=function, workers=2, prefetch=0)
    x = images(n=32, height=60, width=60)
    with generator.flow(x, shuffle=False) as flow:
        seen.clear()
        np.testing.assert_array_equal(next(flow), np.abs(x - np.float32(9)))
    assert len(seen) < 16
    assert sum(shape[0] for _, shape, _ in seen) == x.size
    assert {(len(shape), dtype) for _, shape, dtype in seen} == {(1, np.dtype("float32"))}
    assert all(name.startswith("fastaug") for name, *_ in seen)


@each_setting
@pytest.mark.parametrize(
    "function",
    [halve, lambda x: x * 0 + 7, lambda x: np.float64(3) * x, np.negative],
    ids=["halve", "constant", "triple", "negative"],
)
def test_a_factor_and_an_addend_are_found_out(name, function):
    scenario = scenario_of(fastaug.elementwise(functools.partial(function)), SETTINGS[name])
    compare(scenario)


def calls_for_images(function, x, **settings):
    """How often a flow calls an elementwise function once it is made."""
    calls = []

    @fastaug.elementwise
    def counted(values):
        calls.append(len(values))
        return function(values)

    generator = fastaug.ImageDataGenerator(
        preprocessing_function=counted, workers=0, rotation_range=30, **settings
    )
    flow = generator.flow(x, shuffle=False, seed=1)
    calls.clear()
    next(flow)
    return len(calls)


def test_which_functions_are_called():
    x = images()
    assert calls_for_images(halve, x) == 0
    assert calls_for_images(halve, x, fill_mode="constant", cval=255) == 0
    assert calls_for_images(halve, x, interpolation_order=0) == 0
    # values may lie outside 0..255
    assert calls_for_images(halve, x, interpolation_order=3) == 1
    assert calls_for_images(halve, x, fill_mode="constant", cval=255.1) == 1
    assert calls_for_images(halve, x, fill_mode="constant", cval=float("nan")) == 1
    assert calls_for_images(halve, x.astype("float32")) == 1
    assert calls_for_images(halve, x.astype("int16")) == 1
    # no factor and addend
    assert calls_for_images(np.sqrt, x) == 1
    assert calls_for_images(np.round, x) == 1
    assert calls_for_images(lambda values: np.clip(values, 1, None), x) == 1
    assert calls_for_images(lambda values: np.where(values > 254.9, np.nan, values), x) == 1
    assert calls_for_images(lambda values: values * np.float32(1e-6) - 1000, x) == 1
    assert calls_for_images(lambda values: values + 1e-3 * (values > 17.02), x) == 1


@AHEAD
def test_elementwise_raises(options):
    @fastaug.elementwise
    def function(x):
        raise KeyError("of the function")

    flow = fastaug_library(options).generator(preprocessing_function=function).flow(images())
    with pytest.raises(KeyError, match="of the function") as caught:
        next(flow)
    assert caught.traceback[-1].name == "function"


@AHEAD
def test_elementwise_of_another_shape(options):
    @fastaug.elementwise
    def channels(x):
        return x[:3]

    flow = fastaug_library(options).generator(preprocessing_function=channels).flow(images())
    with pytest.raises(ValueError, match=r"channels got values of shape \(\d+,\) and .* \(3,\)"):
        next(flow)


def test_elementwise_of_whole_numbers_cannot_be_standardized():
    """As in Keras, where a float does not go into an array of them in place."""
    whole = fastaug.elementwise(lambda x: x.astype(int))
    for library in (keras_library(), fastaug_library()):
        flow = library.generator(preprocessing_function=whole, rescale=0.5).flow(images())
        with pytest.raises(TypeError, match="int64"):
            next(flow)


@pytest.mark.parametrize("function", [soften, halve, keras.applications.resnet.preprocess_input])
@pytest.mark.parametrize("extra", [{}, {"decoder": "threads"}], ids=str)
def test_files(tmp_path, function, extra):
    root = trees.plain_tree(tmp_path)

    def scenario(library):
        extras = extra if library.name == "fastaug" else {}
        generator = library.generator(
            **GEOMETRY, preprocessing_function=fastaug.elementwise(function), rescale=0.5
        )
        flow = generator.flow_from_directory(
            str(root), target_size=(20, 30), batch_size=5, seed=2, class_mode=None, **extras
        )
        batches = take(flow, 4)
        library.close(flow)
        return batches

    actual, expected = run_both(scenario, stream=None)
    scale = max(float(np.abs(batch).max()) for batch in expected.value)
    assert_batches_equal(actual.value, expected.value, TRANSFORM.scaled(scale / 255))
