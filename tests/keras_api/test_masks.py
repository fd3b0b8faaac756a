"""Masks in `y` and of files: moved as their images, beside Keras's draws, and nothing else done."""

import contextlib
import copy
import dataclasses
import gc
import io
import math
import pickle
import warnings
import weakref

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from reference import keras_library, same_stream, source_coordinates
from scipy import ndimage
from scripts import BACKENDS, check_on

import fastaug
from fastaug import Masks, _core
from fastaug.keras_api.params import affine_row
from fastaug.ops.base import Op, OpList

N, HEIGHT, WIDTH = 11, 12, 17

#: What moves an image, and what changes its values.
PLACES = {
    "rotation_range": 50,
    "width_shift_range": 0.3,
    "height_shift_range": [-3, 2],
    "shear_range": 20,
    "zoom_range": 0.4,
    "horizontal_flip": True,
    "vertical_flip": True,
}
COLOURS = {
    "channel_shift_range": 60,
    "brightness_range": (0.5, 1.5),
    "rescale": 1 / 255,
    "samplewise_center": True,
}

augmented_validation = pytest.mark.filterwarnings(
    "ignore:subset=.validation. of a generator:fastaug.UsageWarning"
)


def labels(shape=(N, HEIGHT, WIDTH), dtype="uint8", high=250):
    return np.random.default_rng(len(shape)).integers(0, high, shape).astype(dtype)


def moved(mask, parameters, fill):
    """A mask of rank 2 as a slow loop over Keras's coordinates has it, and what is sure of it."""
    height, width = mask.shape
    rows, columns = source_coordinates(height, width, parameters)
    out, sure = np.full_like(mask, fill), np.ones(mask.shape, bool)
    for i in range(height):
        for j in range(width):
            r, c = math.floor(rows[i, j] + 0.5), math.floor(columns[i, j] + 0.5)
            sure[i, j] = all(
                abs(v - math.floor(v) - 0.5) > 1e-6 for v in (rows[i, j], columns[i, j])
            )
            if 0 <= r < height and 0 <= c < width:
                out[i, j] = mask[r, c]
    for axis, name in ((1, "flip_horizontal"), (0, "flip_vertical")):
        if parameters[name]:
            out, sure = np.flip(out, axis), np.flip(sure, axis)
    return out, sure


def drawn_by_keras(settings, batches, **flow):
    """The positions and parameters of each batch, as Keras draws them."""
    library = keras_library()
    generator = library.generator(**settings)
    positions = np.arange(N, dtype="float32").reshape(N, 1, 1, 1)
    iterator = generator.flow(
        np.broadcast_to(positions, (N, HEIGHT, WIDTH, 3)), np.arange(N), batch_size=4, **flow
    )
    found = []
    for _ in range(batches):
        before = len(library.drawn)
        index = next(iterator)[1]
        found.append((index, [parameters for _, parameters in library.drawn[before:]]))
    return found


def assert_moved(made, masks, index, parameters, fill):
    for mask, position, each in zip(made, index, parameters, strict=True):
        expected, sure = moved(masks[position], each, fill)
        assert mask.shape == expected.shape
        np.testing.assert_array_equal(mask[sure], expected[sure])


# ---- arrays ----


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int8", "uint16", "int32", "int64", "float16",
                                   "float32", "float64"])  # fmt: skip
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_masks_of_any_type_are_moved_as_keras_draws(dtype, workers):
    x = np.random.default_rng(0).integers(0, 256, (N, HEIGHT, WIDTH, 3)).astype("uint8")
    masks = labels(dtype=dtype, high=2 if dtype == "bool" else 120)
    if dtype == "int64":
        masks += 2**60
    generator = fastaug.ImageDataGenerator(**PLACES, **COLOURS, workers=workers)
    flow = generator.flow(x, Masks(masks, fill=1), batch_size=4, seed=5)
    plain = generator.flow(x, batch_size=4, seed=5)
    for index, parameters in drawn_by_keras(PLACES | COLOURS, 7, seed=5):
        images, made = next(flow)
        np.testing.assert_array_equal(images, next(plain))
        assert made.dtype == dtype
        assert_moved(made, masks, index, parameters, 1)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("prefetch", [0, 3])
def test_batches_do_not_depend_on_reading_ahead(seed, prefetch):
    generator = fastaug.ImageDataGenerator(**PLACES, workers=2, prefetch=prefetch)
    masks = labels()
    np.random.seed(8)
    flow = generator.flow(np.zeros((N, HEIGHT, WIDTH, 1)), Masks(masks), batch_size=4, seed=seed)
    made = [next(flow)[1] for _ in range(5)]
    stream = np.random.get_state()
    np.random.seed(8)
    for each, (index, parameters) in zip(made, drawn_by_keras(PLACES, 5, seed=seed), strict=True):
        assert_moved(each, masks, index, parameters, 0)
    if seed is None:
        assert same_stream(stream, np.random.get_state())
    assert len(flow[2][1]) == N % 4


