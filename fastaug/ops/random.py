"""Random numbers of what Keras lacks: a function of seed, epoch, sample and the name of an op.

How batches are cut, which thread or machine works and in what order samples are asked for changes
none of them; nor does another op.
"""

import functools
import hashlib

import numpy as np

from fastaug import _core

_WORD = 1 << 64


def uniform(seed: int, epoch: int, samples: np.ndarray, name: str, count: int) -> np.ndarray:
    """Returns numbers in [0, 1) for some samples.

    Args:
        seed: Any integer; modulo 2**64.
        epoch: Number of the epoch.
        samples: int64 array, the position of each sample in its set.
        name: Name of the op, such as 'Erasing', or 'Erasing#1' for a second one.
        count: Numbers for each sample.

    Returns:
        float64 array of shape `(len(samples), count)`: row `i` has the first numbers of
        `numpy.random.Philox(key=[seed, key_of(name)], counter=[0, 0, epoch, samples[i]])`.
    """
    return _core.philox_uniform(seed % _WORD, key_of(name), epoch, samples, count)


@functools.lru_cache(maxsize=1024)
def key_of(name: str) -> int:
    """Returns the number of an op's stream: 64 bits of BLAKE2b of its name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
