"""How cost grows, as text: every row, the model, and what is called steep."""

from __future__ import annotations

from dataclasses import replace

from loadtest.bench import scaling_report
from loadtest.bench.linear import Measured
from tests.loadtest.bench import made
from tests.loadtest.bench.test_scaling import made as made_scaling


def test_each_axis_is_a_table_with_the_model_beside_it() -> None:
    text = scaling_report.section(made_scaling())
    assert text.startswith("No step is above linear: the steepest is 1.00, the limit ")
    assert (
        "CPU = 0.20 % + 50 us a turn + 40.0 us an update + 4.00 us a system call + 0.00 us a message + 0.10 ns a byte"
        in text
    )
    assert "## subscribers" in text
    cells = [cell.strip() for cell in next(line for line in text.splitlines() if "| 100 conns" in line).split("|")]
    assert cells[1:9] == ["100 conns", "1,000", "350", "10", "1.0", "0.7 %", "6.94", "4.04"]
    assert "STEEP" not in text
    assert text.endswith("- a note")


def test_a_steep_step_is_marked_and_told_first() -> None:
    result = made_scaling()
    last = result.axes[0][1][-1]
    result.axes[0][1][-1] = replace(last, measured=Measured(last.measured.work, 2 * last.measured.cpu), floor_us=4.5)
    text = scaling_report.section(result)
    assert text.startswith("**Above linear**: the steepest step is 2.00")
    assert text.count("2.00 STEEP") == 1
    assert "C floor: 4.50 us a message at 10000 conns." in text


def test_the_document_says_where_and_how_it_was_made() -> None:
    text = scaling_report.document("python -m loadtest.bench scaling", made.MACHINE, made_scaling())
    assert text.startswith("# How cost grows\n\nMade by the command")
    assert "`python -m loadtest.bench scaling`" in text
