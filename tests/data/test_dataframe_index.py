"""The index of a dataframe: Keras's own iterator reads the same dataframe beside it."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reference import assert_same, keras_image
from test_directory_index import SETTINGS, SUBSETS, outcome, split_of, text_of, touch

from fastaug.data import dataframe as dataframe_module
from fastaug.data import directory as directory_module
from fastaug.data.dataframe import DataFrameIndex
from fastaug.data.directory import labels_of

LABELLED = ["categorical", "binary", "sparse"]
CLASS_MODES = [*LABELLED, "input", "raw", None]
LABELS = ["cat", "dog", "dog", "cat", "dog", "cat", "cat", "dog", "dog", "cat", "cat"]
LISTS = [["cat"], ("dog", "cat"), [], "dog", ["bird", "cat"], ["dog", "dog"], (), "cat"]


# ---------------------------------------------------------------------------- helpers


def compare(frame, directory=None, subset=None, validation_split=0.0, dtype="float32", **arguments):
    """Read a dataframe with both libraries; returns the two results, or None if both refuse."""
    generator = keras_image.ImageDataGenerator()
    generator._validation_split = validation_split
    before = frame.copy() if isinstance(frame, pd.DataFrame) else None
    ours, our_error, our_warnings, our_text = outcome(
        lambda: DataFrameIndex(
            frame, directory, split=split_of(subset, validation_split), **arguments
        )
    )
    if before is not None:
        pd.testing.assert_frame_equal(frame, before)
    theirs, their_error, their_warnings, their_text = outcome(
        lambda: keras_image.DataFrameIterator(
            frame,
            directory,
            generator,
            target_size=(1, 1),
            subset=subset,
            dtype=dtype,
            **arguments,
        )
    )
    assert our_text == their_text
    assert our_warnings == their_warnings
    assert type(our_error) is type(their_error), (our_error, their_error)
    assert text_of(our_error) == text_of(their_error)
    if their_error is not None:
        return None
    for name in (
        "filenames",
        "filepaths",
        "samples",
        "classes",
        "class_indices",
        "labels",
        "sample_weight",
        "directory",
        "class_mode",
    ):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        if hasattr(theirs, name):
            same_values(getattr(ours, name), getattr(theirs, name), name)
    assert len(ours) == theirs.samples
    return ours, theirs


def same_values(actual, expected, where):
    """As `assert_same`, for arrays of pandas and of objects too."""
    if isinstance(expected, pd.api.extensions.ExtensionArray):
        pd.testing.assert_extension_array_equal(actual, expected, check_exact=True, obj=where)
    elif isinstance(expected, np.ndarray) and expected.dtype == object:
        assert type(actual) is np.ndarray and actual.dtype == object, where
        assert actual.shape == expected.shape, where
        assert_same(actual.tolist(), expected.tolist(), where)
    elif isinstance(expected, list) and any(isinstance(e, np.ndarray) for e in expected):
        assert len(actual) == len(expected), where
        for a, e in zip(actual, expected, strict=True):
            same_values(a, e, where)
    else:
        assert_same(actual, expected, where)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eleven images, and names of what is no image."""
    root = tmp_path_factory.mktemp("photos")
    touch(root, *(f"{i}.jpg" for i in range(9)), "sub/9.PNG", "sub/é è.bmp", "notes.txt")
    (root / "folder.jpg").mkdir()
    (root / "link.jpg").symlink_to("1.jpg")
    (root / "broken.jpg").symlink_to("nowhere")
    (root / "linked").symlink_to("sub", target_is_directory=True)
    return root


def names():
    return [*(f"{i}.jpg" for i in range(9)), "sub/9.PNG", "sub/é è.bmp"]


def frame_of(labels=LABELS, **columns):
    return pd.DataFrame({"filename": names()[: len(labels)], "class": labels, **columns})


@pytest.fixture
def no_pixels(monkeypatch):
    """Keras's batches without files to decode."""
    monkeypatch.setattr(
        keras_image.image_utils, "load_img", lambda path, **kwargs: Image.new("RGB", (1, 1))
    )


