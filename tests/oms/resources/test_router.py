"""Every resource of the OMS is there, and answers nobody whom nobody knows."""

from __future__ import annotations

from typing import Final

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
