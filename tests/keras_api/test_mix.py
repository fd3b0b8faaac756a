"""`mix=`: MixUp and CutMix of finished batches, beside the same written out in NumPy."""

import contextlib
import copy
import functools
import hashlib
import io
import pickle

import keras
import numpy as np
import pandas
import pytest
from PIL import Image
from scipy import stats
from scripts import BACKENDS, check_on

import fastaug
from fastaug import _core

IMAGES = np.random.default_rng(0).integers(0, 256, (21, 12, 10, 3), dtype=np.uint8)
LABELS = np.arange(21) % 5
WEIGHTS = np.linspace(0, 2, 21)
SETTINGS = {"rotation_range": 20, "horizontal_flip": True}


def numbers(name, samples, count, seed=3, epoch=0):
    """The numbers of each sample, by NumPy's own Philox."""
    word = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    key = np.array([seed, word], np.uint64)
    return np.array(
        [
            np.random.Generator(np.random.Philox(key=key, counter=[0, 0, epoch, int(k)])).random(
                count
            )
            for k in samples
        ]
    )


def expected(mix, images, labels, weights, samples, epoch=0, seed=3):
    """What becomes of a batch, one image after the other, in doubles."""
    order = np.argsort(numbers(f"{mix.name}/partner", samples, 1, seed, epoch)[:, 0])
    partner = np.empty(len(order), int)
    partner[order] = np.roll(order, -1)
    count = 3 if isinstance(mix, fastaug.CutMix) else 1
    drawn = numbers(mix.name, samples, count, seed, epoch)
    part = stats.beta.ppf(drawn[:, 0], mix.alpha, mix.alpha)
    height, width = images.shape[1:3]
    out, own = images.astype("float64"), np.empty(len(images))
    for i, j in enumerate(partner):
        own[i] = part[i]
        if isinstance(mix, fastaug.CutMix):
            side = np.sqrt(1 - part[i])
            y, x = int(drawn[i, 1] * height), int(drawn[i, 2] * width)
            dy, dx = int(0.5 * side * height), int(0.5 * side * width)
            rows = slice(max(y - dy, 0), min(y + dy, height))
            columns = slice(max(x - dx, 0), min(x + dx, width))
            out[i, rows, columns] = images[j, rows, columns]
            inside = (rows.stop - rows.start) * (columns.stop - columns.start)
            own[i] = 1 - inside / (height * width)
        elif len(images) > 1:
            out[i] = part[i] * images[i].astype(float) + (1 - part[i]) * images[j].astype(float)
    if len(images) == 1:
        own[:] = 1
    w = own * weights + (1 - own) * weights[partner]
    share = np.where(w > 0, own * weights / np.where(w > 0, w, 1), own)
    share = share.reshape(-1, *[1] * (labels.ndim - 1))
    return out, share * labels + (1 - share) * labels[partner], w


def flow(mix, x=IMAGES, y=LABELS, seed=3, batch_size=8, shuffle=False, weights=None, **settings):
    generator = fastaug.ImageDataGenerator(**SETTINGS | settings, mix=mix)
    return generator.flow(
        x, y, batch_size=batch_size, seed=seed, shuffle=shuffle, sample_weight=weights
    )


def take(iterator, count):
    with iterator:
        return [next(iterator) for _ in range(count)]


MIXES = [fastaug.MixUp(0.4), fastaug.MixUp(1.0), fastaug.CutMix(1.0), fastaug.CutMix(0.3)]


