"""Reading what was committed: by ids, by filter and page, by the venue's and the caller's ids, and events in order."""

from __future__ import annotations

from typing import Any

import pytest

from oms.journal import open_journal
from oms.model import OrderState
from oms.store import history
from oms.store.history import Filter
from oms.store.pool import Pool
from oms.writes import Writes
from tests.oms import full_rows
from tests.oms.full_rows import T

pytestmark = pytest.mark.every_server
SECOND = 1_000_000_000
ORDERS = [
    full_rows.order(1, 1, strategy_id=7, created_ns=T),
    full_rows.order(2, 1, strategy_id=8, created_ns=T + SECOND, symbol="ETH/USDT"),
    full_rows.order(3, 2, strategy_id=7, created_ns=T + 2 * SECOND),
    full_rows.order(4, 1, strategy_id=7, created_ns=T + 3 * SECOND, state=OrderState.FILLED, closed_ns=T + 4 * SECOND),
]
BOTH: dict[int, tuple[int, ...]] = {1: (), 2: ()}


@pytest.fixture(autouse=True)
async def committed(dsn: str, pool: Pool) -> None:
    for name in ("first", "second"):
        await full_rows.make_account(pool, name)
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await journal.append(
        Writes(
            orders={order.id: order for order in ORDERS},
            deals={1: full_rows.deal(1), 2: full_rows.deal(2, order_id=3, position_id=4)},
            positions={2: full_rows.position(2), 4: full_rows.position(4)},
            commands={1: full_rows.command(1)},
            events=[
                full_rows.event(1),
                full_rows.event(2, channel="deals", channel_sequence=1),
                full_rows.event(3, channel_sequence=2),
            ],
        )
    )
    await journal.close()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"accounts": BOTH}, [1, 2, 3, 4]),
        ({"accounts": {}}, []),
        ({"accounts": {1: ()}}, [1, 2, 4]),
        ({"accounts": {1: (8,), 2: ()}}, [2, 3]),
        ({"accounts": BOTH, "strategy_id": 7}, [1, 3, 4]),
        ({"accounts": BOTH, "symbol": "ETH/USDT"}, [2]),
        ({"accounts": BOTH, "from_ns": T + SECOND, "to_ns": T + 3 * SECOND}, [2, 3]),
        ({"accounts": BOTH, "after_id": 2}, [3, 4]),
        ({"accounts": BOTH, "before_id": 3}, [1, 2]),
        ({"accounts": BOTH, "page_size": 3}, [1, 2, 3]),
        ({"accounts": BOTH, "page_size": 3, "page": 2}, [4]),
    ],
)
async def test_a_filter_finds_what_it_says(pool: Pool, wanted: dict[str, Any], found: list[int]) -> None:
    assert [order.id for order in await history.orders(pool, Filter(**wanted))] == found


async def test_orders_by_their_name_and_deals_by_their_orders(pool: Pool) -> None:
    named = Filter(accounts=BOTH, client_order_id="c3")
    assert [order.id for order in await history.orders(pool, named)] == [3]
    assert await history.orders(pool, Filter(accounts={1: ()}, client_order_id="c3")) == []
    of_orders = Filter(accounts=BOTH, order_ids=[3, 99])
    assert [deal.id for deal in await history.deals(pool, of_orders)] == [2]
    assert await history.deals(pool, Filter(accounts={2: ()}, order_ids=[3])) == []


async def test_the_newest_come_first_when_that_is_asked_for(pool: Pool) -> None:
    newest = Filter(accounts={1: ()}, newest_first=True, page_size=2)
    assert [order.id for order in await history.orders(pool, newest)] == [4, 2]


async def test_orders_are_found_by_their_states(pool: Pool) -> None:
    states = (OrderState.FILLED, OrderState.CANCELED)
    assert [order.id for order in await history.orders_in(pool, Filter(accounts=BOTH), states)] == [4]
    assert await history.orders_in(pool, Filter(accounts={2: ()}), states) == []


