"""Orders, deals and positions of the OMS in ccxt's unified structures, with every field that these have.

Numbers are floats, as ccxt gives them, and times milliseconds; `info` is the OMS's own resource, where money keeps its
digits and ids of the exchange stand. Pure. Must not know who asks, nor a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any, Final

from oms import render
from oms.model import ZERO, Deal, Instrument, Order, OrderType, Position, PositionState
from oms.positions import CONTEXT

Structure = dict[str, Any]

LIQUIDITY: Final = {True: "maker", False: "taker", None: None}
# What ccxt has of a position and the OMS does not keep.
NOT_KEPT: Final = (
    "leverage", "collateral", "initialMargin", "initialMarginPercentage", "maintenanceMargin",
    "maintenanceMarginPercentage", "marginRatio", "liquidationPrice", "marginMode", "percentage", "lastPrice",
    "positionMargin",
)  # fmt: skip


def order(row: Order, deals: Sequence[Deal] = (), instrument: Instrument | None = None) -> Structure:
    """`deals` are its own; without an instrument it is taken for one of a spot market."""
    paid = fees(deals)
    price = row.price if row.price is not None else row.average_price
    return {
        "info": render.order_data(row),
        "id": str(row.id),
        "clientOrderId": row.client_order_id,
        "timestamp": milliseconds(row.created_ns),
        "datetime": render.moment(row.created_ns),
        "lastTradeTimestamp": max((milliseconds(deal.executed_ns) for deal in deals), default=None),
        "lastUpdateTimestamp": milliseconds(row.updated_ns),
        "symbol": row.symbol,
        "type": "limit" if row.order_type.is_limited else "market",
        # ccxt says PO of what may only rest, and IOC of a market order; one that waits for a price rests until then.
        "timeInForce": "PO"
        if row.post_only
        else "IOC"
        if row.order_type is OrderType.MARKET
        else row.time_in_force.value,
        "postOnly": row.post_only,
        "reduceOnly": row.reduce_only,
        "side": row.side.value,
        "price": number(price),
        "triggerPrice": number(row.trigger_price),
        "stopPrice": number(row.trigger_price),
        "stopLossPrice": number(row.stop_loss),
        # Its own, if that is what it waits for; else that of the position.
        "takeProfitPrice": number(row.trigger_price if row.order_type.takes_profit else row.stop_gain),
        "amount": number(row.qty),
        "filled": number(row.filled),
        "remaining": number(row.remaining),
        "average": number(row.average_price),
        "cost": number(value_of(row.filled, row.average_price, instrument)),
        "status": render.status_of(row.state),
        "fee": paid[0] if len(paid) == 1 else None,
        "fees": paid,
        "trades": [],
    }


def order_not_told(payload: Mapping[str, Any], result: Mapping[str, Any], *, is_refused: bool) -> Structure:
    """One of several that were to be created, by what was asked for: why is in `info`.

    Without a status when nobody knows what became of it.
    """
    return {
        "info": result,
        "id": None if result["order_id"] is None else str(result["order_id"]),
        "clientOrderId": payload.get("client_order_id"),
        "symbol": payload["symbol"],
        "type": "limit" if "price" in payload else "market",
        "side": payload["side"],
        "price": number(payload.get("price")),
        "amount": number(payload["qty"]),
        "filled": 0.0 if is_refused else None,
        "remaining": number(payload["qty"]) if is_refused else None,
        "status": "rejected" if is_refused else None,
    }


def trade(row: Deal, of: Order | None = None, instrument: Instrument | None = None) -> Structure:
    """`of` is its order, when that is known."""
    paid = fees([row])
    return {
        "info": render.deal_data(row),
        "id": str(row.id),
        "timestamp": milliseconds(row.executed_ns),
        "datetime": render.moment(row.executed_ns),
        "symbol": row.symbol,
        "order": str(row.order_id),
        "type": None if of is None else "limit" if of.order_type.is_limited else "market",
        "side": row.side.value,
        "takerOrMaker": LIQUIDITY[row.maker],
        "price": number(row.price),
        "amount": number(row.qty),
        "cost": number(value_of(row.qty, row.price, instrument)),
        "fee": paid[0] if paid else None,
        "fees": paid,
    }


def position(row: Position, mark_price: Decimal | None = None) -> Structure:
    """`mark_price` is what it is valued at: without one it has no profit that is not realised yet."""
    return {
        "info": render.position_data(row),
        "id": str(row.id),
        "symbol": row.symbol,
        "timestamp": milliseconds(row.opened_ns),
        "datetime": render.moment(row.opened_ns),
        "lastUpdateTimestamp": milliseconds(row.updated_ns),
        "side": row.side,
        "contracts": number(abs(row.qty)),
        "contractSize": number(row.contract_size),
        "entryPrice": number(row.entry_price),
        "markPrice": number(mark_price),
        "notional": number(_value(abs(row.qty) * row.contract_size, mark_price or row.entry_price, row.inverse)),
        "unrealizedPnl": number(unrealized(row, mark_price)),
        "realizedPnl": number(row.realized_pnl),
        "hedged": row.state is PositionState.OPEN and row.net_key is None,
        "stopLossPrice": number(row.stop_loss),
        "takeProfitPrice": number(row.stop_gain),
        **dict.fromkeys(NOT_KEPT),
    }


def no_position(symbol: str) -> Structure:
    """What ccxt's fetchPosition gives where nothing is held."""
    names = ("id", "timestamp", "datetime", "lastUpdateTimestamp", "side", "contractSize", "entryPrice", "markPrice",
             "notional", "unrealizedPnl", "realizedPnl", "stopLossPrice", "takeProfitPrice", *NOT_KEPT)  # fmt: skip
    return {"info": {}, "symbol": symbol, "contracts": 0.0, "hedged": False, **dict.fromkeys(names)}


def fees(deals: Iterable[Deal]) -> list[Structure]:
    """What was paid in all, by currency."""
    sums: dict[str, Decimal] = {}
    with localcontext(CONTEXT):
        for deal in deals:
            first = {} if deal.fee_currency is None else {deal.fee_currency: deal.fee}
            for currency, cost in (*first.items(), *deal.more_fees.items()):
                sums[currency] = sums.get(currency, ZERO) + cost
    return [{"currency": currency or None, "cost": number(cost)} for currency, cost in sums.items()]


def value_of(qty: Decimal, price: Decimal | None, instrument: Instrument | None) -> Decimal | None:
    """What so much costs; of a contract, what it stands for."""
    if not qty:
        return ZERO
    size, inverse = (instrument.contract_size, instrument.inverse) if instrument is not None else (Decimal(1), False)
    return _value(qty * size, price, inverse)


def unrealized(row: Position, mark_price: Decimal | None) -> Decimal | None:
    """What closing it at this price would bring."""
    if not row.qty:
        return ZERO
    if not mark_price or not row.entry_price:
        return None
    with localcontext(CONTEXT):
        size = row.qty * row.contract_size
        if row.inverse:
            return size * (1 / row.entry_price - 1 / mark_price)
        return size * (mark_price - row.entry_price)


def _value(size: Decimal, price: Decimal | None, inverse: bool) -> Decimal | None:
    if not price:
        return None
    with localcontext(CONTEXT):
        return size / price if inverse else size * price


def number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def milliseconds(time_ns: int) -> int:
    return time_ns // 1_000_000
