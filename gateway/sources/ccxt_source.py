"""One configured exchange through ccxt.pro: what a client names becomes a key, and a key becomes feeds.

Holds the exchange object, its markets, and which feeds each key needs; feeds are shared by the keys built on them. Must
not know who subscribes or how data is encoded.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping
from functools import partial
from math import ceil
from random import Random
from time import monotonic, time_ns
from typing import Any, Final, NamedTuple

import ccxt.pro
import structlog
from ccxt.base.errors import OperationFailed

from gateway.core.key import Extent, Key
from gateway.core.watch import Policy, State, full_jitter
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.sources import unified
from gateway.sources.bars import INTERVALS_MS, Bars
from gateway.sources.base import Sink, WatchStatus
from gateway.sources.ccxt_feed import CcxtFeed
from gateway.sources.ccxt_poll import FETCHES, PollFeed, fetch
from gateway.sources.ccxt_tapped import tapped
from gateway.sources.channels import BookLevels, Candles, Quotes, Trades
from gateway.sources.config import ExchangeConfig
from gateway.sources.feed import Consumer, Feed, FeedId, FeedSettings, since_ns
from gateway.sources.quirks import has_best_price_stream

log = structlog.get_logger(__name__)

LIVENESS_PERIOD_S: Final = 2.0
QUIET_START_MS: Final = 600_000  # a subscription that brings nothing for this long is made anew
MARKETS_BACKOFF_MS: Final = (500, 30_000)  # first and longest jitter after markets could not be loaded, on top of
MARKETS_PAUSE_MS: Final = 250  # which is the least
MARKETS_PATIENCE_S: Final = 2.0  # a client's: it has other exchanges, and other requests, which are answered in order
MARKETS_LATE_MS: Final = 1_000  # when to ask again for markets that were not there by then

HAS: Final = {
    "trades": "watchTrades",
    "book": "watchOrderBook",
    "ticker": "watchTicker",
    "bidask": "watchBidsAsks",
    "ohlcv": "watchOHLCV",
}


class Held(NamedTuple):
    """An acquired key."""

    consumer: Consumer
    feeds: list[Feed]


def make_exchange(config: ExchangeConfig) -> Any:
    """The ccxt.pro object with taps, not connected to anything."""
    klass = getattr(ccxt.pro, config.klass, None)
    if config.klass not in ccxt.pro.exchanges or klass is None:
        near = difflib.get_close_matches(config.klass, ccxt.pro.exchanges, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise TickwireError("validation_error", f"ccxt.pro has no exchange {config.klass!r}{hint}")
    exchange = tapped(klass)({"enableRateLimit": True, **config.options})
    if config.sandbox:
        if not exchange.urls.get("test"):
            raise TickwireError("validation_error", f"{config.klass!r} has no sandbox", details={"setting": "sandbox"})
        exchange.set_sandbox_mode(True)
    return exchange


class CcxtSource:
    """See `gateway.sources.base.Source`."""

    def __init__(
        self,
        name: str,
        config: ExchangeConfig,
        sink: Sink,
        *,
        limits: Limits | None = None,
        rng: Random | None = None,
        exchange: Any = None,
    ) -> None:
        """`exchange`: one that was made elsewhere (`make_exchange`, `replay.offline`)."""
        self.name = name
        self.config = config
        self.exchange = exchange or make_exchange(config)
        self.exchange.settle = sink.settle
        self._sink = sink
        self._limits = limits or Limits()
        self._rng = rng or Random()  # noqa: S311  # jitter, not a secret
        self._markets = SharedMarkets(self.exchange, name, self._rng)
        self._feeds: dict[FeedId, Feed] = {}
        self._leaving: dict[FeedId, asyncio.Task[None]] = {}
        self._held: dict[Key, Held] = {}
        self._liveness: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._liveness = asyncio.create_task(self._watch_connections(), name=f"liveness {self.name}")
        while True:
            try:
                await self._markets.get()
            except TickwireError:  # why, they have logged
                await asyncio.sleep(self._markets.retry_in_s)
            else:
                return

    async def close(self) -> None:
        for key in list(self._held):
            self.release(key)
        if self._liveness is not None:
            self._liveness.cancel()
        self._markets.close()
        for tap in self.exchange.taps():
            self.exchange.drop(tap.client)  # all at once; nothing is left to un-watch
        if self._leaving:
            await asyncio.wait(self._leaving.values())
        await self.exchange.close()

    # Names

    async def resolve(self, channel: str, symbol: str, variant: str) -> Key:
        variant = self._variant(channel, variant)
        return self._key(await self._markets.soon(), channel, symbol, variant)

    @property
    def answers_at_once(self) -> bool:
        return bool(self.exchange.markets)

    def known(self, channel: str, symbol: str, variant: str) -> Key:
        return self._key(self.exchange.markets, channel, symbol, self._variant(channel, variant))

    def _key(self, markets: Mapping[str, Any], channel: str, symbol: str, variant: str) -> Key:
        if symbol not in markets:
            raise TickwireError("unknown_symbol", f"{self.name} has no market {symbol!r}")
        key = Key(self.name, channel, markets[symbol]["symbol"], variant)
        if not self._feed_ids(key):
            raise TickwireError("unsupported_channel", f"{self.name} offers no {channel} {variant}".rstrip())
        return key

    def _variant(self, channel: str, variant: str) -> str:
        if channel in unified.KINDS:
            extent = Extent.read(variant)
            if self._can_watch(unified.KINDS[channel]):
                extent = extent._replace(period_ms=0)  # one key for everybody, however often they want to hear of it
            return str(extent)
        if channel == "book":
            depth_max = self._limits.book_depth_max
            if not (variant.isascii() and variant.isdigit() and 1 <= int(variant) <= depth_max):
                raise TickwireError("validation_error", f"depth must be 1 to {depth_max}, not {variant!r}")
            return str(int(variant))
        if channel == "bars":
            offered = {**INTERVALS_MS, **(self.exchange.timeframes or {})}
            if variant not in offered:
                details = {"timeframes": list(offered)}
                raise TickwireError("validation_error", f"{self.name} has no timeframe {variant!r}", details=details)
            return variant
        if variant:
            raise TickwireError("validation_error", f"{channel} have no variant {variant!r}")
        return ""

    def _can_watch(self, kind: str) -> bool:
        return bool(self.exchange.has.get(HAS[kind]))

    def _can(self, kind: str) -> bool:
        return self._can_watch(kind) or (kind in FETCHES and bool(self.exchange.has.get(FETCHES[kind].has)))

    def _feed_ids(self, key: Key) -> list[FeedId]:
        """What a key is built on; empty: the exchange does not offer it."""
        if key.channel in unified.KINDS:
            kind, timeframe = unified.KINDS[key.channel], Extent.read(key.variant).timeframe
            offered = self._can(kind) and (not timeframe or timeframe in (self.exchange.timeframes or {}))
            return [FeedId(kind, key.symbol, timeframe)] if offered else []
        if key.channel == "quotes":
            kinds = ["bidask", "ticker"]
            spot = bool(self.exchange.markets[key.symbol].get("spot"))
            if not (has_best_price_stream(self.config.klass, spot=spot) and all(map(self._can_watch, kinds))):
                kinds = ["bidask"] if self._can_watch("bidask") and not self._can_watch("ticker") else ["ticker"]
            return [FeedId(kind, key.symbol) for kind in kinds if self._can(kind)]
        if key.channel == "bars" and not (key.variant in INTERVALS_MS and self._can("trades")):
            offered = self._can("ohlcv") and key.variant in (self.exchange.timeframes or {})
            return [FeedId("ohlcv", key.symbol, key.variant)] if offered else []
        kind = "trades" if key.channel == "bars" else key.channel
        return [FeedId(kind, key.symbol)] if self._can(kind) else []

    # Watches

    def acquire(self, key: Key) -> None:
        assert key not in self._held, key
        identities = self._feed_ids(key)
        make = unified.CONSUMERS.get(key.channel)
        consumer = self._consumer(key, identities) if make is None else make(key, self._sink)
        feeds = [self._feed(identity, key, consumer) for identity in identities]
        self._held[key] = Held(consumer, feeds)
        for feed in feeds:
            feed.consumers.append(consumer)
            self._pace(feed)

    def release(self, key: Key) -> None:
        consumer, feeds = self._held.pop(key)
        if isinstance(consumer, Bars):
            consumer.close()
        for feed in feeds:
            feed.consumers.remove(consumer)
            if not feed.consumers:
                del self._feeds[feed.id]
                task = self._leaving[feed.id] = feed.close()
                task.add_done_callback(partial(self._left, feed.id))
            else:
                self._pace(feed)

    def _pace(self, feed: Feed) -> None:
        """A feed that is polled is read as often as the most impatient of its keys wants it."""
        if isinstance(feed, PollFeed):
            keys = [key for key, held in self._held.items() if feed in held.feeds]
            wanted_ms = [Extent.read(key.variant).period_ms if key.channel in unified.KINDS else 0 for key in keys]
            feed.pace(min(each or self.config.poll_interval_ms for each in wanted_ms))

    def _left(self, identity: FeedId, task: asyncio.Task[None]) -> None:
        if self._leaving.get(identity) is task:
            del self._leaving[identity]

    def _consumer(self, key: Key, identities: list[FeedId]) -> Consumer:
        if key.channel == "quotes":
            return Quotes(key, self._sink, split=len(identities) > 1)
        if key.channel == "trades":
            return Trades(key, self._sink)
        if key.channel == "book":
            return BookLevels(key, self._sink)
        identity = identities[0]
        if identity.kind == "ohlcv":
            return Candles(key, self._sink)
        if not self.exchange.has.get(FETCHES["trades"].has):
            return Bars(key, self._sink, None)
        return Bars(key, self._sink, lambda: fetch(self.exchange, self.config.klass, identity))

    def _feed(self, identity: FeedId, key: Key, consumer: Consumer) -> Feed:
        """The feed that runs, or a new one."""
        feed = self._feeds.get(identity)
        depth = 0
        if identity.kind == "book":
            depth = Extent.read(key.variant).size if key.channel in unified.KINDS else int(key.variant)
        if feed is not None:
            if isinstance(feed, CcxtFeed) and feed.deepen(depth):
                return feed
            # Not within this call: the hub is about to count the subscriber in.
            asyncio.get_running_loop().call_soon(self._catch_up, feed, consumer)
            return feed
        feed = self._feeds[identity] = self._new_feed(identity, key.channel)
        if isinstance(feed, CcxtFeed):
            feed.deepen(depth)
        feed.start(self._leaving.get(identity))
        return feed

    def _catch_up(self, feed: Feed, consumer: Consumer) -> None:
        """A late consumer starts from the present state; of trades there is none."""
        if (
            feed.last is not None
            and feed.last_ns is not None
            and feed.id.kind != "trades"
            and consumer in feed.consumers
        ):
            consumer.update(feed.id.kind, feed.last, feed.last_ns)

    def _new_feed(self, identity: FeedId, channel: str) -> Feed:
        config = self.config
        settings = FeedSettings(
            exchange=self.name,
            klass=config.klass,
            policy=self._policy(identity.kind, channel),
            rng=self._rng,
            trades_missed_ms=config.trades_missed_ms,
            book_contradiction_ms=config.book_contradiction_ms,
            book_crossed_ms=config.book_crossed_ms,
            pause=self.exchange.pause,
            siblings=self._feeds,
        )
        if self._can_watch(identity.kind):
            return CcxtFeed(identity, settings, self.exchange)
        return PollFeed(identity, settings, self.exchange, config.poll_interval_ms)

    def _policy(self, kind: str, channel: str) -> Policy:
        """A book is sent whole at the start; of anything else a quiet market may have nothing to say for long.

        That the connection lives, and that a refusal is heard, is checked apart.
        """
        silence_ms = self.config.stale_after("trades" if kind == "trades" else unified.LIKE.get(channel, channel))
        start_ms = self.config.book_start_ms if kind == "book" else QUIET_START_MS
        return Policy(silence_ms=silence_ms, start_ms=start_ms)

    async def _watch_connections(self) -> None:
        while True:
            await asyncio.sleep(min(LIVENESS_PERIOD_S, self.config.connection_silence_ms / 3000))
            now_ns = time_ns()
            for tap in self.exchange.taps():
                await tap.check(now_ns, self.config.connection_silence_ms)

    # Reports

    def status(self) -> list[WatchStatus]:
        return [self._status(key, held.feeds) for key, held in self._held.items()]

    @staticmethod
    def _status(key: Key, feeds: list[Feed]) -> WatchStatus:
        """A key is as well as its worst feed."""
        order = (State.LIVE, State.STARTING, State.STALE, State.BACKOFF)
        worst = max(feeds, key=lambda feed: order.index(feed.watch.state))
        return WatchStatus(
            key=key,
            state=worst.watch.state.value,
            since_ns=since_ns(worst),
            last_update_ns=max((feed.last_ns for feed in feeds if feed.last_ns is not None), default=None),
            updates=sum(feed.updates for feed in feeds),
            errors=sum(feed.errors for feed in feeds),
            restarts=sum(feed.restarts for feed in feeds),
        )


class SharedMarkets:
    """An exchange's markets, loaded once however many ask at once; after a failure, not asked again for a while."""

    def __init__(self, exchange: Any, name: str, rng: Random) -> None:
        self._exchange = exchange
        self._name = name
        self._rng = rng
        self._loading: asyncio.Task[Mapping[str, Any]] | None = None
        self._since_s = 0.0  # when that began
        self._failures = 0
        self._retry_s = 0.0
        self._error: TickwireError | None = None

    async def get(self) -> Mapping[str, Any]:
        """Markets by unified symbol, or TickwireError exchange_unavailable or exchange_error."""
        if self._exchange.markets:
            markets: Mapping[str, Any] = self._exchange.markets
            return markets
        if self._error is not None and self.retry_in_s:
            raise self._refusal(self._error.code, self._error.message)
        if self._loading is None or self._loading.done():  # done: its callers had all given up
            self._loading = asyncio.create_task(self._load())
            self._since_s = monotonic()
        try:
            # Shielded: one caller who gives up must not take the others along.
            return await asyncio.shield(self._loading)
        finally:
            if self._loading is not None and self._loading.done():
                self._loading = None

    async def soon(self) -> Mapping[str, Any]:
        """`get`, but exchange_unavailable once the markets have been on their way for too long, for all who wait."""
        if self._exchange.markets:
            return await self.get()
        is_loading = self._loading is not None and not self._loading.done()
        patience_s = MARKETS_PATIENCE_S - (monotonic() - self._since_s if is_loading else 0)
        try:
            async with asyncio.timeout(patience_s):
                return await self.get()
        except TimeoutError:
            message = f"{self._name}: its markets are still being loaded"
            raise TickwireError("exchange_unavailable", message, retry_after_ms=MARKETS_LATE_MS) from None

    @property
    def retry_in_s(self) -> float:
        """How long the exchange is left in peace yet."""
        return max(0.0, self._retry_s - monotonic())

    def close(self) -> None:
        if self._loading is not None:
            self._loading.cancel()

    async def _load(self) -> Mapping[str, Any]:
        try:
            markets: Mapping[str, Any] = await self._exchange.load_markets()
        except Exception as error:  # also what is no error of ccxt's: a reply it stumbles over
            code = "exchange_unavailable" if isinstance(error, OperationFailed) else "exchange_error"
            self._error = self._failed(code, f"{self._name}: markets could not be loaded: {type(error).__name__}")
            # ccxt's own text names the request; what the network said of it is the cause.
            why = " <- ".join(f"{type(each).__name__}: {each}" for each in (error, error.__cause__) if each is not None)
            log.warning("markets not loaded", exchange=self._name, error=why, retry_ms=round(self.retry_in_s * 1000))
            raise self._error from error
        self._failures, self._error = 0, None
        log.info("markets loaded", exchange=self._name, markets=len(markets))
        return markets

    def _failed(self, code: str, message: str) -> TickwireError:
        backoff_ms = full_jitter(*MARKETS_BACKOFF_MS, self._failures, self._rng.uniform)
        self._retry_s = monotonic() + self._exchange.pause.rest_s + (MARKETS_PAUSE_MS + backoff_ms) / 1000
        self._failures += 1
        return self._refusal(code, message)

    def _refusal(self, code: str, message: str) -> TickwireError:
        retry_after_ms = max(1, ceil(self.retry_in_s * 1000))
        return TickwireError(code, message, retry_after_ms=retry_after_ms)
