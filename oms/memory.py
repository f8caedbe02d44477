"""What one account holds in memory, behind one door: nothing in it changes without its row and an event.

Must not know why something changes: `book` decides, by the table of states and the fold of positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from oms import render
from oms.alerts import rules
from oms.model import Alert, Deal, Event, Order, Position, PositionState
from oms.tracking import OrderIndex
from oms.writes import CommandRow, Sequences, SequenceStep, Writes

Channel = Literal["orders", "deals", "positions"]
AnyChannel = Channel | Literal["alerts"]  # of which each event comes with a row, by `put_alert`

_ENCODE: Final = msgspec.json.Encoder().encode


class Memory:
    """Orders, positions and sequences of an account, and the rows and events that are not taken yet."""

    def __init__(self, account_id: int, sequences: Sequences, remembered_max: int) -> None:
        self.orders = OrderIndex(remembered_max)
        self._account_id = account_id
        self._pending = Writes()
        self._taken = self._sequences = sequences
        self._positions: dict[int, Position] = {}
        self.positions: Mapping[int, Position] = MappingProxyType(self._positions)
        self._by_net_key: dict[str, int] = {}

    @property
    def sequences(self) -> Sequences:
        """The last numbers given, committed or not."""
        return self._sequences

    def take(self) -> Writes:
        """What changed since the last time, to be committed as one."""
        taken, self._pending = self._pending, Writes()
        if taken.events:
            step = SequenceStep(account_id=self._account_id, old=self._taken, new=self._sequences)
            taken.sequences[self._account_id] = step
            self._taken = self._sequences
        return taken

    def by_net_key(self, key: str | None) -> Position | None:
        """The open position of this key."""
        return None if key is None else self._positions.get(self._by_net_key.get(key, 0))

    def hold(self, position: Position) -> None:
        """Take in an open position as it is stored: nothing is written."""
        is_open = position.state is PositionState.OPEN
        holder = self.by_net_key(position.net_key)
        if is_open and holder is not None and holder.id != position.id:
            raise ValueError(f"position {position.id}: {position.net_key} is the open position {holder.id}")
        former = self._positions.pop(position.id, None)
        if former is not None and former.net_key is not None:
            del self._by_net_key[former.net_key]
        if is_open:
            self._positions[position.id] = position
            if position.net_key is not None:
                self._by_net_key[position.net_key] = position.id

    def put_command(self, row: CommandRow) -> None:
        self._pending.commands[row.id] = row

    def put_order(self, order: Order, event: str, now_ns: int, command_id: int | None) -> None:
        data = _ENCODE(render.order_data(order))  # before anything changes: what cannot be told is not held either
        self.orders.put(order)
        self._pending.orders[order.id] = order
        self._tell("orders", event, data, now_ns, command_id)

    def put_deal(self, deal: Deal, now_ns: int, command_id: int | None) -> None:
        data = _ENCODE(render.deal_data(deal))
        self._pending.deals[deal.id] = deal
        self._tell("deals", "deal_created", data, now_ns, command_id)

    def put_position(self, position: Position, now_ns: int, command_id: int | None) -> None:
        data = _ENCODE(render.position_data(position))
        self.hold(position)
        self._pending.positions[position.id] = position
        event = "position_closed" if position.state is PositionState.CLOSED else "position_updated"
        self._tell("positions", event, data, now_ns, command_id)

    def put_alert(self, alert: Alert, now_ns: int, *, is_met: bool) -> None:
        """A rule as it is now; that it was met is told."""
        data = _ENCODE(rules.told(alert)) if is_met else b""
        self._pending.alerts[alert.id] = alert
        if is_met:
            self._tell("alerts", "alert_triggered", data, now_ns, None)

    def tell(
        self, channel: Channel, event: str, data: Mapping[str, object], now_ns: int, command_id: int | None
    ) -> None:
        """Append to the outbox under the next numbers of the account and of the channel."""
        self._tell(channel, event, _ENCODE(data), now_ns, command_id)

    def _tell(self, channel: AnyChannel, event: str, data: bytes, now_ns: int, command_id: int | None) -> None:
        former = self._sequences
        number: int = getattr(former, channel) + 1
        self._sequences = replace(former, event=former.event + 1, **{channel: number})
        self._pending.events.append(
            Event(
                account_id=self._account_id,
                sequence=self._sequences.event,
                channel=channel,
                channel_sequence=number,
                event=event,
                data=data,
                command_id=command_id,
                created_ns=now_ns,
            )
        )
