"""Batches that are prepared ahead: that they are used, and what happens to those that are not."""

import contextlib
import sys
import threading

import numpy as np
import pytest
from reference import STANDARD, assert_batches_equal, run_both
from scripts import check_script

import fastaug
from fastaug.keras_api.order import NEXT
from fastaug.run.threads import Job, shared_pool

X = np.random.RandomState(0).randint(0, 256, (70, 9, 11, 3)).astype(np.uint8)
SETTINGS = {
    "rotation_range": 30, "width_shift_range": 0.2, "horizontal_flip": True, "rescale": 1 / 255,
}  # fmt: skip


def flow(workers=2, prefetch=2, seed=3, shuffle=True, batch_size=4, x=X, **settings):
    generator = fastaug.ImageDataGenerator(
        **(SETTINGS | settings), workers=workers, prefetch=prefetch
    )
    return generator.flow(x, batch_size=batch_size, shuffle=shuffle, seed=seed)


@contextlib.contextmanager
def held_back(workers):
    """Keeps the threads of a pool from all else for the length of a `with` block."""

    class Call:
        def __call__(self):
            assert go_on.wait(60)

        def cancel(self):
            pass

    go_on, pool = threading.Event(), shared_pool(workers)
    job = Job([Call() for _ in range(workers)])
    pool.submit(job)
    try:
        yield
    finally:
        go_on.set()
        job.wait()


def in_sequence(iterator, ask):
    """Batches of two epochs."""
    if ask == "next":
        return [next(iterator) for _ in range(2 * len(iterator))]
    return [iterator[i] for _ in range(2) for i in range(len(iterator))]


@pytest.mark.parametrize("function", [None, np.abs], ids=["core", "function"])
@pytest.mark.parametrize("size", [9, 130, 600])
@pytest.mark.parametrize("ask", ["next", "items"])
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("prefetch", [1, 2, 5])
def test_no_guess_is_wrong_in_a_loop(prefetch, seed, ask, size, function, monkeypatch):
    x = np.zeros((10, size, size, 3), np.uint8)
    with flow(prefetch=prefetch, seed=seed, x=x, preprocessing_function=function) as iterator:
        maker = iterator._maker
        begun, start = [], maker._starter.start
        monkeypatch.setattr(
            maker._starter, "start", lambda *args: begun.append(start(*args)) or begun[-1]
        )
        batches = in_sequence(iterator, ask)
        # no batch was made twice
        made = sum(len(started) for started in begun)
        assert made == len(batches) + len(maker._guesses)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("options", [{"workers": 2, "prefetch": 0}, {"workers": 0}], ids=str)
def test_nothing_is_made_ahead_if_nothing_is_to_be(options, seed):
    with flow(**options, seed=seed) as iterator:
        for _ in range(20):
            next(iterator)
            assert not len(iterator._maker._guesses)


