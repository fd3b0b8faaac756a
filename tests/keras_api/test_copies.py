"""Copies of iterators, by `copy`, `pickle` and to other processes: at the same position."""

import copy
import multiprocessing
import pickle
import threading

import cloudpickle
import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import trees
from reference import GEOMETRY, assert_batches_equal, assert_same, images, keras_image, take

import fastaug
from fastaug.data import carried

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda flow: pickle.loads(pickle.dumps(flow)),
    "old pickle": lambda flow: pickle.loads(pickle.dumps(flow, protocol=2)),
    "cloudpickle": lambda flow: pickle.loads(cloudpickle.dumps(flow)),
}
ways = pytest.mark.parametrize("duplicate", WAYS.values(), ids=WAYS.keys())
SEEDS = pytest.mark.parametrize("seed", [None, 5])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.plain_tree(tmp_path_factory.mktemp("plain"))


def halve(image):
    return image * np.float32(np.random.random())


def array_flow(tree, seed, **settings):
    generator = fastaug.ImageDataGenerator(**GEOMETRY | settings)
    x = (images(13), np.arange(26).reshape(13, 2))
    return generator.flow(x, np.arange(13), batch_size=4, seed=seed, sample_weight=np.ones(13))


def directory_flow(tree, seed, decoder="threads", **settings):
    generator = fastaug.ImageDataGenerator(**GEOMETRY | settings)
    return generator.flow_from_directory(
        str(tree), target_size=(9, 11), batch_size=4, seed=seed, decoder=decoder
    )


def process_flow(tree, seed, **settings):
    return directory_flow(tree, seed, "processes", **settings)


def frame_flow(tree, seed, **settings):
    paths = sorted(str(path) for path in tree.glob("*/*.jpg"))
    frame = pd.DataFrame({"filename": paths, "a": np.arange(13.0), "b": np.arange(13)})
    generator = fastaug.ImageDataGenerator(**GEOMETRY | settings)
    return generator.flow_from_dataframe(
        frame,
        y_col=["a", "b"],
        class_mode="multi_output",
        weight_col="a",
        target_size=(9, 11),
        batch_size=4,
        seed=seed,
        decoder="threads",
    )


FLOWS = [array_flow, directory_flow, frame_flow]
flows = pytest.mark.parametrize("make", FLOWS, ids=lambda make: make.__name__)

POSITIONS = {
    "the beginning": lambda flow: None,
    "an epoch": lambda flow: take(flow, 2),
    "the end of an epoch": lambda flow: take(flow, len(flow)),
    "an item": lambda flow: [flow[2], flow[0]],
    "a new order": lambda flow: (next(flow), flow.on_epoch_end()),
    "a reset": lambda flow: (next(flow), flow.reset()),
    "a closed one": lambda flow: (next(flow), flow.close()),
}


def walk(flow):
    np.random.seed(8)
    batches = take(flow, 5)
    flow.on_epoch_end()
    batches += [flow[1], next(flow)]
    return batches, (flow.batch_index, flow.total_batches_seen, flow.index_array)


def assert_goes_on_alike(ours, theirs):
    with ours, theirs:
        actual, expected = walk(ours), walk(theirs)
    assert_batches_equal(actual[0], expected[0])
    assert_same(actual[1], expected[1])


@flows
@SEEDS
@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS.keys())
def test_a_copy_goes_on_where_the_iterator_stands(tree, make, seed, way, position):
    np.random.seed(3)
    flow = make(tree, seed)
    position(flow)
    copied = WAYS[way](flow)
    assert type(copied) is type(flow) and copied is not flow
    assert repr(copied) == repr(flow)
    assert_goes_on_alike(copied, flow)


@SEEDS
@ways
def test_a_copy_while_processes_decode(tree, seed, duplicate):
    np.random.seed(3)
    flow = process_flow(tree, seed)
    take(flow, 2)
    assert_goes_on_alike(duplicate(flow), flow)


@SEEDS
@ways
@pytest.mark.parametrize(
    "settings",
    [{"workers": 0}, {"preprocessing_function": halve}, {"dtype": "float64"}, {"prefetch": 0}],
    ids=str,
)
def test_other_settings(tree, seed, duplicate, settings):
    for make in (array_flow, directory_flow):
        flow = make(tree, seed, **settings)
        np.random.seed(3)
        take(flow, 2)
        assert_goes_on_alike(duplicate(flow), flow)


