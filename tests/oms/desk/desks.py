"""A desk of one account on a real database with a scripted venue, for tests of what is built on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from oms.book import AccountBook, Ids
from oms.commands import Request, parse
from oms.desk.desk import Desk
from oms.desk.dispatch import Dispatcher, Handler, Run
from oms.desk.hearing import Hearing
from oms.desk.results import CommandResult
from oms.desk.settling import Settler
from oms.journal import DESK_LOCK, Journal, open_journal
from oms.market import OnQuote
from oms.model import Event, Order, Principal, Quote
from oms.store import history, state
from oms.store.pool import Pool, open_pool
from oms.writes import CommandRow
from tests.oms import full_rows
from tests.oms.desk.scripted_venue import ScriptedVenue
from tests.oms.orders_made import T0_NS

ADMIN = Principal(user_id=1, user_name="anna", api_key_id=1, is_admin=True)


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now_ns = T0_NS

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


class ScriptedMarket:
    """Quotes as a test sets them; without one, none comes."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.quotes: dict[str, Quote] = {}
        self.watched: dict[str, int] = {}
        self._clock = clock
        self._listeners: list[OnQuote] = []

    def set(self, symbol: str, bid: str, ask: str, *, stale: bool = False) -> None:
        quote = Quote(bid=Decimal(bid), ask=Decimal(ask), last=Decimal(bid), t_in_ns=self._clock(), stale=stale)
        self.quotes[symbol] = quote
        for listener in self._listeners:
            listener("sim", symbol, quote)

    def listen(self, on_quote: OnQuote) -> None:
        self._listeners.append(on_quote)

    def quote(self, exchange: str, symbol: str) -> Quote | None:
        return self.quotes.get(symbol)

    def watch(self, exchange: str, symbol: str) -> None:
        self.watched[symbol] = self.watched.get(symbol, 0) + 1

    def unwatch(self, exchange: str, symbol: str) -> None:
        self.watched[symbol] -= 1

    async def fresh(self, exchange: str, symbol: str, timeout_s: float) -> Quote | None:
        return self.quotes.get(symbol)


class Setting:
    """Everything around a desk. `run` is what a client does; `handlers` are those under test."""

    def __init__(
        self, desk: Desk, journal: Journal, venue: ScriptedVenue, market: ScriptedMarket, clock: Clock
    ) -> None:
        self.desk = desk
        self.journal = journal
        self.venue = venue
        self.market = market
        self.clock = clock
        self.hearing = Hearing(desk)
        self.settler = Settler(desk, self.hearing)
        self.events: list[Event] = []
        self.lost = asyncio.Event()
        self.handlers: dict[str, Handler] = {}
        desk.on_doubt = self.settler.doubt

    @property
    def book(self) -> AccountBook:
        return self.desk.book

    def order(self, order_id: int = 1) -> Order:
        return self.book.orders[order_id]

    async def run(self, command: str, *, principal: Principal = ADMIN, **body: Any) -> CommandResult:
        """A command with this payload. `validate` and `request_id` are not of the payload."""
        envelope: dict[str, Any] = {"account_id": 1, "command": command, "payload": body}
        envelope |= {name: body.pop(name) for name in ("validate", "request_id") if name in body}
        (request,) = parse(envelope)
        assert isinstance(request, Request), request
        return await Dispatcher(self.handlers).carry_out(Run(self.desk, principal, request))

    @asynccontextmanager
    async def nothing_written(self) -> AsyncIterator[None]:
        """The database is slow: what is committed meanwhile is durable after this."""
        async with self.desk.pool.acquire() as other, other.transaction():
            await other.execute("LOCK TABLE oms_orders IN EXCLUSIVE MODE")
            yield

    async def journal_lost(self) -> None:
        """The database ends the connection."""
        kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1"
        await self.desk.pool.execute(kill, DESK_LOCK)
        await self.lost.wait()


async def stored_command(pool: Pool, request_id: str) -> CommandRow | None:
    """What the database has of a command of `ADMIN`'s key."""
    asked = ADMIN.api_key_id, request_id
    return (await history.commands_by_requests(pool, [asked])).get(asked)


@asynccontextmanager
async def setting(
    dsn: str, *, clock: Clock | None = None, venue: ScriptedVenue | None = None, **account: Any
) -> AsyncIterator[Setting]:
    """A desk of account 1, which is made when it is not there, with whatever the database has of it."""
    clock = clock or Clock()
    events: list[Event] = []
    lost = asyncio.Event()

    def on_committed(committed: Sequence[Event]) -> None:
        events.extend(committed)

    async with await open_pool(dsn) as pool:
        if not await pool.fetchval("SELECT count(*) FROM accounts"):
            await full_rows.make_account(pool, **account)
        journal = await open_journal(dsn, on_committed=on_committed, on_lost=lambda _: lost.set())
        loaded = await state.load(pool)
        (mine,) = loaded.accounts
        ids = Ids(
            orders=loaded.last_order_id + 1,
            deals=loaded.last_deal_id + 1,
            positions=loaded.last_position_id + 1,
            commands=loaded.last_command_id + 1,
        )
        book = AccountBook(
            mine.account, mine.risk, ids,
            sequences=mine.sequences, orders=mine.orders, deals=mine.deals, positions=mine.positions,
        )  # fmt: skip
        venue, market = venue or ScriptedVenue(), ScriptedMarket(clock)
        desk = Desk(book, ids, journal=journal, venue=venue, market=market, pool=pool, clock_ns=clock)
        made = Setting(desk, journal, venue, market, clock)
        made.events, made.lost = events, lost
        await venue.start(made.hearing)
        try:
            yield made
        finally:
            made.settler.stop()
            await desk.finish(1.0)
            await journal.close()
