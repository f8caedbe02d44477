"""`python -m driver.hook install` registers the driver in every program of this Python environment, until `uninstall`.

Holds the file that says so, which Python reads at each start. Must not know how it is registered.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FILE: Final = "tickwire_driver.pth"
# Read at each start of Python; it must do no harm when the driver is gone.
LINE: Final = 'import importlib.util as u; u.find_spec("driver") and __import__("driver.finder").finder.start()\n'


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
