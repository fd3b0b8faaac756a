"""Programs of the core in Keras's order of work, with everything that the core can do in it."""

from fastaug import _core

SHIFTS = [{"op": "channel_shift", "column": 8}, {"op": "brightness", "column": 9}]


def keras_program(
    height,
    width,
    channels,
    *,
    rescale=None,
    sample_center=False,
    sample_std=False,
    feature_mean=None,
    feature_scale=None,
    function_scale=None,
    function_offset=None,
    function_reverses=False,
    **settings,
):
    """Returns a program with the steps that these arguments name."""
    function, standardization = None, []
    if function_scale is not None or function_offset is not None:
        function = {
            "op": "linear",
            "scale": function_scale,
            "offset": function_offset,
            "reverses_channels": function_reverses,
        }
    if rescale is not None:
        standardization.append({"op": "rescale", "factor": rescale})
    standardization += [{"op": "sample_center"}] * sample_center
    standardization += [{"op": "sample_std"}] * sample_std
    if feature_mean is not None or feature_scale is not None:
        standardization.append({"op": "normalize", "offset": feature_mean, "scale": feature_scale})
    return _core.Program(
        height, width, channels, SHIFTS, standardization, function=function, **settings
    )
