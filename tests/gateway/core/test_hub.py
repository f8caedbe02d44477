"""One watch a key, lanes that linger, positions that resume: the hub against a recording source."""

from __future__ import annotations

import gc
import weakref
from collections import Counter

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.core.key import EVERY, OWN, Key, StreamId, stream_id
from gateway.core.tiers import Item
from gateway.errors import TickwireError
from gateway.limits import Limits
from tests.gateway.core.hub_parts import KEY, TRADES, Desk
from tests.speedups.fanout_parts import JsonForm, Peer


def test_a_thousand_subscribers_of_all_tiers_are_one_watch() -> None:
    desk = Desk()
    for number in range(1000):
        desk.hub.subscribe(desk.peer().outbox, KEY, form=desk.form, tier_ms=(0, 50, 100)[number % 3])
    assert desk.source.keys == [KEY]
    assert desk.hub.subscribers() == {
        stream_id(KEY): 334,
        stream_id(KEY, 50): 333,
        stream_id(KEY, 100): 333,
    }


def test_what_is_settled_has_left_before_the_next_turn_of_the_loop() -> None:
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form)
    desk.hub.publish(KEY, b"1", t_ex=None, t_in=0)
    desk.hub.settle()
    assert [message["d"] for message in peer.read()] == [1]


def test_the_watch_ends_after_the_linger_time_and_not_before() -> None:
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form)
    peer.outbox.discard()
    desk.clock.advance(4.9)
    assert desk.source.keys == [KEY]
    desk.clock.advance(0.2)
    assert desk.source.keys == []
    assert desk.hub.subscribers() == {}


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("tier_ms", [0, 100])
def test_a_lane_that_ends_is_freed_without_the_collector(tier_ms: int, batch: bool) -> None:
    """The collector looks at what it has frozen once an hour: many who come and go must not gather until then."""
    desk = Desk()
    peer = desk.peer()
    gc.disable()
    try:
        desk.hub.subscribe(peer.outbox, TRADES, form=desk.form, tier_ms=tier_ms, batch=batch)
        lane = weakref.ref(desk.hub._topics[TRADES].lanes[stream_id(TRADES, tier_ms, batch=batch)])
        desk.publish(1, TRADES)
        desk.publish(2, TRADES)
        peer.outbox.discard()
        desk.clock.advance(6)
        assert lane() is None
    finally:
        gc.enable()


def test_who_comes_back_within_the_linger_time_resumes_without_a_new_watch() -> None:
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, TRADES, form=desk.form)
    desk.publish(1, TRADES)
    epoch = desk.read(peer)[0]["e"]
    peer.outbox.discard()
    desk.publish(2, TRADES)
    desk.clock.advance(3)
    again = desk.peer()
    subscribed = desk.hub.subscribe(again.outbox, TRADES, form=desk.form, resume=(epoch, 1))
    assert (subscribed.recovered, subscribed.replayed, subscribed.sequence) == (True, 1, 1)
    desk.clock.advance(10)
    assert desk.source.log == [("acquire", TRADES)]
    assert [message["d"] for message in desk.read(again)] == [2]


def test_after_the_linger_time_an_old_position_is_unknown() -> None:
    desk = Desk()
    peer = desk.peer()
    epoch = desk.hub.subscribe(peer.outbox, TRADES, form=desk.form).epoch
    peer.outbox.discard()
    desk.clock.advance(6)
    again = desk.peer()
    assert desk.hub.subscribe(again.outbox, TRADES, form=desk.form, resume=(epoch, 0)).recovered is False
    [gap] = desk.read(again)
    assert (gap["e"], gap["gap"], gap["why"]) == (epoch, [1, 1], "resync")


def test_a_newcomer_gets_the_state_unless_it_says_no() -> None:
    desk = Desk()
    first, second, third = desk.peer(), desk.peer(), desk.peer()
    desk.hub.subscribe(first.outbox, KEY, form=desk.form)
    desk.publish(1)
    desk.hub.subscribe(second.outbox, KEY, form=desk.form)
    desk.hub.subscribe(third.outbox, KEY, form=desk.form, snapshot=False)
    assert [(message["k"], message["s"], message["d"]) for message in desk.read(second)] == [("snapshot", 1, 1)]
    assert desk.read(third) == []


