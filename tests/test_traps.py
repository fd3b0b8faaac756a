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
    assert all(warning.filename == make.__code__.co_filename for warning in caught)
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


# ---------------------------------------------------------------------------- functions


def forgets_to_return(image):
    image /= 255


def drops_a_row(image):
    return image[1:]


def makes_words(image):
    return "image"


def makes_objects(image):
    return np.full(image.shape, object())


def makes_bytes(image):
    return image.astype("uint8")


def forgets_now_and_then(image):
    return image if image[0, 0, 0] < 128 else None


# Image by image, as warped by the threads, and as elementwise pieces.
WAYS = {
    "float32": {},
    "float16": {"dtype": "float16"},
    "rescaled": {"rescale": 1 / 255},
    "calling thread": {"workers": 0},
    "without prefetching": {"prefetch": 0, "samplewise_center": True},
}
ways = pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS.keys())


def error_of(function, settings):
    """What a flow raises, its notes in its text as in a traceback."""
    generator = fastaug.ImageDataGenerator(preprocessing_function=function, **settings)
    with generator.flow(images(n=20, seed=3), batch_size=20) as flow:
        with pytest.raises((TypeError, ValueError)) as caught:
            next(flow)
        return caught.type, "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


@ways
@pytest.mark.parametrize("function", [forgets_to_return, forgets_now_and_then])
def test_a_function_that_returns_nothing(function, settings):
    kind, text = error_of(function, settings)
    assert kind is TypeError
    assert text == (
        f"The preprocessing_function {function.__name__} returned None; it should return an image"
    )


@ways
@pytest.mark.parametrize(
    ("function", "returned"),
    [
        (drops_a_row, "an array of shape (8, 13, 3) and dtype float"),
        (makes_words, ""),
        (makes_objects, "object"),
    ],
)
def test_a_function_of_whose_result_no_image_can_be_made(function, returned, settings):
    _, text = error_of(function, settings)
    assert f"The preprocessing_function {function.__name__} returned: " in text
    assert returned in text


def test_bytes_that_cannot_be_rescaled_name_the_function():
    kind, text = error_of(makes_bytes, {"rescale": 1 / 255})
    assert issubclass(kind, TypeError)
    assert "preprocessing_function makes_bytes returned: an array of shape (9, 13, 3)" in text
    assert text.endswith("dtype uint8")


def test_an_elementwise_function_is_named_too():
    for function in (forgets_to_return, makes_words, makes_objects):
        declared = fastaug.elementwise(lambda x, function=function: function(x))
        declared.__name__ = "declared"
        assert "declared" in error_of(declared, {})[1]


def test_a_function_that_returns_nothing_for_a_single_image():
    generator = fastaug.ImageDataGenerator(preprocessing_function=forgets_to_return)
    with pytest.raises(TypeError, match="forgets_to_return"):
        generator.standardize(np.ones((3, 3, 3), np.float32))
    assert generator.preprocessing_function is forgets_to_return
