"""The stream dialect as a pure codec (docs/protocol.md, "Requests"): bytes in, requests out; values in, bytes out.

Holds the grammar of requests and the shape of every reply. Must not know a socket, the hub, a clock or a source:
numbered updates and gaps are framed by `forms.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
import orjson

from gateway.core.key import CHANNELS, CONFIRMED_CHANNELS, EVERY, PRIVATE_CHANNELS, PUBLISHED_CHANNELS, STREAM_CHANNELS
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.wire import signed
from gateway.wire.codec import UNREADABLE, AccountId, Name, RequestError, RequestId, Timeframe, id_of, is_echoable

if TYPE_CHECKING:
    from gateway.auth import Principal

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**62)]  # fits the compiled core's 64-bit sequences

STREAM_PATH: Final = "/v1/stream"  # where this dialect is spoken
DEFAULT_DEPTH: Final = 10
DEFAULT_TIMEFRAME: Final = "1m"


class Position(msgspec.Struct, frozen=True):
    """Where a client stopped reading a stream."""

    epoch: Name
    sequence: Natural


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="action"):
    """Unknown fields are ignored, so that a newer client can talk to an older server."""

    id: RequestId | None = None


class Subscribe(_Request, tag="subscribe", frozen=True, kw_only=True, omit_defaults=True):
    """`symbols` of a public channel, `account_ids` of a private one; `named` says which symbols are meant.

    Written as what is kept of it, what nobody asked for is left out: read again it is the same. `depth` and `timeframe`
    are always written, since a release may have other defaults: what a made default is, msgspec never leaves out.
    """

    channel: Name
    symbols: Annotated[list[Name], msgspec.Meta(min_length=1)] = []
    account_ids: Annotated[list[AccountId], msgspec.Meta(min_length=1)] = []
    throttle_ms: Natural = 0
    snapshot: bool = True
    depth: Annotated[int, msgspec.Meta(ge=1, le=2**31)] = msgspec.field(default_factory=lambda: DEFAULT_DEPTH)
    timeframe: Timeframe = msgspec.field(default_factory=lambda: DEFAULT_TIMEFRAME)
    batch: bool = False
    encoding: Literal["json", "msgpack"] = "json"
    compression: Literal["none", "gzip"] = "none"
    sign: bool = False
    resume: dict[Name, Position] = {}

    @property
    def named(self) -> list[str]:
        """The symbols; of what publishers tell all of them when none is named."""
        return self.symbols or ([EVERY] if self.channel in PUBLISHED_CHANNELS else [])


class Restore(_Request, tag="restore", frozen=True, kw_only=True):
    """The subscriptions of a connection that ended. `resume`: where the client is, by channel and name."""

    connection_id: Name
    resume: dict[Name, dict[Name, Position]] = {}


class Unsubscribe(_Request, tag="unsubscribe", frozen=True, kw_only=True):
    """Without names the whole channel; without `timeframe` every timeframe of a symbol's bars."""

    channel: Name
    symbols: Annotated[list[Name], msgspec.Meta(min_length=1)] | None = None
    account_ids: Annotated[list[AccountId], msgspec.Meta(min_length=1)] | None = None
    timeframe: Timeframe | None = None


class Resend(_Request, tag="resend", frozen=True, kw_only=True, rename={"from_": "from"}):
    channel: Name
    symbol: Name
    epoch: Name | None = None  # of the numbers: after a loss they name other updates
    from_: Natural
    to: Natural
    timeframe: Timeframe | None = None


class Ack(_Request, tag="ack", frozen=True, kw_only=True):
    """Everything up to here is taken care of, and need not come again."""

    channel: Name
    account_id: AccountId
    sequence: Natural


class Command(_Request, tag="command", frozen=True, kw_only=True):
    """`payload` is a body of `POST /oms/commands`; its numbers keep their digits."""

    payload: dict[str, Any] | list[Any]
    sig: signed.Text | None = None
    ts: int | None = None
    nonce: signed.Text | None = None


class SignedCommand(Command, tag="command", frozen=True, kw_only=True):
    """With the bytes of its payload, as they came."""

    signed: bytes


class Publish(_Request, tag="publish", frozen=True, kw_only=True):
    """`data` is a body of `POST /api/signals` or `POST /api/news`, unread."""

    channel: Name
    data: msgspec.Raw


class Auth(_Request, tag="auth", frozen=True, kw_only=True):
    token: str  # or an API key

    def __repr__(self) -> str:
        return "Auth()"


