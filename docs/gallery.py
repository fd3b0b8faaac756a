"""Draws the pictures of the gallery: python docs/gallery.py FOLDER.

One for each op, of a photograph in scikit-image: the first call in its docstring.
"""

import ast
import doctest
import pathlib
import sys

import fastaug
from fastaug.ops.base import Op

SIDE = 192  # pixels
SEEDS = 100  # of which the first is taken that changes the photograph


def photograph():
    """Returns the photograph, uint8 `(SIDE, SIDE, 3)`: a cat, of less than full contrast."""
    import numpy as np
    from PIL import Image
    from skimage import data

    cat = Image.fromarray(data.chelsea())
    box = (40, 0, 40 + cat.height, cat.height)
    return np.asarray(cat.resize((SIDE, SIDE), Image.Resampling.BOX, box))


def ops():
    """Returns the ops of the docstrings' examples by their names, in the order of the subjects."""
    kinds = {name: getattr(fastaug, name) for name in fastaug.__all__}
    found = [kind for kind in kinds.values() if isinstance(kind, type) and issubclass(kind, Op)]
    found.sort(key=lambda kind: (kind.__module__, kind.__name__))
    return {kind.__name__: _example(kind) for kind in found}


def _example(kind):
    for example in doctest.DocTestParser().get_examples(kind.__doc__):
        for node in ast.walk(ast.parse(example.source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == f"fastaug.{kind.__name__}":
                return eval(ast.unparse(node), {"fastaug": fastaug})
    raise ValueError(f"No example of {kind.__name__} in its docstring")


def draw(folder):
    """Draws all pictures into a folder, and returns what each is of, by its file's name."""
    import numpy as np
    from PIL import Image

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image = photograph()
    images = {"photograph": image}
    for op in ops().values():
        results = (op(image, seed=seed) for seed in range(SEEDS))
        images[repr(op)] = next(out for out in results if not np.array_equal(out, image))
    names = {}
    for title, pixels in images.items():
        name = f"{title.partition('(')[0]}.png"
        picture = Image.fromarray(pixels)
        picture.resize((SIDE, SIDE), Image.Resampling.NEAREST).save(folder / name)
        names[name] = title
    return names


if __name__ == "__main__":
    for drawn, what in draw(sys.argv[1]).items():
        print(f"{drawn}: {what}")
