"""Orders, deals and positions: each event once, in ccxt's caches, whatever way it came."""

from __future__ import annotations

from typing import Any

import pytest
from ccxt.async_support.base.ws.cache import ArrayCacheBySymbolById, ArrayCacheBySymbolBySide

from driver.cursors import Each, Newest, Wakes
from driver.private_feeds import ORDERS_WITH_DEALS_MAX, DealFeed, OrderFeed, PositionFeed
from driver.stream import Gap, Key, Stream

EPOCH = Gap("orders", "1", "resync", "e1", 5, 5, "e2")


def order(number: int, version: int = 1, symbol: str = "BTC/USDT", **more: Any) -> dict[str, Any]:
    return {"id": number, "version": version, "symbol": symbol, "event": "order_updated", **more}


def deal(number: int, order_id: int = 7, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "order_id": order_id, "symbol": "BTC/USDT", "event": "deal_created", "qty": "1", "fee": "0.5",
        "realized_pnl": "0", "exchange_trade_id": f"x{number}", **more,
    }  # fmt: skip


def position(number: int, version: int = 1, state: str = "open", side: str | None = "long") -> dict[str, Any]:
    return {
        "id": number, "version": version, "symbol": "BTC/USDT", "state": state, "side": side,
        "event": "position_updated" if state == "open" else "position_closed",
    }  # fmt: skip


def event(row: dict[str, Any], sequence: int = 1) -> dict[str, Any]:
    return {"kind": "update", "sequence": sequence, "data": row}


def structure(row: Any, deals: Any = ()) -> dict[str, Any]:
    return {
        "info": dict(row), "id": str(row["id"]), "symbol": row["symbol"], "side": row.get("side"),
        "fees": [each["id"] for each in deals],
    }  # fmt: skip


def trade(row: Any, order: Any = None) -> dict[str, Any]:
    return {**structure(row), "amount": row["qty"], "type": order and order.get("order_type")}


