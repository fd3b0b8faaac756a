"""The study `train`: the article's network for CIFAR-10, trained from every source."""

from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace as Plan

from article import WorkerPool
from cases import CASES
from check import compare_batches
from cifar10 import find_cifar10
from contestants import Job, Keras, Multiprocessing, fastaug_with
from networks import cifar10_network
from plots import paces
from report import describe_settings
from runs import MEMORY, Run, RunsStudy, augmented, with_one_hot_labels

ARTICLE = {32: 1.88, 256: 3.33, 1024: 3.48, 4096: 3.41}
WORKERS = (0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64)


# Other numbers of workers are tried at the last batch size; images are those of an epoch at most,
# epochs those timed, and the interval is in seconds between samples of the load.
ON_GPU = Plan(batch_sizes=tuple(ARTICLE), images=50_000, epochs=3, interval=0.25)
ON_CPU = Plan(batch_sizes=tuple(ARTICLE), images=8192, epochs=1, interval=0.5)
QUICK = Plan(batch_sizes=(32,), images=64, epochs=1, interval=0.05)


class Train(RunsStudy):
    """Trains at each batch size from Keras, the article's pool, fastaug and memory.

    Then from the pool and from fastaug with other numbers of workers, at the largest batch size.
    """

    def prepare(self):
        options = self.options
        self.plan = plan = QUICK if options.quick else ON_GPU if self.gpu else ON_CPU
        self.rounds = options.rounds or plan.epochs
        images = options.cifar10 or find_cifar10(plan.images, download=not options.quick)
        self.images = with_one_hot_labels(images.first(plan.images))
        self.source = f"{len(self.images.y):,} of {images.source}"
        self.others = [workers for workers in WORKERS if workers < options.cores]
        self.case = replace(CASES["article"], fastaug_pool=False)

    def steps(self):
        # Keras, the pool, fastaug and memory; then fastaug and, from one process on, the pool
        runs = 4 * len(self.plan.batch_sizes) + 2 * len(self.others) - (0 in self.others)
        return 1 + runs * (1 + self.rounds)

    def heading(self):
        return [
            f"images    {self.source}",
            f"settings  {describe_settings(self.case.settings)}",
            self.training_line(),
        ]

    def compare(self):
        case = replace(self.case, batch_size=24)  # two batches and a half of a quick run's images
        job = Job(case, self.images, self.options.cores).start()
        return compare_batches(Keras(job), [fastaug_with(w) for w in (0, self.options.cores)])

    def measure(self):
        plan, cores = self.plan, self.options.cores
        self.doing("augmented images for memory")
        memory = augmented(replace(self.case, batch_size=256), self.images)
        self.progress.done()
        self.use(cifar10_network(self.images.y.shape[1]), plan.interval)
        with closing(WorkerPool(cores)) as pool:
            for size in plan.batch_sizes:
                self.train_from(Keras, None, self._job(size))
                self.train_from(Multiprocessing, cores, self._job(size, pool))
                self.train_from(fastaug_with(cores), cores, self._job(size))
                self.train(Run("memory", MEMORY, None, size, len(self.images.y)), memory)
        for workers in self.others:
            size = plan.batch_sizes[-1]
            self.train_from(fastaug_with(workers), workers, self._job(size))
            if workers:
                with closing(WorkerPool(workers)) as pool:
                    self.train_from(Multiprocessing, workers, self._job(size, pool))

    def _job(self, batch_size, pool=None):
        case = replace(self.case, batch_size=batch_size)
        return Job(case, self.images, self.options.cores, pool=pool)

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
            "runs": self.runs_record(),
        }

    def figures(self, caption):
        size = self.plan.batch_sizes[-1]
        main = [run for run in self.timed if run.workers in (None, self.options.cores)]
        yield "pace", paces("Training the article's CIFAR-10 network", main, caption)
        title = f"CPU and GPU while training, batches of {size:,}"
        if figure := self.load_figure(title, size, caption):
            yield "load", figure
        if self.find("keras", size):
            title = f"Speed-up of training, batches of {size:,}"
            label = "times as fast as from Keras"
            of = (title, size, lambda run: self.ratio(run, "keras"), label, caption, (1, "Keras"))
            if figure := self.against_workers(*of):
                yield "speed-up", figure
