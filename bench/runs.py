"""What the studies share that measure runs: some rounds or epochs from one source each."""

import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from statistics import median

import numpy as np
from contestants import Job, fastaug_with
from interrupts import raise_if_seen
from keras_reference import keras
from networks import on_gpu
from plots import against, loads
from report import aligned, format_ratio
from studies import Study

from fastaug import SysMonitor

MEMORY = "from memory, augmented before"


@dataclass
class Run:
    """Some rounds or epochs from one source."""

    key: str  # what the batches come from: 'keras', 'multiprocessing', 'fastaug', 'memory', ...
    label: str  # the same for people
    workers: int | None  # threads or processes
    batch_size: int
    images: int  # of a round, or those that an epoch trains from, and validates with
    warm_up: float | None = None  # seconds of the first epoch, in which the network is compiled
    epochs: list = field(default_factory=list)  # seconds of those after it, or of the rounds
    loss: float | None = None  # of the last epoch
    load: dict | None = None  # what a SysMonitor saw in the epochs after the first

    @property
    def seconds(self):
        """The median of the epochs."""
        return median(self.epochs)

    @property
    def images_per_second(self):
        """Images per second at the median."""
        return self.images / self.seconds

    def record(self):
        """Returns the run as a dict for the JSON file."""
        record = asdict(self)
        if self.epochs:
            record |= {"seconds": self.seconds, "images_per_second": self.images_per_second}
        return record


class Clock(keras.callbacks.Callback):
    """Notes each epoch, its validation included.

    Args:
        note: Function of an epoch's seconds and loss.
        step: Seconds to wait after each step, as for a network on a GPU.
    """

    def __init__(self, note, step=0.0):
        super().__init__()
        self._note, self._step = note, step

    def on_train_batch_end(self, batch, logs=None):
        raise_if_seen()
        time.sleep(self._step)

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        loss = float(logs["loss"])  # waits for what a GPU still has to do
        self._note(time.perf_counter() - self._start, loss)


def with_one_hot_labels(images):
    """Returns an ImageSet or FileSet with a row of 0s and a 1 for each label, as float32."""
    classes = int(images.y.max()) + 1
    return replace(images, y=np.eye(classes, dtype=np.float32)[images.y.ravel()])


def augmented(case, images):
    """Returns one epoch of augmented images and their labels as arrays in memory."""
    kind = fastaug_with(None)
    with (
        closing(kind(Job(case, images, cores=1))) as contestant,
        closing(contestant.flow()) as flow,
    ):
        batches = [next(flow) for _ in range(len(flow))]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


