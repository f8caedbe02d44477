"""How ccxt's binance is pointed at a Binance-compatible server, such as the simulated exchange.

Holds constructor options only.
"""

from __future__ import annotations

from typing import Any


def sim_options(base_url: str) -> dict[str, Any]:
    """Constructor options of ccxt's `binance` for a server at `base_url` (`http://127.0.0.1:9001`)."""
    base = base_url.rstrip("/")
    ws = "ws" + base.removeprefix("http")  # http -> ws, https -> wss
    return {
        "urls": {
            "api": {
                "public": f"{base}/api/v3",
                "private": f"{base}/api/v3",
                "v1": f"{base}/api/v1",
                "sapi": f"{base}/sapi/v1",
                # ccxt tells spot from swap by "/stream" in the URL.
                "ws": {"spot": f"{ws}/stream/ws", "ws-api": {"spot": f"{ws}/ws-api/v3"}},
            }
        },
        "options": {
            "defaultType": "spot",
            "fetchMarkets": {"types": ["spot"]},
            "fetchMargins": False,
            "fetchCurrencies": False,
        },
    }
