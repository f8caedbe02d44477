"""May this order become that? The happenings of an order, and one table of what each may lead to.

`advance` is a pure function of an order and a happening; it takes the time and never reads a clock. Must not know who
saw the happening, what a deal does to a position, or how an order is kept: `book` asks here and writes down the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from oms.model import TERMINAL, ZERO, Order, OrderState

OVERFILL: Final = "overfill"  # more was executed than ordered
LATE_FILL: Final = "late_fill"  # executed after the order was thought to be over
REVIVED: Final = "revived"  # the venue has it open although it was over by all that was known
REPLACING_ANEW: Final = "replacing_anew"  # being canceled to be created again, so that a cancel is no end of it


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """What befell an order. What stands in it was said by the venue, unless its name says otherwise."""


class Accepted(Happening, frozen=True, kw_only=True):
    """The answer to a create: it is there."""

    exchange_order_id: str
    time_ns: int


class Refused(Happening, frozen=True, kw_only=True):
    """The definitive answer to a create, also to the second half of a replace by cancel and create."""

    code: str
    message: str


class Ambiguous(Happening, frozen=True, kw_only=True):
    """No answer that says whether it was done. Never a rejection."""

    message: str


class VenueStatus(Happening, frozen=True, kw_only=True):
    """What the venue says of the order, by its stream or when asked. Of `filled` only deals are believed."""

    status: Literal["open", "canceled", "expired", "rejected", "filled"]
    filled: Decimal
    time_ns: int
    exchange_order_id: str | None = None
    message: str = ""


class CancelRequested(Happening, frozen=True, kw_only=True):
    """We are about to ask for it."""


class CancelFailed(Happening, frozen=True, kw_only=True):
    """Definitively not canceled by our request."""


class ReplaceRequested(Happening, frozen=True, kw_only=True):
    """We are about to ask for it. `anew`: by cancel and create, for which `replaces` gives a client id of its own."""

    anew: bool = False


class ReplaceFailed(Happening, frozen=True, kw_only=True):
    """Definitively not replaced, and as alive as before."""


class Replaced(Happening, frozen=True, kw_only=True):
    """It rests with this price and this whole quantity (what was filled before counts in it)."""

    price: Decimal | None
    qty: Decimal
    exchange_order_id: str
    time_ns: int


class Absent(Happening, frozen=True, kw_only=True):
    """Proved: looked up twice, seconds apart, and it has no trades that are not booked."""


class Revived(Happening, frozen=True, kw_only=True):
    """Seen to be open, asked about by itself, though it was over: with these terms (`qty` of the whole order)."""

    price: Decimal | None
    qty: Decimal
    exchange_order_id: str
    time_ns: int


class Filled(Happening, frozen=True, kw_only=True):
    """Its deals now total this: the book counts them. `position_id` is what they went to, 0: as before."""

    filled: Decimal
    average_price: Decimal
    time_ns: int
    exchange_order_id: str | None = None
    position_id: int = 0


class ImpossibleError(Exception):
    """A happening that the table does not have for this state: a fault of ours, or a venue that contradicts itself."""

    def __init__(self, order: Order, happening: Happening) -> None:
        super().__init__(f"order {order.id} is {order.state}: {type(happening).__name__} cannot happen to it")
        self.order_id = order.id
        self.state = order.state


_S = OrderState
_Next = Mapping[type[Happening], frozenset[OrderState]]


def _row(*parts: Mapping[type[Happening], set[OrderState]]) -> _Next:
    return {happening: frozenset(allowed) for part in parts for happening, allowed in part.items()}


def _late(state: OrderState) -> dict[type[Happening], set[OrderState]]:
    """What a closed order still hears: most of it is old news, or tells no more than its id at the venue."""
    return {
        Accepted: {state},
        VenueStatus: {state},
        Revived: {_S.SUBMITTED, _S.PARTIALLY_FILLED},
        **{ignored: set() for ignored in (Ambiguous, CancelFailed, ReplaceFailed, Replaced, Absent)},
    }


_UNSENT: Final[dict[type[Happening], set[OrderState]]] = {
    Accepted: {_S.SUBMITTED},
    VenueStatus: {_S.SUBMITTED, _S.CANCELED, _S.EXPIRED, _S.REJECTED},
    Filled: {_S.PARTIALLY_FILLED, _S.FILLED},
    Absent: {_S.REJECTED},
}
_RESTING: Final[dict[type[Happening], set[OrderState]]] = {
    Ambiguous: set(),  # the stream was faster than the lost answer
    CancelRequested: {_S.PENDING_CANCEL},
    CancelFailed: set(),
    ReplaceRequested: {_S.PENDING_REPLACE},
    ReplaceFailed: set(),
    Absent: {_S.CANCELED},
}
NOT_SEEN: Final = frozenset({_S.PENDING_SUBMIT, _S.UNKNOWN})  # at the venue, by us
_PENDING: Final = frozenset({_S.PENDING_CANCEL, _S.PENDING_REPLACE})
_BACK: Final = {_S.SUBMITTED, _S.PARTIALLY_FILLED, _S.FILLED}
_LATE: Final = {_S.PARTIALLY_FILLED, _S.FILLED}  # by a late fill: the venue has it alive, or had

# What each happening may lead to, its own state meaning that it stays. An empty set: heard too late, ignored.
# A happening that is not there is impossible.
TABLE: Final[Mapping[OrderState, _Next]] = MappingProxyType({
    _S.PENDING_SUBMIT: _row(_UNSENT, {Refused: {_S.REJECTED}, Ambiguous: {_S.UNKNOWN}}),
    _S.UNKNOWN: _row(_UNSENT, {Ambiguous: set()}),
    _S.SUBMITTED: _row(_RESTING, {
        Accepted: {_S.SUBMITTED},
        Refused: {_S.REJECTED},
        VenueStatus: {_S.SUBMITTED, _S.CANCELED, _S.EXPIRED, _S.REJECTED},
        Filled: {_S.PARTIALLY_FILLED, _S.FILLED},
        Replaced: {_S.SUBMITTED},
    }),
    _S.PARTIALLY_FILLED: _row(_RESTING, {
        Accepted: {_S.PARTIALLY_FILLED},
        VenueStatus: {_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED},
        Filled: {_S.PARTIALLY_FILLED, _S.FILLED},
        Replaced: {_S.PARTIALLY_FILLED, _S.FILLED},
    }),
    _S.PENDING_CANCEL: _row({
        Accepted: {_S.PENDING_CANCEL},
        Ambiguous: set(),  # it stays to be found out
        VenueStatus: {_S.PENDING_CANCEL, _S.FILLED, _S.CANCELED, _S.EXPIRED},
        Filled: {_S.PENDING_CANCEL, _S.FILLED},
        CancelRequested: set(),
        CancelFailed: {_S.SUBMITTED, _S.PARTIALLY_FILLED},
        Absent: {_S.CANCELED},
    }),
    _S.PENDING_REPLACE: _row({
        Accepted: {_S.PENDING_REPLACE},
        Refused: {_S.CANCELED, _S.FILLED},
        Ambiguous: set(),
        VenueStatus: {_S.PENDING_REPLACE, _S.FILLED, _S.CANCELED, _S.EXPIRED},
        Filled: {_S.PENDING_REPLACE},  # of how much is only known when the replace has ended
        ReplaceFailed: _BACK,
        Replaced: _BACK,
        Absent: {_S.CANCELED, _S.FILLED},
    }),
    _S.FILLED: _row(_late(_S.FILLED), {Filled: {_S.FILLED}, Replaced: {_S.FILLED}}),
    _S.CANCELED: _row(_late(_S.CANCELED), {Filled: _LATE}),
    _S.EXPIRED: _row(_late(_S.EXPIRED), {Filled: _LATE}),
    _S.REJECTED: _row(_late(_S.REJECTED), {Refused: set(), Filled: _LATE}),
})  # fmt: skip

Changes = dict[str, Any]


def advance(order: Order, happening: Happening, now_ns: int) -> Order | None:
    """The order after it; None when it is stale or says nothing new. Raises `ImpossibleError`, see `TABLE`."""
    allowed = TABLE[order.state].get(type(happening))
    if allowed is None:
        raise ImpossibleError(order, happening)
    changes = _HANDLERS[type(happening)](order, happening) if allowed else None
    if changes is None:
        return None
    state: OrderState = changes.setdefault("state", order.state)
    if state not in allowed:
        raise ImpossibleError(order, happening)
    if order.state is _S.PENDING_REPLACE is not state:
        changes["flags"] = tuple(flag for flag in changes.get("flags", order.flags) if flag != REPLACING_ANEW)
    was_doubted = order.state is _S.UNKNOWN or (order.state in TERMINAL and state is not order.state)
    if was_doubted and "error_code" not in changes:
        changes |= {"error_code": None, "error_message": None}  # nothing is in doubt, or it is not what was said of it
    if state not in TERMINAL:
        changes["closed_ns"] = None
    elif order.state not in TERMINAL:
        changes["closed_ns"] = now_ns
    times = [time for time in (order.exchange_time_ns, getattr(happening, "time_ns", None)) if time is not None]
    changes["exchange_time_ns"] = max(times, default=None)
    return msgspec.structs.replace(order, **changes, updated_ns=now_ns, version=order.version + 1)


def _rests_as(order: Order, qty: Decimal) -> OrderState:
    if order.filled >= qty:
        return _S.FILLED
    return _S.PARTIALLY_FILLED if order.filled else _S.SUBMITTED


def _flags(order: Order, *, filled: Decimal, qty: Decimal, late: bool = False) -> tuple[str, ...]:
    flags = {flag for flag in order.flags if flag != OVERFILL}
    if filled > qty:
        flags.add(OVERFILL)
    if late:
        flags.add(LATE_FILL)
    return tuple(sorted(flags))


def _learned(order: Order, exchange_order_id: str | None) -> Changes | None:
    """The id at the venue, if that is news."""
    return {"exchange_order_id": exchange_order_id} if exchange_order_id and not order.exchange_order_id else None


def _accepted(order: Order, happening: Accepted) -> Changes | None:
    learned = _learned(order, happening.exchange_order_id)
    if order.state in NOT_SEEN:
        return {**(learned or {}), "state": _S.SUBMITTED}
    return learned


def _refused(order: Order, happening: Refused) -> Changes:
    error = {"error_code": happening.code, "error_message": happening.message}
    if order.state is not _S.PENDING_REPLACE:
        return {"state": _S.REJECTED, **error}
    # Its former self was canceled, its new one never was: canceled it is, unless that had been filled before.
    return {"state": _gone(order), **error}


def _gone(order: Order) -> OrderState:
    return _S.FILLED if order.filled >= order.qty else _S.CANCELED


def _ambiguous(order: Order, happening: Ambiguous) -> Changes:
    return {"state": _S.UNKNOWN, "error_code": "outcome_unknown", "error_message": happening.message}


def _venue_status(order: Order, happening: VenueStatus) -> Changes | None:
    older = order.exchange_time_ns is not None and happening.time_ns < order.exchange_time_ns
    if older and happening.filled < order.filled:
        return None
    foreign = happening.exchange_order_id and order.exchange_order_id not in {None, happening.exchange_order_id}
    if foreign:
        return None  # of what it was before a replace, or of what it is about to be
    learned = _learned(order, happening.exchange_order_id)
    state = _state_said(order, happening)
    if state is order.state:
        return learned
    changes: Changes = {**(learned or {}), "state": state}
    if state is _S.REJECTED:
        changes |= {"error_code": "exchange_error", "error_message": happening.message or "rejected by the venue"}
    if state is _S.FILLED:
        changes["flags"] = _flags(order, filled=order.filled, qty=order.qty)
    return changes


def _state_said(order: Order, happening: VenueStatus) -> OrderState:
    """What the venue's word makes of the state: an end is believed, but filled only as far as deals show it."""
    state = order.state
    if state in TERMINAL:
        return state
    said = happening.status
    if said != "open" and REPLACING_ANEW in order.flags:
        return state  # that is what it was: what it is about to be may be there all the same
    if said == "filled" and ZERO < order.filled >= happening.filled:
        return _S.FILLED
    if said == "rejected":
        # What once rested, or was executed, was not rejected: what was left of it is gone.
        said = "canceled" if order.filled or state in _PENDING else said
    if said in {"open", "filled"}:
        return _S.SUBMITTED if state in NOT_SEEN else state
    return {"canceled": _S.CANCELED, "expired": _S.EXPIRED, "rejected": _S.REJECTED}[said]


