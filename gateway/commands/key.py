"""`tickwire key`: API keys, what they may do, and the end of them.

Holds what is asked and said. A key is printed once, by `create`, and is nowhere else. Must not know how keys are
stored.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from gateway.commands.database import account_named, change, configured, key_named, note, user_named, vault_of
from gateway.commands.failure import CommandError
from gateway.commands.show import key_row, show, show_one
from oms import keys, signing
from oms.model import ApiKey, Permission, Role, Scope
from oms.store import admin
from oms.store.pool import Connection

ScopeName = Literal["read", "trade", "risk", "publish", "admin"]
COLUMNS = ("id", "user", "name", "prefix", "scopes", "accounts", "expires_at", "last_used_at", "revoked_at")
USUAL: Final[dict[Role, tuple[ScopeName, ...]]] = {
    Role.ADMIN: ("read", "trade", "risk", "publish", "admin"),
    Role.TRADER: ("read", "trade"),
    Role.VIEWER: ("read",),
    Role.PUBLISHER: ("read", "publish"),
}
DAY_NS: Final = 86_400 * 1_000_000_000


def create(
    user: str,
    *,
    name: str = "",
    scope: tuple[ScopeName, ...] = (),
    account: tuple[str, ...] = (),
    days: Annotated[float | None, Parameter(validator=Number(gt=0, lte=36_500))] = None,
    requests_per_s: Annotated[int | None, Parameter(validator=Number(gte=1, lte=2**31 - 1))] = None,
    json: bool = False,
    config: Path | None = None,
) -> None:
    """Make an API key and print it: this once.

    Parameters
    ----------
    user
        Whose it is.
    name
        What it is for, to tell it from others.
    scope
        What it may be used for at all, once for each: read, trade, risk (limits and kill switch), publish (signals
        and news), admin. As the user's role has it unless named.
    account
        The name or number of an account it may use as its scopes allow, once for each. `tickwire key grant` says it
        in more detail. An admin's key with the scope admin needs none.
    days
        How long it is good; for ever unless named.
    requests_per_s
        How often it may ask, over all its connections; `key_requests_per_s` of [auth] unless named.
    json
        Print one JSON object.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    made = keys.make()
    settings = configured(config)

    async def work(connection: Connection) -> ApiKey:
        owner = await user_named(connection, user)
        scopes = frozenset(map(Scope, scope or USUAL[owner.role]))
        key = await admin.add_key(
            connection, owner.id, prefix=made.prefix, hash=made.hash, name=name, scopes=scopes,
            expires_ns=None if days is None else time.time_ns() + int(days * DAY_NS), requests_per_s=requests_per_s,
            sealed_signing=vault_of(settings).seal_key(made.prefix, signing.secret_of(made.text)),
        )  # fmt: skip
        for each in account:
            number = (await account_named(connection, each)).id
            trades, manages = Scope.TRADE in scopes, Scope.RISK in scopes
            await admin.grant(connection, key.id, Permission(
                account_id=number, can_trade=trades, can_close_position=trades, can_risk_manage=manages,
            ))  # fmt: skip
        await note(connection, "key.create", f"key {key.id}", user=user, scopes=sorted(scopes), accounts=account)
        return await key_named(connection, str(key.id))

    key = change(settings, work)
    is_of_none = Scope.PUBLISH in key.scopes or (key.user.role is Role.ADMIN and Scope.ADMIN in key.scopes)
    needs_account = not key.permissions and not is_of_none
    hint = f"\nIt may use no account yet: tickwire key grant {key.id} ACCOUNT --trade" if needs_account else ""
    sentence = f"{made.text}\n\nThis is API key {key.id} of {user}. It is shown this once: keep it safe.{hint}"
    show_one({**key_row(key), "key": made.text}, sentence, json=json)


