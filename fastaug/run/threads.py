"""Threads that run chunks of batches and go away when there is nothing to do.

Owns the threads of the program: one pool for each size, shared by the iterators that ask for it,
gone with the last of them. A thread that has had no work for a second ends; the next job starts it
anew. So nothing runs on after an interrupted loop, and nothing needs to be closed for a program to
end.

``concurrent.futures`` keeps its threads until a shutdown, which an interrupted notebook cell never
calls. Knows nothing of images: a job is a `Job`, which is calls into Python, or a `_core.Batch`,
which threads work on without the GIL, with the same methods.
"""

import atexit
import math
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable

from fastaug import _core
from fastaug.run.cgroups import cpu_quota

IDLE_SECONDS = 1.0

# Threads of a pool at most, and processes beside it.
MOST_THREADS = _core.MOST_READERS

# Seconds to wait, when the program ends, for calls that go on: a read may hang.
_EXIT_SECONDS = 5.0

# Seconds for which the quota is taken to be as it was.
_QUOTA_SECONDS = 1.0

_quota_seen: tuple[float, float | None] = (-math.inf, None)
_pools: "weakref.WeakValueDictionary[int, ThreadPool]" = weakref.WeakValueDictionary()
_pools_lock = threading.Lock()
_states: "weakref.WeakSet[_State]" = weakref.WeakSet()


class Job:
    """Calls that belong together: chunks of one batch.

    Args:
        calls: Functions without arguments, each with a method `cancel` for when it is not wanted.
        then: Function to call after all of them have returned, in the thread of the last.
    """

    def __init__(self, calls, then=None):
        self._calls = calls
        self._then = then
        self._ended = 0
        self._lock = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()
        self._cancelled = False
        self._error = None
        self._process = os.getpid()

    def run(self):
        """Runs all calls in this thread."""
        for call in self._calls:
            self._run(call)

    def put_into(self, tasks):
        """Hands the calls to the threads of a queue; returns how many of them can have a part."""
        for call in self._calls:
            tasks.put(lambda call=call: self._run(call))
        return len(self._calls)

    def cancel(self):
        """Lets the calls that have not begun come to nothing."""
        self._cancelled = True
        self._error = None  # its traceback would keep the batch
        for call in self._calls:
            call.cancel()

    def is_lost(self):
        """Whether this is a copy in a forked process: no thread here will ever run it."""
        return self._process != os.getpid()

    def wait(self):
        """Waits for the end of all calls.

        Raises:
            BaseException: The first exception of a call, with its own traceback.
        """
        self._done.acquire()
        self._done.release()
        if self._error is not None:
            error, self._error = self._error, None
            self._cancelled = True
            try:
                raise error
            finally:
                del error  # no cycle between the traceback and this frame

    def _run(self, call):
        try:
            if self._cancelled or self._error is not None:
                call.cancel()
            else:
                call()
        except BaseException as error:  # it is the caller's, whatever it is
            self._keep(error)
        with self._lock:
            self._ended += 1
            is_last = self._ended == len(self._calls)
        if not is_last:
            return
        try:
            if self._then is not None and not self._cancelled and self._error is None:
                self._then()
        except BaseException as error:
            self._keep(error)
        finally:
            self._done.release()

    def _keep(self, error):
        if self._error is None and not self._cancelled:
            self._error = error


class JobGroup:
    """Jobs, of either kind, that are handed over and waited for as one.

    Args:
        jobs: The jobs.
    """

    def __init__(self, jobs):
        self._jobs = jobs

    def run(self):
        """Runs all of them in this thread."""
        for job in self._jobs:
            job.run()

    def put_into(self, tasks):
        """Hands them to the threads of a queue; returns how many of these can have a part."""
        return sum([job.put_into(tasks) for job in self._jobs])

    def cancel(self):
        """Lets what has not begun come to nothing."""
        for job in self._jobs:
            job.cancel()

    def is_lost(self):
        """Whether this is a copy in a forked process: no thread here will ever run it."""
        return any(job.is_lost() for job in self._jobs)

    def wait(self):
        """Waits for the end of all.

        Raises:
            BaseException: What the first of them raised that failed.
        """
        for job in self._jobs:
            job.wait()


