"""Commands that were running when the process ended: answered by what their orders have become, and never done again.

Must not know how a command is carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from oms.auth import principal_of
from oms.commands import CancelAllOrders, CancelOrder, ChangeOrder, Request, parse
from oms.desk import fates
from oms.desk.desk import Desk
from oms.desk.dispatch import Dispatcher, Run
from oms.desk.orders import Orders
from oms.desk.results import CommandResult, Outcome
from oms.errors import OmsError
from oms.model import Order, Principal
from oms.store import admin, history
from oms.writes import CommandRow

log = structlog.get_logger(__name__)

UNREADABLE = "unreadable"  # stands for a command of which only its row is known


async def recover(row: CommandRow, desk: Desk, orders: Orders, dispatcher: Dispatcher) -> CommandResult:
    """The answer, stored as if it had been given then; waits until nothing of the order is in doubt."""
    run = _run_of(row, desk)
    wanted = run.payload
    if isinstance(wanted, ChangeOrder) and wanted.order_id in desk.book.orders:
        desk.expect(wanted.order_id, wanted.new_price, wanted.new_qty)
    ids = await _several(row, run, desk)
    if ids is None:
        outcome = _outcome(run, row.command, await _order_of(row.order_id, desk, orders))
    else:
        run.principal = await _who(run.principal, desk)
        ends = await asyncio.gather(*(_canceled(each, run, desk, orders) for each in ids))
        outcome = fates.together(dict(zip(ids, ends, strict=True)))
    log.info("command of a process that ended", command_id=row.id, command=row.command, order_id=row.order_id)
    return await dispatcher.finish(run, outcome)


async def _who(nobody: Principal, desk: Desk) -> Principal:
    """Who asked, with what its key may do by now."""
    found = [key for key in await admin.api_keys(desk.pool) if key.id == nobody.api_key_id]
    return principal_of(found[0], None, found[0].scopes) if found else nobody


def _run_of(row: CommandRow, desk: Desk) -> Run:
    (request,) = parse({"account_id": row.account_id, "command": row.command, "payload": row.payload})
    if not isinstance(request, Request):
        # Of another version, or changed by hand: its order says what became of it all the same.
        log.error("a stored command cannot be read", command_id=row.id, command=row.command, error=request.message)
        request = Request(
            account_id=row.account_id, command=UNREADABLE, payload=CancelAllOrders(), plain={}, hash=row.payload_hash
        )
    nobody = Principal(user_id=0, user_name="", api_key_id=row.api_key_id)
    run = Run(desk, nobody, request)
    run.row = row
    return run


async def _order_of(order_id: int | None, desk: Desk, orders: Orders) -> Order | None:
    if order_id is None:
        return None
    if order_id in desk.book.orders:
        return await orders.settled(order_id)
    return (await history.orders_by_ids(desk.pool, [order_id])).get(order_id)


async def _several(row: CommandRow, run: Run, desk: Desk) -> Sequence[int] | None:
    """The orders that it was to cancel, each for itself; None: it is about one order at most."""
    wanted = run.payload
    if isinstance(wanted, CancelOrder) and len(wanted.ids) > 1:
        return wanted.ids
    if not isinstance(wanted, CancelAllOrders) or run.request.command == UNREADABLE:
        return None
    strategies = frozenset(wanted.strategy_ids)
    return [
        order.id
        for order in await history.orders_open_at(desk.pool, row.account_id, row.created_ns)
        if (not strategies or order.strategy_id in strategies) and wanted.symbol in {None, order.symbol}
    ]


async def _canceled(order_id: int, run: Run, desk: Desk, orders: Orders) -> Outcome:
    """What became of one of several. Who asked is told of it what a cancel tells: nothing of what it may not see."""
    try:
        await run.order(order_id, run.require_close)
    except OmsError as error:
        return Outcome(order_id=order_id, error=error)
    order = await _order_of(order_id, desk, orders)
    assert order is not None
    return fates.of_cancel(order)


def _outcome(run: Run, command: str, order: Order | None) -> Outcome:
    if order is None:
        if command in {"cancel_order", "cancel_all_orders"}:  # one that cannot be read
            text = "the process ended while this ran: see what is still open"
            return Outcome(error=OmsError("outcome_unknown", text))
        return Outcome(error=OmsError("engine_unavailable", "the process ended before this was done: nothing was sent"))
    if command == "cancel_order":
        return fates.of_cancel(order)
    if command == "change_order":
        is_read = run.request.command != UNREADABLE
        return fates.of_change(order, changed=is_read and fates.has_terms(order, run.payload))
    return fates.of_send(order)
