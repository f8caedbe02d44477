"""Whether a scenario missed a limit."""

from __future__ import annotations

import pytest

from loadtest.outcome import Outcome
from loadtest.targets import Verdict


@pytest.mark.parametrize(
    ("met", "missed"), [([True, True], False), ([True, False], True), ([True, None], False), ([], False)]
)
def test_one_missed_limit_is_enough_and_one_not_judged_is_not(met: list[bool | None], missed: bool) -> None:
    verdicts = [Verdict("p99_ms <= 20", "1", each) for each in met]
    assert Outcome("A", "a title", {}, verdicts=verdicts).missed is missed


def test_a_goal_that_was_not_reached_fails_nothing() -> None:
    goal = Verdict("goal: p99_ms <= 20", "21", met=False, is_limit=False, shown_in="docs/why.md")
    assert not Outcome("A", "a title", {}, verdicts=[goal]).missed
