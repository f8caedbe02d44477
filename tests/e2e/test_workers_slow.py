"""Clients that read slowly or not at all, whose sockets another process than the first has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection

from gateway.core.away import AwayOutbox
from gateway.limits import Limits
from gateway.net.connection import Connection
from gateway.net.links import Link
from tests.e2e.trading import Served, ask, serving, take
from tests.waiting import until

TRIES = 200  # the kernel spreads connections over the processes by chance
SUBSCRIBE = {"action": "subscribe", "channel": "orders", "account_ids": [1], "snapshot": False}
SMALL = Limits(
    queue_state_bytes=32_768,
    queue_append_bytes=32_768,
    queue_bytes_max=327_680,
    send_buffer_bytes=16_384,
    private_behind_events_max=1_000,
)
EVENTS = 2_500  # of a kilobyte


@asynccontextmanager
async def on_worker(served: Served, **options: Any) -> AsyncIterator[tuple[ClientConnection, Connection]]:
    """A client whose socket is not the first process's, and what that has of it."""
    async with AsyncExitStack() as others:
        for _ in range(TRIES):
            client, connection_id = await others.enter_async_context(served.greeted(**options))
            (connection,) = (each for each in served.app.listener.connections if each.id == connection_id)
            if isinstance(connection.outbox, AwayOutbox):
                yield client, connection
                return
    raise AssertionError("nobody has landed on another process")


def waits(connection: Connection, to: Link, sent: int) -> bool:
    """Whether more than so much was sent to its worker in all, and much waits for it in the first process."""
    return to.bytes > sent and connection.outbox.queued_bytes > SMALL.queue_append_bytes


async def test_a_long_replay_is_read_slowly_and_whole(dsn: str) -> None:
    async with serving(dsn, limits=SMALL, workers=2) as served:
        async with served.connect() as client:
            epoch = (await ask(client, **SUBSCRIBE))["data"]["streams"]["1"]["epoch"]
        await served.trading.commit(EVENTS)
        async with on_worker(served, rcvbuf_bytes=4_096, max_queue=1) as (client, connection):
            assert served.app.workers is not None
            to = served.app.workers.seats[0].link
            assert to is not None
            resume = {"1": {"epoch": epoch, "sequence": 0}}
            await client.send(json.dumps({**SUBSCRIBE, "resume": resume}))
            # It takes no more than buffers do, and the rest of the replay waits for it in the first process
            await until(partial(waits, connection, to, 0))
            assert (await take(client))["type"] == "subscribed"
            got: list[int] = []
            for _ in range(3):  # by fits and starts: each time it is sent as much again as buffers take
                sent = to.bytes
                got += [(await take(client))["sequence"] for _ in range(400)]
                await until(partial(waits, connection, to, sent))
            got += [(await take(client))["sequence"] for _ in range(EVENTS - len(got))]
            assert got == list(range(1, EVENTS + 1))
