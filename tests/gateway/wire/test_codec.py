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
