"""ccxt's own binance on the simulated exchange: nothing lost in a burst, one stream a key, and every loss told."""

from __future__ import annotations

import asyncio
import functools
from datetime import datetime
from time import monotonic
from typing import Any

import pytest

from gateway.core.key import Key
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.sources import ccxt_source
from gateway.sources.ccxt_source import CcxtSource, make_exchange
from gateway.sources.config import ExchangeConfig
from tests.gateway.sources.tools import (
    BTC,
    Raw,
    RecordingSink,
    Rig,
    exchange_levels,
    source_on,
    subscriptions,
    synthetic,
)
from tests.simulated import options_at
from tests.waiting import until

BURST = 1_500  # more than ccxt's caches hold


# Nothing is lost in a burst


async def test_trades_burst(rig: Rig) -> None:
    key = await rig.live("trades", poke="btcusdt@trade")
    async with Raw(rig.server, "btcusdt@trade") as raw:
        before, counters = len(rig.sink.calls), rig.server.streams.counters
        sent_before, writes_before = counters["messages_sent"], counters["writes"]
        rig.server.feed.burst("btcusdt@trade", BURST)
        await until(lambda: len(raw.messages) == BURST)
        await rig.sink.until(lambda: len(rig.sink.calls) == before + BURST)
        # Answers to pings may have been written alone.
        beside = counters["messages_sent"] - sent_before - 2 * BURST
        assert counters["writes"] - writes_before <= 2 + beside, "one write a connection"
    told = [
        (trade["trade_id"], trade["price"], trade["size"], trade["side"])
        for trade in rig.sink.published(key)[before:]
    ]  # fmt: skip
    sent = [(str(m["t"]), float(m["p"]), float(m["q"]), "sell" if m["m"] else "buy") for m in raw.messages]
    assert told == sent


@pytest.mark.parametrize(("stream", "field", "raw_field"), [("bookTicker", "bid_size", "B"), ("ticker", "volume", "v")])
async def test_quotes_burst(rig: Rig, stream: str, field: str, raw_field: str) -> None:
    key = await rig.live("quotes", poke="btcusdt@bookTicker")
    await until(lambda: len(subscriptions(rig.server)) == 2)
    async with Raw(rig.server, f"btcusdt@{stream}") as raw:
        before = len(rig.sink.calls)
        rig.server.feed.burst(f"btcusdt@{stream}", BURST)
        await until(lambda: len(raw.messages) >= BURST)
        sent = [float(message[raw_field]) for message in raw.messages]

        def told() -> list[float]:
            values = [quote[field] for quote in rig.sink.published(key)[before:]]
            return [value for index, value in enumerate(values) if index == 0 or value != values[index - 1]]

        changed = [value for index, value in enumerate(sent) if index == 0 or value != sent[index - 1]]
        await rig.sink.until(lambda: told()[-len(changed) :] == changed)
    assert len(rig.sink.published(key)) - before >= BURST


TOP = {"bid": "b", "ask": "a", "bid_size": "B", "ask_size": "A"}  # ours and binance's
DAY = {"last": "c", "volume": "v"}


def as_quoted(message: dict[str, Any], fields: dict[str, str]) -> dict[str, float]:
    return {name: float(message[raw]) for name, raw in fields.items()}


async def test_quotes_are_what_the_exchange_sent(rig: Rig) -> None:
    key = await rig.live("quotes", poke="btcusdt@bookTicker")
    await until(lambda: len(subscriptions(rig.server)) == 2)
    async with Raw(rig.server, "btcusdt@bookTicker") as tops, Raw(rig.server, "btcusdt@ticker") as days:
        for count in range(1, 20):
            rig.server.feed.burst("btcusdt@bookTicker", 1)
            await until(functools.partial(lambda count: len(tops.messages) == count, count))
            sent = as_quoted(tops.messages[-1], TOP)
            await rig.sink.until(functools.partial(lambda sent: sent.items() <= newest(rig, key).items(), sent))
        for trades in (1, 2):  # the last one is at the ask, then at the bid
            before = days.messages[-1]["n"] if days.messages else 1
            rig.server.feed.burst("btcusdt@ticker", trades)
            await until(functools.partial(lambda n: days.messages and days.messages[-1]["n"] == n, before + trades))
            sent = as_quoted(days.messages[-1], {**TOP, **DAY})
            await rig.sink.until(functools.partial(lambda sent: sent.items() <= newest(rig, key).items(), sent))
    assert sent["bid"] < sent["ask"]
    assert len({sent[name] for name in ("bid_size", "ask_size", "volume")}) == 3, "none can stand for another"


