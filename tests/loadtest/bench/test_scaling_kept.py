"""Axes measured one at a time come together, each as it was measured last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bench import scaling_kept, tools
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
    (folder / scaling_kept.NAME).write_text(text)
    assert names(scaling_kept.merged([kept(1)])) == [AXES[1].name]
