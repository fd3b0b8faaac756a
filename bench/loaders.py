"""The study `loaders`: the pace of an iterator as a dataset of TensorFlow, PyTorch and Ray."""

import copy
import logging
import os
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from statistics import median

import numpy as np
from cases import CASES, DEFAULT_SETTINGS
from check import compare_batches
from contestants import SEED, Fastaug, Job, Keras
from photos import make_set
from report import aligned, describe_settings
from studies import Study
from timing import Timing, first_batch, settle_memory, time_round

WANTED = 0.9  # of the bare iterator's pace, at least, where its own batches are handed on
# Photographs, of which an epoch goes through many times, and rounds.
FULL, QUICK = (192, 7), (16, 2)

CASE = replace(
    CASES["224"],
    settings={name: value for name, value in DEFAULT_SETTINGS.items() if name != "rescale"}
    | {"dtype": "uint8"},
    scale=1.0,
    batch_size=64,
    quick_batch_size=4,
    rounds=None,
)


class Bare(Fastaug):
    """The iterator itself, with a worker thread for every core."""

    key = "bare"
    label = "the iterator"
    workers = None


class Loader(Bare):
    """Base class of a dataset, epoch after epoch, whose tensors are looked at as arrays."""

    package: str  # what it needs
    # the iterator's, and those that TensorFlow has asked for
    lookahead = property(lambda self: super().lookahead + 3)

    def dataset_of(self, flow):
        """Returns the dataset of an iterator."""
        raise NotImplementedError

    @contextmanager
    def batches(self):
        with closing(self.flow()) as flow, closing(self._of(self.dataset_of(flow))) as batches:
            yield batches

    def _of(self, dataset):
        while True:
            for images, labels in dataset:
                yield self.array(images), self.array(labels)

    @staticmethod
    def array(tensor):
        """Returns a tensor as an array, where it is."""
        return tensor.numpy()


class ToTf(Loader):
    """A `tf.data.Dataset`."""

    key, label, package = "to_tf", "to_tf()", "tensorflow"

    def dataset_of(self, flow):
        return flow.to_tf()

    @staticmethod
    def array(tensor):
        return np.asarray(memoryview(tensor))  # `numpy()` copies


class ToTorch(Loader):
    """A dataset of PyTorch."""

    key, label, package = "to_torch", "to_torch()", "torch"

    def dataset_of(self, flow):
        return flow.to_torch()


class RayData(Bare):
    """A function of columns in the tasks of Ray Data, with a CPU for each task."""

    key, label, package = "ray", "Ray Data", "ray"
    lookahead = 48  # until all processes are there, and more than some tasks give at once
    copies = 16  # of the images in an epoch, which takes seconds to begin

    def __init__(self, job):
        super().__init__(job)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        import ray.data

        ray.init(
            num_cpus=job.cores, object_store_memory=1 << 30, include_dashboard=False,
            ignore_reinit_error=True,
            log_to_driver=False, logging_level=logging.ERROR,
        )  # fmt: skip
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        size, images = job.case.batch_size, job.images
        rows = [
            {"image": image, "label": label, "id": number}
            for number, (image, label) in enumerate(zip(images.x, images.y, strict=True))
        ]
        one = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // (4 * size)))
        self._data = one.union(*[one] * (self.copies - 1)).map_batches(
            self.function(), batch_format="numpy", batch_size=None
        )

    def function(self):
        """Returns what is done to columns."""
        return self.generator.batch_function(seed=SEED)

    @contextmanager
    def batches(self):
        columns = self.columns()
        with closing(columns):
            yield ((each["image"], each["label"]) for each in columns)

    def columns(self):
        """Yields batches with all columns, epoch after epoch."""
        while True:
            yield from self._data.iter_batches(
                batch_size=self.job.case.batch_size, batch_format="numpy"
            )

    def close(self):
        import ray

        ray.shutdown()

    @classmethod
    def problem(cls, job):
        """Returns why its images are not those of `apply`, or None."""
        with closing(cls(job)) as contestant, closing(contestant.columns()) as batches:
            batch = next(batches)
            keys = batch["id"]
            expected = contestant.generator.apply(job.images.x[keys], keys=keys, seed=SEED)
            return None if np.array_equal(batch["image"], expected) else "images of another key"


