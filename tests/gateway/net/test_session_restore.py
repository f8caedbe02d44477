"""A client that comes back has its subscriptions again, and nobody else's."""

from __future__ import annotations

from typing import Any

from gateway.core.private import Register
from gateway.limits import Limits
from gateway.wire.restoring import packed
from gateway.wire.stream import Subscribe
from oms.model import Permission
from tests.gateway.net.fakes import Client, Rig
from tests.gateway.net.test_private import Scene
from tests.gateway.net.test_record import FakeRegister

QUOTES = {"action": "subscribe", "channel": "quotes", "symbols": ["BTC/USDT", "kraken:ETH/USD"], "throttle_ms": 60}


class Returning:
    """Clients with connection ids of their own."""

    def __init__(self, **limits: Any) -> None:
        self.rig = Rig(Limits(**limits))

    def connect(self, name: str) -> Client:
        return named(self.rig.connect(), name)


def named(client: Client, name: str) -> Client:
    """With a connection id of its own."""
    client.session.left(client.session.subscribed())
    client.conn.id = name
    client.session.opened()
    client.conn.take()
    return client


async def ask(client: Client, **message: Any) -> list[dict[str, Any]]:
    client.say(**message)
    await client.settle()
    return client.conn.take()


async def test_everything_comes_back_by_one_request_and_goes_on_where_the_client_is() -> None:
    scene = Returning()
    first = scene.connect("one")
    (answer,) = await ask(first, **{**QUOTES, "throttle_ms": 0})
    await ask(first, action="subscribe", channel="bars", symbols=["BTC/USDT"], timeframe="5m")
    epoch = answer["data"]["streams"]["BTC/USDT"]["epoch"]
    for bid in (1, 2, 3):
        scene.rig.sim.publish("quotes", "BTC/USDT", bid=bid)
    assert [each["sequence"] for each in first.conn.take()] == [1, 2, 3]
    first.leave()
    second = scene.connect("two")
    resume = {"quotes": {"BTC/USDT": {"epoch": epoch, "sequence": 1}}}
    answers = await ask(second, action="restore", id=7, connection_id="one", resume=resume)
    restored, quotes, bars = (each for each in answers if each["type"] in {"restored", "subscribed"})
    missed = [each for each in answers if each["type"] == "quote"]
    assert restored == {"type": "restored", "id": 7, "data": {"connection_id": "one", "requests": 2}}
    assert (quotes["channel"], quotes["data"]["symbols"]) == ("quotes", QUOTES["symbols"])
    assert quotes["data"]["streams"]["BTC/USDT"] == {
        "epoch": epoch, "sequence": 1, "recovered": True, "replayed": 2,
    }  # fmt: skip
    assert [each["sequence"] for each in missed] == [2, 3]
    assert (bars["channel"], bars["data"]["symbols"]) == ("bars", ["BTC/USDT"])
    listed = (await ask(second, action="list"))[0]["data"]["subscriptions"]
    assert [(each["channel"], each["symbol"], each.get("timeframe")) for each in listed] == [
        ("quotes", "BTC/USDT", None), ("quotes", "kraken:ETH/USD", None), ("bars", "BTC/USDT", "5m"),
    ]  # fmt: skip


async def test_what_the_client_does_not_name_goes_on_where_the_connection_was() -> None:
    scene = Returning()
    first = scene.connect("one")
    await ask(first, action="subscribe", channel="trades", symbols=["BTC/USDT"])
    scene.rig.sim.publish("trades", "BTC/USDT", price=1)
    first.conn.take()
    first.leave()
    scene.rig.sim.publish("trades", "BTC/USDT", price=2)
    second = scene.connect("two")
    _, answer, missed = await ask(second, action="restore", connection_id="one")
    assert answer["data"]["streams"]["BTC/USDT"]["replayed"] == 1
    assert (missed["sequence"], missed["data"]["price"]) == (2, 2)


async def test_a_connection_that_does_not_know_yet_that_it_is_gone_is_taken_over() -> None:
    scene = Returning()
    first = scene.connect("one")
    await ask(first, **QUOTES)
    second = scene.connect("two")
    restored, quotes = await ask(second, action="restore", connection_id="one")
    assert (restored["type"], len(quotes["data"]["streams"])) == ("restored", 2)
    assert first.conn.closed == (1001, "taken over by another connection")
    (again,) = await ask(second, action="restore", connection_id="two")
    assert again["code"] == "validation_error", "itself"


async def test_what_is_not_known_or_was_too_long_ago_is_refused() -> None:
    scene = Returning(restore_within_s=0.0)
    first = scene.connect("one")
    await ask(first, **QUOTES)
    first.leave()
    for name in ("one", "never"):
        (answer,) = await ask(scene.connect("two"), action="restore", id=1, connection_id=name)
        assert (answer["code"], answer["details"]) == ("validation_error", {"connection_id": name})


async def test_private_streams_come_back_for_the_same_key_only() -> None:
    scene = Scene()
    scene.users.add("bob", permissions={1: Permission(account_id=1)})
    scene.room.orders.commit(0, 0)
    client = scene.connect("ann")
    await scene.subscribe(client, snapshot=False)
    client.leave()
    for stranger in ("bob", None):
        (answer,) = await scene.ask(scene.connect(stranger), action="restore", connection_id="c1")
        assert answer["code"] == "validation_error"
    resume = {"orders": {"1": {"epoch": "e1", "sequence": 1}}}
    back = scene.connect("ann")
    restored, answer, missed = await scene.ask(back, action="restore", connection_id="c1", resume=resume)
    assert (restored["type"], answer["data"]["streams"]["1"]["replayed"], missed["sequence"]) == ("restored", 1, 2)


async def test_a_connection_of_another_key_is_not_taken_over() -> None:
    scene = Scene()
    scene.users.add("bob", permissions={1: Permission(account_id=1)})
    client = named(scene.connect("ann"), "hers")
    await scene.subscribe(client)
    for stranger in ("bob", None):
        (answer,) = await scene.ask(named(scene.connect(stranger), "other"), action="restore", connection_id="hers")
        assert answer["code"] == "validation_error"
    assert client.conn.is_open


async def test_what_was_recorded_comes_back_for_the_same_key_only() -> None:
    scene = Returning()
    register = FakeRegister()
    kept: Register = register
    scene.rig.service.register = kept
    for owner, said in ((1, ["error"]), (None, ["restored", "subscribed"])):
        register.restored["one"] = owner, packed([Subscribe(channel="quotes", symbols=["BTC/USDT"])])
        answers = await ask(scene.connect("two"), action="restore", connection_id="one")
        assert [each["type"] for each in answers] == said


async def test_a_channel_that_is_not_there_any_more_does_not_keep_the_others_back() -> None:
    scene = Scene()
    client = scene.connect("ann")
    await scene.subscribe(client)
    await scene.ask(client, **QUOTES)
    client.leave()
    scene.rig.service.private = None
    back = scene.connect("ann")
    answers = await scene.ask(back, action="restore", connection_id="c1")
    assert sorted(each.get("code", each["type"]) for each in answers) == [
        "restored", "subscribed", "unsupported_action",
    ]  # fmt: skip
