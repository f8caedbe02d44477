"""The prices of dashboards: a symbol that cannot be had is asked for again, and how that goes is told."""

from __future__ import annotations

import pytest

from gateway.config import DashboardConfig
from gateway.core import heard
from gateway.core.health import StreamHealth
from tests.gateway.net.fakes import Rig
from tests.waiting import until


def health_of(rig: Rig) -> StreamHealth:
    return rig.dashboards.prices.health


async def test_a_symbol_that_its_exchange_does_not_know_yet_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heard, "RETRY_S", (0.001, 0.002))
    rig = Rig(dashboards=DashboardConfig(symbols=["NEW"], price_update_interval_s=3600))
    client = rig.connect_dashboard()
    await until(lambda: len(rig.sim.asked) >= 10)
    health = health_of(rig).at(rig.now_ns)
    assert health.error_count >= 9
    assert health.recovery_attempts >= 9
    rig.sim.symbols.add("NEW")
    await until(lambda: rig.sim.watched)
    rig.sim.publish("ccxt_ticker", "NEW", "@3600000", last=5)
    rig.dashboards.prices._tick()
    (message,) = client.take()
    assert message["symbols"]["NEW"]["price"] == 5
    health = health_of(rig).at(rig.now_ns)
    assert (health.error_count, health.is_healthy, health.last_update_ns) == (0, True, rig.now_ns)
    client.leave()


async def test_who_leaves_before_a_symbol_is_found_out_leaves_nothing() -> None:
    rig = Rig()
    rig.sim.gate.clear()
    client = rig.connect_dashboard()
    await until(lambda: rig.sim.asked)
    client.leave()
    rig.sim.gate.set()
    assert not rig.dashboards.prices._prices
    assert not rig.sim.watched


async def test_a_loss_is_an_error_of_the_stream() -> None:
    rig = Rig()
    rig.connect_dashboard()
    await until(lambda: rig.sim.watched)
    (key,) = rig.sim.watched
    rig.sim.publish("ccxt_ticker", "BTC/USDT", key.variant, last=5)
    rig.hub.lost(key, "upstream")
    assert health_of(rig).at(rig.now_ns).error_count == 1


async def test_two_sets_with_a_symbol_in_common_share_its_watch() -> None:
    rig = Rig(dashboards=DashboardConfig(symbols=["BTC/USDT"], price_update_interval_s=3600))
    one, two = rig.connect_dashboard(), rig.connect_dashboard()
    two.say(type="subscribe", channel="price_updates", symbols=["ETH/USDT", "BTC/USDT"])
    await two.settle()
    await until(lambda: len(rig.sim.watched) == 2)
    rig.sim.publish("ccxt_ticker", "BTC/USDT", "@3600000", last=5)
    rig.dashboards.prices._tick()
    assert one.take() == two.take()
    two.leave()
    rig.sim.publish("ccxt_ticker", "BTC/USDT", "@3600000", last=6)
    rig.dashboards.prices._tick()
    assert one.take()[0]["symbols"]["BTC/USDT"]["price"] == 6
