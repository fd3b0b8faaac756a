"""Right and wrong uses of the public names, for type checkers; nobody runs this.

A line that ends in `# wrong` has to be refused, `# wrong: pyright` or `# wrong: mypy` by that one,
and no other line may be. `assert_type` says what an expression has to be.
"""

import concurrent.futures
import multiprocessing.pool
import pathlib
from collections.abc import Callable
from typing import Any, Literal, assert_type

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

import fastaug
from fastaug import ImageDataGenerator
from fastaug.typing import Array, ClassMode, FillMode

# ---- a generator ----

generator = ImageDataGenerator()
ImageDataGenerator(True, False, rotation_range=20, zoom_range=0.2, rescale=1 / 255)
ImageDataGenerator(width_shift_range=[-3, 0, 3], height_shift_range=5, zoom_range=(0.8, 1.1))
ImageDataGenerator(brightness_range=(0.5, 1.5), validation_split=0.2, dtype="uint8")
ImageDataGenerator(brightness_range=[0.5, 1.5], dtype=np.float32, data_format="channels_first")
ImageDataGenerator(workers=None, prefetch=0, pool=4, dim_ordering="tf", warp="fused")
ImageDataGenerator(**{"rotation_range": 20, "fill_mode": "wrap"})  # wrong
settings: dict[str, Any] = {"rotation_range": 20, "fill_mode": "wrap"}
ImageDataGenerator(**settings)
ImageDataGenerator(rotation_rnge=20)  # wrong
ImageDataGenerator(rotation_range="20")  # wrong
ImageDataGenerator(fill_mode="neares")  # wrong
ImageDataGenerator(data_format="last")  # wrong
ImageDataGenerator(brightness_range=0.5)  # wrong
ImageDataGenerator(brightness_range=(0.5, 1, 2))  # wrong
ImageDataGenerator(warp="cv2")  # wrong
ImageDataGenerator(pool="threads")  # wrong
fastaug.ImageDataGenratr()  # wrong


def with_pools(
    pool: multiprocessing.pool.Pool, executor: concurrent.futures.Executor, border: FillMode
) -> list[ImageDataGenerator]:
    return [ImageDataGenerator(pool=each, fill_mode=border) for each in (pool, executor)]