async def test_deals_are_found_by_their_orders(pool: Pool) -> None:
    found = await history.deals_of_orders(pool, [1, 2, 3])
    assert {order_id: [deal.id for deal in deals] for order_id, deals in found.items()} == {1: [1], 3: [2]}


async def test_open_and_closed_are_told_apart(pool: Pool) -> None:
    assert [order.id for order in await history.orders(pool, Filter(accounts=BOTH), is_open=True)] == [1, 2, 3]
    assert [order.id for order in await history.orders(pool, Filter(accounts=BOTH), is_open=False)] == [4]
    assert [each.id for each in await history.positions(pool, Filter(accounts=BOTH), is_open=True)] == [2, 4]
    assert await history.positions(pool, Filter(accounts=BOTH), is_open=False) == []


async def test_by_ids_only_those_there_are(pool: Pool) -> None:
    assert await history.orders_by_ids(pool, [3, 99]) == {3: ORDERS[2]}
    assert set(await history.deals_by_ids(pool, [2, 1, 99])) == {1, 2}
    assert set(await history.positions_by_ids(pool, [4, 99])) == {4}


async def test_orders_are_found_by_the_ids_others_know_them_by(pool: Pool) -> None:
    assert await history.order_by_client_id(pool, 1, "c2") == ORDERS[1]
    assert await history.order_by_client_id(pool, 2, "c2") is None
    assert await history.used_client_ids(pool, 1, ["c2", "c99"]) == {"c2": 2}
    assert await history.used_client_ids(pool, 2, ["c2"]) == {}
    assert await history.order_by_exchange_id(pool, 1, "ETH/USDT", "x2") == ORDERS[1]
    assert await history.order_by_exchange_id(pool, 1, "BTC/USDT", "x2") is None


async def test_orders_that_were_open_at_a_time_are_found_as_they_are_now(pool: Pool) -> None:
    async def ids(time_ns: int) -> list[int]:
        return [order.id for order in await history.orders_open_at(pool, 1, time_ns)]

    assert await ids(T) == []
    assert await ids(T + SECOND) == [1]
    assert await ids(T + 4 * SECOND) == [1, 2, 4]
    assert await ids(T + 5 * SECOND) == [1, 2], "the last one had ended"
    assert await history.orders_open_at(pool, 1, T + 4 * SECOND) == [ORDERS[0], ORDERS[1], ORDERS[3]]


async def test_deals_are_found_by_what_they_belong_to(pool: Pool) -> None:
    assert [deal.id for deal in await history.deals(pool, Filter(accounts=BOTH, after_id=1))] == [2]


async def test_a_command_is_found_by_its_request(pool: Pool) -> None:
    found = await history.commands_by_requests(pool, [(5, "r1"), (6, "r1"), (5, "r9")])
    assert found == {(5, "r1"): full_rows.command(1)}


async def test_events_follow_in_order_as_they_were_written(pool: Pool) -> None:
    assert [event.sequence for event in await history.events_after(pool, 1, 1)] == [2, 3]
    assert [event.sequence for event in await history.events_after(pool, 1, 0, limit=2)] == [1, 2]
    (second,) = await history.events_after(pool, 1, 1, channel="orders")
    assert (second.sequence, second.data) == (3, full_rows.event(3).data)


async def test_how_a_position_was_closed_is_told_of_closed_ones_only(pool: Pool) -> None:
    closed = await history.closed_by_ids(pool, 2, [2, 4, 99])
    assert closed == {}, "it is open"
    await pool.execute("UPDATE oms_positions SET state = 'closed', net_key = NULL, closed_at = now() WHERE id = 4")
    deal, position = full_rows.deal(2), full_rows.position(4)
    assert await history.closed_by_ids(pool, position.account_id, [4]) == {4: (deal.price, position.realized_pnl)}
    assert await history.closed_by_ids(pool, position.account_id + 1, [4]) == {}, "of another account"
