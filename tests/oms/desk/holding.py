"""A desk that holds positions, for tests of what is done about them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from oms.desk.orders import Orders
from oms.desk.positions import Positions
from oms.desk.results import CommandResult
from oms.model import Permission, Position, Principal
from oms.store import state
from tests.oms.desk.desks import Clock, Setting, setting
from tests.waiting import until

SYMBOL = "BTC/USDT"


class Holding:
    """A desk with orders and positions on it."""

    def __init__(self, made: Setting) -> None:
        self.made = made
        self.desk, self.book, self.venue, self.market, self.clock = (
            made.desk, made.book, made.venue, made.market, made.clock,
        )  # fmt: skip
        self.orders = Orders(made.desk, made.hearing, made.settler)
        self.positions = Positions(made.desk, self.orders)
        made.handlers |= {**self.orders.handlers, **self.positions.handlers}

    async def trade(self, side: str, qty: str, **body: Any) -> int:
        """A limit order that fills at once at its price; its position."""
        self.venue.fill_on_place.append(Decimal(qty))
        before = len(self.made.events)
        sent = await self.run(
            "send_order", symbol=SYMBOL, side=side, order_type="limit", qty=qty, **{"price": "100", **body}
        )
        assert sent.ok, sent
        assert sent.order_id is not None
        order_id = sent.order_id
        await until(lambda: not self.book.orders[order_id].is_open)
        await until(lambda: any(event.event == "deal_created" for event in self.made.events[before:]))
        return max(self.book.positions)

    async def run(self, command: str, **body: Any) -> CommandResult:
        return await self.made.run(command, **body)

    async def refusal(self, command: str, **body: Any) -> str:
        """The code with which a command is refused."""
        result = await self.run(command, **body)
        assert result.error is not None, result
        return str(result.error["code"])

    async def stored(self) -> dict[int, Position]:
        """The open positions that the database has, once it has everything."""
        await self.desk.commit()
        (account,) = (await state.load(self.desk.pool)).accounts
        return {position.id: position for position in account.positions}

    def told(self, event: str) -> list[bytes]:
        """What was told of under this name."""
        return [each.data for each in self.made.events if each.event == event]


@asynccontextmanager
async def holding(dsn: str, *, clock: Clock | None = None, **account: Any) -> AsyncIterator[Holding]:
    async with setting(dsn, clock=clock, **account) as made:
        made.market.set(SYMBOL, "99", "101")
        yield Holding(made)


def key(*strategies: int, **may: bool) -> Principal:
    """Somebody who may do this on account 1, with these strategies (none: with all)."""
    permission = Permission(account_id=1, strategies=frozenset(strategies), **may)
    return Principal(user_id=3, user_name="eve", api_key_id=3, permissions={1: permission})
