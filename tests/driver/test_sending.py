"""Whether a command is sent again, and what is told of it in the end."""

from __future__ import annotations

import pytest
from ccxt.base.errors import (
    AuthenticationError,
    BaseError,
    ExchangeClosedByUser,
    ExchangeError,
    NetworkError,
    PermissionDenied,
    RateLimitExceeded,
    RequestTimeout,
)

from driver.errors import Refusal, RouteMissing, exception_of, of_answer, refusal_of
from driver.retries import Policy
from driver.sending import Sending

POLICY = Policy(tries=2, delay_ms=1, delay_ms_max=1)


def end_of(sending: Sending, *errors: BaseError | None) -> BaseError:
    """What is raised at the last of these, after all others were tried again."""
    *before, last = errors
    for error in before:
        assert error is not None
        sending.delay_after(error, 0)
    assert last is not None
    with pytest.raises(BaseError) as raised:
        sending.delay_after(last, 0)
    return raised.value


def refused(code: str, status: int = 403) -> BaseError | None:
    return of_answer(status, {"code": code, "message": "why"}, "")


@pytest.mark.parametrize("code", ["permission_denied", "unsupported_action", "validation_error", "invalid_api_key"])
def test_a_refusal_of_the_first_try_is_told_as_it_is(code: str) -> None:
    error = refused(code, 404)
    assert end_of(Sending(POLICY), error) is error


def test_what_broke_off_is_in_doubt_whatever_is_said_then() -> None:
    for then in (refused("permission_denied"), PermissionDenied("x"), NetworkError("y"), refused("rate_limited", 429)):
        sending = Sending(POLICY, ["mine"])
        error = end_of(sending, NetworkError("cut"), then)
        assert type(error) is RequestTimeout
        assert "look for clientOrderId mine" in str(error)
        assert sending.is_in_doubt


def test_what_the_exchange_refuses_as_too_many_is_not_sent_again() -> None:
    error = {"code": "rate_limited", "message": "why"}
    body = {"results": [{"ok": False, "command_id": 3, "order_id": 7, "error": error}]}
    called = {**error, "details": {"exception": "RateLimitExceeded", "command_id": 3, "order_id": 7}}
    for answer in (body, called):
        sending = Sending(POLICY)
        assert type(end_of(sending, of_answer(429, answer, ""))) is RateLimitExceeded
        assert not sending.is_in_doubt


def test_too_many_at_once_leaves_no_doubt() -> None:
    sending = Sending(POLICY)
    assert type(end_of(sending, refused("rate_limited", 429), refused("rate_limited", 429))) is RateLimitExceeded
    assert not sending.is_in_doubt
    assert type(end_of(Sending(POLICY), refused("rate_limited", 429), refused("token_expired"))) is AuthenticationError


def test_a_path_that_is_missing_counts_when_the_gateway_says_so() -> None:
    own, others = refused("unsupported_action", 404), of_answer(404, None, "<html>")
    assert isinstance(end_of(Sending(POLICY), own), RouteMissing)
    sending = Sending(POLICY)
    assert type(end_of(sending, others, others)) is RequestTimeout


def test_what_is_said_of_the_command_itself_ends_the_doubt() -> None:
    own = exception_of(Refusal("insufficient_funds", "none", 422, {"command_id": 7}))
    assert end_of(Sending(POLICY), NetworkError("cut"), own) is own
    results = [{"ok": False, "command_id": None, "order_id": None, "error": {"code": "risk_blocked", "message": ""}}]
    of_it = of_answer(422, {"results": results}, "")
    assert end_of(Sending(POLICY), NetworkError("cut"), of_it) is of_it


def test_a_command_that_is_under_way_is_asked_about_until_there_is_no_time_left() -> None:
    running = exception_of(Refusal("outcome_unknown", "under way", 502, {"command_id": 7}, order_id=9))
    error = end_of(Sending(POLICY), running, running)
    said = refusal_of(error)
    assert said is not None
    assert (type(error), said.order_id) == (RequestTimeout, 9)


def test_who_has_closed_the_exchange_does_not_try_again() -> None:
    closed = ExchangeClosedByUser("closed")
    assert end_of(Sending(POLICY), closed) is closed
    lost = NetworkError("lost")
    lost.__cause__ = closed
    assert type(end_of(Sending(POLICY), lost)) is RequestTimeout


def test_unknown_is_no_refusal() -> None:
    error = Sending(POLICY).unknown("why")
    assert isinstance(error, NetworkError)
    assert not isinstance(error, ExchangeError)
    assert str(error) == "tickwire outcome_unknown why"
