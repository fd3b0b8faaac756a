"""Environment of the test suite, and the fixtures that several files share."""

import builtins
import gc
import multiprocessing
import os
import pathlib

# Before anything imports Keras: a silent TensorFlow on the processor, and a definite backend.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import pytest
from hypothesis import settings
from reference import assert_all_seen, ours
from rings import Workers
from waiting import library_threads, wait_until

# The collector need not walk through all of Keras each time that a test calls for it.
gc.collect()
gc.freeze()

settings.register_profile("fastaug", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("fastaug")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """A test that passes has looked at what fastaug made."""
    ours.clear()
    try:
        yield
        assert_all_seen()
    finally:
        ours.clear()


@pytest.fixture(autouse=True)
def _restore_numpy_stream():
    """Every test may seed and use the global NumPy stream; the next one never sees it."""
    state = np.random.get_state()
    yield
    np.random.set_state(state)


@pytest.fixture
def keras_config():
    """Keras's own settings module, its floatx and image_data_format put back afterwards."""
    floatx, data_format = keras.config.floatx(), keras.config.image_data_format()
    yield keras.config
    keras.config.set_floatx(floatx)
    keras.config.set_image_data_format(data_format)


@pytest.fixture
def workers():
    """Start threads that work for a queue, ended after the test."""
    started = []

    def start(tasks, count):
        started.append(Workers(tasks, count))
        return started[-1]

    yield start
    for these in started:
        these.end()


@pytest.fixture
def no_matplotlib(monkeypatch):
    """Any import of matplotlib fails as if it were not installed."""
    real = builtins.__import__

    def blocked(name, *arguments, **keywords):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(f"No module named {name!r}")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", blocked)


@pytest.fixture
def no_leaks():
    """Fail a test that leaves threads of the library, child processes or shared memory behind."""
    gc.collect()
    wait_until(lambda: not library_threads(), "threads of an earlier test ended")
    children = set(multiprocessing.active_children())
    shared = _shared_memory()
    yield
    gc.collect()
    wait_until(lambda: not library_threads(), "the library's threads ended")
    wait_until(lambda: set(multiprocessing.active_children()) <= children, "child processes ended")
    assert _shared_memory() <= shared


def _shared_memory():
    """The shared memory that this process has mapped; other programs have their own."""
    maps = pathlib.Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return {line.split()[-1] for line in lines if "/dev/shm/" in line}
