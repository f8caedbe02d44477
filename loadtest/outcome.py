"""What one run of a scenario came to, whatever ran it, as it is kept and shown.

Pure. Must not know tools.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from loadtest.targets import Verdict

Curve = list[tuple[float, float]]  # (share of all, ms that no more than the rest exceed), ascending


class Sample(NamedTuple):
    """The server at one moment of the run; rates are since the sample before."""

    at_s: float
    messages_per_s: float
    cpu_share: float  # of one core
    memory_KiB: int  # noqa: N815 - units last, as they are written


@dataclass(frozen=True)
class Outcome:
    """One scenario: its figures by the names that limits have, and what is drawn of it."""

    scenario: str
    title: str
    figures: dict[str, float | None]
    curves: dict[str, Curve] = field(default_factory=dict)  # latency, by what it is of
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def missed(self) -> bool:
        """Whether a limit was: a goal that was not reached fails nothing."""
        return any(verdict.met is False and verdict.is_limit for verdict in self.verdicts)
