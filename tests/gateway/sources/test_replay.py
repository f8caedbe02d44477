"""Recorded frames of the venues whose format ccxt still reads: our channels say what ccxt's own parse says."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import ccxt.pro
import pytest

from gateway.core.key import Key
from gateway.sources.ccxt_source import CcxtSource
from gateway.sources.config import ExchangeConfig
from gateway.sources.quirks import BEST_PRICE_STREAM
from gateway.sources.replay import Market, Recorded, frames, offline, play, replies
from tests.gateway.sources.tools import USUAL_VARIANTS, RecordingSink

ROOT = Path(__file__).parents[3]
RECORDED = Path(os.environ.get("TICKWIRE_RECORDED_DATA", ROOT / "../shared/data")) / "cryptofeed-raw"
KUCOIN_TOKEN = {
    "code": "200000",
    "data": {
        "token": "t",
        "instanceServers": [{"endpoint": "wss://x/y", "pingInterval": 18000, "pingTimeout": 10000}],
    },
}

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded data (TICKWIRE_RECORDED_DATA)")


def as_is(payload: Recorded) -> Recorded:
    return payload


def out_of_envelope(payload: Recorded) -> Recorded:
    """Recorded as a combined stream; ccxt subscribes to raw ones."""
    return json.dumps(json.loads(payload)["data"])


def without_sequence(payload: Recorded) -> Recorded:
    """Recorded with the sequence numbers that `conf` with flag 65536 asks for; ccxt does not ask."""
    message = json.loads(payload)
    return json.dumps(message[:-1]) if isinstance(message, list) else payload


def every_100ms(payload: Recorded) -> Recorded:
    """Recorded from the raw channels, which need a login by now; ccxt subscribes to the gathered ones."""
    assert isinstance(payload, str)
    return payload.replace(".raw", ".100ms")


class Venue(NamedTuple):
    """`ids`: what market ids look like in the recording; every one of them is made a market, called `symbol`."""

    klass: str
    recording: str
    ids: str
    channels: str  # those that still parse
    adapt: Callable[[Recorded], Recorded] = as_is
    symbol: str = "{}/X"


LINEAR, INVERSE = "{}/X:X", "{0}/X:{0}"
VENUES = [
    Venue("binance", "BINANCE", r'"s":"(\w+)"', "quotes trades book", out_of_envelope),
    Venue("binancecoinm", "BINANCE_DELIVERY", r'"s":"(\w+)"', "quotes trades book", out_of_envelope, INVERSE),
    Venue("binanceus", "BINANCE_US", r'"s":"(\w+)"', "quotes trades book", out_of_envelope),
    Venue("binanceusdm", "BINANCE_FUTURES", r'"s":"(\w+)"', "quotes trades book", out_of_envelope, LINEAR),
    Venue("bitfinex", "BITFINEX", r'"symbol":"(t\w+:?\w*)"', "quotes trades book", without_sequence),
    Venue("bitget", "BITGET", r'"instId":"(\w+)"', "quotes book"),
    Venue("bithumb", "BITHUMB", r'"symbol":"(\w+)"', "trades"),
    Venue("bitmex", "BITMEX", r'"symbol":"(\w+)"', "trades book", symbol=INVERSE),
    Venue("bitstamp", "BITSTAMP", r'_([a-z0-9]+)"', "trades book"),
    Venue("blockchaincom", "BLOCKCHAIN", r'"symbol":"([\w-]+)"', "book"),
    Venue("deribit", "DERIBIT", r'"instrument_name":"([\w-]+)"', "quotes book", every_100ms, INVERSE),
    Venue("gate", "GATEIO", r'"(?:currency_pair|s)":"(\w+)"', "quotes trades"),
    Venue("gemini", "GEMINI", r'"symbol":"(\w+)"', "trades book"),
    Venue("hitbtc", "FMFW", r'"(\w{2,6}(?:BTC|ETH|BCH|USDT|USDP))"', "quotes trades book"),
    Venue("htx", "HUOBI", r"market\.(\w+)\.", "trades"),
    Venue("krakenfutures", "KRAKEN_FUTURES", r'"product_id":"(\w+)"', "trades book", symbol=INVERSE),
    Venue("kucoin", "KUCOIN", r"/market/\w+:([\w-]+)", "quotes trades book"),
    Venue("okx", "OKCOIN", r'"instId":"([\w-]+)"', "quotes trades book"),
    Venue("phemex", "PHEMEX", r'"symbol":"(\w+)"', "trades book"),
    Venue("poloniex", "POLONIEX", r'"symbol":"(\w+)"', "trades book"),
]


class Recording:
    """A venue's frames, markets and REST answers."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        path = next(RECORDED.glob(f"{venue.recording}.ws.*.0.xz"))
        recorded = list(frames(path))
        self.frames = [venue.adapt(payload) for payload in recorded]
        text = "\n".join(payload if isinstance(payload, str) else _plain(payload) for payload in recorded)
        self.ids = sorted(set(re.findall(venue.ids, text)))
        http = path.with_name(f"{venue.recording}.http.0.0.xz")
        self.answers = replies(http) if http.exists() else {}
        kucoin = "https://api.kucoin.com/api"
        for url, body in list(self.answers.items()):
            # Recorded where a login is needed by now; ccxt asks for the same at another address.
            self.answers[
                url.replace(f"{kucoin}/v3/market/orderbook/level2?", f"{kucoin}/v1/market/orderbook/level2_100?")
            ] = body
        self.answers[f"{kucoin}/v1/bullet-public"] = json.dumps(KUCOIN_TOKEN)

    def exchange(self, *, taps: bool) -> Any:
        ids = [identity.lower() if self.venue.klass == "gemini" else identity for identity in self.ids]
        markets = [Market(identity, self.venue.symbol.format(identity.upper())) for identity in ids]
        return offline(self.venue.klass, markets, self.answers, taps=taps)


