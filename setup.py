"""Compile every `_speedups/*.pyx`; everything else about the distribution is in pyproject.toml.

`TICKWIRE_REQUIRE_SPEEDUPS=1` makes a module that does not compile an error. Without it the distribution still installs:
`oms` and `loadtest` work without compiled modules, and the gateway says at start which are missing.
`TICKWIRE_SKIP_SPEEDUPS=1` compiles nothing: `make` installs the rest first and compiles in place in a step of its own.
`TICKWIRE_DEBUG_SPEEDUPS=1` turns bounds checks and assertions on and the optimiser down, for sanitizers and debuggers.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = Path(__file__).parent
DEBUG = os.environ.get("TICKWIRE_DEBUG_SPEEDUPS") == "1"
SKIPPED = os.environ.get("TICKWIRE_SKIP_SPEEDUPS") == "1"
REQUIRED = os.environ.get("TICKWIRE_REQUIRE_SPEEDUPS") == "1"

# The last four silence what Cython's own generated code sets off, not what ours does.
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
    "-Wno-cast-function-type",
    "-Wno-unused-function",
]
OPTIMISED = ["-O3", "-flto=auto"] if sys.platform == "linux" else ["-O3"]
SPEED = ["-O1", "-g", "-fno-omit-frame-pointer"] if DEBUG else OPTIMISED

extensions = [
    Extension(
        f"_speedups.{source.stem}",
        [str(source.relative_to(HERE))],
        extra_compile_args=[*SPEED, *WARNINGS],
        extra_link_args=SPEED,
        optional=not REQUIRED,
    )
    for source in sorted((HERE / "_speedups").glob("*.pyx"))
    if not SKIPPED
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
