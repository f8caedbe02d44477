"""Random histories of an account, in each mode: its positions are a fold of its deals, and what they gained is so.

Two models that share no code with ours: what every trade changes of a holding at its mean cost, and the cash identity
(what was realised and what is held at a price is what the trades come to at that price), which nothing may break that
the OMS nets, merges or reassigns itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from decimal import Context, Decimal, localcontext
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.book import Ids
from oms.errors import OmsError
from oms.journal import open_journal
from oms.model import Deal, Instrument, Order, OrderState, Position, PositionMode, PositionState, Side
from oms.store import history as store
from oms.store.pool import Pool
from oms.writes import Writes
from tests.oms.full_rows import make_account
from tests.oms.orders_made import INVERSE, LINEAR, SPOT, T0_NS, book, order, trade
from tests.oms.rebuilt import rebuild

HEDGE, NETTING, BY_STRATEGY = PositionMode.HEDGE, PositionMode.NETTING, PositionMode.STRATEGY_NETTING
ONE = Decimal(1)
EXACT = Context(prec=200)
# An entry price is kept to 30 places: what that makes of the largest turnover here, in the steepest price.
TOLERANCE = Decimal("1E-14")

AMOUNTS = st.one_of(
    st.sampled_from([Decimal(each) for each in ("1", "2", "0.5")]),  # so that positions close, and flip, by chance
    st.decimals("0.000000000000000001", "10000", places=18),
)
PRICES = st.decimals("0.01", "100000", places=8)


class Fill(msgspec.Struct, frozen=True):
    """One trade of an order."""

    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str


class Bought(msgspec.Struct, frozen=True):
    """An order that fills, into the position it names when there is one (`into`: which of the open ones)."""

    side: Side
    fills: list[Fill]
    strategy_id: int
    external: bool
    into: int | None
    told_twice: bool


class Netted(msgspec.Struct, frozen=True):
    """close_by, merge, or reassign to a strategy, of which of the open positions."""

    how: str
    first: int
    second: int
    share: Decimal


@st.composite
def fills(draw: Callable[..., Any]) -> Fill:
    qty = draw(AMOUNTS)
    fee = (qty * draw(st.sampled_from([Decimal(0), Decimal("0.001"), Decimal("0.0333333333333333333")]))).quantize(
        Decimal("1E-18")
    )
    return Fill(qty, draw(PRICES), fee, draw(st.sampled_from(["BTC", "USDT", "BNB"])))


STEPS = st.one_of(
    st.builds(
        Bought,
        side=st.sampled_from([Side.BUY, Side.SELL]),
        fills=st.lists(fills(), min_size=1, max_size=3),
        strategy_id=st.integers(0, 2),
        external=st.booleans(),
        into=st.one_of(st.none(), st.integers(0, 4)),
        told_twice=st.booleans(),
    ),
    st.builds(
        Netted,
        how=st.sampled_from(["close_by", "merge", "reassign"]),
        first=st.integers(0, 4),
        second=st.integers(0, 4),
        share=st.sampled_from([Decimal(1), Decimal("0.5"), Decimal("0.123456789")]),
    ),
)
HISTORIES = st.lists(STEPS, min_size=1, max_size=14)


class Holding:
    """What is held under one name, at its mean cost, in decimals that are cut nowhere near."""

    def __init__(self) -> None:
        self.qty = self.cost = Decimal(0)  # the cost of what is held, signed as it is


class Model:
    """Holdings by name, and what they have realised, in units of one contract."""

    def __init__(self, *, inverse: bool) -> None:
        self.inverse = inverse
        self.held: dict[Hashable, Holding] = {}
        self.realized = Decimal(0)
        self.traded: list[tuple[Decimal, Decimal]] = []  # change and worth of each trade

    def worth(self, price: Decimal) -> Decimal:
        return -1 / price if self.inverse else price

    def change(self, name: Hashable, change: Decimal, worth: Decimal) -> Decimal:
        """Change a holding; what is beyond closing it is left over."""
        holding = self.held.setdefault(name, Holding())
        rest = Decimal(0)
        if holding.qty * change < 0 and abs(change) > abs(holding.qty):
            rest = change + holding.qty
            change = -holding.qty
        if holding.qty * change < 0:
            cost = holding.cost * (-change / holding.qty)
            self.realized += -change * worth - cost
            holding.cost -= cost
        else:
            holding.cost += change * worth
        holding.qty += change
        if not holding.qty:
            del self.held[name]
        return rest

    def at(self, worth: Decimal) -> Decimal:
        """All that was gained if what is held were sold at this."""
        return self.realized + sum(each.qty * worth - each.cost for each in self.held.values())


class History:
    """A book and the model of it, taken through the same steps."""

    def __init__(self, mode: PositionMode, instrument: Instrument) -> None:
        self.mode = mode
        self.instrument = instrument
        self.ids = Ids()
        self.book = book(mode, self.ids)
        self.model = Model(inverse=instrument.inverse)
        self.deals: dict[int, Deal] = {}
        self.orders: dict[int, Order] = {}
        self.stored: dict[int, Position] = {}
        self.names: dict[int, Hashable] = {}  # what the model calls a position
        self.now_ns = T0_NS

    def step(self, step: Bought | Netted) -> Writes:
        """What it writes."""
        self.now_ns += 1_000_000
        if isinstance(step, Bought):
            self.buy(step)
        elif self.book.positions:
            self.net(step)
        writes = self.book.take()
        self.deals |= writes.deals
        self.orders |= writes.orders
        self.stored |= writes.positions
        return writes

    def pick(self, number: int) -> Position:
        ids = sorted(self.book.positions)
        return self.book.positions[ids[number % len(ids)]]

    def name(self, step: Bought, order_id: int) -> Hashable:
        """Under which name the model has what an order fills, when it names no open position."""
        if self.mode is HEDGE:
            return "hedge", order_id
        if step.external:
            return "external"
        return ("own", step.strategy_id if self.mode is BY_STRATEGY else 0)

    def buy(self, step: Bought) -> None:
        number = len(self.orders) + 1
        target = self.pick(step.into) if step.into is not None and self.book.positions else None
        self.book.create(
            order(
                number,
                symbol=self.instrument.symbol,
                side=step.side,
                qty=sum((fill.qty for fill in step.fills), Decimal(0)),
                strategy_id=step.strategy_id,
                position_id=target.id if target else 0,
                reason="external" if step.external else "",
                state=OrderState.SUBMITTED if step.external else OrderState.PENDING_SUBMIT,
            )
        )
        for index, fill in enumerate(step.fills):
            told = trade(
                f"t{number}.{index}", symbol=self.instrument.symbol, side=step.side, exchange_order_id=f"x{number}",
                fee=fill.fee, fee_currency=fill.fee_currency, time_ns=self.now_ns,
            )  # fmt: skip
            told = msgspec.structs.replace(told, qty=fill.qty, price=fill.price)
            aim = self.book.positions.get(self.book.orders[number].position_id)
            booked = self.book.deal(number, told, self.instrument, self.now_ns)
            assert booked
            if step.told_twice:
                assert self.book.deal(None, told, self.instrument, self.now_ns) == []
            self.count(step, number, fill, self.names[aim.id] if aim else None)
            for each in booked:
                self.names.setdefault(each.position_id, self.name(step, number))

    def count(self, step: Bought, number: int, fill: Fill, aim: Hashable | None) -> None:
        """The same fill in the model: into what was named, what is left into its own, and what is left of that anew."""
        in_base = self.instrument.spot and fill.fee_currency == "BTC"
        change = step.side.sign * fill.qty - (fill.fee if in_base else 0)
        worth = self.model.worth(fill.price)
        self.model.traded.append((change, worth))
        if aim is not None:
            change = self.model.change(aim, change, worth)
        while change:
            change = self.model.change(self.name(step, number), change, worth)

    def net(self, step: Netted) -> None:
        first, second = self.pick(step.first), self.pick(step.second)
        opposite, merging = first.qty * second.qty < 0, step.how == "merge"
        if step.how == "reassign":
            self.reassign(first, step.second % 3)
        elif first.id == second.id or opposite is merging:
            pair = first.id, second.id
            with pytest.raises(OmsError):
                _ = self.book.merge(*pair, self.now_ns) if merging else self.book.close_by(*pair, ONE, self.now_ns)
            assert not self.book.take()
        elif merging:
            self.book.merge(first.id, second.id, self.now_ns)
            self.merged(self.names[first.id], self.names[second.id])
        else:
            qty = (min(abs(first.qty), abs(second.qty)) * step.share).quantize(Decimal("1E-18"))
            if qty:
                self.book.close_by(first.id, second.id, qty, self.now_ns)
                self.netted(self.names[first.id], self.names[second.id], qty)

    def merged(self, source: Hashable, target: Hashable) -> None:
        moved = self.model.held.pop(source)
        self.model.held[target].qty += moved.qty
        self.model.held[target].cost += moved.cost

    def netted(self, first: Hashable, second: Hashable, qty: Decimal) -> None:
        a, b = self.model.held[first], self.model.held[second]
        worth, sign = b.cost / b.qty, 1 if a.qty > 0 else -1
        self.model.change(first, -sign * qty, worth)
        self.model.change(second, sign * qty, worth)

    def reassign(self, position: Position, strategy_id: int) -> None:
        after = self.book.reassign_position(position.id, strategy_id, self.now_ns)
        old, new = self.names[position.id], ("own", strategy_id if self.mode is BY_STRATEGY else 0)
        if self.mode is HEDGE or old == new:
            assert after is not None
            assert after.id == position.id
            return
        if new in self.model.held and self.model.held[new].qty * self.model.held[old].qty < 0:
            both = min(abs(self.model.held[new].qty), abs(self.model.held[old].qty))
            self.netted(old, new, both)
        if old in self.model.held:
            self.model.held.setdefault(new, Holding())
            self.merged(old, new)
        assert (after is None) == (new not in self.model.held)
        if after is not None:
            self.names[after.id] = new

    def check(self) -> None:
        """What is stored is what its deals make of it, and what the model says."""
        again = rebuild(self.deals.values(), lambda _: self.instrument)
        assert again.keys() == self.stored.keys()
        for number, stored in self.stored.items():
            figures = ("qty", "side", "entry_price", "realized_pnl", "fees", "state", "opened_ns", "closed_ns")
            assert [getattr(again[number], each) for each in figures] == [getattr(stored, each) for each in figures]
        still_open = {number: each for number, each in self.stored.items() if each.state is PositionState.OPEN}
        assert still_open == dict(self.book.positions)
        keys = [each.net_key for each in still_open.values() if each.net_key is not None]
        assert len(keys) == len(set(keys))
        assert {self.names[number]: each.qty for number, each in still_open.items()} == {
            name: each.qty for name, each in self.model.held.items()
        }
        self.check_figures(still_open)
        self.check_fees()

    def check_figures(self, still_open: dict[int, Position]) -> None:
        worth, size = self.model.worth, self.instrument.contract_size
        realized = sum((deal.realized_pnl for deal in self.deals.values()), Decimal(0)) / size
        assert realized == sum((each.realized_pnl for each in self.stored.values()), Decimal(0)) / size
        assert abs(realized - self.model.realized) < TOLERANCE
        for number, each in still_open.items():
            assert each.entry_price is not None
            holding = self.model.held[self.names[number]]
            assert abs(each.qty * worth(each.entry_price) - holding.cost) < TOLERANCE
        for mark in (worth(Decimal("0.5")), worth(Decimal(70_000))):
            unrealized = sum(
                (each.qty * (mark - worth(each.entry_price)) for each in still_open.values() if each.entry_price),
                Decimal(0),
            )
            assert abs(realized + unrealized - self.model.at(mark)) < TOLERANCE
            cash = sum((change * (mark - price) for change, price in self.model.traded), Decimal(0))
            assert abs(realized + unrealized - cash) < TOLERANCE

    def check_fees(self) -> None:
        for currency in ("BTC", "USDT", "BNB"):
            of_deals = sum(deal.fee for deal in self.deals.values() if deal.fee_currency == currency)
            assert of_deals == sum(each.fees.get(currency, Decimal(0)) for each in self.stored.values())


@pytest.mark.parametrize("instrument", [SPOT, LINEAR, INVERSE], ids=["spot", "linear", "inverse"])
@pytest.mark.parametrize("mode", [HEDGE, NETTING, BY_STRATEGY])
@settings(max_examples=60, deadline=None)
@given(steps=HISTORIES)
def test_after_any_history_positions_are_their_deals_and_gain_what_the_models_say(
    mode: PositionMode, instrument: Instrument, steps: list[Bought | Netted]
) -> None:
    history = History(mode, instrument)
    with localcontext(EXACT):
        for step in steps:
            history.step(step)
            history.check()


@pytest.mark.parametrize("mode", [HEDGE, NETTING, BY_STRATEGY])
@settings(max_examples=30, deadline=None)
@given(before=HISTORIES, after=HISTORIES)
def test_a_book_loaded_from_what_was_stored_goes_on_as_one_that_never_stopped(
    mode: PositionMode, before: list[Bought | Netted], after: list[Bought | Netted]
) -> None:
    stopped, never = History(mode, SPOT), History(mode, SPOT)
    with localcontext(EXACT):
        for step in before:
            stopped.step(step)
            never.step(step)
        stopped.book = book(
            mode,
            stopped.ids,
            sequences=stopped.book.sequences,
            orders=stopped.orders.values(),
            deals=stopped.deals.values(),
            positions=[each for each in stopped.stored.values() if each.state is PositionState.OPEN],
        )
        for step in after:
            stopped.step(step)
            never.step(step)
        stopped.check()
    assert (stopped.stored, stopped.deals, stopped.orders) == (never.stored, never.deals, never.orders)


def some_step(random: Random) -> Bought | Netted:
    """Any step, with as many digits as there are places for."""

    def amount() -> Decimal:
        return Decimal(random.randint(1, 5 * 10**18)).scaleb(-18)

    if random.random() < 0.4:
        how = random.choice(["close_by", "merge", "reassign"])
        return Netted(how, random.randint(0, 4), random.randint(0, 4), Decimal(random.randint(1, 10**9)).scaleb(-9))
    made = [
        Fill(amount(), Decimal(random.randint(1, 10**12)).scaleb(-8), amount().scaleb(-3).quantize(Decimal("1E-18")),
             random.choice(["BTC", "USDT", "BNB"]))
        for _ in range(random.randint(1, 3))
    ]  # fmt: skip
    side, into = random.choice(list(Side)), random.choice([None, None, 0, 1, 2])
    return Bought(side, made, random.randint(0, 2), random.random() < 0.3, into, random.random() < 0.3)


@pytest.mark.parametrize("instrument", [SPOT, LINEAR, INVERSE], ids=["spot", "linear", "inverse"])
@pytest.mark.parametrize("mode", [HEDGE, NETTING, BY_STRATEGY])
async def test_the_deals_that_the_database_has_make_the_positions_that_it_has(
    dsn: str, pool: Pool, mode: PositionMode, instrument: Instrument
) -> None:
    await make_account(pool, position_mode=mode.value)
    journal = await open_journal(dsn, on_committed=lambda events: None, on_lost=lambda error: None)
    random, history = Random(f"{mode} {instrument.symbol}"), History(mode, instrument)
    with localcontext(EXACT):
        for _ in range(150):
            await journal.append(history.step(some_step(random)))
        history.check()
    await journal.close()
    deals = await store.deals_by_ids(pool, history.deals)
    assert deals == history.deals
    positions = await store.positions_by_ids(pool, history.stored)
    assert positions == history.stored
    again = rebuild([deals[each] for each in sorted(deals)], lambda _: instrument)
    figures = ("qty", "side", "entry_price", "realized_pnl", "fees", "state", "opened_ns", "closed_ns")
    for number, position in positions.items():
        assert [getattr(again[number], each) for each in figures] == [getattr(position, each) for each in figures]
    assert len(positions) > 5
    assert sum(each.state is PositionState.CLOSED for each in positions.values()) > 3
