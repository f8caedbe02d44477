"""The tables name classes and methods that ccxt has."""

from __future__ import annotations

import ccxt.pro
import pytest

from gateway.sources import quirks


def test_depths_are_ascending_and_chosen_to_suffice() -> None:
    for limits in quirks.BOOK_LIMITS.values():
        assert list(limits) == sorted(limits)
    assert [quirks.book_limit("kraken", depth) for depth in (1, 10, 11, 1000, 5000)] == [10, 10, 25, 1000, 1000]
    assert quirks.book_limit("binance", 20) is None


@pytest.mark.parametrize("klass", sorted(quirks.BEST_PRICE_STREAM))
def test_who_has_a_best_price_stream_has_what_it_is_merged_from(klass: str) -> None:
    if klass not in ccxt.pro.exchanges:
        pytest.skip(f"ccxt {ccxt.__version__} has no {klass}")
    has = getattr(ccxt.pro, klass)().has
    if klass in ("binance", "bybit", "kucoin", "gate", "okx"):
        assert has["watchBidsAsks"]
    assert has["watchTicker"]
