"""How several processes cost, as text: every row, the model, and what it says of more cores."""

from __future__ import annotations

from dataclasses import replace

from loadtest.bench import workers_report
from tests.loadtest.bench import made
from tests.loadtest.bench.test_workers import made as made_workers


def test_rows_of_one_and_of_two_processes_and_the_model() -> None:
    text = workers_report.section(made_workers())
    assert "Resumed on another process than before, with all that came between: 24 of 24 times; missing 0" in text
    assert "CPU: update 50.0 us, link 10.0 us, copy 20.0 us, message 4.0 us." in text
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("| A:")]
    assert [row[2:8] for row in rows] == [
        ["1", "100,000", "100 %", "40.5 %", "-", "4.05"],
        ["2", "100,000", "50 %", "20.6 %", "20.2 %", "4.08"],
    ]


def test_the_document_says_where_and_how_it_was_made() -> None:
    text = workers_report.document("python -m loadtest.bench workers", made.MACHINE, made_workers())
    assert text.startswith("# Several processes\n\nMade by the command")
    assert "**computed, not measured**" in text
    assert "**what a second core brings is not in these rows**" in text
    assert "`python -m loadtest.bench workers`" in text


def test_a_row_whose_client_was_the_bottleneck_is_said() -> None:
    result = made_workers()
    assert "bottleneck" not in workers_report.section(result)
    seen = [result.seen[0], replace(result.seen[1], client_cpu=0.25, client_waited=0.5), *result.seen[2:]]
    text = workers_report.section(replace(result, seen=seen))
    name = f"{result.seen[1].point.label}, processes {len(result.seen[1].processes)}"
    assert f"\n- the client was the bottleneck: {name}: 25 %, waited 50 %\n" in text
    assert text.count("bottleneck") == 1
