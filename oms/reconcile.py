"""What the venue holds against what we have: one run, its evidence, and what follows from it.

An order's fate is decided by evidence only, which `oms.desk.settling` finds; here is found which orders to ask about,
which trades were missed, and whether holdings are what deals made of them. Of one account. Must not know when a run is
made (`keeper`), nor how an order is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from oms.desk.desk import SECOND_NS, Desk
from oms.desk.hearing import Hearing, claim
from oms.desk.settling import DOUBTFUL, QUIET_NS, Settler, leaves_else, revivable
from oms.errors import OmsError
from oms.external import FIRST_NS, External
from oms.model import Order, OrderState
from oms.reckoning import Reckoning
from oms.report import Cause, Report, Resolved
from oms.store import progress
from oms.store.pool import UNAVAILABLE
from oms.venues.base import Ambiguous, Refused, VenueOrder

log = structlog.get_logger(__name__)

OVERLAP_NS: Final = 300 * SECOND_NS  # trades are read again this far back: told late, out of order, by another clock
TRADES: Final = "trades:"  # starts the name of a symbol's cursor


class Reconciler:
    """Of one account; one run at a time."""

    def __init__(self, desk: Desk, hearing: Hearing, settler: Settler) -> None:
        self._desk = desk
        self._hearing = hearing
        self._settler = settler
        self.external = External(desk, hearing)
        self._reckoning = Reckoning(desk)
        self._cursors: dict[str, int] = {}  # trades are read up to here, by symbol
        self._looked_ns = 0  # when the last run that ended well began
        self._last_event = -1  # of the account, when it did

    @property
    def is_active(self) -> bool:
        """Whether there is anything that could have changed without our hearing of it."""
        book = self._desk.book
        changed = book.sequences.event != self._last_event
        return changed or bool(book.open_orders or book.positions or self.external.unread)

    async def run(self, cause: Cause, on_caught_up: Callable[[], None]) -> Report:
        """One run; a failure that may pass is in the report. Calls back when what was missed is booked."""
        desk = self._desk
        report = Report(account_id=desk.account.id, cause=cause, started_ns=desk.now_ns())
        last_event = desk.book.sequences.event
        try:
            number = await progress.start_reconciliation(desk.pool, desk.account.id, cause, report.started_ns)
        except UNAVAILABLE as error:
            report.error = _lost(error)
            return report
        try:
            await self._look(report)
            on_caught_up()
            await self._reckoning.look(report)
            await desk.commit()
        except (Refused, Ambiguous, OmsError) as error:
            report.error = error.message
        except UNAVAILABLE as error:
            report.error = _lost(error)
            return report
        if report.ok:
            self._looked_ns, self._last_event = report.started_ns, last_event
        report.finished_ns = desk.now_ns()
        await self._store(number, report)
        return report

    async def _store(self, number: int, report: Report) -> None:
        """For who asks later. That it cannot be told is no fault of the run."""
        try:
            await progress.finish_reconciliation(
                self._desk.pool, number, ok=report.ok, report=report.plain, now_ns=report.finished_ns or 0
            )
        except UNAVAILABLE as error:
            log.warning("report could not be stored", account_id=report.account_id, error=type(error).__name__)

    async def _look(self, report: Report) -> None:
        """At orders, then at trades, then at those orders again of which the venue claims more than was found."""
        desk = self._desk
        deals_before = desk.book.sequences.deals
        self.external.imported.clear()
        behind = await self._look_at_orders(report)
        unread, self.external.unread = self.external.unread, set()
        try:
            for symbol in await self._symbols(report, {said.symbol for said in behind.values()} | unread):
                await self._read_trades(symbol, report)
        except BaseException:  # whatever it was, also being canceled: what could not be read is still to be read
            self.external.unread |= unread
            raise
        for order_id, said in behind.items():
            order = desk.book.orders.get(order_id)
            if order is not None and claim(order, said) > order.filled:
                await self._settle(order, report)
                if claim(order, said) > desk.book.orders[order_id].filled and order_id not in report.undecided:
                    report.undecided.append(order_id)
        await desk.commit()
        report.deals_booked = desk.book.sequences.deals - deals_before
        report.imported = list(self.external.imported)

    # Orders

    async def _look_at_orders(self, report: Report) -> dict[int, VenueOrder]:
        """What the venue says of those that are open there, and of each of ours that is not. Those it lists."""
        desk = self._desk
        said_of: dict[int, VenueOrder] = {}
        foreign: list[VenueOrder] = []
        for said in await desk.venue.open_orders(None):
            order = desk.order_named(said.symbol, said.exchange_order_id, said.client_order_id)
            if order is None:
                foreign.append(said)
                continue
            self._settler.found(order, said)
            if not is_over(order, said):
                said_of[order.id] = said
            elif order.updated_ns <= report.started_ns - QUIET_NS and not desk.is_busy(order.id):
                log.error("venue lists an order that was over", account_id=report.account_id, order_id=order.id)
                report.contradicted.append(order.id)
                if revivable(order):
                    await self._settle(order, report)
        for order_id in list(desk.book.open_orders):
            await self._look_at_order(desk.book.orders[order_id], said_of.get(order_id), report)
        for said in foreign:  # once ours are settled: one of them may be it
            order = await self.external.order(said)
            if order is None:
                self.external.unread.add(said.symbol)
            else:
                said_of[order.id] = said
        return said_of

    async def _look_at_order(self, order: Order, said: VenueOrder | None, report: Report) -> None:
        report.orders_checked += 1
        in_doubt = order.state in DOUBTFUL
        recent = order.updated_ns > report.started_ns - QUIET_NS
        if recent or self._desk.is_busy(order.id):
            if in_doubt and not self._desk.is_busy(order.id):
                self._settler.doubt(order.id)
        elif said is None or in_doubt or leaves_else(order, said):
            await self._settle(order, report)
        else:
            self._hearing.said(order.id, said)

    async def _settle(self, order: Order, report: Report) -> None:
        """Ask about this one order; what cannot be told yet is asked about again, soon."""
        try:
            settled = await self._settler.settle(order.id)
        except Refused as error:
            report.refused.append(f"order {order.id}: {error.message}")
            settled = False
        if not settled:
            if order.id not in report.undecided:
                report.undecided.append(order.id)
            self._settler.doubt(order.id)
        after = self._desk.book.orders.get(order.id, order)
        if after.state is not order.state:
            report.resolved.append(Resolved(order_id=order.id, before=order.state, after=after.state))

    # Trades

    async def _symbols(self, report: Report, more: set[str]) -> list[str]:
        """Of what is open or changed lately; a run that is not periodic looks at all that was ever read."""
        book, everything = self._desk.book, report.cause is not Cause.PERIODIC
        if everything or not self._cursors:
            stored = await progress.cursors(self._desk.pool, self._desk.account.id)
            named = {name.removeprefix(TRADES): value for name, value in stored.items() if name.startswith(TRADES)}
            self._cursors = {symbol: int(value) for symbol, value in named.items()}
        since_ns = 0 if everything else self._looked_ns - OVERLAP_NS
        symbols = {order.symbol for order in book.orders.values() if order.is_open or order.updated_ns >= since_ns}
        symbols |= {position.symbol for position in book.positions.values()} | more
        return sorted(symbols | set(self._cursors if everything else ()))

    async def _read_trades(self, symbol: str, report: Report) -> None:
        """Book what is not booked; only then the next reading begins later."""
        desk = self._desk
        since_ns = self._cursors.get(symbol)
        if since_ns is None:
            mine = [order.created_ns for order in desk.book.open_orders.values() if order.symbol == symbol]
            since_ns = min([report.started_ns - FIRST_NS, *mine])
        try:
            trades = await desk.venue.trades(symbol, max(0, since_ns - OVERLAP_NS))
        except Refused as error:
            report.refused.append(f"trades of {symbol}: {error.message}")
            self.external.unread.add(symbol)
            return
        report.trades_read += len(trades)
        whole = True
        for trade in sorted(trades, key=lambda trade: trade.time_ns):
            order = desk.order_named(trade.symbol, trade.exchange_order_id, trade.client_order_id)
            if order is not None:
                self._hearing.trade(order, trade)
            elif not await self.external.trade(trade):
                whole = False
        await desk.commit()
        if whole:
            self._cursors[symbol] = report.started_ns
            await progress.set_cursor(desk.pool, desk.account.id, f"{TRADES}{symbol}", str(report.started_ns))
        else:
            self.external.unread.add(symbol)


def _lost(error: Exception) -> str:
    return f"the order database cannot be reached: {type(error).__name__}"


def is_over(order: Order, said: VenueOrder) -> bool:
    """Whether this was over, by all we know: the order, or what it was before it was replaced."""
    if not order.is_open:
        return True
    is_former = order.exchange_order_id not in {None, said.exchange_order_id}
    return is_former and order.state is not OrderState.PENDING_REPLACE
