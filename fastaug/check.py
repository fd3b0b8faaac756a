"""What is wrong with the image files of a folder: `python -m fastaug check`.

    files ──► workers: processes that read one file after the other ──► what each is ──► findings

Whatever a file does to the process that reads it, the file is named, and another process reads on.
"""

import collections
import contextlib
import dataclasses
import hashlib
import io
import multiprocessing
import multiprocessing.connection
import os
import signal
import stat
import time
import types
import warnings

import numpy as np
from PIL import Image

from fastaug import decode
from fastaug.advice import about_folders, about_images_left_beside
from fastaug.command import FINE, FOUND, INTERRUPTED, shown
from fastaug.directory import FORMATS, Progress, folders_in, images_below, map_waiting
from fastaug.processes import Death
from fastaug.threads import usable_cores

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

# Files that a process is given at once.
_FILES = 8

# Seconds that a process may take to start.
_START_SECONDS = 60

# How many processes may end, one after the other, before one has started.
_STARTS = 3

# Processes that die over a file before it is blamed: one may be killed from outside.
_READS = 2

_SECONDS_BETWEEN_LOOKS = 0.2

_TARGET = decode.Target(8, 8, "rgb")
_ORIENTATION = 0x0112


@dataclasses.dataclass
class Report:
    """What a process says of a file.

    Attributes:
        error: Why it cannot be read, or None; then nothing else is known.
        size: (width, height) in pixels.
        mode: Pillow's name of the kind of pixels.
        orientation: EXIF's, 1 if it is upright.
        digest: Of its bytes.
    """

    error: str | None = None
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    orientation: int = 1
    digest: bytes = b""


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
    paths = tree.paths
    # of each kind pairs of a path and a text; digests are kept for all files, and no reports
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in KINDS}
    found["classes"] = [("", shown(text)) for text in tree.advice()]
    found["folder"] = [(error.filename, error.strerror) for error in tree.unreadable]
    digests: list[bytes | None] = [None] * len(paths)
    read, interrupted = 0, False
    start = time.perf_counter()
    readers = Readers(paths, workers or usable_cores(), timeout)
    with Progress(lambda count: _bar(count, len(paths), time.perf_counter() - start)) as progress:
        try:
            for position, report in readers:
                for kind, text in _judged(report, tiny):
                    found[kind].append((paths[position], text))
                digests[position] = report.digest
                read += 1
                progress.add(1)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            readers.close()
    if "duplicate" not in ignore:
        found["duplicate"] = list(_duplicates(paths, digests))
    listed = {kind: texts for kind, texts in found.items() if texts and kind not in ignore}
    for kind, texts in listed.items():
        print(f"{KINDS[kind]} ({kind}):")
        for path, text in sorted(texts):
            print(f"  {shown(path)}: {text}" if path else f"  {text}")
    seconds = time.perf_counter() - start
    counts = ", ".join(f"{len(texts):,} {kind}" for kind, texts in listed.items())
    verdict = counts or ("all is well" if paths else "nothing to read")
    print(f"Read {read:,} of {len(paths):,} images in {seconds:.1f} s: {verdict}.")
    if tree.left_out:
        others = ", ".join(f"{count} .{ending}" for ending, count in sorted(tree.left_out.items()))
        print(f"Left out, as a flow does without `formats`: {others}.")
    if interrupted:
        return INTERRUPTED
    if not paths:
        print(f"There are no images in {shown(directory)}.")
    return FOUND if listed or not paths else FINE


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


def _judged(report, tiny):
    """Yields the kinds of what is wrong with a file, and a text for each."""
    if report.error is not None:
        yield "unreadable", report.error
        return
    if report.mode != "RGB":
        yield "not-rgb", report.mode
    if report.orientation != 1:
        yield "turned", f"orientation {report.orientation}"
    if min(report.size) < tiny:
        yield "tiny", f"{report.size[0]} x {report.size[1]}"


def _bar(count, total, seconds):
    share = count / max(total, 1)
    bar = ("#" * round(share * 30)).ljust(30, ".")
    left = seconds / max(count, 1) * (total - count)
    text = f"{count:,} of {total:,} images, {count / seconds:,.0f}/s, {left:,.0f} s left"
    return f"[{bar}] {text}".ljust(90)


# ---- the processes, as the program sees them ----


