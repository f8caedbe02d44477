"""How answers are stored, told and counted together."""

from __future__ import annotations

import pytest

from oms.desk.results import CommandResult, Outcome, http_status
from oms.errors import OmsError

OK = CommandResult(ok=True, command_id=1, order_id=10)
RUNNING = CommandResult(ok=False, command_id=2, running=True)
REFUSED = CommandResult.of_refusal(OmsError("risk_blocked", "no", details={"limit": "max_order_qty"}))
UNKNOWN = CommandResult.of_refusal(OmsError("unknown_symbol", "no"))
STATUS = {"risk_blocked": 422, "unknown_symbol": 404}


def test_what_was_stored_is_answered_again_and_says_so() -> None:
    outcome = Outcome(order_id=10, error=OmsError("rate_limited", "slowly", retry_after_ms=5), more={"orders": []})
    again = CommandResult.of_stored(3, outcome.stored, replayed=True)
    assert again.plain(0) == {
        "index": 0,
        "ok": False,
        "command_id": 3,
        "order_id": 10,
        "error": {"code": "rate_limited", "message": "slowly", "retry_after_ms": 5},
        "orders": [],
        "replayed": True,
    }


def test_an_ordinary_answer_has_the_promised_fields_only() -> None:
    assert OK.plain(0) == {"index": 0, "ok": True, "command_id": 1, "order_id": 10, "error": None}


@pytest.mark.parametrize(
    ("results", "status"),
    [([OK], 200), ([OK, OK], 200), ([OK, RUNNING], 202), ([OK, REFUSED], 207), ([UNKNOWN, REFUSED], 404)],
)
def test_the_status_of_a_body(results: list[CommandResult], status: int) -> None:
    assert http_status(results, STATUS.__getitem__) == status
