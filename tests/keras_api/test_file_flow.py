"""Whole flows over files beside Keras's: every argument, every class mode, odd files, bad files."""

import concurrent.futures
import multiprocessing.pool
import subprocess
import sys
import warnings

import keras
import loky
import numpy as np
import pandas as pd
import pytest
import trees
from execution import SPAWN
from PIL import Image, ImageFile
from reference import (
    BRIGHTNESS,
    EXACT,
    FLIPS,
    GEOMETRY,
    STANDARD,
    TRANSFORM,
    Tolerance,
    assert_batches_equal,
    assert_same,
    fastaug_library,
    images,
    images_of,
    keras_image,
    keras_library,
    rest_of,
    run,
    run_both,
    take,
)

from fastaug.data import readers
from fastaug.run import records

TWO = {"workers": 2, "prefetch": 2}
TARGET = (17, 23)
N = 13  # of the plain tree

SEEDS = pytest.mark.parametrize("seed", [None, 11])

# What Pillow says of some files; decode processes say it on their own error output.
pillow_s_warnings = pytest.mark.filterwarnings("ignore:Palette images with Transparency")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.plain_tree(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return trees.odd_tree(tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="module")
def frame(tree):
    """A row for each file of the tree, not sorted, with a column for each kind of label."""
    names = sorted(str(path.relative_to(tree)) for path in tree.glob("*/*.jpg"))
    names = [names[(5 * k) % N] for k in range(N)]
    rng = np.random.RandomState(0)
    return pd.DataFrame(
        {
            "filename": names,
            "path": [str(tree / name) for name in names],
            "class": [name.split("/")[0] for name in names],
            "two": ["odd" if k % 2 else "even" for k in range(N)],
            "many": [["x", "y", "z"][: k % 3 + 1] for k in range(N)],
            "number": rng.random_sample(N) * 9,
            "whole": np.arange(N) * 3,
            "weight": rng.random_sample(N),
        }
    )


# ---------------------------------------------------------------------------- helpers


def file_scenario(data, *, settings, extras=None, batches=None, fit_on=None, walk=None, **flow):
    """A scenario: a generator, and an epoch and two batches of its flow from files.

    ``data`` is a folder or a dataframe, ``extras`` are arguments that only fastaug has, and
    ``walk`` takes the batches in its own way.
    """

    def scenario(library):
        generator = library.generator(**settings)
        if fit_on is not None:
            generator.fit(fit_on)
        iterator = open_flow(library, generator, data, extras, **flow)
        try:
            if walk is not None:
                return walk(iterator)
            return take(iterator, len(iterator) + 2 if batches is None else batches)
        finally:
            library.close(iterator)

    return scenario


def open_flow(library, generator, data, extras=None, **flow):
    ours = (extras or {}) if library.name == "fastaug" else {}
    flow = {"target_size": TARGET, "batch_size": 4} | flow
    if isinstance(data, pd.DataFrame):
        return generator.flow_from_dataframe(data, **flow, **ours)
    return generator.flow_from_directory(str(data), **flow, **ours)


def compare_files(data, *, settings, tolerance=EXACT, options=TWO, usage=False, **flow):
    """Compare a flow from files with Keras's: batches, text, warnings, errors, global stream."""
    stream = "keras" if flow.get("seed") is None else "untouched"
    actual, expected = run_both(
        file_scenario(data, settings=settings, **flow),
        options=options,
        stream=stream,
        usage=usage,
    )
    assert expected.error is None, f"Keras itself raised: {expected.error!r}"
    assert_batches_equal(actual.value, expected.value, tolerance)
    return actual, expected


def iterators_of(library):
    return fastaug_iterators() if library.name == "fastaug" else keras_image


def fastaug_iterators():
    import fastaug

    return fastaug


# ---------------------------------------------------------------------------- directories


@SEEDS
@pytest.mark.parametrize("class_mode", ["categorical", "binary", "sparse", "input", None])
def test_directory_class_modes(tree, class_mode, seed, capsys):
    classes = ["cats", "ants"] if class_mode == "binary" else None
    actual, expected = compare_files(
        tree, settings=FLIPS, class_mode=class_mode, classes=classes, seed=seed, batch_size=5
    )
    sizes = [len(images_of(batch)) for batch in expected.value]
    n = 9 if class_mode == "binary" else N
    assert sizes[: -(-n // 5)] == [5] * (n // 5) + [n % 5]
    ours, theirs = sorted(capsys.readouterr().out.splitlines())
    assert ours == theirs == f"Found {n} images belonging to {2 if classes else 3} classes."
    if class_mode == "input":
        for x, y in actual.value:
            assert not np.shares_memory(x, y)


@SEEDS
@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_color_modes_and_layouts(tree, color_mode, data_format, seed):
    compare_files(
        tree,
        settings=GEOMETRY | {"data_format": data_format},
        tolerance=TRANSFORM,
        color_mode=color_mode,
        seed=seed,
    )


@pytest.mark.parametrize("keep_aspect_ratio", [False, True])
@pytest.mark.parametrize(
    "interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
)
@pytest.mark.parametrize("size", [TARGET, (41, 20)], ids=str)
def test_interpolations(tree, interpolation, keep_aspect_ratio, size):
    compare_files(
        tree,
        settings=FLIPS,
        interpolation=interpolation,
        keep_aspect_ratio=keep_aspect_ratio,
        target_size=size,
        seed=1,
    )


@pytest.mark.parametrize(
    "arguments",
    [{"interpolation": "cubic"}, {"color_mode": "bgr"}, {"class_mode": "raw"}, {"subset": "all"}],
    ids=str,
)
def test_refused_arguments(tree, arguments):
    def scenario(library):
        with np.errstate():
            return open_flow(library, library.generator(), tree, seed=1, **arguments)

    actual = run(scenario, fastaug_library(TWO))
    expected = run(scenario, keras_library())
    if expected.error is None:  # Keras looks at it when it reads the first file
        actual = run(lambda library: next(scenario(library)), fastaug_library(TWO))
        expected = run(lambda library: next(scenario(library)), keras_library())
    assert type(actual.error) is type(expected.error) is ValueError


@SEEDS
@pytest.mark.parametrize("subset", ["training", "validation"])
@pytest.mark.parametrize("kind", ["directory", "dataframe"])
def test_subsets(tree, frame, subset, kind, seed):
    data, where = (tree, {}) if kind == "directory" else (frame, {"directory": str(tree)})
    compare_files(
        data,
        settings=FLIPS | {"validation_split": 0.4},
        subset=subset,
        seed=seed,
        usage=subset == "validation",
        **where,
    )


@pytest.mark.parametrize("batch_size", [1, 4, 13, 50])
@pytest.mark.parametrize("shuffle", [True, False])
@SEEDS
def test_batch_sizes(tree, batch_size, shuffle, seed):
    """Among them one larger than the data set, and batches cut into many slices."""
    compare_files(
        tree, settings=FLIPS, batch_size=batch_size, shuffle=shuffle, seed=seed, batches=7
    )


@SEEDS
@pytest.mark.parametrize("shuffle", [True, False])
def test_items_epoch_ends_and_resets(tree, shuffle, seed):
    """However an iterator is used, it stands where Keras's stands."""

    def walk(iterator):
        batches = [iterator[2], iterator[0], next(iterator), next(iterator), iterator[3]]
        iterator.on_epoch_end()
        batches += [iterator[k] for k in range(len(iterator))]
        iterator.reset()
        batches += take(iterator, 3)
        iterator.on_epoch_end()
        batches += take(iterator, 5)
        with pytest.raises(ValueError, match="Asked to retrieve element 4") as raised:
            iterator[4]
        state = iterator.batch_index, iterator.total_batches_seen, iterator.index_array
        return batches, str(raised.value), state

    actual, expected = run_both(
        file_scenario(tree, settings=GEOMETRY, seed=seed, shuffle=shuffle, walk=walk),
        options=TWO,
        stream="keras" if seed is None else "untouched",
    )
    assert_batches_equal(actual.value[0], expected.value[0], TRANSFORM)
    assert_same(actual.value[1:], expected.value[1:])


@pillow_s_warnings
@pytest.mark.parametrize("decoder", ["processes", "threads"])
@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("follow_links", [False, True])
def test_a_tree_of_odd_files(odd, follow_links, color_mode, decoder):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Palette images with Transparency")
        actual, expected = run_both(
            _without_pillow_s_warnings(
                file_scenario(
                    odd,
                    settings=FLIPS,
                    color_mode=color_mode,
                    follow_links=follow_links,
                    interpolation="bilinear" if follow_links else "nearest",
                    extras={"decoder": decoder},
                    seed=1,
                    walk=lambda it: (it.filenames, it.class_indices, take(it, len(it) + 1)),
                )
            ),
            options=TWO,
            stream="untouched",
            usage=True,  # of a hidden class and one without images
        )
    if expected.error is not None:
        raise expected.error
    assert_same(actual.value[:2], expected.value[:2])
    assert len(expected.value[0]) > 30
    assert_batches_equal(actual.value[2], expected.value[2], EXACT)


def _without_pillow_s_warnings(scenario):
    def quiet(library):
        warnings.filterwarnings("ignore", message="Palette images with Transparency")
        return scenario(library)

    return quiet


# ---------------------------------------------------------------------------- dataframes


@SEEDS
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(
    ("class_mode", "y_col"),
    [
        ("categorical", "class"),
        ("categorical", "many"),
        ("binary", "two"),
        ("sparse", "class"),
        ("raw", "number"),
        ("raw", "whole"),
        ("raw", ["number", "whole"]),
        ("multi_output", ["number", "whole"]),
        ("input", "class"),
        (None, None),
    ],
    ids=str,
)
def test_dataframe_class_modes(frame, tree, class_mode, y_col, weighted, seed):
    compare_files(
        frame,
        settings=FLIPS,
        directory=str(tree),
        class_mode=class_mode,
        y_col=y_col,
        weight_col="weight" if weighted else None,
        seed=seed,
    )


def test_dataframe_paths_without_a_directory(frame):
    compare_files(frame, settings=FLIPS, x_col="path", seed=1)


def test_dataframe_rows_that_are_no_files(frame, tree):
    """They are left out with Keras's warning, and with them their labels and weights."""
    with_holes = frame.copy()
    with_holes.loc[[2, 7], "filename"] = ["nowhere.jpg", "ants"]
    actual, expected = compare_files(
        with_holes,
        settings=FLIPS,
        directory=str(tree),
        weight_col="weight",
        seed=1,
        extras={"on_error": "skip"},
    )
    assert sum(len(batch[0]) for batch in expected.value[:3]) == N - 2
    assert any("invalid image filename" in text for _, text in expected.warnings)
    assert actual.warnings == expected.warnings


@SEEDS
def test_dataframe_with_geometry_in_layouts(frame, tree, seed):
    compare_files(
        frame,
        settings=GEOMETRY | {"data_format": "channels_first"},
        tolerance=TRANSFORM,
        directory=str(tree),
        classes=["bees", "cats"],
        seed=seed,
    )


# ---------------------------------------------------------------------------- settings


def to_unit(image):
    return (image / 255.0 - 0.5) * 2


def noisy(image):
    return image + np.random.normal(size=image.shape) * np.random.randint(1, 4)


def rarely_noisy(image):
    return image + np.random.random(3) if image[0, 0, 0] > 150 else image


SETTINGS = {
    "none": ({}, EXACT),
    "geometry": (GEOMETRY | {"channel_shift_range": 30.0}, TRANSFORM),
    "splines": ({"rotation_range": 30, "interpolation_order": 3}, TRANSFORM),
    "borders": (GEOMETRY | {"fill_mode": "constant", "cval": 9.0}, TRANSFORM),
    "brightness": ({"brightness_range": (0.4, 1.6)} | FLIPS, BRIGHTNESS),
    "rescale": (FLIPS | {"rescale": 1 / 255}, STANDARD),
    "samplewise": (
        FLIPS | {"samplewise_center": True, "samplewise_std_normalization": True},
        STANDARD,
    ),
    "function": (FLIPS | {"preprocessing_function": to_unit, "rescale": 0.5}, STANDARD),
    "function after geometry": (GEOMETRY | {"preprocessing_function": to_unit}, TRANSFORM),
    "drawing function": (GEOMETRY | {"preprocessing_function": noisy}, TRANSFORM),
    "rarely drawing function": (GEOMETRY | {"preprocessing_function": rarely_noisy}, TRANSFORM),
    "integer shifts": ({"width_shift_range": 4, "height_shift_range": [1, 3]}, TRANSFORM),
    "float64": (GEOMETRY | {"dtype": "float64"}, TRANSFORM),
}
BY_SETTINGS = pytest.mark.parametrize(
    ("settings", "tolerance"), SETTINGS.values(), ids=SETTINGS.keys()
)


@SEEDS
@BY_SETTINGS
def test_settings(tree, settings, tolerance, seed):
    compare_files(tree, settings=settings, tolerance=tolerance, seed=seed)


def test_float64_from_a_dataframe(frame, tree):
    _, expected = compare_files(
        frame, settings=FLIPS | {"dtype": "float64"}, directory=str(tree), seed=1
    )
    assert expected.value[0][0].dtype == np.float64


@SEEDS
@pytest.mark.parametrize("statistics", ["featurewise", "whitening"])
def test_after_fit(tree, statistics, seed):
    size = (7, 9)
    settings = FLIPS | (
        {"featurewise_center": True, "featurewise_std_normalization": True}
        if statistics == "featurewise"
        else {"zca_whitening": True, "featurewise_center": True, "zca_epsilon": 0.1}
    )
    compare_files(
        tree,
        settings=settings,
        tolerance=STANDARD if statistics == "featurewise" else Tolerance(relative=1e-4),
        fit_on=images(n=20, height=7, width=9),
        target_size=size,
        seed=seed,
    )


def test_not_fitted(tree):
    _, expected = compare_files(tree, settings={"featurewise_center": True}, seed=1)
    assert any("hasn't been fit" in text for _, text in expected.warnings)


OVERRIDES = {
    "get_random_transform": lambda base: type(
        "Own",
        (base,),
        {
            "get_random_transform": lambda self, shape, seed=None: {
                **base.get_random_transform(self, shape, seed),
                "tx": np.random.randint(-3, 4),
            }
        },
    ),
    "apply_transform": lambda base: type(
        "Own",
        (base,),
        {"apply_transform": lambda self, x, p: 255 - base.apply_transform(self, x, p)},
    ),
    "standardize": lambda base: type(
        "Own",
        (base,),
        {"standardize": lambda self, x: base.standardize(self, x) + np.random.random()},
    ),
}


@SEEDS
@pytest.mark.parametrize("override", OVERRIDES.values(), ids=OVERRIDES.keys())
def test_a_generator_with_its_own_methods(tree, override, seed):
    def scenario(library):
        generator = library.make(override(library.ImageDataGenerator), **GEOMETRY)
        iterator = open_flow(library, generator, tree, seed=seed)
        try:
            return take(iterator, 6)
        finally:
            library.close(iterator)

    actual, expected = run_both(
        scenario, options=TWO, stream="keras" if seed is None else "untouched"
    )
    assert_batches_equal(actual.value, expected.value, TRANSFORM)


@SEEDS
def test_an_iterator_with_its_own_methods(tree, seed):
    """Batches of the iterator's own, made with what Keras documents for it."""

    def scenario(library):
        class Own(iterators_of(library).DirectoryIterator):
            def _get_batches_of_transformed_samples(self, index_array):
                x, y = super()._get_batches_of_transformed_samples(index_array)
                return x, y, self.classes[index_array], np.random.random()

        iterator = Own(
            str(tree), library.generator(**GEOMETRY), target_size=TARGET, batch_size=4, seed=seed
        )
        try:
            return take(iterator, 6)
        finally:
            library.close(iterator)

    actual, expected = run_both(
        scenario, options=TWO, stream="keras" if seed is None else "untouched"
    )
    assert_batches_equal(actual.value, expected.value, TRANSFORM)


@pytest.mark.parametrize("class_mode", ["sparse", "categorical", "binary"])
def test_classes_may_be_replaced(tree, class_mode):
    def walk(iterator):
        before = take(iterator, 2)
        iterator.classes = np.arange(N, dtype="int32")[::-1] % 3
        return before + take(iterator, 4) + [(images_of(iterator[0]), iterator.labels)]

    actual, expected = run_both(
        file_scenario(tree, settings=FLIPS, class_mode=class_mode, seed=1, walk=walk),
        options=TWO,
        stream="untouched",
        usage=class_mode == "binary",  # of three classes
    )
    assert_batches_equal(actual.value, expected.value, EXACT)


CHANGES = {
    "class_mode": {"class_mode": "sparse"},
    "no labels": {"class_mode": None},
    "class_indices": {"class_indices": {name: k for k, name in enumerate("abcde")}},
    "target_size": {"target_size": (9, 31), "image_shape": (9, 31, 3)},
    "color_mode": {"color_mode": "grayscale", "image_shape": (*TARGET, 1)},
    "interpolation": {"interpolation": "bilinear"},
    "keep_aspect_ratio": {"keep_aspect_ratio": True},
    "the generator": {"image_data_generator": None},
}


@SEEDS
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_attributes_changed_between_batches_hold_from_the_next_batch_on(tree, change, seed):
    def walk(iterator):
        before = take(iterator, 2)
        for name, value in change.items():
            setattr(iterator, name, value)
        return before + take(iterator, 4) + [iterator[1]]

    actual, expected = run_both(
        file_scenario(tree, settings=FLIPS, seed=seed, walk=walk),
        options=TWO,
        stream="keras" if seed is None else "untouched",
    )
    assert_batches_equal(actual.value, expected.value, EXACT)


@pytest.mark.parametrize("kind", ["directory", "dataframe"])
def test_iterators_without_a_generator(tree, frame, kind):
    """They do nothing but decode, and draw nothing but the order."""

    def scenario(library):
        classes = iterators_of(library)
        if kind == "directory":
            iterator = classes.DirectoryIterator(str(tree), None, target_size=TARGET, batch_size=4)
        else:
            iterator = classes.DataFrameIterator(frame, str(tree), target_size=TARGET, batch_size=4)
        try:
            return take(iterator, 6)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, stream="keras")
    assert_batches_equal(actual.value, expected.value, EXACT)


@pytest.mark.parametrize("class_mode", ["sparse", "categorical"])
def test_properties_of_a_subclass(tree, class_mode):
    """Keras asks for paths and labels by these names."""

    def scenario(library):
        base = iterators_of(library).DirectoryIterator

        class Own(base):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                self.step = -1

            @property
            def filepaths(self):
                return super().filepaths[:: self.step]

        iterator = Own(
            str(tree),
            library.generator(**FLIPS),
            target_size=TARGET,
            batch_size=4,
            seed=1,
            class_mode=class_mode,
        )
        try:
            batches = take(iterator, 3)
            iterator.step = 1
            return batches + take(iterator, 3)
        finally:
            library.close(iterator)

    actual, expected = run_both(scenario, options=TWO, stream="untouched")
    assert_batches_equal(actual.value, expected.value, EXACT)


def test_attributes(tree, frame):
    """What people read from an iterator."""
    names = """
        filenames filepaths classes labels class_indices num_classes samples n batch_size shuffle
        seed batch_index total_batches_seen target_size image_shape color_mode data_format
        class_mode interpolation keep_aspect_ratio save_to_dir save_prefix save_format subset
        split dtype directory sample_weight index_array
    """.split()  # noqa: SIM905

    def walk(iterator):
        next(iterator)
        return {name: getattr(iterator, name) for name in names if hasattr(iterator, name)}

    for data, where in ((tree, {}), (frame, {"directory": str(tree), "weight_col": "weight"})):
        actual, expected = run_both(
            file_scenario(data, settings={}, seed=1, walk=walk, **where),
            options=TWO,
            stream="untouched",
        )
        assert len(expected.value) >= len(names) - 2
        assert_same(
            {name: actual.value.get(name) for name in expected.value}, expected.value, "attributes"
        )


# ---------------------------------------------------------------------------- save_to_dir


@SEEDS
@pytest.mark.parametrize("kind", ["directory", "dataframe"])
@pytest.mark.parametrize(("save_format", "save_prefix"), [("png", ""), ("jpeg", "aug")])
@pytest.mark.parametrize("options", [TWO, {"workers": 0, "prefetch": 0}], ids=str)
def test_saved_pictures(tree, frame, kind, save_format, save_prefix, seed, options, tmp_path):
    data, where = (tree, {}) if kind == "directory" else (frame, {"directory": str(tree)})

    def scenario(library):
        folder = tmp_path / library.name
        folder.mkdir()
        names = []

        def walk(iterator):
            for _ in range(5):
                next(iterator)
                names.append(sorted(path.name for path in folder.iterdir()))

        file_scenario(
            data,
            settings=FLIPS | {"rescale": 1 / 255},
            save_to_dir=str(folder),
            save_prefix=save_prefix,
            save_format=save_format,
            seed=seed,
            walk=walk,
            **where,
        )(library)
        pictures = {name: Image.open(folder / name) for name in names[-1]}
        return names, {name: (p.format, p.mode, np.asarray(p)) for name, p in pictures.items()}

    actual, expected = run_both(
        scenario, options=options, stream="keras" if seed is None else "untouched"
    )
    assert_same(actual.value, expected.value)
    numbers = [int(name.rsplit("_", 1)[1].split(".")[0]) for name in expected.value[0][-1]]
    assert max(numbers) > 1e4


# ---------------------------------------------------------------------------- execution

POOLS = {
    "spawned Pool": lambda: SPAWN.Pool(2),
    "ThreadPool": lambda: multiprocessing.pool.ThreadPool(2),
    "ThreadPoolExecutor": lambda: concurrent.futures.ThreadPoolExecutor(2),
    "ProcessPoolExecutor": lambda: concurrent.futures.ProcessPoolExecutor(2, mp_context=SPAWN),
    "loky": lambda: loky.ProcessPoolExecutor(2),
}
EXECUTIONS = (
    ["defaults", "pool=2"]
    + [f"{d} {w} {p}" for d in ("processes", "threads") for w in (0, 1, 2) for p in (0, 1, 4)]
    + [f"pool={name}" for name in POOLS]
)


@pytest.fixture(scope="module")
def pools():
    """Every kind of pool, opened when it is first asked for."""
    opened = {}

    def get(name):
        if name not in opened:
            opened[name] = POOLS[name]()
        return opened[name]

    yield get
    for pool in opened.values():
        if isinstance(pool, multiprocessing.pool.Pool):
            pool.terminate()
            pool.join()
        else:
            pool.shutdown()


def arguments_of(execution, pools):
    """The generator's options and the flow's extras."""
    if execution == "defaults":
        return {}, {}
    if execution == "pool=2":
        return {"pool": 2}, {}
    if execution.startswith("pool="):
        return {"pool": pools(execution.removeprefix("pool="))}, {}
    decoder, workers, prefetch = execution.split()
    return {"workers": int(workers), "prefetch": int(prefetch)}, {"decoder": decoder}


EXECUTION_SETTINGS = {
    name: SETTINGS[name]
    for name in ("geometry", "function", "drawing function", "brightness", "float64")
}


@pytest.fixture(scope="module")
def references(tree):
    """What comes out in the calling thread, and from Keras, made once for each setting."""
    made = {}

    def get(name, seed):
        if (name, seed) not in made:
            scenario = file_scenario(
                tree, settings=SETTINGS[name][0], batch_size=5, seed=seed, batches=8
            )
            alone = run(scenario, fastaug_library({"workers": 0, "prefetch": 0}))
            expected = run(scenario, keras_library())
            for result in (alone, expected):
                if result.error is not None:
                    raise result.error
            made[name, seed] = alone, expected
        return made[name, seed]

    return get


@SEEDS
@pytest.mark.parametrize("name", EXECUTION_SETTINGS)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_results_never_depend_on_how_the_work_is_done(
    tree, pools, references, execution, name, seed
):
    """Bit for bit the same in processes, threads and the calling thread, from any pool."""
    options, extras = arguments_of(execution, pools)
    settings, tolerance = EXECUTION_SETTINGS[name]
    actual = run(
        file_scenario(tree, settings=settings, extras=extras, batch_size=5, seed=seed, batches=8),
        fastaug_library(options),
    )
    if actual.error is not None:
        raise actual.error
    alone, expected = references(name, seed)
    assert_same(actual.value, alone.value)
    assert_same(actual.stream, alone.stream)
    if seed is None:
        assert_same(actual.stream, expected.stream)
    assert_batches_equal(actual.value, expected.value, tolerance)


def test_a_number_of_numpy_s_is_no_pool(tree):
    scenario = file_scenario(tree, settings=FLIPS, seed=1, batches=2)
    actual, expected = run_both(scenario, options={"pool": np.int64(2)}, stream="untouched")
    assert_batches_equal(actual.value, expected.value, EXACT)


def test_a_user_s_pool_does_the_decoding_and_stays_the_user_s(tree):
    """Not our own processes, and not the threads."""

    class Counting(concurrent.futures.ThreadPoolExecutor):
        calls = 0

        def submit(self, *task, **keywords):
            self.calls += 1
            return super().submit(*task, **keywords)

    with Counting(2) as pool:
        generator = fastaug_library({"pool": pool}).generator()
        with generator.flow_from_directory(
            str(tree), target_size=TARGET, batch_size=4, seed=1
        ) as iterator:
            take(iterator, 4)
        assert pool.calls >= 4
        assert pool.submit(abs, -3).result(timeout=60) == 3


@pytest.mark.parametrize("name", POOLS)
def test_a_user_s_pool_that_is_closed(tree, name):
    """An error, and no waiting."""
    pool = POOLS[name]()
    generator = fastaug_library({"pool": pool}).generator()
    iterator = generator.flow_from_directory(str(tree), target_size=TARGET, seed=1)
    if isinstance(pool, multiprocessing.pool.Pool):
        pool.close()
        pool.join()
    else:
        pool.shutdown()
    with pytest.raises((ValueError, RuntimeError)):
        next(iterator)
    iterator.close()


def test_batches_are_owned_by_the_caller(tree):
    """A batch is memory of its own that later batches neither share nor change."""
    generator = fastaug_library(TWO).generator()
    with generator.flow_from_directory(
        str(tree), target_size=TARGET, batch_size=4, seed=1, class_mode="input"
    ) as iterator:
        batches = take(iterator, 6)
        copies = [(x.copy(), y.copy()) for x, y in batches]
        take(iterator, 6)
        for batch, copy in zip(batches, copies, strict=True):
            assert_same(batch, copy)
            assert batch[0].flags.writeable and batch[0].flags.owndata
            batch[0][...] = -1
        assert not np.any(next(iterator)[0] == -1)


@pytest.mark.parametrize("execution", EXECUTIONS[:2] + [f"pool={name}" for name in POOLS])
@pytest.mark.parametrize("fresh", [True, False], ids=["many iterators", "one iterator"])
def test_wrong_guesses(tree, pools, execution, fresh):
    """What was read ahead in vain never gets into a batch that is wanted."""
    options, extras = arguments_of(execution, pools)
    rng = np.random.RandomState(3)
    arguments = {"settings": FLIPS, "seed": 5, "extras": extras, "shuffle": True}

    def walk(iterator):
        batches = []
        for _ in range(10 if fresh else 100):
            for k in (0, 1, rng.randint(4)):
                batches.append(next(iterator) if k == 3 else iterator[k])
            if rng.randint(4) == 0:
                iterator.on_epoch_end()
        return batches

    for _ in range(10 if fresh else 1):
        state = rng.get_state()
        with np.printoptions(threshold=9):
            scenario = file_scenario(tree, walk=walk, **arguments)
            expected = run(scenario, fastaug_library({"workers": 0, "prefetch": 0}))
            rng.set_state(state)
            actual = run(scenario, fastaug_library({"prefetch": 3} | options))
        for result in (expected, actual):
            if result.error is not None:
                raise result.error
        assert_batches_equal(actual.value, expected.value, EXACT)


# ---------------------------------------------------------------------------- training


def preprocess_img(img):
    """The article's function, but for its import."""
    img = img / 255.0
    img -= 0.5
    img *= 2.0
    return img


def article_s_generator(library, pool):
    return library.ImageDataGenerator(
        featurewise_center=False,
        samplewise_center=False,
        featurewise_std_normalization=False,
        samplewise_std_normalization=False,
        zca_whitening=False,
        rotation_range=45,
        width_shift_range=0.1,
        height_shift_range=0.1,
        shear_range=0.0,
        zoom_range=0,
        channel_shift_range=0,
        fill_mode="nearest",
        cval=0.0,
        horizontal_flip=True,
        vertical_flip=False,
        rescale=None,
        preprocessing_function=preprocess_img,
        **({"dim_ordering": "default", "pool": pool} if library.name == "fastaug" else {}),
    )


def small_model(shape):
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.layers.Input(shape),
            keras.layers.Conv2D(2, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=1)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(
                1,
                activation="sigmoid",
                kernel_initializer=keras.initializers.GlorotUniform(seed=2),
            ),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), loss="binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("pool_kind", ["spawned Pool", "ThreadPool", None])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_the_article_s_cats_and_dogs(tmp_path, pools, pool_kind):
    """The article's cell, `pool=` included: the same training as with Keras."""
    train = trees.plain_tree(tmp_path / "train", (9, 8))
    valid = trees.plain_tree(tmp_path / "valid", (4, 3))
    pool = pools(pool_kind) if pool_kind else None

    def scenario(library):
        flows = [
            article_s_generator(library, pool).flow_from_directory(
                str(folder),
                target_size=(29, 29),
                batch_size=4,
                class_mode="binary",
                seed=seed,
                shuffle=shuffle,
            )
            for folder, seed, shuffle in ((train, 3, True), (valid, 4, False))
        ]
        model = small_model((29, 29, 3))
        history = model.fit(flows[0], validation_data=flows[1], epochs=3, verbose=0).history
        predicted = model.predict(flows[1], verbose=0)
        for flow in flows:
            library.close(flow)
        return history, predicted

    actual, expected = run(scenario, fastaug_library()), run(scenario, keras_library())
    for result in (actual, expected):
        if result.error is not None:
            raise result.error
    history, expected_history = actual.value[0], expected.value[0]
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(set(expected_history["loss"])) == 3
    for name, values in expected_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-3, err_msg=name)
    np.testing.assert_allclose(actual.value[1], expected.value[1], rtol=1e-3)