class Ping(_Request, tag="ping", frozen=True, kw_only=True):
    pass


class List(_Request, tag="list", frozen=True, kw_only=True):
    pass


Request: TypeAlias = Subscribe | Restore | Unsubscribe | Resend | Ack | Command | Publish | Auth | Ping | List
ACTIONS: Final[tuple[str, ...]] = tuple(kind.__struct_config__.tag for kind in get_args(Request))

_requests: Final = msgspec.json.Decoder(Request, float_hook=Decimal)
_anything: Final = msgspec.json.Decoder()


def parse(raw: str | bytes, limits: Limits) -> Request:
    """One request, or RequestError. Anything the peer can send ends in one of the two."""
    try:
        request: Request = _requests.decode(raw)
    except UNREADABLE as error:
        raise _explain(raw, error, limits) from None
    refusal = _oversize(request, limits)
    refusal = refusal or _misnamed(request) or _missigned(request)
    if refusal is not None:
        echoed = request.id if is_echoable(request.id, limits) else None
        raise RequestError("validation_error", refusal, echoed, None)
    if isinstance(request, Command) and request.sig is not None:
        return SignedCommand(**msgspec.structs.asdict(request), signed=signed.payload_of(raw))
    return request


def echo(request: Request) -> RequestId | None:
    """What a reply gives back: the `id`."""
    return request.id


def read_echo(raw: str | bytes, limits: Limits) -> RequestId | None:
    """The `id` of a request that will not be looked at further (rate limited), when it has one."""
    try:
        message = _anything.decode(raw)
    except UNREADABLE:
        return None
    return id_of(message, limits)


def _explain(raw: str | bytes, error: Exception, limits: Limits) -> RequestError:
    """Say what is wrong with a message the strict decoder refused."""
    try:
        message = _anything.decode(raw)
    except UNREADABLE:
        return RequestError("validation_error", "the message is not JSON", None, None)
    if not isinstance(message, dict):
        return RequestError("validation_error", "a request is a JSON object with an `action`", None, None)
    request_id = id_of(message, limits)
    action = message.get("action")
    if isinstance(action, str) and action not in ACTIONS:
        details = {"action": action[:64], "actions": list(ACTIONS)}
        return RequestError("unsupported_action", "no such action", request_id, details)
    return RequestError("validation_error", str(error), request_id, None)


def _oversize(request: Request, limits: Limits) -> str | None:
    """The configured bound a well-formed request breaks, as a sentence."""
    if not is_echoable(request.id, limits):
        return f"`id` is longer than {limits.request_ids_bytes_max} bytes, or no 64-bit number"
    match request:
        case Subscribe() | Unsubscribe() if (
            len(request.symbols or request.account_ids or ()) > limits.symbols_per_request_max
        ):
            return f"more than {limits.symbols_per_request_max} symbols or accounts in one request"
        case Subscribe() if request.depth > limits.book_depth_max:
            return f"`depth` is above {limits.book_depth_max}"
        case Resend() if request.to < request.from_:
            return "`to` is before `from`"
        case Resend() if request.to - request.from_ >= limits.resend_updates_max:
            return f"more than {limits.resend_updates_max} updates in one resend"
    return None


def _misnamed(request: Request) -> str | None:
    """The name that the channel of a well-formed request does not go by, as a sentence."""
    match request:
        case Subscribe() if request.channel in PRIVATE_CHANNELS and (request.symbols or not request.account_ids):
            return f"`{request.channel}` are subscribed by `account_ids`, and have no `symbols`"
        case Subscribe() if request.channel in CHANNELS and (request.account_ids or not request.symbols):
            return f"`{request.channel}` are subscribed by `symbols`, and have no `account_ids`"
        case Unsubscribe() if request.symbols is not None and request.channel in PRIVATE_CHANNELS:
            return f"`{request.channel}` have no `symbols`"
        case Subscribe() | Unsubscribe() if request.account_ids and request.channel in STREAM_CHANNELS:
            return f"`{request.channel}` have no `account_ids`"
        case Ack() if request.channel in STREAM_CHANNELS:
            return f"`{request.channel}` are not confirmed"
    return None


def _missigned(request: Request) -> str | None:
    """What cannot be signed so, as a sentence."""
    match request:
        case Command() if not signed.is_whole(request):
            return "`sig`, `ts` and `nonce` belong together"
        case Subscribe() if (
            request.sign
            and request.channel in (*STREAM_CHANNELS, *PRIVATE_CHANNELS)
            and (request.channel not in CONFIRMED_CHANNELS)
        ):
            return f"`{request.channel}` is not signed: there is {', '.join(CONFIRMED_CHANNELS)}"
        case Subscribe() if request.sign and request.encoding != "json":
            return "what is signed is JSON: `sign` needs the encoding `json`"
    return None


