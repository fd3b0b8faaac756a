"""The order of locks: what `fastaug.run.locks` says is what flows do, in every thread."""

import os
import re

import pytest
import trees
from scripts import check_script

from fastaug.run import locks

#: Records which lock is taken while which others are held, in all threads of a program that runs
#: flows of every kind, with functions, and closes them from another thread.
SCRIPT = """
import collections, gc, linecache, re, sys, threading

HELD, PAIRS, TAKEN = threading.local(), set(), collections.Counter()
make = threading.Lock

class Recorded:
    def __init__(self, name):
        self.name, self.lock = name, make()

    def acquire(self, blocking=True, timeout=-1):
        held = vars(HELD).setdefault("names", [])
        if blocking:
            PAIRS.update((name, self.name) for name in held)
        taken = self.lock.acquire(blocking, timeout)
        if taken:
            held.append(self.name)
            TAKEN[self.name] += 1
        return taken

    def release(self):
        HELD.names.remove(self.name)
        self.lock.release()

    def locked(self):
        return self.lock.locked()

    def __enter__(self):
        self.acquire()

    def __exit__(self, *exc_info):
        self.release()

def named(*arguments):
    frame = sys._getframe(1)
    module = frame.f_globals["__name__"]
    if not module.startswith("fastaug."):
        return make(*arguments)
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    target = re.search(r"(\\w+) = threading.Lock", line)[1]
    owner, _, function = frame.f_code.co_qualname.rpartition(".")
    if target == "_done":  # one thread takes it, another gives it back: what a job is waited for by
        return make()
    return Recorded(f"{owner or module.rpartition('.')[2]}.{target}")

threading.Lock = named

import numpy as np
import fastaug
from fastaug.keras_api import streams

streams._turns = threading.Condition(Recorded("streams._turns"))

def noisy(image):
    return image + np.random.random()

def run(flow):
    closing = threading.Thread(target=lambda: [flow.close() for _ in range(20)])
    asking = [threading.Thread(target=lambda: [next(flow) for _ in range(20)]) for _ in range(2)]
    for thread in (closing, *asking):
        thread.start()
    for thread in (closing, *asking):
        thread.join()
    flow[1], flow.reset(), flow.on_epoch_end(), next(flow)
    flow.batch_size = 3
    next(flow)
    flow.close()

x = np.zeros((40, 260, 260, 3), np.uint8)
for seed in (None, 5):
    for settings in ({}, {"preprocessing_function": noisy}, {"dtype": "float64"}):
        generator = fastaug.ImageDataGenerator(rotation_range=5, **settings, workers=2)
        run(generator.flow(x, batch_size=4, seed=seed))
        for decoder in ("threads", "processes"):
            run(generator.flow_from_directory(
                sys.argv[1], target_size=(9, 8), batch_size=4, seed=seed, decoder=decoder))
        gc.collect()
for pair in sorted(PAIRS):
    print(*pair)
print("taken", *sorted(TAKEN))
"""


def documented():
    """The locks in the order of the table, from the outermost on."""
    table = re.search(r"^=.*?\n=.*?\n(.*?)^=", locks.__doc__, re.DOTALL | re.MULTILINE)[1]
    return re.findall(r"^(\w+\.\w+) ", table, re.MULTILINE)


def test_locks_are_taken_in_the_order_that_is_documented(tmp_path):
    order = documented()
    assert len(order) == len(set(order)) > 8
    output = check_script(SCRIPT, arguments=[trees.plain_tree(tmp_path)], timeout=120)
    *lines, taken = (line for line in output.splitlines() if not line.startswith("Found"))
    pairs = {tuple(line.split()) for line in lines}
    assert {("Iterator.lock", "BatchMaker.lock"), ("BatchMaker.lock", "_State.lock")} <= pairs
    assert set(taken.split()[1:]) <= set(order)
    wrong = [(one, two) for one, two in pairs if order.index(one) >= order.index(two)]
    assert not wrong


FORK = """
import os
from fastaug.keras_api import warp

with warp._one_thread_each._lock:  # as another thread may, at that moment
    child = os.fork()
    if child == 0:
        os._exit(warp._one_thread_each._lock.locked())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_opencv_s_threads_are_counted():
    assert check_script(FORK) == "0\n"
