"""The error catalogue and the exception that carries it."""

from __future__ import annotations

import pytest

from gateway.errors import CODES, TickwireError


def test_every_code_has_an_http_status_a_client_can_expect() -> None:
    assert set(CODES.values()) == {401, 403, 404, 409, 422, 429, 500, 502, 503}


def test_error_carries_code_message_and_status() -> None:
    error = TickwireError("unknown_symbol", "no such symbol: FOO", details={"symbol": "FOO"}, retry_after_ms=5)
    assert (error.code, error.message, error.status) == ("unknown_symbol", "no such symbol: FOO", 404)
    assert error.details == {"symbol": "FOO"}
    assert error.retry_after_ms == 5
    assert str(error) == "no such symbol: FOO"


def test_details_and_retry_are_optional() -> None:
    error = TickwireError("internal_error", "a fault of ours")
    assert error.details is None
    assert (error.retry_after_ms, error.retry_after_s) == (None, None)
    assert error.fields() == {"code": "internal_error", "message": "a fault of ours"}


def test_what_is_said_of_it() -> None:
    error = TickwireError("rate_limited", "slow down", details={"a": 1}, retry_after_ms=1_001)
    said = {"code": "rate_limited", "message": "slow down", "details": {"a": 1}, "retry_after_ms": 1_001}
    assert error.fields("r1") == {**said, "request_id": "r1"}
    assert list(error.fields("r1")) == ["code", "message", "request_id", "details", "retry_after_ms"]
    assert error.retry_after_s == 2


def test_a_code_outside_the_catalogue_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError, match="nonsense"):
        TickwireError("nonsense", "x")
