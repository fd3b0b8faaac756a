"""The index of a directory: Keras's own iterator lists the same tree beside it."""

import ast
import contextlib
import errno
import io
import multiprocessing.pool
import os
import pathlib
import tempfile
import threading
import unittest.mock
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reference import assert_same, keras_image
from terminal import Terminal

from fastaug import defaults
from fastaug.data import directory as directory_module
from fastaug.data.directory import DirectoryIndex, Progress, labels_of, map_waiting
from fastaug.defaults import print_message

SUBSETS = [None, "training", "validation"]
CLASS_MODES = ["categorical", "binary", "sparse", "input", None]
SETTINGS = {"derandomize": True, "deadline": None}


# ---------------------------------------------------------------------------- helpers


def outcome(make):
    """Call ``make``; returns its result, its error, the warnings and what it printed."""
    printed = io.StringIO()
    result, error = None, None
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(printed),
    ):
        warnings.simplefilter("always")
        try:
            result = make()
        except Exception as raised:
            error = raised
    said = {(warning.category, str(warning.message)) for warning in caught}
    return result, error, said, printed.getvalue()


@contextlib.contextmanager
def keras_pools_ended():
    """End the thread pools that Keras leaves behind when it raises."""
    pools = []

    def recorded(*args, **kwargs):
        pools.append(thread_pool(*args, **kwargs))
        return pools[-1]

    thread_pool = multiprocessing.pool.ThreadPool
    with unittest.mock.patch.object(multiprocessing.pool, "ThreadPool", recorded):
        try:
            yield
        finally:
            for pool in pools:
                pool.terminate()
                pool.join()


def split_of(subset, validation_split):
    return {
        None: None,
        "validation": (0, validation_split),
        "training": (validation_split, 1),
    }[subset]


def text_of(error):
    """The text of an error; sets in it, whose order is by chance, sorted."""
    text, marker, modes = str(error).partition("expected one of: ")
    return text + marker + str(sorted(map(str, ast.literal_eval(modes))) if marker else "")


def compare(directory, subset=None, validation_split=0.0, dtype="float32", **arguments):
    """List a directory with both libraries; returns the two results, or None if both refuse."""
    generator = keras_image.ImageDataGenerator()
    generator._validation_split = validation_split
    with keras_pools_ended():
        theirs, their_error, their_warnings, their_text = outcome(
            lambda: keras_image.DirectoryIterator(
                directory, generator, target_size=(1, 1), subset=subset, dtype=dtype, **arguments
            )
        )
    ours, our_error, our_warnings, our_text = outcome(
        lambda: DirectoryIndex(directory, split=split_of(subset, validation_split), **arguments)
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
        "classes",
        "class_indices",
        "num_classes",
        "samples",
        "labels",
        "sample_weight",
        "directory",
        "class_mode",
    ):
        assert_same(getattr(ours, name), getattr(theirs, name), name)
    assert len(ours) == theirs.samples
    return ours, theirs


def touch(root, *paths):
    for path in paths:
        path = root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def tree(tmp_path):
    """Three classes of 7, 4 and 1 images, with folders in folders."""
    root = tmp_path / "photos"
    touch(root, *(f"cats/{i}.jpg" for i in (10, 9, 1, 2)), "cats/more/5.png", "cats/a/b/3.bmp")
    touch(root, "cats/a.d/3.bmp", "dogs/x.ppm", "dogs/Y.JPG", "dogs/z.tif", "dogs/n.jpeg")
    touch(root, "birds/x.png", "birds/notes.txt", "not in a class.png")
    return root


@pytest.fixture(params=["one thread", "threads"])
def threads(request, monkeypatch):
    """The scan as it starts, and as it goes on once it was seen to wait."""
    if request.param == "threads":
        monkeypatch.setattr(directory_module, "_SECONDS_UNTIL_THREADS", -1.0)
        monkeypatch.setattr(directory_module.time, "thread_time", lambda: 0.0)
    return request.param


@pytest.fixture
def no_pixels(monkeypatch):
    """Keras's batches without files to decode."""
    monkeypatch.setattr(
        keras_image.image_utils, "load_img", lambda path, **kwargs: Image.new("RGB", (1, 1))
    )


