"""`python -m fastaug check`: every file is named that a flow could not read, and what is odd."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import warnings

import check_faults
import pytest
import trees
from PIL import Image

import fastaug
from fastaug.data import decode_pool, file_reader
from fastaug.data import directory as directory_module
from fastaug.show import check as module
from fastaug.show import command
from fastaug.show.check import KINDS, check


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-P", "-m", "fastaug", "check", *map(os.fspath, arguments)],
        capture_output=True, encoding="utf-8", timeout=120, check=False, **options,
    )  # fmt: skip


def listed(output):
    """The lines of a report, by the kind of what they tell; paths with their texts."""
    found, kind = {}, None
    for line in output.splitlines():
        if line.startswith("  "):
            path, _, text = line.strip().partition(": ")
            found[kind][path] = text
        elif line.endswith("):"):
            kind = line[line.rindex("(") + 1 : -2]
            assert line.startswith(KINDS[kind])
            found[kind] = {}
    return found


def large(root, name, number, mode="RGB", **options):
    return trees.write(root, name, number, mode, size=(40, 50), **options)


def test_nothing_is_found(tmp_path):
    for number in range(20):
        large(tmp_path, f"class/{number}.png", number)
    (tmp_path / "class" / "notes.txt").write_text("no image")
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Read 20 of 20 images" in done.stdout and "all is well" in done.stdout


def test_what_is_found(tmp_path):
    large(tmp_path, "a/good.jpg", 0)
    large(tmp_path, "b/gray.png", 1, "L")
    large(tmp_path, "b/alpha.png", 2, "RGBA")
    large(tmp_path, "b/turned.jpg", 3, exif=trees.exif(6))
    trees.write(tmp_path, "b/small.png", 4, size=(31, 100))
    large(tmp_path, "b/cut.jpg", 5)
    trees.truncated(tmp_path / "b/cut.jpg")
    trees.text(tmp_path / "text.jpg")
    trees.empty(tmp_path / "b/deeper.png")
    large(tmp_path, "b/picture.webp", 6)
    (tmp_path / "c").mkdir()
    (tmp_path / "c/again.jpg").write_bytes((tmp_path / "a/good.jpg").read_bytes())
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert listed(done.stdout) == {
        "classes": {
            f"1 images lie in {tmp_path}, beside the folders of classes, and are not read": (
                "['text.jpg']. Move them into the folders of their classes."
            ),
        },
        "unreadable": {
            f"{tmp_path}/b/cut.jpg": "image file is truncated (46 bytes not processed)",
            f"{tmp_path}/b/deeper.png": "cannot identify image file",
            f"{tmp_path}/text.jpg": "cannot identify image file",
        },
        "not-rgb": {f"{tmp_path}/b/alpha.png": "RGBA", f"{tmp_path}/b/gray.png": "L"},
        "turned": {f"{tmp_path}/b/turned.jpg": "orientation 6"},
        "tiny": {f"{tmp_path}/b/small.png": "100 x 31"},
        "duplicate": {f"{tmp_path}/c/again.jpg": f"the same as {tmp_path}/a/good.jpg"},
    }
    assert "1 .webp" in done.stdout
    done = run(tmp_path, "--ignore", "not-rgb", "--ignore", "unreadable", "--tiny", "31",
               "--ignore", "classes",
               "--formats", ".WEBP")  # fmt: skip
    assert list(listed(done.stdout)) == ["turned", "duplicate"]
    assert "of 10 images" in done.stdout


def test_what_a_flow_warns_of(tmp_path):
    large(tmp_path, "a/good.png", 0)
    large(tmp_path, ".ipynb_checkpoints/copy.png", 1)
    large(tmp_path, "a/__MACOSX/copy.png", 2)
    (tmp_path / "b").mkdir()
    with pytest.warns(fastaug.UsageWarning) as caught:
        fastaug.ImageDataGenerator().flow_from_directory(tmp_path).close()
    assert len(caught) == 3
    done = run(tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and list(listed(done.stdout)) == ["classes"]
    assert {f"  {each.message}" for each in caught} == set(lines[1:4])
    assert lines[4].endswith(": 3 classes.")
    done = run(tmp_path, "--ignore", "classes")
    assert done.returncode == 0 and "all is well" in done.stdout


def test_orientations_that_exif_does_not_have(tmp_path):
    for number in (0, 1, 9, 2):
        large(tmp_path, f"a/{number}.jpg", number, exif=trees.exif(number))
    assert listed(run(tmp_path).stdout) == {"turned": {f"{tmp_path}/a/2.jpg": "orientation 2"}}


def test_exif_data_that_nobody_can_read(tmp_path, monkeypatch, capsys):
    def unreadable(image):
        raise SyntaxError("not a TIFF file")

    large(tmp_path, "a/x.jpg", 0, exif=trees.exif(6))
    monkeypatch.setattr(Image.Image, "getexif", unreadable)
    monkeypatch.setattr(decode_pool, "can_start_processes", lambda: False)
    assert check(tmp_path, workers=4) == 0


def test_what_pillow_warns_of_is_not_printed(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("1", (10_000, 10_000)).save(tmp_path / "a/large.png")
    done = run(tmp_path)
    assert (list(listed(done.stdout)), done.stderr) == (["not-rgb"], "")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_terminal_without_accents(tmp_path, encoding):
    large(tmp_path, "a/é.png", 0, "L")
    done = run(tmp_path, env=os.environ | {"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (1, "")
    name = "é" if encoding == "utf-8" else "\\xe9"
    assert f"a/{name}.png: L" in done.stdout


def test_folders_that_are_named_like_images(tmp_path):
    large(tmp_path, "cats.jpg/x.png", 0)
    large(tmp_path, "cats.jpg/dogs.png/y.png", 1)
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Read 2 of 2 images" in done.stdout


def test_files_in_the_order_of_their_paths(tmp_path):
    for number in range(30):
        large(tmp_path, f"{'ba'[number % 2]}/{number:02}.png", number, "L")
    lines = [line for line in run(tmp_path).stdout.splitlines() if line.startswith("  ")]
    assert len(lines) == 30 and lines == sorted(lines)


def test_images_that_no_class_has(tmp_path):
    large(tmp_path, "x.png", 0)
    assert "all is well" in run(tmp_path).stdout, "a folder of images"
    (tmp_path / "empty").mkdir()
    found = listed(run(tmp_path).stdout)["classes"]
    assert any("1 images lie in" in text for text in found)
    assert not any("beside" in text for text in found), "said once"


def test_unreadable_is_what_a_flow_cannot_read(tmp_path):
    root = trees.odd_tree(tmp_path / "tree")
    trees.truncated(root / "wrong/cut.jpg")
    trees.text(root / "wrong/text.png")
    (root / "wrong/gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "a file beside the classes.jpg").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flow = fastaug.ImageDataGenerator().flow_from_directory(
            root, target_size=(8, 8), on_error="skip", shuffle=False
        )
        with flow:
            for _ in range(len(flow)):
                next(flow)
    found = listed(run(root).stdout)["unreadable"]
    assert sorted(found) == sorted(flow.bad_files)
    assert len(found) == 3


def test_names_that_are_not_utf_8_and_files_that_never_answer(tmp_path):
    root = os.fsencode(tmp_path)
    os.mkdir(root + b"/\xff class")  # noqa: PTH102 (bytes)
    with open(root + b"/\xff class/\xfe\n.jpg", "wb") as file:  # noqa: PTH123
        file.write(b"no image")
    os.mkfifo(root + b"/\xff class/pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "self").symlink_to(tmp_path / "class")
    for encoding in ("utf-8", "ascii"):
        done = run(tmp_path, "--follow-links", env=os.environ | {"PYTHONIOENCODING": encoding})
        assert (done.returncode, done.stderr) == (1, "")
        found = listed(done.stdout)["unreadable"]
        assert set(found) == {
            f"{tmp_path}/\\xff class/\\xfe\\n.jpg",
            f"{tmp_path}/\\xff class/pipe.jpg",
            f"{tmp_path}/zero.jpg",
            f"{tmp_path}/circle.jpg",
        }
        assert "FIFO" in found[f"{tmp_path}/\\xff class/pipe.jpg"]


def test_wrong_use(tmp_path):
    file = large(tmp_path, "x.jpg", 0)
    for arguments, word in (
        ([tmp_path / "nowhere"], "nowhere"),
        ([file], "x.jpg"),
        ([tmp_path, "--ignore", "small"], "small"),
        ([tmp_path, "--timeout", "0"], "timeout"),
        ([tmp_path, "--timeout", "nan"], "timeout"),
        ([tmp_path, "--workers", "0"], "at least 1"),
        ([], "DIR"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert word in done.stderr and "Traceback" not in done.stderr
    (tmp_path / "x.jpg").unlink()
    done = run(tmp_path)
    assert done.returncode == 1 and "no images" in done.stdout and "well" not in done.stdout


def test_who_reads_the_report_has_seen_enough(tmp_path):
    trees.plain_tree(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:  # noqa: PTH123 (a descriptor)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "fastaug", "check", os.fspath(tmp_path)],
            stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")


# ---- faults ----


def check_in_process(capsys, *arguments, **options):
    status = check(*arguments, **options)
    return status, listed(capsys.readouterr().out)


def test_files_that_kill_or_hold_their_reader(tmp_path, monkeypatch, capsys):
    for number, name in enumerate(("crash", "hang", "once", *"abcdefghijklmnopqrst")):
        large(tmp_path, f"class/{name}.jpg", number)
    monkeypatch.setattr(module, "_READS", check_faults.__name__)
    status, found = check_in_process(capsys, tmp_path, timeout=1, workers=2)
    assert (status, list(found)) == (1, ["unreadable"])
    assert found["unreadable"] == {
        f"{tmp_path}/class/crash.jpg": "the process that read it died 2 times (SIGSEGV)",
        f"{tmp_path}/class/hang.jpg": "not read within 1 seconds",
    }


def test_files_are_read_while_another_one_hangs(tmp_path, monkeypatch):
    for number in range(3 * module._FILES):
        large(tmp_path, f"class/{number}.png", number)
    begun = []

    class Reader(file_reader.FileReader):
        def job(self, *arguments):
            begun.append(len(arguments[1]))
            return super().job(*arguments)

    def wait(job):
        assert begun == 3 * [module._FILES]
        return real(job)

    real = file_reader.FileJob.wait
    monkeypatch.setattr(file_reader.FileJob, "wait", wait)
    monkeypatch.setattr(module, "FileReader", Reader)
    assert check(tmp_path) == 0


def test_no_process_starts(tmp_path, monkeypatch):
    large(tmp_path, "class/x.jpg", 0)
    monkeypatch.setattr(decode_pool, "prepare_process", check_faults.die)
    monkeypatch.setattr(decode_pool, "_pools", {})  # none whose processes run already
    with pytest.raises(RuntimeError, match="could not be started: exit status 7"):
        check(tmp_path, workers=2)


def test_folders_that_cannot_be_read(tmp_path, monkeypatch, capsys):
    for number in range(3):
        large(tmp_path, f"{number}/deep/x.jpg", number)
    real = directory_module._entries

    def entries(folder, progress):
        if folder.endswith(("1/deep", "1/other")):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder, progress)

    (tmp_path / "1/other").mkdir()
    monkeypatch.setattr(directory_module, "_entries", entries)
    status, found = check_in_process(capsys, tmp_path)
    paths = [f"{tmp_path}/1/deep", f"{tmp_path}/1/other"]
    assert (status, found) == (1, {"folder": dict.fromkeys(paths, "Permission denied")})
    assert list(found["folder"]) == paths


def test_a_file_larger_than_pillow_allows(tmp_path, capsys):
    """Refused by its header, as a flow does."""
    (tmp_path / "class").mkdir()
    Image.new("1", (20_000, 20_000)).save(tmp_path / "class/bomb.png")
    status, found = check_in_process(capsys, tmp_path)
    assert status == 1 and "decompression bomb" in found["unreadable"][f"{tmp_path}/class/bomb.png"]


def test_the_progress_bar(tmp_path, monkeypatch, capsys):
    class Terminal:
        closed = False
        text = ""

        def isatty(self):
            return True

        def flush(self):
            pass

        def write(self, text):
            self.text += text

    for number in range(12):
        large(tmp_path, f"class/{number}.png", number)
    terminal = Terminal()
    monkeypatch.setattr(directory_module, "_SECONDS_UNTIL_PROGRESS", 0.0)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert check(tmp_path) == 0
    bars = [line for line in terminal.text.split("\r") if "[" in line]
    assert bars and "of 12 images" in bars[0] and "/s" in bars[0]
    assert terminal.text.endswith("\r")
    assert "100%" not in capsys.readouterr().out
    assert module._bar(5, 10, 2).startswith("[###############...............] 5 of 10 images, 2/s")


def test_ctrl_c(tmp_path):
    """What was found so far is told; no process is left."""
    for number in range(module._FILES):
        large(tmp_path, f"class/{number}.png", number, "L")
    for number in range(3):
        large(tmp_path, f"class/hang{number}.jpg", number)
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "from fastaug.show import check; check._READS = 'check_faults';"
        "from fastaug.show.command import main;"
        "sys.exit(main(['check', sys.argv[1], '--workers', '1']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, tmp_path, pathlib.Path(__file__).parent.parent],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not (tmp_path / "class/hang0.seen").exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)  # the files before are told
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert len(listed(output)["not-rgb"]) == module._FILES
    assert re.search(r"Read 8 of 11 images in .* s: 8 not-rgb, until Ctrl-C\.", output)


def test_ctrl_c_before_anything_was_found(tmp_path, monkeypatch, capsys):
    large(tmp_path, "class/x.png", 0)

    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(module, "_reports", interrupted)
    assert check(tmp_path) == 130
    assert "nothing found, until Ctrl-C." in capsys.readouterr().out


def test_ctrl_c_anywhere(monkeypatch):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_check", interrupted)
    assert command.main(["check", "photos"]) == 130


def test_ctrl_c_while_the_program_starts(tmp_path):
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    done = run(tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))})
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
