"""Processes that run one function each, watched over: started, replaced, killed. Knows no images.

    ProcessPool.wake ──► thread ── function, arguments ──► process 0 … n - 1
                           │ ◄──── "ready", or what went wrong ──┘
                           └──► owner: which are wanted, which hang, which died and why

One thread looks after all processes of a pool. It starts those that the owner wants, in the place
of any that has ended, waits for their ends, and kills one that the owner says is stuck. What the
processes work on does not come this way. So the thread has nothing to do as long as nobody dies,
and Ctrl-C, which Python turns into an exception in the main thread, never interrupts a start. The
processes are in process groups of their own: Ctrl-C in a terminal does not reach them, not even
before they have run a line of Python.

A process is started anew and runs nothing of the user's script, so that no script needs a main
guard and nothing is forked that has threads. It ends when its function returns, or when its parent
is gone, however that ended.

``loky`` and ``concurrent.futures`` break a whole pool when one process dies, do not tell what it
worked on, cannot give up one that hangs, and wait for it when the program ends.
"""

import contextlib
import logging
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

from fastaug.log import note, tell
from fastaug.run.shared_memory import fill_standard_files
from fastaug.run.threads import at_exit

# Seconds that a process may take to get ready.
_START_SECONDS = 60

# How many processes may end in a row before one is ready: killed (for each number), or by itself.
_STARTS_KILLED = 30
_STARTS_FAILED = 3

# Seconds between two starts of the same process, if the first one failed.
_START_PAUSE = 0.05

# Seconds between two looks at the processes, unless one of them ends.
_POLL_SECONDS = 0.2

# The same where the system does not tell of an end.
_SHORT_POLL_SECONDS = 0.02

# Seconds to wait for the end of what was killed: a read from a dead network drive keeps a process,
# which will not run another instruction of ours, for as long as it likes.
_KILL_SECONDS = 2

_BOOT = """
import os, sys
from multiprocessing.connection import Connection
connection, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
try:
    while not connection.poll(0.5):  # a fork of the parent may hold the other end
        if os.getppid() != parent:
            os._exit(0)
    sys.path[:] = connection.recv()
except (EOFError, OSError):  # whoever has started this is gone
    os._exit(0)
from fastaug.run.processes import serve
serve(connection, parent)
"""


class Death:
    """How a process came to its end.

    Args:
        status: Its exit status; the number of a signal, if one killed it, is negative. None: it was
            killed and goes on all the same.
        stuck: Whether it was killed because its owner said that it is stuck.
        text: What it said of it, or None.
    """

    def __init__(self, status, stuck=False, text=None):
        self.status = status
        self.stuck = stuck
        try:
            self.reason = signal.Signals(-status).name
        except (TypeError, ValueError):
            self.reason = f"exit status {status}"
        if text is not None:
            self.reason = f"{self.reason}: {text}"

    @property
    def from_outside(self):
        """Whether it may have been killed by a person, or for want of memory: not a crash."""
        return not self.stuck and self.status in (-signal.SIGKILL, -signal.SIGTERM)


# ---- in the process ---------------------------------------------------------------------------


