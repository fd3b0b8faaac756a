"""Reading ahead in Keras's own training loop, which by default asks for batches in random order.

A batch is foreseen if it was begun before it was asked for. Nothing here looks at a clock.
"""

import gc
import importlib.util
import os
import pathlib
import random
import subprocess
import sys
import types
import warnings

import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator as KerasGenerator
from keras.src.trainers.data_adapters import py_dataset_adapter
from trees import plain_tree

import fastaug
from fastaug.keras_api import epoch_order
from fastaug.keras_api.epoch_order import EpochOrder

N, BATCHES = 70, 18  # the last batch is short
X = np.random.RandomState(0).randint(0, 256, (N, 9, 11, 3)).astype(np.uint8)
Y = np.arange(N) % 3
SETTINGS = {"rotation_range": 30, "horizontal_flip": True, "rescale": 1 / 255}
# what an epoch of which the order is known looks like
FORESEEN = [False] + [True] * (BATCHES - 1)
ON_TENSORFLOW = keras.config.backend() == "tensorflow"
# the other backends run all of this once more, for what is theirs
SEEDS = [None, 3] if ON_TENSORFLOW else [3]
PREFETCH = [1, 3] if ON_TENSORFLOW else [3]


@pytest.fixture(autouse=True)
def _surroundings():
    """Whatever Keras and its backend warn of is theirs; `random` is left as it was."""
    state = random.getstate()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="fastaug")
        yield
    random.setstate(state)


def flow(x=X, y=Y, batch_size=4, seed=None, shuffle=True, workers=2, prefetch=3, **settings):
    generator = fastaug.ImageDataGenerator(
        **(SETTINGS | settings), workers=workers, prefetch=prefetch
    )
    return generator.flow(x, y, batch_size=batch_size, seed=seed, shuffle=shuffle)


