"""A worker's client against one of the first process: the same numbers, in the same order, whatever happens between."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from structlog.testing import capture_logs

from _speedups.book import Book
from _speedups.frame import OP_TEXT, encode
from gateway.core.key import Key, stream_id
from gateway.limits import Limits
from gateway.net.links import ROOM
from gateway.wire import link
from tests.gateway.core.hub_parts import BOOK, KEY, TRADES
from tests.gateway.net.linked import Client, Pair
from tests.speedups.fanout_parts import Listener, Message, Peer


def joined(pair: Pair) -> Client:
    client = Client(pair)
    pair.carry()
    return client


def test_the_answer_goes_before_the_snapshot_and_updates_follow_with_the_same_numbers() -> None:
    pair = Pair()
    peer = pair.desk.peer()
    pair.desk.hub.subscribe(peer.outbox, KEY, form=pair.desk.form)
    pair.desk.publish(1)
    pair.desk.publish(2)
    client = joined(pair)
    client.subscribe(KEY)
    pair.carry()
    pair.desk.publish(3)
    pair.carry()
    ack, *told = client.read()
    assert ack == {"ack": 2}
    assert [(each["s"], each["k"], each["d"]) for each in told] == [(2, "snapshot", 2), (3, "update", 3)]
    assert {each["e"] for each in told} == {each["e"] for each in pair.desk.read(peer)}
    assert pair.desk.source.log == [("acquire", KEY)]


@pytest.mark.parametrize("options", [{}, {"tier_ms": 100}, {"tier_ms": 50, "batch": True}])
def test_each_lane_has_the_numbers_it_has_in_the_first_process(options: dict[str, Any]) -> None:
    pair = Pair()
    client, peer = joined(pair), pair.desk.peer()
    pair.desk.hub.subscribe(peer.outbox, TRADES, form=pair.desk.form, **options)
    client.subscribe(TRADES, **options)
    pair.carry()
    for number in range(9):
        pair.desk.publish(number, TRADES)
        pair.desk.clock.advance(0.03)
        pair.carry()
    assert client.read()[1:] == pair.desk.read(peer) != []


def test_a_position_is_resumed_from_the_worker_s_own_ring() -> None:
    pair = Pair()
    first = joined(pair)
    first.subscribe(TRADES)
    for number in range(5):
        pair.desk.publish(number, TRADES)
    pair.carry()
    epoch = first.read()[1]["e"]
    again = joined(pair)
    at = again.subscribe(TRADES, resume=(epoch, 2))
    assert (at.recovered, at.replayed, at.sequence) == (True, 3, 2)
    pair.carry()
    assert [each["s"] for each in again.read()[1:]] == [3, 4, 5]


def test_numbers_are_sent_again_behind_the_reply_also_those_that_a_link_has_left_out() -> None:
    pair = Pair(Limits(queue_state_bytes=1, queue_append_bytes=1_000, queue_bytes_max=2_000))
    client = joined(pair)
    at = client.subscribe(TRADES)
    pair.carry()
    pair.down.slow = True
    for number in range(ROOM):
        pair.desk.publish([number] * 500, TRADES)
        pair.desk.clock.settle()
    pair.down.wake()
    pair.carry()
    missing = [each["gap"] for each in client.read() if "gap" in each]
    assert missing
    first, last = missing[0]
    count = pair.desk.hub.resend(client.outbox, at.id, first, last)
    pair.carry()
    assert client.read() == [], "they wait for the reply"
    client.outbox.reply(encode(OP_TEXT, msgspec.json.encode({"resent": count})))
    pair.carry()
    reply, *told = client.read()
    assert (reply, [each["s"] for each in told]) == ({"resent": 1}, [first])


def test_a_worker_that_comes_later_is_given_the_ring_so_that_a_resume_lands_anywhere() -> None:
    pair = Pair()
    peer = pair.desk.peer()
    pair.desk.hub.subscribe(peer.outbox, TRADES, form=pair.desk.form)
    for number in range(5):
        pair.desk.publish(number, TRADES)
    epoch = pair.desk.read(peer)[0]["e"]
    client = joined(pair)
    at = client.subscribe(TRADES, resume=(epoch, 1))
    assert (at.recovered, at.replayed) == (True, 4)
    pair.carry()
    assert [(each["s"], each["d"]) for each in client.read()[1:]] == [(2, 1), (3, 2), (4, 3), (5, 4)]


def test_a_stream_is_followed_once_and_for_a_while_after_the_last_reader() -> None:
    pair = Pair(Limits(linger_s=5.0))
    first, second = joined(pair), joined(pair)
    first.subscribe(KEY)
    second.subscribe(KEY)
    assert pair.desk.hub.subscribers() == {stream_id(KEY): 1}
    pair.carry()
    pair.desk.hub.unsubscribe(first.outbox, stream_id(KEY))
    second.outbox.discard()
    pair.carry()
    pair.desk.clock.advance(4.9)
    assert pair.link.streams == 1
    pair.desk.clock.advance(0.2)
    pair.carry()
    assert pair.link.streams == 0
    assert pair.worker.mirrors == {}
    pair.desk.clock.advance(5.1)
    assert pair.desk.source.keys == []


def test_a_link_that_was_behind_tells_a_gap_and_goes_on_from_the_newest_state() -> None:
    pair = Pair()
    client = joined(pair)
    at = client.subscribe(KEY)
    pair.carry()
    careful = Listener(at.epoch, at.sequence)
    pair.down.slow = True
    for number in range(3_000):
        pair.desk.publish([number] * 500)
        pair.desk.clock.settle()
    assert pair.link.outbox is not None
    assert pair.link.outbox.queued_bytes <= ROOM * pair.desk.limits.queue_state_bytes
    pair.down.wake()
    pair.carry()
    careful.take(client.read()[1:])
    assert (careful.sequence, careful.newest) == (3_000, [2_999] * 500)
    assert careful.skipped


def test_each_number_that_a_link_leaves_out_is_announced_also_to_whose_answer_has_waited() -> None:
    pair = Pair(Limits(queue_state_bytes=1, queue_append_bytes=1))
    first, client = joined(pair), joined(pair)
    first.subscribe(KEY)
    client.held.pause_writing()
    pair.carry()
    at = client.subscribe(KEY)
    careful = Listener(at.epoch, at.sequence)
    pair.down.slow = True
    for number in range(1, 8):
        pair.desk.publish([number] * 50)
        pair.desk.clock.settle()
        if number == 4:  # which is the newest when the answer leaves, and never comes
            client.held.resume_writing()
            pair.link.data_received(pair.up.take())
    pair.down.wake()
    pair.carry()
    ack, *told = client.read()
    assert ack == {"ack": at.sequence}
    careful.take(told)
    assert (careful.sequence, careful.newest) == (7, [7] * 50)


def test_the_first_process_loses_a_worker_and_all_its_clients_with_it() -> None:
    pair = Pair()
    client = joined(pair)
    client.subscribe(KEY)
    pair.carry()
    pair.link.connection_lost(ConnectionResetError())
    assert client.happened == ["lost"]
    assert pair.link.conns == {}
    assert pair.desk.hub.subscribers() == {stream_id(KEY): 0}
    client.outbox.discard()
    pair.link.connection_lost(None)
    assert client.happened == ["lost"]


class Broken(Client):
    def connection_lost(self, exc: Exception | None) -> None:
        raise RuntimeError("a bug")


def test_one_that_fails_at_the_end_of_a_worker_does_not_keep_it_from_the_others() -> None:
    pair = Pair()
    clients = [Broken(pair), Client(pair), Broken(pair), Client(pair)]
    with capture_logs() as logs:
        pair.link.connection_lost(None)
    assert [client.happened for client in clients] == [[], ["lost"], [], ["lost"]]
    assert [entry["event"] for entry in logs] == ["a worker's socket failed: it is dropped"] * 2


def test_bad_bytes_end_the_link() -> None:
    pair = Pair()
    pair.link.data_received(link.framed(b"?"))
    assert pair.down.ends == ["abort"]
    pair.worker.data_received(link.framed(b"Uno update"))
    assert pair.up.ends == ["abort"]


def assert_alike(here: list[Message], there: list[Message]) -> None:
    """The same. Only who was still to be let in by the copy when an epoch ended hears `resync` as the reason."""
    for mine, its in zip(here, there, strict=True):
        assert its in ([mine, {**mine, "why": "resync"}] if "gap" in mine else [mine])


class Reader(Listener):
    """A careful client; of a book it keeps the levels, which are `newest`."""

    def __init__(self, key: Key, epoch: str, sequence: int) -> None:
        super().__init__(epoch, sequence)
        self._is_book = key == BOOK

    def take(self, messages: list[Message]) -> None:
        for message in messages:
            before = self.newest
            super().take([message])
            if self._is_book:
                self.newest = self._kept(message, before)

    def _kept(self, message: Message, before: Any) -> Any:
        if "gap" in message:
            return None
        sides = {side: dict(message["d"][side]) for side in ("bids", "asks")}
        if message["k"] == "snapshot":
            return sides
        if before is None:
            return None  # it changes what nobody has told
        return {side: {price: size for price, size in (before[side] | sides[side]).items() if size} for side in sides}


SOME_KEY = st.runner().flatmap(lambda machine: st.sampled_from(machine.KEYS))


class Twins(RuleBasedStateMachine):
    """Pairs of clients that ask the same: one of the first process, one of its worker."""

    KEYS: tuple[Key, ...] = (KEY, TRADES, Key("sim", "quotes", "ETH/USDT"))
    LIMITS = Limits(ring_depth_updates=8, resend_updates_max=8, linger_s=1.0)

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(self.LIMITS)
        self.value = 0
        self.book = Book(5)
        self.twins: dict[Key, tuple[Peer, Client, Reader, list[Message], list[Message]]] = {}
        self.first: dict[Key, Reader] = {}  # what the twin in the first process has come to
        self.left: dict[Key, tuple[str, int]] = {}

    @rule(key=SOME_KEY, count=st.integers(1, 12))
    def publish(self, key: Key, count: int) -> None:
        for _ in range(count):
            self.value += 1
            if key == BOOK:
                self.change(self.value)
            else:
                self.pair.desk.publish(self.value, key)

    def change(self, value: int) -> None:
        """Levels come, change and go."""
        bids: list[list[float]] = [[100 - each, value % 3 + 1] for each in range(7) if value >> each % 3 & 1]
        bids.insert(0, [100.5, value])
        asks: list[list[float]] = [[101 + each, value] for each in range(value % 4)]
        changes = self.book.replace(bids, asks)
        assert changes is not None
        self.pair.desk.hub.publish_book(BOOK, changes, self.book, t_ex=None, t_in=1)

    @rule(key=SOME_KEY)
    def lose(self, key: Key) -> None:
        if key == BOOK:
            self.book = Book(5)
        self.pair.desk.hub.lost(key, "exchange_reconnect")

    @rule(key=SOME_KEY, resumes=st.booleans(), snapshot=st.booleans())
    def join(self, key: Key, resumes: bool, snapshot: bool) -> None:
        if key in self.twins:
            return
        resume = self.left.get(key) if resumes else None
        self.read()
        peer, client = self.pair.desk.peer(), joined(self.pair)
        here = self.pair.desk.hub.subscribe(
            peer.outbox, key, form=self.pair.desk.form, resume=resume, snapshot=snapshot
        )
        there = client.subscribe(key, resume=resume, snapshot=snapshot)
        assert here == there
        stands = resume if resume is not None else (here.epoch, here.sequence)
        self.twins[key] = (peer, client, Reader(key, *stands), [], [])
        self.first[key] = Reader(key, *stands)
        if resume is not None:
            self.arrive()

    def arrive(self) -> None:
        """An epoch that ends while a resume is on its way may cost one of the two what the other still gets."""
        self.bring()

    @precondition(lambda self: self.twins)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.twins)))
        self.same()
        peer, client, careful, _, _ = self.twins.pop(key)
        self.left[key] = (careful.epoch, careful.sequence)
        peer.outbox.discard()
        client.outbox.discard()

    @rule(seconds=st.sampled_from([0.1, 1.5]))
    def wait(self, seconds: float) -> None:
        self.pair.desk.clock.advance(seconds)

    @rule()
    def stall(self) -> None:
        """The link takes no more than one write: what is asked overtakes what streams bring."""
        self.pair.down.slow = True

    @rule()
    def wake(self) -> None:
        self.pair.down.wake()

    @rule()
    def carry(self) -> None:
        self.pair.carry()
        self.read()

    @rule()
    def same(self) -> None:
        """Once all was carried over, both have read the same, and what a careful client accepts."""
        self.bring()
        for _, _, careful, here, there in self.twins.values():
            assert_alike(here, [each for each in there if "ack" not in each])
            assert "ack" in there[0] if there else not here
            careful.take(here)
            here.clear()
            there[1:] = []

    def bring(self) -> None:
        self.pair.down.wake()
        self.pair.carry()
        self.read()

    def read(self) -> None:
        self.pair.desk.clock.settle()
        for peer, client, _, here, there in self.twins.values():
            here.extend(peer.read())
            there.extend(client.read())

    def teardown(self) -> None:
        self.same()


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


class Behind(Twins):
    """A link with next to no room, which stalls: what does not come is announced, and the newest state comes."""

    LIMITS = Limits(ring_depth_updates=8, resend_updates_max=8, linger_s=1.0, queue_state_bytes=1, queue_append_bytes=1)

    def arrive(self) -> None:
        """It may come whenever it comes."""

    @rule()
    def same(self) -> None:
        self.bring()
        for key, (_, _, careful, here, there) in self.twins.items():
            careful.take([each for each in there if "ack" not in each])
            first = self.first[key]
            first.take(here)
            assert (careful.epoch, careful.sequence) == (first.epoch, first.sequence)
            is_known = bool(first.seen) and first.seen[-1] == (first.epoch, first.sequence)
            if key == BOOK:  # who has resumed without a hole has a state of its own
                is_known = careful.newest is not None if not careful.skipped else first.newest is not None
            if key != TRADES and is_known:
                assert careful.newest == first.newest
            here.clear()
            there[1:] = []


TestBehind = Behind.TestCase
TestBehind.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


class Books(Behind):
    """A book, whose state a worker keeps by itself, mostly for somebody who stays."""

    KEYS = (BOOK,)
    LIMITS = Twins.LIMITS

    @initialize(here=st.booleans(), there=st.booleans())
    def stay(self, here: bool, there: bool) -> None:
        if here:
            self.pair.desk.hub.subscribe(self.pair.desk.peer().outbox, BOOK, form=self.pair.desk.form)
        if there:
            joined(self.pair).subscribe(BOOK)


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


class BooksBehind(Books):
    """And with next to no room."""

    LIMITS = Behind.LIMITS


TestBooksBehind = BooksBehind.TestCase
TestBooksBehind.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
