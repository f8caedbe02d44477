"""A run as one HTML file that needs nothing else: verdicts, figures, curves, and the run itself for comparisons.

Pure. Must not know files, and takes no text unescaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from loadtest import drawing, runs
from loadtest.bench.report import fact_rows
from loadtest.histogram import MARKS, nines, nines_of, word
from loadtest.outcome import Curve, Outcome, Sample
from loadtest.runs import Run
from loadtest.targets import Verdict, number

NUMBER = re.compile(r"-?[\d.,e+-]*\d")
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}
table{border-collapse:collapse;margin:.5rem 0 1rem}td,th{border:1px solid #d0d7de;padding:.2rem .6rem;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}.met{color:#1a7f37}.MISSED{color:#cf222e;font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(26rem,1fr));gap:1rem}
svg{width:100%}svg text{font:11px system-ui,sans-serif;fill:#57606a}svg line{stroke:#d8dee4}
svg .title{font-size:13px;fill:#1f2328}svg .end{text-anchor:end}svg .middle{text-anchor:middle}
"""


def page(run: Run) -> str:
    """The whole file."""
    title = f"Load test, {run.machine.date}"
    parts = [f"<h1>{escape(title)}</h1>", _table((), fact_rows(run.command, run.machine))]
    rows = [(each.scenario, *_cells(verdict)) for each in run.outcomes for verdict in each.verdicts]
    parts += ["<h2>Limits</h2>", _table(("scenario", "limit", "reached", "verdict"), rows), _notes(run.notes)]
    parts += [_section(outcome) for outcome in run.outcomes]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n{runs.embedded(run)}\n</body></html>\n'


def _section(outcome: Outcome) -> str:
    """One scenario: its limits, what is drawn, every figure."""
    figures = [(name, "-" if value is None else number(value)) for name, value in outcome.figures.items()]
    parts = [
        f"<h2>{escape(outcome.scenario)}: {escape(outcome.title)}</h2>",
        _table(("limit", "reached", "verdict"), map(_cells, outcome.verdicts)),
        f'<div class="charts">{"".join(_charts(outcome))}</div>',
        f"<details><summary>All figures</summary>{_table(('figure', 'value'), figures)}</details>",
        _notes(outcome.notes),
    ]
    return "\n".join(part for part in parts if part)


def _charts(outcome: Outcome) -> list[str]:
    """Latency, and the server over the run, as far as they were measured."""
    drawn = [latency(outcome.curves)] if outcome.curves else []
    if outcome.samples:
        drawn += over_time(outcome.samples)
    return drawn


def latency(curves: dict[str, Curve]) -> str:
    """Percentile curves: each further nine takes the same room, so that the tail can be seen."""
    most = max(map(nines_of, curves.values()))
    marks = [(nines(share, most), word(share)) for share in MARKS if nines(share, most) < most]
    across = drawing.Axis("of all messages", 0.0, most, [*marks, (most, "all")])
    up = drawing.axis("ms", [ms for points in curves.values() for _share, ms in points])
    lines = {name: [(nines(share, most), ms) for share, ms in points] for name, points in curves.items()}
    return drawing.chart("Latency, ms", across, up, lines)


def over_time(samples: Sequence[Sample]) -> list[str]:
    """Throughput, CPU and memory of the server."""
    across = drawing.axis("s", [sample.at_s for sample in samples])
    wanted = (
        ("Messages sent by the server, 1/s", [sample.messages_per_s for sample in samples]),
        ("CPU of the server, % of a core", [100 * sample.cpu_share for sample in samples]),
        ("Memory of the server, MiB", [sample.memory_KiB / 1024 for sample in samples]),
    )
    at_s = [sample.at_s for sample in samples]
    return [
        drawing.chart(title, across, drawing.axis(title, values), {title: list(zip(at_s, values, strict=True))})
        for title, values in wanted
    ]


def _cells(verdict: Verdict) -> tuple[str, str, str]:
    return verdict.goal, verdict.reached, verdict.word


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Names to the left, figures to the right, verdicts in their colour."""
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr>"] if header else []
    for cells in rows:
        kinds = [_kind(cell) for cell in cells]
        lines.append(
            "<tr>"
            + "".join(
                f'<td class="{kind}">{escape(cell)}</td>' if kind else f"<td>{escape(cell)}</td>"
                for kind, cell in zip(kinds, cells, strict=True)
            )
            + "</tr>"
        )
    return f"<table>{''.join(lines)}</table>"


def _kind(cell: str) -> str:
    """What a cell is by its first word, or a number."""
    word = cell.partition(":")[0]
    return word if word in {"met", "MISSED"} else "n" if NUMBER.fullmatch(cell) else ""


def _notes(notes: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""
