"""From figures to verdicts and tables: pure functions, the same text for the terminal and docs/benchmarks.md.

Knows the goals. Must not start, read or write anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from loadtest.bench.clients import Figures
from loadtest.bench.machine import Machine
from loadtest.bench.workloads import Result

# The goals, with everything on (sequence, epoch, stamps, limits, statistics).
A_P99_OF_FLOOR_MAX = 1.3
A_CPU_OF_FLOOR_MAX = 1.15
B_P99_MS_MAX = 20.0
B_CPU_OF_FLOOR_MAX = 1.5
C_P99_MS_MAX = 20.0
C_KIB_PER_CONN_MAX = 10.0
D_P99_OF_FLOOR_MAX = 1.2
D_REPLY_P99_MS_MAX = 10.0
E_P99_OF_UNSTALLED_MAX = 1.1
E_KIB_PER_STALLED_MAX = 1024.0  # the gateway's limit of what may wait for one socket
G_OWN_SHARE_P50_US_MAX = 60.0
DELIVERED_SHARE_MIN = 0.99  # a window's edges cut off an update or two
CLIENT_CPU_BUSY = 0.95

COLUMNS = (
    *("server", "client", "msg/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU us/msg", "msgs/send", "payload B"),
    *("KiB/conn", "accept s", "missing", "client CPU"),
)


class Verdict(NamedTuple):
    """One goal and what became of it; `met` is None when it could not be judged."""

    goal: str
    reached: str
    met: bool | None

    @property
    def word(self) -> str:
        return {True: "met", False: "MISSED", None: "not judged"}[self.met]


def verdicts(result: Result) -> list[Verdict]:
    """Every goal of the workload held against what was measured."""
    return list(GOALS[result.workload.name](result))


def _below(goal: str, value: float | None, limit: float, unit: str) -> Verdict:
    if value is None:
        return Verdict(goal, "not measured", None)
    return Verdict(goal, f"{number(value)} {unit}".rstrip(), value <= limit)


def _ratio(goal: str, ours: float, theirs: float | None, limit: float) -> Verdict:
    if not theirs:
        return Verdict(goal, "nothing to compare with", None)
    return Verdict(goal, f"{ours / theirs:.2f} x", ours / theirs <= limit)


def _of_floor(result: Result, goal: str, read: Callable[[Figures], float], limit: float) -> Verdict:
    assert result.gateway is not None
    return _ratio(goal, read(result.gateway), read(result.floor) if result.floor else None, limit)


def _p99(figures: Figures) -> float:
    return figures.p99_ms


def _cpu(figures: Figures) -> float:
    return figures.us_per_msg


def _in_full(result: Result) -> Verdict:
    """All connections alive, each with every update, and no hole in any stream."""
    gateway = result.gateway
    assert gateway is not None
    due = gateway.seconds * result.workload.per_conn_s
    share = min(gateway.msg_s / result.workload.offered_s, (gateway.least_per_conn + 1) / due)
    holes = sum(seen.unannounced or 0 for seen in (gateway, result.checked) if seen)
    holes += sum((seen.announced or 0) + (seen.repeated or 0) for seen in (gateway, result.checked) if seen)
    lost = gateway.conns - gateway.alive
    reached = f"{100 * min(share, 1.0):.1f} % to the slowest connection, {holes} missing, {lost} connections lost"
    return Verdict("delivered in full, no loss", reached, share >= DELIVERED_SHARE_MIN and not holes and not lost)


def _goals_a(result: Result) -> Iterable[Verdict]:
    yield _in_full(result)
    yield _of_floor(result, f"p99 <= {A_P99_OF_FLOOR_MAX} x floor", _p99, A_P99_OF_FLOOR_MAX)
    yield _of_floor(result, f"CPU per message <= {A_CPU_OF_FLOOR_MAX} x floor", _cpu, A_CPU_OF_FLOOR_MAX)


def _goals_b(result: Result) -> Iterable[Verdict]:
    assert result.gateway is not None
    yield _in_full(result)
    yield _below(f"p99 < {B_P99_MS_MAX:.0f} ms", result.gateway.p99_ms, B_P99_MS_MAX, "ms")
    goal = f"CPU per message <= {B_CPU_OF_FLOOR_MAX} x floor with as many messages a send"
    yield _of_floor(result, goal, _cpu, B_CPU_OF_FLOOR_MAX)


def _goals_c(result: Result) -> Iterable[Verdict]:
    assert result.gateway is not None
    yield _in_full(result)
    yield _below(f"p99 < {C_P99_MS_MAX:.0f} ms", result.gateway.p99_ms, C_P99_MS_MAX, "ms")
    goal = f"memory <= {C_KIB_PER_CONN_MAX:.0f} KiB a connection over the empty process"
    yield _below(goal, result.gateway.kib_per_conn, C_KIB_PER_CONN_MAX, "KiB")


def _goals_d(result: Result) -> Iterable[Verdict]:
    yield _in_full(result)
    yield _of_floor(result, f"p99 <= {D_P99_OF_FLOOR_MAX} x floor", _p99, D_P99_OF_FLOOR_MAX)
    goal = f"a reply during the burst < {D_REPLY_P99_MS_MAX:.0f} ms p99"
    yield _below(goal, result.extra.get("reply_p99_ms"), D_REPLY_P99_MS_MAX, "ms")


def _goals_e(result: Result) -> Iterable[Verdict]:
    ours, without = result.gateway, result.unstalled
    assert ours is not None
    assert without is not None
    stalled = int(result.extra["stalled"])
    goal = "the others' p99 within 10 % of the run where all read"
    yield _ratio(goal, ours.p99_ms, without.p99_ms, E_P99_OF_UNSTALLED_MAX)
    grown = (ours.rss_kib - ours.empty_rss_kib - (without.rss_kib - without.empty_rss_kib)) / stalled
    yield _below("memory bounded (the limit is 1 MiB a stalled reader)", grown, E_KIB_PER_STALLED_MAX, "KiB each")
    reached = f"{ours.announced} announced, {ours.unannounced} unannounced, {ours.repeated} repeated"
    met = bool(ours.announced) and not ours.unannounced and not ours.repeated
    yield Verdict("each drop announced", reached, met)


def _goals_g(result: Result) -> Iterable[Verdict]:
    for channel in result.channels:
        goal = f"own share of tick to wire, {channel}, p50 < {G_OWN_SHARE_P50_US_MAX:.0f} us"
        yield _below(goal, result.extra[f"{channel}: own share p50 us"], G_OWN_SHARE_P50_US_MAX, "us")


GOALS: dict[str, Callable[[Result], Iterable[Verdict]]] = {
    "A": _goals_a,
    "B": _goals_b,
    "C": _goals_c,
    "D": _goals_d,
    "E": _goals_e,
    "G": _goals_g,
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, numbers to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(each[i]) for each in lines) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "| " + " | ".join("-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)) + " |"
    return "\n".join([line(lines[0]), rule, *map(line, lines[1:])])


def number(value: float | None, digits: int = 2) -> str:
    """A figure as tables show it."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def row(label: str, seen: Figures) -> list[str]:
    """One run as a row of COLUMNS."""
    missing = "-" if seen.unannounced is None else str(seen.unannounced)
    if seen.announced:
        missing += f" (+{seen.announced} announced)"
    return [
        label,
        seen.client,
        number(seen.msg_s, 0),
        *(number(value) for value in (seen.p50_ms, seen.p99_ms, seen.p999_ms, seen.us_per_msg)),
        number(seen.messages_per_send, 1),
        number(seen.payload_bytes, 0),
        number(seen.kib_per_conn, 1),
        number(seen.connect_s, 1),
        missing,
        f"{100 * seen.client_cpu:.0f} %",
    ]


