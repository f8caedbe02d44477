"""Reconciliation and reassignment over HTTP: who may ask, and what is answered."""

from __future__ import annotations

from typing import Any

import pytest

from oms import render
from oms.store import progress
from oms.store.pool import Pool
from tests.oms import full_rows
from tests.oms.full_rows import T
from tests.oms.resources.served import Served


async def test_a_comparison_is_asked_for_and_its_outcome_answered(served: Served, pool: Pool) -> None:
    number = await progress.start_reconciliation(pool, 1, "request", T)
    await progress.finish_reconciliation(pool, number, ok=True, report={"orders_checked": 3}, now_ns=T + 1_000_000)
    response = await served.send("ann", "POST", "/oms/reconcile", {"account_id": 1})
    assert response.status_code == 200
    assert response.json() == {
        "account_id": 1,
        "cause": "request",
        "status": "ok",
        "report": {"orders_checked": 3},
        "started_at": render.moment(T),
        "finished_at": render.moment(T + 1_000_000),
        "running_since": None,
    }
    assert served.service.asked == [("reconcile", 1)]
    assert (await served.get("ann", "/oms/reconcile/1/status")).json() == response.json()


async def test_one_under_way_does_not_hide_what_the_last_one_found(served: Served, pool: Pool) -> None:
    first = await progress.start_reconciliation(pool, 1, "request", T)
    report = {"mismatches": [{"currency": "BTC"}]}
    await progress.finish_reconciliation(pool, first, ok=True, report=report, now_ns=T + 1_000_000)
    await progress.start_reconciliation(pool, 1, "periodic", T + 2_000_000)
    told = (await served.get("ann", "/oms/reconcile/1/status")).json()
    assert (told["status"], told["report"], told["running_since"]) == ("ok", report, render.moment(T + 2_000_000))


async def test_comparisons_are_listed_in_pages_with_the_newest_first(served: Served, pool: Pool) -> None:
    for number in range(5):
        made = await progress.start_reconciliation(pool, 1, "periodic", T + number)
        await progress.finish_reconciliation(pool, made, ok=number != 3, report={"trades_read": number}, now_ns=T + 9)
    seen: list[dict[str, Any]] = []
    query: dict[str, Any] = {"page_size": 2}
    while True:
        page = (await served.get("ann", "/oms/reconcile/1/history", **query)).json()
        seen += page["items"]
        if page["next_before_id"] is None:
            break
        query["before_id"] = page["next_before_id"]
    assert [row["report"]["trades_read"] for row in seen] == [4, 3, 2, 1, 0]
    assert [row["status"] for row in seen] == ["ok", "failed", "ok", "ok", "ok"]
    assert (await served.get("ann", "/oms/reconcile/1/history", page_size=0)).status_code == 422


@pytest.mark.parametrize("what", ["status", "history"])
async def test_what_is_of_all_strategies_is_not_for_a_key_of_some(served: Served, what: str) -> None:
    refused = await served.get("sam", f"/oms/reconcile/1/{what}")
    assert (refused.status_code, refused.json()["code"]) == (403, "strategy_permission_denied")
    assert (await served.get("eve", f"/oms/reconcile/1/{what}")).status_code == 404


async def test_an_account_that_was_never_compared_says_so(served: Served) -> None:
    assert (await served.get("ann", "/oms/reconcile/1/status")).json()["status"] == "never"
    assert (await served.get("ann", "/oms/reconcile/2/status")).status_code == 404
    assert (await served.send("sam", "POST", "/oms/reconcile", {"account_id": 1})).status_code == 403


async def test_orders_and_positions_are_given_to_a_strategy(served: Served) -> None:
    order, position = full_rows.order(5, strategy_id=9), full_rows.position(6, strategy_id=9)
    served.service.given = ([order], [position])
    body = {"account_id": 1, "strategy_id": 9, "order_ids": [5], "position_ids": [6]}
    response = await served.send("ann", "POST", "/oms/reassign", body)
    assert response.status_code == 200
    assert response.json() == {"orders": [render.order_data(order)], "positions": [render.position_data(position)]}
    assert served.service.asked == [("reassign", 1, 9, [5], [6])]


@pytest.mark.parametrize(
    ("user", "body", "status"),
    [
        ("ann", {"account_id": 1, "strategy_id": 9}, 422),
        ("ann", {"account_id": 2, "strategy_id": 9, "order_ids": [1]}, 404),
        ("sam", {"account_id": 1, "strategy_id": 7, "order_ids": [1]}, 403),
        ("ann", {"account_id": 1, "strategy_id": -1, "order_ids": [1]}, 422),
        ("ann", {"account_id": 1, "strategy_id": 9, "order_ids": list(range(1, 202))}, 422),
    ],
)
async def test_what_may_not_be_given_is_refused_before_the_desk(
    served: Served, user: str, body: dict[str, object], status: int
) -> None:
    response = await served.send(user, "POST", "/oms/reassign", body)
    assert response.status_code == status, response.text
    assert served.service.asked == []
