"""How numbered updates and gaps look in the stream dialect: one frame class per encoding and compression.

Holds templates and the last step from payload to frame; each runs once per update and form, whoever receives it.
Must not know subscribers, sockets or the hub: a topic is only its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from _speedups.frame import (
    DATA,
    EPOCH,
    KIND,
    OP_BINARY,
    OP_TEXT,
    SEQUENCE,
    T_EX,
    T_IN,
    T_OUT,
    TIMESTAMP,
    Form,
    Template,
    encode,
)
from gateway.core.key import CHANNELS, Key, StreamId
from gateway.limits import Limits

try:
    from isal import isal_zlib as zlib
except ImportError:  # no wheel for this machine; the standard library is half as fast and otherwise the same
    import zlib  # type: ignore[no-redef]  # the same names on purpose

GZIP_WBITS = 31  # zlib's way to ask for one gzip member
GZIP_LEVEL = 1  # made in the hot path: 8 us for a book of 2.5 kB


def gzip(payload: bytes) -> bytes:
    return zlib.compress(payload, GZIP_LEVEL, GZIP_WBITS)


class StreamForm(Form):
    """Plain JSON in a TEXT frame; the other forms differ in how a payload becomes a frame."""

    def template(self, topic: StreamId) -> Template:
        channel = CHANNELS[topic.key.channel]
        kind = "batch" if topic.batch else channel.type
        head = b'{"type":' + orjson.dumps(kind) + b',"channel":' + orjson.dumps(channel.name)
        return Template(
            [
                head + b',"kind":"',
                KIND,
                b'","epoch":"',
                EPOCH,
                b'","sequence":',
                SEQUENCE,
                b',"timestamp":"',
                TIMESTAMP,
                b'","t_ex":',
                T_EX,
                b',"t_in":',
                T_IN,
                b',"t_out":',
                T_OUT,
                b',"data":',
                DATA,
                b"}",
            ]
        )

    def gap(self, topic: StreamId, epoch: str, first: int, last: int, reason: str, new_epoch: str | None) -> bytes:
        fields: dict[str, Any] = {
            "type": "gap",
            "channel": topic.key.channel,
            "symbol": topic.key.symbol,
            "exchange": topic.key.exchange,
            **variant_field(topic.key),
            "epoch": epoch,
            "from": first,
            "to": last,
            "reason": reason,
        }
        if new_epoch is not None:
            fields["new_epoch"] = new_epoch
        return orjson.dumps(fields)

    def finish(self, payload: bytes) -> bytes:
        return encode(OP_TEXT, payload)


class MsgpackForm(StreamForm):
    """The same message as msgpack in a BINARY frame."""

    def finish(self, payload: bytes) -> bytes:
        return encode(OP_BINARY, _msgpack(payload))


class GzipForm(StreamForm):
    """Payloads worth it come as one gzip member in a BINARY frame; never deflated a second time."""

    def __init__(self, bytes_min: int, *, msgpack: bool) -> None:
        self._bytes_min = bytes_min
        self._msgpack = msgpack

    def finish(self, payload: bytes) -> bytes:
        packed = _msgpack(payload) if self._msgpack else payload
        if len(packed) >= self._bytes_min:
            return encode(OP_BINARY, gzip(packed))
        return encode(OP_BINARY if self._msgpack else OP_TEXT, packed)


class DeflateForm(StreamForm):
    """For connections that negotiated permessage-deflate. Without context takeover, so one frame serves them all."""

    def __init__(self, bytes_min: int, deflate: Callable[[bytes], bytes], *, msgpack: bool) -> None:
        self._bytes_min = bytes_min
        self._deflate = deflate
        self._msgpack = msgpack

    def finish(self, payload: bytes) -> bytes:
        packed = _msgpack(payload) if self._msgpack else payload
        opcode = OP_BINARY if self._msgpack else OP_TEXT
        if len(packed) >= self._bytes_min:
            return encode(opcode, self._deflate(packed), rsv1=True)
        return encode(opcode, packed)


def _msgpack(payload: bytes) -> bytes:
    return msgspec.msgpack.encode(orjson.loads(payload))


def variant_field(key: Key) -> dict[str, Any]:
    """What tells two streams of one symbol apart, for messages that carry no data."""
    if key.channel == "bars":
        return {"timeframe": key.variant}
    return {"depth": int(key.variant)} if key.channel == "book" else {}


class Forms:
    """The forms of one process: every connection that asked for the same gets the same instance."""

    def __init__(self, limits: Limits, deflate: Callable[[bytes], bytes]) -> None:
        gzip_min, deflate_min = limits.gzip_bytes_min, limits.deflate_bytes_min
        self._plain: dict[str, Form] = {"json": StreamForm(), "msgpack": MsgpackForm()}
        self._gzip: dict[str, Form] = {name: GzipForm(gzip_min, msgpack=name == "msgpack") for name in self._plain}
        self._deflate: dict[str, Form] = {
            name: DeflateForm(deflate_min, deflate, msgpack=name == "msgpack") for name in self._plain
        }

    def of(self, encoding: str, compression: str, *, deflate: bool) -> Form:
        """The form for a subscription's options on a connection that did or did not negotiate deflate."""
        if compression == "gzip":
            return self._gzip[encoding]
        return (self._deflate if deflate else self._plain)[encoding]
