"""Several inputs and outputs, and labels of any kind: batches have the form that `fit` takes."""

import decimal
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
import trees
from reference import (
    assert_same,
    fastaug_library,
    images,
    keras_library,
    rest_of,
    take,
    with_tuples,
)
from scripts import run_script

import fastaug
from fastaug.data.dataframe import as_one_array

N = 13
X, Y = images(N), np.arange(N) % 2.0
EXTRA = np.arange(2.0 * N).reshape(N, 2) / N


@pytest.fixture(autouse=True)
def _warnings_inside_keras():
    """The backend's own deprecations are not ours; a warning of fastaug still fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="fastaug")
        yield


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.plain_tree(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def frame(tree):
    numbers = np.arange(N)
    return pd.DataFrame(
        {
            "filename": sorted(str(path) for path in tree.glob("*/*.jpg")),
            "a": numbers / N,
            "b": numbers[::-1] / N,
            "lists": [[k / N, 1.0] for k in numbers],
            "vectors": [np.array([k, k + 1, 2], np.float32) for k in numbers],
            "whole": pd.array(numbers, dtype="Int64"),
            "yes": pd.array(numbers % 2 == 0, dtype="boolean"),
            "part": pd.array(numbers / N, dtype="Float32"),
            "objects": pd.Series(numbers.tolist(), dtype=object),
            "levels": pd.Categorical(numbers % 3 * 5),
            "kinds": pd.Categorical.from_codes(numbers % 3, ["low", "middle", "high"]),
            "words": [f"w{k}" for k in numbers],
            "ragged": [[1.0] * (k % 3) for k in numbers],
            "weight": pd.array(numbers + 1, dtype="Int64"),
        }
    )


def model_of(shape, outputs=1, extra=False):
    """A tiny one, with a second input if wished."""
    inputs = [keras.layers.Input(shape)]
    flat = keras.layers.Flatten()(inputs[0])
    if extra:
        inputs.append(keras.layers.Input((2,)))
        flat = keras.layers.Concatenate()([flat, inputs[1]])
    results = [keras.layers.Dense(1)(flat) for _ in range(outputs)]
    model = keras.Model(inputs, results if outputs > 1 else results[0])
    model.compile("sgd", loss=["mse"] * outputs if outputs > 1 else "mse")
    return model


def finite_loss(model, flow):
    (loss,) = model.fit(flow, epochs=1, verbose=0).history["loss"]
    return np.isfinite(loss)


# ---------------------------------------------------------------------------- several of them


@pytest.mark.parametrize("weights", [None, np.ones(N)], ids=["", "weighted"])
def test_fit_with_several_inputs(weights):
    flow = fastaug.ImageDataGenerator(rescale=1 / 255).flow(
        (X, EXTRA), Y, sample_weight=weights, batch_size=4
    )
    with flow:
        model = model_of(X.shape[1:], extra=True)
        assert finite_loss(model, flow)
        assert np.isfinite(model.evaluate(flow, verbose=0))
        assert model.predict(flow, verbose=0).shape == (N, 1)


def test_fit_with_several_outputs(tree, frame):
    flow = fastaug.ImageDataGenerator(rescale=1 / 255).flow_from_dataframe(
        frame, class_mode="multi_output", y_col=["a", "b"], target_size=(6, 7), batch_size=4
    )
    with flow:
        assert finite_loss(model_of((6, 7, 3), outputs=2), flow)


def test_several_inputs_and_outputs_on_another_backend(tmp_path):
    np.save(tmp_path / "x.npy", X)
    done = run_script(
        """
        import sys
        sys.modules["tensorflow"] = None
        import keras, numpy as np
        import fastaug

        class Two(fastaug.NumpyArrayIterator):
            def __getitem__(self, item):
                x, y = super().__getitem__(item)
                return x, (y, -y)

        x = np.load(sys.argv[1])
        inputs = [keras.layers.Input(x.shape[1:]), keras.layers.Input((2,))]
        flat = keras.layers.Concatenate()([keras.layers.Flatten()(inputs[0]), inputs[1]])
        model = keras.Model(inputs, [keras.layers.Dense(1)(flat), keras.layers.Dense(1)(flat)])
        model.compile("sgd", loss=["mse", "mse"])
        flow = Two((x, np.ones((len(x), 2))), np.zeros(len(x)),
                   fastaug.ImageDataGenerator(rescale=1 / 255), batch_size=4)
        print(keras.backend.backend(), np.isfinite(model.fit(flow, verbose=0).history["loss"]))
        """,
        keras=True,
        timeout=120,
        arguments=[tmp_path / "x.npy"],
        environment={"KERAS_BACKEND": "jax"},
    )
    assert done.stdout.strip() == "jax [ True]", done.stderr


@pytest.mark.parametrize("extra", [EXTRA, [EXTRA, Y]], ids=["one", "two"])
@pytest.mark.parametrize("y", [None, Y], ids=["", "labels"])
def test_batches_are_keras_s_with_tuples(extra, y):
    theirs, ours = (
        take(library.generator().flow((X, extra), y, seed=1, batch_size=4), 3)
        for library in (keras_library(), fastaug_library())
    )
    for their, our in zip(theirs, ours, strict=True):
        inputs = their if y is None else their[0]
        assert type(inputs) is list
        assert_same(our, with_tuples(their))


# ---------------------------------------------------------------------------- raw labels

AS_ARRAYS = {
    "a": np.arange(N) / N,
    "lists": np.stack([np.arange(N) / N, np.ones(N)], 1),
    "vectors": np.stack([np.arange(N), np.arange(N) + 1, np.full(N, 2)], 1).astype(np.float32),
    "whole": np.arange(N),
    "yes": np.arange(N) % 2 == 0,
    "part": (np.arange(N) / N).astype(np.float32),
    "objects": np.arange(N),
    "levels": np.arange(N) % 3 * 5,
    "kinds": np.arange(N) % 3,
    ("whole", "a"): np.stack([np.arange(N), np.arange(N) / N], 1),
    ("whole", "yes"): np.stack([np.arange(N), np.arange(N) % 2 == 0], 1),
}


def flow_of(frame, y_col, library=fastaug, **arguments):
    return library.ImageDataGenerator(rescale=1 / 255).flow_from_dataframe(
        frame, class_mode="raw", y_col=y_col, target_size=(5, 6), batch_size=4, **arguments
    )


@pytest.mark.parametrize(("y_col", "expected"), AS_ARRAYS.items(), ids=map(str, AS_ARRAYS))
def test_raw_labels_are_one_array(frame, y_col, expected):
    y_col = list(y_col) if isinstance(y_col, tuple) else y_col
    with flow_of(frame, y_col, shuffle=False) as flow:
        assert_same(flow.labels, expected)
        assert_same(next(flow)[1], expected[:4])
        model = model_of((5, 6, 3))
        assert finite_loss(model, flow)


@pytest.mark.parametrize("y_col", ["words", "ragged"])
def test_raw_labels_that_are_no_numbers_stay_as_in_keras(frame, y_col):
    ours = flow_of(frame, y_col, shuffle=False)
    theirs = flow_of(frame, y_col, keras_library(), shuffle=False)
    with ours:
        for _ in range(2):
            our, their = rest_of(next(ours))[1][0], rest_of(next(theirs))[1][0]
            assert type(our) is type(their)
            assert list(our) == list(their)


@pytest.mark.parametrize("y_col", ["whole", "part", "objects", "levels", ["whole", "a"]], ids=str)
def test_missing_raw_labels_are_nan(frame, y_col):
    holes = frame.copy()
    for name in [y_col] if isinstance(y_col, str) else y_col[:1]:
        holes.loc[3, name] = None
    with flow_of(holes, y_col, shuffle=False) as flow:
        labels = flow.labels if flow.labels.ndim == 1 else flow.labels[:, 0]
    assert labels.dtype == np.float64 or (y_col == "part" and labels.dtype.kind == "f")
    assert np.isnan(labels).nonzero()[0].tolist() == [3]


def test_a_missing_category_has_no_code(frame):
    """It is NaN, as any value that is missing: a loss of -1 nobody would notice."""
    holes = frame.copy()
    holes.loc[3, "kinds"] = None
    codes = as_one_array(holes["kinds"].values)
    np.testing.assert_array_equal(codes, [0, 1, 2, np.nan, 1, 2, 0, 1, 2, 0, 1, 2, 0])


@pytest.mark.parametrize(
    "y_col", [["kinds", "a"], ["kinds"], ["levels", "kinds", "whole"]], ids=str
)
def test_categories_in_several_columns(frame, y_col):
    """As in one: codes of words, and numbers as they are."""
    with flow_of(frame, y_col, shuffle=False) as flow:
        labels = flow.labels
        assert finite_loss(model_of((5, 6, 3)), flow)
    assert labels.dtype.kind in "if" and labels.shape == (N, len(y_col))
    assert labels[:, y_col.index("kinds")].tolist() == [k % 3 for k in range(N)]


def test_categories_beside_words_stay_words(frame):
    with flow_of(frame, ["kinds", "words"], shuffle=False) as flow:
        assert flow.labels[0].tolist() == ["low", "w0"]


def test_decimals_are_numbers():
    cells = [decimal.Decimal("1.5"), 2, None]
    assert_same(as_one_array(np.array(cells[:2], dtype=object)), np.array([1.5, 2]))
    assert np.isnan(as_one_array(np.array(cells, dtype=object))[2])


def test_no_rows():
    empty = np.array([], dtype=object)
    assert as_one_array(empty) is empty


def test_weights_of_pandas_s_own_kind(frame):
    with flow_of(frame, "a", weight_col="weight", shuffle=False) as flow:
        assert_same(flow.sample_weight, np.arange(N) + 1)
        assert finite_loss(model_of((5, 6, 3)), flow)
