"""Reads recorded Binance spot messages.

A file holds one message a line, `<receive time, ns> <raw JSON as received>`, gzipped when its name says so; combined
stream envelopes, and the REST depth snapshot the collector took. Reads and orders; interprets no more than it must.
"""

import gzip
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from loadtest.exchange.decimals import parse
from loadtest.exchange.market import Spec

_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "TRY", "EUR", "BTC", "ETH", "BNB")
_STREAM_START = b'{"stream":"'


class RecordingError(Exception):
    """A file that is not a recording of Binance spot streams; says which and why."""


class Line(NamedTuple):
    """One stream message: when it was received and its bytes."""

    received_ns: int
    raw: bytes


class Depth(NamedTuple):
    """A book as it was at an update id."""

    update_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Recording(NamedTuple):
    """Messages in the order received, and for each symbol what it is and the book to begin with."""

    lines: list[Line]
    markets: dict[str, tuple[Spec, Depth]]
    begins_ms: int


def levels(raw: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
    return [(parse(price), parse(size)) for price, size in raw]


def load(paths: Iterable[Path]) -> Recording:
    """Read files of one or several symbols; messages are merged by receive time."""
    lines: list[Line] = []
    markets: dict[str, tuple[Spec, Depth]] = {}
    begins_ms: list[int] = []
    for path in paths:
        file_lines, snapshot = _read(path)
        first = next((data for data in map(_data, file_lines) if data.get("e") == "depthUpdate"), None)
        if first is None or "pu" in first:
            raise RecordingError(f"{path}: no spot depth updates in it")
        symbol = str(first["s"])
        begins_ms.append(int(first["E"]))
        lines.extend(file_lines)
        # A later file of a session goes on from where the earlier one leaves the book.
        if symbol not in markets:
            # Without a snapshot the book begins empty, just before the first diff: still contiguous.
            depth = snapshot or Depth(int(first["U"]) - 1, [], [])
            markets[symbol] = (
                _spec(symbol, [*depth.bids, *depth.asks, *levels(first["b"]), *levels(first["a"])]),
                depth,
            )
    if not lines:
        raise RecordingError("no file given")
    lines.sort(key=lambda line: line.received_ns)
    return Recording(lines, markets, min(begins_ms))


def _read(path: Path) -> tuple[list[Line], Depth | None]:
    lines: list[Line] = []
    snapshot: Depth | None = None
    try:
        for text in _texts(path):
            received, _, raw = text.rstrip(b"\n").partition(b" ")
            if raw.startswith(_STREAM_START):
                lines.append(Line(int(received), raw))
            elif snapshot is None:
                message = orjson.loads(raw)
                snapshot = Depth(message["lastUpdateId"], levels(message["bids"]), levels(message["asks"]))
    except (OSError, EOFError) as error:
        raise RecordingError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path}: not a recording of Binance messages ({error!r})") from error
    return lines, snapshot


def _texts(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield from file


def _data(line: Line) -> dict[str, Any]:
    data = orjson.loads(line.raw)["data"]
    assert isinstance(data, dict)
    return data


def _spec(symbol: str, seen: list[tuple[int, int]]) -> Spec:
    """Name and steps of a market; the steps are what every price and size seen is a multiple of."""
    quote = next((quote for quote in _QUOTES if symbol.endswith(quote)), "")
    if not quote or symbol == quote:
        raise RecordingError(f"cannot tell base from quote in {symbol}")
    tick = math.gcd(*(price for price, _ in seen)) or 1
    step = math.gcd(*(size for _, size in seen)) or 1
    return Spec(symbol.removesuffix(quote), quote, tick, step)
