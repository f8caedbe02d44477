"""What programs ask over the socket elsewhere is answered here too, and `has` says which."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from ccxt.base.errors import NotSupported

from driver.fetch_ws import FETCH_WS, FETCHED, FetchWs
from tests.driver.pro_client import Pro, order, pro_client


@pytest.fixture(name="pro")
async def _pro() -> AsyncIterator[Pro]:
    async with pro_client() as pro:
        await pro.exchange.load_markets()
        yield pro


def test_has_names_them_all() -> None:
    told = [name.lower() for name in FETCH_WS]
    assert told == [f"fetch{name.replace('_', '')}ws" for name in FETCHED]
    assert all(hasattr(FetchWs, f"fetch_{name}_ws") for name in FETCHED)


async def test_an_order_is_fetched_by_rest(pro: Pro) -> None:
    pro.server.answers["/oms/orders/7"] = lambda _: {"items": [order(7)], "missing": []}
    assert (await pro.exchange.fetch_order_ws("7", "BTC/USDT"))["id"] == "7"
    assert pro.exchange.has["fetchOrderWs"] is True


async def test_an_open_order_is_listed_under_either_name(pro: Pro) -> None:
    pro.server.answers["/oms/orders/open"] = lambda _: {"items": [order(7)], "next_after_id": None}
    assert [each["id"] for each in await pro.exchange.fetchOpenOrdersWs("BTC/USDT")] == ["7"]


@pytest.mark.parametrize("name", ["fetch_deposits_ws", "fetch_withdrawals_ws"])
async def test_what_is_not_there_is_not_supported(pro: Pro, name: str) -> None:
    with pytest.raises(NotSupported):
        await getattr(pro.exchange, name)()