@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_layouts(rank, channels, interpolation, data_format):
    first = data_format == "channels_first"
    x = np.zeros((N, 2, HEIGHT, WIDTH) if first else (N, HEIGHT, WIDTH, 2), "uint8")
    last = labels((N, HEIGHT, WIDTH, channels), "float32")
    masks = last.transpose(0, 3, 1, 2) if first else last
    masks = last[..., 0] if rank == 3 else masks
    generator = fastaug.ImageDataGenerator(**PLACES, workers=2, data_format=data_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two channels
        flow = generator.flow(x, Masks(masks, 9, interpolation), batch_size=4, seed=2)
    twin = fastaug.ImageDataGenerator(
        **PLACES, fill_mode="grid-constant", cval=9, data_format="channels_last",
        interpolation_order=int(interpolation == "linear"),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = next(twin.flow(last, batch_size=4, seed=2))
    made = next(flow)[1]
    assert made.shape == (4, *masks.shape[1:])
    if rank == 4:
        made = made.transpose(0, 2, 3, 1) if first else made
    else:
        made, expected = made[..., np.newaxis], expected[..., :1]
    np.testing.assert_array_equal(made, expected)


def test_linear_masks_of_bytes_are_rounded_and_doubles_keep_their_type():
    masks = labels((N, HEIGHT, WIDTH))
    generator = fastaug.ImageDataGenerator(**PLACES)
    y = {name: Masks(masks.astype(name), interpolation="linear") for name in ("uint8", "float64")}
    _, made = next(generator.flow(np.zeros((N, HEIGHT, WIDTH, 1)), y, seed=2))
    assert {name: each.dtype for name, each in made.items()} == {n: np.dtype(n) for n in y}
    np.testing.assert_array_equal(made["uint8"], np.round(made["float64"]))
    assert (made["float64"] % 1 != 0).any()


class Turns(fastaug.ImageDataGenerator):
    """Draws quarter turns."""

    def get_random_transform(self, img_shape, seed=None):
        return {"theta": 90 * np.random.randint(4), "flip_horizontal": np.random.randint(2) == 1}


def test_quarter_turns_of_a_subclass_are_exact():
    masks = labels((N, 15, 15, 1))
    flow = Turns().flow(masks, Masks(masks, fill=255), batch_size=4, seed=1)
    seen = set()
    for _ in range(5):
        images, made = next(flow)
        np.testing.assert_array_equal(np.round(images), made)
        seen |= {tuple(each[0, :2, 0]) for each in made}
    assert len(seen) > 12


def test_a_way_of_ones_own_to_move_images_is_refused():
    class Own(fastaug.ImageDataGenerator):
        def apply_transform(self, x, transform_parameters):
            return x[::-1]

    x = labels((N, 5, 5, 1))
    with pytest.raises(TypeError, match="Own has one of its own"):
        Own().flow(x, Masks(x))
    next(Own().flow(x, labels((N,))))


@pytest.mark.parametrize("draws", [False, True])
def test_functions_see_images_alone_and_may_draw(draws):
    """The rows of the later images are drawn again, and the masks are moved by those."""
    masks = labels((N, 15, 15, 1), "float32")

    def function(image):
        if draws:
            np.random.random()
        return image + 0

    settings = {"horizontal_flip": True, "vertical_flip": True, "width_shift_range": [-4, 0, 3]}
    generator = fastaug.ImageDataGenerator(
        **settings, preprocessing_function=function, fill_mode="grid-constant", cval=7,
        interpolation_order=0, workers=2,
    )  # fmt: skip
    flow = generator.flow(masks, Masks(masks, fill=7), batch_size=4, seed=1)
    for _ in range(5):
        images, made = next(flow)
        np.testing.assert_array_equal(images, made)


@pytest.mark.parametrize("dtype", ["float64", "uint8", "float16"])
def test_images_made_one_by_one(dtype):
    """Flips alone, flips and standardization, and all that moves: each draws in its own way."""
    masks = labels((N, 15, 15, 1))
    flips = {"horizontal_flip": True, "vertical_flip": True}
    whole = {"width_shift_range": [-4, 0, 3], "fill_mode": "grid-constant", "cval": 7}
    for settings in (flips, flips | {"samplewise_center": True}, flips | whole):
        if dtype == "uint8" and "samplewise_center" in settings:
            continue
        generator = fastaug.ImageDataGenerator(**settings, dtype=dtype, interpolation_order=0)
        flow = generator.flow(masks.astype("int16"), Masks(masks, fill=7), batch_size=4, seed=1)
        for _ in range(3):
            images, made = next(flow)
            images = images - images.min() if "samplewise_center" in settings else images
            made = made.astype(dtype)
            if "samplewise_center" in settings:
                means = made.mean(axis=(1, 2, 3), keepdims=True)
                np.testing.assert_allclose(images, made - means - (made - means).min(), atol=0.3)
            else:
                np.testing.assert_array_equal(images, made)


@pytest.mark.parametrize("make", [
    lambda m: m[:, ::2, ::3], lambda m: m[::-1], lambda m: m.astype(">i4"), np.asfortranarray,
    lambda m: m.tolist(), lambda m: m.transpose(0, 2, 1),
])  # fmt: skip
def test_masks_that_do_not_lie_in_one_piece(make):
    masks = make(labels(dtype="int32"))
    plain = np.ascontiguousarray(masks)
    x = np.zeros((*plain.shape, 1), "uint8")
    generator = fastaug.ImageDataGenerator(horizontal_flip=True, workers=2)
    made = next(generator.flow(x, Masks(masks), batch_size=N, seed=1))[1]
    expected = next(generator.flow(plain[..., np.newaxis], batch_size=N, seed=1))[..., 0]
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_masks_that_are_not_in_memory(tmp_path, interpolation):
    h5py = pytest.importorskip("h5py")
    masks = labels(dtype="float64")
    generator = fastaug.ImageDataGenerator(**PLACES, workers=2)
    x = np.zeros((N, HEIGHT, WIDTH, 1))
    with h5py.File(tmp_path / "masks.h5", "w") as file:
        lazy = file.create_dataset("masks", data=masks, chunks=(3, HEIGHT, WIDTH))
        made = next(generator.flow(x, Masks(lazy, 1, interpolation), seed=1))[1]
    expected = next(generator.flow(x, Masks(masks, 1, interpolation), seed=1))[1]
    np.testing.assert_array_equal(made, expected)


@augmented_validation
@augmented_validation
def test_the_batch_has_the_structure_of_y():
    x, numbers = np.zeros((N, HEIGHT, WIDTH, 1)), np.arange(N)
    y = {"a": [Masks(labels()), [{"c": numbers}, list(numbers)]], "b": numbers}
    weights = numbers / 2
    generator = fastaug.ImageDataGenerator(horizontal_flip=True, validation_split=0.4)
    flow = generator.flow(x, y, batch_size=3, sample_weight=None, subset="validation", seed=1)
    _, made = next(flow)
    assert isinstance(made["a"], tuple)
    mask, (inner, second) = made["a"]
    first = inner["c"]
    assert mask.shape == (3, HEIGHT, WIDTH)
    assert max(first) < 4
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, made["b"])
    _, made, some = next(generator.flow(x, y, sample_weight=weights, batch_size=3, seed=1))
    np.testing.assert_array_equal(some, made["b"] / 2)
    np.testing.assert_array_equal(next(generator.flow(x, {"a": numbers}, shuffle=False))[1]["a"],
                                  numbers)  # fmt: skip


def test_the_training_part_has_the_other_masks():
    masks = labels()
    generator = fastaug.ImageDataGenerator(validation_split=0.4)
    parts = [
        next(generator.flow(np.zeros((N, HEIGHT, WIDTH, 1)), Masks(masks), batch_size=N,
                            shuffle=False, subset=name))[1]
        for name in ("validation", "training")
    ]  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(parts), masks)


