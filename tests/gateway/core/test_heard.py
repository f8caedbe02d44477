"""A symbol is asked for until its exchange says which key it is, and heard until the end."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core import heard
from gateway.core.heard import Heard
from gateway.core.key import Key
from gateway.core.tiers import Item
from gateway.errors import TickwireError
from tests.gateway.net.fakes import Rig
from tests.waiting import until

KEY = Key("sim", "quotes", "BTC/USDT")


class Ear(Heard):
    """Keeps what it was told; the exchange knows the symbol after `refusals`."""

    def __init__(self, rig: Rig, refusals: int = 0) -> None:
        super().__init__(rig.hub, self._asked)
        self.told: list[object] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._refusals = refusals

    async def _asked(self) -> Key:
        await self.gate.wait()
        if self._refusals:
            self._refusals -= 1
            raise TickwireError("unknown_symbol", "not yet")
        return KEY

    def on_update(self, key: Key, item: Item) -> None:
        self.told.append((key, item.data))

    def on_lost(self, key: Key) -> None:
        self.told.append((key, None))

    def refused(self, error: BaseException, *, is_first: bool) -> None:
        self.told.append((str(error), is_first))


async def test_what_comes_and_what_is_lost_is_heard_until_the_end() -> None:
    rig = Rig()
    ear = Ear(rig)
    ear.begin()
    await until(lambda: KEY in rig.sim.watched)
    rig.hub.publish(KEY, b"1", t_ex=None, t_in=1)
    rig.hub.lost(KEY, "upstream")
    ear.end()
    rig.hub.publish(KEY, b"2", t_ex=None, t_in=2)
    assert ear.told == [(KEY, b"1"), (KEY, None)]


async def test_each_refusal_is_told_and_the_first_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heard, "RETRY_S", (0.001, 0.001))
    rig = Rig()
    ear = Ear(rig, refusals=3)
    ear.begin()
    await until(lambda: KEY in rig.sim.watched)
    assert ear.told == [("not yet", True), ("not yet", False), ("not yet", False)]
    ear.end()


async def test_ended_while_it_asks_or_pauses_it_hears_nothing() -> None:
    rig = Rig()
    asking, pausing = Ear(rig), Ear(rig, refusals=1)
    asking.gate.clear()
    asking.begin()
    pausing.begin()
    await until(lambda: pausing.told)
    resolving = asking._resolving
    assert resolving is not None
    asking.end()
    pausing.end()
    asking.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await resolving
    assert pausing._retry is not None
    assert pausing._retry.cancelled()
    assert not rig.sim.watched


@pytest.mark.parametrize("refusals", [0, 1])
async def test_ended_in_the_turn_in_which_the_answer_comes_it_hears_nothing(refusals: int) -> None:
    rig = Rig()
    ear = Ear(rig, refusals=refusals)
    ear.begin()
    resolving = ear._resolving
    assert resolving is not None
    resolving.remove_done_callback(ear._resolved)
    await asyncio.wait([resolving])
    ear.end()
    ear._resolved(resolving)  # the loop had called it already
    assert (ear.told, ear._retry) == ([], None)
    assert not rig.sim.watched
