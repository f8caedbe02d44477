"""Uptime, recovery and announcements from made slots, faults and gaps."""

from __future__ import annotations

import math

import pytest

from loadtest import uptime
from loadtest.unrest import Injected
from loadtest.uptime import Announced, Slot

DROP = Injected("drop", 100.0, 101.0, breaks=True)
DELAY = Injected("slow answers", 100.0, 104.0, breaks=False)
STREAMS = ["quotes A/B", "trades A/B"]


def slots(*, dead: range = range(0), mute: range = range(0)) -> list[Slot]:
    """One a second from 90 to 129; streams stand still in `dead` seconds, requests have no answer in `mute` ones."""
    newest, made = 89.0, []
    for at_s in range(90, 130):
        newest = newest if at_s in dead else float(at_s)
        made.append(Slot(float(at_s), at_s not in mute, newest))
    return made


def test_up_is_an_answer_and_live_streams() -> None:
    assert uptime.share_up(slots(), []) == 1.0
    assert uptime.share_up(slots(mute=range(95, 99)), []) == 0.9
    assert uptime.share_up(slots(dead=range(110, 117)), []) == 0.9  # for 3 s a stream may rest
    assert uptime.share_up([], []) == 0.0


def test_a_fault_excuses_streams_and_no_answers() -> None:
    assert uptime.share_up(slots(dead=range(100, 106)), [DROP]) == 1.0
    assert uptime.share_up(slots(dead=range(100, 112)), [DROP]) == pytest.approx(1 - 2 / 40)  # up to 109
    assert uptime.share_up(slots(mute=range(100, 102)), [DROP]) == pytest.approx(1 - 2 / 40)


def test_an_excuse_ends_when_every_stream_is_back() -> None:
    seen = slots(dead=range(100, 105))
    assert uptime.excuses(seen, [DROP]) == [(100.0, 105.0)]
    assert uptime.share_excused(seen, [DROP]) == 6 / 40
    again = slots(dead=range(106, 112))  # lost once more, soon after it was back
    assert uptime.excuses(again, [DROP]) == [(100.0, 101.0)]
    assert uptime.share_up(again, [DROP]) == pytest.approx(1 - 3 / 40)


def test_an_excuse_ends_after_so_long_without_recovery() -> None:
    assert uptime.excuses(slots(dead=range(100, 130)), [DROP]) == [(100.0, 101.0 + uptime.RECOVERY_S)]


def test_what_breaks_no_stream_excuses_nothing() -> None:
    seen = slots(dead=range(100, 105))
    assert uptime.excuses(seen, [DELAY]) == []
    assert uptime.share_up(seen, [DELAY]) == pytest.approx(1 - 2 / 40)
    assert uptime.share_excused(seen, [DELAY]) == 0.0
    assert uptime.share_excused([], []) == 1.0


def test_recovery_ends_with_an_update_of_every_stream_from_after_the_fault() -> None:
    assert uptime.recovery_max_s(slots(dead=range(100, 104)), [DROP]) == 3.0
    later = Injected("restart", 110.0, 111.0, breaks=True)
    assert uptime.recovery_max_s(slots(dead=range(100, 104)), [DROP, later]) == 3.0
    assert uptime.recovery_max_s(slots(dead=range(110, 130)), [DROP, later]) == math.inf
    assert uptime.recovery_max_s(slots(), []) is None


@pytest.mark.parametrize(
    ("gaps", "missed"),
    [
        ([(100.5, "quotes A/B"), (109.0, "trades A/B")], 0),
        ([(100.5, "quotes A/B")], 1),
        ([(100.5, "quotes A/B"), (109.1, "trades A/B")], 1),
        ([(99.9, "quotes A/B"), (100.5, "trades A/B")], 1),
    ],
)
def test_a_broken_stream_is_announced_soon(gaps: list[tuple[float, str]], missed: int) -> None:
    told = [Announced(at_s, stream, "upstream") for at_s, stream in gaps]
    assert len(uptime.unannounced([DROP], told, STREAMS)) == missed


def test_what_breaks_nothing_need_not_be_announced() -> None:
    assert uptime.unannounced([DELAY], [], STREAMS) == []


def test_gaps_that_no_fault_explains_are_counted() -> None:
    told = [Announced(at_s, "quotes A/B", "upstream") for at_s in (50.0, 100.0, 109.5)]
    assert uptime.outside([DROP], told) == 2
    assert uptime.outside([DELAY], told) == 3


def test_a_fault_explains_gaps_while_it_lasts_and_one_of_each_stream_after_it() -> None:
    told = [Announced(at_s, stream, "upstream") for stream in STREAMS for at_s in (100.0, 100.5, 101.5, 108.0)]
    assert uptime.outside([DROP], told) == 2
    assert uptime.outside([DROP, Injected("restart", 107.0, 108.0, breaks=True)], told) == 0
