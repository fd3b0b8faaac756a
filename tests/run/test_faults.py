"""Faults: whatever dies, hangs or is missing, batches are right, time is bounded, nothing is left.

Every scenario is a program of its own. Each test ends by asserting that no process which that
program has started, however indirectly, is alive, and that no shared memory is left.
"""

import contextlib
import errno
import gc
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid

import psutil
import pytest
import trees
from scripts import WITHOUT_KERAS
from waiting import wait_until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

#: Seconds in which everything that a program has started has to be gone.
PATIENCE = 8.0

TOKEN = "FASTAUG_TEST_PROGRAM"

#: Put before every scenario.
PREAMBLE = """
import contextlib, gc, hashlib, json, os, signal, sys, threading, time, warnings
import numpy as np
import psutil
import fastaug

root = sys.argv[1]
SETTINGS = dict(rotation_range=30, horizontal_flip=True, rescale=1 / 255)

def flow(root=root, workers=2, prefetch=2, pool=None, batch_size=8, seed=3, shuffle=True,
         settings=SETTINGS, **arguments):
    options = dict(pool=pool) if pool is not None else dict(workers=workers)
    generator = fastaug.ImageDataGenerator(**settings, prefetch=prefetch, **options)
    return generator.flow_from_directory(
        root, target_size=(17, 23), class_mode="sparse", batch_size=batch_size, seed=seed,
        shuffle=shuffle, **arguments)

def fingerprint(batch):
    parts = batch if isinstance(batch, (tuple, list)) else [batch]
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()

def rows(batch):
    # of each sample; an image without a single pixel has none
    return [fingerprint(row) if row[0].any() else "zero" for row in zip(*batch, strict=True)]

def take(iterator, count=None):
    return [fingerprint(next(iterator)) for _ in range(len(iterator) if count is None else count)]

def children(word):
    # those that have it in their command line; one that is ending has none, a fork has our own
    found, own = [], psutil.Process().cmdline()
    for process in psutil.Process().children(recursive=True):
        try:
            line = process.cmdline()
            if word in " ".join(line) and line != own:
                found.append(process)
        except psutil.Error:
            pass
    return found

def decoders():
    return children("fastaug.run.processes")

def kill(processes):
    killed = 0
    for process in processes:
        try:
            process.kill()
            killed += 1
        except psutil.NoSuchProcess:
            pass
    return killed

def memory():
    # slots that this process holds; the control block of a pool stays
    maps = open("/proc/self/maps").read().count("/memfd:fastaug (")
    open_files = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # a thread has closed it since
            open_files.append(os.readlink(f"/proc/self/fd/{fd}"))
    return maps + sum("memfd:fastaug (" in name for name in open_files)

def wait_until(condition, what, patience=8):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience} s: {what}"
        time.sleep(0.02)

def report(**values):
    print(json.dumps(values), flush=True)
"""

#: A folder for the path of a program whose files do harm; see there.
FAULTY = pathlib.Path(__file__).parent.parent / "faulty"


# ---------------------------------------------------------------------------- programs


class Program:
    """A running scenario; lines and the end are waited for within bounds."""

    def __init__(self, code, *arguments, token, home, faulty=False, as_file=False, keras=False):
        source = ("" if keras else WITHOUT_KERAS) + PREAMBLE + textwrap.dedent(code)
        command = [sys.executable, "-u", "-P"]
        if as_file:
            script = home / "script.py"
            script.write_text(source)
            command.append(str(script))
        else:
            command += ["-c", source]
        (home / "tmp").mkdir(exist_ok=True)
        environment = os.environ | {TOKEN: token, "TMPDIR": str(home / "tmp")}
        if faulty:
            path = [str(FAULTY), os.environ.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        self._errors = (home / f"stderr-{uuid.uuid4().hex}").open("w+")
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            start_new_session=True,  # a process group of its own, for Ctrl-C
        )
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            if not line.startswith("Found "):
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    @property
    def errors(self):
        self._errors.seek(0)
        return self._errors.read()

    def line(self, patience=30):
        """The next line of output."""
        try:
            line = self._lines.get(timeout=patience)
        except queue.Empty:
            raise AssertionError(f"silent for {patience} s; stderr: {self.errors}") from None
        assert line is not None, f"ended; stderr: {self.errors}"
        return line

    def report(self, patience=60):
        """What the next `report(...)` says."""
        return json.loads(self.line(patience))

    def close(self):
        """To be called when nothing of the program is alive."""
        self.process.wait()
        self._reader.join(PATIENCE)
        self.process.stdout.close()
        self._errors.close()

    def finish(self, patience=30, status=0, quiet=True):
        """Wait for the end, which must be this one."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"running after {patience} s; stderr: {self.errors}") from None
        assert self.process.returncode == status, f"{self.process.returncode}: {self.errors}"
        if quiet:
            assert not self.errors


def processes_of(token):
    """The live processes that have inherited a program's token, wherever they hang by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(TOKEN) == token:
                found.append(process)
    return found


def shared_memory():
    """Names in /dev/shm, but those of other programs that are alive."""
    names = set()
    for path in pathlib.Path("/dev/shm").iterdir():
        owner = path.name.removeprefix("sem.loky-").split("-")[0]
        if path.name.startswith("sem.loky-") and owner.isdigit() and psutil.pid_exists(int(owner)):
            continue
        names.add(path.name)
    return names


@pytest.fixture
def start(tmp_path):
    """Start programs; at the end nothing of them may be left."""
    token = uuid.uuid4().hex
    before = shared_memory()
    programs = []

    def start_program(code, *arguments, **options):
        programs.append(Program(code, *arguments, token=token, home=tmp_path, **options))
        return programs[-1]

    start_program.token = token
    try:
        yield start_program
        for program in programs:
            assert program.process.poll() is not None, "the test has not waited for the end"
        wait_until(lambda: not processes_of(token), "no process is left", PATIENCE)
        wait_until(lambda: shared_memory() <= before, "no shared memory is left", PATIENCE)
        assert not list(tmp_path.glob("tmp/fastaug-*"))
    finally:
        for process in processes_of(token):
            with contextlib.suppress(psutil.Error):
                process.kill()
        for program in programs:
            program.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Sixty files, in a folder for each class."""
    return trees.plain_tree(tmp_path_factory.mktemp("tree"), (20, 20, 20))


@pytest.fixture(scope="module")
def slow_tree(tmp_path_factory):
    """A hundred files that take some time."""
    root = tmp_path_factory.mktemp("slow")
    for k in range(100):
        trees.write(root, f"{'ab'[k % 2]}/slow_{k}.jpg", k)
    return root


#: How much of a batch one process reads: a file or two, or all of it, one after the other.
GROUPS = {
    "few": {"batch_size": 4, "workers": 2},
    "many": {"batch_size": 16, "workers": 1},
}
BY_GROUP = pytest.mark.parametrize("group", GROUPS)
BY_ON_ERROR = pytest.mark.parametrize("on_error", ["raise", "skip"])


@pytest.fixture(scope="module")
def unreadable(tmp_path_factory):
    """A hundred slow files of which every ninth is no image; also the paths of those."""
    root = tmp_path_factory.mktemp("unreadable")
    bad = []
    for k in range(100):
        path = trees.write(root, f"{'ab'[k % 2]}/slow_{k}.jpg", k)
        if k % 9 == 4:
            trees.text(path)
            bad.append(str(path))
    return root, sorted(bad)


# ---------------------------------------------------------------------------- deaths


KILLS = """
import random
arguments, count = json.loads(sys.argv[2]), int(sys.argv[3])
warnings.simplefilter("ignore")
calm = [rows(next(each)) for each in [flow(decoder="threads", **arguments)] for _ in range(count)]
iterator = flow(**arguments)
batches = [rows(next(iterator))]
stop = threading.Event()
kills = 0
def kill_some():
    global kills
    chance = random.Random(5)
    while not stop.wait({pause}):
        processes = decoders()
        kills += kill([chance.choice(processes)] if {one} and processes else processes)
