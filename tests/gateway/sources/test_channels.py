"""Finished objects out of what is new: fields, order of keys, and what is forgotten at a loss."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.core.key import Key
from gateway.sources.channels import BookLevels, Candles, Quotes, Trades, iso
from tests.gateway.sources.tools import RecordingSink

SYMBOL = "BTC/USDT"


def key(channel: str, variant: str = "") -> Key:
    return Key("x", channel, SYMBOL, variant)


def top(bid: float | None, ask: float | None = None) -> dict[str, Any]:
    return {"symbol": SYMBOL, "bid": bid, "ask": ask, "bidVolume": 1.0, "askVolume": 2.0, "timestamp": None}


def day(last: float, volume: float = 7.0) -> dict[str, Any]:
    return {**top(1.0, 2.0), "last": last, "baseVolume": volume, "timestamp": 5}


async def test_quotes_have_the_protocol_s_keys_in_its_order() -> None:
    sink = RecordingSink()
    Quotes(key("quotes"), sink, split=False).update("ticker", day(1.5), 99)
    (call,) = sink.calls
    assert list(call.data) == ["symbol", "exchange", "bid", "ask", "last", "bid_size", "ask_size", "volume"]
    assert list(call.data.values()) == [SYMBOL, "x", 1.0, 2.0, 1.5, 1.0, 2.0, 7.0]
    assert (call.t_ex, call.t_in, call.final) == (5, 99, False)


async def test_split_quotes_merge_what_is_known() -> None:
    sink = RecordingSink()
    quotes = Quotes(key("quotes"), sink, split=True)
    quotes.update("ticker", day(1.5), 1)
    quotes.update("bidask", top(10.0, 11.0), 2)
    quotes.lost("ticker", "upstream")
    quotes.update("bidask", top(12.0, None), 3)
    told = [(quote["bid"], quote["ask"], quote["last"], quote["volume"]) for quote in sink.published(quotes.key)]
    assert told == [(None, None, 1.5, 7.0), (10.0, 11.0, 1.5, 7.0), (12.0, None, None, None)]
    assert [call.name for call in sink.calls] == ["publish", "publish", "lost", "publish"]
    quotes.lost("bidask", "upstream")
    quotes.update("ticker", day(2.0), 4)
    assert sink.calls[-1].data["bid"] is None


async def test_trades_are_told_one_by_one() -> None:
    sink = RecordingSink()
    trades = Trades(key("trades"), sink)
    trade = {
        "price": 1.5,
        "amount": 2.0,
        "side": None,
        "timestamp": 7,
        "datetime": "1970-01-01T00:00:00.007Z",
        "id": "9",
    }
    trades.update("trades", [trade, {**trade, "id": "10"}], 3)
    trades.lost("trades", "upstream")
    assert [call.name for call in sink.calls] == ["publish", "publish", "lost"]
    assert sink.calls[0].data == {
        "symbol": SYMBOL, "exchange": "x", "price": 1.5, "size": 2.0, "side": None,
        "timestamp": "1970-01-01T00:00:00.007Z", "trade_id": "9",
    }  # fmt: skip
    assert sink.calls[0].t_ex == 7


async def test_a_book_tells_changes_within_its_depth() -> None:
    sink = RecordingSink()
    levels = BookLevels(key("book", "2"), sink)
    book = {"bids": [[10.0, 1.0], [9.0, 1.0], [8.0, 1.0]], "asks": [[11.0, 1.0]], "timestamp": 4}
    levels.update("book", book, 1)
    levels.update("book", {**book, "bids": [[10.0, 1.0], [9.0, 1.0], [8.0, 5.0]]}, 2)
    levels.update("book", {**book, "bids": [[10.0, 3.0], [8.0, 5.0]]}, 3)
    assert [call.data["bids"] for call in sink.calls] == [[[10, 1], [9, 1]], [[10, 3], [9, 0], [8, 5]]]
    levels.lost("book", "resync")
    levels.update("book", {**book, "bids": [[10.0, 3.0]]}, 4)
    assert [call.name for call in sink.calls[2:]] == ["lost", "publish_book"]
    assert sink.levels(levels.key)["bids"] == [[10, 3]]


async def test_a_book_of_orders_is_a_book_of_levels() -> None:
    sink = RecordingSink()
    levels = BookLevels(key("book", "2"), sink)
    bids = [[10.0, 1.0, "a"], [10.0, 2.0, "b"], [9.0, 1.0, "c"], [9.0, 1.5, "d"], [8.0, 1.0, "e"]]
    levels.update("book", {"bids": bids, "asks": [[11.0, 1.0, "f"]], "timestamp": None}, 1)
    assert sink.levels(levels.key)["bids"] == [[10, 3], [9, 2.5]]
    with pytest.raises(ValueError, match="price"):
        levels.update("book", {"bids": [[-1.0, 1.0]], "asks": [], "timestamp": None}, 2)


async def test_candles_are_closed_by_the_next_one() -> None:
    sink = RecordingSink()
    candles = Candles(key("bars", "15m"), sink)
    first, second = [0, 1, 3, 1, 2, 5.0], [900_000, 2, 2, 2, 2, 1.0]
    candles.update("ohlcv", [[-900_000, 9, 9, 9, 9, 9], first], 1)  # history: only its newest is news
    grown = [0, 1, 4, 1, 3, 6.0]
    candles.update("ohlcv", [grown, second], 2)
    candles.update("ohlcv", [first], 3)  # behind: says nothing new
    told = [(bar["timestamp"], bar["high"], bar["closed"]) for bar in sink.published(candles.key)]
    begin, end = "1970-01-01T00:00:00.000Z", "1970-01-01T00:15:00.000Z"
    assert told[:3] == [(begin, 3, False), (begin, 4, True), (end, 2, False)]
    assert [call.final for call in sink.calls[:3]] == [False, True, False]
    assert list(sink.calls[0].data) == [
        "symbol", "exchange", "timeframe", "open", "high", "low", "close", "volume", "vwap", "timestamp", "closed",
    ]  # fmt: skip
    candles.lost("ohlcv", "upstream")
    candles.update("ohlcv", [second], 4)
    assert sink.calls[-1].data["closed"] is False


async def test_an_empty_answer_says_nothing() -> None:
    sink = RecordingSink()
    Candles(key("bars", "15m"), sink).update("ohlcv", [], 1)
    assert sink.calls == []


def test_iso() -> None:
    assert iso(1_770_474_600_123) == "2026-02-07T14:30:00.123Z"
    assert orjson.loads(orjson.dumps(iso(0))) == "1970-01-01T00:00:00.000Z"
