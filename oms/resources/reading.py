"""Orders, deals, positions and events over HTTP: what was committed, by ids, by filter, by number.

Holds the questions that may be asked and who sees what. What one may not see is as if it were not there. Must not know
SQL, nor what changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from msgspec.structs import replace

from oms import render
from oms.auth import may_see, require_read, strategies_of
from oms.errors import OmsError
from oms.model import Deal, Event, Order, Position, Principal
from oms.resources.doors import Asks, Service, refusals
from oms.shapes import (
    DealItems,
    DealPage,
    DealShape,
    EventPage,
    EventShape,
    OrderItems,
    OrderPage,
    OrderShape,
    PositionItems,
    PositionPage,
    PositionShape,
)
from oms.store import admin, history
from oms.store.history import PAGE_MAX, Filter
from oms.store.pool import Pool
from oms.store.rows import ns_of

ID_MAX: Final = 10**18 - 1
PAGES_MAX: Final = 1_000  # further back go by `after_id`: skipping rows costs what reading them does
FIRST_NS: Final = ns_of(datetime.min.replace(tzinfo=UTC))  # of what the database is asked about
LAST_NS: Final = ns_of(datetime.max.replace(tzinfo=UTC))

Ids = Annotated[
    str, PathParameter(pattern=r"^[0-9]{1,18}(,[0-9]{1,18}){0,199}\Z", description="Up to 200 ids, by commas.")
]
AccountIds = Annotated[
    str | None,
    QueryParameter(
        name="account_ids",
        pattern=r"^[0-9]{1,18}(,[0-9]{1,18}){0,199}\Z",
        description="By commas; all that may be seen when not given.",
    ),
]
StrategyId = Annotated[int | None, QueryParameter(name="strategy_id", ge=0, le=ID_MAX)]
Symbol = Annotated[str | None, QueryParameter(name="symbol", min_length=1, max_length=64, pattern=r"^[^\x00]*\Z")]
From = Annotated[datetime | None, QueryParameter(name="from", description="The first moment, with its UTC offset.")]
To = Annotated[datetime | None, QueryParameter(name="to", description="The moment after the last.")]
AfterId = Annotated[int, QueryParameter(name="after_id", ge=0, le=ID_MAX)]
Page = Annotated[int, QueryParameter(name="page", ge=1, le=PAGES_MAX)]
NewestFirst = Annotated[
    bool, QueryParameter(name="newest_first", description="By descending id; go on by page, not by after_id.")
]
OrderIds = Annotated[
    str | None,
    QueryParameter(
        name="order_ids", pattern=r"^[0-9]{1,18}(,[0-9]{1,18}){0,199}\Z", description="Up to 200, by commas."
    ),
]
ClientOrderId = Annotated[
    str | None, QueryParameter(name="client_order_id", min_length=1, max_length=64, pattern=r"^[^\x00]*\Z")
]
PageSize = Annotated[int, QueryParameter(name="page_size", ge=1, le=PAGE_MAX)]

Row = TypeVar("Row", Order, Deal, Position)
Shape = TypeVar("Shape", OrderShape, DealShape, PositionShape)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A question as it was asked, common to all listings."""

    account_ids: str | None
    strategy_id: int | None
    symbol: str | None
    begin: datetime | None
    end: datetime | None
    after_id: int
    page: int
    page_size: int
    newest_first: bool


def wanted(
    account_ids: AccountIds = None,
    strategy_id: StrategyId = None,
    symbol: Symbol = None,
    from_: From = None,
    to: To = None,
    after_id: AfterId = 0,
    page: Page = 1,
    page_size: PageSize = 100,
    newest_first: NewestFirst = False,
) -> Wanted:
    """The dependency that reads it."""
    return Wanted(
        account_ids=account_ids, strategy_id=strategy_id, symbol=symbol, begin=from_, end=to, after_id=after_id,
        page=page, page_size=page_size, newest_first=newest_first,
    )  # fmt: skip


