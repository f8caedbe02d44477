"""What a command came to, told by what its order has become: how it is answered, at once or after a restart.

Pure. Must not know how anything was asked for, nor that it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oms.desk.results import Outcome, describe
from oms.errors import OmsError
from oms.model import Order, OrderState
from oms.venues import base

GONE = frozenset({OrderState.CANCELED, OrderState.EXPIRED})
NOT_FOUND = "order_not_found"


def refusal_of(error: base.Refused) -> OmsError:
    """What the venue answered, as it is told."""
    return OmsError(error.code, error.message, details=error.details)


def of_send(order: Order, refusal: OmsError | None = None) -> Outcome:
    """Of a send_order, and of whatever else sent an order. `refusal` is what the venue answered."""
    if order.state is OrderState.REJECTED:
        error = _own_error(order, "the venue rejected the order", refusal)
        return Outcome(order_id=order.id, error=_with_state(error, order))
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
        # Open is what it was found to be since: that the venue did not know it then says no more.
        known = refusal if refusal is not None and refusal.code != NOT_FOUND else None
        return Outcome(order_id=order.id, error=known or still)
    return Outcome(order_id=order.id, error=is_over(order))


def of_change(order: Order, *, changed: bool, refusal: OmsError | None = None) -> Outcome:
    """Of a change_order. `changed`: the order has the terms that were asked for. An error says the order's state."""
    if changed:
        return Outcome(order_id=order.id)
    if order.is_open and refusal is not None and refusal.code == NOT_FOUND:
        # So a venue says that it is no longer what it was to be replaced from, such as not filled at all.
        text = f"order {order.id} was not changed: it is {order.state} now ({refusal.message})"
        error = OmsError("invalid_order_state", text)
    elif order.is_open:
        error = refusal or OmsError("outcome_unknown", f"order {order.id} was not changed, as far as the venue says")
    elif order.state in GONE and order.error_code is not None:
        error = _own_error(order, "it was canceled and could not be created anew", refusal)
    else:
        return Outcome(order_id=order.id, error=is_over(order))
    return Outcome(order_id=order.id, error=_with_state(error, order))


def together(outcomes: Mapping[int, Outcome]) -> Outcome:
    """What came of each order, as the outcome of one command: it failed when any did."""
    told = [
        {"order_id": order_id, "ok": outcome.error is None, "error": outcome.error and describe(outcome.error)}
        for order_id, outcome in outcomes.items()
    ]
    errors = [outcome.error for outcome in outcomes.values() if outcome.error is not None]
    return Outcome(error=errors[0] if errors else None, more={"orders": told})


def has_terms(order: Order, payload: Any) -> bool:
    """Whether the order has the terms of this change_order."""
    price = payload.new_price is None or payload.new_price == order.price
    return price and (payload.new_qty is None or payload.new_qty == order.qty)


def is_over(order: Order) -> OmsError:
    """Why nothing can be asked for it any more."""
    return OmsError("invalid_order_state", f"order {order.id} is {order.state}", details={"state": order.state})


def _with_state(error: OmsError, order: Order) -> OmsError:
    details = {**(error.details or {}), "state": order.state}
    return OmsError(error.code, error.message, details=details, retry_after_ms=error.retry_after_ms)


def _own_error(order: Order, message: str, refusal: OmsError | None) -> OmsError:
    """What ended it, by its row; with the details of the refusal that did."""
    details = refusal.details if refusal is not None and refusal.code == order.error_code else None
    return OmsError(order.error_code or "exchange_error", order.error_message or message, details=details)
