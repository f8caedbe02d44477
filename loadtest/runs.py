"""A whole run of `make load`: where, with what, and every outcome; as JSON, and found again inside its HTML report.

Pure: text in, text out. Must not know how it is drawn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from loadtest.bench.machine import Machine
from loadtest.outcome import Outcome

OPENS: Final = '<script type="application/json" id="run">'
CLOSES: Final = "</script>"
EMBEDDED: Final = re.compile(f"{re.escape(OPENS)}(.*?){CLOSES}", re.DOTALL)


class NotARunError(ValueError):
    """The text is neither a report of ours nor its raw figures."""


@dataclass(frozen=True)
class Run:
    """What one command came to."""

    machine: Machine
    command: str
    outcomes: list[Outcome]
    notes: list[str]


def to_json(run: Run) -> str:
    """Everything, on one line."""
    return msgspec.json.encode(run).decode()


def embedded(run: Run) -> str:
    """The same as an element of a page that no browser shows. No text of it can end the element early."""
    return OPENS + to_json(run).replace("<", "\\u003c") + CLOSES


def of_text(text: str) -> Run:
    """A run from its JSON or from its report; raises NotARunError."""
    found = EMBEDDED.search(text)
    try:
        return msgspec.json.decode(found[1] if found else text, type=Run)
    except msgspec.DecodeError as error:
        raise NotARunError(f"neither a report of make load nor its raw figures: {error}") from error
