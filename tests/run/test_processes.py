"""The pool of processes: starts, deaths, hangs; only functions that every Python has."""

import os
import signal
import sys
import threading
import time

import pytest
from waiting import wait_until

from fastaug.run import processes
from fastaug.run.processes import Death, ProcessPool

PATIENCE = 20


class Owner:
    """Wants some processes, and remembers what it is told."""

    def __init__(self, wanted=(0,), lives=1):
        self.wanted, self.lives = set(wanted), lives
        self.stuck, self.deaths, self.errors = set(), [], []
        self.asked = 0

    def wants(self, number):
        return number in self.wanted

    def is_stuck(self, number):
        self.asked += 1
        return number in self.stuck

    def died(self, number, death):
        self.deaths.append((number, death))
        if len(self.deaths) >= self.lives:
            self.wanted.discard(number)

    def failed(self, error):
        self.errors.append(error)
        self.wanted.clear()


@pytest.fixture
def make():
    """Make pools, closed at the end."""
    pools = []

    def make_pool(owner, prepare, size=1):
        pools.append(ProcessPool(size, prepare, (), owner))
        return pools[-1]

    yield make_pool
    for pool in pools:
        pool.close()


def pids(pool):
    return {number: child._process.pid for number, child in pool._children.items()}


def ready(pool):
    return {number for number, child in list(pool._children.items()) if child.was_ready}


