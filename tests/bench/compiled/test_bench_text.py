"""What writing a number costs."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.text import number
from tests.bench.compiled.reference import measures


@pytest.mark.parametrize(
    ("value", "text"),
    [(61837.63, "61837.63"), (0.1 + 0.2, "0.30000000000000004")],
    ids=["a price", "what no decimal of 15 digits is"],
)
@measures("text.number")
def test_number(benchmark: BenchmarkFixture, value: float, text: str) -> None:
    assert benchmark(number, value) == text
