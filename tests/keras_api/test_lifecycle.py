"""Lifetimes: errors, threads, interrupts, forks, many iterators, memory, copies.

Every test ends with the library's threads gone, see ``no_leaks``.
"""

import copy
import dis
import gc
import json
import os
import pathlib
import pickle
import threading
import traceback
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import trees
from execution import POOLS, SPAWN
from reference import (
    STANDARD,
    Tolerance,
    assert_batches_equal,
    assert_same,
    fastaug_library,
    images,
    keras_library,
    run,
    run_both,
    take,
)
from scripts import A_FLOW, check_script, interrupt, run_script, started_script
from waiting import PATIENCE, library_threads, wait_until

import fastaug
from fastaug.keras_api.user_code import FunctionCalls

pytestmark = pytest.mark.usefixtures("no_leaks")

linux = pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="reads /proc")
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

SETTINGS = {"rotation_range": 30, "horizontal_flip": True, "rescale": 1 / 255}
THREADED = {"workers": 2, "prefetch": 3}
STANDARD_GEOMETRY = Tolerance(absolute=0.01 / 255, relative=1e-5)
OPTIONS = pytest.mark.parametrize(
    "options",
    [{}, THREADED, {"workers": 0, "prefetch": 0}, {"workers": 0, "prefetch": 2}, {"workers": 1}],
    ids=str,
)


def make_flow(n=40, seed=3, batch_size=8, settings=SETTINGS, **options):
    x = images(n=n, height=96, width=80)  # large enough for a batch to be cut into slices
    generator = fastaug.ImageDataGenerator(**settings, **options)
    return generator.flow(x, np.arange(n), batch_size=batch_size, seed=seed)


# --------------------------------------------------------------------- errors of the user


class Refusal(Exception):
    pass


def refuse_the_sixth(image):
    if round(image[0, 0, 0]) == 6:
        raise Refusal("the sixth")
    return image


def numbered_images(n=12):
    x = images(n=n, height=5, width=6)
    x[:, 0, 0, 0] = np.arange(1, n + 1)
    return x


@OPTIONS
@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("walk", ["next", "items"])
def test_an_error_reaches_the_caller_and_the_iterator_goes_on(walk, seed, options):
    """Keras's type, text and counters; the traceback leads to the user's own function."""

    def scenario(library):
        generator = library.generator(
            preprocessing_function=refuse_the_sixth, rescale=0.5, channel_shift_range=1e-6
        )
        iterator = generator.flow(
            numbered_images(), np.arange(12), batch_size=4, shuffle=False, seed=seed
        )
        outcomes, names = [], []
        try:
            for i in (0, 1, 2, 0, 1, 2):
                try:
                    outcomes.append(next(iterator) if walk == "next" else iterator[i])
                except Refusal as error:
                    outcomes.append(str(error))
                    names.append([f.name for f in traceback.extract_tb(error.__traceback__)])
        finally:
            library.close(iterator)
        return outcomes, names, iterator.total_batches_seen, iterator.batch_index

    actual, expected = run_both(
        scenario, options=options, stream="keras" if seed is None else "untouched"
    )
    refused = [i for i, outcome in enumerate(expected.value[0]) if isinstance(outcome, str)]
    assert refused == [1, 4]
    for i, (a, e) in enumerate(zip(actual.value[0], expected.value[0], strict=True)):
        if i in refused:
            assert a == e
        else:
            assert_batches_equal([a], [e], STANDARD)
    assert len(actual.value[1]) == 2
    for names in actual.value[1]:
        assert names[0] == "scenario" and names[-1] == "refuse_the_sixth"
    assert_same(actual.value[2:], expected.value[2:])


@OPTIONS
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, StopIteration])
def test_any_kind_of_error_passes_through(error, options):
    """An interrupt in the user's function is one, not a lost thread."""
    calls = []

    def fail_once(image):
        calls.append(1)
        if len(calls) == 3:
            raise error("once")
        return image

    generator = fastaug.ImageDataGenerator(preprocessing_function=fail_once, **options)
    with generator.flow(images(), batch_size=4, seed=0) as iterator:
        with pytest.raises(error, match="once"):
            next(iterator)
        assert len(next(iterator)) == 4


