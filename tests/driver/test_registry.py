"""Where programs look exchanges up by name, the driver is."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator

import ccxt
import ccxt.async_support
import ccxt.pro
import pytest

import driver
from driver.async_ import OmsCcxtExchange as AsyncExchange
from driver.pro import OmsCcxtProExchange
from driver.registry import CLASSES
from driver.sync import OmsCcxtExchange

MODULES = (ccxt, ccxt.async_support, ccxt.pro)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    for module in MODULES:
        for names in (module.exchanges, getattr(module, "__all__", [])):
            while "tickwire" in names:
                names.remove("tickwire")
        if hasattr(module, "tickwire"):
            del module.tickwire


def test_each_kind_is_where_it_is_looked_up() -> None:
    driver.register()
    driver.register()
    kinds = (OmsCcxtExchange, AsyncExchange, OmsCcxtProExchange)
    assert tuple(module.tickwire for module in MODULES) == kinds
    assert [module.exchanges.count("tickwire") for module in MODULES] == [1, 1, 1]
    assert "tickwire" in ccxt.__all__
    assert getattr(ccxt, "tickwire")().id == "tickwire"  # noqa: B009  # as programs look it up


def test_errors_of_python_name_the_exchange_by_its_id() -> None:
    driver.register()
    for module in MODULES:
        exchange: object = module.tickwire
        with pytest.raises(AttributeError, match="'tickwire'"):
            getattr(exchange, "no_such_method")  # noqa: B009  # as programs have it
    assert pickle.loads(pickle.dumps(OmsCcxtExchange)) is OmsCcxtExchange


def test_every_kind_of_ccxt_has_a_class() -> None:
    assert set(CLASSES) == {module.__name__ for module in MODULES}


def test_importing_the_driver_imports_nothing_of_ccxt() -> None:
    code = "import sys, driver, driver.finder, driver.run; print([name for name in sys.modules if 'ccxt' in name])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
