"""What an operator may say about one exchange.

Holds the shape of `[exchanges.NAME]` and its defaults. Must not import ccxt: the options are passed to it unread.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from gateway.core.key import CHANNELS

Milliseconds = Annotated[int, msgspec.Meta(ge=0)]

# Live and silent this long is a fault; 0: silence alone is none (docs/venues.md says why, and what is checked instead).
STALE_AFTER_MS: Final[dict[str, int]] = {"quotes": 30_000, "trades": 0, "bars": 0, "book": 30_000}


MT5: Final = "mt5"  # a class that is none of ccxt's: accounts at a MetaTrader 5 terminal, and no market data


class ExchangeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One exchange, or one environment of it: several entries may name the same class."""

    klass: Annotated[str, msgspec.Meta(min_length=1)] = msgspec.field(name="class")  # ccxt's id: "binance"
    options: dict[str, Any] = {}  # ccxt's constructor options, verbatim: urls, options, proxies, hostname, apiKey..
    sandbox: bool = False  # ccxt's set_sandbox_mode
    order_params: list[Annotated[str, msgspec.Meta(min_length=1)]] = []  # beside what `oms.venues` knows of the class
    currency: Annotated[str, msgspec.Meta(min_length=1)] = "USDT"  # of `balance` and `equity` of who watches an account
    poll_interval_ms: Annotated[int, msgspec.Meta(ge=50)] = 1_000  # where the exchange has nothing to watch
    stale_after_ms: dict[str, Milliseconds] = {}  # per channel, over STALE_AFTER_MS
    book_start_ms: Milliseconds = 20_000  # a book that does not come by then has failed; other data may be quiet
    connection_silence_ms: Annotated[int, msgspec.Meta(ge=1_000)] = 25_000  # not even a pong: the connection is dead
    trades_missed_ms: Milliseconds = 10_000  # the last price may move this long without a trade; 0: it is no evidence
    book_contradiction_ms: Annotated[int, msgspec.Meta(ge=1)] = 5_000  # trades may contradict a book this long
    book_crossed_ms: Milliseconds = 500  # a book may stay crossed this long; it is not served meanwhile

    def __post_init__(self) -> None:
        unknown = set(self.stale_after_ms) - set(CHANNELS)
        if unknown:
            raise ValueError(f"stale_after_ms: no such channel: {', '.join(sorted(unknown))}")

    @property
    def has_market(self) -> bool:
        """Whether there is market data of it."""
        return self.klass != MT5

    def stale_after(self, channel: str) -> int:
        """The silence budget of a channel in ms; 0: none."""
        return self.stale_after_ms.get(channel, STALE_AFTER_MS[channel])
