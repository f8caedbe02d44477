"""Compile every `_speedups/*.pyx`; everything else about the distribution is in pyproject.toml."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = Path(__file__).parent
DEBUG = os.environ.get("TICKWIRE_DEBUG_SPEEDUPS") == "1"

COMPILE = ["-O3", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type"]
if sys.platform == "linux" and not DEBUG:
    COMPILE.append("-flto")
LINK = ["-O3", "-flto"] if "-flto" in COMPILE else []

extensions = [
    Extension(
        f"_speedups.{source.stem}",
        [str(source.relative_to(HERE))],
        extra_compile_args=COMPILE,
        extra_link_args=LINK,
    )
    for source in sorted((HERE / "_speedups").glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": DEBUG,
            "initializedcheck": DEBUG,
            "cdivision": not DEBUG,
            "embedsignature": True,
        },
    ),
)
