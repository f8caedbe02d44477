"""A module with the functions and named tuples of MetaTrader5, and the RPyC server that serves it, as mt5linux's does.

MetaTrader 5 runs on Windows alone, so what is tested is everything up to its package: names, fields and their order are
those of MetaTrader5 5.0; the server is RPyC's own classic one, in a process of its own. Run as a program it serves
until it is killed: `python terminal.py PORT CODE`. A client moves it by the same way, through `bench`.
"""

from __future__ import annotations

import sys
import time
from collections import namedtuple
from types import ModuleType
from typing import Any

AccountInfo = namedtuple(  # as the package makes them
    "AccountInfo",
    "login trade_mode leverage limit_orders margin_so_mode trade_allowed trade_expert margin_mode currency_digits "
    "fifo_close balance credit profit equity margin margin_free margin_level margin_so_call margin_so_so "
    "margin_initial margin_maintenance assets liabilities commission_blocked name server currency company",
)
TradePosition = namedtuple(  # as above
    "TradePosition",
    "ticket time time_msc time_update time_update_msc type magic identifier reason volume price_open sl tp "
    "price_current swap profit symbol comment external_id",
)
TradeDeal = namedtuple(  # as above
    "TradeDeal",
    "ticket order time time_msc type entry magic position_id reason volume price commission swap profit fee symbol "
    "comment external_id",
)
LOGIN = 5_012_345
PASSWORD = "the-broker-s-password"
T0 = 1_770_474_600


def account(login: int = LOGIN, **changes: Any) -> Any:
    return AccountInfo(
        login, 0, 100, 200, 0, True, True, 2, 2, False,
        1000.0, 0.0, 0.0, 1000.0, 0.0, 1000.0, 0.0, 50.0, 30.0,
        0.0, 0.0, 0.0, 0.0, 0.0, "Ann", "Broker-Demo", "USD", "Broker",
    )._replace(**changes)  # fmt: skip


def position(ticket: int = 1, **changes: Any) -> Any:
    return TradePosition(
        ticket, T0, T0 * 1000, T0, T0 * 1000, 0, 0, ticket, 0,
        1.0, 1.085, 0.0, 0.0, 1.0851, 0.0, 10.0, "EURUSD", "", "",
    )._replace(**changes)  # fmt: skip


def deal(ticket: int, entry: int, **changes: Any) -> Any:
    return TradeDeal(
        ticket, ticket, T0, T0 * 1000 + ticket, 0, entry, 0, 1, 0, 1.0, 1.085, 0.0, 0.0, 0.0, 0.0, "EURUSD", "", "",
    )._replace(**changes)  # fmt: skip


class Terminal:
    """The state behind the module."""

    def __init__(self) -> None:
        self.passwords = {LOGIN: PASSWORD}
        self.login: int | None = None
        self.is_running = True
        self.figures: dict[str, Any] = {}
        self.positions: list[Any] = []
        self.deals: dict[int, list[Any]] = {}
        self.hang_s = 0.0
        self.error = (1, "Success")
        self.shutdowns = 0
        self.calls: list[str] = []

    # The package's functions

    def initialize(self, *path: str, timeout: int = 60_000, **_more: Any) -> bool:
        self._called("initialize")
        if not self.is_running:
            self.error = (-10005, "IPC timeout")
        return self.is_running

    def login_(self, login: int, password: str = "", server: str = "", timeout: int = 60_000) -> bool:
        self._called("login")
        if self.passwords.get(login) != password:
            self.error = (-6, "Terminal: Authorization failed")
            return False
        self.login = login
        return True

    def account_info(self) -> Any:
        self._called("account_info")
        if not self.is_running or self.login is None:
            self.error = (-10004, "No IPC connection")
            return None
        return account(self.login, **self.figures)

    def positions_get(self) -> Any:
        self._called("positions_get")
        return tuple(self.positions) if self.is_running else None

    def history_deals_get(self, *, position: int) -> Any:
        found = self.deals.get(position)
        return None if found is None else tuple(found)

    def last_error(self) -> tuple[int, str]:
        return self.error

    def shutdown(self) -> None:
        self.shutdowns += 1

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.hang_s:
            time.sleep(self.hang_s)


def module(terminal: Terminal) -> ModuleType:
    """What `import MetaTrader5` is to give."""
    made = ModuleType("MetaTrader5")
    for name in ("initialize", "account_info", "positions_get", "history_deals_get", "last_error", "shutdown"):
        setattr(made, name, getattr(terminal, name))
    made.login = terminal.login_  # type: ignore[attr-defined]  # a module has what it is given
    made.bench = terminal  # type: ignore[attr-defined]  # as above: for the tests alone
    return made


if __name__ == "__main__":
    from rpyc.core import SlaveService
    from rpyc.utils.server import ThreadedServer

    bench = Terminal()
    exec(sys.argv[2])  # the test that starts it says how it begins
    sys.modules["MetaTrader5"] = module(bench)
    sys.modules["terminal"] = sys.modules["__main__"]
    server = ThreadedServer(SlaveService, hostname="127.0.0.1", port=int(sys.argv[1]))
    server._listen()  # before the port is told
    print(server.port, flush=True)
    server.start()
