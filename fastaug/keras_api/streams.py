"""Streams of random numbers, and where they stand.

What Keras draws from is an `np.random.RandomState` over MT19937. Where it stands is taken and put
back as the bytes of the generator's state: NumPy's `set_state` copies its 624 words one by one in
Python, which takes longer than a batch of small images. A private stream is no more than such
bytes: a generator goes on there when something is drawn, and `np.random` itself for a user's code.
"""

import contextlib
import os
import threading
import time
from typing import Any, cast

import numpy as np

from fastaug import _core

# NumPy's for good: another generator takes its place within it.
_global: np.random.RandomState = np.random.mtrand._rand


def global_stream() -> np.random.RandomState:
    """Returns the generator behind `np.random.seed` and `np.random.uniform`."""
    return _global


def can_stand(stream: np.random.RandomState) -> bool:
    """Whether `position` knows the kind of generator: somebody may have put in another."""
    return type(stream._bit_generator) is np.random.MT19937


def _bits(stream: np.random.RandomState) -> np.random.MT19937:
    return cast(np.random.MT19937, stream._bit_generator)


def position(stream: np.random.RandomState) -> bytes:
    """Returns where a stream stands, without the normal variate that it may hold back."""
    return _core.state_of(_bits(stream))


def put(stream: np.random.RandomState, where: bytes) -> None:
    """Makes a stream go on where `position` was taken."""
    _core.set_state(_bits(stream), where)


def step_over(stream: np.random.RandomState, before: bytes, after: bytes) -> bool:
    """Makes a stream that stands at one position go on at another; returns whether it stood there.

    No other thread draws in between.
    """
    return _core.set_state(_bits(stream), after, before)


def reseed(stream: np.random.RandomState, seed: int) -> None:
    """Does what `np.random.seed` does, also where the global stream is of another kind."""
    if type(stream._bit_generator) is np.random.MT19937:
        stream.seed(seed)
    else:
        np.random.seed(seed)


class Stream:
    """A private stream: where it stands. Draws take a generator that it is lent to for the time.

    Args:
        state: As `position` returns it.
    """

    __slots__ = ("state",)

    def __init__(self, state: bytes):
        self.state = state


class LateStream:
    """Where a stream stands after draws that somebody makes elsewhere, until it is asked for.

    Args:
        seed: What the stream was seeded with before them, in 0..2**32 - 1.
        draw: Function of a generator and a number that makes the same draws.
        count: That number.
    """

    __slots__ = ("_count", "_draw", "_seed", "_state")

    def __init__(self, seed, draw, count):
        self._seed = seed
        self._draw = draw
        self._count = count
        self._state: bytes | None = None

    @property
    def state(self) -> bytes:
        """Where it stands, or where it has been drawn to since."""
        if self._state is None:
            with lent_generator() as generator:
                generator.seed(self._seed)
                self._draw(generator, self._count)
                self._state = position(generator)
        return self._state

    @state.setter
    def state(self, state: bytes) -> None:
        self._state = state


# Generators that nobody has: to make one takes as long as a small batch.
_spare: list[np.random.RandomState] = []


@contextlib.contextmanager
def lent_generator(state: bytes | None = None):
    """Lends a generator for some draws, which goes on at a position, or is seeded first."""
    try:
        generator = _spare.pop()
    except IndexError:
        generator = np.random.RandomState(0)
    if state is not None:
        put(generator, state)
    try:
        yield generator
    finally:
        _spare.append(generator)


@contextlib.contextmanager
def drawn_from(stream: Stream | LateStream | None):
    """Lends a generator for draws from a stream, which stands after them then.

    Args:
        stream: None for the global one.
    """
    if stream is None:
        yield global_stream()
        return
    with lent_generator(stream.state) as generator:
        try:
            yield generator
        finally:
            stream.state = position(generator)


def seeded(seed) -> Stream:
    """Returns a private stream at its beginning.

    Args:
        seed: What `np.random.seed` takes.
    """
    with lent_generator() as generator:
        generator.seed(seed)
        return Stream(position(generator))


# Seconds without work after which code that `np.random` is lent to is taken to wait for something,
# perhaps for the thread that is to have it next; and where nobody tells whether a thread works.
_PATIENCE_SECONDS = 0.5
_UNKNOWN_PATIENCE_SECONDS = 5.0

# Seconds between two looks, and of the processor's time that are work.
_LOOK_SECONDS = 0.05
_WORK_SECONDS = 1e-3


