"""`make load`: what is run, what is shown and kept, and the exit code, with made outcomes instead of runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest import load, scenarios
from loadtest.bench import tools
from loadtest.bench.tools import Tools
from loadtest.outcome import Outcome
from loadtest.runs import of_text
from loadtest.scenarios import How
from loadtest.swarm import ToolError
from loadtest.targets import Scenario

FILE = """\
[quick]
title = "a short one"
tool = "bench"
short = true
at_most = { p99_ms = 20, of_floor_ratio = 2 }

[long]
title = "a long one"
tool = "bench"
at_most = { p99_ms = 20 }
"""
Load = Callable[..., int]


class Runs:
    """Instead of running anything."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, How]] = []
        self.p99_ms = {"quick": 20.0, "long": 19.0}
        self.broken: set[str] = set()

    def run(self, scenario: Scenario, how: How) -> Outcome:
        self.ran.append((scenario.name, how))
        if scenario.name in self.broken:
            raise ToolError("it did not start")
        figures = {"p99_ms": self.p99_ms[scenario.name], "of_floor_ratio": None}
        return Outcome(scenario.name, scenario.title, figures, notes=["a note"])

    @property
    def names(self) -> list[str]:
        return [name for name, _how in self.ran]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setattr(scenarios, "run", runs.run)
    monkeypatch.setattr(tools, "find", lambda: Tools(None, None, {}, None, ("no C floor",)))
    return runs


@pytest.fixture
def make_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "targets.toml").write_text(FILE)
    return lambda *words: load.main([*words, "--targets", str(tmp_path / "targets.toml")])


def test_the_short_ones_are_run_and_all_met_is_0(
    runs: Runs, make_load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_load("--conns", "50", "--seconds", "2") == 0
    ((name, how),) = runs.ran
    assert (name, how.conns_max, how.seconds) == ("quick", 50, 2.0)
    shown = capsys.readouterr().out
    for wanted in ("## quick: a short one", "| p99_ms <= 20 ", "not judged", "- a note", "- no C floor", "| machine "):
        assert wanted in shown


def test_a_missed_limit_is_1_and_the_rest_is_run(runs: Runs, make_load: Load) -> None:
    runs.p99_ms["quick"] = 20.1
    assert make_load("quick", "long") == 1
    assert runs.names == ["quick", "long"]


def test_what_cannot_be_run_is_1_and_the_rest_is_run(
    runs: Runs, make_load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.broken = {"quick"}
    assert make_load("quick", "long") == 1
    assert runs.names == ["quick", "long"]
    assert "- quick could not be run: it did not start" in capsys.readouterr().out


def test_a_length_for_what_has_none_is_2(runs: Runs, make_load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_load("quick", "--minutes", "3") == 2
    assert not runs.ran
    assert "[quick] is not measured in minutes" in capsys.readouterr().err


def test_an_unknown_scenario_is_2_and_nothing_is_run(
    runs: Runs, make_load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_load("nothing") == 2
    assert not runs.ran
    assert "no scenario nothing: there are quick, long" in capsys.readouterr().err


def test_a_page_says_which_limits_were_met(runs: Runs, make_load: Load, tmp_path: Path) -> None:
    runs.p99_ms["quick"] = 20.1
    assert make_load("quick", "long", "--page", str(tmp_path / "targets.md")) == 1
    page = (tmp_path / "targets.md").read_text()
    assert page.startswith("# Targets\n")
    assert "Of 3 limits 1 are met, 1 missed and 1 not judged; of 0 goals 0 are reached." in page
    for wanted in ("| revision ", "python -m loadtest.load quick long --page", "- quick: a note", "- no C floor"):
        assert wanted in page
    rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in page.splitlines() if "p99_ms" in line]
    assert rows == [["quick", "p99_ms <= 20", "20.1", "MISSED"], ["long", "p99_ms <= 20", "19", "met"]]


def test_a_page_that_cannot_be_written_is_2_and_nothing_is_run(runs: Runs, make_load: Load, tmp_path: Path) -> None:
    assert make_load("quick", "--page", str(tmp_path / "none" / "targets.md")) == 2
    assert not runs.ran


def test_a_file_that_is_not_there_is_2(runs: Runs, tmp_path: Path) -> None:
    assert load.main(["--targets", str(tmp_path / "none.toml")]) == 2
    assert not runs.ran


def test_page_tables_and_raw_figures_are_kept(runs: Runs, make_load: Load, tmp_path: Path) -> None:
    assert make_load("long", "--report", str(tmp_path / "kept")) == 0
    kept = {path.suffix: path.read_text() for path in (tmp_path / "kept").iterdir()}
    assert set(kept) == {".html", ".md", ".json"}
    run = of_text(kept[".json"])
    assert run == of_text(kept[".html"])
    assert (run.outcomes[0].figures["p99_ms"], run.outcomes[0].verdicts[0].met) == (19.0, True)
    assert run.command.startswith("python -m loadtest.load long --report")
    assert "## long: a long one" in kept[".md"]
