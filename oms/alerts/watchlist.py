"""Which rules on one symbol a price meets, without looking at all of them: levels are kept sorted, and those that are
met are at one end.

A price that meets nothing costs a comparison a list. Synchronous, and takes the time. Must not know what a rule is for,
nor whether a price may be believed: one that may not is not given to it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from decimal import Decimal
from typing import Final

from oms.model import Alert, AlertType

STEPS: Final = 100  # of a window: what it knows is as fine as a hundredth of it
HUNDRED: Final = Decimal(100)
SECOND_NS: Final = 1_000_000_000
LAST_ID: Final = 2**63

Level = tuple[Decimal, int]  # and the id of the rule, so that no two are equal


class Levels:
    """Rules that wait for a value to come to their level from below, or, `falling`, from above."""

    def __init__(self, *, falling: bool) -> None:
        self._falling = falling
        self._sorted: list[Level] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, level: Decimal, number: int) -> None:
        insort(self._sorted, (self._turned(level), number))

    def discard(self, level: Decimal, number: int) -> None:
        entry = self._turned(level), number
        at = bisect_left(self._sorted, entry)
        if at < len(self._sorted) and self._sorted[at] == entry:
            del self._sorted[at]

    def take(self, value: Decimal) -> list[int]:
        """The rules that this value meets, which wait no longer."""
        value = self._turned(value)
        if not self._sorted or self._sorted[0][0] > value:
            return []
        count = bisect_right(self._sorted, (value, LAST_ID))
        taken = [number for _, number in self._sorted[:count]]
        del self._sorted[:count]
        return taken

    def _turned(self, value: Decimal) -> Decimal:
        return value.copy_negate() if self._falling else value


class Window:
    """Rules on changes within one time, and the lowest and highest prices of it: at most one a step is remembered."""

    def __init__(self, window_s: int) -> None:
        self._step_ns = window_s * SECOND_NS // STEPS
        self.up = Levels(falling=False)
        self.down = Levels(falling=True)
        self._lows: deque[tuple[int, Decimal]] = deque()  # (step, price): later ones are higher
        self._highs: deque[tuple[int, Decimal]] = deque()

    def levels(self, percent: Decimal) -> Levels:
        """Where a rule of so much waits."""
        return self.up if percent > 0 else self.down

    def take(self, price: Decimal, now_ns: int) -> list[int]:
        """The rules that are met now that the price is this."""
        if price <= 0:  # of which nothing is a percentage
            return []
        step = now_ns // self._step_ns
        while self._lows and self._lows[-1][1] >= price:
            self._lows.pop()
        while self._highs and self._highs[-1][1] <= price:
            self._highs.pop()
        for kept in (self._lows, self._highs):
            if not kept or kept[-1][0] != step:  # else what is there is farther away, and goes at the same time
                kept.append((step, price))
            while kept[0][0] <= step - STEPS:
                kept.popleft()
        return self.up.take(change(self._lows[0][1], price)) + self.down.take(change(self._highs[0][1], price))


def change(before: Decimal, after: Decimal) -> Decimal:
    """In per cent of what was before."""
    return (after - before) * HUNDRED / before


class Watchlist:
    """The armed rules on one symbol."""

    def __init__(self) -> None:
        self._alerts: dict[int, Alert] = {}
        self._rising = Levels(falling=False)
        self._falling = Levels(falling=True)
        self._unplaced: dict[int, Decimal] = {}  # levels to cross, of which it is not known from which side
        self._windows: dict[int, Window] = {}
        self._price: Decimal | None = None  # the last one, as long as it holds

    def __len__(self) -> int:
        return len(self._alerts)

    def add(self, alert: Alert) -> None:
        """Wait for it from now on."""
        self._alerts[alert.id] = alert
        match alert.type:
            case AlertType.ABOVE:
                self._rising.add(alert.level, alert.id)
            case AlertType.BELOW:
                self._falling.add(alert.level, alert.id)
            case AlertType.CROSSES:
                if self._price is None or not self._place(alert.id, alert.level, self._price):
                    self._unplaced[alert.id] = alert.level
            case AlertType.PERCENT_CHANGE:
                assert alert.window_s is not None
                window = self._windows.get(alert.window_s)
                if window is None:
                    window = self._windows[alert.window_s] = Window(alert.window_s)
                window.levels(alert.level).add(alert.level, alert.id)

    def remove(self, number: int) -> None:
        """Wait for it no longer; nothing where nobody did."""
        alert = self._alerts.pop(number, None)
        if alert is None:
            return
        self._unplaced.pop(number, None)
        if alert.window_s is not None:
            self._windows[alert.window_s].levels(alert.level).discard(alert.level, number)
            self._forget_windows()
        else:
            self._rising.discard(alert.level, number)
            self._falling.discard(alert.level, number)

    def lose(self) -> None:
        """The price is not known any more, until the next one. From which side a level is to be crossed stays known."""
        self._price = None

    def take(self, price: Decimal, now_ns: int) -> list[Alert]:
        """The rules that this price meets, by their ids; they are not waited for any more."""
        met = self._rising.take(price) + self._falling.take(price)
        if self._unplaced and price != self._price:
            for number, level in list(self._unplaced.items()):
                if self._place(number, level, price):
                    del self._unplaced[number]
        self._price = price
        for window in self._windows.values():
            met += window.take(price, now_ns)
        taken = [self._alerts.pop(number) for number in sorted(met)]
        if taken:
            self._forget_windows()
        return taken

    def _place(self, number: int, level: Decimal, price: Decimal) -> bool:
        """Have it wait on the side where the price is; False when it is at the level, and so on neither."""
        if price == level:
            return False
        (self._rising if price < level else self._falling).add(level, number)
        return True

    def _forget_windows(self) -> None:
        for window_s, window in list(self._windows.items()):
            if not window.up and not window.down:
                del self._windows[window_s]
