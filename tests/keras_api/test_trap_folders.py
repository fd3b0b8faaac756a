"""What users surely did not mean with folders and dataframes of files, and other formats."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import trees
from PIL import Image, features
from reference import assert_batches_equal, images, keras_image, take
from test_traps import said

import fastaug

SIZE = {"target_size": (8, 9), "batch_size": 4}


@pytest.fixture
def tree(tmp_path):
    return trees.plain_tree(tmp_path / "photos")


def directory_said(root, texts, generator=None, **flow):
    """A flow from a folder gives these warnings, each of which holds all words of a list."""
    generator = generator or fastaug.ImageDataGenerator(workers=0)
    found = said(lambda: generator.flow_from_directory(str(root), **SIZE, **flow))
    check(found, texts)


def frame_said(frame, texts, **flow):
    generator = fastaug.ImageDataGenerator(workers=0)
    found = said(lambda: generator.flow_from_dataframe(frame, **SIZE, **flow))
    check(found, texts)


def check(found, texts):
    assert len(found) == len(texts), found
    for text, words in zip(found, texts, strict=True):
        for word in words:
            assert word in text, (word, text)


# ---------------------------------------------------------------------------- folders


def test_a_plain_tree(tree):
    for mode in ("categorical", "sparse", "input", None):
        directory_said(tree, [], class_mode=mode)
    directory_said(tree, [], class_mode="binary", classes=["cats", "ants"])


def test_one_folder_too_high(tmp_path):
    """Labels would tell the parts of the data set from each other."""
    for part in "Train", "validation":
        trees.plain_tree(tmp_path / part)
    text = ["['Train', 'validation']", "parts of a data set", repr(str(tmp_path / "Train"))]
    directory_said(tmp_path, [text])
    directory_said(tmp_path, [text], class_mode="binary")
    directory_said(tmp_path, [], class_mode=None)
    directory_said(tmp_path / "Train", [])
    image = next(path for path in (tmp_path / "Train").rglob("*.*") if path.is_file())
    image.rename(tmp_path / "Train" / image.name)  # so it is a class, of trains
    directory_said(tmp_path, [])


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", "__MACOSX", ".git", ".Trash-1000", "@eaDir", "#recycle"]
)
def test_folders_of_systems(tree, name):
    (tree / name).mkdir()
    text = [name, "(0 images)", "write classes=['ants', 'bees', 'cats']"]
    directory_said(tree, [text])
    directory_said(tree, [], class_mode=None)  # it changes nothing
    trees.write(tree, f"{name}/x.jpg", 5)
    text[1] = "(1 images)"
    directory_said(tree, [text])
    directory_said(tree, [text], class_mode=None)
    directory_said(tree, [], classes=["ants", name])  # asked for


@pytest.mark.parametrize(
    "name",
    ["ants/.ipynb_checkpoints/0-checkpoint.jpg", "cats/__MACOSX/x/0.jpg", "bees/deep/._0.jpg"],
)
def test_files_of_systems_in_a_class(tree, name):
    trees.write(tree, name, 5)
    directory_said(tree, [["1 images in", name, "Remove them"]])
    directory_said(tree, [[name]], class_mode=None)
    trees.write(tree, ".hidden/.x.jpg", 5)
    trees.write(tree, "ants/.x/x._y.jpg", 5)
    directory_said(tree, [[name]], classes=["ants", "bees", "cats", ".hidden"])


def test_classes_that_are_named_twice(tree):
    words = ["more than once: ['ants']"]
    directory_said(tree, [words], classes=["ants", "bees", "ants"])


def test_classes_without_images(tree):
    (tree / "none").mkdir()
    (tree / "texts").mkdir()
    (tree / "texts" / "a.txt").touch()
    text = ["without images: ['none', 'texts']", "write classes=['ants', 'bees', 'cats']"]
    directory_said(tree, [text])
    directory_said(tree, [["['none']", "write classes=['ants']"]], classes=["ants", "none"])
    directory_said(tree, [], class_mode=None)


def test_classes_of_which_a_subset_has_nothing_are_not_without_images(tree):
    generator = fastaug.ImageDataGenerator(validation_split=0.2, workers=0)
    directory_said(tree, [], generator, subset="validation")


def test_images_in_no_folder(tmp_path, monkeypatch):
    root = tmp_path / "all"
    for k in range(3):
        trees.write(root, f"{k}.jpg", k)
    (root / "notes.txt").touch()
    cure = f"flow_from_directory({str(tmp_path)!r}, classes=['all'], class_mode=None)"
    directory_said(root, [["3 images lie in", str(root), cure]])
    monkeypatch.chdir(root)
    directory_said(".", [[cure]])
    monkeypatch.chdir(tmp_path)
    directory_said("all", [["flow_from_directory('.', classes=['all'], class_mode=None)"]])
    flow = fastaug.ImageDataGenerator().flow_from_directory(
        ".", classes=["all"], class_mode=None, **SIZE
    )
    assert flow.samples == 3


def test_an_empty_folder_is_silent_as_in_keras(tmp_path):
    directory_said(tmp_path, [])


def test_misspelt_classes(tree):
    words = ["does not have: ['bess', 'Ants', 'lions']", "Did you mean 'bees', 'ants'?"]
    directory_said(tree, [words], classes=["cats", "bess", "Ants", "lions"])
    directory_said(tree, [["['lions']"]], classes=["cats", "lions"], class_mode=None)


def test_a_name_for_a_list_of_classes(tree):
    directory_said(tree, [["letter by letter", "classes=['cats']"]], classes="cats")


def test_binary_labels_of_three_classes(tree):
    words = ["here are 3, with labels up to 2", "'ants', 'bees', 'cats'", '"sparse"']
    directory_said(tree, [words], class_mode="binary")


def test_long_lists_are_cut_short(tmp_path):
    for k in range(30):
        (tmp_path / f"c{k:02}").mkdir()
    directory_said(tmp_path, [["'c09', ...]"]])


def test_long_lists_of_strange_folders_are_cut_short(tree):
    for number in range(12):
        trees.write(tree, f".{number:02}/x.jpg", number)
    directory_said(tree, [["'.09' (1 images), ...", "['ants'"]])


def test_images_in_the_folder_above(tmp_path, monkeypatch):
    (tmp_path / "photos/empty").mkdir(parents=True)
    trees.write(tmp_path, "photos/x.jpg", 0)
    monkeypatch.chdir(tmp_path / "photos/empty")
    words = [f"flow_from_directory({str(tmp_path)!r}, classes=['photos']"]
    directory_said("..", [["without images"], words])


def test_a_name_that_is_like_two(tree):
    (text,) = said(
        lambda: fastaug.ImageDataGenerator(workers=0).flow_from_directory(
            str(tree), classes=["ant", "antz", "bees"]
        )
    )
    assert text.endswith("Did you mean 'ants'?")


def test_folders_named_by_bytes(tmp_path):
    (tmp_path / ".git").mkdir()
    index = fastaug.data.directory.DirectoryIndex(str(tmp_path).encode())
    (text,) = fastaug.keras_api.advice.about_folders(index)
    assert "'.git' (0 images)" in text


# ---------------------------------------------------------------------------- formats


def other_formats(root, unreadable=False):
    for k, ending in enumerate(("webp", "webp", "gif", "pgm", "jp2", "avif")):
        trees.write(root, f"ants/other{k}.{ending}", k + 20, "L" if ending == "pgm" else "RGB")
    frames = [trees.picture(k) for k in (30, 31)]
    frames[0].save(root / "ants/moving.gif", save_all=True, append_images=frames[1:])
    if unreadable:
        (root / "bees/phone.heic").touch()
    (root / "bees/notes.md").touch()
    return root


FOUND = "1 .avif, 2 .gif, 1 .heic, 1 .jp2, 1 .pgm, 2 .webp."
CURE = "formats=['avif', 'gif', 'jp2', 'pgm', 'webp']"


def test_images_left_out_for_their_endings(tree):
    directory_said(other_formats(tree, unreadable=True), [[FOUND, CURE, "does not read heic"]])


def test_rows_left_out_for_their_endings(tree):
    root = other_formats(tree, unreadable=True)
    names = [str(path.relative_to(root)) for path in sorted(root.glob("*/*"))]
    frame = pd.DataFrame({"filename": [*names, "ants/nowhere.webp"]})
    frame["class"] = "a"
    generator = fastaug.ImageDataGenerator(workers=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        generator.flow_from_dataframe(frame, str(root), **SIZE)
    texts = {warning.category: str(warning.message) for warning in caught}
    assert "Found 10 invalid" in texts[UserWarning]
    text = texts[fastaug.UsageWarning]
    assert FOUND in text and CURE in text


@pytest.mark.parametrize("decoder", ["processes", "threads"])
@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
def test_other_formats_are_read_on_request(tree, decoder, color_mode, monkeypatch):
    """As Keras reads them once it is told to list them; of a moving picture the first."""
    root = other_formats(tree)
    formats = ("webp", "gif", "pgm", "jp2", "avif")
    assert {"webp", "avif", "jpg_2000"} <= set(features.get_supported())
    flow = {"color_mode": color_mode, "shuffle": False, **SIZE}
    ours = fastaug.ImageDataGenerator(workers=2).flow_from_directory(
        str(root), formats=formats, decoder=decoder, **flow
    )
    classes = keras_image.DirectoryIterator
    monkeypatch.setattr(classes, "white_list_formats", (*classes.white_list_formats, *formats))
    theirs = keras_image.ImageDataGenerator().flow_from_directory(str(root), **flow)
    with ours:
        assert ours.filenames == theirs.filenames
        assert sum(name.endswith(formats) for name in ours.filenames) == 7
        assert_batches_equal(take(ours, 6), take(theirs, 6))


def test_other_formats_of_a_dataframe(tree):
    root = other_formats(tree)
    names = ["ants/other0.webp", "ants/0.jpg", "ants/moving.gif"]
    frame = pd.DataFrame({"filename": names})
    generator = fastaug.ImageDataGenerator(workers=0)
    flow = generator.flow_from_dataframe(
        frame, str(root), class_mode=None, formats=["webp", ".GIF"], shuffle=False, **SIZE
    )
    assert flow.filenames == names
    first = np.asarray(trees.picture(30).quantize().convert("RGB").resize((9, 8), 0), np.float32)
    assert np.abs(next(flow)[2] - first).mean() < 20


def test_one_format(tree):
    trees.write(tree, "ants/x.WEBP", 3)
    flow = fastaug.ImageDataGenerator().flow_from_directory(str(tree), formats="webp", **SIZE)
    assert flow.samples == 14


@pytest.mark.parametrize(
    ("formats", "error", "text"),
    [
        ("heic", ValueError, "does not read .heic. Received: formats='heic'"),
        (["gif", "heif"], ValueError, "does not read .heif"),
        (5, TypeError, "formats=5"),
        ([b"gif"], TypeError, "formats=[b'gif']"),
    ],
    ids=str,
)
def test_formats_that_are_refused(tree, formats, error, text):
    with pytest.raises(error, match=re.escape(text)):
        fastaug.ImageDataGenerator().flow_from_directory(str(tree), formats=formats)


def test_formats_that_pillow_does_not_know_yet(tree):
    with pytest.warns(fastaug.UsageWarning, match=r"\.foo\. Received: formats=\('foo', 'gif'\)"):
        fastaug.ImageDataGenerator().flow_from_directory(str(tree), formats=("foo", "gif"))


@pytest.mark.parametrize("ending", ["webp", "avif", "jp2"])
def test_formats_that_this_pillow_lacks(tree, ending, monkeypatch):
    missing = dict(Image.registered_extensions())
    missing.pop(f".{ending}")
    monkeypatch.setattr(Image, "EXTENSION", missing)
    monkeypatch.setattr(features, "get_supported", list)
    with pytest.raises(ValueError, match=f"does not read .{ending}"):
        fastaug.ImageDataGenerator().flow_from_directory(str(tree), formats=ending)


# ---------------------------------------------------------------------------- dataframes


def frame_of(tree):
    names = sorted(str(path) for path in tree.glob("*/*.jpg"))
    return pd.DataFrame({"filename": names, "class": [name.split("/")[-2] for name in names]})


def test_misspelt_classes_of_a_dataframe(tree):
    frame = frame_of(tree)
    frame_said(
        frame, [["['bee', 'lions']", "Did you mean 'bees'?"]], classes=["ants", "bee", "lions"]
    )
    frame_said(frame, [], classes=["ants", "bees"])
    lists = frame.assign(**{"class": [[name, "all"] for name in frame["class"]]})
    frame_said(lists, [["['al']", "Did you mean 'all'?"]], classes=["ants", "al"])
    frame_said(frame, [], class_mode=None)


def test_keywords_that_nobody_knows(tree):
    words = ["on_eror, seeds", "Did you mean 'on_error', 'seed'?"]
    frame_said(frame_of(tree), [words], on_eror="skip", seeds=3)


def test_keywords_of_old_are_keras_s(tree):
    with pytest.warns(DeprecationWarning, match="sort is deprecated"):
        fastaug.ImageDataGenerator().flow_from_dataframe(frame_of(tree), sort=True, **SIZE)


# ---------------------------------------------------------------------------- subsets


@pytest.mark.parametrize("subset", ["training", "validation"])
def test_a_subset_of_a_generator_without_a_split(tree, subset):
    words = [f'subset="{subset}"', "ImageDataGenerator(validation_split=0.2)"]
    words.append("all 13 images" if subset == "training" else "no images")
    directory_said(tree, [words], subset=subset)
    frame_said(frame_of(tree), [words], subset=subset)


def test_a_subset_of_an_array_without_a_split():
    generator = fastaug.ImageDataGenerator()
    (text,) = said(lambda: generator.flow(images(), subset="training"))
    assert "all 10 images" in text
    with pytest.raises(ValueError, match=r"at least one image .*validation_split=0\.2"):
        generator.flow(images(), subset="validation")


def test_names_that_were_left_out_are_there(tree):
    """It is the endings that are wrong, not the names."""
    names = ["ants/x.webp", "bees/x.webp"]
    for name in names:
        trees.write(tree, name, 3)
    frame = pd.DataFrame({"filename": names, "class": ["a", "b"]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fastaug.ImageDataGenerator(workers=0).flow_from_dataframe(frame, str(tree), **SIZE)
    texts = [str(each.message) for each in caught if each.category is fastaug.UsageWarning]
    check(texts, [["2 .webp", "formats=['webp']"]])


def test_names_of_which_no_file_is_there(tree):
    frame = frame_of(tree)
    generator = fastaug.ImageDataGenerator(workers=0)
    for names in (frame["filename"].str[:-4], frame["filename"] + "x", "x/" + frame["filename"]):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            generator.flow_from_dataframe(frame.assign(filename=names), **SIZE)
        texts = [str(each.message) for each in caught if each.category is fastaug.UsageWarning]
        check(texts, [["No row names an image", repr(names[0]), "endings"]])