def darker(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return image * np.float32(0.5)


@fastaug.elementwise
def scale(x: Array) -> Array:
    return x / 127.5 - 1


def nothing(image: Array) -> None:
    image += 1


assert_type(scale(np.zeros(3)), Array)
marked: Callable[[Array], Array] = fastaug.elementwise(scale)
ImageDataGenerator(preprocessing_function=darker)
ImageDataGenerator(preprocessing_function=scale)
ImageDataGenerator(preprocessing_function=lambda image: 255 - image)
ImageDataGenerator(preprocessing_function=np.sqrt)
ImageDataGenerator(preprocessing_function=nothing)  # wrong
ImageDataGenerator(preprocessing_function=3)  # wrong
fastaug.elementwise(3)  # wrong

# ---- images in memory ----

x = np.zeros((8, 32, 32, 3), np.uint8)
y = np.arange(8)

assert_type(next(generator.flow(x)), Array)
assert_type(generator.flow(x)[0], Array)
assert_type(next(generator.flow(x, y)), tuple[Array, Array])
assert_type(next(generator.flow(x, [0, 1] * 4, batch_size=4)), tuple[Array, Array])
assert_type(next(generator.flow(x, y, sample_weight=y)), tuple[Array, Array, Array])
assert_type(next(generator.flow(x, y, 4, True, y, 1)), tuple[Array, Array, Array])
assert_type(next(generator.flow((x, y))), tuple[Array, ...])
assert_type(next(generator.flow([x, y], y)), tuple[tuple[Array, ...], Array])
assert_type(next(generator.flow((x, [y, y]), y, sample_weight=y))[1], Array)
generator.flow(x, y, np.int64(4), seed=np.int64(3), save_to_dir=pathlib.Path("out"))
generator.flow(x, pd.Series([0, 1] * 4), subset="training", ignore_class_split=True)
assert_type(next(generator.flow(x, y, augment=False, shuffle=False)), tuple[Array, Array])
assert_type(
    generator.flow(x, y, subset="both", seed=1),
    tuple[fastaug.NumpyArrayIterator[Any], fastaug.NumpyArrayIterator[Any]],
)
generator.flow(np.memmap("x.dat", np.uint8, shape=(8, 32, 32, 3)))
assert_type(next(generator.flow(x, fastaug.Masks(y, fill=255))), tuple[Any, Any])
masks = {"mask": fastaug.Masks(y, interpolation="linear"), "class": y}
assert_type(next(generator.flow(x, masks, sample_weight=y)), tuple[Any, Any, Array])
fastaug.Masks(y, interpolation="cubic")  # wrong
fastaug.Masks(y, fill="nothing")  # wrong
generator.flow("photos")  # wrong
generator.flow(x, 3)  # wrong
generator.flow(x, y, batch_size=32.0)  # wrong
generator.flow(x, y, batchsize=32)  # wrong
generator.flow(x, y, seed="1")  # wrong
generator.flow(x, y, subset="test")  # wrong
generator.flow(x, y, shuffle="no")  # wrong
generator.flow(x, y, augment=fastaug.Posterize(4))  # wrong
next(generator.flow(x, y, subset="both"))  # wrong
generator.flow()  # wrong

for images, labels in generator.flow(x, y):
    assert_type(images, Array)
    assert_type(labels, Array)
    break
for images in generator.flow(x):
    images, labels, weights = images, y, y
    break
a, b, c = next(generator.flow(x, y))  # wrong


def maybe_labels(given: npt.NDArray[np.int64] | None, weights: Array | None) -> int:
    return len(generator.flow(x, given, sample_weight=weights))


with generator.flow(x, y, seed=1) as flow:
    assert_type(flow, fastaug.NumpyArrayIterator[tuple[Array, Array]])
    assert_type(len(flow), int)
    assert_type(flow.n, int)
    assert_type(flow.batch_size, int)
    assert_type(flow.total_batches_seen, int)
    assert_type(flow.y, Any)
    flow.reset()
    flow.on_epoch_end()
    flow.close()
    flow["0"]  # wrong
    flow.batch_size = "8"  # wrong
    flow.reset(1)  # wrong

anything: fastaug.Iterator = flow
fastaug.NumpyArrayIterator(x, y, generator, batch_size=4, dtype="float32")
fastaug.NumpyArrayIterator(x, y)  # wrong
fastaug.NumpyArrayIterator(x, y, generator, subset="validation", augment=False)
fastaug.NumpyArrayIterator(x, y, generator, subset="both")  # wrong


class Shuffled(fastaug.NumpyArrayIterator[tuple[Array, Array]]):
    def _get_batches_of_transformed_samples(self, index_array: Array) -> tuple[Array, Array]:
        images, labels = super()._get_batches_of_transformed_samples(index_array)
        return images[::-1], labels[::-1]


class Own(ImageDataGenerator):
    def random_transform(self, x: Array, seed: Any = None) -> Array:
        return super().random_transform(x, seed) + self.rotation_range


# ---- folders ----

folders = generator.flow_from_directory("photos", target_size=(224, 224), batch_size=16)
assert_type(next(folders), tuple[Array, Array])
assert_type(folders.class_indices, dict[str, int])
assert_type(folders.filenames, list[str])
assert_type(folders.filepaths, list[str])
assert_type(folders.samples, int)
assert_type(folders.num_classes, int)
assert_type(folders.image_shape, tuple[int, int, int])
assert_type(folders.bad_files, list[str])
for mode in ("binary", "sparse", "input", "categorical"):
    assert_type(next(generator.flow_from_directory("photos", class_mode=mode))[1], Array)
assert_type(next(generator.flow_from_directory(pathlib.Path("p"), class_mode=None)), Array)
generator.flow_from_directory("p", [32, 32], "grayscale", ["a", "b"], "sparse", 8, False, 1)
generator.flow_from_directory("p", classes=("a", "b"), subset="validation", keep_aspect_ratio=True)
generator.flow_from_directory("p", decoder="threads", on_error="skip", timeout=2.5, formats="webp")
generator.flow_from_directory("p", formats=["webp", "gif"], interpolation="lanczos")
assert_type(
    generator.flow_from_directory("p", class_mode=None, subset="both", augment=False),
    tuple[fastaug.DirectoryIterator[Any], fastaug.DirectoryIterator[Any]],
)
assert_type(next(generator.flow_from_directory("p", class_mode=None, augment=False)), Array)
generator.flow_from_directory("p", subset="all")  # wrong
generator.flow_from_directory("p", class_mode="categorial")  # wrong
generator.flow_from_directory("p", class_mode="raw")  # wrong
generator.flow_from_directory("p", color_mode="bgr")  # wrong
generator.flow_from_directory("p", target_size=224)  # wrong
generator.flow_from_directory("p", target_size=(224, 224, 3))  # wrong
generator.flow_from_directory("p", classes="cats")  # wrong
generator.flow_from_directory("p", interpolation="cubic")  # wrong
generator.flow_from_directory("p", decoder="gpu")  # wrong
generator.flow_from_directory("p", on_error="ignore")  # wrong
generator.flow_from_directory("p", timeout="1")  # wrong
generator.flow_from_directory(x)  # wrong
fastaug.DirectoryIterator("p", generator, class_mode="sparse")
fastaug.DirectoryIterator("p")  # wrong


def chosen(mode: ClassMode | None, names: list[str]) -> int:
    return generator.flow_from_directory("p", classes=names, class_mode=mode).samples


# ---- dataframes ----

frame = pd.DataFrame({"filename": ["a.jpg"], "class": ["cat"], "x": [0.5], "w": [1.0]})
rows = generator.flow_from_dataframe
Two = tuple[Array, Array]
Three = tuple[Array, Array, Array]
assert_type(next(rows(frame)), Two)
assert_type(next(rows(frame, "photos", class_mode="sparse")), Two)
assert_type(next(rows(frame, y_col=["x", "w"], class_mode="raw")), Two)
assert_type(next(rows(frame, weight_col="w")), Three)
assert_type(next(rows(frame, class_mode=None, weight_col="w")), Array)
assert_type(next(rows(frame, class_mode="multi_output")), tuple[Array, tuple[Array, ...]])
assert_type(
    next(rows(frame, y_col=["x", "w"], weight_col="w", class_mode="multi_output")),
    tuple[Array, tuple[Array, ...], Array],
)
rows(frame, None, "filename", "class", "w", (8, 8), "rgb", ["cat"], "categorical", 4, False, 1)
assert_type(
    rows(frame, weight_col="w", subset="both"),
    tuple[fastaug.DataFrameIterator[Any], fastaug.DataFrameIterator[Any]],
)
assert_type(next(rows(frame, weight_col="w", augment=False)), Three)
rows(frame, augment="no")  # wrong
rows("frame.csv")  # wrong: pyright
rows(frame, class_mode="other")  # wrong
rows(frame, y_col=3)  # wrong
rows(frame, target_size="64x64")  # wrong
rows(frame, targetsize=(8, 8))  # wrong
fastaug.DataFrameIterator(frame, image_data_generator=generator)
fastaug.DataFrameIterator(frame, image_data_generator="generator")  # wrong

# ---- statistics, single images ----

generator.fit(x)
generator.fit(folders)
generator.fit(x, augment=True, rounds=2, seed=1)
generator.fit("photos")  # wrong
assert_type(generator.mean, Array | None)
image = np.zeros((32, 32, 3), np.float32)
parameters = generator.get_random_transform(image.shape, seed=1)
assert_type(parameters, dict[str, Any])
assert_type(generator.apply_transform(image, parameters), Array)
generator.apply_transform(image, {"theta": 40.0, "flip_horizontal": True})
assert_type(generator.random_transform(image), Array)
assert_type(generator.standardize(image), Array)
generator.apply_transform(image, 40.0)  # wrong
generator.random_transform("image.jpg")  # wrong

assert_type(fastaug.apply_affine_transform(image, theta=10, fill_mode="reflect", order=3), Array)
assert_type(fastaug.apply_brightness_shift(image, 0.5), Array)
assert_type(fastaug.apply_channel_shift(image, 10), Array)
assert_type(fastaug.random_rotation(image, 20, 0, 1, 2), Array)
assert_type(fastaug.random_shift(image, 0.1, 0.2, row_axis=0), Array)
assert_type(fastaug.random_shear(image, 5), Array)
assert_type(fastaug.random_zoom(image, (0.8, 1.2)), Array)
assert_type(fastaug.random_channel_shift(image, 10, channel_axis=2), Array)
assert_type(fastaug.random_brightness(image, [0.5, 1.5]), Array)
fastaug.random_zoom(image, 0.8)  # wrong
fastaug.random_rotation(image)  # wrong
fastaug.apply_affine_transform(image, fill_mode="edge")  # wrong

assert_type(fastaug.load_img("a.jpg", target_size=(8, 8)), Image.Image)
assert_type(fastaug.img_to_array(fastaug.load_img("a.jpg"), "channels_first"), Array)
assert_type(fastaug.array_to_img(image, scale=False), Image.Image)
fastaug.save_img("a.png", image, quality=90)
fastaug.save_img(image, "a.png")  # wrong
fastaug.load_img("a.jpg", "gray")  # wrong
fastaug.load_img(3)  # wrong

assert_type(fastaug.list_pictures("photos", ["png"]), list[str])
assert_type(fastaug.validate_filename("a.jpg", ("jpg",)), bool)
fastaug.list_pictures(3)  # wrong

# ---- augment and mix ----

fastaug.ImageDataGenerator(
    augment=[fastaug.RandomResizedCrop(224), "trivialaugment", fastaug.Erasing(p=0.25)],
    mix=fastaug.OneOf(fastaug.MixUp(0.2), fastaug.CutMix(1.0)),
)
fastaug.ImageDataGenerator(augment=fastaug.OneOf("equalize", fastaug.Rot90()), mix="cutmix")
fastaug.ImageDataGenerator(augment=lambda image, rng: image)
generator.augment = "randaugment"
generator.augment = (fastaug.Equalize(), fastaug.RandomCrop(24, padding=4))
generator.mix = fastaug.MixUp()
assert_type(fastaug.Posterize(4)(x[0], seed=np.int64(3)), Array)
assert_type(fastaug.OneOf("equalize", "invert", weights=[1, 2])(x[0], seed=3), Array)
fastaug.ImageDataGenerator(augment=3)  # wrong
fastaug.ImageDataGenerator(mix=fastaug.Equalize())  # wrong
fastaug.ImageDataGenerator(augment=fastaug.MixUp())  # wrong
fastaug.Posterize("4")  # wrong
fastaug.Sometimes(3)  # wrong

# ---- other loaders ----

dataset: Any = generator.flow(x, y).to_tf()
parts = generator.flow(x, y, seed=1).to_torch(rank=0, world_size=2)
assert_type(len(parts), int)
parts.set_epoch(3)
for images, labels in parts:
    print(images, labels)
parts.set_epoch("3")  # wrong
generator.flow(x, y).to_torch("0")  # wrong
assert_type(generator.apply(x, keys=range(8)), Array)
generator.apply([x[0], x[1]], keys=["a", "b"], seed=np.int64(3))
generator.apply(x, keys=np.arange(8))
assert_type(generator.apply(x, {"mask": fastaug.Masks(x)}, keys=range(8)), tuple[Array, Any])
generator.apply(x)  # wrong
generator.apply(x, range(8))  # wrong
generator.apply(x, keys=8)  # wrong
generator.apply(x, keys=[0.5])  # wrong
columns = generator.batch_function("image", key="path", seed=2)({"image": x, "path": ["a"] * 8})
assert_type(columns, dict[str, Any])
generator.batch_function(key=3)  # wrong

# ---- looking ----

assert_type(fastaug.plot_images(flow, count=None, titles=["a"]), Figure)
fastaug.plot_images(iter([(image, y)]), 4, columns=2)
fastaug.plot_images(x)  # wrong
with fastaug.SysMonitor(0.1) as monitor:
    assert_type(monitor, fastaug.SysMonitor)
assert_type(monitor.plot(title="load"), Figure)
assert_type(monitor.to_dict(), dict[str, Any])
fastaug.SysMonitor("fast")  # wrong
warning: type[UserWarning] = fastaug.UsageWarning
version: Literal["0.1.0"] = fastaug.__version__  # wrong
