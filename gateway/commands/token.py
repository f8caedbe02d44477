"""`tickwire token`: keys that sign tokens, and tokens that are to be good no more.

Holds what is asked and said. Must not know how tokens are checked, nor where revocations are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from gateway.commands.database import change, configured, key_named, note, user_named
from gateway.commands.failure import CommandError
from gateway.commands.show import show
from oms import token_keys
from oms.render import moment
from oms.revocations import Kind, Revocation
from oms.store import admin
from oms.store.pool import Connection

COLUMNS = ("kind", "name", "revoked_at")
NAME: Final = Parameter(allow_leading_hyphen=True)  # one `jti` in 64 begins so


def key(algorithm: Literal["EdDSA", "HS256"] = "EdDSA") -> None:
    """Print a new key that signs tokens, for a file that only its owner may read. It is stored nowhere.

    Parameters
    ----------
    algorithm
        EdDSA (Ed25519), whose public half others may have, or HS256.
    """
    print(token_keys.new_file(algorithm), end="")


def public(file: Path) -> None:
    """Print the public half of an EdDSA key, for who has to check our tokens.

    Parameters
    ----------
    file
        The private key.
    """
    try:
        print(token_keys.public_file(file.read_text(encoding="ascii")), end="")
    except (OSError, UnicodeDecodeError, token_keys.KeyFileError) as error:
        raise CommandError(f"{file}: {error}") from None


def revoke(
    kind: Literal["token", "signing-key", "api-key", "user"],
    name: Annotated[str, NAME],
    *,
    config: Path | None = None,
) -> None:
    """End tokens before their time, and the connections that came with them.

    Parameters
    ----------
    kind
        token: one; signing-key: all that it signed, for good; api-key, user: all that stand for it, made until now.
    name
        The `jti` of a token, the `kid` of a signing key, the number or prefix of an API key, the name of a user.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    if not name.strip() or not name.isprintable():
        raise CommandError("name what is to be revoked")

    async def work(connection: Connection) -> str:
        named, what = name, Kind(kind)
        if what is Kind.API_KEY:
            named = str((await key_named(connection, name)).id)
        elif what is Kind.USER:
            await user_named(connection, name)
        await admin.revoke_tokens(connection, what, named)
        await note(connection, "token.revoke", f"{kind} {named}")
        return named

    print(f"Revoked: {kind} {change(configured(config), work)}")


def revoked(*, json: bool = False, config: Path | None = None) -> None:
    """List what was revoked.

    Parameters
    ----------
    json
        Print a JSON array.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(connection: Connection) -> list[Revocation]:
        return await admin.revocations(connection)

    rows = [
        {"kind": row.kind.value, "name": row.name, "revoked_at": moment(row.revoked_ns)}
        for row in change(configured(config), work)
    ]
    show(rows, COLUMNS, json=json)
