"""Finished objects out of what is new: fields, order of keys, and what is forgotten at a loss."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.key import Key
from gateway.sources.channels import BookLevels, Candles, Quotes, Trades
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
    quotes.update("ticker", day(1.5), 1)  # until the best prices' own feed speaks, they are the ticker's
    quotes.update("bidask", top(10.0, 11.0), 2)
    quotes.lost("ticker", "upstream")
    quotes.update("bidask", top(12.0, None), 3)
    quotes.update("ticker", day(1.75), 4)
    quotes.lost("bidask", "upstream")
    quotes.update("ticker", day(2.0), 5)
    quotes.update("bidask", top(13.0, 14.0), 6)
    told = [(quote["bid"], quote["ask"], quote["last"], quote["volume"]) for quote in sink.published(quotes.key)]
    assert told == [
        (1.0, 2.0, 1.5, 7.0),
        (10.0, 11.0, 1.5, 7.0),
        (12.0, None, None, None),
        (12.0, None, 1.75, 7.0),
        (1.0, 2.0, 2.0, 7.0),
        (13.0, 14.0, 2.0, 7.0),
    ]
    assert [call.name for call in sink.calls if call.name == "lost"] == ["lost"] * 2


def best(sink: RecordingSink) -> list[float | None]:
    return [sink.calls[-1].data[name] for name in ("bid", "ask", "bid_size", "ask_size")]


async def test_a_ticker_without_best_prices_does_not_replace_them() -> None:
    sink = RecordingSink()
    quotes = Quotes(key("quotes"), sink, split=True)
    quotes.update("bidask", top(10.0, 11.0), 1)
    for number in range(3):
        quotes.update("ticker", {**day(1.5), **dict.fromkeys(("bid", "ask", "bidVolume", "askVolume"))}, number)
        assert best(sink) == [10.0, 11.0, 1.0, 2.0]


async def test_a_ticker_without_sizes_takes_none_away_from_the_same_prices() -> None:
    sink = RecordingSink()
    quotes = Quotes(key("quotes"), sink, split=True)
    quotes.update("bidask", top(1.0, 2.0), 1)
    sizeless = {**day(1.5), "bidVolume": None, "askVolume": None}
    for number in range(3):
        quotes.update("ticker", sizeless, number)
        assert best(sink) == [1.0, 2.0, 1.0, 2.0]
    quotes.update("ticker", {**sizeless, "ask": 3.0}, 4)
    assert best(sink) == [1.0, 3.0, None, None]


async def test_split_quotes_do_not_go_to_and_fro_between_two_clocks() -> None:
    def times(stamps: list[tuple[str, int | None]], *, split: bool = True) -> list[int | None]:
        sink = RecordingSink()
        quotes = Quotes(key("quotes"), sink, split=split)
        for kind, stamp in stamps:
            quotes.update(kind, {**day(1.5), "timestamp": stamp}, 9)
        return [call.t_ex for call in sink.calls]

    assert times([("ticker", 5), ("bidask", 6), ("ticker", 7)]) == [5, 6, 7]
    assert times([("ticker", 5), ("bidask", None), ("ticker", 7), ("bidask", 8)]) == [5, None, None, None]
    assert times([("ticker", 5), ("ticker", None), ("ticker", 7)], split=False) == [5, None, 7]


Event = tuple[str, tuple[float, float]]
PRICES = st.tuples(st.floats(1, 9), st.floats(1, 9))
EVENTS = st.lists(st.tuples(st.sampled_from(["bidask", "ticker", "lost bidask", "lost ticker"]), PRICES), max_size=30)


@given(EVENTS)
def test_best_prices_are_the_fresher_feed_s(events: list[Event]) -> None:
    """Told from the whole history: of the best prices' own feed, if it spoke since the last but one ticker."""
    sink = RecordingSink()
    quotes = Quotes(key("quotes"), sink, split=True)
    for number, (what, prices) in enumerate(events):
        if what.startswith("lost "):
            quotes.lost(what.removeprefix("lost "), "upstream")
            continue
        quotes.update(what, {**day(1.5), "bid": prices[0], "ask": prices[1]}, number)
        past = events[: number + 1]
        assert tuple(best(sink)[:2]) == expected(past)
        assert sink.calls[-1].data["last"] == (1.5 if newest(past, "ticker") is not None else None)


def newest(past: list[Event], kind: str) -> int | None:
    """Where the last update of a feed is, if it was not lost since."""
    at = next((at for at in reversed(range(len(past))) if kind in past[at][0]), None)
    return at if at is not None and past[at][0] == kind else None


def expected(past: list[Event]) -> tuple[float, float]:
    own, other = newest(past, "bidask"), newest(past, "ticker")
    tickers = [what for what, _ in past[own:]].count("ticker") if own is not None else 0
    chosen = other if own is None or (tickers >= 2 and other is not None) else own
    assert chosen is not None
    return past[chosen][1]


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
