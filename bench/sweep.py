"""The study `sweep`: fastaug beside Keras wherever there is little to gain.

Types other than float32, subclasses, preprocessing functions, and single images: no row may be
slower than Keras.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from itertools import product
from types import SimpleNamespace as Plan

import keras_reference
import numpy as np
from check import LEVELS, RARE, TOLERANCE, Check, deviation
from contestants import SEED, lookahead_of
from photos import make_set
from PIL import Image
from report import aligned
from studies import Study
from timing import settle_memory

import fastaug

SIZE, BATCH = 64, 32
IMAGES = 8 * BATCH
CHECKED = 3  # results of each row
LOOKAHEAD = lookahead_of(4 * BATCH * SIZE * SIZE * 3)


# Rounds of each row, of each side, and of one whose ratio is less than CLEARLY after these; least
# seconds of a round; seconds of all rounds of a row whose ratio is above NEAR, after the first two;
# of how many rows one is taken. Short rounds, of which many escape what else the machine does.
FULL = Plan(rounds=8, close=50, seconds=0.002, most=1.0, step=1)
QUICK = Plan(rounds=2, close=4, seconds=0.001, most=0.2, step=7)
CLEARLY, NEAR = 2.0, 1.25

# ---- what is set -------------------------------------------------------------------------------

SHIFTS = {"width_shift_range": 0.1, "height_shift_range": 0.1}
AFFINE = {"rotation_range": 20, **SHIFTS, "zoom_range": 0.1}
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
    **AFFINE, **SETTINGS["flip"], **SETTINGS["channel shift"], **SETTINGS["brightness"],
    "shear_range": 5,
}  # fmt: skip
FEW = ("nothing", "flip", "affine")
FLOATS = ("rescale", "samplewise", "featurewise")


def negative(x):
    """A preprocessing function that costs next to nothing."""
    return 255 - x


# Names of subclasses, and the method that each has of its own.
SUBCLASSES = {
    "own standardize": lambda self, base, x: x * np.float32(1 / 255),
    "own apply_transform": lambda self, base, *given: base.apply_transform(self, *given)[::-1],
    "own get_random_transform": lambda self, base, *given, **named: {
        **base.get_random_transform(self, *given, **named),
        "flip_vertical": True,
    },
    "own random_transform": lambda self, base, *given: base.random_transform(self, *given)[::-1],
}


def subclass_of(base, name):
    """Returns the subclass of a generator's class that has this name."""
    own = SUBCLASSES[name]

    def method(self, *given, **named):
        return own(self, base, *given, **named)

    return type("Own", (base,), {name.removeprefix("own "): method})


# ---- the rows ----------------------------------------------------------------------------------


@dataclass
class Row:
    """One thing that both do, and the seconds per call of each round."""

    group: str  # what kind of thing
    name: str  # which
    make: Callable  # function of a side and an ExitStack; returns the function that does it
    images: int = 1  # how many images that makes
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
    """Keras or fastaug: the class, and functions under the names that both have."""

    def __init__(self, key, *modules):
        self.key, self._modules = key, modules

    def __getattr__(self, name):
        for module in self._modules:
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"{self.key} has no {name}")

    def generator(self, settings, subclass=None):
        """Returns a generator, which has statistics where it needs some."""
        kind = self.ImageDataGenerator
        generator = (subclass_of(kind, subclass) if subclass else kind)(**settings)
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


def method_row(method, name, settings, *given):
    """Returns the row of a method of a generator."""

    def make(side, stack):
        call = getattr(side.generator(settings), method)
        # standardize works in place: on a new array each time
        return (lambda: call(given[0].copy())) if method == "standardize" else partial(call, *given)

    return Row(f"generator.{method}", name, make)


def function_row(function, name, *arguments, **keywords):
    """Returns the row of a function of the module."""

    def make(side, stack):
        return partial(getattr(side, function), *arguments, **keywords)

    return Row(function, name, make)


