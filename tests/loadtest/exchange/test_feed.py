"""What a feed refuses when it does not say otherwise."""

import pytest

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
