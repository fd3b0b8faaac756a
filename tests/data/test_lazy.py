"""Arrays that are not in memory: Keras's batches, of rows that are read when they are due."""

import copy
import pickle
import threading
import warnings

import h5py
import numpy as np
import pytest
from execution import EXECUTIONS, open_execution
from reference import (
    EXACT,
    GEOMETRY,
    TRANSFORM,
    assert_batches_equal,
    assert_same,
    assert_same_error,
    images,
    run_both,
    take,
)

import fastaug
from fastaug.data.lazy import LazyArray, lazily

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import dask.array
    import dask.callbacks
    import zarr

N, BATCH = 23, 5
LABELS = np.arange(N) % 3


class Recorded:
    """An array that notes which rows it was asked for, and gives none but by slices.

    Args:
        values: What is in it.
        rows: Rows of a chunk, or None.
        fails: How many reads fail first.
    """

    def __init__(self, values, rows=None, fails=0):
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.chunks = None if rows is None else (rows, *values.shape[1:])
        self.reads = []
        self.threads = set()
        self._fails = fails

    def __len__(self):
        return len(self._values)

    def __getitem__(self, key):
        assert type(key) is slice and key.step is None, key
        assert 0 <= key.start < key.stop <= len(self), key
        if self._fails:
            self._fails -= 1
            raise OSError("the disk is gone")
        self.reads.append((key.start, key.stop))
        self.threads.add(threading.current_thread().name)
        return self._values[key]

    def __array__(self, *_, **__):
        raise AssertionError("read as a whole")


def in_h5py(**options):
    def store(values, folder):
        file = h5py.File(folder / f"{len(list(folder.iterdir()))}.h5", "w")
        return file.create_dataset("x", data=values, **options)

    return store


def in_zarr(values, folder, **options):
    path = str(folder / f"{len(list(folder.iterdir()))}.zarr")
    zarr.create_array(path, data=values, **options)
    return zarr.open_array(path, mode="r")


def chunk(values, rows):
    return (rows, *values.shape[1:])


STORES = {
    "h5py": in_h5py(),
    "h5py chunks": lambda x, folder: in_h5py(chunks=chunk(x, 4))(x, folder),
    "h5py gzip": lambda x, folder: in_h5py(chunks=chunk(x, 7), compression="gzip")(x, folder),
    "h5py parts of images": lambda x, folder: in_h5py(chunks=(3, 2, *x.shape[2:]))(x, folder),
    "zarr": lambda x, folder: in_zarr(x, folder, chunks=chunk(x, 4)),
    "zarr shards": lambda x, folder: in_zarr(x, folder, chunks=chunk(x, 2), shards=chunk(x, 6)),
    "dask": lambda x, _: dask.array.from_array(x, chunks=chunk(x, 4)),
    "dask uneven": lambda x, _: dask.array.from_array(x, ((1, 7, 2, len(x) - 10), *x.shape[1:])),
    "dask of zarr": lambda x, folder: dask.array.from_zarr(STORES["zarr"](x, folder)),
    "recorded": lambda x, _: Recorded(x),
    "recorded chunks": lambda x, _: Recorded(x, rows=4),
}


def compare(values, lazy, settings, options=None, tolerance=TRANSFORM, **flow):
    """Compares two epochs of a flow over a lazy array with Keras's over the array."""
    x, rest = (values, lazy), ()
    if isinstance(values, tuple):
        x, rest = (values[0], lazy), values[1:]

    def scenario(library):
        own = x[library.name == "fastaug"]
        iterator = library.generator(**settings).flow((own, *rest) if rest else own, **flow)
        try:
            return take(iterator, 2 * len(iterator)) + [iterator[1]]
        finally:
            library.close(iterator)

    stream = "keras" if flow.get("seed") is None else "untouched"
    actual, expected = run_both(scenario, options=options, stream=stream)
    assert_batches_equal(actual.value, expected.value, tolerance)


# --- Batches. -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("store", STORES)
def test_stores(store, shuffle, seed, tmp_path):
    x = images(n=N)
    lazy = STORES[store](x, tmp_path)
    compare(x, lazy, GEOMETRY, y=LABELS, batch_size=BATCH, shuffle=shuffle, seed=seed)


