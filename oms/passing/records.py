"""What the OMS knows of an account, read for ccxt's functions: orders, trades and positions, as their own structures.

Holds what ccxt's `since`, `limit` and `until` mean for them. Must not know how anything is created, nor SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import structs

from oms.auth import may_see, require_close, strategies_of
from oms.desk.dispatch import allowed
from oms.errors import OmsError
from oms.model import TERMINAL, ZERO, Deal, Instrument, Order, OrderState, Position, Principal
from oms.passing import structures
from oms.passing.arguments import CHECKS, TIME_MS_MAX, bad
from oms.passing.calls import Access, Call
from oms.passing.structures import Structure
from oms.store import history
from oms.store.history import PAGE_MAX, Filter

if TYPE_CHECKING:
    from oms.service import Oms

Row = TypeVar("Row", Order, Deal, Position)

LIMIT: Final = 500  # rows, unless the caller says how many
ID_DIGITS_MAX: Final = 18
MS_NS: Final = 1_000_000
OPEN: Final = frozenset(OrderState) - TERMINAL
CANCELED: Final = frozenset({OrderState.CANCELED})
STATES: Final[Mapping[str, frozenset[OrderState]]] = {
    "fetch_orders": frozenset(OrderState),
    "fetch_open_orders": OPEN,
    "fetch_closed_orders": frozenset({OrderState.FILLED}),
    "fetch_canceled_orders": CANCELED,
    "fetch_canceled_and_closed_orders": CANCELED | {OrderState.FILLED},
}


def id_of(text: str) -> int:
    """An id of ours. Raises OmsError for one of somebody else."""
    if not text.isascii() or not text.isdigit() or len(text) > ID_DIGITS_MAX:
        raise not_found(text)
    return int(text)


def not_found(name: object) -> OmsError:
    return OmsError("order_not_found", f"there is no order {name}", details={"exception": "OrderNotFound"})


def may_close(principal: Principal, account_id: int, strategy_id: int) -> bool:
    """Whether it may at least be closed or taken back. Raises OmsError for who may do so with nothing."""
    return allowed(lambda strategy: require_close(principal, account_id, strategy), strategy_id)


class Records:
    """Of all accounts, for one who may read."""

    def __init__(self, oms: Oms) -> None:
        self._oms = oms

    async def answer(self, principal: Principal, account_id: int, call: Call) -> Any:
        """Raises OmsError."""
        if call.name in STATES:
            return await self._orders(principal, account_id, call, STATES[call.name])
        if call.name == "fetch_my_trades":
            return await self._my_trades(principal, account_id, call)
        if "position" in call.name:
            return await self._positions(principal, account_id, call)
        row = await self.order_named(principal, account_id, call)
        if call.name == "fetch_order_trades":
            return await self._order_trades(row, call)
        (told,) = await self.told(account_id, [row])
        _check_status(call.name, told)
        return told["status"] if call.name == "fetch_order_status" else told

    async def order_named(self, principal: Principal, account_id: int, call: Call) -> Order:
        """The order that a call is about: what one has nothing to do with is not there. Raises OmsError."""
        name = call.arguments.get("clientOrderId") or call.arguments["params"].get("clientOrderId")
        row: Order | None
        if (number := call.arguments.get("id")) is not None:
            row = (await history.orders_by_ids(self._oms.pool, [id_of(number)])).get(id_of(number))
        elif name is None:
            raise bad("id", "is needed, or a clientOrderId in params", "ArgumentsRequired")
        else:
            text = CHECKS["clientOrderId"]("clientOrderId", name)
            row = await history.order_by_client_id(self._oms.pool, account_id, text)
        may = may_close if call.function.access is Access.TRADE else may_see
        if row is None or row.account_id != account_id or not may(principal, account_id, row.strategy_id):
            raise not_found(number or name)
        return row

    async def told(self, account_id: int, rows: Sequence[Order]) -> list[Structure]:
        """Orders with what their deals say."""
        deals = await history.deals_of_orders(self._oms.pool, [row.id for row in rows])
        instrument = self._instruments(account_id)
        return [structures.order(row, deals.get(row.id, ()), instrument(row.symbol)) for row in rows]

    async def told_by_ids(self, principal: Principal, account_id: int, ids: Sequence[int]) -> list[Structure]:
        """The same of those that are the account's. Who may not see one is told its id, and no more."""
        found = await history.orders_by_ids(self._oms.pool, ids)
        mine = [row for number in ids if (row := found.get(number)) is not None and row.account_id == account_id]
        seen = [row for row in mine if may_see(principal, account_id, row.strategy_id)]
        told = {each["id"]: each for each in await self.told(account_id, seen)}
        return [told.get(str(row.id)) or {"id": str(row.id), "info": {}} for row in mine]

    # Orders and trades

    async def _orders(
        self, principal: Principal, account_id: int, call: Call, states: frozenset[OrderState]
    ) -> list[Structure]:
        rows = await _pages(
            call, _filter(principal, account_id, call), lambda page: history.orders_in(self._oms.pool, page, states)
        )
        return await self.told(account_id, rows)

    async def _my_trades(self, principal: Principal, account_id: int, call: Call) -> list[Structure]:
        rows = await _pages(
            call, _filter(principal, account_id, call), lambda page: history.deals(self._oms.pool, page)
        )
        orders = await history.orders_by_ids(self._oms.pool, {row.order_id for row in rows})
        return self._trades(account_id, rows, orders)

    async def _order_trades(self, row: Order, call: Call) -> list[Structure]:
        deals = (await history.deals_of_orders(self._oms.pool, [row.id])).get(row.id, [])
        return _limited(call, self._trades(row.account_id, deals, {row.id: row}))

    def _trades(self, account_id: int, rows: Iterable[Deal], orders: Mapping[int, Order]) -> list[Structure]:
        instrument = self._instruments(account_id)
        told = [structures.trade(row, orders.get(row.order_id), instrument(row.symbol)) for row in joined(rows)]
        return sorted(told, key=lambda each: each["timestamp"])

    # Positions

    async def _positions(self, principal: Principal, account_id: int, call: Call) -> Any:
        symbol = call.arguments.get("symbol")
        symbols = [symbol] if symbol is not None else call.arguments.get("symbols")
        is_open = "history" not in call.name
        wanted = _filter(principal, account_id, call)
        rows = await _pages(
            call, wanted, lambda page: history.positions(self._oms.pool, page, is_open=is_open),
            keep=lambda row: not symbols or row.symbol in symbols,
        )  # fmt: skip
        prices = await asyncio.gather(*(self._mark_price(row) for row in rows)) if is_open else [None] * len(rows)
        told = [structures.position(row, price) for row, price in zip(rows, prices, strict=True)]
        if call.name == "fetch_position":
            return told[0] if told else structures.no_position(call.arguments["symbol"])
        return told

    async def _mark_price(self, row: Position) -> Decimal | None:
        """What it could be closed at, by a quote that is not stale; the first one of a market is waited for."""
        quote = await self._oms.trader(row.account_id).desk.quote(row.symbol)
        if quote is None or quote.stale:
            return None
        return quote.bid if row.qty > 0 else quote.ask

    def _instruments(self, account_id: int) -> Callable[[str], Instrument | None]:
        """What is traded, as far as the exchange was heard."""
        desk = self._oms.trader(account_id).desk

        def instrument(symbol: str) -> Instrument | None:
            try:
                return desk.venue.instrument(symbol)
            except OmsError:
                return None

        return instrument


