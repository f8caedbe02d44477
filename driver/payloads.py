"""Arguments of ccxt's order methods as payloads of the gateway's commands. Pure. Must not know a client or a market.

What the gateway cannot do as ccxt means it is refused here, rather than done in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ccxt.base.errors import ArgumentsRequired, InvalidOrder, NotSupported

from driver.mappers.trade import order_type, takes_profit
from driver.mappers.values import iso8601, whole

# What is passed on by its own name, for programs that know the gateway.
OWN: Final = ("position_id", "reason", "comment", "stop_loss", "stop_gain", "expires_at")
OF_COMMAND: Final = ("strategy_id", "request_id")  # not of the order
_TRIGGERS: Final = ("triggerPrice", "stopPrice", "stopLossPrice", "takeProfitPrice")
_TAKE_PROFIT: Final = "takeProfitPrice"
_UNSUPPORTED: Final = (*("trailingAmount", "trailingPercent", "trailingTriggerPrice", "trailingDelta", "cost"),)


def send_order(
    symbol: str,
    kind: str,
    side: str,
    amount: str,
    price: str | None,
    params: Mapping[str, Any],
    in_steps: Callable[[Any], str] = str,
) -> dict[str, Any]:
    """The payload of `send_order`. Amount and price are as the market has them, in text; `in_steps` makes a price so.

    `stopLossPrice` and `takeProfitPrice` make it an order that waits for that price, as ccxt says; `stopLoss` and
    `takeProfit` with a `triggerPrice` each are stops of the position that it opens. Raises InvalidOrder, NotSupported,
    ArgumentsRequired.
    """
    rest = dict(params)
    limited = str(kind).lower() == "limit"
    _check(kind, price, rest)
    is_take_profit = rest.get(_TAKE_PROFIT) is not None
    trigger = _trigger(rest)
    payload: dict[str, Any] = {"symbol": symbol, "side": str(side).lower(), "qty": amount}
    payload["order_type"] = _order_type(limited=limited, waits=trigger is not None, takes_profit=is_take_profit)
    if limited:
        payload["price"] = price
    if trigger is not None:
        payload["trigger_price"] = in_steps(trigger)
    payload.update(_force(rest, limited=limited))
    payload.update(_named(rest, in_steps))
    if given := {name: value for name, value in rest.items() if value is not None}:
        payload["params"] = given
    return payload


def check_change(order: Mapping[str, Any], symbol: str | None, kind: str | None, side: str | None, params: Any) -> None:
    """Whether what is asked of `edit_order` beside amount and price is what the order has already.

    Raises InvalidOrder for another market, type or side, and NotSupported for what cannot be changed.
    """
    ours = {"symbol": order["symbol"], "type": order_type(order), "side": order["side"]}
    for name, asked in (("symbol", symbol), ("type", kind), ("side", side)):
        if asked and str(asked).lower() != ours[name].lower():
            raise InvalidOrder(f"tickwire: order {order['id']} is {ours[name]}, not {asked}: edit_order keeps that")
    force = "PO" if order["post_only"] else order["time_in_force"]
    has = {
        "clientOrderId": order["client_order_id"],
        "timeInForce": force,
        "postOnly": bool(order["post_only"]),
        "reduceOnly": bool(order["reduce_only"]),
        **dict.fromkeys(_TRIGGERS, order["trigger_price"]),
        # A price that the order waits for from the other side is another order's.
        "stopLossPrice" if takes_profit(order) else _TAKE_PROFIT: None,
    }
    given = {name: value for name, value in params.items() if value is not None and name not in OF_COMMAND}
    if others := [name for name, value in given.items() if name not in has or not _is_same(has[name], value)]:
        raise NotSupported(f"tickwire: {', '.join(others)}: only the amount and the price of an order can be changed")


def _is_same(ours: Any, asked: Any) -> bool:
    try:
        return bool(ours == asked) or Decimal(str(ours)) == Decimal(str(asked))
    except InvalidOperation:
        return False


def _check(kind: str, price: str | None, params: Mapping[str, Any]) -> None:
    if str(kind).lower() not in {"market", "limit"}:
        raise InvalidOrder(f"tickwire: type must be market or limit, not {kind!r}")
    if asked := [name for name in _UNSUPPORTED if params.get(name) is not None]:
        raise NotSupported(f"tickwire: {', '.join(asked)}: the gateway has no such order")
    if str(kind).lower() == "limit" and price is None:
        raise ArgumentsRequired("tickwire: a limit order requires a price")


def _order_type(*, limited: bool, waits: bool, takes_profit: bool) -> str:
    if takes_profit:
        return "take_profit_limit" if limited else "take_profit"
    if waits:
        return "stop_limit" if limited else "stop"
    return "limit" if limited else "market"


def _named(rest: dict[str, Any], in_steps: Callable[[Any], str]) -> dict[str, Any]:
    """What ccxt and the gateway have other words for, and what goes by the gateway's own."""
    fields: dict[str, Any] = {}
    if _flag(rest, "reduceOnly"):
        fields["reduce_only"] = True
    for name, field in (("stopLoss", "stop_loss"), ("takeProfit", "stop_gain")):
        if (attached := rest.pop(name, None)) is not None:
            fields[field] = in_steps(_attached(name, attached))
    if (client_order_id := rest.pop("clientOrderId", None)) is not None:
        fields["client_order_id"] = str(client_order_id)
    for name in OWN:
        if (given := rest.pop(name, None)) is not None:
            fields[name] = given if isinstance(given, int) else str(given)
    return fields


def _trigger(rest: dict[str, Any]) -> object:
    prices = {name: value for name in _TRIGGERS if (value := rest.pop(name, None)) is not None}
    if len({str(price) for price in prices.values()}) > 1 or (_TAKE_PROFIT in prices and len(prices) > 1):
        raise InvalidOrder(f"tickwire: {', '.join(prices)}: an order has one of them")
    return next(iter(prices.values()), None)


def _force(rest: dict[str, Any], *, limited: bool) -> dict[str, Any]:
    """How long it may rest, and whether it must."""
    force = rest.pop("timeInForce", None)
    post_only = _flag(rest, "postOnly") or force == "PO"
    until = rest.pop("goodTillDate", rest.pop("expiryTime", None)) if force == "GTD" else None
    if post_only:
        if force not in {None, "PO", "GTC"}:
            raise InvalidOrder(f"tickwire: an order cannot be postOnly and {force}")
        return {"post_only": True}
    # To ccxt a market order is one that is filled at once or canceled: the gateway has no other, and no word for it.
    if force is None or (not limited and force in {"IOC", "GTC"}):
        return {}
    return {
        "time_in_force": str(force),
        **({} if until is None else {"expires_at": iso8601(whole("goodTillDate", until))}),
    }


def _flag(rest: dict[str, Any], name: str) -> bool:
    """Programs read their settings as texts: "false" makes no order another one."""
    given = rest.pop(name, None)
    if given not in (None, True, False):
        raise InvalidOrder(f"tickwire: {name}: True or False, not {str(given)[:64]!r}")
    return bool(given)


def _attached(name: str, given: object) -> object:
    """The price of a stop that belongs to the position, not to an order of its own."""
    if not isinstance(given, Mapping):
        return given
    price = given.get("triggerPrice", given.get("stopPrice"))
    if price is None:
        raise ArgumentsRequired(f"tickwire: {name} requires a triggerPrice")
    others = sorted(set(given) - {"triggerPrice", "stopPrice", "type"})
    if others or given.get("type", "market") != "market":
        raise NotSupported(f"tickwire: {name} closes at the market: it has a triggerPrice and nothing else")
    return price
