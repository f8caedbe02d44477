"""The pages that are made of what was measured: docs/benchmarks.md with README.md's figures, docs/scaling.md,
docs/workers.md.

Writes files. Must not know how anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable

from loadtest.bench import (
    orders,
    orders_report,
    readme,
    report,
    scaling,
    scaling_kept,
    scaling_report,
    tls,
    tools,
    workers_report,
)
from loadtest.bench.kept import Run
from loadtest.bench.scaling_kept import Kept
from loadtest.bench.workloads import WORKLOADS

README = tools.ROOT / "README.md"
DOCUMENT = tools.ROOT / "docs" / "benchmarks.md"
SCALING_DOCUMENT = tools.ROOT / "docs" / "scaling.md"
WORKERS_DOCUMENT = tools.ROOT / "docs" / "workers.md"

Say = Callable[[str], None]


def write(run: Run, say: Say) -> None:
    """Each page, or part of one, that the run has all of."""
    if run.workloads or run.orders or run.tls:
        _benchmarks(run, say)
    if run.scaling:
        _scaling(run, run.scaling, say)
    if run.workers:
        WORKERS_DOCUMENT.write_text(workers_report.document(run.command, run.machine, run.workers), encoding="utf-8")
        say(f"written to {WORKERS_DOCUMENT}")


def _benchmarks(run: Run, say: Say) -> None:
    """What the run does not have, or not all of, stays as it was; README.md has the figures of what is then there."""
    former = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    others, of_orders = orders_report.apart(former)
    others, of_tls = tls.apart(others)
    if len(run.workloads) == len(WORKLOADS):
        others = report.document(run.command, run.machine, run.workloads, run.notes)
    elif run.workloads:
        say(f"workloads without {orders.NAME} stay as they are in {DOCUMENT.name}: only all of them are written down")
    if run.orders:
        of_orders = orders_report.part(run.command, run.machine, run.orders)
    if run.tls:
        of_tls = tls.part(run.command, run.machine, run.tls)
    text = orders_report.joined(others, of_tls, of_orders)
    shown = README.read_text(encoding="utf-8") if README.exists() else ""
    fresh = readme.written(shown, text)  # before anything is written: what cannot be shown there is written nowhere
    if text and text != former:
        DOCUMENT.write_text(text, encoding="utf-8")
        say(f"written to {DOCUMENT}")
    if not readme.has_marks(shown):
        say(f"{README.name} stays as it is: it has not {readme.BEGIN} and {readme.END}")
    if fresh != shown:
        README.write_text(fresh, encoding="utf-8")
        say(f"written to {README}")


def _scaling(run: Run, grown: scaling.Scaling, say: Say) -> None:
    """All axes, each as it was measured last."""
    kept = scaling_kept.merged([Kept(axis, run.machine, run.command) for axis in grown.axes], say)
    if len(kept) == len(scaling.AXES):
        SCALING_DOCUMENT.write_text(scaling_report.document(kept), encoding="utf-8")
        say(f"written to {SCALING_DOCUMENT}")
    else:
        say(f"{SCALING_DOCUMENT.name} stays as it is: {len(kept)} of {len(scaling.AXES)} axes were measured yet")
