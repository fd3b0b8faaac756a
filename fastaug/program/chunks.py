"""A batch in chunks for threads, each of which waits for its images and gives them back."""

import itertools

import numpy as np

from fastaug.run.threads import Job

# Values in a chunk, at least: below it, handing a chunk to a thread costs more than it saves.
_CHUNK_VALUES = 1 << 17


# And at most: an interrupt waits for the chunks that have begun.
_LARGEST_CHUNK_VALUES = 1 << 24


def chunked_job(source, index, draws, table, out, workers, work, after=None, then=None):
    """Returns the work of a batch, and begins to read its images.

    Args:
        source: Where the images come from.
        index: int64 array, the position of each image in the source.
        draws: Seed and epoch of what is drawn when an image is read.
        table: Parameter table with a row for each image.
        out: Array for the finished images.
        workers: Number of threads that the chunks are for. The source says which images go
            together.
        work: Function to call, in any thread, with the images that were read, the position in them
            of each image of some part of the batch, its rows of the table and its part of `out`.
        after: Function to call with each such part once the images were given back.
        then: Function to call after all of them, in the thread of the last.

    Returns:
        `(job, errors)`: a job for `ThreadPool.submit`; errors is a dict that will have, when the
        job is done, an exception for each place whose image could not be read.
    """
    count = len(index)
    errors: dict[int, Exception] = {}
    chunks = min(2 * workers, out.size // _CHUNK_VALUES)
    chunks = max(chunks, out.size // _LARGEST_CHUNK_VALUES)
    chunks = max(1, min(chunks, count))
    bounds = [count * k // chunks for k in range(chunks + 1)]
    cut = source.cut(index, chunks) if count else None
    if cut is None:
        cut = [np.arange(start, stop) for start, stop in itertools.pairwise(bounds)]
    calls = []
    try:
        for places in cut:
            reading = source.open(index[places], draws)
            calls.append(_Chunk(reading, work, after, table, out, places, errors))
    except BaseException:  # Ctrl-C among others: what was begun must not keep its memory
        for call in calls:
            call.cancel()
        raise
    return Job(calls, then), errors


class _Chunk:
    """Some images of a batch: waits for them, works on them, gives them back."""

    __slots__ = ("_after", "_errors", "_out", "_places", "_reading", "_table", "_work")

    def __init__(self, reading, work, after, table, out, places, errors):
        self._reading = reading
        self._work = work
        self._after = after
        self._table = table
        self._out = out
        self._places = places
        self._errors = errors

    def __call__(self):
        parts = list(_side_by_side(self._places.tolist()))
        try:
            images, positions, errors = self._reading.read()
            for place, error in errors.items():
                self._errors[int(self._places[place])] = error
            done = 0
            for part in parts:
                count = part.stop - part.start
                chosen = positions[done : done + count]
                self._work(images, chosen, self._table[part], self._out[part])
                done += count
        finally:
            self._reading.release()
        if self._after is not None:
            for part in parts:
                self._after(self._out[part])

    def cancel(self):
        self._reading.cancel()


def _side_by_side(places):
    """Yields slices that some places, in rising order, make up: mostly a single one."""
    start = 0
    for k in range(1, len(places) + 1):
        if k == len(places) or places[k] != places[k - 1] + 1:
            yield slice(places[start], places[k - 1] + 1)
            start = k
