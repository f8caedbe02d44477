"""The rows of one atomic unit."""

from __future__ import annotations

import pytest

from oms.model import Event
from oms.writes import CommandRow, CommandStatus, Sequences, SequenceStep, Writes


def row(status: CommandStatus) -> CommandRow:
    return CommandRow(
        id=1,
        api_key_id=2,
        account_id=3,
        command="send_order",
        payload={},
        payload_hash=b"h",
        created_ns=4,
        status=status,
    )


def event(number: int) -> Event:
    return Event(
        account_id=3, sequence=number, channel="orders", channel_sequence=number, event="e", data=b"{}", created_ns=4
    )


def step(old: int, new: int) -> SequenceStep:
    return SequenceStep(
        account_id=3, old=Sequences(event=old, orders=old), new=Sequences(event=new, orders=new, deals=0, positions=0)
    )


def test_each_has_rows_of_its_own() -> None:
    first, second = Writes(), Writes()
    first.commands[1] = row(CommandStatus.RUNNING)
    assert first
    assert not second


def test_what_is_taken_in_is_written_once_and_in_order() -> None:
    first = Writes(commands={1: row(CommandStatus.RUNNING)}, events=[event(1)], sequences={3: step(0, 1)})
    first.extend(Writes(commands={1: row(CommandStatus.OK)}, events=[event(2)], sequences={3: step(1, 2)}))
    assert first.rows == 3
    assert first.commands[1].status == "ok"
    assert [event.sequence for event in first.events] == [1, 2]
    assert first.sequences == {3: step(0, 2)}


def test_a_hole_between_two_is_refused_and_changes_nothing() -> None:
    first = Writes(events=[event(1)], sequences={3: step(0, 1)})
    with pytest.raises(ValueError, match="does not follow"):
        first.extend(Writes(events=[event(3)], sequences={3: step(2, 3)}))
    assert first.rows == 1
    assert first.sequences == {3: step(0, 1)}
