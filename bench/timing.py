"""Timing in rounds, and what a person sees meanwhile."""

import gc
import statistics
import sys
import time
from dataclasses import dataclass, field

from interrupts import raise_if_seen

WARM_UP_SHARE = 0.25  # of a round's seconds, before the clock starts
EXPECTED_COUNTS = 20  # steps that an expected length weighs as much as


@dataclass
class Timing:
    """The rounds of one contestant, in microseconds per image."""

    rounds: list = field(default_factory=list)

    @property
    def us_per_image(self):
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def images_per_second(self):
        """Images per second at the median."""
        return 1e6 / self.us_per_image

    @property
    def spread(self):
        """Fastest and slowest round, in percent of the median time: (-3.1, 5.0)."""
        median = self.us_per_image
        return tuple(100 * (end / median - 1) for end in (min(self.rounds), max(self.rounds)))


def time_round(contestant, seconds, clock=time.perf_counter):
    """Times one round as `metered_round` does; returns microseconds per image by the clock."""
    return metered_round(contestant, seconds, (), clock)[0]


def metered_round(contestant, seconds, meters, clock=time.perf_counter):
    """Times one round of a contestant that has the machine to itself.

    The warm-up runs straight into the timed part and empties whatever was prepared ahead, so a
    contestant that prefetches gains nothing from batches made before the clock started.

    Args:
        contestant: What is timed.
        seconds: Least time for the timed part; it ends with a whole batch.
        meters: Functions that return seconds of something, read around the timed part.
        clock: Function that returns the time in seconds.

    Returns:
        A list of microseconds per image, by the clock and by each meter.
    """
    lookahead = contestant.lookahead
    # What it made ahead ends with the iterator, at the latest when this function returns.
    with contestant.batches() as iterator:
        _consume(iterator, seconds * WARM_UP_SHARE, lookahead + 1, clock)
        before = [meter() for meter in meters]
        images, elapsed = _consume(iterator, seconds, max(2, lookahead), clock)
        metered = [meter() - start for meter, start in zip(meters, before, strict=True)]
    return [spent / images * 1e6 for spent in (elapsed, *metered)]


def time_batches(contestant, count):
    """Returns the seconds of a number of batches, after a warm-up as in `metered_round`."""
    with contestant.batches() as iterator:
        _consume(iterator, 0, contestant.lookahead + 1)
        return _consume(iterator, 0, count)[1]


def first_batch(contestant):
    """Takes one batch, so that whatever is built at the first one is built before any round."""
    with contestant.batches() as iterator:
        next(iterator)


def settle_memory():
    """Takes the objects made so far out of the garbage collector's later passes.

    TensorFlow alone makes so many that a pass in the middle of a round would be seen in its time.
    """
    gc.collect()
    gc.freeze()


def _consume(iterator, seconds, least_batches, clock=time.perf_counter):
    """Takes batches until both limits are reached; returns the images taken and the seconds."""
    images = batches = 0
    start = clock()
    while True:
        images += len(next(iterator)[0])
        batches += 1
        elapsed = clock() - start
        if elapsed >= seconds and batches >= least_batches:
            return images, elapsed


class Progress:
    """A bar on a terminal, else a line for each step; both on stderr, with the time left.

    A Ctrl-C that something has swallowed is raised at the next step.

    Args:
        total: Number of steps.
        seconds: What a step is expected to take, for the first estimates; None: not known.
        clock: Function that returns the time in seconds.
    """

    def __init__(self, total, seconds=None, clock=time.perf_counter):
        from tqdm import tqdm

        self._lines = not sys.stderr.isatty()
        self._said = None
        self._clock, self._start = clock, clock()
        self._total, self._done, self._expected = total, 0, seconds
        self._bar = tqdm(
            total=total,
            file=sys.stderr,
            disable=self._lines,
            leave=False,
            dynamic_ncols=True,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
        )

    def begin(self, total):
        """Sets the number of steps, where it was not known from the start."""
        self._total, self._start = total, self._clock()
        self._bar.reset(total)

    @property
    def time_left(self):
        """The time left in words, or nothing where nobody can know yet.

        Steps last so long as those before did on average; what was expected counts as some of them.
        """
        known = 0 if self._expected is None else EXPECTED_COUNTS
        if not (self._done or known):
            return ""
        spent = self._clock() - self._start + known * (self._expected or 0)
        left = (self._total - self._done) * spent / (self._done + known)
        return f"about {left:.0f} s left" if left < 90 else f"about {left / 60:.0f} min left"

    def doing(self, step, detail=""):
        """Says what is being done: a step of the comparison, and which part of it."""
        raise_if_seen()
        left = self.time_left
        self._bar.set_postfix_str(left, refresh=False)
        self._bar.set_description(f"{step} {detail}".rstrip())
        if self._lines and step != self._said:
            print(f"{step} ({left})" if left else step, file=sys.stderr, flush=True)
        self._said = step

    def done(self, steps=1):
        """Counts steps as done."""
        raise_if_seen()
        self._done += steps
        self._bar.update(steps)

    def say(self, text):
        """Prints a line on stdout, above the bar."""
        self._bar.clear()
        print(text, flush=True)
        self._bar.refresh()

    def close(self):
        """Takes the bar away."""
        self._bar.close()
