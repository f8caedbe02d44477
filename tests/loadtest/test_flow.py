"""Rates and silences of made updates."""

from __future__ import annotations

from loadtest.flow import Flow

A, B, BOOK = ("trades", "A/B"), ("trades", "C/D"), ("book", "A/B")


def flowing() -> Flow:
    flow = Flow([A, B, BOOK])
    flow.took(A, 90.0)  # before it begins
    flow.begin(100.0)
    return flow


def test_a_rate_is_of_one_stream_on_average_since_the_beginning() -> None:
    flow = flowing()
    for at_s in (101.0, 102.0, 103.0):
        flow.took(A, at_s)
    flow.took(B, 104.0)
    assert flow.of("trades", 110.0).per_s == 4 / 2 / 10
    assert flow.of("book", 110.0).per_s == 0.0


def test_silence_is_that_of_the_stream_which_had_nothing_for_longest() -> None:
    flow = flowing()
    for at_s in (101.0, 105.0, 106.0):
        flow.took(A, at_s)
    flow.took(B, 103.0)
    assert flow.of("trades", 106.0).silence_s == 4.0
    flow.took(B, 106.0)
    assert flow.of("trades", 107.0).silence_s == 4.0


def test_what_stops_for_good_or_never_comes_is_in_silence_to_the_end() -> None:
    flow = flowing()
    flow.took(A, 101.0)
    flow.took(B, 119.0)
    assert flow.of("trades", 120.0).silence_s == 19.0
    assert flow.of("book", 120.0).silence_s == 20.0


def test_what_never_began_flows_not() -> None:
    assert Flow([A]).of("trades", 120.0) == (0.0, 0.0)
