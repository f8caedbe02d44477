"""What a deal does to a position: a pure fold, in decimals that give the same result each time they are folded.

Holds the arithmetic of positions and PnL. Must not know which position of an account a deal goes to (`book` chooses),
nor an order.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Final

from msgspec.structs import replace

from oms.model import ZERO, Account, Deal, Instrument, Position, PositionMode, PositionSide, PositionState, Side

# Two factors of the widest column and a quotient of them fit without loss; what is kept is rounded to its column.
CONTEXT: Final = Context(prec=128, rounding=ROUND_HALF_EVEN)
AVERAGE_STEP: Final = Decimal("1E-30")  # of an entry price and of realised PnL
AMOUNT_STEP: Final = Decimal("1E-18")  # of everything else


class FlipError(Exception):
    """A deal would take a position through zero: `split` it first."""


def net_key(account: Account, symbol: str, strategy_id: int, *, external: bool = False) -> str | None:
    """What makes a position the one open position of its kind; None where there may be many.

    What was traded behind our back nets among itself: it is nobody's until it is reassigned.
    """
    if account.position_mode is PositionMode.HEDGE:
        return None
    if external:
        return f"{account.id}:{symbol}:external"
    if account.position_mode is PositionMode.NETTING:
        return f"{account.id}:{symbol}"
    return f"{account.id}:{symbol}:{strategy_id}"


def fee_base(instrument: Instrument) -> str | None:
    """The currency whose fees come out of what is held."""
    return instrument.base if instrument.spot else None


def change_of(deal: Deal, base: str | None) -> Decimal:
    """By how much a deal changes the signed quantity held."""
    with localcontext(CONTEXT):
        taken = deal.fee if base is not None and deal.fee_currency == base else ZERO
        return deal.side.sign * deal.qty - taken


def opened(deal: Deal, instrument: Instrument, key: str | None) -> Position:
    """A position of nothing, for `deal` to be folded into."""
    return Position(
        id=deal.position_id,
        account_id=deal.account_id,
        symbol=deal.symbol,
        strategy_id=deal.strategy_id,
        qty=ZERO,
        entry_price=None,
        inverse=instrument.inverse,
        contract_size=instrument.contract_size,
        reason=deal.reason,
        net_key=key,
        opened_ns=deal.executed_ns,
        updated_ns=deal.created_ns,
        version=0,
    )


def split(deal: Deal, held: Decimal, base: str | None) -> tuple[Deal, Deal | None]:
    """The part that at most closes `held`, and the part beyond it. Fees are shared by quantity, to the last digit."""
    with localcontext(CONTEXT):
        change = change_of(deal, base)
        if held * change >= 0 or abs(change) <= abs(held):
            return deal, None

        def share(fee: Decimal) -> Decimal:
            return (fee * abs(held) / abs(change)).quantize(AMOUNT_STEP, ROUND_DOWN)

        fee = share(deal.fee)
        more = {name: share(each) for name, each in deal.more_fees.items()}
        others = {name: each - more[name] for name, each in deal.more_fees.items()}
        # A fee in base closes too when selling, and must be bought on top when buying.
        in_base = base is not None and deal.fee_currency == base
        qty = abs(held) + (deal.side.sign * fee if in_base else ZERO)
        beyond = replace(deal, qty=deal.qty - qty, fee=deal.fee - fee, more_fees=others)
        return replace(deal, qty=qty, fee=fee, more_fees=more), beyond


def fold(position: Position, deal: Deal, base: str | None) -> tuple[Position, Deal]:
    """The position after the deal, and the deal with what it realised. Raises `FlipError`."""
    with localcontext(CONTEXT):
        held, change = position.qty, change_of(deal, base)
        qty = held + change
        if qty * held < 0:
            raise FlipError(f"deal {deal.id} changes {held} by {change}: split it")
        entry, realized = position.entry_price, ZERO
        if entry is None:
            entry = deal.price
        elif held * change > 0:
            entry = _average(entry, abs(held), deal.price, abs(change), inverse=position.inverse)
        elif change:
            gained = (1 / entry - 1 / deal.price) if position.inverse else deal.price - entry
            realized = (-change * gained * position.contract_size).quantize(AVERAGE_STEP)
        closed = not qty
        fees = dict(position.fees)
        for currency, fee in [(deal.fee_currency or "", deal.fee), *deal.more_fees.items()]:
            if fee:
                fees[currency] = fees.get(currency, ZERO) + fee
        after = replace(
            position,
            qty=qty,
            side=_side(qty) or position.side,
            entry_price=entry,
            realized_pnl=position.realized_pnl + realized,
            fees=fees,
            state=PositionState.CLOSED if closed else PositionState.OPEN,
            closed_ns=max(position.opened_ns, deal.executed_ns) if closed else None,
            updated_ns=deal.created_ns,
            version=position.version + 1,
        )
        return after, replace(deal, realized_pnl=realized)


def _side(qty: Decimal) -> PositionSide | None:
    return None if not qty else PositionSide.LONG if qty > 0 else PositionSide.SHORT


def _average(entry: Decimal, held: Decimal, price: Decimal, added: Decimal, *, inverse: bool) -> Decimal:
    """What all of it would have cost at one price: of inverse contracts the mean is taken of the reciprocals."""
    if inverse:
        average = (held + added) / (held / entry + added / price)
    else:
        average = (entry * held + price * added) / (held + added)
    return average.quantize(AVERAGE_STEP)


def taking_off(position: Position, qty: Decimal, price: Decimal, reason: str, now_ns: int) -> Deal:
    """A deal of the OMS itself, not of a venue, that takes `qty` off a position."""
    return Deal(
        id=0,
        account_id=position.account_id,
        order_id=0,
        position_id=position.id,
        symbol=position.symbol,
        side=Side.SELL if position.qty > 0 else Side.BUY,
        qty=qty,
        price=price,
        exchange_trade_id=f"{reason}:{position.id}:{position.version}",
        strategy_id=position.strategy_id,
        reason=reason,
        executed_ns=now_ns,
        created_ns=now_ns,
    )
