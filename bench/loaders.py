"""The study `loaders`: the pace of an iterator as a dataset of TensorFlow, and of PyTorch."""

from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from statistics import median

from cases import CASES, DEFAULT_SETTINGS
from check import compare_batches
from contestants import Fastaug, Job, Keras
from photos import make_set
from report import aligned, describe_settings
from studies import Study
from timing import Timing, first_batch, settle_memory, time_round

WANTED = 0.9  # of the bare iterator's pace, at least
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
                yield images.numpy(), labels.numpy()


class ToTf(Loader):
    """A `tf.data.Dataset`."""

    key, label, package = "to_tf", "to_tf()", "tensorflow"

    def dataset_of(self, flow):
        return flow.to_tf()


class ToTorch(Loader):
    """A dataset of PyTorch."""

    key, label, package = "to_torch", "to_torch()", "torch"

    def dataset_of(self, flow):
        return flow.to_torch()


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
    """Times the iterator and its datasets in turns."""

    def prepare(self):
        count, rounds = QUICK if self.options.quick else FULL
        self.rounds = self.options.rounds or rounds
        self.case = CASE
        if self.options.quick:
            self.case = replace(CASE, batch_size=CASE.quick_batch_size)
        images = make_set(CASE.size, count)
        # long epochs, as each begins a new iteration
        self.images = replace(images, x=images.x.repeat(8, 0), y=images.y.repeat(8, 0))
        kinds = [Bare, *(kind for kind in (ToTf, ToTorch) if find_spec(kind.package))]
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
        return compare_batches(Keras(job), [row.kind for row in self.rows])

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
            kept = all(self.share(row) >= WANTED for row in self.timed)
            lines.append(f"  at least {WANTED} wanted: {'kept' if kept else 'NOT kept'}")
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
