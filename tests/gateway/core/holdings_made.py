"""Holdings for tests of valuing, and a ledger that knows what is true: each trade is booked as a venue books it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from gateway.core.holdings import Held, carried, worth
from oms.model import Position
from oms.valuing import Holdings, Pair, Traded

D = Decimal
PAIRS = {"BTC": Pair("BTC/USDT", False), "EUR": Pair("USDT/EUR", True)}
SPOT, LINEAR, INVERSE = "BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"
SIZES = {SPOT: D(1), LINEAR: D("0.01"), INVERSE: D(100)}


def position(symbol: str, qty: str | Decimal, entry: str | Decimal | None = "100", **fields: Any) -> Position:
    given: dict[str, Any] = {
        "id": 1, "account_id": 1, "symbol": symbol, "strategy_id": 0, "qty": D(qty),
        "entry_price": None if entry is None else D(entry), "inverse": symbol == INVERSE,
        "contract_size": SIZES.get(symbol, D(1)), "opened_ns": 1, "updated_ns": 1,
    }  # fmt: skip
    return Position(**{**given, **fields})


def holdings(
    balances: Mapping[str, Any] | None = None,
    positions: Sequence[Position] = (),
    **fields: Any,
) -> Holdings:
    made: dict[str, Any] = {
        "exchange": "sim",
        "positions": tuple(positions),
        "balances": None if balances is None else {name: D(amount) for name, amount in balances.items()},
        "paid": {},
        "realized": {},
        "contracts": (),
        "pairs": PAIRS,
    }
    return Holdings(**{**made, **fields})


def held(*given: Any, **fields: Any) -> Held:
    return carried(holdings(*given, **fields), None)


class Trade(NamedTuple):
    symbol: str
    qty: Decimal  # signed
    price: Decimal
    fee: Decimal  # in USDT


class Ledger:
    """Balances and average-priced contracts of one account; `value` says what it is worth at given prices."""

    def __init__(self, balances: Mapping[str, Decimal]) -> None:
        self.balances = dict(balances)
        self.contracts: dict[str, tuple[Decimal, Decimal]] = {}  # qty, entry price
        self.paid: dict[str, Decimal] = {}
        self.realized: dict[str, Decimal] = {}
        self.traded: dict[str, tuple[Decimal, Decimal]] = {}

    def begin_day(self) -> None:
        self.paid, self.realized, self.traded = {}, {}, {}

    def trade(self, trade: Trade) -> None:
        self._pay("USDT", -trade.fee)
        if trade.symbol == SPOT:
            self._pay("BTC", trade.qty)
            self._pay("USDT", -trade.qty * trade.price)
            return
        symbol, qty, price, inverse = trade.symbol, trade.qty, trade.price, trade.symbol == INVERSE
        size = SIZES[symbol]
        before, done = self.traded.get(symbol, (D(0), D(0)))
        self.traded[symbol] = before + qty, done + worth(qty, price, size, inverse=inverse)
        # Closed in full at each trade and opened anew at its price: the gain is the same, whatever the averages are.
        now, entry = self.contracts.get(symbol, (D(0), price))
        gained = worth(now, price, size, inverse=inverse) - worth(now, entry, size, inverse=inverse)
        settled = "BTC" if inverse else "USDT"
        self.balances[settled] += gained
        self.realized[settled] = self.realized.get(settled, D(0)) + gained
        self.contracts[symbol] = now + qty, price

    def _pay(self, currency: str, amount: Decimal) -> None:
        self.balances[currency] += amount
        self.paid[currency] = self.paid.get(currency, D(0)) + amount

    def value(self, prices: Mapping[str, Decimal]) -> Decimal:
        """In USDT."""
        rates = {"USDT": D(1), "BTC": prices[SPOT], "EUR": 1 / prices["USDT/EUR"]}
        total = sum((amount * rates[name] for name, amount in self.balances.items()), D(0))
        for symbol, (qty, entry) in self.contracts.items():
            inverse = symbol == INVERSE
            gain = worth(qty, prices[symbol], SIZES[symbol], inverse=inverse)
            gain -= worth(qty, entry, SIZES[symbol], inverse=inverse)
            total += gain * rates["BTC" if inverse else "USDT"]
        return total

    def held(self) -> Held:
        open_ = [position(symbol, qty, entry) for symbol, (qty, entry) in self.contracts.items() if qty]
        contracts = tuple(
            Traded(symbol=symbol, qty=qty, worth=done, inverse=symbol == INVERSE, contract_size=SIZES[symbol])
            for symbol, (qty, done) in self.traded.items()
        )
        return held(self.balances, open_, paid=self.paid, realized=self.realized, contracts=contracts)
