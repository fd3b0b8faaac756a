"""Batches of ``dtype="uint8"`` beside Keras's, and which settings they cannot have."""

import contextlib
import inspect

import keras
import numpy as np
import pytest
import trees
from execution import EXECUTIONS, open_execution
from reference import (
    EXACT,
    FLIPS,
    GEOMETRY,
    Tolerance,
    assert_batches_equal,
    assert_same,
    assert_same_outcome,
    compare_flow,
    excluded_pixels,
    fastaug_library,
    flow_scenario,
    has_geometry,
    images,
    keras_library,
    run,
    run_both,
    take,
)

import fastaug
from fastaug.keras_api import batches

SHIFT = {"channel_shift_range": 60.0}
BRIGHTNESS = {"brightness_range": (0.4, 1.6)}
BYTES = {"dtype": "uint8"}
LABELS = np.arange(10) * 11
BORDERS = [
    "nearest", "reflect", "mirror", "grid-mirror", "wrap", "grid-wrap", "constant", "grid-constant",
]  # fmt: skip

# A value so near to a half that float32 and double fall to two sides of it.
NEAR_A_HALF = Tolerance(level=1.0, fraction=0.001)
# The factor comes after that.
BRIGHTENED = Tolerance(level=2.0, fraction=0.001)

BOTH_FORMATS = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])


@pytest.fixture
def made(monkeypatch):
    """Counts the batches that the core makes, and those that are made image by image."""
    counts = {"by the core": 0, "one by one": 0}
    finish = batches.BatchMaker.finish

    def counted(self, batch, *arguments):
        counts["one by one" if batch.augmentation is None else "by the core"] += 1
        return finish(self, batch, *arguments)

    monkeypatch.setattr(batches.BatchMaker, "finish", counted)
    return counts


@pytest.fixture(autouse=True)
def _by_the_core(request, made):
    """Every batch, unless the test looks for itself."""
    yield
    if "made" not in inspect.signature(request.function).parameters:
        assert made["one by one"] == 0


def compare(x, settings, tolerance=NEAR_A_HALF, edges=True, **flow):
    """Compare a flow; returns Keras's result."""
    settings = BYTES | settings
    expected = compare_flow(
        x, LABELS[: len(x)], settings=settings, tolerance=tolerance, edges=edges,
        batch_size=4, **{"seed": 3} | flow,
    )  # fmt: skip
    assert all(batch.dtype == np.uint8 for batch, _ in expected.value)
    return expected


# ---------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", BORDERS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@BOTH_FORMATS
def test_geometry(order, fill_mode, channels, data_format):
    settings = {"interpolation_order": order, "fill_mode": fill_mode, "cval": 77.3}
    x = images(height=24, width=37, channels=channels, data_format=data_format)
    tolerance = EXACT if order == 0 and fill_mode != "grid-constant" else NEAR_A_HALF
    expected = compare(x, GEOMETRY | settings | {"data_format": data_format}, tolerance)
    assert any(has_geometry(parameters) for _, parameters in expected.drawn)


@pytest.mark.parametrize("settings", [FLIPS, {}, SHIFT, SHIFT | FLIPS, {"channel_shift_range": 0.5},
                                      {"channel_shift_range": 500}, BRIGHTNESS,
                                      SHIFT | BRIGHTNESS | FLIPS,
                                      {"width_shift_range": 4, "height_shift_range": [1, 3]}],
                         ids=str)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("seed", [None, 11])
def test_without_interpolation_every_byte_is_keras_s(settings, channels, seed):
    x = images(channels=channels) // 2 + 40  # the shift is clipped to what there is
    compare(x, settings, EXACT, edges=False, seed=seed, active=bool(settings))


