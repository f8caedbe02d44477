"""Accounts, orders, trades and instruments for tests: what is not given is something ordinary."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from oms.book import AccountBook, Ids
from oms.model import Account, Instrument, Order, OrderType, PositionMode, Risk, Side
from oms.venues.base import VenueTrade
from oms.writes import Sequences

T0_NS = 1_770_474_600_000_000_000

SPOT = Instrument(symbol="BTC/USDT", base="BTC", quote="USDT")
LINEAR = Instrument(symbol="BTC/USDT:USDT", base="BTC", quote="USDT", spot=False, contract_size=Decimal("0.01"))
INVERSE = Instrument(
    symbol="BTC/USD:BTC", base="BTC", quote="USD", spot=False, inverse=True, contract_size=Decimal(100)
)


def account(mode: PositionMode = PositionMode.NETTING, **changes: Any) -> Account:
    return Account(**{"id": 1, "name": "main", "exchange": "sim", "position_mode": mode, "epoch": "e1", **changes})


def book(mode: PositionMode = PositionMode.NETTING, ids: Ids | None = None, **stored: Any) -> AccountBook:
    return AccountBook(account(mode), Risk(account_id=1), ids or Ids(), **{"sequences": Sequences(), **stored})


def order(order_id: int = 1, **changes: Any) -> Order:
    ordinary = {
        "id": order_id,
        "account_id": 1,
        "symbol": "BTC/USDT",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "qty": Decimal(1),
        "price": Decimal(100),
        "client_order_id": f"c{order_id}",
        "created_ns": T0_NS,
        "updated_ns": T0_NS,
    }
    return Order(**{**ordinary, **changes})


def trade(trade_id: str | None = "t1", qty: str = "1", price: str = "100", **changes: Any) -> VenueTrade:
    ordinary = {
        "exchange_trade_id": trade_id,
        "exchange_order_id": "x1",
        "client_order_id": None,
        "symbol": "BTC/USDT",
        "side": Side.BUY,
        "qty": Decimal(qty),
        "price": Decimal(price),
        "time_ns": T0_NS + 1_000_000,
    }
    return VenueTrade(**{**ordinary, **changes})
