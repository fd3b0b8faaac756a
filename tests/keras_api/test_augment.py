"""`augment=`: ops in flows of arrays and files, beside the same ops done to Keras's batches."""

import contextlib
import io
import pickle

import keras
import numpy as np
import pytest
from PIL import Image

import fastaug
from fastaug.keras_api import batches
from fastaug.ops.base import Draws

SETTINGS = {"rotation_range": 20, "width_shift_range": 0.1, "horizontal_flip": True}
AUGMENT = [fastaug.Posterize(3, p=0.5), fastaug.Solarize(100, p=0.5)]
IMAGES = np.random.default_rng(0).integers(0, 256, (37, 32, 33, 3), dtype=np.uint8)


def take(iterator, count):
    """Some batches; the images in one array."""
    with iterator:
        return np.concatenate([next(iterator) for _ in range(count)])


def flow(x=IMAGES, batch_size=8, seed=3, shuffle=False, augment=AUGMENT, **settings):
    generator = fastaug.ImageDataGenerator(**SETTINGS | settings, augment=augment)
    return generator.flow(x, batch_size=batch_size, seed=seed, shuffle=shuffle)


@pytest.fixture
def made(monkeypatch):
    """Counts the batches that the core makes, and those that are made image by image."""
    counts = {"by the core": 0, "one by one": 0}
    finish = batches.BatchMaker.finish

    def counted(self, batch, *arguments):
        counts["one by one" if batch.augmentation is None else "by the core"] += 1
        return finish(self, batch, *arguments)

    monkeypatch.setattr(batches.BatchMaker, "finish", counted)
    return counts


def by_hand(plain, seed, epoch, index, augment=AUGMENT):
    """The ops, done alone to finished images of bytes."""
    out, names = plain.copy(), {}
    for op in augment:
        again = names[op.name] = names.get(op.name, -1) + 1
        name = f"{op.name}#{again}" if again else op.name
        for image, position in zip(out, index, strict=True):
            key = np.array([seed, _key(f"{name}/p")], np.uint64)
            stream = np.random.Philox(key=key, counter=[0, 0, epoch, int(position)])
            if np.random.Generator(stream).random() < op.p:
                bits = op.bits if isinstance(op, fastaug.Posterize) else None
                if bits is not None:
                    image[...] &= 256 - (1 << (8 - bits))
                else:
                    image[...] = np.where(image >= op.threshold, 255 - image, image)
    return out


def _key(name):
    import hashlib

    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_ops_come_after_keras_s_transforms(made, dtype, data_format):
    x = IMAGES if data_format == "channels_last" else IMAGES.transpose(0, 3, 1, 2)
    settings = {"data_format": data_format}
    plain = take(flow(x, augment=None, dtype="uint8", **settings), 10)
    batch = take(flow(x, dtype=dtype, **settings), 10)
    assert batch.dtype == dtype
    epochs = [(0, range(37)), (1, range(37))]
    expected = np.concatenate(
        [by_hand(plain[37 * epoch : 37 * epoch + 37], 3, epoch, index) for epoch, index in epochs]
    )
    np.testing.assert_array_equal(batch, expected)
    assert made == {"by the core": 20, "one by one": 0}
    changed = (batch != plain).any(axis=(1, 2, 3))
    assert 0.5 < changed.mean() < 0.9  # three of four


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("augment", [fastaug.Solarize(256), fastaug.RandomCrop((32, 33))], ids=repr)
def test_images_that_are_only_flipped(augment, dtype):
    """By Keras's draws, each way."""
    settings = {"horizontal_flip": True, "vertical_flip": True}
    x = IMAGES.astype(dtype)
    generator = fastaug.ImageDataGenerator(**settings, augment=augment)
    batch = take(generator.flow(x, batch_size=37, seed=3, shuffle=False), 1)
    np.random.seed(3)
    flips = [generator.get_random_transform((32, 33, 3)) for _ in x]
    for image, flip, out in zip(x, flips, batch, strict=True):
        rows = slice(None, None, -1 if flip["flip_vertical"] else 1)
        columns = slice(None, None, -1 if flip["flip_horizontal"] else 1)
        np.testing.assert_array_equal(out, image[rows, columns])
    assert len({(flip["flip_vertical"], flip["flip_horizontal"]) for flip in flips}) == 4


