"""Compares fastaug with Keras's ImageDataGenerator and with other ways to augment images.

Run it from the repository's root: python bench/compare.py

For every case it first checks that fastaug's batches are Keras's, and only then times the
contestants, one at a time and in turns, on the same images and settings. Named studies measure
more: python bench/compare.py generate train directory scaling fit sweep. Exit status: 0 when
everything was checked and timed, 1 when a check failed or a needed package is missing, 2 for a
wrong argument, 130 after Ctrl-C, which keeps and prints what was measured.
"""

import argparse
import datetime
import gc
import json
import os
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Plan

# Nothing heavy is imported here: every worker process imports this file too.

NEEDED = ("cv2", "keras_reference", "skimage.data", "tqdm")
NEEDED_BY_STUDIES = ("matplotlib", "psutil")
INTERRUPTED = 130
OVERHEAD = 0.5  # seconds of a step beside its round, for the first estimate of the time left
RESULTS = Path(__file__).parent / "results"
SCHEMA = 1


# Rounds of each contestant; which part of each case's least length of a round, and of its
# photographs; whether cases take the batch size that they have for a quick run.
FULL = Plan(rounds=5, length=1.0, share=1.0, quick=False)
QUICK = Plan(rounds=2, length=0.125, share=0.25, quick=True)


def main(arguments=None):
    """Runs the comparison; returns the exit status."""
    from cases import CASES
    from interrupts import remembered
    from studies import STUDIES

    parser = make_parser(CASES, STUDIES)
    args = parser.parse_args(arguments)
    if args.list:
        print_list(CASES, STUDIES)
        return 0
    name = "compare-quick" if args.quick else "compare"
    args.png = args.png or args.out / f"{name}.png"
    args.json = args.json or args.out / f"{name}.json"
    args.cases, args.studies = choose(args.positional + args.cases, CASES, STUDIES)
    with ExitStack() as stack:
        try:
            with remembered():
                return Comparison(args, parser, stack).run()
        except MissingPackageError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED


def default_cases(cases):
    """Returns the names of the cases that are run when none is named."""
    return [case.name for case in cases.values() if case.by_default]


def choose(names, cases, studies):
    """Returns the names of the cases and those of the studies to run.

    A study has the name of a case where it begins with that case.
    """
    if not names:
        return default_cases(cases), []
    names = dict.fromkeys(names)
    return [name for name in names if name in cases], [name for name in names if name in studies]


def make_parser(cases, studies):
    """Returns the parser of the command line."""
    names = list(dict.fromkeys([*cases, *studies]))

    def known(name):
        if name in names:
            return name
        raise argparse.ArgumentTypeError(f"{name!r} is not one of: {', '.join(names)}")

    parser = argparse.ArgumentParser(
        prog="python bench/compare.py",
        description="Compares fastaug with Keras's ImageDataGenerator and other ways to augment "
        "images: checks that the images are the same, then times.",
    )
    add = parser.add_argument
    add(
        "positional", nargs="*", type=known, metavar="NAME",
        help=f"the cases and studies to run, of: {', '.join(names)} "
        f"(default: {' '.join(default_cases(cases))}; directory then without training)",
    )  # fmt: skip
    add("--cases", nargs="+", type=known, default=[], metavar="NAME", help="the same as NAME")
    add("--list", action="store_true", help="list cases and contestants, and end")
    add(
        "--cifar10", metavar="FILE.npz",
        help="images for what takes 32x32: x_train and y_train of this file",
    )  # fmt: skip
    add(
        "--dogs-vs-cats", metavar="DIR",
        help="files for the directory cases and scaling: a folder with a folder of JPEGs for each "
        "class, or with such a folder named train and, perhaps, one named validation",
    )  # fmt: skip
    add(
        "--rounds", type=positive,
        help=f"rounds, and epochs of training (default: {FULL.rounds}, fewer for the directory "
        "cases and the studies)",
    )  # fmt: skip
    add("--quick", action="store_true", help="short rounds and small image sets")
    add(
        "--workers", type=positive, metavar="N",
        help="threads or processes of the contestants that use every core, and the most that "
        "studies try (default: all cores)",
    )  # fmt: skip
    add(
        "--counts", nargs="+", type=positive, metavar="N",
        help="the numbers of workers of the study scaling, which has more than there are cores "
        "(default: 1 2 4 8 16)",
    )  # fmt: skip
    add("--png", type=Path, metavar="FILE", help="the picture of the cases (default: in --out)")
    add("--json", type=Path, metavar="FILE", help="all figures of the run (default: in --out)")
    add(
        "--out", type=Path, default=RESULTS, metavar="DIR",
        help="the folder for pictures and figures (default: bench/results)",
    )  # fmt: skip
    return parser


