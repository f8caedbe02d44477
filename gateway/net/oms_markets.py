"""The market data of one connection of the oms dialect: which account has which channel of which symbol.

Holds that table and the limits on it. Synchronous; must not know who may see what, nor how a source checks a symbol:
keys come in resolved. A channel of a symbol is subscribed once for an account: subscribing to it again replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from gateway.core.key import PUBLIC_CHANNELS, Delivery, Key, StreamId, stream_id, tier_of
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.wire import oms

if TYPE_CHECKING:
    from _speedups.outbox import Outbox
    from gateway.core.hub import Hub
    from gateway.wire.oms_forms import MarketForm, OmsForms


class Slot(NamedTuple):
    """What is subscribed once."""

    account_id: int
    symbol: str  # as the source says it
    channel: str  # as the client does


class Active(NamedTuple):
    """Where it comes from, and as what."""

    at: StreamId
    form: MarketForm
    spelling: str  # of the symbol


class OmsMarkets:
    """The table of one connection."""

    __slots__ = ("_active", "_deflate", "_forms", "_hub", "_limits", "_outbox")

    def __init__(self, hub: Hub, forms: OmsForms, limits: Limits, outbox: Outbox, *, deflate: bool) -> None:
        self._hub = hub
        self._forms = forms
        self._limits = limits
        self._outbox = outbox
        self._deflate = deflate
        self._active: dict[Slot, Active] = {}

    def __len__(self) -> int:
        return len(self._active)

    @property
    def account_ids(self) -> set[int]:
        return {slot.account_id for slot in self._active}

    def subscribe(self, request: oms.SubscribeMarket, keys: Mapping[str, Key]) -> bytes:
        """The reply; states leave behind it. `keys` are by channel. Raises TickwireError: then nothing new is there."""
        asked = request.payload
        tier_ms = tier_of(asked.interval_ms)
        form = self._forms.of(asked.account_id, deflate=self._deflate)
        wanted = {
            Slot(asked.account_id, key.symbol, channel): Active(_stream(key, tier_ms), form, asked.symbol)
            for channel, key in keys.items()
        }
        if len(self._active.keys() | wanted.keys()) > self._limits.subscriptions_per_connection_max:
            raise TickwireError("too_many_subscriptions", "this connection has as many streams as it may have")
        self._drop([slot for slot, active in wanted.items() if self._is_there(slot, active)])
        joined: list[Active] = []
        try:
            for active in wanted.values():
                self._join(active)
                joined.append(active)
        except TickwireError:
            for active in joined:
                self._leave(active)
            raise
        self._drop([slot for slot in wanted if slot in self._active])  # only now: a refusal leaves what there was
        self._active.update(wanted)
        return oms.subscribed_market(request, list(keys))

    def _is_there(self, slot: Slot, wanted: Active) -> bool:
        """The very stream is subscribed: it begins anew, which cannot fail."""
        active = self._active.get(slot)
        return active is not None and active.at == wanted.at

    def unsubscribe(self, request: oms.UnsubscribeMarket) -> bytes:
        """The reply: how many channels are no longer subscribed."""
        named = request.payload
        gone = [
            slot
            for slot, active in self._active.items()
            if named.account_id in (None, slot.account_id)
            and named.symbol in (None, slot.symbol, active.spelling)
            and (named.channels is None or slot.channel in named.channels)
        ]
        self._drop(gone)
        return oms.unsubscribed_market(request, len(gone))

    def drop(self, account_id: int) -> None:
        """This account is not to be told of any more."""
        self._drop([slot for slot in self._active if slot.account_id == account_id])

    def _drop(self, slots: list[Slot]) -> None:
        for slot in slots:
            self._leave(self._active.pop(slot))

    def _join(self, active: Active) -> None:
        at = active.at
        self._hub.subscribe(self._outbox, at.key, form=active.form, tier_ms=at.tier_ms, batch=at.batch)

    def _leave(self, active: Active) -> None:
        self._hub.unsubscribe(self._outbox, active.at, active.form)


def _stream(key: Key, tier_ms: int) -> StreamId:
    """What is appended to gathers and is told as one list."""
    return stream_id(key, tier_ms, batch=PUBLIC_CHANNELS[key.channel].delivery is Delivery.APPEND)
