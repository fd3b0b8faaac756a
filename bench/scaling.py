"""The study `scaling`: images per second from JPEG files against the number of workers.

Beside it stands the ideal: cores that do nothing but decode and warp the same images. What that
takes of a core is measured between the rounds of fastaug, in one thread.
"""

import itertools
import os
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from statistics import median
from types import SimpleNamespace as Plan

import bare
import numpy as np
import psutil
from article import WorkerPool
from cases import DEFAULT_SETTINGS, DIRECTORY, Case
from check import compare_batches, find_other
from cifar10 import find_cifar10
from contestants import Job, Keras, fastaug_with
from files import choose_files, make_files, write_images
from keras_reference import load_img
from machine import usable_cores
from photos import ImageSet
from plots import against
from report import aligned, describe_settings, wrapped
from studies import Study
from timing import Timing, metered_round, settle_memory, time_round

DECODERS = ("processes", "threads")
QUALITY = 70  # files of the size of those of Dogs vs. Cats
BARE_SHARE = 0.4  # of a round's seconds, for each of the bare ones
DECODED = 2048  # files that are decoded for the ideal, at most
WARPED = 128  # images that are warped for it

LEGEND = (
    "rounds: the fastest and the slowest round's time against their median",
    "of ideal: share of min(workers, cores) that only decode and warp",
    "of fewer: share of the best smaller number of workers",
    "of imdecode: in times one thread of cv2.imdecode over bytes in memory",
    "busy: cores at work for it; useful: the bare work's share of their time",
    "parent, children: us of their processor time per image",
    "outside: the parent's beside the bare warp and, with threads, the bare decode; below 0 where "
    "it did only part of that itself",
)

PHOTOGRAPHS = replace(
    DIRECTORY,
    name="photographs",
    title="photographs at 299x299",
    settings=DEFAULT_SETTINGS,
    scale=1 / 255,
    offset=0.0,
)
SMALL = Case(
    "small", "32x32 images", 32, 16384, {"rescale": 1 / 255}, from_files=True, batch_size=64
)


# Numbers of workers; files of an epoch, photographs and small ones, and the images made for them;
# the least seconds of a round.
FULL = Plan(
    counts=(1, 2, 4, 8, 16), files=(8192, 16384), distinct=(384, 2048), rounds=5, seconds=0.8
)
QUICK = Plan(counts=(1, 2, 4), files=(512, 2048), distinct=(64, 256), rounds=2, seconds=0.2)


class Scaling(Study):
    """Times both decoders with each number of workers in turns, and the bare work between them.

    CIFAR-10 is not downloaded for it: only the size of the small images matters.
    """

    def prepare(self):
        options = self.options
        plan = QUICK if options.quick else FULL
        self.seconds, self.rounds = plan.seconds, options.rounds or plan.rounds
        self.counts = sorted(set(options.counts or plan.counts))
        self.cores = usable_cores()
        count, scratch = plan.files[0], options.scratch
        if options.dogs_vs_cats:
            photographs = choose_files(options.dogs_vs_cats, count, scratch)
        else:
            photographs = make_files(plan.distinct[0], scratch, QUALITY)
        small = options.cifar10 or find_cifar10(plan.distinct[1], download=False)
        self.sweeps = [
            Sweep(PHOTOGRAPHS, photographs.repeated(count), self.counts, self.cores),
            Sweep(SMALL, write_images(small, plan.files[1], scratch), self.counts, self.cores),
        ]

    def steps(self):
        runs = sum(len(sweep.runs) for sweep in self.sweeps)
        return runs + self.rounds * (runs + len(self.sweeps))

    def heading(self):
        return [
            line
            for sweep in self.sweeps
            for line in (
                f"images    {sweep.files.source}; at {sweep.case.size}x{sweep.case.size}, "
                f"in batches of {sweep.case.batch_size}",
                f"settings  {describe_settings(sweep.case.settings)}",
            )
        ]

    def compare(self):
        """Compares one worker with Keras, and every number of workers with that one."""
        total = None
        for sweep in self.sweeps:
            job = sweep.job(sweep.files).start()
            kinds = [kind_of(run) for run in sweep.runs]
            found = compare_batches(Keras(job), kinds[:1])
            if found.passed:
                found.problem = find_other(job, kinds)
            if not found.passed:
                return replace(found, problem=f"{sweep.case.title}: {found}")
            if total is not None:
                found.batches += total.batches
                found.difference = max(found.difference, total.difference)
            total = found
        return total

    def measure(self):
        with closing(WorkerPool(self.cores, bare.start_worker)) as pool:
            for sweep in self.sweeps:
                with ExitStack() as stack:
                    self._measure(sweep, pool.get(), stack)

    def _measure(self, sweep, pool, stack):
        def begin(kind, images):
            return stack.enter_context(closing(kind(sweep.job(images))))

        def measure_bare():
            sweep.measure_bare(pool, warp, BARE_SHARE * self.seconds)
            self.progress.done()

        warp = begin(fastaug_with(0), sweep.decoded())
        running = []
        for run in sweep.runs:
            self.doing(f"{sweep.case.title}: warm-up", run.label)
            running.append((run, begin(kind_of(run), sweep.files)))
            time_round(running[-1][1], self.seconds)  # starts every process
            self.progress.done()
        settle_memory()
        self.in_turns(
            running,
            lambda run, each: run.add(metered_round(each, self.seconds, METERS)),
            before=measure_bare,
        )

    # ---- what was found ----

    def tables(self):
        lines = [line for sweep in self.sweeps for line in sweep.table()]
        return lines and [*lines, *(line for text in LEGEND for line in wrapped(f"  {text}", 4))]

    def record(self):
        sweeps = [sweep.record() for sweep in self.sweeps]
        return {"cores": self.cores, "counts": self.counts, "sweeps": sweeps}

    def figures(self, caption):
        for sweep in self.sweeps:
            if sweep.timed:
                yield sweep.case.name, sweep.figure(caption)


