"""Images named in a dataframe, as an index: paths, labels, weights, subsets; no pixels.

Owns the checks of the columns and of the files they name. It takes a pandas dataframe as it comes
and never imports pandas itself.
"""

import collections
import contextlib
import decimal
import itertools
import os

import numpy as np

from fastaug.data.directory import (
    FORMATS,
    Progress,
    check_class_mode,
    join_all,
    map_waiting,
    other_format,
)
from fastaug.defaults import print_message
from fastaug.warn import warn

_UNLABELLED = ("input", "multi_output", "raw", None)
# From this many names in a folder on, listing the folder is faster than asking for each file;
# where it holds far more files than that, the listing stops early.
_NAMES_TO_LIST = 16
_ENTRIES_TO_LIST = 1000
_ENTRIES_PER_NAME = 4


class DataFrameIndex:
    """The images that a dataframe names, one in a row, in the order of its rows.

    Prints how many images, and how many classes, it found. The dataframe stays as it is.

    Args:
        dataframe: A pandas dataframe.
        directory: Folder that the paths start from. None: they are whole paths.
        x_col: Column of the paths.
        y_col: Column of the labels; a list of columns for 'multi_output', and for 'raw' if wanted.
        weight_col: Column of the sample weights, or None.
        classes: The classes to use, in the order of their labels; rows of others are left out.
            Empty or None: all, sorted.
        class_mode: 'categorical', 'binary', 'sparse', 'input', 'multi_output', 'raw' or None: what
            labels a batch has.
        split: `(start, stop)`, the part of all rows to keep, as fractions. None: all of them.
        validate_filenames: Whether to leave out rows whose path names no file, or has another
            ending than `formats`.
        formats: Tuple of endings of image files, in lower case.

    Attributes:
        directory, class_mode, split: As given; `directory` is '' for None.
        filenames: Paths as the dataframe has them.
        filepaths: The same, joined to `directory`.
        classes: List of labels, each an int or a list of them. Only if the class mode is
            'categorical', 'binary' or 'sparse'.
        class_indices: Dict from the name of a class to its label. Only in these class modes too.
        sample_weight: Array of weights, or None.
        samples: Number of images.
        unused_classes: Those given as `classes` that no row has.
        unsplit_targets: Only for 'raw': the labels of the rows of both subsets.
        other_labels: Labels of rows that are not in `classes`, if these are given.
        left_out: Counter of the endings of files that are images, but not of `formats`.
        formats: As given.
        only_invalid: The first path, if all were left out as invalid; else ''.

    Raises:
        ValueError: If `class_mode` is not one of the above, or 'binary' does not have two classes.
        TypeError: If `y_col` is no list for 'multi_output', or a column has values of a wrong type.
        KeyError: If a column is missing.
    """

    allowed_class_modes = {  # noqa: RUF012
        "binary",
        "categorical",
        "input",
        "multi_output",
        "raw",
        "sparse",
        None,
    }

    def __init__(
        self,
        dataframe,
        directory=None,
        x_col="filename",
        y_col="class",
        weight_col=None,
        classes=None,
        class_mode="categorical",
        split=None,
        validate_filenames=True,
        formats=FORMATS,
    ):
        frame = dataframe.copy()
        self.unused_classes: list = []
        self.other_labels: set = set()
        self.only_invalid = ""
        self.left_out: collections.Counter = collections.Counter()
        self.directory = directory or ""
        self.class_mode = class_mode
        self.split = split
        self.formats = formats
        check_class_mode(class_mode, self.allowed_class_modes)
        columns = {"x_col": x_col, "y_col": y_col, "weight_col": weight_col}
        with _naming_columns(frame, columns):
            _check_columns(frame, x_col, y_col, weight_col, classes, class_mode)

        if validate_filenames and len(frame) == 0:
            frame = frame[[]]  # as in Keras, whose empty mask selects columns: a KeyError follows
        elif validate_filenames:
            paths = join_all(self.directory, frame[x_col].tolist())
            valid = np.array(are_images(paths, formats), dtype=bool)
            self.left_out = _other_formats(itertools.compress(paths, ~valid))
            self.only_invalid = "" if valid.any() else paths[0]
            if invalid := len(valid) - int(valid.sum()):
                warn(
                    f'Found {invalid} invalid image filename(s) in x_col="{x_col}". '
                    "These filename(s) will be ignored."
                )
            frame = frame[valid]
        labels = None
        if class_mode not in _UNLABELLED:
            given, rows = classes, frame[y_col].tolist()
            labels, classes = _known_labels(rows, classes)
            if given:
                found = _names_in(rows)
                self.unused_classes = [name for name in classes if not _is_in(name, found)]
                self.other_labels = found.difference(classes)
            self.class_indices = dict(zip(classes, range(len(classes)), strict=True))
            known = np.array([label is not None for label in labels], dtype=bool)
            if not known.all():
                frame = frame[known]
                labels = [label for label in labels if label is not None]
        whole = frame
        if split:
            start, stop = (int(part * len(frame)) for part in split)
            frame = frame.iloc[start:stop, :]
            labels = None if labels is None else labels[start:stop]
        if labels is not None:
            self.classes = _numbers_of(labels, self.class_indices)

        self.filenames: list[str] = frame[x_col].tolist()
        self.sample_weight = frame[weight_col].values if weight_col else None
        with _naming_columns(frame, columns):
            if class_mode == "multi_output":
                self._targets = [np.array(frame[column].tolist()) for column in y_col]
            elif class_mode == "raw":
                self._targets = _raw_values(frame[y_col])
                self.unsplit_targets = _raw_values(whole[y_col])
        self.samples = len(self.filenames)
        message = (
            f"Found {self.samples} {'validated' if validate_filenames else 'non-validated'} "
            "image filenames"
        )
        if labels is not None:
            message += f" belonging to {len(classes)} classes"
        print_message(message + ".")
        self.filepaths = join_all(self.directory, self.filenames)

    def __len__(self):
        return self.samples

    @property
    def labels(self):
        """The labels of all images: `classes`, or the values of the columns."""
        return self._targets if self.class_mode in ("multi_output", "raw") else self.classes


