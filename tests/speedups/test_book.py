"""The compiled book against plain dicts, and against Binance's recorded best bid and ask."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sortedcontainers import SortedDict  # type: ignore[import-untyped]  # it ships no types

from _speedups.book import Book, Changes
from _speedups.text import number

Level = list[float]
Side = dict[float, float]


def reference_checksum(bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int:
    """What a client computes after each update to know that its book is the server's.

    Levels are [price, size], best first, as text: exactly the characters that stand in the JSON, as
    `json.loads(data, parse_float=str, parse_int=str)` gives them. Take the 10 best asks from low to high, then the 10
    best bids from high to low; of each the price and then the size; remove the point, then leading zeros. Join all of
    it without separators. The checksum is the CRC-32 (of zlib, gzip, PNG) of these ASCII bytes, unsigned.
    """
    text = ""
    for price, size in [*asks[:10], *bids[:10]]:
        text += price.replace(".", "").lstrip("0")
        text += size.replace(".", "").lstrip("0")
    return zlib.crc32(text.encode("ascii"))


def texts(levels: list[Level]) -> list[list[str]]:
    return [[number(value) for value in level] for level in levels]


def listed(side: Side, *, reverse: bool) -> list[Level]:
    return [[price, side[price]] for price in sorted(side, reverse=reverse)]


def applied(side: Side, levels: Sequence[Sequence[float]]) -> Side:
    """What a client does with changed levels."""
    result = dict(side)
    for price, size in levels:
        if size:
            result[price] = size
        else:
            result.pop(price, None)
    return result


class Model:
    """A book of plain dicts that says which prices were touched."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: tuple[Side, Side] = ({}, {})

    def replace(self, *states: list[Level]) -> list[list[Level]] | None:
        sides, touched = [], []
        for now, levels in zip(self.sides, states, strict=True):
            new = dict([(price, size) for price, size in levels if size][: self.depth])
            touched.append({price: new.get(price, 0) for price in now.keys() | new if now.get(price) != new.get(price)})
            sides.append(new)
        self.sides = (sides[0], sides[1])
        return [listed(touched[0], reverse=True), listed(touched[1], reverse=False)] if any(touched) else None

    def levels(self) -> list[list[Level]]:
        return [listed(self.sides[0], reverse=True), listed(self.sides[1], reverse=False)]


PRICES = st.integers(1, 12).map(lambda ticks: ticks / 4) | st.floats(min_value=5e-324, allow_infinity=False)
SIZES = st.sampled_from([0.0, 0.00001, 1.0, 2.5, 7]) | st.floats(min_value=0, allow_infinity=False)
SIDES = st.dictionaries(PRICES, SIZES, max_size=14)
BIDS = SIDES.map(lambda side: listed(side, reverse=True))
ASKS = SIDES.map(lambda side: listed(side, reverse=False))
STATES = st.tuples(BIDS, ASKS)


def parsed(data: bytes) -> Any:
    """Numbers as the doubles they stand for, whatever their size."""
    return json.loads(data, parse_int=float)


def levels_of(changes: Changes | None) -> list[list[Level]] | None:
    if changes is None:
        return None
    data = parsed(changes.data("BTC/USDT", "sim", 0, 0))
    assert len(changes) == len(data["bids"]) + len(data["asks"])
    return [data["bids"], data["asks"]]


@given(st.integers(1, 13), st.lists(STATES, max_size=12))
def test_book_is_the_model(depth: int, states: list[tuple[list[Level], list[Level]]]) -> None:
    book, model = Book(depth), Model(depth)
    for bids, asks in states:
        assert levels_of(book.replace(bids, asks)) == model.replace(bids, asks)
        data = parsed(book.snapshot("BTC/USDT", "sim"))
        assert [data["bids"], data["asks"]] == model.levels()
        assert data["checksum"] == book.checksum() == reference_checksum(*map(texts, model.levels()))
        assert book.replace(bids, asks) is None


