"""The figures of the studies."""

import textwrap
from contextlib import contextmanager
from functools import partial

from report import FAINT, INK, LINE

COLOURS = {
    "keras": "#616e7c",
    "multiprocessing": "#2f6f9f",
    "fastaug": "#e4572e",
    "memory": "#3a9a5b",
    "processes": "#e4572e",
    "threads": "#2f6f9f",
    "ideal": "#3a9a5b",
    # the ways of the study fit
    "sequence": "#3a9a5b",
    "default": "#e4572e",
    "wrong": "#2f6f9f",
    "nothing": "#616e7c",
}
GPU_COLOURS = (
    "#e4572e",
    "#b5179e",
    "#7209b7",
    "#f4a261",
    "#3a0ca3",
    "#90be6d",
    "#577590",
    "#d62828",
)


@contextmanager
def _style():
    from matplotlib import rc_context

    settings = {"font.family": "DejaVu Sans", "font.size": 12, "text.color": INK}
    with rc_context(settings):
        yield


def _figure(title, caption, width, height):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, facecolor="white", layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=15, fontweight="bold")
    caption = textwrap.fill(caption, 130)
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color=FAINT)
    return figure


def _tidy(axes):
    axes.grid(color=LINE)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=FAINT)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def against(xlabel, title, lines, ylabel, caption, dashed=None):
    """Draws lines over the number of workers, or what else there is some of.

    Args:
        xlabel: What there is some of.
        title: The figure's title.
        lines: A (key, label, numbers, values) for each line; the key is one of COLOURS, or None.
        ylabel: What the values are.
        caption: Small print.
        dashed: A pair of a value and its label, for a dashed line across, or None.

    Returns:
        A matplotlib figure.
    """
    with _style():
        figure = _figure(title, caption, 9, 5)
        axes = figure.add_subplot()
        for key, label, numbers, values in lines:
            axes.plot(numbers, values, marker="o", color=key and COLOURS[key], label=label)
        if dashed:
            value, label = dashed
            axes.axhline(value, linestyle="--", color=COLOURS["keras"], label=label)
        ticks = sorted({each for line in lines for each in line[2]})
        axes.set_xticks(ticks)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.legend()
        _tidy(axes)
    return figure


against_workers = partial(against, "workers (threads of fastaug, processes of the pool)")


def loads(title, panels, caption):
    """Draws how busy the processor and the GPUs were, one panel below the other.

    Args:
        title: The figure's title.
        panels: A pair of a title and of what `SysMonitor.to_dict` returned for each panel.
        caption: Small print.

    Returns:
        A matplotlib figure.
    """
    from fastaug.show.monitor import draw

    with _style():
        figure = _figure(title, caption, 9, 1.2 + 2.8 * len(panels))
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
        for axes, (name, samples) in zip(grid.flat, panels, strict=True):
            draw(axes, samples)
            axes.set_title(name, loc="left", fontsize=12)
            for line, colour in zip(
                axes.lines, (COLOURS["multiprocessing"], *GPU_COLOURS), strict=False
            ):
                line.set_color(colour)
            axes.legend(loc="lower right", fontsize=9)
            _tidy(axes)
        for axes in grid.flat[:-1]:
            axes.set_xlabel("")
    return figure


def paces(title, runs, caption):
    """Draws the images per second of runs as bars, in groups by batch size.

    Args:
        title: The figure's title.
        runs: Timed runs, one for each source and batch size.
        caption: Small print.

    Returns:
        A matplotlib figure.
    """
    sizes = list(dict.fromkeys(run.batch_size for run in runs))
    keys = list(dict.fromkeys(run.key for run in runs))
    width = 0.8 / len(keys)
    with _style():
        figure = _figure(title, caption, 9, 5)
        axes = figure.add_subplot()
        labelled = set()
        for run in runs:
            place = (
                sizes.index(run.batch_size) + (keys.index(run.key) - len(keys) / 2 + 0.5) * width
            )
            bar = axes.bar(
                place,
                run.images_per_second,
                width * 0.92,
                color=COLOURS[run.key],
                label=None if run.key in labelled else run.label,
            )
            labelled.add(run.key)
            axes.bar_label(bar, fmt="{:,.0f}", fontsize=9, color=FAINT)
        axes.set_xticks(range(len(sizes)), [f"batches of {size:,}" for size in sizes])
        axes.set_ylabel("images per second, training")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
        _tidy(axes)
    return figure
