"""`apply`: each image has random numbers of its own, drawn and used as Keras does."""

import hashlib
import pickle

import numpy as np
import pytest
from reference import (
    BRIGHTNESS,
    EXACT,
    GEOMETRY,
    STANDARD,
    TRANSFORM,
    assert_images_close,
    assert_same,
    images,
    keras_library,
    same_stream,
)
from scripts import check_script

import fastaug

KEYS = [0, 7, "cats/1.jpg", -5, 2**70, "", "ä", "b\udcff"]  # the last a name that is not UTF-8
N = len(KEYS)
WORKERS = pytest.mark.parametrize("workers", [0, 1, 3])


def stream_of(key, seed):
    """The seed of an image's stream."""
    digest = hashlib.blake2b(f"{seed} {key}".encode(errors="surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "little") % 2**32


def noisy(image):
    return image + np.random.uniform(-9, 9)


def in_a_loop(settings, x, seed=0, statistics=()):
    """What Keras makes of each image, with `np.random` seeded for it."""
    generator = keras_library().generator(**settings)
    for name, value in dict(statistics).items():
        setattr(generator, name, value)
    out = np.empty(x.shape, generator.dtype)
    for i, key in enumerate(KEYS):
        np.random.seed(stream_of(key, seed))
        image = x[i].astype(generator.dtype)
        params = generator.get_random_transform(image.shape)
        out[i] = generator.standardize(generator.apply_transform(image, params))
    return out


CASES = {
    "nothing": ({}, EXACT),
    "geometry": (GEOMETRY, TRANSFORM),
    "choices": ({"width_shift_range": [-3, 0, 3], "height_shift_range": 4}, TRANSFORM),
    "cubic": (GEOMETRY | {"interpolation_order": 3}, TRANSFORM),
    "channels first": (GEOMETRY | {"data_format": "channels_first"}, TRANSFORM),
    "channel shift": ({"channel_shift_range": 40.0, "rescale": 1 / 255}, TRANSFORM),
    "brightness": ({"brightness_range": (0.5, 1.5), "horizontal_flip": True}, BRIGHTNESS),
    "samplewise": (
        {"samplewise_center": True, "samplewise_std_normalization": True, "vertical_flip": True},
        STANDARD,
    ),
    "function": ({"preprocessing_function": np.negative, "horizontal_flip": True}, EXACT),
    "function that draws": ({"preprocessing_function": noisy, "vertical_flip": True}, EXACT),
    "elementwise": (
        {"preprocessing_function": fastaug.elementwise(lambda x: x / 2), "vertical_flip": True},
        EXACT,
    ),
    "bytes": ({"horizontal_flip": True, "dtype": "uint8"}, EXACT),
    "float64": (GEOMETRY | {"dtype": "float64"}, TRANSFORM),
}


@WORKERS
@pytest.mark.parametrize("case", CASES)
def test_images_are_keras_s(case, workers):
    settings, tolerance = CASES[case]
    x = images(n=N, data_format=settings.get("data_format", "channels_last"))
    actual = fastaug.ImageDataGenerator(**settings, workers=workers).apply(x, keys=KEYS, seed=3)
    assert_images_close(actual, in_a_loop(settings, x, seed=3), tolerance)


@pytest.mark.parametrize("setting", ["featurewise_std_normalization", "zca_whitening"])
def test_statistics(setting):
    x = images(n=N, height=3, width=4)
    settings = {setting: True, "featurewise_center": True}
    generator = fastaug.ImageDataGenerator(**settings)
    generator.fit(x)
    statistics = {
        name: getattr(generator, name) for name in ("mean", "std", "zca_whitening_matrix")
    }
    expected = in_a_loop(settings, x, statistics=statistics)
    assert_images_close(generator.apply(x, keys=KEYS), expected, STANDARD)


def test_missing_statistics_are_warned_of():
    generator = fastaug.ImageDataGenerator(featurewise_center=True)
    with pytest.warns(UserWarning, match="hasn't been fit"):
        generator.apply(images(n=2), keys=range(2))


@pytest.mark.parametrize("augment", [None, (fastaug.RandomCrop(8), fastaug.Posterize(3, p=0.5))])
@pytest.mark.parametrize("function", [None, noisy])
def test_an_image_is_the_same_whatever_is_beside_it(function, augment):
    x = images(n=N)
    settings = {"preprocessing_function": function, "augment": augment}
    generator = fastaug.ImageDataGenerator(**GEOMETRY, **settings)
    whole = generator.apply(x, keys=KEYS)
    assert len({image.tobytes() for image in generator.apply(x[:1].repeat(N, 0), keys=KEYS)}) == N
    order = np.random.RandomState(0).permutation(N)
    assert_same(generator.apply(x[order], keys=[KEYS[k] for k in order]), whole[order])
    assert_same(generator.apply(x[2:3], keys=KEYS[2:3]), whole[2:3])
    assert_same(generator.apply(list(x), keys=np.array(KEYS, dtype=object)), whole)
    copy = pickle.loads(pickle.dumps(generator))
    assert_same(copy.apply(x, keys=KEYS), whole)
    others = generator.apply(x, keys=KEYS, seed=1)
    assert all((a != b).any() for a, b in zip(others, whole, strict=True))


def test_an_integer_is_the_same_key_in_every_type():
    x, generator = images(n=3), fastaug.ImageDataGenerator(**GEOMETRY)
    expected = generator.apply(x, keys=range(3))
    for keys in (np.arange(3), np.arange(3, dtype=np.uint8), ["0", "1", "2"]):
        assert_same(generator.apply(x, keys=keys), expected)


@pytest.mark.parametrize("function", [None, noisy])
def test_numpy_s_stream_is_not_touched(function):
    generator = fastaug.ImageDataGenerator(**GEOMETRY, preprocessing_function=function)
    before = np.random.get_state()
    generator.apply(images(n=N), keys=KEYS)
    assert same_stream(before, np.random.get_state())


def test_the_images_given_stay_as_they_are():
    x = images(n=N, dtype="float32")
    before = x.copy()
    settings = {"rescale": 2.0, "preprocessing_function": lambda image: np.add(image, 1, image)}
    fastaug.ImageDataGenerator(**settings).apply(x, keys=KEYS)
    assert_same(x, before)


def test_no_images():
    empty = fastaug.ImageDataGenerator(**GEOMETRY).apply(images(n=0), keys=[])
    assert_same(empty, np.empty((0, 9, 13, 3), np.float32))


SCRIPT = """
import sys
import numpy as np
import fastaug

def noisy(image):
    return image + np.random.uniform(-9, 9)

x = np.load(sys.argv[1])
for function in (None, noisy):
    generator = fastaug.ImageDataGenerator(
        rotation_range=30, brightness_range=(0.5, 1.5), preprocessing_function=function,
        data_format="channels_last", dtype="float32")
    np.save(f"{sys.argv[1]}.{function is None}.npy", generator.apply(x, keys=range(len(x))))
print("keras" in sys.modules)
from fastaug.defaults import dataset_class
print(dataset_class().__module__.split(".")[0])
import keras
keras.config.set_floatx("float64")
print(fastaug.ImageDataGenerator().dtype)
"""


def test_another_process_and_no_keras(tmp_path):
    x = images(n=N)
    np.save(tmp_path / "x.npy", x)
    output = check_script(
        SCRIPT,
        keras=True,
        arguments=[tmp_path / "x.npy"],
        environment={"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "jax"},
    )
    # it is not imported, but whoever needs it after that has it
    assert output == "False\nkeras\nfloat64\n"
    for function in (None, noisy):
        generator = fastaug.ImageDataGenerator(
            rotation_range=30, brightness_range=(0.5, 1.5), preprocessing_function=function
        )
        there = np.load(tmp_path / f"x.npy.{function is None}.npy")
        assert_same(there, generator.apply(x, keys=range(N)))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"images": images(n=3), "keys": [1, 2]}, ValueError, "3 images, 2 keys"),
        ({"images": images(n=3)[0], "keys": [1]}, ValueError, r"shape \(9, 13, 3\)"),
        ({"images": [np.ones((2, 3, 1)), np.ones((2, 4, 1))], "keys": [1, 2]}, ValueError, "shape"),
        ({"images": images(n=1).astype(str), "keys": [1]}, ValueError, "dtype <U"),
        ({"images": images(n=2), "keys": "ab"}, TypeError, "keys='ab'"),
        ({"images": images(n=2), "keys": 2}, TypeError, "keys=2"),
        ({"images": images(n=2), "keys": [1, 2.0]}, TypeError, "an integer or a string.*2.0"),
        ({"images": images(n=1), "keys": [1], "seed": 0.5}, TypeError, "float"),
    ],
)
def test_errors(arguments, error, text):
    with pytest.raises(error, match=text):
        fastaug.ImageDataGenerator().apply(**arguments)


