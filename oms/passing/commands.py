"""Calls that create, change, cancel or close, as the commands of the OMS that they are.

Holds what ccxt's words for an order mean in ours. What the OMS cannot do as ccxt means it is refused, rather than done
in another way. Pure. Must not know who asks, nor what becomes of a command.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any, Final

from oms.errors import OmsError
from oms.model import Instrument, Order
from oms.passing.arguments import CHECKS, TIME_MS_MAX, bad
from oms.passing.calls import Call

# What makes an order wait for a price that is worse for it than the market's; of the last one, better.
TRIGGERS: Final = ("triggerPrice", "stopPrice", "stopLossPrice", "takeProfitPrice")
TAKE_PROFIT: Final = "takeProfitPrice"
UNSUPPORTED: Final = (
    "trailingAmount", "trailingPercent", "trailingTriggerPrice", "trailingDelta", "cost",
)  # fmt: skip
# Of the command, not of the order; and what goes by the OMS's own names, for programs that know it.
OF_COMMAND: Final = ("strategy_id", "request_id")
OWN: Final = ("position_id", "reason", "comment", "stop_loss", "stop_gain", "expires_at")
ATTACHED: Final = {"stopLoss": "stop_loss", "takeProfit": "stop_gain"}

Payload = dict[str, Any]


def body(account_id: int, command: str, payload: Payload, params: Mapping[str, Any]) -> dict[str, Any]:
    """A command as it would have been sent to us; its `request_id` is in the params."""
    named = {} if params.get("request_id") is None else {"request_id": params["request_id"]}
    return {"account_id": account_id, "command": command, "payload": payload, **named}


def send_order(call: Call, instrument: Instrument) -> Payload:
    """The payload of `send_order` for any of the creating functions, in steps of the market as ccxt cuts them."""
    given = call.arguments
    rest = params_of(call)
    limited = (given.get("type") or ("limit" if "limit" in call.name else "market")) == "limit"
    if asked := [name for name in UNSUPPORTED if rest.get(name) is not None]:
        raise OmsError(
            "unsupported_action", f"{', '.join(asked)}: there is no such order", details={"exception": "NotSupported"}
        )
    if limited and given.get("price") is None:
        raise bad("price", "is needed by a limit order", "ArgumentsRequired")
    takes_profit = rest.get(TAKE_PROFIT) is not None
    trigger = _trigger(call.name, rest)
    payload: Payload = {
        "symbol": given["symbol"],
        "side": given.get("side") or ("sell" if "_sell_" in call.name else "buy"),
        "order_type": _order_type(limited=limited, waits=trigger is not None, takes_profit=takes_profit),
        "qty": in_steps("amount", given["amount"], instrument.qty_step, ROUND_DOWN),
    }
    if limited:
        payload["price"] = in_steps("price", given["price"], instrument.price_step, ROUND_HALF_UP)
    if trigger is not None:
        payload["trigger_price"] = in_steps("triggerPrice", trigger, instrument.price_step, ROUND_HALF_UP)
    payload.update(_force(rest, limited=limited))
    payload.update(_named(rest))
    if more := {name: value for name, value in rest.items() if value is not None and name not in OF_COMMAND}:
        payload["params"] = more
    return payload


def params_of(call: Call) -> dict[str, Any]:
    """The params of a creating call, with what its name and its arguments say as one says it of createOrder."""
    params = dict(call.arguments["params"])
    for name in ("triggerPrice", "stopLossPrice", TAKE_PROFIT, "stopLoss", "takeProfit"):
        if (value := call.arguments.get(name)) is not None:
            params[name] = value
    if call.name == "create_post_only_order":
        params["postOnly"] = True
    if call.name == "create_reduce_only_order":
        params["reduceOnly"] = True
    return params


def change_order(row: Order, call: Call, instrument: Instrument) -> Payload:
    """The payload of `change_order`; `amount` is in all, with what is filled already."""
    params = call.arguments["params"]
    if asked := [name for name, value in params.items() if value is not None and not _has(row, name, value)]:
        text = f"{', '.join(asked)}: only the amount and the price of an order can be changed"
        raise OmsError("unsupported_action", text, details={"exception": "NotSupported"})
    payload: Payload = {"order_id": row.id}
    for name, field, step, rounding in (
        ("amount", "new_qty", instrument.qty_step, ROUND_DOWN),
        ("price", "new_price", instrument.price_step, ROUND_HALF_UP),
    ):
        if (value := call.arguments.get(name)) is not None:
            payload[field] = in_steps(name, value, step, rounding)
    if len(payload) == 1:
        raise bad("amount", "give amount, price or both", "ArgumentsRequired")
    return payload


def _has(row: Order, name: str, value: object) -> bool:
    """Whether a param of an edit says no more than the order says already."""
    if name in TRIGGERS:
        if name in {"stopLossPrice", TAKE_PROFIT} and row.order_type.takes_profit is not (name == TAKE_PROFIT):
            return False
        return row.trigger_price is not None and CHECKS["triggerPrice"](name, value) == row.trigger_price
    ours: dict[str, object] = {
        "clientOrderId": row.client_order_id,
        "timeInForce": "PO" if row.post_only else row.time_in_force.value,
        "postOnly": row.post_only,
        "reduceOnly": row.reduce_only,
    }
    return name in OF_COMMAND or (name in ours and value == ours[name])


def close_position(position_id: int, call: Call, instrument: Instrument) -> Payload:
    """The payload of `close_position`: all of it at the market, or params' `amount`, or at their `price`."""
    params = call.arguments["params"]
    payload: Payload = {"position_id": position_id}
    if (amount := params.get("amount")) is not None:
        payload["qty"] = in_steps("amount", CHECKS["amount"]("amount", amount), instrument.qty_step, ROUND_DOWN)
    if (price := params.get("price")) is not None:
        rounded = in_steps("price", CHECKS["price"]("price", price), instrument.price_step, ROUND_HALF_UP)
        payload |= {"order_type": "limit", "price": rounded}
    return payload


