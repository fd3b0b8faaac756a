"""The random parameters: bit for bit Keras's, from the same stream, with the same types."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import EXACT, TRANSFORM, compare_flow, images, run_both

SHIFTS = {
    "fraction": 0.2,
    "just below one": 0.999,
    "one": 1.0,
    "pixels as float": 3.7,
    "int one": 1,
    "int": 5,
    "true": True,
    "negative fraction": -0.3,
    "negative int": -3,
    "list of ints": [1, 3, -4],
    "tuple of ints": (2, 5),
    "list of floats": [0.5, 2.5, -1.25],
    "list of fractions": [0.1, 0.3],
    "negative ints only": [-3, -2],
    "list of one": [2],
    "empty list": [],
    "array of one": np.array([3]),
    "list of bytes": [np.uint8(3), np.uint8(250), np.uint8(7)],
    "list of float32": [np.float32(0.1), np.float32(2.7)],
    "list of ints and floats": [1, 2.5, 3],
    "int of 32 bits": 2**32,
    "int of 34 bits": 2**33 + 5,
    "numpy float": np.float64(0.25),
    "numpy float32": np.float32(0.25),
    "numpy int": np.int64(4),
}

SETTINGS = {
    "nothing": {},
    "rotation": {"rotation_range": 30.5},
    "rotation int": {"rotation_range": 90},
    "rotation negative": {"rotation_range": -20},
    "shear": {"shear_range": 12.5},
    "zoom scalar": {"zoom_range": 0.3},
    "zoom int": {"zoom_range": 1},
    "zoom pair": {"zoom_range": (0.8, 1.2)},
    "zoom list of ints": {"zoom_range": [1, 2]},
    "zoom ones": {"zoom_range": [1, 1]},
    "zoom ones as floats": {"zoom_range": (1.0, 1.0)},
    "zoom array": {"zoom_range": np.array([0.5, 0.9])},
    "zoom fixed": {"zoom_range": (0.7, 0.7)},
    "zoom numpy float": {"zoom_range": np.float64(0.2)},
    "horizontal flip": {"horizontal_flip": True},
    "vertical flip": {"vertical_flip": True},
    "both flips": {"horizontal_flip": True, "vertical_flip": True},
    "flips as ints": {"horizontal_flip": 1, "vertical_flip": 0},
    "channel shift": {"channel_shift_range": 20},
    "channel shift float": {"channel_shift_range": 33.3},
    "channel shift negative": {"channel_shift_range": -5.0},
    "brightness": {"brightness_range": (0.5, 1.5)},
    "brightness list": {"brightness_range": [0, 1]},
    "brightness fixed": {"brightness_range": [1, 1]},
    "everything": {
        "rotation_range": 25,
        "width_shift_range": 0.2,
        "height_shift_range": 0.1,
        "shear_range": 10,
        "zoom_range": 0.2,
        "horizontal_flip": True,
        "vertical_flip": True,
        "channel_shift_range": 15.0,
        "brightness_range": (0.6, 1.4),
    },
    "everything with choices": {
        "rotation_range": 25.0,
        "width_shift_range": [1, 2, 3],
        "height_shift_range": 4,
        "shear_range": 0.2,
        "zoom_range": [0.9, 1.3],
        "horizontal_flip": True,
        "vertical_flip": True,
        "channel_shift_range": 15,
        "brightness_range": [0.6, 1.4],
    },
}
SETTINGS |= {f"width shift {name}": {"width_shift_range": v} for name, v in SHIFTS.items()}
SETTINGS |= {f"height shift {name}": {"height_shift_range": v} for name, v in SHIFTS.items()}

SHAPES = [(9, 13, 3), (13, 9, 1), (1, 1, 3), (32, 32, 4)]

by_name = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


def describe(parameters):
    """Keys in order, with the exact type and the exact value of each."""
    return [
        (key, type(value), float(value).hex() if isinstance(value, (int, float)) else value)
        for key, value in parameters.items()
    ]


def draw(shapes, rounds=4, seed=None):
    """A scenario: the parameters for these shapes, several times over."""

    def scenario(library, settings):
        generator = library.generator(**settings)
        return [
            describe(generator.get_random_transform(shape, seed))
            for _ in range(rounds)
            for shape in shapes
        ]

    return scenario


def compare_draws(settings, shapes=SHAPES, **arguments):
    actual, expected = run_both(lambda library: draw(shapes, **arguments)(library, settings))
    assert expected.error is None
    assert len(expected.value) == len(expected.drawn) > 0
    assert actual.value == expected.value


@by_name
def test_unseeded_parameters_follow_the_global_stream(settings):
    compare_draws(settings)


@by_name
@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_seeded_parameters_restart_the_stream(settings, seed):
    compare_draws(settings, seed=seed, rounds=2)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_fractions_refer_to_the_axes_of_the_data_format(data_format):
    settings = {"width_shift_range": 0.5, "height_shift_range": [0.5], "data_format": data_format}
    compare_draws(settings, shapes=[(3, 20, 40)])


def test_the_sequence_of_seeds_is_independent_of_what_came_before():
    def scenario(library):
        generator = library.generator(rotation_range=30, zoom_range=0.1)
        return [describe(generator.get_random_transform((5, 7, 3), seed)) for seed in (4, 9, 4)]

    actual, expected = run_both(scenario)
    assert actual.value == expected.value
    assert actual.value[0] == actual.value[2] != actual.value[1]


def test_settings_changed_after_construction_are_followed():
    def scenario(library):
        generator = library.generator(rotation_range=30, zoom_range=0.2)
        results = [generator.get_random_transform((9, 13, 3))]
        generator.rotation_range = 0
        generator.zoom_range = (1, 1)
        generator.width_shift_range = [1, 2]
        results.append(generator.get_random_transform((9, 13, 3)))
        generator.height_shift_range = 0.5
        generator.brightness_range = (0.1, 0.2)
        generator.horizontal_flip = True
        results.append(generator.get_random_transform((9, 13, 3)))
        return [describe(parameters) for parameters in results]

    actual, expected = run_both(scenario)
    assert actual.value == expected.value
    assert len({str(parameters) for parameters in expected.value}) == 3


def test_half_a_pair_of_normal_deviates_stays_in_the_stream():
    """NumPy makes normal deviates in pairs and keeps the second for the next call."""

    def scenario(library):
        np.random.standard_normal()
        parameters = library.generator(rotation_range=5).get_random_transform((4, 4, 1))
        return describe(parameters), np.random.standard_normal(), np.random.random()

    actual, expected = run_both(scenario)
    assert actual.value == expected.value


# --------------------------------------------------------------------- through the pixels

FLOW_SETTINGS = {
    name: settings for name, settings in SETTINGS.items() if "brightness_range" not in settings
}


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("settings", FLOW_SETTINGS.values(), ids=FLOW_SETTINGS.keys())
def test_a_flow_uses_these_parameters(settings, seed):
    expected = compare_flow(
        images(n=5),
        settings=settings,
        tolerance=TRANSFORM,
        batch_size=2,
        seed=seed,
        active=False,
    )
    assert len(expected.drawn) == 7


@pytest.mark.parametrize(("order", "tolerance"), [(0, EXACT), (1, TRANSFORM)])
def test_whole_pixel_shifts_show_every_draw(order, tolerance):
    """At whole coordinates the source pixel itself comes out."""
    settings = {
        "width_shift_range": 4,
        "height_shift_range": [1, 2],
        "horizontal_flip": True,
        "vertical_flip": True,
        "interpolation_order": order,
    }
    expected = compare_flow(
        images(n=20, height=8, width=12),
        settings=settings,
        tolerance=tolerance,
        batch_size=8,
        seed=5,
    )
    shifts = {(p["tx"], p["ty"]) for _, p in expected.drawn}
    assert len(shifts) > 5


# --------------------------------------------------------------------- any settings at all

finite = st.floats(-200, 200, allow_nan=False, width=32)
shift = st.one_of(
    st.floats(-3, 3, allow_nan=False),
    st.integers(-4, 6),
    st.lists(st.integers(-5, 5), max_size=4),
    st.lists(st.floats(-2, 2, allow_nan=False), max_size=3).map(tuple),
)
pair = st.tuples(st.floats(0.25, 2), st.floats(0.25, 2))
any_settings = st.fixed_dictionaries(
    {},
    optional={
        "rotation_range": st.one_of(st.integers(-180, 180), finite),
        "width_shift_range": shift,
        "height_shift_range": shift,
        "shear_range": finite,
        "zoom_range": st.one_of(st.floats(0, 0.9), pair, st.just((1, 1))),
        "horizontal_flip": st.booleans(),
        "vertical_flip": st.booleans(),
        "channel_shift_range": st.floats(-50, 50, allow_nan=False),
        "brightness_range": st.one_of(st.none(), pair, pair.map(list)),
        "data_format": st.sampled_from(["channels_last", "channels_first"]),
    },
)


@given(
    settings=any_settings,
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50)),
    seed=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
)
def test_any_settings_draw_the_same(settings, shape, seed):
    compare_draws(settings, shapes=[shape], rounds=3, seed=seed)