def test_copies_and_pickles_go_on(tmp_path):
    masks = np.memmap(tmp_path / "masks", "uint8", "w+", shape=(N, HEIGHT, WIDTH))
    masks[:] = labels()
    y = (Masks(masks, fill=3), np.arange(N))
    generator = fastaug.ImageDataGenerator(**PLACES)
    flow = generator.flow(np.zeros((N, HEIGHT, WIDTH, 1)), y, batch_size=4, seed=3)
    next(flow)
    carried = pickle.loads(pickle.dumps(flow))
    assert isinstance(carried.y[0].data.base, np.memmap)
    twins = [copy.copy(flow), copy.deepcopy(flow), carried]
    expected = next(flow)[1]
    for twin in twins:
        made = next(twin)[1]
        for each, other in zip(made, expected, strict=True):
            np.testing.assert_array_equal(each, other)


def test_other_targets_and_images_may_take_their_place():
    x = np.zeros((N, HEIGHT, WIDTH, 1), "uint8")
    flow = fastaug.ImageDataGenerator(workers=2).flow(x, Masks(labels()), N, shuffle=False)
    next(flow)
    flow.y = Masks(labels(high=9))
    np.testing.assert_array_equal(next(flow)[1], labels(high=9))
    flow.x = x[:, :5, :6]
    flow.y = {"m": Masks(labels()[:, :5, :6])}
    images, made = next(flow)
    assert images.shape[:3] == made["m"].shape
    flow.x = x
    with pytest.raises(ValueError, match="size of their images, 12 x 17"):
        next(flow)


def test_fit_reads_the_images_alone():
    generator = fastaug.ImageDataGenerator(featurewise_center=True)
    x = labels((N, HEIGHT, WIDTH, 3))
    generator.fit(generator.flow(x, Masks(labels()), batch_size=4))
    np.testing.assert_allclose(generator.mean.ravel(), x.mean((0, 1, 2)), rtol=1e-5)


