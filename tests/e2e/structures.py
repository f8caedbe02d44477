"""The rules of ccxt's manual for its unified structures, as checks: each takes a structure and fails by what is wrong.

Written from the manual, not from our classes. Must not know a client.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

Row = Mapping[str, Any]

ORDER_STATUSES: Final = {"open", "closed", "canceled", "expired", "rejected"}
TICKER_NUMBERS: Final = (
    *("high", "low", "bid", "bidVolume", "ask", "askVolume", "vwap", "open", "close", "last", "previousClose"),
    *("change", "percentage", "average", "baseVolume", "quoteVolume"),
)
ORDER_NUMBERS: Final = ("price", "average", "amount", "filled", "remaining", "cost", "triggerPrice")
MARKET_FLAGS: Final = ("spot", "margin", "swap", "future", "option", "contract")


def number(row: Row, name: str) -> float | None:
    """The number, which may be None but not absent, nor a text, nor beyond all numbers."""
    assert name in row, f"no {name}"
    value = row[name]
    assert value is None or (isinstance(value, int | float) and not isinstance(value, bool)), (name, value)
    assert value is None or math.isfinite(value), (name, value)
    return value


def text(row: Row, name: str, *, required: bool = True) -> None:
    value = row[name]
    assert isinstance(value, str) if required else value is None or isinstance(value, str), (name, value)


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def time_of(row: Row, *, required: bool = True) -> int | None:
    """Milliseconds, and the same as ISO 8601 in UTC."""
    timestamp, text_ = row["timestamp"], row["datetime"]
    if timestamp is None and text_ is None and not required:
        return None
    assert isinstance(timestamp, int), timestamp
    assert text_.endswith("Z"), text_
    assert round(datetime.fromisoformat(text_).timestamp() * 1000) == timestamp
    return timestamp


def fees(row: Row) -> None:
    """One fee, or several; each says of what currency it is, and how much."""
    for fee in (*([] if row["fee"] is None else [row["fee"]]), *row["fees"]):
        if fee.get("currency") is not None or fee.get("cost") is not None:
            assert isinstance(fee["currency"], str)
            assert number(fee, "cost") is not None
    if row["fee"] is not None and len(row["fees"]) == 1:
        assert row["fees"][0]["cost"] == row["fee"]["cost"]


def ticker(row: Row, symbol: str) -> None:
    assert row["symbol"] == symbol
    assert isinstance(row["info"], dict)
    time_of(row)
    numbers = {name: number(row, name) for name in TICKER_NUMBERS}
    bid, ask, last, opened = (numbers[name] for name in ("bid", "ask", "last", "open"))
    assert numbers["close"] == last
    assert bid is None or ask is None or bid < ask
    if last is not None and opened:
        assert numbers["change"] is not None
        assert math.isclose(numbers["change"], last - opened, abs_tol=1e-6)
        assert numbers["percentage"] is not None
        assert math.isclose(numbers["percentage"], (last - opened) / opened * 100, abs_tol=1e-2)


def book(row: Any, symbol: str) -> None:
    assert row["symbol"] == symbol
    time_of(row, required=False)
    assert row["nonce"] is None or isinstance(row["nonce"], int)
    for side, sign in (("bids", -1), ("asks", 1)):
        prices = [level[0] for level in row[side]]
        assert prices
        assert prices == sorted(set(prices), key=lambda price: price * sign), (
            f"{side} from the best on, each price once"
        )
        assert all(level[1] > 0 for level in row[side])
    assert row["bids"][0][0] < row["asks"][0][0]


def candles(rows: Sequence[Sequence[float]], interval_ms: int) -> None:
    assert rows
    for start_ms, opened, high, low, closed, volume in rows:
        assert isinstance(start_ms, int)
        assert start_ms % interval_ms == 0
        assert low <= min(opened, closed) <= max(opened, closed) <= high
        assert volume >= 0
    starts = [row[0] for row in rows]
    assert starts == sorted(set(starts))


def trade(row: Row, symbol: str, *, own: bool) -> None:
    assert row["symbol"] == symbol
    assert isinstance(row["info"], dict)
    text(row, "id")
    time_of(row)
    assert row["side"] in {"buy", "sell"}
    assert row["takerOrMaker"] in {"taker", "maker", None}
    price, amount, cost = (number(row, name) for name in ("price", "amount", "cost"))
    assert price is not None
    assert amount is not None
    assert cost is not None
    assert price > 0 < amount
    assert close(cost, price * amount)
    text(row, "order", required=own)
    if own:
        assert row["takerOrMaker"] is not None
        fees(row)


def order(row: Row, symbol: str) -> None:
    assert row["symbol"] == symbol
    assert isinstance(row["info"], dict)
    text(row, "id")
    text(row, "clientOrderId")
    created = time_of(row)
    assert created is not None
    assert row["status"] in ORDER_STATUSES
    assert row["side"] in {"buy", "sell"}
    assert row["type"] in {"limit", "market"}
    assert row["timeInForce"] in {"GTC", "IOC", "FOK", "PO", "GTD", None}
    assert isinstance(row["postOnly"], bool)
    assert isinstance(row["reduceOnly"], bool)
    assert isinstance(row["trades"], list)
    numbers = {name: number(row, name) for name in ORDER_NUMBERS}
    amount, filled, remaining, cost = (numbers[name] for name in ("amount", "filled", "remaining", "cost"))
    assert amount is not None
    assert filled is not None
    assert remaining is not None
    assert cost is not None
    assert close(filled + remaining, amount)
    assert row["type"] == "market" or numbers["price"], "a limit order has its price"
    if filled:
        assert numbers["average"] is not None
        assert close(cost, filled * numbers["average"])
        assert row["lastTradeTimestamp"] is None or row["lastTradeTimestamp"] >= created - 1_000
    else:
        assert cost == 0
        assert numbers["average"] is None
    if row["status"] == "closed":
        assert remaining == 0
    assert row["lastUpdateTimestamp"] is None or row["lastUpdateTimestamp"] >= created
    fees(row)


def balance(row: Row) -> None:
    assert isinstance(row["info"], dict | list)
    time_of(row, required=False)
    for currency, total in row["total"].items():
        assert row[currency] == {"free": row["free"][currency], "used": row["used"][currency], "total": total}
        assert close(row["free"][currency] + row["used"][currency], total)


def position(row: Row, symbol: str) -> None:
    assert row["symbol"] == symbol
    assert isinstance(row["info"], dict)
    time_of(row)
    contracts, size = number(row, "contracts"), number(row, "contractSize")
    assert contracts is not None
    assert size is not None
    assert contracts >= 0 < size
    assert row["side"] in {"long", "short"}
    entry, mark, profit = (number(row, name) for name in ("entryPrice", "markPrice", "unrealizedPnl"))
    if entry is not None and mark is not None and profit is not None and contracts:
        sign = 1 if row["side"] == "long" else -1
        assert math.isclose(profit, (mark - entry) * contracts * size * sign, rel_tol=1e-6, abs_tol=1e-6)


def market(row: Row) -> None:
    for name in ("id", "symbol", "base", "quote", "baseId", "quoteId", "type"):
        text(row, name)
    assert row["symbol"].startswith(f"{row['base']}/{row['quote']}")
    assert sum(bool(row[name]) for name in ("spot", "swap", "future", "option")) == 1
    assert all(isinstance(row[name], bool) for name in MARKET_FLAGS)
    assert row["active"] in {True, False, None}
    for name in ("maker", "taker"):
        fee = number(row, name)
        assert fee is None or -0.1 < fee < 0.1, "a part, not per cent"
    assert all((number(row["precision"], name) or 1) > 0 for name in ("price", "amount"))
    for name in ("amount", "price", "cost", "leverage"):
        least, most = (number(row["limits"][name], end) for end in ("min", "max"))
        assert least is None or most is None or least <= most


def currency(row: Row, code: str) -> None:
    assert row["code"] == code
    text(row, "id")
    assert isinstance(row["limits"], dict)


def ascending(rows: Sequence[Row], since: int | None = None, limit: int | None = None) -> None:
    """As lists are answered: the oldest first, none before `since`, no more than `limit`."""
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times)
    assert since is None or all(time >= since for time in times)
    assert limit is None or len(rows) <= limit
