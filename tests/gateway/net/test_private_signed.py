"""Private streams whose events are signed, and commands that are: what reaches the room, and whom it is for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.private import Signature
from oms import signing
from tests.gateway.net.test_private import Scene


async def test_events_are_signed_for_the_connection_that_asks() -> None:
    scene = Scene()
    scene.room.orders.commit(0)
    first, second, plain = scene.connect(), scene.connect(), scene.connect()
    second.conn.id = "c2"
    told = {}
    for name, client in (("first", first), ("second", second)):
        answer, snapshot = await scene.subscribe(client, sign=True)
        assert answer["data"]["errors"] == {}
        told[name] = [snapshot]
    await scene.subscribe(plain)
    scene.room.orders.commit(0)
    await scene.settle()
    told["first"] += first.conn.take()
    told["second"] += second.conn.take()
    (unsigned,) = plain.conn.take()
    assert "sig" not in unsigned
    for name, client in (("first", first), ("second", second)):
        key = signing.events_key(scene.room.signing_secret or b"", client.conn.id)
        for message in told[name]:
            data = json.dumps(message["data"]).replace(', "event": ', ',"event":')  # the room writes with spaces
            if message["kind"] == "snapshot":
                data = f'{{"account_id":1,"items":{json.dumps(message["data"]["items"])}}}'
            text = f"{message['epoch']}.{message['sequence']}.{message['timestamp']}.{data}"
            assert message["sig"] == signing.sign(key, text.encode())
    assert told["first"][0]["sig"] != told["second"][0]["sig"]
    (listed,) = (await scene.ask(first, action="list"))[0]["data"]["subscriptions"]
    assert listed["sign"] is True


async def test_a_key_that_cannot_sign_is_told_for_the_account() -> None:
    scene = Scene()
    scene.room.signing_secret = None
    (answer,) = await scene.subscribe(scene.connect(), sign=True)
    assert answer["data"]["errors"] == {"1": "permission_denied"}


@pytest.mark.parametrize(
    "options",
    [
        {"channel": "quotes", "symbols": ["BTC/USDT"]},
        {"channel": "portfolio", "account_ids": [1]},
        {"channel": "orders", "account_ids": [1], "encoding": "msgpack"},
    ],
)
async def test_what_cannot_be_signed_is_refused(options: dict[str, Any]) -> None:
    scene = Scene()
    (answer,) = await scene.ask(scene.connect(), action="subscribe", id=1, sign=True, **options)
    assert (answer["type"], answer["code"]) == ("error", "validation_error")


async def test_a_signature_reaches_the_room_with_the_payload_as_it_came() -> None:
    scene = Scene()
    client = scene.connect()
    raw = '{"action":"command","payload": {"qty" : 0.10},"sig":"s","ts":5,"nonce":"n"}'
    client.session.on_message(client.conn, raw)  # type: ignore[arg-type]  # a stand-in
    await scene.ask(client, action="command", payload={})
    assert scene.room.signatures == [Signature("s", 5, "n", b'{"qty" : 0.10}', client.conn.id), None]
