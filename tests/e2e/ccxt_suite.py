"""ccxt's own test suite, out of an installed wheel, on an exchange of any name.

It refuses to run where it is installed, so a copy of it is put together elsewhere, with the library linked beside it.
Holds how it is put together, started and read. Must not know what a test asserts.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import ROOT

NOT_OURS = {"test", "pro", "__pycache__"}


class Outcome(NamedTuple):
    """What it said, and what of that counts."""

    lines: list[str]

    @property
    def failures(self) -> list[str]:
        return [line for line in self.lines if "[TEST_FAILURE]" in line]

    @property
    def passed(self) -> set[str]:
        """The methods that were tested to the end."""
        return {line.split()[-1] for line in self.lines if "[INFO] TESTING DONE" in line}


def assemble(installed: Path, folder: Path) -> Path:
    """The suite and its library under `folder`, from the `ccxt` of a wheel; the script to run."""
    library = folder / "lib" / "ccxt"
    (library / "pro").mkdir(parents=True)
    for part in (Path(), Path("pro")):
        for each in (installed / part).iterdir():
            if each.name not in NOT_OURS:
                (library / part / each.name).symlink_to(each)
        shutil.copytree(installed / part / "test", library / part / "test")
    return library / "test" / "tests_init.py"


def configure(folder: Path, name: str, settings: Mapping[str, Any], skipped: Mapping[str, Any]) -> None:
    """`settings` are set on the exchange; `skipped` says what of a method is not looked at, and why."""
    (folder / "keys.json").write_text(json.dumps({name: settings}), encoding="utf-8")
    (folder / "skip-tests.json").write_text(json.dumps({name: {"skipMethods": skipped}}), encoding="utf-8")


async def run(python: Path, script: Path, name: str, kind: str, timeout_s: float) -> Outcome:
    """All of it for one kind of client (--sync, --async, --ws), private methods too. Raises TimeoutError."""
    library = script.parents[2]
    options = () if kind == "--async" else (kind,)
    process = await asyncio.create_subprocess_exec(
        python, "-m", "driver.run", str(script), *options, "--private", "--info", name,
        cwd=library.parent, env={**os.environ, "PYTHONPATH": f"{library}{os.pathsep}{ROOT}"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Outcome(output.decode().splitlines())
