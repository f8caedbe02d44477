"""How the desk does as a whole, and its kill switch: is it ready, and what may be sent for all accounts at once.

Holds who may ask and who may stop trading. Must not know what a trading state lets through: that is `oms.risk`'s.
"""

from __future__ import annotations

import msgspec
from litestar import get, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody

from oms import risk, signing
from oms.auth import require_admin
from oms.model import Principal, TradingState
from oms.resources.doors import Asks, Service, refusals
from oms.resources.signatures import IsSigned
from oms.shapes import ReadinessItems, ReadinessShape, TradingShape
from oms.store import admin
from oms.trader import Readiness


class Trading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """active: what each account's own limits allow; reducing: what makes positions smaller; halted: no order."""

    trading_state: TradingState


def routes(service: Service) -> list[HTTPRouteHandler]:
    """What an operator asks and does."""

    @get("/oms/readiness", responses=refusals(), tags=["operating"])
    async def readiness(principal: Asks) -> ReadinessItems:
        """Which of the accounts that may be looked at take commands, and what the others wait for."""
        if not service.is_ready:
            return {"database": False, "items": []}
        return {"database": True, "items": [_shape(row) for row in service.readiness() if _may_read(principal, row)]}

    @get("/oms/trading", responses=refusals(), tags=["operating"])
    async def trading(principal: Asks) -> TradingShape:
        """What may be sent for all accounts at once; for admins."""
        require_admin(principal)
        return {"trading_state": await admin.trading_state(service.pool)}

    @put("/oms/trading", responses=refusals(), tags=["operating"])
    async def change_trading(principal: Asks, data: JSONBody[Trading], is_signed: IsSigned) -> TradingShape:
        """Change it: in force for every account once this is answered. Cancelling stays allowed. For admins.

        Signed, where it lets more through and some account takes signed commands only.
        """
        require_admin(principal)
        state = data.trading_state
        who = {"user_id": principal.user_id, "api_key_id": principal.api_key_id}
        async with service.pool.acquire() as db, db.transaction():
            is_eased = risk.eases(await admin.trading_state_to_change(db), state)
            if is_eased and not is_signed and await admin.requires_signing_anywhere(db):
                raise signing.required()
            await admin.set_trading_state(db, state)
            await admin.audit(db, "trading.change", "all accounts", {"trading_state": state}, **who)
        await service.changed()
        return {"trading_state": state}

    return [readiness, trading, change_trading]


def _may_read(principal: Principal, row: Readiness) -> bool:
    permission = principal.permissions.get(row.account_id)
    return principal.is_admin or (permission is not None and permission.can_read)


def _shape(row: Readiness) -> ReadinessShape:
    return {
        "account_id": row.account_id,
        "ready": row.obstacle is None,
        "connected": row.connected,
        "reconciled": row.reconciled,
        "obstacle": row.obstacle,
    }