@pytest.mark.parametrize("mix", MIXES, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "float16", "int32"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_are_mixed(mix, dtype, data_format, weighted):
    x = IMAGES if data_format == "channels_last" else IMAGES.transpose(0, 3, 1, 2)
    settings = {"dtype": dtype, "data_format": data_format}
    weights = WEIGHTS if weighted else None
    plain = take(flow(None, x, weights=weights, **settings), 6)
    mixed = take(flow(mix, x, weights=weights, **settings), 6)
    one_hot = np.eye(5)[LABELS]
    for k, (before, after) in enumerate(zip(plain, mixed, strict=True)):
        epoch, batch = divmod(k, 3)
        samples = np.arange(21)[8 * batch : 8 * batch + 8]
        first = before[0].transpose(0, 2, 3, 1) if data_format == "channels_first" else before[0]
        given = WEIGHTS[samples] if weighted else np.ones(len(samples))
        images, labels, sample_weights = expected(
            mix, first, one_hot[samples], given, samples, epoch
        )
        if data_format == "channels_first":
            images = images.transpose(0, 3, 1, 2)
        assert after[0].dtype == dtype
        whole = np.dtype(dtype).kind in "iu"
        tolerance = {"float16": 0.2, "float64": 1e-4}.get(dtype, 1e-4)
        if whole:
            near_half = np.abs(images % 1 - 0.5) < 1e-3
            np.testing.assert_array_equal(
                np.where(near_half, 0, after[0]), np.where(near_half, 0, np.floor(images + 0.5))
            )
        else:
            np.testing.assert_allclose(after[0], images, atol=tolerance)
        assert after[1].dtype == (dtype if np.dtype(dtype).kind == "f" else "float32")
        np.testing.assert_allclose(after[1], labels, atol=1e-3 if dtype == "float16" else 1e-6)
        assert len(after) == (3 if weighted else 2)
        if weighted:
            np.testing.assert_allclose(after[2], sample_weights, atol=1e-12)


def test_a_weighted_loss_is_right():
    """The sum of w * loss(y) is that of both images with their own weights and labels."""
    mix = fastaug.MixUp(1.0)
    _, labels, weights = take(flow(mix, weights=WEIGHTS, batch_size=21), 1)[0]
    part = stats.beta.ppf(numbers("MixUp", range(21), 1)[:, 0], 1, 1)
    order = np.argsort(numbers("MixUp/partner", range(21), 1)[:, 0])
    partner = np.empty(21, int)
    partner[order] = np.roll(order, -1)
    loss = np.random.default_rng(1).random((21, 5))
    one_hot = np.eye(5)[LABELS]
    both = part * WEIGHTS * (loss * one_hot).sum(1)
    both += (1 - part) * WEIGHTS[partner] * (loss * one_hot[partner]).sum(1)
    np.testing.assert_allclose(weights * (loss * labels).sum(1), both, atol=1e-6)


def test_what_is_drawn():
    """Beta(alpha, alpha), and partners that are uniform but never the image itself."""
    from fastaug.ops.base import Draws
    from fastaug.ops.mix import Mixing

    partners = np.zeros((4, 4), int)
    for seed in range(3000):
        mixing = Mixing.of(fastaug.MixUp(), Draws(seed, 0, np.arange(4), "MixUp", (8, 8), 3))
        assert sorted(mixing.order) == [0, 1, 2, 3]
        partners[mixing.order, np.roll(mixing.order, -1)] += 1
    assert not partners.diagonal().any()
    others = partners[~np.eye(4, dtype=bool)]
    assert stats.chisquare(others).pvalue > 1e-4
    for alpha in (0.2, 1.0, 3.0):
        draws = Draws(1, 0, np.arange(5000), "MixUp", (8, 8), 3)
        parts = fastaug.MixUp(alpha).draw(draws)[:, 0]
        assert stats.kstest(parts, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize("mix", [fastaug.MixUp(0.3), fastaug.CutMix()], ids=str)
def test_the_same_for_any_workers(mix):
    want = take(flow(mix, shuffle=True), 6)
    for settings in {"workers": 0}, {"workers": 5, "prefetch": 0}, {"prefetch": 7}:
        for one, other in zip(want, take(flow(mix, shuffle=True, **settings), 6), strict=True):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])