def _plain(payload: bytes) -> str:
    import gzip

    return gzip.decompress(payload).decode()


class Top(RecordingSink):
    """Also remembers each state of each book."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[Key, list[Any]] = {}

    def publish_book(self, key: Key, *args: Any, **kwargs: Any) -> None:
        super().publish_book(key, *args, **kwargs)
        levels = self.levels(key)
        self.states.setdefault(key, []).append((levels["bids"], levels["asks"]))

    def lost(self, key: Key, reason: Any) -> None:
        raise AssertionError(f"{key} lost: {reason}")


def acknowledgements(exchange: Any) -> list[Recorded]:
    """binance fetches a book's snapshot when its subscription is acknowledged; the recordings begin later."""
    if not exchange.id.startswith("binance"):
        return []
    return [json.dumps({"result": None, "id": json.loads(sent)["id"]}) for sent in exchange.only.connection.sent]


async def ours(recording: Recording, channel: str) -> dict[str, list[Any]]:
    """What our channels say, by symbol."""
    exchange, sink = recording.exchange(taps=True), Top()
    source = CcxtSource("x", ExchangeConfig(klass=recording.venue.klass), sink, exchange=exchange)
    keys = [await source.resolve(channel, symbol, USUAL_VARIANTS.get(channel, "")) for symbol in exchange.markets]
    for key in keys:
        source.acquire(key)
    await _settle()
    await play(exchange, [*acknowledgements(exchange), *recording.frames])
    if channel == "book":
        said = {key.symbol: _distinct(sink.states.get(key, [])) for key in keys}
    else:
        said = {key.symbol: sink.published(key) for key in keys}
    await source.close()
    return said


async def ccxt_s(recording: Recording, channel: str) -> dict[str, list[Any]]:
    """What ccxt says to one who awaits every single update."""
    exchange = recording.exchange(taps=False)
    said: dict[str, list[Any]] = {symbol: [] for symbol in exchange.markets}
    kinds = [channel]
    if channel == "quotes":
        kinds = ["ticker", "bidask"] if recording.venue.klass in BEST_PRICE_STREAM else ["ticker"]
    state: dict[str, Any] = {symbol: {} for symbol in said}
    tasks = [
        asyncio.create_task(_consume(exchange, kind, symbol, said[symbol], state[symbol]))
        for symbol in said
        for kind in kinds
    ]
    await _settle()
    await play(exchange, [*acknowledgements(exchange), *recording.frames])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await exchange.close()
    return {symbol: _distinct(values) for symbol, values in said.items()} if channel == "book" else said


