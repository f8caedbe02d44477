"""Accounts as who watches them sees them: the money that the venue tells, and what is open, with its worth right now.

Holds who may watch an account, where each part comes from, and what positions are worth. Must not know a socket, how
often anybody looks, nor how a venue is asked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Final

import msgspec

from oms import render
from oms.auth import require_read, strategies_of
from oms.errors import OmsError
from oms.market import MarketData
from oms.model import ZERO, Instrument, Position, Principal, Quote, Side
from oms.passing.structures import unrealized
from oms.positions import AMOUNT_STEP, CONTEXT
from oms.service import Oms
from oms.store import history, streams
from oms.store.pool import UNAVAILABLE
from oms.trader import Trader
from oms.venues.base import Ending, Holding, Inspection, Venue

QUOTE_S: Final = 1.0  # how long a first price of a symbol is waited for
RETRY_MS: Final = 1_000
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an account stands."""

    figures: Mapping[str, Decimal | None]
    positions: Mapping[int, Holding]


class Standings:
    """All accounts."""

    def __init__(self, oms: Oms, market: MarketData) -> None:
        self._oms = oms
        self._market = market

    def find(self, principal: Principal, reference: str) -> int:
        """The account of a number or name, for who may see all of it. Raises OmsError."""
        traders = self._oms.traders
        if _NUMBER.fullmatch(reference):
            number = int(reference)
        else:
            number = next((each for each, trader in traders.items() if trader.account.name == reference), 0)
        if number not in traders:
            raise OmsError("account_not_found", "there is no such account")
        self.require(principal, number)
        return number

    def require(self, principal: Principal, account_id: int) -> None:
        """Raises OmsError for who may not see all of the account, also while the database is away."""
        require_read(principal, account_id)
        if strategies_of(principal, account_id):
            text = "this API key is for some strategies only: it may not see the account as a whole"
            raise OmsError("strategy_permission_denied", text)

    def look(self, account_id: int) -> AccountLook:
        return AccountLook(self._oms, self._market, account_id)


class AccountLook:
    """Somebody watches one account, for as long as it is not closed."""

    def __init__(self, oms: Oms, market: MarketData, account_id: int) -> None:
        self._oms = oms
        self._market = market
        self._account_id = account_id
        self._venue: Venue | None = None
        self._inspection: Inspection | None = None
        self._watched: set[tuple[str, str]] = set()  # exchange, symbol

    async def read(self) -> Standing:
        """Raises OmsError."""
        trader = self._oms.trader(self._account_id)
        said = await (await self._inspect(trader)).read()
        if said.holdings is not None:
            return Standing(figures=said.figures, positions=said.holdings)
        positions = await self._positions()
        await self._watch({(trader.account.exchange, each.symbol) for each in positions})
        holdings, worth = self._valued(trader, positions, said.currency)
        balance = said.figures.get("balance")
        equity = None if worth is None or balance is None else rounded(balance + worth)
        figures = {"balance": balance, "equity": equity, **said.figures}
        return Standing(figures=figures, positions={each.ticket: each for each in holdings})

    async def closings(self, tickets: Sequence[int]) -> Mapping[int, Ending]:
        """How positions ended. Raises OmsError."""
        if self._inspection is None:
            return {}
        told = await self._inspection.endings(tickets)
        asked = [ticket for ticket in tickets if ticket not in told]
        try:
            ours = await history.closed_by_ids(self._oms.pool, self._account_id, asked) if asked else {}
        except UNAVAILABLE:
            raise _away() from None
        ended = {
            ticket: Ending(price=None if each.price is None else plain(each.price), profit=plain(each.realized_pnl))
            for ticket, each in ours.items()
        }
        return {**ended, **told}

    async def close(self) -> None:
        watched, self._watched = self._watched, set()
        for each in watched:
            self._market.unwatch(*each)
        await self._leave()

    async def _inspect(self, trader: Trader) -> Inspection:
        """What the account's venue is asked by: another one when the venue is."""
        venue = trader.venue
        if venue is None:
            raise OmsError("exchange_unavailable", "the exchange has not been reached yet", retry_after_ms=RETRY_MS)
        if self._inspection is None or self._venue is not venue:
            await self._leave()
            self._inspection, self._venue = venue.inspect(), venue
        return self._inspection

    async def _leave(self) -> None:
        inspection, self._inspection, self._venue = self._inspection, None, None
        if inspection is not None:
            await inspection.close()

    async def _positions(self) -> list[Position]:
        """Those that are committed: what is only in memory is told to nobody."""
        try:
            return (await streams.open_positions(self._oms.pool, self._account_id, ()))[1]
        except UNAVAILABLE:
            raise _away() from None

    async def _watch(self, wanted: set[tuple[str, str]]) -> None:
        """Have quotes of what is open, and of nothing else."""
        new = wanted - self._watched
        for each in new:
            self._market.watch(*each)
        for each in self._watched - wanted:
            self._market.unwatch(*each)
        self._watched = wanted
        await asyncio.gather(*(self._market.fresh(*each, QUOTE_S) for each in new))

    def _valued(
        self, trader: Trader, positions: Iterable[Position], currency: str
    ) -> tuple[list[Holding], Decimal | None]:
        """Each position, and by how much all of them differ from the balance; None: not everything has a price."""
        holdings = []
        total: Decimal | None = ZERO
        for position in positions:
            mark = mark_of(self._market.quote(trader.account.exchange, position.symbol), position.qty)
            holdings.append(holding_of(position, mark))
            worth = None if mark is None else worth_of(position, mark, _instrument(trader, position.symbol), currency)
            total = None if total is None or worth is None else total + worth
        return holdings, total


def holding_of(position: Position, mark: Decimal | None) -> Holding:
    """A position of ours as who watches is told of it."""
    profit = unrealized(position, mark)
    return Holding(
        ticket=position.id,
        symbol=position.symbol,
        side=Side.BUY if position.qty > 0 else Side.SELL,
        volume=plain(abs(position.qty)),
        price=_maybe(position.entry_price),
        sl=_maybe(position.stop_loss),
        tp=_maybe(position.stop_gain),
        mark=_maybe(mark),
        profit=None if profit is None else rounded(profit + position.realized_pnl),
    )


def mark_of(quote: Quote | None, qty: Decimal) -> Decimal | None:
    """At what it could be closed now; None where nobody can tell."""
    if quote is None or quote.stale:
        return None
    against = quote.bid if qty > 0 else quote.ask
    return quote.last if against is None else against


def worth_of(position: Position, mark: Decimal, instrument: Instrument | None, currency: str) -> Decimal | None:
    """What it adds to a balance in this currency, which has paid for what was bought; None: it is in another one."""
    if instrument is None or position.inverse or instrument.quote != currency:
        return None
    if instrument.spot:
        with localcontext(CONTEXT):
            return position.qty * mark
    return unrealized(position, mark)


def _instrument(trader: Trader, symbol: str) -> Instrument | None:
    """None: the venue does not know it any more."""
    try:
        return None if trader.venue is None else trader.venue.instrument(symbol)
    except OmsError:
        return None


def plain(value: Decimal) -> Decimal:
    """Without the zeros that a column of the database puts behind it."""
    return Decimal(render.number(value))


def rounded(value: Decimal) -> Decimal:
    """To what a column of the database would hold."""
    return plain(value.quantize(AMOUNT_STEP, context=CONTEXT))


def _maybe(value: Decimal | None) -> Decimal | None:
    return None if value is None else plain(value)


def _away() -> OmsError:
    return OmsError("engine_unavailable", "the order database is not available", retry_after_ms=RETRY_MS)
