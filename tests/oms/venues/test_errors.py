"""Which failures are refusals, and which leave open what was done."""

from __future__ import annotations

from unittest.mock import Mock

import aiohttp
import pytest
from ccxt.base import errors as ccxt

from gateway.errors import CODES
from oms.venues import errors
from oms.venues.base import Ambiguous, Refused
from oms.venues.errors import Sending

REFUSED = '{"code":-2010,"msg":"Account has insufficient balance for requested action."}'


def sending(status: int | None = None, *, sent: bool = True, taken: bool = False) -> Sending:
    made = Sending()
    made.sent, made.status, made.taken = sent, status, taken
    return made


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def no_connection() -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(Mock(), OSError(111, "refused"))


def test_every_code_is_of_the_catalogue() -> None:
    assert {*errors.CODES.values(), *errors.WORDS.values()} <= set(CODES)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ccxt.InsufficientFunds(), 400, "insufficient_funds"),
        (ccxt.OrderNotFound(), 400, "order_not_found"),
        (ccxt.DuplicateOrderId(), 400, "duplicate_client_order_id"),
        (ccxt.InvalidOrder("binance Duplicate order sent."), 400, "duplicate_client_order_id"),
        (ccxt.BadSymbol(), 400, "unknown_symbol"),
        (ccxt.InvalidOrder(), 400, "validation_error"),
        (ccxt.OrderImmediatelyFillable(), 400, "validation_error"),
        (ccxt.BadRequest(), 400, "validation_error"),
        (ccxt.NotSupported(), 200, "unsupported_action"),
        (ccxt.DDoSProtection(), 418, "rate_limited"),
        (ccxt.DDoSProtection(), 401, "exchange_error"),
        (ccxt.RateLimitExceeded(), 429, "rate_limited"),
        (ccxt.InvalidNonce(), 400, "exchange_error"),
        (ccxt.AuthenticationError(), 401, "exchange_error"),
        (ccxt.ExchangeError(), 200, "exchange_error"),
        (ccxt.ExchangeNotAvailable(), 403, "exchange_error"),
        (ccxt.ExchangeNotAvailable(), 404, "exchange_error"),
    ],
)
def test_definite_answers_to_a_write(error: Exception, status: int, code: str) -> None:
    outcome = errors.of_write(error, sending(status))
    assert isinstance(outcome, Refused)
    assert outcome.code == code


@pytest.mark.parametrize(
    ("error", "status", "code", "name"),
    [
        (ccxt.OrderImmediatelyFillable(), 400, "validation_error", "OrderImmediatelyFillable"),
        (ccxt.InvalidOrder(), 400, "validation_error", "InvalidOrder"),
        (ccxt.InsufficientFunds(), 400, "insufficient_funds", "InsufficientFunds"),
        (ccxt.MarketClosed(), 400, "exchange_error", "MarketClosed"),
        (ccxt.AuthenticationError(), 401, "exchange_error", "AuthenticationError"),
        (ccxt.ExchangeError(), 200, "exchange_error", "ExchangeError"),
        # NetworkErrors that say that it was not done.
        (ccxt.RateLimitExceeded(), 400, "rate_limited", "RateLimitExceeded"),
        (ccxt.DDoSProtection(), 418, "rate_limited", "DDoSProtection"),
        (ccxt.InvalidNonce(), 400, "exchange_error", "InvalidNonce"),
        # So ccxt takes a key that is suddenly refused.
        (ccxt.DDoSProtection(), 401, "exchange_error", "AuthenticationError"),
        (ccxt.DDoSProtection(), 400, "exchange_error", None),
        # NetworkErrors that would say that nobody knows.
        (ccxt.ExchangeNotAvailable(), 404, "exchange_error", None),
        (ccxt.OnMaintenance(), 403, "exchange_error", None),
        # The code says more.
        (ccxt.InvalidOrder("binance Duplicate order sent."), 400, "duplicate_client_order_id", None),
    ],
)
def test_a_refusal_names_the_class_unless_that_says_that_nobody_knows(
    error: Exception, status: int, code: str, name: str | None
) -> None:
    outcome = errors.of_write(error, sending(status))
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.details) == (code, {"exception": name} if name else None)


