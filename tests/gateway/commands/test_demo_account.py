"""What a demonstration trades with: made once, found again, and made anew where it is no good any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.demo_account import CREDENTIALS, EXCHANGE, prepare
from gateway.config import Config
from loadtest.exchange.accounts import DEFAULT_KEY, DEFAULT_SECRET
from oms import keys
from oms.store import admin
from oms.vault import open_vault

Ask = Callable[[Callable[..., Any]], Any]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


def test_the_account_is_the_one_that_the_exchange_has() -> None:
    assert CREDENTIALS == {"apiKey": DEFAULT_KEY, "secret": DEFAULT_SECRET}


def test_it_is_the_same_at_the_next_start(dsn: str, state: Path, ask: Ask) -> None:
    made = prepare(Config(), state)
    assert prepare(Config(), state) == made
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
    again = prepare(Config(), state)
    assert again.account_id == made.account_id
    assert again.key != made.key
    assert len(ask(admin.users)) == 1