def _values(frame, column):
    """Returns the values of a column; where a list names columns, or a name occurs twice, these."""
    data = frame[column]
    if data.ndim == 1:
        return data.tolist()
    return [data.iloc[:, position] for position in range(data.shape[1])]


def _all_of(values, types):
    return all(issubclass(kind, types) for kind in set(map(type, values)))


@contextlib.contextmanager
def _naming_columns(frame, given):
    """Notes on a KeyError, in which pandas names a column, whose it is and which there are."""
    try:
        yield
    except KeyError as error:
        received = ", ".join(f"{name}={value!r}" for name, value in given.items())
        error.add_note(f"The columns are {list(frame.columns)}. Received: {received}")
        raise


def _check_columns(frame, x_col, y_col, weight_col, classes, class_mode):
    """Checks that the columns have values of the types that the class mode needs.

    Raises:
        ValueError: If there are not two classes for 'binary'.
        TypeError: If `y_col` is no list for 'multi_output', or a column has values of a wrong type.
    """
    if class_mode == "multi_output" and not isinstance(y_col, list):
        raise TypeError(
            f'If class_mode="{class_mode}", y_col must be a list. Received {type(y_col).__name__}.'
        )
    if not _all_of(_values(frame, x_col), str):
        raise TypeError(f"All values in column x_col={x_col} must be strings.")
    if class_mode in ("binary", "sparse") and not _all_of(_values(frame, y_col), str):
        raise TypeError(
            f'If class_mode="{class_mode}", y_col="{y_col}" column values must be strings.'
        )
    if class_mode == "binary":
        if classes:
            if (number := len(set(classes))) != 2:
                raise ValueError(
                    f'If class_mode="binary" there must be 2 classes. {number} class/es were given.'
                )
        elif (number := frame[y_col].nunique()) != 2:
            raise ValueError(
                f'If class_mode="binary" there must be 2 classes. Found {number} classes.'
            )
    if class_mode == "categorical" and not _all_of(_values(frame, y_col), (str, list, tuple)):
        raise TypeError(
            f'If class_mode="{class_mode}", y_col="{y_col}" column '
            "values must be type string, list or tuple."
        )
    if classes and class_mode in _UNLABELLED:
        warn(f'`classes` will be ignored given the class_mode="{class_mode}"')
    if weight_col and not issubclass(frame[weight_col].dtype.type, np.number):
        raise TypeError(f"Column weight_col={weight_col} must be numeric.")


def _known_labels(labels, classes):
    """Leaves out of labels what is not in the classes.

    Args:
        labels: List of strings, lists and tuples.
        classes: The classes. Empty or None: all that occur, sorted.

    Returns:
        The labels, None in place of those with nothing left; and the list of classes.
    """
    if not classes:
        found = set()
        for label in labels:
            if isinstance(label, str):
                found.add(label)
            else:
                found.update(label)
        return labels, sorted(found)
    classes = list(dict.fromkeys(classes))
    known = set(classes)

    def kept(label):
        if isinstance(label, str):
            return label if label in known else None
        return [name for name in label if _is_in(name, known)] or None

    return [kept(label) for label in labels], classes


def _names_in(labels):
    """Returns the set of the names in labels."""
    found = set()
    for label in labels:
        for name in (label,) if isinstance(label, str) else label:
            if isinstance(name, str):
                found.add(name)
    return found


