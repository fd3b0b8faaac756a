"""The rules for locks, and what a forked child has to make anew.

Who holds one of these may take one further down, never one further up, and no two of one line:

============================  ====================================  ================================
lock                          what it guards, and who takes it      in a forked child
============================  ====================================  ================================
Iterator.lock                 which batch comes next: who asks for  new, `renew_in_child`
                              one, `close`; a user may hold it too
BatchMaker.lock               what is prepared ahead, and with      new, `renew_in_child`
                              which settings: the same
Iterator._order_lock          the order: who asks for a batch, and  new, `renew_in_child`
                              a user who sets it, holding `lock`
streams._turns                which thread `np.random` is lent to;  new, and of other threads' loans
                              not held by a user's code in between  none goes on
FileSource._lock              one look-up: who asks for files       new, `renew_in_child`
threads._pools_lock           one look-up: the first batch          new
decode_pool._pools_lock       one look-up: the first batch          new, and no pools
Job._lock                     how many of its calls have ended: each  of a job that is lost
                              thread
_State.lock                   a `ThreadPool`'s threads, and that a  with another queue, at the next
                              job is handed over in one go          job
DecodePool._lock              who reads files, and for whom: jobs,  with another pool
                              threads that end
ProcessPool._lock             that its thread runs: jobs, that      new, and no processes
                              thread
ArrayPool._lock               one look-up: each batch               new, `renew_in_child`
_OneThreadEach._lock          OpenCV's number of threads: each      new, `renew_in_child`
                              image that it warps
readers._attached_lock        memory of another process: the first  new
                              file of a reader
Progress._lock                one line on the terminal: each file   of a call that goes on nowhere
============================  ====================================  ================================

Below all of them is the lock of the queue, in C: no Python object is made while that is held.

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
