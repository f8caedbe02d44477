"""What a command came to, told by what its order has become: how it is answered, at once or after a restart.

Pure. Must not know how anything was asked for, nor that it was.
"""

from __future__ import annotations

from typing import Any

from oms.desk.results import Outcome
from oms.errors import OmsError
from oms.model import Order, OrderState

GONE = frozenset({OrderState.CANCELED, OrderState.EXPIRED})
NOT_FOUND = "order_not_found"


def of_send(order: Order) -> Outcome:
    """Of a send_order, and of whatever else sent an order."""
    if order.state is OrderState.REJECTED:
        return Outcome(order_id=order.id, error=_own_error(order, "the venue rejected the order"))
    return Outcome(order_id=order.id)


def of_cancel(order: Order, refusal: OmsError | None = None) -> Outcome:
    """Of a cancel_order, for one of its orders. `refusal` is what the venue answered."""
    if order.state in GONE and order.error_code == NOT_FOUND:
        # That it is nowhere to be found, twice, ends it; that it was canceled, nobody has said.
        unseen = OmsError(NOT_FOUND, order.error_message or "", details={"state": order.state})
        return Outcome(order_id=order.id, error=unseen)
    if order.state in GONE:
        return Outcome(order_id=order.id)
    if order.is_open:
        still = OmsError("outcome_unknown", f"order {order.id} was not canceled, as far as the venue says: ask again")
        return Outcome(order_id=order.id, error=refusal or still)
    return Outcome(order_id=order.id, error=is_over(order))


def of_change(order: Order, *, changed: bool, refusal: OmsError | None = None) -> Outcome:
    """Of a change_order. `changed`: the order has the terms that were asked for. An error says the order's state."""
    if changed:
        return Outcome(order_id=order.id)
    if order.is_open:
        error = refusal or OmsError("outcome_unknown", f"order {order.id} was not changed, as far as the venue says")
    elif order.state in GONE and order.error_code is not None:
        error = _own_error(order, "it was canceled and could not be created anew")
    else:
        return Outcome(order_id=order.id, error=is_over(order))
    details = {**(error.details or {}), "state": order.state}
    told = OmsError(error.code, error.message, details=details, retry_after_ms=error.retry_after_ms)
    return Outcome(order_id=order.id, error=told)


def has_terms(order: Order, payload: Any) -> bool:
    """Whether the order has the terms of this change_order."""
    price = payload.new_price is None or payload.new_price == order.price
    return price and (payload.new_qty is None or payload.new_qty == order.qty)


def is_over(order: Order) -> OmsError:
    """Why nothing can be asked for it any more."""
    return OmsError("invalid_order_state", f"order {order.id} is {order.state}", details={"state": order.state})


def _own_error(order: Order, message: str) -> OmsError:
    return OmsError(order.error_code or "exchange_error", order.error_message or message)
