"""Programs that come and go, against a server that says what the test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from loadtest import churn
from loadtest.churn import Tally
from loadtest.streams import Count


class Gateway:
    """Numbers on one clock for everybody; remembers what was asked."""

    def __init__(self, *, skips: int = 0, closes: bool = False, refuses: bool = False) -> None:
        self.asked: list[dict[str, object]] = []
        self.skips, self.closes, self.refuses = skips, closes, refuses
        self.number = 0

    async def talk(self, socket: ServerConnection) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                sending: dict[object, asyncio.Task[None]] = {}
                async for raw in socket:
                    request = json.loads(raw)
                    self.asked.append(request)
                    if request["channel"] in sending:
                        sending[request["channel"]].cancel()
                    sending[request["channel"]] = group.create_task(self._answer(socket, request))
                for task in sending.values():
                    task.cancel()
        except* ConnectionClosed:
            pass

    async def _answer(self, socket: ServerConnection, request: dict[str, object]) -> None:
        symbols, channel = request["symbols"], request["channel"]
        assert isinstance(symbols, list)
        if self.refuses:
            await socket.send(json.dumps({"type": "error", "code": "no", "message": "not today"}))
            return
        if request["action"] == "unsubscribe":
            data: dict[str, object] = {"symbols": symbols, "errors": {}}
            await socket.send(json.dumps({"type": "unsubscribed", "channel": channel, "data": data}))
            return
        resumed, number = "resume" in request, 0
        if resumed:
            number = json.loads(json.dumps(request["resume"]))[symbols[0]]["sequence"]
        stream = {"epoch": "e", "sequence": number, "recovered": True if resumed else None, "replayed": 0}
        data = {"streams": {symbols[0]: stream}, "errors": {}}
        await socket.send(json.dumps({"type": "subscribed", "channel": channel, "data": data}))
        for told_before in count():
            number += 1 + self.skips
            told = {"type": "quote", "channel": channel, "kind": "update", "epoch": "e", "sequence": number}
            await socket.send(json.dumps({**told, "data": {"symbol": symbols[0]}}))
            if self.closes and told_before == 3:  # by then both channels are subscribed
                await socket.close(1011)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[str]:
    async with serve(gateway.talk, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISIT_S", "STALL_S", "AWAY_S"):
        monkeypatch.setattr(churn, name, (0.0, 0.05))


async def test_every_deed_is_done_and_nothing_is_missing() -> None:
    gateway = Gateway()
    async with serving(gateway) as url:
        came = await churn.run(url, programs=10, symbols=["A/B", "C/D", "E/F"], seconds=1.0)
    assert came["first_failures"] == []
    assert (came["unannounced"], came["repeated"], came["lost"]) == (0, 0, 0)
    assert all(came["deeds"][deed] for deed in churn.DEEDS)
    assert came["resumed"] > 0
    assert came["updates"] > 10
    assert 0 < came["reconnects"] == came["reconnected"]
    assert {request["action"] for request in gateway.asked} == {"subscribe", "unsubscribe"}


async def test_numbers_that_never_came_are_counted() -> None:
    async with serving(Gateway(skips=2)) as url:
        came = await churn.run(url, programs=1, symbols=["A/B"], seconds=0.3)
    assert came["unannounced"] == 2 * came["updates"] > 0


async def test_a_connection_that_the_server_ends_is_lost() -> None:
    async with serving(Gateway(closes=True)) as url:
        came = await churn.run(url, programs=2, symbols=["A/B"], seconds=0.3)
    assert came["lost"] > 0
    assert came["failures"] == came["lost"]


async def test_a_refusal_is_a_failure_to_connect() -> None:
    async with serving(Gateway(refuses=True)) as url:
        came = await churn.run(url, programs=1, symbols=["A/B"], seconds=0.2)
    assert came["reconnected"] == 0 < came["reconnects"]
    assert "not today" in came["first_failures"][0]


def test_figures_are_sums_over_the_programs() -> None:
    tally = Tally(connects=2, failures=[f"failure {number}" for number in range(9)])
    came = churn.figures(tally, [Count(updates=3, announced=1), Count(updates=4)])
    assert (came["updates"], came["announced"], came["connects"], came["failures"]) == (7, 1, 2, 9)
    assert len(came["first_failures"]) == churn.FAILURES_KEPT
