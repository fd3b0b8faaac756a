"""Sources of their own size, type and row stride, and what every image of a batch becomes."""

import numpy as np
import pytest
from programs import SHIFTS, keras_program
from scipy import ndimage

from fastaug import _core

OFF = np.array([[0.0, 0, 0, 0, 1, 1, 0, 0, np.nan, np.nan]])
TYPES = ["uint8", "float32", "float64", "float16", "int16", "uint16", "int32", "int8", "uint64"]


def rows(count, **columns):
    table = np.repeat(OFF, count, axis=0)
    for name, value in columns.items():
        table[:, _core.COLUMNS.index(name)] = value
    return table


def augment(program, images, table=None, matrices=None, **options):
    """All images of some sources, once."""
    table = rows(len(images)) if table is None else table
    dtype = np.uint8 if options.pop("is_bytes", False) else np.float32
    out = np.full((len(images), *program.shape), 99, dtype=dtype)
    index = np.arange(len(images))
    _core.augment(program, images, index, table, matrices, out, 0, len(images), **options)
    return out


def drawn(shape, dtype="uint8", seed=0):
    values = np.random.default_rng(seed).integers(0, 120, shape)
    return values.astype(dtype)


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("border", _core.BORDERS)
@pytest.mark.parametrize("channels_first", [False, True])
def test_sources_of_any_size_are_sampled_into_the_form(order, border, channels_first):
    """As SciPy does with an output shape."""
    shapes = [(9, 14), (30, 5), (1, 1), (17, 23), (40, 41)]
    # no sample on the edge of a pixel, or of the image, where it could fall on either side
    matrix = np.array([[0.9137, 0.2971, -1.3131], [-0.2113, 1.0871, 0.4191]])
    images = [drawn((*shape, 3), seed=k) for k, shape in enumerate(shapes)]
    program = _core.Program(
        17, 23, 3, order=order, border=border, cval=7, channels_first=channels_first
    )
    given = [np.ascontiguousarray(x.transpose(2, 0, 1)) if channels_first else x for x in images]
    matrices = np.repeat(matrix[np.newaxis], len(images), axis=0)
    out = augment(program, given, rows(len(images), theta=1), matrices)
    out = out.transpose(0, 2, 3, 1) if channels_first else out
    for image, result in zip(images, out, strict=True):
        for k in range(3):
            expected = ndimage.affine_transform(
                image[..., k].astype(np.float64),
                matrix[:, :2],
                matrix[:, 2],
                output_shape=(17, 23),
                order=order,
                mode=border,
                cval=7,
            )
            np.testing.assert_allclose(result[..., k], expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("channels_first", [False, True])
def test_without_geometry_a_source_of_another_size_is_cropped_or_goes_on_as_its_border(
    channels_first,
):
    image = drawn((9, 14, 3))
    program = _core.Program(12, 10, 3, channels_first=channels_first, border="constant", cval=-5)
    given = np.ascontiguousarray(image.transpose(2, 0, 1)) if channels_first else image
    out = augment(program, [given], rows(1, flip_horizontal=1))[0]
    out = out.transpose(1, 2, 0) if channels_first else out
    expected = np.full((12, 10, 3), -5, np.float32)
    expected[:9] = image[:, :10]
    np.testing.assert_array_equal(out, expected[:, ::-1])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("warps", [False, True])
@pytest.mark.parametrize("height", [9, 1])
def test_a_view_of_some_rows_and_columns_is_what_its_copy_is(dtype, channels_first, warps, height):
    if channels_first:  # planes are one after the other
        view = drawn((3, height, 31), dtype)[:, :, 5:19]
    else:
        view = drawn((20, 31, 3), dtype)[2 : 2 + height, 5:19]
    program = keras_program(
        height, 14, 3, channels_first=channels_first, rescale=0.5, sample_center=True
    )
    table = rows(1, theta=30 if warps else 0, channel_shift_intensity=5 if warps else np.nan)
    out = augment(program, [view], table)
    np.testing.assert_array_equal(out, augment(program, [view.copy()], table))
    np.testing.assert_array_equal(out, augment(program, view.copy()[np.newaxis], table))


def test_a_view_at_the_end_of_its_memory_is_not_read_beyond():
    """What lies behind the last row is another's, though rows are further apart."""
    memory = np.zeros(64 * 12 + 3, np.uint8)
    memory[-3:] = 200
    view = np.ndarray((12, 1, 3), np.uint8, memory, 64, (64, 3, 1))
    out = augment(_core.Program(12, 1, 3), [view], rows(1, tx=0.5))
    np.testing.assert_array_equal(out[0, -1, 0], [200] * 3)


@pytest.mark.parametrize("is_bytes", [False, True])
def test_sources_of_all_sizes_in_a_batch_of_threads(is_bytes):
    images = [drawn((3 + k, 20 - k, 3), seed=k) for k in range(12)]
    program = _core.Program(8, 9, 3, SHIFTS, is_bytes=is_bytes)
    index = np.array([3, 11, 0, 3, 7])
    table = rows(5, theta=20, channel_shift_intensity=9, brightness=1.2)
    out = np.zeros((5, *program.shape), np.uint8 if is_bytes else np.float32)
    batch = _core.Batch(program, images, index, table, [out])
    batch.run()
    for k, result in zip(index, out, strict=True):
        alone = augment(program, [images[k]], table[:1], is_bytes=is_bytes)
        np.testing.assert_array_equal(result, alone[0])


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        ([np.zeros((5, 6, 4), np.uint8)], ValueError, r"3 channels.*\(5, 6, 4\)"),
        ([np.zeros((5, 6), np.uint8)], ValueError, r"\(5, 6\)"),
        ([np.zeros((0, 6, 3), np.uint8)], ValueError, "at least one pixel"),
        ([np.zeros((5, 6, 3), complex)], TypeError, "complex128"),
        ([np.zeros((5, 6, 3), ">f4")], TypeError, ">f4"),
        ([np.zeros((5, 6, 3), np.uint8)[:, ::-1]], ValueError, "contiguous"),
        ([np.zeros((5, 6, 3), np.uint8)[::-1]], ValueError, "contiguous"),
        ([np.zeros((5, 6, 6), np.uint8)[..., ::2]], ValueError, "contiguous"),
        ([[[[1, 2, 3]]]], TypeError, "arrays"),
        (7, TypeError, "int"),
    ],
    ids=str,
)
def test_sources_that_are_refused(images, error, text):
    with pytest.raises(error, match=text):
        _core.Sources(_core.Program(5, 6, 3), images)


