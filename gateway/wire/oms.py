"""The oms dialect as a pure codec (docs/protocol.md, "The oms dialect"): bytes in, requests out; values in, bytes out.

Holds the grammar of requests, the envelope of every message, and the shape of each reply; numbered updates are framed
by `oms_forms`. Must not know a socket, the hub, a clock, or what an order is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, NamedTuple, TypeAlias, get_args

import msgspec
import orjson

from gateway.core.key import UNIFIED_CHANNELS, Extent
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.wire import signed
from gateway.wire.codec import UNREADABLE, AccountId, Name, RequestError, RequestId, Timeframe, id_of, is_echoable

if TYPE_CHECKING:
    from gateway.net.guard import Entered

SUBPROTOCOL: Final = "tickwire.oms"

CCXT: Final = "ccxt"
POSITION: Final = "position"
SYSTEM: Final = "system"

# As clients spell them -> the channel of the key.
CHANNELS: Final = {channel.type: channel.name for channel in UNIFIED_CHANNELS.values()}

POLL_MS: Final = (250, 10_000)  # what an interval is clamped to
ITEMS_MAX: Final = 1_000  # trades or candles of one event

Count = Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """What `subscribe_market` asks for."""

    account_id: AccountId
    symbol: Name
    channels: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=16)] = ("ticker",)
    timeframe: Timeframe = "1m"
    depth: Count = 20
    limit: Count = 50
    poll_interval_ms: int = 1_200

    @property
    def interval_ms(self) -> int:
        """The interval that counts."""
        return min(max(self.poll_interval_ms, POLL_MS[0]), POLL_MS[1])

    def extent(self, channel: str, limits: Limits) -> Extent:
        """How much of a channel, and how often where it is polled."""
        if channel == "orderbook":
            return Extent(min(self.depth, limits.book_depth_max), "", self.interval_ms)
        size = 0 if channel == "ticker" else min(self.limit, ITEMS_MAX)
        return Extent(size, self.timeframe if channel == "ohlcv" else "", self.interval_ms)


class Markets(msgspec.Struct, frozen=True, kw_only=True):
    """What `unsubscribe_market` is about: what is not said is everything."""

    account_id: AccountId | None = None
    symbol: Name | None = None
    channels: list[Name] | None = None


class Private(msgspec.Struct, frozen=True, kw_only=True):
    """What `subscribe` and `unsubscribe` are about."""

    namespaces: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=16)] = (POSITION,)
    account_ids: Annotated[list[AccountId], msgspec.Meta(min_length=1)]
    with_snapshot: bool = False


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """An API key or a token, under either name."""

    api_key: str | None = None
    token: str | None = None

    @property
    def secret(self) -> str:
        return self.api_key or self.token or ""

    def __repr__(self) -> str:
        return "Credentials()"


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """A function of ccxt, for an account."""

    account_id: AccountId
    func: Name
    args: list[Any] = []
    kwargs: dict[str, Any] = {}


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="action"):
    """Unknown fields are ignored. `within` is the namespace of the action, whether or not a client says it."""

    within: ClassVar[str] = SYSTEM
    id: RequestId | None = None
    namespace: str | None = None


class Auth(_Request, tag="auth", frozen=True, kw_only=True):
    payload: Credentials


class Ping(_Request, tag="ping", frozen=True, kw_only=True):
    pass


class SubscribeMarket(_Request, tag="subscribe_market", frozen=True, kw_only=True):
    within: ClassVar[str] = CCXT
    payload: Market


class UnsubscribeMarket(_Request, tag="unsubscribe_market", frozen=True, kw_only=True):
    within: ClassVar[str] = CCXT
    payload: Markets = Markets()


class Subscribe(_Request, tag="subscribe", frozen=True, kw_only=True):
    payload: Private


class Unsubscribe(_Request, tag="unsubscribe", frozen=True, kw_only=True):
    payload: Private


class Command(_Request, tag="command", frozen=True, kw_only=True):
    """`payload` is a body of `POST /oms/commands`; its numbers keep their digits."""

    within: ClassVar[str] = POSITION
    payload: dict[str, Any] | list[Any]
    sig: signed.Text | None = None
    ts: int | None = None
    nonce: signed.Text | None = None


class SignedCommand(Command, tag="command", frozen=True, kw_only=True):
    """With the bytes of its payload, as they came."""

    signed: bytes


class Call(_Request, tag="call", frozen=True, kw_only=True):
    within: ClassVar[str] = CCXT
    payload: Called


Request: TypeAlias = Auth | Ping | SubscribeMarket | UnsubscribeMarket | Subscribe | Unsubscribe | Command | Call
NAMESPACES: Final[dict[str, str]] = {kind.__struct_config__.tag: kind.within for kind in get_args(Request)}


class Echo(NamedTuple):
    """What a reply gives back of its request."""

    id: RequestId | None = None
    namespace: str = SYSTEM
    action: str | None = None


_requests: Final = msgspec.json.Decoder(Request, float_hook=Decimal)
_anything: Final = msgspec.json.Decoder()


def parse(raw: str | bytes, limits: Limits) -> Request:
    """One request, or RequestError. Anything the peer can send ends in one of the two."""
    try:
        request: Request = _requests.decode(raw)
    except UNREADABLE as error:
        raise _explain(raw, error, limits) from None
    if not is_echoable(request.id, limits):
        text = f"`id` is longer than {limits.request_ids_bytes_max} bytes, or no 64-bit number"
        raise RequestError("validation_error", text, echo(request)._replace(id=None), None)
    refusal = _refusal(request, limits)
    if refusal is not None:
        raise RequestError(refusal.code, refusal.message, echo(request), refusal.details)
    if isinstance(request, Command) and not signed.is_whole(request):
        raise RequestError("validation_error", "`sig`, `ts` and `nonce` belong together", echo(request), None)
    if isinstance(request, Command) and request.sig is not None:
        return SignedCommand(**msgspec.structs.asdict(request), signed=signed.payload_of(raw))
    return request


def echo(request: Request) -> Echo:
    return Echo(request.id, request.within, str(request.__struct_config__.tag))


def read_echo(raw: str | bytes, limits: Limits) -> Echo:
    """As far as it can be read, of a message that is not looked at further."""
    try:
        message = _anything.decode(raw)
    except UNREADABLE:
        return Echo()
    return _echo_of(message, limits)


def _echo_of(message: Any, limits: Limits) -> Echo:
    said: Any = message.get("action") if isinstance(message, dict) else None
    action = said[:64] if isinstance(said, str) else ""
    return Echo(id_of(message, limits), NAMESPACES.get(action, SYSTEM), action or None)


def _explain(raw: str | bytes, error: Exception, limits: Limits) -> RequestError:
    """Say what is wrong with a message the strict decoder refused."""
    try:
        message = _anything.decode(raw)
    except UNREADABLE:
        return RequestError("validation_error", "the message is not JSON", Echo(), None)
    said = _echo_of(message, limits)
    if isinstance(message, dict) and said.action is not None and said.action not in NAMESPACES:
        details = {"action": said.action, "actions": list(NAMESPACES)}
        return RequestError("unsupported_action", "no such action", said, details)
    if said.action is None:
        return RequestError("validation_error", "a request is a JSON object with an `action`", said, None)
    return RequestError("validation_error", str(error), said, None)


def _refusal(request: Request, limits: Limits) -> TickwireError | None:
    """What is wrong with a well-formed request."""
    if request.namespace not in (None, request.within):
        details = {"namespaces": [request.within]}
        return TickwireError("unsupported_action", "this namespace has no such action", details=details)
    match request:
        case (
            SubscribeMarket(payload=Market(channels=channels))
            | UnsubscribeMarket(payload=Markets(channels=list(channels)))
        ) if set(channels) - set(CHANNELS):
            return TickwireError("unsupported_channel", "no such channel", details={"channels": list(CHANNELS)})
        case Subscribe(payload=private) | Unsubscribe(payload=private) if set(private.namespaces) != {POSITION}:
            return TickwireError("validation_error", "no such namespace", details={"namespaces": [POSITION]})
        case Subscribe(payload=private) | Unsubscribe(payload=private) if (
            len(private.account_ids) > limits.symbols_per_request_max
        ):
            return TickwireError("validation_error", f"more than {limits.symbols_per_request_max} accounts")
        case Auth(payload=credentials) if not credentials.secret:
            return TickwireError("validation_error", "`payload` needs an `api_key` or a `token`")
    return None


# --- what is said ------------------------------------------------------------------------------------------------


def _response(request: Request, event: str, payload: Any, *, ok: bool = True) -> bytes:
    return envelope(echo(request), "ws_response", event, payload, ok=ok)


def envelope(said: Echo, kind: str, event: str, payload: Any, *, ok: bool = True) -> bytes:
    """Any message but the greeting."""
    return orjson.dumps(
        {
            "id": said.id,
            "ok": ok,
            "type": kind,
            "namespace": said.namespace,
            "action": said.action,
            "event": event,
            "payload": payload,
        }
    )


def connected() -> bytes:
    return b'{"id":"server-hello","ok":true,"type":"ws_event","event":"connected","payload":{}}'


def authenticated(request: Auth, entered: Entered) -> bytes:
    """Who the connection speaks for from here on, and when it will be asked again."""
    principal, reauthenticate_after_ms = entered
    payload = {
        "user": principal.user_name,
        "admin": principal.is_admin,
        "account_ids": sorted(principal.permissions),
        "reauthenticate_after_ms": reauthenticate_after_ms,
    }
    return _response(request, "authenticated", payload)


def pong(request: Ping) -> bytes:
    return _response(request, "pong", {})


def subscribed_market(request: SubscribeMarket, channels: Sequence[str]) -> bytes:
    asked = request.payload
    payload = {
        "account_id": asked.account_id,
        "symbol": asked.symbol,
        "channels": channels,
        "poll_interval_ms": asked.interval_ms,
    }
    return _response(request, "subscribed_market", payload)


def unsubscribed_market(request: UnsubscribeMarket, removed: int) -> bytes:
    return _response(request, "unsubscribed_market", {"removed": removed})


def subscribed(request: Subscribe, account_ids: Sequence[int]) -> bytes:
    return _response(request, "subscribed", {"namespaces": [POSITION], "account_ids": account_ids})


def unsubscribed(request: Unsubscribe, removed: int) -> bytes:
    return _response(request, "unsubscribed", {"removed": removed})


def snapshot(request: Subscribe, channel: str, account_id: int, items: bytes) -> bytes:
    """What is open of an account; `items` is a finished JSON array."""
    payload = {"account_id": account_id, "items": orjson.Fragment(items)}
    return envelope(_event_of(request.id), "ws_event", f"snapshot_open_{channel}", payload)


def snapshot_done(request: Subscribe, account_ids: Sequence[int]) -> bytes:
    return envelope(_event_of(request.id), "ws_event", "snapshot_done", {"account_ids": account_ids})


def _event_of(request_id: RequestId | None) -> Echo:
    return Echo(request_id, POSITION, "event")


def command_result(request: Command, result: Mapping[str, Any]) -> bytes:
    """What became of one command of the request."""
    return _response(request, "command_result", result, ok=result["ok"])


def ccxt_result(request: Call, result: bytes) -> bytes:
    """`result` is finished JSON."""
    return _response(request, "ccxt_result", {"result": orjson.Fragment(result)})


def error(failure: TickwireError, said: Echo, request_id: str) -> bytes:
    """`request_id` names the request in our logs."""
    return envelope(said, "ws_response", "error", failure.fields(request_id), ok=False)


def reauthenticate(deadline_ms: int) -> bytes:
    return envelope(Echo(None, SYSTEM, "event"), "ws_event", "reauthenticate", {"deadline_ms": deadline_ms})


def server_shutdown(deadline_ms: int, reconnect_after_ms: int) -> bytes:
    payload = {"deadline_ms": deadline_ms, "reconnect_after_ms": reconnect_after_ms}
    return envelope(Echo(None, SYSTEM, "event"), "ws_event", "server_shutdown", payload)


def ended(failure: TickwireError, namespace: str, request_id: str) -> bytes:
    """What had been subscribed is over, and why: nothing of it follows."""
    return envelope(Echo(None, namespace, "event"), "ws_event", "error", failure.fields(request_id), ok=False)
