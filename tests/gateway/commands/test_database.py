"""How commands get to the database: our own, shared with whoever uses it, or one that is named, there or not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.commands.database import account_named, change, configured, user_named
from gateway.commands.failure import CommandError
from gateway.config import Config, OmsConfig
from oms.model import Account, User
from oms.postgres import Embedded
from oms.store import admin
from oms.store.pool import Connection
from tests.conftest import ROOT
from tests.gateway.commands.conftest import Ran

Tickwire = Callable[..., Ran]


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory that the account which runs the server can reach."""
    folder = Path(tempfile.mkdtemp(prefix="tickwire-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=os.geteuid() != 0)


def test_our_own_is_made_kept_and_shared(state: Path, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TICKWIRE_")}
    environ |= {"TICKWIRE_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)}

    def tickwire(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "gateway.cli", *arguments]
        ran = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
        return ran.returncode, ran.stdout, ran.stderr

    assert tickwire("user", "add", "ann") == (0, "User ann is there, a trader\n", "")
    server = Embedded(state)
    server.start()
    try:
        assert tickwire("user", "add", "bob") == (0, "User bob is there, a trader\n", "")
        assert server._postmaster(), "a command does not stop what somebody else uses"
    finally:
        server.stop()
    assert tickwire("user", "list")[1].splitlines()[1:] == ["1   ann   trader  no", "2   bob   trader  no"]
    assert not server._postmaster()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://ann:hunter2@127.0.0.1:1/orders", "the order database cannot be reached: "),
        ("postgresql://ann:hunter2@/orders?host=/nowhere", "the order database cannot be reached: "),
        ("hunter2", "the order database's address is wrong: "),
    ],
)
def test_a_database_that_is_not_there_is_one_sentence_without_its_password(
    tickwire: Tickwire, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.setenv("TICKWIRE_DATABASE_URL", address)
    for command in (["user", "list"], ["db", "status"], ["db", "migrate"], ["db", "backup", "x.dump"]):
        code, out, err = tickwire(*command)
        assert (code, out) == (1, "")
        assert err.startswith(f"tickwire: {message}")
        assert len(err.splitlines()) == 1
        assert "hunter2" not in err


def test_a_file_names_the_database(tickwire: Tickwire, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TICKWIRE_DATABASE_URL")
    Path("other.toml").write_text(f'[oms]\ndatabase_url = "{dsn}"\n')
    assert configured(Path("other.toml")).oms.database_url == dsn
    assert configured(None) == Config()
    assert tickwire("user", "add", "ann", "--config", "other.toml").code == 0
    Path("other.toml").rename("tickwire.toml")
    assert "ann" in tickwire("user", "list").out


def test_what_fails_leaves_nothing(dsn: str) -> None:
    settings = Config(oms=OmsConfig(database_url=dsn))

    async def half(connection: Connection) -> None:
        await admin.add_user(connection, "ann")
        raise CommandError("no more")

    with pytest.raises(CommandError, match="no more"):
        change(settings, half)
    assert change(settings, admin.users) == []


def test_what_the_database_refuses_is_a_sentence(dsn: str) -> None:
    async def wrong(connection: Connection) -> None:
        await connection.execute("INSERT INTO users (name) VALUES ('')")

    with pytest.raises(CommandError, match=r"^the order database refuses: .*users_name_check"):
        change(Config(oms=OmsConfig(database_url=dsn)), wrong)


def test_rows_are_found_by_name_or_number(dsn: str) -> None:
    async def find(connection: Connection) -> tuple[User, list[Account]]:
        await admin.add_user(connection, "ann")
        for name in ("2", "main"):
            await admin.add_account(connection, name, "sim", epoch="e")
        found = [await account_named(connection, name) for name in ("main", "1", "2")]
        return await user_named(connection, "ann"), found

    user, accounts = change(Config(oms=OmsConfig(database_url=dsn)), find)
    assert user.name == "ann"
    assert [account.id for account in accounts] == [2, 1, 1], "a name counts before a number"
