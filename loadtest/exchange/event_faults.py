"""Faults of the user data stream: what happened is told twice, or in another order.

Stands between the trading side and `userdata`. `POST /admin/faults`:

    repeat   [count] [account]     tell the next fills twice
    reorder  count [account]       keep back the next execution reports, then tell that many, the last one first
"""

from collections import Counter
from collections.abc import Callable, Mapping

from loadtest.exchange.accounts import DEFAULT_NAME, Account, Accounts
from loadtest.exchange.commands import Command, text, whole
from loadtest.exchange.reports import Report

Emit = Callable[[Account, Report], None]


class EventFaults:
    def __init__(self, accounts: Accounts, emit: Emit) -> None:
        self._accounts = accounts
        self._emit = emit
        self._repeats: Counter[Account] = Counter()
        self._held: dict[Account, list[Report]] = {}
        self._hold_counts: dict[Account, int] = {}
        self.kinds: Mapping[str, Callable[[Command], int]] = {"repeat": self._repeat, "reorder": self._reorder}

    def emit(self, account: Account, report: Report) -> None:
        self._pass(account, report)
        if report.get("x") == "TRADE" and self._repeats[account]:
            self._repeats[account] -= 1
            self._pass(account, report)

    def _pass(self, account: Account, report: Report) -> None:
        if account not in self._held or report["e"] != "executionReport":
            self._emit(account, report)
            return
        self._held[account].append(report)
        if len(self._held[account]) >= self._hold_counts[account]:
            self._release(account)

    def _release(self, account: Account) -> None:
        for report in reversed(self._held.pop(account)):
            self._emit(account, report)

    def clear(self) -> None:
        """What is held back is told."""
        self._repeats.clear()
        for account in list(self._held):
            self._release(account)

    def status(self) -> Mapping[str, int]:
        return {"repeating": self._repeats.total(), "reordering": len(self._held)}

    def _account(self, command: Command) -> Account:
        return self._accounts.named(text(command, "account", DEFAULT_NAME))

    def _repeat(self, command: Command) -> int:
        self._repeats[self._account(command)] += whole(command, "count", 1, least=1)
        return 0

    def _reorder(self, command: Command) -> int:
        count, account = whole(command, "count", least=2), self._account(command)
        self._held.setdefault(account, [])
        self._hold_counts[account] = count
        return 0
