"""The study `sweep`: fastaug beside Keras wherever there is little to gain.

Types other than float32, subclasses, preprocessing functions, and single images: no row may be
slower than Keras.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from itertools import product

import keras_reference
import numpy as np
from check import LEVELS, RARE, TOLERANCE, Check
from contestants import SEED
from photos import make_set
from PIL import Image
from report import aligned
from studies import Study
from timing import settle_memory

import fastaug
from fastaug.keras_api.guessing import run_length

SIZE, BATCH = 64, 32
IMAGES = 8 * BATCH
CHECKED = 3  # results of each row
LOOKAHEAD = 1 + 2 * run_length(4 * BATCH * SIZE * SIZE * 3)  # as that of the contestants


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Rounds of each row, of each side.
        close: Rounds of a row whose ratio is less than CLEARLY after these.
        seconds: Least length of a round.
        most: Seconds of all rounds of a row whose ratio is more than NEAR, after the first two.
        step: Of how many rows one is taken.
    """

    rounds: int
    close: int
    seconds: float
    most: float
    step: int


# Short rounds, of which many escape what else the machine does.
FULL = Plan(rounds=8, close=50, seconds=0.002, most=1.0, step=1)
QUICK = Plan(rounds=2, close=4, seconds=0.001, most=0.2, step=7)
CLEARLY, NEAR = 2.0, 1.25

# ---- what is set -------------------------------------------------------------------------------

AFFINE = {
    "rotation_range": 20,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "zoom_range": 0.1,
}
SETTINGS = {
    "nothing": {},
    "flip": {"horizontal_flip": True},
    "affine": AFFINE,
    "affine, constant": {**AFFINE, "fill_mode": "constant"},
    "channel shift": {"channel_shift_range": 20.0},
    "brightness": {"brightness_range": (0.5, 1.5)},
    "rescale": {"rescale": 1 / 255},
    "samplewise": {"samplewise_center": True, "samplewise_std_normalization": True},
    "featurewise": {"featurewise_center": True, "featurewise_std_normalization": True},
}
EVERYTHING = {
    **AFFINE,
    **SETTINGS["flip"],
    **SETTINGS["channel shift"],
    **SETTINGS["brightness"],
    "shear_range": 5,
}
ALWAYS = ("nothing", "flip", "affine", "brightness")
FLOATS = ("rescale", "samplewise", "featurewise")


def negative(x):
    """A preprocessing function that costs next to nothing."""
    return 255 - x


def _standardizes(base):
    class Own(base):
        def standardize(self, x):
            return x * np.float32(1 / 255)

    return Own


def _transforms(base):
    class Own(base):
        def apply_transform(self, x, transform_parameters):
            return super().apply_transform(x, transform_parameters)[::-1]

    return Own


def _draws(base):
    class Own(base):
        def get_random_transform(self, img_shape, seed=None):
            return {**super().get_random_transform(img_shape, seed), "flip_vertical": True}

    return Own


def _transforms_at_random(base):
    class Own(base):
        def random_transform(self, x, seed=None):
            return super().random_transform(x, seed)[::-1]

    return Own


SUBCLASSES = {
    "own standardize": _standardizes,
    "own apply_transform": _transforms,
    "own get_random_transform": _draws,
    "own random_transform": _transforms_at_random,
}

# ---- the rows ----------------------------------------------------------------------------------


@dataclass
class Row:
    """One thing that both do.

    Attributes:
        group: What kind of thing.
        name: Which.
        make: Function of a side and an ExitStack, which returns the function that does it.
        images: How many images that makes.
        seconds: Seconds per call, a round each, of Keras and of fastaug.
    """

    group: str
    name: str
    make: Callable
    images: int = 1
    seconds: dict = field(default_factory=lambda: {"keras": [], "fastaug": []})

    def __str__(self):
        return f"{self.group}: {self.name}"

    @property
    def is_timed(self):
        """Whether both have a round."""
        return all(self.seconds.values())

    def fastest(self, key):
        """Returns the microseconds per image of the round that others disturbed the least."""
        return 1e6 * min(self.seconds[key]) / self.images

    @property
    def ratio(self):
        """Keras's time to fastaug's."""
        return self.fastest("keras") / self.fastest("fastaug")

    def record(self):
        """Returns the row as a dict for the JSON file."""
        return {
            "group": self.group,
            "name": self.name,
            "images_per_call": self.images,
            "us_per_image": {key: self.fastest(key) for key in self.seconds},
            "rounds_us_per_image": {
                key: [1e6 * each / self.images for each in rounds]
                for key, rounds in self.seconds.items()
            },
            "ratio": self.ratio,
        }