@pytest.mark.parametrize(
    ("error", "name"),
    [(ccxt.InvalidOrder(), "InvalidOrder"), (ccxt.RequestTimeout(), None), (RuntimeError(), None)],
)
def test_what_was_not_sent_names_a_class_only_when_it_is_a_refusal(error: Exception, name: str | None) -> None:
    outcome = errors.of_write(error, sending(sent=False))
    assert isinstance(outcome, Refused)
    assert outcome.details == ({"exception": name} if name else None)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ccxt.RequestTimeout(), None),
        (ccxt.ExchangeNotAvailable(), None),
        (ccxt.ExchangeError("the answer broke off"), None),
        (ccxt.ExchangeNotAvailable(), 503),
        (ccxt.InsufficientFunds(), 500),
        (ccxt.InvalidOrder(), 502),
        (ccxt.RequestTimeout(), 408),
        (ccxt.ExchangeNotAvailable(), 409),
        (ccxt.RequestTimeout("-1007"), 400),
        (ccxt.OperationFailed("-1006"), 400),
        (ccxt.BadResponse(), 200),
        (KeyError("orderId"), None),
        (KeyError("orderId"), 200),
    ],
)
def test_what_nobody_knows_of_a_write(error: Exception, status: int | None) -> None:
    assert isinstance(errors.of_write(error, sending(status)), Ambiguous)


def test_an_answer_that_was_taken_and_not_understood_is_no_refusal() -> None:
    assert isinstance(errors.of_write(ccxt.BadSymbol(), sending(200, taken=True)), Ambiguous)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ccxt.InvalidOrder("amount too small"), "validation_error"),
        (ccxt.RequestTimeout("loading markets"), "exchange_unavailable"),
        (RuntimeError("throttle queue is over maxCapacity"), "exchange_error"),
    ],
)
def test_what_was_not_sent_was_not_done(error: Exception, code: str) -> None:
    outcome = errors.of_write(error, sending(sent=False))
    assert isinstance(outcome, Refused)
    assert outcome.code == code


def test_without_a_connection_nothing_was_sent() -> None:
    unconnected = [
        caused(ccxt.ExchangeNotAvailable(), no_connection()),
        caused(ccxt.RequestTimeout(), aiohttp.ConnectionTimeoutError()),
    ]
    for error in unconnected:
        outcome = errors.of_write(error, sending())
        assert isinstance(outcome, Refused)
        assert outcome.code == "exchange_unavailable"


@pytest.mark.parametrize(
    "cause", [aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError(104, "reset"), TimeoutError()]
)
def test_a_connection_lost_later_leaves_it_open(cause: BaseException) -> None:
    assert isinstance(errors.of_write(caused(ccxt.ExchangeNotAvailable(), cause), sending()), Ambiguous)


def test_reads() -> None:
    told = errors.of_read(ccxt.OrderNotFound(), sending(400))
    assert isinstance(told, Refused)
    assert (told.code, told.details) == ("order_not_found", {"exception": "OrderNotFound"})
    assert isinstance(errors.of_read(ccxt.NotSupported(), sending(sent=False)), Refused)
    for error, status in [(ccxt.RequestTimeout(), None), (ccxt.ExchangeNotAvailable(), 503), (KeyError(), 200)]:
        assert isinstance(errors.of_read(error, sending(status)), Ambiguous)
    assert isinstance(errors.of_read(ccxt.ExchangeError("broke off"), sending()), Ambiguous)


def test_what_ccxt_stumbled_over_counts() -> None:
    stumbled = KeyError("spot")
    stumbled.__context__ = ccxt.AuthenticationError("binance who are you")
    told = errors.of_read(stumbled, Sending())
    assert isinstance(told, Refused)
    assert told.message == "AuthenticationError: binance who are you"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ccxt.InsufficientFunds(f"binance {REFUSED}"),
            "InsufficientFunds: Account has insufficient balance for requested action.",
        ),
        (
            ccxt.RequestTimeout("binance GET https://api.x/v3/order?symbol=B&signature=abc 504 body"),
            "RequestTimeout: binance GET https://api.x/v3/order 504 body",
        ),
        (ccxt.ExchangeError("binance {broken"), "ExchangeError: binance {broken"),
        (ccxt.ExchangeError("binance {}"), "ExchangeError: binance {}"),
        (KeyError(), "KeyError"),
    ],
)
def test_texts_are_the_exchanges_own_and_not_signed(error: Exception, text: str) -> None:
    assert errors.describe(error) == text


def test_texts_are_short() -> None:
    assert len(errors.describe(ccxt.ExchangeError("x " * 1_000))) < 400
