"""Images to validate with: `augment=False`, `subset="both"`, and what says that they are missed."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import trees
from PIL import Image
from reference import assert_batches_equal, keras_image, same_stream, take

import fastaug
from fastaug import ImageDataGenerator, UsageWarning

TRANSFORMS = {
    "rotation_range": 20,
    "width_shift_range": 0.1,
    "height_shift_range": [1, 2],
    "shear_range": 10,
    "zoom_range": 0.2,
    "channel_shift_range": 30,
    "brightness_range": (0.5, 1.5),
    "horizontal_flip": True,
    "vertical_flip": True,
}
N = 23
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 11, 14, 3), dtype=np.uint8)
LABELS = np.arange(N) % 2
SIZE = {"target_size": (9, 12)}
KINDS = ["array", "threads", "processes", "frame"]
kinds = pytest.mark.parametrize("kind", KINDS)
WORKERS = [{"workers": 0}, {"workers": 1, "prefetch": 0}, {"workers": 3, "prefetch": 4}]
workers = pytest.mark.parametrize("workers", WORKERS, ids=["0", "1", "3 ahead"])


class Own(ImageDataGenerator):
    def apply_transform(self, x, transform_parameters):
        return super().apply_transform(x, transform_parameters) * 0

    def standardize(self, x):
        return super().standardize(x) + 5


def negative(image):
    return 255 - image


def noisy(image):
    return image + np.float32(np.random.random())


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.plain_tree(tmp_path_factory.mktemp("plain"), (9, 8, 6))


def flow_of(generator, kind, tree, batch_size=5, **flow):
    """A flow of `N` images of two classes or three, from an array or files."""
    flow["batch_size"] = batch_size
    if kind == "array":
        last = generator.data_format == "channels_last"
        return generator.flow(IMAGES if last else np.moveaxis(IMAGES, 3, 1), LABELS, **flow)
    if kind == "frame":
        paths = sorted(str(path) for path in tree.glob("*/*.jpg"))
        frame = pd.DataFrame({"filename": paths, "class": ["ab"[k % 2] for k in range(N)]})
        return generator.flow_from_dataframe(frame, **SIZE, decoder="threads", **flow)
    return generator.flow_from_directory(str(tree), **SIZE, decoder=kind, **flow)


def stream_after(permutations, seed=7):
    """The state of `np.random` after some orders of the images were drawn, and nothing else."""
    stream = np.random.RandomState(seed)
    for _ in range(permutations):
        stream.permutation(N)
    return stream.get_state()


# ---------------------------------------------------------------------------- values

SETTINGS = {
    "nothing": {},
    "rescale": {"rescale": 1 / 255},
    "samplewise": {"samplewise_center": True, "samplewise_std_normalization": True},
    "function": {"preprocessing_function": negative, "rescale": 0.5},
    "order 3": {"interpolation_order": 3, "fill_mode": "constant", "cval": 99},
    "uint8": {"dtype": "uint8"},
    "float64": {"dtype": "float64", "rescale": 0.5},
    "float16": {"dtype": "float16"},
    "channels first": {"data_format": "channels_first", "samplewise_center": True},
}


@kinds
@workers
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("shuffle", [True, False])
def test_values_of_a_generator_without_transforms(kind, workers, name, shuffle, tree):
    settings = SETTINGS[name] | workers
    arguments = {"seed": 3, "shuffle": shuffle}
    ops = [fastaug.Posterize(2)] if name == "nothing" else None
    augmenting = ImageDataGenerator(**TRANSFORMS, **settings, augment=ops)
    np.random.seed(7)
    with flow_of(augmenting, kind, tree, augment=False, **arguments) as flow:
        batches = take(flow, 7)
        batches += [flow[2]]
    assert same_stream(np.random.get_state(), stream_after(0))
    with flow_of(ImageDataGenerator(**settings), kind, tree, **arguments) as flow:
        expected = take(flow, 7)
        expected += [flow[2]]
    assert_batches_equal(batches, expected)
    assert batches[0][0].dtype == augmenting.dtype


@kinds
@workers
@pytest.mark.parametrize(
    "settings", [{}, {"preprocessing_function": negative}, {"dtype": "float64"}]
)
def test_without_a_seed_only_the_order_is_drawn(kind, workers, settings, tree):
    crops = [fastaug.RandomCrop((9, 12))]
    generator = ImageDataGenerator(**TRANSFORMS, **settings, **workers, augment=crops)
    np.random.seed(7)
    with flow_of(generator, kind, tree, augment=False) as flow:
        take(flow, 6)
        assert same_stream(np.random.get_state(), stream_after(2))
    np.random.seed(7)
    with flow_of(generator, kind, tree, augment=False, shuffle=False) as flow:
        take(flow, 6)
        assert same_stream(np.random.get_state(), stream_after(0))


@kinds
@workers
@pytest.mark.parametrize("seed", [None, 5])
def test_functions_that_draw(kind, workers, seed, tree):
    """They have `np.random` for themselves, once it has given the order."""
    generator = ImageDataGenerator(**TRANSFORMS, **workers, preprocessing_function=noisy)
    np.random.seed(7)
    with flow_of(generator, kind, tree, augment=False, seed=seed, shuffle=False) as flow:
        batches = take(flow, 4)
    plain = ImageDataGenerator(workers=0)
    with flow_of(plain, kind, tree, seed=seed, shuffle=False) as flow:
        expected = take(flow, 4)
    stream = np.random.RandomState(7)
    for k, (images, _) in enumerate(expected):
        if seed is not None:
            stream.seed(seed + k)
        for image in images:
            image += np.float32(stream.random())
    assert_batches_equal(batches, expected)


@kinds
@workers
def test_of_a_subclass_only_standardize_is_called(kind, workers, tree):
    np.random.seed(7)
    generator = Own(**TRANSFORMS, **workers, rescale=0.5, augment=[fastaug.Posterize(1)])
    with flow_of(generator, kind, tree, augment=False, shuffle=False) as flow:
        batches = take(flow, 6)
    assert same_stream(np.random.get_state(), stream_after(0))
    plain = ImageDataGenerator(rescale=0.5)
    with flow_of(plain, kind, tree, shuffle=False) as flow:
        expected = [(images + 5, labels) for images, labels in take(flow, 6)]
    assert_batches_equal(batches, expected)


def test_of_keras_s_own_generator():
    generator = keras_image.ImageDataGenerator(**TRANSFORMS, rescale=0.5)
    flow = fastaug.NumpyArrayIterator(IMAGES, None, generator, batch_size=5, augment=False)
    np.random.seed(7)
    np.testing.assert_array_equal(next(flow), IMAGES[:5] * np.float32(0.5))
    assert same_stream(np.random.get_state(), stream_after(0))


def test_of_no_generator():
    flow = fastaug.NumpyArrayIterator(IMAGES, None, None, batch_size=5, augment=False)
    np.testing.assert_array_equal(next(flow), IMAGES[:5])


@kinds
def test_statistics_that_come_later(kind, tree):
    generator = ImageDataGenerator(
        **TRANSFORMS, featurewise_center=True, featurewise_std_normalization=True, workers=2
    )
    arguments = {"augment": False, "shuffle": False}
    with flow_of(generator, kind, tree, **arguments) as flow:
        with pytest.warns(UserWarning, match="hasn't been fit"):
            before, _ = next(flow)
        generator.fit(flow)
        after, _ = flow[0]
    assert generator.mean is not None
    expected = (before - generator.mean) / (generator.std + 1e-6)
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-5)


def test_fit_reads_the_images_of_a_flow_that_does_not_augment():
    generator = ImageDataGenerator(**TRANSFORMS, featurewise_center=True)
    generator.fit(generator.flow(IMAGES, augment=False))
    np.testing.assert_allclose(generator.mean.ravel(), IMAGES.mean((0, 1, 2)), rtol=1e-6)


def test_settings_that_are_changed_later():
    generator = ImageDataGenerator(**TRANSFORMS)
    with generator.flow(IMAGES, augment=False, shuffle=False, batch_size=4) as flow:
        np.testing.assert_array_equal(next(flow), IMAGES[:4])
        generator.rotation_range, generator.rescale = 90, 0.5
        np.testing.assert_array_equal(next(flow), IMAGES[4:8] * np.float32(0.5))
        flow.augment = True
        assert not np.array_equal(next(flow), IMAGES[8:12] * np.float32(0.5))


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda flow: pickle.loads(pickle.dumps(flow)),
}


@kinds
@pytest.mark.parametrize("way", WAYS)
def test_copies(kind, way, tree):
    generator = ImageDataGenerator(**TRANSFORMS)
    np.random.seed(7)
    with flow_of(generator, kind, tree, augment=False, seed=4) as flow:
        next(flow)
        with WAYS[way](flow) as duplicate:
            assert_batches_equal(take(duplicate, 6), take(flow, 6))
    with flow_of(ImageDataGenerator(), kind, tree, seed=4) as plain:
        next(plain)
        assert_batches_equal([next(WAYS[way](flow))], take(plain, 7)[6:])


@pytest.mark.parametrize("decoder", ["threads", "processes"])
@pytest.mark.parametrize("crops", [None, [fastaug.RandomResizedCrop((9, 12))]])
def test_images_in_place_of_those_that_cannot_be_read(decoder, crops, tmp_path):
    root = trees.plain_tree(tmp_path / "t", (4, 4))
    for name in ("ants", "bees"):
        trees.text(sorted((root / name).glob("*.jpg"))[1])
    generator = ImageDataGenerator(**TRANSFORMS, workers=2, augment=crops)
    arguments = {**SIZE, "batch_size": 8, "shuffle": False, "decoder": decoder, "class_mode": None}
    filled = {"interpolation": "bilinear"} if crops else {}
    np.random.seed(7)
    with (
        warnings.catch_warnings(),
        generator.flow_from_directory(
            str(root), on_error="replace", augment=False, **arguments
        ) as flow,
        ImageDataGenerator().flow_from_directory(
            str(root), on_error="skip", **arguments | filled
        ) as plain,
    ):
        warnings.simplefilter("ignore")
        images = next(flow)
        assert same_stream(np.random.get_state(), stream_after(0))
        good = next(plain)
    assert len(images) == 8
    assert len(good) == 6
    assert {image.tobytes() for image in images} == {image.tobytes() for image in good}


# ---------------------------------------------------------------------------- crops


@workers
@pytest.mark.parametrize("padding", [None, 4, (0, 1, 2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_crop_takes_the_middle(workers, padding, dtype):
    crop = fastaug.RandomCrop((7, 6), padding=padding)
    generator = ImageDataGenerator(**TRANSFORMS, **workers, augment=[crop], dtype=dtype)
    with generator.flow(IMAGES, augment=False, shuffle=False, batch_size=5) as flow:
        np.testing.assert_array_equal(next(flow), IMAGES[:5, 2:9, 4:10])


def test_a_crop_of_a_small_image_has_it_in_its_middle():
    crop = fastaug.RandomCrop(15, pad_if_needed=True, fill=9)
    generator = ImageDataGenerator(augment=[crop, fastaug.Posterize(1)])
    images = next(generator.flow(IMAGES, augment=False, shuffle=False))
    expected = np.pad(IMAGES, ((0, 0), (2, 2), (0, 1), (0, 0)), constant_values=9)
    np.testing.assert_array_equal(images, expected)


@workers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_resized_crop_resizes_the_whole_image(workers, dtype):
    crop = fastaug.RandomResizedCrop((7, 6), interpolation="bicubic")
    generator = ImageDataGenerator(**TRANSFORMS, **workers, augment=[crop], dtype=dtype)
    with generator.flow(IMAGES, augment=False, shuffle=False, batch_size=5) as flow:
        images = next(flow)
    whole = [Image.fromarray(image).resize((6, 7), Image.Resampling.BICUBIC) for image in IMAGES]
    np.testing.assert_array_equal(images, np.stack(whole)[:5])


@workers
@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("settings", [{}, {"preprocessing_function": noisy}, {"dtype": "float64"}])
def test_a_resized_crop_of_files(workers, kind, settings, tree):
    """The whole file is resized, with the crop's filter."""
    crop = fastaug.RandomResizedCrop(SIZE["target_size"], interpolation="lanczos")
    generator = ImageDataGenerator(**TRANSFORMS, **workers, **settings, augment=[crop])
    with flow_of(generator, kind, tree, augment=False, seed=1) as flow:
        batches = take(flow, 6)
    assert type(generator.augment[0]) is fastaug.RandomResizedCrop
    plain = ImageDataGenerator(workers=0, dtype=generator.dtype)
    with flow_of(plain, kind, tree, seed=1, interpolation="lanczos") as flow:
        expected = take(flow, 6)
    if settings.get("preprocessing_function"):
        for (images, _), (given, _) in zip(batches, expected, strict=True):
            added = images - given
            assert np.ptp(added, axis=(1, 2, 3)).max() < 1e-4
            assert added.min() >= 0 and added.max() <= 1
    else:
        assert_batches_equal(batches, expected)


