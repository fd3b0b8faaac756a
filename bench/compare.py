"""Compares fastaug with Keras's ImageDataGenerator and with other ways to augment images.

Run it from the repository's root: python bench/compare.py

For every case it first checks that fastaug's batches are Keras's, and only then times the
contestants, one at a time and in turns, on the same images and settings. Named studies measure
more: python bench/compare.py generate train directory engines scaling fit sweep. Exit status: 0
when everything was checked and timed, 1 when a check failed or a needed package is missing, 2 for a
wrong argument, 130 after Ctrl-C, which keeps and prints what was measured.
"""

import argparse
import datetime
import gc
import os
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

# Nothing heavy is imported here: every worker process imports this file too.

NEEDED = ("cv2", "keras_reference", "skimage.data", "tqdm")
NEEDED_BY_STUDIES = ("matplotlib", "psutil")
INTERRUPTED = 130
OVERHEAD = 0.5  # seconds of a step beside its round, for the first estimate of the time left
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Rounds for each contestant.
        length: Part of each case's least length of a round.
        share: Part of each case's photographs that is made.
        quick: Whether cases take the batch size that they have for a quick run.
    """

    rounds: int
    length: float
    share: float
    quick: bool


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
    parser.add_argument(
        "positional",
        nargs="*",
        type=known,
        metavar="NAME",
        help=f"the cases and studies to run, of: {', '.join(names)} "
        f"(default: {' '.join(default_cases(cases))}; directory then without training)",
    )
    parser.add_argument(
        "--cases", nargs="+", type=known, default=[], metavar="NAME", help="the same as NAME"
    )
    parser.add_argument("--list", action="store_true", help="list cases and contestants, and end")
    parser.add_argument(
        "--cifar10",
        metavar="FILE.npz",
        help="images for what takes 32x32: x_train and y_train of this file",
    )
    parser.add_argument(
        "--dogs-vs-cats",
        metavar="DIR",
        help="files for the directory cases and scaling: a folder with a folder of JPEGs for each "
        "class, or with such a folder named train and, perhaps, one named validation",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        help=f"rounds, and epochs of training (default: {FULL.rounds}, fewer for the directory "
        "cases and the studies)",
    )
    parser.add_argument("--quick", action="store_true", help="short rounds and small image sets")
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="threads or processes of the contestants that use every core, and the most that "
        "studies try (default: all cores)",
    )
    parser.add_argument(
        "--counts",
        nargs="+",
        type=positive,
        metavar="N",
        help="the numbers of workers of the study scaling, which has more than there are cores "
        "(default: 1 2 4 8 16)",
    )
    parser.add_argument(
        "--png", type=Path, metavar="FILE", help="the picture of the cases (default: in --out)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="all figures of the run (default: in --out)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS,
        metavar="DIR",
        help="the folder for pictures and figures (default: bench/results)",
    )
    return parser


def positive(text):
    """Reads a whole number above nought."""
    with suppress(ValueError):
        if (number := int(text)) > 0:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")


def print_list(cases, studies):
    """Prints the registries of cases and studies, and who takes part."""
    from contestants import WITH_ARRAYS, WITH_FILES

    print("cases:")
    for case in cases.values():
        print(f"  {case.name:19}{case.title}" + " (not by default)" * (not case.by_default))
    print("studies:")
    for name, (_, _, title) in studies.items():
        print(f"  {name:19}{title}")
    for title, contestants in (("arrays", WITH_ARRAYS), ("files", WITH_FILES)):
        print(f"contestants with {title}:")
        for contestant in contestants:
            print(
                ": ".join([f"  {contestant.label}", *filter(None, ["; ".join(contestant.notes)])])
            )


class MissingPackageError(Exception):
    """A package without which nothing can be compared."""


def import_needed(studies):
    """Imports what the comparison cannot do without.

    Args:
        studies: Whether there are studies to run, which need more.

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
    """One run over the chosen cases.

    Args:
        args: The parsed command line.
        parser: Its parser, for errors found later.
        stack: An ExitStack that ends what the run starts.
    """

    def __init__(self, args, parser, stack):
        plan = QUICK if args.quick else FULL
        self.plan = replace(plan, rounds=args.rounds or plan.rounds)
        self.args = args
        self.parser = parser
        self.stack = stack
        self.results = []
        self.studies = []

    def run(self):
        """Checks and times; prints and writes. Returns the exit status."""
        from cases import CASES
        from machine import describe, usable_cores

        args = self.args
        cases = [self._planned(CASES[name]) for name in dict.fromkeys(args.cases)]
        self._make_folders()
        self._load_images(cases)
        self.cores = args.workers or usable_cores()
        if cases:
            self._start_pool()
        print("importing Keras and the other contestants", file=sys.stderr, flush=True)
        import_needed(bool(args.studies))
        from report import describe_machine, notes, summary

        self.options = {
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "rounds": self.plan.rounds,
            "workers": self.cores,
        }
        complete = False
        try:
            if cases:
                self._run_cases(cases)
            for name in args.studies:
                self._run_study(name)
            complete = True
        finally:
            self.machine = describe()
            if any(result.timed for result in self.results):
                print(f"\n{notes(self.results)}")
            self._say_who_is_missing()
            if text := summary(self.results):
                print(f"\n{text}")
            print(f"\nmeasured on {describe_machine(self.machine)}")
            self._write(complete)
        passed = [result.check.passed for result in self.results]
        return 0 if all(passed + [study.passed for study in self.studies]) else 1

    def _start_pool(self):
        from article import WorkerPool

        self.pool = WorkerPool(self.cores)  # comes up while this process imports, too
        self.stack.callback(self.pool.close)

    def _run_cases(self, cases):
        from timing import WARM_UP_SHARE, Progress

        steps = sum(2 + steps_of_timing(case) for case in cases)
        seconds = max(case.seconds for case in cases)
        self.progress = Progress(steps, seconds * (1 + WARM_UP_SHARE) + OVERHEAD)
        try:
            for case in cases:
                self._run_case(case)
        finally:
            self.progress.close()
            self.pool.close()

    def _run_study(self, name):
        from machine import describe
        from studies import Options, make_study

        args = self.args
        options = Options(
            quick=args.quick,
            rounds=args.rounds,
            cores=self.cores,
            cifar10=self.cifar10,
            dogs_vs_cats=args.dogs_vs_cats,
            scratch=self.scratch,
            out=args.out,
            machine=describe,
            date=self.options["date"],
            counts=args.counts,
        )
        study = make_study(name, options)
        self.studies.append(study)
        study.run()

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

    def _planned(self, case):
        """Returns a case as this run has it: with its rounds, images and a batch."""
        plan = self.plan
        batch_size = (plan.quick and case.quick_batch_size) or case.batch_size
        return replace(
            case,
            batch_size=batch_size,
            images=max(3 * batch_size, int(case.images * plan.share)),
            seconds=case.seconds * plan.length,
            rounds=plan.rounds
            if self.args.rounds
            else min(plan.rounds, case.rounds or plan.rounds),
        )

    def _load_images(self, cases):
        """Loads what the user gave, and makes the folder for files, removed at the end."""
        args = self.args
        self.cifar10 = self.files = self.scratch = None
        counts = [case.images for case in cases if case.from_files]
        if counts or args.studies:
            scratch = tempfile.TemporaryDirectory(prefix="fastaug-bench-")
            self.scratch = self.stack.enter_context(scratch)
        if args.cifar10:
            from photos import load_cifar10

            self.cifar10 = self._loaded("--cifar10", load_cifar10, args.cifar10)
        if args.dogs_vs_cats and (counts or args.studies):
            from files import choose_files

            count = max(counts, default=1)
            self.files = self._loaded(
                "--dogs-vs-cats", choose_files, args.dogs_vs_cats, count, self.scratch
            )

    def _loaded(self, option, load, *arguments):
        from photos import ImageFileError

        try:
            return load(*arguments)
        except ImageFileError as error:
            self.parser.error(f"{option} {error}")

    def _run_case(self, case):
        """Checks one case and, if that went well, times it; prints its table in any event."""
        from report import CaseResult, check_line, heading, table

        self.progress.doing(f"case {case.name}: images")
        images = self._images(case)
        result = CaseResult(case, images.source)
        self.results.append(result)
        self.progress.say(heading(result))
        self.progress.done()

        self.progress.doing(f"case {case.name}: check")
        result.check = self._check(case, images)
        self.progress.say(check_line(result))
        self.progress.done()
        if not result.check.passed:
            self.progress.say("  not timed, since the images are not the same")
            self.progress.done(steps_of_timing(case))
            return
        with ExitStack() as stack:
            try:
                self._time(result, self._job(case, images), stack)
            finally:
                if result.timed:
                    self.progress.say(table(result))

    def _images(self, case):
        from files import make_files
        from photos import make_set

        if case.from_files:
            if self.files:
                return self.files.first(case.images)
            return make_files(case.images, self.scratch)
        if self.cifar10 and case.size == self.cifar10.x.shape[1]:
            return self.cifar10
        return make_set(case.size, case.images)

    def _job(self, case, images):
        from contestants import Job

        return Job(case, images, self.cores, self.args.workers, self.pool)

    def _check(self, case, images):
        """Compares every way of running fastaug with Keras."""
        from check import compare_batches
        from contestants import contestants_of

        # Two batches and a half make an epoch, so a short batch and a new epoch are compared too.
        job = self._job(case, images.first(5 * case.batch_size // 2))
        keras, *others = contestants_of(case)
        return compare_batches(keras(job), [kind for kind in others if kind.ours])

    def _time(self, result, job, stack):
        """Times all contestants in turns, so that a slow spell of the machine meets them all."""
        from contestants import contestants_of
        from report import Row
        from timing import first_batch, settle_memory, time_round

        case = job.case
        name = f"case {case.name}"
        running = []
        for kind in contestants_of(case):
            self.progress.doing(f"{name}: preparing", kind.label)
            try:
                contestant = kind(job)
                stack.callback(contestant.close)
                first_batch(contestant)
            except Exception as error:  # a peer that is missing or broken is left out
                result.left_out[kind.label] = reason = _reason(error)
                self.progress.say(f"  left out  {kind.label}: {reason}")
                self.progress.done(1 + case.rounds)
            else:
                row = Row.of(kind, contestant.uses)
                result.rows.append(row)
                running.append((contestant, row))
                self.progress.done()
        settle_memory()
        for number in range(1, case.rounds + 1):
            for contestant, row in running:
                self.progress.doing(f"{name}: round {number}", contestant.label)
                row.timing.rounds.append(time_round(contestant, case.seconds))
                self.progress.done()

    def _say_who_is_missing(self):
        missing = {
            label
            for result in self.results
            for label, reason in result.left_out.items()
            if reason.startswith(NOT_INSTALLED)
        }
        if missing:
            names = ", ".join(sorted(missing))
            print(f'\nnot compared, as not installed: {names}; pip install ".[peers]" brings them')

    def _write(self, complete):
        from report import write_json, write_png

        studies = [study.full_record() for study in self.studies]
        write_json(self.args.json, self.results, self.machine, self.options, complete, studies)
        print(f"figures: {self.args.json}")
        if not (complete and any(result.timed for result in self.results)):
            return
        try:
            write_png(self.args.png, self.results, make_pictures(), self.machine)
        except ImportError as error:
            print(f"no picture: {error}")
        else:
            print(f"picture: {self.args.png}")


def steps_of_timing(case):
    """Returns the number of steps that the progress of timing a case counts."""
    from contestants import contestants_of

    return len(contestants_of(case)) * (1 + case.rounds)


NOT_INSTALLED = "not installed"


def _reason(error):
    if isinstance(error, ImportError):
        return f"{NOT_INSTALLED} ({error})"
    return f"{type(error).__name__}: {error}".splitlines()[0]


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
