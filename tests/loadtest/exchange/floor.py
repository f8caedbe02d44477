"""A trading floor without a server: one small market, two accounts, everything that was told."""

from collections.abc import Sequence
from typing import Any

from loadtest.exchange.accounts import DEFAULT_NAME, Account, Accounts
from loadtest.exchange.bars import Trade
from loadtest.exchange.decimals import ONE
from loadtest.exchange.market import Market, Spec
from loadtest.exchange.matching import Matcher
from loadtest.exchange.orders import Order, Request, TimeInForce, Type
from loadtest.exchange.reports import Report
from loadtest.exchange.trading import Trading

SPEC = Spec("BTC", "USDT", ONE, ONE // 10)
SYMBOL = SPEC.symbol
BASE, QUOTE = 1_000 * ONE, 1_000_000 * ONE
Levels = Sequence[tuple[float, float]]


def units(number: float) -> int:
    return round(number * ONE)


class Floor:
    """`bids` and `asks` are what the crowd offers; prices and sizes are plain numbers here."""

    def __init__(self, bids: Levels = (), asks: Levels = (), *, shown: bool = True, spec: Spec = SPEC) -> None:
        self.market = Market(spec)
        self.market.load_book(1, *([(units(p), units(q)) for p, q in side] for side in (bids, asks)))
        self.matcher = Matcher(self.market, shown=shown)
        self.events: list[tuple[str, Report]] = []
        self.printed: list[Trade] = []
        self.trading = Trading({SYMBOL: self.matcher}, self._moved, self._emit)
        self.accounts = Accounts({})
        self.first = self.accounts.named(DEFAULT_NAME)
        self.second = self.accounts.open("second", "key", "secret", maker_fee_parts=0, taker_fee_parts=20)
        for account in (self.first, self.second):
            account.credit("BTC", BASE)
            account.credit("USDT", QUOTE)
        self.now_ms = 1_000
        self._named = 0

    def _moved(self, symbol: str, trades: Sequence[Trade], now_ms: int) -> None:
        for trade in trades:
            self.market.add_trade(trade)
            self.printed.append(trade)
        self.trading.traded(symbol, trades, now_ms)

    def _emit(self, account: Account, report: Report) -> None:
        self.events.append((account.name, report))

    def request(self, side: str, kind: Type, qty: float = 0, price: float = 0, **change: Any) -> Request:
        self._named += 1
        request = Request(f"order-{self._named}", side == "buy", kind, TimeInForce.GTC, units(qty), units(price))
        return request._replace(**change)

    def place(
        self, side: str, kind: Type, qty: float = 0, price: float = 0, *, of: Account | None = None, **change: Any
    ) -> Order:
        self.now_ms += 1
        return self.trading.place(of or self.first, SYMBOL, self.request(side, kind, qty, price, **change), self.now_ms)

    def limit(self, side: str, qty: float, price: float, *, of: Account | None = None, **change: Any) -> Order:
        return self.place(side, Type.LIMIT, qty, price, of=of, **change)

    def cancel(self, order: Order) -> None:
        self.now_ms += 1
        self.trading.cancel(order, "cancel", self.now_ms)

    def crowd_takes(self, side: str, qty: float) -> list[Trade]:
        """A market order of nobody's."""
        return self.take(units(qty), buy=side == "buy")

    def take(self, qty: int, *, buy: bool) -> list[Trade]:
        self.now_ms += 1
        trades = self.matcher.execute(self.matcher.plan(buy=buy, qty=qty), self.now_ms, buy=buy)
        self._moved(SYMBOL, trades, self.now_ms)
        return trades

    def book(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """What is shown: bids, asks."""
        book = self.market.book
        bids, asks = (
            [(level.price / ONE, level.size / ONE) for level in side.top(100)] for side in (book.bids, book.asks)
        )
        return bids, asks

    def told(self, account: Account) -> list[tuple[str, str]]:
        """Execution type and order status of every report to an account."""
        return [
            (str(report["x"]), str(report["X"]))
            for name, report in self.events
            if name == account.name and report["e"] == "executionReport"
        ]

    def owned(self, account: Account) -> dict[str, tuple[float, float]]:
        """Free and locked, by asset."""
        return {asset: (each.free / ONE, each.locked / ONE) for asset, each in account.balances.items()}
