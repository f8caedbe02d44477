"""Binance's request errors and the reading of query parameters.

Knows the wire's rules, nothing of markets' state.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

import orjson

Listed = TypeVar("Listed")
_INTEGER = re.compile(r"[0-9]{1,20}")
_SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,20}")
_SYMBOL_RULE = "^[A-Z0-9-_.]{1,20}$"
_SYMBOLS_RULE = '^\\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\\]$'


class BinanceError(Exception):
    """A refusal: `{"code": ..., "msg": ...}` with HTTP status 400 unless said otherwise."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    def body(self) -> bytes:
        return orjson.dumps({"code": self.code, "msg": str(self)})


def illegal(name: str, rule: str) -> BinanceError:
    return BinanceError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{rule}'.")


def missing(name: str) -> BinanceError:
    return BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text:
        raise BinanceError(-1105, f"Parameter '{name}' was empty.")
    if not _INTEGER.fullmatch(text):
        raise illegal(name, "^[0-9]{1,20}$")
    return int(text)


def limit(query: Mapping[str, str], default: int, most: int) -> int:
    """The `limit` parameter; Binance gives at most `most`, whatever was asked."""
    value = integer(query, "limit")
    if value is None:
        return default
    if value == 0:
        raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(value, most)


def time_range(query: Mapping[str, str]) -> tuple[int | None, int | None]:
    start_ms, end_ms = integer(query, "startTime"), integer(query, "endTime")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise BinanceError(-1127, "Start time is greater than end time.")
    return start_ms, end_ms


def listed(query: Mapping[str, str], markets: Mapping[str, Listed]) -> Listed:
    """The market of a mandatory `symbol`."""
    name = query.get("symbol")
    if not name:
        raise missing("symbol")
    if not _SYMBOL.fullmatch(name):
        raise illegal("symbol", _SYMBOL_RULE)
    if name not in markets:
        raise BinanceError(-1121, "Invalid symbol.")
    return markets[name]


def several(query: Mapping[str, str], markets: Mapping[str, Listed]) -> tuple[list[Listed], bool]:
    """The markets of `symbol`, of `symbols`, or all of them; and whether just one was asked for."""
    if "symbol" in query:
        if "symbols" in query:
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        return [listed(query, markets)], True
    if "symbols" not in query:
        return list(markets.values()), False
    try:
        names = orjson.loads(query["symbols"])
    except orjson.JSONDecodeError:
        raise illegal("symbols", _SYMBOLS_RULE) from None
    if not isinstance(names, list) or not all(isinstance(name, str) and _SYMBOL.fullmatch(name) for name in names):
        raise illegal("symbols", _SYMBOLS_RULE)
    if not names:
        raise BinanceError(-1105, "Parameter 'symbols' was empty.")
    if not set(names) <= markets.keys():
        raise BinanceError(-1121, "Invalid symbol.")
    return [markets[name] for name in names], False
