"""The journal: what the desk decided becomes durable here, in the order in which it was decided.

Holds group commit: while one batch is being committed the next gathers, and goes as one transaction in one round trip.
Must not know what a row means, nor what is done once it is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import asyncpg

from oms.errors import OmsError
from oms.model import Event
from oms.store import alerts as alerts_store
from oms.store import rows
from oms.store.pool import Connection, connect
from oms.writes import Writes

DESK_LOCK: Final = 0x6F6D73  # one desk a database
LOCK_WAIT_S: Final = 5.0  # the lock of a desk that died is let go once the server has noticed
COMMIT_S: Final = 30.0
ROWS_MAX: Final = 2_000
WRITE: Final = "SELECT oms_write($1, $2, $3, $4, $5, $6)"
WRITE_ALERTS: Final = f"{WRITE}, oms_write_alerts($1, $7)"


class _Unit(NamedTuple):
    """What must be durable together, and who waits for that."""

    writes: Writes
    done: asyncio.Future[None]


class Journal:
    """The one writer of a database. Once lost it stays so: what is in memory must be read anew, with a new journal."""

    def __init__(
        self,
        connection: Connection,
        *,
        on_committed: Callable[[Sequence[Event]], None],
        on_lost: Callable[[Exception], None],
        rows_max: int = ROWS_MAX,
    ) -> None:
        """`on_committed` is told of events in order, after they are durable; `on_lost`, once, why nothing more will
        be: it may be unknown whether what was being written then is durable."""
        self._connection = connection
        self._on_committed = on_committed
        self._on_lost = on_lost
        self._rows_max = rows_max
        self._waiting: deque[_Unit] = deque()
        self._writing: list[_Unit] = []
        self._task: asyncio.Task[None] | None = None
        self._lost: Exception | None = None
        connection.add_termination_listener(self._on_terminated)

    def append(self, writes: Writes) -> asyncio.Future[None]:
        """Take over what changed. The future is done once it is durable; OmsError when that cannot be said."""
        done = asyncio.get_running_loop().create_future()
        if self._lost:
            _refuse(done)
        elif not writes and self._task is None:
            done.set_result(None)  # all that came before is durable
        else:
            self._waiting.append(_Unit(writes, done))
            if self._task is None:
                self._task = asyncio.create_task(self._write())
        return done

    async def close(self) -> None:
        """Write what waits and let go of the database."""
        if self._task:
            await self._task
        self._lost = self._lost or ConnectionError("the journal is closed")
        self._connection.remove_termination_listener(self._on_terminated)
        await self._connection.close()

    async def _write(self) -> None:
        """Until nothing waits. What is appended meanwhile is the next batch."""
        try:
            while self._waiting and not self._lost:
                self._writing = self._gather()
                batch = Writes()
                for unit in self._writing:
                    batch.extend(unit.writes)
                await self._commit(batch)
                if self._lost:  # between the server's answer and this line: told as unknown, and so it stays
                    return
                written, self._writing = self._writing, []
                for unit in written:
                    if not unit.done.done():
                        unit.done.set_result(None)
                if batch.events:
                    self._on_committed(batch.events)
        except Exception as error:  # whatever it was, memory and database may differ from here on
            self._lose(error)
        finally:
            self._task = None

    def _gather(self) -> list[_Unit]:
        """As many units as a batch takes, one at least."""
        batch = [self._waiting.popleft()]
        count = batch[0].writes.rows
        while self._waiting and count + self._waiting[0].writes.rows <= self._rows_max:
            batch.append(self._waiting.popleft())
            count += batch[-1].writes.rows
        return batch

    async def _commit(self, batch: Writes) -> None:
        alerts = [rows.encode([alerts_store.row_of(alert) for alert in batch.alerts.values()])] if batch.alerts else []
        await self._connection.execute(
            WRITE_ALERTS if alerts else WRITE,
            rows.encode([rows.step_row(step) for step in batch.sequences.values()]),
            rows.encode([rows.command_row(command) for command in batch.commands.values()]),
            rows.encode([rows.order_row(order) for order in batch.orders.values()]),
            rows.encode([rows.position_row(position) for position in batch.positions.values()]),
            rows.encode([rows.deal_row(deal) for deal in batch.deals.values()]),
            rows.encode([rows.event_row(event) for event in batch.events]),
            *alerts,
            timeout=COMMIT_S,
        )

    def _on_terminated(self, _: object) -> None:
        self._lose(ConnectionError("the database ended the connection"))

    def _lose(self, error: Exception) -> None:
        if self._lost:
            return
        self._lost = error
        for unit in [*self._writing, *self._waiting]:
            if not unit.done.done():
                _refuse(unit.done)
        self._writing = []
        self._waiting.clear()
        self._connection.terminate()
        self._on_lost(error)


def _refuse(done: asyncio.Future[None]) -> None:
    done.set_exception(
        OmsError("engine_unavailable", "the order database is not available; ask again what became of it")
    )
    done.exception()  # told once by `on_lost`: nobody has to wait for each


class DeskTakenError(OmsError):
    """Another process is the one writer."""

    def __init__(self) -> None:
        super().__init__("engine_unavailable", "another process runs the desk of this database")


async def open_journal(
    dsn: str,
    *,
    on_committed: Callable[[Sequence[Event]], None],
    on_lost: Callable[[Exception], None],
    wait_s: float | None = None,
) -> Journal:
    """Become the one writer of a database, until `close`. DeskTakenError when another process still is, after
    `wait_s` (LOCK_WAIT_S)."""
    connection = await connect(dsn, json_as_text=True)
    try:
        await connection.execute(f"SET lock_timeout = '{LOCK_WAIT_S if wait_s is None else wait_s}s'")
        await connection.execute("SELECT pg_advisory_lock($1)", DESK_LOCK)
        await connection.execute("RESET lock_timeout")
    except asyncpg.LockNotAvailableError:
        await connection.close()
        raise DeskTakenError from None
    except BaseException:  # cancelled, too: whoever waits can be told to end
        connection.terminate()
        raise
    return Journal(connection, on_committed=on_committed, on_lost=on_lost)
