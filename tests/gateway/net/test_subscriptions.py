"""The table of a connection's streams, over the real hub."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.core.key import Key
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net.subscriptions import Listing, Spelling, Subscriptions, variant_of
from gateway.wire import stream
from tests.gateway.net.fakes import FakeConnection, Rig

SPELLING = Spelling({"sim": None, "kraken": None}, "sim")


@pytest.mark.parametrize(
    ("spelling", "listing"),
    [
        ("BTC/USDT", Listing("sim", "BTC/USDT")),
        ("kraken:ETH/USD", Listing("kraken", "ETH/USD")),
        ("BTC/USDT:USDT", Listing("sim", "BTC/USDT:USDT")),
        ("sim:BTC/USDT:USDT", Listing("sim", "BTC/USDT:USDT")),
        ("other:BTC/USDT", Listing("sim", "other:BTC/USDT")),
        ("sim:", Listing("sim", "sim:")),
        (":x", Listing("sim", ":x")),
    ],
)
def test_only_a_configured_exchange_is_a_prefix(spelling: str, listing: Listing) -> None:
    assert SPELLING.read(spelling) == listing


def test_without_a_default_a_bare_symbol_has_no_exchange() -> None:
    assert Spelling({"sim": None}, None).read("BTC/USDT") == Listing("", "BTC/USDT")


def test_the_variant_is_what_the_channel_depends_on() -> None:
    def asked(channel: str) -> stream.Subscribe:
        return stream.Subscribe(channel=channel, symbols=["A"], depth=10, timeframe="5m")

    assert [variant_of(asked(each)) for each in ("quotes", "trades", "bars", "book")] == ["", "", "5m", "10"]


class Table:
    """One connection's table; keys are made as the default exchange would."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.rig = Rig(limits)
        self.conn = FakeConnection(self.rig.fanout)
        service = self.rig.service
        self.table = Subscriptions(self.rig.hub, service.forms, self.rig.limits, service.spelling, self.conn.outbox)

    def subscribe(self, channel: str, *symbols: str, **options: Any) -> dict[str, Any]:
        request = stream.Subscribe(channel=channel, symbols=list(symbols), **options)
        keys = {each: self._key(channel, each, variant_of(request)) for each in symbols}
        return dict(json.loads(self.table.subscribe(request, keys, {}, deflate=False))["data"])

    def _key(self, channel: str, spelling: str, variant: str) -> Key:
        listing = self.rig.service.spelling.read(spelling)
        return Key(listing.exchange, channel, listing.symbol.upper(), variant)

    def unsubscribe(self, channel: str, *symbols: str, **options: Any) -> dict[str, Any]:
        request = stream.Unsubscribe(channel=channel, symbols=list(symbols) or None, **options)
        return dict(json.loads(self.table.unsubscribe(request))["data"])


async def test_streams_are_listed_as_the_client_spelled_them() -> None:
    table = Table()
    table.subscribe("book", "sim:BTC/USDT", depth=10, throttle_ms=120, encoding="msgpack")
    table.subscribe("bars", "kraken:ETH/USD", timeframe="5m", compression="gzip", batch=True)
    book, bars = table.table.listed()
    assert (book.subscription_id, book.symbol, book.exchange, book.depth, book.timeframe, book.throttle_ms) == (
        *("s1", "sim:BTC/USDT", "sim", 10, None, 100),
    )
    assert (bars.subscription_id, bars.symbol, bars.timeframe, bars.depth) == ("s2", "kraken:ETH/USD", "5m", None)
    assert (bars.compression, bars.encoding, bars.batch) == ("gzip", "json", True)


async def test_a_batch_says_the_interval_it_gathers_for() -> None:
    table = Table()
    assert table.subscribe("trades", "BTC/USDT", batch=True)["throttle_ms"] == 50


async def test_one_stream_spelled_twice_is_one_stream() -> None:
    table = Table()
    data = table.subscribe("quotes", "BTC/USDT", "sim:BTC/USDT")
    assert data["symbols"] == ["BTC/USDT", "sim:BTC/USDT"]
    assert data["streams"]["BTC/USDT"] == data["streams"]["sim:BTC/USDT"]
    assert len(table.table) == 1


