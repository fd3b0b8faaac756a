"""Sphinx's settings. Build the pages with: python -m sphinx -W -n docs docs/_build."""

import fastaug

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
autodoc_typehints = "none"  # the docstrings say types in words
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"fastaug {release}"
