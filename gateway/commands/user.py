"""`tickwire user`: who there is.

Holds what is asked and said. Must not know how users are stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from gateway.commands.database import change, configured, note, require_name, user_named
from gateway.commands.show import show, show_one, user_row
from oms.model import Role, User
from oms.store import admin
from oms.store.pool import Connection

RoleName = Literal["admin", "trader", "viewer", "publisher"]
COLUMNS = ("id", "name", "role", "disabled")


def add(name: str, *, role: RoleName = "trader", json: bool = False, config: Path | None = None) -> None:
    """Add a user. `tickwire key create` makes a key for it.

    Parameters
    ----------
    name
        How it is called, here and in answers.
    role
        An admin may do everything on every account; a viewer may only read, whatever its keys say; a publisher may
        read, and tell signals and news.
    json
        Print one JSON object.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    require_name(name, "a user")

    async def work(connection: Connection) -> User:
        user = await admin.add_user(connection, name, Role(role))
        await note(connection, "user.add", f"user {user.id}", name=name, role=role)
        return user

    user = change(configured(config), work)
    show_one(user_row(user), f"User {name} is there, a{'n' if role == 'admin' else ''} {role}", json=json)


def list_(*, json: bool = False, config: Path | None = None) -> None:
    """List the users.

    Parameters
    ----------
    json
        Print a JSON array.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    show([user_row(user) for user in change(configured(config), admin.users)], COLUMNS, json=json)


def role(name: str, role: RoleName, *, config: Path | None = None) -> None:
    """Give a user another role; its open connections have it at once.

    Parameters
    ----------
    name
        The user.
    role
        What it is from now on.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    _change(name, config, "user.role", role=Role(role))
    print(f"User {name} is a{'n' if role == 'admin' else ''} {role} now")


def disable(name: str, *, config: Path | None = None) -> None:
    """Let a user in no more: none of its keys is good, and its open connections end.

    Parameters
    ----------
    name
        The user.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    _change(name, config, "user.disable", disabled=True)
    print(f"User {name} is disabled")


def enable(name: str, *, config: Path | None = None) -> None:
    """Let a disabled user in again.

    Parameters
    ----------
    name
        The user.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    _change(name, config, "user.enable", disabled=False)
    print(f"User {name} is enabled")


def _change(name: str, config: Path | None, action: str, **changes: object) -> None:
    async def work(connection: Connection) -> None:
        user = await user_named(connection, name)
        await admin.set_user(connection, replace(user, **changes))
        await note(connection, action, f"user {user.id}", **changes)

    change(configured(config), work)
