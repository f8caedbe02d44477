"""Programs that do not know of the driver find it in ccxt, however they import it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from driver import hook

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import sys
import ccxt.async_support as a
import ccxt
from ccxt import tickwire
assert tickwire is ccxt.tickwire and issubclass(tickwire, ccxt.Exchange)
assert "tickwire" in ccxt.exchanges and "tickwire" in a.exchanges
assert issubclass(a.tickwire, a.Exchange)
assert "ccxt.pro" not in sys.modules, "what a program does not use is not imported for it"
import ccxt.pro
assert "tickwire" in ccxt.pro.exchanges and issubclass(ccxt.pro.tickwire, a.Exchange)
print("found", ccxt.__spec__.loader.__class__.__name__, ccxt.__file__.endswith("__init__.py"))
"""


def python(code: str, *options: str) -> str:
    ended = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_whoever_imports_ccxt_finds_the_driver_in_it() -> None:
    assert (
        python(f"import driver.hook as hook; hook.start(); hook.start()\n{PROGRAM}") == "found SourceFileLoader True\n"
    )


def test_what_is_imported_already_has_it_at_once() -> None:
    assert python("import ccxt, driver.hook; driver.hook.start(); print(ccxt.tickwire().id)") == "tickwire\n"


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


def test_it_does_no_harm_when_the_driver_is_gone(tmp_path: Path) -> None:
    hook.install(tmp_path)
    code = f"import site; site.addsitedir({str(tmp_path)!r}); print('alive')"
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.stderr) == ("alive\n", "")


def test_other_modules_are_none_of_its_business() -> None:
    assert hook.Finder().find_spec("json", None) is None
