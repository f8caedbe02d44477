"""Commands that were running when the process ended: answered by what their orders have become, and never done again.

Must not know how a command is carried out.
"""

from __future__ import annotations

import structlog

from oms.commands import CancelAllOrders, ChangeOrder, Request, parse
from oms.desk import fates
from oms.desk.desk import Desk
from oms.desk.dispatch import Dispatcher, Run
from oms.desk.orders import Orders
from oms.desk.results import CommandResult, Outcome
from oms.errors import OmsError
from oms.model import Order, Principal
from oms.store import history
from oms.writes import CommandRow

log = structlog.get_logger(__name__)

UNREADABLE = "unreadable"  # stands for a command of which only its row is known


async def recover(row: CommandRow, desk: Desk, orders: Orders, dispatcher: Dispatcher) -> CommandResult:
    """The answer, stored as if it had been given then; waits until nothing of the order is in doubt."""
    run = _run_of(row, desk)
    wanted = run.payload
    if isinstance(wanted, ChangeOrder) and wanted.new_qty is not None and wanted.order_id in desk.book.orders:
        desk.expect(wanted.order_id, wanted.new_qty)
    order = await _order_of(row, desk, orders)
    outcome = _outcome(run, row.command, order)
    log.info("command of a process that ended", command_id=row.id, command=row.command, order_id=row.order_id)
    return await dispatcher.finish(run, outcome)


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


async def _order_of(row: CommandRow, desk: Desk, orders: Orders) -> Order | None:
    if row.order_id is None:
        return None
    if row.order_id in desk.book.orders:
        return await orders.settled(row.order_id)
    return (await history.orders_by_ids(desk.pool, [row.order_id])).get(row.order_id)


def _outcome(run: Run, command: str, order: Order | None) -> Outcome:
    if order is None:
        if command in {"cancel_order", "cancel_all_orders"}:
            return Outcome(
                error=OmsError("outcome_unknown", "the process ended while this ran: see what is still open")
            )
        return Outcome(error=OmsError("engine_unavailable", "the process ended before this was done: nothing was sent"))
    if command == "cancel_order":
        return fates.of_cancel(order)
    if command == "change_order":
        is_read = run.request.command != UNREADABLE
        return fates.of_change(order, changed=is_read and fates.has_terms(order, run.payload))
    return fates.of_send(order)
