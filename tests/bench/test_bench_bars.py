"""What a bar costs a trade."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.bars import Bar, BarBuilder

pytestmark = pytest.mark.benchmark(max_time=0.3, min_rounds=3)


def test_trade(benchmark: BenchmarkFixture) -> None:
    builder = BarBuilder(60_000)
    benchmark(builder.trade, 61837.63, 0.02, 1723161255342)
    assert builder.current is not None


def test_trade_to_wire(benchmark: BenchmarkFixture) -> None:
    builder = BarBuilder(60_000)

    def trade() -> bytes:
        builder.trade(61837.63, 0.02, 1723161255342)
        bar = builder.current
        assert bar is not None
        return bar.data("BTC/USDT", "binance", "1m")

    assert benchmark(trade).startswith(b'{"symbol":"BTC/USDT"')


def test_closing(benchmark: BenchmarkFixture) -> None:
    builder = BarBuilder(1000)
    ts_ms = 0

    def trade() -> Bar | None:
        nonlocal ts_ms
        ts_ms += 1000
        return builder.trade(61837.63, 0.02, ts_ms)

    trade()
    assert benchmark(trade).closed
