"""Augments with a function of one's own, and shows that a seed gives the same images again.

python examples/preprocessing_function.py
python examples/preprocessing_function.py --plot batch.png
"""

import argparse

import numpy as np
from skimage import data, transform

import fastaug


def erase_and_scale(image):
    """Blackens a square at random, and scales 0..255 to -1..1: called for each image."""
    side = len(image) // 4
    # np.random is where the generator stands: the same seed, the same squares.
    top, left = (np.random.randint(0, length - side) for length in image.shape[:2])
    image[top : top + side, left : left + side] = 0
    return image / 127.5 - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=16, help="number of images")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the batch")
    args = parser.parse_args()
    photograph = transform.resize(data.chelsea(), (96, 144), anti_aliasing=True)
    x = np.repeat((255 * photograph[np.newaxis]).astype(np.uint8), args.images, axis=0)

    generator = fastaug.ImageDataGenerator(
        rotation_range=15,
        brightness_range=(0.7, 1.3),
        horizontal_flip=True,
        preprocessing_function=erase_and_scale,
    )
    batches = []
    for _ in range(2):
        with generator.flow(x, batch_size=args.images, seed=1) as flow:
            batches.append(next(flow))
    assert np.array_equal(*batches)
    print(f"{args.images} images of {batches[0].min():.2f}..{batches[0].max():.2f}, twice the same")
    if args.plot:
        with generator.flow(x, batch_size=args.images, seed=1) as flow:
            fastaug.plot_images(flow).savefig(args.plot)


if __name__ == "__main__":
    main()
