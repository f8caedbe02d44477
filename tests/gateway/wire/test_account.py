"""The account dialect's codec: every message as it is printed, and whatever a client may send."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.account_state import Closed, Modified, Opened, Step, Updated
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net.guard import Entered
from gateway.wire import account
from gateway.wire.codec import RequestError
from tests.gateway.accounts_made import Holding

T_NS = 1_770_474_600_123_456_789
AT = "2026-02-07T14:30:00.123Z"
D = Decimal


@pytest.mark.parametrize(
    ("raw", "request_"),
    [
        ('{"type":"ping"}', account.Ping()),
        (b'{"type":"ping","t":1}', account.Ping()),
        ('{"type":"auth","token":"abc"}', account.Auth(token="abc")),
    ],
)
def test_a_request_is_read(raw: str | bytes, request_: account.Request) -> None:
    assert account.parse(raw, Limits()) == request_


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("nonsense", "validation_error"),
        (b"\xff", "validation_error"),
        ("[]", "validation_error"),
        ('{"type":5}', "validation_error"),
        ('{"type":"auth"}', "validation_error"),
        ('{"type":"subscribe","channel":"trades"}', "unsupported_action"),
        ('{"action":"ping"}', "validation_error"),
    ],
)
def test_what_is_no_request_is_refused(raw: str | bytes, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        account.parse(raw, Limits())
    assert refused.value.code == code


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_anything_is_a_request_or_refused(raw: str | bytes) -> None:
    try:
        account.parse(raw, Limits())
    except RequestError as refused:
        json.loads(account.error(refused, None, "c-1"))


def test_a_token_is_not_shown() -> None:
    assert "abc" not in repr(account.Auth(token="abc"))


GOLDEN: list[tuple[bytes, str]] = [
    (account.connected("main"), '{"type":"connected","account_id":"main","monitoring_interval":"1s"}'),
    (
        account.change(
            Updated({"balance": Step(D("1000.1"), D("999.9")), "equity": Step(D("1000"), D("1010.5"))}), T_NS
        ),
        f'{{"type":"account_update","timestamp":"{AT}","changes":{{"balance":{{"old":1000.1,"new":999.9,"diff":-0.2}},'
        '"equity":{"old":1000,"new":1010.5}}}',
    ),
    (
        account.change(Opened(Holding(1, sl=D(1))), T_NS),
        f'{{"type":"position_opened","timestamp":"{AT}",'
        '"position":{"ticket":1,"symbol":"EURUSD","type":"buy","volume":1.0,"price":1.085}}',
    ),
    (
        account.change(Modified(1, {"sl": Step(D("0.0"), D("1.08"))}), T_NS),
        f'{{"type":"position_modified","timestamp":"{AT}","ticket":1,"changes":{{"sl":{{"old":0.0,"new":1.08}}}}}}',
    ),
    (
        account.change(Closed(1, D("1.0865"), D("150.0")), T_NS),
        f'{{"type":"position_closed","timestamp":"{AT}","ticket":1,"close_price":1.0865,"profit":150.0}}',
    ),
    (
        account.connection_lost("the terminal is gone", 5),
        '{"type":"error","error_code":"CONNECTION_LOST","message":"the terminal is gone","retry_in_seconds":5}',
    ),
    (account.pong(), '{"type":"pong"}'),
]


@pytest.mark.parametrize(("made", "printed"), GOLDEN)
def test_every_message_is_as_it_is_printed(made: bytes, printed: str) -> None:
    assert made.decode() == printed, "to the byte"


def test_what_is_known_already_is_marked() -> None:
    made = json.loads(account.change(Updated({"balance": Step(None, D(5))}), T_NS, {"snapshot": True, "stale": True}))
    assert made["changes"] == {"balance": {"old": None, "new": 5, "diff": None}}
    assert (made["snapshot"], made["stale"]) == (True, True)


@pytest.mark.parametrize(
    ("value", "said"),
    [("1E+3", "1000"), ("1E-7", "0.0000001"), ("Infinity", "null"), ("NaN", "null"), ("123456789012345678.5", None)],
)
def test_a_number_keeps_its_digits(value: str, said: str | None) -> None:
    made = account.change(Closed(1, D(value), None), T_NS).decode()
    assert f'"close_price":{said or value},"profit":null' in made


def test_a_difference_is_exact() -> None:
    steps = {"balance": Step(D("0.1"), D("123456789012345678.123456789012345679"))}
    made = account.change(Updated(steps), T_NS).decode()
    assert '"diff":123456789012345678.023456789012345679' in made


def test_a_refusal_has_its_code_in_capitals() -> None:
    failure = TickwireError("rate_limited", "too many", details={"requests_per_s": 1}, retry_after_ms=1_200)
    assert json.loads(account.error(failure, None, "c-1")) == {
        "type": "error", "error_code": "RATE_LIMITED", "message": "too many", "request_id": "c-1",
        "details": {"requests_per_s": 1}, "retry_in_seconds": 2,
    }  # fmt: skip


def test_what_the_gateway_asks_and_announces() -> None:
    principal: Any = None
    said = [
        account.authenticated(Entered(principal, 5)), account.reauthenticate(6), account.server_shutdown(7, 8),
    ]  # fmt: skip
    assert [json.loads(each) for each in said] == [
        {"type": "authenticated", "reauthenticate_after_ms": 5},
        {"type": "reauthenticate", "deadline_ms": 6},
        {"type": "server_shutdown", "deadline_ms": 7, "reconnect_after_ms": 8},
    ]
