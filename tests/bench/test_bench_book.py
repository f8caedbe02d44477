"""What a book costs an update: whole live books in, changed levels, checksum and JSON out."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.book import Book, Changes

pytestmark = pytest.mark.benchmark(max_time=0.3, min_rounds=3)

Sides = tuple[list[list[float]], list[list[float]]]
DEPTHS = [20, 100, 1000]


def two_states(depth: int) -> tuple[Sides, Sides]:
    """A book and the same a moment later: ten sizes changed, one level gone and another come."""
    chance = random.Random(depth)
    states = []
    for step in (-0.01, 0.01):
        levels = [
            [round(61837.63 + step * level * 7, 2), round(chance.uniform(0, 5), 5)] for level in range(1, depth + 2)
        ]
        later = [list(level) for level in levels]
        for level in chance.sample(later, 10):
            level[1] = round(chance.uniform(0, 5), 5)
        del later[depth // 2]
        states.append((levels[:depth], later))
    (bids, later_bids), (asks, later_asks) = states
    return (bids, asks), (later_bids, later_asks)


def alternating(book: Book, states: tuple[Sides, Sides]) -> Callable[[], Changes | None]:
    turn = 0

    def replace() -> Changes | None:
        nonlocal turn
        turn ^= 1
        return book.replace(*states[turn])

    return replace


@pytest.mark.parametrize("depth", DEPTHS)
def test_replace_unchanged(benchmark: BenchmarkFixture, depth: int) -> None:
    book, (state, _) = Book(depth), two_states(depth)
    book.replace(*state)
    assert benchmark(book.replace, *state) is None


@pytest.mark.parametrize("depth", DEPTHS)
def test_replace_changed(benchmark: BenchmarkFixture, depth: int) -> None:
    book = Book(depth)
    replace = alternating(book, two_states(depth))

    replace()
    assert benchmark(replace)


@pytest.mark.parametrize("depth", DEPTHS)
def test_update_to_wire(benchmark: BenchmarkFixture, depth: int) -> None:
    book = Book(depth)
    replace = alternating(book, two_states(depth))

    def update() -> bytes:
        changes = replace()
        assert changes is not None
        return changes.data("BTC/USDT", "binance", 12345, book.checksum())

    replace()
    assert benchmark(update)


@pytest.mark.parametrize("depth", DEPTHS)
def test_snapshot(benchmark: BenchmarkFixture, depth: int) -> None:
    book = Book(depth)
    book.replace(*two_states(depth)[0])
    assert benchmark(book.snapshot, "BTC/USDT", "binance")


def test_merge(benchmark: BenchmarkFixture) -> None:
    book = Book(100)
    replace = alternating(book, two_states(100))
    replace()
    first = replace()
    later = replace()
    assert first is not None
    assert later is not None
    assert len(benchmark(first.merged, later)) >= len(first)