killer = threading.Thread(target=kill_some, daemon=True)
killer.start()
start = time.monotonic()
batches += [rows(next(iterator)) for _ in range(count - 1)]
seconds = time.monotonic() - start
stop.set()
killer.join()
report(right=[a == b for a, b in zip(calm, batches, strict=True)], kills=kills, seconds=seconds,
       zero=sum(batch.count("zero") for batch in batches), bad=iterator.bad_files,
       samples=sum(map(len, batches)))
"""


@pytest.mark.parametrize(
    ("one", "pause", "group"),
    [(True, 0.3, "few"), (True, 0.8, "few"), (False, 1.0, "few"), (False, 0.9, "many")],
    ids=["one every 0.3 s", "one every 0.8 s", "all every second", "the only one"],
)
def test_workers_killed_within_an_epoch(start, slow_tree, unreadable, one, pause, group):
    """Every sample arrives exactly once, in order, with the pixels of a calm run."""
    code = KILLS.format(pause=pause, one=one)
    few = group == "few"
    root, bad = (slow_tree, []) if few else unreadable
    arguments = {"batch_size": 8} if few else GROUPS[group] | {"on_error": "skip"}
    count = 15 if few else 7
    program = start(code, root, json.dumps(arguments), count, faulty=True)
    result = program.report(patience=90)
    program.finish()
    assert result["right"] == [True] * count
    assert result["zero"] == 0
    assert result["samples"] == (116 if few else 100 - len(bad))
    assert sorted(result["bad"]) == bad
    assert result["kills"] >= 2
    assert result["seconds"] < 60


@BY_GROUP
def test_idle_workers_killed_between_batches(start, unreadable, group):
    root, bad = unreadable
    program = start(
        """
        arguments = json.loads(sys.argv[2]) | dict(on_error="skip", prefetch=0)
        warnings.simplefilter("ignore")
        calm = [rows(next(each)) for each in [flow(**arguments | dict(workers=0))]
                for _ in range(7)]
        iterator = flow(**arguments)
        batches = []
        for _ in range(7):
            batches.append(rows(next(iterator)))
            kill(decoders())
        report(right=batches == calm, zero=sum(batch.count("zero") for batch in batches),
               bad=iterator.bad_files)
        """,
        root,
        json.dumps(GROUPS[group]),
    )
    result = program.report()
    program.finish()
    assert result["right"] and result["zero"] == 0
    assert result["bad"] and set(result["bad"]) <= set(bad)


@BY_GROUP
@pytest.mark.parametrize("kind", ["spawned Pool", "ProcessPoolExecutor"])
def test_death_in_a_user_s_pool(start, slow_tree, kind, group):
    """It is the user's to repair: an error that says so, in time, and no hanging."""
    workers = GROUPS[group]["workers"]
    make = {
        "spawned Pool": f"multiprocessing.get_context('spawn').Pool({workers})",
        "ProcessPoolExecutor": "concurrent.futures.ProcessPoolExecutor("
        f"{workers}, mp_context=multiprocessing.get_context('spawn'))",
    }[kind]
    program = start(
        f"""
        import concurrent.futures, multiprocessing
        if __name__ == "__main__":
            pool = {make}
            iterator = flow(pool=pool, timeout=2, batch_size={GROUPS[group]["batch_size"]})
            next(iterator)
            kill(children("spawn_main"))
            start = time.monotonic()
            try:
                take(iterator, 13)
                error = None
            except Exception as caught:
                error = [type(caught).__name__, str(caught)]
            report(error=error, seconds=time.monotonic() - start)
            iterator.close()
            kill(children("spawn_main"))  # a Pool cannot always be terminated after such a death
            os._exit(0)
        """,
        slow_tree,
        faulty=True,
        as_file=True,
    )
    result = program.report()
    program.finish(quiet=False)
    assert result["error"][0] == "RuntimeError"
    assert "pool" in result["error"][1]
    assert result["seconds"] < 15


#: Forks that live on, made at the worst moments: both ends of everything are open.
FORK_WITH_EVERY_START = """
import subprocess
forks = 0

class Popen(subprocess.Popen):
    def __init__(self, *arguments, **options):
        global forks
        super().__init__(*arguments, **options)
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        forks += 1

subprocess.Popen = Popen
"""


def end_forks(program, token):
    """After the end of a program nothing but its forks is left; ends and counts them."""

    def is_fork(process):
        with contextlib.suppress(psutil.Error):
            return process.cmdline() == program.process.args
        return True  # it has just ended

    try:
        wait_until(
            lambda: all(map(is_fork, processes_of(token))),
            "the decode processes ended with the program",
            PATIENCE,
        )
    finally:
        forks = processes_of(token)
        for fork in forks:
            with contextlib.suppress(psutil.Error):
                fork.kill()
    return len(forks)


