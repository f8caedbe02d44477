"""What a book costs an update: whole live books in, changed levels, checksum and JSON out."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.book import Book, Changes
from tests.bench.compiled.reference import measures

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


def two_changes(depth: int) -> tuple[Changes, Changes]:
    """What happened, and what happened after."""
    replace = alternating(Book(depth), two_states(depth))
    replace()
    first, later = replace(), replace()
    assert first is not None
    assert later is not None
    return first, later


@measures("book.Book")
def test_new_book(benchmark: BenchmarkFixture) -> None:
    assert benchmark(Book, 100).checksum() == 0


@pytest.mark.parametrize("depth", DEPTHS)
@measures("book.Book.replace")
def test_replace_unchanged(benchmark: BenchmarkFixture, depth: int) -> None:
    book, (state, _) = Book(depth), two_states(depth)
    book.replace(*state)
    assert benchmark(book.replace, *state) is None


@pytest.mark.parametrize("depth", DEPTHS)
@measures("book.Book.replace")
def test_replace_changed(benchmark: BenchmarkFixture, depth: int) -> None:
    replace = alternating(Book(depth), two_states(depth))
    replace()
    assert benchmark(replace)


@pytest.mark.parametrize("depth", DEPTHS)
@measures("book.Book.checksum")
def test_update_to_wire(benchmark: BenchmarkFixture, depth: int) -> None:
    """A checksum is taken anew only when the book has changed, so it is measured as part of an update."""
    book = Book(depth)
    replace = alternating(book, two_states(depth))

    def update() -> bytes:
        changes = replace()
        assert changes is not None
        return changes.data("BTC/USDT", "binance", 12345, book.checksum())

    replace()
    assert benchmark(update)


@pytest.mark.parametrize("depth", DEPTHS)
@measures("book.Book.snapshot")
def test_snapshot(benchmark: BenchmarkFixture, depth: int) -> None:
    book = Book(depth)
    book.replace(*two_states(depth)[0])
    assert benchmark(book.snapshot, "BTC/USDT", "binance")


@measures("book.Changes.data")
def test_data(benchmark: BenchmarkFixture) -> None:
    first, _ = two_changes(100)
    assert benchmark(first.data, "BTC/USDT", "binance", 12345, 67890).endswith(b'"checksum":67890}')


@measures("book.Changes.merged")
def test_merge(benchmark: BenchmarkFixture) -> None:
    first, later = two_changes(100)
    assert len(benchmark(first.merged, later)) >= len(first)


@measures("book.Changes.__len__")
def test_length(benchmark: BenchmarkFixture) -> None:
    assert benchmark(len, two_changes(100)[0]) > 10