@pytest.fixture(params=["one thread", "threads"])
def threads(request, monkeypatch):
    """The check of the files as it starts, and as it goes on once it was seen to wait."""
    if request.param == "threads":
        monkeypatch.setattr(directory_module, "_SECONDS_UNTIL_THREADS", -1.0)
        monkeypatch.setattr(directory_module.time, "thread_time", lambda: 0.0)
    return request.param


# ---------------------------------------------------------------------------- rows and labels


@pytest.mark.parametrize("class_mode", CLASS_MODES)
@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("validate", [True, False])
def test_reads_what_keras_reads(folder, class_mode, subset, validate):
    frame = frame_of(weight=np.arange(11) / 7)
    for classes, split, weight in itertools.product(
        (None, [], ["dog", "cat"], ("cat", "dog", "cat"), ["dog", "bird"], ["bird", "fish"]),
        (0.0, 0.2, 0.5, 0.99),
        (None, "weight"),
    ):
        found = compare(
            frame,
            str(folder),
            subset=subset,
            validation_split=split,
            class_mode=class_mode,
            classes=classes,
            weight_col=weight,
            validate_filenames=validate,
        )
        assert found is not None
    assert found[0].samples in (0, 11, 10, 1)


@pytest.mark.parametrize("class_mode", CLASS_MODES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "uint8"])
def test_labels_of_a_batch(folder, class_mode, dtype, no_pixels):
    frame = frame_of(weight=np.arange(11))
    ours, theirs = compare(frame, folder, class_mode=class_mode, dtype=dtype, weight_col="weight")
    check_batches(ours, theirs, dtype)


def check_batches(ours, theirs, dtype="float32"):
    for index in ([3, 0, ours.samples - 1, 3], [2], []):
        index = np.array(index, dtype=int)
        batch = theirs._get_batches_of_transformed_samples(index)
        actual = labels_of(ours, index, dtype)
        if ours.class_mode is None or ours.class_mode == "input":
            assert actual is None
        else:
            same_values(actual, batch[1], "labels")


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("classes", [None, ["dog", "cat"], ["cat"], ["fish"], ["bird", "cat", 5]])
def test_lists_of_labels(folder, classes, subset, no_pixels):
    ours, theirs = compare(
        frame_of(LISTS), folder, classes=classes, subset=subset, validation_split=0.3
    )
    if ours.samples > 3:
        check_batches(ours, theirs)
    if classes is None and subset is None:
        assert ours.classes == [[1], [2, 1], [], 2, [0, 1], [2, 2], [], 1]
        np.testing.assert_array_equal(
            labels_of(ours, np.arange(4), "int32"), [[0, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]]
        )


def test_labels_that_cannot_be_classes(folder):
    odd = [["cat", ["dog"]], ["cat", 5], ["dog", None]]
    for classes in (None, ["cat"], ["cat", 5], [["cat"]], np.array(["cat", "dog"]), "cat", {"cat"}):
        compare(frame_of(odd), folder, classes=classes)
    assert compare(frame_of([["cat", 5], ["dog"]]), folder) is None


@pytest.mark.parametrize(
    ("y_col", "class_mode"),
    [
        (["a", "b"], "multi_output"),
        (["a", "vectors", "words"], "multi_output"),
        (["a"], "multi_output"),
        ([], "multi_output"),
        (["a", "ragged"], "multi_output"),
        (["a", "nowhere"], "multi_output"),
        (["nowhere"], "raw"),
        ("nowhere", "raw"),
        *((column, "raw") for column in ("a", "b", "words", "vectors", "whole", "days", "kinds")),
        (["a", "b"], "raw"),
        (["a", "words"], "raw"),
    ],
    ids=str,
)
@pytest.mark.parametrize("subset", SUBSETS)
def test_values_as_labels(folder, y_col, class_mode, subset, no_pixels):
    frame = frame_of(
        a=np.arange(11),
        b=np.arange(11, dtype="float32") / 3,
        words=[f"w{i}" for i in range(11)],
        vectors=[[i, i + 1.5] for i in range(11)],
        ragged=[[0] * i for i in range(11)],
        whole=pd.array([1, None] * 5 + [3], dtype="Int64"),
        days=pd.date_range("2020-01-01", periods=11),
        kinds=pd.Categorical(LABELS),
    )
    for validate in (True, False):
        found = compare(
            frame,
            folder,
            y_col=y_col,
            class_mode=class_mode,
            subset=subset,
            validation_split=0.3,
            validate_filenames=validate,
        )
        if found and found[0].samples > 3:
            check_batches(*found)


