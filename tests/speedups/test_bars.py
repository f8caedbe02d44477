"""The compiled bars against exact arithmetic, and over Binance's recorded trades against what its klines say."""

from __future__ import annotations

import gzip
import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _speedups.bars import Bar, BarBuilder
from _speedups.text import number

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_10000_MS = 253402300800000


class Trade(NamedTuple):
    price: float
    size: float
    ts_ms: int


class Model:
    """Bars as lists of trades."""

    def __init__(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self.trades: list[Trade] = []
        self.start = self.floor = 0

    def trade(self, trade: Trade) -> tuple[int, list[Trade]] | None:
        start = trade.ts_ms // self.interval_ms * self.interval_ms
        if start < (self.start if self.trades else self.floor):
            return None
        closed = self.roll(start)
        self.start = start
        self.trades.append(trade)
        return closed

    def roll(self, now_ms: int) -> tuple[int, list[Trade]] | None:
        if not self.trades or now_ms < self.start + self.interval_ms:
            return None
        closed, self.trades = (self.start, self.trades), []
        self.floor = self.start + self.interval_ms
        return closed


def assert_bar(bar: Bar | None, start: int, trades: list[Trade], *, closed: bool) -> None:
    """Exact where a bar is exact, and within the 15 digits where it is a sum."""
    assert bar is not None
    prices = [trade.price for trade in trades]
    volume = sum((Fraction(trade.size) for trade in trades), Fraction(0))
    vwap = sum((Fraction(trade.price) * Fraction(trade.size) for trade in trades), Fraction(0)) / volume
    assert (bar.timestamp, bar.closed) == (start, closed)
    assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
    assert abs(Fraction(bar.volume) - volume) <= volume / 10**14
    assert abs(Fraction(bar.vwap) - vwap) <= vwap / 10**14
    assert bar.low <= bar.vwap <= bar.high


AMOUNTS = st.integers(1, 10**9).map(lambda units: units / 10**5) | st.floats(min_value=1e-100, max_value=1e100)
TIMES = st.integers(0, 5000)
STEPS = st.lists(st.builds(Trade, AMOUNTS, AMOUNTS, TIMES) | TIMES, max_size=40)


@given(st.sampled_from([1, 7, 1000, 60_000]), STEPS)
def test_bars_are_the_model(interval_ms: int, steps: list[Trade | int]) -> None:
    builder, model = BarBuilder(interval_ms), Model(interval_ms)
    for step in steps:
        closed = builder.roll(step) if isinstance(step, int) else builder.trade(*step)
        expected = model.roll(step) if isinstance(step, int) else model.trade(step)
        if expected is None:
            assert closed is None
        else:
            assert_bar(closed, *expected, closed=True)
        if model.trades:
            assert_bar(builder.current, model.start, model.trades, closed=False)
        else:
            assert builder.current is None


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=1000))
def test_a_volume_of_decimals_is_their_decimal_sum(units: list[int]) -> None:
    builder = BarBuilder(1000)
    for size in units:
        builder.trade(1.0, size / 10**8, 0)
    assert builder.current is not None
    assert Decimal(number(builder.current.volume)) == Decimal(sum(units)).scaleb(-8)


def test_a_large_trade_does_not_swallow_small_ones() -> None:
    builder = BarBuilder(1000)
    for size in (1e16, *[1.0] * 1000, 1e-3):
        builder.trade(1.0, size, 0)
    assert builder.current is not None
    assert builder.current.volume == pytest.approx(1e16 + 1000, rel=1e-15)


def test_a_late_trade_changes_nothing() -> None:
    builder = BarBuilder(1000)
    builder.trade(10.0, 1.0, 1999)
    before = builder.trade(11.0, 1.0, 2000)
    assert builder.trade(99.0, 9.0, 1999) is None
    after = builder.roll(3000)
    assert builder.trade(99.0, 9.0, 2999) is None
    assert_bar(before, 1000, [Trade(10.0, 1.0, 1999)], closed=True)
    assert_bar(after, 2000, [Trade(11.0, 1.0, 2000)], closed=True)
    assert builder.current is None


def test_within_a_bar_trades_count_in_the_order_given() -> None:
    builder = BarBuilder(1000)
    builder.trade(10.0, 1.0, 1500)
    builder.trade(11.0, 1.0, 1400)
    assert builder.current is not None
    assert (builder.current.open, builder.current.close, builder.current.volume) == (10.0, 11.0, 2.0)