# ---------------------------------------------------------------------------- bad files

BAD = {
    "truncated": trees.truncated,
    "text": trees.text,
    "empty": trees.empty,
    "deleted": lambda path: path.unlink(),
    "a folder by now": lambda path: (path.unlink(), path.mkdir()),
}
BY_BAD = pytest.mark.parametrize("spoil", BAD.values(), ids=BAD.keys())
WAYS = {
    "processes": ({"workers": 2, "prefetch": 2}, {"decoder": "processes"}),
    "threads": ({"workers": 2, "prefetch": 2}, {"decoder": "threads"}),
    "calling thread": ({"workers": 0, "prefetch": 0}, {}),
    "ThreadPool": ({"pool": "ThreadPool"}, {}),
    "spawned Pool": ({"pool": "spawned Pool"}, {}),
}
BY_WAY = pytest.mark.parametrize("way", WAYS)


def open_way(way, pools):
    options, extras = WAYS[way]
    if "pool" in options:
        options = {"pool": pools(options["pool"])}
    return options, extras


@BY_WAY
@BY_BAD
@pytest.mark.parametrize("function", [None, to_unit], ids=["", "function"])
@pytest.mark.parametrize("walk", ["next", "items"])
def test_a_bad_file_raises(tmp_path, pools, spoil, way, function, walk):
    """Keras's exception with the path in it; then both go on from the same place."""
    options, extras = open_way(way, pools)
    path = trees.plain_tree(tmp_path / "t") / "bees/1.jpg"

    def steps(iterator):
        spoil(path)
        outcomes, errors = [], []
        for k in range(2 * len(iterator)):
            try:
                batch = next(iterator) if walk == "next" else iterator[k % len(iterator)]
                outcomes.append(batch)
            except Exception as error:
                outcomes.append(type(error).__name__)
                errors.append(str(error))
            outcomes.append((iterator.batch_index, iterator.total_batches_seen))
        return outcomes, errors

    def scenario(library):
        if path.is_dir():
            path.rmdir()
        trees.plain_tree(tmp_path / "t")
        settings = FLIPS | {"preprocessing_function": function}
        return file_scenario(tmp_path / "t", settings=settings, seed=5, extras=extras, walk=steps)(
            library
        )

    results = [run(scenario, keras_library()), run(scenario, fastaug_library(options))]
    for result in results:
        if result.error is not None:
            raise result.error
    expected, actual = (result.value for result in results)
    assert sum(isinstance(outcome, str) for outcome in expected[0]) >= 1
    for a, e in zip(actual[0], expected[0], strict=True):
        if isinstance(e, str) or isinstance(e[0], int):
            assert a == e
        else:
            assert_batches_equal([a], [e], STANDARD)
    assert actual[1] and all(str(path) in text for text in actual[1])


