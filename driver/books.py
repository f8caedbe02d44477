"""An order book kept by snapshot and changes, in ccxt's own live structure, and held against the server's checksum.

The checksum is looked at once a burst, before anybody is shown the book (docs/protocol.md, section 5). Must not know
sockets, sequences or who watches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final
from zlib import crc32

from ccxt.async_support.base.ws.order_book import OrderBook

TOP: Final = 10  # levels a side that the checksum is made of
TEXTS_MAX: Final = 50_000

_texts: dict[float, str] = {}  # the digits of numbers that came lately: the same prices come again and again


def digits(number: float) -> str:
    """The shortest decimal that reads back as this number, without its point and leading zeros."""
    text = repr(number)
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        whole, _, fraction = mantissa.partition(".")
        power = int(exponent) - len(fraction)
        text = (whole + fraction).rstrip("0") if power < 0 else whole + fraction + "0" * power
        return text.lstrip("0")
    return text.removesuffix(".0").replace(".", "").lstrip("0")


def _digits(number: float) -> str:
    text = _texts.get(number)
    if text is None:
        if len(_texts) >= TEXTS_MAX:
            _texts.clear()
        text = _texts[number] = digits(number)
    return text


def checksum(asks: Iterable[list[float]], bids: Iterable[list[float]]) -> int:
    """CRC-32 over the digits of the best levels given, price then size: asks first, each side best first."""
    text = _digits
    parts = [text(price) + text(size) for price, size in asks]
    parts += [text(price) + text(size) for price, size in bids]
    return crc32("".join(parts).encode("ascii"))


class Book:
    """One book. `ccxt` is the structure that programs hold; it stays the same object."""

    def __init__(self, symbol: str) -> None:
        self.ccxt: Any = OrderBook({})
        self.ccxt["symbol"] = symbol
        self.ccxt["info"] = {"stale": True}
        self.is_whole = False  # from a snapshot until the next gap
        self._expected: int | None = None  # the checksum of what was applied last, not looked at yet

    def apply(self, message: dict[str, Any]) -> bool:
        """A message of the channel; False: it does not follow what is held."""
        data = message["data"]
        ccxt = self.ccxt
        if message["kind"] == "snapshot":
            _replace(ccxt["asks"], data["asks"])
            _replace(ccxt["bids"], data["bids"])
            self.is_whole = True
        elif not self.is_whole:
            return False
        else:
            _store(ccxt["asks"], data["asks"], 1.0)
            _store(ccxt["bids"], data["bids"], -1.0)
        t_ex = message["t_ex"]
        ccxt["timestamp"] = message["t_in"] // 1_000_000 if t_ex is None else t_ex
        ccxt["datetime"] = message["timestamp"]
        ccxt["nonce"] = message["sequence"]
        self._expected = data["checksum"]
        return True

    def verify(self) -> bool:
        """Whether it is the server's; True when that was seen already."""
        expected, self._expected = self._expected, None
        return expected is None or expected == checksum(_top(self.ccxt["asks"]), _top(self.ccxt["bids"]))

    def void(self) -> None:
        """Nothing is known any more: nobody is to trade on what was."""
        self.is_whole = False
        self._expected = None
        symbol = self.ccxt["symbol"]
        self.ccxt.reset({})
        self.ccxt["symbol"] = symbol


def _top(side: Any) -> Iterable[list[float]]:
    return list.__getitem__(side, slice(0, TOP))  # ccxt's own slices level by level


def _store(side: Any, levels: list[list[float]], sign: float) -> None:
    """As ccxt's own `storeArray` of each, at a third of the time; `sign` makes the best price the least."""
    index, level_at = side._index, list.__getitem__
    for price, size in levels:
        key = sign * price
        at = bisect_left(index, key)
        if at < len(index) and index[at] == key:
            if size:
                level_at(side, at)[1] = float(size)
            else:
                del index[at]
                del side[at]
        elif size:
            index.insert(at, key)
            side.insert(at, [float(price), float(size)])


def _replace(side: Any, levels: list[list[float]]) -> None:
    """The whole of one side, best first; as ccxt's own `reset`, without a search for each level."""
    sign = -1.0 if side.side else 1.0
    side[:] = [[float(price), float(size)] for price, size in levels]
    side._index[:] = [sign * level[0] for level in side]
