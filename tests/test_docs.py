"""The documentation: it builds without a warning, its examples run, its commands and links are."""

import ast
import gc
import importlib.util
import inspect
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import keras
import matplotlib
import numpy as np
import pytest
from PIL import Image

import fastaug
from fastaug.keras_api.augmenting import AugmentingIterator

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")


def fences(path, language):
    """Returns the pieces of code on a page, each behind as many empty lines as stand above it."""
    text = path.read_text()
    return [
        "\n" * text[: match.start(2)].count("\n") + match[2]
        for match in FENCE.finditer(text)
        if match[1] == language
    ]


def write_photos(folder):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")


def new_model(classes):
    model = keras.Sequential(
        [
            keras.layers.Input((32, 32, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


# ---------------------------------------------------------------- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("sphinx")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-d", out / "trees",
         DOCS, out / "html"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_every_page_is_in_the_site(site):
    assert len(PAGES) >= 11
    contents = (site / "index.html").read_text()
    for page in PAGES:
        assert (site / f"{page.stem}.html").is_file()
        assert page.stem == "index" or f'href="{page.stem}.html"' in contents, page.stem


def test_shared_parts_are_in_the_site(site):
    assert "identical, bit for bit" in (site / "differences.html").read_text()
    assert "<code" in (site / "changelog.html").read_text()


def test_the_reference_has_every_public_name(site):
    reference = (site / "api.html").read_text()
    for name in fastaug.__all__:
        assert f'id="fastaug.{name}"' in reference, name


# ---------------------------------------------------------------- without the site


def test_the_table_of_what_is_identical_is_the_same_on_both_pages():
    tables = [
        page.read_text().split("<!-- begin identical -->")[1].split("<!-- end identical -->")[0]
        for page in (README, DOCS / "differences.md")
    ]
    assert "identical, bit for bit" in tables[0]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.stem not in ("api", "changelog", "index")],
    ids=lambda page: page.stem,
)
def test_a_page_reads_as_plain_markdown(page):
    assert not re.findall(r"\{\w+\}`|^```\{|^\(\w+\)=$", page.read_text(), re.MULTILINE)


def test_every_op_is_in_the_table_of_those_of_other_libraries():
    rows = re.findall(r"^\| .* \| (.*) \|$", (DOCS / "augmenting.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]*)`", row)}
    kinds = [getattr(fastaug, name) for name in fastaug.__all__]
    ops = {kind.__name__ for kind in kinds if kind.__module__.startswith("fastaug.ops.")}
    assert {"Posterize", "CutMix", "OneOf"} <= ops
    assert ops <= named
    arguments = {name.partition("=")[0] for name in named if "=" in name}
    assert arguments <= inspect.signature(fastaug.ImageDataGenerator).parameters.keys()


# ---------------------------------------------------------------- examples


def can_run(code):
    """Whether the large packages that a piece of code imports are installed.

    What imports Ray starts a cluster: `tests/adapters/test_ray.py` runs it.
    """
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import)]
    names = {each.name for node in nodes for each in node.names}
    large = names & {"datasets", "torch"}
    return "ray" not in names and all(map(importlib.util.find_spec, large))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if fences(page, "python")], ids=lambda page: page.stem
)
def test_examples(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    matplotlib.use("Agg")
    rng = np.random.default_rng(0)
    names = {
        "x_train": rng.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8),
        "y_train": np.arange(64) % 2,
        "masks": rng.integers(0, 2, (64, 32, 32, 1)).astype(np.float32),
        "new_model": new_model,
    }
    for code in filter(can_run, fences(page, "python")):
        exec(compile(code, page, "exec"), names)
    matplotlib.pyplot.close("all")
    for each in gc.get_objects():
        # TensorFlow keeps what was trained with; other objects need not be asked for their class
        if issubclass(type(each), AugmentingIterator):
            each.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_keras_s_threads_turn_the_autotuner_off(workers):
    pytest.importorskip("tensorflow")
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    with fastaug.ImageDataGenerator().flow(np.zeros((8, 4, 4, 3)), np.zeros(8)) as flow:
        flow.workers = workers
        options = PyDatasetAdapter(flow).get_tf_dataset().options()
        assert (options.autotune.enabled is False) == (workers > 1)


