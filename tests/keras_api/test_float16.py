"""float16: what Keras does not warp, because SciPy refuses it, is warped here as float32 is."""

import numpy as np
import pytest
from reference import (
    FLIPS,
    GEOMETRY,
    assert_batches_equal,
    fastaug_library,
    images,
    keras_library,
    run,
    take,
)

import fastaug


def batches(library, dtype, **settings):
    generator = library.generator(dtype=dtype, **settings)
    flow = generator.flow(images(), np.arange(10), batch_size=4, seed=3)
    try:
        return take(flow, 4)
    finally:
        library.close(flow)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_flow_with_geometry(data_format, order, workers):
    """Keras's float32 batches, rounded."""
    settings = GEOMETRY | {"interpolation_order": order, "fill_mode": "reflect"}
    x = images(data_format=data_format)

    def flow(library, dtype):
        generator = library.generator(dtype=dtype, data_format=data_format, **settings)
        iterator = generator.flow(x, np.arange(10.0), batch_size=4, seed=3)
        result = take(iterator, 4)
        library.close(iterator)
        return result

    ours = flow(fastaug_library({"workers": workers}), "float16")
    theirs = run(lambda library: flow(library, "float32"), keras_library()).value
    for (x16, y16), (x32, y32) in zip(ours, theirs, strict=True):
        assert x16.dtype == np.float16
        # half a unit in the last place, and what the warp may deviate by
        allowed = np.spacing(np.abs(x32).astype(np.float16)).astype("f8") / 2 + 0.01
        far = np.abs(x16.astype("f8") - x32) > allowed
        assert far.mean() < (0.01 if order == 0 else 1e-9)  # the nearest pixel may be another
        np.testing.assert_array_equal(y16, y32)
    failed = run(lambda library: flow(library, "float16"), keras_library())
    assert isinstance(failed.error, RuntimeError)


@pytest.mark.parametrize(
    "more", [{"channel_shift_range": 20.0}, {"brightness_range": (0.5, 1.5)}, {"rescale": 1 / 255}]
)
def test_with_other_settings(more):
    settings = GEOMETRY | more
    (ours, _), (theirs, _) = (
        batches(library, dtype, **settings)[0]
        for library, dtype in ((fastaug_library(), "float16"), (keras_library(), "float32"))
    )
    assert ours.dtype == np.float16
    assert np.abs(ours.astype("f8") - theirs).mean() < 0.3 * theirs.max() / 255


def test_without_geometry_it_is_keras_s():
    ours, theirs = (
        batches(lib, "float16", **FLIPS) for lib in (fastaug_library(), keras_library())
    )
    assert_batches_equal(ours, theirs)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0)])
def test_a_single_image(axes):
    row, column, channel = axes
    image = images(n=1)[0].astype(np.float16)
    image = image if channel == 2 else image.transpose(2, 0, 1)
    where = {"row_axis": row, "col_axis": column, "channel_axis": channel}
    arguments = {"theta": 20, "shear": 5} | where
    half = fastaug.apply_affine_transform(image, **arguments)
    single = fastaug.apply_affine_transform(image.astype(np.float32), **arguments)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, single.astype(np.float16))
    assert fastaug.apply_affine_transform(image) is image
    for function in (fastaug.random_rotation, fastaug.random_shear):
        assert function(image, 10, *axes).dtype == np.float16