@dataclass
class Run:
    """One decoder with a number of workers, and the microseconds per image of its rounds."""

    decoder: str
    workers: int
    wall: Timing = field(default_factory=Timing)
    parent: Timing = field(default_factory=Timing)  # processor time of this process
    children: Timing = field(default_factory=Timing)  # that of all processes below it
    machine: Timing = field(default_factory=Timing)  # that of all programs on the machine

    @property
    def label(self):
        """The run for people."""
        return f"{self.decoder}, workers={self.workers}"

    @property
    def others(self):
        """The number of cores that worked for other programs, a figure for each round."""
        times = (timing.rounds for timing in (self.machine, self.parent, self.children, self.wall))
        return [
            (machine - parent - children) / wall
            for machine, parent, children, wall in zip(*times, strict=True)
        ]

    def add(self, spent):
        """Takes the microseconds per image of a round: of the clock and of METERS."""
        timings = (self.wall, self.parent, self.children, self.machine)
        for timing, us in zip(timings, spent, strict=True):
            timing.rounds.append(us)


class Sweep:
    """One set of files with every decoder and number of workers.

    Attributes:
        runs: A Run for each decoder and number of workers.
        bare: What images take of a core's time: `decode`, a file that is read and decoded;
            `imdecode`, OpenCV's decoder alone, over bytes in memory; `crowd`, the first again,
            while every core does the same; `warp`, fastaug in the calling thread, from an array.
    """

    def __init__(self, case, files, counts, cores):
        self.case, self.files, self.cores = case, files, cores
        self.runs = [Run(*values) for values in itertools.product(DECODERS, counts)]
        self.bare = {name: Timing() for name in ("decode", "imdecode", "crowd", "warp")}

    def job(self, images):
        """Returns the Job of contestants over some images."""
        return Job(self.case, images, self.cores)

    def decoded(self):
        """Returns some of the files' images as an ImageSet."""
        size = (self.case.size, self.case.size)
        x = np.stack([load_img(path, target_size=size) for path in self.files.paths[:WARPED]])
        return ImageSet(x, self.files.y[: len(x)], self.files.source)

    def measure_bare(self, pool, warp, seconds):
        """Measures a round of each bare work, of so many seconds at least.

        Args:
            pool: A `multiprocessing.Pool` with a process for each core.
            warp: fastaug in the calling thread, as a contestant.
            seconds: The seconds.
        """
        task = ([str(path) for path in self.files.paths[:DECODED]], seconds)
        decode, imdecode = pool.apply(bare.time_decoding, task)
        together = pool.starmap(bare.time_decoding, [task] * self.cores, chunksize=1)
        crowd = sum(each for each, _ in together) / self.cores
        found = (decode, imdecode, crowd, time_round(warp, seconds, time.thread_time))
        for timing, us in zip(self.bare.values(), found, strict=True):
            timing.rounds.append(us)

    # ---- what was found ----

    @property
    def timed(self):
        """The runs with at least one round."""
        return [run for run in self.runs if run.wall.rounds]

    def figures_of(self, run):
        """Returns what is known of a run, as a dict for the JSON file."""
        us = {name: timing.us_per_image for name, timing in self.bare.items()}
        parent, children = run.parent.us_per_image, run.children.us_per_image
        speed = run.wall.images_per_second
        ideal = min(run.workers, self.cores) * 1e6 / (us["decode"] + us["warp"])
        fewer = [
            each.wall.images_per_second
            for each in self.timed
            if each.decoder == run.decoder and each.workers < run.workers
        ]
        in_parent = us["warp"] + us["decode"] * (run.decoder == "threads")
        return {
            "decoder": run.decoder,
            "workers": run.workers,
            "images_per_second": speed,
            "ideal_images_per_second": ideal,
            "of_ideal": speed / ideal,
            "of_best_with_fewer": speed / max(fewer) if fewer else None,
            "of_imdecode": speed * us["imdecode"] / 1e6,
            "busy_cores": (parent + children) / run.wall.us_per_image,
            "useful": (us["decode"] + us["warp"]) / (parent + children),
            "cores_of_other_programs": median(run.others),
            "parent_us_per_image": parent,
            "children_us_per_image": children,
            "outside_us_per_image": parent - in_parent,
            "rounds_us_per_image": run.wall.rounds,
            "rounds_parent_us_per_image": run.parent.rounds,
            "rounds_children_us_per_image": run.children.rounds,
        }

    def record(self):
        """Returns the sweep as a dict for the JSON file."""
        return {
            "name": self.case.name,
            "images": self.files.source,
            "size": self.case.size,
            "batch_size": self.case.batch_size,
            "settings": describe_settings(self.case.settings),
            "bare": {
                name: {"us_per_image": timing.us_per_image, "rounds_us_per_image": timing.rounds}
                for name, timing in self.bare.items()
                if timing.rounds
            },
            "runs": [self.figures_of(run) for run in self.timed],
        }

    def table(self):
        """Returns the lines of the table, none if nothing was timed."""
        if not self.timed:
            return []
        us = {name: timing.us_per_image for name, timing in self.bare.items()}
        others = median(other for run in self.timed for other in run.others)
        heading = ("decoder", "workers", "images/s", "rounds", "of ideal", "of fewer")
        heading += ("of imdecode", "busy", "useful", "parent", "children", "outside")
        return [
            f"  {self.case.title}: bare work, us of processor time per image: "
            f"decode {us['decode']:.4g}, warp {us['warp']:.4g};",
            f"  imdecode alone {us['imdecode']:.4g}; decode while every core decodes "
            f"{us['crowd']:.4g}; other programs had {others:.2g} of {self.cores} cores",
            *aligned([heading, *map(self._cells, self.timed)], "<" + ">" * (len(heading) - 1)),
            "",
        ]

    def _cells(self, run):
        found = self.figures_of(run)
        low, high = run.wall.spread
        fewer = found["of_best_with_fewer"]
        return (
            run.decoder,
            str(run.workers),
            f"{found['images_per_second']:,.0f}",
            f"{low:+.0f} .. {high:+.0f} %",
            f"{found['of_ideal']:.2f}",
            "" if fewer is None else f"{fewer:.2f}",
            *(f"{found[name]:.2f}" for name in ("of_imdecode", "busy_cores", "useful")),
            *(f"{found[f'{part}_us_per_image']:.1f}" for part in ("parent", "children", "outside")),
        )

    def figure(self, caption):
        """Returns the matplotlib figure of the sweep."""
        found, lines = [self.figures_of(run) for run in self.timed], []
        for decoder in DECODERS:
            of = {f["workers"]: f["images_per_second"] for f in found if f["decoder"] == decoder}
            lines.append((decoder, f'decoder="{decoder}"', list(of), list(of.values())))
        ideal = {each["workers"]: each["ideal_images_per_second"] for each in found}
        label = f"ideal: up to {self.cores} cores that only decode and warp"
        lines.append(("ideal", label, list(ideal), list(ideal.values())))
        title = f"Images per second from files: {self.case.title}"
        alone = (self.bare["imdecode"].images_per_second, "cv2.imdecode alone, one thread")
        return against("workers", title, lines, "images per second", caption, dashed=alone)


def kind_of(run):
    """Returns fastaug with a run's decoder and number of workers, as a contestant."""
    return fastaug_with(run.workers, decoder=run.decoder)


def children_time():
    """Returns the seconds of processor time of all processes below this one, dead or alive."""
    ended = os.times()
    total = ended.children_user + ended.children_system
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return total


def machine_time():
    """Returns the seconds of processor time of all programs on the machine."""
    times = psutil.cpu_times()
    kinds = ("user", "nice", "system", "irq", "softirq", "steal")  # as far as the system has them
    return sum(getattr(times, kind, 0) for kind in kinds)


METERS = (time.process_time, children_time, machine_time)
