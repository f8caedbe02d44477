"""The dashboard dialect: what is read, and every message exactly as it is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net.guard import Entered
from gateway.wire import dashboard
from gateway.wire.codec import RequestError
from oms.model import Permission, Principal

NOW_NS = 1_770_474_600_123_999_999
NOW = "2026-02-07T14:30:00.123Z"
CODEC = dashboard.DashboardCodec(lambda: NOW_NS)


def parse(raw: str | bytes, limits: Limits | None = None) -> dashboard.Request:
    return CODEC.parse(raw, limits or Limits())


def refusal(raw: str | bytes, limits: Limits | None = None) -> dict[str, Any]:
    with pytest.raises(RequestError) as refused:
        parse(raw, limits)
    return dict(json.loads(CODEC.error(refused.value, refused.value.echo, "c-1")))


@pytest.mark.parametrize(
    ("raw", "request_"),
    [
        ('{"type":"ping"}', dashboard.Ping()),
        ('{"type":"ping","timestamp":1,"action":"x"}', dashboard.Ping()),
        ('{"type":"auth","token":"t"}', dashboard.Auth(token="t")),
        ('{"type":"subscribe","channel":"signals"}', dashboard.Subscribe(channel="signals")),
        ('{"type":"subscribe","channel":"trades","symbols":[]}', dashboard.Subscribe(channel="trades", symbols=())),
        (
            b'{"type":"unsubscribe","channel":"price_updates","symbols":["AAPL"]}',
            dashboard.Unsubscribe(channel="price_updates", symbols=("AAPL",)),
        ),
    ],
)
def test_requests_are_read(raw: str | bytes, request_: dashboard.Request) -> None:
    assert parse(raw) == request_


@pytest.mark.parametrize(
    "raw",
    [
        "", "hello", "[]", "{}", "7", b"\xff", '{"action":"ping"}', '{"type":"PING"}', '{"type":5}',
        '{"type":"subscribe"}', '{"type":"subscribe","channel":""}', '{"type":"auth","token":""}',
        '{"type":"subscribe","channel":"price_updates","symbols":"AAPL"}',
        '{"type":"subscribe","channel":"price_updates","symbols":[""]}', "[" * 60_000,
    ],
)  # fmt: skip
def test_what_is_no_message_is_told_so_in_these_words(raw: str | bytes) -> None:
    said = refusal(raw)
    assert said == {"type": "error", "error": "Invalid message format", "timestamp": NOW}
    assert list(said) == ["type", "error", "timestamp"]


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_anything_is_a_request_or_refused(raw: str | bytes) -> None:
    try:
        request = parse(raw)
    except RequestError as error:
        json.loads(CODEC.error(error, error.echo, "c-1"))
    else:
        assert CODEC.echo(request) is None


def test_a_channel_that_is_not_there_and_too_many_symbols_are_told() -> None:
    said = refusal('{"type":"subscribe","channel":"news"}')
    assert said["error"] == "unsupported_channel: there is price_updates, signals, trades, portfolio"
    raw = json.dumps({"type": "unsubscribe", "channel": "signals", "symbols": ["A", "B", "C"]})
    assert refusal(raw, Limits(symbols_per_request_max=2))["error"] == "more than 2 symbols in one message"


def test_a_token_is_in_no_repr() -> None:
    assert "secret" not in repr(parse('{"type":"auth","token":"secret"}'))


def test_a_refusal_begins_with_its_code() -> None:
    said = json.loads(CODEC.error(TickwireError("unknown_symbol", "sim has no XXX"), None, "c-1"))
    assert said == {"type": "error", "error": "unknown_symbol: sim has no XXX", "timestamp": NOW}


def test_a_price_is_what_ccxt_says_with_its_digits() -> None:
    ticker = {"last": 1.10, "close": 1.1, "change": -0.5, "percentage": -31.25, "baseVolume": 1e-7, "high": 2, "low": 1,
              "open": 1.6, "symbol": "X", "info": {"a": [1]}}  # fmt: skip
    assert dashboard.price(json.dumps(ticker).replace("1.1,", "1.10,").encode()) == (
        b'{"price":1.10,"change":-0.5,"change_pct":-31.25,"volume":1e-07,"high":2,"low":1,"open":1.6,"close":1.10}'
    )


def test_what_an_exchange_does_not_say_of_a_price_is_null() -> None:
    everything = dict.fromkeys(["price", "change", "change_pct", "volume", "high", "low", "open", "close"])
    assert json.loads(dashboard.price(b"{}")) == everything
    assert json.loads(dashboard.price(b'{"close":5,"last":null}')) == everything | {"price": 5, "close": 5}
    assert json.loads(dashboard.price(b'{"last":5}')) == everything | {"price": 5, "close": 5}


def test_prices_are_by_symbol() -> None:
    assert dashboard.prices({'"': b"{}", "BTC/USDT": b'{"price":1}'}) == b'{"\\"":{},"BTC/USDT":{"price":1}}'


def test_a_signal_keeps_its_digits_and_not_its_source() -> None:
    kept = b'"signal_type":"BUY","symbol":"A","price":1.10,"quantity":null,"confidence":0.50,'
    told = b'{"type":"signal",' + kept + b'"timestamp":"t"}'
    assert dashboard.signal(b"{" + kept + b'"source":"s","timestamp":"t"}') == ("A", told)


def test_an_execution_has_numbers_with_their_digits() -> None:
    deal = {"id": 1, "symbol": "BTC/USDT", "side": "buy", "qty": "0.0100", "price": "60000.5", "executed_at": NOW}
    symbol, message = dashboard.trade_executed(json.dumps(deal).encode())
    assert symbol == "BTC/USDT"
    assert message == (
        b'{"type":"trade_executed","symbol":"BTC/USDT","side":"BUY","quantity":0.0100,"price":60000.5,"timestamp":"%b"}'
        % NOW.encode()
    )


def test_replies() -> None:
    assert dashboard.pong() == b'{"type":"pong"}'
    permissions = {each: Permission(account_id=each) for each in (2, 1)}
    ann = Principal(user_id=1, user_name="ann", api_key_id=1, permissions=permissions)
    assert json.loads(dashboard.authenticated(Entered(ann, 1_000))) == {
        "type": "authenticated", "user": "ann", "account_ids": [1, 2], "reauthenticate_after_ms": 1_000,
    }  # fmt: skip
    assert json.loads(CODEC.reauthenticate(5)) == {"type": "reauthenticate", "deadline_ms": 5}
    said = {"type": "server_shutdown", "deadline_ms": 10, "reconnect_after_ms": 5}
    assert json.loads(CODEC.server_shutdown(10, 5)) == said
