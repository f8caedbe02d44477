"""Private streams, confirmations and commands of a session, on a room of accounts in memory."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.limits import Limits
from gateway.net.guard import Guard, Guards
from oms.errors import OmsError
from oms.model import Permission
from tests.gateway.net.accounts import FakeAccounts
from tests.gateway.net.fakes import Client, Rig
from tests.gateway.users import Users
from tests.waiting import until

BOTH = {number: Permission(account_id=number, can_trade=True) for number in (1, 2)}


def done(index: int) -> dict[str, Any]:
    """What the room says of a command."""
    return {"index": index, "ok": True, "command_id": index + 7, "order_id": None, "error": None}


class Scene:
    """A service with accounts and users; `ann` may see both accounts."""

    def __init__(self, **limits: Any) -> None:
        self.room = FakeAccounts()
        self.users = Users()
        self.users.add("ann", permissions=BOTH)
        gate = Gate(self.users.auth, AuthConfig(), anonymous=True)
        self.guards = Guards(gate, Limits())
        self.rig = Rig(Limits(**limits), accounts=self.room)

    def connect(self, name: str | None = "ann") -> Client:
        verdict = self.users.auth.authenticate(self.users.texts[name], "x-api-key") if name else None
        client = self.rig.connect(guard=Guard(self.guards, verdict))
        client.conn.take()
        return client

    async def settle(self) -> None:
        """Let everything that can go on do so."""
        for _ in range(30):
            await asyncio.sleep(0)

    async def ask(self, client: Client, **message: Any) -> list[dict[str, Any]]:
        """A request, and all that comes of it."""
        client.say(**message)
        await self.settle()
        return client.conn.take()

    async def subscribe(self, client: Client, channel: str = "orders", **options: Any) -> list[dict[str, Any]]:
        options.setdefault("account_ids", [1])
        return await self.ask(client, action="subscribe", id=1, channel=channel, **options)


def brief(messages: list[dict[str, Any]]) -> list[Any]:
    """(kind, sequence) of what is numbered, else the type."""
    return [(each["kind"], each["sequence"]) if "kind" in each else each["type"] for each in messages]


async def test_a_subscriber_gets_the_state_and_then_each_event() -> None:
    scene = Scene()
    scene.room.orders.commit(0, 0)
    client = scene.connect()
    answer, snapshot = await scene.subscribe(client)
    assert answer == {
        "type": "subscribed", "id": 1, "channel": "orders",
        "data": {
            "subscription_id": "p1", "account_ids": [1], "throttle_ms": 0,
            "streams": {"1": {"epoch": "e1", "sequence": 2, "recovered": None, "replayed": 0}}, "errors": {},
        },
    }  # fmt: skip
    assert (snapshot["type"], snapshot["kind"], snapshot["sequence"]) == ("order", "snapshot", 2)
    assert snapshot["data"] == {"account_id": 1, "items": [{"id": 1, "strategy_id": 0}, {"id": 2, "strategy_id": 0}]}
    scene.room.orders.commit(0, event="order_updated")
    await scene.settle()
    (update,) = client.conn.take()
    assert update.pop("t_out") >= 0
    assert update == {
        "type": "order", "channel": "orders", "kind": "update", "epoch": "e1", "sequence": 3,
        "timestamp": "2026-09-21T14:13:20.000Z", "t_ex": None, "t_in": 1_790_000_000_000_000_003,
        "data": {"id": 3, "strategy_id": 0, "event": "order_updated"},
    }  # fmt: skip


async def test_deals_have_no_state() -> None:
    scene = Scene()
    scene.room.channels[1, "deals"].commit(0, 0)
    client = scene.connect()
    assert brief(await scene.subscribe(client, "deals")) == ["subscribed"]
    scene.room.channels[1, "deals"].commit(0)
    await scene.settle()
    assert brief(client.conn.take()) == [("update", 3)]


async def test_several_accounts_and_channels_are_apart() -> None:
    scene = Scene()
    client = scene.connect()
    (answer,) = await scene.subscribe(client, account_ids=[1, 2, 3, 1], snapshot=False)
    assert list(answer["data"]["streams"]) == ["1", "2"]
    assert answer["data"]["errors"] == {"3": "account_not_found"}
    await scene.subscribe(client, "positions", snapshot=False)
    scene.room.channels[2, "orders"].commit(0)
    scene.room.channels[1, "positions"].commit(0)
    scene.room.channels[1, "deals"].commit(0)
    await scene.settle()
    assert sorted((each["type"], each["sequence"]) for each in client.conn.take()) == [("order", 1), ("position", 1)]
    (listed,) = await scene.ask(client, action="list")
    names = [(each["subscription_id"], each["channel"], each["account_id"]) for each in listed["data"]["subscriptions"]]
    assert names == [("p1", "orders", 1), ("p1", "orders", 2), ("p2", "positions", 1)]
    assert client.session.subscriptions == 3


async def test_unsubscribed_means_silent() -> None:
    scene = Scene()
    client = scene.connect()
    await scene.subscribe(client, account_ids=[1, 2])
    (answer,) = await scene.ask(client, action="unsubscribe", channel="orders", account_ids=[1, 9])
    assert answer["data"] == {"account_ids": [1], "errors": {"9": "account_not_found"}}
    scene.room.orders.commit(0)
    assert not scene.room.orders.listeners
    (answer,) = await scene.ask(client, action="unsubscribe", channel="orders")
    assert answer["data"] == {"account_ids": [2], "errors": {}}
    assert client.conn.take() == []


async def test_subscribing_again_replaces() -> None:
    scene = Scene()
    client = scene.connect()
    await scene.subscribe(client)
    await scene.subscribe(client, snapshot=False)
    scene.room.orders.commit(0)
    await scene.settle()
    assert brief(client.conn.take()) == [("update", 1)]
    client.leave()
    assert not scene.room.orders.listeners


async def test_nobody_in_particular_is_told_nothing() -> None:
    scene = Scene()
    client = scene.connect(None)
    for message in (
        {"action": "subscribe", "channel": "orders", "account_ids": [1]},
        {"action": "command", "payload": {}},
        {"action": "ack", "channel": "orders", "account_id": 1, "sequence": 0},
    ):
        (answer,) = await scene.ask(client, **message)
        assert answer["code"] == "not_authenticated"
    assert scene.room.asked == []


async def test_without_accounts_there_is_nothing_to_ask_for() -> None:
    scene = Scene()
    scene.rig.service.private = None
    (answer,) = await scene.subscribe(scene.connect())
    assert (answer["type"], answer["code"]) == ("error", "unsupported_action")


async def test_streams_are_bounded() -> None:
    scene = Scene(subscriptions_per_connection_max=2)
    client = scene.connect()
    await scene.subscribe(client, "deals")
    answer, *_ = await scene.subscribe(client, account_ids=[1, 2])
    assert (answer["data"]["account_ids"], answer["data"]["errors"]) == ([1], {"2": "too_many_subscriptions"})
    answer, *_ = await scene.subscribe(client, account_ids=[1])
    assert answer["data"]["errors"] == {}


async def test_what_a_key_may_no_longer_see_ends_in_band() -> None:
    scene = Scene()
    client = scene.connect()
    await scene.subscribe(client, account_ids=[1, 2], snapshot=False)
    scene.users.change("ann", permissions={1: BOTH[1]})
    scene.guards.tick()
    (ended,) = client.conn.take()
    assert (ended["type"], ended["code"]) == ("error", "permission_denied")
    assert ended["details"] == {"subscription_id": "p1", "channel": "orders", "account_id": 2}
    scene.room.channels[2, "orders"].commit(0)
    scene.room.orders.commit(0)
    await scene.settle()
    assert brief(client.conn.take()) == [("update", 1)]
    restricted = Permission(account_id=1, strategies=frozenset({7}))
    scene.users.change("ann", permissions={1: restricted})
    scene.guards.tick()
    assert [each["code"] for each in client.conn.take()] == ["permission_denied"]
    assert client.session.subscriptions == 0


async def test_rights_taken_away_while_subscribing_count() -> None:
    scene = Scene()
    client = scene.connect()
    client.say(action="subscribe", channel="orders", account_ids=[1])
    await asyncio.sleep(0)
    scene.users.change("ann", permissions={2: BOTH[2]})
    scene.guards.tick()
    await scene.settle()
    (answer,) = client.conn.take()
    assert answer["data"]["streams"] == {}
    assert answer["data"]["errors"]["1"] in {"permission_denied", "account_not_found"}


async def test_who_leaves_while_subscribing_is_not_subscribed() -> None:
    scene = Scene()
    client = scene.connect()
    client.say(action="subscribe", channel="orders", account_ids=[1])
    await asyncio.sleep(0)
    client.leave()
    await scene.settle()
    assert not scene.room.orders.listeners


async def test_a_key_for_some_strategies_is_told_which_number_was_before() -> None:
    scene = Scene()
    scene.users.change("ann", permissions={1: Permission(account_id=1, strategies=frozenset({7}))})
    client = scene.connect()
    scene.room.orders.commit(7, 8)
    await scene.subscribe(client)
    scene.room.orders.commit(8, 7, 8, 8, 7)
    await scene.settle()
    assert [(each["sequence"], each["data"]["prev_sequence"]) for each in client.conn.take()] == [(4, 2), (7, 4)]
    await scene.subscribe(client, resume={"1": {"epoch": "e1", "sequence": 4}})
    await scene.subscribe(client, resume={"1": {"epoch": "e1", "sequence": 4}})
    scene.room.orders.commit(7)
    await scene.settle()
    assert [(each["sequence"], each["data"]["prev_sequence"]) for each in client.conn.take()] == [(8, 7)]


# --- confirmations --------------------------------------------------------------------------------------------------


async def test_what_was_not_confirmed_comes_again_and_then_the_state() -> None:
    scene = Scene()
    first = scene.connect()
    await scene.subscribe(first)
    scene.room.orders.commit(*[0] * 5)
    (*_, answer) = await scene.ask(first, action="ack", id=2, channel="orders", account_id=1, sequence=3)
    assert answer == {"type": "acked", "id": 2, "channel": "orders", "data": {"account_id": 1, "sequence": 3}}
    first.leave()
    second = scene.connect()
    answer, *rest = await scene.subscribe(second)
    assert answer["data"]["streams"]["1"] == {"epoch": "e1", "sequence": 3, "recovered": None, "replayed": 2}
    assert brief(rest) == [("update", 4), ("update", 5), ("snapshot", 5)]
    assert brief(await scene.subscribe(second, snapshot=False)) == ["subscribed", ("update", 4), ("update", 5)]
    other = scene.connect()
    assert brief(await scene.subscribe(other, resume={"1": {"epoch": "e1", "sequence": 4}})) == [
        "subscribed", ("update", 5),
    ]  # fmt: skip


async def test_what_came_since_the_first_subscription_comes_again_even_if_nothing_was_confirmed() -> None:
    scene = Scene()
    scene.room.orders.commit(0, 0)
    first = scene.connect()
    await scene.subscribe(first)
    assert scene.room.orders.acked == {101: 2}
    scene.room.orders.commit(0, 0)
    first.leave()
    answer, *rest = await scene.subscribe(scene.connect())
    assert answer["data"]["streams"]["1"]["sequence"] == 2
    assert brief(rest) == [("update", 3), ("update", 4), ("snapshot", 4)]
    await scene.subscribe(scene.connect(), "deals", resume={"1": {"epoch": "e1", "sequence": 0}})
    assert scene.room.channels[1, "deals"].acked == {}


async def test_confirmations_of_one_turn_are_kept_and_each_is_answered() -> None:
    scene = Scene()
    scene.room.orders.commit(*[0] * 5)
    client = scene.connect()
    for number in (3, 9, 5, 4):
        client.say(action="ack", id=number, channel="orders", account_id=1, sequence=number)
    client.say(action="ack", channel="deals", account_id=1, sequence=0)
    await scene.settle()
    answers = {each["id"]: each for each in client.conn.take()}
    assert {number: each["type"] for number, each in answers.items()} == {
        3: "acked", 4: "acked", 5: "acked", 9: "error",
    }  # fmt: skip
    assert answers[9]["code"] == "validation_error"
    assert scene.room.orders.acked == {101: 5}
    assert scene.room.channels[1, "deals"].acked == {101: 0}


async def test_confirmations_that_wait_are_bounded() -> None:
    scene = Scene(confirmations_waiting_max=3)
    scene.room.orders.commit(*[0] * 9)
    client, other = scene.connect(), scene.connect()
    for _ in range(3):  # what is written makes room again
        for number in (1, 2, 3):
            client.say(action="ack", id=number, channel="orders", account_id=1, sequence=number)
        await scene.settle()
        assert len(client.conn.take()) == 3
    scene.room.gate.clear()
    for number in (4, 5, 6):
        await scene.ask(client, action="ack", channel="orders", account_id=1, sequence=number)
    assert client.conn.is_open
    await scene.ask(client, action="ack", channel="deals", account_id=1, sequence=0)
    assert client.conn.closed is not None
    assert client.conn.closed[0] == 4008
    assert other.conn.is_open
    scene.room.gate.set()
    await scene.settle()
    assert scene.room.orders.acked == {101: 6}  # what had come in time is kept


@pytest.mark.parametrize(
    ("channel", "account_id", "code"),
    [("quotes", 1, "validation_error"), ("candles", 1, "unsupported_channel"), ("orders", 3, "account_not_found")],
)
async def test_what_cannot_be_confirmed(channel: str, account_id: int, code: str) -> None:
    scene = Scene()
    client = scene.connect()
    (answer,) = await scene.ask(client, action="ack", id=1, channel=channel, account_id=account_id, sequence=1)
    assert (answer["code"], answer["id"]) == (code, 1)


# --- commands -------------------------------------------------------------------------------------------------------


async def test_a_command_is_answered_when_it_is_done_and_nothing_waits_for_it() -> None:
    scene = Scene()
    scene.room.gate.clear()
    client = scene.connect()
    body = {"account_id": 1, "command": "send_order", "payload": {"qty": 0.1}}
    assert await scene.ask(client, action="command", id="c1", payload=[body, body]) == []
    assert await scene.ask(client, action="ping", id=2) == [{"type": "pong", "id": 2}]
    scene.room.gate.set()
    await scene.settle()
    (answer,) = client.conn.take()
    assert answer == {
        "type": "command_result", "id": "c1",
        "data": {"results": [done(0), done(1)]},
    }  # fmt: skip
    ((name, asked),) = scene.room.asked
    assert (name, asked[0]["payload"]["qty"]) == ("ann", Decimal("0.1"))


async def test_a_command_runs_on_when_its_connection_has_gone() -> None:
    scene = Scene()
    assert scene.rig.private is not None
    scene.room.gate.clear()
    client = scene.connect()
    await scene.ask(client, action="command", payload={})
    client.leave()
    assert not await scene.rig.private.finish(0.001)
    scene.room.gate.set()
    assert await scene.rig.private.finish(5)
    assert await scene.rig.private.finish(5)
    assert len(scene.room.asked) == 1


async def test_running_commands_of_a_connection_are_bounded() -> None:
    scene = Scene(commands_running_max=2)
    scene.room.gate.clear()
    client, other = scene.connect(), scene.connect()
    for number in range(3):
        client.say(action="command", id=number, payload={})
    assert await scene.ask(other, action="command", payload={}) == []
    (refusal,) = client.conn.take()
    assert (refusal["id"], refusal["code"], refusal["retry_after_ms"]) == (2, "rate_limited", 100)
    scene.room.gate.set()
    await scene.settle()
    assert {each["id"] for each in client.conn.take()} == {0, 1}
    assert brief(await scene.ask(client, action="command", id=3, payload={})) == ["command_result"]


async def test_a_body_that_is_refused_and_a_fault_are_answered() -> None:
    scene = Scene()
    client = scene.connect()
    scene.room.fault = OmsError("validation_error", "an array holds 1 to 100 commands", details={"field": ""})
    (answer,) = await scene.ask(client, action="command", id=1, payload=[])
    assert (answer["id"], answer["code"], answer["details"]) == (1, "validation_error", {"field": ""})
    scene.room.fault = RuntimeError("a secret")
    for message in ({"action": "command", "payload": []},
                    {"action": "ack", "channel": "orders", "account_id": 1, "sequence": 0},
                    {"action": "subscribe", "channel": "orders", "account_ids": [1]}):  # fmt: skip
        (answer,) = await scene.ask(client, id=2, **message)
        assert (answer["id"], answer["code"]) == (2, "internal_error")
        assert "secret" not in str(answer)
    assert scene.rig.tally.errors == {"validation_error": 1, "internal_error": 3}
    scene.room.fault = None
    await until(lambda: not scene.rig.private or not scene.rig.private._tasks)


async def test_a_command_alone_makes_slices_short_and_a_publication_does_not() -> None:
    scene = Scene()
    client = scene.connect()
    scene.room.gate.clear()
    await scene.ask(client, action="publish", channel="signals", data={"signal_type": "BUY", "symbol": "A"})
    await scene.ask(client, action="command", payload={"account_id": 1})
    assert scene.rig.urged == [1]
    scene.room.fault = OmsError("internal_error", "no")
    scene.room.gate.set()
    await scene.settle()
    assert scene.rig.urged == [1, -1]


async def test_a_publication_is_answered_when_it_is_kept_and_goes_out_unread() -> None:
    scene = Scene()
    client = scene.connect()
    scene.room.gate.clear()
    body = {"signal_type": "BUY", "symbol": "A", "price": 1.10}
    assert await scene.ask(client, action="publish", id=7, channel="signals", data=body) == []
    assert await scene.ask(client, action="ping") == [{"type": "pong"}]
    scene.room.gate.set()
    await scene.settle()
    assert client.conn.take() == [
        {"type": "published", "id": 7, "channel": "signals", "data": {"id": 17, "replayed": False}}
    ]
    ((name, channel, raw),) = scene.room.asked
    assert (name, channel, json.loads(raw)) == ("ann", "signals", body)
    scene.room.fault = OmsError("permission_denied", "this needs an API key with the scope `publish`")
    (refused,) = await scene.ask(client, action="publish", id=8, channel="signals", data=body)
    assert (refused["type"], refused["id"], refused["code"]) == ("error", 8, "permission_denied")
