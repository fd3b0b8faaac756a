"""Whether attributes are still what they were: somebody may set them, or change them in place.

They are compared, which takes half a microsecond for all settings of a batch. A counter that
`__setattr__` advances would be no substitute: it sees no list or array that is changed in place, no
property of a subclass, no attribute of a class and nothing that is put into `vars(generator)`.
"""

from collections.abc import MutableSequence
from typing import Any

import numpy as np

from fastaug import _core

# Somebody may change statistics in place. Above this size a copy to compare with is too much.
_COPIED_BYTES = 1 << 14
_SUMS = 1021


class Snapshot:
    """The values of some attributes at one time, to be told from those at another.

    Args:
        owner: What has them.
        names: Their names.
    """

    def __init__(self, owner, names):
        self._names = names
        values = self._values_of(owner)
        self._frozen = tuple([_frozen(value) for value in values])
        self._seen = self._described(values)

    def is_of(self, owner) -> bool:
        """Whether the values are the same now, also within lists and arrays."""
        values, items, changeable = self._seen
        if not _core.same_attributes(owner, self._names, values, items):
            values = self._values_of(owner)
            if self._frozen != tuple([_frozen(value) for value in values]):
                return False
            self._seen = values, items, changeable = self._described(values)
        return not changeable or all(_frozen(value) == frozen for value, frozen in changeable)

    def _values_of(self, owner):
        return tuple([getattr(owner, name) for name in self._names])

    def _described(self, values):
        """Returns what the very objects that have these values are quickly told from others by.

        They, the items of those that are lists, and pairs of what has to be looked into each time
        and of what it was.
        """
        items: list[Any] = [None] * len(values)
        changeable = []
        for k, value in enumerate(values):
            if type(value) is list and not any(_is_changeable(item) for item in value):
                items[k] = tuple(value)
            elif _is_changeable(value):
                changeable.append((value, self._frozen[k]))
        return values, tuple(items), changeable


def _is_changeable(value):
    """Whether somebody may change a value in place."""
    if isinstance(value, tuple):
        return any(_is_changeable(item) for item in value)
    return isinstance(value, np.ndarray | MutableSequence)


def _frozen(value):
    """Two settings may be equal and not mean the same: 1 pixel to pick from, 1.0 to shift by."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, _content(value))
    if isinstance(value, (tuple, MutableSequence)):
        return tuple([_frozen(item) for item in value])
    return (type(value), value)


def _content(array):
    """Returns what compares the content of arrays: the bytes or, of a large one, sums of them."""
    if array.nbytes <= _COPIED_BYTES or array.dtype.hasobject:
        return array.tobytes()
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    words = data[: data.size // 8 * 8].view(np.uint64)
    table = words[: words.size // _SUMS * _SUMS].reshape(-1, _SUMS)
    # each sum takes every so many words, so that a change of their order shows too
    sums = np.add.reduce(table, axis=0)
    return sums.tobytes() + data[8 * table.size :].tobytes()