def test_reprs():
    assert repr(Masks("m", 255)) == "Masks('m', fill=255, interpolation='nearest')"
    shown = "Masks(<uint8 of shape (11, 12, 17)>, fill=0, interpolation='nearest')"
    assert repr(Masks(labels())) == shown
    flow = fastaug.ImageDataGenerator().flow(
        np.zeros((N, HEIGHT, WIDTH, 1)), {"a": Masks(labels()), "b": np.arange(N)}
    )
    assert f"y={{'a': {shown}, 'b': (11,)}}" in repr(flow)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Masks(labels(), interpolation="cubic"), ValueError, "Invalid interpolation"),
        (lambda: Masks(labels()[:5]), ValueError, "should have the same length"),
        (lambda: Masks(labels()[:, 1:]), ValueError, "size of their images, 12 x 17"),
        (lambda: Masks(labels((N, 1, HEIGHT, WIDTH))), ValueError, "size of their images, 12 x 17"),
        (lambda: Masks(labels((N, HEIGHT))), ValueError, "rank 3 or 4"),
        (lambda: Masks(labels().astype("c8")), TypeError, "real type"),
        (lambda: Masks(labels(), fill=256), ValueError, "fill should be a value of uint8"),
        (lambda: Masks(labels(), fill="0"), TypeError, "fill='0'"),
        (lambda: Masks(labels(), fill=[1, 2]), TypeError, r"fill=\[1, 2\]"),
        (lambda: Masks(labels(), fill=None), TypeError, "fill=None"),
        (lambda: Masks(labels(), fill=0.5), ValueError, "fill should be a value of uint8"),
        (lambda: Masks(labels(), fill=-1), ValueError, "fill should be a value of uint8"),
        (lambda: Masks(labels(dtype="int32"), interpolation="linear"), TypeError, "not of int32"),
        (lambda: Masks("folder"), TypeError, "not a leaf of `y`"),
    ],
)
def test_what_cannot_be_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        fastaug.ImageDataGenerator().flow(np.zeros((N, HEIGHT, WIDTH, 1)), make())


# ---- files ----

SIZE = (20, 30)  # of the files


