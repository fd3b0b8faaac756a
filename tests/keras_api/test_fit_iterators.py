"""`fit` of iterators: the figures of Keras's `fit` in float64, of images that are read once."""

import itertools
import sys

import numpy as np
import pandas as pd
import pytest
import trees
from reference import (
    GEOMETRY,
    assert_batches_equal,
    images,
    keras_image,
    keras_library,
    same_stream,
    take,
)
from terminal import Terminal

import fastaug
from fastaug.data import directory as directory_module
from fastaug.keras_api import fitting

ALL = {"featurewise_center": True, "featurewise_std_normalization": True}
WHITENING = {"featurewise_center": True, "zca_whitening": True}
FLAGS = {
    "center": {"featurewise_center": True},
    "both": ALL,
    "whitening": WHITENING,
    "nothing": {},
}
flags = pytest.mark.parametrize("settings", FLAGS.values(), ids=FLAGS.keys())
NAMES = ("mean", "std", "zca_whitening_matrix")


def statistics_of(generator):
    return {name: getattr(generator, name) for name in NAMES}


def assert_fitted_alike(generator, x, tolerance=1e-9, **settings):
    """The figures that Keras finds for an array in float64."""
    theirs = keras_image.ImageDataGenerator(**settings | {"dtype": "float64"})
    theirs.fit(x)
    for name, expected in statistics_of(theirs).items():
        actual = getattr(generator, name)
        if expected is None:
            assert actual is None, name
            continue
        assert actual.shape == expected.shape, name
        scale = np.abs(expected).max()
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.plain_tree(tmp_path_factory.mktemp("plain"), counts=(30, 20, 17))


def loaded(paths, size, color_mode="rgb"):
    return np.stack(
        [
            keras_image.image_utils.img_to_array(
                keras_image.image_utils.load_img(path, target_size=size, color_mode=color_mode)
            )
            for path in paths
        ]
    )


# ---------------------------------------------------------------------------- arrays


@flags
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rescale", [None, 1 / 255])
@pytest.mark.parametrize("workers", [0, 2])
def test_arrays(settings, data_format, rescale, workers):
    """More images than values in each, and fewer: two ways to the whitening."""
    settings = settings | {"data_format": data_format, "rescale": rescale, "dtype": "float64"}
    for n, height, width, channels in ((70, 4, 5, 3), (20, 4, 5, 3), (50, 5, 3, 1)):
        x = images(n, height, width, channels, data_format=data_format)
        generator = fastaug.ImageDataGenerator(**settings, workers=workers)
        generator.fit(generator.flow(x, batch_size=32))
        assert_fitted_alike(
            generator, x, 1e-7 if "zca_whitening" in settings else 1e-12, **settings
        )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64", "bool"])
def test_images_of_any_type(dtype):
    x = images(40, dtype=dtype)
    x = x * 40_000 + 1 if dtype == "int32" else x  # more than float32 holds
    generator = fastaug.ImageDataGenerator(**ALL, dtype="float64")
    generator.fit(generator.flow(x))
    assert_fitted_alike(generator, x, 1e-12, **ALL)


def test_a_factor_for_each_channel():
    settings = ALL | {"rescale": [0.5, 0.25, 2]}
    generator = fastaug.ImageDataGenerator(**settings, dtype="float64")
    generator.fit(generator.flow(images()))
    assert_fitted_alike(generator, images(), 1e-12, **settings)


def test_whitening_after_dividing():
    """Keras's constructor takes one of the two only; both can be set."""
    x = images(70, 4, 5)
    ours = fastaug.ImageDataGenerator(**WHITENING, dtype="float64")
    theirs = keras_image.ImageDataGenerator(**WHITENING, dtype="float64")
    for center, std in itertools.product([True, False], repeat=2):
        for generator in (ours, theirs):
            generator.featurewise_center, generator.featurewise_std_normalization = center, std
        for count in (70, 20):
            ours.fit(ours.flow(x[:count]))
            theirs.fit(x[:count])
            expected = theirs.zca_whitening_matrix
            scale = np.abs(expected).max()
            np.testing.assert_allclose(ours.zca_whitening_matrix, expected, atol=1e-6 * scale)


def test_a_large_data_set_has_its_own_mean():
    """Sums in float32 are off, with an array as in Keras."""
    x = np.full((20_000, 8, 8, 3), 120, np.uint8)
    generator = fastaug.ImageDataGenerator(**ALL)
    generator.fit(generator.flow(x, batch_size=500))
    assert generator.mean.dtype == generator.std.dtype == np.float32
    assert (generator.mean == 120).all() and (generator.std == 0).all()


@pytest.mark.parametrize(
    ("dtype", "kind"), [("float16", "float16"), ("float64", "float64"), ("uint8", "float64")]
)
def test_the_type_of_the_figures(dtype, kind):
    generator = fastaug.ImageDataGenerator(featurewise_center=True, dtype=dtype)
    generator.fit(fastaug.ImageDataGenerator().flow(images()))
    assert generator.mean.dtype == kind