# ---------------------------------------------------------------------------- trees


@pytest.mark.parametrize("class_mode", CLASS_MODES)
@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("classes", [None, [], ["dogs", "cats"], ("dogs", "birds", "cats")])
def test_lists_what_keras_lists(tree, class_mode, subset, classes, threads):
    for validation_split in (0.2, 0.99):
        ours, _ = compare(
            tree,
            subset=subset,
            validation_split=validation_split,
            classes=classes,
            class_mode=class_mode,
        )
    assert ours.class_indices["dogs"] == (0 if classes else 2)


def test_the_tree_is_listed_by_paths(tree):
    ours, _ = compare(tree)
    assert ours.filenames[1:8] == [
        "cats/1.jpg",
        "cats/10.jpg",
        "cats/2.jpg",
        "cats/9.jpg",
        "cats/a.d/3.bmp",
        "cats/a/b/3.bmp",
        "cats/more/5.png",
    ]
    assert ours.num_classes == 3 and ours.samples == 12


@pytest.mark.parametrize("class_mode", CLASS_MODES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "uint8"])
def test_labels_of_a_batch(tree, class_mode, dtype, no_pixels):
    ours, theirs = compare(tree, class_mode=class_mode, dtype=dtype)
    for index in ([3, 0, 11, 3], [5], []):
        index = np.array(index, dtype=int)
        expected = theirs._get_batches_of_transformed_samples(index)
        actual = labels_of(ours, index, dtype)
        if class_mode in ("input", None):
            assert actual is None
        else:
            assert_same(actual, expected[1])
    # Labels that the user replaces are the labels of the next batches.
    ours.classes = ours.classes[::-1].copy()
    theirs.classes = theirs.classes[::-1].copy()
    if class_mode not in ("input", None):
        expected = theirs._get_batches_of_transformed_samples(np.arange(5))
        assert_same(labels_of(ours, np.arange(5), dtype), expected[1])


