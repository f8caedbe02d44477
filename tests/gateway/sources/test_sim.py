"""The one place that knows how ccxt's binance is pointed elsewhere."""

from __future__ import annotations

import ccxt.pro
import pytest

from gateway.sources.sim import sim_options


@pytest.mark.parametrize(("base", "ws"), [("http://h:1", "ws://h:1"), ("https://h/", "wss://h")])
def test_every_address_of_binance_s_spot_market_is_the_server_s(base: str, ws: str) -> None:
    exchange = ccxt.pro.binance(sim_options(base))
    api = exchange.urls["api"]
    host = base.rstrip("/")
    assert [api[name] for name in ("public", "private", "v1", "sapi")] == [
        f"{host}/api/v3", f"{host}/api/v3", f"{host}/api/v1", f"{host}/sapi/v1",
    ]  # fmt: skip
    assert (api["ws"]["spot"], api["ws"]["ws-api"]["spot"]) == (f"{ws}/stream/ws", f"{ws}/ws-api/v3")
    assert exchange.options["fetchMarkets"]["types"] == ["spot"]
