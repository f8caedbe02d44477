"""The database under a command: found as `tickwire serve` finds it, changed in one transaction, and its rows by name.

Holds how a command gets there and what it says when it does not. Must not know what a command changes.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gateway import log, loop
from gateway.commands.failure import CommandError
from gateway.commands.serve import DEFAULT_FILE
from gateway.config import Config
from gateway.config_file import load
from oms.errors import OmsError
from oms.model import Account, ApiKey, User
from oms.postgres import PostgresError, Server, serving, state_folder
from oms.store import admin
from oms.store.migrate import MigrationError, migrate, require_current
from oms.store.pool import FAILURES, Connection, connect
from oms.vault import Vault, VaultError, open_vault

T = TypeVar("T")
PREFIX_MAX = 18  # what is longer may be a key, and is not repeated


def configured(file: Path | None) -> Config:
    """The configuration of a command that needs no exchange: there may be none at all."""
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    return load(file, os.environ)


def vault_of(config: Config) -> Vault:
    """What seals secrets, as the gateway opens them. Raises VaultError."""
    return open_vault(config.auth.master_keys, state_folder(os.environ))


def change(config: Config, work: Callable[[Connection], Awaitable[T]]) -> T:
    """What `work` gives, all it writes in one transaction. CommandError when it cannot be done.

    Our own database is brought up to date first; one that somebody else keeps must be.
    """

    async def prepared(server: Server, connection: Connection) -> T:
        if server.embedded:
            await migrate(connection)
        else:
            await require_current(connection)
        async with connection.transaction():
            return await work(connection)

    return use(config, prepared)


def use(config: Config, work: Callable[[Server, Connection], Awaitable[T]]) -> T:
    """The same with the database as it is found, and no transaction."""
    log.configure("warning")

    async def connected() -> T:
        async with serving(config.oms.database_url) as server:
            connection = await connect(server.dsn)
            try:
                return await work(server, connection)
            finally:
                await connection.close()

    try:
        return loop.run(connected())
    except (OmsError, MigrationError, PostgresError, VaultError) as error:
        raise CommandError(str(error)) from None
    except FAILURES as error:
        raise CommandError(f"the order database refuses: {error}") from error


async def note(connection: Connection, action: str, subject: str, **details: Any) -> None:
    """Into the audit log: whoever may run commands on this machine did it."""
    await admin.audit(connection, action, subject, {**details, "command_line": getpass.getuser()})


def require_name(name: str, whose: str) -> None:
    """CommandError for what is no name: names are lines of lists, here and in answers."""
    if not name.strip():
        raise CommandError(f"{whose} needs a name")
    if not name.isprintable():
        raise CommandError(f"{whose}'s name is one line of text")


async def user_named(connection: Connection, name: str) -> User:
    users = await admin.users(connection)
    return _found([user for user in users if user.name == name], f"user {name}", [user.name for user in users])


async def account_named(connection: Connection, name: str) -> Account:
    """By its name or its number."""
    accounts = await admin.accounts(connection)
    found = [account for account in accounts if name in {account.name, str(account.id)}]
    found.sort(key=lambda account: account.name != name)
    return _found(found[:1], f"account {name}", [account.name for account in accounts])


async def key_named(connection: Connection, name: str) -> ApiKey:
    """By its number or its prefix. A whole key does not belong on a command line."""
    keys = await admin.api_keys(connection)
    found = [key for key in keys if name in {str(key.id), key.prefix, f"tw_{key.prefix}"}]
    if not found and len(name) > PREFIX_MAX:
        raise CommandError("a key is named by its number or prefix, as `tickwire key list` has them")
    return _found(found, f"API key {name}", [])


def _found(found: list[T], what: str, there_are: Sequence[str]) -> T:
    if found:
        return found[0]
    raise CommandError(f"there is no {what}" + (f"; there is {', '.join(there_are)}" if there_are else ""))
