"""The portfolio channel of a session: numbers, snapshots, resume, and who may listen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.limits import Limits
from gateway.net.guard import Guard, Guards
from oms.model import Permission
from tests.gateway.net.accounts import FakeAccounts
from tests.gateway.net.fakes import Client, Rig
from tests.gateway.net.treasury import FakeTreasury
from tests.gateway.users import Users
from tests.waiting import until

SUBSCRIBE = {"action": "subscribe", "id": 1, "channel": "portfolio", "account_ids": [1]}


class Scene:
    def __init__(self, **limits: Any) -> None:
        self.treasury = FakeTreasury()
        self.treasury.change(balances={"USDT": 100}, pairs={})
        self.treasury.gate.clear()
        self.users = Users()
        self.users.add("ann", permissions={number: Permission(account_id=number) for number in (1, 2)})
        self.users.add("bob", permissions={1: Permission(account_id=1, strategies=frozenset({3}))})
        self.guards = Guards(Gate(self.users.auth, AuthConfig(), anonymous=True))
        self.rig = Rig(Limits(**limits), accounts=FakeAccounts())
        self.portfolios = self.rig.connect_portfolios(self.treasury)

    def connect(self, name: str | None = "ann") -> Client:
        verdict = self.users.auth.authenticate(self.users.texts[name], "x-api-key") if name else None
        client = self.rig.connect(guard=Guard(self.guards, verdict))
        client.conn.take()
        return client

    async def ask(self, client: Client, **message: Any) -> list[dict[str, Any]]:
        client.say(**message)
        await client.settle()
        return client.conn.take()

    async def pay_in(self, amount: int) -> None:
        """So much is there from now on, and is known."""
        self.treasury.gate.set()
        self.treasury.change(balances={"USDT": amount}, pairs={})
        await until(lambda: (newest := self.portfolios.newest(1)) and newest.total_value == amount)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    await scene.portfolios.close()


async def test_a_subscriber_gets_the_state_and_then_each_change(scene: Scene) -> None:
    client = scene.connect()
    (answer,) = await scene.ask(client, **SUBSCRIBE)
    state = answer["data"]["streams"].pop("1")
    assert answer == {
        "type": "subscribed", "id": 1, "channel": "portfolio",
        "data": {"subscription_id": "v1", "account_ids": [1], "throttle_ms": 0, "streams": {}, "errors": {}},
    }  # fmt: skip
    assert (state["sequence"], state["recovered"], state["replayed"]) == (0, None, 0)
    await scene.pay_in(100)
    await scene.pay_in(150)
    first, second = client.conn.take()
    assert (first["type"], first["kind"], first["sequence"], first["epoch"]) == (
        "portfolio", "snapshot", 1, state["epoch"],
    )  # fmt: skip
    assert (first["data"]["total_value"], second["data"]["total_value"]) == ("100", "150")
    assert (second["kind"], second["sequence"]) == ("update", 2)
    late = await scene.ask(scene.connect(), **SUBSCRIBE)
    assert [(each["type"], each.get("kind"), each.get("sequence")) for each in late] == [
        ("subscribed", None, None), ("portfolio", "snapshot", 2),
    ]  # fmt: skip


async def test_a_resume_brings_what_was_missed(scene: Scene) -> None:
    client = scene.connect()
    (answer,) = await scene.ask(client, **SUBSCRIBE)
    epoch = answer["data"]["streams"]["1"]["epoch"]
    for amount in (100, 150, 200):
        await scene.pay_in(amount)
    client.leave()
    resume = {"1": {"epoch": epoch, "sequence": 1}}
    answer, *missed = await scene.ask(scene.connect(), **SUBSCRIBE, resume=resume)
    assert answer["data"]["streams"]["1"] == {"epoch": epoch, "sequence": 1, "recovered": True, "replayed": 2}
    assert [each["sequence"] for each in missed] == [2, 3]
    resume = {"1": {"epoch": "old", "sequence": 1}}
    answer, gap, *_, snapshot = await scene.ask(scene.connect(), **SUBSCRIBE, resume=resume)
    assert answer["data"]["streams"]["1"]["recovered"] is False
    assert (gap["type"], gap["channel"], gap["account_id"], "symbol" in gap) == ("gap", "portfolio", 1, False)
    assert (snapshot["kind"], snapshot["sequence"]) == ("snapshot", 3)


async def test_it_is_listed_throttled_replaced_and_ended(scene: Scene) -> None:
    client = scene.connect()
    await scene.ask(client, **SUBSCRIBE)
    (answer,) = await scene.ask(client, **SUBSCRIBE, throttle_ms=700, encoding="json")
    assert answer["data"]["throttle_ms"] == 500
    (listed,) = await scene.ask(client, action="list")
    assert listed["data"]["subscriptions"] == [
        {"subscription_id": "v2", "channel": "portfolio", "account_id": 1, "encoding": "json",
         "compression": "none", "throttle_ms": 500, "batch": False},
    ]  # fmt: skip
    assert client.session.subscriptions == 1
    (left,) = await scene.ask(client, action="unsubscribe", channel="portfolio", account_ids=[1, 2])
    assert left["data"] == {"account_ids": [1], "errors": {"2": "account_not_found"}}
    await scene.ask(client, **SUBSCRIBE)
    (left,) = await scene.ask(client, action="unsubscribe", channel="portfolio")
    assert left["data"] == {"account_ids": [1], "errors": {}}
    assert client.session.subscriptions == 0


async def test_who_may_not_see_all_of_an_account_is_refused(scene: Scene) -> None:
    (answer,) = await scene.ask(scene.connect(), **{**SUBSCRIBE, "account_ids": [2]})
    assert (answer["data"]["streams"], answer["data"]["errors"]) == ({}, {"2": "account_not_found"})
    (answer,) = await scene.ask(scene.connect("bob"), **SUBSCRIBE)
    assert answer["data"]["errors"] == {"1": "strategy_permission_denied"}
    (answer,) = await scene.ask(scene.connect(None), **SUBSCRIBE)
    assert answer["code"] == "not_authenticated"
    scene.rig.service.portfolios = None
    (answer,) = await scene.ask(scene.connect(), **SUBSCRIBE)
    assert answer["code"] == "unsupported_action"


async def test_who_may_no_longer_see_it_is_told_nothing_more(scene: Scene) -> None:
    client = scene.connect()
    await scene.ask(client, **SUBSCRIBE)
    scene.users.change("ann", permissions={1: Permission(account_id=1, strategies=frozenset({3}))})
    scene.guards.tick()
    (ended,) = client.conn.take()
    assert (ended["type"], ended["code"]) == ("error", "permission_denied")
    assert ended["details"] == {"subscription_id": "v1", "channel": "portfolio", "account_id": 1}
    await scene.pay_in(150)
    assert client.conn.take() == []


async def test_it_is_neither_confirmed_nor_sent_again_by_number(scene: Scene) -> None:
    client = scene.connect()
    (answer,) = await scene.ask(client, action="ack", channel="portfolio", account_id=1, sequence=1)
    assert (answer["code"], answer["details"]["channels"]) == (
        "unsupported_channel", ["orders", "deals", "positions", "alerts"],
    )  # fmt: skip
    request = {"action": "resend", "channel": "portfolio", "symbol": "1", "from": 1, "to": 2}
    (answer,) = await scene.ask(client, **request)
    assert answer["code"] == "unsupported_channel"


async def test_accounts_count_for_the_limit_of_a_connection() -> None:
    scene = Scene(subscriptions_per_connection_max=0)
    (answer,) = await scene.ask(scene.connect(), **SUBSCRIBE)
    assert answer["data"]["errors"] == {"1": "too_many_subscriptions"}
    await scene.portfolios.close()
