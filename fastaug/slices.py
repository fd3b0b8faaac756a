"""A batch as slices for threads, each of which waits for its images and gives them back."""

import itertools

from fastaug.threads import Job


def sliced_job(source, index, table, out, slices, work, after=None, then=None):
    """Returns the work of a batch, and begins to read its images.

    Args:
        source: Where the images come from.
        index: int64 array, the position of each image in the source.
        table: Parameter table with a row for each image.
        out: Array for the finished images.
        slices: Number of slices, unless the source has an opinion; brought to one at least, and to
            one for each image at most.
        work: Function to call, in any thread, with the images that were read, the position in them
            of each image of the slice, its rows of the table and its part of `out`.
        after: Function to call with that part once the images were given back.
        then: Function to call after all of them, in the thread of the last.

    Returns:
        `(job, errors)`: a job for `ThreadPool.submit`; errors is a dict that will have, when the
        job is done, an exception for each place whose image could not be read.
    """
    count = len(index)
    errors: dict[int, Exception] = {}
    if source.slice_length is not None:
        slices = -(-count // source.slice_length)
    slices = max(1, min(slices, count))
    bounds = [count * k // slices for k in range(slices + 1)]
    calls = []
    try:
        for start, stop in itertools.pairwise(bounds):
            reading = source.open(index[start:stop])
            part = slice(start, stop)
            calls.append(_Slice(reading, work, after, table[part], out[part], start, errors))
    except BaseException:  # Ctrl-C among others: what was begun must not keep its memory
        for call in calls:
            call.cancel()
        raise
    return Job(calls, then), errors


class _Slice:
    """Some images of a batch: waits for them, works on them, gives them back."""

    __slots__ = ("_after", "_errors", "_first", "_out", "_reading", "_table", "_work")

    def __init__(self, reading, work, after, table, out, first, errors):
        self._reading = reading
        self._work = work
        self._after = after
        self._table = table
        self._out = out
        self._first = first
        self._errors = errors

    def __call__(self):
        try:
            images, positions, errors = self._reading.read()
            for place, error in errors.items():
                self._errors[self._first + place] = error
            self._work(images, positions, self._table, self._out)
        finally:
            self._reading.release()
        if self._after is not None:
            self._after(self._out)

    def cancel(self):
        self._reading.cancel()
