"""Workload H as text: its goals, its table, and its part of docs/benchmarks.md, which has a machine of its own.

Pure. Must not start, read or write anything.
"""

from __future__ import annotations

from loadtest import bottleneck
from loadtest.bench import figures, report
from loadtest.bench.machine import Machine
from loadtest.bench.orders import NAME, TITLE, OrdersResult, Sent
from loadtest.bench.pgbench import Inserted
from loadtest.bench.report import SCENARIOS, number, table
from loadtest.targets import Verdict, judge

HEADING = f"## {NAME}: {TITLE}"
COLUMNS = ("what", "clients", "orders/s", "p50 ms", "p99 ms", "mean ms", "failed")

HOW = """\
A client sends an order as a `command` on its WebSocket and waits for the answer before it sends the next. The gateway
writes command, order and event, asks the exchange by ccxt over HTTP, writes what came of it, and answers once that is
durable. All processes (gateway, PostgreSQL, exchange, clients, or pgbench) share all cores: nothing is pinned. The
database is the gateway's own, with fsync. Every order is taken, finds nobody to trade with, and is over, so that open
ones do not pile up. That is a closed loop: who is answered late asks later, so *p50* and *p99* are of the orders that
were sent, and of a stall there are as many as clients waited, not as many as were due. What is timed from when it was
due is D's *order_reply*. What holds a client back is put off: the gateway's rates of requests, and ccxt's.

- *pgbench, one transaction* inserts the rows that one order leaves (its command, itself, its events) into empty tables
  with the same indices on the same server, by prepared statements: the goal is held against this.
- *pgbench, two transactions* inserts the same rows as the desk must: what is asked for has to be durable before the
  exchange hears of it, what came of it after. It still asks no exchange."""


def verdicts(result: OrdersResult) -> list[Verdict]:
    """Every limit of H held against what was measured."""
    return judge(SCENARIOS[NAME], figures.of_orders(result))


def section(result: OrdersResult) -> str:
    """Its table, what the ratios are, its goals."""
    rows = [
        _sent(result.alone),
        _sent(result.crowd),
        _inserted("pgbench, one transaction", result.inserted_alone),
        _inserted("pgbench, one transaction", result.inserted),
        _inserted("pgbench, two transactions", result.inserted_in_two),
    ]
    of_two = result.crowd.per_s / result.inserted_in_two.per_s
    parts = [
        HEADING,
        table(COLUMNS, rows),
        f"{result.rows} rows an order. Of pgbench in two transactions it is {100 * of_two:.0f} %.",
        table(("limit", "reached", "verdict"), [(v.goal, v.reached, v.word) for v in verdicts(result)]),
    ]
    if failure := result.alone.first_failure or result.crowd.first_failure:
        parts.append(f"- the first that failed: {failure}")
    parts += [f"- {each}" for each in bottleneck.told(figures.of_orders(result))]
    return "\n\n".join(parts)


def _sent(seen: Sent) -> list[str]:
    figures = (number(seen.per_s, 0), number(seen.p50_ms), number(seen.p99_ms))
    return ["tickwire", str(seen.conns), *figures, "-", str(seen.failed)]


def _inserted(what: str, seen: Inserted) -> list[str]:
    return [what, str(seen.clients), number(seen.per_s, 0), "-", "-", number(seen.mean_ms), "0"]


def part(command: str, machine: Machine, result: OrdersResult) -> str:
    """What stands at the end of docs/benchmarks.md."""
    return report.part(section(result), HOW, command, machine)


def apart(document: str) -> tuple[str, str]:
    """The document without this part, and this part; either may be empty."""
    return report.apart(document, HEADING)


def joined(*parts: str) -> str:
    return "\n".join(text for text in parts if text)
