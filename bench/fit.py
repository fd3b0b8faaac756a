"""The study `fit`: what reading ahead is worth in `model.fit`, whose default is a random order."""

from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from cases import CASES
from check import compare_batches
from contestants import SEED, Job, Keras, fastaug_with
from files import choose_files, make_files
from keras_reference import PyDataset, keras
from networks import tiny_network
from plots import paces
from report import describe_settings
from runs import Clock, Run, RunsStudy, with_one_hot_labels
from timing import settle_memory

STEP = 0.05  # seconds
WANTED = 1.1  # times the time in sequence, at most
# batch size, batches in an epoch (an even number), rounds
FULL, QUICK = (64, 20, 5), (8, 6, 1)


@dataclass(frozen=True)
class Way:
    """One way to train from the files."""

    key: str  # name in the JSON file
    label: str  # the same for people
    fit: dict  # arguments of `fit`
    prefetch: dict  # fastaug's argument; empty: its default
    misleads: bool = False  # whether batches are asked for in an order that fastaug guesses wrong


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


class Fit(RunsStudy):
    """Trains a network that costs next to nothing, from files, with a step of some length."""

    headings = ("from", "s/epoch", "ms/batch", "to shuffle=False", "to prefetch=0")

    def prepare(self):
        options = self.options
        size, batches, rounds = QUICK if options.quick else FULL
        self.rounds = options.rounds or rounds
        if options.dogs_vs_cats:
            chosen = choose_files(options.dogs_vs_cats, size * batches, options.scratch)
            batches = len(chosen.paths) // (2 * size) * 2
            chosen = chosen.first(size * batches)
        else:
            chosen = make_files(size * batches, options.scratch)
        self.batches = batches
        self.images = with_one_hot_labels(chosen)
        self.case = replace(CASES["224"], from_files=True, batch_size=size)
        self.runs = [Run(way.key, way.label, None, size, size * batches) for way in WAYS]

    def steps(self):
        return len(WAYS) * (1 + self.rounds)

    def heading(self):
        return [
            f"images    {self.images.source}; at 224x224, in batches of {self.case.batch_size}",
            f"settings  {describe_settings(self.case.settings)}",
            f"training  on {keras.config.backend()}, a network that costs next to nothing; after "
            f"each step {1000 * STEP:.0f} ms of waiting",
        ]

    def compare(self):
        job = Job(self.case, self.images, self.options.cores).start()
        return compare_batches(Keras(job), [fastaug_with(self.options.cores)])

    def measure(self):
        self.network = tiny_network(self.case.size, self.images.y.shape[1])
        keras.utils.set_random_seed(SEED)
        kind, cores = fastaug_with(self.options.cores), self.options.cores
        with ExitStack() as stack:
            running = []
            for way, run in zip(WAYS, self.runs, strict=True):
                case = replace(self.case, fastaug_settings=way.prefetch)
                contestant = stack.enter_context(closing(kind(Job(case, self.images, cores))))
                iterator = stack.enter_context(contestant.dataset())
                running.append((run, (way, Misleading(iterator) if way.misleads else iterator)))
            for run, (way, data) in running:
                self.doing(f"warm-up: {way.label}")
                run.warm_up = self._train(way, data)
                self.progress.done()
            settle_memory()
            self.in_turns(running, lambda run, each: run.epochs.append(self._train(*each)))

    def _train(self, way, data):
        """Returns the seconds of the second of two epochs: in the first, backends look around."""
        found = []
        clock = Clock(lambda seconds, loss: found.append(seconds), STEP)
        self.network.fit(data, epochs=2, verbose=0, callbacks=[clock], **way.fit)
        return found[-1]

    # ---- what was found ----

    def ratios(self, run):
        names = {"time_to_sequence": "sequence", "time_to_no_prefetch": "nothing"}
        found = {name: self.ratio(run, key) for name, key in names.items()}
        return {name: faster and 1 / faster for name, faster in found.items()}

    def _cells(self, run):
        to = {name: f"{ratio:.2f}" if ratio else "" for name, ratio in self.ratios(run).items()}
        return super()._cells(run) | {
            "ms/batch": f"{1000 * run.seconds / self.batches:.1f}",
            "to shuffle=False": to["time_to_sequence"],
            "to prefetch=0": to["time_to_no_prefetch"],
        }

    def tables(self):
        if not self.timed:
            return []
        lines = [*self.runs_table(), "  s/epoch: the median; to ...: the ratio of the times"]
        default = self.find("default", self.case.batch_size)
        if default and not self.options.quick:
            kept = self.ratios(default)["time_to_sequence"] <= WANTED
            lines.append(
                f"  fit(iterator): at most {WANTED} of shuffle=False wanted: "
                f"{'kept' if kept else 'NOT kept'}"
            )
        return lines

    def record(self):
        return {
            "images": self.images.source,
            "size": self.case.size,
            "settings": describe_settings(self.case.settings),
            "step_seconds": STEP,
            "batches": self.batches,
            "runs": self.runs_record(),
        }

    def figures(self, caption):
        title = f"Training from JPEG files, 224x224, with steps of {1000 * STEP:.0f} ms"
        yield "pace", paces(title, self.timed, caption)
