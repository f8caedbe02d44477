"""The table of a connection's markets: what replaces what, what a refusal leaves, what a name in a request means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.key import Key
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net.oms_markets import OmsMarkets
from gateway.wire import oms
from gateway.wire.oms_forms import OmsForms
from tests.gateway.net.fakes import FakeConnection, Rig


class Table:
    """A connection's table over a real hub."""

    def __init__(self, **limits: Any) -> None:
        self.rig = Rig(Limits(linger_s=0, **limits))
        self.conn = FakeConnection(self.rig.fanout)
        forms = OmsForms(self.rig.limits, lambda payload: payload)
        self.markets = OmsMarkets(self.rig.hub, forms, self.rig.limits, self.conn.outbox, deflate=False)

    def subscribe(self, *channels: str, account_id: int = 1, symbol: str = "BTC/USDT", **options: Any) -> Any:
        asked = oms.Market(account_id=account_id, symbol=symbol, channels=channels or ("ticker",), **options)
        keys = {
            channel: Key("sim", oms.CHANNELS[channel], symbol.upper(), str(asked.extent(channel, self.rig.limits)))
            for channel in asked.channels
        }
        return json.loads(self.markets.subscribe(oms.SubscribeMarket(payload=asked), keys))["payload"]

    def removed(self, **named: Any) -> int:
        request = oms.UnsubscribeMarket(payload=oms.Markets(**named))
        return int(json.loads(self.markets.unsubscribe(request))["payload"]["removed"])

    def readers(self) -> dict[str, int]:
        return {str(at.key): count for at, count in self.rig.hub.subscribers().items() if count}


@pytest.mark.parametrize(
    ("named", "removed"),
    [
        ({}, 6),
        ({"account_id": 1}, 4),
        ({"symbol": "ETH/USDT"}, 2),
        ({"channels": ["trades"]}, 3),
        ({"account_id": 1, "symbol": "BTC/USDT", "channels": ["ticker"]}, 1),
        ({"account_id": 3}, 0),
        ({"channels": []}, 0),
    ],
)
async def test_what_is_not_named_is_everything(named: dict[str, Any], removed: int) -> None:
    table = Table()
    for account_id, symbol in ((1, "BTC/USDT"), (1, "ETH/USDT"), (2, "BTC/USDT")):
        table.subscribe("ticker", "trades", account_id=account_id, symbol=symbol)
    assert table.removed(**named) == removed
    assert len(table.markets) == sum(table.readers().values()) == 6 - removed
    assert table.removed(**named) == 0


async def test_subscribing_again_replaces_and_is_told_the_state_again() -> None:
    table = Table()
    table.subscribe("orderbook", depth=5)
    table.subscribe("orderbook", depth=10)
    assert table.readers() == {"sim:ccxt_orderbook:BTC/USDT:10@1200": 1}
    table.rig.sim.publish("ccxt_orderbook", "BTC/USDT", "10@1200", bids=[])
    assert len(table.conn.take()) == 1
    table.subscribe("orderbook", depth=10)
    assert [each["event"] for each in table.conn.take()] == ["orderbook_updated"]
    assert table.readers() == {"sim:ccxt_orderbook:BTC/USDT:10@1200": 1}


async def test_another_timeframe_or_interval_replaces_because_events_do_not_tell_them_apart() -> None:
    table = Table()
    table.subscribe("ohlcv", timeframe="1m")
    table.subscribe("ohlcv", timeframe="5m", poll_interval_ms=250)
    assert table.readers() == {"sim:ccxt_ohlcv:BTC/USDT:5m/50@250": 1}


async def test_two_spellings_of_a_symbol_are_one_market_and_either_ends_it() -> None:
    table = Table()
    table.subscribe(symbol="BTC/USDT")
    table.subscribe(symbol="btc/usdt")
    assert len(table.markets) == 1
    assert table.removed(symbol="BTC/USDT") == 1
    table.subscribe(symbol="btc/usdt")
    assert table.removed(symbol="btc/usdt") == 1


async def test_a_refusal_leaves_what_there_was() -> None:
    table = Table(streams_max=2)
    table.subscribe("ticker", "trades")
    with pytest.raises(TickwireError) as refused:
        table.subscribe("ticker", "orderbook", symbol="ETH/USDT")
    assert refused.value.code == "too_many_subscriptions"
    assert set(table.readers()) == {"sim:ccxt_ticker:BTC/USDT:@1200", "sim:ccxt_trades:BTC/USDT:50@1200"}
    assert len(table.markets) == 2


async def test_streams_of_a_connection_are_bounded() -> None:
    table = Table(subscriptions_per_connection_max=2)
    table.subscribe("ticker", "trades")
    with pytest.raises(TickwireError):
        table.subscribe("ohlcv")
    table.subscribe("ticker", poll_interval_ms=250)  # replaces
    assert len(table.markets) == 2


async def test_an_account_is_dropped_alone() -> None:
    table = Table()
    table.subscribe(account_id=1)
    table.subscribe(account_id=2)
    assert table.markets.account_ids == {1, 2}
    table.markets.drop(2)
    assert table.markets.account_ids == {1}
    assert table.readers() == {"sim:ccxt_ticker:BTC/USDT:@1200": 1}


async def test_trades_gather_and_states_are_conflated() -> None:
    table = Table()
    table.subscribe("ticker", "trades", poll_interval_ms=250)
    assert {(at.key.channel, at.batch, at.tier_ms) for at in table.rig.hub.subscribers()} == {
        ("ccxt_ticker", False, 250), ("ccxt_trades", True, 250),
    }  # fmt: skip
