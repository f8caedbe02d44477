"""From figures to verdicts and tables: pure functions, the same text for the terminal and docs/benchmarks.md.

Knows the limits, which are those of targets.toml. Must not start or write anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final

from loadtest import bottleneck, targets
from loadtest.bench import figures
from loadtest.bench.clients import Figures
from loadtest.bench.machine import Machine
from loadtest.bench.workloads import WORKLOADS, Result
from loadtest.targets import Verdict

SCENARIOS: Final = targets.parse(files("loadtest").joinpath("targets.toml").read_text(encoding="utf-8"))

KEPT_UP: Final = 0.98  # of what is offered; a window's edges cut off an update or two

COLUMNS = (
    *("server", "client", "msg/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU us/msg", "msgs/send", "payload B"),
    *("KiB/conn", "accept s", "missing", "client CPU"),
)


def verdicts(result: Result) -> list[Verdict]:
    """Every limit of the workload held against what was measured."""
    return targets.judge(SCENARIOS[result.workload.name], figures.of_workload(result))


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
        bottleneck.cell(seen.client_cpu, seen.client_waited),
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


STAMPS = ("p50 and p99 ms from", "t_in", "t_out", "the exchange's time")


def stamps_table(result: Result) -> str:
    """Latency from each stamp, of the runs that our own client read; empty without one."""
    seen = {"tickwire": result.gateway, "tickwire, all reading": result.unstalled}
    seen |= {f"tickwire, {channel}": each for channel, each in result.channels.items()}
    if result.checked is not result.gateway:
        seen["tickwire, every stream checked"] = result.checked
    rows = [
        (label, *map(_both, ((each.p50_ms, each.p99_ms), each.from_t_out_ms, each.from_exchange_ms)))
        for label, each in seen.items()
        if each is not None and each.from_t_out_ms is not None
    ]
    return table(STAMPS, rows) if rows else ""


def _both(told: tuple[float, float] | None) -> str:
    return f"{number(told[0])} and {number(told[1])}" if told else "-"


def section(result: Result) -> str:
    """A workload: its table, what else was measured, its goals."""
    parts = [f"## {result.workload.name}: {result.workload.title}", figures_table(result)]
    parts += [told] if (told := stamps_table(result)) else []
    if result.storm is not None:
        came = figures.of_workload(result).items()
        parts.append("Those who came: " + ", ".join(f"{name} {number(value)}" for name, value in came) + ".")
    if result.extra:
        parts.append("Also: " + ", ".join(f"{name} {number(value)}" for name, value in result.extra.items()) + ".")
    parts.append(table(("limit", "reached", "verdict"), [(v.goal, v.reached, v.word) for v in verdicts(result)]))
    notes = list(result.notes)
    everybody = [each for each in (result.gateway, result.floor, *result.channels.values(), *result.peers) if each]
    busy = [each.server for each in everybody if each.client_cpu > bottleneck.CPU_BUSY]
    if busy:
        notes.append(f"the client's core was full while loading: {', '.join(busy)}; latency there is the client's too")
    waited = [each.server for each in everybody if (each.client_waited or 0.0) > bottleneck.WAITED_MAX]
    if waited:
        notes.append(f"the client waited for its core while loading: {', '.join(waited)}; latency is the machine's too")
    offered_s = result.workload.offered_s
    full = [
        f"{each.server} {100 * each.msg_s / offered_s:.0f} %"
        for each in result.peers
        if each.msg_s < KEPT_UP * offered_s
    ]
    if full:
        notes.append(
            f"of what was offered, {', '.join(full)}; a peer's stamp does not tell how late it came to an update"
        )
    parts += ["\n".join(f"- {note}" for note in notes)] if notes else []
    return "\n\n".join(parts)


def summary(results: Sequence[Result]) -> str:
    """Every limit in one table."""
    rows = [(result.workload.name, v.goal, v.reached, v.word) for result in results for v in verdicts(result)]
    return table(("workload", "limit", "reached", "verdict"), rows)


def begins() -> str:
    """How long after the last connection measuring begins, of every workload that has it from here."""
    usual_s, *_others = Counter(row.warmup_s for row in WORKLOADS.values()).most_common(1)[0]
    others = [f"in {row.name} {row.warmup_s:g} s" for row in WORKLOADS.values() if row.warmup_s != usual_s]
    return f"Measuring begins {usual_s:g} s after the last connection is there{''.join(f', {each}' for each in others)}"


def in_rounds() -> str:
    """How many rounds are run of each workload that has more than one; most of the names first."""
    by_count: dict[int, list[str]] = {}
    for each in WORKLOADS.values():
        if each.rounds > 1:
            by_count.setdefault(each.rounds, []).append(each.name)
    first, *others = sorted(by_count.items(), key=lambda counted: -len(counted[1]))
    told = [f"Of {' and '.join(first[1])} {first[0]} rounds were run"]
    return ", ".join([*told, *(f"of {' and '.join(names)} {count}" for count, names in others)])


HOW = f"""\
Made by the command and on the machine of the first table; nothing here is edited by hand. Server on one core, clients
on another, over loopback, no TLS. Machines differ and are shared: compare only rows of one table, as ratios.

