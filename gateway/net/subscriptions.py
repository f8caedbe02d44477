"""What one connection of the stream dialect is subscribed to, and how its requests change that.

Holds the table of streams by what identifies them for a client, and the limits on it. Synchronous; must not know
sockets, the order of requests, or how a source checks a symbol: keys come in resolved.

A client has one stream per channel, exchange and symbol (and timeframe, for bars: their data says which it is).
Subscribing to a stream again with other options replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from gateway.core.key import EVERY, OWN, Key, stream_id, tier_of
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.wire import stream
from gateway.wire.forms import variant_field

if TYPE_CHECKING:
    from _speedups.outbox import Outbox
    from gateway.core.hub import Hub, Subscribed
    from gateway.wire.forms import Forms


class Listing(NamedTuple):
    """What a client's spelling of a symbol means."""

    exchange: str
    symbol: str


class Slot(NamedTuple):
    """What makes two streams of one connection different; the listing is as the source gave it."""

    channel: str
    listing: Listing
    timeframe: str  # empty but for bars


class Active(NamedTuple):
    """One stream of the connection and the options it was subscribed with."""

    subscription_id: str
    spelling: str
    asked: Listing  # what the spelling says; a source may have given the symbol its usual name
    request: stream.Subscribe
    at: Subscribed


class Spelling:
    """Reads `exchange:symbol`. Symbols may hold ':' themselves (`BTC/USDT:USDT`), so only a known name is a prefix."""

    def __init__(self, exchanges: Mapping[str, object], default: str | None) -> None:
        self._exchanges = exchanges
        self._default = default

    def read(self, spelling: str) -> Listing:
        prefix, colon, symbol = spelling.partition(":")
        if colon and symbol and prefix in self._exchanges:
            return Listing(prefix, symbol)
        return Listing(self._default or "", spelling)


def variant_of(request: stream.Subscribe) -> str:
    """The variant of the key a subscribe asks for."""
    return {"bars": request.timeframe, "book": str(request.depth)}.get(request.channel, "")


def slot_of(key: Key) -> Slot:
    return Slot(key.channel, Listing(key.exchange, key.symbol), key.variant if key.channel == "bars" else "")


