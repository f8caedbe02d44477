"""`tickwire user` as it is typed, on a real database."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from typing import Any

import pytest

from oms.model import Role, User
from oms.store import admin
from oms.store.pool import Connection
from tests.gateway.commands.conftest import Ran

Tickwire = Callable[..., Ran]
Ask = Callable[[Callable[[Connection], Any]], Any]


@pytest.mark.parametrize(
    ("options", "role", "sentence"),
    [
        ([], Role.TRADER, "User ann is there, a trader"),
        (["--role", "admin"], Role.ADMIN, "User ann is there, an admin"),
        (["--role", "viewer"], Role.VIEWER, "User ann is there, a viewer"),
    ],
)
def test_a_user_is_added(tickwire: Tickwire, ask: Ask, options: list[str], role: Role, sentence: str) -> None:
    assert tickwire("user", "add", "ann", *options) == (0, f"{sentence}\n", "")
    assert ask(admin.users) == [User(id=1, name="ann", role=role)]


def test_users_are_listed(tickwire: Tickwire, ask: Ask) -> None:
    assert json.loads(tickwire("user", "add", "ann", "--json").out) == {
        "id": 1, "name": "ann", "role": "trader", "disabled": False,
    }  # fmt: skip
    tickwire("user", "add", "bob", "--role", "admin")
    assert tickwire("user", "list").out.splitlines() == [
        "id  name  role    disabled",
        "1   ann   trader  no",
        "2   bob   admin   no",
    ]
    assert [row["name"] for row in json.loads(tickwire("user", "list", "--json").out)] == ["ann", "bob"]


def test_a_user_is_changed(tickwire: Tickwire, ask: Ask) -> None:
    tickwire("user", "add", "ann")
    assert tickwire("user", "role", "ann", "admin") == (0, "User ann is an admin now\n", "")
    assert tickwire("user", "disable", "ann") == (0, "User ann is disabled\n", "")
    assert ask(admin.users) == [User(id=1, name="ann", role=Role.ADMIN, disabled=True)]
    assert tickwire("user", "enable", "ann") == (0, "User ann is enabled\n", "")
    assert ask(admin.users) == [User(id=1, name="ann", role=Role.ADMIN)]


def test_what_was_done_is_in_the_audit_log(tickwire: Tickwire, ask: Ask) -> None:
    tickwire("user", "add", "ann")
    tickwire("user", "role", "ann", "viewer")
    tickwire("user", "disable", "ann")

    async def audit(connection: Connection) -> list[Any]:
        return list(await connection.fetch("SELECT action, subject, details FROM audit_log ORDER BY id"))

    by = {"command_line": getpass.getuser()}
    assert [tuple(row.values()) for row in ask(audit)] == [
        ("user.add", "user 1", {"name": "ann", "role": "trader", **by}),
        ("user.role", "user 1", {"role": "viewer", **by}),
        ("user.disable", "user 1", {"disabled": True, **by}),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "ann"), "there is a user named ann already"),
        (("add", " "), "a user needs a name"),
        (("add", "bob\n"), "a user's name is one line of text"),
        (("role", "bob", "admin"), "there is no user bob; there is ann"),
        (("disable", "bob"), "there is no user bob; there is ann"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tickwire: Tickwire, ask: Ask, arguments: tuple[str, ...], message: str
) -> None:
    tickwire("user", "add", "ann")
    assert tickwire("user", *arguments) == (1, "", f"tickwire: {message}\n")
    assert ask(admin.users) == [User(id=1, name="ann")]
