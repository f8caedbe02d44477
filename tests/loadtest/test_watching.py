"""Readings of a process while a block runs."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from loadtest import watching
from loadtest.bench.servers import GatewayStatus, Server
from loadtest.swarm import ToolError
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


async def test_a_server_that_cannot_be_read_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def refused(_server: Server) -> GatewayStatus:
        tries.append(1)
        if len(tries) > 1:
            raise ConnectionRefusedError("nobody there")
        return GatewayStatus(7, 3, {})

    monkeypatch.setattr(watching, "READ_EVERY_S_MIN", 0.01)
    monkeypatch.setattr(Server, "status", refused)
    with (
        pytest.raises(ToolError, match=r"could not be read during the run.*nobody there"),
        watching.watched(Server("ours", os.getpid(), 0, Path("log")), 0.0),
    ):
        await until(lambda: len(tries) >= 2)


def test_what_the_block_raises_goes_before_what_the_thread_did() -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise OSError("the thread")

    def block() -> None:
        with watching.repeated(fail, 0.0):
            failed.wait(5.0)
            raise ValueError("the block")

    with pytest.raises(ValueError, match="the block"):
        block()
