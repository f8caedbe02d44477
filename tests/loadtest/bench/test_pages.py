"""Which pages a run writes: only what it has all of."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.bench import pages, readme, report, tools
from loadtest.bench.kept import Run
from loadtest.bench.scaling import AXES, Scaling
from loadtest.swarm import ToolError
from tests.loadtest.bench import made
from tests.loadtest.bench.test_scaling import grown


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tools, "results_folder", lambda: tmp_path)
    for name in ("README", "DOCUMENT", "SCALING_DOCUMENT", "WORKERS_DOCUMENT"):
        monkeypatch.setattr(pages, name, tmp_path / f"{name}.md")
    pages.README.write_text(f"{readme.BEGIN}\n{readme.END}\n")
    return tmp_path


def written(**measured: object) -> list[str]:
    """What it says of a run that has so much."""
    said: list[str] = []
    pages.write(Run(made.MACHINE, "python -m loadtest.bench", True, **measured), said.append)  # type: ignore[arg-type]  # by name
    return said


def test_all_workloads_are_a_page_and_the_readme_s_figures() -> None:
    said = written(workloads=made.every_workload())
    assert said == [f"written to {pages.DOCUMENT}", f"written to {pages.README}"]
    assert readme.block(pages.DOCUMENT.read_text()) in pages.README.read_text()


def test_orders_alone_leave_the_readme_what_the_page_had() -> None:
    written(workloads=made.every_workload())
    before = pages.README.read_text()
    assert written(orders=made.ORDERS) == [f"written to {pages.DOCUMENT}"]
    assert "## H:" in pages.DOCUMENT.read_text()
    assert pages.README.read_text() == before


def test_a_readme_without_a_mark_is_said_to_stay() -> None:
    pages.README.write_text(f"{readme.BEGIN}\n")
    said = written(workloads=made.every_workload())
    assert said[0] == f"written to {pages.DOCUMENT}"
    assert said[1].startswith("README.md stays as it is: it has not <!-- bench:begin -->")
    assert pages.README.read_text() == f"{readme.BEGIN}\n"


def test_a_page_that_the_readme_cannot_show_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "".join(f"## {name}: title\n\nno table\n\n" for name in readme.SHOWN)
    monkeypatch.setattr(report, "document", lambda *_: page)
    with pytest.raises(ToolError, match="lacks a table that begins with"):
        written(workloads=made.every_workload())
    assert not pages.DOCUMENT.exists()


def test_a_page_without_figures_for_it_leaves_the_readme_alone() -> None:
    assert written(orders=made.ORDERS) == [f"written to {pages.DOCUMENT}"]
    assert written(workloads=[made.result("A")])[0].startswith("workloads without H stay as they are")


def test_one_axis_is_no_page() -> None:
    (said,) = written(scaling=Scaling([grown(AXES[0])]))
    assert said == f"SCALING_DOCUMENT.md stays as it is: 1 of {len(AXES)} axes were measured yet"
    assert not pages.SCALING_DOCUMENT.exists()
