"""The configuration of a gateway with everything on; that it serves is shown by a mix."""

from __future__ import annotations

import tomllib
from pathlib import Path

from loadtest import whole
from loadtest.bench.servers import Server

MARKET, TRADED = (Server("exchange", 1, port, Path()) for port in (7001, 7002))


def test_the_account_s_exchange_is_another_than_the_market_s() -> None:
    said = tomllib.loads(whole.config_of(7000, MARKET, TRADED, {"quotes": 3_000}))
    exchanges = said["exchanges"]
    assert said["default_exchange"] == next(iter(exchanges))
    urls = [each["options"]["urls"]["api"]["public"] for each in exchanges.values()]
    assert urls == ["http://127.0.0.1:7001/api/v3", "http://127.0.0.1:7002/api/v3"]
    assert exchanges[whole.TRADED].get("stale_after_ms") is None
    assert exchanges[said["default_exchange"]]["stale_after_ms"] == {"quotes": 3_000}
    assert said["server"] == {"port": 7000}
