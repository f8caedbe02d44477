"""What the comparison says of made runs: it is ratios that are compared, and only what stays worse is a regression."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.compiled import __main__ as command
from tests.bench.compiled import ratios
from tests.bench.compiled.ratios import FACTOR, Baseline, Times
from tests.bench.compiled.reference import REPEATS, reference_s, work

KEPT = Baseline("CPython 3.11", {"test_a.py::test_one": 0.5, "test_a.py::test_two[9]": 2.0})
WORSE = 2.0 * FACTOR * 1.01


def report(reference_s: float, **least_s: float) -> dict[str, Any]:
    """What pytest-benchmark writes, as far as it is read."""
    return {
        "benchmarks": [
            {
                "fullname": f"tests/bench/compiled/test_a.py::{name}",
                "stats": {"min": seconds, "median": 9.0},
                "extra_info": {"reference_s": reference_s},
            }
            for name, seconds in least_s.items()
        ]
    }


def test_a_machine_twice_as_slow_has_the_same_ratios() -> None:
    quick = ratios.of_run(report(1e-5, test_one=5e-6, test_two=2e-5))
    slow = ratios.of_run(report(2e-5, test_one=1e-5, test_two=4e-5))
    assert quick.ratios == pytest.approx({"test_a.py::test_one": 0.5, "test_a.py::test_two": 2.0})
    assert slow.ratios == pytest.approx(quick.ratios)


def test_worse_is_what_grew_beyond_the_factor() -> None:
    one, two, new = ratios.rows({"test_a.py::test_one": 0.5 * FACTOR, "test_a.py::test_two[9]": WORSE, "b": 1.0}, KEPT)
    assert (one.worse, two.worse, new.worse) == (False, True, False)
    assert (one.growth, new.growth) == (FACTOR, None)
    lines = ratios.table([one, two, new]).splitlines()
    assert [line.endswith("WORSE") for line in lines] == [False, False, True, False]
    assert lines[3].split() == ["b", "1.00000", "-", "new"]


def test_what_is_no_longer_measured_is_told() -> None:
    assert ratios.gone({"test_a.py::test_one": 1.0}, KEPT) == ["test_a.py::test_two[9]"]


def test_the_best_moment_counts_of_a_benchmark_and_of_the_reference() -> None:
    slow, part = Times(4.0, {"a": 2.0, "b": 1.0}), Times(2.0, {"a": 3.0})
    both = ratios.least([slow, part])
    assert both == Times(2.0, {"a": 2.0, "b": 1.0})
    assert both.ratios == {"a": 1.0, "b": 0.5}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    ratios.save(Baseline("CPython 3.11", {"b": 0.123456, "a": 2.0}), path)
    assert ratios.load(path) == Baseline("CPython 3.11", {"a": 2.0, "b": 0.1235})
    assert list(json.loads(path.read_text())["ratios"]) == ["a", "b"]


class Measured:
    """Instead of pytest: what each run came to, and which benchmarks it was asked for."""

    def __init__(self, *runs: dict[str, float]) -> None:
        self.runs = [Times(1.0, run) for run in runs]
        self.asked: list[list[str]] = []

    def __call__(self, names: list[str]) -> Times:
        self.asked.append(names)
        return self.runs.pop(0)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "baseline.json"
    ratios.save(KEPT, path)
    monkeypatch.setattr(ratios, "load", lambda: KEPT)
    return path


FINE = {"test_a.py::test_one": 0.5, "test_a.py::test_two[9]": 2.0}
SLOW = {"test_a.py::test_one": 0.5, "test_a.py::test_two[9]": WORSE}


@pytest.mark.usefixtures("kept")
def test_what_seems_worse_is_measured_again_before_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    disturbed = Measured(SLOW, {"test_a.py::test_two[9]": 2.1})
    monkeypatch.setattr(command, "measured", disturbed)
    assert command.main([]) == 0
    assert disturbed.asked == [[], ["test_a.py::test_two[9]"]]


@pytest.mark.usefixtures("kept")
def test_what_stays_worse_fails_and_so_does_what_is_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "measured", Measured(SLOW, SLOW, SLOW, SLOW))
    assert command.main([]) == 1
    assert "1 cost more" in capsys.readouterr().err
    monkeypatch.setattr(command, "measured", Measured({"test_a.py::test_one": 0.5}))
    assert command.main([]) == 1
    assert "test_two[9]: in the baseline and not measured" in capsys.readouterr().err


def test_a_new_baseline_is_the_best_of_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Measured(*({"a": float(n)} for n in (3, 1, 2)))
    path = tmp_path / "baseline.json"
    monkeypatch.setattr(command, "measured", runs)
    monkeypatch.setattr(ratios.save, "__defaults__", (path,))
    assert command.main(["--save"]) == 0
    assert ratios.load(path).ratios == {"a": 1.0}


def test_a_real_benchmark_has_its_reference_beside_it() -> None:
    """Without a baseline of one machine in it: that something cheap costs less than the reference, and more than 0."""
    (ratio,) = command.measured(["test_bench_histogram.py::test_new_histogram"]).ratios.values()
    assert 0 < ratio < 1


def test_the_reference_is_fixed_work() -> None:
    assert work().startswith(b'{"price":61837.63}')
    assert reference_s() > 0
    assert REPEATS > 1


def test_the_kept_baseline_names_benchmarks_that_there_are() -> None:
    kept = ratios.load()
    assert all((Path(__file__).parent / name.partition("::")[0]).is_file() for name in kept.ratios)
    assert min(kept.ratios.values()) > 0
