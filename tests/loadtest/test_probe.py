"""What the probe notes, of a server that says what the test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from loadtest import probe
from loadtest.probe import Probe
from loadtest.uptime import Announced, Slot
from tests.waiting import until

PATIENT_S = 20.0
GAP = {"type": "gap", "channel": "quotes", "symbol": "A/B", "epoch": "e", "from": 3, "to": 3, "reason": "upstream"}


class Gateway:
    """Two updates, a gap with a new epoch, and updates from then on; it answers pings, or closes at the first."""

    def __init__(self, *, mute: bool = False, closes: bool = False) -> None:
        self.mute, self.closes = mute, closes
        self.connections = 0

    async def talk(self, socket: ServerConnection) -> None:
        self.connections += 1
        telling: list[asyncio.Task[None]] = []
        try:
            async for raw in socket:
                request = json.loads(raw)
                if request["action"] == "subscribe":
                    telling.append(asyncio.create_task(self.tell(socket, request["channel"])))
                elif self.closes:
                    self.closes = False
                    await socket.close(1011)
                elif not self.mute:
                    await socket.send(json.dumps({"type": "pong", "id": request["id"]}))
        finally:
            for task in telling:
                task.cancel()
            await asyncio.gather(*telling, return_exceptions=True)

    async def tell(self, socket: ServerConnection, channel: str) -> None:
        stream = {"epoch": "e", "sequence": 0, "recovered": None}
        await socket.send(
            json.dumps({"type": "subscribed", "channel": channel, "data": {"streams": {"A/B": stream}, "errors": {}}})
        )
        frames = [("e", 1), ("e", 2), *((f"f{self.connections}", number) for number in range(1, 1_000))]
        for epoch, number in frames if channel == "quotes" else ():
            if (epoch, number) == frames[2]:
                await socket.send(json.dumps({**GAP, "new_epoch": epoch}))
            told = {"type": "quote", "channel": channel, "kind": "update", "epoch": epoch, "sequence": number}
            await socket.send(json.dumps({**told, "data": {"symbol": "A/B"}}))
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[str]:
    async with serve(gateway.talk, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SLOT_S", 0.05)
    monkeypatch.setattr(probe, "AGAIN_AFTER_S", 0.01)
    monkeypatch.setattr(probe, "ANSWER_WITHIN_S", PATIENT_S)


async def seen_until(enough: Callable[[Probe], object], url: str) -> dict[str, Any]:
    """What was noted when so much had been, however long that took."""
    one, over = Probe(url, ["A/B"]), asyncio.Event()
    running = asyncio.create_task(one.run(PATIENT_S, over))
    await until(lambda: enough(one))
    over.set()
    await running
    return probe.told(one)


async def test_answers_updates_and_gaps_are_noted() -> None:
    async with serving(Gateway()) as url:
        seen = await seen_until(lambda one: len(one.seen()) > 5 and one.gaps, url)
    slots = [Slot(*slot) for slot in seen["slots"]]
    assert len(slots) > 3
    assert all(slot.answered and slot.live for slot in slots)
    assert slots[-1].oldest_s > slots[0].oldest_s
    ((_at_s, stream, reason),) = [Announced(*gap) for gap in seen["gaps"]]
    assert (stream, reason) == ("quotes A/B", "upstream")
    assert seen["streams"] == ["quotes A/B", "trades A/B", "book A/B"]
    assert seen["flow"]["quotes"].per_s > 0
    assert seen["flow"]["trades"].per_s == 0  # nothing came
    assert seen["flow"]["trades"].silence_s > seen["flow"]["quotes"].silence_s
    assert (seen["unannounced"], seen["repeated"], seen["misfit"], seen["failures"]) == (0, 0, 0, [])


async def test_a_request_without_an_answer_is_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "ANSWER_WITHIN_S", 0.05)
    async with serving(Gateway(mute=True)) as url:
        seen = await seen_until(Probe.seen, url)
    assert seen["slots"]
    assert not any(Slot(*slot).answered for slot in seen["slots"])


async def test_an_answer_that_comes_too_late_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "ANSWER_WITHIN_S", -1.0)
    async with serving(Gateway()) as url:
        seen = await seen_until(lambda one: len(one.seen()) > 1, url)
    assert not any(Slot(*slot).answered for slot in seen["slots"])


async def test_who_is_thrown_out_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "ANSWER_WITHIN_S", 0.5)  # the request that it was thrown out for is waited for
    gateway = Gateway(closes=True)
    async with serving(gateway) as url:
        seen = await seen_until(lambda one: one.seen()[1:] and one.seen()[-1].answered, url)
    assert gateway.connections == 2
    assert "1011" in seen["failures"][0]
    assert not Slot(*seen["slots"][0]).answered
    assert any(Slot(*slot).answered for slot in seen["slots"])