@ways
def test_neither_of_the_two_moves_the_other(tree, duplicate):
    for make in (array_flow, directory_flow):
        flow = make(tree, 5)
        expected = take(make(tree, 5), 6)
        first = take(flow, 2)
        copied = duplicate(flow)
        mixed = [(next(copied), next(flow)) for _ in range(4)]
        assert_batches_equal([*first, *(ours for ours, _ in mixed)], expected)
        assert_batches_equal([*first, *(theirs for _, theirs in mixed)], expected)
        copied.index_array[:] = 0
        copied.batch_size = 7
        assert flow.index_array.any() and flow.batch_size == 4


@ways
def test_what_is_set_in_a_copy_stays_there(tree, duplicate):
    flow = directory_flow(tree, 5)
    copied = duplicate(flow)
    copied.classes = np.zeros(13, dtype="int32")
    copied._filepaths = copied.filepaths[:1] * 13
    copied.bad_files.append("x")
    assert flow.classes.any() and not flow.bad_files
    assert len(set(flow.filepaths)) == 13 and len(set(copied.filepaths)) == 1
    assert next(copied)[1].argmax(axis=1).tolist() == [0] * 4


def test_a_copy_shares_the_images_and_the_generator():
    flow = array_flow(None, 1)
    copied = copy.copy(flow)
    assert copied.x is flow.x and copied.image_data_generator is flow.image_data_generator
    copied.x = copied.x[:, :5]
    assert flow.x.shape[1] == 9 and next(copied)[0][0].shape[1] == 5


def test_attributes_of_a_subclass_come_along():
    class Own(fastaug.NumpyArrayIterator):
        def _get_batches_of_transformed_samples(self, index_array):
            return super()._get_batches_of_transformed_samples(index_array) + self.more

    flow = Own(images(), None, fastaug.ImageDataGenerator(), batch_size=4)
    flow.more = 1000
    next(flow)
    assert_batches_equal(take(copy.deepcopy(flow), 3), take(flow, 3))
    assert_batches_equal(take(copy.copy(flow), 3), take(flow, 3))


# ----------------------------------------------------------------------- generators

#: Arguments that Keras does not have.
OWN = {"workers": 3, "prefetch": 5, "warp": "fused"}

DUPLICATES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {k}": lambda generator, k=k: pickle.loads(pickle.dumps(generator, k))
        for k in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}
duplicates = pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=DUPLICATES.keys())


