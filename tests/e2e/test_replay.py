"""Point 1 of what the main job must show: recorded messages in, and a real client ends up with what was recorded.

recording -> exchange (a process) -> ccxt.pro's binance -> gateway -> client. The recorded session of Binance is held
against itself: its bookTicker, its trades, and bars computed from them. TICKWIRE_E2E_SPEED=1 replays it as it was.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.client import Client, client_of
from tests.e2e.position import Level, Stream
from tests.e2e.processes import PATIENT, config_of, exchange_of, gateway_of
from tests.e2e.recordings import Best, Recording, assert_same, iso, read
from tests.loadtest.exchange.tools import write_recording

BTC = "BTC/USDT"
OTHER = f"other:{BTC}"
DEPTH = 20
INTERVALS_MS = {"1s": 1_000, "1m": 60_000, "5m": 300_000}
SPEED = os.environ.get("TICKWIRE_E2E_SPEED", "60")
RECORDED_S = 651
MINUTE_MS = 60_000
# A replay waits for whoever is slow, so this only ends one that hangs: 17 s of work, on a machine that others use too.
REPLAY_S = 240.0 + RECORDED_S / float(SPEED)


@dataclass
class Replayed:
    """The recording, and what the clients had when it was over."""

    recording: Recording
    client: Client  # subscribed before it began
    late: Client  # came in the middle: the same book throttled, and another watch that had to find its way in

    def streams(self) -> list[Stream]:
        return [*self.client.streams.values(), *self.late.streams.values()]


@asynccontextmanager
async def replayed(paths: list[Path], speed: str) -> AsyncIterator[Replayed]:
    """Play a recording to the end, with a rest in the middle until the late client is there as well."""
    recording = Recording(paths)
    messages_before, trades_before = middle(paths, len(recording.trades) // 4)
    async with (
        exchange_of("--replay", *paths, "--speed", speed, "--start-on", "command") as exchange,
        # The book is held against trades by the clock, which a replay runs ahead of: a second is a minute of it.
        gateway_of(config_of(exchange, "other", limits=PATIENT, book_contradiction_ms=120_000)) as gateway,
        client_of(gateway.url) as client,
        client_of(gateway.url) as late,
    ):
        trades = await client.join("trades", BTC)
        book = await client.join("book", BTC, depth=DEPTH)
        for timeframe in INTERVALS_MS:
            await client.join("bars", BTC, timeframe=timeframe)
        await exchange.until_subscribed("btcusdt@trade", "btcusdt@depth@100ms")
        await client.until(lambda: book.count > 0)
        await exchange.post("step", count=messages_before)
        await client.until(lambda: unbroken(client) and trades.count == trades_before, REPLAY_S)
        throttled = await late.join("book", BTC, depth=5, throttle_ms=100)
        other = await late.join("book", OTHER, depth=DEPTH)
        await late.until(lambda: throttled.count > 0 and other.count > 0, REPLAY_S)
        await exchange.post("start")
        await client.until(
            lambda: (
                unbroken(client) and trades.count == len(recording.trades) and sides(book) == recording.final(DEPTH)
            ),
            REPLAY_S,
        )
        for timeframe in INTERVALS_MS:
            newest = last_bar(recording, timeframe)
            await client.until(partial(is_told, client.stream("bars", BTC, timeframe), newest))
        await late.until(
            lambda: (
                unbroken(late) and sides(throttled) == recording.final(5) and sides(other) == recording.final(DEPTH)
            ),
            REPLAY_S,
        )
        yield Replayed(recording, client, late)


def middle(paths: list[Path], trades_min: int) -> tuple[int, int]:
    """How many messages to play before the rest, and how many of them are trades.

    It falls between two seconds, early in a minute: no bar that is not whole comes of age meanwhile.
    """
    trades = last_ms = 0
    played = (message for path in paths for message in read(path) if "stream" in message)
    for number, message in enumerate(played):
        if message["stream"].endswith("@trade"):
            time_ms = message["data"]["T"]
            if trades >= trades_min and last_ms % MINUTE_MS < MINUTE_MS // 2 and time_ms // 1000 > last_ms // 1000:
                return number, trades
            trades, last_ms = trades + 1, time_ms
    raise AssertionError("the recording has no such place")


def unbroken(client: Client) -> bool:
    """A hole that is not announced fails the client at once; here there is no announced one either."""
    gaps = [(name, gap) for name, stream in client.streams.items() for gap in stream.gaps]
    assert not gaps, gaps
    return True


def last_bar(recording: Recording, timeframe: str) -> tuple[str, float] | None:
    """Its start, and its volume, which no other state of it has; None when that is the first one, which is not told."""
    bars = recording.bars(INTERVALS_MS[timeframe])
    start_ms = max(bars)
    return (iso(start_ms), round(float(bars[start_ms].volume), 9)) if len(bars) > 1 else None


def is_told(stream: Stream, newest: tuple[str, float] | None) -> bool:
    """Whether this is the newest bar the client has."""
    if not stream.messages:
        return newest is None
    bar = stream.messages[-1]["data"]
    return (bar["timestamp"], round(float(bar["volume"]), 9)) == newest


def sides(stream: Stream) -> tuple[list[tuple[Decimal, Decimal]], ...]:
    """What the client has, as the recording says it: bids and asks."""
    assert stream.book is not None
    return tuple([(Decimal(price), Decimal(size)) for price, size in side] for side in stream.book.sides())


def check_book(recording: Recording, stream: Stream) -> int:
    """At every shared update id the client's best prices are the recorded ones; returns how many ids were compared."""
    assert stream.book is not None
    told = [message["t_ex"] for message in stream.messages]
    update_ids = {diff.event_ms: diff.update_id for diff in recording.diffs}
    assert len(update_ids) == len(recording.diffs), "event times name the diffs"
    assert {event_ms for event_ms in told if event_ms is not None} <= update_ids.keys()
    at = next(number for number, event_ms in enumerate(told) if event_ms is not None)
    began_ms, compared = told[at], 0
    for diff in recording.diffs:
        if diff.event_ms < began_ms:
            continue
        # A diff that touches no level of ours brings no message: the book stays as it was.
        while at + 1 < len(told) and told[at + 1] <= diff.event_ms:
            at += 1
        expected = recording.bests.get(diff.update_id)
        if expected is not None:
            assert best_of(*stream.book.history[at]) == expected, diff
            compared += 1
    return compared


