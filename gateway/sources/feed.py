"""One upstream reading and the consumers built on it: subscribe, watch over it, lose it, subscribe again.

Holds the life of a feed; how one subscribes is the subclasses' (a ccxt watch, a poll). Must not know keys or encodings.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from random import Random
from time import monotonic, time_ns
from typing import Any, NamedTuple, Protocol

import structlog

from gateway.core.watch import Action, Event, Policy, State, Watch
from gateway.sources.base import Reason
from gateway.sources.guard import BookGuard, Verdict
from gateway.sources.pause import TOO_MUCH, Pause
from gateway.sources.quirks import CONSECUTIVE_TRADE_IDS, LAST_IS_NO_TRADE, WHOLE_BOOK
from gateway.sources.tape import Tape
from gateway.sources.unpack import Payload

log = structlog.get_logger(__name__)

MOVES_MIN = 3  # of the last price without a trade: one may be told behind its trade, and one ahead of it


class FeedId(NamedTuple):
    """What is read: a kind (`trades`, `book`, `ticker`, `bidask`, `ohlcv`), ccxt's symbol, a timeframe for candles."""

    kind: str
    symbol: str
    timeframe: str = ""


class Consumer(Protocol):
    """Makes one key's updates out of one or several feeds."""

    def update(self, kind: str, payload: Payload, t_in: int) -> None: ...
    def lost(self, kind: str, reason: Reason) -> None: ...


class FeedSettings(NamedTuple):
    """What every feed of a source is made with."""

    exchange: str  # configured name, for logs
    klass: str  # ccxt's id
    policy: Policy
    rng: Random
    trades_missed_ms: int
    book_contradiction_ms: int
    book_crossed_ms: int
    pause: Pause  # of the exchange
    siblings: Mapping[FeedId, Feed]  # the source's feeds: a market's trades testify about its book


# What is left of a payload that may be served, at this time (ms); None: nothing.
Admit = Callable[[Any, float], Payload | None]


