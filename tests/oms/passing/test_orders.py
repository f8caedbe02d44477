"""Calls that become commands: what is carried out, what is answered, and what is refused before or after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from oms.desk.results import CommandResult
from oms.errors import OmsError
from oms.model import Permission, Principal
from oms.passing import calls
from oms.passing.orders import Ordering
from oms.passing.records import Records
from oms.service import Oms
from tests.oms.desk.desks import ADMIN
from tests.oms.desk.scripted_venue import Fault
from tests.oms.impatient import impatient
from tests.oms.serving import World
from tests.waiting import until


def who(**permission: Any) -> Principal:
    """Somebody who may do this on account 1."""
    permissions = {1: Permission(account_id=1, **permission)}
    return Principal(user_id=2, user_name="sam", api_key_id=2, permissions=permissions)


class Scene(NamedTuple):
    world: World
    oms: Oms

    async def call(self, func: str, *args: Any, principal: Principal = ADMIN, **kwargs: Any) -> Any:
        call = calls.read(func, args, kwargs)
        return await Ordering(self.oms, Records(self.oms)).answer(principal, 1, call)

    async def refusal(self, func: str, *args: Any, **kwargs: Any) -> OmsError:
        with pytest.raises(OmsError) as refused:
            await self.call(func, *args, **kwargs)
        return refused.value


@pytest.fixture
async def scene(dsn: str) -> AsyncIterator[Scene]:
    world = World(dsn)
    await world.account()
    async with world.ready(wait_s=20.0) as oms:
        world.market.set("BTC/USDT", "99", "101")
        yield Scene(world, oms)


LIMIT = ("BTC/USDT", "limit", "buy", 1, 50)


async def test_an_order_is_created_changed_and_canceled_under_one_id(scene: Scene) -> None:
    made = await scene.call("create_order", *LIMIT, {"clientOrderId": "a"})
    assert (made["id"], made["clientOrderId"], made["status"], made["price"]) == ("1", "a", "open", 50.0)
    edited = await scene.call("edit_order", "1", "BTC/USDT", "limit", "buy", 2, 51)
    assert (edited["id"], edited["amount"], edited["price"]) == ("1", 2.0, 51.0)
    named = await scene.call("edit_order_with_client_order_id", "a", price=52)
    assert (named["id"], named["amount"], named["price"]) == ("1", 2.0, 52.0)
    assert (await scene.call("cancel_order_with_client_order_id", "a"))["status"] == "canceled"


async def test_the_same_request_id_makes_one_order(scene: Scene) -> None:
    first = await scene.call("create_order", *LIMIT, {"request_id": "r"})
    assert (await scene.call("create_order", *LIMIT, {"request_id": "r"}))["id"] == first["id"]
    assert (await scene.refusal("create_order", *LIMIT[:4], 51, {"request_id": "r"})).code == "idempotency_conflict"
    assert len(scene.world.venue().placed) == 1


async def test_several_are_commands_of_their_own_under_one_request_id(scene: Scene) -> None:
    orders = [dict(zip(("symbol", "type", "side", "amount", "price"), LIMIT, strict=True)) for _ in range(3)]
    orders[1]["params"] = {"reduceOnly": True}  # of nothing: refused
    for _ in range(2):
        made = await scene.call("create_orders", orders, {"request_id": "r", "comment": "all"})
        assert [order["status"] for order in made] == ["open", "rejected", "open"]
        assert made[0]["info"]["comment"] == made[2]["info"]["comment"] == "all"
        assert made[1]["info"]["error"]["code"] == "reduce_only_violation"
    assert len(scene.world.venue().placed) == 2
    refused = await scene.refusal("create_orders", [orders[1]])
    assert refused.code == "reduce_only_violation"
    assert (await scene.refusal("create_orders", [{**orders[0], "when": "now"}])).details == {
        "field": "when", "exception": "BadRequest",
    }  # fmt: skip
    assert (await scene.refusal("create_orders", [{**orders[0], "params": 1}])).code == "validation_error"


async def test_one_of_several_that_is_in_doubt_is_told_as_it_is(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = scene.oms.execute
    lost: dict[int, dict[str, Any]] = {1: {}, 2: {"order_id": None}}

    async def doubtful(*asked: Any) -> list[CommandResult]:
        doubt = {"ok": False, "error": {"code": "internal_error", "message": "?"}}
        results = await execute(*asked)
        return [replace(each, **doubt, **lost[index]) if index in lost else each for index, each in enumerate(results)]

    monkeypatch.setattr(scene.oms, "execute", doubtful)
    orders = [dict(zip(("symbol", "type", "side", "amount", "price"), LIMIT, strict=True)) for _ in range(3)]
    orders[0]["params"] = {"reduceOnly": True}  # of nothing: refused
    made = await scene.call("create_orders", orders)
    assert [(order["id"], order["status"]) for order in made][1:] == [("1", "open"), (None, None)]
    assert (made[0]["status"], made[2]["info"]["error"]["code"]) == ("rejected", "internal_error")
    lost = {0: {"order_id": None}}
    assert (await scene.refusal("create_orders", orders[1:2])).code == "internal_error"


async def test_an_orders_own_request_id_goes_before_that_of_all(scene: Scene) -> None:
    one = dict(zip(("symbol", "type", "side", "amount", "price"), LIMIT, strict=True))
    (made,) = await scene.call("create_orders", [{**one, "params": {"request_id": "own"}}], {"request_id": "r"})
    assert (await scene.call("create_order", *LIMIT, {"request_id": "own"}))["id"] == made["id"]


async def test_many_are_canceled_and_told_as_they_are(scene: Scene) -> None:
    for name in "abcd":
        await scene.call("create_order", *LIMIT, {"clientOrderId": name})
    await scene.call("cancel_order", "1")
    told = await scene.call("cancel_orders", ["1", "2", "99"])
    assert [(order["id"], order["status"]) for order in told] == [("1", "canceled"), ("2", "canceled")]
    assert (await scene.refusal("cancel_orders", ["98", "99"])).code == "order_not_found"
    (third,) = await scene.call("cancel_orders_with_client_order_ids", ["c"])
    assert (third["id"], third["status"]) == ("3", "canceled")
    (fourth,) = await scene.call("cancel_orders_for_symbols", [{"id": "4", "symbol": "BTC/USDT"}])
    assert (fourth["id"], fourth["status"]) == ("4", "canceled")
    assert await scene.call("cancel_all_orders") == []


async def test_all_of_a_symbol_or_of_a_strategy_are_canceled(scene: Scene) -> None:
    await scene.call("create_order", *LIMIT)
    assert await scene.call("cancel_all_orders", "ETH/USDT") == []
    assert (await scene.call("cancel_all_orders", params={"strategy_id": 0}))[0]["status"] == "canceled"


async def test_a_dead_mans_switch_tells_when_it_is_due(scene: Scene) -> None:
    armed = await scene.call("cancel_all_orders_after", 10_000)
    assert armed["triggerTime"] == (scene.world.clock() + 10_000_000_000) // 1_000_000
    assert (await scene.call("cancel_all_orders_after", 0))["triggerTime"] is None


async def test_a_position_is_closed_when_it_is_clear_which(scene: Scene) -> None:
    venue = scene.world.venue()
    assert (await scene.refusal("close_position", "BTC/USDT")).details == {
        "field": "symbol", "exception": "InvalidOrder",
    }  # fmt: skip
    await scene.call("create_order", *LIMIT)
    venue.fill("x1", venue.orders["x1"].qty)
    await until(lambda: bool(scene.oms.trader(1).desk.book.positions))
    for more in ({"position_id": 9}, {"strategy_id": 9}):
        assert (await scene.refusal("close_position", "BTC/USDT", params=more)).code == "validation_error"
    assert (await scene.refusal("close_position", "BTC/USDT", "short")).code == "validation_error"
    order = await scene.call("close_position", "BTC/USDT", "buy", {"price": 200, "amount": "0.5"})
    assert (order["side"], order["type"], order["amount"], order["price"]) == ("sell", "limit", 0.5, 200.0)
    await scene.call("cancel_order", order["id"])
    order = await scene.call("close_position", "BTC/USDT")
    assert (order["side"], order["type"], order["amount"]) == ("sell", "market", 1.0)


async def test_an_order_stays_what_it_is(scene: Scene) -> None:
    await scene.call("create_order", *LIMIT)
    for given in ({"side": "sell"}, {"type": "market"}, {"symbol": "ETH/USDT"}):
        assert (await scene.refusal("edit_order", "1", price=5, **given)).details == {
            "field": next(iter(given)), "exception": "InvalidOrder",
        }  # fmt: skip


async def test_a_refusal_names_the_order_and_the_command_that_it_is_of(scene: Scene) -> None:
    scene.world.venue().script("place", Fault.REFUSED)
    error = await scene.refusal("create_order", *LIMIT)
    assert error.code == "exchange_error"
    assert error.details == {"exception": "MarketClosed", "state": "REJECTED", "order_id": 1, "command_id": 1}


async def test_an_order_that_is_under_way_is_told_as_far_as_it_has_come(scene: Scene) -> None:
    venue = scene.world.venue()
    venue.gate.clear()
    with impatient(lambda: venue.requests[-1:] == ["place"]):
        made = await scene.call("create_order", *LIMIT)
        assert (made["status"], made["info"]["state"]) == ("open", "PENDING_SUBMIT")
        assert (await scene.refusal("cancel_orders", ["1", "1"])).code == "outcome_unknown"
    venue.gate.set()


async def test_what_is_of_another_strategy_is_not_there(scene: Scene) -> None:
    await scene.call("create_order", *LIMIT, {"clientOrderId": "a"})
    sam = who(can_trade=True, strategies=frozenset({7}))
    for func, args in (
        ("cancel_order", ("1",)),
        ("cancel_order_with_client_order_id", ("a",)),
        ("edit_order", ("1", None, None, "sell", 1)),
    ):
        assert (await scene.refusal(func, *args, principal=sam)).code == "order_not_found"
    assert (await scene.refusal("create_order", *LIMIT, principal=sam)).code == "strategy_permission_denied"
    viewer = who()
    assert (await scene.refusal("create_order", *LIMIT, principal=viewer)).code == "permission_denied"
    assert (await scene.refusal("edit_order", "1", price=5, principal=viewer)).code == "permission_denied"


async def test_who_trades_without_reading_is_told_the_id_alone(scene: Scene) -> None:
    blind = who(can_read=False, can_trade=True)
    assert await scene.call("create_order", *LIMIT, principal=blind) == {"id": "1", "info": {}}
    assert await scene.call("cancel_all_orders", principal=blind) == [{"id": "1", "info": {}}]
