"""The life of a feed, with a subscription made of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from ccxt.base.errors import RateLimitExceeded

from gateway.core.watch import Policy, State
from gateway.sources import quirks
from gateway.sources.feed import Feed, FeedId, FeedSettings, since_ns
from gateway.sources.pause import Pause
from tests.waiting import until

POLICY = Policy(silence_ms=0, start_ms=0, backoff_ms=5, backoff_max_ms=10)


class Told:
    """A consumer that remembers; `fails`: what it raises at the next update."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.fails: Exception | None = None

    def update(self, _kind: str, payload: Any, _t_in: int) -> None:
        if self.fails is not None:
            fails, self.fails = self.fails, None
            raise fails
        self.calls.append(payload)

    def lost(self, _kind: str, reason: str) -> None:
        self.calls.append(reason)


class Scripted(Feed):
    """Counts what it is asked for; `hold`: keeps `unsubscribe` from returning."""

    def __init__(self, identity: FeedId, settings: FeedSettings) -> None:
        super().__init__(identity, settings)
        self.asked: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.refuse: list[Exception] = []
        self.waits = False

    @property
    def waits_to_ask(self) -> bool:
        return self.waits

    async def subscribe(self) -> None:
        self.asked.append("subscribe")
        if self.refuse:
            raise self.refuse.pop()

    async def unsubscribe(self) -> None:
        self.asked.append("unsubscribe")
        await self.hold.wait()


def settings(
    policy: Policy = POLICY,
    klass: str = "kraken",
    siblings: dict[FeedId, Feed] | None = None,
    *,
    trades_missed_ms: int = 10_000,
) -> FeedSettings:
    siblings = siblings if siblings is not None else {}
    return FeedSettings("x", klass, policy, Random(1), trades_missed_ms, 5_000, 50, Pause(), siblings)


@pytest.fixture
async def feed() -> AsyncIterator[Scripted]:
    feed = Scripted(FeedId("bidask", "BTC/USDT"), settings())
    feed.consumers.append(Told())
    feed.start(None)
    await until(lambda: feed.asked)
    yield feed
    await asyncio.wait([feed.close()])


def calls(feed: Feed) -> list[Any]:
    told = feed.consumers[0]
    assert isinstance(told, Told)
    return told.calls


async def test_updates_pass_and_a_failure_is_told_once(feed: Scripted) -> None:
    feed.deliver(1, 11)
    feed.deliver(2, 12)
    feed.fail(ConnectionError("gone"))
    feed.fail(ConnectionError("gone again"))
    feed.deliver(3, 13)  # the tail of what was given up
    assert calls(feed) == [1, 2, "upstream"]
    assert (feed.updates, feed.errors, feed.last_ns, feed.last) == (2, 1, 12, None)
    await until(lambda: feed.asked == ["subscribe", "unsubscribe", "subscribe"])
    feed.deliver(4, 14)
    assert calls(feed) == [1, 2, "upstream", 4]
    assert feed.restarts == 1
    assert since_ns(feed) > 0


async def test_what_was_never_served_is_not_lost(feed: Scripted) -> None:
    feed.fail(ConnectionError("refused"))
    await until(lambda: feed.asked == ["subscribe", "unsubscribe", "subscribe"])
    assert calls(feed) == []


async def test_a_subscription_that_raises_is_a_failure() -> None:
    feed = Scripted(FeedId("bidask", "BTC/USDT"), settings())
    feed.refuse = [ValueError("no"), ValueError("still no")]
    feed.start(None)
    await until(lambda: feed.asked.count("subscribe") == 3)
    assert (feed.errors, feed.refusals) == (2, 2)
    feed.deliver(1, 1)
    assert feed.refusals == 0
    await asyncio.wait([feed.close()])


async def test_a_feed_that_asked_too_much_keeps_the_pause_and_the_connection() -> None:
    pause = Pause()
    pause.begin(60)
    feed = Scripted(FeedId("book", "BTC/USDT"), settings()._replace(pause=pause))
    feed.refuse = [RateLimitExceeded("429")]
    feed.start(None)
    await until(lambda: feed.asked == ["subscribe", "unsubscribe"])
    assert feed.watch.retry_ms - feed.watch.since_ms >= 59_000
    assert (feed.errors, feed.refusals) == (1, 0)
    await asyncio.wait([feed.close()])


async def test_other_failures_do_not_wait_for_the_pause(feed: Scripted) -> None:
    feed.settings.pause.begin(60)
    feed.fail(ConnectionError("gone"))
    await until(lambda: feed.asked == ["subscribe", "unsubscribe", "subscribe"])


async def test_an_update_that_cannot_be_told_is_a_resync_of_this_feed(feed: Scripted) -> None:
    told = feed.consumers[0]
    assert isinstance(told, Told)
    told.fails = ValueError("a price of minus one")
    feed.deliver(1, 1)
    assert calls(feed) == ["resync"]
    assert feed.watch.state is State.BACKOFF


