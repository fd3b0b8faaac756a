"""The rules for locks, and what a forked child has to make anew.

Who holds one of these may take one further down, never one further up, and no two of one line:

============================  ====================================  =========================
The garbage collector may run a finalizer, a `__del__` or a weak reference's callback in any thread,
wherever that makes a Python object: also where it holds one of these locks. So these take none but
the queue's; they set a flag, or call something in C. The same goes for done-callbacks and signal
handlers.

A fork copies locks that other threads hold, and these threads are not there to give them back. So a
child makes new ones: modules do it for their own, objects through `renew_in_child`. What is shared
with other processes is the parent's: a child leaves it alone and makes its own.
"""

import os
import weakref

_objects: dict[int, weakref.ref] = {}


def renew_in_child(owner) -> None:
    """Has `owner._renew_in_child()` called in every forked child, as long as the owner lives."""
    key = id(owner)
    _objects[key] = weakref.ref(owner, lambda _: _objects.pop(key, None))


def _renew():
    for reference in list(_objects.values()):
        owner = reference()
        if owner is not None:
            owner._renew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
