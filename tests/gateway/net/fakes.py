"""What stands in for an exchange and a socket, so that sessions can be tested with the real hub and fan-out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from multidict import CIMultiDict

from _speedups.fanout import Fanout
from _speedups.frame import OP_TEXT, encode
from _speedups.outbox import Outbox
from gateway.config import DashboardConfig, PortfolioConfig
from gateway.core.hub import Hub
from gateway.core.key import Key
from gateway.core.market_data import MarketData
from gateway.core.private import Accounts, Calls, Treasury
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net import deflate
from gateway.net.account import AccountService, AccountSession
from gateway.net.conversation import Conversation
from gateway.net.dashboard import DashboardService, DashboardSession
from gateway.net.guard import Guard
from gateway.net.head import Head, Refusal
from gateway.net.oms import OmsService, OmsSession
from gateway.net.portfolio import Portfolios
from gateway.net.private import PrivateService
from gateway.net.session import StreamService, StreamSession
from gateway.net.sessions import Sessions
from gateway.sources.base import Sink, WatchStatus
from gateway.stats import Tally
from gateway.wire.dashboard_forms import DashboardForms
from gateway.wire.forms import Forms
from gateway.wire.oms_forms import OmsForms
from oms.model import Quote
from tests.frames import whole


class FakeSource:
    """A source in memory: the symbols it knows, and what is published by hand. `gate` holds `resolve` up."""

    def __init__(self, name: str, symbols: set[str], sink: Sink | None = None) -> None:
        self.name = name
        self.symbols = symbols
        self.sink = sink
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.watched: dict[Key, int] = {}
        self.state = "live"
        self.started = self.closed = False

    async def start(self) -> None:
        self.started = True

    async def close(self) -> None:
        self.closed = True

    async def resolve(self, channel: str, symbol: str, variant: str) -> Key:
        self.asked.append(symbol)
        await self.gate.wait()
        return self._key(channel, symbol, variant)

    @property
    def answers_at_once(self) -> bool:
        return self.gate.is_set()

    def known(self, channel: str, symbol: str, variant: str) -> Key:
        self.asked.append(symbol)
        return self._key(channel, symbol, variant)

    def _key(self, channel: str, symbol: str, variant: str) -> Key:
        if symbol == "LATE":
            raise TickwireError("exchange_unavailable", "not loaded yet", retry_after_ms=1_000)
        if symbol == "CRASH":
            raise RuntimeError("a bug in a source")
        if symbol not in self.symbols:
            raise TickwireError("unknown_symbol", f"{self.name} has no {symbol}")
        return Key(self.name, channel, symbol.upper(), variant)

    def acquire(self, key: Key) -> None:
        assert key not in self.watched, "one watch a key"
        self.watched[key] = time.time_ns()

    def release(self, key: Key) -> None:
        del self.watched[key]

    def status(self) -> list[WatchStatus]:
        return [
            WatchStatus(key=key, state=self.state, since_ns=since, last_update_ns=None, updates=0, errors=0, restarts=0)
            for key, since in self.watched.items()
        ]

    def publish(self, channel: str, symbol: str, variant: str = "", **fields: Any) -> None:
        """One update of a watched key, in the bytes a real source would make."""
        assert self.sink is not None
        data = {"symbol": symbol, "exchange": self.name, **fields}
        key = Key(self.name, channel, symbol, variant)
        self.sink.publish(key, json.dumps(data).encode(), t_ex=None, t_in=time.time_ns())


class FakeSocket:
    """The transport of an outbox: keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self.written += data


class FakeConnection:
    """A connection without a network: its outbox is real."""

    def __init__(self, fanout: Fanout, *, deflated: bool = False) -> None:
        self.id = "c1"  # of the first; a rig numbers those after it
        self.peer = "127.0.0.1"
        self.pinged_s = 0.0
        self.deflate = deflated
        self.socket = FakeSocket()
        self.outbox = Outbox(fanout, -1, self.socket, self)
        self.closed: tuple[int, str] | None = None
        self.close_code = 1006
        self.on_writable: Callable[[], None] | None = None
        self.heartbeat_s = 0.0
        self._fanout = fanout

    @property
    def is_open(self) -> bool:
        return self.closed is None

    @property
    def queued_bytes(self) -> int:
        return self.outbox.queued_bytes

    def on_overflow(self) -> None:
        self.close(4008)

    def ping_every(self, heartbeat_s: float) -> None:
        self.heartbeat_s = heartbeat_s

    def send(self, data: bytes) -> None:
        self.outbox.reply(encode(OP_TEXT, data))

    def close(self, code: int, reason: str = "") -> None:
        self.closed = (code, reason)
        self.outbox.finish(b"")

    def take_frames(self) -> list[tuple[int, bool, bytes]]:
        """(opcode, whether compressed, payload) of what was sent since the last call, with all that is due."""
        self._fanout.flush_now()
        wire = bytes(self.socket.written)
        self.socket.written.clear()
        return [(frame.opcode, frame.is_compressed, frame.payload) for frame in whole(wire)]

    def take(self) -> list[dict[str, Any]]:
        """The same as messages; only for text frames that are not compressed."""
        return [json.loads(payload) for _, _, payload in self.take_frames()]


