"""CIFAR-10 where it can be had: in Keras's cache, or from where Keras gets it."""

import os
import pickle
import socket
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
from photos import ImageSet, make_set

PATIENCE = 5  # seconds without a byte, after which a download is given up
FOLDERS = ("cifar-10-batches-py-target/cifar-10-batches-py", "cifar-10-batches-py")
ARCHIVE = "cifar-10-batches-py-target_archive"
BATCHES = [f"data_batch_{number}" for number in range(1, 6)]


def find_cifar10(count, download):
    """Returns the training images of CIFAR-10 or, where there are none, `count` of the same shape.

    Args:
        count: Number of images to make.
        download: Whether Keras may try to download the data set, which is then kept in its cache.
    """
    datasets = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()
    datasets /= "datasets"
    for folder in FOLDERS:
        try:
            x, y = _read(datasets / folder)
        except (OSError, ValueError, KeyError, EOFError, pickle.UnpicklingError):
            continue
        return _as_set(x, y, "Keras's cache")
    if download or (datasets / ARCHIVE).exists():
        try:
            x, y = _load_through_keras()
        except Exception as error:  # no network, a broken file: there are other images
            reason = f"{error}".splitlines()[0] if f"{error}" else type(error).__name__
            print(f"CIFAR-10 cannot be downloaded ({reason})", file=sys.stderr)
        else:
            return _as_set(x, y, "keras.datasets")
    return make_set(32, count)


def _as_set(x, y, origin):
    return ImageSet(x, y.ravel().astype(np.int64), f"{len(x):,} images of CIFAR-10 ({origin})")


def _read(folder):
    """Reads the data set as Keras unpacks it."""
    images, labels = [], []
    for name in BATCHES:
        with (folder / name).open("rb") as file:
            batch = pickle.load(file, encoding="bytes")
        images.append(batch[b"data"].reshape(-1, 3, 32, 32))
        labels.append(batch[b"labels"])
    x = np.concatenate(images).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x), np.concatenate(labels)


def _load_through_keras():
    from keras_reference import keras

    with _short_patience(), redirect_stdout(sys.stderr):
        (x, y), _ = keras.datasets.cifar10.load_data()
    if keras.config.image_data_format() == "channels_first":
        x = x.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x), y


@contextmanager
def _short_patience():
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
