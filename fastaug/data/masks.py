"""Mask files: which belongs to which image, and what their labels are. No pixels."""

import os

from PIL import Image

from fastaug.data.dataframe import are_images
from fastaug.data.decode import labels_in
from fastaug.data.directory import Progress, images_below, join_all

# Files that an error names, of each kind.
_NAMED = 3


def masks_of_directory(index, folder, follow_links):
    """Returns the path of the mask of each image of a `DirectoryIndex`.

    A mask has the path of its image, but for the folder above and the ending.

    Args:
        index: The index.
        folder: Folder of the masks.
        follow_links: Whether to enter linked folders.

    Raises:
        ValueError: If an image, of any subset, has no mask or two, or a mask has no image; if there
            are no images.
        OSError: If the folder cannot be listed.
    """
    names, images = _files_below(folder, index.formats, follow_links), index.unsplit()
    if index.given_classes:
        names = [name for name in names if name.split(os.sep, 1)[0] in index.class_indices]
    found = _by_stem(names, folder)
    if not images and found:
        raise ValueError(
            f"There are no images in the folders of {index.directory}, for {len(found)} masks. "
            "Where images lie in it itself, take flow_from_dataframe with a column of their names "
            "and y_col=None."
        )
    stems = set(map(_stem, images))
    surplus = [
        f"{path} ({_joined(index.directory, stem)}.*)"
        for stem, path in found.items()
        if stem not in stems
    ]
    _check_none(surplus, len(found), "masks have no image")
    _check_found(images, found, index.directory, folder)
    return [found[_stem(name)] for name in index.filenames]


def masks_of_dataframe(index, folder, column, validate):
    """Returns the path of the mask of each image of a `DataFrameIndex`.

    Args:
        index: The index, of 'raw' labels, which are the paths of the masks; or without labels: then
            a mask has the path of its image, but for the folder above and the ending.
        folder: Folder that the paths of the masks start from.
        column: Name of the column of the labels, or None.
        validate: Whether to look for the files that a column names.

    Raises:
        TypeError: If the column has other values than strings.
        ValueError: If there are files that are missing.
        OSError: If the folder cannot be listed.
    """
    if column is None:
        found = _by_stem(_files_below(folder, index.formats, follow_links=True), folder)
        _check_found(index.filenames, found, index.directory, folder)
        return [found[_stem(name)] for name in index.filenames]
    names = list(index.labels)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"All values in column y_col={column} must be strings, paths of masks.")
    paths = join_all(folder, names)
    if validate:
        are_there = are_images(paths, index.formats)
        pairs = zip(index.filepaths, paths, are_there, strict=True)
        missing = [f"{image} ({mask})" for image, mask, is_there in pairs if not is_there]
        _check_none(missing, len(paths), "images have no mask")
    return paths


def _files_below(folder, formats, follow_links):
    """Returns the paths of the image files below a folder, relative to it."""
    os.listdir(folder)  # noqa: PTH208 (an error, where the listing below has none)
    top = os.path.normpath(folder)
    with Progress() as progress:
        names, _, _ = images_below(top, formats, follow_links, progress)
    start = len(_joined(os.path.basename(top), ""))  # noqa: PTH119 (strings)
    return [name[start:] for name in names]


def _by_stem(names, folder):
    """Returns a dict from paths without ending, relative to a folder, to the whole paths."""
    found: dict[str, str] = {}
    doubled = []
    for name, path in zip(names, join_all(folder, names), strict=True):
        other = found.setdefault(_stem(name), path)
        if other is not path:
            doubled.append(f"{path} ({other})")
    _check_none(doubled, len(names), "masks are for the image of another one")
    return found


def _check_found(images, found, directory, folder):
    missing = [
        f"{_joined(directory, name)} ({_joined(folder, _stem(name))}.*)"
        for name in images
        if _stem(name) not in found
    ]
    _check_none(missing, len(images), "images have no mask")


def _check_none(names, count, what):
    """Raises an error that names some of the files that something is wrong with.

    Args:
        names: Each with its partner.
        count: How many files there are.
        what: What is wrong with them.

    Raises:
        ValueError: If there are any.
    """
    if names:
        named = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        raise ValueError(f"{len(names)} of {count} {what}: {named}")


def labels_of_files(paths):
    """Returns the name of the type of the labels: that of the first file that can be opened.

    Raises:
        ValueError: If it has more than one value for a pixel.
    """
    for path in paths:
        try:
            with Image.open(path) as img:
                return labels_in(img)
        except OSError:  # the batch that it is for will say so
            continue
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return "uint8"


def _joined(folder, name):
    return os.path.join(folder, name)  # noqa: PTH118 (strings, many)


def _stem(name):
    return os.path.splitext(name)[0]  # noqa: PTH122 (strings, many)
