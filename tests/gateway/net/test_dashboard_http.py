"""`GET /websocket/status`: exactly its keys, and what they say."""

from __future__ import annotations

from litestar import Litestar
from litestar.testing import TestClient

from gateway.config import DashboardConfig
from gateway.net.dashboard_http import status_resource
from tests.gateway.net.fakes import Rig
from tests.waiting import until

MINUTE_NS = 60_000_000_000


async def test_the_status_has_exactly_these_keys() -> None:
    rig = Rig()
    with TestClient(Litestar([status_resource(rig.dashboards)], logging_config=None)) as client:
        assert client.get("/websocket/status").json() == {
            "enabled": True,
            "active_connections": 0,
            "max_connections": 10_000,
            "ping_interval": 30,
            "price_update_interval": 3,
            "portfolio_update_interval": 5,
            "stream_health": {
                name: {
                    "last_update": None, "error_count": 0, "recovery_attempts": 0, "is_healthy": True,
                    "started_at": None,
                }
                for name in ("price_updates", "portfolio")
            },
        }  # fmt: skip


async def test_the_status_follows_what_is_configured_and_what_goes_on() -> None:
    rig = Rig(dashboards=DashboardConfig(enabled=False, symbols=["BTC/USDT"], connections_max=7, ping_interval_s=2.5))
    rig.connect_dashboard()
    await until(lambda: rig.sim.watched)
    (key,) = rig.sim.watched
    rig.sim.publish("ccxt_ticker", "BTC/USDT", key.variant, last=5)
    rig.now_ns += MINUTE_NS
    rig.dashboards.prices._tick()
    status = rig.dashboards.status()
    assert (status["enabled"], status["active_connections"], status["max_connections"]) == (False, 1, 7)
    assert status["ping_interval"] == 2.5
    assert status["stream_health"]["price_updates"] == {
        "last_update": "2026-02-07T14:31:00.123Z", "error_count": 0, "recovery_attempts": 0, "is_healthy": True,
        "started_at": "2026-02-07T14:30:00.123Z",
    }  # fmt: skip
    rig.now_ns += 5 * MINUTE_NS
    assert not rig.dashboards.status()["stream_health"]["price_updates"]["is_healthy"]
