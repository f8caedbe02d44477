"""What the first process of a gateway and its workers say to each other, on the socket between them.

A message is four bytes that say its size, a byte that says its kind, and its body: `U` a numbered update, `B` bytes of
one client's socket, `C` everything else, as msgpack. Pure: bytes in, messages out. Must not know the hub, nor a socket.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, TypeVar

import msgspec

from _speedups.frame import DATA, KIND, SEQUENCE, T_EX, T_IN, Form, Template
from gateway.core.key import StreamId

MESSAGE_BYTES_MAX: Final = 1 << 26  # beyond any answer over HTTP; a link that says more is broken
UPDATE, BYTES, CONTROL = b"U", b"B", b"C"
_SIZE: Final = struct.Struct(">I")
_CONN: Final = struct.Struct(">I")
_SNAPSHOT: Final = b"snapshot"


T = TypeVar("T")


class LinkError(Exception):
    """The other end says what it cannot mean: the link is to be given up."""


# --- from the first process


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """What a worker is to do: the first message. `settings` is JSON."""

    index: int
    port: int
    settings: bytes


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Take no new connection."""


class Reload(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Read the certificate again."""


class Finish(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Let `frame` (a CLOSE) be the last that is sent, behind what waits, or instead of it."""

    conn: int
    frame: bytes
    drop: bool


class Shut(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """`how`: `close` when all is sent, `eof` likewise but only our half, `abort` at once."""

    conn: int
    how: str


class Reading(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Whether to read from this socket."""

    conn: int
    on: bool


class Upgraded(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """It is a WebSocket from here on."""

    conn: int


class State(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """What a stream's snapshot says as of a number."""

    sequence: int
    data: bytes
    t_ex: int | None
    t_in: int


class Follow(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """A stream begins here: what was numbered behind `sequence` follows as updates."""

    number: int
    id: StreamId
    epoch: str
    sequence: int
    state: State | None


class Unfollow(msgspec.Struct, frozen=True, array_like=True, tag=9):
    number: int


class Attach(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """Give a socket the stream from where it stands at `epoch` and `sequence`; `resume`: what its client has.

    Without `replay` what lies between the two is announced instead of sent, and the newest state follows.
    """

    conn: int
    number: int
    form: int
    epoch: str
    sequence: int
    resume: tuple[str, int] | None
    snapshot: bool
    replay: bool = True


class Detach(msgspec.Struct, frozen=True, array_like=True, tag=11):
    conn: int
    number: int
    form: int


class Gap(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """`last` is the last number that does not come; with a `new_epoch` the stream begins again in it."""

    number: int
    last: int
    reason: str
    new_epoch: str | None


class Mark(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """To be answered (`Marked`) once what was sent to this socket before has room: so much may be on its way."""

    conn: int


# --- from a worker


class Listening(msgspec.Struct, frozen=True, array_like=True, tag=20):
    """It takes connections."""


class Opened(msgspec.Struct, frozen=True, array_like=True, tag=21):
    """A socket has sent something; `peer` is the address it is from, or that a proxy has said."""

    conn: int
    peer: str
    secured: bool


class Ended(msgspec.Struct, frozen=True, array_like=True, tag=22):
    """The client sends no more."""

    conn: int


class Lost(msgspec.Struct, frozen=True, array_like=True, tag=23):
    """The socket is gone."""

    conn: int


class Blocked(msgspec.Struct, frozen=True, array_like=True, tag=24):
    """Whether the socket takes no more for now."""

    conn: int
    on: bool


class Overflowed(msgspec.Struct, frozen=True, array_like=True, tag=25):
    """More waits for this socket than may."""

    conn: int


class Marked(msgspec.Struct, frozen=True, array_like=True, tag=27):
    """All bytes in front of the mark are with the socket, or few enough wait for it."""

    conn: int


class Report(msgspec.Struct, frozen=True, array_like=True, tag=26):
    """What a worker has counted since it began, and what waits for which sockets now."""

    counters: dict[str, int]
    buckets: list[tuple[int, int]]
    sockets: dict[str, int]
    connections: int
    updates: int
    cpu_ms: int
    queued: dict[int, int]


class Update(NamedTuple):
    """One numbered update of a stream; `is_whole`: its data is the state."""

    number: int
    sequence: int
    is_whole: bool
    t_ex: int | None  # ms
    t_in: int  # ns
    data: bytes


class Bytes(NamedTuple):
    """What a client's socket has received, or is to send: whole frames where it is a WebSocket."""

    conn: int
    data: bytes


Down = (
    Welcome | Stop | Reload | Finish | Shut | Reading | Upgraded | Follow | Unfollow | Attach | Detach | Gap | Mark
)  # fmt: skip
# What is of one socket.
Told = Finish | Shut | Reading | Upgraded | Attach | Detach | Mark
Up = Listening | Opened | Ended | Lost | Blocked | Overflowed | Report | Marked
_DOWN: Final = msgspec.msgpack.Decoder(Down)
_UP: Final = msgspec.msgpack.Decoder(Up)
_ENCODER: Final = msgspec.msgpack.Encoder()


def framed(payload: bytes) -> bytes:
    """A payload with its size in front."""
    return _SIZE.pack(len(payload)) + payload


def control(message: Down | Up) -> bytes:
    """A message of msgpack, framed."""
    return framed(CONTROL + _ENCODER.encode(message))


def carried(conn: int, data: bytes) -> bytes:
    """Bytes of a client's socket, framed."""
    return framed(BYTES + _CONN.pack(conn) + data)


def down(payload: bytes) -> Update | Bytes | Down:
    """What a worker is told. Raises LinkError."""
    if payload[:1] == UPDATE:
        return _update(payload)
    return _carried(payload) if payload[:1] == BYTES else _decoded(_DOWN, payload)


def up(payload: bytes) -> Bytes | Up:
    """What the first process is told. Raises LinkError."""
    return _carried(payload) if payload[:1] == BYTES else _decoded(_UP, payload)


def _decoded(decoder: msgspec.msgpack.Decoder[T], payload: bytes) -> T:
    if payload[:1] != CONTROL:
        raise LinkError("a message of no kind")
    try:
        return decoder.decode(memoryview(payload)[1:])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise LinkError(str(error)) from error


def _carried(payload: bytes) -> Bytes:
    if len(payload) < 1 + _CONN.size:
        raise LinkError("bytes of no socket")
    return Bytes(_CONN.unpack_from(payload, 1)[0], payload[1 + _CONN.size :])


def _update(payload: bytes) -> Update:
    try:
        number, sequence, kind, t_ex, t_in, data = payload[1:].split(b" ", 5)
        at_exchange = None if t_ex == b"null" else int(t_ex)
        return Update(int(number), int(sequence), kind == _SNAPSHOT, at_exchange, int(t_in), data)
    except ValueError as error:
        raise LinkError("an update that is none") from error


class Reader:
    """Payloads out of a stream of bytes, whatever pieces it comes in."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """What is whole now. Raises LinkError for a size that cannot be."""
        rest = self._rest
        rest += data
        found: list[bytes] = []
        at = 0
        while len(rest) - at >= _SIZE.size:
            size = _SIZE.unpack_from(rest, at)[0]
            if not 0 < size <= MESSAGE_BYTES_MAX:
                raise LinkError("a message of no size, or of too much")
            if len(rest) - at - _SIZE.size < size:
                break
            at += _SIZE.size
            found.append(bytes(rest[at : at + size]))
            at += size
        if at:
            del rest[:at]
        return found


class LinkForm(Form):
    """The frame class that workers read streams in: one instance, so that an update is rendered once for all of them.

    A stream has a number as long as somebody follows it.
    """

    def __init__(self) -> None:
        self._numbers: dict[StreamId, int] = {}
        self._followers: dict[StreamId, int] = {}
        self._given = 0

    def acquire(self, wanted: StreamId) -> int:
        """One more follows; the stream's number."""
        if wanted not in self._numbers:
            self._given += 1
            self._numbers[wanted] = self._given
        self._followers[wanted] = self._followers.get(wanted, 0) + 1
        return self._numbers[wanted]

    def release(self, wanted: StreamId) -> None:
        """One less does."""
        self._followers[wanted] -= 1
        if not self._followers[wanted]:
            del self._followers[wanted], self._numbers[wanted]

    def template(self, topic: StreamId) -> Template:
        head = b"%b%d " % (UPDATE, self._numbers[topic])
        return Template([head, SEQUENCE, b" ", KIND, b" ", T_EX, b" ", T_IN, b" ", DATA])

    def gap(self, topic: StreamId, epoch: str, first: int, last: int, reason: str, new_epoch: str | None) -> bytes:
        return CONTROL + _ENCODER.encode(Gap(self._numbers[topic], last, reason, new_epoch))

    def finish(self, payload: bytes) -> bytes:
        return framed(payload)
