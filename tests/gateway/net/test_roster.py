"""Who is told of which connections."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.net.roster import Roster
from oms.model import Permission, Principal, Role
from tests.gateway.net.test_private import Scene


def principal_of(scene: Scene, name: str) -> Principal:
    found = scene.users.auth.authenticate(scene.users.texts[name], "x-api-key").principal
    assert found is not None
    return found


async def scene_of(names: list[str | None]) -> tuple[Scene, Roster]:
    scene = Scene()
    scene.users.add("bob", permissions={1: Permission(account_id=1)})
    scene.users.add("root", Role.ADMIN, scopes=frozenset({"admin", "read"}))
    for number, name in enumerate(names):
        client = scene.connect(name)
        client.conn.id, client.conn.peer, client.session.opened_ns = f"c{number}", "192.0.2.7", number * 10**9
    return scene, Roster(scene.rig.sessions)


async def test_an_admin_is_told_of_everybody_and_a_user_of_their_own() -> None:
    scene, roster = await scene_of(["ann", "bob", None, "ann"])
    told = roster.told(principal_of(scene, "root"), 1, 100)
    assert told["users"] == [
        {"user": None, "connections": 1, "subscriptions": 0},
        {"user": "ann", "connections": 2, "subscriptions": 0},
        {"user": "bob", "connections": 1, "subscriptions": 0},
    ]
    assert [(each["connection_id"], each["user"]) for each in told["items"]] == [
        ("c0", "ann"), ("c1", "bob"), ("c2", None), ("c3", "ann"),
    ]  # fmt: skip
    mine = roster.told(principal_of(scene, "bob"), 1, 100)
    assert (mine["users"], mine["total"]) == ([{"user": "bob", "connections": 1, "subscriptions": 0}], 1)
    assert mine["items"] == [
        {
            "connection_id": "c1", "dialect": "stream", "user": "bob", "network": "192.0.2.0/24",
            "opened_at": "1970-01-01T00:00:01.000Z", "subscriptions": 0, "queued_bytes": 0,
        },
    ]  # fmt: skip


async def test_subscriptions_are_counted_and_other_dialects_are_there() -> None:
    scene, roster = await scene_of([])
    client = scene.connect("ann")
    await scene.subscribe(client)
    scene.rig.connect_oms()
    told = roster.told(principal_of(scene, "root"), 1, 100)
    assert sorted((each["dialect"], each["subscriptions"]) for each in told["items"]) == [("oms", 0), ("stream", 1)]
    client.leave()
    assert roster.told(principal_of(scene, "ann"), 1, 100)["total"] == 0


async def test_pages_have_every_connection_once() -> None:
    scene, roster = await scene_of(["ann"] * 7)

    @given(st.integers(1, 9))
    def holds(page_size: int) -> None:
        found: list[Any] = []
        for page in range(1, 9):
            told = roster.told(principal_of(scene, "ann"), page, page_size)
            assert (told["total"], told["page"], told["page_size"]) == (7, page, page_size)
            found += [each["connection_id"] for each in told["items"]]
        assert found == [f"c{number}" for number in range(7)]

    holds()
