"""What is wrong with the image files of a folder: `python -m fastaug check`.

    files ──► the readers of the flows, which report what each file is ──► findings

Whatever a file does to the process that reads it, the file is named, as in a flow.
"""

import collections
import itertools
import os
import stat
import time
import types

import numpy as np

from fastaug import _core
from fastaug.data import report
from fastaug.data.decode_pool import decode_pool
from fastaug.data.directory import FORMATS, Progress, folders_in, images_below, map_waiting
from fastaug.data.file_reader import FileReader, Paths
from fastaug.data.report import REPORT, TARGET
from fastaug.keras_api.advice import about_folders, about_images_left_beside
from fastaug.keras_api.params import affine_row
from fastaug.run.threads import shared_pool, usable_cores
from fastaug.show.command import FINE, FOUND, INTERRUPTED, shown

# What is found, and what it means, in the order of the report.
KINDS = {
    "classes": "What a flow warns of or leaves out, in the folders of classes",
    "folder": "Folders that cannot be read, and so count as empty",
    "unreadable": "Files that cannot be read",
    "not-rgb": "Files that are not RGB, and are converted",
    "turned": "Files that a viewer turns, by their EXIF data, and a flow does not",
    "tiny": "Tiny images",
    "duplicate": "Files with the bytes of another one",
}

# Files of a batch, and batches that are read at a time: a file that hangs holds up its own.
_FILES = 8
_BATCHES = 64

_READS = report.__name__


def check(
    directory, *, tiny=32, ignore=(), workers=None, follow_links=False, timeout=60, formats=()
):
    """Reads every image below a folder, and prints what is wrong.

    Args:
        directory: The folder.
        tiny: Side in pixels below which an image is tiny.
        ignore: Names in `KINDS` of what is not to be listed.
        workers: Number of processes, from 1. None: one for each core.
        follow_links: Whether to enter linked folders below those in `directory`.
        timeout: Seconds after which a file that is still being read is given up.
        formats: Endings of files to read beside Keras's.

    Returns:
        The exit status.

    Raises:
        OSError: If the folder cannot be listed.
        ValueError: If there is no such kind.
        RuntimeError: If no process can be started.
    """
    if unknown := set(ignore) - set(KINDS):
        raise ValueError(f"no such kinds: {sorted(unknown)}; there are: {', '.join(KINDS)}")
    if not timeout > 0:
        raise ValueError(f"timeout should be seconds above 0, not {timeout}")
    endings = (*FORMATS, *(ending.lower().removeprefix(".") for ending in formats))
    tree = _Tree(directory, endings, follow_links)
    special, paths = _sorted_out(tree.paths)
    # of each kind pairs of a path and a text; digests are kept for all files, and no reports
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in KINDS}
    found["classes"] = [("", shown(text)) for text in tree.advice()]
    found["folder"] = [(error.filename, error.strerror) for error in tree.unreadable]
    found["unreadable"] = special
    digests: list[bytes | None] = [None] * len(paths)
    read, interrupted = len(special), False
    start = time.perf_counter()
    with Progress(lambda count: _bar(count, len(paths), time.perf_counter() - start)) as progress:
        try:
            for position, seen in _reports(paths, workers or usable_cores(), timeout):
                path = paths[position]
                if isinstance(seen, Exception):
                    found["unreadable"].append((path, _text_of(seen, path)))
                else:
                    for kind, text in _judged(seen, tiny):
                        found[kind].append((path, text))
                    digests[position] = seen["digest"].tobytes()
                read += 1
                progress.add(1)
        except KeyboardInterrupt:
            interrupted = True
    found["unreadable"].sort()
    found["duplicate"] = list(_duplicates(paths, digests))
    listed = {kind: texts for kind, texts in found.items() if texts and kind not in ignore}
    for kind, texts in listed.items():
        print(f"{KINDS[kind]} ({kind}):")
        for path, text in texts:
            print(f"  {shown(path)}: {text}" if path else f"  {text}")
    seconds = time.perf_counter() - start
    counts = ", ".join(f"{len(texts):,} {kind}" for kind, texts in listed.items())
    if interrupted:
        verdict = f"{counts or 'nothing found'}, until Ctrl-C"
    else:
        verdict = counts or ("all is well" if tree.paths else "nothing to read")
    print(f"Read {read:,} of {len(tree.paths):,} images in {seconds:.1f} s: {verdict}.")
    if tree.left_out:
        others = ", ".join(f"{count} .{ending}" for ending, count in sorted(tree.left_out.items()))
        print(f"Left out, as a flow does without `formats`: {others}.")
    if interrupted:
        return INTERRUPTED
    if not tree.paths:
        print(f"There are no images in {shown(directory)}.")
    return FOUND if listed or not tree.paths else FINE


