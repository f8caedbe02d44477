"""Sessions of the dashboard dialect, on the real hub: who is told which prices when, and what each request does."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.config import DashboardConfig
from gateway.limits import Limits
from gateway.net.head import Refusal
from tests.gateway.net.fakes import DashboardClient, Rig
from tests.waiting import until

NOW = "2026-02-07T14:30:00.123Z"
EVERYTHING = dict.fromkeys(["price", "change", "change_pct", "volume", "high", "low", "open", "close"])


@pytest.fixture
async def rig() -> Rig:
    return Rig(dashboards=DashboardConfig(symbols=["BTC/USDT", "kraken:ETH/USD"], price_update_interval_s=3600))


async def watched(rig: Rig, *symbols: str) -> None:
    """Exchanges have been asked for these."""
    await until(lambda: {key.symbol for source in rig.sources.values() for key in source.watched} >= set(symbols))


def shown(client: DashboardClient) -> tuple[str, ...]:
    """The symbols whose prices it is told."""
    return client.session._symbols


def tick(rig: Rig) -> None:
    """An interval is over."""
    rig.dashboards.prices._tick()


def quote(rig: Rig, symbol: str, last: float) -> None:
    source = rig.sources["kraken" if symbol == "ETH/USD" else "sim"]
    (key,) = [key for key in source.watched if key.symbol == symbol]
    source.publish("ccxt_ticker", symbol, key.variant, last=last)


async def test_a_new_client_is_told_all_configured_prices_in_one_message_an_interval(rig: Rig) -> None:
    client = rig.connect_dashboard()
    await watched(rig, "BTC/USDT", "ETH/USD")
    tick(rig)
    assert client.take() == [], "nothing is known, and nobody is greeted"
    quote(rig, "BTC/USDT", 60_000.5)
    quote(rig, "ETH/USD", 3_000)
    assert client.take() == [], "the interval is not over"
    tick(rig)
    (message,) = client.take()
    assert list(message) == ["type", "symbols", "timestamp"]
    assert message == {
        "type": "price_update",
        "symbols": {
            "BTC/USDT": EVERYTHING | {"price": 60_000.5, "close": 60_000.5},
            "kraken:ETH/USD": EVERYTHING | {"price": 3_000, "close": 3_000},
        },
        "timestamp": NOW,
    }
    tick(rig)
    assert client.take() == [], "nothing has changed"
    quote(rig, "BTC/USDT", 60_001)
    quote(rig, "BTC/USDT", 60_002)
    tick(rig)
    (message,) = client.take()
    assert {symbol: said["price"] for symbol, said in message["symbols"].items()} == {
        "BTC/USDT": 60_002, "kraken:ETH/USD": 3_000,
    }  # fmt: skip
    client.leave()


async def test_who_has_the_same_symbols_gets_the_same_bytes_made_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    state = rig.dashboards.prices.state

    def counted(what: tuple[str, ...]) -> bytes | None:
        nonlocal made
        made += 1
        return state(what)

    monkeypatch.setattr(rig.dashboards.prices, "state", counted)
    clients = [rig.connect_dashboard() for _ in range(5)]
    await watched(rig, "BTC/USDT", "ETH/USD")
    made = 0
    quote(rig, "BTC/USDT", 1)
    tick(rig)
    frames = [client.conn.take_frames() for client in clients]
    assert frames[0]
    assert frames == [frames[0]] * 5
    assert made == 1
    for client in clients:
        client.leave()


async def test_a_newcomer_is_told_at_once_what_is_known(rig: Rig) -> None:
    rig.connect_dashboard()
    await watched(rig, "BTC/USDT")
    quote(rig, "BTC/USDT", 7)
    (message,) = rig.connect_dashboard().take()
    assert message["symbols"]["BTC/USDT"]["price"] == 7


async def test_what_is_lost_is_not_told_any_more(rig: Rig) -> None:
    client = rig.connect_dashboard()
    await watched(rig, "BTC/USDT", "ETH/USD")
    quote(rig, "BTC/USDT", 1)
    quote(rig, "ETH/USD", 2)
    (key,) = rig.sim.watched
    rig.hub.lost(key, "upstream")
    tick(rig)
    (message,) = client.take()
    assert list(message["symbols"]) == ["kraken:ETH/USD"]
    client.leave()


async def test_the_first_subscribe_narrows_and_others_add(rig: Rig) -> None:
    client = rig.connect_dashboard()
    client.say(type="subscribe", channel="price_updates", symbols=["ETH/USDT"])
    await client.settle()
    assert shown(client) == ("ETH/USDT",)
    client.say(type="subscribe", channel="price_updates", symbols=["sim:BTC/USDT", "ETH/USDT"])
    await client.settle()
    assert shown(client) == ("ETH/USDT", "sim:BTC/USDT"), "in the client's spelling"
    await watched(rig, "BTC/USDT", "ETH/USDT")
    quote(rig, "ETH/USDT", 3)
    tick(rig)
    assert list(client.take()[0]["symbols"]) == ["ETH/USDT"]
    client.say(type="unsubscribe", channel="price_updates", symbols=["ETH/USDT"])
    client.say(type="subscribe", channel="signals")
    assert shown(client) == ("sim:BTC/USDT",)
    client.say(type="unsubscribe", channel="price_updates")
    quote(rig, "BTC/USDT", 3)
    tick(rig)
    assert (shown(client), client.session.subscriptions, client.take()) == ((), 1, [])
    client.say(type="subscribe", channel="price_updates")
    assert shown(client) == ("BTC/USDT", "kraken:ETH/USD")
    client.leave()


async def test_the_first_subscribe_to_something_else_ends_prices(rig: Rig) -> None:
    client = rig.connect_dashboard()
    client.say(type="subscribe", channel="signals", symbols=[])
    assert shown(client) == ()
    assert client.take() == []


def announce(rig: Rig, symbol: str) -> None:
    """A publisher tells of a signal."""
    data = {"signal_type": "BUY", "symbol": symbol, "price": 61_000.5, "quantity": 0.1, "confidence": None,
            "source": "momentum", "timestamp": NOW}  # fmt: skip
    rig.hub.announce("signals", [symbol], json.dumps(data).encode(), rig.now_ns)


def told_of(client: DashboardClient) -> list[str]:
    return [message["symbol"] for message in client.take()]


async def test_a_signal_is_told_as_the_protocol_has_it(rig: Rig) -> None:
    client = rig.connect_dashboard()
    announce(rig, "AAPL")
    (message,) = client.take()
    assert message == {
        "type": "signal", "signal_type": "BUY", "symbol": "AAPL", "price": 61_000.5, "quantity": 0.1,
        "confidence": None, "timestamp": NOW,
    }  # fmt: skip
    assert list(message) == ["type", "signal_type", "symbol", "price", "quantity", "confidence", "timestamp"]
    client.leave()


async def test_signals_are_narrowed_by_symbol_and_left(rig: Rig) -> None:
    clients = [rig.connect_dashboard() for _ in range(4)]
    _, without, some, none = clients
    without.say(type="unsubscribe", channel="signals", symbols=["A", "B"])
    some.say(type="subscribe", channel="signals", symbols=["A", "C"])
    some.say(type="unsubscribe", channel="signals", symbols=["C"])
    some.say(type="subscribe", channel="signals", symbols=["B"])
    none.say(type="unsubscribe", channel="signals")
    for symbol in "ABC":
        announce(rig, symbol)
    assert [told_of(client) for client in clients] == [["A", "B", "C"], ["C"], ["A", "B"], []]
    without.say(type="subscribe", channel="signals", symbols=["A"])
    some.say(type="subscribe", channel="signals")
    for symbol in "ABC":
        announce(rig, symbol)
    assert [told_of(client) for client in clients] == [["A", "B", "C"], ["A"], ["A", "B", "C"], []]
    for client in clients:
        client.leave()
    assert not any(rig.hub.subscribers().values())


async def test_signals_that_cannot_be_had_are_told_and_the_connection_lives() -> None:
    rig = Rig(Limits(streams_max=0))
    client = rig.connect_dashboard()
    (message,) = client.take()
    assert message["error"].startswith("too_many_subscriptions: ")
    assert await client.ask(type="ping") == {"type": "pong"}


async def test_a_symbol_that_is_not_there_is_refused_and_the_others_are_told(rig: Rig) -> None:
    client = rig.connect_dashboard()
    said = await client.ask(type="subscribe", channel="price_updates", symbols=["XXX"])
    assert said == {"type": "error", "error": "unknown_symbol: sim has no XXX", "timestamp": NOW}
    assert shown(client) == ("BTC/USDT", "kraken:ETH/USD"), "as if nothing had been asked"
    said = await client.ask(type="subscribe", channel="price_updates", symbols=["XXX", "ETH/USDT"])
    assert said["error"] == "unknown_symbol: sim has no XXX"
    assert shown(client) == ("ETH/USDT",)
    said = await client.ask(type="subscribe", channel="price_updates", symbols=["CRASH"])
    assert said["error"] == "internal_error: the server failed on this request"
    assert await client.ask(type="ping") == {"type": "pong"}


async def test_a_client_that_leaves_while_a_symbol_is_asked_for_leaves_nothing(rig: Rig) -> None:
    client = rig.connect_dashboard()
    rig.sim.gate.clear()
    client.say(type="subscribe", channel="price_updates", symbols=["ETH/USDT"])
    await asyncio.sleep(0)
    client.conn.close(1000)
    client.leave()
    rig.sim.gate.set()
    assert rig.dashboards.connections == 0
    assert not rig.dashboards.prices._audiences


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", '{"type":"dance"}', '{"action":"ping"}', '{"action":"auth","payload":{"api_key":"k"}}']
)
async def test_what_is_no_message_of_the_dialect_is_an_error_and_the_connection_lives(rig: Rig, text: str) -> None:
    client = rig.connect_dashboard()
    client.session.on_message(client.conn, text)  # type: ignore[arg-type]  # a stand-in
    assert client.take() == [{"type": "error", "error": "Invalid message format", "timestamp": NOW}]
    assert await client.ask(type="ping") == {"type": "pong"}


async def test_too_many_symbols_are_refused() -> None:
    rig = Rig(Limits(dashboard_symbols_max=1))
    client = rig.connect_dashboard()
    said = await client.ask(type="subscribe", channel="price_updates", symbols=["BTC/USDT", "ETH/USDT"])
    assert said["error"] == "too_many_subscriptions: a channel may name 1 symbols"
    assert shown(client) == ("BTC/USDT",)


async def test_a_dashboard_too_many_is_refused() -> None:
    rig = Rig(dashboards=DashboardConfig(connections_max=1))
    client = rig.connect_dashboard()
    refused = rig.dashboards.session(None)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (429, "too_many_connections")
    client.leave()
    assert not isinstance(rig.dashboards.session(None), Refusal)


async def test_it_is_pinged_as_often_as_configured() -> None:
    rig = Rig(dashboards=DashboardConfig(ping_interval_s=7))
    assert rig.connect_dashboard().conn.heartbeat_s == 7


async def test_a_slow_reader_gets_the_newest_prices_when_it_reads_again(rig: Rig) -> None:
    client = rig.connect_dashboard()
    await watched(rig, "BTC/USDT")
    client.conn.outbox.pause()
    client.conn.send(b'"' + b"x" * 100_000 + b'"')  # more than may wait of a state
    for last in range(1, 4):
        quote(rig, "BTC/USDT", last)
        tick(rig)
        client.conn.take_frames()
    client.conn.outbox.resume()
    told = [message for message in client.take() if isinstance(message, dict)]
    assert [message["symbols"]["BTC/USDT"]["price"] for message in told] == [3]
    client.leave()


async def test_nothing_is_left_behind(rig: Rig) -> None:
    clients = [rig.connect_dashboard() for _ in range(3)]
    await watched(rig, "BTC/USDT", "ETH/USD")
    for client in clients:
        client.leave()
    assert not rig.dashboards.prices._audiences
    assert not rig.dashboards.prices._prices
    assert rig.dashboards.prices._timer is None
    assert rig.dashboards.connections == 0
