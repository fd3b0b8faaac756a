"""What a user surely did not mean, and what to write in its place: the texts of `UsageWarning`.

Each function tells the conditions under which nothing useful comes of settings and data, and yields
a text for each that is met. Where what comes is of use, though odd, it says nothing. Warning is
left to the caller, once for an iterator.
"""

import difflib
import os
import pathlib
import re

import numpy as np

from fastaug.data.directory import folders_in
from fastaug.data.images import can_read
from fastaug.keras_api.function_results import name_of
from fastaug.keras_api.params import ParameterSampler
from fastaug.keras_api.standardization import FOR_FLOATS
from fastaug.ops.base import Call

# Folders that systems and tools make beside a user's; so are all whose name begins with a dot.
_OF_SYSTEMS = frozenset(
    (
        "#recycle",
        "#snapshot",
        "$RECYCLE.BIN",
        "@Recycle",
        "@eaDir",
        "RECYCLER",
        "System Volume Information",
        "__MACOSX",
        "__pycache__",
        "lost+found",
    )
)

# Folders that hold parts of a data set, each with the folders of all classes.
_PARTS = frozenset(
    ("train", "training", "val", "valid", "validation", "dev", "eval", "test", "testing")
)

# What systems put among a user's files, and what macOS writes beside each.
_STRANGE = re.compile(
    rf"[/\\](\._|(\.ipynb_checkpoints|{'|'.join(map(re.escape, sorted(_OF_SYSTEMS)))})[/\\])"
)

# Names in a text, at most.
_NAMED = 10

# Images to look at: a data set may be larger than the memory.
_LOOKED_AT = 16

# Seeds with which an op is tried, as some do nothing at one.
_TRIED_SEEDS = 8

# Values below it are 0 or 1 as whole numbers: meant as parts of 1, perhaps resized since.
_UNITS = 2