class WithALock(fastaug.ImageDataGenerator):
    """Leaves out of a copy what cannot be copied, as the documentation of `pickle` shows it."""

    lock = None

    def __getstate__(self):
        state = self.__dict__.copy()
        del state["lock"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.lock = threading.Lock()


@duplicates
@pytest.mark.parametrize("kind", [fastaug.ImageDataGenerator, WithALock])
@pytest.mark.parametrize("given", [{}, *({name: value} for name, value in OWN.items()), OWN])
def test_a_generator_with_options_of_fastaug_s(duplicate, kind, given):
    generator = kind(rotation_range=5, validation_split=0.25, **given)
    generator.lock = threading.Lock() if kind is WithALock else None
    generator.mean = np.ones(3)
    copied = duplicate(generator)
    assert repr(copied) == repr(generator)
    defaults = fastaug.ImageDataGenerator()
    for name in OWN:
        assert getattr(copied, name) == given.get(name, getattr(defaults, name))
    assert copied.mean.tolist() == [1, 1, 1] and copied._threads == generator._threads
    copied.workers = 7
    assert copied._threads == 7 != generator._threads
    assert defaults.workers is None


@duplicates
def test_a_copy_has_as_many_threads_as_a_pool(duplicate):
    generator = fastaug.ImageDataGenerator(pool=5)
    copied = duplicate(generator)
    assert generator.pool == 5 and copied.pool is None
    assert copied._threads == generator._threads == 5


def test_options_that_a_subclass_sets_before():
    class Own(fastaug.ImageDataGenerator):
        prefetch = 9

        def __init__(self, **arguments):
            self.workers, self.warp = 3, "opencv"
            super().__init__(**arguments)

    assert Own().workers is None and Own().warp == "auto" and Own().prefetch == 2
    assert Own(workers=1).workers == 1 and Own(prefetch=9).prefetch == 9


def test_attributes_of_an_instance():
    """Python 3.11 keeps 29 where it finds them fast, even if something is drawn."""
    generator = fastaug.ImageDataGenerator(workers=2)
    generator.random_transform(images()[0])
    assert len(vars(generator)) <= 29
    assert (
        vars(fastaug.ImageDataGenerator()).keys() <= vars(keras_image.ImageDataGenerator()).keys()
    )


# --------------------------------------------------------------------- the base class


class Numbers(fastaug.Iterator):
    def _get_batches_of_transformed_samples(self, index_array):
        return index_array * 10 + np.random.randint(10)


@SEEDS
@ways
def test_the_base_class(seed, duplicate):
    flow = Numbers(13, 4, True, seed)
    np.random.seed(2)
    take(flow, 2)
    copied = duplicate(flow)
    np.random.seed(3)
    actual = take(copied, 5)
    np.random.seed(3)
    assert_same(actual, take(flow, 5))
    assert copied.workers == flow.workers


def test_an_iterator_with_a_pool_of_the_user_s(tree):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        flow = directory_flow(tree, 5, "processes", pool=pool)
        take(flow, 2)
        copied = pickle.loads(pickle.dumps(flow))
        assert copied.image_data_generator.pool is None
        assert_goes_on_alike(copied, flow)


def in_another_process(flow, connection):
    connection.send(take(flow, 3))
    flow.close()


@pytest.mark.parametrize("make", [array_flow, process_flow], ids=lambda make: make.__name__)
def test_a_spawned_process(tree, make):
    run_spawned(make(tree, 5))


def run_spawned(flow):
    take(flow, 2)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=in_another_process, args=(flow, theirs))
    process.start()
    try:
        assert ours.poll(120)
        assert_batches_equal(ours.recv(), take(flow, 3))
    finally:
        process.join(60)
        flow.close()
    assert process.exitcode == 0


def test_copies_in_threads():
    flow = array_flow(None, 5)
    next(flow)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(take(copy.copy(flow), 4))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = take(flow, 4)
    assert len(results) == 4
    for result in results:
        assert_batches_equal(result, expected)


def test_a_copy_trains():
    x, y = images(), np.arange(10.0)
    flow = fastaug.ImageDataGenerator(rescale=1 / 255).flow(x, y, batch_size=4, seed=1)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with copy.deepcopy(flow) as copied:  # TensorFlow holds on to it
        assert np.isfinite(model.evaluate(copied, verbose=0))


# ---------------------------------------------------------------------------- arrays on the disk


MAPPED = {
    "rows": lambda x: x[3:],
    "every other": lambda x: x[::2],
    "backwards": lambda x: x[::-1],
    "a part of each": lambda x: x[:, 1:7, 2:],
    "channels first": lambda x: x.transpose(0, 3, 1, 2),
    "no subclass": np.asarray,
    "a part of no subclass": lambda x: np.asarray(x)[1:],
    "other type": lambda x: x.view("int8"),
}
ON_DISK = pytest.mark.parametrize("part", [lambda x: x, *MAPPED.values()], ids=["all", *MAPPED])


def on_disk(folder, mode="r", **options):
    """Images from some place in a file on."""
    x = images(40, 9, 12)
    (folder / "x").write_bytes(bytes(5000) + x.tobytes())
    return np.memmap(folder / "x", "uint8", mode, offset=5000, shape=x.shape, **options)


@ON_DISK
@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_of_a_memmap_only_its_place_is_carried(tmp_path, way, mode, part):
    x = part(on_disk(tmp_path, mode))
    layout = "channels_first" if x.shape[1] == 3 else "channels_last"
    generator = fastaug.ImageDataGenerator(data_format=layout)
    flow = generator.flow((x, x), x, batch_size=4, seed=3, sample_weight=x[:, 0, 0, 0])
    next(flow)
    if "pickle" in way:
        assert len(pickle.dumps(flow)) < 10_000
    copied = WAYS[way](flow)
    for array in (copied.x, copied.y, copied.x_misc[0]):
        np.testing.assert_array_equal(array, x)
        assert type(array) is type(x) or array is not copied.x
        assert array.strides == x.strides and array.flags.writeable == (mode == "r+")
        assert np.shares_memory(array, x) == (way == "deepcopy")
    assert_goes_on_alike(copied, flow)


