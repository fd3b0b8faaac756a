"""What is kept between two draws of a generator: a changed setting has effect at the next one."""

import collections
import copy
import pickle
import threading

import numpy as np
import pytest
from reference import assert_same, fastaug_library, keras_library

import fastaug
from fastaug.keras_api.params import RANGES, KeptSampler, ParameterSampler
from fastaug.keras_api.snapshot import Snapshot

SHAPE = (20, 30, 3)


class Owner:
    """Has attributes."""

    def __init__(self, **values):
        vars(self).update(values)


def both(change, start=None, draws=3):
    """Draws, changes something and draws again, with Keras and fastaug; returns what both drew."""

    def scenario(library):
        generator = library.generator(**copy.deepcopy(start or {}))
        np.random.seed(1)
        drawn = [generator.get_random_transform(SHAPE) for _ in range(draws)]
        change(generator)
        return drawn + [generator.get_random_transform(SHAPE) for _ in range(draws)]

    actual, expected = (scenario(library) for library in (fastaug_library(), keras_library()))
    for ours, theirs in zip(actual, expected, strict=True):
        assert_same(ours, theirs)
    return actual


def setting(name, value):
    return lambda generator: setattr(generator, name, value)


SET = {
    "rotation_range": 40,
    "height_shift_range": 0.2,
    "width_shift_range": [1, 2, 3],
    "shear_range": 10,
    "zoom_range": [0.5, 0.6],
    "horizontal_flip": True,
    "vertical_flip": True,
    "channel_shift_range": 20.0,
    "brightness_range": (0.2, 0.9),
}
assert set(SET) == set(RANGES)


@pytest.mark.parametrize(("name", "value"), SET.items(), ids=SET.keys())
def test_each_setting_has_effect_at_the_next_draw(name, value):
    drawn = both(setting(name, value), draws=8)
    assert all(drawn[0][key] == neutral for key, neutral in (("theta", 0), ("zx", 1), ("tx", 0)))
    column = {
        "rotation_range": "theta", "height_shift_range": "tx", "width_shift_range": "ty",
        "shear_range": "shear", "zoom_range": "zx", "horizontal_flip": "flip_horizontal",
        "vertical_flip": "flip_vertical", "channel_shift_range": "channel_shift_intensity",
        "brightness_range": "brightness",
    }[name]  # fmt: skip
    assert len({params[column] for params in drawn[8:]}) > 1


def set_item(name, place, value):
    return lambda generator: getattr(generator, name).__setitem__(place, value)


IN_PLACE = {
    "an item of a list": ({"zoom_range": 0.2}, set_item("zoom_range", 0, 0.1)),
    "a list of choices": ({"width_shift_range": [1, 2]}, set_item("width_shift_range", 1, 9)),
    "a longer list": (
        {"width_shift_range": [1, 2]},
        lambda generator: generator.width_shift_range.extend([7, 8, 9]),
    ),
    "an item for an equal one of another type": (
        {"width_shift_range": [1, 2]},
        set_item("width_shift_range", 0, 1.0),
    ),
    "a list of brightness": (
        {"brightness_range": [0.5, 1.5]},
        set_item("brightness_range", 1, 5.0),
    ),
    "a list in the place of an equal tuple": (
        {"brightness_range": (0.5, 1.5)},
        setting("brightness_range", [0.5, 1.6]),
    ),
    "a float for an equal integer": ({"width_shift_range": 1}, setting("width_shift_range", 1.0)),
    "a deque": (
        {},
        lambda generator: setattr(generator, "brightness_range", collections.deque([2, 3])),
    ),
}


@pytest.mark.parametrize(("start", "change"), IN_PLACE.values(), ids=IN_PLACE.keys())
def test_what_is_changed_in_place_has_effect_at_the_next_draw(start, change):
    changed, plain = both(change, start, draws=9), both(lambda generator: None, start, draws=9)
    assert changed[:9] == plain[:9]
    assert any(
        ours != same or any(type(ours[key]) is not type(same[key]) for key in ours)
        for ours, same in zip(changed[9:], plain[9:], strict=True)
    )


