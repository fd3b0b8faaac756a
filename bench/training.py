"""Training from one source after the other: the time of each epoch, and what its studies share."""

import time
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from statistics import median

import numpy as np
from contestants import Job, fastaug_with
from interrupts import raise_if_seen
from keras_reference import keras
from networks import on_gpu
from plots import loads
from report import aligned, format_ratio
from studies import Study

from fastaug import SysMonitor


@dataclass
class Run:
    """Some epochs from one source.

    Attributes:
        key: What the batches come from: 'keras', 'multiprocessing', 'fastaug' or 'memory'.
        label: The same for people.
        workers: Number of threads or processes, or None.
        batch_size: Images in a batch.
        images: Images that an epoch trains from, and validates with.
        warm_up: Seconds of the first epoch, in which the network is compiled, or None.
        epochs: Seconds of the epochs after it.
        loss: Loss of the last epoch, or None.
        load: What a SysMonitor saw in the epochs after the first, or None.
    """

    key: str
    label: str
    workers: int | None
    batch_size: int
    images: int
    warm_up: float | None = None
    epochs: list = field(default_factory=list)
    loss: float | None = None
    load: dict | None = None

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


class _Clock(keras.callbacks.Callback):
    """Notes the seconds of each epoch, its validation included."""

    def __init__(self, run, note, ended):
        super().__init__()
        self._run, self._note, self._ended = run, note, ended

    def on_train_batch_end(self, batch, logs=None):
        raise_if_seen()

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self._run.loss = float(logs["loss"])  # waits for what a GPU still has to do
        self._note(time.perf_counter() - self._start)
        self._ended()


class Trainer:
    """Trains one network from many sources, each time from the same weights.

    Args:
        model: The network, compiled.
        epochs: Timed epochs of each run; one goes before them.
        interval: Seconds between samples of the load.
        progress: A Progress, which gets a step for each epoch.
    """

    def __init__(self, model, epochs, interval, progress):
        self._model, self._epochs, self._interval = model, epochs, interval
        self._progress = progress
        self._weights = model.get_weights()

    def train(self, run, data, validation=None):
        """Fills in a run; what it has is kept if the training is interrupted.

        Args:
            run: A Run without epochs.
            data: A PyDataset, or the pair (x, y).
            validation: The same for the validation after each epoch, or None.
        """
        self._model.set_weights(self._weights)

        def warm_up(seconds):
            run.warm_up = seconds

        self._fit(run, data, validation, 1, warm_up)
        monitor = SysMonitor(self._interval)
        try:
            with monitor:
                self._fit(run, data, validation, self._epochs, run.epochs.append)
        finally:
            run.load = monitor.to_dict()

    def _fit(self, run, data, validation, epochs, note):
        source = {"x": data}
        if isinstance(data, tuple):
            source = {"x": data[0], "y": data[1], "batch_size": run.batch_size}
        if isinstance(validation, tuple):
            source["validation_batch_size"] = run.batch_size
        self._model.fit(
            **source,
            validation_data=validation,
            epochs=epochs,
            verbose=0,
            callbacks=[_Clock(run, note, self._progress.done)],
        )


def with_one_hot_labels(images):
    """Returns an ImageSet or FileSet with a row of 0s and a 1 for each label, as float32."""
    classes = int(images.y.max()) + 1
    return replace(images, y=np.eye(classes, dtype=np.float32)[images.y.ravel()])


def augmented(case, images):
    """Returns one epoch of augmented images and their labels as arrays in memory."""
    kind = fastaug_with(None, from_files=case.from_files)
    contestant = kind(Job(case, images, cores=1, fastaug_workers=None, pool=None))
    count = len(images.y)
    x = np.empty((count, case.size, case.size, 3), np.float32)
    y = np.empty((count, images.y.shape[1]), np.float32)
    with closing(contestant.flow()) as flow:
        for number in range(len(flow)):
            start = number * case.batch_size
            batch_x, batch_y = next(flow)
            x[start : start + len(batch_x)] = batch_x
            y[start : start + len(batch_y)] = batch_y
    contestant.close()
    return x, y


class TrainingStudy(Study):
    """Base class of the studies that train.

    Attributes:
        runs: The runs so far, the one under way with them.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.runs = []
        self.gpu = on_gpu()

    def training_line(self, epochs):
        """Returns a line of the heading that says where and how long is trained."""
        where = "a GPU" if self.gpu else "the same cores as the augmentation: there is no GPU"
        return f"training  on {where}; 1 + {epochs} epochs of each, the first not counted"

    def begin(self, key, label, workers, batch_size, images):
        """Returns a new run, announced."""
        name = label if workers is None else f"{label}, workers={workers}"
        self.progress.doing(f"study {self.name}: batches of {batch_size:,}: {name}")
        run = Run(key, label, workers, batch_size, images)
        self.runs.append(run)
        return run

    @property
    def timed(self):
        """The runs with at least one epoch."""
        return [run for run in self.runs if run.epochs]

    def runs_table(self):
        """Returns the lines of a table of the runs."""
        heading = (
            "batch",
            "from",
            "workers",
            "s/epoch",
            "images/s",
            "vs Keras",
            "of memory",
            "loss",
        )
        rows = [heading, *map(self._cells, self.timed)]
        return [
            *aligned(rows, "><>>>>>>"),
            "  of memory: share of the pace of training from images augmented before, in memory",
        ]

    def _cells(self, run):
        faster, share = self.ratio(run, "keras"), self.ratio(run, "memory")
        return (
            f"{run.batch_size:,}",
            run.label,
            "" if run.workers is None else str(run.workers),
            f"{run.seconds:.3g}",
            f"{run.images_per_second:,.0f}",
            format_ratio(faster) if faster else "",
            f"{share:.2f}" if share else "",
            f"{run.loss:.3f}",
        )

    def find(self, key, batch_size):
        """Returns the first timed run of a source at a batch size, or None."""
        of_size = (run for run in self.timed if run.batch_size == batch_size)
        return next((run for run in of_size if run.key == key), None)

    def ratio(self, run, key):
        """How many times as fast as another source at the same batch size a run is, or None."""
        other = self.find(key, run.batch_size)
        return other.seconds / run.seconds if other and run.epochs else None

    def run_records(self):
        """Returns the runs as dicts for the JSON file."""
        return [
            {
                **run.record(),
                "ratio_to_keras": self.ratio(run, "keras"),
                "share_of_memory": self.ratio(run, "memory"),
            }
            for run in self.runs
        ]

    def load_figure(self, title, batch_size, caption):
        """Returns the load while training from Keras and from fastaug; None without either."""
        panels = [
            (f"{name}: {run.label}, {run.seconds:.3g} s an epoch", run.load)
            for name, key in (("before", "keras"), ("after", "fastaug"))
            if (run := self.find(key, batch_size))
        ]
        return loads(title, panels, caption) if panels else None
