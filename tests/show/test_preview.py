"""`python -m fastaug preview`: the page, its code, and what a browser makes of it."""

import argparse
import base64
import html.parser
import inspect
import io
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import trees
from PIL import Image
from scripts import WITHOUT_KERAS

import fastaug
from fastaug.data.images import img_to_array, load_img
from fastaug.show import command
from fastaug.show import preview as module
from fastaug.show.command import FLOW_ARGUMENTS, GENERATOR_ARGUMENTS, main
from fastaug.show.preview import code_for

_MAIN = WITHOUT_KERAS + "from fastaug.show.command import main\n"

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(html.parser.HTMLParser):
    """The pictures of a page, and the texts of the elements that have an id."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.texts, self.links, self._id = [], {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self._id = attributes.get("id", self._id)
        if tag == "img":
            head, data = attributes["src"].split(",")
            assert head in ("data:image/jpeg;base64", "data:image/png;base64")
            self.pictures.append(Image.open(io.BytesIO(base64.b64decode(data))))
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]

    def handle_data(self, text):
        self.texts[self._id] = self.texts.get(self._id, "") + text


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "_MEASURED_SECONDS", 0.05)


@pytest.fixture
def photos(tmp_path):
    for number in range(6):
        trees.write(tmp_path, f"photos/{'ab'[number % 2]}/{number}.png", number, size=(90, 120))
    return tmp_path / "photos"


def made(tmp_path, *arguments):
    """Runs the command; returns its page."""
    output = tmp_path / "page.html"
    assert main(["preview", *map(os.fspath, arguments), "--output", os.fspath(output)]) == 0
    return Page(output.read_text(encoding="utf-8"))


def test_the_page(photos, tmp_path, quick, capsys):
    page = made(
        tmp_path, photos, "--images", "3", "--variants", "2", "--target-size", "60", "80",
        "--seed", "7", "--rotation-range", "30", "--channel-shift-range", "20",
    )  # fmt: skip
    assert re.search(
        r"3 images, 2 variants of each; [\d,]+ images per second", capsys.readouterr().out
    )
    assert all(link.startswith("data:") for link in page.links)
    pictures = [np.asarray(picture, np.float32) for picture in page.pictures]
    files = [photos / name for name in ("a/0.png", "a/4.png", "b/5.png")]
    originals = np.stack([img_to_array(load_img(file, target_size=(60, 80))) for file in files])
    generator = fastaug.ImageDataGenerator(rotation_range=30, channel_shift_range=20)
    with generator.flow(np.repeat(originals, 2, 0), batch_size=6, shuffle=False, seed=7) as flow:
        variants = next(flow)
    for row in range(3):
        expected = [originals[row], *variants[2 * row : 2 * row + 2]]
        for picture, image in zip(pictures[3 * row : 3 * row + 3], expected, strict=True):
            assert np.abs(picture - image).mean() < 4  # JPEG
    assert len(pictures) == 9
    assert re.fullmatch(r"[\d,]+ images per second from these files on \d+ cores\s*Settings\s*",
                        page.texts["pace"])  # fmt: skip
    assert page.texts["settings"].startswith("rotation_range30channel_shift_range20")
    names = {}
    exec(page.texts["code"].split("\n\n\n")[0].strip(), names)
    assert repr(names["generator"]) == repr(generator)
    assert names["flow"].target_size == (60, 80) and names["flow"].seed == 7
    names["flow"].close()


def test_a_folder_without_classes_and_gray_images(photos, tmp_path, quick):
    page = made(tmp_path, photos / "a", "--color-mode", "grayscale", "--rescale", "0.003",
                "--target-size", "8", "9")  # fmt: skip
    assert len(page.pictures) == 3 * 7
    assert {picture.mode for picture in page.pictures} == {"L"}
    assert f"directory={str(photos)!r}" in page.texts["code"]
    assert "classes=['a']" in page.texts["code"] and "class_mode=None" in page.texts["code"]


def test_statistics_and_transparency(photos, tmp_path, quick):
    page = made(tmp_path, photos, "--featurewise-center", "--featurewise-std-normalization",
                "--color-mode", "rgba", "--target-size", "8", "9")  # fmt: skip
    assert {picture.mode for picture in page.pictures} == {"RGBA"}
    assert "those of the images shown" in page.texts["settings"]
    names = {}
    exec(page.texts["code"].split("\n\n\n")[0].strip(), names)
    assert names["generator"].mean.shape == (1, 1, 4)
    with names["flow"] as flow:
        assert abs(next(flow)[0].mean()) < 1, "centred"
    assert "images shown" not in made(tmp_path, photos, "--target-size", "8", "9").texts["settings"]


def test_what_cannot_be_read_and_odd_names(photos, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(module, "_TIMEOUT", 1.0)
    trees.text(photos / "a/0.png")
    os.mkfifo(photos / "a/00.png")
    (photos / "a/4.png").unlink()
    (photos / "a/2.png").rename(photos / "a" / os.fsdecode(b"<b>\xff.png"))
    page = made(tmp_path, photos, "--images", "9", "--target-size", "8", "8")
    assert len(page.pictures) == 4 * 7
    assert "a/<b>\\xff.png" in page.texts["grid"]


def test_only_what_a_flow_reads(photos, tmp_path, quick, capsys):
    trees.write(tmp_path, "photos/beside.png", 7)
    trees.write(tmp_path, "photos/.ipynb_checkpoints/copy.png", 8)
    page = made(tmp_path, photos, "--images", "9", "--target-size", "8", "9")
    assert "beside.png" not in page.texts["grid"] and "copy.png" in page.texts["grid"]
    printed = capsys.readouterr()
    assert "seem to be none" in printed.err
    assert f"Wrote {tmp_path / 'page.html'}: 7 images" in printed.out
    page = made(tmp_path, photos, "--images", "9", "--classes", "a", "--target-size", "8", "9")
    assert "page.html, over the file that was there: 3 images" in capsys.readouterr().out
    assert len(page.pictures) == 3 * 7


def test_nothing_of_a_user_s_is_markup(tmp_path, quick):
    folder = tmp_path / "<b id=x>photos"
    trees.write(folder, "a<i id=y>/0.png", 0)
    page = made(tmp_path, folder, "--classes", "a<i id=y>", "--target-size", "8", "8")
    assert set(page.texts) <= {None, "grid", "pace", "settings", "copy", "code"}
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"<title>fastaug: {html.escape(os.fspath(folder))}</title>" in text
    assert f"<h1>{html.escape(os.fspath(folder))}</h1>" in text
    assert repr(os.fspath(folder)) in page.texts["settings"]
    assert repr(os.fspath(folder)) in page.texts["code"]


def test_others_in_the_place_of_files_that_cannot_be_read(tmp_path, quick):
    for number in range(9):
        trees.text(trees.write(tmp_path, f"photos/a/{number}.png", number))
    trees.write(tmp_path, "photos/a/3.png", 3)
    page = made(tmp_path, tmp_path / "photos", "--images", "2", "--target-size", "8", "8")
    assert len(page.pictures) == 7 and "a/3.png" in page.texts["grid"]


def test_the_current_folder(photos, tmp_path, quick, monkeypatch):
    monkeypatch.chdir(photos / "a")
    page = made(tmp_path, ".", "--target-size", "8", "8")
    assert len(page.pictures) == 3 * 7 and "classes=['a']" in page.texts["code"]


def test_warnings_that_tell_nothing_of_settings(photos, tmp_path, quick, capsys):
    trees.write(photos, "a/x.tiff", 9)
    made(tmp_path, photos, "--target-size", "8", "8")
    assert capsys.readouterr().err == ""


def test_others_in_the_network_do_not_see_the_page(photos, tmp_path, quick, monkeypatch):
    addresses = []

    def server(address, handler):
        addresses.append(address)
        raise OSError(98, "seen enough")

    monkeypatch.setattr(module.http.server, "ThreadingHTTPServer", server)
    page = os.fspath(tmp_path / "page.html")
    assert main(["preview", os.fspath(photos), "--output", page, "--serve", "1234"]) == 2
    assert addresses == [("127.0.0.1", 1234)]


def test_more_images_than_there_are(photos, tmp_path, quick):
    page = made(tmp_path, photos, "--images", "1" + 15 * "0", "--target-size", "8", "8")
    assert len(page.pictures) == 6 * 7


def test_a_port_that_is_taken(photos, tmp_path, quick, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        page = os.fspath(tmp_path / "page.html")
        assert main(["preview", os.fspath(photos), "--output", page, "--serve", str(port)]) == 2
    assert f"port {port} of localhost: Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["darker", "Some.darker", "made"])
def test_the_function_is_imported_from_where_it_was_named(
    name, photos, tmp_path, quick, monkeypatch
):
    (tmp_path / "functions_here.py").write_text(
        "class Some:\n"
        "    @staticmethod\n"
        "    def darker(image):\n"
        "        return image / 2\n"
        "    def __call__(self, image):\n"
        "        return image / 2\n"
        "darker = lambda image: image / 2\n"
        "made = Some()\n"
    )
    monkeypatch.chdir(tmp_path)
    page = made(tmp_path, photos, "--preprocessing-function", f"functions_here:{name}",
                "--target-size", "8", "9")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    names = {}
    try:
        exec(page.texts["code"].split("\n\n\n")[0].strip(), names)
    finally:
        sys.modules.pop("functions_here")
    names["flow"].close()
    assert names["generator"].preprocessing_function(4) == 2


def test_no_images(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["preview", os.fspath(tmp_path / "empty")]) == 1
    assert "can be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--rotation-range", "much"], "argument --rotation-range: should be a number, not 'much'"),
        (["--images", "some"], "argument --images: should be a whole number of at least 1"),
        (["--fill-mode", "edge"], "--fill-mode"),
        (["--images", "0"], "at least 1"),
        (["--zoom-range", "1", "2", "3"], "zoom_range"),
        (["--interpolation-order", "7"], "order"),
        (["--preprocessing-function", "os"], "module:name"),
        (["--preprocessing-function", "os:nothing"], "nothing"),
        (["--preprocessing-function", ":x"], "should be module:name, not ':x'"),
        (["--preprocessing-function", ".os:path"], "'package' argument"),
        (["--output", "/nowhere/page.html"], "nowhere"),
        (["--serve", "65536"], "argument --serve: should be a port, from 0 to 65535"),
        (["--serve", "-1"], "argument --serve: should be a port, from 0 to 65535"),
        (["--target-size", "100000000", "500000"], "Unable to allocate"),
    ],
)
def test_wrong_use(photos, quick, capsys, arguments, word):
    try:
        status = main(["preview", os.fspath(photos), *arguments])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert word in capsys.readouterr().err


# ---- arguments from the signatures ----


def given(*arguments):
    options = vars(command._parser().parse_args(["preview", "DIR", *arguments]))
    return {k: v for k, v in options.items() if k in GENERATOR_ARGUMENTS + FLOW_ARGUMENTS}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--rotation-range 20", {"rotation_range": 20}),
        ("--width-shift-range 5", {"width_shift_range": 5}),
        ("--width-shift-range 5.0", {"width_shift_range": 5.0}),
        ("--height-shift-range -3 0 3", {"height_shift_range": [-3, 0, 3]}),
        ("--zoom-range 0.2", {"zoom_range": 0.2}),
        ("--zoom-range 0.8 1.2", {"zoom_range": [0.8, 1.2]}),
        ("--brightness-range 0.5 1.5", {"brightness_range": (0.5, 1.5)}),
        ("--horizontal-flip --vertical-flip", {"horizontal_flip": True, "vertical_flip": True}),
        ("--fill-mode grid-wrap --cval 3", {"fill_mode": "grid-wrap", "cval": 3}),
        ("--rescale 0.5 --interpolation-order 3", {"rescale": 0.5, "interpolation_order": 3}),
        ("--workers 2 --warp fused", {"workers": 2, "warp": "fused"}),
        ("--target-size 8 9 --seed 3", {"target_size": (8, 9), "seed": 3}),
        ("--classes a b --formats webp", {"classes": ["a", "b"], "formats": ["webp"]}),
        ("--keep-aspect-ratio", {"keep_aspect_ratio": True}),
        ("--preprocessing-function numpy:sqrt", {"preprocessing_function": np.sqrt}),
    ],
)
def test_arguments(arguments, expected):
    found = given(*arguments.split())
    assert found == expected
    assert [type(value) for value in found.values()] == [type(v) for v in expected.values()]


def test_every_setting_has_an_option():
    parameters = inspect.signature(fastaug.ImageDataGenerator).parameters
    assert set(parameters) - set(GENERATOR_ARGUMENTS) == set(command._WITHOUT_EFFECT)
    assert given() == {}
    parser = argparse.ArgumentParser()
    command.add_arguments(parser, fastaug.ImageDataGenerator, GENERATOR_ARGUMENTS)
    helped = " ".join(parser.format_help().split())
    for name in GENERATOR_ARGUMENTS:
        assert f"--{name.replace('_', '-')}" in helped
    assert "Degrees, from -rotation_range to rotation_range." in helped


def test_a_percent_sign_in_a_docstring():
    def function(share: float):
        """Does nothing.

        Args:
            share: 100 % of it, or 50 %s.
        """

    parser = argparse.ArgumentParser()
    command.add_arguments(parser, function, ["share"])
    assert "100 % of it, or 50 %s." in parser.format_help()


def test_code_with_a_function():
    code = code_for({"preprocessing_function": os.path.basename, "cval": 3}, {"directory": "a'b"})
    assert code == (
        "from fastaug import ImageDataGenerator\n"
        "from posixpath import basename\n\n"
        "generator = ImageDataGenerator(\n    preprocessing_function=basename,\n    cval=3,\n)\n"
        'flow = generator.flow_from_directory(directory="a\'b")\n'
    )


# ---- as a program ----


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["preview", "--help"], ["check", os.fspath(pathlib.Path(__file__).parent)]],
)
def test_without_docstrings(arguments):
    done = subprocess.run(
        [sys.executable, "-P", "-OO", "-m", "fastaug", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (int(arguments[0] == "check"), "")


def test_keras_is_not_waited_for(photos, tmp_path):
    (tmp_path / "keras.py").write_text("raise SystemExit('Keras was imported')")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fastaug", "preview", os.fspath(photos), "--output",
         os.fspath(tmp_path / "page.html")],
        capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Wrote ")


# ---- in a browser ----


def browse(url, *arguments):
    return subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--virtual-time-budget=5000", "--window-size=1400,900", *arguments, url],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_in_a_browser(photos, tmp_path, quick):
    made(tmp_path, photos, "--rotation-range", "30", "--horizontal-flip")
    page = tmp_path / "page.html"
    picture = tmp_path / "page.png"
    browse(page.as_uri(), f"--screenshot={picture}")
    with Image.open(picture) as screenshot:
        assert screenshot.size == (1400, 900)
        shot = np.asarray(screenshot.convert("RGB"))
    left, right = shot[:, :900], shot[:, 1000:]
    assert len(np.unique(left.reshape(-1, 3), axis=0)) > 5000, "the images"
    assert 0 < (right < 100).all(-1).mean() < 0.2, "text on a bright page"

    # the same page, with a script that tells what came of it
    probe = (
        "<script>addEventListener('load', async () => {"
        "document.getElementById('copy').click();"
        "await new Promise((done) => setTimeout(done, 200));"
        "const images = [...document.images];"
        "document.title = JSON.stringify([images.length,"
        " images.filter((i) => i.complete && i.naturalWidth === 256).length,"
        " document.documentElement.scrollWidth <= innerWidth,"
        " document.getElementById('copy').textContent === 'Copied' || String(getSelection())"
        " .startsWith('from fastaug')]);"
        "});</script>"
    )
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", probe + "</body>"))
    dom = browse(page.as_uri(), "--dump-dom").stdout
    assert "<title>[28,28,true,true]</title>" in dom


def test_serve(photos, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _MAIN + "sys.exit(main())",
         "preview", os.fspath(photos), "--serve", "--output", os.fspath(tmp_path / "page.html")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout.readline().startswith("Wrote ")
            url = re.match(r"(http://127\.0\.0\.1:\d+/) ", process.stdout.readline())[1]
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert answer.read() == pathlib.Path(tmp_path / "page.html").read_bytes()
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(url + "etc/passwd", timeout=30)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
