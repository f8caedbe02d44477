"""`python -m loadtest.bench [A B ..]`: run workloads, print the tables, write docs/benchmarks.md; `scaling` and
`workers`, each by itself, write docs/scaling.md and docs/workers.md.

Holds the command line only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from loadtest.bench import (
    machine,
    orders,
    orders_report,
    report,
    scaling,
    scaling_kept,
    scaling_report,
    tls,
    tools,
    workers,
    workers_report,
)
from loadtest.bench.orders import OrdersResult
from loadtest.bench.scaling import Scaling
from loadtest.bench.scaling_kept import Kept
from loadtest.bench.tls import TlsResult
from loadtest.bench.workers import Workers
from loadtest.bench.workloads import WORKLOADS, Plan, Result, measure
from loadtest.swarm import ToolError, raise_open_files

DOCUMENT = tools.ROOT / "docs" / "benchmarks.md"
SCALING_DOCUMENT = tools.ROOT / "docs" / "scaling.md"
WORKERS_DOCUMENT = tools.ROOT / "docs" / "workers.md"
NAMES = (*WORKLOADS, orders.NAME)
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
    """Returns 0 when every workload could be run; missed goals are in the report, not in the exit code, but for a step
    that is above linear."""
    words = sys.argv[1:] if arguments is None else arguments
    asked = _arguments(words)
    open_files = raise_open_files()
    found = machine.describe(open_files)
    have = tools.find()
    notes = list(have.notes)
    plan = Plan(
        tools=have,
        seconds=asked.seconds or _seconds(asked.workloads),
        conns_max=min(asked.conns, open_files - FILES_BESIDE_CONNECTIONS),
        peers=not asked.no_peers,
        say=_say,
    )
    command = f"python -m loadtest.bench {' '.join(words)}".strip()
    names = asked.workloads or [*WORKLOADS, orders.NAME]
    if asked.tls:
        return _over_tls(plan, found, command, keeps=not asked.no_write and asked.conns == CONNS_MAX)
    if names == [scaling.NAME]:
        whole = not asked.no_write and asked.conns == CONNS_MAX
        return _scaling(plan, found, command, axes=asked.axis, repeats=asked.repeats, keeps=whole)
    if names == [workers.NAME]:
        return _workers(plan, found, command, keeps=not asked.no_write)
    results: list[Result] = []
    of_orders: OrdersResult | None = None
    for name in names:
        try:
            if name == orders.NAME:
                of_orders = orders.measure(plan.seconds, _say)
                _show(orders_report.section(of_orders))
            else:
                results.append(measure(name, plan))
                _show(report.section(results[-1]))
        except ToolError as error:
            notes.append(f"{name} could not be run: {str(error).splitlines()[0]}")
            _say(f"{name} could not be run: {error}")
    _show("\n".join([*([report.summary(results)] if results else []), *(f"- {note}" for note in notes)]))
    _keep(found, [*results, *([of_orders] if of_orders else [])])
    if asked.no_write or asked.conns != CONNS_MAX:
        _say(f"{DOCUMENT.name} stays as it is")
    else:
        _write(
            report.document(command, found, results, notes) if len(results) == len(WORKLOADS) else None,
            orders_report.part(command, found, of_orders) if of_orders else None,
        )
    return 0 if len(results) + bool(of_orders) == len(names) else 1


def _over_tls(plan: Plan, found: machine.Machine, command: str, *, keeps: bool) -> int:
    """Workload A over TLS alone; its part of the document is written, the others stay."""
    try:
        result = tls.measure(plan)
    except ToolError as error:
        _say(f"A over TLS could not be run: {error}")
        return 1
    _show(tls.section(result))
    _keep(found, [result])
    if keeps:
        former = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
        others, of_orders = orders_report.apart(former)
        DOCUMENT.write_text(
            orders_report.joined(tls.apart(others)[0], tls.part(command, found, result), of_orders), encoding="utf-8"
        )
        _say(f"written to {DOCUMENT}")
    return 0


def _scaling(plan: Plan, found: machine.Machine, command: str, *, axes: list[str], repeats: int, keeps: bool) -> int:
    """How cost grows, alone, all axes or some: a document of its own, of every axis as it was measured last; and 1
    when a step is above linear, or noise could hide one."""
    try:
        result = scaling.measure(plan, [axis for axis in scaling.AXES if not axes or axis.name in axes], repeats)
    except ToolError as error:
        _say(f"{scaling.NAME} could not be run: {error}")
        return 1
    _show(scaling_report.shown(result))
    _keep(found, [result])
    if keeps:
        kept = scaling_kept.merged([Kept(grown, found, command) for grown in result.axes])
        if len(kept) == len(scaling.AXES):
            SCALING_DOCUMENT.write_text(scaling_report.document(kept), encoding="utf-8")
            _say(f"written to {SCALING_DOCUMENT}")
        else:
            _say(f"{SCALING_DOCUMENT.name} stays as it is: {len(kept)} of {len(scaling.AXES)} axes were measured yet")
    return 1 if result.above or result.undecided else 0


def _workers(plan: Plan, found: machine.Machine, command: str, *, keeps: bool) -> int:
    """Several processes, alone: a document of its own."""
    try:
        result = workers.measure(plan)
    except ToolError as error:
        _say(f"{workers.NAME} could not be run: {error}")
        return 1
    _show(workers_report.section(result))
    _keep(found, [result])
    if keeps:
        WORKERS_DOCUMENT.write_text(workers_report.document(command, found, result), encoding="utf-8")
        _say(f"written to {WORKERS_DOCUMENT}")
    return 0


def _seconds(names: list[str]) -> float:
    """How long each measurement lasts."""
    own = {scaling.NAME: scaling.SECONDS, workers.NAME: workers.SECONDS}
    return own.get(names[0], SECONDS) if len(names) == 1 else SECONDS


def _write(market_data: str | None, of_orders: str | None) -> None:
    """Each part when it is there whole; the other stays as it was."""
    former = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    others, mine = orders_report.apart(former)
    others, of_tls = tls.apart(others)
    if market_data is None:
        _say(f"workloads without {orders.NAME} stay as they are in {DOCUMENT.name}: only all of them are written down")
    if market_data or of_orders:
        DOCUMENT.write_text(orders_report.joined(market_data or others, of_tls, of_orders or mine), encoding="utf-8")
        _say(f"written to {DOCUMENT}")


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
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    asked = parser.parse_args(words)
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


def _keep(found: machine.Machine, results: Sequence[Result | OrdersResult | TlsResult | Scaling | Workers]) -> None:
    path = tools.results_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    raw = {"machine": asdict(found), "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(raw, indent=1), encoding="utf-8")
    _say(f"raw figures in {path}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()