def test_the_samples_of_a_batch_decide_and_not_their_order():
    mix = fastaug.CutMix()
    generator = fastaug.ImageDataGenerator(mix=mix, dtype="uint8")
    (plain,) = take(generator.flow(IMAGES, LABELS, batch_size=21, seed=3, shuffle=False), 1)
    with generator.flow(IMAGES, LABELS, batch_size=21, seed=3, shuffle=True) as iterator:
        images, labels = next(iterator)
        index = iterator.index_array
    np.testing.assert_array_equal(images, plain[0][index])
    np.testing.assert_array_equal(labels, plain[1][index])


def test_a_batch_of_one_stays():
    for mix in MIXES:
        for image, label in take(flow(mix, batch_size=1, rotation_range=0, horizontal_flip=0), 3):
            assert (image == IMAGES).all(axis=(1, 2, 3)).any()
            assert label.max() == 1


@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_a_batch_of_one_keeps_every_bit(mix):
    settings = {"rotation_range": 0, "horizontal_flip": False, "dtype": "float64"}
    x, y = np.random.default_rng(4).random((2, 21, 12, 10, 3))
    y = y[:, 0, 0, 0]
    for k, (image, label) in enumerate(take(flow(mix, x, y, batch_size=1, **settings), 21)):
        np.testing.assert_array_equal(image[0], x[k])
        assert label == y[k]


def test_keras_s_streams_stay():
    np.random.seed(5)
    take(flow(fastaug.MixUp(), seed=None, shuffle=True), 3)
    after = np.random.get_state()[1].copy()
    np.random.seed(5)
    np.random.randint(1 << 62, dtype=np.int64)  # the key of the mix
    take(flow(None, seed=None, shuffle=True), 3)
    np.testing.assert_array_equal(np.random.get_state()[1], after)


@pytest.mark.parametrize(
    ("labels", "mix", "width"),
    [
        (LABELS, fastaug.MixUp(), 5),
        (LABELS, fastaug.MixUp(num_classes=9), 9),
        (LABELS[:, np.newaxis], fastaug.MixUp(), 5),
        (LABELS > 2, fastaug.MixUp(), None),
        (np.eye(5)[LABELS], fastaug.MixUp(), 5),
        (np.eye(5, dtype=int)[LABELS], fastaug.MixUp(), 5),
        (LABELS / 3, fastaug.MixUp(), None),
        (np.random.default_rng(0).random((21, 4, 2)), fastaug.MixUp(), None),
    ],
)
def test_labels_of_any_kind(labels, mix, width):
    (batch,) = take(flow(mix, y=labels, batch_size=21), 1)
    floats = np.asarray(labels, float)
    if width is not None and floats.shape != (21, width):
        floats = np.eye(width)[LABELS]
    _, want, _ = expected(mix, batch[0], floats, np.ones(21), np.arange(21))
    assert batch[1].shape == want.shape
    np.testing.assert_allclose(batch[1], want, atol=1e-6)


def test_smoothing():
    mix = fastaug.CutMix(label_smoothing=0.2)
    (batch,) = take(flow(mix, batch_size=21), 1)
    smooth = np.eye(5)[LABELS] * 0.8 + 0.04
    _, want, _ = expected(mix, batch[0], smooth, np.ones(21), np.arange(21))
    np.testing.assert_allclose(batch[1], want, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "mix", "error", "text"),
    [
        (None, fastaug.MixUp(), TypeError, "y=None"),
        (np.array(["a", "b"] * 10 + ["c"]), fastaug.CutMix(), TypeError, "CutMix.*<U1"),
        (np.array([{}] * 21), fastaug.CutMix(), TypeError, "object"),
        (LABELS, fastaug.MixUp(num_classes=4), ValueError, "0 to 4.*0 to 4"),
        (LABELS - 1, fastaug.MixUp(), ValueError, "from -1 to 3"),
        (LABELS / 3, fastaug.MixUp(label_smoothing=0.1), ValueError, r"shape \(21,\)"),
        (LABELS / 3, fastaug.MixUp(num_classes=9), ValueError, "whole numbers"),
        (np.eye(5)[LABELS], fastaug.MixUp(num_classes=9), ValueError, r"\(21, 5\)"),
    ],
)
def test_labels_that_cannot_be_mixed(labels, mix, error, text):
    with pytest.raises(error, match=text):
        flow(mix, y=labels)


