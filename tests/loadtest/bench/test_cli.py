"""The command line: what is run, what is kept, when docs/benchmarks.md is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bench import cli, orders, pages, readme, scaling, tls, tools, workers
from loadtest.bench.orders import OrdersResult
from loadtest.bench.scaling import Axis, Scaling
from loadtest.bench.tls import TlsResult
from loadtest.bench.tools import Tools
from loadtest.bench.workloads import WORKLOADS, Plan, Result
from loadtest.swarm import ToolError
from tests.loadtest.bench import made
from tests.loadtest.bench.test_scaling import grown
from tests.loadtest.bench.test_workers import made as made_workers


class Runs:
    """Instead of running anything."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.names: list[str] = []
        self.broken: set[str] = set()

    def measure_orders(self, seconds: float, say: Callable[[str], None]) -> OrdersResult:
        self.names.append("H")
        if "H" in self.broken:
            raise ToolError("there is no pgbench")
        return made.ORDERS

    def measure(self, name: str, plan: Plan) -> Result:
        self.names.append(name)
        self.plans.append(plan)
        if name in self.broken:
            raise ToolError("did not start\nfor a long reason")
        measured = made.result(name)
        measured.unstalled = made.FIGURES
        measured.extra["stalled"] = 10
        return measured


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cli, "measure", runs.measure)
    monkeypatch.setattr(orders, "measure", runs.measure_orders)
    monkeypatch.setattr(tls, "measure", lambda _: TlsResult(made.FIGURES, made.FIGURES))
    monkeypatch.setattr(pages, "README", tmp_path / "README.md")
    monkeypatch.setattr(pages, "DOCUMENT", tmp_path / "benchmarks.md")
    monkeypatch.setattr(pages, "SCALING_DOCUMENT", tmp_path / "scaling.md")
    monkeypatch.setattr(pages, "WORKERS_DOCUMENT", tmp_path / "workers.md")
    monkeypatch.setattr(tools, "find", lambda: Tools(None, None, {}, None, ("no load tools found",)))
    return runs


