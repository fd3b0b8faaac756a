"""Programs without a console: no stdout, no stderr, or closed ones."""

import sys

import pytest
import trees
from scripts import run_script

from fastaug.data import directory as directory_module
from fastaug.data.directory import DirectoryIndex, Progress
from fastaug.defaults import print_message

READ = """
import os, sys
log = open(sys.argv[2], "w")
{before}
import fastaug
flow = fastaug.ImageDataGenerator(workers=1).flow_from_directory(
    sys.argv[1], target_size=(4, 4), batch_size=5, class_mode="sparse", decoder="threads")
x, y = next(flow)
print(x.shape, y.shape, file=log, flush=True)
log.close()
os._exit(0)
"""
CLOSED = {
    "stdout is None": "sys.stdout = None",
    "both are None": "sys.stdout = sys.stderr = None",
    "closed": "sys.stdout.close(); sys.stderr.close()",
    "without a file descriptor": "os.close(1); os.close(2)",
}


@pytest.mark.parametrize("before", CLOSED.values(), ids=CLOSED.keys())
@pytest.mark.parametrize("log", [False, True], ids=["printed", "to the log"])
def test_files_are_found_in_silence(tmp_path, before, log):
    """Also where Keras was told to write to its log, which goes to stderr."""
    root = trees.plain_tree(tmp_path / "tree")
    keras = "import keras; keras.config.disable_interactive_logging()\n" if log else ""
    script = READ.format(before=keras + before)
    done = run_script(script, keras=log, timeout=120, arguments=[root, tmp_path / "log"])
    assert (tmp_path / "log").read_text() == "(5, 4, 4, 3) (5,)\n", done.stderr


def test_the_script_prints_where_it_can(tmp_path):
    root = trees.plain_tree(tmp_path / "tree")
    done = run_script(READ.format(before=""), arguments=[root, tmp_path / "log"])
    assert done.stdout == "Found 13 images belonging to 3 classes.\n", done.stderr


class Full:
    closed = False

    def write(self, text):
        raise OSError(28, "No space left on device")


def test_other_failures_of_stdout_are_raised(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(OSError, match="No space"):
        print_message("a line")


class Closed(Full):
    closed = True

    def isatty(self):
        raise ValueError("I/O operation on closed file")


def test_a_closed_stderr_shows_no_progress(tmp_path, monkeypatch):
    root = trees.plain_tree(tmp_path)
    monkeypatch.setattr(directory_module, "_SECONDS_UNTIL_PROGRESS", 0.0)
    for stream in (Closed(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress() as progress:
            progress.add(3)
        assert DirectoryIndex(root).samples == 13