def serve(connection, parent):
    """Runs the function that comes through a connection, and ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = 0
    try:
        watch = threading.Thread(target=_end_with, args=(parent, connection.fileno()), daemon=True)
        watch.start()
        prepare, arguments = connection.recv()
        run = prepare(*arguments)
        connection.send(None)
        run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        status = 1
        with contextlib.suppress(OSError):
            connection.send(f"{type(error).__name__}: {error}")
    os._exit(status)


def _end_with(parent, fd):
    """Ends this process when its parent is gone, or has become another program."""
    closed = select.poll()
    closed.register(fd, 0)  # an end that was closed is reported unasked
    # a fork of the parent may hold the other end open for longer than the parent lives
    while os.getppid() == parent and not closed.poll(500):
        pass
    os._exit(1)


# ---- in the parent ----------------------------------------------------------------------------


class ProcessPool:
    """Processes with numbers, which are started when their owner wants them.

    Args:
        size: Number of processes at most.
        prepare: Function to call in each process with its number and the arguments, of a module
            that can be imported; returns the function without arguments to run.
        arguments: Its other arguments; they are pickled.
        owner: Is asked and told, all in the pool's thread: `wants(number)`, whether a process with
            that number should run; `is_stuck(number)`, a few times a second; `died(number, death)`
            after the end of one that was ready, before another takes its place; `failed(error)`, if
            none can be started. Kept by a weak reference.
    """

    def __init__(self, size, prepare, arguments, owner):
        self.size = size
        self._prepare = prepare
        self._arguments = arguments
        self._owner = weakref.ref(owner)
        self.forget()
        _pools.add(self)

    def forget(self):
        """Makes this a pool without processes: after a fork they are the parent's."""
        for child in list(getattr(self, "_children", {}).values()):
            child.forget()
        self._lock = threading.Lock()
        self._children = {}
        self._thread = None
        self._closed = False
        self._failed = self._killed = 0  # starts in a row
        self._pause_until = 0.0
        self._bell = _Bell()

    def wake(self):
        """Has the thread look which processes are wanted.

        Raises:
            RuntimeError: If the program is ending, or the thread cannot be started.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("No process is started any more: the program is ending")
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name="decode-processes", daemon=True)
                thread.start()
                self._thread = thread
                return
        self._bell.ring()

    def close(self):
        """Kills the processes; none is started any more."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._bell.ring()
        if thread is not None:
            thread.join(2 * _KILL_SECONDS)

    def _watch(self):
        """Looks after the processes until there are none."""
        has_none = False  # from then on, processes are another thread's
        try:
            while True:
                self._look()
                with contextlib.suppress(Exception):  # a handler's own, which ends no process
                    tell()
                with self._lock:
                    # in the same breath, so that whoever wakes this thread after that starts anew
                    has_none = not (self._children or self._closed or self._wanted())
                    if self._closed or has_none:
                        self._thread = None
                        break
                self._sleep()
        finally:
            if not has_none:
                self._end_all()

    def _end_all(self):
        owner = self._owner()
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()
        self._children.clear()
        with self._lock:
            if self._thread is threading.current_thread():  # an error that nobody expects
                self._thread = None
        if owner is not None and self._closed:
            owner.failed(RuntimeError("The program is ending"))
        elif owner is not None and sys.exc_info()[1] is not None:
            owner.failed(RuntimeError(f"Decode processes: {sys.exc_info()[1]!r}"))

    def _wanted(self):
        owner = self._owner()
        return [] if owner is None else [k for k in range(self.size) if owner.wants(k)]

    def _look(self):
        """Does once what there is to do."""
        owner = self._owner()
        for number, child in list(self._children.items()):
            if not child.has_ended():
                is_stuck = child.is_ready() and owner is not None and owner.is_stuck(number)
                if is_stuck and child.kill(stuck=True):
                    note(logging.WARNING, "Process %d is stuck, and killed", child.pid)
                continue
            child.wait()
            del self._children[number]
            death = child.death()
            if death.status == 0:
                note(logging.INFO, "Process %d had nothing to do, and ended", child.pid)
            else:
                note(logging.WARNING, "Process %d ended (%s)", child.pid, death.reason)
            if child.was_ready:
                if owner is not None:
                    owner.died(number, death)
            else:
                self._count_start(death)
        if any(child.was_ready for child in self._children.values()):
            self._failed = self._killed = 0
        if self._closed or time.monotonic() < self._pause_until:
            return
        for number in self._wanted():
            if number not in self._children:
                self._start(number)

    def _start(self, number):
        try:
            child = self._children[number] = _Child(self._prepare, (number, *self._arguments))
        except Exception as error:  # no memory, too many open files
            note(logging.WARNING, "A process cannot be started: %s", error)
            self._count_start(error)
        else:
            note(
                logging.INFO,
                "Process %d was started, number %d of %d",
                child.pid,
                number + 1,
                self.size,
            )

    def _count_start(self, failure):
        """Counts a start that failed; after too many the owner is told."""
        killed = isinstance(failure, Death) and failure.from_outside
        self._killed += killed
        self._failed += not killed
        self._pause_until = time.monotonic() + _START_PAUSE
        if self._killed < _STARTS_KILLED * self.size and self._failed < _STARTS_FAILED:
            return
        # with fewer than wished for, the work gets done too
        if any(child.was_ready for child in self._children.values()):
            self._pause_until = time.monotonic() + 1
            return
        self._failed = self._killed = 0
        owner, reason = self._owner(), getattr(failure, "reason", failure)
        if owner is not None:
            error = RuntimeError(
                f'A decode process could not be started: {reason}. decoder="threads" needs none.'
            )
            if isinstance(failure, BaseException):
                error.__cause__ = failure
            owner.failed(error)

    def _sleep(self):
        """Waits until a process ends or is ready, somebody wakes the thread, or for a time."""
        children = list(self._children.values())
        signs = [self._bell.fd, *(fd for child in children for fd in child.signs())]
        seconds = _POLL_SECONDS if all(child.tells_its_end for child in children) else (
            _SHORT_POLL_SECONDS)  # fmt: skip
        if self._pause_until > time.monotonic():
            seconds = min(seconds, _START_PAUSE)
        try:
            multiprocessing.connection.wait(signs, seconds)
        except OSError:  # more files than the program may have by now
            time.sleep(min(seconds, _START_PAUSE))
        self._bell.clear()


