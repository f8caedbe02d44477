"""The driver is registered in every program of an environment, until it is no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from driver import hook
from tests.driver.programs import PROGRAM, ROOT, python


def test_it_is_installed_for_every_program_and_taken_away_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = f"import site, sys; site.addsitedir({str(tmp_path)!r})\n"
    for action, said in (("status", "not installed"), ("install", "installed: "), ("status", "installed")):
        assert hook.main([action, "--folder", str(tmp_path)]) == 0
        assert capsys.readouterr().out.startswith(said)
    assert python(f"{site}print('ccxt' in sys.modules)") == "False\n", "a program without ccxt is left alone"
    assert python(f"{site}{PROGRAM}").startswith("found")
    hook.main(["uninstall", "--folder", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []
    hook.main(["uninstall", "--folder", str(tmp_path)])
    assert capsys.readouterr().out == "uninstalled\nit was not installed\n"


def test_the_command_says_nothing_else_while_it_is_installed(tmp_path: Path) -> None:
    """Python reads its file before it runs the command: what the file imports must not be the command."""
    hook.install(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(f"import site; site.addsitedir({str(tmp_path)!r})\n")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    for action, said in (("status", "installed\n"), ("uninstall", "uninstalled\n")):
        command = [sys.executable, "-m", "driver.hook", action, "--folder", str(tmp_path)]
        ended = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, said, "")


def test_it_does_no_harm_when_the_driver_is_gone(tmp_path: Path) -> None:
    hook.install(tmp_path)
    code = f"import site; site.addsitedir({str(tmp_path)!r}); print('alive')"
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.stderr) == ("alive\n", "")
