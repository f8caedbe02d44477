"""Money is neither made nor lost by locking it, and never owed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.exchange.accounts import (
    DEFAULT_KEY,
    DEFAULT_NAME,
    DEFAULT_SECRET,
    AccountError,
    Accounts,
    InsufficientError,
)


@given(st.lists(st.tuples(st.sampled_from(["lock", "unlock"]), st.integers(0, 50))))
def test_locking_keeps_the_total(moves: list[tuple[str, int]]) -> None:
    account = Accounts({"USDT": 100}).named(DEFAULT_NAME)
    balance = account.balance("USDT")
    for move, amount in moves:
        if move == "lock" and amount > balance.free:
            with pytest.raises(InsufficientError):
                account.lock("USDT", amount)
        elif move == "lock":
            account.lock("USDT", amount)
        elif amount <= balance.locked:
            account.unlock("USDT", amount)
        assert balance.free + balance.locked == 100
        assert min(balance.free, balance.locked) >= 0


def test_no_more_is_taken_than_is_free() -> None:
    account = Accounts({"USDT": 100}).named(DEFAULT_NAME)
    account.lock("USDT", 60)
    with pytest.raises(InsufficientError):
        account.credit("USDT", -41)
    account.credit("USDT", -40)
    assert account.balance("USDT").free == 0


def test_the_default_account_has_the_documented_key() -> None:
    accounts = Accounts({})
    account = accounts.of_key(DEFAULT_KEY)
    assert account is accounts.named(DEFAULT_NAME)
    assert account.secret == DEFAULT_SECRET
    assert DEFAULT_SECRET not in repr(account)


def test_names_and_keys_are_one_accounts_own() -> None:
    accounts = Accounts({})
    accounts.open("second", "key", "secret")
    for name, key in (("second", "other"), ("other", "key"), ("", "other")):
        with pytest.raises(AccountError):
            accounts.open(name, key, "secret")
    with pytest.raises(AccountError):
        accounts.open("third", "third", "secret", taker_fee_parts=10_000)
    with pytest.raises(AccountError):
        accounts.named("nobody")
    assert accounts.of_key("nothing") is None