@pytest.mark.parametrize("kind", [np.array, list, collections.deque])
def test_a_container_that_is_changed_again_and_again(kind):
    def scenario(library):
        generator = library.generator()
        generator.brightness_range = kind([0.5, 1.5])
        np.random.seed(3)
        drawn = []
        for k in range(6):
            drawn.append(generator.get_random_transform(SHAPE))
            generator.brightness_range[k % 2] = 3.0 + k
        return drawn

    ours, theirs = scenario(fastaug_library()), scenario(keras_library())
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", ["width_shift_range", "height_shift_range"])
def test_an_array_of_choices_that_is_changed(name):
    def scenario(library):
        generator = library.generator()
        setattr(generator, name, np.array([3]))  # the truth of a longer one is ambiguous
        np.random.seed(3)
        drawn = [generator.get_random_transform(SHAPE) for _ in range(3)]
        getattr(generator, name)[0] = 7
        return drawn + [generator.get_random_transform(SHAPE) for _ in range(3)]

    ours, theirs = scenario(fastaug_library()), scenario(keras_library())
    assert_same(ours, theirs)
    assert {abs(params["tx"] + params["ty"]) for params in ours} == {3, 7}


def test_an_array_in_a_tuple():
    bound = np.array(1.5)
    generator = fastaug.ImageDataGenerator(brightness_range=(1.0, bound))
    for high in (1.5, 90.0):
        bound[...] = high
        np.random.seed(0)
        expected = np.random.RandomState(0)
        expected.random_sample(2)  # the flips
        assert generator.get_random_transform(SHAPE)["brightness"] == expected.uniform(1.0, high)


# -------------------------------------------------------------- subclasses and copies


class Grows:
    """A mixin whose range is another each time that it is asked for."""

    asked = 0.0

    @property
    def rotation_range(self):
        return self.asked

    @rotation_range.setter
    def rotation_range(self, value):
        pass


def test_a_subclass_with_a_property():
    def scenario(library):
        generator = type("Own", (Grows, library.ImageDataGenerator), {})()
        np.random.seed(2)
        drawn = []
        for asked in (0, 10, 10, 90, 0):
            generator.asked = asked
            drawn += [generator.get_random_transform(SHAPE) for _ in range(2)]
        return drawn

    ours, theirs = scenario(fastaug_library()), scenario(keras_library())
    assert_same(ours, theirs)
    assert ours[0]["theta"] == 0 != ours[2]["theta"]
    assert max(abs(params["theta"]) for params in ours[6:8]) > 10


def test_a_class_attribute_that_changes():
    class Own(fastaug.ImageDataGenerator):
        pass

    generator = Own()
    del generator.rotation_range
    Own.rotation_range = 0
    assert generator.get_random_transform(SHAPE)["theta"] == 0
    Own.rotation_range = 40
    assert generator.get_random_transform(SHAPE)["theta"] != 0


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda generator: pickle.loads(pickle.dumps(generator)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES.keys())
def test_a_copy_has_its_own_settings(copied):
    generator = fastaug.ImageDataGenerator(rotation_range=10)
    generator.get_random_transform(SHAPE)
    twin = copied(generator)
    twin.rotation_range = 0
    assert twin.get_random_transform(SHAPE)["theta"] == 0
    assert generator.get_random_transform(SHAPE)["theta"] != 0
    generator.rotation_range = 0
    twin.rotation_range = 20
    assert generator.get_random_transform(SHAPE)["theta"] == 0
    assert twin.get_random_transform(SHAPE)["theta"] != 0


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES.keys())
def test_a_kept_sampler_that_is_copied_keeps_nothing(copied):
    kept, owner = KeptSampler(), fastaug.ImageDataGenerator(rotation_range=10)
    first = kept.of(owner)
    assert kept.of(owner) is first
    assert copied(kept).of(owner) is not first


# ------------------------------------------------------------------------ threads


