"""The seeded market: deterministic, consistent, on demand."""

import asyncio
import hashlib

import orjson
import pytest

from loadtest.exchange.bars import INTERVALS_MS
from loadtest.exchange.feed import FeedError
from loadtest.exchange.streams import Streams
from loadtest.exchange.synthetic import SyntheticFeed
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
