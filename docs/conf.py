"""Sphinx's settings. Build the pages with: sphinx-build -W -n docs docs/_build."""

import importlib.util
import os

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
nitpick_ignore_regex = [  # types of others, whose pages are not here, and names of fastaug.typing
    ("py:class", r"(collections|concurrent|io|multiprocessing|numpy|os|pandas|pathlib|PIL)\..*"),
    ("py:class", r"(fastaug\.typing\.)?(Array|SupportsArray)|fastaug\..*\._Function"),
    ("py:class", "Axes|Figure|TorchBatches"),
]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_show_copyright = False
html_title = f"fastaug {release}"