@pytest.mark.parametrize("ending", ["sys.exit()", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_program_that_ends_while_a_process_starts_and_a_fork_lives_on(start, tree, ending):
    """A process that has not come to its first line sees the end of the program, too."""
    for pause in (0.01, 0.03, 0.08, 0.15, 0.22, 0.3):
        program = start(
            FORK_WITH_EVERY_START
            + f"""
iterator = flow()
threading.excepthook = lambda error: None  # it comes to no end
threading.Thread(target=take, args=(iterator,), daemon=True).start()
while not forks:
    time.sleep(0.001)
time.sleep({pause})
{ending}
""",
            tree,
        )
        status = 0 if ending == "sys.exit()" else -signal.SIGKILL
        program.finish(patience=PATIENCE, status=status, quiet=False)
        assert end_forks(program, start.token) >= 1


@BY_GROUP
def test_deaths_while_forks_hold_the_connections(start, unreadable, tmp_path, group):
    """Ends of pipes that another process has open, too, hide no death: of idle processes, of busy
    ones, and of those that a file kills; and the processes end with the program, not the forks."""
    root, bad = unreadable
    trees.write(tmp_path / "killers", "a/good_0.jpg", 0)
    trees.write(tmp_path / "killers", "b/crash_1.jpg", 1)
    trees.write(tmp_path / "killers", "c/killed_2.jpg", 2)
    program = start(
        FORK_WITH_EVERY_START
        + """
arguments = json.loads(sys.argv[2]) | dict(on_error="skip")
warnings.simplefilter("ignore")
calm = [rows(next(each)) for each in [flow(**arguments | dict(workers=0))] for _ in range(7)]
iterator = flow(**arguments)
batches, seconds, kills = [rows(next(iterator))], [], 0
for k in range(6):
    kills += kill(decoders())
    start = time.monotonic()
    batches.append(rows(next(iterator)))
    seconds.append(time.monotonic() - start)
start = time.monotonic()
killers = flow(sys.argv[3], shuffle=False, **arguments | dict(batch_size=3))
sizes = [len(next(killers)[0])]
seconds.append(time.monotonic() - start)
time.sleep(2)  # no process is being started any more
report(right=batches == calm, zero=sum(batch.count("zero") for batch in batches),
       bad=iterator.bad_files, killers=killers.bad_files, sizes=sizes, kills=kills,
       seconds=seconds, forks=forks)
""",
        root,
        json.dumps(GROUPS[group]),
        tmp_path / "killers",
        faulty=True,
    )
    result = program.report()
    program.finish(patience=PATIENCE)
    assert end_forks(program, start.token) >= result["forks"] >= 3
    assert result["right"] and result["zero"] == 0
    assert result["bad"] and set(result["bad"]) <= set(bad)
    assert result["sizes"] == [1]
    paths = [str(tmp_path / "killers" / name) for name in ("b/crash_1.jpg", "c/killed_2.jpg")]
    assert result["killers"] == paths
    assert result["kills"] >= 3
    assert max(result["seconds"]) < 15


# ---------------------------------------------------------------------------- bad files


BAD_FILES = """
bad_root, calm_root, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
name, change, repair = [arguments.pop(key, None) for key in ("name", "change", "repair")]
arguments = dict(shuffle=False) | arguments

def epoch(iterator):
    iterator.reset()
    iterator.total_batches_seen = 0
    outcomes, seconds = [], []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(len(iterator)):
            start = time.monotonic()
            try:
                outcomes.append(rows(next(iterator)))
            except Exception as error:
                outcomes.append(dict(error=type(error).__name__, text=str(error)))
            seconds.append(time.monotonic() - start)
    return dict(outcomes=outcomes, bad=iterator.bad_files, seconds=sum(seconds),
                warnings=[str(each.message) for each in caught])

calm = epoch(flow(root=calm_root, **arguments | dict(decoder="threads", on_error="raise")))
iterator = flow(root=bad_root, **arguments)
if change is not None:
    if change == "unlinked":
        os.unlink(name)
    else:
        os.truncate(name, 0 if change == "emptied" else os.path.getsize(name) // 2)
report(calm=calm["outcomes"], **epoch(iterator))
if repair is not None:
    os.replace(*repair)
    report(**epoch(iterator))
"""


class BadFile:
    """A tree of small files with a bad one in its middle, and one with a good file in its place.

    In the group "many" a text under the name of an image lies just before the bad file, and good
    files after it, all of them in one batch.

    Args:
        tmp_path: Folder for the trees.
        group: Name of one of `GROUPS`.
        name: Name of the bad file; its first word is what becomes of its reader.
        make: Function that makes the file of this path; by default it is a good image.
    """

    def __init__(self, tmp_path, group, name, make=None):
        self.arguments = dict(GROUPS[group])
        self.root, self.calm = tmp_path / "bad", tmp_path / "calm"
        for root in (self.root, self.calm):
            trees.plain_tree(root, (5, 5, 6))
        self.path, self.text = self.root / "bees" / name, None
        trees.write(self.calm, "bees/z.jpg", 50)
        (make or (lambda path: trees.write(self.root, f"bees/{name}", 50)))(self.path)
        if group == "many":
            self.text = self.root / "bees/9.jpg"
            trees.write(self.calm, "bees/9.jpg", 51)
            trees.text(self.text)
        self.paths = sorted(self.root.glob("*/*"))

    def check(self, start, on_error, wrong, *, patience=60, **arguments):
        """Take an epoch: every file is read but the bad ones, which are named.

        An error names the first of a batch. If that is the text, it is replaced by the image, and
        another epoch names the bad file.

        Args:
            start: The fixture.
            on_error: 'raise' or 'skip'.
            wrong: Bad files in their order, but for the text: `{path: name of the error's type}`.
            patience: Seconds to wait for an epoch.
            **arguments: Of the flow; `change` is what becomes of the bad file.

        Returns:
            Seconds that the slower epoch took.
        """
        arguments = self.arguments | {"on_error": on_error, "name": str(self.path)} | arguments
        if self.text is not None:
            wrong = {self.text: "UnidentifiedImageError"} | wrong
        twice = self.text is not None and on_error == "raise"
        if twice:
            repaired = trees.write(self.root, "repaired", 51, format="JPEG")
            arguments["repair"] = [str(repaired), str(self.text)]
        program = start(BAD_FILES, self.root, self.calm, json.dumps(arguments), faulty=True)
        result = program.report(patience)
        calm, seconds = result["calm"], result["seconds"]
        assert sum(map(len, calm)) == len(self.paths)
        self._check_epoch(result, calm, wrong, on_error)
        if twice:
            result = program.report(patience)
            del wrong[self.text]
            self._check_epoch(result, calm, wrong, on_error)
            seconds = max(seconds, result["seconds"])
        program.finish()
        return seconds

    def _check_epoch(self, result, calm, wrong, on_error):
        size, seen = self.arguments["batch_size"], []
        for k, (outcome, good) in enumerate(zip(result["outcomes"], calm, strict=True)):
            assert "zero" not in good
            rows = dict(zip(self.paths[k * size : (k + 1) * size], good, strict=True))
            here = [path for path in rows if path in wrong]
            seen += here
            if here and on_error == "raise":
                assert outcome["error"] == wrong[here[0]]
                named = [path for path in self.paths if str(path) in outcome["text"]]
                assert named == here[:1], outcome
            else:
                assert outcome == [row for path, row in rows.items() if path not in here]
        assert seen == list(wrong)
        bad = list(map(str, wrong)) if on_error == "skip" else []
        assert result["bad"] == bad
        for path, warning in zip(bad, result["warnings"], strict=True):
            assert path in warning


@BY_GROUP
@BY_ON_ERROR
@pytest.mark.parametrize("kind", ["crash", "exit", "killed"])
def test_a_file_that_kills_its_reader(start, tmp_path, kind, on_error, group):
    """It is reported by its path, and every other file is read."""
    case = BadFile(tmp_path, group, f"{kind}_x.jpg")
    assert case.check(start, on_error, {case.path: "OSError"}) < 20


@BY_GROUP
@pytest.mark.parametrize("decoder", ["processes", "threads"])
@BY_ON_ERROR
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("unlinked", "FileNotFoundError"),
        ("truncated", "OSError"),
        ("emptied", "UnidentifiedImageError"),
    ],
)
def test_a_file_that_changed_since_it_was_found(
    start, tmp_path, change, error, on_error, decoder, group
):
    case = BadFile(tmp_path, group, "x.jpg")
    case.check(start, on_error, {case.path: error}, change=change, decoder=decoder)


