"""Training, evaluating and predicting with Keras's own loops, on whatever backend it runs."""

import importlib.util
import json
import multiprocessing
import warnings

import keras
import numpy as np
import pytest
from reference import (
    STANDARD,
    TRANSFORM,
    Tolerance,
    assert_batches_equal,
    images,
    keras_library,
    run_both,
    take,
)
from scripts import run_script
from trees import plain_tree

import fastaug

SETTINGS = {
    "rotation_range": 20,
    "width_shift_range": 0.1,
    "horizontal_flip": True,
    "rescale": 1 / 255,
}
PIXELS = TRANSFORM.scaled(1 / 255)
LABELS = np.arange(10) % 3


@pytest.fixture(autouse=True)
def _warnings_inside_keras():
    """The backend's own deprecations are not ours; a warning of fastaug still fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="fastaug")
        yield


def build_model(outputs=3, shape=(9, 13, 3)):
    """A tiny model, each time with the same weights, and Keras's shuffling of batches restarted."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.layers.Input(shape),
            keras.layers.Conv2D(2, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=1)),
            keras.layers.Flatten(),
            keras.layers.Dense(
                outputs,
                activation="softmax",
                kernel_initializer=keras.initializers.GlorotUniform(seed=2),
            ),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def recording_flow(library, *arguments, settings=SETTINGS, **flow):
    """A flow that notes every item that Keras's loop fetches from it."""

    class Recording(library.NumpyArrayIterator):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            self.fetched.append((index, batch))
            return batch

    iterator = Recording(*arguments, library.generator(**settings), **flow)
    iterator.fetched = []
    return iterator