- *tickwire* is the real gateway as `tickwire serve` starts it, with everything on: epoch, sequence, three stamps,
  limits, statistics. Its source is `synthetic`, which publishes made quotes through the hub at the wanted rate, the
  keys' phases spread evenly; G has the simulated exchange and ccxt's own class instead.
- *C floor* is a C program that sends one ready frame to every socket, with the payload size and the messages a send
  the gateway had in this run (from its counters).
- Peers are offered the same messages a second and send 200-byte payloads, one a send, without numbering; a peer stamps
  an update when it comes to it. B is more than that way can send from one core: *msg/s* is what each reaches, and its
  latency is of one round of its sockets. Left out are those that do not let in as many connections beside that work
  within two minutes: the Node server of B, which sends all that is due before it reads, and in C and D all but three.
- On loopback a send also wakes the client when it has nothing left to read, at the sender's expense: some 2 us. A
  server that is slower than the client pays that for each send, one that is faster hardly ever.
- {begins()};
  what happens before is in none of the figures.
- Latency is from the stamp in the frame (`t_in`: when the gateway got the update) to when the client has read it. Where
  the project's own client read, a table has it from `t_out` (the frame was built) and from the exchange's time, too.
  Percentiles are of buckets 3 % wide, 1 us below 64 us, and go by the upper edge: never better than the true one.
- *missing*: numbers of a stream that never came and were not announced. `wsload` sees the holes in a connection's one
  sequence and knows no epoch; of B, whose connections have ten, it sees none. So A to D run once more, as long, in the
  row *every stream checked*, where the project's own client holds every stream's sequence and epoch against what was
  announced; a limit on missing numbers is on those of both.
- *KiB/conn* is resident memory over that of the empty process, divided by the connections; *accept s* is how long the
  clients took to connect, 64 handshakes at a time, while updates were already going out.
- D's replies are from connections of their own while 10,000 others get their bursts from a gateway that also has its
  order database and the simulated exchange: *reply* is to `ping` requests, then *order_reply* to orders that are taken
  and over at once, as H's, both sent at fixed times and timed from when each was due to its answer. Clients and
  exchange go ahead of the crowd on its core, the gateway has the other, and the database both. What the crowd then had
  of its own bursts, while orders were sent, is in the figures *beside_orders*.
- {in_rounds()}, in turns with what they are held against (the floor, the
  same without stalled readers, ccxt alone): what is measured is their medians, what is counted the worst, and the notes
  have each round's. A crowd of 10,000 has one, since its ports are free again only after a minute.
- E's stalled readers have a 4 KiB receive window, so that the kernel does not hide them, and read again at the end.
- F's readers are A's; their row is of the time from the first who came to the last who was back. Who comes shows an
  HS256 token of its own, checked by the gateway with its order database and its register of connections on, and reads
  one of 200 quiet keys. *accepted_per_s* is until the last handshake was answered, 512 at a time; *all_subscribed_s*
  until everybody had a first update; *storm_s* the same after all were dropped at once. The limits that so many
  connections of one user, key and address would meet are put off.
- G's own share is the p50 from `t_in` (the bytes were read from the exchange's socket) to the frame being handed to
  the kernel, as the gateway counts it, less the p50 of ccxt's `handle_message` in a process of its own on the same
  stream. Of the gateway it is of what came after the warm-up, from buckets 6 % wide: where it is if what is in its
  bucket is spread evenly. The exchange sends one message at a time, so that none waits for another to be parsed.
  aiohttp's reading of the exchange's frame is part of the own share; *p50 ms* is until the subscriber has read its
  frame.
"""


def facts(command: str, machine: Machine) -> str:
    """Where and with what a run was made."""
    rows = [(name, f"`{text}`" if name == "command" else text) for name, text in fact_rows(command, machine)]
    return table(("machine", ""), rows)


def fact_rows(command: str, machine: Machine) -> list[tuple[str, str]]:
    """The same as names and texts."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return [
        ("date", machine.date),
        ("command", command),
        ("revision", machine.revision or "-"),
        ("processor", f"{machine.cores} x {machine.cpu}"),
        ("memory", f"{machine.memory_GiB} GiB"),
        ("kernel", f"Linux {machine.kernel}"),
        ("Python", machine.python),
        ("versions", versions),
        ("open files, at most", str(machine.open_files_max)),
        ("load before the run", str(machine.load_before)),
    ]


def document(command: str, machine: Machine, results: Sequence[Result], notes: Sequence[str]) -> str:
    """docs/benchmarks.md, but for what is held against pgbench."""
    parts = ["# Benchmarks", HOW.strip(), facts(command, machine), summary(results)]
    parts += ["\n".join(f"- {note}" for note in notes)] if notes else []
    parts += [section(result) for result in results]
    return "\n\n".join(parts) + "\n"


def part(section: str, how: str, command: str, machine: Machine) -> str:
    """What stands in docs/benchmarks.md with a machine of its own: a section, and how it was measured."""
    heading, rest = section.split("\n\n", 1)
    return "\n\n".join([heading, how, facts(command, machine), rest]) + "\n"


def apart(document: str, heading: str) -> tuple[str, str]:
    """The document without the part that begins so, and that part, to the end; either may be empty."""
    before, begins, after = document.partition(heading)
    return before.rstrip("\n") + "\n" if before.strip() else "", begins + after
