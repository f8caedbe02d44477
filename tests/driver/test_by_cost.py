"""Nobody's cost is taken for an amount."""

from __future__ import annotations

import pytest
from ccxt.base.errors import NotSupported

from tests.driver.conftest import Client
from tests.driver.stub import Stub


@pytest.mark.parametrize("suffix", ["", "_ws"])
@pytest.mark.parametrize("options", [{}, {"createMarketBuyOrderRequiresPrice": True}], ids=["plain", "with a price"])
def test_an_order_by_its_cost_is_not_supported(
    client: Client, stub: Stub, suffix: str, options: dict[str, bool]
) -> None:
    client.exchange.options.update(options)
    for name, arguments in (
        ("create_market_order_with_cost", ("BTC/USDT", "buy", 50)),
        ("create_market_buy_order_with_cost", ("BTC/USDT", 50)),
        ("create_market_sell_order_with_cost", ("BTC/USDT", 50)),
    ):
        with pytest.raises(NotSupported, match="not a cost"):
            client(f"{name}{suffix}", *arguments)
    with pytest.raises(NotSupported):
        client("createMarketBuyOrderWithCost" + ("Ws" if suffix else ""), "BTC/USDT", 50)
    assert not stub.requests
