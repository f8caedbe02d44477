"""What every dialect has in common: the contract is kept by each, and a refusal carries what its reply must hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.wire import account, dashboard, oms, stream
from gateway.wire.codec import Codec, RequestError

STREAM: Codec[stream.Request] = stream
OMS: Codec[oms.Request] = oms
ACCOUNT: Codec[account.Request] = account
DASHBOARD: Codec[dashboard.Request] = dashboard.DashboardCodec(lambda: 0)
CODECS: dict[str, Codec[Any]] = {"stream": STREAM, "oms": OMS, "account": ACCOUNT, "dashboard": DASHBOARD}


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize(
    "raw", ["", "{", "[]", "null", "7", b"\xff", '{"id":"7"}', '{"id":"7","action":5}', "[" * 9_999]
)
def test_what_cannot_be_read_is_refused_with_its_echo(name: str, raw: str | bytes) -> None:
    codec = CODECS[name]
    with pytest.raises(RequestError) as refused:
        codec.parse(raw, Limits())
    assert refused.value.echo == codec.read_echo(raw, Limits())
    json.loads(codec.error(refused.value, refused.value.echo, "c-1"))


ENDLESS = {
    "arrays": "[" * 30_000 + "]" * 30_000, "open arrays": "[" * 60_000,
    "objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "digits": "9" * 60_000, "exponent": "1e999999999", "small": "1e-999999999", "fraction": "0." + "1" * 60_000,
    "beyond 64 bits": "12345678901234567890123", "no number": "NaN", "infinite": "-Infinity",
    "half a character": '"\\ud800"', "nothing": '"' + "\\u0000" * 5_000 + '"',
}  # fmt: skip
FIELDS = ("id", "payload", "symbols", "depth", "ts", "token", "account_id", "resume", "client_id")


@pytest.mark.parametrize("value", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("name", CODECS)
def test_numbers_and_depths_without_end_are_read_or_refused(name: str, value: str) -> None:
    """In any field of any request: nothing else comes of it, and what is echoed of it is bounded."""
    codec = CODECS[name]
    for action in (*stream.ACTIONS, "call", "subscribe_market", "restore"):
        for field in FIELDS:
            raw = f'{{"action":"{action}","type":"{action}","{field}":{value}}}'
            answer = b""
            try:
                codec.parse(raw, Limits())
            except RequestError as refusal:
                answer = codec.error(refusal, refusal.echo, "c-1")
            assert len(answer) < 2_000, (action, field)
            codec.read_echo(raw, Limits())


@pytest.mark.parametrize("name", CODECS)
def test_what_the_gateway_says_by_itself_is_json(name: str) -> None:
    codec = CODECS[name]
    said = [codec.reauthenticate(1_000), codec.server_shutdown(1_000, 250)]
    said.append(codec.error(TickwireError("internal_error", "no"), codec.read_echo("{", Limits()), "c-1"))
    assert all(isinstance(json.loads(each), dict) for each in said)


def test_a_refusal_is_one_of_the_catalogue() -> None:
    refusal = RequestError("validation_error", "no such thing", "7", {"field": "id"})
    assert refusal.fields("c-1") == {
        "code": "validation_error", "message": "no such thing", "request_id": "c-1", "details": {"field": "id"},
    }  # fmt: skip
