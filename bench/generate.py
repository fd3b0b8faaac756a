"""The study `generate`: batches of 32x32 images, no training, against the number of workers."""

from contextlib import ExitStack, closing
from dataclasses import replace

from article import WorkerPool
from cases import CASES
from check import compare_batches
from cifar10 import find_cifar10
from contestants import Job, Keras, Multiprocessing, fastaug_with
from report import describe_settings, format_ratio
from runs import Run, RunsStudy
from timing import first_batch, settle_memory, time_batches

BATCHES, QUICK_BATCHES = 1000, 40
ROUNDS, QUICK_ROUNDS = 3, 1
ARTICLE = "the article's best: 2.01 times as fast as Keras, with 7 processes"


class Generate(RunsStudy):
    """Times a fixed number of batches from Keras, from the article's pool and from fastaug.

    Keras and fastaug with each number of workers take turns. The pool comes after them: one of each
    size, each with its own processes.
    """

    headings = ("from", "workers", "seconds", "images/s", "vs Keras")

    def prepare(self):
        options = self.options
        self.batches = QUICK_BATCHES if options.quick else BATCHES
        self.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
        self.counts = range(options.cores + 1)
        case = CASES["article"]
        count = case.images // (8 if options.quick else 1)
        self.images = options.cifar10 or find_cifar10(count, download=not options.quick)
        self.case = replace(case, fastaug_pool=False)

    def steps(self):
        return 2 * len(self.counts) * self.rounds  # Keras, fastaug, and the pool but for none

    def heading(self):
        size = self.case.batch_size
        return [
            f"images    {self.images.source}; {self.batches:,} batches of {size}",
            f"settings  {describe_settings(self.case.settings)}",
        ]

    def compare(self):
        job = Job(self.case, self.images, 1).start()
        kinds = [fastaug_with(workers) for workers in dict.fromkeys((0, 1, self.options.cores))]
        return compare_batches(Keras(job), kinds)

    def measure(self):
        self._time_all(
            [(Keras, None), *((fastaug_with(workers), workers) for workers in self.counts)]
        )
        for workers in self.counts[1:]:
            self.doing(f"a pool of {workers}")
            with closing(WorkerPool(workers)) as pool:
                self._time_all([(Multiprocessing, workers)], pool)

    def _time_all(self, kinds, pool=None):
        """Times contestants in turns, given with their numbers of workers."""
        running = []
        job = Job(self.case, self.images, 1, pool=pool)
        with ExitStack() as stack:
            for kind, workers in kinds:
                contestant = stack.enter_context(closing(kind(job)))
                first_batch(contestant)
                key, size = "fastaug" if kind.ours else kind.key, self.case.batch_size
                run = Run(key, kind.label, workers, size, size * self.batches)
                running.append((run, contestant))
                self.runs.append(run)
            settle_memory()
            self.in_turns(
                running, lambda run, each: run.epochs.append(time_batches(each, self.batches))
            )

    # ---- what was found ----

    @property
    def _keras(self):
        return self.find("keras", self.case.batch_size)

    def tables(self):
        if not self.timed:
            return []
        best = []
        for key in ("multiprocessing", "fastaug"):
            if runs := [run for run in self.timed if run.key == key]:
                run = min(runs, key=lambda run: run.seconds)
                ratio = format_ratio(self.ratio(run, "keras"))
                best.append(f"best of {key}: {ratio} Keras, with workers={run.workers}")
        return [
            f"  seconds for {self.batches:,} batches of {self.case.batch_size}",
            *self.runs_table(),
            *(f"  {line}" for line in (*best, ARTICLE)),
        ]

    def record(self):
        return {
            "images": self.images.source,
            "settings": describe_settings(self.case.settings),
            "batches": self.batches,
            "batch_size": self.case.batch_size,
            "keras_seconds": self._keras.epochs if self._keras else [],
            "runs": [run.record() | self.ratios(run) for run in self.timed if run.key != "keras"],
        }

    def figures(self, caption):
        size, keras = self.case.batch_size, self._keras
        if not keras or len(self.timed) == 1:
            return
        title = f"Time for {self.batches:,} batches of {size}, 32x32"
        of = (title, size, lambda run: run.seconds, "seconds", caption, (keras.seconds, "Keras"))
        yield "time", self.against_workers(*of)
        title = "Speed-up over Keras, batches of 32x32 images"
        label = "times as fast as Keras"
        of = (title, size, lambda run: self.ratio(run, "keras"), label, caption, (1, "Keras"))
        yield "speed-up", self.against_workers(*of)
