"""Readings of a process while a block runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from loadtest import watching
from loadtest.bench.servers import GatewayStatus, Server
from tests.waiting import until


async def test_a_server_is_read_until_the_block_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "READ_EVERY_S_MIN", 0.01)
    monkeypatch.setattr(Server, "status", lambda _self: GatewayStatus(7, 3, {}))
    with watching.watched(Server("ours", os.getpid(), 0, Path("log")), 0.0) as readings:
        await until(lambda: len(readings) >= 3)
    assert len(readings) >= 3
    assert all(each.messages == 7 and each.memory_KiB > 1_000 and each.cpu_s > 0 for each in readings)
    assert [each.at_s for each in readings] == sorted(each.at_s for each in readings)
    assert readings[-1].at_s <= time.monotonic()
