"""The registry of studies, and what each does beside measuring: progress, tables, files.

A study measures more than a case does, and is run only when it is named. One that is interrupted
prints and writes what it has measured.
"""

import importlib
import json
from dataclasses import dataclass
from pathlib import Path

# The name on the command line: the module, its class, and one line for people.
STUDIES = {
    "generate": (
        "generate",
        "Generate",
        "batches of 32x32 images: time and speed-up against the number of workers",
    ),
    "train": (
        "train",
        "Train",
        "training the article's CIFAR-10 network: batch sizes, workers, load of CPU and GPU",
    ),
    "directory": (
        "directory",
        "Directory",
        "training from folders of JPEG files, 299x299, and the share of the pace from memory",
    ),
    "engines": (
        "engines",
        "Engines",
        "the fused warp and OpenCV's at every size that both do: which one warp='auto' takes",
    ),
    "scaling": (
        "scaling",
        "Scaling",
        "images per second from JPEG files against the number of workers, and what is ideal",
    ),
    "fit": (
        "fit",
        "Fit",
        "training from JPEG files with long steps: the batches in the order of fit, and in others",
    ),
    "sweep": (
        "sweep",
        "Sweep",
        "types, subclasses, functions and single images, 64x64: the ratio to Keras of each",
    ),
}
SCHEMA = 1


@dataclass(frozen=True)
class Options:
    """What the command line says about studies.

    Attributes:
        quick: Whether sizes are small and nothing is downloaded.
        rounds: Rounds or timed epochs, or None for the study's own number.
        cores: The largest number of workers.
        cifar10: The user's own ImageSet, or None.
        dogs_vs_cats: The user's own folder, or None.
        scratch: Where files may be written that are not kept.
        out: The folder for figures and JSON files.
        machine: Function that describes the machine, as `machine.describe` does.
        date: When the run began.
        counts: Numbers of workers for the study `scaling`, or None for its own.
    """

    quick: bool
    rounds: int | None
    cores: int
    cifar10: object
    dogs_vs_cats: Path | None
    scratch: Path | None
    out: Path
    machine: object
    date: str
    counts: list[int] | None = None


def make_study(name, options):
    """Returns a study, ready to run."""
    module, kind, title = STUDIES[name]
    return getattr(importlib.import_module(module), kind)(name, title, options)


class Study:
    """Base class.

    Attributes:
        prepared: Whether `prepare` has come to its end: before, there is nothing to show.
        check: The comparison with Keras, or None before it was made.
        complete: Whether everything was measured.
    """

    def __init__(self, name, title, options):
        self.name, self.title, self.options = name, title, options
        self.check = None
        self.prepared = self.complete = False

    # ---- what a study has ----

    def steps(self):
        """Returns the number of steps that `measure` will count, beside the check."""
        raise NotImplementedError

    def prepare(self):
        """Loads the images."""
        raise NotImplementedError

    def compare(self):
        """Returns the Check of fastaug's batches against Keras's."""
        raise NotImplementedError

    def measure(self):
        """Measures, and keeps each figure as soon as there is one."""
        raise NotImplementedError

    def heading(self):
        """Returns lines that say what is measured, with which images."""
        raise NotImplementedError

    def tables(self):
        """Returns lines of what was measured; none if nothing was."""
        raise NotImplementedError

    def record(self):
        """Returns what was measured as a dict for the JSON file."""
        raise NotImplementedError

    def figures(self, caption):
        """Yields pairs of a name and a matplotlib figure of what was measured."""
        raise NotImplementedError

    # ---- what all do ----

    @property
    def passed(self):
        """Whether the check passed; without it nothing is measured."""
        return self.check is not None and self.check.passed

    def run(self):
        """Checks, measures, prints and writes."""
        from report import wrapped
        from timing import Progress

        self.progress = progress = Progress(0)
        print(f"\nstudy {self.name}: {self.title}", flush=True)
        try:
            progress.doing(f"study {self.name}: images")
            self.prepare()
            self.prepared = True
            progress.begin(1 + self.steps())
            for line in self.heading():
                progress.say("\n".join(wrapped(f"  {line}", 12)))
            progress.doing(f"study {self.name}: check")
            self.check = self.compare()
            progress.done()
            progress.say("\n".join(wrapped(f"  check     {self.check}", 12)))
            if self.passed:
                self.measure()
                self.complete = True
            else:
                progress.say("  not measured, since the images are not the same")
        finally:
            progress.close()
            self._show()

    def _show(self):
        from report import caption

        lines = self.tables() if self.prepared else []
        if lines:
            print("\n" + "\n".join(lines), flush=True)
        out, machine = self.options.out, self.options.machine()
        path = out / f"{self.name}.json"
        path.write_text(json.dumps(self.full_record(machine), indent=2) + "\n")
        print(f"\nfigures of study {self.name}: {path}")
        if lines:
            for name, figure in self.figures(caption(machine)):
                path = out / f"{self.name}-{name}.png"
                figure.savefig(path, format="png")
                print(f"picture: {path}")

    def full_record(self, machine=None):
        """Returns the study as a dict for a JSON file.

        Args:
            machine: The machine's description, for a file of this study alone.
        """
        check = self.check
        return {
            "schema": SCHEMA,
            "study": self.name,
            "title": self.title,
            "complete": self.complete,
            "quick": self.options.quick,
            "date": self.options.date,
            **({"machine": machine} if machine else {}),
            "check": None
            if check is None
            else {
                "passed": bool(check.passed),
                "largest_difference_of_255": check.difference,
                "problem": check.problem,
            },
            **(self.record() if self.prepared else {}),
        }
