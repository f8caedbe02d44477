"""`python -m driver.run PROGRAM ARGS..` runs a Python program in which `tickwire` is one of ccxt's exchanges.

PROGRAM is a file, `-m MODULE`, or a command on the PATH that is written in Python. Must not know what it does.
"""

from __future__ import annotations

import runpy
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from driver import hook

USAGE = "usage: python -m driver.run (FILE | COMMAND | -m MODULE) ARGS..\n"


def main(arguments: Sequence[str]) -> int:
    """The program's own exit is raised as it raises it; 2 when there is no such program."""
    if not arguments or arguments[0] in {"-h", "--help"} or arguments == ["-m"]:
        sys.stderr.write(USAGE)
        return 2
    hook.start()
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])  # the first is replaced by the module's path
        sys.path.insert(0, str(Path.cwd()))
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


def _is_python(path: Path) -> bool:
    if path.suffix in {".py", ".pyz"}:
        return True
    with path.open("rb") as file:
        first = file.readline(256)
    return first.startswith(b"#!") and b"python" in first


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
