"""What the accounts of dashboards are worth: the newest valuation of each account that somebody is shown.

An account is followed once for everybody. Who may see one is the caller's matter. Must not know how an account is
valued, a connection, nor how a message looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.net.dashboard_board import Audience, Board
from gateway.wire.dashboard_portfolio import portfolio

if TYPE_CHECKING:
    from _speedups.fanout import Fanout
    from gateway.core.portfolio import Valuation

AccountIds = tuple[int, ...]  # in order
FollowAccount = Callable[[int, Callable[["Valuation"], None]], Callable[[], None]]  # returns what ends it


class Shown:
    """One account."""

    def __init__(self, board: PortfolioBoard, account_id: int) -> None:
        self.audiences: set[Audience[AccountIds]] = set()
        self.newest: Valuation | None = None
        self._board = board
        self.end = board.follow(account_id, self._on_valued)

    @property
    def is_live(self) -> bool:
        return self.newest is not None and not self.newest.stale

    def _on_valued(self, valuation: Valuation) -> None:
        if valuation.stale and self.is_live:
            self._board.health.failed()
        self.newest = valuation
        self._board.changed(self.audiences)


class PortfolioBoard(Board[AccountIds]):
    """The portfolios of one process."""

    def __init__(self, follow: FollowAccount, fanout: Fanout, interval_s: float, now_ns: Callable[[], int]) -> None:
        """`follow` calls with each new valuation of an account, and at once with the newest where there is one."""
        super().__init__(fanout, interval_s, now_ns)
        self.follow = follow
        self._accounts: dict[int, Shown] = {}

    def began(self, audience: Audience[AccountIds]) -> None:
        for account_id in audience.what:
            shown = self._accounts.get(account_id)
            if shown is None:
                shown = self._accounts[account_id] = Shown(self, account_id)
            shown.audiences.add(audience)

    def ended(self, audience: Audience[AccountIds]) -> None:
        for account_id in audience.what:
            shown = self._accounts[account_id]
            shown.audiences.discard(audience)
            if not shown.audiences:
                self._accounts.pop(account_id).end()

    def state(self, what: AccountIds) -> bytes | None:
        newest = {account_id: self._accounts[account_id].newest for account_id in what}
        known = [each for each in newest.values() if each is not None]
        return portfolio(known, [number for number, each in newest.items() if each is None]) if known else None

    def on_tick(self) -> None:
        """What is worth the same as before is no silence."""
        if any(shown.is_live for shown in self._accounts.values()):
            self.health.updated(self.now_ns())
