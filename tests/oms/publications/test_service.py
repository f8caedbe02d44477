"""Publications on a real database: kept, then told, once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from oms.errors import OmsError
from oms.model import Principal
from oms.publications import model
from oms.publications.model import News, Publication, Signal
from oms.publications.service import Publications
from oms.store import publications as store
from oms.store.pool import Pool

ANN = Principal(user_id=1, user_name="ann", api_key_id=5, may_publish=True)
BOB = Principal(user_id=2, user_name="bob", api_key_id=6, may_publish=True)


def signal(number: int = 1, **fields: Any) -> Signal:
    return Signal(signal_type="BUY", symbol="BTC/USDT", price=number, **fields)


class Told:
    """Publications, and what of them was told."""

    def __init__(self, pool: Pool, **options: Any) -> None:
        self.publications = Publications(pool, **options)
        self.rows: list[Publication] = []
        self.publications.listen(self.rows.append)

    @property
    def ids(self) -> list[int]:
        return [row.id for row in self.rows]


async def refusal(asked: Any) -> str:
    with pytest.raises(OmsError) as refused:
        await asked
    return refused.value.code


async def test_what_is_told_is_what_is_kept_and_in_the_order_of_ids(pool: Pool) -> None:
    told = Told(pool)

    async def look(row: Publication) -> None:
        assert await pool.fetchval("SELECT data::text FROM publications WHERE id = $1", row.id) == row.data.decode()

    bodies = [signal(number) if number % 3 else News(headline=f"{number}") for number in range(12)]
    await asyncio.gather(*(told.publications.publish(ANN, body) for body in bodies))
    assert told.ids == sorted(told.ids)
    assert len(told.ids) == 12
    await asyncio.gather(*map(look, told.rows))


async def test_one_id_of_a_key_is_one_publication(pool: Pool) -> None:
    told = Told(pool)
    first, again = [await told.publications.publish(ANN, signal(request_id="r")) for _ in range(2)]
    assert (first.replayed, again.replayed) == (False, True)
    assert again.publication == first.publication
    other = await told.publications.publish(BOB, signal(request_id="r"))
    news = await told.publications.publish(ANN, News(headline="x", request_id="r"))
    assert told.ids == [first.publication.id, other.publication.id, news.publication.id]
    assert await refusal(told.publications.publish(ANN, signal(2, request_id="r"))) == "idempotency_conflict"
    assert len(told.ids) == 3


async def test_two_at_once_with_one_id_are_told_once(pool: Pool) -> None:
    told = Told(pool)
    answers = await asyncio.gather(*(told.publications.publish(ANN, signal(request_id="r")) for _ in range(5)))
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 4
    assert len(told.ids) == 1


async def test_who_may_not_publish_keeps_nothing(pool: Pool) -> None:
    told = Told(pool)
    reader = Principal(user_id=3, user_name="eve", api_key_id=7)
    assert await refusal(told.publications.publish(reader, signal())) == "permission_denied"
    assert await refusal(told.publications.publish_json(reader, "nothing", b"{")) == "permission_denied"
    assert await refusal(told.publications.publish_json(ANN, "signals", b"{")) == "validation_error"
    assert await pool.fetchval("SELECT count(*) FROM publications") == 0


async def test_what_waits_for_the_database_is_bounded(pool: Pool) -> None:
    told = Told(pool, waiting_max=2)
    answers = await asyncio.gather(
        *(told.publications.publish(ANN, signal()) for _ in range(3)), return_exceptions=True
    )
    assert [getattr(answer, "code", "") for answer in answers] == ["", "", "rate_limited"]
    await told.publications.publish(ANN, signal())


async def test_who_cannot_hear_of_it_does_not_keep_others_from_it(pool: Pool) -> None:
    publications = Publications(pool)
    heard: list[int] = []

    def broken(_row: Publication) -> None:
        raise RuntimeError("as asked")

    publications.listen(broken)
    publications.listen(lambda row: heard.append(row.id))
    await publications.publish(ANN, signal())
    assert len(heard) == 1


async def test_what_was_kept_though_nobody_could_say_so_is_told_when_it_is_sent_again(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(pool)
    add = store.add

    async def lost(*arguments: Any) -> Any:
        await add(*arguments)
        raise ConnectionError("between the commit and the answer")

    monkeypatch.setattr(store, "add", lost)
    assert await refusal(told.publications.publish(ANN, signal(request_id="r"))) == "engine_unavailable"
    assert told.ids == []
    monkeypatch.undo()
    for _ in range(2):
        assert (await told.publications.publish(ANN, signal(request_id="r"))).replayed
    assert len(told.ids) == 1


async def test_the_oldest_go_when_they_are_too_old(pool: Pool) -> None:
    clock = [1_790_000_000_000_000_000]
    told = Told(pool, kept=timedelta(days=1), clock_ns=lambda: clock[0])
    for _ in range(3):
        await told.publications.publish(ANN, signal(request_id=f"r{clock[0]}"))
        clock[0] += 43_201 * 1_000_000_000
    kept = [row["id"] for row in await pool.fetch("SELECT id FROM publications ORDER BY id")]
    assert kept == told.ids[1:]


async def test_what_a_feed_lists_is_told_once(pool: Pool) -> None:
    clock = [1_790_000_000_000_000_000]

    def entries(told: Told, *names: str) -> list[tuple[bytes, Publication]]:
        bodies = [(name.encode(), News(headline=name)) for name in names]
        return [(name, model.made(body, "wire", told.publications.now_ns())) for name, body in bodies]

    told = Told(pool, kept=timedelta(days=1), clock_ns=lambda: clock[0])
    assert await told.publications.add_entries("one", entries(told, "a", "b", "a")) == 2
    assert await told.publications.add_entries("one", entries(told, "b", "c")) == 1
    again = Told(pool, kept=timedelta(days=1), clock_ns=lambda: clock[0])  # as after a restart
    assert await again.publications.add_entries("one", entries(again, "a", "b", "c")) == 0
    assert await again.publications.add_entries("other", entries(again, "a")) == 1
    clock[0] += 2 * 86_400 * 1_000_000_000
    assert await again.publications.add_entries("one", entries(again, "a", "b")) == 0, "it still lists them"
    assert await again.publications.add_entries("one", entries(again, "a", "c")) == 1, "c was gone, and is long ago"
    assert [row.data.split(b'"')[3] for row in told.rows + again.rows] == [b"a", b"b", b"c", b"a", b"c"]