class Subscriptions:
    """The streams of one connection."""

    __slots__ = ("_active", "_forms", "_hub", "_limits", "_outbox", "_requests", "_spelling")

    def __init__(self, hub: Hub, forms: Forms, limits: Limits, spelling: Spelling, outbox: Outbox) -> None:
        self._hub = hub
        self._forms = forms
        self._limits = limits
        self._spelling = spelling
        self._outbox = outbox
        self._active: dict[Slot, Active] = {}
        self._requests = 0

    def __len__(self) -> int:
        return len(self._active)

    def subscribe(
        self,
        request: stream.Subscribe,
        keys: Mapping[str, Key],
        refusals: Mapping[str, TickwireError],
        *,
        deflate: bool,
        guest: bool = False,
    ) -> bytes:
        """The ack: replays, gaps and snapshots leave behind it. `keys` and `refusals` are by the client's spelling."""
        self._requests += 1
        subscription_id = f"s{self._requests}"
        joined: dict[Slot, Active] = {}
        states: dict[str, stream.StreamState] = {}
        tier_ms = tier_of(request.throttle_ms)
        errors = {spelling: error.code for spelling, error in refusals.items()}
        retry_after_ms = {
            spelling: error.retry_after_ms for spelling, error in refusals.items() if error.retry_after_ms is not None
        }
        for spelling, key in keys.items():
            slot = slot_of(key)
            if slot not in joined:  # else the client spelled one stream in two ways
                try:
                    at = self._join(slot, spelling, key, request, tier_ms, deflate=deflate, guest=guest)
                except TickwireError as error:
                    errors[spelling] = error.code
                    continue
                asked = self._spelling.read(spelling)
                joined[slot] = self._active[slot] = Active(subscription_id, spelling, asked, request, at)
            at = joined[slot].at
            tier_ms = at.id.tier_ms
            states[spelling] = stream.StreamState(at.epoch, at.sequence, at.recovered, at.replayed)
        return stream.subscribed(request, subscription_id, tier_ms, states, errors, retry_after_ms)

    def _join(
        self,
        slot: Slot,
        spelling: str,
        key: Key,
        request: stream.Subscribe,
        tier_ms: int,
        *,
        deflate: bool,
        guest: bool,
    ) -> Subscribed:
        previous = self._active.get(slot)
        if previous is None and len(self._active) >= self._limits.subscriptions_per_connection_max:
            raise TickwireError("too_many_subscriptions", "this connection has as many streams as it may have")
        replaces = previous is not None and previous.at.id == stream_id(key, tier_ms, batch=request.batch)
        if previous is not None and replaces:
            self._leave(previous)
        position = request.resume.get(spelling)
        form = self._forms.of(request.encoding, request.compression, deflate=deflate, prefixed=spelling != key.symbol)
        at = self._hub.subscribe(
            self._outbox,
            key,
            form=form,
            tier_ms=tier_ms,
            batch=request.batch,
            resume=None if position is None else (position.epoch, position.sequence),
            snapshot=request.snapshot,
            guest=guest,
        )
        if previous is not None and not replaces:
            self._leave(previous)  # only now: a refusal leaves what there was
        return at

    def _leave(self, active: Active) -> None:
        self._hub.unsubscribe(self._outbox, active.at.id)

    def unsubscribe(self, request: stream.Unsubscribe) -> bytes:
        """The reply; a symbol that is not subscribed is named in its errors."""
        asked = None if request.symbols is None else {each: self._spelling.read(each) for each in request.symbols}
        left: dict[Listing, str] = {}  # as the client and as the source says it
        for slot in self._find(request.channel, None if asked is None else set(asked.values()), request.timeframe):
            active = self._active.pop(slot)
            self._leave(active)
            left[slot.listing] = left[active.asked] = active.spelling
        if asked is None:
            return stream.unsubscribed(request, list(dict.fromkeys(left.values())), {})
        errors = {each: "unknown_symbol" for each, listing in asked.items() if listing not in left}
        return stream.unsubscribed(request, [each for each in asked if each not in errors], errors)

    def resend(self, request: stream.Resend) -> bytes:
        """The reply; the updates it announces are queued behind it."""
        found = self._find(request.channel, {self._spelling.read(request.symbol)}, request.timeframe)
        if not found:
            raise TickwireError("validation_error", "this connection is not subscribed to that stream")
        if len(found) > 1:
            timeframes = {"timeframes": [slot.timeframe for slot in found]}
            raise TickwireError("validation_error", "say which `timeframe` to resend", details=timeframes)
        active = self._active[found[0]]
        position = self._hub.position(active.at.id)
        if request.epoch is not None and position is not None and request.epoch != position[0]:
            raise TickwireError("validation_error", "that epoch has ended", details={"epoch": position[0]})
        return stream.resent(request, self._hub.resend(self._outbox, active.at.id, request.from_, request.to))

    def listed(self) -> list[stream.Listed]:
        """Every stream, in the order of subscription."""
        return [
            stream.Listed(
                subscription_id=active.subscription_id,
                channel=active.at.id.key.channel,
                symbol=active.spelling,
                exchange=UNSET if active.at.id.key.exchange == OWN else active.at.id.key.exchange,
                throttle_ms=active.at.id.tier_ms,
                batch=active.at.id.batch,
                encoding=active.request.encoding,
                compression=active.request.compression,
                **variant_field(active.at.id.key),
            )
            for active in self._active.values()
        ]

    def kept(self) -> list[stream.Subscribe]:
        """The requests that bring each stream back to where it is."""
        found = []
        for active in self._active.values():
            position = self._hub.position(active.at.id)
            resume = {} if position is None else {active.spelling: stream.Position(*position)}
            symbols = [] if active.spelling == EVERY else [active.spelling]
            found.append(replace(active.request, id=None, symbols=symbols, resume=resume))
        return found

    def _find(self, channel: str, listings: set[Listing] | None, timeframe: str | None) -> list[Slot]:
        return [
            slot
            for slot, active in self._active.items()
            if slot.channel == channel
            and (listings is None or slot.listing in listings or active.asked in listings)
            and (timeframe is None or slot.timeframe in {timeframe, ""})
        ]