def test_an_empty_interval_has_no_bar() -> None:
    builder = BarBuilder(1000)
    builder.trade(10.0, 1.0, 0)
    assert_bar(builder.trade(12.0, 1.0, 3000), 0, [Trade(10.0, 1.0, 0)], closed=True)
    assert_bar(builder.roll(4000), 3000, [Trade(12.0, 1.0, 3000)], closed=True)
    assert builder.roll(9000) is None


def test_wire_text() -> None:
    builder = BarBuilder(60_000)
    builder.trade(61837.63, 0.02, 1723161255342)
    builder.trade(61838.0, 0.00001, 1723161255999)
    assert builder.current is not None
    text = (
        b'{"symbol":"BTC/USDT","exchange":"sim","timeframe":"1m","open":61837.63,"high":61838,"low":61837.63,'
        b'"close":61838,"volume":0.02001,"vwap":61837.6301849075,"timestamp":"2024-08-08T23:54:00.000Z","closed":%s}'
    )
    assert builder.current.data("BTC/USDT", "sim", "1m") == text % b"false"
    closed = builder.roll(1723161300000)
    assert closed is not None
    assert closed.data("BTC/USDT", "sim", "1m") == text % b"true"


@given(st.integers(0, YEAR_10000_MS - 1))
def test_timestamp_is_iso_8601(ts_ms: int) -> None:
    builder = BarBuilder(1)
    builder.trade(1.0, 1.0, ts_ms)
    assert builder.current is not None
    when = EPOCH + timedelta(milliseconds=ts_ms)
    text = json.loads(builder.current.data("S", "x", "1ms"))["timestamp"]
    assert text == when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("amount", [0.0, -1.0, math.nan, math.inf, -math.inf, 1.1e100])
def test_a_refusal_changes_nothing(amount: float) -> None:
    builder = BarBuilder(1000)
    builder.trade(10.0, 1.0, 0)
    for price, size, ts_ms in ((amount, 1.0, 5000), (10.0, amount, 5000), (10.0, 1.0, -1), (10.0, 1.0, YEAR_10000_MS)):
        with pytest.raises(ValueError, match=r"above 0|not a time"):
            builder.trade(price, size, ts_ms)
    assert_bar(builder.current, 0, [Trade(10.0, 1.0, 0)], closed=False)


def test_what_is_no_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="interval_ms"):
        BarBuilder(0)
    with pytest.raises(TypeError, match="BarBuilder"):
        Bar()


# The recorded session


class Kline(NamedTuple):
    """What Binance's kline says of an interval, by decimal arithmetic on the recorded text."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal


def klines(trades: list[tuple[str, str, int]], interval_ms: int) -> dict[int, Kline]:
    """Every interval with trades, in order."""
    grouped: dict[int, list[tuple[Decimal, Decimal]]] = {}
    for price, size, ts_ms in trades:
        grouped.setdefault(ts_ms // interval_ms * interval_ms, []).append((Decimal(price), Decimal(size)))
    found: dict[int, Kline] = {}
    for start, group in sorted(grouped.items()):
        prices = [price for price, _ in group]
        quote_volume = sum((price * size for price, size in group), Decimal(0))
        volume = sum((size for _, size in group), Decimal(0))
        found[start] = Kline(prices[0], max(prices), min(prices), prices[-1], volume, quote_volume)
    return found


def recorded_trades(folder: Path) -> list[tuple[str, str, int]]:
    trades = []
    for name in ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"):
        with gzip.open(folder / "binance-raw-2024" / name, "rt") as lines:
            for line in lines:
                if '@trade"' in line:
                    data = json.loads(line.split(" ", 1)[1])["data"]
                    trades.append((data["p"], data["q"], data["T"]))
    return trades


@pytest.mark.parametrize("interval_ms", [1000, 60_000, 300_000])
def test_recorded_trades_become_the_exchange_klines(recorded_data: Path, interval_ms: int) -> None:
    trades = recorded_trades(recorded_data)
    builder = BarBuilder(interval_ms)
    told = [builder.trade(float(price), float(size), ts_ms) for price, size, ts_ms in trades]
    told.append(builder.roll(YEAR_10000_MS))
    bars = [bar for bar in told if bar is not None]
    assert len(trades) == 9757 + 10147
    expected = klines(trades, interval_ms)
    assert [bar.timestamp for bar in bars] == list(expected)
    for bar, kline in zip(bars, expected.values(), strict=True):
        texts = [number(value) for value in (bar.open, bar.high, bar.low, bar.close, bar.volume)]
        assert [Decimal(text) for text in texts] == list(kline[:5])
        assert bar.vwap == pytest.approx(float(kline.quote_volume / kline.volume), rel=1e-14)
