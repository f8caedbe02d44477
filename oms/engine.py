"""All accounts between becoming the one writer of a database and letting go of it, or losing it.

What is in memory is as good as the connection it was loaded over: when that is lost an engine is thrown away, and the
next one loads anew. Must not know when that happens (`service`), nor what a trader does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from oms.alerts.service import AlertLimits, Alerts
from oms.book import AccountBook, Ids
from oms.commands import Request
from oms.desk.dispatch import Run
from oms.desk.requests import Requests, RunningMax
from oms.desk.results import CommandResult
from oms.errors import OmsError
from oms.journal import Journal, open_journal
from oms.market import MarketData
from oms.model import Account, Event, Principal, Quote, TradingState
from oms.payloads import Payloads
from oms.store import admin, alerts, state
from oms.store.pool import Pool
from oms.store.state import Loaded, LoadedAccount
from oms.trader import Trader
from oms.vault import Vault
from oms.venues.base import Venue

log = structlog.get_logger(__name__)

VenueOf = Callable[[Account, Mapping[str, Any]], Venue]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is made of, and outlives it."""

    dsn: str
    pool: Pool
    market: MarketData
    payloads: Payloads
    vault: Vault
    venue_of: VenueOf
    wait_s: float = 10.0  # how long whoever sends a command waits for its end
    running_max: RunningMax = RunningMax()
    alert_limits: AlertLimits = AlertLimits()
    clock_ns: Callable[[], int] = time.time_ns


class Engine:
    """See the module. `lost` is set when the database is gone."""

    def __init__(self, parts: Parts) -> None:
        self.lost = asyncio.Event()
        self.traders: dict[int, Trader] = {}
        self.requests = Requests(
            parts.pool,
            run_of=self._run, carry_out=self._carry_out, wait_s=parts.wait_s, running_max=parts.running_max,
        )  # fmt: skip
        self.alerts = Alerts(parts.market, parts.pool, parts.alert_limits, lambda number: self.trader(number).desk)
        self._parts = parts
        self._ids = Ids()
        self._journal: Journal | None = None
        self._everywhere = TradingState.ACTIVE
        self._sealed: dict[int, bytes | None] = {}  # credentials, as they were when the venue was made
        self._refreshing = asyncio.Lock()
        self._stopped = False

    async def start(self, on_committed: Callable[[Sequence[Event]], None], *, wait_s: float | None = None) -> None:
        """Become the one writer, load, and open the venues in the background. Raises OmsError; `wait_s`: see
        `open_journal`."""
        self._journal = await open_journal(
            self._parts.dsn, on_committed=on_committed, on_lost=self._on_lost, wait_s=wait_s
        )
        try:
            loaded = await state.load(self._parts.pool)
            self._ids = _ids_after(loaded)
            strategies = await self._strategies()
            await self._read_kill_switch()
            for account in loaded.accounts:
                self._add(account, strategies.get(account.account.id, frozenset()))
            self.alerts.load(await alerts.every(self._parts.pool))
        except BaseException:
            await self._journal.close()
            raise
        for row in loaded.running:
            self.requests.resume(row, self.traders[row.account_id].recovered(row))
        for trader in self.traders.values():
            trader.start()

    async def stop(self, timeout_s: float) -> None:
        """Let what is under way end, in this time, and let go of everything."""
        self.alerts.stop()
        await self.requests.close(timeout_s)
        async with self._refreshing:
            self._stopped = True
        ends = await asyncio.gather(*(each.stop(timeout_s) for each in self.traders.values()), return_exceptions=True)
        for error in ends:
            if error is not None:
                log.error("account could not be stopped in order", exc_info=error)
        if self._journal is not None:
            await self._journal.close()

    def trader(self, account_id: int) -> Trader:
        """Raises OmsError `account_not_found`."""
        trader = self.traders.get(account_id)
        if trader is None:
            raise OmsError("account_not_found", "there is no such account", details={"account_id": account_id})
        return trader

    def on_quote(self, exchange: str, symbol: str, quote: Quote) -> None:
        """The market has moved."""
        for trader in self.traders.values():
            if trader.account.exchange == exchange:
                trader.stops.on_quote(exchange, symbol, quote)
        self.alerts.on_quote(exchange, symbol, quote)

    async def refresh(self) -> None:
        """Take over whatever was changed in the database about accounts, limits and strategies."""
        async with self._refreshing:
            if self._stopped:
                return
            await self._read_kill_switch()
            strategies = await self._strategies()
            for account in await admin.accounts(self._parts.pool):
                mine = strategies.get(account.id, frozenset())
                trader = self.traders.get(account.id)
                if trader is not None:
                    risk = await admin.risk(self._parts.pool, account.id)
                    trader.take_over(account, risk or trader.desk.book.risk, mine)
                    sealed = await admin.credentials(self._parts.pool, account.id)
                    if sealed != self._sealed.get(account.id, sealed):
                        await trader.reopen()
                elif (loaded := await state.load_account(self._parts.pool, account.id)) is not None:
                    self._add(loaded, mine).start()

    # What refers to one command

    def _run(self, principal: Principal, request: Request) -> Run:
        return Run(self.trader(request.account_id).desk, principal, request)

    async def _carry_out(self, run: Run) -> CommandResult:
        return await self.trader(run.request.account_id).dispatcher.carry_out(run)

    # Accounts

    def _add(self, loaded: LoadedAccount, strategies: frozenset[int]) -> Trader:
        assert self._journal is not None
        book = AccountBook(
            loaded.account, loaded.risk, self._ids,
            sequences=loaded.sequences, orders=loaded.orders, deals=loaded.deals, positions=loaded.positions,
        )  # fmt: skip
        parts = self._parts
        trader = Trader(
            book,
            self._ids,
            journal=self._journal,
            make_venue=lambda: self._venue_of(loaded.account),
            market=parts.market,
            pool=parts.pool,
            payloads=parts.payloads,
            everywhere=lambda: self._everywhere,
            clock_ns=parts.clock_ns,
        )
        trader.desk.strategies = strategies
        self.traders[loaded.account.id] = trader
        return trader

    async def _venue_of(self, account: Account) -> Venue:
        sealed = self._sealed[account.id] = await admin.credentials(self._parts.pool, account.id)
        opened: Mapping[str, Any] = self._parts.vault.open(account.id, sealed) if sealed is not None else {}
        return self._parts.venue_of(account, opened)

    async def _strategies(self) -> dict[int, frozenset[int]]:
        mine: dict[int, set[int]] = {}
        for strategy in await admin.strategies(self._parts.pool):
            mine.setdefault(strategy.account_id, set()).add(strategy.id)
        return {account_id: frozenset(ids) for account_id, ids in mine.items()}

    async def _read_kill_switch(self) -> None:
        self._everywhere = await admin.trading_state(self._parts.pool)

    def _on_lost(self, error: Exception) -> None:
        log.error("the order database is lost", error=str(error) or type(error).__name__)
        self.lost.set()


def _ids_after(loaded: Loaded) -> Ids:
    return Ids(
        orders=loaded.last_order_id + 1,
        deals=loaded.last_deal_id + 1,
        positions=loaded.last_position_id + 1,
        commands=loaded.last_command_id + 1,
    )