@pytest.mark.parametrize("seed", [None, 6])
@pytest.mark.parametrize(
    "options", [{}, {"workers": 0, "prefetch": 0}, {"workers": 2, "prefetch": 4}], ids=str
)
def test_fit(seed, options):
    """Every batch that training and validation fetch, the losses, and the counters after it."""

    def scenario(library):
        training = recording_flow(library, images(), LABELS, batch_size=4, shuffle=True, seed=seed)
        validation = recording_flow(
            library,
            images(n=6, seed=1),
            LABELS[:6],
            settings={"rescale": 1 / 255},
            batch_size=4,
        )
        model = build_model()
        history = model.fit(training, validation_data=validation, epochs=2, verbose=0).history
        library.close(training)
        library.close(validation)
        shown = [(it.batch_index, it.total_batches_seen) for it in (training, validation)]
        return training.fetched, validation.fetched, history, shown

    actual, expected = run_both(scenario, options=options, stream=None)
    if expected.error is not None:
        raise expected.error
    for a, e, least in zip(actual.value[:2], expected.value[:2], (6, 4), strict=True):
        assert [index for index, _ in a] == [index for index, _ in e]
        assert len(e) >= least
        assert_batches_equal([batch for _, batch in a], [batch for _, batch in e], PIXELS)
    assert set(actual.value[2]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    for name, values in expected.value[2].items():
        np.testing.assert_allclose(actual.value[2][name], values, rtol=1e-3, err_msg=name)
    assert actual.value[3] == expected.value[3]


def test_fit_with_weights():
    def scenario(library):
        generator = library.generator(**SETTINGS)
        iterator = generator.flow(
            images(), LABELS, sample_weight=np.linspace(0, 2, 10), batch_size=4, seed=2
        )
        history = build_model().fit(iterator, epochs=2, verbose=0).history
        library.close(iterator)
        return history

    actual, expected = run_both(scenario, stream=None)
    if expected.error is not None:
        raise expected.error
    assert len(expected.value["loss"]) == 2
    np.testing.assert_allclose(actual.value["loss"], expected.value["loss"], rtol=1e-3)


def test_a_plain_loop_over_next_with_train_on_batch():
    def scenario(library):
        iterator = library.generator(**SETTINGS).flow(images(), LABELS, batch_size=4, seed=2)
        model = build_model()
        losses = [float(model.train_on_batch(*next(iterator))[0]) for _ in range(4)]
        library.close(iterator)
        return losses

    actual, expected = run_both(scenario, stream=None)
    assert len(set(expected.value)) == 4
    np.testing.assert_allclose(actual.value, expected.value, rtol=1e-3)


@pytest.mark.parametrize("seed", [None, 6])
def test_predict_and_evaluate(seed):
    """A model that returns its input shows the batches that it was given."""

    def scenario(library):
        generator = library.generator(**SETTINGS)
        inputs = keras.layers.Input((9, 13, 3))
        identity = keras.Model(inputs, keras.layers.Identity()(inputs))
        iterator = generator.flow(images(), batch_size=4, seed=seed)
        shown = [np.asarray(identity.predict(iterator, verbose=0)) for _ in range(2)]
        library.close(iterator)
        iterator = generator.flow(images(), LABELS, batch_size=4, seed=seed)
        scores = build_model().evaluate(iterator, verbose=0)
        library.close(iterator)
        return shown, scores

    actual, expected = run_both(scenario, stream="keras" if seed is None else None)
    if expected.error is not None:
        raise expected.error
    assert [len(batch) for batch in expected.value[0]] == [10, 10]
    assert_batches_equal(actual.value[0], expected.value[0], PIXELS)
    np.testing.assert_allclose(actual.value[1], expected.value[1], rtol=1e-3)


def test_two_inputs():
    """Keras's loops refuse lists of inputs from a dataset, its methods for one batch do not."""

    def scenario(library):
        image, number = keras.layers.Input((9, 13, 3)), keras.layers.Input((2,))
        flat = keras.layers.Flatten()(image)
        model = keras.Model([image, number], keras.layers.Concatenate()([flat, number]))
        iterator = library.generator(**SETTINGS).flow(
            [images(), np.arange(20.0).reshape(10, 2)], LABELS, batch_size=4, seed=1
        )
        results = [np.asarray(model.predict_on_batch(next(iterator)[0])) for _ in range(3)]
        library.close(iterator)
        return results

    actual, expected = run_both(scenario, stream=None)
    if expected.error is not None:
        raise expected.error
    assert expected.value[0].shape == (4, 9 * 13 * 3 + 2)
    assert_batches_equal(actual.value, expected.value, PIXELS)


def test_fit_on_a_dataset_with_several_workers():
    """Keras's own threads may fetch the items; each comes once an epoch."""
    x, seen = images(n=24), []

    class Recording(fastaug.NumpyArrayIterator):
        def _get_batches_of_transformed_samples(self, index_array):
            batch = super()._get_batches_of_transformed_samples(index_array)
            seen.append(tuple(index_array))
            return batch

    generator = fastaug.ImageDataGenerator(**SETTINGS)
    with Recording(x, np.arange(24) % 3, generator, batch_size=4, seed=1) as iterator:
        iterator.workers = 3
        build_model().fit(iterator, epochs=1, verbose=0)
    once = {tuple(range(i, i + 4)) for i in range(0, 24, 4)}
    assert set(seen) == once


# --------------------------------------------------------------------- the original article


def preprocess_img(img):
    img = img.astype(np.float32) / 255.0
    img -= 0.5
    img *= 2
    return img


ARTICLE = {
    "featurewise_center": False,
    "samplewise_center": False,
    "featurewise_std_normalization": False,
    "samplewise_std_normalization": False,
    "zca_whitening": False,
    "rotation_range": 45,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "shear_range": 0.0,
    "zoom_range": 0,
    "channel_shift_range": 0,
    "fill_mode": "nearest",
    "cval": 0.0,
    "horizontal_flip": True,
    "vertical_flip": False,
    "rescale": None,
    "preprocessing_function": preprocess_img,
}


def test_the_program_of_the_article_runs_unchanged():
    x, y = images(n=32, height=32, width=32), np.eye(2)[np.arange(32) % 2]
    pool = multiprocessing.get_context("spawn").Pool(4)
    try:
        gen = fastaug.ImageDataGenerator(**ARTICLE, dim_ordering="default", pool=pool)
        gen.fit(x)
        flow = gen.flow(x, y, seed=0)
        batches = take(flow, 3)
        flow.close()
    finally:
        pool.terminate()
        pool.join()
    theirs = keras_library().generator(**ARTICLE)
    expected = take(theirs.flow(x, y, seed=0), 3)
    assert_batches_equal(batches, expected, Tolerance(absolute=0.01 / 127.5, relative=1e-5))
    assert -1 <= batches[0][0].min() < -0.9 and 0.9 < batches[0][0].max() <= 1


def test_the_generator_of_the_article_trains_a_model():
    def scenario(library):
        generator = library.generator(**ARTICLE)
        generator.fit(images())
        iterator = generator.flow(images(), LABELS, batch_size=4, seed=0)
        history = build_model().fit(iterator, epochs=2, verbose=0).history
        library.close(iterator)
        return history["loss"]

    actual, expected = run_both(
        scenario, options={"pool": 2, "dim_ordering": "default"}, stream=None
    )
    if expected.error is not None:
        raise expected.error
    np.testing.assert_allclose(actual.value, expected.value, rtol=1e-3)


def test_standardized_flows_train_as_in_keras():
    settings = SETTINGS | {"featurewise_center": True, "featurewise_std_normalization": True}

    def scenario(library):
        generator = library.generator(**settings)
        generator.fit(images(n=60, seed=4))
        iterator = generator.flow(images(), LABELS, batch_size=4, seed=0)
        batches = take(iterator, 2)
        history = build_model().fit(iterator, epochs=1, verbose=0).history
        library.close(iterator)
        return batches, history["loss"]

    actual, expected = run_both(scenario, stream=None)
    tolerance = Tolerance(absolute=0.01 / 60, relative=STANDARD.relative)
    assert_batches_equal(actual.value[0], expected.value[0], tolerance)
    np.testing.assert_allclose(actual.value[1], expected.value[1], rtol=1e-3)


# --------------------------------------------------------------------- other backends

OTHER_BACKEND = """
import json, sys, warnings
sys.modules["tensorflow"] = sys.modules["tf_keras"] = None  # as if they were not installed
import numpy as np
import fastaug
import keras
from keras.src.legacy.preprocessing import image as legacy

warnings.simplefilter("ignore")
x, y, folder = np.load(sys.argv[1] + "/x.npy"), np.arange(10) % 3, sys.argv[1] + "/tree"
SETTINGS = dict(rotation_range=20, width_shift_range=0.1, horizontal_flip=True, rescale=1 / 255)

def model(outputs, activation="softmax"):
    keras.utils.set_random_seed(5)
    layers = keras.layers
    net = keras.Sequential([
        layers.Input(x.shape[1:]), layers.Flatten(),
        layers.Dense(outputs, activation=activation,
                     kernel_initializer=keras.initializers.GlorotUniform(seed=2))])
    loss = "sparse_categorical_crossentropy" if outputs == 3 else "binary_crossentropy"
    net.compile(keras.optimizers.SGD(0.01), loss=loss)
    return net

found = {"backend": keras.config.backend(), "tensorflow": sys.modules["tensorflow"] is not None}
for library, own in ((fastaug, dict(workers=2)), (legacy, {})):
    generator = library.ImageDataGenerator(**SETTINGS, **own)
    plain = library.ImageDataGenerator(rescale=1 / 255, **own)
    arrays = model(3).fit(
        generator.flow(x, y, batch_size=4, seed=3), epochs=2, verbose=0,
        validation_data=plain.flow(x, y, batch_size=4, shuffle=False)).history
    files = generator.flow_from_directory(
        folder, target_size=x.shape[1:3], batch_size=4, seed=3, class_mode="binary")
    files = model(1, "sigmoid").fit(files, epochs=2, verbose=0).history
    found["fastaug" if library is fastaug else "keras"] = arrays, files
with open(sys.argv[1] + "/found.json", "w") as file:
    json.dump(found, file)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_fit_on_other_backends_without_tensorflow(backend, tmp_path):
    """The losses that Keras's own generator leads to, from arrays and from files."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    np.save(tmp_path / "x.npy", images())
    plain_tree(tmp_path / "tree", counts=(5, 4))
    done = run_script(
        OTHER_BACKEND,
        keras=True,
        timeout=120,
        arguments=[tmp_path],
        environment={"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["backend"], found["tensorflow"]) == (backend, False)
    for actual, expected, names in zip(
        found["fastaug"], found["keras"], [{"loss", "val_loss"}, {"loss"}], strict=True
    ):
        assert set(actual) == set(expected) == names
        for name in names:
            assert len(set(expected[name])) == 2
            np.testing.assert_allclose(actual[name], expected[name], rtol=1e-3, err_msg=name)
