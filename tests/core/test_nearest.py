"""The warp of masks: whole pixels of any size, each where a slow loop over the pixels has it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastaug import _core

STAYS = [0, 0, 0, 0, 1, 1, 0, 0, math.nan, math.nan]


def warped(image, matrix, out_size=None, flips=(0, 0), fill=0):
    """What the core makes of an image of rank 2, of any type."""
    pixels = image[..., np.newaxis].view(np.uint8)
    height, width = out_size or image.shape
    edge = np.array(fill, image.dtype).tobytes()
    program = _core.Program(height, width, len(edge), is_bytes=True, fill=edge)
    table = np.array([STAYS])
    table[0, 6:8] = flips
    table[0, 1] = 0 if matrix is None else 1
    out = np.zeros((1, height, width, len(edge)), np.uint8)
    matrices = None if matrix is None else np.array(matrix, np.float64).reshape(1, 2, 3)
    _core.augment(program, pixels[np.newaxis], np.array([0]), table, matrices, out, 0, 1, False)
    return out.view(image.dtype)[0, ..., 0]


def slowly_warped(image, matrix, out_size, flips, fill):
    out = np.full(out_size, fill, image.dtype)
    m = np.array(matrix, np.float64).reshape(2, 3)
    near = np.zeros(out_size, bool)  # to where the nearest pixel changes
    for i in range(out_size[0]):
        for j in range(out_size[1]):
            row, column = m[0, 0] * i + m[0, 1] * j + m[0, 2], m[1, 0] * i + m[1, 1] * j + m[1, 2]
            near[i, j] = any(abs(v - math.floor(v) - 0.5) < 1e-6 for v in (row, column))
            r, c = math.floor(row + 0.5), math.floor(column + 0.5)
            if 0 <= r < image.shape[0] and 0 <= c < image.shape[1]:
                out[i, j] = image[r, c]
    horizontal, vertical = flips
    for each in (out, near):
        each[:] = each[:, ::-1] if horizontal else each
        each[:] = each[::-1] if vertical else each
    return out, near


def labels(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(1, 120, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i4", "f4", "i8", "f8", "c16", "S3"])
@pytest.mark.parametrize("flips", [(0, 0), (1, 0), (0, 1), (1, 1)])
@given(data=st.data())
def test_it_is_the_slow_warp(dtype, flips, data):
    shape = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    out_size = data.draw(st.tuples(st.integers(1, 80), st.integers(1, 80)))
    angle, zoom = data.draw(st.floats(-4, 4)), data.draw(st.sampled_from([0.4, 1, 1.3, 4, 60, 300]))
    shifts = data.draw(st.tuples(st.floats(-40, 40), st.floats(-40, 40)))
    c, s = zoom * math.cos(angle), zoom * math.sin(angle)
    matrix = [c, -s, shifts[0], s, c, shifts[1]]
    image = labels(shape, dtype)
    out = warped(image, matrix, out_size, flips, 7)
    expected, near = slowly_warped(image, matrix, out_size, flips, 7)
    np.testing.assert_array_equal(out[~near], expected[~near])


@pytest.mark.parametrize("flips", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "i8"])
def test_without_a_matrix_it_is_a_copy(dtype, flips):
    image = labels((5, 9), dtype)
    expected = image[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1]
    np.testing.assert_array_equal(warped(image, None, flips=flips), expected)


def test_an_image_of_another_size_is_cut_at_the_corner():
    image = labels((5, 9), "i4")
    expected = np.full((7, 4), 3, "i4")
    expected[:5] = image[:, :4]
    np.testing.assert_array_equal(warped(image, None, (7, 4), fill=3), expected)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 65, 224])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact(size, turns):
    image = labels((size, size), "u1", size)
    table = np.array([STAYS])
    table[0, 0] = 90 * turns
    (matrix,) = _core.affine_matrices(table, size, size)
    np.testing.assert_array_equal(warped(image, matrix, fill=255), np.rot90(image, turns))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (70, 70)])
@pytest.mark.parametrize("itemsize", [1, 4, 3])
def test_any_matrix_is_safe(shape, itemsize):
    image = np.full(shape, b"9" * itemsize)
    for matrix in ([1e300] * 6, [-1e300] * 6, [np.nan] * 6, [np.inf] * 6, [1e-300] * 6, [0] * 6,
                   [1, 0, 1e9, 0, 1, -1e9], [1e18, -1e18, 0, 1, 1, 2**31], [1, np.nan, 0, 0, 1, 0],
                   [0, -1 - 1e-9, 69.5, 0, 1, -0.5], [0, 1, -0.5, 0, 1.0000001, -0.5]):  # fmt: skip
        for flips in (0, 0), (1, 0):
            out = warped(image, matrix, (70, 70), flips, b"5" * itemsize)
            assert np.isin(out, [b"5" * itemsize, b"9" * itemsize]).all()


@pytest.mark.parametrize(
    ("step", "column"),
    [
        (-1.81176590438812, 126),
        (-1.0748280922571818, 124),
        (-0.7618620341474359, 97),
        (1.81176590438812, 126),
        (1.0748280922571818, 124),
        (0.7618620341474359, 97),
    ],
)
@pytest.mark.parametrize("is_column", [True, False])
def test_rounding_does_not_lead_over_the_edge(step, column, is_column):
    """A column of the result that lies on the very edge, of which a sum of parts would be outside.

    What is beyond the edge has another label: a row above or below, or an image before or after.
    """
    start, length = -step * column, 260
    if step > 0:
        length = math.ceil(step * column) + 1
        start += length
        while not start + step * column < length:
            start = math.nextafter(start, 0)
    images = np.empty((3, 3, length, 1) if is_column else (3, length, 3, 1), np.uint8)
    images[:] = 1
    here = images[1, 1] if is_column else images[1]
    here[:] = 2
    along, across = [0, step, start - 0.5], [0, 0, 1]
    matrices = np.array([[across, along] if is_column else [along, across]])
    assert matrices[0, int(is_column), 2] + 0.5 == start
    program = _core.Program(1, 300, 1, is_bytes=True, fill=b"\5")
    out, table = np.zeros((1, 1, 300, 1), np.uint8), np.array([STAYS])
    table[0, 1] = 1
    _core.augment(program, images, np.array([1]), table, matrices, out, 0, 1, False)
    assert out[0, 0, column] == 2
    assert set(out.ravel()) == {2, 5}


@pytest.mark.parametrize("step", [1.9, -1.9, 4, -4, 30, -130])
def test_steps_over_many_pixels(step):
    image = labels((3, 9000), "u2")
    matrix = [1, 0, 0, 0, step, 0 if step > 0 else 8999]
    out = warped(image, matrix, (3, 80), fill=7)
    expected, near = slowly_warped(image, matrix, (3, 80), (0, 0), 7)
    np.testing.assert_array_equal(out[~near], expected[~near])


def test_rows_of_many_megabytes():
    """From the first row to the last of a block are more bytes than 32 bits count."""
    row = 1 << 26
    memory = np.zeros(40 * row, np.uint8)  # of which the system gives what is touched
    image = np.lib.stride_tricks.as_strided(memory, (40, 9, 1), (row, 1, 1))
    image[:, 0, 0] = range(1, 41)
    program = _core.Program(1, 50, 1, is_bytes=True, fill=b"\xff")
    matrices = np.array([[[0, 1, 0], [0, 0, 0.0]]])
    out, table = np.zeros((1, 1, 50, 1), np.uint8), np.array([STAYS])
    table[0, 1] = 1
    _core.augment(program, [image], np.array([0]), table, matrices, out, 0, 1, False)
    np.testing.assert_array_equal(out[0, 0, :, 0], [*range(1, 41), *[255] * 10])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"fill": b"12"}, "Expected a byte for each of 1 channels"),
        ({"is_bytes": False}, "Pixels that are picked stay as they are"),
        ({"channels_first": True}, "Pixels that are picked stay as they are"),
        ({"steps": [{"op": "channel_shift", "column": 8}]}, "no steps"),
        ({"standardization": [{"op": "rescale", "factor": 2.0}]}, "no steps"),
        ({"function": {"op": "linear", "scale": [1.0], "offset": [0.0]}}, "no steps"),
    ],
)
def test_programs_that_cannot_be_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        _core.Program(4, 4, 1, **{"is_bytes": True, "fill": b"1", **change})
