"""Programs of the soak test: each plays one scenario and says what went wrong.

    soak.py ── a scenario ──► nursery ── fork ──► program ── walks, faults, checks
         ◄── what became of it ──┘   ◄── its end, its output, what it has left behind

The nursery has imported everything and has no threads, so a program costs a fork and not a start of
Python. It adopts what its programs leave behind, so it sees every orphan. It must never use
fastaug's threads or processes itself.

A program takes the batches of a few iterators, its walks, in the calling thread first: that says
what they have to be. Then it takes them again as the scenario asks for, while faults happen.
"""

import contextlib
import ctypes
import faulthandler
import gc
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings

import numpy as np
import trees
from PIL import Image
from scripts import WITHOUT_KERAS

import fastaug

#: Seconds after which a call that Ctrl-C interrupts has to be back; the machine may be busy.
PROMPT_SECONDS = 6.0

TARGET = (23, 31)
SIDE = 40  # of the images in arrays
FILES = 60

_PR_SET_CHILD_SUBREAPER = 36  # of <sys/prctl.h>


def warm():
    """Draw the images of the programs, and import what they need; starts no thread."""
    exec(WITHOUT_KERAS, {})  # it would take longer than all programs
    home = pathlib.Path(os.environ["TMPDIR"])
    Image.init()
    for k in range(FILES):
        suffix, mode, size = KINDS_OF_FILE[k % len(KINDS_OF_FILE)]
        path = trees.write(home, f"picture.{suffix}", k, mode, size)
        _pictures.append((suffix, path.read_bytes()))
        path.unlink()
    flow = {"settings": "geometry", "batch_size": 2, "shuffle": True, "seed": 1, "batches": 1}
    make_tree(2, home / "warm")
    with contextlib.redirect_stdout(sys.stderr):
        for data in ("files", "arrays"):
            Walk(0, flow | {"data": data}, home / "warm", 2).play_alone()
    threads = list(pathlib.Path("/proc/self/task").iterdir())
    assert len(threads) == 1, f"the nursery has {len(threads)} threads"


KINDS_OF_FILE = [
    ("jpg", "RGB", (20, 30)),
    ("png", "RGB", (20, 30)),
    ("jpg", "RGB", (180, 240)),
    ("jpg", "L", (30, 20)),
    ("bmp", "RGB", (24, 24)),
    ("jpg", "RGB", (23, 31)),
]
_pictures = []  # suffix and bytes of each


# ---------------------------------------------------------------------------- the data


def make_tree(count, root):
    """A folder for each file, so that a sample's label is its number."""
    for k in range(count):
        path = path_of(root, k)
        path.parent.mkdir(parents=True)
        path.write_bytes(_pictures[k][1])


def path_of(root, number):
    return root / f"c{number:02}" / f"f.{_pictures[number][0]}"


def images(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE + 7, 3), dtype=np.uint8)


class UserError(Exception):
    pass


def to_unit(x):
    return x / 127.5 - 1


@fastaug.elementwise
def to_unit_elementwise(x):
    return x / 127.5 - 1


def add_noise(x):
    return x + np.random.random()


class Failing:
    """A user's function that raises at some of its calls."""

    def __init__(self, calls):
        self.calls = set(calls)
        self.count = 0

    def __call__(self, x):
        self.count += 1
        if self.count in self.calls:
            raise UserError(f"at call {self.count}")
        return x / 255


SETTINGS = {
    "geometry": {"rotation_range": 30, "horizontal_flip": True, "rescale": 1 / 255},
    "colours": {"zoom_range": 0.2, "channel_shift_range": 20.0, "brightness_range": (0.6, 1.0)},
    "splines": {"rotation_range": 20, "interpolation_order": 3, "fill_mode": "reflect"},
    "samplewise": {"samplewise_center": True, "width_shift_range": 0.2, "shear_range": 9},
    "bytes": {"horizontal_flip": True, "rotation_range": 9, "dtype": "uint8"},
    "doubles": {"horizontal_flip": True, "rotation_range": 9, "dtype": "float64"},
    "channels_first": {"rotation_range": 9, "vertical_flip": True, "data_format": "channels_first"},
    "function": {"rotation_range": 9, "preprocessing_function": to_unit},
    "elementwise": {"rotation_range": 9, "preprocessing_function": to_unit_elementwise},
    "drawing function": {"rotation_range": 9, "preprocessing_function": add_noise},
    "failing function": {"rotation_range": 9},
}


