"""The gallery: a picture for each op, without a list of them."""

import importlib

import numpy as np
import pytest
from PIL import Image

import fastaug
from fastaug.ops.base import Op


@pytest.fixture
def gallery(monkeypatch, request):
    monkeypatch.syspath_prepend(request.config.rootpath / "docs")
    return importlib.import_module("gallery")


def test_a_picture_of_each_op(gallery, tmp_path):
    pytest.importorskip("skimage")
    names = gallery.draw(tmp_path)
    kinds = [getattr(fastaug, name) for name in fastaug.__all__]
    ops = {kind.__name__ for kind in kinds if isinstance(kind, type) and issubclass(kind, Op)}
    assert {"Posterize", "TrivialAugment", "RandomCrop"} <= ops
    assert set(names) == {f"{name}.png" for name in ops | {"photograph"}}
    assert names["Posterize.png"] == "Posterize(bits=2, p=1.0)"
    pictures = {name: np.asarray(Image.open(tmp_path / name)) for name in names}
    photograph = pictures["photograph.png"]
    assert photograph.std() > 30
    for name, picture in pictures.items():
        assert picture.shape == photograph.shape
        if name != "photograph.png":
            assert not np.array_equal(picture, photograph), name


def test_an_op_needs_an_example(gallery):
    class Nothing(Op):
        """An op whose docstring shows no call."""

    with pytest.raises(ValueError, match="No example of Nothing"):
        gallery._example(Nothing)
