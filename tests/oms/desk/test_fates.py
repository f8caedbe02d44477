"""How a command is answered, by what its order has become."""

from __future__ import annotations

from decimal import Decimal

import pytest

from oms.commands import ChangeOrder
from oms.desk import fates
from oms.desk.results import Outcome
from oms.errors import OmsError
from oms.model import OrderState
from oms.venues.base import Refused
from tests.oms import orders_made

S = OrderState
REFUSAL = OmsError("exchange_error", "no")
UNKNOWN = OmsError("order_not_found", "Unknown order sent.")


def code(outcome: Outcome) -> str | None:
    assert outcome.order_id == 1
    return outcome.error.code if outcome.error else None


@pytest.mark.parametrize(
    ("state", "error_code", "expected"),
    [
        (S.SUBMITTED, None, None),
        (S.FILLED, None, None),
        (S.CANCELED, None, None),
        (S.REJECTED, "insufficient_funds", "insufficient_funds"),
        (S.REJECTED, None, "exchange_error"),
    ],
)
def test_of_sending(state: OrderState, error_code: str | None, expected: str | None) -> None:
    outcome = fates.of_send(orders_made.order(1, state=state, error_code=error_code))
    assert code(outcome) == expected
    if outcome.error is not None:
        assert outcome.error.details == {"state": state}


def test_a_refusal_is_told_with_its_details() -> None:
    refusal = fates.refusal_of(Refused("exchange_error", "closed", {"exception": "MarketClosed"}))
    assert (refusal.code, refusal.message, refusal.details) == (
        "exchange_error",
        "closed",
        {"exception": "MarketClosed"},
    )
    rejected = orders_made.order(1, state=S.REJECTED, error_code="exchange_error")
    canceled = orders_made.order(1, state=S.CANCELED, error_code="exchange_error")
    for order, outcome in (
        (rejected, fates.of_send(rejected, refusal)),
        (canceled, fates.of_change(canceled, changed=False, refusal=refusal)),
    ):
        assert outcome.error is not None
        assert outcome.error.details == {"exception": "MarketClosed", "state": order.state}


def test_an_order_that_ended_for_another_reason_has_no_details_of_the_refusal() -> None:
    refusal = OmsError("exchange_error", "no", details={"exception": "MarketClosed"})
    outcome = fates.of_send(orders_made.order(1, state=S.REJECTED, error_code="order_not_found"), refusal)
    assert outcome.error is not None
    assert outcome.error.details == {"state": S.REJECTED}


@pytest.mark.parametrize(
    ("state", "refusal", "expected"),
    [
        (S.CANCELED, None, None),
        (S.CANCELED, REFUSAL, None),
        (S.EXPIRED, None, None),
        (S.FILLED, REFUSAL, "invalid_order_state"),
        (S.SUBMITTED, None, "outcome_unknown"),
        (S.SUBMITTED, REFUSAL, "exchange_error"),
        (S.SUBMITTED, UNKNOWN, "outcome_unknown"),
    ],
)
def test_of_canceling(state: OrderState, refusal: OmsError | None, expected: str | None) -> None:
    assert code(fates.of_cancel(orders_made.order(1, state=state), refusal)) == expected


def test_what_the_venue_had_and_does_not_find_was_not_said_to_be_canceled() -> None:
    gone = orders_made.order(1, state=S.CANCELED, error_code="order_not_found", error_message="nowhere")
    outcome = fates.of_cancel(gone, REFUSAL)
    assert outcome.error is not None
    assert (code(outcome), outcome.error.details) == ("order_not_found", {"state": S.CANCELED})


@pytest.mark.parametrize(
    ("state", "changed", "error_code", "refusal", "expected"),
    [
        (S.SUBMITTED, True, None, None, None),
        (S.FILLED, True, None, None, None),
        (S.SUBMITTED, False, None, None, "outcome_unknown"),
        (S.SUBMITTED, False, None, REFUSAL, "exchange_error"),
        (S.PARTIALLY_FILLED, False, None, UNKNOWN, "invalid_order_state"),
        (S.FILLED, False, None, UNKNOWN, "invalid_order_state"),
        (S.CANCELED, False, "insufficient_funds", None, "insufficient_funds"),
        (S.CANCELED, False, None, None, "invalid_order_state"),
        (S.FILLED, False, None, None, "invalid_order_state"),
    ],
)
def test_of_changing(
    state: OrderState, changed: bool, error_code: str | None, refusal: OmsError | None, expected: str | None
) -> None:
    order = orders_made.order(1, state=state, error_code=error_code)
    outcome = fates.of_change(order, changed=changed, refusal=refusal)
    assert code(outcome) == expected
    if outcome.error is not None:
        assert outcome.error.details == {"state": state}


@pytest.mark.parametrize(
    ("terms", "has"),
    [({"new_price": 100}, True), ({"new_price": 101}, False), ({"new_qty": 1}, True),
     ({"new_price": 100, "new_qty": 2}, False)],
)  # fmt: skip
def test_whether_an_order_has_the_terms_that_were_asked_for(terms: dict[str, int], has: bool) -> None:
    payload = ChangeOrder(order_id=1, **{name: Decimal(value) for name, value in terms.items()})
    assert fates.has_terms(orders_made.order(1), payload) is has


def test_several_fail_together_when_one_does_and_each_is_told() -> None:
    ends = {1: fates.of_cancel(orders_made.order(1, state=S.CANCELED)), 2: fates.of_cancel(orders_made.order(2))}
    outcome = fates.together(ends)
    assert outcome.error is not None
    assert outcome.error.code == "outcome_unknown"
    assert [(each["order_id"], each["ok"]) for each in outcome.more["orders"]] == [(1, True), (2, False)]
    assert fates.together({1: ends[1]}).error is None
