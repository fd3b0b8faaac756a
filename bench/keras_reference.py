"""Keras's legacy ImageDataGenerator: the reference, imported in this one place.

Keras needs a backend even for work that only NumPy and SciPy do, so the first one installed is
chosen where the user chose none. Importing this module also silences the log lines of TensorFlow
and the deprecation warnings that Keras's use of SciPy raises for every image.
"""

import importlib.util
import os
import sys
import warnings
from contextlib import contextmanager


@contextmanager
def _silent_stderr():
    """Drops what native code writes to stderr: some lines come before any log level is read."""
    sys.stderr.flush()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "KERAS_BACKEND" not in os.environ:
    for backend in ("tensorflow", "torch", "jax"):
        if importlib.util.find_spec(backend):
            os.environ["KERAS_BACKEND"] = backend
            break
warnings.filterwarnings("ignore", message=r".*scipy\.ndimage", category=DeprecationWarning)

with _silent_stderr():
    import keras
    from keras.src.legacy.preprocessing import image as legacy
    from keras.src.legacy.preprocessing.image import ImageDataGenerator
    from keras.utils import PyDataset, img_to_array, load_img

__all__ = ["ImageDataGenerator", "PyDataset", "img_to_array", "keras", "legacy", "load_img"]
