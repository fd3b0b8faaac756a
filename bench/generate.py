"""The study `generate`: batches of 32x32 images, no training, against the number of workers."""

from contextlib import ExitStack, closing
from dataclasses import replace
from statistics import median

from article import WorkerPool
from cases import CASES
from check import compare_batches
from cifar10 import find_cifar10
from contestants import Job, Keras, Multiprocessing, fastaug_with
from plots import against_workers
from report import aligned, describe_settings, format_ratio
from studies import Study
from timing import first_batch, settle_memory, time_batches

BATCHES, QUICK_BATCHES = 1000, 40
ROUNDS, QUICK_ROUNDS = 3, 1
ARTICLE = "the article's best: 2.01 times as fast as Keras, with 7 processes"


class Generate(Study):
    """Times a fixed number of batches from Keras, from the article's pool and from fastaug.

    Keras and fastaug with each number of workers take turns, so that a slow spell of the machine
    meets them all. The pool comes after them: one of each size, each with its own processes.
    """

    def prepare(self):
        options = self.options
        self.batches = QUICK_BATCHES if options.quick else BATCHES
        self.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
        self.counts = range(options.cores + 1)
        case = CASES["article"]
        count = case.images // (8 if options.quick else 1)
        self.images = options.cifar10 or find_cifar10(count, download=not options.quick)
        self.case = replace(case, fastaug_pool=False)
        self.keras = []  # seconds
        self.seconds = {}  # the rounds by key and number of workers

    def steps(self):
        return 2 * len(self.counts) * self.rounds  # Keras, fastaug, and the pool but for none

    def heading(self):
        size = self.case.batch_size
        return [
            f"images    {self.images.source}; {self.batches:,} batches of {size}",
            f"settings  {describe_settings(self.case.settings)}",
        ]

    def _job(self, images, pool=None):
        return Job(self.case, images, 1, None, pool)

    def compare(self):
        job = self._job(self.images.first(5 * self.case.batch_size // 2))
        kinds = [fastaug_with(workers) for workers in dict.fromkeys((0, 1, self.options.cores))]
        return compare_batches(Keras(job), kinds)

    def measure(self):
        with ExitStack() as stack:
            self.progress.doing("study generate: preparing")
            running = [(None, Keras(self._job(self.images)))]
            running += [(n, fastaug_with(n)(self._job(self.images))) for n in self.counts]
            for _, contestant in running:
                stack.callback(contestant.close)
                first_batch(contestant)
            settle_memory()
            for _ in range(self.rounds):
                for workers, contestant in running:
                    self._time(contestant, workers)
        for workers in self.counts[1:]:
            self.progress.doing(f"study generate: a pool of {workers}")
            with (
                closing(WorkerPool(workers)) as pool,
                closing(Multiprocessing(self._job(self.images, pool))) as contestant,
            ):
                first_batch(contestant)
                settle_memory()
                for _ in range(self.rounds):
                    self._time(contestant, workers)

    def _time(self, contestant, workers):
        self.progress.doing(f"study generate: {contestant.label}")
        seconds = time_batches(contestant, self.batches)
        if workers is None:
            self.keras.append(seconds)
        else:
            key = "fastaug" if contestant.ours else contestant.key
            self.seconds.setdefault((key, workers), []).append(seconds)
        self.progress.done()

    # ---- what was found ----

    def _of(self, key):
        """Returns numbers of workers, seconds, and how many times as fast as Keras."""
        found = [(w, median(rounds)) for (k, w), rounds in self.seconds.items() if k == key]
        workers, seconds = [w for w, _ in found], [s for _, s in found]
        return workers, seconds, [median(self.keras) / s for s in seconds]

    def tables(self):
        if not self.seconds:
            return []
        cells = {
            (key, w): (f"{s:.3g} s", format_ratio(r))
            for key in ("multiprocessing", "fastaug")
            for w, s, r in zip(*self._of(key), strict=True)
        }
        rows = [("workers", Multiprocessing.label, "vs Keras", "fastaug", "vs Keras")]
        for workers in sorted({w for _, w in cells}):
            row = [cells.get((key, workers), ("", "")) for key in ("multiprocessing", "fastaug")]
            rows.append((str(workers), *row[0], *row[1]))
        best = [
            f"best of {label}: {format_ratio(max(ratios))} Keras, with workers="
            f"{workers[ratios.index(max(ratios))]}"
            for key, label in (("multiprocessing", Multiprocessing.label), ("fastaug", "fastaug"))
            for workers, _, ratios in [self._of(key)]
            if ratios
        ]
        return [
            f"  seconds for {self.batches:,} batches; Keras: {median(self.keras):.3g} s "
            f"({min(self.keras):.3g} to {max(self.keras):.3g})",
            *aligned(rows, ">>>>>"),
            *(f"  {line}" for line in (*best, ARTICLE)),
        ]

    def record(self):
        return {
            "images": self.images.source,
            "settings": describe_settings(self.case.settings),
            "batches": self.batches,
            "batch_size": self.case.batch_size,
            "keras_seconds": self.keras,
            "runs": [
                {
                    "key": key,
                    "workers": workers,
                    "seconds": median(rounds),
                    "ratio_to_keras": median(self.keras) / median(rounds),
                    "rounds_seconds": rounds,
                }
                for (key, workers), rounds in self.seconds.items()
            ],
        }

    def figures(self, caption):
        labels = (("multiprocessing", Multiprocessing.label), ("fastaug", "fastaug"))
        found = [(key, label, *self._of(key)) for key, label in labels]
        found = [each for each in found if each[2]]
        seconds = [(key, label, workers, values) for key, label, workers, values, _ in found]
        ratios = [(key, label, workers, values) for key, label, workers, _, values in found]
        yield (
            "time",
            against_workers(
                f"Time for {self.batches:,} batches of {self.case.batch_size}, 32x32",
                seconds,
                "seconds",
                caption,
                dashed=(median(self.keras), "Keras"),
            ),
        )
        yield (
            "speed-up",
            against_workers(
                "Speed-up over Keras, batches of 32x32 images",
                ratios,
                "times as fast as Keras",
                caption,
                dashed=(1, "Keras"),
            ),
        )
