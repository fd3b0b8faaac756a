"""Whether two builds of fastaug make the same batches, bit for bit.

    python tests/compare_builds.py OLD NEW [--images 10000] [--seed 1]

OLD and NEW are folders with a package `fastaug`: a checkout that is built in place, or the
`site-packages` of an environment. Each is asked, in a process of its own, for the same images:
random settings, types, layouts, sizes and seeds, in every SIMD variant that the processor runs.
"""

import argparse
import hashlib
import itertools
import os
import pathlib
import subprocess
import sys

import numpy as np

TYPES = ("uint8", "float32", "float64", "float16", "int16", "uint16", "int32", "int8", "bool")
FILL_MODES = ("nearest", "reflect", "wrap", "constant", "mirror", "grid-wrap", "grid-constant")
FEATUREWISE = ("featurewise_center", "featurewise_std_normalization")
IMAGES = 4  # of a case


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
    side = lambda: int(rng.choice([1, 2, 5, 8, 13, 16, 17, 31, 32, 33, 40, 65]))  # noqa: E731
    return settings, {
        "dtype": dtype,
        "source": "uint8" if dtype == "uint8" else str(rng.choice(TYPES)),
        "channels_first": chance(0.25),
        "size": (side(), side(), int(rng.choice([1, 3, 3, 4]))),
        "reversed": bool(chance(0.1)),
        "seed": int(rng.integers(1 << 30)),
    }


def images_of(asked, rng):
    """Returns the images of a case."""
    height, width, channels = asked["size"]
    shape = (channels, height, width) if asked["channels_first"] else asked["size"]
    x = rng.integers(0, 256, (IMAGES, *shape))
    if asked["source"].startswith("float"):
        return (x + rng.random(x.shape)).astype(asked["source"])
    return x.astype(asked["source"])


def report(seed, cases):
    """Prints a line for each case and variant: which it is, and the digest of the batch."""
    import fastaug
    from fastaug import _core

    assert _core.__file__.startswith(os.environ["FASTAUG_BUILD"]), _core.__file__
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        settings, asked = draw_settings(rng)
        x = images_of(asked, rng)
        for variant, workers in itertools.product(_core.simd_variants(), (0, 2)):
            if workers and variant != _core.simd_variants()[-1]:
                continue
            _core.select_simd(variant)
            try:
                generator = fastaug.ImageDataGenerator(
                    **settings,
                    dtype=asked["dtype"],
                    workers=workers,
                    data_format="channels_first" if asked["channels_first"] else "channels_last",
                )
                if settings.get("featurewise_center") or settings.get(
                    "featurewise_std_normalization"
                ):
                    generator.fit(x)
                iterator = generator.flow(
                    x, batch_size=IMAGES, seed=asked["seed"], shuffle=asked["reversed"]
                )
                batch = next(iterator)
                digest = hashlib.sha256(np.ascontiguousarray(batch)).hexdigest()[:16]
                digest += f" {batch.dtype} {batch.shape}"
                iterator.close()
            except (ValueError, TypeError, RuntimeError) as error:
                digest = f"{type(error).__name__}: {error}"
            print(case, variant, workers, digest, flush=True)


def main():
    """Compares two builds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builds", nargs="*", metavar="FOLDER")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cases = -(-options.images // IMAGES)
    if not options.builds:
        report(options.seed, cases)
        return 0
    if len(options.builds) != 2:
        parser.error("two builds are compared")
    command = [sys.executable, __file__, "--images", str(options.images)]
    command += ["--seed", str(options.seed)]
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
