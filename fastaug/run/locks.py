"""The rules for locks, and what a forked child has to make anew.

Who holds one of these may take one further down, never one further up:

    Iterator.lock                  which batch comes next; a user may hold it, too
    BatchMaker.lock                what is prepared ahead, and with which settings
    Iterator._order_lock           the order, which a user may set while `lock` is held
    streams._turns                 which thread `np.random` is lent to; not held by its code
    a job's                        how many of its calls have ended
    ThreadPool's lock              its threads, and that a job is put into the queue in one go
    DecodePool's, ProcessPool's    which readers there are
    pools' dictionaries, ArrayPool one look-up each
    the queue's lock, in C         no Python object is made while it is held

The garbage collector may run a finalizer, a `__del__` or a weak reference's callback in any thread,
wherever that makes a Python object: also where it holds one of these locks. So these take none but
the last; they set a flag, or call something in C. The same goes for done-callbacks and signal
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