@pytest.mark.parametrize("store", ["h5py gzip", "zarr", "dask", "recorded"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "float32", "float64", "float16", ">f4", ">u2", "bool"]
)
def test_dtypes(dtype, data_format, store, tmp_path):
    x = images(n=N, dtype=np.dtype(dtype).newbyteorder("="), data_format=data_format).astype(dtype)
    settings = GEOMETRY | {"data_format": data_format}
    # values far beyond 255, of which float32 has no more than 7 digits
    tolerance = TRANSFORM.scaled(max(1, float(np.abs(x.astype("float64")).max()) / 255))
    lazy = STORES[store](x, tmp_path)
    compare(x, lazy, settings, batch_size=BATCH, seed=1, tolerance=tolerance)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("seed", [None, 3])
def test_executions(execution, seed, tmp_path):
    x = images(n=N)
    with open_execution(execution) as options:
        lazy = STORES["h5py chunks"](x, tmp_path)
        compare(x, lazy, GEOMETRY, options, batch_size=BATCH, seed=seed)


def halved(image):
    return image / 2


def noisy(image):
    return image + np.random.random()


@pytest.mark.parametrize(
    "settings",
    [
        {"rescale": 1 / 255, "samplewise_center": True},
        {"dtype": "float64"},
        {"dtype": "uint8", "rotation_range": 0},
        {"preprocessing_function": halved},
        {"preprocessing_function": noisy},
        {"preprocessing_function": fastaug.elementwise(halved)},
        {"brightness_range": (0.5, 1.0), "rotation_range": 0},
        {"warp": "opencv"},
    ],
    ids=str,
)
@pytest.mark.parametrize("store", ["recorded chunks", "dask"])
def test_settings(settings, store, tmp_path):
    x = images(n=N)
    settings = {"rotation_range": 40, "horizontal_flip": True} | settings
    options = {"workers": 2} | {k: settings.pop(k) for k in ("warp",) if k in settings}
    tolerance = {"float64": EXACT}.get(settings.get("dtype"), TRANSFORM)
    lazy = STORES[store](x, tmp_path)
    compare(x, lazy, settings, options, batch_size=BATCH, seed=3, tolerance=tolerance)


def test_a_subclass_of_the_generator():
    x = images(n=N)

    def scenario(library):
        class Own(library.ImageDataGenerator):
            def standardize(self, image):
                return image / 3

        lazy = Recorded(x, rows=4)
        generator = library.make(Own, horizontal_flip=True)
        iterator = generator.flow(lazy if library.name == "fastaug" else x, seed=3, batch_size=9)
        batches = take(iterator, 4)
        library.close(iterator)
        if library.name == "fastaug":
            assert 0 < len(lazy.reads) <= 2 * 4 * len(iterator)
        return batches

    actual, expected = run_both(scenario, stream="untouched")
    assert_batches_equal(actual.value, expected.value)


def test_more_inputs(tmp_path):
    """They are read for each batch, too."""
    x, extra, third = images(n=N), images(n=N, seed=8), np.arange(2 * N).reshape(N, 2)

    def scenario(library):
        inputs = (x, [extra, third])
        if library.name == "fastaug":
            inputs = (STORES["h5py chunks"](x, tmp_path), [Recorded(extra), third])
        generator = library.generator(**GEOMETRY, validation_split=0.4)
        result = []
        for subset in ("training", "validation"):
            iterator = generator.flow(
                inputs, LABELS, batch_size=BATCH, seed=4, subset=subset, ignore_class_split=True
            )
            result += take(iterator, len(iterator) + 1)
            library.close(iterator)
        return result

    actual, expected = run_both(scenario, stream="untouched", usage=True)
    assert_batches_equal(actual.value, expected.value, TRANSFORM)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("subset", ["training", "validation"])
def test_subsets(subset, store, tmp_path):
    x = images(n=N)

    def scenario(library):
        own = STORES[store](x, tmp_path) if library.name == "fastaug" else x
        iterator = library.generator(**GEOMETRY, validation_split=0.3).flow(
            own, LABELS, batch_size=BATCH, subset=subset, seed=2
        )
        try:
            return take(iterator, 6), len(iterator), iterator.n, np.asarray(iterator.x)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="untouched", usage=subset == "validation")
    assert_batches_equal(actual.value[0], expected.value[0], TRANSFORM)
    assert_same(actual.value[1:3], expected.value[1:3])
    np.testing.assert_array_equal(actual.value[3], expected.value[3])


def test_any_rows_of_a_batch():
    """In any order, also the same ones, and from the end."""
    x = images(n=N)

    def scenario(library):
        own = Recorded(x, rows=4) if library.name == "fastaug" else x
        iterator = library.generator(**GEOMETRY).flow(own)
        try:
            return [
                iterator._get_batches_of_transformed_samples(np.array(rows, dtype=int))
                for rows in ([7, 7, 1, 22, 7], [-1, 5, -N], [3], [])
            ]
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario)
    assert_batches_equal(actual.value, expected.value, TRANSFORM)


