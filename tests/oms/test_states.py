"""The order-state table: what it has, what it has not, and the rows of the real world one by one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.model import TERMINAL, Order, OrderState
from oms.states import (
    TABLE,
    Absent,
    Accepted,
    Ambiguous,
    CancelFailed,
    CancelRequested,
    Filled,
    Happening,
    ImpossibleError,
    Refused,
    Replaced,
    ReplaceFailed,
    ReplaceRequested,
    Revived,
    VenueStatus,
    advance,
)
from tests.oms.orders_made import T0_NS, order

S = OrderState
NOW_NS = T0_NS + 9_000_000
ENDS = {S.FILLED, S.CANCELED, S.EXPIRED}
# What may follow what, as the product promises it; staying is always allowed.
PROMISED: dict[OrderState, set[OrderState]] = {
    S.PENDING_SUBMIT: {S.SUBMITTED, S.PARTIALLY_FILLED, *ENDS, S.REJECTED, S.UNKNOWN},
    S.UNKNOWN: {S.SUBMITTED, S.PARTIALLY_FILLED, *ENDS, S.REJECTED},
    S.SUBMITTED: {S.PARTIALLY_FILLED, S.PENDING_CANCEL, S.PENDING_REPLACE, *ENDS, S.REJECTED},
    S.PARTIALLY_FILLED: {S.PENDING_CANCEL, S.PENDING_REPLACE, *ENDS},
    S.PENDING_CANCEL: {S.SUBMITTED, S.PARTIALLY_FILLED, *ENDS},
    S.PENDING_REPLACE: {S.SUBMITTED, S.PARTIALLY_FILLED, *ENDS},
    S.FILLED: {S.SUBMITTED, S.PARTIALLY_FILLED},
    S.CANCELED: {S.SUBMITTED, S.PARTIALLY_FILLED, S.FILLED},
    S.EXPIRED: {S.SUBMITTED, S.PARTIALLY_FILLED, S.FILLED},
    S.REJECTED: {S.SUBMITTED, S.PARTIALLY_FILLED, S.FILLED},
}
FILLED = (S.PARTIALLY_FILLED, S.PENDING_CANCEL, S.PENDING_REPLACE, S.FILLED)


def accepted(exchange_order_id: str = "x1") -> Accepted:
    return Accepted(exchange_order_id=exchange_order_id, time_ns=T0_NS)


def said(
    status: str, filled: str = "0", *, at_ns: int = T0_NS, of: str | None = "x1", message: str = ""
) -> VenueStatus:
    return VenueStatus(
        status=status,  # type: ignore[arg-type]  # a test's shorthand
        filled=Decimal(filled),
        time_ns=at_ns,
        exchange_order_id=of,
        message=message,
    )


def filled(total: str, at_ns: int = T0_NS, of: str | None = "x1") -> Filled:
    return Filled(filled=Decimal(total), average_price=Decimal(100), time_ns=at_ns, exchange_order_id=of)


def replaced(qty: str = "2", of: str = "x2") -> Replaced:
    return Replaced(price=Decimal(101), qty=Decimal(qty), exchange_order_id=of, time_ns=T0_NS)


def revived(qty: str = "1", of: str = "x1") -> Revived:
    return Revived(price=Decimal(100), qty=Decimal(qty), exchange_order_id=of, time_ns=T0_NS)


def after(state: OrderState | Order, *happenings: Happening, **changes: Any) -> Order:
    """The order after all of them, of which each must say something."""
    now = state if isinstance(state, Order) else order(state=state, exchange_order_id="x1", **changes)
    for happening in happenings:
        then = advance(now, happening, NOW_NS)
        assert then is not None, happening
        now = then
    return now


REFUSED = Refused(code="insufficient_funds", message="not enough USDT")
LOST = Ambiguous(message="no answer within 5 s")
HAPPENINGS: tuple[Happening, ...] = (
    accepted(),
    accepted("x2"),
    REFUSED,
    LOST,
    *(said(status, total, at_ns=T0_NS + age) for status in ("open", "canceled", "expired", "rejected", "filled")
      for total in ("0", "0.5", "1") for age in (-5, 5)),
    said("canceled", of="x2"),
    CancelRequested(),
    CancelFailed(),
    ReplaceRequested(),
    ReplaceRequested(anew=True),
    ReplaceFailed(),
    replaced(),
    replaced("0.5"),
    Absent(),
    revived(),
    revived("2", "x2"),
    *(filled(total) for total in ("0.25", "0.5", "1", "1.5", "2.5")),
)  # fmt: skip


@pytest.mark.parametrize("state", S)
def test_the_table_leads_nowhere_but_where_it_was_promised(state: OrderState) -> None:
    reached = {following for allowed in TABLE[state].values() for following in allowed}
    assert reached - {state} <= PROMISED[state]


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("happening", {type(happening): happening for happening in HAPPENINGS}.values())
def test_every_pair_is_in_the_table_or_raises(state: OrderState, happening: Happening) -> None:
    now = order(state=state, exchange_order_id="x1", filled=Decimal("0.25" if state is S.PARTIALLY_FILLED else 0))
    if type(happening) in TABLE[state]:
        advance(now, happening, NOW_NS)
    else:
        with pytest.raises(ImpossibleError, match=f"order 1 is {state}"):
            advance(now, happening, NOW_NS)


@given(st.lists(st.sampled_from(HAPPENINGS), max_size=30))
def test_whatever_happens_the_rules_hold(happenings: list[Happening]) -> None:
    now = order()
    for happening in happenings:
        try:
            then = advance(now, happening, NOW_NS)
        except ImpossibleError:
            continue
        if then is None:
            continue
        assert then != now
        assert then.version == now.version + 1
        assert then.filled >= now.filled
        assert (then.closed_ns is not None) is (then.state in TERMINAL)
        assert then.state is now.state or then.state in PROMISED[now.state]
        if now.state in TERMINAL and then.state is not now.state:
            assert isinstance(happening, Filled | Revived)
            assert ("late_fill" if isinstance(happening, Filled) else "revived") in then.flags
            assert then.error_code is None
        if then.state is S.FILLED:
            assert then.filled > 0
        if then.state is not S.PENDING_REPLACE:
            assert ("overfill" in then.flags) is (then.filled > then.qty)
            assert "replacing_anew" not in then.flags
        assert (then.exchange_time_ns or 0) >= (now.exchange_time_ns or 0)
        now = then


def test_the_way_of_an_order_that_fills() -> None:
    done = after(order(), accepted(), filled("0.4", T0_NS + 1), filled("1", T0_NS + 2))
    assert (done.state, done.filled, done.version, done.flags) == (S.FILLED, Decimal(1), 4, ())
    assert (done.exchange_order_id, done.exchange_time_ns, done.closed_ns) == ("x1", T0_NS + 2, NOW_NS)


def test_a_fill_may_be_told_before_the_answer() -> None:
    done = after(order(), filled("1"))
    assert (done.state, done.exchange_order_id) == (S.FILLED, "x1")
    assert advance(done, accepted(), NOW_NS) is None
    unlinked = after(order(), filled("1", of=None), accepted())
    assert (unlinked.state, unlinked.exchange_order_id) == (S.FILLED, "x1")


def test_a_refusal_is_final_and_a_timeout_is_none() -> None:
    refused = after(order(), REFUSED)
    assert (refused.state, refused.error_code) == (S.REJECTED, "insufficient_funds")
    doubtful = after(order(), LOST)
    assert (doubtful.state, doubtful.error_code) == (S.UNKNOWN, "outcome_unknown")
    with pytest.raises(ImpossibleError):
        advance(doubtful, REFUSED, NOW_NS)


@pytest.mark.parametrize(
    ("evidence", "state"),
    [
        (accepted(), S.SUBMITTED),
        (said("open"), S.SUBMITTED),
        (filled("0.5"), S.PARTIALLY_FILLED),
        (filled("1"), S.FILLED),
        (said("filled", "1"), S.SUBMITTED),  # its trades will say so
        (said("canceled"), S.CANCELED),
        (said("expired"), S.EXPIRED),
    ],
)
def test_doubt_ends_by_evidence(evidence: Happening, state: OrderState) -> None:
    resolved = after(order(), LOST, evidence)
    assert (resolved.state, resolved.error_code, resolved.error_message) == (state, None, None)


def test_doubt_ends_in_rejection_when_the_venue_says_so_or_it_is_proved_absent() -> None:
    rejected = after(order(), LOST, said("rejected", message="price outside the band"))
    assert (rejected.state, rejected.error_message) == (S.REJECTED, "price outside the band")
    for unsent in (order(), after(order(), LOST)):
        assert after(unsent, Absent()).state is S.REJECTED


def test_the_lost_answer_is_no_news_once_the_stream_told() -> None:
    for state in (S.SUBMITTED, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.PENDING_CANCEL, S.PENDING_REPLACE):
        assert advance(order(state=state), LOST, NOW_NS) is None


def test_stale_is_older_and_less_filled() -> None:
    now = after(S.SUBMITTED, filled("0.5", T0_NS + 10))
    assert advance(now, said("canceled", "0.4", at_ns=T0_NS + 9), NOW_NS) is None
    assert after(now, said("canceled", "0.5", at_ns=T0_NS + 9)).state is S.CANCELED
    assert after(now, said("canceled", "0.4", at_ns=T0_NS + 10)).state is S.CANCELED


def test_the_venue_is_believed_to_be_done_only_as_far_as_deals_show_it() -> None:
    now = after(S.SUBMITTED, filled("0.5"))
    assert advance(now, said("filled", "1"), NOW_NS) is None
    assert after(now, said("filled", "0.5")).state is S.FILLED  # it ended a market order short of its quantity


def test_a_cancel_pending_waits_for_evidence() -> None:
    pending = after(S.SUBMITTED, CancelRequested())
    assert advance(pending, CancelRequested(), NOW_NS) is None
    assert advance(pending, said("open", at_ns=T0_NS + 99), NOW_NS) is None
    part = after(pending, filled("0.5"))
    assert part.state is S.PENDING_CANCEL
    assert after(part, filled("1")).state is S.FILLED
    assert after(part, said("canceled", "0.5")).state is S.CANCELED
    assert after(part, CancelFailed()).state is S.PARTIALLY_FILLED
    assert after(pending, CancelFailed()).state is S.SUBMITTED
    assert after(pending, said("rejected")).state is S.CANCELED
    assert after(pending, Absent()).state is S.CANCELED


@pytest.mark.parametrize("state", [S.PENDING_SUBMIT, S.UNKNOWN, S.PENDING_REPLACE, *sorted(TERMINAL)])
def test_only_what_rests_can_be_asked_to_go(state: OrderState) -> None:
    with pytest.raises(ImpossibleError):
        advance(order(state=state), CancelRequested(), NOW_NS)


def test_a_native_edit() -> None:
    pending = after(S.SUBMITTED, filled("0.5"), ReplaceRequested())
    assert (pending.state, pending.replaces) == (S.PENDING_REPLACE, 0)
    done = after(pending, replaced(of="x1"))
    assert (done.state, done.price, done.qty) == (S.PARTIALLY_FILLED, Decimal(101), Decimal(2))
    assert after(pending, ReplaceFailed()).state is S.PARTIALLY_FILLED
    assert after(pending, said("canceled", "0.5")).state is S.CANCELED
    assert after(pending, replaced("0.5", "x1")).state is S.FILLED


def test_how_much_was_filled_of_how_much_is_known_when_the_edit_has_ended() -> None:
    more = after(S.SUBMITTED, ReplaceRequested(), filled("1.5"))
    assert (more.state, more.flags) == (S.PENDING_REPLACE, ())
    assert after(more, replaced("2")).state is S.PARTIALLY_FILLED
    failed = after(more, ReplaceFailed())
    assert (failed.state, failed.flags) == (S.FILLED, ("overfill",))
    told = after(more, said("filled", "1.5"))
    assert (told.state, told.flags) == (S.FILLED, ("overfill",))
    late = after(told, replaced("1.5"))
    assert (late.state, late.qty, late.flags) == (S.FILLED, Decimal("1.5"), ())


def test_created_anew_the_cancel_of_the_former_is_no_end() -> None:
    pending = after(S.SUBMITTED, ReplaceRequested(anew=True))
    assert (pending.replaces, pending.flags) == (1, ("replacing_anew",))
    assert advance(pending, said("canceled"), NOW_NS) is None
    assert advance(pending, said("open", of="x2"), NOW_NS) is None
    done = after(pending, replaced())
    assert (done.state, done.exchange_order_id, done.flags) == (S.SUBMITTED, "x2", ())
    assert advance(done, said("canceled", of="x1"), NOW_NS) is None
    assert after(done, said("canceled", of="x2")).state is S.CANCELED


@pytest.mark.parametrize("end", [REFUSED, Absent()])
def test_created_anew_in_vain_it_is_canceled_by_its_first_half(end: Happening) -> None:
    gone = after(S.SUBMITTED, ReplaceRequested(anew=True), end)
    assert gone.state is S.CANCELED
    assert gone.error_code in {"insufficient_funds", "order_not_found"}
    assert after(S.SUBMITTED, ReplaceRequested(anew=True), filled("1"), end).state is S.FILLED


@pytest.mark.parametrize("status", ["filled", "expired", "canceled"])
def test_the_end_of_what_it_was_is_not_the_end_of_what_it_is_about_to_be(status: Any) -> None:
    """A venue may tell a fill after its cancel: the new self is there all the same."""
    pending = after(S.SUBMITTED, ReplaceRequested(anew=True), filled("1"))
    assert advance(pending, said(status, "1", of="x1"), NOW_NS) is None
    done = after(pending, replaced("2"))
    assert (done.state, done.remaining) == (S.PARTIALLY_FILLED, Decimal(1))


def test_a_late_fill_of_what_it_was_does_not_fill_what_it_is() -> None:
    done = after(S.SUBMITTED, ReplaceRequested(anew=True), replaced("1"))
    part = after(done, filled("1", of="x1"))
    assert (part.state, part.filled) == (S.PARTIALLY_FILLED, Decimal(1))
    assert after(part, replaced("2")).remaining == 1
    assert after(part, said("filled", "1", of="x2")).state is S.FILLED
    assert after(done, filled("1", of="x2")).state is S.FILLED


def test_replaced_as_it_was_is_no_news() -> None:
    done = after(S.SUBMITTED, ReplaceRequested(), replaced())
    assert advance(done, replaced(), NOW_NS) is None


@pytest.mark.parametrize("state", [S.CANCELED, S.EXPIRED, S.REJECTED])
def test_a_late_fill_revives_and_is_flagged(state: OrderState) -> None:
    over = order(state=state, closed_ns=T0_NS, exchange_order_id="x1")
    part = after(over, filled("0.5"))
    assert (part.state, part.flags, part.closed_ns) == (S.PARTIALLY_FILLED, ("late_fill",), None)
    assert after(part, said("canceled", "0.5")).state is S.CANCELED
    assert after(over, filled("1")).state is S.FILLED


@pytest.mark.parametrize("state", [S.CANCELED, S.EXPIRED, S.REJECTED])
def test_what_is_open_at_the_venue_after_all_is_open_here_and_can_be_canceled(state: OrderState) -> None:
    over = order(state=state, closed_ns=T0_NS, exchange_order_id="x1", error_code="order_not_found", error_message="?")
    back = after(over, revived())
    assert (back.state, back.flags, back.closed_ns, back.error_code) == (S.SUBMITTED, ("revived",), None, None)
    assert after(back, CancelRequested(), said("canceled")).state is S.CANCELED
    part = after(order(state=state, filled=Decimal("0.5"), exchange_order_id="x1"), revived("1.5", "x2"))
    assert (part.state, part.qty, part.exchange_order_id) == (S.PARTIALLY_FILLED, Decimal("1.5"), "x2")


def test_what_was_filled_by_what_it_was_before_is_revived_and_what_is_open_is_no_news() -> None:
    back = after(order(state=S.FILLED, filled=Decimal(1), exchange_order_id="x1"), revived("2", "x2"))
    assert (back.state, back.remaining, back.flags) == (S.PARTIALLY_FILLED, Decimal(1), ("revived",))
    with pytest.raises(ImpossibleError):
        advance(order(state=S.SUBMITTED), revived(), NOW_NS)


def test_more_than_ordered_is_accepted_and_flagged() -> None:
    over = after(S.SUBMITTED, filled("1.5"))
    assert (over.state, over.flags) == (S.FILLED, ("overfill",))
    assert (after(over, filled("2")).filled, over.remaining) == (Decimal(2), Decimal(0))
    assert after(S.FILLED, filled("1.5"), filled=Decimal(1)).flags == ("overfill",)


@pytest.mark.parametrize("state", FILLED)
def test_filled_never_shrinks(state: OrderState) -> None:
    now = order(state=state, filled=Decimal("0.5"))
    with pytest.raises(ImpossibleError):
        advance(now, filled("0.4"), NOW_NS)
    assert advance(now, filled("0.5"), NOW_NS) is None


def test_what_was_executed_was_not_rejected() -> None:
    assert after(S.SUBMITTED, filled("0.5"), said("rejected", "0.5")).state is S.CANCELED
    with pytest.raises(ImpossibleError):
        advance(after(order(), filled("0.5")), REFUSED, NOW_NS)


def test_in_hedge_mode_it_is_told_where_its_deals_went() -> None:
    there = Filled(filled=Decimal("0.5"), average_price=Decimal(100), time_ns=T0_NS, position_id=7)
    assert after(S.SUBMITTED, there, filled("1")).position_id == 7