def positive(text):
    """Reads a whole number above nought."""
    with suppress(ValueError):
        if (number := int(text)) > 0:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")


def print_list(cases, studies):
    """Prints the registries of cases and studies, and who takes part."""
    from contestants import KINDS

    print("cases:")
    for case in cases.values():
        print(f"  {case.name:19}{case.title}" + " (not by default)" * (not case.by_default))
    print("studies:")
    for name, title in studies.items():
        print(f"  {name:19}{title}")
    print("contestants:")
    for kind in KINDS:
        notes = [f"only {kind.takes[0]}"] * (len(kind.takes) == 1) + [*kind.notes]
        print("  " + ": ".join(filter(None, [kind.label, "; ".join(notes)])))


class MissingPackageError(Exception):
    """A package without which nothing can be compared."""


def import_needed(studies):
    """Imports what the comparison cannot do without, and what studies need where there are some.

    Raises:
        MissingPackageError: With what to do about it.
    """
    extra = "study" if studies else "bench"
    for name in (*NEEDED, *(NEEDED_BY_STUDIES if studies else ())):
        try:
            __import__(name)
        except ImportError as error:
            raise MissingPackageError(
                f"cannot compare: {error}\n"
                "Keras, a backend and the other packages of this comparison are installed by: "
                f'pip install ".[{extra}]" jax'
            ) from error
    try:
        import fastaug  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"cannot compare: {error}\nbuild and install fastaug first: pip install ."
        ) from error


