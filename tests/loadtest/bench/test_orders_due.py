"""Orders at fixed times: each counts from when it was due, however late it was sent. `test_workloads` runs it whole."""

from __future__ import annotations

from typing import Any

from loadtest.bench.orders_due import Due, figures, times
from loadtest.cpu import Shares

SHARES = Shares(cpu=0.25, waited=0.125)


def result(number: int, *, ok: bool = True) -> dict[str, Any]:
    each = {"index": 0, "ok": ok, "error": None if ok else {"code": "risk_blocked"}}
    return {"type": "command_result", "id": number, "data": {"results": [each]}}


def test_a_reply_counts_from_when_its_order_was_due() -> None:
    due = Due(counted_from_s=10.0)
    due.sent(1, due_s=10.0, now_s=10.5)
    due.sent(2, due_s=10.25, now_s=10.5)
    due.told(result(2), 10.75)
    due.told(result(1), 11.0)
    seen = figures([due], SHARES)
    assert (due.replied_ms, due.late_ms, due.waiting) == ([500.0, 1000.0], [500.0, 250.0], 0)
    assert (seen["due"], seen["client_cpu"], seen["client_waited"]) == (2, 0.25, 0.125)
    assert (seen["replied"], seen["p50_ms"], seen["p99_ms"]) == (2, 1000.0, 1000.0)
    assert (seen["sent_late_p99_ms"], seen["failed"], seen["first_failure"]) == (500.0, 0, "")


def test_while_it_warms_up_nothing_is_timed() -> None:
    due = Due(counted_from_s=10.0)
    due.sent(1, due_s=9.5, now_s=9.5)
    due.told(result(1), 10.5)
    assert (due.replied_ms, due.late_ms, due.waiting) == ([], [], 0)


def test_what_is_refused_or_never_answered_has_failed() -> None:
    due = Due(counted_from_s=0.0)
    for number in (1, 2, 3):
        due.sent(number, 1.0, 1.0)
    due.told(result(1, ok=False), 2.0)
    due.told({"type": "error", "id": 2, "error": {"code": "rate_limited"}}, 2.0)
    assert due.waiting == 1
    due.over()
    seen = figures([due], SHARES)
    assert (seen["due"], seen["replied"], seen["failed"], due.waiting) == (3, 0, 3, 0)
    assert "risk_blocked" in str(seen["first_failure"])
    assert "rate_limited" in due.failed[1]
    assert "order 3: no answer" in due.failed[2]


def test_what_is_no_answer_to_an_order_is_passed_over() -> None:
    due = Due(counted_from_s=0.0)
    due.sent(1, 1.0, 1.0)
    due.told({"type": "gap", "id": 1}, 2.0)
    due.told(result(7), 2.0)
    assert (due.waiting, due.replied_ms, due.failed) == (1, [], [])


def test_orders_are_due_at_fixed_times() -> None:
    assert list(times(1.0, 0.25, 2.0)) == [1.0, 1.25, 1.5, 1.75]
