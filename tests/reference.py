"""The Keras reference, run beside fastaug, and how close the two have to be.

Owns the test images, the two libraries behind one face, the comparison of their results with the
tolerances of the contract, and an independent calculation of where an output pixel comes from.
No numbers are stored: every expectation is computed by Keras while the test runs.
"""

import contextlib
import math
import types
import warnings
from dataclasses import dataclass, field, replace

import numpy as np

import fastaug

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras
    from keras.src.legacy.preprocessing import image as keras_image

# ---------------------------------------------------------------------------- images

# Every geometric setting at once.
GEOMETRY = {
    "rotation_range": 40,
    "width_shift_range": 0.2,
    "height_shift_range": 0.2,
    "shear_range": 15,
    "zoom_range": 0.25,
    "horizontal_flip": True,
    "vertical_flip": True,
}
FLIPS = {"horizontal_flip": True, "vertical_flip": True}


def images(
    n=10, height=9, width=13, channels=3, dtype="uint8", data_format="channels_last", seed=7
):
    """Random images: the whole range 0..255 for uint8 and floats, wider or narrower otherwise."""
    rng = np.random.default_rng(seed)
    if data_format == "channels_last":
        shape = (n, height, width, channels)
    else:
        shape = (n, channels, height, width)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind == "f":
        return (rng.random(shape) * 255).astype(dtype)
    if dtype == np.uint8:
        return rng.integers(0, 256, shape).astype(dtype)
    low, high = (0, 60000) if dtype.kind == "u" else (-90, 300)
    return rng.integers(low, high, shape).astype(dtype)


def pixel_scale(x):
    """The size of the pixels of ``x`` in units of 0..255, to scale a tolerance with."""
    return float(np.max(np.abs(np.asarray(x, dtype="float64")))) / 255


# ---------------------------------------------------------------------------- tolerances


@dataclass(frozen=True)
class Tolerance:
    """How far images may lie from Keras's.

    ``relative`` counts in units of the largest absolute value that Keras gives. Beyond
    ``absolute`` plus ``relative``, the part ``fraction`` of the pixels may deviate up to ``level``.
    """

    absolute: float = 0.0
    relative: float = 0.0
    level: float = 0.0
    fraction: float = 0.0

    def scaled(self, factor):
        return replace(self, absolute=self.absolute * factor, level=self.level * factor)


EXACT = Tolerance()
TRANSFORM = Tolerance(absolute=0.01)
STANDARD = Tolerance(relative=1e-5)
BRIGHTNESS = Tolerance(relative=1e-6, level=1.0, fraction=0.005)


def assert_images_close(actual, expected, tolerance=EXACT, excluded=None, where="images"):
    """Same type, dtype and shape, and values within ``tolerance`` outside ``excluded``."""
    assert type(actual) is np.ndarray, f"{where}: {type(actual)}"
    assert actual.dtype == expected.dtype, f"{where}: {actual.dtype} is not {expected.dtype}"
    assert actual.shape == expected.shape, f"{where}: {actual.shape} is not {expected.shape}"
    a, e = actual.astype("float64"), expected.astype("float64")
    undefined = ~np.isfinite(e)
    deviation = np.zeros(e.shape)
    deviation[~undefined] = np.abs(a[~undefined] - e[~undefined])
    deviation[np.isnan(deviation)] = np.inf
    deviation[undefined & ~((a == e) | (np.isnan(a) & np.isnan(e)))] = np.inf
    if excluded is not None:
        deviation[np.broadcast_to(excluded, deviation.shape)] = 0.0
    if deviation.size == 0:
        return
    largest = np.max(np.abs(e[~undefined]), initial=0.0)
    allowed = tolerance.absolute + tolerance.relative * largest
    beyond = deviation > allowed
    part = beyond.mean()
    worst = np.unravel_index(np.argmax(deviation), deviation.shape)
    report = (
        f"{where}: {beyond.sum()} of {beyond.size} values deviate by more than {allowed:.3g}; "
        f"largest {deviation[worst]:.6g} at {tuple(map(int, worst))}: "
        f"{a[worst]!r} is not {e[worst]!r}"
    )
    assert part <= tolerance.fraction, report
    assert np.all(deviation[beyond] <= tolerance.level + allowed), report


