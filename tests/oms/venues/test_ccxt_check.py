"""What the venue knows of an order before it is committed, with ccxt's real classes and nothing sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from loadtest.exchange.server import ExchangeServer
from oms.errors import OmsError
from oms.model import OrderType, TimeInForce
from oms.venues.base import Refused
from oms.venues.ccxt import CcxtVenue
from tests.oms.orders_made import LINEAR
from tests.oms.venues.tools import BTC, Ears, client_ids, config, order


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"symbol": "NO/NO"}, "unknown_symbol", None),
        ({"params": {"newClientOrderId": "another"}}, "validation_error", "params.newClientOrderId"),
        ({"params": {"icebergQty": {"a": 1}}}, "validation_error", "params.icebergQty"),
        ({"time_in_force": TimeInForce.GTD, "expires_ns": 1}, "unsupported_action", "time_in_force"),
    ],
)
async def test_what_cannot_be_placed_is_known_without_a_request(
    exchange: ExchangeServer, venue: CcxtVenue, changes: dict[str, Any], code: str, field: str | None
) -> None:
    with pytest.raises(OmsError) as raised:
        venue.check(order(**changes))
    assert (raised.value.code, (raised.value.details or {}).get("field")) == (code, field)
    assert client_ids(exchange) == []
    assert exchange.trading.ledger.requests == []


async def test_what_is_finer_than_steps_that_are_none_of_a_market_is_known_without_a_request(venue: CcxtVenue) -> None:
    venue._instruments[BTC] = replace(venue.instrument(BTC), qty_step=Decimal(0))  # as with significant digits
    venue.check(order())
    with pytest.raises(OmsError, match="finer than steps") as raised:
        venue.check(order(qty=Decimal("0.000012")))
    assert raised.value.details == {"exception": "InvalidOrder"}


async def test_a_trigger_that_is_finer_than_steps_is_known_without_a_request(venue: CcxtVenue) -> None:
    venue._instruments[BTC] = replace(venue.instrument(BTC), price_step=Decimal(0))
    for kind in (OrderType.STOP, OrderType.TAKE_PROFIT):
        with pytest.raises(OmsError, match=r"trigger_price .* is finer than steps"):
            venue.check(order(order_type=kind, price=None, trigger_price=Decimal("30000.001")))


async def test_an_account_of_spot_markets_trades_no_contracts(venue: CcxtVenue) -> None:
    venue._instruments["BTC/USDT:USDT"] = LINEAR
    with pytest.raises(OmsError) as raised:
        venue.check(order(symbol="BTC/USDT:USDT"))
    assert raised.value.code == "unsupported_action"


async def test_what_ccxt_refuses_by_itself_is_known_without_a_request(venue: CcxtVenue) -> None:
    stop = order(order_type=OrderType.STOP, price=None, trigger_price=Decimal(90_000))
    venue._exchange.markets[BTC]["info"]["orderTypes"].remove("STOP_LOSS")
    with pytest.raises(OmsError) as raised:
        venue.check(stop)
    assert (raised.value.code, "triggerPrice" in raised.value.message) == ("validation_error", True)
    assert raised.value.details == {"exception": "InvalidOrder"}
    venue.check(order())


async def test_what_can_be_placed_passes_and_nothing_is_sent(exchange: ExchangeServer, venue: CcxtVenue) -> None:
    priced = {"order_type": OrderType.STOP_LIMIT, "trigger_price": Decimal(90_000)}
    profit = {"order_type": OrderType.TAKE_PROFIT_LIMIT, "trigger_price": Decimal(30_000)}
    kinds: list[dict[str, Any]] = [
        {},
        {"post_only": True},
        {"time_in_force": TimeInForce.FOK},
        priced,
        profit,
        {"filled": Decimal("0.5")},
    ]
    for changes in kinds:
        venue.check(order(client_order_id="", **changes))
        venue.check(order(**changes))  # of a kind that was seen before
    venue.check(order(order_type=OrderType.MARKET, price=None))
    assert exchange.trading.ledger.requests == []
    assert exchange.trading.ledger.orders == []


async def test_params_that_are_known_reach_the_exchange(exchange: ExchangeServer, venue: CcxtVenue) -> None:
    asked = order(params={"strategyId": 7, "selfTradePreventionMode": "EXPIRE_MAKER"})
    venue.check(asked)
    await venue.place(asked, "c1")
    sent = exchange.trading.ledger.requests[-1].parameters
    assert (sent["strategyId"], sent["selfTradePreventionMode"]) == ("7", "EXPIRE_MAKER")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("test", True),
        ("sor", True),
        ("marginMode", "cross"),
        ("portfolioMargin", True),
        ("newClientOrderId", "another"),
        ("triggerPrice", 90_000),
        ("takeProfitPrice", 30_000),
        ("postOnly", True),
        ("timeInForce", "IOC"),
        ("price", "1"),
        ("quantity", "9"),
        ("side", "SELL"),
    ],
)
async def test_a_configured_param_makes_no_other_order_and_goes_nowhere_else(
    exchange: ExchangeServer, ears: Ears, name: str, value: object
) -> None:
    venue = CcxtVenue(config(exchange.base_url, order_params=frozenset({name, "strategyId"})))
    await venue.start(ears)
    try:
        venue.check(order(params={"strategyId": 7}))
        asked = order(params={name: value})
        with pytest.raises(OmsError) as raised:
            venue.check(asked)
        assert (raised.value.code, raised.value.details) == ("validation_error", {"field": "params"})
        with pytest.raises(Refused):  # committed by whom it was let through
            await venue.place(asked, "c1")
        assert exchange.trading.ledger.requests == []
    finally:
        await venue.close()