def figures_table(result: Result) -> str:
    """The gateway, the floor and peers, one under the other."""
    rows = []
    for label, seen in (
        ("tickwire", result.gateway),
        ("tickwire, all reading", result.unstalled),
        ("tickwire, every stream checked", result.checked if result.checked is not result.gateway else None),
        (result.floor.server if result.floor else "", result.floor),
    ):
        if seen is not None:
            rows.append(row(label, seen))
    rows += [row(seen.server, seen) for seen in result.peers]
    rows += [row(f"tickwire, {channel}", seen) for channel, seen in result.channels.items()]
    return table(COLUMNS, rows)


def section(result: Result) -> str:
    """A workload: its table, what else was measured, its goals."""
    parts = [f"## {result.workload.name}: {result.workload.title}", figures_table(result)]
    if result.extra:
        parts.append("Also: " + ", ".join(f"{name} {number(value)}" for name, value in result.extra.items()) + ".")
    parts.append(table(("goal", "reached", "verdict"), [(v.goal, v.reached, v.word) for v in verdicts(result)]))
    notes = list(result.notes)
    busy = [s.server for s in (result.gateway, result.floor, *result.peers) if s and s.client_cpu > CLIENT_CPU_BUSY]
    if busy:
        notes.append(f"the client's core was full while loading: {', '.join(busy)}; latency there is the client's too")
    parts += ["\n".join(f"- {note}" for note in notes)] if notes else []
    return "\n\n".join(parts)


