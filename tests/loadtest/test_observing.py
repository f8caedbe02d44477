"""An account as it is told: each change goes on from the one before. `test_watchers` has the messages together."""

from __future__ import annotations

from typing import Any

from loadtest.observing import Observing


def update(old: float | None, new: float, **marks: bool) -> dict[str, Any]:
    return {"type": "account_update", "changes": {"equity": {"old": old, "new": new}}, **marks}


def test_a_change_must_begin_where_the_one_before_ended() -> None:
    one = Observing()
    assert [one.take(each) for each in (update(None, 1.0, snapshot=True), update(1.0, 2.0), update(3.0, 4.0))] == [
        0, 0, 1,
    ]  # fmt: skip
    assert one.take(update(None, 9.0, snapshot=True)) == 0


def test_a_position_is_opened_once_and_closed_once() -> None:
    one = Observing()
    opened, closed = {"type": "position_opened", "position": {"ticket": 1}}, {"type": "position_closed", "ticket": 1}
    assert [one.take(each) for each in (opened, opened, closed, closed)] == [0, 1, 0, 1]
    assert [one.take({**opened, "snapshot": True}) for _ in range(2)] == [0, 0]
    assert one.take({"type": "position_modified", "ticket": 2}) == 1


def test_what_says_nothing_of_the_account_breaks_nothing() -> None:
    assert Observing().take({"type": "pong"}) == 0