# ---------------------------------------------------------------------------- files


@flags
@pytest.mark.parametrize("color_mode", ["rgb", "grayscale"])
@pytest.mark.parametrize("decoder", ["processes", "threads"])
def test_directories(tree, settings, color_mode, decoder):
    generator = fastaug.ImageDataGenerator(**settings, dtype="float64", rescale=0.5, workers=2)
    size = (6, 5) if color_mode == "rgb" else (9, 7)
    flow = generator.flow_from_directory(
        str(tree), target_size=size, color_mode=color_mode, batch_size=8, decoder=decoder
    )
    with flow:
        generator.fit(flow)
        x = loaded(flow.filepaths, size, color_mode)
    tolerance = 1e-6 if "zca_whitening" in settings else 1e-12
    assert_fitted_alike(generator, x, tolerance, **settings, rescale=0.5)


def test_subsets_and_dataframes(tree):
    generator = fastaug.ImageDataGenerator(**ALL, dtype="float64", validation_split=0.3)
    paths = sorted(str(path) for path in tree.glob("*/*.jpg"))
    frame = pd.DataFrame({"filename": paths, "class": "a"})
    flow = generator.flow_from_dataframe(frame, subset="training", target_size=(6, 5))
    assert 40 < flow.samples < 50
    with flow:
        generator.fit(flow)
        assert_fitted_alike(generator, loaded(flow.filepaths, (6, 5)), 1e-12, **ALL)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_bad_files_are_left_out(tmp_path, on_error, batch_size):
    """Also where its own batches would have others in their places: those would count twice."""
    root = trees.plain_tree(tmp_path)
    trees.text(root / "bees/1.jpg")
    generator = fastaug.ImageDataGenerator(**ALL, dtype="float64", workers=1)
    arguments = {"target_size": (6, 5), "batch_size": batch_size}
    flow = generator.flow_from_directory(str(root), on_error=on_error, **arguments)
    with flow, pytest.warns(UserWarning, match=r"Left out .*bees/1\.jpg"):
        generator.fit(flow)
        good = [path for path in flow.filepaths if "bees/1" not in path]
        assert flow.bad_files == []  # its own batches have not met it
    assert_fitted_alike(generator, loaded(good, (6, 5)), 1e-12, **ALL)
    flow = generator.flow_from_directory(str(root), **arguments)
    with flow, pytest.raises(OSError, match=r"bees/1\.jpg"):
        generator.fit(flow)


# ---------------------------------------------------------------------------- the iterator


def augmented_flow(tree, kind, generator, **arguments):
    if kind == "array":
        x = images(20)
        return generator.flow((x, np.arange(20)), np.arange(20), batch_size=8, **arguments), x
    flow = generator.flow_from_directory(str(tree), target_size=(6, 5), batch_size=8, **arguments)
    return flow, loaded(flow.filepaths, (6, 5))


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("kind", ["array", "directory"])
def test_it_stays_where_it_is(tree, kind, seed, tmp_path):
    """Nothing is drawn, saved or augmented; a function and an order of its own have no part."""
    settings = GEOMETRY | {"preprocessing_function": np.negative, "brightness_range": (0.5, 1)}
    generator = fastaug.ImageDataGenerator(**settings, dtype="float64")
    fitted = fastaug.ImageDataGenerator(**ALL, dtype="float64")
    flow, x = augmented_flow(tree, kind, generator, seed=seed)
    other, _ = augmented_flow(tree, kind, generator, seed=seed, save_to_dir=str(tmp_path / "none"))
    np.random.seed(5)
    expected = take(flow, 2)
    state = np.random.get_state()
    shown = repr(flow), flow.batch_index, flow.total_batches_seen, flow.index_array.copy()
    fitted.fit(flow)
    fitted.fit(other)
    assert_fitted_alike(fitted, x, 1e-12, **ALL)
    assert same_stream(np.random.get_state(), state)
    assert (repr(flow), flow.batch_index, flow.total_batches_seen) == shown[:3]
    np.testing.assert_array_equal(flow.index_array, shown[3])
    expected += take(flow, 3)
    flow, _ = augmented_flow(tree, kind, generator, seed=seed)
    np.random.seed(5)
    assert_batches_equal(take(flow, 5), expected)


def test_a_subclass_with_its_own_batches():
    class Own(fastaug.NumpyArrayIterator):
        def _get_batches_of_transformed_samples(self, index_array):
            raise AssertionError("asked for")

    generator = fastaug.ImageDataGenerator(**ALL, dtype="float64")
    generator.fit(Own(images(), None, generator))
    assert_fitted_alike(generator, images(), 1e-12, **ALL)


