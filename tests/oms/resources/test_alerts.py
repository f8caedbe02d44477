"""Alerts over HTTP: how they are asked for, and who sees which."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oms.alerts.service import NewAlert
from oms.errors import OmsError
from oms.model import AlertType
from oms.store import alerts, rows
from oms.writes import Writes
from tests.oms.resources.served import Served, alert_of

ABOVE = {"account_id": 1, "symbol": "BTC/USDT", "type": "above", "price": "61000.50"}


async def test_one_is_made_armed_again_and_deleted(served: Served) -> None:
    made = await served.send("ann", "POST", "/api/alerts", {**ABOVE, "message": "sell"})
    assert (made.status_code, made.json()["price"], made.json()["state"]) == (201, "61000.5", "armed")
    again = await served.send("ann", "POST", "/api/alerts/7/rearm", b"")
    assert (again.status_code, again.json()["triggered_price"]) == (200, "61001")
    gone = await served.send("ann", "DELETE", "/api/alerts/7", b"")
    assert (gone.status_code, gone.json()["id"]) == (200, 7)
    wanted = NewAlert(
        account_id=1, symbol="BTC/USDT", type=AlertType.ABOVE, price=Decimal("61000.5"), message="sell"
    )  # fmt: skip
    assert served.service.asked == [("create", "ann", wanted), ("rearm", "ann", 7), ("delete", "ann", 7)]
    served.service.refusal = OmsError("alert_not_found", "there is no such alert")
    assert (await served.send("ann", "DELETE", "/api/alerts/7", b"")).status_code == 404


async def test_a_request_has_an_id_in_its_body_or_a_header(served: Served) -> None:
    header = {"idempotency-key": "header"}
    for body, headers in (
        ({**ABOVE, "request_id": "body"}, {}),
        ({**ABOVE, "request_id": "body"}, header),
        (ABOVE, header),
    ):
        assert (await served.send("ann", "POST", "/api/alerts", body, **headers)).status_code == 201
    assert [wanted.request_id for _, _, wanted in served.service.asked] == ["body", "body", "header"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "near"}, "type"),
        ({"price": "1e3"}, "price"),
        ({"price": 61000}, "price"),
        ({"window_s": 61}, "window_s"),
        ({"message": "x" * 201}, "message"),
        ({"more": 1}, "more"),
    ],
)
async def test_a_body_that_is_wrong_is_told_where(served: Served, changes: dict[str, Any], field: str) -> None:
    refused = await served.send("ann", "POST", "/api/alerts", {**ABOVE, **changes})
    assert (refused.status_code, refused.json()["details"]) == (422, {"field": field})


async def test_everybody_sees_those_of_accounts_that_are_theirs_as_a_whole(served: Served) -> None:
    made = {1: alert_of(1), 2: alert_of(2, 2), 3: alert_of(3)}
    text = rows.encode([alerts.row_of(each) for each in made.values()])
    await served.service.pool.execute("SELECT oms_write_alerts('[]', $1::text::json)", text)
    assert Writes(alerts=made).rows == 3

    async def numbers(user: str, **query: Any) -> list[int]:
        return [item["id"] for item in (await served.get(user, "/api/alerts", **query)).json()["items"]]

    assert await numbers("root") == [1, 2, 3]
    assert await numbers("ann") == [1, 3]
    assert await numbers("ann", account_id=1, after_id=1) == [3]
    assert await numbers("ann", state="armed") == []
    assert await numbers("sam") == await numbers("eve") == []
    page = (await served.get("root", "/api/alerts", page_size=2)).json()
    assert (len(page["items"]), page["next_after_id"]) == (2, 2)
    assert (await served.get("ann", "/api/alerts", account_id=2)).status_code == 404