async def _consume(exchange: Any, kind: str, symbol: str, said: list[Any], state: dict[str, Any]) -> None:
    while True:
        if kind == "trades":
            batch = await exchange.watch_trades(symbol)
            newest_first = batch[0]["timestamp"] > batch[-1]["timestamp"]
            said += [_trade(trade) for trade in (reversed(batch) if newest_first else batch)]
        elif kind == "book":
            book = await exchange.watch_order_book(symbol)
            sides = [[list(level[:2]) for level in itertools.islice(book[side], 10)] for side in ("bids", "asks")]
            if not (sides[0] and sides[1] and sides[0][0][0] >= sides[1][0][0]):
                said.append(tuple(sides))
        else:
            params = {"name": "ticker"} if exchange.id.startswith("binance") else {}
            alone = exchange.id not in BEST_PRICE_STREAM
            best = kind == "bidask"
            ticker = (
                (await exchange.watch_bids_asks([symbol]))[symbol]
                if best
                else await exchange.watch_ticker(symbol, params)
            )
            state["tickers"] = 0 if best else state.get("tickers", 0) + 1
            state["best" if best else "ticker"] = ticker
            top, day = state.get("best", {}), state.get("ticker", {})
            stuck = state["tickers"] > 1 or not top  # silent between two tickers, or not heard yet
            if alone or (stuck and (day.get("bid"), day.get("ask")) != (None, None)):
                same = not alone and (day["bid"], day["ask"]) == (top.get("bid"), top.get("ask"))
                top = top if same and day.get("bidVolume") is None else day
            quote = {name: top.get(field) for name, field in TOP.items()}
            quote.update(last=day.get("last"), volume=day.get("baseVolume"))
            said.append({**dict.fromkeys(QUOTE), **quote})


TOP = {"bid": "bid", "ask": "ask", "bid_size": "bidVolume", "ask_size": "askVolume"}
QUOTE = [*TOP, "last", "volume"]


def _trade(trade: dict[str, Any]) -> tuple[Any, ...]:
    return (trade["id"], trade["price"], trade["amount"], trade["side"], trade["datetime"])


def _distinct(states: Iterable[Any]) -> list[Any]:
    """Without repeats: a diff below the tenth level changes nothing that is told."""
    return [state for state, _ in itertools.groupby(states) if state[0] or state[1]]


async def _settle() -> None:
    """Let every subscription be sent; nothing here takes longer than turns of the loop."""
    for _ in range(200):
        await asyncio.sleep(0)


CASES = [(venue, channel) for venue in VENUES for channel in venue.channels.split()]


@pytest.mark.parametrize(("venue", "channel"), CASES, ids=[f"{venue.klass}-{channel}" for venue, channel in CASES])
async def test_a_venue_says_what_ccxt_says(venue: Venue, channel: str) -> None:
    if venue.klass not in ccxt.pro.exchanges:
        pytest.skip(f"ccxt {ccxt.__version__} has no {venue.klass}")
    recording = Recording(venue)
    told, expected = await ours(recording, channel), await ccxt_s(recording, channel)
    assert any(expected.values()), "the recording holds nothing of this channel that ccxt reads"
    for symbol, values in expected.items():
        if channel == "trades":
            assert [
                (trade["trade_id"], trade["price"], trade["size"], trade["side"], trade["timestamp"])
                for trade in told[symbol]
            ] == values
        elif channel == "quotes":
            assert [{name: quote[name] for name in QUOTE} for quote in told[symbol]] == values
        else:
            assert told[symbol] == values


def test_the_document_lists_what_is_tested() -> None:
    document = (ROOT / "docs/venues.md").read_text(encoding="utf-8")
    for venue in VENUES:
        row = next(line for line in document.splitlines() if line.startswith(f"| {venue.klass} "))
        assert venue.channels.replace(" ", ", ") in row
