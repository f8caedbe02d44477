"""`make microbench`: measures every compiled function and fails when one costs more than was kept; `--save` keeps anew.

Holds the command line: pytest runs in a process of its own. Must not know what a benchmark does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.compiled import ratios
from tests.bench.compiled.ratios import Baseline, Times
from tests.conftest import ROOT

AGAIN = 3  # how often what seems worse is measured once more before it counts
RUNS_TO_SAVE = 3


def main(arguments: list[str] | None = None) -> int:
    """0 when nothing costs more than the baseline allows, 1 when something does or is no longer measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.compiled", description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help=f"keep the best of {RUNS_TO_SAVE} runs as the baseline")
    asked = parser.parse_args(arguments)
    python = f"{platform.python_implementation()} {'.'.join(platform.python_version_tuple()[:2])}"
    if asked.save:
        ratios.save(Baseline(python, ratios.least([measured([]) for _ in range(RUNS_TO_SAVE)]).ratios))
        _say(f"written to {ratios.BASELINE}")
        return 0
    baseline = ratios.load()
    if python != baseline.python:
        _say(f"the baseline is of {baseline.python}, this is {python}: the reference itself may cost it another time")
    found = measured([])
    for _ in range(AGAIN):
        if doubtful := [row.name for row in ratios.rows(found.ratios, baseline) if row.worse]:
            found = ratios.least([found, measured(doubtful)])
    rows = ratios.rows(found.ratios, baseline)
    sys.stdout.write(f"{ratios.table(rows)}\n")
    missing = ratios.gone(found.ratios, baseline)
    for name in missing:
        _say(f"{name}: in the baseline and not measured; `make microbench ARGS=--save` keeps what is there")
    worse = [row for row in rows if row.worse]
    _say(f"{len(rows)} measured, {len(worse)} cost more than {ratios.FACTOR} times what they did")
    return 1 if worse or missing else 0


def measured(names: list[str]) -> Times:
    """A run of these benchmarks, or of all."""
    folder = Path(__file__).parent
    which = [str(folder / name) for name in names] or [str(folder)]
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as kept:
        report = Path(kept) / "report.json"
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-only"]
        words += ["--benchmark-quiet", f"--benchmark-json={report}", *which]
        # A run within a test that shares its cores with others is not one of those.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"the benchmarks did not run:\n{done.stdout}")
        return ratios.of_run(json.loads(report.read_text(encoding="utf-8")))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
