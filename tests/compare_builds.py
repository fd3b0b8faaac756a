"""Whether two builds of fastaug make the same batches, bit for bit.

    python tests/compare_builds.py OLD NEW [--images 10000] [--seed 1]

OLD and NEW are folders with a package `fastaug`: a checkout that is built in place, or the
`site-packages` of an environment. Each is asked, in a process of its own, for the same images:
random settings, types, layouts, sizes and seeds, in every SIMD variant that the processor runs; and
for the images of files, by both decoders.
"""

import argparse
import contextlib
import hashlib
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

TYPES = ("uint8", "float32", "float64", "float16", "int16", "uint16", "int32", "int8", "bool")
FILL_MODES = ("nearest", "reflect", "wrap", "constant", "mirror", "grid-wrap", "grid-constant")
FEATUREWISE = ("featurewise_center", "featurewise_std_normalization")
MODES = {"rgb": 3, "rgba": 4, "grayscale": 1}
IMAGES = 4  # of a case
MOST_WHITENED = 300  # values of an image: their covariance is a square of them


def reversed_affine(x):
    """What many models want: channels in reversed order, scaled."""
    return x[..., ::-1] / 127.5 - 1.0


def shifted(x):
    """Changes its argument in place."""
    x -= 3
    return x


def waved(x):
    """Works on each value by itself, and not by a line."""
    return np.sin(x * 0.1)


def smeared(x):
    """Needs neighbours."""
    return x + np.roll(x, 1, axis=0)


FUNCTIONS = (reversed_affine, shifted, waved, smeared)


def draw_settings(rng):
    """Returns settings of a generator, and of what it is asked for."""
    chance = lambda part: rng.random() < part  # noqa: E731
    settings = {
        "fill_mode": str(rng.choice(FILL_MODES)),
        "cval": float(rng.choice([0, 7.5, -3, 300])),
        "interpolation_order": int(rng.choice([1, 1, 1, 0, 2, 3, 4, 5])),
        "horizontal_flip": chance(0.5),
        "vertical_flip": chance(0.5),
    }
    drawn = {
        "rotation_range": float(rng.choice([5, 45, 180])),
        "width_shift_range": float(rng.choice([0.1, 0.6, 3])),
        "height_shift_range": float(rng.choice([0.1, 0.6, 3])),
        "shear_range": float(rng.choice([5, 40])),
        "zoom_range": [float(v) for v in np.sort(rng.choice([0.3, 0.8, 1, 1.2, 2.5], 2))],
        "channel_shift_range": float(rng.choice([1, 20, 300])),
        "brightness_range": [float(v) for v in np.sort(rng.choice([0.2, 0.8, 1, 1.5, 4], 2))],
    }
    settings |= {name: value for name, value in drawn.items() if chance(0.4)}
    dtype = str(rng.choice(["uint8", "float32", "float32", "float16", "float64"]))
    if dtype != "uint8":
        if chance(0.4):
            settings["rescale"] = float(rng.choice([1 / 255, 2, -0.3]))
        for name in ("samplewise_center", "samplewise_std_normalization"):
            settings[name] = chance(0.2)
        for name in FEATUREWISE:
            settings[name] = chance(0.2)
    settings["validation_split"] = float(rng.choice([0, 0, 0.4]))
    settings["warp"] = str(rng.choice(["auto", "auto", "fused", "opencv"]))
    side = lambda: int(rng.choice([1, 2, 5, 8, 13, 16, 17, 31, 32, 33, 40, 65]))  # noqa: E731
    size = side(), side(), int(rng.choice([1, 3, 3, 4]))
    if dtype != "uint8" and size[0] * size[1] * size[2] <= MOST_WHITENED:
        settings["zca_whitening"] = chance(0.3)
    return settings, {
        "dtype": dtype,
        "source": "uint8" if dtype == "uint8" else str(rng.choice(TYPES)),
        "channels_first": chance(0.25),
        "size": size,
        "shuffle": bool(chance(0.2)),
        "subset": str(rng.choice(["training", "validation"])),
        "function": int(rng.integers(len(FUNCTIONS))) if chance(0.3) else None,
        "elementwise": bool(chance(0.5)),
        "odd_values": bool(chance(0.1)),
        "files": bool(chance(0.25)),
        "decoder": str(rng.choice(["processes", "threads"])),
        "color_mode": str(rng.choice(list(MODES))),
        "interpolation": str(rng.choice(["nearest", "nearest", "bilinear"])),
        "seeded": bool(chance(0.7)),
        "seed": int(rng.integers(1 << 30)),
    }


def images_of(asked, rng):
    """Returns the images of a case."""
    height, width, channels = asked["size"]
    shape = (channels, height, width) if asked["channels_first"] else asked["size"]
    x = rng.integers(0, 256, (IMAGES, *shape))
    if not asked["source"].startswith("float"):
        return x.astype(asked["source"])
    x = (x + rng.random(x.shape)).astype(asked["source"])
    if asked["odd_values"]:
        odd = rng.random(x.shape)
        x[odd < 0.02] = np.nan
        x[odd > 0.98] = np.inf
        x[(odd > 0.49) & (odd < 0.5)] = -np.inf
    return x


