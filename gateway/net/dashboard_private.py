"""What accounts tell a dashboard: what those that its principal may read execute, as it is committed, and are worth.

Holds which accounts are followed, and tries again where one cannot be read. Nothing is confirmed or resumed in this
dialect, but what is committed while the database is away is told when it is back. Must not know where events are kept.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import structlog

from gateway.core.private import refusing
from gateway.core.watch import full_jitter
from gateway.errors import TickwireError
from gateway.net.private_stream import Follower, told
from gateway.wire import dashboard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _speedups.fanout import Stream
    from gateway.core.private import Page, View
    from gateway.net.connection import Connection
    from gateway.net.dashboard_portfolio import AccountIds, PortfolioBoard
    from gateway.net.private import PrivateService
    from gateway.wire.dashboard_forms import DashboardForm, Set

log = structlog.get_logger(__name__)

CHANNEL: Final = "deals"
NOT_YOURS: Final = (403, 404)  # of a refusal that no other try would change
RETRY_S: Final = (1.0, 30.0)  # first and longest pause after an account could not be read

Shows = Callable[[str], bool]  # whether a symbol is to be told of


class Executions(Follower):
    """The executions of one account."""

    def __init__(
        self,
        conn: Connection,
        view: View,
        at: int,
        service: PrivateService,
        on_failed: Callable[[TickwireError], None],
        form: DashboardForm,
        shows: Shows,
    ) -> None:
        super().__init__(conn, view, at, service.limits, on_failed, CHANNEL)
        self._form = form
        self._shows = shows

    @property
    def position(self) -> tuple[str, int]:
        """What has been told: an epoch, and a number in it."""
        return self.view.epoch, self._at

    def opening(self) -> list[bytes]:
        return []

    def frames(self, page: Page) -> list[bytes]:
        told_now = [dashboard.trade_executed(event.data) for event in page.events if event.event == "deal_created"]
        self._at = page.upto
        return [self._form.finish(message) for symbol, message in told_now if self._shows(symbol)]


class DashboardAccounts(NamedTuple):
    """What dashboards share where there are accounts. `portfolios` says who may know what one is worth."""

    private: PrivateService
    portfolios: Owned
    board: PortfolioBoard


class Owned(Protocol):
    def require(self, principal: Any, account_id: int) -> None:
        """Raises TickwireError for who may not see all of the account."""


class Follows(NamedTuple):
    """Whose accounts a client is told of, and what of them."""

    principal: Any
    trades: bool
    portfolio: bool


class DashboardPrivate:
    """Of one connection."""

    def __init__(self, accounts: DashboardAccounts, conn: Connection, forms: Set, shows: Shows) -> None:
        self._accounts = accounts
        self._service = accounts.private
        self._conn = conn
        self._forms = forms
        self._shows = shows
        self._follows = Follows(None, trades=False, portfolio=False)
        self._shown: AccountIds = ()  # whose worth is told
        self._portfolio: Stream | None = None
        self._streams: dict[int, Executions] = {}  # by account
        self._left: dict[int, tuple[str, int]] = {}  # where a stream that failed had been
        self._refused: set[int] = set()  # accounts that this principal may not read after all
        self._opening: asyncio.Task[None] | None = None
        conn.on_writable = self._on_writable

    def __len__(self) -> int:
        return len(self._streams) + len(self._shown)

    def follow(self, follows: Follows) -> None:
        """Tell this of the accounts that this principal may read, and nothing else any more."""
        self._follows = follows
        self._refused.clear()
        for account_id, each in list(self._streams.items()):
            if not follows.trades or not each.view.is_for(follows.principal):
                self._stop(account_id)
        if not follows.trades:
            self._left.clear()
        self._show([each for each in self._shown if follows.portfolio and self._may_still_show(each)])
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if follows.trades or follows.portfolio:
            self._opening = asyncio.create_task(self._open(), name=f"dashboard {self._conn.id}")

    def close(self) -> None:
        """The connection is gone."""
        self.follow(Follows(None, trades=False, portfolio=False))

    async def _open(self) -> None:
        """Until every account is followed; those that cannot be read just now again after a pause."""
        failures = 0
        while True:
            try:
                readable = self._readable()
                if self._follows.portfolio:
                    self._show([each for each in readable if self._may_show(each)])
                if self._follows.trades:
                    for account_id in readable:
                        await self._begin(account_id)
            except TickwireError as error:
                if not failures:
                    log.info("account not followed", connection_id=self._conn.id, code=error.code)
                await asyncio.sleep(full_jitter(*RETRY_S, failures, random.uniform))
                failures += 1
            except Exception:
                log.exception("accounts not followed", connection_id=self._conn.id)
                break
            else:
                break
        self._opening = None

    def _readable(self) -> Sequence[int]:
        """The accounts to tell of. Raises TickwireError."""
        with refusing():
            return self._service.accounts.readable(self._follows.principal)

    def _may_show(self, account_id: int) -> bool:
        """Whether the principal may know what it is worth: only who may see all of it. Raises TickwireError."""
        try:
            self._accounts.portfolios.require(self._follows.principal, account_id)
        except TickwireError as error:
            if error.status not in NOT_YOURS:
                raise
            return False
        return True

    def _may_still_show(self, account_id: int) -> bool:
        """What cannot be told just now is asked again in `_open`."""
        try:
            return self._may_show(account_id)
        except TickwireError:
            return False

    def _show(self, account_ids: Sequence[int]) -> None:
        """Tell what these are worth, all together."""
        shown = tuple(sorted(account_ids))
        if shown == self._shown or not self._conn.is_open:
            return
        outbox, form = self._conn.outbox, self._forms.portfolio
        if self._portfolio is not None:
            self._portfolio.detach(outbox, form)
        self._shown = shown
        self._portfolio = self._accounts.board.join(outbox, shown, form) if shown else None

    async def _begin(self, account_id: int) -> None:
        if account_id in self._streams or account_id in self._refused:
            return
        try:
            view = await told(self._service.accounts.outbox.open(self._follows.principal, account_id, CHANNEL))
        except TickwireError as error:
            if error.status not in NOT_YOURS:
                raise
            self._refused.add(account_id)
            return
        epoch, at = self._left.pop(account_id, ("", 0))
        if epoch != view.epoch:  # it is new here, or what its numbers named is gone
            at = view.newest
        on_failed = self._failer(account_id)
        stream = Executions(self._conn, view, at, self._service, on_failed, self._forms.prices, self._shows)
        self._streams[account_id] = stream
        stream.begin()

    def _failer(self, account_id: int) -> Callable[[TickwireError], None]:
        def on_failed(error: TickwireError) -> None:
            self._service.errors[error.code] += 1
            self._left[account_id] = self._streams[account_id].position
            self._stop(account_id)
            if self._opening is None and self._conn.is_open:
                self._opening = asyncio.create_task(self._open(), name=f"dashboard {self._conn.id}")

        return on_failed

    def _stop(self, account_id: int) -> None:
        self._streams.pop(account_id).end()

    def _on_writable(self) -> None:
        for each in self._streams.values():
            each.wake()