def test_a_second_subscription_of_the_same_stream_is_refused() -> None:
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form)
    with pytest.raises(ValueError, match="already"):
        desk.hub.subscribe(peer.outbox, KEY, form=desk.form)


def test_a_socket_that_is_closing_leaves_no_watch_behind() -> None:
    desk = Desk()
    peer = desk.peer()
    peer.outbox.finish(b"")
    with pytest.raises(ValueError, match="nothing more"):
        desk.hub.subscribe(peer.outbox, KEY, form=desk.form)
    desk.clock.advance(6)
    assert desk.source.keys == []


def test_more_keys_than_the_limit_are_refused_with_a_code() -> None:
    desk = Desk(Limits(streams_max=1))
    desk.hub.subscribe(desk.peer().outbox, KEY, form=desk.form)
    with pytest.raises(TickwireError) as refused:
        desk.hub.subscribe(desk.peer().outbox, TRADES, form=desk.form)
    assert refused.value.code == "too_many_subscriptions"
    assert desk.source.keys == [KEY]


def test_symbols_that_are_made_up_take_no_place_of_market_data_and_guests_half_of_theirs() -> None:
    desk = Desk(Limits(streams_max=2, published_streams_max=4))
    peer = desk.peer()

    def is_had(symbol: str, *, guest: bool = False) -> bool:
        try:
            desk.hub.subscribe(peer.outbox, Key(OWN, "signals", symbol), form=desk.form, guest=guest)
        except TickwireError:
            return False
        return True

    assert [is_had(name, guest=True) for name in "ABC"] == [True, True, False]
    assert [is_had(name) for name in "CDE"] == [True, True, False]
    assert is_had(EVERY, guest=True), "what tells of all symbols is one that there is"
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form)
    peer.outbox.discard()
    desk.clock.advance(6)
    peer = desk.peer()
    assert [is_had(name) for name in "VWXYZ"] == [True, True, True, True, False]


def test_every_tier_counts_as_a_stream_until_it_is_dropped() -> None:
    desk = Desk(Limits(streams_max=1))
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form)
    with pytest.raises(TickwireError, match="as many streams"):
        desk.hub.subscribe(desk.peer().outbox, KEY, form=desk.form, tier_ms=50)
    peer.outbox.discard()
    desk.clock.advance(6)
    desk.hub.subscribe(desk.peer().outbox, KEY, form=desk.form, tier_ms=50)


def test_a_closed_hub_lets_nothing_linger_and_calls_no_source() -> None:
    desk = Desk()
    first, second = desk.peer(), desk.peer()
    desk.hub.subscribe(first.outbox, KEY, form=desk.form)
    desk.hub.subscribe(second.outbox, TRADES, form=desk.form)
    first.outbox.discard()
    desk.hub.close()
    second.outbox.discard()
    desk.clock.advance(60)
    assert [what for what, _ in desk.source.log] == ["acquire", "acquire"]


def test_updates_for_a_key_nobody_watches_are_counted() -> None:
    desk = Desk()
    desk.publish(1)
    desk.hub.lost(KEY, "upstream")
    assert desk.hub.late == 1


def test_resend_gives_what_the_ring_holds_and_only_to_a_subscriber() -> None:
    desk = Desk(Limits(ring_depth_updates=3, resend_updates_max=3))
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, TRADES, form=desk.form)
    for value in range(1, 6):
        desk.publish(value, TRADES)
    desk.read(peer)
    assert desk.hub.resend(peer.outbox, stream_id(TRADES), 1, 4) == 2
    assert [message["s"] for message in desk.read(peer)] == [3, 4]
    assert desk.hub.resend(desk.peer().outbox, stream_id(TRADES), 1, 4) == 0
    assert desk.hub.resend(peer.outbox, stream_id(KEY), 1, 4) == 0