class _Bell:
    """Wakes a thread that waits for several things; rung by any thread."""

    def __init__(self):
        fill_standard_files()
        self.fd, self._other = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._other, False)
        self._finalizer = weakref.finalize(self, _close_both, self.fd, self._other)
        self._finalizer.atexit = False  # the pool is closed later

    def ring(self):
        with contextlib.suppress(BlockingIOError):
            os.write(self._other, b"!")

    def clear(self):
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)


def _close_both(*fds):
    for fd in fds:
        os.close(fd)


def _inherited(number):
    """Returns what `Popen` takes for the process to have this program's standard file.

    None, which is the file itself; or, if the number is that of another file, opened since a
    standard file was closed, the null device: the process would begin with the number free.
    """
    return None if os.get_inheritable(number) else subprocess.DEVNULL


class _Child:
    """A process, as the thread sees it."""

    def __init__(self, prepare, arguments):
        self.was_ready = False
        self._text = None
        self._stuck = False
        self._killed_at = None
        self._pidfd = None
        fill_standard_files()
        self._connection, other = multiprocessing.Pipe()
        python = multiprocessing.spawn.get_executable()
        with other:
            try:
                self._process = subprocess.Popen(
                    [python, "-P", "-c", _BOOT, str(other.fileno()), str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=_inherited(1),
                    stderr=_inherited(2),
                    pass_fds=[other.fileno()],
                    process_group=0,
                )
            except BaseException:
                self._connection.close()
                raise
        self._start_ends = time.monotonic() + _START_SECONDS
        with contextlib.suppress(AttributeError, OSError):  # not on this system
            self._pidfd = os.pidfd_open(self._process.pid)
        with contextlib.suppress(OSError):  # it is dead already
            self._connection.send(sys.path)
            self._connection.send((prepare, arguments))

    @property
    def pid(self):
        """Its number in the system."""
        return self._process.pid

    @property
    def tells_its_end(self):
        """Whether `signs` change with the end of the process."""
        return self._pidfd is not None

    def signs(self):
        """What becomes readable when there is something to do for this process."""
        if self._pidfd is not None:
            yield self._pidfd
        if not self.was_ready and self._killed_at is None:
            yield self._connection

    def is_ready(self):
        """Whether the process has come to run its function. Kills one that takes too long to."""
        if not self.was_ready and self._killed_at is None:
            self._read()
            if not self.was_ready and time.monotonic() > self._start_ends:
                self._text = f"not ready within {_START_SECONDS} seconds"
                self.kill()
        return self.was_ready

    def _read(self):
        """Takes what the process has sent: that it is ready, or what went wrong."""
        with contextlib.suppress(EOFError, OSError):
            while self._connection.poll():
                message = self._connection.recv()
                if message is None:
                    self.was_ready = True
                else:
                    self._text = message

    def has_ended(self):
        """Whether the process has ended, or was killed so long ago that it is as good as dead."""
        if self._process.poll() is not None:
            return True
        return self._killed_at is not None and time.monotonic() > self._killed_at + _KILL_SECONDS

    def kill(self, stuck=False):
        """Kills the process, without waiting for its end; returns whether it was not before."""
        if self._killed_at is not None:
            return False
        self._killed_at = time.monotonic()
        self._stuck = stuck
        self._process.kill()
        return True

    def wait(self):
        """Waits a little for the end of a process that has ended or was killed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)
        self._read()
        self._close()

    def death(self):
        """Returns how it came to its end."""
        return Death(self._process.returncode, self._stuck, self._text)

    def forget(self):
        """Leaves the process to the parent of this fork."""
        self._process.returncode = 0  # not ours to wait for
        self._close()

    def _close(self):
        self._connection.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


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
