"""What may be sent: an account's limits, the kill switch, the venue's rules of a market, and how old a price may be.

Pure: an order and what it is held against go in, a refusal with its code comes out. Must not know where any of it comes
from, nor a clock.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal, localcontext
from typing import Final, NamedTuple

from oms import render
from oms.errors import OmsError
from oms.model import (
    ZERO,
    Account,
    Instrument,
    Order,
    OrderType,
    Position,
    Quote,
    Risk,
    Side,
    TradingState,
)
from oms.positions import CONTEXT, net_key

BPS: Final = Decimal(10_000)
NS_PER_MS: Final = 1_000_000
# Reasons of orders by which the OMS closes a position, one at a time. Limits are there to bound what is held, so none
# of them, and no kill switch, keeps anybody from holding less.
CLOSING: Final = frozenset({"close_position", "stop_loss", "stop_gain"})
_SEVERITY: Final = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)


class Situation(NamedTuple):
    """What an order is held against.

    `others` are the open orders of the account without this one, each as large as a change under way may make it.
    """

    account: Account
    risk: Risk
    everywhere: TradingState  # the kill switch of all accounts
    instrument: Instrument
    quote: Quote | None
    position: Position | None  # what it would go to
    others: Collection[Order]
    sent_last_s: int
    now_ns: int


def check(order: Order, situation: Situation) -> None:
    """Raises OmsError unless the order may be sent."""
    with localcontext(CONTEXT):
        _check_states(order, situation)
        _check_rate(order, situation)
        _check_terms(order, situation.instrument)
        price = _price(order, situation)
        _check_size(order, situation, price)
        _check_exposure(order, situation, price)


def needs_quote(order: Order, risk: Risk) -> bool:
    """Whether the order is priced off the market, so that without a fresh quote it is refused."""
    collared = order.price is not None and risk.price_collar_bps is not None
    return order.order_type is OrderType.MARKET or collared or _valued_by_market(order, risk)


def _valued_by_market(order: Order, risk: Risk) -> bool:
    """A sell executes at the bid however low its own price is, and a stop at once that the market is beyond already:
    what they are worth must not be their own word. A buy that takes a profit gets no more than it waits for."""
    limits = {risk.max_order_notional, risk.max_position_notional}
    is_stop = order.trigger_price is not None and not order.order_type.takes_profit
    own_word = order.side is Side.SELL or is_stop
    return own_word and order.reason not in CLOSING and limits != {None}


def fresh(quote: Quote | None, risk: Risk, now_ns: int) -> Quote | None:
    """The quote, unless it is stale or too old to be believed."""
    if quote is None or quote.stale or now_ns - quote.t_in_ns > risk.max_market_data_age_ms * NS_PER_MS:
        return None
    return quote


def trading_state(risk: Risk, everywhere: TradingState) -> TradingState:
    """The stricter of the account's and everybody's."""
    return max(risk.trading_state, everywhere, key=_SEVERITY.index)


def loosened(before: Risk, after: Risk) -> list[str]:
    """The limits, by name, that let through what they did not let through before."""
    limits = [name for name in Risk.__struct_fields__ if name != "account_id"]
    return [name for name in limits if _room(getattr(after, name)) > _room(getattr(before, name))]


def eases(before: TradingState, after: TradingState) -> bool:
    """Whether more may be sent in the second state than in the first."""
    return _room(after) > _room(before)


def _room(limit: bool | int | Decimal | TradingState | None) -> Decimal:
    if isinstance(limit, TradingState):
        return Decimal(-_SEVERITY.index(limit))
    return Decimal("Infinity") if limit is None else Decimal(limit)


def notional(instrument: Instrument, qty: Decimal, price: Decimal) -> Decimal:
    """In the quote currency: an inverse contract is worth a fixed amount of it."""
    return qty * instrument.contract_size * (1 if instrument.inverse else price)


def _blocked(limit: str, message: str, code: str = "risk_blocked") -> OmsError:
    return OmsError(code, message, details={"limit": limit})


def _check_states(order: Order, situation: Situation) -> None:
    risk = situation.risk
    if situation.account.blocked:
        raise OmsError("account_blocked", "this account is blocked: an administrator can lift that")
    state = trading_state(risk, situation.everywhere)
    if state is TradingState.HALTED and order.reason not in CLOSING:
        raise _blocked("trading_state", "trading is halted: orders can be canceled, none can be sent")
    # Everything else that goes the same way may be executed before it; of what closes a position, whoever sends it has
    # seen to that.
    pending = ZERO if order.reason in CLOSING else _pending(order, situation)
    if check_reduces(order, situation.position, pending):
        return
    if state is TradingState.REDUCING:
        raise _blocked("trading_state", "trading is reducing: only orders that reduce a position may be sent")
    if not risk.allow_new_positions:
        raise _blocked("allow_new_positions", "this account may not open or increase a position")


def check_reduces(order: Order, position: Position | None, pending: Decimal = ZERO) -> bool:
    """Whether it only reduces this position, of which others may reduce `pending` before. Raises OmsError when it must
    not do more."""
    held = position.qty if position else ZERO
    room = abs(held) - pending if held * order.side.sign < 0 else ZERO
    if order.remaining > room and order.reduce_only:
        left = render.number(max(ZERO, room))
        raise _blocked("reduce_only", f"only {left} is left to be reduced", "reduce_only_violation")
    return order.remaining <= room


def _pending(order: Order, situation: Situation) -> Decimal:
    """What the other open orders may still do in the same direction to what this one would change."""
    return sum((other.remaining for other in situation.others if _goes_along(other, order, situation)), ZERO)


def _goes_along(other: Order, order: Order, situation: Situation) -> bool:
    if other.symbol != order.symbol or other.side is not order.side:
        return False
    account, position = situation.account, situation.position
    if position is not None and other.position_id == position.id:
        return True
    key = position.net_key if position is not None else net_key(account, order.symbol, order.strategy_id)
    return key is not None and key == net_key(
        account, other.symbol, other.strategy_id, external=other.reason == "external"
    )


def _check_rate(order: Order, situation: Situation) -> None:
    most = situation.risk.max_orders_per_s
    if order.reason in CLOSING:
        return
    if most is not None and situation.sent_last_s >= most:
        raise OmsError(
            "rate_limited",
            f"this account may send {most} orders a second",
            details={"limit": "max_orders_per_s"},
            retry_after_ms=1_000,
        )


def _check_terms(order: Order, instrument: Instrument) -> None:
    """The venue's rules: what it would round or refuse is refused here, by name. Of an order that is to be changed it
    is asked for what remains."""
    if instrument.qty_step and order.qty % instrument.qty_step:
        raise _wrong("qty", f"must be a multiple of {render.number(instrument.qty_step)}")
    if order.remaining < instrument.qty_min:
        raise _wrong("qty", f"must be at least {render.number(instrument.qty_min)}{_beside(order)}")
    maxima = [instrument.qty_max, instrument.market_qty_max if order.price is None else ZERO]
    for most in filter(None, maxima):
        if order.remaining > most:
            raise _wrong("qty", f"must be at most {render.number(most)}{_beside(order)}")
    for name in ("price", "trigger_price"):
        price: Decimal | None = getattr(order, name)
        if price is not None:
            _check_price(name, price, instrument)
    if order.expires_ns is not None and order.expires_ns <= order.created_ns:
        raise _wrong("expires_at", "has passed")


def _check_price(name: str, price: Decimal, instrument: Instrument) -> None:
    if instrument.price_step and price % instrument.price_step:
        raise _wrong(name, f"must be a multiple of {render.number(instrument.price_step)}")
    if price < instrument.price_min:
        raise _wrong(name, f"must be at least {render.number(instrument.price_min)}")
    if instrument.price_max and price > instrument.price_max:
        raise _wrong(name, f"must be at most {render.number(instrument.price_max)}")


def _beside(order: Order) -> str:
    return f" beside what is filled, {render.number(order.filled)}" if order.filled else ""


def _wrong(field: str, message: str) -> OmsError:
    return OmsError("validation_error", f"{field}: {message}", details={"field": field})


def _price(order: Order, situation: Situation) -> Decimal:
    """At what price it is valued: its own, or what the market would give."""
    risk, own = situation.risk, order.price or order.trigger_price
    if not needs_quote(order, risk):
        assert own is not None
        return own
    quote = fresh(situation.quote, risk, situation.now_ns)
    if quote is None:
        raise _stale(order)
    market = (quote.ask if order.side is Side.BUY else quote.bid) or (quote.last if order.price is None else None)
    if market is None:
        raise _stale(order)
    if own is None:
        return market
    trigger = order.trigger_price or market
    if order.price is not None and risk.price_collar_bps is not None:
        # Where the market is once the order can be executed: at its trigger, or beyond it already.
        rises = (order.side is Side.BUY) is not order.order_type.takes_profit
        there = max(market, trigger) if rises else min(market, trigger)
        _check_collar(order.price, there, order.side, risk.price_collar_bps)
    return max(own, trigger, market) if _valued_by_market(order, risk) else own


def _check_collar(price: Decimal, market: Decimal, side: Side, collar_bps: int) -> None:
    if (price - market) * side.sign * BPS > market * collar_bps:
        raise OmsError(
            "risk_blocked",
            f"price: further than {collar_bps} bps through the market at {render.number(market)}",
            details={"limit": "price_collar_bps", "market": render.number(market)},
        )


def _stale(order: Order) -> OmsError:
    text = f"no fresh price of {order.symbol} to hold this order against"
    return OmsError("stale_market_data", text, retry_after_ms=1_000)


def _check_size(order: Order, situation: Situation, price: Decimal) -> None:
    risk, instrument = situation.risk, situation.instrument
    asked = notional(instrument, order.remaining, order.price or price)
    if asked < instrument.notional_min:
        raise _wrong(
            "qty",
            f"an order is worth at least {render.number(instrument.notional_min)} {instrument.quote}{_beside(order)}",
        )
    if order.price is not None and asked > instrument.notional_max > 0:
        raise _wrong(
            "qty",
            f"an order is worth at most {render.number(instrument.notional_max)} {instrument.quote}{_beside(order)}",
        )
    if order.reason in CLOSING:
        return
    value = notional(instrument, order.qty, price)
    if risk.max_order_qty is not None and order.qty > risk.max_order_qty:
        raise _blocked("max_order_qty", f"qty is above {render.number(risk.max_order_qty)}")
    if risk.max_order_notional is not None and value > risk.max_order_notional:
        raise _blocked(
            "max_order_notional",
            f"worth {render.number(value)} {instrument.quote}, above {render.number(risk.max_order_notional)}",
        )


def _check_exposure(order: Order, situation: Situation, price: Decimal) -> None:
    risk = situation.risk
    if order.reason in CLOSING:
        return
    if risk.max_open_orders is not None and len(situation.others) >= risk.max_open_orders:
        raise _blocked("max_open_orders", f"{risk.max_open_orders} orders are open already")
    if risk.max_position_notional is None:
        return
    held = situation.position.qty if situation.position else ZERO
    after = held + order.side.sign * (order.remaining + _pending(order, situation))
    if abs(after) <= abs(held) and after * held >= 0:
        return  # it only reduces
    value = notional(situation.instrument, abs(after), price)
    if value > risk.max_position_notional:
        raise _blocked("max_position_notional", f"the position could be worth {render.number(value)}")
