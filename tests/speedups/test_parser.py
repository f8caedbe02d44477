"""The parser against RFC 6455 written out in plain Python, whole or in pieces, valid or not."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _speedups.frame import OP_BINARY, OP_CLOSE, OP_PING, OP_PONG, OP_TEXT
from _speedups.parser import COMPRESSED, Parser

LIMIT = 300
Event = tuple[int, str | bytes]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """One frame as a client sends it; `rsv` are the bits 0x40, 0x20, 0x10."""
    first = (0x80 if fin else 0) | rsv | opcode
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes([first, bit | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, bit | 126]) + len(payload).to_bytes(2, "big")
    else:
        head = bytes([first, bit | 127]) + len(payload).to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = b"\x37\xfa\x21\x3d"
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


class ViolationError(Exception):
    """The peer broke a rule."""


class StrictDecoder:
    """Python's incremental UTF-8, which however waits for the third byte of a surrogate before it complains."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def decode(self, data: bytes, *, final: bool = False) -> None:
        self.decoder.decode(data, final)
        waiting = self.decoder.getstate()[0]
        if waiting[:1] == b"\xed" and waiting[1:2] >= b"\xa0":
            raise UnicodeDecodeError("utf-8", waiting, 0, 2, "surrogate")


class Model:
    """Section 5 in the order the RFC gives it; reads a whole stream, which may end anywhere."""

    def __init__(self, limit: int, *, deflate: bool) -> None:
        self.limit = limit
        self.deflate = deflate
        self.kind = 0
        self.parts = b""
        self.decoder = StrictDecoder()

    def read(self, stream: bytes) -> tuple[list[Event], int | None]:
        events: list[Event] = []
        try:
            for event in self.events(stream):
                events.append(event)
                if event[0] == OP_CLOSE:
                    break
        except ViolationError as error:
            return events, int(error.args[0])
        except UnicodeDecodeError:
            return events, 1007
        return events, None

    def events(self, stream: bytes) -> Iterator[Event]:
        at = 0
        while at + 2 <= len(stream):
            opcode, fin = stream[at] & 15, bool(stream[at] & 128)
            self.check_bits(stream[at], stream[at + 1])
            extended = {126: 2, 127: 8}.get(stream[at + 1] & 127, 0)
            start = at + 2 + extended + 4
            if start > len(stream):
                return
            size = int.from_bytes(stream[at + 2 : at + 2 + extended], "big") if extended else stream[at + 1] & 127
            if extended and (size < (126 if extended == 2 else 65536) or size >> 63):
                raise ViolationError(1002)
            if opcode < 8 and len(self.parts) + size > self.limit:
                raise ViolationError(1009)
            mask = stream[start - 4 : start]
            payload = bytes(b ^ mask[i % 4] for i, b in enumerate(stream[start : start + size]))
            at = start + size
            if opcode >= 8:
                if at <= len(stream):
                    yield self.control(opcode, payload)
            else:
                yield from self.data(payload, done=fin and at <= len(stream))

    def check_bits(self, first: int, second: int) -> None:
        opcode, size = first & 15, second & 127
        rsv1_allowed = self.deflate and opcode in (1, 2)
        if first & 0x30 or (first & 0x40 and not rsv1_allowed) or not second & 128:
            raise ViolationError(1002)
        if opcode not in (0, 1, 2, 8, 9, 10) or (opcode >= 8 and (not first & 128 or size > 125)):
            raise ViolationError(1002)
        if opcode < 8 and (opcode == 0) != (self.kind != 0):
            raise ViolationError(1002)
        if opcode in (1, 2):
            self.kind = opcode | first & 0x40

    def data(self, payload: bytes, *, done: bool) -> Iterator[Event]:
        self.parts += payload
        if self.kind == OP_TEXT:
            self.decoder.decode(payload, final=done)
        if done:
            yield self.kind, self.parts.decode() if self.kind == OP_TEXT else self.parts
            self.kind, self.parts = 0, b""
            self.decoder = StrictDecoder()

    def control(self, opcode: int, payload: bytes) -> Event:
        if opcode == OP_CLOSE and payload:
            code = int.from_bytes(payload[:2], "big")
            allowed = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
            if len(payload) == 1 or code not in allowed:
                raise ViolationError(1002)
            payload[2:].decode()
        return opcode, payload


def pieces(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for cut in cuts:
        yield stream[at : at + cut]
        at += cut
    yield stream[at:]


def fed(parser: Parser, stream: bytes, cuts: list[int]) -> list[Event]:
    return [event for piece in pieces(stream, cuts) for event in parser.feed(piece)]


payloads = st.one_of(
    st.binary(max_size=140),
    st.text(max_size=60).map(str.encode),
    st.text(min_size=1, max_size=9).map(lambda text: text.encode()[:-1]),
    st.binary(min_size=290, max_size=310),
    st.sampled_from(
        [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\x00", b"\x03\xe8\xff", b"\xed\xa0", b"\xf4\x90"]
    ),
)
good_frames = st.builds(frame, st.sampled_from([0, 0, 1, 2, 9, 10]), payloads, fin=st.booleans())
any_frames = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 0x40, 0x20, 0x10]),
    masked=st.sampled_from([True, True, True, False]),
)
messages = st.lists(st.binary(max_size=20), min_size=1, max_size=4).map(
    lambda parts: b"".join(
        frame(2 if index == 0 else 0, part, fin=index == len(parts) - 1) + frame(9, part)
        for index, part in enumerate(parts)
    )
)
streams = st.lists(st.one_of(good_frames, any_frames, messages, st.binary(max_size=12)), max_size=8).map(b"".join)


