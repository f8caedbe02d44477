"""A bar is told only when it is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.core.key import Key
from gateway.sources import bars as module
from gateway.sources.bars import Bars, join
from tests.gateway.sources.tools import RecordingSink
from tests.waiting import until

MINUTE = 60_000


def trade(number: int, ts_ms: int, price: float = 100.0, amount: float = 1.0) -> dict[str, Any]:
    return {"id": str(number), "timestamp": ts_ms, "price": price, "amount": amount}


def bars_of(sink: RecordingSink, history: Callable[[], Awaitable[list[Any]]] | None, variant: str = "1m") -> Bars:
    return Bars(Key("x", "bars", "BTC/USDT", variant), sink, history)


def told(sink: RecordingSink) -> list[tuple[str, float, bool]]:
    return [(call.data["timestamp"][14:19], call.data["volume"], call.data["closed"]) for call in sink.calls]


async def test_without_history_bars_begin_with_the_next_interval() -> None:
    sink = RecordingSink()
    bars = bars_of(sink, None)
    bars.update("trades", [trade(1, 30_000)], 1)
    bars.update("trades", [trade(2, 59_999)], 2)
    assert sink.calls == []
    bars.update("trades", [trade(3, MINUTE), trade(4, MINUTE + 1)], 3)
    bars.update("trades", [trade(5, 2 * MINUTE)], 4)
    assert told(sink) == [("01:00", 2, False), ("01:00", 2, True), ("02:00", 1, False)]
    assert [call.final for call in sink.calls] == [False, True, False]
    assert sink.calls[1].t_ex == 2 * MINUTE
    bars.close()


async def test_history_that_joins_makes_the_first_bar_whole() -> None:
    sink = RecordingSink()

    async def history() -> list[dict[str, Any]]:
        return [trade(1, -5), trade(2, 10), trade(3, 20), trade(4, 30_000), trade(5, 30_001)]

    bars = bars_of(sink, history)
    bars.update("trades", [trade(4, 30_000)], 1)
    bars.update("trades", [trade(5, 30_001)], 2)
    await sink.until(lambda: sink.calls)
    bars.update("trades", [trade(6, MINUTE)], 3)
    assert told(sink) == [("00:00", 4, False), ("00:00", 4, True), ("01:00", 1, False)]
    bars.close()


@pytest.mark.parametrize("kind", ["fails", "late", "elsewhere"])
async def test_history_that_does_not_join_is_not_used(kind: str) -> None:
    sink = RecordingSink()

    async def history() -> list[dict[str, Any]]:
        if kind == "fails":
            raise ConnectionError("no")
        if kind == "late":
            return [trade(3, 20), trade(4, 30_000)]  # does not reach back to the bar's start
        return [trade(1, -5), trade(2, 10)]  # does not reach the first live trade

    bars = bars_of(sink, history)
    bars.update("trades", [trade(4, 30_000)], 1)
    await until(lambda: bars._builder is not None)
    bars.update("trades", [trade(5, MINUTE)], 2)
    assert told(sink) == [("01:00", 1, False)]
    bars.close()


async def test_after_a_loss_the_broken_bar_is_not_told() -> None:
    sink = RecordingSink()
    bars = bars_of(sink, None)
    for number, ts_ms in enumerate((0, MINUTE, MINUTE + 1)):
        bars.update("trades", [trade(number, ts_ms)], 1)
    bars.lost("trades", "upstream")
    for number, ts_ms in enumerate((MINUTE + 2, 2 * MINUTE)):
        bars.update("trades", [trade(number + 10, ts_ms)], 1)
    assert [call.name for call in sink.calls][2] == "lost"
    assert told_after_loss(sink) == [("02:00", 1, False)]
    bars.close()


def told_after_loss(sink: RecordingSink) -> list[tuple[str, float, bool]]:
    at = [call.name for call in sink.calls].index("lost")
    del sink.calls[: at + 1]
    return told(sink)


async def test_a_loss_ends_the_asking() -> None:
    sink, asked, never = RecordingSink(), asyncio.Event(), asyncio.Event()

    async def history() -> list[dict[str, Any]]:
        asked.set()
        await never.wait()
        return []

    bars = bars_of(sink, history)
    bars.update("trades", [trade(1, 0)], 1)
    await asked.wait()
    asking = bars._asking
    bars.lost("trades", "upstream")
    assert asking is not None
    await asyncio.wait([asking])
    assert asking.cancelled()


async def test_a_bar_is_closed_by_time_when_no_trade_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_MS", 50)
    sink = RecordingSink()
    bars = bars_of(sink, None, "1s")
    bars.update("trades", [trade(1, 999)], 1)
    bars.update("trades", [trade(2, 1_900)], 2)
    await sink.until(lambda: len(sink.calls) == 2, 5)
    assert sink.calls[-1].final
    assert sink.calls[-1].t_ex is None
    bars.update("trades", [trade(4, 2_900), trade(5, 3_950)], 4)
    await sink.until(lambda: len(sink.calls) == 5, 5)
    assert told(sink)[2:] == [("00:02", 1, True), ("00:03", 1, False), ("00:03", 1, True)]
    bars.close()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def names(sink: RecordingSink) -> list[str]:
    return [call.name for call in sink.calls]


async def closed_by_time(history: list[Any] | None, variant: str, last_ms: int) -> tuple[Bars, RecordingSink]:
    """One bar from `MINUTE` to `last_ms`, told as closed; then what is 3 s late may come."""
    sink, clock = RecordingSink(), Clock()

    async def ask() -> list[Any]:
        assert history is not None
        return history

    bars = Bars(Key("x", "bars", "BTC/USDT", variant), sink, ask if history else None, clock)
    bars.update("trades", [trade(1, MINUTE - 1)], 1)
    await until(lambda: bars._builder is not None)
    bars.update("trades", [trade(2, MINUTE), trade(3, last_ms)], 2)
    began_s = clock.now_s
    clock.now_s = bars._due_s
    bars.close()  # the timer is ours
    bars._due()
    assert [(call.name, call.final) for call in sink.calls] == [("publish", False), ("publish", True)]
    sink.calls.clear()
    clock.now_s = began_s + 3
    return bars, sink


async def test_a_trade_3_s_late_for_a_bar_that_was_told_is_an_announced_loss() -> None:
    bars, sink = await closed_by_time(None, "1s", MINUTE + 100)
    bars.update("trades", [trade(4, MINUTE + 200), trade(5, MINUTE + 999)], 3)
    assert [(call.name, call.data) for call in sink.calls] == [("lost", "resync")]
    bars.update("trades", [trade(6, MINUTE + 1_000)], 4)
    bars.update("trades", [trade(7, MINUTE + 1_500)], 5)
    bars.update("trades", [trade(8, MINUTE + 2_000)], 6)
    assert told_after_loss(sink) == [
        ("01:01", 1, False), ("01:01", 2, False), ("01:01", 2, True), ("01:02", 1, False)
    ]  # fmt: skip
    bars.close()


async def test_with_history_that_bar_is_told_again_and_whole() -> None:
    history = [trade(0, MINUTE - 2), trade(1, MINUTE - 1), trade(2, MINUTE), trade(3, 2 * MINUTE - 900)]
    bars, sink = await closed_by_time(history, "1m", 2 * MINUTE - 900)
    history.append(trade(4, 2 * MINUTE - 100))
    bars.update("trades", [trade(4, 2 * MINUTE - 100)], 3)
    bars.update("trades", [trade(5, 2 * MINUTE)], 4)
    await until(lambda: len(sink.calls) == 3)
    assert told_after_loss(sink) == [("01:00", 3, True), ("02:00", 1, False)]
    bars.close()


async def test_a_late_trade_takes_the_growing_bar_with_it() -> None:
    sink = RecordingSink()
    bars = bars_of(sink, None, "1s")
    for number, ts_ms in enumerate((0, 1_000, 2_000)):
        bars.update("trades", [trade(number, ts_ms)], number)
    bars.update("trades", [trade(4, 1_999)], 4)
    bars.update("trades", [trade(5, 2_999), trade(6, 3_000)], 5)
    assert names(sink) == ["publish"] * 3 + ["lost", "publish"]
    assert told_after_loss(sink) == [("00:03", 1, False)]
    bars.close()


async def test_trades_that_come_together_may_be_mixed_at_the_border() -> None:
    sink = RecordingSink()
    bars = bars_of(sink, None, "1s")
    bars.update("trades", [trade(1, 0)], 1)
    bars.update("trades", [trade(2, 1_000)], 2)
    bars.update("trades", [trade(4, 2_000, 3.0), trade(3, 1_999), trade(5, 2_001, 4.0)], 3)
    assert told(sink) == [("00:01", 1, False), ("00:01", 2, True), ("00:02", 2, False)]
    assert (sink.calls[-1].data["open"], sink.calls[-1].data["close"]) == (3, 4)
    bars.close()


async def test_nothing_is_closed_by_time_before_what_came_during_a_stall_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE_MS", 20)
    sink, clock = RecordingSink(), Clock()
    bars = Bars(Key("x", "bars", "BTC/USDT", "1s"), sink, None, clock)
    bars.update("trades", [trade(1, 999)], 1)
    bars.update("trades", [trade(2, 1_990)], 2)
    clock.now_s += 2.5  # stopped before the timer, continued after it
    overdue = bars._timer
    await until(lambda: bars._timer is not overdue)
    assert told(sink) == [("00:01", 1, False)]
    bars.update("trades", [trade(3, 1_995)], 3)
    bars.update("trades", [trade(4, 4_400)], 4)
    assert told(sink)[1:] == [("00:01", 2, False), ("00:01", 2, True), ("00:04", 1, False)]
    bars.close()


async def test_after_a_stall_without_a_trade_a_bar_is_closed_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_MS", 20)
    sink, clock = RecordingSink(), Clock()
    bars = Bars(Key("x", "bars", "BTC/USDT", "1s"), sink, None, clock)
    bars.update("trades", [trade(1, 999)], 1)
    bars.update("trades", [trade(2, 1_990)], 2)
    clock.now_s += 2.5
    await sink.until(lambda: len(sink.calls) == 2, 5)
    assert told(sink)[1:] == [("00:01", 1, True)]
    bars.close()


async def test_trades_that_say_too_little_are_left_out() -> None:
    sink = RecordingSink()
    bars = bars_of(sink, None, "1s")
    bars.update("trades", [{**trade(1, 0), "price": None}], 1)
    assert bars._builder is None
    bars.close()


def test_join() -> None:
    history = [trade(1, 5), trade(2, 10), trade(3, 11), trade(4, 12)]
    assert join(history, trade(4, 12), 10) == [trade(2, 10), trade(3, 11)]
    assert join(history, trade(2, 10), 10) == []
    assert join(history, trade(9, 12), 10) is None
    assert join(history, trade(4, 12), 5) is None
    assert join([], trade(4, 12), 5) is None
    anonymous = [{**one, "id": None} for one in history]
    assert join(anonymous, anonymous[-1], 10) is None
