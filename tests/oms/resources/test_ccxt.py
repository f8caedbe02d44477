"""How a function of ccxt is called over HTTP, and what the document says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar, Request, Response
from litestar.di import Provide

from oms.errors import OmsError
from oms.model import Principal
from oms.passing.calls import FUNCTIONS
from oms.resources import ccxt
from tests.plain_http import NO_TLS

SOMEBODY = Principal(user_id=1, user_name="ann", api_key_id=1)


class Noting:
    """Notes each call, and answers with a number that a float of JSON would not keep."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def call(self, *asked: Any) -> bytes:
        self.asked.append(asked)
        return b"[0.10]"


def caller(request: Request[Any, Any, Any]) -> Principal | None:
    return SOMEBODY if "x-api-key" in request.headers else None


def refuse(_: Any, error: OmsError) -> Response[Any]:
    return Response({"code": error.code}, status_code=422)


@pytest.fixture
def calls() -> Noting:
    return Noting()


@pytest.fixture
async def client(calls: Noting) -> AsyncIterator[httpx.AsyncClient]:
    app = Litestar(
        [ccxt.router(calls)],
        dependencies={"caller": Provide(caller, sync_to_thread=False)},
        exception_handlers={OmsError: refuse},
        logging_config=None,
    )
    async with httpx.AsyncClient(
        verify=NO_TLS, transport=httpx.ASGITransport(cast(Any, app)), base_url="http://gateway"
    ) as client:
        yield client


async def test_both_spellings_are_one_call(client: httpx.AsyncClient, calls: Noting) -> None:
    body = {"args": ["BTC/USDT"], "kwargs": {"limit": 5}}
    answer = await client.post("/ccxt/3/fetch_order_book", json=body)
    assert (answer.status_code, answer.text) == (200, '{"result":[0.10]}')
    assert answer.headers["content-type"] == "application/json"
    await client.post("/ccxt/core/3/fetchOrderBook", json={"symbol": "BTC/USDT"}, headers={"x-api-key": "k"})
    await client.post("/ccxt/3/load_markets")
    assert calls.asked == [
        (None, 3, "fetch_order_book", ["BTC/USDT"], {"limit": 5}),
        (SOMEBODY, 3, "fetchOrderBook", [], {"symbol": "BTC/USDT"}),
        (None, 3, "load_markets", [], {}),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/ccxt/3/fetch_time", b"["),
        ("/ccxt/3/fetch_time", b"[]"),
        ("/ccxt/3/fetch_time", b'{"args": {}}'),
        ("/ccxt/3/fetch_time", b'{"params": {}}'),
        ("/ccxt/core/3/fetch_time", b"[]"),
    ],
)
async def test_a_body_that_is_no_call_is_refused(
    client: httpx.AsyncClient, calls: Noting, path: str, body: bytes
) -> None:
    answer = await client.post(path, content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert calls.asked == []


def test_the_document_names_every_function(calls: Noting) -> None:
    app = Litestar(
        [ccxt.router(calls)], dependencies={"caller": Provide(caller, sync_to_thread=False)}, logging_config=None
    )
    document = ccxt.describe(app.openapi_schema.to_schema())
    for path in ("/ccxt/{account_id}/{func}", "/ccxt/core/{account_id}/{func}"):
        operation = document["paths"][path]["post"]
        (func,) = (each for each in operation["parameters"] if each["name"] == "func")
        assert func["schema"]["enum"] == sorted(FUNCTIONS)
        assert operation["requestBody"]["content"]["application/json"]["schema"]["type"] == "object"