class Side:
    """Keras or fastaug: the class, and functions under the names that both have.

    Args:
        key: Name in the JSON file.
        functions: The module or modules that have them.
    """

    def __init__(self, key, *functions):
        self.key = key
        self._functions = functions

    def __getattr__(self, name):
        for functions in self._functions:
            if hasattr(functions, name):
                return getattr(functions, name)
        raise AttributeError(f"{self.key} has no {name}")

    def generator(self, settings, subclass=None):
        """Returns a generator, which has statistics where it needs some."""
        kind = self.ImageDataGenerator
        generator = (subclass(kind) if subclass else kind)(**settings)
        if settings.get("featurewise_center"):
            dtype = settings.get("dtype", "float32")
            generator.mean = np.array([[[120, 110, 100]]], dtype)
            generator.std = np.array([[[60, 55, 50]]], dtype)
        return generator


SIDES = (
    Side("keras", keras_reference.legacy, keras_reference.keras.utils),
    Side("fastaug", fastaug),
)


def flow_row(group, name, x, settings, subclass=None):
    """Returns the row of a flow."""

    def make(side, stack):
        iterator = side.generator(settings, subclass).flow(x, batch_size=BATCH, seed=SEED)
        if side.key == "fastaug":
            stack.enter_context(closing(iterator))
        return partial(next, iterator)

    return Row(group, name, make, BATCH)


def method_row(method, name, settings, call):
    """Returns the row of a method of a generator; `call` calls it, given the generator."""

    def make(side, stack):
        return partial(call, side.generator(settings))

    return Row(f"generator.{method}", name, make)


def function_row(function, name, *arguments, **keywords):
    """Returns the row of a function of the module."""

    def make(side, stack):
        return partial(getattr(side, function), *arguments, **keywords)

    return Row(function, name, make)


def rows_of_flows(x):
    """Yields the rows of batches."""
    typed = {
        name: x.astype(name)
        for name in ("uint8", "int32", "uint16", "float16", "float32", "float64")
    }
    for name, key in product(typed, ALWAYS):
        yield flow_row(f"{name} array", key, typed[name], SETTINGS[key])
    for dtype in ("uint8", "int32", "uint16", "float16", "float64"):
        floats = dtype.startswith("float")
        for key in SETTINGS:
            # Keras fails where an integer would have to be a float, and SciPy at float16
            if (key in FLOATS and not floats) or (key.startswith("affine") and dtype == "float16"):
                continue
            settings = {**SETTINGS[key], "dtype": dtype}
            yield flow_row(f"dtype={dtype!r}", key, typed[dtype], settings)
    first = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    for dtype, key in product(("uint8", "float32", "float64"), ("nothing", "flip", "affine")):
        settings = {**SETTINGS[key], "dtype": dtype, "data_format": "channels_first"}
        yield flow_row(f"channels_first, dtype={dtype!r}", key, first.astype(dtype), settings)
    for subclass, key in product(SUBCLASSES, ("nothing", "flip", "affine")):
        yield flow_row(
            f"subclass, {subclass}", key, typed["float32"], SETTINGS[key], SUBCLASSES[subclass]
        )
    function = {"preprocessing_function": negative}
    for name, key in product(("uint8", "float32", "float64"), ("nothing", "flip", "affine")):
        yield flow_row(f"function, {name} array", key, typed[name], {**SETTINGS[key], **function})
    for dtype, key in product(("uint8", "float64"), ("nothing", "flip", "affine")):
        settings = {**SETTINGS[key], **function, "dtype": dtype}
        yield flow_row(f"function, dtype={dtype!r}", key, typed[dtype], settings)


PARAMETERS = {
    "nothing": {},
    "flip": {"flip_horizontal": True, "flip_vertical": True},
    "affine": {"theta": 20, "tx": 3, "ty": -2, "zx": 0.9, "zy": 1.1},
    "channel shift": {"channel_shift_intensity": 12.0},
    "brightness": {"brightness": 1.2},
}


