"""One account: what is recorded of its orders, what its trades do to its positions, and what the OMS nets itself.

Each change leaves its row and an event, to be taken and committed before anything is sent or told. Synchronous, and
takes the time. Must not know SQL, a socket, or what may be sent (`risk`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, localcontext
from itertools import count
from typing import Any, Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from oms import render
from oms.errors import OmsError
from oms.memory import Channel, Memory
from oms.model import Account, Alert, Deal, Instrument, Order, OrderState, Position, PositionMode, Risk
from oms.positions import (
    AMOUNT_STEP,
    AVERAGE_STEP,
    CONTEXT,
    change_of,
    fee_base,
    fold,
    net_key,
    opened,
    split,
    taking_off,
)
from oms.states import Filled, Happening, advance
from oms.venues.base import VenueTrade
from oms.writes import CommandRow, CommandStatus, Sequences, Writes

EXTERNAL: Final = "external"  # the reason of what came to be at the venue without us
REASSIGNED: Final = "reassigned"  # the reason of what was external


class Ids:
    """The next ids of the one writer, shared by all its books."""

    def __init__(self, *, orders: int = 1, deals: int = 1, positions: int = 1, commands: int = 1) -> None:
        self.order: Callable[[], int] = count(orders).__next__
        self.deal: Callable[[], int] = count(deals).__next__
        self.position: Callable[[], int] = count(positions).__next__
        self.command: Callable[[], int] = count(commands).__next__


class AccountBook:
    """See the module. `orders` are the open and the remembered ones, `positions` the open ones: views to read."""

    def __init__(
        self,
        account: Account,
        risk: Risk,
        ids: Ids,
        *,
        sequences: Sequences,
        orders: Iterable[Order] = (),
        deals: Iterable[Deal] = (),
        positions: Iterable[Position] = (),
        remembered_max: int = 10_000,
    ) -> None:
        """`orders` may hold closed ones to remember, in the order they closed; `deals` are all deals of `orders`."""
        self.account = account  # what an administrator changes is stored by who changed it, and set here
        self.risk = risk
        self._ids = ids
        self._memory = Memory(account.id, sequences, remembered_max)
        self.orders = self._memory.orders.all
        self.open_orders = self._memory.orders.open
        self.positions = self._memory.positions
        deals_of: dict[int, list[Deal]] = {}
        for deal in deals:
            deals_of.setdefault(deal.order_id, []).append(deal)
        for order in orders:
            self._memory.orders.load(order, deals_of.get(order.id, ()))
        for position in positions:
            self._memory.hold(position)

    @property
    def sequences(self) -> Sequences:
        """The last numbers given, committed or not."""
        return self._memory.sequences

    def take(self) -> Writes:
        """What changed since the last time, to be committed as one."""
        return self._memory.take()

    # Commands and what is told without a row of ours

    def start_command(self, row: CommandRow) -> None:
        """Store it before anything is done about it."""
        self._memory.put_command(row)

    def finish_command(
        self,
        row: CommandRow,
        now_ns: int,
        *,
        result: Mapping[str, Any],
        error: Mapping[str, Any] | None = None,
        order_id: int | None = None,
    ) -> CommandRow:
        """Store what is answered; an error is told as `command_failed` too."""
        status = CommandStatus.OK if error is None else CommandStatus.FAILED
        row = replace(row, status=status, result=result, order_id=order_id or row.order_id, finished_ns=now_ns)
        self._memory.put_command(row)
        if error is not None:
            failed = {
                "command_id": row.id,
                "account_id": row.account_id,
                "command": row.command,
                "request_id": row.request_id,
                "order_id": row.order_id,
                "error": error,
                "created_at": render.moment(row.created_ns),
                "finished_at": render.moment(now_ns),
            }
            self.announce("orders", "command_failed", failed, now_ns, command_id=row.id)
        return row

    def announce(
        self, channel: Channel, event: str, data: Mapping[str, object], now_ns: int, *, command_id: int | None = None
    ) -> None:
        """An event that changes no row of ours: `position_mismatch` on positions, a change of risk on orders."""
        self._memory.tell(channel, event, data, now_ns, command_id)

    def put_alert(self, alert: Alert, now_ns: int, *, is_met: bool = False) -> None:
        """A rule of the account as it is now; that it was met is told."""
        self._memory.put_alert(alert, now_ns, is_met=is_met)

    # Orders

    def by_client_id(self, client_order_id: str) -> Order | None:
        return self._memory.orders.by_client_id(client_order_id)

    def by_exchange_id(self, symbol: str, exchange_order_id: str) -> Order | None:
        """Also by an id it had before it was replaced."""
        return self._memory.orders.by_exchange_id(symbol, exchange_order_id)

    def create(self, order: Order, *, command_id: int | None = None) -> Order:
        """Take in a new order with an id from `Ids`: not sent yet, or external and resting at the venue."""
        state = OrderState.SUBMITTED if order.reason == EXTERNAL else OrderState.PENDING_SUBMIT
        fresh = order.id not in self.orders and order.state is state and not order.filled
        if order.account_id != self.account.id or not fresh:
            raise ValueError(f"order {order.id}, {order.state}, is not a new one of account {self.account.id}")
        if self.by_client_id(order.client_order_id) is not None:
            raise OmsError(
                "duplicate_client_order_id",
                f"client_order_id {order.client_order_id!r} was used on this account before: choose another",
            )
        target = self.positions.get(order.position_id)
        if target is not None and target.symbol != order.symbol:
            raise OmsError("validation_error", f"position {target.id} is of {target.symbol}, not of {order.symbol}")
        self._memory.put_order(order, "order_created", order.created_ns, command_id)
        return order

    def adopt(self, order: Order, deals: Iterable[Deal]) -> None:
        """Remember an order out of the database with all its deals, so that what is heard of it late finds it."""
        if order.id not in self.orders:
            self._memory.orders.load(order, deals)

    def record(
        self, order_id: int, happening: Happening, now_ns: int, *, command_id: int | None = None
    ) -> Order | None:
        """The order after it; None when it was stale or said nothing new. Raises `ImpossibleError`."""
        if isinstance(happening, Filled):
            raise TypeError("what is filled is counted from deals: tell the book of the trade")
        return self._advance(self.orders[order_id], happening, now_ns, command_id)

    def _advance(self, order: Order, happening: Happening, now_ns: int, command_id: int | None) -> Order | None:
        after = advance(order, happening, now_ns)
        if after is not None:
            self._memory.put_order(after, "order_updated", now_ns, command_id)
        return after

    def reassign_order(self, order_id: int, strategy_id: int, now_ns: int, *, command_id: int | None = None) -> Order:
        """What it fills from now on is the strategy's."""
        order = self.orders[order_id]
        reason = REASSIGNED if order.reason == EXTERNAL else order.reason
        order = replace(order, strategy_id=strategy_id, reason=reason, updated_ns=now_ns, version=order.version + 1)
        self._memory.put_order(order, "order_updated", now_ns, command_id)
        return order

    # Trades

    def deal(self, order_id: int | None, trade: VenueTrade, instrument: Instrument, now_ns: int) -> list[Deal] | None:
        """Book a trade, once however often it is told: two deals when it flips a position, [] when it is known.

        None when its order is not in memory: look for it in the database and `adopt` it, or import it as external by
        `create`, and tell again. With `order_id` the trade's own ids of an order are not looked at.
        """
        order = self._order_of(trade) if order_id is None else self.orders.get(order_id)
        if order is None:
            return None
        if (trade.symbol, trade.side) != (order.symbol, order.side) or trade.qty <= 0:
            raise ValueError(f"a trade of {trade.side} {trade.qty} {trade.symbol} cannot be of order {order.id}")
        if instrument.inverse and trade.price <= 0:
            raise ValueError(f"an inverse contract cannot be traded at {trade.price}")
        trade = _as_kept(trade)
        index = self._memory.orders
        trade_id = index.new_trade_id(order, trade)
        if trade_id is None:
            return []
        index.link(order, trade.exchange_order_id)
        booked = self._book(order, _deal_of(order, trade, trade_id, now_ns), instrument)
        executed = index.count_in(order, trade, trade_id)  # only now: what could not be booked is not known
        happening = Filled(
            filled=executed.filled,
            average_price=executed.average_price,
            time_ns=trade.time_ns,
            exchange_order_id=trade.exchange_order_id,
            # In hedge mode what an order fills later joins what it filled first.
            position_id=booked[-1].position_id if self.account.position_mode is PositionMode.HEDGE else 0,
        )
        self._advance(order, happening, now_ns, None)
        return booked

    def _order_of(self, trade: VenueTrade) -> Order | None:
        found = self.by_exchange_id(trade.symbol, trade.exchange_order_id)
        if found is None and trade.client_order_id is not None:
            named = self.by_client_id(trade.client_order_id)
            found = named if named is not None and is_meant(named, trade.exchange_order_id) else None
        return found

    def _book(self, order: Order, whole: Deal, instrument: Instrument) -> list[Deal]:
        """Fold a fill into the positions it concerns: what is beyond closing one goes on to the next."""
        booked: list[Deal] = []
        rest: Deal | None = whole
        base = fee_base(instrument)
        stops = {name: stop for name in ("stop_loss", "stop_gain") if (stop := getattr(order, name)) is not None}
        while rest is not None:
            position = self.target_of(order)
            if position is None:
                part, rest = replace(rest, position_id=self._ids.position()), None
                position = opened(part, instrument, self._net_key_of(order))
            else:
                part, rest = split(rest, position.qty, base)
            if position.qty * change_of(part, base) >= 0:  # it opens or adds: what the order is protected by holds
                position = replace(position, **stops)
            booked.append(self._fold(position, part, base, None))
        return booked

    def target_of(self, order: Order) -> Position | None:
        """The open position that its fills go to: the one it names while that is open, else the one of its net key."""
        return self.positions.get(order.position_id) or self._memory.by_net_key(self._net_key_of(order))

    def _net_key_of(self, order: Order) -> str | None:
        return net_key(self.account, order.symbol, order.strategy_id, external=order.reason == EXTERNAL)

    def _fold(self, position: Position, deal: Deal, base: str | None, command_id: int | None) -> Deal:
        deal = replace(deal, id=self._ids.deal(), position_id=position.id)
        position, deal = fold(position, deal, base)
        self._memory.put_deal(deal, deal.created_ns, command_id)
        self._memory.put_position(position, deal.created_ns, command_id)
        return deal

    # Positions

    def position(self, position_id: int) -> Position:
        """An open one; raises `position_not_found`."""
        position = self.positions.get(position_id)
        if position is None:
            raise OmsError("position_not_found", f"account {self.account.id} has no open position {position_id}")
        return position

    def edit_position(
        self,
        position_id: int,
        now_ns: int,
        *,
        stop_loss: Decimal | UnsetType | None = UNSET,
        stop_gain: Decimal | UnsetType | None = UNSET,
        comment: str | UnsetType = UNSET,
        command_id: int | None = None,
    ) -> Position:
        """Change what is given."""
        given = {"stop_loss": stop_loss, "stop_gain": stop_gain, "comment": comment}
        changes = {name: value for name, value in given.items() if value is not UNSET}
        return self._change_position(self.position(position_id), changes, now_ns, command_id)

    def _change_position(
        self, position: Position, changes: Mapping[str, Any], now_ns: int, command_id: int | None
    ) -> Position:
        position = replace(position, **changes, updated_ns=now_ns, version=position.version + 1)
        self._memory.put_position(position, now_ns, command_id)
        return position

    def may_close_by(self, position_id_a: int, position_id_b: int, qty: Decimal | None) -> Decimal:
        """How much `close_by` would net: as much as both have, when it is not said. Raises OmsError."""
        a, b = self._pair(position_id_a, position_id_b)
        if a.qty * b.qty > 0:
            raise OmsError("validation_error", f"positions {a.id} and {b.id} are on the same side: merge them instead")
        most = min(abs(a.qty), abs(b.qty))
        if qty is not None and not 0 < qty <= most:
            raise OmsError(
                "validation_error", f"qty: must be above 0 and at most {render.number(most)}", details={"field": "qty"}
            )
        return most if qty is None else qty

    def close_by(
        self, position_id_a: int, position_id_b: int, qty: Decimal | None, now_ns: int, *, command_id: int | None = None
    ) -> list[Deal]:
        """Net two opposite positions at the entry price of b: all that is realised, is realised in a."""
        qty = self.may_close_by(position_id_a, position_id_b, qty)
        a, b = self.positions[position_id_a], self.positions[position_id_b]
        off_a = taking_off(a, qty, _entry_of(b), "close_by", now_ns)
        off_b = taking_off(b, qty, _entry_of(b), "close_by", now_ns)
        return [self._fold(a, off_a, None, command_id), self._fold(b, off_b, None, command_id)]

    def may_merge(self, source_position_id: int, target_position_id: int) -> None:
        """Raises OmsError unless `merge` can be done."""
        source, target = self._pair(source_position_id, target_position_id)
        if source.qty * target.qty < 0:
            raise OmsError(
                "validation_error", f"positions {source.id} and {target.id} are opposite: use close_by instead"
            )

    def merge(
        self, source_position_id: int, target_position_id: int, now_ns: int, *, command_id: int | None = None
    ) -> list[Deal]:
        """Move a position into another of its side at its entry price: nothing is realised. The target's stops stay."""
        self.may_merge(source_position_id, target_position_id)
        source, target = self.positions[source_position_id], self.positions[target_position_id]
        out = taking_off(source, abs(source.qty), _entry_of(source), "merge", now_ns)
        into = replace(out, side=out.side.opposite, strategy_id=target.strategy_id)
        return [self._fold(source, out, None, command_id), self._fold(target, into, None, command_id)]

    def _pair(self, one_id: int, other_id: int) -> tuple[Position, Position]:
        one, other = self.position(one_id), self.position(other_id)
        if one.id == other.id or one.symbol != other.symbol:
            raise OmsError("validation_error", f"positions {one.id} and {other.id} are not two of the same symbol")
        return one, other

    def holder_for(self, position: Position, strategy_id: int) -> Position | None:
        """The open position that it would become part of as the strategy's; None: it stays one of its own."""
        holder = self._memory.by_net_key(net_key(self.account, position.symbol, strategy_id))
        return None if holder is None or holder.id == position.id else holder

    def reassign_position(
        self, position_id: int, strategy_id: int, now_ns: int, *, command_id: int | None = None
    ) -> Position | None:
        """Give it to a strategy, and out of `external`. Where the strategy's positions net, it nets with what is there.

        The open position it is now, or is now part of; None when it closed the strategy's and itself.
        """
        position = self.position(position_id)
        holder = self.holder_for(position, strategy_id)
        if holder is None:
            key = net_key(self.account, position.symbol, strategy_id)
            reason = REASSIGNED if position.reason == EXTERNAL else position.reason
            changes = {"strategy_id": strategy_id, "net_key": key, "reason": reason}
            return self._change_position(position, changes, now_ns, command_id)
        if holder.qty * position.qty > 0:
            self.merge(position.id, holder.id, now_ns, command_id=command_id)
            return self.positions[holder.id]
        self.close_by(position.id, holder.id, None, now_ns, command_id=command_id)
        if position.id in self.positions:
            return self.reassign_position(position.id, strategy_id, now_ns, command_id=command_id)
        return self.positions.get(holder.id)


