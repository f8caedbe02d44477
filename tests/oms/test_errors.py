"""A refusal of the OMS carries what every dialect shows of it."""

from __future__ import annotations

from gateway.errors import TickwireError
from oms.errors import OmsError


def test_a_refusal_has_what_the_gateway_renders() -> None:
    refusal = OmsError("risk_blocked", "too large", details={"max_order_qty": "1"}, retry_after_ms=5)
    shown = TickwireError(
        refusal.code, refusal.message, details=refusal.details, retry_after_ms=refusal.retry_after_ms
    )  # fmt: skip
    assert str(refusal) == "too large"
    assert shown.fields() == {
        "code": "risk_blocked", "message": "too large", "details": {"max_order_qty": "1"}, "retry_after_ms": 5,
    }  # fmt: skip