def test_a_copy_of_a_copy_of_a_memmap(tmp_path):
    flow = fastaug.ImageDataGenerator().flow(on_disk(tmp_path)[5:25], seed=1, batch_size=4)
    copied = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(flow))))
    assert copied.x.filename == flow.x.filename
    assert_goes_on_alike(copied, flow)


def test_a_memmap_of_columns_first(tmp_path):
    x = on_disk(tmp_path, order="F")
    flow = fastaug.ImageDataGenerator().flow(x, seed=1, batch_size=4)
    assert len(pickle.dumps(flow)) < 10_000
    assert_goes_on_alike(pickle.loads(pickle.dumps(flow)), flow)


def test_what_was_written_in_the_memory_alone_is_carried(tmp_path):
    x = on_disk(tmp_path, "c")
    x[:] = 3
    for duplicate in (WAYS["pickle"], copy.deepcopy):
        assert (duplicate(fastaug.ImageDataGenerator().flow(x)).x == 3).all()


def test_a_memmap_that_made_its_file_is_opened_and_not_made_again(tmp_path):
    x = np.memmap(tmp_path / "x", "uint8", "w+", shape=(8, 9, 12, 3))
    x[:] = images(8, 9, 12)
    flow = fastaug.ImageDataGenerator().flow(x, seed=1, batch_size=4)
    assert len(pickle.dumps(flow)) < 10_000
    copied = pickle.loads(pickle.dumps(flow))
    assert x.any() and copied.x.flags.writeable
    assert_goes_on_alike(copied, flow)


def test_addresses_of_objects_are_not_carried_by_their_place(tmp_path):
    x = np.memmap(tmp_path / "x", object, "w+", shape=(2,))
    assert carried._place_in_a_file(x) is None


def test_a_memmap_whose_file_is_gone_is_carried(tmp_path):
    x = on_disk(tmp_path)
    flow = fastaug.ImageDataGenerator().flow(x, seed=1, batch_size=4)
    (tmp_path / "x").unlink()
    assert_goes_on_alike(pickle.loads(pickle.dumps(flow)), flow)


def test_the_file_of_a_memmap_is_missing_where_it_is_opened(tmp_path):
    pickled = pickle.dumps(fastaug.ImageDataGenerator().flow(on_disk(tmp_path)))
    (tmp_path / "x").unlink()
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "x")):
        pickle.loads(pickled)


def test_a_memmap_in_a_spawned_process(tmp_path):
    run_spawned(fastaug.ImageDataGenerator().flow(on_disk(tmp_path, "r+"), seed=5, batch_size=4))


@pytest.mark.parametrize("subset", [None, "training", "validation"])
def test_of_a_data_set_of_hdf5_only_its_place_is_carried(tmp_path, subset, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("x.h5", "w") as file:
        file["deep/x"] = images(40)
    with h5py.File("x.h5", "r") as file:  # a relative path
        generator = fastaug.ImageDataGenerator(validation_split=0.2)
        flow = generator.flow(file["deep/x"], batch_size=4, seed=3, subset=subset)
        next(flow)
        pickled = pickle.dumps(flow)
        assert len(pickled) < 10_000
        monkeypatch.chdir("/")
        assert_goes_on_alike(pickle.loads(pickled), copy.copy(flow))
        assert_goes_on_alike(copy.deepcopy(flow), flow)


def test_a_data_set_of_hdf5_in_a_spawned_process(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = images(40)
    with h5py.File(tmp_path / "x.h5", "r") as file:
        run_spawned(fastaug.ImageDataGenerator().flow(file["x"], seed=5, batch_size=4))


def test_a_data_set_of_hdf5_that_is_in_no_file(tmp_path):
    with h5py.File(tmp_path / "none.h5", "w", driver="core", backing_store=False) as file:
        file["x"] = images(8)
        flow = fastaug.ImageDataGenerator().flow(file["x"], batch_size=4, seed=1)
        with pytest.raises(TypeError, match="h5py objects cannot be pickled"):
            pickle.dumps(flow)
        assert_goes_on_alike(copy.copy(flow), flow)