def joined(deals: Iterable[Deal]) -> list[Deal]:
    """With those of one execution in one: a fill that turns a position is booked as two deals, and was one trade."""
    executions: dict[tuple[int, str], Deal] = {}
    for deal in deals:
        key = deal.order_id, deal.exchange_trade_id
        first = executions.get(key)
        executions[key] = deal if first is None else _both(first, deal)
    return list(executions.values())


def _both(first: Deal, second: Deal) -> Deal:
    more = {
        currency: first.more_fees.get(currency, ZERO) + second.more_fees.get(currency, ZERO)
        for currency in {**first.more_fees, **second.more_fees}
    }
    return structs.replace(
        first, qty=first.qty + second.qty, fee=first.fee + second.fee, more_fees=more,
        realized_pnl=first.realized_pnl + second.realized_pnl,
    )  # fmt: skip


def _check_status(name: str, told: Structure) -> None:
    """fetchOpenOrder finds no order that is over, and the other way round."""
    is_open = told["status"] == "open"
    if (name == "fetch_open_order" and not is_open) or (name == "fetch_closed_order" and is_open):
        raise not_found(f"{told['id']} that is {'open' if not is_open else 'closed'}")


def _filter(principal: Principal, account_id: int, call: Call) -> Filter:
    """From `since` on, the oldest first; without it, the newest first."""
    given, params = call.arguments, call.arguments["params"]
    since, until, strategy_id = given.get("since"), params.get("until"), params.get("strategy_id")
    for name, value in (("until", until), ("strategy_id", strategy_id)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TIME_MS_MAX
        ):
            raise bad(f"params.{name}", "an integer of 0 or more")
    return Filter(
        accounts={account_id: strategies_of(principal, account_id)},
        strategy_id=strategy_id,
        symbol=given.get("symbol"),
        from_ns=None if since is None else since * MS_NS,
        to_ns=None if until is None else min(until + 1, TIME_MS_MAX) * MS_NS,
        newest_first=since is None,
    )


async def _pages(
    call: Call,
    wanted: Filter,
    read: Callable[[Filter], Awaitable[list[Row]]],
    keep: Callable[[Row], bool] = lambda row: True,
) -> list[Row]:
    """As many rows as are asked for, in the order of their ids.

    Each page begins where the one before it ended: what comes or goes meanwhile moves no row over its edge.
    """
    most = call.arguments.get("limit") or LIMIT
    found: list[Row] = []
    page = structs.replace(wanted, page_size=PAGE_MAX)
    while len(found) < most:
        rows = await read(page)
        found += [row for row in rows if keep(row)]
        if len(rows) < PAGE_MAX:
            break
        last = rows[-1].id
        page = structs.replace(page, before_id=last) if wanted.newest_first else structs.replace(page, after_id=last)
    return sorted(found[:most], key=lambda row: row.id)


def _limited(call: Call, told: list[Structure]) -> list[Structure]:
    since, limit = call.arguments.get("since"), call.arguments.get("limit")
    late = [each for each in told if since is None or each["timestamp"] >= since]
    return late if limit is None else late[:limit] if since is not None else late[-limit:]
