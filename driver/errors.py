"""Which exception of ccxt a refusal is: by the name of the exception behind it, else by the code of the catalogue.

One line is kept strict: NetworkError and its kin mean that nobody knows what became of it, or that nothing was tried;
ExchangeError and its kin mean that it was refused for good. Pure. Must not know how an answer arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ccxt.base import errors as ccxt_errors
from ccxt.base.errors import (
    AccountNotEnabled,
    AccountSuspended,
    ArgumentsRequired,
    AuthenticationError,
    BadRequest,
    BadSymbol,
    BaseError,
    DuplicateOrderId,
    ExchangeError,
    ExchangeNotAvailable,
    InsufficientFunds,
    InvalidOrder,
    NotSupported,
    OperationRejected,
    OrderNotFound,
    PermissionDenied,
    RateLimitExceeded,
    RequestTimeout,
)

CODES: Final[Mapping[str, type[BaseError]]] = {
    "missing_api_key": AuthenticationError,
    "invalid_api_key": AuthenticationError,
    "token_expired": AuthenticationError,
    "not_authenticated": AuthenticationError,
    "permission_denied": PermissionDenied,
    "strategy_permission_denied": PermissionDenied,
    "account_not_found": AccountNotEnabled,
    "account_blocked": AccountSuspended,
    "unknown_symbol": BadSymbol,
    "order_not_found": OrderNotFound,
    "invalid_order_state": InvalidOrder,
    "position_not_found": InvalidOrder,
    "position_close_in_progress": InvalidOrder,
    "duplicate_client_order_id": DuplicateOrderId,
    "idempotency_conflict": DuplicateOrderId,
    "risk_blocked": OperationRejected,
    "reduce_only_violation": OperationRejected,
    "stale_market_data": OperationRejected,
    "insufficient_funds": InsufficientFunds,
    "rate_limited": RateLimitExceeded,
    "too_many_connections": RateLimitExceeded,
    "too_many_subscriptions": RateLimitExceeded,
    "exchange_unavailable": ExchangeNotAvailable,
    "engine_unavailable": ExchangeNotAvailable,
    "outcome_unknown": RequestTimeout,
    "unsupported_action": NotSupported,
    "unsupported_channel": NotSupported,
    "unsupported_engine": NotSupported,
}
# Of an answer without a code: not from the gateway, but from what stands in front of it.
STATUSES: Final[Mapping[int, type[BaseError]]] = {
    400: BadRequest,
    401: AuthenticationError,
    403: PermissionDenied,
    407: AuthenticationError,
    408: RequestTimeout,
    413: BadRequest,
    422: BadRequest,
    429: RateLimitExceeded,
    504: RequestTimeout,
}
# Fields of a command that make an order what it is: wrong ones make it an InvalidOrder.
ORDER_FIELDS: Final = frozenset({
    *("order_type", "type", "qty", "amount", "price", "trigger_price", "time_in_force", "expires_at", "post_only"),
    *("reduce_only", "stop_loss", "stop_gain", "new_price", "new_qty", "position_id", "client_order_id", "side"),
})  # fmt: skip


class Refusal(NamedTuple):
    """What the gateway said; exceptions that are made of it have it as `tickwire`."""

    code: str | None
    message: str
    status: int | None = None
    details: Mapping[str, Any] = {}
    retry_after_ms: int | None = None
    order_id: int | None = None  # of a command that got as far as an order
    results: tuple[Mapping[str, Any], ...] = ()  # of a body of commands that all failed


class RouteMissing(NotSupported):  # type: ignore[misc]  # ccxt is not followed: its classes are Any
    """The gateway has no such resource at all: not that something is missing in one."""


def refusal_of(error: BaseException) -> Refusal | None:
    """What the gateway said, when the exception is made of that."""
    said = getattr(error, "tickwire", None)
    return said if isinstance(said, Refusal) else None


def is_missing_by_its_word(error: BaseException) -> bool:
    """It is the gateway itself that says that it has no such resource: what stands in front says 404 in other words."""
    said = refusal_of(error)
    return isinstance(error, RouteMissing) and said is not None and said.code is not None


def exception_of(said: Refusal) -> BaseError:
    """The exception to raise."""
    error = _class_of(said)(f"tickwire {said.code or said.status} {said.message}")
    error.tickwire = said
    return error


def of_result(result: Mapping[str, Any]) -> BaseError:
    """Of the answer to one command, which has an error."""
    return exception_of(_refusal(result["error"], order_id=result.get("order_id")))


def of_answer(status: int, body: object, text: str) -> BaseError | None:
    """Of an HTTP answer; None when it is no refusal. `body` is the text as JSON, None when it is none."""
    if status < 400:
        if body is None and text.strip() != "null":
            said = Refusal(None, f"answered with something else than JSON: {text[:200]!r}", status)
            return _with(ExchangeNotAvailable, said)
        return None
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    results = tuple(fields.get("results") or ())
    if results and isinstance(results[0], dict) and results[0].get("error"):
        said = _refusal(results[0]["error"], status, results[0].get("order_id"))
        return exception_of(said._replace(results=results))
    if "code" not in fields:
        fields = {"message": text[:200]}
    said = _refusal(fields, status)
    if status in {404, 405} and said.code in {None, "unsupported_action"}:
        return _with(RouteMissing, said)
    return exception_of(said)


def _with(kind: type[BaseError], said: Refusal) -> BaseError:
    error = kind(f"tickwire {said.status} {said.message}")
    error.tickwire = said
    return error


def _refusal(fields: Mapping[str, Any], status: int | None = None, order_id: int | None = None) -> Refusal:
    given = fields.get("details")
    details: Mapping[str, Any] = given if isinstance(given, dict) else {}
    return Refusal(
        code=fields.get("code"),
        message=str(fields.get("message", "")),
        status=status,
        details=details,
        retry_after_ms=fields.get("retry_after_ms"),
        order_id=details.get("order_id") if order_id is None else order_id,
    )


def _class_of(said: Refusal) -> type[BaseError]:
    named = getattr(ccxt_errors, str(said.details.get("exception", "")), None)
    if isinstance(named, type) and issubclass(named, BaseError):
        return named
    if said.code is None:
        status = said.status or 0
        kind: type[BaseError] = STATUSES.get(status, ExchangeNotAvailable if status >= 500 else ExchangeError)
    elif said.code == "validation_error":
        kind = _of_validation(said)
    else:
        kind = CODES.get(said.code, ExchangeError)
    return kind


def _of_validation(said: Refusal) -> type[BaseError]:
    field = str(said.details.get("field", "")).rpartition(".")[2]
    kind: type[BaseError] = InvalidOrder if field in ORDER_FIELDS else BadRequest
    return ArgumentsRequired if "missing required field" in said.message else kind
