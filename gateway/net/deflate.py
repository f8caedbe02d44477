"""permessage-deflate (RFC 7692) without context takeover: what is agreed, and single payloads in and out.

Without context every payload stands alone, so a compressed frame can be made once and shared by all who agreed to it.
Must not know frames, sockets, or whether a payload is worth compressing.

Plain zlib: with the flush that must end each message isal gains 10 to 30 % on payloads of 1 to 2 kB, and is not
everywhere to be had.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

WINDOW_BITS_MAX: Final = 15
WINDOW_BITS_MIN: Final = 9  # RFC 7692 allows 8, zlib's raw deflate does not
_TAIL: Final = b"\x00\x00\xff\xff"  # ends every flush, and is left out on the wire (RFC 7692 section 7.2.1)
_STREAMS_MAX: Final = 8  # a peer may end its stream and go on with another (BFINAL, section 7.2.3.4); few do, once


class TooBig(ValueError):  # noqa: N818 - says what the payload is
    """The payload would inflate to more than the limit."""


class Corrupt(ValueError):  # noqa: N818 - says what the payload is
    """The payload is not a deflate stream."""


def compress(payload: bytes, window_bits: int = WINDOW_BITS_MAX) -> bytes:
    """The payload of a frame with RSV1 set. Only the default window makes a frame that all who agreed can read."""
    stream = zlib.compressobj(1, zlib.DEFLATED, -window_bits)
    return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


def inflate(payload: bytes, bytes_max: int) -> bytes:
    """The message in the joined payloads of one message. Never makes more than `bytes_max` bytes and one."""
    data = b""
    rest = payload + _TAIL
    for _ in range(_STREAMS_MAX):
        stream = zlib.decompressobj(-WINDOW_BITS_MAX)
        try:
            data += stream.decompress(rest, bytes_max + 1 - len(data))
        except zlib.error as error:
            raise Corrupt(str(error)) from None
        if len(data) > bytes_max:
            raise TooBig(f"message above {bytes_max} bytes")
        rest = stream.unused_data
        if not rest:
            return data
    raise Corrupt(f"more than {_STREAMS_MAX} streams in one message")


def negotiate(header: str) -> tuple[int, str] | None:
    """The first offer of a Sec-WebSocket-Extensions header that we can serve: (our window's bits, our answer).

    Every answer demands `client_no_context_takeover` and promises `server_no_context_takeover`: an endpoint may do
    both unasked (RFC 7692 sections 7.1.1.1 and 7.1.1.2). None: no such offer, so messages go uncompressed.
    """
    for name, parameters in _offers(header):
        bits = _window_bits(parameters) if name == "permessage-deflate" else None
        if bits is None:
            continue
        answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        if "server_max_window_bits" in parameters:
            answer += f"; server_max_window_bits={bits}"
        return bits, answer
    return None


def _window_bits(parameters: dict[str, str | None]) -> int | None:
    """The window we may use under an offer's parameters, or None to decline it."""
    bits = WINDOW_BITS_MAX
    for name, value in parameters.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
        elif name == "client_max_window_bits":  # a hint: our window for reading is always the largest
            if value is not None and _bits(value) is None:
                return None
        elif name == "server_max_window_bits":
            asked = _bits(value)
            if asked is None or asked < WINDOW_BITS_MIN:
                return None
            bits = asked
        else:
            return None
    return bits


def _bits(value: str | None) -> int | None:
    return int(value) if value in {"8", "9", "10", "11", "12", "13", "14", "15"} else None


def _offers(header: str) -> Iterator[tuple[str, dict[str, str | None]]]:
    """(extension, parameters) as RFC 6455 section 9.1 writes them; an offer that names a parameter twice is left out.

    Quoted values are unquoted; no value of ours holds a comma or semicolon, so none is looked for inside quotes.
    """
    for offer in header.split(","):
        name, *rest = (part.strip() for part in offer.split(";"))
        pairs = [(key.strip(), value.strip().strip('"') if equals else None)
                 for key, equals, value in (part.partition("=") for part in rest)]  # fmt: skip
        parameters = dict(pairs)
        if len(parameters) == len(pairs):
            yield name, parameters