def test_standardization_comes_after_them():
    bytes_ = take(flow(dtype="uint8"), 5)
    scaled = take(flow(rescale=1 / 255), 5)
    np.testing.assert_allclose(scaled, bytes_ / np.float32(255), rtol=1e-6)
    called = take(flow(preprocessing_function=lambda x: x[..., ::-1] - 1, rescale=2), 5)
    np.testing.assert_array_equal(called, (bytes_.astype("float32")[..., ::-1] - 1) * 2)


def test_a_cubic_warp_is_rounded_before_them():
    plain = take(flow(augment=None, interpolation_order=3), 5)
    rounded = np.clip(np.floor(plain + np.float32(0.5)), 0, 255).astype("uint8")
    expected = by_hand(rounded, 3, 0, range(37))
    np.testing.assert_array_equal(take(flow(interpolation_order=3), 5), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"workers": 0},
        {"workers": 1},
        {"workers": 7},
        {"workers": 3, "prefetch": 0},
        {"prefetch": 9},
    ],
)
def test_workers_and_prefetch_change_nothing(settings):
    np.testing.assert_array_equal(take(flow(**settings), 10), take(flow(), 10))


def test_neither_does_the_cut_of_batches():
    x, augment = IMAGES, [*AUGMENT, fastaug.Posterize(1, p=0.3)]
    for batch_size in (1, 5, 37):
        generator = fastaug.ImageDataGenerator(augment=augment, dtype="uint8")
        iterator = generator.flow(x, batch_size=batch_size, seed=3, shuffle=False)
        images = take(iterator, 2 * len(iterator))
        np.testing.assert_array_equal(images[:37], by_hand(x, 3, 0, range(37), augment))
        np.testing.assert_array_equal(images[37:], by_hand(x, 3, 1, range(37), augment))


def test_nor_the_order_of_asking():
    generator = fastaug.ImageDataGenerator(augment=AUGMENT, dtype="uint8")
    with generator.flow(IMAGES, batch_size=5, seed=3, shuffle=True) as iterator:
        found = {}
        for item in (3, 0, 7, 1):
            batch, index = iterator[item], iterator.index_array[5 * item : 5 * item + 5]
            found |= dict(zip(index.tolist(), batch, strict=True))
    expected = by_hand(IMAGES, 3, 0, range(37))
    for position, image in found.items():
        np.testing.assert_array_equal(image, expected[position])


def test_another_op_changes_no_other_s_numbers():
    """The streams belong to the ops' names."""
    solarized = take(flow(augment=[fastaug.Solarize(0, p=0.5)], dtype="uint8"), 5)
    both = [fastaug.Posterize(8), fastaug.Solarize(0, p=0.5)]
    np.testing.assert_array_equal(take(flow(augment=both, dtype="uint8"), 5), solarized)


def test_keras_s_draws_stay(made):
    np.random.seed(5)
    plain = take(flow(augment=None, seed=None, shuffle=True, dtype="uint8"), 10)
    np.random.seed(5)
    np.random.randint(1 << 62, dtype=np.int64)  # the key of the ops
    state = np.random.get_state()[1].copy()
    np.random.seed(5)
    iterator = flow(augment=[fastaug.Solarize(256)], seed=None, shuffle=True, dtype="uint8")
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    other = take(iterator, 10)
    np.random.seed(5)
    np.random.randint(1 << 62, dtype=np.int64)
    moved = take(flow(augment=None, seed=None, shuffle=True, dtype="uint8"), 10)
    np.testing.assert_array_equal(other, moved)
    assert not np.array_equal(plain, moved)


def test_without_a_seed_the_key_comes_from_numpy():
    def batch(seed):
        np.random.seed(seed)
        return take(flow(seed=None), 5)

    np.testing.assert_array_equal(batch(1), batch(1))
    assert not np.array_equal(batch(1), batch(2))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("setting", ["augment", "mix"])
