"""When faults come, and that the real simulated exchange has them."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing
from typing import Any

import pytest

from loadtest import load, targets, unrest
from loadtest.mixed import Mix
from loadtest.swarm import ToolError
from loadtest.unrest import KINDS, Exchange, Injected, Kind
from loadtest.uptime import RECOVERY_S


def test_faults_are_so_far_apart_and_over_at_the_end() -> None:
    assert unrest.times(62.0, 12.0, 5.0) == [6.0, 18.0, 30.0, 42.0, 54.0]  # the fifth takes 3 s, and 5 more
    assert unrest.times(61.9, 12.0, 5.0) == [6.0, 18.0, 30.0, 42.0]
    assert unrest.times(1800.0, 60.0, 5.0)[-1] == 1770.0
    assert unrest.times(60.0, 0.0, 5.0) == unrest.times(5.0, 12.0, 5.0) == []


def test_no_fault_begins_before_the_one_before_has_been_recovered_from() -> None:
    longest_s = max(kind.lasts_s for kind in KINDS)
    assert unrest.times(60.0, longest_s + 8.0, 8.0)
    with pytest.raises(ToolError, match=r"a fault every 13\.9 s: .* up to 14 s"):
        unrest.times(60.0, longest_s + 7.9, 8.0)


@pytest.mark.parametrize("name", ["mixed", "soak"])
def test_each_kind_comes_at_least_once_in_a_scenario(name: str) -> None:
    mix = Mix(**targets.parse(load.TARGETS.read_text(encoding="utf-8"))[name].options)
    starting_s = 10.0
    assert len(unrest.times(mix.seconds - starting_s, mix.faults_every_s, RECOVERY_S)) >= len(KINDS)


def status(one: Exchange) -> Any:
    with closing(http.client.HTTPConnection("127.0.0.1", one.port, timeout=10)) as door:
        door.request("GET", "/admin/status")
        return json.loads(door.getresponse().read())


def test_every_kind_happens_to_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [kind._replace(lasts_s=0.0) for kind in KINDS]
    monkeypatch.setattr(unrest, "KINDS", [*quick[4:], *quick[:4]])  # what counts is asked before the restart, the last
    over = threading.Event()
    with unrest.exchange(symbols=1, rate=5.0) as one:
        done = [one.suffer(kind, over) for kind in quick if kind.commands]
        counted = {name: count for name, count in status(one)["counters"].items() if name.startswith("faults_")}
        done.append(one.suffer(quick[3], over))
        fresh = status(one)["counters"]
    assert counted == {"faults_drop": 2, "faults_delay": 1, "faults_silent": 1, "faults_rest": 1}
    assert not any(name.startswith("faults_") for name in fresh)
    assert [fault.kind for fault in done] == ["drop", "slow answers", "silence", "refusal", "restart"]
    assert all(fault.from_s <= fault.until_s for fault in done)


def test_what_the_exchange_does_not_know_is_refused() -> None:
    with unrest.exchange(symbols=1, rate=0.0) as one, pytest.raises(ToolError, match=r"refused .*magic"):
        one.command({"fault": "magic"})


class Counting(Exchange):
    """No process."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__(1, 0.0, port=1)
        self.kinds: list[str] = []
        self.fails = fails
        self.enough = threading.Event()

    def suffer(self, kind: Kind, over: threading.Event) -> Injected:
        self.kinds.append(kind.name)
        if len(self.kinds) == 6 or self.fails:
            self.enough.set()
        if self.fails:
            raise OSError("nobody there")
        return Injected(kind.name, 0.0, 0.0, kind.breaks)


def test_the_kinds_take_turns() -> None:
    one = Counting()
    with unrest.restless(one, [0.0] * 6) as injected:
        assert one.enough.wait(10.0)
    assert one.kinds == [*(kind.name for kind in KINDS), KINDS[0].name]
    assert len(injected) == 6


def test_no_fault_comes_after_the_block() -> None:
    one = Counting()
    with unrest.restless(one, [3600.0]) as injected:
        pass
    assert injected == []
    assert one.kinds == []


def test_a_fault_that_could_not_be_made_fails_the_run() -> None:
    one = Counting(fails=True)
    with pytest.raises(ToolError, match="could not be made.*nobody there"), unrest.restless(one, [0.0]):  # noqa: RUF043
        assert one.enough.wait(10.0)
