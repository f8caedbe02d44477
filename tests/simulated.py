"""The simulated exchange as ccxt reaches it in tests: ours, and without limits of requests that would have to be kept.

Holds constructor options. Must not know who is made with them. Requests wait for their turn as at an exchange of the
world where a program is started as an operator starts it.
"""

from __future__ import annotations

from typing import Any

from gateway.sources.sim import sim_options


def options_at(base_url: str) -> dict[str, Any]:
    """Of ccxt's `binance` for the simulated exchange at `base_url`."""
    return {**sim_options(base_url), "rateLimit": 1}
