"""The core's queue: batches worked on without the GIL, calls handed back."""

import gc
import os
import queue
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest
from programs import keras_program
from waiting import wait_until

from fastaug import _core
from fastaug.keras_api.params import ParameterSampler


def sampler():
    return ParameterSampler(
        rotation_range=30,
        height_shift_range=0.2,
        width_shift_range=0.1,
        shear_range=10,
        zoom_range=[0.8, 1.2],
        horizontal_flip=True,
        vertical_flip=True,
        channel_shift_range=20,
        brightness_range=None,
    )


def batch_of(plan, images, index, table, out, *rest):
    return _core.Batch(plan, images, index, table, [out], *rest)


def arguments(count=7, size=9, channels_first=False, seed=0):
    rng = np.random.RandomState(seed)
    shape = (3, size, size + 2) if channels_first else (size, size + 2, 3)
    plan = keras_program(size, size + 2, 3, channels_first=channels_first, rescale=1 / 255)
    images = rng.randint(0, 256, (5, *shape)).astype(np.uint8)
    index = rng.randint(0, 5, count).astype(np.int64)
    table = sampler().draw(rng, count, size, size + 2)
    return plan, images, index, table, np.zeros((count, *shape), np.float32)


def expected(plan, images, index, table, out):
    result = np.zeros_like(out)
    _core.augment(plan, images, index, table, None, result, 0, len(out))
    return result


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("size", [3, 40, 130])
def test_a_batch_is_what_augment_makes(workers, size, channels_first):
    tasks = _core.TaskQueue()
    workers(tasks, 3)
    for seed in range(5):
        given = arguments(33, size, channels_first, seed)
        batch = batch_of(*given)
        assert batch.put_into(tasks) >= 1
        batch.wait()
        np.testing.assert_array_equal(given[-1], expected(*given))


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_batch_can_be_worked_on_by_the_caller(channels_first):
    given = arguments(33, 40, channels_first)
    batch = batch_of(*given)
    batch.run()
    batch.wait()
    np.testing.assert_array_equal(given[-1], expected(*given))


def in_several(count, each, size=9):
    """The arguments of a batch, with its results in arrays of so many images."""
    *given, out = arguments(count, size)
    outs = [np.zeros((min(each, count - k), *out.shape[1:]), np.float32)
            for k in range(0, count, each)]  # fmt: skip
    return given, outs


@pytest.mark.parametrize("size", [3, 40, 130])
@pytest.mark.parametrize(("count", "each"), [(12, 4), (13, 4), (5, 1), (3, 8), (40, 16)])
def test_results_in_several_arrays(workers, count, each, size):
    tasks = _core.TaskQueue()
    workers(tasks, 3)
    given, outs = in_several(count, each, size)
    batch = _core.Batch(*given, outs)
    batch.put_into(tasks)
    batch.wait()
    whole = arguments(count, size)
    np.testing.assert_array_equal(np.concatenate(outs), expected(*whole))


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize(("count", "each"), [(12, 4), (13, 4), (5, 1), (3, 8), (40, 16)])
def test_the_threads_draw_as_numpy_does(workers, count, each, size, threads):
    (plan, images, index, _), outs = in_several(count, each, size)
    seeds = [2**32 - 1, 0, 7, 3, 2**31][: len(outs)]
    batch = _core.Batch(
        plan, images, index, None, outs, True, sampler().draws_of(size, size + 2), seeds
    )
    if threads:
        tasks = _core.TaskQueue()
        workers(tasks, threads)
        batch.put_into(tasks)
    else:
        batch.run()
    batch.wait()
    for k, (out, seed) in enumerate(zip(outs, seeds, strict=True)):
        table = sampler().draw(np.random.RandomState(seed), len(out), size, size + 2)
        part = index[k * each : k * each + each]
        np.testing.assert_array_equal(out, expected(plan, images, part, table, out))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"outs": []}, ValueError, "at least one array"),
        ({"lengths": (4, 3, 4)}, ValueError, "arrays of 4 results each.*Received: 3"),
        ({"lengths": (4, 4, 5)}, ValueError, "arrays of 4 results each.*Received: 5"),
        ({"lengths": (4, 4, 2)}, ValueError, "index of 10 images"),
        ({"seeds": [1, 2]}, ValueError, r"a seed for each of 3 arrays\. Received: \[1 2\]"),
        ({"seeds": [1, 2, -1]}, OverflowError, "-1"),
        ({"seeds": [1, 2, 2**32]}, OverflowError, str(2**32)),
        ({"seeds": None}, ValueError, "a table, or draws and seeds"),
        ({"draws": None}, ValueError, "a table, or draws and seeds"),
        ({"table": np.zeros((12, 10))}, ValueError, "a table, or draws and seeds"),
        ({"draws": None, "seeds": None}, ValueError, "a table, or draws and seeds"),
        ({"uint8": 1}, ValueError, "a contiguous float32 batch"),
        ({"outs": [None]}, TypeError, "Expected arrays.*Received: None"),
    ],
    ids=str,
)
def test_results_and_seeds_that_do_not_fit(change, error, message):
    (plan, images, index, _), outs = in_several(12, 4)
    if "lengths" in change:
        outs = [np.zeros((n, *outs[0].shape[1:]), np.float32) for n in change.pop("lengths")]
    if "uint8" in change:
        outs[change.pop("uint8")] = outs[1].astype(np.uint8)
    given = {"table": None, "outs": outs, "draws": sampler().draws_of(9, 11), "seeds": [1, 2, 3]}
    with pytest.raises(error, match=message):
        _core.Batch(plan, images, index, **(given | change))