# ---------------------------------------------------------------------------- mixes, masks

MIXES = [fastaug.MixUp(0.4), fastaug.CutMix(1.0, num_classes=4)]


@kinds
@pytest.mark.parametrize("mix", MIXES, ids=["MixUp", "CutMix"])
def test_images_are_not_mixed_and_labels_have_the_form_of_mixed_ones(kind, mix, tree):
    mode = {} if kind == "array" else {"class_mode": "sparse"}
    generator = ImageDataGenerator(mix=mix, validation_split=0.3)
    np.random.seed(7)
    with flow_of(generator, kind, tree, augment=False, shuffle=False, **mode) as flow:
        assert same_stream(np.random.get_state(), stream_after(0))
        batches = take(flow, 5)
    with flow_of(ImageDataGenerator(), kind, tree, shuffle=False, **mode) as flow:
        expected = take(flow, 5)
    classes = mix.num_classes or (3 if kind in ("threads", "processes") else 2)
    one_hot = [(images, np.eye(classes, dtype="float32")[labels.astype(int)])
               for images, labels in expected]  # fmt: skip
    assert_batches_equal(batches, one_hot)
    training, validation = flow_of(generator, kind, tree, subset="both", **mode)
    with training, validation:
        assert next(training)[1].shape == next(validation)[1].shape == (5, classes)


