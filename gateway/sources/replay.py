"""Recorded frames of any venue through its ccxt.pro class, without a network, to test what its data becomes.

Holds the offline stand-ins and the reader of the recordings' text format. Must not know what the data means.
"""

from __future__ import annotations

import ast
import asyncio
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ccxt.pro
from aiohttp import WSMessage, WSMsgType
from ccxt.base.errors import NetworkError

from gateway.sources.ccxt_tapped import tapped

Recorded = str | bytes

TURNS = 10  # of the loop, ample for ccxt's own chain of futures and tasks between a frame and who awaits it

_FRAME = re.compile(r"\d+\.\d+: ")
_REPLY = re.compile(r"(\S+) -> \d+(?:\.\d+)?: (.*)", re.DOTALL)


def frames(path: Path) -> Iterator[Recorded]:
    """The WebSocket messages of a recording, `<time>: <text>` a line; a binary one is written as a Python literal."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if found := _FRAME.match(line):
                text = line[found.end() :].rstrip("\n")
                yield ast.literal_eval(text) if text.startswith(("b'", 'b"')) else text


def replies(path: Path) -> dict[str, str]:
    """The recorded answers by URL, `<url> -> <time>: <body>` a line."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return {found[1]: found[2].rstrip("\n") for line in lines if (found := _REPLY.match(line))}


class Market(NamedTuple):
    """What a venue calls a market, and ccxt's unified symbol of it."""

    id: str
    symbol: str


class OfflineConnection:
    """Remembers what is sent."""

    closed = False

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send_str(self, message: str) -> None:
        self.sent.append(message)

    async def ping(self) -> None: ...
    async def pong(self, message: bytes) -> None: ...
    async def close(self) -> None:
        self.closed = True


class OfflineMixin:
    """One client for every URL, connected to nothing; REST answers from a table."""

    answers: Mapping[str, str]
    only: Any = None

    def client(self, url: str) -> Any:
        if self.only is None:
            client = self.only = super().client(url)  # type: ignore[misc]  # ccxt's class comes behind the mixin
            client.connection = OfflineConnection()
            client.isConnected = True
            client.connected.resolve(url)
        self.clients = {url: self.only}
        return self.only

    async def fetch(self, url: str, *_: Any, **__: Any) -> Any:
        body = self.answers.get(url.rstrip("/"))
        if body is None:
            raise NetworkError(f"not recorded: {url}")
        return self.parse_json(body)  # type: ignore[attr-defined]  # ccxt's


def offline(
    klass: str, markets: Iterable[Market], answers: Mapping[str, str] | None = None, *, taps: bool = True
) -> Any:
    """A ccxt.pro exchange that knows these markets and has no network; without taps it is all ccxt's.

    To be called on the loop that it is going to use.
    """
    own = getattr(ccxt.pro, klass)
    if taps:
        own = tapped(own)
    exchange: Any = type(klass, (OfflineMixin, own), {})({"enableRateLimit": False})
    exchange.answers = answers or {}
    exchange.open()
    exchange.set_markets([_structure(exchange, market) for market in markets])
    return exchange


def _structure(exchange: Any, market: Market) -> dict[str, Any]:
    base, _, rest = market.symbol.partition("/")
    quote, _, settle = rest.partition(":")
    linear = settle == quote if settle else None
    structure: dict[str, Any] = exchange.safe_market_structure(
        {
            "id": market.id,
            "lowercaseId": market.id.lower(),
            "symbol": market.symbol,
            "base": base,
            "quote": quote,
            "settle": settle or None,
            "baseId": base,
            "quoteId": quote,
            "type": "swap" if settle else "spot",
            "spot": not settle,
            "swap": bool(settle),
            "future": False,
            "option": False,
            "contract": bool(settle),
            "linear": linear,
            "inverse": None if linear is None else not linear,
            "contractSize": 1.0 if settle else None,
            "active": True,
            "precision": {"amount": 1e-8, "price": 1e-8},
            "info": {},
        }
    )
    return structure


async def play(exchange: Any, recorded: Iterable[Recorded]) -> int:
    """Feed frames to the exchange's client, with turns of the loop between them for what ccxt does beside."""
    count = 0
    for payload in recorded:
        kind = WSMsgType.TEXT if isinstance(payload, str) else WSMsgType.BINARY
        exchange.only.handle_message(WSMessage(kind, payload, None))
        count += 1
        for _ in range(TURNS):
            await asyncio.sleep(0)
    return count