@pytest.mark.parametrize("shifts", [SHIFT, BRIGHTNESS, SHIFT | BRIGHTNESS], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shifts_after_geometry(shifts, channels):
    x = images(height=24, width=37, channels=channels) // 2 + 40
    compare(x, GEOMETRY | shifts, BRIGHTENED if "brightness_range" in shifts else NEAR_A_HALF)


@pytest.mark.parametrize("height", [1, 2, 3, 7, 33])
@pytest.mark.parametrize("width", [1, 2, 5, 16, 41, 330])
def test_sizes(height, width):
    compare(images(height=height, width=width), GEOMETRY | SHIFT, edges=False)


@pytest.mark.parametrize("cval", [-5, 300, 12.5, 254.6, 1e30, float("nan"), float("-inf")])
def test_values_outside_become_bytes_as_in_scipy(cval):
    compare(images(), GEOMETRY | {"fill_mode": "constant", "cval": cval} | SHIFT)


@pytest.mark.parametrize("channels", [2, 5])
def test_any_number_of_channels(channels):
    compare(images(height=24, width=37, channels=channels), GEOMETRY | SHIFT)


def test_an_image_that_is_not_contiguous():
    compare(images()[:, ::-1], GEOMETRY)


@pytest.mark.parametrize("dtype", [np.uint8, np.dtype("uint8"), "u1", "B"])
def test_names_of_the_type(dtype):
    compare(images(), {"dtype": dtype} | FLIPS, EXACT, edges=False)


def epoch(library, x, execution, way=None):
    generator = library.generator(**BYTES | GEOMETRY | SHIFT | execution)
    iterator = generator.flow(x, LABELS, batch_size=4, seed=2)
    try:
        return way(iterator) if way else take(iterator, 7)
    finally:
        library.close(iterator)


@pytest.mark.parametrize("execution", EXECUTIONS)
@BOTH_FORMATS
def test_the_same_bytes_however_they_are_made(execution, data_format):
    x = images(height=40, width=31, data_format=data_format)
    layout = {"data_format": data_format}
    first = epoch(fastaug_library(), x, layout | {"workers": 0})
    with open_execution(execution) as options:
        assert_same(epoch(fastaug_library(), x, layout | options), first)


def test_batches_by_their_position_and_those_that_a_user_keeps():
    """Large ones, whose memory is used again: what somebody has is not written into."""
    x = images(height=400, width=300)

    def kept(iterator):
        batches = [iterator[k] for k in (1, 0, 2)] + take(iterator, 6)
        copies = [batch.copy() for batch, _ in batches]
        iterator.on_epoch_end()
        take(iterator, 4)
        assert_same([batch for batch, _ in batches], copies)
        return batches

    expected = epoch(keras_library(), x, {}, kept)
    assert_batches_equal(epoch(fastaug_library(), x, {}, kept), expected, NEAR_A_HALF)


def test_a_type_that_changes_under_way(made):
    x = images(height=400, width=300)
    generator = fastaug.ImageDataGenerator(**BYTES | FLIPS)
    with generator.flow(x, batch_size=4, seed=1) as iterator:
        found = [next(iterator)]
        for dtype in ("float32", "uint8", "float64", "uint8", "float32"):
            generator.dtype = iterator.dtype = dtype
            found.append(next(iterator))
    with fastaug.ImageDataGenerator(**FLIPS).flow(x, batch_size=4, seed=1) as iterator:
        expected = take(iterator, 6)
    assert made == {"by the core": 11, "one by one": 1}
    types = ["uint8", "float32", "uint8", "float64", "uint8", "float32"]
    assert [batch.dtype for batch in found] == types
    for batch, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(batch, other)


def test_saved_files(tmp_path):
    def scenario(library):
        folder = tmp_path / library.name
        folder.mkdir()
        generator = library.generator(**BYTES | FLIPS)
        iterator = generator.flow(images(), batch_size=4, seed=5, save_to_dir=str(folder))
        take(iterator, 3)
        library.close(iterator)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    actual, expected = run_both(scenario, stream=None)
    assert len(expected.value) == 10
    assert_same(actual.value, expected.value)


def test_keras_trains_on_them():
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((9, 13, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    generator = fastaug.ImageDataGenerator(**BYTES | GEOMETRY, workers=2)
    with generator.flow(images(), LABELS / 100, batch_size=4, seed=1) as iterator:
        history = model.fit(iterator, epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


# ---------------------------------------------------------------------------- files


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.plain_tree(tmp_path_factory.mktemp("plain"), extension="png")


def compare_files(tree, settings, tolerance=NEAR_A_HALF, options=None, **flow):
    """Compare a flow from files, which Keras has as floats until they go into the batch."""
    settings = BYTES | settings

    def scenario(library):
        ours = options if library.name == "fastaug" else None
        iterator = library.generator(**settings).flow_from_directory(
            str(tree), **{"target_size": (21, 27), "batch_size": 4, "seed": 3} | flow, **ours or {}
        )
        try:
            return take(iterator, len(iterator) + 1)
        finally:
            library.close(iterator)

    wraps_round = not 0 <= settings.get("cval", 0) <= 255
    usage = wraps_round or flow.get("class_mode") == "binary"  # of three classes
    actual, expected = run_both(scenario, options={"workers": 2}, stream="untouched", usage=usage)
    assert expected.error is None
    excluded = excluded_pixels(expected, settings)
    assert_batches_equal(actual.value, expected.value, tolerance, excluded)
    return expected


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", BORDERS)
@BOTH_FORMATS
def test_files(tree, order, fill_mode, data_format):
    settings = {"interpolation_order": order, "fill_mode": fill_mode, "cval": 77.3}
    expected = compare_files(tree, GEOMETRY | settings | {"data_format": data_format})
    assert {part.dtype for part in expected.value[0]} == {np.dtype("uint8")}


@pytest.mark.parametrize("shifts", [SHIFT, BRIGHTNESS, SHIFT | BRIGHTNESS], ids=str)
@pytest.mark.parametrize("geometry", [{}, GEOMETRY], ids=["upright", "turned"])
@pytest.mark.parametrize("color_mode", ["rgb", "rgba"])
def test_shifts_of_files(tree, shifts, geometry, color_mode):
    tolerance = BRIGHTENED if "brightness_range" in shifts else NEAR_A_HALF
    compare_files(tree, geometry | shifts, tolerance, color_mode=color_mode)


@pytest.mark.parametrize("decoder", ["processes", "threads"])
@pytest.mark.parametrize("class_mode", ["categorical", "binary", "sparse", "input", None])
def test_labels_of_files(tree, class_mode, decoder):
    compare_files(tree, FLIPS | SHIFT, EXACT, class_mode=class_mode, options={"decoder": decoder})


def test_files_that_cannot_be_read_are_left_out(tmp_path):
    root = trees.plain_tree(tmp_path / "tree")
    (root / "bees/1.jpg").write_text("no image")
    generator = fastaug.ImageDataGenerator(**BYTES | FLIPS, workers=2)
    iterator = generator.flow_from_directory(
        root, target_size=(9, 9), batch_size=20, shuffle=False, on_error="skip"
    )
    with iterator, pytest.warns(UserWarning, match="Left out"):
        x, y = next(iterator)
    assert x.shape == (12, 9, 9, 3) and x.dtype == y.dtype == np.uint8
    assert x.reshape(12, -1).any(axis=1).all()


# ---------------------------------------------------------------------------- elsewhere

# As before: image by image, by Keras's own steps.
ELSEWHERE = {
    "a function": {"preprocessing_function": lambda image: image // 2},
    "an elementwise function": {"preprocessing_function": fastaug.elementwise(np.negative)},
    "splines": GEOMETRY | {"interpolation_order": 3},
    "a whole factor": {"rescale": 2} | FLIPS,
    "a function that makes floats": {
        "preprocessing_function": lambda image: image / 255,
        "rescale": 255.0,
    },
}


@pytest.mark.parametrize("settings", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_what_the_core_does_not_do(settings, made):
    actual, expected = run_both(
        flow_scenario(images(), settings=BYTES | settings, batch_size=4, seed=3),
        stream="untouched",
    )
    assert_batches_equal(actual.value, expected.value, EXACT)
    assert made == {"by the core": 0, "one by one": 4}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_other_images(dtype, made):
    """Keras makes bytes of them first."""
    actual, expected = run_both(
        flow_scenario(
            images(dtype="uint8").astype(dtype), settings=BYTES | GEOMETRY, batch_size=4, seed=3
        ),
        stream="untouched",
    )
    assert_batches_equal(actual.value, expected.value, EXACT)
    assert made["by the core"] == 0


def test_another_warp_is_scipy_s(made):
    x = images()
    options = {"warp": "opencv"}
    scenario = flow_scenario(x, settings=BYTES | GEOMETRY, batch_size=4, seed=3)
    actual, expected = run_both(scenario, options=options, stream="untouched")
    assert_batches_equal(actual.value, expected.value, EXACT)
    assert made["by the core"] == 0


@pytest.mark.parametrize("settings", [{"color_mode": "grayscale"}, {"cval": -5}, {"cval": 256}])
def test_files_that_the_core_does_not_make_bytes_of(tree, settings, made):
    settings = dict(settings)
    flow = {name: settings.pop(name) for name in ("color_mode",) if name in settings}
    border = {"fill_mode": "constant"} if settings else {}
    compare_files(tree, GEOMETRY | border | settings, EXACT, **flow)
    assert made["by the core"] == 0


def test_another_floatx(tree, made, keras_config):
    keras_config.set_floatx("float64")
    # what sums to a whole number in float32 may lie below it in float64
    compare_files(tree, GEOMETRY, Tolerance(level=1.0, fraction=0.02))
    assert made["by the core"] == 0
    compare(images(), GEOMETRY)
    assert made["by the core"] > 0


# ---------------------------------------------------------------------------- errors

FOR_FLOATS = {
    "rescale": 1 / 255,
    "samplewise_center": True,
    "samplewise_std_normalization": True,
    "featurewise_center": True,
    "featurewise_std_normalization": True,
    "zca_whitening": True,
}


def float_setting(library, name):
    """A generator that makes floats, with one such setting alone."""
    generator = library.generator(dtype="uint8", channel_shift_range=0.0)
    setattr(generator, name, FOR_FLOATS[name])
    generator.mean, generator.std = np.zeros((1, 1, 3)), np.full((1, 1, 3), 2.5)
    generator.zca_whitening_matrix = np.eye(9 * 13 * 3)
    return generator


@pytest.mark.parametrize("name", FOR_FLOATS)
@pytest.mark.parametrize("dtype", ["uint8", "int32", np.int64, "bool"])
def test_a_setting_that_makes_floats_is_refused_at_once(name, dtype):
    generator = float_setting(fastaug_library(), name)
    generator.dtype = dtype
    with pytest.raises(TypeError) as raised:
        generator.flow(images())
    text = str(raised.value)
    assert f"{name}={FOR_FLOATS[name]!r}" in text and np.dtype(dtype).name in text
    assert "Rescaling" in text and 'dtype="float32"' in text


@pytest.mark.parametrize("name", ["rescale", "samplewise_center", "samplewise_std_normalization"])
def test_keras_refuses_it_later(name):
    def scenario(library):
        return next(float_setting(library, name).flow(images(), seed=0))

    actual, expected = (run(scenario, library) for library in (fastaug_library(), keras_library()))
    assert isinstance(expected.error, type(actual.error)) and type(actual.error) is TypeError


FLOATS_BEFORE = {"channel shift": SHIFT, "brightness": BRIGHTNESS, "files": {}}


@pytest.mark.parametrize("before", FLOATS_BEFORE)
@pytest.mark.parametrize("setting", [{"rescale": 0.5}, {"samplewise_center": True}], ids=str)
def test_where_floats_were_made_before_the_whole_part_is_kept(tree, setting, before, made):
    settings = {**BYTES, **FLIPS, **FLOATS_BEFORE[before], **setting}
    name, value = next(iter(setting.items()))
    says = pytest.warns(UserWarning, match=rf"`{name}`.*whole part.*Received: {name}={value}")

    def scenario(library):
        generator = library.generator(**settings)
        with says if library.name == "fastaug" else contextlib.nullcontext():
            if before == "files":
                iterator = generator.flow_from_directory(
                    str(tree), target_size=(21, 27), batch_size=4, seed=3
                )
            else:
                iterator = generator.flow(images(), LABELS[:10], batch_size=4, seed=3)
        try:
            return take(iterator, 3)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="untouched")
    assert expected.error is None
    assert_batches_equal(actual.value, expected.value, Tolerance(level=1.0, fraction=0.02))
    assert made["by the core"] == 0


def test_a_statistic_that_is_missing_is_warned_of_as_in_keras(made):
    def scenario(library):
        generator = library.generator(**BYTES, featurewise_center=True)
        with pytest.warns(UserWarning, match="hasn't been fit"):
            return next(generator.flow(images(), seed=1))

    actual, expected = run_both(scenario, stream="untouched")
    assert_batches_equal([actual.value], [expected.value], EXACT)
    assert made["by the core"] == 0


def test_a_subclass_may_do_as_it_likes(made):
    class Own(fastaug.ImageDataGenerator):
        def standardize(self, x):
            return x + 1

    x = images() // 2
    batch = next(Own(**BYTES, rescale=0.5).flow(x, shuffle=False, batch_size=10))
    np.testing.assert_array_equal(batch, x + 1)
    assert made["one by one"] > 0


@pytest.mark.parametrize("name", FOR_FLOATS)
def test_a_setting_of_later_fails_as_in_keras(name, made):
    def scenario(library):
        generator = library.generator(**BYTES)
        iterator = generator.flow(images(), batch_size=4, seed=1)
        next(iterator)
        setattr(generator, name, FOR_FLOATS[name])
        try:
            return next(iterator)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="untouched")
    assert made == {"by the core": 1, "one by one": 1}
    if expected.error is None:
        assert_same(actual.value, expected.value)


@pytest.mark.parametrize("name", ["rescale", "samplewise_center", "samplewise_std_normalization"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_standardize_by_hand_is_keras_s(name, dtype):
    def scenario(library):
        return float_setting(library, name).standardize(images(n=1)[0].astype(dtype))

    actual, expected = (run(scenario, library) for library in (fastaug_library(), keras_library()))
    assert_same_outcome(actual, expected)
    assert (expected.error is None) == (dtype == "float32")
    if dtype == "float32":
        np.testing.assert_allclose(actual.value, expected.value, rtol=1e-5)
