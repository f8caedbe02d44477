"""A signal while the gateway is still starting, which may take long: another process may have to end first."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway import process
from gateway.config import Config


async def test_a_gateway_that_waits_to_start_ends_at_the_first_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, left = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def serving(*_: Any) -> AsyncIterator[None]:
        waits.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        yield

    monkeypatch.setattr(process, "serving", serving)
    running = asyncio.create_task(process.run(Config()))
    await waits.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 5)
    assert left.is_set()


async def test_who_is_cancelled_from_outside_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def serving(*_: Any) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(process, "serving", serving)
    running = asyncio.create_task(process.run(Config()))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