def test_nor_a_key_of_what_is_set_later(setting, workers):
    """One that is missing is drawn when it is first needed."""

    def batches(seed):
        np.random.seed(seed)
        generator = fastaug.ImageDataGenerator(workers=workers)
        with generator.flow(IMAGES, np.arange(37), batch_size=8, shuffle=False) as iterator:
            plain = next(iterator)[0]
            value = (fastaug.ColorJitter(0.9),) if setting == "augment" else fastaug.MixUp()
            setattr(generator, setting, value)
            return plain, *[next(iterator)[0] for _ in range(5)]

    first, again, other = batches(1), batches(1), batches(2)
    for k in range(6):
        np.testing.assert_array_equal(first[k], again[k])
        assert np.array_equal(first[k], other[k]) == (k == 0)


class OwnStandardize(fastaug.ImageDataGenerator):
    def standardize(self, x):
        return x


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_image_by_image_they_are_the_same(made, data_format):
    x = IMAGES if data_format == "channels_last" else IMAGES.transpose(0, 3, 1, 2)
    generator = OwnStandardize(
        **SETTINGS, augment=[fastaug.RandomCrop(20), *AUGMENT], data_format=data_format
    )
    own = take(generator.flow(x, batch_size=8, seed=3, shuffle=False), 10)
    assert made == {"by the core": 0, "one by one": 10}
    augment = [fastaug.RandomCrop(20), *AUGMENT]
    np.testing.assert_array_equal(own, take(flow(x, augment=augment, data_format=data_format), 10))


def test_a_function_that_draws(made):
    """The images after its first draw are made one by one."""

    def noisy(x):
        return x + np.random.rand()

    function = {"preprocessing_function": noisy}
    draws = {"augment": [fastaug.Solarize(0, p=0.5)]}
    images = take(flow(**function, **draws), 5)
    plain = take(flow(augment=None, **function), 5)
    inverted = (255 - np.floor(plain)).astype(int), np.floor(images).astype(int)
    is_off = (np.abs(images - plain) < 1.01).all(axis=(1, 2, 3))
    is_on = (np.abs(inverted[0] - inverted[1]) <= 2).all(axis=(1, 2, 3))
    assert (is_off ^ is_on).all()
    key = [fastaug.Solarize(0, p=0.5)]
    expected = by_hand(np.zeros((37, 1, 1, 1), np.uint8), 3, 0, range(37), key)[:, 0, 0, 0] == 255
    np.testing.assert_array_equal(is_on, expected)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_other_types(dtype):
    ours = take(flow(dtype=dtype), 5)
    plain = take(flow(augment=None, dtype=dtype), 5).astype("float64")
    rounded = np.clip(np.floor(plain + 0.5), 0, 255).astype("uint8")
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, by_hand(rounded, 3, 0, range(37)))


def test_a_crop_comes_first():
    """Keras's transforms, and what they are drawn by, see the images that it makes."""
    augment = [*AUGMENT, fastaug.RandomCrop((20, 24))]
    cropped = take(flow(augment=[fastaug.RandomCrop((20, 24))], dtype="uint8"), 5)
    assert cropped.shape == (37, 20, 24, 3)
    parts = np.stack([_part(image, k) for k, image in enumerate(IMAGES)])
    np.testing.assert_array_equal(cropped, take(flow(parts, augment=None, dtype="uint8"), 5))
    np.testing.assert_array_equal(
        take(flow(augment=augment, dtype="uint8"), 5), by_hand(cropped, 3, 0, range(37))
    )


def _part(image, position, size=(20, 24)):
    key = np.array([3, _key("RandomCrop")], np.uint64)
    stream = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, position]))
    top, left = (int(stream.random() * (n - m + 1)) for n, m in zip((32, 33), size, strict=True))
    return image[top : top + size[0], left : left + size[1]]