def rows_of_methods(image):
    """Yields the rows of the generator's methods, on one image."""
    for name, settings in {**SETTINGS, "everything": EVERYTHING}.items():
        if name not in FLOATS and "," not in name:
            yield method_row(
                "get_random_transform",
                name,
                settings,
                lambda generator: generator.get_random_transform((SIZE, SIZE, 3)),
            )
    for dtype in ("uint8", "int32", "float16", "float32", "float64"):
        x = image.astype(dtype)
        for key, parameters in PARAMETERS.items():
            if (key, dtype) == ("affine", "float16"):  # SciPy fails
                continue

            def apply(generator, x=x, parameters=parameters):
                return generator.apply_transform(x, parameters)

            def at_random(generator, x=x):
                return generator.random_transform(x)

            yield method_row("apply_transform", f"{key}, {dtype}", {}, apply)
            if key == "affine":
                settings = {"interpolation_order": 3}
                yield method_row("apply_transform", f"affine, cubic, {dtype}", settings, apply)
            yield method_row("random_transform", f"{key}, {dtype}", SETTINGS[key], at_random)
        if dtype.startswith("float"):
            for key in ("nothing", *FLOATS):
                # in its place: of a new array each time

                def standardize(generator, x=x):
                    return generator.standardize(x.copy())

                settings = {**SETTINGS[key], "dtype": dtype}
                yield method_row("standardize", f"{key}, {dtype}", settings, standardize)