def routes(service: Service) -> list[HTTPRouteHandler]:
    """Every resource that is read only."""
    return [
        *_order_routes(service),
        *_deal_routes(service),
        *_position_routes(service),
        _event_route(service),
    ]


async def _filter(pool: Pool, principal: Principal, asked: NamedDependency[Wanted]) -> Filter:
    """What of it may be seen. Raises `account_not_found`, or what else `require_read` says."""
    if asked.account_ids is not None:
        accounts = [int(text) for text in asked.account_ids.split(",")]
        for account_id in accounts:
            require_read(principal, account_id)
    elif principal.is_admin:
        accounts = [account.id for account in await admin.accounts(pool)]
    else:
        accounts = [number for number, permission in principal.permissions.items() if permission.can_read]
    return Filter(
        accounts={number: strategies_of(principal, number) for number in accounts},
        strategy_id=asked.strategy_id,
        symbol=asked.symbol,
        from_ns=_ns("from", asked.begin),
        to_ns=_ns("to", asked.end),
        after_id=asked.after_id,
        page=asked.page,
        page_size=asked.page_size,
        newest_first=asked.newest_first,
    )


def _ns(field: str, moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise _wrong(field, "a time needs its UTC offset, such as 2026-01-31T08:00:00Z")
    at_ns = ns_of(moment)
    if not FIRST_NS <= at_ns <= LAST_NS:
        raise _wrong(field, "a time must lie in the years 1 to 9999 of UTC")
    return at_ns


def _wrong(field: str, message: str) -> OmsError:
    return OmsError("validation_error", f"{field}: {message}", details={"field": field})


def _numbers(ids: str) -> list[int]:
    return [int(text) for text in ids.split(",")]


def _found(
    principal: Principal, ids: Iterable[int], rows: Mapping[int, Row], data: Callable[[Row], Shape]
) -> tuple[list[Shape], list[int]]:
    """Those that may be seen, in the order asked for, and the ids of the rest, missing for whatever reason."""
    items: list[Shape] = []
    missing: list[int] = []
    for number in ids:
        row = rows.get(number)
        if row is not None and may_see(principal, row.account_id, row.strategy_id):
            items.append(data(row))
        else:
            missing.append(number)
    return items, missing


def _behind(rows: Sequence[Order] | Sequence[Deal] | Sequence[Position], asked: Filter) -> int | None:
    """The last id of a full page."""
    return rows[-1].id if len(rows) == asked.page_size else None


def _order_routes(service: Service) -> list[HTTPRouteHandler]:
    @get("/oms/orders/open", responses=refusals(), tags=["orders"])
    async def open_orders(
        principal: Asks, asked: NamedDependency[Wanted], client_order_id: ClientOrderId = None
    ) -> OrderPage:
        """Orders that may still be filled."""
        chosen = replace(await _filter(service.pool, principal, asked), client_order_id=client_order_id)
        rows = await history.orders(service.pool, chosen, is_open=True)
        return {"items": [render.order_data(row) for row in rows], "next_after_id": _behind(rows, chosen)}

    @get("/oms/orders/history", responses=refusals(), tags=["orders"])
    async def order_history(
        principal: Asks, asked: NamedDependency[Wanted], client_order_id: ClientOrderId = None
    ) -> OrderPage:
        """Orders that are over; times are those of creation."""
        chosen = replace(await _filter(service.pool, principal, asked), client_order_id=client_order_id)
        rows = await history.orders(service.pool, chosen, is_open=False)
        return {"items": [render.order_data(row) for row in rows], "next_after_id": _behind(rows, chosen)}

    @get("/oms/orders/{ids:str}", responses=refusals(), tags=["orders"])
    async def orders(principal: Asks, ids: Ids) -> OrderItems:
        """Orders by their ids, open or not."""
        numbers = _numbers(ids)
        items, missing = _found(
            principal, numbers, await history.orders_by_ids(service.pool, numbers), render.order_data
        )
        return {"items": items, "missing": missing}

    return [open_orders, order_history, orders]


def _deal_routes(service: Service) -> list[HTTPRouteHandler]:
    @get("/oms/deals", responses=refusals(), tags=["deals"])
    async def deal_history(principal: Asks, asked: NamedDependency[Wanted], order_ids: OrderIds = None) -> DealPage:
        """Executions; times are those of the exchange."""
        numbers = _numbers(order_ids) if order_ids else ()
        chosen = replace(await _filter(service.pool, principal, asked), order_ids=numbers)
        rows = await history.deals(service.pool, chosen)
        return {"items": [render.deal_data(row) for row in rows], "next_after_id": _behind(rows, chosen)}

    @get("/oms/deals/{ids:str}", responses=refusals(), tags=["deals"])
    async def deals(principal: Asks, ids: Ids) -> DealItems:
        """Executions by their ids."""
        numbers = _numbers(ids)
        items, missing = _found(principal, numbers, await history.deals_by_ids(service.pool, numbers), render.deal_data)
        return {"items": items, "missing": missing}

    return [deal_history, deals]


def _position_routes(service: Service) -> list[HTTPRouteHandler]:
    @get("/oms/positions/open", responses=refusals(), tags=["positions"])
    async def open_positions(principal: Asks, asked: NamedDependency[Wanted]) -> PositionPage:
        """Positions that are held."""
        chosen = await _filter(service.pool, principal, asked)
        rows = await history.positions(service.pool, chosen, is_open=True)
        return {"items": [render.position_data(row) for row in rows], "next_after_id": _behind(rows, chosen)}

    @get("/oms/positions/history", responses=refusals(), tags=["positions"])
    async def position_history(principal: Asks, asked: NamedDependency[Wanted]) -> PositionPage:
        """Positions that are closed; times are those of opening."""
        chosen = await _filter(service.pool, principal, asked)
        rows = await history.positions(service.pool, chosen, is_open=False)
        return {"items": [render.position_data(row) for row in rows], "next_after_id": _behind(rows, chosen)}

    @get("/oms/positions/{ids:str}", responses=refusals(), tags=["positions"])
    async def positions(principal: Asks, ids: Ids) -> PositionItems:
        """Positions by their ids, open or closed."""
        numbers = _numbers(ids)
        rows = await history.positions_by_ids(service.pool, numbers)
        items, missing = _found(principal, numbers, rows, render.position_data)
        return {"items": items, "missing": missing}

    return [open_positions, position_history, positions]


def _event_route(service: Service) -> HTTPRouteHandler:
    @get("/oms/events", responses=refusals(), tags=["events"])
    async def events(
        principal: Asks,
        account_id: Annotated[int, QueryParameter(name="account_id", ge=1, le=ID_MAX)],
        after_sequence: Annotated[int, QueryParameter(name="after_sequence", ge=0, le=ID_MAX)] = 0,
        limit: Annotated[int, QueryParameter(name="limit", ge=1, le=PAGE_MAX)] = 100,
    ) -> EventPage:
        """What happened on an account, in order and without a hole."""
        if strategies_of(principal, account_id):
            raise OmsError(
                "strategy_permission_denied",
                "events are of the whole account, and this API key is for some of its strategies: list orders, deals",
            )
        rows = await history.events_after(service.pool, account_id, after_sequence, limit=limit)
        last = rows[-1].sequence if rows else after_sequence
        return {"items": [_event(row) for row in rows], "last_sequence": last}

    return events


def _event(row: Event) -> EventShape:
    return {
        "account_id": row.account_id,
        "sequence": row.sequence,
        "channel": row.channel,
        "channel_sequence": row.channel_sequence,
        "event": row.event,
        "data": msgspec.json.decode(row.data),
        "command_id": row.command_id,
        "created_at": render.moment(row.created_ns),
    }
