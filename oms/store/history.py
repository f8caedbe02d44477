"""Reading what was committed: orders, deals, positions, events and commands, by id, by filter, and by the desk's keys.

Holds the questions that resources, private streams and reconciliation ask. Must not know who asks: what they may see is
in the filter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from oms.model import Deal, Event, Order, OrderState, Position
from oms.store import rows
from oms.store.pool import Database
from oms.store.state import OPEN
from oms.writes import CommandRow

PAGE_MAX: Final = 500
EVENTS: Final = (
    "SELECT account_id, sequence, channel, channel_sequence, event, data::text AS data, command_id, created_at "
    "FROM oms_events WHERE account_id = $1"
)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows, in the order of their ids. `accounts`: those that may be seen, each with the strategies that may be
    (none: all of them). Times are those of creation (a deal's: of execution), `to_ns` excluded."""

    accounts: Mapping[int, Collection[int]]
    strategy_id: int | None = None
    symbol: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    after_id: int = 0
    before_id: int | None = None
    page: int = 1
    page_size: int = 100
    newest_first: bool = False
    order_ids: Collection[int] = ()  # of deals; none: of any order
    client_order_id: str | None = None  # of orders


def _query(table: str, time: str, wanted: Filter, more: str = "") -> tuple[str, list[object]]:
    """A statement and its arguments."""
    restricted = [(account, strategy) for account, all_ in wanted.accounts.items() for strategy in all_]
    arguments: list[object] = [
        [account for account, strategies in wanted.accounts.items() if not strategies],
        [account for account, _ in restricted],
        [strategy for _, strategy in restricted],
        wanted.after_id,
    ]
    conditions = [
        "(account_id = ANY($1::bigint[]) "
        "OR (account_id, strategy_id) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[])))",
        "id > $4",
        *([more] if more else []),
    ]
    for condition, value in (
        ("strategy_id = ", wanted.strategy_id),
        ("symbol = ", wanted.symbol),
        (f"{time} >= ", rows.time_or_none(wanted.from_ns)),
        (f"{time} < ", rows.time_or_none(wanted.to_ns)),
        ("client_order_id = ", wanted.client_order_id),
        ("id < ", wanted.before_id),
    ):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition}${len(arguments)}")
    if wanted.order_ids:
        arguments.append(list(wanted.order_ids))
        conditions.append(f"order_id = ANY(${len(arguments)}::bigint[])")
    size = min(wanted.page_size, PAGE_MAX)
    arguments += [size, (wanted.page - 1) * size]
    direction = "DESC" if wanted.newest_first else "ASC"
    text = f"SELECT * FROM {table} WHERE {' AND '.join(conditions)} ORDER BY id {direction}"
    return f"{text} LIMIT ${len(arguments) - 1} OFFSET ${len(arguments)}", arguments


async def orders(db: Database, wanted: Filter, *, is_open: bool | None = None) -> list[Order]:
    """Those that are open, those that are not, or (None) all."""
    more = "" if is_open is None else OPEN if is_open else f"NOT ({OPEN})"
    text, arguments = _query("oms_orders", "created_at", wanted, more)
    return [rows.order_of(row) for row in await db.fetch(text, *arguments)]


async def orders_in(db: Database, wanted: Filter, states: Collection[OrderState]) -> list[Order]:
    """Those in one of these states."""
    names = ", ".join(f"'{state.value}'" for state in states)
    text, arguments = _query("oms_orders", "created_at", wanted, f"state IN ({names})")
    return [rows.order_of(row) for row in await db.fetch(text, *arguments)]


async def deals(db: Database, wanted: Filter) -> list[Deal]:
    text, arguments = _query("oms_deals", "executed_at", wanted)
    return [rows.deal_of(row) for row in await db.fetch(text, *arguments)]


async def positions(db: Database, wanted: Filter, *, is_open: bool | None = None) -> list[Position]:
    """Those that are open, those that are not, or (None) all."""
    more = "" if is_open is None else f"state = '{'open' if is_open else 'closed'}'"
    text, arguments = _query("oms_positions", "opened_at", wanted, more)
    return [rows.position_of(row) for row in await db.fetch(text, *arguments)]


async def orders_by_ids(db: Database, ids: Collection[int]) -> dict[int, Order]:
    """Those there are."""
    found = await db.fetch("SELECT * FROM oms_orders WHERE id = ANY($1::bigint[])", list(ids))
    return {row["id"]: rows.order_of(row) for row in found}


async def deals_by_ids(db: Database, ids: Collection[int]) -> dict[int, Deal]:
    """Those there are."""
    found = await db.fetch("SELECT * FROM oms_deals WHERE id = ANY($1::bigint[])", list(ids))
    return {row["id"]: rows.deal_of(row) for row in found}