def best_of(bids: list[Level], asks: list[Level]) -> Best:
    return Best(*(Decimal(text) for level in (bids[0], asks[0]) for text in level))


def check_checksums(replay: Replayed) -> None:
    """The client compared one with every message; this says that there were messages."""
    books = [stream for stream in replay.streams() if stream.book is not None]
    assert len(books) == 3
    for stream in books:
        assert stream.book is not None
        assert stream.book.checksums == stream.count > 0
        assert stream.messages[0]["kind"] == "snapshot"


def check_trades(replay: Replayed) -> None:
    """Each recorded trade once, in order, with its digits."""
    expected = [
        {
            "symbol": BTC,
            "exchange": "sim",
            "price": float(trade.price),
            "size": float(trade.size),
            "side": trade.side,
            "timestamp": iso(trade.time_ms),
            "trade_id": str(trade.id),
        }
        for trade in replay.recording.trades
    ]
    assert replay.client.stream("trades", BTC).data == expected


def check_bars(replay: Replayed, timeframe: str) -> int:
    """The bars are those of the recorded trades, each closed once; returns how many were closed.

    The first interval began before the recording, so its bar is not told.
    """
    expected = replay.recording.bars(INTERVALS_MS[timeframe])
    starts = sorted(expected)
    told = replay.client.stream("bars", BTC, timeframe).data
    closed = [bar for bar in told if bar["closed"]]
    # The last one is closed by time, perhaps not yet.
    assert [bar["timestamp"] for bar in closed][: len(starts) - 2] == [iso(start_ms) for start_ms in starts[1:-1]]
    newest = {bar["timestamp"]: bar for bar in told}
    assert list(newest) == [iso(start_ms) for start_ms in starts[1:]]
    for start_ms in starts[1:]:
        assert_same(newest[iso(start_ms)], expected[start_ms])
    return len(closed)


def check_no_gap(replay: Replayed) -> None:
    assert unbroken(replay.client)
    assert unbroken(replay.late)


async def test_a_generated_recording_arrives_whole(tmp_path: Path) -> None:
    path = tmp_path / "spot_btcusdt.gz"
    write_recording(path, seconds=8)
    async with replayed([path], "max") as replay:
        check_no_gap(replay)
        assert check_book(replay.recording, replay.client.stream("book", BTC)) > 10
        check_checksums(replay)
        check_trades(replay)
        assert check_bars(replay, "1s") >= 6


@pytest.mark.timeout(REPLAY_S + 30)
async def test_the_recorded_market_arrives_whole(recorded_paths: list[Path]) -> None:
    async with replayed(recorded_paths, SPEED) as replay:
        check_no_gap(replay)
        assert check_book(replay.recording, replay.client.stream("book", BTC)) > 1000
        assert check_book(replay.recording, replay.late.stream("book", OTHER)) > 100
        check_checksums(replay)
        check_trades(replay)
        assert check_bars(replay, "1s") > 500
        assert check_bars(replay, "1m") >= 9
        assert check_bars(replay, "5m") >= 1