@OPTIONS
def test_the_error_of_a_later_batch_does_not_come_early(options):
    generator = fastaug.ImageDataGenerator(preprocessing_function=refuse_the_sixth, **options)
    with generator.flow(numbered_images(), batch_size=1, shuffle=False, seed=1) as iterator:
        for _ in range(5):
            next(iterator)
        with pytest.raises(Refusal):
            next(iterator)
        np.testing.assert_array_equal(next(iterator)[0], numbered_images()[6])


def test_an_error_keeps_no_images_alive():
    """Neither the iterator nor its threads hold on to an error and the frames in it."""
    iterator = make_flow(settings={"preprocessing_function": refuse_everything}, **THREADED)
    with pytest.raises(Refusal):
        next(iterator)
    gone = weakref.ref(iterator)
    del iterator
    gc.collect()
    wait_until(lambda: gone() is None, "the iterator was freed")


def refuse_everything(image):
    raise Refusal("always")


# --------------------------------------------------------------------- threads


@pytest.fixture
def never_idle(monkeypatch):
    """Threads that wait for work for ever, so that only what a test does can end them."""
    monkeypatch.setattr("fastaug.run.threads.IDLE_SECONDS", 600.0)


def test_threads_work_while_iterating_and_end_with_close(never_idle):
    iterator = make_flow(**THREADED)
    assert not library_threads(), "threads before the first batch"
    take(iterator, 3)
    assert library_threads()
    iterator.close()
    wait_until(lambda: not library_threads(), "the threads ended after close()")


def test_no_threads_where_none_are_wished():
    with make_flow(workers=0, prefetch=0) as iterator:
        take(iterator, 3)
        assert not library_threads()


def test_threads_end_with_the_block(never_idle):
    with make_flow(**THREADED) as iterator:
        take(iterator, 2)
        assert library_threads()
    wait_until(lambda: not library_threads(), "the threads ended after the block")


def test_threads_end_with_a_block_left_by_an_error(never_idle):
    with pytest.raises(Refusal), make_flow(**THREADED) as iterator:
        take(iterator, 2)
        raise Refusal
    del iterator
    wait_until(lambda: not library_threads(), "the threads ended after the block")


@pytest.mark.parametrize("batches", [0, 1, 7])
def test_threads_end_when_the_iterator_is_dropped(batches, never_idle):
    iterator = make_flow(**THREADED)
    take(iterator, batches)
    gone = weakref.ref(iterator)
    del iterator
    gc.collect()
    wait_until(lambda: gone() is None, "the iterator was freed")
    wait_until(lambda: not library_threads(), "the threads ended after the last reference")


def test_threads_end_when_idle_and_start_again():
    iterator = make_flow(**THREADED)
    with make_flow(workers=0, prefetch=0) as other:
        expected = take(other, 60)
    batches = take(iterator, 20)  # more than are ahead
    assert library_threads()
    wait_until(lambda: not library_threads(), "the idle threads ended")
    batches += take(iterator, 20)
    assert library_threads()
    wait_until(lambda: not library_threads(), "the idle threads ended again")
    batches += take(iterator, 20)
    assert_batches_equal(batches, expected)
    iterator.close()


@OPTIONS
def test_iterating_after_close_goes_on(options):
    """close() gives back threads, not the place in the epoch; it may be called at any time."""
    with make_flow(workers=0, prefetch=0) as other:
        expected = take(other, 8)
    iterator = make_flow(**options)
    iterator.close()
    batches = take(iterator, 3)
    iterator.close()
    iterator.close()
    batches += take(iterator, 3)
    with iterator as entered:
        assert entered is iterator
        batches += take(iterator, 2)
    assert_batches_equal(batches, expected)
    iterator.close()


