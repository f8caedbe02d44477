"""What an account's portfolio is valued from: what there is of it, and what its deals have changed since a moment.

Holds the sums of deals, read once each. Reads the venue's balances and the book's positions so that they belong
together. Must not know a price, nor what the sum of it all is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import Final, NamedTuple

import msgspec

from oms.desk.desk import Desk
from oms.errors import OmsError
from oms.model import ZERO, Deal, Position
from oms.positions import CONTEXT
from oms.store import history
from oms.store.pool import Pool
from oms.venues.base import Ambiguous, Refused

TRIES: Final = 2  # to read balances between two deals: then they are taken as they are, and read again soon
HOUR_MS: Final = 3_600_000
TIMEFRAMES: Final = (("1h", HOUR_MS), ("30m", HOUR_MS // 2), ("15m", HOUR_MS // 4), ("1m", HOUR_MS // 60))
CANDLES: Final = 2  # some exchanges tell the one before `since` first

_candles_of: Final = msgspec.json.Decoder(list[list[Decimal | None]]).decode


class Pair(NamedTuple):
    """The market that converts a currency; `inverted`: its price has to be turned over."""

    symbol: str
    inverted: bool


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """What deals did in one symbol that is not spot. `worth`: contract size x quantity x price, of inverse ones
    - contract size x quantity / price; bought less sold."""

    symbol: str
    qty: Decimal
    worth: Decimal
    inverse: bool
    contract_size: Decimal


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """See the module. Currencies with what there is of them (None: the venue does not say), by how much deals changed
    that, and what contracts gained beside it that were closed."""

    exchange: str
    positions: tuple[Position, ...]
    balances: Mapping[str, Decimal] | None
    paid: Mapping[str, Decimal]
    realized: Mapping[str, Decimal]
    contracts: tuple[Traded, ...]
    pairs: Mapping[str, Pair]


class Sums:
    """Deals since a moment, added up."""

    def __init__(self, since_ns: int) -> None:
        self.since_ns = since_ns
        self.last_id = 0  # of the deals that are in
        self.paid: dict[str, Decimal] = {}
        self.realized: dict[str, Decimal] = {}
        self.contracts: dict[str, Traded] = {}

    def add(self, deal: Deal, position: Position) -> None:
        """One more; `position` is the one it belongs to."""
        self.last_id = max(self.last_id, deal.id)
        with localcontext(CONTEXT):
            signed = deal.side.sign * deal.qty
            base, quote, settled = _currencies(deal.symbol)
            if settled is None:
                self._pay(base, signed)
                self._pay(quote, -signed * deal.price)
            else:
                self._trade(deal, signed, position)
                self.realized[settled] = self.realized.get(settled, ZERO) + deal.realized_pnl
            for currency, fee in [(deal.fee_currency, deal.fee), *deal.more_fees.items()]:
                if currency and fee:
                    self._pay(currency, -fee)

    def _pay(self, currency: str, amount: Decimal) -> None:
        self.paid[currency] = self.paid.get(currency, ZERO) + amount

    def _trade(self, deal: Deal, signed: Decimal, position: Position) -> None:
        size, inverse = position.contract_size, position.inverse
        before = self.contracts.get(deal.symbol)
        worth = -signed * size / deal.price if inverse else signed * size * deal.price
        self.contracts[deal.symbol] = Traded(
            symbol=deal.symbol,
            qty=(before.qty if before else ZERO) + signed,
            worth=(before.worth if before else ZERO) + worth,
            inverse=inverse,
            contract_size=size,
        )


class Valuer:
    """Of all accounts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sums: dict[int, Sums] = {}

    async def holdings(self, desk: Desk, currency: str, since_ns: int) -> Holdings:
        """The account now; pairs are those that convert to `currency`. Raises OmsError, and what reading raises."""
        for number in range(TRIES):
            before = desk.book.sequences.deals
            balances = await self._balances(desk)
            await desk.commit()  # so that every deal can be read
            sums = await self._sum(desk.account.id, since_ns)
            if desk.book.sequences.deals == before or number == TRIES - 1:
                break
        positions = tuple(desk.book.positions.values())
        counted = (_currencies(symbol) for symbol in {*(each.symbol for each in positions), *sums.contracts})
        names = {*(balances or {}), *sums.paid, *sums.realized, *(settled or quote for _, quote, settled in counted)}
        return Holdings(
            exchange=desk.account.exchange,
            positions=positions,
            balances=balances,
            paid=dict(sums.paid),
            realized=dict(sums.realized),
            contracts=tuple(sums.contracts.values()),
            pairs=_pairs(desk, names - {currency}, currency),
        )

    async def _balances(self, desk: Desk) -> Mapping[str, Decimal] | None:
        try:
            found = await desk.venue.balances()
        except (Refused, Ambiguous, OmsError):
            return None
        return {name: amount for name, amount in found.items() if amount}

    async def _sum(self, account_id: int, since_ns: int) -> Sums:
        """With all deals that are committed. A moment other than the last time begins anew."""
        sums = self._sums.get(account_id)
        if sums is None or sums.since_ns != since_ns:
            sums = self._sums[account_id] = Sums(since_ns)
        while True:
            wanted = history.Filter(
                accounts={account_id: ()}, from_ns=since_ns, after_id=sums.last_id, page_size=history.PAGE_MAX
            )
            deals = await history.deals(self._pool, wanted)
            positions = await history.positions_by_ids(self._pool, {deal.position_id for deal in deals})
            for deal in deals:
                if deal.id > sums.last_id:  # else somebody who read at the same time has added it
                    sums.add(deal, positions[deal.position_id])
            if len(deals) < history.PAGE_MAX:
                return sums


async def opening_price(desk: Desk, symbol: str, at_ns: int) -> Decimal | None:
    """The first price of a market since a moment, by the venue's candles; None: it has none. Raises OmsError."""
    at_ms = at_ns // 1_000_000
    name = next((name for name, length_ms in TIMEFRAMES if at_ms % length_ms == 0), TIMEFRAMES[-1][0])
    arguments = {"symbol": symbol, "timeframe": name, "since": at_ms, "limit": CANDLES, "params": {}}
    answer = await desk.venue.call("fetch_ohlcv", arguments, public=True)
    return first_price(_candles_of(answer), at_ms)


def first_price(candles: Iterable[list[Decimal | None]], at_ms: int) -> Decimal | None:
    """The open of the first candle that does not begin before `at_ms`."""
    for began_ms, opened, *_ in candles:
        if began_ms is not None and began_ms >= at_ms and opened is not None:
            return opened
    return None


def _currencies(symbol: str) -> tuple[str, str, str | None]:
    """Base, quote, and what it settles in where it is a contract."""
    market, colon, settled = symbol.partition(":")
    base, _, quote = market.partition("/")
    return base, quote, settled.partition("-")[0] if colon else None


def _pairs(desk: Desk, names: Iterable[str], currency: str) -> dict[str, Pair]:
    found: dict[str, Pair] = {}
    for name in names:
        for pair in (Pair(f"{name}/{currency}", False), Pair(f"{currency}/{name}", True)):
            try:
                desk.venue.instrument(pair.symbol)
            except OmsError:
                continue
            found[name] = pair
            break
    return found