def test_other_inputs_cannot_be_mixed():
    generator = fastaug.ImageDataGenerator(mix=fastaug.MixUp())
    with pytest.raises(TypeError, match="inputs beside the images"):
        generator.flow((IMAGES, LABELS), LABELS)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: fastaug.MixUp(0), ValueError, "alpha=0"),
        (lambda: fastaug.CutMix(-1), ValueError, "alpha=-1"),
        (lambda: fastaug.MixUp("a"), TypeError, "alpha='a'"),
        (lambda: fastaug.MixUp(num_classes=0), ValueError, "num_classes=0"),
        (lambda: fastaug.MixUp(num_classes=2.0), TypeError, "num_classes=2.0"),
        (lambda: fastaug.CutMix(label_smoothing=1.5), ValueError, "label_smoothing=1.5"),
        (lambda: fastaug.MixUp(float("inf")), ValueError, "alpha=inf"),
        (lambda: fastaug.ImageDataGenerator(mix="equalize"), ValueError, "['cutmix', 'mixup']"),
        (lambda: fastaug.ImageDataGenerator(mix=["mixup"]), TypeError, "mix=['mixup']"),
        (lambda: fastaug.ImageDataGenerator(mix=fastaug.Posterize(4)), TypeError, "Posterize"),
    ],
)
def test_wrong_arguments(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)


@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_they_are_values(mix):
    assert pickle.loads(pickle.dumps(mix)) == mix == eval(repr(mix), vars(fastaug))
    assert hash(pickle.loads(pickle.dumps(mix))) == hash(mix)
    assert mix != type(mix)(7.0)
    assert pickle.loads(pickle.dumps(fastaug.ImageDataGenerator(mix=mix))).mix == mix
    assert f"mix={mix!r}" in repr(fastaug.ImageDataGenerator(mix=mix))


def test_images_without_weight_have_the_labels_of_the_mix():
    mix, weights = fastaug.MixUp(1.0), np.zeros(21)
    (plain,) = take(flow(mix, batch_size=21), 1)
    (weighted,) = take(flow(mix, weights=weights, batch_size=21), 1)
    np.testing.assert_allclose(weighted[1], plain[1], atol=1e-6)
    np.testing.assert_array_equal(weighted[2], weights)


def test_whole_weights_become_floats():
    whole = np.arange(21)
    (given,) = take(flow(fastaug.MixUp(1.0), weights=whole, batch_size=21), 1)
    (floats,) = take(flow(fastaug.MixUp(1.0), weights=whole / 1.0, batch_size=21), 1)
    assert (floats[2] % 1 != 0).any()
    np.testing.assert_array_equal(given[2], floats[2])


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_boxes_keep_every_bit(dtype, data_format):
    x = np.random.default_rng(2).integers(2**25, 2**30, (21, 12, 10, 3)).astype(dtype)
    x = x + 0.1 if dtype == "float64" else x
    settings = {"rotation_range": 0, "horizontal_flip": False, "dtype": dtype}
    mix = fastaug.CutMix()
    shown = x if data_format == "channels_last" else x.transpose(0, 3, 1, 2)
    (batch,) = take(flow(mix, shown, batch_size=21, data_format=data_format, **settings), 1)
    images, _, _ = expected(mix, x, np.eye(5)[LABELS], np.ones(21), np.arange(21))
    if data_format == "channels_first":
        images = images.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(batch[0], images)


def test_many_classes_take_no_more_memory_than_their_rows(monkeypatch):
    labels = np.arange(21) * 50_000  # a square of them would be a terabyte
    largest, zeros = [], np.zeros
    monkeypatch.setattr(np, "zeros", lambda *a, **k: largest.append(a[0]) or zeros(*a, **k))
    (batch,) = take(flow(fastaug.MixUp(), y=labels, batch_size=2), 1)
    assert batch[1].shape == (2, 1_000_001)
    assert max(shape[0] for shape in largest if np.ndim(shape) and shape[-1] == 1_000_001) == 2


