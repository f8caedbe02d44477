"""Reconciliation and reassignment over HTTP: compare with the venue, see what came of it, give away what it found.

Holds who may ask. Must not know how a comparison is made.
"""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from oms import render
from oms.auth import require_read, require_trade
from oms.errors import OmsError
from oms.resources.doors import Asks, Service, refusals
from oms.shapes import Reassigned, ReconciliationShape
from oms.store import progress

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
        """The last comparison of an account with its venue."""
        require_read(principal, account_id)
        return await _last(service, account_id)

    @post("/oms/reassign", status_code=200, responses=refusals(409), tags=["reconciliation"])
    async def reassign(principal: Asks, data: JSONBody[Reassign]) -> Reassigned:
        """Give orders and positions to a strategy; from then on they net with what it has."""
        if not data.order_ids and not data.position_ids:
            raise OmsError("validation_error", "order_ids: name orders or positions", details={"field": "order_ids"})
        require_trade(principal, data.account_id, data.strategy_id)
        orders, positions = await service.reassign(
            principal, data.account_id, data.strategy_id, order_ids=data.order_ids, position_ids=data.position_ids
        )
        return Reassigned(
            orders=[render.order_data(order) for order in orders],
            positions=[render.position_data(position) for position in positions],
        )

    return [reconcile, status, reassign]


async def _last(service: Service, account_id: int) -> ReconciliationShape:
    last = await progress.last_reconciliation(service.pool, account_id)
    if last is None:
        return {
            "account_id": account_id,
            "cause": None,
            "status": "never",
            "report": {},
            "started_at": None,
            "finished_at": None,
        }
    return {
        "account_id": account_id,
        "cause": last.cause,
        "status": last.status,
        "report": dict(last.report),
        "started_at": render.moment(last.started_ns),
        "finished_at": None if last.finished_ns is None else render.moment(last.finished_ns),
    }
