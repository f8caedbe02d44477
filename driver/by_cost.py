"""Orders by what they cost, which the gateway does not have: refused, in every way that ccxt has to ask for them.

ccxt's own methods would make an order of it whose amount is the cost. Must not know a client.
"""

from __future__ import annotations

from typing import Any

from ccxt.base.errors import NotSupported

from driver.plan import Plan, unified


def _refused(camel_case: str) -> Any:
    def plan(self: Any, *arguments: Any, **named: Any) -> Plan[Any]:
        yield from ()  # raised where it is awaited, as by any other method
        raise NotSupported(f"{self.id} {camel_case}() is not supported: an order has an amount, not a cost")

    plan.__doc__ = "Raises NotSupported."
    return unified(plan)


class ByCost:
    """See the module."""

    create_market_order_with_cost = _refused("createMarketOrderWithCost")
    create_market_buy_order_with_cost = _refused("createMarketBuyOrderWithCost")
    create_market_sell_order_with_cost = _refused("createMarketSellOrderWithCost")
    create_market_order_with_cost_ws = _refused("createMarketOrderWithCostWs")
    create_market_buy_order_with_cost_ws = _refused("createMarketBuyOrderWithCostWs")
    create_market_sell_order_with_cost_ws = _refused("createMarketSellOrderWithCostWs")
