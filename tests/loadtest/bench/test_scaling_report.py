"""How cost grows, as text: every row, and what is called above linear or undecided."""

from __future__ import annotations

from dataclasses import replace

from loadtest.bench import scaling_report
from loadtest.bench.scaling import AXES, Grown, Row, Scaling
from loadtest.bench.scaling_kept import Kept
from tests.loadtest.bench import made
from tests.loadtest.bench.test_scaling import grown
from tests.loadtest.bench.test_scaling import made as made_scaling


def cells_of(text: str, label: str) -> list[str]:
    return [cell.strip() for cell in next(line for line in text.splitlines() if f"| {label} " in line).split("|")][1:-1]


def times(row: Row, *factors: float) -> Row:
    return replace(row, seen=[replace(row.seen[0], cpu=row.seen[0].cpu * factor) for factor in factors])


def test_each_axis_is_a_table_with_what_a_unit_of_the_added_work_cost() -> None:
    text = scaling_report.shown(made_scaling())
    assert text.startswith("No step is above linear, of 9: the steepest is 1.00 of its line, within noise.")
    assert "## Subscribers of one key, 10 updates/s\n\nEach point 3 times; one measurement spreads by 1.1 %." in text
    assert cells_of(text, "1,000") == [
        *("1,000", "10,000", "350", "10", "1.0", "7.3 %", "7.2 %", "7.4 %", "7.31"),
        *("7.00 us a message", "1.00", "1.06", "1.06", "1.00", "2.00", "0", "10 %"),
    ]
    assert cells_of(text, "10,000")[9] == "7.00 us a message"
    assert text.endswith("- a note")


def test_bytes_are_told_in_ns() -> None:
    (axis,) = (axis for axis in AXES if axis.unit == "byte")
    assert cells_of(scaling_report.section(grown(axis)), "20,000")[9].endswith(" ns a byte")


def test_a_step_above_linear_is_marked_and_told_first() -> None:
    result = made_scaling()
    rows = result.axes[0].rows
    rows[-1] = replace(times(rows[-1], 1.98, 2.0, 2.02), floor_us=4.5)
    text = scaling_report.shown(result)
    assert text.startswith("**Above linear**: 1 of 9 steps.")
    assert cells_of(text, "10,000")[10].endswith(" ABOVE")
    assert text.count(" ABOVE") == 1
    assert "C floor: 4.50 us a message at 10,000." in text


def test_noise_that_could_hide_a_step_is_told_first() -> None:
    whole = grown(AXES[0])
    noisy = Grown(whole.name, whole.title, whole.unit, [times(row, 0.7, 1.0, 1.3) for row in whole.rows])
    text = scaling_report.shown(Scaling([noisy]))
    assert text.startswith("**Undecided**: noise could hide too much in 4 of 4 steps.")
    assert text.count(" UNDECIDED") == 4


def test_the_document_says_of_each_axis_where_and_when_it_was_measured() -> None:
    late = replace(made.MACHINE, date="2030-01-02 03:04 UTC", revision="1a2b3c4")
    text = scaling_report.document([Kept(grown(AXES[0]), late, "late"), Kept(grown(AXES[1]), made.MACHINE, "early")])
    assert text.startswith("# How cost grows\n\nMade by `python -m loadtest.bench scaling`")
    assert "`late`" in text
    assert "`early`" not in text
    assert "Measured 2030-01-02 03:04 UTC at 1a2b3c4, load before " in text
    assert f"Measured {made.MACHINE.date} at " in text
    assert "No step is above linear, of 9" in text


def test_a_row_whose_client_was_the_bottleneck_is_marked_and_said() -> None:
    result = made_scaling()
    rows = result.axes[0].rows
    rows[-1] = replace(rows[-1], seen=[replace(seen, client_waited=0.5) for seen in rows[-1].seen])
    text = scaling_report.shown(result)
    assert text.count("10 %, waited 50 % |") == 1
    assert text.count("\n- the client was the bottleneck: subscribers, 10,000: 10 %, waited 50 %") == 1
    document = scaling_report.document([Kept(grown, made.MACHINE, "x") for grown in result.axes])
    of_axis = document.partition("## Subscribers")[2].partition("\n## ")[0]
    assert of_axis.rstrip().endswith("- the client was the bottleneck: subscribers, 10,000: 10 %, waited 50 %")
    assert document.count("the client was the bottleneck") == 1
