"""What is shown and kept: tables, the figure, the JSON file."""

import json
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from cases import Case
from check import Check
from timing import Timing

SCHEMA = 1
WIDTH = 100
KERAS = "keras"  # key of Keras's generator
OURS = "fastaug"  # key of fastaug on every core, as a user has it by default
MUCH_SPREAD = 30  # percent that the rounds may differ by on a machine that is not busy


@dataclass
class Row:
    """One contestant in one case, without what it needed to run."""

    key: str
    label: str
    uses: str
    notes: tuple[str, ...]
    ours: bool
    floor: bool
    share: str | None
    timing: Timing = field(default_factory=Timing)

    @classmethod
    def of(cls, kind, uses):
        """Returns the row of a class of contestants."""
        return cls(kind.key, kind.label, uses, kind.notes, kind.ours, kind.floor, kind.share)


@dataclass
class CaseResult:
    """What is known of one case.

    Attributes:
        case: The case.
        source: Where its images come from.
        check: The comparison with Keras, or None before it was made.
        rows: A Row for each contestant that ran.
        left_out: The reason for each contestant that could not, by its label.
    """

    case: Case
    source: str
    check: Check | None = None
    rows: list = field(default_factory=list)
    left_out: dict = field(default_factory=dict)

    @property
    def timed(self):
        """The rows with at least one round."""
        return [row for row in self.rows if row.timing.rounds]

    def ratio(self, row):
        """How many times as fast as Keras a row is, or None where Keras was not timed."""
        keras = next((each for each in self.timed if each.key == KERAS), None)
        return keras.timing.us_per_image / row.timing.us_per_image if keras else None

    @property
    def bound(self):
        """The row of whose throughput fastaug's is a share, or None."""
        return next((each for each in self.timed if each.share), None)

    def share(self, row):
        """Which share of the bound's throughput fastaug has in a row; None for other rows."""
        if self.bound is None or not row.ours:
            return None
        return self.bound.timing.us_per_image / row.timing.us_per_image


def describe_settings(settings):
    """Returns a generator's settings as they would be written in a call."""
    return ", ".join(
        f"{name}={getattr(value, '__name__', None) or _short(value)}"
        for name, value in settings.items()
    )


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def describe_machine(machine):
    """Returns the machine and the versions in two lines."""
    return f"{machine['cpu']}, {_cores(machine)}, {machine['os']}\n" + ", ".join(_versions(machine))


def _versions(machine):
    backend = machine["keras_backend"]
    return [
        f"Python {machine['python']}",
        *(f"{name} {version}" for name, version in machine["versions"].items()),
        *([f"Keras on {backend}"] if backend else []),
    ]


def _cores(machine):
    cores = f"{machine['cores']} core" + "s" * (machine["cores"] > 1)
    return ", ".join([cores, *machine["gpus"]])


def heading(result):
    """Returns what a case compares, as text."""
    case = result.case
    return "\n".join(
        [
            "",
            f"case {case.name}: {case.title}",
            f"  images    {result.source}, in batches of {case.batch_size}",
            *wrapped(f"  settings  {describe_settings(case.settings)}", indent=12),
        ]
    )


def check_line(result):
    """Returns what a case's check found, as text."""
    return "\n".join(wrapped(f"  check     {result.check}", indent=12))


def wrapped(text, indent):
    """Returns a text as lines of bounded width, all but the first indented."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)


def table(result):
    """Returns a case's timings as text."""
    header = ("contestant", "uses", "images/s", "us/image", "vs Keras", "rounds")
    rows = [header, *(_cells(result, row) for row in result.timed)]
    if result.bound:
        column = [result.bound.share, *(_percent(result.share(row)) for row in result.timed)]
        rows = [(*row[:-1], cell, row[-1]) for row, cell in zip(rows, column, strict=True)]
    lines = ["", *aligned(rows, "<<" + ">" * len(rows[0][2:]))]
    if percent := unsteady(result):
        lines.append(
            f"  the machine is busy: rounds differ by {percent:.0f} %, and the ratio is rough"
        )
    return "\n".join(lines)


def unsteady(result):
    """Returns by how many percent the rounds of Keras or fastaug differ, or 0 if it is not much."""
    spreads = [
        100 * (max(row.timing.rounds) / min(row.timing.rounds) - 1)
        for row in result.timed
        if row.ours or row.key == KERAS
    ]
    widest = max(spreads, default=0)
    return widest if widest > MUCH_SPREAD else 0


