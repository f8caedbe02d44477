"""The lean class of Binance on the simulated exchange: what it reads by itself, and what it leaves to ccxt."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from ccxt.base.errors import InvalidOrder
from hypothesis import given
from hypothesis import strategies as st

from loadtest.exchange import reports
from loadtest.exchange.server import ExchangeServer
from oms.model import OrderType
from oms.venues import client
from oms.venues.ccxt import CcxtVenue
from oms.venues.lean import LeanBinance
from tests.oms.venues.test_binance_spot import CCXT, SYMBOL, names
from tests.oms.venues.tools import BTC, Ears, at_exchange, config, order, placed


def kept(venue: CcxtVenue) -> tuple[int, int]:
    """How many orders and trades ccxt has read of the stream."""
    return len(venue._exchange.orders), len(venue._exchange.myTrades)


def lean() -> Any:
    """The lean class with the market that ccxt's own has."""
    exchange = client.build(config("http://127.0.0.1:9"))
    exchange.set_markets([*CCXT.markets.values()])
    return exchange


LEAN = lean()


# What is sent


@given(st.data())
def test_what_is_asked_for_is_what_ccxt_would_ask_for(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["limit", "market"]))
    own = [{"timeInForce": "GTC"}, {"timeInForce": "IOC"}, {"postOnly": True}] if kind == "limit" else [{}]
    others: list[dict[str, Any]] = [{}, {}, {"triggerPrice": "9"}, {"icebergQty": "1"}, {"postOnly": False}]
    params = {
        "clientOrderId": data.draw(names),
        **data.draw(st.sampled_from(own)),
        **data.draw(st.sampled_from(others)),
    }
    amount = f"{data.draw(st.integers(1, 10**9)) * Decimal('0.00001'):f}"
    price = f"{data.draw(st.integers(1, 10**9)) * Decimal('0.01'):f}" if kind == "limit" else None
    asked = SYMBOL, kind, data.draw(st.sampled_from(["buy", "sell"])), amount, price
    assert LEAN.create_order_request(*asked, dict(params)) == CCXT.create_order_request(*asked, dict(params))


def test_a_request_that_was_made_before_is_not_changed_by_who_sends_it() -> None:
    asked, params = (SYMBOL, "limit", "buy", "1", "2"), {"clientOrderId": "a", "timeInForce": "GTC"}
    LEAN.create_order_request(*asked, params)["newOrderRespType"] = "other"
    LEAN.create_order_request(*asked, params)["newOrderRespType"] = "other"
    assert LEAN.create_order_request(*asked, params)["newOrderRespType"] == "FULL"


def test_what_ccxt_refuses_is_refused() -> None:
    with pytest.raises(InvalidOrder):
        LEAN.create_order_request(SYMBOL, "other", "buy", "1", "2", {"clientOrderId": "a"})


def test_query_strings_are_as_ccxt_writes_them() -> None:
    for params in ({"a": 1}, {"a": "b c"}, {"a": True}):
        assert LEAN.urlencode(params) == CCXT.urlencode(params)
    assert LEAN.urlencode({"a": ["b", "c"]}, True) == "a=b&a=c"


# What is heard


async def test_reports_are_heard_without_ccxt(venue: CcxtVenue, ears: Ears) -> None:
    told = await venue.place(order(order_type=OrderType.MARKET, price=None, qty=Decimal("0.01")), "m")
    await ears.until(lambda: any(each.status == "filled" for each in ears.orders))
    assert sum(trade.qty for trade in ears.trades) == told.filled
    assert kept(venue) == (0, 0)


async def test_a_report_of_another_kind_is_read_by_ccxt(exchange: ExchangeServer, venue: CcxtVenue, ears: Ears) -> None:
    at = at_exchange(exchange, await placed(venue, order()))
    report = reports.execution(at, "NEW", 98, exchange.feed.trading_ms())
    exchange.trading._emit(at.account, {**report, "X": "PENDING_NEW", "c": "another"})
    await ears.until(lambda: any(each.client_order_id == "another" for each in ears.orders))
    assert kept(venue) == (1, 0)


async def test_balances_are_heard_by_nobody(venue: CcxtVenue, ears: Ears) -> None:
    await venue.place(order(), "a")
    await ears.until(lambda: bool(ears.orders))
    exchange: Any = venue._exchange
    exchange.handle_message(None, {"event": {"e": "outboundAccountPosition", "B": [{"a": "BTC"}]}})
    assert all(not said for said in exchange.balance.values() if isinstance(said, dict))


async def test_an_answer_is_read_without_ccxt(venue: CcxtVenue) -> None:
    raw = (await venue.place(order(), "a")).raw
    assert "trades" not in venue._exchange.parse_order(raw)
    assert "trades" in venue._exchange.parse_order({**raw, "status": "PENDING_NEW"})


def test_others_are_told_all_that_ccxt_tells() -> None:
    settings = config("http://127.0.0.1:9")
    assert not isinstance(client.make(settings, {}, float), LeanBinance)
    assert isinstance(client.build(settings), LeanBinance)


def test_what_is_too_fine_is_cut_off_by_ccxt(venue: CcxtVenue) -> None:
    exchange: Any = venue._exchange
    assert exchange.amount_to_precision(BTC, "0.000015") == "0.00001"
    assert exchange.price_to_precision(BTC, "5.016") == "5.02"
    with pytest.raises(InvalidOrder):
        exchange.amount_to_precision(BTC, "0.000001")
