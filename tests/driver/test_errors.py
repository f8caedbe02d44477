"""The table of refusals and exceptions, and the one line that programs rely on."""

from __future__ import annotations

from typing import Any

import pytest
from ccxt.base import errors as ccxt_errors
from ccxt.base.errors import BaseError, ExchangeError, NetworkError

from driver.errors import CODES, Refusal, RouteMissing, exception_of, of_answer, of_result, refusal_of
from gateway.errors import CODES as CATALOGUE

TABLE = {
    "missing_api_key": "AuthenticationError", "invalid_api_key": "AuthenticationError",
    "token_expired": "AuthenticationError", "not_authenticated": "AuthenticationError",
    "permission_denied": "PermissionDenied", "strategy_permission_denied": "PermissionDenied",
    "account_not_found": "AccountNotEnabled", "account_blocked": "AccountSuspended", "unknown_symbol": "BadSymbol",
    "order_not_found": "OrderNotFound", "invalid_order_state": "InvalidOrder", "position_not_found": "InvalidOrder",
    "position_close_in_progress": "InvalidOrder", "deal_not_found": "ExchangeError",
    "alert_not_found": "ExchangeError",
    "duplicate_client_order_id": "DuplicateOrderId", "idempotency_conflict": "DuplicateOrderId",
    "risk_blocked": "OperationRejected", "reduce_only_violation": "OperationRejected",
    "stale_market_data": "OperationRejected", "insufficient_funds": "InsufficientFunds",
    "rate_limited": "RateLimitExceeded", "too_many_connections": "RateLimitExceeded",
    "too_many_subscriptions": "RateLimitExceeded", "exchange_error": "ExchangeError",
    "exchange_unavailable": "ExchangeNotAvailable", "engine_unavailable": "ExchangeNotAvailable",
    "outcome_unknown": "RequestTimeout", "unsupported_action": "NotSupported", "unsupported_channel": "NotSupported",
    "unsupported_engine": "NotSupported", "internal_error": "ExchangeError", "validation_error": "BadRequest",
}  # fmt: skip
DEFINITE = {name for name, code in CATALOGUE.items() if code < 500 and code != 429}


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_each_code_of_the_catalogue_has_its_exception(code: str) -> None:
    error = of_answer(CATALOGUE[code] if code != "unsupported_action" else 422, {"code": code, "message": "why"}, "")
    assert type(error).__name__ == TABLE[code]
    said = refusal_of(error) if error else None
    assert (said.code, said.message) == (code, "why") if said else False
    assert f"tickwire {code} why" in str(error)


def test_the_table_has_no_code_that_is_not_in_the_catalogue() -> None:
    assert set(CODES) <= set(CATALOGUE)
    assert set(TABLE) == set(CATALOGUE)


@pytest.mark.parametrize("code", sorted(DEFINITE - {"unsupported_action"}))
def test_what_is_refused_for_good_is_no_network_error(code: str) -> None:
    error = of_answer(CATALOGUE[code], {"code": code, "message": ""}, "")
    assert isinstance(error, ExchangeError)
    assert not isinstance(error, NetworkError)


@pytest.mark.parametrize(
    ("field", "message", "name"),
    [
        ("payload.qty", "qty: must be above 0", "InvalidOrder"),
        ("price", "price: needed by a limit order", "InvalidOrder"),
        ("payload.time_in_force", "", "InvalidOrder"),
        ("payload", "Object missing required field `symbol`", "ArgumentsRequired"),
        ("payload.comment", "Expected `str`", "BadRequest"),
        ("", "the body is not JSON", "BadRequest"),
    ],
)
def test_a_validation_error_goes_by_its_field(field: str, message: str, name: str) -> None:
    said = Refusal("validation_error", message, 422, {"field": field})
    assert type(exception_of(said)).__name__ == name


def test_the_exception_behind_goes_first() -> None:
    body = {"code": "exchange_error", "message": "", "details": {"exception": "MarketClosed"}}
    assert type(of_answer(502, body, "")) is ccxt_errors.MarketClosed


@pytest.mark.parametrize("name", ["Exception", "error_hierarchy", "SystemExit", "", None, 7])
def test_a_name_that_is_no_exception_of_ccxt_counts_for_nothing(name: Any) -> None:
    body = {"code": "insufficient_funds", "message": "", "details": {"exception": name}}
    assert type(of_answer(422, body, "")) is ccxt_errors.InsufficientFunds


@pytest.mark.parametrize("body", [None, {"code": "unsupported_action", "message": "no such path"}, {"detail": "x"}])
@pytest.mark.parametrize("status", [404, 405])
def test_a_route_that_is_missing_is_told_from_a_thing_that_is(status: int, body: Any) -> None:
    assert isinstance(of_answer(status, body, "Not Found"), RouteMissing)
    missing = of_answer(404, {"code": "order_not_found", "message": ""}, "")
    assert type(missing) is ccxt_errors.OrderNotFound


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequest"), (401, "AuthenticationError"), (403, "PermissionDenied"), (408, "RequestTimeout"),
        (413, "BadRequest"), (418, "ExchangeError"), (429, "RateLimitExceeded"), (500, "ExchangeNotAvailable"),
        (502, "ExchangeNotAvailable"), (503, "ExchangeNotAvailable"), (504, "RequestTimeout"),
    ],
)  # fmt: skip
def test_an_answer_of_something_in_between_goes_by_its_status(status: int, name: str) -> None:
    assert type(of_answer(status, None, "<html>")).__name__ == name


def test_a_good_status_without_json_is_not_known_to_be_anything() -> None:
    assert isinstance(of_answer(200, None, "<html>"), NetworkError)
    assert of_answer(200, {"items": []}, "{}") is None
    assert of_answer(202, [], "[]") is None


def test_a_command_that_failed_tells_its_order_and_all_results() -> None:
    results = [
        {"ok": False, "order_id": 7, "error": {"code": "insufficient_funds", "message": "none", "details": None}}
    ]
    error = of_answer(422, {"results": results}, "")
    said = refusal_of(error) if error else None
    assert said is not None
    assert (said.order_id, said.results, said.details) == (7, tuple(results), {})
    assert type(error) is type(of_result(results[0])) is ccxt_errors.InsufficientFunds


def test_a_function_that_failed_as_a_command_tells_its_order() -> None:
    error = of_answer(502, {"code": "outcome_unknown", "message": "", "details": {"order_id": 7}}, "")
    said = refusal_of(error) if error else None
    assert said is not None
    assert said.order_id == 7


def test_other_exceptions_have_nothing_to_say() -> None:
    assert refusal_of(ValueError("x")) is None
    assert issubclass(RouteMissing, BaseError)