def test_python_code_gets_sources_of_any_size():
    seen = []

    def by_image(image, row, standardize, out):
        seen.append((image.shape, image.dtype, standardize))
        out[...] = image.sum()

    program = _core.Program(5, 6, 3, by_image=by_image)
    images = [np.ones((2, 3, 3), np.uint8), np.ones((50, 60, 3), np.float64)]
    out = augment(program, images)
    assert seen == [((2, 3, 3), np.uint8, True), ((50, 60, 3), np.float64, True)]
    assert (out[0] == 18).all()
    assert (out[1] == 9000).all()


def test_no_images():
    program = _core.Program(4, 5, 3)
    for images in np.zeros((0, 4, 5, 3), np.uint8), []:
        assert augment(program, images).shape == (0, 4, 5, 3)
        out = np.zeros((0, 4, 5, 3), np.float32)
        batch = _core.Batch(program, images, np.arange(0), rows(0), [out])
        batch.run()
        with pytest.raises(IndexError, match="index 0 is out of bounds for 0 images"):
            _core.Batch(program, images, np.arange(1), rows(1), [np.zeros((1, 4, 5, 3), "f4")])


def test_a_program_is_whole_or_not_there():
    """One without its steps would be worked with all the same."""
    with pytest.raises(TypeError):
        _core.Program.__new__(_core.Program)
    program = _core.Program(4, 5, 3, SHIFTS)
    image = drawn((4, 5, 3))
    expected = augment(program, [image], rows(1, brightness=0.5))
    for _ in range(3):
        with pytest.raises(ValueError, match="op='blur'"):
            _core.Program.__new__(_core.Program, 4, 5, 3, [{"op": "blur"}])
    program.__init__(9, 9, 9)
    np.testing.assert_array_equal(augment(program, [image], rows(1, brightness=0.5)), expected)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"steps": [{"op": "blur"}]}, ValueError, "channel_shift.*Received: op='blur'"),
        ({"steps": [{}]}, ValueError, "op=None"),
        ({"steps": [{"op": "brightness", "column": 10}]}, IndexError, "column 10.*10 columns"),
        ({"steps": [{"op": "brightness", "column": -1}]}, IndexError, "column -1"),
        ({"steps": [{"op": "rescale", "factr": 2}]}, TypeError, "factr"),
        ({"steps": [{"op": "linear", "scale": [1, 1, 1]}]}, ValueError, "scale and an offset"),
        ({"steps": [{"op": "normalize", "scale": [1, 1]}]}, ValueError, r"3 channels.*\(2,\)"),
        ({"steps": [{"op": "rescale"}], "is_bytes": True}, ValueError, "float32 batches"),
        ({"standardization": [{"op": "brightness", "column": 9}]}, ValueError, "same for all"),
        (
            {"standardization": [{"op": "linear", "scale": [1, 2, 3], "offset": [0, 0, 0]}]},
            ValueError,
            "planes too.*'linear'",
        ),
        ({"columns": 9}, ValueError, "columns.*Received: 9"),
        ({"order": 2, "is_bytes": True}, ValueError, "order=2"),
    ],
    ids=str,
)
def test_programs_that_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        _core.Program(5, 6, 3, **arguments)