def rows_of_functions(image):
    """Yields the rows of the module's functions, on one image."""
    axes = {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
    for dtype in ("uint8", "float32", "float64"):
        x = image.astype(dtype)
        yield function_row("apply_affine_transform", f"nothing, {dtype}", x, **axes)
        yield function_row("apply_affine_transform", dtype, x, theta=20, zx=0.9, **axes)
        yield function_row("apply_channel_shift", dtype, x, 12.0, 2)
        yield function_row("apply_brightness_shift", dtype, x, 1.2)
        yield function_row("random_rotation", dtype, x, 20, **axes)
        yield function_row("random_shift", dtype, x, 0.1, 0.1, **axes)
        yield function_row("random_shear", dtype, x, 5, **axes)
        yield function_row("random_zoom", dtype, x, (0.9, 1.1), **axes)
        yield function_row("random_channel_shift", dtype, x, 20.0, 2)
        yield function_row("random_brightness", dtype, x, (0.5, 1.5))
        yield function_row("array_to_img", dtype, x)
        yield function_row("array_to_img", f"scale=False, {dtype}", x, scale=False)
        yield function_row("img_to_array", dtype, x)
    picture = Image.fromarray(image)
    file = BytesIO()
    picture.save(file, "png")
    yield function_row("img_to_array", "Pillow", picture)
    yield function_row("load_img", "png", file)
    yield function_row("load_img", "png, target_size", file, target_size=(32, 32))


# ---- the study ---------------------------------------------------------------------------------


class Sweep(Study):
    """Times each row of both in turns, with the same arguments and the same draws."""

    def prepare(self):
        plan = QUICK if self.options.quick else FULL
        if self.options.rounds:
            plan = replace(plan, rounds=self.options.rounds, close=self.options.rounds)
        self.plan = plan
        images = make_set(SIZE, IMAGES)
        self.source = images.source
        image = images.x[0]
        rows = [*rows_of_flows(images.x), *rows_of_methods(image), *rows_of_functions(image)]
        self.rows = rows[:: plan.step]

    def steps(self):
        return 2 * len(self.rows)

    def heading(self):
        return [
            f"images    {self.source}, {SIZE}x{SIZE}; batches of {BATCH}, or single images",
            "sides     both as they come, in turns: fastaug with its default of workers",
        ]

    def compare(self):
        total = Check(difference=0.0, differing=0.0, labels_equal=True)
        for row in self.rows:
            self.progress.doing("study sweep: check", str(row))
            try:
                self._compare(row, total)
            except Exception as error:  # whatever it is, nothing can be timed
                total.problem = f"{row}: {type(error).__name__}: {error}"
                return total
            self.progress.done()
        return total

    def _compare(self, row, total):
        """Raises where the results of a row are not Keras's."""
        results = {}
        with ExitStack() as stack:
            for side in SIDES:
                call = row.make(side, stack)
                np.random.seed(SEED)
                results[side.key] = [call() for _ in range(CHECKED)]
        total.batches += CHECKED
        for want, got in zip(results["keras"], results["fastaug"], strict=True):
            difference = _difference(want, got)
            total.difference = max(total.difference, difference)

    def measure(self):
        settle_memory()
        for row in self.rows:
            self.progress.doing("study sweep: rounds", str(row))
            with ExitStack() as stack:
                _measure(row, stack, self.plan)
            self.progress.done()

    # ---- what was found ----

    @property
    def timed(self):
        """The rows that were measured."""
        return [row for row in self.rows if row.is_timed]

    def tables(self):
        timed = self.timed
        if not timed:
            return []
        rows = [("", "", "us/image Keras", "us/image fastaug", "ratio")]
        for row in timed:
            rows.append(
                (
                    row.group,
                    row.name,
                    *(f"{row.fastest(key):.2f}" for key in row.seconds),
                    f"{row.ratio:.2f}",
                )
            )
        lowest = min(timed, key=lambda row: row.ratio)
        below = sum(row.ratio < 1 for row in timed)
        return [
            *aligned(rows, "<<>>>"),
            f"  us/image: the fastest of {self.plan.rounds} rounds, or of up to {self.plan.close} "
            "where the ratio is close; ratio: Keras's time to fastaug's",
            f"  the lowest ratio is {lowest.ratio:.2f}: {lowest}; {below} of {len(timed)} below 1",
        ]

    def record(self):
        timed = self.timed
        lowest = min(timed, key=lambda row: row.ratio, default=None)
        return {
            "images": self.source,
            "size": SIZE,
            "batch_size": BATCH,
            "lowest": None if lowest is None else {"row": str(lowest), "ratio": lowest.ratio},
            "rows": [row.record() for row in timed],
        }

    def figures(self, caption):
        return ()


def _measure(row, stack, plan):
    """Times a row; both sides make as many in a round, and so with the same draws."""
    # what is made ahead is taken before the clock starts
    before, least = (1, 1) if row.images == 1 else (LOOKAHEAD + 1, LOOKAHEAD)
    runs = [(row.make(side, stack), row.seconds[side.key]) for side in SIDES]
    for call, _ in runs:
        _timed(call, before)
    slowest = max([_timed(call, least) for call, _ in runs])
    count = max(least, round(plan.seconds / slowest))
    start = time.perf_counter()
    for number in range(plan.close):
        late = number >= 2 and time.perf_counter() - start > plan.most
        if (number >= plan.rounds and row.ratio > CLEARLY) or (late and row.ratio > NEAR):
            return
        for call, rounds in runs:
            _timed(call, before)
            rounds.append(_timed(call, count))
        runs.reverse()


def _timed(call, count):
    """Returns the seconds of a call, of some in a row."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def _difference(want, got):
    """Returns the largest difference of two results of 255.

    Raises:
        ValueError: If it is too large, or they are not alike.
    """
    if isinstance(want, dict):
        if got != want or list(map(type, got.values())) != list(map(type, want.values())):
            raise ValueError(f"{got}, and Keras's {want}")
        return 0.0
    if isinstance(want, Image.Image):
        if want.mode != got.mode:
            raise ValueError(f"an image of mode {got.mode}, and Keras's of {want.mode}")
        want, got = np.asarray(want), np.asarray(got)
    if got.shape != want.shape or got.dtype != want.dtype:
        raise ValueError(
            f"shape {got.shape} and dtype {got.dtype}, and Keras's {want.shape} and {want.dtype}"
        )
    deviation = np.abs(got.astype(np.float64) - want)
    difference = float(np.max(deviation))
    share = float(np.mean(deviation > 0))
    if want.dtype.kind in "iu":
        same = difference <= LEVELS and share <= RARE
    else:
        same = difference <= TOLERANCE
    if not same:  # NaN too
        raise ValueError(f"a difference of {difference:.2g}, in {share:.2%} of the values")
    return difference
