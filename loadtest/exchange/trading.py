"""The trading side: takes orders in, matches them, settles their fills, and tells their owners.

Pure state: what happens is a call, with its time in it; nothing here waits, reads a clock or knows a socket. Refusals
are Binance's own errors, raised before anything has changed.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from loadtest.exchange import filters, reports
from loadtest.exchange.accounts import FEE_PARTS, Account, InsufficientError
from loadtest.exchange.bars import Trade
from loadtest.exchange.decimals import ONE
from loadtest.exchange.ledger import Ledger
from loadtest.exchange.matching import Matcher, Plan
from loadtest.exchange.orders import Fill, Order, Request, Status, TimeInForce, Type, cost
from loadtest.exchange.params import BinanceError
from loadtest.exchange.reports import Report

Emit = Callable[[Account, Report], None]
Moved = Callable[[str, Sequence[Trade], int], None]


def insufficient() -> BinanceError:
    return BinanceError(-2010, "Account has insufficient balance for requested action.")


class Trading:
    """`moved` is told of every change made to a market's book, with the trades that made it."""

    def __init__(self, matchers: Mapping[str, Matcher], moved: Moved, emit: Emit, first_order_id: int = 1) -> None:
        self.ledger = Ledger()
        self.matchers = matchers
        self._moved = moved
        self._emit = emit
        self._next_order_id = first_order_id
        self._next_event = 1
        self._by_id: dict[tuple[str, int], Order] = {}
        # The newest order of each client id.
        self._by_client_id: dict[tuple[Account, str, str], Order] = {}
        self._open: dict[Account, dict[int, Order]] = defaultdict(dict)
        self._by_account: dict[tuple[Account, str], list[Order]] = defaultdict(list)
        self._fills: dict[tuple[Account, str], list[Fill]] = defaultdict(list)
        # Conditional orders that wait for their price.
        self._waiting: dict[str, dict[int, Order]] = defaultdict(dict)
        for matcher in matchers.values():
            matcher.on_fill = self._filled_at_rest

    # what there is

    def find(self, account: Account, symbol: str, order_id: int | None, client_id: str | None) -> Order | None:
        order = self._by_id.get((symbol, order_id)) if order_id is not None else None
        if order_id is None and client_id is not None:
            order = self._by_client_id.get((account, symbol, client_id))
        return order if order is not None and order.account is account else None

    def order(self, symbol: str, order_id: int) -> Order | None:
        return self._by_id.get((symbol, order_id))

    def open_orders(self, account: Account, symbol: str | None = None) -> list[Order]:
        return [order for order in self._open[account].values() if symbol in (None, order.spec.symbol)]

    def orders(self, account: Account, symbol: str) -> Sequence[Order]:
        """All there ever were, in the order of their ids and times."""
        return self._by_account[account, symbol]

    def fills(self, account: Account, symbol: str) -> Sequence[Fill]:
        """All there ever were, in the order of their ids and times."""
        return self._fills[account, symbol]

    # new orders

    def check_filters(self, symbol: str, request: Request) -> int:
        """Refuse what the market does not allow, whoever asks; else the last price, 0 when nothing was traded yet."""
        matcher = self.matchers[symbol]
        last = matcher.market.trades[-1].price if matcher.market.trades else 0
        # Nothing was traded yet: a market order is worth what it would find.
        filters.check(matcher.market.spec, request, last or matcher.best(bid=not request.buy) or 0)
        return last

    def check(self, account: Account, symbol: str, request: Request) -> Plan:
        """Refuse an order that cannot be taken; else what it would trade at once."""
        matcher = self.matchers[symbol]
        last = self.check_filters(symbol, request)
        earlier = self._by_client_id.get((account, symbol, request.client_id))
        if earlier is not None and earlier.status.is_open:
            raise BinanceError(-2010, "Duplicate order sent.")
        if request.type.is_conditional:
            if last and _triggers(request, last):
                raise BinanceError(-2010, "Stop price would trigger immediately.")
            plan = Plan([], [])
        else:
            plan = self._plan(matcher, account, request, request.qty)
        if request.type is Type.LIMIT_MAKER and (plan.steps or plan.own):
            raise BinanceError(-2010, "Order would immediately match and take.")
        if self._price_of(request, plan) > account.balance(_pays(matcher, request)).free:
            raise insufficient()
        return plan

    @staticmethod
    def _plan(matcher: Matcher, account: Account, request: Request, qty: int) -> Plan:
        limit = request.price if request.type.is_limit else None
        budget = request.quote_qty or None
        return matcher.plan(buy=request.buy, qty=qty, budget=budget, limit=limit, account=account)

    @staticmethod
    def _price_of(request: Request, plan: Plan) -> int:
        """What is locked for an order, of the asset it pays with."""
        if not request.buy:
            return request.qty or plan.qty
        price = request.price or request.stop_price
        return cost(price, request.qty) if price else plan.quote_qty

    def place(self, account: Account, symbol: str, request: Request, now_ms: int) -> Order:
        """Take an order, and match it at once unless it waits for its price."""
        plan = self.check(account, symbol, request)
        matcher = self.matchers[symbol]
        order = Order(
            self._next_order_id,
            account,
            matcher.market.spec,
            request,
            now_ms,
            request.client_id,
            request.qty or plan.qty,
            updated_ms=now_ms,
        )
        self._next_order_id += 1
        self._lock(order, self._price_of(request, plan))
        self._by_id[symbol, order.id] = order
        self._by_client_id[account, symbol, request.client_id] = order
        self._by_account[account, symbol].append(order)
        self._open[account][order.id] = order
        self.ledger.orders.append(order)
        if request.type.is_conditional:
            self._waiting[symbol][order.id] = order
        self._tell(order, "NEW", now_ms)
        if not request.type.is_conditional:
            self._match(order, plan, now_ms)
        return order

    def _match(self, order: Order, plan: Plan, now_ms: int) -> None:
        request = order.request
        matcher = self.matchers[order.spec.symbol]
        trades: list[Trade] = []
        if request.time_in_force is not TimeInForce.FOK or plan.qty == order.remaining:
            for own in plan.own:
                matcher.remove(own)
                self._end(own, Status.EXPIRED_IN_MATCH, "TRADE_PREVENTION", now_ms)
            trades = matcher.execute(plan, now_ms, buy=request.buy)
            for trade in trades:
                self._fill(order, trade, maker=False)
        if order.status.is_open:
            if request.type.is_limit and request.time_in_force is TimeInForce.GTC:
                order.working = True
                matcher.rest(order)
            else:
                self._end(order, Status.EXPIRED, "EXPIRED", now_ms)
        self._moved(order.spec.symbol, trades, now_ms)

    # ends

    def cancel(self, order: Order, cancel_id: str, now_ms: int) -> None:
        if not order.status.is_open:
            raise BinanceError(-2011, "Unknown order sent.")
        if order.working:
            self.matchers[order.spec.symbol].remove(order)
        self._end(order, Status.CANCELED, "CANCELED", now_ms, cancel_id)
        self._moved(order.spec.symbol, [], now_ms)

    def _end(self, order: Order, status: Status, kind: str, now_ms: int, cancel_id: str = "") -> None:
        """An order ends before it is filled; it is off the book already."""
        order.status = status
        order.updated_ms = now_ms
        self._release(order)
        self._tell(order, kind, now_ms, cancel_id=cancel_id)

    def _release(self, order: Order) -> None:
        order.working = False
        self._unlock(order, order.locked)
        self._open[order.account].pop(order.id, None)
        self._waiting[order.spec.symbol].pop(order.id, None)

    # fills

    def _filled_at_rest(self, order: Order, trade: Trade) -> None:
        self._fill(order, trade, maker=True)

    def fill_by_hand(self, order: Order, price: int, qty: int, now_ms: int) -> None:
        """Fill an order that rests, or one that has ended with something left: a fill that crossed its cancel."""
        matcher = self.matchers[order.spec.symbol]
        if order.working:
            trade = matcher.fill(order, price, qty, now_ms)
        else:
            self._lock(order, price * qty // ONE if order.request.buy else qty)
            trade = matcher.next_trade(order, price, qty, now_ms)
            self._fill(order, trade, maker=True)
        self._moved(order.spec.symbol, [trade], now_ms)

    def _fill(self, order: Order, trade: Trade, *, maker: bool) -> None:
        """Settle one trade of an order, and tell its owner."""
        account, request = order.account, order.request
        quote_qty = trade.price * trade.size // ONE
        pays, receives = (quote_qty, trade.size) if request.buy else (trade.size, quote_qty)
        fee = receives * (account.maker_fee_parts if maker else account.taker_fee_parts) // FEE_PARTS
        self._unlock(order, pays)
        account.credit(order.pays_asset, -pays)
        account.credit(order.receives_asset, receives - fee)
        order.executed += trade.size
        order.quote_executed += quote_qty
        order.updated_ms = trade.time_ms
        fill = Fill(trade.id, order, trade.price, trade.size, fee, order.receives_asset, maker, trade.time_ms)
        order.fills.append(fill)
        self._fills[account, order.spec.symbol].append(fill)
        self.ledger.fills.append(fill)
        if not order.remaining:
            order.status = Status.FILLED
            self._release(order)
        elif order.status.is_open:
            order.status = Status.PARTIALLY_FILLED
            if request.buy and request.price:
                # It traded at a better price than it was ready to pay.
                self._unlock(order, order.locked - cost(request.price, order.remaining))
        self._tell(order, "TRADE", trade.time_ms, fill=fill)

    def _lock(self, order: Order, amount: int) -> None:
        try:
            order.account.lock(order.pays_asset, amount)
        except InsufficientError:
            raise insufficient() from None
        order.locked += amount

    def _unlock(self, order: Order, amount: int) -> None:
        order.account.unlock(order.pays_asset, amount)
        order.locked -= amount

    # stops

    def traded(self, symbol: str, trades: Sequence[Trade], now_ms: int) -> None:
        """Trades were made in a market: orders that waited for their price go to it."""
        waiting = self._waiting.get(symbol)
        if not waiting:
            return
        for order in list(waiting.values()):
            if order.id in waiting and any(_triggers(order.request, trade.price) for trade in trades):
                del waiting[order.id]
                self._trigger(order, now_ms)

    def _trigger(self, order: Order, now_ms: int) -> None:
        request = order.request
        plan = self._plan(self.matchers[order.spec.symbol], order.account, request, order.remaining)
        if not request.type.is_limit:
            # A stop order pays what the market asks by now, which may be more than was locked for it.
            self._unlock(order, order.locked)
            try:
                self._lock(order, plan.quote_qty if request.buy else order.remaining)
            except BinanceError:
                self._end(order, Status.EXPIRED, "EXPIRED", now_ms)
                return
        self._match(order, plan, now_ms)

    # what owners are told

    def deposit(self, account: Account, asset: str, amount: int, now_ms: int) -> None:
        """Give, or with a negative amount take away what is free."""
        account.credit(asset, amount)
        account.updated_ms = now_ms
        self._emit(account, reports.balance_update(asset, amount, now_ms))
        self._emit(account, reports.position(account, [asset], now_ms))

    def _tell(self, order: Order, kind: str, now_ms: int, *, fill: Fill | None = None, cancel_id: str = "") -> None:
        order.account.updated_ms = now_ms
        self._emit(order.account, reports.execution(order, kind, self._next_event, now_ms, fill, cancel_id))
        self._next_event += 1
        self._emit(order.account, reports.position(order.account, (order.spec.base, order.spec.quote), now_ms))


def _pays(matcher: Matcher, request: Request) -> str:
    return matcher.market.spec.quote if request.buy else matcher.market.spec.base


def _triggers(request: Request, price: int) -> bool:
    rises = request.buy == (request.type in (Type.STOP_LOSS, Type.STOP_LOSS_LIMIT))
    return price >= request.stop_price if rises else price <= request.stop_price
