"""Updates and gaps as the stream dialect sends them, in every encoding and compression."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import msgspec
import pytest

from _speedups.frame import OP_BINARY, OP_TEXT, Form, Update
from gateway.core.key import CHANNELS, Key, StreamId, stream_id
from gateway.limits import Limits
from gateway.wire.forms import Forms, StreamForm

LIMITS = Limits(gzip_bytes_min=600, deflate_bytes_min=700)


def deflate(payload: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return (squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


FORMS = Forms(LIMITS, deflate)
QUOTES = stream_id(Key("binance", "quotes", "BTC/USDT"))
SMALL = b'{"symbol":"BTC/USDT","bid":1.25}'
LARGE = b'{"symbol":"BTC/USDT","note":"' + b"x" * 900 + b'"}'


def message_of(form: Form, topic: StreamId, data: bytes = SMALL, *, snapshot: bool = False) -> bytes:
    update = Update(12346, data, 1770474600100, 1770474600121000000, 1770474600121090000, snapshot)
    return form.template(topic).render(update, "k3f9")


def unframe(frame: bytes) -> tuple[int, bool, bytes]:
    """(opcode, rsv1, payload) of one finished server frame."""
    assert frame[0] & 0x80
    size, start = frame[1], 2
    if size == 126:
        size, start = int.from_bytes(frame[2:4], "big"), 4
    assert len(frame) == start + size
    return frame[0] & 0x0F, bool(frame[0] & 0x40), frame[start:]


def test_the_printed_update() -> None:
    assert message_of(StreamForm(), QUOTES) == (
        b'{"type":"quote","channel":"quotes","kind":"update","epoch":"k3f9","sequence":12346,'
        b'"timestamp":"2026-02-07T14:30:00.100Z","t_ex":1770474600100,"t_in":1770474600121000000,'
        b'"t_out":1770474600121090000,"data":{"symbol":"BTC/USDT","bid":1.25}}'
    )


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=lambda channel: channel.name)
def test_every_channel_has_its_type(channel: Any) -> None:
    topic = stream_id(Key("x", channel.name, "A/B"))
    message = json.loads(message_of(StreamForm(), topic, snapshot=True))
    assert (message["type"], message["channel"], message["kind"]) == (channel.type, channel.name, "snapshot")


def test_a_batch_is_the_same_envelope_with_a_list() -> None:
    message = json.loads(message_of(StreamForm(), stream_id(QUOTES.key, batch=True), b"[" + SMALL + b"]"))
    assert message["type"] == "batch"
    assert (message["channel"], message["epoch"], message["sequence"]) == ("quotes", "k3f9", 12346)
    assert message["data"] == [json.loads(SMALL)]


def test_a_gap() -> None:
    gap = StreamForm().gap(QUOTES, "k3f9", 12347, 12400, "slow_consumer", None)
    assert json.loads(gap) == {
        "type": "gap",
        "channel": "quotes",
        "symbol": "BTC/USDT",
        "exchange": "binance",
        "epoch": "k3f9",
        "from": 12347,
        "to": 12400,
        "reason": "slow_consumer",
    }
    assert json.loads(StreamForm().gap(QUOTES, "k3f9", 5, 4, "upstream", "k3fa"))["new_epoch"] == "k3fa"


def decode(compression: str, deflated: bool, payload: bytes, *, squeezed: bool) -> bytes:
    if not squeezed:
        return payload
    if compression == "gzip":
        return gzip.decompress(payload)
    assert deflated
    return zlib.decompressobj(wbits=-15).decompress(payload + b"\x00\x00\xff\xff")


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("deflated", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_every_form_carries_the_same_message(encoding: str, compression: str, deflated: bool, data: bytes) -> None:
    form = FORMS.of(encoding, compression, deflate=deflated)
    payload = message_of(form, QUOTES, data)
    opcode, rsv1, body = unframe(form.finish(payload))
    gzipped = compression == "gzip" and data is LARGE
    assert rsv1 == (deflated and compression == "none" and data is LARGE)
    assert (body[:2] == b"\x1f\x8b") == gzipped
    assert opcode == (OP_BINARY if encoding == "msgpack" or gzipped else OP_TEXT)
    plain = decode(compression, deflated, body, squeezed=gzipped or rsv1)
    decoded = msgspec.msgpack.decode(plain) if encoding == "msgpack" else json.loads(plain)
    assert decoded == json.loads(payload)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("deflated", [False, True])
def test_a_gap_spells_the_symbol_as_the_client_did(encoding: str, compression: str, deflated: bool) -> None:
    for prefixed, spelled in ((False, "BTC/USDT"), (True, "binance:BTC/USDT")):
        form = FORMS.of(encoding, compression, deflate=deflated, prefixed=prefixed)
        gap = json.loads(form.gap(QUOTES, "e1", 1, 2, "slow_consumer", None))
        assert (gap["symbol"], gap["exchange"]) == (spelled, "binance")


def test_connections_that_ask_for_the_same_share_one_form() -> None:
    assert FORMS.of("json", "gzip", deflate=True) is FORMS.of("json", "gzip", deflate=False)
    assert FORMS.of("json", "none", deflate=True) is not FORMS.of("json", "none", deflate=False)
    assert FORMS.of("msgpack", "none", deflate=False) is FORMS.of("msgpack", "none", deflate=False)
