"""Account sessions on a backend in memory: who may watch, the heartbeat on a fake clock, and that nothing stays."""

from __future__ import annotations

import asyncio
import gc

import pytest

from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.limits import Limits
from gateway.net.account import AccountService, AccountSession
from gateway.net.guard import Guard, Guards
from gateway.net.head import Refusal
from oms.errors import OmsError
from oms.model import Permission, Role
from tests.gateway.accounts_made import Holding, standing
from tests.gateway.net.fakes import AccountClient, Rig
from tests.gateway.net.watched import FakeStandings, HandClocks, settle
from tests.gateway.users import Users

AWAY = OmsError("engine_unavailable", "the order database is not available", retry_after_ms=1_000)


class Scene:
    """`ann` owns account 1, `bob` account 2, `root` is an admin; `rig.watching` has a clock that is moved by hand."""

    def __init__(self, *, anonymous: bool = True) -> None:
        self.users = Users()
        self.users.add("ann")
        self.users.add("bob", permissions={2: Permission(account_id=2)})
        self.users.add("root", Role.ADMIN)
        self.clocks = HandClocks()
        gate = Gate(self.users.auth, AuthConfig(), anonymous=anonymous)
        self.guards = Guards(gate, clock=self.clocks.now_s)
        self.rig = Rig(Limits())
        self.backend = FakeStandings()
        self.service = self.rig.watching = AccountService(
            sessions=self.rig.sessions, clock=self.clocks.now_s, clocks=self.clocks
        )
        self.service.accounts = self.backend

    def guard(self, name: str | None) -> Guard:
        verdict = self.users.auth.authenticate(self.users.texts[name], "x-api-key") if name else None
        return Guard(self.guards, verdict)

    async def open(self, name: str | None = "ann", reference: str = "1") -> AccountClient:
        client = self.rig.connect_account(reference, self.guard(name))
        assert isinstance(client, AccountClient)
        await settle()
        return client

    def refused(self, name: str, reference: str) -> Refusal:
        refusal = self.rig.connect_account(reference, self.guard(name))
        assert isinstance(refusal, Refusal)
        return refusal

    async def pass_time(self, seconds: float) -> None:
        await self.clocks.pass_time(seconds)
        self.service.tick()
        self.guards.tick()


def types(client: AccountClient) -> list[str]:
    return [each["type"] for each in client.conn.take()]


@pytest.mark.parametrize("reference", ["1", "main"])
async def test_an_owner_is_told_by_the_name_it_used_and_then_how_the_account_stands(reference: str) -> None:
    scene = Scene()
    scene.backend.now = standing("1000", Holding(1))
    client = await scene.open("ann", reference)
    connected, updated, opened = client.conn.take()
    assert connected == {"type": "connected", "account_id": reference, "monitoring_interval": "1s"}
    assert (updated["type"], opened["type"]) == ("account_update", "position_opened")
    client.leave()


async def test_number_and_name_are_one_account_with_one_reader() -> None:
    scene = Scene()
    clients = [await scene.open("ann", "1"), await scene.open("ann", "main"), await scene.open("root", "1")]
    assert (len(scene.backend.looks), len(scene.service.monitors)) == (1, 1)
    other = await scene.open("bob", "other")
    assert len(scene.service.monitors) == 2
    for client in (*clients, other):
        client.leave()
    assert not scene.service.monitors


@pytest.mark.parametrize(
    ("name", "reference", "status", "code"),
    [
        ("bob", "1", 403, "permission_denied"),
        ("bob", "main", 403, "permission_denied"),
        ("bob", "77", 403, "permission_denied"),  # whether there is one is not told
        ("root", "77", 404, "account_not_found"),
    ],
)
async def test_who_does_not_own_it_is_refused_before_the_upgrade(
    name: str, reference: str, status: int, code: str
) -> None:
    refusal = Scene().refused(name, reference)
    assert (refusal.status, refusal.code) == (status, code)


async def test_while_accounts_cannot_be_looked_up_a_handshake_is_told_when_to_come_back() -> None:
    scene = Scene()
    scene.backend.away = AWAY
    refusal = scene.refused("ann", "1")
    assert (refusal.status, refusal.retry_after_ms) == (503, 1_000)


async def test_without_accounts_or_users_there_is_nothing_to_watch() -> None:
    scene = Scene()
    scene.service.accounts = None
    assert scene.refused("ann", "1").status == 404


@pytest.mark.parametrize("anonymous", [True, False])
async def test_who_has_shown_nothing_hears_nothing_and_has_ten_seconds(anonymous: bool) -> None:
    scene = Scene(anonymous=anonymous)
    client = await scene.open(None)
    await scene.pass_time(9)
    assert (types(client), client.conn.closed) == ([], None)
    assert scene.backend.reads == 0
    await scene.pass_time(3)
    assert client.conn.closed == (1008, "not authenticated in time")
    client.leave()


async def test_an_owner_may_say_so_in_band() -> None:
    scene = Scene()
    client = await scene.open(None)
    client.say(type="auth", token=scene.users.token("ann"))
    await settle()
    assert types(client) == ["connected", "account_update"]
    client.say(type="auth", token=scene.users.token("ann"))
    assert types(client) == ["authenticated"]
    client.leave()


@pytest.mark.parametrize(("secret", "close"), [("token of bob", 4403), ("nonsense", 1008)])
async def test_who_is_not_the_owner_in_band_is_closed(secret: str, close: int) -> None:
    scene = Scene()
    client = await scene.open(None)
    client.say(type="auth", token=scene.users.token("bob") if secret == "token of bob" else secret)
    assert client.conn.closed is not None
    assert client.conn.closed[0] == close
    assert scene.backend.reads == 0
    client.leave()


