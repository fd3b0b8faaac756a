"""A generator as a function of columns, which Ray Data and Hugging Face's datasets call."""

import copy
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastaug.data.images import img_to_array
from fastaug.program.fields import Masks


class BatchFunction:
    """Augments a column of images; see `ImageDataGenerator.batch_function`.

    Args:
        generator: The generator.
        image: Name of the column of images.
        mask: Name of the column of masks, or None.
        key: Name of the column of keys.
        seed: As for `ImageDataGenerator.apply`.
        fill: Value outside of a mask.
    """

    def __init__(
        self, generator: Any, image: str, mask: str | None, key: str, seed: Any, fill: float
    ) -> None:
        self._generator = generator
        self._image, self._mask, self._key = image, mask, key
        self._seed, self._fill = seed, fill

    def __repr__(self) -> str:
        """Returns what is called with which columns."""
        return (
            f"{self._generator!r}.batch_function(image={self._image!r}, mask={self._mask!r}, "
            f"key={self._key!r}, seed={self._seed!r}, fill={self._fill!r})"
        )

    def __call__(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the columns with the images augmented.

        Raises:
            KeyError: If one of the columns is not there.
            ValueError: If images are of several shapes.
        """
        for name in (self._image, self._mask, self._key):
            if name is not None and name not in columns:
                raise KeyError(f"There is no column {name!r}. Received: {list(columns)}")
        generator = self._generator
        cpus = _cpus_of_ray_task()
        if cpus is not None:
            generator = copy.copy(generator)
            generator.workers = cpus if cpus > 1 else 0
        images, targets = columns[self._image], {}
        if not isinstance(images, np.ndarray) or images.dtype == object:
            images = [self._pixels(image) for image in images]
            shapes = {np.shape(image) for image in images}
            if len(shapes) > 1:
                raise ValueError(
                    f"The images of a call have to be of one shape. Received: {sorted(shapes)}"
                )
        if self._mask is not None:
            labels = np.stack([np.asarray(mask) for mask in columns[self._mask]])
            targets[self._mask] = Masks(labels, self._fill)
        images, targets = generator.apply(images, targets, keys=columns[self._key], seed=self._seed)
        return {**columns, self._image: images, **targets}

    def _pixels(self, image):
        """Returns an image as an array; one of Pillow with its own channels, or else as RGB."""
        mode = getattr(image, "mode", None)
        if mode is None:
            return image
        if mode not in ("L", "RGB", "RGBA"):
            image = image.convert("RGB")
        return img_to_array(image, self._generator.data_format, "uint8")


def _cpus_of_ray_task():
    """Returns how many CPUs a task of Ray has, if this is one, or None."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU")
    return cpus and max(int(cpus), 1)
