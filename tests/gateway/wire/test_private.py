"""The messages about accounts, to the byte, in every form."""

from __future__ import annotations

import gzip
import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.key import PRIVATE_CHANNELS
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net.deflate import compress
from gateway.wire import private, stream
from gateway.wire.forms import Forms
from tests.frames import whole

FORM = Forms(Limits(), compress).of("json", "none", deflate=False)
T = 1_770_474_600_123_456_789


class Said(NamedTuple):
    channel_sequence: int
    event: str
    data: bytes
    created_ns: int


def payload(frame: bytes) -> bytes:
    (only,) = whole(frame)
    return only.payload


def test_the_printed_event() -> None:
    framer = private.Framer(FORM, "orders", 1)
    said = Said(88, "order_updated", b'{"id":10,"qty":"0.10"}', T)
    assert payload(framer.update("e1", said, None, T + 1)) == (
        b'{"type":"order","channel":"orders","kind":"update","epoch":"e1","sequence":88,'
        b'"timestamp":"2026-02-07T14:30:00.123Z","t_ex":null,"t_in":1770474600123456789,"t_out":1770474600123456790,'
        b'"data":{"id":10,"qty":"0.10","event":"order_updated"}}'
    )
    assert b'"event":"order_updated","prev_sequence":85}}' in payload(framer.update("e1", said, 85, T))


@pytest.mark.parametrize("channel", PRIVATE_CHANNELS.values(), ids=lambda channel: channel.name)
def test_every_channel_has_its_type(channel: Any) -> None:
    framer = private.Framer(FORM, channel.name, 3)
    message = json.loads(payload(framer.snapshot("e1", 4, b"[1,2]", T)))
    assert (message["type"], message["channel"], message["kind"]) == (channel.type, channel.name, "snapshot")
    assert (message["sequence"], message["data"]) == (4, {"account_id": 3, "items": [1, 2]})
    assert channel.private


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(), max_size=3), st.text(max_size=5))
def test_whatever_the_data_is_it_stays_an_object_with_its_event(data: dict[str, Any], event: str) -> None:
    frame = private.Framer(FORM, "deals", 1).update("e1", Said(1, event, json.dumps(data).encode(), T), 0, T)
    assert json.loads(payload(frame))["data"] == {**data, "event": event, "prev_sequence": 0}


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_is_signed_is_the_data_as_it_stands_in_the_message(compression: str) -> None:
    """Whoever has the message can say again what was signed, whatever the data is."""
    texts: list[bytes] = []

    def sign(text: bytes) -> str:
        texts.append(text)
        return "made-of-it"

    form = Forms(Limits(gzip_bytes_min=1), compress).of("json", compression, deflate=False)
    framer = private.Framer(form, "orders", 1, sign)
    tricky = b'{"comment":"\\",\\"t_ex\\":,\\"sig\\":\\"x","id":10}'
    for frame, sequence in (
        (framer.update("e1", Said(88, "order_updated", tricky, T), None, T), 88),
        (framer.snapshot("e1", 4, b"[" + tricky + b"]", T), 4),
    ):
        raw = payload(frame)
        text = gzip.decompress(raw) if compression == "gzip" else raw
        message = json.loads(text)
        data = text[text.index(b',"data":') + 8 : text.rindex(b',"sig":"')]
        assert (message["sig"], list(message)[-2:]) == ("made-of-it", ["data", "sig"])
        assert texts.pop(0) == b"e1.%d.2026-02-07T14:30:00.123Z.%s" % (sequence, data)
        assert json.loads(data) == message["data"]
    assert b'"sig"' not in private.Framer(form, "orders", 1).update("e1", Said(1, "x", b"{}", T), None, T)


def test_a_gap_names_the_account() -> None:
    framer = private.Framer(FORM, "orders", 1)
    gap = {"type": "gap", "channel": "orders", "account_id": 1, "epoch": "e0", "from": 3, "to": 3, "reason": "resync"}
    assert json.loads(payload(framer.gap("e0", 3, 3, None))) == gap
    assert json.loads(payload(framer.gap("e0", 3, 3, "e1"))) == {**gap, "new_epoch": "e1"}


def test_printed_replies() -> None:
    subscribe = stream.Subscribe(id="7", channel="orders", account_ids=[1, 2])
    state = stream.StreamState("e1", 88, True, 3)
    assert private.subscribed(subscribe, "p1", {1: state}, {2: "account_not_found"}) == (
        b'{"type":"subscribed","id":"7","channel":"orders","data":{"subscription_id":"p1","account_ids":[1],'
        b'"throttle_ms":0,"streams":{"1":{"epoch":"e1","sequence":88,"recovered":true,"replayed":3}},'
        b'"errors":{"2":"account_not_found"}}}'
    )
    unsubscribe = stream.Unsubscribe(channel="orders", account_ids=[1, 2])
    assert private.unsubscribed(unsubscribe, [1], {2: "account_not_found"}) == (
        b'{"type":"unsubscribed","channel":"orders","data":{"account_ids":[1],"errors":{"2":"account_not_found"}}}'
    )
    ack = stream.Ack(id=1, channel="orders", account_id=1, sequence=88)
    assert private.acked(ack) == (b'{"type":"acked","id":1,"channel":"orders","data":{"account_id":1,"sequence":88}}')


def test_the_end_of_a_stream_says_which() -> None:
    listed = private.Listed("p1", "orders", 1, "json", "none")
    failure = TickwireError("engine_unavailable", "gone", details={"why": 1}, retry_after_ms=1000)
    assert json.loads(private.ended(failure, listed, "c1-p1")) == {
        "type": "error", "code": "engine_unavailable", "message": "gone", "request_id": "c1-p1",
        "details": {"why": 1, "subscription_id": "p1", "channel": "orders", "account_id": 1}, "retry_after_ms": 1000,
    }  # fmt: skip
