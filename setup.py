"""The extension module; everything else is in pyproject.toml."""

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
            depends=[
                "fastaug/_pixels.h",
                "fastaug/_warp.h",
                "fastaug/_simd.h",
                "fastaug/_tasks.h",
                "fastaug/_memory.h",
            ],
            include_dirs=[numpy.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
            extra_compile_args=FLAGS,
        ),
    )
)
