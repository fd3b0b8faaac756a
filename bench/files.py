"""Sets of JPEG files in class folders: written from photographs, or chosen among the user's own."""

import itertools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from photos import SEED, ImageFileError, load_photographs, random_crop

QUALITY = 90
HEIGHTS, WIDTHS = (350, 400), (410, 490)  # of the photographs written: smallest and largest
CLASSES = ("one", "two")


@dataclass(frozen=True)
class FileSet:
    """JPEG files in a folder with a folder for each class."""

    folder: Path
    paths: list[Path]  # the classes by turns
    y: np.ndarray  # the number of each file's class; classes are sorted by name
    kind: str  # what the files are, in words that follow their number
    scratch: Path  # where further folders may be made

    @property
    def source(self):
        """One line for people."""
        return f"{len(self.paths):,} {self.kind}"

    def first(self, count):
        """Returns the first files as a set of their own: links in a new folder."""
        return self.part(slice(count))

    def part(self, chosen):
        """Returns a slice of the files as a set of their own: links in a new folder."""
        paths = self.paths[chosen]
        return self._links(paths, [path.name for path in paths], self.y[chosen])

    def repeated(self, count):
        """Returns a set of so many files, these over and over again: links in a new folder."""
        paths = list(itertools.islice(itertools.cycle(self.paths), count))
        names = [f"{number:06}{path.suffix}" for number, path in enumerate(paths)]
        links = self._links(paths, names, np.resize(self.y, count))
        return replace(links, kind=f"links to {self.source}")

    def _links(self, paths, names, y):
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        links = []
        for path, name in zip(paths, names, strict=True):
            link = folder / path.parent.name / name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path)
            links.append(link)
        return replace(self, folder=folder, paths=links, y=y)


def make_files(count, scratch, quality=QUALITY):
    """Writes crops of photographs, of about the sizes that snapshots on the web have.

    Returns a FileSet in a new folder in `scratch`.
    """
    rng = np.random.default_rng(SEED)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    photographs = [
        photograph
        for photograph in load_photographs()
        if photograph.shape[0] >= HEIGHTS[1] and photograph.shape[1] >= WIDTHS[1]
    ]
    for name in CLASSES:
        (folder / name).mkdir()
    y = np.arange(count) % len(CLASSES)
    paths = []
    for number, label in enumerate(y):
        height, width = (int(rng.integers(*ends, endpoint=True)) for ends in (HEIGHTS, WIDTHS))
        crop = random_crop(rng, photographs[number % len(photographs)], height, width)
        path = folder / CLASSES[label] / f"{number:05}.jpg"
        path.write_bytes(_jpeg(crop, quality))
        paths.append(path)
    kilobytes = sum(path.stat().st_size for path in paths) / count / 1000
    kind = (
        f"JPEG files of about {sum(WIDTHS) // 2}x{sum(HEIGHTS) // 2} ({kilobytes:.0f} kB), "
        f"crops of {len(photographs)} photographs"
    )
    return FileSet(folder, paths, y, kind, scratch)


def write_images(images, count, scratch):
    """Writes the images of an ImageSet as files, over and over again where there are fewer.

    Returns a FileSet in a new folder in `scratch`.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    names, classes = np.unique(images.y[:count], return_inverse=True)
    for name in names:
        (folder / f"{name:03}").mkdir()
    data = [_jpeg(image, QUALITY) for image in images.x[:count]]
    y = np.resize(classes, count)
    paths = []
    for number, label in enumerate(y):
        path = folder / f"{names[label]:03}" / f"{number:06}.jpg"
        path.write_bytes(data[number % len(data)])
        paths.append(path)
    return FileSet(folder, paths, y, f"JPEG files of {images.source}", scratch)


def _jpeg(image, quality):
    """Returns an RGB image as the bytes of a JPEG file."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()


def choose_files(path, count, scratch):
    """Chooses some of the user's own files, as many of each class.

    Args:
        path: A folder with a folder of JPEG files for each class, or with such a folder `train`.
        count: Number of files; all, if there are not that many.
        scratch: Where the FileSet that is returned may make folders.

    Raises:
        ImageFileError: If the folder is not there or has not two class folders with JPEG files.
    """
    expected = (
        "expected a folder with a folder of .jpg files for each of two or more classes, "
        "or with such a folder named train"
    )
    folder = Path(path).resolve()
    if (folder / "train").is_dir():
        folder /= "train"
    try:
        classes = {}
        for each in sorted(folder.iterdir()):
            if each.is_dir() and (jpegs := _jpegs(each)):
                classes[each] = jpegs
        if len(classes) < 2:
            found = ", ".join(f"{each.name}/" for each in classes) or "none"
            loose = len(_jpegs(folder))
            raise ImageFileError(
                f"{path}: {expected}; folders of .jpg files in {folder}: {found}"
                + (f"; beside them {loose:,} .jpg files that are in no folder" * bool(loose))
            )
        rng = np.random.default_rng(SEED)
        chosen = []
        for jpegs in classes.values():
            shuffled = (jpegs[i] for i in rng.permutation(len(jpegs)))
            of_class = -(-count // len(classes))
            chosen.append(list(itertools.islice(filter(_is_jpeg, shuffled), of_class)))
    except OSError as error:
        raise ImageFileError(f"{path}: {expected}; {error.strerror or error}") from error
    paths = [path for turn in zip(*chosen, strict=False) for path in turn][:count]
    if not paths:
        raise ImageFileError(f"{path}: {expected}; the .jpg files in {folder} are not all JPEGs")
    y = np.arange(len(paths)) % len(classes)
    kind = f"of the {sum(map(len, classes.values())):,} JPEG files in {folder}"
    return FileSet(folder, paths, y, kind, scratch)


def choose_validation_files(path, count, scratch):
    """Chooses files as `choose_files` does, of the folder `validation`; None if there is none."""
    folder = Path(path) / "validation"
    return choose_files(folder, count, scratch) if folder.is_dir() else None


def _jpegs(folder):
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg"))


def _is_jpeg(path):
    """Whether a file begins as a JPEG does: some data sets have other things under that name."""
    with path.open("rb") as file:
        return file.read(2) == b"\xff\xd8"
