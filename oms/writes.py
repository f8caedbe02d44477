"""The rows of one atomic unit: what is committed together before anything is sent or told.

Holds values only, each row once and in its newest form. Must not know how rows get into a table, nor why they changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from enum import StrEnum
from typing import Any

import msgspec

from oms.model import Alert, Deal, Event, Order, Position


class CommandStatus(StrEnum):
    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it is stored. `result` is what was, or will be, answered; JSON-ready like `payload`."""

    id: int
    api_key_id: int
    account_id: int
    command: str
    payload: Mapping[str, Any]
    payload_hash: bytes
    created_ns: int
    request_id: str | None = None
    status: CommandStatus = CommandStatus.RUNNING
    order_id: int | None = None
    result: Mapping[str, Any] | None = None
    finished_ns: int | None = None


class Sequences(msgspec.Struct, frozen=True, kw_only=True):
    """The last numbers an account has given: to an event, and to an event of each channel."""

    event: int = 0
    orders: int = 0
    deals: int = 0
    positions: int = 0
    alerts: int = 0


class SequenceStep(msgspec.Struct, frozen=True, kw_only=True):
    """From which numbers to which an account goes. Written as compare-and-set, so a second writer is found out."""

    account_id: int
    old: Sequences
    new: Sequences


class Writes(msgspec.Struct, kw_only=True):
    """Rows by id (a row changed twice is written once), events in order, at most one step an account."""

    commands: dict[int, CommandRow] = {}
    orders: dict[int, Order] = {}
    deals: dict[int, Deal] = {}
    positions: dict[int, Position] = {}
    alerts: dict[int, Alert] = {}
    events: list[Event] = []
    sequences: dict[int, SequenceStep] = {}

    def __bool__(self) -> bool:
        return self.rows > 0

    @property
    def rows(self) -> int:
        """How many rows this writes; the steps are updates of accounts that come with the events."""
        tables: tuple[Sized, ...] = (self.commands, self.orders, self.deals, self.positions, self.alerts, self.events)
        return sum(len(table) for table in tables)

    def extend(self, later: Writes) -> None:
        """Take in what happened after this, to be committed with it."""
        for step in later.sequences.values():
            first = self.sequences.get(step.account_id)
            if first is not None and first.new != step.old:
                raise ValueError(f"account {step.account_id}: {step.old} does not follow {first.new}")
        for step in later.sequences.values():
            first = self.sequences.get(step.account_id, step)
            self.sequences[step.account_id] = SequenceStep(account_id=step.account_id, old=first.old, new=step.new)
        self.commands.update(later.commands)
        self.orders.update(later.orders)
        self.deals.update(later.deals)
        self.positions.update(later.positions)
        self.alerts.update(later.alerts)
        self.events += later.events
