"""`tickwire account`: what is traded on, and what opens it at its venue.

Holds what is asked and said. Credentials are read from standard input or a terminal that does not show them, never from
an argument, and are printed nowhere. Must not know how accounts are stored, nor how credentials are sealed.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from gateway.commands.database import account_named, change, configured, note, require_name, vault_of
from gateway.commands.failure import CommandError
from gateway.commands.show import Row, account_row, show, show_one
from oms.model import Account, Environment, PositionMode
from oms.store import admin, history
from oms.store.pool import Connection
from oms.vault import new_master_key

COLUMNS = ("id", "name", "exchange", "environment", "position_mode", "blocked", "requires_signing", "credentials")
# What venues ask for, by ccxt's names.
FIELDS: Final = ("apiKey", "secret", "password", "uid", "login", "privateKey", "walletAddress")


def add(
    name: str,
    exchange: str,
    *,
    environment: Literal["live", "sandbox", "simulated"] = "simulated",
    position_mode: Literal["hedge", "netting", "strategy_netting"] = "netting",
    json: bool = False,
    config: Path | None = None,
) -> None:
    """Add an account. `tickwire account credentials` says what opens it.

    Parameters
    ----------
    name
        How it is called.
    exchange
        The name of a configured exchange.
    environment
        What the exchange's account is worth: live, its sandbox, or simulated.
    position_mode
        netting: one position a symbol; strategy_netting: one a symbol and strategy; hedge: as many as are opened.
    json
        Print one JSON object.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    require_name(name, "an account")
    if name.isdecimal():
        raise CommandError("an account's name is no number: numbers are given, and found by")
    settings = configured(config)
    wanted = Account(
        id=0, name=name, exchange=exchange, environment=Environment(environment), epoch="",
        position_mode=PositionMode(position_mode),
    )  # fmt: skip
    from gateway.desk import venues_of  # noqa: PLC0415  # ccxt takes a second to load

    venue_of = venues_of(settings.exchanges)

    async def work(connection: Connection) -> Account:
        await venue_of(wanted, {}).close()
        account = await admin.add_account(
            connection, name, exchange, epoch=uuid4().hex,
            environment=wanted.environment, position_mode=wanted.position_mode,
        )  # fmt: skip
        await note(connection, "account.add", f"account {account.id}", name=name)
        return account

    account = change(settings, work)
    row = account_row(account, has_credentials=False)
    show_one(row, f"Account {account.id} is there: {name} on {exchange}, {environment}, {position_mode}", json=json)


def list_(*, json: bool = False, config: Path | None = None) -> None:
    """List the accounts.

    Parameters
    ----------
    json
        Print a JSON array.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(connection: Connection) -> list[Row]:
        known = await admin.all_credentials(connection)
        accounts = await admin.accounts(connection)
        return [account_row(account, has_credentials=account.id in known) for account in accounts]

    show(change(configured(config), work), COLUMNS, json=json)


def block(account: str, *, config: Path | None = None) -> None:
    """Send nothing more for an account but what takes orders back.

    Parameters
    ----------
    account
        Its name or number.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    print(f"Account {_set(account, config, blocked=True)} is blocked")


def unblock(account: str, *, config: Path | None = None) -> None:
    """Let a blocked account trade again.

    Parameters
    ----------
    account
        Its name or number.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    print(f"Account {_set(account, config, blocked=False)} trades again")


def require_signing(account: str, *, config: Path | None = None) -> None:
    """Take signed commands only for an account.

    Parameters
    ----------
    account
        Its name or number.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    print(f"Account {_set(account, config, requires_signing=True)} takes signed commands only")


