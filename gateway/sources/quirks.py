"""What is known of single exchanges beyond what ccxt says about itself.

Holds tables by ccxt class id. Must not import ccxt or hold behaviour: who reads a table decides.
"""

from __future__ import annotations

from typing import Any, Final

BINANCE: Final = frozenset({"binance", "binanceus", "binancecoinm", "binanceusdm"})

# watchBidsAsks reads a best-price stream of its own, fresher than the ticker (elsewhere it is the ticker again): bid
# and ask come from it, last and volume from the ticker. Read from ccxt 4.5.64 and 4.5.90.
BEST_PRICE_STREAM: Final = BINANCE | {
    "aster", "backpack", "bequant", "bitmart", "bybit", "bybiteu", "bybitid", "coinex", "deribit", "gate", "gateeu",
    "hitbtc", "kucoin", "kucoineu", "kucoinfutures", "modetrade", "weex", "woo", "woofipro",
}  # fmt: skip
BEST_PRICE_STREAM_SPOT_ONLY: Final = frozenset({"weex"})

# Parameters a watch needs. binance's default ticker is the mini ticker, which costs ccxt more and says less.
PARAMS: Final[dict[tuple[str, str], dict[str, Any]]] = {(name, "ticker"): {"name": "ticker"} for name in BINANCE}

# Spot: fetch_trades reads aggregated trades, whose ids are not those of the trade stream (ccxt 4.5.64 whatever it is
# asked for); `public_get_trades` reads the trades themselves.
AGGREGATED_TRADES: Final = frozenset({"binance", "binanceus"})

# Trade ids of one market count up by one: a hole is a loss.
CONSECUTIVE_TRADE_IDS: Final = BINANCE

# What ccxt (4.5.64 and 4.5.90) calls the last price is the middle of the book, which moves without a trade.
LAST_IS_NO_TRADE: Final = frozenset({"hyperliquid", "pacifica"})

# ccxt cuts a live book to the depth of its snapshot each time somebody awaits it. These exchanges send every change at
# any depth, so a cut level would be missing once prices move there: their books are never cut.
WHOLE_BOOK: Final = BINANCE

# watch_order_book refuses other limits. Exchanges that are not here are asked without one.
BOOK_LIMITS: Final[dict[str, tuple[int, ...]]] = {
    "bitfinex": (25, 100),
    "bybit": (50, 200, 1000),
    "coinex": (5, 10, 20, 50),
    "htx": (5, 20, 150, 400),
    "huobi": (5, 20, 150, 400),
    "kraken": (10, 25, 100, 500, 1000),
    "lbank": (10, 50, 100),
    "whitebit": (1, 5, 10, 20, 30, 50, 100),
}


def book_limit(klass: str, depth: int) -> int | None:
    """The limit to ask for so that at least `depth` levels come; the largest when the exchange has no more."""
    limits = BOOK_LIMITS.get(klass)
    if limits is None:
        return None
    return next((limit for limit in limits if limit >= depth), limits[-1])


def has_best_price_stream(klass: str, *, spot: bool) -> bool:
    return klass in BEST_PRICE_STREAM and (spot or klass not in BEST_PRICE_STREAM_SPOT_ONLY)
