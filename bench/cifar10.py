"""CIFAR-10 as Keras has it: in its cache, or from where Keras gets it."""

import os
import socket
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
from photos import ImageSet, make_set

PATIENCE = 5  # seconds without a byte, after which a download is given up
ARCHIVE = "cifar-10-batches-py-target_archive"  # in Keras's cache, which has it then


def find_cifar10(count, download):
    """Returns the training images of CIFAR-10 or, where there are none, `count` of the same shape.

    Args:
        count: Number of images to make.
        download: Whether Keras may try to download the data set, which is then kept in its cache.
    """
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()
    if download or (cache / "datasets" / ARCHIVE).exists():
        try:
            return _load()
        except Exception as error:  # no network, a broken file: there are other images
            reason = f"{error}".splitlines()[0] if f"{error}" else type(error).__name__
            print(f"CIFAR-10 cannot be downloaded ({reason})", file=sys.stderr)
    return make_set(32, count)


def _load():
    from keras_reference import keras

    with _short_patience(), redirect_stdout(sys.stderr):
        (x, y), _ = keras.datasets.cifar10.load_data()
    if keras.config.image_data_format() == "channels_first":
        x = x.transpose(0, 2, 3, 1)
    source = f"{len(x):,} images of CIFAR-10 (keras.datasets)"
    return ImageSet(np.ascontiguousarray(x), y.ravel().astype(np.int64), source)


@contextmanager
def _short_patience():
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
