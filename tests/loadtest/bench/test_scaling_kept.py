"""Axes measured one at a time come together, each as it was measured last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bench import scaling_kept, tools
from loadtest.bench.machine import Machine
from loadtest.bench.scaling import AXES, Grown
from loadtest.bench.scaling_kept import Kept
from tests.loadtest.bench import made
from tests.loadtest.bench.test_scaling import grown


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tools, "results_folder", lambda: tmp_path)
    return tmp_path


def kept(at: int, command: str = "first") -> Kept:
    return Kept(grown(AXES[at]), made.MACHINE, command)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(made.MACHINE, cpu="Another Processor"),
        replace(made.MACHINE, kernel="6.2.0"),
        replace(made.MACHINE, versions={"picows": "2.4.0"}),
    ],
    ids=["processor", "kernel", "versions"],
)
def test_an_axis_of_another_machine_is_left_out(elsewhere: Machine) -> None:
    said: list[str] = []
    scaling_kept.merged([replace(kept(0), machine=elsewhere)])
    assert names(scaling_kept.merged([kept(1)], said.append)) == [AXES[1].name]
    assert [text.split(": ")[1].split(",")[0] for text in said] == [AXES[0].name]
    again = scaling_kept.merged([replace(kept(2), machine=elsewhere)])
    assert names(again) == [AXES[0].name, AXES[2].name], "it is kept all the same"


def test_an_axis_of_another_revision_or_day_stays_and_is_told_apart() -> None:
    newest = replace(made.MACHINE, date="2026-02-08 01:00 UTC", load_before=2.0)
    merged = scaling_kept.merged(
        [
            replace(kept(0), machine=replace(newest, date="2026-02-08 00:10 UTC")),
            replace(kept(1), machine=replace(newest, revision="def5678", date="2026-02-08 00:20 UTC")),
            kept(2),
            replace(kept(3), machine=newest),
        ]
    )
    assert names(merged) == [axis.name for axis in AXES[:4]]
    assert names(scaling_kept.others_than_newest(merged)) == [AXES[1].name, AXES[2].name]


def names(found: list[Kept]) -> list[str]:
    return [each.grown.name for each in found]


def test_axes_come_together_in_their_order_whatever_order_they_were_measured_in() -> None:
    assert names(scaling_kept.merged([kept(2)])) == [AXES[2].name]
    assert scaling_kept.merged([kept(0)]) == [kept(0), kept(2)]


def test_what_is_measured_again_replaces_what_was_kept() -> None:
    scaling_kept.merged([kept(0), kept(1)])
    assert [each.command for each in scaling_kept.merged([kept(0, "second")])] == ["second", "first"]


def test_an_axis_that_has_other_points_now_is_left_out() -> None:
    whole = grown(AXES[0])
    shorter = Grown(whole.name, whole.title, whole.unit, whole.rows[1:])
    assert names(scaling_kept.merged([replace(kept(0), grown=shorter), kept(1)])) == [AXES[1].name]


@pytest.mark.parametrize("text", ["[{}]", "no JSON", '[{"grown": 1}]'])
def test_what_another_version_kept_is_left_out(folder: Path, text: str) -> None:
    said: list[str] = []
    (folder / scaling_kept.NAME).write_text(text)
    assert names(scaling_kept.merged([kept(1)], said.append)) == [AXES[1].name]
    assert "is of another version" in said[0]
    assert (folder / scaling_kept.NAME).with_suffix(".former").read_text() == text
