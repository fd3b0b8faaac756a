"""Images in a tree of class folders, as an index: paths, labels, subsets; no pixels.

Owns the scan of the tree, the progress shown meanwhile, and what it shares with the index of a
dataframe: labels as a batch, and words to the user. Beside it two helpers that Keras's old package
had. It knows nothing of decoding or of iterators.
"""

import collections
import concurrent.futures
import errno
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterable

import numpy as np

from fastaug.defaults import print_message
from fastaug.warn import warn

FORMATS = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

# Endings of images that Keras leaves out.
OTHER_FORMATS = frozenset(
    ("avif", "gif", "heic", "heif", "j2k", "jfif", "jp2", "jpe", "pbm", "pgm", "pnm", "tga", "webp")
)

_ENTRIES_AT_ONCE = 4096
_SECONDS_UNTIL_PROGRESS = 2.0
_SECONDS_UNTIL_THREADS = 0.1
_THREADS = 8
# The kernel follows 40 links in one path. Links that lead back to their own folder end there, but
# two of them side by side open 2 ** 40 paths; nothing real comes near these two numbers.
_DEEP_LINKS = 16
_VISITS_OF_A_DEEP_LINK = 10_000


class DirectoryIndex:
    """The images under a folder that has one folder for each class, in Keras's order.

    Prints how many images and classes it found.

    Args:
        directory: The folder.
        classes: Names of the folders to use, in the order of their labels. Empty or None: all,
            sorted by name.
        class_mode: 'categorical', 'binary', 'sparse', 'input' or None: what labels a batch has.
        split: `(start, stop)`, the part of each class to keep, as fractions. None: all of it.
        follow_links: Whether to enter linked folders below the folders of the classes.
        formats: Tuple of endings of the files to list, in lower case.

    Attributes:
        directory, class_mode, split: As given.
        filenames: Paths of the images, relative to `directory`.
        filepaths: The same, joined to `directory`.
        classes: int32 array of the labels.
        class_indices: Dict from the name of a class to its label.
        num_classes: Number of class folders.
        samples: Number of images.
        sample_weight: None; files in folders have no weights.
        given_classes: The argument `classes`; None where the folders are the classes.
        counts: Dict from the name of a class to the number of its images, whatever the split.
        formats: As given.
        left_out: Counter of the endings of files that are images, but not of `formats`.

    Raises:
        ValueError: If `class_mode` is not one of the above.
        OSError: If `directory` cannot be listed, or links in it lead in endless circles.
        KeyError: If a name in `classes` is a path whose last part is not in `classes` too.
    """

    allowed_class_modes = {"categorical", "binary", "sparse", "input", None}  # noqa: RUF012

    sample_weight = None

    def __init__(
        self,
        directory,
        classes=None,
        class_mode="categorical",
        split=None,
        follow_links=False,
        formats=FORMATS,
    ):
        check_class_mode(class_mode, self.allowed_class_modes)
        self.directory = directory
        self.class_mode = class_mode
        self.split = split
        self.formats = formats
        self.given_classes = classes if classes else None
        if not classes:
            classes = folders_in(directory)
        self.num_classes = len(classes)
        self.class_indices = dict(zip(classes, range(len(classes)), strict=True))

        tops = [os.path.join(directory, name) for name in classes]  # noqa: PTH118 (text of errors)
        self.filenames: list[str] = []
        labels, counts = [], []
        warned = False
        with Progress() as progress:
            scans = map_waiting(
                lambda top: images_below(top, formats, follow_links, progress), tops, progress
            )
        self._found = [names for names, *_ in scans]
        self.counts = {name: len(found) for name, (found, *_) in zip(classes, scans, strict=True)}
        self.left_out: collections.Counter = collections.Counter()
        for top, (names, has_tiff, left_out) in zip(tops, scans, strict=True):
            self.left_out += left_out
            if has_tiff and not warned:
                warned = True
                warn(
                    'Using ".tiff" files with multiple bands '
                    "will cause distortion. Please verify your output."
                )
            if split:
                names = names[int(split[0] * len(names)) : int(split[1] * len(names))]
            if names:
                labels.append(self.class_indices[os.path.basename(top)])  # noqa: PTH119 (strings)
                counts.append(len(names))
                self.filenames += names
        self.samples = len(self.filenames)
        self.classes = np.repeat(np.array(labels, dtype="int32"), counts)
        print_message(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        self.filepaths = join_all(directory, self.filenames)

    def __len__(self):
        return self.samples

    @property
    def labels(self):
        """The labels of all images."""
        return self.classes

    def unsplit(self):
        """Returns the paths of all images, whatever the split, relative to `directory`."""
        return list(itertools.chain.from_iterable(self._found))


def folders_in(directory):
    """Returns the names of the folders in a folder, sorted; links to folders count."""
    names = sorted(os.listdir(directory))  # noqa: PTH208 (Keras's names and errors)
    return [name for name in names if os.path.isdir(os.path.join(directory, name))]  # noqa: PTH112, PTH118


def images_below(top, formats, follow_links, progress, unreadable=None):
    """Lists the image files of a class.

    Args:
        top: Path of the folder of the class. Where it cannot be read, it has no files.
        formats: Endings of the files.
        follow_links: Whether to enter linked folders.
        progress: A `Progress`.
        unreadable: List that takes the error of each folder that cannot be read, or None.

    Returns:
        The paths, relative to the folder above `top`, in order of their folders' paths and then
        by name; whether there are files that end in '.tiff'; and a counter of `other_format`.

    Raises:
        OSError: If linked folders lead in endless circles.
    """
    nothing = top[:0]  # str, or bytes as the path is
    found = []
    has_tiff = False
    left_out: collections.Counter = collections.Counter()
    visits: collections.Counter = collections.Counter()
    stack = [(top, os.path.join(os.path.basename(top), nothing), 0)]  # noqa: PTH118, PTH119
    while stack:
        folder, prefix, links = stack.pop()
        try:
            entries = _entries(folder, progress)
        except OSError as error:
            if unreadable is not None:
                unreadable.append(error)
            continue  # as os.walk does: all of the folder or nothing
        names = []
        for entry in entries:
            name = entry.name
            try:
                is_folder = entry.is_dir()
            except OSError:  # too many links: a file, as for os.walk
                is_folder = False
            if is_folder:
                linked = entry.is_symlink()
                if linked and not follow_links:
                    continue
                path = os.path.join(folder, name)  # noqa: PTH118 (strings, many)
                if linked and links >= _DEEP_LINKS:
                    link = (entry.inode(), name)
                    visits[link] += 1
                    if visits[link] > _VISITS_OF_A_DEEP_LINK:
                        raise OSError(errno.ELOOP, "Linked folders lead in endless circles", path)
                stack.append((path, os.path.join(prefix, name, nothing), links + linked))  # noqa: PTH118
                continue
            lower = name.lower()
            if lower.endswith(".tiff"):
                has_tiff = True
            if lower.endswith(formats):
                names.append(name)
            elif ending := other_format(lower):
                left_out[ending] += 1
        if names:
            names.sort()
            found.append((folder, prefix, names))
    found.sort(key=lambda item: item[0])
    return [prefix + name for _, prefix, names in found for name in names], has_tiff, left_out


def other_format(name):
    """Returns the ending of a name in lower case if it is one of `OTHER_FORMATS`, else ''."""
    ending = name[name.rfind(".") + 1 :]
    return ending if ending in OTHER_FORMATS else ""


def _entries(folder, progress):
    """Returns what `os.scandir` finds in a folder; raises OSError if any of it cannot be read."""
    entries: list[os.DirEntry] = []
    with os.scandir(folder) as scan:
        while chunk := list(itertools.islice(scan, _ENTRIES_AT_ONCE)):
            progress.add(len(chunk))
            entries += chunk
    progress.add(0)
    return entries


def _is_shown(stream):
    """Whether a stream is a terminal or the output of a cell of a notebook."""
    if getattr(stream, "closed", False):
        return False
    is_notebook = type(stream).__module__ == "ipykernel.iostream"
    return is_notebook or bool(getattr(stream, "isatty", bool)())


class Stopped(Exception):  # noqa: N818 (nobody sees it: it ends threads whose work nobody wants)
    """A scan was interrupted."""


def _line_of_scan(count):
    return f"Scanning: {count:,} files"


class Progress:
    """Counts on stderr what is done, if somebody looks at it and the work takes seconds.

    A context manager: the line disappears at the end. Any thread may add to it.

    Args:
        line: Function of the count that returns the line to show; by default of files seen.
    """

    def __init__(self, line=_line_of_scan):
        self._line = line
        self._stream = sys.stderr if _is_shown(sys.stderr) else None
        self._lock = threading.Lock()
        self._count = 0
        self._next = time.perf_counter() + _SECONDS_UNTIL_PROGRESS
        self._width = 0
        self._stopped = False

    def add(self, count):
        """Counts more.

        Raises:
            Stopped: If the work is no longer wanted.
        """
        if self._stopped:
            raise Stopped
        if self._stream is None:
            return
        with self._lock:
            self._count += count
            now = time.perf_counter()
            if now < self._next:
                return
            self._next = now + 0.5
            line = self._line(self._count)
            self._width = len(line)
            self._stream.write(f"\r{line}")
            self._stream.flush()

    def stop(self):
        """Makes the next `add` of every thread raise `Stopped`."""
        self._stopped = True

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()


def map_waiting(function, jobs, progress):
    """Returns the results of a function for a list of jobs, in threads where threads help.

    Where the system knows the files already, one thread lists them fastest: the interpreter's
    lock passes from hand to hand otherwise. On slow and remote disks the waits add up. So this
    goes on in threads once it has waited for most of the time.

    Args:
        function: Takes a job; reads files; calls `progress.add` often.
        jobs: A list.
        progress: The `Progress` to stop when a job fails.
    """
    results = []
    start, used = time.perf_counter(), time.thread_time()
    for position, job in enumerate(jobs):
        elapsed = time.perf_counter() - start
        if elapsed > _SECONDS_UNTIL_THREADS and time.thread_time() - used < elapsed / 2:
            with concurrent.futures.ThreadPoolExecutor(_THREADS, "fastaug-scan") as pool:
                try:
                    results.extend(pool.map(function, jobs[position:]))
                except BaseException:
                    progress.stop()
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
            break
        results.append(function(job))
    return results


def check_class_mode(class_mode, allowed):
    """Checks that a class mode is one of a set.

    Raises:
        ValueError: If it is not.
    """
    if class_mode not in allowed:
        raise ValueError(f"Invalid class_mode: {class_mode}; expected one of: {allowed}")


def labels_of(labelled, index_array, dtype):
    """Returns the labels of a batch, or None if the class mode asks for none.

    For 'input' it is None too: there the images themselves are the labels.

    Args:
        labelled: An index, or an iterator over it: what has `class_mode`, and, as that needs them,
            `classes`, `class_indices` and `labels`.
        index_array: Positions of the images of the batch.
        dtype: Type of the labels; 'multi_output' and 'raw' have types of their own.
    """
    class_mode = labelled.class_mode
    if class_mode in ("input", None):
        return None
    index_array = np.asarray(index_array, dtype=np.intp)
    if class_mode == "multi_output":
        return [target[index_array] for target in labelled.labels]
    if class_mode == "raw":
        return labelled.labels[index_array]
    classes, count = labelled.classes, len(index_array)
    one_hot = class_mode == "categorical"
    shape = (count, len(labelled.class_indices)) if one_hot else count
    batch = np.zeros(shape, dtype=dtype)
    if type(classes) is np.ndarray and classes.ndim == 1 and classes.dtype.kind in "iu":
        rows, labels = [np.arange(count)], [classes[index_array]]  # all in one step
    else:  # one by one, as Keras does: an image may have several, and a user's may be anything
        rows, labels = range(count), [classes[i] for i in index_array.tolist()]
    for row, label in zip(rows, labels, strict=True):
        if one_hot:
            batch[row, label] = 1.0
        else:
            batch[row] = label
    return batch


def join_all(directory, names):
    """Returns paths joined to a folder, as `os.path.join` does each; absolute ones stay."""
    if not names:
        return []
    prefix = os.path.join(directory, "")  # noqa: PTH118 (keeps "./" and doubled slashes)
    return [name if name.startswith("/") else prefix + name for name in names]


def validate_filename(
    filename: str | os.PathLike[str], white_list_formats: str | Iterable[str]
) -> bool:
    """Whether a path has one of some endings and names a file.

    Args:
        filename: The path.
        white_list_formats: An ending in lower case, or some.

    Returns:
        True or False.

    Raises:
        TypeError: If `filename` is no path, or an ending no string.

    Example:
        >>> fastaug.validate_filename("notes.txt", ("png", "jpg"))
        False
    """
    endings = (white_list_formats,) if isinstance(white_list_formats, str) else white_list_formats
    name = os.fspath(filename)
    return name.lower().endswith(tuple(endings)) and os.path.isfile(name)  # noqa: PTH113 (strings)


def list_pictures(
    directory: str | os.PathLike[str], ext: str | Iterable[str] = FORMATS
) -> list[str]:
    """Lists the image files in a folder and in all folders below it, by their endings.

    Args:
        directory: The folder. Where it cannot be read, there are no files.
        ext: An ending in lower case, without its dot, or some.

    Returns:
        The paths, joined to `directory`, in the order of `os.walk`.

    Raises:
        TypeError: If `directory` is no path, or an ending no string.

    Example:
        >>> sorted(fastaug.list_pictures("photos", ext="jpg"))[:2]
        ['photos/ants/0.jpg', 'photos/ants/1.jpg']
    """
    endings = tuple([f".{ending}" for ending in ((ext,) if isinstance(ext, str) else ext)])
    return [
        os.path.join(folder, name)  # noqa: PTH118 (strings)
        for folder, _, names in os.walk(os.fspath(directory))
        for name in names
        if name.lower().endswith(endings)
    ]