def about_images(generator, images, dtype):
    """Yields what is wrong with images in memory for a generator and its batches.

    Args:
        generator: An `ImageDataGenerator` of any kind, or None.
        images: Array of rank 4.
        dtype: Type of the batches.
    """
    dtype = np.dtype(dtype)
    # who has methods of their own may do anything
    own_way = getattr(generator, "_overrides_methods", lambda: True)()
    of_floats = images.dtype.kind == "f" and not own_way
    brightens = of_floats and generator.brightness_range
    ops = (of_floats and generator.augment) or ()
    narrows = dtype.kind in "iu" and not np.can_cast(images.dtype, dtype)
    if not (brightens or ops or narrows):
        return
    values = _Range()
    chosen = min(len(images), _LOOKED_AT)
    # in one go, if they are on the disk
    looked_at = np.asarray(images[np.arange(chosen) * len(images) // chosen])
    for image in looked_at:
        values.add(image)
    low, high = values.low, values.high
    are_units = low >= 0 and 0 < high < _UNITS
    if are_units and ops:
        image = looked_at[0]
        if generator.data_format == "channels_first":
            image = image.transpose(1, 2, 0)
        wrong = [repr(op) for op in ops if _needs_bytes_scale(op, image)]
        if wrong:
            yield (
                f"{', '.join(wrong)} of `augment` works on values from 0 to 255; these images have "
                f"values from {low:g} to {high:g}. Give the images as 0 to 255, such as x * 255, "
                "and divide with rescale=1/255, which comes after it."
            )
    if brightens and are_units:
        yield (
            "`brightness_range` works on values from 0 to 255; these images have values from "
            f"{low:g} to {high:g}, which it makes black. Give the images as 0 to 255, such as "
            "x * 255, and divide with rescale=1/255, which comes after it."
        )
    if narrows:
        yield from values.lost_in(
            dtype,
            f"Images of {images.dtype}",
            "Bring them into {low} to {high} before, or use",
            "Give the images as 0 to 255, such as x * 255, or use",
        )


def _needs_bytes_scale(op, image):
    """Returns whether an op does another thing to values from 0 to 1 than to those up to 255."""
    if isinstance(op, Call) or op.is_crop:
        return False
    image = image.astype(np.float32)
    return any(
        not np.allclose(op(image, seed), op(image * 255, seed) / 255, atol=0.01)
        for seed in range(_TRIED_SEEDS)
    )


class Results:
    """Looks at the first images that are made for batches of integers.

    Args:
        dtype: Type of the batches.
    """

    def __init__(self, dtype):
        self._dtype = np.dtype(dtype)
        self._values = _Range()

    def wanted(self, generator):
        """Whether there is more to look at, of which `check_dtype` has said nothing."""
        return self._dtype.kind in "iu" and (
            getattr(generator, "preprocessing_function", None)
            or not any(getattr(generator, name, None) for name in FOR_FLOATS)
        )

    def add(self, image):
        """Looks at an image of any kind, before it is put into the batch."""
        if self._values.count == _LOOKED_AT:
            return
        if isinstance(image, np.ndarray) and image.dtype.kind in "iuf" and image.size:
            self._values.add(image)

    def advice(self, generator):
        """Yields what the batches lose of the images of a generator, once."""
        if not self._values.count:
            return
        images, cure = "Images", "Use"
        function = getattr(generator, "preprocessing_function", None)
        if function:
            images += f" of the preprocessing_function {name_of(function)}"
            cure = "Return values from {low} to {high}, or use"
        yield from self._values.lost_in(self._dtype, images, cure, cure)
        self._dtype = np.dtype(np.float32)  # nothing more is wanted


class _Range:
    """The smallest and the largest value of some images, and whether all are whole."""

    def __init__(self):
        self.count = 0
        self.low, self.high, self.whole = np.inf, -np.inf, True

    def add(self, image):
        """Takes an image in."""
        self.count += 1
        with np.errstate(invalid="ignore"):
            self.low, self.high = min(self.low, image.min()), max(self.high, image.max())
            self.whole = self.whole and np.array_equal(image, np.trunc(image))

    def lost_in(self, dtype, images, cure, cure_of_units):
        """Yields what becomes of the values in integers, if it is of no use.

        Args:
            dtype: Type of the integers.
            images: What the images are called.
            cure: What to do about values that do not fit; `{low}` and `{high}` are those that do.
            cure_of_units: The same about values from 0 to 1, or from -1.
        """
        limits = np.iinfo(dtype)
        images = f"{images} with values from {self.low:g} to {self.high:g}"
        if np.trunc(self.low) < limits.min or np.trunc(self.high) > limits.max:
            yield (
                f"{images} do not fit into batches of dtype={str(dtype)!r}: the values wrap round. "
                f'{cure.format(low=limits.min, high=limits.max)} dtype="float32".'
            )
        elif not self.whole and self.low > -_UNITS and 0 < self.high < _UNITS:
            high = min(limits.max, 255)
            yield (
                f"{images} become black in batches of dtype={str(dtype)!r}, which keep the whole "
                f'part of each value. {cure_of_units.format(low=0, high=high)} dtype="float32".'
            )


def about_split(generator, subset, samples):
    """Yields what is wrong with a subset of a generator that has nothing to split.

    Args:
        generator: An `ImageDataGenerator` of any kind, or None.
        subset: 'training', 'validation' or None.
        samples: Number of images that are in it.
    """
    if subset is not None and not getattr(generator, "_validation_split", None):
        yield (
            f'subset="{subset}" of a generator without `validation_split`: it has '
            f"{'no images' if samples == 0 else f'all {samples} images'}. "
            "Write ImageDataGenerator(validation_split=0.2)."
        )


def about_validation(generator, subset, augment):
    """Yields that images to validate with are augmented.

    Args:
        generator: An `ImageDataGenerator` of any kind, or None.
        subset: 'training', 'validation' or None.
        augment: Whether the flow augments.
    """
    if subset != "validation" or not augment or not hasattr(generator, "_overrides_methods"):
        return
    moves = not ParameterSampler.of(generator).does_nothing
    if moves or generator.augment or generator.mix is not None:
        yield (
            'subset="validation" of a generator with random transforms is augmented, as in Keras. '
            'Write augment=False, or take both flows with subset="both".'
        )


def about_folders(index):
    """Yields what is wrong with the folders of classes.

    Args:
        index: A `DirectoryIndex`, or what has its attributes.
    """
    if isinstance(index.given_classes, str):
        name = index.given_classes
        yield f"classes={name!r} is read letter by letter. Write classes=[{name!r}]."
        return
    counts = {_text(name): count for name, count in index.counts.items()}
    directory = _text(index.directory)
    labelled = index.class_mode not in ("input", None)
    classes = [name for name, count in counts.items() if count]
    empty = [name for name, count in counts.items() if not count]
    if index.given_classes is None:
        strange = [name for name in counts if name.startswith(".") or name in _OF_SYSTEMS]
        classes, empty = ([n for n in names if n not in strange] for names in (classes, empty))
        strange = [name for name in strange if labelled or counts[name]]
        if strange:
            yield (
                f"Folders in {directory} are taken for classes that seem to be none: "
                f"{_counted(strange, counts)}. Remove them, or write classes={_list_of(classes)}."
            )
    else:
        missing = [name for name in empty if not pathlib.Path(directory, name).is_dir()]
        empty = [name for name in empty if name not in missing]
        if missing:
            yield (
                f"`classes` names folders that {directory} does not have: {_list_of(missing)}."
                f"{_meant(missing, folders_in(directory))}"
            )
        twice = [name for name in counts if list(index.given_classes).count(name) > 1]
        if twice:
            yield (
                f"`classes` names more than once: {_list_of(twice)}. Their images are there as "
                "many times, and a label has none."
            )
    yield from _about_strange_files(directory, index.filenames)
    if labelled and classes and _PARTS.issuperset(name.lower() for name in classes):
        inner = {pathlib.Path(_text(name)).parts[1:-1][:1] for name in index.filenames}
        if () not in inner:
            yield (
                f"The classes of {directory} are {_list_of(classes)}, which seem to be parts of a "
                "data set with the folders of the classes in them. Give one of these folders, such "
                f"as {str(pathlib.Path(directory, classes[0]))!r}."
            )
    if empty and labelled:
        cure = f" To do without them, write classes={_list_of(classes)}." if classes else ""
        yield f"Classes in {directory} without images: {_list_of(empty)}.{cure}"
    if not any(counts.values()):
        yield from _about_images_beside(directory, index.formats)
    number = len(index.class_indices)
    if index.class_mode == "binary" and number > 2:
        yield (
            f'class_mode="binary" is for two classes, and here are {number}, with labels up to '
            f'{number - 1}: {_list_of(counts)}. Write class_mode="sparse" or "categorical", or '
            "name two in `classes`."
        )
    yield from _about_left_out(index.left_out)


def _about_strange_files(directory, filenames):
    """Yields that there are images below classes which systems and tools have put there."""
    strange = [name for name in map(_text, filenames) if _STRANGE.search(name)]
    if strange:
        yield (
            f"{len(strange)} images in {directory} seem to be copies or notes that a system or a "
            f"tool made: {_list_of(strange)}. Remove them."
        )


def about_rows(index):
    """Yields what is wrong with the rows of a dataframe.

    Args:
        index: A `DataFrameIndex`.
    """
    if index.only_invalid and not index.left_out:
        yield (
            f"No row names an image that is there; the first would be {index.only_invalid!r}. "
            "Check `directory`, and that the names have their folders and endings."
        )
    if index.unused_classes:
        yield (
            f"`classes` names {_list_of(index.unused_classes)}, which no row has."
            f"{_meant(index.unused_classes, index.other_labels)}"
        )
    yield from _about_left_out(index.left_out)


def about_keywords(given, known):
    """Yields what is wrong with keyword arguments that nobody knows.

    Args:
        given: Names of the arguments.
        known: Names of all that there are.
    """
    if given:
        yield f"Unknown arguments have no effect: {', '.join(given)}.{_meant(given, known)}"


def about_images_left_beside(directory, names):
    """Yields that a flow does not read the images in a folder itself, beside those of classes.

    Args:
        directory: The folder.
        names: The images in it.
    """
    if names:
        yield (
            f"{len(names)} images lie in {directory}, beside the folders of classes, and are "
            f"not read: {_list_of(names)}. Move them into the folders of their classes."
        )


def _about_images_beside(directory, formats):
    """Yields that there are images in a folder itself, where those of classes have none."""
    with os.scandir(directory) as entries:
        count = sum(entry.name.lower().endswith(formats) for entry in entries)
    if not count:
        return
    folder = pathlib.Path(directory)
    if folder.name in ("", ".."):
        folder = folder.resolve()
    yield (
        f"{count} images lie in {directory} itself, where each class should have a folder. Move "
        "them into folders named like their classes; or, for images without labels, write "
        f"flow_from_directory({str(folder.parent)!r}, classes=[{folder.name!r}], class_mode=None)."
    )


def _about_left_out(left_out):
    """Yields which images were left out for their ending, from a counter."""
    if not left_out:
        return
    found = ", ".join(f"{count} .{ending}" for ending, count in sorted(left_out.items()))
    readable = [ending for ending in sorted(left_out) if can_read(ending)]
    others = [ending for ending in sorted(left_out) if ending not in readable]
    text = f"Images were left out for their endings: {found}."
    if readable:
        text += f" Write formats={_list_of(readable)} to read them."
    if others:
        text += f" This Pillow does not read {', '.join(others)}."
    yield text


def _text(name):
    return os.fsdecode(name) if isinstance(name, bytes | os.PathLike) else str(name)


def _counted(names, counts):
    """Returns names with the number of images of each."""
    shown = [f"{name!r} ({counts[name]} images)" for name in names[:_NAMED]]
    return ", ".join(shown + ["..."] * (len(names) > _NAMED))


def _list_of(names):
    """Returns names as a list in Python, cut short."""
    shown = [repr(name) for name in list(names)[:_NAMED]] + ["..."] * (len(names) > _NAMED)
    return f"[{', '.join(shown)}]"


def _meant(names, known):
    """Returns a question after the known names that are like some, or nothing."""
    likely = []
    folded = {str(name).casefold(): str(name) for name in known}
    for name in names:
        likely += difflib.get_close_matches(str(name).casefold(), folded, n=1)
    if not likely:
        return ""
    return f" Did you mean {', '.join(repr(folded[name]) for name in dict.fromkeys(likely))}?"