def _entry_of(position: Position) -> Decimal:
    assert position.entry_price is not None, "what was folded from a deal has one"
    return position.entry_price


def _as_kept(trade: VenueTrade) -> VenueTrade:
    """The trade in the digits and the microseconds the database keeps, so that it compares with what is read back."""
    with localcontext(CONTEXT):
        return replace(
            trade,
            qty=trade.qty.quantize(AMOUNT_STEP),
            price=trade.price.quantize(AVERAGE_STEP),
            fee=trade.fee.quantize(AMOUNT_STEP),
            more_fees={name: fee.quantize(AMOUNT_STEP) for name, fee in trade.more_fees.items()},
            time_ns=trade.time_ns - trade.time_ns % 1_000,
        )


def _deal_of(order: Order, trade: VenueTrade, trade_id: str, now_ns: int) -> Deal:
    """A trade as a deal, before it is known which positions it goes to."""
    return Deal(
        id=0,
        account_id=order.account_id,
        order_id=order.id,
        position_id=0,
        symbol=order.symbol,
        side=order.side,
        qty=trade.qty,
        price=trade.price,
        exchange_trade_id=trade_id,
        fee=trade.fee,
        fee_currency=trade.fee_currency,
        more_fees=trade.more_fees,
        strategy_id=order.strategy_id,
        maker=trade.maker,
        reason=order.reason,
        executed_ns=trade.time_ns,
        created_ns=now_ns,
    )


def is_meant(named: Order, exchange_order_id: str) -> bool:
    """Whether what has this name at the venue is this order. Others may give a name again, to the next order, as soon
    as nothing open has it."""
    if named.exchange_order_id in (None, exchange_order_id) or named.replaces:  # what we replaced has had other ids
        return True
    is_strangers = named.reason in (EXTERNAL, REASSIGNED)
    # Of ours that is open it must be the name; and some venues give what was triggered another id.
    return not is_strangers and (named.is_open or named.trigger_price is not None)
