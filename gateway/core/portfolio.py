"""What an account is worth: balances and open positions at the prices of now, and what has come of today.

Holds the arithmetic, in decimals; prices and time are passed in. Must not know where a
quote, a balance or a deal comes from, nor who is told. A price is never taken for live that is not: what is made of it
says so, and what has no price at all is left out and named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Final, NamedTuple

import msgspec

from gateway.core.holdings import CONTEXT, ZERO, Held, Position, added, currency_of, held_at_start, is_spot, worth

STEP: Final = Decimal("1E-8")  # what is told is rounded to this; per cents too


class Price(NamedTuple):
    """Of one unit; not `live`: it is the last there was."""

    value: Decimal
    live: bool


class Valued(msgspec.Struct, frozen=True, kw_only=True):
    """One position at the price of now; what takes a price is None without one."""

    position_id: int
    symbol: str
    strategy_id: int
    quantity: Decimal
    average_price: Decimal | None
    market_price: Decimal | None
    unrealized_pnl: Decimal | None  # in `currency`
    unrealized_pnl_pct: Decimal | None  # of `cost`
    cost: Decimal | None  # what was paid, without sign
    currency: str
    stale: bool  # its price is not live


class Valuation(msgspec.Struct, frozen=True, kw_only=True):
    """An account at one moment. `unvalued` and `opening_unknown` are currencies and symbols, in order."""

    account_id: int
    currency: str
    total_value: Decimal | None  # None: the venue has not said what there is
    day_pnl: Decimal | None
    day_start_ns: int
    unrealized_pnl: Decimal  # of all positions that have a price
    stale: bool  # something that is counted is not live
    unvalued: tuple[str, ...]  # not counted at all: there is no price
    opening_unknown: tuple[str, ...]  # counted as if their price had not changed today before they were traded
    positions: tuple[Valued, ...]


def middle(bid: Decimal | None, ask: Decimal | None, last: Decimal | None) -> Decimal | None:
    """The price that things are valued at: between bid and ask where both are there, else the last trade's."""
    if bid is not None and ask is not None:
        return (bid + ask) / 2
    return last


class _Rates:
    """Currencies in the portfolio's, now and at the beginning of the day, and what was found wanting."""

    def __init__(
        self, holdings: Held, currency: str, prices: Mapping[str, Price], opening: Mapping[str, Decimal]
    ) -> None:
        self.stale = False
        self.unvalued: set[str] = set()
        self.opening_unknown: set[str] = set()
        self._pairs = holdings.pairs
        self._currency = currency
        self._prices = prices
        self._opening = opening

    def price(self, symbol: str) -> Decimal | None:
        """Of now. What is counted by a price that is not live makes the whole stale."""
        price = self._prices.get(symbol)
        if price is None or price.value <= 0:
            self.unvalued.add(symbol)
            return None
        self.stale |= not price.live
        return price.value

    def now(self, currency: str) -> Decimal | None:
        if currency == self._currency:
            return Decimal(1)
        pair = self._pairs.get(currency)
        price = None if pair is None else self._prices.get(pair.symbol)
        if pair is None or price is None or price.value <= 0:
            self.unvalued.add(currency)
            return None
        self.stale |= not price.live
        return 1 / price.value if pair.inverted else price.value

    def then(self, currency: str, now: Decimal) -> Decimal:
        """At the beginning of the day; as now when that is not known."""
        if currency == self._currency:
            return now
        pair = self._pairs[currency]
        price = self.opened(pair.symbol)
        if price is None:
            self.opening_unknown.add(currency)
            return now
        return 1 / price if pair.inverted else price

    def opened(self, symbol: str) -> Decimal | None:
        price = self._opening.get(symbol)
        return price if price is not None and price > 0 else None


def value(
    holdings: Held,
    prices: Mapping[str, Price],
    opening: Mapping[str, Decimal],
    *,
    account_id: int,
    currency: str,
    day_start_ns: int,
    is_fresh: bool = True,
) -> Valuation:
    """What the account is worth in `currency`. `opening`: prices of the day's beginning; `is_fresh`: of balances."""
    with localcontext(CONTEXT):
        rates = _Rates(holdings, currency, prices, opening)
        positions = tuple(_valued(each, prices) for each in sorted(holdings.positions, key=_in_order))
        total = sum(_balances(holdings, rates), ZERO)
        unrealized = ZERO
        for each in positions:
            if rates.price(each.symbol) is None or each.unrealized_pnl is None:
                continue
            rate = rates.now(each.currency)
            gained = each.unrealized_pnl * rate if rate is not None else ZERO
            unrealized += gained
            total += ZERO if is_spot(each.symbol) else gained
        day = sum(_gains(holdings, positions, rates), ZERO)
        is_known = holdings.balances is not None
        return Valuation(
            account_id=account_id,
            currency=currency,
            total_value=_rounded(total) if is_known else None,
            day_pnl=_rounded(day) if is_known else None,
            day_start_ns=day_start_ns,
            unrealized_pnl=_rounded(unrealized),
            stale=rates.stale or not is_fresh,
            unvalued=tuple(sorted(rates.unvalued)),
            opening_unknown=tuple(sorted(rates.opening_unknown)),
            positions=tuple(_told(each) for each in positions),
        )