CYCLES = """
import faulthandler, gc, json, sys, threading, time
import numpy as np
import fastaug

root, decoder, threshold, rounds = sys.argv[1:3] + [json.loads(word) for word in sys.argv[3:]]
faulthandler.dump_traceback_later(25 + rounds / 4, exit=True)

def flow(**options):
    return fastaug.ImageDataGenerator(rotation_range=30, **options).flow_from_directory(
        root, target_size=(96, 96), class_mode="sparse", seed=3, decoder=decoder)

def batches(iterator):
    with iterator:
        return [next(iterator) for _ in range(6)]

def number_of(word, path):
    return open(path).read().count(word)

expected = batches(flow(workers=0, prefetch=0))
if threshold:
    gc.set_threshold(*threshold)
for _ in range(rounds):
    iterator = flow(workers=2, prefetch=8)
    next(iterator)
    iterator.me = iterator
    del iterator
found = batches(flow(workers=2, prefetch=8))
right = all(np.array_equal(*parts) for pair in zip(found, expected) for parts in zip(*pair))
gc.collect()
end = time.monotonic() + 5
while time.monotonic() < end:
    names = [t.name for t in threading.enumerate() if t.name.startswith("fastaug")]
    left = number_of("memfd:fastaug (", "/proc/self/maps") if sys.platform == "linux" else 0
    if not names and not left:
        break
    time.sleep(0.02)
print(right, names, left)
"""


@pytest.mark.parametrize("rounds", [60, pytest.param(1000, marks=pytest.mark.faults)])
@pytest.mark.parametrize("decoder", ["processes", "threads"])
@pytest.mark.parametrize("threshold", [None, (50, 5, 5), (5, 2, 2)], ids=str)
def test_iterators_that_the_collector_finds_while_they_read_ahead(
    tmp_path, decoder, threshold, rounds
):
    """It runs in any thread, also in one that is handing on work: nothing waits for itself."""
    trees.plain_tree(tmp_path, (40, 40, 40))
    output = check_script(
        CYCLES,
        arguments=(tmp_path, decoder, json.dumps(threshold), rounds),
        timeout=60 + rounds / 2,
    )
    assert output.splitlines()[-1] == "True [] 0"


@pytest.mark.parametrize("batches", [0, 2])
def test_closing_an_unseeded_iterator_leaves_the_stream(batches):
    def scenario(library):
        generator = library.generator(**SETTINGS)
        iterator = generator.flow(images(), np.arange(10), batch_size=4)
        result = take(iterator, batches)
        library.close(iterator)
        return result + take(iterator, 3)

    actual, expected = run_both(scenario, options=THREADED)
    assert_batches_equal(actual.value, expected.value, STANDARD_GEOMETRY)


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_given_by_the_user_stays_the_user_s(name):
    """It is not closed, and goes on working."""
    with make_flow(workers=0, prefetch=0) as other:
        expected = take(other, 3)
    with POOLS[name]() as pool:
        with make_flow(pool=pool) as iterator:
            assert_batches_equal(take(iterator, 3), expected)
        if isinstance(pool, (ThreadPoolExecutor, ProcessPoolExecutor)):
            assert pool.submit(abs, -3).result(timeout=60) == 3
        elif not isinstance(pool, int):
            assert pool.apply_async(abs, (-3,)).get(timeout=60) == 3


def test_many_threads_share_one_iterator():
    """Each batch of the sequence comes out exactly once, whoever asks for it."""
    with make_flow(workers=0, prefetch=0, batch_size=4) as other:
        expected = take(other, 40)
    batches, errors = [], []

    def consume():
        try:
            for _ in range(10):
                batches.append(next(iterator))
        except Exception as error:
            errors.append(error)

    with make_flow(**THREADED, batch_size=4) as iterator:
        consumers = [threading.Thread(target=consume) for _ in range(4)]
        for thread in consumers:
            thread.start()
        for thread in consumers:
            thread.join(60)
    assert not errors and len(batches) == 40
    seen = {batch[0].tobytes() for batch in batches}
    assert seen == {batch[0].tobytes() for batch in expected}
    assert len(seen) == 40


def test_a_user_s_own_thread_may_iterate_and_end():
    """Threads of the library do not depend on the thread that asked first."""
    with make_flow(workers=0, prefetch=0) as other:
        expected = take(other, 4)
    batches = []
    with make_flow(**THREADED) as iterator:
        for _ in range(2):
            thread = threading.Thread(target=lambda: batches.extend(take(iterator, 2)))
            thread.start()
            thread.join(60)
    assert_batches_equal(batches, expected)


