"""The command line: `preview` shows augmented images, `check` finds what is wrong with files.

What a setting is called, what it takes and what it means is read from the signatures and docstrings
of the generator and its flow.
"""

import argparse
import contextlib
import functools
import importlib
import inspect
import os
import re
import sys
import types
import typing
from collections.abc import Sequence

from fastaug.keras_api.generator import ImageDataGenerator
from fastaug.typing import Preprocessing, Size

# Exit statuses.
FINE, FOUND, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

_WITHOUT_EFFECT = ("data_format", "dim_ordering", "dtype", "pool", "validation_split")
GENERATOR_ARGUMENTS = tuple(
    name for name in inspect.signature(ImageDataGenerator).parameters if name not in _WITHOUT_EFFECT
)
FLOW_ARGUMENTS = (
    "target_size",
    "color_mode",
    "interpolation",
    "keep_aspect_ratio",
    "classes",
    "seed",
    "follow_links",
    "formats",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: The words after `python -m fastaug`. None: those of this program.

    Returns:
        The exit status: 0, fine; 1, something was found; 2, wrong use; 130, Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = vars(_parser().parse_args(arguments))
    run = options.pop("run")
    try:
        return run(**options)
    except BrokenPipeError:  # who reads what is printed has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FOUND
    except KeyboardInterrupt:
        return INTERRUPTED
    except (
        OSError, ValueError, TypeError, ImportError, OverflowError, RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        print(f"python -m fastaug: {str(error) or type(error).__name__}", file=sys.stderr)
        return WRONG_USE


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m fastaug", description="Looks at a folder of images."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    preview = commands.add_parser(
        "preview",
        help="write a page with augmented images of a folder",
        description="Writes a page with augmented images of a folder, what was set, the code for "
        "it, and the images per second on this machine.",
    )
    preview.add_argument("directory", metavar="DIR", help="folder of images, or of their classes")
    preview.add_argument(
        "--output", metavar="FILE", default="preview.html", help="the page; default: %(default)s"
    )
    preview.add_argument("--images", type=_count, default=4, help="images; default: %(default)s")
    preview.add_argument(
        "--variants", type=_count, default=6, help="variants of each; default: %(default)s"
    )
    preview.add_argument(
        "--serve",
        type=_port,
        nargs="?",
        const=0,
        metavar="PORT",
        help="show the page at this port of localhost, or at any free one, until Ctrl-C",
    )
    settings = preview.add_argument_group("settings, as of ImageDataGenerator")
    add_arguments(settings, ImageDataGenerator, GENERATOR_ARGUMENTS)
    reading = preview.add_argument_group("reading, as of flow_from_directory")
    add_arguments(reading, ImageDataGenerator.flow_from_directory, FLOW_ARGUMENTS)
    preview.set_defaults(run=_preview)

    check = commands.add_parser(
        "check",
        help="read every image of a folder, and list what is wrong",
        description="Reads every image of a folder and of all folders below it as a flow would. "
        "Lists what cannot be read, is not RGB, is turned by EXIF, is tiny or is there twice, "
        "and what a flow warns of or leaves out.",
        epilog="Exit status: 0, nothing was found; 1, something was; 2, wrong use.",
    )
    check.add_argument("directory", metavar="DIR", help="folder of images, or of their classes")
    check.add_argument(
        "--tiny", type=_count, default=32, metavar="PIXELS",
        help="a side below which an image is tiny; default: %(default)s",
    )  # fmt: skip
    check.add_argument(
        "--ignore", action="append", default=[], metavar="KIND",
        help="what not to list, such as not-rgb; may be given several times",
    )  # fmt: skip
    check.add_argument(
        "--workers", type=_count, help="processes that read; default: one for each core"
    )
    add_arguments(
        check, ImageDataGenerator.flow_from_directory, ("follow_links", "timeout", "formats")
    )
    check.set_defaults(run=_check)
    return parser


def _preview(**options):
    from fastaug.show.preview import preview

    return preview(**options)


def _check(**options):
    from fastaug.show.check import check

    return check(**options)


# ---- arguments from signatures ----


def described(function) -> dict[str, str]:
    """Returns what a docstring says of each argument, in one line each."""
    text = inspect.getdoc(function) or ""
    section = re.search(r"(?m)^Args:\n((?:    .*\n|\n(?=    ))*)", text + "\n")
    entries = re.split(r"(?m)^    (?=\S)", section[1]) if section else []
    pairs = (entry.split(":", 1) for entry in entries if entry.strip())
    return {name: " ".join(words.split()) for name, words in pairs}


def add_arguments(parser, function, names) -> None:
    """Adds arguments of a function to a parser; those that are not given are not in the result.

    Args:
        parser: A parser, or a group of one.
        function: A function or class with annotations and a docstring.
        names: Which of its arguments to add.
    """
    texts = described(function)
    parameters = inspect.signature(function).parameters
    for name in names:
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            default=argparse.SUPPRESS,
            help=texts.get(name, "").replace("%", "%%"),  # none with python -OO
            **_how(parameters[name].annotation),
        )


def _how(annotation):
    """Returns how argparse is to read what a type annotation says."""
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    members = [member for member in members if member is not types.NoneType]
    choices = [each for member in members for each in _literals(member)]
    if annotation is bool:
        return {"action": "store_true"}
    if choices:
        return {"choices": choices}
    if set(typing.get_args(Size)) <= set(members):
        return {"nargs": 2, "type": int, "metavar": "N", "action": _Tuple}
    if any(typing.get_origin(member) is tuple and len(typing.get_args(member)) == 2
           and float in typing.get_args(member) for member in members):  # fmt: skip
        return {"nargs": 2, "type": _number, "metavar": "X", "action": _Tuple}
    if Sequence[float] in members:
        return {"nargs": "+", "type": _number, "metavar": "X", "action": _OneOrSome}
    if str in members or list[str] in members:
        return {"nargs": "+", "metavar": "NAME"}
    if Preprocessing in members:
        return {"type": _function, "metavar": "MODULE:NAME", "action": _Placed}
    return {"type": int if int in members else _number, "metavar": "X"}


def _is_union(annotation):
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _literals(annotation):
    return typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()


class _Tuple(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, tuple(values))


class _OneOrSome(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, values[0] if len(values) == 1 else values)


class _Placed(argparse.Action):
    """Keeps a function, and beside it where a user says that it is: code imports it from there."""

    def __call__(self, parser, namespace, values, option_string=None):
        function, namespace.function_place = values
        setattr(namespace, self.dest, function)


def _number(text):
    """Returns an int or a float, which are not the same to a shift."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    raise argparse.ArgumentTypeError(f"should be a number, not {text!r}")


def _count(text):
    with contextlib.suppress(ValueError):
        if (count := int(text)) >= 1:
            return count
    raise argparse.ArgumentTypeError(f"should be a whole number of at least 1, not {text!r}")


def _port(text):
    with contextlib.suppress(ValueError):
        if 0 <= (port := int(text)) < 2**16:
            return port
    raise argparse.ArgumentTypeError(f"should be a port, from 0 to 65535, not {text!r}")


def _function(text):
    """Returns the function that `module:name` names, and `(module, name)`."""
    module, _, name = text.partition(":")
    if not (module and name):
        raise argparse.ArgumentTypeError(f"should be module:name, not {text!r}")
    sys.path.insert(0, "")  # as `python -c` has it
    try:
        function = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except (ImportError, AttributeError, TypeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    finally:
        sys.path.remove("")
    return function, (module, name)


def shown(path) -> str:
    """Returns a path as text for a terminal or a page; what cannot be shown is escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
