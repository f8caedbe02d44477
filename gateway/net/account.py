"""The account dialect: who may watch which account, and one connection that does (docs/protocol.md).

Holds ownership, the heartbeat, and which accounts are watched. Must not know frames' bits, how an account is read, or
what has changed of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.core.private import refusing
from gateway.errors import Close, TickwireError
from gateway.net.account_monitor import Clocks, Monitor, RealClocks
from gateway.net.conversation import Conversation
from gateway.net.dialects import ACCOUNT_PATH, Name
from gateway.net.head import Refusal
from gateway.net.wheel import Wheel
from gateway.wire import account
from gateway.wire.codec import Codec
from gateway.wire.stream import STREAM_PATH

if TYPE_CHECKING:
    from gateway.auth import Principal
    from gateway.core.private import Standings
    from gateway.net.guard import Guard
    from gateway.net.head import Head
    from gateway.net.record import Kept
    from gateway.net.sessions import Sessions

CODEC: Final[Codec[account.Request]] = account

NOT_YOURS: Final = frozenset({"account_not_found", "permission_denied", "strategy_permission_denied"})


class AccountService:
    """What the account sessions of one process share. A `Dialect` of the port."""

    name: Final = Name.ACCOUNT
    subprotocol: Final = account.SUBPROTOCOL

    def __init__(
        self, *, sessions: Sessions, clock: Callable[[], float] = time.monotonic, clocks: Clocks | None = None
    ) -> None:
        """`clock` is the connections' own."""
        self.sessions = sessions
        self.accounts: Standings | None = None  # whose state can be told
        self.clock = clock
        self.wheel = Wheel(clock())
        self.monitors: dict[int, Monitor] = {}
        self._clocks = clocks or RealClocks()
        self._tasks: set[asyncio.Task[None]] = set()

    def session(self, guard: Guard | None, head: Head) -> AccountSession | Refusal:
        """A handler for one new connection, unless whoever it is has nothing to do with the account."""
        if self.accounts is None or guard is None:
            return Refusal(404, "unsupported_action", f"this gateway has no accounts; market data is at {STREAM_PATH}")
        reference = head.path.removeprefix(ACCOUNT_PATH)
        if guard.principal is not None:
            try:
                self.find(guard.principal, reference)
            except TickwireError as error:
                status = error.status if guard.principal.is_admin or error.code not in NOT_YOURS else 403
                code = "permission_denied" if status == 403 else error.code
                return Refusal(status, code, error.message, error.retry_after_ms)
        return AccountSession(self, guard, reference)

    def find(self, principal: Principal, reference: str) -> int:
        """The account that is meant, for who may watch it. Raises TickwireError."""
        assert self.accounts is not None
        with refusing():
            return self.accounts.find(principal, reference)

    def require(self, principal: Principal, account_id: int) -> None:
        """Raises TickwireError for who may not watch the account, which is known at any time."""
        assert self.accounts is not None
        with refusing():
            self.accounts.require(principal, account_id)

    def watch(self, account_id: int, watcher: AccountSession) -> Monitor:
        """From now on, until `unwatch`."""
        assert self.accounts is not None
        accounts = self.accounts
        monitor = self.monitors.get(account_id)
        if monitor is None:
            monitor = self.monitors[account_id] = Monitor(
                account_id,
                lambda: accounts.look(account_id),
                clocks=self._clocks,
                timeout_s=self.sessions.limits.account_read_timeout_s,
            )
        if (task := monitor.add(watcher)) is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return monitor

    def unwatch(self, monitor: Monitor, watcher: AccountSession) -> None:
        if monitor.remove(watcher):
            del self.monitors[monitor.account_id]

    def tick(self) -> None:
        """Once a second: look at who has not been heard."""
        self.wheel.advance(self.clock())

    async def close(self) -> None:
        """Read nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class AccountSession(Conversation[account.Request]):
    """One connection. It has to ping: a pong, or whatever else it says, is no sign that its client is well."""

    __slots__ = ("_monitor", "_pinged_s", "_reference", "_service", "due_tick")
    dialect = "account"

    def __init__(self, service: AccountService, guard: Guard, reference: str) -> None:
        super().__init__(service.sessions, CODEC, guard)
        self._service = service
        self._reference = reference
        self._monitor: Monitor | None = None  # once it is known who watches
        self._pinged_s = service.clock()
        self.due_tick = -1
        guard.insist()

    @property
    def subscriptions(self) -> int:
        return int(self._monitor is not None)

    def opened(self) -> None:
        """What is said first waits for the principal: `principal_changed` is called when there is one."""
        self._service.wheel.schedule(self, self._pinged_s + self._silence_s)

    def left(self, _subscribed: Kept) -> None:
        self._service.wheel.cancel(self)
        if self._monitor is not None:
            self._service.unwatch(self._monitor, self)
            self._monitor = None

    def principal_changed(self) -> None:
        """Begin to watch, or go on, or end."""
        if not self._conn.is_open or self.principal is None:
            return
        try:
            if self._monitor is not None:  # by number: a name may be another account's by now
                self._service.require(self.principal, self._monitor.account_id)
                return
            account_id = self._service.find(self.principal, self._reference)
        except TickwireError as error:
            if error.code in NOT_YOURS:
                self.close(Close.NOT_YOUR_ACCOUNT, "not allowed on this account")
            else:
                self.fail(error, None, f"{self._conn.id}-0")
                self.close(Close.INTERNAL, "accounts cannot be looked up")
            return
        self.send(account.connected(self._reference))
        self._monitor = self._service.watch(account_id, self)

    def is_for_anybody(self, request: account.Request) -> bool:
        return True

    def waits(self, request: account.Request) -> bool:
        return False

    def answer(self, request: account.Request, _request_id: str) -> bytes | None:
        if isinstance(request, account.Ping):
            self._pinged_s = self._service.clock()
            return account.pong()
        was_watching = self._monitor is not None
        assert self._guard is not None, "there is no session without one"
        entered = self._guard.authenticate(request.token)
        return account.authenticated(entered) if was_watching else None  # else `connected` was the answer

    async def answer_later(self, request: account.Request, _request_id: str) -> None:
        raise AssertionError(f"{type(request).__name__} does not wait")

    # For the monitor

    def deliver(self, frames: bytes) -> None:
        self._conn.outbox.reply(frames)

    # For the wheel

    def on_due(self, now_s: float) -> None:
        """No ping for too long, of either kind, or not yet."""
        pinged_s = max(self._pinged_s, self._conn.pinged_s)
        if now_s - pinged_s >= self._silence_s:
            self.close(Close.SILENT, "no ping")
        else:
            self._service.wheel.schedule(self, pinged_s + self._silence_s)

    @property
    def _silence_s(self) -> float:
        return self._service.sessions.limits.silence_s
