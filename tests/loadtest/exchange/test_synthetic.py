"""The seeded market: deterministic, consistent, on demand."""

import asyncio
import contextlib
import hashlib
import random
from collections import Counter

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.exchange.accounts import DEFAULT_NAME, Accounts
from loadtest.exchange.bars import INTERVALS_MS
from loadtest.exchange.decimals import ONE, parse
from loadtest.exchange.feed import FeedError
from loadtest.exchange.orders import Order, Request, Type
from loadtest.exchange.params import BinanceError
from loadtest.exchange.streams import Streams
from loadtest.exchange.synthetic import SyntheticFeed
from loadtest.exchange.trading import Trading as TradingSide
from tests.loadtest.exchange.tools import START_MS, Collector

KINDS = ("trade", "aggTrade", "bookTicker", "depth@100ms", "depth", "depth5", "ticker", "miniTicker", "kline_1s")


def _play(seed: int, step_ms: int) -> tuple[str, int]:
    streams = Streams()
    feed = SyntheticFeed(streams, 3, rate=50, seed=seed, start_ms=START_MS)
    collector = Collector().listen(streams, *(f"{s}@{kind}" for s in ("btcusdt", "bnbusdt") for kind in KINDS))
    for now_ms in range(START_MS, START_MS + 5_000, step_ms):
        feed.advance(now_ms)
    feed.advance(START_MS + 5_000)
    return hashlib.sha256(b"\n".join(collector.payloads)).hexdigest(), len(collector.payloads)


def test_a_seed_gives_the_same_bytes_however_late_the_process_is() -> None:
    first, count = _play(seed=1, step_ms=7)
    assert count > 500
    assert _play(seed=1, step_ms=900) == (first, count)
    assert _play(seed=2, step_ms=7)[0] != first


def test_best_prices_and_diffs_agree_at_shared_update_ids() -> None:
    streams = Streams()
    feed = SyntheticFeed(streams, 1, rate=500, seed=4, start_ms=START_MS)
    book = feed.markets["BTCUSDT"].book
    bids, asks = dict(book.bids.sizes), dict(book.asks.sizes)
    last_id = book.update_id - 1  # the opening trade belongs to the first diff
    collector = Collector(combined=False).listen(streams, "btcusdt@bookTicker", "btcusdt@depth@100ms")
    feed.advance(START_MS + 4_000)
    best: dict[int, tuple[str, str]] = {}
    shared = 0
    for message in collector.messages():
        if "e" not in message:
            best[message["u"]] = (message["b"], message["a"])
            continue
        assert message["U"] == last_id + 1
        last_id = message["u"]
        for side, levels in ((bids, message["b"]), (asks, message["a"])):
            for price, size in levels:
                units = int(price.replace(".", ""))
                side[units] = int(size.replace(".", ""))
                if not side[units]:
                    del side[units]
        if last_id in best:
            shared += 1
            assert tuple(int(price.replace(".", "")) for price in best[last_id]) == (max(bids), min(asks))
    assert shared > 5
    assert (bids, asks) == (book.bids.sizes, book.asks.sizes)


class _Users:
    """Two of them trade at random in the first market of a feed."""

    def __init__(self, feed: SyntheticFeed, seed: int) -> None:
        self.feed = feed
        self.market = feed.markets["BTCUSDT"]
        self.trading = TradingSide(feed.matchers, feed.moved, lambda _account, _report: None)
        feed.on_traded = self.trading.traded
        accounts = Accounts({})
        self.accounts = [accounts.named(DEFAULT_NAME), accounts.open("second", "key", "secret")]
        for account in self.accounts:
            account.credit("BTC", 10**6 * ONE)
            account.credit("USDT", 10**10 * ONE)
        self._rng = random.Random(seed)
        self._placed = 0

    def place(self, kind: Type, price: int, qty: int, now_ms: int, *, buy: bool) -> None:
        self._placed += 1
        request = Request(f"order-{self._placed}", buy, kind, qty=qty, price=price)
        self.trading.place(self._rng.choice(self.accounts), "BTCUSDT", request, now_ms)

    def act(self, now_ms: int) -> None:
        rng, best = self._rng, self.market.book.best()
        assert best is not None
        kind = rng.choice([Type.LIMIT, Type.LIMIT, Type.LIMIT_MAKER, Type.MARKET])
        price = best.bid + rng.randrange(-40, 41) * self.market.spec.tick if kind is not Type.MARKET else 0
        with contextlib.suppress(BinanceError):
            self.place(kind, price, rng.randrange(100, 20_000) * self.market.spec.step, now_ms, buy=rng.random() < 0.5)
        for order in self.orders():
            if rng.random() < 0.2:
                self.trading.cancel(order, "cancel", now_ms)

    def orders(self) -> list[Order]:
        return [order for account in self.accounts for order in self.trading.open_orders(account)]

    def sizes(self, *, bid: bool) -> Counter[int]:
        resting: Counter[int] = Counter()
        for order in self.orders():
            if order.request.buy is bid:
                resting[order.request.price] += order.remaining
        return resting


