"""A market's own bookkeeping."""

from loadtest.exchange.bars import Trade
from loadtest.exchange.decimals import ONE
from loadtest.exchange.market import FIRST_AGG_ID, AggTrade, Market, Spec
from tests.loadtest.exchange.tools import START_MS

SPEC = Spec("BTC", "USDT", ONE // 100, ONE // 100_000)


def test_every_level_change_has_its_own_update_id() -> None:
    market = Market(SPEC)
    market.load_book(10, [(99, 1)], [(101, 1)])
    market.set_bid(100, 2)
    market.set_ask(101, 0)
    assert market.book.update_id == 12
    assert market.fast_changes.take(12) == market.slow_changes.take(12) == (11, 12, [(100, 2)], [(101, 0)])


def test_a_diff_made_elsewhere_is_gathered_for_the_slow_stream_only() -> None:
    market = Market(SPEC)
    market.load_book(10, [(99, 1)], [(101, 1)])
    market.apply_diff(15, [(99, 0), (98, 4)], [])
    market.apply_diff(17, [(98, 5)], [(102, 1)])
    assert market.fast_changes.take(17) is None
    assert market.slow_changes.take(17) == (11, 17, [(99, 0), (98, 5)], [(102, 1)])
    assert market.book.bids.top(5) == [(98, 5)]


def test_trades_of_one_taker_order_at_one_price_are_aggregated() -> None:
    market = Market(SPEC)
    assert market.add_trade(Trade(1, 100, 2, START_MS, True)) is None
    assert market.add_trade(Trade(2, 100, 3, START_MS, True)) is None
    first = AggTrade(FIRST_AGG_ID, 100, 5, 1, 2, START_MS, True)
    assert market.add_trade(Trade(3, 101, 1, START_MS, True)) == first
    assert market.end_aggregate() == AggTrade(FIRST_AGG_ID + 1, 101, 1, 3, 3, START_MS, True)
    assert market.end_aggregate() is None
    assert [made.id for made in market.agg_trades] == [FIRST_AGG_ID, FIRST_AGG_ID + 1]
    assert [trade.id for trade in market.trades] == [1, 2, 3]
