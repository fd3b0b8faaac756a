"""Bare decoding, in processes of its own: what a core has to do for a file, whoever asks for it.

The processes import neither Keras nor a contestant.
"""

import ctypes
import os
import signal
import time
from contextlib import suppress

import cv2
import numpy as np

FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
PASS = 32  # images between two looks at the clock
# Of <malloc.h>; and the most that glibc takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, KEPT_BYTES = -1, -3, 32 << 20


def start_worker():
    """Readies a process: one thread, and Ctrl-C is the parent's business.

    With glibc the memory of a picture is kept for the next one. Else the system would clear every
    page of it again, and what is compared with this decoding would look the better.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES)


def decode(path):
    """Returns the pixels of a JPEG file, of shape (height, width, 3)."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        data = os.read(file, os.fstat(file).st_size)
    finally:
        os.close(file)
    return cv2.imdecode(np.frombuffer(data, np.uint8), FLAGS)


def time_decoding(paths, seconds):
    """Times the decoding of files, and OpenCV's decoder alone over their bytes in memory.

    Args:
        paths: JPEG files, as strings.
        seconds: Least time for each of the two.

    Returns:
        Microseconds of the thread's processor time per image, of the one and of the other.
    """
    data = [np.fromfile(path, np.uint8) for path in paths]
    return (
        _us_per_image(decode, paths, seconds),
        _us_per_image(lambda each: cv2.imdecode(each, FLAGS), data, seconds),
    )


def _us_per_image(function, arguments, seconds):
    images, start = 0, time.thread_time()
    while True:
        first = images % len(arguments)
        for argument in arguments[first : first + PASS]:
            function(argument)
            images += 1
        elapsed = time.thread_time() - start
        if elapsed >= seconds:
            return elapsed / images * 1e6
