"""The admin endpoint: what it tells, and what it takes."""

import pytest

from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, texts


async def test_status_counts_connections_and_streams(still: ExchangeServer, client: Client) -> None:
    first = await client.listen("btcusdt@trade", "btcusdt@depth")
    second = await client.listen("btcusdt@trade")
    still.feed.burst("btcusdt@trade", 3)
    await texts(first, 3)
    await texts(second, 3)
    status = (await client.get("/admin/status"))[1]
    assert status["connections"] == 2
    assert status["subscriptions"] == 3
    assert status["streams"] == {
        "btcusdt@trade": {"subscribers": 2, "subscribes": 2, "messages": 3},
        "btcusdt@depth": {"subscribers": 1, "subscribes": 1, "messages": 0},
    }
    assert status["counters"]["messages_sent"] == 6
    assert status["feed"]["kind"] == "synthetic"
    assert status["faults"]["rest"] is None


async def test_a_burst_is_one_write(still: ExchangeServer, client: Client) -> None:
    socket = await client.listen("ethusdt@kline_1m")
    before = still.streams.counters["writes"]
    assert await client.post("/admin/burst", stream="ethusdt@kline_1m", count=40) == (200, {"count": 40})
    assert len(set(await texts(socket, 40))) == 40
    assert still.streams.counters["writes"] == before + 1


async def test_a_trade_on_demand(client: Client) -> None:
    socket = await client.connect("/ws/btcusdt@trade")
    status, answer = await client.post("/admin/trade", symbol="BTCUSDT", side="SELL", size="0.00001")
    assert status == 200
    assert f'"t":{answer["trades"][0]["id"]},' in (await texts(socket, 1))[0]


@pytest.mark.parametrize(
    ("path", "command", "status"),
    [
        ("burst", {"stream": "btcusdt@trade", "count": 0}, 400),
        ("burst", {"stream": "btcusdt@trade", "count": "1"}, 400),
        ("burst", {"count": 1}, 400),
        ("burst", {"stream": "nothing", "count": 1}, 409),
        ("trade", {"symbol": "BTCUSDT", "side": "UP", "size": "1"}, 400),
        ("trade", {"symbol": "BTCUSDT", "side": "BUY", "size": "much"}, 400),
        ("trade", {"symbol": "NOPE", "side": "BUY", "size": "1"}, 409),
        ("start", {}, 409),
        ("step", {}, 409),
        ("faults", {"fault": "nothing"}, 400),
    ],
)
async def test_wrong_commands_are_refused(client: Client, path: str, command: dict[str, object], status: int) -> None:
    got, answer = await client.post(f"/admin/{path}", **command)
    assert got == status
    assert answer["error"]


@pytest.mark.parametrize("timeout_s", ["soon", "-1", "nan", "inf"])
async def test_a_time_that_cannot_be_waited_is_refused(client: Client, timeout_s: str) -> None:
    assert (await client.get(f"/admin/wait?timeout_s={timeout_s}"))[0] == 400


async def test_a_synthetic_feed_has_no_end_to_wait_for(client: Client) -> None:
    assert (await client.get("/admin/wait"))[0] == 409
