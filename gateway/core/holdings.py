"""What an account holds, in the shapes that it is valued from, and what of its markets that needs prices of.

Holds how two readings are put together. Must not know a price, nor where a balance or a deal comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Final, NamedTuple, Protocol

ZERO: Final = Decimal(0)
CONTEXT: Final = Context(prec=128, rounding=ROUND_HALF_EVEN)


class Position(Protocol):
    """An open position; `qty` is signed."""

    @property
    def id(self) -> int: ...
    @property
    def symbol(self) -> str: ...
    @property
    def strategy_id(self) -> int: ...
    @property
    def qty(self) -> Decimal: ...
    @property
    def entry_price(self) -> Decimal | None: ...
    @property
    def inverse(self) -> bool: ...
    @property
    def contract_size(self) -> Decimal: ...


class Contract(Protocol):
    """What the deals of the day did in a symbol that is not spot: quantity bought less sold, and what it was worth.

    `worth` is in the currency it settles in, as `worth` of this module gives it.
    """

    @property
    def symbol(self) -> str: ...
    @property
    def qty(self) -> Decimal: ...
    @property
    def worth(self) -> Decimal: ...
    @property
    def inverse(self) -> bool: ...
    @property
    def contract_size(self) -> Decimal: ...


class Pair(Protocol):
    """The market that converts a currency; `inverted`: its price has to be turned over."""

    @property
    def symbol(self) -> str: ...
    @property
    def inverted(self) -> bool: ...


class Holdings(Protocol):
    """All of an account at one moment, and what its deals of the day have changed."""

    @property
    def exchange(self) -> str: ...
    @property
    def positions(self) -> Sequence[Position]: ...
    @property
    def balances(self) -> Mapping[str, Decimal] | None:
        """What the venue holds of each currency, without what open contracts gained; None: it does not say."""

    @property
    def paid(self) -> Mapping[str, Decimal]:
        """By how much the deals of the day changed balances: spot and fees."""

    @property
    def realized(self) -> Mapping[str, Decimal]:
        """And beside that, what contracts gained that were closed."""

    @property
    def contracts(self) -> Sequence[Contract]: ...
    @property
    def pairs(self) -> Mapping[str, Pair]:
        """How currencies other than the portfolio's are converted; one that is missing cannot be."""


class Held(NamedTuple):
    """`Holdings`, put together of two readings (`carried`).

    `started` are the balances when the day began, as far as deals tell: what was paid in today was there.
    """

    exchange: str
    positions: Sequence[Position]
    balances: Mapping[str, Decimal] | None
    started: Mapping[str, Decimal]
    paid: Mapping[str, Decimal]
    realized: Mapping[str, Decimal]
    contracts: Sequence[Contract]
    pairs: Mapping[str, Pair]


def carried(read: Holdings, former: Held | None) -> Held:
    """What was read; where the venue did not say what there is, with what it said last."""
    balances = read.balances
    if balances is not None:
        with localcontext(CONTEXT):
            started = added(balances, read.paid, sign=-1)
            started = added(started, read.realized, sign=-1)
    elif former is not None:
        balances, started = former.balances, dict(former.started)
    else:
        started = {}
    return Held(read.exchange, read.positions, balances, started, read.paid, read.realized, read.contracts, read.pairs)


def turned(former: Held) -> Held:
    """The same as a new day begins: what deals did until then is none of this one's."""
    return former._replace(started=former.balances or {}, paid={}, realized={}, contracts=())


def is_spot(symbol: str) -> bool:
    """Spot is in the balances; `BTC/USDT:USDT` is a contract."""
    return ":" not in symbol


def currency_of(symbol: str) -> str:
    """What gains and losses in a symbol are counted in: the currency it settles in, for spot its quote."""
    market, colon, settled = symbol.partition(":")
    return settled.partition("-")[0] if colon else market.partition("/")[2]


def worth(qty: Decimal, price: Decimal, contract_size: Decimal, *, inverse: bool) -> Decimal:
    """What a quantity stands for at a price, such that the difference of two is a gain."""
    return -qty * contract_size / price if inverse else qty * contract_size * price


def held_at_start(holdings: Held) -> dict[str, Decimal]:
    """The contracts held at the beginning of the day, signed, by symbol."""
    held: dict[str, Decimal] = {}
    for position in holdings.positions:
        if not is_spot(position.symbol):
            held[position.symbol] = held.get(position.symbol, ZERO) + position.qty
    for traded in holdings.contracts:
        held[traded.symbol] = held.get(traded.symbol, ZERO) - traded.qty
    return held


def symbols_of(holdings: Held) -> set[str]:
    """The symbols whose prices are needed now."""
    return {position.symbol for position in holdings.positions} | {pair.symbol for pair in holdings.pairs.values()}


def openings_of(holdings: Held) -> set[str]:
    """The symbols whose prices are needed as they were at the beginning of the day."""
    contracts = {symbol for symbol, qty in held_at_start(holdings).items() if qty}
    settled = {currency_of(symbol) for symbol in contracts}
    started = {name for name, amount in holdings.started.items() if amount} | settled
    return contracts | {pair.symbol for name, pair in holdings.pairs.items() if name in started}


def added(one: Mapping[str, Decimal], other: Mapping[str, Decimal], *, sign: int = 1) -> dict[str, Decimal]:
    """Sums by name."""
    return {name: one.get(name, ZERO) + sign * other.get(name, ZERO) for name in {**one, **other}}
