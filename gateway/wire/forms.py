"""How numbered updates and gaps look in the stream dialect: one frame class per encoding and compression.

Holds templates and the last step from payload to frame; each runs once per update and form, whoever receives it.
Must not know subscribers, sockets or the hub: a topic is only its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
from gateway.core.key import OWN, PRIVATE_CHANNELS, STREAM_CHANNELS, Key, StreamId
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
    """Plain JSON in a TEXT frame. `prefixed`: for who spells symbols `exchange:symbol`, which a gap gives back."""

    def __init__(self, *, prefixed: bool = False) -> None:
        self._prefixed = prefixed

    def template(self, topic: StreamId) -> Template:
        channel = STREAM_CHANNELS.get(topic.key.channel) or PRIVATE_CHANNELS[topic.key.channel]
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
            **self._place(topic.key),
            "epoch": epoch,
            "from": first,
            "to": last,
            "reason": reason,
        }
        if new_epoch is not None:
            fields["new_epoch"] = new_epoch
        return orjson.dumps(fields)

    def _place(self, key: Key) -> dict[str, Any]:
        """What a stream is of, for messages that carry no data."""
        if key.channel in PRIVATE_CHANNELS:
            return {"account_id": int(key.symbol)}
        symbol = f"{key.exchange}:{key.symbol}" if self._prefixed else key.symbol
        return {"symbol": symbol, **({} if key.exchange == OWN else {"exchange": key.exchange}), **variant_field(key)}


class Squeeze(NamedTuple):
    """A compression, and how its frames are told from others."""

    squeeze: Callable[[bytes], bytes]
    bytes_min: int  # below, it gains nothing
    opcode: int | None  # None: as without it
    rsv1: bool


class PackedForm(StreamForm):
    """The same message as msgpack in a BINARY frame, or compressed where that is worth it, or both."""

    def __init__(self, *, msgpack: bool, squeeze: Squeeze | None = None, prefixed: bool = False) -> None:
        super().__init__(prefixed=prefixed)
        self._msgpack = msgpack
        self._squeeze = squeeze

    def finish(self, payload: bytes) -> bytes:
        opcode, packed = (OP_BINARY, _msgpack(payload)) if self._msgpack else (OP_TEXT, payload)
        squeeze = self._squeeze
        if squeeze is None or len(packed) < squeeze.bytes_min:
            return encode(opcode, packed)
        return encode(squeeze.opcode or opcode, squeeze.squeeze(packed), squeeze.rsv1)


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
        zipped = Squeeze(gzip, limits.gzip_bytes_min, OP_BINARY, rsv1=False)
        # Without context takeover, so one frame serves every connection that negotiated permessage-deflate.
        deflated = Squeeze(deflate, limits.deflate_bytes_min, None, rsv1=True)
        self._forms: dict[tuple[str, str, bool], Form] = {}
        for prefixed in (False, True):
            self._forms["json", "plain", prefixed] = StreamForm(prefixed=prefixed)
            self._forms["msgpack", "plain", prefixed] = PackedForm(msgpack=True, prefixed=prefixed)
            for name, squeeze in (("gzip", zipped), ("deflate", deflated)):
                for encoding in ("json", "msgpack"):
                    form = PackedForm(msgpack=encoding == "msgpack", squeeze=squeeze, prefixed=prefixed)
                    self._forms[encoding, name, prefixed] = form
        self.all = tuple(self._forms.values())  # in an order that is the same in every process

    def of(self, encoding: str, compression: str, *, deflate: bool, prefixed: bool = False) -> Form:
        """The form for a subscription's options on a connection that did or did not negotiate deflate."""
        if compression != "gzip":  # what is zipped is not deflated a second time
            compression = "deflate" if deflate else "plain"
        return self._forms[encoding, compression, prefixed]