class Code:
    """What is evaluated in the process: a function of its number, which returns what it runs."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return eval, (self.code,)


def run(code):
    return Code(f"lambda number: lambda: exec({code!r})")


def test_a_process_that_returns(make):
    owner = Owner()
    pool = make(owner, run("pass"))
    pool.wake()
    wait_until(lambda: owner.deaths, "it has ended", PATIENCE)
    [(number, death)] = owner.deaths
    assert (number, death.status, death.stuck, death.from_outside) == (0, 0, False, False)


def test_processes_have_their_numbers(make, tmp_path):
    owner = Owner({0, 2}, lives=2)
    code = f"lambda number: lambda: open({str(tmp_path)!r} + f'/{{number}}', 'w').close()"
    pool = make(owner, Code(code), size=3)
    pool.wake()
    # the first may end twice before the other does
    wait_until(lambda: {n for n, _ in owner.deaths} == {0, 2}, "both have ended", PATIENCE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2"]


@pytest.mark.parametrize(
    ("number", "from_outside"),
    [(signal.SIGKILL, True), (signal.SIGTERM, True), (signal.SIGSEGV, False)],
)
def test_a_death_by_a_signal(make, number, from_outside):
    owner = Owner()
    pool = make(owner, run(f"import signal; signal.raise_signal({int(number)})"))
    pool.wake()
    wait_until(lambda: owner.deaths, "it has died", PATIENCE)
    [(_, death)] = owner.deaths
    assert (death.status, death.from_outside, death.stuck) == (-number, from_outside, False)
    assert number.name in death.reason


def test_a_process_that_exits(make):
    owner = Owner()
    make(owner, run("import os; os._exit(7)")).wake()
    wait_until(lambda: owner.deaths, "it has ended", PATIENCE)
    [(_, death)] = owner.deaths
    assert (death.status, death.from_outside) == (7, False)
    assert "exit status 7" in death.reason


def test_an_exception_is_the_reason(make):
    owner = Owner()
    make(owner, run("1 / 0")).wake()
    wait_until(lambda: owner.deaths, "it has ended", PATIENCE)
    [(_, death)] = owner.deaths
    assert death.status == 1 and "ZeroDivisionError: division by zero" in death.reason


def test_a_death_concerns_nobody_else(make):
    owner = Owner({0, 1}, lives=3)
    code = "lambda n: lambda: __import__('time').sleep(600 if n else 0.2)"
    pool = make(owner, Code(code), size=2)
    pool.wake()
    wait_until(lambda: 1 in ready(pool), "the second runs", PATIENCE)
    other = pids(pool)[1]
    wait_until(lambda: len(owner.deaths) == 3, "the first was started anew", PATIENCE)
    assert {number for number, _ in owner.deaths} == {0}
    assert pids(pool)[1] == other
    os.kill(other, 0)


def test_a_killed_process_is_replaced_at_once(make):
    """Where the system tells of an end: not at the next look."""
    owner = Owner(lives=2)
    pool = make(owner, run("import time; time.sleep(600)"))
    pool.wake()
    wait_until(lambda: 0 in ready(pool), "it runs", PATIENCE)
    before = pids(pool)[0]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: 0 in ready(pool) and pids(pool)[0] != before, "another one runs", PATIENCE)
    assert [death.status for _, death in owner.deaths] == [-signal.SIGKILL]


def test_a_process_that_is_stuck(make):
    owner = Owner()
    pool = make(owner, run("import time; time.sleep(600)"))
    pool.wake()
    wait_until(lambda: owner.asked > 2, "it was asked for", PATIENCE)
    assert not owner.deaths
    owner.stuck.add(0)
    wait_until(lambda: owner.deaths, "it was killed", PATIENCE)
    [(_, death)] = owner.deaths
    assert death.stuck and not death.from_outside


def test_a_wait_that_the_system_refuses(make, monkeypatch):
    """As `poll` does with more files than the program may have by now: no process ends of it."""
    refused, connection = [], processes.multiprocessing.connection
    usual = connection.wait

    def wait(signs, seconds=None):
        if not seconds:
            return usual(signs, seconds)
        refused.append(time.monotonic())
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(connection, "wait", wait)
    owner = Owner()
    make(owner, run("import time; time.sleep(0.5)")).wake()
    wait_until(lambda: owner.deaths, "it has ended", PATIENCE)
    assert not owner.errors and owner.deaths[0][1].status == 0
    assert len(refused) > 1 and refused[1] - refused[0] > 0.02


def test_a_thread_that_ends_leaves_the_processes_of_the_next(make):
    """It has none itself: those that are there by then were started by another thread."""
    owner = Owner()
    pool = make(owner, run("import time; time.sleep(600)"))
    usual, ended = pool._lock, []

    class Lock:
        def __enter__(self):
            usual.acquire()

        def __exit__(self, *_):
            has_ended = pool._thread is None and threading.current_thread().name != "MainThread"
            usual.release()
            if has_ended and not ended:
                ended.append(threading.current_thread())
                owner.wanted.add(0)
                pool.wake()
                wait_until(lambda: 0 in ready(pool), "another thread has started one", PATIENCE)

    owner.wanted.clear()
    pool._lock = Lock()
    pool.wake()
    wait_until(lambda: ended and not ended[0].is_alive(), "the first thread has ended", PATIENCE)
    child = pids(pool)[0]
    asked = owner.asked
    wait_until(lambda: owner.asked > asked + 1, "the second goes on", PATIENCE)
    assert pids(pool) == {0: child} and not owner.deaths and not owner.errors


def test_the_thread_ends_with_the_processes(make):
    others = set(threading.enumerate())  # such as those of the flows of other tests
    owner = Owner()
    pool = make(owner, run("pass"))
    pool.wake()
    wait_until(lambda: owner.deaths, "it has ended", PATIENCE)
    wait_until(lambda: set(threading.enumerate()) <= others, "its thread ended", PATIENCE)
    owner.wanted.add(0)
    pool.wake()
    wait_until(lambda: len(owner.deaths) == 2, "another one was started", PATIENCE)


@pytest.mark.parametrize("size", [1, 3])
def test_processes_that_cannot_be_started(make, monkeypatch, size):
    """The owner is told; the next ones are tried again."""
    owner = Owner(range(size))
    pool = make(owner, run("pass"), size=size)
    monkeypatch.setattr(processes.multiprocessing.spawn, "get_executable", lambda: "/bin/false")
    pool.wake()
    wait_until(lambda: owner.errors, "it was told", PATIENCE)
    assert isinstance(owner.errors[0], RuntimeError) and not owner.deaths
    assert "could not be started" in str(owner.errors[0])
    assert "exit status 1" in str(owner.errors[0])
    monkeypatch.setattr(processes.multiprocessing.spawn, "get_executable", lambda: sys.executable)
    owner.wanted.add(0)
    pool.wake()
    wait_until(lambda: owner.deaths, "one has run", PATIENCE)


def test_an_executable_that_is_missing(make, monkeypatch):
    owner = Owner()
    monkeypatch.setattr(processes.multiprocessing.spawn, "get_executable", lambda: "/no/python")
    make(owner, run("pass")).wake()
    wait_until(lambda: owner.errors, "it was told", PATIENCE)
    assert "/no/python" in str(owner.errors[0])
    assert isinstance(owner.errors[0].__cause__, FileNotFoundError)


def test_a_thread_that_cannot_be_started(make, monkeypatch):
    owner = Owner()
    pool = make(owner, run("pass"))

    def fail(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            pool.wake()
    pool.wake()
    wait_until(lambda: owner.deaths, "it has run", PATIENCE)


def test_preparations_that_fail(make):
    owner = Owner()
    make(owner, Code("lambda number: 1 / 0")).wake()
    wait_until(lambda: owner.errors, "it was told", PATIENCE)
    assert "division by zero" in str(owner.errors[0])


def test_one_that_is_never_ready(make, monkeypatch):
    monkeypatch.setattr(processes, "_START_SECONDS", 0.5)
    owner = Owner()
    pool = make(owner, Code("lambda number: __import__('time').sleep(600)"))
    monkeypatch.setattr(processes, "_STARTS_KILLED", 2)
    pool.wake()
    wait_until(lambda: owner.errors, "it was told", PATIENCE)
    assert "not ready within 0.5 seconds" in str(owner.errors[0])


def test_ctrl_c_is_not_for_a_process(make):
    """Wherever it comes from; the parent does with it what it likes."""
    owner = Owner()
    pool = make(owner, run("import time; time.sleep(600)"))
    pool.wake()
    wait_until(lambda: 0 in ready(pool), "it runs", PATIENCE)
    for _ in range(3):
        os.kill(pids(pool)[0], signal.SIGINT)
        time.sleep(0.2)
    assert not owner.deaths


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_forked_child_has_processes_of_its_own(make):
    owner = Owner()
    pool = make(owner, run("import time; time.sleep(600)"))
    pool.wake()
    wait_until(lambda: 0 in ready(pool), "it runs", PATIENCE)
    before = pids(pool)
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(PATIENCE)
            pool.wake()
            wait_until(lambda: 0 in ready(pool), "another one runs", PATIENCE)
            if pids(pool) != before and not owner.deaths:
                status = 0
            pool.close()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert pids(pool) == before and not owner.deaths


def test_a_pool_that_is_closed(make):
    owner = Owner()
    pool = make(owner, run("import time; time.sleep(600)"))
    pool.wake()
    wait_until(lambda: 0 in ready(pool), "it runs", PATIENCE)
    pid = pids(pool)[0]
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "ending" in str(owner.errors[0])
    with pytest.raises(RuntimeError, match="ending"):
        pool.wake()


def test_how_a_death_is_told():
    assert Death(-9).from_outside and Death(-15).from_outside
    assert not Death(-9, stuck=True).from_outside
    assert not Death(-11).from_outside and not Death(0).from_outside
    assert Death(None).reason == "exit status None"
    assert Death(1, text="why").reason == "exit status 1: why"
