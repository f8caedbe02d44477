"""Pages of trades against histories of every shape: all of it, once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.venues import paging
from oms.venues.convert import UnclearError

Rows = list[dict[str, Any]]
WINDOW_MS = 100


def history(gaps_ms: list[int], start_ms: int = 1_000) -> Rows:
    """Trades that far apart, numbered."""
    rows, now_ms = [], start_ms
    for number, gap_ms in enumerate(gaps_ms, 5):
        now_ms += gap_ms
        rows.append({"id": str(number), "timestamp": now_ms})
    return rows


class Exchange:
    """Lists trades as Binance does: by time in one window at most, or by number; oldest first, a page at most."""

    def __init__(self, rows: Rows, page_rows: int) -> None:
        self.rows = rows
        self.page_rows = page_rows

    async def fetch(self, since_ms: int | None, params: dict[str, Any]) -> Rows:
        if "fromId" in params:
            assert since_ms is None
            found = [row for row in self.rows if int(row["id"]) >= params["fromId"]]
        else:
            assert since_ms is not None
            until_ms = params.get("until", since_ms + WINDOW_MS - 1)
            assert until_ms < since_ms + WINDOW_MS
            found = [row for row in self.rows if since_ms <= row["timestamp"] <= until_ms]
        return found[: self.page_rows]

    async def fetch_by_time(self, since_ms: int | None, params: dict[str, Any]) -> Rows:
        assert since_ms is not None
        assert not params
        return [row for row in self.rows if row["timestamp"] >= since_ms][: self.page_rows]


@given(st.lists(st.sampled_from([0, 1, 99, 100, 101, 350]), max_size=12), st.integers(1, 4), st.integers(900, 1_500))
async def test_by_id_none_is_missed(gaps_ms: list[int], page_rows: int, since_ms: int) -> None:
    rows = history(gaps_ms)
    exchange = Exchange(rows, page_rows)
    now_ms = max([since_ms, *(row["timestamp"] for row in rows)])
    found = await paging.by_id(exchange.fetch, since_ms, now_ms, window_ms=WINDOW_MS, page_rows=page_rows)
    assert found == [row for row in rows if row["timestamp"] >= since_ms]


@given(st.lists(st.integers(1, 50), max_size=12), st.integers(2, 4), st.integers(900, 1_500))
async def test_by_time_none_is_missed(gaps_ms: list[int], page_rows: int, since_ms: int) -> None:
    rows = history(gaps_ms)
    found = await paging.by_time(Exchange(rows, page_rows).fetch_by_time, since_ms)
    assert found == [row for row in rows if row["timestamp"] >= since_ms]


async def test_a_page_that_hides_others_is_not_taken_for_all() -> None:
    exchange = Exchange(history([1, 0, 0, 0, 0]), 3)
    with pytest.raises(UnclearError):
        await paging.by_time(exchange.fetch_by_time, 0, full_rows=3)


async def test_trades_without_numbers_are_told_apart_by_what_they_are() -> None:
    rows: Rows = [
        {"timestamp": 5, "order": "1", "side": "buy", "price": "1", "amount": "1"},
        {"timestamp": 5, "order": "1", "side": "buy", "price": "1", "amount": "2"},
    ]
    assert await paging.by_time(Exchange(rows, 10).fetch_by_time, 0) == rows


async def test_trades_that_are_alike_in_all_are_as_many_as_one_page_has() -> None:
    twins: Rows = [{"timestamp": at, "order": "1", "side": "buy", "price": "1", "amount": "1"} for at in (4, 5, 5)]
    assert await paging.by_time(Exchange(twins, 10).fetch_by_time, 0) == twins, "pages overlap, and tell no more"
    assert await paging.by_time(Exchange(twins, 2).fetch_by_time, 0, full_rows=3) == twins, "a page had but one of them"
    numbered = [{**row, "id": "7"} for row in twins[1:]]
    assert await paging.by_time(Exchange(numbered, 10).fetch_by_time, 0) == numbered[:1]
