"""The study behind each case: the throughput of all contestants on the same images and settings."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property

from check import compare_batches
from contestants import Job, contestants_of
from files import make_files
from photos import make_set
from report import aligned, describe_settings, format_ratio, wrapped
from studies import Study
from timing import Timing, first_batch, settle_memory, time_round

MUCH_SPREAD = 30  # percent that the rounds may differ by on a machine that is not busy
NOT_INSTALLED = "not installed"


@dataclass
class Row:
    """One contestant in one case, without what it needed to run."""

    kind: type  # its class
    uses: str  # the threads or processes at work, for people
    timing: Timing = field(default_factory=Timing)

    @property
    def label(self):
        """The contestant for people."""
        return self.kind.label


class Throughput(Study):
    """Times all contestants of a case.

    Args:
        case: The Case.
        options: The Options.
        files: The user's own FileSet, or None.

    Attributes:
        rows: A Row for each contestant that ran.
        left_out: The reason for each contestant that could not, by its label.
    """

    kind = "case"

    def __init__(self, case, options, files=None):
        super().__init__(case.name, case.title, options)
        self.case, self.rounds, self._files = case, case.rounds, files
        self.rows, self.left_out = [], {}

    def prepare(self):
        case, cifar10 = self.case, self.options.cifar10
        if not case.from_files:
            fits = cifar10 and case.size == cifar10.x.shape[1]
            self.images = cifar10 if fits else make_set(case.size, case.images)
        elif self._files:
            self.images = self._files.first(case.images)
        else:
            self.images = make_files(case.images, self.options.scratch)

    def steps(self):
        return len(contestants_of(self.case)) * (1 + self.rounds)

    def heading(self):
        return [
            f"images    {self.images.source}, in batches of {self.case.batch_size}",
            f"settings  {describe_settings(self.case.settings)}",
        ]

    @cached_property
    def _job(self):
        options = self.options
        return Job(self.case, self.images, options.cores, options.workers, options.pool)

    def compare(self):
        """Compares every way of running fastaug with Keras."""
        keras, *others = contestants_of(self.case)
        return compare_batches(keras(self._job.start()), [kind for kind in others if kind.ours])

    def measure(self):
        job, running = self._job, []
        with ExitStack() as stack:
            for kind in contestants_of(self.case):
                self.doing("preparing", kind.label)
                try:
                    contestant = kind(job)
                    stack.callback(contestant.close)
                    first_batch(contestant)
                except Exception as error:  # a peer that is missing or broken is left out
                    self.left_out[kind.label] = reason = _reason(error)
                    self._say(f"  left out  {kind.label}: {reason}")
                    self.progress.done(1 + self.rounds)
                else:
                    running.append((Row(kind, contestant.uses), contestant))
                    self.progress.done()
            self.rows = [row for row, _ in running]
            settle_memory()
            self.in_turns(
                running,
                lambda row, each: row.timing.rounds.append(time_round(each, self.case.seconds)),
            )

    # ---- what was found ----

    @property
    def timed(self):
        """The rows with at least one round."""
        return [row for row in self.rows if row.timing.rounds]

    def ratio(self, row):
        """How many times as fast as Keras a row is, or None where Keras was not timed."""
        keras = self.find("keras")
        return keras.timing.us_per_image / row.timing.us_per_image if keras else None

    def find(self, key):
        """Returns the timed row of a contestant, or None."""
        return next((row for row in self.timed if row.kind.key == key), None)

    @property
    def bound(self):
        """The row of whose throughput fastaug's is a share, or None."""
        return next((row for row in self.timed if row.kind.share), None)

    def share(self, row):
        """Which share of the bound's throughput fastaug has in a row; None for other rows."""
        if self.bound is None or not row.kind.ours:
            return None
        return self.bound.timing.us_per_image / row.timing.us_per_image

    @property
    def unsteady(self):
        """By how many percent the rounds of Keras or fastaug differ, or 0 if it is not much."""
        spreads = [
            100 * (max(row.timing.rounds) / min(row.timing.rounds) - 1)
            for row in self.timed
            if row.kind.ours or row.kind.key == "keras"
        ]
        widest = max(spreads, default=0)
        return widest if widest > MUCH_SPREAD else 0

    def tables(self):
        if not self.timed:
            return []
        rows = [("contestant", "uses", "images/s", "us/image", "vs Keras", "rounds")]
        rows += map(self._cells, self.timed)
        if bound := self.bound:
            column = [bound.kind.share, *(percent(self.share(row)) for row in self.timed)]
            rows = [(*row[:-1], cell, row[-1]) for row, cell in zip(rows, column, strict=True)]
        lines = aligned(rows, "<<" + ">" * len(rows[0][2:]))
        if differ := self.unsteady:
            lines.append(
                f"  the machine is busy: rounds differ by {differ:.0f} %, and the ratio is rough"
            )
        return lines

    def _cells(self, row):
        ratio, us = self.ratio(row), row.timing.us_per_image
        low, high = row.timing.spread
        return (
            row.label,
            row.uses,
            f"{row.timing.images_per_second:,.0f}",
            f"{us:,.{2 if us < 1000 else 0}f}",
            format_ratio(ratio) if ratio else "",
            f"{low:+.0f} .. {high:+.0f} %",
        )

    def full_record(self, machine=None):
        case = self.case
        return {
            "name": case.name,
            "title": case.title,
            "images": self.images.source if self.prepared else None,
            "size": case.size,
            "batch_size": case.batch_size,
            "seconds_per_round": case.seconds,
            "settings": describe_settings(case.settings),
            "check": self.check and self.check.record(),
            "left_out": self.left_out,
            "contestants": [
                {
                    "key": row.kind.key,
                    "label": row.label,
                    "note": "; ".join(row.kind.notes_of(case)) or None,
                    "uses": row.uses,
                    "images_per_second": row.timing.images_per_second,
                    "us_per_image": row.timing.us_per_image,
                    "ratio_to_keras": self.ratio(row),
                    "share_of_floor": self.share(row),
                    "spread_percent": row.timing.spread,
                    "rounds_us_per_image": row.timing.rounds,
                }
                for row in self.timed
            ],
        }


def _reason(error):
    if isinstance(error, ImportError):
        return f"{NOT_INSTALLED} ({error})"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def percent(share):
    """Returns a share as text; nothing for None."""
    return f"{100 * share:.0f} %" if share else ""


def notes(cases):
    """Returns lines on how to read the tables, and what each contestant does otherwise."""
    lines = [
        "us/image: median of the rounds; rounds: the fastest and the slowest round's time "
        "against that median"
    ]
    lines += [
        f"{row.label}: {note}"
        for case in cases
        for row in case.timed
        for note in row.kind.notes_of(case.case)
    ]
    return [part for line in dict.fromkeys(lines) for part in wrapped(line, 2)]


def summary(cases):
    """Returns lines on how many times as fast as Keras fastaug is, none where nobody knows."""
    rows = [
        (case.title, format_ratio(ratio))
        for case in cases
        if (row := case.find("fastaug")) and (ratio := case.ratio(row))
    ]
    heading = "fastaug on every core, times Keras ImageDataGenerator:"
    return rows and [heading, *aligned(rows, "<>")]


def missing(cases):
    """Returns the labels of the contestants that were not installed."""
    return sorted(
        {
            label
            for case in cases
            for label, reason in case.left_out.items()
            if reason.startswith(NOT_INSTALLED)
        }
    )