def in_steps(name: str, value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """The value in steps of the market, as ccxt does it. Raises OmsError when nothing is left of it."""
    if not step:
        return value
    rounded = (value / step).to_integral_value(rounding=rounding) * step
    if not rounded and value:
        raise bad(name, f"{value} is less than the step {step}", "InvalidOrder")
    return rounded


def _order_type(*, limited: bool, waits: bool, takes_profit: bool) -> str:
    if takes_profit:
        return "take_profit_limit" if limited else "take_profit"
    if waits:
        return "stop_limit" if limited else "stop"
    return "limit" if limited else "market"


def _trigger(name: str, rest: dict[str, Any]) -> Decimal | None:
    given = {word: rest.pop(word, None) for word in TRIGGERS}
    prices = {word: CHECKS["triggerPrice"](word, value) for word, value in given.items() if value is not None}
    if len(set(prices.values())) > 1 or (TAKE_PROFIT in prices and len(prices) > 1):
        raise bad(next(iter(prices)), f"{', '.join(prices)}: an order has one of them", "InvalidOrder")
    if not prices and name.startswith(("create_trigger", "create_stop", "create_take_profit")):
        needed = TAKE_PROFIT if name.startswith("create_take_profit") else "triggerPrice"
        raise bad(needed, "is needed", "ArgumentsRequired")
    return next(iter(prices.values()), None)


def _force(rest: dict[str, Any], *, limited: bool) -> Payload:
    """How long it may rest, and whether it must."""
    force = rest.pop("timeInForce", None)
    post_only = _flag(rest, "postOnly") or force == "PO"
    until = rest.pop("goodTillDate", rest.pop("expiryTime", None)) if force == "GTD" else None
    if post_only:
        if force not in {None, "PO", "GTC"}:
            raise bad("timeInForce", f"an order cannot be postOnly and {force}", "InvalidOrder")
        return {"post_only": True}
    # To ccxt a market order is one that is filled at once or canceled: ours is no other, and has no word for it.
    if force is None or (not limited and force in {"IOC", "GTC"}):
        return {}
    return {"time_in_force": force, **({} if until is None else {"expires_at": _moment(until)})}


def _flag(rest: dict[str, Any], name: str) -> bool:
    given = rest.pop(name, None)
    if given not in (None, True, False):  # a text such as "false" makes no order another one
        raise bad(name, "true or false", "InvalidOrder")
    return bool(given)


def _moment(time_ms: object) -> str:
    if isinstance(time_ms, bool) or not isinstance(time_ms, int | Decimal) or not 0 <= time_ms <= TIME_MS_MAX:
        raise bad("goodTillDate", "a time in milliseconds", "InvalidOrder")
    return datetime.fromtimestamp(int(time_ms) / 1000, UTC).isoformat()


def _named(rest: dict[str, Any]) -> Payload:
    fields: Payload = {}
    if _flag(rest, "reduceOnly"):
        fields["reduce_only"] = True
    for name, field in ATTACHED.items():
        if (attached := rest.pop(name, None)) is not None:
            fields[field] = _attached(name, attached)
    if (client_order_id := rest.pop("clientOrderId", None)) is not None:
        fields["client_order_id"] = str(client_order_id)
    if (strategy_id := rest.get("strategy_id")) is not None:
        fields["strategy_id"] = strategy_id
    for name in OWN:
        if (given := rest.pop(name, None)) is not None:
            fields[name] = given
    return fields


def _attached(name: str, given: object) -> object:
    """The price of a stop that belongs to the position, and is no order of its own."""
    if not isinstance(given, dict):
        return given
    price = given.get("triggerPrice", given.get("stopPrice"))
    if price is None:
        raise bad(name, "needs a triggerPrice", "ArgumentsRequired")
    if set(given) - {"triggerPrice", "stopPrice", "type"} or given.get("type", "market") != "market":
        text = f"{name} closes at the market: it has a triggerPrice and nothing else"
        raise OmsError("unsupported_action", text, details={"exception": "NotSupported"})
    return price
