"""An oms session over the real hub and fan-out, on rooms in memory."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.core.key import Key
from gateway.core.private import Signature
from gateway.limits import Limits
from gateway.net.guard import Guard, Guards
from oms.errors import OmsError
from oms.model import Permission
from tests.gateway.net.accounts import FakeAccounts
from tests.gateway.net.fakes import OmsClient, Rig
from tests.gateway.users import Users
from tests.waiting import until

ALL = {number: Permission(account_id=number, can_trade=True) for number in (1, 2, 3, 4)}
ONE = {1: ALL[1]}


class Scene:
    """A service with accounts and users: `ann` has four accounts, `bob` the first of them."""

    def __init__(self, *, anonymous: bool = True, **limits: Any) -> None:
        self.room = FakeAccounts()
        self.users = Users()
        self.users.add("ann", permissions=ALL)
        self.users.add("bob", permissions=ONE)
        self.guards = Guards(Gate(self.users.auth, AuthConfig(), anonymous=anonymous), Limits())
        self.rig = Rig(Limits(**limits), accounts=self.room)

    def connect(self, name: str | None = "ann") -> OmsClient:
        verdict = self.users.auth.authenticate(self.users.texts[name], "x-api-key") if name else None
        client = self.rig.connect_oms(guard=Guard(self.guards, verdict))
        assert client.conn.take() == [
            {"id": "server-hello", "ok": True, "type": "ws_event", "event": "connected", "payload": {}}
        ]
        return client

    async def settle(self) -> None:
        """Let everything that can go on do so."""
        for _ in range(30):
            await asyncio.sleep(0)

    async def ask(self, client: OmsClient, action: str, payload: Any = None, **more: Any) -> list[dict[str, Any]]:
        """A request, and all that comes of it."""
        client.say(id=1, action=action, **({} if payload is None else {"payload": payload}), **more)
        await self.settle()
        return client.conn.take()

    async def market(self, client: OmsClient, account_id: int = 1, **options: Any) -> list[dict[str, Any]]:
        return await self.ask(client, "subscribe_market", {"account_id": account_id, "symbol": "BTC/USDT", **options})

    def publish(self, channel: str = "ticker", variant: str = "@1200", **data: Any) -> None:
        """One update, as a source that is polled gives it."""
        self.rig.sim.publish(f"ccxt_{channel}", "BTC/USDT", variant, **data)


def events(messages: list[dict[str, Any]]) -> list[str]:
    return [message["event"] for message in messages]


async def test_a_ping_is_answered_to_anybody() -> None:
    scene = Scene(anonymous=False)
    client = scene.connect(None)
    assert events(await scene.ask(client, "ping")) == ["pong"]
    (refused,) = await scene.ask(client, "call", {"account_id": 1, "func": "fetch_ticker"})
    assert (refused["ok"], refused["payload"]["code"]) == (False, "not_authenticated")


async def test_who_authenticates_in_band_has_their_accounts() -> None:
    scene = Scene(anonymous=False)
    client = scene.connect(None)
    (answer,) = await scene.ask(client, "auth", {"api_key": scene.users.texts["bob"]})
    assert (answer["event"], answer["namespace"]) == ("authenticated", "system")
    assert (answer["payload"]["user"], answer["payload"]["account_ids"]) == ("bob", [1])
    assert events(await scene.market(client)) == ["subscribed_market"]


async def test_a_token_authenticates_too() -> None:
    scene = Scene()
    client = scene.connect(None)
    assert events(await scene.ask(client, "auth", {"token": scene.users.token("ann")})) == ["authenticated"]


@pytest.mark.parametrize(("secret", "close"), [("nonsense", 1008), (None, 4401)])
async def test_bad_credentials_are_told_and_end_the_connection(secret: str | None, close: int) -> None:
    scene = Scene()
    client = scene.connect(None)
    (answer,) = await scene.ask(client, "auth", {"api_key": secret or scene.users.old_token("ann")})
    assert (answer["ok"], answer["event"], answer["action"], answer["id"]) == (False, "error", "auth", 1)
    assert client.conn.closed is not None
    assert client.conn.closed[0] == close


async def test_a_market_is_subscribed_and_told() -> None:
    scene = Scene()
    client = scene.connect()
    (answer,) = await scene.market(client)
    assert answer["payload"] == {
        "account_id": 1, "symbol": "BTC/USDT", "channels": ["ticker"], "poll_interval_ms": 1200,
    }  # fmt: skip
    scene.publish(last=1.5)
    (event,) = client.conn.take()
    assert (event["event"], event["id"], event["seq"]) == ("ticker_updated", None, 1)
    assert list(event["payload"]) == ["account_id", "symbol", "channel", "data", "ts_ms"]
    assert event["payload"]["data"]["last"] == 1.5
    late = scene.connect()
    assert events(await scene.market(late)) == ["subscribed_market", "ticker_updated"], "what is known comes at once"


async def test_every_option_reaches_the_source() -> None:
    scene = Scene()
    options: dict[str, Any] = {"timeframe": "5m", "depth": 5, "limit": 7, "poll_interval_ms": 300}
    await scene.market(scene.connect(), channels=["ticker", "orderbook", "trades", "ohlcv", "ticker"], **options)
    assert set(scene.rig.sim.watched) == {
        Key("sim", "ccxt_ticker", "BTC/USDT", "@300"),
        Key("sim", "ccxt_orderbook", "BTC/USDT", "5@300"),
        Key("sim", "ccxt_trades", "BTC/USDT", "7@300"),
        Key("sim", "ccxt_ohlcv", "BTC/USDT", "5m/7@300"),
    }
    assert {stream.tier_ms for stream in scene.rig.hub.subscribers()} == {250}, "an interval is a tier"


async def test_accounts_of_one_exchange_share_one_watch_and_differ_by_the_prefix() -> None:
    scene = Scene()
    both, bob, same = scene.connect(), scene.connect("bob"), scene.connect("bob")
    for client, account_id in ((both, 1), (both, 2), (bob, 1), (same, 1)):
        assert events(await scene.market(client, account_id)) == ["subscribed_market"]
    assert list(scene.rig.sim.watched) == [Key("sim", "ccxt_ticker", "BTC/USDT", "@1200")]
    scene.publish(last=1.5)
    first, second = both.conn.take_frames()
    assert bob.conn.take_frames() == same.conn.take_frames() == [first], "byte for byte"
    assert second[2] == first[2].replace(b'"account_id":1,', b'"account_id":2,')


async def test_an_account_of_another_exchange_is_told_of_that() -> None:
    scene = Scene()
    client = scene.connect()
    answer, *_ = await scene.ask(client, "subscribe_market", {"account_id": 3, "symbol": "ETH/USD"})
    assert answer["ok"]
    assert [key.symbol for key in scene.rig.sources["kraken"].watched] == ["ETH/USD"]


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("bob", {"account_id": 2, "symbol": "BTC/USDT"}, "permission_denied"),
        ("bob", {"account_id": 99, "symbol": "BTC/USDT"}, "permission_denied"),
        (None, {"account_id": 1, "symbol": "BTC/USDT"}, "not_authenticated"),
        ("ann", {"account_id": 1, "symbol": "XXX"}, "unknown_symbol"),
        ("ann", {"account_id": 1, "symbol": "LATE"}, "exchange_unavailable"),
        ("ann", {"account_id": 1, "symbol": "CRASH"}, "internal_error"),
        ("ann", {"account_id": 4, "symbol": "BTC/USDT"}, "unsupported_engine"),
    ],
)
async def test_what_cannot_be_is_an_error_and_the_connection_lives(
    name: str | None, payload: dict[str, Any], code: str
) -> None:
    scene = Scene()
    client = scene.connect(name)
    (answer,) = await scene.ask(client, "subscribe_market", payload, namespace="ccxt")
    head = {key: answer[key] for key in ("id", "ok", "type", "namespace", "action", "event")}
    assert head == {
        "id": 1, "ok": False, "type": "ws_response", "namespace": "ccxt", "action": "subscribe_market",
        "event": "error",
    }  # fmt: skip
    assert answer["payload"]["code"] == code
    assert scene.rig.sim.watched == {}
    assert events(await scene.ask(client, "ping")) == ["pong"]


async def test_who_speaks_the_other_dialect_is_told_so() -> None:
    scene = Scene()
    client = scene.connect()
    client.say(type="subscribe", channel="signals")
    (answer,) = client.conn.take()
    assert (answer["event"], answer["payload"]["code"]) == ("error", "validation_error")
    assert events(await scene.ask(client, "ping")) == ["pong"]


async def test_unsubscribing_ends_what_is_named() -> None:
    scene = Scene()
    client = scene.connect()
    await scene.market(client, channels=["ticker", "orderbook"])
    (answer,) = await scene.ask(client, "unsubscribe_market", {"channels": ["ticker"]})
    assert (answer["event"], answer["payload"]) == ("unsubscribed_market", {"removed": 1})
    scene.publish(last=2)
    scene.publish("orderbook", "20@1200", bids=[])
    assert events(client.conn.take()) == ["orderbook_updated"]


async def test_a_key_that_loses_an_account_is_told_no_more_of_its_markets() -> None:
    scene = Scene()
    client = scene.connect()
    await scene.market(client, 1)
    await scene.market(client, 2)
    scene.users.change("ann", permissions=ONE)
    scene.guards.tick()
    (over,) = client.conn.take()
    assert (over["type"], over["event"], over["ok"], over["namespace"]) == ("ws_event", "error", False, "ccxt")
    assert over["payload"]["details"] == {"account_id": 2}
    scene.publish(last=1)
    assert [each["payload"]["account_id"] for each in client.conn.take()] == [1]


async def test_markets_go_on_while_nobody_can_tell_whose_they_are() -> None:
    scene = Scene()
    client = scene.connect()
    await scene.market(client)
    scene.room.fault = OmsError("engine_unavailable", "the order database is not available")
    scene.users.change("ann", permissions=ONE)
    scene.guards.tick()
    scene.publish(last=1)
    assert events(client.conn.take()) == ["ticker_updated"]


async def test_a_command_is_done_and_each_result_told_with_its_index() -> None:
    scene = Scene()
    client = scene.connect()
    body = [{"account_id": 1, "command": "send_order", "payload": {"qty": "x"}}, {"account_id": 1}]
    told = await scene.ask(client, "command", body, namespace="position")
    assert [message["payload"]["index"] for message in told] == [0, 1]
    assert events(told) == ["command_result"] * 2
    assert scene.room.asked == [("ann", body)]


async def test_digits_of_a_command_are_kept() -> None:
    scene = Scene()
    client = scene.connect()
    raw = '{"action":"command","payload":{"qty":0.10}}'
    client.session.on_message(client.conn, raw)  # type: ignore[arg-type]  # a stand-in
    await scene.settle()
    ((_, body),) = scene.room.asked
    assert body["qty"] == Decimal("0.10")
    assert str(body["qty"]) == "0.10"


async def test_a_signature_reaches_the_room_with_the_payload_as_it_came() -> None:
    """A connection has no name in this dialect."""
    scene = Scene()
    client = scene.connect()
    raw = '{"action":"command","payload": {"qty" : 0.10},"sig":"s","ts":5,"nonce":"n"}'
    client.session.on_message(client.conn, raw)  # type: ignore[arg-type]  # a stand-in
    await scene.settle()
    assert events(client.conn.take()) == ["command_result"], "it is a `command` that was asked"
    assert scene.room.signatures == [Signature("s", 5, "n", b'{"qty" : 0.10}', "")]


async def test_other_requests_do_not_wait_for_a_command_and_it_outlives_its_connection() -> None:
    scene = Scene(commands_running_max=1)
    client = scene.connect()
    scene.room.gate.clear()
    assert await scene.ask(client, "command", {"account_id": 1}) == []
    (refused,) = await scene.ask(client, "call", {"account_id": 1, "func": "fetch_ticker"})
    assert (refused["action"], refused["payload"]["code"]) == ("call", "rate_limited")
    assert events(await scene.ask(client, "ping")) == ["pong"]
    client.leave()
    scene.room.gate.set()
    assert scene.rig.private is not None
    assert await scene.rig.private.finish(1)
    assert len(scene.room.asked) == 1


async def test_a_command_alone_makes_slices_short_and_what_anybody_may_ask_does_not() -> None:
    scene = Scene()
    client = scene.connect(None)
    scene.room.gate.clear()
    await scene.ask(client, "call", {"account_id": 1, "func": "fetch_ticker"})
    client = scene.connect()
    await scene.ask(client, "call", {"account_id": 1, "func": "fetch_ticker"})
    assert not scene.rig.urged
    await scene.ask(client, "command", {"account_id": 1})
    assert scene.rig.urged == [1]
    scene.room.fault = OmsError("internal_error", "no")
    scene.room.gate.set()
    assert scene.rig.private is not None
    assert await scene.rig.private.finish(1)
    assert scene.rig.urged == [1, -1]


async def test_a_command_of_nobody_is_refused() -> None:
    scene = Scene()
    (refused,) = await scene.ask(scene.connect(None), "command", {"account_id": 1})
    assert (refused["namespace"], refused["payload"]["code"]) == ("position", "not_authenticated")
    assert scene.room.asked == []


@pytest.mark.parametrize("name", ["ann", None])
async def test_a_function_of_ccxt_is_called_and_answered(name: str | None) -> None:
    scene = Scene()
    payload = {"account_id": 1, "func": "fetch_ticker", "args": ["BTC/USDT"], "kwargs": {"a": 1}}
    (answer,) = await scene.ask(scene.connect(name), "call", payload, namespace="ccxt")
    assert (answer["event"], answer["payload"]) == ("ccxt_result", {"result": {"symbol": "BTC/USDT", "last": 1.5}})
    assert scene.room.asked == [(name, 1, "fetch_ticker", ["BTC/USDT"], {"a": 1})]


async def test_a_refused_call_names_ccxts_exception() -> None:
    scene = Scene()
    scene.room.fault = OmsError("exchange_error", "no such market", details={"exception": "BadSymbol"})
    (answer,) = await scene.ask(scene.connect(), "call", {"account_id": 1, "func": "fetch_ticker"})
    assert (answer["ok"], answer["payload"]["details"]) == (False, {"exception": "BadSymbol"})


async def test_without_accounts_there_is_little_to_ask() -> None:
    rig = Rig()
    client = rig.connect_oms()
    client.conn.take()
    for action, payload in (
        ("subscribe_market", {"account_id": 1, "symbol": "BTC/USDT"}),
        ("subscribe", {"account_ids": [1]}),
        ("unsubscribe", {"account_ids": [1]}),
        ("command", {}),
        ("call", {"account_id": 1, "func": "f"}),
        ("auth", {"api_key": "k"}),
    ):
        answer = await client.ask(id=action, action=action, payload=payload)
        assert (answer["id"], answer["payload"]["code"]) == (action, "unsupported_action")
    assert (await client.ask(action="ping"))["event"] == "pong"
    assert (await client.ask(action="unsubscribe_market"))["payload"] == {"removed": 0}


async def test_requests_keep_their_order_behind_one_that_waits() -> None:
    scene = Scene()
    client = scene.connect()
    scene.rig.sim.gate.clear()
    assert await scene.market(client) == []
    assert await scene.ask(client, "unsubscribe_market", {}) == []
    scene.rig.sim.gate.set()
    await scene.settle()
    told = client.conn.take()
    assert events(told) == ["subscribed_market", "unsubscribed_market"]
    assert told[1]["payload"] == {"removed": 1}


async def test_shutdown_and_showing_credentials_again_are_told_in_this_dialect() -> None:
    scene = Scene()
    client = scene.connect()
    scene.rig.sessions.announce_shutdown(250)
    client.session.ask_again(1_000)
    assert events(client.conn.take()) == ["server_shutdown", "reauthenticate"]


async def test_large_updates_are_compressed_where_that_was_agreed() -> None:
    scene = Scene()
    verdict = scene.users.auth.authenticate(scene.users.texts["ann"], "x-api-key")
    client = scene.rig.connect_oms(deflated=True, guard=Guard(scene.guards, verdict))
    client.say(action="subscribe_market", payload={"account_id": 1, "symbol": "BTC/USDT"})
    await scene.settle()
    client.conn.take_frames()
    scene.publish(note="x" * 3_000)
    ((_, is_compressed, payload),) = client.conn.take_frames()
    assert is_compressed
    assert len(payload) < 3_000


async def test_a_loss_is_told_with_the_account_and_what_follows_is_of_a_new_epoch() -> None:
    scene = Scene()
    client = scene.connect()
    await scene.market(client, poll_interval_ms=250)
    scene.publish(variant="@250", last=1)
    (first,) = client.conn.take()
    scene.rig.hub.lost(Key("sim", "ccxt_ticker", "BTC/USDT", "@250"), "upstream")
    scene.publish(variant="@250", last=2)
    told: list[dict[str, Any]] = []

    def is_all() -> bool:
        told.extend(client.conn.take())
        return len(told) == 2

    await until(is_all)
    gap, after = told
    assert (gap["event"], gap["payload"]["account_id"], gap["payload"]["reason"]) == ("gap", 1, "upstream")
    assert (gap["payload"]["epoch"], gap["payload"]["new_epoch"]) == (first["epoch"], after["epoch"])
    assert (after["seq"], after["payload"]["data"]["last"]) == (1, 2)