def test_copies_and_indexes_mix_alike():
    for copied in copy.deepcopy, lambda iterator: pickle.loads(pickle.dumps(iterator)):
        iterator = flow(fastaug.MixUp(), seed=None, rotation_range=0, horizontal_flip=False)
        with iterator, copied(iterator) as other:
            for one, same in zip(next(iterator), next(other), strict=True):
                np.testing.assert_array_equal(one, same)
    (first,) = take(flow(fastaug.MixUp()), 1)
    with flow(fastaug.MixUp()) as iterator:
        for one, same in zip(first, iterator[0], strict=True):
            np.testing.assert_array_equal(one, same)


def test_batches_of_any_index_are_mixed():
    with flow(fastaug.MixUp(), rotation_range=0, horizontal_flip=False) as iterator:
        images, labels = iterator._get_batches_of_transformed_samples(np.arange(8))
    np.testing.assert_allclose(labels.sum(axis=1), np.ones(8), atol=1e-6)
    assert labels.shape == (8, 5) and (labels.max(axis=1) < 0.99).any()
    assert not np.array_equal(images, IMAGES[:8])


def test_without_a_seed_every_flow_mixes_in_another_way():
    labels = [take(flow(fastaug.MixUp(), seed=None), 1)[0][1] for _ in range(2)]
    assert not np.array_equal(*labels)


def test_what_is_saved_is_not_mixed(tmp_path):
    generator = fastaug.ImageDataGenerator(mix=fastaug.MixUp(1.0), dtype="uint8")
    iterator = generator.flow(
        IMAGES, LABELS, batch_size=21, seed=3, shuffle=False, save_to_dir=tmp_path
    )
    take(iterator, 1)
    for k, image in enumerate(IMAGES):
        (path,) = tmp_path.glob(f"_{k}_*.png")
        want = fastaug.array_to_img(image, scale=True)
        np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(want))


def test_it_may_change_between_batches():
    iterator = flow(fastaug.MixUp(), rotation_range=0, horizontal_flip=False, dtype="uint8")
    with iterator:
        next(iterator)
        iterator.image_data_generator.mix = None
        images, labels = next(iterator)
        np.testing.assert_array_equal(images, IMAGES[8:16])
        assert labels.shape == (8,)
        iterator.image_data_generator.mix = "cutmix"
        assert next(iterator)[1].shape == (5, 5)
        iterator.image_data_generator.mix = fastaug.Equalize()
        with pytest.raises(TypeError, match="Equalize"):
            next(iterator)


def test_names_of_mixes():
    assert fastaug.ImageDataGenerator(mix="mixup").mix == fastaug.MixUp()
    assert fastaug.ImageDataGenerator(mix="cutmix").mix == fastaug.CutMix()
    choice = fastaug.OneOf("mixup", fastaug.CutMix(0.5))
    assert choice == fastaug.OneOf(fastaug.MixUp(), fastaug.CutMix(0.5))


# ---------------------------------------------------------------------------- the core


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"images": np.zeros((3, 4, 4, 3))}, ValueError, "float64"),
        ({"images": np.zeros((3, 4, 4), "uint8")}, ValueError, "rank 4"),
        ({"order": np.array([0, 1])}, ValueError, "3 images"),
        ({"order": np.array([0, 1, 3])}, IndexError, "index 3"),
        ({"table": np.array([[0.5, 0, 0, 5, 4]] * 3)}, IndexError, "4 x 4"),
        ({"table": np.array([[0.5, 0, -1, 2, 4]] * 3)}, IndexError, "box"),
        ({"table": np.zeros((3, 4))}, ValueError, "table"),
    ],
)
def test_what_the_core_refuses(change, error, text):
    arguments = {
        "images": np.zeros((3, 4, 4, 3), "uint8"),
        "order": np.arange(3),
        "table": np.full((3, _core.MIX_COLUMNS), np.nan),
        "channels_first": False,
    } | change
    with pytest.raises(error, match=text):
        _core.mix(**arguments)


