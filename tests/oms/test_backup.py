"""Backups: a file that restores to the same rows, and no password where others can see it."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from oms import backup
from oms.backup import back_up, restore, without_password
from oms.model import Role
from oms.postgres import Embedded, PostgresError, Programs
from oms.store import admin
from oms.store.migrate import require_current
from oms.store.pool import Pool, connect


async def test_what_was_backed_up_is_restored(pool: Pool, dsn: str, empty_dsn: str, tmp_path: Path) -> None:
    ann = await admin.add_user(pool, "ann", Role.ADMIN)
    account = await admin.add_account(pool, "main", "sim", epoch="e")
    await admin.set_credentials(pool, account.id, b"sealed")
    file = tmp_path / "tickwire.dump"
    await asyncio.to_thread(back_up, dsn, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await asyncio.to_thread(restore, empty_dsn, file)
    restored = await connect(empty_dsn)
    try:
        await require_current(restored)
        assert await admin.users(restored) == [ann]
        assert await admin.accounts(restored) == [account]
        assert await admin.credentials(restored, account.id) == b"sealed"
        assert (await admin.add_user(restored, "bob")).id == ann.id + 1
        with pytest.raises(PostgresError, match="pg_restore failed: "):
            await asyncio.to_thread(restore, empty_dsn, file)
        assert len(await admin.users(restored)) == 2, "what is there is left as it is"
    finally:
        await restored.close()


def test_a_file_that_is_there_is_left_alone(postgres: Embedded, tmp_path: Path) -> None:
    file = tmp_path / "tickwire.dump"
    file.write_text("older")
    with pytest.raises(FileExistsError):
        back_up(postgres.dsn, file)
    assert file.read_text() == "older"


def test_what_fails_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "tickwire.dump"
    with pytest.raises(PostgresError, match=r"pg_dump failed: .*nowhere"):
        back_up(f"postgresql://ann@/nowhere?host={tmp_path}/nowhere", file)
    assert not file.exists()


def test_the_password_is_in_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$PGPASSWORD" "$@"\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setattr(backup, "find_programs", lambda: Programs(tmp_path))
    with pytest.raises(PostgresError) as raised:
        back_up("postgresql://ann:hunter2@db/orders", tmp_path / "x")
    said = str(raised.value).removeprefix("pg_dump failed: ")
    assert said.startswith("hunter2 --no-password --dbname=postgresql://ann@db/orders --format=custom")
    assert said.count("hunter2") == 1


@pytest.mark.parametrize(
    ("dsn", "address", "password"),
    [
        ("postgresql://db/orders", "postgresql://db/orders", None),
        ("postgresql://ann@db:5433/orders", "postgresql://ann@db:5433/orders", None),
        ("postgresql://ann:a%40b%3A@one:1,two:2/orders", "postgresql://ann@one:1,two:2/orders", "a@b:"),
        (
            "postgresql:///orders?host=/run/pg&password=x%20y&user=ann",
            "postgresql:///orders?host=%2Frun%2Fpg&user=ann",
            "x y",
        ),
    ],
)
def test_an_address_without_its_password(dsn: str, address: str, password: str | None) -> None:
    assert without_password(dsn) == (address, password)
