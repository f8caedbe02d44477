"""The stream dialect end to end: every option of a subscription, resuming, resending, errors and the way out.

The exchange stands still unless told to move, so that what must arrive is known.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.limits import Limits
from tests.e2e.client import Client, client_of
from tests.e2e.position import Stream
from tests.e2e.processes import PATIENT, STOP_S, Exchange, Gateway, config_of, exchange_of, gateway_of, served_of

BTC, ETH = "BTC/USDT", "ETH/USDT"
TRADE, DIFF = "btcusdt@trade", "btcusdt@depth@100ms"
BURST = 50
DEFLATE = {"compression": "deflate"}


class Still(NamedTuple):
    """An exchange that moves on command, and a gateway on it under two names."""

    exchange: Exchange
    gateway: Gateway

    async def trade(self, count: int) -> None:
        await self.exchange.post("burst", stream=TRADE, count=count)


@pytest.fixture
async def still() -> AsyncIterator[Still]:
    async with (
        exchange_of("--synthetic", "--symbols", "3", "--rate", "0") as exchange,
        gateway_of(config_of(exchange, "other", limits=PATIENT)) as gateway,
    ):
        yield Still(exchange, gateway)


def position(stream: Stream) -> dict[str, Any]:
    return {"epoch": stream.epoch, "sequence": stream.sequence}


async def test_many_symbols_in_one_subscribe(still: Still) -> None:
    async with client_of(still.gateway.url) as client:
        spelled = [BTC, f"sim:{ETH}", f"other:{BTC}", "XXX/USDT", "nowhere:BTC/USDT"]
        ack = await client.subscribe("trades", *spelled)
        assert ack["errors"] == {"XXX/USDT": "unknown_symbol", "nowhere:BTC/USDT": "unknown_symbol"}
        assert ack["symbols"] == list(ack["streams"]) == spelled[:3]
        assert len({stream["epoch"] for stream in ack["streams"].values()}) == 3
        mine, other = client.stream("trades", BTC), client.stream("trades", f"other:{BTC}")
        await still.exchange.until(lambda status: status["streams"].get(TRADE, {}).get("subscribers") == 2)
        await still.trade(BURST)
        await client.until(lambda: mine.count == other.count == BURST)
        assert {each["exchange"] for each in mine.data} == {"sim"}
        assert {each["exchange"] for each in other.data} == {"other"}
        assert [each["trade_id"] for each in mine.data] == [each["trade_id"] for each in other.data]

        listed = (await client.request(action="list"))["data"]["subscriptions"]
        assert [(each["symbol"], each["exchange"]) for each in listed] == [
            (BTC, "sim"), (f"sim:{ETH}", "sim"), (f"other:{BTC}", "other"),
        ]  # fmt: skip
        reply = await client.request(action="unsubscribe", channel="trades", symbols=[f"other:{BTC}", "XXX/USDT"])
        assert reply["data"] == {"symbols": [f"other:{BTC}"], "errors": {"XXX/USDT": "unknown_symbol"}}
        await still.trade(BURST)
        await client.until(lambda: mine.count == 2 * BURST)  # a message of the other would have failed the client


@pytest.mark.parametrize(
    ("wire", "options", "kinds"),
    [
        ({}, {"compression": "gzip"}, {"json", "gzip"}),
        ({}, {"encoding": "msgpack"}, {"json", "msgpack"}),
        ({}, {"encoding": "msgpack", "compression": "gzip"}, {"json", "msgpack", "gzip+msgpack"}),
        (DEFLATE, {}, {"json"}),
        (DEFLATE, {"encoding": "msgpack"}, {"json", "msgpack"}),
        (DEFLATE, {"compression": "gzip"}, {"json", "gzip"}),
    ],
)
async def test_every_form_says_the_same(
    still: Still, wire: dict[str, Any], options: dict[str, Any], kinds: set[str]
) -> None:
    """One sequence, however it is encoded: the same numbers, times and data for every subscriber."""
    async with client_of(still.gateway.url) as plain, client_of(still.gateway.url, **wire) as formed:
        pairs = []
        for channel, more in (("trades", {}), ("book", {"depth": 50})):
            pairs.append((await plain.join(channel, BTC, **more), await formed.join(channel, BTC, **more, **options)))
        (trades, formed_trades), (book, formed_book) = pairs
        await plain.until(lambda: book.count > 0)
        await still.exchange.until_subscribed(TRADE, DIFF)
        await still.trade(BURST)
        await still.exchange.post("burst", stream=DIFF, count=BURST)
        for client, counted, changed in ((plain, trades, book), (formed, formed_trades, formed_book)):
            await client.reach(counted, BURST)
            await client.reach(changed, BURST + 1)
        await formed.until(lambda: formed_book.sequence == book.sequence)
        for one, another in pairs:
            common = {message["sequence"] for message in one.messages if message["kind"] == "update"}
            common &= {message["sequence"] for message in another.messages if message["kind"] == "update"}
            assert len(common) >= BURST
            assert chosen(one, common) == chosen(another, common)
        assert formed.kinds == kinds
        negotiated = formed.wire.response is not None and formed.wire.response.headers.get("Sec-WebSocket-Extensions")
        assert bool(negotiated) == bool(wire)


def chosen(stream: Stream, numbers: set[int]) -> list[dict[str, Any]]:
    return [message for message in stream.messages if message["sequence"] in numbers]


@pytest.mark.parametrize(("throttle_ms", "tier_ms"), [(49, 0), (120, 100), (600, 500)])
async def test_throttled_streams_end_where_the_others_do(throttle_ms: int, tier_ms: int) -> None:
    """Each tier is a sequence of its own, at most one message an interval; trades wait, but all of them come."""
    async with (
        exchange_of("--synthetic", "--symbols", "1", "--rate", "300") as exchange,
        gateway_of(config_of(exchange)) as gateway,
        client_of(gateway.url) as client,
        client_of(gateway.url) as throttled,
    ):
        book, trades = await client.join("book", BTC), await client.join("trades", BTC)
        ack = await throttled.subscribe("book", BTC, throttle_ms=throttle_ms)
        assert ack["throttle_ms"] == tier_ms
        slow_quotes = await throttled.join("quotes", BTC, throttle_ms=throttle_ms)
        slow_trades = await throttled.join("trades", BTC, throttle_ms=throttle_ms)
        slow_book = throttled.stream("book", BTC)
        assert (slow_book.epoch == book.epoch) == (tier_ms == 0)
        await throttled.until(lambda: slow_book.count > 6 and slow_quotes.count > 6 and slow_trades.count > 30)
        for stream in (slow_book, slow_quotes):
            times_ms = [message["t_out"] / 1e6 for message in stream.messages]
            span_ms = times_ms[-1] - times_ms[0]
            # After the snapshot one at once, then one an interval; a busy machine may shift a single one.
            assert (len(times_ms) - 3) * tier_ms <= span_ms, f"{stream.channel}: too often"
        last = slow_trades.data[-1]["trade_id"]
        await client.until(lambda: trades.data[-1]["trade_id"] >= last)
        ids = [each["trade_id"] for each in trades.data]
        slow_ids = [each["trade_id"] for each in slow_trades.data]
        first = ids.index(slow_ids[0])
        assert slow_ids == ids[first : first + len(slow_ids)]
        assert book.book is not None
        at_ms = slow_book.messages[-1]["t_ex"]
        await client.until(lambda: any(message["t_ex"] == at_ms for message in book.messages))
        same = next(number for number, message in enumerate(book.messages) if message["t_ex"] == at_ms)
        assert slow_book.book is not None
        assert slow_book.book.history[-1] == book.book.history[same]


async def test_batches_hold_every_trade(still: Still) -> None:
    async with client_of(still.gateway.url) as client, client_of(still.gateway.url) as batched:
        trades = await client.join("trades", BTC)
        batches = await batched.join("trades", BTC, batch=True, throttle_ms=100)
        await still.exchange.until_subscribed(TRADE)
        await still.trade(BURST)
        await client.until(lambda: trades.count == BURST)
        await batched.until(lambda: len(batches.data) == BURST)
        assert batches.data == trades.data
        assert {message["type"] for message in batches.messages} == {"batch"}
        assert batches.count <= BURST / 5


async def test_resume_after_a_disconnect(still: Still) -> None:
    """What was missed is replayed, exactly; the books, too, go on from where they were."""
    async with client_of(still.gateway.url) as witness, client_of(still.gateway.url) as client:
        trades, seen = await client.join("trades", BTC), await witness.join("trades", BTC)
        book, known = await client.join("book", BTC), await witness.join("book", BTC)
        await witness.until(lambda: known.count > 0)
        await still.exchange.until_subscribed(TRADE, DIFF)
        await still.trade(BURST)
        await client.until(lambda: trades.count == BURST and book.sequence == known.sequence)
        client.wire.transport.abort()
        await client.closed()

        await still.trade(BURST)
        await still.exchange.post("burst", stream=DIFF, count=BURST)
        await witness.until(lambda: seen.count == 2 * BURST and known.sequence >= book.sequence + BURST)
        async with client_of(still.gateway.url) as again:
            ack = await again.subscribe("trades", BTC, resume={BTC: position(trades)})
            assert ack["streams"][BTC] == {**position(trades), "recovered": True, "replayed": BURST}
            resumed = again.stream("trades", BTC)
            await again.until(lambda: resumed.count == BURST)
            assert trades.messages + resumed.messages == seen.messages

            assert book.book is not None
            again.books[BTC] = book.book
            ack = await again.subscribe("book", BTC, resume={BTC: position(book)}, snapshot=False)
            assert ack["streams"][BTC]["recovered"] is True
            resumed_book = again.stream("book", BTC)
            await again.until(lambda: resumed_book.sequence == known.sequence)
            assert known.book is not None
            assert book.book.sides() == known.book.sides()


async def test_a_position_nobody_has_any_more(still: Still) -> None:
    """Too long ago, or of an epoch that is over: told as a gap, then the present state."""
    depth = Limits().ring_depth_updates
    async with client_of(still.gateway.url) as witness:
        seen, known = await witness.join("trades", BTC), await witness.join("book", BTC)
        await witness.until(lambda: known.count > 0)
        await still.exchange.until_subscribed(TRADE, DIFF)
        await still.trade(depth + BURST)
        await witness.until(lambda: seen.count == depth + BURST)
        for resume, gap in (
            ({"epoch": seen.epoch, "sequence": 5}, (seen.epoch, 6, seen.sequence, None)),
            ({"epoch": "gone", "sequence": 5}, ("gone", 6, 6, seen.epoch)),
        ):
            async with client_of(still.gateway.url) as late:
                await resume_in_vain(late, resume, seen, gap)
                ack = await late.subscribe("book", BTC, resume={BTC: {"epoch": "gone", "sequence": 5}})
                assert ack["streams"][BTC]["recovered"] is False
                book = late.stream("book", BTC)
                await late.reach(book, 1)
                assert book.messages[0]["kind"] == "snapshot"
                assert book.sequence == known.sequence


async def resume_in_vain(
    late: Client, resume: dict[str, Any], seen: Stream, gap: tuple[str, int, int, str | None]
) -> None:
    """Ask for trades from a lost position; `gap` is what is told first, as (epoch, from, to, new epoch)."""
    ack = await late.subscribe("trades", BTC, resume={BTC: resume})
    assert ack["streams"][BTC] == {**position(seen), "recovered": False, "replayed": 0}
    stream = late.stream("trades", BTC)
    await late.until(lambda: stream.sequence == seen.sequence)
    first = stream.gaps[0]
    assert (first.epoch, first.first, first.last, first.new_epoch) == gap
    assert {each.reason for each in stream.gaps} == {"resync"}


async def test_numbers_can_be_had_again(still: Still) -> None:
    async with client_of(still.gateway.url) as client:
        trades = await client.join("trades", BTC)
        await still.exchange.until_subscribed(TRADE)
        await still.trade(BURST)
        await client.until(lambda: trades.count == BURST)
        assert await client.resend(trades, 11, 20) == 10
        await client.until(lambda: len(trades.resent) == 10)
        assert list(trades.resent.values()) == trades.messages[10:20]
        assert await client.resend(trades, BURST + 1, BURST + 9) == 0
        reply = await client.request(action="resend", channel="trades", symbol=ETH, **{"from": 1, "to": 2})
        assert (reply["type"], reply["code"]) == ("error", "validation_error")


async def test_a_mistake_costs_an_error_and_not_the_connection(still: Still) -> None:
    async with client_of(still.gateway.url) as client:
        for raw, code in (
            ("{", "validation_error"),
            ("[1]", "validation_error"),
            ('{"action":"dance"}', "unsupported_action"),
            ('{"action":"subscribe","channel":"trades","symbols":"BTC/USDT"}', "validation_error"),
            ('{"action":"subscribe","channel":"weather","symbols":["BTC/USDT"]}', "unsupported_channel"),
            ('{"action":"subscribe","channel":"book","symbols":["BTC/USDT"],"depth":0}', "validation_error"),
        ):
            reply = await client.say(raw)
            assert (reply["type"], reply["code"]) == ("error", code)
        assert (await client.request(action="ping"))["type"] == "pong"
        ack = await client.subscribe("bars", BTC, timeframe="7w")
        assert ack["errors"] == {BTC: "validation_error"}


async def test_the_same_port_answers_http(still: Still) -> None:
    http, base = still.exchange.http, f"http://127.0.0.1:{still.gateway.app.port}"
    async with client_of(still.gateway.url) as client:
        await client.join("trades", BTC)
        async with http.get(f"{base}/api/ws/status") as answer:
            status = await answer.json()
        assert (status["connections"], status["subscriptions"]) == (1, 1)
        assert [(each["exchange"], each["channel"], each["symbol"]) for each in status["watches"]] == [
            ("sim", "trades", BTC)
        ]
        for path, code in (("/healthz", 200), ("/readyz", 200), ("/v1/stream", 426), ("/nowhere", 404)):
            async with http.get(f"{base}{path}") as answer:
                assert answer.status == code, path


async def test_a_served_gateway_says_goodbye(tmp_path: Path) -> None:
    """SIGTERM to the command: `server_shutdown`, what was queued, 1001, exit code 0, nothing left upstream."""
    async with (
        exchange_of("--synthetic", "--symbols", "1", "--rate", "100") as exchange,
        served_of(exchange, tmp_path) as gateway,
        client_of(gateway.url) as client,
        client_of(gateway.url) as other,
    ):
        clients: list[Client] = [client, other]
        for each in clients:
            stream = await each.join("trades", BTC)
            await each.reach(stream, 4)
        gateway.process.send_signal(signal.SIGTERM)
        for each in clients:
            assert await each.closed() == 1001
            assert [notice["type"] for notice in each.notices] == ["server_shutdown"]
            assert each.notices[0]["deadline_ms"] == Limits().drain_ms
            assert each.notices[0]["reconnect_after_ms"] > 0
        assert await asyncio.wait_for(gateway.process.wait(), STOP_S) == 0
        await exchange.until(lambda status: status["connections"] == 0)
