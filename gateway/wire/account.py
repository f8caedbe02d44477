"""The account dialect as a pure codec (docs/protocol.md, "The account dialect"): requests in, messages out.

Holds the grammar of requests and the shape of every message. Must not know a socket, a clock, or how accounts are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from gateway.core.account_state import Change, Closed, Modified, Opened, Step, Updated
from gateway.core.moment import moment
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.wire.codec import UNREADABLE, RequestError

if TYPE_CHECKING:
    from gateway.core.private import Holding
    from gateway.net.guard import Entered

SUBPROTOCOL: Final = "tickwire.account"
DIFFERED: Final = ("balance",)  # figures whose difference is told beside their values
TYPES: Final = ("ping", "auth")
_EXACT: Final = Context(prec=200)  # no difference of two amounts is rounded


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Unknown fields are ignored."""


class Ping(_Request, tag="ping", frozen=True, kw_only=True):
    pass


class Auth(_Request, tag="auth", frozen=True, kw_only=True):
    """An API key or a token."""

    token: str

    def __repr__(self) -> str:
        return "Auth()"


Request: TypeAlias = Ping | Auth

_requests: Final = msgspec.json.Decoder(Request)
_anything: Final = msgspec.json.Decoder()
_encode: Final = msgspec.json.Encoder().encode


def parse(raw: str | bytes, limits: Limits) -> Request:
    """One request, or RequestError. Anything the peer can send ends in one of the two."""
    try:
        request: Request = _requests.decode(raw)
    except UNREADABLE as error:
        raise _explain(raw, error) from None
    return request


def _explain(raw: str | bytes, error: Exception) -> RequestError:
    try:
        message: Any = _anything.decode(raw)
    except UNREADABLE:
        return RequestError("validation_error", "the message is not JSON", None, None)
    kind = message.get("type") if isinstance(message, dict) else None
    if not isinstance(kind, str):
        return RequestError("validation_error", "a request is a JSON object with a `type`", None, None)
    if kind not in TYPES:
        return RequestError("unsupported_action", "no such type", None, {"type": kind[:64], "types": list(TYPES)})
    return RequestError("validation_error", str(error), None, None)


def echo(_request: Request) -> None:
    """Nothing of a request comes back in this dialect."""


def read_echo(_raw: str | bytes, _limits: Limits) -> None:
    """The same."""


# --- what is said ------------------------------------------------------------------------------------------------


def connected(account_id: str) -> bytes:
    """`account_id` as the client spells it."""
    return _encode({"type": "connected", "account_id": account_id, "monitoring_interval": "1s"})


def authenticated(entered: Entered) -> bytes:
    """Credentials were shown again, and when they will have to be once more."""
    return _encode({"type": "authenticated", "reauthenticate_after_ms": entered.reauthenticate_after_ms})


def pong() -> bytes:
    return b'{"type":"pong"}'


def error(failure: TickwireError, _echo: None, request_id: str) -> bytes:
    """A refusal: its code in capitals. `request_id` names the request in our logs."""
    message: dict[str, Any] = {"type": "error", "error_code": failure.code.upper(), "message": failure.message}
    message["request_id"] = request_id
    if failure.details is not None:
        message["details"] = failure.details
    if failure.retry_after_s is not None:
        message["retry_in_seconds"] = failure.retry_after_s
    return _encode(message)


def connection_lost(message: str, retry_in_s: int) -> bytes:
    """The backend of the account cannot be read, and when it is tried again."""
    return _encode(
        {"type": "error", "error_code": "CONNECTION_LOST", "message": message, "retry_in_seconds": retry_in_s}
    )


def reauthenticate(deadline_ms: int) -> bytes:
    return _encode({"type": "reauthenticate", "deadline_ms": deadline_ms})


def server_shutdown(deadline_ms: int, reconnect_after_ms: int) -> bytes:
    return _encode({"type": "server_shutdown", "deadline_ms": deadline_ms, "reconnect_after_ms": reconnect_after_ms})


def change(told: Change, time_ns: int, marks: Mapping[str, bool] = {}) -> bytes:
    """Something that has changed, as of `time_ns`; `marks` are put behind it: `snapshot`, `stale`."""
    head = {"timestamp": moment(time_ns)}
    body: dict[str, Any]
    match told:
        case Updated(changes):
            body = {"type": "account_update", **head, "changes": {n: _step(n, s) for n, s in changes.items()}}
        case Opened(position):
            body = {"type": "position_opened", **head, "position": _position(position)}
        case Modified(ticket, changes):
            changed = {name: {"old": _number(s.old), "new": _number(s.new)} for name, s in changes.items()}
            body = {"type": "position_modified", **head, "ticket": ticket, "changes": changed}
        case Closed(ticket, price, profit):
            body = {"type": "position_closed", **head, "ticket": ticket}
            body |= {"close_price": _number(price), "profit": _number(profit)}
    return _encode({**body, **marks})


def _position(position: Holding) -> dict[str, Any]:
    return {
        "ticket": position.ticket,
        "symbol": position.symbol,
        "type": position.side,
        "volume": _number(position.volume),
        "price": _number(position.price),
    }


def _step(name: str, step: Step) -> dict[str, Any]:
    said = {"old": _number(step.old), "new": _number(step.new)}
    if name in DIFFERED:
        is_known = said["old"] is not None and said["new"] is not None
        said["diff"] = _number(_EXACT.subtract(step.new, step.old)) if is_known else None
    return said


def _number(value: Any) -> Any:
    """A decimal as JSON can say it: digit for digit, without an exponent; there is no infinity."""
    if not isinstance(value, Decimal):
        return value
    if not value.is_finite():
        return None
    return msgspec.Raw(format(value, "f").encode())
