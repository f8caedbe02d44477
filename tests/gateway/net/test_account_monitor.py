"""One reader of an account however many watch: each second, changes only, the same bytes, and a loss is told."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.errors import TickwireError
from gateway.net.account_monitor import Monitor
from oms.errors import OmsError
from tests.frames import whole
from tests.gateway.accounts_made import Ending, Holding, standing
from tests.gateway.net.watched import FakeStandings, HandClocks, settle
from tests.waiting import until

LOST = OmsError("exchange_unavailable", "the terminal is gone")


class Ear:
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def deliver(self, frames: bytes) -> None:
        self.heard.append(frames)

    def take(self) -> list[dict[str, Any]]:
        said = [json.loads(frame.payload) for frames in self.heard for frame in whole(frames)]
        self.heard.clear()
        return said


class Scene:
    def __init__(self) -> None:
        self.backend = FakeStandings()
        self.clocks = HandClocks()
        self.monitor = Monitor(1, lambda: self.backend.look(1), clocks=self.clocks, timeout_s=10)
        self.task: asyncio.Task[None] | None = None

    async def join(self) -> Ear:
        ear = Ear()
        self.task = self.monitor.add(ear) or self.task
        await settle()
        return ear

    async def leave(self, *ears: Ear) -> None:
        for ear in ears:
            self.monitor.remove(ear)
        assert self.task is not None
        await asyncio.gather(self.task, return_exceptions=True)


def kinds(said: list[dict[str, Any]]) -> list[str]:
    return [each["type"] for each in said]


async def test_the_first_thing_told_is_how_the_account_stands() -> None:
    scene = Scene()
    scene.backend.now = standing("1000.0", Holding(1))
    ear = await scene.join()
    updated, opened = ear.take()
    assert (updated["changes"], updated["snapshot"]) == ({"balance": {"old": None, "new": 1000.0, "diff": None}}, True)
    assert (opened["position"]["ticket"], opened["snapshot"]) == (1, True)
    await scene.leave(ear)


async def test_it_is_read_once_a_second_however_many_watch_and_all_hear_the_same_bytes() -> None:
    scene = Scene()
    ears = [await scene.join() for _ in range(5)]
    for ear in ears:
        ear.take()
    scene.backend.reads = 0
    scene.backend.now = standing("1001")
    await scene.clocks.pass_time(3)
    assert scene.backend.reads == 3
    assert len({id(ear.heard[0]) for ear in ears}) == 1, "one object, made once"
    assert kinds(ears[0].take()) == ["account_update"], "and no second time"
    await scene.leave(*ears)


async def test_a_slow_reading_is_followed_by_the_next_at_once_and_never_overlapped() -> None:
    scene = Scene()
    ear = await scene.join()
    scene.backend.gate.clear()
    await scene.clocks.pass_time(5)
    assert scene.backend.reads == 2
    scene.backend.gate.set()
    await settle()
    assert scene.backend.reads == 3
    await scene.leave(ear)


async def test_a_closed_position_is_told_with_how_it_ended() -> None:
    scene = Scene()
    scene.backend.now = standing("1000", Holding(7))
    ear = await scene.join()
    ear.take()
    scene.backend.endings = {7: Ending(Decimal("1.0865"), Decimal("150.0"))}
    scene.backend.now = standing("1150")
    await scene.clocks.pass_time(1)
    closed, updated = ear.take()
    assert (closed["ticket"], closed["close_price"], closed["profit"]) == (7, 1.0865, 150.0)
    assert updated["changes"]["balance"] == {"old": 1000, "new": 1150, "diff": 150}
    assert scene.backend.asked == [7]
    await scene.leave(ear)


async def test_who_comes_later_is_told_what_is_known_without_another_reading() -> None:
    scene = Scene()
    first = await scene.join()
    reads = scene.backend.reads
    late = await scene.join()
    assert late.take() == first.take()
    assert scene.backend.reads == reads
    await scene.leave(first, late)


async def test_a_loss_is_told_each_time_with_a_longer_wait_and_what_is_known_is_stale() -> None:
    scene = Scene()
    scene.backend.now = standing("1000", Holding(1))
    ear = await scene.join()
    ear.take()
    scene.backend.fault = LOST
    waits: list[int] = []
    with capture_logs() as logs:
        await scene.clocks.pass_time(1)
        error, stale = ear.take()
        assert (error["error_code"], error["message"]) == ("CONNECTION_LOST", "the terminal is gone")
        assert (stale["type"], stale["stale"], stale["changes"]["balance"]["new"]) == ("account_update", True, 1000)
        waits.append(error["retry_in_seconds"])
        for _ in range(6):
            await scene.clocks.pass_time(waits[-1])
            (error,) = ear.take()
            waits.append(error["retry_in_seconds"])
    assert waits == [1, 2, 4, 8, 16, 32, 32]
    assert [line["event"] for line in logs] == ["account cannot be read"], "once a loss"
    await scene.leave(ear)


async def test_who_comes_while_it_is_lost_is_told_what_was_known_and_that_it_is_stale() -> None:
    scene = Scene()
    scene.backend.now = standing("1000", Holding(1))
    first = await scene.join()
    scene.backend.fault = LOST
    await scene.clocks.pass_time(2.5)
    late = await scene.join()
    said = late.take()
    assert kinds(said) == ["account_update", "position_opened", "error"]
    assert [each.get("stale") for each in said] == [True, True, None]
    assert said[2]["retry_in_seconds"] == 2, "what is left of it"
    await scene.leave(first, late)


async def test_after_a_loss_what_has_changed_is_told_and_that_it_is_fresh() -> None:
    scene = Scene()
    scene.backend.now = standing("1000", Holding(1))
    ear = await scene.join()
    scene.backend.fault = LOST
    await scene.clocks.pass_time(1)
    ear.take()
    scene.backend.fault = None
    scene.backend.now = standing("1000", Holding(1), Holding(2))
    await scene.clocks.pass_time(1)
    opened, updated = ear.take()
    assert (opened["type"], opened.get("stale"), opened.get("snapshot")) == ("position_opened", None, None)
    assert (updated["type"], updated["changes"], updated["stale"]) == ("account_update", {}, False)
    scene.backend.fault = LOST
    await scene.clocks.pass_time(1)
    assert ear.take()[0]["retry_in_seconds"] == 1, "the waits begin anew"
    await scene.leave(ear)


async def test_what_was_never_read_is_told_as_soon_as_it_is() -> None:
    scene = Scene()
    scene.backend.fault = LOST
    ear = await scene.join()
    assert kinds(ear.take()) == ["error"]
    scene.backend.fault = None
    await scene.clocks.pass_time(1)
    (updated,) = ear.take()
    assert (updated["snapshot"], updated.get("stale")) == (True, None)
    await scene.leave(ear)


@pytest.mark.parametrize("fault", [RuntimeError("secret inside"), TickwireError("engine_unavailable", "away")])
async def test_whatever_fails_is_a_loss_and_a_bug_tells_nothing_of_itself(fault: Exception) -> None:
    scene = Scene()
    scene.backend.fault = fault
    with capture_logs():
        ear = await scene.join()
    (error,) = ear.take()
    assert error["error_code"] == "CONNECTION_LOST"
    assert "secret" not in error["message"]
    scene.backend.fault = None
    await scene.clocks.pass_time(1)
    assert kinds(ear.take()) == ["account_update"], "and it goes on"
    await scene.leave(ear)


async def test_a_reading_that_hangs_is_given_up() -> None:
    scene = Scene()
    scene.monitor._timeout_s = 0.01
    scene.backend.gate.clear()
    ear = await scene.join()
    await until(lambda: ear.heard)
    assert "no answer within" in ear.take()[0]["message"]
    await scene.leave(ear)


async def test_the_last_who_leaves_ends_the_reading_and_lets_go_of_the_backend() -> None:
    scene = Scene()
    one, other = await scene.join(), await scene.join()
    assert scene.monitor.remove(one) is False
    assert scene.task is not None
    assert not scene.task.done()
    await scene.leave(other)
    assert scene.task.cancelled()
    assert [look.closed for look in scene.backend.looks] == [1]
    assert scene.clocks.sleeping == []
