"""One WebSocket after its handshake: messages in, frames out, the close handshake and the heartbeat of RFC 6455.

The parser says what arrived, the outbox sends what leaves; between them this module knows when a connection may speak
and when it ends. Nothing waits: there is no task and no timer per connection. Must not know dialects, topics, or how
the socket was accepted.

Frames are read by our own parser, and picows is left to the client side. picows looks at a frame when all of it is
there and parses the next one before it delivers the current one, so invalid UTF-8 is noticed late and a message in
front of a broken frame is lost; and it writes CLOSE frames itself, past the outbox. An idle connection costs 8.5 KiB
with it (read and write buffer, two futures, a transport of its own) and 2.2 KiB without, both measured on uvloop.
"""

from __future__ import annotations

import asyncio
import secrets
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

import structlog

from _speedups.frame import OP_CLOSE, OP_PING, OP_PONG, OP_TEXT, close_frame, encode
from _speedups.outbox import Outbox
from _speedups.parser import COMPRESSED, Parser
from gateway.errors import Close
from gateway.net.bucket import TokenBucket
from gateway.net.deflate import WINDOW_BITS_MAX, Corrupt, TooBig, compress, inflate
from gateway.net.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from _speedups.fanout import Fanout
    from gateway.limits import Limits
    from gateway.net.head import Head
    from gateway.net.wheel import Wheel

log = structlog.get_logger(__name__)

TURN_BYTES = 65_536  # after a read of this size the others get a turn: uvloop would read 8 MB of one flood at a stretch

# Handlers that are told of their connection's end in a turn of the loop: when thousands are lost at once, others get
# their updates meanwhile. More than the port lets in in a turn, so that who comes back is not refused for who has gone.
# A worker's link may bring hundreds in one: just after it is lost, a user near `connections_per_user_max` may hear 429.
ENDS_PER_TURN = 32


class Handler(Protocol):
    """Who answers on a connection. An exception out of `on_open` or `on_message` is logged and closes it (1011)."""

    def on_open(self, conn: Connection) -> None:
        """The handshake is done. `conn.head` is there until this returns, unless another handler came before."""

    def on_message(self, conn: Connection, data: str | bytes) -> None:
        """A whole message. Not called any more once `close` was called or the peer has closed."""

    def on_closed(self, conn: Connection) -> None:
        """The socket is gone; called once, and last. Where thousands go at once, some turns of the loop later."""


class Shared:
    """What all connections of a listener have in common."""

    __slots__ = ("clock", "connections", "ends", "fanout", "limits", "lost", "wheel")

    def __init__(
        self, limits: Limits, fanout: Fanout, wheel: Wheel, clock: Callable[[], float], lost: Callable[[str], None]
    ) -> None:
        self.limits = limits
        self.fanout = fanout
        self.wheel = wheel
        self.clock = clock
        self.lost = lost  # told the address of a connection that is gone
        self.connections: set[Connection] = set()
        self.ends = Turns(ENDS_PER_TURN)


class Life(IntEnum):
    """Where a connection is between its handshake and its end."""

    OPEN = 0
    CLOSING = 1  # our CLOSE is queued, theirs is awaited
    LEAVING = 2  # both sides have closed: the socket goes as soon as our CLOSE is out
    FAILING = 3  # the peer broke the protocol: half-closed as soon as our CLOSE is out, then its end is awaited
    GONE = 4