def test_replaced_images():
    x, other = images(n=N), images(n=N, seed=9)

    def scenario(library):
        kind = Recorded if library.name == "fastaug" else np.asarray
        iterator = library.generator(**GEOMETRY).flow(kind(x), batch_size=BATCH, seed=1)
        batches = take(iterator, 2)
        iterator.x = kind(other)
        batches += take(iterator, 2)
        library.close(iterator)
        return batches

    actual, expected = run_both(scenario, stream="untouched")
    assert_batches_equal(actual.value, expected.value, TRANSFORM)


def test_statistics_of_a_flow(tmp_path):
    x = images(n=N)
    generator = fastaug.ImageDataGenerator(featurewise_center=True)
    lazy = Recorded(x, rows=4)
    generator.fit(generator.flow(lazy, batch_size=BATCH))
    np.testing.assert_allclose(generator.mean[0, 0], x.mean(axis=(0, 1, 2)), rtol=1e-6)
    assert max(stop - start for start, stop in lazy.reads) <= 2 * BATCH


# --- What is read. ------------------------------------------------------------------------------


def reads_of_batches(lazy, settings, batches, **flow):
    """Yields the samples and the reads of each batch, made one at a time."""
    generator = fastaug.ImageDataGenerator(prefetch=0, **settings)
    with generator.flow(lazy, **flow) as iterator:
        assert lazy.reads == []
        for _ in range(batches):
            start = iterator.batch_index * iterator.batch_size
            next(iterator)
            yield iterator.index_array[start : start + iterator.batch_size], lazy.reads[:]
            lazy.reads.clear()


SMALL, LARGE = images(n=N), images(n=N, height=170, width=190)  # of which threads have slices


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("x", [SMALL, LARGE], ids=["small", "large"])
def test_each_row_is_read_once(x, workers):
    for rows, reads in reads_of_batches(Recorded(x), {"workers": workers}, 8, batch_size=BATCH):
        read = [row for start, stop in reads for row in range(start, stop)]
        assert sorted(read) == sorted(rows)
        if workers < 2:
            assert read == sorted(read)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("settings", [{}, {"dtype": "float64"}], ids=["core", "by image"])
