"""What users surely did not mean: a `UsageWarning` names it, and what to write in its place."""

import warnings

import numpy as np
import pytest
from reference import images, keras_library, take

import fastaug
from fastaug import UsageWarning


def said(make):
    """The texts of all warnings while something is done: each of them a `UsageWarning`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    assert all(warning.category is UsageWarning for warning in caught), [*map(str, caught)]
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


def flow_said(x, batches=3, **settings):
    def make():
        with fastaug.ImageDataGenerator(**settings).flow(x, batch_size=4) as flow:
            take(flow, batches)

    return said(make)


# ---------------------------------------------------------------------------- the class


def test_one_class_that_can_be_silenced():
    assert issubclass(UsageWarning, UserWarning)
    unit = images(dtype="float32") / 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UsageWarning)
        fastaug.ImageDataGenerator(brightness_range=(0.5, 1)).flow(unit)
    with pytest.raises(UsageWarning):
        fastaug.ImageDataGenerator(brightness_range=(0.5, 1)).flow(unit)


# ---------------------------------------------------------------------------- pixels


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_brightness_of_images_from_0_to_1(dtype):
    """The batch is black, in Keras too."""
    x = (images(n=20, dtype="float32") / 256).astype(dtype)
    settings = {"brightness_range": (0.5, 1.5), "dtype": dtype}
    (text,) = flow_said(x, **settings)
    assert "`brightness_range`" in text and "x * 255" in text and "rescale=1/255" in text
    assert not next(keras_library().generator(**settings).flow(x)).any()


@pytest.mark.parametrize(
    "x",
    [
        images(),
        images(dtype="float32"),
        images(dtype="float32") / 127.5 - 1,  # stretched before
        images(dtype="float32") / 100,
        images(dtype="uint8") // 255,
        np.zeros((4, 3, 3, 3), np.float32),
    ],
    ids=["bytes", "0..255", "-1..1", "0..2.55", "bits", "black"],
)
def test_brightness_of_other_images(x):
    assert flow_said(x, brightness_range=(0.5, 1.5)) == []


def test_brightness_of_ones_own():
    class Own(fastaug.ImageDataGenerator):
        def apply_transform(self, x, params):
            return x * np.float32(params["brightness"])

    unit = images(dtype="float32") / 255
    assert said(lambda: next(Own(brightness_range=(0.5, 1)).flow(unit))) == []


def test_other_settings_on_images_from_0_to_1():
    assert flow_said(images(dtype="float32") / 255, rotation_range=5, channel_shift_range=0.1) == []


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
def test_values_that_wrap_round(dtype):
    (text,) = flow_said(images(dtype="uint16").astype(dtype) - 9, dtype="uint8")
    assert dtype in text and "wrap round" in text and "'uint8'" in text


def test_floats_from_0_to_1_in_batches_of_bytes():
    (text,) = flow_said(images(dtype="float32") / 256, dtype="uint8")
    assert "black" in text and "x * 255" in text


@pytest.mark.parametrize("dtype", ["uint16", "int64", "float32", "float64"])
def test_values_that_fit_into_bytes(dtype):
    assert flow_said(images().astype(dtype), dtype="uint8") == []
    assert flow_said(images().astype(dtype) // 255, dtype="uint8") == []


def test_values_that_fit_into_wider_integers():
    assert flow_said(images(dtype="uint16"), dtype="int32") == []


def test_a_memmap_is_not_read_whole(tmp_path):
    path = tmp_path / "x"
    x = np.memmap(path, np.float32, "w+", shape=(4000, 2, 2, 1))
    x[1:] = 0.5
    looked_at = []

    class Watched(np.memmap):
        def __getitem__(self, item):
            looked_at.append(item)
            return super().__getitem__(item)

    x = x.view(Watched)
    list(fastaug.advice.about_images(fastaug.ImageDataGenerator(brightness_range=(1, 2)), x, "f4"))
    assert 1 < len(looked_at) <= 16
