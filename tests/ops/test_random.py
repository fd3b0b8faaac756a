"""Random numbers that belong to samples, beside NumPy's own Philox."""

import numpy as np
import pytest

from fastaug.ops.random import key_of, uniform


@pytest.mark.parametrize("count", [0, 1, 4, 5, 23])
@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (1, 3), (-5, 1), (2**64 - 1, 2**40)])
def test_they_are_numpys(seed, epoch, count):
    samples = np.array([0, 7, 2**40, 7])
    numbers = uniform(seed, epoch, samples, "Erasing", count)
    for row, sample in zip(numbers, samples.tolist(), strict=True):
        counter = [0, 0, epoch, sample]
        key = np.array([seed % 2**64, key_of("Erasing")], np.uint64)
        stream = np.random.Philox(key=key, counter=counter)
        np.testing.assert_array_equal(row, np.random.Generator(stream).random(count))


def test_every_part_of_the_key_changes_them():
    def first(seed=1, epoch=2, sample=3, name="Erasing"):
        return uniform(seed, epoch, np.array([sample]), name, 1).item()

    others = first(), first(seed=2), first(epoch=3), first(sample=4), first(name="Erasing#1")
    assert len(set(others)) == 5


def test_the_stream_of_a_name_stays():
    """Images of one version are those of the next."""
    assert key_of("Erasing") == 7061673792086969973
