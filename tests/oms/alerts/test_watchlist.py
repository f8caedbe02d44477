"""The sorted levels against a plain model that looks at every rule, and what a price costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from oms.alerts.watchlist import SECOND_NS, STEPS, Watchlist, change
from oms.model import Alert, AlertType

T = 1_790_000_000_000_000_000
CENT = Decimal("0.01")


def alert(number: int, kind: AlertType, level: Decimal | str, window_s: int = 60) -> Alert:
    change_of = kind is AlertType.PERCENT_CHANGE
    level = level if isinstance(level, Decimal) else Decimal(level)
    return Alert(
        id=number, account_id=1, user_id=1, exchange="sim", symbol="A", type=kind, created_ns=T, updated_ns=T,
        price=None if change_of else level, percent=level if change_of else None,
        window_s=window_s if change_of else None,
    )  # fmt: skip


class Model:
    """Every rule looked at with every price, and every price remembered."""

    def __init__(self) -> None:
        self.rules: dict[int, Alert] = {}
        self.sides: dict[int, int] = {}  # of levels to cross: 1 when the price was above
        self.prices: dict[int, list[tuple[int, Decimal]]] = {}  # by window, since it has a rule
        self.last: Decimal | None = None

    def add(self, rule: Alert) -> None:
        self.rules[rule.id] = rule
        self._see(rule)
        if rule.window_s:
            self.prices.setdefault(rule.window_s, [])

    def _see(self, rule: Alert) -> None:
        if rule.type is AlertType.CROSSES and rule.id not in self.sides and self.last not in {None, rule.level}:
            assert self.last is not None
            self.sides[rule.id] = 1 if self.last > rule.level else -1

    def remove(self, number: int) -> None:
        self.rules.pop(number, None)
        self.sides.pop(number, None)
        held = {rule.window_s for rule in self.rules.values()}
        self.prices = {window_s: prices for window_s, prices in self.prices.items() if window_s in held}

    def lose(self) -> None:
        self.last = None

    def take(self, price: Decimal, now_ns: int) -> list[int]:
        self.last = price
        for prices in self.prices.values():
            prices.append((now_ns, price))
        met = [number for number, rule in sorted(self.rules.items()) if self._meets(rule, price, now_ns)]
        for rule in self.rules.values():
            self._see(rule)
        for number in met:
            self.remove(number)
        return met

    def _meets(self, rule: Alert, price: Decimal, now_ns: int) -> bool:
        match rule.type:
            case AlertType.ABOVE:
                return price >= rule.level
            case AlertType.BELOW:
                return price <= rule.level
            case AlertType.CROSSES:
                side = self.sides.get(rule.id, 0)
                return (side < 0 and price >= rule.level) or (side > 0 and price <= rule.level)
        assert rule.window_s is not None
        step_ns = rule.window_s * SECOND_NS // STEPS
        seen = [was for at, was in self.prices[rule.window_s] if at // step_ns > now_ns // step_ns - STEPS]
        if rule.level > 0:
            return change(min(seen), price) >= rule.level
        return change(max(seen), price) <= rule.level


PRICES = st.integers(95, 105).map(Decimal)
KINDS = st.sampled_from(list(AlertType))
ACTIONS = st.one_of(
    st.tuples(st.just("add"), KINDS, PRICES, st.sampled_from([60, 300])),
    st.tuples(st.just("remove"), st.integers(1, 20)),
    st.tuples(st.just("lose")),
    st.tuples(st.just("price"), PRICES, st.integers(0, 90 * SECOND_NS)),
    st.tuples(st.just("price"), PRICES, st.integers(0, SECOND_NS)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ACTIONS, max_size=60))
def test_it_meets_what_the_model_meets(actions: list[tuple[Any, ...]]) -> None:
    watchlist, model, now_ns, number = Watchlist(), Model(), T, 0
    for name, *arguments in actions:
        if name == "add":
            number += 1
            kind, level, window_s = arguments
            level = level - 100 or Decimal(1) if kind is AlertType.PERCENT_CHANGE else level
            for each in (watchlist, model):
                each.add(alert(number, kind, level, window_s))
        elif name == "price":
            now_ns += arguments[1]
            assert [rule.id for rule in watchlist.take(arguments[0], now_ns)] == model.take(arguments[0], now_ns)
        else:
            for each in (watchlist, model):
                getattr(each, name)(*arguments)
        assert len(watchlist) == len(model.rules)


def prices(watchlist: Watchlist, *values: str | None) -> list[list[int]]:
    """What each price of one second after the other meets; None: it is lost."""
    met = []
    for second, value in enumerate(values):
        if value is None:
            watchlist.lose()
        else:
            met.append([each.id for each in watchlist.take(Decimal(value), T + second * SECOND_NS)])
    return met


def test_a_rule_is_met_once() -> None:
    watchlist = Watchlist()
    watchlist.add(alert(1, AlertType.ABOVE, "100"))
    watchlist.add(alert(2, AlertType.BELOW, "98"))
    assert prices(watchlist, "99.99", "100", "101", "98.01", "97", "100") == [[], [1], [], [], [2], []]
    assert len(watchlist) == 0


def test_a_level_is_crossed_from_the_side_the_price_was_on() -> None:
    watchlist = Watchlist()
    watchlist.add(alert(1, AlertType.CROSSES, "100"))
    assert prices(watchlist, "100", "100", "101", "100.5") == [[], [], [], []]
    watchlist.add(alert(2, AlertType.CROSSES, "101"))
    assert prices(watchlist, "100.01", None, "102", "99") == [[], [2], [1]]


def test_a_change_is_one_from_the_lowest_and_the_highest_of_the_window() -> None:
    watchlist = Watchlist()
    watchlist.add(alert(1, AlertType.PERCENT_CHANGE, "5"))
    watchlist.add(alert(2, AlertType.PERCENT_CHANGE, "-5"))
    assert prices(watchlist, "103", "100", "104.9", "105") == [[], [], [], [1]]
    assert watchlist.take(Decimal("99.74"), T + 70 * SECOND_NS) == [], "105 was more than a minute ago"
    assert [each.id for each in watchlist.take(Decimal("94.75"), T + 71 * SECOND_NS)] == [2]


def test_what_is_no_price_of_anything_changes_by_no_percentage() -> None:
    watchlist = Watchlist()
    watchlist.add(alert(1, AlertType.PERCENT_CHANGE, "5"))
    assert prices(watchlist, "0", "-1", "10", "10.5") == [[], [], [], [1]]


class Counted(Decimal):
    """A price that counts what it is compared with."""

    compared = 0

    def _count(self) -> None:
        Counted.compared += 1

    def __lt__(self, other: Any) -> bool:
        self._count()
        return super().__lt__(other)

    def __gt__(self, other: Any) -> bool:
        self._count()
        return super().__gt__(other)

    def __eq__(self, other: Any) -> bool:
        self._count()
        return super().__eq__(other)

    __hash__ = Decimal.__hash__

    def copy_negate(self) -> Counted:
        return Counted(super().copy_negate())


def test_a_price_is_not_compared_with_every_rule() -> None:
    watchlist, count = Watchlist(), 5_000
    for number in range(count):
        watchlist.add(alert(number, AlertType.ABOVE, Counted(100 + number * CENT)))
        watchlist.add(alert(count + number, AlertType.BELOW, Counted(99 - number * CENT)))
    Counted.compared = 0
    assert watchlist.take(Counted("99.5"), T) == []
    assert Counted.compared <= 8
    Counted.compared = 0
    assert len(watchlist.take(Counted("100.05"), T)) == 6
    assert Counted.compared <= 60
    assert len(watchlist) == 2 * count - 6