def allow_unsigned(account: str, *, config: Path | None = None) -> None:
    """Take commands for an account whether they are signed or not.

    Parameters
    ----------
    account
        Its name or number.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    print(f"Account {_set(account, config, requires_signing=False)} takes unsigned commands, too")


def credentials(account: str, *, same_account: bool = False, config: Path | None = None) -> None:
    """Store what opens an account at its venue, sealed under the master key.

    Asks for it on a terminal; elsewhere reads one JSON object from standard input:
    {"apiKey": "..", "secret": ".."}, and where the venue has them password, uid, login, privateKey, walletAddress.

    Parameters
    ----------
    account
        Its name or number.
    same_account
        What is stored now opens the same account there: needed to replace it while orders are open, which another
        account of the venue would not know.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    settings = configured(config)

    async def work(connection: Connection) -> str:
        found = await account_named(connection, account)
        if not same_account:
            await _require_no_open_order(connection, found)
        given = _asked() if sys.stdin.isatty() else _read(sys.stdin.buffer.read())
        if not same_account:
            # Others may have sent an order or stored credentials while they were typed. None can from here on: an
            # order is written with its event, whose number is the account's.
            await admin.account_to_change(connection, found.id)
            await _require_no_open_order(connection, found)
        await admin.set_credentials(connection, found.id, vault_of(settings).seal(found.id, given))
        await note(connection, "account.credentials", f"account {found.id}", fields=sorted(given))
        return found.name

    print(f"The credentials of {change(settings, work)} are stored")


def master_key() -> None:
    """Print a new master key, for `master_keys` of [auth]. It is stored nowhere."""
    print(new_master_key())


def reseal(*, config: Path | None = None) -> None:
    """Seal all secrets under the first master key, after which older ones are not needed: the credentials of accounts,
    and what API keys sign with.

    Parameters
    ----------
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    settings = configured(config)

    async def work(connection: Connection) -> str:
        vault = vault_of(settings)
        sealed = await admin.all_credentials(connection)
        for number, each in sealed.items():
            await admin.set_credentials(connection, number, vault.rotate(each))
        for key in await admin.api_keys(connection):
            if key.sealed_signing is not None:
                await admin.set_signing(connection, key.id, vault.rotate(key.sealed_signing))
        await note(connection, "account.reseal", "accounts", accounts=list(sealed))
        names = [account.name for account in await admin.accounts(connection) if account.id in sealed]
        return ", ".join(names) or "no account has credentials"

    print(f"Sealed under the first master key: {change(settings, work)}")


def _set(name: str, config: Path | None, **changes: bool) -> str:
    async def work(connection: Connection) -> str:
        named = await account_named(connection, name)
        account = await admin.account_to_change(connection, named.id) or named
        await admin.set_account(connection, replace(account, **changes))
        await note(connection, "account.change", f"account {account.id}", **changes)
        return account.name

    return change(configured(config), work)


async def _require_no_open_order(connection: Connection, account: Account) -> None:
    """Of an account that has credentials: at another account of the venue they would be looked for in vain, and be
    taken for over."""
    if await admin.credentials(connection, account.id) is None:
        return
    if await history.orders(connection, history.Filter(accounts={account.id: ()}, page_size=1), is_open=True):
        raise CommandError(
            f"account {account.name} has open orders: cancel them first, or say --same-account if what is stored now "
            "opens the same account at its venue"
        )


def _asked() -> dict[str, str]:
    """What a person types, without showing it; what is left empty is left out."""
    given = {field: getpass.getpass(f"{field} (empty for none): ").strip() for field in FIELDS}
    return _checked({field: value for field, value in given.items() if value})


def _read(text: bytes) -> dict[str, str]:
    try:
        return _checked(msgspec.json.decode(text, type=dict[str, str]))
    except msgspec.DecodeError:  # its message may quote what was read
        raise CommandError(
            'standard input is no JSON object of texts: write {"apiKey": "..", "secret": ".."}'
        ) from None


def _checked(given: dict[str, str]) -> dict[str, str]:
    if unknown := sorted(set(given) - set(FIELDS)):
        raise CommandError(f"no venue asks for {unknown[0]}; there is {', '.join(FIELDS)}")
    if not any(given.values()):
        raise CommandError("no credential was given, and what is stored stays")
    return given
