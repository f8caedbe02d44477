"""The pulse of locust's users, with a clock of the test's."""

from __future__ import annotations

import pytest

from loadtest import pulse
from loadtest.cpu import Given
from loadtest.pulse import Pulse


class Clock:
    """Each sleep lasts longer by what the others take, seconds."""

    def __init__(self, late_s: list[float]) -> None:
        self.now_s = 100.0
        self.late_s = late_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds + self.late_s.pop(0)

    def given(self) -> Given:
        return Given(self.now_s, self.now_s / 2, self.now_s / 10)


def beaten(late_s: list[float]) -> tuple[Pulse, list[float]]:
    clock, told = Clock(late_s), list[float]()
    one = Pulse(clock.sleep, lambda: clock.now_s, told.append, clock.given)
    one.run(len(late_s))
    return one, told


def test_how_late_it_wakes_is_told_and_kept() -> None:
    one, told = beaten([0.0] * 98 + [0.030, 0.2])
    assert told[-2:] == pytest.approx([30.0, 200.0])
    assert one.figures()["client_lag_p99_ms"] == pytest.approx(30.0, abs=1.0)


def test_cpu_and_waiting_are_of_the_time_since_it_began() -> None:
    one, _told = beaten([0.5])
    figures = one.figures()
    assert (figures["client_cpu_share"], figures["client_waited_share"]) == pytest.approx((0.5, 0.1))


def test_without_a_beat_nothing_is_known_of_the_lag() -> None:
    assert beaten([])[0].figures()["client_lag_p99_ms"] is None


def test_of_several_processes_the_worst_of_each_figure_counts() -> None:
    each: list[pulse.Figures] = [{"a": 1.0, "b": None}, {"a": 0.5, "b": 2.0, "c": None}, {"a": None}]
    assert pulse.worst(each) == {"a": 1.0, "b": 2.0, "c": None}
    assert pulse.worst([]) == {}
