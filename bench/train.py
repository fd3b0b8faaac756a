"""The study `train`: the article's network for CIFAR-10, trained from every source."""

from contextlib import closing
from dataclasses import dataclass, replace

from article import WorkerPool
from cases import CASES
from check import compare_batches
from cifar10 import find_cifar10
from contestants import Job, Keras, Multiprocessing, fastaug_with
from networks import cifar10_network
from plots import against_workers, paces
from report import describe_settings
from training import Trainer, TrainingStudy, augmented, with_one_hot_labels

ARTICLE = {32: 1.88, 256: 3.33, 1024: 3.48, 4096: 3.41}
SWEEP = (0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64)


@dataclass(frozen=True)
class Plan:
    """How much is trained.

    Attributes:
        batch_sizes: The batch sizes; the sweep over workers is at the last.
        images: Images in an epoch, at most.
        epochs: Timed epochs.
        interval: Seconds between samples of the load.
    """

    batch_sizes: tuple[int, ...]
    images: int
    epochs: int
    interval: float


ON_GPU = Plan(batch_sizes=tuple(ARTICLE), images=50_000, epochs=3, interval=0.25)
ON_CPU = Plan(batch_sizes=tuple(ARTICLE), images=8192, epochs=1, interval=0.5)
QUICK = Plan(batch_sizes=(32, 128), images=128, epochs=1, interval=0.05)
MEMORY = "from memory, augmented before"


class Train(TrainingStudy):
    """Trains at each batch size from Keras, the article's pool, fastaug and memory.

    Then from the pool and from fastaug with other numbers of workers, at the largest batch size.
    """

    def prepare(self):
        options = self.options
        plan = QUICK if options.quick else ON_GPU if self.gpu else ON_CPU
        self.plan = replace(plan, epochs=options.rounds or plan.epochs)
        images = options.cifar10 or find_cifar10(plan.images, download=not options.quick)
        self.images = with_one_hot_labels(images.first(plan.images))
        self.source = f"{len(self.images.y):,} of {images.source}"
        cores = options.cores
        self.sweep = [workers for workers in SWEEP if workers < cores]
        self.case = replace(CASES["article"], fastaug_pool=False)

    def steps(self):
        # Keras, the pool, fastaug and memory; then fastaug and, from one process on, the pool
        runs = 4 * len(self.plan.batch_sizes) + 2 * len(self.sweep) - (0 in self.sweep)
        return 1 + runs * (1 + self.plan.epochs)

    def heading(self):
        return [
            f"images    {self.source}",
            f"settings  {describe_settings(self.case.settings)}",
            self.training_line(self.plan.epochs),
        ]

    def _job(self, batch_size, images=None, pool=None):
        case = replace(self.case, batch_size=batch_size)
        return Job(case, images or self.images, self.options.cores, None, pool)

    def compare(self):
        job = self._job(32, images=self.images.first(80))
        return compare_batches(Keras(job), [fastaug_with(w) for w in (0, self.options.cores)])

    def measure(self):
        plan, cores = self.plan, self.options.cores
        self.progress.doing("study train: augmented images for memory")
        memory = augmented(replace(self.case, batch_size=256), self.images)
        self.progress.done()
        classes = self.images.y.shape[1]
        self.trainer = Trainer(cifar10_network(classes), plan.epochs, plan.interval, self.progress)
        with closing(WorkerPool(cores)) as pool:
            for size in plan.batch_sizes:
                self._train(Keras, "keras", size, None)
                self._train(Multiprocessing, "multiprocessing", size, cores, pool)
                self._train(fastaug_with(cores), "fastaug", size, cores)
                run = self._begin("memory", MEMORY, size, None)
                self.trainer.train(run, memory)
        for workers in self.sweep:
            size = plan.batch_sizes[-1]
            self._train(fastaug_with(workers), "fastaug", size, workers)
            if workers:
                with closing(WorkerPool(workers)) as pool:
                    self._train(Multiprocessing, "multiprocessing", size, workers, pool)

    def _begin(self, key, label, batch_size, workers):
        return self.begin(key, label, workers, batch_size, len(self.images.y))

    def _train(self, kind, key, batch_size, workers, pool=None):
        label = "fastaug" if kind.ours else kind.label
        run = self._begin(key, label, batch_size, workers)
        contestant = kind(self._job(batch_size, pool=pool))
        try:
            with contestant.dataset() as dataset:
                self.trainer.train(run, dataset)
        finally:
            contestant.close()

    # ---- what was found ----

    def tables(self):
        if not self.timed:
            return []
        article = ", ".join(f"{times} at {size:,}" for size, times in ARTICLE.items())
        return [
            *self.runs_table(),
            f"  the article, with its pool, in times Keras by batch size: {article}",
            *(["  a quick run is too short to judge"] if self.options.quick else []),
        ]

    def record(self):
        return {
            "images": self.source,
            "settings": describe_settings(self.case.settings),
            "on_gpu": self.gpu,
            "runs": self.run_records(),
        }

    def figures(self, caption):
        cores, size = self.options.cores, self.plan.batch_sizes[-1]
        main = [run for run in self.timed if run.workers in (None, cores)]
        yield "pace", paces("Training the article's CIFAR-10 network", main, caption)
        title = f"CPU and GPU while training, batches of {size:,}"
        if figure := self.load_figure(title, size, caption):
            yield "load", figure
        lines = []
        for key in ("multiprocessing", "fastaug"):
            runs = [run for run in self.timed if run.key == key and run.batch_size == size]
            runs = sorted((run for run in runs if self.ratio(run, "keras")), key=_workers)
            if runs:
                values = [self.ratio(run, "keras") for run in runs]
                lines.append((key, runs[0].label, [run.workers for run in runs], values))
        if lines:
            yield (
                "speed-up",
                against_workers(
                    f"Speed-up of training, batches of {size:,}",
                    lines,
                    "times as fast as from Keras",
                    caption,
                    dashed=(1, "Keras"),
                ),
            )


def _workers(run):
    return run.workers
