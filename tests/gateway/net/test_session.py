"""A stream session over the real hub and fan-out, without a network."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import msgspec
import pytest

from _speedups.frame import OP_BINARY
from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.limits import Limits
from gateway.net.guard import Guard, Guards
from tests.gateway.net.fakes import Client, Rig
from tests.gateway.users import Users
from tests.waiting import until


async def joined(rig: Rig, channel: str = "quotes", *symbols: str, **options: Any) -> Client:
    """A client with its `connected` and `subscribed` read."""
    client = rig.connect()
    ack = await client.ask(action="subscribe", channel=channel, symbols=list(symbols or ("BTC/USDT",)), **options)
    assert ack["type"] == "subscribed"
    assert ack["data"]["errors"] == {}
    return client


async def test_the_first_message_says_the_limits() -> None:
    rig = Rig()
    (message,) = rig.connect().conn.take()
    assert (message["type"], message["connection_id"], message["heartbeat_s"]) == ("connected", "c1", 30)
    assert message["limits"]["symbols_per_request_max"] == 500


async def test_subscribe_acks_snapshots_and_updates_in_this_order() -> None:
    rig = Rig()
    await joined(rig)
    rig.sim.publish("quotes", "BTC/USDT", bid=1)
    client = rig.connect()
    client.conn.take()
    client.say(action="subscribe", id="7", channel="quotes", symbols=["BTC/USDT", "XXX", "kraken:ETH/USD"])
    await client.settle()
    rig.sim.publish("quotes", "BTC/USDT", bid=2)
    ack, snapshot, update = client.conn.take()
    at = ack["data"]["streams"]["BTC/USDT"]
    assert (ack["type"], ack["id"], ack["data"]["symbols"]) == ("subscribed", "7", ["BTC/USDT", "kraken:ETH/USD"])
    assert ack["data"]["errors"] == {"XXX": "unknown_symbol"}
    assert (at["sequence"], at["recovered"], at["replayed"]) == (1, None, 0)
    assert (snapshot["kind"], snapshot["sequence"], snapshot["data"]["bid"]) == ("snapshot", 1, 1)
    assert (update["kind"], update["sequence"], update["data"]["bid"]) == ("update", 2, 2)
    assert at["epoch"] == snapshot["epoch"] == update["epoch"]


async def test_a_subscribe_that_need_not_wait_is_answered_without_a_task() -> None:
    rig = Rig()
    client = rig.connect()
    client.conn.take()
    client.say(action="subscribe", channel="quotes", symbols=["BTC/USDT", "XXX", "XXX"])
    assert client.session._worker is None
    assert client.conn.take()[0]["data"]["errors"] == {"XXX": "unknown_symbol"}
    assert rig.tally.errors["unknown_symbol"] == 1
    rig.sim.gate.clear()
    client.say(action="subscribe", channel="quotes", symbols=["BTC/USDT"])
    client.say(action="ping", id=1)
    assert client.session._worker is not None
    assert client.conn.take() == []
    rig.sim.gate.set()
    await client.settle()
    assert [message["type"] for message in client.conn.take()] == ["subscribed", "pong"]


async def test_without_snapshot_only_updates_come() -> None:
    rig = Rig()
    await joined(rig)
    rig.sim.publish("quotes", "BTC/USDT", bid=1)
    client = await joined(rig, snapshot=False)
    assert client.conn.take() == []


async def test_symbols_with_a_colon_and_a_prefix() -> None:
    rig = Rig()
    client = await joined(rig, "trades", "BTC/USDT:USDT", "kraken:ETH/USD")
    assert {(key.exchange, key.symbol) for key in rig.sim.watched} == {("sim", "BTC/USDT:USDT")}
    assert [key.symbol for key in rig.sources["kraken"].watched] == ["ETH/USD"]
    listed = (await client.ask(action="list", id=1))["data"]["subscriptions"]
    assert [(each["symbol"], each["exchange"]) for each in listed] == [
        ("BTC/USDT:USDT", "sim"),
        ("kraken:ETH/USD", "kraken"),
    ]


async def test_exchanges_are_asked_at_once_and_the_reply_keeps_the_order_of_the_request() -> None:
    rig = Rig()
    client = rig.connect()
    client.conn.take()
    kraken = rig.sources["kraken"]
    rig.sim.gate.clear()
    kraken.gate.clear()
    symbols = ["BTC/USDT", "kraken:ETH/USD", "LATE", "ETH/USDT"]
    client.say(action="subscribe", id=1, channel="quotes", symbols=symbols)
    client.say(action="ping", id=2)
    await until(lambda: (rig.sim.asked, kraken.asked) == (["BTC/USDT"], ["ETH/USD"]))
    kraken.gate.set()
    rig.sim.gate.set()
    await client.settle()
    ack, pong = client.conn.take()
    assert ack["data"]["symbols"] == ["BTC/USDT", "kraken:ETH/USD", "ETH/USDT"]
    assert ack["data"]["errors"] == {"LATE": "exchange_unavailable"}
    assert ack["data"]["retry_after_ms"] == {"LATE": 1_000}
    assert pong == {"type": "pong", "id": 2}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"action": "jump"}, "unsupported_action"),
        ({"action": "subscribe"}, "validation_error"),
        ({"action": "subscribe", "channel": "candles", "symbols": ["BTC/USDT"]}, "unsupported_channel"),
        ({"action": "subscribe", "channel": "orders", "symbols": ["BTC/USDT"]}, "validation_error"),
        ({"action": "subscribe", "channel": "orders", "account_ids": [1]}, "not_authenticated"),
        ({"action": "unsubscribe", "channel": "orders"}, "not_authenticated"),
        ({"action": "resend", "channel": "orders", "symbol": "1", "from": 1, "to": 2}, "unsupported_channel"),
        ({"action": "unsubscribe", "channel": "candles"}, "unsupported_channel"),
        ({"action": "resend", "channel": "trades", "symbol": "BTC/USDT", "from": 1, "to": 2}, "validation_error"),
        ({"action": "resend", "channel": "x", "symbol": "BTC/USDT", "from": 1, "to": 2}, "unsupported_channel"),
        ({"action": "auth", "token": "secret"}, "unsupported_action"),
        ({"action": "ack", "channel": "orders", "account_id": 1, "sequence": 88}, "not_authenticated"),
        ({"action": "command", "payload": {}}, "not_authenticated"),
        ({"action": "publish", "channel": "signals", "data": {}}, "not_authenticated"),
        ({"action": "subscribe", "channel": "signals", "account_ids": [1]}, "validation_error"),
        ({"action": "unsubscribe", "channel": "news", "account_ids": [1]}, "validation_error"),
        ({"action": "ack", "channel": "news", "account_id": 1, "sequence": 1}, "validation_error"),
        ({"action": "subscribe", "channel": "quotes", "symbols": ["CRASH"]}, "internal_error"),
    ],
)
async def test_a_refusal_has_a_code_and_the_id_and_the_connection_lives(message: dict[str, Any], code: str) -> None:
    rig = Rig()
    client = rig.connect()
    reply = await client.ask(id="7", **message)
    assert (reply["type"], reply["id"], reply["code"], reply["request_id"]) == ("error", "7", code, "c1-1")
    assert "secret" not in json.dumps(reply)
    assert rig.tally.errors == {code: 1}
    assert await client.ask(action="ping", id=8) == {"type": "pong", "id": 8}
    assert client.conn.closed is None


async def test_bytes_that_are_no_json_are_answered() -> None:
    rig = Rig()
    client = rig.connect()
    client.conn.take()
    client.session.on_message(client.conn, b"\xff\x00")  # type: ignore[arg-type]  # a stand-in
    (reply,) = client.conn.take()
    assert (reply["type"], reply["code"]) == ("error", "validation_error")


async def test_resume_within_the_ring_replays_what_was_missed() -> None:
    rig = Rig()
    first = await joined(rig)
    for bid in range(1, 6):
        rig.sim.publish("quotes", "BTC/USDT", bid=bid)
    epoch = first.conn.take()[0]["epoch"]
    client = rig.connect()
    client.conn.take()
    resume = {"BTC/USDT": {"epoch": epoch, "sequence": 2}}
    client.say(action="subscribe", channel="quotes", symbols=["BTC/USDT"], resume=resume)
    await client.settle()
    ack, *updates = client.conn.take()
    assert ack["data"]["streams"]["BTC/USDT"] == {"epoch": epoch, "sequence": 2, "recovered": True, "replayed": 3}
    assert [update["sequence"] for update in updates] == [3, 4, 5]


async def test_resume_from_an_unknown_epoch_announces_the_gap_and_sends_a_snapshot() -> None:
    rig = Rig()
    await joined(rig)
    rig.sim.publish("quotes", "BTC/USDT", bid=1)
    client = rig.connect()
    client.conn.take()
    resume = {"BTC/USDT": {"epoch": "elsewhere", "sequence": 2}}
    client.say(action="subscribe", channel="quotes", symbols=["BTC/USDT"], resume=resume)
    await client.settle()
    ack, gap, snapshot = client.conn.take()
    assert ack["data"]["streams"]["BTC/USDT"]["recovered"] is False
    assert (gap["type"], gap["epoch"], gap["reason"]) == ("gap", "elsewhere", "resync")
    assert (snapshot["kind"], snapshot["epoch"]) == ("snapshot", ack["data"]["streams"]["BTC/USDT"]["epoch"])


async def test_resend_sends_again_what_the_ring_has() -> None:
    rig = Rig()
    client = await joined(rig, "trades")
    for price in range(1, 6):
        rig.sim.publish("trades", "BTC/USDT", price=price)
    first = client.conn.take()
    client.say(action="resend", id=9, channel="trades", symbol="BTC/USDT", **{"from": 2, "to": 4})
    reply, *again = client.conn.take()
    assert (reply["type"], reply["id"], reply["data"]["resent"]) == ("resent", 9, 3)
    assert again == first[1:4]


async def test_an_upstream_loss_is_announced_and_starts_a_new_epoch() -> None:
    rig = Rig()
    client = await joined(rig)
    rig.sim.publish("quotes", "BTC/USDT", bid=1)
    (key,) = rig.sim.watched
    rig.hub.lost(key, "upstream")
    rig.sim.publish("quotes", "BTC/USDT", bid=2)
    before, gap, after = client.conn.take()
    assert (gap["type"], gap["symbol"], gap["reason"]) == ("gap", "BTC/USDT", "upstream")
    assert before["epoch"] == gap["epoch"] != after["epoch"]
    assert (after["kind"], after["sequence"]) == ("snapshot", 1)


async def test_options_choose_the_form() -> None:
    rig = Rig(Limits(gzip_bytes_min=10, deflate_bytes_min=10))
    packed = await joined(rig, encoding="msgpack")
    zipped = await joined(rig, compression="gzip")
    deflated = rig.connect(deflated=True)
    await deflated.ask(action="subscribe", channel="quotes", symbols=["BTC/USDT"])
    rig.sim.publish("quotes", "BTC/USDT", bid=1)
    ((packed_opcode, _, packed_body),) = packed.conn.take_frames()
    ((zipped_opcode, _, zipped_body),) = zipped.conn.take_frames()
    ((_, rsv1, deflated_body),) = deflated.conn.take_frames()
    assert packed_opcode == zipped_opcode == OP_BINARY
    assert rsv1
    whole = msgspec.msgpack.decode(packed_body)
    assert whole == json.loads(gzip.decompress(zipped_body))
    assert whole == json.loads(zlib.decompressobj(-15).decompress(deflated_body + b"\x00\x00\xff\xff"))
    assert whole["data"]["bid"] == 1


async def test_unsubscribed_means_silent() -> None:
    rig = Rig()
    client = await joined(rig)
    assert (await client.ask(action="unsubscribe", channel="quotes"))["data"]["symbols"] == ["BTC/USDT"]
    rig.sim.publish("quotes", "BTC/USDT", bid=1)
    assert client.conn.take() == []
    assert rig.sessions.subscriptions() == 0


async def test_what_publishers_tell_comes_by_symbol_or_all_of_it() -> None:
    rig = Rig()
    client, one = await joined(rig, "signals", "kraken:X", "A"), rig.connect()
    ack = await one.ask(action="subscribe", channel="signals")
    assert (ack["data"]["symbols"], list(ack["data"]["streams"])) == (["*"], ["*"])
    rig.hub.announce("signals", ["A"], b'{"symbol":"A"}', 1_790_000_000_123_000_000)
    rig.hub.announce("news", ["A"], b'{"headline":"x"}', 1)
    rig.hub.announce("signals", ["kraken:X"], b'{"symbol":"kraken:X"}', 1_790_000_000_124_000_000)
    first, second = client.conn.take()
    assert {name: first[name] for name in ("type", "channel", "kind", "sequence", "t_ex", "t_in", "timestamp")} == {
        "type": "signal", "channel": "signals", "kind": "update", "sequence": 1, "t_ex": None,
        "t_in": 1_790_000_000_123_000_000, "timestamp": "2026-09-21T14:13:20.123Z",
    }  # fmt: skip
    assert (second["sequence"], second["data"]) == (1, {"symbol": "kraken:X"})
    assert [update["sequence"] for update in one.conn.take()] == [1, 2]
    (listed,) = (await one.ask(action="list"))["data"]["subscriptions"]
    assert listed == {
        "subscription_id": "s1", "channel": "signals", "symbol": "*", "throttle_ms": 0, "batch": False,
        "encoding": "json", "compression": "none",
    }  # fmt: skip
    gone = await client.ask(action="unsubscribe", channel="signals", symbols=["kraken:X", "B"])
    assert gone["data"] == {"symbols": ["kraken:X"], "errors": {"B": "unknown_symbol"}}
    assert rig.sim.watched == {}


async def test_what_publishers_tell_is_resumed_and_sent_again_as_trades_are() -> None:
    rig = Rig()
    first = await joined(rig, "news", "*")
    for number in range(1, 6):
        rig.hub.announce("news", [], b"%d" % number, number)
    epoch = first.conn.take()[0]["epoch"]
    client = rig.connect()
    client.conn.take()
    client.say(action="subscribe", channel="news", resume={"*": {"epoch": epoch, "sequence": 3}})
    await client.settle()
    ack, *missed = client.conn.take()
    assert ack["data"]["streams"]["*"] == {"epoch": epoch, "sequence": 3, "recovered": True, "replayed": 2}
    assert [update["data"] for update in missed] == [4, 5]
    client.say(action="resend", channel="news", symbol="*", epoch=epoch, **{"from": 1, "to": 2})
    reply, *again = client.conn.take()
    assert (reply["data"]["resent"], [update["data"] for update in again]) == (2, [1, 2])
    elsewhere = rig.connect()
    elsewhere.conn.take()
    elsewhere.say(action="subscribe", channel="news", resume={"*": {"epoch": "old", "sequence": 3}})
    await elsewhere.settle()
    ack, gap, numbers = elsewhere.conn.take()
    assert ack["data"]["streams"]["*"]["recovered"] is False
    assert gap == {
        "type": "gap", "channel": "news", "symbol": "*", "epoch": "old", "from": 4, "to": 4, "reason": "resync",
        "new_epoch": epoch,
    }  # fmt: skip
    assert (numbers["epoch"], numbers["from"], numbers["to"], "exchange" in numbers) == (epoch, 1, 5, False)


async def test_who_shows_no_credentials_leaves_half_of_the_streams_of_symbols_that_are_made_up() -> None:
    users = Users()
    verdict = users.auth.authenticate(users.add("ann"), "x-api-key")
    guards = Guards(Gate(users.auth, AuthConfig(), anonymous=True))
    rig = Rig(Limits(published_streams_max=2))
    guest, known = (rig.connect(guard=Guard(guards, each)) for each in (None, verdict))
    for client, symbols, errors in ((guest, ["A", "B"], {"B": "too_many_subscriptions"}), (known, ["B"], {})):
        client.conn.take()
        ack = await client.ask(action="subscribe", channel="news", symbols=symbols)
        assert ack["data"]["errors"] == errors
    alone = Rig(Limits(published_streams_max=2)).connect()
    alone.conn.take()
    ack = await alone.ask(action="subscribe", channel="news", symbols=["A", "B"])
    assert ack["data"]["errors"] == {}, "where there are no users nobody is a guest"
