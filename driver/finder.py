"""Registers the driver in programs that do not know of it, at the moment in which they import ccxt.

Nothing is imported, and nothing changes, where ccxt is not. Must not know a class, nor who has it started: `driver.run`
for one program, what `driver.hook` installs for all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from driver.registry import CLASSES, put


class Finder(MetaPathFinder):
    """Finds ccxt as everybody does, and sees to it that the driver is registered once it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in CLASSES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        loader: Any = spec.loader if spec is not None else None
        if loader is not None:
            loader.exec_module = _and_put(loader.exec_module)
        return spec


def _and_put(execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def execute_and_put(module: ModuleType) -> None:
        execute(module)
        put(module)

    return execute_and_put


def start() -> None:
    """From now on whoever imports ccxt finds the driver in it. What is imported already has it at once."""
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, Finder())
    for name in CLASSES:
        if name in sys.modules:
            put(sys.modules[name])
