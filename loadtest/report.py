"""`python -m loadtest.report`: a run as Markdown, whole or as docs/targets.md, and two runs beside each other.

Holds the Markdown and the command line; a page is drawn by page.py. Files are read and written by `main` alone.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from loadtest import histogram, runs
from loadtest.bench.report import facts, table
from loadtest.outcome import Curve, Outcome
from loadtest.page import page
from loadtest.runs import NotARunError, Run
from loadtest.targets import Verdict, number

LOAD_BEFORE_QUIET = 0.5
PERCENTILES = {"p50 ms": 0.5, "p90 ms": 0.9, "p99 ms": 0.99, "p99.9 ms": 0.999, "max ms": 1.0}


def section(outcome: Outcome) -> str:
    """One scenario's limits."""
    rows = [(verdict.goal, verdict.reached, verdict.word) for verdict in outcome.verdicts]
    parts = [f"## {outcome.scenario}: {outcome.title}", table(("limit", "reached", "verdict"), rows)]
    return "\n\n".join([*parts, *(["\n".join(f"- {note}" for note in outcome.notes)] if outcome.notes else [])])


def summary(run: Run) -> str:
    """Where and with what, and every limit."""
    rows = [(each.scenario, *(v.goal, v.reached, v.word)) for each in run.outcomes for v in each.verdicts]
    parts = [facts(run.command, run.machine), table(("scenario", "limit", "reached", "verdict"), rows)]
    return "\n\n".join([*parts, *(["\n".join(f"- {note}" for note in run.notes)] if run.notes else [])])


def markdown(run: Run) -> str:
    """The whole report, with every figure, and of what is drawn the percentiles of its curves."""
    parts = ["# Load test", summary(run)]
    for outcome in run.outcomes:
        figures = [(name, "-" if value is None else number(value)) for name, value in outcome.figures.items()]
        parts += [section(outcome), table(("figure", "value"), figures)]
        parts += [percentiles(outcome.curves)] if outcome.curves else []
    return "\n\n".join(parts) + "\n"


def record(run: Run) -> str:
    """docs/targets.md: every limit and goal of a run, and what makes its figures doubtful. Pages it names are linked
    from the folder that it stands in."""
    verdicts = [verdict for each in run.outcomes for verdict in each.verdicts]
    notes = [f"{each.scenario}: {note}" for each in run.outcomes for note in each.notes]
    parts = ["# Targets", RECORD, _counted(verdicts), _linked(summary(run))]
    return "\n\n".join([*parts, *(["\n".join(f"- {note}" for note in notes)] if notes else [])]) + "\n"


RECORD: Final = """\
What a run of [load tests](load.md) came to, held against the limits and goals that
[targets.toml](../loadtest/targets.toml) had at its revision. `make load ARGS="--page docs/targets.md"` writes this
page; nothing here is edited by hand."""


def _counted(verdicts: Sequence[Verdict]) -> str:
    """How many limits and goals came to what."""
    limits, goals = ([each for each in verdicts if each.is_limit is which] for which in (True, False))
    missed, unjudged = ([each for each in limits if each.met is met] for met in (False, None))
    met = len(limits) - len(missed) - len(unjudged)
    reached = sum(each.met is True for each in goals)
    told = f"Of {len(limits)} limits {met} are met, {len(missed)} missed and {len(unjudged)} not judged"
    return f"{told}; of {len(goals)} goals {reached} are reached."


def _linked(text: str) -> str:
    """What a verdict names of docs/ as a link."""
    return re.sub(r"(not reached: )docs/([\w-]+\.md)(#[\w-]+)?", r"\1[\2](\2\3)", text)


def percentiles(curves: dict[str, Curve]) -> str:
    """Latency by what it is of."""
    found = (
        (name, [histogram.percentile(points, share) for share in PERCENTILES.values()])
        for name, points in curves.items()
    )
    rows = [(name, *("-" if ms is None else number(ms) for ms in each)) for name, each in found]
    return table(("latency", *PERCENTILES), rows)


def compared(first: Run, second: Run) -> str:
    """Every figure that both have, with the ratio, and what makes them hard to compare."""
    runs_by_name = ({each.scenario: each.figures for each in run.outcomes} for run in (first, second))
    ours, theirs = runs_by_name
    rows = []
    for scenario in (name for name in ours if name in theirs):
        for figure in (name for name in ours[scenario] if name in theirs[scenario]):
            a, b = ours[scenario][figure], theirs[scenario][figure]
            if a is not None and b is not None:
                rows.append((scenario, figure, number(a), number(b), f"{b / a:.2f} x" if a else "-"))
    parts = [
        "# Two load tests",
        "\n".join(
            f"- {name}: {run.machine.date}, revision {run.machine.revision or '-'}, `{run.command}`"
            for name, run in (("A", first), ("B", second))
        ),
        table(("scenario", "figure", "A", "B", "B / A"), rows),
    ]
    doubts = [*_doubts(first, second), *_alone("A", ours, theirs), *_alone("B", theirs, ours)]
    return "\n\n".join([*parts, *(["\n".join(f"- {doubt}" for doubt in doubts)] if doubts else [])]) + "\n"


def _alone(
    name: str, ours: dict[str, dict[str, float | None]], theirs: dict[str, dict[str, float | None]]
) -> list[str]:
    """Scenarios that the other run has not."""
    alone = [scenario for scenario in ours if scenario not in theirs]
    return [f"only in {name}: {', '.join(alone)}"] if alone else []


def _doubts(first: Run, second: Run) -> list[str]:
    """Why a ratio may say little of the gateway."""
    doubts = [
        f"{what} differs: {ours}; {theirs}"
        for what, ours, theirs in (
            ("processor", *(f"{run.machine.cores} x {run.machine.cpu}" for run in (first, second))),
            ("kernel", first.machine.kernel, second.machine.kernel),
            ("Python", first.machine.python, second.machine.python),
        )
        if ours != theirs
    ]
    for name, run in (("A", first), ("B", second)):
        if run.machine.load_before > LOAD_BEFORE_QUIET:
            doubts.append(f"the machine was not quiet before {name}: load {run.machine.load_before}")
    return doubts


SHOWN: Final[dict[str, Callable[[Run], str]]] = {"html": page, "markdown": markdown, "targets": record}


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 for a file that cannot be read or is no run."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.report")
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", help="two runs beside each other, as Markdown")
    compare.add_argument("first", metavar="A", help="a report (HTML) or its raw figures (JSON)")
    compare.add_argument("second", metavar="B")
    html = commands.add_parser("html", help="the page of a run")
    html.add_argument("run", help="raw figures (JSON), or another report")
    shown = commands.add_parser("markdown", help="the tables of a run")
    shown.add_argument("run", help="a report (HTML) or its raw figures (JSON)")
    targets = commands.add_parser("targets", help="the limits and goals of a run, as docs/targets.md has them")
    targets.add_argument("run", help="a report (HTML) or its raw figures (JSON)")
    asked = parser.parse_args(arguments)
    try:
        if asked.command == "compare":
            text = compared(_read(asked.first), _read(asked.second))
        else:
            text = SHOWN[asked.command](_read(asked.run))
    except (OSError, NotARunError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(text)
    return 0


def _read(name: str) -> Run:
    try:
        return runs.of_text(Path(name).read_text(encoding="utf-8"))
    except NotARunError as error:
        raise NotARunError(f"{name}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
