"""Whether our books and the exchange's ledger say the same: orders, fills, requests, events, positions, answers.

Pure, over what was read of both sides. Must not know how either was read, nor what happened before.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from oms.desk import naming
from oms.desk.settling import DOUBTFUL
from oms.model import ZERO, Account, Deal, Event, Instrument, Order, OrderState, Position, PositionState
from tests.oms.rebuilt import rebuild

Row = Mapping[str, Any]
OPEN_THERE = frozenset({"NEW", "PARTIALLY_FILLED"})
FIGURES = ("qty", "side", "entry_price", "realized_pnl", "fees", "state", "opened_ns", "closed_ns")


class Books(NamedTuple):
    """All that we have of one account."""

    account: Account
    orders: Sequence[Order]
    deals: Sequence[Deal]
    positions: Sequence[Position]
    events: Sequence[Event]
    sequences: Mapping[str, int]  # what the account's row says was given out: `event`, and each channel
    commands: Sequence[Row]


def disagreements(ours: Books, ledger: Mapping[str, Sequence[Row]]) -> list[str]:
    """Everything that is not as it must be, in words; nothing when all is well."""
    return [
        *_sent_once(ledger["requests"]),
        *_orders(ours, ledger["orders"]),
        *_fills(ours, ledger["fills"]),
        *_events(ours),
        *_versions(ours),
        *_positions(ours),
        *_commands(ours),
    ]


def _sent_once(requests: Iterable[Row]) -> Iterator[str]:
    """A request to create names its order: no name may ever have been received twice, whatever came of it."""
    names = Counter(name for each in requests if (name := each["params"].get("newClientOrderId")) is not None)
    for name, count in names.items():
        if count > 1:
            yield f"{name} was sent {count} times"


def _orders(ours: Books, theirs: Iterable[Row]) -> Iterator[str]:
    by_name = {order.client_order_id: order for order in ours.orders}
    by_id = {order.id: order for order in ours.orders}
    selves: dict[int, list[Row]] = defaultdict(list)
    if len(by_name) != len(ours.orders):
        yield "two orders of ours have one name"
    for there in theirs:
        name = there["client_order_id"]
        number = naming.order_id_of(ours.account, name)
        order = by_name.get(name) or (by_id.get(number) if number is not None else None)
        if order is None:
            yield f"their order {there['order_id']} ({name}) is nobody's"
        else:
            selves[order.id].append(there)
    for order in ours.orders:
        yield from _order(order, selves[order.id])


def _order(order: Order, selves: Sequence[Row]) -> Iterator[str]:
    """`selves`: what the exchange has of it, each time it was created."""
    what = f"order {order.id} ({order.client_order_id}, {order.state})"
    names = [there["client_order_id"] for there in selves]
    if len(set(names)) != len(names):
        yield f"{what} was accepted twice: {names}"
    if order.state in DOUBTFUL:
        yield f"{what} is still in doubt"
    if order.reason:
        yield f"{what} was taken for somebody else's"
    if not selves and order.state is not OrderState.REJECTED:
        yield f"{what} is not at the exchange"
    if selves and order.state is OrderState.REJECTED and not all(there["status"] == "REJECTED" for there in selves):
        yield f"{what} was accepted by the exchange"
    filled = sum((Decimal(there["executed_qty"]) for there in selves), ZERO)
    if filled != order.filled:
        yield f"{what}: {order.filled} filled here, {filled} there"
    still = [there for there in selves if there["status"] in OPEN_THERE]
    if len(still) != order.is_open:
        yield f"{what}: {len(still)} of it open there"
    for there in still:
        left = Decimal(there["qty"]) - Decimal(there["executed_qty"])
        if (left, Decimal(there["price"]), str(there["order_id"])) != (
            order.remaining, order.price, order.exchange_order_id,
        ):  # fmt: skip
            yield f"{what}: {order.remaining} at {order.price} here, {left} at {there['price']} there"


def _fills(ours: Books, theirs: Iterable[Row]) -> Iterator[str]:
    """A fill that closed a position and opened the next is two deals. Each market counts its trades for itself."""
    booked: dict[tuple[str, str], list[Deal]] = defaultdict(list)
    for deal in ours.deals:
        booked[deal.symbol.replace("/", ""), deal.exchange_trade_id].append(deal)
    for fill in theirs:
        what = f"fill {fill['trade_id']} of {fill['symbol']}"
        deals = booked.pop((fill["symbol"], str(fill["trade_id"])), [])
        qty, fee = sum((each.qty for each in deals), ZERO), sum((each.fee for each in deals), ZERO)
        if (qty, fee) != (Decimal(fill["qty"]), Decimal(fill["fee"])):
            yield f"{what}: {qty} (fee {fee}) here, {fill['qty']} (fee {fill['fee']}) there"
        elif any(each.price != Decimal(fill["price"]) for each in deals):
            yield f"{what} has another price here"
        if len({each.position_id for each in deals}) != len(deals):
            yield f"{what} is booked twice on one position"
    for symbol, trade_id in booked:
        yield f"deal {trade_id} of {symbol} was never made there"


def _events(ours: Books) -> Iterator[str]:
    """Each number once, and none left out, in the account and in each channel."""
    numbers = [event.sequence for event in ours.events]
    if numbers != list(range(1, ours.sequences["event"] + 1)):
        yield f"events are {numbers[:3]}..{numbers[-3:]} ({len(numbers)}), the account has {ours.sequences['event']}"
    for channel in ("orders", "deals", "positions"):
        numbers = [event.channel_sequence for event in ours.events if event.channel == channel]
        if numbers != list(range(1, ours.sequences[channel] + 1)):
            yield f"events of {channel} have other numbers than 1 to {ours.sequences[channel]}"


def _versions(ours: Books) -> Iterator[str]:
    """Every change of an order was told once, in order, up to the state it has; every deal was told once."""
    told: dict[int, list[int]] = defaultdict(list)
    deals: Counter[int] = Counter()
    for event in ours.events:
        if event.event in {"order_created", "order_updated"}:
            data = orjson.loads(event.data)
            told[data["id"]].append(data["version"])
        elif event.channel == "deals":
            deals[orjson.loads(event.data)["id"]] += 1
    for order in ours.orders:
        if told[order.id] != list(range(1, order.version + 1)):
            yield f"order {order.id}: versions {told[order.id]} were told, it has {order.version}"
    if deals != Counter(deal.id for deal in ours.deals):
        yield "events of deals are not those of the table"


def _positions(ours: Books) -> Iterator[str]:
    again = rebuild(sorted(ours.deals, key=lambda deal: deal.id), _instrument)
    if again.keys() != {position.id for position in ours.positions}:
        yield f"positions {sorted(again)} follow from deals, {sorted(each.id for each in ours.positions)} are stored"
        return
    for position in ours.positions:
        for name in FIGURES:
            stored, folded = getattr(position, name), getattr(again[position.id], name)
            if stored != folded:
                yield f"position {position.id}: {name} is {stored}, its deals make it {folded}"
    keys = [each.net_key for each in ours.positions if each.state is PositionState.OPEN and each.net_key is not None]
    if len(set(keys)) != len(keys):
        yield f"two open positions have one key: {keys}"


def _instrument(symbol: str) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(symbol=symbol, base=base, quote=quote)


def _commands(ours: Books) -> Iterator[str]:
    for row in ours.commands:
        if row["status"] == "running":
            yield f"command {row['id']} ({row['command']}) still runs"
    sent = Counter(row["order_id"] for row in ours.commands if row["command"] == "send_order" and row["order_id"])
    for order_id, count in sent.items():
        if count > 1:
            yield f"order {order_id} was made by {count} commands"
    for order in ours.orders:
        if order.id not in sent and not order.reason:
            yield f"order {order.id} was made by no command"
