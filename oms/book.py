"""One account in memory: its open orders and positions, what it remembers of closed ones, and its sequences.

Every change goes through one door and leaves rows and events in `pending`, to be committed before anything is sent or
told. Synchronous, and takes the time. Must not know SQL, a socket, or what may be sent (`risk`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from oms.model import Account, Deal, Instrument, Order, Position, Risk
from oms.states import Happening
from oms.venues.base import VenueTrade
from oms.writes import CommandRow, Sequences, Writes

Channel = Literal["orders", "deals", "positions"]


class Ids:
    """The next ids of the one writer, shared by all its books."""

    def __init__(self, *, orders: int = 1, deals: int = 1, positions: int = 1, commands: int = 1) -> None:
        raise NotImplementedError

    def order(self) -> int:
        raise NotImplementedError

    def deal(self) -> int:
        raise NotImplementedError

    def position(self) -> int:
        raise NotImplementedError

    def command(self) -> int:
        raise NotImplementedError


class AccountBook:
    """See the module. `orders` and `positions` are views: open ones, and closed ones still remembered."""

    account: Account  # attributes to read; changed by `set_account`, `set_risk`
    risk: Risk
    sequences: Sequences
    orders: Mapping[int, Order]  # open and remembered
    open_orders: Mapping[int, Order]
    positions: Mapping[int, Position]  # the open ones

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
        """`deals` are all deals of `orders`, which may hold closed ones to remember."""
        raise NotImplementedError

    def take(self) -> Writes:
        """What changed since the last time, to be committed as one."""
        raise NotImplementedError

    def by_client_id(self, client_order_id: str) -> Order | None:
        raise NotImplementedError

    def by_exchange_id(self, symbol: str, exchange_order_id: str) -> Order | None:
        raise NotImplementedError

    def create(self, order: Order, *, command_id: int | None = None) -> Order:
        """Take in a new order (id from `ids.order()`): PENDING_SUBMIT, or SUBMITTED with reason `external`."""
        raise NotImplementedError

    def adopt(self, order: Order, deals: Iterable[Deal]) -> None:
        """Remember a closed order out of the database, so that what is heard of it late finds it. No event."""
        raise NotImplementedError

    def record(
        self, order_id: int, happening: Happening, now_ns: int, *, command_id: int | None = None
    ) -> Order | None:
        """The order after it; None when it was stale. Raises `ImpossibleError`."""
        raise NotImplementedError

    def deal(
        self,
        order_id: int | None,
        trade: VenueTrade,
        instrument: Instrument,
        now_ns: int,
    ) -> list[Deal] | None:
        """Book a trade once. Two deals when it flips a position; [] when it is booked already;
        None when its order is not known here: look it up, `adopt` or `create` it, and tell again."""
        raise NotImplementedError

    def close_by(
        self, position_id_a: int, position_id_b: int, qty: Decimal, now_ns: int, *, command_id: int | None = None
    ) -> list[Deal]:
        """Net two opposite positions of a symbol at the entry price of b."""
        raise NotImplementedError

    def merge(
        self, source_position_id: int, target_position_id: int, now_ns: int, *, command_id: int | None = None
    ) -> list[Deal]:
        """Move all of a position into another at its entry price: nothing is realised by a move on one side."""
        raise NotImplementedError

    def edit_position(
        self,
        position_id: int,
        now_ns: int,
        *,
        stop_loss: Decimal | None | UnsetType = UNSET,
        stop_gain: Decimal | None | UnsetType = UNSET,
        comment: str | UnsetType = UNSET,
        command_id: int | None = None,
    ) -> Position:
        raise NotImplementedError

    def reassign_order(self, order_id: int, strategy_id: int, now_ns: int, *, command_id: int | None = None) -> Order:
        raise NotImplementedError

    def reassign_position(
        self, position_id: int, strategy_id: int, now_ns: int, *, command_id: int | None = None
    ) -> Position:
        """To another strategy, out of `external`; moved into what the strategy has open where the mode nets."""
        raise NotImplementedError

    def start_command(self, row: CommandRow) -> None:
        raise NotImplementedError

    def finish_command(
        self,
        row: CommandRow,
        now_ns: int,
        *,
        result: Mapping[str, Any],
        error: Mapping[str, Any] | None = None,
        order_id: int | None = None,
    ) -> CommandRow:
        """Store the answer; with an error there is a `command_failed` event."""
        raise NotImplementedError

    def announce(
        self,
        channel: Channel,
        event: str,
        data: Mapping[str, Any],
        now_ns: int,
        *,
        command_id: int | None = None,
    ) -> None:
        """An event that changes no row of ours: `position_mismatch` (positions), a change of risk (orders)."""
        raise NotImplementedError

    def set_account(self, account: Account) -> None:
        """What an administrator changed; the row is stored by who changed it."""
        raise NotImplementedError

    def set_risk(self, risk: Risk) -> None:
        raise NotImplementedError