class Feed(ABC):
    """Everything here runs on the loop's thread; `deliver` and `fail` are called from wherever data arrives."""

    polled = False

    def __init__(self, identity: FeedId, settings: FeedSettings) -> None:
        self.id = identity
        self.consumers: list[Consumer] = []
        self.updates = 0
        self.errors = 0
        self.restarts = 0
        self.refusals = 0  # errors in a row without an update between them
        self.last_ns: int | None = None
        self.last: Payload | None = None  # what a late consumer starts from
        self.settings = settings
        self.watch = Watch(settings.policy, settings.rng, _now_ms())
        self.log = log.bind(exchange=settings.exchange, feed=identity.kind, symbol=identity.symbol)
        self._tape = Tape(consecutive=settings.klass in CONSECUTIVE_TRADE_IDS, polled=self.polled)
        self._guard = self._new_guard()
        self._whole_book = settings.klass in WHOLE_BOOK and not self.polled
        self._price: float | None = None  # the last one that a ticker told
        self._traded_ms = -math.inf  # when a trade was told; what the price does soon after it may be its own doing
        self._moves = 0  # of the last price since then, each of which a trade should have made
        self._moved_ms = 0.0  # when the first of them was seen
        checks: dict[str, Admit] = {
            "trades": self._admit_trades, "book": self._admit_book, "ticker": self._admit_ticker,
        }  # fmt: skip
        self._admit = checks.get(identity.kind)
        self._stop = asyncio.Event()  # the present subscription is over
        self._closed = asyncio.Event()  # and there will be no other
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def subscribe(self) -> None:
        """Ask upstream; from then on `deliver` is called. Cancelled when the subscription is over."""

    @property
    def waits_to_ask(self) -> bool:
        """The exchange has not heard of this subscription yet: it is dialled, and messages wait for rate limits."""
        return False

    @abstractmethod
    async def unsubscribe(self) -> None:
        """Leave nothing of the subscription behind, whatever state it is in."""

    # Life

    def start(self, after: asyncio.Task[None] | None) -> None:
        """Begin; `after`: a predecessor that is still leaving."""
        self._task = asyncio.create_task(self._run(after), name=f"feed {self.id}")
        self._arm()

    def close(self) -> asyncio.Task[None]:
        """No update comes after this call; the task ends when upstream is released."""
        assert self._task is not None
        self._closed.set()
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        return self._task

    async def _run(self, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait([after])
        while not self._closed.is_set():
            if self.watch.state is State.BACKOFF:
                await self._pause()
                continue
            self._stop.clear()
            self._moves = 0
            opening = asyncio.create_task(self.subscribe())
            opening.add_done_callback(self._opened)
            await self._stop.wait()
            opening.cancel()
            await asyncio.wait([opening])
            try:
                await self.unsubscribe()
            except Exception:
                self.log.exception("unsubscribing failed")
            self.restarts += 1

    def _opened(self, opening: asyncio.Task[None]) -> None:
        if not opening.cancelled() and (error := opening.exception()) is not None:
            self.fail(error)

    async def _pause(self) -> None:
        """Sleep until the backoff is over, or the feed is closed."""
        while (now_ms := _now_ms()) < self.watch.retry_ms:
            try:
                await asyncio.wait_for(self._closed.wait(), (self.watch.retry_ms - now_ms) / 1000)
            except TimeoutError:
                continue
            return
        self.watch.tick(now_ms)
        self._arm()

    # What happens to it

    def deliver(self, payload: Payload, t_in: int) -> None:
        """Pass on what is new; called in the same turn of the loop that parsed it."""
        watch = self.watch
        if watch.state is State.BACKOFF or self._stop.is_set():
            return  # the tail of a subscription already given up
        now_ms = _now_ms()
        if watch.state is not State.LIVE:
            self._went_live(now_ms)
        watch.update(now_ms)
        try:
            if self._admit is not None:
                payload = self._admit(payload, now_ms)
                if payload is None:
                    return
            self.last = payload
            self.last_ns = t_in
            self.updates += 1
            for consumer in self.consumers:
                consumer.update(self.id.kind, payload, t_in)
        except Exception as error:
            self.log.exception("update not understood")
            self.fail(error, "resync")

    def fail(self, error: BaseException | str, reason: Reason = "upstream") -> None:
        """This subscription is of no use any more."""
        if self._stop.is_set() or self.watch.state is State.BACKOFF:
            return
        self.errors += 1
        rest_ms = 0.0
        if isinstance(error, TOO_MUCH):  # which says nothing against the connection
            rest_ms = self.settings.pause.rest_s * 1000
        else:
            self.refusals += 1
        self._do(self.watch.on(Event.FAILED, _now_ms(), rest_ms), reason)
        retry_ms = round(self.watch.retry_ms - self.watch.since_ms)
        kind = type(error).__name__ if isinstance(error, BaseException) else "data"
        self.log.warning("feed lost", error=f"{kind}: {error}", reason=reason, retry_ms=retry_ms)

    def testify(self, price: float, ts_ms: int | None, now_ms: float) -> None:
        """A trade of this book's market printed."""
        if self.watch.state is State.LIVE and self._guard.trade(price, ts_ms, now_ms) is Verdict.BROKEN:
            self.fail(self._guard.why, "resync")

    def moved(self, now_ms: float) -> None:
        """The last price of these trades' market has moved: somebody has traded."""
        missed_ms = self.settings.trades_missed_ms
        if self.polled or not missed_ms or self.watch.state is State.BACKOFF:
            return  # what is polled answers, or fails
        if self.settings.klass in LAST_IS_NO_TRADE:
            return  # nobody has
        if self.waits_to_ask:
            self._moves = 0  # nobody has been asked for the trades that made them
            return
        if now_ms - self._traded_ms < missed_ms:
            return
        if not self._moves:
            self._moved_ms = now_ms
        self._moves += 1
        if self._moves >= MOVES_MIN and now_ms - self._moved_ms >= missed_ms:
            self.fail(f"the last price has moved for {missed_ms} ms, and no trade was told")

    def _went_live(self, now_ms: float) -> None:
        self.refusals = 0
        self._tape.restart()
        self._guard = self._new_guard()
        self.watch.on(Event.UPDATE, now_ms)
        self._arm()
        self._moves = 0
        self.log.info("feed live")

    def _do(self, action: Action, reason: Reason) -> None:
        if Action.LOSE in action:
            self._announce(reason)
        if Action.STOP in action:
            self._stop.set()
        self._arm()

    def _announce(self, reason: Reason) -> None:
        self.last = None
        for consumer in self.consumers:
            consumer.lost(self.id.kind, reason)

    # Time

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_ms = self.watch.deadline_ms
        if deadline_ms is None or self.watch.state is State.BACKOFF or self._closed.is_set():
            return
        delay_s = max(0.001, (deadline_ms - _now_ms()) / 1000)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        was = self.watch.state
        action = self.watch.tick(_now_ms())
        if self.watch.state is was:
            self._arm()
            return
        self.errors += 1
        self.log.warning("feed silent", state=self.watch.state.value)
        self._do(action, "upstream")

    # What is checked before it is served

    def _new_guard(self) -> BookGuard:
        settings = self.settings
        return BookGuard(contradiction_ms=settings.book_contradiction_ms, crossed_ms=settings.book_crossed_ms)

    def _admit_trades(self, trades: list[dict[str, Any]], now_ms: float) -> Payload | None:
        new, hole = self._tape.take(trades)
        if new:
            self._moves = 0
            self._traded_ms = now_ms
        if hole:
            self.errors += 1
            self._announce("upstream")
        book = self.settings.siblings.get(FeedId("book", self.id.symbol))
        if book is not None and new:
            trade = new[-1]
            book.testify(trade["price"], trade.get("timestamp"), now_ms)
        return new or None

    def _admit_ticker(self, ticker: dict[str, Any], now_ms: float) -> Payload:
        before, self._price = self._price, ticker.get("last")
        trades = self.settings.siblings.get(FeedId("trades", self.id.symbol))
        if trades is not None and None not in (before, self._price) and self._price != before:
            trades.moved(now_ms)
        return ticker

    def _admit_book(self, book: dict[str, Any], now_ms: float) -> Payload | None:
        if self._whole_book:
            # Our caller may be followed by ccxt's own `limit()`: let it find nothing to cut.
            book["bids"]._depth = book["asks"]._depth = 1 << 62
        elif (limit := getattr(book, "limit", None)) is not None:
            limit()
        guard = self._guard
        verdict = guard.book(book["bids"], book["asks"], book.get("nonce"), book.get("timestamp"), now_ms)
        if verdict is Verdict.SERVE:
            return book
        if verdict is Verdict.BROKEN:
            self.fail(guard.why, "resync")
        else:
            self.last = None  # it is the live book: nobody may catch up from it while it is crossed
            delay_s = self.settings.book_crossed_ms / 1000 + 0.01
            asyncio.get_running_loop().call_later(delay_s, self._recheck, guard)
        return None

    def _recheck(self, guard: BookGuard) -> None:
        """A crossed book may stay so without another message."""
        if guard is self._guard and self.watch.state is State.LIVE and guard.check(_now_ms()) is Verdict.BROKEN:
            self.fail(guard.why, "resync")


def _now_ms() -> float:
    return monotonic() * 1000


def since_ns(feed: Feed) -> int:
    """When the feed's state began, as time of day."""
    return time_ns() - int((_now_ms() - feed.watch.since_ms) * 1e6)
