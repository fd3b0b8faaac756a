"""Batches of float64 of images in memory: the steps of Keras, to the last digit."""

import numpy as np
import pytest
from reference import (
    EXACT,
    STANDARD,
    compare_flow,
    images,
    run_both,
)

GEOMETRY = {
    "rotation_range": 30,
    "width_shift_range": 0.2,
    "zoom_range": 0.2,
    "horizontal_flip": True,
    "dtype": "float64",
}
SETTINGS = {
    "geometry": ({}, EXACT),
    "splines": ({"interpolation_order": 3, "fill_mode": "reflect"}, EXACT),
    "shifts from a list": ({"width_shift_range": [-2, 0, 1], "vertical_flip": True}, EXACT),
    "colours": ({"channel_shift_range": 30.0}, EXACT),
    "brightness": ({"brightness_range": (0.5, 1.5)}, EXACT),
    "sample by sample": (
        {"samplewise_center": True, "samplewise_std_normalization": True},
        STANDARD,
    ),
    "channels_first": ({"data_format": "channels_first", "rescale": 1 / 255}, STANDARD),
}
FAILING = {
    "rescale": (images(), {"rescale": "a"}),
    "cval": (images(), {"cval": "a", "fill_mode": "constant"}),
    "two channels": (images(channels=2), {"brightness_range": (0.5, 1.5)}),
}


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize(("settings", "tolerance"), SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_batches_are_keras_s(settings, tolerance, seed, dtype):
    x = images(n=13, channels=3, dtype=dtype)
    if settings.get("data_format") == "channels_first":
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    for options in ({"workers": 0}, {"workers": 2, "prefetch": 3}):
        expected = compare_flow(
            x, settings=GEOMETRY | settings, tolerance=tolerance, options=options, batch_size=5,
            seed=seed, batches=7,
        )  # fmt: skip
        assert all(batch.dtype == np.float64 for batch in expected.value)


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize(("x", "settings"), FAILING.values(), ids=FAILING.keys())
def test_a_setting_that_fails_does_so_at_the_first_image(x, settings, seed):
    """The stream stands where Keras leaves it."""

    def scenario(library):
        generator = library.generator(**GEOMETRY)
        vars(generator).update(settings)  # the constructor refuses some of them
        flow = generator.flow(x, batch_size=4, seed=seed)
        try:
            return next(flow)
        finally:
            library.close(flow)

    _, expected = run_both(scenario, stream="keras" if seed is None else "untouched")
    assert expected.error is not None