def list_(*, user: str | None = None, all: bool = False, json: bool = False, config: Path | None = None) -> None:  # noqa: A002  # the option's name
    """List API keys, by their number and prefix: no key is known again.

    Parameters
    ----------
    user
        Of this user only.
    all
        Also those revoked.
    json
        Print a JSON array.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(connection: Connection) -> list[ApiKey]:
        if user is not None:
            await user_named(connection, user)
        return await admin.api_keys(connection)

    rows = [
        key_row(key)
        for key in change(configured(config), work)
        if user in {None, key.user.name} and (all or key.revoked_ns is None)
    ]
    show(rows, COLUMNS, json=json)


def revoke(key: str, *, config: Path | None = None) -> None:
    """End an API key, and every connection that came with it.

    Parameters
    ----------
    key
        Its number or its prefix, as `tickwire key list` has them.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(connection: Connection) -> ApiKey:
        found = await key_named(connection, key)
        if not await admin.revoke_key(connection, found.id):
            raise CommandError(f"API key {found.id} was revoked before")
        await note(connection, "key.revoke", f"key {found.id}")
        return found

    print(f"API key {change(configured(config), work).id} is revoked")


def grant(
    key: str,
    account: str,
    *,
    read: Annotated[bool, Parameter(negative="--no-read")] = True,
    trade: bool = False,
    close: bool = False,
    risk: bool = False,
    strategy: tuple[str, ...] = (),
    config: Path | None = None,
) -> None:
    """Say what an API key may do on an account, in place of what it might before.

    Parameters
    ----------
    key
        Its number or its prefix.
    account
        The name or number of the account.
    read
        Look at orders, deals and positions.
    trade
        Send, change and cancel orders.
    close
        Close positions and cancel orders; who may trade may do that too.
    risk
        Change limits, and the kill switch.
    strategy
        The name or number of a strategy, once for each: only these.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(connection: Connection) -> tuple[int, str]:
        found = await key_named(connection, key)
        owner = await account_named(connection, account)
        permission = Permission(
            account_id=owner.id, can_read=read, can_trade=trade, can_close_position=close, can_risk_manage=risk,
            strategies=await _strategies(connection, owner.id, strategy),
        )  # fmt: skip
        await admin.grant(connection, found.id, permission)
        may = {"read": read, "trade": trade, "close": close, "risk": risk, "strategies": sorted(permission.strategies)}
        await note(connection, "key.grant", f"key {found.id}", account_id=owner.id, **may)
        return found.id, owner.name

    number, name = change(configured(config), work)
    verbs = {"read": read, "trade": trade, "close positions": close, "manage risk": risk}
    may = ", ".join(verb for verb, is_set in verbs.items() if is_set) or "do nothing"
    print(f"API key {number} may {may} on {name}" + (f", of strategy {', '.join(strategy)}" if strategy else ""))


def withdraw(key: str, account: str, *, config: Path | None = None) -> None:
    """Let an API key do nothing on an account any more.

    Parameters
    ----------
    key
        Its number or its prefix.
    account
        The name or number of the account.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(connection: Connection) -> tuple[int, str]:
        found = await key_named(connection, key)
        owner = await account_named(connection, account)
        await admin.withdraw(connection, found.id, owner.id)
        await note(connection, "key.withdraw", f"key {found.id}", account_id=owner.id)
        return found.id, owner.name

    number, name = change(configured(config), work)
    print(f"API key {number} may do nothing on {name}")


async def _strategies(connection: Connection, account_id: int, names: tuple[str, ...]) -> frozenset[int]:
    there = [row for row in await admin.strategies(connection) if row.account_id == account_id]
    numbers = {row.name: row.id for row in there} | {str(row.id): row.id for row in there}
    if unknown := [name for name in names if name not in numbers]:
        known = f"; there is {', '.join(row.name for row in there)}" if there else ""
        raise CommandError(f"the account has no strategy {unknown[0]}{known}")
    return frozenset(numbers[name] for name in names)
