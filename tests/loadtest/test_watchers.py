"""Clients of the account dialect, against a server that says what the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from websockets.asyncio.server import ServerConnection, serve

from loadtest import watchers
from loadtest.watchers import Tally, Watcher
from tests.waiting import until

PATIENT_S = 60.0
AT = "2026-02-07T14:30:00.123Z"


def update(old: float | None, new: float, **marks: bool) -> dict[str, Any]:
    return {"type": "account_update", "timestamp": AT, "changes": {"equity": {"old": old, "new": new}}, **marks}


OPENED = {"type": "position_opened", "timestamp": AT, "position": {"ticket": 1}}
CLOSED = {"type": "position_closed", "timestamp": AT, "ticket": 1}


@pytest.mark.parametrize(
    ("messages", "broken"),
    [
        ([update(None, 1.0, snapshot=True), update(1.0, 2.0), update(2.0, 3.0)], 0),
        ([update(None, 1.0, snapshot=True), update(2.0, 3.0)], 1),
        ([update(None, 1.0, snapshot=True), update(None, 5.0, snapshot=True), update(5.0, 6.0)], 0),
        ([OPENED, CLOSED, OPENED], 0),
        ([OPENED, OPENED], 1),
        ([{**OPENED, "snapshot": True}, {**OPENED, "snapshot": True}], 0),
        ([CLOSED], 1),
        ([OPENED, {"type": "position_modified", "ticket": 2}], 1),
    ],
)
def test_each_change_goes_on_from_the_one_before(messages: list[dict[str, Any]], broken: int) -> None:
    tally = Tally()
    watcher = Watcher(tally)
    for message in messages:
        watcher.take(message, 0.0)
    assert tally.broken == broken


def test_the_longest_silence_is_between_two_updates() -> None:
    watcher = Watcher(Tally())
    watcher.take(update(None, 1.0, snapshot=True), 100.0)
    for number, at_s in enumerate((101.0, 103.5, 104.0), start=1):
        watcher.take(update(float(number), number + 1.0), at_s)
    assert (watcher.updates, watcher.silence_s) == (3, 2.5)


def test_who_is_told_nothing_any_more_is_in_silence_from_then_and_from_connecting_before_the_first() -> None:
    watcher = Watcher(Tally())
    assert watcher.quiet_s(100.0) == 0.0  # it never was there, and is counted as lost
    watcher.connected(100.0)
    assert watcher.quiet_s(107.0) == 7.0
    watcher.take(update(None, 1.0, snapshot=True), 104.0)
    assert (watcher.silence_s, watcher.quiet_s(105.0), watcher.quiet_s(400.0)) == (4.0, 4.0, 296.0)


def test_each_pong_is_timed_from_its_own_ping_however_late_it_is() -> None:
    tally = Tally()
    watcher = Watcher(tally)
    for pinged_s in (100.0, 105.0):
        watcher.ping(pinged_s)
    for answered_s in (105.002, 105.003):
        watcher.take({"type": "pong"}, answered_s)
    assert dict(tally.pongs_us) == pytest.approx({5_002_000.0: 1, 3_000.0: 1})
    watcher.take({"type": "pong"}, 106.0)
    assert tally.failures == ["pong: no ping waits for one"]


def test_a_ping_without_an_answer_counts_once_it_is_old_enough() -> None:
    watcher = Watcher(Tally())
    for pinged_s in (100.0, 105.0, 110.0):
        watcher.ping(pinged_s)
    watcher.take({"type": "pong"}, 100.1)
    assert [watcher.unanswered(now_s) for now_s in (105.5, 106.1, 110.5, 120.0)] == [0, 1, 1, 2]


def test_an_update_is_timed_from_when_the_account_was_read() -> None:
    tally = Tally()
    Watcher(tally).take({**update(None, 1.0), "timestamp": "1970-01-01T00:01:40.000Z"}, 100.0123)
    ((us, count),) = watchers.buckets(tally.updates_us)
    assert us == pytest.approx(12_300)
    assert count == 1


class Gateway:
    """Tells an account to everybody, answers pings, and is fond of nobody who comes too late."""

    def __init__(self, conns_max: int = 100, *, mute: bool = False) -> None:
        self.conns_max, self.mute = conns_max, mute
        self.pings = 0
        self.keys: list[str | None] = []

    async def talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.keys.append(socket.request.headers.get("x-api-key"))
        if len(self.keys) > self.conns_max:
            await socket.close(1013)
            return
        await socket.send(json.dumps({"type": "connected", "account_id": "1"}))
        await socket.send(json.dumps(update(None, 1.0, snapshot=True)))
        async for raw in socket:
            assert json.loads(raw) == {"type": "ping"}
            self.pings += 1
            if self.mute:
                continue
            await socket.send('{"type":"pong"}')


@asynccontextmanager
async def serving(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, enough: Callable[[Tally], bool]
) -> AsyncIterator[str]:
    """The run ends with its trading, which is over once this holds."""

    async def trade(_http: str, _key: str, _account: int, tally: Tally) -> None:
        await until(lambda: enough(tally))

    monkeypatch.setattr(watchers, "trade", trade)
    monkeypatch.setattr(watchers, "PING_EVERY_S", 0.05)
    async with serve(gateway.talk, "127.0.0.1", 0, compression=None) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def test_all_are_told_and_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()

    def enough(tally: Tally) -> bool:
        return tally.messages["pong"] >= 5 == tally.messages["account_update"]

    async with serving(gateway, monkeypatch, enough) as url:
        came = await watchers.run(url, "a key", 1, 5, PATIENT_S)
    assert gateway.keys == ["a key"] * 5
    assert (came["alive"], came["failures"], came["broken"]) == (5, 0, 0)
    assert came["messages"]["pong"] == sum(count for _us, count in came["pongs_us"]) >= 5


async def test_what_falls_silent_after_the_first_word_is_seen_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "PONG_WITHIN_S", -1.0)  # no wait

    gateway = Gateway(mute=True)

    def enough(tally: Tally) -> bool:
        return tally.messages["account_update"] == 3 and gateway.pings >= 9

    async with serving(gateway, monkeypatch, enough) as url:
        came = await watchers.run(url, "a key", 1, 3, PATIENT_S)
    assert came["unanswered"] >= 9
    assert came["silence_max_s"] > 0
    assert came["updates_max"] == 0  # what one is told on connecting is none


async def test_who_is_refused_or_thrown_out_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def enough(tally: Tally) -> bool:
        return len(tally.failures) == 2 and tally.messages["account_update"] == 3

    async with serving(Gateway(conns_max=3), monkeypatch, enough) as url:
        came = await watchers.run(url, "a key", 1, 5, PATIENT_S)
    assert (came["alive"], came["failures"]) == (3, 2)
    assert "1013" in came["first_failures"][0]


async def test_a_trade_that_is_not_answered_as_one_is_a_failure_and_the_next_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a gateway that is overloaded, replaced or wrong says, and then what is right."""
    refused = {"code": "risk_blocked", "message": "no"}
    answers = iter([
        web.json_response({"code": "rate_limited"}, status=429),
        web.Response(text="not there", status=503),
        web.Response(text="{", content_type="application/json"),
        web.json_response([]),
        web.json_response({"results": []}),
        None,
        web.json_response({"results": [{"error": refused}]}),
        web.json_response({"results": [{"error": {**refused, "code": "exchange_unavailable"}}]}),
    ])  # fmt: skip

    async def command(request: web.Request) -> web.Response:
        done = web.json_response({"results": [{"error": None}]})
        answer = next(answers, done)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
        return answer or done

    app = web.Application()
    app.router.add_post("/oms/commands", command)
    monkeypatch.setattr(watchers, "TRADE_EVERY_S", 0.0)
    tally = Tally()
    async with TestServer(app) as server:
        trading = asyncio.create_task(watchers.trade(str(server.make_url("")).rstrip("/"), "a key", 1, tally))
        await until(lambda: trading.done() or tally.trades > 0)
        trading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await trading
    assert tally.trades > 0
    kinds = [failure.split(": ")[1] for failure in tally.failures]
    assert kinds == [
        "KeyError", "ContentTypeError", "JSONDecodeError", "TypeError", "IndexError", "ServerDisconnectedError",
        "risk_blocked",
    ]  # fmt: skip
