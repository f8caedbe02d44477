"""Quotes for the desk: exact, fresh or said to be stale, watched as long as somebody wants them."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import heard, market_data
from gateway.core.key import Key
from gateway.core.market_data import MarketData
from gateway.errors import TickwireError
from oms.market import MarketData as Wanted
from oms.model import Quote
from tests.gateway.net.fakes import Rig
from tests.waiting import until

KEY = Key("sim", "quotes", "BTC/USDT")


class Scene:
    """Market data on a real hub with fake exchanges; `linger_s` is 5, so watches outlive a test."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.market: MarketData[Quote] = MarketData(self.rig.hub, self.rig.sources, Quote)
        self.told: list[tuple[str, str, Quote]] = []
        wanted: Wanted = self.market
        wanted.listen(lambda *told: self.told.append(told))

    async def watched(self) -> None:
        self.market.watch("sim", "BTC/USDT")
        await until(lambda: KEY in self.rig.sim.watched)

    def publish(self, text: bytes, t_in: int = 7) -> None:
        self.rig.hub.publish(KEY, text, t_ex=None, t_in=t_in)


async def test_a_quote_has_the_digits_and_the_time_of_the_wire() -> None:
    scene = Scene()
    assert scene.market.quote("sim", "BTC/USDT") is None
    await scene.watched()
    assert scene.market.quote("sim", "BTC/USDT") is None
    scene.publish(b'{"symbol":"BTC/USDT","bid":59999.88,"ask":1e-7,"last":null,"bid_size":1}', 11)
    quote = Quote(bid=Decimal("59999.88"), ask=Decimal("1E-7"), last=None, t_in_ns=11)
    assert scene.market.quote("sim", "BTC/USDT") == quote
    assert scene.told == [("sim", "BTC/USDT", quote)]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=0, max_value=10**12))
def test_no_digit_is_lost(price: Decimal) -> None:
    read = market_data._prices_of(b'{"bid":%s,"ask":%s}' % (str(price).encode(), format(price, "f").encode()))
    assert (read.bid, read.ask) == (price, price)
    assert format(read.ask, "f") == format(price, "f")


async def test_it_is_told_when_a_quote_becomes_stale_and_when_it_is_fresh_again() -> None:
    scene = Scene()
    await scene.watched()
    scene.rig.hub.lost(KEY, "upstream")
    assert scene.told == []
    scene.publish(b'{"bid":1}')
    scene.rig.hub.lost(KEY, "upstream")
    scene.publish(b'{"bid":2}', 8)
    assert [(quote.bid, quote.stale, quote.t_in_ns) for _, _, quote in scene.told] == [
        (Decimal(1), False, 7), (Decimal(1), True, 7), (Decimal(2), False, 8),
    ]  # fmt: skip
    kept = scene.market.quote("sim", "BTC/USDT")
    assert kept is not None
    assert not kept.stale


async def test_watches_are_counted() -> None:
    scene = Scene()
    await scene.watched()
    scene.market.watch("sim", "BTC/USDT")
    scene.publish(b'{"bid":1}')
    scene.market.unwatch("sim", "BTC/USDT")
    scene.publish(b'{"bid":2}')
    assert [quote.bid for _, _, quote in scene.told] == [1, 2]
    scene.market.unwatch("sim", "BTC/USDT")
    assert scene.market.quote("sim", "BTC/USDT") is None
    scene.publish(b'{"bid":3}')
    assert len(scene.told) == 2
    with pytest.raises(KeyError):
        scene.market.unwatch("sim", "BTC/USDT")


async def test_what_is_taken_up_again_soon_is_known_at_once() -> None:
    scene = Scene()
    await scene.watched()
    scene.publish(b'{"bid":1}')
    scene.market.unwatch("sim", "BTC/USDT")
    scene.publish(b'{"bid":2}')
    quote = await scene.market.fresh("sim", "BTC/USDT", 5)
    assert quote is not None
    assert quote.bid == 2


async def test_fresh_waits_for_the_first_quote_and_then_watches_no_longer() -> None:
    scene = Scene()
    waiting = [scene.market.fresh("sim", "BTC/USDT", 5) for _ in range(3)]
    await until(lambda: KEY in scene.rig.sim.watched)
    scene.publish(b'{"bid":1}')
    assert [quote.bid for quote in await asyncio.gather(*waiting) if quote] == [1, 1, 1]
    await until(lambda: scene.market.quote("sim", "BTC/USDT") is None)


async def test_fresh_does_not_take_a_stale_quote() -> None:
    scene = Scene()
    await scene.watched()
    scene.publish(b'{"bid":1}')
    assert await scene.market.fresh("sim", "BTC/USDT", 5) == scene.market.quote("sim", "BTC/USDT")
    scene.rig.hub.lost(KEY, "upstream")
    assert await scene.market.fresh("sim", "BTC/USDT", 0.001) is None
    waiting = scene.market.fresh("sim", "BTC/USDT", 5)
    scene.publish(b'{"bid":2}')
    quote = await waiting
    assert quote is not None
    assert quote.bid == 2


async def test_where_there_is_no_such_symbol_or_exchange_nobody_waits() -> None:
    scene = Scene()
    async with asyncio.timeout(5):
        assert await scene.market.fresh("sim", "NO/SUCH", 100) is None
        assert await scene.market.fresh("nowhere", "BTC/USDT", 100) is None
    scene.market.watch("nowhere", "BTC/USDT")
    scene.market.unwatch("nowhere", "BTC/USDT")


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    scene = Scene()
    scene.rig.sim.gate.clear()
    waiting = asyncio.ensure_future(scene.market.fresh("sim", "BTC/USDT", 100))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: not scene.market._markets)
    scene.rig.sim.gate.set()
    assert not scene.rig.sim.watched


async def test_an_exchange_that_comes_late_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    asked: list[str] = []

    async def resolve(_channel: str, symbol: str, _variant: str) -> Key:
        asked.append(symbol)
        if len(asked) < 3:
            raise TickwireError("exchange_unavailable", "not yet")
        return KEY

    monkeypatch.setattr(scene.rig.sim, "resolve", resolve)
    monkeypatch.setattr(heard, "RETRY_S", (0.001, 0.001))
    waiting = scene.market.fresh("sim", "BTC/USDT", 100)
    await until(lambda: KEY in scene.rig.sim.watched)
    scene.publish(b'{"bid":1}')
    assert await waiting is not None
    assert len(asked) == 3


async def test_one_who_cannot_take_a_quote_does_not_stop_it() -> None:
    scene = Scene()

    def broken(*_: object) -> None:
        raise RuntimeError("as asked")

    scene.market.listen(broken)
    scene.market.listen(lambda *told: scene.told.append(told))
    await scene.watched()
    scene.publish(b'{"bid":1}')
    assert len(scene.told) == 2


async def test_closed_it_watches_nothing_and_lets_go_of_who_waits() -> None:
    scene = Scene()
    scene.market.watch("sim", "BTC/USDT")
    waiting = scene.market.fresh("sim", "BTC/USDT", 100)
    other = scene.market.fresh("sim", "NO/SUCH", 100)
    scene.market.close()
    async with asyncio.timeout(5):
        assert await waiting is None
        assert await other is None
