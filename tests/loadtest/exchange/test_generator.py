"""Random arrivals never break the book."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.exchange.generator import LEVELS_MAX, Generator, listing
from loadtest.exchange.market import Market
from tests.loadtest.exchange.tools import START_MS


def _generator(seed: int, index: int = 0) -> tuple[Generator, Market]:
    spec, opening_ticks = listing(index + 1, seed)[index]
    market = Market(spec)
    return Generator(market, opening_ticks, seed), market


@given(st.integers(0, 1000), st.integers(0, 14))
def test_the_book_stays_a_book(seed: int, index: int) -> None:
    generator, market = _generator(seed, index)
    last_id = 0
    for step in range(300):
        before = market.book.update_id
        trades = generator.arrive(START_MS + step)
        best = market.book.best()
        assert best is not None
        assert 0 < best.bid < best.ask
        assert market.book.update_id - before == max(1, len(trades))
        for trade in trades:
            assert trade.id == last_id + 1
            assert trade.size > 0
            assert trade.price % market.spec.tick == trade.size % market.spec.step == 0
            last_id = trade.id
    for side in (market.book.bids, market.book.asks):
        assert 1 <= len(side) <= LEVELS_MAX + 1
        assert all(price > 0 and price % market.spec.tick == 0 for price in side.prices)
        assert all(size > 0 and size % market.spec.step == 0 for size in side.sizes.values())


def test_a_market_order_walks_the_book_and_leaves_a_level() -> None:
    generator, market = _generator(1)
    first, second = market.book.asks.top(2)
    trades = generator.take(first.size + 1, START_MS, buy=True)
    assert [(t.price, t.size, t.buyer_is_maker) for t in trades] == [
        (first.price, first.size, False), (second.price, 1, False),
    ]  # fmt: skip
    generator.take(10**30, START_MS, buy=False)
    assert len(market.book.bids) == 1


def test_touch_changes_the_best_size() -> None:
    generator, market = _generator(1)
    before = market.book.best()
    generator.touch()
    after = market.book.best()
    assert before is not None
    assert after == before._replace(bid_size=before.bid_size + market.spec.step)


def test_listing_begins_with_the_familiar_names() -> None:
    names = [spec.symbol for spec, _ in listing(500, seed=1)]
    assert names[:2] == ["BTCUSDT", "ETHUSDT"]
    assert len(set(names)) == 500
    assert listing(500, seed=1)[:20] == listing(20, seed=1)
