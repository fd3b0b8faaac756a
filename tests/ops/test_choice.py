"""OneOf: which of some ops or mixes, and that the others are not done."""

import pickle

import numpy as np
import pytest
from scipy import stats

import fastaug
from fastaug.ops.base import Draws
from fastaug.ops.mix import Mixing

IMAGE = np.random.default_rng(0).integers(1, 255, (12, 14, 3), np.uint8)
CHOICES = (fastaug.Solarize(0), fastaug.Posterize(3), fastaug.Posterize(1))


def which(op, seeds):
    """What is done for each seed; the number of choices: nothing."""
    results = [each(IMAGE, seed=0) for each in CHOICES] + [IMAGE]
    found = []
    for seed in seeds:
        image = op(IMAGE, seed=seed)
        (k,) = [k for k, result in enumerate(results) if np.array_equal(image, result)]
        found.append(k)
    return np.bincount(found, minlength=len(results))


def test_each_is_as_likely():
    counts = which(fastaug.OneOf(*CHOICES), range(900))
    assert counts[3] == 0
    assert stats.chisquare(counts[:3]).pvalue > 1e-3


def test_weights():
    counts = which(fastaug.OneOf(*CHOICES, weights=[1, 0, 3]), range(800))
    assert counts[1] == counts[3] == 0
    assert stats.chisquare(counts[[0, 2]], [200, 600]).pvalue > 1e-3


def test_choices_have_a_probability_of_their_own():
    choice = fastaug.OneOf(fastaug.Solarize(0, p=0.25), fastaug.Posterize(3))
    counts = which(choice, range(800))
    assert stats.chisquare(counts[[0, 1, 3]], [100, 400, 300]).pvalue > 1e-3


def test_two_of_a_kind_draw_each_by_itself():
    draws = Draws(1, 0, np.arange(200), "OneOf", (12, 14), 3)
    twice = fastaug.OneOf(fastaug.ColorJitter(0.5), fastaug.ColorJitter(0.5)).draw(draws)
    first, second = np.hsplit(twice, 2)
    drawn = fastaug.ColorJitter(0.5)
    one, other = (drawn.table(draws.of(name)) for name in ("ColorJitter", "ColorJitter#1"))
    assert not np.array_equal(one, other, equal_nan=True)
    for row in range(200):
        pair = [np.array_equal(first[row], one[row], equal_nan=True),
                np.array_equal(second[row], other[row], equal_nan=True)]  # fmt: skip
        assert sum(pair) == 1


def test_names_policies_and_choices_in_choices():
    op = fastaug.OneOf("trivialaugment", fastaug.OneOf(fastaug.Solarize(0), fastaug.Rot90(p=1)))
    square = IMAGE[:, :12]
    results = {op(square, seed=seed).tobytes() for seed in range(60)}
    assert len(results) > 20
    assert (255 - square).tobytes() in results
    with pytest.raises(ValueError, match="square"):
        op(IMAGE)
    with pytest.raises(TypeError, match="uint8"):
        op(IMAGE.astype("float32"))


def test_of_mixes():
    mixes = fastaug.MixUp(0.5), fastaug.CutMix(1.0)
    choice = fastaug.OneOf(*mixes, weights=[1, 3])
    draws = Draws(1, 0, np.arange(400), choice.name, (12, 14), 3)
    mixing = Mixing.of(choice, draws)
    tables = [mix.draw(draws.of(mix.name)) for mix in mixes]
    is_cut = ~np.isnan(mixing.table[:, 1])
    assert stats.chisquare(np.bincount(is_cut), [100, 300]).pvalue > 1e-3
    for k, row in enumerate(mixing.table):
        np.testing.assert_array_equal(row, tables[int(is_cut[k])][k])
    x, y = np.stack([IMAGE] * 8), np.arange(8)
    generator = fastaug.ImageDataGenerator(mix=choice)
    with generator.flow(x, y, batch_size=8, seed=1) as flow:
        assert next(flow)[1].shape == (8, 8)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: fastaug.OneOf(), ValueError, "OneOf()"),
        (lambda: fastaug.OneOf(3), TypeError, "3 among 1"),
        (lambda: fastaug.OneOf(lambda x, rng: x), TypeError, "no functions"),
        (lambda: fastaug.OneOf(fastaug.MixUp(), fastaug.Solarize(0)), TypeError, "not both"),
        (lambda: fastaug.OneOf(fastaug.RandomCrop(3)), ValueError, "no crops"),
        (lambda: fastaug.OneOf("nothing"), ValueError, "nothing"),
        (lambda: fastaug.OneOf(*CHOICES, weights=[1, 2]), ValueError, "weights=[1, 2]"),
        (lambda: fastaug.OneOf(*CHOICES, weights=[0, 0, 0]), ValueError, "weights=[0, 0, 0]"),
        (lambda: fastaug.OneOf(*CHOICES, weights=[1, -1, 3]), ValueError, "weights=-1"),
        (lambda: fastaug.OneOf(*CHOICES, weights=[1e308] * 3), ValueError, "1e+308, 1e+308"),
        (lambda: fastaug.OneOf("mixup", "equalize"), TypeError, "not both"),
        (lambda: fastaug.OneOf(*CHOICES, weights=["a"] * 3), TypeError, "weights='a'"),
        (
            lambda: fastaug.OneOf(fastaug.MixUp(num_classes=3), fastaug.CutMix()),
            ValueError,
            "num_classes=3",
        ),
    ],
)
def test_wrong_arguments(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "op",
    [
        fastaug.OneOf(*CHOICES),
        fastaug.OneOf(*CHOICES, weights=(1, 2, 3)),
        fastaug.OneOf(fastaug.MixUp(), fastaug.CutMix()),
    ],
    ids=str,
)
def test_they_are_values(op):
    other = pickle.loads(pickle.dumps(op))
    assert (
        op
        == other
        == eval(repr(op), vars(fastaug) | {n: getattr(fastaug, n) for n in fastaug.__all__})
    )
    assert hash(op) == hash(other)
    assert op != fastaug.OneOf(fastaug.Solarize(0))
    assert op != 3
    assert isinstance(op, fastaug.OneOf)
    with pytest.raises(AttributeError, match="weights"):
        op.weights = None
