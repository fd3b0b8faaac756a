"""A pool of processes for calls that may crash or hang. Knows nothing of images.

    ProcessPool.submit ──► queue ──► thread ── function, arguments ──► process
            future ◄───────────────── │ ◄───── result; end of file: it died ── ┘

Each worker is a process with a thread here that starts it, gives it one call after the other and
waits for it. So the death of a process is the death of one call, with an exit status that tells
why; a process that hangs is killed alone; and Ctrl-C, which Python turns into an exception in the
main thread, never interrupts a start. The processes are in process groups of their own: Ctrl-C in a
terminal does not reach them, not even before they have run a line of Python.

A process is started anew and runs nothing of the user's script, so that no script needs a main
guard and nothing is forked that has threads. It ends when its parent is gone, however that ended.

``loky`` and ``concurrent.futures`` break a whole pool when one process dies, do not tell whose call
it was, cannot give up one that hangs, and wait for it when the program ends.
"""

import collections
import concurrent.futures
import contextlib
import multiprocessing.connection
import multiprocessing.spawn
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import NamedTuple

from fastaug.threads import at_exit

# Seconds after which a process without work ends; the next call starts another.
IDLE_SECONDS = 60

# Seconds that a process may take to get ready.
_START_SECONDS = 60

# How many processes may end in a row before one of a worker is ready, killed or by themselves.
_STARTS_KILLED = 30
_STARTS_FAILED = 3

_POLL_SECONDS = 0.2

# Seconds to wait for the end of what was killed: a read from a dead network drive keeps a process,
# which will not run another instruction of ours, for as long as it likes.
_KILL_SECONDS = 2

_BOOT = (
    "import sys; from multiprocessing.connection import Connection; "
    "connection = Connection(int(sys.argv[1])); sys.path[:] = connection.recv(); "
    "from fastaug.processes import serve; serve(connection)"
)


class ProcessDied(concurrent.futures.BrokenExecutor):
    """The process that ran a call is dead.

    Args:
        status: Its exit status; the number of a signal, if one killed it, is negative.
        stuck: Whether it was killed because the call was stuck.
    """

    def __init__(self, status, stuck=False):
        self.status = status
        self.stuck = stuck
        try:
            self.reason = signal.Signals(-status).name
        except (TypeError, ValueError):
            self.reason = f"exit status {status}"
        super().__init__(f"A process died: {self.reason}")

    @property
    def from_outside(self):
        """Whether it may have been killed by a person, or for want of memory: not a crash."""
        return not self.stuck and self.status in (-signal.SIGKILL, -signal.SIGTERM)


# ---- in the process ---------------------------------------------------------------------------


