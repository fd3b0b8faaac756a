"""The study `vocabulary`: fastaug's ops, policies and mixes beside others' of the same name.

One thread each, photographs of 224x224, uint8. albumentations and Pillow get one image after
the other, Keras's layers whole batches, fastaug makes the batches of a flow. What draws nothing
has to agree with Pillow before it is timed. A mask is timed beside its image alone.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from check import Check
from photos import make_set
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from report import aligned
from studies import Study
from timing import settle_memory

import fastaug

SIZE, BATCH, IMAGES = 224, 32, 128
SEED = 1
SECONDS, QUICK_SECONDS = 0.25, 0.02  # of a round
ROUNDS, QUICK_ROUNDS = 5, 2
LEVELS = 1  # that a value may be apart
MASK_GOAL = 0.35  # of its image's time, at most, that a mask adds
RARE = 0.001  # share of a mask's pixels that may be others, as an edge lies between two


@dataclass
class Row:
    """One op, as each side does it to a batch, and the rates of the rounds."""

    name: str
    ours: dict  # arguments of ImageDataGenerator
    others: dict[str, Callable] = field(default_factory=dict)  # function of a batch of a side
    size: int = SIZE
    labels: bool = False
    masks: bool = False  # whether each image's own first channel is its mask
    exact: bool = False  # whether nothing is drawn
    goal: int | None = None  # images per second and thread that are wanted
    rates: dict[str, list[float]] = field(default_factory=dict)

    def best(self, side):
        """Returns the images per second of the round that others disturbed the least."""
        return max(self.rates[side])

    @property
    def ratio(self):
        """fastaug's rate to that of the fastest other; None: there is none."""
        others = [self.best(side) for side in self.rates if side != "fastaug"]
        return self.best("fastaug") / max(others) if others else None


# ---- the sides -----------------------------------------------------------------------------------


def pillow(function):
    """Returns a function of a batch that calls one of Pillow's for each image."""

    def make(images):
        pictures = [Image.fromarray(image) for image in images]
        return lambda: [function(picture) for picture in pictures]

    return make


