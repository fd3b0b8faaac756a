"""What a user may ask about a running program, as records of the logger "fastaug".

    logging.basicConfig(level=logging.INFO)  # who reads the files, what warps, who died

Silent unless a program has set up logging. A handler is a user's code: it may take its time, and
locks. So nothing is logged under a lock or in a finalizer: what happens there is noted, and told by
the next thread that holds none.
"""

import collections
import logging

logger = logging.getLogger("fastaug")
logger.addHandler(logging.NullHandler())

_notes: collections.deque[tuple[int, str, tuple]] = collections.deque(maxlen=1000)


def note(level: int, text: str, *arguments: object) -> None:
    """Keeps a record for `tell`; takes no lock.

    Args:
        level: A level of `logging`.
        text: Its text, with places for the arguments.
        *arguments: What to put there.
    """
    _notes.append((level, text, arguments))


def tell() -> None:
    """Logs what was noted; to be called without any lock."""
    while _notes:
        try:
            level, text, arguments = _notes.popleft()
        except IndexError:  # another thread was faster
            return
        logger.log(level, text, *arguments)
