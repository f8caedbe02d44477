"""The outbox on a real journal: nothing before it is durable, nothing left out between the table and memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.errors import OmsError
from oms.journal import Journal, open_journal
from oms.memory import Memory
from oms.model import Event, Permission, Principal
from oms.outbox import Feed, Outbox, Snapshot, View
from oms.store import progress
from oms.store.pool import Pool
from oms.writes import Sequences, Writes
from tests.oms import full_rows
from tests.oms.full_rows import T

ADMIN = Principal(user_id=1, user_name="root", api_key_id=1, is_admin=True)


def reader(*strategies: int, **fields: Any) -> Principal:
    """Who may see account 1, or some strategies of it."""
    permission = Permission(account_id=1, strategies=frozenset(strategies), **fields)
    return Principal(user_id=2, user_name="ann", api_key_id=2, permissions={1: permission})


def teller(account_id: int = 1, sequences: Sequences | None = None) -> Memory:
    """The numbering of the desk."""
    return Memory(account_id, sequences or Sequences(), 10)


def told(memory: Memory, *strategies: int) -> Writes:
    """An order of each of these strategies, created."""
    for strategy in strategies:
        number = memory.sequences.orders + 1
        memory.put_order(full_rows.order(number, strategy_id=strategy), "order_created", T, None)
    return memory.take()


@asynccontextmanager
async def opened(dsn: str, outbox: Outbox) -> AsyncIterator[Journal]:
    journal = await open_journal(dsn, on_committed=outbox.committed, on_lost=lambda _: None)
    try:
        yield journal
    finally:
        await journal.close()


async def numbers(view: View, after: int = 0, limit: int = 1000) -> list[int]:
    return [event.channel_sequence for event in (await view.read(after, limit)).events]


async def test_what_is_committed_wakes_who_listens_and_not_before(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool), teller()
    view = await outbox.open(ADMIN, 1, "orders")
    woken: list[int] = []

    def on_more() -> None:
        woken.append(view.newest)

    view.listen(on_more)
    async with opened(dsn, outbox) as journal:
        done = journal.append(told(memory, 0, 0))
        assert (woken, view.newest, await view.read(0, 10)) == ([], 0, ([], 0))
        await done
        assert (woken, view.newest, view.epoch) == ([2], 2, "e1")
        assert [event.event for event in (await view.read(1, 10)).events] == ["order_created"]
        await journal.append(told(memory, 0))
        view.unlisten(on_more)
        await journal.append(told(memory, 0))
    assert woken == [2, 3]


async def test_who_cannot_hear_of_it_does_not_stop_the_journal(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool), teller()
    view = await outbox.open(ADMIN, 1, "orders")
    woken: list[int] = []

    def broken() -> None:
        raise RuntimeError("as asked")

    def on_more() -> None:
        woken.append(view.newest)

    view.listen(broken)
    view.listen(on_more)
    async with opened(dsn, outbox) as journal:
        await journal.append(told(memory, 0))
        await journal.append(told(memory, 0))
    assert woken == [1, 2]


async def test_whoever_listens_to_an_account_hears_of_each_commit_and_of_a_reset(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool), teller()
    heard: list[str] = []

    def fails() -> None:
        heard.append("failed")
        raise RuntimeError("a bug of who listens")

    def listens() -> None:
        heard.append("heard")

    outbox.listen(1, fails)
    outbox.listen(1, listens)
    outbox.listen(2, listens)
    async with opened(dsn, outbox) as journal:
        await journal.append(told(memory, 0, 0))
        assert sorted(heard) == ["failed", "heard"], "once, and the journal goes on"
        outbox.unlisten(1, fails)
        outbox.unlisten(2, listens)
        outbox.reset()
        assert sorted(heard) == ["failed", "heard", "heard"]


async def test_older_events_are_read_from_the_table_and_are_the_same(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool, ring_events=4), teller()
    view = await outbox.open(ADMIN, 1, "orders")
    async with opened(dsn, outbox) as journal:
        await journal.append(told(memory, *range(10)))
    fresh = await Outbox(pool).open(ADMIN, 1, "orders")
    assert fresh.newest == 10
    assert await numbers(view) == await numbers(fresh) == list(range(1, 11))
    assert await view.read(0, 10) == await fresh.read(0, 10)
    assert await numbers(view, 3, 2) == [4, 5]
    assert await numbers(view, 6, 2) == [7, 8]
    assert (await view.read(10, 5), await view.read(99, 5)) == (([], 10), ([], 99))


async def test_channels_and_accounts_are_apart(dsn: str, pool: Pool) -> None:
    for name in ("first", "second"):
        await full_rows.make_account(pool, name)
    outbox, memory, other = Outbox(pool), teller(), teller(2)
    views = [await outbox.open(ADMIN, *key) for key in ((1, "orders"), (1, "deals"), (2, "orders"), (1, "positions"))]
    async with opened(dsn, outbox) as journal:
        memory.put_deal(full_rows.deal(1), T, None)
        memory.put_position(full_rows.position(2), T, None)
        await journal.append(told(memory, 0, 0))
        other.tell("orders", "risk_changed", {"x": 1}, T, None)
        await journal.append(other.take())
    assert [view.newest for view in views] == [2, 1, 1, 1]
    assert [json.loads((await view.read(0, 1)).events[0].data).get("id") for view in views] == [1, 1, None, 2]


async def test_a_key_for_some_strategies_sees_their_events_only(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool), teller()
    view = await outbox.open(reader(1, 2), 1, "orders")
    async with opened(dsn, outbox) as journal:
        await journal.append(told(memory, 0, 1, 3, 2, 3))
        memory.tell("orders", "risk_changed", {"said": "of the whole account"}, T, None)
        await journal.append(memory.take())
    events, upto = await view.read(0, 100)
    assert ([event.channel_sequence for event in events], upto) == ([2, 4], 6)
    assert view.is_partial
    snapshot = await view.snapshot()
    assert snapshot.sequence == 6
    assert [order["strategy_id"] for order in json.loads(snapshot.items or b"")] == [1, 2]


async def test_who_may_see_what(pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox = Outbox(pool)
    stranger = Principal(user_id=3, user_name="eve", api_key_id=3)
    for principal, account_id, code in (
        (stranger, 1, "account_not_found"),
        (ADMIN, 9, "account_not_found"),
        (reader(can_read=False, can_trade=True), 1, "permission_denied"),
    ):
        with pytest.raises(OmsError) as refused:
            await outbox.open(principal, account_id, "orders")
        assert refused.value.code == code
    view = await outbox.open(reader(), 1, "orders")
    assert view.is_for(reader())
    assert view.is_for(ADMIN)
    assert not view.is_for(reader(1))
    assert not view.is_for(stranger)
    assert not view.is_for(reader(can_read=False))


async def test_a_snapshot_counts_exactly_up_to_its_number(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool), teller()
    async with opened(dsn, outbox) as journal:
        memory.put_deal(full_rows.deal(1), T, None)
        memory.put_position(full_rows.position(2), T, None)
        await journal.append(told(memory, 0, 0))
    orders = await (await outbox.open(ADMIN, 1, "orders")).snapshot()
    assert (orders.sequence, [each["id"] for each in json.loads(orders.items or b"")]) == (2, [1, 2])
    positions = await (await outbox.open(ADMIN, 1, "positions")).snapshot()
    assert (positions.sequence, [each["id"] for each in json.loads(positions.items or b"")]) == (1, [2])
    assert await (await outbox.open(ADMIN, 1, "deals")).snapshot() == Snapshot(1, None)


async def test_a_snapshot_may_know_more_than_was_told_yet(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool), teller()
    view = await outbox.open(ADMIN, 1, "orders")
    untold = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await untold.append(told(memory, 0, 0))
    await untold.close()
    assert (await view.snapshot()).sequence == view.newest == 2
    await outbox.ack(ADMIN, 1, "orders", 2)
    assert await numbers(view) == [1, 2]


async def test_confirmations_are_kept_by_key(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool), teller()
    async with opened(dsn, outbox) as journal:
        await journal.append(told(memory, 0, 0, 0))
    assert await outbox.acked(ADMIN, 1, "orders") is None
    await outbox.ack(ADMIN, 1, "orders", 2)
    await outbox.ack(ADMIN, 1, "orders", 1)
    assert await outbox.acked(ADMIN, 1, "orders") == 2
    assert await outbox.acked(reader(), 1, "orders") is None
    with pytest.raises(OmsError, match="no event has that number yet"):
        await outbox.ack(ADMIN, 1, "orders", 4)
    with pytest.raises(OmsError, match="no such account"):
        await outbox.ack(reader(), 2, "orders", 1)


async def test_what_a_lost_journal_left_is_told_after_reset(dsn: str, pool: Pool) -> None:
    """It was durable, and the process that committed it never heard so."""
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool), teller()
    view = await outbox.open(ADMIN, 1, "orders")
    async with opened(dsn, outbox) as journal:
        await journal.append(told(memory, 0))
    unheard = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await unheard.append(told(memory, 0, 0))
    await unheard.close()
    assert await numbers(view, 1) == []
    woken = asyncio.Event()
    view.listen(woken.set)
    outbox.reset()
    assert woken.is_set()
    assert await numbers(view, 1) == [2, 3]
    async with opened(dsn, outbox) as journal:
        await journal.append(told(memory, 0))
    assert await numbers(view, 1) == [2, 3, 4]


async def test_a_number_read_while_the_journal_was_lost_is_read_again(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[asyncio.Future[tuple[str, int]]] = []

    async def position(*_: Any) -> tuple[str, int]:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    monkeypatch.setattr("oms.outbox.streams.position", position)
    feed = Feed(pool, 1, "orders", 4)
    task = asyncio.create_task(feed.locate())
    await asyncio.sleep(0)
    feed.forget()
    answers[0].set_result(("e", 5))
    while len(answers) < 2:  # noqa: ASYNC110  # a turn of the loop, not a time
        await asyncio.sleep(0)
    answers[1].set_result(("e", 7))
    await task
    assert feed.newest == 7


async def test_memory_holds_no_two_parts_with_a_hole_between(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox, memory = Outbox(pool), teller()
    view = await outbox.open(ADMIN, 1, "orders")
    async with opened(dsn, outbox) as journal:
        await journal.append(told(memory, 0, 0))
    unheard = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await unheard.append(told(memory, 0))
    await unheard.close()
    async with opened(dsn, outbox) as journal:
        await journal.append(told(memory, 0))
    assert await numbers(view) == await numbers(view) == [1, 2, 3, 4]


async def test_without_a_database_there_is_a_code(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    outbox = Outbox(pool)
    await pool.close()
    with pytest.raises(OmsError) as refused:
        await outbox.open(ADMIN, 1, "orders")
    assert refused.value.code == "engine_unavailable"


class Table:
    """What is committed, read in slices as the table is."""

    def __init__(self) -> None:
        self.rows: list[Event] = []

    async def events_after(self, _db: Any, _account_id: int, after: int, *, channel: str, limit: int) -> list[Event]:
        await asyncio.sleep(0)
        found = self.rows[after : after + limit]
        await asyncio.sleep(0)
        return found

    async def position(self, *_: Any) -> tuple[str, int]:
        found = len(self.rows)
        await asyncio.sleep(0)
        return "e", found


# One step each: how many events become durable, how many of those durable are told, how far a reader reads, a journal
# that is lost, and turns of the loop for what is under way.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(1, 5)),
        st.tuples(st.just("tell"), st.integers(1, 8)),
        st.tuples(st.just("read"), st.integers(0, 2)),
        st.just(("lose", 0)),
        st.tuples(st.just("turn"), st.integers(1, 3)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 6), st.integers(0, 4))
def test_each_reader_gets_each_number_once_and_in_order(
    steps: list[tuple[str, int]], ring_events: int, before: int
) -> None:
    """Whatever lies between commit and telling, and whenever the three readers come."""
    asyncio.run(play(steps, ring_events, before))


async def turns(count: int) -> None:
    """Let the loop run, so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