@BY_GROUP
@BY_ON_ERROR
@pytest.mark.parametrize("kind", ["fifo", "freeze"])
def test_a_file_that_is_never_read(start, tmp_path, kind, on_error, group):
    """A pipe in the place of a file, and a process that stops: an error after the timeout."""
    case = BadFile(tmp_path, group, f"{kind}_x.jpg", make=os.mkfifo if kind == "fifo" else None)
    assert 1.5 < case.check(start, on_error, {case.path: "TimeoutError"}, timeout=2) < 15


@BY_GROUP
@BY_ON_ERROR
def test_a_hung_read_beside_slow_ones(start, tmp_path, on_error, group):
    """Giving up the one does no harm to those that are on their way, before and after it."""
    case = BadFile(tmp_path, group, "fifo_x.jpg", make=os.mkfifo)
    for path in case.paths:
        if path not in (case.path, case.text):
            path.with_name(f"{path.name}.fault").write_text("crawl")
    assert case.check(start, on_error, {case.path: "TimeoutError"}, timeout=2, prefetch=4) < 25


@BY_GROUP
@BY_ON_ERROR
def test_a_file_that_kills_its_reader_once(start, tmp_path, on_error, group):
    """It is simply read again."""
    case = BadFile(tmp_path, group, "once_x.jpg")
    case.check(start, on_error, {})
    assert case.path.with_name("once_x.jpg.seen").exists()


@BY_GROUP
def test_a_file_that_is_read_again_after_a_crash_is_so_in_a_fresh_process(start, tmp_path, group):
    """What other files have done to a process is not the fault of the one that it crashes at."""
    case = BadFile(tmp_path, group, "victim_x.jpg")
    for path in case.paths:
        if path not in (case.path, case.text):
            path.with_name(f"{path.name}.fault").write_text("poison")
    case.check(start, "skip", {}, prefetch=4)


@BY_GROUP
def test_many_files_that_kill_their_readers(start, tmp_path, group):
    """A whole folder of them is skipped, and the rest of the batches come."""
    case = BadFile(tmp_path, group, "crash_0.jpg")
    killers = [case.path]
    for k in range(1, 5):
        killers.append(trees.write(case.root, f"bees/crash_{k}.jpg", k))
        trees.write(case.calm, f"bees/z{k}.jpg", k)
    case.paths = sorted(case.root.glob("*/*"))
    case.check(start, "skip", dict.fromkeys(killers, "OSError"))


@pytest.mark.parametrize("kind", ["crash", "fifo"])
@pytest.mark.parametrize("own", [False, True], ids=["", "image by image"])
def test_nearly_all_files_are_bad(start, tmp_path, kind, own):
    """The images that are drawn in the place of bad ones are read by others, too.

    So are all of a generator with a method of the user's, which makes them one by one.
    """
    good = trees.write(tmp_path / "bad", "a/good.jpg", 1)
    for k in range(3):
        path = tmp_path / "bad" / f"a/{kind}_{k}.jpg"
        if kind == "fifo":
            os.mkfifo(path)
        else:
            trees.write(tmp_path / "bad", f"a/{path.name}", k)
    program = start(
        """
        class Own(fastaug.ImageDataGenerator):
            def apply_transform(self, x, transform_parameters):
                return super().apply_transform(x, transform_parameters)

        kind = Own if sys.argv[2] == "True" else fastaug.ImageDataGenerator
        iterator = kind(workers=2).flow_from_directory(
            root, target_size=(17, 23), class_mode=None, batch_size=1, seed=3, shuffle=False,
            on_error="skip", timeout=0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcomes = []
            for k in range(len(iterator)):
                try:
                    outcomes += [fingerprint(row) for row in iterator[k]]
                except OSError as error:
                    outcomes.append(str(error))
        report(outcomes=outcomes, bad=iterator.bad_files)
        """,
        tmp_path / "bad",
        own,
        faulty=True,
    )
    result = program.report()
    program.finish()
    assert sorted(set(result["bad"])) == sorted(set(map(str, good.parent.glob(f"{kind}_*"))))
    assert len(result["outcomes"]) == 4 and len(set(result["outcomes"])) == 1


# ---------------------------------------------------------------------------- Ctrl-C


CTRL_C = """
signal.signal(signal.SIGINT, signal.default_int_handler)
calm = take(flow(decoder="threads"), 5)
iterator = flow()
if {warm}:
    next(iterator)
rounds = 0
while rounds < 3:
    try:
        print("ready", flush=True)
        while True:
            next(iterator)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        rounds += 1
    right = len(next(iterator)[0]) in (4, 8)
    report(right=right, decoders=len(decoders()))
iterator.reset()
iterator.total_batches_seen = 0
report(right=take(iterator, 5) == calm)
"""


@pytest.mark.parametrize("warm", [True, False], ids=["", "while the processes start"])
def test_ctrl_c_within_an_epoch(start, slow_tree, warm):
    """Back at the prompt in two seconds, three times over, and the iterator goes on."""
    program = start(CTRL_C.format(warm=warm), slow_tree, faulty=True)
    for pause in (0.1, 0.7, 0.3):
        assert program.line() == "ready"
        time.sleep(pause)
        begin = time.monotonic()
        os.killpg(program.process.pid, signal.SIGINT)
        assert program.line() == "interrupted"
        assert time.monotonic() - begin < 2
        result = program.report()
        assert result["right"]
        assert result["decoders"] <= 3
    assert program.report() == {"right": True}
    program.finish()


def test_ctrl_c_again_and_again(start, slow_tree):
    """Wherever it strikes, no slot, thread or process is lost: the next batches come."""
    program = start(
        """
        import random
        signal.signal(signal.SIGINT, signal.default_int_handler)
        calm = take(flow(decoder="threads"), 5)
        iterator = flow(prefetch=3)
        chance = random.Random(8)
        interrupts = 0
        while interrupts < 60:
            # shorter and shorter, so that it strikes where a batch is begun
            pause = chance.uniform(0, 0.2 if interrupts < 20 else 0.01)
            timer = threading.Timer(pause, os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                while True:
                    next(iterator)
            except KeyboardInterrupt:
                interrupts += 1
            timer.join()
        iterator.reset()
        iterator.total_batches_seen = 0
        report(right=take(iterator, 5) == calm, decoders=len(decoders()))
        """,
        slow_tree,
        faulty=True,
    )
    assert program.report() == {"right": True, "decoders": 2}
    program.finish()


