"""What may be published: the body of a signal and of a piece of news, and the data that is told of each.

Pure: JSON in, finished JSON out, or a refusal that names the field. Must not know who publishes, nor who is told.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from oms import render
from oms.errors import OmsError
from oms.publications.lexicon import sentiment
from oms.store.rows import ns_of

Channel: TypeAlias = Literal["signals", "news"]
CHANNELS: Final[tuple[Channel, ...]] = ("signals", "news")
EVERY: Final = "*"  # stands for all symbols where they are subscribed, and so is none
SYMBOLS_MAX: Final = 32  # of one piece of news
FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)  # far from where calendars end

Symbol = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,128}\Z")]
Source = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,64}\Z")]
Headline = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,500}\Z")]
Url = Annotated[str, Meta(pattern=r"^https?://[^\x00-\x20\x7f]{1,2000}\Z")]
RequestId = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,128}\Z")]
Amount = Annotated[float, Meta(ge=0, le=1e18)]
Moment = Annotated[datetime, Meta(tz=True, description="ISO 8601 with its UTC offset; now unless given.")]


class Signal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signal. `source` is the name of the user who publishes it unless given."""

    signal_type: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,32}\Z", description="Such as BUY, SELL, CLOSE.")]
    symbol: Symbol
    price: Amount | None = None
    quantity: Amount | None = None
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    source: Source | None = None
    timestamp: Moment | None = None
    request_id: RequestId | None = None


class News(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of news. Without `sentiment` it is what a small lexicon makes of the headline."""

    headline: Headline
    source: Source | None = None
    symbols: Annotated[list[Symbol], Meta(max_length=SYMBOLS_MAX)] = []
    sentiment: Annotated[float, Meta(ge=-1, le=1)] | UnsetType | None = UNSET
    timestamp: Moment | None = None
    url: Url | None = None
    request_id: RequestId | None = None


Body: TypeAlias = Signal | News
BODIES: Final[dict[str, type[Body]]] = {"signals": Signal, "news": News}


class Publication(NamedTuple):
    """One as it is kept and told; `id` is 0 until it is kept."""

    id: int
    channel: Channel
    symbols: tuple[str, ...]
    source: str
    data: bytes  # a finished JSON object
    body_hash: bytes  # of what was given, but for the request's id
    request_id: str | None
    created_ns: int


def parse(channel: str, raw: bytes) -> Body:
    """A body as JSON text. Raises OmsError."""
    kind = BODIES.get(channel)
    if kind is None:
        text = "nothing is published on that channel"
        raise OmsError("unsupported_channel", text, details={"channels": list(CHANNELS)})
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise OmsError("validation_error", str(error)) from None


def made(body: Body, publisher: str, now_ns: int) -> Publication:
    """What is kept and told of a body. Raises OmsError."""
    source = body.source or publisher
    channel: Channel
    symbols: tuple[str, ...]
    if isinstance(body, Signal):
        channel, symbols = "signals", (body.symbol,)
    else:
        channel, symbols = "news", tuple(dict.fromkeys(body.symbols))
    if EVERY in symbols:
        raise OmsError("validation_error", f"symbol: {EVERY!r} stands for all of them")
    data = msgspec.json.encode(_data(body, source, list(symbols), _moment(body.timestamp, now_ns)))
    given = msgspec.structs.replace(body, request_id=None)
    return Publication(
        id=0,
        channel=channel,
        symbols=symbols,
        source=source,
        data=data,
        body_hash=hashlib.sha256(msgspec.json.encode(given)).digest(),
        request_id=body.request_id,
        created_ns=now_ns,
    )


def _data(body: Body, source: str, symbols: list[str], timestamp: str) -> dict[str, Any]:
    """In the order of the protocol's table."""
    if isinstance(body, Signal):
        return {
            "signal_type": body.signal_type,
            "symbol": body.symbol,
            "price": _number(body.price),
            "quantity": _number(body.quantity),
            "confidence": _number(body.confidence),
            "source": source,
            "timestamp": timestamp,
        }
    score = sentiment(body.headline) if body.sentiment is UNSET else body.sentiment
    return {
        "headline": body.headline,
        "source": source,
        "symbols": symbols,
        "sentiment": None if score is None else _number(score),
        "timestamp": timestamp,
        "url": body.url,
    }


def _number(amount: float | None) -> float | int | None:
    """Without the `.0` that whole numbers were not given with."""
    return int(amount) if amount is not None and float(amount).is_integer() else amount


def _moment(given: datetime | None, now_ns: int) -> str:
    if given is None:
        return render.moment(now_ns)
    if not FIRST <= given < LAST:
        raise OmsError("validation_error", "timestamp: must lie in the years 1970 to 2199")
    return render.moment(ns_of(given))
