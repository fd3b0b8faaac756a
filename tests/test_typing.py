"""Type checkers take the right uses of the public names, and refuse the wrong ones."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

USES = pathlib.Path(__file__).with_name("typing_uses.py")
ROOT = USES.parent.parent


def expected(checker):
    """The lines that a checker has to refuse."""
    marks = re.compile(rf"# wrong(: {checker})?$")
    lines = USES.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if marks.search(line)}


def assert_refused(found, checker):
    missed = sorted(expected(checker) - set(found))
    assert not missed, f"taken by {checker}: lines {missed}"
    surplus = {line: texts for line, texts in found.items() if line not in expected(checker)}
    assert not surplus, f"refused by {checker}: {surplus}"


def test_mypy(tmp_path):
    mypy = pytest.importorskip("mypy.api")
    config = tmp_path / "mypy.ini"
    config.write_text(
        "[mypy]\nstrict = True\n[mypy-pandas.*,matplotlib.*]\nignore_missing_imports = True\n"
        # PyTorch is large, and may not be there
        "[mypy-torch.*]\nfollow_imports = skip\nignore_missing_imports = True\n"
        "[mypy-fastaug.adapters.torch]\ndisallow_subclassing_any = False\n"
    )
    output, errors, _ = mypy.run(
        ["--config-file", str(config), "--cache-dir", str(tmp_path / "cache"),
         "--no-error-summary", "--hide-error-context", str(USES)]
    )  # fmt: skip
    assert not errors
    found = {}
    for line in output.splitlines():
        path, number, kind, text = line.split(":", 3)
        assert pathlib.Path(path).name == USES.name, line
        if kind.strip() == "error":
            found.setdefault(int(number), []).append(text)
    assert_refused(found, "mypy")


def test_pyright(tmp_path):
    pyright = shutil.which("pyright", path=pathlib.Path(sys.executable).parent)
    if pyright is None:
        pytest.skip("pyright is not installed")
    shutil.copy(USES, tmp_path)  # a project is the folder of its settings
    settings = {
        "include": [USES.name],
        "typeCheckingMode": "strict",
        "extraPaths": [str(ROOT)],
        "reportMissingTypeStubs": False,
        "reportUnusedExpression": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [pyright, "--outputjson", "--pythonpath", sys.executable, "--project", str(tmp_path)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    found = {}
    for each in report["generalDiagnostics"]:
        if each["severity"] == "error":
            line = each["range"]["start"]["line"] + 1
            found.setdefault(line, []).append((each.get("rule"), each["message"]))
    assert_refused(found, "pyright")