def test_settings_may_change_between_batches():
    generator = fastaug.ImageDataGenerator(augment=fastaug.Solarize(0), dtype="uint8")
    with generator.flow(IMAGES, batch_size=8, seed=3, shuffle=False) as iterator:
        np.testing.assert_array_equal(next(iterator), 255 - IMAGES[:8])
        generator.augment = (fastaug.Posterize(0),)
        assert not next(iterator).any()
        generator.augment = None
        np.testing.assert_array_equal(next(iterator), IMAGES[16:24])
        generator.augment = (fastaug.RandomCrop(8),)
        assert next(iterator).shape == (8, 8, 8, 3)


def test_copies_have_them():
    generator = fastaug.ImageDataGenerator(augment=AUGMENT)
    assert pickle.loads(pickle.dumps(generator)).augment == tuple(AUGMENT)
    assert "augment=(Posterize(bits=3, p=0.5), Solarize(" in repr(generator)
    assert "augment" not in repr(fastaug.ImageDataGenerator(augment=[]))
    iterator = flow(seed=None)
    first = next(iterator)
    copy = pickle.loads(pickle.dumps(iterator))
    assert (first == take(iterator, 1)).mean() < 1
    assert copy._own_seed == iterator._own_seed
    copy.close()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"augment": 3}, TypeError, "Received: 3"),
        ({"augment": [fastaug.Posterize(4), None]}, TypeError, "None"),
        ({"augment": fastaug.Posterize}, TypeError, "Posterize"),
        (
            {"augment": [fastaug.RandomCrop(8), fastaug.RandomCrop(9)]},
            ValueError,
            "one op may crop",
        ),
    ],
)
def test_wrong_arguments(arguments, error, text):
    with pytest.raises(error, match=text):
        fastaug.ImageDataGenerator(**arguments)


def test_no_warp_of_opencv_s():
    pytest.importorskip("cv2")
    with pytest.raises(ValueError, match="warp"):
        fastaug.ImageDataGenerator(augment=AUGMENT, warp="opencv")


