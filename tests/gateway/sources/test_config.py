"""What an operator may say, and what is said for him."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.sources.config import STALE_AFTER_MS, ExchangeConfig


def of(**table: Any) -> ExchangeConfig:
    return msgspec.convert(table, ExchangeConfig)


def test_a_class_is_enough() -> None:
    config = of(**{"class": "kraken"})
    assert config.klass == "kraken"
    assert {channel: config.stale_after(channel) for channel in STALE_AFTER_MS} == STALE_AFTER_MS


def test_budgets_are_set_per_channel() -> None:
    config = of(**{"class": "kraken", "stale_after_ms": {"quotes": 5}})
    assert (config.stale_after("quotes"), config.stale_after("book")) == (5, STALE_AFTER_MS["book"])


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"class": ""},
        {"class": "x", "unknown": 1},
        {"class": "x", "poll_interval_ms": 0},
        {"class": "x", "stale_after_ms": {"orders": 1}},
        {"class": "x", "stale_after_ms": {"quotes": -1}},
        {"class": "x", "order_params": "strategyId"},
        {"class": "x", "order_params": [""]},
    ],
)
def test_mistakes_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        of(**table)


def test_options_pass_unread() -> None:
    options = {"apiKey": "k", "urls": {"api": {"public": "http://127.0.0.1"}}}
    assert of(**{"class": "x", "options": options}).options == options
