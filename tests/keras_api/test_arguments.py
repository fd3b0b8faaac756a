"""Wrong arguments raise where they are given, with name and value; Keras's own reach no batch."""

import decimal
import fractions
import re

import numpy as np
import pandas as pd
import pytest
import trees
from reference import (
    assert_batches_equal,
    fastaug_library,
    images,
    keras_library,
    run_both,
    take,
)

import fastaug


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.plain_tree(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def frame(tree):
    paths = sorted(str(path) for path in tree.glob("*/*.jpg"))
    return pd.DataFrame({"filename": paths, "class": ["a", "b"] * 6 + ["a"]})


# ---------------------------------------------------------------------------- target_size

BAD_SIZES = [
    (None, TypeError),
    (8, TypeError),
    (8.0, TypeError),
    ("88", TypeError),
    ((8.0, 8.0), TypeError),
    ((True, True), TypeError),
    ((8, None), TypeError),
    (("8", "8"), TypeError),
    (np.array([8.0, 8.0]), TypeError),
    ((), TypeError),
    ((8,), ValueError),
    ((8, 8, 3), ValueError),
    ((0, 8), ValueError),
    ((8, -1), ValueError),
]


@pytest.mark.parametrize(("size", "error"), BAD_SIZES, ids=str)
@pytest.mark.parametrize("kind", ["directory", "dataframe"])
def test_target_sizes_that_are_refused(tree, frame, size, error, kind):
    def flow(library):
        generator = library.generator()
        if kind == "dataframe":
            return generator.flow_from_dataframe(frame, target_size=size)
        return generator.flow_from_directory(str(tree), target_size=size)

    with pytest.raises(error, match=r"`target_size` should be \(height, width\)") as caught:
        flow(fastaug_library())
    assert f"target_size={size!r}" in str(caught.value)


@pytest.mark.parametrize("size", [(8, 9), [8, 9], np.array([8, 9]), (np.int32(8), np.uint8(9))])
def test_target_sizes_of_any_integers(tree, size):
    for library in (keras_library(), fastaug_library()):
        flow = library.generator().flow_from_directory(str(tree), target_size=size)
        assert flow.target_size == (8, 9)
        assert next(flow)[0].shape == (13, 8, 9, 3)
        library.close(flow)


def test_a_target_size_that_is_set_later(tree):
    flow = fastaug.ImageDataGenerator(workers=0).flow_from_directory(str(tree), target_size=(8, 8))
    flow.target_size = (8, 8, 3)
    with pytest.raises(ValueError, match=r"target_size=\(8, 8, 3\)"):
        next(flow)


# ---------------------------------------------------------------------------- the generator

NO_NUMBERS = ["20", b"20", [10, 20], (-20, 20), {"low": 1}, {20}, 1j, object, np.array([1, 2])]
WRONG = {
    "rotation_range": NO_NUMBERS,
    "shear_range": NO_NUMBERS,
    "channel_shift_range": [None, *NO_NUMBERS],
    "width_shift_range": ["0.2", ["0.1"], [[1, 2]], [[1], [1, 2]], {1, 2}, [1, None], 1j, print],
    "height_shift_range": ["0.2", ("1", "2"), np.array(["a"]), np.array([1, 2]), {1: 2}],
    "brightness_range": [("0.5", "1.5"), [0.5, None], [[1], [2]], ((1, 2), 3)],
    "rescale": ["1/255", {}, ["a"], [[1], [1, 2]], print, 1j],
    "cval": ["0", [0, 0]],
    "zca_epsilon": ["1e-6", None],
    "validation_split": ["0.2", (0.2,), [0.1, 0.2]],
    "preprocessing_function": ["scale", 3, np.ones(1), {"a": 1}],
    "interpolation_order": ["1", 1.0, None, [1]],
    "dtype": ["flaot32", "str", object, 5, "datetime64"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_wrong_types_are_refused_where_they_are_given(name, value):
    with pytest.raises(TypeError, match=f"`{name}` should be ") as caught:
        fastaug.ImageDataGenerator(**{name: value})
    assert str(caught.value).endswith(f"Received: {name}={value!r}")


@pytest.mark.parametrize("value", [None, np.float32(0.2), object])
def test_a_zoom_range_without_a_length_is_named(value):
    with pytest.raises(TypeError, match="has no len") as caught:
        fastaug.ImageDataGenerator(zoom_range=value)
    assert caught.value.__notes__ == [f"Received: zoom_range={value!r}"]


@pytest.mark.parametrize("value", ["20", (-20, 20), None])
def test_what_is_refused_fails_in_keras_at_the_first_batch(value):
    generator = keras_library().generator(channel_shift_range=value)
    with pytest.raises((TypeError, ValueError)):
        next(generator.flow(images()))


TAKEN = {
    "None": {"rotation_range": None, "width_shift_range": None, "shear_range": None},
    "NumPy's": {"rotation_range": np.float32(20), "shear_range": np.int8(3), "rescale": np.e},
    "arrays of one number": {"channel_shift_range": np.array([9.0]), "rescale": np.array(0.5)},
    "bools": {"rotation_range": True, "width_shift_range": False, "channel_shift_range": False},
    "a range": {"width_shift_range": range(1, 4), "height_shift_range": (1, 2)},
    "a factor for each channel": {"rescale": np.array([[0.5, 0.25, 0.125]])[0].tolist()},
    "a decimal": {"rotation_range": decimal.Decimal(20)},
    "a fraction": {"rotation_range": fractions.Fraction(41, 2)},
    "text for a flip": {"horizontal_flip": "yes"},
    "an empty list": {"width_shift_range": [], "preprocessing_function": ()},
    "a class": {"dtype": np.float64},
}


@pytest.mark.parametrize("settings", TAKEN.values(), ids=TAKEN.keys())
def test_what_keras_takes_is_taken(settings):
    def scenario(library):
        return take(library.generator(**settings).flow(images(), batch_size=4, seed=1), 3)

    actual, expected = run_both(scenario, stream=None)
    assert expected.error is None
    assert [batch.dtype for batch in actual.value] == [batch.dtype for batch in expected.value]
    for a, e in zip(actual.value, expected.value, strict=True):
        np.testing.assert_allclose(a, e, atol=0.01)


# ---------------------------------------------------------------------------- flows


@pytest.mark.parametrize("batch_size", [0, -1, np.int64(-32)])
@pytest.mark.parametrize("kind", ["array", "directory", "dataframe", "base"])
def test_batches_of_nothing(tree, frame, batch_size, kind):
    generator = fastaug.ImageDataGenerator()
    flows = {
        "array": lambda: generator.flow(images(), batch_size=batch_size),
        "directory": lambda: generator.flow_from_directory(str(tree), batch_size=batch_size),
        "dataframe": lambda: generator.flow_from_dataframe(frame, batch_size=batch_size),
        "base": lambda: fastaug.Iterator(4, batch_size, False, None),
    }
    with pytest.raises(ValueError, match=re.escape(f"Received: {batch_size=}")):
        flows[kind]()


@pytest.mark.parametrize("batch_size", ["32", 32.0, None, [4]])
def test_batch_sizes_of_a_wrong_type(tree, batch_size):
    generator = fastaug.ImageDataGenerator()
    for flow in (
        lambda: generator.flow(images(), batch_size=batch_size),
        lambda: generator.flow_from_directory(str(tree), batch_size=batch_size),
    ):
        with pytest.raises(TypeError, match=re.escape(f"Received: {batch_size=}")):
            flow()


def test_a_batch_size_that_is_set_later():
    flow = fastaug.ImageDataGenerator().flow(images(), batch_size=np.uint8(4))
    with pytest.raises(ValueError, match="batch_size=0"):
        flow.batch_size = 0
    assert flow.batch_size == 4
    assert len(next(flow)) == 4


@pytest.mark.parametrize("seed", ["a", 1.5, [1, 2], ()])
def test_seeds_of_a_wrong_type_are_refused_where_they_are_given(seed):
    with pytest.raises(TypeError) as caught:
        fastaug.ImageDataGenerator().flow(images(), seed=seed)
    assert caught.value.__notes__ == [f"Received: {seed=}"]


@pytest.mark.parametrize("seed", [-1, 2**32, np.int64(-1), np.array([-3])], ids=str)
@pytest.mark.parametrize("kind", ["array", "directory", "dataframe", "base"])
def test_seeds_that_no_batch_has_are_refused_where_they_are_given(tree, frame, seed, kind):
    generator = fastaug.ImageDataGenerator()
    flows = {
        "array": lambda: generator.flow(images(), seed=seed),
        "directory": lambda: generator.flow_from_directory(str(tree), seed=seed),
        "dataframe": lambda: generator.flow_from_dataframe(frame, seed=seed),
        "base": lambda: fastaug.Iterator(4, 2, False, seed),
    }
    with pytest.raises(ValueError, match="Seed") as caught:
        flows[kind]()
    assert caught.value.__notes__ == [f"Received: {seed=}"]
    with pytest.raises(ValueError, match="Seed"):
        next(keras_library().generator().flow(images(), seed=seed))


@pytest.mark.parametrize("seed", [0, 2**32 - 1, True, np.int64(3), np.array(3), np.array([3])])
def test_seeds_that_numpy_takes(seed):
    for library in (keras_library(), fastaug_library()):
        assert len(next(library.generator().flow(images(), batch_size=4, seed=seed))) == 4


def test_a_folder_to_save_to_that_is_no_path():
    with pytest.raises(TypeError, match="save_to_dir=5"):
        fastaug.ImageDataGenerator().flow(images(), save_to_dir=5)


# ---------------------------------------------------------------------------- positions


@pytest.mark.parametrize("batch_size", [4, 5, 10, 32])
@pytest.mark.parametrize("seed", [None, 3])
def test_positions_from_the_end(batch_size, seed):
    """Keras makes empty or shifted batches of them."""

    def flow():
        return fastaug.ImageDataGenerator(horizontal_flip=True).flow(
            images(), np.arange(10), batch_size=batch_size, shuffle=False, seed=seed
        )

    number = -(-10 // batch_size)
    for item in range(-number, 0):
        np.random.seed(1)
        actual = flow()[item]
        np.random.seed(1)
        assert_batches_equal([actual], [flow()[number + item]])
    assert flow()[-1][1].tolist() == list(range((number - 1) * batch_size, 10))


def test_positions_before_the_first():
    flow = fastaug.ImageDataGenerator().flow(images(), batch_size=4)
    for item in (-4, -100, np.int64(-4)):
        with pytest.raises(ValueError, match=f"element {item}, but the Sequence has length 3"):
            flow[item]
    assert len(flow[np.int8(-3)]) == 4


def test_positions_of_a_subclass():
    class Own(fastaug.Iterator):
        def _get_batches_of_transformed_samples(self, index_array):
            return index_array

    assert Own(7, 3, False, None)[-1].tolist() == [6]

    class Finished(fastaug.NumpyArrayIterator):
        def _get_batches_of_transformed_samples(self, index_array):
            return super()._get_batches_of_transformed_samples(index_array), index_array

    flow = Finished(images(), None, fastaug.ImageDataGenerator(), batch_size=4)
    assert flow[-1][1].tolist() == [8, 9]


@pytest.mark.parametrize(
    ("arguments", "column"),
    [
        ({"x_col": "zz"}, "x_col"),
        ({"y_col": "zz"}, "y_col"),
        ({"y_col": "zz", "class_mode": "raw"}, "y_col"),
        ({"y_col": ["class", "zz"], "class_mode": "multi_output"}, "y_col"),
        ({"weight_col": "zz"}, "weight_col"),
    ],
    ids=str,
)
def test_columns_that_are_not_there(frame, arguments, column):
    """Whose they are is said, and which there are."""
    with pytest.raises(KeyError, match="zz") as caught:
        fastaug.ImageDataGenerator().flow_from_dataframe(frame, **arguments)
    (note,) = caught.value.__notes__
    assert "The columns are ['filename', 'class']" in note
    assert f"{column}={arguments[column]!r}" in note
