"""When the account is held against its venue: at the start, at each reconnect, every 30 s while it is active, on
request, and again soon after a run that failed.

Stands between the venue's stream and the desk: what is heard before the gap is closed waits, so that what was missed
is booked, and so published, first. Must not know what a run does (`reconcile`), nor SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from oms.errors import OmsError
from oms.report import Cause, Report
from oms.store.pool import UNAVAILABLE
from oms.venues.base import Listener, VenueOrder, VenueTrade

log = structlog.get_logger(__name__)

PERIOD_S: Final = 30.0
BACKOFF_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)  # after a run that failed, by how many failed in a row
ORDER: Final = tuple(Cause)


class Runs(Protocol):
    """What is done, of one account (`reconcile.Reconciler`)."""

    @property
    def is_active(self) -> bool:
        """Whether there is anything that could have changed without our hearing of it."""

    async def run(self, cause: Cause, on_caught_up: Callable[[], None]) -> Report:
        """One run; a failure that may pass is in the report. Calls back when what was missed is booked."""


class Timer(Protocol):
    def cancel(self) -> None: ...


Later = Callable[[float, Callable[[], None]], Timer]  # as `loop.call_later`


class Keeper:
    """Of one account: the listener to start its venue with. One run at a time; what is asked for meanwhile is one."""

    def __init__(self, runs: Runs, hearing: Listener, *, later: Later | None = None) -> None:
        self.is_ready = False  # a run has succeeded: what we have is what the venue has
        self.is_connected = False  # the venue's stream is there
        self.is_live = False  # the same, and what was missed before it is booked
        self._runs = runs
        self._hearing = hearing
        self._later: Later = later or (lambda delay_s, call: asyncio.get_running_loop().call_later(delay_s, call))
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self._next: tuple[Cause, asyncio.Future[Report]] | None = None
        self._failures = 0  # in a row
        self._owed = Cause.PERIODIC  # what a run that failed was to look at
        self._stopped = False
        self._connections = 0  # of the stream, so far
        self._held: list[VenueOrder | VenueTrade] | None = []  # None: heard at once

    # From outside

    async def stop(self) -> None:
        """Break off what runs; what waits is told so."""
        self._stopped = True
        self._unset()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._next is not None:
            _fail(self._next[1], _stopping())

    async def request(self, cause: Cause = Cause.REQUEST) -> Report:
        """The report of a run that begins after this; raises OmsError when there will be none.

        Once the venue is started ask with `Cause.START`: from then on runs are made by themselves, until `stop`.
        """
        return await asyncio.shield(self._ask(cause))

    # The venue's listener

    def on_order(self, order: VenueOrder) -> None:
        if self._held is None:
            self._hearing.on_order(order)
        else:
            self._held.append(order)

    def on_trade(self, trade: VenueTrade) -> None:
        if self._held is None:
            self._hearing.on_trade(trade)
        else:
            self._held.append(trade)

    def on_stream(self, connected: bool) -> None:
        self._hearing.on_stream(connected)
        self.is_connected, self.is_live = connected, False
        if connected:
            self._connections += 1
            self._held = self._held or []
            if self._connections > 1:  # the first run is asked for by who started the venue
                self._ask(Cause.RECONNECT if self.is_ready else Cause.START)

    def _release(self) -> None:
        """Hear what waited, and the rest as it comes."""
        held, self._held = self._held or [], None
        for said in held:
            if isinstance(said, VenueOrder):
                self._hearing.on_order(said)
            else:
                self._hearing.on_trade(said)

    # Runs

    def _ask(self, cause: Cause) -> asyncio.Future[Report]:
        if self._next is not None:
            former, future = self._next
            cause = _wider(former, cause)
        else:
            future = asyncio.get_running_loop().create_future()
        self._next = cause, future
        if self._stopped:
            _fail(future, _stopping())
        elif self._task is None:
            self._unset()
            self._task = asyncio.create_task(self._work(), name="reconcile")
        return future

    async def _work(self) -> None:
        """Run until nothing is asked for."""
        while self._next is not None:
            (cause, future), self._next = self._next, None
            cause = _wider(cause, self._owed)
            try:
                report = await self._run(cause)
            except asyncio.CancelledError:
                _fail(future, _stopping())
                raise
            except (OmsError, *UNAVAILABLE) as error:  # the database is away, which is told by who runs the desk
                log.info("not reconciled", cause=cause, error=str(error) or type(error).__name__)
                _fail(future, error)
                ok = False
            except Exception as error:  # a fault of ours: told to who asked, and tried again like any other failure
                log.error("reconciling failed", cause=cause, exc_info=error)
                _fail(future, error)
                ok = False
            else:
                if not future.done():
                    future.set_result(report)
                ok = report.ok
            self._failures = 0 if ok else self._failures + 1
            self._owed = Cause.PERIODIC if ok else cause
        self._task = None
        self._set()

    async def _run(self, cause: Cause) -> Report:
        connections = self._connections

        def caught_up() -> None:
            if connections == self._connections and self._held is not None:
                self._release()

        try:
            report = await self._runs.run(cause, caught_up)
        except Exception:
            caught_up()  # after a run that failed too: late is worse than out of order
            raise
        caught_up()
        if report.ok:
            self.is_ready = True
            self.is_live = self.is_connected and connections == self._connections
        return report

    # The timer

    def _set(self) -> None:
        """Look again after the period, or soon after a failure."""
        delay_s = BACKOFF_S[min(self._failures, len(BACKOFF_S)) - 1] if self._failures else PERIOD_S
        self._timer = self._later(delay_s, self._due)

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        if self._failures or self._runs.is_active:
            self._ask(Cause.PERIODIC)
        else:
            self._set()


def _wider(one: Cause, other: Cause) -> Cause:
    """The one that looks at more."""
    return min(one, other, key=ORDER.index)


def _stopping() -> OmsError:
    return OmsError("engine_unavailable", "the order desk is being stopped")


def _fail(future: asyncio.Future[Report], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # nobody has to wait for a run