def test_fifty_iterators_at_once():
    with make_flow(workers=0, prefetch=0, n=16) as other:
        expected = take(other, 3)
    iterators = [make_flow(n=16, workers=2, prefetch=2) for _ in range(50)]
    for k in range(3):
        for iterator in iterators:
            assert_batches_equal([next(iterator)], [expected[k]])
    assert len(library_threads()) < 500
    del iterator
    iterators.clear()
    gc.collect()
    wait_until(lambda: not library_threads(), "the threads of fifty iterators ended")


def test_opencv_keeps_its_own_threads():
    """The number is the user's, before and after the library works with OpenCV itself.

    A closed iterator lets the slices end that have begun, so the number may come back a moment
    later.
    """
    output = check_script(
        A_FLOW.replace("import fastaug", "import cv2; cv2.setNumThreads(3); import fastaug")
        + """
import time

def number(patience=20):
    deadline = time.monotonic() + patience
    while cv2.getNumThreads() != 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    return cv2.getNumThreads()

numbers = []
for options in (dict(), dict(warp="opencv", workers=2), dict(warp="opencv", workers=0)):
    with flow(**options) as iterator:
        next(iterator)
    numbers.append(number())
print(numbers, cv2.getNumThreads())
"""
    )
    assert output == "[3, 3, 3] 3\n"


# --------------------------------------------------------------------- programs


ENDLESS = (
    A_FLOW
    + """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
iterator = flow({options})
next(iterator)
print("ready")
while True:
    next(iterator)
"""
)


@pytest.mark.parametrize("options", ["", "workers=2, prefetch=8", "workers=0, prefetch=0"])
def test_ctrl_c_ends_a_loop_over_batches(options):
    with started_script(ENDLESS.replace("{options}", options)) as process:
        assert process.stdout.readline() == "ready\n"
        status, errors, seconds = interrupt(process, patience=PATIENCE)
    assert status != 0
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1
    assert seconds < PATIENCE


def test_threads_vanish_after_a_caught_interrupt():
    """As in an interactive session: Ctrl-C, and the iterator is still alive."""
    code = (
        A_FLOW
        + """
import signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
iterator = flow(workers=2, prefetch=4)
next(iterator)
try:
    print("ready")
    while True:
        next(iterator)
except KeyboardInterrupt:
    pass
end = time.monotonic() + 5
while time.monotonic() < end:
    if not any(t.name.startswith("fastaug") for t in threading.enumerate()):
        break
    time.sleep(0.05)
print([t.name for t in threading.enumerate()])
print(len(next(iterator)[1]))
"""
    )
    with started_script(code) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(2)
        output, errors = process.communicate(timeout=30)
    assert not errors
    assert output == "['MainThread']\n8\n"


ENDINGS = {
    "the end of the script": "",
    "sys.exit": "import sys; sys.exit(0)",
    "a cycle of references": "class C: pass\nc = C(); c.it = iterator; c.c = c; del iterator",
    "an iterator in another thread": """
import threading
thread = threading.Thread(target=lambda: [next(iterator) for _ in range(3)])
thread.start()
""",
    "an error hook": "import atexit; atexit.register(lambda: print(len(next(iterator)[1])))",
}


