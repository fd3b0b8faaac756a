"""Mask files: which belongs to which image, and what their labels are. No pixels."""

import itertools
import os

from PIL import Image

from fastaug.data.decode import labels_in
from fastaug.data.directory import Progress, images_below, join_all

# Files that an error names, of each kind.
_NAMED = 3


def masks_below(folder, formats, follow_links):
    """Returns the paths of the mask files below a folder, relative to it.

    Args:
        folder: The folder.
        formats: Tuple of endings of the files, in lower case.
        follow_links: Whether to enter linked folders.

    Raises:
        OSError: If the folder cannot be listed.
    """
    os.listdir(folder)  # noqa: PTH208 (an error, where the listing below has none)
    top = os.path.normpath(folder)
    with Progress() as progress:
        names, _, _ = images_below(top, formats, follow_links, progress)
    start = len(os.path.join(os.path.basename(top), ""))  # noqa: PTH118, PTH119 (strings)
    return [name[start:] for name in names]


def paired(filenames, masks, directory, folder, images=None):
    """Returns the path of the mask of each image: the one of the same path, but for its ending.

    Args:
        filenames: Paths of the images, relative to `directory`.
        masks: Paths of the masks, relative to `folder`.
        directory: Folder of the images.
        folder: Folder of the masks.
        images: Paths of all images that the masks are for, as `filenames`, if none may be left
            over. None: they may.

    Raises:
        ValueError: If an image has no mask or more than one, or a mask no image.
    """
    found: dict[str, str] = {}
    doubled = []
    for name in masks:
        other = found.setdefault(_stem(name), name)
        if other is not name:
            doubled.append(f"{os.path.join(folder, other)} and {name}")  # noqa: PTH118 (strings)
    wanted = dict.fromkeys(filenames if images is None else images)
    stems = {_stem(name) for name in wanted}
    missing = [
        f"{os.path.join(directory, name)} ({os.path.join(folder, _stem(name))}.*)"  # noqa: PTH118
        for name in wanted
        if _stem(name) not in found
    ]
    surplus = [
        f"{os.path.join(folder, name)} ({os.path.join(directory, stem)}.*)"  # noqa: PTH118
        for stem, name in found.items()
        if images is not None and stem not in stems
    ]
    check_none("images have no mask", missing, len(wanted))
    check_none("masks have no image", surplus, len(masks))
    check_none("masks are for the image of another one", doubled, len(masks))
    return join_all(folder, [found[_stem(name)] for name in filenames])


def check_none(what, names, count):
    """Raises an error that names some of the files that something is wrong with.

    Args:
        what: What is wrong with them.
        names: Each with its partner.
        count: How many files there are.

    Raises:
        ValueError: If there are any.
    """
    if names:
        more = ", ..." if len(names) > _NAMED else ""
        named = ", ".join(itertools.islice(names, _NAMED))
        raise ValueError(f"{len(names)} of {count} {what}: {named}{more}")


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


def _stem(name):
    return os.path.splitext(name)[0]  # noqa: PTH122 (strings, many)