def build_model(outputs=3):
    """A model not yet built, so that Keras fetches a batch for that; seeds all that is random."""
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Flatten(), keras.layers.Dense(outputs, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class Watch(keras.callbacks.Callback):
    """Notes what is asked of an iterator: in `epochs[0]` before the first, then in each.

    Attributes:
        epochs: For each epoch a list of pairs: the item, and whether it was foreseen.
        begun: For each epoch the items of the batches that were begun in it.
    """

    def __init__(self, iterator):
        super().__init__()
        self.epochs, self.begun = [[]], [[]]
        self._maker = iterator._maker
        starter = self._maker._starter
        self._take, self._start = self._maker.take, starter.start
        self._maker.take, starter.start = self._taken, self._started

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append([])
        self.begun.append([])

    def _taken(self, order, item):
        ahead = list(self._maker._guesses)
        batch = self._take(order, item)
        self.epochs[-1].append((item, any(batch is each for each in ahead)))
        return batch

    def _started(self, *arguments):
        batches = self._start(*arguments)
        self.begun[-1] += [batch.item for batch in batches]
        return batches

    def foreseen(self, epoch):
        return [foreseen for _, foreseen in self.epochs[epoch]]

    def items(self, epoch):
        return [item for item, _ in self.epochs[epoch]]

    def check(self, epochs, shuffled=True):
        """Asserts that all batches of all epochs but the first one of each were foreseen."""
        assert len(self.epochs) == 1 + epochs
        for epoch in range(1, 1 + epochs):
            assert self.foreseen(epoch) == FORESEEN
            # each was made once
            assert sorted(self.items(epoch)) == sorted(self.begun[epoch]) == list(range(BATCHES))
            assert (self.items(epoch) != list(range(BATCHES))) == shuffled


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("prefetch", PREFETCH)
@pytest.mark.parametrize(
    ("size", "settings"),
    [(9, {}), (220, {}), (9, {"preprocessing_function": np.abs})],
    ids=["several in a job", "one in a job", "function"],
)
def test_fit_foresees_all_but_the_first_batch_of_an_epoch(size, settings, prefetch, seed):
    x = np.zeros((N, size, size, 3), np.uint8)
    with flow(x, seed=seed, prefetch=prefetch, **settings) as iterator:
        watch = Watch(iterator)
        build_model().fit(iterator, epochs=2, verbose=0, callbacks=[watch])
    watch.check(2)


def test_fit_without_shuffling():
    with flow() as iterator:
        watch = Watch(iterator)
        build_model().fit(iterator, epochs=2, shuffle=False, verbose=0, callbacks=[watch])
    watch.check(2, shuffled=False)


@pytest.mark.parametrize("decoder", ["processes", "threads"])
@pytest.mark.parametrize("seed", SEEDS)
def test_fit_from_files(seed, decoder, tmp_path):
    plain_tree(tmp_path, counts=(30, 25, 15))
    generator = fastaug.ImageDataGenerator(**SETTINGS, workers=2, prefetch=3)
    files = generator.flow_from_directory(
        tmp_path,
        target_size=(9, 11),
        class_mode="sparse",
        batch_size=4,
        seed=seed,
        decoder=decoder,
    )
    with files as iterator:
        watch = Watch(iterator)
        build_model().fit(iterator, epochs=2, verbose=0, callbacks=[watch])
    watch.check(2)


def test_validation_evaluate_and_predict_are_in_sequence():
    with flow() as training, flow(shuffle=False) as validation:
        watch, sequence = Watch(training), Watch(validation)
        model = build_model()
        fit = {"epochs": 2, "verbose": 0, "callbacks": [watch, sequence]}
        model.fit(training, validation_data=validation, **fit)
        for loop in (model.evaluate, model.predict):
            sequence.on_epoch_begin(None)
            loop(validation, verbose=0)
    watch.check(2)
    for epoch in range(1, 5):  # TensorFlow has a look at two batches before
        assert sequence.items(epoch)[-BATCHES:] == list(range(BATCHES))
        assert sequence.foreseen(epoch)[-BATCHES:] == FORESEEN


def test_one_iterator_for_training_and_validation():
    with flow() as iterator:
        watch = Watch(iterator)
        build_model().fit(
            iterator, validation_data=iterator, epochs=2, verbose=0, callbacks=[watch]
        )
    for epoch in 1, 2:
        assert watch.foreseen(epoch)[:BATCHES] == FORESEEN
        assert watch.foreseen(epoch)[-BATCHES + 1 :] == FORESEEN[1:]
        assert watch.items(epoch)[-BATCHES:] == list(range(BATCHES))


def test_fit_after_a_fit_that_was_broken_off():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 5:
                raise KeyboardInterrupt

    with flow() as iterator:
        model = build_model()
        with pytest.raises(KeyboardInterrupt):
            model.fit(iterator, verbose=0, callbacks=[Stop()])
        for each in gc.get_objects():  # whose thread may still ask for an item
            if isinstance(each, py_dataset_adapter.PyDatasetEnqueuer):
                each.stop()
        watch = Watch(iterator)
        for i in range(BATCHES):
            iterator[i]
        assert watch.foreseen(0) == FORESEEN
        model.fit(iterator, epochs=2, verbose=0, callbacks=[watch])
    watch.check(2)


@pytest.mark.skipif(ON_TENSORFLOW, reason="tf.data asks ahead, across the end of an epoch")
def test_steps_per_epoch():
    def asked(prefetch):
        with flow(seed=3, prefetch=prefetch) as iterator:
            watch = Watch(iterator)
            build_model().fit(iterator, steps_per_epoch=6, epochs=7, verbose=0, callbacks=[watch])
            return watch

    watch = asked(prefetch=3)
    # at the end of an epoch of Keras's, an iterator takes on a new order of its samples
    assert [watch.foreseen(epoch) for epoch in range(1, 8)] == 7 * [[False] + [True] * 5]
    items, without = (
        [item for epoch in range(1, 8) for item in each.items(epoch)]
        for each in (watch, asked(prefetch=0))
    )
    assert items == without
    assert sorted(items[:BATCHES]) == sorted(items[BATCHES:-6]) == list(range(BATCHES))


# ---------------------------------------------------------------------------- nothing else changes


class Recording(keras.utils.PyDataset):
    """Hands on another dataset's batches, and keeps them."""

    def __init__(self, iterator):
        super().__init__()
        self._iterator, self.fetched = iterator, []

    @property
    def num_batches(self):
        return self._iterator.num_batches

    def __getitem__(self, item):
        batch = self._iterator[item]
        self.fetched.append((item, *batch))
        return batch

    def on_epoch_end(self):
        self._iterator.on_epoch_end()


def trained(iterator):
    """The batches of two epochs, and where both global streams stand after them."""
    model = build_model()
    recording = Recording(iterator)
    model.fit(recording, epochs=2, verbose=0)
    return recording.fetched, random.getstate(), np.random.get_state()


def assert_same_training(actual, expected):
    assert [item for item, *_ in actual[0]] == [item for item, *_ in expected[0]]
    assert len(actual[0]) >= 2 * BATCHES
    assert actual[1] == expected[1]
    np.testing.assert_equal(actual[2], expected[2])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("function", [None, np.abs], ids=["core", "function"])
def test_batches_and_streams_are_those_without_prefetching(function, seed):
    options = {"seed": seed, "preprocessing_function": function}
    with flow(**options) as iterator, flow(**options, prefetch=0) as without:
        actual, expected = trained(iterator), trained(without)
    assert_same_training(actual, expected)
    for batch, other in zip(actual[0], expected[0], strict=True):
        for array, other_array in zip(batch[1:], other[1:], strict=True):
            np.testing.assert_array_equal(array, other_array)


def test_the_streams_are_those_of_a_training_from_keras():
    """Keras reads `num_batches` of its own iterator, which draws nothing, as often."""
    expected = trained(KerasGenerator(**SETTINGS).flow(X, Y, batch_size=4))
    with flow() as iterator:
        assert_same_training(trained(iterator), expected)


def test_reading_and_asking_leave_random_where_it_stands():
    with flow() as iterator:
        for i in (3, 1, 0, 7):
            random.seed(i)
            state = random.getstate()
            assert iterator.num_batches == BATCHES
            assert random.getstate() == state
            random.random()
            state = random.getstate()
            iterator[i]
            assert random.getstate() == state


def test_num_batches_may_be_read_at_any_time():
    class Reading(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            assert iterator.num_batches == BATCHES

        on_train_batch_end = on_train_batch_begin

    with flow() as iterator:
        watch = Watch(iterator)
        build_model().fit(iterator, epochs=3, verbose=0, callbacks=[watch, Reading()])
    watch.check(3)


def test_an_iterator_that_draws_from_random_itself():
    class Mixing(fastaug.NumpyArrayIterator):
        def __getitem__(self, item):
            share = random.random()
            images, labels = super().__getitem__(item)
            return images * np.float32(share), labels

    generator = fastaug.ImageDataGenerator(**SETTINGS, workers=2, prefetch=3)
    with Mixing(X, Y, generator, batch_size=4, shuffle=True) as iterator:
        watch = Watch(iterator)
        build_model().fit(iterator, epochs=3, verbose=0, callbacks=[watch])
    watch.check(3)


@pytest.mark.parametrize("prefetch", [0, 3])
def test_threads_of_keras_get_what_they_ask_for(prefetch):
    """They ask in about the order that is expected. The images say which samples they are."""
    x = np.repeat(np.arange(N, dtype=np.uint8), 12).reshape(N, 2, 2, 3)
    generator = fastaug.ImageDataGenerator(workers=2, prefetch=prefetch)
    with generator.flow(x, np.arange(N), batch_size=4) as iterator:
        recording = Recording(iterator)
        recording.workers = 4
        build_model(outputs=N).fit(recording, epochs=4, verbose=0)
    assert {item for item, *_ in recording.fetched} == set(range(BATCHES))
    for _, images, labels in recording.fetched:
        np.testing.assert_array_equal(images, x[labels])


# ------------------------------------------------------------------------------- another Keras


def shuffled_by(shuffle, monkeypatch):
    """Puts another shuffle in the place of Keras's."""
    monkeypatch.setattr(py_dataset_adapter, "random", types.SimpleNamespace(shuffle=shuffle))


@pytest.mark.parametrize("first", [0, 1])
def test_a_keras_that_shuffles_by_the_number_of_the_epoch(first, monkeypatch):
    numbers = []

    def shuffle(items):
        numbers.append(first + len(numbers))
        random.Random(numbers[-1]).shuffle(items)

    shuffled_by(shuffle, monkeypatch)
    with flow() as iterator:
        watch = Watch(iterator)
        model = build_model()
        for _ in range(2):
            numbers.clear()
            model.fit(iterator, epochs=4, verbose=0, callbacks=[watch])
            model.evaluate(iterator, verbose=0)
    for epoch in range(1, 9):
        assert watch.foreseen(epoch)[:BATCHES] == FORESEEN


@pytest.mark.parametrize("draws", [True, False])
def test_a_keras_whose_order_cannot_be_known(draws, monkeypatch):
    """Nothing is begun for nothing, and few shuffles are made."""

    def shuffle(items):
        if draws:
            random.random()
        items.sort(key=lambda item: item * 5 % 17 or 18)  # ..., 0, 17

    shuffled_by(shuffle, monkeypatch)
    shuffles = counted_shuffles(monkeypatch)
    with flow() as iterator:
        watch = Watch(iterator)
        build_model().fit(iterator, epochs=10, verbose=0, callbacks=[watch])
    for epoch in range(1, 11):
        assert sorted(watch.items(epoch)) == list(range(BATCHES))
        assert not any(watch.foreseen(epoch))
        # an epoch that begins with 0 would have been in sequence
        assert watch.begun[epoch][: BATCHES - 1] == watch.items(epoch)[:-1]
    assert 0 < len(shuffles) <= 12 * 6


def counted_shuffles(monkeypatch):
    shuffles, shuffled = [], epoch_order._shuffled
    monkeypatch.setattr(
        epoch_order, "_shuffled", lambda *args: shuffles.append(args) or shuffled(*args)
    )
    return shuffles


# ------------------------------------------------------------------------------- without Keras


def shuffle_after_reading(order, count):
    order.num_batches_read()
    items = list(range(count))
    random.shuffle(items)
    return items


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_the_order_is_known_from_its_first_item_on(count):
    order = EpochOrder()
    for _ in range(3):
        order.num_batches_read()
        random.random()
        items = shuffle_after_reading(order, count)
        for place, item in enumerate(items):
            assert order.asked(item, count)
            assert list(order.following(0, count)) == items[place + 1 :]
            assert list(order.following(1, 2)) == items[place + 2 : place + 4]


def test_a_shuffle_between_two_readings_of_two_threads():
    order = EpochOrder()
    items = shuffle_after_reading(order, 50)
    order.num_batches_read()
    assert order.asked(items[0], 50)
    assert list(order.following(0, 3)) == items[1:4]


def test_a_sequence_is_no_shuffle_after_an_earlier_reading():
    """As in validation, whose number of batches is read at the end of an epoch, too."""
    order = EpochOrder()
    seeds = iter(range(100))
    while True:
        random.seed(next(seeds))
        if shuffle_after_reading(order, 6)[0] == 0:
            break
    random.random()
    order.num_batches_read()
    assert order.asked(0, 6)
    assert list(order.following(0, 6)) == [1, 2, 3, 4, 5]


def test_a_sequence_takes_no_shuffle(monkeypatch):
    shuffles = counted_shuffles(monkeypatch)
    order = EpochOrder()
    for _ in range(5):
        order.num_batches_read()
        assert all(order.asked(item, 20) for item in range(20))
    assert not shuffles


def test_items_in_about_the_expected_order():
    """No guess follows a swap, until there was none for a while; also in the next epoch."""
    order = EpochOrder()
    random.seed(2)
    items = shuffle_after_reading(order, 100)
    asked = [*items[:2], items[3], items[2], *items[4:]]
    foreseen = [order.asked(item, 100) for item in asked]
    assert foreseen == 2 * [True] + 2 * [False] + 15 * [False] + 81 * [True]
    items = shuffle_after_reading(order, 100)
    assert [order.asked(item, 100) for item in items] == 15 * [False] + 85 * [True]
    items = shuffle_after_reading(order, 100)
    assert all(order.asked(item, 100) for item in items)


def test_an_order_that_is_left_for_a_sequence():
    order = EpochOrder()
    for item in shuffle_after_reading(order, 50)[:20]:
        order.asked(item, 50)
    for item in range(50):
        order.asked(item, 50)
        assert list(order.following(0, 50)) == list(range(item + 1, 50))


def test_an_order_is_known_again_after_one_that_was_not():
    order = EpochOrder()
    random.seed(1)
    for _ in range(5):
        order.num_batches_read()
        random.random()
        assert not order.asked(30, 50)  # whatever that was
        items = shuffle_after_reading(order, 50)
        assert all(order.asked(item, 50) for item in items)


def test_nothing_is_known_of_a_random_order():
    order = EpochOrder()
    random.seed(8)
    order.num_batches_read()
    assert not any(order.asked(random.randrange(1, 1000), 1000) for _ in range(300))


@pytest.mark.parametrize("drawing", [True, False])
def test_reading_at_each_item_of_a_random_order_costs_few_shuffles(drawing, monkeypatch):
    count, items = 1000, random.Random(4).choices(range(1, 1000), k=4000)
    shuffles = counted_shuffles(monkeypatch)
    order = EpochOrder()
    for item in items:
        order.num_batches_read()
        if drawing:
            random.random()
        order.asked(item, count)
    assert 0 < len(shuffles) <= (2 + 8) * 6


@pytest.mark.parametrize("seed", [None, 3])
def test_guesses_that_are_never_right(seed):
    """Two items in sequence, and then others: each time the third one is guessed, in vain."""
    items = 8 * [item for first in range(16, 0, -2) for item in (first, first + 1)]

    def batches(prefetch):
        with flow(seed=seed, prefetch=prefetch) as iterator:
            watch = Watch(iterator)
            np.random.seed(4)
            return [iterator[i] for i in items], np.random.get_state(), watch

    (actual, stream, watch), (expected, other_stream, _) = batches(3), batches(0)
    np.testing.assert_equal(stream, other_stream)
    for batch, other in zip(actual, expected, strict=True):
        for array, other_array in zip(batch, other, strict=True):
            np.testing.assert_array_equal(array, other_array)
    assert not any(watch.foreseen(0))
    assert watch.begun[0][: len(items)] != items  # there were guesses
    assert len(watch.begun[0]) < 2 * len(items)


# ------------------------------------------------------------------------------- other backends


@pytest.mark.skipif(not ON_TENSORFLOW, reason="this is another backend")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_other_backends(backend):
    """All of the above in a program of its own."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    root = pathlib.Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", __file__],
        env=os.environ
        | {
            "KERAS_BACKEND": backend,
            "JAX_PLATFORMS": "cpu",
            "OMP_NUM_THREADS": "1",  # torch's threads wait for each other in a loop
        },
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
