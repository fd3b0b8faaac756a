"""The contestants: everything that turns a case's images, arrays or files, into augmented batches.

Each is a class that is built once for a case and opened once for each round: `batches()` gives an
infinite iterator of (batch_x, batch_y), and leaving it stops or idles all that it started. A class
that needs a package imports it when built, so that a missing package leaves out one contestant.
"""

import functools
import io
import math
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, replace

import article
import cv2
import numpy as np
from cases import Case
from files import FileSet
from photos import ImageSet

SEED = 7
FUNCTION = "preprocessing_function"
RUN_BYTES, LONGEST_RUN = 1 << 22, 8  # of the batches that fastaug makes together


@dataclass
class Job:
    """A case with its images, and what the contestants share."""

    case: Case
    images: ImageSet | FileSet
    cores: int  # workers of the contestants that use every core
    fastaug_workers: int | None = None  # those of fastaug on every core, or None for its default
    pool: article.WorkerPool | None = None  # of the multiprocessing method

    @functools.cached_property
    def x_float(self):
        """The images as float32: Keras's `flow` makes this array, before any batch."""
        return self.images.x.astype(np.float32)

    @property
    def from_files(self):
        """Whether the images are files."""
        return isinstance(self.images, FileSet)

    @property
    def shape(self):
        """Shape of an augmented image."""
        return self.case.size, self.case.size, 3

    def start(self):
        """Returns the same with a few images, for a check.

        Two batches and a half make an epoch, so a short batch and a new epoch are compared, too.
        """
        return replace(self, images=self.images.first(5 * self.case.batch_size // 2))

    def index_batches(self):
        """Yields the indexes of one batch after the other, shuffled anew for every epoch."""
        rng = np.random.default_rng(SEED)
        while True:
            order = rng.permutation(len(self.images.y))
            for start in range(0, len(order), self.case.batch_size):
                yield order[start : start + self.case.batch_size]


class Contestant:
    """Base class."""

    key: str  # name in the JSON file
    label: str  # name in tables and figures
    notes: tuple[str, ...] = ()  # what it does otherwise than the reference
    notes_on_files: tuple[str, ...] = ()  # the same where the images are files
    takes = ("arrays", "files")  # what the images may be
    ours = False  # whether it is fastaug
    # settings that it does not have; it has no part in a case with one
    leaves_out: frozenset[str] = frozenset({"dtype", "interpolation_order"})
    floor = False  # whether it does only part of the work, as a lower bound of the time
    share: str | None = None  # heading of the column of fastaug's throughput as a share of its own
    uses = "1 thread"  # the threads or processes at work, for people
    lookahead = 0  # batches that may be in the making when one is handed out

    def __init__(self, job):
        self.job = job

    @classmethod
    def notes_of(cls, case):
        """Returns its notes in a case."""
        return cls.notes + (cls.notes_on_files if case.from_files else ())

    @contextmanager
    def batches(self):
        """Gives an infinite iterator of batches for the length of a `with` block."""
        yield self._batches()

    def dataset(self):
        """Gives, as `batches` does, a `keras.utils.PyDataset` to train from, where there is one."""
        return self.batches()

    def close(self):
        """Releases what the constructor started."""


def _threads(self):
    return f"{self.job.cores} thread" + "s" * (self.job.cores > 1)


def _processes(self):
    return f"{self.job.cores} process" + "es" * (self.job.cores > 1)


class Keras(Contestant):
    """The reference."""

    key = "keras"
    label = "Keras ImageDataGenerator"
    leaves_out = frozenset()
    arguments = {}  # noqa: RUF012  (further ones of the iterator)

    def __init__(self, job):
        super().__init__(job)
        from keras_reference import ImageDataGenerator

        self.generator = ImageDataGenerator(**job.case.settings)

    @property
    def x(self):
        """The images as they are given to `flow`."""
        return self.job.x_float

    def flow(self):
        job, case = self.job, self.job.case
        given = {"batch_size": case.batch_size, "seed": SEED, **self.arguments}
        if not job.from_files:
            return self.generator.flow(self.x, job.images.y, **given)
        with redirect_stdout(io.StringIO()):  # "Found 384 images belonging to 2 classes."
            return self.generator.flow_from_directory(
                job.images.folder, target_size=job.shape[:2], **given
            )

    def _batches(self):
        return self.flow()


class Multiprocessing(Keras):
    """The article's method: `pool.map` over the images of each batch."""

    key = "multiprocessing"
    label = "Keras + multiprocessing.Pool"
    notes = ("the article's method: pool.map over the images of each batch",)
    leaves_out = frozenset({"dtype"})
    uses = property(_processes)

    def __init__(self, job):
        super().__init__(job)
        self.pool = job.pool.get()
        self.work = article.augment_file if job.from_files else article.augment

    def _batches(self):
        for indexes in self.job.index_batches():
            tasks = [self._task(i) for i in indexes]
            yield np.array(self.pool.map(self.work, tasks)), self.job.images.y[indexes]

    def dataset(self):
        from pool_dataset import PoolDataset

        y, batch_size = self.job.images.y, self.job.case.batch_size
        return closing(PoolDataset(self.pool, self.work, self._task, y, batch_size, SEED))

    def _task(self, i):
        if self.job.from_files:
            return self.generator, self.job.images.paths[i], self.job.shape[:2]
        return self.generator, self.job.x_float[i]


class KerasLayers(Contestant):
    """Keras preprocessing layers in a tf.data pipeline."""

    key = "keras_layers"
    label = "Keras layers in tf.data"
    notes = (
        "resamples once for each geometric layer instead of once in all; other draws; "
        "RandomBrightness, for the channel shift, clips to 0..255 instead of the image's own range",
    )
    notes_on_files = (
        "reads with tf.io.decode_jpeg and tf.image.resize to the nearest pixel, image by image",
    )
    uses = property(_threads)
    lookahead = property(lambda self: self.job.cores + 3)  # one of them is being read

    def __init__(self, job):
        super().__init__(job)
        import keras_reference  # noqa: F401  (first, for the quiet start of TensorFlow)
        import tensorflow as tf
        from keras import layers

        settings, case = job.case.settings, job.case
        fill = {"fill_mode": settings["fill_mode"]}
        across, down = settings["width_shift_range"], settings["height_shift_range"]
        steps = [layers.RandomRotation(settings["rotation_range"] / 360, **fill)]
        steps.append(layers.RandomTranslation(down, across, **fill))
        if zoom := settings.get("zoom_range"):
            steps.append(layers.RandomZoom(zoom, zoom, **fill))
        if shift := settings.get("channel_shift_range"):
            steps.append(layers.RandomBrightness(shift / 255))
        if settings.get("horizontal_flip"):
            steps.append(layers.RandomFlip("horizontal"))
        steps.append(layers.Rescaling(case.scale, case.offset))

        def augment(*element):
            images, labels = images_of(*element)
            for step in steps:
                images = step(images, training=True)
            return images, labels

        count = len(job.images.y)
        indexes = tf.data.Dataset.range(count).shuffle(count, seed=SEED).repeat()
        batches, images_of = self._load(tf, indexes)
        self._data = batches.map(augment, num_parallel_calls=job.cores).prefetch(2)

    def _load(self, tf, indexes):
        """Returns a dataset of batches, and what makes an element of it images and labels."""
        job, y = self.job, tf.constant(self.job.images.y)
        if not job.from_files:
            x = tf.constant(job.images.x)
            batches = indexes.batch(job.case.batch_size)
            return batches, lambda batch: (tf.gather(x, batch), tf.gather(y, batch))
        paths = tf.constant([str(path) for path in job.images.paths])

        def read(index):
            image = tf.io.decode_jpeg(tf.io.read_file(paths[index]), channels=3)
            image = tf.image.resize(image, job.shape[:2], method="nearest")
            return tf.ensure_shape(image, job.shape), y[index]

        images = indexes.map(read, num_parallel_calls=job.cores)
        return images.batch(job.case.batch_size), lambda *batch: batch

    def _batches(self):
        return self._data.as_numpy_iterator()


class Threaded(Contestant):
    """Base class of what has a thread for each core, every thread at a whole batch."""

    uses = property(_threads)
    lookahead = property(lambda self: self.job.cores + 1)

    def __init__(self, job):
        super().__init__(job)
        self._executor = ThreadPoolExecutor(job.cores)

    def _batch(self, indexes):
        """Makes the batch of some images."""
        raise NotImplementedError

    def _batches(self):
        pending = deque()
        try:
            for indexes in self.job.index_batches():
                pending.append(self._executor.submit(self._batch, indexes))
                if len(pending) > self.lookahead:
                    yield pending.popleft().result()
        finally:
            for future in pending:
                if not future.cancel():
                    future.result()

    @contextmanager
    def batches(self):
        with cv2_threads(1), closing(self._batches()) as iterator:
            yield iterator

    def close(self):
        self._executor.shutdown(cancel_futures=True)


class Albumentations(Threaded):
    """Albumentations."""

    key = "albumentations"
    label = "Albumentations"
    notes = (
        "warps and shifts uint8, so it rounds; other draws; "
        "its colour shift draws once for each channel",
    )
    notes_on_files = ("reads with cv2.imread and cv2.resize to the nearest pixel",)

    def __init__(self, job):
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network
        super().__init__(job)
        self._compose()  # a missing package must fail here
        self._local = threading.local()

    def _compose(self):
        import albumentations

        settings, case = self.job.case.settings, self.job.case
        turn, zoom = settings["rotation_range"], settings.get("zoom_range", 0)
        across, down = settings["width_shift_range"], settings["height_shift_range"]
        steps = [
            albumentations.Affine(
                rotate=(-turn, turn),
                translate_percent={"x": (-across, across), "y": (-down, down)},
                scale={"x": (1 - zoom, 1 + zoom), "y": (1 - zoom, 1 + zoom)},
                keep_ratio=False,
                interpolation=cv2.INTER_LINEAR,
                border_mode=cv2.BORDER_REPLICATE,
                p=1,
            )
        ]
        if settings.get("horizontal_flip"):
            steps.append(albumentations.HorizontalFlip(p=0.5))
        if shift := settings.get("channel_shift_range"):
            steps.append(albumentations.RGBShift(*[(-shift, shift)] * 3, p=1))
        if case.offset:  # (pixel / 255 - mean) / std
            std = 1 / (case.scale * 255)
            mean = -case.offset * std
            steps.append(albumentations.Normalize((mean,) * 3, (std,) * 3))
        else:
            steps.append(albumentations.ToFloat(max_value=1 / case.scale))
        return albumentations.Compose(steps)

    def _batch(self, indexes):
        if not hasattr(self._local, "compose"):
            self._local.compose = self._compose()
        batch = np.empty((len(indexes), *self.job.shape), np.float32)
        for image, i in zip(batch, indexes, strict=True):
            image[:] = self._local.compose(image=self._image(i))["image"]
        return batch, self.job.images.y[indexes]

    def _image(self, i):
        if not self.job.from_files:
            return self.job.images.x[i]
        image = cv2.imread(str(self.job.images.paths[i]), cv2.IMREAD_COLOR_RGB)
        return cv2.resize(image, self.job.shape[:2], interpolation=cv2.INTER_NEAREST)


class Fastaug(Keras):
    """fastaug on one worker thread or, over files, decode process."""

    key = "fastaug_1"
    label = "fastaug, workers=1"
    notes_on_files = ("over files: beside each process, which decodes, a thread, which warps",)
    ours = True
    workers = 1
    x = property(lambda self: self.job.images.x)

    def __init__(self, job):
        self.job = job
        import fastaug

        extra = {"workers": self.workers, **job.case.fastaug_settings}
        if job.case.fastaug_pool:
            extra["pool"] = job.pool.get()
        self.generator = fastaug.ImageDataGenerator(**self.settings(job), **extra)

    def settings(self, job):
        """Keras's arguments, as this contestant has them, and others of its own."""
        return job.case.settings

    @property
    def uses(self):
        return "1 process" if self.job.from_files else "1 thread"

    @property
    def lookahead(self):
        nbytes = 4 * self.job.case.batch_size * math.prod(self.job.shape)
        return 3 if self.job.from_files else lookahead_of(nbytes)

    def batches(self):
        return closing(self.flow())


class FastaugOpenCV(Fastaug):
    """fastaug with the other warp, on one worker thread."""

    key = "fastaug_opencv"
    label = "fastaug, workers=1, warp='opencv'"
    takes = ("arrays",)
    leaves_out = Contestant.leaves_out

    def settings(self, job):
        return {**job.case.settings, "warp": "opencv"}


class FastaugEveryCore(Fastaug):
    """fastaug as it comes: a worker thread for every core."""

    key = "fastaug"
    label = "fastaug"

    @property
    def uses(self):
        return (_processes if self.job.from_files else _threads)(self)

    def __init__(self, job):
        self.workers = job.fastaug_workers
        super().__init__(job)


class FastaugElementwise(FastaugEveryCore):
    """The same with the case's function declared elementwise."""

    key = "fastaug_elementwise"
    label = "fastaug, elementwise"
    notes = ("its preprocessing_function is declared elementwise",)

    def settings(self, job):
        from fastaug import elementwise

        # the mark is for this contestant only
        function = functools.partial(job.case.settings[FUNCTION])
        return {**job.case.settings, FUNCTION: elementwise(function)}


class FastaugThreads(FastaugEveryCore):
    """fastaug over files without processes."""

    key = "fastaug_threads"
    label = 'fastaug, decoder="threads"'
    notes_on_files = ()
    takes = ("files",)
    arguments = {"decoder": "threads"}  # noqa: RUF012
    uses = property(_threads)


class Floor(Contestant):
    """A bare loop of OpenCV's warp."""

    key = "floor"
    label = "bare cv2.warpAffine loop"
    notes = (
        "the floor: rotations drawn beforehand, uint8 in and out; "
        "no draws, shifts, flips, colours, rescaling or labels",
    )
    takes = ("arrays",)
    leaves_out = frozenset({"interpolation_order"})
    floor = True

    @contextmanager
    def batches(self):
        with cv2_threads(1):
            yield self._batches()

    def _batches(self):
        job, size = self.job, self.job.case.size
        turn = job.case.settings["rotation_range"]
        centre = (size / 2 - 0.5, size / 2 - 0.5)
        angles = np.random.default_rng(SEED).uniform(-turn, turn, 1024)
        matrices = [cv2.getRotationMatrix2D(centre, angle, 1) for angle in angles]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        border = cv2.BORDER_REPLICATE
        batch = np.empty((job.case.batch_size, *job.shape), np.uint8)
        drawn = 0
        while True:
            for start in range(0, len(job.images.x), len(batch)):
                images = job.images.x[start : start + len(batch)]
                for image, result in zip(images, batch, strict=False):
                    matrix = matrices[drawn % len(matrices)]
                    cv2.warpAffine(image, matrix, (size, size), result, flags, border)
                    drawn += 1
                yield batch[: len(images)], None


class FloorFiles(Threaded):
    """OpenCV's JPEG decoder."""

    key = "floor"
    label = "bare cv2.imdecode loop"
    notes = (
        "the floor: the same JPEGs from memory, decoded and dropped; "
        "nothing is read from a file, resized, warped or put into a batch",
    )
    takes = ("files",)
    floor = True
    share = "of bare decode"

    def __init__(self, job):
        super().__init__(job)
        self._data = [np.frombuffer(path.read_bytes(), np.uint8) for path in job.images.paths]

    def _batch(self, indexes):
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        for i in indexes:
            cv2.imdecode(self._data[i], flags)
        return indexes, None


KINDS = (
    Keras, Multiprocessing, KerasLayers, Albumentations, Fastaug, FastaugOpenCV, FastaugEveryCore,
    FastaugElementwise, FastaugThreads, Floor, FloorFiles,
)  # fmt: skip


@contextmanager
def cv2_threads(count):
    """Sets OpenCV's number of threads, and restores it."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def lookahead_of(nbytes):
    """Returns how many batches of a size fastaug may have in the making, of images in memory.

    Two are prefetched, or two runs of small ones that are made together, and one is in the making.
    """
    return 1 + 2 * min(max(RUN_BYTES // nbytes, 1), LONGEST_RUN)


def fastaug_with(workers, **arguments):
    """Returns fastaug with a number of workers, or None for its default, as a contestant.

    Over files, there may be further arguments of `flow_from_directory`.
    """
    label = f"fastaug, workers={'default' if workers is None else workers}"
    label += "".join(f", {name}={value!r}" for name, value in arguments.items())
    members = {"workers": workers, "label": label, "arguments": arguments}
    return type("FastaugWith", (Fastaug,), members)


def contestants_of(case):
    """Returns the classes of all that take part in a case, in the order of the tables."""
    has_function = FUNCTION in case.settings
    return [
        kind
        for kind in KINDS
        if ("files" if case.from_files else "arrays") in kind.takes
        and (has_function or not issubclass(kind, FastaugElementwise))
        and kind.leaves_out.isdisjoint(case.settings)
    ]
