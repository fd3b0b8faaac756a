"""The pixel loops over edge cases: with sanitizers, and on another processor; see sanitize.c."""

import ast
import os
import pathlib
import shlex
import shutil
import subprocess
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
# GCC's "undefined" leaves out conversions of floats that no integer can hold.
SANITIZERS = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
# Under an emulator it takes 20 s for one of so many cases, and 4 minutes for all of them.
ONE_OF_EMULATED = 11
# The driver says on SIGABRT which case it was. The loops allocate nothing that could leak.
ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=0",
    "UBSAN_OPTIONS": "abort_on_error=1:print_stacktrace=1",
}


def setup_flags():
    """The flags that setup.py compiles the core with."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLAGS":
            return ast.literal_eval(node.value)
    raise AssertionError("no FLAGS in setup.py")


def compile_c(compiler, source, program, flags=("-O1", "-g", *SANITIZERS)):
    command = [*compiler, *setup_flags(), *flags, source, "-o", program, "-lm"]
    return subprocess.run(
        command, cwd=program.parent, capture_output=True, text=True, timeout=300, check=False
    )


def run_program(program, *arguments, emulator=()):
    return subprocess.run(
        [*emulator, program, *arguments],
        cwd=program.parent,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture
def compiler(tmp_path):
    """A C compiler that has the sanitizers, and builds programs that run with them here."""
    command = shlex.split(sysconfig.get_config_var("CC") or "cc")
    if not shutil.which(command[0]):
        command = ["cc"]
    if not shutil.which(command[0]):
        pytest.skip("no C compiler")
    source, program = tmp_path / "empty.c", tmp_path / "empty"
    source.write_text("#include <sys/mman.h>\nint main(void) { return 0; }\n")
    done = compile_c(command, source, program)
    if done.returncode == 0:
        done = run_program(program)
    if done.returncode != 0:
        pytest.skip(f"{command[0]} has no working sanitizers: {done.stderr.strip()[:200]}")
    return command


def test_the_pixel_loops_stay_in_their_memory_and_within_c(compiler, tmp_path):
    """And every SIMD variant that this processor runs gives the bits of the plain one."""
    program = tmp_path / "sanitize"
    built = compile_c(compiler, ROOT / "tests" / "sanitize.c", program)
    assert built.returncode == 0, built.stderr
    done = run_program(program)
    assert done.returncode == 0, f"rc {done.returncode}\n{done.stdout}{done.stderr}"


def test_neon_gives_the_bits_of_the_plain_loops(tmp_path):
    """Built for ARM, and run by an emulator where this processor is another one."""
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if not compiler or not emulator:
        pytest.skip("no compiler for ARM, or no emulator of it")
    source, program = ROOT / "tests" / "sanitize.c", tmp_path / "sanitize"
    built = compile_c([compiler], source, program, flags=["-static"])
    assert built.returncode == 0, built.stderr
    done = run_program(program, str(ONE_OF_EMULATED), emulator=[emulator])
    assert done.returncode == 0, f"rc {done.returncode}\n{done.stdout}{done.stderr}"
    assert "best variant neon" in done.stdout