def test_integers_cannot_be_rescaled():
    generator = fastaug.ImageDataGenerator(rescale=0.5, dtype="uint8")
    with pytest.raises(TypeError, match="`rescale` makes floats"):
        generator.apply(images(n=1), keys=[1])


def test_an_error_of_a_function_comes_through():
    def broken(image):
        raise RuntimeError("not this one")

    generator = fastaug.ImageDataGenerator(preprocessing_function=broken)
    before = np.random.get_state()
    with pytest.raises(RuntimeError, match="not this one"):
        generator.apply(images(n=1), keys=[1])
    assert same_stream(before, np.random.get_state())


@pytest.mark.parametrize("function", [None, lambda image: image + 0])
def test_ops_are_drawn_from_the_key(function):
    """Which op is done to which image does not depend on the way that it is made."""
    x = images(n=N)
    ops = (fastaug.RandomCrop(8), fastaug.Posterize(0, p=0.5))
    made = fastaug.ImageDataGenerator(augment=ops, preprocessing_function=function).apply(
        x, keys=KEYS, seed=2
    )
    assert made.shape == (N, 8, 8, 3)
    black = (made == 0).all(axis=(1, 2, 3))
    assert 0 < black.sum() < N
    parts = {
        x[k, i : i + 8, j : j + 8].tobytes() for k in range(N) for i in (0, 1) for j in range(6)
    }
    assert all(image.astype("uint8").tobytes() in parts for image in made[~black])
    core = fastaug.ImageDataGenerator(augment=ops).apply(x, keys=KEYS, seed=2)
    assert_same(made, core)
