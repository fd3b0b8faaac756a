"""What reads files where: processes, or threads where processes of ours cannot be started."""

import sys

import pytest
import trees
from PIL import Image
from scripts import check_script, run_script

import fastaug
from fastaug.data import decode_pool

#: Reads some batches; prints what ran, and what the images are.
READ = """
import os, sys
{before}
import numpy as np
import psutil
import fastaug

def batches(**arguments):
    flow = fastaug.ImageDataGenerator(workers={workers}).flow_from_directory(
        sys.argv[1], target_size=(9, 8), batch_size=5, seed=1, **arguments)
    with flow:
        result = [next(flow)[0] for _ in range(3)]
        started = [p for p in psutil.Process().children() if p.status() != "zombie"]
    return result, len(started)

found, started = batches({arguments})
right = all(map(np.array_equal, found, batches(decoder="threads")[0]))
with open(sys.argv[2], "w") as log:
    log.write(f"{{right}} {{bool(started)}}")
"""


def read(tmp_path, before="", arguments="", workers=2, **options):
    root = trees.plain_tree(tmp_path / "tree")
    script = READ.format(before=before, arguments=arguments, workers=workers)
    done = run_script(script, arguments=[root, tmp_path / "log"], **options)
    assert done.returncode == 0, done.stderr
    return (tmp_path / "log").read_text()


def test_processes_where_they_can_be(tmp_path):
    assert read(tmp_path) == "True True"
    assert read(tmp_path, arguments="decoder='processes'") == "True True"
    assert read(tmp_path, arguments="decoder='threads'") == "True False"


@pytest.mark.parametrize("arguments", ["", "decoder='processes'"])
@pytest.mark.parametrize(
    "before",
    [
        "sys.frozen = True",
        "sys.executable = ''",
        "sys.executable = None",
        "sys.executable = '/bin/true'",
        "sys.executable = '/nowhere/python3'",
        "import multiprocessing; multiprocessing.set_executable('/bin/false')",
    ],
)
def test_threads_where_the_executable_is_no_python(tmp_path, before, arguments):
    """Without a process started: a frozen application would start itself again and again."""
    assert read(tmp_path, before, arguments) == "True False"


def test_the_executable_may_be_a_link_to_python(tmp_path, monkeypatch):
    link = tmp_path / "mine"
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: str(link))
    link.symlink_to("/bin/true")
    assert not decode_pool.can_start_processes()
    link.unlink()
    link.symlink_to(sys.executable)
    assert decode_pool.can_start_processes()


def test_windows(monkeypatch):
    assert decode_pool.can_start_processes()
    monkeypatch.setattr(sys, "platform", "win32")
    assert not decode_pool.can_start_processes()


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_closed_standard_files(tmp_path, closed):
    """A daemon has closed them: what is opened next has their numbers, and is not written to."""
    before = "".join(f"os.close({fd}); " for fd in closed)
    assert read(tmp_path, before) == "True True"


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_a_file_in_the_place_of_a_closed_standard_file(tmp_path, fd):
    """The processes do not have it: for them the number is free."""
    before = f"os.close({fd}); mine = open(os.devnull, 'w'); assert mine.fileno() == {fd}"
    assert read(tmp_path, before) == "True True"


PLUGIN = """
from PIL import Image, ImageFile

class Mine(ImageFile.ImageFile):
    format = "MINE"

    def _open(self):
        self.fp.read(4)
        self._size, self._mode = (3, 2), "RGB"
        self.tile = [ImageFile._Tile("raw", (0, 0, 3, 2), 4, ("RGB", 0, 1))]

Image.register_open("MINE", Mine, lambda prefix: prefix[:4] == b"MINE")
Image.register_extension("MINE", ".mine")
"""


@pytest.mark.parametrize("late", [False, True], ids=["before", "between two batches"])
def test_a_format_that_the_program_has_taught_pillow(tmp_path, late):
    """Other processes would refuse the files; threads read them."""
    root = trees.plain_tree(tmp_path, (4, 4))
    pixels = bytes(range(18))
    (root / "ants/zz.jpg").write_bytes(b"MINE" + pixels)
    script = (
        "import sys, fastaug\n"
        + ("" if late else PLUGIN)
        + "flow = fastaug.ImageDataGenerator(workers=2, prefetch=0).flow_from_directory(\n"
        "    sys.argv[1], target_size=(2, 3), batch_size=3, shuffle=False)\n"
        "batches = [next(flow)[0]]\n"
        + (PLUGIN if late else "")
        + "batches += [next(flow)[0] for _ in range(2)]\n"
        "print(batches[1][1].astype('uint8').tobytes() == bytes(range(18)))\n"
    )
    output = check_script(script, arguments=[root])
    assert output.splitlines()[-1] == "True"


def test_the_plugins_that_pillow_comes_with_are_known():
    Image.init()
    assert not decode_pool.has_foreign_plugins()


def test_processes_that_cannot_be_started_name_the_threads(tmp_path, monkeypatch):
    """A Python that cannot import this package."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: str(python))
    root = trees.plain_tree(tmp_path / "tree")
    generator = fastaug.ImageDataGenerator(workers=7)  # a pool of its own, without processes
    with (
        generator.flow_from_directory(str(root), target_size=(4, 4)) as flow,
        pytest.raises(RuntimeError, match=r'exit status 3.*decoder="threads"'),
    ):
        next(flow)