def lists(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@pytest.mark.parametrize("class_mode", ["categorical", "sparse"])
@pytest.mark.parametrize(
    "classes",
    [
        np.arange(12) % 3,
        np.arange(12, dtype="uint8") % 3,
        np.arange(12, dtype=object) % 3,
        (np.arange(12) % 3).tolist(),
        (np.arange(12) % 3)[:, np.newaxis],
        lists(*([[0, 2], [1], [], [2]] * 3)),
        np.array([True, False] * 6),
        np.array([0.0, np.nan] * 6),
    ],
    ids=["int64", "uint8", "object", "list", "column", "lists", "bool", "NaN"],
)
def test_classes_of_any_kind(tree, class_mode, classes, no_pixels):
    """Somebody may have replaced them by anything: labels and errors are Keras's."""
    for dtype in ("float32", "int32"):
        ours, theirs = compare(tree, class_mode=class_mode, dtype=dtype)
        ours.classes = theirs.classes = classes
        for index in (np.arange(4), np.array([7, 1, 3])):
            try:
                expected = theirs._get_batches_of_transformed_samples(index)[1]
            except (IndexError, TypeError, ValueError) as error:
                with pytest.raises(type(error)):
                    labels_of(ours, index, dtype)
            else:
                assert_same(labels_of(ours, index, dtype), expected)


def test_odd_names(tmp_path):
    touch(tmp_path, *(f"c/{name}.jpg" for name in (" ", "a b", "é", "e\u0301", "日本", "a\nb")))
    touch(
        tmp_path, *(f"c/{os.fsdecode(name)}" for name in (b"\xff.png", b"a\xe9.PNG", b"\xc3.Gif"))
    )
    touch(tmp_path, "c/jpg", "c/xpng", "c/.jpg", "c/.hidden.jpg", "c/x.jpg ", "c/x.jpg.txt")
    touch(tmp_path, "c/a.TIF", "c/b.JPeG", "c/İ.jpg", "c/ẞ.BMP")
    touch(tmp_path, ".hidden/x.jpg", "é è/x.jpg", "\udcfe/x.jpg", "\n/x.jpg")
    touch(tmp_path, "c/folder.jpg/x.png", "c/a/z.jpg", "c/a-b/z.jpg", "c/a b/z.jpg", "c/a.b/z.jpg")
    touch(tmp_path, "c/é/z.jpg", "c/\udcff/z.jpg", "d.jpg/x.jpg", "top.jpg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "c" / "empty.png").mkdir()
    ours, _ = compare(tmp_path)
    assert ours.num_classes == 7 and ours.samples == 28
    assert not {"c/folder.jpg", "c/empty.png", "top.jpg"} & set(ours.filenames)


@pytest.mark.parametrize("follow_links", [False, True])
def test_links(tmp_path, follow_links, threads):
    touch(tmp_path, "far/one.jpg", "far/deep/two.jpg", "photos/c/own.jpg", "photos/d/own.jpg")
    photos = tmp_path / "photos"
    (photos / "c" / "file.jpg").symlink_to("../../far/one.jpg")
    (photos / "c" / "text.txt").symlink_to("../../far/one.jpg")
    (photos / "c" / "broken.jpg").symlink_to("nowhere")
    (photos / "c" / "itself.jpg").symlink_to("itself.jpg")
    (photos / "c" / "folder").symlink_to("../../far", target_is_directory=True)
    (photos / "c" / "folder.jpg").symlink_to("../../far", target_is_directory=True)
    (photos / "linked class").symlink_to("../far", target_is_directory=True)
    (photos / "broken class").symlink_to("nowhere")
    ours, _ = compare(photos, follow_links=follow_links)
    assert list(ours.class_indices) == ["c", "d", "linked class"]
    assert {"c/broken.jpg", "c/itself.jpg", "c/file.jpg"} < set(ours.filenames)
    assert ("c/folder/deep/two.jpg" in ours.filenames) == follow_links
    assert "linked class/deep/two.jpg" in ours.filenames


@pytest.mark.parametrize("follow_links", [False, True])
def test_a_loop_of_links_ends_where_the_system_ends_it(tmp_path, follow_links, monkeypatch):
    # One loop is far from being an error: the limit could be this low.
    monkeypatch.setattr(directory_module, "_VISITS_OF_A_DEEP_LINK", 30)
    touch(tmp_path, "photos/c/x.jpg", "photos/c/d/y.jpg", "photos/e/z.jpg")
    (tmp_path / "photos" / "c" / "d" / "loop.jpg").symlink_to("..", target_is_directory=True)
    (tmp_path / "photos" / "e" / "up").symlink_to("../e", target_is_directory=True)
    ours, _ = compare(tmp_path / "photos", follow_links=follow_links)
    assert (ours.samples > 80) == follow_links


def test_loops_side_by_side_are_an_error(tmp_path, threads, monkeypatch):
    monkeypatch.setattr(directory_module, "_VISITS_OF_A_DEEP_LINK", 1000)
    touch(tmp_path, "photos/b/x.jpg", "photos/c/x.jpg")
    for name in ("one", "two"):
        (tmp_path / "photos" / "c" / name).symlink_to(".", target_is_directory=True)
    with pytest.raises(OSError, match="endless circles") as caught:
        DirectoryIndex(tmp_path / "photos", follow_links=True)
    assert caught.value.errno == errno.ELOOP
    assert caught.value.filename.startswith(str(tmp_path / "photos" / "c"))


def test_folders_that_cannot_be_read(tree, monkeypatch):
    scandir = os.scandir

    class Breaks:
        """A scan that fails after its first entry."""

        def __init__(self, path):
            with scandir(path) as scan:
                self._entries = [next(scan)]

        def __enter__(self):
            return self

        def __exit__(self, *exc_info):
            pass

        def __iter__(self):
            return self

        def __next__(self):
            if self._entries:
                return self._entries.pop()
            raise OSError(errno.EIO, "Input/output error")

    def fake(path="."):
        if str(path).endswith("cats/a"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        if str(path).endswith("dogs"):
            return Breaks(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fake)
    ours, _ = compare(tree)
    assert "cats/a/b/3.bmp" not in ours.filenames and "cats/9.jpg" in ours.filenames
    assert not [name for name in ours.filenames if name.startswith("dogs")]


def test_a_tree_deeper_than_python_recurses(tmp_path):
    """Keras ends with a RecursionError here."""
    folder = tmp_path / "c"
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("x.jpg", os.O_CREAT, dir_fd=here))
    os.close(here)
    try:
        index, error, _, _ = outcome(lambda: DirectoryIndex(tmp_path))
    finally:
        remove_deep(folder)
    assert error is None
    assert index.filenames == ["c/" + "d/" * 1200 + "x.jpg"]


def remove_deep(folder):
    """Remove a chain of folders, which `shutil.rmtree` cannot in every Python."""
    cwd = pathlib.Path.cwd()
    os.chdir(folder)
    depth = 0
    while pathlib.Path("d").is_dir():
        os.chdir("d")
        depth += 1
    pathlib.Path("x.jpg").unlink()
    for _ in range(depth):
        os.chdir("..")
        pathlib.Path("d").rmdir()
    os.chdir(cwd)


# ---------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "path", ["photos", "./photos", "photos/", "photos//", "x/../photos", "photos/.", ""]
)
def test_relative_paths(tree, monkeypatch, path):
    (tree.parent / "x").mkdir()
    monkeypatch.chdir(tree if path == "" else tree.parent)
    if path == "":
        assert compare(path) is None
        ours, _ = compare(path, classes=["cats", ""])
        assert ours.samples == 7
        ours, _ = compare(".")
    else:
        ours, _ = compare(path)
    assert ours.samples == len(ours.filepaths) == 12
    assert all(pathlib.Path(name).is_file() for name in ours.filepaths)


def test_absolute_strings_and_paths(tree):
    for path in (str(tree), f"{tree}/", tree, f"/{tree}"):
        ours, _ = compare(path)
        assert ours.samples == 12


def test_refused_directories(tree):
    for path in (tree / "nowhere", tree / "cats" / "1.jpg", os.fsencode(tree), None, 1.5, []):
        assert compare(path) is None
    with pytest.raises(FileNotFoundError, match="nowhere"):
        DirectoryIndex(tree / "nowhere")


def test_bytes_without_files(tmp_path):
    (tmp_path / "c" / "d").mkdir(parents=True)
    ours, _ = compare(os.fsencode(tmp_path))
    assert ours.class_indices == {b"c": 0}


@pytest.mark.parametrize("class_mode", ["other", "raw", "multi_output", "", 0, ["binary"]])
def test_refused_class_modes(tree, class_mode):
    assert compare(tree / "nowhere", class_mode=class_mode) is None


@pytest.mark.parametrize(
    "classes",
    [
        ["cats", "nowhere"],
        ["not in a class.png", "dogs"],
        ["cats", "cats"],
        ["dogs", "cats", "dogs"],
        ["."],
        [""],
        ["cats/more", "more"],
        ["cats/more", "cats"],
        ["cats/"],
        ["cats/", ""],
        ["..", "cats"],
        ["cats/../dogs", "dogs"],
        [pathlib.Path("cats")],
        [0, 1],
        [b"cats"],
        [["cats"]],
        [None],
        "cats",
        ("dogs",),
        {"dogs": 5, "cats": 6},
        3,
        np.array(["cats"]),
        np.array(["cats", "dogs"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("subset", SUBSETS)
def test_odd_classes(tree, classes, subset):
    compare(tree, classes=classes, subset=subset, validation_split=0.3)


def test_duplicate_classes_have_no_one_hot_labels(tree, no_pixels):
    ours, theirs = compare(tree, classes=["cats", "cats"])
    assert ours.samples == 14
    with pytest.raises(IndexError) as expected:
        theirs._get_batches_of_transformed_samples(np.array([0]))
    with pytest.raises(IndexError) as actual:
        labels_of(ours, np.array([0]), "float32")
    assert str(actual.value) == str(expected.value)


def test_other_formats(tree):
    index, _, _, _ = outcome(lambda: DirectoryIndex(tree, formats=(".txt", "ppm")))
    assert index.filenames == ["birds/notes.txt", "dogs/x.ppm"]


# ---------------------------------------------------------------------------- words


def test_tiff_warning(tree):
    touch(tree, "dogs/a.TIFF")
    compare(tree)
    touch(tree, "dogs/b.tiff", "birds/c.tiff")
    for subset in SUBSETS:
        compare(tree, subset=subset, validation_split=0.1)
    with pytest.warns(UserWarning, match="multiple bands") as caught:
        DirectoryIndex(tree)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(UserWarning, match="multiple bands"):
        DirectoryIndex(tree)


def test_prints_like_keras(tree, capsys, monkeypatch):
    DirectoryIndex(tree)
    assert capsys.readouterr().out == "Found 12 images belonging to 3 classes.\n"
    import absl.logging
    import keras

    logged = []
    monkeypatch.setattr(absl.logging, "info", logged.append)
    keras.config.disable_interactive_logging()
    try:
        print_message("to the log")
        assert (capsys.readouterr().out, logged) == ("", ["to the log"])
        monkeypatch.setattr(defaults, "_keras", lambda: None)
        print_message("without Keras")
        assert (capsys.readouterr().out, logged) == ("without Keras\n", ["to the log"])
    finally:
        keras.config.enable_interactive_logging()


def test_progress_only_on_a_terminal_and_only_if_slow(tree, monkeypatch):
    for stream, seconds, shown in (
        (Terminal(), 0.0, True),
        (Terminal(), 60.0, False),
        (io.StringIO(), 0.0, False),
        (None, 0.0, False),
    ):
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr(directory_module, "_SECONDS_UNTIL_PROGRESS", seconds)
        outcome(lambda: DirectoryIndex(tree))
        text = stream.getvalue() if stream is not None else ""
        assert ("Scanning: 2 files" in text) == shown
        if shown:
            assert text.endswith("\r") and text.split("\r")[-2].strip() == ""
        else:
            assert text == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_stops_the_other_threads(error, threads, no_leaks):
    running = threading.Event()
    progress = Progress()

    def work(job):
        if job == 0 and threads == "threads":
            running.set()
            while True:
                progress.add(1)
        if threads == "threads":
            assert running.wait(10)
        raise error(job)

    # The thread that never ends by itself is last in line for its result.
    jobs = [1, 0] if threads == "one thread" else [2, 0, 0]
    with pytest.raises(error):
        map_waiting(work, jobs, progress)


# ---------------------------------------------------------------------------- random trees

FOLDERS = st.sampled_from(["a", "a b", "a-b", "a.b", "b.jpg", ".h", "é", "\udcff", "A", "\n"])
FILES = st.sampled_from(
    [
        "a.jpg",
        "a b.png",
        "B.JPG",
        "é.jpeg",
        "\udcff.bmp",
        "\n.ppm",
        ".h.tif",
        "n.txt",
        "t.tiff",
        "b",
    ]
)
PATHS = st.tuples(st.lists(FOLDERS, max_size=3), FILES)


@settings(max_examples=150, **SETTINGS)
@given(
    files=st.lists(PATHS, max_size=25),
    links=st.lists(st.tuples(PATHS, st.sampled_from(["file", "folder", "nowhere"])), max_size=4),
    subset=st.sampled_from(SUBSETS),
    validation_split=st.floats(0, 1),
    follow_links=st.booleans(),
    class_mode=st.sampled_from(CLASS_MODES),
    classes=st.none() | st.lists(FOLDERS, min_size=1, max_size=4),
)
def test_random_trees(files, links, classes, **arguments):
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name, "photos")
        root.mkdir()
        touch(root.parent, "file", "folder/x.jpg", "folder/b.jpg/y.jpg", "folder/a b/z.jpg")
        for parts, leaf in files:
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                touch(root, pathlib.Path(*parts, leaf))
        for (parts, leaf), target in links:
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                root.joinpath(*parts).mkdir(parents=True, exist_ok=True)
                root.joinpath(*parts, leaf).symlink_to(root.parent / target)
        compare(str(root), classes=classes, **arguments)
