"""What a dialect is to whoever serves it: bytes to requests, and what every dialect must be able to say.

Holds the contract that the modules beside it fulfil (`codec: Codec[stream.Request] = stream`), and the one exception
by which they refuse. How numbered updates look is a `Form`. Must not know a socket, nor any one dialect.
"""

from __future__ import annotations

from decimal import InvalidOperation
from typing import Annotated, Any, Final, Protocol, TypeAlias, TypeVar

import msgspec

from gateway.errors import TickwireError
from gateway.limits import Limits

R = TypeVar("R")

RequestId: TypeAlias = str | int
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]  # no exchange has a longer symbol
AccountId = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Timeframe = Annotated[str, msgspec.Meta(min_length=2, max_length=8)]

# What msgspec raises for bytes that are no JSON; ValidationError (wrong types) is one of MsgspecError.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError, InvalidOperation)


class RequestError(TickwireError):
    """A request that is refused, with the `echo` of it that the reply must hold, as far as it could be read."""

    def __init__(self, code: str, message: str, echo: Any, details: dict[str, Any] | None) -> None:
        super().__init__(code, message, details=details)
        self.echo = echo


class Codec(Protocol[R]):
    """One dialect. An *echo* is what of a request comes back in its reply: an `id`, or more. Only it looks inside."""

    def parse(self, raw: str | bytes, limits: Limits) -> R:
        """One request, or RequestError. Anything a peer can send ends in one of the two."""

    def echo(self, request: R) -> Any:
        """The echo of a request."""

    def read_echo(self, raw: str | bytes, limits: Limits) -> Any:
        """The echo of a message that is not looked at further (rate limited); never raises."""

    def error(self, failure: TickwireError, echo: Any, request_id: str) -> bytes:
        """A refusal. `request_id` names the request in our logs."""

    def reauthenticate(self, deadline_ms: int) -> bytes:
        """Credentials have to be shown again by then."""

    def server_shutdown(self, deadline_ms: int, reconnect_after_ms: int) -> bytes:
        """The gateway goes, and when to come back."""


def id_of(message: Any, limits: Limits) -> RequestId | None:
    """The `id` of a decoded message, when it has one that can be given back."""
    candidate = message.get("id") if isinstance(message, dict) else None
    if isinstance(candidate, bool) or not isinstance(candidate, str | int) or not is_echoable(candidate, limits):
        return None
    return candidate


def is_echoable(request_id: RequestId | None, limits: Limits) -> bool:
    """Whether an `id` is one that can be given back: bounded, or none."""
    if isinstance(request_id, str):
        return len(request_id.encode()) <= limits.request_ids_bytes_max
    return request_id is None or -(2**63) <= request_id < 2**63