class Readers:
    """Iterates over pairs of a position in a list of paths and its `Report`, as they come.

    Args:
        paths: The files.
        count: Number of processes.
        timeout: Seconds for a file.

    Raises:
        RuntimeError: If no process can be started.
    """

    def __init__(self, paths, count, timeout):
        self._paths = paths
        self._timeout = timeout
        self._waiting = collections.deque(range(len(paths)))
        self._deaths: collections.Counter = collections.Counter()
        self._failed = 0
        self._count = min(count, -(-len(paths) // _FILES))
        self._running: list[_Reader] = []

    def __iter__(self):
        while self._waiting or any(reader.has for reader in self._running):
            while len(self._running) < self._count and self._waiting:
                self._running.append(_Reader())
            signs = [each for reader in self._running for each in reader.signs()]
            ready = multiprocessing.connection.wait(signs, _SECONDS_BETWEEN_LOOKS)
            for reader in list(self._running):
                if reader.connection in ready:
                    yield from self._taken(reader)
                elif reader.process.sentinel in ready or reader.seconds() > (
                    self._timeout if reader.is_ready else _START_SECONDS
                ):
                    yield from self._ended(reader)

    def _taken(self, reader):
        """Yields what a process has sent, and gives it more to do."""
        try:
            while reader.connection.poll():
                report = reader.take()
                if report is not None:
                    self._failed = 0
                    yield reader.has.popleft(), report
            if reader.is_ready and not reader.has and self._waiting:
                chunk = min(_FILES, len(self._waiting))
                reader.give([self._waiting.popleft() for _ in range(chunk)], self._paths)
        except (EOFError, OSError):
            yield from self._ended(reader)

    def _ended(self, reader):
        """Blames the file at which a process has died or hangs, unless it may have been chance."""
        self._running.remove(reader)
        hangs = reader.process.is_alive() and reader.seconds() > self._timeout
        reader.kill()
        if not reader.is_ready:
            self._failed += 1
            if self._failed >= _STARTS:
                raise RuntimeError("no process can be started that reads the files")
        elif reader.has:
            blamed = reader.has[0]
            self._deaths[blamed] += 1
            if hangs or self._deaths[blamed] >= _READS:
                reader.has.popleft()
                text = f"not read within {self._timeout:g} seconds"
                if not hangs:
                    death = Death(reader.process.exitcode)
                    text = f"the process that read it ended ({death.reason})"
                yield blamed, Report(text)
        self._waiting.extendleft(reversed(reader.has))

    def close(self):
        """Ends the processes."""
        for reader in self._running:
            reader.kill()


class _Reader:
    """A process that reads files.

    Attributes:
        has: Positions of the files that it has not told of.
        is_ready: Whether it has started.
    """

    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=read_files, args=(other,), daemon=True)
        self.process.start()
        other.close()
        self.has = collections.deque()
        self.is_ready = False
        self._since = time.monotonic()

    def signs(self):
        return self.connection, self.process.sentinel

    def seconds(self):
        """Returns for how long it has been at one file, or at its start."""
        return time.monotonic() - self._since if self.has or not self.is_ready else 0.0

    def take(self):
        """Returns the next report; None if it is the word that the process has started."""
        report = self.connection.recv()
        self.is_ready = True
        self._since = time.monotonic()
        return report

    def give(self, positions, paths):
        self.has.extend(positions)
        self._since = time.monotonic()
        self.connection.send([paths[position] for position in positions])

    def kill(self):
        self.process.kill()
        self.process.join(1)  # one that waits for a dead network drive does not end
        self.connection.close()


# ---- in a process ----


def read_files(connection):
    """Reads the files whose paths come through a connection, and sends a `Report` of each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # the decoders' own words
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    warnings.simplefilter("ignore")
    with contextlib.suppress(EOFError, OSError):
        connection.send(None)
        while True:
            for path in connection.recv():
                connection.send(report_on(path))


def report_on(path) -> Report:
    """Reads a file as a flow does."""
    try:
        kind = os.stat(path).st_mode  # noqa: PTH116 (strings)
        if not stat.S_ISREG(kind):
            return Report(
                f"no regular file but a {_KINDS_OF_FILES.get(stat.S_IFMT(kind), 'device')}"
            )
        data = decode.read_file(path)
        out = np.empty(_TARGET.shape, _TARGET.dtype)
        decode.decode_bytes(data, path, _TARGET, out)
        with Image.open(io.BytesIO(data)) as image:
            try:
                orientation = image.getexif().get(_ORIENTATION, 1)
            except Exception:  # EXIF data that nobody can read turn nothing
                orientation = 1
            digest = hashlib.blake2b(data, digest_size=16).digest()
            return Report(None, image.size, image.mode, orientation or 1, digest)
    except Exception as error:
        return Report(_text_of(error, path))


_KINDS_OF_FILES = {
    stat.S_IFIFO: "FIFO, for which a flow would wait until its timeout",
    stat.S_IFSOCK: "socket",
}


def _text_of(error, path):
    """Returns what an error says, without the path, which is named before it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shown((str(error) or type(error).__name__).removeprefix(f"{path}: "))
