"""A source on a simulated exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.sources.tools import RecordingSink, Rig, source_on, synthetic


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with synthetic(symbols=60) as server:
        sink = RecordingSink()
        source = source_on(server, sink, connection_silence_ms=1_000)
        await source.start()
        yield Rig(server, source, sink)
        await source.close()
