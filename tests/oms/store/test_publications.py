"""Statements about publications that the service's own tests do not show: pages."""

from __future__ import annotations

from datetime import timedelta

from oms.publications import model
from oms.publications.model import Body, News, Signal
from oms.store import publications
from oms.store.pool import Pool
from tests.oms.full_rows import T

KEPT = timedelta(days=30)


async def test_pages_are_the_newest_first_of_a_channel_a_symbol_and_a_source(pool: Pool) -> None:
    bodies: list[Body] = [
        News(headline="a", symbols=["X", "Y"], source="one"),
        Signal(signal_type="BUY", symbol="X"),
        News(headline="b", symbols=["Y"], source="two"),
        News(headline="c", source="one"),
    ]
    made = [model.made(body, "ann", T + number * 1_000) for number, body in enumerate(bodies)]
    kept = [(await publications.add(pool, row, 5, KEPT)).publication for row in made]
    a, signal, b, c = kept
    assert [row._replace(id=0) for row in kept] == made
    assert await publications.newest(pool, "signals", limit=9) == [signal]
    assert await publications.newest(pool, "news", limit=9) == [c, b, a]
    assert await publications.newest(pool, "news", limit=1, before_id=c.id) == [b]
    assert await publications.newest(pool, "news", limit=9, symbol="Y") == [b, a]
    assert await publications.newest(pool, "news", limit=9, symbol="Y", source="one") == [a]
    assert await publications.newest(pool, "news", limit=9, source="nobody") == []
