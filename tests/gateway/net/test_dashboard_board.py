"""What is told once an interval: by a timer, in slices, and only while there is somebody."""

from __future__ import annotations

import asyncio
import json

import pytest

from _speedups.fanout import Fanout
from gateway.limits import Limits
from gateway.net import dashboard_board
from gateway.net.dashboard_board import Audience, Board
from gateway.net.deflate import compress
from gateway.wire.dashboard_forms import DashboardForms
from tests.gateway.net.fakes import FakeConnection
from tests.waiting import until

FORM = DashboardForms(Limits(), compress).of(deflate=False).prices


class Numbers(Board[str]):
    """Tells a number to each audience."""

    def __init__(self, fanout: Fanout, interval_s: float) -> None:
        super().__init__(fanout, interval_s, lambda: 1_770_474_600_123_000_000)
        self.audiences: dict[str, Audience[str]] = {}
        self.value: int | None = None

    def began(self, audience: Audience[str]) -> None:
        self.audiences[audience.what] = audience

    def ended(self, audience: Audience[str]) -> None:
        del self.audiences[audience.what]

    def state(self, what: str) -> bytes | None:
        return None if self.value is None else json.dumps({what: self.value}).encode()

    def set(self, value: int | None) -> None:
        self.value = value
        self.changed(self.audiences.values())


@pytest.fixture
async def fanout() -> Fanout:
    loop = asyncio.get_running_loop()
    return Fanout(loop.call_soon, loop.call_later)


def told(client: FakeConnection) -> list[dict[str, int]]:
    return [message["symbols"] for message in client.take()]


async def test_what_has_changed_is_told_by_itself_as_long_as_somebody_is_there(fanout: Fanout) -> None:
    board = Numbers(fanout, 0.001)
    client = FakeConnection(fanout)
    board.join(client.outbox, "a", FORM)
    board.set(1)
    await until(lambda: client.socket.written)
    assert told(client) == [{"a": 1}]
    client.outbox.discard()
    assert (board.audiences, board._timer) == ({}, None)
    assert board.health.at(0).started_at_ns is None


async def test_what_is_the_same_as_before_is_not_told_again(fanout: Fanout) -> None:
    board = Numbers(fanout, 3_600)
    client = FakeConnection(fanout)
    board.join(client.outbox, "a", FORM)
    for value in (1, 1, 2, 1):
        board.set(value)
        board._tick()
    assert told(client) == [{"a": 1}, {"a": 2}, {"a": 1}]
    board.close()


async def test_many_audiences_are_told_in_slices(fanout: Fanout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_board, "SLICE_PARTS", 4)
    board = Numbers(fanout, 3_600)
    clients = {name: FakeConnection(fanout) for name in ("a", "b", "c", "d", "e")}
    for name, client in clients.items():
        board.join(client.outbox, name, FORM)
    board.set(1)
    board._tick()
    assert [bool(told(client)) for client in clients.values()] == [True, True, False, False, False]
    board.set(2)
    board._tick()
    assert not any(told(client) for client in clients.values()), "the last interval's slices go on"
    heard: dict[str, list[dict[str, int]]] = {name: [] for name in clients}

    def all_heard() -> bool:
        for name, client in clients.items():
            heard[name] += told(client)
        return all(heard.values())

    await until(all_heard)
    assert heard == {name: [{name: 2}] for name in clients}, "each the newest, and once"
    board.close()
    for client in clients.values():
        client.outbox.discard()


async def test_nothing_known_is_nothing_told(fanout: Fanout) -> None:
    board = Numbers(fanout, 3_600)
    client = FakeConnection(fanout)
    board.join(client.outbox, "a", FORM)
    board.set(None)
    board._tick()
    assert told(client) == []
    assert board.health.at(0).last_update_ns is None
    board.value = 5
    other = FakeConnection(fanout)
    board.join(other.outbox, "a", FORM)
    assert told(other) == [{"a": 5}], "at once to who comes later"
    board.close()


async def test_an_outbox_that_takes_nothing_more_leaves_no_audience(fanout: Fanout) -> None:
    board = Numbers(fanout, 3_600)
    client = FakeConnection(fanout)
    client.close(1000)
    with pytest.raises(ValueError, match="takes nothing more"):
        board.join(client.outbox, "a", FORM)
    assert (board.audiences, board._timer) == ({}, None)