def test_threads_that_draw_while_another_sets():
    """Threads that draw while another sets do not fail, and have the last setting at the end."""
    generator = fastaug.ImageDataGenerator(zoom_range=[1, 1], rotation_range=1)
    errors, stop = [], threading.Event()

    def draw():
        try:
            while not stop.is_set():
                params = generator.get_random_transform(SHAPE)
                assert abs(params["theta"]) <= 1000
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads:
        thread.start()
    for k in range(400):
        generator.rotation_range = 1 + k % 1000
        generator.zoom_range[0] = 1 - (k % 2) / 2
    generator.rotation_range = 0
    generator.zoom_range[:] = [1, 1]
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not errors
    for _ in range(3):
        params = generator.get_random_transform(SHAPE)
        assert (params["theta"], params["zx"]) == (0, 1)


def test_a_setting_that_is_changed_while_the_sampler_is_made(monkeypatch):
    """As another thread may: the sampler of before is not taken for that of what is set now."""
    generator = fastaug.ImageDataGenerator(rotation_range=10)
    make = ParameterSampler.of.__func__

    def slow(cls, owner):
        sampler = make(cls, owner)
        owner.rotation_range = 0
        return sampler

    kept = KeptSampler()
    with monkeypatch.context() as patch:
        patch.setattr(ParameterSampler, "of", classmethod(slow))
        kept.of(generator)
    sampler = kept.of(generator)
    assert sampler.one.draw_dict(np.random.RandomState(0))["theta"] == 0


# ----------------------------------------------------------------------- Snapshot


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (0.5, 0.5, True),
        ([1, 2], [1, 2], True),
        ([1, 2], [1.0, 2], False),
        ([1, 2], [1, 2, 3], False),
        ([1, [2]], [1, [3]], False),
        ((1, 2), (1, 2), True),
        (None, None, True),
        (None, 0, False),
        (np.ones(3), np.ones(3), True),
        (np.ones(3), np.ones(3, np.float32), False),
        (np.ones(3), np.ones((3, 1)), False),
        (np.ones(3), np.array([1.0, 1, 2]), False),
        (np.ones(5000), np.ones(5000), True),
        (np.ones(5000), np.r_[np.ones(4999), 2.0], False),
        (np.arange(5000.0), np.arange(5000.0)[::-1], False),
        ((1, np.ones(2)), (1, np.zeros(2)), False),
    ],
)
def test_values_that_are_set(before, after, same):
    owner = Owner(a=before, b=3)
    snapshot = Snapshot(owner, ("a", "b"))
    assert snapshot.is_of(owner)
    owner.a = after
    assert snapshot.is_of(owner) == same
    owner.a = before
    assert snapshot.is_of(owner)
    owner.b = 4
    assert not snapshot.is_of(owner)


def change_item(value):
    value[0] = 9


@pytest.mark.parametrize(
    "value",
    [[1, 2], [[1], 2], np.ones(3), np.ones(5000), collections.deque([1, 2]), bytearray(b"ab")],
    ids=repr,
)
def test_values_that_are_changed_in_place(value):
    owner = Owner(a=value)
    snapshot = Snapshot(owner, ("a",))
    before = value[0]
    assert snapshot.is_of(owner) and snapshot.is_of(owner)
    change_item(value)
    assert not snapshot.is_of(owner)
    assert Snapshot(owner, ("a",)).is_of(owner)
    value[0] = before
    assert snapshot.is_of(owner)


def test_what_lies_deep_within():
    inner = [1]
    for value in ([inner, 2], (inner, 2), ((inner,), 2), collections.deque([inner])):
        owner = Owner(a=value)
        snapshot = Snapshot(owner, ("a",))
        inner.append(2)
        assert not snapshot.is_of(owner)
        inner.pop()
        assert snapshot.is_of(owner)


def test_an_equal_object_is_looked_into_from_then_on():
    owner = Owner(a=[1, 2])
    snapshot = Snapshot(owner, ("a",))
    owner.a = twin = [1, 2]
    assert snapshot.is_of(owner)
    twin[1] = 3
    assert not snapshot.is_of(owner)


def test_an_attribute_that_is_gone():
    owner = Owner(a=1)
    snapshot = Snapshot(owner, ("a",))
    del owner.a
    with pytest.raises(AttributeError):
        snapshot.is_of(owner)
