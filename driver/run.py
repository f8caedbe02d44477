"""`python -m driver.run PROGRAM ARGS..` runs a Python program in which `tickwire` is one of ccxt's exchanges.

PROGRAM is a file, `-m MODULE`, or a command on the PATH that is written in Python. Must not know what it does.
"""

from __future__ import annotations

import runpy
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from driver import finder

USAGE = "usage: python -m driver.run (FILE | COMMAND | -m MODULE) ARGS..\n"


def main(arguments: Sequence[str]) -> int:
    """The program's own exit is raised as it raises it; 2 when there is no such program."""
    if not arguments or arguments[0] in {"-h", "--help"} or arguments == ["-m"]:
        sys.stderr.write(USAGE)
        return 2
    finder.start()
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])  # the first is replaced by the module's path
        sys.path.insert(0, str(Path.cwd()))
        if not _is_module(arguments[1]):
            sys.stderr.write(f"{arguments[1]}: no such module\n")
            return 2
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    found = arguments[0] if Path(arguments[0]).is_file() else shutil.which(arguments[0])
    if found is None or not _is_python(Path(found)):
        sys.stderr.write(f"{arguments[0]}: {'no such file or command' if found is None else 'not a Python program'}\n")
        return 2
    sys.argv = [found, *arguments[1:]]
    sys.path.insert(0, str(Path(found).resolve().parent))
    runpy.run_path(found, run_name="__main__")
    return 0


def _is_module(name: str) -> bool:
    """Whether there is one that can be run; the packages above it are imported. What these raise is raised."""
    try:
        spec = None if name.startswith(".") else find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name = f"{name}.__main__"
            spec = find_spec(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # of something that it imports
        return False
    return spec is not None


def _is_python(path: Path) -> bool:
    if path.suffix in {".py", ".pyz"}:
        return True
    with path.open("rb") as file:
        first = file.readline(256)
    return first.startswith(b"#!") and b"python" in first


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
