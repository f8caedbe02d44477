"""Orders, trades and positions as ccxt's functions list them: which, in which order, and for whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from oms.errors import OmsError
from oms.journal import open_journal
from oms.model import Order, OrderState, Permission, PositionState, Principal
from oms.passing import calls
from oms.passing.records import Records, joined
from oms.service import Oms
from oms.store import history
from oms.writes import Writes
from tests.oms import full_rows
from tests.oms.desk.desks import ADMIN
from tests.oms.full_rows import T
from tests.oms.serving import World

MS, T_MS = 1_000_000, T // 1_000_000
SECOND = 1_000_000_000


def order(id_: int, *account: int, filled: str = "0", **changed: Any) -> Order:
    """One that is over, filled as its deals say."""
    fields = {"state": OrderState.FILLED, "filled": Decimal(filled), "average_price": Decimal("30000.1")}
    return full_rows.order(id_, *account, **{**fields, **changed})


ORDERS = [
    order(1, filled="0.5", created_ns=T),
    order(2, state=OrderState.CANCELED, created_ns=T + SECOND, symbol="ETH/USDT"),
    order(3, state=OrderState.REJECTED, created_ns=T + 2 * SECOND, strategy_id=8),
    order(4, filled="0.25", created_ns=T + 3 * SECOND),
    order(5, 2, created_ns=T + 4 * SECOND),
]
DEALS = [
    full_rows.deal(1, order_id=1, executed_ns=T + 2 * MS),
    full_rows.deal(2, order_id=1, executed_ns=T + MS),
    full_rows.deal(3, order_id=4, executed_ns=T + SECOND, strategy_id=8),
]
POSITIONS = [
    full_rows.position(1, state=PositionState.CLOSED, qty=Decimal(0), net_key=None),
    full_rows.position(
        2,
        stop_loss=None,
        stop_gain=None,
        qty=Decimal(1),
        inverse=False,
        contract_size=Decimal(1),
        entry_price=Decimal(90),
    ),
]


@pytest.fixture
async def oms(dsn: str) -> AsyncIterator[Oms]:
    """Over these rows; of the two accounts the second has an order that is not the first's."""
    world = World(dsn)
    await world.account()
    await world.account("other")
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    writes = Writes(
        orders={row.id: row for row in ORDERS}, deals={row.id: row for row in DEALS},
        positions={row.id: row for row in POSITIONS},
    )  # fmt: skip
    await journal.append(writes)
    await journal.close()
    async with world.ready() as oms:
        world.market.set("BTC/USDT", "99", "101")
        yield oms


async def ask(oms: Oms, func: str, *args: Any, principal: Principal = ADMIN, account_id: int = 1, **kwargs: Any) -> Any:
    return await Records(oms).answer(principal, account_id, calls.read(func, args, kwargs))


async def ids(oms: Oms, func: str, *args: Any, **kwargs: Any) -> list[int]:
    return [int(each["id"]) for each in await ask(oms, func, *args, **kwargs)]


LISTED: list[tuple[str, tuple[Any, ...], dict[str, Any], list[int]]] = [
    ("fetch_orders", (), {}, [1, 2, 3, 4]),
    ("fetch_orders", ("ETH/USDT",), {}, [2]),
    ("fetch_orders", (None, None, 2), {}, [3, 4]),
    ("fetch_orders", (None, T_MS, 2), {}, [1, 2]),
    ("fetch_orders", (None, T_MS + 1_000), {}, [2, 3, 4]),
    ("fetch_orders", (None, T_MS), {"until": T_MS + 1_000}, [1, 2]),
    ("fetch_orders", (), {"strategy_id": 8}, [3]),
    ("fetch_open_orders", (), {}, []),
    ("fetch_closed_orders", (), {}, [1, 4]),
    ("fetch_canceled_orders", (), {}, [2]),
    ("fetch_canceled_and_closed_orders", (), {}, [1, 2, 4]),
    ("fetch_my_trades", (), {}, [2, 1, 3]),
    ("fetch_my_trades", (None, T_MS + 2), {}, [1, 3]),
    ("fetch_order_trades", ("1",), {}, [2, 1]),
    ("fetch_order_trades", ("1", None, None, 1), {}, [1]),
    ("fetch_order_trades", ("1", None, T_MS + 2, 1), {}, [1]),
    ("fetch_positions", (), {}, [2]),
    ("fetch_positions", (["ETH/USDT"],), {}, []),
    ("fetch_positions_for_symbol", ("BTC/USDT",), {}, [2]),
    ("fetch_positions_history", (), {}, [1]),
    ("fetch_position_history", ("BTC/USDT",), {}, [1]),
]


async def test_what_is_listed(oms: Oms) -> None:
    for func, args, params, found in LISTED:
        assert await ids(oms, func, *args, params=params) == found, (func, args, params)