def _cells(result, row):
    ratio = result.ratio(row)
    low, high = row.timing.spread
    return (
        row.label,
        row.uses,
        f"{row.timing.images_per_second:,.0f}",
        f"{row.timing.us_per_image:,.{2 if row.timing.us_per_image < 1000 else 0}f}",
        format_ratio(ratio) if ratio else "",
        f"{low:+.0f} .. {high:+.0f} %",
    )


def _percent(share):
    return f"{100 * share:.0f} %" if share else ""


def aligned(rows, alignments):
    """Returns the lines of a table: rows of cells, and `<` or `>` for each column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            f"{cell:{side}{width}}"
            for cell, side, width in zip(row, alignments, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def format_ratio(ratio):
    """Returns a ratio with two or three digits that count: 0.42x, 3.1x, 87x."""
    if ratio < 0.995:
        return f"{ratio:.2f}x"
    return f"{ratio:.1f}x" if ratio < 9.95 else f"{ratio:.0f}x"


def notes(results):
    """Returns how to read the tables, and what each contestant does otherwise, as text."""
    lines = [
        "us/image: median of the rounds; rounds: the fastest and the slowest round's time "
        "against that median"
    ]
    lines += [
        f"{row.label}: {note}" for result in results for row in result.timed for note in row.notes
    ]
    return "\n".join("\n".join(wrapped(line, indent=2)) for line in dict.fromkeys(lines))


def summary(results):
    """Returns how many times as fast as Keras fastaug is, as text; None where nobody knows."""
    found = [
        (result.case.title, format_ratio(result.ratio(row)))
        for result in results
        for row in result.timed
        if row.key == OURS and result.ratio(row)
    ]
    if not found:
        return None
    width = max(len(title) for title, _ in found)
    lines = [f"  {title:{width}}  {ratio:>5}" for title, ratio in found]
    return "\n".join(["fastaug on every core, times Keras ImageDataGenerator:", *lines])


def write_json(path, results, machine, options, complete, studies=()):
    """Writes every figure, with the machine that they belong to.

    Args:
        path: The file.
        results: A CaseResult for each case that was begun.
        machine: What `machine.describe` returned.
        options: How the comparison was run: date, rounds and the like.
        complete: Whether it ran to its end.
        studies: What each study that was begun measured, as dicts.
    """
    report = {
        "schema": SCHEMA,
        "complete": complete,
        **options,
        "machine": machine,
        "cases": [_case_record(result) for result in results],
        "studies": list(studies),
    }
    Path(path).write_text(json.dumps(report, indent=2) + "\n")


def _case_record(result):
    case, check = result.case, result.check
    return {
        "name": case.name,
        "title": case.title,
        "images": result.source,
        "size": case.size,
        "batch_size": case.batch_size,
        "seconds_per_round": case.seconds,
        "settings": describe_settings(case.settings),
        "check": check
        and {
            "passed": bool(check.passed),
            "batches": check.batches,
            "largest_difference_of_255": check.difference,
            "labels_identical": check.labels_equal,
            "file_names_identical": check.names_equal,
            "problem": check.problem,
        },
        "left_out": result.left_out,
        "contestants": [
            {
                "key": row.key,
                "label": row.label,
                "note": "; ".join(row.notes) or None,
                "uses": row.uses,
                "images_per_second": row.timing.images_per_second,
                "us_per_image": row.timing.us_per_image,
                "ratio_to_keras": result.ratio(row),
                "share_of_floor": result.share(row),
                "spread_percent": row.timing.spread,
                "rounds_us_per_image": row.timing.rounds,
            }
            for row in result.timed
        ],
    }


COLOURS = {"ours": "#e4572e", "peer": "#9aa5b1", "floor": "#ffffff"}
INK, FAINT, LINE = "#1f2933", "#616e7c", "#e4e7eb"
INCHES = 16  # the figure's width, at 100 pixels to the inch
LEFT, RIGHT = 0.012, 0.988
RATIO_INCHES, SHARE_INCHES = 0.75, 3.1  # beside a bar: a ratio, and a share after it


def write_png(path, results, pictures, machine):
    """Draws the throughput of every case as bars, above a grid of augmented pictures.

    Args:
        path: The file.
        results: A CaseResult for each case; those without timings are passed over.
        pictures: Rows of images, uint8 or float in 0..1: an original, then its augmented versions.
        machine: What `machine.describe` returned.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    results = [result for result in results if result.timed]
    # The cases with arrays side by side, and below them those with files: other contestants.
    bands = [
        band
        for from_files in (False, True)
        if (band := [result for result in results if result.case.from_files == from_files])
    ]
    names = [
        list(dict.fromkeys(_bar_label(row) for result in band for row in result.timed))
        for band in bands
    ]
    # From the top down, in inches: title, each band's title, bars and axis, pictures, machine.
    title, head, bar, axis, footer = 0.65, 0.45, 0.62, 0.95, 0.45
    grid = INCHES * (RIGHT - LEFT) / max(map(len, pictures)) * len(pictures)
    height = title + sum(head + bar * len(labels) + axis for labels in names) + grid + footer
    with rc_context({"font.family": "DejaVu Sans", "font.size": 15, "text.color": INK}):
        figure = Figure(figsize=(INCHES, height), dpi=100, facecolor="white")
        heading = "Images per second, and how many times as fast as Keras"
        figure.text(LEFT, 1 - 0.48 / height, heading, fontsize=21, fontweight="bold")
        above = title
        for band, labels in zip(bands, names, strict=True):
            top, bottom = above + head, above + head + bar * len(labels)
            panels = figure.add_gridspec(
                1,
                len(band),
                left=0.205,
                right=RIGHT,
                top=1 - top / height,
                bottom=1 - bottom / height,
                wspace=0.1,
            )
            for column, result in enumerate(band):
                axes = figure.add_subplot(panels[0, column])
                _draw_bars(axes, result, labels, first=column == 0)
                axes.set_title(
                    result.case.title, fontsize=16 if len(band) < 4 else 14, loc="left", pad=8
                )
            above = bottom + axis
        _draw_pictures(figure, pictures, (grid + footer) / height, footer / height)
        figure.text(LEFT, 0.15 / height, caption(machine), fontsize=11.5, color=FAINT)
        figure.savefig(path, format="png")