def test_the_index_keeps_its_values_when_the_dataframe_changes(folder):
    frame = frame_of(a=np.arange(11.0), weight=np.arange(11.0))
    index, _, _, _ = outcome(
        lambda: DataFrameIndex(
            frame,
            folder,
            y_col="a",
            class_mode="raw",
            weight_col="weight",
            validate_filenames=False,
        )
    )
    frame.loc[:, ["a", "weight"]] = -1.0
    np.testing.assert_array_equal(index.labels, np.arange(11.0))
    np.testing.assert_array_equal(index.sample_weight, np.arange(11.0))


def test_odd_dataframes(folder):
    frame = frame_of(weight=np.arange(11))
    repeated = frame.set_index(pd.Index([0, 1] * 5 + [0]))
    for subset in SUBSETS:
        for odd in (
            frame.iloc[::-1],
            frame.iloc[::2],
            repeated,
            frame.set_index("weight", drop=False),
            frame.astype({"filename": object, "class": object}),
            frame.astype({"filename": "string", "class": "string"}),
            frame.astype({"class": "category"}),
            frame.astype("category"),
            frame.rename(columns={"class": 7}),
            pd.concat([frame, frame[["class"]]], axis=1),
            pd.concat([frame, frame[["filename"]]], axis=1),
            frame[["filename"]],
            frame[["class"]],
        ):
            for class_mode in CLASS_MODES:
                arguments = {"class_mode": class_mode, "subset": subset, "validation_split": 0.4}
                compare(odd, folder, **arguments)
                compare(odd, folder, classes=["dog", "cat"], **arguments)
                compare(odd, folder, y_col=7, **arguments)


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("class_mode", CLASS_MODES)
def test_empty_dataframes(folder, class_mode, validate):
    for frame in (
        frame_of([]),
        frame_of().iloc[:0],
        frame_of().iloc[:0].astype(object),
        pd.DataFrame(),
    ):
        for classes in (None, ["cat", "dog"]):
            compare(
                frame,
                folder,
                class_mode=class_mode,
                classes=classes,
                validate_filenames=validate,
            )


@pytest.mark.parametrize("frame", [None, [], "frame", 5], ids=str)
def test_not_a_dataframe(frame):
    assert compare(frame) is None


def test_a_dict_is_not_a_dataframe():
    with pytest.raises(AttributeError, match="'list' object has no attribute"):
        DataFrameIndex({"filename": ["1.jpg"]})