def newest(rig: Rig, key: Key) -> dict[str, Any]:
    quote: dict[str, Any] = rig.sink.published(key)[-1]
    return quote


async def test_best_prices_that_stand_still_are_the_ticker_s(rig: Rig) -> None:
    """The bookTicker stream says nothing more, its connection lives."""
    key = await rig.live("quotes", poke="btcusdt@bookTicker")
    await until(lambda: len(subscriptions(rig.server)) == 2)
    rig.fault("silent", stream="btcusdt@bookTicker", pong=True)
    async with Raw(rig.server, "btcusdt@ticker") as days:
        for _ in range(2):
            rig.server.feed.burst("btcusdt@ticker", 1)
        await until(lambda: len(days.messages) >= 2)
        sent = as_quoted(days.messages[-1], {**TOP, **DAY})
        await rig.sink.until(lambda: sent.items() <= newest(rig, key).items())
    rig.fault("clear")
    async with Raw(rig.server, "btcusdt@bookTicker") as tops:
        rig.server.feed.burst("btcusdt@bookTicker", 1)
        await until(lambda: tops.messages)
        await rig.sink.until(lambda: as_quoted(tops.messages[-1], TOP).items() <= newest(rig, key).items())
    assert rig.sink.of(key, "lost") == []


@pytest.mark.parametrize("depth", [1, 10, 1000])
async def test_book_burst(rig: Rig, depth: int) -> None:
    key = await rig.live("book", str(depth), poke="btcusdt@depth@100ms")
    async with Raw(rig.server, "btcusdt@depth@100ms") as raw:
        before, t_ins = len(rig.sink.calls), set()
        rig.server.feed.burst("btcusdt@depth@100ms", BURST)
        await until(lambda: len(raw.messages) >= BURST)
        await rig.sink.until(lambda: len(rig.sink.calls) >= before + BURST)
        t_ins = {call.t_in for call in rig.sink.of(key)[before:]}
    book = rig.server.feed.markets["BTCUSDT"].book
    levels = rig.sink.levels(key)
    for side in ("bids", "asks"):
        assert [tuple(level) for level in levels[side]] == exchange_levels(book, side)[:depth]
    assert rig.sink.of(key, "lost") == []
    assert len(t_ins) < BURST, "frames of one segment were read at the same time"


async def test_candles_burst(rig: Rig) -> None:
    key = await rig.live("bars", "15m", poke="btcusdt@kline_15m")
    async with Raw(rig.server, "btcusdt@kline_15m") as raw:
        before = len(rig.sink.published(key))
        rig.server.feed.burst("btcusdt@kline_15m", BURST)
        await until(lambda: len(raw.messages) >= BURST)
        await rig.sink.until(lambda: len(rig.sink.published(key)) >= before + BURST)
    told = [bar["volume"] for bar in rig.sink.published(key) if not bar["closed"]][-BURST:]
    assert told == [float(message["k"]["v"]) for message in raw.messages][-BURST:]


