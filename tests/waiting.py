"""Bounded waits and the library's threads, for the tests of lifetimes."""

import threading
import time

PATIENCE = 5.0


def library_threads():
    """The live Python threads whose name says that the library started them."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastaug")]


def wait_until(condition, what, patience=PATIENCE):
    """Return as soon as ``condition()`` is true; fail, naming ``what``, after ``patience`` s."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            names = [thread.name for thread in threading.enumerate()]
            raise AssertionError(f"not within {patience} s: {what}; live threads: {names}")
        time.sleep(0.02)