def rows_of_flows(x):
    """Yields the rows of batches."""
    types = ("uint8", "int32", "uint16", "float16", "float32", "float64")
    typed = {name: x.astype(name) for name in types}
    for name, key in product(typed, (*FEW, "brightness")):
        yield flow_row(f"{name} array", key, typed[name], SETTINGS[key])
    for dtype, key in product(("uint8", "int32", "uint16", "float16", "float64"), SETTINGS):
        # Keras fails where an integer would have to be a float, and SciPy at float16
        if key in FLOATS and not dtype.startswith("float"):
            continue
        if key.startswith("affine") and dtype == "float16":
            continue
        settings = {**SETTINGS[key], "dtype": dtype}
        yield flow_row(f"dtype={dtype!r}", key, typed[dtype], settings)
    first = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    for dtype, key in product(("uint8", "float32", "float64"), FEW):
        settings = {**SETTINGS[key], "dtype": dtype, "data_format": "channels_first"}
        yield flow_row(f"channels_first, dtype={dtype!r}", key, first.astype(dtype), settings)
    for subclass, key in product(SUBCLASSES, FEW):
        yield flow_row(f"subclass, {subclass}", key, typed["float32"], SETTINGS[key], subclass)
    function = {"preprocessing_function": negative}
    for name, key in product(("uint8", "float32", "float64"), FEW):
        yield flow_row(f"function, {name} array", key, typed[name], {**SETTINGS[key], **function})
    for dtype, key in product(("uint8", "float64"), FEW):
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
    shape = (SIZE, SIZE, 3)
    for name, settings in {**SETTINGS, "everything": EVERYTHING}.items():
        if name not in FLOATS and "," not in name:
            yield method_row("get_random_transform", name, settings, shape)
    for dtype in ("uint8", "int32", "float16", "float32", "float64"):
        x = image.astype(dtype)
        for key, parameters in PARAMETERS.items():
            if (key, dtype) == ("affine", "float16"):  # SciPy fails
                continue
            yield method_row("apply_transform", f"{key}, {dtype}", {}, x, parameters)
            if key == "affine":
                cubic = {"interpolation_order": 3}
                name = f"affine, cubic, {dtype}"
                yield method_row("apply_transform", name, cubic, x, parameters)
            yield method_row("random_transform", f"{key}, {dtype}", SETTINGS[key], x)
        for key in ("nothing", *FLOATS) if dtype.startswith("float") else ():
            settings = {**SETTINGS[key], "dtype": dtype}
            yield method_row("standardize", f"{key}, {dtype}", settings, x)


def rows_of_functions(image):
    """Yields the rows of the module's functions, on one image."""
    axes = {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
    for dtype in ("uint8", "float32", "float64"):
        x = image.astype(dtype)
        for function, name, given, named in (
            ("apply_affine_transform", "nothing, ", (), axes),
            ("apply_affine_transform", "", (20,), {"zx": 0.9, **axes}),
            ("apply_channel_shift", "", (12.0, 2), {}),
            ("apply_brightness_shift", "", (1.2,), {}),
            ("random_rotation", "", (20,), axes),
            ("random_shift", "", (0.1, 0.1), axes),
            ("random_shear", "", (5,), axes),
            ("random_zoom", "", ((0.9, 1.1),), axes),
            ("random_channel_shift", "", (20.0, 2), {}),
            ("random_brightness", "", ((0.5, 1.5),), {}),
            ("array_to_img", "", (), {}),
            ("array_to_img", "scale=False, ", (), {"scale": False}),
            ("img_to_array", "", (), {}),
        ):
            yield function_row(function, name + dtype, x, *given, **named)
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
        self.plan = plan = copy(QUICK if self.options.quick else FULL)
        if rounds := self.options.rounds:
            plan.rounds = plan.close = rounds
        images = make_set(SIZE, IMAGES)
        self.source, image = images.source, images.x[0]
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
            self.doing("check", str(row))
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
            total.difference = max(total.difference, _difference(want, got))

    def measure(self):
        settle_memory()
        for row in self.rows:
            self.doing("rounds", str(row))
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
            us = (f"{row.fastest(key):.2f}" for key in row.seconds)
            rows.append((row.group, row.name, *us, f"{row.ratio:.2f}"))
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
    difference, share = deviation(want, got)
    if want.dtype.kind in "iu":
        same = difference <= LEVELS and share <= RARE
    else:
        same = difference <= TOLERANCE
    if not same:  # NaN too
        raise ValueError(f"a difference of {difference:.2g}, in {share:.2%} of the values")
    return difference