def albumentations_of(make_transform):
    """The same for a transform of albumentations; None: it is not installed."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    with suppress(ImportError):
        import albumentations

        transform = albumentations.Compose([make_transform(albumentations)], seed=SEED)
        return lambda images: lambda: [transform(image=image)["image"] for image in images]
    return None


def keras_of(name, **arguments):
    """The same for a layer of Keras, in `map` of tf.data with one call at a time, or None."""
    with suppress(ImportError):
        import keras
        import tensorflow

        if keras.backend.backend() != "tensorflow":
            return None
        kind = getattr(keras.layers, name)
        layer = kind(**{"value_range": (0, 255), **arguments} if name in _RANGED else arguments)

        def make(images):
            dataset = tensorflow.data.Dataset.from_tensors(images).repeat()
            options = tensorflow.data.Options()
            options.threading.private_threadpool_size = 1
            options.threading.max_intra_op_parallelism = 1
            batches = iter(dataset.map(lambda x: layer(x, training=True)).with_options(options))
            return lambda: next(batches)

        return make
    return None


_RANGED = {
    "AutoContrast", "Equalization", "RandAugment", "RandomColorJitter", "RandomErasing",
    "RandomGaussianBlur", "RandomPosterization", "RandomSharpness", "Solarization",
}  # fmt: skip


def rows():
    """Returns the rows of the table."""
    a, kernel = albumentations_of, 5
    blur = np.exp(-0.5 * (np.arange(kernel) - kernel // 2) ** 2)
    found = [
        Row("nothing", {}),
        Row(
            "Posterize(4)",
            {"augment": fastaug.Posterize(4)},
            {
                "Pillow": pillow(lambda x: ImageOps.posterize(x, 4)),
                "albumentations": a(lambda m: m.Posterize((4, 4), p=1)),
                "Keras": keras_of("RandomPosterization", factor=4),
            },
            exact=True,
        ),
        Row(
            "Solarize(128)",
            {"augment": fastaug.Solarize(128)},
            {
                "Pillow": pillow(lambda x: ImageOps.solarize(x, 128)),
                "albumentations": a(lambda m: m.Solarize((0.5, 0.5), p=1)),
            },
            exact=True,
        ),
        Row(
            "AutoContrast()",
            {"augment": fastaug.AutoContrast()},
            {
                "Pillow": pillow(ImageOps.autocontrast),
                "albumentations": a(lambda m: m.AutoContrast(p=1)),
                "Keras": keras_of("AutoContrast"),
            },
            exact=True,
        ),
        Row(
            "Equalize()",
            {"augment": fastaug.Equalize()},
            {
                "Pillow": pillow(ImageOps.equalize),
                "albumentations": a(lambda m: m.Equalize(mode="pil", p=1)),
                "Keras": keras_of("Equalization"),
            },
            exact=True,
        ),
        Row(
            "Sharpness(2)",
            {"augment": fastaug.Sharpness(2)},
            {
                "Pillow": pillow(lambda x: ImageEnhance.Sharpness(x).enhance(2)),
                "albumentations": a(lambda m: m.Sharpen((0.5, 0.5), (1, 1), p=1)),
                "Keras": keras_of("RandomSharpness", factor=0.5),
            },
        ),
        Row(
            "GaussianBlur(5, (1, 1))",
            {"augment": fastaug.GaussianBlur(kernel, (1.0, 1.0))},
            {
                "Pillow": pillow(lambda x: x.filter(ImageFilter.GaussianBlur(1))),
                "albumentations": a(lambda m: m.GaussianBlur((5, 5), (1, 1), p=1)),
                "Keras": keras_of("RandomGaussianBlur", kernel_size=5, sigma=1.0),
                "OpenCV": _opencv_blur(blur / blur.sum()),
            },
        ),
        Row(
            "Grayscale()",
            {"augment": fastaug.Grayscale()},
            {
                "Pillow": pillow(lambda x: x.convert("L").convert("RGB")),
                "albumentations": a(lambda m: m.ToGray(p=1)),
                "Keras": keras_of("RandomGrayscale", factor=1.0),
            },
            exact=True,
        ),
        Row(
            "ColorJitter(.4, .4, .4)",
            {"augment": fastaug.ColorJitter(0.4, 0.4, 0.4)},
            {
                "Pillow": pillow(_jitter),
                "albumentations": a(lambda m: m.ColorJitter(0.4, 0.4, 0.4, 0, p=1)),
                "Keras": keras_of(
                    "RandomColorJitter",
                    brightness_factor=0.4,
                    contrast_factor=0.4,
                    saturation_factor=0.4,
                ),
            },
        ),
        Row(
            "ColorJitter(.4, .4, .4, .1)",
            {"augment": fastaug.ColorJitter(0.4, 0.4, 0.4, 0.1)},
            {"albumentations": a(lambda m: m.ColorJitter(0.4, 0.4, 0.4, 0.1, p=1))},
        ),
        Row(
            "GaussianNoise()",
            {"augment": fastaug.GaussianNoise()},
            {"albumentations": a(lambda m: m.GaussNoise((0.1, 0.1), p=1))},
        ),
        Row(
            "Erasing(p=1)",
            {"augment": fastaug.Erasing(p=1)},
            {
                "albumentations": a(lambda m: m.Erasing((0.02, 0.33), (0.3, 3.3), p=1)),
                "Keras": keras_of("RandomErasing", factor=1.0, scale=(0.02, 0.33), fill_value=0),
            },
        ),
        Row(
            "Rot90()",
            {"augment": fastaug.Rot90()},
            {"albumentations": a(lambda m: m.RandomRotate90(p=1))},
        ),
        Row(
            "Perspective(p=1)",
            {"augment": fastaug.Perspective(p=1)},
            {
                "albumentations": a(lambda m: m.Perspective((0.05, 0.1), p=1)),
                "Keras": keras_of("RandomPerspective", factor=1.0),
            },
        ),
        Row(
            "RandomCrop(224) of 256x256",
            {"augment": fastaug.RandomCrop(SIZE)},
            {
                "albumentations": a(lambda m: m.RandomCrop(SIZE, SIZE)),
                "Keras": keras_of("RandomCrop", height=SIZE, width=SIZE),
            },
            size=256,
        ),
        Row(
            "RandomResizedCrop(224) of 256x256",
            {"augment": fastaug.RandomResizedCrop(SIZE)},
            {
                "Pillow": pillow(_resized_crop),
                "albumentations": a(lambda m: m.RandomResizedCrop((SIZE, SIZE))),
            },
            size=256,
        ),
        Row(
            "RandAugment(2, 9)",
            {"augment": fastaug.RandAugment(2, 9)},
            {"Keras": keras_of("RandAugment", num_ops=2, factor=0.3)},
            goal=5000,
        ),
        Row("TrivialAugment()", {"augment": fastaug.TrivialAugment()}, goal=8000),
        Row(
            "crop, flip, jitter, normalise",
            {
                "augment": [fastaug.RandomResizedCrop(SIZE), fastaug.ColorJitter(0.4, 0.4, 0.4)],
                "horizontal_flip": True,
                "rescale": 1 / 255,
                "featurewise_center": True,
                "featurewise_std_normalization": True,
                "dtype": "float32",
            },
            {
                "albumentations": a(
                    lambda m: m.Sequential(
                        [
                            m.RandomResizedCrop((SIZE, SIZE)),
                            m.HorizontalFlip(),
                            m.ColorJitter(0.4, 0.4, 0.4, 0, p=1),
                            m.Normalize(),
                        ]
                    )
                )
            },
            size=256,
            goal=4000,
        ),
        Row(
            "MixUp(0.2)",
            {"mix": fastaug.MixUp(0.2)},
            {"Keras": _keras_mix("MixUp", alpha=0.2)},
            labels=True,
            goal=16667,
        ),
        Row(
            "CutMix(1)",
            {"mix": fastaug.CutMix(1.0)},
            {"Keras": _keras_mix("CutMix", factor=1.0)},
            labels=True,
            goal=16667,
        ),
    ]
    for row in found:
        row.others = {side: make for side, make in row.others.items() if make is not None}
    return found


# Sampled as its mask and black outside, an image has its mask in its first channel.
_MASK = Row(
    "mask",
    {"rotation_range": 20, "horizontal_flip": True},
    masks=True,
)
_NEAREST = {"interpolation_order": 0, "fill_mode": "constant", "cval": 0.0}


def _opencv_blur(kernel):
    import cv2

    def make(images):
        return lambda: [cv2.sepFilter2D(image, -1, kernel, kernel) for image in images]

    return make


_RNG = np.random.default_rng(SEED)


def _jitter(picture):
    for kind in ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color:
        picture = kind(picture).enhance(_RNG.uniform(0.6, 1.4))
    return picture


def _resized_crop(picture):
    side = int(_RNG.integers(72, 257))
    left, top = _RNG.integers(0, 257 - side, 2).tolist()
    part = picture.crop((left, top, left + side, top + side))
    return part.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def _keras_mix(name, **arguments):
    make = keras_of(name, **arguments)
    if make is None:
        return None

    def with_labels(images):
        labels = np.eye(8, dtype="float32")[np.arange(len(images)) % 8]
        return make({"images": images.astype("float32"), "labels": labels})

    return with_labels


# ---- the study -----------------------------------------------------------------------------------


class Vocabulary(Study):
    """Times each row's sides in turns."""

    def prepare(self):
        quick = self.options.quick
        self.rounds = self.options.rounds or (QUICK_ROUNDS if quick else ROUNDS)
        self._seconds = QUICK_SECONDS if quick else SECONDS
        self.images = {size: make_set(size, IMAGES) for size in (SIZE, 256)}
        self.rows = rows()
        self.mask_rates = {}

    def steps(self):
        return 2 * len(self.rows) + 4

    def heading(self):
        return [
            f"images    {self.images[SIZE].source}, {SIZE}x{SIZE} (a crop's 256x256), uint8",
            "sides     one thread each, in turns; fastaug's batches are made in the calling thread",
        ]

    def _flow(self, row, workers=0):
        images = self.images[row.size]
        generator = fastaug.ImageDataGenerator(**{"dtype": "uint8", **row.ours}, workers=workers)
        if generator.featurewise_center:
            generator.mean = np.full((1, 1, 3), 0.45, "float32")
            generator.std = np.full((1, 1, 3), 0.225, "float32")
        labels = images.y if row.labels else None
        if row.masks:
            labels = fastaug.Masks(images.x[..., 0])
        return generator.flow(images.x, labels, batch_size=BATCH, seed=SEED, shuffle=False)

    def compare(self):
        total = Check(difference=0.0, differing=0.0, labels_equal=True, reference="Pillow")
        for row in [*self.rows, _MASK]:
            self.doing("check", row.name)
            try:
                (self._compare_mask if row.masks else self._compare)(row, total)
            except Exception as error:  # whatever it is, nothing can be timed
                total.problem = f"{row.name}: {type(error).__name__}: {error}"
                return total
            self.progress.done()
        return total

    def _compare(self, row, total):
        with self._flow(row) as flow:
            batch = next(flow)
        got = batch[0] if row.labels else batch
        images = self.images[row.size].x[:BATCH]
        if got.shape != (BATCH, SIZE, SIZE, 3):
            raise ValueError(f"shape {got.shape}")
        if row.name != "nothing" and np.array_equal(got, images):
            raise ValueError("the images are as they were")
        total.batches += 1
        if row.exact:
            want = np.stack(row.others["Pillow"](images)())
            apart = np.abs(got.astype(int) - want)
            if apart.max() > LEVELS:
                raise ValueError(f"{apart.max()} levels from Pillow's")
            total.difference = max(total.difference, float(apart.max()))

    def _compare_mask(self, row, total):
        with self._flow(replace(row, ours=row.ours | _NEAREST)) as flow:
            images, masks = next(flow)
        total.batches += 1
        # at the border an image is black half a pixel before its mask is
        inside = (images[..., 0] != 0) & (masks != 0)
        if inside.mean() < 0.5 or np.mean(images[..., 0] != masks, where=inside) > RARE:
            raise ValueError("pixels of masks are not those of the image")

    def measure(self):
        settle_memory()
        for row in self.rows:
            self.doing("rounds", row.name)
            with self._flow(row) as flow:
                sides = {"fastaug": lambda flow=flow: next(flow)}
                images = self.images[row.size].x[:BATCH]
                sides |= {side: make(images) for side, make in row.others.items()}
                self._time(row.rates, sides)
            self.progress.done()
        self.doing("mask")
        image = replace(_MASK, masks=False)
        with self._flow(image) as alone, self._flow(_MASK) as both:
            self._time(
                self.mask_rates, {"image": lambda: next(alone), "with mask": lambda: next(both)}
            )
        self.progress.done()
        self.threads = {}
        for name in "RandAugment(2, 9)", "crop, flip, jitter, normalise":
            row = next(row for row in self.rows if row.name == name)
            self.doing("threads", name)
            with self._flow(row, 1) as one, self._flow(row, 2) as two:
                rates = {}
                self._time(rates, {"1": lambda: next(one), "2": lambda: next(two)})
            self.threads[name] = max(rates["2"]) / max(rates["1"])
            self.progress.done()

    def _time(self, rates, sides):
        runs = list(sides.items())
        for _, call in runs:
            call()
        for _ in range(self.rounds):
            for side, call in runs:
                count, start = 0, time.perf_counter()
                while (spent := time.perf_counter() - start) < self._seconds or not count:
                    call()
                    count += 1
                rates.setdefault(side, []).append(count * BATCH / spent)
            runs.reverse()

    # ---- what was found ----

    @property
    def mask_time(self):
        """The time that a mask adds to its image's, as a part of that; None: it was not timed."""
        if "with mask" not in self.mask_rates:
            return None
        return max(self.mask_rates["image"]) / max(self.mask_rates["with mask"]) - 1

    def tables(self):
        timed = [row for row in self.rows if row.rates]
        if not timed:
            return []
        sides = ["fastaug", "Pillow", "albumentations", "Keras", "OpenCV"]
        table = [("images per second", *sides, "ratio", "goal")]
        for row in timed:
            cells = [f"{row.best(side):,.0f}" if side in row.rates else "" for side in sides]
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            table.append((row.name, *cells, ratio, f"{row.goal:,}" if row.goal else ""))
        lines = aligned(table, "<>>>>>>>")
        lines.append("  ratio: fastaug's to the fastest other; the best of the rounds of each")
        if self.mask_time is not None:
            lines.append(
                f"  turned and flipped, a mask adds {self.mask_time:.2f} of its image's time "
                f"(goal: at most {MASK_GOAL})"
            )
        for name, ratio in getattr(self, "threads", {}).items():
            lines.append(f"  {name}: two threads make {ratio:.2f} times as many as one")
        return lines

    def record(self):
        return {
            "images": self.images[SIZE].source,
            "size": SIZE,
            "batch_size": BATCH,
            "threads": getattr(self, "threads", {}),
            "mask": {
                "images_per_second": self.mask_rates,
                "additional_time": self.mask_time,
            },
            "rows": [
                {"name": row.name, "images_per_second": row.rates, "ratio": row.ratio}
                for row in self.rows
                if row.rates
            ],
        }
