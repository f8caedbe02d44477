"""TLS between a socket and whoever reads it: a transport to the protocol above, a protocol to the transport below.

asyncio's own TLS wants to be there when a socket is accepted, keeps bytes back in two buffers before it says so, and
holds a 256 KiB read buffer a connection. Here what is written is encrypted and handed down at once, so the transport
below says when the peer takes no more, as without TLS; and a PROXY header may come first. Must not know HTTP, WebSocket
nor where a certificate comes from.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

READ_BYTES: Final = 16_384  # what one record holds at most (RFC 8446, section 5.1)
TURN_BYTES: Final = 65_536  # after a read of this size the others get a turn
OWED_BYTES_MAX: Final = 65_536  # answers of TLS itself (key updates) that wait for a peer who does not read

_NOBODY: Final = asyncio.Protocol()


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One connection. `protocol` is not told `connection_made`: it has been there before, and hears plain bytes.

    A connection that ends before its handshake is told by `connection_lost` alone.
    """

    __slots__ = (
        *("_below", "_deaf", "_failed", "_incoming", "_is_blocked", "_is_closing", "_is_paused", "_is_secured"),
        *("_outgoing", "_owed_bytes", "_protocol", "_tls"),
    )

    def __init__(
        self,
        below: asyncio.Transport,
        context: ssl.SSLContext,
        protocol: asyncio.Protocol,
        failed: Callable[[str], None],
    ) -> None:
        """Takes `below` over. `failed` is told why a handshake has failed; the peer has been told too."""
        super().__init__()
        self._below = below
        self._protocol = protocol
        self._failed: Callable[[str], None] | None = failed
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_secured = False  # the handshake is done
        self._is_paused = False  # whoever is above wants no more for now
        self._is_blocked = False  # the peer takes no more for now
        self._is_closing = False
        self._deaf = False  # what comes is of no interest: we have said that we end
        self._owed_bytes = 0
        below.set_protocol(self)

    # A transport, to whoever is above

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sslcontext` and `ssl_object`, else what the transport below says."""
        if name == "sslcontext":
            return self._tls.context
        return self._tls if name == "ssl_object" else self._below.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and hand down; ignored once closed."""
        if self._is_closing or self._deaf or not data:
            return
        self._tls.write(data)
        self._flush()

    def write_eof(self) -> None:
        """Say that nothing more comes, and listen no more; the peer ends the connection."""
        if not self._is_closing and not self._deaf:
            self._say_goodbye()
            self._below.write_eof()

    def can_write_eof(self) -> bool:
        return self._below.can_write_eof()

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if not self._deaf:
                self._say_goodbye()
            self._below.close()

    def abort(self) -> None:
        self._is_closing = True
        self._below.abort()

    def is_closing(self) -> bool:
        return self._is_closing or self._below.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def pause_reading(self) -> None:
        self._is_paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            asyncio.get_running_loop().call_soon(self._read)  # what is here already
            self._below.resume_reading()

    def is_reading(self) -> bool:
        return not self._is_paused and not self._is_closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    # A protocol, to the transport below

    def data_received(self, data: bytes) -> None:
        if self._is_closing or self._deaf:
            return
        if len(data) >= TURN_BYTES:
            self._below.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._incoming.write(data)
        if self._is_secured or self._shake_hands():
            self._read()

    def eof_received(self) -> bool:
        if self._is_secured and not self._deaf:
            self._ended()
        return False

    def pause_writing(self) -> None:
        self._is_blocked = True
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._owed_bytes = 0
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        self._failed = None
        protocol, self._protocol = self._protocol, _NOBODY  # which holds us
        protocol.connection_lost(exc)

    # Within

    def _next_turn(self) -> None:
        if not self._is_paused and not self.is_closing():
            self._below.resume_reading()

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert
            self._deaf = True
            self._below.write_eof()  # closing with unread bytes would reset the connection, and lose the alert
            failed, self._failed = self._failed, None
            if failed is not None:
                failed(error.reason or str(error))
            return False
        self._is_secured = True
        self._failed = None
        self._flush()
        return True

    def _read(self) -> None:
        """Hand up what has come, until somebody wants no more."""
        while not self._is_paused and not self._is_closing and not self._deaf:
            try:
                data = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError:  # no TLS, or not what was sent: nothing that follows can be trusted
                self.abort()
                return
            if not data:
                self._ended()
                return
            self._protocol.data_received(data)
        if self._is_blocked:
            self._owed_bytes += self._outgoing.pending
            if self._owed_bytes > OWED_BYTES_MAX:
                self.abort()
                return
        self._flush()

    def _ended(self) -> None:
        """The peer sends no more."""
        if not self._protocol.eof_received():
            self.close()

    def _say_goodbye(self) -> None:
        """The last record of ours (RFC 8446, section 6.1); the peer's is not waited for."""
        self._deaf = True
        if self._is_secured:
            with contextlib.suppress(ssl.SSLError):  # it wants to read the peer's
                self._tls.unwrap()
        self._flush()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and not self._below.is_closing():
            self._below.write(data)
