"""Trains a small network from images in memory: CIFAR-10's, or crops of photographs.

python examples/in_memory.py
python examples/in_memory.py --data cifar10.npz --epochs 10

With another backend than TensorFlow, set KERAS_BACKEND, such as KERAS_BACKEND=jax.
"""

import argparse

import keras
import numpy as np
from skimage import data, transform

import fastaug


def photographs(count):
    """Returns crops of four photographs as (count, 32, 32, 3) uint8, and which each is from."""
    rng = np.random.default_rng(0)
    scenes = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    x = np.empty((count, 32, 32, 3), np.uint8)
    y = np.arange(count) % len(scenes)
    for image, scene in zip(x, y, strict=True):
        whole = scenes[scene]
        top, left = (rng.integers(0, side - 200) for side in whole.shape[:2])
        crop = whole[top : top + 200, left : left + 200]
        image[:] = 255 * transform.resize(crop, (32, 32), anti_aliasing=True)
    return x, y


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="FILE.npz", help="a file with x_train and y_train")
    parser.add_argument("--images", type=int, default=1000, help="number of images")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--plot", metavar="FILE.png", help="draw a batch")
    args = parser.parse_args()
    if args.data:
        with np.load(args.data) as arrays:
            x, y = arrays["x_train"][: args.images], arrays["y_train"][: args.images].ravel()
    else:
        x, y = photographs(args.images)

    generator = fastaug.ImageDataGenerator(
        rotation_range=20,
        width_shift_range=0.1,
        height_shift_range=0.1,
        horizontal_flip=True,
        rescale=1 / 255,
        validation_split=0.2,
    )
    arguments = {"batch_size": 32, "seed": 1, "ignore_class_split": True}
    training = generator.flow(x, y, subset="training", **arguments)
    # What is validated is only rescaled.
    plain = fastaug.ImageDataGenerator(rescale=1 / 255, validation_split=0.2)
    validation = plain.flow(x, y, subset="validation", shuffle=False, **arguments)
    if args.plot:
        fastaug.plot_images(training).savefig(args.plot)

    model = keras.Sequential(
        [
            keras.layers.Input(x.shape[1:]),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(int(y.max()) + 1, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(training, validation_data=validation, epochs=args.epochs, verbose=2)


if __name__ == "__main__":
    main()
