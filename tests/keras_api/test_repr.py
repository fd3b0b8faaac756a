"""What `repr` shows: of a generator what is set, of an iterator what it iterates over."""

import functools

import numpy as np
import pandas as pd
import pytest
import trees
from reference import images

import fastaug


def double(image):
    return image * 2


SETTINGS = {
    "": {},
    "rotation_range=20, horizontal_flip=True": {"horizontal_flip": True, "rotation_range": 20},
    "zoom_range=[0.75, 1.25]": {"zoom_range": 0.25},
    "width_shift_range=[1, 2], brightness_range=(0.5, 1.5)": {
        "brightness_range": (0.5, 1.5),
        "width_shift_range": [1, 2],
    },
    "preprocessing_function=double": {"preprocessing_function": double},
    "data_format='channels_first', validation_split=0.2, dtype='uint8'": {
        "data_format": "channels_first",
        "dtype": "uint8",
        "validation_split": 0.2,
    },
    "data_format='channels_first', workers=3": {"dim_ordering": "th", "workers": 3},
    "featurewise_center=True": {"featurewise_center": True},
    "rescale=[0.5, 0.25, 1]": {"rescale": [0.5, 0.25, 1]},
}


@pytest.mark.parametrize(("text", "settings"), SETTINGS.items())
def test_a_generator(text, settings):
    assert repr(fastaug.ImageDataGenerator(**settings)) == f"ImageDataGenerator({text})"


def test_defaults_of_keras_are_not_shown(keras_config):
    generator = fastaug.ImageDataGenerator()
    keras_config.set_floatx("float64")
    assert repr(generator) == "ImageDataGenerator(dtype='float32')"
    assert repr(fastaug.ImageDataGenerator()) == "ImageDataGenerator()"


def test_what_is_set_later_and_long(keras_config):
    generator = fastaug.ImageDataGenerator(preprocessing_function=functools.partial(double))
    generator.rotation_range = 5
    generator.rescale = np.linspace(0, 1, 100)
    text = repr(generator)
    assert text.startswith("ImageDataGenerator(rotation_range=5, rescale=array([0.")
    assert text.count("...") == 1 and len(text) < 250 and "\n" not in text


def test_a_subclass():
    class Own(fastaug.ImageDataGenerator):
        def __init__(self, **settings):
            self.shown = repr(self)
            super().__init__(**settings)

    generator = Own(vertical_flip=True)
    assert generator.shown == "Own()"
    assert repr(generator) == "Own(vertical_flip=True)"


def test_an_array():
    generator = fastaug.ImageDataGenerator(workers=2)
    flow = generator.flow(images(), batch_size=4, seed=3)
    assert repr(flow) == (
        "NumpyArrayIterator(10 images of 9x13x3, dtype=float32, workers=2, batch_size=4, "
        "shuffle=True, seed=3)"
    )
    flow = generator.flow(images(), np.eye(10), sample_weight=np.ones(10), shuffle=False)
    assert "y of shape (10, 10), sample_weight of shape (10,)" in repr(flow)
    flow.shuffle, flow.batch_size = True, 5
    assert "batch_size=5, shuffle=True, seed=None" in repr(flow)


def test_files(tmp_path):
    root = trees.plain_tree(tmp_path)
    generator = fastaug.ImageDataGenerator(workers=1, validation_split=0.4)
    flow = generator.flow_from_directory(
        str(root), target_size=(8, 9), color_mode="grayscale", subset="training"
    )
    assert repr(flow) == (
        "DirectoryIterator(9 images of 8x9x1, 3 classes, class_mode='categorical', "
        f"directory={str(root)!r}, dtype=float32, workers=1, batch_size=32, "
        "shuffle=True, seed=None)"
    )
    frame = pd.DataFrame({"filename": sorted(str(path) for path in root.glob("*/*.jpg"))})
    flow = generator.flow_from_dataframe(frame, class_mode=None, target_size=(8, 9))
    assert repr(flow).startswith("DataFrameIterator(13 images of 8x9x3, class_mode=None, ")


def test_without_a_generator(tmp_path):
    root = trees.plain_tree(tmp_path)
    assert "workers=0" in repr(fastaug.DirectoryIterator(str(root), None, target_size=(8, 9)))


def test_the_base_class():
    class Own(fastaug.Iterator):
        def __init__(self):
            self.shown = repr(self)
            super().__init__(7, 3, False, None)

    iterator = Own()
    assert "Own object at" in iterator.shown
    assert repr(iterator) == "Own(7 samples, batch_size=3, shuffle=False, seed=None)"


def test_asking_changes_nothing():
    flow = fastaug.ImageDataGenerator(rotation_range=9).flow(images(), batch_size=4)
    np.random.seed(1)
    repr(flow)
    before = next(flow)
    flow = fastaug.ImageDataGenerator(rotation_range=9).flow(images(), batch_size=4)
    np.random.seed(1)
    np.testing.assert_array_equal(before, next(flow))