@BY_GROUP
def test_ctrl_c_while_a_read_hangs(start, tmp_path, group):
    """The prompt does not wait for the files, nor does the end of the program."""
    case = BadFile(tmp_path, group, "fifo_x.jpg", make=os.mkfifo)
    os.mkfifo(case.root / "ants/fifo_y.jpg")  # one for each of two processes
    program = start(
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        workers = int(sys.argv[2])
        iterator = flow(shuffle=False, batch_size=18, timeout=600, workers=workers)
        try:
            print("ready", flush=True)
            next(iterator)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        start = time.monotonic()
        del iterator
        gc.collect()
        os.unlink(os.path.join(root, "bees/fifo_x.jpg"))
        os.unlink(os.path.join(root, "ants/fifo_y.jpg"))
        warnings.simplefilter("ignore")
        good = flow(shuffle=False, workers=workers, on_error="skip")
        report(n=sum(len(next(good)[0]) for _ in range(len(good))), bad=good.bad_files)
        """,
        case.root,
        GROUPS[group]["workers"],
    )
    assert program.line() == "ready"
    time.sleep(1.5)
    begin = time.monotonic()
    os.killpg(program.process.pid, signal.SIGINT)
    assert program.line() == "interrupted"
    assert time.monotonic() - begin < 2
    bad = [] if case.text is None else [str(case.text)]
    assert program.report(patience=20) == {"n": 16, "bad": bad}
    program.finish(patience=PATIENCE)


def test_ctrl_c_ends_a_script(start, slow_tree):
    """One traceback, the script's own; no process adds its words."""
    program = start(
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        iterator = flow()
        next(iterator)
        print("ready", flush=True)
        while True:
            next(iterator)
        """,
        slow_tree,
        faulty=True,
    )
    assert program.line() == "ready"
    time.sleep(0.5)
    begin = time.monotonic()
    os.killpg(program.process.pid, signal.SIGINT)
    program.finish(patience=4, status=-signal.SIGINT, quiet=False)
    assert time.monotonic() - begin < 4
    assert program.errors.count("Traceback") == 1
    assert program.errors.rstrip().endswith("KeyboardInterrupt")


# ---------------------------------------------------------------------------- ends


def test_an_iterator_dropped_within_an_epoch(start, slow_tree):
    """Threads and slots go with it; the processes wait for the next iterator."""
    program = start(
        """
        iterator = flow(prefetch=4)
        next(iterator)
        before = {process.pid for process in decoders()}
        assert memory() > 0
        del iterator
        gc.collect()
        wait_until(lambda: not any(t.name.startswith("fastaug") for t in threading.enumerate()),
                   "the threads ended")
        wait_until(lambda: memory() == 0, "the slots were given back")
        calm = take(flow(decoder="threads", seed=4), 5)
        other = flow(seed=4)
        right = take(other, 5) == calm
        same = {process.pid for process in decoders()} == before
        other.close()
        report(right=right, same=same, n=len(before))
        """,
        slow_tree,
        faulty=True,
    )
    assert program.report() == {"right": True, "same": True, "n": 2}
    program.finish()


@pytest.mark.parametrize("decoder", ["processes", "threads"])
def test_close_while_another_thread_waits_for_a_batch(start, slow_tree, decoder):
    """It takes nothing from the batch that is waited for, nor the threads that work on it."""
    program = start(
        """
        calm = take(flow(workers=0), 12)
        iterator = flow(decoder=sys.argv[2])
        stop = threading.Event()

        def close():
            while not stop.wait(0.01):
                iterator.close()

        thread = threading.Thread(target=close)
        thread.start()
        batches = take(iterator, 12)
        stop.set()
        thread.join()
        report(right=batches == calm)
        """,
        slow_tree,
        decoder,
        faulty=True,
    )
    assert program.report() == {"right": True}
    program.finish()


@pytest.mark.parametrize("pool", ["None", "concurrent.futures.ThreadPoolExecutor(2)"])
def test_close_gives_the_slots_back(start, tree, pool):
    """And the next batch makes new ones."""
    program = start(
        f"""
        import concurrent.futures
        calm = take(flow(workers=0), 9)
        iterator = flow(pool={pool})
        batches = take(iterator, 3)
        iterator.close()
        wait_until(lambda: memory() == 0, "the slots were given back")
        batches += take(iterator, 3)
        assert memory() > 0
        with iterator:
            batches += take(iterator, 3)
        wait_until(lambda: memory() == 0, "the slots were given back")
        report(right=batches == calm)
        """,
        tree,
    )
    assert program.report() == {"right": True}
    program.finish()


ENDINGS = {
    "its last line": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an exception": ("raise LookupError('mine')", 1),
    "os._exit": ("os._exit(4)", 4),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "a crash": ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
    "exec": ("os.execv('/bin/true', ['true'])", 0),
}


@pytest.mark.parametrize(("ending", "status"), ENDINGS.values(), ids=ENDINGS.keys())
def test_a_program_that_ends_within_an_epoch(start, slow_tree, ending, status):
    """In whatever way: `start` finds that nothing is left."""
    program = start(
        "iterator = flow(prefetch=4)\nnext(iterator)\nreport(n=len(decoders()))\n" + ending,
        slow_tree,
        faulty=True,
    )
    assert program.report() == {"n": 2}
    program.finish(patience=PATIENCE, status=status, quiet=False)
    if status == 1:
        assert program.errors.rstrip().endswith("LookupError: mine")
        assert program.errors.count("Traceback") == 1
    else:
        assert not program.errors


@BY_GROUP
def test_a_program_that_ends_while_a_read_hangs(start, tmp_path, group):
    trees.plain_tree(tmp_path / "tree", (8, 8, 4))
    os.mkfifo(tmp_path / "tree/cats/2_fifo.jpg")  # behind the first batch
    program = start(
        """
        arguments = json.loads(sys.argv[2])
        iterator = flow(shuffle=False, prefetch=4, timeout=600, **arguments)
        next(iterator)
        time.sleep(1)
        print("ending", flush=True)
        """,
        tmp_path / "tree",
        json.dumps(GROUPS[group]),
    )
    assert program.line() == "ending"
    program.finish(patience=4)  # nobody waits for the file


@BY_GROUP
def test_a_program_that_becomes_another_while_a_read_hangs(start, tmp_path, group):
    """The other program has the same number and is no parent of decode processes."""
    trees.plain_tree(tmp_path / "tree", (8, 8, 4))
    os.mkfifo(tmp_path / "tree/cats/2_fifo.jpg")  # behind the first batch
    program = start(
        """
        arguments = json.loads(sys.argv[2])
        iterator = flow(shuffle=False, prefetch=4, timeout=600, **arguments)
        next(iterator)
        time.sleep(1)
        print("ready", flush=True)
        os.execv("/bin/sleep", ["sleep", "60"])
        """,
        tmp_path / "tree",
        json.dumps(GROUPS[group]),
    )
    assert program.line() == "ready"
    wait_until(lambda: len(processes_of(start.token)) == 1, "only the other program is left", 5)
    assert program.process.poll() is None
    program.process.kill()
    program.finish(status=-signal.SIGKILL)


def test_a_program_killed_from_outside(start, slow_tree):
    program = start(
        """
        iterator = flow(prefetch=4)
        next(iterator)
        print("ready", flush=True)
        while True:
            next(iterator)
        """,
        slow_tree,
        faulty=True,
    )
    assert program.line() == "ready"
    assert len(processes_of(start.token)) >= 3
    program.process.kill()
    program.finish(status=-signal.SIGKILL)
    wait_until(lambda: not processes_of(start.token), "its processes ended", 5)


# ---------------------------------------------------------------------------- memory


def test_no_memory_for_the_slots(start, tree):
    """A clear error; the iterator works as soon as there is memory again."""
    program = start(
        """
        import resource
        calm = take(flow(workers=0), 8)
        iterator = flow()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        errors = []
        for _ in range(2):
            try:
                next(iterator)
            except OSError as error:
                errors.append(str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert memory() == 0
        iterator.reset()
        iterator.total_batches_seen = 0
        report(errors=errors, right=take(iterator, 8) == calm)
        """,
        tree,
    )
    result = program.report()
    program.finish()
    assert len(result["errors"]) == 2
    for text in result["errors"]:
        assert "No memory for" in text and "decoded images" in text
    assert result["right"]


def test_no_files_left_for_the_slots(start, tree):
    """Every file descriptor taken: an error, and then it goes on."""
    program = start(
        """
        import resource
        iterator = flow()
        calm = take(iterator, 8)
        iterator.close()
        wait_until(lambda: memory() == 0, "the slots were given back")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken, limit[1]))
        fillers = []
        try:
            while True:
                fillers.append(os.dup(1))
        except OSError:
            pass
        try:
            next(iterator)
            error = None
        except OSError as caught:
            error = caught.errno
        for filler in fillers:
            os.close(filler)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        iterator.reset()
        iterator.total_batches_seen = 0
        report(error=error, right=take(iterator, 8) == calm)
        """,
        tree,
    )
    assert program.report(patience=30) == {"error": errno.EMFILE, "right": True}
    program.finish()


FULL_SHM = """
import subprocess
open("/dev/shm/filler", "wb").close()
with open("/dev/shm/filler", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
calm = take(flow(workers=0), 8)
iterator = flow()
try:
    outcome = take(iterator, 8) == calm
except Exception as error:
    outcome = [type(error).__name__, str(error)]
os.unlink("/dev/shm/filler")
iterator.reset()
iterator.total_batches_seen = 0
report(outcome=outcome, right=take(iterator, 8) == calm)
"""


def can_mount():
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/dev/shm"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_a_full_dev_shm(start, tree, tmp_path):
    """Either it is not needed, or an OSError says what is missing; then it works again."""
    inside = tmp_path / "inside.py"
    inside.write_text(WITHOUT_KERAS + PREAMBLE + FULL_SHM)
    mount = (
        f"mount -t tmpfs -o size=64k none /dev/shm && exec {sys.executable} -u -P {inside} {tree}"
    )
    program = start(f"os.execvp('unshare', ['unshare', '-m', 'sh', '-c', {mount!r}])", tree)
    result = program.report()
    program.finish(quiet=False)
    if result["outcome"] is not True:
        assert result["outcome"][0] == "OSError", result
    assert result["right"]


# ---------------------------------------------------------------------------- many at a time


def test_fifty_iterators(start, tree):
    """All give the right batches, from a few processes; then everything is given back."""
    program = start(
        """
        calm = take(flow(workers=0), 4)
        open_files = lambda: len(os.listdir("/proc/self/fd"))
        with flow() as first:
            right = [take(first, 4) == calm]
        wait_until(lambda: memory() == 0, "the slots were given back")
        before = open_files()
        iterators = [flow() for _ in range(50)]
        batches = [[] for _ in iterators]
        for _ in range(4):
            for number, iterator in enumerate(iterators):
                batches[number] += take(iterator, 1)
        right += [each == calm for each in batches]
        processes, threads = len(decoders()), threading.active_count()
        for iterator in iterators:
            iterator.close()
        wait_until(lambda: memory() == 0, "the slots were given back")
        held = max(
            open(f"/proc/{process.pid}/maps").read().count("memfd:fastaug (")
            for process in decoders())
        iterator = flow()
        take(iterator, 8)
        after = [open(f"/proc/{process.pid}/maps").read().count("memfd:fastaug (")
                 for process in decoders()]
        iterator.close()
        wait_until(lambda: memory() == 0, "the slots were given back")
        report(right=right, processes=processes, threads=threads, files=open_files() - before,
               after=max(after))
        """,
        tree,
    )
    result = program.report()
    program.finish()
    assert result["right"] == [True] * 51
    assert result["processes"] == 2
    assert result["threads"] < 20
    assert result["files"] <= 2
    assert result["after"] <= 2


def test_iterators_in_several_threads(start, tree):
    program = start(
        """
        calm = {seed: take(flow(workers=0, seed=seed), 16) for seed in range(6)}
        batches = {}
        def consume(seed):
            with flow(seed=seed) as iterator:
                batches[seed] = take(iterator, 16)
        threads = [threading.Thread(target=consume, args=(seed,)) for seed in calm]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        report(right=batches == calm, processes=len(decoders()))
        """,
        tree,
    )
    assert program.report() == {"right": True, "processes": 2}
    program.finish()


@pytest.mark.parametrize("decoder", ["processes", "threads"])
def test_no_iterator_waits_until_another_has_enough(start, slow_tree, decoder):
    """Not even if that is asked for more all the time."""
    program = start(
        """
        iterators = [flow(decoder=sys.argv[2]) for _ in range(2)]
        counts = [0, 0]
        def consume(k):
            while sum(counts) < 40:
                next(iterators[k])
                counts[k] += 1
        threads = [threading.Thread(target=consume, args=(k,), daemon=True) for k in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        report(counts=counts)
        """,
        slow_tree,
        decoder,
        faulty=True,
    )
    assert min(program.report()["counts"]) > 8
    program.finish()


def test_files_from_the_middle_of_an_array_s_batches_on(start, tree):
    """Threads at work when the readers come to know of them do not count for ever, nor less."""
    program = start(
        """
        from fastaug.data import decode_pool
        images = np.zeros((64, 600, 600, 3), np.uint8)
        generator = fastaug.ImageDataGenerator(rotation_range=90, workers=2)
        arrays = generator.flow(images, batch_size=32)
        stop = threading.Event()
        def consume():
            while not stop.is_set():
                next(arrays)
        thread = threading.Thread(target=consume)
        thread.start()
        time.sleep(0.5)
        with flow() as files:
            next(files)
        stop.set()
        thread.join()
        arrays.close()
        control = decode_pool.shared_decode_pool(2).control
        workers = lambda: [t for t in threading.enumerate() if t.name == "fastaug-worker"]
        wait_until(lambda: not workers(), "no thread is at work")
        report(warping=control.warping)
        """,
        tree,
    )
    assert program.report() == {"warping": 0}
    program.finish()


@pytest.mark.parametrize("decoder", ["processes", "threads"])
def test_a_codec_that_raises_what_is_no_exception(start, tmp_path, decoder):
    """As a panic in Rust is: an error that names the file, and nobody waits for ever."""
    root = trees.plain_tree(tmp_path / "t", (6, 6, 4))
    trees.write(root, "bees/panic_x.jpg", 50)
    program = start(
        """
        iterator = flow(decoder=sys.argv[2], on_error="skip", shuffle=False)
        warnings.simplefilter("ignore")
        sizes = [len(next(iterator)[0]) for _ in range(4)]
        report(sizes=sizes, bad=iterator.bad_files)
        """,
        root,
        decoder,
        faulty=True,
    )
    result = program.report()
    program.finish()
    assert result["sizes"] == [8, 7, 1, 8]
    assert result["bad"] == [str(root / "bees/panic_x.jpg")]


@pytest.mark.parametrize("decoder", ["processes", "threads"])
def test_reads_that_hang_leave_the_cores_to_others(start, tmp_path, decoder):
    """As many as there are cores, of an iterator that nobody waits for."""
    bad = tmp_path / "bad"
    for k in range(4):
        (bad / "a").mkdir(parents=True, exist_ok=True)
        os.mkfifo(bad / f"a/{k}.jpg")
    good = trees.plain_tree(tmp_path / "good", (10, 10))
    program = start(
        """
        cores = len(os.sched_getaffinity(0))
        hung = flow(workers=4 * cores, decoder=sys.argv[2], prefetch=0, timeout=600)
        waits = threading.Thread(target=lambda: next(hung), daemon=True)
        waits.start()
        time.sleep(1)
        calm = take(flow(sys.argv[3], workers=0), 4)
        right = take(flow(sys.argv[3], workers=4 * cores, decoder=sys.argv[2]), 4) == calm
        report(right=right)
        os._exit(0)
        """,
        bad,
        decoder,
        good,
    )
    assert program.report(patience=40) == {"right": True}
    program.finish()


def test_a_file_after_one_that_came_late(start, tmp_path):
    """A process that was slow, but goes on before it is killed, is not killed for the next file."""
    root = trees.plain_tree(tmp_path / "t", (4,))
    data = (root / "ants/0.jpg").read_bytes()
    for k in range(2):
        (root / f"ants/{k}.jpg").unlink()
        os.mkfifo(root / f"ants/{k}.jpg")
    (tmp_path / "data").write_bytes(data)
    program = start(
        """
        import pathlib
        from fastaug.data import decode_pool
        from fastaug.run import processes
        data = pathlib.Path(sys.argv[2]).read_bytes()
        kill = processes._Child.kill
        late = []
        def feed(k):
            pathlib.Path(f"{root}/ants/{k}.jpg").write_bytes(data)
        def kill_late(child, stuck=False):
            if stuck and not late:
                control = decode_pool.shared_decode_pool(1).control
                late.append(control.busy(0))
                feed(0)
                wait_until(lambda: control.busy(0) not in (late[0], 0), "it has the next file")
                kill(child, stuck=stuck)
                threading.Timer(0.5, feed, [1]).start()
            else:
                kill(child, stuck=stuck)
        processes._Child.kill = kill_late
        images, _ = next(flow(workers=1, shuffle=False, batch_size=4, timeout=2, prefetch=0))
        report(late=len(late), right=all(image.any() for image in images))
        """,
        root,
        tmp_path / "data",
    )
    assert program.report() == {"late": 1, "right": True}
    program.finish()


@pytest.mark.parametrize("decoder", ["processes", "threads"])
def test_an_iterator_used_when_the_program_ends(start, tree, decoder):
    program = start(
        """
        def late():
            try:
                next(iterator)
            except RuntimeError as error:
                report(error=str(error))
        import atexit
        from fastaug.run import threads
        atexit.unregister(threads._at_exit)  # the last that was registered comes first
        atexit.register(late)
        atexit.register(threads._at_exit)
        iterator = flow(decoder=sys.argv[2], prefetch=0)
        next(iterator)
        """,
        tree,
        decoder,
    )
    assert "the program is ending" in program.report()["error"]
    program.finish()


@pytest.mark.parametrize("pool", ["None", "multiprocessing.Pool(1)"])
def test_a_folder_that_is_gone(start, tmp_path, pool):
    """Paths relative to it are no files of another folder, where the processes were before."""
    for name in ("there", "gone"):
        trees.plain_tree(tmp_path / name)
    program = start(
        """
        import multiprocessing, shutil
        os.chdir(f"{root}/there")
        pool = eval(sys.argv[2])
        flow(".", workers=1, pool=pool)[0]
        os.chdir(f"{root}/gone")
        iterator = flow(".", workers=1, pool=pool)
        shutil.rmtree(f"{root}/gone")
        try:
            next(iterator)
        except FileNotFoundError as error:
            report(gone=os.path.basename(error.filename).endswith(".jpg"))
        """,
        tmp_path,
        pool,
    )
    assert program.report() == {"gone": True}
    program.finish()


def test_one_iterator_in_several_threads(start, tree):
    """Each batch of the sequence comes out exactly once."""
    program = start(
        """
        calm = take(flow(workers=0), 40)
        batches = []
        iterator = flow(prefetch=3)
        threads = [threading.Thread(target=lambda: batches.extend(take(iterator, 10)))
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        report(right=sorted(batches) == sorted(calm))
        """,
        tree,
    )
    assert program.report() == {"right": True}
    program.finish()


@pytest.mark.parametrize("ahead", [0, 4])
def test_a_fork_after_use(start, tree, ahead):
    """The child starts processes of its own, and both go on with the right batches."""
    program = start(
        f"""
        iterator = flow(prefetch={ahead})
        calm = take(flow(workers=0), 42)
        elsewhere_calm = take(flow(workers=0, seed=77), 40)
        batches = take(iterator, 2)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            iterator.reset()
            iterator.seed, iterator.total_batches_seen = 77, 0  # other files in the same slots
            here = take(iterator, 40)
            other = take(flow(seed=9), 3)
            os.write(write, json.dumps([here, other]).encode())
            os._exit(0)
        os.close(write)
        batches += take(iterator, 40)
        other = take(flow(seed=9), 3)
        from_child = os.fdopen(read).read()
        status = os.waitpid(child, 0)[1]
        report(right=batches == calm, status=status,
               child=json.loads(from_child or "0") == [elsewhere_calm, other])
        """,
        tree,
    )
    assert program.report() == {"right": True, "status": 0, "child": True}
    program.finish()


def test_a_fork_leaves_the_parent_s_slots_alone(start, tmp_path):
    """What the child drops of the batches ahead has no place in the slots of the parent."""
    for k in range(200):
        trees.write(tmp_path / "tree", f"a/slow_{k}.jpg", k)
    program = start(
        """
        iterator = flow(prefetch=20)
        next(iterator)  # most of what is ahead still waits for a slot
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            iterator.close()
            time.sleep(1)
            os.write(write, json.dumps(len(decoders())).encode())
            os._exit(0)
        os.close(write)
        started_by_child = os.fdopen(read).read()
        report(started=started_by_child, status=os.waitpid(child, 0)[1])
        """,
        tmp_path / "tree",
        faulty=True,
    )
    assert program.report() == {"started": "0", "status": 0}
    program.finish()


def test_a_fork_while_another_thread_makes_an_iterator(start, tree):
    """The child does not wait for a lock that nobody in it holds."""
    program = start(
        """
        from fastaug.data import decode_pool
        calm = take(flow(workers=0), 3)
        with decode_pool._pools_lock:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(0 if take(flow(), 3) == calm else 1)
        report(status=os.waitpid(child, 0)[1])
        """,
        tree,
    )
    assert program.report() == {"status": 0}
    program.finish()


# ---------------------------------------------------------------------------- scripts, notebooks


def test_a_script_without_a_main_guard(start, tree):
    """No process runs the script a second time."""
    program = start(
        """
        print("the script runs", flush=True)
        calm = take(flow(workers=0), 9)
        iterator = flow()
        report(right=take(iterator, 9) == calm, processes=len(decoders()))
        """,
        tree,
        as_file=True,
    )
    assert program.line() == "the script runs"
    assert program.report() == {"right": True, "processes": 2}
    program.finish()
    assert program._lines.get(timeout=5) is None


def test_workers_import_neither_keras_nor_tensorflow(start, tree):
    program = start(
        """
        import keras
        iterator = flow()
        next(iterator)
        maps = "".join(open(f"/proc/{process.pid}/maps").read() for process in decoders())
        report(n=len(decoders()), tensorflow="tensorflow" in maps, cv2="cv2" in maps,
               sizes=[process.memory_info().rss for process in decoders()])
        """,
        tree,
        keras=True,
    )
    result = program.report()
    program.finish(quiet=False)
    assert result["n"] == 2
    assert result["cv2"] and not result["tensorflow"]
    assert max(result["sizes"]) < 200e6


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the client's own sockets
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_notebook(tree, slow_tree, tmp_path):
    """Cells, an interrupt, the same iterator again, and a kernel that ends or is killed."""
    jupyter_client = pytest.importorskip("jupyter_client")
    pytest.importorskip("ipykernel")
    for k in range(40):
        trees.write(tmp_path / "tree", f"a/{k}.jpg", k)
    os.mkfifo(tmp_path / "tree/a/zz.jpg")  # the cell hangs until it is interrupted
    token = uuid.uuid4().hex
    before = shared_memory()
    manager = jupyter_client.KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(env=os.environ | {TOKEN: token})
    client = manager.client()
    client.start_channels()

    def run_cell(code, timeout=60):
        outputs = []
        reply = client.execute_interactive(
            code, timeout=timeout, output_hook=lambda message: outputs.append(message["content"])
        )["content"]
        text = "".join(content.get("text", "") for content in outputs)
        return reply["status"], reply.get("ename"), text

    try:
        client.wait_for_ready(timeout=60)
        preamble = PREAMBLE.replace("sys.argv[1]", repr(str(tree)))
        assert run_cell(WITHOUT_KERAS + preamble)[0] == "ok"
        status, _, text = run_cell(
            "iterator = flow()\nreport(right=take(iterator, 9) == take(flow(workers=0), 9))"
        )
        assert status == "ok", text
        assert '{"right": true}' in text

        # in the middle of an epoch
        run_cell(f"slow = flow(root={str(slow_tree)!r})\nfirst = take(slow, 1)")
        threading.Timer(0.5, manager.interrupt_kernel).start()
        begin = time.monotonic()
        status, name, _ = run_cell("while True:\n    next(slow)")
        assert (status, name) == ("error", "KeyboardInterrupt")
        assert time.monotonic() - begin < 0.5 + 2
        status, _, text = run_cell(
            "next(slow)\nslow.reset()\nslow.total_batches_seen = 0\n"
            "report(right=take(slow, 1) == first, n=len(decoders()))"
        )
        assert status == "ok", text
        assert '{"right": true, "n": 2}' in text

        hanging = f"hangs = flow(root={str(tmp_path / 'tree')!r}, shuffle=False, timeout=600)\n"
        interrupt = threading.Timer(3, manager.interrupt_kernel)
        interrupt.start()
        begin = time.monotonic()
        status, name, _ = run_cell(hanging + "while True:\n    next(hangs)")
        assert (status, name) == ("error", "KeyboardInterrupt")
        assert time.monotonic() - begin < 3 + 2

        status, _, text = run_cell(
            "del hangs\niterator.reset()\niterator.total_batches_seen = 0\n"
            "report(right=take(iterator, 9) == take(flow(workers=0), 9), n=len(decoders()))"
        )
        assert status == "ok", text
        assert '"right": true' in text
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)
        manager.cleanup_resources()
        gc.collect()
    wait_until(lambda: not processes_of(token), "no process is left", PATIENCE)
    wait_until(lambda: shared_memory() <= before, "no shared memory is left", PATIENCE)


# ---------------------------------------------------------------------------- the checks


def test_the_check_for_leaks_can_fail(tmp_path):
    """An orphan of an orphan is found, and so is a name in /dev/shm."""
    token = uuid.uuid4().hex
    code = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=-3, stderr=-3).pid)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {TOKEN: token},
        capture_output=True,
        text=True,
    )
    found = processes_of(token)
    assert [process.pid for process in found] == [int(done.stdout)]
    found[0].kill()
    wait_until(lambda: not processes_of(token), "it ended")
    before = shared_memory()
    path = pathlib.Path(f"/dev/shm/fastaug-test-{token}")
    path.touch()
    try:
        assert shared_memory() - before == {path.name}
    finally:
        path.unlink()