@pytest.mark.parametrize("size", [9, 130, 600])
@pytest.mark.parametrize("prefetch", [1, 2, 7])
def test_how_much_is_made_ahead(prefetch, size):
    x = np.zeros((400, size, size, 3), np.uint8)
    with flow(prefetch=prefetch, x=x) as iterator:
        most = 0
        for _ in range(40):
            batch = next(iterator)
            most = max(most, len(iterator._maker._guesses))
        # small batches by the run, of 8 or 4 MB
        run = min(8, max(1, 2**22 // batch.nbytes))
        assert most <= max(prefetch, run + 1) - 1 + run
        assert most >= prefetch


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("change", ["settings", "order", "close"])
def test_a_batch_that_is_waited_for_survives_those_that_come_to_nothing(seed, change):
    def asked(iterator):
        """Steps as `next` does, up to where it waits."""
        batch = iterator._maker.take(iterator._order)
        iterator._order = batch.order
        return batch

    def got(iterator, batch):
        return iterator._maker.finish(batch, None)[0]

    with flow(workers=0, seed=seed) as alone:
        np.random.seed(5)
        expected = [next(alone) for _ in range(5)]
    with flow(seed=seed) as iterator:
        np.random.seed(5)
        before = [next(iterator) for _ in range(2)]
        iterator.close()  # what comes now has not begun
        with held_back(2):
            batches = [asked(iterator) for _ in range(3)]
            assert len({batch.run for batch in batches}) < 3  # some are one job
            if change == "settings":
                iterator.image_data_generator.rescale = 2
                other = asked(iterator)
            elif change == "order":
                iterator.batch_index = 0
                other = asked(iterator)
            else:
                iterator.close()
                other = None
        images = [*before, *(got(iterator, batch) for batch in batches)]
        np.testing.assert_array_equal(images, expected)
        if other is not None:
            assert got(iterator, other).shape == images[0].shape


def test_an_interrupt_leaves_the_batch_of_another_thread():
    with flow(workers=0) as alone:
        expected = [next(alone) for _ in range(3)]
    with flow() as iterator:
        next(iterator)
        iterator.close()
        maker, order, batches = iterator._maker, iterator._order, []
        with held_back(2):
            for _ in range(3):
                batches.append(maker.take(order, NEXT))
                order = batches[-1].order
            assert batches[1].job is batches[2].job
            job = batches[1].job

            class Interrupted:
                def wait(self):
                    raise KeyboardInterrupt

                def cancel(self):
                    job.cancel()

            batches[1].job = Interrupted()
            with pytest.raises(KeyboardInterrupt):
                maker.finish(batches[1], None)
        np.testing.assert_array_equal(maker.finish(batches[0], None)[0], expected[1])
        maker.finish(batches[2], None)
        batches[1].job = job
        np.testing.assert_array_equal(maker.finish(batches[1], None)[0], expected[2])


@pytest.mark.parametrize("seed", [3, np.int64(3), 2**32 - 60, None], ids=repr)
@pytest.mark.parametrize("ask", ["next", "items"])
def test_the_end_of_an_epoch_at_any_time(ask, seed):
    """It draws from the stream as the last batch has left it, whoever drew for that one."""

    def orders(library):
        found = []
        for k in range(1, 25):
            iterator = library.generator(**SETTINGS).flow(X[:38], batch_size=4, seed=seed)
            for i in range(k):
                next(iterator) if ask == "next" else iterator[i % len(iterator)]
            for _ in range(2):
                iterator.on_epoch_end()
                found.append(iterator.index_array.copy())
            next(iterator)
            library.close(iterator)
        return found

    actual, expected = run_both(orders, stream="keras" if seed is None else None)
    np.testing.assert_array_equal(actual.value, expected.value)


@pytest.mark.parametrize(("seed", "good"), [(2**32 - 6, 6), (2**32 - 1, 1)])
def test_seeds_end_where_those_of_numpy_do(seed, good):
    def batches(library, count):
        iterator = library.generator(**SETTINGS).flow(X, batch_size=4, seed=seed)
        try:
            return [next(iterator) for _ in range(count)]
        finally:
            library.close(iterator)

    actual, expected = run_both(lambda library: batches(library, good), stream=None)
    assert_batches_equal(actual.value, expected.value, STANDARD)
    _, expected = run_both(lambda library: batches(library, good + 1), stream=None)
    assert isinstance(expected.error, ValueError)


def test_an_attribute_that_is_set_takes_no_batch_back():
    interval = sys.getswitchinterval()
    with flow(x=X[:, :2, :2]) as iterator:
        stop = threading.Event()

        def set_it():
            while not stop.is_set():
                iterator.shuffle = True

        thread = threading.Thread(target=set_it, daemon=True)
        thread.start()
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(3000):
                next(iterator)
        finally:
            sys.setswitchinterval(interval)
            stop.set()
            thread.join(60)
        assert iterator.total_batches_seen == 3000


def test_the_import_of_keras_leaves_the_stream():
    check_script(
        """
        import sys
        import numpy as np
        import fastaug

        np.random.seed(2)
        before = np.random.get_state()
        assert "keras" not in sys.modules
        fastaug.ImageDataGenerator().flow(np.zeros((2, 3, 3, 3)))
        assert "keras" in sys.modules
        after = np.random.get_state()
        assert before[2:] == after[2:] and (before[1] == after[1]).all()
    """,
        keras=True,
    )
