"""Where programs look an exchange up by its name: `ccxt`, `ccxt.async_support`, `ccxt.pro`, and their lists.

Holds which class goes where. Nothing of ccxt is imported before it is asked for. Must not know what a class does.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Final

NAME: Final = "tickwire"
CLASSES: Final[Mapping[str, tuple[str, str]]] = {
    "ccxt": ("driver.sync", "OmsCcxtExchange"),
    "ccxt.async_support": ("driver.async_", "OmsCcxtExchange"),
    "ccxt.pro": ("driver.pro", "OmsCcxtProExchange"),
}


def register() -> None:
    """From now on `tickwire` is one of ccxt's exchanges, of each kind. Doing it again changes nothing."""
    for name in CLASSES:
        put(import_module(name))


def put(module: ModuleType) -> None:
    """The same for one of ccxt's modules, which is imported already."""
    place, name = CLASSES[module.__name__]
    kind = getattr(import_module(place), name)
    kind.__name__ = NAME  # Python's own errors show it, and ccxt's classes are named by their ids
    setattr(module, NAME, kind)
    for names in (module.exchanges, getattr(module, "__all__", module.exchanges)):
        if NAME not in names:
            names.append(NAME)