def _followed(sizes: dict[int, int], changes: list[list[list[str]]]) -> dict[int, int]:
    for levels in changes:
        sizes |= {parse(price): parse(size) for price, size in levels}
    return {price: size for price, size in sizes.items() if size}


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_users_orders_are_a_part_of_the_market(seed: int) -> None:
    """Whatever users and the crowd do, the book is a book, and a client that follows the diffs has it."""
    streams = Streams()
    feed = SyntheticFeed(streams, 1, rate=200, seed=seed, start_ms=START_MS)
    users = _Users(feed, seed)
    book, matcher = users.market.book, feed.matchers["BTCUSDT"]
    opening = (dict(book.bids.sizes), dict(book.asks.sizes))
    collector = Collector(combined=False).listen(streams, "btcusdt@trade", "btcusdt@depth@100ms")
    for now_ms in range(START_MS, START_MS + 2_500, 20):
        feed.advance(now_ms)
        best = book.best()
        assert best is not None
        assert best.bid < best.ask
        users.act(now_ms)
    feed.advance(START_MS + 3_000)
    messages = collector.messages()
    for bid, side, before in ((True, book.bids, opening[0]), (False, book.asks, opening[1])):
        resting = users.sizes(bid=bid)
        assert all(size == matcher.crowd(price, bid=bid) + resting[price] for price, size in side.sizes.items())
        assert resting.keys() <= side.sizes.keys(), "every order at rest is shown"
        assert _followed(before, [m["b" if bid else "a"] for m in messages if m["e"] == "depthUpdate"]) == side.sizes
    printed = {message["t"]: message for message in messages if message["e"] == "trade"}
    for fill in users.trading.ledger.fills:
        message = printed[fill.trade_id]
        assert (parse(message["p"]), parse(message["q"])) == (fill.price, fill.qty)
        assert message["m"] == (fill.order.request.buy is fill.maker), "the buyer is the maker"


def test_the_crowd_never_leaves_altogether() -> None:
    """Users may have more levels than it, and have taken all of it but one."""
    for seed in range(100):
        feed = SyntheticFeed(Streams(), 1, rate=1_000, seed=seed, start_ms=START_MS)
        users = _Users(feed, seed)
        book, matcher = users.market.book, feed.matchers["BTCUSDT"]
        first = book.bids.price_at(0)
        users.place(Type.MARKET, 0, 10_000 * ONE, START_MS, buy=False)
        for level in range(200):
            price = first - (10_000 + level) * users.market.spec.tick
            users.place(Type.LIMIT, price, 10_000 * users.market.spec.step, START_MS, buy=True)
        feed.advance(START_MS + 10)
        assert any(matcher.crowd(price, bid=True) for price in book.bids.prices)


def test_rate_is_arrivals_a_second_in_each_market() -> None:
    feed = SyntheticFeed(Streams(), 4, rate=100, seed=1, start_ms=START_MS)
    feed.advance(START_MS + 10_000)
    arrivals = feed.status()["arrivals"]
    assert isinstance(arrivals, int)
    assert 3_700 < arrivals < 4_300


def test_a_slice_says_that_there_is_more() -> None:
    feed = SyntheticFeed(Streams(), 1, rate=100, seed=1, start_ms=START_MS)
    assert not feed.advance(START_MS + 1_000, entries_max=10)
    assert feed.advance(START_MS + 1_000)


@pytest.mark.parametrize("kind", [*KINDS, "depth10@100ms", "depth20", *(f"kline_{name}" for name in INTERVALS_MS)])
def test_a_burst_makes_that_many_messages_of_any_stream(kind: str) -> None:
    streams = Streams()
    feed = SyntheticFeed(streams, 2, rate=0, seed=1)
    collector = Collector().listen(streams, f"ethusdt@{kind}")
    feed.burst(f"ethusdt@{kind}", 25)
    assert len(collector.payloads) == 25
    assert len(set(collector.payloads)) == 25
    assert {orjson.loads(data)["stream"] for data in collector.payloads} == {f"ethusdt@{kind}"}


@pytest.mark.parametrize("stream", ["btcusdt@nothing", "nothing@trade", "btcusdt@kline_7m", ""])
def test_a_burst_of_no_stream_is_refused(stream: str) -> None:
    with pytest.raises(FeedError, match="no such stream"):
        SyntheticFeed(Streams(), 1, rate=0, seed=1).burst(stream, 1)


def test_a_trade_on_demand() -> None:
    streams = Streams()
    feed = SyntheticFeed(streams, 1, rate=0, seed=1)
    collector = Collector(combined=False).listen(streams, "btcusdt@trade", "btcusdt@bookTicker")
    best = feed.markets["BTCUSDT"].book.best()
    assert best is not None
    trades = feed.trade("BTCUSDT", "100", buy=False)
    assert len(trades) > 1
    messages = collector.messages()
    assert [m["t"] for m in messages[:-1]] == [trade["id"] for trade in trades]
    assert all(m["m"] for m in messages[:-1])
    assert messages[-1]["u"] == feed.markets["BTCUSDT"].book.update_id
    with pytest.raises(FeedError):
        feed.trade("NOPE", "1", buy=True)


async def test_the_clock_moves_the_market() -> None:
    streams = Streams()
    feed = SyntheticFeed(streams, 1, rate=2_000, seed=1)
    collector = Collector(combined=False).listen(streams, "btcusdt@trade")
    running = asyncio.ensure_future(feed.run())
    await collector.until(20)
    running.cancel()
    await asyncio.wait([running])
    assert all(abs(m["E"] - feed.now_ms()) < 5_000 for m in collector.messages())


def test_markets_that_opened_before_have_candles() -> None:
    market = SyntheticFeed(Streams(), 1, rate=0, seed=1, start_ms=START_MS, age_ms=10 * 60_000).markets["BTCUSDT"]
    bars = market.bars.rows("1m", START_MS, None, None, limit=100)
    last_ms = START_MS - START_MS % 60_000
    assert [bar.opened_ms for bar in bars] == list(range(last_ms - 10 * 60_000, last_ms + 1, 60_000))
    assert [bar.count for bar in bars] == [1] + [0] * 10, "one trade, and nothing since"
    assert {(bar.open, bar.high, bar.low, bar.close) for bar in bars} == {(bars[0].close,) * 4}
