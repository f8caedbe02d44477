"""Lanes: each tier a sequence of its own, the first update at once, the last of a burst within the interval."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _speedups.book import Book
from gateway.core.key import TIERS_MS, Key
from gateway.core.topic import Topic, new_epoch
from gateway.limits import Limits
from tests.gateway.core.hub_parts import BOOK, KEY, TRADES, Desk
from tests.speedups.fanout_parts import Message

BARS = Key("sim", "bars", "BTC/USDT", "1m")


def test_epochs_never_repeat() -> None:
    assert len({new_epoch() for _ in range(1000)}) == 1000


def test_a_topic_without_updates_has_no_state() -> None:
    assert Topic(KEY).state() is None


def test_the_first_number_of_an_epoch_is_a_snapshot_for_state_and_an_update_for_trades() -> None:
    desk = Desk()
    quotes, trades = desk.peer(), desk.peer()
    desk.hub.subscribe(quotes.outbox, KEY, form=desk.form)
    desk.hub.subscribe(trades.outbox, TRADES, form=desk.form)
    for value in (1, 2):
        desk.publish(value)
        desk.publish(value, TRADES)
    assert [message["k"] for message in desk.read(quotes)] == ["snapshot", "update"]
    assert [message["k"] for message in desk.read(trades)] == ["update", "update"]


@pytest.mark.parametrize("tier_ms", TIERS_MS[1:])
def test_a_burst_gives_its_first_value_at_once_and_its_last_within_the_interval(tier_ms: int) -> None:
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form, tier_ms=tier_ms)
    for value in range(100):
        desk.publish(value)
    assert [message["d"] for message in desk.read(peer)] == [0]
    desk.clock.advance(tier_ms / 1000 + 0.005)
    assert [(message["s"], message["d"]) for message in desk.read(peer)] == [(2, 99)]
    desk.clock.advance(10)
    assert desk.read(peer) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.3), st.integers(1, 3)), max_size=30))
def test_a_throttled_subscriber_gets_at_most_one_update_an_interval_and_the_last_value(
    bursts: list[tuple[float, int]],
) -> None:
    desk, arrived, value = Desk(), list[tuple[float, Message]](), 0
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form, tier_ms=100)
    for pause, count in bursts:
        for _ in range(int(pause / 0.005)):
            desk.clock.advance(0.005)
            arrived += [(desk.clock.now, message) for message in desk.read(peer)]
        for _ in range(count):
            value += 1
            desk.publish(value)
        arrived += [(desk.clock.now, message) for message in desk.read(peer)]
    desk.clock.advance(0.106)
    arrived += [(desk.clock.now, message) for message in desk.read(peer)]
    assert [message["s"] for _, message in arrived] == list(range(1, len(arrived) + 1))
    assert all(later - earlier >= 0.0949 for (earlier, _), (later, _) in itertools.pairwise(arrived))
    assert (arrived[-1][1]["d"] if arrived else 0) == value


def test_a_throttled_trades_lane_delivers_every_trade() -> None:
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, TRADES, form=desk.form, tier_ms=100)
    for value in range(10):
        desk.publish(value, TRADES)
    desk.clock.advance(0.2)
    assert [message["d"] for message in desk.read(peer)] == list(range(10))


def test_a_closed_bar_survives_conflation() -> None:
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, BARS, form=desk.form, tier_ms=1000)
    for value, final in ((1, False), (2, False), (3, True), (4, False), (5, False)):
        desk.publish(value, BARS, final=final)
    desk.clock.advance(2)
    assert [message["d"] for message in desk.read(peer)] == [1, 3, 5]


def test_a_batch_is_one_numbered_frame_with_all_that_gathered() -> None:
    desk = Desk()
    peer = desk.peer()
    assert desk.hub.subscribe(peer.outbox, KEY, form=desk.form, batch=True).id.tier_ms == 50
    for value in range(5):
        desk.publish(value)
    assert desk.read(peer) == []
    desk.clock.advance(0.06)
    assert [(message["s"], message["d"]) for message in desk.read(peer)] == [(1, [0, 1, 2, 3, 4])]


def test_a_batch_is_bounded_and_goes_early_when_full() -> None:
    desk = Desk(Limits(batch_items_max=3))
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form, batch=True, tier_ms=5000)
    for value in range(7):
        desk.publish(value)
    assert [message["d"] for message in desk.read(peer)] == [[0, 1, 2], [3, 4, 5]]


def publish_book(desk: Desk, book: Book, bids: list[list[float]], asks: list[list[float]]) -> None:
    changes = book.replace(bids, asks)
    if changes is not None:
        desk.hub.publish_book(BOOK, changes, book, t_ex=None, t_in=1)


def apply(state: dict[str, dict[float, float]], message: Message) -> None:
    if message["k"] == "snapshot":
        state.clear()
    for side in ("bids", "asks"):
        levels = state.setdefault(side, {})
        for price, size in message["d"][side]:
            if size:
                levels[price] = size
            else:
                levels.pop(price, None)


sides = st.dictionaries(st.integers(1, 8), st.integers(1, 3), max_size=7)


@settings(deadline=None)
@given(st.lists(st.tuples(sides, sides, st.integers(0, 3)), min_size=1, max_size=25), st.integers(0, 20))
def test_a_book_rebuilt_from_any_lane_joined_at_any_time_is_the_book(
    states: list[tuple[dict[int, int], dict[int, int], int]], join_at: int
) -> None:
    desk, book = Desk(), Book(5)
    tiers = (0, 50, 100)
    early, late = [desk.peer() for _ in tiers], [desk.peer() for _ in tiers]
    rebuilt: dict[int, dict[str, dict[float, float]]] = {id(peer): {} for peer in early + late}
    for peer, tier in zip(early, tiers, strict=True):
        desk.hub.subscribe(peer.outbox, BOOK, form=desk.form, tier_ms=tier)
    for number, (bids, asks, steps) in enumerate(states):
        if number == join_at:
            for peer, tier in zip(late, tiers, strict=True):
                desk.hub.subscribe(peer.outbox, BOOK, form=desk.form, tier_ms=tier)
        publish_book(
            desk,
            book,
            [[float(100 - price), float(size)] for price, size in sorted(bids.items())],
            [[float(100 + price), float(size)] for price, size in sorted(asks.items())],
        )
        desk.clock.advance(steps * 0.03)
    desk.clock.advance(1)
    for peer in early + (late if join_at < len(states) else []):
        for message in desk.read(peer):
            if message["k"] == "update":
                assert message["d"]["prev_sequence"] == message["s"] - 1
            apply(rebuilt[id(peer)], message)
    final_bids, final_asks, _ = states[-1]
    expected = {
        "bids": {100.0 - price: float(size) for price, size in sorted(final_bids.items())[:5]},
        "asks": {100.0 + price: float(size) for price, size in sorted(final_asks.items())[:5]},
    }
    for peer in early + (late if join_at < len(states) else []):
        state = rebuilt[id(peer)]
        assert {side: state.get(side, {}) for side in ("bids", "asks")} == expected


def test_a_second_loss_before_anything_came_is_not_told_again() -> None:
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form)
    desk.hub.lost(KEY, "upstream")
    desk.publish(1)
    desk.hub.lost(KEY, "upstream")
    desk.hub.lost(KEY, "resync")
    assert [message.get("why") for message in desk.read(peer)] == ["upstream", None, "upstream"]


def test_a_loss_before_the_first_update_is_told_once() -> None:
    """Upstream was live for somebody else: what printed meanwhile is lost for who has had nothing yet, too."""
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form)
    desk.hub.lost(KEY, "upstream")
    desk.hub.lost(KEY, "upstream")
    desk.publish(1)
    gap, update = desk.read(peer)
    assert (gap["gap"], gap["why"]) == ([1, 1], "upstream")
    assert (update["e"], update["s"]) == (gap["new"], 1)


def test_a_lane_made_when_the_state_is_known_begins_with_it() -> None:
    desk = Desk()
    first, second, third = desk.peer(), desk.peer(), desk.peer()
    desk.hub.subscribe(first.outbox, KEY, form=desk.form)
    desk.publish(1)
    assert desk.hub.subscribe(second.outbox, KEY, form=desk.form, tier_ms=1000).sequence == 1
    desk.hub.subscribe(third.outbox, KEY, form=desk.form, batch=True)
    desk.publish(2)
    desk.clock.advance(2)
    assert [(each["k"], each["s"], each["d"]) for each in desk.read(second)] == [("snapshot", 1, 1), ("update", 2, 2)]
    assert [each["d"] for each in desk.read(third)] == [[1], [2]]


def test_a_loss_sends_what_waited_then_the_gap_and_serves_nothing_old() -> None:
    desk = Desk()
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, KEY, form=desk.form, tier_ms=1000)
    desk.publish(1)
    desk.publish(2)
    desk.hub.lost(KEY, "upstream")
    one, two, gap = desk.read(peer)
    assert (one["d"], two["d"]) == (1, 2)
    assert (gap["gap"], gap["why"]) == ([3, 3], "upstream")
    newcomer = desk.peer()
    subscribed = desk.hub.subscribe(newcomer.outbox, KEY, form=desk.form, tier_ms=1000)
    assert (subscribed.epoch, subscribed.sequence) == (gap["new"], 0)
    assert desk.read(newcomer) == []
    desk.clock.advance(2)
    desk.publish(3)
    [message] = desk.read(peer)
    assert (message["e"], message["s"], message["k"], message["d"]) == (gap["new"], 1, "snapshot", 3)


def test_a_list_of_unified_trades_is_as_long_as_its_key_says_and_none_is_lost() -> None:
    desk, trades = Desk(), Key("sim", "ccxt_trades", "BTC/USDT", "3")
    peer = desk.peer()
    desk.hub.subscribe(peer.outbox, trades, form=desk.form, batch=True, tier_ms=1000)
    for value in range(7):
        desk.publish(value, trades)
    assert [message["d"] for message in desk.read(peer)] == [[0, 1, 2], [3, 4, 5]]
    desk.clock.advance(1.005)
    assert [message["d"] for message in desk.read(peer)] == [[6]]
