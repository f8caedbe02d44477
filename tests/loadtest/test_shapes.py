"""Shapes of load: where they begin, peak and end, and that none asks for more users than there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest import shapes


@given(st.sampled_from(list(shapes.SHAPES)), st.floats(0, 1), st.integers(1, 1_000))
def test_no_shape_has_more_users_than_there_are(shape: str, share: float, users: int) -> None:
    wanted, rate = shapes.users_at(shape, 60.0 * share, 60.0, users, 5.0)
    assert 0 <= wanted <= users
    assert rate >= 1.0


@pytest.mark.parametrize(
    ("shape", "users"),
    [
        ("steady", [100, 100, 100, 100, 100]),
        ("ramp", [10, 30, 60, 80, 100]),
        ("day", [20, 100, 20, 100, 20]),
        ("storm", [100, 100, 100, 100, 100]),
        ("account", [0, 100, 100, 100, 100]),
        ("soak", [0, 100, 100, 100, 100]),
    ],
)
def test_users_over_the_time(shape: str, users: list[int]) -> None:
    times_s = (0.0, 15.0, 30.0, 45.0, 60.0)
    assert [shapes.users_at(shape, at_s, 60.0, 100, 5.0)[0] for at_s in times_s] == users


def test_in_a_storm_everybody_goes_for_a_second_and_comes_back_at_once() -> None:
    seen = [shapes.users_at("storm", at_s, 60.0, 100, 5.0) for at_s in (10.0, 20.0, 20.9, 21.0, 40.5, 41.5)]
    assert seen == [(100, 5.0), (0, 100.0), (0, 100.0), (100, 100.0), (0, 100.0), (100, 100.0)]


def test_who_observes_an_account_comes_within_ten_seconds_or_a_tenth_of_the_time_and_stays() -> None:
    assert [shapes.users_at("account", at_s, 300.0, 300, 5.0) for at_s in (1.0, 5.0, 10.0, 299.0)] == [
        (30, 300.0), (150, 300.0), (300, 300.0), (300, 300.0),
    ]  # fmt: skip
    assert shapes.users_at("account", 0.5, 10.0, 300, 5.0)[0] == 150


def test_in_a_soak_a_tenth_goes_each_minute_for_five_seconds() -> None:
    seen = [shapes.users_at("soak", at_s, 3600.0, 1_000, 5.0)[0] for at_s in (30.0, 54.9, 55.0, 59.9, 60.0, 1_856.0)]
    assert seen == [1_000, 1_000, 900, 900, 1_000, 900]