def test_positions_are_known_for_streams_that_exist() -> None:
    desk = Desk()
    subscribed = desk.hub.subscribe(desk.peer().outbox, KEY, form=desk.form)
    assert desk.hub.position(subscribed.id) == (subscribed.epoch, 0)
    assert desk.hub.position(stream_id(KEY, 50)) is None
    assert desk.hub.position(stream_id(TRADES)) is None


def test_unsubscribe_says_whether_there_was_anything() -> None:
    desk = Desk()
    peer = desk.peer()
    subscribed = desk.hub.subscribe(peer.outbox, KEY, form=desk.form, tier_ms=100)
    assert desk.hub.unsubscribe(peer.outbox, stream_id(KEY)) is False
    assert desk.hub.unsubscribe(peer.outbox, subscribed.id) is True
    assert desk.hub.unsubscribe(peer.outbox, subscribed.id) is False


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_update(self, _key: Key, item: Item) -> None:
        assert isinstance(item.data, bytes)
        self.heard.append(orjson.loads(item.data))

    def on_lost(self, key: Key) -> None:
        self.heard.append(key)


def test_who_listens_hears_the_state_every_update_and_every_loss() -> None:
    desk = Desk()
    first, second = Ear(), Ear()
    desk.hub.listen(KEY, first)
    assert desk.source.keys == [KEY]
    desk.publish(1)
    desk.hub.listen(KEY, second)
    desk.publish(2)
    desk.hub.lost(KEY, "upstream")
    desk.hub.lost(KEY, "upstream")
    desk.hub.unlisten(KEY, first)
    desk.publish(3)
    assert (first.heard, second.heard) == ([1, 2, KEY], [1, 2, KEY, 3])
    desk.hub.unlisten(KEY, second)
    desk.clock.advance(4.9)
    assert desk.source.keys == [KEY]
    desk.clock.advance(0.2)
    assert desk.source.keys == []


def test_a_listener_and_a_subscriber_share_a_watch() -> None:
    desk = Desk()
    peer, ear = desk.peer(), Ear()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form)
    desk.hub.listen(KEY, ear)
    peer.outbox.discard()
    desk.clock.advance(60)
    assert desk.source.log == [("acquire", KEY)]
    assert desk.hub.subscribers() == {}


def test_who_is_told_may_stop_listening() -> None:
    desk = Desk()
    last = Ear()

    class Once(Ear):
        def on_update(self, key: Key, item: Item) -> None:
            super().on_update(key, item)
            desk.hub.unlisten(key, self)

    once = Once()
    desk.hub.listen(KEY, once)
    desk.hub.listen(KEY, last)
    desk.publish(1)
    desk.publish(2)
    assert (once.heard, last.heard) == ([1], [1, 2])


def test_what_publishers_tell_asks_no_source_and_is_on_its_symbol_and_on_all() -> None:
    desk = Desk()
    every, one, other = Ear(), Ear(), Ear()
    desk.hub.announce("signals", ["A"], b"0", 1)
    for symbol, ear in (("*", every), ("A", one), ("B", other)):
        desk.hub.listen(Key(OWN, "signals", symbol), ear)
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, Key(OWN, "news", "A"), form=desk.form)
    desk.hub.announce("signals", ["A"], b"1", 1)
    desk.hub.announce("signals", ["A", "B"], b"2", 1)
    desk.hub.announce("signals", [], b"3", 1)
    assert (every.heard, one.heard, other.heard) == ([1, 2, 3], [1, 2], [2])
    peer.outbox.discard()
    for symbol, ear in (("*", every), ("A", one), ("B", other)):
        desk.hub.unlisten(Key(OWN, "signals", symbol), ear)
    desk.clock.advance(60)
    assert (desk.source.log, desk.hub.subscribers(), desk.hub.late) == ([], {}, 0)


def test_a_closed_hub_lets_no_listener_linger() -> None:
    desk = Desk()
    first, second = Ear(), Ear()
    desk.hub.listen(KEY, first)
    desk.hub.listen(TRADES, second)
    desk.hub.unlisten(KEY, first)
    desk.hub.close()
    desk.hub.unlisten(TRADES, second)
    desk.clock.advance(60)
    assert [what for what, _ in desk.source.log] == ["acquire", "acquire"]