class RayAlone(RayData):
    """Ray Data with a function that does nothing: no other can come faster from it."""

    key, label = "ray_alone", "Ray Data, images as they are"

    def function(self):
        return copy.copy


@dataclass
class Row:
    """A contestant and its rounds."""

    kind: type
    timing: Timing = field(default_factory=Timing)

    @property
    def label(self):
        """The contestant for people."""
        return self.kind.label


class Loaders(Study):
    """Times the iterator, its datasets, and Ray Data in turns."""

    def prepare(self):
        count, rounds = QUICK if self.options.quick else FULL
        self.rounds = self.options.rounds or rounds
        self.case = CASE
        if self.options.quick:
            self.case = replace(CASE, batch_size=CASE.quick_batch_size)
        images = make_set(CASE.size, count)
        # long epochs, as each begins a new iteration
        self.images = replace(images, x=images.x.repeat(8, 0), y=images.y.repeat(8, 0))
        others = (ToTf, ToTorch, RayData, RayAlone)
        kinds = [Bare, *(kind for kind in others if find_spec(kind.package))]
        self.rows = [Row(kind) for kind in kinds]

    def steps(self):
        return len(self.rows) * (1 + self.rounds)

    def heading(self):
        return [
            f"images    {self.images.source}, 8 times each; in batches of {self.case.batch_size}",
            f"settings  {describe_settings(self.case.settings)}",
        ]

    def compare(self):
        job = Job(self.case, self.images, self.options.cores).start()
        kinds = [row.kind for row in self.rows]
        own = [kind for kind in kinds if not issubclass(kind, RayData)]
        check = compare_batches(Keras(job), own)
        if RayData in kinds and check.passed:
            check.problem = RayData.problem(job)  # whose random numbers are not Keras's
        return check

    def measure(self):
        job = Job(self.case, self.images, self.options.cores)
        with ExitStack() as stack:
            running = []
            for row in self.rows:
                self.doing("preparing", row.label)
                running.append((row, stack.enter_context(closing(row.kind(job)))))
                first_batch(running[-1][1])
                self.progress.done()
            settle_memory()
            self.in_turns(
                running,
                lambda row, each: row.timing.rounds.append(time_round(each, self.case.seconds)),
            )

    # ---- what was found ----

    @property
    def timed(self):
        """The rows with at least one round."""
        return [row for row in self.rows if row.timing.rounds]

    def share(self, row):
        """Returns a row's pace as a share of the bare iterator's, the median over the rounds."""
        pairs = zip(self.rows[0].timing.rounds, row.timing.rounds, strict=False)
        return median(bare / own for bare, own in pairs)

    def tables(self):
        if not self.rows[0].timing.rounds:
            return []
        headings = ("from", "images/s", "of the iterator")
        rows = [
            (row.label, f"{row.timing.images_per_second:,.0f}", f"{self.share(row):.2f}")
            for row in self.timed
        ]
        lines = aligned([headings, *rows], "<>>")
        if not self.options.quick:
            datasets = [row for row in self.timed if not issubclass(row.kind, RayData)]
            kept = all(self.share(row) >= WANTED for row in datasets)
            lines.append(
                f"  at least {WANTED} wanted of the datasets: {'kept' if kept else 'NOT kept'}"
            )
        return lines

    def record(self):
        shares = self.rows[0].timing.rounds and {
            row.kind.key: self.share(row) for row in self.timed
        }
        return {
            "images": self.images.source,
            "settings": describe_settings(self.case.settings),
            "batch_size": self.case.batch_size,
            "share_of_iterator": shares or {},
            "rows": [
                {
                    "key": row.kind.key,
                    "rounds_us_per_image": row.timing.rounds,
                    "images_per_second": row.timing.images_per_second,
                }
                for row in self.timed
            ],
        }
