"""Keys, channels and tiers: the names everything else is filed under."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.key import CHANNELS, PUBLISHED_CHANNELS, TIERS_MS, Delivery, Extent, Key, tier_of


def test_key_reads_as_exchange_channel_symbol() -> None:
    assert str(Key("sim", "quotes", "BTC/USDT")) == "sim:quotes:BTC/USDT"
    assert str(Key("sim", "bars", "BTC/USDT", "1m")) == "sim:bars:BTC/USDT:1m"


def test_keys_differ_by_every_part() -> None:
    keys = {
        Key("sim", "book", "BTC/USDT", "10"),
        Key("sim", "book", "BTC/USDT", "20"),
        Key("sim", "book", "ETH/USDT", "10"),
        Key("sim", "bars", "BTC/USDT", "10"),
        Key("kraken", "book", "BTC/USDT", "10"),
    }
    assert len(keys) == 5


def test_channel_table_is_filed_by_name() -> None:
    assert all(name == row.name for name, row in CHANNELS.items())
    assert {name: row.type for name, row in CHANNELS.items()} == {
        "quotes": "quote",
        "trades": "trade",
        "bars": "bar",
        "book": "book",
    }


def test_only_trades_and_what_publishers_tell_are_append() -> None:
    assert [name for name, row in CHANNELS.items() if row.delivery is Delivery.APPEND] == ["trades"]
    assert {name: row.type for name, row in PUBLISHED_CHANNELS.items()} == {"news": "news", "signals": "signal"}
    assert all(row.delivery is Delivery.APPEND and not row.private for row in PUBLISHED_CHANNELS.values())


@pytest.mark.parametrize(
    ("throttle_ms", "tier"), [(0, 0), (49, 0), (50, 50), (999, 500), (4_000, 3_000), (90_000, 5_000)]
)
def test_throttle_is_rounded_down_to_a_tier(throttle_ms: int, tier: int) -> None:
    assert tier_of(throttle_ms) == tier


def test_no_tier_is_below_none() -> None:
    with pytest.raises(ValueError, match="below 0"):
        tier_of(-1)


@given(st.integers(min_value=0, max_value=1_000_000))
def test_tier_is_the_largest_that_is_not_above(throttle_ms: int) -> None:
    tier = tier_of(throttle_ms)
    assert tier in TIERS_MS
    assert tier <= throttle_ms
    assert not [other for other in TIERS_MS if tier < other <= throttle_ms]


@pytest.mark.parametrize(
    ("extent", "text"),
    [
        (Extent(), ""),
        (Extent(20), "20"),
        (Extent(50, "1m"), "1m/50"),
        (Extent(50, "1m", 1200), "1m/50@1200"),
        (Extent(period_ms=250), "@250"),
    ],
)
def test_an_extent_is_read_as_it_was_written(extent: Extent, text: str) -> None:
    assert str(extent) == text
    assert Extent.read(text) == extent
