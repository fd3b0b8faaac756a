"""The source distribution has what it takes to build the package and to test it."""

import pathlib
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).parent.parent


def test_sdist_holds_the_sources_and_the_tests(tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(
        ROOT,
        tree,
        ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "_core.c"),
    )
    command = (
        "from setuptools import build_meta as b; import sys; print(b.build_sdist(sys.argv[1]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", command, tmp_path],
        cwd=tree, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    with tarfile.open(tmp_path / result.stdout.splitlines()[-1]) as archive:
        members = {"/".join(m.name.split("/")[1:]): m for m in archive.getmembers()}
        names = set(members)
    expected = {
        "setup.py",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
    }
    for folder, pattern in (
        ("fastaug", "*.py"), ("fastaug", "*.pyx"), ("fastaug", "*.pyi"),
        ("fastaug/kernels", "*.h"), ("fastaug/kernels", "*.inc"),
        ("tests", "*.py"), ("tests", "*.c"), ("bench", "*.py"),
        ("examples", "*.py"),
    ):  # fmt: skip
        found = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob(pattern)}
        assert found
        expected |= found
    assert expected <= names
    assert "fastaug/_core.c" not in names
    assert "fastaug/py.typed" in names
    assert max(member.size for member in members.values()) < 200_000, (
        "pictures stay in the checkout"
    )
