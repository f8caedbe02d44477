"""What a demonstration trades with: a user, an API key and an account, made at the first start and found at the next.

Holds where the key is kept meanwhile: in the clear, because all it opens is a simulation. Must not know how the gateway
or the exchange is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

from gateway.commands.database import change, note
from gateway.config import Config
from oms import keys
from oms.model import Account, ApiKey, Permission, Role, Scope
from oms.store import admin
from oms.store.pool import Connection
from oms.vault import open_vault

NAME: Final = "demo"
EXCHANGE: Final = "sim"
KEY_FILE: Final = "api.key"
# The account that every simulated exchange has, with its funds.
CREDENTIALS: Final = {
    "apiKey": "simulated-key-simulated-key-simulated-key-simulated-key-simulate",
    "secret": "simulated-secret-simulated-secret-simulated-secret-simulated-sec",
}


class Trades(NamedTuple):
    """An account, and the key that trades on it."""

    account_id: int
    key: str

    def __repr__(self) -> str:
        return f"Trades(account_id={self.account_id})"


def prepare(config: Config, state: Path) -> Trades:
    """Find them in the database, or make them. Raises CommandError."""
    file = state / KEY_FILE
    kept = file.read_text(encoding="ascii").strip() if file.exists() else ""

    async def work(connection: Connection) -> Trades:
        account = await _account(connection)
        vault = open_vault(config.auth.master_keys, state)
        await admin.set_credentials(connection, account.id, vault.seal(account.id, CREDENTIALS))
        is_good = any(_is(key, kept) for key in await admin.api_keys(connection))
        return Trades(account.id, kept if is_good else await _new_key(connection, account.id))

    trades = change(config, work)
    file.touch(mode=0o600)
    file.write_text(trades.key, encoding="ascii")
    return trades


async def _account(connection: Connection) -> Account:
    accounts = await admin.accounts(connection)
    found = next((account for account in accounts if account.name == NAME), None)
    return found or await admin.add_account(connection, NAME, EXCHANGE, epoch=uuid4().hex)


def _is(key: ApiKey, text: str) -> bool:
    return keys.matches(text, key.hash) and key.revoked_ns is None and not key.user.disabled


async def _new_key(connection: Connection, account_id: int) -> str:
    users = await admin.users(connection)
    user = next((user for user in users if user.name == NAME), None)
    user = user or await admin.add_user(connection, NAME, Role.TRADER)
    made = keys.make()
    scopes = frozenset({Scope.READ, Scope.TRADE, Scope.RISK})
    key = await admin.add_key(connection, user.id, prefix=made.prefix, hash=made.hash, name=NAME, scopes=scopes)
    await admin.grant(
        connection,
        key.id,
        Permission(account_id=account_id, can_trade=True, can_close_position=True, can_risk_manage=True),
    )
    await note(connection, "key.create", f"key {key.id}", user=NAME, scopes=sorted(scopes), accounts=[NAME])
    return made.text
