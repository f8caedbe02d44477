"""The user data stream, as ccxt.pro watches it."""

import asyncio
import json
from typing import Any

import ccxt.pro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.exchange.accounts import DEFAULT_KEY, DEFAULT_SECRET, Accounts
from loadtest.exchange.server import ExchangeServer
from loadtest.exchange.signing import sign, signed_params
from loadtest.exchange.streams import Streams
from loadtest.exchange.synthetic import SyntheticFeed
from loadtest.exchange.userdata import UserData
from tests.loadtest.exchange.tools import Client, Collector, texts, trader_options

SYMBOL = "BTC/USDT"


async def subscribed(client: Client, server: ExchangeServer, **change: object) -> Any:
    """A socket of the WebSocket API after a subscription, and the answer to it."""
    socket = await client.connect("/ws-api/v3")
    params: dict[str, object] = {"apiKey": DEFAULT_KEY, "timestamp": server.feed.trading_ms()} | change
    params["signature"] = sign(DEFAULT_SECRET, signed_params(params))
    await socket.send_json({"id": "1", "method": "userDataStream.subscribe.signature", "params": params})
    return socket, await socket.receive_json(timeout=10)


async def test_ccxt_watches_orders_trades_and_balances(still: ExchangeServer, client: Client) -> None:
    exchange = ccxt.pro.binance(trader_options(still.base_url))
    try:
        await exchange.load_markets()
        await exchange.authenticate()
        order_seen = asyncio.ensure_future(exchange.watch_orders(SYMBOL))
        balance_seen = asyncio.ensure_future(exchange.watch_balance())
        await exchange.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "a"})
        seen = (await asyncio.wait_for(order_seen, 10))[-1]
        assert (seen["clientOrderId"], seen["status"], seen["remaining"]) == ("a", "open", 0.01)
        assert (await asyncio.wait_for(balance_seen, 10))["USDT"]["used"] == 590
        trade_seen = asyncio.ensure_future(exchange.watch_my_trades(SYMBOL))
        await asyncio.sleep(0)
        assert (await client.post("/admin/fill", symbol="BTCUSDT", client_order_id="a", qty="0.004"))[0] == 200
        trade = (await asyncio.wait_for(trade_seen, 10))[-1]
        assert (trade["amount"], trade["price"], trade["takerOrMaker"]) == (0.004, 59_000, "maker")
        assert trade["fee"] == {"cost": 0.000004, "currency": "BTC"}
    finally:
        await exchange.close()


async def test_events_in_order(still: ExchangeServer, client: Client) -> None:
    socket, answer = await subscribed(client, still)
    assert answer == {"id": "1", "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []}
    await client.post("/admin/fund", asset="USDT", amount="5")
    events = [orjson.loads(text) for text in await texts(socket, 2)]
    assert [event["event"]["e"] for event in events] == ["balanceUpdate", "outboundAccountPosition"]
    assert events[0]["subscriptionId"] == 0
    assert events[0]["event"]["d"] == "5.00000000"
    assert events[1]["event"]["B"] == [{"a": "USDT", "f": "1000005.00000000", "l": "0.00000000"}]


async def test_refusals(still: ExchangeServer, client: Client) -> None:
    socket, answer = await subscribed(client, still, timestamp=1)
    assert (answer["status"], answer["error"]["code"]) == (400, -1021)
    _, answer = await subscribed(client, still, apiKey="nobody")
    assert (answer["status"], answer["error"]["code"]) == (401, -2015)
    for text, code in (("{", -1135), ("[]", -1135), ('{"params":[]}', -1135), ('{"id":7,"method":"x"}', -1099)):
        await socket.send_str(text)
        assert (await socket.receive_json(timeout=10))["error"]["code"] == code


async def test_one_subscription_a_connection(still: ExchangeServer, client: Client) -> None:
    socket, _ = await subscribed(client, still)
    params: dict[str, object] = {"apiKey": DEFAULT_KEY, "timestamp": still.feed.trading_ms()}
    params["signature"] = sign(DEFAULT_SECRET, signed_params(params))
    again = {"id": 2, "method": "userDataStream.subscribe.signature", "params": params}
    await socket.send_json(again)
    assert (await socket.receive_json(timeout=10))["error"]["code"] == -2035
    await socket.send_json({"id": 3, "method": "userDataStream.unsubscribe"})
    assert (await socket.receive_json(timeout=10))["status"] == 200
    await socket.send_json(again)
    assert (await socket.receive_json(timeout=10))["status"] == 200
    await socket.send_json({"id": 4, "method": "ping"})
    assert (await socket.receive_json(timeout=10))["result"] == {}
    await socket.send_json({"id": 5, "method": "time"})
    assert (await socket.receive_json(timeout=10))["result"]["serverTime"] == pytest.approx(
        still.feed.trading_ms(), abs=10_000
    )


async def test_the_faults_of_streams_act_on_it(still: ExchangeServer, client: Client) -> None:
    socket, _ = await subscribed(client, still)
    assert await client.fault("drop", stream="user@default") == 1
    assert (await socket.receive(10)).data is None or socket.closed


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
signature_params = st.dictionaries(
    st.sampled_from(["apiKey", "timestamp", "signature", "recvWindow"]), json_values | st.just(DEFAULT_KEY)
)


@given(
    st.text()
    | json_values.map(json.dumps)
    | st.fixed_dictionaries(
        {"method": st.sampled_from(["userDataStream.subscribe.signature", "userDataStream.unsubscribe", "ping", "x"])},
        optional={"id": json_values, "params": signature_params | json_values},
    ).map(json.dumps)
)
def test_whatever_is_sent_is_answered(text: str) -> None:
    streams = Streams()
    user_data = UserData(streams, Accounts({}), SyntheticFeed(streams, 1, rate=0, seed=1))
    answer = orjson.loads(user_data.reply(Collector(), text))  # type: ignore[arg-type]  # only what it uses
    assert answer["status"] in (200, 400, 401)
    assert ("result" in answer) == (answer["status"] == 200)