def serve(connection):
    """Runs the calls that come through a connection, until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = connection.recv()
    watch = threading.Thread(target=_end_with, args=(parent, connection.fileno()), daemon=True)
    watch.start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            try:
                function, arguments, folder = connection.recv()
                if folder is not None:
                    os.chdir(folder)
                answer = True, function(*arguments)
            except EOFError:
                raise
            except Exception as error:
                answer = False, error
            connection.send(answer)
    os._exit(0)


def _end_with(parent, fd):
    """Ends this process when its parent is gone, or has become another program."""
    closed = select.poll()
    closed.register(fd, 0)  # an end that was closed is reported unasked
    # a fork of the parent may hold the other end open for longer than the parent lives
    while os.getppid() == parent and not closed.poll(500):
        pass
    os._exit(1)


# ---- in the parent ----------------------------------------------------------------------------


class _Call(NamedTuple):
    future: concurrent.futures.Future
    function: object
    arguments: tuple
    is_stuck: object
    fresh: bool


class ProcessPool:
    """Processes that are started when there is something to do.

    Args:
        size: Number of processes at most.
        initializer: Function to call in each process, of a module that can be imported.
        arguments: Function that returns its arguments.
    """

    def __init__(self, size, initializer, arguments):
        self.size = size
        self._initializer = initializer
        self._arguments = arguments
        self.forget()
        _pools.add(self)

    def forget(self):
        """Makes this a pool without processes: after a fork they are the parent's."""
        for child in getattr(self, "_children", ()):
            child.forget()
        self._changed = threading.Condition()
        self._calls = collections.deque()
        self._threads = set()
        self._idle = 0
        self._children = set()
        self._closed = False

    def submit(self, function, *arguments, is_stuck=lambda: False, first=False, fresh=False):
        """Has a function called by a process.

        Args:
            function: Function of a module that can be imported.
            arguments: Its arguments; they are pickled.
            is_stuck: Asked a few times a second while the function runs; if it returns True, the
                process is killed.
            first: Whether to run this before all that was submitted earlier.
            fresh: Whether it needs a process in which nothing else has run.

        Returns:
            A `concurrent.futures.Future`. Its exception is `ProcessDied`, if the process died,
            RuntimeError, if none could be started, or what the function raised.

        Raises:
            RuntimeError: If the program is ending.
        """
        call = _Call(concurrent.futures.Future(), function, arguments, is_stuck, fresh)
        with self._changed:
            if self._closed:
                raise RuntimeError("No process is started any more: the program is ending")
            if first:
                self._calls.appendleft(call)
            else:
                self._calls.append(call)
            if self._idle < len(self._calls) and len(self._threads) < self.size:
                self._start_thread(call)
            self._changed.notify()
        return call.future

    def close(self):
        """Kills the processes; nothing can be submitted any more."""
        with self._changed:
            self._closed = True
            calls = list(self._calls)
            self._calls.clear()
            for child in self._children:
                child.kill()
            threads = list(self._threads)
            self._changed.notify_all()
        for call in calls:
            call.future.cancel()
        end = time.monotonic() + _KILL_SECONDS
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))

    def _start_thread(self, call):
        thread = threading.Thread(target=self._work, name="decode-process", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:  # with fewer than wished for, the work gets done too
                self._calls.remove(call)
                raise

    def _work(self):
        """Runs calls, in a thread with a process of its own."""
        me = threading.current_thread()
        with self._changed:
            if len(self._threads) >= self.size:
                return
            self._threads.add(me)
        child = None
        try:
            while self._wait_for_calls():
                if child is not None and not child.is_alive():
                    child = self._end(child)
                if child is None:
                    child = self._start_child()
                call = self._next_call()
                if call is None:  # while the process started, others did what there was
                    continue
                if call.fresh and child.calls:
                    child = self._end(child)
                    try:
                        child = self._start_child()
                    except RuntimeError as error:
                        call.future.set_exception(error)
                        raise
                child.run(call)
                del call
        except RuntimeError as error:
            self._give_up(me, error)
        finally:
            with self._changed:
                self._threads.discard(me)
            if child is not None:
                self._end(child)

    def _wait_for_calls(self):
        """Returns True as soon as there is a call, False if this thread is to end."""
        with self._changed:
            self._idle += 1
            try:
                self._changed.wait_for(lambda: self._calls or self._closed, IDLE_SECONDS)
            finally:
                self._idle -= 1
            if not self._calls or self._closed:
                # in the same breath, so that a call is not left to a thread that ends
                self._threads.discard(threading.current_thread())
                return False
            return True

    def _next_call(self):
        """Returns a call that is still wanted, or None."""
        with self._changed:
            while self._calls:
                call = self._calls.popleft()
                if call.future.set_running_or_notify_cancel():
                    return call
        return None

    def _give_up(self, me, error):
        """Lets all calls fail, unless another worker is there to run them."""
        with self._changed:
            self._threads.discard(me)
            if self._threads:
                return
            calls = list(self._calls)
            self._calls.clear()
        for call in calls:
            if call.future.set_running_or_notify_cancel():
                call.future.set_exception(error)

    def _start_child(self):
        """Returns a process that is ready.

        Raises:
            RuntimeError: If there is none after several attempts.
        """
        attempts = 0
        while True:
            attempts += 1
            child = None
            try:
                child = _Child()
                with self._changed:
                    self._children.add(child)
                    closed = self._closed
                if not closed:
                    child.prepare(self._initializer, self._arguments())
                    return child
                failure, limit = RuntimeError("The program is ending"), 0
            except ProcessDied as death:
                failure, limit = death, _STARTS_KILLED if death.from_outside else _STARTS_FAILED
            except Exception as error:  # no memory, too many open files, a module that is missing
                failure, limit = error, _STARTS_FAILED
            if child is not None:
                self._end(child)
            if self._closed or attempts >= limit:
                raise RuntimeError(f"A decode process could not be started: {failure}") from failure
            time.sleep(0.05)

    def _end(self, child):
        child.end()
        with self._changed:
            self._children.discard(child)


class _Child:
    """A process, as its thread sees it."""

    def __init__(self):
        self.calls = 0
        self._folder = None
        self._connection, other = multiprocessing.Pipe()
        python = multiprocessing.spawn.get_executable()
        with other:
            try:
                self._process = subprocess.Popen(
                    [python, "-P", "-c", _BOOT, str(other.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[other.fileno()],
                    process_group=0,
                )
            except BaseException:
                self._connection.close()
                raise

    def prepare(self, initializer, arguments):
        """Waits until the process is ready.

        Raises:
            ProcessDied: If it died, or took too long.
            Exception: What the initializer raised.
        """
        end = time.monotonic() + _START_SECONDS
        try:
            self._connection.send(sys.path)
            self._connection.send(os.getpid())
        except OSError:
            raise ProcessDied(self.end()) from None
        self._exchange(initializer, arguments, lambda: time.monotonic() > end)

    def run(self, call):
        """Runs a call and settles its future."""
        self.calls += 1
        try:
            result = self._exchange(call.function, call.arguments, call.is_stuck)
        except Exception as error:
            call.future.set_exception(error)
        else:
            call.future.set_result(result)

    def is_alive(self):
        """Whether the process runs."""
        return self._process.poll() is None

    def kill(self):
        """Kills the process, without waiting for its end."""
        self._process.kill()

    def end(self):
        """Kills the process and waits for its end.

        Returns:
            Its exit status, which is the one before, if it was dead already; None, if it goes on.
        """
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)
        self._connection.close()
        return self._process.returncode

    def forget(self):
        """Leaves the process to the parent of this fork."""
        self._process.returncode = 0  # not ours to wait for
        self._connection.close()

    def _new_folder(self):
        """Returns the current folder, if it is not the process's: a path may be relative to it."""
        try:
            folder = os.getcwd()  # noqa: PTH109
        except FileNotFoundError:  # it was removed
            return None
        if folder == self._folder:
            return None
        self._folder = folder
        return folder

    def _exchange(self, function, arguments, is_stuck):
        try:
            self._connection.send((function, arguments, self._new_folder()))
            while not self._connection.poll(_POLL_SECONDS):
                if not self.is_alive():  # and a fork of this program keeps the connection open
                    raise ProcessDied(self.end())
                if is_stuck():
                    raise ProcessDied(self.end(), stuck=True)
            good, answer = self._connection.recv()
        except (EOFError, OSError):
            raise ProcessDied(self.end()) from None
        if not good:
            raise answer
        return answer


_pools: "weakref.WeakSet[ProcessPool]" = weakref.WeakSet()


def _forget():
    for pool in list(_pools):
        pool.forget()


def _close():
    for pool in list(_pools):
        pool.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
at_exit(_close)
