"""What is known of an order before it is committed: whether ccxt can ask this exchange for it, as it is and no other.

Nothing is sent and nobody is waited for. Must not know how the exchange is asked, nor the limits of an account.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Final

from ccxt.base import errors as ccxt_errors

from oms.errors import OmsError
from oms.model import Order, TimeInForce
from oms.venues.rehearsal import rehearse
from oms.venues.requests import Create

# How ccxt says of an exchange that it keeps such an order: in `features`, and without these in `has`.
STOPS: Final = ("triggerPrice", "createTriggerOrder")
TAKE_PROFITS: Final = ("takeProfitPrice", "createTakeProfitOrder")


def params(order: Order, allowed: Collection[str]) -> None:
    """Raises OmsError for a name that is not allowed, and for a value that is no text, number or boolean."""
    for name, value in order.params.items():
        if name not in allowed:
            known = f"it takes {', '.join(sorted(allowed))}" if allowed else "it takes none"
            raise _wrong(f"params.{name}", f"orders of this exchange do not take it: {known}")
        if not isinstance(value, str | int | float):
            raise _wrong(f"params.{name}", "must be a text, a number or a boolean")


def kind(exchange: Any, order: Order) -> None:
    """Raises OmsError `unsupported_action` for what ccxt says this market has not, or would pass on as something else.

    An exchange of which ccxt says nothing is taken to have every time in force, and triggers only if `has` says so.
    """
    if order.time_in_force is TimeInForce.GTD:
        raise _unsupported(
            "time_in_force", "GTD is sent to no exchange: cancel_all_after ends orders that should not stay"
        )
    if order.order_type.is_limited:
        wanted = "PO" if order.post_only else order.time_in_force.value
        times = exchange.feature_value(order.symbol, "createOrder", "timeInForce") or {}
        if times.get(wanted) is False:
            field = "post_only" if order.post_only else "time_in_force"
            raise _unsupported(field, f"{exchange.id} has no such orders for {order.symbol}")
    feature, method = TAKE_PROFITS if order.order_type.takes_profit else STOPS
    if order.trigger_price is not None and not exchange.feature_value(
        order.symbol, "createOrder", feature, exchange.has.get(method)
    ):
        raise _unsupported("order_type", f"{exchange.id} keeps no {order.order_type} orders for {order.symbol}")


def steps(exchange: Any, request: Create) -> None:
    """Raises ccxt's InvalidOrder: ccxt cuts off what is too fine; what was committed is sent, or nothing."""
    precision = exchange.markets[request.symbol]["precision"]
    trigger_price = request.params.get("triggerPrice") or request.params.get("takeProfitPrice")
    for name, asked, step, cut in (
        ("qty", request.amount, precision.get("amount"), exchange.amount_to_precision),
        ("price", request.price, precision.get("price"), exchange.price_to_precision),
        ("trigger_price", trigger_price, precision.get("price"), exchange.price_to_precision),
    ):
        if asked is not None and step is not None and Decimal(cut(request.symbol, asked)) != Decimal(asked):
            raise ccxt_errors.InvalidOrder(f"{name} {asked} is finer than steps of {step}")


def request(exchange: Any, wanted: Create, own: Create, given: Mapping[str, Any]) -> None:
    """Let ccxt make the request, without sending it. Raises what ccxt refuses by itself.

    `own` is the same without the caller's params, which are `given`: with them it must go to the same place and say
    nothing else, but more; else OmsError.
    """
    meant = rehearse(lambda: exchange.create_order(*wanted.arguments, dict(wanted.params)))
    if not given:
        return
    plain = rehearse(lambda: exchange.create_order(*own.arguments, dict(own.params)))
    ours = given.keys() & own.params.keys()
    if ours or meant is None or plain is None or not meant.only_adds_to(plain):
        raise _wrong("params", f"would make another order of it at {exchange.id}")


def _wrong(field: str, message: str) -> OmsError:
    return OmsError("validation_error", f"{field}: {message}", details={"field": field})


def _unsupported(field: str, message: str) -> OmsError:
    return OmsError("unsupported_action", f"{field}: {message}", details={"field": field})
