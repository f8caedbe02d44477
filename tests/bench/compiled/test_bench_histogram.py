"""What counting a latency costs, and reading all of them."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.histogram import Histogram
from tests.bench.compiled.reference import measures


@measures("histogram.Histogram")
def test_new_histogram(benchmark: BenchmarkFixture) -> None:
    assert benchmark(Histogram).buckets() == []


@measures("histogram.Histogram.add")
def test_add(benchmark: BenchmarkFixture) -> None:
    histogram = Histogram()
    benchmark(histogram.add, 123_456)
    assert len(histogram.buckets()) == 1


@measures("histogram.Histogram.buckets")
def test_buckets(benchmark: BenchmarkFixture) -> None:
    histogram = Histogram()
    for power in range(60):
        histogram.add(1 << power)
    assert len(benchmark(histogram.buckets)) == 60
