"""A feed that is a ccxt.pro watch: one `watch_*` call to subscribe, and the tap from then on.

Holds how each kind is watched and released. Must not know keys or encodings.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from ccxt.async_support.base.exchange import Exchange

from gateway.core.watch import State
from gateway.sources.ccxt_tap import SUBSCRIBING, Tap
from gateway.sources.feed import Feed, FeedId, FeedSettings
from gateway.sources.quirks import BINANCE, PARAMS, book_limit
from gateway.sources.unpack import UNPACK

UNWATCH_TIMEOUT_S: Final = 10.0  # ccxt sends a few messages a second on one connection


class Way(NamedTuple):
    """How ccxt names one kind."""

    watch: str
    unwatch: str
    cache: str  # the exchange's attribute that keeps what arrived, by symbol


WAYS: Final[dict[str, Way]] = {
    "trades": Way("watch_trades", "un_watch_trades", "trades"),
    "book": Way("watch_order_book", "un_watch_order_book", "orderbooks"),
    "ticker": Way("watch_ticker", "un_watch_ticker", "tickers"),
    "bidask": Way("watch_bids_asks", "un_watch_bids_asks", "bidsasks"),
    "ohlcv": Way("watch_ohlcv", "un_watch_ohlcv", "ohlcvs"),
}


class CcxtFeed(Feed):
    """`depth`: how many levels of a book are asked for; changing it takes a new subscription."""

    def __init__(self, identity: FeedId, settings: FeedSettings, exchange: Any) -> None:
        super().__init__(identity, settings)
        self.depth = 0
        self._exchange = exchange
        self._way = WAYS[identity.kind]
        self._unpack = UNPACK[identity.kind]

    def deepen(self, depth: int) -> bool:
        """Serve books of this depth too; True: that takes a new subscription, which begins by itself."""
        before, self.depth = self.depth, max(self.depth, depth)
        klass = self.settings.klass
        if before == 0 or book_limit(klass, before) == book_limit(klass, self.depth):
            return False
        self.fail(f"a depth of {depth} is asked for", "resync")
        return True

    async def subscribe(self) -> None:
        """Its result is nothing new: the tap has delivered it when the call returns."""
        SUBSCRIBING.set(self)
        self._forget()
        call = getattr(self._exchange, self._way.watch)
        arguments, params = self._arguments()
        if self.id.kind == "book":
            await call(*arguments, limit=book_limit(self.settings.klass, self.depth), params=params)
        else:
            await call(*arguments, params=params)
        if self.watch.state is not State.LIVE:
            raise LookupError("ccxt answered, but nothing this gateway understands")

    @property
    def waits_to_ask(self) -> bool:
        """From loading markets and dialling to the rate limit; what serves us without a message of ours is live."""
        return self.watch.state is not State.LIVE and not any(self in tap.sent for tap in self._exchange.taps())

    async def unsubscribe(self) -> None:
        for tap in self._exchange.taps():
            if not tap.serves(self):
                continue
            others, never_asked = tap.serves_others(self), tap.never_asked(self)
            tap.leave(self)
            self._forget()  # now: what waits for a rate limit on its behalf would hold up others
            if not others or self._wants_another():
                self._exchange.drop(tap.client)
            elif never_asked:
                tap.forget_subscription(self)
            elif not tap.client.closed():
                await self._unwatch(tap)
                self._exchange.drop_idle(tap.client.url)  # the others may have left meanwhile
        self._forget()

    def _wants_another(self) -> bool:
        """Asking again on the same connection did not help, so that a new one is worth the others' interruption. Less
        and less often, the more of them did not help either: at the 2nd, 4th, 8th refusal in a row."""
        return self.refusals > 1 and self.refusals.bit_count() == 1

    def resolved(self, result: Any, t_in: int) -> bool:
        """The tap's call, inside ccxt's handling of the frame."""
        payload = self._unpack(result, self.id.symbol)
        if payload is None:
            return False
        self.deliver(payload, t_in)
        return True

    def rejected(self, error: BaseException) -> None:
        """The tap's call: ccxt gave the subscription up. A checksum or sequence that did not fit is ours to repair."""
        self.fail(error, "resync" if type(error).__name__ in ("ChecksumError", "InvalidNonce") else "upstream")

    def _arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """What watching and un-watching begin with, and their `params`: some of ccxt's methods write into these."""
        kind, symbol, timeframe = self.id
        arguments: list[Any] = [[symbol] if kind == "bidask" else symbol]
        if kind == "ohlcv":
            arguments.append(timeframe)
        return arguments, dict(PARAMS.get((self.settings.klass, kind), {}))

    async def _unwatch(self, tap: Tap) -> None:
        """Leave a connection that others use."""
        kind = self.id.kind
        arguments, params = self._arguments()
        arguments.append(params)
        call = getattr(self._exchange, self._way.unwatch, None)
        if kind == "bidask" and self.settings.klass in BINANCE:
            # There is no un_watch_bids_asks, but the method beneath can.
            arguments = ["unWatchBidsAsks", "bookTicker", [self.id.symbol], {}, True]
            call = self._exchange.watch_multi_ticker_helper
        elif call is None or not can_unwatch(self._exchange, kind):
            call = None
        if call is not None:
            leaving = asyncio.create_task(call(*arguments))
            await asyncio.wait([leaving], timeout=UNWATCH_TIMEOUT_S)
            if leaving.cancel():
                self.log.warning("un-watching failed", error=f"no answer within {UNWATCH_TIMEOUT_S:g} s")
            # Cancelled: the connection is dropped, and nothing is left to un-watch.
            elif not leaving.cancelled() and (error := leaving.exception()) is not None:
                self.log.warning("un-watching failed", error=f"{type(error).__name__}: {error}")
        tap.forget_subscription(self)

    def _forget(self) -> None:
        """Let nothing old be taken for new."""
        if self.id.kind == "book":
            self._exchange.give_up_book(self.id.symbol)
        cache = getattr(self._exchange, self._way.cache, None)
        if cache:
            if self.id.kind == "ohlcv":
                cache.get(self.id.symbol, {}).pop(self.id.timeframe, None)
            else:
                cache.pop(self.id.symbol, None)


def can_unwatch(exchange: Any, kind: str) -> bool:
    """Whether the class does it itself: `has` leaves some out."""
    name = WAYS[kind].unwatch
    own = getattr(type(exchange), name, None)
    return own is not None and own is not getattr(Exchange, name, None)