@pytest.mark.parametrize(
    ("x", "augment", "error", "text"),
    [
        (IMAGES.astype("float32"), AUGMENT, TypeError, "float32"),
        (IMAGES[..., :2], AUGMENT, ValueError, "one channel or three"),
        (IMAGES, fastaug.RandomCrop(40), ValueError, r"\(32, 33\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*expected either 1, 3")
def test_images_that_an_op_does_not_know(x, augment, error, text):
    generator = fastaug.ImageDataGenerator(augment=augment)
    with pytest.raises(error, match=text):
        generator.flow(x)


# ---------------------------------------------------------------------------- files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of many sizes, kinds and modes."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for k in range(14):
        height, width = rng.integers(20, 90, 2)
        pixels = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
        image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
        name = f"{k:02}"
        if k % 3 == 1:
            name, image = name + ".png", image.convert("RGBA")
        elif k % 3 == 2:
            name, image = name + ".png", image.convert("L")
        else:
            name += ".jpg"
        path = root / "ab"[k % 2] / name
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    return root


def files(folder, decoder, augment, generator=fastaug.ImageDataGenerator, settings=None, **given):
    arguments = {"target_size": (24, 20), "batch_size": 5, "seed": 3, "class_mode": None, **given}
    with contextlib.redirect_stdout(io.StringIO()):
        return generator(augment=augment, **settings or {}).flow_from_directory(
            folder, decoder=decoder, **arguments
        )


@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("interpolation", ["bilinear", "lanczos"])
def test_a_resized_crop_of_files_is_one_of_the_whole_picture(folder, interpolation, color_mode):
    crop = fastaug.RandomResizedCrop((24, 20), interpolation=interpolation)
    mode = {"rgb": "RGB", "rgba": "RGBA", "grayscale": "L"}[color_mode]
    iterator = files(folder, "threads", crop, shuffle=False, color_mode=color_mode)
    images = take(iterator, 6)
    for k, image in enumerate(images):
        epoch, position = divmod(k, 14)
        picture = Image.open(iterator.filepaths[position]).convert(mode)
        box = crop.bind(3, epoch, position)(picture.height, picture.width)
        filter_ = getattr(Image.Resampling, interpolation.upper())
        expected = np.asarray(picture.crop(box).resize((20, 24), filter_), "float32")
        np.testing.assert_allclose(image, expected.reshape(image.shape), atol=1)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_whoever_reads_them(folder, data_format):
    crop = [fastaug.RandomResizedCrop((24, 20)), *AUGMENT]
    settings = {"data_format": data_format}

    def images(decoder, count=6, **given):
        return take(files(folder, decoder, crop, **{"settings": settings, **given}), count)

    expected = images("threads")
    np.testing.assert_array_equal(images("processes"), expected)
    np.testing.assert_array_equal(images("threads", settings=settings | {"workers": 0}), expected)
    np.testing.assert_array_equal(
        images("threads", settings=settings | {"dtype": "float64"}), expected
    )
    np.testing.assert_array_equal(images("threads", generator=OwnStandardize), expected)
    np.testing.assert_array_equal(images("processes", 1, batch_size=14), expected[:14])


def test_a_file_that_is_replaced_is_cropped_too(tmp_path):
    (tmp_path / "a").mkdir()
    for k in range(4):
        Image.new("RGB", (40, 60), (50 + k, 0, 0)).save(tmp_path / "a" / f"{k}.png")
    (tmp_path / "a" / "2.png").write_bytes(b"nothing")
    augment = [fastaug.RandomResizedCrop(16), fastaug.Solarize(0)]
    iterator = files(
        tmp_path, "threads", augment, target_size=(16, 16), on_error="replace", batch_size=4
    )
    with pytest.warns(UserWarning, match=r"2\.png"):
        images = take(iterator, 1)
    assert images.shape == (4, 16, 16, 3)
    assert set(images[..., 0].ravel().tolist()) <= {205, 204, 202}


class OwnCrop(fastaug.RandomResizedCrop):
    """A crop of the user's."""


def test_who_reads_the_files_does_not_have_a_crop_of_the_user_s(folder):
    with pytest.raises(TypeError, match="OwnCrop"):
        files(folder, "threads", OwnCrop((24, 20)))


def test_the_size_of_the_crop_is_the_target_s(folder):
    with pytest.raises(ValueError, match=r"RandomResizedCrop.*target_size=\(24, 20\)"):
        files(folder, "threads", fastaug.RandomResizedCrop(24))


def test_another_crop_between_batches(folder):
    iterator = files(folder, "processes", fastaug.RandomResizedCrop((24, 20)), shuffle=False)
    with iterator:
        next(iterator)
        iterator.image_data_generator.augment = None
        plain = files(folder, "processes", None, shuffle=False)
        with plain:
            next(plain)
            np.testing.assert_array_equal(next(iterator), next(plain))


def test_a_random_crop_of_files_is_one_of_the_resized_picture(folder):
    plain = take(files(folder, "threads", None, shuffle=False), 3)
    crop = fastaug.RandomCrop((20, 18))
    cropped = take(files(folder, "threads", crop, shuffle=False), 3)
    for k, image in enumerate(cropped):
        key = np.array([3, _key("RandomCrop")], np.uint64)
        stream = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, k]))
        top, left = int(stream.random() * 5), int(stream.random() * 3)
        np.testing.assert_array_equal(image, plain[k, top : top + 20, left : left + 18])


def test_a_fit_with_augment():
    """Statistics come of the images without the ops; a model trains on batches with them."""
    generator = fastaug.ImageDataGenerator(featurewise_center=True, augment=AUGMENT)
    plain = fastaug.ImageDataGenerator(featurewise_center=True)
    generator.fit(IMAGES)
    plain.fit(IMAGES)
    np.testing.assert_array_equal(generator.mean, plain.mean)
    generator.fit(IMAGES, augment=True, seed=1)
    plain.fit(IMAGES, augment=True, seed=1)
    np.testing.assert_array_equal(generator.mean, plain.mean)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(1e-9), "mse")
    with generator.flow(IMAGES, np.zeros((37, 2)), batch_size=8, seed=1) as flow:
        assert np.isfinite(model.fit(flow, verbose=0).history["loss"]).all()