SKIP_SETTINGS = {
    "geometry": SETTINGS["geometry"],
    "shifts from a list": SETTINGS["integer shifts"],
    "function": SETTINGS["function after geometry"],
    "float64": SETTINGS["float64"],
    "brightness": SETTINGS["brightness"],
}


@BY_WAY
@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize(
    ("settings", "tolerance"), SKIP_SETTINGS.values(), ids=SKIP_SETTINGS.keys()
)
@pytest.mark.parametrize("kind", ["directory", "dataframe"])
def test_bad_files_are_skipped(tmp_path, pools, way, settings, tolerance, seed, kind):
    """Every other sample comes as if the file were good: the same batch, less one row."""
    options, extras = open_way(way, pools)
    root = trees.plain_tree(tmp_path / "t")
    bad = {"ants/3.jpg": trees.truncated, "bees/0.jpg": trees.text, "cats/2.jpg": BAD["deleted"]}
    data, where = root, {"class_mode": "sparse"}
    if kind == "dataframe":
        names = sorted(str(path.relative_to(root)) for path in root.glob("*/*.jpg"))
        data = pd.DataFrame({"filename": names, "class": np.arange(N), "w": np.arange(N) / N})
        where = {"directory": str(root), "class_mode": "raw", "weight_col": "w"}

    def steps(library):
        def walk(iterator):
            if library.name == "fastaug":
                assert iterator.bad_files == []
                for name, spoil in bad.items():
                    spoil(root / name)
            result = [(next(iterator), samples_of_the_last_batch(iterator)) for _ in range(9)]
            return result, getattr(iterator, "bad_files", None)

        return walk

    def scenario(library):
        return file_scenario(
            data,
            settings=settings,
            extras=extras | {"on_error": "skip"},
            seed=seed,
            walk=steps(library),
            **where,
        )(library)

    expected, actual = run(scenario, keras_library()), run(scenario, fastaug_library(options))
    for result in (expected, actual):
        if result.error is not None:
            raise result.error
    names = sorted({path.relative_to(root).as_posix() for path in root.glob("*/*.jpg")} | set(bad))
    batches, found = [], []
    for (batch, samples), (ours, _) in zip(expected.value[0], actual.value[0], strict=True):
        good = [k for k, sample in enumerate(samples) if names[sample] not in bad]
        if not good:  # another one stands there
            assert [len(part) for part in ours] == [1] * len(batch)
            ours = tuple(part[good] for part in ours)
        batches.append(tuple(part[good] for part in batch))
        found.append(ours)
    assert any(len(new[0]) < len(old[0][0]) for new, old in
               zip(batches, expected.value[0], strict=True))  # fmt: skip
    assert_batches_equal(found, batches, tolerance)
    assert sorted(actual.value[1]) == sorted(str(root / name) for name in bad)
    texts = [text for _, text in actual.warnings]
    for name in bad:
        assert sum(str(root / name) in text for text in texts) == 1, texts
    assert len(texts) == len(bad)
    if seed is None:
        assert_same(actual.stream, expected.stream)


