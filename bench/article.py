"""The multiprocessing method: one generator's steps mapped over a process pool, image by image.

A pool of the `spawn` kind starts every worker with a fresh interpreter, so a worker inherits no
thread of the parent's; it imports Keras once, before anything is timed.
"""

import multiprocessing
import os
import signal
import time
from contextlib import suppress

START_TIMEOUT = 180  # seconds; importing Keras on a slow disk takes the longest


def start_worker():
    """Readies a worker: Ctrl-C is the parent's business, and Keras is imported up front.

    A GPU is the parent's business too: Keras's transforms run on the processor.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    with suppress(ImportError):  # the parent needs Keras too, and reports that it is missing
        import keras_reference  # noqa: F401


def augment(task):
    """Draws a transform for one float32 image, and returns it augmented and standardized.

    Args:
        task: A pair of Keras's ImageDataGenerator and the image.
    """
    generator, image = task
    params = generator.get_random_transform(image.shape)
    return generator.standardize(generator.apply_transform(image, params))


def augment_file(task):
    """Reads one image file as Keras does, and augments it.

    Args:
        task: Keras's ImageDataGenerator, the path, and the (height, width) to read it at.
    """
    from keras_reference import img_to_array, load_img

    generator, path, size = task
    return augment((generator, img_to_array(load_img(path, target_size=size))))


class WorkerPool:
    """A process pool that starts in the background and is waited for at its first use.

    Args:
        processes: Number of worker processes.
        start: Function that readies a worker.
    """

    def __init__(self, processes, start=start_worker):
        self._pool = multiprocessing.get_context("spawn").Pool(processes, start)
        # naps keep workers busy, so that all of them get some
        self._started = self._pool.map_async(time.sleep, [0.05] * (2 * processes), chunksize=1)

    def get(self):
        """Returns the `multiprocessing.Pool`, all its workers ready.

        Raises:
            RuntimeError: If the workers have not come up in time.
        """
        try:
            self._started.get(START_TIMEOUT)
        except multiprocessing.TimeoutError:
            raise RuntimeError(f"the worker processes did not start in {START_TIMEOUT} s") from None
        return self._pool

    def close(self):
        """Ends the workers."""
        self._pool.terminate()
        self._pool.join()
