"""`tickwire db`: the order database itself.

Holds what is asked and said. Must not know a table.
"""

from __future__ import annotations

from pathlib import Path

from gateway.commands.database import configured, use
from gateway.commands.failure import CommandError
from gateway.commands.show import show_one
from oms import backup as copies
from oms.backup import without_password
from oms.postgres import Server
from oms.store import migrate as steps
from oms.store.pool import Connection


def status(*, json: bool = False, config: Path | None = None) -> None:
    """Say which database is used, and whether it is up to date.

    Parameters
    ----------
    json
        Print one JSON object.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(server: Server, connection: Connection) -> tuple[Server, str, steps.Status]:
        version = ".".join(str(part) for part in connection.get_server_version()[:2])
        return server, version, await steps.status(connection)

    server, version, found = use(configured(config), work)
    address = without_password(server.dsn)[0]
    applied = [step.name for step in found.applied]
    waiting = [step.name for step in found.waiting]
    state = f"up to date ({len(applied)} steps)"
    if waiting:
        how = "`tickwire serve` brings it up to date" if server.embedded else "`tickwire db migrate`"
        state = f"lacks {', '.join(waiting)}: {how}"
    sentence = f"database    {address}\nPostgreSQL  {version}\nschema      {state}"
    row = {"database": address, "postgresql": version, "applied": applied, "waiting": waiting}
    show_one(row, sentence, json=json)


def migrate(*, config: Path | None = None) -> None:
    """Bring the database up to date.

    Parameters
    ----------
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(_server: Server, connection: Connection) -> list[steps.Step]:
        return await steps.migrate(connection)

    taken = use(configured(config), work)
    print(f"Took {', '.join(step.name for step in taken)}" if taken else "The database is up to date")


def backup(file: Path, *, config: Path | None = None) -> None:
    """Copy the database into one new file, while it is used or not. `tickwire db restore` reads it.

    Parameters
    ----------
    file
        Where to: it must not be there.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(server: Server, _connection: Connection) -> None:
        try:
            copies.back_up(server.dsn, file)
        except FileExistsError:
            raise CommandError(f"{file} is there already: name another file") from None
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}") from None

    use(configured(config), work)
    print(f"The database is in {file}, {file.stat().st_size:,} bytes. Account credentials in it need the master key")


def restore(file: Path, *, config: Path | None = None) -> None:
    """Make the database from what `tickwire db backup` wrote. It must be an empty one.

    Parameters
    ----------
    file
        What was written.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(server: Server, connection: Connection) -> None:
        if (await steps.status(connection)).applied:
            other = "TICKWIRE_STATE_DIR" if server.embedded else "TICKWIRE_DATABASE_URL"
            raise CommandError(f"the database has tables already: name an empty one by {other}")
        copies.restore(server.dsn, file)

    if not file.is_file():
        raise CommandError(f"there is no file {file}")
    use(configured(config), work)
    print(f"The database is as it was in {file}. Account credentials in it need the master key of then")