def write(path, pixels, mode=None):
    """Writes labels: as they are, or as the numbers of a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    img = Image.fromarray(pixels)
    if mode == "P":
        img = Image.frombytes("P", img.size, pixels.tobytes())
        img.putpalette(np.random.default_rng(1).integers(0, 256, 768).astype("uint8").tobytes())
    img.save(path)


def tree(root, mode=None, size=SIZE, ending="png"):
    """Photographs in two folders whose red is their mask, and the masks."""
    for k in range(N):
        pixels = labels(size) + np.uint8(k)
        write(root / "photos" / "ab"[k % 2] / f"{k}.bmp", np.stack([pixels] * 3, -1))
        write(root / "masks" / "ab"[k % 2] / f"{k}.{ending}", pixels, mode)
    return root


def assert_pairs(flow, batches=5):
    """Each mask is the red of its image: both are moved by the nearest pixel."""
    with flow:
        for _ in range(batches):
            images, masks = next(flow)
            axis = 1 if flow.data_format == "channels_first" else 3
            assert masks.dtype == np.uint8
            np.testing.assert_array_equal(np.take(images, [0], axis), masks)
            assert masks.std() > 1


#: An image that is moved as its mask.
ALIKE = PLACES | {"fill_mode": "grid-constant", "cval": 255, "interpolation_order": 0}


def test_names_of_files_may_have_dots(tmp_path):
    for k in range(3):
        pixels = np.full(SIZE, 10 * k, np.uint8)
        write(tmp_path / "photos" / "a" / f"1.{k}.bmp", np.stack([pixels] * 3, -1))
        write(tmp_path / "masks" / "a" / f"1.{k}.png", pixels)
    masks = Masks(tmp_path / "masks")
    flow = fastaug.ImageDataGenerator().flow_from_directory(
        tmp_path / "photos", SIZE, class_mode=masks, batch_size=3, shuffle=False
    )
    with flow:
        images, labels = next(flow)
    np.testing.assert_array_equal(images[..., :1], labels)
    assert labels.max() == 20


@pytest.mark.parametrize("decoder", ["threads", "processes"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_masks_of_a_folder_go_with_their_images(tmp_path, decoder, workers, data_format):
    tree(tmp_path, "P")
    generator = fastaug.ImageDataGenerator(**ALIKE, workers=workers, data_format=data_format)
    for size, keeps in (SIZE, False), ((13, 31), False), ((13, 31), True):
        assert_pairs(
            generator.flow_from_directory(
                tmp_path / "photos", size, class_mode=Masks(tmp_path / "masks", fill=255),
                batch_size=4, seed=3, decoder=decoder, keep_aspect_ratio=keeps,
            )
        )  # fmt: skip


@pytest.mark.parametrize("column", ["mask", None])
@augmented_validation
@augmented_validation
def test_masks_of_a_dataframe(tmp_path, column):
    tree(tmp_path, ending="tif")
    names = [f"{'ab'[k % 2]}/{k}" for k in range(3, N)]
    frame = pd.DataFrame({"filename": [f"{name}.bmp" for name in names]})
    frame["mask"] = [f"{name}.tif" for name in names]
    generator = fastaug.ImageDataGenerator(**ALIKE, validation_split=0.5)
    arguments = {"target_size": SIZE, "y_col": column, "batch_size": 3}
    masks = Masks(str(tmp_path / "masks"), fill=255)
    for subset in None, "training", "validation":
        assert_pairs(
            generator.flow_from_dataframe(
                frame, tmp_path / "photos", class_mode=masks, subset=subset, **arguments
            ),
            batches=3,
        )
    if column:
        frame["mask"] = [str(tmp_path / "masks" / name) for name in frame["mask"]]
        flow = generator.flow_from_dataframe(
            frame, tmp_path / "photos", class_mode=Masks("", fill=255), **arguments
        )
        assert_pairs(flow)
        frame["mask"] = 3
        with pytest.raises(TypeError, match="y_col=mask must be strings"):
            generator.flow_from_dataframe(frame, tmp_path / "photos", class_mode=masks, **arguments)


@augmented_validation
@augmented_validation
def test_subsets_classes_and_other_settings_keep_pairs(tmp_path):
    tree(tmp_path)
    masks = Masks(tmp_path / "masks", fill=255)
    generator = fastaug.ImageDataGenerator(**ALIKE, validation_split=0.3)
    photos, arguments = tmp_path / "photos", {"target_size": SIZE, "class_mode": masks}
    for subset in "training", "validation":
        assert_pairs(generator.flow_from_directory(photos, subset=subset, **arguments))
    assert_pairs(generator.flow_from_directory(photos, classes=["b"], **arguments))
    flow = generator.flow_from_directory(photos, batch_size=4, seed=3, **arguments)
    twin = pickle.loads(pickle.dumps(flow))
    np.testing.assert_array_equal(next(flow)[1], next(twin)[1])
    flow.target_size = (9, 11)
    assert next(flow)[1].shape == (4, 9, 11, 1)
    assert_pairs(flow)
    assert flow.class_mode is masks
    flow._filepaths = flow.filepaths[1:]
    with pytest.raises(ValueError, match="cannot be replaced"):
        next(flow)


@pytest.mark.parametrize(
    ("mode", "dtype"),
    [("1", "uint8"), ("L", "uint8"), ("I;16", "uint16"), ("I", "int32"), ("F", "float32")],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_files_keep_their_numbers(tmp_path, mode, dtype, workers):
    kinds = {"1": "bool", "I;16": "uint16", "I": "int32", "F": "float32"}
    pixels = labels(SIZE, high=2 if mode == "1" else 250).astype(kinds.get(mode, "uint8"))
    pixels = pixels if mode in "1L" else pixels * 200
    write(tmp_path / "photos/a/1.png", labels(SIZE))
    write(tmp_path / "masks/a/1.tif", pixels)
    with Image.open(tmp_path / "masks/a/1.tif") as img:
        assert img.mode == mode
    generator = fastaug.ImageDataGenerator(workers=workers)
    for size in SIZE, (7, 11):
        flow = generator.flow_from_directory(
            tmp_path / "photos", size, class_mode=Masks(tmp_path / "masks")
        )
        with flow:
            made = next(flow)[1]
        assert made.dtype == dtype
        resized = Image.open(tmp_path / "masks/a/1.tif").resize(size[::-1], Image.NEAREST)
        np.testing.assert_array_equal(made[0, ..., 0], np.asarray(resized))


def test_linear_masks_of_files(tmp_path):
    tree(tmp_path)
    generator = fastaug.ImageDataGenerator(
        **PLACES, fill_mode="grid-constant", cval=9, dtype="uint8", workers=2
    )
    flow = generator.flow_from_directory(
        tmp_path / "photos", SIZE, class_mode=Masks(tmp_path / "masks", 9, "linear"), seed=1
    )
    with flow:
        images, masks = next(flow)
    assert abs(images[..., :1].astype(int) - masks).max() <= 1  # files are truncated, as in Keras


@pytest.mark.parametrize("mode", ["RGB", "LA", "RGBA"])
def test_a_mask_of_colours_is_refused(tmp_path, mode):
    tree(tmp_path)
    first = tmp_path / "masks/a/0.png"
    Image.open(first).convert(mode).save(first)
    generator = fastaug.ImageDataGenerator()
    with pytest.raises(ValueError, match=rf"masks/a/0.png: A mask has one label.*mode {mode}"):
        generator.flow_from_directory(
            tmp_path / "photos", SIZE, class_mode=Masks(tmp_path / "masks")
        )


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_of_two_types_are_refused(tmp_path, workers):
    tree(tmp_path)
    write(tmp_path / "masks/b/3.png", labels(SIZE, "uint16"))
    generator = fastaug.ImageDataGenerator(workers=workers)
    flow = generator.flow_from_directory(
        tmp_path / "photos", SIZE, class_mode=Masks(tmp_path / "masks"), batch_size=N
    )
    with pytest.raises(ValueError, match=r"masks/b/3.png: A mask of uint16, among masks of uint8"):
        next(flow)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("function", [None, lambda image: image + 0])
@pytest.mark.parametrize("on_error", ["skip", "replace"])
def test_a_bad_mask_counts_as_its_image(tmp_path, on_error, workers, function):
    tree(tmp_path)
    (tmp_path / "masks/b/5.png").write_bytes(b"nothing")
    (tmp_path / "photos/a/2.bmp").write_bytes(b"nothing")
    generator = fastaug.ImageDataGenerator(
        **ALIKE, workers=workers, preprocessing_function=function
    )
    flow = generator.flow_from_directory(
        tmp_path / "photos", SIZE, class_mode=Masks(tmp_path / "masks", fill=255), seed=1,
        batch_size=N, on_error=on_error,
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images, masks = next(flow)
    texts = sorted(str(each.message).split(str(tmp_path))[1] for each in caught)
    assert [text.split(":")[0] for text in texts] == ["/masks/b/5.png", "/photos/a/2.bmp"]
    assert len(masks) == (N if on_error == "replace" else N - 2)
    np.testing.assert_array_equal(images[..., :1], masks)
    assert sorted(flow.bad_files) == [str(tmp_path / "photos" / n) for n in ("a/2.bmp", "b/5.bmp")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_pairs(flow)


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_are_let_go_of_at_the_end(tmp_path, workers):
    tree(tmp_path, size=(300, 400))
    generator = fastaug.ImageDataGenerator(workers=workers)
    flow = generator.flow_from_directory(
        tmp_path / "photos", (300, 400), class_mode=Masks(tmp_path / "masks"), batch_size=N
    )
    batch = next(flow)
    memory = weakref.ref(batch[1].base)
    reader = flow._maker._spec.fields[0]._source._reader
    reader = reader if reader is None else weakref.ref(reader)
    del batch
    assert memory() is not None
    flow.close()
    gc.collect()
    assert memory() is None
    assert (reader is None) == (workers == 0)
    assert reader is None or reader() is None


def test_fit_does_not_read_masks_of_files(tmp_path):
    tree(tmp_path)
    generator = fastaug.ImageDataGenerator(featurewise_center=True)
    flow = generator.flow_from_directory(
        tmp_path / "photos", SIZE, class_mode=Masks(tmp_path / "masks")
    )
    for path in (tmp_path / "masks").glob("*/*"):
        path.write_bytes(b"nothing")
    with flow:
        generator.fit(flow)
    assert generator.mean.shape == (1, 1, 3)


def test_a_bad_mask_raises_an_error_with_its_path(tmp_path):
    tree(tmp_path)
    (tmp_path / "masks/b/5.png").write_bytes(b"nothing")
    flow = fastaug.ImageDataGenerator().flow_from_directory(
        tmp_path / "photos", SIZE, class_mode=Masks(tmp_path / "masks"), batch_size=N
    )
    with pytest.raises(OSError, match=r"masks/b/5.png"):
        next(flow)


def test_partners_that_are_missing_or_too_many(tmp_path):
    tree(tmp_path)
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    generator = fastaug.ImageDataGenerator(validation_split=0.2)

    def make(**arguments):
        return generator.flow_from_directory(photos, SIZE, class_mode=Masks(masks), **arguments)

    def both(image, mask):
        return rf"{photos / image} \({masks / mask}\)"

    (masks / "a/10.png").rename(tmp_path / "10.png")  # of the training part
    for subset in None, "training", "validation":
        with pytest.raises(ValueError, match="1 of 11 images have no mask: "
                           + both("a/10.bmp", r"a/10.\*")):  # fmt: skip
            make(subset=subset)
    make(classes=["b"])
    (tmp_path / "10.png").rename(masks / "a/10.png")
    (masks / "c").mkdir()
    for k in range(4):
        write(masks / f"c/{k}.png", labels(SIZE))
    with pytest.raises(ValueError, match=rf"4 of 15 masks have no image: {masks}/c/0.png "
                       rf"\({photos}/c/0\.\*\), .*, \.\.\.$"):  # fmt: skip
        make()
    make(classes=["a", "b"])
    write(masks / "a/0.tif", labels(SIZE))
    with pytest.raises(ValueError, match=r"1 of 12 masks are for the image of another one: .*a/0"):
        make(classes=["a", "b"])
    frame = pd.DataFrame({"filename": ["a/0.bmp", "b/1.bmp"], "mask": ["a/0.png", "b/2.png"]})
    with pytest.raises(ValueError, match="1 of 2 images have no mask: "
                       + both("b/1.bmp", "b/2.png")):  # fmt: skip
        generator.flow_from_dataframe(frame, photos, y_col="mask", class_mode=Masks(masks))
    with pytest.raises(FileNotFoundError):
        generator.flow_from_directory(photos, class_mode=Masks(tmp_path / "nowhere"))
    with pytest.raises(TypeError, match="masks are a folder of files"):
        generator.flow_from_directory(photos, class_mode=Masks(labels()))


def test_images_without_folders_of_classes(tmp_path):
    """They are found by a dataframe, as the error says."""
    for k in range(3):
        write(tmp_path / f"photos/{k}.png", labels((*SIZE, 3)))
        write(tmp_path / f"masks/{k}.png", labels(SIZE))
    photos, masks = tmp_path / "photos", Masks(tmp_path / "masks")
    generator = fastaug.ImageDataGenerator()
    with pytest.raises(ValueError, match=rf"no images in the folders of {photos}, for 3 masks.*"
                       "flow_from_dataframe.*y_col=None"):  # fmt: skip
        generator.flow_from_directory(photos, class_mode=masks)
    frame = pd.DataFrame({"filename": [path.name for path in photos.iterdir()]})
    flow = generator.flow_from_dataframe(frame, photos, y_col=None, class_mode=masks)
    assert len(next(flow)[1]) == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_fit_of_a_segmentation_from_folders(backend, tmp_path):
    """Pixels that are made up have the label that the loss ignores; the others, their image's."""
    for k in range(24):
        pixels = np.random.default_rng(k).integers(0, 256, (*SIZE, 3)).astype("uint8")
        write(tmp_path / f"photos/all/{k}.png", pixels)
        write(tmp_path / f"masks/all/{k}.png", (pixels[..., 0] > 127).astype("uint8"), "P")
    check_on(
        backend,
        """
        import sys
        import keras
        import fastaug

        assert keras.backend.backend() == sys.argv[2]
        generator = fastaug.ImageDataGenerator(
            rotation_range=20, interpolation_order=0, rescale=1 / 127.5, workers=2)
        flow = generator.flow_from_directory(
            sys.argv[1] + "/photos", (20, 30), batch_size=8, seed=1,
            class_mode=fastaug.Masks(sys.argv[1] + "/masks", fill=255))
        images, masks = next(flow)
        known = masks[..., 0] != 255
        assert 0.5 < known.mean() < 1
        assert ((images[..., 0] > 1) == masks[..., 0])[known].mean() > 0.99
        model = keras.Sequential([keras.layers.Conv2D(2, 1)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        model.compile(keras.optimizers.Adam(0.1), loss)
        losses = model.fit(flow, epochs=12, verbose=0).history["loss"]
        assert losses[-1] < losses[0] / 2, losses
        """,
        arguments=[tmp_path, backend],
    )


