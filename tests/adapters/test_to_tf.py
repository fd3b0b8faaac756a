"""`to_tf`: the batches of an iterator as a dataset of TensorFlow, epoch by epoch."""

import keras
import numpy as np
import pandas as pd
import pytest
from reference import assert_same, images
from trees import empty, plain_tree
from waiting import wait_until

import fastaug

tf = pytest.importorskip("tensorflow")

SETTINGS = {"rotation_range": 30, "horizontal_flip": True}
N, BATCH = 10, 4  # three batches, the last one short


def array_flow(*labels, x=None, batch_size=BATCH, seed=3, settings=SETTINGS, **options):
    x = images(n=N) if x is None else x
    generator = fastaug.ImageDataGenerator(**settings)
    return generator.flow(x, *labels, batch_size=batch_size, seed=seed, **options)


def as_arrays(batch):
    """A batch of tensors as one of arrays, in the same structure."""
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)


def assert_epochs(dataset, iterator, epochs=2):
    """The dataset gives what the iterator does, in its structure, and says so before."""
    for _ in range(epochs):
        batches = list(dataset)
        assert len(batches) == len(dataset) == len(iterator) > 1
        for batch in batches:
            expected = next(iterator)
            assert_same(as_arrays(batch), expected)
            told = tf.nest.map_structure(
                lambda spec: (spec.dtype, spec.shape[1:]), dataset.element_spec
            )
            found = tf.nest.map_structure(lambda each: (each.dtype, each.shape[1:]), batch)
            assert told == found
            assert all(spec.shape[0] is None for spec in tf.nest.flatten(dataset.element_spec))


FLOWS = {
    "images alone": lambda **o: array_flow(**o),
    "labels": lambda **o: array_flow(np.arange(N), **o),
    "labels of several numbers": lambda **o: array_flow(np.eye(N, dtype="float64"), **o),
    "weights": lambda **o: array_flow(
        np.arange(N) > 3, sample_weight=np.linspace(0, 1, N).astype("float32"), **o
    ),
    "another input": lambda **o: array_flow(
        np.arange(N), x=(images(n=N), np.arange(2 * N).reshape(N, 2)), **o
    ),
    "bytes": lambda **o: array_flow(settings=SETTINGS | {"dtype": "uint8"}, **o),
    "float64": lambda **o: array_flow(settings={"dtype": "float64"}, **o),
    "channels first": lambda **o: array_flow(
        x=images(n=N, data_format="channels_first"),
        settings=SETTINGS | {"data_format": "channels_first"},
        **o,
    ),
    "cropped": lambda **o: array_flow(settings={"augment": fastaug.RandomCrop(8)}, **o),
    "in order": lambda **o: array_flow(np.arange(N), shuffle=False, **o),
}


@pytest.mark.parametrize("kind", FLOWS)
def test_batches_of_arrays(kind):
    with FLOWS[kind]() as flow, FLOWS[kind]() as plain:
        assert_epochs(flow.to_tf(), plain)


@pytest.mark.parametrize("class_mode", ["categorical", "binary", "sparse", "input", None])
def test_batches_of_folders(class_mode, tmp_path):
    root = plain_tree(tmp_path, counts=(5, 4))

    def flow():
        generator = fastaug.ImageDataGenerator(**SETTINGS)
        return generator.flow_from_directory(
            root, target_size=(12, 14), class_mode=class_mode, batch_size=BATCH, seed=3
        )

    with flow() as one, flow() as plain:
        assert_epochs(one.to_tf(), plain)


@pytest.mark.parametrize(
    ("class_mode", "y_col"),
    [
        ("raw", "number"),
        ("raw", ["number", "part"]),
        ("multi_output", ["number", "part"]),
        ("sparse", "name"),
    ],
    ids=str,
)
def test_batches_of_dataframes(class_mode, y_col, tmp_path):
    root = plain_tree(tmp_path, counts=(5, 4))
    files = sorted(str(path) for path in root.rglob("*.jpg"))
    frame = pd.DataFrame(
        {
            "filename": files,
            "number": range(9),
            "part": np.linspace(0, 1, 9),
            "name": list("abcabcabc"),
        }
    )

    def flow():
        generator = fastaug.ImageDataGenerator(**SETTINGS)
        return generator.flow_from_dataframe(
            frame, y_col=y_col, target_size=(12, 14), class_mode=class_mode, batch_size=BATCH,
            seed=3, weight_col="part",
        )  # fmt: skip

    with flow() as one, flow() as plain:
        assert_epochs(one.to_tf(), plain)


