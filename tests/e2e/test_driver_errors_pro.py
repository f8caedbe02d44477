"""The codes that only a WebSocket of the gateway refuses with, raised by the driver as the right exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from ccxt.base import errors as ccxt

from driver.pro import OmsCcxtProExchange
from tests.e2e.ordering import Ordering
from tests.e2e.test_driver_errors import BTC, BY_SOCKET, Provoked

SOCKETS: Final[Mapping[str, type[ccxt.BaseError]]] = {
    "not_authenticated": ccxt.AuthenticationError,
    "too_many_subscriptions": ccxt.RateLimitExceeded,
}


async def test_what_a_socket_is_refused(gateway_with_orders: Ordering) -> None:
    gateway, provoked = gateway_with_orders, Provoked(SOCKETS)
    assert set(SOCKETS) == set(BY_SOCKET)
    await gateway.stop()
    limits = msgspec.structs.replace(gateway.config.limits, subscriptions_per_connection_max=1)
    gateway.config = msgspec.structs.replace(gateway.config, limits=limits)
    await gateway.start()
    options = {"account_id": 1, "exchange": "sim", "retries": 1}
    given = {"apiKey": gateway.keys["ann"], "hostname": f"127.0.0.1:{gateway.app.port}", "options": options}
    async with OmsCcxtProExchange(given) as exchange:
        await exchange.watch_ticker(BTC)
        await provoked.by("too_many_subscriptions", exchange.watch_trades(BTC))
    async with OmsCcxtProExchange({**given, "apiKey": ""}) as exchange:
        await provoked.by("not_authenticated", exchange.watch_orders())
    provoked.assert_all()
