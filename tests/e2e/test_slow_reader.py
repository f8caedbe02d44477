"""Point 4 of what the main job must show: who does not read costs a bounded amount of memory and disturbs nobody."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.limits import Limits
from tests.e2e.client import Client, client_of
from tests.e2e.processes import Exchange, Gateway, config_of, exchange_of, gateway_of, served_of

BTC, TRADE, DIFF = "BTC/USDT", "btcusdt@trade", "btcusdt@depth@100ms"
STILL = ("--synthetic", "--symbols", "1", "--rate", "0")
LIMITS = Limits()
RCVBUF_BYTES = 4_096
STALLED: dict[str, Any] = {"rcvbuf_bytes": RCVBUF_BYTES, "max_queue": 1}
SLICE = 250  # messages of one burst: less than what would make the reading client a slow one, too


async def flood(exchange: Exchange, reader: Client, trades: int) -> None:
    """Trades and book changes, as fast as `reader` takes them."""
    stream, book = reader.stream("trades", BTC), reader.stream("book", BTC)
    for _ in range(trades // SLICE):
        expected, changes = stream.count + SLICE, book.count
        await exchange.post("burst", stream=TRADE, count=SLICE)
        await exchange.post("burst", stream=DIFF, count=SLICE)
        await reader.reach(stream, expected)
        await reader.reach(book, changes + 1)


async def join(client: Client) -> None:
    await client.join("trades", BTC)
    await client.join("book", BTC)
    await client.until(lambda: client.stream("book", BTC).count > 0)


async def test_a_stalled_reader_is_told_what_it_missed_and_catches_up() -> None:
    async with (
        exchange_of(*STILL) as exchange,
        gateway_of(config_of(exchange)) as gateway,
        client_of(gateway.url) as reader,
        client_of(gateway.url, **STALLED) as stalled,
    ):
        await join(reader)
        await join(stalled)
        stalled.stall()
        waiting = Waiting(gateway)
        for _ in range(20):
            await flood(exchange, reader, SLICE)
            waiting.look()
        assert waiting.most_bytes <= LIMITS.queue_append_bytes
        assert waiting.most_bytes > LIMITS.queue_state_bytes, "it did not stall"

        stalled.wake()
        live, late = reader.stream("trades", BTC), stalled.stream("trades", BTC)
        book, late_book = reader.stream("book", BTC), stalled.stream("book", BTC)
        assert book.book is not None
        assert late_book.book is not None
        await stalled.until(lambda: late.sequence == live.sequence)
        copy = late_book.book
        await stalled.until(lambda: late_book.sequence == book.sequence and copy.valid)
        assert copy.sides() == book.book.sides()
        for stream in (late, late_book):
            assert {gap.reason for gap in stream.gaps} == {"slow_consumer"}
            assert stream.epoch == stream.messages[0]["epoch"], "numbers go on"
        assert reader_missed_nothing(reader)

        # Trades can be had again, those that the ring still has.
        asked = range(max(late.missing) - LIMITS.resend_updates_max + 1, max(late.missing) + 1)
        wanted = [number for number in asked if number in late.missing]
        count = await stalled.resend(late, asked[0], asked[-1])
        await stalled.until(lambda: len(late.resent) == count)
        assert 0 < count <= LIMITS.ring_depth_updates
        assert [number for number in wanted if number not in late.missing] == [n for n in wanted if n in late.resent]
        told = {message["sequence"]: message["data"] for message in live.messages}
        assert all(message["data"] == told[number] for number, message in late.resent.items())

        # And it is a subscriber like any other again.
        gaps = len(late.gaps), len(late_book.gaps)
        await flood(exchange, reader, SLICE)
        await stalled.until(lambda: late.sequence == live.sequence and late_book.sequence == book.sequence)
        assert (len(late.gaps), len(late_book.gaps)) == gaps
        assert late.messages[-1]["data"] == live.messages[-1]["data"]


class Waiting:
    """The most that ever waited for one socket."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.most_bytes = 0

    def look(self) -> None:
        self.most_bytes = max(self.most_bytes, *self._gateway.outboxes_bytes())


def reader_missed_nothing(reader: Client) -> bool:
    return all(not stream.gaps for stream in reader.streams.values())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_many_stalled_readers_hold_a_bounded_memory(tmp_path: Path) -> None:
    stalled_count, flood_trades = 20, 10_000
    async with (
        exchange_of(*STILL) as exchange,
        served_of(exchange, tmp_path) as gateway,
        client_of(gateway.url) as reader,
        AsyncExitStack() as stack,
    ):
        await join(reader)
        await flood(exchange, reader, 1_500)  # caches, rings and the allocator reach their size
        for stream in reader.streams.values():
            stream.forgetful()
        stalled = [await stack.enter_async_context(client_of(gateway.url, **STALLED)) for _ in range(stalled_count)]
        for client in stalled:
            await join(client)
            client.stall()
        before = gateway.rss_bytes()
        await flood(exchange, reader, flood_trades)
        grown = gateway.rss_bytes() - before
        # Unbounded, each would hold its copy of the flood: some 300 bytes a trade. Allowed is what the limits allow:
        # a queue, and what one write handed to the transport.
        allowed = stalled_count * 2 * LIMITS.queue_append_bytes
        assert grown < allowed < stalled_count * flood_trades * 300 / 4
        status = await exchange.http.get(f"{gateway.base_url}/api/ws/status")
        drops = (await status.json())["drops"]
        assert drops["slow_consumer"] > stalled_count * flood_trades / 2
        assert reader_missed_nothing(reader)