def test_steps_come_in_the_order_of_the_program_and_their_columns_from_it():
    """Shifts twice, in columns of their own, and between them what Keras has after them."""
    image = drawn((7, 8, 3), "float32")
    program = _core.Program(
        7, 8, 3,
        [
            {"op": "channel_shift", "column": 11},
            {"op": "rescale", "factor": 0.5},
            {"op": "normalize", "offset": [1, 2, 3]},
            {"op": "rescale", "factor": 1.5},
            {"op": "channel_shift", "column": 8},
            {"op": "sample_center"},
            {"op": "rescale", "factor": 3.0},
        ],
        columns=12,
    )  # fmt: skip
    assert program.columns == 12
    for first, second in (5, -20), (np.nan, 4), (-9, np.nan), (np.nan, np.nan):
        table = np.array([[*OFF[0], 0.0, first]])
        table[0, 8] = second
        expected = image.astype(np.float64)
        if first == first:
            expected = np.clip(expected + first, expected.min(), expected.max())
        expected = (expected * 0.5 - [1, 2, 3]) * 1.5
        if second == second:
            expected = np.clip(expected + second, expected.min(), expected.max())
        expected = (expected - expected.mean()) * 3
        out = augment(program, [image], table)
        np.testing.assert_allclose(out[0], expected, rtol=1e-5, atol=1e-4)


def test_levels_of_bytes_are_composed_in_the_order_of_the_steps():
    image = drawn((9, 8, 4))
    steps = [
        {"op": "brightness", "column": 9},
        {"op": "channel_shift", "column": 8},
        {"op": "brightness", "column": 10},
    ]
    program = _core.Program(9, 8, 4, steps, is_bytes=True, columns=11)
    table = np.array([[*OFF[0], 0.5]])
    table[0, 8:10] = 30, 1.7
    alpha = image[..., 3:].astype(int)
    expected = np.minimum(np.floor(np.float32(1.7) * image[..., :3]), 255)
    expected = np.concatenate([expected, alpha], axis=2)
    expected = np.clip(expected + 30, expected.min(), expected.max())
    expected[..., :3] = np.floor(np.float32(0.5) * expected[..., :3])
    out = augment(program, [image], table, is_bytes=True)
    np.testing.assert_array_equal(out[0], expected)