def caption(machine):
    """Returns the machine and the versions in one line, for a figure."""
    return "   ".join([f"{machine['cpu']}, {_cores(machine)}", *_versions(machine)])


def _bar_label(row):
    return f"{row.label}\n{row.uses}"


def _draw_bars(axes, result, labels, first):
    """Draws one case's bars, on a linear scale that starts at nought."""
    largest = max(row.timing.images_per_second for row in result.timed)
    for row in result.timed:
        place, speed = labels.index(_bar_label(row)), row.timing.images_per_second
        kind = "ours" if row.ours else "floor" if row.floor else "peer"
        axes.barh(
            place,
            speed,
            height=0.66,
            color=COLOURS[kind],
            edgecolor=COLOURS["peer" if row.floor else kind],
            hatch="///" if row.floor else None,
        )
        if ratio := result.ratio(row):
            text = axes.annotate(
                format_ratio(ratio),
                (speed, place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=17,
                fontweight="bold" if row.ours else "normal",
                color=COLOURS["ours"] if row.ours else INK,
            )
            if share := result.share(row):
                axes.annotate(
                    f"{_percent(share)} {result.bound.share}",
                    (1, 0.5),
                    xytext=(10, 0),
                    xycoords=text,
                    textcoords="offset points",
                    va="center",
                    color=FAINT,
                )
    width = INCHES * axes.get_position().width
    limit = largest * width / (width - RATIO_INCHES)
    if result.bound:  # the longest bar that has a share beside it needs more room
        ours = max((row.timing.images_per_second for row in result.timed if row.ours), default=0)
        limit = max(limit, ours * width / (width - SHARE_INCHES))
    axes.set_xlim(0, limit)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels if first else [""] * len(labels), linespacing=1.05)
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")
    axes.tick_params(length=0, labelsize=13, labelcolor=INK)
    axes.tick_params(axis="x", labelcolor=FAINT)
    axes.grid(axis="x", color=LINE)
    axes.set_axisbelow(True)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(FAINT)


def _draw_pictures(figure, pictures, top, bottom):
    """Draws rows of pictures between two heights of the figure, the originals framed."""
    columns = max(map(len, pictures))
    grid = figure.add_gridspec(
        len(pictures),
        columns,
        left=LEFT,
        right=RIGHT,
        top=top,
        bottom=bottom,
        wspace=0.03,
        hspace=0.03,
    )
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