def test_without_standardizing():
    given = arguments()
    batch_of(*given, False).run()
    np.testing.assert_allclose(given[-1] / 255, expected(*given), rtol=1e-5, atol=1e-6)


def test_batches_of_many_threads_some_of_them_given_up(workers):
    tasks = _core.TaskQueue()
    workers(tasks, 4)
    mistakes = []

    def ask(seed):
        rng = random.Random(seed)
        for number in range(40):
            given = arguments(
                rng.randint(1, 40), rng.choice([2, 17, 60]), seed=1000 * seed + number
            )
            batch = batch_of(*given)
            batch.put_into(tasks)
            if rng.random() < 0.3:
                batch.cancel()
                batch.wait()
                continue
            batch.wait()
            if not np.array_equal(given[-1], expected(*given)):
                mistakes.append((seed, number))

    askers = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(120)
        assert not asker.is_alive()
    assert not mistakes


def test_a_batch_is_kept_as_long_as_a_thread_works_on_it_and_no_longer(workers):
    tasks = _core.TaskQueue()
    given = arguments()
    out = given[-1]
    before = sys.getrefcount(out)
    batch = batch_of(*given)
    batch.put_into(tasks)
    assert sys.getrefcount(out) == before + 1
    del batch
    gc.collect()
    assert sys.getrefcount(out) == before + 1  # the queue's
    workers(tasks, 1)
    wait_until(out.any, "work on a batch nobody holds")
    last = batch_of(*arguments())
    last.put_into(tasks)
    last.wait()
    assert sys.getrefcount(out) == before
    np.testing.assert_array_equal(out, expected(*given))


def test_a_cancelled_batch_is_not_begun_and_keeps_nothing():
    tasks = _core.TaskQueue()
    first, given = batch_of(*arguments()), arguments()
    out = given[-1]
    before = sys.getrefcount(out)
    batch = batch_of(*given)
    last = batch_of(*arguments())
    for each in (first, batch, last):
        each.put_into(tasks)
    batch.cancel()
    batch.wait()
    batch.cancel()
    del batch
    assert sys.getrefcount(out) == before
    last.cancel()
    first.cancel()
    assert tasks.empty()
    assert not given[-1].any()
    again = batch_of(*given)  # the end of the queue is where it was
    again.put_into(tasks)
    tasks.put(None)
    assert tasks.get(60) is None
    again.wait()
    np.testing.assert_array_equal(given[-1], expected(*given))


def test_a_queue_is_emptied():
    tasks = _core.TaskQueue()
    given = arguments()
    out = given[-1]
    before = sys.getrefcount(out)
    batch = batch_of(*given)

    def call():
        raise AssertionError("not dropped")

    calls = sys.getrefcount(call)
    batch.put_into(tasks)
    tasks.put(call)
    assert sys.getrefcount(call) == calls + 1
    assert not tasks.empty()
    tasks.clear()
    assert tasks.empty()
    batch.wait()
    del batch
    assert sys.getrefcount(out) == before
    assert sys.getrefcount(call) == calls


def test_a_queue_that_is_gone_drops_its_calls():
    tasks = _core.TaskQueue()

    def call():
        pass

    before = sys.getrefcount(call)
    tasks.put(call)
    del tasks
    assert sys.getrefcount(call) == before


def test_calls_and_batches_come_in_the_order_they_were_put():
    tasks = _core.TaskQueue()
    given = arguments()
    seen = []
    tasks.put(lambda: seen.append(given[-1].any()))
    batch_of(*given).put_into(tasks)
    tasks.put(lambda: seen.append(given[-1].any()))
    tasks.get(60)()
    tasks.get(60)()
    assert seen == [False, True]


