"""`tickwire key` as it is typed, on a real database: what a key opens, and that it is shown once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway import loop
from gateway.app import App
from gateway.config import AuthConfig, Config, ServerConfig
from oms.auth import Auth, Verdict
from oms.keyring import Keyring
from oms.model import ApiKey, Permission, Scope
from oms.store import admin, changes
from oms.store.pool import Connection, open_pool
from oms.token_keys import new_signing_key
from oms.tokens import Tokens
from tests.conftest import ROOT
from tests.gateway.commands.conftest import Ran
from tests.gateway.users import closed_with, say
from tests.waiting import until

Tickwire = Callable[..., Ran]
Ask = Callable[[Callable[[Connection], Any]], Any]


@pytest.fixture(autouse=True)
def _users_and_accounts(tickwire: Tickwire, dsn: str, exchanges: None) -> None:
    for name, role in (("ann", "trader"), ("root", "admin"), ("eve", "viewer"), ("wire", "publisher")):
        assert tickwire("user", "add", name, "--role", role).code == 0
    for name in ("main", "spare"):
        assert tickwire("account", "add", name, "sim").code == 0


def create(tickwire: Tickwire, *arguments: str) -> dict[str, Any]:
    ran = tickwire("key", "create", *arguments, "--json")
    assert ran.code == 0, ran.err
    return dict(json.loads(ran.out))


def verdict(ask: Ask, text: str) -> Verdict:
    """What the gateway would say to a key."""
    auth = Auth(Tokens(new_signing_key(), started_s=0))
    auth.replace(ask(admin.api_keys))
    return auth.authenticate(text, "x-api-key")


def full(number: int, **more: Any) -> Permission:
    return Permission(account_id=number, can_trade=True, can_close_position=True, **more)


@pytest.mark.parametrize(
    ("user", "options", "scopes", "permissions", "is_admin"),
    [
        ("ann", [], {"read", "trade"}, {}, False),
        ("ann", ["--account", "main"], {"read", "trade"}, {1: full(1)}, False),
        ("ann", ["--account", "2", "--scope", "read"], {"read"}, {2: Permission(account_id=2)}, False),
        (
            "ann",
            ["--account", "main", "--account", "spare", "--scope", "read", "--scope", "risk"],
            {"read", "risk"},
            {number: Permission(account_id=number, can_risk_manage=True) for number in (1, 2)},
            False,
        ),
        ("root", [], set(Scope), {}, True),
        ("root", ["--scope", "read"], {"read"}, {}, False),
        ("eve", ["--account", "main"], {"read"}, {1: Permission(account_id=1)}, False),
        ("wire", [], {"read", "publish"}, {}, False),
    ],
)
def test_a_key_opens_what_was_asked_for(
    tickwire: Tickwire, ask: Ask, user: str, options: list[str], scopes: set[str],
    permissions: dict[int, Permission], is_admin: bool,
) -> None:  # fmt: skip
    made = create(tickwire, user, *options)
    assert set(made["scopes"]) == scopes
    principal = verdict(ask, made["key"]).principal
    assert principal is not None
    assert (principal.user_name, principal.permissions, principal.is_admin) == (user, permissions, is_admin)


def test_a_key_is_shown_once_and_only_its_hash_is_kept(tickwire: Tickwire, ask: Ask) -> None:
    text, _, sentence = tickwire("key", "create", "ann", "--name", "bot").out.partition("\n\n")
    assert sentence == (
        "This is API key 1 of ann. It is shown this once: keep it safe.\n"
        "It may use no account yet: tickwire key grant 1 ACCOUNT --trade\n"
    )
    assert verdict(ask, text).code == ""
    secret = text.rpartition("_")[2]
    said = "".join(tickwire("key", "list", *options).out for options in ([], ["--all"], ["--json"]))
    assert text[:15] in said
    assert secret not in said

    async def everything(connection: Connection) -> list[str]:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [str(await connection.fetch(f"SELECT t::text FROM {table} AS t")) for (table,) in tables]

    assert secret not in "".join(ask(everything))


def test_a_key_ends_by_itself_or_by_command(tickwire: Tickwire, ask: Ask) -> None:
    short, long = create(tickwire, "ann", "--days", "0.5"), create(tickwire, "ann", "--requests-per-s", "5")
    rows: list[ApiKey] = ask(admin.api_keys)
    assert rows[0].expires_ns is not None
    assert 43_100 < (rows[0].expires_ns - time.time_ns()) / 1e9 <= 43_200
    assert (rows[1].expires_ns, rows[1].requests_per_s) == (None, 5)
    assert tickwire("key", "revoke", short["prefix"]) == (0, "API key 1 is revoked\n", "")
    assert verdict(ask, short["key"]).message == "the API key is revoked"
    assert tickwire("key", "revoke", "1") == (1, "", "tickwire: API key 1 was revoked before\n")
    listed = json.loads(tickwire("key", "list", "--json").out)
    assert [row["id"] for row in listed] == [2]
    assert len(tickwire("key", "list", "--all").out.splitlines()) == 3
    assert json.loads(tickwire("key", "list", "--user", "eve", "--json").out) == []
    assert tickwire("key", "revoke", "2").code == 0
    assert verdict(ask, long["key"]).code == "invalid_api_key"


def test_permissions_are_granted_and_withdrawn(tickwire: Tickwire, ask: Ask) -> None:
    async def add_strategy(connection: Connection) -> int:
        return (await admin.add_strategy(connection, 1, "grid")).id

    strategy = ask(add_strategy)
    create(tickwire, "ann")
    said = tickwire("key", "grant", "1", "main", "--trade", "--close", "--risk", "--strategy", "grid").out
    assert said == "API key 1 may read, trade, close positions, manage risk on main, of strategy grid\n"
    granted = full(1, can_risk_manage=True, strategies=frozenset({strategy}))
    assert ask(admin.api_keys)[0].permissions == {1: granted}
    assert f"  1:read+trade+close+risk strategies {strategy}  " in tickwire("key", "list").out
    assert tickwire("key", "grant", "1", "1", "--no-read").out == "API key 1 may do nothing on main\n"
    assert ask(admin.api_keys)[0].permissions == {1: Permission(account_id=1, can_read=False)}
    assert tickwire("key", "withdraw", "1", "main").out == "API key 1 may do nothing on main\n"
    assert ask(admin.api_keys)[0].permissions == {}


def test_what_was_done_is_in_the_audit_log_without_the_key(tickwire: Tickwire, ask: Ask) -> None:
    made = create(tickwire, "ann", "--account", "main")
    tickwire("key", "grant", "1", "main", "--trade")
    tickwire("key", "withdraw", "1", "main")
    tickwire("key", "revoke", "1")

    async def audit(connection: Connection) -> list[Any]:
        rows = await connection.fetch(
            "SELECT action, subject, details FROM audit_log WHERE subject = 'key 1' ORDER BY id"
        )
        return [tuple(row.values()) for row in rows]

    rows = ask(audit)
    assert [row[0] for row in rows] == ["key.create", "key.grant", "key.withdraw", "key.revoke"]
    assert made["key"] not in str(rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "bob"), "there is no user bob; there is ann, root, eve, wire"),
        (("create", "ann", "--account", "mian"), "there is no account mian; there is main, spare"),
        (("list", "--user", "bob"), "there is no user bob; there is ann, root, eve, wire"),
        (("revoke", "7"), "there is no API key 7"),
        (("grant", "7", "main"), "there is no API key 7"),
        (("grant", "1", "mian"), "there is no account mian; there is main, spare"),
        (("grant", "1", "main", "--strategy", "grid"), "the account has no strategy grid"),
        (("withdraw", "1", "mian"), "there is no account mian; there is main, spare"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    tickwire: Tickwire, ask: Ask, arguments: tuple[str, ...], message: str
) -> None:
    create(tickwire, "ann")
    before = ask(admin.api_keys)
    assert tickwire("key", *arguments) == (1, "", f"tickwire: {message}\n")
    assert ask(admin.api_keys) == before


def test_a_whole_key_on_the_command_line_is_not_repeated(tickwire: Tickwire) -> None:
    text = create(tickwire, "ann")["key"]
    assert (
        tickwire("key", "revoke", text).err
        == "tickwire: a key is named by its number or prefix, as `tickwire key list` has them\n"
    )


async def typed(*arguments: str) -> str:
    """Run a command in a process of its own, beside a gateway; what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *arguments, stdout=PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