# ---------------------------------------------------------------------------- functions


def noise(image, rng):
    """A function of the user's, that draws."""
    return image // 2 + rng.integers(0, 9, image.shape, dtype=image.dtype)


def by_function(images, index, seed=3, epoch=0, name="Call"):
    """What `noise` makes of images."""
    out = images.copy()
    for k, position in enumerate(index):
        key = np.array([seed, _key(name)], np.uint64)
        stream = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, epoch, position]))
        own = np.array([int(stream.random() * 2**53) for _ in range(2)], np.uint64)
        out[k] = noise(images[k], np.random.Generator(np.random.Philox(key=own)))
    return out


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_functions_among_ops(dtype, data_format):
    x = IMAGES if data_format == "channels_last" else IMAGES.transpose(0, 3, 1, 2)
    augment = [AUGMENT[0], noise, fastaug.RandomCrop(20), AUGMENT[1], noise]
    settings = {"data_format": data_format}
    cropped = take(flow(x, augment=augment[2:3], dtype="uint8", **settings), 5)
    images = by_hand(cropped, 3, 0, range(37), AUGMENT[:1])
    images = by_function(images, range(37))
    images = by_hand(images, 3, 0, range(37), AUGMENT[1:])
    images = by_function(images, range(37), name="Call#1")
    for workers in (0, 3):
        batch = take(flow(x, augment=augment, dtype=dtype, workers=workers, **settings), 5)
        if dtype == "float64":  # Keras's own rounding is another before the ops
            assert (batch != images).mean() < 0.01
        else:
            np.testing.assert_array_equal(batch, images)


def test_functions_and_files(folder):
    plain = take(files(folder, "threads", None, shuffle=False), 3)
    expected = by_function(plain.astype("uint8"), range(14))
    for decoder in ("threads", "processes"):
        images = take(files(folder, decoder, [noise], shuffle=False), 3)
        np.testing.assert_array_equal(images, expected)
    scaled = take(files(folder, "threads", noise, shuffle=False, settings={"rescale": 2}), 3)
    np.testing.assert_array_equal(scaled, 2 * expected.astype("float32"))


def test_functions_of_floats():
    images = take(flow(IMAGES / np.float32(300), augment=[lambda x, rng: -x], workers=2), 5)
    plain = take(flow(IMAGES / np.float32(300), augment=None), 5)
    np.testing.assert_array_equal(images, -plain)


def test_results_of_another_type_are_rounded():
    images = take(flow(augment=[lambda x, rng: x * 1.3 - 20], dtype="uint8"), 5)
    plain = take(flow(augment=None, dtype="uint8"), 5).astype("float64")
    np.testing.assert_array_equal(images, np.clip(np.floor(plain * 1.3 - 19.5), 0, 255))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda x, rng: None, TypeError, "lambda.*returned None"),
        (lambda x, rng: x[1:], ValueError, r"lambda.*\(31, 33, 3\).*\(32, 33, 3\)"),
        (lambda x, rng: 1 / 0, ZeroDivisionError, "division"),
    ],
)
def test_functions_that_fail(workers, function, error, text):
    iterator = flow(augment=[function], workers=workers)
    with iterator, pytest.raises(error, match=text):
        next(iterator)