def test_weights_and_what_has_no_labels_are_as_without_a_mix(tree):
    generator = ImageDataGenerator(mix=fastaug.MixUp(0.4, num_classes=2, label_smoothing=0.5))
    weights = np.arange(N) / 2
    arguments = {"shuffle": False, "augment": False, "batch_size": 4}
    images, labels, seen = next(generator.flow(IMAGES, LABELS, sample_weight=weights, **arguments))
    np.testing.assert_array_equal(images, IMAGES[:4])
    np.testing.assert_array_equal(labels, [[0.75, 0.25], [0.25, 0.75]] * 2)
    np.testing.assert_array_equal(seen, weights[:4])
    np.testing.assert_array_equal(next(generator.flow(IMAGES, **arguments)), IMAGES[:4])
    images, extra = next(generator.flow((IMAGES, LABELS), **arguments))
    np.testing.assert_array_equal(extra, LABELS[:4])
    with flow_of(generator, "threads", tree, augment=False, class_mode=None) as flow:
        assert next(flow).shape == (5, 9, 12, 3)


@workers
@pytest.mark.parametrize(
    "generator", [ImageDataGenerator, Own, keras_image.ImageDataGenerator], ids=["", "own", "keras"]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_stay_where_they_are(workers, generator, dtype):
    settings = workers if generator is not keras_image.ImageDataGenerator else {}
    masks = fastaug.Masks(IMAGES[..., :1])
    with fastaug.NumpyArrayIterator(
        IMAGES, masks, generator(**TRANSFORMS, **settings, dtype=dtype), 5, augment=False,
        dtype=dtype,
    ) as flow:  # fmt: skip
        _, seen = next(flow)
    np.testing.assert_array_equal(seen, IMAGES[:5, ..., :1])


def test_masks_follow_the_crop():
    generator = ImageDataGenerator(**TRANSFORMS, augment=[fastaug.RandomCrop((7, 6))])
    masks = fastaug.Masks(IMAGES[..., :1])
    images, seen = next(generator.flow(IMAGES, masks, augment=False, shuffle=False))
    np.testing.assert_array_equal(images, IMAGES[:, 2:9, 4:10])
    np.testing.assert_array_equal(seen, IMAGES[:, 2:9, 4:10, :1])


# ---------------------------------------------------------------------------- both


@kinds
@pytest.mark.parametrize("seed", [None, 5])
def test_both(kind, seed, tree):
    settings = {"rescale": 0.5, "validation_split": 0.3}
    generator = ImageDataGenerator(**TRANSFORMS, **settings)
    training, validation = flow_of(generator, kind, tree, subset="both", seed=seed)
    assert (training.shuffle, training.augment) == (True, True)
    assert (validation.shuffle, validation.augment) == (False, False)
    plain = ImageDataGenerator(**settings)
    with training, validation:
        np.random.seed(7)
        batches = take(training, 4)
        np.random.seed(7)
        with flow_of(generator, kind, tree, subset="training", seed=seed) as flow:
            assert_batches_equal(batches, take(flow, 4))
        batches = take(validation, 3)
    with flow_of(plain, kind, tree, subset="validation", seed=seed, shuffle=False) as flow:
        assert_batches_equal(batches, take(flow, 3))
    assert training.n + validation.n == N


def test_both_without_augmentation_or_order():
    generator = ImageDataGenerator(**TRANSFORMS, validation_split=0.2)
    training, _ = generator.flow(IMAGES, subset="both", augment=False, shuffle=False, batch_size=4)
    np.testing.assert_array_equal(next(training), IMAGES[4:8])


def test_the_iterators_themselves_are_of_one_subset(tree):
    generator = ImageDataGenerator(validation_split=0.2)
    text = 'Invalid subset name: both; ?expected "training" or "validation"'
    with pytest.raises(ValueError, match=text):
        fastaug.NumpyArrayIterator(IMAGES, None, generator, subset="both")
    with pytest.raises(ValueError, match=text):
        fastaug.DirectoryIterator(str(tree), generator, subset="both")


def test_ops_are_not_given_to_a_flow(tree):
    generator = ImageDataGenerator()
    text = r"True or False; ops are given to the generator. Received: augment=\[Posterize"
    for kind in KINDS:
        with pytest.raises(TypeError, match=text):
            flow_of(generator, kind, tree, augment=[fastaug.Posterize(4)])


# ---------------------------------------------------------------------------- what is said


def said(make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    assert all(warning.category is UsageWarning for warning in caught)
    return [str(warning.message) for warning in caught]


RANDOM = [
    *({name: value} for name, value in TRANSFORMS.items()),
    {"augment": fastaug.Posterize(4)},
    {"mix": fastaug.MixUp(0.2)},
]


@kinds
@pytest.mark.parametrize("settings", RANDOM, ids=lambda settings: next(iter(settings)))
def test_a_validation_set_that_is_augmented(kind, settings, tree):
    generator = ImageDataGenerator(**settings, validation_split=0.2)

    def make(**flow):
        with flow_of(generator, kind, tree, **flow) as flow:
            take(flow, 3)

    (text,) = said(lambda: make(subset="validation"))
    assert 'subset="validation"' in text
    assert "augment=False" in text and 'subset="both"' in text
    assert said(lambda: make(subset="validation", augment=False)) == []
    assert said(lambda: make(subset="training")) == []
    assert said(lambda: make()) == []
    assert said(lambda: flow_of(generator, kind, tree, subset="both")) == []


@kinds
def test_a_validation_set_without_anything_random(kind, tree):
    generator = ImageDataGenerator(validation_split=0.2, rescale=0.5, zoom_range=[1, 1])
    assert said(lambda: flow_of(generator, kind, tree, subset="validation")) == []


def test_a_generator_of_another_library_is_not_looked_into():
    generator = keras_image.ImageDataGenerator(**TRANSFORMS, validation_split=0.2)
    made = []
    iterator = fastaug.NumpyArrayIterator
    make = lambda: made.append(iterator(IMAGES, None, generator, subset="validation"))  # noqa: E731
    assert said(make) == []
    assert len(made[0]) == 1
