"""The C headers can be read alone: each compiles by itself, and none includes itself."""

import pathlib
import re
import shlex
import shutil
import subprocess
import sysconfig

import numpy as np
import pytest

import fastaug

KERNELS = pathlib.Path(fastaug.__file__).parent / "kernels"
HEADERS = sorted(path.name for path in KERNELS.glob("*.h"))


def included_by(name):
    """Names of the files of the kernels that one includes."""
    text = (KERNELS / name).read_text()
    return set(re.findall(r'^#include "(?!numpy/)([^"]+)"', text, re.MULTILINE))


def test_headers_are_guarded_and_found():
    assert len(HEADERS) > 20
    for name in HEADERS:
        guard = f"FASTAUG_{name.removesuffix('.h').upper()}_H"
        text = (KERNELS / name).read_text()
        assert text.startswith("/* ") and f"\n#ifndef {guard}\n#define {guard}\n" in text, name
        assert included_by(name) <= {path.name for path in KERNELS.iterdir()}, name


def test_no_header_includes_itself():
    reached = {}

    def reach(name, way):
        assert name not in way, " includes ".join([*way, name])
        if name not in reached:
            reached[name] = True
            for other in included_by(name):
                reach(other, (*way, name))

    for name in HEADERS:
        reach(name, ())


@pytest.mark.parametrize("name", HEADERS)
def test_header_compiles_alone(tmp_path, name):
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    if not shutil.which(compiler[0]):
        pytest.skip("no C compiler")
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{KERNELS / name}"\nint main(void) {{ return 0; }}\n')
    includes = [f"-I{np.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    flags = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-variable"]
    done = subprocess.run(
        [*compiler, *flags, *includes, "-fsyntax-only", source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
