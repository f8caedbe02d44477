"""Klines against the plain way of making them."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.exchange.bars import INTERVALS_MS, Bar, Bars, Trade, next_open_time, open_time
from tests.loadtest.exchange.tools import START_MS

trade_lists = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(1, 50), st.integers(1, 9), st.booleans()), min_size=1, max_size=60
)


def _trades(made: list[tuple[int, int, int, bool]]) -> list[Trade]:
    times = accumulate((wait for wait, _, _, _ in made), initial=START_MS)
    next(times)
    return [
        Trade(number, price, size, time_ms, maker)
        for number, ((_, price, size, maker), time_ms) in enumerate(zip(made, times, strict=True))
    ]


def _expected(interval: str, trades: list[Trade], now_ms: int) -> list[tuple[object, ...]]:
    """The plain way: every interval from the first trade's to now, flat where nothing traded."""
    rows: list[tuple[object, ...]] = []
    opened_ms, close = open_time(interval, trades[0].time_ms), 0
    while opened_ms <= now_ms:
        end_ms = next_open_time(interval, opened_ms)
        inside = [trade for trade in trades if opened_ms <= trade.time_ms < end_ms]
        prices = [trade.price for trade in inside] or [close]
        taker = [trade for trade in inside if not trade.buyer_is_maker]
        rows.append(
            (
                opened_ms, prices[0], max(prices), min(prices), prices[-1], sum(t.size for t in inside),
                sum(t.price * t.size for t in inside), len(inside), sum(t.size for t in taker),
                inside[0].id if inside else -1, inside[-1].id if inside else -1,
            )
        )  # fmt: skip
        opened_ms, close = end_ms, prices[-1]
    return rows


def _row(bar: Bar) -> tuple[object, ...]:
    return (
        bar.opened_ms, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume, bar.count,
        bar.taker_volume, bar.first_id, bar.last_id,
    )  # fmt: skip


@given(trade_lists, st.sampled_from(["1m", "3m", "5m", "1h"]), st.integers(0, 200_000))
def test_rows_agree_with_the_plain_way(made: list[tuple[int, int, int, bool]], interval: str, idle_ms: int) -> None:
    trades = _trades(made)
    bars = Bars()
    for trade in trades:
        bars.add(trade)
    now_ms = trades[-1].time_ms + idle_ms
    expected = _expected(interval, trades, now_ms)
    assert [_row(bar) for bar in bars.rows(interval, now_ms, None, None, 1000)] == expected
    assert [_row(bar) for bar in bars.rows(interval, now_ms, None, None, 2)] == expected[-2:]
    middle_ms = int(str(expected[len(expected) // 2][0]))
    from_middle = [row for row in expected if int(str(row[0])) >= middle_ms]
    assert [_row(bar) for bar in bars.rows(interval, now_ms, middle_ms, None, 2)] == from_middle[:2]
    single = bars.bar(interval, middle_ms, now_ms)
    assert single is not None
    assert _row(single) == from_middle[0]


@given(trade_lists)
def test_a_day_is_the_sum_of_its_trades(made: list[tuple[int, int, int, bool]]) -> None:
    trades = _trades(made)
    bars = Bars()
    for count, trade in enumerate(trades, 1):
        bars.add(trade)
        day = bars.day(trade.time_ms)
        assert day is not None
        assert (day.count, day.open, day.close) == (count, trades[0].price, trade.price)
        assert day.volume == sum(t.size for t in trades[:count])
        assert (day.high, day.low) == (max(t.price for t in trades[:count]), min(t.price for t in trades[:count]))


def test_a_day_forgets_what_is_older() -> None:
    bars = Bars()
    bars.add(Trade(1, 100, 5, START_MS, False))
    bars.add(Trade(2, 200, 7, START_MS + 86_400_000, False))
    day = bars.day(START_MS + 86_400_000)
    assert day is not None
    assert (day.count, day.volume, day.high, day.low) == (1, 7, 200, 200)


def test_no_bars_before_the_first_trade() -> None:
    bars = Bars()
    assert bars.rows("1m", START_MS, None, None, 10) == []
    assert bars.bar("1m", START_MS, START_MS) is None
    assert bars.day(START_MS) is None


def test_a_long_pause_keeps_no_more_than_it_should() -> None:
    bars = Bars()
    bars.add(Trade(1, 100, 5, START_MS, False))
    rows = bars.rows("1s", START_MS + 10 * 86_400_000, None, None, 5000)
    assert len(rows) == 3600
    assert rows[-1].opened_ms == START_MS + 10 * 86_400_000
    assert {row.close for row in rows} == {100}


@pytest.mark.parametrize("interval", INTERVALS_MS)
def test_intervals_follow_one_another(interval: str) -> None:
    opened_ms = open_time(interval, START_MS)
    following_ms = next_open_time(interval, opened_ms)
    assert opened_ms <= START_MS < following_ms
    assert open_time(interval, following_ms - 1) == opened_ms
    assert open_time(interval, following_ms) == following_ms


def test_weeks_begin_on_mondays_and_months_on_the_first() -> None:
    # 2023-11-14 22:13:20 UTC was a Tuesday.
    assert open_time("1w", START_MS) == 1_699_833_600_000
    assert open_time("1M", START_MS) == 1_698_796_800_000
