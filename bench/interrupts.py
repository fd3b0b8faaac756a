"""Ctrl-C that is not lost: frameworks call Python in places where an exception is dropped."""

import signal
from contextlib import contextmanager

_seen = False


@contextmanager
def remembered():
    """Remembers a Ctrl-C of the block, which raises KeyboardInterrupt as ever."""
    global _seen

    def note(number, frame):
        global _seen
        _seen = True
        signal.default_int_handler(number, frame)

    _seen = False
    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def raise_if_seen():
    """Raises KeyboardInterrupt if there was a Ctrl-C, for long work that may have missed it."""
    if _seen:
        raise KeyboardInterrupt
