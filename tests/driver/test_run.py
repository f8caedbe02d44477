"""A program runs as it would by itself, but for the exchange that it finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """#!/usr/bin/env python3
import sys
import beside
import ccxt
print(__name__, sys.argv[1:], beside.VALUE, "tickwire" in ccxt.exchanges, ccxt.tickwire().id)
sys.exit(3)
"""


@pytest.fixture(name="program")
def _program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    (tmp_path / "beside.py").write_text("VALUE = 7\n")
    command = tmp_path / "a-command"
    command.write_text(PROGRAM)
    command.chmod(0o755)
    (tmp_path / "no-python").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "no-python").chmod(0o755)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "needy.py").write_text("import what_is_missing\n")
    return path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "driver.run", *arguments]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("named", [("program.py",), ("-m", "program"), ("a-command",)])
def test_a_file_a_module_or_a_command(program: Path, named: tuple[str, ...]) -> None:
    ended = run(program.parent, *named, "--flag", "x")
    assert ended.stdout == "__main__ ['--flag', 'x'] 7 True tickwire\n", ended.stderr
    assert ended.returncode == 3, "its own exit code"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "usage: "), (("--help",), "usage: "), (("-m",), "usage: "), (("nowhere.py",), "no such file or command"),
     (("no-python",), "not a Python program"), (("-m", "nowhere"), "nowhere: no such module\n"),
     (("-m", "beside.nowhere"), "beside.nowhere: no such module\n"), (("-m", ".beside"), ".beside: no such module\n"),
     (("-m", "package"), "package: no such module\n")],
)  # fmt: skip
def test_what_cannot_be_run_is_told(program: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = run(program.parent, *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_what_a_module_itself_lacks_is_raised(program: Path) -> None:
    ended = run(program.parent, "-m", "package.needy")
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (
        1, "ModuleNotFoundError: No module named 'what_is_missing'",
    )  # fmt: skip