class RunsStudy(Study):
    """Base class of studies whose figures are those of runs.

    Attributes:
        runs: The runs so far, the one under way with them.
        headings: The columns of the table, of those in `_cells`.
        gpu: Whether the network is trained on something faster than the processor.
    """

    headings: tuple[str, ...] = (
        "batch", "from", "workers", "s/epoch", "images/s", "vs Keras", "of memory", "loss"
    )  # fmt: skip

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.runs = []
        self.gpu = on_gpu()

    # ---- training one after the other ----

    def training_line(self):
        """Returns a line of the heading that says where and how long is trained."""
        where = "a GPU" if self.gpu else "the same cores as the augmentation: there is no GPU"
        return f"training  on {where}; 1 + {self.rounds} epochs of each, the first not counted"

    def use(self, model, interval):
        """Sets the network, compiled, and the seconds between samples of the load."""
        self._model, self._interval = model, interval
        self._weights = model.get_weights()

    def train(self, run, data, validation=None):
        """Trains from the same weights as ever; what there is of an interrupted run is kept.

        Args:
            run: A Run without epochs.
            data: A PyDataset, or the pair (x, y).
            validation: The same for the validation after each epoch, or None.
        """
        name = run.label if run.workers is None else f"{run.label}, workers={run.workers}"
        self.doing(f"batches of {run.batch_size:,}: {name}")
        self.runs.append(run)
        self._model.set_weights(self._weights)
        warm_up = []
        self._fit(run, data, validation, 1, warm_up)
        run.warm_up = warm_up[0]
        monitor = SysMonitor(self._interval)
        try:
            with monitor:
                self._fit(run, data, validation, self.rounds, run.epochs)
        finally:
            run.load = monitor.to_dict()

    def train_from(self, kind, workers, *jobs):
        """Trains from a contestant; of two jobs, the second is what to validate with."""
        key, label = ("fastaug", "fastaug") if kind.ours else (kind.key, kind.label)
        images = sum(len(job.images.y) for job in jobs)
        run = Run(key, label, workers, jobs[0].case.batch_size, images)
        with ExitStack() as stack:
            contestants = [stack.enter_context(closing(kind(job))) for job in jobs]
            self.train(run, *[stack.enter_context(each.dataset()) for each in contestants])

    def _fit(self, run, data, validation, epochs, found):
        def note(seconds, loss):
            found.append(seconds)
            run.loss = loss
            self.progress.done()

        arguments = {"x": data}
        if isinstance(data, tuple):
            arguments = {"x": data[0], "y": data[1], "batch_size": run.batch_size}
        if isinstance(validation, tuple):
            arguments["validation_batch_size"] = run.batch_size
        arguments |= {"validation_data": validation, "callbacks": [Clock(note)]}
        self._model.fit(**arguments, epochs=epochs, verbose=0)

    # ---- what was found ----

    @property
    def timed(self):
        """The runs with at least one epoch."""
        return [run for run in self.runs if run.epochs]

    def find(self, key, batch_size):
        """Returns the first timed run of a source at a batch size, or None."""
        of_size = (run for run in self.timed if run.batch_size == batch_size)
        return next((run for run in of_size if run.key == key), None)

    def ratio(self, run, key):
        """How many times as fast as another source at the same batch size a run is, or None."""
        other = self.find(key, run.batch_size)
        return other.seconds / run.seconds if other and run.epochs else None

    def ratios(self, run):
        """Returns a run's ratios as a dict for the JSON file."""
        names = {"ratio_to_keras": "keras", "share_of_memory": "memory"}
        return {name: self.ratio(run, key) for name, key in names.items()}

    def runs_record(self):
        """Returns the runs as dicts for the JSON file."""
        return [run.record() | self.ratios(run) for run in self.runs]

    def runs_table(self):
        """Returns the lines of a table of the runs."""
        rows = [[self._cells(run)[name] for name in self.headings] for run in self.timed]
        alignments = ("<" if name == "from" else ">" for name in self.headings)
        lines = aligned([self.headings, *rows], "".join(alignments))
        if "of memory" in self.headings:
            lines.append(
                "  of memory: share of the pace of training from the same images in memory"
            )
        return lines

    def _cells(self, run):
        faster, share = self.ratio(run, "keras"), self.ratio(run, "memory")
        return {
            "batch": f"{run.batch_size:,}",
            "from": run.label,
            "workers": "" if run.workers is None else str(run.workers),
            "seconds": f"{run.seconds:.3g}",
            "s/epoch": f"{run.seconds:.3g}",
            "images/s": f"{run.images_per_second:,.0f}",
            "vs Keras": format_ratio(faster) if faster else "",
            "of memory": f"{share:.2f}" if share else "",
            "loss": "" if run.loss is None else f"{run.loss:.3f}",
        }

    def load_figure(self, title, batch_size, caption):
        """Returns the load while training from Keras and from fastaug; None without either."""
        panels = [
            (f"{name}: {run.label}, {run.seconds:.3g} s an epoch", run.load)
            for name, key in (("before", "keras"), ("after", "fastaug"))
            if (run := self.find(key, batch_size))
        ]
        return loads(title, panels, caption) if panels else None

    def against_workers(self, title, batch_size, value, ylabel, caption, dashed):
        """Returns a figure of a value of the pool's and fastaug's runs; None without any.

        Args:
            title: The figure's title.
            batch_size: That of the runs.
            value: Function from a run to its value.
            ylabel: What the values are.
            caption: Small print.
            dashed: A pair of a value and its label, for a dashed line across.
        """
        lines = []
        for key in ("multiprocessing", "fastaug"):
            runs = [run for run in self.timed if run.key == key and run.batch_size == batch_size]
            runs.sort(key=lambda run: run.workers)
            if runs:
                label = "fastaug" if key == "fastaug" else runs[0].label
                lines.append((key, label, [r.workers for r in runs], [value(r) for r in runs]))
        xlabel = "workers (threads of fastaug, processes of the pool)"
        return against(xlabel, title, lines, ylabel, caption, dashed) if lines else None
