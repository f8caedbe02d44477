"""What is told of the OMS, member by member: for type checkers, and for the OpenAPI document that is made of it.

Holds shapes only: `render` and the resources fill them. Must not know a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from oms.model import (
    AlertState,
    AlertType,
    Environment,
    OrderState,
    OrderType,
    PositionMode,
    PositionSide,
    PositionState,
    Side,
    TimeInForce,
    TradingState,
)


class OrderShape(TypedDict):
    """An order. Money is a decimal string, times are ISO 8601 in UTC."""

    id: int
    account_id: int
    symbol: str
    side: Side
    order_type: OrderType
    qty: str
    client_order_id: str
    price: str | None
    trigger_price: str | None
    time_in_force: TimeInForce
    expires_at: str | None
    post_only: bool
    reduce_only: bool
    stop_loss: str | None
    stop_gain: str | None
    strategy_id: int
    position_id: int
    reason: str
    comment: str
    params: Mapping[str, Any]
    state: OrderState
    status: str
    exchange_order_id: str | None
    filled: str
    remaining: str
    average_price: str | None
    replaces: int
    error_code: str | None
    error_message: str | None
    flags: list[str]
    exchange_time: str | None
    created_at: str
    updated_at: str
    closed_at: str | None
    version: int


class DealShape(TypedDict):
    """An execution."""

    id: int
    account_id: int
    order_id: int
    position_id: int
    symbol: str
    side: Side
    qty: str
    price: str
    exchange_trade_id: str
    fee: str
    fee_currency: str | None
    more_fees: dict[str, str]
    realized_pnl: str
    strategy_id: int
    maker: bool | None
    reason: str
    executed_at: str
    created_at: str


class PositionShape(TypedDict):
    """A position; `qty` is signed, long above zero, and `side` stays when it is closed."""

    id: int
    account_id: int
    symbol: str
    strategy_id: int
    qty: str
    side: PositionSide | None
    entry_price: str | None
    realized_pnl: str
    fees: dict[str, str]
    inverse: bool
    contract_size: str
    stop_loss: str | None
    stop_gain: str | None
    comment: str
    reason: str
    state: PositionState
    net_key: str | None
    opened_at: str
    updated_at: str
    closed_at: str | None
    version: int


class EventShape(TypedDict):
    """A line of the outbox: `sequence` is gapless in the account, `channel_sequence` in the account's channel."""

    account_id: int
    sequence: int
    channel: str
    channel_sequence: int
    event: str
    data: dict[str, Any]
    command_id: int | None
    created_at: str


class OrderItems(TypedDict):
    """Orders in the order asked for, and the ids that are not there or may not be seen."""

    items: list[OrderShape]
    missing: list[int]


class DealItems(TypedDict):
    """Deals in the order asked for, and the ids that are not there or may not be seen."""

    items: list[DealShape]
    missing: list[int]


class PositionItems(TypedDict):
    """Positions in the order asked for, and the ids that are not there or may not be seen."""

    items: list[PositionShape]
    missing: list[int]


class OrderPage(TypedDict):
    """Orders by ascending id. `next_after_id` is the `after_id` of the page behind a full one."""

    items: list[OrderShape]
    next_after_id: int | None


class DealPage(TypedDict):
    """Deals by ascending id. `next_after_id` is the `after_id` of the page behind a full one."""

    items: list[DealShape]
    next_after_id: int | None


class PositionPage(TypedDict):
    """Positions by ascending id. `next_after_id` is the `after_id` of the page behind a full one."""

    items: list[PositionShape]
    next_after_id: int | None


class EventPage(TypedDict):
    """Events in order, and the last number there was: `after_sequence` of the next question."""

    items: list[EventShape]
    last_sequence: int


class ResultShape(TypedDict):
    """The answer to one command. `replayed`, `running` and what a command tells besides are there when they apply.

    So are `order` and `deals`, to who prefers `return=representation`.
    """

    index: int
    ok: bool
    command_id: int | None
    order_id: int | None
    error: dict[str, Any] | None


class Results(TypedDict):
    """One answer a command, in their order."""

    results: list[ResultShape]