def _cancel_requested(order: Order, happening: CancelRequested) -> Changes:
    return {"state": _S.PENDING_CANCEL}


def _cancel_failed(order: Order, happening: CancelFailed) -> Changes:
    return {"state": _rests_as(order, order.qty)}


def _replace_requested(order: Order, happening: ReplaceRequested) -> Changes:
    if not happening.anew:
        return {"state": _S.PENDING_REPLACE}
    flags = tuple(sorted({*order.flags, REPLACING_ANEW}))
    return {"state": _S.PENDING_REPLACE, "flags": flags, "replaces": order.replaces + 1}


def _replace_failed(order: Order, happening: ReplaceFailed) -> Changes:
    return {"state": _rests_as(order, order.qty), "flags": _flags(order, filled=order.filled, qty=order.qty)}


def _replaced(order: Order, happening: Replaced) -> Changes | None:
    over = order.state is _S.FILLED  # the answer came after the last fill: what it says of price and qty still holds
    terms = {"price": happening.price, "qty": happening.qty, "exchange_order_id": happening.exchange_order_id}
    if order.state is not _S.PENDING_REPLACE and all(getattr(order, name) == value for name, value in terms.items()):
        return None
    state = _S.FILLED if over else _rests_as(order, happening.qty)
    return {**terms, "state": state, "flags": _flags(order, filled=order.filled, qty=happening.qty)}


