"""Compiled hot paths.

Holds the work done once per update or once per subscriber. Must not know asyncio policy,
JSON libraries, or anything else of ours.
"""

import os
from importlib.util import find_spec
from pathlib import Path


def missing() -> list[str]:
    """The compiled modules that are not there: none after `make setup`, all where nothing could be compiled."""
    declared = sorted(stub.stem for stub in Path(__file__).parent.glob("*.pyi"))
    return [name for name in declared if find_spec(f"{__name__}.{name}") is None]


if os.environ.get("TICKWIRE_REQUIRE_SPEEDUPS") == "1" and missing():
    raise ImportError(f"compiled modules are missing: {', '.join(missing())}; run `make setup`")
