"""The oms dialect's grammar: every message that its protocol prints, both ways, and whatever else a peer may send."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.key import Extent
from gateway.errors import CODES, TickwireError
from gateway.limits import Limits
from gateway.net.guard import Entered
from gateway.wire import oms
from gateway.wire.codec import RequestError
from oms.model import Permission, Principal

LIMITS = Limits()
ANN = Principal(user_id=1, user_name="ann", api_key_id=7, permissions={2: Permission(account_id=2)})

AUTH = '{"id":"auth-1","action":"auth","payload":{"api_key":"..."}}'
MARKET = (
    '{"id":"m1","namespace":"ccxt","action":"subscribe_market","payload":{"account_id":1,"symbol":"BTC/USDT",'
    '"channels":["ticker","orderbook","trades","ohlcv"],"timeframe":"1m","depth":20,"limit":50,"poll_interval_ms":1200}}'
)
UNMARKET = '{"id":"u1","namespace":"ccxt","action":"unsubscribe_market","payload":{}}'
SUBSCRIBE = (
    '{"id":"s1","action":"subscribe","payload":{"namespaces":["position"],"account_ids":[1],"with_snapshot":true}}'
)
COMMAND = '{"id":"c1","namespace":"position","action":"command","payload":{"account_id":1,"qty":0.10}}'
CALL = (
    '{"id":"k1","namespace":"ccxt","action":"call","payload":'
    '{"account_id":1,"func":"fetch_ticker","args":["BTC/USDT"],"kwargs":{}}}'
)
PING = '{"action":"ping"}'

ALL = ("ticker", "orderbook", "trades", "ohlcv")
PRINTED_REQUESTS: list[tuple[str, oms.Request]] = [
    (AUTH, oms.Auth(id="auth-1", payload=oms.Credentials(api_key="..."))),
    (MARKET, oms.SubscribeMarket(id="m1", namespace="ccxt", payload=oms.Market(account_id=1, symbol="BTC/USDT", channels=ALL))),  # noqa: E501
    (UNMARKET, oms.UnsubscribeMarket(id="u1", namespace="ccxt", payload=oms.Markets())),
    (SUBSCRIBE, oms.Subscribe(id="s1", payload=oms.Private(account_ids=[1], with_snapshot=True))),
    (COMMAND, oms.Command(id="c1", namespace="position", payload={"account_id": 1, "qty": Decimal("0.10")})),
    (CALL, oms.Call(id="k1", namespace="ccxt", payload=oms.Called(account_id=1, func="fetch_ticker", args=["BTC/USDT"]))),  # noqa: E501
    (PING, oms.Ping()),
]  # fmt: skip


def read(raw: str, kind: type[Any]) -> Any:
    request = oms.parse(raw, LIMITS)
    assert isinstance(request, kind)
    return request


@pytest.mark.parametrize(("raw", "request_"), PRINTED_REQUESTS)
def test_a_printed_request_is_read(raw: str, request_: oms.Request) -> None:
    assert oms.parse(raw, LIMITS) == request_
    assert oms.parse(raw.encode(), LIMITS) == request_


def test_the_defaults_are_those_that_are_printed() -> None:
    market = read('{"action":"subscribe_market","payload":{"account_id":1,"symbol":"X"}}', oms.SubscribeMarket).payload
    assert market == oms.Market(
        account_id=1, symbol="X", channels=("ticker",), timeframe="1m", depth=20, limit=50, poll_interval_ms=1200
    )


REFUSED = TickwireError("permission_denied", "...")
PRINTED_REPLIES: list[tuple[bytes, str]] = [
    (oms.connected(), '{"id":"server-hello","ok":true,"type":"ws_event","event":"connected","payload":{}}'),
    (
        oms.authenticated(read(AUTH, oms.Auth), Entered(ANN, 43_200_000)),
        '{"id":"auth-1","ok":true,"type":"ws_response","namespace":"system","action":"auth","event":"authenticated",'
        '"payload":{"user":"ann","admin":false,"account_ids":[2],"reauthenticate_after_ms":43200000}}',
    ),
    (
        oms.subscribed_market(read(MARKET, oms.SubscribeMarket), ALL),
        '{"id":"m1","ok":true,"type":"ws_response","namespace":"ccxt","action":"subscribe_market",'
        '"event":"subscribed_market","payload":{"account_id":1,"symbol":"BTC/USDT",'
        '"channels":["ticker","orderbook","trades","ohlcv"],"poll_interval_ms":1200}}',
    ),
    (
        oms.error(REFUSED, oms.echo(read(MARKET, oms.SubscribeMarket)), "c-1"),
        '{"id":"m1","ok":false,"type":"ws_response","namespace":"ccxt","action":"subscribe_market","event":"error",'
        '"payload":{"code":"permission_denied","message":"...","request_id":"c-1"}}',
    ),
    (
        oms.unsubscribed_market(read(UNMARKET, oms.UnsubscribeMarket), 4),
        '{"id":"u1","ok":true,"type":"ws_response","namespace":"ccxt","action":"unsubscribe_market",'
        '"event":"unsubscribed_market","payload":{"removed":4}}',
    ),
    (
        oms.subscribed(read(SUBSCRIBE, oms.Subscribe), [1]),
        '{"id":"s1","ok":true,"type":"ws_response","namespace":"system","action":"subscribe","event":"subscribed",'
        '"payload":{"namespaces":["position"],"account_ids":[1]}}',
    ),
    (
        oms.snapshot(read(SUBSCRIBE, oms.Subscribe), "orders", 1, b'[{"id":7}]'),
        '{"id":"s1","ok":true,"type":"ws_event","namespace":"position","action":"event","event":"snapshot_open_orders",'
        '"payload":{"account_id":1,"items":[{"id":7}]}}',
    ),
    (
        oms.snapshot(read(SUBSCRIBE, oms.Subscribe), "positions", 1, b"[]"),
        '{"id":"s1","ok":true,"type":"ws_event","namespace":"position","action":"event",'
        '"event":"snapshot_open_positions","payload":{"account_id":1,"items":[]}}',
    ),
    (
        oms.snapshot_done(read(SUBSCRIBE, oms.Subscribe), [1]),
        '{"id":"s1","ok":true,"type":"ws_event","namespace":"position","action":"event","event":"snapshot_done",'
        '"payload":{"account_ids":[1]}}',
    ),
    (
        oms.command_result(
            read(COMMAND, oms.Command), {"index": 0, "ok": True, "command_id": 7, "order_id": 10, "error": None}
        ),
        '{"id":"c1","ok":true,"type":"ws_response","namespace":"position","action":"command","event":"command_result",'
        '"payload":{"index":0,"ok":true,"command_id":7,"order_id":10,"error":null}}',
    ),
    (
        oms.ccxt_result(read(CALL, oms.Call), b'{"last":0.10}'),
        '{"id":"k1","ok":true,"type":"ws_response","namespace":"ccxt","action":"call","event":"ccxt_result",'
        '"payload":{"result":{"last":0.10}}}',
    ),
    (
        oms.pong(read(PING, oms.Ping)),
        '{"id":null,"ok":true,"type":"ws_response","namespace":"system","action":"ping","event":"pong","payload":{}}',
    ),
]


@pytest.mark.parametrize(("made", "printed"), PRINTED_REPLIES)
def test_a_printed_reply_is_what_is_sent(made: bytes, printed: str) -> None:
    assert made.decode() == printed


def test_a_command_that_failed_is_not_ok() -> None:
    made = json.loads(oms.command_result(read(COMMAND, oms.Command), {"index": 1, "ok": False, "error": {"code": "x"}}))
    assert (made["ok"], made["payload"]["ok"], made["event"]) == (False, False, "command_result")


@pytest.mark.parametrize(
    ("asked_ms", "told_ms"), [(-5, 250), (249, 250), (250, 250), (1200, 1200), (10_000, 10_000), (10**9, 10_000)]
)  # fmt: skip
def test_a_poll_interval_is_clamped(asked_ms: int, told_ms: int) -> None:
    raw = {"action": "subscribe_market", "payload": {"account_id": 1, "symbol": "X", "poll_interval_ms": asked_ms}}
    request = read(json.dumps(raw), oms.SubscribeMarket)
    assert json.loads(oms.subscribed_market(request, ["ticker"]))["payload"]["poll_interval_ms"] == told_ms


def test_options_count_for_the_channels_that_they_are_about() -> None:
    market = oms.Market(account_id=1, symbol="X", timeframe="5m", depth=5_000, limit=5_000, poll_interval_ms=500)
    extents = {channel: market.extent(channel, Limits(book_depth_max=100)) for channel in ALL}
    assert extents == {
        "ticker": Extent(0, "", 500),
        "orderbook": Extent(100, "", 500),
        "trades": Extent(1_000, "", 500),
        "ohlcv": Extent(1_000, "5m", 500),
    }


def market_with(**payload: Any) -> dict[str, Any]:
    return {"id": 1, "action": "subscribe_market", "payload": {"account_id": 1, "symbol": "X", **payload}}


@pytest.mark.parametrize(
    ("message", "code", "echo"),
    [
        ({"type": "ping"}, "validation_error", oms.Echo()),
        ({"type": "subscribe", "channel": "signals", "id": 3}, "validation_error", oms.Echo(3)),
        ({"action": "fly", "id": 3}, "unsupported_action", oms.Echo(3, "system", "fly")),
        ({"action": "subscribe", "channel": "quotes", "symbols": ["X"]}, "validation_error", oms.Echo(None, "system", "subscribe")),  # noqa: E501
        ({"action": "auth", "payload": {}}, "validation_error", oms.Echo(None, "system", "auth")),
        ({"action": "ping", "namespace": "ccxt"}, "unsupported_action", oms.Echo(None, "system", "ping")),
        ({"action": "call", "namespace": "position", "payload": {"account_id": 1, "func": "f"}}, "unsupported_action", oms.Echo(None, "ccxt", "call")),  # noqa: E501
        (market_with(channels=["ticker", "news"]), "unsupported_channel", oms.Echo(1, "ccxt", "subscribe_market")),
        (market_with(channels=[]), "validation_error", oms.Echo(1, "ccxt", "subscribe_market")),
        (market_with(depth=0), "validation_error", oms.Echo(1, "ccxt", "subscribe_market")),
        (market_with(limit=-1), "validation_error", oms.Echo(1, "ccxt", "subscribe_market")),
        (market_with(account_id="1"), "validation_error", oms.Echo(1, "ccxt", "subscribe_market")),
        ({"action": "unsubscribe_market", "payload": {"channels": ["x"]}}, "unsupported_channel", oms.Echo(None, "ccxt", "unsubscribe_market")),  # noqa: E501
        ({"action": "subscribe", "payload": {"namespaces": ["ccxt"], "account_ids": [1]}}, "validation_error", oms.Echo(None, "system", "subscribe")),  # noqa: E501
        ({"action": "subscribe", "payload": {"account_ids": list(range(1, 502))}}, "validation_error", oms.Echo(None, "system", "subscribe")),  # noqa: E501
        ({"action": "ping", "id": "x" * 129}, "validation_error", oms.Echo(None, "system", "ping")),
    ],
)  # fmt: skip
def test_a_refusal_has_a_code_and_gives_back_what_could_be_read(
    message: dict[str, Any], code: str, echo: oms.Echo
) -> None:
    with pytest.raises(RequestError) as refused:
        oms.parse(json.dumps(message), LIMITS)
    assert (refused.value.code, refused.value.echo) == (code, echo)
    made = json.loads(oms.error(refused.value, refused.value.echo, "c-1"))
    assert (made["ok"], made["event"], made["id"], made["action"]) == (False, "error", echo.id, echo.action)


@given(
    st.binary(max_size=200)
    | st.text(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([*oms.NAMESPACES, *ALL]),
        lambda each: (
            st.lists(each, max_size=4)
            | st.dictionaries(st.sampled_from(["id", "action", "namespace", "payload", "channels", "account_id"]), each)
        ),
        max_leaves=12,
    ).map(json.dumps)
)
def test_any_message_ends_in_a_request_or_a_refusal(raw: str | bytes) -> None:
    outcome: oms.Request | RequestError
    try:
        outcome = oms.parse(raw, LIMITS)
    except RequestError as error:
        outcome = error
    if isinstance(outcome, RequestError):
        assert outcome.code in CODES
        json.loads(oms.error(outcome, outcome.echo, "c-1"))
    else:
        assert oms.read_echo(raw, LIMITS) == oms.echo(outcome)


def test_a_credential_does_not_show() -> None:
    assert "secret" not in repr(oms.Auth(payload=oms.Credentials(api_key="secret")))
    assert "secret" not in repr(oms.Auth(payload=oms.Credentials(token="secret")))


def test_every_action_is_of_one_namespace() -> None:
    assert oms.NAMESPACES == {
        "auth": "system", "ping": "system", "subscribe_market": "ccxt", "unsubscribe_market": "ccxt",
        "subscribe": "system", "unsubscribe": "system", "command": "position", "call": "ccxt",
    }  # fmt: skip


def test_what_the_gateway_says_by_itself() -> None:
    said = [json.loads(each) for each in (oms.reauthenticate(60_000), oms.server_shutdown(10_000, 250))]
    assert [(each["type"], each["event"], each["payload"]) for each in said] == [
        ("ws_event", "reauthenticate", {"deadline_ms": 60_000}),
        ("ws_event", "server_shutdown", {"deadline_ms": 10_000, "reconnect_after_ms": 250}),
    ]
    over = json.loads(oms.ended(REFUSED, oms.CCXT, "c-1"))
    assert (over["id"], over["ok"], over["namespace"], over["payload"]["code"]) == (None, False, "ccxt", REFUSED.code)
