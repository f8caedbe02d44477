"""HTTP on the shared port: uvicorn's protocol class, with limits on how much a request's head is and how long it takes.

uvicorn bounds neither the size of a head nor the time a request takes to arrive. Its protocol class is no documented
interface: the version is pinned and tests/gateway/net/test_http_protocol.py shows what is relied on. Must not know the
application.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from httptools import HttpParserError
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.net.head import Refusal

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

    from gateway.net.addresses import Proxies
    from gateway.net.admission import Admission
    from gateway.net.connection import Shared

# In the state of a request's scope: what whoever finds out whose request it is takes out and calls, since then the rate
# of the key counts.
IDENTIFIED: Final = "tickwire.identified"

Knows = Callable[[Mapping[str, str]], bool]  # whether headers hold credentials that are good; lower-case names
SLICE_BYTES: Final = 4096
CHUNK_OVERHEAD_BYTES: Final = 8  # what a chunk of one byte may cost around it


class HttpServer:
    """What all HTTP connections of a listener have in common."""

    def __init__(
        self,
        app: Any,
        shared: Shared,
        proxies: Proxies,
        admission: Admission,
        upgrade: Callable[[], asyncio.Protocol],
        knows: Knows,
    ) -> None:
        """`upgrade` makes the protocol that takes over when a later request asks for a WebSocket."""
        self.knows = knows
        self._shared = shared
        self._proxies = proxies
        self._admission = admission
        self._state = ServerState()
        self._config = Config(
            app,
            interface="asgi3",
            http=HttpConnection,
            ws=lambda **_: upgrade(),  # type: ignore[arg-type]  # any callable will do, and a class cannot be told whose
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        self._config.load()
        # A warning for each request that is not understood: whoever reaches the port could fill our log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)

    @property
    def connections(self) -> set[Any]:
        """The open HTTP connections."""
        return self._state.connections

    def take(self, transport: asyncio.Transport, data: bytes, peer: str, counted: str | None) -> None:
        """Make a socket HTTP's, with the bytes it has sent so far; `counted`: the address it is counted under."""
        protocol = HttpConnection(
            self._shared, self._config, self._state, self._proxies, self._admission, self.knows, peer, counted
        )
        self._admission.enter_http(counted)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)

    async def finish(self, timeout_s: float) -> bool:
        """Let requests that are being answered end; False when that takes too long."""
        if not self._state.tasks:
            return True
        _, late = await asyncio.wait(self._state.tasks, timeout=max(0, timeout_s))
        return not late

    def close(self) -> None:
        """Drop every connection."""
        for connection in list(self.connections):
            connection.transport.abort()


class HttpConnection(HttpToolsProtocol):
    """One connection. What is not body has `http_head_bytes_max` bytes a request, head and trailers together.

    A head may take `handshake_timeout_s`, a body `silence_s`, and so may a client that reads nothing of its answer.
    An address has a rate of requests whose sender is not found out: because they show no credentials that are good, or
    because nobody asks. Those that show good ones have the same again when it is used up.
    """

    def __init__(
        self,
        shared: Shared,
        config: Config,
        state: ServerState,
        proxies: Proxies,
        admission: Admission,
        knows: Knows,
        peer: str,
        counted: str | None,
    ) -> None:
        super().__init__(config, state, app_state={})
        self.peer = peer
        self.counted = counted
        self._admission = admission
        self._knows = knows
        self._refusal: Refusal | None = None  # of the request whose head was just read
        self._shared = shared
        self._proxies = proxies
        self._overhead_bytes = 0  # of the request that is being read
        self._reading = False
        self._running: RequestResponseCycle | None = None  # the request that is being answered
        self._asked: RequestResponseCycle | None = None  # the newest that was read to its end
        self.due_tick = -1

    def data_received(self, data: bytes) -> None:
        # In slices: a request is not charged with more than one of the requests before it in the same read.
        for start in range(0, len(data), SLICE_BYTES):
            piece = data[start : start + SLICE_BYTES]
            self._overhead_bytes += len(piece)
            super().data_received(piece)
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            if self._overhead_bytes > self._shared.limits.http_head_bytes_max + SLICE_BYTES:
                self._refuse(Refusal(431, "validation_error", "the head of the request is too large"))
                return

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._overhead_bytes = 0
        self._reading = True
        self._due_in(self._shared.limits.handshake_timeout_s)

    def on_headers_complete(self) -> None:
        if sum(name == b"host" for name, _ in self.headers) > 1:  # RFC 9112 section 3.2: who is meant is not clear
            raise HttpParserError("Host is given twice")  # which uvicorn answers with 400
        self._due_in(self._shared.limits.silence_s)
        forwarded = [value.decode("latin-1") for name, value in self.headers if name == b"x-forwarded-for"]
        client = self._proxies.client(self.peer, forwarded)
        if self.scope["client"] is None or self.scope["client"][0] != client:
            self.scope["client"] = (client, 0)
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            self._count(client)
        super().on_headers_complete()

    def _count(self, client: str) -> None:
        """By address, until it is found out whose it is; credentials are looked at when the rate is used up."""
        known, refusal = False, self._admission.ask(client, self._shared.clock())
        if refusal is not None:
            shown = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers}
            if known := self._knows(shown):
                refusal = self._admission.ask_known(client, self._shared.clock())
        if refusal is None:
            self.scope["state"][IDENTIFIED] = partial(self._admission.identified, client, known=known)
        else:
            self._refusal = refusal
            raise HttpParserError(refusal.message)

    def on_body(self, body: bytes) -> None:
        self._overhead_bytes = max(0, self._overhead_bytes - len(body) * (1 + CHUNK_OVERHEAD_BYTES))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._reading = False
        self._asked = self.cycle
        if not self.flow.write_paused:
            self._shared.wheel.cancel(self)
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._due_in(self._shared.limits.silence_s)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._reading:
            self._shared.wheel.cancel(self)

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or Refusal(400, "validation_error", msg))

    @property
    def _owes(self) -> bool:
        """A request before what is read now is not answered to its end: whatever is said would be taken for that."""
        asked, running = self._asked, self._running
        return (asked is not None and not asked.response_complete) or (
            running is not None and running.response_started and not running.response_complete
        )

    def handle_websocket_upgrade(self) -> None:
        """uvicorn's, but not while an answer is owed: who takes over answers at once, and an order would pass for
        refused, or its answer be none of WebSocket's."""
        if self._owes:
            self.transport.abort()
            return
        super().handle_websocket_upgrade()

    def _refuse(self, refusal: Refusal) -> None:
        """Say why and close. In the middle of an answer there is no place to say it; nor before one that is to come,
        for it would be taken for that: an order would pass for refused."""
        if self._owes:
            self.transport.abort()
            return
        self._leave()
        self.transport.write(refusal.render())
        self.transport.close()

    def _leave(self) -> None:
        """Nothing more is answered. uvicorn would tell only the newest of pipelined requests."""
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _due_in(self, seconds: float) -> None:
        self._shared.wheel.schedule(self, self._shared.clock() + seconds)

    def on_due(self, _now_s: float) -> None:
        """The head or the body has not come in time, or the answer is not read."""
        if not self._reading or self.flow.write_paused or self.transport.is_closing():
            self.transport.abort()
            return
        self._due_in(self._shared.limits.close_timeout_s)
        self._refuse(Refusal(408, "validation_error", "the request did not come in time"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.wheel.cancel(self)
        self._admission.leave_http(self.counted)
        self._leave()
        super().connection_lost(exc)
