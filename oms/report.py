"""What one reconciliation found, and why it ran. Values only; must not know how they come to be."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec


class Cause(StrEnum):
    """Why a run is made, the one that looks at most first: runs asked for together are one."""

    START = "start"
    RECONNECT = "reconnect"
    REQUEST = "request"
    PERIODIC = "periodic"


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """An order whose state at the venue was not what we had."""

    order_id: int
    before: str
    after: str


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue holds of a symbol or, on spot, of a currency, and what our deals say it should."""

    symbol: str | None = None
    currency: str | None = None
    expected: Decimal
    actual: Decimal

    @property
    def name(self) -> str:
        return f"{self.symbol or ''}:{self.currency or ''}"


class Report(msgspec.Struct, kw_only=True):
    """One run for one account. Orders are named by their ids of ours; what a run that failed does not tell, it did not
    look at."""

    account_id: int
    cause: Cause
    started_ns: int
    finished_ns: int | None = None
    error: str | None = None  # why it ended early
    orders_checked: int = 0
    trades_read: int = 0
    deals_booked: int = 0
    resolved: list[Resolved] = []
    imported: list[int] = []
    undecided: list[int] = []  # the evidence is not complete yet: looked at again
    contradicted: list[int] = []  # over by all we know, and listed as open: asked about, for a person to look at
    refused: list[str] = []  # what the venue would not tell: a symbol it does not list any more, say
    mismatches: list[Mismatch] = []

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def plain(self) -> dict[str, Any]:
        """JSON-ready."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built
