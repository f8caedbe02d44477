"""What is told of connections, of whatever dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.asyncio.client import connect

from gateway.app import App
from gateway.config import Config, ServerConfig
from gateway.core.private import Register
from gateway.net.record import TOLD_PER_TURN, Record
from tests.gateway.net.test_private import Scene
from tests.waiting import until


class FakeRegister:
    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []
        self.measures: list[Any] = []
        self.restored: dict[str, tuple[int | None, bytes]] = {}

    def told(self, connection_id: str, **fields: Any) -> None:
        self.rows.append((connection_id, {**fields, "streams": list(fields["streams"])}))

    def measured(self, values: Any) -> None:
        self.measures.append(values)

    async def restorable(self, connection_id: str, within_s: float) -> tuple[int | None, bytes] | None:
        return self.restored.get(connection_id)


class Recorded(Scene):
    def __init__(self) -> None:
        super().__init__()
        self.register = FakeRegister()
        wanted: Register = self.register
        self.record = self.rig.sessions.record = Record(wanted)
        self.rig.service.register = wanted

    def take(self) -> list[tuple[str, dict[str, Any]]]:
        rows, self.register.rows = self.register.rows, []
        return rows


async def test_a_connection_is_told_of_when_it_has_changed_and_at_its_end() -> None:
    scene = Recorded()
    client = scene.connect("ann")
    await scene.ask(client, action="subscribe", channel="bars", symbols=["BTC/USDT"], throttle_ms=60, timeframe="5m")
    await scene.subscribe(client)
    assert scene.take() == []
    scene.record.tick()
    ((name, row),) = scene.take()
    key_id = scene.users.rows["ann"].id
    assert (name, row["dialect"], row["api_key_id"], row["peer"]) == ("c1", "stream", key_id, "127.0.0.0/24")
    assert row["streams"] == [("bars", "BTC/USDT", "5m", 50), ("orders", "1", "", 0)]
    assert (row["closed_ns"], row["close_code"]) == (None, None)
    assert [each["channel"] for each in json.loads(row["body"])] == ["bars", "orders"]
    scene.record.tick()
    assert scene.take() == [], "nothing has changed"
    await scene.ask(client, action="unsubscribe", channel="bars")
    scene.record.tick()
    assert scene.take()[0][1]["streams"] == [("orders", "1", "", 0)]
    client.conn.close_code = 1001
    client.leave()
    ((_, row),) = scene.take()
    assert (row["close_code"], row["closed_ns"] > row["opened_ns"], len(row["streams"])) == (1001, True, 1)
    scene.record.tick()
    assert scene.take() == []


async def test_of_thousands_some_are_told_in_each_turn_and_none_after_its_end() -> None:
    scene = Recorded()
    clients = [scene.rig.connect() for _ in range(2 * TOLD_PER_TURN + 1)]
    scene.record.tick()
    told = scene.take()
    assert len(told) == TOLD_PER_TURN
    gone = next(each for each in clients if each.conn.id not in dict(told))
    gone.leave()
    assert [(name, row["close_code"]) for name, row in scene.take()] == [(gone.conn.id, 1006)]
    scene.record.tick()  # the next second begins before this one's are told
    await until(lambda: len(scene.register.rows) == TOLD_PER_TURN)
    assert not {gone.conn.id, *dict(told)} & set(dict(scene.take()))


async def test_one_that_cannot_be_told_of_does_not_keep_the_others_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Recorded()
    names = {scene.rig.connect().conn.id for _ in range(3)}
    told = scene.register.told

    def fails_once(connection_id: str, **fields: Any) -> None:
        monkeypatch.setattr(scene.register, "told", told)
        names.remove(connection_id)
        raise RuntimeError("as asked")

    monkeypatch.setattr(scene.register, "told", fails_once)
    with pytest.raises(RuntimeError, match="as asked"):
        scene.record.tick()
    await until(lambda: scene.register.rows)
    assert {name for name, _ in scene.take()} == names
    scene.rig.connect()
    scene.record.tick()
    assert len(scene.take()) == 1


async def test_other_dialects_are_told_of_without_what_they_read() -> None:
    scene = Recorded()
    scene.rig.connect_oms()
    scene.rig.connect_dashboard()
    scene.record.tick()
    assert sorted((row["dialect"], row["api_key_id"], row["body"]) for _, row in scene.take()) == [
        ("dashboard", None, b"[]"), ("oms", None, b"[]"),
    ]  # fmt: skip


async def test_what_another_process_recorded_is_restored_to_its_owner() -> None:
    scene = Recorded()
    body = b'[{"action":"subscribe","channel":"orders","account_ids":[1]}]'
    scene.register.restored = {"old": (scene.users.rows["ann"].id, body), "other": (99, body)}
    client = scene.connect("ann")
    restored, answer, _ = await scene.ask(client, action="restore", connection_id="old")
    assert (restored["data"]["requests"], answer["data"]["account_ids"]) == (1, [1])
    (answer,) = await scene.ask(client, action="restore", connection_id="other")
    assert answer["code"] == "validation_error"


async def test_what_connections_do_is_recorded_and_how_the_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.app.SAMPLE_S", 0.01)
    app = App(Config(server=ServerConfig(port=0)))
    register = FakeRegister()
    app.record(register)
    await app.start()
    try:
        async with connect(f"ws://127.0.0.1:{app.port}/v1/stream"):
            await until(lambda: register.rows and register.measures)
        await until(lambda: register.rows[-1][1]["closed_ns"])
    finally:
        await app.close()
    (opened, closed) = register.rows[0], register.rows[-1]
    assert (opened[0], opened[1]["dialect"], opened[1]["close_code"]) == (closed[0], "stream", None)
    assert closed[1]["close_code"] == 1000
    assert "connections" in register.measures[0]