@pytest.mark.parametrize("decoder", ["threads", "processes"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_grey_files_are_bytes_for_ops(folder, decoder, dtype):
    """Though they are decoded as floats, as they may have 16 bits."""
    settings = {"rotation_range": 20, "dtype": dtype}
    given = {"color_mode": "grayscale", "shuffle": False, "settings": settings}
    crop = fastaug.RandomCrop((20, 18))
    plain = take(files(folder, decoder, [crop], **given), 3)
    images = take(files(folder, decoder, [crop, *AUGMENT], **given), 3)
    rounded = np.clip(np.floor(plain + 0.5), 0, 255).astype("uint8")
    np.testing.assert_array_equal(images, by_hand(rounded, 3, 0, range(14)))
    assert images.shape == (14, 20, 18, 1)
    named = files(folder, decoder, "trivialaugment", **given)
    assert take(named, 3).shape == (14, 24, 20, 1)


def test_an_op_gets_the_size_that_a_crop_makes():
    crops = [fastaug.Rot90(), fastaug.RandomCrop(20)]
    assert take(flow(augment=crops, dtype="uint8"), 1).shape == (8, 20, 20, 3)
    with pytest.raises(ValueError, match="square"):
        flow(augment=fastaug.Rot90())


def test_ops_draw_for_the_size_that_a_crop_makes():
    """Where something is erased depends on the size of the image."""
    erasing = fastaug.Erasing(p=1, value=255)
    crop = fastaug.RandomCrop((9, 30))
    x = np.zeros((37, 32, 33, 3), np.uint8)
    draws = Draws(3, 0, np.arange(37), "Erasing", (9, 30), 3)
    boxes = erasing.boxes(draws.uniform(23), 9, 30)
    generator = fastaug.ImageDataGenerator(augment=[crop, erasing], dtype="uint8")
    images = take(generator.flow(x, batch_size=37, seed=3, shuffle=False), 1)
    for image, (top, left, height, width) in zip(images, boxes, strict=True):
        expected = np.zeros((9, 30), bool)
        if not np.isnan(top):
            expected[int(top) : int(top + height), int(left) : int(left + width)] = True
        np.testing.assert_array_equal(image[..., 0] == 255, expected)


def test_another_crop_of_the_same_size_between_batches(folder):
    crops = [fastaug.RandomResizedCrop((24, 20), scale=scale) for scale in ((0.1, 0.2), (0.9, 1))]
    with files(folder, "threads", crops[0], shuffle=False, batch_size=14) as iterator:
        next(iterator)
        iterator.image_data_generator.augment = (crops[1],)
        second = next(iterator)
    with files(folder, "threads", crops[1], shuffle=False, batch_size=14) as iterator:
        next(iterator)
        np.testing.assert_array_equal(second, next(iterator))


class AsksItself(fastaug.NumpyArrayIterator):
    """A subclass that has a batch made of any index, as in Keras."""

    def _get_batches_of_transformed_samples(self, index_array):
        return super()._get_batches_of_transformed_samples(index_array)


def test_a_subclass_that_makes_batches_of_an_index():
    """They are those of the epoch that the iterator is in, also its last batch."""
    generator = fastaug.ImageDataGenerator(augment=AUGMENT, dtype="uint8")
    own = AsksItself(IMAGES, None, generator, batch_size=37, seed=3, dtype="uint8")
    images = take(own, 3)
    expected = [by_hand(IMAGES, 3, epoch, range(37)) for epoch in range(3)]
    np.testing.assert_array_equal(images, np.concatenate(expected))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("x", "augment", "error", "text"),
    [
        (IMAGES.astype("float32"), fastaug.RandomResizedCrop(8), TypeError, "uint8 images"),
        (IMAGES.astype("float32"), fastaug.Equalize(), TypeError, "uint8 images"),
        (IMAGES, fastaug.GaussianBlur(101), ValueError, "larger than half"),
        (IMAGES, fastaug.Rot90(), ValueError, "square"),
    ],
)
def test_what_is_set_later_or_applied_is_checked_too(x, augment, error, text, workers):
    generator = fastaug.ImageDataGenerator(workers=workers)
    with generator.flow(x, batch_size=8, seed=1) as iterator:
        next(iterator)
        generator.augment = (augment,)
        with pytest.raises(error, match=text):
            next(iterator)
    with pytest.raises(error, match=text):
        generator.apply(x, keys=range(len(x)))


def test_what_is_set_later_may_be_an_op_a_name_or_a_list(folder):
    for augment in (fastaug.Equalize(), "equalize", ["equalize"], [fastaug.Equalize()]):
        for source in (files(folder, "threads", None), flow(augment=None)):
            with source as iterator:
                iterator.image_data_generator.augment = augment
                batch = next(iterator)
        np.testing.assert_array_equal(batch, take(flow(augment="equalize"), 1))