@pytest.mark.parametrize("options", ["", "workers=2, prefetch=8"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_script_that_ends_within_an_epoch(ending, options):
    check_script(
        A_FLOW + f"iterator = flow({options})\nnext(iterator)\nnext(iterator)\n" + ending,
        timeout=30,
    )


def test_a_script_that_ends_with_an_error():
    done = run_script(A_FLOW + "iterator = flow()\nnext(iterator)\nraise LookupError('mine')")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("LookupError: mine")
    assert done.stderr.count("Traceback") == 1


@linux
def test_threads_of_the_operating_system_end_too():
    output = check_script(
        A_FLOW
        + """
import os, time
count = lambda: len(os.listdir("/proc/self/task"))
with flow(workers=0, prefetch=0) as iterator:
    next(iterator)
before = count()
with flow(workers=3, prefetch=3) as iterator:
    for _ in range(5):
        next(iterator)
    during = count()
end = time.monotonic() + 5
while count() > before and time.monotonic() < end:
    time.sleep(0.02)
print(before, during, count())
"""
    )
    before, during, after = map(int, output.split())
    assert during > before
    assert after == before


# --------------------------------------------------------------------- forks

FORK = (
    A_FLOW
    + """
import json, os, signal
iterator = flow(workers=2, prefetch=4)
first = fingerprint(next(iterator))
results = []
for _ in range(5):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        batches = [fingerprint(next(iterator)) for _ in range(3)]
        with flow(workers=2, prefetch=4) as fresh:
            batches.append(fingerprint(next(fresh)))
        os.write(write, json.dumps(batches).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        from_child = pipe.read()
    _, status = os.waitpid(child, 0)
    here = [fingerprint(next(iterator)) for _ in range(3)] + [first]
    results.append([status, json.loads(from_child or "null") == here])
print(json.dumps(results))
"""
)


@can_fork
def test_a_forked_child_iterates_on():
    """The threads stay behind in the parent; the child starts its own."""
    output = check_script(FORK, timeout=120)
    assert json.loads(output) == [[0, True]] * 5


@can_fork
def test_a_forked_process_of_multiprocessing_iterates_on():
    output = check_script(
        A_FLOW
        + """
import multiprocessing, signal
context = multiprocessing.get_context("fork")
iterator = flow(workers=2, prefetch=4)
next(iterator)

def work(queue):
    signal.alarm(20)
    queue.put([fingerprint(next(iterator)) for _ in range(3)])

queue = context.SimpleQueue()
process = context.Process(target=work, args=(queue,))
process.start()
queue._writer.close()
result = queue.get()
process.join(30)
print(process.exitcode, result == [fingerprint(next(iterator)) for _ in range(3)])
""",
        timeout=60,
    )
    assert output == "0 True\n"


@can_fork
def test_a_fork_while_another_thread_iterates():
    """Whatever lock is held at the moment of the fork, the child does not wait for it."""
    output = check_script(
        A_FLOW
        + """
import os, signal, threading
stop = threading.Event()
iterator = flow(workers=2, prefetch=4)

def consume():
    while not stop.is_set():
        next(iterator)

thread = threading.Thread(target=consume)
thread.start()
statuses = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        with flow(workers=2, prefetch=4) as fresh:
            for _ in range(2):
                next(fresh)
        os._exit(0)
    statuses.append(os.waitpid(child, 0)[1])
stop.set()
thread.join()
iterator.close()
print(statuses == [0] * 20)
""",
        timeout=120,
    )
    assert output == "True\n"


FORK_WITHIN = (
    A_FLOW
    + """
import faulthandler, os, random, signal, sys, threading, time
kind, root = sys.argv[1:]
faulthandler.register(signal.SIGALRM, chain=True)  # what hangs says where, and ends
signal.alarm(90)
options = dict(workers=2, prefetch=2)
if kind == "arrays":
    iterator = flow(x=np.repeat(x, 3, axis=0), y=None, shuffle=False, seed=None, **options)
else:
    iterator = fastaug.ImageDataGenerator(**options).flow_from_directory(
        root, target_size=(96, 96), batch_size=8, shuffle=False, decoder=kind)
iterator.image_data_generator.rotation_range = iterator.image_data_generator.zoom_range = 0
iterator.image_data_generator.zoom_range = (1, 1)
iterator.image_data_generator.horizontal_flip = False
count = len(iterator)
expected = [fingerprint(iterator[k]) for k in range(count)]
stop, wrong, asked = threading.Event(), [], 0

def ask():
    global asked
    while not stop.is_set():
        k = asked * 7 % count  # neither in order, so that nothing is ahead, nor always the same
        if fingerprint(iterator[k]) != expected[k]:
            wrong.append(k)
        asked += 1

thread = threading.Thread(target=ask)
thread.start()
chance, statuses = random.Random(3), []
while len(statuses) < FORKS and not any(statuses):
    time.sleep(chance.uniform(0, 0.02))
    child = os.fork()
    if child == 0:
        signal.alarm(15)
        right = [fingerprint(iterator[k]) for k in range(3)] == expected[:3]
        right = right and fingerprint(next(iterator)) in expected
        iterator.close()
        os._exit(0 if right else 2)
    statuses.append(os.waitpid(child, 0)[1])
stop.set()
thread.join()
iterator.close()
print(statuses, wrong, asked > len(statuses))
"""
)


@can_fork
@pytest.mark.parametrize("kind", ["arrays", "threads", "processes"])
def test_a_fork_while_another_thread_asks_for_batches(kind, tmp_path):
    """As torch's DataLoader does: the child uses the same iterator, whatever the thread held."""
    trees.plain_tree(tmp_path, (16, 16, 16))
    forks = 8 if kind == "processes" else 40
    code = FORK_WITHIN.replace("FORKS", str(forks))
    output = check_script(code, arguments=(kind, tmp_path), timeout=120)
    assert output.splitlines()[-1] == f"{[0] * forks} [] True"


def _iterate_in_another_process(seed):
    generator = fastaug.ImageDataGenerator(**SETTINGS)
    with generator.flow(images(), batch_size=4, seed=seed) as iterator:
        return take(iterator, 3)


def test_a_spawned_process_gives_the_same_batches():
    with SPAWN.Pool(1) as pool:
        elsewhere = pool.apply_async(_iterate_in_another_process, (5,)).get(timeout=120)
    assert_batches_equal(_iterate_in_another_process(5), elsewhere)


# --------------------------------------------------------------------- memory

MEMORY = """
import sys
import numpy as np
import fastaug

def status(field):
    for line in open("/proc/self/status"):
        if line.startswith(field):
            return int(line.split()[1]) * 1024

generator = fastaug.ImageDataGenerator(
    rotation_range=20, horizontal_flip=True, rescale=1 / 255, workers=2, prefetch=2)
with generator.flow(np.zeros((64, 184, 184, 3), "uint8"), batch_size=16, seed=0) as iterator:
    for _ in range(8):
        next(iterator)
x = np.full((2000, 184, 184, 3), 3, dtype="uint8")
before = status("VmHWM")
with generator.flow(x, np.zeros(len(x)), batch_size=16, seed=0, shuffle=SHUFFLE) as iterator:
    for _ in range(30):
        next(iterator)
print(x.nbytes, next(iterator)[0].nbytes, status("VmHWM") - before)
"""


@linux
@pytest.mark.parametrize("shuffle", [True, False])
def test_large_arrays_are_neither_copied_nor_converted(shuffle):
    output = check_script(MEMORY.replace("SHUFFLE", str(shuffle)), timeout=120)
    array, batch, grown = map(int, output.split())
    assert array > 200e6 and batch > 6e6
    assert grown < 6 * batch


@linux
def test_memory_does_not_grow_with_the_epochs():
    output = check_script(
        A_FLOW
        + """
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

with flow(x=np.repeat(x, 5, axis=0), y=np.zeros(200), batch_size=40) as iterator:
    for _ in range(20):
        next(iterator)
    before = resident()
    for _ in range(200):
        next(iterator)
    print(resident() - before, next(iterator)[0].nbytes * 200)
for _ in range(20):
    with flow() as iterator:
        next(iterator)
before = resident()
for _ in range(200):
    with flow() as iterator:
        next(iterator)
print(resident() - before, next(iterator)[0].nbytes * 200)
""",
        timeout=120,
    )
    for line in output.splitlines():
        grown, in_all = map(int, line.split())
        assert grown < in_all / 10
    assert len(output.splitlines()) == 2


# --------------------------------------------------------------------- copies


def double(image):
    return image * 2


COPIES = {
    "pickle": lambda generator: pickle.loads(pickle.dumps(generator)),
    "oldest pickle": lambda generator: pickle.loads(pickle.dumps(generator, protocol=2)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("options", [{}, THREADED, {"pool": 2}], ids=str)
@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_copies_of_a_generator(duplicate, options, used):
    settings = SETTINGS | {
        "featurewise_center": True,
        "featurewise_std_normalization": True,
        "preprocessing_function": double,
        "width_shift_range": [1, 2],
    }

    def scenario(library):
        generator = library.generator(**settings)
        generator.fit(images(n=30))
        if used:
            iterator = generator.flow(images(), seed=1)
            next(iterator)
        if library.name == "fastaug":
            generator = duplicate(generator)
        result = generator.flow(images(), batch_size=4, seed=8)
        try:
            return take(result, 4)
        finally:
            library.close(result)
            if used:
                library.close(iterator)

    actual = run(scenario, fastaug_library(options))
    expected = run(scenario, keras_library())
    assert actual.error is None, repr(actual.error)
    assert_batches_equal(actual.value, expected.value, STANDARD_GEOMETRY.scaled(2))


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())
def test_a_copy_of_a_generator_with_a_pool(duplicate, name):
    """A pool cannot be copied; the copy goes on without it, with as many threads."""
    with make_flow(workers=0, prefetch=0) as other:
        expected = take(other, 2)
    with POOLS[name]() as pool, make_flow(pool=pool) as iterator:
        generator = duplicate(iterator.image_data_generator)
        flow = generator.flow(iterator.x, iterator.y, batch_size=8, seed=3)
    with flow:
        assert_batches_equal(take(flow, 2), expected)


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())
def test_a_copy_is_independent(duplicate):
    generator = fastaug.ImageDataGenerator(rescale=0.5)
    other = duplicate(generator)
    assert type(other) is fastaug.ImageDataGenerator
    other.rescale = 3
    assert generator.rescale == 0.5
    with generator.flow(images(), seed=0) as first, other.flow(images(), seed=0) as second:
        np.testing.assert_allclose(next(first) * 6, next(second), rtol=1e-5)


def test_an_iterator_is_freed_at_once():
    """No cycle of references keeps an iterator and its array until the collector comes."""
    gc.collect()
    gc.disable()
    try:
        iterator = make_flow(**THREADED)
        take(iterator, 2)
        iterator.close()
        gone = weakref.ref(iterator)
        del iterator
        wait_until(lambda: gone() is None, "the closed iterator was freed")
    finally:
        gc.enable()


def test_the_check_for_leaks_can_fail():
    """A thread of the library's name that does not end is found."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="fastaug-leak")
    thread.start()
    try:
        with pytest.raises(AssertionError, match="fastaug-leak"):
            wait_until(lambda: not library_threads(), "no threads are left", patience=0.1)
    finally:
        stop.set()
        thread.join()
    wait_until(lambda: not library_threads(), "no threads are left")


def test_a_batch_that_is_kept_is_never_written_again():
    """Memory of batches is used again, but only of those that nobody has any more."""
    x = np.random.default_rng(0).integers(0, 256, (96, 128, 128, 3), dtype=np.uint8)
    generator = fastaug.ImageDataGenerator(rotation_range=20, workers=2)
    with generator.flow(x, batch_size=32, seed=1) as iterator:
        kept = [next(iterator) for _ in range(6)]
        part = next(iterator)[5:7]
        copies = [batch.copy() for batch in [*kept, part]]
        for _ in range(12):
            assert not any(np.shares_memory(next(iterator), batch) for batch in [*kept, part])
        for batch, copy in zip([*kept, part], copies, strict=True):
            np.testing.assert_array_equal(batch, copy)
        del kept, part, copies, batch, copy
        places = {next(iterator).ctypes.data for _ in range(24)}
    assert len(places) <= 5


def test_the_way_back_to_the_next_image_has_a_line():
    """An interrupt arrives there, and IPython cannot show a traceback without a line."""
    code = FunctionCalls.apply.__code__
    lines = {offset: line for start, end, line in code.co_lines() for offset in range(start, end)}
    jumps = [i.offset for i in dis.get_instructions(code) if i.opname.startswith("JUMP_BACKWARD")]
    assert jumps
    assert all(lines[offset] is not None for offset in jumps)
