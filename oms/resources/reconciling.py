"""Reconciliation and reassignment over HTTP: compare with the venue, see what came of it, give away what it found.

Holds who may ask. Must not know how a comparison is made.
"""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from oms import render
from oms.auth import require_trade, strategies_of
from oms.errors import OmsError
from oms.model import Principal
from oms.resources.doors import Asks, Service, refusals
from oms.resources.signatures import IsSigned
from oms.shapes import Reassigned, ReconciliationPage, ReconciliationRow, ReconciliationShape
from oms.store import progress
from oms.store.history import PAGE_MAX

Number = Annotated[int, Meta(ge=1, le=10**18 - 1)]
NumberOrZero = Annotated[int, Meta(ge=0, le=10**18 - 1)]
AccountId = Annotated[int, PathParameter(ge=1, le=10**18 - 1)]


class Reconcile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    account_id: Number


class Reassign(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Orders and positions of the account, such as those that came to be without us; strategy 0 is none."""

    account_id: Number
    strategy_id: NumberOrZero
    order_ids: Annotated[list[Number], Meta(max_length=200)] = []
    position_ids: Annotated[list[Number], Meta(max_length=200)] = []


def routes(service: Service) -> list[HTTPRouteHandler]:
    """All that has to do with what came to be at the venue."""

    @post("/oms/reconcile", status_code=200, responses=refusals(502), tags=["reconciliation"])
    async def reconcile(principal: Asks, data: JSONBody[Reconcile]) -> ReconciliationShape:
        """Compare an account with its venue now, and answer what came of it."""
        require_trade(principal, data.account_id, None)
        await service.reconcile(data.account_id)
        return await _last(service, data.account_id)

    @get("/oms/reconcile/{account_id:int}/status", responses=refusals(), tags=["reconciliation"])
    async def status(principal: Asks, account_id: AccountId) -> ReconciliationShape:
        """The last comparison of an account with its venue that has ended, and whether one is under way."""
        _require_whole(principal, account_id)
        return await _last(service, account_id)

    @get("/oms/reconcile/{account_id:int}/history", responses=refusals(), tags=["reconciliation"])
    async def past(
        principal: Asks,
        account_id: AccountId,
        before_id: Annotated[int | None, QueryParameter(name="before_id", ge=1, le=10**18 - 1)] = None,
        page_size: Annotated[int, QueryParameter(name="page_size", ge=1, le=PAGE_MAX)] = 100,
    ) -> ReconciliationPage:
        """The comparisons of an account with its venue in the last 30 days, the newest first."""
        _require_whole(principal, account_id)
        rows = await progress.reconciliations(service.pool, account_id, before_id=before_id, limit=page_size)
        is_full = len(rows) == page_size
        return {"items": [_row(row) for row in rows], "next_before_id": rows[-1].id if is_full else None}

    @post("/oms/reassign", status_code=200, responses=refusals(409), tags=["reconciliation"])
    async def reassign(principal: Asks, data: JSONBody[Reassign], is_signed: IsSigned) -> Reassigned:
        """Give orders and positions to a strategy; from then on they net with what it has.

        Signed, where the account takes signed commands only.
        """
        if not data.order_ids and not data.position_ids:
            raise OmsError("validation_error", "order_ids: name orders or positions", details={"field": "order_ids"})
        require_trade(principal, data.account_id, data.strategy_id)
        if not is_signed:
            service.require_unsigned(principal, data.account_id)
        orders, positions = await service.reassign(
            principal, data.account_id, data.strategy_id, order_ids=data.order_ids, position_ids=data.position_ids
        )
        return Reassigned(
            orders=[render.order_data(order) for order in orders],
            positions=[render.position_data(position) for position in positions],
        )

    return [reconcile, status, past, reassign]


def _require_whole(principal: Principal, account_id: int) -> None:
    """May look at all of the account: what a comparison finds is of all strategies, and of what is held in all."""
    if strategies_of(principal, account_id):
        raise OmsError(
            "strategy_permission_denied",
            "a comparison is of the whole account, and this API key is for some of its strategies",
        )


async def _last(service: Service, account_id: int) -> ReconciliationShape:
    running = await progress.running_reconciliation(service.pool, account_id)
    last = await progress.last_reconciliation(service.pool, account_id)  # later, so that none is missed in between
    return {
        "account_id": account_id,
        "cause": last.cause if last else None,
        "status": last.status if last else "never",
        "report": dict(last.report) if last else {},
        "started_at": render.moment(last.started_ns) if last else None,
        "finished_at": _when(last.finished_ns) if last else None,
        "running_since": render.moment(running.started_ns) if running else None,
    }


def _row(row: progress.Reconciliation) -> ReconciliationRow:
    return {
        "id": row.id,
        "account_id": row.account_id,
        "cause": row.cause,
        "status": row.status,
        "report": dict(row.report),
        "started_at": render.moment(row.started_ns),
        "finished_at": _when(row.finished_ns),
    }


def _when(time_ns: int | None) -> str | None:
    return None if time_ns is None else render.moment(time_ns)
