"""`python -m loadtest.bench [A B ..]`: run workloads, print the tables, write docs/benchmarks.md and README.md's
figures; `scaling` and `workers`, each by itself, write docs/scaling.md and docs/workers.md.

Holds the command line only.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtest.bench import (
    kept,
    machine,
    orders,
    orders_report,
    pages,
    report,
    scaling,
    scaling_report,
    tls,
    tools,
    workers,
    workers_report,
)
from loadtest.bench.kept import Run
from loadtest.bench.workloads import WORKLOADS, Plan, measure
from loadtest.swarm import ToolError, raise_open_files

NAMES = (*WORKLOADS, orders.NAME)
OVER_TLS = "A over TLS"
WHICH = f"of {' '.join(NAMES)}, all by default; or {scaling.NAME}, or {workers.NAME}"
SECONDS = 4.0
HOW_LONG = f"how long each measurement lasts ({SECONDS:g}, of {scaling.NAME} {scaling.SECONDS:g})"
FILES_BESIDE_CONNECTIONS = 200
CONNS_MAX = 1_000_000
ENVIRONMENT = (
    "TICKWIRE_LOAD_TOOLS names the folder of wsload.c, floor.c and peers/ (default: ../shared/tools/load beside the "
    "checkout); TICKWIRE_PEERS_PYTHON a Python that has the peers; what is compiled lies under XDG_CACHE_HOME."
)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 when everything could be run; missed goals are in the report, not in the exit code, but for a step of
    `scaling` that is above linear, or that noise could hide."""
    words = sys.argv[1:] if arguments is None else arguments
    asked = _arguments(words)
    if asked.from_kept:
        return _from_kept(Path(asked.from_kept), may=not asked.no_write)
    open_files = raise_open_files()
    have = tools.find()
    run = Run(
        machine=machine.describe(open_files),
        command=f"python -m loadtest.bench {' '.join(words)}".strip(),
        is_whole=asked.conns == CONNS_MAX,
        notes=list(have.notes),
    )
    plan = Plan(
        tools=have,
        seconds=asked.seconds or _seconds(asked.workloads),
        conns_max=min(asked.conns, open_files - FILES_BESIDE_CONNECTIONS),
        peers=not asked.no_peers,
        say=_say,
    )
    failed = False
    for name in [OVER_TLS] if asked.tls else asked.workloads or NAMES:
        try:
            _show(_measured(name, plan, asked, run))
        except ToolError as error:
            failed = True
            run.notes.append(f"{name} could not be run: {str(error).splitlines()[0]}")
            _say(f"{name} could not be run: {error}")
    _show(
        "\n".join([*([report.summary(run.workloads)] if run.workloads else []), *(f"- {note}" for note in run.notes)])
    )
    if not run.is_empty:
        _say(f"raw figures in {kept.keep(run)}")
        try:
            _write(run, may=not asked.no_write)
        except ToolError as error:
            failed = True
            _say(str(error))
    steep = run.scaling is not None and (run.scaling.above or run.scaling.undecided)
    return 1 if failed or steep else 0


def _measured(name: str, plan: Plan, asked: argparse.Namespace, run: Run) -> str:
    """Adds one to the run; its tables. Raises ToolError when it cannot be run."""
    if name == orders.NAME:
        run.orders = orders.measure(plan.seconds, plan.say)
        return orders_report.section(run.orders)
    if name == OVER_TLS:
        run.tls = tls.measure(plan)
        return tls.section(run.tls)
    if name == scaling.NAME:
        axes = [axis for axis in scaling.AXES if not asked.axis or axis.name in asked.axis]
        run.scaling = scaling.measure(plan, axes, asked.repeats)
        return scaling_report.shown(run.scaling)
    if name == workers.NAME:
        run.workers = workers.measure(plan)
        return workers_report.section(run.workers)
    run.workloads.append(measure(name, plan))
    return report.section(run.workloads[-1])


def _from_kept(path: Path, *, may: bool) -> int:
    """The pages of a run that was kept, anew."""
    try:
        _write(kept.read(path), may=may)
    except ToolError as error:
        _say(str(error))
        return 1
    return 0


def _write(run: Run, *, may: bool = True) -> None:
    if run.is_whole and may:
        pages.write(run, _say)
    else:
        _say("pages stay as they are")


def _seconds(names: list[str]) -> float:
    """How long each measurement lasts."""
    own = {scaling.NAME: scaling.SECONDS, workers.NAME: workers.SECONDS}
    return own.get(names[0], SECONDS) if len(names) == 1 else SECONDS


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", epilog=ENVIRONMENT)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=WHICH)
    parser.add_argument("--seconds", type=float, help=HOW_LONG)
    parser.add_argument("--conns", type=int, default=CONNS_MAX, help="at most this many connections")
    parser.add_argument("--no-peers", action="store_true", help="only the gateway and the floor")
    parser.add_argument("--tls", action="store_true", help="workload A over TLS, and nothing else")
    names = [axis.name for axis in scaling.AXES]
    parser.add_argument("--axis", action="append", default=[], choices=names, help=f"of {scaling.NAME}: only this one")
    parser.add_argument(
        "--repeats", type=int, default=scaling.REPEATS, help=f"of {scaling.NAME}: how often ({scaling.REPEATS})"
    )
    parser.add_argument("--no-write", action="store_true", help="leave the pages and README.md as they are")
    parser.add_argument("--from-kept", metavar="FILE", help="measure nothing: write the pages of a kept run anew")
    asked = parser.parse_args(words)
    if asked.from_kept and (asked.workloads or asked.tls):
        parser.error("what was kept is not measured")
    if asked.tls and asked.workloads not in ([], ["A"]):
        parser.error("only A is run over TLS")
    if asked.repeats < scaling.REPEATS_MIN:
        parser.error(
            f"a point is measured at least {scaling.REPEATS_MIN} times: noise is what its measurements differ by"
        )
    if asked.axis and asked.workloads != [scaling.NAME]:
        parser.error(f"only {scaling.NAME} has axes")
    if asked.workloads in ([scaling.NAME], [workers.NAME]) and not asked.tls:
        return asked
    if unknown := set(asked.workloads) - set(NAMES):
        parser.error(f"no workload {', '.join(sorted(unknown))}: there are {' '.join(NAMES)}")
    return asked


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()