async def test_bars_are_the_exchange_s_own_in_a_burst(rig: Rig) -> None:
    key = await rig.live("bars", "1s")
    await until(lambda: "btcusdt@trade" in subscriptions(rig.server))
    rig.server.feed.burst("btcusdt@trade", 1)  # its second is skipped: what came before it is not known
    skipped_s = rig.server.feed.now_ms() // 1000
    await until(lambda: rig.server.feed.now_ms() // 1000 > skipped_s)

    def closed(wanted: int) -> bool:
        return len([call for call in rig.sink.of(key) if call.final]) >= wanted

    async with Raw(rig.server, "btcusdt@kline_1s") as raw:
        for wanted in (1, 2, 3):
            rig.server.feed.burst("btcusdt@trade", 300)
            # The last one is closed by time: no trade comes after it.
            await rig.sink.until(functools.partial(closed, wanted))
        await until(lambda: len([message for message in raw.messages if message["k"]["x"]]) >= 3)
    klines = {message["k"]["t"]: message["k"] for message in raw.messages if message["k"]["x"]}
    fields = dict(zip(["open", "high", "low", "close", "volume"], "ohlcv", strict=True))
    for call in (call for call in rig.sink.of(key) if call.final):
        bar = call.data
        kline = klines[round(datetime.fromisoformat(bar["timestamp"]).timestamp() * 1000)]
        assert {name: bar[name] for name in fields} == {name: float(kline[field]) for name, field in fields.items()}
        assert bar["vwap"] == pytest.approx(float(kline["q"]) / float(kline["v"]))
        assert bar["closed"]


# One upstream subscription, and none after release


async def test_keys_on_the_same_stream_share_it(rig: Rig) -> None:
    keys = [
        await rig.live(channel, variant)
        for channel, variant in [
            ("trades", ""), ("bars", "1s"), ("bars", "1m"), ("bars", "5m"), ("book", "10"), ("book", "20"),
        ]
    ]  # fmt: skip
    await until(lambda: len(subscriptions(rig.server)) == 2)
    await until(lambda: rig.state(keys[-1]) == "live")
    topics = rig.server.streams.topics
    assert subscriptions(rig.server) == {"btcusdt@trade": 1, "btcusdt@depth@100ms": 1}
    assert {name: topics[name].subscribe_count for name in subscriptions(rig.server)} == {
        "btcusdt@trade": 1,
        "btcusdt@depth@100ms": 1,
    }
    for key in keys[1:]:
        rig.source.release(key)
    await until(lambda: subscriptions(rig.server) == {"btcusdt@trade": 1})
    rig.source.release(keys[0])
    await until(lambda: not subscriptions(rig.server))
    assert rig.source.status() == []


async def test_a_late_depth_starts_from_the_present_book(rig: Rig) -> None:
    await rig.live("book", "10", poke="btcusdt@depth@100ms")
    late = await rig.live("book", "50")
    await rig.sink.until(lambda: rig.sink.published(late))
    assert len(rig.sink.levels(late)["bids"]) == 50


async def test_releasing_one_symbol_of_a_shared_connection(rig: Rig) -> None:
    """ccxt's binance spreads streams over 50 connections: the 51st shares one."""
    symbols = [market["symbol"] for market in (await rig.source._markets.get()).values()][:52]
    keys = [await rig.live("quotes", symbol=symbol) for symbol in symbols]
    await until(lambda: len(subscriptions(rig.server)) == 2 * len(symbols), 30)
    assert len(rig.server.streams.connections) == 50
    for key in keys[:-1]:
        rig.source.release(key)
    await until(lambda: len(subscriptions(rig.server)) == 2, 30)
    # And back, also while the release is under way.
    rig.source.acquire(keys[0])
    rig.source.release(keys[0])
    rig.source.acquire(keys[0])
    await until(lambda: len(subscriptions(rig.server)) == 4)
    rig.server.feed.burst("btcusdt@bookTicker", 1)
    await rig.sink.until(lambda: rig.sink.published(keys[0]))


# Names


@pytest.mark.parametrize(
    ("channel", "symbol", "variant", "code"),
    [
        ("quotes", "NO/SUCH", "", "unknown_symbol"),
        ("quotes", BTC, "5", "validation_error"),
        ("book", BTC, "0", "validation_error"),
        ("book", BTC, "1001", "validation_error"),
        ("book", BTC, "ten", "validation_error"),
        ("bars", BTC, "7m", "validation_error"),
    ],
)
async def test_what_cannot_be_asked_for(rig: Rig, channel: str, symbol: str, variant: str, code: str) -> None:
    with pytest.raises(TickwireError) as refused:
        await rig.source.resolve(channel, symbol, variant)
    assert refused.value.code == code
    with pytest.raises(TickwireError) as refused:
        rig.source.known(channel, symbol, variant)
    assert refused.value.code == code


async def test_variants_have_one_spelling(rig: Rig) -> None:
    assert (await rig.source.resolve("book", BTC, "007")).variant == "7"
    assert rig.source.known("book", BTC, "007").variant == "7"


def test_an_unknown_class_is_told_with_a_hint() -> None:
    with pytest.raises(TickwireError, match="binance"):
        make_exchange(ExchangeConfig(klass="binanse"))


def test_options_reach_ccxt_and_the_sandbox_is_another_host() -> None:
    options = {"hostname": "example.org", "options": {"defaultType": "swap"}, "timeout": 1234}
    exchange = make_exchange(ExchangeConfig(klass="bybit", options=options))
    assert (exchange.hostname, exchange.timeout, exchange.options["defaultType"]) == ("example.org", 1234, "swap")
    sandbox = make_exchange(ExchangeConfig(klass="binance", sandbox=True))
    assert "testnet" in sandbox.urls["api"]["public"]


async def test_markets_are_loaded_once_and_one_who_gives_up_does_not_stop_the_others(rig: Rig) -> None:
    source = source_on(rig.server, rig.sink)
    exchange = source.exchange
    loads, fetch_markets = [], exchange.fetch_markets

    async def counting(params: dict[str, Any]) -> Any:
        loads.append(params)
        return await fetch_markets(params)

    exchange.fetch_markets = counting
    assert not source.answers_at_once
    impatient = asyncio.create_task(source.resolve("trades", BTC, ""))
    others = [asyncio.create_task(source.resolve("trades", BTC, "")) for _ in range(50)]
    await until(lambda: loads)
    impatient.cancel()
    assert {key.symbol for key in await asyncio.gather(*others)} == {BTC}
    assert source.answers_at_once
    assert len(loads) == 1
    await source.close()


async def test_the_start_ends_when_the_exchange_has_told_its_markets() -> None:
    async with synthetic() as server:
        source = source_on(server, RecordingSink())
        server.faults.apply({"fault": "rest", "status": 503, "count": 2})
        async with asyncio.timeout(10):
            await source.start()
        assert BTC in source.exchange.markets
        await source.close()


async def test_an_exchange_that_is_down_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(ccxt_source, "monotonic", lambda: now_s)
    async with synthetic() as server:
        source = source_on(server, RecordingSink())
        server.faults.apply({"fault": "rest", "status": 503, "count": 1})
        outcomes = await asyncio.gather(
            *(source.resolve("trades", BTC, "") for _ in range(3)), return_exceptions=True
        )  # fmt: skip
        assert [getattr(outcome, "code", None) for outcome in outcomes] == ["exchange_unavailable"] * 3
        refusal = outcomes[0]
        assert isinstance(refusal, TickwireError)
        assert refusal.retry_after_ms is not None
        now_s += refusal.retry_after_ms / 1000 - 0.002
        with pytest.raises(TickwireError):  # though it would answer
            await source.resolve("trades", BTC, "")
        now_s += 0.002
        assert (await source.resolve("trades", BTC, "")).symbol == BTC
        await source.close()


async def test_an_exchange_that_does_not_answer_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ccxt_source, "MARKETS_PATIENCE_S", 0.5)

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    hole = await asyncio.start_server(swallow, "127.0.0.1", 0)
    options = options_at(f"http://127.0.0.1:{hole.sockets[0].getsockname()[1]}")
    source = CcxtSource("x", ExchangeConfig(klass="binance", options=options), RecordingSink())
    starting = asyncio.create_task(source.start())
    begun_s = monotonic()
    waited_s = []
    for _ in range(20):
        with pytest.raises(TickwireError) as refusal:
            await source.resolve("trades", BTC, "")
        assert (refusal.value.code, refusal.value.retry_after_ms) == ("exchange_unavailable", 1_000)
        waited_s.append(monotonic() - begun_s)
    assert 0.5 <= waited_s[0] <= waited_s[-1] < 5, "who comes later is told at once; ccxt gives up after 10 s"
    assert not starting.done(), "a start has all the time it needs"
    await source.close()
    hole.close()
    await asyncio.wait([starting])
    assert starting.cancelled()


async def test_depth_is_limited_by_the_limits() -> None:
    source = CcxtSource("x", ExchangeConfig(klass="binance"), RecordingSink(), limits=Limits(book_depth_max=5))
    with pytest.raises(TickwireError, match="1 to 5"):
        await source.resolve("book", BTC, "6")
    await source.close()