def _is_in(name, known):
    try:
        return name in known
    except TypeError:  # a list within a list: not hashable, so not a class
        return False


def _numbers_of(labels, class_indices):
    """Returns the number of each label, a list of numbers for a list or tuple of names."""
    return [
        class_indices[label] if isinstance(label, str) else [class_indices[name] for name in label]
        for label in labels
    ]


def are_images(paths, formats):
    """Returns for each path whether it has one of the endings and names a file."""
    valid = [path.lower().endswith(formats) for path in paths]
    folders: dict[str, list[int]] = {}
    for position, path in enumerate(paths):
        if valid[position]:
            folders.setdefault(path[: path.rfind("/") + 1], []).append(position)
    with Progress() as progress:

        def check(folder):
            positions = folders[folder]
            return _are_files(folder, [paths[position] for position in positions], progress)

        for folder, found in zip(folders, map_waiting(check, list(folders), progress), strict=True):
            for position, is_file in zip(folders[folder], found, strict=True):
                valid[position] = is_file
    return valid


def _other_formats(paths):
    """Returns a counter of the endings of images among files that were left out."""
    endings = ((path, other_format(path.lower())) for path in paths)
    return collections.Counter(
        ending
        for path, ending in endings
        if ending and os.path.isfile(path)  # noqa: PTH113 (strings)
    )


def _are_files(folder, paths, progress):
    """Returns for each path in a folder whether it names a file, or a link to one.

    Args:
        folder: The folder, with a slash at its end, or ''.
        paths: The paths, which all start with `folder`.
        progress: A `Progress`.
    """
    progress.add(len(paths))
    listed = set()
    if len(paths) >= _NAMES_TO_LIST:
        listed = _regular_files(folder, _ENTRIES_TO_LIST + _ENTRIES_PER_NAME * len(paths))
        # In a folder that may be listed but not entered, no file can be read.
        if listed and not os.path.isfile(folder + next(iter(listed))):  # noqa: PTH113 (strings)
            listed = set()
    found = []
    for position, path in enumerate(paths):
        if position % 1024 == 1023:
            progress.add(0)
        # What is not listed, the system decides: links, letters of another case, paths with ..
        found.append(path[len(folder) :] in listed or os.path.isfile(path))  # noqa: PTH113
    return found


def _regular_files(folder, limit):
    """Returns names of files in a folder, links not among them, from its first `limit` entries."""
    try:
        with os.scandir(folder or ".") as entries:
            return {
                entry.name
                for entry in itertools.islice(entries, limit)
                if entry.is_file(follow_symlinks=False)
            }
    except (OSError, ValueError):  # not to be listed, or no name of a folder
        return set()


def _raw_values(data):
    """Returns the values of a column, or of some; there, categories become numbers beside such."""
    if data.ndim == 1:
        return data.values
    columns = [data.iloc[:, position].values for position in range(data.shape[1])]
    if any(hasattr(column, "categories") for column in columns):
        columns = [as_one_array(column) for column in columns]
        if all(isinstance(each, np.ndarray) and each.dtype.kind in "biuf" for each in columns):
            return np.stack(columns, axis=1)
    return data.values


def as_one_array(values):
    """Returns the values of a column, or of some columns, as one array of numbers if they are such.

    A trainer takes neither arrays of objects nor pandas's own.

    Args:
        values: What `values` of a series or a dataframe gives: vectors of one length, numbers in
            objects, pandas's integers that may be missing, categories.

    Returns:
        An array with a row for each value: of vectors of rank 2 or more; NaN for what is missing.
        Categories that are no numbers become their codes. What is neither comes back as it is:
        words, vectors of many lengths.
    """
    if not isinstance(values, np.ndarray):
        if hasattr(values, "categories"):
            if values.categories.dtype.kind not in "biuf":
                codes = np.asarray(values.codes, dtype=np.int64)
                return np.where(codes < 0, np.nan, codes) if (codes < 0).any() else codes
            return np.asarray(values)
        if values.dtype.kind not in "biuf":
            return values
        if values.isna().any():
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return values.to_numpy(dtype=getattr(values.dtype, "numpy_dtype", None))
    if values.dtype != object:
        return values
    cells = [_nan_if_missing(value) for value in values.ravel().tolist()]
    if any(isinstance(value, decimal.Decimal) for value in cells):  # as databases give them
        cells = [float(value) if isinstance(value, decimal.Decimal) else value for value in cells]
    try:
        array = np.array(cells)
    except ValueError:  # vectors of many lengths
        return values
    if array.dtype.kind not in "biuf" or not len(values):
        return values
    return array.reshape(values.shape + array.shape[1:])


def _nan_if_missing(value):
    return np.nan if value is None or type(value).__name__ == "NAType" else value
