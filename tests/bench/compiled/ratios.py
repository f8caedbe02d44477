"""What pytest-benchmark measured, as ratios to the reference of the same run, held against those that were kept.

Holds the arithmetic, the file of baselines and the table. Must not run anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

BASELINE = Path(__file__).with_name("baseline.json")
# How much worse a ratio may be before it is a regression. Seven runs on a busy machine of two cores: the reference
# stayed within 2.4 %; a single run had up to 9 of 65 ratios above 1.3 times the best of three runs, the worst at 2.6;
# the best of three later runs had none above 1.18.
FACTOR = 1.3

Ratios = Mapping[str, float]


class Times(NamedTuple):
    """The least seconds of the reference and of each benchmark: what disturbs only adds."""

    reference_s: float
    seconds: Mapping[str, float]

    @property
    def ratios(self) -> dict[str, float]:
        return {name: each / self.reference_s for name, each in self.seconds.items()}


class Baseline(NamedTuple):
    """The ratios that were kept, and of which CPython: its releases differ in what the reference costs them."""

    python: str
    ratios: Ratios


class Row(NamedTuple):
    """One benchmark; `kept` is None for a new one."""

    name: str
    measured: float
    kept: float | None

    @property
    def growth(self) -> float | None:
        return None if self.kept is None else self.measured / self.kept

    @property
    def worse(self) -> bool:
        return self.growth is not None and self.growth > FACTOR


def of_run(report: Mapping[str, Any]) -> Times:
    """What a run measured (pytest-benchmark's JSON document), by the names of its benchmarks."""
    found = report["benchmarks"]
    return Times(
        min(each["extra_info"]["reference_s"] for each in found),
        {each["fullname"].rpartition("/")[2]: each["stats"]["min"] for each in found},
    )


def least(runs: Sequence[Times]) -> Times:
    """The best moment of each over several runs, so that both sides of a ratio had a good one."""
    names = dict.fromkeys(name for run in runs for name in run.seconds)
    return Times(
        min(run.reference_s for run in runs),
        {name: min(run.seconds[name] for run in runs if name in run.seconds) for name in names},
    )


def rows(measured: Ratios, baseline: Baseline) -> list[Row]:
    """In the order of the run."""
    return [Row(name, ratio, baseline.ratios.get(name)) for name, ratio in measured.items()]


def gone(measured: Ratios, baseline: Baseline) -> list[str]:
    """What was kept and is no longer measured."""
    return [name for name in baseline.ratios if name not in measured]


def table(found: list[Row]) -> str:
    """One line each: the ratio, that of the baseline, and how many times that it is."""
    width = max((len(row.name) for row in found), default=0)
    lines = [f"{'':{width}}  {'ratio':>10}  {'baseline':>10}  {'times':>6}"]
    for row in found:
        kept = "-" if row.kept is None else f"{row.kept:.5f}"
        times = "new" if row.growth is None else f"{row.growth:.2f}"
        mark = "  WORSE" if row.worse else ""
        lines.append(f"{row.name:{width}}  {row.measured:10.5f}  {kept:>10}  {times:>6}{mark}")
    return "\n".join(lines)


def load(path: Path = BASELINE) -> Baseline:
    """What was kept."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return Baseline(document["python"], document["ratios"])


def save(baseline: Baseline, path: Path = BASELINE) -> None:
    """Kept with as many digits as mean something, so that a diff shows what changed."""
    ratios = {name: float(f"{ratio:.4g}") for name, ratio in sorted(baseline.ratios.items())}
    text = json.dumps({"python": baseline.python, "ratios": ratios}, indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")
