"""Programs that come and go, against a server that says what the test wants."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import chain, count
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from loadtest import churn, watchers
from loadtest.churn import Account, Tally
from loadtest.hands import HANDS, IN_TURN
from loadtest.streams import Count

TICK_S = 0.01


class Gateway:
    """Numbers on one clock for everybody; remembers what was asked. Who is `mute` tells some who come only that they
    are subscribed."""

    def __init__(self, *, skips: int = 0, closes: bool = False, refuses: bool = False, mute: bool = False) -> None:
        self.asked: list[dict[str, object]] = []
        self.keys: list[str | None] = []
        self.skips, self.closes, self.refuses, self.mute = skips, closes, refuses, mute
        self.told = 0
        self.began_s = time.monotonic()

    @property
    def number(self) -> int:
        """Of the newest update of each stream."""
        return int((time.monotonic() - self.began_s) / TICK_S) * (1 + self.skips)

    async def talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.keys.append(socket.request.headers.get("x-api-key"))
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
        channel, accounts = request["channel"], request.get("account_ids")
        symbols = request["symbols"] if accounts is None else accounts
        assert isinstance(symbols, list)
        symbols = list(map(str, symbols))
        if self.refuses:
            await socket.send(json.dumps({"type": "error", "code": "no", "message": "not today"}))
            return
        if request["action"] == "unsubscribe":
            data: dict[str, object] = {"symbols": symbols, "errors": {}}
            await socket.send(json.dumps({"type": "unsubscribed", "channel": channel, "data": data}))
            return
        resumed, number, is_mute = "resume" in request, self.number, self.mute and len(self.asked) % 4 == 0
        if resumed:
            number = json.loads(json.dumps(request["resume"]))[symbols[0]]["sequence"]
        stream = {"epoch": "e", "sequence": number, "recovered": True if resumed else None, "replayed": 0}
        data = {"streams": {symbols[0]: stream}, "errors": {}}
        await socket.send(json.dumps({"type": "subscribed", "channel": channel, "data": data}))
        for told_before in count():
            number += 1 + self.skips
            if is_mute:
                await socket.wait_closed()
            await asyncio.sleep(max(0.0, number * TICK_S / (1 + self.skips) - (time.monotonic() - self.began_s)))
            told = {"type": "quote", "channel": channel, "kind": "update", "epoch": "e", "sequence": number}
            await socket.send(
                json.dumps({**told, "data": {"symbol": symbols[0], "account_id": symbols[0], "order_id": number}})
            )
            self.told += 1
            if self.closes and told_before == 3:  # by then both channels are subscribed
                await socket.close(1011)


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[str]:
    async with serve(gateway.talk, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISIT_S", "STALL_S", "AWAY_S"):
        monkeypatch.setattr(churn, name, (0.0, 0.05))


async def run_until(
    enough: Callable[[Tally], object], url: str, programs: int, symbols: list[str], patch: pytest.MonkeyPatch,
    account: Account | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What came of a run whose time is over once so much has been done, however long that takes."""
    tally = Tally()
    made = chain([tally], [Tally()])  # the second is of those who read the account
    patch.setattr(churn, "Tally", lambda: next(made))
    patch.setattr(churn, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 3600 * bool(enough(tally))))
    return await churn.run(url, programs, symbols, 60.0, account)


async def test_every_deed_is_done_and_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()

    def enough(tally: Tally) -> bool:
        asked = {"resume" if "resume" in request else request["action"] for request in gateway.asked}
        return all(tally.deeds.values()) and asked == {"subscribe", "unsubscribe", "resume"} and tally.reconnected > 20

    async with serving(gateway) as url:
        came = await run_until(enough, url, 10, ["A/B", "C/D", "E/F"], monkeypatch)
    assert came["first_failures"] == []
    assert (came["unannounced"], came["repeated"], came["lost"], came["behind"]) == (0, 0, 0, 0)
    assert all(came["deeds"][deed] for deed in churn.DEEDS)
    assert came["resumed"] > 0
    assert came["updates"] > 10
    assert 0 < came["reconnects"] == came["reconnected"]
    assert {request["action"] for request in gateway.asked} == {"subscribe", "unsubscribe"}


async def test_numbers_that_never_came_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(skips=2)
    async with serving(gateway) as url:
        came = await run_until(lambda _: gateway.told > 9, url, 1, ["A/B"], monkeypatch)
    assert came["unannounced"] == 2 * came["updates"] > 0


async def test_who_falls_silent_is_behind_those_who_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(churn, "CATCHES_UP_WITHIN_S", 0.05)
    async with serving(Gateway(mute=True)) as url:
        came = await run_until(lambda tally: tally.behind, url, 2 * len(HANDS), ["A/B"], monkeypatch)
    assert came["behind"] > 0
    assert (came["unannounced"], came["lost"]) == (0, 0)  # nothing else shows it


async def test_programs_read_books_and_throttled_streams_too(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()

    def enough(_tally: Tally) -> bool:
        asked = {(request["channel"], request.get("throttle_ms", 0)) for request in gateway.asked}
        return asked >= set(IN_TURN)

    async with serving(gateway) as url:
        came = await run_until(enough, url, len(HANDS), ["A/B"], monkeypatch)
    assert came["first_failures"] == []


async def test_those_of_an_account_show_a_key_and_are_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, traded = Gateway(), asyncio.Event()

    async def trade(http: str, key: str, account: int, tally: watchers.Tally) -> None:
        assert (http.partition("://")[0], key, account) == ("http", "a key", 7)
        tally.trades += 1
        traded.set()

    def enough(_tally: Tally) -> bool:
        return traded.is_set() and any("resume" in each and "account_ids" in each for each in gateway.asked)

    monkeypatch.setattr(watchers, "trade", trade)
    async with serving(gateway) as url:
        came = await run_until(enough, url, 1, ["A/B"], monkeypatch, Account(7, "a key", 2))
    of_account = [request for request in gateway.asked if "account_ids" in request]
    assert {request["channel"] for request in of_account} == {"orders", "deals"}
    assert not any(request["snapshot"] for request in of_account)
    assert {request["action"] for request in of_account} == {"subscribe"}  # nobody begins anew
    assert set(gateway.keys) == {"a key", None}
    had = came["of_account"]
    assert (had["trades"], had["first_failures"], had["lost"], had["behind"]) == (1, [], 0, 0)
    assert had["updates"] > 0
    assert 0 < had["orders_dealt_min"] <= gateway.number
    assert had["connects"] == 2
    assert came["connects"] == 1


async def test_a_connection_that_the_server_ends_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Gateway(closes=True)) as url:
        came = await run_until(lambda tally: tally.lost, url, 2, ["A/B"], monkeypatch)
    assert came["lost"] > 0
    assert came["failures"] == came["lost"]


async def test_a_refusal_is_a_failure_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Gateway(refuses=True)) as url:
        came = await run_until(lambda tally: tally.reconnects > 1, url, 1, ["A/B"], monkeypatch)
    assert came["reconnected"] == 0 < came["reconnects"]
    assert "not today" in came["first_failures"][0]


def test_figures_are_sums_over_the_programs() -> None:
    tally = Tally(connects=2, failures=[f"failure {number}" for number in range(9)])
    came = churn.figures(tally, [Count(updates=3, announced=1), Count(updates=4)])
    assert (came["updates"], came["announced"], came["connects"], came["failures"]) == (7, 1, 2, 9)
    assert len(came["first_failures"]) == churn.FAILURES_KEPT
