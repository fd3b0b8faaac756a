"""Names of Keras that recipes use: private ones of its iterators, helpers of its old package."""

import pathlib

import numpy as np
import pandas as pd
import pytest
import trees
from reference import (
    FLIPS,
    assert_batches_equal,
    assert_same,
    keras_image,
    run_both,
    take,
)

import fastaug

N = 13  # of the plain tree
TWO = {"workers": 2, "prefetch": 2}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.plain_tree(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def frame(tree):
    names = sorted(str(path.relative_to(tree)) for path in tree.glob("*/*.jpg"))
    numbers = np.arange(float(N))
    return pd.DataFrame({"filename": names, "number": numbers, "other": -numbers, "w": numbers / 7})


def compare_walks(data, walk, settings=FLIPS, seed=1, **flow):
    def scenario(library):
        generator = library.generator(**settings)
        flow_of = getattr(
            generator,
            "flow_from_dataframe" if isinstance(data, pd.DataFrame) else "flow_from_directory",
        )
        iterator = flow_of(data, target_size=(9, 11), batch_size=4, seed=seed, **flow)
        try:
            return walk(iterator)
        finally:
            library.close(iterator)

    stream = "keras" if seed is None else "untouched"
    actual, expected = run_both(scenario, options=TWO, stream=stream)
    if expected.error is not None:
        raise expected.error
    return actual.value, expected.value


# ---------------------------------------------------------------------------- paths


def replace(iterator):
    iterator._filepaths = iterator._filepaths[::-1]


def replace_in_place(iterator):
    iterator._filepaths[:] = iterator._filepaths[::-1]


def replace_one_by_one(iterator):
    first = iterator._filepaths[0]
    for position in range(1, N):
        iterator._filepaths[position] = first


def replace_by_an_array(iterator):
    iterator._filepaths = np.array(iterator._filepaths)[::-1]


def replace_by_paths(iterator):
    iterator._filepaths = [pathlib.Path(path) for path in iterator._filepaths[::-1]]


@pytest.mark.parametrize(
    "change",
    [replace, replace_in_place, replace_one_by_one, replace_by_an_array, replace_by_paths],
    ids=lambda change: change.__name__,
)
@pytest.mark.parametrize("kind", ["directory", "dataframe"])
@pytest.mark.parametrize("seed", [None, 1])
def test_paths_take_effect_with_the_next_batch(tree, frame, kind, change, seed):
    def walk(iterator):
        before = take(iterator, 2)
        change(iterator)
        return before + take(iterator, 4) + [iterator[1]], list(iterator.filepaths)

    where = {} if kind == "directory" else {"directory": str(tree), "class_mode": None}
    actual, expected = compare_walks(
        frame if where else str(tree), walk, seed=seed, shuffle=False, **where
    )
    assert_batches_equal(actual[0], expected[0])
    assert actual[1] == expected[1]


def test_paths_before_the_first_batch(tree):
    def walk(iterator):
        iterator._filepaths = iterator._filepaths[::-1]
        return take(iterator, 5)

    assert_batches_equal(*compare_walks(str(tree), walk))


# ---------------------------------------------------------------------------- labels, weights


@pytest.mark.parametrize("class_mode", ["raw", "sparse"])
def test_targets(tree, frame, class_mode):
    """They are the labels of `raw`; where classes are, they have no part, as in Keras."""

    def walk(iterator):
        before = take(iterator, 2)
        iterator._targets = np.arange(N) * 3.5
        after = take(iterator, 2)
        iterator._targets[:6] = -1
        return before + after + take(iterator, 4), iterator.labels

    actual, expected = compare_walks(
        frame.assign(**{"class": ["a", "b"] * 6 + ["a"]}),
        walk,
        directory=str(tree),
        class_mode=class_mode,
        y_col="number" if class_mode == "raw" else "class",
    )
    assert_batches_equal(actual[0], expected[0])
    assert_same(actual[1], expected[1])


def test_sample_weights(tree, frame):
    def walk(iterator):
        before = take(iterator, 2)
        shown = iterator._sample_weight
        iterator._sample_weight = np.arange(N) * 2
        after = take(iterator, 2)
        iterator._sample_weight = None
        return before + after + take(iterator, 2), shown, iterator.sample_weight

    actual, expected = compare_walks(
        frame, walk, directory=str(tree), class_mode="raw", y_col="number", weight_col="w"
    )
    assert_batches_equal(actual[0], expected[0])
    assert_same(actual[1:], expected[1:])


def test_weights_of_a_directory_have_no_part_as_in_keras(tree):
    def walk(iterator):
        iterator._sample_weight = np.arange(N)
        iterator._targets = np.arange(N)
        return take(iterator, 4)

    assert_batches_equal(*compare_walks(str(tree), walk))


def test_names_that_keras_does_not_have_are_not_there(tree, frame):
    """Recipes ask with `hasattr`."""

    def walk(iterator):
        return [hasattr(iterator, name) for name in ("_targets", "_sample_weight", "_filepaths")]

    for data, flow in (
        (str(tree), {}),
        (frame, {"directory": str(tree), "class_mode": None}),
        (frame, {"directory": str(tree), "class_mode": "raw", "y_col": "number"}),
    ):
        actual, expected = compare_walks(data, walk, **flow)
        assert actual == expected


# ---------------------------------------------------------------------------- the old package


def test_validate_filename(tmp_path):
    (tmp_path / "A.JPG").touch()
    (tmp_path / "a.txt").touch()
    (tmp_path / "folder.jpg").mkdir()
    for name in ("A.JPG", "a.txt", "folder.jpg", "nowhere.jpg"):
        for formats in (("png", "jpg"), ("txt",), ()):
            expected = keras_image.validate_filename(str(tmp_path / name), formats)
            assert fastaug.validate_filename(str(tmp_path / name), formats) is expected
    assert fastaug.validate_filename(tmp_path / "A.JPG", {"jpg"})
    assert fastaug.validate_filename(str(tmp_path / "A.JPG"), "jpg")
    with pytest.raises(TypeError):
        fastaug.validate_filename(None, ("jpg",))


def test_list_pictures(tmp_path):
    for name in ("a.jpg", "b.PNG", "c.txt", "more/d.tiff", "more/e.jpgs", "more/deep/f.ppm", "jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    root = str(tmp_path)

    def listed(*arguments):
        paths = fastaug.list_pictures(*arguments)
        assert all(type(path) is str for path in paths)
        return {str(pathlib.Path(path).relative_to(tmp_path)) for path in paths}

    assert listed(root) == {"a.jpg", "b.PNG", "more/d.tiff", "more/deep/f.ppm"}
    assert listed(tmp_path, "png") == {"b.PNG"}
    assert listed(root, ("txt", "tiff")) == {"c.txt", "more/d.tiff"}
    assert fastaug.list_pictures(root + "/nowhere") == []