def _absent(order: Order, happening: Absent) -> Changes:
    message = "the venue does not know it and has no trade of it"
    if order.state in NOT_SEEN:  # nothing was lost but the request: it may be sent again, as another order
        arrived = f"the order did not arrive: {message}"
        return {"state": _S.REJECTED, "error_code": "exchange_error", "error_message": arrived}
    return {"state": _gone(order), "error_code": "order_not_found", "error_message": message}


def _revived(order: Order, happening: Revived) -> Changes:
    return {
        "state": _S.PARTIALLY_FILLED if order.filled else _S.SUBMITTED,
        "price": happening.price,
        "qty": happening.qty,
        "exchange_order_id": happening.exchange_order_id,
        "flags": tuple(sorted({*_flags(order, filled=order.filled, qty=happening.qty), REVIVED})),
    }


def _filled(order: Order, happening: Filled) -> Changes | None:
    if happening.filled < order.filled:
        raise ImpossibleError(order, happening)  # deals are never taken back
    if happening.filled == order.filled:
        return None
    late = order.state in TERMINAL and order.state is not _S.FILLED
    changes: Changes = {
        **(_learned(order, happening.exchange_order_id) or {}),
        "filled": happening.filled,
        "average_price": happening.average_price,
        "position_id": happening.position_id or order.position_id,
    }
    if order.state is _S.PENDING_REPLACE:
        return changes
    changes["flags"] = _flags(order, filled=happening.filled, qty=order.qty, late=late)
    if order.state is _S.FILLED or (happening.filled >= order.qty and (late or not _of_former(order, happening))):
        changes["state"] = _S.FILLED
    elif order.state is not _S.PENDING_CANCEL:
        changes["state"] = _S.PARTIALLY_FILLED
    return changes


def _of_former(order: Order, happening: Filled) -> bool:
    """Whether what it was before it was replaced is executed: what it is now may be open with all its quantity."""
    return None not in {happening.exchange_order_id, order.exchange_order_id} and (
        happening.exchange_order_id != order.exchange_order_id
    )


_HANDLERS: Final[Mapping[type[Happening], Callable[[Order, Any], Changes | None]]] = MappingProxyType({
    Accepted: _accepted,
    Refused: _refused,
    Ambiguous: _ambiguous,
    VenueStatus: _venue_status,
    CancelRequested: _cancel_requested,
    CancelFailed: _cancel_failed,
    ReplaceRequested: _replace_requested,
    ReplaceFailed: _replace_failed,
    Replaced: _replaced,
    Absent: _absent,
    Revived: _revived,
    Filled: _filled,
})  # fmt: skip
