"""How cost grows, as text: a table an axis, the model, and the verdict on every step; docs/scaling.md is made of it.

Must not start or write anything.
"""

from __future__ import annotations

from loadtest.bench import linear
from loadtest.bench.linear import STEP_MAX
from loadtest.bench.machine import Machine
from loadtest.bench.report import facts, number, table
from loadtest.bench.scaling import Scaling, Seen

COLUMNS = (
    *("", "msg/s", "payload B", "updates/s", "msgs/send", "CPU", "CPU us/msg", "less fixed", "model", "step"),
    *("p50 ms", "p99 ms", "missing", "client CPU"),
)
HOW = f"""\
Made by the command and on the machine of the first table; nothing here is edited by hand. The gateway runs as
`tickwire serve` starts it, with everything on, on one core; the project's compiled client runs on another and checks
every stream. Each row is a gateway of its own, measured for seconds.

CPU is fitted over all rows by what was done: a share for being there, so much for each turn of the loop in which
something is due (waking up with cold caches, and waking a client that sleeps), for each update however many receive it
(making it among it), for each system call, message and byte. Relative errors are least, no term is negative.

- *CPU* is the server's share of its core; *less fixed* is CPU a message without being there, the turns and the updates;
  *model* is what the model has for the row's CPU.
- *step* is how many times more CPU grew from the row before than the model did. **A step above {STEP_MAX} is above
  linear**: measurements of one row spread by some 15 %, and a system call has no one price, since it costs more where
  the client sleeps between small bursts and has to be woken than where it is still reading. A step that seemed too
  steep was measured again, and the lesser CPU of each row taken: what disturbs only adds.
- *C floor* is a C program that only sends, to as many sockets: what the kernel takes of a message.
- *missing*: numbers that never came, announced or not, came again, and connections lost.
- What waits for a socket while others are written leaves in one system call, so *msgs/send* grows with the load, and
  the cost of a message falls."""


def rows_of(result: Scaling, seen: list[Seen]) -> list[list[str]]:
    """An axis as rows of COLUMNS."""
    steps = [None, *result.steps(seen)]
    return [_row(result, each, step) for each, step in zip(seen, steps, strict=True)]


def _row(result: Scaling, seen: Seen, step: float | None) -> list[str]:
    work, cpu = seen.measured.work, seen.measured.cpu
    steep = step is not None and step > STEP_MAX
    return [
        seen.point.label,
        number(work.messages, 0),
        number(work.bytes / work.messages, 0) if work.messages else "-",
        number(work.updates, 0),
        number(work.messages / work.sends, 1) if work.sends else "-",
        f"{100 * cpu:.1f} %",
        number(cpu / work.messages * 1e6) if work.messages else "-",
        number(linear.message_us(result.model, seen.measured)) if work.messages else "-",
        f"{100 * result.model.cpu(work):.1f} %",
        number(step) + (" STEEP" if steep else ""),
        number(seen.p50_ms),
        number(seen.p99_ms),
        str(seen.missing + seen.lost),
        f"{100 * seen.client_cpu:.0f} %",
    ]


def verdict(result: Scaling) -> str:
    """One sentence."""
    steepest = number(result.steepest)
    if result.steepest > STEP_MAX:
        return f"**Above linear**: the steepest step is {steepest}, the limit {STEP_MAX}."
    return f"No step is above linear: the steepest is {steepest}, the limit {STEP_MAX}."


def model_text(result: Scaling) -> str:
    """The model as a formula."""
    model = result.model
    terms = (
        f"{100 * model.idle:.2f} %",
        f"{model.turn_us:.0f} us a turn",
        f"{model.update_us:.1f} us an update",
        f"{model.send_us:.2f} us a system call",
        f"{model.message_us:.2f} us a message",
        f"{model.byte_ns:.2f} ns a byte",
    )
    return f"CPU = {' + '.join(terms)}"


def section(result: Scaling) -> str:
    """Verdict, model, and every axis."""
    idle = (
        f"With {result.idle.point.conns:,} connections and next to no update: {100 * result.idle.measured.cpu:.2f} %."
    )
    parts = [verdict(result), f"{model_text(result)}. {idle}"]
    for title, seen in result.axes:
        parts += [f"## {title}", table(COLUMNS, rows_of(result, seen))]
        floors = [(each.point.label, each.floor_us) for each in seen if each.floor_us is not None]
        if floors:
            told = ", ".join(f"{number(floor)} us a message at {label}" for label, floor in floors)
            parts.append(f"C floor: {told}.")
    parts += ["\n".join(f"- {note}" for note in result.notes)] if result.notes else []
    return "\n\n".join(parts)


def document(command: str, machine: Machine, result: Scaling) -> str:
    """docs/scaling.md."""
    return "\n\n".join(["# How cost grows", HOW, facts(command, machine), section(result)]) + "\n"
