"""What others change in the database, heard as it happens: an administrator's command line, another gateway.

Holds the listening connection and its renewal. Must not know what is done about a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from oms.errors import OmsError
from oms.store.pool import FAILURES, connect

CHANNEL: Final = "tickwire"
RETRY_S: Final = 1.0


async def follow(dsn: str, heard: Callable[[str | None], None]) -> None:
    """Until cancelled: `heard` gets the name of each table that was changed, and None when it may be any of them
    (at the start, and when changes may have been missed)."""

    def on_notice(_connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        heard(payload)

    while True:
        ended = asyncio.Event()
        try:
            connection = await connect(dsn)
        except OmsError:
            await asyncio.sleep(RETRY_S)
            continue
        connection.add_termination_listener(lambda _, ended=ended: ended.set())
        try:
            await connection.add_listener(CHANNEL, on_notice)
            heard(None)
            await ended.wait()
        except FAILURES:
            await asyncio.sleep(RETRY_S)
        finally:
            connection.terminate()
