"""The judge is judged: books that agree are not complained of, and each way in which they can differ is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from oms.model import Account, Event, Order, OrderState, Position
from tests.crash.agreement import Books, _instrument, disagreements
from tests.oms import full_rows
from tests.oms.rebuilt import rebuild

ACCOUNT = Account(id=1, name="a", exchange="sim", epoch="e")
Ledger = dict[str, list[dict[str, Any]]]


def made() -> tuple[Books, Ledger]:
    """One order that was filled in part and rests, both here and there."""
    order = full_rows.order(
        1, account_id=1, client_order_id="n1", reason="", state=OrderState.PARTIALLY_FILLED, qty=Decimal(2),
        filled=Decimal(1), price=Decimal(100), exchange_order_id="7", replaces=0, version=2, symbol="BTC/USDT",
    )  # fmt: skip
    deal = full_rows.deal(
        1, account_id=1, order_id=1, position_id=1, qty=Decimal(1), price=Decimal(100), exchange_trade_id="5",
        fee=Decimal("0.1"), fee_currency="USDT", symbol="BTC/USDT", realized_pnl=Decimal(0),
    )  # fmt: skip
    (position,) = rebuild([deal], _instrument).values()
    events = [
        _event(1, "orders", 1, "order_created", {"id": 1, "version": 1}),
        _event(2, "deals", 1, "deal_created", {"id": 1}),
        _event(3, "orders", 2, "order_updated", {"id": 1, "version": 2}),
    ]
    command = {"id": 1, "status": "ok", "command": "send_order", "order_id": 1}
    sequences = {"event": 3, "orders": 2, "deals": 1, "positions": 0}
    there = {
        "order_id": 7, "client_order_id": "n1", "status": "PARTIALLY_FILLED", "qty": "2", "executed_qty": "1",
        "price": "100.00",
    }  # fmt: skip
    fill = {"trade_id": 5, "symbol": "BTCUSDT", "qty": "1.0", "fee": "0.10", "price": "100"}
    ledger: Ledger = {"requests": [{"params": {"newClientOrderId": "n1"}}], "orders": [there], "fills": [fill]}
    return Books(ACCOUNT, [order], [deal], [position], events, sequences, [command]), ledger


def _event(sequence: int, channel: str, number: int, name: str, data: dict[str, int]) -> Event:
    return Event(
        account_id=1, sequence=sequence, channel=channel, channel_sequence=number, event=name,
        data=orjson.dumps(data), created_ns=1,
    )  # fmt: skip


def order(ours: Books, **changes: Any) -> Books:
    return ours._replace(orders=[replace(ours.orders[0], **changes)])


def position(ours: Books, **changes: Any) -> Books:
    held: Position = ours.positions[0]
    return ours._replace(positions=[replace(held, **changes)])


def twice(rows: list[dict[str, Any]]) -> None:
    rows.append(rows[0])


def another_name(ours: Books) -> Books:
    first: Order = ours.orders[0]
    return ours._replace(orders=[first, replace(first, id=2, client_order_id="n2")])


def test_books_that_agree() -> None:
    assert disagreements(*made()) == []


OURS: dict[str, Callable[[Books], Books]] = {
    "is still in doubt": lambda ours: order(ours, state=OrderState.UNKNOWN),
    "was taken for somebody else's": lambda ours: order(ours, reason="external"),
    "was accepted by the exchange": lambda ours: order(ours, state=OrderState.REJECTED),
    "open there": lambda ours: order(ours, state=OrderState.CANCELED),
    "filled here": lambda ours: order(ours, filled=Decimal(2)),
    "1 at 101 here": lambda ours: order(ours, price=Decimal(101)),
    "is nobody's": lambda ours: order(ours, client_order_id="n2"),
    "is not at the exchange": another_name,
    "versions [1, 2] were told": lambda ours: order(ours, version=3),
    "never made there": lambda ours: ours._replace(deals=[replace(ours.deals[0], exchange_trade_id="6")]),
    "another price": lambda ours: ours._replace(deals=[replace(ours.deals[0], price=Decimal(99))]),
    "booked twice": lambda ours: ours._replace(
        deals=[replace(ours.deals[0], id=n, qty=Decimal("0.5"), fee=Decimal("0.05")) for n in (1, 2)]
    ),
    "(fee 0)": lambda ours: ours._replace(deals=[replace(ours.deals[0], fee=Decimal(0))]),
    "events of deals": lambda ours: ours._replace(deals=[replace(ours.deals[0], id=4)]),
    "the account has 3": lambda ours: ours._replace(events=ours.events[1:]),
    "events of orders have other numbers": lambda ours: ours._replace(events=ours.events[:2]),
    "its deals make it": lambda ours: position(ours, qty=Decimal(3)),
    "follow from deals": lambda ours: position(ours, id=9),
    "still runs": lambda ours: ours._replace(commands=[{**ours.commands[0], "status": "running"}]),
    "made by 2 commands": lambda ours: ours._replace(commands=[*ours.commands, {**ours.commands[0], "id": 2}]),
    "made by no command": lambda ours: ours._replace(commands=[]),
}


@pytest.mark.parametrize("said", list(OURS))
def test_what_is_wrong_with_ours_is_told(said: str) -> None:
    ours, ledger = made()
    assert said in "\n".join(disagreements(OURS[said](ours), ledger))


THEIRS: dict[str, Callable[[Ledger], None]] = {
    "was sent 2 times": lambda ledger: twice(ledger["requests"]),
    "was accepted twice": lambda ledger: twice(ledger["orders"]),
    "0 (fee 0) here": lambda ledger: ledger["fills"].append({**ledger["fills"][0], "trade_id": 6}),
    "is nobody's": lambda ledger: ledger["orders"].append({**ledger["orders"][0], "client_order_id": "other"}),
}


@pytest.mark.parametrize("said", list(THEIRS))
def test_what_is_more_there_is_told(said: str) -> None:
    ours, ledger = made()
    THEIRS[said](ledger)
    assert said in "\n".join(disagreements(ours, ledger))
