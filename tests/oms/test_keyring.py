"""Keys made, changed and revoked in the database count at once where they are checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from oms import keyring, keys
from oms.keyring import Keyring
from oms.model import Permission, Scope
from oms.store import admin, changes
from oms.store.pool import Pool
from tests.waiting import until


@pytest.fixture(name="ring")
async def _ring(pool: Pool, dsn: str) -> AsyncIterator[Keyring]:
    """One that is kept, as the OMS keeps it."""
    ring = Keyring(pool)
    await ring.load()
    tasks = [
        asyncio.create_task(changes.follow(dsn, ring.heard)),
        asyncio.create_task(ring.keep(used_s=0.05)),
    ]
    await until(lambda: ring.auth.version == 2)  # what changed before somebody listened
    yield ring
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def new_key(pool: Pool, name: str = "ann") -> tuple[int, str]:
    user = await admin.add_user(pool, name)
    made = keys.make()
    row = await admin.add_key(
        pool, user.id, prefix=made.prefix, hash=made.hash, scopes=frozenset({Scope.READ, Scope.TRADE})
    )
    return row.id, made.text


def code(ring: Keyring, text: str) -> str:
    return ring.auth.authenticate(text, "x-api-key").code


async def test_a_new_key_opens_and_a_revoked_one_does_not(pool: Pool, ring: Keyring) -> None:
    number, text = await new_key(pool)
    await until(lambda: code(ring, text) == "")
    verdict = ring.auth.authenticate(text, "x-api-key")
    await admin.revoke_key(pool, number)
    await until(lambda: code(ring, text) == "invalid_api_key")
    assert ring.auth.renew(verdict).message == "the API key is revoked"


async def test_permissions_and_users_count_at_once(pool: Pool, ring: Keyring) -> None:
    number, text = await new_key(pool)
    account = await admin.add_account(pool, "main", "sim", epoch="e")
    permission = Permission(account_id=account.id, can_trade=True)
    await admin.grant(pool, number, permission)

    def permissions() -> object:
        principal = ring.auth.authenticate(text, "x-api-key").principal
        return principal and principal.permissions

    await until(lambda: permissions() == {account.id: permission})
    await admin.withdraw(pool, number, account.id)
    await until(lambda: permissions() == {})
    (user,) = await admin.users(pool)
    await admin.set_user(pool, msgspec.structs.replace(user, disabled=True))
    await until(lambda: code(ring, text) == "invalid_api_key")


async def test_when_a_key_was_used_is_written_behind(pool: Pool, ring: Keyring) -> None:
    _, text = await new_key(pool)
    await until(lambda: code(ring, text) == "")

    async def used() -> bool:
        (row,) = await admin.api_keys(pool)
        return row.last_used_ns is not None

    async with asyncio.timeout(10):
        while not await used():  # noqa: ASYNC110  # it is another task's writing that is looked for
            await asyncio.sleep(0.01)


async def test_other_tables_are_none_of_its_business(pool: Pool, ring: Keyring) -> None:
    before = ring.auth.version
    await admin.add_account(pool, "main", "sim", epoch="e")
    await admin.set_setting(pool, "halted", value=True)
    _, text = await new_key(pool)
    await until(lambda: code(ring, text) == "")
    assert ring.auth.version <= before + 2, "a user and a key"


@pytest.mark.parametrize(
    "failure", [ConnectionResetError("the database went away"), asyncpg.ReadOnlySQLTransactionError("failed over")]
)
async def test_a_lost_database_leaves_the_keys_read_last(
    pool: Pool, ring: Keyring, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    _, text = await new_key(pool)
    await until(lambda: code(ring, text) == "")
    lost = asyncio.Event()
    read = admin.api_keys

    async def away(pool: Pool) -> object:
        lost.set()
        raise failure

    monkeypatch.setattr(keyring, "RETRY_S", 0.01)
    monkeypatch.setattr(admin, "api_keys", away)
    ring.heard(None)
    await asyncio.wait_for(lost.wait(), 5)  # a reading that began before that is over
    _, second = await new_key(pool, "bob")
    lost.clear()
    await asyncio.wait_for(lost.wait(), 5)
    assert (code(ring, text), code(ring, second)) == ("", "invalid_api_key")
    monkeypatch.setattr(admin, "api_keys", read)
    await until(lambda: code(ring, second) == "")
