"""Programs of their own: small scripts run in a fresh interpreter, with a bound on their time.

They import the package that the tests import, not the one in the current folder (``-P``).
"""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

#: Keras's backends, each of which `check_on` takes.
BACKENDS = ("jax", "tensorflow", "torch")

#: Put before a script: any import of Keras or TensorFlow fails as if they were not installed.
WITHOUT_KERAS = """
import sys

class _Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"keras", "tensorflow", "tf_keras"}:
            raise ImportError(f"No module named {name!r}")
        return None

sys.meta_path.insert(0, _Blocked())
"""

#: Put before a script: images, labels and a generator with some of everything.
A_FLOW = """
import numpy as np
import fastaug

rng = np.random.default_rng(0)
x = rng.integers(0, 256, (40, 96, 80, 3)).astype("uint8")
y = np.arange(40)
SETTINGS = dict(rotation_range=30, zoom_range=0.2, horizontal_flip=True, rescale=1 / 255)

def flow(x=x, y=y, batch_size=8, seed=3, shuffle=True, **options):
    return fastaug.ImageDataGenerator(**SETTINGS, **options).flow(
        x, y, batch_size=batch_size, seed=seed, shuffle=shuffle)

def fingerprint(batch):
    import hashlib
    parts = batch if isinstance(batch, (tuple, list)) else [batch]
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()
"""


def _source(code, keras):
    return ("" if keras else WITHOUT_KERAS) + textwrap.dedent(code)


def run_script(code, *, keras=False, timeout=60, arguments=(), environment=None):
    """Run to the end; returns the completed process, its output as text."""
    return subprocess.run(
        [sys.executable, "-P", "-c", _source(code, keras), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | (environment or {}),
    )


def check_script(code, **arguments):
    """Run to the end, which must be a good one without a word on stderr; returns stdout."""
    done = run_script(code, **arguments)
    assert done.returncode == 0 and not done.stderr, f"rc {done.returncode}\n{done.stderr}"
    return done.stdout


def check_on(backend, code, **arguments):
    """The same with Keras on a backend, which may log on stderr if it is TensorFlow."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    done = run_script(code, keras=True, environment=environment, **arguments)
    assert done.returncode == 0, done.stderr
    assert backend == "tensorflow" or not done.stderr
    return done.stdout


@contextlib.contextmanager
def started_script(code, *, keras=False):
    """A running process with pipes, killed at the latest when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-u", "-c", _source(code, keras)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def interrupt(process, patience):
    """Send Ctrl-C; returns the exit status, what was on stderr, and the seconds it took."""
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"still running {patience} s after Ctrl-C") from error
    return process.returncode, errors, time.monotonic() - start
