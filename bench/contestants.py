"""The contestants: everything that turns a case's images, arrays or files, into augmented batches.

Each is a class that is built once for a case and opened once for each round: `batches()` gives an
infinite iterator of (batch_x, batch_y), and leaving it stops or idles all that it started. A class
that needs a package imports it when built, so that a missing package leaves out one contestant.
What reads files is a subclass of what takes arrays, under the same key and label.
"""

import functools
import io
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass

import article
import cv2
import numpy as np
from cases import Case
from files import FileSet
from photos import ImageSet

SEED = 7
FUNCTION = "preprocessing_function"


@dataclass
class Job:
    """A case with its images, and what the contestants share.

    Attributes:
        case: The case.
        images: The images and their labels, as arrays or as files.
        cores: Number of workers for the contestants that use every core.
        fastaug_workers: The `workers` argument of fastaug on every core; None is its default.
        pool: The WorkerPool of the multiprocessing method.
    """

    case: Case
    images: ImageSet | FileSet
    cores: int
    fastaug_workers: int | None
    pool: article.WorkerPool

    @functools.cached_property
    def x_float(self):
        """The images as float32: Keras's `flow` makes this array, before any batch."""
        return self.images.x.astype(np.float32)

    @property
    def shape(self):
        """Shape of an augmented image."""
        return self.case.size, self.case.size, 3

    def index_batches(self):
        """Yields the indexes of one batch after the other, shuffled anew for every epoch."""
        rng = np.random.default_rng(SEED)
        while True:
            order = rng.permutation(len(self.images.y))
            for start in range(0, len(order), self.case.batch_size):
                yield order[start : start + self.case.batch_size]


class Contestant:
    """Base class.

    Attributes:
        key: Name in the JSON file.
        label: Name in tables and figures.
        notes: What it does otherwise than the reference.
        ours: Whether it is fastaug.
        leaves_out: Names of settings that it does not have; it has no part in a case with one.
        floor: Whether it does only part of the work, as a lower bound of the time.
        share: Heading of the column that gives fastaug's throughput as a share of this one's, or
            None for no such column.
    """

    key: str
    label: str
    notes: tuple[str, ...] = ()
    ours = False
    leaves_out: frozenset[str] = frozenset({"dtype", "interpolation_order"})
    floor = False
    share: str | None = None

    def __init__(self, job):
        self.job = job

    @property
    def uses(self):
        """The threads or processes at work, for people."""
        return "1 thread"

    @property
    def lookahead(self):
        """Batches that may be in the making when one is handed out."""
        return 0

    @contextmanager
    def batches(self):
        """Gives an infinite iterator of batches for the length of a `with` block."""
        raise NotImplementedError

    def dataset(self):
        """Gives, as `batches` does, a `keras.utils.PyDataset` to train from, where there is one."""
        return self.batches()

    def close(self):
        """Releases what the constructor started."""

    def _threads(self):
        return f"{self.job.cores} thread" + "s" * (self.job.cores > 1)

    def _processes(self):
        return f"{self.job.cores} process" + "es" * (self.job.cores > 1)


class FromFolder:
    """Gives a contestant with a generator files in place of arrays.

    Attributes:
        arguments: Further arguments of `flow_from_directory`.
    """

    arguments = {}  # noqa: RUF012

    def flow(self):
        job = self.job
        with redirect_stdout(io.StringIO()):  # "Found 384 images belonging to 2 classes."
            return self.generator.flow_from_directory(
                job.images.folder,
                target_size=job.shape[:2],
                batch_size=job.case.batch_size,
                seed=SEED,
                **self.arguments,
            )


class Keras(Contestant):
    """The reference."""

    key = "keras"
    label = "Keras ImageDataGenerator"
    leaves_out = frozenset()

    def __init__(self, job):
        super().__init__(job)
        from keras_reference import ImageDataGenerator

        self.generator = ImageDataGenerator(**job.case.settings)

    def flow(self):
        job = self.job
        y, batch_size = job.images.y, job.case.batch_size
        return self.generator.flow(job.x_float, y, batch_size=batch_size, seed=SEED)

    @contextmanager
    def batches(self):
        yield self.flow()


class KerasFiles(FromFolder, Keras):
    """The reference over files."""


