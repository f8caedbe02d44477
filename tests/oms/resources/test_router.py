"""Every resource of the OMS is there, and answers nobody whom nobody knows."""

from __future__ import annotations

import re
from typing import Final

from tests.docs_parts import text_of
from tests.oms.resources.served import Served

PATHS: Final = {
    "/oms/commands": {"post"},
    "/oms/orders/open": {"get"},
    "/oms/orders/history": {"get"},
    "/oms/orders/{ids}": {"get"},
    "/oms/deals": {"get"},
    "/oms/deals/{ids}": {"get"},
    "/oms/positions/open": {"get"},
    "/oms/positions/history": {"get"},
    "/oms/positions/{ids}": {"get"},
    "/oms/events": {"get"},
    "/oms/reconcile": {"post"},
    "/oms/reconcile/{account_id}/status": {"get"},
    "/oms/reconcile/{account_id}/history": {"get"},
    "/oms/reassign": {"post"},
    "/oms/readiness": {"get"},
    "/oms/trading": {"get", "put"},
    "/oms/accounts": {"get", "post", "patch"},
    "/oms/strategies": {"get", "post", "patch"},
    "/oms/risk/{account_id}": {"get", "patch"},
}


async def test_every_resource_is_there_and_asks_who_it_is(served: Served) -> None:
    document = (await served.client.get("/openapi.json")).json()
    found = {path: set(operations) for path, operations in document["paths"].items() if path.startswith("/oms")}
    assert found == PATHS
    for path, methods in found.items():
        for method in methods:
            response = await served.client.request(
                method, path.replace("{ids}", "1").replace("{account_id}", "1"), params={"account_id": 1}
            )
            assert response.status_code == 401, (method, path)


async def test_resources_beside_those_of_orders_are_told(served: Served) -> None:
    document = (await served.client.get("/openapi.json")).json()
    found = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        if path.startswith(("/api/alerts", "/api/signals", "/api/news"))
        for method in operations
    }
    section = text_of("docs/protocol.md").partition("\n## 10. HTTP\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"\b(GET|POST|DELETE) (/api/(?:alerts|signals|news)[\w/{}]*)`", section)) == found
