"""docs/protocol.md, the oms dialect: every message shown is what the codec reads or makes, every default is told."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from _speedups.frame import Update
from gateway.core.key import PRIVATE_CHANNELS, UNIFIED_CHANNELS, Key, StreamId
from gateway.limits import Limits
from gateway.wire import oms
from gateway.wire.oms_forms import MarketForm, private_event
from tests.docs_parts import fences, table
from tests.gateway.net.accounts import Line

NAME = "docs/protocol.md"
Message = dict[str, Any]


def lines(info: str) -> list[str]:
    return [line for fence in fences(NAME, info) for line in fence.splitlines()]


@pytest.mark.parametrize("line", lines("json oms-client"))
def test_a_request_is_read(line: str) -> None:
    request = oms.parse(line, Limits())
    asked = json.loads(line).get("payload", {})
    if isinstance(request, oms.Auth | oms.SubscribeMarket | oms.UnsubscribeMarket | oms.Subscribe | oms.Call):
        fields = {field.encode_name for field in msgspec.structs.fields(request.payload)}
        assert set(asked) <= fields, "an unknown field would be ignored"


def test_every_request_is_shown() -> None:
    assert {json.loads(line)["action"] for line in lines("json oms-client")} == set(oms.NAMESPACES)


def rendered(message: Message) -> bytes:
    """What the codec makes for the values of a message."""
    payload = message["payload"]
    if message["event"] == "connected":
        return oms.connected()
    if message["event"] == "gap":
        place = (payload["from"], payload["to"], payload["reason"], payload.get("new_epoch"))
        return MarketForm(payload["account_id"]).gap(topic_of(payload), payload["epoch"], *place)
    if message["event"].removesuffix("_updated") in {row.type for row in UNIFIED_CHANNELS.values()}:
        data = json.dumps(payload["data"]).encode()
        update = Update(message["seq"], data, payload["ts_ms"], 0, 0, False)
        return MarketForm(payload["account_id"]).template(topic_of(payload)).render(update, message["epoch"])
    if message.get("channel") in PRIVATE_CHANNELS:
        line = Line(message["seq"], message["event"], json.dumps(payload).encode(), 0)
        return private_event(message["channel"], message["epoch"], line, message.get("prev_seq"))
    said = oms.Echo(message["id"], message["namespace"], message["action"])
    return oms.envelope(said, message["type"], message["event"], payload, ok=message["ok"])


def topic_of(payload: Message) -> StreamId:
    return StreamId(Key("sim", oms.CHANNELS[payload["channel"]], payload["symbol"]), 0, False)


@pytest.mark.parametrize("line", lines("json oms-server"))
def test_a_message_is_what_the_codec_makes(line: str) -> None:
    made = json.loads(rendered(json.loads(line)))
    assert made == json.loads(line)
    assert list(made) == list(json.loads(line)), "in the order they are sent"


def test_every_reply_is_shown() -> None:
    shown = {message["event"] for message in map(json.loads, lines("json oms-server"))}
    assert shown >= {
        "connected", "authenticated", "pong", "subscribed_market", "unsubscribed_market", "error", "subscribed",
        "unsubscribed", "snapshot_open_orders", "snapshot_open_positions", "snapshot_done", "command_result",
        "ccxt_result", "ticker_updated", "gap",
    }  # fmt: skip


def test_the_options_of_a_market_are_told_with_their_defaults() -> None:
    shown = {row.name: row.value for row in table(NAME, "### subscribe_market, unsubscribe_market")}
    fields = {field.encode_name: field for field in msgspec.structs.fields(oms.Market)}
    assert list(shown) == list(fields)
    for field, value in shown.items():
        if value != "required":
            assert json.loads(msgspec.json.encode(fields[field].default)) == json.loads(value), field
