"""Beside each benchmark, the reference in the same process: just before and just after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.bench.compiled.reference import reference_s


@pytest.fixture(autouse=True)
def beside_the_reference(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leaves the reference's least seconds in the benchmark's `extra_info`."""
    if "benchmark" not in request.fixturenames or request.config.getoption("benchmark_disable"):
        yield
        return
    benchmark: BenchmarkFixture = request.getfixturevalue("benchmark")
    before_s = reference_s()
    yield
    benchmark.extra_info["reference_s"] = min(before_s, reference_s())