class Play:
    """A table, what of it was not told yet, and three readers."""

    def __init__(self, ring_events: int) -> None:
        self.table = Table()
        self.outbox = Outbox(None, ring_events=ring_events)  # type: ignore[arg-type]  # the table stands in for it
        self.untold: list[Event] = []
        self.got: list[list[int]] = [[], [], []]
        self.readers: dict[int, asyncio.Task[None]] = {}

    def commit(self, count: int) -> None:
        for _ in range(count):
            self.table.rows.append(full_rows.event(len(self.table.rows) + 1))
            self.untold.append(self.table.rows[-1])

    def tell(self, count: int) -> None:
        self.outbox.committed(self.untold[:count])
        del self.untold[:count]

    def lose(self, _: int) -> None:
        self.untold.clear()
        self.outbox.reset()

    def read(self, who: int) -> None:
        if who not in self.readers:
            self.readers[who] = asyncio.create_task(self._follow(self.got[who]))

    async def _follow(self, mine: list[int]) -> None:
        view = await self.outbox.open(ADMIN, 1, "orders")
        more = asyncio.Event()
        view.listen(more.set)
        while True:
            more.clear()
            page = await view.read(len(mine), 3)
            mine += [each.channel_sequence for each in page.events]
            assert page.upto == len(mine)
            if not page.events:
                await more.wait()


async def play(steps: list[tuple[str, int]], ring_events: int, before: int) -> None:
    scene = Play(ring_events)
    scene.commit(before)
    scene.untold.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oms.outbox.history.events_after", scene.table.events_after)
        patch.setattr("oms.outbox.streams.position", scene.table.position)
        for name, count in [*steps, ("commit", 1), ("tell", 1000), *[("read", who) for who in range(3)]]:
            if name == "turn":
                await turns(count)
            else:
                getattr(scene, name)(count)
        await turns(40 + 6 * len(scene.table.rows))
        for task in scene.readers.values():
            assert not task.done()
            task.cancel()
        await asyncio.gather(*scene.readers.values(), return_exceptions=True)
    assert scene.got == [list(range(1, len(scene.table.rows) + 1))] * 3


async def test_confirmations_survive_in_the_table(pool: Pool) -> None:
    await full_rows.make_account(pool)
    await Outbox(pool).ack(ADMIN, 1, "deals", 0)
    assert await progress.acks(pool, ADMIN.api_key_id, 1) == {"deals": 0}
