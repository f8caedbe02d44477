"""Charts: round axes, points where they belong, and text that cannot break out."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from loadtest import drawing
from loadtest.drawing import Axis

UNIT = Axis("s", 0.0, 1.0, [(0.0, "0"), (1.0, "1")])


@pytest.mark.parametrize(
    ("highest", "last"), [(0.0, 1.0), (7.0, 8.0), (10.0, 10.0), (1_234.0, 1_500.0), (0.003, 0.003)]
)
def test_an_axis_ends_at_a_round_number_not_below_the_highest_value(highest: float, last: float) -> None:
    made = drawing.axis("ms", [0.0, highest])
    assert made.first == 0.0
    assert made.last == pytest.approx(last)
    assert made.marks[-1][0] == made.last
    assert 2 <= len(made.marks) <= drawing.TICKS_WANTED + 2


def test_points_lie_between_the_ends_of_the_axes() -> None:
    svg = drawing.chart("a title", UNIT, UNIT, {"one": [(0.0, 0.0), (1.0, 1.0)]})
    found = re.search(r'<polyline points="([^"]*)"', svg)
    assert found is not None
    assert found[1] == "64.0,240.0 628.0,26.0"


def test_a_chart_is_well_formed_and_names_its_lines_when_there_are_several() -> None:
    lines = {"<one>": [(0.0, 1.0)], "two & a half": [(1.0, 0.0)]}
    texts = [element.text for element in ElementTree.fromstring(drawing.chart("<b>", UNIT, UNIT, lines)).iter("text")]
    assert {"<b>", "<one>", "two & a half"} <= set(texts)
    alone = drawing.chart("a title", UNIT, UNIT, {"one": []})
    assert "one" not in [element.text for element in ElementTree.fromstring(alone).iter("text")]
