"""Draws the README's two pictures: python bench/readme_pictures.py.

The bars are figures of the table in docs/benchmarks.md, which are measured; the strip is what
fastaug makes of a photograph in scikit-image.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
COLUMN = "299x299"
#: The bars, from the top: the row of the table, and what the picture calls it.
BARS = {
    "Keras `ImageDataGenerator`": "Keras ImageDataGenerator",
    "Keras layers in tf.data": "Keras layers in tf.data",
    "Albumentations on threads": "Albumentations on threads",
    "fastaug, two threads": "fastaug",
}
SIDE = 112  # pixels of an image in the strip


def throughput(column):
    """Returns a column of the benchmarks' first table: by row, images per second and times Keras.

    The ratios are text with the digits that the table has.
    """
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    table = text.partition("<!-- begin throughput -->")[2].partition("<!-- end throughput -->")[0]
    rows = [
        [cell.strip().strip("*") for cell in line.strip("| ").split(" | ")]
        for line in table.strip().splitlines()
    ]
    place = rows[0].index(column)
    cells = {row[0]: re.fullmatch(r"([\d,]+) \(([\d.]+)\)", row[place]) for row in rows[2:]}
    return {name: (int(cell[1].replace(",", "")), cell[2]) for name, cell in cells.items()}


def bars():
    """Returns for each bar of the chart its name, images per second and times Keras."""
    figures = throughput(COLUMN)
    return [(name, *figures[row]) for row, name in BARS.items()]


def draw_bars(path):
    """Draws the chart."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from plots import COLOURS, FAINT, INK

    names, figures, ratios = zip(*bars(), strict=True)
    with rc_context({"font.family": "DejaVu Sans", "font.size": 11, "text.color": INK}):
        figure = Figure(figsize=(8, 2.1), dpi=100, facecolor="white", layout="constrained")
        axes = figure.add_subplot()
        colours = [COLOURS["ours" if name == "fastaug" else "peer"] for name in names]
        axes.barh(names, figures, color=colours, height=0.68)
        for place, value in enumerate(figures):
            text = f"{value:,}" + f"  ({ratios[place]} times Keras)" * (place > 0)
            weight = "bold" if names[place] == "fastaug" else "normal"
            axes.annotate(
                text, (value, place), xytext=(5, 0), textcoords="offset points", va="center",
                fontweight=weight,
            )  # fmt: skip
        axes.set_xlim(0, 1.33 * max(figures))
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.tick_params(length=0, labelcolor=INK)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title(
            f"augmented images per second, {COLUMN}, two cores",
            loc="left",
            color=FAINT,
            fontsize=11,
        )
        figure.savefig(path, format="png")


def draw_strip(path):
    """Draws a photograph, and augmented versions of it beside it."""
    import cv2
    import numpy as np
    from compare import make_pictures
    from PIL import Image

    original, *versions = make_pictures(rows=1)[0]
    images = [original, *(np.rint(255 * image).astype(np.uint8) for image in versions)]
    small = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]
    gap = np.full((SIDE, 4, 3), 255, np.uint8)
    parts = [part for image in small for part in (image, gap)][:-1]
    Image.fromarray(np.concatenate(parts, axis=1)).save(path, quality=88)


if __name__ == "__main__":
    draw_bars(PICTURES / "speed.png")
    draw_strip(PICTURES / "strip.jpg")
