"""Augments images and their masks alike, then trains to find the mask.

python examples/image_and_mask.py
python examples/image_and_mask.py --plot pairs.png

With another backend than TensorFlow, set KERAS_BACKEND, such as KERAS_BACKEND=jax.
"""

import argparse

import keras
import numpy as np
from skimage import color, data, transform

import fastaug


def crops_with_masks(count, size=64):
    """Returns crops of a photograph of cells, and masks of what is stained, 0 or 1."""
    rng = np.random.default_rng(0)
    whole = data.immunohistochemistry()
    stain = color.rgb2hed(whole)[..., 2]
    stained = stain > np.quantile(stain, 0.8)
    x = np.empty((count, size, size, 3), np.float32)
    masks = np.empty((count, size, size, 1), np.uint8)
    for image, mask in zip(x, masks, strict=True):
        top, left = (rng.integers(0, side - 128) for side in whole.shape[:2])
        part = np.s_[top : top + 128, left : left + 128]
        image[:] = 255 * transform.resize(whole[part], (size, size), anti_aliasing=True)
        mask[..., 0] = transform.resize(stained[part], (size, size), order=0)
    return x, masks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="number of images")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--plot", metavar="FILE.png", help="draw a batch of images, and its masks")
    args = parser.parse_args()
    x, masks = crops_with_masks(args.images)

    generator = fastaug.ImageDataGenerator(
        rotation_range=30,
        zoom_range=0.2,
        horizontal_flip=True,
        fill_mode="reflect",
        rescale=1 / 255,
    )
    # A mask goes where its image goes, and keeps its labels; what lies outside is no cell.
    flow = generator.flow(x, fastaug.Masks(masks, fill=0), batch_size=16, seed=1)
    first_images, first_masks = next(flow)
    assert len(first_images) == len(first_masks)
    assert set(np.unique(first_masks)) <= {0, 1}
    if args.plot:
        fastaug.plot_images(flow).savefig(args.plot)

    model = keras.Sequential(
        [
            keras.layers.Input(x.shape[1:]),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(1, 1, activation="sigmoid"),
        ]
    )
    model.compile("adam", loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(flow, epochs=args.epochs, verbose=2)


if __name__ == "__main__":
    main()
