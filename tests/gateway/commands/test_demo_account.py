"""What a demonstration trades with: made anew with the same key, found again where it is to be kept, and whose data is
never forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.demo_account import CREDENTIALS, EXCHANGE, prepare
from gateway.config import Config
from loadtest.exchange.accounts import DEFAULT_KEY, DEFAULT_SECRET
from oms import keys
from oms.journal import open_journal
from oms.store import admin
from oms.store.pool import Connection
from oms.vault import open_vault

Ask = Callable[[Callable[..., Any]], Any]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


def test_the_account_is_the_one_that_the_exchange_has() -> None:
    assert CREDENTIALS == {"apiKey": DEFAULT_KEY, "secret": DEFAULT_SECRET}


async def rename(connection: Connection) -> None:
    """The account is not as a new one any more."""
    await connection.execute("UPDATE accounts SET blocked = true")


def is_blocked(ask: Ask) -> bool:
    (account,) = ask(admin.accounts)
    return bool(account.blocked)


def test_what_earlier_ones_did_is_forgotten_but_for_the_key(dsn: str, state: Path, ask: Ask) -> None:
    made = prepare(Config(), state)
    ask(rename)
    again = prepare(Config(), state)
    assert again == made
    assert not is_blocked(ask)
    (key,) = ask(admin.api_keys)
    assert keys.matches(made.key, key.hash)
    assert key.permissions[again.account_id].can_trade


@pytest.mark.parametrize("what", ["a user", "an account", "another exchange"])
def test_what_is_not_a_demonstrations_is_never_forgotten(dsn: str, state: Path, ask: Ask, what: str) -> None:
    async def add(connection: Connection) -> None:
        if what == "a user":
            await admin.add_user(connection, "ann")
        elif what == "an account":
            await admin.add_account(connection, "mine", EXCHANGE, epoch="e")
        else:
            await connection.execute("UPDATE accounts SET exchange = 'binance'")

    made = prepare(Config(), state)
    ask(rename)
    ask(add)
    assert prepare(Config(), state) == made._replace(is_new=False)
    assert ask(admin.accounts)[0].blocked


async def test_what_another_one_works_on_is_not_forgotten(dsn: str, state: Path) -> None:
    made = await asyncio.to_thread(prepare, Config(), state)
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    assert await asyncio.to_thread(prepare, Config(), state) == made._replace(is_new=False)
    await journal.close()


def test_it_is_the_same_where_it_is_kept(dsn: str, state: Path, ask: Ask) -> None:
    made = prepare(Config(), state)
    ask(rename)
    assert prepare(Config(), state, keep=True) == made._replace(is_new=False)
    assert is_blocked(ask)
    assert made.key not in repr(made)
    (account,) = ask(admin.accounts)
    assert (account.id, account.exchange) == (made.account_id, EXCHANGE)
    sealed = ask(lambda connection: admin.credentials(connection, account.id))
    assert open_vault([], state).open(account.id, sealed) == CREDENTIALS
    (key,) = ask(admin.api_keys)
    assert keys.matches(made.key, key.hash)
    assert key.permissions[account.id].can_trade
    assert (state / "api.key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_was_revoked_is_replaced(dsn: str, state: Path, ask: Ask) -> None:
    made = prepare(Config(), state)
    (key,) = ask(admin.api_keys)
    ask(lambda connection: admin.revoke_key(connection, key.id))
    again = prepare(Config(), state, keep=True)
    assert again.account_id == made.account_id
    assert again.key != made.key
    assert len(ask(admin.users)) == 1
