"""What a dashboard wants: everything when it is new, then what it says, as a model in plain sets has it."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import TickwireError
from gateway.net.dashboard_wanted import Wanted
from gateway.wire.dashboard import CHANNELS

UNIVERSE = frozenset("ABCDEF")
KNOWN = frozenset("ABC")
SOME = st.frozensets(st.sampled_from(sorted(UNIVERSE)), min_size=1)
A_CHANNEL = st.sampled_from(CHANNELS)


class Narrowing(RuleBasedStateMachine):
    """The model: of each channel, what is shown of everything there could be."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = Wanted(100)
        self.shown = dict.fromkeys(CHANNELS, UNIVERSE)
        self.is_new = True

    def narrow(self) -> None:
        if self.is_new:
            self.is_new = False
            self.shown = dict.fromkeys(CHANNELS, frozenset())

    @rule(channel=A_CHANNEL, symbols=SOME)
    def subscribe(self, channel: str, symbols: frozenset[str]) -> None:
        self.narrow()
        self.wanted.subscribe(channel, symbols)
        self.shown[channel] |= symbols

    @rule(channel=A_CHANNEL)
    def subscribe_to_all(self, channel: str) -> None:
        self.narrow()
        self.wanted.subscribe(channel, ())
        self.shown[channel] = UNIVERSE

    @rule(channel=A_CHANNEL, symbols=SOME)
    def unsubscribe(self, channel: str, symbols: frozenset[str]) -> None:
        self.wanted.unsubscribe(channel, symbols)
        self.shown[channel] -= symbols

    @rule(channel=A_CHANNEL)
    def unsubscribe_from_all(self, channel: str) -> None:
        self.wanted.unsubscribe(channel, ())
        self.shown[channel] = frozenset()

    @invariant()
    def shows_what_the_model_has(self) -> None:
        for channel, shown in self.shown.items():
            assert {each for each in UNIVERSE if self.wanted.shows(channel, each)} == shown
            assert self.wanted.of(channel, KNOWN) >= shown & KNOWN
            assert self.wanted.of(channel, KNOWN) <= shown
            assert self.wanted.has(channel) or not shown


TestNarrowing = Narrowing.TestCase
TestNarrowing.settings = settings(max_examples=50, stateful_step_count=12)


def test_the_first_subscribe_narrows_and_the_second_does_not() -> None:
    wanted = Wanted(10)
    assert [wanted.has(channel) for channel in CHANNELS] == [True] * 4
    wanted.subscribe("price_updates", ["A"])
    assert [wanted.has(channel) for channel in CHANNELS] == [True, False, False, False]
    wanted.subscribe("signals", [])
    assert wanted.of("price_updates", "BC") == {"A"}
    assert wanted.shows("signals", "anything")


def test_to_unsubscribe_from_some_leaves_the_rest_of_all() -> None:
    wanted = Wanted(10)
    wanted.unsubscribe("price_updates", ["B"])
    wanted.unsubscribe("trades", [])
    assert wanted.of("price_updates", "ABC") == {"A", "C"}
    assert [wanted.has(channel) for channel in CHANNELS] == [True, True, False, True]


def test_too_many_names_change_nothing() -> None:
    wanted = Wanted(2)
    for change in (wanted.subscribe, wanted.unsubscribe):
        with pytest.raises(TickwireError) as refused:
            change("signals", "ABC")
        assert refused.value.code == "too_many_subscriptions"
    assert all(wanted.has(channel) and wanted.shows(channel, "A") for channel in CHANNELS)