class Connection(asyncio.Protocol):
    """An open WebSocket. Everything but the handler's calls is for the transport and the listener."""

    __slots__ = (
        *("close_code", "due_tick", "handler", "head", "id", "on_writable", "outbox", "peer", "pinged_s"),
        "window_bits",
        *("_controls", "_heard_s", "_heartbeat_s", "_life", "_parser", "_shared", "_transport"),
    )

    def __init__(self, shared: Shared, transport: asyncio.Transport, handler: Handler, head: Head, bits: int) -> None:
        """`bits`: the agreed window of permessage-deflate, 0 without it."""
        self.id = secrets.token_urlsafe(9)
        self.head: Head | None = head
        self.peer = head.peer
        self.handler = handler
        self.window_bits = bits
        self.close_code: int = Close.LOST  # of the first CLOSE that was sent or received
        self.due_tick = -1
        self.on_writable: Callable[[], None] | None = None  # called when the socket takes bytes again
        self._controls: TokenBucket | None = None  # from its first ping or pong on
        self._shared = shared
        self._transport = transport
        self._parser = Parser(shared.limits.message_bytes_max, bits > 0)
        self._life = Life.OPEN
        self._heard_s = self.pinged_s = shared.clock()  # `pinged_s`: the last PING of the peer
        self._heartbeat_s = shared.limits.heartbeat_s
        transport.set_write_buffer_limits(high=0)
        self.outbox = self._make_outbox()

    def _make_outbox(self) -> Outbox:
        transport, fanout = self._transport, self._shared.fanout
        make = transport.get_extra_info("outbox")
        if make is not None:  # another process has the socket
            outbox: Outbox = make(fanout, self)
            return outbox
        # Under TLS the kernel is not to be given what is not encrypted: the transport does that
        secured = transport.get_extra_info("sslcontext") is not None
        return Outbox(fanout, -1 if secured else transport.get_extra_info("socket").fileno(), transport, self)

    # For the handler

    @property
    def queued_bytes(self) -> int:
        """What waits for the socket, here and where it is."""
        return self.outbox.queued_bytes + int(self._transport.get_extra_info("queued_bytes", 0))

    @property
    def deflate(self) -> bool:
        """The peer reads shared compressed frames: it agreed to permessage-deflate with the full window."""
        return self.window_bits == WINDOW_BITS_MAX

    @property
    def is_open(self) -> bool:
        """Neither side has closed."""
        return self._life is Life.OPEN

    def send(self, data: bytes, opcode: int = OP_TEXT) -> None:
        """Send one message, ahead of queued data; compressed where agreed and worth it. Ignored once closed."""
        if self.window_bits and len(data) >= self._shared.limits.deflate_bytes_min:
            frame = encode(opcode, compress(data, self.window_bits), True)
        else:
            frame = encode(opcode, data)
        self.outbox.reply(frame)

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then CLOSE; the socket goes when the peer has answered, or after `close_timeout_s`."""
        self._close(Life.CLOSING, code, reason, drop=False)

    def ping_every(self, heartbeat_s: float) -> None:
        """Ping the peer after so much idle time, which is another than everybody's."""
        self._heartbeat_s = min(heartbeat_s, self._shared.limits.silence_s)
        self._shared.wheel.schedule(self, self._heard_s + self._heartbeat_s)

    def hand_to(self, handler: Handler) -> None:
        """Somebody else answers from here on, and is told that the connection is open."""
        self.handler = handler
        try:
            handler.on_open(self)
        except Exception:
            self._handler_failed()

    def abort(self) -> None:
        """Drop the socket at once, without a CLOSE."""
        self._life = Life.GONE
        self.outbox.discard()
        self._transport.abort()

    # For the listener

    def open(self, response: bytes, rest: bytes) -> None:
        """Take the transport over: answer the handshake, then read what came behind it."""
        shared = self._shared
        shared.connections.add(self)
        self._transport.set_protocol(self)
        self.outbox.pause()  # what the handler says first leaves in one call with the answer
        self.outbox.reply(response)
        shared.wheel.schedule(self, self._heard_s + self._heartbeat_s)
        self.hand_to(self.handler)
        self.head = None
        self.outbox.resume()
        if rest and not self._transport.is_closing():
            self.data_received(rest)

    def on_due(self, now_s: float) -> None:
        """The wheel's call: ping who is idle, close who is silent, drop who does not answer our CLOSE."""
        limits = self._shared.limits
        silent_s = now_s - self._heard_s
        if self._life is not Life.OPEN:
            self.abort()
        elif silent_s >= limits.silence_s:
            self._close(Life.CLOSING, Close.SILENT, "heartbeat timeout", drop=True)
        elif silent_s >= self._heartbeat_s:
            self.outbox.reply(encode(OP_PING, b""))
            self._shared.wheel.schedule(self, min(now_s + self._heartbeat_s, self._heard_s + limits.silence_s))
        else:
            self._shared.wheel.schedule(self, self._heard_s + self._heartbeat_s)

    # For the outbox

    def on_overflow(self) -> None:
        """More waits than may wait for one socket."""
        self._close(Life.CLOSING, Close.SLOW_CONSUMER, "slow consumer", drop=True)

    # For the transport

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._shared.clock()
        if len(data) >= TURN_BYTES:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)
        pongs: list[bytes] = []
        for kind, payload in self._parser.feed(data):
            if kind in {OP_PING, OP_PONG} and not self._may_control():
                self._close(Life.CLOSING, Close.RATE_LIMITED, "too many control frames", drop=False)
                break
            if kind == OP_PING:
                assert isinstance(payload, bytes)
                pongs.append(encode(OP_PONG, payload))
                self.pinged_s = self._heard_s
                continue
            if pongs:
                self.outbox.reply(b"".join(pongs))
                pongs.clear()
            if kind == OP_CLOSE:
                assert isinstance(payload, bytes)
                self._peer_closed(payload)
            elif kind != OP_PONG and self._life is Life.OPEN:
                self._message(kind, payload)
        if pongs:
            self.outbox.reply(b"".join(pongs))
        if self._parser.failure is not None and self._life < Life.LEAVING:
            self._close(Life.FAILING, *self._parser.failure, drop=False)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer will send no more, so it cannot answer a CLOSE: let the transport send what it has, and close."""
        self.outbox.discard()
        if self._life < Life.LEAVING:
            self._life = Life.LEAVING
            self._shared.wheel.schedule(self, self._shared.clock() + self._shared.limits.close_timeout_s)
        return False

    def pause_writing(self) -> None:
        self.outbox.pause()

    def resume_writing(self) -> None:
        self.outbox.resume()
        self._end_when_sent()
        if self.on_writable is not None:
            self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._life = Life.GONE
        self.outbox.discard()
        shared = self._shared
        shared.wheel.cancel(self)
        shared.connections.discard(self)
        shared.lost(self.peer)
        self.on_writable = None
        shared.ends.call(self._end)

    # Within

    def _end(self) -> None:
        try:
            self.handler.on_closed(self)
        except Exception:
            log.exception("handler failed in on_closed", connection_id=self.id)
        del self.handler  # it holds us: without this every connection would be garbage only the collector can free

    def _may_control(self) -> bool:
        if self._controls is None:
            limits = self._shared.limits
            self._controls = TokenBucket(limits.control_frames_per_s, limits.control_frames_burst, self._heard_s)
        return not self._controls.take(self._heard_s)

    def _message(self, kind: int, payload: str | bytes) -> None:
        if kind & COMPRESSED:
            assert isinstance(payload, bytes)
            try:
                payload = inflate(payload, self._shared.limits.message_bytes_max)
                if kind == OP_TEXT | COMPRESSED:
                    payload = payload.decode()
            except TooBig as error:
                return self._close(Life.FAILING, Close.TOO_BIG, str(error), drop=False)
            except Corrupt as error:
                return self._close(Life.FAILING, Close.PROTOCOL_ERROR, str(error), drop=False)
            except UnicodeDecodeError:
                return self._close(Life.FAILING, Close.NOT_UTF8, "text is not UTF-8", drop=False)
        try:
            self.handler.on_message(self, payload)
        except Exception:
            self._handler_failed()
        return None

    def _handler_failed(self) -> None:
        log.exception("handler failed", connection_id=self.id)
        self._close(Life.CLOSING, Close.INTERNAL, "internal error", drop=False)

    def _peer_closed(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2]) if payload else Close.NONE
        if self._life is Life.CLOSING:
            self._life = Life.LEAVING
            self._end_when_sent()
        else:
            self._close(Life.LEAVING, 0 if code == Close.NONE else code, "", drop=True)
            self.close_code = code

    def _close(self, life: Life, code: int, reason: str, *, drop: bool) -> None:
        """The one way to a CLOSE of ours: the outbox takes it as its last frame, and ignores a second one."""
        if self._life >= Life.LEAVING or self._life is life:
            return
        if self._life is Life.OPEN:
            self.close_code = code
            self.outbox.finish(close_frame(code, reason), drop=drop)
            self._shared.wheel.schedule(self, self._shared.clock() + self._shared.limits.close_timeout_s)
        self._life = life
        self._end_when_sent()

    def _end_when_sent(self) -> None:
        if self._life not in (Life.LEAVING, Life.FAILING) or self.outbox.queued_bytes or self.outbox.blocked:
            return
        if self._life is Life.LEAVING or not self._transport.can_write_eof():
            self.outbox.discard()
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write_eof()  # closing with unread bytes would reset the connection, and lose our CLOSE
