"""Runs as Markdown, beside each other, and the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadtest import report, runs
from loadtest.page import page
from loadtest.targets import Verdict
from tests.loadtest.made import OUTCOME, RUN

OTHER = replace(RUN, outcomes=[replace(OUTCOME, figures={"p99_ms": 25.0, "lost_count": 0.0, "of_floor_ratio": 1.0})])


def test_markdown_has_every_limit_and_every_figure() -> None:
    text = report.markdown(RUN)
    for wanted in ("# Load test\n", "| p99_ms <= 10 ", " MISSED |", "| of_floor_ratio |", "- no C floor", "| machine "):
        assert wanted in text
    assert text.endswith("|\n")


def test_markdown_has_the_percentiles_of_every_curve() -> None:
    told = [(0.5, 3.0), (0.99, 4.0), (0.999, 5.0), (1.0, 6.0)]
    text = report.markdown(replace(RUN, outcomes=[replace(OUTCOME, curves={**OUTCOME.curves, "C floor": told})]))
    assert text.endswith(
        "\n\n"
        "| latency | p50 ms | p90 ms | p99 ms | p99.9 ms | max ms |\n"
        "| ------- | -----: | -----: | -----: | -------: | -----: |\n"
        "| readers |      2 |     10 |     10 |       10 |     20 |\n"
        "| C floor |      3 |      - |      4 |        5 |      6 |\n"
    )
    assert "| latency " not in report.markdown(replace(RUN, outcomes=[replace(OUTCOME, curves={})]))


def test_figures_are_beside_each_other_with_their_ratio() -> None:
    assert report.compared(RUN, OTHER).split("\n\n")[2] == (
        "| scenario |     figure |    A |  B |  B / A |\n"
        "| -------- | ---------: | ---: | -: | -----: |\n"
        "| soak     |     p99_ms | 12.5 | 25 | 2.00 x |\n"
        "| soak     | lost_count |    0 |  0 |      - |\n"
    )


def test_what_makes_two_runs_hard_to_compare_is_said() -> None:
    assert "differs" not in report.compared(RUN, OTHER)
    foreign = replace(OTHER, machine=replace(RUN.machine, cores=64, load_before=3.0), outcomes=[])
    text = report.compared(RUN, foreign)
    assert "- processor differs: 2 x A Processor; 64 x A Processor" in text
    assert "- the machine was not quiet before B: load 3.0" in text
    assert "- only in A: soak" in text


def test_page_and_raw_figures_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.html").write_text(page(RUN))
    (tmp_path / "b.json").write_text(runs.to_json(OTHER))
    assert report.main(["compare", str(tmp_path / "a.html"), str(tmp_path / "b.json")]) == 0
    assert capsys.readouterr().out == report.compared(RUN, OTHER)


def test_a_run_is_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text(runs.to_json(RUN))
    assert report.main(["html", str(tmp_path / "a.json")]) == 0
    assert capsys.readouterr().out == page(RUN)
    assert report.main(["markdown", str(tmp_path / "a.json")]) == 0
    assert capsys.readouterr().out == report.markdown(RUN)
    assert report.main(["targets", str(tmp_path / "a.json")]) == 0
    assert capsys.readouterr().out == report.record(RUN)


def test_a_page_of_targets_counts_goals_apart_and_links_what_bounds_them() -> None:
    short = Verdict("goal: p99_ms <= 1", "12.5", met=False, is_limit=False, shown_in="docs/load.md#what-bounds-f")
    reached = Verdict("goal: lost_count <= 0", "0", met=True, is_limit=False)
    text = report.record(replace(RUN, outcomes=[replace(OUTCOME, verdicts=[*OUTCOME.verdicts, short, reached])]))
    assert "Of 3 limits 1 are met, 1 missed and 1 not judged; of 2 goals 1 are reached." in text
    assert " not reached: [load.md](load.md#what-bounds-f) |" in text
    assert text.endswith("- no C floor\n\n- soak: a </script> note\n")


def test_what_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert report.main(["markdown", str(tmp_path / "a.json")]) == 2
    assert f"{tmp_path / 'a.json'}: neither a report" in capsys.readouterr().err
    assert report.main(["markdown", str(tmp_path / "none")]) == 2
