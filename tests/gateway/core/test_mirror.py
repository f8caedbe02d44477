"""A worker's copy of a stream: what it tells is what the first process would."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from _speedups.book import Book
from _speedups.fanout import Fanout
from gateway.core.key import Key, StreamId, stream_id
from gateway.core.mirror import FOLD_AFTER, Known, Mirror, Waiting, folded
from gateway.limits import Limits
from tests.gateway.core.hub_parts import BOOK, KEY, TRADES, HandClock
from tests.speedups.fanout_parts import JsonForm, Message, Peer

FORM = JsonForm()
LEVELS = st.dictionaries(st.integers(1, 20), st.sampled_from([1, 2.5, 0.001]), max_size=8)


class Copy:
    """A mirror, and somebody to read it."""

    def __init__(self, wanted: StreamId, sequence: int = 0, known: Known | None = None) -> None:
        self.clock = HandClock()
        self.fanout = Fanout(self.clock.call_soon, self.clock.call_later)
        self.mirror = Mirror(self.fanout, Limits(), wanted, "e1", sequence, known)
        self.failed: list[Peer] = []

    def tell(self, sequence: int, data: object, *, is_whole: bool = False) -> None:
        raw = data if isinstance(data, bytes) else orjson.dumps(data)
        self.mirror.publish(Known(sequence, raw, None, 1), is_whole=is_whole)

    def join(
        self,
        epoch: str,
        sequence: int,
        *,
        snapshot: bool = True,
        resume: tuple[str, int] | None = None,
        replay: bool = True,
    ) -> Peer:
        peer = Peer(self.fanout)

        def failed() -> None:
            self.failed.append(peer)

        self.mirror.attach(Waiting(peer.outbox, FORM, epoch, sequence, resume, snapshot, failed, replay))
        return peer

    def read(self, peer: Peer) -> list[Message]:
        self.clock.settle()
        return peer.read()


def test_who_is_told_a_number_that_has_not_come_waits_for_it() -> None:
    copy = Copy(stream_id(TRADES))
    peer = copy.join("e1", 2)
    copy.tell(1, "a")
    copy.tell(2, "b")
    assert copy.read(peer) == []
    copy.tell(3, "c")
    assert [(each["s"], each["d"]) for each in copy.read(peer)] == [(3, "c")]


def test_who_is_told_a_number_that_has_passed_gets_what_came_since() -> None:
    copy = Copy(stream_id(TRADES))
    for number in range(1, 5):
        copy.tell(number, number)
    assert [each["s"] for each in copy.read(copy.join("e1", 2))] == [3, 4]


def test_who_waits_when_the_epoch_ends_is_told_that_it_has() -> None:
    copy = Copy(stream_id(TRADES))
    before, after = copy.join("e1", 5), copy.join("e2", 1)
    copy.mirror.reset("e2", "upstream")
    assert [(each["gap"], each["new"]) for each in copy.read(before)] == [([6, 6], "e2")]
    copy.tell(1, "a")
    copy.tell(2, "b")
    assert [each["s"] for each in copy.read(after)] == [2]


@pytest.mark.parametrize("epoch", ["e1", "e0"])
def test_who_wants_the_newest_only_is_told_what_lies_before_it(epoch: str) -> None:
    copy = Copy(stream_id(KEY))
    copy.tell(1, "a")
    peer = copy.join("e1", 4, resume=(epoch, 0), replay=False)
    for number in range(2, 6):
        copy.tell(number, number)
    ended = [] if epoch == "e1" else [([1, 1], "e1")]
    told = copy.read(peer)
    assert [(each["gap"], each["new"]) for each in told if "gap" in each] == [*ended, ([1, 3], None)]
    assert [(each["s"], each["d"]) for each in told if "s" in each] == [(4, 4), (5, 5)]


def test_who_wants_the_newest_only_is_told_of_it_when_it_does_not_come() -> None:
    copy = Copy(stream_id(KEY))
    copy.tell(1, "a")
    passed, met = copy.join("e1", 4, resume=("e1", 1), replay=False), copy.join("e1", 5, resume=("e1", 1), replay=False)
    copy.mirror.skip(5)
    copy.tell(6, "z")
    for peer in (passed, met):
        told = copy.read(peer)
        assert [each["gap"] for each in told if "gap" in each] == [[2, 5]]
        assert [(each["s"], each["d"]) for each in told if "s" in each] == [(6, "z")]


def test_who_goes_while_they_wait_is_forgotten() -> None:
    copy = Copy(stream_id(TRADES))
    first, second, third = (copy.join("e1", 1) for _ in range(3))
    copy.mirror.detach(first.outbox, FORM)
    copy.mirror.gone(second.outbox)
    third.outbox.discard()
    third.outbox.finish(b"")
    copy.mirror.gone(third.outbox)
    copy.tell(1, "a")
    assert copy.mirror.stream.subscribers == 0


def test_who_cannot_be_let_in_does_not_keep_the_others_out() -> None:
    copy = Copy(stream_id(TRADES))
    before, bad, after = (copy.join("e1", 1) for _ in range(3))
    bad.outbox.discard()
    with capture_logs() as logs:
        copy.tell(1, "a")
        copy.tell(2, "b")
    assert [[each["s"] for each in copy.read(peer)] for peer in (before, after)] == [[2], [2]]
    assert copy.failed == [bad]
    assert [entry["event"] for entry in logs] == ["a socket cannot be given a stream"]


def test_numbers_that_do_not_come_are_announced_and_the_state_follows() -> None:
    copy = Copy(stream_id(KEY))
    peer = copy.join("e1", 0)
    copy.tell(1, "a")
    waits = copy.join("e1", 4, resume=("e1", 1))
    copy.mirror.skip(6)
    assert copy.mirror.state() is None
    copy.tell(7, "z")
    for reader, seen in ((peer, [(1, "a")]), (waits, [])):
        told = copy.read(reader)
        assert [(each["s"], each["d"]) for each in told if "s" in each] == [*seen, (7, "z")]
        assert [each["gap"] for each in told if "gap" in each] == [[2, 6]]
    copy.mirror.skip(3)
    assert copy.read(peer) == []


def test_a_new_epoch_knows_nothing_of_the_state_before() -> None:
    copy = Copy(stream_id(KEY))
    copy.tell(1, "a")
    copy.mirror.reset("e2", "upstream")
    assert copy.mirror.state() is None
    assert copy.read(copy.join("e2", 0)) == []


def test_a_number_out_of_place_is_refused_and_one_that_is_known_is_not_told_again() -> None:
    copy = Copy(stream_id(KEY), 7)
    peer = copy.join("e1", 7)
    with pytest.raises(ValueError, match="number 9 comes where 8 is next"):
        copy.tell(9, "a")
    copy.tell(7, "a")
    assert copy.read(peer) == []


@pytest.mark.parametrize(
    ("wanted", "told", "state"),
    [
        (stream_id(KEY), [b"1", b"2"], b"2"),
        (stream_id(KEY, batch=True), [b"[1]", b"[2,{}]"], b"[{}]"),
        (stream_id(TRADES), [b"1", b"2"], None),
        (stream_id(Key("sim", "bars", "BTC/USDT", "1m")), [], None),
    ],
)
def test_the_state_is_what_was_told_last(wanted: StreamId, told: list[bytes], state: bytes | None) -> None:
    copy = Copy(wanted)
    for number, data in enumerate(told, 1):
        copy.tell(number, data)
    found = copy.mirror.state()
    assert (None if found is None else found[0]) == state


@settings(max_examples=40, deadline=None)
@given(
    states=st.lists(st.tuples(LEVELS, LEVELS), min_size=2, max_size=12),
    batch=st.booleans(),
    begins=st.booleans(),
    gap=st.integers(0, 12),
)
def test_the_state_of_a_book_is_the_book(
    states: list[tuple[dict[int, float], dict[int, float]]], batch: bool, begins: bool, gap: int
) -> None:
    """Through updates, from the first number or a state that was told, and over numbers that were left out."""
    book = Book(5)
    copy: Copy | None = None
    number = 0
    for at, (bids, asks) in enumerate(states):
        changes = book.replace(
            sorted(([price / 100, size] for price, size in bids.items()), reverse=True),
            sorted([100 + price / 100, size] for price, size in asks.items()),
        )  # fmt: skip
        if changes is None:
            continue
        number += 1
        whole = book.snapshot("BTC/USDT", "sim")
        wrapped = b"[" + whole + b"]" if batch else whole
        if copy is None:
            known = None if begins else Known(number, wrapped, None, 1)
            copy = Copy(stream_id(BOOK, batch=batch), number - begins, known)
            if begins:
                copy.tell(number, wrapped, is_whole=True)
        elif at == gap:
            copy.mirror.skip(number - 1)
            copy.tell(number, wrapped, is_whole=True)
        else:
            data = changes.data("BTC/USDT", "sim", number - 1, book.checksum())
            copy.tell(number, b"[" + data + b"]" if batch else data)
        state = copy.mirror.state()
        assert state is not None
        assert state[0] == wrapped


def test_a_book_that_nobody_asks_for_is_folded_as_it_goes() -> None:
    book = Book(3)
    book.replace([[10, 1]], [[11, 1]])
    copy = Copy(stream_id(BOOK))
    copy.tell(1, book.snapshot("BTC/USDT", "sim"), is_whole=True)
    for number in range(2, 3 * FOLD_AFTER):
        changes = book.replace([[10, number]], [[11, 1]])
        assert changes is not None
        copy.tell(number, changes.data("BTC/USDT", "sim", number - 1, book.checksum()))
        assert len(copy.mirror._touched) < FOLD_AFTER
    state = copy.mirror.state()
    assert state is not None
    assert state[0] == book.snapshot("BTC/USDT", "sim")


def test_numbers_of_a_book_stay_as_they_are_written() -> None:
    book = Book(3)
    book.replace([[0.0000001, 1.25]], [[11, 1e15]])
    before = book.snapshot("A/B", "x")
    changes = book.replace([[0.0000002, 3], [0.0000001, 1.25]], [[12.5, 1]])
    assert changes is not None
    after = folded(before, [changes.data("A/B", "x", 1, book.checksum())])
    assert after == book.snapshot("A/B", "x")
