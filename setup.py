"""The extension module; everything else is in pyproject.toml."""

import pathlib
import sys

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

# Without contraction of a * b + c every instruction set gives the same bits.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
if sys.platform == "win32":
    FLAGS = []

setup(
    ext_modules=cythonize(
        Extension(
            "fastaug._core",
            ["fastaug/_core.pyx"],
            depends=[str(header) for header in pathlib.Path("fastaug").glob("*.h")],
            include_dirs=[numpy.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
            extra_compile_args=FLAGS,
        ),
    )
)