def test_batches_are_standardized_afterwards(tree):
    generator = fastaug.ImageDataGenerator(**ALL)
    with generator.flow_from_directory(str(tree), target_size=(6, 5), batch_size=67) as flow:
        generator.fit(flow)
        x, _ = next(flow)
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=(0, 1, 2)), 1, atol=1e-5)


def test_whitened_batches_have_no_covariance():
    x = images(400, 3, 3)
    generator = fastaug.ImageDataGenerator(**WHITENING)
    flow = generator.flow(x, batch_size=400)
    generator.fit(flow)
    flat = next(flow).reshape(400, -1)
    np.testing.assert_allclose(flat.T @ flat / 400, np.eye(27), atol=1e-3)


# ---------------------------------------------------------------------------- refusals


def statistics(x, expected):
    found = fitting.Statistics(x.shape[1:], 2, expected, whitens=True)
    found.add(x)
    return found.whitening(found.mean, found.std, 1e-6)


def test_whitening_of_fewer_images_than_were_expected():
    """Others cannot be read: there are no more directions than images."""
    x = np.random.default_rng(0).random((5, 2, 2, 3)) * 255
    np.testing.assert_allclose(statistics(x, 100), statistics(x, 5), atol=1e-9)


def test_whitening_of_one_image_again_and_again():
    """Its other directions have a variance of zero, or what rounding leaves of it."""
    for seed in range(20):
        x = np.random.default_rng(seed).random((1, 2, 2, 3)) * 255
        assert np.isfinite(statistics(np.repeat(x, 20, axis=0), 100)).all()


def test_memory_is_counted_in_bytes(monkeypatch):
    psutil = pytest.importorskip("psutil")
    monkeypatch.setattr(fitting, "free_memory", lambda: None)
    there = psutil.virtual_memory().available
    assert there / 3 < fitting._available_memory() < 3 * there


def test_what_is_refused():
    generator = fastaug.ImageDataGenerator(**ALL)
    flow = generator.flow(images())
    with pytest.raises(ValueError, match="augments no images of an iterator"):
        generator.fit(flow, augment=True)
    first = fastaug.ImageDataGenerator(data_format="channels_first")
    with pytest.raises(ValueError, match="data_format='channels_last', and the generator 'channe"):
        first.fit(flow)
    with pytest.raises(TypeError, match="Iterator are known to nobody else"):
        generator.fit(fastaug.Iterator(4, 2, False, None))
    for other in (iter([images()]), keras_library().generator().flow(images())):
        with pytest.raises(TypeError, match="an iterator of fastaug"):
            generator.fit(other)


def test_a_folder_without_images(tmp_path):
    generator = fastaug.ImageDataGenerator(**ALL)
    with pytest.raises(ValueError, match="no images"):
        generator.fit(generator.flow_from_directory(str(tmp_path)))


def test_whitening_that_does_not_fit(tree):
    generator = fastaug.ImageDataGenerator(**WHITENING)
    with generator.flow_from_directory(str(tree), target_size=(900, 900)) as flow:
        with pytest.raises(MemoryError, match=r"900x900x3 .* 2430000 x 2430000 .*smaller images"):
            generator.fit(flow)
        assert generator.mean is None


def test_memory_that_nobody_knows_of(monkeypatch):
    monkeypatch.setattr(fitting, "_available_memory", lambda: None)
    generator = fastaug.ImageDataGenerator(**WHITENING)
    generator.fit(generator.flow(images()))
    assert generator.zca_whitening_matrix.shape == (351, 351)
    monkeypatch.undo()
    monkeypatch.setattr(fitting.pathlib.Path, "read_text", lambda *_: "MemTotal: 5 kB\n")
    assert fitting._available_memory() is None


# ---------------------------------------------------------------------------- progress


def test_progress_if_it_takes_long(monkeypatch):
    generator = fastaug.ImageDataGenerator(**ALL)
    flow = generator.flow(images(40), batch_size=10)
    for stream, seconds, shown in ((Terminal(), 0.0, True), (Terminal(), 60.0, False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(directory_module, "_SECONDS_UNTIL_PROGRESS", seconds)
        generator.fit(flow)
        assert (
            "fit: 10 of 40 images [=======                       ]" in stream.getvalue()
        ) == shown
        assert not shown or stream.getvalue().endswith("\r")


def test_the_output_of_a_notebook_shows_progress():
    kind = type("OutStream", (), {"__module__": "ipykernel.iostream"})
    assert directory_module._is_shown(kind())
    assert not directory_module._is_shown(object())


def test_an_interrupt_leaves_nothing_running(no_leaks, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    generator = fastaug.ImageDataGenerator(**ALL, workers=2)
    flow = generator.flow(images(200), batch_size=10)
    monkeypatch.setattr(fitting.Statistics, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generator.fit(flow)
    assert generator.mean is None
