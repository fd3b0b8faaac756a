"""The pool of processes: results, deaths, hangs, order; only functions that every Python has."""

import operator
import os
import pathlib
import signal
import sys
import threading
import time

import pytest
from waiting import wait_until

from fastaug import processes
from fastaug.processes import ProcessDied, ProcessPool

PATIENCE = 20


@pytest.fixture
def make():
    """Make pools, closed at the end."""
    pools = []

    def make_pool(size=1, initializer=len, arguments=lambda: ("",)):
        pools.append(ProcessPool(size, initializer, arguments))
        return pools[-1]

    yield make_pool
    for pool in pools:
        pool.close()


def test_a_result(make):
    pool = make()
    here = pool.submit(os.getpid).result(PATIENCE)
    assert here != os.getpid()
    assert pool.submit(operator.add, 2, 3).result(PATIENCE) == 5
    assert pool.submit(os.getpid).result(PATIENCE) == here


def test_an_exception(make):
    pool = make()
    with pytest.raises(ZeroDivisionError):
        pool.submit(operator.truediv, 1, 0).result(PATIENCE)
    assert pool.submit(operator.add, 2, 3).result(PATIENCE) == 5


@pytest.mark.parametrize(
    ("number", "from_outside"),
    [(signal.SIGKILL, True), (signal.SIGTERM, True), (signal.SIGSEGV, False)],
)
def test_a_death_by_a_signal(make, number, from_outside):
    pool = make()
    death = pool.submit(signal.raise_signal, number).exception(PATIENCE)
    assert isinstance(death, ProcessDied)
    assert (death.status, death.from_outside, death.stuck) == (-number, from_outside, False)
    assert number.name in str(death)
    assert pool.submit(operator.add, 2, 3).result(PATIENCE) == 5


@pytest.mark.parametrize("status", [0, 7])
def test_a_process_that_exits(make, status):
    death = make().submit(os._exit, status).exception(PATIENCE)
    assert (death.status, death.from_outside) == (status, False)
    assert f"exit status {status}" in str(death)


def test_a_death_concerns_nobody_else(make):
    pool = make(2)
    other = pool.submit(time.sleep, 1)
    assert isinstance(pool.submit(os._exit, 1).exception(PATIENCE), ProcessDied)
    assert not other.done()
    assert other.result(PATIENCE) is None


def test_a_call_that_is_stuck(make):
    pool = make()
    asked = []

    def is_stuck():
        asked.append(time.monotonic())
        return len(asked) > 2

    death = pool.submit(time.sleep, 600, is_stuck=is_stuck).exception(PATIENCE)
    assert death.stuck and not death.from_outside
    assert len(asked) == 3
    assert pool.submit(operator.add, 2, 3).result(PATIENCE) == 5


def test_the_order(make):
    pool = make()
    pool.submit(os.getpid).result(PATIENCE)
    ended = []
    calls = [pool.submit(time.sleep, 0.5)]
    wait_until(calls[0].running, "it runs", PATIENCE)
    calls += [pool.submit(time.sleep, 0, first=first) for first in (False, False, True)]
    for number, call in enumerate(calls):
        call.add_done_callback(lambda _, number=number: ended.append(number))
    wait_until(lambda: len(ended) == 4, "all calls ended", PATIENCE)
    assert ended == [0, 3, 1, 2]


def test_a_call_in_a_process_of_its_own(make):
    pool = make()
    first = pool.submit(os.getpid).result(PATIENCE)
    second = pool.submit(os.getpid, fresh=True).result(PATIENCE)
    assert second != first
    assert pool.submit(os.getpid).result(PATIENCE) == second


def test_a_cancelled_call_is_not_run(make, tmp_path):
    pool = make()
    pool.submit(os.getpid).result(PATIENCE)
    pool.submit(time.sleep, 0.5)
    assert pool.submit(os.mkdir, str(tmp_path / "made")).cancel()
    assert pool.submit(operator.add, 2, 3).result(PATIENCE) == 5
    assert not (tmp_path / "made").exists()


def test_the_folder_of_the_caller(make, tmp_path, monkeypatch):
    """A path may be relative to the current folder, whichever that was when a process started."""
    pool = make()
    assert pool.submit(os.getcwd).result(PATIENCE) == str(pathlib.Path.cwd())
    monkeypatch.chdir(tmp_path)
    assert pool.submit(os.getcwd).result(PATIENCE) == str(tmp_path)


def test_processes_end_without_work_and_start_again(make, monkeypatch):
    monkeypatch.setattr(processes, "IDLE_SECONDS", 0.3)
    others = set(threading.enumerate())  # such as those of the flows of other tests
    pool = make()
    before = pool.submit(os.getpid).result(PATIENCE)
    wait_until(lambda: set(threading.enumerate()) <= others, "its thread ended", PATIENCE)
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert pool.submit(os.getpid).result(PATIENCE) != before


@pytest.mark.parametrize("size", [1, 3])
def test_processes_that_cannot_be_started(make, monkeypatch, size):
    """An error for every call that waits; the next ones are tried again."""
    pool = make(size)
    monkeypatch.setattr(processes.multiprocessing.spawn, "get_executable", lambda: "/bin/false")
    calls = [pool.submit(os.getpid) for _ in range(4)]
    for call in calls:
        error = call.exception(PATIENCE)
        assert isinstance(error, RuntimeError) and not isinstance(error, ProcessDied)
        assert "could not be started" in str(error) and "exit status 1" in str(error)
    monkeypatch.setattr(processes.multiprocessing.spawn, "get_executable", lambda: sys.executable)
    assert pool.submit(operator.add, 2, 3).result(PATIENCE) == 5


def test_a_thread_that_cannot_be_started(make, monkeypatch):
    """The call that wanted it fails, and no other one is lost."""
    pool = make()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: None)  # it has not come to run yet
        waiting = pool.submit(operator.add, 1, 1)

        def fail(self):
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            pool.submit(operator.add, 2, 2, first=True)
    assert pool.submit(operator.add, 3, 3).result(PATIENCE) == 6
    assert waiting.result(PATIENCE) == 2


def test_an_initializer_that_fails(make):
    pool = make(initializer=operator.truediv, arguments=lambda: (1, 0))
    error = pool.submit(os.getpid).exception(PATIENCE)
    assert isinstance(error, RuntimeError) and "division by zero" in str(error)


def test_a_pool_that_is_closed(make):
    pool = make()
    pid = pool.submit(os.getpid).result(PATIENCE)
    hung, waiting = pool.submit(time.sleep, 600), pool.submit(os.getpid)
    wait_until(hung.running, "it runs", PATIENCE)
    pool.close()
    assert isinstance(hung.exception(PATIENCE), ProcessDied)
    assert waiting.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(RuntimeError, match="ending"):
        pool.submit(os.getpid)