class Rig:
    """The real hub, fan-out and stream service over two fake exchanges; `sim` is the default one."""

    def __init__(
        self, limits: Limits | None = None, accounts: Room | None = None, dashboards: DashboardConfig | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.limits = limits or Limits()
        self.connected = 0  # clients so far
        self.fanout = Fanout(loop.call_soon, loop.call_later)
        self.sources = {
            "sim": FakeSource("sim", {"BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "btc/usdt", "CRASH"}),
            "kraken": FakeSource("kraken", {"ETH/USD"}),
        }
        self.hub = Hub(self.fanout, loop, self.limits, self.sources)
        for source in self.sources.values():
            source.sink = self.hub
        self.tally = Tally()
        forms = Forms(self.limits, deflate.compress)
        self.urged: list[int] = []
        told = (forms, self.limits, self.tally.errors, self.urged.append)
        self.private = PrivateService(accounts, *told) if accounts else None
        self.sessions = Sessions(self.limits, self.tally)
        self.service = StreamService(
            sessions=self.sessions,
            hub=self.hub,
            sources=self.sources,
            default_exchange="sim",
            forms=forms,
            private=self.private,
        )
        self.oms = OmsService(
            sessions=self.sessions,
            hub=self.hub,
            sources=self.sources,
            forms=OmsForms(self.limits, deflate.compress),
            private=self.private,
            calls=accounts,
        )
        self.now_ns = 1_770_474_600_123_000_000  # 2026-02-07T14:30:00.123Z
        self.dashboards = DashboardService(
            sessions=self.sessions,
            hub=self.hub,
            fanout=self.fanout,
            resolve=self.service.resolve,
            spelling=self.service.spelling,
            forms=DashboardForms(self.limits, deflate.compress),
            config=dashboards or DashboardConfig(symbols=["BTC/USDT"]),
            now_ns=lambda: self.now_ns,
        )

        self.watching = AccountService(sessions=self.sessions)

    def connect_portfolios(self, treasury: Treasury, config: PortfolioConfig | None = None) -> Portfolios:
        """What accounts are worth, by the quotes of this hub."""
        loop = asyncio.get_running_loop()
        market = MarketData(self.hub, self.sources, Quote)
        self.service.portfolios = Portfolios(
            treasury, market, config or PortfolioConfig(interval_ms=10),
            fanout=self.fanout, loop=loop, limits=self.limits,
        )  # fmt: skip
        return self.service.portfolios

    @property
    def sim(self) -> FakeSource:
        return self.sources["sim"]

    def connect(self, *, deflated: bool = False, guard: Guard | None = None) -> Client:
        return Client(self, self.service.session(guard), deflated=deflated)

    def connect_oms(self, *, deflated: bool = False, guard: Guard | None = None) -> OmsClient:
        return OmsClient(self, self.oms.session(guard), deflated=deflated)

    def connect_account(self, reference: str, guard: Guard) -> AccountClient | Refusal:
        head = Head("GET", f"/ws/account/{reference}", {}, CIMultiDict(), "127.0.0.1")
        session = self.watching.session(guard, head)
        return session if isinstance(session, Refusal) else AccountClient(self, session, deflated=False)

    def connect_dashboard(self, *, deflated: bool = False, guard: Guard | None = None) -> DashboardClient:
        session = self.dashboards.session(guard)
        assert isinstance(session, DashboardSession)
        return DashboardClient(self, session, deflated=deflated)


class Room(Accounts, Calls, Protocol):
    """What stands in for the room of accounts does all of it."""


S = TypeVar("S", bound="Conversation[Any]")


class AnyClient(Generic[S]):
    """One session and its connection."""

    def __init__(self, rig: Rig, session: S, *, deflated: bool) -> None:
        self.conn = FakeConnection(rig.fanout, deflated=deflated)
        rig.connected += 1
        self.conn.id = f"c{rig.connected}"
        self.session = session
        self.session.on_open(self.conn)  # type: ignore[arg-type]  # a stand-in with the parts a session uses

    def say(self, **message: Any) -> None:
        self.session.on_message(self.conn, json.dumps(message))  # type: ignore[arg-type]  # as above

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send a request and return the first message after it."""
        self.conn.take_frames()
        self.say(**message)
        await self.settle()
        return self.conn.take()[0]

    async def settle(self) -> None:
        """Let the session finish what it can finish."""
        worker = self.session._worker
        if worker is not None:
            await asyncio.wait({worker}, timeout=1)

    def leave(self) -> None:
        self.conn.outbox.discard()
        self.session.on_closed(self.conn)  # type: ignore[arg-type]  # as above


class Client(AnyClient[StreamSession]):
    """Of the stream dialect."""


class OmsClient(AnyClient[OmsSession]):
    """Of the oms dialect."""


class AccountClient(AnyClient[AccountSession]):
    """Of the account dialect."""


class DashboardClient(AnyClient[DashboardSession]):
    """Of the dashboard dialect."""

    def take(self) -> list[dict[str, Any]]:
        """What it was told since the last call, once everything is out."""
        return [json.loads(payload) for opcode, _, payload in self.conn.take_frames() if opcode == OP_TEXT]
