"""ccxt's own structures on the hub: as ccxt gives them, cut as asked for, and on the feeds that others use."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.key import UNIFIED_CHANNELS, Extent, Key
from gateway.errors import TickwireError
from gateway.sources import unified
from gateway.sources.ccxt_poll import PollFeed
from gateway.sources.ccxt_source import CcxtSource
from gateway.sources.unified import Ohlcv, OrderBook, Ticker, Trades
from tests.gateway.sources.tools import BTC, RecordingSink, Rig, source_on, subscriptions, synthetic

SYMBOL = "BTC/USDT"


def key(channel: str, extent: Extent = Extent()) -> Key:  # noqa: B008  # immutable
    return Key("x", channel, SYMBOL, str(extent))


def test_every_unified_channel_is_read_and_encoded() -> None:
    assert set(UNIFIED_CHANNELS) == set(unified.KINDS) == set(unified.CONSUMERS) == set(unified.LIKE)


def test_a_ticker_is_told_as_ccxt_gives_it() -> None:
    sink = RecordingSink()
    ticker = {"symbol": SYMBOL, "timestamp": 5, "bid": 1.0, "last": None, "info": {"raw": "1.00", "odd": {1}}}
    Ticker(key("ccxt_ticker"), sink).update("ticker", ticker, 99)
    (call,) = sink.calls
    assert call.data == {**ticker, "info": {"raw": "1.00", "odd": "{1}"}}
    assert (call.t_ex, call.t_in) == (5, 99)


def test_a_book_is_cut_to_its_depth_and_told_whole_each_time() -> None:
    sink = RecordingSink()
    consumer = OrderBook(key("ccxt_orderbook", Extent(2)), sink)
    book: dict[str, Any] = {
        "bids": [[3.0, 1.0], [2.0, 1.0], [1.0, 1.0]], "asks": [[4.0, 1.0, "id"]], "nonce": 7, "timestamp": None,
        "datetime": None,
    }  # fmt: skip
    consumer.update("book", book, 1)
    book["bids"].pop(0)
    consumer.update("book", book, 2)
    first, second = [call.data for call in sink.calls]
    assert first == {
        "symbol": SYMBOL, "bids": [[3, 1], [2, 1]], "asks": [[4, 1]], "timestamp": None, "datetime": None, "nonce": 7,
    }  # fmt: skip
    assert second["bids"] == [[2, 1], [1, 1]]


def test_trades_are_told_one_by_one() -> None:
    sink = RecordingSink()
    trades = [{"id": str(number), "timestamp": number, "price": 1.0} for number in range(3)]
    Trades(key("ccxt_trades", Extent(50)), sink).update("trades", trades, 9)
    assert [(call.data, call.t_ex) for call in sink.calls] == [(trade, trade["timestamp"]) for trade in trades]


def test_candles_are_the_newest_that_are_known_and_each_is_told_as_it_ended() -> None:
    sink = RecordingSink()
    consumer = Ohlcv(key("ccxt_ohlcv", Extent(2, "1m")), sink)

    def told(*candles: list[float]) -> Any:
        consumer.update("ohlcv", list(candles), 1)
        return [candle[:2] for candle in sink.calls[-1].data]

    growing: list[float] = [60, 1.0]
    assert told(growing) == [[60, 1]]
    growing[1] = 2.0
    assert sink.calls[-1].data[0][1] == 1, "what was told does not change with ccxt's list"
    assert told(growing) == [[60, 2]]
    assert told([60, 3.0], [120, 4.0]) == [[60, 3], [120, 4]]
    assert told([180, 5.0]) == [[120, 4], [180, 5]]
    assert told([60, 9.0]) == [[120, 4], [180, 5]], "an old candle is no news"
    consumer.lost("ohlcv", "upstream")
    assert told([240, 6.0]) == [[240, 6]], "nothing is told of before a loss"
    assert [call.name for call in sink.calls].count("lost") == 1


@pytest.mark.parametrize(
    ("channel", "extent", "poke"),
    [
        ("ccxt_ticker", Extent(), "btcusdt@ticker"),
        ("ccxt_orderbook", Extent(5), ""),
        ("ccxt_trades", Extent(50), "btcusdt@trade"),
        ("ccxt_ohlcv", Extent(50, "1m"), "btcusdt@kline_1m"),
    ],
)
async def test_it_is_what_ccxt_returns_on_a_live_stream(rig: Rig, channel: str, extent: Extent, poke: str) -> None:
    found = await rig.live(channel, str(extent), poke=poke)
    await rig.sink.until(lambda: rig.sink.published(found))
    data = rig.sink.published(found)[-1]
    exchange = rig.source.exchange
    if channel == "ccxt_ticker":
        assert set(exchange.safe_ticker({})) <= set(data)
        assert data["symbol"] == BTC
    elif channel == "ccxt_orderbook":
        assert set(data) == {"symbol", "bids", "asks", "timestamp", "datetime", "nonce"}
        assert (len(data["bids"]), len(data["asks"])) == (5, 5)
    elif channel == "ccxt_trades":
        assert set(exchange.safe_trade({})) <= set(data)
        assert data["symbol"] == BTC
    else:
        assert all(len(candle) == 6 for candle in data)


async def test_our_own_channels_and_every_extent_read_one_upstream_stream(rig: Rig) -> None:
    await rig.live("trades", poke="btcusdt@trade")
    await rig.live("ccxt_trades", "50", poke="btcusdt@trade")
    await rig.live("ccxt_trades", "5", poke="btcusdt@trade")
    assert set(subscriptions(rig.server)) == {"btcusdt@trade"}
    first = await rig.live("ccxt_orderbook", "5")
    await rig.sink.until(lambda: rig.sink.published(first))
    before = subscriptions(rig.server)
    await rig.live("ccxt_orderbook", "20")
    await rig.live("book", "10")
    assert subscriptions(rig.server) == before
    assert set(before.values()) == {1}


async def test_a_period_makes_no_key_of_its_own_where_the_exchange_pushes(rig: Rig) -> None:
    keys = {await rig.source.resolve("ccxt_ticker", BTC, f"@{period}") for period in (250, 1200)}
    assert {each.variant for each in keys} == {""}
    with pytest.raises(TickwireError) as refused:
        await rig.source.resolve("ccxt_ohlcv", BTC, "7x/50")
    assert refused.value.code == "unsupported_channel"


async def test_what_is_polled_is_read_as_often_as_the_most_impatient_wants() -> None:
    async with synthetic() as server:
        sink = RecordingSink()
        source: CcxtSource = source_on(server, sink, poll_interval_ms=700)
        source.exchange.has["watchTicker"] = False
        try:
            await pacing(source, sink)
        finally:
            await source.close()


async def pacing(source: CcxtSource, sink: RecordingSink) -> None:
    keys = [await source.resolve("ccxt_ticker", BTC, f"@{period}") for period in (5_000, 250)]
    assert [each.variant for each in keys] == ["@5000", "@250"]

    def interval_s() -> float:
        (feed,) = source._feeds.values()
        assert isinstance(feed, PollFeed)
        return feed._interval_s

    source.acquire(keys[0])
    assert interval_s() == 5.0
    await sink.until(lambda: sink.published(keys[0]))
    source.acquire(keys[1])
    assert interval_s() == 0.25
    await sink.until(lambda: len(sink.published(keys[1])) >= 3, 4)  # sooner than the 5 s it had begun to wait
    source.release(keys[1])
    assert interval_s() == 5.0
    source.release(keys[0])