def make_pool(kind):
    """A user's pool, and a function that ends it."""
    import concurrent.futures
    import multiprocessing.pool

    spawn = multiprocessing.get_context("spawn")
    if kind == "ThreadPool":
        pool = multiprocessing.pool.ThreadPool(2)
    elif kind == "Pool":
        pool = spawn.Pool(2)
    elif kind == "ThreadPoolExecutor":
        pool = concurrent.futures.ThreadPoolExecutor(2)
    elif kind == "ProcessPoolExecutor":
        pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=spawn)
    else:
        import loky

        pool = loky.ProcessPoolExecutor(2)
    return pool


def end_pool(pool):
    if hasattr(pool, "terminate"):
        pool.terminate()
        pool.join()
    else:
        pool.shutdown()


# ---------------------------------------------------------------------------- walks


#: Errors of files, by what has become of them.
ERRORS = {
    "delete": (FileNotFoundError,),
    "truncate": (OSError, SyntaxError, ValueError),
    "never answer": (FileNotFoundError, TimeoutError),  # for a moment there is none
    "crash": (OSError,),
    "stop one": (TimeoutError,),  # of any file, in a process that was stopped
}


class Failure(Exception):
    """Something is not as it has to be."""


class Walk:
    """The batches of one iterator, and what they have to be.

    Args:
        number: Which walk of the program it is.
        spec: What the scenario says of it.
        root: Folder of the files.
        count: Number of samples.
    """

    def __init__(self, number, spec, root, count):
        self.number, self.spec, self.root, self.count = number, spec, root, count
        self.expected = []  # images and labels of each batch, or an error
        self.iterator = None
        self.place = 0
        self.taken = 0
        self.ended = False
        self.must_fail = set()
        self._spare = []
        self._x = images(count, number) if spec["data"] == "arrays" else None
        self.lock, self.found = threading.Lock(), []  # for a walk of several threads

    @property
    def of_files(self):
        return self.spec["data"] == "files"

    @property
    def through_processes(self):
        """Whether decode processes of our own read its files."""
        return (
            self.of_files
            and "pool" not in self.spec
            and self.spec["decoder"] == "processes"
            and (self.spec["workers"] > 0)
        )

    def opened(self, **options):
        """A new iterator; the options go to the generator in place of those of the scenario."""
        spec, settings = self.spec, dict(SETTINGS[self.spec["settings"]])
        if spec["settings"] == "failing function":
            settings["preprocessing_function"] = Failing(spec["calls"])
        generator = fastaug.ImageDataGenerator(**settings, **options)
        flow = {key: spec[key] for key in ("batch_size", "shuffle", "seed")}
        if not self.of_files:
            return generator.flow(self._x, np.arange(self.count), **flow)
        own = {key: spec[key] for key in ("decoder", "on_error", "timeout") if key in spec}
        return generator.flow_from_directory(
            str(self.root), target_size=TARGET, class_mode="sparse", **flow, **own
        )

    def play_alone(self):
        """Take the batches undisturbed, in the calling thread."""
        self.iterator = self.opened(workers=0, prefetch=0)
        self.restart()
        while self.place < self.spec["batches"]:
            try:
                self.expected.append(self._next())
            except UserError as error:
                self.expected.append(error)
            self.place += 1
        self.iterator = None

    def prepare(self, pool, number):
        """Make iterators for as many beginnings: later, some files may not be found any more."""
        options = {"prefetch": self.spec["prefetch"]}
        if pool is not None:
            options["pool"] = pool
        else:
            options["workers"] = self.spec["workers"]
        self._spare = [self.opened(**options) for _ in range(number)]

    def begin(self, spoiled):
        """Begin with a new iterator.

        Args:
            spoiled: Numbers of the files that cannot be read.
        """
        self.must_fail = set(spoiled) if self.of_files else set()
        self.iterator = self._spare.pop()
        self.restart()

    def end(self):
        """Drop all iterators."""
        self.iterator = None
        self._spare = []

    def restart(self):
        """Go back to the first batch."""
        self.place = 0
        self.iterator.reset()
        self.iterator.total_batches_seen = 0
        self.iterator.index_array = None
        function = self.iterator.image_data_generator.preprocessing_function
        if isinstance(function, Failing):
            function.count = 0
        if self.spec["seed"] is None:
            np.random.seed(5)

    def _next(self):
        if self.spec.get("ask") == "items":
            return self.iterator[self.place % len(self.iterator)]
        return next(self.iterator)

    def is_over(self):
        return self.ended or self.place >= self.spec["batches"]

    def ask(self):
        """Ask for the next batch; an interrupt passes through.

        Returns:
            `(batch, error)`, one of which is None.
        """
        try:
            return self._next(), None
        except Exception as error:
            return None, error

    def check(self, outcome, may_fail, pool_died=False):
        """Check what `ask` has returned, and step on.

        Args:
            outcome: That.
            may_fail: `{number: types of error}` of the files that may not be readable by now.
            pool_died: Whether a process of the user's pool was killed.

        Raises:
            Failure: If it is not what it has to be.
        """
        batch, error = outcome
        place, expected = self.place, self.expected[self.place]
        self.place += 1
        self.taken += 1
        if error is not None:
            self._check_error(error, place, expected, may_fail, pool_died)
        else:
            self._check_batch(batch, place, expected, may_fail)

    def _where(self, place):
        return f"walk {self.number}, batch {place}"

    def _check_error(self, error, place, expected, may_fail, pool_died):
        text = f"{type(error).__name__}: {error}"
        if isinstance(expected, UserError):
            if type(error) is UserError and str(error) == str(expected):
                return
            raise Failure(f"{self._where(place)}: {text} instead of {expected!r}") from error
        if pool_died and type(error) is RuntimeError and "pool" in str(error):
            self.ended = True  # it is the user's to repair
            return
        for number in map(int, expected[1]):
            if (
                isinstance(error, may_fail.get(number, ()))
                and str(path_of(self.root, number)) in text
            ):
                return
        raise Failure(f"{self._where(place)}: {text}") from error

    def _check_batch(self, batch, place, expected, may_fail):
        if isinstance(expected, UserError):
            raise Failure(f"{self._where(place)}: no error of the user's function")
        (x, y), (right_x, right_y) = batch, expected
        given = set(map(int, y))
        kept = [k for k, number in enumerate(map(int, right_y)) if number in given]
        left_out = sorted(set(map(int, right_y)) - given)
        if not kept and len(given) == len(x) == 1 and given <= set(range(self.count)):
            kept, right_x, right_y = [0], x, y  # another, so that there is one
            if not x.any():
                raise Failure(f"{self._where(place)}: the other sample is zero")
        if x.shape != (len(kept), *right_x.shape[1:]) or x.dtype != right_x.dtype:
            raise Failure(f"{self._where(place)}: {x.dtype} {x.shape}, labels {y}")
        if not np.array_equal(y, right_y[kept]):
            raise Failure(f"{self._where(place)}: samples {y} instead of {right_y}")
        for row, k in enumerate(kept):
            if not np.array_equal(x[row], right_x[k]):
                what = "zero" if not x[row].any() else "wrong"
                raise Failure(f"{self._where(place)}: sample {y[row]:.0f} is {what}")
        for number in left_out:
            if number not in may_fail or self.spec.get("on_error") != "skip":
                raise Failure(f"{self._where(place)}: sample {number} is missing")
            if str(path_of(self.root, number)) not in self.iterator.bad_files:
                raise Failure(f"{self._where(place)}: bad_files lacks sample {number}")
        read = sorted(given & self.must_fail)
        if read:
            raise Failure(f"{self._where(place)}: samples {read} cannot have been read")


