"""What is shown and kept of any study: settings, ratios, tables and machines as text."""

import textwrap

WIDTH = 100


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


def caption(machine):
    """Returns the machine and the versions in one line, for a figure."""
    return "   ".join([f"{machine['cpu']}, {_cores(machine)}", *_versions(machine)])


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


def wrapped(text, indent=12):
    """Returns a text as lines of bounded width, all but the first indented."""
    lines = textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
    return lines or [""]


def aligned(rows, alignments):
    """Returns the lines of a table: rows of cells, and `<` or `>` for each column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, alignments, widths, strict=True)
        lines.append("  " + "  ".join(f"{cell:{side}{width}}" for cell, side, width in cells))
    return [line.rstrip() for line in lines]


def format_ratio(ratio):
    """Returns a ratio with two or three digits that count: 0.42x, 3.1x, 87x."""
    if ratio < 0.995:
        return f"{ratio:.2f}x"
    return f"{ratio:.1f}x" if ratio < 9.95 else f"{ratio:.0f}x"
