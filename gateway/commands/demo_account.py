"""What a demonstration trades with: a user, an API key and an account.

The simulated exchange begins anew each time, so what earlier demonstrations did there is forgotten, unless it is to be
kept; the API key stays the same. Holds where that is meanwhile: in the clear, because all it opens is a simulation.
Must not know how the gateway or the exchange is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

from gateway.commands.database import change, note
from gateway.config import Config
from oms import keys, signing
from oms.journal import DESK_LOCK
from oms.keys import NewKey
from oms.model import Account, Environment, Permission, Role, Scope
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
    is_new: bool = True  # else it has what earlier demonstrations left, of which the exchange knows nothing

    def __repr__(self) -> str:
        return f"Trades(account_id={self.account_id})"


def prepare(config: Config, state: Path, *, keep: bool = False) -> Trades:
    """Make them, in a database that has nothing of earlier demonstrations; `keep`: find them. Raises CommandError.

    A database that has more than demonstrations is always kept, and so is one that another of them works on.
    """
    file = state / KEY_FILE
    kept = file.read_text(encoding="ascii").strip() if file.exists() else ""

    async def work(connection: Connection) -> Trades:
        is_new = not keep and await _is_ours(connection) and await admin.begin_anew(connection, DESK_LOCK)
        account = await _account(connection)
        vault = open_vault(config.auth.master_keys, state)
        await admin.set_credentials(connection, account.id, vault.seal(account.id, CREDENTIALS))
        known = [key for key in await admin.api_keys(connection) if keys.matches(kept, key.hash)]
        if any(key.revoked_ns is None and not key.user.disabled for key in known):
            return Trades(account.id, kept, is_new)
        made = keys.make() if known else keys.again(kept) or keys.make()
        sealed = vault.seal_key(made.prefix, signing.secret_of(made.text))
        await _add_key(connection, made, account.id, sealed)
        return Trades(account.id, made.text, is_new)

    trades = change(config, work)
    file.touch(mode=0o600)
    file.write_text(trades.key, encoding="ascii")
    return trades


async def _account(connection: Connection) -> Account:
    accounts = await admin.accounts(connection)
    found = next((account for account in accounts if account.name == NAME), None)
    return found or await admin.add_account(connection, NAME, EXCHANGE, epoch=uuid4().hex)


async def _is_ours(connection: Connection) -> bool:
    """Whether there is nobody and nothing but what demonstrations make."""
    accounts, users = await admin.accounts(connection), await admin.users(connection)
    is_simulated = all((row.exchange, row.environment) == (EXCHANGE, Environment.SIMULATED) for row in accounts)
    return is_simulated and {*(row.name for row in accounts), *(row.name for row in users)} <= {NAME}


async def _add_key(connection: Connection, made: NewKey, account_id: int, sealed: bytes) -> None:
    users = await admin.users(connection)
    user = next((user for user in users if user.name == NAME), None)
    user = user or await admin.add_user(connection, NAME, Role.TRADER)
    scopes = frozenset({Scope.READ, Scope.TRADE, Scope.RISK})
    key = await admin.add_key(
        connection, user.id, prefix=made.prefix, hash=made.hash, name=NAME, scopes=scopes, sealed_signing=sealed
    )
    await admin.grant(
        connection,
        key.id,
        Permission(account_id=account_id, can_trade=True, can_close_position=True, can_risk_manage=True),
    )
    await note(connection, "key.create", f"key {key.id}", user=NAME, scopes=sorted(scopes), accounts=[NAME])
