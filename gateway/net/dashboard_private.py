"""What accounts tell a dashboard: the executions of every account that its principal may read, as they are committed.

Holds which accounts are followed, and tries again where one cannot be read. Nothing is confirmed or resumed in this
dialect, but what is committed while the database is away is told when it is back. Must not know where events are kept.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import structlog

from gateway.core.private import refused
from gateway.core.watch import full_jitter
from gateway.errors import TickwireError
from gateway.net.private_stream import Follower, told
from gateway.wire import dashboard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.private import Page, View
    from gateway.net.connection import Connection
    from gateway.net.private import PrivateService
    from gateway.wire.dashboard_forms import DashboardForm

log = structlog.get_logger(__name__)

CHANNEL: Final = "deals"
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


class DashboardPrivate:
    """Of one connection."""

    def __init__(self, service: PrivateService, conn: Connection, form: DashboardForm, shows: Shows) -> None:
        self._service = service
        self._conn = conn
        self._form = form
        self._shows = shows
        self._principal: Any = None
        self._streams: dict[int, Executions] = {}  # by account
        self._left: dict[int, tuple[str, int]] = {}  # where a stream that failed had been
        self._refused: set[int] = set()  # accounts that this principal may not read after all
        self._opening: asyncio.Task[None] | None = None
        conn.on_writable = self._on_writable

    def __len__(self) -> int:
        return len(self._streams)

    def follow(self, principal: Any) -> None:
        """Tell of the accounts that this principal may read, and of no others any more; None: of none."""
        self._principal = principal
        self._refused.clear()
        for account_id, each in list(self._streams.items()):
            if principal is None or not each.view.is_for(principal):
                self._stop(account_id)
        if principal is None:
            self._left.clear()
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if principal is not None:
            self._opening = asyncio.create_task(self._open(), name=f"dashboard {self._conn.id}")

    async def _open(self) -> None:
        """Until every account is followed; those that cannot be read just now again after a pause."""
        failures = 0
        while True:
            try:
                for account_id in self._missing():
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

    def _missing(self) -> Sequence[int]:
        """The accounts to be followed that are not. Raises TickwireError."""
        try:
            readable = self._service.accounts.readable(self._principal)
        except Exception as error:
            failure = refused(error)
            if failure is None:
                raise
            raise failure from error
        return [each for each in readable if each not in self._streams and each not in self._refused]

    async def _begin(self, account_id: int) -> None:
        try:
            view = await told(self._service.accounts.outbox.open(self._principal, account_id, CHANNEL))
        except TickwireError as error:
            if error.status not in (403, 404):
                raise
            self._refused.add(account_id)
            return
        epoch, at = self._left.pop(account_id, ("", 0))
        if epoch != view.epoch:  # it is new here, or what its numbers named is gone
            at = view.newest
        on_failed = self._failer(account_id)
        stream = Executions(self._conn, view, at, self._service, on_failed, self._form, self._shows)
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
