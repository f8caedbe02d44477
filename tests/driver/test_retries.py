"""How often, and after how long, something is tried again."""

from __future__ import annotations

import pytest
from ccxt.base.errors import ExchangeNotAvailable, RateLimitExceeded, RequestTimeout

from driver.errors import Refusal, exception_of
from driver.retries import Policy

POLICY = Policy(tries=4, delay_ms=100, delay_ms_max=300, within_ms=10_000)


@pytest.mark.parametrize("error", [ExchangeNotAvailable("x"), RequestTimeout("x"), RateLimitExceeded("x")])
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    assert POLICY.delay_before(1, error, 0) is not None


def test_delays_grow_to_the_longest_and_are_spread() -> None:
    error = RequestTimeout("x")
    for number, longest in ((1, 100), (2, 200), (3, 300)):
        delays = [POLICY.delay_before(number, error, 0) or 0 for _ in range(300)]
        assert 0 <= min(delays) < longest / 4
        assert longest * 0.75 < max(delays) <= longest


def test_there_is_an_end_to_tries_and_to_time() -> None:
    error = RequestTimeout("x")
    assert POLICY.delay_before(4, error, 0) is None
    assert POLICY.delay_before(1, error, 10_000) is None


def test_a_server_that_says_when_is_not_asked_before() -> None:
    error = exception_of(Refusal("rate_limited", "", 429, retry_after_ms=700))
    assert 700 <= (POLICY.delay_before(1, error, 0) or 0) <= 800
    late = exception_of(Refusal("rate_limited", "", 429, retry_after_ms=60_000))
    assert POLICY.delay_before(1, late, 0) is None


def test_options_are_a_number_or_fields() -> None:
    assert Policy.of_options({}, 5) == Policy(within_ms=5)
    assert Policy.of_options({}, 5, 9) == Policy(tries=9, within_ms=5)
    assert Policy.of_options({"retries": 1}, 5, 9) == Policy(tries=1, within_ms=5)
    assert Policy.of_options({"retries": {"delay_ms": 7}}, 5) == Policy(delay_ms=7, within_ms=5)
