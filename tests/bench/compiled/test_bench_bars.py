"""What a bar costs a trade."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.bars import Bar, BarBuilder
from tests.bench.compiled.reference import measures

PRICE, SIZE, AT_MS = 61837.63, 0.02, 1723161255342


def a_bar() -> Bar:
    bar = begun().current
    assert bar is not None
    return bar


def begun() -> BarBuilder:
    builder = BarBuilder(60_000)
    builder.trade(PRICE, SIZE, AT_MS)
    return builder


@measures("bars.BarBuilder")
def test_new_builder(benchmark: BenchmarkFixture) -> None:
    assert benchmark(BarBuilder, 60_000).current is None


@measures("bars.BarBuilder.trade")
def test_trade(benchmark: BenchmarkFixture) -> None:
    builder = BarBuilder(60_000)
    benchmark(builder.trade, PRICE, SIZE, AT_MS)
    assert builder.current is not None


@measures("bars.BarBuilder.trade")
def test_closing(benchmark: BenchmarkFixture) -> None:
    builder = BarBuilder(1000)
    ts_ms = 0

    def trade() -> Bar | None:
        nonlocal ts_ms
        ts_ms += 1000
        return builder.trade(PRICE, SIZE, ts_ms)

    trade()
    assert benchmark(trade).closed


@measures("bars.BarBuilder.roll")
def test_roll_that_closes_nothing(benchmark: BenchmarkFixture) -> None:
    assert benchmark(begun().roll, AT_MS) is None


@measures("bars.BarBuilder.current")
def test_current(benchmark: BenchmarkFixture) -> None:
    builder = begun()
    assert benchmark(lambda: builder.current).close == PRICE


@measures("bars.Bar.data")
def test_data(benchmark: BenchmarkFixture) -> None:
    assert benchmark(a_bar().data, "BTC/USDT", "binance", "1m").startswith(b'{"symbol":"BTC/USDT"')
