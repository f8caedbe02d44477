"""`python -m loadtest.bench [A B ..]`: run workloads, print the tables, write docs/benchmarks.md.

Holds the command line only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from loadtest.bench import machine, report, tools
from loadtest.bench.workloads import WORKLOADS, Plan, Result, measure
from loadtest.swarm import ToolError, raise_open_files

DOCUMENT = tools.ROOT / "docs" / "benchmarks.md"
FILES_BESIDE_CONNECTIONS = 200


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 when every workload could be run; missed goals are in the report, not in the exit code."""
    asked = _parser().parse_args(arguments)
    open_files = raise_open_files()
    found = machine.describe(open_files)
    have = tools.find()
    notes = list(have.notes)
    for note in notes:
        _say(note)
    plan = Plan(
        tools=have,
        seconds=asked.seconds,
        conns_max=min(asked.conns, open_files - FILES_BESIDE_CONNECTIONS),
        peers=not asked.no_peers,
        say=_say,
    )
    results: list[Result] = []
    for name in asked.workloads or WORKLOADS:
        try:
            results.append(measure(name, plan))
        except ToolError as error:
            notes.append(f"{name} could not be run: {str(error).splitlines()[0]}")
            _say(f"{name} could not be run: {error}")
            continue
        sys.stdout.write(report.section(results[-1]) + "\n\n")
    command = " ".join(["python -m loadtest.bench", *(arguments if arguments is not None else sys.argv[1:])])
    text = report.document(command, machine.git_revision(tools.ROOT), found, results, notes)
    sys.stdout.write(report.summary(results) + "\n")
    _keep(found, results)
    if not asked.no_write and len(results) == len(WORKLOADS):
        DOCUMENT.write_text(text, encoding="utf-8")
        _say(f"written to {DOCUMENT}")
    elif not asked.no_write:
        _say(f"{DOCUMENT.name} is written only by a run of every workload")
    return 0 if results and len(results) == len(asked.workloads or WORKLOADS) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench")
    parser.add_argument("workloads", nargs="*", choices=[*WORKLOADS, []], metavar="WORKLOAD", help=" ".join(WORKLOADS))
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each measurement lasts")
    parser.add_argument("--conns", type=int, default=1_000_000, help="at most this many connections")
    parser.add_argument("--no-peers", action="store_true", help="only the gateway and the floor")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    return parser


def _keep(found: machine.Machine, results: list[Result]) -> None:
    path = tools.results_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    raw = {"machine": found.as_dict(), "results": [result.as_dict() for result in results]}
    path.write_text(json.dumps(raw, indent=1), encoding="utf-8")
    _say(f"raw figures in {path}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
