"""The timing around ccxt; that it works on ccxt itself is shown by the workload that uses it."""

from __future__ import annotations

import json
import sys

import pytest

from loadtest.bench import ccxt_parse
from loadtest.bench.ccxt_parse import Handled


def test_a_timed_call_is_the_same_call() -> None:
    messages: list[object] = []
    handled: list[Handled] = []
    handle = ccxt_parse.timed(messages.append, handled)
    handle("a")
    handle("b")
    assert messages == ["a", "b"]
    assert [one.began_ns < one.ended_ns for one in handled] == [True, True]


def test_only_messages_that_came_alone_are_compared() -> None:
    began_us = [0, 5_000, 10_000, 10_100, 15_000, 20_000]
    handled = [Handled(at * 1_000, at * 1_000 + 30_000 + at) for at in began_us]
    assert ccxt_parse.alone_us(handled) == [35.0, 45.0]


def test_summary() -> None:
    assert ccxt_parse.summary([*range(1, 100), 5_000.0]) == {"messages": 100, "p50_us": 51, "p99_us": 5_000.0}


def test_no_message_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_arguments: object) -> list[Handled]:
        return []

    monkeypatch.setattr(ccxt_parse, "measure", nothing)
    monkeypatch.setattr(sys, "argv", ["ccxt_parse", json.dumps({}), "watch_trades", "BTC/USDT", "0.1"])
    with pytest.raises(SystemExit, match="no message came alone by watch_trades"):
        ccxt_parse.main()