def test_without_a_seed_it_goes_on_in_numpy_s_stream():
    with array_flow(seed=None) as flow, array_flow(seed=None) as plain:
        np.random.seed(5)
        found = [as_arrays(batch) for _ in range(2) for batch in flow.to_tf()]
        np.random.seed(5)
        assert_same(found, [next(plain) for _ in range(6)])


def test_an_iteration_that_is_left_is_an_epoch():
    with array_flow() as flow, array_flow() as plain:
        epochs = [[next(plain) for _ in range(3)] for _ in range(4)]
        next(flow)
        dataset = flow.to_tf()
        assert_same([as_arrays(batch) for batch in dataset], epochs[1])
        for _ in dataset:
            break
        assert_same([as_arrays(batch) for batch in dataset], epochs[3])


def test_large_batches_are_handed_over_as_they_lie(monkeypatch):
    x = images(n=12, height=200, width=220)
    with array_flow(x=x) as flow, array_flow(x=x) as plain:
        places = []
        original = type(flow).__next__

        def recording(self):
            batch = original(self)
            places.append(batch.ctypes.data)
            return batch

        monkeypatch.setattr(type(flow), "__next__", recording)
        batches = list(flow.to_tf())
        monkeypatch.undo()
        lying = [tf.experimental.dlpack.to_dlpack(batch) for batch in batches]
        assert [np.from_dlpack(_Capsule(each)).ctypes.data for each in lying] == places
        # none was used again while somebody had it
        assert_same([batch.numpy() for batch in batches], [next(plain) for _ in range(3)])


class _Capsule:
    """What NumPy takes a tensor of."""

    def __init__(self, capsule):
        self._capsule = capsule

    def __dlpack__(self, **_):
        return self._capsule

    def __dlpack_device__(self):
        return 1, 0  # the processor


@pytest.mark.parametrize("prefetch", [0, 2])
def test_options(prefetch):
    with array_flow(settings={"prefetch": prefetch}, batch_size=1) as flow:
        dataset = flow.to_tf()
        assert dataset.options().autotune.enabled is False
        iterator = iter(dataset)
        next(iterator)
        asked = 1 + prefetch
        wait_until(lambda: flow.total_batches_seen >= asked, "TensorFlow has read ahead")
        assert flow.total_batches_seen == asked
        for _ in iterator:
            pass


def test_fit_needs_no_number_of_steps():
    x, y = images(n=N), np.arange(N) % 3
    model = keras.Sequential(
        [keras.layers.Input(x.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    seen = []
    counting = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: seen.append(step)
    )
    settings = SETTINGS | {"rescale": 1 / 255}
    with array_flow(y, x=x, settings=settings) as flow:
        history = model.fit(flow.to_tf(), epochs=2, shuffle=False, verbose=0, callbacks=[counting])
        assert seen == [0, 1, 2] * 2
        assert np.isfinite(history.history["loss"]).all()
        assert flow.total_batches_seen == 6


def test_a_file_that_cannot_be_read(tmp_path):
    root = plain_tree(tmp_path, counts=(5,))
    empty(root / "ants" / "0.jpg")
    generator = fastaug.ImageDataGenerator()
    flow = generator.flow_from_directory(root, target_size=(8, 9), batch_size=8)
    with flow, pytest.raises(tf.errors.OpError, match=r"0\.jpg"):
        list(flow.to_tf())


def test_a_subclass_with_batches_of_its_own_is_refused():
    class Own(fastaug.NumpyArrayIterator):
        def _get_batches_of_transformed_samples(self, index_array):
            return super()._get_batches_of_transformed_samples(index_array) + 1

    flow = Own(images(n=N), None, fastaug.ImageDataGenerator())
    with flow, pytest.raises(TypeError, match="The batches of a Own are known to nobody else"):
        flow.to_tf()