class AccountShape(TypedDict):
    """An account, without anything that opens it."""

    id: int
    name: str
    exchange: str
    environment: Environment
    position_mode: PositionMode
    blocked: bool
    requires_signing: bool


class StrategyShape(TypedDict):
    """What orders and positions of an account are told apart by."""

    id: int
    account_id: int
    name: str


class RiskShape(TypedDict):
    """The limits of an account; null: not limited."""

    account_id: int
    allow_new_positions: bool
    max_order_qty: str | None
    max_order_notional: str | None
    max_open_orders: int | None
    max_position_notional: str | None
    price_collar_bps: int | None
    max_orders_per_s: int | None
    max_market_data_age_ms: int
    trading_state: TradingState


class Accounts(TypedDict):
    items: list[AccountShape]


class Strategies(TypedDict):
    items: list[StrategyShape]


class TradingShape(TypedDict):
    """The kill switch of all accounts at once; the stricter of it and an account's own holds."""

    trading_state: TradingState


class ReadinessShape(TypedDict):
    """How far an account is; `obstacle` says why it takes no commands, null when it does."""

    account_id: int
    ready: bool
    connected: bool
    reconciled: bool
    obstacle: str | None


class ReadinessItems(TypedDict):
    """Of the accounts that may be looked at; none while the order database is away (`database` says)."""

    database: bool
    items: list[ReadinessShape]


class ReconciliationShape(TypedDict):
    """The last comparison with the venue that has ended; `status` is ok or failed, or never when there was none.
    `running_since`: when the one began that is under way."""

    account_id: int
    cause: str | None
    status: str
    report: dict[str, Any]
    started_at: str | None
    finished_at: str | None
    running_since: str | None


class ReconciliationRow(TypedDict):
    """One comparison with the venue; `status` is running, ok or failed."""

    id: int
    account_id: int
    cause: str
    status: str
    report: dict[str, Any]
    started_at: str
    finished_at: str | None


class ReconciliationPage(TypedDict):
    """The newest first. `next_before_id` is the `before_id` of the page behind a full one."""

    items: list[ReconciliationRow]
    next_before_id: int | None


class Reassigned(TypedDict):
    """What was given to the strategy, as it is now."""

    orders: list[OrderShape]
    positions: list[PositionShape]


class AlertShape(TypedDict):
    """A rule on a price: `price`, or `percent` within `window_s`. What was met last stays when it is armed again."""

    id: int
    account_id: int
    user_id: int
    exchange: str
    symbol: str
    type: AlertType
    price: str | None
    percent: str | None
    window_s: int | None
    message: str
    state: AlertState
    created_at: str
    triggered_at: str | None
    triggered_price: str | None


class AlertPage(TypedDict):
    """Alerts by ascending id. `next_after_id` is the `after_id` of the page behind a full one."""

    items: list[AlertShape]
    next_after_id: int | None


class SignalShape(TypedDict):
    """A signal as it was told, and its number."""

    id: int
    signal_type: str
    symbol: str
    price: float | None
    quantity: float | None
    confidence: float | None
    source: str
    timestamp: str


class NewsShape(TypedDict):
    """A piece of news as it was told, and its number."""

    id: int
    headline: str
    source: str
    symbols: list[str]
    sentiment: float | None
    timestamp: str
    url: str | None


class SignalPage(TypedDict):
    """The newest first. `next_before_id` is the `before_id` of the page behind a full one."""

    items: list[SignalShape]
    next_before_id: int | None


class NewsPage(TypedDict):
    """The newest first. `next_before_id` is the `before_id` of the page behind a full one."""

    items: list[NewsShape]
    next_before_id: int | None


class PublishedShape(TypedDict):
    """The number of what is kept; `replayed`: it was before, and nobody was told again."""

    id: int
    replayed: bool


class PassedResult(TypedDict):
    """What ccxt's function returned, or, of orders, positions and trades, would have."""

    result: Any


class ErrorShape(TypedDict):
    """A refusal: `details`, `retry_after_ms` and `request_id` are there when they apply."""

    code: str
    message: str
