"""What quotes do not carry of a ticker: asked for all symbols at once, and never in the way of what is live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from ccxt.base.errors import ExchangeNotAvailable

import driver.days
from driver.days import Days
from tests.waiting import until

HOUR_MS = 3_600_000.0


class Asked:
    """Who is asked, and what for."""

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []
        self.error: Exception | None = None
        self.watched: list[str] = []
        self.is_there = asyncio.Event()
        self.is_there.set()
        self.days = Days(self.ask, lambda: self.watched)

    async def ask(self, symbols: Sequence[str]) -> dict[str, Any]:
        self.rounds.append(list(symbols))
        await self.is_there.wait()
        if self.error is not None:
            raise self.error
        return {symbol: {"high": len(self.rounds)} for symbol in symbols}


@pytest.fixture(name="asked")
async def _asked() -> AsyncIterator[Asked]:
    asked = Asked()
    yield asked
    asked.days.close()


async def test_who_comes_first_waits_and_all_others_have_it(asked: Asked) -> None:
    await asyncio.gather(asked.days.known(["A", "B"], HOUR_MS), asked.days.known(["B"], HOUR_MS))
    assert asked.rounds[0] == ["A", "B"]
    asked.watched = ["A", "B"]
    rounds = len(asked.rounds)
    await asked.days.known(["A"], HOUR_MS)
    assert len(asked.rounds) == rounds
    await asked.days.known(["A", "C"], HOUR_MS)
    assert asked.rounds[-1] == ["A", "B", "C"]


async def test_what_nobody_watches_is_not_asked_for_any_more(asked: Asked) -> None:
    asked.watched = ["A"]
    await asked.days.known(["A"], 1)
    await until(lambda: len(asked.rounds) >= 3)
    asked.watched = []
    await until(lambda: not asked.days.by_symbol)
    asked.watched = ["A"]
    await asked.days.known(["A"], HOUR_MS)
    assert set(asked.days.by_symbol) == {"A"}


async def test_a_failure_is_no_reason_to_wait_and_what_is_old_is_forgotten(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.watched = ["A"]
    await asked.days.known(["A"], 1)
    asked.error = ExchangeNotAvailable("no")
    await asyncio.wait_for(asked.days.known(["A", "B"], HOUR_MS), 1)
    assert asked.days.by_symbol["A"]
    assert asked.days.by_symbol["B"] == {}
    monkeypatch.setattr(driver.days, "OLD_MS", 0)
    await until(lambda: asked.days.by_symbol["A"] == {})


async def test_a_ticker_is_not_held_back_for_long(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver.days, "WAIT_MS_MAX", 1)
    asked.is_there.clear()
    await asyncio.wait_for(asked.days.known(["A"], HOUR_MS), 1)
    assert asked.days.by_symbol == {}
