"""What several processes cost and bring, as text; docs/workers.md is made of it.

Must not start or write anything.
"""

from __future__ import annotations

from loadtest import bottleneck
from loadtest.bench.machine import Machine
from loadtest.bench.report import facts, number, table
from loadtest.bench.workers import Seen, Workers, notes_of

COLUMNS = (
    *("", "processes", "msg/s", "by the first", "CPU of the first", "CPU of the other", "CPU us/msg"),
    *("p50 ms", "p99 ms", "missing", "client CPU"),
)
COUNTS = (1, 2, 4, 8, 16)
SUBSCRIBERS = (10, 100, 1_000, 10_000)
HOW = """\
Made by the command and on the machine of the first table; nothing here is edited by hand. The gateway runs as
`tickwire serve --workers N` starts it. All of its processes share one core, the first, and the clients have another,
the last, which on two cores are all there are. So CPU is counted well, latency is worse than where each process has its
own core, and **what a second core brings is not in these rows**: they say what several processes cost. Each row is a
gateway of its own.

With a core for each of two processes, the second one's shared with the clients, 3,636 connections a second were let in
while A ran (one run; 2,555 and 2,977 with one process), and A's p99 was 336 ms, since the clients have to wait there
([load.md](load.md#what-bounds-f)). More messages than one process sends cannot be shown on two cores: at a million a
second, which one sends, the clients take most of a core themselves ([benchmarks.md](benchmarks.md), B).

The model: an update costs the first process so much however many read it, so much more for each worker that is told of
it, and each worker so much to take it over (the serial part); a message costs the same wherever it is sent (the
parallel part). Being there is in the serial part. *Update* and *message* are fitted to gateways of one process by least
squares, *link* and *copy* to what is left of those of two, none below 0.

What more cores give is **computed, not measured**, of more than two processes as of two: each process has a core to
itself, clients have others, the kernel spreads connections evenly, all clients read one stream each that every worker
has, and the busiest process is full. Memory bandwidth, caches that are shared and a network card are not in it."""


def section(result: Workers) -> str:
    """What was seen, of which row the client was the bottleneck, the model, and what it says of more cores."""
    model = result.model
    terms = (
        ("update", model.update_us),
        ("link", model.link_us),
        ("copy", model.copy_us),
        ("message", model.message_us),
    )
    rows = [
        [number(count, 0), *(number(model.messages_s(count, readers), 0) for readers in SUBSCRIBERS)]
        for count in COUNTS
    ]
    heads = ("processes", *(f"{readers:,} subscribers" for readers in SUBSCRIBERS))
    notes = [f"- {note}" for note in notes_of(result)]
    back = result.elsewhere
    return "\n\n".join(
        [
            table(COLUMNS, [_row(each) for each in result.seen]),
            *(["\n".join(notes)] if notes else []),
            f"Resumed on another process than before, with all that came between: {back.resumed} of "
            f"{back.resumed + back.not_resumed} times; missing {back.missing}, repeated {back.repeated}. "
            f"Watches of one key at the exchange, by all processes: {back.watches_of_a_key}.",
            "CPU: " + ", ".join(f"{name} {us:.1f} us" for name, us in terms) + ".",
            "## What more cores would give, messages/s at most",
            table(heads, rows),
        ]
    )


def _row(seen: Seen) -> list[str]:
    first, *others = seen.processes
    return [
        seen.point.label,
        str(len(seen.processes)),
        number(seen.messages_s, 0),
        f"{100 * first.messages_s / max(1.0, seen.messages_s):.0f} %",
        f"{100 * first.cpu:.1f} %",
        ", ".join(f"{100 * each.cpu:.1f} %" for each in others) or "-",
        number(seen.message_us),
        number(seen.p50_ms),
        number(seen.p99_ms),
        str(seen.missing + seen.repeated + seen.lost),
        bottleneck.cell(seen.client_cpu, seen.client_waited),
    ]


def document(command: str, machine: Machine, result: Workers) -> str:
    """docs/workers.md."""
    return "\n\n".join(["# Several processes", HOW, facts(command, machine), section(result)]) + "\n"
