"""What ccxt's manual says of its unified structures, as checks: fields, their types, and how they hang together.

Holds the rules alone, none of which is known to the driver. Must not know where a structure comes from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

NUMBER = (int, float)
ORDER = {
    "id": str, "clientOrderId": str, "datetime": str, "timestamp": int, "lastTradeTimestamp": int, "symbol": str,
    "type": str, "timeInForce": str, "side": str, "price": NUMBER, "average": NUMBER, "amount": NUMBER,
    "filled": NUMBER, "remaining": NUMBER, "cost": NUMBER, "status": str, "trades": list, "fee": dict, "fees": list,
    "info": dict, "reduceOnly": bool, "postOnly": bool, "triggerPrice": NUMBER, "stopLossPrice": NUMBER,
    "takeProfitPrice": NUMBER, "lastUpdateTimestamp": int,
}  # fmt: skip
TRADE = {
    "info": dict, "id": str, "timestamp": int, "datetime": str, "symbol": str, "order": str, "type": str, "side": str,
    "takerOrMaker": str, "price": NUMBER, "amount": NUMBER, "cost": NUMBER, "fee": dict, "fees": list,
}  # fmt: skip
POSITION = {
    "info": dict, "id": str, "symbol": str, "timestamp": int, "datetime": str, "hedged": bool, "side": str,
    "contracts": NUMBER, "contractSize": NUMBER, "entryPrice": NUMBER, "markPrice": NUMBER, "notional": NUMBER,
    "leverage": NUMBER, "collateral": NUMBER, "initialMargin": NUMBER, "maintenanceMargin": NUMBER,
    "initialMarginPercentage": NUMBER, "maintenanceMarginPercentage": NUMBER, "unrealizedPnl": NUMBER,
    "liquidationPrice": NUMBER, "marginMode": str, "percentage": NUMBER, "marginRatio": NUMBER,
}  # fmt: skip
TICKER = {
    "symbol": str, "info": dict, "timestamp": int, "datetime": str, "high": NUMBER, "low": NUMBER, "bid": NUMBER,
    "ask": NUMBER, "last": NUMBER, "close": NUMBER, "open": NUMBER, "baseVolume": NUMBER, "quoteVolume": NUMBER,
}  # fmt: skip
MARKET = {
    "id": str, "symbol": str, "base": str, "quote": str, "active": bool, "type": str, "spot": bool, "precision": dict,
    "limits": dict, "taker": NUMBER, "maker": NUMBER, "info": dict, "contract": bool, "margin": bool, "swap": bool,
}  # fmt: skip
STATUSES = {"open", "closed", "canceled", "expired", "rejected"}
ALWAYS = {"info", "symbol"}
CLOSE = 1e-9


def check_fields(structure: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
    """Each field is there, and is of its type or None."""
    assert not set(rules) - set(structure), f"missing: {set(rules) - set(structure)}"
    for name, kind in rules.items():
        value = structure[name]
        wrong = isinstance(value, bool) and kind is not bool
        assert (value is None and name not in ALWAYS) or (isinstance(value, kind) and not wrong), (name, value)


def check_time(structure: Mapping[str, Any]) -> None:
    """The two forms of a time are the same moment, in UTC to the millisecond."""
    if structure["timestamp"] is None:
        assert structure["datetime"] is None
        return
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", structure["datetime"])
    assert round(datetime.fromisoformat(structure["datetime"]).timestamp() * 1000) == structure["timestamp"]


def check_fee(fee: Mapping[str, Any]) -> None:
    assert isinstance(fee["currency"], str)
    assert isinstance(fee["cost"], NUMBER)


def check_order(order: Mapping[str, Any], contract_size: float = 1) -> None:
    check_fields(order, ORDER)
    check_time(order)
    assert order["id"]
    assert order["status"] in STATUSES
    assert order["side"] in {"buy", "sell"}
    assert order["type"] in {"market", "limit"}
    assert order["timeInForce"] in {None, "GTC", "IOC", "FOK", "PO", "GTD"}
    assert order["postOnly"] is (order["timeInForce"] == "PO")
    assert order["amount"] == pytest.approx(order["filled"] + order["remaining"], rel=CLOSE)
    assert min(order["filled"], order["remaining"]) >= 0
    if order["filled"]:
        assert order["cost"] == pytest.approx(order["average"] * order["filled"] * contract_size, rel=1e-6)
    else:
        assert (order["average"], order["cost"], order["fees"]) == (None, 0, [])
    if order["status"] == "closed":
        assert order["remaining"] == 0
    if order["type"] == "limit":
        assert order["price"] > 0
    for fee in order["fees"]:
        check_fee(fee)
    assert len({fee["currency"] for fee in order["fees"]}) == len(order["fees"]), "one a currency"
    assert order["fee"] == (order["fees"][0] if len(order["fees"]) == 1 else None)


def check_trade(trade: Mapping[str, Any], contract_size: float = 1) -> None:
    check_fields(trade, TRADE)
    check_time(trade)
    assert trade["side"] in {"buy", "sell"}
    assert trade["takerOrMaker"] in {None, "taker", "maker"}
    assert min(trade["price"], trade["amount"]) > 0
    assert trade["cost"] == pytest.approx(trade["price"] * trade["amount"] * contract_size, rel=1e-6)
    if trade["fees"]:
        check_fee(trade["fee"])


def check_position(position: Mapping[str, Any]) -> None:
    check_fields(position, POSITION)
    check_time(position)
    assert position["contracts"] >= 0, "its direction is in its side"
    assert position["side"] in {"long", "short"}, "also of what is closed"


def check_ticker(ticker: Mapping[str, Any]) -> None:
    check_fields(ticker, TICKER)
    check_time(ticker)
    assert ticker["last"] == ticker["close"]
    assert ticker["low"] <= ticker["high"]


def check_market(market: Mapping[str, Any]) -> None:
    check_fields(market, MARKET)
    assert market["symbol"].startswith(f"{market['base']}/{market['quote']}")
    assert {"amount", "price"} <= set(market["precision"])
    assert {"amount", "price", "cost"} <= set(market["limits"])


def check_balance(balance: Mapping[str, Any]) -> None:
    for code in balance["total"]:
        free, used, total = (balance[code][name] for name in ("free", "used", "total"))
        assert free + used == pytest.approx(total)
        assert (balance["free"][code], balance["used"][code], balance["total"][code]) == (free, used, total)


def check_order_book(book: Mapping[str, Any]) -> None:
    bids, asks = book["bids"], book["asks"]
    assert [level[0] for level in bids] == sorted((level[0] for level in bids), reverse=True)
    assert [level[0] for level in asks] == sorted(level[0] for level in asks)
    assert bids[0][0] < asks[0][0]
    assert book["symbol"]


def check_candles(candles: list[list[Any]], step_ms: int) -> None:
    times = [candle[0] for candle in candles]
    assert times == sorted(set(times))
    for time, opened, high, low, closed, volume in candles:
        assert time % step_ms == 0
        assert low <= min(opened, closed) <= max(opened, closed) <= high
        assert volume >= 0
