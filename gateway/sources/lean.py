"""What ccxt computes of a ticker, without what there is nothing to compute from.

Holds one short cut with the same result: a message of best prices alone, of which there are many a second, has no day
to derive changes and averages of. Must not know feeds, keys or sockets.
"""

from __future__ import annotations

from typing import Any, Final

# As ccxt lists them (4.5.64 and 4.5.90). Where all are missing they stay missing, and nothing follows for other fields.
OF_THE_DAY: Final[dict[str, None]] = dict.fromkeys(
    (
        *("high", "low", "open", "close", "last", "change", "percentage", "average", "vwap"),
        *("baseVolume", "quoteVolume", "previousClose", "indexPrice", "markPrice"),
    )
)


class LeanMixin:
    """Goes in front of any ccxt class."""

    number: type  # what ccxt makes of a number's text: float, unless told otherwise

    def safe_ticker(self, ticker: dict[str, Any], market: Any = None) -> Any:
        """ccxt's, where it has more to do than to read four numbers."""
        for name in OF_THE_DAY:
            if ticker.get(name) is not None:
                break
        else:
            if self.number is float:
                try:
                    return {
                        **ticker,
                        "bid": float(ticker["bid"]) or None,
                        "bidVolume": float(ticker["bidVolume"]),
                        "ask": float(ticker["ask"]) or None,
                        "askVolume": float(ticker["askVolume"]),
                        **OF_THE_DAY,
                    }
                except (KeyError, TypeError, ValueError):  # missing, or no number: ccxt knows what becomes of it
                    pass
        return super().safe_ticker(ticker, market)  # type: ignore[misc]  # ccxt's class comes behind the mixin
