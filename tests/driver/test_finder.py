"""Programs that do not know of the driver find it in ccxt, however they import it."""

from __future__ import annotations

from driver.finder import Finder
from tests.driver.programs import PROGRAM, python


def test_whoever_imports_ccxt_finds_the_driver_in_it() -> None:
    told = python(f"from driver import finder; finder.start(); finder.start()\n{PROGRAM}")
    assert told == "found SourceFileLoader True\n"


def test_what_is_imported_already_has_it_at_once() -> None:
    assert python("import ccxt, driver.finder; driver.finder.start(); print(ccxt.tickwire().id)") == "tickwire\n"


def test_other_modules_are_none_of_its_business() -> None:
    assert Finder().find_spec("json", None) is None
