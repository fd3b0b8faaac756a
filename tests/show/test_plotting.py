"""`plot_images`: any range of values, layout and kind of label."""

import numpy as np
import pytest
from reference import images
from trees import plain_tree

import fastaug
from fastaug.show.plotting import displayable, label_texts

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    matplotlib.pyplot.close("all")


def shown(figure):
    """The pictures of a figure, and their titles."""
    axes = [each for each in figure.axes if each.images]
    return [np.asarray(a.images[0].get_array()) for a in axes], [a.get_title() for a in axes]


RAMP = np.linspace(0, 1, 2 * 5 * 7 * 3, dtype=np.float32).reshape(2, 5, 7, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: x * 2 - 1,
        lambda x: x * 255,
        lambda x: (x * 255).round().astype(np.uint8),
        lambda x: (x * 10_000).astype(np.int32),
        lambda x: x * 6 - 2.5,
        lambda x: x.astype(np.float64) * 1.0005,
    ],
    ids=["0..1", "-1..1", "0..255", "uint8", "int32", "standardized", "overshoot"],
)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first", None])
def test_ranges_and_layouts(make, layout):
    batch = make(RAMP)
    if layout == "channels_first":
        batch = batch.transpose(0, 3, 1, 2)
    for data_format in {layout, None}:  # told, and found out
        result = displayable(batch, data_format)
        assert result.shape == RAMP.shape
        np.testing.assert_allclose(result, RAMP, atol=0.003)


@pytest.mark.parametrize(
    ("low", "high", "shown_low", "shown_high"),
    [(0.2, 0.6, 0.2, 0.6), (-0.5, 0.5, 0.25, 0.75), (51, 204, 0.2, 0.8), (-51, 204, 0, 1)],
)
def test_a_batch_that_does_not_use_its_whole_range(low, high, shown_low, shown_high):
    result = displayable((low + RAMP * (high - low)).astype(np.float32))
    assert result.min() == pytest.approx(shown_low, abs=1e-5)
    assert result.max() == pytest.approx(shown_high, abs=1e-5)


def test_a_dark_batch_of_bytes_stays_dark():
    assert displayable(np.ones((1, 4, 4, 3), np.uint8)).max() == pytest.approx(1 / 255)


def test_one_value_and_no_number():
    assert not displayable(np.full((1, 4, 4, 1), -7.0)).any()
    with_nan = RAMP.copy()
    with_nan[0, 0, 0] = np.nan
    result = displayable(with_nan)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result[1], RAMP[1])
    assert np.isfinite(displayable(np.full((1, 4, 4, 1), np.nan))).all()


def test_booleans_and_masks_of_rank_3():
    masks = np.zeros((2, 4, 5), bool)
    masks[0, 1:3] = True
    np.testing.assert_array_equal(displayable(masks), masks[..., np.newaxis])


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 4), (2, 5, 5, 2), (2, 2, 4, 5)])
def test_what_is_no_batch_of_images(shape):
    with pytest.raises(ValueError, match=r"Expected a batch of images.*shape: \("):
        displayable(np.zeros(shape))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, ["", "", ""]),
        (np.array([2, 0, 1]), ["c", "a", "b"]),
        (np.array([2.0, 0.0, 1.0], np.float32), ["c", "a", "b"]),
        (np.array([[1], [0], [2]]), ["b", "a", "c"]),
        (np.eye(3)[[1, 1, 0]], ["b", "b", "a"]),
        (np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]]), ["a, c", "", "b"]),
        (np.array(["x", "y", "z"]), ["x", "y", "z"]),
        (np.array([0.5, 7, 1]), ["0.5", "7", "b"]),
        (np.zeros((3, 4, 4, 3)), ["", "", ""]),
        ([np.zeros(3), np.ones(3)], ["", "", ""]),
    ],
)
def test_labels(labels, expected):
    assert label_texts(labels, {"a": 0, "b": 1, "c": 2}, 3) == expected


def test_numbers_without_names():
    assert label_texts(np.eye(3)[[2, 0]], None, 2) == ["2", "0"]


def test_a_flow(no_leaks):
    x = images(n=6)
    generator = fastaug.ImageDataGenerator(rescale=1 / 255)
    with generator.flow(x, np.arange(6), batch_size=6, shuffle=False) as iterator:
        figure = fastaug.plot_images(iterator, count=5, columns=3)
        pictures, titles = shown(figure)
        assert iterator.total_batches_seen == 1
    assert len(figure.axes) == 6  # two rows of three
    assert titles == ["0", "1", "2", "3", "4"]
    np.testing.assert_allclose(pictures, x[:5] / 255, atol=1e-5)
    figure.canvas.draw()


def test_gray_images_with_the_channels_first(no_leaks):
    x = images(n=4, channels=1, data_format="channels_first")
    generator = fastaug.ImageDataGenerator(data_format="channels_first")
    with generator.flow(x, batch_size=4, shuffle=False) as iterator:
        pictures, titles = shown(fastaug.plot_images(iterator))
    assert titles == [""] * 4
    np.testing.assert_allclose(pictures, x[:, 0] / 255, atol=1e-5)


def test_files_and_their_classes(tmp_path, no_leaks):
    plain_tree(tmp_path, counts=(3, 2))
    generator = fastaug.ImageDataGenerator(workers=0)
    with generator.flow_from_directory(
        tmp_path, target_size=(20, 30), shuffle=False, decoder="threads"
    ) as iterator:
        pictures, titles = shown(fastaug.plot_images(iterator))
    assert titles == ["ants"] * 3 + ["bees"] * 2
    assert pictures[0].shape == (20, 30, 3)


def test_other_iterators_and_titles():
    batch = RAMP, np.array([0, 1]), np.ones(2)
    assert shown(fastaug.plot_images(iter([batch])))[1] == ["0", "1"]
    _, titles = shown(fastaug.plot_images(iter([batch]), titles=["only one"]))
    assert titles == ["only one", ""]
    pictures, _ = shown(fastaug.plot_images(iter([[RAMP, np.zeros(2)]]), count=None))
    np.testing.assert_allclose(pictures, RAMP)


def test_no_matplotlib(no_matplotlib):
    iterator = iter([RAMP])
    with pytest.raises(ImportError, match=r"pip install matplotlib"):
        fastaug.plot_images(iterator)
    assert next(iterator) is RAMP  # nothing was taken


def test_another_input_is_no_label():
    x, numbers = images(4), np.arange(4)
    with fastaug.ImageDataGenerator().flow((x, numbers), shuffle=False) as flow:
        assert shown(fastaug.plot_images(flow))[1] == [""] * 4
    with fastaug.ImageDataGenerator().flow((x, -numbers), numbers, shuffle=False) as flow:
        assert shown(fastaug.plot_images(flow))[1] == ["0", "1", "2", "3"]
