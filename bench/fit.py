"""The study `fit`: what reading ahead is worth in `model.fit`, whose default is a random order."""

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from cases import CASES
from check import compare_batches
from contestants import SEED, Job, KerasFiles, fastaug_with
from files import choose_files, make_files
from interrupts import raise_if_seen
from keras_reference import PyDataset, keras
from networks import tiny_network
from plots import paces
from report import aligned, describe_settings
from studies import Study
from timing import settle_memory
from training import Run, with_one_hot_labels

STEP = 0.05  # seconds
WANTED = 1.1  # times the time in sequence, at most


@dataclass(frozen=True)
class Plan:
    """How much is trained.

    Attributes:
        batch_size: Images in a batch.
        batches: Batches in an epoch, an even number.
        rounds: Timed epochs of each way.
    """

    batch_size: int
    batches: int
    rounds: int


FULL = Plan(batch_size=64, batches=20, rounds=5)
QUICK = Plan(batch_size=8, batches=6, rounds=1)


@dataclass(frozen=True)
class Way:
    """One way to train from the files.

    Attributes:
        key: Name in the JSON file.
        label: The same for people.
        fit: Arguments of `fit`.
        prefetch: fastaug's argument; empty: its default.
        misleads: Whether the batches are asked for in an order that fastaug guesses wrong.
    """

    key: str
    label: str
    fit: dict
    prefetch: dict
    misleads: bool = False


WAYS = (
    Way("sequence", "fit(iterator, shuffle=False)", {"shuffle": False}, {}),
    Way("default", "fit(iterator)", {}, {}),
    Way("wrong", "every guess wrong", {"shuffle": False}, {}, misleads=True),
    Way("nothing", "fit(iterator), prefetch=0", {}, {"prefetch": 0}),
)


class Misleading(PyDataset):
    """Asks for two batches in sequence and then for others, so that what is guessed is wrong.

    Args:
        iterator: What to ask, of an even number of batches.
    """

    def __init__(self, iterator):
        super().__init__()
        self._iterator = iterator

    def __len__(self):
        return len(self._iterator)

    def __getitem__(self, number):
        last = len(self) - 2
        if number >= last:  # 0 after 1, not before it
            return self._iterator[last + 1 - number]
        return self._iterator[last - number + 2 * (number % 2)]

    def on_epoch_end(self):
        self._iterator.on_epoch_end()


class Steps(keras.callbacks.Callback):
    """Waits after each step, as for a network on a GPU, and notes the seconds of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        raise_if_seen()
        time.sleep(STEP)

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self._start


class Fit(Study):
    """Trains a network that costs next to nothing, from files, with a step of some length."""

    def prepare(self):
        options = self.options
        plan = QUICK if options.quick else FULL
        plan = replace(plan, rounds=options.rounds or plan.rounds)
        count = plan.batch_size * plan.batches
        if options.dogs_vs_cats:
            chosen = choose_files(options.dogs_vs_cats, count, options.scratch)
            count = len(chosen.paths) // (2 * plan.batch_size) * 2 * plan.batch_size
            chosen = chosen.first(count)
        else:
            chosen = make_files(count, options.scratch)
        self.plan = replace(plan, batches=count // plan.batch_size)
        self.images = with_one_hot_labels(chosen)
        self.case = replace(CASES["224"], from_files=True, batch_size=plan.batch_size)
        self.runs = [Run(way.key, way.label, None, plan.batch_size, count) for way in WAYS]

    def steps(self):
        return len(WAYS) * (1 + self.plan.rounds)

    def heading(self):
        return [
            f"images    {self.images.source}; at 224x224, in batches of {self.case.batch_size}",
            f"settings  {describe_settings(self.case.settings)}",
            f"training  on {keras.config.backend()}, a network that costs next to nothing; after "
            f"each step {1000 * STEP:.0f} ms of waiting",
        ]

    def _job(self, images, prefetch=None):
        case = replace(self.case, fastaug_settings=prefetch or {})
        return Job(case, images, self.options.cores, None, None)

    def compare(self):
        job = self._job(self.images.first(5 * self.case.batch_size // 2))
        return compare_batches(KerasFiles(job), [fastaug_with(self.options.cores, from_files=True)])

    def measure(self):
        self.network = tiny_network(self.case.size, self.images.y.shape[1])
        keras.utils.set_random_seed(SEED)
        with ExitStack() as stack:
            running = []
            for way, run in zip(WAYS, self.runs, strict=True):
                kind = fastaug_with(self.options.cores, from_files=True)
                contestant = stack.enter_context(
                    closing(kind(self._job(self.images, way.prefetch)))
                )
                iterator = stack.enter_context(contestant.dataset())
                running.append((way, run, Misleading(iterator) if way.misleads else iterator))
            for way, run, data in running:
                run.warm_up = self._train(way, data)
            settle_memory()
            for _ in range(self.plan.rounds):
                for way, run, data in running:
                    run.epochs.append(self._train(way, data))
                running.reverse()

    def _train(self, way, data):
        """Returns the seconds of the second of two epochs: in the first, backends look around."""
        self.progress.doing(f"study fit: {way.label}")
        steps = Steps()
        self.network.fit(data, epochs=2, verbose=0, callbacks=[steps], **way.fit)
        self.progress.done()
        return steps.seconds

    # ---- what was found ----

    @property
    def timed(self):
        """The runs with at least one epoch."""
        return [run for run in self.runs if run.epochs]

    def ratio(self, run, key):
        """How many times the time of another way a run takes, or None."""
        other = next((each for each in self.timed if each.key == key), None)
        return run.seconds / other.seconds if other and run.epochs else None

    def tables(self):
        if not self.timed:
            return []
        rows = [("", "s/epoch", "ms/batch", "to shuffle=False", "to prefetch=0")]
        for run in self.timed:
            ratios = (self.ratio(run, key) for key in ("sequence", "nothing"))
            rows.append(
                (
                    run.label,
                    f"{run.seconds:.3g}",
                    f"{1000 * run.seconds / self.plan.batches:.1f}",
                    *(f"{ratio:.2f}" if ratio else "" for ratio in ratios),
                )
            )
        return [
            *aligned(rows, "<>>>>"),
            "  s/epoch: the median; to ...: the ratio of the times",
            *self._verdict(),
        ]

    def _verdict(self):
        default = next((run for run in self.timed if run.key == "default"), None)
        if default is None or self.options.quick:
            return []
        kept = "kept" if self.ratio(default, "sequence") <= WANTED else "NOT kept"
        return [f"  fit(iterator): at most {WANTED} of shuffle=False wanted: {kept}"]

    def record(self):
        return {
            "images": self.images.source,
            "size": self.case.size,
            "settings": describe_settings(self.case.settings),
            "step_seconds": STEP,
            "batches": self.plan.batches,
            "runs": [
                {
                    **run.record(),
                    "time_to_sequence": self.ratio(run, "sequence"),
                    "time_to_no_prefetch": self.ratio(run, "nothing"),
                }
                for run in self.runs
            ],
        }

    def figures(self, caption):
        title = f"Training from JPEG files, 224x224, with steps of {1000 * STEP:.0f} ms"
        yield "pace", paces(title, self.timed, caption)
