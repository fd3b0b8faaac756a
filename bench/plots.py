"""The figures."""

import textwrap
from contextlib import contextmanager

INK, FAINT, LINE = "#1f2933", "#616e7c", "#e4e7eb"
GREY, BLUE, GREEN, RED = FAINT, "#2f6f9f", "#3a9a5b", "#e4572e"
COLOURS = {
    "ours": RED, "peer": "#9aa5b1", "floor": "#ffffff",
    "keras": GREY, "multiprocessing": BLUE, "fastaug": RED, "memory": GREEN,
    "processes": RED, "threads": BLUE, "ideal": GREEN,
    # the ways of the study fit
    "sequence": GREEN, "default": RED, "wrong": BLUE, "nothing": GREY,
}  # fmt: skip
LOAD_COLOURS = (
    BLUE, RED, "#b5179e", "#7209b7", "#f4a261", "#3a0ca3", "#90be6d", "#577590", "#d62828"
)  # fmt: skip


@contextmanager
def _style(size=12):
    from matplotlib import rc_context

    with rc_context({"font.family": "DejaVu Sans", "font.size": size, "text.color": INK}):
        yield


def _figure(title, caption, width, height):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, facecolor="white", layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=15, fontweight="bold")
    caption = textwrap.fill(caption, 130)
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color=FAINT)
    return figure


def _tidy(axes, axis="both"):
    axes.grid(axis=axis, color=LINE)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=FAINT)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


# ---- the studies ----


