"""What connections of clients did, on its way to the database: kept in memory for a moment, never waited for.

Holds a bounded number of rows; with the database away what does not fit is given up and counted. Must not know a
socket, nor SQL.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from uuid import uuid4

import structlog

from oms.store import connections
from oms.store.connections import ConnectionRow, MetricRow, StreamRow
from oms.store.pool import UNAVAILABLE, Pool

log = structlog.get_logger(__name__)

EVERY_S: Final = 1.0  # how long something may wait to be written
BATCH_MAX: Final = 500  # rows: they are encoded at a stretch, in some 5 ms, while everything else waits
WAITING_MAX: Final = 200_000  # rows: of connections that have something to be written, and their subscriptions
METRICS_MAX: Final = 20_000
ASKING_MAX: Final = 2  # of the database's connections at a time: anybody may ask, and who trades needs them too
ALIVE_S: Final = 5.0  # by as much less than they may, connections that a death of ours ends are restored
FORGET_S: Final = 600.0
DAY_NS: Final = 86_400_000_000_000


class Connections:
    """Those that are not written yet, each once, as it is now."""

    def __init__(
        self,
        pool: Pool,
        *,
        kept_days: float = 30,
        waiting_max: int = WAITING_MAX,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.given_up = 0  # connections and measures that did not fit
        self._pool = pool
        self._kept_ns = int(kept_days * DAY_NS)
        self._waiting_max = waiting_max
        self._clock_ns = clock_ns
        self._waiting: dict[str, ConnectionRow] = {}
        self._rows = 0  # that wait
        self._asking = asyncio.Semaphore(ASKING_MAX)
        self._metrics: deque[MetricRow] = deque()
        self._forgot_s = 0.0
        self._alive_s = 0.0
        self._process = uuid4().hex
        self._told_given_up = 0

    def told(
        self,
        connection_id: str,
        *,
        dialect: str,
        api_key_id: int | None,
        peer: str,
        opened_ns: int,
        closed_ns: int | None,
        close_code: int | None,
        body: bytes,
        streams: Iterable[tuple[str, str, str, int]],
    ) -> None:
        """A connection as it is now; of one that waits already the newest counts."""
        row = ConnectionRow(
            connection_id, dialect, api_key_id, peer, opened_ns, self._clock_ns(), closed_ns, close_code,
            body.decode(), _rows_of(streams),
        )  # fmt: skip
        former = self._waiting.get(connection_id)
        more = row.size - (0 if former is None else former.size)
        if more > 0 and self._rows + more > self._waiting_max:
            self.given_up += 1
            return
        self._waiting[connection_id] = row
        self._rows += more

    def measured(self, values: Mapping[str, float]) -> None:
        """How the gateway does now, by name."""
        if len(self._metrics) + len(values) > METRICS_MAX:
            self.given_up += len(values)
            return
        now_ns = self._clock_ns()
        self._metrics.extend(MetricRow(now_ns, name, value) for name, value in values.items())

    async def restorable(self, connection_id: str, within_s: float) -> tuple[int | None, bytes] | None:
        """The API key and the subscriptions of a connection that is there or has ended within this time.

        None without a database, too: then nobody knows.
        """
        waiting = self._waiting.get(connection_id)
        since_ns = self._clock_ns() - int(within_s * 1e9)
        if waiting is not None:
            is_past = waiting.closed_ns is not None and waiting.closed_ns < since_ns
            return None if is_past else (waiting.api_key_id, waiting.body.encode())
        try:
            async with self._asking:
                found = await connections.restorable(self._pool, connection_id, since_ns, self._process)
        except UNAVAILABLE as error:
            log.info("subscriptions cannot be restored", error=str(error) or type(error).__name__)
            return None
        return None if found is None else (found[0], found[1].encode())

    async def keep(self) -> None:
        """Until cancelled: write what comes, and forget what is too old."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits. While the database is away, which the desk has said, it goes on waiting."""
        if self.given_up > self._told_given_up:
            log.warning("connections not recorded: too many waited", count=self.given_up - self._told_given_up)
            self._told_given_up = self.given_up
        try:
            if time.monotonic() >= self._alive_s:
                await connections.alive(self._pool, self._process, self._clock_ns())
                self._alive_s = time.monotonic() + ALIVE_S
            while self._waiting:
                await self._write()
            while self._metrics:
                batch = [self._metrics.popleft() for _ in range(min(BATCH_MAX, len(self._metrics)))]
                try:
                    await connections.write_metrics(self._pool, batch)
                except UNAVAILABLE:
                    self._metrics.extendleft(reversed(batch))
                    raise
            if time.monotonic() >= self._forgot_s:
                self._forgot_s = time.monotonic() + FORGET_S
                before_ns = self._clock_ns() - self._kept_ns
                while await connections.forget(self._pool, before_ns) >= connections.FORGOTTEN_MAX:
                    pass  # there may be more
        except UNAVAILABLE as error:
            log.debug("connections cannot be recorded", error=str(error) or type(error).__name__)
        except Exception:  # what cannot be written at all must not keep the next ones from being
            log.exception("connections not recorded")

    async def _write(self) -> None:
        """A batch; back in its place when the database is away, unless there is something newer."""
        batch: list[ConnectionRow] = []
        count = 0
        for row in self._waiting.values():
            if count >= BATCH_MAX:
                break
            batch.append(row)
            count += row.size
        for row in batch:
            del self._waiting[row.id]
        self._rows -= count
        try:
            await connections.write(self._pool, batch, self._process)
        except UNAVAILABLE:
            for row in batch:
                if self._waiting.setdefault(row.id, row) is row:
                    self._rows += row.size
            raise


def _rows_of(streams: Iterable[tuple[str, str, str, int]]) -> tuple[StreamRow, ...]:
    """One of each name: two that a client tells apart may be one as a column takes them, and the last one counts."""
    named = {(channel, _text(name), timeframe): throttle_ms for channel, name, timeframe, throttle_ms in streams}
    return tuple(StreamRow(*names, throttle_ms) for names, throttle_ms in named.items())


def _text(name: str) -> str:
    """As a column takes it: a client may have written anything, and must not spoil the batch of others."""
    return name.replace("\x00", "").encode(errors="replace").decode()
