"""Who trades here: accounts, their keys and what they own.

Amounts are integers of 1e-8. A balance is free or locked by an open order, and never negative. Knows no order, no
market and no message format.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_NAME = "default"
# Public on purpose: they open nothing but a simulation, and demonstrations print them.
DEFAULT_KEY = "simulated-key-simulated-key-simulated-key-simulated-key-simulate"
DEFAULT_SECRET = "simulated-secret-simulated-secret-simulated-secret-simulated-sec"  # noqa: S105  # see above
FEE_PARTS = 10_000


class AccountError(Exception):
    """An account that was asked for wrongly; says why."""


class InsufficientError(Exception):
    """More was asked of a balance than is free."""


@dataclass(slots=True)
class Balance:
    free: int = 0
    locked: int = 0


@dataclass(slots=True, eq=False)
class Account:
    """Fees are parts of 10,000 of what a fill brings in."""

    name: str
    api_key: str
    secret: str = field(repr=False)
    uid: int
    maker_fee_parts: int = 10
    taker_fee_parts: int = 10
    balances: dict[str, Balance] = field(default_factory=dict)
    updated_ms: int = 0

    def balance(self, asset: str) -> Balance:
        return self.balances.setdefault(asset, Balance())

    def credit(self, asset: str, amount: int) -> None:
        """Add to what is free; a negative amount takes away."""
        balance = self.balance(asset)
        if balance.free + amount < 0:
            raise InsufficientError(asset)
        balance.free += amount

    def lock(self, asset: str, amount: int) -> None:
        balance = self.balance(asset)
        if amount > balance.free:
            raise InsufficientError(asset)
        balance.free -= amount
        balance.locked += amount

    def unlock(self, asset: str, amount: int) -> None:
        balance = self.balance(asset)
        assert 0 <= amount <= balance.locked
        balance.locked -= amount
        balance.free += amount


class Accounts:
    """Every account, by name and by key; the default one is always there."""

    def __init__(self, funds: Mapping[str, int]) -> None:
        self._by_key: dict[str, Account] = {}
        self.by_name: dict[str, Account] = {}
        default = self.open(DEFAULT_NAME, DEFAULT_KEY, DEFAULT_SECRET)
        for asset, amount in funds.items():
            default.credit(asset, amount)

    def open(
        self, name: str, api_key: str, secret: str, maker_fee_parts: int = 10, taker_fee_parts: int = 10
    ) -> Account:
        if not name or not api_key or not secret:
            raise AccountError("an account needs a name, a key and a secret")
        if name in self.by_name or api_key in self._by_key:
            raise AccountError(f"there is an account {name!r}, or one with its key, already")
        if not 0 <= min(maker_fee_parts, taker_fee_parts) <= max(maker_fee_parts, taker_fee_parts) < FEE_PARTS:
            raise AccountError(f"fees are parts of {FEE_PARTS}")
        account = Account(name, api_key, secret, len(self.by_name) + 1, maker_fee_parts, taker_fee_parts)
        self.by_name[name] = self._by_key[api_key] = account
        return account

    def of_key(self, api_key: str) -> Account | None:
        return self._by_key.get(api_key)

    def named(self, name: str) -> Account:
        account = self.by_name.get(name)
        if account is None:
            raise AccountError(f"no such account: {name!r}")
        return account
