"""The nouns of the OMS: accounts, orders, deals, positions, events, and who asks.

Plain immutable values; money is `Decimal`, time is integer nanoseconds UTC. Holds no rule: which state may follow is in
`states`, what a deal does to a position in `positions`, what may be sent in `risk`. Must not know SQL, JSON or a venue.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

ZERO: Final = Decimal(0)


class OrderState(StrEnum):
    PENDING_SUBMIT = "PENDING_SUBMIT"  # committed, not sent
    UNKNOWN = "UNKNOWN"  # sent, outcome ambiguous
    SUBMITTED = "SUBMITTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


TERMINAL: Final = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED})


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"
    STOP = "stop"  # a market order once trigger_price is reached: a buy when the price rises, a sell when it falls
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"  # the same the other way round: a sell when the price rises, a buy when it falls
    TAKE_PROFIT_LIMIT = "take_profit_limit"

    @property
    def is_limited(self) -> bool:
        """Whether it has a price of its own."""
        return self in {OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT}

    @property
    def is_triggered(self) -> bool:
        """Whether it waits for a trigger price."""
        return self not in {OrderType.LIMIT, OrderType.MARKET}

    @property
    def takes_profit(self) -> bool:
        """Whether it waits for the price to become better for it, as a limit order does."""
        return self in {OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class Environment(StrEnum):
    LIVE = "live"
    SANDBOX = "sandbox"
    SIMULATED = "simulated"


class PositionMode(StrEnum):
    HEDGE = "hedge"
    NETTING = "netting"
    STRATEGY_NETTING = "strategy_netting"


class TradingState(StrEnum):
    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


class PositionSide(StrEnum):
    LONG = "long"
    SHORT = "short"


class PositionState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What is traded on. `exchange` is the gateway's configured name of it (`sim`, `binance`)."""

    id: int
    name: str
    exchange: str
    environment: Environment = Environment.SIMULATED
    position_mode: PositionMode = PositionMode.NETTING
    blocked: bool = False
    requires_signing: bool = False  # of every command
    epoch: str  # of its private streams; durable, made with the account


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one account; None: not limited."""

    account_id: int
    allow_new_positions: bool = True
    max_order_qty: Decimal | None = None
    max_order_notional: Decimal | None = None
    max_open_orders: int | None = 200
    max_position_notional: Decimal | None = None
    price_collar_bps: int | None = None  # a limit price may be this far through the market, in 1/100 of a per cent
    max_orders_per_s: int | None = None
    max_market_data_age_ms: int = 5_000
    trading_state: TradingState = TradingState.ACTIVE


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """What orders and positions of an account are told apart by; 0 is none of them."""

    id: int
    account_id: int
    name: str


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue says of a symbol. A step or a limit of 0 means that there is none."""

    symbol: str
    base: str
    quote: str
    contract_size: Decimal = Decimal(1)
    inverse: bool = False
    spot: bool = True
    price_step: Decimal = ZERO
    qty_step: Decimal = ZERO
    price_min: Decimal = ZERO
    price_max: Decimal = ZERO
    qty_min: Decimal = ZERO
    qty_max: Decimal = ZERO
    market_qty_max: Decimal = ZERO  # of an order that is executed at the market, beside `qty_max`
    notional_min: Decimal = ZERO
    notional_max: Decimal = ZERO  # of an order with a price


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's own view of a market; `stale` when its stream is not to be trusted."""

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    t_in_ns: int
    stale: bool = False


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order. `filled` and `average_price` come from deals; `version` grows by one at every change."""

    id: int
    account_id: int
    symbol: str
    side: Side
    order_type: OrderType
    qty: Decimal
    client_order_id: str
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expires_ns: int | None = None  # of GTD
    post_only: bool = False
    reduce_only: bool = False
    stop_loss: Decimal | None = None
    stop_gain: Decimal | None = None
    strategy_id: int = 0
    position_id: int = 0  # 0: chosen by the position mode
    reason: str = ""
    comment: str = ""
    params: Mapping[str, Any] = {}
    state: OrderState = OrderState.PENDING_SUBMIT
    exchange_order_id: str | None = None
    filled: Decimal = ZERO
    average_price: Decimal | None = None
    replaces: int = 0  # how often it was created anew at the venue under this id; part of the venue's client id
    error_code: str | None = None
    error_message: str | None = None
    flags: tuple[str, ...] = ()  # `overfill`, `late_fill`, `revived`
    exchange_time_ns: int | None = None  # of the newest update of the venue that was applied
    created_ns: int
    updated_ns: int
    closed_ns: int | None = None
    version: int = 1

    @property
    def is_open(self) -> bool:
        return self.state not in TERMINAL

    @property
    def waits(self) -> bool:
        """Whether it waits for its trigger price, as far as is known: what is filled in part does no more."""
        return self.trigger_price is not None and not self.filled

    @property
    def remaining(self) -> Decimal:
        return max(ZERO, self.qty - self.filled)


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """An execution. Without an id of the venue, `exchange_trade_id` is `syn:` + hash of order, total qty and price."""

    id: int
    account_id: int
    order_id: int
    position_id: int
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    exchange_trade_id: str
    fee: Decimal = ZERO
    fee_currency: str | None = None
    more_fees: Mapping[str, Decimal] = {}  # what was paid in other currencies beside it
    realized_pnl: Decimal = ZERO
    strategy_id: int = 0
    maker: bool | None = None
    reason: str = ""  # `external`, `close_by`, ...
    executed_ns: int
    created_ns: int


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A pure fold over its deals. `qty` is signed: long above zero; `side` stays when it is closed."""

    id: int
    account_id: int
    symbol: str
    strategy_id: int
    qty: Decimal
    side: PositionSide | None = None
    entry_price: Decimal | None
    realized_pnl: Decimal = ZERO
    fees: Mapping[str, Decimal] = {}
    inverse: bool = False
    contract_size: Decimal = Decimal(1)
    stop_loss: Decimal | None = None
    stop_gain: Decimal | None = None
    comment: str = ""
    reason: str = ""
    state: PositionState = PositionState.OPEN
    net_key: str | None = None  # what makes it the one open position of its mode; None in hedge mode
    opened_ns: int
    updated_ns: int
    closed_ns: int | None = None
    version: int = 1


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the outbox: `sequence` is gapless in the account, `channel_sequence` in the account's channel."""

    account_id: int
    sequence: int
    channel: str  # orders, deals, positions, alerts
    channel_sequence: int
    event: str  # order_created, order_updated, deal_created, position_updated, position_closed, command_failed, ..
    data: bytes  # the resource, a finished JSON object
    command_id: int | None = None
    created_ns: int


