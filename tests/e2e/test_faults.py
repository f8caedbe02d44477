"""Point 3 of what the main job must show: each fault of an exchange ends in a correct stream again, the loss announced.

The client verifies numbers, gaps and checksums all along; `Market.check` then holds everything that was ever served
against what the exchange says happened.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest

from tests.e2e.client import client_of
from tests.e2e.market import BTC, DEPTH, DIFF, IMPATIENT, TRADE, Market, is_current, market_of
from tests.e2e.position import Stream
from tests.e2e.processes import PATIENT, POLL_S, config_of, exchange_of, gateway_of

BURST = 500
HELD = 15  # diffs: a second and a half
DELAY_MS = 700
REFUSALS = 3
RETRY_AFTER_S = 2


def announced(stream: Stream) -> list[tuple[str, bool]]:
    """(reason, whether numbers began anew) of each gap."""
    return [(gap.reason, gap.new_epoch is not None) for gap in stream.gaps]


async def recovered(market: Market) -> None:
    await market.in_step()
    await market.check()


@pytest.mark.parametrize("fault", ["drop", "expire"])
async def test_a_disconnect(fault: str) -> None:
    """A cut, and the 24-hour rule with its close handshake."""
    async with market_of() as market:
        await market.fault(fault)
        streams = (market.book, market.trades, market.quotes, market.bars)
        await market.gapped(*streams)
        await recovered(market)
        for stream in streams:
            assert set(announced(stream)) == {("upstream", True)}
        assert announced(market.book) == [("upstream", True)], "told once"


async def test_silence_of_a_dead_connection() -> None:
    """Not even pings are answered, and the exchange takes no new connection: nothing old is served meanwhile."""
    async with market_of(**IMPATIENT) as market:
        await market.exchange.fault("rest", status=503, path="/stream", seconds=60)
        await market.fault("silent")
        await market.gapped(market.book, market.trades, market.quotes, market.bars)
        told = market.book.count
        async with client_of(market.gateway.url) as newcomer:
            book = await newcomer.join("book", BTC, depth=DEPTH)
            assert (book.epoch, book.sequence) == (market.book.epoch, 0)
            assert (await newcomer.request(action="ping"))["type"] == "pong"
            assert book.count == 0, "a state from before the loss was served"
            assert market.book.count == told
            await market.exchange.fault("clear")
            await recovered(market)
            await newcomer.until(lambda: is_current(book, market.truth))
            assert book.messages[0]["kind"] == "snapshot"


async def test_silence_of_a_connection_that_answers_pings() -> None:
    """Books and quotes are found out by their silence; trades, which may be quiet, by the ids that are missing then."""
    async with market_of(**IMPATIENT) as market:
        await market.fault("silent", pong=True, seconds=4)
        await market.gapped(market.book, market.quotes)
        await market.gapped(market.trades, market.bars)
        await recovered(market)
        assert set(announced(market.trades)) == {("upstream", True)}


async def test_a_missing_diff() -> None:
    async with market_of() as market:
        await market.fault("skip", DIFF)
        await market.gapped(market.book)
        await recovered(market)
        assert announced(market.book) == [("resync", True)]
        assert not market.trades.gaps, "one channel's loss is not another's"


async def test_a_missing_trade() -> None:
    async with market_of() as market:
        await market.fault("skip", TRADE)
        await market.gapped(market.trades, market.bars)
        await recovered(market)
        assert announced(market.trades) == announced(market.bars) == [("upstream", True)]
        assert not market.book.gaps


async def test_bursts_in_one_segment() -> None:
    async with market_of(PATIENT) as market:
        traded, updates = market.trades.count, market.book.count
        await market.exchange.post("burst", stream=TRADE, count=BURST)
        await market.client.until(lambda: market.trades.count >= traded + BURST)
        await market.fault("hold", DIFF, count=HELD)
        await market.client.until(lambda: market.book.count >= updates + HELD)
        await recovered(market)
        assert [stream.gaps for stream in market.client.streams.values()] == [[]] * 4


async def test_a_delay() -> None:
    """Late is not lost: no gap, and the times on the wire say how late."""
    async with market_of() as market:
        began = market.book.count
        await market.fault("delay", ms=DELAY_MS, seconds=2)
        await market.client.until(lambda: any(lag_ms(each) >= DELAY_MS for each in market.book.messages[began:]))
        await market.client.until(lambda: lag_ms(market.book.messages[-1]) < DELAY_MS / 2)
        await recovered(market)
        assert [stream.gaps for stream in market.client.streams.values()] == [[]] * 4


def lag_ms(message: dict[str, Any]) -> float:
    """From the exchange's event to our reading it."""
    return float(message["t_in"] / 1e6 - message["t_ex"]) if message["t_ex"] is not None else 0.0


@pytest.mark.parametrize("status", [429, 418, 503])
async def test_refused_requests_while_a_book_is_sought(status: int) -> None:
    """The book needs a snapshot by REST, and the exchange refuses the first ones."""
    async with market_of() as market:
        await market.exchange.fault("rest", status=status, path="/api/v3/depth", count=REFUSALS)
        await market.fault("skip", DIFF)
        await market.gapped(market.book)
        await market.exchange.until(lambda each: each["counters"].get("requests_refused", 0) == REFUSALS)
        await recovered(market)
        assert announced(market.book) == [("resync", True)], "attempts that brought nothing lose nothing"


@pytest.mark.parametrize("status", [429, 418])
async def test_an_exchange_that_names_a_time_is_not_asked_before(status: int) -> None:
    """Its answers say how long it wants peace: so many requests come, and no more."""
    async with market_of() as market:
        await market.exchange.fault(
            "rest", status=status, path="/api/v3/depth", seconds=60, retry_after_s=RETRY_AFTER_S
        )  # fmt: skip
        began_s = monotonic()
        await market.fault("skip", DIFF)
        await market.gapped(market.book)
        await market.exchange.until(lambda each: each["counters"].get("requests_refused", 0) >= REFUSALS)
        assert monotonic() - began_s >= (REFUSALS - 1) * RETRY_AFTER_S
        await market.exchange.fault("clear")
        await recovered(market)
        assert [stream.gaps for stream in (market.trades, market.quotes, market.bars)] == [[]] * 3


@pytest.mark.parametrize("status", [429, 418, 503])
async def test_refused_requests_while_markets_are_sought(status: int) -> None:
    """The first subscribe is told, symbol by symbol, and a later one succeeds."""
    async with exchange_of("--synthetic", "--symbols", "1", "--rate", "50") as exchange:
        await exchange.fault("rest", status=status, path="/api/v3/exchangeInfo", seconds=60)
        async with gateway_of(config_of(exchange)) as gateway, client_of(gateway.url) as client:
            ack = await client.subscribe("trades", BTC)
            assert ack["errors"] == {BTC: "exchange_unavailable"}
            assert not ack["streams"]
            await exchange.fault("clear")
            while ack["errors"]:  # refused without asking until a short backoff is over
                await asyncio.sleep(POLL_S)
                ack = await client.subscribe("trades", BTC)
            await client.reach(client.stream("trades", BTC), 4)


async def test_one_fault_after_another() -> None:
    """Losses on top of losses: still every number and every book is right."""
    async with market_of() as market:
        await market.fault("skip", DIFF)
        await market.fault("drop", TRADE)
        await market.gapped(market.book, market.trades)
        await market.fault("expire")
        await market.gapped(market.quotes)
        await market.fault("skip", DIFF, count=2)
        await recovered(market)
        assert all(is_new for _, is_new in announced(market.book))