def assert_same(actual, expected, where="result"):
    """Equal in type, structure, dtype, shape and every bit of every value."""
    assert type(actual) is type(expected), f"{where}: {type(actual)} is not {type(expected)}"
    if isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), f"{where}: {len(actual)} is not {len(expected)} long"
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            assert_same(a, e, f"{where}[{i}]")
    elif isinstance(expected, dict):
        assert list(actual) == list(expected), f"{where}: keys {list(actual)}"
        for key in expected:
            assert_same(actual[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype, f"{where}: {actual.dtype} is not {expected.dtype}"
        np.testing.assert_array_equal(actual, expected, err_msg=where, strict=True)
    else:
        assert actual == expected, f"{where}: {actual!r} is not {expected!r}"


def with_tuples(batch):
    """A batch of Keras's with tuples for its lists, which its own trainer refuses."""
    if isinstance(batch, (list, tuple)):
        return tuple(with_tuples(part) for part in batch)
    return batch


def images_of(batch):
    """The augmented images of a batch of any structure."""
    while isinstance(batch, (list, tuple)):
        batch = batch[0]
    return batch


def rest_of(batch):
    """All of a batch but its augmented images."""
    first, others = (batch[0], batch[1:]) if isinstance(batch, tuple) else (batch, None)
    return (first[1:] if isinstance(first, tuple) else None, others)


def assert_batches_equal(actual, expected, tolerance=EXACT, excluded=None):
    """Same number and structure of batches, images within ``tolerance``, all else identical.

    But for Keras's lists, which are tuples.
    """
    assert len(actual) == len(expected) > 0
    for i, (a, e) in enumerate(zip(actual, map(with_tuples, expected), strict=True)):
        assert type(a) is type(e), f"batch {i}: {type(a)} is not {type(e)}"
        if isinstance(e, tuple):
            assert len(a) == len(e), f"batch {i}: {len(a)} parts instead of {len(e)}"
            assert type(a[0]) is type(e[0]), f"batch {i}: {type(a[0])} is not {type(e[0])}"
        mask = None if excluded is None else excluded[i]
        assert_images_close(images_of(a), images_of(e), tolerance, mask, f"batch {i}")
        assert_same(rest_of(a), rest_of(e), f"batch {i}")


def same_stream(a, b):
    """Whether two states of a NumPy stream are the same."""
    return a[0] == b[0] and np.array_equal(a[1], b[1]) and a[2:] == b[2:]


# ---------------------------------------------------------------------------- the two libraries

_OTHER_WARNINGS = ("Please import `affine_transform`", "'mode' parameter is deprecated")


class Library:
    """One of the two libraries; ``drawn`` collects the parameters that Keras draws."""

    def __init__(self, name, module, options=None):
        self.name = name
        self.options = options or {}
        self.drawn = []
        self._module = module

    def __getattr__(self, name):
        return getattr(self._module, name)

    def generator(self, *args, **settings):
        """An ImageDataGenerator with these arguments and the library's own options."""
        return self.make(self.ImageDataGenerator, *args, **settings)

    def make(self, generator_class, *args, **settings):
        """The same for a subclass of ``self.ImageDataGenerator``."""
        return generator_class(*args, **settings, **self.options)

    def close(self, iterator):
        if self.name == "fastaug":
            iterator.close()


def keras_library():
    """Keras under the names that fastaug has, with a generator that notes what it draws."""
    library = Library("keras", None)

    class RecordingGenerator(keras_image.ImageDataGenerator):
        def get_random_transform(self, img_shape, seed=None):
            parameters = super().get_random_transform(img_shape, seed)
            library.drawn.append((tuple(img_shape), dict(parameters)))
            return parameters

    names = {name: getattr(keras_image, name) for name in FUNCTIONS}
    names |= {name: getattr(keras.utils, name) for name in IMAGE_HELPERS}
    names |= {name: getattr(keras_image, name) for name in ("Iterator", "NumpyArrayIterator")}
    library._module = types.SimpleNamespace(ImageDataGenerator=RecordingGenerator, **names)
    return library


def fastaug_library(options=None):
    return Library("fastaug", fastaug, options)


FUNCTIONS = (
    "apply_affine_transform",
    "apply_channel_shift",
    "apply_brightness_shift",
    "random_rotation",
    "random_shift",
    "random_shear",
    "random_zoom",
    "random_channel_shift",
    "random_brightness",
)
IMAGE_HELPERS = ("array_to_img", "img_to_array", "load_img", "save_img")


@contextlib.contextmanager
def recorded_warnings():
    """Record every warning but two kinds.

    Those are the deprecations inside Keras's own calls to SciPy and Pillow, and NumPy's complaints
    of pixels that are no numbers, which depend on how a sum is made.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for message in _OTHER_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="invalid value", category=RuntimeWarning)
        yield caught


# ---------------------------------------------------------------------------- running both


#: The results of fastaug that have a value, since the test began.
ours = []


@dataclass
class Result:
    """What a scenario gave: its value or error, its warnings, the global stream, the draws.

    ``seen`` tells whether a test has looked at the value.
    """

    error: BaseException | None = None
    warnings: list = field(default_factory=list)
    stream: tuple = field(default=(), repr=False)
    drawn: list = field(default_factory=list, repr=False)
    seen: bool = False
    _value: object = None

    @property
    def value(self):
        self.seen = True
        return self._value


def run(scenario, library, stream_seed=1234):
    """Run ``scenario(library)`` with the global NumPy stream seeded, and note everything."""
    result = Result(drawn=library.drawn)
    np.random.seed(stream_seed)
    with recorded_warnings() as caught:
        try:
            result._value = scenario(library)
        except Exception as error:
            result.error = error
    result.stream = np.random.get_state()
    result.warnings = [(w.category, str(w.message)) for w in caught]
    if library.name == "fastaug" and result._value is not None:
        ours.append(result)
    return result


def assert_all_seen():
    """The test has looked at each value that it had fastaug make: Keras's alone proves nothing."""
    unseen = [result for result in ours if not result.seen]
    assert not unseen, f"the test does not look at {unseen}"


def run_both(scenario, *, options=None, stream_seed=1234, stream="keras", usage=False):
    """Run with both libraries; errors and warnings must agree, and the global stream.

    The stream must end where Keras leaves it (``stream="keras"``), be as it was
    (``"untouched"``), or may be anywhere (``None``). With ``usage``, fastaug has to give a
    ``UsageWarning`` too, and else it must not. Returns fastaug's and Keras's result.
    """
    expected = run(scenario, keras_library(), stream_seed)
    actual = run(scenario, fastaug_library(options), stream_seed)
    if usage:
        categories = [category for category, _ in actual.warnings]
        assert fastaug.UsageWarning in categories
        actual.warnings = [w for w in actual.warnings if w[0] is not fastaug.UsageWarning]
    assert_same_outcome(actual, expected)
    if stream == "keras":
        assert same_stream(actual.stream, expected.stream), "the global stream ends elsewhere"
    elif stream == "untouched":
        np.random.seed(stream_seed)
        assert same_stream(actual.stream, np.random.get_state()), "the global stream was touched"
    return actual, expected


def assert_same_outcome(actual, expected):
    """The same error, type and text, or none; the same warnings, repetitions apart."""
    if actual.error is not None and expected.error is None:
        raise actual.error
    assert type(actual.error) is type(expected.error), (
        f"{actual.error!r} instead of {expected.error!r}"
    )
    assert str(actual.error) == str(expected.error)
    assert list(dict.fromkeys(actual.warnings)) == list(dict.fromkeys(expected.warnings))


def assert_same_error(scenario, error=Exception, **arguments):
    """Both libraries raise the same exception with the same text; returns Keras's."""
    _, expected = run_both(scenario, stream=None, **arguments)
    assert isinstance(expected.error, error), f"Keras did not raise: {expected}"
    return expected.error


# ---------------------------------------------------------------------------- flows


def take(iterator, batches):
    return [next(iterator) for _ in range(batches)]


def flow_scenario(x, y=None, *, settings, batches=None, fit_on=None, **flow):
    """A scenario: a generator, fitted if wished, and ``batches`` batches of its flow.

    Without ``batches``: an epoch and one batch of the next.
    """

    def scenario(library):
        generator = library.generator(**settings)
        if fit_on is not None:
            generator.fit(fit_on)
        iterator = generator.flow(x, y, **flow)
        try:
            return take(iterator, len(iterator) + 1 if batches is None else batches)
        finally:
            library.close(iterator)

    return scenario


def compare_flow(
    x,
    y=None,
    *,
    settings,
    tolerance=EXACT,
    options=None,
    edges=False,
    active=True,
    usage=False,
    **flow,
):
    """Compare a flow of fastaug with Keras's: batches, warnings, errors and global stream.

    ``edges`` leaves out the pixels at a decision edge of the interpolation; ``active`` asserts
    that Keras drew a transformation at all; ``usage`` is as for ``run_both``. Returns Keras's
    result.
    """
    stream = "keras" if flow.get("seed") is None else "untouched"
    actual, expected = run_both(
        flow_scenario(x, y, settings=settings, **flow),
        options=options,
        stream=stream,
        usage=usage,
    )
    assert expected.error is None, f"Keras itself raised: {expected.error!r}"
    if active:
        assert any(not is_neutral(parameters) for _, parameters in expected.drawn)
    excluded = None
    if edges:
        excluded = excluded_pixels(expected, settings)
        assert np.mean([mask.mean() for mask in excluded]) < 0.02, "too much is left out"
    assert_batches_equal(actual.value, expected.value, tolerance, excluded)
    return expected


def is_neutral(parameters):
    """Whether these parameters leave an image as it is."""
    return (
        all(parameters[name] == 0 for name in ("theta", "tx", "ty", "shear"))
        and all(parameters[name] == 1 for name in ("zx", "zy"))
        and not parameters["flip_horizontal"]
        and not parameters["flip_vertical"]
        and parameters["channel_shift_intensity"] is None
        and parameters["brightness"] is None
    )


# ---------------------------------------------------------------------------- coordinates


def source_coordinates(height, width, parameters):
    """Where each output pixel is taken from: (rows, columns), two (height, width) arrays.

    The closed form of Keras's product of matrices, not the product itself. Keras calls the first
    coordinate x and gives it the column, yet centres it with the height.
    """
    theta, shear = (math.radians(parameters[name]) for name in ("theta", "shear"))
    zx, zy, tx, ty = (float(parameters[name]) for name in ("zx", "zy", "tx", "ty"))
    centre_x, centre_y = height / 2 - 0.5, width / 2 - 0.5
    y, x = np.mgrid[:height, :width].astype("float64")
    u, v = x - centre_x, y - centre_y
    source_x = math.cos(theta) * zx * u - math.sin(theta + shear) * zy * v
    source_y = math.sin(theta) * zx * u + math.cos(theta + shear) * zy * v
    source_x += centre_x + math.cos(theta) * tx - math.sin(theta) * ty
    source_y += centre_y + math.sin(theta) * tx + math.cos(theta) * ty
    return source_y, source_x


def has_geometry(parameters):
    return any(parameters[name] != 0 for name in ("theta", "tx", "ty", "shear")) or any(
        parameters[name] != 1 for name in ("zx", "zy")
    )


def decision_edges(height, width, parameters, fill_mode, order, margin=1e-6):
    """A (height, width) mask of the output pixels whose source lies at a decision edge.

    Order 0 decides at every half; ``constant`` at 0 and n - 1, beyond which it gives cval;
    ``wrap`` jumps at every multiple of its period n - 1.
    """
    mask = np.zeros((height, width), dtype=bool)
    if not has_geometry(parameters):
        return mask
    sources = source_coordinates(height, width, parameters)
    for source, size in zip(sources, (height, width), strict=True):
        if order == 0:
            mask |= _near_multiple(source + 0.5, 1, margin)
        if fill_mode == "constant":
            mask |= (np.abs(source) < margin) | (np.abs(source - (size - 1)) < margin)
        if fill_mode == "wrap" and size > 1:
            mask |= _near_multiple(source, size - 1, margin)
    if parameters["flip_horizontal"]:
        mask = mask[:, ::-1]
    if parameters["flip_vertical"]:
        mask = mask[::-1]
    return mask


def _near_multiple(values, period, margin):
    return np.abs(values - np.round(values / period) * period) < margin


def excluded_pixels(result, settings):
    """For each batch of Keras's result, the pixels at a decision edge, to broadcast over it."""
    fill_mode = settings.get("fill_mode", "nearest")
    order = settings.get("interpolation_order", 1)
    first = settings.get("data_format") == "channels_first"
    drawn = iter(result.drawn)
    masks = []
    for batch in result.value:
        batch_masks = []
        for _ in images_of(batch):
            shape, parameters = next(drawn)
            height, width = shape[1:] if first else shape[:2]
            mask = decision_edges(height, width, parameters, fill_mode, order)
            batch_masks.append(mask[None] if first else mask[..., None])
        masks.append(np.stack(batch_masks))
    assert next(drawn, None) is None, "Keras drew for more images than it returned"
    return masks