def samples_of_the_last_batch(iterator):
    """The samples that an iterator has just given, from its public state."""
    k = (iterator.batch_index or len(iterator)) - 1
    return iterator.index_array[k * iterator.batch_size : (k + 1) * iterator.batch_size]


@BY_WAY
def test_a_drawing_function_is_not_called_for_a_bad_file(tmp_path, pools, way):
    """It draws for the others; a batch is the same whether or not the function was seen to draw."""
    options, extras = open_way(way, pools)
    root = trees.plain_tree(tmp_path / "t")
    calls = []

    def function(image):
        calls.append(1)
        return image + np.random.random()

    def batch_after(items):
        generator = fastaug_library(options).generator(
            rotation_range=30, preprocessing_function=function
        )
        flow = {"target_size": TARGET, "batch_size": 4, "shuffle": False, "seed": 7}
        with (
            generator.flow_from_directory(str(root), on_error="skip", **flow, **extras) as iterator,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            for item in items:
                iterator[item]
            iterator.total_batches_seen = 5
            calls.clear()
            return iterator[0], len(calls)

    for name in ("ants/0.jpg", "ants/2.jpg"):
        trees.text(root / name)
        first, count = batch_after([])
        later, later_count = batch_after([1, 2, 1])
        assert count == later_count == len(first[0])
        assert_same(later, first)
    assert len(first[0]) == 2


@BY_WAY
@pytest.mark.parametrize("function", [None, to_unit], ids=["", "function"])
def test_a_whole_batch_of_bad_files(tmp_path, pools, way, function):
    """It comes with one other image: an empty one makes a network's weights NaN."""
    options, extras = open_way(way, pools)
    root = trees.plain_tree(tmp_path / "t")
    for k in range(4):
        trees.text(root / f"ants/{k}.jpg")
    generator = fastaug_library(options).generator(preprocessing_function=function)
    flow = {"target_size": TARGET, "batch_size": 4, "shuffle": False, "seed": 1}
    with (
        generator.flow_from_directory(str(root), on_error="skip", **flow, **extras) as iterator,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        batches = take(iterator, 8)
    assert [len(x) for x, _ in batches] == [1, 4, 4, 1] * 2
    assert [len(y) for _, y in batches] == [1, 4, 4, 1] * 2
    assert batches[0][0].shape == (1, *TARGET, 3) and batches[0][0].dtype == np.float32
    assert batches[0][1].shape == (1, 3) and batches[0][1][0, 0] == 0  # not of the bad ones' class
    assert batches[0][0].std() > 0
    assert iterator.bad_files == [str(root / f"ants/{k}.jpg") for k in range(4)]
    assert len(caught) == 4


@BY_WAY
@pytest.mark.parametrize("function", [None, to_unit], ids=["", "function"])
@pytest.mark.parametrize("seed", [None, 7], ids=str)
def test_bad_files_are_replaced(tmp_path, pools, way, function, seed):
    """By good ones with their own labels, the same each time; the others stay as they were."""
    options, extras = open_way(way, pools)
    root = trees.plain_tree(tmp_path / "t")
    settings = {"preprocessing_function": function, "rescale": 1 / 255, "horizontal_flip": True}
    flow = {"target_size": TARGET, "batch_size": 4, "class_mode": "sparse", "seed": seed}

    def epoch(on_error):
        np.random.seed(5)
        generator = fastaug_library(options).generator(**settings)
        with (
            generator.flow_from_directory(str(root), on_error=on_error, **flow, **extras) as it,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            return take(it, 8), sorted(it.bad_files)

    calm, _ = epoch("raise")
    trees.text(root / "bees/1.jpg")
    trees.truncated(root / "ants/2.jpg")
    replaced, bad_files = epoch("replace")
    assert bad_files == [str(root / "ants/2.jpg"), str(root / "bees/1.jpg")]
    assert [len(x) for x, _ in replaced] == [len(x) for x, _ in calm]
    skipped, _ = epoch("skip")
    changed = 0
    for (x, y), (calm_x, calm_y), (good_x, good_y) in zip(replaced, calm, skipped, strict=True):
        same = [np.array_equal(*pair) for pair in zip(x, calm_x, strict=True)]
        assert np.array_equal(x[same], good_x) and np.array_equal(y[same], good_y)
        assert np.array_equal(y[same], calm_y[same])
        assert all(image.std() > 0 for image in x)
        changed += same.count(False)
    assert changed == 4  # two files in each of two epochs
    again, _ = epoch("replace")
    for pair in zip(replaced, again, strict=True):
        assert_same(*pair)


def test_a_replacement_has_its_own_label(tmp_path):
    """Each class in a colour of its own."""
    for name, color in (("black", 0), ("white", 255)):
        (tmp_path / "t" / name).mkdir(parents=True)
        for k in range(3):
            Image.new("L", (6, 5), color).save(tmp_path / f"t/{name}/{k}.png")
    trees.text(tmp_path / "t/white/0.png")
    trees.text(tmp_path / "t/white/1.png")
    generator = fastaug_library(TWO).generator()
    flow = {"target_size": (5, 6), "batch_size": 6, "class_mode": "binary", "seed": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        iterator = generator.flow_from_directory(str(tmp_path / "t"), on_error="replace", **flow)
        batches = take(iterator, 10)
    for x, y in batches:
        assert np.array_equal(x.mean((1, 2, 3)), 255 * y)
    iterator.close()


@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_no_file_can_be_read(tmp_path, on_error):
    root = trees.plain_tree(tmp_path / "t", (2, 2))
    for path in root.rglob("*.jpg"):
        trees.text(path)
    generator = fastaug_library(TWO).generator()
    with (
        generator.flow_from_directory(str(root), on_error=on_error, target_size=TARGET) as iterator,
        warnings.catch_warnings(),
        pytest.raises(OSError, match="None of the 4 files can be read") as caught,
    ):
        warnings.simplefilter("ignore")
        next(iterator)
    assert ".jpg" in str(caught.value.__cause__)


def test_skipped_files_are_not_saved(tmp_path):
    root = trees.plain_tree(tmp_path / "t")
    trees.truncated(root / "ants/1.jpg")
    folder = tmp_path / "saved"
    folder.mkdir()
    generator = fastaug_library(TWO).generator()
    flow = {"target_size": TARGET, "batch_size": 4, "shuffle": False, "seed": 1}
    with (
        generator.flow_from_directory(
            str(root), on_error="skip", save_to_dir=str(folder), **flow
        ) as iterator,
        pytest.warns(UserWarning, match=r"ants/1\.jpg"),
    ):
        take(iterator, 4)
    assert sorted(int(path.name.split("_")[1]) for path in folder.iterdir()) == [
        k for k in range(N) if k != 1
    ]


def test_a_file_that_is_mended_is_read_again(tmp_path):
    """Neither way remembers a file as bad when it is good again."""
    root = trees.plain_tree(tmp_path / "t")
    path = root / "ants/1.jpg"
    data = path.read_bytes()
    generator = fastaug_library(TWO).generator()
    flow = {"target_size": TARGET, "batch_size": 4, "shuffle": False, "seed": 1}
    trees.text(path)
    with generator.flow_from_directory(str(root), **flow) as iterator:
        for _ in range(3):
            with pytest.raises(OSError, match=r"ants/1\.jpg"):
                iterator[0]
        path.write_bytes(data)
        iterator.reset()
        assert len(next(iterator)[0]) == 4


PILLOW_SETTINGS = {
    "truncated files": (ImageFile, "LOAD_TRUNCATED_IMAGES", False, True, OSError),
    "a limit of pixels": (Image, "MAX_IMAGE_PIXELS", 1000, None, Image.DecompressionBombError),
}


@pytest.mark.parametrize("ask", ["next", "items"])
@pytest.mark.parametrize("batch_size", [4, N])
@pytest.mark.parametrize("setting", PILLOW_SETTINGS.values(), ids=PILLOW_SETTINGS.keys())
@pytest.mark.parametrize(
    "execution", ["processes 2 3", "processes 1 3", "threads 2 3", "pool=spawned Pool"]
)
def test_pillow_s_settings_hold_from_the_next_batch_on(
    tmp_path, pools, execution, setting, batch_size, ask, monkeypatch
):
    """Also in processes that have long been started, and for the last of many files."""
    owner, name, strict, loose, error = setting
    root = trees.plain_tree(tmp_path / "t")
    place = N - 1 if batch_size == N else 1
    path = root / ("cats/3.jpg" if batch_size == N else "ants/1.jpg")
    trees.truncated(path)  # and larger than the others
    if owner is Image:
        trees.write(path.parent, path.name, 90, size=(60, 90))
    options, extras = arguments_of(execution, pools)
    flow = {"target_size": TARGET, "batch_size": batch_size, "shuffle": False, "seed": 1}

    def first(iterator):
        """The first batch, in either way."""
        iterator.reset()
        iterator.total_batches_seen = 0
        return next(iterator) if ask == "next" else iterator[0]

    def outcome(iterator):
        try:
            return first(iterator)
        except Exception as error:
            return error

    def opened(options, extras):
        generator = fastaug_library({"prefetch": 3} | options).generator()
        return generator.flow_from_directory(str(root), **flow, **extras)

    with monkeypatch.context() as patch, opened({"workers": 0}, {}) as alone:
        patch.setattr(owner, name, loose)
        expected = first(alone)
    assert np.any(expected[0][place])
    with opened(options, extras) as iterator:
        for value in (loose, strict, strict, loose, strict):
            monkeypatch.setattr(owner, name, value)
            found = outcome(iterator)
            if value is strict:
                assert type(found) is error and str(path) in str(found)
            else:
                assert_same(found, expected)


def test_pillow_s_own_settings_are_known():
    """Asked for where nobody has changed them."""
    code = (
        "from PIL import Image, ImageFile; "
        "print(Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(value) for value in readers.PILLOW_COMES_WITH]


@pytest.mark.parametrize("execution", ["processes 2 2", "pool=spawned Pool"])
def test_a_relative_path_starts_from_the_folder_of_the_program(
    tmp_path, pools, execution, monkeypatch
):
    """Wherever the processes were started."""
    root = trees.plain_tree(tmp_path / "t")
    options, extras = arguments_of(execution, pools)
    generator = fastaug_library(options).generator()
    flow = {"target_size": TARGET, "batch_size": 4, "seed": 1} | extras
    with generator.flow_from_directory(str(root), **flow) as iterator:
        next(iterator)  # processes are there
    monkeypatch.chdir(tmp_path)
    with generator.flow_from_directory("t", **flow) as iterator:
        next(iterator)
        trees.text(root / "ants/1.jpg")
        with pytest.raises(OSError, match=r"t/ants/1\.jpg"):
            take(iterator, 16)  # it may have been read ahead


@pytest.mark.parametrize("execution", ["processes 2 2", "pool=spawned Pool"])
def test_paths_changed_in_place(tree, pools, execution):
    """As Keras, which looks at them for each image."""
    options, extras = arguments_of(execution, pools)
    generator = fastaug_library(options | {"prefetch": 0}).generator()
    flow = {"target_size": TARGET, "batch_size": 13, "shuffle": False, "class_mode": None} | extras
    with generator.flow_from_directory(str(tree), **flow) as iterator:
        images = next(iterator)
        iterator.filepaths.reverse()
        np.testing.assert_array_equal(next(iterator), images[::-1])


def test_a_path_that_no_file_can_have(tree):
    """It is one bad file, not the end of all."""
    names = [str(path) for path in sorted(tree.glob("*/*.jpg"))[:3]]
    data = pd.DataFrame({"filename": [*names, "lone \ud800.jpg"]})
    generator = fastaug_library(TWO).generator()
    with generator.flow_from_dataframe(
        data, target_size=TARGET, class_mode=None, validate_filenames=False, on_error="skip"
    ) as iterator:
        with pytest.warns(UserWarning, match="lone"):
            assert len(next(iterator)) == 3
        assert iterator.bad_files == ["lone \ud800.jpg"]


class _Odd:
    def __repr__(self):
        raise RuntimeError("no words")


def test_a_record_of_what_cannot_be_told():
    """An argument without a representation: the type is told all the same."""
    error = records.error_of(records.record_of(KeyError(_Odd())))
    assert type(error) is KeyError


@pytest.mark.parametrize("arguments", [{"decoder": "process"}, {"on_error": "ignore"}], ids=str)
def test_refused_extras(tree, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments.values()))):
        fastaug_library(TWO).generator().flow_from_directory(str(tree), **arguments)


def test_rest_of_a_batch_is_compared():
    """The comparison sees a wrong label."""
    x = np.zeros((1, 2, 2, 3), "float32")
    assert rest_of((x, np.ones(1)))[1] is not None
    with pytest.raises(AssertionError):
        assert_batches_equal([(x, np.ones(1))], [(x, np.zeros(1))])
