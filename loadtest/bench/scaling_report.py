"""How cost grows, as text: the verdict, and a table an axis; docs/scaling.md is made of it.

Must not start or write anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.bench.linear import MUST_TELL, NOISE_TIMES, SHARP_MAX, Step
from loadtest.bench.report import facts, number, table
from loadtest.bench.scaling import A_GATEWAY, Grown, Row, Scaling, notes_of_axis
from loadtest.bench.scaling_kept import Kept, others_than_newest

COLUMNS = (
    *("", "msg/s", "payload B", "updates/s", "msgs/send", "CPU", "lowest", "highest", "CPU us/msg"),
    *("added", "over line", "limit", "sharp", "p50 ms", "p99 ms", "missing", "client CPU"),
)
HOW = f"""\
Made by `python -m loadtest.bench scaling` on the machine of the first table, all at once or an axis at a time, of which
none is kept that another machine measured; nothing here is edited by hand. The gateway runs as `tickwire serve` starts
it, with everything on, on one core; the project's compiled client runs on another and checks every stream. A
measurement lasts seconds, on a gateway that serves this point alone and is started anew after each {A_GATEWAY}. Each
point is measured several times, the points of an axis taking turns, and none is measured again for what it showed; a
row has the medians.

Nothing is fitted. Where cost is linear, with whatever is fixed in it, a point's CPU lies on the straight line through
any two points with less work; where it grows ever slower, below. So each point is held against **every** line through
two points before it, near or far, which shows a step as well as a slow bend over the whole axis. Work is what the axis
adds: messages, bytes, or updates where the messages stay as many. The first point has none before it; the second is
held against the line from nothing to the first, so that what is fixed is in its favour.

- *CPU* is the server's share of its core, with the lowest and highest measurement; *CPU us/msg* has all of it.
- *added* is what a unit of the added work cost: CPU more than in the row before, by work more than in the row before.
- *over line* is CPU over that of the line it is furthest above, in terms of noise. Noise is the spread of the axis's
  own measurements of the same point (Shamos' estimator), carried through to the median and the line; *limit* is 1 and
  {NOISE_TIMES:g} times that. **A row over its limit is above linear.** Of made axes that are straight, measured nine
  times with a spread of 7 % and a tenth of them disturbed, at most 1 in 100 is called so; of those that cost n^1.2,
  n log n, or half more from some point on, at least 9 in 10 (`tests/loadtest/bench/test_linear.py`).
- *sharp* is what noise can have hidden: the limit of the line that it touches least, or the whole growth from the row
  before, noise included, where that is less. Above {SHARP_MAX:.2f} the row is undecided: one that costs
  {MUST_TELL:g} times what its line says would then be missed more often than in one run of ten.
- *C floor* is a C program that only sends, to as many sockets: what the kernel takes of a message.
- *missing*: numbers that never came, announced or not, came again, and connections lost.
- The first point of *bytes* is a quote as it is, some 350 bytes, and not 200: its own object is 140 of these, and what
  each update says of itself (type, channel, kind, epoch, sequence, time, three stamps) the rest. No quote is smaller.
- What waits for a socket while others are written leaves in one system call, so *msgs/send* grows with the load, and
  the cost of a message falls. A system call costs more where the client sleeps between small bursts and has to be
  woken than where it is still reading."""
UNIT_SCALES = {"message": (1e6, "us a message"), "update": (1e6, "us an update"), "byte": (1e9, "ns a byte")}


def rows_of(grown: Grown) -> list[list[str]]:
    """An axis as rows of COLUMNS."""
    steps = [None, *grown.steps()]
    return [_row(grown, row, step) for row, step in zip(grown.rows, steps, strict=True)]


def _row(grown: Grown, row: Row, step: Step | None) -> list[str]:
    cpu, messages = row.median(lambda seen: seen.cpu), row.median(lambda seen: seen.messages)
    cpus = [seen.cpu for seen in row.seen]
    scale, unit = UNIT_SCALES[grown.unit]
    if step is None:
        held = ["-"] * 4
    else:
        word = " ABOVE" if step.above else " UNDECIDED" if step.undecided else ""
        held = [f"{number(scale * step.marginal)} {unit}", number(step.ratio) + word]
        held += [number(step.limit), number(step.sharp)]
    return [
        row.point.label,
        number(messages, 0),
        number(row.median(lambda seen: seen.bytes) / messages, 0) if messages else "-",
        number(row.point.updates_s, 0),
        number(row.median(lambda seen: seen.messages_per_send), 1),
        *(_percent(share) for share in (cpu, min(cpus), max(cpus))),
        number(cpu / messages * 1e6) if messages else "-",
        *held,
        number(row.median(lambda seen: seen.p50_ms)),
        number(row.median(lambda seen: seen.p99_ms)),
        str(sum(seen.missing + seen.lost for seen in row.seen)),
        row.client,
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def verdict(result: Scaling) -> str:
    """One sentence or two."""
    steps = len(result.steps)
    if result.above:
        return f"**Above linear**: {result.above} of {steps} steps."
    told = f"No step is above linear, of {steps}"
    if result.undecided:
        return f"**Undecided**: noise could hide too much in {result.undecided} of {steps} steps. {told} no other is."
    return f"{told}: the steepest is {number(max(step.ratio for step in result.steps))} of its line, within noise."


def section(grown: Grown, made: str = "") -> str:
    """An axis, with each point whose client was the bottleneck."""
    repeats = max(len(row.seen) for row in grown.rows)
    noise = f"Each point {repeats} times; one measurement spreads by {100 * grown.noise:.1f} %."
    floors = [(row.point.label, row.floor_us) for row in grown.rows if row.floor_us is not None]
    told = ", ".join(f"{number(floor)} us a message at {label}" for label, floor in floors)
    parts = [f"## {grown.title}", f"{noise} {made}".strip(), table(COLUMNS, rows_of(grown))]
    parts += [f"C floor: {told}."] if floors else []
    notes = notes_of_axis(grown)
    return "\n\n".join([*parts, *(["\n".join(f"- {note}" for note in notes)] if notes else [])])


def shown(result: Scaling) -> str:
    """Verdict and every axis, for the terminal."""
    parts = [verdict(result), *map(section, result.axes)]
    return "\n\n".join([*parts, *(f"- {note}" for note in result.notes)])


def _origin(kept: Kept) -> str:
    return f"{kept.grown.name} is of {kept.machine.date} at {kept.machine.revision}"


def document(kept: Sequence[Kept]) -> str:
    """docs/scaling.md, of axes that may have been measured one at a time."""
    latest = max(kept, key=lambda each: each.machine.date)
    parts = ["# How cost grows", HOW, facts(latest.command, latest.machine)]
    parts.append(verdict(Scaling([each.grown for each in kept])))
    others = others_than_newest(kept)
    if others:
        parts.append(f"**Not all of one run**: {'; '.join(_origin(each) for each in others)}.")
    for each in kept:
        where = f"at {each.machine.revision}, load before {each.machine.load_before}"
        parts.append(section(each.grown, f"Measured {each.machine.date} {where}."))
    return "\n\n".join(parts) + "\n"
