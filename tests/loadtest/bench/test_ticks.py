"""One message a tick, by the exchange's own count; what it refuses ends the program."""

from __future__ import annotations

import http.client
import json

import pytest

from loadtest.bench import servers, ticks


def test_one_message_a_tick() -> None:
    with servers.exchange() as exchange:
        connection = http.client.HTTPConnection("127.0.0.1", exchange.port, timeout=10)
        before = newest_trade(exchange)
        for _ in range(3):
            ticks.tick(connection, "btcusdt@trade")
        assert newest_trade(exchange) == before + 3
        with pytest.raises(SystemExit, match="nosuch@trade: 409"):
            ticks.tick(connection, "nosuch@trade")
        connection.close()


def newest_trade(exchange: servers.Server) -> int:
    _status, recent = exchange.get("/api/v3/trades?symbol=BTCUSDT&limit=1")
    return max((int(trade["id"]) for trade in json.loads(recent)), default=0)