# ---------------------------------------------------------------------------- augment


def labels_of_pixels(x):
    """A mask that says where a pixel comes from: its first two channels."""
    return x[..., 0].astype(np.int32) * 256 + x[..., 1]


def numbered(n=12, height=30, width=26):
    """Images whose pixels are numbered in two channels."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, rows * 0 + 7], axis=-1).astype(np.uint8)
    return np.stack([image] * n)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("crop", [fastaug.RandomCrop((20, 18)), fastaug.RandomCrop(24, padding=3)])
def test_masks_follow_crops(crop, workers, data_format):
    x = numbered()
    masks = labels_of_pixels(x)
    given = x if data_format == "channels_last" else x.transpose(0, 3, 1, 2)
    generator = fastaug.ImageDataGenerator(
        augment=[crop, fastaug.Solarize(256)], data_format=data_format, workers=workers,
        dtype="uint8", horizontal_flip=True, vertical_flip=True,
    )  # fmt: skip
    y = {"mask": fastaug.Masks(masks, fill=-1), "number": np.arange(12)}
    with generator.flow(given, y, batch_size=12, seed=1, shuffle=False) as flow:
        images, targets = next(flow)
    if data_format == "channels_first":
        images = images.transpose(0, 2, 3, 1)
    assert targets["mask"].shape == images.shape[:3]
    expected = np.where(images[..., 2] == 7, labels_of_pixels(images), -1)
    np.testing.assert_array_equal(targets["mask"], expected)
    assert len({image.tobytes() for image in images}) > 1


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("channels", [0, 2])
def test_what_a_crop_pads_is_the_mask_s_own_fill(channels, data_format):
    x, axis = numbered(), -1 if data_format == "channels_last" else 1
    masks = x[..., 0].astype("float32")
    if channels:
        masks = np.stack([masks] * channels, axis=axis)
    generator = fastaug.ImageDataGenerator(
        augment=fastaug.RandomCrop((24, 22), padding=3, fill=200),
        dtype="uint8",
        data_format=data_format,
    )
    y = fastaug.Masks(masks, fill=-5, interpolation="linear")
    given = np.moveaxis(x, -1, axis)
    with generator.flow(given, y, batch_size=12, seed=1, shuffle=False) as flow:
        images, targets = next(flow)
    images = np.moveaxis(images, axis, -1)
    rows = np.where(images[..., 2] == 7, images[..., 0], -5.0)
    assert (rows == -5).any()
    expected = np.stack([rows] * channels, axis=axis) if channels else rows
    np.testing.assert_array_equal(targets, expected)


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("settings", [{}, {"rotation_range": 25, "zoom_range": 0.1}], ids=str)
def test_masks_follow_resized_crops(settings, interpolation):
    """Beside the nearest pixel, or SciPy's linear interpolation, at the same places."""
    x, size = numbered(20, 40, 44), (24, 28)
    rng = np.random.default_rng(0)
    kind = np.uint8 if interpolation == "nearest" else np.float32
    masks = (rng.random(x.shape[:3]) * 255).astype(kind)
    crop = fastaug.RandomResizedCrop(size, scale=(0.2, 1.0))
    generator = fastaug.ImageDataGenerator(augment=crop, **settings)
    field = fastaug.Masks(masks, fill=200, interpolation=interpolation)
    with generator.flow(x, field, batch_size=20, seed=1, shuffle=False) as flow:
        _, batch = next(flow)
    np.random.seed(1)
    missed = 0
    for k, mask in enumerate(batch):
        params = generator.get_random_transform((*size, 3))
        left, top, right, bottom = crop.bind(1, 0, k)(40, 44)
        part = masks[k, top:bottom, left:right]
        table = affine_row(params["theta"], zx=params["zx"], zy=params["zy"])
        m = _core.affine_matrices(table, *size)[0]
        at = np.einsum("ij,jkl->ikl", m[:, :2], np.mgrid[: size[0], : size[1]])
        at += m[:, 2, None, None]
        for axis in range(2):
            at[axis] = (at[axis] + 0.5) * part.shape[axis] / size[axis] - 0.5
        order = 0 if interpolation == "nearest" else 1
        expected = ndimage.map_coordinates(
            part.astype(float), at, order=order, mode="grid-constant", cval=200
        )
        between = (np.abs(at % 1 - 0.5) < 1e-6).any(axis=0)  # two pixels
        missed += ((np.abs(mask - expected) > 0.01) & ~(between & (order == 0))).sum()
    assert missed <= 0.002 * batch.size


