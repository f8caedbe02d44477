"""Orders and executions of Binance's spot markets in ccxt's unified form: as much of it as `convert` reads.

Pure. ccxt makes the whole form, with checks for every kind of market, at several times the cost, and a good part of
what an order costs went there. What is not known here is None, and ccxt's to read. Must not know a connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from ccxt.base.precise import Precise

Told = Mapping[str, Any]
Unified = dict[str, Any]

REPORT: Final = "executionReport"
BALANCES: Final = frozenset({"outboundAccountPosition", "balanceUpdate", "externalLockUpdate"})
SIDES: Final = {"BUY": "buy", "SELL": "sell"}
STATUSES: Final = {
    "NEW": "open",
    "PARTIALLY_FILLED": "open",
    "PENDING_CANCEL": "canceling",
    "FILLED": "closed",
    "CANCELED": "canceled",
    "REJECTED": "rejected",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
}
KINDS: Final = {
    "LIMIT": "limit",
    "LIMIT_MAKER": "limit",
    "MARKET": "market",
    "STOP_LOSS": "market",
    "STOP_LOSS_LIMIT": "limit",
    "TAKE_PROFIT": "market",
    "TAKE_PROFIT_LIMIT": "limit",
}
NOT_SPOT: Final = frozenset({"positionSide", "cumQuote", "avgPrice", "code", "strategyId", "algoId"})
ZEROS: Final = frozenset({"0", "0.00000000", "0.0"})
UNKNOWN: Final = (KeyError, TypeError, ValueError, InvalidOperation)  # what reading it by these words raises
UNRESERVED: Final = re.compile(r"[A-Za-z0-9_.~-]+")  # what a query string holds as it is
# Params of an order that has none of its own; the last is ccxt's.
OWN: Final = frozenset({"clientOrderId", "timeInForce", "postOnly", "isAlgoOrder"})
EXACT: Final = Context(prec=60)  # more digits than any number and any step have together


def order(told: Told, symbol: str) -> Unified | None:
    """Of an answer that says all of it: to a request to create or cancel it, or what it is."""
    if not NOT_SPOT.isdisjoint(told):
        return None
    try:
        filled, status = told["executedQty"], STATUSES[told["status"]]
        done_ms = told["transactTime"] if "transactTime" in told else told["updateTime"]
        made_ms = next(told[name] for name in ("time", "workingTime", "transactTime", "updateTime") if name in told)
        traded = status == "closed" or (status == "open" and filled not in ZEROS)
        return _order(
            told, symbol, (told["type"], told["side"], status), (told["origQty"], told["price"], told.get("stopPrice")),
            (filled, told["cummulativeQuoteQty"]), (told["orderId"], told["clientOrderId"]),
            (made_ms, done_ms, done_ms if traded else None),
        )  # fmt: skip
    except (*UNKNOWN, StopIteration):
        return None


def report(event: Told, symbol: str) -> Unified | None:
    """The order of an `executionReport`, as it is after it."""
    try:
        at_ms = event["T"]
        return _order(
            event, symbol, (event["o"], event["S"], STATUSES[event["X"]]), (event["q"], event["p"], event["P"]),
            (event["z"], event["Z"]), (event["i"], event.get("C") or event["c"]),
            (event["O"], at_ms, at_ms if event["x"] == "TRADE" else None),
        )  # fmt: skip
    except UNKNOWN:
        return None


def _order(
    told: Told,
    symbol: str,
    words: tuple[str, str, str],
    terms: tuple[str, str, str | None],
    done: tuple[str, str],
    names: tuple[int, str],
    times_ms: tuple[int, int, int | None],
) -> Unified:
    """Raises one of `UNKNOWN`."""
    kind, side, status = words
    qty, price, trigger_price = terms
    filled, cost = done
    for amount in (qty, price, filled, cost):
        Decimal(amount)
    return {
        "info": told,
        "id": str(names[0]),
        "clientOrderId": names[1],
        "symbol": symbol,
        "type": KINDS[kind],
        "side": SIDES[side],
        "amount": qty,
        "price": price,
        "triggerPrice": None if trigger_price in ZEROS else trigger_price,
        "filled": filled,
        "average": None if filled in ZEROS else Precise.string_div(cost, filled),
        "status": status,
        "timestamp": times_ms[0],
        "lastUpdateTimestamp": times_ms[1],
        "lastTradeTimestamp": times_ms[2],
    }


def trade(event: Told, symbol: str, currency_of: Callable[[str | None], str | None]) -> Unified | None:
    """The execution in an `executionReport` of kind TRADE; `currency_of`: what ccxt calls an asset."""
    try:
        for amount in (event["l"], event["L"], event["n"]):
            Decimal(amount)
        return {
            "info": event,
            "id": str(event["t"]),
            "order": str(event["i"]),
            "symbol": symbol,
            "side": SIDES[event["S"]],
            "amount": event["l"],
            "price": event["L"],
            "takerOrMaker": "maker" if event["m"] else "taker",
            "fee": {"cost": event["n"], "currency": currency_of(event["N"])},
            "timestamp": event["T"],
        }
    except UNKNOWN:
        return None


@lru_cache(maxsize=1_024)  # it is asked for several times an order
def in_steps(text: object, step: object) -> str | None:
    """A number that is a multiple of a step as ccxt sends it; None for any other, which it would cut off."""
    try:
        value = Decimal(str(text))
        if value <= 0 or EXACT.remainder(value, Decimal(str(step))):
            return None
    except InvalidOperation:
        return None
    plain = f"{value:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def query(params: Mapping[str, Any]) -> str | None:
    """Params as a query string when nothing in them is to be quoted."""
    texts = [*params, *(value if type(value) is str else str(value) for value in params.values())]
    plain = all(type(value) in {str, int} for value in params.values()) and UNRESERVED.fullmatch("".join(texts))
    return "&".join([f"{name}={value}" for name, value in params.items()]) if plain and all(texts) else None
