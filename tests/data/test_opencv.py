"""OpenCV of any distribution and age, or none: the same pixels, and words for what needs it."""

import os
import pathlib
import pickle
import re
import subprocess
import sys
import tomllib
import types

import cv2
import numpy as np
import pytest
from reference import images
from scripts import check_script, run_script
from test_decode import (
    COLOR_MODES,
    HEIGHT,
    OPENCV,
    SIZES,
    WIDTH,
    assert_as_keras,
    keras_decoded,
    outcome,
    write,
)

import fastaug
from fastaug import opencv
from fastaug.data import decode
from fastaug.data.decode import Target

ROOT = pathlib.Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.fixture
def found_anew():
    """What is found in a test is found by it, and nobody after it goes by that."""
    opencv._found.cache_clear()
    yield
    opencv._found.cache_clear()


# --- Which one is taken. ------------------------------------------------------------------------


def module(**attributes):
    return types.SimpleNamespace(**attributes)


@pytest.mark.parametrize(
    ("version", "warps"),
    [
        ("4.11.0", False),
        ("4.14.0-dev", False),
        ("5.0.0", True),
        ("10.1", True),
    ],
)
def test_taken(version, warps, found_anew, monkeypatch):
    there = module(__version__=version)
    monkeypatch.setitem(sys.modules, "cv2", there)
    assert opencv.find() is there
    if warps:
        assert opencv.require() is there
    else:
        with pytest.raises(ImportError, match=f"version 5 or newer: .* of version {version}"):
            opencv.require()


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (None, "`import cv2` fails: "),
        (module(__version__="4.10.0"), "the one that is there is of version 4.10.0"),
        (module(__version__="3.4.18"), "the one that is there is of version 3.4.18"),
        (module(), "the one that is there has no version"),
        (module(__version__="unknown"), "the one that is there has no version"),
    ],
)
def test_treated_as_none(there, reason, found_anew, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", there)
    assert opencv.find() is None
    with pytest.raises(ImportError, match=re.escape(reason)) as error:
        opencv.require()
    assert 'warp="opencv" needs OpenCV, a `cv2` of version 5 or newer' in str(error.value)
    assert "pip install -U opencv-python-headless" in str(error.value)


def test_one_that_fails_to_load_is_none(found_anew, monkeypatch, tmp_path):
    (tmp_path / "cv2.py").write_text("raise AttributeError('_ARRAY_API not found')")
    monkeypatch.delitem(sys.modules, "cv2")
    monkeypatch.syspath_prepend(tmp_path)
    assert opencv.find() is None
    with pytest.raises(ImportError, match="_ARRAY_API not found"):
        opencv.require()


# --- Without one. -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPENCV)
def test_pillow_decodes(kind, tmp_path, monkeypatch):
    path = write(tmp_path, OPENCV[kind]())
    monkeypatch.setattr(decode, "cv2", None)
    for color_mode in COLOR_MODES:
        for size in SIZES[:2]:
            pixels = assert_as_keras(path, Target(*size, color_mode))
            assert isinstance(pixels, np.ndarray)


def test_the_warp_says_what_is_missing(found_anew, monkeypatch):
    generator = fastaug.ImageDataGenerator(rotation_range=20)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="pip install"):
        fastaug.ImageDataGenerator(warp="opencv")
    with generator.flow(images(), seed=0) as iterator:
        next(iterator)
        generator.warp = "opencv"
        with pytest.raises(ImportError, match="pip install"):
            next(iterator)
        generator.warp = "auto"
        next(iterator)


WITHOUT = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])  # decode processes have it from here
import fastaug

folder = sys.argv[2]
generator = fastaug.ImageDataGenerator(rotation_range=20, workers=2)
for decoder in "processes", "threads":
    with generator.flow_from_directory(
        folder, target_size=(30, 40), class_mode=None, seed=3, decoder=decoder
    ) as iterator:
        np.save(f"{folder}/{decoder}.npy", next(iterator))
with generator.flow(np.zeros((5, 8, 9, 3), "uint8"), seed=0) as iterator:
    next(iterator)
try:
    fastaug.ImageDataGenerator(warp="opencv")
except ImportError as error:
    print("no module at all" in str(error))
