"""What a feed refuses when it does not say otherwise."""

import time

import pytest

from loadtest.exchange.bars import Trade
from loadtest.exchange.feed import Feed, FeedError


class Bare(Feed):
    """A feed that can do nothing but run."""

    markets = {}  # noqa: RUF012 - nothing writes to it

    def now_ms(self) -> int:
        return 0

    async def run(self) -> None:
        return None

    def status(self) -> dict[str, object]:
        return {}


def test_who_waits_for_prices_is_told_of_trades_only() -> None:
    feed, told = Bare(), []
    feed.moved("BTCUSDT", [Trade(1, 2, 3, 4, False)], 5)
    feed.on_traded = lambda symbol, trades, now_ms: told.append((symbol, trades[0].id, now_ms))
    feed.moved("BTCUSDT", [], 6)
    feed.moved("BTCUSDT", [Trade(1, 2, 3, 4, False)], 7)
    assert told == [("BTCUSDT", 1, 7)]


def test_orders_are_of_the_present_whatever_the_market_is_of() -> None:
    assert Bare().now_ms() == 0
    assert Bare().trading_ms() == pytest.approx(time.time() * 1000, abs=5_000)


async def test_commands_a_feed_does_not_know_are_refused() -> None:
    feed = Bare()
    with pytest.raises(FeedError):
        feed.start()
    with pytest.raises(FeedError):
        feed.step(1)
    with pytest.raises(FeedError):
        feed.burst("btcusdt@trade", 1)
    with pytest.raises(FeedError):
        feed.trade("BTCUSDT", "1", buy=True)
    with pytest.raises(FeedError):
        await feed.finished()
