"""The view of one stream: what it counts, and what it shows."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from rich.console import Console

from gateway.app import App
from gateway.commands.view import Book, View
from gateway.config import Config, ServerConfig
from gateway.core.key import Key
from gateway.limits import Limits
from gateway.net.client import Lost, Message, StreamClient
from gateway.sources.base import Sink
from gateway.sources.config import ExchangeConfig
from tests.gateway.net.fakes import FakeSource

NOW_NS = 1_770_474_600_000_000_000


def update(sequence: int, data: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "quote",
        "kind": "update",
        "epoch": "e1",
        "sequence": sequence,
        "t_in": NOW_NS - 90_000,
        "t_out": NOW_NS - 50_000,
        "data": data or {"symbol": "BTC/USDT", "exchange": "sim", "bid": 1.5, "ask": 1.6},
        **more,
    }


def shown(view: View) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(view.render(NOW_NS))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def subscribed(sequence: int, *, recovered: bool = False) -> dict[str, Any]:
    stream = {"epoch": "e1", "sequence": sequence, "recovered": recovered}
    return {"type": "subscribed", "data": {"streams": {"BTC/USDT": stream}}}


def test_updates_make_a_rate_and_a_latency() -> None:
    view = View("quotes", "BTC/USDT")
    assert view.latency_us() is None
    assert all(view.apply(update(number), NOW_NS) for number in range(10))
    assert view.rate(NOW_NS) == 2.0
    assert view.rate(NOW_NS + 10**10) == 0.0
    assert view.latency_us() == (90.0, 90.0)
    assert view.updates == 10


def test_an_announced_gap_is_counted_and_is_no_fault() -> None:
    view = View("quotes", "BTC/USDT")
    view.apply(update(1), NOW_NS)
    assert not view.apply({"type": "gap", "epoch": "e1", "from": 2, "to": 5, "reason": "slow_consumer"}, NOW_NS)
    view.apply(update(6), NOW_NS)
    assert (view.gaps, view.missing, view.unannounced) == (1, 4, 0)


def test_a_gap_is_noted_until_the_next_update() -> None:
    view = View("quotes", "BTC/USDT")
    view.apply(subscribed(0), NOW_NS)
    view.apply(update(1), NOW_NS)
    view.apply({"type": "gap", "epoch": "e1", "from": 2, "to": 5, "reason": "slow_consumer"}, NOW_NS)
    assert "gap 2..5 (slow_consumer) e1:5" in shown(view)
    assert "1.6" in shown(view), "older than it should be, and as valid"
    view.apply(update(6), NOW_NS)
    assert "live e1:6" in shown(view)


@pytest.mark.parametrize(
    ("channel", "data", "kind"),
    [
        ("quotes", {"bid": 61837.5, "ask": 61838}, "update"),
        ("bars", {"timeframe": "1m", "close": 61837.5}, "update"),
        ("book", {"bids": [[61837.5, 1]], "asks": [[61838, 2]]}, "snapshot"),
    ],
)
def test_what_is_void_is_not_shown(channel: str, data: dict[str, Any], kind: str) -> None:
    view = View(channel, "BTC/USDT")
    view.apply(subscribed(6), NOW_NS)
    view.apply(update(7, data, kind=kind), NOW_NS)
    assert "61837.5" in shown(view)
    view.apply({"type": "gap", "epoch": "e1", "from": 8, "to": 8, "reason": "upstream", "new_epoch": "e2"}, NOW_NS)
    assert "61837.5" not in shown(view)
    assert "gap 8..8 (upstream), waiting for the exchange e2:0" in shown(view)
    view.apply(update(1, data, kind="snapshot", epoch="e2"), NOW_NS)
    assert "61837.5" in shown(view)
    assert "live e2:1" in shown(view)


def test_trades_that_were_made_stay() -> None:
    view = View("trades", "BTC/USDT")
    view.apply(subscribed(6), NOW_NS)
    view.apply(update(7, {"price": 61837.5, "trade_id": "t9"}), NOW_NS)
    view.apply({"type": "gap", "epoch": "e1", "from": 8, "to": 8, "reason": "upstream", "new_epoch": "e2"}, NOW_NS)
    assert "t9" in shown(view)
    assert "waiting for the exchange" in shown(view)


def test_a_lost_connection_is_told_before_a_gap_and_a_gap_before_live() -> None:
    view = View("book", "BTC/USDT")
    view.apply(subscribed(6), NOW_NS)
    view.apply({"type": "gap", "epoch": "e1", "from": 7, "to": 7, "reason": "upstream", "new_epoch": "e2"}, NOW_NS)
    view.lost("the connection broke", 0.5)
    assert "the connection broke; trying again in 0.5 s e2:0" in shown(view)
    view.apply(subscribed(0, recovered=True), NOW_NS)
    assert "waiting for the exchange e2:0" in shown(view)


def test_a_hole_without_a_word_is_a_fault() -> None:
    view = View("quotes", "BTC/USDT")
    view.apply(update(1), NOW_NS)
    view.apply(update(4), NOW_NS)
    assert view.unannounced == 2
    assert "2 lost without a word" in shown(view)


def test_a_new_epoch_or_snapshot_starts_anew() -> None:
    view = View("quotes", "BTC/USDT")
    view.apply(update(1), NOW_NS)
    view.apply(update(50, kind="snapshot"), NOW_NS)
    view.apply(update(3, epoch="e2"), NOW_NS)
    assert view.unannounced == 0


def test_an_announced_new_epoch_begins_at_one() -> None:
    view = View("trades", "BTC/USDT")
    view.apply(update(7), NOW_NS)
    view.apply({"type": "gap", "epoch": "e1", "from": 8, "to": 8, "reason": "upstream", "new_epoch": "e2"}, NOW_NS)
    view.apply(update(1, epoch="e2"), NOW_NS)
    assert (view.gaps, view.missing, view.unannounced) == (1, 1, 0)


def test_a_hole_at_the_start_of_an_announced_epoch_is_a_fault() -> None:
    view = View("trades", "BTC/USDT")
    view.apply(update(7), NOW_NS)
    view.apply({"type": "gap", "epoch": "e1", "from": 8, "to": 8, "reason": "upstream", "new_epoch": "e2"}, NOW_NS)
    view.apply(update(4, epoch="e2"), NOW_NS)
    assert view.unannounced == 3


def test_the_acknowledgement_says_where_the_stream_begins() -> None:
    view = View("quotes", "BTC/USDT")
    view.apply(subscribed(10), NOW_NS)
    view.apply(update(12), NOW_NS)
    assert (view.notice, view.unannounced) == ("live", 1)


def test_a_recovered_stream_goes_on_where_it_stopped() -> None:
    view = View("quotes", "BTC/USDT")
    view.apply(update(10), NOW_NS)
    view.lost("the connection broke", 0.5)
    assert "trying again in 0.5 s" in view.notice
    view.apply(subscribed(20, recovered=True), NOW_NS)
    view.apply(update(11), NOW_NS)
    assert (view.unannounced, view.reconnects) == (0, 1)


def test_other_messages_are_no_updates() -> None:
    view = View("quotes", "BTC/USDT")
    assert not view.apply({"type": "connected", "limits": {}}, NOW_NS)
    assert not view.apply({"type": "server_shutdown"}, NOW_NS)
    assert "shutting down" in view.notice


def test_a_book_is_its_snapshot_and_its_changes() -> None:
    book = Book()
    book.apply("snapshot", {"bids": [[10, 1], [9, 2]], "asks": [[11, 3]]})
    book.apply("update", {"bids": [[10, 0], [9.5, 4]], "asks": [[12, 5]]})
    assert book.top(5) == [((9.5, 4), (11, 3)), ((9, 2), (12, 5))]
    book.apply("snapshot", {"bids": [[1, 1]], "asks": []})
    assert book.top(5) == [((1, 1), None)]


def test_each_channel_is_shown() -> None:
    quotes = View("quotes", "BTC/USDT")
    quotes.apply(update(1), NOW_NS)
    assert "1.6" in shown(quotes)

    trades = View("trades", "BTC/USDT")
    trades.apply(update(1, {"price": 61837.5, "side": "buy", "trade_id": "t9"}), NOW_NS)
    assert "61837.5" in shown(trades)
    assert "t9" in shown(trades)

    bars = View("bars", "BTC/USDT")
    bars.apply(update(1, {"timeframe": "1m", "close": 7.25}), NOW_NS)
    assert "7.25" in shown(bars)

    book = View("book", "BTC/USDT")
    book.apply(update(1, {"bids": [[10, 1.25]], "asks": [[11, 2], [12, 3]]}, kind="snapshot"), NOW_NS)
    assert "1.25" in shown(book)
    assert "12" in shown(book)


def test_a_plain_line_says_position_and_fields() -> None:
    view = View("quotes", "BTC/USDT")
    body = update(7)
    view.apply(body, NOW_NS)
    assert view.line(body) == "14:29:59.999950 e1:7 quote BTC/USDT bid=1.5 ask=1.6"
    gap = {"type": "gap", "epoch": "e1", "from": 2, "to": 5, "reason": "upstream"}
    assert view.line(gap) == "gap 2..5 reason=upstream epoch=e1"


def test_a_plain_line_of_a_book_is_its_best_levels() -> None:
    view = View("book", "BTC/USDT")
    body = update(7, {"bids": [[10, 1]], "asks": [[11, 2], [12, 3]]}, type="book", kind="snapshot")
    view.apply(body, NOW_NS)
    assert view.line(body).endswith("book BTC/USDT bid=10x1 ask=11x2 levels=3")
    body = update(8, {"bids": [[10, 0]], "asks": []}, type="book")
    view.apply(body, NOW_NS)
    assert view.line(body).endswith("bid=- ask=11x2 levels=1")


def test_numbers_have_no_exponent_and_nothing_is_a_dash() -> None:
    view = View("quotes", "BTC/USDT")
    body = update(1, {"symbol": "BTC/USDT", "bid": None, "bid_size": 4e-05, "last": 1e16})
    view.apply(body, NOW_NS)
    assert view.line(body).endswith("bid=- bid_size=0.00004 last=10000000000000000")
    assert "0.00004" in shown(view)


async def test_beside_a_gateway_that_loses_its_exchange() -> None:
    made: list[FakeSource] = []

    def make_source(name: str, _config: ExchangeConfig, sink: Sink, _limits: Limits) -> FakeSource:
        made.append(FakeSource(name, {"BTC/USDT"}, sink))
        return made[0]

    exchanges = {"sim": ExchangeConfig(klass="binance")}
    app = App(Config(server=ServerConfig(port=0), default_exchange="sim", exchanges=exchanges), make_source=make_source)
    await app.start()
    view = View("quotes", "BTC/USDT")

    async def follow(events: AsyncGenerator[Message | Lost, None], kind: str) -> str:
        async for event in events:
            assert isinstance(event, Message)
            view.apply(event.body, NOW_NS)
            if event.body["type"] == kind:
                break
        return shown(view)

    client = StreamClient(f"ws://127.0.0.1:{app.port}", "quotes", "BTC/USDT")
    async with contextlib.aclosing(client.events()) as events:
        await follow(events, "subscribed")
        (source,) = made
        source.publish("quotes", "BTC/USDT", bid=61837.5, ask=61838)
        assert "61837.5" in await follow(events, "quote")
        assert source.sink is not None
        source.sink.lost(Key("sim", "quotes", "BTC/USDT"), "upstream")
        text = await follow(events, "gap")
        assert "61837.5" not in text
        assert "(upstream), waiting for the exchange" in text
        source.publish("quotes", "BTC/USDT", bid=61839.5, ask=61840)
        text = await follow(events, "quote")
        assert "61839.5" in text
        assert "live" in text
    await app.close()
