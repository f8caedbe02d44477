"""The journal on a real database: what is durable, in which order, in how many transactions, and what a loss leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from oms.errors import OmsError
from oms.journal import Journal, open_journal
from oms.model import Event, OrderState, PositionState
from oms.store import rows
from oms.store.pool import Pool
from oms.writes import CommandStatus, Writes
from tests.oms import full_rows

pytestmark = pytest.mark.every_server


class Heard:
    """What a journal told its owner."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.batches = 0
        self.lost: list[Exception] = []

    def on_committed(self, events: Sequence[Event]) -> None:
        self.events += events
        self.batches += 1

    def on_lost(self, error: Exception) -> None:
        self.lost.append(error)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@asynccontextmanager
async def opened(dsn: str, heard: Heard) -> AsyncIterator[Journal]:
    journal = await open_journal(dsn, on_committed=heard.on_committed, on_lost=heard.on_lost)
    try:
        yield journal
    finally:
        await journal.close()


async def transactions(pool: Pool) -> int:
    """How many numbers the server has given to transactions that write; asking takes one itself."""
    return int(await pool.fetchval("SELECT pg_current_xact_id()::text::bigint"))


async def test_writes_every_kind_of_row_as_it_is(dsn: str, pool: Pool, heard: Heard) -> None:
    await full_rows.make_account(pool)
    writes = Writes(
        commands={1: full_rows.command(1)},
        orders={1: full_rows.order(1)},
        deals={1: full_rows.deal(1)},
        positions={2: full_rows.position(2)},
        events=[full_rows.event(1)],
        sequences={1: full_rows.step(0, 1)},
    )
    async with opened(dsn, heard) as journal:
        await journal.append(writes)
    assert heard.events == [full_rows.event(1)]
    assert rows.command_of(await full_rows.only(pool, "SELECT * FROM oms_commands")) == full_rows.command(1)
    assert rows.order_of(await full_rows.only(pool, "SELECT * FROM oms_orders")) == full_rows.order(1)
    assert rows.deal_of(await full_rows.only(pool, "SELECT * FROM oms_deals")) == full_rows.deal(1)
    assert rows.position_of(await full_rows.only(pool, "SELECT * FROM oms_positions")) == full_rows.position(2)
    row = await full_rows.only(pool, "SELECT *, data::text AS text FROM oms_events")
    assert row["text"] == full_rows.event(1).data.decode()
    assert rows.sequences_of(await full_rows.only(pool, "SELECT * FROM accounts")) == full_rows.step(0, 1).new


async def test_a_row_that_changed_is_written_over(dsn: str, pool: Pool, heard: Heard) -> None:
    await full_rows.make_account(pool)
    changed = full_rows.order(1, state=OrderState.FILLED, version=9, closed_ns=full_rows.T, flags=(), error_code=None)
    answered = full_rows.command(
        1, status=CommandStatus.OK, result={"order_id": 1}, order_id=1, finished_ns=full_rows.T
    )
    moved = full_rows.position(2, qty=Decimal("-3"), version=5)
    async with opened(dsn, heard) as journal:
        await journal.append(
            Writes(
                orders={1: full_rows.order(1)}, commands={1: full_rows.command(1)}, positions={2: full_rows.position(2)}
            )
        )
        await journal.append(Writes(orders={1: changed}, commands={1: answered}, positions={2: moved}))
    assert rows.order_of(await full_rows.only(pool, "SELECT * FROM oms_orders")) == changed
    assert rows.command_of(await full_rows.only(pool, "SELECT * FROM oms_commands")) == answered
    assert rows.position_of(await full_rows.only(pool, "SELECT * FROM oms_positions")) == moved


async def test_many_at_once_share_transactions(dsn: str, pool: Pool, heard: Heard) -> None:
    """Of 200 the first goes alone, because nothing is being written then; all others wait, and go together."""
    await full_rows.make_account(pool)
    async with opened(dsn, heard) as journal:
        await journal.append(Writes())
        before = await transactions(pool)

        async def command(number: int) -> None:
            await journal.append(full_rows.one(number))

        await asyncio.gather(*[command(number) for number in range(1, 201)])
        assert await transactions(pool) - before - 1 <= 2
    assert await pool.fetchval("SELECT count(*) FROM oms_orders") == 200
    assert [event.sequence for event in heard.events] == list(range(1, 201))


async def test_what_comes_while_one_batch_is_written_is_the_next(dsn: str, pool: Pool, heard: Heard) -> None:
    await full_rows.make_account(pool)
    async with opened(dsn, heard) as journal:
        numbers = iter(range(1, 1001))

        async def trader() -> None:
            for _ in range(10):
                await journal.append(full_rows.one(next(numbers)))

        before = await transactions(pool)
        await asyncio.gather(*[trader() for _ in range(32)])
        # 32 at a time, each ten times after its last was durable: ten rounds, and a few that were not in step.
        assert await transactions(pool) - before - 1 == heard.batches <= 2 * 10
    assert await pool.fetchval("SELECT count(*) FROM oms_orders") == 320
    assert [event.sequence for event in heard.events] == list(range(1, 321))


async def test_a_batch_is_bounded(dsn: str, pool: Pool, heard: Heard) -> None:
    await full_rows.make_account(pool)
    async with opened(dsn, heard) as journal:
        journal._rows_max = 10
        await asyncio.gather(*[journal.append(full_rows.one(number)) for number in range(1, 21)])
        assert heard.batches == 4