class Multiprocessing(Keras):
    """The article's method: `pool.map` over the images of each batch."""

    key = "multiprocessing"
    label = "Keras + multiprocessing.Pool"
    notes = ("the article's method: pool.map over the images of each batch",)
    leaves_out = frozenset({"dtype"})
    work = staticmethod(article.augment)

    def __init__(self, job):
        super().__init__(job)
        self.pool = job.pool.get()

    @property
    def uses(self):
        return self._processes()

    @contextmanager
    def batches(self):
        yield self._batches()

    def _batches(self):
        for indexes in self.job.index_batches():
            tasks = [self._task(i) for i in indexes]
            yield np.array(self.pool.map(self.work, tasks)), self.job.images.y[indexes]

    @contextmanager
    def dataset(self):
        from pool_dataset import PoolDataset

        images, batch_size = self.job.images, self.job.case.batch_size
        with closing(
            PoolDataset(self.pool, self.work, self._task, images.y, batch_size, SEED)
        ) as dataset:
            yield dataset

    def _task(self, i):
        return self.generator, self.job.x_float[i]


class MultiprocessingFiles(Multiprocessing):
    """The article's method over files, which the workers read."""

    work = staticmethod(article.augment_file)

    def _task(self, i):
        return self.generator, self.job.images.paths[i], self.job.shape[:2]


class KerasLayers(Contestant):
    """Keras preprocessing layers in a tf.data pipeline."""

    key = "keras_layers"
    label = "Keras layers in tf.data"
    notes = (
        "resamples once for each geometric layer instead of once in all; other draws; "
        "RandomBrightness, for the channel shift, clips to 0..255 instead of the image's own range",
    )

    def __init__(self, job):
        super().__init__(job)
        import keras_reference  # noqa: F401  (first, for the quiet start of TensorFlow)
        import tensorflow as tf
        from keras import layers

        settings, case = job.case.settings, job.case
        fill = {"fill_mode": settings["fill_mode"]}
        steps = [layers.RandomRotation(settings["rotation_range"] / 360, **fill)]
        steps.append(
            layers.RandomTranslation(
                settings["height_shift_range"], settings["width_shift_range"], **fill
            )
        )
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
        self.dataset = batches.map(augment, num_parallel_calls=job.cores).prefetch(2)

    def _load(self, tf, indexes):
        """Returns a dataset of batches, and what makes an element of it images and labels."""
        x, y = tf.constant(self.job.images.x), tf.constant(self.job.images.y)
        batches = indexes.batch(self.job.case.batch_size)
        return batches, lambda batch: (tf.gather(x, batch), tf.gather(y, batch))

    @property
    def uses(self):
        return self._threads()

    @property
    def lookahead(self):
        return self.job.cores + 2

    @contextmanager
    def batches(self):
        yield self.dataset.as_numpy_iterator()


class KerasLayersFiles(KerasLayers):
    """Keras preprocessing layers behind TensorFlow's own decoder."""

    notes = (
        *KerasLayers.notes,
        "reads with tf.io.decode_jpeg and tf.image.resize to the nearest pixel, image by image",
    )

    def _load(self, tf, indexes):
        paths = tf.constant([str(path) for path in self.job.images.paths])
        y = tf.constant(self.job.images.y)

        def read(index):
            image = tf.io.decode_jpeg(tf.io.read_file(paths[index]), channels=3)
            image = tf.image.resize(image, self.job.shape[:2], method="nearest")
            return tf.ensure_shape(image, self.job.shape), y[index]

        images = indexes.map(read, num_parallel_calls=self.job.cores)
        return images.batch(self.job.case.batch_size), lambda *batch: batch

    @property
    def lookahead(self):
        return super().lookahead + 1  # and one that is being read


class Threaded(Contestant):
    """Base class of what has a thread for each core, every thread at a whole batch."""

    def __init__(self, job):
        super().__init__(job)
        self._executor = ThreadPoolExecutor(job.cores)

    @property
    def uses(self):
        return self._threads()

    @property
    def lookahead(self):
        return self.job.cores + 1

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
        return self.job.images.x[i]


class AlbumentationsFiles(Albumentations):
    """Albumentations behind OpenCV's decoder."""

    notes = (*Albumentations.notes, "reads with cv2.imread and cv2.resize to the nearest pixel")

    def _image(self, i):
        image = cv2.imread(str(self.job.images.paths[i]), cv2.IMREAD_COLOR_RGB)
        return cv2.resize(image, self.job.shape[:2], interpolation=cv2.INTER_NEAREST)