async def test_an_owner_in_band_who_cannot_be_looked_up_is_told_and_closed() -> None:
    scene = Scene()
    client = await scene.open(None)
    scene.backend.away = AWAY
    client.say(type="auth", token=scene.users.token("ann"))
    error = client.conn.take()[0]
    assert (error["error_code"], error["retry_in_seconds"]) == ("ENGINE_UNAVAILABLE", 1)
    assert client.conn.closed == (1011, "accounts cannot be looked up")
    client.leave()


async def test_a_key_that_loses_the_account_is_closed_and_one_that_keeps_it_goes_on() -> None:
    scene = Scene()
    client = await scene.open()
    scene.users.change("ann", requests_per_s=50)
    scene.guards.tick()
    assert client.conn.closed is None
    scene.users.change("ann", permissions={2: Permission(account_id=2)})
    scene.guards.tick()
    assert client.conn.closed == (4403, "not allowed on this account")
    client.leave()


async def test_a_key_that_loses_the_account_is_closed_also_while_accounts_cannot_be_looked_up() -> None:
    scene = Scene()
    client = await scene.open()
    scene.backend.away = AWAY
    scene.users.change("ann", requests_per_s=50)
    scene.guards.tick()
    assert client.conn.closed is None
    scene.users.change("ann", permissions={})
    scene.guards.tick()
    assert client.conn.closed == (4403, "not allowed on this account")
    client.leave()


async def test_a_key_that_loses_the_account_is_closed_though_its_name_is_another_account_s_by_now() -> None:
    scene = Scene()
    client = await scene.open("ann", "main")
    scene.backend.names |= {"main": 2, "former": 1}
    scene.users.change("ann", permissions={2: Permission(account_id=2)})
    scene.guards.tick()
    assert client.conn.closed == (4403, "not allowed on this account")
    client.leave()


async def test_messages_of_other_dialects_are_refused_and_the_connection_lives() -> None:
    scene = Scene()
    client = await scene.open()
    for message in ({"action": "ping"}, {"type": "subscribe", "channel": "trades"}):
        error = await client.ask(**message)
        assert (error["type"], error["error_code"] in {"VALIDATION_ERROR", "UNSUPPORTED_ACTION"}) == ("error", True)
    assert await client.ask(type="ping") == {"type": "pong"}
    client.leave()


async def test_a_reader_that_takes_nothing_is_closed_and_others_go_on() -> None:
    scene = Scene()
    slow, other = await scene.open(), await scene.open()
    slow.conn.outbox.pause()
    seconds = 0
    while slow.conn.closed is None and seconds < 20:
        seconds += 1
        tickets = range(seconds * 2_000, seconds * 2_000 + 2_000)
        scene.backend.now = standing("1000", *(Holding(ticket) for ticket in tickets))
        await scene.pass_time(1)
    assert slow.conn.closed == (4008, "")
    assert other.conn.closed is None
    slow.leave()
    other.leave()


# --- heartbeat --------------------------------------------------------------------------------------------------------


async def test_ninety_seconds_without_a_ping_end_the_connection() -> None:
    scene = Scene()
    client = await scene.open()
    await scene.pass_time(89)
    assert client.conn.closed is None
    client.say(type="nonsense")
    await scene.pass_time(2)
    assert client.conn.closed == (4408, "no ping"), "whatever else it says"
    client.leave()


async def test_a_ping_of_either_kind_counts() -> None:
    scene = Scene()
    client = await scene.open()
    await scene.pass_time(80)
    client.say(type="ping")
    await scene.pass_time(80)
    client.conn.pinged_s = scene.clocks.now  # a PING of the protocol, noted by the connection
    await scene.pass_time(89)
    assert client.conn.closed is None
    await scene.pass_time(2)
    assert client.conn.closed == (4408, "no ping")
    client.leave()


# --- nothing stays ----------------------------------------------------------------------------------------------------


def sessions_alive() -> int:
    gc.collect()
    return sum(isinstance(each, AccountSession) for each in gc.get_objects())


async def test_a_thousand_connections_leave_nothing_behind() -> None:
    scene = Scene()
    before, tasks = sessions_alive(), asyncio.all_tasks()
    for number in range(1_000):
        client = await open_quickly(scene, number)
        client.leave()
    await settle()
    del client
    assert len(scene.backend.looks) >= 700, "the others left before anything was read"
    assert all(look.closed == 1 for look in scene.backend.looks)
    assert asyncio.all_tasks() == tasks
    assert (scene.clocks.sleeping, scene.service._tasks, scene.service.monitors) == ([], set(), {})
    assert (len(scene.service.wheel), len(scene.guards.wheel), scene.guards.open) == (0, 0, set())
    assert not scene.rig.sessions.open
    assert sessions_alive() == before


async def open_quickly(scene: Scene, number: int) -> AccountClient:
    """Some leave before anything was read, some while it is, some after."""
    client = scene.rig.connect_account("1", scene.guard("ann"))
    assert isinstance(client, AccountClient)
    for _ in range(number % 4):
        await asyncio.sleep(0)
    return client


async def test_closing_the_service_ends_every_reading() -> None:
    scene = Scene()
    clients = [await scene.open("ann"), await scene.open("bob", "2")]
    await scene.service.close()
    assert [look.closed for look in scene.backend.looks] == [1, 1]
    for client in clients:
        client.leave()
