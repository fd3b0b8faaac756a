"""`batch_function`: a generator as a function of columns."""

import collections
import pickle
import re
import sys
import types

import numpy as np
import pytest
from PIL import Image
from reference import assert_same, images

import fastaug

N = 6
SETTINGS = {"rotation_range": 30, "horizontal_flip": True, "dtype": "uint8"}


def function_of(*arguments, settings=SETTINGS, **options):
    return fastaug.ImageDataGenerator(**settings).batch_function(*arguments, **options)


@pytest.mark.parametrize("seed", [0, 4])
def test_images_are_those_of_apply(seed):
    x, paths = images(n=N), [f"{k}.jpg" for k in range(N)]
    expected = fastaug.ImageDataGenerator(**SETTINGS).apply(x, keys=paths, seed=seed)
    labels = [3] * N
    columns = {"label": labels, "picture": x, "path": paths}
    made = function_of("picture", key="path", seed=seed)(columns)
    assert list(made) == ["label", "picture", "path"]
    assert_same(made["picture"], expected)
    assert made["label"] is labels
    assert made["path"] is paths
    assert columns["picture"] is x


def test_the_columns_have_names_by_default():
    x = images(n=N)
    expected = fastaug.ImageDataGenerator(**SETTINGS).apply(x, keys=range(N))
    assert_same(function_of()({"image": x, "id": range(N)})["image"], expected)


def test_columns_in_other_forms():
    x = images(n=N)
    ids = np.arange(N)
    expected = function_of()({"image": x, "id": ids})["image"]
    objects = np.empty(N, dtype=object)
    objects[:] = list(x)
    x.flags.writeable = False
    for column in (x, list(x), objects, [Image.fromarray(image) for image in x]):
        columns = collections.ChainMap({"image": column, "id": ids})
        assert_same(function_of()(columns)["image"], expected)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK"])
def test_modes_of_pillow(mode, layout):
    pictures = [Image.fromarray(image).convert(mode) for image in images(n=N)]
    made = function_of(settings={"dtype": "uint8", "data_format": layout})(
        {"image": pictures, "id": range(N)}
    )
    kept = mode if mode in ("L", "RGB", "RGBA") else "RGB"
    expected = np.stack([np.asarray(each.convert(kept)) for each in pictures])
    expected = expected.reshape(N, 9, 13, -1)
    if layout == "channels_first":
        expected = expected.transpose(0, 3, 1, 2)
    assert_same(made["image"], np.ascontiguousarray(expected))


def test_masks():
    x, labels = images(n=N), images(n=N, seed=8)[..., 0]
    expected, masks = fastaug.ImageDataGenerator(**SETTINGS).apply(
        x, fastaug.Masks(labels, fill=255), keys=range(N)
    )
    assert (masks == 255).any() and (masks != labels).any()
    pictures = [Image.fromarray(each) for each in labels]
    for each in pictures:
        each.putpalette([0, 9, 99] * 256)  # its numbers count, not its colours
    for column in (labels, list(labels), pictures):
        made = function_of(mask="mask", fill=255)({"image": x, "mask": column, "id": range(N)})
        assert_same(made["image"], expected)
        assert_same(made["mask"], masks)


@pytest.mark.parametrize("missing", ["image", "mask", "id"])
def test_a_column_that_is_not_there(missing):
    columns = {"image": images(n=N), "mask": images(n=N), "id": range(N), "label": range(N)}
    del columns[missing]
    with pytest.raises(KeyError, match=rf"no column '{missing}'.*'label'"):
        function_of(mask="mask")(columns)


def test_images_of_several_shapes():
    x = images(n=2)
    columns = {"image": [x[0], x[1][:8]], "id": [0, 1]}
    text = rf"one shape. Received: .*{re.escape(str(x[1][:8].shape))}"
    with pytest.raises(ValueError, match=text):
        fastaug.ImageDataGenerator().batch_function()(columns)


def test_it_can_be_pickled():
    columns = {"image": images(n=N), "id": range(N)}
    function = function_of(key="id", seed=2, fill=255)
    copy = pickle.loads(pickle.dumps(function))
    assert_same(copy(columns)["image"], function(columns)["image"])
    assert repr(copy) == repr(function)
    arguments = "image='image', mask=None, key='id', seed=2, fill=255"
    assert repr(function).endswith(f".batch_function({arguments})")
    assert "rotation_range=30" in repr(function)


@pytest.mark.parametrize(
    ("resources", "threads"),
    [({"CPU": 4.0}, 4), ({"CPU": 1.0}, 0), ({"CPU": 0.5}, 0), ({}, 3), (None, 3)],
    ids=str,
)
def test_threads_of_a_task_of_ray(resources, threads, monkeypatch):
    """As many as its CPUs, if it is one: else as the generator has."""
    context = types.SimpleNamespace(get_assigned_resources=lambda: resources)
    ray = types.SimpleNamespace(
        is_initialized=lambda: resources is not None, get_runtime_context=lambda: context
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    seen = []

    class Seeing(fastaug.ImageDataGenerator):
        def apply(self, *arguments, **keywords):
            seen.append(self._threads)
            return super().apply(*arguments, **keywords)

    generator = Seeing(workers=3)
    generator.batch_function()({"image": images(n=N), "id": range(N)})
    assert seen == [threads]
    assert generator.workers == 3


def test_masks_move_with_their_images():
    x = np.random.default_rng(0).integers(0, 256, (N, 9, 9, 1), np.uint8)
    settings = {"horizontal_flip": True, "vertical_flip": True, "dtype": "uint8"}
    function = function_of(mask="mask", settings=settings)
    for masks in (x, x[..., 0], [Image.fromarray(mask[..., 0]) for mask in x]):
        made = function({"image": x, "mask": masks, "id": range(N)})
        assert_same(made["mask"].reshape(x.shape), made["image"])
        assert not np.array_equal(made["image"], x)
    turned = function_of(mask="mask", fill=77, settings={"width_shift_range": [5]})
    made = turned({"image": x, "mask": x, "id": range(N)})
    assert (made["mask"] == 77).any(axis=(1, 2, 3)).all()
    assert "mask='mask'" in repr(turned)


@pytest.mark.parametrize("own", [False, True])
def test_masks_of_apply_follow_ops(own):
    """Also where the images are made one by one."""

    class Own(fastaug.ImageDataGenerator):
        def standardize(self, x):
            return x

    x = np.arange(N * 12 * 10, dtype=np.int32).reshape(N, 12, 10) % 251
    images_of = x[..., np.newaxis].astype(np.uint8)
    kind = Own if own else fastaug.ImageDataGenerator
    generator = kind(augment=fastaug.RandomCrop((8, 7)), horizontal_flip=True)
    keys = list(range(N))
    images, masks = generator.apply(images_of, fastaug.Masks(x), keys=keys, seed=3)
    np.testing.assert_array_equal(images[..., 0], masks)
    assert masks.dtype == np.int32
    with pytest.raises(ValueError, match="6 images, 5 masks"):
        generator.apply(images_of, fastaug.Masks(x[1:]), keys=keys)