@pytest.mark.parametrize("x", [SMALL, LARGE], ids=["small", "large"])
def test_each_chunk_is_read_once(x, settings, workers):
    lazy = Recorded(x, rows=4)
    sliced = 0
    for rows, reads in reads_of_batches(lazy, settings | {"workers": workers}, 6, batch_size=11):
        chunks = [c for start, stop in reads for c in range(start // 4, (stop - 1) // 4 + 1)]
        assert sorted(chunks) == sorted(set(rows // 4))
        read = {row for start, stop in reads for row in range(start, stop)}
        assert set(rows) <= read
        sliced += len(reads) > 1
        # no more than the rows from the first to the last of a chunk
        for c in set(chunks):
            inside = rows[rows // 4 == c]
            assert {r for r in read if r // 4 == c} == set(range(inside.min(), inside.max() + 1))
    assert sliced


def test_rows_in_a_row_are_one_read():
    lazy = Recorded(SMALL, rows=4)
    reads = [reads for _, reads in reads_of_batches(lazy, {}, 5, batch_size=BATCH, shuffle=False)]
    assert reads == [[(0, 5)], [(5, 10)], [(10, 15)], [(15, 20)], [(20, 23)]]


def test_chunks_of_several_sizes():
    lazy = Recorded(SMALL)
    lazy.chunks = ((3, 1, 4), *((size,) for size in SMALL.shape[1:]))
    rows = LazyArray(lazy, 0, 8)
    assert rows.chunks_of([0, 2, 3, 4, 7, -1]).tolist() == [0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("row", [8, -9])
def test_the_first_row_that_is_not_there(row):
    with pytest.raises(IndexError, match=f"index {row} is out of bounds for axis 0 with size 8"):
        LazyArray(Recorded(SMALL), 1, 9).read([0, row])


class Orthogonal(Recorded):
    """One that takes lists of rows, as zarr does."""

    @property
    def oindex(self):
        return self

    def __getitem__(self, rows):
        assert (np.diff(rows) > 0).all(), rows
        self.reads.append(tuple(rows.tolist()))
        return self._values[rows]


def test_zarr_is_asked_once():
    lazy = Orthogonal(SMALL, rows=4)
    for rows, reads in reads_of_batches(lazy, {}, 5, batch_size=BATCH):
        assert reads == [tuple(sorted(rows.tolist()))]


def test_dask_is_asked_once():
    lazy = dask.array.from_array(SMALL, chunks=chunk(SMALL, 4))
    starts = []
    counted = dask.callbacks.Callback(start=starts.append)
    generator = fastaug.ImageDataGenerator(workers=0)
    with counted, generator.flow(lazy, batch_size=BATCH) as iterator:
        take(iterator, 4)
    assert len(starts) == 4


def test_threads_read():
    lazy = Recorded(LARGE)
    with fastaug.ImageDataGenerator(workers=2).flow(lazy, batch_size=BATCH) as iterator:
        take(iterator, 5)
    assert lazy.threads == {"fastaug-worker"}
    lazy = Recorded(LARGE)
    with fastaug.ImageDataGenerator(workers=0).flow(lazy, batch_size=BATCH) as iterator:
        take(iterator, 5)
    assert lazy.threads == {threading.current_thread().name}


def test_slices_share_the_work():
    """Threads have slices of a batch, if it is large and of several chunks."""
    x = images(n=24, height=170, width=190)
    source = fastaug.data.sources.source_of(Recorded(x, rows=4))
    for slices, expected in ((1, 1), (2, 2), (3, 3), (6, 6), (24, 6)):
        parts = source.cut(np.random.RandomState(0).permutation(24), slices)
        assert len(parts) == expected
        assert max(map(len, parts)) <= 24 // expected + 3
        assert sorted(np.concatenate(parts)) == list(range(24))
    assert len(source.cut(np.arange(3), 3)) == 1


def test_nothing_is_read_before_a_batch_is():
    lazy = Recorded(images(n=N))
    generator = fastaug.ImageDataGenerator(validation_split=0.2, rotation_range=10)
    for subset in (None, "training", "validation"):
        augment = subset != "validation"
        iterator = generator.flow(lazy, LABELS, subset=subset, batch_size=BATCH, augment=augment)
        assert len(iterator) == -(-iterator.n // BATCH)
        assert "9x13x3" in repr(iterator)
        assert iterator.x.shape == (iterator.n, 9, 13, 3)
        assert (iterator.x is lazy) == (subset is None)
        iterator.close()
    assert lazy.reads == []


@pytest.mark.parametrize(
    ("x", "arguments"),
    [
        (images(n=N), {"y": np.arange(5)}),
        (images(n=N), {"sample_weight": np.arange(5)}),
        (images(n=N), {"subset": "test"}),
        (images(n=N), {"y": np.arange(N), "subset": "training"}),
        (images(n=N)[0], {}),
        (images(n=N)[..., None], {}),
    ],
    ids=["labels", "weights", "subset", "classes", "rank 3", "rank 5"],
)
def test_errors_need_no_reading(x, arguments):
    lazy = Recorded(x)

    def scenario(library):
        own = lazy if library.name == "fastaug" else x
        return library.generator(validation_split=0.5).flow(own, **arguments)

    assert_same_error(scenario, ValueError)
    assert lazy.reads == []


def test_a_warning_needs_no_reading():
    x = images(n=N, channels=5)

    def scenario(library):
        own = lazy if library.name == "fastaug" else x
        return len(library.generator().flow(own))

    lazy = Recorded(x)
    actual, expected = run_both(scenario)
    assert actual.value == expected.value
    assert lazy.reads == []
    assert "5 channels" in expected.warnings[0][1]


@pytest.mark.parametrize("shape", [(0, 9, 13, 3), (5, 9, 0, 3)])
def test_no_images(shape):
    with pytest.raises(ValueError, match="at least one image and one pixel"):
        fastaug.ImageDataGenerator().flow(Recorded(np.zeros(shape, "uint8")))


def test_advice_reads_some_rows():
    """What is wrong with values has to be seen: in no more than 16 rows."""
    lazy = Recorded(images(n=200, dtype="float32") / 255)
    with pytest.warns(fastaug.UsageWarning, match="brightness_range"):
        fastaug.ImageDataGenerator(brightness_range=(0.5, 1)).flow(lazy)
    assert sum(stop - start for start, stop in lazy.reads) == 16


# --- Failures. ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_read_that_fails(dtype, workers):
    """The error is the array's own; the next batch may be read."""
    lazy = Recorded(images(n=N), fails=1)
    generator = fastaug.ImageDataGenerator(workers=workers, dtype=dtype, prefetch=0)
    with generator.flow(lazy, batch_size=BATCH, shuffle=False) as iterator:
        with pytest.raises(OSError, match="the disk is gone"):
            next(iterator)
        np.testing.assert_array_equal(iterator[1], images(n=N)[BATCH : 2 * BATCH])


def test_a_closed_file(tmp_path):
    lazy = in_h5py()(images(n=N), tmp_path)
    generator = fastaug.ImageDataGenerator(prefetch=0)
    with generator.flow(lazy, batch_size=BATCH) as iterator:
        next(iterator)
        lazy.file.close()
        with pytest.raises((RuntimeError, ValueError)):  # h5py's own
            next(iterator)
    with pytest.raises((RuntimeError, ValueError)):
        generator.flow(lazy)


def test_an_array_that_became_shorter(tmp_path):
    x = images(n=N)
    lazy = in_h5py(maxshape=(None, *x.shape[1:]))(x, tmp_path)
    generator = fastaug.ImageDataGenerator(prefetch=0)
    with generator.flow(lazy, batch_size=BATCH, shuffle=False) as iterator:
        lazy.resize(BATCH + 2, axis=0)
        next(iterator)
        with pytest.raises(IndexError):
            next(iterator)


# --- Copies. ------------------------------------------------------------------------------------


@pytest.mark.parametrize("subset", [None, "validation"])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, pickle.loads], ids=lambda f: f.__name__
)
def test_copies(copied, subset, tmp_path):
    x = images(n=N)
    store = "zarr" if copied is pickle.loads else "recorded chunks"
    generator = fastaug.ImageDataGenerator(validation_split=0.4, **GEOMETRY)
    with generator.flow(
        STORES[store](x, tmp_path), batch_size=BATCH, seed=1, subset=subset
    ) as iterator:
        next(iterator)
        other = copied(pickle.dumps(iterator) if copied is pickle.loads else iterator)
        with other:
            for _ in range(3):
                np.testing.assert_array_equal(next(other), next(iterator))


# --- Which arrays, and their rows. --------------------------------------------------------------


def test_what_is_in_memory_stays_as_it_is(tmp_path):
    import jax.numpy
    import pandas as pd
    import tensorflow as tf

    x = images(n=4)
    file = np.memmap(tmp_path / "x", "uint8", "w+", shape=x.shape)
    for there in (
        x, file, np.ma.array(x), x[0, 0, 0, 0], x.tolist(), [x], tf.constant(x), tf.Variable(x),
        jax.numpy.asarray(x), memoryview(x), pd.Series([1, 2]), pd.DataFrame([1, 2]), None, 3, "x",
        range(4), dask.array.from_array(x)[dask.array.from_array(x)[:, 0, 0, 0] > 3],
    ):  # fmt: skip
        assert lazily(there) is there


@pytest.mark.parametrize("store", STORES)
def test_rows(store, tmp_path):
    x = images(n=N)
    rows = lazily(STORES[store](x, tmp_path))
    assert type(rows) is LazyArray
    assert lazily(rows) is rows
    for part, expected in (
        (rows, x),
        (rows.part(slice(4, None)), x[4:]),
        (rows.part(slice(9)).part(slice(2, 7)), x[2:7]),
        (rows.part(slice(9, 9)), x[9:9]),
    ):
        assert (part.shape, part.ndim, part.size, part.dtype, len(part)) == (
            expected.shape, expected.ndim, expected.size, expected.dtype, len(expected)
        )  # fmt: skip
        keys = [slice(None), slice(1, 4), slice(None, None, -2), [], np.zeros(len(expected), bool)]
        if len(expected):
            keys += [0, -1, [2, 0, 2, 1], np.array([[1, -1], [0, 0]]), np.arange(len(expected)) > 2]
        for key in keys:
            assert_same(part[key], expected[key])
        for key in (len(expected), -len(expected) - 1, np.array([0, 99])):
            with pytest.raises(IndexError):
                part[key]
        # Recorded refuses only what asks it for all of itself
        assert_same(np.asarray(part), expected)
        np.testing.assert_array_equal(np.asarray(part, dtype="float64"), expected)
    with pytest.raises(ValueError, match="makes a copy"):
        np.array(rows, copy=False)


def test_arrays_of_other_things_are_read_as_a_whole(tmp_path):
    """As Keras converts them, which it may fail to do."""
    x = images(n=N).astype("complex64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        iterator = fastaug.ImageDataGenerator().flow(in_h5py()(x, tmp_path), shuffle=False)
    assert iterator.x.dtype == "float32"
    np.testing.assert_array_equal(next(iterator), x.real)
    text = np.array([["a"]], dtype="O").reshape(1, 1, 1, 1)
    with pytest.raises((TypeError, ValueError)):
        fastaug.ImageDataGenerator().flow(in_h5py(dtype=h5py.string_dtype())(text, tmp_path))