async def test_nothing_comes_after_close(feed: Scripted) -> None:
    feed.deliver(1, 1)
    feed.close()
    feed.deliver(2, 2)
    feed.fail("late")
    assert calls(feed) == [1]


@pytest.mark.parametrize("when", ["subscribed", "backing off", "unsubscribing"])
async def test_close_at_any_time_unsubscribes_last(when: str) -> None:
    slow = Policy(backoff_ms=60_000, backoff_max_ms=60_000)
    feed = Scripted(FeedId("bidask", "BTC/USDT"), settings(slow))
    feed.start(None)
    await until(lambda: feed.asked)
    if when != "subscribed":
        if when == "unsubscribing":
            feed.hold.clear()
        feed.fail("x")
        await until(lambda: feed.asked[-1] == "unsubscribe")
    task = feed.close()
    feed.hold.set()
    await asyncio.wait_for(task, 5)
    assert feed.asked[-1] == "unsubscribe"


async def test_a_successor_waits_for_its_predecessor() -> None:
    first, second = (Scripted(FeedId("bidask", "BTC/USDT"), settings()) for _ in range(2))
    first.start(None)
    await until(lambda: first.asked)
    first.hold.clear()
    second.start(first.close())
    await until(lambda: first.asked == ["subscribe", "unsubscribe"])
    assert second.asked == []
    first.hold.set()
    await until(lambda: second.asked == ["subscribe"])
    await asyncio.wait([second.close()])


async def test_silence_of_a_live_feed_is_a_loss_and_a_new_subscription_at_once() -> None:
    policy = Policy(silence_ms=20, start_ms=20, backoff_ms=5, backoff_max_ms=10)
    feed = Scripted(FeedId("bidask", "BTC/USDT"), settings(policy))
    feed.consumers.append(Told())
    feed.start(None)
    feed.deliver(1, 1)
    await until(lambda: feed.asked == ["subscribe", "unsubscribe", "subscribe"])
    assert calls(feed) == [1, "upstream"]
    await until(lambda: feed.watch.state is State.BACKOFF)
    await until(lambda: feed.watch.state is State.STARTING)
    assert calls(feed) == [1, "upstream"], "told once"
    await asyncio.wait([feed.close()])


def book(bid: float, ask: float, nonce: int | None = None) -> dict[str, Any]:
    return {"bids": [[bid, 1.0]], "asks": [[ask, 1.0]], "nonce": nonce, "timestamp": None}


async def books() -> Scripted:
    feed = Scripted(FeedId("book", "BTC/USDT"), settings())
    feed.consumers.append(Told())
    feed.start(None)
    await until(lambda: feed.asked)
    return feed


async def test_a_crossed_book_is_not_served_and_then_given_up() -> None:
    feed = await books()
    feed.deliver(book(1, 2), 1)
    feed.deliver(book(2, 2), 2)
    feed.deliver(book(1, 3), 3)
    assert feed.last == book(1, 3)
    feed.deliver(book(3, 3), 4)
    assert calls(feed) == [book(1, 2), book(1, 3)]
    assert feed.last is None, "nor to who comes later"
    await until(lambda: calls(feed)[-1] == "resync")
    await asyncio.wait([feed.close()])


async def test_a_nonce_that_goes_back_is_a_resync_but_a_new_subscription_may_begin_anywhere() -> None:
    feed = await books()
    feed.deliver(book(1, 2, 10), 1)
    feed.deliver(book(1, 2, 9), 2)
    assert calls(feed) == [book(1, 2, 10), "resync"]
    await until(lambda: feed.watch.state is State.STARTING)
    await until(lambda: feed.asked[-1] == "subscribe")
    feed.deliver(book(1, 2, 5), 3)
    assert calls(feed)[-1] == book(1, 2, 5)
    await asyncio.wait([feed.close()])


async def of_one_market(*kinds: str) -> list[Scripted]:
    """Feeds that know each other, subscribed."""
    siblings: dict[FeedId, Feed] = {}
    feeds = [Scripted(FeedId(kind, "BTC/USDT"), settings(siblings=siblings)) for kind in kinds]
    for feed in feeds:
        siblings[feed.id] = feed
        feed.consumers.append(Told())
        feed.start(None)
    await until(lambda: all(feed.asked for feed in feeds))
    return feeds