class Feeds:
    """The three of an account, as a client has them."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self.confirmed: list[int] = []
        self.happened = 0
        self.wakes = wakes = Wakes(lambda flush: None)  # flushed by the test
        hooks = (self.gaps.append, lambda code, message: ValueError(code))
        self.orders = OrderFeed(ArrayCacheBySymbolById(100), structure, *hooks)
        self.deals = DealFeed(ArrayCacheBySymbolById(100), wakes, trade, *hooks)
        self.positions = PositionFeed(ArrayCacheBySymbolBySide(), structure, *hooks)
        self.deals.orders = self.orders
        self.all, self.one, self.fills = Newest(wakes), Newest(wakes), Each(wakes)
        self.held = Newest(wakes)
        self.orders.watch(self.all)
        self.orders.watch(self.one, ("ETH/USDT",))
        self.deals.watch(self.fills)
        self.positions.watch(self.held)
        for feed, channel in ((self.orders, "orders"), (self.deals, "deals"), (self.positions, "positions")):
            stream = Stream(Key(channel, "1"), feed)
            feed.begun(stream)
            feed.confirm = lambda stream: self.confirmed.append(stream.sequence)
            feed.also.append(self.count)

    def count(self) -> None:
        self.happened += 1


@pytest.fixture(name="feeds")
def _feeds() -> Feeds:
    return Feeds()


def test_an_order_is_told_to_who_watches_its_symbol(feeds: Feeds) -> None:
    feeds.orders.update(event(order(7)))
    feeds.orders.update(event(order(8, symbol="ETH/USDT")))
    assert list(feeds.all.unread) == ["7", "8"]
    assert list(feeds.one.unread) == ["8"]
    assert feeds.happened == 2
    feeds.orders.unwatch(feeds.one)
    feeds.orders.update(event(order(9, symbol="ETH/USDT")))
    assert list(feeds.one.unread) == ["8"]


def test_an_order_is_told_as_it_is_now_and_an_older_state_never(feeds: Feeds) -> None:
    feeds.orders.update(event(order(7, 2, state="FILLED")))
    feeds.orders.update(event(order(7, 1, state="SUBMITTED")))
    feeds.orders.update(event(order(7, 2, state="FILLED")))
    assert feeds.all.take()["7"]["info"]["state"] == "FILLED"
    assert feeds.happened == 1
    feeds.orders.update(event(order(7, 3, state="CANCELED")))
    told = feeds.all.take()["7"]
    assert told["info"]["state"] == "CANCELED"
    assert told is feeds.orders.cache.hashmap["BTC/USDT"]["7"]


def test_every_event_is_confirmed_also_one_that_ccxt_has_no_word_for(feeds: Feeds) -> None:
    feeds.orders.update(event({"event": "cancel_all_after", "account_id": 1}))
    feeds.orders.update(event({"event": "command_failed"}))
    assert len(feeds.confirmed) == 2
    assert not feeds.all.unread


def test_what_happened_before_the_program_came_is_not_told(feeds: Feeds) -> None:
    assert feeds.deals.stream is not None
    feeds.deals.stream.replay_until = 2
    for number in (1, 2, 3):
        feeds.deals.update(event(deal(number), number))
    feeds.wakes.flush()
    assert [each["id"] for each in feeds.fills.unread] == ["3"]
    assert len(feeds.confirmed) == 3


def test_a_fill_is_told_once_whatever_way_it_came(feeds: Feeds) -> None:
    for number in (1, 2):
        feeds.deals.row(deal(number))  # by REST
    for number in (1, 2, 3):
        feeds.deals.update(event(deal(number), number))
    feeds.wakes.flush()
    assert [each["id"] for each in feeds.fills.take()] == ["1", "2", "3"]
    assert [each["id"] for each in feeds.deals.cache] == ["1", "2", "3"]


def test_what_is_of_another_strategy_is_not_told(feeds: Feeds) -> None:
    for feed, row in ((feeds.orders, order), (feeds.deals, deal), (feeds.positions, position)):
        feed.strategies = {7}
        feed.update(event({**row(1), "strategy_id": 0}))
        feed.update(event({**row(2), "strategy_id": 7}))
    feeds.wakes.flush()
    assert [*feeds.all.unread, *feeds.held.unread, *(each["id"] for each in feeds.fills.unread)] == ["2"] * 3
    assert len(feeds.confirmed) == 6


def test_who_watches_a_strategy_is_told_of_that_one(feeds: Feeds) -> None:
    other = Newest(feeds.wakes)
    feeds.orders.strategies = {None, 7}
    feeds.orders.watch(other, ((7, "BTC/USDT"),))
    for number, strategy_id in ((1, 0), (2, 7)):
        feeds.orders.update(event(order(number, strategy_id=strategy_id)))
    feeds.orders.update(event(order(3, symbol="ETH/USDT", strategy_id=7)))
    assert list(other.unread) == ["2"]
    assert list(feeds.all.unread) == ["1", "2", "3"]
    feeds.orders.unwatch(other)
    feeds.orders.update(event(order(4, strategy_id=7)))
    assert list(other.unread) == ["2"]


def test_two_deals_of_one_execution_are_one_trade(feeds: Feeds) -> None:
    """It turned a position: the gateway books what closed it and what opened it apart."""
    feeds.orders.update(event(order(7, order_type="limit")))
    for number, name in ((1, "a"), (2, "b"), (3, "b"), (4, "c")):
        feeds.deals.update(event(deal(number, exchange_trade_id=name), number))
    feeds.wakes.flush()
    told = feeds.fills.take()
    assert [(each["id"], each["amount"], each["type"]) for each in told] == [
        ("1", "1", "limit"), ("2", "2", "limit"), ("4", "1", "limit")
    ]  # fmt: skip
    assert [each["id"] for each in feeds.deals.cache] == ["1", "2", "4"]


def test_the_fees_of_an_order_are_those_of_its_deals_whichever_comes_first(feeds: Feeds) -> None:
    feeds.orders.update(event(order(7, 1)))
    feeds.deals.update(event(deal(1), 1))
    assert feeds.orders.cache[0]["fees"] == [1]
    feeds.deals.update(event(deal(2, order_id=8), 2))
    feeds.orders.update(event(order(8, 1)))
    assert feeds.orders.cache[1]["fees"] == [2]
    feeds.orders.deal(deal(2, order_id=8))
    assert feeds.orders.cache[1]["fees"] == [2]


def test_deals_are_remembered_for_so_many_orders(feeds: Feeds) -> None:
    for number in range(ORDERS_WITH_DEALS_MAX + 10):
        feeds.orders.deal(deal(number, order_id=number))
    assert len(feeds.orders._deals) == ORDERS_WITH_DEALS_MAX


def test_positions_begin_with_those_that_are_open(feeds: Feeds) -> None:
    feeds.positions.update({"kind": "snapshot", "sequence": 4, "data": {"items": [position(1), position(2)]}})
    assert list(feeds.held.take()) == ["1", "2"]
    feeds.positions.update({"kind": "snapshot", "sequence": 4, "data": {"items": [position(1)]}})
    assert not feeds.held.unread, "it is known"


def opened(feeds: Feeds, *symbols: str) -> list[str]:
    """What a watcher that begins is told at once."""
    watcher = Newest(feeds.wakes)
    feeds.positions.watch(watcher, symbols)
    told = list(watcher.take())
    feeds.positions.unwatch(watcher)
    return told


def test_whoever_begins_to_watch_a_running_stream_is_told_what_is_open(feeds: Feeds) -> None:
    stream = feeds.positions.stream
    assert stream is not None
    stream.is_live = stream.is_whole = True
    ether = {**position(3), "symbol": "ETH/USDT"}
    feeds.positions.update({"kind": "snapshot", "sequence": 4, "data": {"items": [position(1), position(2), ether]}})
    feeds.positions.update(event(position(2, 2, state="closed")))
    assert [opened(feeds), opened(feeds, "BTC/USDT"), opened(feeds, "XRP/USDT")] == [["1", "3"], ["1"], []]
    feeds.positions.strategies = {7}
    feeds.positions.update(event({**position(4), "strategy_id": 0}))
    assert opened(feeds) == ["1", "3"]
    feeds.positions.gap(EPOCH)
    assert opened(feeds) == []


@pytest.mark.parametrize("is_told_by", ["snapshot", "resuming"])
def test_whoever_begins_before_the_stream_is_told_what_is_open_once_that_is_known(
    feeds: Feeds, is_told_by: str
) -> None:
    stream = feeds.positions.stream
    assert stream is not None
    feeds.positions.update(event(position(1)))
    early, left = Newest(feeds.wakes), Newest(feeds.wakes)
    feeds.positions.watch(early)
    feeds.positions.watch(left)
    feeds.positions.unwatch(left)
    stream.is_live, stream.is_whole = True, is_told_by == "resuming"
    feeds.positions.live(True)
    if is_told_by == "snapshot":
        assert not early.unread, "it may be closed by now"
        feeds.positions.update({"kind": "snapshot", "sequence": 4, "data": {"items": [position(1)]}})
    assert list(early.take()) == ["1"]
    feeds.positions.live(True)
    assert not early.unread, "it is told once"
    assert not left.unread


def test_of_another_database_nothing_is_known_and_the_gap_is_shown(feeds: Feeds) -> None:
    feeds.orders.update(event(order(7, 9)))
    feeds.deals.update(event(deal(5)))
    feeds.wakes.flush()
    feeds.positions.update(event(position(1, 9)))
    for feed in (feeds.orders, feeds.deals, feeds.positions):
        feed.gap(EPOCH)
        assert list(feed.cache) == []
        feed.gap(EPOCH._replace(new_epoch=None))
    feeds.orders.update(event(order(7, 1)))
    feeds.deals.update(event(deal(1)))
    feeds.positions.update(event(position(1, 1)))
    feeds.wakes.flush()
    assert feeds.all.take()["7"]["info"]["gap"]["reason"] == "resync"
    assert [each["id"] for each in feeds.fills.take()] == ["5", "1"]
    assert feeds.held.take()["1"]["info"]["version"] == 1
    assert len(feeds.gaps) == 6


def test_ccxts_indices_survive_a_cache_that_was_emptied(feeds: Feeds) -> None:
    for _ in range(3):
        for number in (1, 2, 3):
            feeds.orders.update(event(order(number)))
        feeds.orders.gap(EPOCH)
    feeds.orders.update(event(order(2)))
    assert [each["id"] for each in feeds.orders.cache] == ["2"]


def test_an_event_from_before_sides_were_told_is_kept_as_well(feeds: Feeds) -> None:
    feeds.positions.update(event(position(1, state="closed", side=None)))
    assert feeds.held.take()["1"]["side"] == "long"
