"""Alerts over HTTP: list them, make one, arm one again, delete one.

Holds what may be asked for. Must not know when a rule is met, nor who is told.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from oms import render
from oms.alerts.rules import WINDOWS_S
from oms.alerts.service import NewAlert
from oms.auth import require_read
from oms.model import Alert, AlertState, AlertType, Principal
from oms.resources.doors import Asks, Service, refusals
from oms.shapes import AlertPage, AlertShape
from oms.store import admin, alerts
from oms.store.history import PAGE_MAX

AccountId = Annotated[int, Meta(ge=1, le=10**18 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
RequestId = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Price = Annotated[str, Meta(pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,18})?\Z")]
Percent = Annotated[str, Meta(pattern=r"^-?[0-9]{1,6}(\.[0-9]{1,6})?\Z", description="A fall is below 0.")]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key", min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]*\Z",
        description="The request_id, where the body has none.",
    ),
]  # fmt: skip
Window = Literal[60, 300, 900, 3_600, 14_400, 86_400]
AlertId = Annotated[int, PathParameter(ge=1, le=10**18 - 1)]

assert Window.__args__ == WINDOWS_S  # type: ignore[attr-defined]  # a Literal's values, for the document


class Alarm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`price` of above, below and crosses; `percent` and `window_s` of percent_change. The exchange is the account's
    unless named; a `request_id` makes one alert only; without `message` a sentence is made."""

    account_id: AccountId
    symbol: Name
    type: AlertType
    exchange: Name | None = None
    price: Price | None = None
    percent: Percent | None = None
    window_s: Window | None = None
    message: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")] = ""
    request_id: RequestId | None = None


def routes(service: Service) -> list[HTTPRouteHandler]:
    """Everything about alerts."""

    @get("/api/alerts", responses=refusals(), tags=["alerts"])
    async def listed(
        principal: Asks,
        account_id: Annotated[int | None, QueryParameter(name="account_id", ge=1, le=10**18 - 1)] = None,
        state_: Annotated[Literal["armed", "triggered"] | None, QueryParameter(name="state")] = None,
        symbol: Annotated[
            str | None, QueryParameter(name="symbol", min_length=1, max_length=64, pattern=r"^[^\x00]*\Z")
        ] = None,
        after_id: Annotated[int, QueryParameter(name="after_id", ge=0, le=10**18 - 1)] = 0,
        page_size: Annotated[int, QueryParameter(name="page_size", ge=1, le=PAGE_MAX)] = 100,
    ) -> AlertPage:
        """The alerts of an account, or of all that may be read."""
        accounts = await _accounts(service, principal, account_id)
        chosen = None if state_ is None else AlertState(state_)
        rows = await alerts.page(
            service.pool, accounts, state=chosen, symbol=symbol, after_id=after_id, limit=page_size
        )
        is_full = len(rows) == page_size
        return {"items": [_shape(row) for row in rows], "next_after_id": rows[-1].id if is_full else None}

    @post("/api/alerts", responses=refusals(409), tags=["alerts"])
    async def make(principal: Asks, data: JSONBody[Alarm], idempotency_key: IdempotencyKey = None) -> AlertShape:
        """Make an alert and arm it; what is met already is told at once.

        The same `request_id` with the same body answers the alert that was made, as long as there is one.
        """
        wanted = NewAlert(
            account_id=data.account_id, symbol=data.symbol, type=data.type, exchange=data.exchange,
            price=None if data.price is None else Decimal(data.price),
            percent=None if data.percent is None else Decimal(data.percent),
            window_s=data.window_s, message=data.message, request_id=data.request_id or idempotency_key,
        )  # fmt: skip
        return _shape(await service.alerts.create(principal, wanted))

    @post("/api/alerts/{alert_id:int}/rearm", status_code=200, responses=refusals(), tags=["alerts"])
    async def rearm(principal: Asks, alert_id: AlertId) -> AlertShape:
        """Arm one's own alert again; while its rule is met it is told again at once."""
        return _shape(await service.alerts.rearm(principal, alert_id))

    @delete("/api/alerts/{alert_id:int}", status_code=200, responses=refusals(), tags=["alerts"])
    async def remove(principal: Asks, alert_id: AlertId) -> AlertShape:
        """Delete one's own alert; answers what it was."""
        return _shape(await service.alerts.delete(principal, alert_id))

    return [listed, make, rearm, remove]


async def _accounts(service: Service, principal: Principal, account_id: int | None) -> list[int]:
    """Those that may be looked at; a key for some strategies sees no alerts, which are of none."""
    if account_id is not None:
        require_read(principal, account_id)
    mine = principal.permissions
    whole = {number for number, each in mine.items() if each.can_read and not each.strategies}
    if principal.is_admin:
        whole = {account.id for account in await admin.accounts(service.pool)}
    return sorted(whole if account_id is None else whole & {account_id})


def _shape(alert: Alert) -> AlertShape:
    return {
        "id": alert.id,
        "account_id": alert.account_id,
        "user_id": alert.user_id,
        "exchange": alert.exchange,
        "symbol": alert.symbol,
        "type": alert.type,
        "price": None if alert.price is None else render.number(alert.price),
        "percent": None if alert.percent is None else render.number(alert.percent),
        "window_s": alert.window_s,
        "message": alert.message,
        "state": alert.state,
        "created_at": render.moment(alert.created_ns),
        "triggered_at": None if alert.triggered_ns is None else render.moment(alert.triggered_ns),
        "triggered_price": None if alert.triggered_price is None else render.number(alert.triggered_price),
    }