def write_files(folder):
    """Writes images of several formats, modes and sizes."""
    rng = np.random.default_rng(0)
    modes = {"RGB": 3, "L": 1, "RGBA": 4, "CMYK": 4}
    kinds = [("jpg", "RGB"), ("jpg", "L"), ("png", "RGB"), ("png", "RGBA"), ("png", "L")]
    kinds += [("jpg", "CMYK"), ("bmp", "RGB")]
    for k in range(3 * len(kinds)):
        (ending, mode), name = kinds[k % len(kinds)], "ab"[k % 2]
        (folder / name).mkdir(exist_ok=True)
        shape = (int(rng.integers(1, 90)), int(rng.integers(1, 90)), modes[mode])
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        pixels = pixels[..., 0] if mode == "L" else pixels
        image = Image.fromarray(pixels, mode="CMYK") if mode == "CMYK" else Image.fromarray(pixels)
        image.save(folder / name / f"{k:02}.{ending}")


def make_batch(fastaug, settings, asked, x, folder, workers):
    """Returns the first two batches of a case, one after the other."""
    if asked["function"] is not None:
        function = FUNCTIONS[asked["function"]]
        elementwise = asked["elementwise"] and function in (waved, shifted)
        settings["preprocessing_function"] = (
            fastaug.elementwise(function) if elementwise else function
        )
    generator = fastaug.ImageDataGenerator(
        **settings,
        dtype=asked["dtype"],
        workers=workers,
        data_format="channels_first" if asked["channels_first"] else "channels_last",
    )
    if any(settings.get(name) for name in (*FEATUREWISE, "zca_whitening")):
        generator.fit(x)
    options = {
        "batch_size": IMAGES,
        "seed": asked["seed"] if asked["seeded"] else None,
        "shuffle": asked["shuffle"],
        "subset": asked["subset"] if settings["validation_split"] else None,
    }
    np.random.seed(asked["seed"])
    if asked["files"]:
        options |= {"class_mode": None, "target_size": asked["size"][:2]}
        options |= {name: asked[name] for name in ("color_mode", "decoder", "interpolation")}
        iterator = generator.flow_from_directory(folder, **options)
    else:
        iterator = generator.flow(x, **options)
    with contextlib.closing(iterator):
        return np.concatenate([next(iterator), next(iterator)])


def report(seed, cases, folder):
    """Prints a line for each case and variant: which it is, and the digest of its batches."""
    import fastaug
    from fastaug import _core

    assert _core.__file__.startswith(os.environ["FASTAUG_BUILD"]), _core.__file__
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        settings, asked = draw_settings(rng)
        if asked["files"]:  # what is fitted has as many channels as they
            asked["size"] = (*asked["size"][:2], MODES[asked["color_mode"]])
        x = images_of(asked, rng)
        for variant, workers in itertools.product(_core.simd_variants(), (0, 2)):
            if workers and variant != _core.simd_variants()[-1]:
                continue
            _core.select_simd(variant)
            try:
                with contextlib.redirect_stdout(None):
                    batch = make_batch(fastaug, dict(settings), asked, x.copy(), folder, workers)
                digest = hashlib.sha256(np.ascontiguousarray(batch)).hexdigest()[:16]
                digest += f" {batch.dtype} {batch.shape}"
            except (ValueError, TypeError, RuntimeError) as error:
                digest = f"{type(error).__name__}: {error}"
            print(case, variant, workers, digest, flush=True)


def main():
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builds", nargs="*", metavar="FOLDER")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=pathlib.Path, help="a folder of images; None: new ones")
    options = parser.parse_args()
    cases = -(-options.images // IMAGES)
    if not options.builds:
        report(options.seed, cases, options.files)
        return 0
    if len(options.builds) != 2:
        parser.error("two builds are compared")
    if options.files is None:
        with tempfile.TemporaryDirectory() as folder:
            write_files(pathlib.Path(folder))
            return compare(options, pathlib.Path(folder))
    return compare(options, options.files)


def compare(options, folder):
    """Has each build make the same batches; returns the exit status."""
    command = [sys.executable, __file__, "--images", str(options.images)]
    command += ["--seed", str(options.seed), "--files", str(folder)]
    processes = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": build, "FASTAUG_BUILD": build, "PYTHONWARNINGS": "ignore"}
            | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        )
        for build in (str(pathlib.Path(folder).resolve()) for folder in options.builds)
    ]
    lines, different, errors = 0, 0, 0
    for old, new in itertools.zip_longest(*[process.stdout for process in processes]):
        lines += 1
        errors += "Error" in (old or "")
        if old != new:
            different += 1
            case = int((old or new).split()[0])
            rng = np.random.default_rng([options.seed, case])
            print("different:", old, new, *draw_settings(rng), sep="\n  ")
    failed = [process.wait() for process in processes]
    print(f"{lines} batches of {IMAGES} images, {errors} refused by both, {different} different")
    return int(bool(different) or any(failed) or not lines)


if __name__ == "__main__":
    sys.exit(main())