def test_the_readme_s_example_as_a_program(tmp_path):
    """It has no main guard."""
    (code,) = fences(README, "python")
    (tmp_path / "train.py").write_text(code)
    write_photos(tmp_path / "photos")
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Found 24 images belonging to 2 classes." in done.stdout
    assert "Epoch 3/3" in done.stdout


# ---------------------------------------------------------------- commands and links


def commands():
    """Yields the commands that are told to be typed, each with the page."""
    for page in (README, *PAGES):
        text = page.read_text()
        blocks = "".join(fences(page, "sh"))
        quoted = re.findall(r"`((?:python|pip) [^`]*)`", text)
        for line in (*blocks.splitlines(), *quoted):
            if line.strip():
                yield page.stem, shlex.split(line, comments=True)


def test_commands_of_the_benchmark_are_known(monkeypatch):
    if not importlib.util.find_spec("cv2"):
        pytest.skip("the benchmark needs OpenCV")
    monkeypatch.syspath_prepend(ROOT / "bench")
    from cases import CASES
    from compare import make_parser
    from studies import STUDIES

    found = [words for _, words in commands() if "bench/compare.py" in words]
    assert len(found) > 10
    parser = make_parser(CASES, STUDIES)
    for words in found:
        assert words[:2] == ["python", "bench/compare.py"]
        parser.parse_args(words[2:])


def test_commands_of_the_package_are_known():
    from fastaug.show.command import _parser

    found = [words for _, words in commands() if words[:3] == ["python", "-m", "fastaug"]]
    assert {words[3] for words in found} == {"preview", "check"}
    for words in found:
        _parser().parse_args(words[3:])


def test_commands_name_what_there_is():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page, words in commands():
        for word in words:
            for extra in re.findall(r"^\.\[(.*)\]$", word):
                assert set(extra.split(",")) <= set(project["optional-dependencies"]), (page, words)
            if word.endswith(".py"):
                assert (ROOT / word).is_file(), (page, words)


def test_every_extra_is_in_the_table():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = re.findall(r"^\| `(\w+)` \|", (DOCS / "install.md").read_text(), re.MULTILINE)
    assert set(told) == set(project["optional-dependencies"])


def anchors(path):
    """Returns the anchors of a page's headings, as sites that show Markdown make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_links(page):
    links = LINK.findall(page.read_text())
    for target, anchor in links:
        path = page.parent / target if target else page
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"
    assert links or page is not README


def test_every_file_of_the_package_is_told():
    page = (DOCS / "how-it-works.md").read_text()
    told = re.findall(r"^\| `([\w/]+\.\w+)` \|", page, re.MULTILINE)
    there = [
        str(path.relative_to(ROOT / "fastaug"))
        for path in (ROOT / "fastaug").rglob("*")
        if path.suffix in (".py", ".h", ".inc", ".pyx", ".pyi")
        and (path.name != "__init__.py" or path.parent.name == "fastaug")
    ]
    assert sorted(told) == sorted(there)


# ---------------------------------------------------------------- figures


def test_the_readme_s_figures_are_those_of_the_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    from readme_pictures import bars, throughput

    text = README.read_text()
    alt = re.search(r"!\[(.*?)\]\(docs/pictures/speed.png\)", text)[1]
    assert [float(number.replace(",", "")) for number in re.findall(r" ([\d,]+)(?=,|$)", alt)] == [
        figure for _, figure, _ in bars()
    ]
    ratios, of_one = [], []
    for column in ("32x32", "224x224", "299x299"):
        figures = throughput(column)
        ratios.append(figures["fastaug, two threads"][0] / figures["Keras layers in tf.data"][0])
        of_one.append(int(figures["fastaug, one thread"][1]))
    assert f"{min(ratios):.0f} to {max(ratios):.0f} times as fast as the preprocessing" in text
    assert f"one thread alone is {min(of_one)} to {max(of_one)} times as fast as Keras" in text
