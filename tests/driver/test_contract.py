"""What the driver asks is what the gateway takes, and what these tests answer it with is what the gateway tells.

Held against the gateway's own types and its OpenAPI document, so that neither side changes alone.
"""

from __future__ import annotations

import asyncio
import json
import re
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest

from oms.commands import Request, parse
from oms.passing import calls
from oms.shapes import DealShape, OrderShape, PositionShape
from oms.store.pool import Pool
from tests.driver import pro_client, stub
from tests.driver.conftest import Client
from tests.driver.stub import Recorded, Stub, deal, filled, items, order, page, position, result, results
from tests.oms.resources.served import serving

BTC = "BTC/USDT"
ORDER = (BTC, "limit", "buy", 0.01, 50_000)
ANSWERED: dict[str, tuple[Any, ...]] = {
    "create_order": (*ORDER, {"takeProfitPrice": 49_000, "stopLoss": {"triggerPrice": 40_000}, "strategy_id": 7}),
    "create_orders": ([dict(zip(("symbol", "type", "side", "amount", "price"), ORDER, strict=True))] * 2,),
    "edit_order": ("10", *ORDER),
    "cancel_order": ("10", BTC),
    "cancel_orders": (["10"], BTC),
    "cancel_all_orders": (BTC, {"strategy_id": 7}),
    "cancel_all_orders_after": (5_000,),
    "fetch_order": (None, BTC, {"clientOrderId": "mine-10"}),
    "fetch_orders": (BTC, 1, 3, {"until": 2, "strategy_id": 7}),
    "fetch_open_orders": (BTC,),
    "fetch_closed_orders": (BTC,),
    "fetch_canceled_orders": (BTC, None, 3),
    "fetch_my_trades": (BTC, 1, 3, {"until": 2}),
    "fetch_order_trades": ("10", BTC),
    "fetch_positions": ([BTC],),
    "fetch_positions_history": ([BTC], 1, 3),
    "close_position": ("BTC/USDT:USDT", "long", {"amount": 0.1, "price": 50_000}),
    "fetch_balance": ({"type": "spot"},),
    "fetch_ticker": (BTC,),
    "fetch_ohlcv": (BTC, "1h", 1, 3),
}


@pytest.mark.parametrize("of", [stub, pro_client], ids=["resources", "events"])
@pytest.mark.parametrize(("name", "shape"), [("order", OrderShape), ("deal", DealShape), ("position", PositionShape)])
def test_a_row_has_the_fields_of_the_gateways(of: Any, name: str, shape: Any) -> None:
    row = getattr(of, name)(1)
    row.pop("event", None)  # what an event has beside the row
    assert set(row) == set(shape.__annotations__)
    msgspec.convert(row, shape)


@pytest.fixture(name="document", scope="module")
def _document() -> Any:
    async def read() -> Any:
        async with serving(cast(Pool, None)) as served:
            return (await served.client.get("/openapi.json")).json()

    return asyncio.run(read())


def check(asked: Recorded, document: Any) -> None:
    """One request. Raises OmsError for a call that the gateway does not take."""
    if passed := re.fullmatch(r"/ccxt/(core/)?1/(\w+)", asked.path):
        body = json.loads(json.dumps(asked.body), parse_float=Decimal)
        arguments = ((), body) if passed[1] else (body["args"], body["kwargs"])
        assert asked.method == "POST"
        calls.read(passed[2], *arguments)
        return
    path = re.sub(r"(?<=^/oms/orders/)[0-9,]+$", "{ids}", asked.path)
    told = document["paths"][path][asked.method.lower()]
    allowed = {each["name"]: each["schema"] for each in told.get("parameters", []) if each["in"] == "query"}
    assert asked.query.keys() <= allowed.keys()
    if path == "/oms/commands":
        assert all(isinstance(each, Request) for each in parse(asked.body))


@pytest.mark.parametrize("client", ["sync"], indirect=True)  # the other one asks the same
@pytest.mark.parametrize("method", ANSWERED)
def test_what_is_asked_is_what_the_gateway_takes(client: Client, stub: Stub, document: Any, method: str) -> None:
    held = page(position(), position(4, symbol=BTC))
    stub.on("GET /oms/orders/open", page(order()))
    stub.on("GET /oms/orders/history", page(filled(11)))
    stub.on("GET /oms/orders/10", items(order()))
    stub.on("GET /oms/deals", page(deal(order_id=11)))
    stub.on("GET /oms/positions/*", held)
    stub.on("POST /ccxt/*", {"result": {}})
    stub.on("POST /oms/commands", lambda asked: results(
        *[result(at) for at in range(len(asked.body) if isinstance(asked.body, list) else 1)]
    ))  # fmt: skip
    client(method, *ANSWERED[method])
    assert any(not each.path.endswith(("/describe", "/fetch_markets", "/fetch_currencies")) for each in stub.requests)
    for asked in stub.requests:
        check(asked, document)
