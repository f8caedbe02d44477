"""Rows to write, each field with a value of its own, so that two that were swapped are found out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from asyncpg import Record

from oms.model import Deal, Event, Order, OrderState, OrderType, Position, PositionSide, Side, TimeInForce
from oms.store.pool import Pool
from oms.writes import CommandRow, Sequences, SequenceStep, Writes

T = 1_790_000_000_000_000_000


async def make_account(pool: Pool, name: str = "main", **columns: Any) -> int:
    """An account, put in by the shortest way."""
    row = {"name": name, "exchange": "sim", "epoch": "e1", **columns}
    names, places = ", ".join(row), ", ".join(f"${number}" for number in range(1, len(row) + 1))
    made: int = await pool.fetchval(f"INSERT INTO accounts ({names}) VALUES ({places}) RETURNING id", *row.values())
    await pool.execute("INSERT INTO account_risk (account_id) VALUES ($1)", made)
    return made


async def only(pool: Pool, query: str) -> Record:
    """The one row there is."""
    (row,) = await pool.fetch(query)
    return row


def order(id_: int, account_id: int = 1, **changed: Any) -> Order:
    """An order with something in every field."""
    fields: dict[str, Any] = {
        "symbol": "BTC/USDT",
        "side": Side.SELL,
        "order_type": OrderType.STOP_LIMIT,
        "qty": Decimal("1.5"),
        "client_order_id": f"c{id_}",
        "price": Decimal("30000.01"),
        "trigger_price": Decimal("29999.5"),
        "time_in_force": TimeInForce.GTD,
        "expires_ns": T + 60_000_000_000,
        "post_only": True,
        "stop_loss": Decimal("31000"),
        "stop_gain": Decimal("20000"),
        "strategy_id": 7,
        "position_id": 8,
        "reason": "why",
        "comment": "said",
        "params": {"a": [1, "x"]},
        "state": OrderState.PARTIALLY_FILLED,
        "exchange_order_id": f"x{id_}",
        "filled": Decimal("0.25"),
        "average_price": Decimal("30000.000000000000000001"),
        "replaces": 2,
        "error_code": "exchange_error",
        "error_message": "busy",
        "flags": ("overfill", "late_fill"),
        "exchange_time_ns": T + 1_000_000,
        "created_ns": T,
        "updated_ns": T + 2_000_000,
        "version": 3,
    }
    return Order(id=id_, account_id=account_id, **{**fields, **changed})


def deal(id_: int, account_id: int = 1, **changed: Any) -> Deal:
    """A deal with something in every field."""
    fields: dict[str, Any] = {
        "order_id": 1,
        "position_id": 2,
        "symbol": "BTC/USDT",
        "side": Side.SELL,
        "qty": Decimal("0.25"),
        "price": Decimal("30000.1"),
        "exchange_trade_id": f"t{id_}",
        "fee": Decimal("0.0001"),
        "fee_currency": "BNB",
        "more_fees": {"USDT": Decimal("0.000000000000000001"), "": Decimal(-2)},
        "realized_pnl": Decimal("-1.000000000000000000000000000001"),
        "strategy_id": 7,
        "maker": True,
        "reason": "external",
        "executed_ns": T,
        "created_ns": T + 1_000_000,
    }
    return Deal(id=id_, account_id=account_id, **{**fields, **changed})


def position(id_: int, account_id: int = 1, **changed: Any) -> Position:
    """An open position with something in every field."""
    fields: dict[str, Any] = {
        "symbol": "BTC/USDT",
        "strategy_id": 7,
        "qty": Decimal("-0.25"),
        "side": PositionSide.SHORT,
        "entry_price": Decimal("30000.100000000000000000000000000001"),
        "realized_pnl": Decimal("12.5"),
        "fees": {"BNB": Decimal("0.0001"), "USDT": Decimal("-3")},
        "inverse": True,
        "contract_size": Decimal("100"),
        "stop_loss": Decimal("31000"),
        "stop_gain": Decimal("20000"),
        "comment": "said",
        "reason": "why",
        "net_key": f"{account_id}:BTC/USDT:{id_}",
        "opened_ns": T,
        "updated_ns": T + 1_000_000,
        "version": 4,
    }
    return Position(id=id_, account_id=account_id, **{**fields, **changed})


def command(id_: int, account_id: int = 1, **changed: Any) -> CommandRow:
    """A command that runs."""
    fields: dict[str, Any] = {
        "api_key_id": 5,
        "command": "send_order",
        "payload": {"symbol": "BTC/USDT", "qty": "1.5"},
        "payload_hash": b"\x00\xffhash",
        "request_id": f"r{id_}",
        "created_ns": T,
    }
    return CommandRow(id=id_, account_id=account_id, **{**fields, **changed})


def event(sequence: int, account_id: int = 1, **changed: Any) -> Event:
    """An event of channel orders, whose own sequence is the same."""
    fields: dict[str, Any] = {
        "channel": "orders",
        "channel_sequence": sequence,
        "event": "order_created",
        "data": b'{"z":1,"a":"1.10"}',
        "command_id": 9,
        "created_ns": T,
    }
    return Event(account_id=account_id, sequence=sequence, **{**fields, **changed})


def step(old: int, new: int, account_id: int = 1) -> SequenceStep:
    """From one number to another, in the channel orders."""
    return SequenceStep(
        account_id=account_id, old=Sequences(event=old, orders=old), new=Sequences(event=new, orders=new)
    )


def one(number: int, account_id: int = 1) -> Writes:
    """An order, and its one event, which is this number of its account."""
    return Writes(
        orders={number: order(number, account_id)},
        events=[event(number, account_id)],
        sequences={account_id: step(number - 1, number, account_id)},
    )