@pytest.mark.parametrize("decoder", ["threads", "processes"])
def test_mask_files_follow_resized_crops(tmp_path, decoder):
    """Images and masks are the same pictures: so are their parts, but for the filter."""
    for k in range(6):
        ramp = np.linspace(0, 255, 60 + 9 * k).astype(np.uint8)
        picture = Image.fromarray(np.broadcast_to(ramp, (50 + 3 * k, len(ramp))).copy())
        for kind in ("images", "masks"):
            path = tmp_path / kind / "a" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    crop = fastaug.RandomResizedCrop(32, scale=(0.1, 0.5))
    generator = fastaug.ImageDataGenerator(augment=[crop], horizontal_flip=True)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        generator.flow_from_directory(
            tmp_path / "images", target_size=(32, 32), seed=1, decoder=decoder, batch_size=6,
            class_mode=fastaug.Masks(tmp_path / "masks"),
        ) as flow,
    ):  # fmt: skip
        for _ in range(3):
            images, masks = next(flow)
            assert np.abs(images[..., :1] - masks).max() <= 6


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float64])
@pytest.mark.parametrize(
    "op",
    [
        fastaug.Rot90(),
        fastaug.Perspective(0.5, p=1, interpolation="nearest", fill=255),
        fastaug.Sometimes(fastaug.Perspective(0.9, p=1, interpolation="nearest", fill=255), 0.5),
        "trivialaugment",
        fastaug.RandAugment(3, 20),
        [fastaug.RandomCrop(20), "randaugment"],
    ],
    ids=str,
)
def test_masks_follow_ops_that_move(op, kind):
    """An image of its own rows and columns: where ops leave values alone, they are its mask."""
    x = numbered(30, 24, 24)
    masks = (labels_of_pixels(x) + 5).astype(kind) if kind != np.uint8 else x[..., 1] + 5
    generator = fastaug.ImageDataGenerator(augment=op, dtype="uint8", horizontal_flip=True)
    with generator.flow(x, fastaug.Masks(masks, fill=3), batch_size=30, seed=4) as flow:
        images, moved = next(flow)
        index = flow.index_array
    draws = 4, 0
    ops = OpList(op if isinstance(op, list) else [op])
    program = _core.Program(*images.shape[1:3], 3, is_bytes=True, cval=255, order=0,
                            border="grid-constant", **ops.for_masks())  # fmt: skip
    flips = np.repeat(_core.IDENTITY, 30, axis=0)
    np.random.seed(4)
    np.random.permutation(30)
    for row in flips:
        row[6] = generator.get_random_transform((24, 24, 3))["flip_horizontal"]
    table = ops.table(flips, *draws, index, (24, 24), 3)
    places = np.empty_like(images)
    _core.augment(program, x, index, table, None, places, 0, 30)
    if kind == np.uint8:
        expected = np.where(places[..., 2] == 7, places[..., 1] + 5, 3)
    else:
        expected = np.where(places[..., 2] == 7, labels_of_pixels(places) + 5, 3)
    assert moved.dtype == kind
    np.testing.assert_array_equal(moved, expected)
    assert (places != x[index][:, : places.shape[1], : places.shape[2]]).any()
    if isinstance(op, fastaug.Rot90 | fastaug.Perspective | fastaug.Sometimes):
        np.testing.assert_array_equal(images, places)  # the image's own ops, to the pixel


