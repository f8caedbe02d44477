"""What keeping an update for resume costs, and finding what somebody missed."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.sequence import Ring
from tests.bench.compiled.parts import DATA, T_IN, each_once
from tests.bench.compiled.reference import measures

DEPTH = 1_024
BYTES_MAX = 1_048_576


def full() -> Ring:
    ring = Ring(DEPTH, BYTES_MAX)
    for _ in range(DEPTH):
        ring.append(DATA, None, T_IN, T_IN)
    return ring


@measures("sequence.Ring")
def test_new_ring(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(Ring, DEPTH, BYTES_MAX)) == 0


@measures("sequence.Ring.append")
def test_append_to_a_full_ring(benchmark: BenchmarkFixture) -> None:
    ring = full()
    assert benchmark(ring.append, DATA, None, T_IN, T_IN).sequence > DEPTH
    assert len(ring) == DEPTH


@measures("sequence.Ring.__len__")
def test_length(benchmark: BenchmarkFixture) -> None:
    assert benchmark(len, full()) == DEPTH


@measures("sequence.Ring.between")
def test_between(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(full().between, 500, 523)) == 24


@measures("sequence.Ring.after")
def test_after(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(full().after, 1_000)) == 24


@measures("sequence.Ring.clear")
def test_clear_a_full_ring(benchmark: BenchmarkFixture) -> None:
    rings: list[Ring] = []

    def clear(ring: Ring) -> None:
        ring.clear()
        rings.append(ring)

    each_once(benchmark, clear, full)
    assert len(rings[-1]) == 0
