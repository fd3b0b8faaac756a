"""The check that comes before any timing: are fastaug's batches Keras's?"""

import itertools
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np

TOLERANCE = 0.01  # on the 0..255 scale
# Where the values are whole numbers: one near a half may fall to either side.
LEVELS = 1
RARE = 0.001
BATCHES = 5


@dataclass
class Check:
    """What was found."""

    batches: int = 0  # that were compared
    difference: float | None = None  # largest of two pixels on the 0..255 scale
    differing: float | None = None  # largest share of different pixels in a batch of bytes, if any
    labels_equal: bool | None = None  # whether all labels were identical
    names_equal: bool | None = None  # whether the lists of files were, where there are files
    problem: str | None = None  # why nothing could be compared
    reference: str = "Keras"  # what they were compared with

    @property
    def allowed(self):
        """The largest difference that passes."""
        return TOLERANCE if self.differing is None else LEVELS

    @property
    def passed(self):
        """Whether there may be timing."""
        return bool(
            self.problem is None
            and self.labels_equal
            and self.names_equal is not False
            and self.difference <= self.allowed
            and (self.differing or 0) <= RARE
        )

    def add(self, want, got, scale=1.0):
        """Compares two arrays; `scale` is a pixel's factor from 0..255.

        Raises:
            ValueError: If they are not of the same shape and dtype.
        """
        difference, share = deviation(want, got)
        # np.maximum keeps a NaN, which then fails.
        self.difference = float(np.maximum(self.difference, difference / scale))
        if want.dtype == np.uint8:
            self.differing = max(self.differing or 0.0, share)

    def record(self):
        """Returns the check as a dict for a JSON file."""
        return {
            "passed": self.passed,
            "batches": self.batches,
            "largest_difference_of_255": self.difference,
            "labels_identical": self.labels_equal,
            "file_names_identical": self.names_equal,
            "problem": self.problem,
        }

    def __str__(self):
        if self.problem:
            return f"FAILED: {self.problem}"
        parts = [
            f"{'passed' if self.passed else 'FAILED'}: {self.batches} batches",
            f"largest difference from {self.reference} {self.difference:.2g} of 255 "
            f"(allowed: {self.allowed:g})",
        ]
        if self.differing is not None:
            parts.append(f"in {self.differing:.2%} of the pixels (allowed: {RARE:.2%})")
        for name, equal in (("labels", self.labels_equal), ("file names", self.names_equal)):
            if equal is not None:
                parts.append(f"{name} {'identical' if equal else 'DIFFER'}")
        return ", ".join(parts)


def deviation(want, got):
    """Returns the largest difference of two arrays, and the share of the values that differ.

    Raises:
        ValueError: If they are not of the same shape and dtype.
    """
    if got.shape != want.shape or got.dtype != want.dtype:
        raise ValueError(
            f"shape {got.shape} and dtype {got.dtype}, and Keras's {want.shape} and {want.dtype}"
        )
    differences = np.abs(got.astype(np.float64) - want)
    return float(np.max(differences)), float(np.mean(differences > 0))


def compare_batches(keras, candidates):
    """Compares the first batches of some contestants with Keras's.

    Args:
        keras: Keras as a contestant, built for a job.
        candidates: Classes of contestants, to be built for the same job.

    Returns:
        A Check over all the candidates.
    """
    check = Check(difference=0.0, labels_equal=True)
    with ExitStack() as stack:
        expected = stack.enter_context(keras.batches())
        names = getattr(expected, "filenames", None)
        if names is not None:
            check.names_equal = True
        found = {}
        try:
            for kind in candidates:
                label = kind.label
                candidate = kind(keras.job)
                stack.callback(candidate.close)
                found[label] = stack.enter_context(candidate.batches())
                if names is not None:
                    check.names_equal &= found[label].filenames == names
            for _ in range(BATCHES):
                want_x, want_y = next(expected)
                for label, iterator in found.items():  # noqa: B007  (named by the handler)
                    got_x, got_y = next(iterator)
                    check.add(want_x, got_x, keras.job.case.scale)
                    check.labels_equal &= bool(np.array_equal(got_y, want_y))
                check.batches += 1
        except Exception as error:  # whatever it is, this case cannot be timed
            check.problem = f"{label}: {type(error).__name__}: {error}"
    return check


def find_other(job, kinds):
    """Looks among contestants for one whose batches are not exactly those of the first.

    Args:
        job: What they are built for.
        kinds: Classes of contestants, whose settings draw the same.

    Returns:
        What differs, for people, or None.
    """
    expected = None
    for kind in kinds:
        with closing(kind(job)) as contestant, contestant.batches() as iterator:
            if expected is None:
                expected = list(itertools.islice(iterator, BATCHES))
                continue
            for number, pair in enumerate(zip(expected, iterator, strict=False), 1):
                if not all(map(np.array_equal, *pair)):
                    return f"batch {number} of {kind.label} is not that of {kinds[0].label}"
    return None