@asynccontextmanager
async def gateway_of(dsn: str) -> AsyncIterator[tuple[str, Keyring]]:
    """A gateway for nobody but who has a key in the database: its address, and the keys it knows."""
    async with await open_pool(dsn) as pool:
        ring = Keyring(pool)
        tasks = [asyncio.create_task(changes.follow(dsn, ring.heard)), asyncio.create_task(ring.keep())]
        config = Config(server=ServerConfig(port=0), auth=AuthConfig(anonymous_market_data=False))
        app = App(config, authenticator=ring.auth)
        try:
            await app.start()
            yield f"ws://127.0.0.1:{app.port}/v1/stream", ring
        finally:
            await app.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def test_a_running_gateway_goes_by_what_was_typed(dsn: str) -> None:
    async def scenario() -> None:
        async with gateway_of(dsn) as (url, ring):
            text = json.loads(await typed("key", "create", "ann", "--account", "main", "--json"))["key"]
            await until(lambda: ring.auth.authenticate(text, "x-api-key").principal)
            async with connect(url, additional_headers={"x-api-key": text}) as client, connect(url) as late:
                for each in (client, late):
                    assert (await say(each))["type"] == "connected"
                answer = await say(late, action="auth", token=text)
                assert (answer["type"], answer["data"]["account_ids"]) == ("authenticated", [1])
                await typed("key", "revoke", "1")
                assert [await closed_with(each) for each in (client, late)] == [1008, 1008]
            with pytest.raises(InvalidStatus, match="401"):
                await connect(url, additional_headers={"x-api-key": text})

    loop.run(scenario())
