"""`tickwire watch` against a server of another library: lines, JSON, a live terminal, and refusals."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from gateway.commands.failure import CommandError
from gateway.commands.watch import ADVICE, LIBRARIES, refusal, watch
from gateway.errors import CODES


def stream(symbol: str) -> list[dict[str, Any]]:
    """What a gateway says after a subscription."""
    update = {"type": "quote", "kind": "update", "epoch": "e1", "t_in": 1, "t_out": 1_000_000_000}
    data = {"symbol": symbol, "exchange": "sim", "bid": 1, "ask": 2}
    return [
        {"type": "subscribed", "data": {"streams": {symbol: {"epoch": "e1", "sequence": 0}}, "errors": {}}},
        {**update, "sequence": 1, "data": data},
        {"type": "gap", "epoch": "e1", "from": 2, "to": 4, "reason": "upstream"},
        {**update, "sequence": 5, "data": data},
    ]


@pytest.fixture
def requests() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def url(requests: list[dict[str, Any]]) -> Iterator[str]:
    """A server in a thread, because the command runs a loop of its own."""

    def accept(connection: ServerConnection) -> None:
        request = json.loads(connection.recv())
        requests.append(request)
        (symbol,) = request["symbols"]
        if symbol == "FOO":
            connection.send(
                json.dumps({"type": "subscribed", "data": {"streams": {}, "errors": {"FOO": "unknown_symbol"}}})
            )
        for message in stream(symbol):
            connection.send(json.dumps(message))
        for _ in connection:
            pass

    with serve(accept, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def test_lines_off_a_terminal(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    watch("BTC/USDT", "quotes", url=url, count=2)
    assert capsys.readouterr().out.splitlines() == [
        "00:00:01.000000 e1:1 quote BTC/USDT bid=1 ask=2",
        "gap 2..4 reason=upstream epoch=e1",
        "00:00:01.000000 e1:5 quote BTC/USDT bid=1 ask=2",
    ]


def test_messages_as_they_came(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    watch("BTC/USDT", url=url, count=2, json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == stream("BTC/USDT")


def test_a_live_view_on_a_terminal(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    watch("BTC/USDT", url=url, count=2)
    out = capsys.readouterr().out
    assert "BTC/USDT quotes" in out
    assert "2 updates" in out
    assert "1 gaps (3 updates)" in out


@pytest.mark.parametrize(
    ("channel", "asked"),
    [
        ("quotes", {"throttle_ms": 100}),
        ("bars", {"throttle_ms": 100, "timeframe": "5m"}),
        ("book", {"throttle_ms": 100, "depth": 5}),
    ],
)
def test_only_what_the_channel_knows_is_asked(
    url: str, requests: list[dict[str, Any]], channel: Any, asked: dict[str, Any]
) -> None:
    with pytest.raises(CommandError):
        watch("FOO", channel, url=url, throttle_ms=100, timeframe="5m", depth=5)
    assert requests == [{"action": "subscribe", "channel": channel, "symbols": ["FOO"], **asked}]


def test_no_such_symbol(url: str) -> None:
    with pytest.raises(CommandError, match="FOO: no such symbol"):
        watch("FOO", url=url)


def test_nobody_there() -> None:
    with pytest.raises(CommandError, match="not a WebSocket address"):
        watch("BTC/USDT", url="localhost:8765")


def refused(code: str) -> dict[str, Any]:
    """The answer to a subscription to X that came to nothing."""
    return {"type": "subscribed", "data": {"streams": {}, "errors": {"X": code}}}


def test_refusals_are_told_in_words() -> None:
    assert (
        refusal({"type": "error", "code": "rate_limited", "message": "too fast"}, "X", "quotes")
        == "the gateway refused: too fast"
    )
    assert refusal(refused("rate_limited"), "X", "quotes") == "X: rate_limited"
    assert refusal({"type": "quote", "data": {}}, "X", "quotes") is None


def test_a_refused_option_is_named() -> None:
    assert "--timeframe; 1s, 1m and 5m" in str(refusal(refused("validation_error"), "X", "bars"))
    assert "--depth; its limit is" in str(refusal(refused("validation_error"), "X", "book"))
    assert refusal(refused("validation_error"), "X", "quotes") == "X: validation_error"
    assert "no such symbol" in str(refusal(refused("unknown_symbol"), "X", "bars"))


def test_where_no_exchange_is_the_default_the_form_with_one_is_told() -> None:
    assert "none is the default, write exchange:symbol" in str(refusal(refused("unknown_symbol"), "X", "quotes"))


def test_libraries_are_silent_while_it_watches_only(url: str) -> None:
    levels = [logging.getLogger(name).level for name in LIBRARIES]
    watch("BTC/USDT", url=url, count=1)
    assert [logging.getLogger(name).level for name in LIBRARIES] == levels


def test_advice_is_about_codes_that_exist() -> None:
    assert set(ADVICE) <= set(CODES)


def test_the_loop_is_gone_afterwards(url: str) -> None:
    watch("BTC/USDT", url=url, count=1)
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