def summary(results: Sequence[Result]) -> str:
    """Every goal in one table."""
    rows = [(result.workload.name, v.goal, v.reached, v.word) for result in results for v in verdicts(result)]
    return table(("workload", "goal", "reached", "verdict"), rows)


HOW = """\
Made by the command and on the machine of the first table; nothing here is edited by hand. Server on one core, clients
on another, over loopback, no TLS. Machines differ and are shared: compare only rows of one table, as ratios.

- *tickwire* is the real gateway as `tickwire serve` starts it, with everything on: epoch, sequence, three stamps,
  limits, statistics. Its source is `synthetic`, which publishes made quotes through the hub at the wanted rate, the
  keys' phases spread evenly; G has the simulated exchange and ccxt's own class instead.
- *C floor* is a C program that sends one ready frame to every socket, with the payload size and the messages a send
  the gateway had in this run (from its counters). Peers send 200-byte payloads, one a send, without numbering.
- On loopback a send also wakes the client when it has nothing left to read, at the sender's expense: some 2 us. A
  server that is slower than the client pays that for each send, one that is faster hardly ever.
- Latency is from the stamp in the frame (`t_in`: when the gateway got the update) to when the client has read it.
- *missing*: numbers of a stream that never came and were not announced. In the row *every stream checked* the
  project's own client held every stream's sequence and epoch against what was announced.
- *KiB/conn* is resident memory over that of the empty process, divided by the connections; *accept s* is how long the
  clients took to connect, 64 handshakes at a time, while updates were already going out.
- D's replies are `ping` requests answered on connections of their own while 10,000 others get their bursts.
- E's stalled readers have a 4 KiB receive window, so that the kernel does not hide them, and read again at the end.
- G's own share is the p50 from `t_in` (the bytes were read from the exchange's socket) to the frame being handed to
  the kernel, as the gateway counts it, less the p50 of ccxt's `handle_message` in a process of its own on the same
  stream. The exchange sends one message at a time, so that none waits for another to be parsed. aiohttp's reading of
  the exchange's frame is part of the own share; *p50 ms* is until the subscriber has read its frame.
"""


def facts(command: str, machine: Machine) -> str:
    """Where and with what a run was made."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    rows = [
        ("date", machine.date),
        ("command", f"`{command}`"),
        ("revision", machine.revision or "-"),
        ("processor", f"{machine.cores} x {machine.cpu}"),
        ("memory", f"{machine.memory_GiB} GiB"),
        ("kernel", f"Linux {machine.kernel}"),
        ("Python", machine.python),
        ("versions", versions),
        ("open files, at most", str(machine.open_files_max)),
        ("load before the run", str(machine.load_before)),
    ]
    return table(("machine", ""), rows)


def document(command: str, machine: Machine, results: Sequence[Result], notes: Sequence[str]) -> str:
    """docs/benchmarks.md, but for what is held against pgbench."""
    parts = ["# Benchmarks", HOW.strip(), facts(command, machine), summary(results)]
    parts += ["\n".join(f"- {note}" for note in notes)] if notes else []
    parts += [section(result) for result in results]
    return "\n\n".join(parts) + "\n"
