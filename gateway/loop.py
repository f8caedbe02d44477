"""The event loop everything runs on: uvloop, or asyncio's own where uvloop is missing.

Holds that choice and nothing else.
"""

from __future__ import annotations

try:
    from uvloop import run
except ImportError:  # no wheel for this platform: everything works, and a write costs more
    from asyncio import run  # type: ignore[assignment]  # called with a coroutine alone, they are the same

__all__ = ["run"]
