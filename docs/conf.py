"""Sphinx's settings. Build the pages with: sphinx-build -W -n docs docs/_build."""

import importlib
import importlib.util
import os
import pathlib
import sys

import fastaug

if "KERAS_BACKEND" not in os.environ:  # Keras itself only looks for TensorFlow
    found = filter(importlib.util.find_spec, ("tensorflow", "jax", "torch"))
    os.environ["KERAS_BACKEND"] = next(found, "tensorflow")

project = "fastaug"
author = "the fastaug developers"
release = version = fastaug.__version__
exclude_patterns = ["_build"]

extensions = [
    "myst_parser",  # pages in Markdown
    "sphinx.ext.autodoc",  # the API reference, from docstrings
    "sphinx.ext.napoleon",  # which are Google's style
]
myst_heading_anchors = 3  # links to headings, which the build checks
default_role = "code"  # `x` in a docstring is code
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "description"  # beside each argument
nitpick_ignore_regex = [  # types of others, whose pages are not here, and of fastaug, not public
    ("py:class", r"(collections|concurrent|io|multiprocessing|numpy|os|pandas|pathlib|PIL)\..*"),
    ("py:class", r"(fastaug\.typing\.)?(Array|SupportsArray)|fastaug\..*\._Function"),
    ("py:class", "Axes|Figure|TorchBatches"),
    ("py:class", r"fastaug\.ops\.(base\.Op|mix\.Mix)"),
]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_show_copyright = False
html_title = f"fastaug {release}"


def _reference():
    """Returns an entry for each op, under what its module says of itself."""
    names = {}
    for name in fastaug.__all__:
        names.setdefault(getattr(fastaug, name).__module__, []).append(name)
    lines = []
    for module in sorted(name for name in names if name.startswith("fastaug.ops.")):
        title = importlib.import_module(module).__doc__.splitlines()[0].rstrip(".")
        entries = [f".. autoclass:: {name}" for name in names[module]]
        lines += [
            f"### {title}",
            "```{eval-rst}",
            ".. currentmodule:: fastaug",
            "",
            *entries,
            "```",
        ]
    return "\n".join(lines)


def _gallery():
    """Returns the pictures of the ops, which are drawn into a folder of what is built."""
    folder = pathlib.Path(__file__).parent
    sys.path.insert(0, str(folder))
    gallery = importlib.import_module("gallery")
    pictures = gallery.draw(folder / "_build" / "gallery")
    return "\n\n".join(f"`{op}`\n\n![](_build/gallery/{name})" for name, op in pictures.items())


_MADE = {"<!-- ops -->": _reference, "<!-- gallery -->": _gallery}


def _fill(app, page, source):
    """Puts what is made of the ops where a page says so."""
    for mark, make in _MADE.items():
        if mark in source[0]:
            source[0] = source[0].replace(mark, make())


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", _fill)