class AlertType(StrEnum):
    ABOVE = "above"  # the price is at the level, or above it
    BELOW = "below"  # .. or below it
    CROSSES = "crosses"  # it has come to the level, or beyond it, from the side it was on
    PERCENT_CHANGE = "percent_change"  # it is so far from the lowest (highest) of the window


class AlertState(StrEnum):
    ARMED = "armed"
    TRIGGERED = "triggered"
    DELETED = "deleted"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. `price` is the level of all but `percent_change`, which has `percent` (a fall: below 0), `window_s`."""

    id: int
    account_id: int
    user_id: int  # whose it is
    exchange: str
    symbol: str
    type: AlertType
    price: Decimal | None = None
    percent: Decimal | None = None
    window_s: int | None = None
    message: str = ""
    state: AlertState = AlertState.ARMED
    created_ns: int
    updated_ns: int
    triggered_ns: int | None = None
    triggered_price: Decimal | None = None
    api_key_id: int | None = None  # which made it, by this request
    request_id: str | None = None

    @property
    def level(self) -> Decimal:
        """What it is sorted by: a price, or a percentage."""
        level = self.percent if self.type is AlertType.PERCENT_CHANGE else self.price
        assert level is not None, "whoever made it has seen to that"
        return level


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """What one API key may do on one account; empty `strategies`: any."""

    account_id: int
    can_read: bool = True
    can_trade: bool = False
    can_close_position: bool = False
    can_risk_manage: bool = False
    strategies: frozenset[int] = frozenset()


class Role(StrEnum):
    ADMIN = "admin"
    TRADER = "trader"
    VIEWER = "viewer"  # reads, whatever its keys' permissions say
    PUBLISHER = "publisher"  # reads, and tells signals and news


class Scope(StrEnum):
    """What a key may be used for at all; its permissions say on which accounts."""

    READ = "read"
    TRADE = "trade"
    RISK = "risk"
    PUBLISH = "publish"  # signals and news, which are of no account
    ADMIN = "admin"  # everything on every account, when its user is an admin


class User(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    role: Role = Role.TRADER
    disabled: bool = False


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is stored, with whose it is and what it may do. The key itself is not kept."""

    id: int
    user: User
    name: str = ""
    prefix: str
    hash: bytes
    scopes: frozenset[str] = frozenset({Scope.READ, Scope.TRADE})
    expires_ns: int | None = None
    revoked_ns: int | None = None
    last_used_ns: int | None = None
    requests_per_s: int | None = None
    created_ns: int
    permissions: Mapping[int, Permission] = {}
    sealed_signing: bytes | None = None  # what signs its messages; of a key made before there was such, None


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a user by one API key. An admin may do everything on every account."""

    user_id: int
    user_name: str
    api_key_id: int
    is_admin: bool = False
    may_publish: bool = False  # signals and news
    permissions: Mapping[int, Permission] = {}
