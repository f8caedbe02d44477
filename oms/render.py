"""Orders, deals and positions as the JSON everybody is told: events, REST and snapshots say the same of them.

Decimals are plain strings, times ISO 8601 in UTC to the millisecond, ids integers. Must not know who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from oms.model import Deal, Order, OrderState, Position
from oms.shapes import DealShape, OrderShape, PositionShape

_STATUS: Final[Mapping[OrderState, str]] = {
    OrderState.FILLED: "closed",
    OrderState.CANCELED: "canceled",
    OrderState.EXPIRED: "expired",
    OrderState.REJECTED: "rejected",
}


def number(value: Decimal) -> str:
    """Digits and a point, without zeros that say nothing: what was read back from a table reads the same."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def maybe(value: Decimal | None) -> str | None:
    return None if value is None else number(value)


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def moment(time_ns: int) -> str:
    """A time on the wire, such as `2026-02-07T14:30:00.123Z`."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest_ns // 1_000_000:03d}Z"


def _when(time_ns: int | None) -> str | None:
    return None if time_ns is None else moment(time_ns)


def status_of(state: OrderState) -> str:
    """ccxt's word for a state."""
    return _STATUS.get(state, "open")


def order_data(order: Order) -> OrderShape:
    """An order as a JSON-ready object."""
    return {
        "id": order.id,
        "account_id": order.account_id,
        "symbol": order.symbol,
        "side": order.side,
        "order_type": order.order_type,
        "qty": number(order.qty),
        "client_order_id": order.client_order_id,
        "price": maybe(order.price),
        "trigger_price": maybe(order.trigger_price),
        "time_in_force": order.time_in_force,
        "expires_at": _when(order.expires_ns),
        "post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "stop_loss": maybe(order.stop_loss),
        "stop_gain": maybe(order.stop_gain),
        "strategy_id": order.strategy_id,
        "position_id": order.position_id,
        "reason": order.reason,
        "comment": order.comment,
        "params": order.params,
        "state": order.state,
        "status": status_of(order.state),
        "exchange_order_id": order.exchange_order_id,
        "filled": number(order.filled),
        "remaining": number(order.remaining),
        "average_price": maybe(order.average_price),
        "replaces": order.replaces,
        "error_code": order.error_code,
        "error_message": order.error_message,
        "flags": list(order.flags),
        "exchange_time": _when(order.exchange_time_ns),
        "created_at": moment(order.created_ns),
        "updated_at": moment(order.updated_ns),
        "closed_at": _when(order.closed_ns),
        "version": order.version,
    }


def deal_data(deal: Deal) -> DealShape:
    """A deal as a JSON-ready object."""
    return {
        "id": deal.id,
        "account_id": deal.account_id,
        "order_id": deal.order_id,
        "position_id": deal.position_id,
        "symbol": deal.symbol,
        "side": deal.side,
        "qty": number(deal.qty),
        "price": number(deal.price),
        "exchange_trade_id": deal.exchange_trade_id,
        "fee": number(deal.fee),
        "fee_currency": deal.fee_currency,
        "more_fees": {currency: number(fee) for currency, fee in deal.more_fees.items()},
        "realized_pnl": number(deal.realized_pnl),
        "strategy_id": deal.strategy_id,
        "maker": deal.maker,
        "reason": deal.reason,
        "executed_at": moment(deal.executed_ns),
        "created_at": moment(deal.created_ns),
    }


def position_data(position: Position) -> PositionShape:
    """A position as a JSON-ready object; `qty` is signed."""
    return {
        "id": position.id,
        "account_id": position.account_id,
        "symbol": position.symbol,
        "strategy_id": position.strategy_id,
        "qty": number(position.qty),
        "side": position.side,
        "entry_price": maybe(position.entry_price),
        "realized_pnl": number(position.realized_pnl),
        "fees": {currency: number(amount) for currency, amount in position.fees.items()},
        "inverse": position.inverse,
        "contract_size": number(position.contract_size),
        "stop_loss": maybe(position.stop_loss),
        "stop_gain": maybe(position.stop_gain),
        "comment": position.comment,
        "reason": position.reason,
        "state": position.state,
        "net_key": position.net_key,
        "opened_at": moment(position.opened_ns),
        "updated_at": moment(position.updated_ns),
        "closed_at": _when(position.closed_ns),
        "version": position.version,
    }
