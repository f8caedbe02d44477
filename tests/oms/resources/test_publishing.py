"""Signals and news over HTTP, on a real database."""

from __future__ import annotations

from typing import Any

import pytest

from oms.model import Scope
from tests.oms.resources.served import Served

SIGNAL = {"signal_type": "BUY", "symbol": "BTC/USDT", "price": 61000.5}
NEWS = {"headline": "Exchange hacked", "symbols": ["BTC/USDT"], "url": "https://example.org/1"}


async def test_what_is_published_is_listed(served: Served) -> None:
    made = await served.send("ann", "POST", "/api/signals", {**SIGNAL, "request_id": "r"})
    assert (made.status_code, made.json()) == (201, {"id": 1, "replayed": False})
    again = await served.send("ann", "POST", "/api/signals", {**SIGNAL, "request_id": "r"})
    assert (again.status_code, again.json()) == (200, {"id": 1, "replayed": True})
    other = await served.send("ann", "POST", "/api/signals", {**SIGNAL, "price": 1, "request_id": "r"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    page = (await served.get("eve", "/api/signals")).json()
    assert page["next_before_id"] is None
    (item,) = page["items"]
    assert item.pop("timestamp").endswith("Z")
    assert item == {**SIGNAL, "id": 1, "quantity": None, "confidence": None, "source": "ann"}


async def test_news_by_pages(served: Served) -> None:
    numbers = [(await served.send("ann", "POST", "/api/news", NEWS)).json()["id"] for _ in range(3)]
    first = (await served.get("ann", "/api/news", symbol="BTC/USDT", page_size=2)).json()
    assert [item["id"] for item in first["items"]] == numbers[:0:-1]
    rest = (await served.get("ann", "/api/news", page_size=2, before_id=first["next_before_id"])).json()
    assert ([item["id"] for item in rest["items"]], rest["next_before_id"]) == (numbers[:1], None)
    assert (rest["items"][0]["sentiment"], rest["items"][0]["url"]) == (-1, "https://example.org/1")
    assert (await served.get("ann", "/api/news", symbol="ETH/USDT")).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "field"), [({}, "signal_type"), ({**SIGNAL, "confidence": 3}, "confidence"), ({**SIGNAL, "x": 1}, "x")]
)
async def test_a_body_that_is_wrong_is_told_where(served: Served, body: dict[str, Any], field: str) -> None:
    refused = await served.send("ann", "POST", "/api/signals", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_error")
    assert refused.json()["details"] == {"field": field}


async def test_who_may_publish_and_who_may_read(served: Served) -> None:
    served.users.change("sam", scopes=frozenset({Scope.READ, Scope.TRADE}))
    refused = await served.send("sam", "POST", "/api/news", NEWS)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert (await served.get("sam", "/api/news")).json()["items"] == []
    assert (await served.client.get("/api/news")).status_code == 401
