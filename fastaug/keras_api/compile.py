"""Keras's order of work as a program of the core.

    affine ─► channel shift ─► flips ─► brightness
                                            └─► function ─► rescale ─► samplewise ─► featurewise

The sampler makes the affine warp and both flips in one: a channel shift does the same before a flip
and after it. What is drawn for an image is in the columns of `_core.COLUMNS`.
"""

from typing import Any

import numpy as np

from fastaug import _core
from fastaug.keras_api.recognise import ChannelMap

#: What Keras does to the values of an image, after the warp.
_SHIFTS = tuple(
    {"op": op, "column": _core.COLUMNS.index(column)}
    for op, column in (("channel_shift", "channel_shift_intensity"), ("brightness", "brightness"))
)


def compile_program(
    height: int,
    width: int,
    channels: int,
    *,
    function: ChannelMap | None = None,
    rescale: float | None = None,
    sample_center: bool = False,
    sample_std: bool = False,
    feature_mean: np.ndarray | None = None,
    feature_std: np.ndarray | None = None,
    **settings: Any,
) -> _core.Program:
    """Returns the program that gives Keras's values.

    Args:
        height: Height of an image.
        width: Width of an image.
        channels: Channels of an image.
        function: What comes before standardization, or None.
        rescale: Factor for each value, or None.
        sample_center: Whether to subtract an image's mean.
        sample_std: Whether to divide by an image's standard deviation + 1e-6.
        feature_mean: A value for each channel to subtract, or None.
        feature_std: A value for each channel to divide by, + 1e-6, or None.
        **settings: Other arguments of `_core.Program`.

    Raises:
        ValueError: If a value is not one that the core takes.
    """
    standardization: list[dict[str, Any]] = []
    if rescale is not None:
        standardization.append({"op": "rescale", "factor": rescale})
    if sample_center:
        standardization.append({"op": "sample_center"})
    if sample_std:
        standardization.append({"op": "sample_std"})
    if feature_mean is not None or feature_std is not None:
        scale = None if feature_std is None else 1 / (feature_std + np.float32(1e-6))
        standardization.append({"op": "normalize", "offset": feature_mean, "scale": scale})
    mapped = None
    if function is not None:
        mapped = {
            "op": "linear",
            "scale": function.scale,
            "offset": function.offset,
            "reverses_channels": function.reverses,
        }
    return _core.Program(
        height, width, channels, _SHIFTS, standardization, function=mapped, **settings
    )
