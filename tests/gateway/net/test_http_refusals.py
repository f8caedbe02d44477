"""Refusals in the OpenAPI document, as they are answered."""

from __future__ import annotations

from gateway.errors import CODES, TickwireError
from gateway.net.http_refusals import RefusalShape, refusals


def test_each_status_that_is_described_can_be_answered_in_that_shape() -> None:
    assert set(refusals()) <= set(CODES.values())
    fields = TickwireError("rate_limited", "m", details={"a": 1}, retry_after_ms=5).fields("r")
    assert set(fields) == RefusalShape.__required_keys__ | RefusalShape.__optional_keys__
    assert set(TickwireError("rate_limited", "m").fields("r")) == RefusalShape.__required_keys__