@given(st.integers(1, 13), st.lists(STATES, min_size=1, max_size=8))
def test_changes_lead_from_any_state_between_to_the_last(
    depth: int, states: list[tuple[list[Level], list[Level]]]
) -> None:
    book, model = Book(depth), Model(depth)
    passed = [model.sides]
    merged: Changes | None = None
    for bids, asks in states:
        later = book.replace(bids, asks)
        model.replace(bids, asks)
        passed.append(model.sides)
        if later and merged:
            before = levels_of(merged), levels_of(later)
            both = merged.merged(later)
            assert (levels_of(merged), levels_of(later)) == before
            merged = both
        else:
            merged = merged or later
    bids, asks = levels_of(merged) or ([], [])
    for side in passed:
        assert (applied(side[0], bids), applied(side[1], asks)) == passed[-1]


def test_wire_text() -> None:
    book = Book(2)
    bids: list[list[float]] = [[61837.0, 0.00001], [61836.5, 2]]
    changes = book.replace(bids, [(61838.25, 1.10, 1723161255), [61839.0, 3.0], [61840.0, 4.0]])
    crc = zlib.crc32(b"".join([b"6183825", b"11", b"61839", b"3", b"61837", b"1", b"618365", b"2"]))
    sides = b'"bids":[[61837,0.00001],[61836.5,2]],"asks":[[61838.25,1.1],[61839,3]]'
    assert book.checksum() == crc
    assert book.snapshot("BTC/USDT", "sim") == (
        b'{"symbol":"BTC/USDT","exchange":"sim",%s,"checksum":%d}' % (sides, crc)
    )
    as_text = json.loads(book.snapshot("BTC/USDT", "sim"), parse_float=str, parse_int=str)
    assert reference_checksum(as_text["bids"], as_text["asks"]) == crc
    assert changes is not None
    assert changes.data("BTC/USDT", "sim", 41, 4294967295) == (
        b'{"symbol":"BTC/USDT","exchange":"sim",%s,"prev_sequence":41,"checksum":4294967295}' % sides
    )


def test_a_level_leaves_and_enters_the_view() -> None:
    book = Book(2)
    state = [[9.0, 1.0], [8.0, 1.0], [7.0, 1.0]]
    book.replace(state, [])
    assert levels_of(book.replace([[10.0, 1.0], *state], [])) == [[[10, 1], [8, 0]], []]
    assert levels_of(book.replace(state, [])) == [[[10, 0], [8, 1]], []]


def test_a_touched_level_stays_at_its_old_size() -> None:
    book = Book(2)
    book.replace([[9.0, 1.0]], [])
    there = book.replace([[9.0, 5.0]], [])
    back = book.replace([[9.0, 1.0]], [])
    assert there is not None
    assert back is not None
    assert levels_of(there.merged(back)) == [[[9, 1]], []]


def test_changes_merged_with_themselves_stay() -> None:
    book = Book(2)
    changes = book.replace([[9.0, 1.0]], [[10.0, 1.0]])
    assert changes is not None
    assert levels_of(changes.merged(changes)) == [[[9, 1]], [[10, 1]]]


@pytest.mark.parametrize(
    ("bids", "why"),
    [
        ([[2.0, 1.0], [2.0, 3.0]], r"bids\[1\].*each price once"),
        ([[1.0, 1.0], [2.0, 3.0]], r"bids\[1\].*in order"),
        ([[2.0, 1.0], [math.nan, 1.0]], r"bids\[1\].*price"),
        ([[math.inf, 1.0]], r"bids\[0\].*price"),
        ([[0.0, 1.0]], "price that is not positive"),
        ([[-1.0, 1.0]], "price that is not positive"),
        ([[1.0, math.nan]], "size"),
        ([[1.0, math.inf]], "size"),
        ([[1.0, -1e-9]], "size that is negative"),
        ([[1.0]], "numbers"),
        ([[]], "numbers"),
        ([1.0], "numbers"),
        ([None], "numbers"),
        ("12", "numbers"),
        ([["1", "2"]], "numbers"),
        ([[1.0, None]], "numbers"),
        ([[10**400, 1.0]], "numbers"),
    ],
)
def test_a_refusal_changes_nothing(bids: Any, why: str) -> None:
    book = Book(5)
    book.replace([[9.0, 2.0]], [[10.0, 1.0]])
    before = book.snapshot("S", "x")
    for arguments, pattern in (((bids, [[11.0, 1.0]]), why), (([[8.0, 1.0]], [[11.0, math.nan]]), r"asks\[0\].*size")):
        with pytest.raises(ValueError, match=pattern):
            book.replace(*arguments)
    assert book.snapshot("S", "x") == before
    assert levels_of(book.replace([[9.0, 3.0]], [[10.0, 1.0]])) == [[[9, 3]], []]