@given(streams, st.booleans(), st.lists(st.integers(0, 40), max_size=30))
def test_equals_the_model_however_it_arrives(stream: bytes, deflate: bool, cuts: list[int]) -> None:
    parser = Parser(LIMIT, deflate)
    events = fed(parser, stream, cuts)
    expected, code = Model(LIMIT, deflate=deflate).read(stream)
    assert events == expected
    assert (parser.failure[0] if parser.failure else None) == code
    assert parser.done == (code is not None or any(kind == OP_CLOSE for kind, _ in events))


@given(st.binary(max_size=40))
def test_bad_text_is_noticed_at_its_first_wrong_byte(text: bytes) -> None:
    parser = Parser(LIMIT)
    stream = frame(OP_TEXT, text + b"." * 60, fin=False)
    decoder = StrictDecoder()
    parser.feed(stream[:6])
    for index, byte in enumerate(text):
        parser.feed(stream[6 + index : 7 + index])
        try:
            decoder.decode(bytes([byte]))
        except UnicodeDecodeError:
            assert parser.failure == (1007, "text is not UTF-8")
            return
        assert parser.failure is None


@given(st.text(max_size=100), st.lists(st.integers(0, 30), max_size=10))
def test_text_across_fragments(text: str, cuts: list[int]) -> None:
    parts = list(pieces(text.encode(), cuts))
    stream = b"".join(
        frame(OP_TEXT if index == 0 else 0, part, fin=index == len(parts) - 1) for index, part in enumerate(parts)
    )
    assert Parser(400).feed(stream) == [(OP_TEXT, text)]


def test_messages_in_front_of_a_violation_are_delivered() -> None:
    parser = Parser(LIMIT)
    assert parser.feed(frame(OP_TEXT, b"first") + frame(OP_PING, b"p") + frame(3)) == [
        (OP_TEXT, "first"),
        (OP_PING, b"p"),
    ]
    assert parser.failure == (1002, "reserved opcode")


def test_nothing_after_a_close_or_a_failure() -> None:
    parser = Parser(LIMIT)
    assert parser.feed(frame(OP_CLOSE) + frame(OP_TEXT, b"late")) == [(OP_CLOSE, b"")]
    assert parser.feed(frame(OP_TEXT, b"later")) == []
    assert parser.failure is None
    failed = Parser(LIMIT)
    assert failed.feed(frame(11) + frame(OP_TEXT, b"late")) == []
    assert failed.feed(frame(OP_TEXT, b"later")) == []


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_close_codes_nobody_may_send(code: int) -> None:
    parser = Parser(LIMIT)
    assert parser.feed(frame(OP_CLOSE, code.to_bytes(2, "big"))) == []
    assert parser.failure == (1002, "invalid close code")


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
def test_close_codes_a_peer_may_send(code: int) -> None:
    payload = code.to_bytes(2, "big") + "grüße".encode()
    assert Parser(LIMIT).feed(frame(OP_CLOSE, payload)) == [(OP_CLOSE, payload)]


def test_control_frames_between_fragments() -> None:
    parser = Parser(LIMIT)
    stream = frame(OP_BINARY, b"ab", fin=False) + frame(OP_PONG, b"x") + frame(0, b"") + frame(OP_PING)
    assert parser.feed(stream) == [(OP_PONG, b"x"), (OP_BINARY, b"ab"), (OP_PING, b"")]


def test_the_size_is_that_of_the_whole_message() -> None:
    parser = Parser(100)
    assert parser.feed(frame(OP_BINARY, bytes(100))) == [(OP_BINARY, bytes(100))]
    assert parser.feed(frame(OP_BINARY, bytes(60), fin=False)) == []
    assert parser.feed(frame(0, bytes(41))[:6]) == []  # its length is enough
    assert parser.failure == (1009, "message above 100 bytes")


def test_a_length_of_64_bits_does_not_wrap() -> None:
    parser = Parser(100)
    assert parser.feed(b"\x82\xff" + (2**63 - 1).to_bytes(8, "big") + b"mask") == []
    assert parser.failure == (1009, "message above 100 bytes")


def test_compressed_messages_come_as_they_are() -> None:
    parser = Parser(LIMIT, True)
    stream = frame(OP_TEXT, b"\xff\xfe", rsv=0x40) + frame(OP_BINARY, b"a", rsv=0x40, fin=False) + frame(0, b"b")
    assert parser.feed(stream) == [(OP_TEXT | COMPRESSED, b"\xff\xfe"), (OP_BINARY | COMPRESSED, b"ab")]


def test_long_frames() -> None:
    payload = bytes(range(256)) * 300
    stream = frame(OP_BINARY, payload)
    assert fed(Parser(100_000), stream, [70_000]) == [(OP_BINARY, payload)]
    assert Parser(100_000).feed(stream) == [(OP_BINARY, payload)]


def test_none_is_no_data() -> None:
    nothing: Any = None
    with pytest.raises(TypeError):
        Parser(LIMIT).feed(nothing)