def against(xlabel, title, lines, ylabel, caption, dashed=None):
    """Draws lines over the number of workers, or what else there is some of.

    Args:
        xlabel: What there is some of.
        title: The figure's title.
        lines: A (key, label, numbers, values) for each line; the key is one of COLOURS.
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
            axes.plot(numbers, values, marker="o", color=COLOURS[key], label=label)
        if dashed:
            value, label = dashed
            axes.axhline(value, linestyle="--", color=COLOURS["keras"], label=label)
        axes.set_xticks(sorted({each for line in lines for each in line[2]}))
        axes.set_ylim(bottom=0)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.legend()
        _tidy(axes)
    return figure


def loads(title, panels, caption):
    """Draws how busy the processor and the GPUs were, one panel below the other.

    Args:
        title: The figure's title.
        panels: A pair of a title and of what `SysMonitor.to_dict` returned for each panel.
        caption: Small print.

    Returns:
        A matplotlib figure.
    """
    with _style():
        figure = _figure(title, caption, 9, 1.2 + 2.8 * len(panels))
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False).flat
        for axes, (name, samples) in zip(grid, panels, strict=True):
            gpus = samples["gpus"]
            lines = [("CPU", samples["cpu_percent"])]
            lines += [(gpu["name"], gpu["utilization_percent"]) for gpu in gpus]
            for (label, values), colour in zip(lines, LOAD_COLOURS, strict=False):
                # None is a gap
                values = [float("nan") if value is None else value for value in values]
                axes.plot(samples["times"], values, label=label, color=colour)
            axes.set_title(name, loc="left", fontsize=12)
            axes.set_ylabel("utilisation, %")
            axes.set_ylim(0, 105)
            axes.legend(loc="lower right", fontsize=9)
            _tidy(axes)
        axes.set_xlabel("seconds")
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
        for number, key in enumerate(keys):
            of_key = [run for run in runs if run.key == key]
            shift = (number - len(keys) / 2 + 0.5) * width
            bars = axes.bar(
                [sizes.index(run.batch_size) + shift for run in of_key],
                [run.images_per_second for run in of_key],
                width * 0.92,
                color=COLOURS[key],
                label=of_key[0].label,
            )
            axes.bar_label(bars, fmt="{:,.0f}", fontsize=9, color=FAINT)
        axes.set_xticks(range(len(sizes)), [f"batches of {size:,}" for size in sizes])
        axes.set_ylabel("images per second, training")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
        _tidy(axes)
    return figure


# ---- the cases ----

INCHES = 16  # the figure's width, at 100 pixels to the inch
LEFT, RIGHT = 0.012, 0.988
RATIO_INCHES, SHARE_INCHES = 0.75, 3.1  # beside a bar: a ratio, and a share after it


def write_png(path, cases, pictures, caption):
    """Draws the throughput of every case as bars, above a grid of augmented pictures.

    Args:
        path: The file.
        cases: The Throughput of each case; those without timings are passed over.
        pictures: Rows of images, uint8 or float in 0..1: an original, then its augmented versions.
        caption: Small print.
    """
    from matplotlib.figure import Figure

    # The cases with arrays side by side, and below them those with files: other contestants.
    bands = []
    for from_files in (False, True):
        band = [each for each in cases if each.timed and each.case.from_files == from_files]
        if band:
            labels = dict.fromkeys(_bar_label(row) for each in band for row in each.timed)
            bands.append((band, list(labels)))
    # From the top down, in inches: title, each band's title, bars and axis, pictures, machine.
    title, head, bar, axis, footer = 0.65, 0.45, 0.62, 0.95, 0.45
    grid = INCHES * (RIGHT - LEFT) / max(map(len, pictures)) * len(pictures)
    height = title + sum(head + bar * len(labels) + axis for _, labels in bands) + grid + footer
    with _style(15):
        figure = Figure(figsize=(INCHES, height), dpi=100, facecolor="white")
        heading = "Images per second, and how many times as fast as Keras"
        figure.text(LEFT, 1 - 0.48 / height, heading, fontsize=21, fontweight="bold")
        above = title
        for band, labels in bands:
            bottom = above + head + bar * len(labels)
            ends = {"top": 1 - (above + head) / height, "bottom": 1 - bottom / height}
            panels = figure.add_gridspec(1, len(band), left=0.205, right=RIGHT, wspace=0.1, **ends)
            for column, each in enumerate(band):
                axes = figure.add_subplot(panels[0, column])
                _draw_bars(axes, each, labels, first=column == 0)
                size = 16 if len(band) < 4 else 14
                axes.set_title(each.title, fontsize=size, loc="left", pad=8)
            above = bottom + axis
        _draw_pictures(figure, pictures, (grid + footer) / height, footer / height)
        figure.text(LEFT, 0.15 / height, caption, fontsize=11.5, color=FAINT)
        figure.savefig(path, format="png")


def _bar_label(row):
    return f"{row.label}\n{row.uses}"


def _draw_bars(axes, case, labels, first):
    """Draws one case's bars, on a linear scale that starts at nought."""
    from report import format_ratio
    from throughput import percent

    beside = {"textcoords": "offset points", "va": "center"}
    for row in case.timed:
        place, speed = labels.index(_bar_label(row)), row.timing.images_per_second
        ours, floor = row.kind.ours, row.kind.floor
        kind = "ours" if ours else "floor" if floor else "peer"
        edge, hatch = COLOURS["peer" if floor else kind], "///" if floor else None
        axes.barh(place, speed, height=0.66, color=COLOURS[kind], edgecolor=edge, hatch=hatch)
        if ratio := case.ratio(row):
            look = {"fontweight": "bold", "color": COLOURS["ours"]} if ours else {"color": INK}
            text = axes.annotate(
                format_ratio(ratio), (speed, place), xytext=(5, 0), fontsize=17, **look, **beside
            )
            if share := case.share(row):
                words, place = f"{percent(share)} {case.bound.kind.share}", (1, 0.5)
                axes.annotate(words, place, xytext=(10, 0), xycoords=text, color=FAINT, **beside)
    width = INCHES * axes.get_position().width
    speeds = [(row.timing.images_per_second, row.kind.ours) for row in case.timed]
    limit = max(speeds)[0] * width / (width - RATIO_INCHES)
    if case.bound:  # the longest bar that has a share beside it needs more room
        longest = max((speed for speed, ours in speeds if ours), default=0)
        limit = max(limit, longest * width / (width - SHARE_INCHES))
    axes.set_xlim(0, limit)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels if first else [""] * len(labels), linespacing=1.05)
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")
    _tidy(axes, "x")
    axes.tick_params(labelsize=13)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_color(FAINT)


def _draw_pictures(figure, pictures, top, bottom):
    """Draws rows of pictures between two heights of the figure, the originals framed."""
    shape, gaps = (len(pictures), max(map(len, pictures))), {"wspace": 0.03, "hspace": 0.03}
    grid = figure.add_gridspec(*shape, left=LEFT, right=RIGHT, top=top, bottom=bottom, **gaps)
    for i, row in enumerate(pictures):
        for j, image in enumerate(row):
            axes = figure.add_subplot(grid[i, j])
            axes.imshow(image, aspect="auto")
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(j == 0)
                spine.set_color(INK)
                spine.set_linewidth(3)
            if i == 0 and j < 2:
                title = "fastaug's versions" if j else "original"
                axes.set_title(title, fontsize=15, loc="left", pad=7)
