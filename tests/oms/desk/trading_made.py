"""A desk with the handlers of orders, and the ways in which tests of them ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from oms.desk.changing import Changing
from oms.desk.orders import Orders
from oms.desk.results import CommandResult
from tests.oms.desk.desks import Setting, setting

ORDINARY = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "1", "price": "100"}


@asynccontextmanager
async def trading(dsn: str, **account: Any) -> AsyncIterator[Setting]:
    """See the module."""
    async with setting(dsn, **account) as made:
        orders = Orders(made.desk, made.hearing, made.settler)
        changing = Changing(made.desk, made.hearing, made.settler, orders)
        made.handlers.update(orders.handlers | changing.handlers)
        yield made


async def send(made: Setting, **changes: Any) -> CommandResult:
    """An order like most: what is given as None is left out."""
    body = {**ORDINARY, **changes}
    return await made.run("send_order", **{name: value for name, value in body.items() if value is not None})


def code(result: CommandResult) -> str | None:
    return result.error["code"] if result.error else None