def by_symbol(positions: Iterable[Valued]) -> dict[str, Valued]:
    """Positions of one symbol taken together: the average is what the rest of them would have to have been paid for.

    Strategies and positions are not told apart: `position_id` and `strategy_id` are 0.
    """
    grouped: dict[str, list[Valued]] = {}
    for each in positions:
        grouped.setdefault(each.symbol, []).append(each)
    return {symbol: group[0] if len(group) == 1 else _netted(group) for symbol, group in grouped.items()}


def _balances(holdings: Held, rates: _Rates) -> Iterator[Decimal]:
    for name, amount in (holdings.balances or {}).items():
        rate = rates.now(name) if amount else None
        if rate is not None:
            yield amount * rate


def _gains(holdings: Held, positions: Iterable[Valued], rates: _Rates) -> Iterator[Decimal]:
    """What has come of the day, by currency: value now less value then, had nothing been paid in or out.

    What was there when it began has changed in price; what was gained or paid since counts as it is worth now.
    """
    gained = _contracts(holdings, rates)
    then = added(holdings.started, holdings.realized)
    then = added(then, gained, sign=-1)  # the PnL of contracts as it stood: it changes in price like a balance
    for each in positions:
        if not is_spot(each.symbol) and each.unrealized_pnl is not None:
            then[each.currency] = then.get(each.currency, ZERO) + each.unrealized_pnl
    for name in {**then, **holdings.paid}:
        amount, more = then.get(name, ZERO), holdings.paid.get(name, ZERO) + gained.get(name, ZERO)
        rate = rates.now(name) if amount or more else None
        if rate is not None:
            yield more * rate
            if amount:
                yield amount * (rate - rates.then(name, rate))


def _contracts(holdings: Held, rates: _Rates) -> dict[str, Decimal]:
    """The gain of the day by currency: what is held now, less what was held, less what was paid on the way."""
    traded = {each.symbol: each for each in holdings.contracts}
    shapes = {each.symbol: (each.contract_size, each.inverse) for each in holdings.positions}
    shapes |= {each.symbol: (each.contract_size, each.inverse) for each in holdings.contracts}
    gains: dict[str, Decimal] = {}
    for symbol, before in held_at_start(holdings).items():
        contract_size, inverse = shapes[symbol]
        deals = traded.get(symbol)
        now = before + (deals.qty if deals else ZERO)
        gained = -deals.worth if deals else ZERO
        if now or before:
            price = rates.price(symbol)
            if price is None:
                continue
            then = rates.opened(symbol)
            if then is None and before:
                rates.opening_unknown.add(symbol)
            gained += worth(now, price, contract_size, inverse=inverse)
            gained -= worth(before, then or price, contract_size, inverse=inverse)
        name = currency_of(symbol)
        gains[name] = gains.get(name, ZERO) + gained
    return gains


def _valued(position: Position, prices: Mapping[str, Price]) -> Valued:
    price, entry = prices.get(position.symbol), position.entry_price
    if price is not None and price.value <= 0:
        price = None
    gained = share = cost = None
    if entry:
        size, inverse = position.contract_size, position.inverse
        paid = worth(position.qty, entry, size, inverse=inverse)
        cost = abs(paid)
        if price is not None:
            gained = worth(position.qty, price.value, size, inverse=inverse) - paid
            share = gained / cost * 100 if cost else None
    return Valued(
        position_id=position.id,
        symbol=position.symbol,
        strategy_id=position.strategy_id,
        quantity=position.qty,
        average_price=entry,
        market_price=None if price is None else price.value,
        unrealized_pnl=gained,
        unrealized_pnl_pct=share,
        cost=cost,
        currency=currency_of(position.symbol),
        stale=price is None or not price.live,
    )


def _netted(group: Sequence[Valued]) -> Valued:
    with localcontext(CONTEXT):
        first = group[0]
        qty = sum((each.quantity for each in group), ZERO)
        gained = _sum(each.unrealized_pnl for each in group)
        inverse = not is_spot(first.symbol) and first.symbol.partition("/")[0] == first.currency
        average = share = None
        if qty and all(each.average_price for each in group):
            terms = [(each.quantity, each.average_price or ZERO) for each in group]
            if inverse:
                turned = sum((amount / price for amount, price in terms), ZERO)
                average = qty / turned if turned else None
            else:
                average = sum((amount * price for amount, price in terms), ZERO) / qty
        cost = _sum(each.cost for each in group)
        if gained is not None and cost:
            share = _rounded(gained / cost * 100)
        return msgspec.structs.replace(
            first, position_id=0, strategy_id=0, quantity=qty, average_price=average, unrealized_pnl=gained,
            unrealized_pnl_pct=share, cost=cost, stale=any(each.stale for each in group),
        )  # fmt: skip


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    total = ZERO
    for each in values:
        if each is None:
            return None
        total += each
    return total


def _told(each: Valued) -> Valued:
    """With as many digits as are told."""
    return msgspec.structs.replace(
        each,
        unrealized_pnl=_maybe_rounded(each.unrealized_pnl),
        unrealized_pnl_pct=_maybe_rounded(each.unrealized_pnl_pct),
        cost=_maybe_rounded(each.cost),
    )


def _maybe_rounded(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else _rounded(amount)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(STEP) + ZERO


def _in_order(position: Position) -> tuple[str, int]:
    return position.symbol, position.id