def test_all_workloads_are_run_written_down_and_kept(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert runs.names == [*WORKLOADS, "H"]
    text = pages.DOCUMENT.read_text()
    assert "`python -m loadtest.bench`" in text
    assert "- no load tools found" in text
    shown = capsys.readouterr()
    assert "## B:" in shown.out
    kept = Path(next(line for line in shown.err.splitlines() if line.startswith("raw figures")).rpartition(" ")[2])
    held = json.loads(kept.read_text())
    assert [row["workload"]["name"] for row in held["workloads"]] == list(WORKLOADS)
    assert held["orders"]["crowd"]["per_s"] == made.ORDERS.crowd.per_s
    assert text.index("# Benchmarks") < text.index("## G:") < text.index("## H:")


def test_the_readme_has_the_figures_of_a_whole_run(runs: Runs) -> None:
    pages.README.write_text(f"Before.\n{readme.BEGIN}\nolder\n{readme.END}\nAfter.\n")
    assert cli.main(["A", "B"]) == 0
    assert "older" in pages.README.read_text()
    assert cli.main([]) == 0
    assert readme.block(pages.DOCUMENT.read_text()) in pages.README.read_text()
    assert "older" not in pages.README.read_text()


def test_pages_are_written_anew_from_what_was_kept(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    pages.README.write_text(f"{readme.BEGIN}\n{readme.END}\n")
    assert cli.main(["--no-write"]) == 0
    assert not pages.DOCUMENT.exists()
    path = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("raw figures")).rpartition(
        " "
    )[2]
    measured = len(runs.names)
    assert cli.main(["--from-kept", path, "--no-write"]) == 0
    assert not pages.DOCUMENT.exists()
    assert cli.main(["--from-kept", path]) == 0
    assert len(runs.names) == measured
    written, shown = pages.DOCUMENT.read_text(), pages.README.read_text()
    assert "`python -m loadtest.bench --no-write`" in written
    assert cli.main([]) == 0
    assert pages.DOCUMENT.read_text().count("\n") == written.count("\n")
    assert readme.block(written) in shown


def test_what_was_cut_down_or_is_no_kept_run_writes_nothing(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--conns", "100"]) == 0
    path = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("raw figures")).rpartition(
        " "
    )[2]
    assert cli.main(["--from-kept", path]) == 0
    assert not pages.DOCUMENT.exists()
    (tmp_path / "other.json").write_text("{}")
    assert cli.main(["--from-kept", str(tmp_path / "other.json")]) == 1
    with pytest.raises(SystemExit):
        cli.main(["A", "--from-kept", path])


def test_tls_is_measured_alone_and_its_part_survives_the_others(runs: Runs) -> None:
    assert cli.main(["A", "--tls"]) == 0
    assert runs.names == []
    assert "## A over TLS" in pages.DOCUMENT.read_text()
    assert cli.main([]) == 0
    text = pages.DOCUMENT.read_text()
    assert text.index("## G:") < text.index("## A over TLS") < text.index("## H:")
    assert cli.main(["--tls"]) == 0
    assert pages.DOCUMENT.read_text().count("## A over TLS") == 1
    with pytest.raises(SystemExit):
        cli.main(["B", "--tls"])


def test_orders_are_written_down_alone_and_the_others_alone(runs: Runs) -> None:
    assert cli.main(["H"]) == 0
    assert pages.DOCUMENT.read_text().startswith("## H:")
    assert cli.main([]) == 0
    whole = pages.DOCUMENT.read_text()
    assert cli.main(["H"]) == 0
    again = pages.DOCUMENT.read_text()
    assert again.startswith(whole[: whole.index("## H:")])
    assert "`python -m loadtest.bench H`" in again
    runs.broken = {"H"}
    assert cli.main([]) == 1
    assert pages.DOCUMENT.read_text().count("## H:") == 1


@pytest.mark.parametrize("arguments", [["A", "B"], ["--no-write"], ["--conns", "100"]])
def test_a_partial_run_leaves_the_document_alone(runs: Runs, arguments: list[str]) -> None:
    assert cli.main(arguments) == 0
    assert runs.names
    assert not pages.DOCUMENT.exists()


def test_options_reach_the_plan(runs: Runs) -> None:
    assert cli.main(["C", "--seconds", "2.5", "--conns", "50", "--no-peers"]) == 0
    (plan,) = runs.plans
    assert (runs.names, plan.seconds, plan.conns_max, plan.peers) == (["C"], 2.5, 50, False)


def scaled(monkeypatch: pytest.MonkeyPatch, **steep: float) -> list[tuple[list[str], int]]:
    """What is asked of `scaling`; a named axis has a last point that costs so many times more."""
    asked: list[tuple[list[str], int]] = []

    def measure(_plan: Plan, axes: Sequence[Axis], repeats: int) -> Scaling:
        asked.append(([axis.name for axis in axes], repeats))
        result = Scaling([grown(axis) for axis in axes])
        for axis in result.axes:
            last = axis.rows[-1]
            last.seen[:] = [replace(seen, cpu=seen.cpu * steep.get(axis.name, 1.0)) for seen in last.seen]
        return result

    monkeypatch.setattr(scaling, "measure", measure)
    return asked


def test_scaling_is_measured_alone_and_has_a_document_of_its_own(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scaled(monkeypatch)
    assert cli.main(["scaling", "--no-write"]) == 0
    assert not pages.SCALING_DOCUMENT.exists()
    assert cli.main(["scaling"]) == 0
    assert "No step is above linear" in pages.SCALING_DOCUMENT.read_text()
    assert asked == 2 * [([axis.name for axis in scaling.AXES], scaling.REPEATS)]
    scaled(monkeypatch, bytes=2.0)
    assert cli.main(["scaling"]) == 1
    assert "**Above linear**: 1 of 21 steps." in pages.SCALING_DOCUMENT.read_text()
    assert runs.names == []
    assert not pages.DOCUMENT.exists()


def test_axes_are_measured_one_at_a_time_and_the_document_has_all(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = [axis.name for axis in scaling.AXES]
    asked = scaled(monkeypatch)
    assert cli.main(["scaling", *(word for name in others for word in ("--axis", name)), "--repeats", "3"]) == 0
    assert not pages.SCALING_DOCUMENT.exists()
    assert cli.main(["scaling", "--axis", first]) == 0
    assert pages.SCALING_DOCUMENT.read_text().count("\n## ") == 1 + len(others)
    assert asked == [(others, 3), ([first], scaling.REPEATS)]
    assert runs.names == []


@pytest.mark.parametrize("words", [["A", "--axis", "bytes"], ["scaling", "--axis", "Z"], ["scaling", "--repeats", "1"]])
def test_what_scaling_cannot_do_is_refused(runs: Runs, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(words)
    assert not runs.names


def test_a_workload_that_cannot_be_run_does_not_stop_the_others(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.broken = {"A"}
    assert cli.main([]) == 1
    assert runs.names == [*WORKLOADS, "H"]
    assert pages.DOCUMENT.read_text().startswith("## H:")
    assert "- A could not be run: did not start\n" in capsys.readouterr().out


def test_an_unknown_workload_is_refused(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["Z"])
    assert not runs.names
    assert "no workload Z" in capsys.readouterr().err


def test_workers_are_measured_alone_and_have_a_document_of_their_own(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "measure", lambda _plan: made_workers())
    assert cli.main(["workers", "--no-write"]) == 0
    assert not pages.WORKERS_DOCUMENT.exists()
    assert cli.main(["workers"]) == 0
    assert pages.WORKERS_DOCUMENT.read_text().startswith("# Several processes")
    assert runs.names == []
