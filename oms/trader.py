"""One account with all that belongs to it: its desk and what is built on it, its venue, and its life from load to stop.

Holds how the parts are joined, and that no command is taken before the venue was heard. Must not know other accounts,
nor how a venue is spoken to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from oms.book import AccountBook, Ids
from oms.desk.changing import Changing
from oms.desk.deadman import DeadMan
from oms.desk.desk import Desk
from oms.desk.dispatch import Dispatcher
from oms.desk.hearing import Hearing
from oms.desk.orders import Orders
from oms.desk.positions import Positions
from oms.desk.recovery import recover
from oms.desk.results import CommandResult
from oms.desk.settling import DOUBTFUL, Settler
from oms.desk.shrinking import Shrinking
from oms.desk.stops import Stops
from oms.errors import OmsError
from oms.journal import Journal
from oms.keeper import Keeper
from oms.market import MarketData
from oms.model import Account, Position, Risk, TradingState
from oms.payloads import Payloads
from oms.reconcile import Reconciler
from oms.report import Cause
from oms.store.pool import UNAVAILABLE, Pool
from oms.store.progress import Payload
from oms.vault import VaultError
from oms.venues.base import Ambiguous, Refused, Venue, VenueOrder
from oms.writes import CommandRow

log = structlog.get_logger(__name__)

RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)  # before the venue is tried again; the last one again and again
STARTING: Final = "the exchange has not been heard yet: try again soon"


class Readiness(NamedTuple):
    """How far one account is: `obstacle` says why it takes no commands now, None when it does."""

    account_id: int
    connected: bool  # the private stream of its venue is there
    reconciled: bool  # it has been held against its venue since the desk began
    obstacle: str | None


class Trader:
    """Of one account, for as long as the database is ours."""

    def __init__(
        self,
        book: AccountBook,
        ids: Ids,
        *,
        journal: Journal,
        make_venue: Callable[[], Awaitable[Venue]],
        market: MarketData,
        pool: Pool,
        payloads: Payloads,
        everywhere: Callable[[], TradingState],
        clock_ns: Callable[[], int],
    ) -> None:
        self.desk = desk = Desk(
            book, ids, journal=journal, venue=None, market=market, pool=pool, everywhere=everywhere, clock_ns=clock_ns
        )
        self.hearing = Hearing(desk)
        self.hearing.on_said = self._keep
        self.settler = Settler(desk, self.hearing)
        desk.on_doubt = self.settler.doubt
        self.orders = Orders(desk, self.hearing, self.settler)
        changing = Changing(desk, self.hearing, self.settler, self.orders)
        self.positions = Positions(desk, self.orders)
        self.stops = Stops(desk, self.positions.stop_out)
        self.shrinking = Shrinking(desk, self.orders.cancel)
        self.deadman = DeadMan(desk, self.orders.cancel)
        parts = (self.orders, changing, self.positions, self.deadman)
        self.dispatcher = Dispatcher({name: handler for part in parts for name, handler in part.handlers.items()})
        self.keeper = Keeper(Reconciler(desk, self.hearing, self.settler), self.hearing)
        desk.obstacle = STARTING
        self._make_venue = make_venue
        self._payloads = payloads
        self._venue: Venue | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def account(self) -> Account:
        return self.desk.account

    @property
    def venue(self) -> Venue | None:
        """Where it is traded on, as soon as that is known; another one after `reopen`."""
        return self._venue

    @property
    def readiness(self) -> Readiness:
        return Readiness(self.account.id, self.keeper.is_connected, self.keeper.is_ready, self.desk.obstacle)

    def start(self) -> None:
        """Open the venue in the background, again and again; commands are refused until it was heard."""
        self._opening = asyncio.create_task(self._open(), name=f"open account={self.account.id}")

    async def reopen(self) -> None:
        """With a venue made anew, because the account has other credentials."""
        self.desk.obstacle = STARTING
        await self._close()
        self.start()

    async def stop(self, timeout_s: float) -> None:
        """Let what is under way end, then let go of the venue."""
        self.desk.obstacle = "the order desk is being stopped"
        self.stops.stop()
        self.shrinking.stop()
        self.deadman.stop()
        self.settler.stop()
        await self.keeper.stop()
        await self.desk.finish(timeout_s)
        await self._close()

    async def _close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        venue, self._venue = self._venue, None
        if venue is None:
            return
        try:
            await venue.close()
        except Exception:
            log.exception("venue could not be closed", account_id=self.account.id)

    async def recovered(self, row: CommandRow) -> CommandResult:
        """What became of a command that was running when the last process ended."""
        return await recover(row, self.desk, self.orders, self.dispatcher)

    def take_over(self, account: Account, risk: Risk, strategies: frozenset[int]) -> None:
        """What an administrator has changed is in force from now on."""
        self.desk.book.account = account
        self.desk.strategies = strategies
        if risk != self.desk.book.risk:
            self.desk.book.risk = risk
            told: dict[str, Any] = msgspec.to_builtins(risk)
            self.desk.book.announce("orders", "risk_changed", told, self.desk.now_ns())
            self.desk.commit()

    def _keep(self, order_id: int, said: VenueOrder) -> None:
        if said.raw:
            payload = Payload(account_id=self.account.id, kind="order", order_id=order_id, payload=said.raw)
            self._payloads.add(payload)

    async def _open(self) -> None:
        await self._until_done(self._start_venue)
        await self._until_done(self._reconcile)
        self.desk.on_positions = self._on_positions
        self.desk.on_orders = self.shrinking.ordered
        self.desk.obstacle = None
        self.stops.start()
        self.shrinking.start()
        log.info("account is traded on", account_id=self.account.id)
        await self._until_done(self.deadman.start)

    def _on_positions(self, positions: Iterable[Position]) -> None:
        self.stops.changed(positions)
        self.shrinking.changed(positions)

    async def _until_done(self, step: Callable[[], Awaitable[None]]) -> None:
        """Again and again, later each time."""
        tries = 0
        while True:
            try:
                return await step()
            except (Refused, Ambiguous, OmsError, VaultError, *UNAVAILABLE) as error:
                log.warning("account cannot be traded on yet", account_id=self.account.id, error=str(error))
            except Exception:
                log.exception("account cannot be traded on yet", account_id=self.account.id)
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1

    async def _start_venue(self) -> None:
        if self._venue is None:
            self._venue = self.desk.venue = await self._make_venue()
        await self._venue.start(self.keeper)

    async def _reconcile(self) -> None:
        for order in self.desk.book.open_orders.values():
            if order.state in DOUBTFUL:
                self.settler.doubt(order.id)
        report = await self.keeper.request(Cause.START)
        if not report.ok:
            raise OmsError("exchange_unavailable", report.error or "")
