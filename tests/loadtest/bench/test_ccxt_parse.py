"""The timing around ccxt; that it works on ccxt itself is shown by the workload that uses it."""

from __future__ import annotations

import json
import sys

import pytest

from loadtest.bench import ccxt_parse


def test_a_timed_call_is_the_same_call() -> None:
    handled: list[object] = []
    taken_ns: list[int] = []
    handle = ccxt_parse.timed(handled.append, taken_ns)
    handle("a")
    handle("b")
    assert handled == ["a", "b"]
    assert len(taken_ns) == 2
    assert min(taken_ns) > 0


def test_summary_is_in_microseconds() -> None:
    assert ccxt_parse.summary([*range(1_000, 100_000, 1_000), 5_000_000]) == {
        "messages": 100, "p50_us": 51.0, "p99_us": 5_000.0,
    }  # fmt: skip


def test_no_message_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_arguments: object) -> list[int]:
        return []

    monkeypatch.setattr(ccxt_parse, "measure", nothing)
    monkeypatch.setattr(sys, "argv", ["ccxt_parse", json.dumps({}), "watch_trades", "BTC/USDT", "0.1"])
    with pytest.raises(SystemExit, match="no message came by watch_trades"):
        ccxt_parse.main()
