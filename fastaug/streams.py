"""Streams of random numbers, and where they stand.

A stream is an `np.random.RandomState` over MT19937, what Keras draws from. Where it stands is
taken and put back as the bytes of the generator's state: `set_state` copies its 624 words one by
one in Python, which takes longer than a batch of small images.
"""

import contextlib
import ctypes
import os
import threading

import numpy as np

# struct { uint32_t key[624]; int pos; } of NumPy's MT19937, which `ctypes.state_address` points to
_STATE_SIZE = 624 * 4 + 4

# NumPy's for good: another generator takes its place within it.
_global: np.random.RandomState = np.random.mtrand._rand


def global_stream() -> np.random.RandomState:
    """Returns the generator behind `np.random.seed` and `np.random.uniform`."""
    return _global


def can_stand(stream: np.random.RandomState) -> bool:
    """Whether `position` knows the kind of generator: somebody may have put in another."""
    return type(stream._bit_generator) is np.random.MT19937 and _LAYOUT_IS_KNOWN


def position(stream: np.random.RandomState) -> bytes:
    """Returns where a stream stands, without the normal variate that it may hold back."""
    generator = stream._bit_generator
    with generator.lock:
        return ctypes.string_at(generator.ctypes.state_address, _STATE_SIZE)


def put(stream: np.random.RandomState, where: bytes) -> None:
    """Makes a stream go on where `position` was taken."""
    generator = stream._bit_generator
    with generator.lock:
        ctypes.memmove(generator.ctypes.state_address, where, _STATE_SIZE)


def step_over(stream: np.random.RandomState, before: bytes, after: bytes) -> bool:
    """Makes a stream that stands at one position go on at another; returns whether it stood there.

    No other thread draws in between.
    """
    generator = stream._bit_generator
    with generator.lock:
        address = generator.ctypes.state_address
        if ctypes.string_at(address, _STATE_SIZE) != before:
            return False
        ctypes.memmove(address, after, _STATE_SIZE)
        return True


def reseed(stream: np.random.RandomState, seed: int) -> None:
    """Does what `np.random.seed` does, also where the global stream is of another kind."""
    if type(stream._bit_generator) is np.random.MT19937:
        stream.seed(seed)
    else:
        np.random.seed(seed)


class LateStream:
    """Where a stream stands after draws that somebody makes elsewhere.

    Args:
        seed: What the stream was seeded with before them, in 0..2**32 - 1.
        draw: Function of a stream and a number that makes the same draws.
        count: That number.
    """

    __slots__ = ("_count", "_draw", "_made", "_seed")

    def __init__(self, seed, draw, count):
        self._seed = seed
        self._draw = draw
        self._count = count
        self._made: np.random.RandomState | None = None

    def made(self) -> np.random.RandomState:
        """Returns a stream that stands there, or where it has been drawn to since."""
        if self._made is None:
            stream = np.random.RandomState(self._seed)
            self._draw(stream, self._count)
            self._made = stream
        return self._made


@contextlib.contextmanager
def lent_to_user_code(stream: np.random.RandomState, start: bytes | None = None):
    """Makes the global `np.random` go on where a private stream stands, and takes it back after.

    Args:
        stream: The stream, which is left where the code in between has left it. The global one
            itself is simply used, and so it is if somebody has put in another kind of generator.
        start: Where to begin, if not where the stream stands.
    """
    public = global_stream()
    if stream is public or not can_stand(public):
        yield
        return
    with _lending:
        generator, outside, held_back = public._bit_generator, position(public), None
        try:
            held_back = _take_held_back(public)
            put(public, start or position(stream))
            yield
        finally:
            replaced = public._bit_generator is not generator
            if replaced:
                np.random.set_bit_generator(generator)  # type: ignore[attr-defined]
            try:
                put(stream, position(public))
                public.seed(0)  # holds back no normal variate
            finally:
                put(public, outside)
            if held_back is not None:
                state = public.get_state(legacy=False)
                public.set_state(state | {"has_gauss": 1, "gauss": held_back})
        if replaced:
            raise ValueError("A function that np.random is lent to cannot replace its generator")


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
    global _lending
    _lending = threading.RLock()


# Held while the global stream is another one than it seems: two threads at a time would see each
# other's numbers.
_lending = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_fork)


def _layout_is_known() -> bool:
    """Compares the bytes with what NumPy says of the same stream."""
    stream = np.random.RandomState(1)
    stream.random_sample(3)
    state = stream.get_state(legacy=False)["state"]
    expected = np.asarray(state["key"], dtype=np.uint32).tobytes() + np.intc(state["pos"]).tobytes()
    return position(stream) == expected


_LAYOUT_IS_KNOWN = _layout_is_known()