def test_nothing_to_do_for_a_time():
    tasks = _core.TaskQueue()
    start = time.monotonic()
    with pytest.raises(queue.Empty):
        tasks.get(0.05)
    assert time.monotonic() - start >= 0.04


def test_threads_that_sleep_are_woken(workers):
    tasks = _core.TaskQueue()
    threads = workers(tasks, 3)
    barrier = threading.Barrier(4, timeout=60)
    for _ in range(3):
        time.sleep(0.02)  # lets them fall asleep; without it the test still has to pass
        for _ in range(3):
            tasks.put(barrier.wait)
        barrier.wait()  # all three are at it
    wait_until(lambda: len(threads.calls) == 9, "all calls made")


def test_a_batch_without_images():
    plan, images, index, table, out = arguments()
    batch = batch_of(plan, images, index[:0], table[:0], out[:0])
    tasks = _core.TaskQueue()
    assert batch.put_into(tasks) == 0
    batch.wait()
    batch.run()
    assert tasks.empty()


def test_a_batch_goes_into_one_queue_once():
    tasks = _core.TaskQueue()
    given = arguments()
    batch = batch_of(*given)
    batch.put_into(tasks)
    with pytest.raises(ValueError, match="in a queue"):
        batch.put_into(tasks)
    with pytest.raises(ValueError, match="in a queue"):
        batch.run()
    batch.cancel()


@pytest.mark.parametrize(
    ("position", "change", "error", "text"),
    [
        (0, lambda p: keras_program(9, 11, 3, by_image=print), ValueError, "needs the GIL"),
        (1, lambda a: a.astype(np.complex64), TypeError, "complex64"),
        (2, lambda a: a.astype(np.int32), ValueError, "int32"),
        (2, lambda a: a[:-1], ValueError, r"of shape \(6,\)"),
        (2, lambda a: a - 5, IndexError, "out of bounds for 5 images"),
        (2, lambda a: np.repeat(a, 2)[::2], ValueError, "Expected an int64 index"),
        (3, lambda a: a.astype(np.float32), ValueError, "float32"),
        (3, lambda a: np.asfortranarray(a), ValueError, "float64 table of 7 x 10"),
        (3, lambda a: a[:, :9].copy(), ValueError, r"of shape \(7, 9\)"),
        (4, lambda a: a[:, ::-1], ValueError, "contiguous"),
    ],
)
def test_wrong_arguments(position, change, error, text):
    given = list(arguments())
    given[position] = change(given[position])
    with pytest.raises(error, match=text):
        batch_of(*given)


class Interrupt(Exception):
    pass


def test_an_interrupt_ends_the_wait():
    batch = batch_of(*arguments())
    batch.put_into(_core.TaskQueue())  # that nobody works for

    def interrupt(*_):
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupt):
            batch.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    batch.cancel()
    batch.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_forked_child_leaves_the_copies_alone():
    tasks = _core.TaskQueue()
    batch = batch_of(*arguments())
    batch.put_into(tasks)
    child = os.fork()
    if not child:
        status = 1
        try:
            if batch.is_lost():
                batch.cancel()
                del batch, tasks
                mine = _core.TaskQueue()
                again = batch_of(*arguments())
                again.put_into(mine)
                again.cancel()
                again.wait()
                status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert not batch.is_lost()
    batch.cancel()


def test_a_batch_stays_what_it_is(workers):
    """What C reads of it could be gone in the middle of its work."""
    tasks = _core.TaskQueue()
    given, others = arguments(), arguments(seed=1)
    batch = batch_of(*given)
    batch.put_into(tasks)
    batch.__init__(*others[:-1], [others[-1]])
    workers(tasks, 2)
    assert batch.wait()
    np.testing.assert_array_equal(given[-1], expected(*given))
    assert not others[-1].any()


def test_all_who_wait_for_a_batch_go_on(workers):
    """Also those who ask while another one that waits is just being told; one gets the error."""
    tasks = _core.TaskQueue()
    given = arguments(9, 130)
    found = []

    def fail(_):
        raise ValueError("of a call")

    def wait(batch):
        for timeout in -1, 0, 0, 0:
            try:
                found.append(batch.wait(timeout))
            except ValueError as error:
                found.append(str(error))

    workers(tasks, 2)
    for _ in range(20):
        batch = _core.Batch(*given[:-1], [given[-1]], after=fail)
        threads = [threading.Thread(target=wait, args=(batch,)) for _ in range(4)]
        batch.put_into(tasks)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(map(str, found)) == ["True"] * 300 + ["of a call"] * 20
