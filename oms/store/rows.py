"""Rows and values: what a table's row is as one of our structs, and a struct as a row for `oms_write`.

Holds the names of columns and how times and amounts stand in them. Must not know when rows are read or written.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

import orjson
from asyncpg import Record

from oms.model import (
    Deal,
    Event,
    Order,
    OrderState,
    OrderType,
    Position,
    PositionSide,
    PositionState,
    Side,
    TimeInForce,
)
from oms.writes import CommandRow, CommandStatus, Sequences, SequenceStep

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
EXACT: Final = Context(prec=60)  # more digits than any column has
NUL: Final = re.compile(r"((?<!\\)(?:\\\\)*)\\u0000")
Row = dict[str, Any]


def time_of(at_ns: int) -> datetime:
    """A column's time, which has microseconds: what is finer is cut off."""
    return EPOCH + timedelta(microseconds=at_ns // 1000)


def ns_of(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND * 1000


def time_or_none(at_ns: int | None) -> datetime | None:
    return None if at_ns is None else time_of(at_ns)


def ns_or_none(at: datetime | None) -> int | None:
    return None if at is None else ns_of(at)


def plain(amount: Decimal | None) -> Decimal | None:
    """Without the zeros that a column of fixed scale adds, and without an exponent."""
    if amount is None or not amount:
        return None if amount is None else Decimal(0)
    short = EXACT.normalize(amount)
    return EXACT.quantize(short, Decimal(1)) if short == short.to_integral_value() else short


def _amount(amount: Decimal) -> Decimal:
    short = plain(amount)
    assert short is not None
    return short


def encode(rows: list[Row]) -> str:
    """Rows as the JSON array that `oms_write` takes. PostgreSQL has no character of code 0 in a text."""
    text = orjson.dumps(rows, default=str).decode()
    return NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def command_row(command: CommandRow) -> Row:
    return {
        "id": command.id,
        "api_key_id": command.api_key_id,
        "account_id": command.account_id,
        "request_id": command.request_id,
        "command": command.command,
        "payload": command.payload,
        "payload_hash": f"\\x{command.payload_hash.hex()}",
        "status": command.status,
        "order_id": command.order_id,
        "result": command.result,
        "created_at": time_of(command.created_ns),
        "finished_at": time_or_none(command.finished_ns),
    }


def order_row(order: Order) -> Row:
    return {
        "id": order.id,
        "account_id": order.account_id,
        "symbol": order.symbol,
        "side": order.side,
        "order_type": order.order_type,
        "qty": order.qty,
        "client_order_id": order.client_order_id,
        "price": order.price,
        "trigger_price": order.trigger_price,
        "time_in_force": order.time_in_force,
        "expires_at": time_or_none(order.expires_ns),
        "post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "stop_loss": order.stop_loss,
        "stop_gain": order.stop_gain,
        "strategy_id": order.strategy_id,
        "position_id": order.position_id,
        "reason": order.reason,
        "comment": order.comment,
        "params": order.params,
        "state": order.state,
        "exchange_order_id": order.exchange_order_id,
        "filled": order.filled,
        "average_price": order.average_price,
        "replaces": order.replaces,
        "error_code": order.error_code,
        "error_message": order.error_message,
        "flags": order.flags,
        "exchange_time": time_or_none(order.exchange_time_ns),
        "created_at": time_of(order.created_ns),
        "updated_at": time_of(order.updated_ns),
        "closed_at": time_or_none(order.closed_ns),
        "version": order.version,
    }


def position_row(position: Position) -> Row:
    return {
        "id": position.id,
        "account_id": position.account_id,
        "symbol": position.symbol,
        "strategy_id": position.strategy_id,
        "qty": position.qty,
        "side": position.side,
        "entry_price": position.entry_price,
        "realized_pnl": position.realized_pnl,
        "fees": position.fees,
        "inverse": position.inverse,
        "contract_size": position.contract_size,
        "stop_loss": position.stop_loss,
        "stop_gain": position.stop_gain,
        "comment": position.comment,
        "reason": position.reason,
        "state": position.state,
        "net_key": position.net_key,
        "opened_at": time_of(position.opened_ns),
        "updated_at": time_of(position.updated_ns),
        "closed_at": time_or_none(position.closed_ns),
        "version": position.version,
    }


def deal_row(deal: Deal) -> Row:
    return {
        "id": deal.id,
        "account_id": deal.account_id,
        "order_id": deal.order_id,
        "position_id": deal.position_id,
        "symbol": deal.symbol,
        "side": deal.side,
        "qty": deal.qty,
        "price": deal.price,
        "exchange_trade_id": deal.exchange_trade_id,
        "fee": deal.fee,
        "fee_currency": deal.fee_currency,
        "more_fees": deal.more_fees,
        "realized_pnl": deal.realized_pnl,
        "strategy_id": deal.strategy_id,
        "maker": deal.maker,
        "reason": deal.reason,
        "executed_at": time_of(deal.executed_ns),
        "created_at": time_of(deal.created_ns),
    }


def event_row(event: Event) -> Row:
    return {
        "account_id": event.account_id,
        "sequence": event.sequence,
        "channel": event.channel,
        "channel_sequence": event.channel_sequence,
        "event": event.event,
        "data": orjson.Fragment(event.data),
        "command_id": event.command_id,
        "created_at": time_of(event.created_ns),
    }


def step_row(step: SequenceStep) -> Row:
    return {
        "account_id": step.account_id,
        "old_event": step.old.event,
        "event": step.new.event,
        "orders": step.new.orders,
        "deals": step.new.deals,
        "positions": step.new.positions,
        "alerts": step.new.alerts,
    }


def command_of(row: Record) -> CommandRow:
    return CommandRow(
        id=row["id"],
        api_key_id=row["api_key_id"],
        account_id=row["account_id"],
        request_id=row["request_id"],
        command=row["command"],
        payload=row["payload"],
        payload_hash=row["payload_hash"],
        status=CommandStatus(row["status"]),
        order_id=row["order_id"],
        result=row["result"],
        created_ns=ns_of(row["created_at"]),
        finished_ns=ns_or_none(row["finished_at"]),
    )


def order_of(row: Record) -> Order:
    return Order(
        id=row["id"],
        account_id=row["account_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        order_type=OrderType(row["order_type"]),
        qty=_amount(row["qty"]),
        client_order_id=row["client_order_id"],
        price=plain(row["price"]),
        trigger_price=plain(row["trigger_price"]),
        time_in_force=TimeInForce(row["time_in_force"]),
        expires_ns=ns_or_none(row["expires_at"]),
        post_only=row["post_only"],
        reduce_only=row["reduce_only"],
        stop_loss=plain(row["stop_loss"]),
        stop_gain=plain(row["stop_gain"]),
        strategy_id=row["strategy_id"],
        position_id=row["position_id"],
        reason=row["reason"],
        comment=row["comment"],
        params=row["params"],
        state=OrderState(row["state"]),
        exchange_order_id=row["exchange_order_id"],
        filled=_amount(row["filled"]),
        average_price=plain(row["average_price"]),
        replaces=row["replaces"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        flags=tuple(row["flags"]),
        exchange_time_ns=ns_or_none(row["exchange_time"]),
        created_ns=ns_of(row["created_at"]),
        updated_ns=ns_of(row["updated_at"]),
        closed_ns=ns_or_none(row["closed_at"]),
        version=row["version"],
    )


def position_of(row: Record) -> Position:
    return Position(
        id=row["id"],
        account_id=row["account_id"],
        symbol=row["symbol"],
        strategy_id=row["strategy_id"],
        qty=_amount(row["qty"]),
        side=PositionSide(row["side"]) if row["side"] else None,
        entry_price=plain(row["entry_price"]),
        realized_pnl=_amount(row["realized_pnl"]),
        fees={currency: Decimal(amount) for currency, amount in row["fees"].items()},
        inverse=row["inverse"],
        contract_size=_amount(row["contract_size"]),
        stop_loss=plain(row["stop_loss"]),
        stop_gain=plain(row["stop_gain"]),
        comment=row["comment"],
        reason=row["reason"],
        state=PositionState(row["state"]),
        net_key=row["net_key"],
        opened_ns=ns_of(row["opened_at"]),
        updated_ns=ns_of(row["updated_at"]),
        closed_ns=ns_or_none(row["closed_at"]),
        version=row["version"],
    )


def deal_of(row: Record) -> Deal:
    return Deal(
        id=row["id"],
        account_id=row["account_id"],
        order_id=row["order_id"],
        position_id=row["position_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        qty=_amount(row["qty"]),
        price=_amount(row["price"]),
        exchange_trade_id=row["exchange_trade_id"],
        fee=_amount(row["fee"]),
        fee_currency=row["fee_currency"],
        more_fees={currency: Decimal(fee) for currency, fee in row["more_fees"].items()},
        realized_pnl=_amount(row["realized_pnl"]),
        strategy_id=row["strategy_id"],
        maker=row["maker"],
        reason=row["reason"],
        executed_ns=ns_of(row["executed_at"]),
        created_ns=ns_of(row["created_at"]),
    )


def event_of(row: Record) -> Event:
    """`data` was selected as text: it goes out as it was written."""
    return Event(
        account_id=row["account_id"],
        sequence=row["sequence"],
        channel=row["channel"],
        channel_sequence=row["channel_sequence"],
        event=row["event"],
        data=row["data"].encode(),
        command_id=row["command_id"],
        created_ns=ns_of(row["created_at"]),
    )


def sequences_of(row: Record) -> Sequences:
    """Of a row of `accounts`."""
    return Sequences(
        event=row["event_sequence"],
        orders=row["orders_sequence"],
        deals=row["deals_sequence"],
        positions=row["positions_sequence"],
        alerts=row["alerts_sequence"],
    )
