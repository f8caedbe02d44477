"""`python -m loadtest.bench [A B ..]`: run workloads, print the tables, write docs/benchmarks.md.

Holds the command line only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict

from loadtest.bench import machine, report, tools
from loadtest.bench.workloads import WORKLOADS, Plan, Result, measure
from loadtest.swarm import ToolError, raise_open_files

DOCUMENT = tools.ROOT / "docs" / "benchmarks.md"
FILES_BESIDE_CONNECTIONS = 200
CONNS_MAX = 1_000_000
ENVIRONMENT = (
    "TICKWIRE_LOAD_TOOLS names the folder of wsload.c, floor.c and peers/ (default: ../shared/tools/load beside the "
    "checkout); TICKWIRE_PEERS_PYTHON a Python that has the peers; what is compiled lies under XDG_CACHE_HOME."
)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 when every workload could be run; missed goals are in the report, not in the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    asked = _arguments(words)
    open_files = raise_open_files()
    found = machine.describe(open_files)
    have = tools.find()
    notes = list(have.notes)
    plan = Plan(
        tools=have,
        seconds=asked.seconds,
        conns_max=min(asked.conns, open_files - FILES_BESIDE_CONNECTIONS),
        peers=not asked.no_peers,
        say=_say,
    )
    names = asked.workloads or list(WORKLOADS)
    results: list[Result] = []
    for name in names:
        try:
            results.append(measure(name, plan))
        except ToolError as error:
            notes.append(f"{name} could not be run: {str(error).splitlines()[0]}")
            _say(f"{name} could not be run: {error}")
        else:
            _show(report.section(results[-1]))
    _show("\n".join([report.summary(results), *(f"- {note}" for note in notes)]))
    _keep(found, results)
    text = report.document(f"python -m loadtest.bench {' '.join(words)}".strip(), found, results, notes)
    if asked.no_write or asked.conns != CONNS_MAX or len(results) < len(WORKLOADS):
        _say(f"{DOCUMENT.name} stays as it is: only a whole run of every workload is written down")
    else:
        DOCUMENT.write_text(text, encoding="utf-8")
        _say(f"written to {DOCUMENT}")
    return 0 if len(results) == len(names) else 1


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", epilog=ENVIRONMENT)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {' '.join(WORKLOADS)}; all by default")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each measurement lasts")
    parser.add_argument("--conns", type=int, default=CONNS_MAX, help="at most this many connections")
    parser.add_argument("--no-peers", action="store_true", help="only the gateway and the floor")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    asked = parser.parse_args(words)
    if unknown := set(asked.workloads) - set(WORKLOADS):
        parser.error(f"no workload {', '.join(sorted(unknown))}: there are {' '.join(WORKLOADS)}")
    return asked


def _keep(found: machine.Machine, results: list[Result]) -> None:
    path = tools.results_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    raw = {"machine": asdict(found), "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(raw, indent=1), encoding="utf-8")
    _say(f"raw figures in {path}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()