# ---------------------------------------------------------------------------- files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for k in range(9):
        path = root / "abc"[k % 3] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(IMAGES[k]).save(path)
    return root


def files(folder, mix, class_mode, on_error="raise", **settings):
    generator = fastaug.ImageDataGenerator(mix=mix, **settings)
    with contextlib.redirect_stdout(io.StringIO()):
        return generator.flow_from_directory(
            folder, target_size=(12, 10), class_mode=class_mode, shuffle=False, seed=3,
            batch_size=9, decoder="threads", on_error=on_error,
        )  # fmt: skip


@pytest.mark.parametrize("class_mode", ["categorical", "sparse"])
def test_files_have_the_classes_of_the_flow(folder, class_mode):
    mix = fastaug.MixUp(0.7)
    (plain,) = take(files(folder, None, "sparse"), 1)
    (mixed,) = take(files(folder, mix, class_mode), 1)
    one_hot = np.eye(3)[plain[1].astype(int)]
    images, labels, _ = expected(mix, plain[0], one_hot, np.ones(9), np.arange(9))
    np.testing.assert_allclose(mixed[0], images, atol=1e-3)
    np.testing.assert_allclose(mixed[1], labels, atol=1e-6)


def test_a_batch_without_the_last_class_has_its_column(folder):
    with files(folder, fastaug.MixUp(), "sparse") as iterator:
        _, labels = iterator._get_batches_of_transformed_samples(np.arange(3))  # all of class a
    np.testing.assert_allclose(labels, np.eye(3)[[0, 0, 0]], atol=1e-6)


def test_two_classes_stay_one_number(folder, tmp_path):
    (folder_of_two := tmp_path / "two").mkdir()
    for name in "ab":
        (folder_of_two / name).symlink_to(folder / name)
    mix = fastaug.MixUp(0.7)
    (plain,) = take(files(folder_of_two, None, "binary"), 1)
    (mixed,) = take(files(folder_of_two, mix, "binary"), 1)
    _, labels, _ = expected(mix, plain[0], plain[1], np.ones(6), np.arange(6))
    np.testing.assert_allclose(mixed[1], labels, atol=1e-6)


@pytest.mark.parametrize("class_mode", ["input", None])
def test_class_modes_without_labels_to_mix(folder, class_mode):
    with pytest.raises(TypeError, match=f"MixUp.*class_mode={class_mode!r}"):
        files(folder, fastaug.MixUp(), class_mode)


def test_dataframes(folder):
    frame = pandas.DataFrame(
        {
            "filename": [str(path) for path in sorted(folder.glob("*/*.png"))],
            "number": np.arange(9) % 4,
            "weight": WEIGHTS[:9],
        }
    )
    mix = fastaug.CutMix()

    def batch(mix, **given):
        generator = fastaug.ImageDataGenerator(mix=mix)
        with contextlib.redirect_stdout(io.StringIO()):
            flow = generator.flow_from_dataframe(
                frame, y_col="number", class_mode="raw", target_size=(12, 10), shuffle=False,
                seed=3, decoder="threads", **given,
            )  # fmt: skip
        return take(flow, 1)[0]

    plain, mixed = (batch(each, weight_col="weight") for each in (None, mix))
    one_hot = np.eye(4)[np.arange(9) % 4]
    images, labels, weights = expected(mix, plain[0], one_hot, WEIGHTS[:9], np.arange(9))
    np.testing.assert_allclose(mixed[0], images, atol=1e-3)
    np.testing.assert_allclose(mixed[1], labels, atol=1e-6)
    np.testing.assert_allclose(mixed[2], weights, atol=1e-6)
    generator = fastaug.ImageDataGenerator(mix=mix)
    with (
        pytest.raises(TypeError, match="multi_output"),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        generator.flow_from_dataframe(frame, y_col=["number"], class_mode="multi_output")


def test_files_that_are_left_out_are_not_mixed_in(tmp_path):
    (tmp_path / "a").mkdir()
    for k in range(6):
        Image.new("RGB", (10, 12), (100 + k, 0, 0)).save(tmp_path / "a" / f"{k}.png")
    (tmp_path / "a" / "2.png").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"2\.png"):
        ((images, labels),) = take(
            files(tmp_path, fastaug.MixUp(1.0), "categorical", on_error="skip"), 1
        )
    assert len(images) == len(labels) == 5
    assert (images[..., 0] >= 100).all()


