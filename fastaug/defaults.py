"""What fastaug takes from Keras where it is installed: two defaults, a base class, its printing.

Keras is imported on the first call, never with fastaug itself.
"""

import contextlib
import errno
import functools
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastaug.typing import DataFormat


class _Default:
    """Keras's defaults where there is no Keras."""

    @staticmethod
    def floatx():
        return "float32"

    @staticmethod
    def image_data_format():
        return "channels_last"


# What has the two defaults, once they were asked for.
_config = None


def _find_config():
    global _config
    if _is_to_stay_out():
        return _Default
    keras = _keras()
    _config = _Default if keras is None else keras.config
    return _config


_is_wanted = True
_of_thread = threading.local()  # `stays_out`: whether it is not wanted in a thread for now


def do_without() -> None:
    """Has this program not import Keras, which takes seconds, unless it is imported already."""
    global _is_wanted
    _is_wanted = False


@contextlib.contextmanager
def imports_no_keras() -> Iterator[None]:
    """Has this thread not import Keras for now, as `do_without` has the program for good."""
    before = getattr(_of_thread, "stays_out", False)
    _of_thread.stays_out = True
    try:
        yield
    finally:
        _of_thread.stays_out = before


def _is_to_stay_out():
    is_wanted = _is_wanted and not getattr(_of_thread, "stays_out", False)
    return not is_wanted and "keras" not in sys.modules


def _keras():
    return None if _is_to_stay_out() else _imported_keras()


@functools.cache
def _imported_keras():
    import numpy as np

    state = np.random.get_state(legacy=False)
    try:
        import keras
    except ImportError:  # Keras, or the framework under it, is not there
        return None
    finally:
        np.random.set_state(state)  # the import draws, where the user may have seeded
    return keras


def floatx() -> str:
    """Returns Keras's default float dtype; 'float32' without Keras."""
    return (_config or _find_config()).floatx()


def image_data_format() -> "DataFormat":
    """Returns Keras's default layout of images; 'channels_last' without Keras."""
    return (_config or _find_config()).image_data_format()


def standardize_data_format(data_format: str | None) -> "DataFormat":
    """Returns a layout with Keras's default in place of None.

    Raises:
        ValueError: If it is neither 'channels_first' nor 'channels_last'.
    """
    if data_format is None:
        return (_config or _find_config()).image_data_format()
    name = str(data_format).lower()
    if name not in ("channels_first", "channels_last"):
        raise ValueError(
            "The `data_format` argument must be one of {'channels_first', 'channels_last'}. "
            f"Received: data_format={name}"
        )
    return name  # type: ignore[return-value]


def print_message(message):
    """Prints a line where Keras prints its own: to stdout, or to absl's log if that is chosen.

    A program without a console, or one that has closed stdout, has nobody who would read it.
    """
    keras = _keras()
    if keras is None or keras.config.is_interactive_logging_enabled():
        if sys.stdout is None or getattr(sys.stdout, "closed", False):
            return
        try:
            sys.stdout.write(f"{message}\n")
            sys.stdout.flush()
        except OSError as error:
            if error.errno != errno.EBADF:  # its file descriptor is closed
                raise
    else:
        from absl import logging  # a dependency of Keras

        logging.info(message)


def dataset_class() -> type:
    """Returns `keras.utils.PyDataset`; without Keras a class with the same three settings."""
    keras = _keras()
    return PyDataset if keras is None else keras.utils.PyDataset


class PyDataset:
    """Stands in for `keras.utils.PyDataset` where there is no Keras.

    Args:
        workers, use_multiprocessing, max_queue_size: Kept for a trainer to read.
    """

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    @property
    def num_batches(self):
        """Number of batches in an epoch."""
        return len(self)

    def on_epoch_begin(self):
        """Called by a trainer before each epoch."""
