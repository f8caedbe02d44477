"""Orders, deals, positions and events over HTTP: who sees what, in which order, page by page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from oms import render
from oms.journal import open_journal
from oms.model import OrderState
from oms.resources import reading
from oms.writes import Writes
from tests.oms import full_rows
from tests.oms.full_rows import T
from tests.oms.resources.served import Served

SECOND = 1_000_000_000
ORDERS = [
    full_rows.order(1, 1, strategy_id=7, created_ns=T),
    full_rows.order(2, 1, strategy_id=8, created_ns=T + SECOND, symbol="ETH/USDT"),
    full_rows.order(3, 2, strategy_id=7, created_ns=T + 2 * SECOND),
    full_rows.order(4, 1, strategy_id=7, created_ns=T + 3 * SECOND, state=OrderState.FILLED),
]


@pytest.fixture(autouse=True)
async def committed(dsn: str, served: Served) -> None:
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await journal.append(
        Writes(
            orders={order.id: order for order in ORDERS},
            deals={
                1: full_rows.deal(1, strategy_id=7),
                2: full_rows.deal(2, strategy_id=8),
                3: full_rows.deal(3, 2, order_id=3, position_id=4),
            },
            positions={
                2: full_rows.position(2, strategy_id=7),
                4: full_rows.position(4, 2),
            },
            events=[full_rows.event(1), full_rows.event(2, channel="deals", channel_sequence=1)],
        )
    )
    await journal.close()


def ids(answer: Any) -> list[int]:
    return [item["id"] for item in answer["items"]]


async def test_by_ids_in_the_order_asked_for_and_what_may_not_be_seen_is_missing(served: Served) -> None:
    response = await served.get("ann", "/oms/orders/4,3,1,99")
    assert response.status_code == 200
    answer = response.json()
    assert ids(answer) == [4, 1]
    assert answer["missing"] == [3, 99]
    assert answer["items"][1] == render.order_data(ORDERS[0])


@pytest.mark.parametrize(
    ("user", "path", "seen", "missing"),
    [
        ("root", "/oms/orders/1,2,3", [1, 2, 3], []),
        ("sam", "/oms/orders/1,2,3", [1], [2, 3]),
        ("eve", "/oms/orders/1", [], [1]),
        ("ann", "/oms/deals/1,2,3", [1, 2], [3]),
        ("sam", "/oms/deals/1,2,3", [1], [2, 3]),
        ("ann", "/oms/positions/2,4", [2], [4]),
        ("root", "/oms/positions/4,2", [4, 2], []),
    ],
)
async def test_each_key_sees_its_accounts_and_strategies(
    served: Served, user: str, path: str, seen: list[int], missing: list[int]
) -> None:
    answer = (await served.get(user, path)).json()
    assert (ids(answer), answer["missing"]) == (seen, missing)


@pytest.mark.parametrize("text", ["x", "1,", "1" * 19, ",".join(["1"] * 201), "-1", "1;2", "1%00"])
async def test_ids_that_are_none_are_refused(served: Served, text: str) -> None:
    response = await served.get("ann", f"/oms/orders/{text}")
    assert response.status_code == 422
    assert response.json()["code"] == "validation_error"


async def test_two_hundred_ids_of_eighteen_digits_are_served(served: Served) -> None:
    response = await served.get("ann", "/oms/orders/" + ",".join(["9" * 18] * 200))
    assert response.status_code == 200
    assert len(response.json()["missing"]) == 200


@pytest.mark.parametrize(
    ("user", "path", "query", "found"),
    [
        ("root", "/oms/orders/open", {}, [1, 2, 3]),
        ("ann", "/oms/orders/open", {}, [1, 2]),
        ("sam", "/oms/orders/open", {}, [1]),
        ("eve", "/oms/orders/open", {}, []),
        ("root", "/oms/orders/open", {"account_ids": "2"}, [3]),
        ("root", "/oms/orders/open", {"account_ids": "1,2", "strategy_id": 7}, [1, 3]),
        ("ann", "/oms/orders/open", {"symbol": "ETH/USDT"}, [2]),
        ("ann", "/oms/orders/open", {"after_id": 1}, [2]),
        ("ann", "/oms/orders/open", {"page": 2, "page_size": 1}, [2]),
        ("root", "/oms/orders/open", {"newest_first": "true", "page_size": 2}, [3, 2]),
        ("root", "/oms/orders/open", {"newest_first": "true", "page_size": 2, "page": 2}, [1]),
        ("root", "/oms/orders/open", {"client_order_id": "c2"}, [2]),
        ("sam", "/oms/orders/open", {"client_order_id": "c2"}, []),
        ("ann", "/oms/orders/history", {"client_order_id": "c4"}, [4]),
        ("ann", "/oms/orders/history", {"client_order_id": "c1"}, []),
        ("root", "/oms/deals", {"order_ids": "3,99"}, [3]),
        ("root", "/oms/deals", {"order_ids": "1,3"}, [1, 2, 3]),
        ("sam", "/oms/deals", {"order_ids": "1,3"}, [1]),
        ("ann", "/oms/orders/history", {}, [4]),
        ("ann", "/oms/deals", {}, [1, 2]),
        ("sam", "/oms/deals", {}, [1]),
        ("root", "/oms/positions/open", {}, [2, 4]),
        ("root", "/oms/positions/history", {}, []),
    ],
)
async def test_listings_hold_what_may_be_seen_of_what_is_asked_for(
    served: Served, user: str, path: str, query: dict[str, Any], found: list[int]
) -> None:
    response = await served.get(user, path, **query)
    assert response.status_code == 200
    assert ids(response.json()) == found


async def test_times_take_any_offset_and_the_end_is_not_in_it(served: Served) -> None:
    begin = datetime.fromtimestamp(T // SECOND, UTC).isoformat()
    end = datetime.fromtimestamp(T // SECOND + 1, UTC).astimezone().isoformat()
    assert ids((await served.get("root", "/oms/orders/open", **{"from": begin, "to": end})).json()) == [1]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_time_beyond_the_calendar_is_refused(served: Served, moment: str) -> None:
    for name in ("from", "to"):
        response = await served.get("root", "/oms/orders/open", **{name: moment})
        assert (response.status_code, response.json()["code"]) == (422, "validation_error")


async def test_times_before_1970_are_times_too(served: Served) -> None:
    for begin in ("1969-12-31T23:59:59.5Z", "0001-01-01T00:00:00Z"):
        assert ids((await served.get("root", "/oms/orders/open", **{"from": begin})).json()) == [1, 2, 3]
    assert reading._ns("from", datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC)) == -500_000_000


async def test_a_full_page_says_where_the_next_begins(served: Served) -> None:
    first = (await served.get("root", "/oms/orders/open", page_size=2)).json()
    assert (ids(first), first["next_after_id"]) == ([1, 2], 2)
    second = (await served.get("root", "/oms/orders/open", page_size=2, after_id=2)).json()
    assert (ids(second), second["next_after_id"]) == ([3], None)


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": 501},
        {"page_size": 0},
        {"page": 0},
        {"page": 10**9},
        {"after_id": -1},
        {"after_id": 10**18},
        {"account_ids": "a"},
        {"strategy_id": "x"},
        {"from": "yesterday"},
        {"from": "2026-01-01T00:00:00"},
        {"symbol": ""},
        {"symbol": "\x00"},
        {"account_ids": "1\n"},
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(served: Served, query: dict[str, Any]) -> None:
    response = await served.get("root", "/oms/orders/open", **query)
    assert response.status_code == 422, response.text
    answer = response.json()
    assert answer["code"] == "validation_error"
    (name,) = query
    assert answer["details"]["field"] == name
    assert answer["message"].startswith(f"{name}: ")


@pytest.mark.parametrize("path", ["/oms/orders/open", "/oms/deals", "/oms/positions/open"])
async def test_an_account_of_somebody_else_is_not_there(served: Served, path: str) -> None:
    response = await served.get("ann", path, account_ids="1,2")
    assert response.status_code == 404
    assert response.json()["code"] == "account_not_found"


async def test_nobody_reads_without_a_key(served: Served) -> None:
    for path in ("/oms/orders/1", "/oms/orders/open", "/oms/events?account_id=1", "/oms/accounts"):
        response = await served.client.get(path)
        assert response.status_code == 401
        assert response.json()["code"] == "missing_api_key"


async def test_events_follow_a_number_in_order(served: Served) -> None:
    answer = (await served.get("ann", "/oms/events", account_id=1)).json()
    assert [item["sequence"] for item in answer["items"]] == [1, 2]
    assert answer["last_sequence"] == 2
    behind = (await served.get("ann", "/oms/events", account_id=1, after_sequence=1, limit=1)).json()
    assert [item["channel"] for item in behind["items"]] == ["deals"]
    assert (await served.get("ann", "/oms/events", account_id=1, after_sequence=2)).json() == {
        "items": [],
        "last_sequence": 2,
    }


async def test_events_of_a_whole_account_are_not_for_a_key_of_some_strategies(served: Served) -> None:
    response = await served.get("sam", "/oms/events", account_id=1)
    assert response.status_code == 403
    assert response.json()["code"] == "strategy_permission_denied"
    assert (await served.get("eve", "/oms/events", account_id=1)).status_code == 404
