"""What is carried out and what is answered part ways: as ccxt sees it, and as the ledger has it."""

from collections.abc import AsyncIterator
from typing import Any

import ccxt
import ccxt.async_support
import pytest

from loadtest.exchange.request_faults import NO_TROUBLE, RequestFaults
from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, trader_options
from tests.waiting import until

SYMBOL = "BTC/USDT"


@pytest.fixture
async def trader(still: ExchangeServer) -> AsyncIterator[Any]:
    exchange = ccxt.async_support.binance(trader_options(still.base_url))
    await exchange.load_markets()
    yield exchange
    await exchange.close()


async def place(trader: Any, client_id: str) -> Any:
    return await trader.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": client_id})


async def ledger(client: Client) -> tuple[list[tuple[str, str]], list[str]]:
    """Outcome and answer of each request; client ids of the orders accepted."""
    told = (await client.get("/admin/ledger"))[1]
    return (
        [(row["outcome"], row["answer"]) for row in told["requests"]],
        [row["client_order_id"] for row in told["orders"]],
    )


@pytest.mark.parametrize(
    ("command", "error", "outcome", "answer"),
    [
        ({"fault": "lose"}, ccxt.NetworkError, "accepted", "lost"),
        ({"fault": "lose", "accepted": False}, ccxt.NetworkError, "received", "lost"),
        ({"fault": "fail"}, ccxt.ExchangeNotAvailable, "received", "503"),
        ({"fault": "fail", "status": 502, "accepted": True}, ccxt.ExchangeNotAvailable, "accepted", "502"),
        ({"fault": "fail", "status": 408, "code": -1007, "accepted": True}, ccxt.RequestTimeout, "accepted", "408"),
        ({"fault": "reject"}, ccxt.InvalidOrder, "-2010", "400"),
        ({"fault": "reject", "code": -1013, "message": "Market is closed."}, ccxt.ExchangeError, "-1013", "400"),
        ({"fault": "reject", "code": -2015, "status": 401}, ccxt.AuthenticationError, "-2015", "401"),
    ],
)
async def test_one_request_meets_it_and_the_next_does_not(
    trader: Any, client: Client, command: dict[str, Any], error: type[Exception], outcome: str, answer: str
) -> None:
    await client.post("/admin/faults", **command)
    assert (await client.get("/admin/status"))[1]["faults"]["requests"] == 1
    with pytest.raises(error):
        await place(trader, "a")
    assert (await place(trader, "b"))["status"] == "open"
    requests, orders = await ledger(client)
    assert requests == [(outcome, answer), ("accepted", "200")]
    assert orders == (["a", "b"] if outcome == "accepted" else ["b"])


async def test_a_cancel_that_is_answered_as_done_and_is_not(trader: Any, client: Client) -> None:
    order = await place(trader, "a")
    await client.fault("pretend")
    assert (await trader.cancel_order(order["id"], SYMBOL))["status"] == "canceled"
    assert (await trader.fetch_order(order["id"], SYMBOL))["status"] == "open"
    await trader.cancel_order(order["id"], SYMBOL)
    assert (await trader.fetch_order(order["id"], SYMBOL))["status"] == "canceled"


async def test_a_late_answer_to_an_order_that_was_there_at_once(trader: Any, client: Client) -> None:
    await client.fault("late", ms=60_000)
    trader.timeout = 1_000
    with pytest.raises(ccxt.RequestTimeout):
        await place(trader, "a")
    assert [order["clientOrderId"] for order in await trader.fetch_open_orders(SYMBOL)] == ["a"]
    assert (await ledger(client))[0] == [("accepted", "none")]


async def test_an_order_that_comes_late_is_taken_though_nobody_waits(
    still: ExchangeServer, trader: Any, client: Client
) -> None:
    await client.fault("late", ms=3_000, accepted=False)
    trader.timeout = 1_000
    with pytest.raises(ccxt.RequestTimeout):
        await place(trader, "a")
    trader.timeout = 10_000
    with pytest.raises(ccxt.OrderNotFound):
        await trader.fetch_order(None, SYMBOL, {"origClientOrderId": "a"})
    await until(lambda: still.trading.ledger.orders)
    assert (await ledger(client))[1] == ["a"]


async def test_other_requests_are_met_too(trader: Any, client: Client) -> None:
    order = await place(trader, "a")
    # Twice: aiohttp sends a DELETE that was not answered once more by itself.
    await client.fault("lose", request="DELETE order", count=2)
    await client.fault("fail", request="GET order", status=500, count=2)
    with pytest.raises(ccxt.NetworkError):
        await trader.cancel_order(order["id"], SYMBOL)
    for _ in range(2):
        with pytest.raises(ccxt.ExchangeNotAvailable):
            await trader.fetch_order(order["id"], SYMBOL)
    assert (await trader.fetch_order(order["id"], SYMBOL))["status"] == "canceled"


async def test_who_asks_is_still_checked(still: ExchangeServer, client: Client) -> None:
    stranger = ccxt.async_support.binance(trader_options(still.base_url, secret="wrong"))
    await client.fault("reject")
    try:
        with pytest.raises(ccxt.AuthenticationError):
            await place(stranger, "a")
    finally:
        await stranger.close()


async def test_clear_ends_what_is_to_come(trader: Any, client: Client) -> None:
    await client.fault("lose", count=5)
    await client.fault("clear")
    assert (await place(trader, "a"))["status"] == "open"


def test_the_oldest_first_each_for_its_kind() -> None:
    faults = RequestFaults([("POST", "order"), ("GET", "order")])
    faults.kinds["reject"]({"code": -1, "count": 2})
    faults.kinds["reject"]({"code": -2})
    faults.kinds["lose"]({"request": "GET order"})
    assert not faults.take(("GET", "order")).is_answered
    codes = [trouble.refusal.code for _ in range(3) if (trouble := faults.take(("POST", "order"))).refusal]
    assert codes == [-1, -1, -2]
    assert faults.take(("POST", "order")) is NO_TROUBLE


@pytest.mark.parametrize(
    "command",
    [
        {"fault": "late"},
        {"fault": "lose", "request": "GET nothing"},
        {"fault": "lose", "count": 0},
        {"fault": "lose", "accepted": "yes"},
        {"fault": "fail", "status": 200},
        {"fault": "reject", "code": "much"},
    ],
)
async def test_wrong_commands(client: Client, command: dict[str, Any]) -> None:
    assert (await client.post("/admin/faults", **command))[0] == 400
