"""What a ccxt watch resolves or a ccxt fetch returns, turned into what is new in it.

Holds one function per kind of data; each answers None for a result that is not of its kind or not of its symbol (an
authentication, a batch of other symbols). ccxt's caches accumulate: a count of what was appended since the last call
is kept by the cache itself (`getLimit`), exact also when nobody awaited. Must not know keys, encodings or time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Payload = Any  # a dict for a ticker or a book, a list for trades and candles
Unpack = Callable[[Any, str], Payload | None]


def trades(result: Any, symbol: str) -> list[dict[str, Any]] | None:
    """The trades not seen yet, oldest first."""
    if not isinstance(result, list):
        return None
    count = _new_count(result, symbol)
    if count is None:
        return [trade for trade in result if trade.get("symbol") in (symbol, None)]
    if count == 1 and result[-1]["symbol"] == symbol:  # nearly always
        return [result[-1]]
    new: list[dict[str, Any]] = []
    for index in range(len(result) - 1, -1, -1):
        if len(new) == count:
            break
        if result[index]["symbol"] == symbol:
            new.append(result[index])
    new.reverse()
    return new


def candles(result: Any, symbol: str) -> list[list[float]] | None:
    """The candles [time, open, high, low, close, volume] that are new or changed, oldest first."""
    if not isinstance(result, list):
        return None
    if len(result) == 3 and isinstance(result[0], str):  # [symbol, timeframe, cache]
        if result[0] != symbol:
            return None
        result = result[2]
    if result and not isinstance(result[-1], list):
        return None
    count = _new_count(result, symbol)
    size = len(result)
    return [result[index] for index in range(max(0, size - count) if count is not None else 0, size)]


def ticker(result: Any, symbol: str) -> dict[str, Any] | None:
    """The ticker, also out of a table of tickers by symbol."""
    if not isinstance(result, dict):
        return None
    found = result if "symbol" in result else result.get(symbol)
    if isinstance(found, dict) and found.get("symbol") == symbol and "bid" in found:
        return found
    return None


def book(result: Any, symbol: str) -> dict[str, Any] | None:
    """The order book: ccxt's live object, to be read before the next await."""
    if isinstance(result, dict) and "bids" in result and "asks" in result and result.get("symbol") in (symbol, None):
        return result
    return None


def _new_count(cache: Any, symbol: str) -> int | None:
    """How many items were appended since the last call; None for a plain list."""
    limit = getattr(cache, "getLimit", None)
    if limit is None:
        return None
    # A cache starts counting anew at the first item after a call; until then it repeats its last answer.
    if getattr(cache, "_clear_updates", False) or getattr(cache, "_clear_updates_by_symbol", {}).get(symbol):
        return 0
    count: int = limit(symbol, None) or 0
    return count


UNPACK: Final[dict[str, Unpack]] = {
    "trades": trades,
    "ohlcv": candles,
    "ticker": ticker,
    "bidask": ticker,
    "book": book,
}