class Comparison:
    """One run over the chosen cases and studies.

    Args:
        args: The parsed command line.
        parser: Its parser, for errors found later.
        stack: An ExitStack that ends what the run starts.
    """

    def __init__(self, args, parser, stack):
        self.args, self.parser, self.stack = args, parser, stack
        self.cases, self.studies = [], []

    def run(self):
        """Checks and times; prints and writes. Returns the exit status."""
        from cases import CASES
        from machine import usable_cores

        args = self.args
        cases = [self._planned(CASES[name]) for name in args.cases]
        self._make_folders()
        count = max((case.images for case in cases if case.from_files), default=0)
        self._load_images(count or bool(args.studies))
        self.cores, pool = args.workers or usable_cores(), None
        if cases:
            from article import WorkerPool

            pool = WorkerPool(self.cores)  # comes up while this process imports, too
            self.stack.callback(pool.close)
        print("importing Keras and the other contestants", file=sys.stderr, flush=True)
        import_needed(bool(args.studies))
        from studies import make_study

        options = self._options(pool)
        complete = False
        try:
            if cases:
                self._run_cases(cases, options)
                pool.close()
            for name in args.studies:
                self.studies.append(make_study(name, options))
                self.studies[-1].run()
            complete = True
        finally:
            self._report(options, complete)
        return 0 if all(study.passed for study in self.cases + self.studies) else 1

    def _planned(self, case):
        """Returns a case as this run has it: with its rounds, images and a batch."""
        plan = QUICK if self.args.quick else FULL
        batch_size = (plan.quick and case.quick_batch_size) or case.batch_size
        return replace(
            case,
            batch_size=batch_size,
            images=max(3 * batch_size, int(case.images * plan.share)),
            seconds=case.seconds * plan.length,
            rounds=self.args.rounds or min(plan.rounds, case.rounds or plan.rounds),
        )

    def _make_folders(self):
        """Makes the folders of the files to write, before minutes of work rather than after."""
        out = [self.args.out / "any.json"] if self.args.studies else []
        for path in (self.args.png, self.args.json, *out):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    raise IsADirectoryError(f"{path} is a directory")
            except OSError as error:
                self.parser.error(f"cannot write {path}: {error}")

    def _load_images(self, files):
        """Loads what the user gave, and makes the folder for files, removed at the end.

        Args:
            files: How many files are wanted at most, or 0.
        """
        args = self.args
        self.cifar10 = self.files = self.scratch = None
        if files:
            scratch = tempfile.TemporaryDirectory(prefix="fastaug-bench-")
            self.scratch = self.stack.enter_context(scratch)
        if args.cifar10:
            from photos import load_cifar10

            self.cifar10 = self._loaded("--cifar10", load_cifar10, args.cifar10)
        if args.dogs_vs_cats and files:
            from files import choose_files

            given = (args.dogs_vs_cats, files, self.scratch)
            self.files = self._loaded("--dogs-vs-cats", choose_files, *given)

    def _loaded(self, option, load, *arguments):
        from photos import ImageFileError

        try:
            return load(*arguments)
        except ImageFileError as error:
            self.parser.error(f"{option} {error}")

    def _options(self, pool):
        from machine import describe
        from studies import Options

        args = self.args
        return Options(
            quick=args.quick,
            rounds=args.rounds,
            cores=self.cores,
            cifar10=self.cifar10,
            dogs_vs_cats=args.dogs_vs_cats,
            scratch=self.scratch,
            out=args.out,
            machine=describe,
            date=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            counts=args.counts,
            workers=args.workers,
            pool=pool,
        )

    def _run_cases(self, cases, options):
        from throughput import Throughput
        from timing import WARM_UP_SHARE, Progress

        planned = [Throughput(case, options, self.files) for case in cases]
        steps = sum(2 + each.steps() for each in planned)
        seconds = max(case.seconds for case in cases)
        progress = Progress(steps, seconds * (1 + WARM_UP_SHARE) + OVERHEAD)
        self.stack.callback(progress.close)
        for each in planned:
            self.cases.append(each)
            each.progress = progress
            try:
                each.carry_out(progress.done)
            finally:
                each.show_tables()
            if not each.passed:
                progress.done(each.steps())
        progress.close()

    def _report(self, options, complete):
        """Prints how to read the tables, and writes the files."""
        from report import caption, describe_machine
        from throughput import missing, notes, summary

        machine, args = options.machine(), self.args
        timed = [case for case in self.cases if case.timed]
        if timed:
            print("", *notes(timed), sep="\n")
        if names := missing(self.cases):
            print(
                f"\nnot compared, as not installed: {', '.join(names)}; "
                'pip install ".[peers]" brings them'
            )
        if lines := summary(timed):
            print("", *lines, sep="\n")
        print(f"\nmeasured on {describe_machine(machine)}")
        report = {
            "schema": SCHEMA,
            "complete": complete,
            "date": options.date,
            "rounds": args.rounds or (QUICK if args.quick else FULL).rounds,
            "workers": self.cores,
            "machine": machine,
            "cases": [case.full_record() for case in self.cases],
            "studies": [study.full_record() for study in self.studies],
        }
        args.json.write_text(json.dumps(report, indent=2) + "\n")
        print(f"figures: {args.json}")
        if not (complete and timed):
            return
        try:
            from plots import write_png

            write_png(args.png, timed, make_pictures(), caption(machine))
        except ImportError as error:
            print(f"no picture: {error}")
        else:
            print(f"picture: {args.png}")


def make_pictures(rows=2, versions=7):
    """Returns rows of images: a photograph, then fastaug's versions of it."""
    import numpy as np
    from cases import CASES
    from photos import centre_crops

    from fastaug import ImageDataGenerator

    case = CASES["299"]
    generator = ImageDataGenerator(**case.settings, workers=0)
    pictures = []
    for seed, image in enumerate(centre_crops(case.size, rows)):
        repeated = np.repeat(image[None], versions, axis=0)
        iterator = generator.flow(repeated, batch_size=versions, shuffle=False, seed=seed)
        pictures.append([image, *next(iterator)])
        iterator.close()
    return pictures


def end(status):
    """Ends the program.

    After Ctrl-C at once: everything is written and closed by then, and JAX, interrupted while it
    compiles, would crash when the interpreter is taken apart.
    """
    if status == INTERRUPTED:
        gc.unfreeze()
        gc.collect()  # the pool's semaphores, which would else be said to be leaked
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    end(main())
