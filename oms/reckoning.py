"""Holdings at the venue against what our deals make of them: positions of contracts, balances of spot.

Holds what is read for it, and up to where balances were accounted for. Of one account. Reports, and changes nothing:
no fill is ever made up. Must not know an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from oms import render
from oms.desk.desk import Desk
from oms.desk.settling import QUIET_NS
from oms.errors import OmsError
from oms.holdings import Seen, compare_balances, compare_positions, flows
from oms.model import Deal, Instrument
from oms.report import Mismatch, Report
from oms.store import history, progress
from oms.venues.base import Refused, VenuePosition

log = structlog.get_logger(__name__)

BALANCES: Final = "balances"  # the name of the cursor


class Accounted(msgspec.Struct, frozen=True, kw_only=True):
    """What there was of each currency when all deals up to this one were in it."""

    deal_id: int
    held: Mapping[str, Decimal]


class Reckoning:
    """A difference is told once, and only when it is seen twice. What the venue would not say is not zero."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._positions = Seen()
        self._balances = Seen()

    async def look(self, report: Report) -> None:
        """All of it. Raises `Ambiguous` when the venue does not answer."""
        try:
            await self._compare_positions(report, await self._desk.venue.positions())
        except Refused as error:
            report.refused.append(f"positions: {error.message}")
        try:
            await self._compare_balances(report, await self._desk.venue.balances())
        except Refused as error:
            report.refused.append(f"balances: {error.message}")

    def _instrument(self, symbol: str) -> Instrument | None:
        try:
            return self._desk.venue.instrument(symbol)
        except OmsError:  # not listed any more
            return None

    def _tell(self, mismatch: Mismatch) -> None:
        log.warning("position mismatch", account_id=self._desk.account.id, what=mismatch.name)
        now_ns = self._desk.now_ns()
        data = {
            "account_id": self._desk.account.id,
            "symbol": mismatch.symbol,
            "currency": mismatch.currency,
            "expected": render.number(mismatch.expected),
            "actual": render.number(mismatch.actual),
            "created_at": render.moment(now_ns),
        }
        self._desk.book.announce("positions", "position_mismatch", data, now_ns)

    # Positions of contracts

    async def _compare_positions(self, report: Report, theirs: list[VenuePosition]) -> None:
        ours = list(self._desk.book.positions.values())
        symbols = {position.symbol for position in ours} | {held.symbol for held in theirs}
        settled = {symbol for symbol in symbols if self._is_contract(symbol) and self._is_quiet(symbol)}
        found = compare_positions(ours, theirs, settled)
        report.mismatches += found
        for mismatch in self._positions.again(found):
            self._tell(mismatch)

    def _is_contract(self, symbol: str) -> bool:
        instrument = self._instrument(symbol)
        return instrument is not None and not instrument.spot

    def _is_quiet(self, symbol: str) -> bool:
        since_ns = self._desk.now_ns() - QUIET_NS
        return not any(
            order.symbol == symbol and order.filled and order.updated_ns > since_ns
            for order in self._desk.book.orders.values()
        )

    # Balances of spot

    async def _compare_balances(self, report: Report, held: Mapping[str, Decimal]) -> None:
        desk = self._desk
        await desk.commit()  # so that all deals that are booked can be read
        stored = (await progress.cursors(desk.pool, desk.account.id)).get(BALANCES)
        before = msgspec.json.decode(stored, type=Accounted) if stored else None
        deals = await self._deals_after(before.deal_id if before else 0)
        if deals and deals[-1].created_ns > desk.now_ns() - QUIET_NS:
            return
        last_id = deals[-1].id if deals else before.deal_id if before else 0
        now = Accounted(deal_id=last_id, held={name: total for name, total in held.items() if total})
        if before is not None:
            spot = [(deal, traded) for deal in deals if (traded := self._instrument(deal.symbol)) and traded.spot]
            names = {traded.base for _, traded in spot} | self._bases()
            found = compare_balances(before.held, flows(spot), held, names)
            report.mismatches += found
            told = self._balances.again(found)
            for mismatch in told:
                self._tell(mismatch)
            if found and not told:
                return  # seen once: held against the same again
        if now != before:
            await progress.set_cursor(desk.pool, desk.account.id, BALANCES, msgspec.json.encode(now).decode())

    def _bases(self) -> set[str]:
        """The currencies of which there are open spot positions."""
        instruments = [self._instrument(position.symbol) for position in self._desk.book.positions.values()]
        return {instrument.base for instrument in instruments if instrument is not None and instrument.spot}

    async def _deals_after(self, deal_id: int) -> list[Deal]:
        """All of them: what the OMS nets itself comes in pairs that change nothing."""
        deals: list[Deal] = []
        while True:
            wanted = history.Filter(accounts={self._desk.account.id: ()}, after_id=deal_id, page_size=history.PAGE_MAX)
            page = await history.deals(self._desk.pool, wanted)
            deals += page
            if len(page) < history.PAGE_MAX:
                return deals
            deal_id = page[-1].id
