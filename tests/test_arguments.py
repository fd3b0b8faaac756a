"""Wrong arguments raise where they are given, with name and value; Keras's own reach no batch."""

import numpy as np
import pandas as pd
import pytest
import trees
from reference import fastaug_library, keras_library

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