# ---------------------------------------------------------------------------- the program


class Program:
    """Plays a scenario. `run` raises what ends the program; what went wrong is in `failures`.

    Args:
        scenario: As `soak.draw` makes it.
        home: Folder of its own.
    """

    def __init__(self, scenario, home):
        self.scenario = scenario
        self.root = home / "tree"
        self.count = scenario["samples"]
        self.walks = [
            Walk(number, spec, self.root, self.count)
            for number, spec in enumerate(scenario["walks"])
        ]
        self.pools = {}
        self.failures = []
        self.spoiled = set()  # numbers of the files that cannot be read
        self.doubtful = {}  # of those that perhaps cannot, and the errors of that
        self.pool_died = False
        self.asking = False  # the main thread is where Ctrl-C may strike
        self.over = False  # the main thread has all its batches
        self.struck = self.interrupting = None  # when it did, and of which fault
        self.restarts = 0
        self.faults = {}
        for fault in scenario["faults"]:
            self.faults.setdefault((fault["walk"], fault["at"]), []).append(fault)
        self.busy = []
        self.helpers = []
        self.children = []

    def did(self, fault):
        """Note that a fault has happened: also a program that is killed has said so."""
        if not fault.get("done"):
            fault["done"] = True
            os.write(1, f"did {fault['kind']}\n".encode())

    # ---- the course of things

    def run(self):
        signal.signal(signal.SIGINT, self._interrupt)
        faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
        warnings.simplefilter("ignore")
        of_files = any(walk.of_files for walk in self.walks)
        if of_files:
            make_tree(self.count, self.root)
        for walk in self.walks:
            walk.play_alone()
        if of_files:
            self._make_slow()
        if self.scenario["gc"]:
            gc.set_threshold(*self.scenario["gc"])
        self._start_faults_of_the_whole_run()
        for walk in self.walks:
            drops = sum(
                fault.get("times", 1)
                for fault in self.scenario["faults"]
                if fault["walk"] == walk.number and fault["kind"].startswith("drop")
            )
            walk.prepare(self._pool_of(walk), 2 + drops)
            walk.begin(self.spoiled)
        self._sabotage()
        threads = [
            threading.Thread(target=self._play, args=(thread,), name=f"walks-{thread}")
            for thread in range(1, self.scenario["threads"])
        ]
        for thread in threads:
            thread.start()
        self._play(0)
        self.over = True
        for thread in [*threads, *self.helpers]:
            thread.join()
        self._look_after()
        self._finish()

    def _make_slow(self):
        for number in self.scenario["slow"]:
            path = path_of(self.root, number)
            path.with_name(f"{path.name}.fault").write_text("slow")

    def _pool_of(self, walk):
        kind = walk.spec.get("pool")
        if kind is None:
            return None
        if kind not in self.pools:
            self.pools[kind] = make_pool(kind)
        return self.pools[kind]

    def _play(self, thread):
        try:
            walks = [walk for walk in self.walks if thread in walk.spec["threads"]]
            while not all(walk.is_over() for walk in walks):
                for walk in walks:
                    if not walk.is_over():
                        self._step(walk, thread)
        except Exception:
            self.failures.append(traceback.format_exc())

    def _step(self, walk, thread):
        if len(walk.spec["threads"]) > 1:
            self._share(walk)
            return
        for fault in self.faults.pop((walk.number, walk.place), ()):
            self._happen(fault, walk)
        if thread == 0:
            outcome = self._ask_interruptibly(walk)
            if outcome is None:
                return
        else:
            outcome = walk.ask()
        walk.check(outcome, self.doubtful, self.pool_died)

    def _ask_interruptibly(self, walk):
        """Returns what `walk.ask` does, or None after Ctrl-C and a new start."""
        try:
            self.asking = True
            outcome = walk.ask()
            self.asking = False
            return outcome
        except KeyboardInterrupt:
            seconds = time.monotonic() - self.struck
            self.did(self.interrupting)
            if seconds > PROMPT_SECONDS:
                raise Failure(f"back {seconds:.1f} s after Ctrl-C") from None
            self.restarts += 1
            for each in self.walks:
                if each.spec["threads"] == [0]:
                    each.restart()
            return None

    def _share(self, walk):
        """Take one batch of a walk that several threads take, in any order."""
        with walk.lock:
            if walk.is_over():
                return
            walk.place += 1
            for fault in self.faults.pop((walk.number, walk.place), ()):
                self._happen(fault, walk)
        batch = next(walk.iterator)
        with walk.lock:
            walk.found.append(batch)
            walk.taken += 1

    def _take(self, walk):
        """Ask for a batch and check it, where no Ctrl-C strikes."""
        walk.check(walk.ask(), self.doubtful, self.pool_died)

    def _look_after(self):
        """After all faults, new iterators go from the start, and the files spoiled are named."""
        for walk in self.walks:
            if len(walk.spec["threads"]) > 1:
                self._check_shared(walk)
            elif not walk.is_over() and not self.failures:
                raise Failure(f"walk {walk.number} ended at batch {walk.place}")
        again = [walk for walk in self.walks if not walk.ended and len(walk.spec["threads"]) == 1]
        for walk in again[:2]:
            if "pool" in walk.spec and self.pool_died:
                continue
            walk.begin(self.spoiled)
            for _ in range(min(walk.spec["batches"], self.scenario["afterwards"])):
                self._take(walk)

    def _check_shared(self, walk):
        def key(batch):
            return tuple(np.ascontiguousarray(part).tobytes() for part in batch)

        if sorted(map(key, walk.found)) != sorted(map(key, walk.expected)):
            samples = sorted(int(n) for _, y in walk.found for n in y)
            raise Failure(f"walk {walk.number}, in several threads: samples {samples}")

    def _finish(self):
        """Everything of the iterators is gone soon after them."""
        for pid in self.busy:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for pid in self.children:
            status = os.waitpid(pid, 0)[1]
            if status:
                self.failures.append(f"a fork ended with {status}")
        for walk in self.walks:
            walk.end()
        gc.set_threshold(700, 10, 10)
        gc.collect()
        end = time.monotonic() + self.scenario["patience"]
        while (left := self._left()) and time.monotonic() < end:
            time.sleep(0.02)
            gc.collect()  # a thread may have left a cycle when it ended
        if left:
            self.failures.append(f"left after {self.scenario['patience']} s: {left}")
        if self.pool_died:
            for pool in self.pools.values():
                for pid in pids_of(pool):
                    kill(pid)
            return
        for pool in self.pools.values():
            end_pool(pool)

    def _left(self):
        """Threads and slots of the library."""
        names = [each.name for each in threading.enumerate() if each.name.startswith("fastaug")]
        maps = pathlib.Path("/proc/self/maps").read_text()
        names += ["memory"] * maps.count("/memfd:fastaug (")
        for link in pathlib.Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                if "memfd:fastaug (" in str(link.readlink()):
                    names.append(f"file {link.name}")
        return names

    # ---- faults

    def _interrupt(self, number, frame):
        if self.asking:
            self.asking = False
            self.struck = time.monotonic()
            raise KeyboardInterrupt

    def _start_faults_of_the_whole_run(self):
        for fault in self.faults.pop((None, None), ()):
            parent = os.getpid()
            for _ in range(fault["processes"]):
                pid = os.fork()
                if pid == 0:
                    end = time.monotonic() + 5
                    while os.getppid() == parent and time.monotonic() < end:
                        pass
                    os._exit(0)
                self.busy.append(pid)
            self.did(fault)

    def _happen(self, fault, walk):
        """Do what a fault says, now or a little later in a thread of its own."""
        act = getattr(self, "_" + fault["kind"].replace(" ", "_").replace("-", "_"))
        if "after" not in fault:
            act(fault, walk)
            return

        def later():
            time.sleep(fault["after"])
            try:
                act(fault, walk)
            except Exception:
                self.failures.append(traceback.format_exc())

        helper = threading.Thread(target=later, name="fault")
        self.helpers.append(helper)
        helper.start()

    def _wait_for(self, condition):
        """Wait until it is time for a fault; returns whether it comes."""
        end = time.monotonic() + 2
        while not condition():
            if self.over or time.monotonic() > end:
                return False
            time.sleep(0.0005)
        return True

    def _targets(self, walk):
        pool = walk.spec.get("pool")
        return decoders() if pool is None else pids_of(self.pools[pool])

    def _kill_one(self, fault, walk):
        self._kill(fault, walk, one=True)

    def _kill_all(self, fault, walk):
        self._kill(fault, walk, one=False)

    def _kill(self, fault, walk, one):
        chance = random.Random(fault["seed"])
        if "pool" in walk.spec:
            self.pool_died = True
        for _ in range(fault["times"]):
            self._wait_for(lambda: self._targets(walk))  # they may not have been started yet
            pids = self._targets(walk)
            if one and pids:
                pids = [chance.choice(pids)]
            if sum(map(kill, pids)):
                self.did(fault)
            time.sleep(chance.uniform(0, 0.2))

    def _stop_one(self, fault, walk):
        for number in range(self.count):
            self._doubt(number, *ERRORS[fault["kind"]])
        if pids := decoders():
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.Random(fault["seed"]).choice(pids), signal.SIGSTOP)
                self.did(fault)

    def _Ctrl_C(self, fault, walk):
        self.interrupting = fault
        for pause in random.Random(fault["seed"]).choices([0, 0.001, 0.05], k=fault["times"]):
            if not self._wait_for(lambda: self.asking):
                return
            time.sleep(pause)
            os.kill(os.getpid(), signal.SIGINT)

    def _failing_function(self, fault, walk):
        self.did(fault)  # at the calls that it counts

    def _drop(self, fault, walk):
        walk.iterator = None
        self.did(fault)
        walk.begin(self.spoiled)

    def _drop_in_a_cycle(self, fault, walk):
        for _ in range(fault["times"]):
            walk.iterator.me = walk.iterator
            self._drop(fault, walk)
            self._take(walk)
        walk.restart()

    def _close_elsewhere(self, fault, walk):
        chance = random.Random(fault["seed"])
        for _ in range(fault["times"]):
            iterator = walk.iterator
            if iterator is not None:
                iterator.close()
            self.did(fault)
            time.sleep(chance.uniform(0, 0.01))

    def _doubt(self, number, *errors):
        self.doubtful = self.doubtful | {number: self.doubtful.get(number, ()) + errors}

    def _spoil(self, fault, act):
        for number in fault["files"]:
            if number not in self.spoiled:
                self._doubt(number, *ERRORS[fault["kind"]])
                act(path_of(self.root, number))
                self.spoiled = self.spoiled | {number}
                self.did(fault)

    def _delete(self, fault, walk):
        self._spoil(fault, os.unlink)

    def _truncate(self, fault, walk):
        def cut(path):
            os.truncate(path, path.stat().st_size // 2 if fault["half"] else 0)

        self._spoil(fault, cut)

    def _never_answer(self, fault, walk):
        def to_fifo(path):
            path.unlink()
            os.mkfifo(path)

        self._spoil(fault, to_fifo)

    def _crash(self, fault, walk):
        def mark(path):
            path.with_name(f"{path.name}.new").write_text(fault["how"])
            path.with_name(f"{path.name}.new").rename(path.with_name(f"{path.name}.fault"))

        self._spoil(fault, mark)

    def _no_memory(self, fault, walk):
        import resource

        name, least = {
            "file size": (resource.RLIMIT_FSIZE, 4096),
            "open files": (resource.RLIMIT_NOFILE, 3),
        }[fault["limit"]]
        usual = resource.getrlimit(name)
        walk.iterator.close()
        gc.collect()
        place = walk.place
        resource.setrlimit(name, (least, usual[1]))
        try:
            self._take(walk)
        except Failure as failure:
            if not isinstance(failure.__cause__, OSError | RuntimeError):
                raise
        finally:
            resource.setrlimit(name, usual)
        self.did(fault)
        walk.place = place
        walk.restart()

    def _fork(self, fault, walk):
        pid = os.fork()
        if pid:
            self.did(fault)
            self.children.append(pid)
            if fault["wait"]:
                status = os.waitpid(pid, 0)[1]
                self.children.remove(pid)
                if status:
                    raise Failure(f"a fork ended with {status}")
            return
        status = 3
        try:
            signal.alarm(40)
            for each in self.scenario["faults"]:
                for number in each.get("files", ()):  # what becomes of it, the parent knows
                    self._doubt(number, *ERRORS[each["kind"]])
            mine = [each for each in self.walks if each.spec["threads"] == walk.spec["threads"]]
            others = [each for each in self.walks if len(each.spec["threads"]) == 1]
            for each in others:
                if each.iterator is None or (each.of_files and "pool" in each.spec):
                    continue
                if each not in mine:
                    each.restart()
                for _ in range(2):
                    if not each.is_over():
                        self._take(each)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _end(self, fault, walk):
        self.did(fault)
        if fault["how"] in ("SIGKILL", "SIGTERM", "SIGSEGV"):
            faulthandler.disable()
            os.kill(os.getpid(), getattr(signal, fault["how"]))
            time.sleep(60)
        elif fault["how"] == "_exit":
            os._exit(0)
        elif fault["how"] == "exec":
            os.execv("/bin/true", ["true"])
        else:
            raise SystemExit(0)

    # ---- on purpose

    def _sabotage(self):
        """Be wrong in a way that a scenario for the test of this test names."""
        kind = self.scenario.get("sabotage")
        walk = self.walks[0]
        if kind in ("pixel", "zero", "label", "lost", "error"):
            take, count = walk._next, itertools.count()

            def wrong():
                x, y = take()
                if next(count) != 2:
                    return x, y
                if kind == "error":
                    raise OSError("/nowhere: this one names no file of ours")
                if kind == "pixel":
                    x[-1, -1, -1, -1] += 1
                elif kind == "zero":
                    x[1] = 0
                elif kind == "label":
                    y[0] += 1
                else:
                    x, y = x[1:], y[1:]
                return x, y

            walk._next = wrong
        elif kind == "thread":
            threading.Thread(target=time.sleep, args=(30,), name="fastaug-x", daemon=True).start()
        elif kind == "memory":
            os.memfd_create("fastaug")
        elif kind == "orphan":
            command = ["/bin/sh", "-c", "sleep 60 & exit"]
            subprocess.run(command, start_new_session=True)
        elif kind == "hang":
            walk._next = threading.Event().wait
        elif kind == "words":
            print("something", file=sys.stderr)
        elif kind == "death":
            os.kill(os.getpid(), signal.SIGKILL)


# ---------------------------------------------------------------------------- processes


def children_of(pid):
    """Numbers of all processes that a process has started, also through others."""
    found = []
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return [each for child in found for each in (child, *children_of(child))]


def command_of(pid):
    """The command line of a process; empty if it has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def decoders():
    return [pid for pid in children_of(os.getpid()) if "fastaug.run.processes" in command_of(pid)]


def pids_of(pool):
    """The processes of a user's pool."""
    processes = getattr(pool, "_processes", None)
    if isinstance(processes, dict):
        return list(processes)
    return [process.pid for process in getattr(pool, "_pool", ()) if hasattr(process, "pid")]


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


# ---------------------------------------------------------------------------- the nursery


def serve():
    """Play the scenarios that come in, one line each, one after the other."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, end_all)
    warm()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        home = pathlib.Path(order["home"])
        (home / "tmp").mkdir(parents=True)
        pid = os.fork()
        if pid == 0:
            sys.exit(play(order["scenario"], home))
        print(json.dumps(wait_for(pid, order["scenario"], home)), flush=True)


def play(scenario, home):
    """Be the program of a scenario; returns its exit status."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdout.reconfigure(line_buffering=True)
    for number, name in ((1, "stdout"), (2, "stderr")):
        fd = os.open(home / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(fd, number)
        os.close(fd)
    os.environ["TMPDIR"] = str(home / "tmp")
    program = Program(scenario, home)
    try:
        program.run()
    except Exception:
        program.failures.append(traceback.format_exc())
    for failure in program.failures:
        os.write(1, json.dumps({"failure": failure}).encode() + b"\n")
    taken = sum(walk.taken for walk in program.walks)
    os.write(1, json.dumps({"taken": taken, "restarts": program.restarts}).encode() + b"\n")
    if program.pool_died:
        os._exit(bool(program.failures))  # such a pool may never end
    return bool(program.failures)


def wait_for(pid, scenario, home):
    """Wait for the end of a program and of all that it has started; says what became of it."""
    begin = time.monotonic()
    killed_at = scenario.get("killed_after")
    hung, status = False, None
    while status is None:
        ended, found = os.waitpid(pid, os.WNOHANG)
        seconds = time.monotonic() - begin
        if ended:
            status = os.waitstatus_to_exitcode(found)
        elif killed_at is not None and seconds > killed_at:
            os.kill(pid, signal.SIGKILL)
            killed_at = None
        elif seconds > scenario["limit"] and not hung:
            os.kill(pid, signal.SIGALRM)  # it says where it is, and ends
            hung = True
        elif seconds > scenario["limit"] + 5:
            os.kill(pid, signal.SIGKILL)
        else:
            time.sleep(0.004)
    end, left = time.monotonic() + scenario["patience"], []
    while (left := alive_children()) and time.monotonic() < end and not hung:
        time.sleep(0.004)
    orphans = {each: command_of(each)[:200] for each in left}
    while left := alive_children():
        for each in left:
            kill(each)
        time.sleep(0.004)
    return {
        "status": status,
        "hung": hung,
        "orphans": {} if hung else orphans,
        "files": [path.name for path in (home / "tmp").glob("fastaug-*")],
        "seconds": time.monotonic() - begin,
        "stdout": (home / "stdout").read_text() if (home / "stdout").exists() else "",
        "stderr": (home / "stderr").read_text() if (home / "stderr").exists() else "",
    }


def end_all(*signal):
    """End, and whatever plays."""
    for pid in children_of(os.getpid()):
        kill(pid)
    os._exit(1)


def alive_children():
    """Processes that a program has left; those that have ended are waited for."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return children_of(os.getpid())


if __name__ == "__main__":
    serve()
