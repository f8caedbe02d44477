"""The life of a command: what is refused, begun, finished and kept of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from oms.desk.dispatch import Run
from oms.desk.results import Outcome
from oms.errors import OmsError
from oms.model import Permission, Principal
from oms.store.pool import Pool
from oms.writes import CommandStatus
from tests.oms import orders_made
from tests.oms.desk.desks import Setting, setting, stored_command

STRANGER = Principal(user_id=2, user_name="bob", api_key_id=2)
RESTRICTED = Principal(
    user_id=3,
    user_name="eve",
    api_key_id=3,
    permissions={1: Permission(account_id=1, can_trade=True, strategies=frozenset({5}))},
)


async def close_by(made: Setting, **body: Any) -> dict[str, Any]:
    result = await made.run("close_by", position_id_a=1, position_id_b=2, **body)
    return result.plain(0)


async def test_what_a_handler_begins_is_stored_with_what_it_returns(dsn: str, pool: Pool) -> None:
    async def handler(run: Run) -> Outcome:
        run.begin()
        await run.desk.commit()
        running = await stored_command(pool, "r")
        assert running is not None
        assert running.status is CommandStatus.RUNNING
        return Outcome(order_id=7, more={"told": True})

    async with setting(dsn) as made:
        made.handlers["close_by"] = handler
        answer = await close_by(made, request_id="r")
        assert answer == {"index": 0, "ok": True, "command_id": 1, "order_id": 7, "error": None, "told": True}
        stored = await stored_command(pool, "r")
        assert stored is not None
        assert (stored.status, stored.order_id) == (CommandStatus.OK, 7)
        assert stored.result == {"ok": True, "order_id": 7, "error": None, "told": True}


@pytest.mark.parametrize("begun", [False, True])
async def test_a_refusal_is_stored_with_its_code_and_told(dsn: str, pool: Pool, begun: bool) -> None:
    async def handler(run: Run) -> Outcome:
        if begun:
            run.begin(4)
        raise OmsError("risk_blocked", "too much", details={"limit": "max_order_qty"})

    async with setting(dsn) as made:
        made.handlers["close_by"] = handler
        answer = await close_by(made, request_id="r")
        error = {"code": "risk_blocked", "message": "too much", "details": {"limit": "max_order_qty"}}
        assert (answer["ok"], answer["error"], answer["order_id"]) == (False, error, 4 if begun else None)
        stored = await stored_command(pool, "r")
        assert stored is not None
        assert stored.status is CommandStatus.FAILED
        assert [event.event for event in made.events] == ["command_failed"]


async def test_what_did_not_begin_for_a_passing_reason_is_not_kept(dsn: str, pool: Pool) -> None:
    async def handler(run: Run) -> Outcome:
        raise AssertionError("not reached")

    async with setting(dsn) as made:
        made.handlers["close_by"] = handler
        made.desk.obstacle = "not reconciled yet"
        answer = await close_by(made, request_id="r")
        assert answer["command_id"] is None
        assert answer["error"] == {
            "code": "exchange_unavailable", "message": "not reconciled yet", "retry_after_ms": 1_000,
        }  # fmt: skip
        assert await stored_command(pool, "r") is None


async def test_what_came_too_often_is_kept_and_may_be_asked_for_again_under_the_same_id(dsn: str, pool: Pool) -> None:
    refusals = [OmsError("rate_limited", "too often", retry_after_ms=1_000)]

    async def handler(run: Run) -> Outcome:
        if refusals:
            raise refusals.pop()
        run.begin()
        return Outcome()

    async with setting(dsn) as made:
        made.handlers["close_by"] = handler
        refused = await close_by(made, request_id="r")
        assert (refused["error"]["code"], refused["command_id"]) == ("rate_limited", 1)
        assert await pool.fetchval("SELECT status FROM oms_commands WHERE id = 1") == CommandStatus.FAILED
        assert [event.event for event in made.events] == ["command_failed"]
        assert await stored_command(pool, "r") is None
        again = await close_by(made, request_id="r")
        assert (again["ok"], again["command_id"], "replayed" in again) == (True, 2, False)


async def test_a_flood_of_what_comes_too_often_is_no_flood_of_writes(dsn: str, pool: Pool) -> None:
    async def handler(run: Run) -> Outcome:
        raise OmsError("rate_limited", "too often", retry_after_ms=1_000)

    async with setting(dsn) as made:
        made.handlers["close_by"] = handler
        made.book.risk = replace(made.book.risk, max_orders_per_s=3)
        for second in (1, 2):
            answers = [await close_by(made) for _ in range(10)]
            assert {answer["error"]["code"] for answer in answers} == {"rate_limited"}
            assert [answer["command_id"] is not None for answer in answers] == [True] * 3 + [False] * 7
            assert await pool.fetchval("SELECT count(*) FROM oms_commands") == len(made.events) == 3 * second
            made.clock.advance(1)


async def test_what_found_no_fresh_price_is_kept_and_may_be_asked_for_again_under_the_same_id(
    dsn: str, pool: Pool
) -> None:
    refusals = [OmsError("stale_market_data", "no fresh price")]

    async def handler(run: Run) -> Outcome:
        if refusals:
            raise refusals.pop()
        run.begin()
        return Outcome()

    async with setting(dsn) as made:
        made.handlers["close_by"] = handler
        refused = await close_by(made, request_id="r")
        assert (refused["error"]["code"], refused["command_id"]) == ("stale_market_data", 1)
        assert await stored_command(pool, "r") is None
        assert await pool.fetchval("SELECT status FROM oms_commands WHERE id = 1") == CommandStatus.FAILED
        assert [event.event for event in made.events] == ["command_failed"]
        again = await close_by(made, request_id="r")
        assert (again["ok"], again["command_id"], "replayed" in again) == (True, 2, False)
        stored = await stored_command(pool, "r")
        assert stored is not None
        assert stored.id == 2


async def test_a_fault_of_ours_is_answered_as_one(dsn: str) -> None:
    async def handler(run: Run) -> Outcome:
        raise ZeroDivisionError

    async with setting(dsn) as made:
        made.handlers["close_by"] = handler
        result = await made.run("close_by", position_id_a=1, position_id_b=2)
        assert result.error is not None
        assert result.error["code"] == "internal_error"


async def test_validating_keeps_nothing(dsn: str, pool: Pool) -> None:
    async def handler(run: Run) -> Outcome:
        assert run.validate
        return Outcome()

    async with setting(dsn) as made:
        made.handlers["close_by"] = handler
        assert (await close_by(made, request_id="r", validate=True))["ok"]
        assert await pool.fetchval("SELECT count(*) FROM oms_commands") == 0


async def test_the_database_gone_says_so_with_the_ids(dsn: str) -> None:
    async def handler(run: Run) -> Outcome:
        run.begin(3)
        await made.journal_lost()
        return Outcome(order_id=3)

    async with setting(dsn) as made:
        made.handlers["close_by"] = handler
        answer = await close_by(made)
        assert (answer["command_id"], answer["order_id"]) == (1, 3)
        assert answer["error"]["code"] == "engine_unavailable"


async def test_an_order_that_may_not_be_seen_is_not_there(dsn: str, pool: Pool) -> None:
    async with setting(dsn) as made:
        made.book.create(orders_made.order(1, strategy_id=5))
        made.book.create(orders_made.order(2, strategy_id=6))
        codes = {}
        for who in (STRANGER, RESTRICTED):
            for order_id in (1, 2, 99):
                run = Run(made.desk, who, None)  # type: ignore[arg-type]  # nothing of the request is looked at
                try:
                    await run.order(order_id, run.require_trade)
                except OmsError as error:
                    codes[who.user_name, order_id] = error.code
        absent = "order_not_found"
        nothing = "account_not_found"
        assert codes == {("bob", 1): nothing, ("bob", 2): nothing, ("bob", 99): nothing,
                         ("eve", 2): absent, ("eve", 99): absent}  # fmt: skip
        await made.desk.commit()