def test_a_mask_is_interpolated_as_often_as_its_image():
    """What one op moves out of the image, another does not bring back, in neither."""

    @dataclasses.dataclass(frozen=True)
    class Shift(Op):
        way: float

        @property
        def steps(self):
            return ("affine",)

        def draw(self, draws):
            return np.tile([1.0, 0, 0, 0, 1, self.way, 0, 255], (len(draws), 1))

    x = numbered(4, 12, 12)
    masks = labels_of_pixels(x)
    betweens = (
        ([], 12),
        ([fastaug.Solarize(256)], 7),
        ([fastaug.Posterize(8, p=0)], 12),
        ([lambda image, rng: image], 7),
        ([lambda image, rng: image, fastaug.RandomCrop(12)], 7),
    )
    for between, left in betweens:
        augment = [Shift(5.0), *between, Shift(-5.0)]
        generator = fastaug.ImageDataGenerator(augment=augment, dtype="uint8")
        with generator.flow(x, fastaug.Masks(masks, fill=-1), batch_size=4, seed=1) as flow:
            images, moved = next(flow)
        expected = np.where(images[..., 2] == 7, labels_of_pixels(images), -1)
        np.testing.assert_array_equal(moved, expected)
        assert (moved >= 0).sum() == 4 * 12 * left


def test_masks_follow_an_augment_that_is_set_between_batches():
    x = numbered(8, 12, 12)
    generator = fastaug.ImageDataGenerator(augment=fastaug.Rot90(), dtype="uint8")
    with generator.flow(x, fastaug.Masks(labels_of_pixels(x)), batch_size=8, seed=1) as flow:
        for augment in (None, fastaug.RandomCrop(5), fastaug.RandomCrop((7, 4)), fastaug.Rot90()):
            images, moved = next(flow)
            np.testing.assert_array_equal(moved, labels_of_pixels(images))
            generator.augment = augment and (augment,)
