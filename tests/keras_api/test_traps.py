"""What users surely did not mean: a `UsageWarning` names it, and what to write in its place."""

import warnings

import numpy as np
import pytest
import trees
from PIL import Image
from reference import images, keras_library

import fastaug
from fastaug import UsageWarning
from fastaug.keras_api import advice


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
            for _ in range(batches):
                next(flow)

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


def test_brightness_of_images_from_0_to_1_that_were_resized():
    """A cubic filter overshoots."""
    x = images(dtype="float32") / 250
    assert 1 < x.max() < 1.1
    (text,) = flow_said(x, brightness_range=(0.5, 1.5))
    assert "which it makes black" in text


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


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_ops_of_images_from_0_to_1(data_format):
    x = images(dtype="float32") / 255
    if data_format == "channels_first":
        x = x.transpose(0, 3, 1, 2)
    ops = [
        fastaug.Invert(), fastaug.GaussianBlur(3), fastaug.Sometimes(fastaug.GaussianNoise()),
        fastaug.Grayscale(p=0.5), lambda image, rng: image, fastaug.Erasing(),
        fastaug.RandomCrop(8),
    ]  # fmt: skip
    (text,) = flow_said(x, augment=ops, data_format=data_format)
    assert text.startswith(f"{ops[0]!r}, {ops[2]!r} of `augment` works on values from 0 to 255")
    assert "x * 255" in text and "rescale=1/255" in text
    harmless = [op for op in ops if op not in (ops[0], ops[2])]
    assert flow_said(x, augment=harmless, data_format=data_format) == []
    assert flow_said(x * 255, augment=ops, data_format=data_format) == []


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


def test_floats_from_minus_1_to_1_in_batches_of_integers():
    x = images(dtype="float32") / 127.5 - 1
    (text,) = flow_said(x, dtype="int32")
    assert "become black" in text
    x[:, 0] = -1
    (text,) = flow_said(x, dtype="uint8")
    assert "wrap round" in text


def test_floats_whose_whole_part_fits():
    assert flow_said(images(dtype="float32") + np.float32(0.9), dtype="uint8") == []
    assert flow_said(images(dtype="float32") - np.float32(0.9), dtype="uint8") == []


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
    generator = fastaug.ImageDataGenerator(brightness_range=(1, 2))
    assert len(list(advice.about_images(generator, x, "f4"))) == 1
    (rows,) = looked_at
    assert 1 < len(rows) <= 16


# ---------------------------------------------------------------------------- results


@pytest.fixture
def deep(tmp_path):
    """Gray pictures of 16 bits."""
    for k, picture in enumerate(images(n=9, channels=1, dtype="uint16")):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(picture[..., 0] * 257).save(tmp_path / f"a/{k}.png")
    return tmp_path


def directory_said(root, color_mode="grayscale", batches=3, **settings):
    def make():
        generator = fastaug.ImageDataGenerator(**settings)
        with generator.flow_from_directory(
            str(root), target_size=(9, 13), color_mode=color_mode, batch_size=4
        ) as flow:
            for _ in range(batches):
                next(flow)

    return said(make)


def test_gray_files_of_16_bits_in_batches_of_bytes(deep):
    """The values wrap round, in Keras too."""
    (text,) = directory_said(deep, dtype="uint8")
    assert "do not fit into batches of dtype='uint8'" in text and 'Use dtype="float32"' in text
    (text,) = directory_said(deep, dtype="int16")
    assert "wrap round" in text
    flow = (
        keras_library()
        .generator(dtype="uint8")
        .flow_from_directory(str(deep), target_size=(9, 13), color_mode="grayscale", shuffle=False)
    )
    wrapped = np.asarray(Image.open(deep / "a/0.png")).astype(np.uint8)
    np.testing.assert_array_equal(next(flow)[0][0, ..., 0], wrapped)


@pytest.mark.parametrize(
    ("color_mode", "dtype"),
    [("grayscale", "int32"), ("grayscale", "uint16"), ("grayscale", "float32"), ("rgb", "uint8")],
)
def test_gray_files_of_16_bits_in_batches_that_hold_them(deep, color_mode, dtype):
    assert directory_said(deep, color_mode, dtype=dtype) == []


def from_0_to_1(image):
    return image / np.float32(255)


def from_minus_1_to_1(image):
    return image / np.float32(127.5) - 1


def from_minus_128_on(image):
    return image - np.float32(128)


def masks(image):
    return image > 100


def brighter(image):
    return np.minimum(image * np.float32(1.5), 255)


def to_list(image):
    return image.tolist()


@pytest.mark.parametrize("wrap", [lambda f: f, fastaug.elementwise], ids=["plain", "elementwise"])
@pytest.mark.parametrize(
    ("function", "dtype", "words"),
    [
        (from_0_to_1, "uint8", "become black"),
        (from_0_to_1, "int32", "become black"),
        (from_minus_1_to_1, "int16", "become black"),
        (from_minus_128_on, "uint8", "wrap round"),
    ],
)
def test_functions_whose_results_batches_of_integers_lose(tmp_path, wrap, function, dtype, words):
    tree = trees.plain_tree(tmp_path)

    def own(image):
        return function(image)

    settings = {"preprocessing_function": wrap(own), "dtype": dtype}
    for (text,) in (
        flow_said(images(), **settings),
        directory_said(tree, "rgb", **settings),
    ):
        assert "the preprocessing_function own" in text and words in text
        assert 'Return values from 0 to 255, or use dtype="float32"' in text or dtype == "int16"


@pytest.mark.parametrize("function", [masks, brighter, to_list])
def test_functions_whose_results_fit(function):
    assert flow_said(images(), preprocessing_function=function, dtype="uint8") == []


def test_only_the_first_results_are_looked_at():
    results = advice.Results("uint8")
    for value in [*range(advice._LOOKED_AT), 300]:
        results.add(np.full((2, 2, 3), value, np.float32))
    assert not list(results.advice(None))


def test_results_in_batches_of_floats():
    assert flow_said(images(), preprocessing_function=from_0_to_1) == []


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


def makes_a_color(image):
    return image.mean(axis=(0, 1))


def makes_a_row(image):
    return image[0]


def makes_gray(image):
    return image.mean(axis=2, keepdims=True)


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


@ways
@pytest.mark.parametrize("function", [makes_a_color, makes_a_row])
def test_a_function_that_returns_less_than_an_image(function, settings):
    """NumPy makes stripes of it."""
    kind, text = error_of(function, settings)
    assert kind is ValueError
    assert (
        f"The preprocessing_function {function.__name__} got an image of shape (9, 13, 3)" in text
    )


@ways
def test_a_function_that_returns_one_channel(settings):
    generator = fastaug.ImageDataGenerator(preprocessing_function=makes_gray, **settings)
    with generator.flow(images(), shuffle=False) as flow:
        batch = next(flow)
    np.testing.assert_array_equal(batch, np.broadcast_to(batch[..., :1], batch.shape))


def test_a_function_that_returns_one_channel_in_front():
    x = np.moveaxis(images(), 3, 1)
    generator = fastaug.ImageDataGenerator(
        preprocessing_function=lambda image: image[0], data_format="channels_first"
    )
    with generator.flow(x, shuffle=False) as flow:
        np.testing.assert_array_equal(next(flow), np.broadcast_to(x[:, :1], x.shape))


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
