"""A run is read back whole from its raw figures and from its report, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from loadtest import runs
from loadtest.page import page
from loadtest.runs import NotARunError
from tests.loadtest.made import RUN


def test_a_run_is_read_back_whole() -> None:
    assert runs.of_text(runs.to_json(RUN)) == RUN


def test_a_run_is_found_in_its_report_whatever_its_texts_hold() -> None:
    assert "</script>" in RUN.outcomes[0].notes[0]
    assert runs.of_text(page(RUN)) == RUN


@pytest.mark.parametrize("text", ["", "{}", "<html></html>", '{"machine": 3}'])
def test_anything_else_is_no_run(text: str) -> None:
    with pytest.raises(NotARunError, match="neither a report"):
        runs.of_text(text)