class StreamState(msgspec.Struct, frozen=True):
    """One entry of `streams` in a `subscribed` reply: where the client starts reading."""

    epoch: str
    sequence: int
    recovered: bool | None  # null when the client did not ask to resume
    replayed: int


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stream of a `subscriptions` reply, with the options it was subscribed with."""

    subscription_id: str
    channel: str
    symbol: str
    exchange: str | msgspec.UnsetType  # not there where publishers and no exchange tell
    throttle_ms: int
    batch: bool
    encoding: str
    compression: str
    timeframe: str | None = None
    depth: int | None = None


def reply(kind: str, request_id: RequestId | None, fields: Mapping[str, Any]) -> bytes:
    """A message that is not numbered; `request_id` is the client's own."""
    head: dict[str, Any] = {"type": kind}
    if request_id is not None:
        head["id"] = request_id
    return orjson.dumps(head | dict(fields), default=msgspec.to_builtins)


def connected(connection_id: str, limits: Limits) -> bytes:
    fields = {"connection_id": connection_id, "heartbeat_s": limits.heartbeat_s, "limits": _published(limits)}
    return reply("connected", None, fields)


@functools.lru_cache(maxsize=4)
def _published(limits: Limits) -> orjson.Fragment:
    """The same for every connection of a process."""
    return orjson.Fragment(orjson.dumps(limits.published()))


def subscribed(
    request: Subscribe,
    subscription_id: str,
    throttle_ms: int,
    streams: Mapping[str, StreamState],
    errors: Mapping[str, str],
    retry_after_ms: Mapping[str, int],
) -> bytes:
    """The one ack of a subscribe. What it says of single symbols is keyed by the client's spelling.

    `retry_after_ms`: of the symbols among `errors` that may be served later; left out when there are none.
    """
    data: dict[str, object] = {
        "subscription_id": subscription_id,
        "symbols": list(streams),
        "throttle_ms": throttle_ms,
        "streams": streams,
        "errors": errors,
    }
    if retry_after_ms:
        data["retry_after_ms"] = retry_after_ms
    return reply("subscribed", request.id, {"channel": request.channel, "data": data})


def restored(request: Restore, requests: int) -> bytes:
    """The reply, ahead of a `subscribed` for each of so many `requests`."""
    data = {"connection_id": request.connection_id, "requests": requests}
    return reply("restored", request.id, {"data": data})


def unsubscribed(request: Unsubscribe, symbols: Sequence[str], errors: Mapping[str, str]) -> bytes:
    data = {"symbols": symbols, "errors": errors}
    return reply("unsubscribed", request.id, {"channel": request.channel, "data": data})


def resent(request: Resend, count: int) -> bytes:
    """The reply to a resend, sent ahead of the `count` updates it announces."""
    data = {"symbol": request.symbol, "from": request.from_, "to": request.to, "resent": count}
    return reply("resent", request.id, {"channel": request.channel, "data": data})


def subscriptions(request: List, listed: Sequence[msgspec.Struct]) -> bytes:
    return reply("subscriptions", request.id, {"data": {"subscriptions": listed}})


def authenticated(request: Auth, principal: Principal, reauthenticate_after_ms: int) -> bytes:
    """Who the connection speaks for from here on, and when it will be asked again."""
    data = {
        "user": principal.user_name,
        "admin": principal.is_admin,
        "account_ids": sorted(principal.permissions),
        "reauthenticate_after_ms": reauthenticate_after_ms,
    }
    return reply("authenticated", request.id, {"data": data})


def reauthenticate(deadline_ms: int) -> bytes:
    return reply("reauthenticate", None, {"deadline_ms": deadline_ms})


def pong(request: Ping) -> bytes:
    return reply("pong", request.id, {})


def error(failure: TickwireError, echoed: RequestId | None, request_id: str) -> bytes:
    """`echoed` is the client's own id; `request_id` names the request in our logs."""
    return reply("error", echoed, failure.fields(request_id))


def server_shutdown(deadline_ms: int, reconnect_after_ms: int) -> bytes:
    return reply("server_shutdown", None, {"deadline_ms": deadline_ms, "reconnect_after_ms": reconnect_after_ms})
