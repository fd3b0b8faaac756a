"""The study `engines`: the fused warp and OpenCV's, wherever there is a choice between the two."""

import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import product

import numpy as np
from cases import CASES
from check import Check, compare_batches
from contestants import Fastaug, Job, Keras
from photos import make_set
from plots import against
from report import aligned, describe_settings
from studies import Study
from timing import Timing, first_batch, settle_memory, time_round

from fastaug.keras_api.warp import choose

ENGINES = ("fused", "opencv")
BORDERS = ("nearest", "reflect", "mirror", "grid-wrap")
CHANNELS = (1, 3, 4)
SIZES = (16, 32, 64, 128, 224, 256)
ROUNDS, SECONDS = 10, 0.1
QUICK_BORDERS, QUICK_SIZES = ("nearest", "reflect"), (16, 256)
QUICK_ROUNDS, QUICK_SECONDS = 2, 0.01
CLEARLY = 1.05  # how many times as fast; less is the machine's noise


class Engines(Study):
    """Times both engines in turns, at every size, number of channels and border.

    Both are fastaug's iterator, with the same images and the same draws, in the calling thread,
    whose processor time is taken: other programs have little part in it.
    """

    def prepare(self):
        options = self.options
        quick = options.quick
        self.rounds = options.rounds or (QUICK_ROUNDS if quick else ROUNDS)
        self.seconds = QUICK_SECONDS if quick else SECONDS
        borders, sizes = (QUICK_BORDERS, QUICK_SIZES) if quick else (BORDERS, SIZES)
        self.sets = {}
        for size in sizes:
            images = make_set(size, 64 if quick else min(1024, 2**22 // size**2))
            for channels in CHANNELS:
                self.sets[size, channels] = _with_channels(images, channels)
        self.points = [Point(*values) for values in product(borders, CHANNELS, sizes)]

    def steps(self):
        return len(self.points) * (1 + len(ENGINES) * self.rounds)

    def heading(self):
        return [
            f"images    crops of photographs, in batches of {CASES['32'].batch_size}",
            f"settings  {describe_settings(CASES['32'].settings)}; each fill_mode in its place",
            "engines   fastaug with warp='fused' and warp='opencv', one thread: workers=0",
        ]

    def _job(self, point, batch_size=None, count=None):
        case = CASES["32"]
        case = replace(
            case,
            size=point.size,
            settings={**case.settings, "fill_mode": point.border},
            batch_size=batch_size or case.batch_size,
        )
        return Job(case, self.sets[point.size, point.channels].first(count), 1, None, None)

    def compare(self):
        total = Check(difference=0.0, labels_equal=True)
        for point in self.points:
            keras = Keras(self._job(point, batch_size=8, count=20))
            found = compare_batches(keras, map(fastaug_by, ENGINES))
            if not found.passed:
                return replace(found, problem=f"{point}: {found}")
            total.batches += found.batches
            total.difference = max(total.difference, found.difference)
            self.progress.done()
        return total

    def measure(self):
        for point in self.points:
            self.progress.doing(f"study engines: {point}")
            with ExitStack() as stack:
                job = self._job(point)
                running = [(fastaug_by(engine)(job), point.timings[engine]) for engine in ENGINES]
                for contestant, _ in running:
                    stack.callback(contestant.close)
                    first_batch(contestant)
                settle_memory()
                for _ in range(self.rounds):
                    for contestant, timing in running:
                        timing.rounds.append(time_round(contestant, self.seconds, time.thread_time))
                        self.progress.done()
                    running.reverse()

    # ---- what was found ----

    @property
    def timed(self):
        """The points at which both engines have a round."""
        return [point for point in self.points if all(t.rounds for t in point.timings.values())]

    def tables(self):
        timed = self.timed
        if not timed:
            return []
        heading = ("border", "channels", "size", "us/image fused", "us/image opencv", "ratio")
        rows = [(*heading, "auto takes"), *(point.cells() for point in timed)]
        slower = [point for point in timed if point.auto_is_slower]
        where = ", ".join(f"{point} ({point.ratio:.2f})" for point in slower)
        return [
            *aligned(rows, "<>>>>><"),
            f"  us/image: processor time, the fastest of {self.rounds} rounds; "
            "ratio: opencv's time to fused's;",
            "  images with corners too far outside for OpenCV are warped by the fused one in both",
            "  auto takes the faster engine "
            + (f"everywhere but at {where}" if slower else "everywhere")
            + f" (differences up to {100 * (CLEARLY - 1):.0f} % aside)",
        ]

    def record(self):
        return {
            "settings": describe_settings(CASES["32"].settings),
            "auto_is_faster_everywhere": not any(point.auto_is_slower for point in self.timed),
            "points": [point.record() for point in self.timed],
        }

    def figures(self, caption):
        for border in dict.fromkeys(point.border for point in self.timed):
            lines = []
            for channels in CHANNELS:
                found = [p for p in self.timed if (p.border, p.channels) == (border, channels)]
                sizes, ratios = [p.size for p in found], [p.ratio for p in found]
                label = f"opencv, {channels} channel" + "s" * (channels > 1)
                lines.append((None, label, sizes, ratios))
            yield (
                border,
                against(
                    "height and width in pixels",
                    f'OpenCV\'s warp against the fused one, fill_mode="{border}"',
                    lines,
                    "time, in times that of the fused warp",
                    caption,
                    dashed=(1, "fused"),
                ),
            )


class Point:
    """One border, number of channels and size, and the rounds of both engines there."""

    def __init__(self, border, channels, size):
        self.border, self.channels, self.size = border, channels, size
        self.timings = {engine: Timing() for engine in ENGINES}
        taken = choose("auto", 1, border, (size, size, channels))
        self.auto = "fused" if taken is None else "opencv"

    def __str__(self):
        return f"{self.size}x{self.size}x{self.channels} {self.border}"

    def fastest(self, engine):
        """Returns an engine's fastest round, which other programs disturbed the least."""
        return min(self.timings[engine].rounds)

    @property
    def ratio(self):
        """OpenCV's time to the fused warp's."""
        return self.fastest("opencv") / self.fastest("fused")

    @property
    def auto_is_slower(self):
        """Whether the engine that 'auto' leaves is clearly faster."""
        ahead = 1 / self.ratio if self.auto == "fused" else self.ratio
        return ahead > CLEARLY

    def cells(self):
        """Returns the point's row of the table."""
        return (
            self.border,
            str(self.channels),
            str(self.size),
            *(f"{self.fastest(engine):.2f}" for engine in ENGINES),
            f"{self.ratio:.2f}",
            self.auto,
        )

    def record(self):
        """Returns the point as a dict for the JSON file."""
        return {
            "border": self.border,
            "channels": self.channels,
            "size": self.size,
            "us_per_image": {engine: self.fastest(engine) for engine in ENGINES},
            "rounds_us_per_image": {engine: self.timings[engine].rounds for engine in ENGINES},
            "ratio": self.ratio,
            "auto": self.auto,
            "auto_is_slower": self.auto_is_slower,
        }


def fastaug_by(engine):
    """Returns fastaug in the calling thread with an engine, as a contestant."""

    def settings(self, job):
        return {**job.case.settings, "warp": engine}

    members = {"workers": 0, "label": f"fastaug, {engine}", "settings": settings}
    return type("FastaugBy", (Fastaug,), members)


def _with_channels(images, channels):
    """Returns an ImageSet with the first channels only, or with the first one once more."""
    return replace(images, x=np.ascontiguousarray(images.x[..., [0, 1, 2, 0][:channels]]))