KEYS = [KEY, TRADES, Key("sim", "quotes", "ETH/USDT")]


class HubMachine(RuleBasedStateMachine):
    """Any mix of joining, leaving and waiting: watches == keys with subscribers, or left less than linger_s ago."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.wanted: dict[tuple[int, StreamId], Peer] = {}
        self.peers = [self.desk.peer() for _ in range(4)]
        self.left_at: dict[Key, float] = {}
        self.ears = [Ear() for _ in range(2)]
        self.listening: set[tuple[int, Key]] = set()

    @rule(ear=st.integers(0, 1), key=st.sampled_from(KEYS))
    def listen(self, ear: int, key: Key) -> None:
        if (ear, key) in self.listening:
            self.listening.remove((ear, key))
            self.desk.hub.unlisten(key, self.ears[ear])
            self.note_left()
        else:
            self.listening.add((ear, key))
            self.desk.hub.listen(key, self.ears[ear])
            self.left_at.pop(key, None)

    def is_wanted(self, key: Key) -> bool:
        return any(each.key == key for _, each in self.wanted) or any(each == key for _, each in self.listening)

    @rule(peer=st.integers(0, 3), key=st.sampled_from(KEYS), tier=st.sampled_from([0, 50, 1000]), batch=st.booleans())
    def subscribe(self, peer: int, key: Key, tier: int, batch: bool) -> None:
        place = (peer, stream_id(key, tier, batch=batch))
        if place in self.wanted:
            return
        self.desk.hub.subscribe(self.peers[peer].outbox, key, form=self.desk.form, tier_ms=tier, batch=batch)
        self.wanted[place] = self.peers[peer]
        self.left_at.pop(key, None)

    def note_left(self) -> None:
        for key in KEYS:
            if key in self.desk.source.keys and not self.is_wanted(key):
                self.left_at.setdefault(key, self.desk.clock.now)

    @rule(peer=st.integers(0, 3), key=st.sampled_from(KEYS), tier=st.sampled_from([0, 50, 1000]), batch=st.booleans())
    def unsubscribe(self, peer: int, key: Key, tier: int, batch: bool) -> None:
        place = (peer, stream_id(key, tier, batch=batch))
        was = self.wanted.pop(place, None) is not None
        assert self.desk.hub.unsubscribe(self.peers[peer].outbox, place[1]) is was
        self.note_left()

    @rule(peer=st.integers(0, 3))
    def reconnect(self, peer: int) -> None:
        self.peers[peer].outbox.discard()
        self.peers[peer] = self.desk.peer()
        self.wanted = {place: owner for place, owner in self.wanted.items() if place[0] != peer}
        self.note_left()

    @rule(key=st.sampled_from(KEYS))
    def publish(self, key: Key) -> None:
        self.desk.publish(1, key)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.desk.clock.advance(seconds)
        self.left_at = {key: at for key, at in self.left_at.items() if self.desk.clock.now - at < 5.0}

    @invariant()
    def watches_are_the_keys_somebody_wants_or_has_just_left(self) -> None:
        wanted = {key for key in KEYS if self.is_wanted(key)}
        assert set(self.desk.source.keys) == wanted | set(self.left_at)
        counts = Counter(each for _, each in self.wanted)
        assert {where: count for where, count in self.desk.hub.subscribers().items() if count} == counts


TestHubMachine = HubMachine.TestCase
TestHubMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_one_reader_may_have_a_stream_in_two_forms_and_leave_one() -> None:
    desk, other = Desk(), JsonForm()
    peer = desk.peer()
    for form in (desk.form, other):
        desk.hub.subscribe(peer.outbox, KEY, form=form)
    desk.publish(1)
    assert [message["d"] for message in desk.read(peer)] == [1, 1]
    (found,) = desk.hub.subscribers()
    assert desk.hub.unsubscribe(peer.outbox, found, other)
    assert not desk.hub.unsubscribe(peer.outbox, found, other)
    desk.publish(2)
    assert [message["d"] for message in desk.read(peer)] == [2]