class _State:
    """What a pool and its threads share; the threads do not keep the pool itself alive."""

    def __init__(self, size):
        self.size = size
        self.lock = threading.Lock()
        self.tasks = _core.TaskQueue()
        self.threads = set()
        self.process = os.getpid()
        _states.add(self)

    def start_thread(self):
        thread = threading.Thread(target=self.work, name="fastaug-worker", daemon=True)
        self.threads.add(thread)
        try:
            thread.start()
        except BaseException as error:
            if not thread.is_alive():
                self.threads.discard(thread)
            if not isinstance(error, RuntimeError) or not self.threads:
                raise  # with fewer threads than wished for, the work gets done too

    def work(self):
        me = threading.current_thread()
        while True:
            try:
                task = self.tasks.get(IDLE_SECONDS)
            except queue.Empty:
                with self.lock:
                    if not self.tasks.empty():  # submitted between the timeout and the lock
                        continue
                    self.threads.discard(me)
                    return
            if task is None:
                with self.lock:
                    self.threads.discard(me)
                return
            task()
            del task

    def close(self):
        # without the lock: the garbage collector may come here while this thread holds it
        for _ in range(len(self.threads)):
            self.tasks.put(None)


class ThreadPool:
    """Some threads; use `shared_pool` to get one.

    Args:
        size: Number of threads at most.
    """

    def __init__(self, size):
        self.size = size
        self._state = _State(size)
        self._finalizer = weakref.finalize(self, self._state.close)

    def submit(self, job):
        """Hands a job to the threads, after those handed over before."""
        state = self._state
        if state.process != os.getpid():  # forked: the threads stayed with the parent
            self._finalizer.detach()
            state = self._state = _State(self.size)
            self._finalizer = weakref.finalize(self, state.close)
        with state.lock:
            parts = job.put_into(state.tasks)
            for _ in range(min(parts, state.size - len(state.threads))):
                state.start_thread()


def shared_pool(size: int) -> ThreadPool:
    """Returns the pool of that size. It lives as long as somebody holds it."""
    with _pools_lock:
        pool = _pools.get(size)
        if pool is None:
            pool = _pools[size] = ThreadPool(size)
        return pool


def finish(job, pool: ThreadPool | None) -> None:
    """Has the threads of a pool run a job, and waits for it; without a pool, this thread runs it.

    Raises:
        BaseException: The first exception of the job, or an interrupt, after which it goes no
            further.
    """
    if pool is None:
        job.run()
    else:
        pool.submit(job)
    try:
        job.wait()
    except BaseException:
        job.cancel()
        raise


def usable_cores() -> int:
    """Returns the number of cores that this process may use.

    What the user told Python (`PYTHON_CPU_COUNT`, `-X cpu_count`), or else the cores of the
    affinity, if the quota of a container is not less. They may change while the program runs.
    """
    told = sys._xoptions.get("cpu_count") or os.environ.get("PYTHON_CPU_COUNT", "")
    if str(told).isdecimal() and int(told):  # Python heeds it from 3.13 on
        return int(told)
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        cores = os.cpu_count() or 1
    quota = _recent_quota()
    return cores if quota is None else min(cores, math.ceil(quota))


def _recent_quota():
    """Returns the quota, or None: to read it takes longer than to make an iterator."""
    global _quota_seen
    seconds, quota = _quota_seen
    if time.monotonic() > seconds + _QUOTA_SECONDS:
        quota = cpu_quota()
        _quota_seen = time.monotonic(), quota
    return quota


def at_exit(function):
    """Registers what to call when the program ends, before threads are waited for: what frees them.

    Args:
        function: Function without arguments.
    """
    _before_exit.append(function)


_before_exit: list[Callable[[], None]] = []


def _at_fork():
    global _pools_lock
    _pools_lock = threading.Lock()


def _at_exit():
    """Ends the threads before the interpreter takes itself apart under them."""
    for function in _before_exit:
        function()
    end = time.monotonic() + _EXIT_SECONDS
    for state in list(_states):
        if state.process != os.getpid():
            continue
        state.tasks.clear()
        threads = list(state.threads)
        state.close()
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_fork)
atexit.register(_at_exit)
