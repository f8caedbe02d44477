"""The dashboard dialect as a pure codec (docs/protocol.md, "The dashboard dialect"): bytes in, requests out, and back.

Holds the grammar of requests and the shape of every message; prices are framed by `dashboard_forms`. What it says bears
the time, which a clock that it is given tells. Must not know a socket, the hub, or where anything comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec
import orjson

from gateway.core.moment import moment
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.wire.codec import UNREADABLE, Name, RequestError

if TYPE_CHECKING:
    from gateway.net.guard import Entered

SUBPROTOCOL: Final = "tickwire.dashboard"

PRICES: Final = "price_updates"
SIGNALS: Final = "signals"
TRADES: Final = "trades"
PORTFOLIO: Final = "portfolio"
CHANNELS: Final = (PRICES, SIGNALS, TRADES, PORTFOLIO)

INVALID: Final = "Invalid message format"


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Unknown fields are ignored."""


class Ping(_Request, tag="ping", frozen=True, kw_only=True):
    pass


class Auth(_Request, tag="auth", frozen=True, kw_only=True):
    """`token` may be an API key too."""

    token: Annotated[str, msgspec.Meta(min_length=1)]

    def __repr__(self) -> str:
        return "Auth()"


class Subscribe(_Request, tag="subscribe", frozen=True, kw_only=True):
    """Without symbols: all there are."""

    channel: Name
    symbols: tuple[Name, ...] | None = None


class Unsubscribe(_Request, tag="unsubscribe", frozen=True, kw_only=True):
    """Without symbols: the whole channel."""

    channel: Name
    symbols: tuple[Name, ...] | None = None


Request: TypeAlias = Ping | Auth | Subscribe | Unsubscribe

_requests: Final = msgspec.json.Decoder(Request)


class _Ticker(msgspec.Struct, frozen=True):
    """A ticker as ccxt unifies it, as far as it is told: digit for digit."""

    last: msgspec.Raw = msgspec.Raw(b"null")
    close: msgspec.Raw = msgspec.Raw(b"null")
    change: msgspec.Raw = msgspec.Raw(b"null")
    percentage: msgspec.Raw = msgspec.Raw(b"null")
    baseVolume: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815  # ccxt's name
    high: msgspec.Raw = msgspec.Raw(b"null")
    low: msgspec.Raw = msgspec.Raw(b"null")
    open: msgspec.Raw = msgspec.Raw(b"null")


class _Signal(msgspec.Struct, frozen=True):
    """A signal as it is told in the process, as far as it is told on: digit for digit."""

    signal_type: str
    symbol: str
    price: msgspec.Raw
    quantity: msgspec.Raw
    confidence: msgspec.Raw
    timestamp: str


class _Deal(msgspec.Struct, frozen=True):
    """A deal as the room of accounts tells it, as far as it is told on."""

    symbol: str
    side: str
    qty: str
    price: str
    executed_at: str


_ticker_of: Final = msgspec.json.Decoder(_Ticker).decode
_signal_of: Final = msgspec.json.Decoder(_Signal).decode
_deal_of: Final = msgspec.json.Decoder(_Deal).decode


def price(ticker: bytes) -> bytes:
    """What is told of a symbol, from its ticker: finished JSON, with null for what the exchange does not say."""
    found = _ticker_of(ticker)
    last = bytes(found.last)
    fields = {
        "price": found.close if last == b"null" else found.last,
        "change": found.change,
        "change_pct": found.percentage,
        "volume": found.baseVolume,
        "high": found.high,
        "low": found.low,
        "open": found.open,
        "close": found.last if bytes(found.close) == b"null" else found.close,
    }
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), bytes(value)) for name, value in fields.items()) + b"}"


def prices(told: Mapping[str, bytes]) -> bytes:
    """The `symbols` of a price update; each value is finished JSON."""
    return b"{" + b",".join(orjson.dumps(symbol) + b":" + each for symbol, each in told.items()) + b"}"


def signal(data: bytes) -> tuple[str, bytes]:
    """Its symbol, and the message of a signal; `data` is what the hub tells of it."""
    found = _signal_of(data)
    said = {
        "type": "signal",
        "signal_type": found.signal_type,
        "symbol": found.symbol,
        "price": orjson.Fragment(bytes(found.price)),
        "quantity": orjson.Fragment(bytes(found.quantity)),
        "confidence": orjson.Fragment(bytes(found.confidence)),
        "timestamp": found.timestamp,
    }
    return found.symbol, orjson.dumps(said)


def trade_executed(deal: bytes) -> tuple[str, bytes]:
    """Its symbol, and the message of an execution of one's own; `deal` is the resource of the OMS."""
    found = _deal_of(deal)
    said = {
        "type": "trade_executed",
        "symbol": found.symbol,
        "side": found.side.upper(),
        "quantity": orjson.Fragment(found.qty),  # a number, with the digits it came with
        "price": orjson.Fragment(found.price),
        "timestamp": found.executed_at,
    }
    return found.symbol, orjson.dumps(said)


def pong() -> bytes:
    return b'{"type":"pong"}'


def authenticated(entered: Entered) -> bytes:
    """Who the connection speaks for from here on, and when it will be asked again."""
    principal, reauthenticate_after_ms = entered
    said = {
        "type": "authenticated",
        "user": principal.user_name,
        "account_ids": sorted(principal.permissions),
        "reauthenticate_after_ms": reauthenticate_after_ms,
    }
    return orjson.dumps(said)


class DashboardCodec:
    """The `Codec` of the dialect. Nothing of a request comes back in its reply, so an echo is always None."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns

    def parse(self, raw: str | bytes, limits: Limits) -> Request:
        """One request, or RequestError. Anything the peer can send ends in one of the two."""
        try:
            request: Request = _requests.decode(raw)
        except UNREADABLE:
            raise RequestError("validation_error", INVALID, None, None) from None
        if isinstance(request, Subscribe | Unsubscribe):
            if request.channel not in CHANNELS:
                raise RequestError("unsupported_channel", f"there is {', '.join(CHANNELS)}", None, None)
            if request.symbols is not None and len(request.symbols) > limits.symbols_per_request_max:
                text = f"more than {limits.symbols_per_request_max} symbols in one message"
                raise RequestError("validation_error", text, None, None)
        return request

    def echo(self, _request: Request) -> Any:
        return None

    def read_echo(self, _raw: str | bytes, _limits: Limits) -> Any:
        return None

    def error(self, failure: TickwireError, _echo: Any, _request_id: str) -> bytes:
        """One sentence is all there is room for: with its code in front, but for what cannot be read."""
        is_plain = failure.code == "validation_error"
        text = failure.message if is_plain else f"{failure.code}: {failure.message}"
        return orjson.dumps({"type": "error", "error": text, "timestamp": moment(self._now_ns())})

    def reauthenticate(self, deadline_ms: int) -> bytes:
        return orjson.dumps({"type": "reauthenticate", "deadline_ms": deadline_ms})

    def server_shutdown(self, deadline_ms: int, reconnect_after_ms: int) -> bytes:
        said = {"type": "server_shutdown", "deadline_ms": deadline_ms, "reconnect_after_ms": reconnect_after_ms}
        return orjson.dumps(said)