async def test_other_options_replace_a_stream() -> None:
    table = Table()
    table.subscribe("quotes", "BTC/USDT")
    table.subscribe("quotes", "BTC/USDT", throttle_ms=250)
    (listed,) = table.table.listed()
    assert (listed.subscription_id, listed.throttle_ms) == ("s2", 250)
    assert sorted(table.rig.hub.subscribers().values()) == [0, 1]


async def test_a_book_is_replaced_by_another_depth_and_bars_live_beside_another_timeframe() -> None:
    table = Table()
    table.subscribe("book", "BTC/USDT", depth=10)
    table.subscribe("book", "BTC/USDT", depth=50)
    table.subscribe("bars", "BTC/USDT", timeframe="1m")
    table.subscribe("bars", "BTC/USDT", timeframe="5m")
    assert [(each.depth, each.timeframe) for each in table.table.listed()] == [(50, None), (None, "1m"), (None, "5m")]


async def test_unsubscribe_by_symbol_by_timeframe_and_by_channel() -> None:
    table = Table()
    table.subscribe("quotes", "BTC/USDT", "kraken:ETH/USD")
    table.subscribe("bars", "BTC/USDT", timeframe="1m")
    table.subscribe("bars", "BTC/USDT", timeframe="5m")
    assert table.unsubscribe("bars", "BTC/USDT", timeframe="5m") == {"symbols": ["BTC/USDT"], "errors": {}}
    assert [each.timeframe for each in table.table.listed()] == [None, None, "1m"]
    assert table.unsubscribe("quotes", "sim:BTC/USDT", "XXX") == {
        "symbols": ["sim:BTC/USDT"],
        "errors": {"XXX": "unknown_symbol"},
    }
    assert table.unsubscribe("quotes") == {"symbols": ["kraken:ETH/USD"], "errors": {}}
    assert table.unsubscribe("quotes") == {"symbols": [], "errors": {}}
    assert len(table.table) == 1


async def test_a_symbol_the_source_renamed_is_left_by_either_name() -> None:
    table = Table()
    for name in ("btc/usdt", "BTC/USDT"):
        table.subscribe("quotes", "btc/usdt")
        assert table.unsubscribe("quotes", name) == {"symbols": [name], "errors": {}}
        assert len(table.table) == 0


async def test_the_limit_refuses_only_what_is_too_much() -> None:
    table = Table(Limits(subscriptions_per_connection_max=2))
    data = table.subscribe("quotes", "A", "B", "C")
    assert (data["symbols"], data["errors"]) == (["A", "B"], {"C": "too_many_subscriptions"})
    assert table.subscribe("quotes", "B", throttle_ms=100)["errors"] == {}


async def test_a_refused_change_of_options_leaves_the_stream_as_it_was() -> None:
    table = Table(Limits(streams_max=1))
    table.subscribe("quotes", "A")
    assert table.subscribe("quotes", "A", throttle_ms=100)["errors"] == {"A": "too_many_subscriptions"}
    [kept] = table.table.listed()
    assert (kept.symbol, kept.throttle_ms) == ("A", 0)


async def test_the_servers_limit_is_an_error_of_the_symbol() -> None:
    table = Table(Limits(streams_max=1))
    assert table.subscribe("quotes", "A", "B")["errors"] == {"B": "too_many_subscriptions"}


async def test_resend_refuses_numbers_of_an_epoch_that_has_ended() -> None:
    table = Table()
    epoch = table.subscribe("trades", "BTC/USDT")["streams"]["BTC/USDT"]["epoch"]
    request = stream.Resend(channel="trades", symbol="BTC/USDT", epoch="another", from_=1, to=2)
    with pytest.raises(TickwireError, match="epoch has ended") as caught:
        table.table.resend(request)
    assert caught.value.details == {"epoch": epoch}
    assert b'"resent":0' in table.table.resend(msgspec.structs.replace(request, epoch=epoch))


async def test_resend_needs_to_know_which_stream() -> None:
    table = Table()
    request = stream.Resend(channel="bars", symbol="BTC/USDT", from_=1, to=2)
    with pytest.raises(TickwireError, match="not subscribed"):
        table.table.resend(request)
    table.subscribe("bars", "BTC/USDT", timeframe="1m")
    table.subscribe("bars", "BTC/USDT", timeframe="5m")
    with pytest.raises(TickwireError, match="timeframe") as caught:
        table.table.resend(request)
    assert caught.value.details == {"timeframes": ["1m", "5m"]}