async def test_one_order_by_any_name_that_is_ours(oms: Oms) -> None:
    told = await ask(oms, "fetch_order", "1")
    assert (told["id"], told["lastTradeTimestamp"]) == ("1", T_MS + 2)
    assert await ask(oms, "fetch_order", None, None, {"clientOrderId": "c1"}) == told
    assert await ask(oms, "fetch_order", "", params={"clientOrderId": "c1"}) == told
    assert await ask(oms, "fetch_order_with_client_order_id", "c1") == told
    assert await ask(oms, "fetch_closed_order", "1") == told
    assert await ask(oms, "fetch_order_status", "1") == "closed"


MISSING: list[tuple[str, tuple[Any, ...], str]] = [
    ("fetch_order", ("9",), "order_not_found"),
    ("fetch_order", ("5",), "order_not_found"),
    ("fetch_order", ("x1",), "order_not_found"),
    ("fetch_order", ("²",), "order_not_found"),
    ("fetch_order", ("1" * 19,), "order_not_found"),
    ("fetch_open_order", ("1",), "order_not_found"),
    ("fetch_order_with_client_order_id", ("c5",), "order_not_found"),
    ("fetch_order", (), "validation_error"),
    ("fetch_order", (None, None, {"clientOrderId": "\0"}), "validation_error"),
    ("fetch_order", (None, None, {"clientOrderId": ["c1"]}), "validation_error"),
    ("fetch_orders", (None, None, None, {"until": "x"}), "validation_error"),
]


async def test_what_is_not_there(oms: Oms) -> None:
    for func, args, code in MISSING:
        with pytest.raises(OmsError) as refused:
            await ask(oms, func, *args)
        assert refused.value.code == code, (func, args)


async def test_an_open_position_is_valued_at_what_it_could_be_closed_at(oms: Oms) -> None:
    told = await ask(oms, "fetch_position", "BTC/USDT")
    assert (told["markPrice"], told["unrealizedPnl"]) == (99.0, 9.0)
    nothing = await ask(oms, "fetch_position", "ETH/USDT")
    assert (nothing["symbol"], nothing["contracts"], nothing["id"]) == ("ETH/USDT", 0.0, None)


async def test_who_is_for_a_strategy_sees_nothing_of_others(oms: Oms) -> None:
    permission = Permission(account_id=1, strategies=frozenset({8}))
    sam = Principal(user_id=2, user_name="sam", api_key_id=2, permissions={1: permission})
    assert await ids(oms, "fetch_orders", principal=sam) == [3]
    assert await ids(oms, "fetch_my_trades", principal=sam) == [3]
    assert await ids(oms, "fetch_positions", principal=sam) == []
    with pytest.raises(OmsError, match="no order 1"):
        await ask(oms, "fetch_order", "1", principal=sam)


async def test_a_list_longer_than_a_page_is_read_to_its_end(oms: Oms) -> None:
    many = {number: order(number) for number in range(10, 720)}
    await oms.trader(1).desk._journal.append(Writes(orders=many))
    assert len(await ids(oms, "fetch_orders")) == 500
    found = await ids(oms, "fetch_orders", None, None, 600)
    assert (len(found), found[-1]) == (600, 719)
    assert len(await ids(oms, "fetch_orders", None, 0, 5_000)) == 714


async def test_what_happens_between_two_pages_moves_no_row_over_their_edge(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = oms.trader(1).desk._journal
    rows = {number: order(number, state=OrderState.SUBMITTED) for number in range(10, 520)}
    await journal.append(
        Writes(orders=rows, deals={n: full_rows.deal(n, order_id=1, exchange_trade_id=f"t{n}") for n in rows})
    )

    def while_paging(name: str, meanwhile: Writes) -> None:
        read = getattr(history, name)
        told: list[bool] = []

        async def paged(*args: Any) -> Any:
            page = await read(*args)
            if not told:
                told.append(True)
                await journal.append(meanwhile)
            return page

        monkeypatch.setattr(history, name, paged)

    while_paging("deals", Writes(deals={600: full_rows.deal(600, order_id=1, exchange_trade_id="t600")}))
    trades = await ask(oms, "fetch_my_trades", limit=505)
    assert {trade["amount"] for trade in trades} == {0.25}, "none is told twice and added up"
    while_paging("orders_in", Writes(orders={519: order(519)}))
    found = await ids(oms, "fetch_open_orders", limit=1_000)
    assert set(range(10, 519)) <= set(found), "the end of one hides no other"


def test_an_execution_that_was_booked_as_two_deals_is_one_trade() -> None:
    fees = {"BNB": Decimal(1)}
    halves = [
        full_rows.deal(1, exchange_trade_id="t", qty=Decimal(2), fee=Decimal(3), more_fees=fees),
        full_rows.deal(2, exchange_trade_id="t", qty=Decimal(5), fee=Decimal(4), more_fees=fees),
        full_rows.deal(3, exchange_trade_id="t", order_id=9),
    ]
    whole, other = joined(halves)
    assert (whole.id, float(whole.qty), float(whole.fee)) == (1, 7.0, 7.0)
    assert whole.more_fees == {"BNB": Decimal(2)}
    assert other is halves[2]
