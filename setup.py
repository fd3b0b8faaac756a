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

# A wheel is for one version of Python. With the limited API of 3.11 (Cython 3.3; PyMem_RawCalloc is
# not in it before 3.13) batches of 32x32 and 224x224 took as long, but a batch of one image of 8x8
# 6 % longer, `random_transform` of an image of 32x32 14 % and its `standardize` 26 %.
setup(
    ext_modules=cythonize(
        Extension(
            "fastaug._core",
            ["fastaug/_core.pyx"],
            depends=[str(header) for header in pathlib.Path("fastaug/kernels").iterdir()],
            include_dirs=[numpy.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
            extra_compile_args=FLAGS,
        ),
    )
)
