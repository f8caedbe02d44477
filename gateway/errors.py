"""The error catalogue: every code a client may see, with its HTTP status, and the one exception that carries it.

Holds codes and their meaning, those of closes too. Must not know how a dialect renders them, nor any socket.
"""

from __future__ import annotations

from enum import IntEnum
from math import ceil
from typing import Any, Final

# code -> HTTP status (docs/protocol.md, "Errors"). One catalogue, one rendering per dialect.
CODES: Final[dict[str, int]] = {
    "validation_error": 422,
    "unknown_symbol": 404,
    "unsupported_channel": 422,
    "unsupported_action": 422,
    "missing_api_key": 401,
    "invalid_api_key": 401,
    "token_expired": 401,
    "not_authenticated": 401,
    "permission_denied": 403,
    "strategy_permission_denied": 403,
    "account_not_found": 404,
    "account_blocked": 403,
    "order_not_found": 404,
    "position_not_found": 404,
    "deal_not_found": 404,
    "alert_not_found": 404,
    "invalid_order_state": 409,
    "position_close_in_progress": 409,
    "duplicate_client_order_id": 409,
    "idempotency_conflict": 409,
    "risk_blocked": 422,
    "reduce_only_violation": 422,
    "stale_market_data": 422,
    "insufficient_funds": 422,
    "rate_limited": 429,
    "too_many_connections": 429,
    "too_many_subscriptions": 429,
    "exchange_error": 502,
    "exchange_unavailable": 503,
    "outcome_unknown": 502,
    "unsupported_engine": 422,
    "engine_unavailable": 503,
    "internal_error": 500,
}


class Close(IntEnum):
    """Why a WebSocket ends (docs/protocol.md, "Closes"): below 4000 as RFC 6455 says, above it ours."""

    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NONE = 1005  # a CLOSE without a code was received; never sent
    LOST = 1006  # the connection ended without a CLOSE; never sent
    NOT_UTF8 = 1007
    NOT_AUTHENTICATED = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    SLOW_CONSUMER = 4008
    TOO_MANY_CONNECTIONS = 4013
    RATE_LIMITED = 4029
    TOKEN_EXPIRED = 4401
    NOT_YOUR_ACCOUNT = 4403
    SILENT = 4408


class TickwireError(Exception):
    """A refusal a client is told about: a code of the catalogue, a sentence a person can act on, and details.

    `details` must be JSON-encodable and hold no secret. `retry_after_ms` is set where trying again later can help.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        assert code in CODES, code
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.retry_after_ms = retry_after_ms

    @property
    def status(self) -> int:
        """The HTTP status of this code."""
        return CODES[self.code]

    @property
    def retry_after_s(self) -> int | None:
        """HTTP's `Retry-After`, which knows whole seconds only."""
        return None if self.retry_after_ms is None else ceil(self.retry_after_ms / 1000)

    def fields(self, request_id: str | None = None) -> dict[str, Any]:
        """What every dialect says of it; `request_id` names the request in our logs."""
        more = {"request_id": request_id, "details": self.details, "retry_after_ms": self.retry_after_ms}
        said = {name: value for name, value in more.items() if value is not None}
        return {"code": self.code, "message": self.message, **said}
