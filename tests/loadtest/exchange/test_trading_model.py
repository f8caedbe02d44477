"""Any history of orders gives what a slow and simple exchange gives; money is neither made nor lost on the way."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from loadtest.exchange.accounts import Account, InsufficientError
from loadtest.exchange.decimals import ONE, parse
from loadtest.exchange.market import Spec
from loadtest.exchange.orders import Order, Request, TimeInForce, Type
from loadtest.exchange.params import BinanceError
from tests.loadtest.exchange.floor import BASE, QUOTE, SYMBOL, Floor
from tests.loadtest.exchange.trading_model import RefusedError, Slow, SlowExchange

# Prices and sizes whose products are no whole units: rounding must show.
SPEC = Spec("BTC", "USDT", 7, 1_003)
MIDDLE = 100 * ONE // SPEC.tick * SPEC.tick
FAR = (MIDDLE // 2 // SPEC.tick * SPEC.tick, 2 * MIDDLE)
prices = st.integers(-2, 2).map(lambda ticks: MIDDLE + ticks * SPEC.tick * 1_000_003)
sizes = st.integers(50_000, 2_000_000).map(lambda lots: lots * SPEC.step)
sides = st.booleans()
owners = st.integers(0, 1)
# Enough for some orders and too little for others.
START = [50 * ONE, 5_000 * ONE]


class Trading(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        # One level of the crowd far away on each side: the last one of a generated market is never taken.
        self.floor = Floor([(FAR[0] / ONE, 1)], [(FAR[1] / ONE, 1)], spec=SPEC)
        self.accounts = (self.floor.first, self.floor.second)
        for account in self.accounts:
            account.credit("BTC", START[0] - BASE)
            account.credit("USDT", START[1] - QUOTE)
        fees = [(account.maker_fee_parts, account.taker_fee_parts) for account in self.accounts]
        self.model = SlowExchange(SPEC.step, [list(START), list(START)], fees)
        self.pairs: list[tuple[Order, Slow]] = []
        self.given = [[0, 0], [0, 0]]

    # what is done to both

    def _both(self, act: Callable[[], Any], slow_act: Callable[[], Any]) -> tuple[Any, Any] | None:
        """What both give, or None when both refuse, and for the same reason."""
        expected = refusal = ""
        made = slow = None
        try:
            slow = slow_act()
        except RefusedError as error:
            expected = str(error)
        try:
            made = act()
        except BinanceError as error:
            refusal = str(error).lower()
        assert bool(expected) == bool(refusal), f"refused: {refusal!r}; the model: {expected!r}"
        assert expected in refusal
        return None if expected else (made, slow)

    def _place(self, owner: int, slow: Slow, budget: int = 0) -> None:
        name = f"order-{len(self.pairs)}"
        request = Request(
            name, slow.buy, Type(slow.kind), TimeInForce(slow.tif), slow.qty, slow.price, slow.stop, budget
        )
        self.floor.now_ms += 1
        pair = self._both(
            lambda: self.floor.trading.place(self.accounts[owner], SYMBOL, request, self.floor.now_ms),
            lambda: self.model.place(slow, budget=budget),
        )
        if pair is not None:
            self.pairs.append(pair)

    @rule(owner=owners, buy=sides, price=prices, qty=sizes, tif=st.sampled_from(["GTC", "GTC", "IOC", "FOK"]))
    def limit(self, owner: int, buy: bool, price: int, qty: int, tif: str) -> None:
        self._place(owner, Slow(owner, buy, qty, price, tif=tif))

    @rule(owner=owners, buy=sides, price=prices, qty=sizes)
    def post_only(self, owner: int, buy: bool, price: int, qty: int) -> None:
        self._place(owner, Slow(owner, buy, qty, price, "LIMIT_MAKER"))

    @rule(owner=owners, buy=sides, qty=sizes)
    def market(self, owner: int, buy: bool, qty: int) -> None:
        self._place(owner, Slow(owner, buy, qty, kind="MARKET"))

    @rule(owner=owners, buy=sides, budget=st.integers(6 * ONE, 2_000 * ONE))
    def market_by_cost(self, owner: int, buy: bool, budget: int) -> None:
        self._place(owner, Slow(owner, buy, 0, kind="MARKET"), budget)

    @rule(
        owner=owners,
        buy=sides,
        qty=sizes,
        stop=prices,
        price=prices,
        kind=st.sampled_from(["STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]),
        tif=st.sampled_from(["GTC", "IOC"]),
    )
    def conditional(self, owner: int, buy: bool, qty: int, stop: int, price: int, kind: str, tif: str) -> None:
        limit = kind.endswith("LIMIT")
        self._place(owner, Slow(owner, buy, qty, price if limit else 0, kind, tif if limit else "GTC", stop))

    @precondition(lambda self: self.pairs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        order, slow = data.draw(st.sampled_from(self.pairs[-20:]))
        self.floor.now_ms += 1
        self._both(
            lambda: self.floor.trading.cancel(order, "cancel", self.floor.now_ms), lambda: self.model.cancel(slow)
        )

    @precondition(lambda self: any(order.remaining for order, _ in self.pairs))
    @rule(data=st.data(), share=st.integers(1, 4))
    def fill_by_hand(self, data: st.DataObject, share: int) -> None:
        left = [pair for pair in self.pairs if pair[0].remaining and pair[0].request.price and not pair[1].waiting]
        if not left:
            return
        order, slow = data.draw(st.sampled_from(left))
        qty = max(1, order.remaining // share)
        self.floor.now_ms += 1
        self._both(
            lambda: self.floor.trading.fill_by_hand(order, order.request.price, qty, self.floor.now_ms),
            lambda: self.model.fill_by_hand(slow, slow.price, qty),
        )

    @rule(buy=sides, price=prices, size=st.one_of(st.just(0), sizes))
    def crowd_comes_or_goes(self, buy: bool, price: int, size: int) -> None:
        if not self.model.crosses(price, buy=buy):
            self.floor.matcher.set_crowd(price, size, bid=buy)
            self.model.set_crowd(price, size, buy=buy)

    @rule(buy=sides, qty=sizes)
    def crowd_takes(self, buy: bool, qty: int) -> None:
        self.floor.take(qty, buy=buy)
        self.model.crowd_takes(qty, buy=buy)

    @rule(owner=owners, asset=st.integers(0, 1), amount=st.integers(-20 * ONE, 20 * ONE))
    def give_or_take(self, owner: int, asset: int, amount: int) -> None:
        enough = self.model.free(owner)[asset] + amount >= 0
        try:
            self.floor.trading.deposit(self.accounts[owner], ("BTC", "USDT")[asset], amount, self.floor.now_ms)
        except InsufficientError:
            assert not enough
            return
        assert enough
        self.model.owned[owner][asset] += amount
        self.given[owner][asset] += amount

    # what must hold

    @invariant()
    def every_order_is_as_far(self) -> None:
        for order, slow in self.pairs:
            assert (order.status, order.qty, order.executed, order.quote_executed, order.locked, order.working) == (
                slow.status, slow.qty, slow.filled, slow.spent, slow.held, slow.resting,
            )  # fmt: skip

    @invariant()
    def everybody_owns_the_same(self) -> None:
        for number, account in enumerate(self.accounts):
            free, owned = self.model.free(number), self.model.owned[number]
            for index, asset in enumerate(("BTC", "USDT")):
                balance = account.balance(asset)
                assert (balance.free, balance.free + balance.locked) == (free[index], owned[index])
                assert min(balance.free, balance.locked) >= 0

    @invariant()
    def the_book_shows_the_same(self) -> None:
        book = self.floor.market.book
        for buy, side, far in ((True, book.bids, FAR[0]), (False, book.asks, FAR[1])):
            assert [level for level in side.top(1_000) if level.price != far] == self.model.levels(buy=buy)
        best = book.best()
        assert best is not None
        assert best.bid < best.ask
        assert [(trade.price, trade.size) for trade in self.floor.printed] == self.model.trades

    @invariant()
    def the_ledger_explains_what_everybody_owns(self) -> None:
        ledger = self.floor.trading.ledger
        moved: dict[tuple[Account, str], int] = defaultdict(int)
        for fill in ledger.fills:
            sign = 1 if fill.order.request.buy else -1
            moved[fill.order.account, "BTC"] += sign * fill.qty
            moved[fill.order.account, "USDT"] -= sign * fill.quote_qty
            moved[fill.order.account, fill.fee_asset] -= fill.fee
        for number, account in enumerate(self.accounts):
            for index, asset in enumerate(("BTC", "USDT")):
                balance = account.balance(asset)
                expected = START[index] + self.given[number][index] + moved[account, asset]
                assert balance.free + balance.locked == expected
        assert ledger.orders == [order for order, _ in self.pairs]
        for order in ledger.orders:
            assert order.executed == sum(fill.qty for fill in order.fills)
            assert order.quote_executed == sum(fill.quote_qty for fill in order.fills)
        assert len({(fill.trade_id, fill.order.id) for fill in ledger.fills}) == len(ledger.fills)

    @invariant()
    def the_last_word_told_is_true(self) -> None:
        orders: dict[object, dict[str, Any]] = {}
        balances: dict[tuple[str, str], dict[str, Any]] = {}
        for name, report in self.floor.events:
            if report["e"] == "executionReport":
                orders[report["i"]] = report
            elif report["e"] == "outboundAccountPosition":
                rows: Any = report["B"]
                balances.update({(name, row["a"]): row for row in rows})
        for order, _ in self.pairs:
            told = orders[order.id]
            assert (told["X"], parse(told["z"]), parse(told["Z"])) == (
                order.status, order.executed, order.quote_executed,
            )  # fmt: skip
        for account in self.accounts:
            for asset in ("BTC", "USDT"):
                row, balance = balances.get((account.name, asset)), account.balance(asset)
                if row is not None:
                    assert (parse(row["f"]), parse(row["l"])) == (balance.free, balance.locked)


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