async def positions_by_ids(db: Database, ids: Collection[int]) -> dict[int, Position]:
    """Those there are."""
    found = await db.fetch("SELECT * FROM oms_positions WHERE id = ANY($1::bigint[])", list(ids))
    return {row["id"]: rows.position_of(row) for row in found}


async def order_by_client_id(db: Database, account_id: int, client_order_id: str) -> Order | None:
    found = await db.fetch(
        "SELECT * FROM oms_orders WHERE account_id = $1 AND client_order_id = $2", account_id, client_order_id
    )
    return rows.order_of(found[0]) if found else None


async def orders_open_at(db: Database, account_id: int, time_ns: int) -> list[Order]:
    """Those of the account that were open then, as they are now."""
    found = await db.fetch(
        "SELECT * FROM oms_orders WHERE account_id = $1 AND created_at < $2 "
        "AND (closed_at IS NULL OR closed_at >= $2) ORDER BY id",
        account_id, rows.time_of(time_ns),
    )  # fmt: skip
    return [rows.order_of(row) for row in found]


async def used_client_ids(db: Database, account_id: int, client_order_ids: Collection[str]) -> dict[str, int]:
    """The orders that have one of these ids, by it."""
    found = await db.fetch(
        "SELECT client_order_id, id FROM oms_orders WHERE account_id = $1 AND client_order_id = ANY($2::text[])",
        account_id, list(client_order_ids),
    )  # fmt: skip
    return {row["client_order_id"]: row["id"] for row in found}


async def order_by_exchange_id(db: Database, account_id: int, symbol: str, exchange_order_id: str) -> Order | None:
    """By the id it has now; one that was replaced has had others. The newest, when the venue gave the id again."""
    found = await db.fetch(
        "SELECT * FROM oms_orders WHERE account_id = $1 AND symbol = $2 AND exchange_order_id = $3 "
        "ORDER BY id DESC LIMIT 1",
        account_id, symbol, exchange_order_id,
    )  # fmt: skip
    return rows.order_of(found[0]) if found else None


async def deals_of_orders(db: Database, order_ids: Collection[int]) -> dict[int, list[Deal]]:
    """Those there are, by their order."""
    found: dict[int, list[Deal]] = {}
    text = "SELECT * FROM oms_deals WHERE order_id = ANY($1::bigint[]) ORDER BY id"
    for row in await db.fetch(text, list(order_ids)):
        found.setdefault(row["order_id"], []).append(rows.deal_of(row))
    return found


async def commands_by_requests(
    db: Database, requests: Collection[tuple[int, str]]
) -> dict[tuple[int, str], CommandRow]:
    """Those there are, by the key that sent them and their id."""
    found = await db.fetch(
        "SELECT oms_commands.* FROM unnest($1::bigint[], $2::text[]) AS asked (api_key_id, request_id) "
        "JOIN oms_commands USING (api_key_id, request_id)",
        [key for key, _ in requests], [request_id for _, request_id in requests],
    )  # fmt: skip
    return {(row["api_key_id"], row["request_id"]): rows.command_of(row) for row in found}


async def events_after(
    db: Database, account_id: int, after: int, *, channel: str | None = None, limit: int = PAGE_MAX
) -> list[Event]:
    """What followed, in order: of a channel by its own sequence, else of the account by the account's."""
    if channel is None:
        found = await db.fetch(f"{EVENTS} AND sequence > $2 ORDER BY sequence LIMIT $3", account_id, after, limit)
    else:
        text = f"{EVENTS} AND channel = $2 AND channel_sequence > $3 ORDER BY channel_sequence LIMIT $4"
        found = await db.fetch(text, account_id, channel, after, limit)
    return [rows.event_of(row) for row in found]


class Closed(NamedTuple):
    """How a position was closed: by the price of its last deal, and all that it realised."""

    price: Decimal | None
    realized_pnl: Decimal


async def closed_by_ids(db: Database, account_id: int, position_ids: Collection[int]) -> dict[int, Closed]:
    """Of those that are closed."""
    found = await db.fetch(
        "SELECT p.id, p.realized_pnl, (SELECT d.price FROM oms_deals d WHERE d.position_id = p.id "
        "ORDER BY d.executed_at DESC, d.id DESC LIMIT 1) AS price FROM oms_positions p "
        "WHERE p.account_id = $1 AND p.id = ANY($2::bigint[]) AND p.state = 'closed'",
        account_id, list(position_ids),
    )  # fmt: skip
    return {row["id"]: Closed(row["price"], row["realized_pnl"]) for row in found}
