"""The programs in examples/, each run as a user runs it, with little to do."""

import os
import pathlib
import subprocess
import sys

import pytest
from trees import plain_tree

ROOT = pathlib.Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SMALL = {
    "in_memory.py": ["--images", "80", "--epochs", "1", "--plot", "batch.png"],
    "directory.py": ["tree", "--size", "24", "--epochs", "1"],
    "image_and_mask.py": ["--images", "32", "--epochs", "1", "--plot", "batch.png"],
    "preprocessing_function.py": ["--images", "6", "--plot", "batch.png"],
}


def run_example(name, folder, arguments):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_example(name, tmp_path):
    plain_tree(tmp_path / "tree", counts=(10, 10))
    output = run_example(name, tmp_path, SMALL[name])
    assert ("twice the same" if name == "preprocessing_function.py" else "loss:") in output
    assert (tmp_path / "batch.png").exists() == ("--plot" in SMALL[name])


def test_the_directory_example_makes_its_own_files(tmp_path):
    output = run_example("directory.py", tmp_path, ["--images", "20", "--epochs", "1"])
    assert "Found 16 images belonging to 2 classes." in output
    assert not list(tmp_path.iterdir())
