"""What one command of the bench has measured, as a file: pages can be written from it again.

Holds the file's form. Must not know how anything is measured or shown.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from loadtest.bench import tools
from loadtest.bench.machine import Machine
from loadtest.bench.orders import OrdersResult
from loadtest.bench.scaling import Scaling
from loadtest.bench.tls import TlsResult
from loadtest.bench.workers import Workers
from loadtest.bench.workloads import Result
from loadtest.swarm import ToolError


@dataclass
class Run:
    """Everything of one command; what it did not measure is empty."""

    machine: Machine
    command: str
    is_whole: bool  # nothing was cut down by the command line, so pages may be written of it
    notes: list[str] = field(default_factory=list)
    workloads: list[Result] = field(default_factory=list)
    orders: OrdersResult | None = None
    tls: TlsResult | None = None
    scaling: Scaling | None = None
    workers: Workers | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing could be measured."""
        return not self.workloads and not any((self.orders, self.tls, self.scaling, self.workers))


def keep(run: Run) -> Path:
    """Writes it into a file of its own, and says which."""
    path = tools.results_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    # Not by msgspec: of a percentile of nothing, which is no number, it would make null.
    path.write_text(json.dumps(asdict(run), indent=1), encoding="utf-8")
    return path


def read(path: Path) -> Run:
    """A run that was kept; raises ToolError when the file is not there or of another version."""
    try:
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), type=Run)
    except (OSError, ValueError) as error:  # of which both errors of decoding are
        raise ToolError(f"{path}: no results of this version: {error}") from error
