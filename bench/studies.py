"""The registry of studies, and the one way in which all of them run.

A study prepares, checks, measures in rounds and reports; its own module says what each of these is.
One that is interrupted prints and writes what it has measured. A case of the comparison is a study,
too, which shares its progress and its files with the other cases.
"""

import importlib
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

# The name on the command line, and one line for people. The class has its name, in the module of
# that name.
STUDIES = {
    "generate": "batches of 32x32 images: time and speed-up against the number of workers",
    "train": "training the article's CIFAR-10 network: batch sizes, workers, load of CPU and GPU",
    "directory": "training from folders of JPEG files, 299x299, and the share of the pace from "
    "memory",
    "scaling": "images per second from JPEG files against the number of workers, and what is ideal",
    "fit": "training from JPEG files with long steps: the batches in the order of fit, and in "
    "others",
    "loaders": "an iterator as a dataset of TensorFlow and of PyTorch, and Ray Data: the share of "
    "its own pace",
    "sweep": "types, subclasses, functions and single images, 64x64: the ratio to Keras of each",
    "vocabulary": "ops, policies and mixes, 224x224, one thread: the ratio to other libraries",
}
SCHEMA = 1


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    quick: bool  # whether sizes are small and nothing is downloaded
    rounds: int | None  # rounds or timed epochs, or None for the study's own number
    cores: int  # the largest number of workers
    cifar10: object  # the user's own ImageSet, or None
    dogs_vs_cats: Path | None  # the user's own folder
    scratch: Path | None  # where files may be written that are not kept
    out: Path  # the folder for figures and JSON files
    machine: object  # function that describes the machine, as `machine.describe` does
    date: str  # when the run began
    counts: list[int] | None = None  # numbers of workers for `scaling`, or None for its own
    workers: int | None = None  # fastaug's argument in the cases, or None for its default
    pool: object = None  # the WorkerPool of the cases


def make_study(name, options):
    """Returns a study, ready to run."""
    kind = getattr(importlib.import_module(name), name.capitalize())
    return kind(name, STUDIES[name], options)


class Study:
    """Base class.

    Attributes:
        prepared: Whether `prepare` has come to its end: before, there is nothing to show.
        check: The comparison with Keras, or None before it was made.
        complete: Whether everything was measured.
        rounds: How often `in_turns` measures.
    """

    kind = "study"
    rounds: int

    def __init__(self, name, title, options):
        self.name, self.title, self.options = name, title, options
        self.check = None
        self.prepared = self.complete = False

    # ---- what a study has ----

    def prepare(self):
        """Loads the images."""
        raise NotImplementedError

    def steps(self):
        """Returns the number of steps that `measure` will count."""
        raise NotImplementedError

    def heading(self):
        """Returns lines that say what is measured, with which images."""
        raise NotImplementedError

    def compare(self):
        """Returns the Check of fastaug's batches against Keras's."""
        raise NotImplementedError

    def measure(self):
        """Measures, and keeps each figure as soon as there is one."""
        raise NotImplementedError

    def tables(self):
        """Returns lines of what was measured; none if nothing was."""
        raise NotImplementedError

    def record(self):
        """Returns what was measured as a dict for the JSON file."""
        raise NotImplementedError

    def figures(self, caption):
        """Yields pairs of a name and a matplotlib figure of what was measured."""
        return ()

    # ---- what all do ----

    @property
    def passed(self):
        """Whether the check passed; without it nothing is measured."""
        return self.check is not None and self.check.passed

    def doing(self, step, detail=""):
        """Says what is being done."""
        self.progress.doing(f"{self.kind} {self.name}: {step}", detail)

    def in_turns(self, running, measure, before=None):
        """Measures several in turns, so that a slow spell of the machine meets them all.

        Args:
            running: Pairs of what takes the figures, which has a label, and of what is measured.
            measure: Function that measures such a pair.
            before: Function to call before each round; it counts its own steps.
        """
        for number in range(1, self.rounds + 1):
            if before:
                self.doing(f"round {number}")
                before()
            for taker, measured in running:
                self.doing(f"round {number}", taker.label)
                measure(taker, measured)
                self.progress.done()
            running.reverse()

    def run(self):
        """Checks, measures, prints and writes."""
        from timing import Progress

        with closing(Progress(0)) as self.progress:
            try:
                self.carry_out(lambda: self.progress.begin(1 + self.steps()))
            finally:
                self._show()

    def carry_out(self, prepared):
        """Checks and measures.

        Args:
            prepared: Function to call when there are images, and a number of steps.
        """
        self._say(f"\n{self.kind} {self.name}: {self.title}")
        self.doing("images")
        self.prepare()
        self.prepared = True
        prepared()
        for line in self.heading():
            self._say(f"  {line}")
        self.doing("check")
        self.check = self.compare()
        self.progress.done()
        self._say(f"  check     {self.check}")
        if self.passed:
            self.measure()
            self.complete = True
        else:
            self._say("  not measured, since the images are not the same")

    def _say(self, text):
        from report import wrapped

        self.progress.say("\n".join(part for line in text.split("\n") for part in wrapped(line)))

    def show_tables(self):
        """Prints what was measured; returns whether there was something."""
        lines = self.tables() if self.prepared else []
        if lines:
            self.progress.say("\n" + "\n".join(lines))
        return bool(lines)

    def _show(self):
        from report import caption

        shown = self.show_tables()
        out, machine = self.options.out, self.options.machine()
        path = out / f"{self.name}.json"
        path.write_text(json.dumps(self.full_record(machine), indent=2) + "\n")
        self.progress.say(f"\nfigures of study {self.name}: {path}")
        for name, figure in self.figures(caption(machine)) if shown else ():
            path = out / f"{self.name}-{name}.png"
            figure.savefig(path, format="png")
            self.progress.say(f"picture: {path}")

    def full_record(self, machine=None):
        """Returns the study as a dict for a JSON file, with the machine where it is given."""
        return {
            "schema": SCHEMA,
            "study": self.name,
            "title": self.title,
            "complete": self.complete,
            "quick": self.options.quick,
            "date": self.options.date,
            **({"machine": machine} if machine else {}),
            "check": self.check and self.check.record(),
            **(self.record() if self.prepared else {}),
        }