print("cv2" in sys.modules)
"""


def test_everything_else_works(tmp_path):
    """In the program and in decode processes, with the images that there are with OpenCV."""
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "cv2.py").write_text("raise ImportError('no module at all')")
    (tmp_path / "files" / "a").mkdir(parents=True)
    for number, kind in enumerate(("4:2:0", "gray", "progressive", "turned 6")):
        write(tmp_path / "files" / "a", OPENCV[kind](), f"{number}.jpg")
    output = check_script(WITHOUT, arguments=[tmp_path / "no", tmp_path / "files"])
    assert output.splitlines()[-2:] == ["True", "False"]
    generator = fastaug.ImageDataGenerator(rotation_range=20)
    with generator.flow_from_directory(
        tmp_path / "files", target_size=(30, 40), class_mode=None, seed=3
    ) as iterator:
        expected = next(iterator)
    for decoder in ("processes", "threads"):
        np.testing.assert_array_equal(np.load(tmp_path / "files" / f"{decoder}.npy"), expected)


# --- The oldest. --------------------------------------------------------------------------------


def test_nothing_but_an_extra_brings_one():
    """pip would put it over the `cv2` of another distribution."""
    assert not [name for name in PROJECT["dependencies"] if "opencv" in name]
    oldest = ".".join(map(str, opencv.OLDEST))
    assert PROJECT["optional-dependencies"]["opencv"] == [f"opencv-python-headless>={oldest}"]


def damaged(number):
    """A JPEG with bytes changed, removed and added, which mostly still ends as it should."""
    rng = np.random.RandomState(number)
    kinds = ("4:2:0", "gray", "progressive", "restarts", "turned 6", "photoshop", "kept RGB")
    data = bytearray(OPENCV[kinds[number % len(kinds)]]())
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(2, len(data) - 3)
        data[at : at + rng.choice((0, 1, 1, 2, 40))] = rng.bytes(rng.randint(4))
    return bytes(data)


DECODE = """
import pickle, sys
import cv2
import fastaug
from fastaug.data.decode import Target, decode
import numpy as np

folder, targets = sys.argv[1], pickle.load(open(sys.argv[1] + "/targets", "rb"))
outcomes = []
for path, arguments in targets:
    target = Target(*arguments)
    out = np.zeros(target.shape, target.dtype)
    try:
        decode(path, target, out)
    except Exception as error:
        out = type(error).__name__
    outcomes.append(out)
pickle.dump(outcomes, open(folder + "/outcomes", "wb"))
print(cv2.__version__)
try:
    fastaug.ImageDataGenerator(warp="opencv")
except ImportError as error:
    print(error)
"""


def test_the_oldest(tmp_path):
    """The lower bound of the extra gives Keras's pixels and errors, as the one installed does."""
    oldest = ".".join(map(str, opencv.OLDEST))
    if cv2.__version__.startswith(f"{oldest}."):
        pytest.skip("it is the one installed, with which all other tests decode")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--target", tmp_path / "site", f"opencv-python-headless=={oldest}.*"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if done.returncode and "(from versions: none)" in done.stderr:
        pytest.skip(f"no package index can be reached: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr

    targets = []
    for number, kind in enumerate(OPENCV):
        path = write(tmp_path, OPENCV[kind](), f"{number}.jpg")
        targets += [(path, (*size, mode)) for size in SIZES[:2] for mode in COLOR_MODES]
    for number in range(500):
        path = write(tmp_path, damaged(number), f"damaged {number}.jpg")
        targets.append((path, (HEIGHT, WIDTH, COLOR_MODES[number % 3])))
    (tmp_path / "targets").write_bytes(pickle.dumps(targets))
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    done = run_script(DECODE, arguments=[tmp_path], environment={"PYTHONPATH": path.rstrip(":")})
    assert done.returncode == 0, done.stderr  # where libjpeg writes what it thinks of the files
    version, error = done.stdout.splitlines()
    assert version.startswith(f"{oldest}.")
    assert f"the one that is there is of version {version}" in error

    outcomes = pickle.loads((tmp_path / "outcomes").read_bytes())
    errors = 0
    for (path, arguments), ours in zip(targets, outcomes, strict=True):
        theirs = outcome(keras_decoded, path, Target(*arguments))
        if isinstance(theirs, Exception):
            theirs, errors = type(theirs).__name__, errors + 1
        np.testing.assert_array_equal(ours, theirs, err_msg=f"{path}: {arguments}")
    assert 20 < errors < 400
