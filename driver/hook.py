"""Registers the driver in programs that do not know of it, at the moment in which they import ccxt.

`python -m driver.hook install` does so in every program of this Python environment, until `uninstall`; `python -m
driver.run` in one program. Nothing is imported, and nothing changes, where ccxt is not. Must not know a class.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from driver.registry import CLASSES, put

FILE: Final = "tickwire_driver.pth"
# Read at each start of Python; it must do no harm when the driver is gone.
LINE: Final = 'import importlib.util as u; u.find_spec("driver") and __import__("driver.hook").hook.start()\n'


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


def install(folder: Path) -> Path:
    """`start` at each start of Python with this folder of packages; the file that says so."""
    path = folder / FILE
    path.write_text(LINE, encoding="utf-8")
    return path


def uninstall(folder: Path) -> bool:
    """Whether there was anything to take away."""
    path = folder / FILE
    was_there = path.exists()
    path.unlink(missing_ok=True)
    return was_there


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m driver.hook", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("install", "uninstall", "status"))
    parser.add_argument(
        "--folder", type=Path, default=Path(sysconfig.get_path("purelib")), help="of packages; this environment's"
    )
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    if options.action == "install":
        sys.stdout.write(f"installed: {install(folder)}\n")
    elif options.action == "uninstall":
        sys.stdout.write("uninstalled\n" if uninstall(folder) else "it was not installed\n")
    else:
        sys.stdout.write("installed\n" if (folder / FILE).exists() else "not installed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