async def test_what_was_appended_is_told_after_it_is_durable(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    told: list[int] = []
    journal = await open_journal(dsn, on_committed=lambda events: told.append(len(events)), on_lost=lambda _: None)
    done = journal.append(full_rows.one(1))
    assert not told
    await done
    assert told == [1]
    assert await pool.fetchval("SELECT count(*) FROM oms_events") == 1
    await journal.close()


async def test_a_second_desk_is_refused(dsn: str, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.journal.LOCK_WAIT_S", 0.01)
    async with opened(dsn, heard):
        with pytest.raises(OmsError, match="another process runs the desk"):
            await open_journal(dsn, on_committed=heard.on_committed, on_lost=heard.on_lost)
    async with opened(dsn, heard):
        pass


async def test_a_second_writer_changes_nothing_and_is_lost(dsn: str, pool: Pool, heard: Heard) -> None:
    """Whatever became of the lock: sequences do not follow, so the batch is refused as a whole."""
    await full_rows.make_account(pool)
    async with opened(dsn, heard) as journal:
        await journal.append(full_rows.one(1))
        await pool.execute("UPDATE accounts SET event_sequence = 5")
        waiting = [journal.append(full_rows.one(2)), journal.append(full_rows.one(3))]
        for done in waiting:
            with pytest.raises(OmsError) as caught:
                await done
            assert caught.value.code == "engine_unavailable"
        assert "another desk" in str(heard.lost)
    assert len(heard.lost) == 1
    assert await pool.fetchval("SELECT count(*) FROM oms_orders") == 1
    assert len(heard.events) == 1


async def test_a_lost_connection_fails_what_waits_and_all_that_comes(dsn: str, pool: Pool, heard: Heard) -> None:
    await full_rows.make_account(pool)
    async with opened(dsn, heard) as journal:
        done = journal.append(full_rows.one(1))
        await done
        blocked = await pool.acquire()
        transaction = blocked.transaction()
        await transaction.start()
        await blocked.execute("LOCK TABLE oms_orders")
        waiting = [journal.append(full_rows.one(2)), journal.append(full_rows.one(3))]
        await pool.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%oms_write(%' "
                           "AND pid <> pg_backend_pid()")  # fmt: skip
        for done in waiting:
            with pytest.raises(OmsError):
                await done
        await transaction.rollback()
        await pool.release(blocked)
        assert len(heard.lost) == 1
        with pytest.raises(OmsError):
            await journal.append(full_rows.one(2))
    assert len(heard.lost) == 1
    assert [event.sequence for event in heard.events] == [1]


async def test_a_connection_lost_while_nothing_is_written_is_noticed(dsn: str, pool: Pool) -> None:
    lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lost.set_result)
    await pool.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%lock_timeout%' "
                       "AND pid <> pg_backend_pid()")  # fmt: skip
    assert isinstance(await lost, ConnectionError)
    await journal.close()


async def test_a_text_with_a_character_of_code_0_is_kept_without_it(dsn: str, pool: Pool, heard: Heard) -> None:
    await full_rows.make_account(pool)
    said = 'a\x00b\\u0000c\\\x00"'
    async with opened(dsn, heard) as journal:
        await journal.append(Writes(orders={1: full_rows.order(1, error_message=said, params={"x": said})}))
    kept = rows.order_of(await full_rows.only(pool, "SELECT * FROM oms_orders"))
    assert kept.error_message == said.replace("\x00", "\ufffd") == kept.params["x"]


async def test_one_batch_may_hand_on_a_net_key_in_any_order(dsn: str, pool: Pool, heard: Heard) -> None:
    await full_rows.make_account(pool)
    key = "1:BTC/USDT"
    closed = full_rows.position(1, net_key=key, state=PositionState.CLOSED, closed_ns=full_rows.T)
    async with opened(dsn, heard) as journal:
        await journal.append(Writes(positions={1: full_rows.position(1, net_key=key)}))
        await journal.append(Writes(positions={2: full_rows.position(2, net_key=key), 1: closed}))
    assert not heard.lost
    assert await pool.fetchval("SELECT id FROM oms_positions WHERE state = 'open'") == 2


async def test_two_open_positions_of_a_net_key_are_refused(dsn: str, pool: Pool, heard: Heard) -> None:
    await full_rows.make_account(pool)
    two = {number: full_rows.position(number, net_key="1:BTC/USDT") for number in (1, 2)}
    async with opened(dsn, heard) as journal:
        with pytest.raises(OmsError):
            await journal.append(Writes(positions=two, orders={1: full_rows.order(1)}))
    assert "oms_positions_net" in str(heard.lost)
    assert await pool.fetchval("SELECT count(*) FROM oms_orders") == 0


async def test_nothing_to_write_is_durable_once_all_before_it_is(dsn: str, pool: Pool, heard: Heard) -> None:
    await full_rows.make_account(pool)
    async with opened(dsn, heard) as journal:
        before = await transactions(pool)
        assert journal.append(Writes()).done()
        first = journal.append(Writes(commands={1: full_rows.command(1)}))
        second = journal.append(Writes())
        assert not second.done()
        await second
        assert first.done()
        assert await transactions(pool) - before - 1 <= 2
