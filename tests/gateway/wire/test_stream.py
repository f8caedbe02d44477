"""The stream dialect's grammar: the messages printed in docs/protocol.md, and whatever else a peer may send."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CODES, TickwireError
from gateway.limits import Limits
from gateway.wire import stream
from gateway.wire.codec import RequestError

LIMITS = Limits()


def refused(raw: str | bytes, limits: Limits = LIMITS) -> RequestError:
    with pytest.raises(RequestError) as caught:
        stream.parse(raw, limits)
    return caught.value


PRINTED_REQUESTS = [
    ('{"action":"auth","token":"..."}', stream.Auth(token="...")),
    ('{"action":"ping","id":1}', stream.Ping(id=1)),
    (
        '{"action":"subscribe","id":"7","channel":"quotes","symbols":["BTC/USDT","kraken:ETH/USD"],"throttle_ms":100,'
        '"snapshot":true,"depth":10,"timeframe":"1m","batch":false,"encoding":"json","compression":"none",'
        '"resume":{"BTC/USDT":{"epoch":"k3f9","sequence":12345}}}',
        stream.Subscribe(
            id="7",
            channel="quotes",
            symbols=["BTC/USDT", "kraken:ETH/USD"],
            throttle_ms=100,
            depth=10,
            resume={"BTC/USDT": stream.Position("k3f9", 12345)},
        ),
    ),
    (
        '{"action":"unsubscribe","channel":"quotes","symbols":["BTC/USDT"]}',
        stream.Unsubscribe(channel="quotes", symbols=["BTC/USDT"]),
    ),
    ('{"action":"unsubscribe","channel":"quotes"}', stream.Unsubscribe(channel="quotes")),
    (
        '{"action":"resend","channel":"trades","symbol":"BTC/USDT","from":12346,"to":12400}',
        stream.Resend(channel="trades", symbol="BTC/USDT", from_=12346, to=12400),
    ),
    (
        '{"action":"ack","channel":"orders","account_id":1,"sequence":88}',
        stream.Ack(channel="orders", account_id=1, sequence=88),
    ),
    ('{"action":"command","id":"c1","payload":{"a":1}}', stream.Command(id="c1", payload={"a": 1})),
    ('{"action":"list"}', stream.List()),
]


@pytest.mark.parametrize(("raw", "request_"), PRINTED_REQUESTS)
def test_printed_requests_parse_from_text_and_bytes(raw: str, request_: stream.Request) -> None:
    assert stream.parse(raw, LIMITS) == request_
    assert stream.parse(raw.encode(), LIMITS) == request_


def test_a_subscribe_has_defaults() -> None:
    request = stream.parse('{"action":"subscribe","channel":"book","symbols":["BTC/USDT"]}', LIMITS)
    assert isinstance(request, stream.Subscribe)
    assert (request.throttle_ms, request.snapshot, request.batch) == (0, True, False)
    assert (request.encoding, request.compression, request.timeframe, request.depth) == ("json", "none", "1m", 10)


def test_unknown_fields_are_ignored() -> None:
    assert stream.parse('{"action":"ping","id":1,"ts":5}', LIMITS) == stream.Ping(id=1)


@pytest.mark.parametrize(
    ("raw", "code", "echoed"),
    [
        ("", "validation_error", None),
        ("nonsense", "validation_error", None),
        ('{"action":"ping"', "validation_error", None),
        (b'{"action":"ping","id":"\xff"}', "validation_error", None),
        ("[" * 60_000, "validation_error", None),
        ('{"action":"ping","x":' + "[" * 60_000, "validation_error", None),
        ("[]", "validation_error", None),
        ("7", "validation_error", None),
        ("{}", "validation_error", None),
        ('{"id":"7"}', "validation_error", "7"),
        ('{"id":7,"action":1}', "validation_error", 7),
        ('{"id":7,"action":"jump"}', "unsupported_action", 7),
        ('{"id":"7","action":"subscribe"}', "validation_error", "7"),
        ('{"id":"7","action":"subscribe","channel":"quotes","symbols":"BTC/USDT"}', "validation_error", "7"),
        ('{"id":"7","action":"subscribe","channel":"quotes","symbols":[]}', "validation_error", "7"),
        ('{"id":"7","action":"subscribe","channel":"quotes","symbols":[1]}', "validation_error", "7"),
        ('{"id":7,"action":"subscribe","channel":"quotes","symbols":["A"],"throttle_ms":-1}', "validation_error", 7),
        ('{"id":7,"action":"subscribe","channel":"quotes","symbols":["A"],"throttle_ms":"5"}', "validation_error", 7),
        ('{"id":7,"action":"subscribe","channel":"quotes","symbols":["A"],"batch":1}', "validation_error", 7),
        ('{"id":7,"action":"subscribe","channel":"quotes","symbols":["A"],"encoding":"xml"}', "validation_error", 7),
        ('{"id":7,"action":"subscribe","channel":"book","symbols":["A"],"depth":0}', "validation_error", 7),
        ('{"id":7,"action":"subscribe","channel":"book","symbols":["A"],"depth":1001}', "validation_error", 7),
        ('{"id":7,"action":"resend","channel":"trades","symbol":"A","from":5,"to":4}', "validation_error", 7),
        ('{"id":7,"action":"resend","channel":"trades","symbol":"A","from":0,"to":9999}', "validation_error", 7),
        ('{"action":"ping","id":true}', "validation_error", None),
        ('{"action":"ping","id":1.5}', "validation_error", None),
        ('{"action":"ping","id":[]}', "validation_error", None),
        ('{"action":"ping","id":' + "9" * 60 + "}", "validation_error", None),
        ('{"action":"ping","id":"' + "é" * 65 + '"}', "validation_error", None),
    ],
)
def test_what_is_wrong_is_said_with_a_code_and_the_id(raw: str | bytes, code: str, echoed: str | int | None) -> None:
    error = refused(raw)
    assert (error.code, error.echo) == (code, echoed)
    assert error.message


def test_an_unknown_action_lists_the_known_ones() -> None:
    details = refused('{"action":"jump"}').details
    assert details is not None
    assert "subscribe" in details["actions"]


def test_configured_limits_bound_a_request() -> None:
    limits = Limits(symbols_per_request_max=2, resend_updates_max=3, book_depth_max=5, request_ids_bytes_max=4)
    many = '{"action":"%s","channel":"quotes","symbols":["A","B","C"]}'
    assert "2 symbols" in refused(many % "subscribe", limits).message
    assert "2 symbols" in refused(many % "unsubscribe", limits).message
    assert refused('{"action":"ping","id":"12345"}', limits).echo is None
    stream.parse('{"action":"resend","channel":"trades","symbol":"A","from":1,"to":3}', limits)
    assert "3 updates" in refused('{"action":"resend","channel":"trades","symbol":"A","from":1,"to":4}', limits).message


def test_the_id_of_a_refused_request_is_read_when_it_can_be() -> None:
    assert stream.read_echo('{"id":"7","action":5}', LIMITS) == "7"
    assert stream.read_echo("{", LIMITS) is None
    assert stream.read_echo('"7"', LIMITS) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
positions = st.fixed_dictionaries({"epoch": st.text(), "sequence": st.integers()})
fields = st.fixed_dictionaries(
    {"action": st.sampled_from(stream.ACTIONS) | json_values},
    optional={
        name: json_values | known
        for name, known in {
            "id": st.text() | st.integers(),
            "channel": st.just("quotes"),
            "symbols": st.lists(st.text()),
            "symbol": st.text(),
            "throttle_ms": st.integers(),
            "depth": st.integers(),
            "timeframe": st.text(),
            "from": st.integers(),
            "to": st.integers(),
            "resume": st.dictionaries(st.text(), positions),
            "account_id": st.integers(),
            "sequence": st.integers(),
            "payload": st.dictionaries(st.text(), json_values),
            "token": st.text(),
        }.items()
    },
)
anything = st.binary() | st.text() | json_values.map(json.dumps) | fields.map(json.dumps)


@given(anything)
def test_any_message_ends_in_a_request_or_a_refusal(raw: str | bytes) -> None:
    outcome: stream.Request | RequestError
    try:
        outcome = stream.parse(raw, LIMITS)
    except RequestError as error:
        outcome = error
    if isinstance(outcome, RequestError):
        assert outcome.code in CODES
        json.loads(stream.error(outcome, outcome.echo, "c-1"))
    else:
        assert isinstance(outcome, stream.Request)
        assert outcome.id is None or isinstance(outcome.id, str | int)


@given(fields)
def test_a_request_survives_its_own_encoding(message: dict[str, Any]) -> None:
    try:
        request = stream.parse(json.dumps(message), LIMITS)
    except RequestError:
        return
    again = msgspec.json.Encoder(decimal_format="number").encode(request)
    assert stream.parse(again, LIMITS) == request


def test_printed_replies() -> None:
    subscribe = stream.Subscribe(id="7", channel="quotes", symbols=["BTC/USDT", "XXX"], throttle_ms=120)
    states = {"BTC/USDT": stream.StreamState("k3f9", 12345, True, 12)}
    assert stream.subscribed(subscribe, "s1", 100, states, {"XXX": "unknown_symbol"}, {}) == (
        b'{"type":"subscribed","id":"7","channel":"quotes","data":{"subscription_id":"s1","symbols":["BTC/USDT"],'
        b'"throttle_ms":100,"streams":{"BTC/USDT":{"epoch":"k3f9","sequence":12345,"recovered":true,"replayed":12}},'
        b'"errors":{"XXX":"unknown_symbol"}}}'
    )
    late = stream.subscribed(subscribe, "s2", 0, {}, {"XXX": "exchange_unavailable"}, {"XXX": 1000})
    assert late.endswith(b'"streams":{},"errors":{"XXX":"exchange_unavailable"},"retry_after_ms":{"XXX":1000}}}')
    assert stream.pong(stream.Ping(id=1)) == b'{"type":"pong","id":1}'
    assert stream.pong(stream.Ping()) == b'{"type":"pong"}'
    assert stream.server_shutdown(10000, 250) == (
        b'{"type":"server_shutdown","deadline_ms":10000,"reconnect_after_ms":250}'
    )


def test_connected_tells_every_limit() -> None:
    message = json.loads(stream.connected("c1", LIMITS))
    assert message["type"] == "connected"
    assert message["connection_id"] == "c1"
    assert message["heartbeat_s"] == 30
    assert message["limits"] == LIMITS.published()


def test_errors_carry_what_there_is() -> None:
    plain = TickwireError("unknown_symbol", "no such symbol")
    assert json.loads(stream.error(plain, "7", "c1-3")) == {
        "type": "error",
        "id": "7",
        "code": "unknown_symbol",
        "message": "no such symbol",
        "request_id": "c1-3",
    }
    full = TickwireError("rate_limited", "slow down", details={"requests_per_s": 5}, retry_after_ms=20)
    assert json.loads(stream.error(full, None, "c1-4")) == {
        "type": "error",
        "code": "rate_limited",
        "message": "slow down",
        "request_id": "c1-4",
        "details": {"requests_per_s": 5},
        "retry_after_ms": 20,
    }


def test_unsubscribed_resent_and_list_replies() -> None:
    unsubscribe = stream.Unsubscribe(id=1, channel="quotes", symbols=["A", "B"])
    assert json.loads(stream.unsubscribed(unsubscribe, ["A"], {"B": "unknown_symbol"})) == {
        "type": "unsubscribed",
        "id": 1,
        "channel": "quotes",
        "data": {"symbols": ["A"], "errors": {"B": "unknown_symbol"}},
    }
    resend = stream.Resend(id=2, channel="trades", symbol="A", from_=3, to=9)
    assert json.loads(stream.resent(resend, 5)) == {
        "type": "resent",
        "id": 2,
        "channel": "trades",
        "data": {"symbol": "A", "from": 3, "to": 9, "resent": 5},
    }
    listed = stream.Listed("s1", "bars", "x:A", "x", 0, False, "json", "none", timeframe="1m")
    assert json.loads(stream.subscriptions(stream.List(id=3), [listed])) == {
        "type": "subscriptions",
        "id": 3,
        "data": {
            "subscriptions": [
                {
                    "subscription_id": "s1",
                    "channel": "bars",
                    "symbol": "x:A",
                    "exchange": "x",
                    "throttle_ms": 0,
                    "batch": False,
                    "encoding": "json",
                    "compression": "none",
                    "timeframe": "1m",
                }
            ]
        },
    }


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"action": "subscribe", "channel": "orders"}, "by `account_ids`"),
        ({"action": "subscribe", "channel": "orders", "symbols": ["A"], "account_ids": [1]}, "by `account_ids`"),
        ({"action": "subscribe", "channel": "quotes"}, "by `symbols`"),
        ({"action": "subscribe", "channel": "quotes", "symbols": ["A"], "account_ids": [1]}, "by `symbols`"),
        ({"action": "subscribe", "channel": "orders", "account_ids": [0]}, ">= 1"),
        ({"action": "subscribe", "channel": "orders", "account_ids": []}, "length >= 1"),
        ({"action": "unsubscribe", "channel": "orders", "symbols": ["A"]}, "have no `symbols`"),
        ({"action": "unsubscribe", "channel": "quotes", "account_ids": [1]}, "have no `account_ids`"),
        ({"action": "ack", "channel": "quotes", "account_id": 1, "sequence": 1}, "are not confirmed"),
        ({"action": "command", "payload": "x"}, "payload"),
    ],
)
def test_names_that_do_not_go_with_the_channel(request_: dict[str, Any], says: str) -> None:
    refusal = refused(json.dumps(request_), LIMITS)
    assert refusal.code == "validation_error"
    assert says in refusal.message


def test_numbers_of_a_command_keep_their_digits() -> None:
    request = stream.parse('{"action":"command","payload":[{"qty":0.10000000000000000001}]}', LIMITS)
    assert isinstance(request, stream.Command)
    assert request.payload == [{"qty": Decimal("0.10000000000000000001")}]
    absurd = refused('{"action":"command","id":1,"payload":{"qty":1e99999999999999999999}}', LIMITS)
    assert (absurd.code, absurd.message) == ("validation_error", "the message is not JSON")
