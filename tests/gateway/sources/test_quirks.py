"""The tables say of classes and methods what ccxt does."""

from __future__ import annotations

from typing import Any

import ccxt
import ccxt.pro
import pytest
from ccxt.base.errors import NotSupported

from gateway.sources import quirks
from gateway.sources.replay import Market, offline

# Not in every version that is tested.
COMING_OR_GONE = {"bitmart", "bybitid", "coinex", "kucoineu"}
SPOT, LINEAR = "BTC/USDT", "BTC/USDT:USDT"
ONE_KIND = {"binanceus": SPOT, "binanceusdm": LINEAR, "binancecoinm": LINEAR}  # of market
CASES = [
    (klass, symbol)
    for klass in sorted(quirks.BEST_PRICE_STREAM)
    for symbol in (SPOT, LINEAR)
    if ONE_KIND.get(klass, symbol) == symbol
]
NUMBERING = {"id", "req_id", "time"}


def test_depths_are_ascending_and_chosen_to_suffice() -> None:
    for limits in quirks.BOOK_LIMITS.values():
        assert list(limits) == sorted(limits)
    assert [quirks.book_limit("kraken", depth) for depth in (1, 10, 11, 1000, 5000)] == [10, 10, 25, 1000, 1000]
    assert quirks.book_limit("binance", 20) is None


@pytest.mark.parametrize(
    ("klass", "told"), [("hyperliquid", {"name": "BTC", "midPx": "2"}), ("pacifica", {"symbol": "BTC", "mid": "2"})]
)
def test_the_last_price_is_the_middle_of_the_book(klass: str, told: dict[str, str]) -> None:
    assert klass in quirks.LAST_IS_NO_TRADE
    assert getattr(ccxt, klass)().parse_ticker(told)["last"] == 2


class AskedError(Exception):
    """In place of the network: what would have been sent, and where."""


async def asked(klass: str, symbol: str, calls: dict[str, Any]) -> list[Any]:
    """What ccxt sends to subscribe by each method with its argument; None: it does not for this market."""
    exchange = offline(klass, [Market("BTCUSDT", symbol)], taps=False)

    async def watch(url: str, _hashes: Any, message: dict[str, Any], *_: Any) -> None:
        raise AskedError(url, {name: value for name, value in message.items() if name not in NUMBERING})

    async def negotiate(*_: Any) -> str:
        return "wss://negotiated"

    exchange.watch = exchange.watch_multiple = watch
    exchange.negotiate = negotiate  # kucoin asks by REST where to connect
    sent = []
    for method, argument in calls.items():
        with pytest.raises((AskedError, NotSupported)) as said:
            await getattr(exchange, method)(argument)
        sent.append(said.value.args if isinstance(said.value, AskedError) else None)
    await exchange.close()
    return sent


@pytest.mark.parametrize(("klass", "symbol"), CASES)
async def test_who_has_a_best_price_stream_has_one_beside_the_ticker(klass: str, symbol: str) -> None:
    if klass not in ccxt.pro.exchanges:
        pytest.skip(f"ccxt {ccxt.__version__} has no {klass}")
    best, ticker = await asked(klass, symbol, {"watch_bids_asks": [symbol], "watch_ticker": symbol})
    assert ticker is not None
    assert best != ticker
    assert (best is not None) == quirks.has_best_price_stream(klass, spot=symbol == SPOT)


def test_every_class_of_the_table_is_one_of_ccxt_s() -> None:
    """A name that is misspelt is skipped above."""
    assert quirks.BEST_PRICE_STREAM - set(ccxt.pro.exchanges) <= COMING_OR_GONE
    assert quirks.BEST_PRICE_STREAM_SPOT_ONLY <= quirks.BEST_PRICE_STREAM


def test_a_class_made_from_one_of_the_table_is_in_it_too() -> None:
    """ccxt's classes for single regions read the same streams."""
    table = quirks.BEST_PRICE_STREAM
    for klass in ccxt.pro.exchanges:
        if table & {base.__name__ for base in getattr(ccxt.pro, klass).__mro__}:
            assert klass in table, klass
