"""A run that was kept is the same when it is read again."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bench import kept, tools
from loadtest.bench.kept import Run
from loadtest.bench.scaling import AXES, Scaling
from loadtest.bench.tls import TlsResult
from loadtest.bench.workloads import WORKLOADS
from loadtest.outcome import Sample
from loadtest.swarm import ToolError
from tests.loadtest.bench import made
from tests.loadtest.bench.test_scaling import grown
from tests.loadtest.bench.test_workers import made as made_workers


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tools, "results_folder", lambda: tmp_path)
    return tmp_path


def run() -> Run:
    measured = list(map(made.result, WORKLOADS))
    measured[0].gateway = replace(made.FIGURES, buckets=[(1.0, 2)], samples=[Sample(1.0, 2.0, 0.5, 3_000)])
    return Run(
        made.MACHINE, "python -m loadtest.bench", True, ["a note"], measured, made.ORDERS,
        TlsResult(made.FIGURES, made.FIGURES), Scaling([grown(AXES[0])]), made_workers(),
    )  # fmt: skip


def test_everything_is_read_again_as_it_was() -> None:
    assert kept.read(kept.keep(run())) == run()


def test_what_is_no_number_stays_none() -> None:
    measured = run()
    measured.orders = replace(made.ORDERS, alone=replace(made.SENT, p99_ms=math.nan))
    read = kept.read(kept.keep(measured)).orders
    assert read is not None
    assert math.isnan(read.alone.p99_ms)


def test_nothing_that_was_measured_is_empty() -> None:
    assert Run(made.MACHINE, "x", True).is_empty
    assert not Run(made.MACHINE, "x", True, orders=made.ORDERS).is_empty


@pytest.mark.parametrize("text", ["no JSON", "{}", '{"machine": {}, "results": []}'])
def test_what_another_version_kept_is_refused(folder: Path, text: str) -> None:
    path = folder / "older.json"
    path.write_text(text)
    with pytest.raises(ToolError, match=r"older\.json: no results of this version"):
        kept.read(path)
    with pytest.raises(ToolError, match="none"):
        kept.read(folder / "none.json")