class _Tree:
    """The image files below a folder, with the folders in it as classes.

    The folders in it may be links, as those of classes may.

    Args:
        directory: The folder.
        endings: Endings of the files.
        follow_links: Whether to enter linked folders below.

    Attributes:
        paths: The files, sorted.
        left_out: Counter of the endings of other images.
        unreadable: Errors of folders that cannot be read, sorted.

    Raises:
        OSError: If the folder cannot be listed.
    """

    def __init__(self, directory, endings, follow_links):
        def below(name):
            errors: list[OSError] = []
            top = os.path.join(directory, name)  # noqa: PTH118
            return *images_below(top, endings, follow_links, progress, errors), errors

        self._directory = directory
        self._endings = endings
        folders = folders_in(directory)
        with Progress() as progress:
            scans = map_waiting(below, folders, progress)
        with os.scandir(directory) as entries:
            self._beside = sorted(
                e.name for e in entries if e.name.lower().endswith(endings) and not _is_folder(e)
            )
        self._in_classes: list[str] = []
        self._counts = {}
        self.left_out: collections.Counter = collections.Counter()
        self.unreadable: list[OSError] = []
        for folder, (names, _, others, errors) in zip(folders, scans, strict=True):
            self._in_classes += names
            self.left_out += others
            self.unreadable += errors
            if names or not errors:  # what is in the others is not known
                self._counts[folder] = len(names)
        self.unreadable.sort(key=lambda error: error.filename)
        self.paths = sorted(
            os.path.join(directory, name)  # noqa: PTH118
            for name in (*self._beside, *self._in_classes)
        )

    def advice(self):
        """Yields what a flow over the folder warns of, and which images it does not read."""
        if not self._counts:  # a folder of images: one class of the folder above
            return
        index = types.SimpleNamespace(
            directory=self._directory,
            given_classes=None,
            class_mode="categorical",
            class_indices=self._counts,
            counts=self._counts,
            filenames=self._in_classes,
            formats=self._endings,
            left_out=None,  # told by itself, also of a folder of images
        )
        yield from about_folders(index)
        if self._in_classes:
            yield from about_images_left_beside(self._directory, self._beside)


def _duplicates(paths, digests):
    """Yields files that have the content of one before them, and a text for each."""
    first: dict[bytes, str] = {}
    for path, digest in zip(paths, digests, strict=True):
        if digest and (other := first.setdefault(digest, path)) is not path:
            yield path, f"the same as {shown(other)}"


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _judged(seen, tiny):
    """Yields the kinds of what is wrong with a file that can be read, and a text for each."""
    if (mode := seen["mode"].decode()) != "RGB":
        yield "not-rgb", mode
    if seen["orientation"] != 1:
        yield "turned", f"orientation {seen['orientation']}"
    if min(seen["width"], seen["height"]) < tiny:
        yield "tiny", f"{seen['width']} x {seen['height']}"


def _bar(count, total, seconds):
    share = count / max(total, 1)
    bar = ("#" * round(share * 30)).ljust(30, ".")
    left = seconds / max(count, 1) * (total - count)
    text = f"{count:,} of {total:,} images, {count / seconds:,.0f}/s, {left:,.0f} s left"
    return f"[{bar}] {text}".ljust(90)


# ---- the readers ----


def _reports(paths, workers, timeout):
    """Yields pairs of a position and a `report.REPORT`, or what is wrong with the file.

    Args:
        paths: The files.
        workers: Number of processes.
        timeout: Seconds for a file.

    Raises:
        RuntimeError: If no process can be started.
    """
    shape = (1, 1, REPORT.itemsize)
    pool = decode_pool("processes", workers, None)()
    slots = _FILES * _BATCHES
    reader = FileReader(Paths(paths), TARGET, shape, pool, slots, timeout, reads=_READS)
    program, threads = _core.Program(*shape, is_bytes=True), shared_pool(1)
    jobs: collections.deque = collections.deque()
    waiting = iter(range(0, len(paths), _FILES))
    try:
        while True:
            for start in itertools.islice(waiting, _BATCHES - len(jobs)):
                index = np.arange(start, min(start + _FILES, len(paths)))
                out = np.zeros((len(index), *shape), np.uint8)
                job = reader.job(program, index, np.tile(affine_row(), (len(index), 1)), out, False)
                threads.submit(job)
                jobs.append((job, index, out))
            if not jobs:
                return
            job, index, out = jobs[0]
            job.wait()
            jobs.popleft()
            for place, position in enumerate(index.tolist()):
                yield position, job.errors.get(place, out[place].reshape(-1).view(REPORT)[0])
    finally:
        for job, *_ in jobs:
            job.cancel()


_KINDS_OF_FILES = {
    stat.S_IFIFO: "FIFO, for which a flow would wait until its timeout",
    stat.S_IFSOCK: "socket",
}


def _sorted_out(paths):
    """Returns pairs of a path of no regular file and a text, and a list of the other paths."""
    special, others = [], []
    for path in paths:
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 (strings)
        except OSError:  # who reads it will say so
            mode = stat.S_IFREG
        if stat.S_ISREG(mode):
            others.append(path)
        else:
            name = _KINDS_OF_FILES.get(stat.S_IFMT(mode), "device")
            special.append((path, f"no regular file but a {name}"))
    return special, others


def _text_of(error, path):
    """Returns what an error says, without the path, which is named before it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shown((str(error) or type(error).__name__).removeprefix(f"{path}: "))
