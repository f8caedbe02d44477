"""What is asked of the MetaTrader5 module, in the Python that has it: this file is sent there as it is.

Holds a few functions of the standard library alone, for any Python from 3.7 on, which answer in tuples, texts and
numbers: those are sent by value, in one turn, and nothing of the other side has to be believed to read them. Must not
know how an answer is understood.
"""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """A named tuple as pairs of name and value, and so whatever holds such."""
    if hasattr(value, "_asdict"):
        return tuple(value._asdict().items())
    if isinstance(value, tuple):
        return tuple(plain(each) for each in value)
    return value


def enter(mt5: Any, path: str, login: int, password: str, server: str, timeout_ms: int) -> Any:
    """Connect to the terminal, and log in unless it is already; None, or the terminal's word why not."""
    there = (path,) if path else ()
    if not mt5.initialize(*there, timeout=timeout_ms):
        return plain(mt5.last_error())
    known = mt5.account_info()
    if known is not None and known.login == login:
        return None
    shown = {"server": server} if server else {}
    if password:
        shown["password"] = password
    if not mt5.login(login, timeout=timeout_ms, **shown):
        return plain(mt5.last_error())
    return None


def read(mt5: Any) -> Any:
    """The account and its positions, and None; or nothing, and the terminal's word why not.

    The terminal may be made another account's by anybody, at any time: then these are nobody's positions.
    """
    before = mt5.account_info()
    positions = mt5.positions_get()
    account = mt5.account_info()
    if before is None or positions is None or account is None:
        return None, (), plain(mt5.last_error())
    if before.login != account.login:
        return None, (), (0, "the terminal has changed its account")
    return plain(account), plain(positions), None


def deals(mt5: Any, tickets: Any) -> Any:
    """The deals of each of these positions, as far as the terminal knows them."""
    return tuple((ticket, plain(mt5.history_deals_get(position=ticket) or ())) for ticket in tickets)