def test_a_model_trains():
    mix = fastaug.MixUp(0.2)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5, "softmax")])
    model.compile(keras.optimizers.SGD(1e-3), "categorical_crossentropy")
    iterator = flow(mix, weights=WEIGHTS, rescale=1 / 255)
    with iterator:
        loss = model.fit(iterator, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(loss).all()


def test_to_predict_nothing_is_mixed(tmp_path):
    Image.new("RGB", (10, 12)).save(tmp_path / "0.png")
    generator = fastaug.ImageDataGenerator(mix=fastaug.MixUp())
    x = np.zeros((4, 8, 8, 3), np.uint8)
    frame = pandas.DataFrame({"filename": ["0.png"]})
    for make in (
        functools.partial(generator.flow, x),
        functools.partial(generator.flow_from_dataframe, frame, tmp_path, class_mode=None),
    ):
        with pytest.raises(TypeError, match="To predict, write augment=False"):
            make()
        assert isinstance(next(make(augment=False)), np.ndarray)
    with pytest.raises(TypeError) as caught:
        generator.flow(x, fastaug.Masks(x))
    assert "To predict" not in str(caught.value)


@pytest.mark.parametrize("mix", [fastaug.Invert(), [fastaug.MixUp(), fastaug.CutMix()]])
def test_what_is_no_mix(mix):
    with pytest.raises(TypeError, match=r"one of some as in fastaug.OneOf\(.*Received: mix="):
        fastaug.ImageDataGenerator(mix=mix)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_trains_from_folders(backend, tmp_path):
    """With all that there is for classes, validated by photographs as they are."""
    rng = np.random.default_rng(0)
    for k in range(40):
        pixels = rng.integers(60, 100, (40, 50, 3)).astype(np.uint8)
        pixels[..., k % 2] += 120  # a red class and a green one
        path = tmp_path / "rg"[k % 2] / f"{k}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    check_on(
        backend,
        """
        import sys
        import keras
        import fastaug

        assert keras.backend.backend() == sys.argv[2]
        keras.utils.set_random_seed(1)
        generator = fastaug.ImageDataGenerator(
            augment=[fastaug.RandomResizedCrop(32), "trivialaugment", fastaug.Erasing()],
            mix=fastaug.OneOf(fastaug.MixUp(0.2), fastaug.CutMix(1.0)),
            rescale=1 / 255, validation_split=0.25, workers=2)
        training, validation = generator.flow_from_directory(
            sys.argv[1], (32, 32), batch_size=10, seed=1, subset="both")
        _, labels = next(training)
        assert abs(labels.sum(axis=1) - 1).max() < 1e-6 and 0.01 < labels.min(axis=1).max()
        images, labels = next(validation)
        assert set(labels.ravel()) == {0, 1}
        # neither turned nor mixed: the colours of the classes
        assert ((images[..., 0].mean((1, 2)) > images[..., 1].mean((1, 2))) == labels[:, 1]).all()
        model = keras.Sequential([
            keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")])
        model.compile(keras.optimizers.Adam(0.2), "categorical_crossentropy", metrics=["acc"])
        history = model.fit(training, validation_data=validation, epochs=10, verbose=0).history
        assert history["val_acc"][-1] == 1, history
        """,
        arguments=[tmp_path, backend],
    )


def test_labels_that_are_replaced_have_classes_of_their_own():
    with flow(fastaug.MixUp()) as iterator:
        assert next(iterator)[1].shape == (8, 5)
        iterator.y = np.arange(21)
        assert next(iterator)[1].shape == (8, 21)


