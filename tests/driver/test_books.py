"""Books by snapshot and changes, against a plain model and the checksum of docs/protocol.md."""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver import books
from driver.books import Book, checksum, digits

PRICES = st.integers(1, 400).map(lambda number: number / 8)
SIZES = st.sampled_from([0, 1, 61837, 0.00001, 1.5e-7, 2.25, 0.1, 1e22])
Side = dict[float, float]
LEVELS = st.dictionaries(PRICES, SIZES, max_size=30)


def text_of(number: float) -> str:
    return f"{Decimal(repr(number)):f}".removesuffix(".0")


def reference(bids: dict[float, float], asks: dict[float, float]) -> int:
    """As the Python of docs/protocol.md does it."""
    best = sorted(asks.items())[:10] + sorted(bids.items(), reverse=True)[:10]
    text = "".join(text_of(number).replace(".", "").lstrip("0") for level in best for number in level)
    return zlib.crc32(text.encode("ascii"))


def message(kind: str, sequence: int, bids: Any, asks: Any, expected: int) -> dict[str, Any]:
    data = {"bids": bids, "asks": asks, "checksum": expected}
    read: dict[str, Any] = json.loads(json.dumps({"kind": kind, "sequence": sequence, "data": data}))
    return {**read, "t_ex": 1_000, "t_in": 2_000_000_000, "timestamp": "1970-01-01T00:00:01.000Z"}


@given(st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_digits_are_those_of_the_shortest_decimal(number: float) -> None:
    assert digits(number) == text_of(number).replace(".", "").lstrip("0")


@given(st.lists(st.tuples(st.booleans(), LEVELS, LEVELS), min_size=1))
def test_a_book_is_what_a_dictionary_would_hold(
    steps: list[tuple[bool, dict[float, float], dict[float, float]]],
) -> None:
    book, bids, asks = Book("BTC/USDT"), dict[float, float](), dict[float, float]()
    for sequence, (is_snapshot, bid_levels, ask_levels) in enumerate(steps, 1):
        whole = is_snapshot or sequence == 1
        if whole:
            bids.clear()
            asks.clear()
        for side, levels in ((bids, bid_levels), (asks, ask_levels)):
            for price, size in levels.items():
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        sent = (sorted(bids.items(), reverse=True), sorted(asks.items())) if whole else (
            list(bid_levels.items()), list(ask_levels.items())
        )  # fmt: skip
        kind = "snapshot" if whole else "update"
        assert book.apply(message(kind, sequence, *sent, reference(bids, asks)))
        assert book.verify()
        assert list(book.ccxt["bids"]) == [list(level) for level in sorted(bids.items(), reverse=True)]
        assert list(book.ccxt["asks"]) == [list(level) for level in sorted(asks.items())]
        assert book.ccxt["nonce"] == sequence


def test_another_book_than_the_servers_is_noticed_once() -> None:
    book = Book("BTC/USDT")
    assert book.apply(message("snapshot", 1, [[1, 2]], [[3, 4]], 12345))
    assert not book.verify()
    assert book.verify()  # said


def test_changes_without_a_snapshot_are_refused() -> None:
    book = Book("BTC/USDT")
    assert not book.apply(message("update", 2, [[1, 2]], [], 0))
    assert not book.ccxt["bids"]


def test_a_void_book_is_empty_and_stays_the_same_object() -> None:
    book = Book("BTC/USDT")
    held, bids = book.ccxt, book.ccxt["bids"]
    assert book.apply(message("snapshot", 1, [[1, 2]], [], checksum([], [[1.0, 2.0]])))
    assert list(bids) == [[1.0, 2.0]]
    book.void()
    assert held is book.ccxt
    assert (list(bids), held["symbol"], held["nonce"]) == ([], "BTC/USDT", None)


def test_the_time_is_the_gateways_where_the_exchange_says_none() -> None:
    book = Book("BTC/USDT")
    book.apply({**message("snapshot", 1, [], [], 0), "t_ex": None})
    assert book.ccxt["timestamp"] == 2_000


def test_remembered_digits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "TEXTS_MAX", 10)
    for number in range(100):
        checksum([[float(number), 1.5]], [])
    assert len(books._texts) <= 10