class Fastaug(Contestant):
    """fastaug on one worker thread."""

    key = "fastaug_1"
    label = "fastaug, workers=1"
    ours = True
    leaves_out = frozenset()
    workers = 1

    def __init__(self, job):
        super().__init__(job)
        import fastaug

        extra = dict(job.case.fastaug_settings)
        if job.case.fastaug_pool:
            extra["pool"] = job.pool.get()
        self.generator = fastaug.ImageDataGenerator(
            **self.settings(job), **extra, workers=self.workers
        )

    def settings(self, job):
        """Keras's arguments, as this contestant has them."""
        return job.case.settings

    @property
    def lookahead(self):
        from fastaug.keras_api.guessing import run_length

        height, width, channels = self.job.shape
        run = 1
        if not isinstance(self.job.images, FileSet):
            run = run_length(4 * self.job.case.batch_size * height * width * channels)
        return 1 + 2 * run  # two batches prefetched, or two runs of small ones; one in the making

    def flow(self):
        images, batch_size = self.job.images, self.job.case.batch_size
        return self.generator.flow(images.x, images.y, batch_size=batch_size, seed=SEED)

    @contextmanager
    def batches(self):
        with closing(self.flow()) as iterator:
            yield iterator


class FastaugFiles(FromFolder, Fastaug):
    """fastaug over files, on one decode process."""

    notes = ("over files: beside each process, which decodes, a thread, which warps",)

    @property
    def uses(self):
        return "1 process"


class FastaugEveryCore(Fastaug):
    """fastaug as it comes: a worker thread for every core."""

    key = "fastaug"
    label = "fastaug"

    def __init__(self, job):
        self.workers = job.fastaug_workers
        super().__init__(job)

    @property
    def uses(self):
        return self._threads()


class FastaugEveryCoreFiles(FromFolder, FastaugEveryCore):
    """fastaug over files as it comes: a decode process for every core."""

    notes = FastaugFiles.notes

    @property
    def uses(self):
        return self._processes()


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


class FastaugElementwiseFiles(FastaugElementwise, FastaugEveryCoreFiles):
    """The same over files."""


class FastaugThreadsFiles(FromFolder, FastaugEveryCore):
    """fastaug over files without processes."""

    key = "fastaug_threads"
    label = 'fastaug, decoder="threads"'
    arguments = {"decoder": "threads"}  # noqa: RUF012


class Floor(Contestant):
    """A bare loop of OpenCV's warp."""

    key = "floor"
    label = "bare cv2.warpAffine loop"
    notes = (
        "the floor: rotations drawn beforehand, uint8 in and out; "
        "no draws, shifts, flips, colours, rescaling or labels",
    )
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


@contextmanager
def cv2_threads(count):
    """Sets OpenCV's number of threads, and restores it."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


WITH_ARRAYS = (
    Keras,
    Multiprocessing,
    KerasLayers,
    Albumentations,
    Fastaug,
    FastaugEveryCore,
    FastaugElementwise,
    Floor,
)

WITH_FILES = (
    KerasFiles,
    MultiprocessingFiles,
    KerasLayersFiles,
    AlbumentationsFiles,
    FastaugFiles,
    FastaugEveryCoreFiles,
    FastaugElementwiseFiles,
    FastaugThreadsFiles,
    FloorFiles,
)


def fastaug_with(workers, from_files=False, decoder=None):
    """Returns fastaug with a number of workers, or None for its default, as a contestant.

    Args:
        workers: The number of workers.
        from_files: Whether it reads files.
        decoder: What decodes them, or None for the default.
    """
    name = "default" if workers is None else workers
    members = {"workers": workers, "label": f"fastaug, workers={name}"}
    if decoder is not None:
        members["arguments"] = {"decoder": decoder}
        members["label"] += f", decoder={decoder!r}"
    bases = (FastaugFiles,) if from_files else (Fastaug,)
    return type("FastaugWith", bases, members)


def contestants_of(case):
    """Returns the classes of all that take part in a case, in the order of the tables."""
    kinds = WITH_FILES if case.from_files else WITH_ARRAYS
    has_function = FUNCTION in case.settings
    return [
        kind
        for kind in kinds
        if (has_function or not issubclass(kind, FastaugElementwise))
        and kind.leaves_out.isdisjoint(case.settings)
    ]
