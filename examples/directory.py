"""Trains a small network from a folder with a folder of images for each class.

python examples/directory.py
python examples/directory.py dogs-vs-cats/train --size 150 --epochs 10

With another backend than TensorFlow, set KERAS_BACKEND, such as KERAS_BACKEND=jax.
"""

import argparse
import pathlib
import tempfile

import keras
import numpy as np
from PIL import Image
from skimage import data

import fastaug


def write_photographs(folder, count):
    """Writes crops of photographs as JPEG files, a folder for each class."""
    rng = np.random.default_rng(0)
    scenes = {"astronaut": data.astronaut(), "cat": data.chelsea()}
    for name, scene in scenes.items():
        (folder / name).mkdir()
        for number in range(count // len(scenes)):
            top, left = (rng.integers(0, side - 240) for side in scene.shape[:2])
            crop = Image.fromarray(scene[top : top + 240, left : left + 240])
            crop.save(folder / name / f"{number}.jpg")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="a folder with a folder for each class")
    parser.add_argument("--images", type=int, default=200, help="number of images to make")
    parser.add_argument("--size", type=int, default=96, help="height and width to read them at")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if args.folder is None:
            write_photographs(pathlib.Path(scratch), args.images)
        train(args.folder or scratch, args.size, args.epochs)


def train(folder, size, epochs):
    generator = fastaug.ImageDataGenerator(
        rotation_range=20, zoom_range=0.2, horizontal_flip=True, rescale=1 / 255,
        validation_split=0.2,
    )  # fmt: skip
    # What is validated is only rescaled.
    training, validation = generator.flow_from_directory(
        folder, target_size=(size, size), batch_size=16, seed=1, subset="both"
    )
    model = keras.Sequential(
        [
            keras.layers.Input(training.image_shape),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(training.num_classes, activation="softmax"),
        ]
    )
    model.compile("adam", loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(training, validation_data=validation, epochs=epochs, verbose=2)


if __name__ == "__main__":
    main()