# ---------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    "arguments",
    [
        {"class_mode": "other"},
        {"class_mode": ["raw"]},
        {"class_mode": "other", "y_col": "nowhere", "x_col": "nowhere"},
        {"class_mode": "multi_output", "x_col": "number"},
        {"class_mode": "multi_output", "y_col": ("class",)},
        {"x_col": "number"},
        {"x_col": "nowhere", "y_col": "number"},
        {"x_col": "gaps"},
        {"x_col": ["filename"]},
        {"x_col": "number", "y_col": "number"},
        *({"class_mode": mode, "y_col": "number"} for mode in LABELLED),
        *({"class_mode": mode, "y_col": "gaps"} for mode in LABELLED),
        *({"class_mode": mode, "y_col": ["class"]} for mode in LABELLED),
        *({"class_mode": mode, "y_col": "nowhere"} for mode in LABELLED),
        *({"class_mode": mode, "y_col": "mixed"} for mode in LABELLED),
        *({"class_mode": mode, "y_col": "lists"} for mode in ("binary", "sparse")),
        {"class_mode": "binary", "y_col": "three"},
        {"class_mode": "binary", "y_col": "one"},
        {"class_mode": "binary", "classes": ["cat"]},
        {"class_mode": "binary", "classes": ["cat", "dog", "bird"]},
        {"class_mode": "binary", "classes": ["cat", "cat"], "weight_col": "class"},
        *({"class_mode": m, "weight_col": "class"} for m in CLASS_MODES),
        *({"class_mode": m, "weight_col": "nowhere"} for m in CLASS_MODES),
        *({"class_mode": m, "weight_col": "yes"} for m in CLASS_MODES),
        {"class_mode": "raw", "classes": ["cat"], "weight_col": "class"},
        {"classes": np.array(["cat", "dog"])},
    ],
    ids=str,
)
@pytest.mark.parametrize("directory", ["folder", "nowhere"])
def test_refusals(folder, arguments, directory):
    frame = frame_of(
        number=np.arange(11),
        gaps=["1.jpg", None] * 5 + ["2.jpg"],
        mixed=["cat", 5] * 5 + ["dog"],
        lists=[["cat"], ["dog"]] * 5 + [["cat"]],
        three=["a", "b", "c"] * 3 + ["a", "b"],
        one=["a"] * 11,
        yes=[True] * 11,
    )
    assert compare(frame, folder / directory, **arguments) is None


@pytest.mark.parametrize("class_mode", ["input", "raw", None])
def test_classes_that_are_not_used_are_a_warning(folder, class_mode):
    compare(frame_of(), folder, class_mode=class_mode, classes=["cat"])
    with pytest.warns(UserWarning, match="`classes` will be ignored") as caught:
        DataFrameIndex(frame_of(), folder, class_mode=class_mode, classes=["cat"])
    assert [warning.filename for warning in caught] == [__file__]


def test_whole_numbers_as_weights(folder):
    frame = frame_of(weight=pd.array(range(11), dtype="Int64"))
    ours, _ = compare(frame, folder, weight_col="weight", subset="training", validation_split=0.5)
    assert list(ours.sample_weight) == [5, 6, 7, 8, 9, 10]
    frame = frame_of(weight=np.arange(11, dtype="complex64"))
    compare(frame, folder, weight_col="weight")


# ---------------------------------------------------------------------------- files

ODD_PATHS = [
    "nowhere.jpg",
    "notes.txt",
    "folder.jpg",
    "link.jpg",
    "broken.jpg",
    "linked/9.PNG",
    "linked/nowhere.jpg",
    "sub/../3.jpg",
    "./3.jpg",
    "sub//9.PNG",
    "nowhere/../3.jpg",
    "1.jpg/",
    "1.jpg\0",
    "\0/1.jpg",
    "\ud800.jpg",
    "\udcff.jpg",
    "1.JPG",
    "sub/9.png",
    "",
    "jpg",
    "1.jpg/2.jpg",
]


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("class_mode", CLASS_MODES)
def test_files_that_are_not_there(folder, class_mode, many, threads, monkeypatch):
    if many:
        monkeypatch.setattr(dataframe_module, "_NAMES_TO_LIST", 1)
    paths = [*names(), *ODD_PATHS, str(folder / "4.jpg"), "/4.jpg", str(folder / "no.jpg")]
    frame = pd.DataFrame(
        {"filename": paths, "class": (["b", "a", "b"] * len(paths))[: len(paths)]},
        dtype=object,
    )
    for validate in (True, False):
        ours, _ = compare(
            frame,
            folder,
            class_mode=class_mode,
            validate_filenames=validate,
            subset="training",
            validation_split=0.1,
        )
        if validate:
            assert {"link.jpg", "linked/9.PNG", "sub//9.PNG"} < set(ours.filenames)
            assert not {"folder.jpg", "broken.jpg", "notes.txt", "jpg"} & set(ours.filenames)


def test_files_of_another_class_leave_no_class_behind(folder):
    frame = pd.DataFrame({"filename": ["1.jpg", "no.jpg", "2.jpg"], "class": ["a", "b", "c"]})
    ours, _ = compare(frame, folder)
    assert ours.class_indices == {"a": 0, "c": 1}
    ours, _ = compare(frame, folder, validate_filenames=False)
    assert ours.class_indices == {"a": 0, "b": 1, "c": 2}
    with pytest.warns(UserWarning, match="Found 1 invalid image") as caught:
        DataFrameIndex(frame, folder)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("validate", [True, False])