@pytest.mark.parametrize("ending", [list, np.array])
def test_both_subsets_have_the_same_classes(ending):
    labels = ending([3] * 5 + [0] * 10 + [1] * 6)
    generator = fastaug.ImageDataGenerator(mix=fastaug.MixUp(), validation_split=0.25)
    both = generator.flow(IMAGES, labels, subset="both", ignore_class_split=True, seed=1)
    for iterator in both:
        ((_, mixed),) = take(iterator, 1)
        assert mixed.shape[1:] == (4,)
    for subset, width in ("training", 2), ("validation", 1):
        one = generator.flow(
            IMAGES, labels, subset=subset, ignore_class_split=True, seed=1, augment=False
        )
        assert take(one, 1)[0][1].shape[1:] == (4,)
        one.y = np.zeros(len(one.y), int) + width - 1  # labels of another kind
        assert take(one, 1)[0][1].shape[1:] == (width,)


def test_both_subsets_of_a_dataframe_have_the_same_classes(folder):
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    frame = pandas.DataFrame({"filename": names, "number": range(len(names))})
    generator = fastaug.ImageDataGenerator(mix=fastaug.MixUp(), validation_split=0.25)
    with contextlib.redirect_stdout(io.StringIO()):
        both = generator.flow_from_dataframe(
            frame, folder, y_col="number", class_mode="raw", subset="both", target_size=(12, 10)
        )
    for iterator in both:
        assert take(pickle.loads(pickle.dumps(iterator)), 1)[0][1].shape[1:] == (len(names),)
        assert take(iterator, 1)[0][1].shape[1:] == (len(names),)


def test_one_weight_for_each_image_in_a_column():
    (plain,), (column,) = (
        take(flow(fastaug.MixUp(), weights=weights, batch_size=21), 1)
        for weights in (WEIGHTS, WEIGHTS[:, np.newaxis])
    )
    np.testing.assert_array_equal(column[1], plain[1])
    np.testing.assert_array_equal(column[2], plain[2][:, np.newaxis])


@pytest.mark.parametrize(
    ("weights", "error", "text"),
    [
        (np.ones((21, 21)), ValueError, r"\(21, 21\)"),
        (np.ones((21, 2)), ValueError, r"\(21, 2\)"),
        (np.array(["1"] * 21), TypeError, "<U1"),
    ],
)
def test_weights_that_cannot_be_mixed(weights, error, text):
    with pytest.raises(error, match=text):
        flow(fastaug.MixUp(), weights=weights)


def test_whole_floats_are_classes_where_their_number_is_given():
    mix = fastaug.MixUp(num_classes=7)
    want, got = (
        take(flow(mix, y=labels, batch_size=21), 1)[0][1]
        for labels in (LABELS, LABELS.astype("float32"))
    )
    np.testing.assert_array_equal(got, want)
    assert want.shape == (21, 7)


def test_two_classes_in_a_row_where_their_number_is_given(folder):
    generator = fastaug.ImageDataGenerator(mix=fastaug.MixUp(num_classes=2))
    with contextlib.redirect_stdout(io.StringIO()):
        iterator = generator.flow_from_directory(
            folder, (12, 10), classes=["a", "b"], class_mode="binary", seed=1
        )
    ((_, labels),) = take(iterator, 1)
    assert labels.shape[1:] == (2,)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)


def test_pickles_have_no_labels_of_a_file(tmp_path):
    np.save(tmp_path / "labels.npy", np.arange(50_000) % 5)
    labels = np.load(tmp_path / "labels.npy", mmap_mode="r")
    with flow(fastaug.MixUp(), y=labels, x=np.zeros((50_000, 1, 1, 1), np.uint8)) as iterator:
        next(iterator)
        iterator.x = iterator.x[:8]
        size = len(pickle.dumps(iterator))
    assert size < iterator.index_array.nbytes + labels.nbytes / 2