class _Loan:
    """That `np.random` goes on where a private stream stands, for the time of some code.

    Args:
        stream: The stream.
    """

    def __init__(self, stream):
        self.stream = stream
        self.thread = threading.get_ident()
        self.generator = None
        self.outside = None  # where the global stream stood, and the normal variate it held back
        self.held_back = None
        self.left_at = None  # where the stream stood when another loan came between
        self.has_ended = False

    def begin(self, public):
        """Puts the stream in the place of the global one."""
        if _loans:
            _loans[-1].left_at = position(public)
        self.generator, self.outside = public._bit_generator, position(public)
        _loans.append(self)
        self.held_back = _take_held_back(public)
        put(public, self.stream.state)

    def end(self, public):
        """Takes the stream back; returns whether somebody has put in another generator."""
        self.has_ended = True
        if _loans[-1] is not self:  # another thread has it now
            self.stream.state = self.left_at
            return False
        replaced = public._bit_generator is not self.generator
        if replaced:
            np.random.set_bit_generator(self.generator)  # type: ignore[attr-defined]
        self.stream.state = position(public)
        _drop_ended(public)
        return replaced

    def put_outside(self, public):
        """Puts the global stream back where it was before."""
        _take_held_back(public)
        put(public, self.outside)
        if self.held_back is not None:
            state = public.get_state(legacy=False)
            public.set_state(state | {"has_gauss": 1, "gauss": self.held_back})

    def seconds_of_work(self):
        """Processor time of the thread that has the loan, or None where it cannot be told."""
        try:
            return time.clock_gettime(time.pthread_getcpuclockid(self.thread))
        except (AttributeError, OSError):
            return None


@contextlib.contextmanager
def lent_to_user_code(stream: Stream | LateStream | None):
    """Makes the global `np.random` go on where a private stream stands, and takes it back after.

    One thread at a time has it, so that none sees the numbers of another. But if its code waits,
    the next thread goes on: it may be what the code waits for. What that code draws later, while
    the other one has `np.random`, are then the other's numbers, as in Keras.

    Args:
        stream: The stream, which is left where the code in between has left it. None: the global
            one is simply used, as it is if somebody has put in another kind of generator.
    """
    public = global_stream()
    if stream is None or not can_stand(public):
        yield
        return
    loan, replaced = _Loan(stream), False
    try:
        with _turns:
            _wait_for_turn()
            _holders.append(loan)
            loan.begin(public)
        yield
    finally:
        with _turns:
            if loan in _holders:
                _holders.remove(loan)
            if loan in _loans:
                replaced = loan.end(public)
            _turns.notify_all()
    if replaced:
        raise ValueError("A function that np.random is lent to cannot replace its generator")


def _drop_ended(public):
    """Forgets the loans at the end of the list that have ended."""
    while _loans and _loans[-1].has_ended:
        _loans.pop().put_outside(public)


def _wait_for_turn():
    """Waits until no other thread has `np.random`, or the one that has it is waiting itself."""
    holder, work, since = None, None, 0.0
    while _holders and _holders[-1].thread != threading.get_ident():
        now, done = time.monotonic(), _holders[-1].seconds_of_work()
        works = done is not None and work is not None and done > work + _WORK_SECONDS
        if _holders[-1] is not holder or works:
            holder, work, since = _holders[-1], done, now
        elif now - since > (_UNKNOWN_PATIENCE_SECONDS if done is None else _PATIENCE_SECONDS):
            _holders.clear()
            return
        _turns.wait(_LOOK_SECONDS)


def _take_held_back(stream):
    """Takes and returns the normal variate that a stream holds back; None if there is none.

    They come in twos, and the second one is held back until it is asked for. `get_state` tells, but
    it copies the words of the generator one by one, too.
    """
    where = position(stream)
    variate = stream.standard_normal()
    if position(stream) == where:
        return variate
    stream.standard_normal()
    put(stream, where)
    return None


def _at_fork():
    global _turns
    _turns = threading.Condition()
    me = threading.get_ident()  # the threads that have the other loans are not in this process
    _holders[:] = [loan for loan in _holders if loan.thread == me]
    for loan in _loans:
        loan.has_ended |= loan.thread != me
    _spare.clear()  # a thread that is not there may hold their locks, and that of the global one
    lock: Any = global_stream()._bit_generator.lock
    lock._at_fork_reinit()  # as the modules of Python do with theirs
    _drop_ended(global_stream())


# Held for the moment of a change, not while the user's code runs.
_turns = threading.Condition()

# Loans that have not come to their end, the last of them the one that `np.random` is lent to.
_loans: list[_Loan] = []

# Those that the next one waits for: of one thread, one within the other.
_holders: list[_Loan] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_fork)