def test_directories(folder, validate, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for directory in (
        None,
        "",
        folder,
        str(folder),
        f"{folder}/",
        folder.name,
        f"./{folder.name}",
        b"",
        os.fsencode(folder),
        5,
        "nowhere",
        "/",
    ):
        compare(frame_of(), directory, validate_filenames=validate)
    whole = frame_of()
    whole["filename"] = [str(folder / name) for name in names()]
    for directory in (None, "nowhere", folder):
        ours, _ = compare(whole, directory, validate_filenames=validate)
        assert ours.samples == 11
    monkeypatch.chdir(folder)
    monkeypatch.setattr(dataframe_module, "_NAMES_TO_LIST", 1)
    isfile = os.path.isfile
    asked = []
    monkeypatch.setattr(os.path, "isfile", lambda path: asked.append(path) or isfile(path))
    index, _, _, _ = outcome(lambda: DataFrameIndex(frame_of(), validate_filenames=validate))
    assert index.samples == 11
    assert len(asked) == (2 if validate else 0)  # one in each folder, the rest are listed
    ours, _ = compare(frame_of(), None, validate_filenames=validate)
    assert ours.samples == 11


def test_folders_are_listed_only_as_far_as_it_pays(folder, monkeypatch):
    monkeypatch.setattr(dataframe_module, "_NAMES_TO_LIST", 1)
    monkeypatch.setattr(dataframe_module, "_ENTRIES_TO_LIST", 2)
    monkeypatch.setattr(dataframe_module, "_ENTRIES_PER_NAME", 0)
    ours, _ = compare(frame_of(), folder)
    assert ours.samples == 11


def test_a_folder_that_can_be_listed_but_not_entered(folder, monkeypatch):
    monkeypatch.setattr(dataframe_module, "_NAMES_TO_LIST", 1)
    monkeypatch.setattr(os.path, "isfile", lambda path: False)
    ours, _ = compare(frame_of(), folder)
    assert ours.samples == 0


def test_a_folder_that_can_be_entered_but_not_listed(folder, monkeypatch):
    monkeypatch.setattr(dataframe_module, "_NAMES_TO_LIST", 1)

    def refused(path):
        raise PermissionError(path)

    monkeypatch.setattr(os, "scandir", refused)
    ours, _ = compare(frame_of(), folder)
    assert ours.samples == 11


def test_other_formats(folder):
    frame = pd.DataFrame({"filename": ["1.jpg", "notes.txt"], "class": ["a", "b"]})
    with pytest.warns(UserWarning, match="Found 1 invalid"):
        index = DataFrameIndex(frame, folder, formats=(".txt",))
    assert index.filenames == ["notes.txt"]


def test_pandas_is_not_imported():
    program = (
        "import sys, fastaug, fastaug.data.directory; "
        "assert 'pandas' not in sys.modules; "
        "assert 'fastaug.data.dataframe' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# ---------------------------------------------------------------------------- random dataframes

LABEL = st.sampled_from(["a", "b", "c"])


@settings(max_examples=100, **SETTINGS)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([*names(), *ODD_PATHS[:12]]),
            LABEL | st.lists(LABEL, max_size=3) | st.lists(LABEL, max_size=2).map(tuple),
        ),
        min_size=1,
        max_size=20,
    ),
    only_words=st.booleans(),
    subset=st.sampled_from(SUBSETS),
    validation_split=st.floats(0, 1),
    class_mode=st.sampled_from(CLASS_MODES),
    classes=st.none() | st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=4),
    validate_filenames=st.booleans(),
)
def test_random_dataframes(folder, rows, only_words, **arguments):
    if only_words:
        rows = [(path, (*label, "a")[0]) for path, label in rows]
    frame = pd.DataFrame(
        {"filename": [path for path, _ in rows], "class": [label for _, label in rows]}
    )
    compare(frame, str(folder), **arguments)
