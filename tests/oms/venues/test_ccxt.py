"""The venue with ccxt's real classes against the simulated exchange: every request."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest
from ccxt.base.errors import OrderNotFound
from msgspec.structs import replace

from loadtest.exchange.accounts import DEFAULT_KEY
from loadtest.exchange.decimals import parse
from loadtest.exchange.server import ExchangeServer
from oms.errors import OmsError
from oms.model import Instrument, OrderType, Side, TimeInForce
from oms.venues import binance
from oms.venues.base import Ambiguous, Refused, VenueOrder, VenuePosition
from oms.venues.ccxt import CcxtVenue
from tests.loadtest.exchange.tools import Client
from tests.oms.orders_made import LINEAR
from tests.oms.venues.tools import BTC, Ears, at_exchange, client_ids, config, fill, order, placed
from tests.waiting import until

DAY_NS = 86_400 * 1_000_000_000


# What it trades


def test_an_instrument(venue: CcxtVenue) -> None:
    assert venue.instrument(BTC) == Instrument(
        symbol=BTC,
        base="BTC",
        quote="USDT",
        price_step=Decimal("0.01"),
        qty_step=Decimal("0.00001"),
        price_min=Decimal("0.01"),
        price_max=Decimal(1_000_000),
        qty_min=Decimal("0.00001"),
        qty_max=Decimal(9_000_000),
        notional_min=Decimal(5),
        notional_max=Decimal(9_000_000),
    )


def test_an_unknown_symbol(venue: CcxtVenue) -> None:
    with pytest.raises(OmsError) as raised:
        venue.instrument("NO/NO")
    assert raised.value.code == "unknown_symbol"


# Orders


async def test_who_has_the_last_word_when_its_turn_has_come_keeps_an_order_from_being_sent(
    exchange: ExchangeServer, venue: CcxtVenue
) -> None:
    venue._exchange.enableRateLimit = True
    halted: list[Refused] = []

    def on_turn() -> None:
        if halted:
            raise halted[0]

    waiting = asyncio.gather(*(venue.place(order(n), f"c{n}", on_turn) for n in range(1, 30)), return_exceptions=True)
    await until(lambda: client_ids(exchange))
    halted.append(Refused("risk_blocked", "trading is halted"))
    ends = await waiting
    assert ends[-1] is halted[0], "it has waited for those before it"
    there = len(client_ids(exchange))
    assert there == sum(isinstance(end, VenueOrder) for end in ends)


async def test_an_order_is_placed_as_it_was_committed(exchange: ExchangeServer, venue: CcxtVenue) -> None:
    asked = order(qty=Decimal("0.12345"), price=Decimal("20000.67"), client_order_id="tw:mine-1.0")
    told = await venue.place(asked, "tw:mine-1.0")
    assert (told.client_order_id, told.symbol, told.side, told.order_type) == ("tw:mine-1.0", BTC, "buy", "limit")
    assert (told.qty, told.price, told.status) == (asked.qty, asked.price, "open")
    at = at_exchange(exchange, replace(asked, exchange_order_id=told.exchange_order_id))
    assert (at.client_id, at.qty, at.request.price) == ("tw:mine-1.0", parse("0.12345"), parse("20000.67"))


async def test_what_remains_is_placed(exchange: ExchangeServer, venue: CcxtVenue) -> None:
    told = await venue.place(order(qty=Decimal(3), filled=Decimal(1), replaces=1), "again")
    assert told.qty == Decimal(2)


async def test_a_market_order_is_filled(venue: CcxtVenue, ears: Ears) -> None:
    told = await venue.place(order(order_type=OrderType.MARKET, price=None, qty=Decimal("0.01")), "m")
    assert (told.order_type, told.status, told.price, told.filled) == ("market", "filled", None, Decimal("0.01"))
    await ears.until(lambda: sum(trade.qty for trade in ears.trades) == told.filled)
    assert {trade.client_order_id for trade in ears.trades} == {"m"}
    assert all(trade.fee > 0 and trade.fee_currency == "BTC" and trade.maker is False for trade in ears.trades)


@pytest.mark.parametrize(
    ("changes", "kind", "time_in_force"),
    [
        ({"post_only": True}, "LIMIT_MAKER", "GTC"),
        ({"time_in_force": TimeInForce.IOC}, "LIMIT", "IOC"),
        ({"time_in_force": TimeInForce.FOK}, "LIMIT", "FOK"),
        ({"order_type": OrderType.STOP, "price": None, "trigger_price": Decimal(90_000)}, "STOP_LOSS", "GTC"),
        (
            {"order_type": OrderType.STOP_LIMIT, "price": Decimal(90_001), "trigger_price": Decimal(90_000)},
            "STOP_LOSS_LIMIT",
            "GTC",
        ),
        ({"order_type": OrderType.TAKE_PROFIT, "price": None, "trigger_price": Decimal(30_000)}, "TAKE_PROFIT", "GTC"),
        (
            {"order_type": OrderType.TAKE_PROFIT_LIMIT, "price": Decimal(30_001), "trigger_price": Decimal(30_000)},
            "TAKE_PROFIT_LIMIT",
            "GTC",
        ),
    ],
)
async def test_kinds_of_orders(
    exchange: ExchangeServer, venue: CcxtVenue, changes: dict[str, Any], kind: str, time_in_force: str
) -> None:
    asked = await placed(venue, order(**changes))
    at = at_exchange(exchange, asked)
    assert (at.request.type, at.request.time_in_force) == (kind, time_in_force)
    found = await venue.find(asked)
    assert found is not None
    assert (found.order_type, found.price) == (asked.order_type, asked.price)
    assert found.trigger_price == asked.trigger_price


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"qty": Decimal(99), "price": Decimal(50_000)}, "insufficient_funds"),
        ({"qty": Decimal("0.0001")}, "validation_error"),  # below the minimum notional
        ({"qty": Decimal("0.000012")}, "validation_error"),
        ({"price": Decimal("20000.001")}, "validation_error"),
        ({"price": Decimal(90_000), "post_only": True}, "validation_error"),
        ({"symbol": "NO/NO"}, "unknown_symbol"),
        ({"params": {"newClientOrderId": "another"}}, "validation_error"),
        ({"params": {"maxRetriesOnFailure": 5}}, "validation_error"),
    ],
)
async def test_refusals(exchange: ExchangeServer, venue: CcxtVenue, changes: dict[str, Any], code: str) -> None:
    changes = {"qty": Decimal(1), **changes}
    with pytest.raises(Refused) as raised:
        await venue.place(order(**changes), "x")
    assert raised.value.code == code
    assert client_ids(exchange) == []


async def test_a_refusal_names_the_class_that_ccxt_has_for_it(venue: CcxtVenue) -> None:
    with pytest.raises(Refused) as raised:
        await venue.place(order(price=Decimal(90_000), post_only=True), "x")
    assert raised.value.details == {"exception": "OrderImmediatelyFillable"}


async def test_params_that_are_no_longer_allowed_are_named(venue: CcxtVenue) -> None:
    with pytest.raises(Refused) as raised:
        await venue.place(order(params={"maxRetriesOnFailure": 5}), "x")
    assert raised.value.details == {"field": "params.maxRetriesOnFailure"}


async def test_a_client_id_that_is_taken(exchange: ExchangeServer, venue: CcxtVenue) -> None:
    await venue.place(order(), "same")
    with pytest.raises(Refused) as raised:
        await venue.place(order(2), "same")
    assert raised.value.code == "duplicate_client_order_id"


async def test_a_cancel(venue: CcxtVenue, ears: Ears) -> None:
    asked = await placed(venue, order())
    told = await venue.cancel(asked)
    assert told is not None
    assert (told.status, told.client_order_id, told.exchange_order_id) == ("canceled", "c1", asked.exchange_order_id)
    await ears.until(lambda: any(each.status == "canceled" for each in ears.orders))
    assert {each.client_order_id for each in ears.orders} == {"c1"}


async def test_a_cancel_by_client_id(venue: CcxtVenue) -> None:
    await venue.place(order(), "c1")
    told = await venue.cancel(order())
    assert told is not None
    assert told.status == "canceled"


async def test_what_is_not_there_cannot_be_canceled(venue: CcxtVenue) -> None:
    asked = await placed(venue, order())
    await venue.cancel(asked)
    for gone in (asked, order(2)):
        with pytest.raises(Refused) as raised:
            await venue.cancel(gone)
        assert raised.value.code == "order_not_found"


async def test_replacing_makes_a_new_order_of_it(exchange: ExchangeServer, venue: CcxtVenue) -> None:
    assert venue.can_replace
    asked = await placed(venue, order(qty=Decimal(2)))
    told = await venue.replace(asked, Decimal(20_001), Decimal(3), "c1.1")
    assert (told.client_order_id, told.price, told.qty) == ("c1.1", Decimal(20_001), Decimal(3))
    assert told.exchange_order_id != asked.exchange_order_id
    former = await venue.find(asked)
    assert former is not None
    assert (former.status, former.filled) == ("canceled", Decimal(0))


async def test_what_is_partly_filled_is_not_replaced_in_one_request(venue: CcxtVenue) -> None:
    asked = await placed(venue, order(qty=Decimal(2)))
    with pytest.raises(Refused, match="cannot replace"):
        await venue.replace(replace(asked, filled=Decimal("0.5")), Decimal(20_001), Decimal(3), "c1.1")
    assert [resting.client_order_id for resting in await venue.open_orders(None)] == [asked.client_order_id]


@pytest.mark.parametrize(
    ("kind", "trigger", "told_as"),
    [
        (OrderType.STOP_LIMIT, 90_000, "STOP_LOSS_LIMIT"),
        (OrderType.TAKE_PROFIT_LIMIT, 30_000, "TAKE_PROFIT_LIMIT"),
    ],
)
async def test_replacing_an_order_that_waits(
    exchange: ExchangeServer, venue: CcxtVenue, kind: OrderType, trigger: int, told_as: str
) -> None:
    changes: dict[str, Any] = {"order_type": kind, "price": Decimal(trigger + 1), "trigger_price": Decimal(trigger)}
    asked = await placed(venue, order(**changes))
    told = await venue.replace(asked, Decimal(trigger + 5), Decimal(2), "c1.1")
    assert (told.order_type, told.price, told.qty) == (kind, Decimal(trigger + 5), Decimal(2))
    received = exchange.trading.ledger.requests[-1].parameters
    assert (received["type"], received["stopPrice"]) == (told_as, str(trigger))
    assert received.keys().isdisjoint({"triggerPrice", "takeProfitPrice"})


async def test_what_would_take_its_profit_at_once_is_refused(venue: CcxtVenue) -> None:
    terms: dict[str, Any] = {"order_type": OrderType.TAKE_PROFIT, "price": None, "trigger_price": Decimal(90_000)}
    with pytest.raises(Refused, match="trigger immediately"):
        await venue.place(order(**terms), "c1")


async def test_replacing_a_post_only_order(exchange: ExchangeServer, venue: CcxtVenue) -> None:
    asked = await placed(venue, order(post_only=True, params={"strategyId": 7}))
    told = await venue.replace(asked, Decimal(20_001), Decimal(2), "c1.1")
    at = at_exchange(exchange, replace(asked, exchange_order_id=told.exchange_order_id))
    assert (at.request.type, told.price, told.qty) == ("LIMIT_MAKER", Decimal(20_001), Decimal(2))
    assert exchange.trading.ledger.requests[-1].parameters["strategyId"] == "7"


async def test_replacing_by_what_the_market_does_not_allow_leaves_it(venue: CcxtVenue) -> None:
    asked = await placed(venue, order())
    with pytest.raises(Refused) as raised:
        await venue.replace(asked, Decimal(1), Decimal(1), "c1.1")
    assert raised.value.code == "validation_error"
    assert await venue.find(asked) == (await venue.open_orders(BTC))[0]


async def test_what_was_partly_filled_meanwhile_is_not_replaced(exchange: ExchangeServer, venue: CcxtVenue) -> None:
    asked = await placed(venue, order(qty=Decimal(2)))
    fill(exchange, asked, "0.5")
    with pytest.raises(Refused, match="cancel restrictions"):
        await venue.replace(asked, Decimal(20_001), Decimal(3), "c1.1")
    (resting,) = await venue.open_orders(BTC)
    assert (resting.client_order_id, resting.filled) == ("c1", Decimal("0.5"))


async def test_replacing_what_is_gone(venue: CcxtVenue) -> None:
    asked = await placed(venue, order())
    await venue.cancel(asked)
    with pytest.raises(Refused) as raised:
        await venue.replace(asked, Decimal(20_001), Decimal(1), "c1.1")
    assert raised.value.code == "order_not_found"
    assert await venue.lookup(BTC, client_order_id="c1.1") is None


async def test_replacing_by_what_is_refused(venue: CcxtVenue) -> None:
    asked = await placed(venue, order())
    with pytest.raises(Refused) as raised:
        await venue.replace(asked, Decimal(50_000), Decimal(99), "c1.1")
    assert raised.value.code == "insufficient_funds"
    former = await venue.find(asked)
    assert former is not None
    assert former.status == "canceled"


async def test_an_order_is_found_by_either_id(venue: CcxtVenue) -> None:
    asked = await placed(venue, order())
    by_id = await venue.find(asked)
    assert by_id is not None
    assert by_id == await venue.find(order())
    assert by_id == await venue.lookup(BTC, client_order_id="c1")
    assert by_id == await venue.lookup(BTC, exchange_order_id=by_id.exchange_order_id)
    assert await venue.find(order(2)) is None
    assert await venue.find(order(exchange_order_id="99")) is None


async def test_open_orders(venue: CcxtVenue) -> None:
    first = await placed(venue, order(1))
    other = await placed(venue, order(2, symbol="ETH/USDT", price=Decimal(100)))
    await venue.cancel(await placed(venue, order(3)))

    def ids(told: list[VenueOrder]) -> set[str | None]:
        return {each.exchange_order_id for each in told}

    assert ids(await venue.open_orders(None)) == {first.exchange_order_id, other.exchange_order_id}
    assert ids(await venue.open_orders(BTC)) == {first.exchange_order_id}


async def test_trades_are_read_to_the_last(
    exchange: ExchangeServer, venue: CcxtVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binance, "PAGE_ROWS", 3)
    began_ns = time.time_ns()
    asked = await placed(venue, order(qty=Decimal(1)))
    for _ in range(10):
        fill(exchange, asked, "0.01")
    for since_ns in (began_ns - 1_000_000, began_ns - 5 * DAY_NS):
        trades = await venue.trades(BTC, since_ns)
        assert [trade.exchange_trade_id for trade in trades] == [
            str(each.trade_id) for each in at_exchange(exchange, asked).fills
        ]
        assert all(
            (trade.exchange_order_id, trade.side, trade.qty, trade.price, trade.maker)
            == (asked.exchange_order_id, Side.BUY, Decimal("0.01"), asked.price, True)
            for trade in trades
        )
    assert await venue.trades(BTC, time.time_ns() + DAY_NS) == []


async def test_balances(venue: CcxtVenue) -> None:
    await venue.place(order(qty=Decimal(1)), "c1")
    assert await venue.balances() == {"BTC": Decimal(100), "ETH": Decimal(100), "USDT": Decimal(1_000_000)}


async def test_positions_are_of_contracts(venue: CcxtVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await venue.positions() == []
    elsewhere = CcxtVenue(config("http://x", klass="bybit", options={"options": {"defaultType": "swap"}}))
    assert not elsewhere.can_replace

    async def told() -> list[dict[str, Any]]:
        return [{"symbol": "BTC/USDT:USDT", "side": "short", "contracts": "0.5", "entryPrice": "60000.1"}]

    monkeypatch.setattr(elsewhere._exchange, "fetch_positions", told)
    position = VenuePosition(symbol="BTC/USDT:USDT", qty=Decimal("-0.5"), entry_price=Decimal("60000.1"))
    assert await elsewhere.positions() == [position]
    await elsewhere.close()


@pytest.mark.parametrize("filled", [0, 1])
@pytest.mark.parametrize("kept_as_trigger", [True, False])
async def test_a_contract_order_that_was_triggered_is_found_and_canceled_wherever_it_is_kept(
    monkeypatch: pytest.MonkeyPatch, kept_as_trigger: bool, filled: int
) -> None:
    """Also one that waits for nothing any more and was changed: its rest is an ordinary limit order."""
    elsewhere = CcxtVenue(config("http://x", klass="bybit", options={"options": {"defaultType": "swap"}}))
    elsewhere._instruments[LINEAR.symbol] = LINEAR
    asked: list[bool] = []

    async def answered(order_id: str, symbol: str, params: dict[str, Any]) -> dict[str, Any]:
        asked.append(params.get("trigger", False))
        if asked[-1] is not kept_as_trigger:
            raise OrderNotFound("not here")
        return {"id": order_id, "symbol": symbol, "side": "buy", "type": "limit", "amount": "2", "status": "open"}

    for name in ("fetch_order", "cancel_order"):
        monkeypatch.setattr(elsewhere._exchange, name, answered)
    terms: dict[str, Any] = {"order_type": OrderType.STOP_LIMIT, "trigger_price": Decimal(9), "filled": Decimal(filled)}
    stop = order(symbol=LINEAR.symbol, qty=Decimal(2), exchange_order_id="x1", **terms)
    assert await elsewhere.find(stop) is not None
    assert await elsewhere.cancel(stop) is not None
    assert asked[0] is not bool(filled), "where it is likely to be comes first"
    assert len(asked) == (2 if asked[0] is kept_as_trigger else 4)
    for name in ("fetch_order", "cancel_order"):
        monkeypatch.setattr(elsewhere._exchange, name, gone)
    assert await elsewhere.find(stop) is None
    with pytest.raises(Refused, match="not here"):
        await elsewhere.cancel(stop)
    await elsewhere.close()


async def gone(order_id: str, symbol: str, params: dict[str, Any]) -> dict[str, Any]:
    raise OrderNotFound("not here")


# Its life


async def test_wrong_credentials(exchange: ExchangeServer, ears: Ears) -> None:
    wrong = {"apiKey": DEFAULT_KEY, "secret": "not-the-secret-of-this-account"}
    venue = CcxtVenue(config(exchange.base_url, credentials=wrong))
    with pytest.raises(Refused) as raised:
        await venue.start(ears)
    assert raised.value.code == "exchange_error"
    assert ears.stream == []
    with pytest.raises(Refused):
        await venue.balances()
    await venue.close()


async def test_starting_again_after_a_failure(exchange: ExchangeServer, admin: Client, ears: Ears) -> None:
    venue = CcxtVenue(config(exchange.base_url))
    for path in ("/api/v3/exchangeInfo", "/ws-api"):
        await admin.fault("rest", status=503, path=path)
        with pytest.raises(Ambiguous):
            await venue.start(ears)
    await venue.start(ears)
    assert ears.stream == [True]
    await venue.close()
    assert ears.stream == [True, False]