async def test_trades_testify_about_their_market_s_book(monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = await of_one_market("book", "trades")
    now_ms = 1_000.0
    monkeypatch.setattr("gateway.sources.feed._now_ms", lambda: now_ms)
    feeds[0].deliver(book(1, 2), 1)
    for number in range(4):
        now_ms += 2_000
        feeds[1].deliver([{"id": str(number), "price": 1.0, "timestamp": number}], 2)
    assert calls(feeds[0]) == [book(1, 2), "resync"]
    assert len(calls(feeds[1])) == 4
    monkeypatch.undo()
    await asyncio.wait([feed.close() for feed in feeds])


class Market:
    """A ticker and the trades of one market, and a clock."""

    def __init__(self, feeds: list[Scripted], patched: pytest.MonkeyPatch) -> None:
        self.ticker, self.trades = feeds
        self.now_ms = 1_000.0
        self.numbers = 0
        patched.setattr("gateway.sources.feed._now_ms", lambda: self.now_ms)

    def last(self, price: float | None, after_ms: float = 0) -> None:
        self.now_ms += after_ms
        self.ticker.deliver({"last": price}, 1)

    def trade(self, after_ms: float = 0) -> None:
        self.now_ms += after_ms
        self.numbers += 1
        self.trades.deliver([{"id": str(self.numbers), "price": 1.0}], 2)


@pytest.fixture
async def market(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Market]:
    feeds = await of_one_market("ticker", "trades")
    with monkeypatch.context() as patched:
        yield Market(feeds, patched)
    await asyncio.wait([feed.close() for feed in feeds])


async def test_trades_that_die_alone_are_lost_when_the_price_goes_on_moving(market: Market) -> None:
    market.trade()
    for price in (1.0, 1.0, None, 2.0):
        market.last(price, after_ms=1)
    market.last(2.5, after_ms=9_995)
    assert market.now_ms == 1_000 + 9_999, "until here it may be the trade's own doing"
    market.last(3.0, after_ms=1)
    market.last(3.5, after_ms=1)
    market.last(4.0, after_ms=9_998)
    assert market.trades.watch.state is State.LIVE, "three moves, within less time than it takes"
    market.last(4.0, after_ms=5)
    assert market.trades.watch.state is State.LIVE, "what stays shows nothing"
    market.last(5.0)
    assert (market.trades.watch.state, market.trades.errors) == (State.BACKOFF, 1)
    assert calls(market.trades)[-1] == "upstream"
    assert market.ticker.watch.state is State.LIVE


async def test_a_slow_market_loses_no_trades(market: Market) -> None:
    """The ticker is told a moment behind each trade, or ahead of it."""
    market.last(0.5)
    for number in range(8):
        market.trade(after_ms=60_000)
        market.last(float(number), after_ms=1_000)
        market.last(number + 0.5, after_ms=60_000)
    assert market.trades.watch.state is State.LIVE
    assert "upstream" not in calls(market.trades)


async def test_trades_that_come_a_moment_behind_the_ticker_are_not_lost(market: Market) -> None:
    """Also where the ticker told of the trade before, and then both were quiet for long."""
    market.trade()
    market.last(1.0, after_ms=50)
    market.last(1.5, after_ms=1)
    market.last(2.0, after_ms=12_000)
    market.last(3.0, after_ms=200)
    market.last(4.0, after_ms=200)
    market.trade(after_ms=1)
    assert market.trades.watch.state is State.LIVE
    assert "upstream" not in calls(market.trades)


async def test_that_no_trade_is_told_can_be_no_evidence(market: Market) -> None:
    for feed in (market.ticker, market.trades):
        feed.settings = feed.settings._replace(trades_missed_ms=0)
    market.trade()
    for number in range(9):
        market.last(float(number), after_ms=60_000)
    assert market.trades.watch.state is State.LIVE


async def test_trades_that_were_not_asked_for_yet_are_not_lost(market: Market) -> None:
    market.trades.waits = True
    for number in range(9):
        market.last(float(number), after_ms=60_000)
    market.trades.waits = False
    for number in range(9):
        market.last(number + 0.5, after_ms=1_000)
    assert market.trades.errors == 0
    market.last(10.0, after_ms=2_000)
    assert market.trades.errors == 1, "asked for, and none has come"


async def test_what_the_price_did_before_a_subscription_says_nothing_of_it(market: Market) -> None:
    market.trade()
    market.last(1.0)
    for price in (2.0, 3.0):
        market.last(price, after_ms=11_000)
    market.trades.fail("disconnected")
    market.now_ms += 60_000
    await until(lambda: market.trades.asked.count("subscribe") == 2)
    market.last(4.0)
    assert market.trades.watch.state is State.STARTING


@pytest.mark.parametrize("klass", sorted(quirks.LAST_IS_NO_TRADE))
async def test_a_last_price_that_is_no_trade_s_is_no_evidence(market: Market, klass: str) -> None:
    market.trades.settings = market.trades.settings._replace(klass=klass)
    market.trade()
    for number in range(9):
        market.last(float(number), after_ms=60_000)
    assert market.trades.watch.state is State.LIVE


async def test_a_hole_is_told_before_the_trade_behind_it_and_the_subscription_stays() -> None:
    feed = Scripted(FeedId("trades", "BTC/USDT"), settings(klass="binance"))
    feed.consumers.append(Told())
    feed.start(None)
    await until(lambda: feed.asked)
    first, second = ({"id": identity, "price": 1.0} for identity in ("1", "5"))
    feed.deliver([first], 1)
    feed.deliver([first], 2)
    feed.deliver([second], 3)
    assert calls(feed) == [[first], "upstream", [second]]
    assert (feed.watch.state, feed.asked) == (State.LIVE, ["subscribe"])
    await asyncio.wait([feed.close()])