def test_what_is_no_sequence_is_a_type_error() -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match="asks must be a sequence"):
        Book(5).replace([], nothing)
    with pytest.raises(TypeError, match=r"Book.replace"):
        Changes()
    with pytest.raises(ValueError, match="depth"):
        Book(0)


def test_levels_beyond_the_depth_are_not_looked_at() -> None:
    junk: Any = [[9.0, 0.0], [8.0, 1.0], "junk"]
    book = Book(1)
    book.replace(junk, [])
    assert b'"bids":[[8,1]],"asks":[]' in book.snapshot("S", "x")


# The recorded session


def recorded(folder: Path) -> Iterator[dict[str, Any]]:
    for name in ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"):
        with gzip.open(folder / "binance-raw-2024" / name, "rt") as lines:
            for line in lines:
                yield json.loads(line.split(" ", 1)[1])


class Upstream:
    """A book by Binance's procedure: buffer diffs, take the snapshot, apply what follows it without a hole."""

    def __init__(self) -> None:
        self.bids: SortedDict[float, Level] = SortedDict()  # by negated price: best first
        self.asks: SortedDict[float, Level] = SortedDict()
        self.update_id = 0
        self.early: list[dict[str, Any]] = []

    def snapshot(self, message: dict[str, Any]) -> None:
        self.update_id = message["lastUpdateId"]
        self.store(message["bids"], message["asks"])
        for diff in self.early:
            self.diff(diff)

    def diff(self, data: dict[str, Any]) -> bool:
        """Whether it was applied."""
        if not self.update_id:
            self.early.append(data)
        if not self.update_id or data["u"] <= self.update_id:
            return False
        assert data["U"] <= self.update_id + 1, "a hole in the recording"
        self.store(data["b"], data["a"])
        self.update_id = data["u"]
        return True

    def store(self, bids: list[list[str]], asks: list[list[str]]) -> None:
        for side, levels, sign in ((self.bids, bids, -1), (self.asks, asks, 1)):
            for price, size in levels:
                if float(size):
                    side[sign * float(price)] = [float(price), float(size)]
                else:
                    side.pop(sign * float(price), None)


def test_recorded_book_is_the_recorded_best_bid_and_ask(recorded_data: Path) -> None:
    depth = 100
    upstream, book = Upstream(), Book(depth)
    client: list[Side] = [{}, {}]
    quotes: dict[int, tuple[float, ...]] = {}
    bests: dict[int, tuple[float, ...]] = {}
    for message in recorded(recorded_data):
        data = message.get("data", message)
        if "lastUpdateId" in data:
            upstream.snapshot(data)
        elif "B" in data:
            quotes[data["u"]] = (float(data["b"]), float(data["B"]), float(data["a"]), float(data["A"]))
        elif data["e"] == "depthUpdate" and upstream.diff(data):
            changes = book.replace(
                list(itertools.islice(upstream.bids.values(), depth + 1)),
                list(itertools.islice(upstream.asks.values(), depth + 1)),
            )
            if changes is not None:
                update = parsed(changes.data("BTC/USDT", "sim", 0, book.checksum()))
                client = [applied(client[0], update["bids"]), applied(client[1], update["asks"])]
                levels = listed(client[0], reverse=True), listed(client[1], reverse=False)
                assert update["checksum"] == reference_checksum(*map(texts, levels))
                assert (len(levels[0]), len(levels[1])) == (depth, depth)
            bests[data["u"]] = (*levels[0][0], *levels[1][0])
    shared = quotes.keys() & bests.keys()
    assert len(shared) == 1072
    assert all(quotes[update_id] == bests[update_id] for update_id in shared)
    final = parsed(book.snapshot("BTC/USDT", "sim"))
    assert [final["bids"], final["asks"]] == [listed(client[0], reverse=True), listed(client[1], reverse=False)]
